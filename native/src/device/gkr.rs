//! The sum of all fractions by GKR: a binary tree of sums, and one sumcheck for each of its layers.
//!
//! What is proved is what the engine's reference proves; the layout is another, for this is bounded by memory, not by
//! arithmetic:
//!
//! - A layer consists of *blocks* of consecutive fractions that fit the first cache. The blocks come in natural order;
//!   within a block the order is bit-reversed, so that the two children of a node, and later the two values that a
//!   round folds, lie half a block apart, and everything is computed on packs. When a block has shrunk to a pack, the
//!   blocks are merged to full ones; by then a layer is small.
//! - Behind the last fraction all are 0/alpha. That tail is no memory but one number.
//! - The equality polynomial is a product: a table for the positions within a block, the same for all blocks and in
//!   the cache, times one number for each block.
//! - A round folds by the last challenge and sums up for the next in one pass over memory, in place. Its polynomial is
//!   eq(xi, X) t(X), and t has degree 2: two of its values are summed up, the third follows from the claim.
//! - Numerators of leaves are elements of the base field.
//!
//! A layer is freed when its sumcheck is done. The one above the leaves, which is as large as all above it together,
//! is there for its own sumcheck only.

use openvm_stark_backend::FiatShamirTranscript;
use openvm_stark_backend::p3_field::{
    BasedVectorSpace, Field, PackedValue, PrimeCharacteristicRing,
};
use openvm_stark_backend::proof::GkrLayerClaims;
use openvm_stark_backend::prover::error::LogupZerocheckError;
use openvm_stark_backend::prover::fractional_sumcheck_gkr::FracSumcheckProof;
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};
use rayon::prelude::*;

use super::packing::{
    Base, LOG_WIDTH, Pack, WIDTH, coefficient, drop_first, eq_natural, eq_reversed,
    eq_reversed_packed, reverse, sum_lanes, unpack,
};
use crate::params::Config;

/// Fractions of a block of leaves, as a power of two: 10 KiB with their numerators.
pub const LOG_BLOCK: usize = 9;
/// Blocks that a thread takes at once.
const BATCH: usize = 8;

/// Where the fractions of a layer are.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Fractions of the layer, the tail included, as a power of two.
    pub log_len: usize,
    /// Fractions of a block, as a power of two.
    pub log_block: usize,
    /// Blocks in memory; the others are the tail.
    pub blocks: usize,
}

impl Shape {
    /// Blocks for the first `used` fractions of `2^log_len`.
    pub fn of_leaves(log_len: usize, used: usize) -> Self {
        let log_block = log_len.min(LOG_BLOCK);
        Self {
            log_len,
            log_block,
            blocks: used.div_ceil(1 << log_block),
        }
    }

    /// That of the sums of pairs.
    fn above(&self) -> Self {
        Self {
            log_len: self.log_len - 1,
            log_block: self.log_block - 1,
            blocks: self.blocks,
        }
    }

    /// Packs of a block.
    pub fn packs(&self) -> usize {
        1 << (self.log_block - LOG_WIDTH)
    }
}

/// The fractions that are summed. The numerators of the tail are 0, its denominators `pad`.
pub struct Leaves {
    pub shape: Shape,
    pub numerators: Vec<Base>,
    pub denominators: Vec<Pack>,
    pub pad: EF,
}

/// A layer of sums. A block is its numerators, followed by its denominators.
struct Layer {
    shape: Shape,
    data: Vec<Pack>,
    pad: EF,
}

/// Proves that the fractions sum to zero, and returns the point at which the leaves' claims are made.
///
/// The leaves are `2^LOG_WIDTH` at least.
pub fn fractional_sumcheck<TS: FiatShamirTranscript<Config>>(
    transcript: &mut TS,
    leaves: Leaves,
) -> Result<(FracSumcheckProof<Config>, Vec<EF>), LogupZerocheckError> {
    let rounds = leaves.shape.log_len;
    let Tree { layers, small } = Tree::build(&leaves);
    let (numerator, denominator) = small.last().expect("a root").at(0);
    if numerator != EF::ZERO {
        return Err(LogupZerocheckError::NonZeroRootSum);
    }
    transcript.observe_ext(denominator);
    let mut claims: Vec<[EF; 4]> = Vec::with_capacity(rounds);
    let mut polys = Vec::with_capacity(rounds);
    let mut point: Vec<EF> = Vec::new();
    let mut prove = |columns: Columns| {
        // The first layer below the root has no rounds, nor anything to batch.
        let (lambda, claim) = match claims.last() {
            None => (EF::ZERO, EF::ZERO),
            Some(&[p0, q0, p1, q1]) => {
                let lambda: EF = transcript.sample_ext();
                let mu = point[0];
                (lambda, p0 + (p1 - p0) * mu + lambda * (q0 + (q1 - q0) * mu))
            }
        };
        let mut sumcheck = Sumcheck {
            transcript: &mut *transcript,
            point: &point,
            lambda,
            claim,
            factor: EF::ONE,
            polys: Vec::with_capacity(point.len()),
            challenges: Vec::with_capacity(point.len()),
        };
        let opened = sumcheck.run(columns);
        let challenges = sumcheck.challenges;
        if !claims.is_empty() {
            polys.push(sumcheck.polys);
        }
        opened
            .iter()
            .for_each(|&value| transcript.observe_ext(value));
        claims.push(opened);
        point = [vec![transcript.sample_ext()], challenges].concat();
    };
    // From the root down; whatever is done with is freed.
    for layer in small.into_iter().rev().skip(1) {
        prove(Columns::Scalars(layer.columns()));
    }
    for layer in layers.into_iter().rev() {
        prove(Columns::of_layer(layer));
    }
    if rounds > LOG_WIDTH + 2 {
        prove(Columns::of_layer(leaves.sums()));
    }
    if rounds > LOG_WIDTH + 1 {
        prove(Columns::of_leaves(leaves));
    }
    let claims_per_layer = claims
        .into_iter()
        .map(|[p_xi_0, q_xi_0, p_xi_1, q_xi_1]| GkrLayerClaims {
            p_xi_0,
            p_xi_1,
            q_xi_0,
            q_xi_1,
        })
        .collect();
    let proof = FracSumcheckProof {
        fractional_sum: (numerator, denominator),
        claims_per_layer,
        sumcheck_polys: polys,
    };
    Ok((proof, point))
}

/// The sums above the leaves.
struct Tree {
    /// Layers of more than two packs, without the leaves and the one above them, the largest first.
    layers: Vec<Layer>,
    /// The others, down to the root.
    small: Vec<Small>,
}

/// Up to two packs of fractions, in bit-reversed order.
struct Small {
    numerators: Vec<EF>,
    denominators: Vec<EF>,
}

impl Small {
    fn at(&self, index: usize) -> (EF, EF) {
        (self.numerators[index], self.denominators[index])
    }

    fn sums(&self) -> Self {
        let half = self.numerators.len() / 2;
        let (numerators, denominators) = (0..half)
            .map(|index| {
                let ((p0, q0), (p1, q1)) = (self.at(index), self.at(index + half));
                (p0 * q1 + p1 * q0, q0 * q1)
            })
            .unzip();
        Self {
            numerators,
            denominators,
        }
    }

    fn columns(mut self) -> [Vec<EF>; 4] {
        let half = self.numerators.len() / 2;
        let p1 = self.numerators.split_off(half);
        let q1 = self.denominators.split_off(half);
        [self.numerators, self.denominators, p1, q1]
    }
}

impl Tree {
    fn build(leaves: &Leaves) -> Self {
        let mut layers: Vec<Layer> = Vec::new();
        let mut small = Vec::new();
        if leaves.shape.log_len <= LOG_WIDTH + 1 {
            let numerators: Vec<Pack> = leaves.numerators.iter().map(|&p| p.into()).collect();
            small.push(Small {
                numerators: unpack(&numerators),
                denominators: unpack(&leaves.denominators),
            });
        } else {
            let mut next = if leaves.shape.log_len == LOG_WIDTH + 2 {
                leaves.sums()
            } else {
                leaves.sums_of_sums()
            };
            while next.shape.log_len > LOG_WIDTH + 1 {
                let above = next.sums();
                layers.push(next);
                next = above;
            }
            let (numerators, denominators) = next.data.split_at(next.shape.packs());
            small.push(Small {
                numerators: unpack(numerators),
                denominators: unpack(denominators),
            });
        }
        while small.last().expect("a layer").numerators.len() > 1 {
            small.push(small.last().expect("a layer").sums());
        }
        Self { layers, small }
    }
}

impl Leaves {
    /// The sum of two fractions of a block.
    fn sum(&self, block: usize, index: usize) -> (Pack, Pack) {
        let packs = self.shape.packs();
        let at = block * packs + index;
        let other = at + packs / 2;
        let (p0, p1) = (self.numerators[at], self.numerators[other]);
        let (q0, q1) = (self.denominators[at], self.denominators[other]);
        (q1 * p0 + q0 * p1, q0 * q1)
    }

    fn sums(&self) -> Layer {
        Layer::of_sums(self.shape, self.pad, |block, index| self.sum(block, index))
    }

    /// The second layer above, without the first one.
    fn sums_of_sums(&self) -> Layer {
        let shape = self.shape.above();
        let half = shape.packs() / 2;
        Layer::of_sums(shape, self.pad.square(), |block, index| {
            let (p0, q0) = self.sum(block, index);
            let (p1, q1) = self.sum(block, index + half);
            (q1 * p0 + q0 * p1, q0 * q1)
        })
    }
}

impl Layer {
    /// The layer above one of this shape, given its fractions by block and position.
    fn of_sums(below: Shape, pad: EF, sum: impl Fn(usize, usize) -> (Pack, Pack) + Sync) -> Self {
        let shape = below.above();
        let packs = shape.packs();
        let mut data = Pack::zero_vec(2 * packs * shape.blocks);
        data.par_chunks_mut(2 * packs * BATCH)
            .enumerate()
            .for_each(|(batch, chunk)| {
                for (block, chunk) in chunk.chunks_exact_mut(2 * packs).enumerate() {
                    let block = batch * BATCH + block;
                    let (numerators, denominators) = chunk.split_at_mut(packs);
                    for index in 0..packs {
                        (numerators[index], denominators[index]) = sum(block, index);
                    }
                }
            });
        let layer = Self {
            shape,
            data,
            pad: pad * pad,
        };
        // A sumcheck wants two packs in each half of a block's numerators.
        if shape.log_block < LOG_WIDTH + 2 && shape.log_block < shape.log_len {
            layer.merged()
        } else {
            layer
        }
    }

    fn sums(&self) -> Self {
        let packs = self.shape.packs();
        Self::of_sums(self.shape, self.pad, |block, index| {
            let at = 2 * packs * block + index;
            let other = at + packs / 2;
            let (p0, p1) = (self.data[at], self.data[other]);
            let (q0, q1) = (self.data[at + packs], self.data[other + packs]);
            (q1 * p0 + q0 * p1, q0 * q1)
        })
    }

    fn merged(self) -> Self {
        let old = self.shape;
        let (data, log_block, blocks) = merge(
            &self.data,
            [EF::ZERO, self.pad],
            2 * old.packs(),
            old.log_block,
            old.blocks,
            old.log_len.min(LOG_BLOCK),
        );
        let shape = Shape {
            log_len: old.log_len,
            log_block,
            blocks,
        };
        Self {
            shape,
            data,
            pad: self.pad,
        }
    }
}

/// Merges blocks to blocks of `2^log_block`. Each old block, of which there is one every `stride` packs, consists of
/// `N` columns of `2^log_old`; what lies behind the last block is the tail with the values `pad`.
fn merge<const N: usize>(
    data: &[Pack],
    pad: [EF; N],
    stride: usize,
    log_old: usize,
    blocks: usize,
    log_block: usize,
) -> (Vec<Pack>, usize, usize) {
    let grown = log_block - log_old;
    let (old_packs, packs) = (1 << (log_old - LOG_WIDTH), 1 << (log_block - LOG_WIDTH));
    let merged = blocks.div_ceil(1 << grown);
    let mut result = Pack::zero_vec(N * packs * merged);
    result
        .par_chunks_mut(packs)
        .enumerate()
        .for_each(|(at, column)| {
            let (group, which) = (at / N, at % N);
            for (index, value) in column.iter_mut().enumerate() {
                let source: [Option<(usize, usize)>; WIDTH] = std::array::from_fn(|lane| {
                    let position = index * WIDTH + lane;
                    let within = position >> grown;
                    let block = (group << grown) + reverse(position & ((1 << grown) - 1), grown);
                    let pack = block * stride + which * old_packs + within / WIDTH;
                    (block < blocks).then_some((pack, within % WIDTH))
                });
                *value = Pack::from_basis_coefficients_fn(|d| {
                    Base::from_fn(|lane| match source[lane] {
                        Some((pack, lane)) => coefficient(&data[pack], d).as_slice()[lane],
                        None => {
                            let coefficients: &[F] = pad[which].as_basis_coefficients_slice();
                            coefficients[d]
                        }
                    })
                });
            }
        });
    (result, log_block, merged)
}

/// What a sumcheck folds: the even numerators p0 and denominators q0 of a layer, and the odd ones p1 and q1.
enum Columns {
    /// In the order p0, q0, p1, q1, each in bit-reversed order.
    Scalars([Vec<EF>; 4]),
    Packed(Packed),
}

impl Columns {
    fn of_layer(layer: Layer) -> Self {
        let shape = layer.shape;
        Self::Packed(Packed {
            log_len: shape.log_len - 1,
            log_column: shape.log_block - 1,
            blocks: shape.blocks,
            stride: 2 * shape.packs(),
            data: layer.data,
            numerators: Vec::new(),
            pad: layer.pad,
        })
    }

    fn of_leaves(leaves: Leaves) -> Self {
        let shape = leaves.shape;
        Self::Packed(Packed {
            log_len: shape.log_len - 1,
            log_column: shape.log_block - 1,
            blocks: shape.blocks,
            stride: shape.packs(),
            data: leaves.denominators,
            numerators: leaves.numerators,
            pad: leaves.pad,
        })
    }
}

/// Blocks of the four columns, one block every `stride` packs, each in the order p0, p1, q0, q1.
struct Packed {
    /// Values of a whole column, the tail included, as a power of two.
    log_len: usize,
    /// Values of a column in a block, as a power of two.
    log_column: usize,
    blocks: usize,
    stride: usize,
    data: Vec<Pack>,
    /// Of leaves that have not been folded yet: p0 and p1 of each block, and `data` is q0 and q1 only.
    numerators: Vec<Base>,
    /// The value of q0 and q1 in the tail, where p0 and p1 are 0.
    pad: EF,
}

/// What a round sums up: t(0) and t(2).
type Sums = (Pack, Pack);

/// What the terms of a round are weighted with.
struct Weights {
    lambda: Pack,
    /// eq at the positions of a block, without the coordinate of the round.
    low: Vec<Pack>,
    /// eq at the blocks.
    high: Vec<EF>,
}

impl Weights {
    /// The sums over one block, given the pairs that are folded in the order p0, p1, q0, q1.
    fn sum(&self, block: usize, pairs: impl Fn(usize) -> [(Pack, Pack); 4]) -> Sums {
        let mut sums = (Pack::ZERO, Pack::ZERO);
        for (index, &weight) in self.low.iter().enumerate() {
            let pairs = pairs(index);
            let [p0, p1, q0, q1] = pairs.map(|(lower, _)| lower);
            sums.0 += weight * ((p0 + self.lambda * q0) * q1 + p1 * q0);
            let [p0, p1, q0, q1] = pairs.map(|(lower, upper)| upper.double() - lower);
            sums.1 += weight * ((p0 + self.lambda * q0) * q1 + p1 * q0);
        }
        let weight = Pack::from(self.high[block]);
        (sums.0 * weight, sums.1 * weight)
    }

    /// The sums over a block of columns of `size` packs.
    fn sum_columns(&self, block: usize, columns: &[Pack], size: usize) -> Sums {
        let half = size / 2;
        let [p0, p1, q0, q1] = [0, 1, 2, 3].map(|at| columns[at * size..].split_at(half));
        self.sum(block, |index| {
            [p0, p1, q0, q1].map(|(lower, upper)| (lower[index], upper[index]))
        })
    }
}

fn add(a: Sums, b: Sums) -> Sums {
    (a.0 + b.0, a.1 + b.1)
}

/// Folds columns of `size` packs to half of it, in place.
fn fold(columns: &mut [Pack], size: usize, challenge: Pack) {
    let half = size / 2;
    for column in 0..columns.len() / size {
        for index in 0..half {
            let lower = columns[column * size + index];
            let upper = columns[column * size + half + index];
            columns[column * half + index] = lower + (upper - lower) * challenge;
        }
    }
}

impl Packed {
    /// Packs of a column in a block.
    fn size(&self) -> usize {
        1 << (self.log_column - LOG_WIDTH)
    }

    /// The sums of the next round.
    fn sums(&self, weights: &Weights) -> Sums {
        let (size, half) = (self.size(), self.size() / 2);
        (0..self.blocks)
            .into_par_iter()
            .with_min_len(BATCH)
            .map(|block| {
                let columns = &self.data[block * self.stride..][..self.stride];
                if self.numerators.is_empty() {
                    return weights.sum_columns(block, columns, size);
                }
                let numerators = &self.numerators[2 * size * block..][..2 * size];
                weights.sum(block, |index| {
                    let p = |at: usize| (numerators[at].into(), numerators[at + half].into());
                    let q = |at: usize| (columns[at], columns[at + half]);
                    [p(index), p(index + size), q(index), q(index + size)]
                })
            })
            .reduce(|| (Pack::ZERO, Pack::ZERO), add)
    }

    /// Folds, and sums up for the next round unless columns are single packs afterwards.
    fn fold(&mut self, challenge: EF, weights: &Weights) -> Sums {
        let (size, half) = (self.size(), self.size() / 2);
        let challenge = Pack::from(challenge);
        let numerators = std::mem::take(&mut self.numerators);
        let stride = self.stride;
        let sums = self
            .data
            .par_chunks_mut(stride * BATCH)
            .enumerate()
            .map(|(batch, chunk)| {
                let mut sums = (Pack::ZERO, Pack::ZERO);
                for (index, columns) in chunk.chunks_exact_mut(stride).enumerate() {
                    let block = batch * BATCH + index;
                    if numerators.is_empty() {
                        fold(&mut columns[..4 * size], size, challenge);
                    } else {
                        fold(columns, size, challenge);
                        columns.copy_within(..size, size);
                        let numerators = &numerators[2 * size * block..][..2 * size];
                        for (column, numerators) in numerators.chunks_exact(size).enumerate() {
                            for index in 0..half {
                                let (lower, upper) = (numerators[index], numerators[index + half]);
                                columns[column * half + index] =
                                    challenge * (upper - lower) + lower;
                            }
                        }
                    }
                    if half > 1 {
                        sums = add(sums, weights.sum_columns(block, columns, half));
                    }
                }
                sums
            })
            .reduce(|| (Pack::ZERO, Pack::ZERO), add);
        self.log_column -= 1;
        self.log_len -= 1;
        sums
    }

    fn merged(self) -> Self {
        let (data, log_column, blocks) = merge(
            &self.data,
            [EF::ZERO, EF::ZERO, self.pad, self.pad],
            self.stride,
            self.log_column,
            self.blocks,
            self.log_len.min(LOG_BLOCK - 1),
        );
        Self {
            log_len: self.log_len,
            log_column,
            blocks,
            stride: 4 << (log_column - LOG_WIDTH),
            data,
            numerators: Vec::new(),
            pad: self.pad,
        }
    }
}

/// The sumcheck of one layer: sum over y of eq(point, y) (p0 q1 + p1 q0 + lambda q0 q1)(y) is the claim.
struct Sumcheck<'a, TS> {
    transcript: &'a mut TS,
    point: &'a [EF],
    lambda: EF,
    claim: EF,
    /// eq of the rounds done.
    factor: EF,
    polys: Vec<[EF; 3]>,
    challenges: Vec<EF>,
}

impl<TS: FiatShamirTranscript<Config>> Sumcheck<'_, TS> {
    /// All rounds; returns p0, q0, p1, q1 at the challenges.
    fn run(&mut self, columns: Columns) -> [EF; 4] {
        let mut columns = match columns {
            Columns::Scalars(columns) => columns,
            Columns::Packed(columns) => self.run_packed(columns),
        };
        let mut eq = eq_reversed(&self.point[self.challenges.len()..]);
        while columns[0].len() > 1 {
            drop_first(&mut eq);
            let half = columns[0].len() / 2;
            let term = |value: &dyn Fn(&[EF], usize) -> EF, index: usize| {
                let [p0, q0, p1, q1] = [0, 1, 2, 3].map(|at| value(&columns[at], index));
                eq[index] * ((p0 + self.lambda * q0) * q1 + p1 * q0)
            };
            let sum = |value: &dyn Fn(&[EF], usize) -> EF| -> EF {
                (0..half).map(|index| term(value, index)).sum()
            };
            let at_zero = sum(&|column, index| column[index]);
            let at_two = sum(&|column, index| column[index + half].double() - column[index]);
            let challenge = self.round(at_zero, at_two);
            for column in &mut columns {
                for index in 0..half {
                    let (lower, upper) = (column[index], column[index + half]);
                    column[index] = lower + (upper - lower) * challenge;
                }
                column.truncate(half);
            }
        }
        columns.map(|column| column[0])
    }

    /// The rounds in which there are packs to fold; what is left are columns of one pack.
    fn run_packed(&mut self, mut columns: Packed) -> [Vec<EF>; 4] {
        loop {
            let rest = &self.point[self.challenges.len()..];
            let mut weights = Weights {
                lambda: self.lambda.into(),
                low: eq_reversed_packed(&rest[1..columns.log_column]),
                high: eq_natural(&rest[columns.log_column..]),
            };
            let used: EF = weights.high[..columns.blocks].iter().copied().sum();
            let tail = (EF::ONE - used) * self.lambda * columns.pad.square();
            let mut sums = columns.sums(&weights);
            loop {
                let challenge = self.round(sum_lanes(&sums.0) + tail, sum_lanes(&sums.1) + tail);
                if weights.low.len() > 1 {
                    drop_first(&mut weights.low);
                }
                sums = columns.fold(challenge, &weights);
                if columns.log_column == LOG_WIDTH {
                    break;
                }
            }
            if columns.log_len == LOG_WIDTH {
                return [0, 2, 1, 3].map(|at| unpack(&columns.data[at..=at]));
            }
            columns = columns.merged();
        }
    }

    /// One round: its polynomial from two values of t, its challenge, and the claim that is left.
    fn round(&mut self, at_zero: EF, at_two: EF) -> EF {
        let x = self.point[self.challenges.len()];
        let (eq_zero, slope) = (EF::ONE - x, x.double() - EF::ONE);
        // claim = factor (eq(x, 0) t(0) + eq(x, 1) t(1))
        let at_one = (self.claim - self.factor * eq_zero * at_zero) * (self.factor * x).inverse();
        let at_three = at_zero + (at_two - at_one) * F::from_u8(3);
        let eq = |at: u8| self.factor * (eq_zero + slope * F::from_u8(at));
        let poly = [eq(1) * at_one, eq(2) * at_two, eq(3) * at_three];
        poly.iter()
            .for_each(|&value| self.transcript.observe_ext(value));
        self.polys.push(poly);
        let challenge = self.transcript.sample_ext();
        self.challenges.push(challenge);
        let square = (at_two - at_one.double() + at_zero).halve();
        let linear = at_one - at_zero - square;
        self.factor *= eq_zero + slope * challenge;
        self.claim = self.factor * ((square * challenge + linear) * challenge + at_zero);
        challenge
    }
}

/// Fractions that sum to zero: pairs that cancel, an even number of them; the rest is the tail.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn fractions(
    numbers: &mut crate::kernels::Numbers,
    used: usize,
    len: usize,
) -> (Vec<(F, EF)>, EF) {
    let pad = numbers.extension();
    let mut values: Vec<(F, EF)> = Vec::with_capacity(len);
    while values.len() < used / 2 {
        values.push((numbers.base(), numbers.extension()));
    }
    for index in (0..used / 2).rev() {
        let (p, q) = values[index];
        values.push((-p, q));
    }
    values.resize(len, (F::ZERO, pad));
    (values, pad)
}

/// These fractions as they are proved.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn leaves(values: &[(F, EF)], pad: EF, used: usize) -> Leaves {
    use super::packing::pack;

    let shape = Shape::of_leaves(values.len().ilog2() as usize, used);
    let index = |at: usize, lane: usize| {
        let position = at * WIDTH + lane;
        let block = position >> shape.log_block;
        let within = position & ((1 << shape.log_block) - 1);
        (block << shape.log_block) + reverse(within, shape.log_block)
    };
    let packs = shape.packs() * shape.blocks;
    Leaves {
        shape,
        numerators: (0..packs)
            .map(|at| Base::from_fn(|lane| values[index(at, lane)].0))
            .collect(),
        denominators: (0..packs)
            .map(|at| pack(|lane| values[index(at, lane)].1))
            .collect(),
        pad,
    }
}

#[cfg(test)]
mod tests {
    use openvm_stark_backend::prover::fractional_sumcheck_gkr::{
        Frac, fractional_sumcheck as reference,
    };
    use openvm_stark_sdk::config::baby_bear_poseidon2::{DuplexSponge, default_duplex_sponge};

    use super::*;
    use crate::kernels::Numbers;

    #[test]
    fn it_is_the_proof_of_the_reference() {
        for (log_len, used) in [
            (4, 10),
            (5, 32),
            (6, 40),
            (7, 66),
            (9, 300),
            (10, 1024),
            (11, 1026),
            (13, 5000),
            (15, 16_390),
            (18, 200_000),
        ] {
            let (values, pad) = fractions(&mut Numbers::new(1), used, 1 << log_len);
            let fracs: Vec<Frac<EF>> = values
                .iter()
                .map(|&(p, q)| Frac::new(p.into(), q))
                .collect();
            let mut transcript: DuplexSponge = default_duplex_sponge();
            let (expected, expected_point) =
                reference::<Config, _>(&mut transcript, &fracs, true).expect("they cancel");
            let next: EF = FiatShamirTranscript::<Config>::sample_ext(&mut transcript);
            let mut transcript: DuplexSponge = default_duplex_sponge();
            let (proof, point) = fractional_sumcheck(&mut transcript, leaves(&values, pad, used))
                .expect("they cancel");
            assert_eq!(proof.fractional_sum, expected.fractional_sum);
            assert_eq!(proof.claims_per_layer, expected.claims_per_layer);
            assert_eq!(proof.sumcheck_polys, expected.sumcheck_polys);
            assert_eq!(point, expected_point);
            let again: EF = FiatShamirTranscript::<Config>::sample_ext(&mut transcript);
            assert_eq!(again, next);
        }
    }

    #[test]
    fn fractions_that_do_not_cancel_are_refused() {
        let (mut values, pad) = fractions(&mut Numbers::new(1), 600, 1024);
        values[5].0 += F::ONE;
        let mut transcript: DuplexSponge = default_duplex_sponge();
        let refused = fractional_sumcheck(&mut transcript, leaves(&values, pad, 600));
        assert!(matches!(refused, Err(LogupZerocheckError::NonZeroRootSum)));
    }
}
