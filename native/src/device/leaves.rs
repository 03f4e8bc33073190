//! The leaves of the GKR tree: count over alpha + message for every row and message, written where they are read.

use openvm_stark_backend::p3_field::{Field, PackedValue, PrimeCharacteristicRing};
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};
use rayon::prelude::*;

use super::gkr::{Leaves, Shape};
use super::packing::{Base, LOG_WIDTH, Pack, WIDTH, lane, pack, reverse};
use super::program::{Program, bus_term};
use super::table::Table;

/// The messages of a table as a program, and the powers of beta that its denominators consist of.
struct Messages {
    program: Program,
    /// For each message: the part that is the same in all rows, and the weights of the fields.
    weights: Vec<(Pack, Vec<Pack>)>,
}

impl Messages {
    fn new(table: &Table<'_>, alpha: EF, betas: &[EF]) -> Self {
        let program = table.program(false);
        let weights = program
            .messages
            .iter()
            .map(|message| {
                let fields = &betas[..message.fields.len()];
                let constant = alpha + bus_term(message, betas);
                (
                    constant.into(),
                    fields.iter().map(|&beta| beta.into()).collect(),
                )
            })
            .collect();
        Self { program, weights }
    }

    /// Numerator and denominator of one message, once the program has run.
    fn fraction(&self, message: usize, registers: &[Base]) -> (Base, Pack) {
        let (constant, betas) = &self.weights[message];
        let message = &self.program.messages[message];
        let denominator = message
            .fields
            .iter()
            .zip(betas)
            .fold(*constant, |sum, (&field, &beta)| {
                sum + beta * registers[field]
            });
        (registers[message.count], denominator)
    }
}

/// Rows of one table whose fractions fill one block for every message.
struct Task<'a> {
    table: usize,
    rows: usize,
    blocks: Vec<(&'a mut [Base], &'a mut [Pack])>,
}

/// Computes the fractions of all tables, which come from the highest to the lowest.
pub fn leaves(tables: &[Table<'_>], log_len: usize, alpha: EF, betas: &[EF]) -> Leaves {
    let used = tables.iter().map(Table::fractions).sum();
    let shape = Shape::of_leaves(log_len, used);
    let packs = shape.packs();
    let mut numerators = Base::zero_vec(packs * shape.blocks);
    let mut denominators = Pack::zero_vec(packs * shape.blocks);
    let messages: Vec<Messages> = tables
        .par_iter()
        .map(|table| Messages::new(table, alpha, betas))
        .collect();

    // Tables that fill blocks come first, and are written in place.
    let mut blocks = numerators
        .chunks_exact_mut(packs)
        .zip(denominators.chunks_exact_mut(packs));
    let high = tables
        .iter()
        .position(|table| table.log_height < shape.log_block)
        .unwrap_or(tables.len());
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for (index, (table, messages)) in tables[..high].iter().zip(&messages).enumerate() {
        let first = tasks.len();
        let count = if messages.weights.is_empty() {
            0
        } else {
            table.height() >> shape.log_block
        };
        tasks.extend((0..count).map(|block| Task {
            table: index,
            rows: block << shape.log_block,
            blocks: Vec::with_capacity(messages.weights.len()),
        }));
        for _ in &messages.weights {
            for task in &mut tasks[first..] {
                task.blocks
                    .push(blocks.next().expect("a block for all rows of each message"));
            }
        }
    }
    tasks.into_par_iter().for_each(|mut task| {
        let (table, messages) = (&tables[task.table], &messages[task.table]);
        let mut registers = messages.program.registers(Base::ZERO, Base::from);
        // A pack holds rows that differ in the upper bits.
        for low in 0..packs {
            let row = |at: usize| task.rows + (reverse(at, LOG_WIDTH) * packs) + low;
            table.load(&messages.program, &mut registers, row);
            messages.program.run(&mut registers);
            let to = reverse(low, shape.log_block - LOG_WIDTH);
            for (index, (numerators, denominators)) in task.blocks.iter_mut().enumerate() {
                (numerators[to], denominators[to]) = messages.fraction(index, &registers);
            }
        }
    });

    // The others share blocks: in natural order first, then block by block.
    let rest: Vec<(&mut [Base], &mut [Pack])> = blocks.collect();
    let mut natural: Vec<(F, EF)> = vec![(F::ZERO, alpha); rest.len() << shape.log_block];
    let mut left = natural.as_mut_slice();
    let mut regions = Vec::new();
    for (table, messages) in tables.iter().zip(&messages).skip(high) {
        let (region, behind) = left.split_at_mut(table.fractions());
        left = behind;
        regions.push((table, messages, region));
    }
    regions
        .into_par_iter()
        .for_each(|(table, messages, region)| {
            write_low(table, messages, region);
        });
    rest.into_par_iter()
        .zip(natural.par_chunks_exact(1 << shape.log_block))
        .for_each(|((numerators, denominators), values)| {
            for at in 0..packs {
                let value = |lane: usize| &values[reverse(at * WIDTH + lane, shape.log_block)];
                numerators[at] = Base::from_fn(|lane| value(lane).0);
                denominators[at] = pack(|lane| value(lane).1);
            }
        });
    Leaves {
        shape,
        numerators,
        denominators,
        pad: alpha,
    }
}

/// The fractions of a low table, message after message. Fewer rows than the protocol skips are repeated, and count
/// as many times less.
fn write_low(table: &Table<'_>, messages: &Messages, region: &mut [(F, EF)]) {
    let (height, lifted) = (table.height(), 1 << table.log_lifted());
    let share = F::from_usize(lifted / height).inverse();
    let mut registers = messages.program.registers(Base::ZERO, Base::from);
    for first in (0..lifted).step_by(WIDTH) {
        table.load(&messages.program, &mut registers, |at| {
            (first + at) % height
        });
        messages.program.run(&mut registers);
        for (index, column) in region.chunks_exact_mut(lifted).enumerate() {
            let (numerators, denominators) = messages.fraction(index, &registers);
            for (at, value) in column[first..].iter_mut().take(WIDTH).enumerate() {
                *value = (numerators.as_slice()[at] * share, lane(&denominators, at));
            }
        }
    }
}
