//! Arrays of Python that can be read in place.

use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::errors::{Kind, Outcome};

/// The rows of an array, which a failure of this kind calls by a name.
pub fn borrow<'py>(
    kind: Kind,
    name: &str,
    item: &Bound<'py, PyAny>,
) -> Outcome<PyReadonlyArray2<'py, u32>> {
    let fail = |text: &str| kind.failure(format_args!("{name} {text}"));
    let array = item
        .cast::<PyArray2<u32>>()
        .map_err(|_| fail("is not a two-dimensional numpy array of uint32"))?;
    if !array.is_c_contiguous() {
        return Err(fail("is not C-contiguous"));
    }
    if !array.data().is_aligned() {
        return Err(fail("is not aligned"));
    }
    array
        .try_readonly()
        .map_err(|error| fail(&error.to_string()))
}

/// The same for a parameter of this many columns.
pub fn borrow_rows<'py>(
    name: &str,
    item: &Bound<'py, PyAny>,
    width: usize,
) -> Outcome<PyReadonlyArray2<'py, u32>> {
    let rows = borrow(Kind::Parameter, name, item)?;
    if rows.shape()[1] != width {
        return Kind::Parameter.fail(format_args!("{name} has not {width} columns"));
    }
    Ok(rows)
}

/// The cells of rows that have been borrowed, one behind the other.
pub fn cells<'a>(rows: &'a PyReadonlyArray2<'_, u32>) -> &'a [u32] {
    rows.as_slice().expect("what is borrowed is contiguous")
}
