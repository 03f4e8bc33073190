//! Our own prover device.
//!
//! It works on the data of the engine's CPU backend, and its proofs are those of the engine's device, byte for byte
//! where both choose the same proof of work. Opening is the engine's. `commit` is ours, and so is the argument for
//! constraints and messages: `constraints` is the protocol, `gkr` and `leaves` sum up the messages, `univariate` and `rounds`
//! are the batch sumcheck over `table`s, whose expressions are `program`s, and everything is computed on `packing`s.

pub(crate) mod commit;
mod constraints;
pub(crate) mod gkr;
mod leaves;
mod packing;
mod program;
mod rounds;
mod table;
mod univariate;

use openvm_cpu_backend::{CpuBackend, CpuDevice, CpuProverError};
use openvm_stark_backend::FiatShamirTranscript;
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::proof::{BatchConstraintProof, GkrProof, StackingProof, WhirProof};
use openvm_stark_backend::prover::{
    DeviceMultiStarkProvingKey, MultiRapProver, OpeningProver, ProverBackend, ProverDevice,
    ProvingContext, TraceCommitter,
};
use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, EF, F};
use tracing::info_span;

use crate::params::Config;

type Backend = CpuBackend<Config>;
type Committed = <Backend as ProverBackend>::PcsData;

/// Opens like the engine's device, with which it shares the data.
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
        self.0
            .prove_openings(transcript, key, context, committed, point)
    }
}

impl<TS: FiatShamirTranscript<Config>> ProverDevice<Backend, TS> for Device<'_> {
    type Error = CpuProverError;
    type DeviceCtx = ();

    fn device_ctx(&self) -> &() {
        &()
    }
}
