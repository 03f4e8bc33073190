"""What is attacked: the tables of a segment, sound or weakened, filled honestly for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus, BusKind
from circuits.air.checker import check_table
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NumpyAlgebra
from circuits.air.mutation.answers import Answers
from circuits.air.mutation.judge import Judge, TableRows
from circuits.air.mutation.messages import Matches
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.air.witness import Witnesses
from circuits.batch.execution import Batch, Execution
from circuits.batch.operations import OperationKind
from circuits.component import Answering, Component
from circuits.segment import FilledSegment, segment_components
from executor.batch import batch_from_document
from executor.execute import execute
from executor.forks import CANCUN, Fork
from executor.provable import check_provable
from executor.trace import ExecutionTrace
from scripts.campaign.batches import Document
from scripts.forging.segments import Lie, Part, tell

#: Of buses that functions answer on: the fields that are the answer.
ANSWERS = {
    "bitwise_bytes": {"xor"},
    "blob_fee": {"required", "fee"},
    "call_gas": {"given"},
    "create2_address": {"address"},
    "create_address": {"address"},
    "expansion": {"after", "cost"},
    "gas_product": {"product"},
    "hash_out": {"digest"},
    "multiply": {"low", "high"},
    "poseidon2": {"output"},
    "power": {"power"},
}


def is_function(table: Table) -> bool:
    """Whether a table does no more than answer what is true of itself, such as a product."""
    spoken = [i for i in table.air.interactions if i.provides or i.bus.kind is BusKind.PERMUTATION]
    return all(i.bus.name in (*ANSWERS, RANGE16.name) for i in spoken)


@cache
def compiled() -> None:
    """Have galois compile its arithmetic, which must not be interrupted."""
    table = Target.segment().circuit.tables[0]
    check_table(table, np.zeros((1, table.width), dtype=np.uint32), [0] * table.public.width)


@dataclass(frozen=True, eq=False)
class Target:
    """The components of a segment's circuit, and the fork whose it is."""

    components: tuple[Component, ...]
    fork: Fork = CANCUN

    @staticmethod
    def segment(fork: Fork = CANCUN) -> Target:
        """The circuit of a fork that is proved."""
        return Target(segment_components(fork), fork)

    @cached_property
    def circuit(self) -> Circuit:
        """Its tables."""
        return Circuit("target", [c.table for c in self.components])


class Honest:
    """A batch, executed, and one segment of it filled honestly: that of all operations, or of a part of them.

    Raises (when made):
        BatchError, UnsupportedFeature: the batch is invalid, or cannot be proved.
        ValueError: the target rejects its honest tables (when `judge` is asked for).
    """

    def __init__(self, target: Target, document: Document, part: Part | None = None) -> None:
        self.target, self.document, self.part = target, document, part
        self.read = batch_from_document(document)
        self.trace: ExecutionTrace = check_provable(execute(self.read))
        self.batch = Batch.of(self.trace)
        self.filled: FilledSegment = tell(self.trace, Lie(), target.components, part)

    @property
    def execution(self) -> Execution:
        """What the segment is filled from."""
        return Execution(self.batch, *(self.part or (0, len(self.batch.operations))))

    @cached_property
    def transactions(self) -> NDArray[np.int64]:
        """Rows of the segment's transactions in the trace."""
        operations, own = self.batch.operations, slice(*(self.part or (0, len(self.batch.operations))))
        rows: NDArray[np.int64] = operations.row[own][operations.kind[own] == OperationKind.TRANSACTION]
        return rows

    def of_part(self, part: Part | None) -> Honest:
        """Another segment of the same batch."""
        other = copy(self)
        for made in ("judge", "matches", "known", "witnesses", "transactions"):
            vars(other).pop(made, None)
        other.part = part
        other.filled = tell(self.trace, Lie(), self.target.components, part)
        return other

    @property
    def present(self) -> list[str]:
        """Names of the tables that are not absent."""
        return [
            c.table.name
            for c, trace in zip(self.target.components, self.filled.traces, strict=True)
            if trace is not None
        ]

    @property
    def public_lists(self) -> Sequence[Sequence[int]]:
        """Public values per table."""
        return self.filled.public_lists

    @cached_property
    def judge(self) -> Judge:
        """Judges changes of the filled tables."""
        return Judge(self.target.circuit, self.filled.traces, self.public_lists, algebra=NumpyAlgebra())

    @cached_property
    def matches(self) -> Matches:
        """Which rows meet on the permutation buses."""
        return Matches(self.judge)

    @cached_property
    def known(self) -> Answers:
        """What all tables provide to who looks it up."""
        return Answers(self.judge)

    def answers(self, bus: Bus, message: NDArray[np.uint32]) -> set[bytes]:
        """What the honest tables of a function would provide, if this message (width,) were asked."""
        found: set[bytes] = set()
        execution = self.execution
        for component in self.target.components:
            if isinstance(component, Answering) and component.buses == (bus,):
                matrix = component.answer(execution, message[None])
                if matrix is not None:
                    rows = TableRows(component.table, matrix, [])
                    for number, interaction in enumerate(rows.interactions):
                        if interaction.provides and interaction.bus == bus:
                            found |= {m.tobytes() for m in rows.messages[number][rows.counts[number] != 0]}
        return found

    @cached_property
    def witnesses(self) -> Witnesses:
        """Searches the filled tables for second witnesses."""
        return Witnesses(self.target.circuit, self.filled.traces, self.public_lists, results=ANSWERS)
