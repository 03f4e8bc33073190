//! Circuits as data: parsing, checking and replaying the exported document.

use std::collections::{HashMap, HashSet};

use openvm_stark_backend::PartitionedBaseAir;
use openvm_stark_backend::interaction::InteractionBuilder;
use openvm_stark_backend::p3_air::{
    Air, AirBuilderWithPublicValues, BaseAir, BaseAirWithPublicValues,
};
use openvm_stark_backend::p3_field::{Field, PrimeCharacteristicRing};
use openvm_stark_backend::p3_matrix::Matrix;
use openvm_stark_sdk::config::APP_MAX_CONSTRAINT_DEGREE;
use serde::Deserialize;

use crate::MODULUS;
use crate::errors::{Kind, Outcome};

/// Bounds under which the engine's parameters are meant to reach 100 bits. It names 100 tables and 1,000 interactions of
/// each; its analysis, which every key must pass, counts tables by the bits of their number, and interactions of all rows
/// together.
pub const MAX_TABLES: usize = 256;
pub const MAX_COLUMNS: usize = 60_000;
pub const MAX_CONSTRAINTS: usize = 5_000;
pub const MAX_INTERACTIONS: usize = 4_000;
pub const MAX_DEGREE: usize = APP_MAX_CONSTRAINT_DEGREE;
/// Fields of one message together with its bus number (`2^log_max_message_length`).
pub const MAX_MESSAGE: usize = 128;

/// The rest keeps memory, time and recursion bounded.
pub const MAX_DOCUMENT_BYTES: usize = 512 << 20;
pub const MAX_NODES: usize = 4_000_000;
pub const MAX_PUBLIC_VALUES: usize = 1 << 16;
pub const MAX_NAME: usize = 256;
/// Longest chain of operations. The engine recurses over expressions.
pub const MAX_DEPTH: usize = 50_000;
/// Summed size of a table's interaction expressions, written out as trees: the engine evaluates
/// them without sharing, so a compact graph could otherwise stand for exponential work.
pub const MAX_TREE: u64 = 1 << 20;

const BUSES: u32 = 1 << 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    width: usize,
    public_values: usize,
    nodes: Vec<u32>,
    constraints: Vec<u32>,
    interactions: Vec<Message>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    bus: u32,
    count: u32,
    fields: Vec<u32>,
    weight: u32,
}

/// Number of each kind of node in the engine's circuit format.
pub mod op {
    pub const LOCAL: u32 = 0;
    pub const NEXT: u32 = 1;
    pub const CONST: u32 = 2;
    pub const PUBLIC: u32 = 3;
    pub const IS_FIRST: u32 = 4;
    pub const IS_LAST: u32 = 5;
    pub const IS_TRANSITION: u32 = 6;
    pub const ADD: u32 = 7;
    pub const SUB: u32 = 8;
    pub const MUL: u32 = 9;
    pub const NEG: u32 = 10;
}

/// One vertex of a table's expression graph. Operands are indices of earlier vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Local(u32),
    Next(u32),
    Const(u32),
    Public(u32),
    IsFirstRow,
    IsLastRow,
    IsTransition,
    Add(u32, u32),
    Sub(u32, u32),
    Mul(u32, u32),
    Neg(u32),
}

/// A table whose constraints are data. It satisfies every index bound, so `eval` cannot fail.
#[derive(Clone, Debug)]
pub struct DynAir {
    pub name: String,
    width: usize,
    public_values: usize,
    nodes: Vec<Node>,
    constraints: Vec<u32>,
    interactions: Vec<Message>,
}

/// What an expression costs the engine, by vertex.
#[derive(Clone, Copy)]
struct Measure {
    degree: u32,
    depth: u32,
    tree: u64,
}

pub fn parse(document: &str) -> Outcome<Vec<DynAir>> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Kind::Circuit.fail(format_args!(
            "the document has {} bytes, at most {MAX_DOCUMENT_BYTES} are accepted",
            document.len()
        ));
    }
    let document: Document = serde_json::from_str(document)
        .map_err(|error| Kind::Circuit.failure(format_args!("malformed document: {error}")))?;
    if document.tables.is_empty() || document.tables.len() > MAX_TABLES {
        return Kind::Circuit.fail(format_args!(
            "{} tables, expected between 1 and {MAX_TABLES}",
            document.tables.len()
        ));
    }
    let mut names = HashSet::new();
    let mut columns = 0usize;
    let mut nodes = 0usize;
    let mut airs = Vec::with_capacity(document.tables.len());
    for table in document.tables {
        let air = table.check()?;
        if !names.insert(air.name.clone()) {
            return Kind::Circuit.fail(format_args!("two tables are called {:?}", air.name));
        }
        columns += air.width;
        nodes += air.nodes.len();
        if columns > MAX_COLUMNS {
            return Kind::Circuit.fail(format_args!(
                "table {:?}: the tables up to here have {columns} columns, at most {MAX_COLUMNS} are accepted",
                air.name
            ));
        }
        if nodes > MAX_NODES {
            return Kind::Circuit.fail(format_args!(
                "table {:?}: the tables up to here have {nodes} nodes, at most {MAX_NODES} are accepted",
                air.name
            ));
        }
        airs.push(air);
    }
    Ok(airs)
}

impl Table {
    fn check(self) -> Outcome<DynAir> {
        if self.name.is_empty() || self.name.len() > MAX_NAME {
            return Kind::Circuit.fail(format_args!(
                "a table's name has {} bytes, expected between 1 and {MAX_NAME}",
                self.name.len()
            ));
        }
        let fail = |text: String| Kind::Circuit.fail(format_args!("table {:?}: {text}", self.name));
        if self.width == 0 || self.width > MAX_COLUMNS {
            return fail(format!(
                "width {}, expected between 1 and {MAX_COLUMNS}",
                self.width
            ));
        }
        if self.public_values > MAX_PUBLIC_VALUES {
            return fail(format!(
                "{} public values, at most {MAX_PUBLIC_VALUES} are accepted",
                self.public_values
            ));
        }
        if !self.nodes.len().is_multiple_of(3) {
            return fail(format!(
                "nodes has {} numbers, not three a node",
                self.nodes.len()
            ));
        }
        if self.nodes.len() / 3 > MAX_NODES {
            return fail(format!(
                "{} nodes, at most {MAX_NODES} are accepted",
                self.nodes.len() / 3
            ));
        }
        if self.constraints.len() > MAX_CONSTRAINTS {
            return fail(format!(
                "{} constraints, at most {MAX_CONSTRAINTS} are accepted",
                self.constraints.len()
            ));
        }
        if self.interactions.len() > MAX_INTERACTIONS {
            return fail(format!(
                "{} interactions, at most {MAX_INTERACTIONS} are accepted",
                self.interactions.len()
            ));
        }
        if self.constraints.is_empty() && self.interactions.is_empty() {
            return fail("neither constraints nor interactions".to_owned());
        }

        let mut nodes = Vec::with_capacity(self.nodes.len() / 3);
        let mut measures: Vec<Measure> = Vec::with_capacity(nodes.capacity());
        for (index, triple) in self.nodes.chunks_exact(3).enumerate() {
            let node = match self.node(index, triple[0], triple[1], triple[2]) {
                Ok(node) => node,
                Err(text) => return fail(format!("node {index}: {text}")),
            };
            let measure = node.measure(&measures);
            if measure.depth as usize > MAX_DEPTH {
                return fail(format!(
                    "node {index}: more than {MAX_DEPTH} operations deep; balance the expression"
                ));
            }
            nodes.push(node);
            measures.push(measure);
        }
        let mut degree = 0;
        let mut find = |kind: &str, index: usize, node: u32| {
            let Some(&found) = measures.get(node as usize) else {
                return Err(format!(
                    "{kind} {index}: there is no node {node} (of {})",
                    measures.len()
                ));
            };
            if found.degree as usize > MAX_DEGREE {
                return Err(format!(
                    "{kind} {index}: degree {}, at most {MAX_DEGREE} is accepted",
                    found.degree
                ));
            }
            degree = degree.max(found.degree);
            Ok(found.tree)
        };

        for (index, &node) in self.constraints.iter().enumerate() {
            if let Err(text) = find("constraint", index, node) {
                return fail(text);
            }
        }
        let mut weights: HashMap<u32, u64> = HashMap::new();
        let mut tree = 0u64;
        for (index, message) in self.interactions.iter().enumerate() {
            if message.bus >= BUSES {
                return fail(format!(
                    "interaction {index}: bus {}, at most {} is accepted",
                    message.bus,
                    BUSES - 1
                ));
            }
            if message.fields.is_empty() || message.fields.len() >= MAX_MESSAGE {
                return fail(format!(
                    "interaction {index}: {} fields, expected between 1 and {}",
                    message.fields.len(),
                    MAX_MESSAGE - 1
                ));
            }
            for &node in message.fields.iter().chain([&message.count]) {
                match find("interaction", index, node) {
                    Ok(found) => tree = tree.saturating_add(found),
                    Err(text) => return fail(text),
                }
            }
            if tree > MAX_TREE {
                return fail(format!(
                    "interaction {index}: the interactions up to here are trees of {tree} nodes, at most {MAX_TREE} are accepted"
                ));
            }
            let total = weights.entry(message.bus).or_default();
            *total += u64::from(message.weight);
            if *total >= u64::from(MODULUS) {
                return fail(format!(
                    "interaction {index}: the weights on bus {} sum to {total}, which no height can satisfy",
                    message.bus
                ));
            }
        }
        if degree == 0 {
            // The engine's prover gives up on such a table: its proofs do not verify.
            return fail("no constraint or interaction depends on a column or selector".to_owned());
        }
        Ok(DynAir {
            name: self.name,
            width: self.width,
            public_values: self.public_values,
            nodes,
            constraints: self.constraints,
            interactions: self.interactions,
        })
    }

    fn node(&self, index: usize, operation: u32, a: u32, b: u32) -> Result<Node, String> {
        let below = |value: u32, limit: usize, what: &str| {
            if (value as usize) < limit {
                Ok(())
            } else {
                Err(format!("{what} {value} is out of range (of {limit})"))
            }
        };
        let unused = |values: &[u32]| {
            if values.iter().all(|&value| value == 0) {
                Ok(())
            } else {
                Err("an unused slot is not zero".to_owned())
            }
        };
        let operands = |values: &[u32]| {
            values
                .iter()
                .try_for_each(|&value| below(value, index, "operand"))
        };
        Ok(match operation {
            op::LOCAL => {
                below(a, self.width, "column")?;
                unused(&[b])?;
                Node::Local(a)
            }
            op::NEXT => {
                below(a, self.width, "column")?;
                unused(&[b])?;
                Node::Next(a)
            }
            op::CONST => {
                below(a, MODULUS as usize, "constant")?;
                unused(&[b])?;
                Node::Const(a)
            }
            op::PUBLIC => {
                below(a, self.public_values, "public value")?;
                unused(&[b])?;
                Node::Public(a)
            }
            op::IS_FIRST => {
                unused(&[a, b])?;
                Node::IsFirstRow
            }
            op::IS_LAST => {
                unused(&[a, b])?;
                Node::IsLastRow
            }
            op::IS_TRANSITION => {
                unused(&[a, b])?;
                Node::IsTransition
            }
            op::ADD => {
                operands(&[a, b])?;
                Node::Add(a, b)
            }
            op::SUB => {
                operands(&[a, b])?;
                Node::Sub(a, b)
            }
            op::MUL => {
                operands(&[a, b])?;
                Node::Mul(a, b)
            }
            op::NEG => {
                operands(&[a])?;
                unused(&[b])?;
                Node::Neg(a)
            }
            _ => return Err(format!("there is no operation {operation}")),
        })
    }
}

impl Node {
    /// The degree rule is the engine's own: every row selector counts as a column.
    fn measure(self, earlier: &[Measure]) -> Measure {
        let leaf = |degree| Measure {
            degree,
            depth: 1,
            tree: 1,
        };
        let join = |a: u32, b: u32, product: bool| {
            let (a, b) = (earlier[a as usize], earlier[b as usize]);
            Measure {
                degree: if product {
                    a.degree.saturating_add(b.degree)
                } else {
                    a.degree.max(b.degree)
                },
                depth: a.depth.max(b.depth) + 1,
                tree: a.tree.saturating_add(b.tree).saturating_add(1),
            }
        };
        match self {
            Self::Const(_) | Self::Public(_) => leaf(0),
            Self::Local(_)
            | Self::Next(_)
            | Self::IsFirstRow
            | Self::IsLastRow
            | Self::IsTransition => leaf(1),
            Self::Add(a, b) | Self::Sub(a, b) => join(a, b, false),
            Self::Mul(a, b) => join(a, b, true),
            Self::Neg(a) => {
                let a = earlier[a as usize];
                Measure {
                    degree: a.degree,
                    depth: a.depth + 1,
                    tree: a.tree.saturating_add(1),
                }
            }
        }
    }
}

impl<F: Field> BaseAir<F> for DynAir {
    fn width(&self) -> usize {
        self.width
    }
}

impl<F: Field> BaseAirWithPublicValues<F> for DynAir {
    fn num_public_values(&self) -> usize {
        self.public_values
    }
}

impl<F: Field> PartitionedBaseAir<F> for DynAir {}

impl<AB: InteractionBuilder + AirBuilderWithPublicValues> Air<AB> for DynAir {
    fn eval(&self, builder: &mut AB) {
        let main = builder.main();
        let local: Vec<AB::Var> = main.row(0).expect("row of a window").into_iter().collect();
        let next: Vec<AB::Var> = main.row(1).expect("row of a window").into_iter().collect();
        let public: Vec<AB::Expr> = builder
            .public_values()
            .iter()
            .map(|&value| value.into())
            .collect();
        let mut values: Vec<AB::Expr> = Vec::with_capacity(self.nodes.len());
        for &node in &self.nodes {
            let of = |index: u32| values[index as usize].clone();
            let value = match node {
                Node::Local(column) => local[column as usize].into(),
                Node::Next(column) => next[column as usize].into(),
                Node::Const(constant) => AB::F::from_u32(constant).into(),
                Node::Public(index) => public[index as usize].clone(),
                Node::IsFirstRow => builder.is_first_row(),
                Node::IsLastRow => builder.is_last_row(),
                Node::IsTransition => builder.is_transition(),
                Node::Add(a, b) => of(a) + of(b),
                Node::Sub(a, b) => of(a) - of(b),
                Node::Mul(a, b) => of(a) * of(b),
                Node::Neg(a) => -of(a),
            };
            values.push(value);
        }
        let of = |index: u32| values[index as usize].clone();
        for &constraint in &self.constraints {
            builder.assert_zero(of(constraint));
        }
        for message in &self.interactions {
            builder.push_interaction(
                message.bus as u16,
                message.fields.iter().map(|&field| of(field)),
                of(message.count),
                message.weight,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(table: &str) -> String {
        format!(r#"{{"tables": [{{"name": "t", "width": 2, {table}}}]}}"#)
    }

    fn refusal(table: &str) -> String {
        let failure = parse(&document(table)).expect_err("refused");
        assert_eq!(failure.kind, Kind::Circuit);
        failure.message
    }

    #[test]
    fn a_table_is_read() {
        let airs = parse(&document(
            r#""public_values": 1, "nodes": [0,1,0, 1,0,0, 3,0,0, 7,0,1, 8,3,2, 10,4,0],
               "constraints": [5], "interactions": [{"bus": 9, "count": 0, "fields": [1], "weight": 2}]"#,
        ))
        .expect("well formed");
        assert_eq!(airs.len(), 1);
        assert_eq!(airs[0].nodes[4], Node::Sub(3, 2));
        assert_eq!(airs[0].nodes[5], Node::Neg(4));
    }

    #[test]
    fn measures_follow_the_engine() {
        let triples = [
            (0, 0, 0),
            (6, 0, 0),
            (9, 0, 1),
            (2, 5, 0),
            (7, 2, 3),
            (9, 4, 4),
        ];
        let table = Table {
            name: "t".to_owned(),
            width: 1,
            public_values: 0,
            nodes: vec![],
            constraints: vec![],
            interactions: vec![],
        };
        let mut measures = Vec::new();
        for (index, (op, a, b)) in triples.into_iter().enumerate() {
            let node = table.node(index, op, a, b).expect("well formed");
            measures.push(node.measure(&measures));
        }
        let last = measures[5];
        assert_eq!((last.degree, last.depth, last.tree), (4, 4, 11));
    }

    #[test]
    fn refusals_say_where() {
        let text = refusal(
            r#""public_values": 0, "nodes": [0,2,0], "constraints": [0], "interactions": []"#,
        );
        assert!(text.contains("\"t\": node 0: column 2"), "{text}");
        let text = refusal(
            r#""public_values": 0, "nodes": [2,1,0], "constraints": [0], "interactions": []"#,
        );
        assert!(text.contains("depends on a column"), "{text}");
    }
}
