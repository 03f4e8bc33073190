//! A typed Python binding of a STARK engine.
//!
//! Circuits arrive as data and traces as arrays of integers; this crate knows nothing of what they
//! mean. Everything Python can reach is wrapped so that no engine panic crosses the boundary.

#[cfg(feature = "aggregation")]
mod aggregation;
mod air;
mod arrays;
mod baseline;
mod device;
mod errors;
mod evaluate;
#[cfg(any(test, feature = "bench"))]
pub mod kernels;
mod keys;
mod memory;
mod params;
mod phases;
mod pool;
mod poseidon2;
mod prove;
mod rows;
mod sha256;
mod shape;
mod verify;

use pyo3::prelude::*;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The order of the base field.
pub const MODULUS: u32 = 0x7800_0001;

/// What every key made or accepted here is proven to reach.
pub const SECURITY_BITS: u32 = 100;

/// Version of the engine crates; `Cargo.toml` pins them to exactly this.
pub const VERSION: &str = "2.0.1";

#[pymodule]
fn zkevm_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    memory::keep_nothing_large();
    module.add("MODULUS", MODULUS)?;
    module.add("SECURITY_BITS", SECURITY_BITS)?;
    module.add("VERSION", VERSION)?;
    errors::register(module)?;
    module.add_class::<evaluate::Evaluator>()?;
    module.add_class::<keys::ProvingKey>()?;
    module.add_class::<keys::VerifyingKey>()?;
    module.add_class::<verify::VerifiedProof>()?;
    #[cfg(feature = "aggregation")]
    module.add_class::<aggregation::Aggregator>()?;
    module.add_function(wrap_pyfunction!(params::parameters, module)?)?;
    module.add_function(wrap_pyfunction!(keys::keygen, module)?)?;
    module.add_function(wrap_pyfunction!(prove::prove, module)?)?;
    module.add_function(wrap_pyfunction!(verify::verify, module)?)?;
    module.add_function(wrap_pyfunction!(rows::distinct_rows, module)?)?;
    module.add_function(wrap_pyfunction!(sha256::sha256_states, module)?)?;
    module.add_function(wrap_pyfunction!(poseidon2::poseidon2_permute, module)?)?;
    module.add_function(wrap_pyfunction!(poseidon2::poseidon2_rounds, module)?)?;
    module.add_function(wrap_pyfunction!(poseidon2::poseidon2_chain, module)?)?;
    module.add_function(wrap_pyfunction!(poseidon2::poseidon2_constants, module)?)?;
    module.add_function(wrap_pyfunction!(baseline::keccak_baseline, module)?)?;
    Ok(())
}
