//! The argument that all constraints hold and all messages are received: logup by GKR, then one batch sumcheck of
//! constraints and messages that ends in claims about columns.
//!
//! Challenges and messages of the transcript, and their order, are the engine's.

use openvm_stark_backend::p3_field::{Field, PrimeCharacteristicRing, TwoAdicField};
use openvm_stark_backend::poly_common::{
    UnivariatePoly, eq_uni_poly, eval_eq_mle, eval_eq_sharp_uni, eval_eq_uni,
};
use openvm_stark_backend::proof::{BatchConstraintProof, GkrProof, column_openings_by_rot};
use openvm_stark_backend::prover::error::LogupZerocheckError;
use openvm_stark_backend::prover::fractional_sumcheck_gkr::FracSumcheckProof;
use openvm_stark_backend::prover::poly::eq_sharp_uni_poly;
use openvm_stark_backend::prover::sumcheck::sumcheck_round0_deg;
use openvm_stark_backend::prover::{DeviceMultiStarkProvingKey, ProvingContext};
use openvm_stark_backend::{FiatShamirTranscript, calculate_n_logup};
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};
use rayon::prelude::*;
use tracing::info_span;

use openvm_cpu_backend::CpuBackend;

use super::gkr::fractional_sumcheck;
use super::leaves::leaves;
use super::program::{Combinations, Program};
use super::rounds::{Places, Rows, Sums};
use super::table::Table;
use super::univariate::{Domain, Polynomials, basis, polynomials};
use crate::params::Config;

type Proved = (GkrProof<Config>, BatchConstraintProof<Config>, Vec<EF>);

/// Proves all tables; they come from the highest to the lowest.
pub fn prove<TS: FiatShamirTranscript<Config>>(
    transcript: &mut TS,
    key: &DeviceMultiStarkProvingKey<CpuBackend<Config>>,
    context: &ProvingContext<CpuBackend<Config>>,
) -> Result<Proved, LogupZerocheckError> {
    let l_skip = key.params.l_skip;
    let tables: Vec<Table<'_>> = context
        .per_trace
        .iter()
        .map(|(index, context)| Table::new(&key.per_air[*index], context, l_skip))
        .collect();
    let rounds = tables[0].rounds();
    let fractions = tables.iter().map(Table::fractions).sum::<usize>();
    let logup_rounds = calculate_n_logup(l_skip, fractions as u64);

    let logup_pow_witness = transcript.grind(key.params.logup.pow_bits);
    let alpha: EF = transcript.sample_ext();
    let beta: EF = transcript.sample_ext();
    let longest = tables.iter().map(Table::longest).max().unwrap_or(0);
    let betas: Vec<EF> = beta.powers().take(longest + 1).collect();
    let (sum, mut xi) = if fractions == 0 {
        (no_fractions(), Vec::new())
    } else {
        let leaves = info_span!("logup_leaves")
            .in_scope(|| leaves(&tables, l_skip + logup_rounds, alpha, &betas));
        info_span!("fractional_sumcheck").in_scope(|| fractional_sumcheck(transcript, leaves))?
    };
    while xi.len() < l_skip + rounds.max(logup_rounds) {
        xi.push(transcript.sample_ext());
    }

    let lambda: EF = transcript.sample_ext();
    let mut batch = Batch::new(key, &tables, xi, &betas, logup_rounds, lambda);
    let (proof, point) = batch.prove(transcript);
    let gkr = GkrProof {
        logup_pow_witness,
        q0_claim: sum.fractional_sum.1,
        claims_per_layer: sum.claims_per_layer,
        sumcheck_polys: sum.sumcheck_polys,
    };
    Ok((gkr, proof, point))
}

fn no_fractions() -> FracSumcheckProof<Config> {
    FracSumcheckProof {
        fractional_sum: (EF::ZERO, EF::ONE),
        claims_per_layer: Vec::new(),
        sumcheck_polys: Vec::new(),
    }
}

/// What the batch sumcheck knows about a table.
struct Member<'a> {
    table: &'a Table<'a>,
    program: Program,
    places: Places,
    combinations: Combinations,
    /// Its columns, from the first challenge on.
    rows: Option<Rows>,
    /// Its claims once its own rounds are done, times the challenges since.
    claims: Sums,
}

/// The sumcheck of all tables.
struct Batch<'a> {
    members: Vec<Member<'a>>,
    l_skip: usize,
    degree: usize,
    xi: Vec<EF>,
    /// eq at the challenges so far: of constraints, and of messages, which differ in the univariate round.
    eq: EF,
    eq_sharp: EF,
}

impl<'a> Batch<'a> {
    fn new(
        key: &DeviceMultiStarkProvingKey<CpuBackend<Config>>,
        tables: &'a [Table<'a>],
        xi: Vec<EF>,
        betas: &[EF],
        logup_rounds: usize,
        lambda: EF,
    ) -> Self {
        let l_skip = key.params.l_skip;
        let most = tables.iter().map(Table::constraints).max().unwrap_or(0);
        let lambdas: Vec<EF> = lambda.powers().take(most).collect();
        let starts = tables.iter().scan(0, |next, table| {
            let start = *next;
            *next += table.fractions();
            Some(start)
        });
        let members = tables
            .iter()
            .zip(starts.collect::<Vec<usize>>())
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(table, start)| {
                let program = table.program(true);
                let selected: Vec<EF> = (0..table.messages())
                    .map(|message| {
                        let behind = l_skip + table.rounds();
                        let first = (start + (message << table.log_lifted())) >> behind;
                        let bits: Vec<F> = (0..l_skip + logup_rounds - behind)
                            .map(|bit| F::from_bool(first >> bit & 1 == 1))
                            .collect();
                        eval_eq_mle(&xi[behind..l_skip + logup_rounds], &bits)
                    })
                    .collect();
                Member {
                    combinations: Combinations::new(&program, &lambdas, &selected, betas),
                    places: Places::new(table, &program),
                    program,
                    table,
                    rows: None,
                    claims: [EF::ZERO; 3],
                }
            })
            .collect();
        Self {
            members,
            l_skip,
            degree: key.max_constraint_degree,
            xi,
            eq: EF::ONE,
            eq_sharp: EF::ONE,
        }
    }

    fn prove<TS: FiatShamirTranscript<Config>>(
        &mut self,
        transcript: &mut TS,
    ) -> (BatchConstraintProof<Config>, Vec<EF>) {
        let rounds = self.members[0].table.rounds();
        let first = info_span!("round0").in_scope(|| self.first_polynomials());
        let (univariate, sums, mus) = self.first_round(transcript, &first);
        let mut challenge: EF = transcript.sample_ext();
        let mut point = vec![challenge];
        let mut claim: EF = univariate.eval_at_point(challenge);
        info_span!("fold_rows").in_scope(|| self.fold_first(challenge));
        let mut polys = Vec::with_capacity(rounds);
        let _span = info_span!("prover.batch_constraints.mle_rounds").entered();
        for round in 1..=rounds {
            let poly = self.round(round, challenge, claim, &mus);
            let values: Vec<EF> = (1..=self.degree + 1)
                .map(|at| poly.eval_at_point(EF::from_usize(at)))
                .collect();
            values
                .iter()
                .for_each(|&value| transcript.observe_ext(value));
            polys.push(values);
            challenge = transcript.sample_ext();
            point.push(challenge);
            claim = poly.eval_at_point(challenge);
            self.fold(round, challenge);
        }
        let column_openings = self.openings();
        for part in [true, false] {
            for (member, openings) in self.members.iter().zip(&column_openings) {
                let openings = if part { &openings[..1] } else { &openings[1..] };
                for opening in openings {
                    for (here, next) in column_openings_by_rot(opening, member.table.needs_next()) {
                        transcript.observe_ext(here);
                        transcript.observe_ext(next);
                    }
                }
            }
        }
        let (numerator_term_per_air, denominator_term_per_air) = sums.into_iter().unzip();
        let proof = BatchConstraintProof {
            numerator_term_per_air,
            denominator_term_per_air,
            univariate_round_coeffs: univariate.into_coeffs(),
            sumcheck_round_polys: polys,
            column_openings,
        };
        (proof, point)
    }

    fn first_polynomials(&self) -> Vec<Polynomials> {
        let domain = Domain::new(self.l_skip, self.degree);
        self.members
            .par_iter()
            .map(|member| {
                let point = &self.xi[self.l_skip..self.l_skip + member.table.rounds()];
                polynomials(
                    member.table,
                    &member.program,
                    &member.combinations,
                    &domain,
                    point,
                )
            })
            .collect()
    }

    /// The polynomial of the univariate round, the sums of each table's messages, and the powers of mu that batch the
    /// tables.
    #[allow(clippy::type_complexity)]
    fn first_round<TS: FiatShamirTranscript<Config>>(
        &self,
        transcript: &mut TS,
        first: &[Polynomials],
    ) -> (UnivariatePoly<EF>, Vec<(EF, EF)>, Vec<EF>) {
        let (size, tables) = (1 << self.l_skip, self.members.len());
        let len = sumcheck_round0_deg(self.l_skip, self.degree + 1) + 1;
        let eq_sharp = eq_sharp_uni_poly(&self.xi[..self.l_skip]);
        let eq = eq_uni_poly::<F, EF>(self.l_skip, self.xi[0]);
        let product = |a: &UnivariatePoly<EF>, b: &[EF]| {
            let mut product = vec![EF::ZERO; len];
            for (at, &a) in a.coeffs().iter().enumerate() {
                for (target, &b) in product[at..].iter_mut().zip(b) {
                    *target += a * b;
                }
            }
            product
        };
        let messages: Vec<[Vec<EF>; 2]> = first
            .par_iter()
            .map(|one| {
                [&one.numerator, &one.denominator].map(|poly| product(&eq_sharp, poly.coeffs()))
            })
            .collect();
        // A sum over the subgroup is what the powers of X^size contribute, times the size.
        let sum =
            |poly: &[EF]| poly.iter().step_by(size).copied().sum::<EF>() * F::from_usize(size);
        let sums: Vec<(EF, EF)> = messages.iter().map(|[p, q]| (sum(p), sum(q))).collect();
        for &(numerator, denominator) in &sums {
            transcript.observe_ext(numerator);
            transcript.observe_ext(denominator);
        }
        let mu: EF = transcript.sample_ext();
        let mus: Vec<EF> = mu.powers().take(3 * tables).collect();
        let mut batched = vec![EF::ZERO; len];
        for (one, &mu) in first.iter().zip(&mus[2 * tables..]) {
            for (target, &coefficient) in batched.iter_mut().zip(one.constraints.coeffs()) {
                *target += mu * coefficient;
            }
        }
        let mut coefficients = product(&eq, &batched);
        for (poly, &mu) in messages.iter().flatten().zip(&mus) {
            for (target, &coefficient) in coefficients.iter_mut().zip(poly) {
                *target += mu * coefficient;
            }
        }
        coefficients
            .iter()
            .for_each(|&coefficient| transcript.observe_ext(coefficient));
        (UnivariatePoly::new(coefficients), sums, mus)
    }

    fn fold_first(&mut self, challenge: EF) {
        let size = 1 << self.l_skip;
        let omegas: Vec<F> = F::two_adic_generator(self.l_skip)
            .powers()
            .take(size)
            .collect();
        let weights = basis(self.l_skip, challenge);
        self.members
            .par_iter_mut()
            .for_each(|member| member.rows = Some(Rows::new(member.table, &weights)));
        self.eq = eval_eq_uni(self.l_skip, self.xi[0], challenge);
        self.eq_sharp = eval_eq_sharp_uni(&omegas, &self.xi[..self.l_skip], challenge);
    }

    fn fold(&mut self, round: usize, challenge: EF) {
        self.members
            .par_iter_mut()
            .for_each(|member| member.rows.as_mut().expect("folded before").fold(challenge));
        let eq: EF = eval_eq_mle(&[self.xi[self.l_skip + round - 1]], &[challenge]);
        self.eq *= eq;
        self.eq_sharp *= eq;
    }

    /// The polynomial of a later round, given the challenge of the one before it and the claim.
    fn round(&mut self, round: usize, previous: EF, claim: EF, mus: &[EF]) -> UnivariatePoly<EF> {
        let (degree, l_skip) = (self.degree, self.l_skip);
        let (xi, eq, eq_sharp) = (&self.xi, self.eq, self.eq_sharp);
        let tables = self.members.len();
        // Of each table: either the values at 1, ..., degree without eq, or a multiple of X.
        let sums: Vec<(Vec<Sums>, Sums)> = self
            .members
            .par_iter_mut()
            .map(|member| {
                let Member {
                    table,
                    program,
                    places,
                    combinations,
                    rows,
                    claims,
                } = member;
                let rows = rows.as_ref().expect("folded before");
                let share = F::from_usize(table.repeated()).inverse();
                if round <= table.rounds() {
                    let point = &xi[l_skip + round..l_skip + table.rounds()];
                    let mut sums = rows.sums(program, places, combinations, degree, point);
                    sums.iter_mut().for_each(|sums| sums[1] *= share);
                    return (sums, [EF::ZERO; 3]);
                }
                if round == table.rounds() + 1 {
                    let [constraints, numerator, denominator] =
                        rows.last(program, places, combinations);
                    *claims = [
                        eq * constraints,
                        eq_sharp * numerator * share,
                        eq_sharp * denominator,
                    ];
                } else {
                    claims.iter_mut().for_each(|claim| *claim *= previous);
                }
                (Vec::new(), *claims)
            })
            .collect();
        let batch = |table: usize, [constraints, numerator, denominator]: Sums| {
            let messages = mus[2 * table] * numerator + mus[2 * table + 1] * denominator;
            (mus[2 * tables + table] * constraints, messages)
        };
        let mut values = vec![EF::ZERO; degree + 1];
        let mut tail = EF::ZERO;
        for (table, (sums, claims)) in sums.into_iter().enumerate() {
            for (value, sums) in values[1..].iter_mut().zip(sums) {
                let (constraints, messages) = batch(table, sums);
                *value += eq * constraints + eq_sharp * messages;
            }
            let (constraints, messages) = batch(table, claims);
            tail += constraints + messages;
        }
        // What the claim is the sum of tells the value at 0.
        let x = xi[l_skip + round - 1];
        values[0] = (claim - x * values[1] - tail) * (EF::ONE - x).inverse();
        let points: Vec<F> = (0..=degree).map(F::from_usize).collect();
        let head = UnivariatePoly::lagrange_interpolate(&points, &values).into_coeffs();
        // Times eq(x, X) = (1 - x) + (2 x - 1) X, plus the multiple of X.
        let mut coefficients = vec![EF::ZERO; degree + 2];
        for (at, &coefficient) in head.iter().enumerate() {
            coefficients[at] += (EF::ONE - x) * coefficient;
            coefficients[at + 1] += (x.double() - EF::ONE) * coefficient;
        }
        coefficients[1] += tail;
        UnivariatePoly::new(coefficients)
    }

    /// The claims of each table's parts, the common one first: each column, followed by its value in the next row if
    /// the table has a use for it.
    fn openings(&self) -> Vec<Vec<Vec<EF>>> {
        self.members
            .iter()
            .map(|member| {
                let mut row = member.rows.as_ref().expect("folded before").row();
                let mut parts: Vec<Vec<EF>> = Vec::new();
                for part in &member.table.parts {
                    let (here, rest) = row.split_at(part.width);
                    row = rest;
                    if member.table.needs_next() {
                        let (next, rest) = row.split_at(part.width);
                        row = rest;
                        parts.push(here.iter().zip(next).flat_map(|(&a, &b)| [a, b]).collect());
                    } else {
                        parts.push(here.to_vec());
                    }
                }
                parts.rotate_right(1);
                parts
            })
            .collect()
    }
}
