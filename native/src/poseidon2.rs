//! The permutation the engine hashes with.

use numpy::{PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use openvm_stark_backend::p3_field::{PrimeCharacteristicRing, PrimeField32};
use openvm_stark_backend::p3_symmetric::Permutation;
use openvm_stark_sdk::config::baby_bear_poseidon2::{F, poseidon2_perm};
use p3_baby_bear::{
    BABYBEAR_RC16_EXTERNAL_FINAL, BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL,
    GenericPoseidon2LinearLayersBabyBear,
};
use p3_poseidon2::GenericPoseidon2LinearLayers;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::prelude::*;

use crate::MODULUS;
use crate::errors::{Kind, Outcome, guard};
use crate::pool::pool;

pub const WIDTH: usize = 16;

/// The vector `v` for which the internal layer maps `x` to `sum(x) + v * x`.
fn internal_diagonal() -> [u32; WIDTH] {
    std::array::from_fn(|index| {
        let mut state = [F::ZERO; WIDTH];
        state[index] = F::ONE;
        GenericPoseidon2LinearLayersBabyBear::internal_linear_layer(&mut state);
        (state[index] - F::ONE).as_canonical_u32()
    })
}

fn permute(states: &[u32]) -> Outcome<Vec<u32>> {
    if let Some(at) = states.par_iter().position_any(|&cell| cell >= MODULUS) {
        return Kind::Parameter.fail(format_args!(
            "row {}, column {} holds {}, not below the modulus",
            at / WIDTH,
            at % WIDTH,
            states[at]
        ));
    }
    let mut output = vec![0; states.len()];
    output
        .par_chunks_exact_mut(WIDTH)
        .zip(states.par_chunks_exact(WIDTH))
        .for_each(|(output, state)| {
            let mut state: [F; WIDTH] = std::array::from_fn(|index| F::from_u32(state[index]));
            poseidon2_perm().permute_mut(&mut state);
            for (output, value) in output.iter_mut().zip(state) {
                *output = value.as_canonical_u32();
            }
        });
    Ok(output)
}

/// `poseidon2_permute(state)`.
#[pyfunction]
pub fn poseidon2_permute<'py>(
    py: Python<'py>,
    state: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    let fail = |text: &str| Kind::Parameter.failure(text);
    let array = state
        .cast::<PyArray2<u32>>()
        .map_err(|_| fail("the state is not a two-dimensional numpy array of uint32"))?;
    if array.shape()[1] != WIDTH {
        return Err(fail("the state does not have 16 columns").into());
    }
    if !array.is_c_contiguous() || !array.data().is_aligned() {
        return Err(fail("the state is not C-contiguous").into());
    }
    let rows = array.shape()[0];
    let view = array
        .try_readonly()
        .map_err(|error| fail(&error.to_string()))?;
    let cells = view.as_slice().expect("contiguity was checked");
    let output = py.detach(|| guard(Kind::Parameter, || pool(1)?.install(|| permute(cells))))?;
    numpy::PyArray1::from_vec(py, output).reshape([rows, WIDTH])
}

/// `poseidon2_constants()`.
#[pyfunction]
pub fn poseidon2_constants(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let row =
        |row: &[F]| -> Vec<u32> { row.iter().map(|value| value.as_canonical_u32()).collect() };
    let table = |rows: &[[F; WIDTH]]| -> Vec<Vec<u32>> { rows.iter().map(|r| row(r)).collect() };
    let dict = PyDict::new(py);
    dict.set_item("external_initial", table(&BABYBEAR_RC16_EXTERNAL_INITIAL))?;
    dict.set_item("internal", row(&BABYBEAR_RC16_INTERNAL))?;
    dict.set_item("external_final", table(&BABYBEAR_RC16_EXTERNAL_FINAL))?;
    dict.set_item("internal_diagonal", internal_diagonal().to_vec())?;
    Ok(dict)
}
