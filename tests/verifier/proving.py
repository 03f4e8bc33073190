"""Small batches with real segment proofs, for tests of what the last checks refuse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from circuits.batch.execution import Batch
from executor.execute import ExecutedBatch
from executor.provable import check_provable
from prover.assemble import assemble
from prover.planner import DEFAULT_SEGMENT_BYTES, Budget, plan_batch
from prover.segment import SegmentJob, SegmentProof, prove_segment, segment_jobs
from tests.executor.conftest import Builder
from tests.executor.programs import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, OTHER
from tests.prover.batches import paying, token_builder
from verifier.container import ProofFile, encode_proof


@dataclass(frozen=True)
class Proved:
    """A batch, its segments and its proof file."""

    executed: ExecutedBatch
    batch: Batch
    jobs: list[SegmentJob]
    proofs: list[SegmentProof]
    file: ProofFile

    @property
    def content(self) -> bytes:
        """The bytes of the proof file."""
        return encode_proof(self.file)


def prove_here(executed: ExecutedBatch, operations: int | None, memory: int = DEFAULT_SEGMENT_BYTES) -> Proved:
    """Prove a batch in this process.

    Args:
        operations: of a segment, None for as many as fit.
        memory: that a segment may take, bytes.
    """
    batch = Batch.of(check_provable(executed))
    jobs = segment_jobs(batch, plan_batch(batch, Budget(memory, operations)))
    proofs = [prove_segment(batch, job, threads=2) for job in jobs]
    return Proved(executed, batch, jobs, proofs, assemble(executed, batch, jobs, proofs))


def _withdrawal(number: int, address: bytes, amount: int) -> dict[str, Any]:
    return {"index": number, "validatorIndex": 7, "address": "0x" + address.hex(), "amount": amount}


def mixed_batch(seed: int = 0) -> Builder:
    """Three blocks: beacon roots, tokens, logs, all types of transactions, a failing one, withdrawals, an ancestor."""
    building = token_builder()
    building.alloc(BEACON_ROOTS_ADDRESS, nonce=1, code="0x" + BEACON_ROOTS_CODE.hex())
    wallets, fresh = Builder.WALLETS, Builder.FRESH
    fees: dict[str, Any] = {"maxFeePerGas": 2000, "maxPriorityFeePerGas": 7}
    entries = [{"address": "0x" + OTHER.hex(), "storageKeys": [f"0x{slot:064x}" for slot in (0, 9)]}]
    blobs = {"type": 3, "maxFeePerBlobGas": 3, "blobVersionedHashes": ["0x01" + "ab" * 31] * 2}
    to_clerk: dict[str, Any] = {"to": OTHER, "value": 3 + seed, "gas": 300_000}
    building.block(
        paying(building, 0, wallets[1], 1000 + seed, **fees),
        paying(building, 2, wallets[1], 1),  # owns nothing: fails
        building.transfer(1, fresh, 5 + seed, **fees),
        parentBeaconBlockRoot="0x" + "0b" * 32,
    )
    building.block(parentBeaconBlockRoot="0x" + "0c" * 32, withdrawals=[_withdrawal(0, fresh, 1 + seed)])
    building.block(
        building.transfer(0, **to_clerk, data="0x" + "a1" * 40, accessList=entries, **fees),
        building.transfer(3, **to_clerk, data="0x01", accessList=entries[:1], **fees, **blobs),
        paying(building, 1, wallets[0], 1000 + seed),
        parentBeaconBlockRoot="0x" + "0d" * 32,
        withdrawals=[_withdrawal(1, wallets[2], 2), _withdrawal(2, b"\xfa" * 20, 0)],
    )
    return building


#: Segments of at most so many operations; the last of the first block begins within it.
OPERATIONS = 3


@cache
def proved_batch(seed: int = 0) -> Proved:
    """`mixed_batch` in four segments."""
    return prove_here(mixed_batch(seed).execute(), OPERATIONS)
