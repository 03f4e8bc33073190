//! A yardstick: a hand-written Keccak-f table on the same engine and parameters.

use std::sync::Arc;

use openvm_stark_backend::keygen::MultiStarkKeygenBuilder;
use openvm_stark_backend::p3_air::{Air, AirBuilder, BaseAir, BaseAirWithPublicValues};
use openvm_stark_backend::p3_field::Field;
use openvm_stark_backend::prover::{AirProvingContext, DeviceDataTransporter};
use openvm_stark_backend::{AirRef, PartitionedBaseAir, StarkEngine};
use openvm_stark_sdk::config::baby_bear_poseidon2::F;
use p3_keccak_air::{KeccakAir, NUM_KECCAK_COLS, NUM_ROUNDS, generate_trace_rows};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{Kind, Outcome, guard, on_big_stack};
use crate::keys::{ProvingKey, VerifyingKey};
use crate::params::{self, Config, Count};
use crate::phases::{Clock, Timings};
use crate::pool::pool;
use crate::prove::{Choice, engine_prove, seconds_dict};
use crate::verify;

struct Keccak(KeccakAir);

impl<T> BaseAir<T> for Keccak {
    fn width(&self) -> usize {
        BaseAir::<T>::width(&self.0)
    }
}

impl<T: Field> BaseAirWithPublicValues<T> for Keccak {}

impl<T: Field> PartitionedBaseAir<T> for Keccak {}

impl<AB: AirBuilder> Air<AB> for Keccak {
    fn eval(&self, builder: &mut AB) {
        self.0.eval(builder);
    }
}

struct Measured {
    seconds: Timings,
    rows: usize,
    proof_bytes: usize,
}

fn key(log_stacked_height: usize) -> Outcome<ProvingKey> {
    let engine = params::engine(log_stacked_height)?;
    let mut builder = MultiStarkKeygenBuilder::new(engine.config().clone());
    let air: AirRef<Config> = Arc::new(Keccak(KeccakAir {}));
    builder.add_air(air);
    let key = builder
        .generate_pk()
        .map_err(|error| Kind::Circuit.failure(error))?;
    let inner = key.get_vk();
    let device = engine.device().transport_pk_to_device(&key);
    Ok(ProvingKey {
        names: vec!["keccak".to_owned()],
        device,
        verifying: Arc::new(VerifyingKey {
            engine,
            inner: Arc::new(inner),
        }),
    })
}

/// Steele, Lea and Flood's mixer; the inputs only have to be reproducible and unremarkable.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn run(
    permutations: usize,
    log_stacked_height: usize,
    threads: usize,
    seed: u64,
) -> Outcome<Measured> {
    let key = on_big_stack(|| key(log_stacked_height))?;
    let params = &key.device.params;
    let rows = permutations
        .checked_mul(NUM_ROUNDS)
        .and_then(usize::checked_next_power_of_two)
        .unwrap_or(usize::MAX);
    // Every stacked column holds a whole number of these columns, except that the last may be short.
    let height = 1usize << params.log_stacked_height();
    if permutations == 0
        || rows > height
        || NUM_KECCAK_COLS.div_ceil(height / rows.max(1)) > params.w_stack
    {
        return Kind::Parameter.fail(format_args!(
            "{permutations} permutations do not fit log_stacked_height {log_stacked_height}"
        ));
    }
    let mut state = seed;
    let inputs = (0..permutations)
        .map(|_| std::array::from_fn(|_| splitmix(&mut state)))
        .collect();
    let (bytes, mut seconds) = pool(threads)?.install(|| {
        let started = Clock::now();
        let trace = generate_trace_rows::<F>(inputs, 0);
        let mut seconds = vec![("fill", started.elapsed())];
        let started = Clock::now();
        let context = AirProvingContext::simple_no_pis(trace);
        let (bytes, phases) = engine_prove(&key, vec![(0, context)], Choice::Own)?;
        seconds.push(("prove", started.elapsed()));
        seconds.extend(phases);
        Ok((bytes, seconds))
    })?;
    let started = Clock::now();
    on_big_stack(|| verify::check(&key.verifying, &bytes))?;
    seconds.push(("verify", started.elapsed()));
    Ok(Measured {
        seconds,
        rows,
        proof_bytes: bytes.len(),
    })
}

/// `keccak_baseline(permutations, log_stacked_height, threads, seed=0)`.
#[pyfunction]
#[pyo3(signature = (permutations, log_stacked_height, threads, seed=0))]
pub fn keccak_baseline(
    py: Python<'_>,
    permutations: Count,
    log_stacked_height: Count,
    threads: Count,
    seed: u64,
) -> PyResult<Bound<'_, PyDict>> {
    let measured = py.detach(|| {
        guard(Kind::Proving, || {
            run(permutations.0, log_stacked_height.0, threads.0, seed)
        })
    })?;
    let dict = PyDict::new(py);
    dict.set_item("permutations", permutations.0)?;
    dict.set_item("height", measured.rows)?;
    dict.set_item("width", NUM_KECCAK_COLS)?;
    dict.set_item("cells", measured.rows * NUM_KECCAK_COLS)?;
    dict.set_item("proof_bytes", measured.proof_bytes)?;
    dict.set_item(
        "seconds",
        seconds_dict(py, &measured.seconds, |time| time.wall)?,
    )?;
    Ok(dict)
}
