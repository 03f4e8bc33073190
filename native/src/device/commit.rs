//! Committing to the traces: stacking, Reed-Solomon codewords, Merkle tree.
//!
//! What is committed to is what the engine commits to. Matrices are as large as everything else in a proof together, so
//! each is written once, and none twice:
//!
//! - Columns are stacked straight from the rows of the traces, tile by tile.
//! - The change from values on `2^l_skip` rows to coefficients is one small matrix, applied while the stacked columns
//!   become rows.
//! - The transform is in place, in two passes over memory: the first half of its layers on groups of distant rows, the
//!   second on chunks of adjacent ones, each copied to where it stays in the cache.

use openvm_cpu_backend::CpuProverError;
use openvm_cpu_backend::merkle::CpuMerkleTree;
use openvm_stark_backend::SystemParams;
use openvm_stark_backend::p3_field::{Field, PackedValue, PrimeCharacteristicRing, TwoAdicField};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::p3_matrix::util::reverse_matrix_index_bits;
use openvm_stark_backend::p3_symmetric::{
    CryptographicHasher, PaddingFreeSponge, PseudoCompressionFunction, TruncatedPermutation,
};
use openvm_stark_backend::prover::error::StackedPcsError;
use openvm_stark_backend::prover::poly::Mle;
use openvm_stark_backend::prover::stacked_pcs::StackedLayout;
use openvm_stark_backend::prover::{ColMajorMatrix, MatrixDimensions};
use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, F};
use p3_baby_bear::default_babybear_poseidon2_16;
use rayon::prelude::*;

use super::Committed;
use super::packing::{Base, WIDTH, dot};

/// Side of the square tiles in which matrices are transposed: a cache line of elements.
const TILE: usize = 16;
/// Rows that become rows of coefficients at once; adjacent ones share the columns' pages.
const AT_ONCE: usize = 128;

/// Adjacent rows that are transformed together with those they are paired with: what lies together is loaded together.
const RESIDUES: usize = 4;

/// Commits to traces, which come from the highest to the lowest.
pub fn commit(
    params: &SystemParams,
    traces: &[&RowMajorMatrix<F>],
) -> Result<(Digest, Committed), CpuProverError> {
    let (stacked, layout) = stack(params, traces)?;
    let mut codewords = coefficients(params, &stacked);
    transform(&mut codewords, stacked.height());
    let layers = merkle_layers(&codewords, 1 << params.k_whir());
    // SAFETY: the layers were just computed from the rows, and the number of rows in a leaf is that they are for.
    let tree = unsafe { CpuMerkleTree::from_raw_parts(codewords, layers, 1 << params.k_whir()) };
    let root = tree.root()?;
    Ok((root, Committed::new(layout, stacked, tree)))
}

/// All columns, one after the other; those that are lower than what is skipped have gaps.
fn stack(
    params: &SystemParams,
    traces: &[&RowMajorMatrix<F>],
) -> Result<(ColMajorMatrix<F>, StackedLayout), StackedPcsError> {
    let (l_skip, height) = (params.l_skip, 1 << params.log_stacked_height());
    let shape = traces.iter().map(|trace| {
        (
            trace.width,
            MatrixDimensions::height(*trace).ilog2() as usize,
        )
    });
    let layout = StackedLayout::new(l_skip, params.log_stacked_height(), shape.collect())?;
    let lifted = |trace: &RowMajorMatrix<F>| MatrixDimensions::height(trace).max(1 << l_skip);
    let cells: usize = traces.iter().map(|trace| trace.width * lifted(trace)).sum();
    let width = cells.div_ceil(height);
    let mut stacked = F::zero_vec(width * height);
    let mut tasks = Vec::new();
    let mut left = stacked.as_mut_slice();
    for &trace in traces {
        let lifted = lifted(trace);
        let (region, behind) = left.split_at_mut(trace.width * lifted);
        left = behind;
        let groups = region.chunks_mut(TILE * lifted).enumerate();
        tasks.extend(groups.map(|(group, columns)| (trace, group * TILE, lifted, columns)));
    }
    tasks
        .into_par_iter()
        .for_each(|(trace, first, lifted, columns)| {
            let height = MatrixDimensions::height(trace);
            let stride = lifted / height;
            for start in (0..height).step_by(TILE) {
                for (column, values) in columns.chunks_exact_mut(lifted).enumerate() {
                    for row in start..height.min(start + TILE) {
                        values[row * stride] = trace.values[row * trace.width + first + column];
                    }
                }
            }
        });
    Ok((ColMajorMatrix::new(stacked, width), layout))
}

/// The weights with which the values of `2^l_skip` rows become coefficients: for each of those, for each value.
fn weights(l_skip: usize) -> Vec<Base> {
    let size = 1 << l_skip;
    let inverse = F::two_adic_generator(l_skip).inverse();
    let scale = F::from_usize(size).inverse();
    let columns: Vec<Vec<F>> = (0..size)
        .map(|value| {
            let step = inverse.exp_u64(value as u64);
            let mut column: Vec<F> = step
                .powers()
                .take(size)
                .map(|power| power * scale)
                .collect();
            Mle::coeffs_to_evals_inplace(&mut column);
            column
        })
        .collect();
    (0..size)
        .flat_map(|coefficient| columns.iter().map(move |column| column[coefficient].into()))
        .collect()
}

/// Rows of the coefficients of all stacked columns, extended by zeros. The lanes of a pack are columns.
fn coefficients(params: &SystemParams, stacked: &ColMajorMatrix<F>) -> RowMajorMatrix<F> {
    let (width, height, size) = (stacked.width(), stacked.height(), 1 << params.l_skip);
    let weights = weights(params.l_skip);
    let mut rows = F::zero_vec((width * height) << params.log_blowup);
    let at_once = AT_ONCE.max(size).min(height);
    rows[..width * height]
        .par_chunks_exact_mut(width * at_once)
        .enumerate()
        .for_each_init(
            || Base::zero_vec(at_once),
            |values, (chunk, rows)| {
                for first in (0..width).step_by(WIDTH) {
                    let lanes = WIDTH.min(width - first);
                    for lane in 0..lanes {
                        let column = &stacked.values[(first + lane) * height + chunk * at_once..];
                        for (values, &value) in values.iter_mut().zip(column) {
                            values.as_slice_mut()[lane] = value;
                        }
                    }
                    let rows = rows.chunks_exact_mut(width * size);
                    for (values, rows) in values.chunks_exact(size).zip(rows) {
                        let rows = rows.chunks_exact_mut(width);
                        for (weights, row) in weights.chunks_exact(size).zip(rows) {
                            let sum = dot(weights, |at| values[at]);
                            row[first..first + lanes].copy_from_slice(&sum.as_slice()[..lanes]);
                        }
                    }
                }
            },
        );
    RowMajorMatrix::new(rows, width)
}

/// Rows that threads change without sharing any.
struct Rows {
    start: *mut F,
    width: usize,
}

// SAFETY: whoever takes a row sees to it that nobody else has it.
unsafe impl Sync for Rows {}

impl Rows {
    /// # Safety
    /// The row exists, and nobody else has it.
    #[allow(clippy::mut_from_ref)]
    unsafe fn row(&self, index: usize) -> &mut [F] {
        unsafe { std::slice::from_raw_parts_mut(self.start.add(index * self.width), self.width) }
    }
}

/// Evaluates each column, whose coefficients are given, at the powers of the generator of its size. Rows from `filled` on
/// are zero, and have not been touched yet.
pub fn transform(matrix: &mut RowMajorMatrix<F>, filled: usize) {
    let width = matrix.width;
    let height = matrix.values.len() / width;
    let bits = height.ilog2() as usize;
    let powers: Vec<F> = F::two_adic_generator(bits)
        .powers()
        .take(height / 2)
        .collect();
    let far = bits / 2;
    let chunk = height >> far;
    // Layers whose pairs are further apart than a chunk: every chunk-th row, a few residues at once.
    let rows = Rows {
        start: matrix.values.as_mut_ptr(),
        width,
    };
    let residues = RESIDUES.min(chunk);
    (0..chunk / residues).into_par_iter().for_each_init(
        || Buffer::new(width, residues << far),
        |buffer, group| {
            let first = group * residues;
            let index = |at: usize| at / residues * chunk + first + at % residues;
            for (at, row) in buffer.rows() {
                if index(at) < filled {
                    // SAFETY: the row's residue is this thread's, which has no other row.
                    row.copy_from_slice(unsafe { rows.row(index(at)) });
                } else {
                    row.fill(F::ZERO);
                }
            }
            for layer in 0..far {
                buffer.layer(residues << (far - 1 - layer), |at| {
                    powers[(at / residues * chunk + first + at % residues) << layer]
                });
            }
            for (at, row) in buffer.rows() {
                // SAFETY: as above.
                unsafe { rows.row(index(at)) }.copy_from_slice(row);
            }
        },
    );
    // The others, within each chunk.
    matrix
        .values
        .par_chunks_exact_mut(chunk * width)
        .for_each_init(
            || Buffer::new(width, chunk),
            |buffer, rows| {
                for (at, row) in buffer.rows() {
                    row.copy_from_slice(&rows[at * width..][..width]);
                }
                for layer in far..bits {
                    buffer.layer(height >> (layer + 1), |at| powers[at << layer]);
                }
                for (at, row) in buffer.rows() {
                    rows[at * width..][..width].copy_from_slice(row);
                }
            },
        );
    reverse_matrix_index_bits(matrix);
}

/// Rows in the cache, each of whole packs. Rows that are a power of two apart in a large matrix would displace each
/// other there.
struct Buffer {
    width: usize,
    packs: usize,
    values: Vec<F>,
}

impl Buffer {
    fn new(width: usize, rows: usize) -> Self {
        let packs = width.div_ceil(WIDTH);
        Self {
            width,
            packs,
            values: F::zero_vec(rows * packs * WIDTH),
        }
    }

    fn rows(&mut self) -> impl Iterator<Item = (usize, &mut [F])> {
        let width = self.width;
        let rows = self.values.chunks_exact_mut(self.packs * WIDTH);
        rows.map(move |row| &mut row[..width]).enumerate()
    }

    /// The sum of each two rows at a distance, and their difference times a power.
    fn layer(&mut self, distance: usize, power: impl Fn(usize) -> F) {
        let row = self.packs * WIDTH;
        for block in self.values.chunks_exact_mut(2 * distance * row) {
            let (lower, upper) = block.split_at_mut(distance * row);
            let pairs = lower.chunks_exact_mut(row).zip(upper.chunks_exact_mut(row));
            for (at, (lower, upper)) in pairs.enumerate() {
                let power = Base::from(power(at));
                let (lower, upper) = (Base::pack_slice_mut(lower), Base::pack_slice_mut(upper));
                for (lower, upper) in lower.iter_mut().zip(upper) {
                    let difference = *lower - *upper;
                    *lower += *upper;
                    *upper = difference * power;
                }
            }
        }
    }
}

/// Writes a pack of digests, or the first of them.
fn spread(packed: &[Base; 8], digests: &mut [Digest]) {
    for (lane, digest) in digests.iter_mut().enumerate() {
        *digest = packed.map(|pack| pack.as_slice()[lane]);
    }
}

/// The hashes of the rows, those of a leaf's rows, which are as far apart as there are leaves, and the tree over them.
pub fn merkle_layers(matrix: &RowMajorMatrix<F>, rows_per_leaf: usize) -> Vec<Vec<Digest>> {
    let width = matrix.width;
    let height = matrix.values.len() / width;
    let sponge = PaddingFreeSponge::<_, 16, 8, 8>::new(default_babybear_poseidon2_16());
    let mut digests = vec![Digest::default(); height];
    digests.par_chunks_mut(WIDTH).enumerate().for_each_init(
        || vec![Base::ZERO; width],
        |packed, (chunk, digests)| {
            let rows = &matrix.values[chunk * WIDTH * width..][..digests.len() * width];
            for (column, packed) in packed.iter_mut().enumerate() {
                *packed = Base::from_fn(|lane| {
                    rows.get(lane * width + column).copied().unwrap_or(F::ZERO)
                });
            }
            spread(&sponge.hash_slice(packed), digests);
        },
    );
    let leaves = height / rows_per_leaf;
    while digests.len() > leaves {
        let half = digests.len() / leaves / 2;
        let pair = |index: usize| {
            let first = index / leaves * 2 * leaves + index % leaves;
            (first, first + leaves)
        };
        digests = compressed(&digests, half * leaves, pair);
    }
    let mut layers = vec![digests];
    loop {
        let below = layers.last().expect("a layer");
        if below.len() == 1 {
            return layers;
        }
        layers.push(compressed(below, below.len() / 2, |index| {
            (2 * index, 2 * index + 1)
        }));
    }
}

/// The compressions of pairs of digests.
fn compressed(
    below: &[Digest],
    len: usize,
    pair: impl Fn(usize) -> (usize, usize) + Sync,
) -> Vec<Digest> {
    let compressor = TruncatedPermutation::<_, 2, 8, 16>::new(default_babybear_poseidon2_16());
    let mut digests = vec![Digest::default(); len];
    digests
        .par_chunks_mut(WIDTH)
        .enumerate()
        .for_each(|(chunk, digests)| {
            // Lanes behind the last pair repeat it.
            let pairs: [(usize, usize); WIDTH] =
                std::array::from_fn(|lane| pair(chunk * WIDTH + lane.min(digests.len() - 1)));
            let packed: [[Base; 8]; 2] = [
                std::array::from_fn(|at| Base::from_fn(|lane| below[pairs[lane].0][at])),
                std::array::from_fn(|at| Base::from_fn(|lane| below[pairs[lane].1][at])),
            ];
            spread(&compressor.compress(packed), digests);
        });
    digests
}

#[cfg(test)]
mod tests {
    use openvm_cpu_backend::CpuDevice;
    use openvm_stark_backend::StarkEngine;
    use openvm_stark_backend::prover::TraceCommitter;

    use super::*;
    use crate::params::{self, Config, Engine};

    #[test]
    fn it_is_the_commitment_of_the_engine() {
        let mut state = 7u32;
        let mut trace = |log_height: usize, width: usize| {
            let cells = (0..width << log_height).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                F::from_u32(state >> 2)
            });
            RowMajorMatrix::new(cells.collect(), width)
        };
        let shapes: [&[(usize, usize)]; 4] = [
            &[(0, 1)],
            &[(11, 3), (9, 17), (4, 5), (3, 40), (0, 2)],
            &[(10, 70), (10, 1), (8, 16), (1, 33)],
            &[(2, 7), (0, 100)],
        ];
        for shapes in shapes {
            let traces: Vec<_> = shapes
                .iter()
                .map(|&(height, width)| trace(height, width))
                .collect();
            let traces: Vec<_> = traces.iter().collect();
            for l_skip in [2, 4] {
                let mut params = params::system_params(11).expect("a height");
                params.n_stack = 11 - l_skip;
                params.l_skip = l_skip;
                let engine = Engine::new(params);
                let device: &CpuDevice<Config> = engine.device();
                let (expected_root, expected) = device.commit(&traces).expect("a commitment");
                let (root, found) = commit(engine.params(), &traces).expect("a commitment");
                assert_eq!(root, expected_root);
                assert_eq!(found.matrix.values, expected.matrix.values);
                assert_eq!(found.tree.backing_matrix(), expected.tree.backing_matrix());
                assert_eq!(found.tree.digest_layers(), expected.tree.digest_layers());
            }
        }
    }
}
