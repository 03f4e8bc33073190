//! Equal rows of an array.

use numpy::{PyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::arrays::{borrow, cells};
use crate::errors::{Kind, Outcome, guard};

/// Of the distinct rows, in lexicographic order: the first of those that are equal, and how many there are; and of each
/// row the place of its own among them.
#[derive(Debug, PartialEq, Eq)]
struct Distinct {
    first: Vec<i64>,
    counts: Vec<i64>,
    place: Vec<i64>,
}

/// What rows are sorted by at first: their first two cells.
fn head(row: &[u32]) -> u64 {
    let cell = |index: usize| u64::from(row.get(index).copied().unwrap_or(0));
    cell(0) << 32 | cell(1)
}

fn distinct(cells: &[u32], rows: usize, width: usize) -> Outcome<Distinct> {
    let row = |number: u32| &cells[number as usize * width..][..width];
    let Ok(count) = u32::try_from(rows) else {
        return Kind::Parameter.fail(format_args!("{rows} rows, at most 2^32 - 1 are sorted"));
    };
    let mut order: Vec<(u64, u32)> = (0..count)
        .map(|number| (head(row(number)), number))
        .collect();
    order.sort_unstable_by(|&(head_a, a), &(head_b, b)| {
        head_a
            .cmp(&head_b)
            .then_with(|| row(a).cmp(row(b)))
            .then_with(|| a.cmp(&b))
    });
    let mut found = Distinct {
        first: vec![],
        counts: vec![],
        place: vec![0; rows],
    };
    let mut last: Option<(u64, u32)> = None;
    for (head, number) in order {
        let is_new = last.is_none_or(|(other, before)| head != other || row(number) != row(before));
        if is_new {
            found.first.push(i64::from(number));
            found.counts.push(0);
        }
        let group = found.first.len() - 1;
        found.counts[group] += 1;
        found.place[number as usize] = group as i64;
        last = Some((head, number));
    }
    Ok(found)
}

type Arrays<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
);

/// `distinct_rows(rows)`.
#[pyfunction]
pub fn distinct_rows<'py>(py: Python<'py>, rows: &Bound<'py, PyAny>) -> PyResult<Arrays<'py>> {
    let view = borrow(Kind::Parameter, "the array", rows)?;
    let (count, width) = (view.shape()[0], view.shape()[1]);
    let given = cells(&view);
    let found = py.detach(|| guard(Kind::Parameter, || distinct(given, count, width)))?;
    Ok((
        PyArray1::from_vec(py, found.first),
        PyArray1::from_vec(py, found.counts),
        PyArray1::from_vec(py, found.place),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_are_one() {
        let cells = [2, 0, 1, 1, 5, 0, 2, 0, 1, 1, 5, 1];
        let found = distinct(&cells, 4, 3).expect("few rows");
        assert_eq!(found.first, [1, 3, 0]);
        assert_eq!(found.counts, [1, 1, 2]);
        assert_eq!(found.place, [2, 0, 2, 1]);
    }

    #[test]
    fn rows_without_cells_are_equal() {
        let found = distinct(&[], 3, 0).expect("few rows");
        assert_eq!((found.first, found.counts), (vec![0], vec![3]));
        assert_eq!(distinct(&[], 0, 7).expect("none").first.len(), 0);
    }
}
