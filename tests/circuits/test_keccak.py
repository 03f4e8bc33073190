"""KECCAK256: what is hashed is what stands in the memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from eth_utils.crypto import keccak

from circuits.air.field import MODULUS
from circuits.batch.execution import Execution
from circuits.batch.hashed_inputs import HashedInputs
from circuits.functions import keccak_f
from circuits.functions import keccak_sponge as sponge
from circuits.instructions.keccak import COMPONENTS, EMPTY_HASH
from circuits.limbs import words_from_bytes
from circuits.memory.hash_read import HashRead
from executor.opcodes import OPCODES
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, PROGRAMS, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family
from tests.circuits.lying import objections

#: The tables of the instruction; those of the hash function have tests of their own.
INSTRUCTION = COMPONENTS[:3]
#: Sizes around whole words and whole blocks, unaligned offsets, equal inputs, and nothing at places of all sizes.
SOURCE = """
    42 0 mstore 64 0 sha3 pop 64 0 sha3 pop 32 64 sha3 pop 33 31 sha3 pop 1 2 sha3 pop 31 3 sha3 pop 135 0 sha3 pop
    136 1 sha3 pop 137 3 sha3 pop 272 5 sha3 pop 0 0 not sha3 pop 0 7 sha3 pop 0 65536 sha3 pop 33 65504 sha3 pop
"""
INTRINSIC_GAS = 21_000


@cache
def _execution() -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + assemble(SOURCE).hex())
    building.alloc(OTHER, code="0x" + assemble("0 7 sha3").hex())
    # The instruction just has enough gas, or runs out of it by 1: for words and memory, and for its constant part.
    for gas in (1_000_000, 21_060, 21_061, 21_120):
        building.block(call_contract(building, gas=gas))
    building.block(call_contract(building, to=OTHER, gas=21_034), call_contract(building, to=OTHER, gas=21_035))
    return execution_of(building.execute())


@cache
def _small() -> Execution:
    source = "42 0 mstore 43 32 mstore 64 0 sha3 96 0 sha3 64 32 sha3 33 0 sha3 0 5 sha3 64 0 sha3"
    building = Builder().alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.block(call_contract(building), call_contract(building, gas=21_070))
    return execution_of(building.execute())


def test_honest() -> None:
    execution = _execution()
    steps = execution.rows(OPCODES["KECCAK256"])
    assert execution.failed[steps].sum() == 3
    assert check_family(COMPONENTS, execution) == []


def test_equal_inputs_are_hashed_once() -> None:
    hashed = HashedInputs.of(_execution())
    assert len(hashed.step) > len(hashed.distinct.data) == len(set(hashed.distinct.data))


@pytest.mark.parametrize("name", ["arithmetic", "failures"])
def test_programs(name: str) -> None:
    execution = execution_of(PROGRAMS[name]().execute())
    assert check_family(COMPONENTS, execution) == []


def test_nothing_is_hashed() -> None:
    execution = execution_of(PROGRAMS["storage"]().execute())
    assert fill_family(COMPONENTS, execution) == [None] * len(COMPONENTS)


def test_nothing_but_nothing_is_hashed() -> None:
    building = Builder().alloc(CONTRACT, code="0x" + assemble("0 0 sha3").hex())
    execution = execution_of(building.block(call_contract(building)).execute())
    filled = fill_family(COMPONENTS, execution)
    assert [matrix is None for matrix in filled] == [True, False, True, True, True]
    assert check_family(COMPONENTS, execution) == []


def test_the_hash_of_nothing() -> None:
    assert tuple(words_from_bytes([keccak(b"")])[0].tolist()) == EMPTY_HASH


def test_permutations_are_those_the_sponge_asks_for() -> None:
    inputs = HashedInputs.of(_execution()).distinct
    filled = sponge.fill(inputs, np.zeros((0, 2), np.uint32), np.zeros(0, np.uint32))
    states, ids = sponge.permutations(inputs)
    assert (states == filled.states).all()
    assert (ids == filled.ids).all()
    assert len(keccak_f.fill(states, ids)) >= len(ids) * keccak_f.ROUNDS


@pytest.mark.parametrize("execution", [_execution, _small])
def test_mutations(execution: Any) -> None:
    report = mutate_family(INSTRUCTION, execution(), rows_per_table=12)
    assert report.survivors == [], str(report)


def test_the_hash_of_other_memory() -> None:
    """Another input of the same length is named, and the memory is read as it is."""

    def step(rows: Any) -> None:
        rows.id[0], rows.digest[0] = rows.id[2], rows.digest[2]

    def read(rows: Any) -> None:
        rows.word[0:2] = rows.word[9:11]  # the same memory, hashed once more

    found = objections(COMPONENTS, _small(), {"keccak256": step, "hash_read": read})
    assert "hash_word" in found
    assert "hash_read" not in found


def test_other_words() -> None:
    """The input's words are read correctly, the memory's are not."""

    def step(rows: Any) -> None:
        rows.id[0], rows.digest[0] = rows.id[2], rows.digest[2]

    found = objections(COMPONENTS, _small(), {"keccak256": step})
    assert found == {"memory_bytes", "stack"}


def test_a_word_that_is_not_read() -> None:
    def read(rows: Any) -> None:
        rows.more[0] = 0
        for name, _ in HashRead.layout.parts.items():
            getattr(rows, name)[1] = 0

    found = objections(COMPONENTS, _small(), {"hash_read": read})
    assert "range16" in found


def test_a_shorter_input() -> None:
    """The digest of a prefix: its length is not the size."""

    def step(rows: Any) -> None:
        rows.id[1], rows.digest[1] = rows.id[0], rows.digest[0]

    assert "hash_out" in objections(COMPONENTS, _small(), {"keccak256": step})


def test_a_failure_that_is_none() -> None:
    def step(rows: Any) -> None:
        rows.charge.fails[0] = 1
        rows.id[0] = 0
        rows.digest[0] = 0

    found = objections(COMPONENTS, _small(), {"keccak256": step})
    assert "range16" in found


def test_fewer_words_are_paid() -> None:
    def step(rows: Any) -> None:
        rows.range.slack[0] = MODULUS - 32
        rows.cost[0] -= 6
        rows.charge.margin[0] += 6

    found = objections(COMPONENTS, _small(), {"keccak256": step})
    assert "range16" in found


def test_nothing_in_the_table_of_something() -> None:
    """A size of 0 would reach memory there, and cost gas for it."""

    def step(rows: Any) -> None:
        rows.size[0] = 0
        rows.inverse[0] = 0
        rows.range.slack[0] = 0

    assert "at least one byte" in objections(COMPONENTS, _small(), {"keccak256": step})


def test_an_offset_that_wraps() -> None:
    """offset + size is small only modulo the field's characteristic."""

    def step(rows: Any) -> None:
        offset = MODULUS - 32
        rows.offset[0] = [offset & 0xFFFF, offset >> 16]

    assert "range16" in objections(COMPONENTS, _small(), {"keccak256": step})
