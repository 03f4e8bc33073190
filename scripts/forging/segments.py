"""Dishonest segments: a prover who lies and has everything else follow.

The lie may be told in the trace, before anything is derived from it; in the events, behind the replay of the state; or
in a filled table. Tables filled later follow it, function tables answer whatever is asked as far as it is true, and
multiplicities fit. That is the strongest position a dishonest prover has short of breaking the argument itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from eth_utils.crypto import keccak

from circuits.air.checker import Finding, check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import Matrix
from circuits.air.layout import TraceView
from circuits.air.queries import queries
from circuits.air.table import Table
from circuits.batch.execution import Batch, Execution
from circuits.batch.leaves import leaf_digests, root
from circuits.component import Acting, Component
from circuits.limbs import words_from_bytes
from circuits.segment import FilledSegment, answer, fill_acting, public_values, segment_circuit, segment_components
from circuits.state import state_view
from circuits.state.access_tree import access_depth
from circuits.state.state_view import StateView
from executor.trace import ExecutionTrace

#: Receives views of the acting tables by name, without those that are absent, and alters them.
Forgery = Callable[[dict[str, Any]], None]

#: Makes of a trace what all segments share: `Batch.of`, or for a circuit whose leaves hold something else its own.
Batches = Callable[[ExecutionTrace], Batch]


def forge_matrices(execution: Execution, forgery: Forgery = lambda tables: None) -> dict[str, Matrix | None]:
    """The acting tables of a segment by name, altered."""
    acting = fill_acting(execution)
    layouts = {table.name: table.layout for table in segment_circuit(execution.fork).tables}
    forgery({name: TraceView(layouts[name], matrix) for name, matrix in acting.items() if matrix is not None})
    return acting


def forge(execution: Execution, forgery: Forgery) -> FilledSegment:
    """The segment with its acting tables altered and its function tables filled for the altered queries."""
    traces = answer(execution, forge_matrices(execution, forgery))
    return FilledSegment(traces, public_values(execution), segment_circuit(execution.fork), execution)


def check(segment: FilledSegment, circuit: Circuit | None = None) -> list[Finding]:
    """All findings of the checker, for the segment's own circuit by default."""
    return check_circuit(circuit or segment.circuit, segment.traces, segment.public_lists, algebra=NATIVE)


def places(findings: list[Finding]) -> set[str]:
    """The constraints and buses that object."""
    return {getattr(f, "constraint", None) or getattr(f, "bus", None) or f.table for f in findings}  # type: ignore[union-attr]


#: Operations `first .. end - 1` of a batch, as a pair.
Part = tuple[int, int]

#: What the verifier knows of a segment without the prover's word, given what those before it claim. All else is a
#: claim: receipts, writes and the tree that they lead to.
KNOWN = (
    "version",
    "first_operation",
    "end_operation",
    "depth",
    "operations_in",
    "operations_out",
    "receipts_in",
    "access_in",
)


def _nothing(*_: Any) -> None: ...


@dataclass(frozen=True)
class Lie:
    """What is said otherwise.

    Attributes:
        trace: alters a copy of the honest trace.
        events: alters the execution made of it and the replay of its state.
        tables: alter tables, by name, when they are filled.
    """

    trace: Callable[[ExecutionTrace], None] = _nothing
    events: Callable[[Execution, StateView], None] = _nothing
    tables: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)


class _LyingView(StateView):
    """A replay whose outcome is what the execution left."""

    def _check(self, execution: Execution) -> None:
        self.after = self._left()


def dishonest_execution(
    trace: ExecutionTrace, lie: Lie, part: Part | None = None, batches: Batches = Batch.of
) -> Execution:
    """The execution that a liar fills tables from: of a segment of the batch, or of all of it."""
    trace = copy.deepcopy(trace)
    lie.trace(trace)
    batch = batches(trace)
    execution = Execution(batch, *(part or (0, len(batch.operations))))
    view = state_view._VIEWS[execution] = _LyingView(execution)
    lie.events(execution, view)
    return execution


def tell(
    trace: ExecutionTrace,
    lie: Lie,
    components: Sequence[Component] | None = None,
    part: Part | None = None,
    batches: Batches = Batch.of,
) -> FilledSegment:
    """The tables and the public values of a liar.

    Args:
        trace: the honest one.
        lie: what is said otherwise.
        components: other tables than those of every segment.
        part: the segment's operations, those of the whole batch by default.
        batches: makes the batch of the trace.
    """
    execution = dishonest_execution(trace, lie, part, batches)
    filled: list[tuple[Table, Matrix]] = []
    traces: list[Matrix | None] = []
    for component in components or segment_components(execution.fork):
        if isinstance(component, Acting):
            matrix = component.fill(execution)
        else:
            matrix = component.answer(execution, *(queries(bus, filled) for bus in component.buses))
        table = component.table
        if table.name in lie.tables:
            assert matrix is not None, f"there is no {table.name} to lie in"
            lie.tables[table.name](TraceView(table.layout, matrix))
        traces.append(matrix)
        if matrix is not None:
            filled.append((table, matrix))
    view, leaves = StateView.of(execution), execution.leaves
    after = root(leaf_digests(leaves.keys, view.after, leaves.codes), access_depth(execution.batch))
    stated = replace(public_values(execution), access_out=after)
    return FilledSegment(traces, stated, segment_circuit(execution.fork), execution)


def differing(honest: FilledSegment, told: FilledSegment) -> set[str]:
    """The public values that are told otherwise, by name."""
    stated, claimed = honest.public_values, told.public_values
    return {
        item.name
        for item in fields(stated)
        if np.any(np.asarray(getattr(stated, item.name)) != np.asarray(getattr(claimed, item.name)))
    }


def objections(honest: FilledSegment, told: FilledSegment) -> set[str]:
    """Who objects: constraints and buses by name, and public values that the verifier knows better."""
    return differing(honest, told) & set(KNOWN) | places(check(told))


def present_code(trace: ExecutionTrace, ran: bytes, stands: bytes) -> None:
    """Say of the code that ran that it is another one of the same length."""
    assert len(ran) == len(stands)
    old, new = (words_from_bytes([keccak(code)])[0] for code in (ran, stands))
    row = next(
        r for r in range(len(trace.codes.size)) if trace.bytes_at(trace.codes.start[r], trace.codes.size[r]) == ran
    )
    start = int(trace.codes.start[row])
    trace.data.byte[start : start + len(stands)] = np.frombuffer(stands, dtype=np.uint8)
    keys, accesses = trace.keys, trace.accesses
    for words in (trace.codes.hash, keys.first, keys.last, accesses.before, accesses.after, trace.results.word):
        words[(words == old).all(axis=1)] = new


def present_calldata(trace: ExecutionTrace, row: int, data: bytes) -> None:
    """Say of the calldata of a transaction that it is other data of the same length."""
    start = int(trace.transactions.input_start[row])
    assert int(trace.transactions.input_size[row]) == len(data)
    trace.data.byte[start : start + len(data)] = np.frombuffer(data, dtype=np.uint8)
