//! Decoding and checking proofs.

use openvm_stark_backend::StarkEngine;
use openvm_stark_backend::codec::{Decode, Encode};
use openvm_stark_backend::p3_field::PrimeField32;
use openvm_stark_backend::proof::Proof;
use openvm_stark_sdk::config::baby_bear_poseidon2::Digest;
use pyo3::prelude::*;

use crate::errors::{Kind, Outcome, guard, on_big_stack};
use crate::keys::VerifyingKey;
use crate::params::Config;
use crate::shape;

/// What a verified proof says.
#[pyclass(frozen, get_all, module = "zkevm_native")]
pub struct VerifiedProof {
    public_values: Vec<Vec<u32>>,
    log_heights: Vec<Option<usize>>,
    cached_commits: Vec<Vec<Vec<u32>>>,
}

#[pymethods]
impl VerifiedProof {
    fn __repr__(&self) -> String {
        format!("VerifiedProof(log_heights={:?})", self.log_heights)
    }
}

/// Decodes `bytes` if they are the one encoding of a proof of the shape that `key` admits.
pub fn decode(key: &VerifyingKey, bytes: &[u8]) -> Outcome<Proof<Config>> {
    shape::check(&key.inner, bytes).map_err(|text| Kind::ProofFormat.failure(text))?;
    let proof = Proof::<Config>::decode_from_bytes(bytes)
        .map_err(|error| Kind::ProofFormat.failure(error))?;
    let again = proof
        .encode_to_vec()
        .map_err(|error| Kind::ProofFormat.failure(error))?;
    if again == bytes {
        Ok(proof)
    } else {
        Kind::ProofFormat.fail("not the canonical encoding")
    }
}

pub fn check(key: &VerifyingKey, bytes: &[u8]) -> Outcome<VerifiedProof> {
    let proof = guard(Kind::ProofFormat, || decode(key, bytes))?;
    guard(Kind::Verification, || {
        key.engine
            .verify(&key.inner, &proof)
            .map_err(|error| Kind::Verification.failure(error))
    })?;
    Ok(VerifiedProof {
        public_values: proof
            .public_values
            .iter()
            .map(|values| {
                values
                    .iter()
                    .map(|value| value.as_canonical_u32())
                    .collect()
            })
            .collect(),
        log_heights: proof
            .trace_vdata
            .iter()
            .map(|trace| trace.as_ref().map(|trace| trace.log_height))
            .collect(),
        cached_commits: proof
            .trace_vdata
            .iter()
            .map(|trace| {
                let commits = trace.iter().flat_map(|trace| &trace.cached_commitments);
                let canonical = |commit: &Digest| commit.map(|e| e.as_canonical_u32()).to_vec();
                commits.map(canonical).collect()
            })
            .collect(),
    })
}

/// `verify(key, proof)`.
#[pyfunction]
pub fn verify(py: Python<'_>, key: &VerifyingKey, proof: &[u8]) -> PyResult<VerifiedProof> {
    let verified =
        py.detach(|| guard(Kind::Verification, || on_big_stack(|| check(key, proof))))?;
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
    use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
    use openvm_stark_backend::prover::AirProvingContext;
    use openvm_stark_sdk::config::baby_bear_poseidon2::F;

    use super::*;
    use crate::keys::{ProvingKey, generate};
    use crate::prove::{Choice, engine_prove};

    /// One table without interactions, one with two, one that uses the next row.
    const CIRCUIT: &str = r#"{"tables": [
        {"name": "zero", "width": 3, "public_values": 2, "nodes": [0,2,0], "constraints": [0], "interactions": []},
        {"name": "idle", "width": 1, "public_values": 0, "nodes": [0,0,0, 10,0,0], "constraints": [],
         "interactions": [{"bus": 0, "count": 0, "fields": [0], "weight": 1},
                          {"bus": 0, "count": 1, "fields": [0], "weight": 1}]},
        {"name": "next", "width": 2, "public_values": 0, "nodes": [1,1,0], "constraints": [0], "interactions": []}
    ]}"#;

    fn prove_zeros(key: &ProvingKey, log_heights: &[Option<usize>]) -> Vec<u8> {
        let contexts = log_heights
            .iter()
            .zip(&key.device.per_air)
            .enumerate()
            .filter_map(|(index, (log_height, air))| {
                let width = air.vk.params.width.common_main;
                let cells = F::zero_vec(width << (*log_height)?);
                let values = F::zero_vec(air.vk.params.num_public_values);
                let trace = RowMajorMatrix::new(cells, width);
                Some((index, AirProvingContext::simple(trace, values)))
            })
            .collect();
        engine_prove(key, contexts, Choice::Own).expect("a proof").0
    }

    #[test]
    fn the_layout_of_every_shape_is_predicted() {
        let key = generate(CIRCUIT, 11).expect("a key");
        let shapes = [
            [Some(0), None, None],
            [None, Some(2), None],
            [None, None, Some(5)],
            [Some(1), Some(4), Some(4)],
            [Some(4), Some(7), None],
            [Some(3), Some(0), Some(6)],
        ];
        for shape in shapes {
            let bytes = prove_zeros(&key, &shape);
            assert_eq!(shape::check(&key.verifying.inner, &bytes), Ok(()));
            let verified = check(&key.verifying, &bytes).expect("verifies");
            assert_eq!(verified.log_heights, shape);
            for cut in (0..bytes.len()).step_by(509) {
                assert!(shape::check(&key.verifying.inner, &bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn keys_survive_their_encoding() {
        let key = generate(CIRCUIT, 12).expect("a key");
        let bytes = key.verifying.encode();
        let again = VerifyingKey::decode(&bytes, false).expect("decodes");
        assert_eq!(again.encode(), bytes);
        assert_eq!(again.inner.pre_hash, key.verifying.inner.pre_hash);
    }
}
