"""Instructions that push words of the frame, the transaction or the block."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from circuits.batch.execution import Execution
from circuits.carry import Carried
from circuits.component import Component
from circuits.frames import frames
from circuits.frames.buses import CONTEXT
from circuits.frames.contexts import BLOBS, TRANSACTION_CONTEXT
from circuits.instructions import block as block_instructions
from circuits.instructions import environment
from circuits.instructions.environment import KINDS
from circuits.segment import segment_circuit
from circuits.transactions import block
from executor.forks import CANCUN
from executor.opcodes import OPCODES
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, PROGRAMS, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import objections
from tests.circuits.worlds import others

SOURCE = (
    "address origin caller callvalue calldatasize codesize gasprice coinbase timestamp number difficulty gaslimit "
    "chainid basefee blobbasefee 0 blobhash"
)
FAMILY: list[Component] = [
    *environment.COMPONENTS,
    *block_instructions.COMPONENTS,
    *frames.COMPONENTS,
    *block.COMPONENTS,
    others(CONTEXT, lambda queries: queries[:, 0] == TRANSACTION_CONTEXT),
]


@cache
def _execution() -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + assemble(SOURCE).hex())
    building.block(call_contract(building, data="0x" + "ab" * 70, value=7), call_contract(building))
    building.block(call_contract(building, 1, gas=21_031))
    return execution_of(building.execute())


def test_every_instruction() -> None:
    execution = _execution()
    assert set(environment.KINDS) <= set(execution.opcode.tolist())
    assert check_family(FAMILY, execution) == []


def test_programs() -> None:
    execution = execution_of(PROGRAMS["block context"]().execute())
    assert check_family(FAMILY, execution) == []


def test_mutations() -> None:
    report = mutate_family(FAMILY, _execution())
    assert report.survivors == [], str(report)


def _row(rows: Any, name: str) -> int:
    return int(np.flatnonzero(rows.opcode == OPCODES[name])[0])


def test_another_word() -> None:
    def lie(rows: Any) -> None:
        rows.word[_row(rows, "CALLVALUE"), 0] += 1

    assert objections(FAMILY, _execution(), {"context": lie}) == {"context", "stack"}


def test_the_word_of_another_frame() -> None:
    def lie(rows: Any) -> None:
        at = np.flatnonzero(rows.opcode == OPCODES["CALLVALUE"])
        rows.id[at[0]], rows.word[at[0]] = rows.id[at[1]], rows.word[at[1]]

    assert objections(FAMILY, _execution(), {"context": lie}) == {"context_of", "stack"}


def test_the_word_of_another_instruction() -> None:
    def lie(rows: Any) -> None:
        a, b = _row(rows, "CALLER"), _row(rows, "CALLVALUE")
        rows.opcode[a], rows.word[a] = rows.opcode[b], rows.word[b]

    assert {"instruction", "stack"} <= objections(FAMILY, _execution(), {"context": lie})


def test_what_is_asked_for_under_no_opcode_is_not_pushed() -> None:
    """The places of blob hashes have no byte of code for a name."""
    provided = {
        interaction.message[2].value
        for table in segment_circuit(CANCUN).tables
        for interaction in table.air.interactions
        if interaction.bus == CONTEXT and interaction.provides and not isinstance(table, Carried)
    }
    assert provided == {*KINDS, BLOBS}
    assert BLOBS > 0xFF
