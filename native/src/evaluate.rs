//! The value of expressions on rows of a table, many rows at a time: what checking and filling tables wait for.
//!
//! Not the prover's arithmetic: elements are the canonical integers that traces hold, and loops over a few lanes are
//! left to the compiler to vectorize. So what the checker says does not rest on what it checks.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::MODULUS;
use crate::air::op;
use crate::arrays::{borrow, borrow_rows, cells};
use crate::errors::{Kind, Outcome, guard};

/// Rows that a step works on at once: two vectors of AVX2, one of AVX-512.
const LANES: usize = 16;

type Lanes = [u32; LANES];

/// Values of a block are given back at once; Python holds no more than that of a table.
const MAX_VALUES: usize = 1 << 28;

fn reduced(x: u32) -> u32 {
    // Below twice the modulus: what wraps around is larger.
    x.min(x.wrapping_sub(MODULUS))
}

fn add(a: u32, b: u32) -> u32 {
    reduced(a + b)
}

fn sub(a: u32, b: u32) -> u32 {
    let difference = a.wrapping_sub(b);
    difference.min(difference.wrapping_add(MODULUS))
}

/// Barrett reduction. With t = a b < p^2, the quotient found is less than the true one t / p by at most 1 for the last
/// shift, mu / 2^32 < 0.54 for the first one, and frac(2^62 / p) t / 2^62 < 0.36 for mu: what is left is below 2 p.
fn mul(a: u32, b: u32) -> u32 {
    const MU: u64 = (1 << 62) / MODULUS as u64;
    let product = u64::from(a) * u64::from(b);
    let quotient = ((product >> 30) * MU) >> 32;
    reduced((product as u32).wrapping_sub((quotient as u32).wrapping_mul(MODULUS)))
}

/// What to do next, with registers of `Lanes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Local {
        column: u32,
        to: u32,
    },
    Next {
        column: u32,
        to: u32,
    },
    Constant {
        value: u32,
        to: u32,
    },
    Public {
        index: u32,
        to: u32,
    },
    IsFirst {
        to: u32,
    },
    IsLast {
        to: u32,
    },
    IsTransition {
        to: u32,
    },
    Add {
        a: u32,
        b: u32,
        to: u32,
    },
    Sub {
        a: u32,
        b: u32,
        to: u32,
    },
    Mul {
        a: u32,
        b: u32,
        to: u32,
    },
    Neg {
        a: u32,
        to: u32,
    },
    /// The value of the wanted node of this number is in the register.
    Give {
        from: u32,
        wanted: u32,
    },
}

/// The rows of a block, cell by cell.
struct Rows<'a> {
    height: usize,
    width: usize,
    local: &'a [u32],
    next: &'a [u32],
    first: &'a [u32],
    last: &'a [u32],
    public: &'a [u32],
    /// Public values of a row: 0 if all rows have the same ones.
    stride: usize,
}

/// Expressions of one table as a straight-line program.
#[pyclass(frozen, module = "zkevm_native")]
pub struct Evaluator {
    steps: Vec<Step>,
    registers: usize,
    wanted: usize,
    /// Columns and public values that rows must have.
    columns: usize,
    publics: usize,
}

impl Evaluator {
    /// `nodes`: operation and two operands each, which are earlier nodes, a column, a constant or a public value.
    fn compile(nodes: &[u32], wanted: &[u32]) -> Outcome<Self> {
        let node = |index: u32| -> &[u32] { &nodes[3 * index as usize..][..3] };
        let operands = |index: u32| match node(index) {
            [op::ADD | op::SUB | op::MUL, a, b] => [Some(*a), Some(*b)],
            [op::NEG, a, _] => [Some(*a), None],
            _ => [None, None],
        };
        let count = (nodes.len() / 3) as u32;
        // The last step that reads each node; `count` where it is given back. Needed are those that have one.
        const UNUSED: u32 = u32::MAX;
        let mut last_use = vec![UNUSED; count as usize];
        for &index in wanted {
            if index >= count {
                return Kind::Parameter
                    .fail(format_args!("node {index} is wanted, there are {count}"));
            }
            last_use[index as usize] = index;
        }
        for index in (0..count).rev().filter(|&index| node(index)[0] >= op::ADD) {
            if last_use[index as usize] == UNUSED {
                continue;
            }
            for operand in operands(index).into_iter().flatten() {
                if operand >= index {
                    return Kind::Parameter
                        .fail(format_args!("node {index} is made of node {operand}"));
                }
                let known = &mut last_use[operand as usize];
                if *known == UNUSED || *known == operand {
                    *known = index;
                }
            }
        }
        let mut given: Vec<Vec<u32>> = vec![Vec::new(); count as usize];
        for (number, &index) in wanted.iter().enumerate() {
            given[index as usize].push(number as u32);
        }

        let mut made = Self {
            steps: Vec::new(),
            registers: 0,
            wanted: wanted.len(),
            columns: 0,
            publics: 0,
        };
        let mut free: Vec<u32> = Vec::new();
        let mut register = vec![0u32; count as usize];
        for index in (0..count).filter(|&index| last_use[index as usize] != UNUSED) {
            let [operation, a, b] = *node(index) else {
                unreachable!("nodes are three numbers")
            };
            let (left, right) = match operation {
                op::ADD | op::SUB | op::MUL => (register[a as usize], register[b as usize]),
                op::NEG => (register[a as usize], 0),
                _ => (0, 0),
            };
            // A register is free again with the step that reads it last: steps read before they write.
            let mut before = None;
            for operand in operands(index).into_iter().flatten() {
                if last_use[operand as usize] == index && before != Some(operand) {
                    free.push(register[operand as usize]);
                    before = Some(operand);
                }
            }
            let to = free.pop().unwrap_or_else(|| {
                made.registers += 1;
                made.registers as u32 - 1
            });
            register[index as usize] = to;
            made.steps.push(match operation {
                op::LOCAL | op::NEXT => {
                    made.columns = made.columns.max(a as usize + 1);
                    match operation {
                        op::LOCAL => Step::Local { column: a, to },
                        _ => Step::Next { column: a, to },
                    }
                }
                op::CONST if a < MODULUS => Step::Constant { value: a, to },
                op::PUBLIC => {
                    made.publics = made.publics.max(a as usize + 1);
                    Step::Public { index: a, to }
                }
                op::IS_FIRST => Step::IsFirst { to },
                op::IS_LAST => Step::IsLast { to },
                op::IS_TRANSITION => Step::IsTransition { to },
                op::ADD => Step::Add {
                    a: left,
                    b: right,
                    to,
                },
                op::SUB => Step::Sub {
                    a: left,
                    b: right,
                    to,
                },
                op::MUL => Step::Mul {
                    a: left,
                    b: right,
                    to,
                },
                op::NEG => Step::Neg { a: left, to },
                _ => {
                    return Kind::Parameter
                        .fail(format_args!("node {index}: operation {operation} of {a}"));
                }
            });
            for &number in &given[index as usize] {
                made.steps.push(Step::Give {
                    from: to,
                    wanted: number,
                });
            }
            if last_use[index as usize] == index {
                free.push(to); // nobody reads it but who wanted it
            }
        }
        Ok(made)
    }

    /// Whether arrays of these shapes are rows of the table.
    fn check(
        &self,
        local: &[usize],
        next: &[usize],
        ends: &[usize],
        public: &[usize],
    ) -> Outcome<()> {
        let (height, width) = (local[0], local[1]);
        if next != local || ends != [2, height] || ![1, height].contains(&public[0]) {
            return Kind::Parameter.fail(format_args!(
                "rows of the shape {local:?}, successors of {next:?}, ends of {ends:?}, public values of {public:?}"
            ));
        }
        if width < self.columns || public[1] < self.publics {
            return Kind::Parameter.fail(format_args!(
                "{width} columns and {} public values, of which {} and {} are read",
                public[1], self.columns, self.publics
            ));
        }
        if self.wanted.saturating_mul(height) > MAX_VALUES {
            return Kind::Parameter.fail(format_args!(
                "{} values on {height} rows are more than {MAX_VALUES}",
                self.wanted
            ));
        }
        Ok(())
    }

    /// The wanted values on all rows, one wanted node behind the other.
    fn values(&self, rows: &Rows) -> Vec<u32> {
        let mut values = vec![0u32; self.wanted * rows.height];
        let mut registers = vec![[0u32; LANES]; self.registers];
        for start in (0..rows.height).step_by(LANES) {
            self.work(rows, start, &mut registers, &mut values);
        }
        values
    }

    fn work(&self, rows: &Rows, start: usize, registers: &mut [Lanes], values: &mut [u32]) {
        let count = LANES.min(rows.height - start);
        // Lanes behind the last row repeat it.
        let row: [usize; LANES] = std::array::from_fn(|lane| start + lane.min(count - 1));
        let of_column = |cells: &[u32], column: u32| -> Lanes {
            std::array::from_fn(|lane| cells[row[lane] * rows.width + column as usize])
        };
        let of_rows = |cells: &[u32]| -> Lanes { std::array::from_fn(|lane| cells[row[lane]]) };
        for step in &self.steps {
            let at = |register: u32| registers[register as usize];
            let (to, value) = match *step {
                Step::Local { column, to } => (to, of_column(rows.local, column)),
                Step::Next { column, to } => (to, of_column(rows.next, column)),
                Step::Constant { value, to } => (to, [value; LANES]),
                Step::Public { index, to } => {
                    let value = |lane: usize| rows.public[row[lane] * rows.stride + index as usize];
                    (to, std::array::from_fn(value))
                }
                Step::IsFirst { to } => (to, of_rows(rows.first)),
                Step::IsLast { to } => (to, of_rows(rows.last)),
                Step::IsTransition { to } => (to, of_rows(rows.last).map(|last| sub(1, last))),
                Step::Add { a, b, to } => (to, zip(at(a), at(b), add)),
                Step::Sub { a, b, to } => (to, zip(at(a), at(b), sub)),
                Step::Mul { a, b, to } => (to, zip(at(a), at(b), mul)),
                Step::Neg { a, to } => (to, at(a).map(|value| sub(0, value))),
                Step::Give { from, wanted } => {
                    let place = wanted as usize * rows.height + start;
                    values[place..place + count].copy_from_slice(&at(from)[..count]);
                    continue;
                }
            };
            registers[to as usize] = value;
        }
    }
}

#[inline(always)]
fn zip(a: Lanes, b: Lanes, operation: impl Fn(u32, u32) -> u32) -> Lanes {
    std::array::from_fn(|lane| operation(a[lane], b[lane]))
}

#[pymethods]
impl Evaluator {
    #[new]
    fn new(py: Python<'_>, nodes: &Bound<'_, PyAny>, wanted: Vec<u32>) -> PyResult<Self> {
        let nodes = borrow_rows("the nodes", nodes, 3)?;
        let nodes = cells(&nodes);
        Ok(py.detach(|| guard(Kind::Parameter, || Self::compile(nodes, &wanted)))?)
    }

    /// `run(local, next, ends, public)`.
    fn run<'py>(
        &self,
        py: Python<'py>,
        local: &Bound<'py, PyAny>,
        next: &Bound<'py, PyAny>,
        ends: &Bound<'py, PyAny>,
        public: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<u32>>> {
        let own = |name, item| borrow(Kind::Parameter, name, item);
        let (local, next) = (own("local", local)?, own("next", next)?);
        let (ends, public) = (own("ends", ends)?, own("public", public)?);
        self.check(local.shape(), next.shape(), ends.shape(), public.shape())?;
        let height = local.shape()[0];
        let (first, last) = cells(&ends).split_at(height);
        let rows = Rows {
            height,
            width: local.shape()[1],
            local: cells(&local),
            next: cells(&next),
            first,
            last,
            public: cells(&public),
            stride: match public.shape() {
                [1, _] => 0,
                shape => shape[1],
            },
        };
        let values = py.detach(|| guard(Kind::Parameter, || Ok(self.values(&rows))))?;
        PyArray1::from_vec(py, values).reshape([self.wanted, height])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u32; 9] = [
        0,
        1,
        2,
        0xffff,
        1 << 27,
        MODULUS / 2,
        MODULUS / 2 + 1,
        MODULUS - 2,
        MODULUS - 1,
    ];

    #[test]
    fn the_field_is_that_of_integers() {
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32 % MODULUS
        };
        let pairs: Vec<(u32, u32)> = EDGES
            .iter()
            .flat_map(|&a| EDGES.map(|b| (a, b)))
            .chain((0..200_000).map(|_| (random(), random())))
            .collect();
        let p = u64::from(MODULUS);
        for (a, b) in pairs {
            let (wide_a, wide_b) = (u64::from(a), u64::from(b));
            assert_eq!(u64::from(add(a, b)), (wide_a + wide_b) % p);
            assert_eq!(u64::from(sub(a, b)), (wide_a + p - wide_b) % p);
            assert_eq!(u64::from(mul(a, b)), wide_a * wide_b % p, "{a} {b}");
        }
    }

    /// What is left by the reduction is largest for products just below a multiple of the modulus.
    #[test]
    fn a_product_needs_one_subtraction() {
        for b in [MODULUS - 1, MODULUS - 2, MODULUS - 12345, 1 << 30] {
            for k in 0..100_000u64 {
                let a = ((u64::from(MODULUS) * (u64::from(b) - k)) / u64::from(b)) as u32;
                let expected = u64::from(a) * u64::from(b) % u64::from(MODULUS);
                assert_eq!(u64::from(mul(a, b)), expected);
            }
        }
    }

    #[test]
    fn values_are_those_of_the_nodes() {
        // (local 0 + next 1) * local 0 - 5, and local 0, on 20 rows: one block and a part of one.
        let nodes = [
            [op::LOCAL, 0, 0],
            [op::NEXT, 1, 0],
            [op::CONST, 5, 0],
            [op::ADD, 0, 1],
            [op::MUL, 3, 0],
            [op::SUB, 4, 2],
            [op::NEG, 0, 0],
        ]
        .concat();
        let made = Evaluator::compile(&nodes, &[5, 0, 5]).expect("a program");
        assert_eq!(made.registers, 3);
        let height = 20;
        let local: Vec<u32> = (0..2 * height).collect();
        let next: Vec<u32> = (2..2 * height + 2).collect();
        let ends = vec![0; height as usize];
        let values = made.values(&Rows {
            height: height as usize,
            width: 2,
            local: &local,
            next: &next,
            first: &ends,
            last: &ends,
            public: &[],
            stride: 0,
        });
        let (sum, rest) = values.split_at(height as usize);
        for row in 0..height {
            let (x, y) = (2 * row, 2 * row + 3);
            let expected = if row == 0 {
                MODULUS - 5
            } else {
                (x + y) * x - 5
            };
            assert_eq!(sum[row as usize], expected);
            assert_eq!(rest[row as usize], x);
        }
        assert_eq!(&rest[height as usize..], sum);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for nodes in [
            [[op::ADD, 0, 0], [op::NEG, 0, 0]],
            [[op::LOCAL, 0, 0], [op::ADD, 0, 1]],
            [[op::CONST, MODULUS, 0], [op::NEG, 0, 0]],
            [[11, 0, 0], [op::NEG, 0, 0]],
        ] {
            assert!(
                Evaluator::compile(&nodes.concat(), &[1]).is_err(),
                "{nodes:?}"
            );
        }
        assert!(Evaluator::compile(&[op::LOCAL, 0, 0], &[1]).is_err());
    }
}
