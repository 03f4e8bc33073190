//! Proving and verifying keys.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use openvm_cpu_backend::CpuBackend;
use openvm_stark_backend::air_builders::symbolic::SymbolicExpressionNode;
use openvm_stark_backend::air_builders::symbolic::symbolic_variable::{Entry, SymbolicVariable};
use openvm_stark_backend::codec::EncodableConfig;
use openvm_stark_backend::hasher::MerkleHasher;
use openvm_stark_backend::keygen::MultiStarkKeygenBuilder;
use openvm_stark_backend::keygen::types::{MultiStarkVerifyingKey, StarkVerifyingKey};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_backend::prover::{
    DeviceDataTransporter, DeviceMultiStarkProvingKey, DeviceStarkProvingKey,
};
use openvm_stark_backend::{AirRef, StarkEngine, StarkProtocolConfig, SystemParams};
use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, F};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use crate::air::{
    self, MAX_COLUMNS, MAX_CONSTRAINTS, MAX_DEGREE, MAX_DEPTH, MAX_INTERACTIONS, MAX_MESSAGE,
    MAX_NODES, MAX_PUBLIC_VALUES, MAX_TABLES, MAX_TREE,
};
use crate::errors::{Kind, Outcome, guard, on_big_stack};
use crate::params::{self, Config, Count, Engine};
use crate::{MODULUS, SECURITY_BITS};

pub const MAX_KEY_BYTES: usize = 256 << 20;

/// Names this layout. What follows is `log_stacked_height` as four little-endian bytes, then the
/// engine's key in postcard form, which begins with the parameters.
const MAGIC: &[u8; 8] = b"ZKVKEY01";

/// Names the layout of keys of nodes of a tree, which all have the same parameters. What follows is the key in postcard
/// form.
const NODE_MAGIC: &[u8; 8] = b"ZKVNODE1";

/// Version under which the engine hashes a key (its proof codec version).
const CODEC_VERSION: u32 = 3;

/// A verifying key together with the engine it belongs to.
#[pyclass(frozen, module = "zkevm_native")]
pub struct VerifyingKey {
    pub(crate) engine: Engine,
    pub(crate) inner: Arc<MultiStarkVerifyingKey<Config>>,
}

/// Everything a prover needs about a circuit.
#[pyclass(frozen, module = "zkevm_native")]
pub struct ProvingKey {
    pub(crate) names: Vec<String>,
    pub(crate) device: DeviceMultiStarkProvingKey<CpuBackend<Config>>,
    pub(crate) verifying: Arc<VerifyingKey>,
}

pub fn generate(circuit: &str, log_stacked_height: usize) -> Outcome<ProvingKey> {
    let engine = params::engine(log_stacked_height)?;
    let airs = air::parse(circuit)?;
    let names: Vec<String> = airs.iter().map(|air| air.name.clone()).collect();
    let mut builder = MultiStarkKeygenBuilder::new(engine.config().clone());
    for air in airs {
        let air: AirRef<Config> = Arc::new(air);
        builder.add_air(air);
    }
    let mut key = builder
        .generate_pk()
        .map_err(|error| Kind::Circuit.failure(error))?;
    for (pk, name) in key.per_air.iter_mut().zip(&names) {
        // The engine only knows the Rust type's name; this one is for its messages.
        pk.air_name.clone_from(name);
    }
    let inner = key.get_vk();
    require_security(&inner).map_err(|text| Kind::Circuit.failure(text))?;
    let device = engine.device().transport_pk_to_device(&key);
    Ok(ProvingKey {
        names,
        device,
        verifying: Arc::new(VerifyingKey {
            engine,
            inner: Arc::new(inner),
        }),
    })
}

fn require_security(key: &MultiStarkVerifyingKey<Config>) -> Result<(), String> {
    let steps = params::security(key, None).map_err(|failure| failure.message)?;
    let (_, total) = steps.last().expect("the total is always there");
    if *total < f64::from(SECURITY_BITS) {
        return Err(format!(
            "the circuit is proven to {total:.2} bits, {SECURITY_BITS} are required"
        ));
    }
    Ok(())
}

impl VerifyingKey {
    pub fn encode(&self) -> Vec<u8> {
        let params = &self.inner.inner.params;
        let mut bytes;
        if encoded_params(params) == encoded_params(&params::node_params()) {
            bytes = NODE_MAGIC.to_vec();
        } else {
            bytes = MAGIC.to_vec();
            bytes.extend((params.log_stacked_height() as u32).to_le_bytes());
        }
        postcard::to_extend(&*self.inner, bytes).expect("a vector accepts every byte")
    }

    /// Reads a key. One that is known by a hash of its encoding was checked when that hash was written down: nothing of
    /// it is checked again but its form.
    pub fn decode(bytes: &[u8], known: bool) -> Outcome<Self> {
        let fail = |text: fmt::Arguments<'_>| Kind::KeyFormat.failure(text);
        if bytes.len() > MAX_KEY_BYTES {
            return Err(fail(format_args!(
                "{} bytes, at most {MAX_KEY_BYTES} are accepted",
                bytes.len()
            )));
        }
        if let Some(body) = bytes.strip_prefix(NODE_MAGIC) {
            return Self::decode_node(body, known);
        }
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| fail(format_args!("not a verifying key of this version")))?;
        let (height, body) = body
            .split_first_chunk::<4>()
            .ok_or_else(|| fail(format_args!("truncated header")))?;
        let engine = params::engine(u32::from_le_bytes(*height) as usize)
            .map_err(|failure| fail(format_args!("{}", failure.message)))?;
        let rest = body
            .strip_prefix(encoded_params(engine.params()).as_slice())
            .ok_or_else(|| fail(format_args!("the parameters are not those of this height")))?;
        if !known {
            outline::check(rest).map_err(|text| fail(format_args!("{text}")))?;
        }
        let inner: MultiStarkVerifyingKey<Config> =
            postcard::from_bytes(body).map_err(|error| fail(format_args!("{error}")))?;
        if known {
            return Ok(Self {
                engine,
                inner: Arc::new(inner),
            });
        }
        let tables = inner.inner.per_air.len();
        let mut heights = inner.inner.trace_height_constraints.iter();
        if heights.any(|bound| bound.coefficients.len() != tables) {
            return Err(fail(format_args!(
                "a height bound is not for {tables} tables"
            )));
        }
        for (index, table) in inner.inner.per_air.iter().enumerate() {
            check_table(table).map_err(|text| fail(format_args!("table {index}: {text}")))?;
        }
        if pre_hash(&engine, &inner) != inner.pre_hash {
            return Err(fail(format_args!("the digest does not match the contents")));
        }
        require_security(&inner).map_err(|text| fail(format_args!("{text}")))?;
        let key = Self {
            engine,
            inner: Arc::new(inner),
        };
        if key.encode() != bytes {
            return Err(fail(format_args!("not the canonical encoding")));
        }
        Ok(key)
    }

    /// Reads the key of a node. It has tables that circuits of this crate's documents have not, so that there is no telling
    /// a good one from a bad one but by the hash of its encoding.
    fn decode_node(body: &[u8], known: bool) -> Outcome<Self> {
        let fail = |text: &str| Kind::KeyFormat.failure(text);
        if !known {
            return Err(fail("the key of a node that is not known"));
        }
        let params = params::node_params();
        if !body.starts_with(&encoded_params(&params)) {
            return Err(fail("the parameters are not those of nodes"));
        }
        let inner: MultiStarkVerifyingKey<Config> =
            postcard::from_bytes(body).map_err(|error| fail(&error.to_string()))?;
        Ok(Self {
            engine: Engine::new(params),
            inner: Arc::new(inner),
        })
    }

    fn digest_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        Config::encode_digest(&self.inner.pre_hash, &mut bytes)
            .expect("a vector accepts every byte");
        bytes
    }
}

/// Parameters as they stand at the beginning of a key in postcard form.
fn encoded_params(params: &SystemParams) -> Vec<u8> {
    postcard::to_allocvec(params).expect("parameters are plain numbers")
}

/// The hash of a key as the engine's key generation computes it.
fn pre_hash(engine: &Engine, key: &MultiStarkVerifyingKey<Config>) -> Digest {
    let bytes = postcard::to_allocvec(&key.inner).expect("a vector accepts every byte");
    let input: Vec<F> = CODEC_VERSION
        .to_le_bytes()
        .into_iter()
        .chain((bytes.len() as u64).to_le_bytes())
        .chain(bytes)
        .map(F::from_u8)
        .collect();
    engine.config().hasher().hash_slice(&input)
}

/// Checks what the engine takes for granted of a key, with the bounds that circuits obey.
fn check_table(table: &StarkVerifyingKey<F, Digest>) -> Result<(), String> {
    let width = table.params.width.common_main;
    let publics = table.params.num_public_values;
    let graph = &table.symbolic_constraints.constraints;
    let mut measures: Vec<(usize, usize, u64)> = Vec::with_capacity(graph.nodes.len());
    let mut rotates = false;
    for (index, node) in graph.nodes.iter().enumerate() {
        let at = |child: usize| {
            measures
                .get(child)
                .copied()
                .ok_or_else(|| format!("node {index} refers to node {child}"))
        };
        let join = |left: usize, right: usize, product: bool| {
            let (a, b) = (at(left)?, at(right)?);
            let degree = if product { a.0 + b.0 } else { a.0.max(b.0) };
            let tree = a.2.saturating_add(b.2).saturating_add(1);
            Ok::<_, String>((degree, a.1.max(b.1) + 1, tree))
        };
        let (measure, claimed) = match node {
            SymbolicExpressionNode::Variable(SymbolicVariable { entry, index, .. }) => {
                match entry {
                    Entry::Main {
                        part_index: 0,
                        offset: offset @ (0 | 1),
                    } if *index < width => {
                        rotates |= *offset == 1;
                        ((1, 1, 1), None)
                    }
                    Entry::Public if *index < publics => ((0, 1, 1), None),
                    _ => return Err(format!("variable {entry:?} {index} does not exist")),
                }
            }
            SymbolicExpressionNode::IsFirstRow
            | SymbolicExpressionNode::IsLastRow
            | SymbolicExpressionNode::IsTransition => ((1, 1, 1), None),
            SymbolicExpressionNode::Constant(_) => ((0, 1, 1), None),
            SymbolicExpressionNode::Add {
                left_idx,
                right_idx,
                degree_multiple,
            }
            | SymbolicExpressionNode::Sub {
                left_idx,
                right_idx,
                degree_multiple,
            } => (join(*left_idx, *right_idx, false)?, Some(*degree_multiple)),
            SymbolicExpressionNode::Mul {
                left_idx,
                right_idx,
                degree_multiple,
            } => (join(*left_idx, *right_idx, true)?, Some(*degree_multiple)),
            SymbolicExpressionNode::Neg {
                idx,
                degree_multiple,
            } => {
                let a = at(*idx)?;
                (
                    (a.0, a.1 + 1, a.2.saturating_add(1)),
                    Some(*degree_multiple),
                )
            }
        };
        // Simplification (a product with zero) may leave a claim above the true degree.
        if claimed.is_some_and(|claimed| claimed < measure.0) || measure.0 > MAX_KEY_DEGREE {
            return Err(format!("node {index} has degree {}", measure.0));
        }
        if measure.1 > MAX_DEPTH {
            return Err(format!("node {index} is too deep"));
        }
        measures.push(measure);
    }
    let at = |node: usize| {
        measures
            .get(node)
            .copied()
            .ok_or_else(|| format!("there is no node {node}"))
    };
    if graph.constraint_idx.len() > MAX_CONSTRAINTS
        || table.symbolic_constraints.interactions.len() > MAX_INTERACTIONS
    {
        return Err("too many constraints or interactions".to_owned());
    }
    let mut degree = 0;
    for &node in &graph.constraint_idx {
        degree = degree.max(at(node)?.0);
    }
    let mut tree = 0u64;
    for message in &table.symbolic_constraints.interactions {
        if message.message.is_empty() || message.message.len() >= MAX_MESSAGE {
            return Err("a message has the wrong length".to_owned());
        }
        for &node in message.message.iter().chain([&message.count]) {
            let found = at(node)?;
            degree = degree.max(found.0);
            tree = tree.saturating_add(found.2);
        }
    }
    if tree > MAX_TREE {
        return Err("the interactions are too large".to_owned());
    }
    let claimed = usize::from(table.max_constraint_degree);
    if degree > claimed || claimed == 0 || claimed > MAX_DEGREE {
        return Err(format!("degree {degree}, claimed {claimed}"));
    }
    if rotates && !table.params.need_rot {
        return Err("the next row is used but not opened".to_owned());
    }
    if width == 0 || publics > MAX_PUBLIC_VALUES || table.is_required {
        return Err("the shape is not one key generation makes".to_owned());
    }
    Ok(())
}

/// Unreferenced nodes may have any degree the circuit's own arithmetic reached; this only keeps
/// the sums above from overflowing.
const MAX_KEY_DEGREE: usize = 1 << 32;

/// A pass over a key's bytes that allocates nothing.
///
/// It has the layout of the engine's types but only counts, so that a short input cannot make the
/// real decoder build something large: every list is refused as soon as it exceeds its bound.
mod outline {
    use super::*;

    thread_local! {
        static BUDGET: Cell<usize> = const { Cell::new(0) };
    }

    pub fn check(bytes: &[u8]) -> Result<(), String> {
        BUDGET.set(MAX_NODES + MAX_NODES / 4);
        let (outline, rest): (Outline, _) =
            postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("trailing bytes".to_owned());
        }
        if outline.per_air.0 == 0 {
            return Err("no tables".to_owned());
        }
        Ok(())
    }

    /// A list of at most `MAX` elements, of which only the number is kept.
    struct Counted<T, const MAX: usize>(usize, PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Counted<T, MAX> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Count<T, const MAX: usize>(PhantomData<T>);
            impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Count<T, MAX> {
                type Value = usize;

                fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(formatter, "at most {MAX} elements")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
                    let mut count = 0;
                    while list.next_element::<T>()?.is_some() {
                        count += 1;
                        let left = BUDGET.get().checked_sub(1);
                        match left {
                            Some(left) if count <= MAX => BUDGET.set(left),
                            _ => return Err(A::Error::custom("a list is too long")),
                        }
                    }
                    Ok(count)
                }
            }
            deserializer
                .deserialize_seq(Count::<T, MAX>(PhantomData))
                .map(|count| Self(count, PhantomData))
        }
    }

    /// A part that keys of this crate never have.
    struct Absent;

    impl<'de> Deserialize<'de> for Absent {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(D::Error::custom("preprocessed data is not supported"))
        }
    }

    struct Columns;

    impl<'de> Deserialize<'de> for Columns {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let width = usize::deserialize(deserializer)?;
            if width == 0 || width > MAX_COLUMNS {
                return Err(D::Error::custom("a width is out of range"));
            }
            let left = BUDGET.get().checked_sub(width);
            BUDGET.set(left.ok_or_else(|| D::Error::custom("too many columns"))?);
            Ok(Self)
        }
    }

    struct Element;

    impl<'de> Deserialize<'de> for Element {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if u32::deserialize(deserializer)? >= MODULUS {
                return Err(D::Error::custom("a field element is out of range"));
            }
            Ok(Self)
        }
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Outline {
        per_air: Counted<Table, MAX_TABLES>,
        trace_height_constraints: Counted<Heights, { 1 << 16 }>,
        pre_hash: [Element; 8],
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Heights {
        coefficients: Counted<u32, MAX_TABLES>,
        threshold: u32,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Table {
        preprocessed_data: Option<Absent>,
        preprocessed_width: Option<Absent>,
        cached_mains: Counted<usize, 0>,
        common_main: Columns,
        num_public_values: usize,
        need_rot: bool,
        nodes: Counted<Node, MAX_NODES>,
        constraint_idx: Counted<usize, MAX_CONSTRAINTS>,
        interactions: Counted<Message, MAX_INTERACTIONS>,
        max_constraint_degree: u8,
        is_required: bool,
        unused_variables: Counted<Variable, { 2 * MAX_COLUMNS }>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Message {
        message: Counted<usize, MAX_MESSAGE>,
        count: usize,
        bus_index: u16,
        count_weight: u32,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Variable {
        entry: Entry,
        index: usize,
        phantom: (),
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Node {
        Variable(Variable),
        IsFirstRow,
        IsLastRow,
        IsTransition,
        Constant(Element),
        Add(usize, usize, usize),
        Sub(usize, usize, usize),
        Neg(usize, usize),
        Mul(usize, usize, usize),
    }
}

impl ProvingKey {
    /// The key whose verifying half is given. No table has preprocessed columns, so that it holds nothing else.
    fn from_verifying(key: &VerifyingKey, names: Vec<String>) -> Outcome<Self> {
        let vk = &key.inner.inner;
        if names.len() != vk.per_air.len() {
            return Err(Kind::Circuit.failure(format_args!(
                "{} names for {} tables",
                names.len(),
                vk.per_air.len()
            )));
        }
        let per_air = vk
            .per_air
            .iter()
            .zip(&names)
            .map(|(vk, name)| DeviceStarkProvingKey {
                air_name: name.clone(),
                vk: vk.clone(),
                preprocessed_data: None,
                other_data: (),
            })
            .collect();
        let device = DeviceMultiStarkProvingKey::new(
            per_air,
            vk.trace_height_constraints.clone(),
            vk.max_constraint_degree(),
            vk.params.clone(),
            key.inner.pre_hash,
        );
        let engine = Engine::new(vk.params.clone());
        Ok(Self {
            names,
            device,
            verifying: Arc::new(VerifyingKey {
                engine,
                inner: Arc::clone(&key.inner),
            }),
        })
    }
}

#[pymethods]
impl ProvingKey {
    #[staticmethod]
    fn of(py: Python<'_>, key: &VerifyingKey, tables: Vec<String>) -> PyResult<Self> {
        let made = py.detach(|| guard(Kind::Circuit, || Self::from_verifying(key, tables)))?;
        Ok(made)
    }

    #[getter]
    fn tables(&self) -> Vec<String> {
        self.names.clone()
    }

    #[getter]
    fn log_stacked_height(&self) -> usize {
        self.device.params.log_stacked_height()
    }

    fn verifying_key(&self) -> VerifyingKey {
        let key = &self.verifying;
        VerifyingKey {
            engine: Engine::new(key.inner.inner.params.clone()),
            inner: Arc::clone(&key.inner),
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "ProvingKey(tables={}, log_stacked_height={})",
            self.names.len(),
            self.log_stacked_height()
        )
    }
}

#[pymethods]
impl VerifyingKey {
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| guard(Kind::KeyFormat, || Ok(self.encode())))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    #[pyo3(signature = (data, known=false))]
    fn from_bytes(py: Python<'_>, data: &[u8], known: bool) -> PyResult<Self> {
        let key = py.detach(|| {
            guard(Kind::KeyFormat, || {
                on_big_stack(|| Self::decode(data, known))
            })
        })?;
        Ok(key)
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.digest_bytes())
    }

    #[getter]
    fn log_stacked_height(&self) -> usize {
        self.inner.inner.params.log_stacked_height()
    }

    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        params::params_dict(py, &self.inner.inner.params)
    }

    #[pyo3(signature = (log_heights=None))]
    fn security<'py>(
        &self,
        py: Python<'py>,
        log_heights: Option<Vec<Option<Count>>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let log_heights: Option<Vec<_>> = log_heights.map(|heights| {
            heights
                .into_iter()
                .map(|height| height.map(|Count(height)| height))
                .collect()
        });
        let steps = guard(Kind::Parameter, || {
            params::security(&self.inner, log_heights.as_deref())
        })?;
        params::security_dict(py, &steps)
    }

    fn __repr__(&self) -> String {
        format!(
            "VerifyingKey(tables={}, log_stacked_height={})",
            self.inner.inner.per_air.len(),
            self.log_stacked_height()
        )
    }
}

/// `keygen(circuit, log_stacked_height)`.
#[pyfunction]
pub fn keygen(py: Python<'_>, circuit: &str, log_stacked_height: Count) -> PyResult<ProvingKey> {
    let key = py.detach(|| {
        guard(Kind::Circuit, || {
            on_big_stack(|| generate(circuit, log_stacked_height.0))
        })
    })?;
    Ok(key)
}
