"""Gas: why it is counted right, and the columns that prove an amount of it to be payable.

A step with a small constant cost only subtracts it. Where the cost is large or depends on data, and wherever a
frame ends successfully or gas is read, `Charge` or `GasLimb` proves that gas is in [0, 2^30). The tables that do not
look cost at most 180 gas together for one row of each, and the verifier admits 2^21 rows a table: unchecked steps of a
frame take at most 361 * 2^20 gas, what small memories cost included. So gas stays above -361 * 2^20 > -2^29, and since
the modulus minus 2^30 is above 2^29 a negative balance never looks like one in [0, 2^30). Running on below zero changes
nothing, because such a frame can only end by an exceptional halt, which takes all gas and undoes all effects.

A transaction may have a gas limit of up to 64 bits. What exceeds `MAX_GAS` is set aside as the frame's *reserve*: steps
count down the rest, which must do for all of them. A frame with a reserve cannot be proved to lack gas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS
from circuits.air.gadgets.basic import range_check
from circuits.air.layout import RANGE, Layout, bit, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air

#: Gas stays below 2^30; its upper limb has 14 bits.
GAS_BITS = 30
_HIGH_BITS = GAS_BITS - 16
_INVERSE_2_16 = pow(1 << 16, -1, MODULUS)


class GasLimb(Layout):
    """The low limb of an amount that is proved to be in [0, 2^30)."""

    low = limb("low limb of the amount", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Any, amount: Expression, count: Operand) -> None:
        """`amount` is in [0, 2^30) where `count` is 1; the table's selector must be 1 there, too."""
        range_check(air, (amount - cells.low) * _INVERSE_2_16, _HIGH_BITS, count)

    @staticmethod
    def fill(cells: Any, amount: NDArray[np.integer[Any]]) -> None:
        """`amount`: (rows,), below 2^30."""
        cells.low = np.asarray(amount) & 0xFFFF


class Charge(Layout):
    """Whether a cost can be paid: `fails` is 1 exactly when it is above the gas left."""

    fails = bit("1 when the cost is above the gas left")
    margin = limb("low limb of gas - cost, or of cost - gas - 1 when it fails", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Any, gas: Expression, cost: Expression) -> None:
        """Padding has a cost and a gas of 0.

        Costs must be at most 2^29 + 2^23, which pays all of the memory and moves it, unless gas is known not to be
        negative: then below 2^30 - 2^27. The modulus minus 2^30 is 2^30 - 2^27 + 1. So where it does not fail, the
        amount in [0, 2^30) is gas - cost itself: with gas above -361 * 2^20 (see above) the difference is above
        -(2^30 - 2^27). Where it fails, the amount in [0, 2^30 - 2^27) is cost - gas - 1, which is at least -2^30.
        """
        margin = gas - cost
        amount = margin + cells.fails * (-1 - 2 * margin)
        real = air.row.real
        high = (amount - cells.margin) * _INVERSE_2_16
        air.query(RANGE16, high, count=real)
        # A limb itself, it is below 2^14, or below 2^14 - 2^11 where the charge fails.
        free = (1 << 16) - (1 << _HIGH_BITS)
        air.query(RANGE16, high + free + cells.fails * (1 << (_HIGH_BITS - 3)), count=real)
        air.require(cells.fails * (1 - real), "padding does not fail")

    @staticmethod
    def fill(cells: Any, gas: NDArray[np.integer[Any]], cost: NDArray[np.integer[Any]]) -> None:
        """`gas`, `cost`: (rows,)."""
        margin = np.asarray(gas, dtype=np.int64) - np.asarray(cost, dtype=np.int64)
        cells.fails = margin < 0
        cells.margin = np.where(margin < 0, -margin - 1, margin) & 0xFFFF
