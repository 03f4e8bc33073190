"""The byte table: exactly the triples (a, b, a ^ b), and AND, OR and byte checks through them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from circuits.air.checker import Finding, check_circuit, check_table
from circuits.air.circuit import Circuit
from circuits.air.layout import Layout, TraceView, allocate, bit, element
from circuits.air.mutation import mutate
from circuits.air.queries import queries
from circuits.air.table import Air, Table
from circuits.functions import bitwise_bytes
from circuits.functions.buses import BITWISE_BYTES
from tests.circuits.keccak_circuit import messages


class Columns(Layout):
    """Claims about a pair of bytes."""

    real = bit("a claim")
    a = element("first operand", by="bitwise_bytes bus")
    b = element("second operand", by="bitwise_bytes bus")
    xor = element("claimed exclusive or", by="bitwise_bytes bus")
    conjunction = element("claimed and", by="bitwise_bytes bus")
    disjunction = element("claimed or", by="bitwise_bytes bus")
    checked = element("claimed to be a byte", by="bitwise_bytes bus")


class Claims(Table):
    """One claim of each kind per row."""

    name = "claims"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row = air.row
        bitwise_bytes.query_xor(air, row.a, row.b, row.xor, count=row.real)
        bitwise_bytes.query_and(air, row.a, row.b, row.conjunction, count=row.real)
        bitwise_bytes.query_or(air, row.a, row.b, row.disjunction, count=row.real)
        bitwise_bytes.query_byte(air, row.checked, count=row.real)


@cache
def _circuit() -> Circuit:
    return Circuit("bytes", [Claims(), bitwise_bytes.BitwiseBytes()])


A, B = np.array([0x0F, 0xFF, 0, 0xA5]), np.array([0x3C, 0xFF, 0, 0x5A])
TRUE = {"a": A, "b": B, "xor": A ^ B, "conjunction": A & B, "disjunction": A | B, "checked": A}


def _check(**first: int) -> list[Finding]:
    """Findings for true claims of which some cells of the first row are replaced."""
    matrix, rows = allocate(Columns, len(A))
    rows.real = 1
    for name, value in TRUE.items():
        setattr(rows, name, value)
    for name, cell in first.items():
        getattr(rows, name)[0] = cell
    asked = queries(BITWISE_BYTES, [(Claims(), matrix)])
    return check_circuit(_circuit(), [matrix, bitwise_bytes.fill(asked)], [[], []])


def test_the_table_lists_all_pairs_once() -> None:
    pairs = np.array([(a, b, a ^ b) for a in range(256) for b in range(256)], dtype=np.uint32)
    matrix = bitwise_bytes.fill(pairs)
    assert not check_table(bitwise_bytes.BitwiseBytes(), matrix)
    provided = messages(bitwise_bytes.BitwiseBytes(), matrix, BITWISE_BYTES)
    assert sorted(message for _, message in provided) == pairs.tolist()


def test_true_claims_are_accepted() -> None:
    assert not _check()


@pytest.mark.parametrize(
    "lie",
    [
        {"xor": 0x32},
        {"conjunction": 0x0D},
        {"disjunction": 0x3E},
        {"checked": 256},
        {"checked": 2013265920},
        {"a": 256, "xor": 256 ^ 0x3C},
        # Half of an odd difference is a field element, but no byte: (p + 1) / 2 + ...
        {"conjunction": (0x0C + (2013265921 + 1) // 2) % 2013265921},
    ],
)
def test_lies_are_rejected(lie: dict[str, int]) -> None:
    assert _check(**lie)


@pytest.mark.parametrize("column", ["a", "b", "xor"])
def test_a_changed_list_is_rejected(column: str) -> None:
    matrix = bitwise_bytes.fill(np.zeros((0, 3), dtype=np.uint32))
    getattr(TraceView(bitwise_bytes.Columns, matrix), column)[7] ^= 4
    assert check_table(bitwise_bytes.BitwiseBytes(), matrix)


def test_a_list_with_consistent_but_repeated_rows_is_rejected() -> None:
    matrix = bitwise_bytes.fill(np.zeros((0, 3), dtype=np.uint32))
    matrix[100] = matrix[99]
    assert check_table(bitwise_bytes.BitwiseBytes(), matrix)


def test_a_shorter_or_longer_list_is_rejected() -> None:
    matrix = bitwise_bytes.fill(np.zeros((0, 3), dtype=np.uint32))
    assert check_table(bitwise_bytes.BitwiseBytes(), matrix[: len(matrix) // 2])
    assert check_table(bitwise_bytes.BitwiseBytes(), np.concatenate([matrix, matrix]))


def test_mutations_are_rejected() -> None:
    matrix, rows = allocate(Columns, 3)
    a, b = np.array([1, 255, 128]), np.array([3, 254, 0])
    rows.real, rows.a, rows.b, rows.xor, rows.conjunction, rows.disjunction, rows.checked = (
        1,
        a,
        b,
        a ^ b,
        a & b,
        a | b,
        b,
    )
    table = bitwise_bytes.fill(queries(BITWISE_BYTES, [(Claims(), matrix)]))
    report = mutate(_circuit(), [matrix, table], [[], []], tables={"bitwise_bytes"})
    assert report.tried["cell"] > 500
    assert not report.survivors, report
