//! Lies about the tables of a node that are ours, each judged by their constraints and by what their neighbours say.
//!
//! The neighbours are circuits of the engine: they put what each child states on a bus, once, say which children there
//! are, and know the compression. So the judge lets a lie pass if its rows satisfy the constraints, take exactly those
//! public values, ask only for children that there are, and only for compressions that are true. What passes has to state
//! what the children do, whatever is in the rows.

use std::collections::BTreeMap;

use openvm_continuations::circuit::inner::bus::PvsAirConsistencyBus;
use openvm_recursion_circuit::bus::{Poseidon2CompressBus, PublicValuesBus};
use openvm_stark_backend::interaction::{BusIndex, Interaction, InteractionBuilder};
use openvm_stark_backend::p3_air::{Air, AirBuilder, AirBuilderWithPublicValues};
use openvm_stark_backend::p3_field::{PrimeCharacteristicRing, PrimeField32};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrixView;
use openvm_stark_backend::p3_matrix::stack::VerticalPair;
use openvm_stark_sdk::config::baby_bear_poseidon2::{F, poseidon2_compress_with_capacity};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::airs::{
    Buses, DIGEST, LAST, NODE_TABLE, NODE_VALUES, NodesAir, SHARED, STATEMENT_TAG, SegmentsAir,
    Stated, VALID, compress, tag,
};

const PUBLIC_VALUES: BusIndex = 1;
const COMPRESS: BusIndex = 2;
const CONSISTENCY: BusIndex = 3;

/// Random lies about each table.
const LIES: usize = 60_000;

fn buses() -> Buses {
    Buses {
        public_values: PublicValuesBus::new(PUBLIC_VALUES),
        compress: Poseidon2CompressBus::new(COMPRESS),
        consistency: PvsAirConsistencyBus::new(CONSISTENCY),
    }
}

/// Rows of a table and its public values.
#[derive(Clone)]
struct Rows {
    cells: Vec<F>,
    width: usize,
    public: Vec<F>,
}

impl Rows {
    fn height(&self) -> usize {
        self.cells.len() / self.width
    }

    fn row(&mut self, row: usize) -> &mut [F] {
        &mut self.cells[row * self.width..][..self.width]
    }
}

/// Evaluates one row.
struct Row<'a> {
    here: &'a [F],
    next: &'a [F],
    is_first: bool,
    is_last: bool,
    public: &'a [F],
    holds: bool,
    messages: Vec<Interaction<F>>,
}

impl<'a> AirBuilder for Row<'a> {
    type F = F;
    type Expr = F;
    type Var = F;
    type M = VerticalPair<RowMajorMatrixView<'a, F>, RowMajorMatrixView<'a, F>>;

    fn main(&self) -> Self::M {
        VerticalPair::new(
            RowMajorMatrixView::new_row(self.here),
            RowMajorMatrixView::new_row(self.next),
        )
    }

    fn is_first_row(&self) -> F {
        F::from_bool(self.is_first)
    }

    fn is_last_row(&self) -> F {
        F::from_bool(self.is_last)
    }

    fn is_transition_window(&self, size: usize) -> F {
        assert_eq!(size, 2);
        F::from_bool(!self.is_last)
    }

    fn assert_zero<I: Into<F>>(&mut self, x: I) {
        self.holds &= x.into() == F::ZERO;
    }
}

impl AirBuilderWithPublicValues for Row<'_> {
    type PublicVar = F;

    fn public_values(&self) -> &[F] {
        self.public
    }
}

impl InteractionBuilder for Row<'_> {
    fn push_interaction<E: Into<F>>(
        &mut self,
        bus_index: BusIndex,
        fields: impl IntoIterator<Item = E>,
        count: impl Into<F>,
        count_weight: u32,
    ) {
        self.messages.push(Interaction {
            message: fields.into_iter().map(Into::into).collect(),
            count: count.into(),
            bus_index,
            count_weight,
        });
    }

    fn num_interactions(&self) -> usize {
        self.messages.len()
    }

    fn all_interactions(&self) -> &[Interaction<F>] {
        &self.messages
    }
}

/// What the children of a node state, by table; and whether they are nodes themselves.
struct Children {
    values: Vec<Vec<Vec<F>>>,
    are_nodes: bool,
}

impl Children {
    /// How often each public value is on the bus: child, table, place and value.
    fn provided(&self) -> BTreeMap<Vec<u32>, F> {
        let mut found = BTreeMap::new();
        for (child, tables) in self.values.iter().enumerate() {
            for (table, values) in tables.iter().enumerate() {
                for (place, value) in values.iter().enumerate() {
                    let message =
                        [child, table, place].map(|n| u32::try_from(n).expect("a small number"));
                    let message = [&message[..], &[value.as_canonical_u32()]].concat();
                    found.insert(message, F::ONE);
                }
            }
        }
        found
    }

    fn exists(&self, message: &[F]) -> bool {
        let [child, deferred, is_node] = message else {
            return false;
        };
        (child.as_canonical_u32() as usize) < self.values.len()
            && *deferred == F::ZERO
            && *is_node == F::from_bool(self.are_nodes)
    }
}

/// Whether neighbours and constraints let the rows pass.
fn accepted(air: &impl for<'a> Air<Row<'a>>, rows: &Rows, children: &Children) -> bool {
    let mut taken = BTreeMap::new();
    for number in 0..rows.height() {
        let row = |number: usize| &rows.cells[number * rows.width..][..rows.width];
        let mut builder = Row {
            here: row(number),
            next: row((number + 1) % rows.height()),
            is_first: number == 0,
            is_last: number + 1 == rows.height(),
            public: &rows.public,
            holds: true,
            messages: vec![],
        };
        air.eval(&mut builder);
        if !builder.holds {
            return false;
        }
        for Interaction {
            message,
            count,
            bus_index,
            ..
        } in builder.messages
        {
            if count == F::ZERO {
                continue;
            }
            let true_message = match bus_index {
                PUBLIC_VALUES => {
                    let message: Vec<u32> = message.iter().map(F::as_canonical_u32).collect();
                    *taken.entry(message).or_insert(F::ZERO) -= count;
                    true
                }
                COMPRESS => {
                    let part = |at: usize| std::array::from_fn(|i| message[DIGEST * at + i]);
                    poseidon2_compress_with_capacity(part(0), part(1)).0 == part(2)
                }
                CONSISTENCY => children.exists(&message),
                _ => false,
            };
            if !true_message {
                return false;
            }
        }
    }
    taken.retain(|_, count| *count != F::ZERO);
    taken == children.provided()
}

/// Whether public values are what the children state.
type Truth = Box<dyn Fn(&[F]) -> bool>;

/// Makes rows consistent again, as far as their own public values go.
type Repair = Box<dyn Fn(&mut Rows)>;

/// A table, how honest rows of it are made, and what they have to state.
struct Case<A> {
    air: A,
    children: Children,
    honest: Rows,
    states_truth: Truth,
    repair: Repair,
}

fn random_values(random: &mut SmallRng, count: usize) -> Vec<F> {
    (0..count)
        .map(|_| F::from_u32(random.random_range(0..F::ORDER_U32)))
        .collect()
}

fn digest(values: &[F]) -> [F; DIGEST] {
    std::array::from_fn(|i| values[i])
}

/// The hash of what a segment states, block by block.
fn states(stated: &Stated, values: &[F]) -> Vec<[F; DIGEST]> {
    let mut state = tag(STATEMENT_TAG);
    values
        .chunks(DIGEST)
        .map(|block| {
            let padded: [F; DIGEST] =
                std::array::from_fn(|i| block.get(i).copied().unwrap_or(F::ZERO));
            state = compress(state, padded);
            state
        })
        .take(stated.values.div_ceil(DIGEST))
        .collect()
}

fn segments(count: usize, random: &mut SmallRng) -> Case<SegmentsAir> {
    let stated = Stated {
        table: 1,
        values: 19,
        constant: vec![(0, vec![0, 0]), (3, vec![1, 0, 7])],
    };
    let values: Vec<Vec<Vec<F>>> = (0..count)
        .map(|_| {
            let mut tables = vec![vec![]; 4];
            tables[stated.table] = random_values(random, stated.values);
            for (table, constants) in &stated.constant {
                if random.random() {
                    tables[*table] = constants.iter().map(|&c| F::from_u32(c)).collect();
                }
            }
            tables
        })
        .collect();
    let given: Vec<&[Vec<F>]> = values.iter().map(Vec::as_slice).collect();
    let before = digest(&random_values(random, DIGEST));
    let (cells, public) = SegmentsAir::fill(&stated, &given, before, &mut vec![]);
    let air = SegmentsAir {
        buses: buses(),
        stated: stated.clone(),
    };
    let width = cells.len() / count.next_power_of_two();
    let hashes: Vec<[F; DIGEST]> = values
        .iter()
        .map(|tables| {
            *states(&stated, &tables[stated.table])
                .last()
                .expect("blocks")
        })
        .collect();
    let first = SHARED + stated.constant.len();
    Case {
        air,
        children: Children {
            values,
            are_nodes: false,
        },
        honest: Rows {
            cells,
            width,
            public,
        },
        states_truth: Box::new(move |public| {
            let running = hashes
                .iter()
                .fold(digest(public), |running, &own| compress(running, own));
            running == public[DIGEST..]
        }),
        repair: Box::new(move |rows| {
            let own = first..first + stated.values;
            let mut running = digest(&rows.row(0)[own.end..]);
            rows.public[..DIGEST].copy_from_slice(&running);
            for number in 0..rows.height() {
                let row = rows.row(number);
                row[own.end..own.end + DIGEST].copy_from_slice(&running);
                let hashed = states(&stated, &row[own.clone()]);
                let cells = hashed.concat();
                row[own.end + DIGEST..][..cells.len()].copy_from_slice(&cells);
                running = compress(running, hashed[hashed.len() - 1]);
                row[own.end + DIGEST + cells.len()..].copy_from_slice(&running);
                if row[LAST] == F::ONE {
                    rows.public[DIGEST..].copy_from_slice(&running);
                }
            }
        }),
    }
}

fn nodes(count: usize, random: &mut SmallRng) -> Case<NodesAir> {
    let ends: Vec<Vec<F>> = (0..=count).map(|_| random_values(random, DIGEST)).collect();
    let values: Vec<Vec<Vec<F>>> = (0..count)
        .map(|child| {
            let mut tables = vec![vec![]; 3];
            tables[NODE_TABLE] = [&ends[child][..], &ends[child + 1]].concat();
            tables
        })
        .collect();
    let given: Vec<&[Vec<F>]> = values.iter().map(Vec::as_slice).collect();
    let (cells, public) = NodesAir::fill(&given);
    let width = cells.len() / count.next_power_of_two();
    let truth = [&ends[0][..], &ends[count]].concat();
    Case {
        air: NodesAir { buses: buses() },
        children: Children {
            values,
            are_nodes: true,
        },
        honest: Rows {
            cells,
            width,
            public,
        },
        states_truth: Box::new(move |public| public == truth),
        repair: Box::new(|rows| {
            let first = rows.row(0)[SHARED..][..DIGEST].to_vec();
            rows.public[..DIGEST].copy_from_slice(&first);
            for number in 0..rows.height() {
                let row = rows.row(number);
                if row[LAST] == F::ONE {
                    let end = row[SHARED + DIGEST..][..DIGEST].to_vec();
                    rows.public[DIGEST..].copy_from_slice(&end);
                }
            }
        }),
    }
}

impl<A: for<'a> Air<Row<'a>>> Case<A> {
    fn passes(&self, rows: &Rows) -> bool {
        accepted(&self.air, rows, &self.children)
    }

    fn check_honest(&self) {
        assert!(self.passes(&self.honest));
        assert!((self.states_truth)(&self.honest.public));
    }

    /// Each cell of a child's row, and each public value, is another one: refused.
    fn check_each_value(&self, random: &mut SmallRng) {
        let used = self.children.values.len() * self.honest.width;
        for cell in 0..used {
            for value in [
                self.honest.cells[cell] + F::ONE,
                F::ONE - self.honest.cells[cell],
                random_values(random, 1)[0],
            ] {
                let mut lie = self.honest.clone();
                if value != lie.cells[cell] {
                    lie.cells[cell] = value;
                    assert!(!self.passes(&lie), "cell {cell}");
                }
            }
        }
        for place in 0..NODE_VALUES {
            let mut lie = self.honest.clone();
            lie.public[place] += F::ONE;
            assert!(!self.passes(&lie), "public value {place}");
        }
    }

    /// Lies of several changes, most of them repaired: none that passes states anything but the truth.
    fn check_random(&self, random: &mut SmallRng) -> usize {
        let mut passed = 0;
        for _ in 0..LIES {
            let mut lie = self.honest.clone();
            for _ in 0..random.random_range(1..=4) {
                self.change(&mut lie, random);
            }
            if random.random_bool(0.7) {
                (self.repair)(&mut lie);
            }
            if self.passes(&lie) {
                assert!((self.states_truth)(&lie.public), "a lie passes");
                passed += 1;
            }
        }
        passed
    }

    fn change(&self, lie: &mut Rows, random: &mut SmallRng) {
        let height = lie.height();
        let (row, other) = (
            random.random_range(0..height),
            random.random_range(0..height),
        );
        let column = match random.random_range(0..3) {
            0 => random.random_range(0..SHARED),
            _ => random.random_range(0..lie.width),
        };
        match random.random_range(0..6) {
            0 => lie.row(row)[column] = F::from_u32(random.random_range(0..4)),
            1 => lie.row(row)[column] += F::ONE,
            2 => lie.row(row)[column] = lie.row(other)[column],
            3 => {
                let copied = lie.row(other).to_vec();
                lie.row(row).copy_from_slice(&copied);
            }
            4 => {
                let (one, two) = (lie.row(row).to_vec(), lie.row(other).to_vec());
                lie.row(row).copy_from_slice(&two);
                lie.row(other).copy_from_slice(&one);
            }
            _ => {
                let place = random.random_range(0..NODE_VALUES);
                lie.public[place] = random_values(random, 1)[0];
            }
        }
    }

    /// Rows that leave out the last child, and rows of no child at all.
    fn check_fewer(&self) {
        let count = self.children.values.len();
        let mut lie = self.honest.clone();
        lie.row(count - 1)[VALID..SHARED].fill(F::ZERO);
        if count > 1 {
            lie.row(count - 2)[LAST] = F::ONE;
        }
        (self.repair)(&mut lie);
        assert!(!self.passes(&lie));
        for row in 0..lie.height() {
            lie.row(row)[VALID..SHARED].fill(F::ZERO);
        }
        assert!(!self.passes(&lie));
    }

    fn check(&self, random: &mut SmallRng) {
        self.check_honest();
        self.check_each_value(random);
        self.check_fewer();
        self.check_random(random);
    }
}

#[test]
fn a_leaf_states_what_its_segments_do() {
    let mut random = SmallRng::seed_from_u64(1);
    for count in 1..=4 {
        segments(count, &mut random).check(&mut random);
    }
}

#[test]
fn a_node_states_the_ends_of_its_children() {
    let mut random = SmallRng::seed_from_u64(2);
    for count in 1..=4 {
        nodes(count, &mut random).check(&mut random);
    }
}

/// Beside the rows of children there is padding, which may hold anything: some lies are none, and pass.
#[test]
fn changes_that_say_nothing_pass() {
    let mut random = SmallRng::seed_from_u64(3);
    assert!(segments(3, &mut random).check_random(&mut random) > 0);
    assert!(nodes(3, &mut random).check_random(&mut random) > 0);
}

#[test]
fn children_that_do_not_follow_each_other_have_no_node() {
    let mut random = SmallRng::seed_from_u64(4);
    let mut case = nodes(3, &mut random);
    case.children.values.swap(1, 2);
    let given: Vec<&[Vec<F>]> = case.children.values.iter().map(Vec::as_slice).collect();
    let (cells, public) = NodesAir::fill(&given);
    case.honest = Rows {
        cells,
        public,
        ..case.honest
    };
    assert!(!case.passes(&case.honest));
}
