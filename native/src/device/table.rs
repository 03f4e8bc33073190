//! A table of the proof: its matrices, and what its key says about them.

use openvm_cpu_backend::CpuBackend;
use openvm_stark_backend::p3_field::{PackedValue, PrimeCharacteristicRing};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::prover::{AirProvingContext, DeviceStarkProvingKey};
use openvm_stark_sdk::config::baby_bear_poseidon2::F;

use super::packing::Base;
use super::program::Program;
use crate::params::Config;

pub struct Table<'a> {
    key: &'a DeviceStarkProvingKey<CpuBackend<Config>>,
    public_values: &'a [F],
    /// Preprocessed columns if there are any, cached parts, the common part.
    pub parts: Vec<&'a RowMajorMatrix<F>>,
    pub log_height: usize,
    /// Rows that the univariate round skips, as a power of two.
    l_skip: usize,
}

impl<'a> Table<'a> {
    pub fn new(
        key: &'a DeviceStarkProvingKey<CpuBackend<Config>>,
        context: &'a AirProvingContext<CpuBackend<Config>>,
        l_skip: usize,
    ) -> Self {
        let preprocessed = key.preprocessed_data.iter().map(|data| &data.trace);
        let cached = context.cached_mains.iter().map(|data| &data.trace);
        Self {
            key,
            public_values: &context.public_values,
            parts: preprocessed
                .chain(cached)
                .chain([&context.common_main])
                .collect(),
            log_height: context.height().ilog2() as usize,
            l_skip,
        }
    }

    pub fn height(&self) -> usize {
        1 << self.log_height
    }

    /// The height, or that of the rows that are skipped where it is less.
    pub fn log_lifted(&self) -> usize {
        self.log_height.max(self.l_skip)
    }

    /// Rounds behind the univariate one.
    pub fn rounds(&self) -> usize {
        self.log_lifted() - self.l_skip
    }

    /// How often the rows are repeated.
    pub fn repeated(&self) -> usize {
        1 << (self.log_lifted() - self.log_height)
    }

    pub fn messages(&self) -> usize {
        self.key.vk.symbolic_constraints.interactions.len()
    }

    /// Leaves of the GKR tree that are its own.
    pub fn fractions(&self) -> usize {
        self.messages() << self.log_lifted()
    }

    pub fn constraints(&self) -> usize {
        self.key
            .vk
            .symbolic_constraints
            .constraints
            .constraint_idx
            .len()
    }

    /// The largest degree of its constraints and messages.
    pub fn degree(&self) -> usize {
        usize::from(self.key.vk.max_constraint_degree)
    }

    /// Whether the next row is used anywhere; if so, the columns of all parts are opened there as well.
    pub fn needs_next(&self) -> bool {
        self.key.vk.params.need_rot
    }

    /// Its messages, and its constraints if they are wanted, as a program.
    pub fn program(&self, with_constraints: bool) -> Program {
        Program::new(
            &self.key.vk.symbolic_constraints,
            self.public_values,
            usize::from(self.key.preprocessed_data.is_some()),
            with_constraints,
        )
    }

    /// The longest message.
    pub fn longest(&self) -> usize {
        let messages = &self.key.vk.symbolic_constraints.interactions;
        messages
            .iter()
            .map(|one| one.message.len())
            .max()
            .unwrap_or(0)
    }

    /// Loads a pack of rows.
    pub fn load(&self, program: &Program, registers: &mut [Base], row: impl Fn(usize) -> usize) {
        let rows: [usize; Base::WIDTH] = std::array::from_fn(row);
        let next = rows.map(|row| (row + 1) % self.height());
        for (column, register) in program.columns.iter().zip(registers.iter_mut()) {
            let part = self.parts[column.part];
            let rows = if column.next { &next } else { &rows };
            *register = Base::from_fn(|lane| part.values[rows[lane] * part.width + column.index]);
        }
        let last = self.height() - 1;
        let [first, transition, end] = [
            Base::from_fn(|lane| F::from_bool(rows[lane] == 0)),
            Base::from_fn(|lane| F::from_bool(rows[lane] != last)),
            Base::from_fn(|lane| F::from_bool(rows[lane] == last)),
        ];
        program
            .selectors(registers)
            .copy_from_slice(&[first, transition, end]);
    }

    /// The values of columns and selectors on groups of `size` consecutive rows: column after column, in each one row
    /// of every group after the other. Groups behind the last one repeat the first ones.
    pub fn load_groups(
        &self,
        program: &Program,
        first: usize,
        groups: usize,
        size: usize,
        values: &mut [F],
    ) {
        let count = groups * size;
        let (columns, selectors) = values.split_at_mut(program.columns.len() * count);
        let last = self.height() - 1;
        for group in 0..groups {
            for at in 0..size {
                let row = |at: usize| ((first + group) * size + at) % self.height();
                let rows = [row(at), row(at + 1)];
                let place = at * groups + group;
                let columns = columns.chunks_exact_mut(count);
                for (column, values) in program.columns.iter().zip(columns) {
                    let part = self.parts[column.part];
                    values[place] =
                        part.values[rows[usize::from(column.next)] * part.width + column.index];
                }
                selectors[place] = F::from_bool(rows[0] == 0);
                selectors[count + place] = F::from_bool(rows[0] != last);
                selectors[2 * count + place] = F::from_bool(rows[0] == last);
            }
        }
    }
}
