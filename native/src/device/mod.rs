//! Our own prover device.
//!
//! It works on the data of the engine's CPU backend, and its proofs are those of the engine's device, byte for byte
//! where both choose the same proof of work. `commit` commits to traces. `constraints` is the protocol for constraints and
//! messages: `gkr` and `leaves` sum up the messages, `univariate` and `rounds` are the batch sumcheck over `table`s, whose
//! expressions are `program`s. `stacking` reduces its claims to stacked columns, which `opening` opens. Everything is
//! computed on `packing`s.

pub(crate) mod commit;
mod constraints;
pub(crate) mod gkr;
mod leaves;
mod opening;
mod packing;
mod program;
mod rounds;
mod stacking;
mod table;
mod univariate;

use openvm_cpu_backend::{CpuBackend, CpuDevice, CpuProverError};
use openvm_stark_backend::FiatShamirTranscript;
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::poly_common::Squarable;
use openvm_stark_backend::proof::{BatchConstraintProof, GkrProof, StackingProof, WhirProof};
use openvm_stark_backend::prover::error::WhirProverError;
use openvm_stark_backend::prover::stacked_reduction::prove_stacked_opening_reduction;
use openvm_stark_backend::prover::{
    DeviceMultiStarkProvingKey, MultiRapProver, OpeningProver, ProverBackend, ProverDevice,
    ProvingContext, TraceCommitter,
};
use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, EF, F};
use tracing::info_span;

use crate::params::Config;
use stacking::Reduction;

type Backend = CpuBackend<Config>;
type Committed = <Backend as ProverBackend>::PcsData;

/// Works on the data of the engine's device.
pub struct Device<'a>(pub &'a CpuDevice<Config>);

impl TraceCommitter<Backend> for Device<'_> {
    type Error = CpuProverError;

    fn commit(&self, traces: &[&RowMajorMatrix<F>]) -> Result<(Digest, Committed), CpuProverError> {
        commit::commit(self.0.params(), traces)
    }
}

impl<TS: FiatShamirTranscript<Config>> MultiRapProver<Backend, TS> for Device<'_> {
    type PartialProof = (GkrProof<Config>, BatchConstraintProof<Config>);
    type Artifacts = Vec<EF>;
    type Error = CpuProverError;

    fn prove_rap_constraints(
        &self,
        transcript: &mut TS,
        key: &DeviceMultiStarkProvingKey<Backend>,
        context: &ProvingContext<Backend>,
        _committed: &Committed,
    ) -> Result<(Self::PartialProof, Vec<EF>), CpuProverError> {
        let _span = info_span!("prove_zerocheck_and_logup").entered();
        let (gkr, batch, point) = constraints::prove(transcript, key, context)?;
        Ok(((gkr, batch), point))
    }
}

impl<TS: FiatShamirTranscript<Config>> OpeningProver<Backend, TS> for Device<'_> {
    type OpeningProof = (StackingProof<Config>, WhirProof<Config>);
    type OpeningPoints = Vec<EF>;
    type Error = CpuProverError;

    fn prove_openings(
        &self,
        transcript: &mut TS,
        key: &DeviceMultiStarkProvingKey<Backend>,
        context: ProvingContext<Backend>,
        committed: Committed,
        point: Vec<EF>,
    ) -> Result<Self::OpeningProof, CpuProverError> {
        let params = self.0.params();
        let needs_next = |index: usize| key.per_air[index].vk.params.need_rot;
        // After that of all tables, the commitments of each table: to preprocessed columns, and to cached ones.
        let mut commitments = vec![&committed];
        let mut rotated = vec![];
        rotated.push(
            context
                .per_trace
                .iter()
                .map(|(index, _)| needs_next(*index))
                .collect(),
        );
        for (index, context) in &context.per_trace {
            let preprocessed = &key.per_air[*index].preprocessed_data;
            for data in preprocessed.iter().chain(&context.cached_mains) {
                commitments.push(&*data.data);
                rotated.push(vec![needs_next(*index)]);
            }
        }
        let (stacking, reduced) = prove_stacked_opening_reduction::<_, Backend, _, _, Reduction<'_>>(
            self.0,
            transcript,
            params.n_stack,
            commitments.clone(),
            rotated,
            &point,
        );
        let (&first, rest) = reduced.split_first().ok_or(WhirProverError::UPrismaEmpty)?;
        let point: Vec<EF> = first
            .exp_powers_of_2()
            .take(params.l_skip)
            .chain(rest.iter().copied())
            .collect();
        let _span = info_span!("prove_whir_opening_cpu").entered();
        let whir = opening::prove(transcript, params, &commitments, &point)?;
        Ok((stacking, whir))
    }
}

impl<TS: FiatShamirTranscript<Config>> ProverDevice<Backend, TS> for Device<'_> {
    type Error = CpuProverError;
    type DeviceCtx = ();

    fn device_ctx(&self) -> &() {
        &()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openvm_stark_backend::codec::Decode;
    use openvm_stark_backend::keygen::MultiStarkKeygenBuilder;
    use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
    use openvm_stark_backend::proof::Proof;
    use openvm_stark_backend::prover::{AirProvingContext, DeviceDataTransporter};
    use openvm_stark_backend::{AirRef, StarkEngine};

    use super::*;
    use crate::params::{Engine, system_params};
    use crate::pool::pool;
    use crate::prove::{Choice, run};

    /// One table that uses the next row and states its first value; one of the third degree, whose values are looked up
    /// in the last one.
    const CIRCUIT: &str = r#"{"tables": [
        {"name": "fibonacci", "width": 2, "public_values": 1,
         "nodes": [0,0,0, 0,1,0, 1,0,0, 1,1,0, 6,0,0, 8,2,1, 9,4,5, 7,0,1, 8,3,7, 9,4,8, 3,0,0, 8,0,10, 4,0,0, 9,12,11],
         "constraints": [6, 9, 13], "interactions": []},
        {"name": "user", "width": 1, "public_values": 0,
         "nodes": [0,0,0, 2,1,0, 2,2,0, 8,0,1, 8,0,2, 9,0,3, 9,5,4], "constraints": [6],
         "interactions": [{"bus": 0, "count": 1, "fields": [0], "weight": 1}]},
        {"name": "offers", "width": 2, "public_values": 0, "nodes": [0,0,0, 0,1,0, 10,1,0], "constraints": [],
         "interactions": [{"bus": 0, "count": 2, "fields": [0], "weight": 1}]}
    ]}"#;

    fn traces(log_heights: [usize; 3]) -> Vec<(usize, AirProvingContext<Backend>)> {
        let [fibonacci, user, offers] = log_heights.map(|log_height| 1usize << log_height);
        let mut row = [F::from_u32(5), F::from_u32(8)];
        let pairs = (0..fibonacci).flat_map(|_| {
            let here = row;
            row = [here[1], here[0] + here[1]];
            here
        });
        let pairs = RowMajorMatrix::new(pairs.collect(), 2);
        let kinds = 3.min(offers);
        let users = (0..user).map(|row| F::from_usize(row % kinds));
        let users = RowMajorMatrix::new(users.collect(), 1);
        let count = |value: usize| (0..user).filter(|row| row % kinds == value).count();
        let offered = (0..offers).flat_map(|row| [row, count(row)].map(F::from_usize));
        let offered = RowMajorMatrix::new(offered.collect(), 2);
        vec![
            (0, AirProvingContext::simple(pairs, vec![F::from_u32(5)])),
            (1, AirProvingContext::simple_no_pis(users)),
            (2, AirProvingContext::simple_no_pis(offered)),
        ]
    }

    #[test]
    fn proofs_are_those_of_the_engine_whatever_is_skipped() {
        const LOG_STACKED_HEIGHT: usize = 12;
        for l_skip in [2, 3, 4] {
            let mut params = system_params(LOG_STACKED_HEIGHT).expect("a height");
            params.l_skip = l_skip;
            params.n_stack = LOG_STACKED_HEIGHT - l_skip;
            params.max_constraint_degree = 4;
            // Proofs of work take time, and are the same code.
            params.logup.pow_bits = 1;
            params.whir.mu_pow_bits = 1;
            params.whir.folding_pow_bits = 1;
            params.whir.query_phase_pow_bits = 1;
            let engine = Engine::new(params);
            let mut builder = MultiStarkKeygenBuilder::new(engine.config().clone());
            for air in crate::air::parse(CIRCUIT).expect("a circuit") {
                builder.add_air(Arc::new(air) as AirRef<Config>);
            }
            let proving = builder.generate_pk().expect("a key");
            let key = engine.device().transport_pk_to_device(&proving);
            for log_heights in [
                [0, 0, 0],
                [1, 3, 2],
                [4, 0, 1],
                [6, 9, 4],
                [10, 5, 3],
                [2, 12, 11],
            ] {
                // One thread finds the same proof of work again.
                let [own, stock] = [Choice::Own, Choice::Stock].map(|device| {
                    let context = ProvingContext::new(traces(log_heights));
                    let proved = pool(1)
                        .expect("a thread")
                        .install(|| run(&engine, &key, context, device));
                    proved.expect("a proof").0
                });
                assert!(own == stock, "{l_skip} {log_heights:?}");
                let proof = Proof::decode_from_bytes(&own).expect("its encoding");
                engine.verify(&proving.get_vk(), &proof).expect("it holds");
            }
        }
    }
}
