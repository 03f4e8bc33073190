"""The checker finds and names a planted fault of each kind."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from circuits.air import MODULUS, Air, Bus, BusField, BusKind, Circuit, Layout, Table, bit, element
from circuits.air.checker import (
    BusFinding,
    ConstraintFinding,
    ShapeFinding,
    _equal_rows,
    check_circuit,
    check_table,
)
from circuits.air.field import Matrix
from circuits.air.layout import allocate

TOKEN = Bus(
    50,
    "token",
    BusKind.PERMUTATION,
    (BusField("number", 1, "n", "t"), BusField("value", 2, "v", "t")),
    "test",
)


class Sends(Table):
    """A counter from a public start to a public end that sends its squares."""

    class Columns(Layout):
        real = bit("1 on rows that send")
        n = element("number", by="step")
        square = element("n^2", by="constraint")

    class Public(Layout):
        first = element("first number", by="test")
        last = element("last number", by="test")

    name = "sends"
    layout = Columns
    public = Public

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(air.is_first * (row.n - air.public.first), "starts at the first")
        air.require(air.is_transition * (air.next.n - row.n - 1), "steps by 1")
        air.require(air.is_last * (row.n - air.public.last), "ends at the last")
        air.require(row.n * row.n - row.square, "square")
        air.send(TOKEN, row.n, row.square, 7, count=row.real)


class Receives(Table):
    """Takes what is sent."""

    class Columns(Layout):
        real = bit("1 on rows that receive")
        message = element("number, square, 7", 3, by="token bus")

    name = "receives"
    layout = Columns

    def constraints(self, air: Air) -> None:
        air.receive(TOKEN, air.row.message, count=air.row.real)


CIRCUIT = Circuit("test", [Sends(), Receives()])
PUBLIC = [[3, 6], []]


def honest() -> tuple[Matrix, Matrix, Any, Any]:
    sent, sends = allocate(Sends.layout, 4)
    sends.real = 1
    sends.n = [3, 4, 5, 6]
    sends.square = [9, 16, 25, 36]
    received, receives = allocate(Receives.layout, 4, height=8)
    receives.real = 1
    receives.message = np.stack([[6, 5, 4, 3], [36, 25, 16, 9], [7, 7, 7, 7]], axis=1)
    return sent, received, sends, receives


def test_honest_traces_are_accepted() -> None:
    sent, received, *_ = honest()
    assert check_circuit(CIRCUIT, [sent, received], PUBLIC) == []


def test_a_violated_constraint_is_named_with_its_cells() -> None:
    sent, received, sends, receives = honest()
    sends.square[1] = 17
    receives.message[2, 1] = 17
    (finding,) = check_circuit(CIRCUIT, [sent, received], PUBLIC)
    assert finding == ConstraintFinding("sends", 1, "square", {"n": 4, "square": 17})
    assert str(finding) == "table sends, row 1: constraint 'square' fails (n=4, square=17)"


def test_a_violated_step_shows_the_successor() -> None:
    sent, *_ = honest()
    sent[2:, 1] = [9, 6]
    steps = [f for f in check_table(Sends(), sent, [3, 6]) if f.constraint == "steps by 1"]  # type: ignore[union-attr]
    assert [(f.row, f.cells) for f in steps] == [(1, {"n": 4, "next.n": 9}), (2, {"n": 9, "next.n": 6})]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("public", "name", "row"), [([4, 6], "starts at the first", 0), ([3, 7], "ends at the last", 3)]
)
def test_public_values_are_checked(public: list[int], name: str, row: int) -> None:
    sent, received, *_ = honest()
    (finding,) = check_circuit(CIRCUIT, [sent, received], [public, []])
    assert isinstance(finding, ConstraintFinding)
    assert (finding.constraint, finding.row) == (name, row)


def test_a_column_type_is_checked() -> None:
    sent, received, sends, _ = honest()
    sends.real[0] = 2
    found = check_circuit(CIRCUIT, [sent, received], PUBLIC)
    assert ConstraintFinding("sends", 0, "real is a bit", {"real": 2}) in found


def test_a_changed_message_is_missing_and_superfluous() -> None:
    sent, received, _, receives = honest()
    receives.message[1, 2] = 8
    found = check_circuit(CIRCUIT, [sent, received], PUBLIC)
    assert found == [
        BusFinding("token", {"number": [5], "value": [25, 7]}, 1, [("sends", 2, 1)]),
        BusFinding("token", {"number": [5], "value": [25, 8]}, -1, [("receives", 1, -1)]),
    ]
    assert "bus token: message {'number': [5], 'value': [25, 7]} has net count +1 (at sends row 2 (+1))" in str(
        found[0]
    )


def test_a_repeated_message_is_counted() -> None:
    sent, received, _, _ = honest()
    received[4] = received[0]
    (finding,) = check_circuit(CIRCUIT, [sent, received], PUBLIC)
    assert isinstance(finding, BusFinding)
    assert finding.count == -1
    assert sorted(finding.rows) == [("receives", 0, -1), ("receives", 4, -1), ("sends", 3, 1)]


def test_a_missing_table_unbalances() -> None:
    sent, *_ = honest()
    found = check_circuit(CIRCUIT, [sent, None], PUBLIC)
    assert len(found) == 4
    assert all(isinstance(f, BusFinding) and f.count == 1 for f in found)


def test_counts_add_up_in_the_field() -> None:
    sent, received, *_ = honest()
    received[4] = [MODULUS - 1, 6, 36, 7]
    received[5] = [1, 6, 36, 7]
    found = check_circuit(CIRCUIT, [sent, received], PUBLIC)
    assert found == [ConstraintFinding("receives", 4, "real is a bit", {"real": MODULUS - 1})]


def test_findings_are_limited() -> None:
    sent, received, _, receives = honest()
    sent[:, 2] = 0
    receives.message = 0
    found = check_circuit(CIRCUIT, [sent, received], PUBLIC, limit=2)
    assert [type(f) for f in found] == [ConstraintFinding] * 2 + [BusFinding] * 2


@pytest.mark.parametrize(
    ("trace", "public", "reason"),
    [
        (np.zeros((4, 2), np.uint32), [3, 6], "shape (4, 2) does not have width 3"),
        (np.zeros(12, np.uint32), [3, 6], "shape (12,) does not have width 3"),
        (np.zeros((3, 3), np.uint32), [3, 6], "height 3 is not a power of two"),
        (np.zeros((0, 3), np.uint32), [3, 6], "height 0 is not a power of two"),
        (np.full((4, 3), MODULUS, np.uint32), [3, 6], f"value {MODULUS} is not below the modulus"),
        (np.zeros((4, 3), np.uint32), [3], "1 public values instead of 2"),
    ],
)
def test_traces_of_wrong_shape_are_named(trace: Matrix, public: list[int], reason: str) -> None:
    found = check_circuit(CIRCUIT, [trace, None], [public, []])
    assert found == [ShapeFinding("sends", reason)]
    assert str(found[0]) == f"table sends: {reason}"


def test_every_table_needs_a_trace() -> None:
    sent, *_ = honest()
    with pytest.raises(ValueError, match=r"shorter|longer"):
        check_circuit(CIRCUIT, [sent], PUBLIC)


def test_findings_do_not_depend_on_how_many_rows_are_evaluated_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, received, sends, receives = honest()
    sends.square[2] += 1
    receives.message[1, 2] = 8
    whole = check_circuit(CIRCUIT, [sent, received], PUBLIC)
    assert len(whole) == 3
    monkeypatch.setattr(import_module("circuits.air.evaluate"), "_BLOCK_ROWS", 1)
    monkeypatch.setattr(import_module("circuits.air.evaluate"), "_BLOCK_VALUES", 1)
    assert check_circuit(CIRCUIT, [sent, received], PUBLIC) == whole


def test_rows_are_grouped_by_all_of_their_cells() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2, (500, 6)).astype(np.uint32) * np.uint32(1 << 30)
    order, starts = _equal_rows(rows)
    groups = np.split(order, starts[1:])
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert len(groups) == len(np.unique(rows, axis=0))
    assert all((rows[group] == rows[group[0]]).all() for group in groups)
