"""Batches: read, executed, looked into, checked, proved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from circuits.air.checker import Finding, check_circuit
from circuits.air.evaluate import NATIVE
from circuits.batch.execution import Batch as ProvableBatch
from circuits.segment import segment_circuit
from executor.batch import Batch
from executor.execute import ExecutedBatch
from executor.execute import execute as run_batch
from executor.inputs import Document
from executor.inputs import read_batch as read_documents
from executor.limits import NO_LIMITS, Limits
from executor.provable import check_provable
from executor.trace import ExecutionTrace
from prover.assemble import check_assembled, statement_of
from prover.attribution import Attribution, ContractCost, TransactionCost
from prover.costs import Costs as SegmentCosts
from prover.costs import costs_of, total
from prover.driver import SegmentEvent
from prover.filled import FilledSegments
from prover.planner import Budget, SegmentPlan, plan_batch
from prover.prove import Progress as Callbacks
from prover.prove import prove as prove_executed
from prover.segment import SegmentProof, fill_segment, segment_jobs
from prover.store import check_folder
from prover.workers import Workers
from verifier.statement import BatchStatement
from verifier.verify import CheckResult
from zkevm.proof import Progress, Proof, read_proof

if TYPE_CHECKING:
    import pyarrow as pa

    from executor.fetch import Fetched
    from prover.aggregate import NodeEvent
    from zkevm.trace import Trace

By = Literal["table", "instruction", "transaction", "contract"]
"""What costs are listed by."""


def read_batch(*documents: Document) -> Batch:
    """Read a batch.

    Args:
        documents: a batch file, or `FILE::CASE` of a file of BlockchainTests, or blocks with a genesis file or an
            execution witness (`docs/inputs.md`): each as the path of its file, its content, or the JSON object it is.

    Raises:
        BatchError: a document is unreadable, too large or malformed, or they make no batch; says what is missing.
    """
    return read_documents(documents)


def fetch(
    url: str, blocks: str, *, fork: str | Mapping[str, int] | None = None, progress: Progress | None = None
) -> Fetched:
    """Fetch blocks, and what proves the state before them, from a node with `debug_executionWitness`.

    Args:
        url: of its JSON-RPC API, over HTTP.
        blocks: `BLOCK` or `BLOCK..BLOCK`: numbers, or `latest`, `safe`, `finalized`, `earliest`.
        fork: of the blocks, or forks with the times from which they are; None: what headers or the node say.
        progress: called with `fetch` after every block.

    Returns:
        The batch, and the object of its batch file.

    Raises:
        BatchError: the node cannot be reached, or what it answers is not what its blocks' hashes say.
    """
    # Loads what speaks HTTP.
    from executor.fetch import Node, parse_range
    from executor.fetch import fetch as fetch_from

    first, last = parse_range(blocks)
    return fetch_from(Node(url), first, last, fork, _of_phase("fetch", progress))


def execute(batch: Batch, *, limits: Limits = NO_LIMITS, progress: Progress | None = None) -> Execution:
    """Execute a batch, every block under the rules of its fork, and record all that happens.

    Args:
        batch: that was read.
        limits: of gas, seconds and memory.
        progress: called with `execute` after every transaction.

    Raises:
        BatchError: it is invalid; `MissingState` where its witness lacks something.
        LimitExceeded: running it went over a limit.
        UnsupportedFeature: a header has numbers beyond what this program can hold.
    """
    start = time.perf_counter()
    executed = run_batch(batch, limits=limits, progress=_of_phase("execute", progress))
    return Execution(executed, time.perf_counter() - start)


def prove(
    batch: Batch,
    out: str | Path | None = None,
    *,
    workers: Workers | None = None,
    budget: Budget | None = None,
    store: str | Path | None = None,
    keep: bool = False,
    one_proof: bool | None = None,
    progress: Progress | None = None,
    on_segment: Callable[[ProvedSegment], None] | None = None,
    on_node: Callable[[NodeEvent], None] | None = None,
    on_segments_only: Callable[[str], None] | None = None,
) -> ProvedBatch:
    """Execute and prove a batch: `Execution.prove` of what `execute` gives, with the errors of both.

    Where the proof cannot be written is said before anything is executed.
    """
    if out is not None:
        check_folder(Path(out))
    execution = execute(batch, progress=progress)
    return execution.prove(
        out,
        workers=workers,
        budget=budget,
        store=store,
        keep=keep,
        one_proof=one_proof,
        progress=progress,
        on_segment=on_segment,
        on_node=on_node,
        on_segments_only=on_segments_only,
    )


def aggregate(
    proofs: Proof | str | Path | bytes | Sequence[Proof | str | Path | bytes],
    out: str | Path,
    *,
    workers: Workers | None = None,
    store: str | Path | None = None,
    keep: bool = False,
    progress: Progress | None = None,
    on_node: Callable[[NodeEvent], None] | None = None,
) -> AggregatedProof:
    """Make one proof of all segments of a proof, or of several whose batches follow each other, and write its file.

    A run that was killed goes on from its finished nodes when it is started again.

    Args:
        proofs: with a proof of each segment or, of several, one of all; each is verified first. The statement of
            several is that of all their blocks.
        out: the file to write; replaced in one step when it is complete.
        workers: where nodes of the tree are proved, and how many at once, each of which takes some GiB of memory; None:
            one in this process, with all cores.
        store: folder of finished nodes; None: beside the file, with `.nodes` behind its name.
        keep: leave the nodes in the store.
        progress: called with `aggregate` after every node.
        on_node: called with every node when it is finished.

    Raises:
        UnusableInput: one is no proof file of this version.
        ProverError: one is refused, has segments of which there is no one proof, or does not follow the one before it.
        OSError: the file or the store cannot be written to.
    """
    # Loads the engine.
    from prover.aggregate import aggregate as make

    given = [proofs] if isinstance(proofs, Proof | str | Path | bytes) else proofs
    path = Path(out)
    files = [proof if isinstance(proof, Proof) else read_proof(proof) for proof in given]
    report = make(
        [file.content for file in files],
        path,
        names=[file.name for file in files],
        workers=workers,
        store=None if store is None else Path(store),
        keep=keep,
        progress=_of_phase("aggregate", progress),
        on_node=on_node or (lambda node: None),
    )
    return AggregatedProof(read_proof(path), tuple(report.nodes), report.security_bits, report.seconds)


@dataclass(frozen=True)
class AggregatedProof:
    """One proof of all segments of a batch, or of several, made and written.

    Attributes:
        proof: the file.
        nodes: of the tree of proofs, in the order in which they were finished.
        security_bits: the least proven security of all layers, bits.
        seconds: to make the nodes.
    """

    proof: Proof
    nodes: tuple[NodeEvent, ...]
    security_bits: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """A batch in numbers.

    Attributes:
        blocks, transactions: in the batch.
        frames: message calls and creations, those of precompiled contracts included.
        steps: instructions that began.
        logs: those of reverted frames included.
        gas_used: of all blocks, gas.
        state_keys: what of accounts and slots was touched, each once.
        trace_bytes, witness_bytes: what the trace takes in memory; the trie nodes that prove the state before.
    """

    blocks: int
    transactions: int
    frames: int
    steps: int
    logs: int
    gas_used: int
    state_keys: int
    trace_bytes: int
    witness_bytes: int


@dataclass(frozen=True)
class Costs(SegmentCosts):
    """What proving takes: cells and interactions (messages on buses) of the tables, padding included.

    An interaction takes about as long to prove as 6.5 cells. All tuples but that of transactions are sorted by that,
    the most expensive first.

    Attributes:
        steps: instructions that were executed.
        operations: transactions, system calls and withdrawals.
        tables: of all segments together.
        instructions: their part of the tables that hold their steps.
        segments: how many are counted.
        transactions: in order; the last one, without a place, is what no transaction does.
        contracts: by the code that runs; the last one, without an address, is what belongs to none. Cells and
            interactions of all transactions together are those of all tables, and so are those of all contracts:
            `prover.attribution` says how what they share is divided.
    """

    segments: int
    transactions: tuple[TransactionCost, ...]
    contracts: tuple[ContractCost, ...]

    @property
    def interactions(self) -> int:
        """Of all tables."""
        return self.messages

    def by(self, what: By) -> pa.Table:
        """The costs as an Arrow table, which pandas and Polars read; it has a row for each entry of the tuple.

        By table: name, rows, height, columns, row_interactions, is_instruction, cells, interactions. By instruction:
        name, steps, cells, interactions. By transaction and contract: the fields of `TransactionCost` and
        `ContractCost`; hashes and addresses as 0x and hexadecimal digits.

        Raises:
            ValueError: anything else.
        """
        match what:
            case "table":
                return _arrow(
                    [
                        {
                            "name": own.name,
                            "rows": own.rows,
                            "height": own.height,
                            "columns": own.columns,
                            "row_interactions": own.interactions,
                            "is_instruction": own.is_instruction,
                            "cells": own.cells,
                            "interactions": own.messages,
                        }
                        for own in self.tables
                    ],
                    _TABLE_COLUMNS,
                )
            case "instruction":
                rows = [
                    {"name": own.name, "steps": own.steps, "cells": own.cells, "interactions": own.messages}
                    for own in self.instructions
                ]
                return _arrow(rows, _INSTRUCTION_COLUMNS)
            case "transaction":
                return _arrow(list(map(_values, self.transactions)), _TRANSACTION_COLUMNS)
            case "contract":
                return _arrow(list(map(_values, self.contracts)), _CONTRACT_COLUMNS)
        raise ValueError(f"costs are by table, instruction, transaction or contract, not by {what!r}")


@dataclass(frozen=True)
class Violation:
    """Something in the tables that the circuits forbid; as text it is readable.

    Attributes:
        segment: index of the segment.
        finding: a constraint that fails (table, row, name, cells), a message that a bus has too many or too few of, or
            a table of a wrong shape.
    """

    segment: int
    finding: Finding

    @property
    def kind(self) -> str:
        """`ConstraintFinding`, `BusFinding` or `ShapeFinding`."""
        return type(self.finding).__name__

    def __str__(self) -> str:
        return f"segment {self.segment}: {self.finding}"


@dataclass(frozen=True)
class CheckReport:
    """What the checker found in the tables of a batch.

    Attributes:
        violations: none where all constraints and buses hold.
        segments, transactions, steps: what was checked.
        tables, constraints: of the circuit.
        cells, interactions: of all segments, padding included.
        seconds: of planning, filling and checking.
    """

    violations: tuple[Violation, ...]
    segments: int
    transactions: int
    steps: int
    tables: int
    constraints: int
    cells: int
    interactions: int
    seconds: float

    @property
    def satisfied(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations


@dataclass(frozen=True)
class ProvedSegment:
    """A segment whose proof is there.

    Attributes:
        plan: what it proves, and its size.
        proof_bytes: size of its proof.
        reused: it was in the store, proved by an earlier run.
        fill_seconds, prove_seconds: None for one that was reused.
    """

    plan: SegmentPlan
    proof_bytes: int
    reused: bool
    fill_seconds: float | None
    prove_seconds: float | None

    @classmethod
    def of(cls, plan: SegmentPlan, proof: SegmentProof, reused: bool) -> ProvedSegment:
        """Of a segment of a plan and its proof."""
        measured = proof.statistics
        if measured is None:
            return cls(plan, len(proof.proof), reused, None, None)
        return cls(plan, len(proof.proof), reused, measured.fill_seconds, measured.prove_seconds)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProvedBatch(Proof):
    """A proof that was just made, and has been verified once.

    Attributes:
        path: where it was written, if anywhere.
        proved: its segments, in order.
        nodes: of the tree, in the order in which they were finished, where they have one proof.
        why_segments_only: why each of several segments has its own proof, where nobody has asked for that.
        steps: instructions that are proved.
        security_bits: the least proven security of a segment proof, or of the layers of their tree, bits; None for a
            batch without operations.
        checks: that the proof has passed, in order.
        seconds: by phase: execute, plan, prove, verify, aggregate where there is one proof, write.
    """

    path: Path | None
    proved: tuple[ProvedSegment, ...]
    nodes: tuple[NodeEvent, ...]
    why_segments_only: str | None
    steps: int
    security_bits: float | None
    checks: tuple[CheckResult, ...]
    seconds: Mapping[str, float]


class Execution:
    """A batch that was executed, with everything that happened.

    Args:
        executed: what the executor gives, with a trace.
        seconds: that it took.
    """

    def __init__(self, executed: ExecutedBatch, seconds: float = 0.0) -> None:
        self.executed = executed
        self.seconds = seconds
        self._plans: dict[Budget, tuple[SegmentPlan, ...]] = {}
        self._filled = FilledSegments()

    def __repr__(self) -> str:
        return f"Execution({self.summary})"

    @property
    def batch(self) -> Batch:
        """The batch as it was read."""
        return self.executed.batch

    @cached_property
    def statement(self) -> BatchStatement:
        """What a proof of it says."""
        return statement_of(self.executed)

    @cached_property
    def trace(self) -> Trace:
        """All steps, frames, accesses and the rest, as Arrow tables by name."""
        from zkevm.trace import Trace

        return Trace(self._trace)

    @cached_property
    def summary(self) -> Summary:
        """The batch in numbers."""
        trace = self._trace
        return Summary(
            blocks=len(trace.blocks),
            transactions=len(trace.transactions),
            frames=len(trace.frames),
            steps=len(trace.steps),
            logs=len(trace.logs),
            gas_used=self.executed.gas_used,
            state_keys=len(trace.keys),
            trace_bytes=trace.nbytes,
            witness_bytes=sum(map(len, self.executed.state_nodes)),
        )

    def plan(self, budget: Budget | None = None) -> tuple[SegmentPlan, ...]:
        """The segments that it is proved in, with their sizes; none without operations.

        Args:
            budget: what one segment may take.

        Raises:
            UnsupportedFeature: the batch holds something that cannot be proved; says what, and where.
            CostError: a step takes more than the budget.
        """
        budget = budget or Budget()
        if budget not in self._plans:
            plans = plan_batch(self.provable, budget, self._filled)
            check_assembled(self.executed, self.provable, segment_jobs(self.provable, plans))
            self._plans[budget] = tuple(plans)
        return self._plans[budget]

    def costs(
        self, budget: Budget | None = None, *, segment: int | None = None, progress: Progress | None = None
    ) -> Costs:
        """What proving it takes, exactly: all tables are filled to find out.

        Args:
            budget: what one segment may take; padding depends on it.
            segment: only the one with this index.
            progress: called with `fill` after every segment.

        Raises:
            UnsupportedFeature, CostError: as for `plan`.
            IndexError: there is no such segment.
        """
        plans = self.plan(budget)
        chosen = plans if segment is None else (plans[segment],)
        advance = _of_phase("fill", progress)
        attribution = Attribution(self.provable)
        each: list[SegmentCosts] = []
        for plan in chosen:
            filled = fill_segment(self.provable, plan, self._filled)
            each.append(costs_of(filled))
            attribution.add(filled)
            advance(len(each), len(chosen))
        costs = total(each)
        return Costs(
            steps=costs.steps,
            operations=costs.operations,
            tables=costs.tables,
            instructions=costs.instructions,
            segments=len(each),
            transactions=attribution.transactions(),
            contracts=attribution.contracts(),
        )

    def check(self, budget: Budget | None = None, *, progress: Progress | None = None) -> CheckReport:
        """Fill all tables and check every constraint and every bus, without proving.

        Args:
            budget: what one segment may take.
            progress: called with `check` after every segment.

        Raises:
            UnsupportedFeature, CostError: as for `plan`.
        """
        start = time.perf_counter()
        plans = self.plan(budget)
        batch = self.provable
        advance = _of_phase("check", progress)
        found: list[Violation] = []
        advance(0, len(plans))
        for done, plan in enumerate(plans, start=1):
            filled = fill_segment(batch, plan, self._filled)
            findings = check_circuit(filled.circuit, filled.traces, filled.public_lists, algebra=NATIVE)
            found += [Violation(plan.index, finding) for finding in findings]
            advance(done, len(plans))
        circuits = [segment_circuit(fork) for fork in dict.fromkeys(batch.forks)]
        return CheckReport(
            violations=tuple(found),
            segments=len(plans),
            transactions=len(batch.trace.transactions),
            steps=len(batch.trace.steps),
            tables=max((len(circuit.tables) for circuit in circuits), default=0),
            constraints=max((sum(table.constraints for table in c.statistics) for c in circuits), default=0),
            cells=sum(plan.cells for plan in plans),
            interactions=sum(plan.interactions for plan in plans),
            seconds=time.perf_counter() - start,
        )

    def prove(
        self,
        out: str | Path | None = None,
        *,
        workers: Workers | None = None,
        budget: Budget | None = None,
        store: str | Path | None = None,
        keep: bool = False,
        one_proof: bool | None = None,
        progress: Progress | None = None,
        on_segment: Callable[[ProvedSegment], None] | None = None,
        on_node: Callable[[NodeEvent], None] | None = None,
        on_segments_only: Callable[[str], None] | None = None,
    ) -> ProvedBatch:
        """Prove it, and verify the proof.

        Segments are kept as they are finished: a run that was killed goes on where it was when it is started again with
        the same batch, output and budget.

        Args:
            out: the proof file, replaced in one step when the proof is complete; None: none is written, and nothing is
                kept.
            workers: where and with how many workers; this machine with one for each core by default.
            budget: what one segment may take.
            store: folder of finished segments, and nodes; the output's name with `.segments` by default.
            keep: leave them there when the proof is complete.
            one_proof: make one proof of all segments, of the same size whatever it proves, which takes minutes, or
                leave each its own; None: one proof where there are several, if there can be one and the budget does not
                say where operations are divided.
            progress: called with `prove` after every segment, then with the names of the verifier's checks, and with
                `aggregate` after every node of the tree.
            on_segment: called with each segment when it is finished.
            on_node: called with each node when it is finished.
            on_segments_only: called before any is proved where each of several segments keeps its own proof though
                nobody has asked for that, with the reason.

        Raises:
            UnsupportedFeature: the batch holds something that cannot be proved; says what, and where.
            ProverError: planning or proving failed, or there has to be one proof and cannot be; `CostError`: a budget
                is too small.
            OSError: the output or the store cannot be written to.
        """

        def finished(event: SegmentEvent) -> None:
            if on_segment is not None:
                on_segment(ProvedSegment.of(event.job.plan, event.proof, event.reused))

        callbacks = Callbacks(
            proved=_of_phase("prove", progress),
            aggregated=_of_phase("aggregate", progress),
            segment=finished,
            node=on_node or (lambda node: None),
            separate=on_segments_only or (lambda why: None),
            verified=progress or (lambda *_: None),
        )
        with _written_to(out) as file:
            report = prove_executed(
                self.executed,
                file,
                workers=workers,
                budget=budget,
                store=None if store is None else Path(store),
                keep=keep,
                one_proof=one_proof,
                progress=callbacks,
            )
            content = file.read_bytes()
        return ProvedBatch(
            content=content,
            name=str(out or "proof"),
            path=None if out is None else Path(out),
            proved=tuple(
                ProvedSegment.of(plan, proof, plan.index in report.reused)
                for plan, proof in zip(report.plans, report.proofs, strict=True)
            ),
            nodes=tuple(report.nodes),
            why_segments_only=report.why_segments_only or None,
            steps=report.steps,
            security_bits=report.security_bits,
            checks=tuple(report.checks),
            seconds=report.seconds | {"execute": self.seconds},
        )

    @property
    def _trace(self) -> ExecutionTrace:
        if self.executed.trace is None:
            raise ValueError("a batch that was executed without a trace")
        return self.executed.trace

    @cached_property
    def provable(self) -> ProvableBatch:
        """The batch as the circuits see it. Raises `UnsupportedFeature` where it holds what cannot be proved."""
        return ProvableBatch.of(check_provable(self.executed))


def _of_phase(phase: str, progress: Progress | None) -> Callable[[int, int], None]:
    """The progress of one phase."""
    if progress is None:
        return lambda done, total: None
    report = progress
    return lambda done, total: report(phase, done, total)


@contextmanager
def _written_to(out: str | Path | None) -> Iterator[Path]:
    """The file that is meant, or one that is gone in the end."""
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="zkevm-proof-") as folder:
        yield Path(folder) / "proof"


def _values(row: TransactionCost | ContractCost) -> dict[str, Any]:
    """The fields of a row, bytes in hexadecimal."""
    values = {each.name: getattr(row, each.name) for each in fields(row)}
    return {name: f"0x{value.hex()}" if isinstance(value, bytes) else value for name, value in values.items()}


def _arrow(rows: Sequence[dict[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """A table; its columns' types are given by Arrow's names."""
    import pyarrow as pa

    kinds = {name: pa.type_for_alias(kind) for name, kind in columns.items()}
    return pa.table({name: pa.array([row[name] for row in rows], type=kind) for name, kind in kinds.items()})


_WHOLE, _TEXT, _FRACTION, _BIT = "int64", "string", "float64", "bool"
_TABLE_COLUMNS = {
    "name": _TEXT,
    "rows": _WHOLE,
    "height": _WHOLE,
    "columns": _WHOLE,
    "row_interactions": _WHOLE,
    "is_instruction": _BIT,
    "cells": _WHOLE,
    "interactions": _WHOLE,
}
_INSTRUCTION_COLUMNS = {"name": _TEXT, "steps": _WHOLE, "cells": _FRACTION, "interactions": _FRACTION}
_SHARE_COLUMNS = dict.fromkeys(("steps", "own_cells", "own_interactions", "cells", "interactions"), _WHOLE)
_TRANSACTION_COLUMNS = {"block": _WHOLE, "transaction": _WHOLE, "hash": _TEXT, "gas_used": _WHOLE, **_SHARE_COLUMNS}
_CONTRACT_COLUMNS = {"address": _TEXT, "frames": _WHOLE, **_SHARE_COLUMNS}
