"""What a variant costs on a batch, exactly, and whether its tables hold: they are filled to find out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from circuits.air.checker import Finding, check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import Matrix
from circuits.air.queries import queries
from circuits.air.table import Table
from circuits.batch.execution import Batch, Execution
from circuits.component import Acting
from circuits.segment import FilledSegment, public_values
from executor.batch import parse_batch
from executor.execute import execute
from executor.forks import Fork
from executor.provable import check_provable
from executor.system_contracts import under
from executor.trace import ExecutionTrace
from lab.errors import LabError
from lab.keys import Key
from lab.variant import Circuits, Variant
from prover.costs import Costs, costs_of, weight
from prover.planner import MIN_STACKED_ROWS, stacked_height
from verifier.keys import SUPPORTED_HEIGHTS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@dataclass(frozen=True)
class Workload:
    """A batch that variants are measured on, checked with or proved for.

    Attributes:
        name: what it is called in tables.
        content: of the batch file.
    """

    name: str
    content: bytes = field(repr=False)

    @classmethod
    def named(cls, name: str, fork: Fork | None = None) -> Workload:
        """An example by its name, or a batch file by its path.

        Args:
            name: of either.
            fork: that its blocks are to be of, in the place of their own; the batch must begin with a genesis then.

        Raises:
            LabError: there is neither, or no genesis.
            OSError: the file cannot be read.
        """
        for path in (EXAMPLES / f"{name}.json", Path(name)):
            if path.is_file():
                own = cls(path.stem, path.read_bytes())
                return own if fork is None else own.under(fork)
        known = ", ".join(sorted(path.stem for path in EXAMPLES.glob("*.json")))
        raise LabError(f"no workload {name!r}", f"name a batch file, or one of {known}")

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any]) -> Workload:
        """Of a batch file's document."""
        return cls(name, json.dumps(document).encode())

    def under(self, fork: Fork) -> Workload:
        """The same with blocks of a fork, whose system contracts the genesis is given."""
        document = json.loads(self.content)
        if "genesis" not in document:
            raise LabError(f"{self.name} is of its own fork alone", "name a batch that begins with a genesis")
        return Workload.of(self.name, under(document, fork))

    @property
    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def trace(self) -> ExecutionTrace:
        """Of its execution, which is done once.

        Raises:
            BatchError: the batch is malformed or invalid.
            UnsupportedFeature: it holds something that cannot be proved.
        """
        return _trace(self)


@lru_cache(maxsize=4)
def _trace(workload: Workload) -> ExecutionTrace:
    return check_provable(execute(parse_batch(workload.content)))


def sample_of(variant: Variant, fork: Fork) -> Workload:
    """The variant's sample.

    Raises:
        LabError: it has none.
    """
    if variant.sample is None:
        raise LabError(f"{variant.name} has no sample", "name a workload")
    return Workload.of(f"sample of {variant.name}", variant.sample(fork))


@dataclass(frozen=True)
class Measurement:
    """What one variant costs on one workload.

    Attributes:
        variant, workload: by name.
        fork: whose circuit the variant is one of; of a batch that crosses forks there is a measurement for each.
        circuit: digest of the circuit, hexadecimal.
        batch: SHA-256 of the batch file, hexadecimal.
        log_stacked_height: the engine's parameter for a segment of this size.
        key: digest of the key of circuit and parameter, hexadecimal; None where it was not asked for.
        costs: of the fork's operations as one segment, padding included.
    """

    variant: str
    workload: str
    fork: str
    circuit: str
    batch: str
    log_stacked_height: int
    key: str | None
    costs: Costs

    @property
    def rows_cells(self) -> int:
        """Cells of the rows that stand for something: what there would be without padding."""
        return sum(table.rows * table.columns for table in self.costs.tables)

    @property
    def rows_messages(self) -> int:
        """Interactions of these rows."""
        return sum(table.rows * table.interactions for table in self.costs.tables)

    @property
    def weight(self) -> float:
        """Cells and interactions as cells, `prover.costs.weight`."""
        return weight(self.costs.cells, self.costs.messages)

    @property
    def rows_weight(self) -> float:
        """The same without padding."""
        return weight(self.rows_cells, self.rows_messages)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; nothing in it depends on the machine or the time."""
        return {
            "variant": self.variant,
            "workload": self.workload,
            "fork": self.fork,
            "circuit": self.circuit,
            "batch": self.batch,
            "log_stacked_height": self.log_stacked_height,
            "key": self.key,
            "operations": self.costs.operations,
            "steps": self.costs.steps,
            "cells": self.costs.cells,
            "interactions": self.costs.messages,
            "cells_without_padding": self.rows_cells,
            "interactions_without_padding": self.rows_messages,
            "tables": [
                {
                    "name": table.name,
                    "rows": table.rows,
                    "height": table.height,
                    "columns": table.columns,
                    "interactions": table.interactions,
                }
                for table in sorted(self.costs.tables, key=lambda table: table.name)
            ],
        }


def fill(circuits: Circuits, execution: Execution) -> FilledSegment:
    """All tables of a segment, filled as the variant does.

    Args:
        circuits: of the execution's fork.
        execution: of a batch that the variant has made (`Variant.batch`).
    """
    filled: list[tuple[Table, Matrix]] = []
    traces: list[Matrix | None] = []
    for component in circuits.components:
        if isinstance(component, Acting):
            matrix = component.fill(execution)
        else:
            matrix = component.answer(execution, *(queries(bus, filled) for bus in component.buses))
        traces.append(matrix)
        if matrix is not None:
            filled.append((component.table, matrix))
    return FilledSegment(traces, public_values(execution), circuits.circuit, execution)


def segments(variant: Variant, batch: Batch) -> list[tuple[Circuits, Execution]]:
    """A segment for each of the batch's runs of operations that have one circuit."""
    return [(variant.of(fork), Execution(batch, first, end)) for fork, first, end in batch.runs()]


def height_of(costs: Costs) -> int:
    """The `log_stacked_height` of a segment, as the planner chooses it."""
    stacked = sum(table.columns * max(table.height, MIN_STACKED_ROWS) for table in costs.tables)
    return stacked_height(stacked, max(costs.heights.values()), SUPPORTED_HEIGHTS)


def measure(variant: Variant, workload: Workload, *, keys: bool = False) -> list[Measurement]:
    """The costs of a workload, a measurement for each fork's operations.

    Args:
        keys: make the key of each, which takes seconds, for its digest.

    Raises:
        VariantError: the circuit of a fork does not have what the variant changes.
        BatchError, UnsupportedFeature: as `Workload.trace`.
    """
    found = []
    for circuits, execution in segments(variant, variant.batch(workload.trace)):
        costs = costs_of(fill(circuits, execution))
        height = height_of(costs)
        found.append(
            Measurement(
                variant=variant.name,
                workload=workload.name,
                fork=circuits.fork.circuit,
                circuit=circuits.circuit.digest,
                batch=workload.digest,
                log_stacked_height=height,
                key=Key.of(circuits, height).digest if keys else None,
                costs=costs,
            )
        )
    return found


def check(circuits: Circuits, segment: FilledSegment) -> list[Finding]:
    """Every constraint on every row and the balance of every bus: what is violated."""
    return check_circuit(circuits.circuit, segment.traces, segment.public_lists, algebra=NATIVE)


@dataclass(frozen=True)
class Difference:
    """What a table, or all of them, costs more than before: cells and interactions, with and without padding."""

    table: str
    cells: int
    messages: int
    rows_cells: int
    rows_messages: int

    @property
    def weight(self) -> float:
        """As cells."""
        return weight(self.cells, self.messages)

    @property
    def rows_weight(self) -> float:
        """As cells, without padding."""
        return weight(self.rows_cells, self.rows_messages)


def differences(before: Measurement, now: Measurement) -> list[Difference]:
    """The tables whose costs differ, those that change most first."""

    def by_name(measurement: Measurement) -> dict[str, tuple[int, int, int, int]]:
        return {
            t.name: (t.cells, t.messages, t.rows * t.columns, t.rows * t.interactions) for t in measurement.costs.tables
        }

    old, new = by_name(before), by_name(now)
    nothing = (0, 0, 0, 0)
    found = [
        Difference(name, *(n - o for n, o in zip(new.get(name, nothing), old.get(name, nothing), strict=True)))
        for name in dict.fromkeys([*old, *new])
    ]
    changed = [d for d in found if replace(d, table="") != Difference("", 0, 0, 0, 0)]
    return sorted(changed, key=lambda d: (-abs(d.weight), -abs(d.rows_weight), d.table))
