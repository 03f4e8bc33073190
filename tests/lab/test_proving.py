"""Proofs of variants: verified with keys of their own, and with no other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from circuits.batch.execution import Batch, Execution
from circuits.statement import Form
from executor.batch import parse_batch
from executor.execute import execute
from executor.forks import CANCUN
from lab.errors import RefusedError
from lab.experiments import codes, fusion
from lab.keys import Key
from lab.measure import Workload, measure, sample_of, segments
from lab.prove import Proof, prove, verify
from lab.registry import VARIANTS
from lab.variant import TODAY, Variant
from prover.assemble import assemble
from prover.planner import plan_whole
from prover.segment import SegmentProof, segment_jobs
from verifier import keys
from verifier.container import encode_proof
from verifier.errors import Invalid, Rejected
from verifier.verify import verify as verify_file

THREADS = 2


@dataclass(frozen=True)
class Proved:
    variant: Variant
    workload: Workload
    execution: Execution
    proof: Proof


def proved(variant: Variant) -> Proved:
    workload = sample_of(fusion.PUSH_JUMPI if variant is TODAY else variant, CANCUN)
    ((circuits, execution),) = segments(variant, variant.batch(workload.trace))
    return Proved(variant, workload, execution, prove(circuits, execution, threads=THREADS))


@pytest.fixture(scope="module")
def fused() -> Proved:
    return proved(fusion.PUSH_JUMPI)


def in_a_file(workload: Workload, proof: bytes) -> bytes:
    """A proof file for the batch, with this proof of a whole circuit in the place of that of its segment."""
    executed = execute(parse_batch(workload.content))
    assert executed.trace is not None
    batch = Batch.of(executed.trace)
    jobs = segment_jobs(batch, [replace(plan_whole(batch), form=Form.WHOLE)])
    return encode_proof(assemble(executed, batch, jobs, [SegmentProof(proof)]))


def test_a_proof_is_verified_with_its_own_key(fused: Proved) -> None:
    assert verify(fused.proof.key, fused.proof.proof, fused.execution) >= 100
    (measured,) = measure(fused.variant, fused.workload, keys=True)
    assert (measured.costs.cells, measured.costs.messages) == (fused.proof.cells, fused.proof.interactions)
    assert measured.log_stacked_height == fused.proof.key.log_stacked_height
    assert measured.key == fused.proof.key.digest


def test_the_pinned_key_refuses_it(fused: Proved) -> None:
    pinned = keys.load("cancun", fused.proof.key.log_stacked_height)
    assert pinned.verifying_key.digest.hex() != fused.proof.key.digest
    with pytest.raises(Invalid):
        pinned.verifying_key.verify(fused.proof.proof)


def test_the_verifier_of_files_refuses_it(fused: Proved) -> None:
    with pytest.raises(Rejected) as refusal:
        verify_file(in_a_file(fused.workload, fused.proof.proof))
    assert refusal.value.check == "proofs"


@pytest.mark.deep
def test_the_same_file_is_accepted_with_a_proof_of_the_circuit_as_it_is() -> None:
    """So what it is refused for above is the circuit. The key that is made here is the one that is pinned."""
    own = proved(TODAY)
    assert own.proof.key.digest == keys.load("cancun", own.proof.key.log_stacked_height).verifying_key.digest.hex()
    verify_file(in_a_file(own.workload, own.proof.proof))


def test_a_proof_of_another_batch_is_refused(fused: Proved) -> None:
    ((_, other),) = segments(fused.variant, fused.variant.batch(sample_of(codes.WHOLE, CANCUN).trace))
    with pytest.raises(RefusedError, match="other public values"):
        verify(fused.proof.key, fused.proof.proof, other)
    with pytest.raises(RefusedError):
        verify(fused.proof.key, fused.proof.proof[:-1] + bytes([fused.proof.proof[-1] ^ 1]), fused.execution)


@pytest.mark.deep
@pytest.mark.parametrize("variant", [v for v in VARIANTS.values() if v is not TODAY], ids=lambda v: v.name)
def test_every_variant_is_proved(variant: Variant) -> None:
    own = proved(variant)
    for engine in ("native", "python"):
        assert verify(own.proof.key, own.proof.proof, own.execution, engine) >= 100
    with pytest.raises(Invalid):
        keys.load("cancun", own.proof.key.log_stacked_height).verifying_key.verify(own.proof.proof)


@pytest.mark.deep
def test_variants_with_tables_alike_have_other_keys() -> None:
    """Two circuits whose proofs have one shape: what differs is a constraint, and the key."""
    first, second = fusion.JUMP_JUMPDEST, fusion.PUSH_JUMP
    ((circuits, execution),) = segments(first, first.batch(sample_of(first, CANCUN).trace))
    made = prove(circuits, execution, threads=THREADS)
    with pytest.raises(RefusedError):
        verify(Key.of(second.of(CANCUN), made.key.log_stacked_height), made.proof, execution)
