//! The kernels of the prover by themselves, each beside the engine's own that gives the same: `benches/` measures them.

use openvm_cpu_backend::CpuDevice;
use openvm_stark_backend::p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::prover::TraceCommitter;
use openvm_stark_backend::prover::fractional_sumcheck_gkr::{
    Frac, fractional_sumcheck as reference,
};
use openvm_stark_backend::{FiatShamirTranscript, StarkEngine};
use openvm_stark_sdk::config::baby_bear_poseidon2::{
    Digest, DuplexSponge, EF, F, default_duplex_sponge,
};

use crate::device;
use crate::params::{self, Config, Engine};

/// Numbers that look random, the same each time.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn base(&mut self) -> F {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        F::from_u32((self.0 >> 33) as u32 % crate::MODULUS)
    }

    pub(crate) fn extension(&mut self) -> EF {
        EF::from_basis_coefficients_fn(|_| self.base())
    }
}

/// Fractions that sum to zero, whose sum is proved by GKR.
pub struct Fractions {
    values: Vec<(F, EF)>,
    fractions: Vec<Frac<EF>>,
    pad: EF,
    used: usize,
}

impl Fractions {
    /// Of `2^log_len` fractions about two thirds are used, as in a segment; the others are the tail.
    pub fn new(log_len: usize) -> Self {
        let used = (2 << log_len) / 3 / 2 * 2;
        let (values, pad) = device::gkr::fractions(&mut Numbers::new(1), used, 1 << log_len);
        let fractions = values
            .iter()
            .map(|&(p, q)| Frac::new(p.into(), q))
            .collect();
        Self {
            values,
            fractions,
            pad,
            used,
        }
    }

    /// The leaves as our device has them.
    pub fn leaves(&self) -> Leaves {
        Leaves(device::gkr::leaves(&self.values, self.pad, self.used))
    }

    /// The engine's proof: what a verifier samples after it.
    pub fn prove_reference(&self) -> EF {
        let mut transcript: DuplexSponge = default_duplex_sponge();
        reference::<Config, _>(&mut transcript, &self.fractions, true).expect("they cancel");
        FiatShamirTranscript::<Config>::sample_ext(&mut transcript)
    }
}

/// See `Fractions::leaves`.
pub struct Leaves(device::gkr::Leaves);

impl Leaves {
    /// Our proof: what a verifier samples after it.
    pub fn prove(self) -> EF {
        let mut transcript: DuplexSponge = default_duplex_sponge();
        device::gkr::fractional_sumcheck(&mut transcript, self.0).expect("they cancel");
        FiatShamirTranscript::<Config>::sample_ext(&mut transcript)
    }
}

/// Traces that are committed to.
pub struct Traces {
    engine: Engine,
    matrices: Vec<RowMajorMatrix<F>>,
}

impl Traces {
    /// So many columns of each height, `(log_height, width)`, from the highest to the lowest.
    pub fn new(log_stacked_height: usize, shapes: &[(usize, usize)]) -> Self {
        let mut numbers = Numbers::new(7);
        let matrices = shapes
            .iter()
            .map(|&(log_height, width)| {
                let cells = (0..width << log_height).map(|_| numbers.base()).collect();
                RowMajorMatrix::new(cells, width)
            })
            .collect();
        Self {
            engine: params::engine(log_stacked_height)
                .unwrap_or_else(|failure| panic!("{}", failure.message)),
            matrices,
        }
    }

    /// Our commitment.
    pub fn commit(&self) -> Digest {
        let matrices: Vec<_> = self.matrices.iter().collect();
        let committed = device::commit::commit(self.engine.params(), &matrices);
        committed.expect("a commitment").0
    }

    /// The engine's.
    pub fn commit_reference(&self) -> Digest {
        let matrices: Vec<_> = self.matrices.iter().collect();
        let device: &CpuDevice<Config> = self.engine.device();
        device.commit(&matrices).expect("a commitment").0
    }
}
