//! Claims about columns at one point, and at the one of their next rows, reduced to claims about stacked columns at
//! another.
//!
//! All that is summed up is linear in the columns, and columns of one height are weighted by the same polynomials of the
//! point. So each height of a commitment is two sums of its columns, which the rounds fold in place of them. The columns
//! are read twice: for these sums, and to evaluate each of them when its rounds are done. What is left of it then is one
//! number, which is folded with its neighbours.

use std::collections::BTreeMap;

use openvm_cpu_backend::{CpuBackend, CpuDevice};
use openvm_stark_backend::p3_field::{
    BasedVectorSpace, Field, PackedValue, PrimeCharacteristicRing, TwoAdicField,
};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::poly_common::{
    UnivariatePoly, eval_eq_uni, eval_eq_uni_at_one, eval_in_uni,
};
use openvm_stark_backend::prover::MatrixDimensions;
use openvm_stark_backend::prover::stacked_reduction::StackedReductionProver;
use openvm_stark_backend::prover::sumcheck::sumcheck_round0_deg;
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};
use rayon::prelude::*;

use super::Committed;
use super::packing::{Base, Pack, WIDTH, coefficient, dot, eq_natural, pack, sum_lanes, unpack};
use super::univariate::basis;
use crate::params::Config;

/// Rows that are worked on at once, as a power of two: so many of a few columns fit the first cache.
const LOG_ROWS: usize = 9;
/// Columns that are added up before their sum is reduced.
const COLUMNS: usize = 8;
/// Blocks of rows of one column that a thread takes at least.
const BATCH: usize = 64;

/// Coefficients of weights, each in all lanes of a pack.
fn spread(weights: &[EF]) -> [Vec<Base>; 4] {
    std::array::from_fn(|d| {
        let coefficients = weights.iter().map(|weight| {
            let coefficients: &[F] = weight.as_basis_coefficients_slice();
            Base::from(coefficients[d])
        });
        coefficients.collect()
    })
}

/// The sum of columns of `len` rows with these weights; `cells` are one column after the other.
pub fn combination(cells: &[F], len: usize, weights: &[EF]) -> Vec<EF> {
    let mut sums = EF::zero_vec(len);
    if len < WIDTH {
        for (column, &weight) in cells.chunks_exact(len).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(column) {
                *sum += weight * value;
            }
        }
        return sums;
    }
    let spread = spread(weights);
    sums.par_chunks_mut(1 << LOG_ROWS)
        .enumerate()
        .for_each(|(chunk, sums)| {
            let mut packed = Pack::zero_vec(sums.len() / WIDTH);
            for first in (0..weights.len()).step_by(COLUMNS) {
                let columns = first..weights.len().min(first + COLUMNS);
                for (at, sum) in packed.iter_mut().enumerate() {
                    let row = (chunk << LOG_ROWS) + at * WIDTH;
                    let values: [Base; COLUMNS] = std::array::from_fn(|at| {
                        // Those behind the last column have no weight.
                        let column = (first + at).min(columns.end - 1);
                        *Base::from_slice(&cells[column * len + row..][..WIDTH])
                    });
                    *sum += Pack::from_basis_coefficients_fn(|d| {
                        dot(&spread[d][columns.clone()], |at| values[at])
                    });
                }
            }
            sums.copy_from_slice(&unpack(&packed));
        });
    sums
}

/// Columns of one height in one commitment.
struct Class<'a> {
    commitment: usize,
    log_height: usize,
    /// Rows of a column among the stacked ones, as a power of two.
    log_len: usize,
    /// Its columns, one after the other, and where they begin among all cells of the commitment.
    cells: &'a [F],
    start: usize,
    /// For each column: the weights of its claims, at the point and at that of the next rows.
    weights: [Vec<EF>; 2],
    /// The sums of the columns with these weights.
    sums: [Vec<EF>; 2],
    /// For each column, since its own rounds are done: eq at its place and the challenges since.
    places: Vec<EF>,
}

/// What columns of one height are weighted by: the polynomials of the point, and of that of the next rows.
type Kernel = [Vec<EF>; 2];

/// What is left of the columns of a commitment that are done with, block by block; behind the last one all are zero.
struct Tail {
    first: usize,
    values: Vec<EF>,
}

impl Tail {
    /// The blocks that a block is folded with, and whether it is the second one.
    fn pair(&self, block: usize) -> ([EF; 2], bool) {
        let first = (block & !1) - self.first;
        let value = |at: usize| self.values.get(at).copied().unwrap_or(EF::ZERO);
        ([value(first), value(first + 1)], block & 1 == 1)
    }

    fn fold(&mut self, challenge: EF) {
        if self.values.len() % 2 == 1 {
            self.values.push(EF::ZERO);
        }
        fold(&mut self.values, challenge);
        self.first /= 2;
    }
}

/// Pairs of neighbours as the lines through them, at a point.
pub fn folded(values: &[EF], challenge: EF) -> Vec<EF> {
    values
        .par_chunks_exact(2)
        .map(|pair| pair[0] + (pair[1] - pair[0]) * challenge)
        .collect()
}

/// Folds pairs of neighbours, if there are any.
fn fold(values: &mut Vec<EF>, challenge: EF) {
    if values.len() >= 2 {
        *values = folded(values, challenge);
    }
}

/// The values at 1 and 2 of the sum of products of lines, each through two neighbours.
pub fn products(a: &[EF], b: &[EF]) -> [EF; 2] {
    a.par_chunks_exact(2)
        .zip(b.par_chunks_exact(2))
        .map(|(a, b)| product([a[0], a[1]], [b[0], b[1]]))
        .reduce(|| [EF::ZERO; 2], add)
}

/// The values at 1 and 2 of a product of two lines.
fn product([a0, a1]: [EF; 2], [b0, b1]: [EF; 2]) -> [EF; 2] {
    [a1 * b1, (a1.double() - a0) * (b1.double() - b0)]
}

fn add(a: [EF; 2], b: [EF; 2]) -> [EF; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

/// The sumcheck of the reduction.
pub struct Reduction<'a> {
    l_skip: usize,
    /// The coordinate of the point that stands for the rows that are skipped.
    first: EF,
    classes: Vec<Class<'a>>,
    /// By log height.
    kernels: BTreeMap<usize, Kernel>,
    /// Of each commitment.
    tails: Vec<Tail>,
    /// The challenges: the weights of the rows that are skipped at the first one, and the others.
    skipped: Vec<EF>,
    point: Vec<EF>,
}

impl Class<'_> {
    /// Rounds behind the univariate one, in which its sums are folded.
    fn rounds(&self, l_skip: usize) -> usize {
        self.log_len - l_skip
    }

    /// Each column at a point; `skipped` are the weights of the rows that are skipped.
    fn evaluate(&self, skipped: &[EF], point: &[EF]) -> Vec<EF> {
        let low = (LOG_ROWS - skipped.len().ilog2() as usize).min(point.len());
        let rows: Vec<EF> = eq_natural(&point[..low])
            .into_iter()
            .flat_map(|eq| skipped.iter().map(move |&weight| weight * eq))
            .collect();
        let high = eq_natural(&point[low..]);
        let columns = self.cells.par_chunks_exact(1 << self.log_len);
        if rows.len() < WIDTH {
            return columns
                .map(|column| {
                    rows.iter()
                        .zip(column)
                        .map(|(&row, &value)| row * value)
                        .sum()
                })
                .collect();
        }
        let packed: Vec<Pack> = rows
            .chunks_exact(WIDTH)
            .map(|rows| pack(|lane| rows[lane]))
            .collect();
        let weights: [Vec<Base>; 4] =
            std::array::from_fn(|d| packed.iter().map(|pack| *coefficient(pack, d)).collect());
        columns
            .map(|column| {
                let sum = column
                    .par_chunks_exact(rows.len())
                    .zip(&high)
                    .with_min_len(BATCH)
                    .map(|(values, &eq)| {
                        let values = Base::pack_slice(values);
                        let sum =
                            Pack::from_basis_coefficients_fn(|d| dot(&weights[d], |at| values[at]));
                        sum * Pack::from(eq)
                    })
                    .reduce(|| Pack::ZERO, |a, b| a + b);
                sum_lanes(&sum)
            })
            .collect()
    }

    /// Its columns with the pairs that they are folded in, and whether each is the second one.
    fn pairs<'b>(
        &'b self,
        tail: &'b Tail,
        log_block: usize,
    ) -> impl Iterator<Item = ([EF; 2], bool)> + 'b {
        (0..self.places.len())
            .map(move |column| tail.pair((self.start + (column << self.log_len)) >> log_block))
    }
}

/// The row before one of `2^log_len`, cyclically.
fn before(row: usize, log_len: usize) -> usize {
    row.wrapping_sub(1) & ((1 << log_len) - 1)
}

impl Reduction<'_> {
    /// What the univariate coordinate contributes to the kernels of a height at `x`: to that of the point; to that of the
    /// next rows by eq at the row itself, and by the difference that the row before it makes.
    fn univariate(&self, log_height: usize, x: EF) -> [EF; 3] {
        let l_skip = self.l_skip;
        let n = log_height as isize - l_skip as isize;
        let lower = l_skip.saturating_sub(log_height);
        let omega = F::two_adic_generator(l_skip.min(log_height));
        let at = self.first.exp_power_of_2(lower);
        let within = eval_in_uni(l_skip, n, x);
        let wrap = eval_eq_uni_at_one(l_skip, self.first * F::two_adic_generator(l_skip))
            * eval_eq_uni_at_one(l_skip, x);
        let eq = |y: EF| eval_eq_uni(l_skip.min(log_height), x, y);
        [eq(at), eq(at * omega), wrap].map(|value| value * within)
    }

    /// Takes up the columns whose rounds end with this one.
    fn finish(&mut self, round: usize) {
        let log_block = self.l_skip + round;
        for class in self.classes.iter().rev() {
            if class.rounds(self.l_skip) == round {
                let tail = &mut self.tails[class.commitment];
                let values = class.evaluate(&self.skipped, &self.point);
                tail.values.splice(0..0, values);
                tail.first = class.start >> log_block;
            }
        }
    }
}

impl<'a> StackedReductionProver<'a, CpuBackend<Config>, CpuDevice<Config>> for Reduction<'a> {
    fn new(
        device: &'a CpuDevice<Config>,
        committed: Vec<&'a Committed>,
        needs_next: Vec<Vec<bool>>,
        point: &[EF],
        lambda: EF,
    ) -> Self {
        let l_skip = device.params().l_skip;
        let mut powers = lambda.powers();
        let mut classes: Vec<Class<'a>> = Vec::new();
        let mut tails = Vec::new();
        for (commitment, (data, needs_next)) in committed.into_iter().zip(needs_next).enumerate() {
            let height = data.matrix.height();
            let mut end = 0;
            for &(table, _, slice) in &data.layout.sorted_cols {
                let start = slice.col_idx * height + slice.row_idx;
                let new = classes.last().is_none_or(|class| {
                    (class.commitment, class.log_height) != (commitment, slice.log_height())
                });
                if new {
                    classes.push(Class {
                        commitment,
                        log_height: slice.log_height(),
                        log_len: slice.log_height().max(l_skip),
                        cells: &data.matrix.values[start..start],
                        start,
                        weights: [Vec::new(), Vec::new()],
                        sums: [Vec::new(), Vec::new()],
                        places: Vec::new(),
                    });
                }
                let class = classes.last_mut().expect("there is one");
                let [here, next]: [EF; 2] =
                    std::array::from_fn(|_| powers.next().expect("they do not end"));
                class.weights[0].push(here);
                class.weights[1].push(if needs_next[table] { next } else { EF::ZERO });
                class.places.push(EF::ONE);
                end = start + slice.len(l_skip);
                class.cells = &data.matrix.values[class.start..end];
            }
            tails.push(Tail {
                first: end >> l_skip,
                values: Vec::new(),
            });
        }
        for class in &mut classes {
            class.sums = class.weights.each_ref().map(|weights| {
                if weights.iter().all(|&weight| weight == EF::ZERO) {
                    return EF::zero_vec(1 << class.log_len);
                }
                combination(class.cells, 1 << class.log_len, weights)
            });
        }
        let kernels = classes
            .iter()
            .map(|class| {
                let eq = eq_natural(&point[1..=class.rounds(l_skip)]);
                (class.log_height, [eq, Vec::new()])
            })
            .collect();
        Self {
            l_skip,
            first: point[0],
            classes,
            kernels,
            tails,
            skipped: Vec::new(),
            point: Vec::new(),
        }
    }

    fn batch_sumcheck_uni_round0_poly(&mut self) -> UnivariatePoly<EF> {
        const COSETS: usize = 2;
        let size = 1 << self.l_skip;
        // Each height's sums on the subgroup: of the point, then of the next rows by eq there and at the row before.
        let sums: Vec<[Vec<EF>; 3]> = self
            .classes
            .par_iter()
            .map(|class| {
                let eq = &self.kernels[&class.log_height][0];
                let mut sums = [0; 3].map(|_| EF::zero_vec(size));
                let rows = class.sums.each_ref().map(|sums| sums.chunks_exact(size));
                let [here, next] = rows;
                for (row, (here, next)) in here.zip(next).enumerate() {
                    let previous = eq[before(row, class.rounds(self.l_skip))];
                    for (sums, (values, eq)) in
                        sums.iter_mut()
                            .zip([(here, eq[row]), (next, eq[row]), (next, previous)])
                    {
                        for (sum, &value) in sums.iter_mut().zip(values) {
                            *sum += value * eq;
                        }
                    }
                }
                sums
            })
            .collect();
        let omega = F::two_adic_generator(self.l_skip);
        // One row for each point of the subgroup, with the values on the cosets.
        let values = (0..size)
            .flat_map(|point| (1..=COSETS).map(move |coset| (point, coset)))
            .map(|(point, coset)| {
                let x = F::GENERATOR.exp_u64(coset as u64) * omega.exp_u64(point as u64);
                let basis = basis(self.l_skip, x);
                self.classes
                    .iter()
                    .zip(&sums)
                    .map(|(class, sums)| {
                        let [here, next, previous] = sums.each_ref().map(|sums| {
                            let terms = sums.iter().zip(&basis);
                            terms.map(|(&sum, &weight)| sum * weight).sum::<EF>()
                        });
                        let [eq, rotated, wrap] = self.univariate(class.log_height, x.into());
                        eq * here + rotated * next + wrap * (previous - next)
                    })
                    .sum()
            })
            .collect();
        let poly = UnivariatePoly::from_geometric_cosets_evals_idft(
            RowMajorMatrix::new(values, COSETS),
            F::GENERATOR,
            F::GENERATOR,
        );
        let mut coefficients = poly.into_coeffs();
        coefficients.truncate(sumcheck_round0_deg(self.l_skip, COSETS) + 1);
        UnivariatePoly::new(coefficients)
    }

    fn fold_ple_evals(&mut self, challenge: EF) {
        let size = 1 << self.l_skip;
        let skipped = basis(self.l_skip, challenge);
        for class in &mut self.classes {
            for sums in &mut class.sums {
                *sums = sums
                    .par_chunks_exact(size)
                    .map(|rows| {
                        rows.iter()
                            .zip(&skipped)
                            .map(|(&row, &weight)| row * weight)
                            .sum()
                    })
                    .collect();
            }
        }
        self.skipped = skipped;
        let mut kernels = std::mem::take(&mut self.kernels);
        for (&log_height, [here, next]) in &mut kernels {
            let [eq, rotated, wrap] = self.univariate(log_height, challenge);
            let rounds = here.len().ilog2() as usize;
            *next = (0..here.len())
                .into_par_iter()
                .map(|row| {
                    let previous = here[before(row, rounds)];
                    rotated * here[row] + wrap * (previous - here[row])
                })
                .collect();
            here.par_iter_mut().for_each(|value| *value *= eq);
        }
        self.kernels = kernels;
        self.finish(0);
    }

    fn batch_sumcheck_poly_eval(&mut self, round: usize, _previous: EF) -> [EF; 2] {
        self.classes
            .par_iter()
            .map(|class| {
                let kernel = &self.kernels[&class.log_height];
                if round <= class.rounds(self.l_skip) {
                    let parts = class.sums.par_iter().zip(kernel);
                    return parts
                        .map(|(sums, kernel)| products(sums, kernel))
                        .reduce(|| [EF::ZERO; 2], add);
                }
                let tail = &self.tails[class.commitment];
                class
                    .pairs(tail, self.l_skip + round - 1)
                    .enumerate()
                    .map(|(column, (pair, second))| {
                        let [here, next] =
                            [0, 1].map(|at| class.weights[at][column] * kernel[at][0]);
                        let weight = (here + next) * class.places[column];
                        let place = [!second, second].map(|side| weight * F::from_bool(side));
                        product(pair, place)
                    })
                    .fold([EF::ZERO; 2], add)
            })
            .reduce(|| [EF::ZERO; 2], add)
    }

    fn fold_mle_evals(&mut self, round: usize, challenge: EF) {
        let Self {
            l_skip,
            classes,
            kernels,
            tails,
            ..
        } = self;
        for class in classes {
            if round <= class.rounds(*l_skip) {
                class.sums.iter_mut().for_each(|sums| fold(sums, challenge));
                continue;
            }
            let tail = &tails[class.commitment];
            let seconds: Vec<bool> = class
                .pairs(tail, *l_skip + round - 1)
                .map(|(_, second)| second)
                .collect();
            for (place, second) in class.places.iter_mut().zip(seconds) {
                *place *= if second {
                    challenge
                } else {
                    EF::ONE - challenge
                };
            }
        }
        for kernel in kernels.values_mut().flatten() {
            fold(kernel, challenge);
        }
        tails.iter_mut().for_each(|tail| tail.fold(challenge));
        self.point.push(challenge);
        self.finish(round);
    }

    fn into_stacked_openings(self) -> Vec<Vec<EF>> {
        self.tails.into_iter().map(|tail| tail.values).collect()
    }
}
