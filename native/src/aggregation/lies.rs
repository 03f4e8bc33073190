//! Lies about the tables of a node that are ours, each judged by their constraints and by what their neighbours say.
//!
//! The neighbours are circuits of the engine: they put what each child states on a bus, once, say which children there
//! are and which tables these have, and know the compression. So the judge lets a lie pass if its rows satisfy the
//! constraints, take exactly those public values, take from each other what they send, ask only for children and tables
//! that there are, and only for compressions that are true. What passes has to state what the proofs of the children say,
//! whatever is in the rows.

use std::collections::BTreeMap;

use openvm_continuations::circuit::inner::bus::PvsAirConsistencyBus;
use openvm_recursion_circuit::bus::{
    AirPresenceBus, AirShapeBus, HyperdimBus, Poseidon2CompressBus, PublicValuesBus,
};
use openvm_stark_backend::interaction::{
    BusIndex, Interaction, InteractionBuilder, PermutationCheckBus,
};
use openvm_stark_backend::p3_air::{Air, AirBuilder, AirBuilderWithPublicValues};
use openvm_stark_backend::p3_field::{PrimeCharacteristicRing, PrimeField32};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrixView;
use openvm_stark_backend::p3_matrix::stack::VerticalPair;
use openvm_stark_sdk::config::baby_bear_poseidon2::{F, poseidon2_compress_with_capacity};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::airs::{
    BEHIND, BETWEEN, Buses, CHILD, DIGEST, JOIN_TAG, JOINS, LAST, NODE_TABLE, NODE_VALUES,
    NodesAir, PROOF, RUNNING, SHARED, STATEMENT_TAG, SegmentsAir, Stated, VALID, compress, tag,
};
use super::shapes::{AFTER, BEFORE, CODE, END, GROUP, OF_TABLE, PRESENT, ShapesAir, TABLES};

const PUBLIC_VALUES: BusIndex = 1;
const COMPRESS: BusIndex = 2;
const CONSISTENCY: BusIndex = 3;
const PRESENCE: BusIndex = 4;
const PLACE: BusIndex = 5;
const HEIGHT: BusIndex = 6;
const SHAPE: BusIndex = 7;

/// Random lies about the tables of each number of children.
const LIES: usize = 60_000;

/// What a test draws from, by its number and by the seed of the environment, if that has one.
fn drawing(test: u64) -> SmallRng {
    let seed = std::env::var("ZKEVM_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    SmallRng::seed_from_u64(10 * seed + test)
}

fn buses() -> Buses {
    Buses {
        public_values: PublicValuesBus::new(PUBLIC_VALUES),
        compress: Poseidon2CompressBus::new(COMPRESS),
        consistency: PvsAirConsistencyBus::new(CONSISTENCY),
        presence: AirPresenceBus::new(PRESENCE),
        place: AirShapeBus::new(PLACE),
        height: HyperdimBus::new(HEIGHT),
        shape: PermutationCheckBus::new(SHAPE),
    }
}

/// Rows of a table.
#[derive(Clone)]
struct Rows {
    cells: Vec<F>,
    width: usize,
}

/// What is said: the rows of each table, and the public values of the first one.
#[derive(Clone)]
struct Said {
    tables: Vec<Rows>,
    public: Vec<F>,
}

impl Rows {
    fn of(cells: Vec<F>, width: usize) -> Self {
        Self { cells, width }
    }

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

/// What the children of a node state, by table; log2 of the rows of their tables, where these are asked for; and whether
/// they are nodes themselves.
struct Children {
    values: Vec<Vec<Vec<F>>>,
    heights: Vec<Vec<Option<usize>>>,
    are_nodes: bool,
}

const L_SKIP: usize = 4;

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

    /// Whether a message about the tables of a child is true; places go by height.
    fn has_shape(&self, bus: BusIndex, message: &[F]) -> bool {
        let message: Vec<u32> = message.iter().map(F::as_canonical_u32).collect();
        let Some(heights) = self.heights.get(message[0] as usize) else {
            return false;
        };
        let mut order: Vec<usize> = (0..heights.len())
            .filter(|&i| heights[i].is_some())
            .collect();
        order.sort_by_key(|&table| std::cmp::Reverse(heights[table]));
        let at = |place: u32| order.get(place as usize).copied();
        match (bus, &message[1..]) {
            (PRESENCE, &[table, present]) => heights
                .get(table as usize)
                .is_some_and(|height| u32::from(height.is_some()) == present),
            (PLACE, &[place, property, value]) => {
                property == 0 && at(place).is_some_and(|table| table == value as usize)
            }
            (HEIGHT, &[place, distance, below]) => at(place).is_some_and(|table| {
                let height = heights[table].expect("it is there");
                let is_below = height < L_SKIP;
                (distance as usize, below) == (height.abs_diff(L_SKIP), u32::from(is_below))
            }),
            _ => false,
        }
    }
}

/// How a table evaluates a row.
type Eval = Box<dyn Fn(&mut Row<'_>)>;

fn eval_of(air: impl for<'a> Air<Row<'a>> + 'static) -> Eval {
    Box::new(move |row| air.eval(row))
}

/// Whether neighbours and constraints let the rows pass.
fn accepted(evals: &[Eval], said: &Said, children: &Children) -> bool {
    let mut taken = BTreeMap::new();
    let mut between = BTreeMap::new();
    for (table, (eval, rows)) in evals.iter().zip(&said.tables).enumerate() {
        for number in 0..rows.height() {
            let row = |number: usize| &rows.cells[number * rows.width..][..rows.width];
            let mut builder = Row {
                here: row(number),
                next: row((number + 1) % rows.height()),
                is_first: number == 0,
                is_last: number + 1 == rows.height(),
                public: if table == 0 { &said.public } else { &[] },
                holds: true,
                messages: vec![],
            };
            eval(&mut builder);
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
                let canonical = || message.iter().map(F::as_canonical_u32).collect::<Vec<_>>();
                let true_message = match bus_index {
                    PUBLIC_VALUES => {
                        *taken.entry(canonical()).or_insert(F::ZERO) -= count;
                        true
                    }
                    SHAPE => {
                        *between.entry(canonical()).or_insert(F::ZERO) += count;
                        true
                    }
                    COMPRESS => {
                        let part = |at: usize| std::array::from_fn(|i| message[DIGEST * at + i]);
                        poseidon2_compress_with_capacity(part(0), part(1)).0 == part(2)
                    }
                    CONSISTENCY => children.exists(&message),
                    PRESENCE | PLACE | HEIGHT => children.has_shape(bus_index, &message),
                    _ => false,
                };
                if !true_message {
                    return false;
                }
            }
        }
    }
    taken.retain(|_, count| *count != F::ZERO);
    taken == children.provided() && between.values().all(|count| *count == F::ZERO)
}

/// Whether public values are what the children state.
type Truth = Box<dyn Fn(&[F]) -> bool>;

/// Makes rows consistent again, as far as their own public values go.
type Repair = Box<dyn Fn(&mut Said)>;

/// Tables, what they say of honest children, and what has to be stated.
struct Case {
    evals: Vec<Eval>,
    children: Children,
    honest: Said,
    /// Rows that are no padding, of each table.
    used: Vec<usize>,
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

/// The states of a hash behind each block.
fn states(mut state: [F; DIGEST], values: &[F]) -> Vec<[F; DIGEST]> {
    values
        .chunks(DIGEST)
        .map(|block| {
            let padded: [F; DIGEST] =
                std::array::from_fn(|i| block.get(i).copied().unwrap_or(F::ZERO));
            state = compress(state, padded);
            state
        })
        .collect()
}

fn segments(count: usize, tables: usize, random: &mut SmallRng) -> Case {
    let stated = Stated {
        tables,
        l_skip: L_SKIP,
        stating: vec![(1, 19), (0, 2), (3, 3)],
    };
    let mut heights: Vec<Vec<Option<usize>>> = vec![];
    let mut values: Vec<Vec<Vec<F>>> = vec![];
    for _ in 0..count {
        let mut own: Vec<Option<usize>> = (0..tables)
            .map(|_| random.random::<bool>().then(|| random.random_range(0..9)))
            .collect();
        own[1] = Some(0);
        let mut stating = vec![vec![]; tables];
        for &(table, size) in &stated.stating {
            if own[table].is_some() {
                stating[table] = random_values(random, size);
            }
        }
        heights.push(own);
        values.push(stating);
    }
    let given: Vec<&[Vec<F>]> = values.iter().map(Vec::as_slice).collect();
    let before = digest(&random_values(random, DIGEST));
    let (shapes, hashes) = ShapesAir::fill(&stated, &heights, &mut vec![]);
    let (cells, public) = SegmentsAir::fill(&stated, &given, &hashes, before, &mut vec![]);
    let width = cells.len() / count.next_power_of_two();
    let proved: Vec<[F; DIGEST]> = values
        .iter()
        .zip(&heights)
        .map(|(tables, heights)| {
            let mut codes: Vec<F> = heights
                .iter()
                .map(|height| F::from_usize(height.map_or(0, |height| height + 1)))
                .collect();
            codes.resize(codes.len().next_multiple_of(DIGEST), F::ZERO);
            for (table, size) in &stated.stating {
                let mut own = tables[*table].clone();
                own.resize(*size, F::ZERO);
                codes.extend(own);
            }
            *states(tag(STATEMENT_TAG), &codes).last().expect("blocks")
        })
        .collect();
    let first = SHARED + stated.stating.len();
    let values_at = first..first + stated.values();
    let airs = (
        SegmentsAir {
            buses: buses(),
            stated: stated.clone(),
        },
        ShapesAir {
            buses: buses(),
            stated: stated.clone(),
        },
    );
    Case {
        evals: vec![eval_of(airs.0), eval_of(airs.1)],
        used: vec![count, count * stated.groups()],
        children: Children {
            values,
            heights,
            are_nodes: false,
        },
        honest: Said {
            tables: vec![Rows::of(cells, width), Rows::of(shapes, ShapesAir::WIDTH)],
            public,
        },
        states_truth: Box::new(move |public| {
            let running = proved
                .iter()
                .fold(digest(public), |running, &own| compress(running, own));
            running == public[DIGEST..]
        }),
        repair: Box::new(move |said| repair_segments(&values_at, said)),
    }
}

/// Hashes anew what the rows say, and takes what the rows of tables give.
fn repair_segments(values: &std::ops::Range<usize>, said: &mut Said) {
    let [rows, shapes] = &mut said.tables[..] else {
        unreachable!("two tables");
    };
    let mut found = BTreeMap::new();
    let mut state = tag(STATEMENT_TAG);
    for number in 0..shapes.height() {
        let row = shapes.row(number);
        let codes: Vec<F> = row[TABLES..]
            .chunks(OF_TABLE)
            .map(|own| own[CODE])
            .collect();
        row[BEFORE..AFTER].copy_from_slice(&state);
        state = states(state, &codes)[0];
        row[AFTER..TABLES].copy_from_slice(&state);
        if row[END] == F::ONE {
            found.insert(row[PROOF].as_canonical_u32(), state);
            state = tag(STATEMENT_TAG);
        }
    }
    let mut running = digest(&rows.row(0)[values.end..]);
    said.public[..DIGEST].copy_from_slice(&running);
    for number in 0..rows.height() {
        let row = rows.row(number);
        let at = values.end;
        row[at..at + DIGEST].copy_from_slice(&running);
        if let Some(shape) = found.get(&row[PROOF].as_canonical_u32()) {
            row[at + DIGEST..at + 2 * DIGEST].copy_from_slice(shape);
        }
        let hashed = states(digest(&row[at + DIGEST..]), &row[values.clone()]);
        let cells = hashed.concat();
        row[at + 2 * DIGEST..][..cells.len()].copy_from_slice(&cells);
        running = compress(running, hashed[hashed.len() - 1]);
        row[at + 2 * DIGEST + cells.len()..].copy_from_slice(&running);
        if row[LAST] == F::ONE {
            said.public[DIGEST..].copy_from_slice(&running);
        }
    }
}

/// Nodes that follow each other or, where they are `joined`, do not.
fn nodes(count: usize, joined: bool, random: &mut SmallRng) -> Case {
    let mut ends: Vec<[Vec<F>; 2]> = (0..count)
        .map(|_| [(); 2].map(|()| random_values(random, DIGEST)))
        .collect();
    if !joined {
        for child in 1..count {
            ends[child][0] = ends[child - 1][1].clone();
        }
    }
    let values: Vec<Vec<Vec<F>>> = ends
        .iter()
        .map(|own| {
            let mut tables = vec![vec![]; 3];
            tables[NODE_TABLE] = own.concat();
            tables
        })
        .collect();
    // Any nodes can be joined; only some follow each other, as a single one does.
    let start = tag(JOIN_TAG);
    let hash = ends
        .iter()
        .flatten()
        .fold(start, |hash, end| compress(hash, digest(end)));
    let mut truths = vec![[start, hash].concat()];
    if !joined || count == 1 {
        truths.push([&ends[0][0][..], &ends[count - 1][1]].concat());
    }
    Case {
        evals: vec![eval_of(NodesAir { buses: buses() })],
        used: vec![count],
        honest: said_of_nodes(&values, joined),
        children: Children {
            values,
            heights: vec![],
            are_nodes: true,
        },
        states_truth: Box::new(move |public| truths.iter().any(|truth| public == truth)),
        repair: Box::new(repair_nodes),
    }
}

/// Hashes anew what the rows say, where they say that they are joined, and takes the ends of the first and the last row.
fn repair_nodes(said: &mut Said) {
    let rows = &mut said.tables[0];
    let mut hash = tag(JOIN_TAG);
    for number in 0..rows.height() {
        let row = rows.row(number);
        let (before, behind) = (digest(&row[CHILD..]), digest(&row[CHILD + DIGEST..]));
        if row[JOINS] == F::ONE {
            row[RUNNING..BETWEEN].copy_from_slice(&hash);
            hash = compress(hash, before);
            row[BETWEEN..BEHIND].copy_from_slice(&hash);
            hash = compress(hash, behind);
            row[BEHIND..].copy_from_slice(&hash);
        } else {
            row[RUNNING..BETWEEN].copy_from_slice(&before);
            row[BETWEEN..BEHIND].fill(F::ZERO);
            row[BEHIND..].copy_from_slice(&behind);
        }
        if number == 0 {
            said.public[..DIGEST].copy_from_slice(&row[RUNNING..BETWEEN]);
        }
        if row[LAST] == F::ONE {
            said.public[DIGEST..].copy_from_slice(&row[BEHIND..]);
        }
    }
}

fn said_of_nodes(values: &[Vec<Vec<F>>], joined: bool) -> Said {
    let given: Vec<&[Vec<F>]> = values.iter().map(Vec::as_slice).collect();
    let (cells, public) = NodesAir::fill(&given, joined, &mut vec![]);
    let width = cells.len() / values.len().next_power_of_two();
    Said {
        tables: vec![Rows::of(cells, width)],
        public,
    }
}

impl Case {
    fn passes(&self, said: &Said) -> bool {
        accepted(&self.evals, said, &self.children)
    }

    fn check_honest(&self) {
        assert!(self.passes(&self.honest));
        assert!((self.states_truth)(&self.honest.public));
    }

    /// Each cell of a child's rows, and each public value, is another one: refused, or no lie.
    fn check_each_value(&self, random: &mut SmallRng) {
        for (table, rows) in self.honest.tables.iter().enumerate() {
            for cell in 0..self.used[table] * rows.width {
                for value in [
                    rows.cells[cell] + F::ONE,
                    F::ONE - rows.cells[cell],
                    random_values(random, 1)[0],
                ] {
                    let mut lie = self.honest.clone();
                    if value != rows.cells[cell] && !self.says_nothing(table, cell) {
                        lie.tables[table].cells[cell] = value;
                        assert!(!self.passes(&lie), "table {table}, cell {cell}");
                    }
                }
            }
        }
        for place in 0..NODE_VALUES {
            let mut lie = self.honest.clone();
            lie.public[place] += F::ONE;
            assert!(!self.passes(&lie), "public value {place}");
        }
    }

    /// The place and the height of a table that is absent may be anything.
    fn says_nothing(&self, table: usize, cell: usize) -> bool {
        let row = &self.honest.tables[table].cells[cell - cell % ShapesAir::WIDTH..];
        let column = cell % ShapesAir::WIDTH;
        table == 1 && column >= TABLES && {
            let within = (column - TABLES) % OF_TABLE;
            (PRESENT + 1..CODE).contains(&within) && row[column - within] == F::ZERO
        }
    }

    /// Lies of several changes, most of them repaired: none that passes states anything but the truth.
    fn check_random(&self, random: &mut SmallRng) -> usize {
        let mut passed = 0;
        for _ in 0..LIES {
            let mut lie = self.honest.clone();
            for _ in 0..random.random_range(1..=4) {
                change(&mut lie, random);
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

    /// Rows that leave out the last child, and rows of no child at all.
    fn check_fewer(&self) {
        for table in 0..self.evals.len() {
            let flags = VALID..match (table, self.children.are_nodes) {
                (_, true) => CHILD,
                (0, _) => SHARED,
                _ => GROUP,
            };
            let count = self.used[table];
            let mut lie = self.honest.clone();
            let rows = &mut lie.tables[table];
            rows.row(count - 1)[flags.clone()].fill(F::ZERO);
            if count > 1 && table == 0 {
                rows.row(count - 2)[LAST] = F::ONE;
            }
            (self.repair)(&mut lie);
            assert!(!self.passes(&lie));
            for row in 0..lie.tables[table].height() {
                lie.tables[table].row(row)[flags.clone()].fill(F::ZERO);
            }
            assert!(!self.passes(&lie));
        }
    }

    fn check(&self, random: &mut SmallRng) {
        self.check_honest();
        self.check_each_value(random);
        self.check_fewer();
        self.check_random(random);
    }
}

fn change(lie: &mut Said, random: &mut SmallRng) {
    if random.random_range(0..6) == 0 {
        let place = random.random_range(0..NODE_VALUES);
        lie.public[place] = random_values(random, 1)[0];
        return;
    }
    let table = random.random_range(0..lie.tables.len());
    let rows = &mut lie.tables[table];
    let height = rows.height();
    let (row, other) = (
        random.random_range(0..height),
        random.random_range(0..height),
    );
    let column = match random.random_range(0..3) {
        0 => random.random_range(0..SHARED),
        _ => random.random_range(0..rows.width),
    };
    match random.random_range(0..5) {
        0 => rows.row(row)[column] = F::from_u32(random.random_range(0..4)),
        1 => rows.row(row)[column] += F::ONE,
        2 => rows.row(row)[column] = rows.row(other)[column],
        3 => {
            let copied = rows.row(other).to_vec();
            rows.row(row).copy_from_slice(&copied);
        }
        _ => {
            let (one, two) = (rows.row(row).to_vec(), rows.row(other).to_vec());
            rows.row(row).copy_from_slice(&two);
            rows.row(other).copy_from_slice(&one);
        }
    }
}

/// The last row of a segment has as many tables as there are left.
const NUMBERS_OF_TABLES: [usize; 3] = [8, 13, 24];

#[test]
fn a_leaf_states_what_the_proofs_of_its_segments_say() {
    let mut random = drawing(1);
    for count in 1..=4 {
        let tables = NUMBERS_OF_TABLES[count % NUMBERS_OF_TABLES.len()];
        segments(count, tables, &mut random).check(&mut random);
    }
}

#[test]
fn a_node_states_the_ends_of_its_children() {
    let mut random = drawing(2);
    for (count, joined) in (1..=4).flat_map(|count| [(count, false), (count, true)]) {
        nodes(count, joined, &mut random).check(&mut random);
    }
}

/// Beside the rows of children there is padding, which may hold anything: some lies are none, and pass.
#[test]
fn changes_that_say_nothing_pass() {
    let mut random = drawing(3);
    assert!(segments(3, 13, &mut random).check_random(&mut random) > 0);
    assert!(nodes(3, false, &mut random).check_random(&mut random) > 0);
    assert!(nodes(3, true, &mut random).check_random(&mut random) > 0);
}

/// A table that is there is said to be absent, or higher, or another one's height is said to be its own: all that
/// follows is said accordingly.
#[test]
fn other_heights_are_refused() {
    let mut random = drawing(5);
    for tables in NUMBERS_OF_TABLES {
        let case = segments(2, tables, &mut random);
        for (child, table) in (0..2).flat_map(|child| (0..tables).map(move |table| (child, table)))
        {
            for other in [None, Some(0), Some(5), Some(8)] {
                let mut heights = case.children.heights.clone();
                if heights[child][table] == other {
                    continue;
                }
                heights[child][table] = other;
                let stated = Stated {
                    tables,
                    l_skip: L_SKIP,
                    stating: vec![],
                };
                let mut lie = case.honest.clone();
                lie.tables[1].cells = ShapesAir::fill(&stated, &heights, &mut vec![]).0;
                (case.repair)(&mut lie);
                assert!(!case.passes(&lie), "child {child}, table {table}");
            }
        }
    }
}

#[test]
fn children_that_do_not_follow_each_other_have_only_a_node_that_joins_them() {
    let mut random = drawing(4);
    let mut case = nodes(3, false, &mut random);
    case.children.values.swap(1, 2);
    case.honest = said_of_nodes(&case.children.values, false);
    assert!(!case.passes(&case.honest));
    assert!(case.passes(&said_of_nodes(&case.children.values, true)));
}

/// A child is left as it is while its neighbours are joined, or the hash begins with another tag or in the middle of one.
#[test]
fn nodes_are_joined_as_a_whole_and_from_the_tag_on() {
    let mut random = drawing(6);
    for count in 1..=4 {
        let case = nodes(count, true, &mut random);
        for child in 0..count {
            let mut lie = case.honest.clone();
            lie.tables[0].row(child)[JOINS] = F::ZERO;
            (case.repair)(&mut lie);
            assert!(!case.passes(&lie) || count == 1, "child {child} of {count}");
        }
        for start in [
            tag(JOIN_TAG + 1),
            tag(0),
            digest(&random_values(&mut random, DIGEST)),
        ] {
            let mut lie = case.honest.clone();
            let mut hash = start;
            for number in 0..count {
                let row = lie.tables[0].row(number);
                for (from, end) in [(RUNNING, CHILD), (BETWEEN, CHILD + DIGEST)] {
                    row[from..from + DIGEST].copy_from_slice(&hash);
                    hash = compress(hash, digest(&row[end..]));
                }
                row[BEHIND..].copy_from_slice(&hash);
            }
            lie.public = [start, hash].concat();
            assert!(!case.passes(&lie), "{count} children");
        }
    }
}

/// One step is another value, and all that follows is right: the start, what is hashed, what a child states, which rows join.
#[test]
fn each_step_of_a_node_is_needed() {
    let mut random = drawing(7);
    for (count, pattern) in (1..=4).flat_map(|count| (0..1_u32 << count).map(move |p| (count, p))) {
        let joins: Vec<bool> = (0..count).map(|child| pattern >> child & 1 == 1).collect();
        // Where a row that is not joined follows, its child begins where the one before ends.
        for broken in 0..=3 * count + DIGEST {
            let mut case = nodes(count, true, &mut random);
            let mut wrong: Vec<[F; DIGEST]> = vec![[F::ZERO; DIGEST]; 3 * count];
            let mut start = tag(JOIN_TAG);
            if broken > 3 * count {
                start[broken - 3 * count - 1] += F::ONE;
            } else if broken > 0 {
                wrong[broken - 1][random.random_range(0..DIGEST)] = F::ONE;
            }
            let add = |to: [F; DIGEST], by: [F; DIGEST]| -> [F; DIGEST] {
                std::array::from_fn(|i| to[i] + by[i])
            };
            let mut hash = start;
            let mut rows: Vec<[[F; DIGEST]; 3]> = vec![];
            for child in 0..count {
                if !joins[child] && child > 0 {
                    case.children.values[child][NODE_TABLE][..DIGEST].copy_from_slice(&hash);
                }
                let own = case.children.values[child][NODE_TABLE].clone();
                let (before, behind) = (digest(&own), digest(&own[DIGEST..]));
                let by = &wrong[3 * child..];
                let (running, between, end) = if joins[child] {
                    let running = if child == 0 { add(hash, by[0]) } else { hash };
                    let between = add(compress(running, before), by[1]);
                    (running, between, add(compress(between, behind), by[2]))
                } else {
                    let running = if child == 0 { add(before, by[0]) } else { hash };
                    (running, by[1], add(behind, by[2]))
                };
                hash = end;
                rows.push([running, between, end]);
            }
            let mut said = said_of_nodes(&case.children.values, true);
            for (child, row) in rows.iter().enumerate() {
                let cells = said.tables[0].row(child);
                cells[JOINS] = F::from_bool(joins[child]);
                cells[RUNNING..].copy_from_slice(&row.concat());
            }
            said.public = [rows[0][0], hash].concat();
            let uniform = joins.iter().all(|&own| own == joins[0]);
            let harmless = broken == 0
                || (broken <= 3 * count && (broken - 1) % 3 == 0 && broken > 1)
                || (broken > 3 * count && !joins[0]);
            assert_eq!(
                case.passes(&said),
                uniform && harmless,
                "{joins:?} {broken}"
            );
        }
    }
}
