"""The gadget that decides whether a cost can be paid: no gas and no cost within its bounds can be lied about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.air.layout import Layout, allocate, bit, element, nested
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.frames.gas import Charge
from circuits.functions import range as range_table

#: What unchecked steps of a frame can take at most, and the costs that are charged then (see `circuits.frames.gas`).
UNCHECKED = 369 << 20
MOST = (1 << 29) + (1 << 23)


class Columns(Layout):
    """A charge."""

    real = bit("1 on rows with a charge")
    gas = element("gas left", by="the test")
    cost = element("cost", by="the test")
    charge = nested(Charge)


class Charges(Table):
    """Charges, one a row."""

    name = "charges"
    layout = Columns

    def constraints(self, air: Air) -> None:
        Charge.constrain(air, air.row.charge, air.row.gas, air.row.cost)


def accepted(gas: int, cost: int, fails: int) -> bool:
    """Whether anything objects to this outcome."""
    table: Table = Charges()
    matrix, rows = allocate(Columns, 1)
    rows.real, rows.gas, rows.cost = 1, gas % MODULUS, cost
    amount: Any = (cost - gas - 1 if fails else gas - cost) % MODULUS
    rows.charge.fails, rows.charge.margin = fails, amount & 0xFFFF
    limbs = range_table.RANGE_16.fill(queries(RANGE16, [(table, matrix)])[:, 0])
    circuit = Circuit("charges", [table, range_table.RANGE_16])
    return not check_circuit(circuit, [matrix, limbs], [[], []], algebra=NATIVE)


@pytest.mark.parametrize("gas", [0, 1, 99, 100, 1 << 29, MODULUS - (1 << 30) - 1, MODULUS - (1 << 30), (1 << 30) - 1])
@pytest.mark.parametrize("cost", [0, 1, 100, 1 << 29, MOST, (1 << 30) - (1 << 27)])
def test_only_the_truth_is_accepted(gas: int, cost: int) -> None:
    assert accepted(gas, cost, int(cost > gas))
    assert not accepted(gas, cost, int(cost <= gas))


@pytest.mark.parametrize("gas", [-1, -(1 << 20), -UNCHECKED])
@pytest.mark.parametrize("cost", [0, 100, MOST])
def test_negative_gas_pays_nothing(gas: int, cost: int) -> None:
    assert not accepted(gas, cost, 0)


def test_random_amounts() -> None:
    rng = np.random.default_rng(1)
    for gas, cost in rng.integers(0, [1 << 30, MOST], (40, 2)).tolist():
        assert accepted(gas, cost, int(cost > gas))
        assert not accepted(gas, cost, int(cost <= gas))
