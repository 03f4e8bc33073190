//! The constraints and messages of a table as a straight-line program over registers.
//!
//! The key holds them as a graph in which common subexpressions occur once. A program keeps what its results need of
//! it, and knows which columns it reads, so that nothing else has to be loaded or extended. It runs on any type that
//! holds field elements: packs of rows most of all.

use std::collections::BTreeMap;

use openvm_stark_backend::air_builders::symbolic::symbolic_variable::Entry;
use openvm_stark_backend::air_builders::symbolic::{
    SymbolicConstraintsDag, SymbolicExpressionNode,
};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};

/// A column of the row at hand, or of the next one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// Which of the table's matrices.
    pub part: usize,
    pub next: bool,
    pub index: usize,
}

#[derive(Clone, Copy)]
enum Step {
    Add(u32, u32),
    Sub(u32, u32),
    Mul(u32, u32),
    Neg(u32),
}

/// A message and how often it is sent, as registers.
pub struct Message {
    pub bus: u16,
    pub count: usize,
    pub fields: Vec<usize>,
}

/// Registers hold the columns first, then the three selectors, constants, and the results of the steps.
pub struct Program {
    pub columns: Vec<Column>,
    constants: Vec<F>,
    steps: Vec<Step>,
    pub constraints: Vec<usize>,
    pub messages: Vec<Message>,
}

/// The selectors, in the order of their registers.
pub const SELECTORS: usize = 3;

impl Program {
    /// The program for the messages, and for the constraints if they are wanted.
    ///
    /// `preprocessed` is the number of parts in front of those that the key calls main.
    pub fn new(
        graph: &SymbolicConstraintsDag<F>,
        public_values: &[F],
        preprocessed: usize,
        with_constraints: bool,
    ) -> Self {
        let nodes = &graph.constraints.nodes;
        let constraints: &[usize] = if with_constraints {
            &graph.constraints.constraint_idx
        } else {
            &[]
        };
        let mut needed = vec![false; nodes.len()];
        let fields = graph.interactions.iter().flat_map(|one| &one.message);
        let counts = graph.interactions.iter().map(|one| &one.count);
        for &node in constraints.iter().chain(fields).chain(counts) {
            needed[node] = true;
        }
        // Operands come before what is made of them.
        for (index, node) in nodes.iter().enumerate().rev() {
            if !needed[index] {
                continue;
            }
            match *node {
                SymbolicExpressionNode::Add {
                    left_idx,
                    right_idx,
                    ..
                }
                | SymbolicExpressionNode::Sub {
                    left_idx,
                    right_idx,
                    ..
                }
                | SymbolicExpressionNode::Mul {
                    left_idx,
                    right_idx,
                    ..
                } => {
                    needed[left_idx] = true;
                    needed[right_idx] = true;
                }
                SymbolicExpressionNode::Neg { idx, .. } => needed[idx] = true,
                _ => {}
            }
        }
        let column = |node: &SymbolicExpressionNode<F>| match node {
            SymbolicExpressionNode::Variable(variable) => match variable.entry {
                Entry::Main { part_index, offset } => Some(Column {
                    part: preprocessed + part_index,
                    index: variable.index,
                    next: offset == 1,
                }),
                Entry::Preprocessed { offset } => Some(Column {
                    part: 0,
                    index: variable.index,
                    next: offset == 1,
                }),
                _ => None,
            },
            _ => None,
        };
        let wanted = || nodes.iter().zip(&needed).filter(|(_, needed)| **needed);
        // In the order in which they lie in memory.
        let mut places: BTreeMap<Column, usize> = wanted()
            .filter_map(|(node, _)| column(node))
            .map(|column| (column, 0))
            .collect();
        for (register, place) in places.values_mut().enumerate() {
            *place = register;
        }
        let columns: Vec<Column> = places.keys().copied().collect();
        let constant = |node: &SymbolicExpressionNode<F>| match node {
            SymbolicExpressionNode::Constant(value) => Some(*value),
            SymbolicExpressionNode::Variable(variable) if variable.entry == Entry::Public => {
                Some(public_values[variable.index])
            }
            _ => None,
        };
        let constants: Vec<F> = wanted().filter_map(|(node, _)| constant(node)).collect();
        let mut next_constant = columns.len() + SELECTORS;
        let mut next_result = next_constant + constants.len();
        let mut registers = vec![0; nodes.len()];
        let mut steps = Vec::new();
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
            let at = |index: usize| registers[index] as u32;
            let step = match *node {
                SymbolicExpressionNode::Add {
                    left_idx,
                    right_idx,
                    ..
                } => Step::Add(at(left_idx), at(right_idx)),
                SymbolicExpressionNode::Sub {
                    left_idx,
                    right_idx,
                    ..
                } => Step::Sub(at(left_idx), at(right_idx)),
                SymbolicExpressionNode::Mul {
                    left_idx,
                    right_idx,
                    ..
                } => Step::Mul(at(left_idx), at(right_idx)),
                SymbolicExpressionNode::Neg { idx, .. } => Step::Neg(at(idx)),
                SymbolicExpressionNode::IsFirstRow
                | SymbolicExpressionNode::IsTransition
                | SymbolicExpressionNode::IsLastRow => {
                    let selector = match node {
                        SymbolicExpressionNode::IsFirstRow => 0,
                        SymbolicExpressionNode::IsTransition => 1,
                        _ => 2,
                    };
                    registers[index] = columns.len() + selector;
                    continue;
                }
                SymbolicExpressionNode::Constant(_) | SymbolicExpressionNode::Variable(_) => {
                    registers[index] = match column(node) {
                        Some(column) => places[&column],
                        None => {
                            next_constant += 1;
                            next_constant - 1
                        }
                    };
                    continue;
                }
            };
            steps.push(step);
            registers[index] = next_result;
            next_result += 1;
        }
        let messages = graph
            .interactions
            .iter()
            .map(|interaction| Message {
                bus: interaction.bus_index,
                count: registers[interaction.count],
                fields: interaction
                    .message
                    .iter()
                    .map(|&node| registers[node])
                    .collect(),
            })
            .collect();
        Self {
            constraints: constraints.iter().map(|&node| registers[node]).collect(),
            columns,
            constants,
            steps,
            messages,
        }
    }

    /// Registers with the constants in place.
    pub fn registers<T: Copy>(&self, zero: T, constant: impl Fn(F) -> T) -> Vec<T> {
        let first = self.columns.len() + SELECTORS;
        let mut registers = vec![zero; first + self.constants.len() + self.steps.len()];
        for (register, &value) in registers[first..].iter_mut().zip(&self.constants) {
            *register = constant(value);
        }
        registers
    }

    /// The registers of the selectors: first row, not the last row, last row.
    pub fn selectors<'a, T>(&self, registers: &'a mut [T]) -> &'a mut [T] {
        &mut registers[self.columns.len()..][..SELECTORS]
    }

    /// Computes the results from the columns and selectors.
    pub fn run<T: PrimeCharacteristicRing + Copy>(&self, registers: &mut [T]) {
        let first = self.columns.len() + SELECTORS + self.constants.len();
        for (index, step) in self.steps.iter().enumerate() {
            registers[first + index] = match *step {
                Step::Add(a, b) => registers[a as usize] + registers[b as usize],
                Step::Sub(a, b) => registers[a as usize] - registers[b as usize],
                Step::Mul(a, b) => registers[a as usize] * registers[b as usize],
                Step::Neg(a) => -registers[a as usize],
            };
        }
    }
}

/// A sum of registers with constant weights.
#[derive(Default)]
pub struct Combination {
    pub constant: EF,
    pub terms: Vec<(usize, EF)>,
}

impl Combination {
    pub fn new(constant: EF, terms: impl IntoIterator<Item = (usize, EF)>) -> Self {
        let mut merged = BTreeMap::new();
        for (register, weight) in terms {
            *merged.entry(register).or_insert(EF::ZERO) += weight;
        }
        Self {
            constant,
            terms: merged.into_iter().collect(),
        }
    }
}

/// The random linear combinations to which a table's constraints and messages are reduced.
pub struct Combinations {
    pub constraints: Combination,
    pub numerator: Combination,
    pub denominator: Combination,
}

impl Combinations {
    /// Weights are powers of lambda for the constraints, and for each message one of `selected`, within it powers of
    /// beta.
    pub fn new(program: &Program, lambdas: &[EF], selected: &[EF], betas: &[EF]) -> Self {
        let messages = || program.messages.iter().zip(selected);
        Self {
            constraints: Combination::new(
                EF::ZERO,
                program
                    .constraints
                    .iter()
                    .copied()
                    .zip(lambdas.iter().copied()),
            ),
            numerator: Combination::new(
                EF::ZERO,
                messages().map(|(message, &weight)| (message.count, weight)),
            ),
            denominator: Combination::new(
                messages()
                    .map(|(message, &weight)| weight * bus_term(message, betas))
                    .sum(),
                messages().flat_map(|(message, &weight)| {
                    message
                        .fields
                        .iter()
                        .zip(betas)
                        .map(move |(&field, &beta)| (field, weight * beta))
                }),
            ),
        }
    }
}

/// What the bus adds to a message, behind its last field.
pub fn bus_term(message: &Message, betas: &[EF]) -> EF {
    betas[message.fields.len()] * F::from_u32(u32::from(message.bus) + 1)
}
