//! The table of a leaf that hashes how high the tables of its segments are.
//!
//! A circuit of the engine knows of each table of a child whether it is there and how high it is, and tells who asks by
//! the table's number. All are asked for here, so that a leaf says of a segment what whoever has its proof can see.

use std::borrow::BorrowMut;
use std::cmp::Reverse;

use openvm_recursion_circuit::bus::{
    AirPresenceBusMessage, AirShapeBusMessage, HyperdimBusMessage,
};
use openvm_recursion_circuit::proof_shape::proof_shape::ProofShapeCols;
use openvm_stark_backend::interaction::InteractionBuilder;
use openvm_stark_backend::p3_air::{Air, AirBuilder, BaseAir};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_backend::p3_matrix::Matrix;
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::{BaseAirWithPublicValues, PartitionedBaseAir};
use openvm_stark_sdk::config::baby_bear_poseidon2::F;

use super::airs::{Buses, DIGEST, PROOF, STATEMENT_TAG, Stated, VALID, look_up_hash, noted, tag};

/// Behind the columns that all begin with: which tables a row is about, whether they are a child's last ones, the hash
/// before and behind them, and the tables.
pub const END: usize = 2;
pub const GROUP: usize = 3;
pub const BEFORE: usize = 4;
pub const AFTER: usize = BEFORE + DIGEST;
pub const TABLES: usize = AFTER + DIGEST;

/// Columns of a table: whether it is there, its place among those that are, highest first, the distance of log2 of its
/// rows from `l_skip`, whether it is below, and what is hashed: 1 + log2 of its rows, or 0.
pub const OF_TABLE: usize = 5;
pub const PRESENT: usize = 0;
const PLACE: usize = 1;
const DISTANCE: usize = 2;
const BELOW: usize = 3;
pub const CODE: usize = 4;

/// The property of a table that is its number, as the engine counts properties.
const NUMBER: u32 = 0;

/// Limbs of what the engine counts in its table of shapes.
const LIMBS: usize = 4;

/// A row for each eight tables of each segment.
pub struct ShapesAir {
    pub buses: Buses,
    pub stated: Stated,
}

impl Stated {
    /// Rows of a segment.
    pub fn groups(&self) -> usize {
        self.tables.div_ceil(DIGEST)
    }
}

impl ShapesAir {
    pub const WIDTH: usize = TABLES + DIGEST * OF_TABLE;

    /// The table's rows for segments with tables of these heights (log2; none: it is absent), and the hash behind the
    /// heights of each; what the rows compress is added to `compressed`.
    pub fn fill(
        stated: &Stated,
        segments: &[Vec<Option<usize>>],
        compressed: &mut Vec<[F; 2 * DIGEST]>,
    ) -> (Vec<F>, Vec<[F; DIGEST]>) {
        let groups = stated.groups();
        let mut cells = F::zero_vec(Self::WIDTH * (groups * segments.len()).next_power_of_two());
        let rows = cells.chunks_exact_mut(Self::WIDTH * groups).zip(segments);
        let hashes = rows
            .enumerate()
            .map(|(number, (rows, heights))| {
                let mut order: Vec<usize> = (0..heights.len()).collect();
                order.sort_by_key(|&table| Reverse(heights[table]));
                let mut state = tag(STATEMENT_TAG);
                for (group, row) in rows.chunks_exact_mut(Self::WIDTH).enumerate() {
                    row[PROOF] = F::from_usize(number);
                    row[VALID] = F::ONE;
                    row[END] = F::from_bool(group + 1 == groups);
                    row[GROUP] = F::from_usize(group);
                    row[BEFORE..AFTER].copy_from_slice(&state);
                    let own = row[TABLES..].chunks_exact_mut(OF_TABLE);
                    for (of_table, table) in own.zip(DIGEST * group..heights.len()) {
                        let Some(height) = heights[table] else {
                            continue;
                        };
                        let place = order.iter().position(|&own| own == table);
                        of_table[PRESENT] = F::ONE;
                        of_table[PLACE] = F::from_usize(place.expect("each has one"));
                        of_table[DISTANCE] = F::from_usize(height.abs_diff(stated.l_skip));
                        of_table[BELOW] = F::from_bool(height < stated.l_skip);
                        of_table[CODE] = F::from_usize(1 + height);
                    }
                    let codes = std::array::from_fn(|i| row[TABLES + OF_TABLE * i + CODE]);
                    state = noted(compressed, state, codes);
                    row[AFTER..TABLES].copy_from_slice(&state);
                }
                state
            })
            .collect();
        (cells, hashes)
    }

    /// Tells the engine's table of shapes that each table of each child is asked for once more.
    pub fn ask(shapes: &mut RowMajorMatrix<F>) {
        let fixed = ProofShapeCols::<F, LIMBS>::width();
        for row in shapes.rows_mut() {
            let columns: &mut ProofShapeCols<F, LIMBS> = row[..fixed].borrow_mut();
            if columns.is_valid == F::ONE {
                columns.num_air_id_lookups += F::ONE;
            }
        }
    }
}

impl<T> BaseAir<T> for ShapesAir {
    fn width(&self) -> usize {
        Self::WIDTH
    }
}

impl<T> BaseAirWithPublicValues<T> for ShapesAir {}

impl<T> PartitionedBaseAir<T> for ShapesAir {}

impl<AB: AirBuilder + InteractionBuilder> Air<AB> for ShapesAir {
    fn eval(&self, builder: &mut AB) {
        let main = builder.main();
        let row: Vec<AB::Var> = main.row(0).expect("a row").into_iter().collect();
        let next: Vec<AB::Var> = main.row(1).expect("two rows").into_iter().collect();
        let (stated, buses) = (&self.stated, &self.buses);
        let (proof, valid, end, group) = (row[PROOF], row[VALID], row[END], row[GROUP]);

        // The rows of a segment: each group of tables once, from the first one to the last one.
        builder.assert_bool(valid);
        builder.assert_bool(end);
        builder.when(end).assert_one(valid);
        builder
            .when(end)
            .assert_eq(group, AB::Expr::from_usize(stated.groups() - 1));
        let goes_on = valid - end;
        let start: [AB::Expr; DIGEST] = tag(STATEMENT_TAG);
        let begins = |builder: &mut AB, when: AB::Expr, row: &[AB::Var]| {
            builder.when(when.clone()).assert_zero(row[GROUP]);
            for (i, element) in start.iter().enumerate() {
                builder
                    .when(when.clone())
                    .assert_eq(row[BEFORE + i], element.clone());
            }
        };
        let is_first = builder.is_first_row();
        begins(builder, is_first * valid, &row);
        let is_transition = builder.is_transition();
        let not_on = AB::Expr::ONE - goes_on.clone();
        begins(builder, is_transition * not_on * next[VALID], &next);
        builder.when_last_row().assert_zero(goes_on.clone());
        builder.when(goes_on.clone()).assert_one(next[VALID]);
        builder.when(goes_on.clone()).assert_eq(next[PROOF], proof);
        builder
            .when(goes_on.clone())
            .assert_eq(next[GROUP], group + AB::Expr::ONE);
        for i in 0..DIGEST {
            builder
                .when(goes_on.clone())
                .assert_eq(next[BEFORE + i], row[AFTER + i]);
        }

        let left = stated.tables - DIGEST * (stated.groups() - 1);
        let mut codes = Vec::with_capacity(DIGEST);
        for (i, own) in row[TABLES..].chunks_exact(OF_TABLE).enumerate() {
            let [present, place, distance, below, code] = own else {
                unreachable!("chunks of five");
            };
            let (present, below, code) = (*present, *below, *code);
            let number = group * AB::Expr::from_usize(DIGEST) + AB::Expr::from_usize(i);
            builder.assert_bool(present);
            builder.when(present).assert_one(valid);
            let log_height = AB::Expr::from_usize(stated.l_skip)
                + (AB::Expr::ONE - below * AB::Expr::TWO) * *distance;
            builder.assert_eq(code, present * (AB::Expr::ONE + log_height));
            let is_table = if i < left {
                valid.into()
            } else {
                builder.when(end).assert_zero(present);
                goes_on.clone()
            };
            buses.presence.lookup_key(
                builder,
                proof,
                AirPresenceBusMessage {
                    air_idx: number.clone(),
                    is_present: present.into(),
                },
                is_table,
            );
            buses.place.lookup_key(
                builder,
                proof,
                AirShapeBusMessage {
                    sort_idx: (*place).into(),
                    property_idx: AB::Expr::from_u32(NUMBER),
                    value: number,
                },
                present,
            );
            buses.height.lookup_key(
                builder,
                proof,
                HyperdimBusMessage {
                    sort_idx: *place,
                    n_abs: *distance,
                    n_sign_bit: below,
                },
                present,
            );
            codes.push(code.into());
        }
        let codes = codes
            .try_into()
            .unwrap_or_else(|_| unreachable!("of eight tables"));
        let before = std::array::from_fn(|i| row[BEFORE + i].into());
        look_up_hash(
            builder,
            buses.compress,
            before,
            codes,
            &row[AFTER..TABLES],
            valid,
        );
        let of_child = [proof]
            .into_iter()
            .chain(row[AFTER..TABLES].iter().copied());
        buses.shape.send(builder, of_child, end);
    }
}
