"""What is attacked: the tables of a segment, sound or weakened, filled honestly for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import circuits.parts
from circuits.air.bus import Bus, BusKind
from circuits.air.checker import check_table
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE
from circuits.air.mutation.answers import Answers
from circuits.air.mutation.judge import Judge, TableRows
from circuits.air.mutation.messages import Matches
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.air.witness import Witnesses
from circuits.batch.execution import Batch, Execution
from circuits.batch.leaves import leaf_digests, root
from circuits.batch.operations import OperationKind
from circuits.component import Answering, Component
from circuits.parts import fill_parts
from circuits.segment import FilledSegment, segment_components
from circuits.state.access_tree import access_depth
from circuits.state.state_view import StateView
from executor.batch import batch_from_document
from executor.execute import execute
from executor.forks import CANCUN, Fork
from executor.provable import check_provable
from executor.trace import ExecutionTrace
from scripts.campaign.batches import Document
from scripts.campaign.carried import settled
from scripts.forging.segments import Batches, Lie, Part, dishonest_execution, tell

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
    """What is attacked.

    Attributes:
        components: of a segment's circuit.
        fork: whose it is.
        trusts: public values that its verifier does not compare between segments.
        batches: makes the batch of a trace.
    """

    components: tuple[Component, ...]
    fork: Fork = CANCUN
    trusts: frozenset[str] = frozenset()
    batches: Batches = Batch.of

    @staticmethod
    def segment(fork: Fork = CANCUN) -> Target:
        """The circuit of a fork that is proved."""
        return Target(segment_components(fork), fork)

    @cached_property
    def circuit(self) -> Circuit:
        """Its tables."""
        return Circuit("target", [c.table for c in self.components])


def told_parts(
    trace: ExecutionTrace, lie: Lie, target: Target, part: Part | None = None, cuts: tuple[int, ...] = ()
) -> tuple[FilledSegment, ...]:
    """The segments of a liar, who lies in no table where there are several.

    Args:
        trace: the honest one.
        lie: what is said otherwise.
        target: whose tables are filled.
        part: the operations, those of the whole batch by default.
        cuts: steps of these before which a segment ends.
    """
    if not cuts:
        told = tell(trace, lie, target.components, part, target.batches)
        return (replace(told, circuit=target.circuit),)
    execution = dishonest_execution(trace, lie, part, target.batches)
    # Parts name their tables after the circuit of the fork; a target may have others.
    with patch.object(circuits.parts, "segment_circuit", lambda fork: target.circuit):
        parts = fill_parts(execution, cuts, components=target.components)
    after = replace(parts[-1].public_values, access_out=_root_left(execution))
    parts[-1] = replace(parts[-1], public_values=after)
    return tuple(settled(target.components, parts))


def _root_left(execution: Execution) -> NDArray[np.uint32]:
    """Root of the access tree that an execution leaves, told by a liar perhaps."""
    view, leaves = StateView.of(execution), execution.leaves
    return root(leaf_digests(leaves.keys, view.after, leaves.codes), access_depth(execution.batch))


class Honest:
    """A batch, executed, and one segment of it filled honestly.

    Its operations are all, or some of them. Cut between steps they are proved by several segments, of which this is
    one; with `parts` it knows all.

    Attributes:
        part: the operations `first .. end - 1`; None: all of them.
        cuts: steps of these before which a segment ends.
        number: which of the segments is meant, from 0.
        parts: all of them.

    Raises (when made):
        BatchError, UnsupportedFeature: the batch is invalid, or cannot be proved.
        ValueError: the target rejects its honest tables (when `judge` is asked for).
    """

    def __init__(
        self, target: Target, document: Document, part: Part | None = None, cuts: tuple[int, ...] = (), number: int = 0
    ) -> None:
        self.target, self.document, self.part = target, document, part
        self.read = batch_from_document(document)
        self.trace: ExecutionTrace = check_provable(execute(self.read))
        self.batch = target.batches(self.trace)
        self.cuts, self.number = cuts, number
        self.parts = told_parts(self.trace, Lie(), target, part, cuts)

    @property
    def filled(self) -> FilledSegment:
        """The segment itself."""
        return self.parts[self.number]

    @cached_property
    def execution(self) -> Execution:
        """Of the operations."""
        return Execution(self.batch, *(self.part or (0, len(self.batch.operations))))

    @cached_property
    def transactions(self) -> NDArray[np.int64]:
        """Rows of the transactions among the operations in the trace."""
        operations, own = self.batch.operations, slice(*(self.part or (0, len(self.batch.operations))))
        rows: NDArray[np.int64] = operations.row[own][operations.kind[own] == OperationKind.TRANSACTION]
        return rows

    def of_part(self, part: Part | None, cuts: tuple[int, ...] = ()) -> Honest:
        """The first segment of other operations of the same batch, or of the same ones cut otherwise."""
        other = copy(self)
        for made in ("judge", "matches", "known", "witnesses", "transactions", "execution"):
            vars(other).pop(made, None)
        other.part, other.cuts, other.number = part, cuts, 0
        other.parts = told_parts(self.trace, Lie(), self.target, part, cuts)
        return other

    def at(self, number: int) -> Honest:
        """Another segment of the same cut."""
        if number == self.number:
            return self
        other = copy(self)
        for made in ("judge", "matches", "known", "witnesses"):
            vars(other).pop(made, None)
        other.number = number
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
        return Judge(self.target.circuit, self.filled.traces, self.public_lists, algebra=NATIVE)

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
