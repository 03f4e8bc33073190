//! The permutation the engine hashes with.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use openvm_stark_backend::p3_field::{Field, PackedValue, PrimeCharacteristicRing, PrimeField32};
use openvm_stark_backend::p3_symmetric::Permutation;
use openvm_stark_sdk::config::baby_bear_poseidon2::{F, poseidon2_perm};
use p3_baby_bear::{
    BABYBEAR_RC16_EXTERNAL_FINAL, BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL,
    GenericPoseidon2LinearLayersBabyBear,
};
use p3_poseidon2::GenericPoseidon2LinearLayers;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::MODULUS;
use crate::arrays::{borrow_rows, cells};
use crate::errors::{Kind, Outcome, guard};

/// As many elements as the machine computes with at once.
type Packed = <F as Field>::Packing;

pub const WIDTH: usize = 16;
const DIGEST: usize = 8;

/// The vector `v` for which the internal layer maps `x` to `sum(x) + v * x`.
fn internal_diagonal() -> [u32; WIDTH] {
    std::array::from_fn(|index| {
        let mut state = [F::ZERO; WIDTH];
        state[index] = F::ONE;
        GenericPoseidon2LinearLayersBabyBear::internal_linear_layer(&mut state);
        (state[index] - F::ONE).as_canonical_u32()
    })
}

fn check_canonical(cells: &[u32], width: usize) -> Outcome<()> {
    match cells.iter().position(|&cell| cell >= MODULUS) {
        None => Ok(()),
        Some(at) => Kind::Parameter.fail(format_args!(
            "row {}, column {} holds {}, not below the modulus",
            at / width,
            at % width,
            cells[at]
        )),
    }
}

/// What a function gives of each row, `width` elements. It is given as many rows at once as the machine computes with,
/// one behind the other in this thread: most calls have few.
fn of_each(
    states: &[u32],
    width: usize,
    compute: impl Fn([Packed; WIDTH], &mut Vec<Packed>),
) -> Outcome<Vec<u32>> {
    check_canonical(states, WIDTH)?;
    let mut output = vec![0; states.len() / WIDTH * width];
    let mut computed = Vec::with_capacity(width);
    let (from, to) = (WIDTH * Packed::WIDTH, width * Packed::WIDTH);
    for (output, states) in output.chunks_mut(to).zip(states.chunks(from)) {
        let at = |row: usize, column: usize| states.get(WIDTH * row + column);
        let element = |row, column| at(row, column).map_or(F::ZERO, |&cell| F::from_u32(cell));
        computed.clear();
        compute(
            std::array::from_fn(|column| Packed::from_fn(|row| element(row, column))),
            &mut computed,
        );
        for (row, output) in output.chunks_exact_mut(width).enumerate() {
            for (cell, values) in output.iter_mut().zip(&computed) {
                *cell = values.as_slice()[row].as_canonical_u32();
            }
        }
    }
    Ok(output)
}

fn permuted(mut state: [Packed; WIDTH], output: &mut Vec<Packed>) {
    poseidon2_perm().permute_mut(&mut state);
    output.extend(state);
}

/// Elements of a row of `rounds`.
const ROUNDS: usize = {
    let full = BABYBEAR_RC16_EXTERNAL_INITIAL.len() + BABYBEAR_RC16_EXTERNAL_FINAL.len();
    WIDTH * (full + full - 1) + 2 * BABYBEAR_RC16_INTERNAL.len() + DIGEST
};

/// What the compression of a state goes through: the cubes of all full rounds, the states behind all of them but the
/// last, the cubes of the partial rounds, the outputs of their S-boxes, and what it gives.
fn rounds(input: [Packed; WIDTH], output: &mut Vec<Packed>) {
    let (mut cubes, mut outputs, mut after) = (vec![], vec![], vec![]);
    let mut state = input;
    GenericPoseidon2LinearLayersBabyBear::external_linear_layer(&mut state);
    let mut full = |state: &mut [Packed; WIDTH], constants: &[F; WIDTH]| {
        for (element, &constant) in state.iter_mut().zip(constants) {
            let x = *element + constant;
            let cube = x.cube();
            output.push(cube);
            *element = cube.square() * x;
        }
        GenericPoseidon2LinearLayersBabyBear::external_linear_layer(state);
        after.extend(*state);
    };
    for constants in &BABYBEAR_RC16_EXTERNAL_INITIAL {
        full(&mut state, constants);
    }
    for &constant in &BABYBEAR_RC16_INTERNAL {
        let x = state[0] + constant;
        let cube = x.cube();
        state[0] = cube.square() * x;
        cubes.push(cube);
        outputs.push(state[0]);
        GenericPoseidon2LinearLayersBabyBear::internal_linear_layer(&mut state);
    }
    for constants in &BABYBEAR_RC16_EXTERNAL_FINAL {
        full(&mut state, constants);
    }
    after.truncate(after.len() - WIDTH);
    output.extend(after.into_iter().chain(cubes).chain(outputs));
    output.extend((0..DIGEST).map(|index| state[index] + input[index]));
}

/// All states of `h -> C(h, block)` behind the first one; C adds its input to the permutation of it.
fn chain(start: &[u32], blocks: &[u32]) -> Outcome<Vec<u32>> {
    check_canonical(start, DIGEST)?;
    check_canonical(blocks, DIGEST)?;
    let mut current: [F; DIGEST] = std::array::from_fn(|index| F::from_u32(start[index]));
    let mut output = Vec::with_capacity(blocks.len());
    for block in blocks.chunks_exact(DIGEST) {
        let mut state: [F; WIDTH] = std::array::from_fn(|index| match index.checked_sub(DIGEST) {
            None => current[index],
            Some(index) => F::from_u32(block[index]),
        });
        poseidon2_perm().permute_mut(&mut state);
        for (current, value) in current.iter_mut().zip(state) {
            *current += value;
            output.push(current.as_canonical_u32());
        }
    }
    Ok(output)
}

fn to_rows<'py>(
    py: Python<'py>,
    cells: Vec<u32>,
    width: usize,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    let rows = cells.len() / width;
    PyArray1::from_vec(py, cells).reshape([rows, width])
}

/// What `of_each` gives of an array of states.
fn of_array<'py>(
    py: Python<'py>,
    state: &Bound<'py, PyAny>,
    width: usize,
    compute: impl Fn([Packed; WIDTH], &mut Vec<Packed>) + Send,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    let view = borrow_rows("the state", state, WIDTH)?;
    let states = cells(&view);
    let output = py.detach(|| guard(Kind::Parameter, || of_each(states, width, compute)))?;
    to_rows(py, output, width)
}

/// `poseidon2_permute(state)`.
#[pyfunction]
pub fn poseidon2_permute<'py>(
    py: Python<'py>,
    state: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    of_array(py, state, WIDTH, permuted)
}

/// `poseidon2_rounds(state)`.
#[pyfunction]
pub fn poseidon2_rounds<'py>(
    py: Python<'py>,
    state: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    of_array(py, state, ROUNDS, rounds)
}

/// `poseidon2_chain(start, blocks)`.
#[pyfunction]
pub fn poseidon2_chain<'py>(
    py: Python<'py>,
    start: &Bound<'py, PyAny>,
    blocks: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    let start = borrow_rows("the start", start, DIGEST)?;
    if start.shape()[0] != 1 {
        return Kind::Parameter.fail("the start: not one row")?;
    }
    let blocks = borrow_rows("the blocks", blocks, DIGEST)?;
    let (first, blocks) = (cells(&start), cells(&blocks));
    let output = py.detach(|| guard(Kind::Parameter, || chain(first, blocks)))?;
    to_rows(py, output, DIGEST)
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
