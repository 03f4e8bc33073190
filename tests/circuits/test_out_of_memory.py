"""Accesses beyond the memory that is proved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.air.layout import TraceView
from circuits.batch.execution import OUT_OF_MEMORY
from circuits.instructions.out_of_memory import ACCESSES, OutOfMemoryColumns, fill_out_of_memory
from tests.circuits.family import mutate_family
from tests.circuits.memory_family import FAMILY, RETURNING, objections, run

LIMIT = 1 << 24
HUGE = (1 << 256) - 1

#: One for each access of each instruction, with sizes and offsets that are just too large, or huge.
PROGRAMS = (
    f"{LIMIT - 31} mload",
    f"{HUGE} mload",
    f"{1 << 31} mload",
    f"7 64 mstore 1 {LIMIT} mstore",
    f"1 {LIMIT} mstore8",
    f"1 {1 << 255} mstore8",
    f"33 {LIMIT - 32} sha3",
    f"{HUGE} 0 sha3",
    f"1 {HUGE} sha3",
    f"65535 {LIMIT - 65534} sha3",
    f"65536 {LIMIT - 65535} sha3",
    f"{1 << 25} 0 return",
    f"3 {LIMIT} revert",
    f"1 {LIMIT} log0",
    f"2 1 {LIMIT} log1",
    f"3 2 1 {LIMIT} log2",
    f"4 3 2 1 {LIMIT} log3",
    f"5 4 3 2 33 {LIMIT - 32} log4",
    f"33 5 {LIMIT - 32} calldatacopy",
    f"{LIMIT} 0 1 codecopy",
    f"{LIMIT} 0 1 0x1234 extcodecopy",
    f"0 0 0 0 0x{RETURNING.hex()} 5000 staticcall 33 5 {LIMIT - 32} returndatacopy",
    f"1 {LIMIT} 0 mcopy",
    f"1 0 {LIMIT} mcopy",
    f"{HUGE} 3 3 mcopy",
    *(
        f"{output} {given} {value} 0x{RETURNING.hex()} 5000 {name}"
        for name, value in (("call", "0"), ("callcode", "0"), ("delegatecall", ""), ("staticcall", ""))
        for output, given in (("0 0", f"1 {LIMIT}"), (f"1 {LIMIT}", "0 0"), (f"{HUGE} 0", "32 0"))
    ),
    f"1 {LIMIT} 0 create",
    f"9 33 {LIMIT - 32} 0 create2",
)
#: These reach the last byte, or nothing, and are proved elsewhere.
WITHIN = (f"{LIMIT - 32} mload", f"1 {LIMIT - 1} mstore8", f"32 {LIMIT - 32} sha3", f"0 {HUGE} sha3 pop")


def test_honest() -> None:
    execution = run(*PROGRAMS, gas=60_000)
    steps = execution.route == OUT_OF_MEMORY
    assert steps.sum() == len(PROGRAMS)
    assert set(execution.opcode[steps]) == {access[0] for access in ACCESSES}
    matrix = fill_out_of_memory(execution)
    assert matrix is not None
    assert TraceView(OutOfMemoryColumns, matrix).access.any(axis=0).all()
    assert objections(execution) == set()


def test_within() -> None:
    assert not (run(*WITHIN, gas=60_000).route == OUT_OF_MEMORY).any()


def test_mutations() -> None:
    report = mutate_family(FAMILY, run(*PROGRAMS, gas=60_000), rows_per_table=len(PROGRAMS))
    assert report.survivors == [], str(report)


def _offset(low: int, high: int) -> Callable[[Any], None]:
    def lie(rows: Any) -> None:
        rows.offset[0] = 0
        rows.offset[0, :2] = low, high
        low_sum = low + int(rows.size[0, 0]) - 1
        carry = low_sum >> 16
        high_sum = high + int(rows.size[0, 1]) - 256 + carry
        rows.excess[0] = (low_sum & 0xFFFF, high_sum & 0xFFFF)
        rows.carry[0] = carry % 2013265921
        rows.excess_carry[0] = 0

    return lie


def test_access_within_the_memory() -> None:
    execution = run(f"{LIMIT - 31} mload", gas=60_000)
    assert objections(execution, out_of_memory=_offset(0xFFE1, 0xFF)) == set()
    assert objections(execution, out_of_memory=_offset(0xFFE0, 0xFF)) == {"high limb of the excess"}
    assert objections(execution, out_of_memory=_offset(0, 0)) == {"high limb of the excess"}


def test_far_without_a_limb() -> None:
    def lie(rows: Any) -> None:
        rows.near[0] = 0
        rows.excess[0] = 0
        rows.carry[0] = 0

    assert objections(run(f"{LIMIT} mload", gas=60_000), out_of_memory=lie) == {"either far or near"}


def test_size_of_nothing() -> None:
    def lie(rows: Any) -> None:
        rows.size[0] = 0
        rows.size_inverse[0] = 0

    assert "the size is not 0" in objections(run(f"1 {HUGE} sha3", gas=60_000), out_of_memory=lie)


def test_size_of_another_instruction() -> None:
    """MSTORE8 of the last byte, said to be of two bytes."""

    def lie(rows: Any) -> None:
        rows.size[0, 0] = 2
        rows.size_inverse[0] = pow(2, -1, 2013265921)
        _offset(0xFFFF, 0xFF)(rows)

    assert objections(run(f"1 {LIMIT} mstore8", gas=60_000), out_of_memory=lie) == {"constant size"}


@pytest.mark.parametrize("words", [0, 1 << 18])
def test_gas_that_pays(words: int) -> None:
    """The price of the whole memory, less what has been paid."""
    execution = run(f"{LIMIT} mload", gas=60_000)
    price = 3 * (1 << 19) + (1 << 29) - 3 * words - words * words // 512

    def lie(gas: int) -> Callable[[Any], None]:
        def change(rows: Any) -> None:
            rows.gas[0] = gas
            rows.memory_words[0] = words
            rows.cost[0] = price
            rows.unpaid.low[0] = np.int64(price - gas - 1) & 0xFFFF

        return change

    assert objections(execution, out_of_memory=lie(price - 1)) == set()
    assert objections(execution, out_of_memory=lie(price)) == {"range16"}
