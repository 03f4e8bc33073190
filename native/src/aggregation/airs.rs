//! The tables of a node that are ours: what its children state, as one running hash.
//!
//! Every node states the running hash of segments before its first one and behind its last one. A leaf hashes what the
//! proof of each of its segments says: how high each table is (`shapes`), and its public values. An internal node
//! compares the hashes of neighbours. So it does not matter what shape the tree has, and whoever knows what the proofs of
//! all segments say knows the hash at the end.
//!
//! Trees that are complete, each with a running hash that begins anew, are joined by a node of the other kind: it goes on
//! from no child to the next one, but hashes both ends of each in their order, from a tag that no other hash begins with.

use openvm_continuations::circuit::inner::bus::{PvsAirConsistencyBus, PvsAirConsistencyMessage};
use openvm_recursion_circuit::bus::{
    AirPresenceBus, AirShapeBus, HyperdimBus, Poseidon2CompressBus, Poseidon2CompressMessage,
    PublicValuesBus, PublicValuesBusMessage,
};
use openvm_stark_backend::interaction::{InteractionBuilder, PermutationCheckBus};
use openvm_stark_backend::p3_air::{Air, AirBuilder, AirBuilderWithPublicValues, BaseAir};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_backend::p3_matrix::Matrix;
use openvm_stark_backend::{BaseAirWithPublicValues, PartitionedBaseAir};
use openvm_stark_sdk::config::baby_bear_poseidon2::{F, poseidon2_compress_with_capacity};

pub const DIGEST: usize = 8;

/// Public values of a node's own table: the running hash before its first segment and behind its last one.
pub const NODE_VALUES: usize = 2 * DIGEST;

/// Where that table stands among those of a node.
pub const NODE_TABLE: usize = 1;

/// What a segment's hash starts from: the first element, others are 0.
pub const STATEMENT_TAG: u32 = 30;

/// What the hash of a node that joins its children starts from, in the same way.
pub const JOIN_TAG: u32 = 32;

/// Columns that the tables of children begin with.
pub const PROOF: usize = 0;
pub const VALID: usize = 1;
pub const LAST: usize = 2;
pub const SHARED: usize = 3;

/// The buses of a node that its own tables talk on.
#[derive(Clone, Copy)]
pub struct Buses {
    pub public_values: PublicValuesBus,
    pub compress: Poseidon2CompressBus,
    pub consistency: PvsAirConsistencyBus,
    /// Which tables a child has, by number; their places in the order of heights; and the heights.
    pub presence: AirPresenceBus,
    pub place: AirShapeBus,
    pub height: HyperdimBus,
    /// Of each child the hash behind the heights of its tables.
    pub shape: PermutationCheckBus,
}

/// What of a segment's proof is hashed.
#[derive(Clone)]
pub struct Stated {
    /// How many tables the key has, and log2 of the rows below which a table is stacked as if it had as many.
    pub tables: usize,
    pub l_skip: usize,
    /// Which of them have public values, in the order in which they are hashed, and how many. A proof may lack each of
    /// them: zeros are hashed in their place.
    pub stating: Vec<(usize, usize)>,
}

impl Stated {
    /// Of the public values.
    fn blocks(&self) -> usize {
        self.values().div_ceil(DIGEST)
    }

    /// Of all tables.
    pub fn values(&self) -> usize {
        self.stating.iter().map(|(_, count)| count).sum()
    }

    /// Whether each of the tables with public values is there.
    fn present(&self) -> usize {
        SHARED
    }

    fn pvs(&self) -> usize {
        self.present() + self.stating.len()
    }

    fn before(&self) -> usize {
        self.pvs() + self.values()
    }

    /// The segment's hash behind the heights.
    fn shape(&self) -> usize {
        self.before() + DIGEST
    }

    /// States of the segment's hash behind each block.
    fn states(&self) -> usize {
        self.shape() + DIGEST
    }

    fn after(&self) -> usize {
        self.states() + DIGEST * self.blocks()
    }

    fn width(&self) -> usize {
        self.after() + DIGEST
    }

    fn block<T: Clone>(&self, values: &[T], index: usize, zero: &T) -> [T; DIGEST] {
        std::array::from_fn(|i| values.get(DIGEST * index + i).unwrap_or(zero).clone())
    }
}

/// What a hash with a tag starts from.
pub fn tag<R: PrimeCharacteristicRing>(value: u32) -> [R; DIGEST] {
    std::array::from_fn(|i| if i == 0 { R::from_u32(value) } else { R::ZERO })
}

/// The compression of all running hashes: the first half of `P(x) + x`.
pub fn compress(left: [F; DIGEST], right: [F; DIGEST]) -> [F; DIGEST] {
    let (half, _) = poseidon2_compress_with_capacity(left, right);
    std::array::from_fn(|i| half[i] + left[i])
}

/// The same, noted among the inputs of what has been compressed.
pub fn noted(
    compressed: &mut Vec<[F; 2 * DIGEST]>,
    left: [F; DIGEST],
    right: [F; DIGEST],
) -> [F; DIGEST] {
    compressed.push(std::array::from_fn(|i| {
        if i < DIGEST {
            left[i]
        } else {
            right[i - DIGEST]
        }
    }));
    compress(left, right)
}

/// Asks for the compression of two halves, where `count` is 1.
pub fn look_up_hash<AB: InteractionBuilder>(
    builder: &mut AB,
    bus: Poseidon2CompressBus,
    left: [AB::Expr; DIGEST],
    right: [AB::Expr; DIGEST],
    to: &[AB::Var],
    count: AB::Var,
) {
    let output = std::array::from_fn(|i| to[i].into() - left[i].clone());
    let input = left.into_iter().chain(right).collect::<Vec<_>>();
    bus.lookup_key(
        builder,
        Poseidon2CompressMessage {
            input: input
                .try_into()
                .unwrap_or_else(|_| unreachable!("two halves")),
            output,
        },
        count,
    );
}

/// Rows stand for the children, in their order, each once: those of `VerifierPvsAir` are numbered in the same way.
fn constrain_rows<AB: AirBuilder>(builder: &mut AB, row: &[AB::Var], next: &[AB::Var]) -> AB::Expr {
    let (valid, last) = (row[VALID].clone(), row[LAST].clone());
    let goes_on = valid.clone() * (AB::Expr::ONE - last.clone().into());
    builder.assert_bool(valid.clone());
    builder.assert_bool(last.clone());
    builder.when(last.clone()).assert_one(valid.clone());
    builder.when_first_row().assert_one(valid.clone());
    builder.when_first_row().assert_zero(row[PROOF].clone());
    builder
        .when_last_row()
        .when(valid.clone())
        .assert_one(last.clone());
    builder
        .when_transition()
        .assert_bool(valid - next[VALID].clone());
    builder
        .when_transition()
        .when(last)
        .assert_zero(next[VALID].clone());
    builder
        .when(goes_on.clone())
        .assert_one(next[VALID].clone());
    builder
        .when(goes_on.clone())
        .assert_eq(row[PROOF].clone() + AB::Expr::ONE, next[PROOF].clone());
    goes_on
}

/// The hash goes on from row to row, and both its ends are public.
fn constrain_ends<AB: AirBuilderWithPublicValues>(
    builder: &mut AB,
    goes_on: AB::Expr,
    last: AB::Var,
    before: &[AB::Var],
    after: &[AB::Var],
    next: &[AB::Var],
) {
    let public: Vec<AB::Expr> = builder.public_values().iter().map(|&v| v.into()).collect();
    for i in 0..DIGEST {
        builder
            .when_first_row()
            .assert_eq(before[i].clone(), public[i].clone());
        builder
            .when(last.clone())
            .assert_eq(after[i].clone(), public[DIGEST + i].clone());
        builder
            .when(goes_on.clone())
            .assert_eq(after[i].clone(), next[i].clone());
    }
}

/// The table of a leaf: a row for each segment, which hashes what it states.
pub struct SegmentsAir {
    pub buses: Buses,
    pub stated: Stated,
}

impl SegmentsAir {
    /// The table's rows and public values for segments with these public values (by table) and hashes behind the heights
    /// of their tables, with the running hash before them; what the rows compress is added to `compressed`.
    pub fn fill(
        stated: &Stated,
        segments: &[&[Vec<F>]],
        shapes: &[[F; DIGEST]],
        before: [F; DIGEST],
        compressed: &mut Vec<[F; 2 * DIGEST]>,
    ) -> (Vec<F>, Vec<F>) {
        let width = stated.width();
        let mut cells = F::zero_vec(width * segments.len().next_power_of_two());
        let mut running = before;
        let rows = cells.chunks_exact_mut(width).zip(segments);
        for (number, ((row, values), shape)) in rows.zip(shapes).enumerate() {
            row[PROOF] = F::from_usize(number);
            row[VALID] = F::ONE;
            row[LAST] = F::from_bool(number + 1 == segments.len());
            let mut own = vec![];
            for (i, (table, count)) in stated.stating.iter().enumerate() {
                let found = &values[*table];
                row[stated.present() + i] = F::from_bool(!found.is_empty());
                own.extend_from_slice(found);
                own.resize(own.len() + count - found.len(), F::ZERO);
            }
            row[stated.pvs()..stated.before()].copy_from_slice(&own);
            row[stated.before()..stated.shape()].copy_from_slice(&running);
            row[stated.shape()..stated.states()].copy_from_slice(shape);
            let mut state = *shape;
            for index in 0..stated.blocks() {
                state = noted(compressed, state, stated.block(&own, index, &F::ZERO));
                let at = stated.states() + DIGEST * index;
                row[at..at + DIGEST].copy_from_slice(&state);
            }
            running = noted(compressed, running, state);
            row[stated.after()..].copy_from_slice(&running);
        }
        let public = before.into_iter().chain(running).collect();
        (cells, public)
    }
}

impl<T> BaseAir<T> for SegmentsAir {
    fn width(&self) -> usize {
        self.stated.width()
    }
}

impl<T> BaseAirWithPublicValues<T> for SegmentsAir {
    fn num_public_values(&self) -> usize {
        NODE_VALUES
    }
}

impl<T> PartitionedBaseAir<T> for SegmentsAir {}

impl<AB: AirBuilder + InteractionBuilder + AirBuilderWithPublicValues> Air<AB> for SegmentsAir {
    fn eval(&self, builder: &mut AB) {
        let main = builder.main();
        let row: Vec<AB::Var> = main.row(0).expect("a row").into_iter().collect();
        let next: Vec<AB::Var> = main.row(1).expect("two rows").into_iter().collect();
        let stated = &self.stated;
        let goes_on = constrain_rows(builder, &row, &next);
        let valid = row[VALID];
        let values = &row[stated.pvs()..stated.before()];
        let mut places = values.iter();
        for (i, (table, count)) in stated.stating.iter().enumerate() {
            let present = row[stated.present() + i];
            builder.assert_bool(present);
            builder.when(present).assert_one(valid);
            for (index, &value) in places.by_ref().take(*count).enumerate() {
                self.buses.public_values.receive(
                    builder,
                    row[PROOF],
                    PublicValuesBusMessage {
                        air_idx: AB::Expr::from_usize(*table),
                        pv_idx: AB::Expr::from_usize(index),
                        value: value.into(),
                    },
                    present,
                );
                builder.when_ne(present, AB::Expr::ONE).assert_zero(value);
            }
        }
        self.buses.consistency.lookup_key(
            builder,
            row[PROOF],
            PvsAirConsistencyMessage {
                deferral_flag: AB::Expr::ZERO,
                has_verifier_pvs: AB::Expr::ZERO,
            },
            valid,
        );
        let digest = |at: usize| std::array::from_fn(|i| row[at + i].into());
        let shape: [AB::Expr; DIGEST] = digest(stated.shape());
        let of_child = [row[PROOF].into()].into_iter().chain(shape.clone());
        self.buses.shape.receive(builder, of_child, valid);
        let elements: Vec<AB::Expr> = values.iter().map(|v| (*v).into()).collect();
        let mut state = shape;
        for index in 0..stated.blocks() {
            let at = stated.states() + DIGEST * index;
            let block = stated.block(&elements, index, &AB::Expr::ZERO);
            look_up_hash(
                builder,
                self.buses.compress,
                state,
                block,
                &row[at..at + DIGEST],
                valid,
            );
            state = digest(at);
        }
        let (before, after) = (
            &row[stated.before()..stated.shape()],
            &row[stated.after()..],
        );
        let running = digest(stated.before());
        look_up_hash(builder, self.buses.compress, running, state, after, valid);
        let following = &next[stated.before()..stated.shape()];
        constrain_ends(builder, goes_on, row[LAST], before, after, following);
    }
}

/// The table of an internal node: a row for each child, which goes on where the one before ends, or is joined to it.
pub struct NodesAir {
    pub buses: Buses,
}

/// Whether the children are joined, on the rows of all.
pub const JOINS: usize = SHARED;
/// What the child states.
pub const CHILD: usize = JOINS + 1;
/// The running hash before the child, between its ends, and behind it. Where children are not joined the first and the
/// last are what it states itself.
pub const RUNNING: usize = CHILD + NODE_VALUES;
pub const BETWEEN: usize = RUNNING + DIGEST;
pub const BEHIND: usize = BETWEEN + DIGEST;
const NODES_WIDTH: usize = BEHIND + DIGEST;

impl NodesAir {
    /// The table's rows and public values for nodes with these public values (by table), which are joined or follow each
    /// other; what the rows compress is added to `compressed`.
    pub fn fill(
        nodes: &[&[Vec<F>]],
        joins: bool,
        compressed: &mut Vec<[F; 2 * DIGEST]>,
    ) -> (Vec<F>, Vec<F>) {
        let mut cells = F::zero_vec(NODES_WIDTH * nodes.len().next_power_of_two());
        let mut hash = tag(JOIN_TAG);
        for (number, (row, values)) in cells.chunks_exact_mut(NODES_WIDTH).zip(nodes).enumerate() {
            row[PROOF] = F::from_usize(number);
            row[VALID] = F::ONE;
            row[LAST] = F::from_bool(number + 1 == nodes.len());
            row[JOINS] = F::from_bool(joins);
            row[CHILD..RUNNING].copy_from_slice(&values[NODE_TABLE]);
            let end = |at: usize| std::array::from_fn(|i| values[NODE_TABLE][at + i]);
            let (before, behind) = (end(0), end(DIGEST));
            if joins {
                row[RUNNING..BETWEEN].copy_from_slice(&hash);
                hash = noted(compressed, hash, before);
                row[BETWEEN..BEHIND].copy_from_slice(&hash);
                hash = noted(compressed, hash, behind);
                row[BEHIND..].copy_from_slice(&hash);
            } else {
                row[RUNNING..BETWEEN].copy_from_slice(&before);
                row[BEHIND..].copy_from_slice(&behind);
            }
        }
        let last = NODES_WIDTH * (nodes.len() - 1);
        let ends = [&cells[RUNNING..BETWEEN], &cells[last + BEHIND..][..DIGEST]].concat();
        (cells, ends)
    }
}

impl<T> BaseAir<T> for NodesAir {
    fn width(&self) -> usize {
        NODES_WIDTH
    }
}

impl<T> BaseAirWithPublicValues<T> for NodesAir {
    fn num_public_values(&self) -> usize {
        NODE_VALUES
    }
}

impl<T> PartitionedBaseAir<T> for NodesAir {}

impl<AB: AirBuilder + InteractionBuilder + AirBuilderWithPublicValues> Air<AB> for NodesAir {
    fn eval(&self, builder: &mut AB) {
        let main = builder.main();
        let row: Vec<AB::Var> = main.row(0).expect("a row").into_iter().collect();
        let next: Vec<AB::Var> = main.row(1).expect("two rows").into_iter().collect();
        let goes_on = constrain_rows(builder, &row, &next);
        for index in 0..NODE_VALUES {
            self.buses.public_values.receive(
                builder,
                row[PROOF],
                PublicValuesBusMessage {
                    air_idx: AB::Expr::from_usize(NODE_TABLE),
                    pv_idx: AB::Expr::from_usize(index),
                    value: row[CHILD + index].into(),
                },
                row[VALID],
            );
        }
        self.buses.consistency.lookup_key(
            builder,
            row[PROOF],
            PvsAirConsistencyMessage {
                deferral_flag: AB::Expr::ZERO,
                has_verifier_pvs: AB::Expr::ONE,
            },
            row[VALID],
        );
        // All children are joined, or none is. As a bit that padding lacks it counts what is asked at most once a row.
        let joins = row[JOINS];
        builder.assert_bool(joins);
        builder.when(joins).assert_one(row[VALID]);
        builder.when(goes_on.clone()).assert_eq(joins, next[JOINS]);
        let digest = |at: usize| std::array::from_fn(|i| row[at + i].into());
        let starts: [AB::Expr; DIGEST] = tag(JOIN_TAG);
        for i in 0..DIGEST {
            builder
                .when_first_row()
                .when(joins)
                .assert_eq(row[RUNNING + i], starts[i].clone());
            let mut alone = builder.when_ne(joins, AB::Expr::ONE);
            alone.assert_eq(row[CHILD + i], row[RUNNING + i]);
            alone.assert_zero(row[BETWEEN + i]);
            alone.assert_eq(row[CHILD + DIGEST + i], row[BEHIND + i]);
        }
        for (from, end, to) in [(RUNNING, CHILD, BETWEEN), (BETWEEN, CHILD + DIGEST, BEHIND)] {
            look_up_hash(
                builder,
                self.buses.compress,
                digest(from),
                digest(end),
                &row[to..to + DIGEST],
                joins,
            );
        }
        constrain_ends(
            builder,
            goes_on,
            row[LAST],
            &row[RUNNING..BETWEEN],
            &row[BEHIND..],
            &next[RUNNING..BETWEEN],
        );
    }
}
