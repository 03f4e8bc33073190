"""Proofs of a variant, with a key of its own.

The key is made of the variant's circuit when it is needed, and whoever verifies is given it. The verifier of proof
files (`verifier.verify`) takes keys from nowhere but `verifier/keys`, and a proof fits one key: so no proof of a
variant is ever accepted there.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import zkevm_native

from circuits.batch.execution import Execution
from circuits.memory.memory_tables import ALL_WORDS
from circuits.segment import public_values
from lab.errors import RefusedError
from lab.keys import Key
from lab.measure import fill, height_of
from lab.variant import Circuits
from prover.costs import costs_of
from verifier.container import SegmentRecord, Writes
from verifier.engines import ENGINES
from verifier.errors import Invalid
from verifier.keys import PinnedKey
from verifier.segments import Stated, check_stated, verify_segment


@dataclass(frozen=True)
class Proof:
    """A proof of a variant for all operations of a batch.

    Attributes:
        key: that it is proved with.
        proof: the engine's encoding.
        keygen_seconds, prove_seconds: that it took.
        cells, interactions: of all tables, padding included.
    """

    key: Key
    proof: bytes = field(repr=False)
    keygen_seconds: float
    prove_seconds: float
    cells: int
    interactions: int


def prove(circuits: Circuits, execution: Execution, *, threads: int | None = None, key: Key | None = None) -> Proof:
    """Prove the operations of an execution.

    Args:
        circuits: of the execution's fork.
        execution: of a batch that the variant has made.
        threads: of the engine, all cores by default.
        key: of the variant; made by default.

    Raises:
        zkevm_native.EngineError: the circuit is beyond the engine's limits, or the engine failed.
    """
    segment = fill(circuits, execution)
    start = time.perf_counter()
    key = key or Key.of(circuits, height_of(costs_of(segment)))
    made = time.perf_counter()
    proof, measured = zkevm_native.prove(
        key.proving, segment.traces, segment.public_lists, threads or os.cpu_count() or 1, consume=True
    )
    seconds = time.perf_counter() - made
    return Proof(key, proof, made - start, seconds, measured["cells"], measured["interactions"])


def verify(key: Key, proof: bytes, execution: Execution, engine: str = "native") -> float:
    """Verify a proof with a variant's key, and that it states what the execution gives.

    Args:
        key: made of the circuit that is trusted.
        execution: of a batch that the variant has made.
        engine: one of `verifier.engines.ENGINES`.

    Returns:
        The proven security, bits; at least 100.

    Raises:
        RefusedError: it does not verify, or states something else.
    """
    values = Stated(public_values(execution).to_list(), [0, 0], list(ALL_WORDS))
    try:
        own = PinnedKey(ENGINES[engine](key.verifying), key.tables)
        record = SegmentRecord(execution.first, execution.end, key.log_stacked_height, Writes.from_bytes(b""), proof)
        proved = verify_segment(record, own)
        check_stated([proved], [values])
    except Invalid as error:
        raise RefusedError(str(error)) from error
    return proved.security_bits
