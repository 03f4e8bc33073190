//! Opening the stacked columns at a point: WHIR on their random combination.
//!
//! Challenges and messages of the transcript, and their order, are the engine's. What the engine does to each stacked
//! column is linear, so it is done to the combination alone.

use std::ops::Mul;

use openvm_cpu_backend::CpuProverError;
use openvm_cpu_backend::merkle::CpuMerkleTree;
use openvm_stark_backend::p3_field::{
    BasedVectorSpace, Field, PrimeCharacteristicRing, TwoAdicField,
};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::poly_common::Squarable;
use openvm_stark_backend::proof::WhirProof;
use openvm_stark_backend::prover::MatrixDimensions;
use openvm_stark_backend::prover::error::WhirProverError;
use openvm_stark_backend::prover::poly::{
    Mle, eval_to_coeff_rs_message, evals_mobius_eq_hypercube,
};
use openvm_stark_backend::{FiatShamirTranscript, SystemParams};
use openvm_stark_sdk::config::baby_bear_poseidon2::{D_EF, Digest, EF, F};
use rayon::prelude::*;

use super::Committed;
use super::commit::{merkle_layers, transform};
use super::stacking::{combination, folded, products};
use crate::params::Config;

/// Values that are changed together in the first cache.
const CHUNK: usize = 1 << 10;

/// Opens all stacked columns at `point`, which has a coordinate for each variable of a stacked column.
pub fn prove<TS: FiatShamirTranscript<Config>>(
    transcript: &mut TS,
    params: &SystemParams,
    committed: &[&Committed],
    point: &[EF],
) -> Result<WhirProof<Config>, CpuProverError> {
    let whir = &params.whir;
    let mu_pow_witness = transcript.grind(whir.mu_pow_bits);
    let mu: EF = transcript.sample_ext();
    let mut values = batched(params.l_skip, committed, mu);
    let mut weights: Vec<EF> = evals_mobius_eq_hypercube(point);
    let mut proof = WhirProof::<Config> {
        mu_pow_witness,
        whir_sumcheck_polys: Vec::with_capacity(whir.num_sumcheck_rounds()),
        codeword_commits: Vec::new(),
        ood_values: Vec::new(),
        folding_pow_witnesses: Vec::with_capacity(whir.num_sumcheck_rounds()),
        query_phase_pow_witnesses: Vec::with_capacity(whir.num_whir_rounds()),
        initial_round_opened_rows: vec![Vec::new(); committed.len()],
        initial_round_merkle_proofs: vec![Vec::new(); committed.len()],
        codeword_opened_values: Vec::new(),
        codeword_merkle_proofs: Vec::new(),
        final_poly: Vec::new(),
    };
    let mut log_domain = params.log_stacked_height() + params.log_blowup;
    let mut codeword: Option<CpuMerkleTree<F, Digest>> = None;
    for (number, round) in whir.rounds.iter().enumerate() {
        for _ in 0..whir.k {
            let sums = products(&values, &weights);
            sums.iter().for_each(|&sum| transcript.observe_ext(sum));
            proof.whir_sumcheck_polys.push(sums);
            let witness = transcript.grind(whir.folding_pow_bits);
            proof.folding_pow_witnesses.push(witness);
            let challenge: EF = transcript.sample_ext();
            values = folded(&values, challenge);
            weights = folded(&weights, challenge);
        }
        let folded = Mle::from_evaluations(&values);
        let next = if number + 1 == whir.rounds.len() {
            proof.final_poly = folded.into_coeffs();
            for &coefficient in &proof.final_poly {
                transcript.observe_ext(coefficient);
            }
            None
        } else {
            let tree = encoded(folded.coeffs(), log_domain - 1, whir.k);
            let root = tree.root()?;
            transcript.observe_commit(root);
            proof.codeword_commits.push(root);
            let outside: EF = transcript.sample_ext();
            let variables = values.len().ilog2() as usize;
            let powers: Vec<EF> = outside.exp_powers_of_2().take(variables).collect();
            let value = folded.eval_at_point(&powers);
            transcript.observe_ext(value);
            proof.ood_values.push(value);
            Some((tree, outside))
        };
        let witness = transcript.grind(whir.query_phase_pow_bits);
        proof.query_phase_pow_witnesses.push(witness);
        let log_leaves = log_domain - whir.k;
        let queries: Vec<usize> = (0..round.num_queries)
            .map(|_| transcript.sample_bits(log_leaves) as usize)
            .collect();
        match &codeword {
            None => {
                for (at, data) in committed.iter().enumerate() {
                    for &query in &queries {
                        let rows = data.tree.get_opened_rows(query)?;
                        proof.initial_round_opened_rows[at].push(rows);
                        let path = data.tree.query_merkle_proof(query)?;
                        proof.initial_round_merkle_proofs[at].push(path);
                    }
                }
            }
            Some(tree) => {
                let mut opened = Vec::with_capacity(queries.len());
                let mut paths = Vec::with_capacity(queries.len());
                for &query in &queries {
                    let rows = tree.get_opened_rows(query)?;
                    let values = rows.iter().map(|row| {
                        EF::from_basis_coefficients_slice(row).expect("a row of coefficients")
                    });
                    opened.push(values.collect());
                    paths.push(tree.query_merkle_proof(query)?);
                }
                proof.codeword_opened_values.push(opened);
                proof.codeword_merkle_proofs.push(paths);
            }
        }
        let gamma: EF = transcript.sample_ext();
        if let Some((tree, outside)) = next {
            add_eq(&mut weights, outside, gamma);
            let omega = F::two_adic_generator(log_leaves);
            for (&query, power) in queries.iter().zip(gamma.powers().skip(2)) {
                add_eq(&mut weights, omega.exp_u64(query as u64), power);
            }
            codeword = Some(tree);
        }
        log_domain -= 1;
    }
    if proof.final_poly.is_empty() {
        return Err(WhirProverError::FinalPolyNone.into());
    }
    Ok(proof)
}

/// The combination of all stacked columns by powers of mu: the values of the multilinear polynomial that is opened.
fn batched(l_skip: usize, committed: &[&Committed], mu: EF) -> Vec<EF> {
    let mut powers = mu.powers();
    let mut parts = committed.iter().map(|data| {
        let weights: Vec<EF> = powers.by_ref().take(data.matrix.width()).collect();
        combination(&data.matrix.values, data.matrix.height(), &weights)
    });
    let mut sum = parts.next().expect("a commitment");
    for part in parts {
        sum.par_iter_mut()
            .zip(part)
            .for_each(|(sum, value)| *sum += value);
    }
    let mut values = eval_to_coeff_rs_message(l_skip, &sum);
    let chunk = CHUNK.min(values.len());
    values
        .par_chunks_exact_mut(chunk)
        .for_each(Mle::coeffs_to_evals_inplace);
    let mut step = chunk;
    while step < values.len() {
        for block in values.chunks_exact_mut(2 * step) {
            let (lower, upper) = block.split_at_mut(step);
            lower
                .par_chunks(chunk)
                .zip(upper.par_chunks_mut(chunk))
                .for_each(|(lower, upper)| {
                    for (lower, upper) in lower.iter().zip(upper) {
                        *upper += *lower;
                    }
                });
        }
        step *= 2;
    }
    values
}

/// The codeword of a polynomial, of `2^log_domain` values, and the tree over it.
fn encoded(coefficients: &[EF], log_domain: usize, log_rows: usize) -> CpuMerkleTree<F, Digest> {
    let mut cells = F::zero_vec(D_EF << log_domain);
    for (cells, coefficient) in cells.chunks_exact_mut(D_EF).zip(coefficients) {
        cells.copy_from_slice(coefficient.as_basis_coefficients_slice());
    }
    let mut matrix = RowMajorMatrix::new(cells, D_EF);
    transform(&mut matrix, coefficients.len());
    let layers = merkle_layers(&matrix, 1 << log_rows);
    // SAFETY: the layers were just computed from the rows, and the number of rows in a leaf is that they are for.
    unsafe { CpuMerkleTree::from_raw_parts(matrix, layers, 1 << log_rows) }
}

/// Adds eq at the powers of `z` whose exponents are powers of two, scaled.
fn add_eq<K: Field>(weights: &mut [EF], z: K, scale: EF)
where
    EF: Mul<K, Output = EF>,
{
    let mut eq = Vec::with_capacity(weights.len());
    eq.push(K::ONE);
    for power in z.exp_powers_of_2().take(weights.len().ilog2() as usize) {
        for at in 0..eq.len() {
            let ones = eq[at] * power;
            eq.push(ones);
            eq[at] -= ones;
        }
    }
    weights
        .par_iter_mut()
        .zip(eq)
        .for_each(|(weight, eq)| *weight += scale * eq);
}
