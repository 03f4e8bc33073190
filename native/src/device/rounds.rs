//! The rounds behind the univariate one, of one table.
//!
//! The columns' values at the first challenge are as many times fewer as rows were skipped. Rows are in bit-reversed order and packed,
//! a row of packs after the other, until a pack of rows is left; then, and for low tables from the start, single rows
//! are folded by the same code.

use std::ops::Mul;

use openvm_stark_backend::p3_field::{BasedVectorSpace, PackedValue, PrimeCharacteristicRing};
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};
use rayon::prelude::*;

use super::packing::{
    Base, LOG_WIDTH, Pack, WIDTH, dot, eq_reversed, eq_reversed_packed, lane, pack, reverse,
    sum_lanes, unpack,
};
use super::program::{Combination, Combinations, Program, SELECTORS};
use super::table::Table;

/// Pairs of rows that a thread takes at least.
const BATCH: usize = 16;

/// One element, or a pack of them.
trait Value: PrimeCharacteristicRing + Copy + Send + Sync + From<EF> + Mul<Output = Self> {
    fn total(self) -> EF;
}

impl Value for EF {
    fn total(self) -> EF {
        self
    }
}

impl Value for Pack {
    fn total(self) -> EF {
        sum_lanes(&self)
    }
}

enum Values {
    Packed(Vec<Pack>),
    Single(Vec<EF>),
}

/// The columns of a table, folded: for each part its columns, then those of the next row if there is a use for them,
/// and at last the selectors.
pub struct Rows {
    width: usize,
    values: Values,
    /// Variables that are left.
    pub log_len: usize,
}

/// Where the columns of a program are in a row.
pub struct Places(Vec<usize>);

impl Places {
    pub fn new(table: &Table<'_>, program: &Program) -> Self {
        let starts = starts(table);
        let mut places: Vec<usize> = program
            .columns
            .iter()
            .map(|column| {
                starts[column.part]
                    + column.index
                    + usize::from(column.next) * table.parts[column.part].width
            })
            .collect();
        let end = starts[table.parts.len()];
        places.extend(end..end + SELECTORS);
        Self(places)
    }
}

/// Where each part begins in a row, and where the last one ends.
fn starts(table: &Table<'_>) -> Vec<usize> {
    let copies = 1 + usize::from(table.needs_next());
    let widths = table.parts.iter().map(|part| part.width * copies);
    std::iter::once(0)
        .chain(widths.scan(0, |end, width| {
            *end += width;
            Some(*end)
        }))
        .collect()
}

/// Sums of constraints, numerators and denominators at one point.
pub type Sums = [EF; 3];

impl Rows {
    /// The columns at the first challenge; `weights` are those of the rows that were skipped.
    pub fn new(table: &Table<'_>, weights: &[EF]) -> Self {
        let fold = Fold::new(table, weights);
        let rounds = table.rounds();
        let width = fold.width;
        let values = if rounds > LOG_WIDTH {
            let mut rows = Pack::zero_vec(width << (rounds - LOG_WIDTH));
            rows.par_chunks_mut(width)
                .enumerate()
                .for_each(|(at, row)| {
                    let lanes: Vec<Vec<EF>> = (0..WIDTH)
                        .map(|lane| fold.row(reverse(at * WIDTH + lane, rounds)))
                        .collect();
                    for (column, value) in row.iter_mut().enumerate() {
                        *value = pack(|lane| lanes[lane][column]);
                    }
                });
            Values::Packed(rows)
        } else {
            Values::Single(
                (0..1 << rounds)
                    .flat_map(|at| fold.row(reverse(at, rounds)))
                    .collect(),
            )
        };
        Self {
            width,
            values,
            log_len: rounds,
        }
    }

    /// The sums of the next round at 1, ..., `degree`; `point` is where the rows behind those of the round are
    /// weighted.
    pub fn sums(
        &self,
        program: &Program,
        places: &Places,
        combinations: &Combinations,
        degree: usize,
        point: &[EF],
    ) -> Vec<Sums> {
        match &self.values {
            Values::Packed(rows) => {
                let eq = eq_reversed_packed(point);
                self.sums_of(rows, &eq, program, places, combinations, degree)
            }
            Values::Single(rows) => {
                let eq = eq_reversed(point);
                self.sums_of(rows, &eq, program, places, combinations, degree)
            }
        }
    }

    fn sums_of<V: Value>(
        &self,
        rows: &[V],
        eq: &[V],
        program: &Program,
        places: &Places,
        combinations: &Combinations,
        degree: usize,
    ) -> Vec<Sums> {
        let weights = Weights::<V>::new(combinations);
        let upper = self.width * eq.len();
        let totals = eq
            .par_iter()
            .enumerate()
            .with_min_len(BATCH)
            .fold(
                || {
                    let registers = program.registers(V::ZERO, |value| EF::from(value).into());
                    (
                        registers,
                        vec![V::ZERO; places.0.len()],
                        vec![[V::ZERO; 3]; degree],
                    )
                },
                |(mut registers, mut slopes, mut sums), (at, &eq)| {
                    let rows = &rows[at * self.width..];
                    for (index, &place) in places.0.iter().enumerate() {
                        registers[index] = rows[place + upper];
                        slopes[index] = rows[place + upper] - rows[place];
                    }
                    for (x, sums) in sums.iter_mut().enumerate() {
                        if x > 0 {
                            for (register, &slope) in registers.iter_mut().zip(&slopes) {
                                *register += slope;
                            }
                        }
                        program.run(&mut registers);
                        for (sum, value) in sums.iter_mut().zip(weights.evaluate(&registers)) {
                            *sum += eq * value;
                        }
                    }
                    (registers, slopes, sums)
                },
            )
            .map(|(_, _, sums)| sums)
            .reduce(
                || vec![[V::ZERO; 3]; degree],
                |mut all, more| {
                    for (all, more) in all.iter_mut().flatten().zip(more.into_iter().flatten()) {
                        *all += more;
                    }
                    all
                },
            );
        totals
            .into_iter()
            .map(|sums| sums.map(Value::total))
            .collect()
    }

    /// The combinations at the one row that is left.
    pub fn last(&self, program: &Program, places: &Places, combinations: &Combinations) -> Sums {
        let row = self.row();
        let mut registers = program.registers(EF::ZERO, EF::from);
        for (register, &place) in registers.iter_mut().zip(&places.0) {
            *register = row[place];
        }
        program.run(&mut registers);
        Weights::<EF>::new(combinations).evaluate(&registers)
    }

    /// The one row that is left.
    pub fn row(&self) -> &[EF] {
        match &self.values {
            Values::Single(row) if self.log_len == 0 => row,
            _ => unreachable!("all rounds of the table are done"),
        }
    }

    /// Folds pairs of rows, if there are any.
    pub fn fold(&mut self, challenge: EF) {
        if self.log_len == 0 {
            return;
        }
        self.log_len -= 1;
        match &mut self.values {
            Values::Packed(rows) => {
                fold_rows(rows, challenge.into());
                if rows.len() == self.width {
                    let lanes = unpack(rows);
                    self.values = Values::Single(
                        (0..WIDTH * self.width)
                            .map(|at| lanes[at % self.width * WIDTH + at / self.width])
                            .collect(),
                    );
                }
            }
            Values::Single(rows) => fold_rows(rows, challenge),
        }
    }
}

fn fold_rows<V: Value>(rows: &mut Vec<V>, challenge: V) {
    const CHUNK: usize = 1 << 10;
    let half = rows.len() / 2;
    let (lower, upper) = rows.split_at_mut(half);
    lower
        .par_chunks_mut(CHUNK)
        .zip(upper.par_chunks(CHUNK))
        .for_each(|(lower, upper)| {
            for (lower, &upper) in lower.iter_mut().zip(upper) {
                *lower += (upper - *lower) * challenge;
            }
        });
    rows.truncate(half);
    rows.shrink_to_fit();
}

struct Weights<V>([(V, Vec<(usize, V)>); 3]);

impl<V: Value> Weights<V> {
    fn new(combinations: &Combinations) -> Self {
        let Combinations {
            constraints,
            numerator,
            denominator,
        } = combinations;
        Self(
            [constraints, numerator, denominator].map(|one: &Combination| {
                let terms = one
                    .terms
                    .iter()
                    .map(|&(register, weight)| (register, weight.into()));
                (one.constant.into(), terms.collect())
            }),
        )
    }

    fn evaluate(&self, registers: &[V]) -> [V; 3] {
        self.0.each_ref().map(|(constant, terms)| {
            terms.iter().fold(*constant, |sum, &(register, weight)| {
                sum + weight * registers[register]
            })
        })
    }
}

/// The evaluation of groups of rows at the first challenge.
struct Fold<'a> {
    table: &'a Table<'a>,
    width: usize,
    weights: &'a [EF],
    /// For each coefficient of the extension: its weights, all lanes the same.
    packed: [Vec<Base>; 4],
}

impl<'a> Fold<'a> {
    fn new(table: &'a Table<'a>, weights: &'a [EF]) -> Self {
        Self {
            table,
            width: starts(table)[table.parts.len()] + SELECTORS,
            weights,
            packed: std::array::from_fn(|d| {
                let coefficients = weights.iter().map(|weight| {
                    let coefficients: &[F] = weight.as_basis_coefficients_slice();
                    coefficients[d]
                });
                coefficients.map(Base::from).collect()
            }),
        }
    }

    /// The folded row of one group.
    fn row(&self, group: usize) -> Vec<EF> {
        let Self { table, weights, .. } = self;
        let mut row = Vec::with_capacity(self.width + WIDTH);
        let mut values: Vec<Base> = Vec::with_capacity(weights.len());
        let (height, size) = (table.height(), weights.len());
        for part in &table.parts {
            for next in 0..=usize::from(table.needs_next()) {
                let end = row.len() + part.width;
                for first in (0..part.width).step_by(WIDTH) {
                    let lanes = WIDTH.min(part.width - first);
                    let value = |at: usize| {
                        let start = (group * size + at + next) % height * part.width + first;
                        match part.values[start..].get(..WIDTH) {
                            // Lanes beyond the row are dropped below.
                            Some(values) => *Base::from_slice(values),
                            None => Base::from_fn(|lane| {
                                if lane < lanes {
                                    part.values[start + lane]
                                } else {
                                    F::ZERO
                                }
                            }),
                        }
                    };
                    values.clear();
                    values.extend((0..size).map(value));
                    let sum =
                        Pack::from_basis_coefficients_fn(|d| dot(&self.packed[d], |at| values[at]));
                    row.extend((0..lanes).map(|at| lane(&sum, at)));
                }
                debug_assert_eq!(row.len(), end);
            }
        }
        let at = |row: usize| -> EF {
            (0..size)
                .filter(|at| (group * size + at) % height == row)
                .map(|at| weights[at])
                .sum()
        };
        // The weights sum to one.
        let (first, last) = (at(0), at(height - 1));
        row.extend([first, EF::ONE - last, last]);
        row
    }
}
