//! Trees of proofs: one proof that the proofs of many segments verify, and what they state.
//!
//! A leaf verifies segments, an internal node for leaves verifies leaves, and an internal recursive one verifies these or
//! nodes of its own circuit. What each circuit verifies is the key of its children, whose expressions are a committed
//! table: the public values of a node name all of them, and whoever verifies the last proof compares them.

mod airs;
#[cfg(test)]
mod lies;
mod node;
mod shapes;

use std::sync::{Arc, OnceLock};

use openvm_stark_backend::StarkEngine;
use openvm_stark_backend::p3_field::{PrimeCharacteristicRing, PrimeField32};
use openvm_stark_backend::proof::Proof;
use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, F};
use openvm_verify_stark_host::pvs::VkCommit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::MODULUS;
use crate::errors::{Kind, Outcome, guard, on_big_stack};
use crate::keys::VerifyingKey;
use crate::params::{Config, Count, Engine, leaf_params, node_params};
use crate::pool::pool;
use crate::verify;
use airs::{DIGEST, Stated};
use node::{Children, Node};

/// The circuits of trees over segments of one key; each is made when it is first needed.
#[pyclass(frozen, module = "zkevm_native")]
pub struct Aggregator {
    segment: VerifyingKey,
    stated: Stated,
    leaf: OnceLock<Outcome<Node>>,
    for_leaf: OnceLock<Outcome<Node>>,
    recursive: OnceLock<Outcome<Node>>,
}

fn made(cell: &OnceLock<Outcome<Node>>, make: impl FnOnce() -> Outcome<Node>) -> Outcome<&Node> {
    cell.get_or_init(make).as_ref().map_err(Clone::clone)
}

impl Aggregator {
    fn leaf(&self) -> Outcome<&Node> {
        made(&self.leaf, || {
            let stated = Some(self.stated.clone());
            Node::new(self.segment.inner.clone(), leaf_params(), stated, false)
        })
    }

    fn for_leaf(&self) -> Outcome<&Node> {
        let leaf = self.leaf()?;
        made(&self.for_leaf, || {
            Node::new(leaf.verifying.inner.clone(), node_params(), None, false)
        })
    }

    fn recursive(&self) -> Outcome<&Node> {
        let child = self.for_leaf()?;
        made(&self.recursive, || {
            Node::new(child.verifying.inner.clone(), node_params(), None, true)
        })
    }

    fn prove(
        &self,
        node: impl FnOnce(&Self) -> Outcome<&Node> + Send,
        child: impl FnOnce(&Self) -> Outcome<&VerifyingKey> + Send,
        proofs: &[Vec<u8>],
        children: Children,
        threads: usize,
    ) -> Outcome<Vec<u8>> {
        let work = || {
            let key = child(self)?;
            let proofs = proofs
                .iter()
                .map(|bytes| verify::decode(key, bytes))
                .collect::<Outcome<Vec<Proof<Config>>>>()?;
            node(self)?.prove(&proofs, children)
        };
        pool(threads)?.install(|| guard(Kind::Proving, work))
    }
}

fn digest(elements: &[u32]) -> Outcome<Digest> {
    let elements: &[u32; DIGEST] = elements
        .try_into()
        .map_err(|_| Kind::Parameter.failure("a running hash has 8 elements"))?;
    if elements.iter().any(|&element| element >= MODULUS) {
        return Kind::Parameter
            .fail("a running hash holds an element that is not below the modulus");
    }
    Ok(elements.map(F::from_u32))
}

fn canonical(commit: &VkCommit<F>) -> Vec<u32> {
    let elements = commit.cached_commit.iter().chain(&commit.vk_pre_hash);
    elements.map(PrimeField32::as_canonical_u32).collect()
}

fn shared(key: &VerifyingKey) -> VerifyingKey {
    VerifyingKey {
        engine: Engine::new(key.inner.inner.params.clone()),
        inner: Arc::clone(&key.inner),
    }
}

#[pymethods]
impl Aggregator {
    #[new]
    fn new(key: &VerifyingKey, stating: Vec<usize>) -> PyResult<Self> {
        let airs = &key.inner.inner.per_air;
        let values = |index: usize| airs[index].params.num_public_values;
        let all: Vec<usize> = (0..airs.len()).filter(|&i| values(i) > 0).collect();
        let mut given = stating.clone();
        given.sort_unstable();
        if all != given {
            return Err(Kind::Parameter
                .failure("these are not the tables of the key that have public values")
                .into());
        }
        Ok(Self {
            segment: shared(key),
            stated: Stated {
                tables: airs.len(),
                l_skip: key.inner.inner.params.l_skip,
                stating: stating.iter().map(|&i| (i, values(i))).collect(),
            },
            leaf: OnceLock::new(),
            for_leaf: OnceLock::new(),
            recursive: OnceLock::new(),
        })
    }

    /// `leaf(segments, before, threads)`.
    fn leaf_proof<'py>(
        &self,
        py: Python<'py>,
        proofs: Vec<Vec<u8>>,
        before: Vec<u32>,
        threads: Count,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let before = digest(&before)?;
        let made = py.detach(|| {
            self.prove(
                Self::leaf,
                |own| Ok(&own.segment),
                &proofs,
                Children::Segments { before },
                threads.0,
            )
        })?;
        Ok(PyBytes::new(py, &made))
    }

    fn for_leaf_proof<'py>(
        &self,
        py: Python<'py>,
        proofs: Vec<Vec<u8>>,
        threads: Count,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let made = py.detach(|| {
            self.prove(
                Self::for_leaf,
                |own| Ok(&own.leaf()?.verifying),
                &proofs,
                Children::Nodes,
                threads.0,
            )
        })?;
        Ok(PyBytes::new(py, &made))
    }

    /// `recursive(nodes, of_itself, joined, threads)`: of nodes of its own circuit or for leaves; the first may be joined
    /// that do not follow each other.
    fn recursive_proof<'py>(
        &self,
        py: Python<'py>,
        proofs: Vec<Vec<u8>>,
        of_itself: bool,
        joined: bool,
        threads: Count,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let children = match (of_itself, joined) {
            (true, joined) => Children::Itself { joined },
            (false, false) => Children::Nodes,
            (false, true) => {
                return Err(Kind::Parameter
                    .failure("nodes for leaves are not joined")
                    .into());
            }
        };
        let made = py.detach(|| {
            self.prove(
                Self::recursive,
                |own| {
                    let node = if of_itself {
                        own.recursive()
                    } else {
                        own.for_leaf()
                    };
                    Ok(&node?.verifying)
                },
                &proofs,
                children,
                threads.0,
            )
        })?;
        Ok(PyBytes::new(py, &made))
    }

    /// What proofs name of the key of each layer: of segments, leaves, internal nodes for leaves, recursive ones.
    fn commits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = py.detach(|| {
            guard(Kind::Circuit, || {
                on_big_stack(|| {
                    let recursive = self.recursive()?;
                    let own = recursive.own_commit();
                    Ok([
                        ("segment", self.leaf()?.child_commit()),
                        ("leaf", self.for_leaf()?.child_commit()),
                        ("for_leaf", recursive.child_commit()),
                        ("recursive", own.expect("it verifies itself")),
                    ])
                })
            })
        })?;
        let dict = PyDict::new(py);
        for (name, commit) in &found {
            dict.set_item(name, canonical(commit))?;
        }
        Ok(dict)
    }

    /// The keys of the layers above segments: leaf, internal for leaves, recursive.
    fn keys(&self, py: Python<'_>) -> PyResult<(VerifyingKey, VerifyingKey, VerifyingKey)> {
        let keys = py.detach(|| {
            guard(Kind::Circuit, || {
                on_big_stack(|| {
                    Ok((
                        shared(&self.leaf()?.verifying),
                        shared(&self.for_leaf()?.verifying),
                        shared(&self.recursive()?.verifying),
                    ))
                })
            })
        })?;
        Ok(keys)
    }
}
