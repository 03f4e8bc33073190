"""Programs of single instructions, and whether their results are those of the execution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuits.batch.execution import Execution
from circuits.component import Component
from circuits.instructions import stack
from executor.forks import CANCUN, Fork
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import closed, fill_family
from tests.circuits.lying import FUNCTIONS


def run(source: str, fork: Fork = CANCUN) -> Execution:
    """The execution of one call of this program."""
    building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.block(call_contract(building, gas=16_000_000))
    return execution_of(building.execute())


def run_each(cases: Iterable[tuple[str, Sequence[int]]], fork: Fork = CANCUN) -> Execution:
    """The execution of instructions with these operands, the upper one first, whose results are popped."""
    words = [[*(hex(value % (1 << 256)) for value in reversed(operands)), name, "pop"] for name, operands in cases]
    return run(" ".join(word for case in words for word in case) + " stop", fork)


def has_results_of(components: Sequence[Component], execution: Execution) -> bool:
    """Whether all words that are pushed are those that the execution pops later; nothing may be left on the stack."""
    family = (*stack.COMPONENTS, *components, *FUNCTIONS)
    circuit, _ = closed([c.table for c in family], fill_family(family, execution))
    return "world_stack" not in circuit.names
