"""Gas: why it is counted right, and the columns that prove an amount of it to be payable.

A step with a small constant cost only subtracts it. Where the cost is large or depends on data, and wherever a
frame ends successfully or gas is read, `Charge` or `GasLimb` proves that gas is in [0, 2^30). The tables that do not
look cost at most `UNCHECKED_GAS` together for one row of each (`tests.circuits.test_bounds` adds it up), and the
verifier admits 2^21 rows a table: unchecked steps of a frame take at most 369 * 2^20 gas, what small memories cost
included. So gas stays above -369 * 2^20 > -2^29, and since the modulus minus 2^30 is above 2^29 a negative balance
never looks like one in [0, 2^30). Running on below zero changes nothing, because such a frame can only end by an
exceptional halt, which takes all gas and undoes all effects.

A transaction may have a gas limit of up to 64 bits. What exceeds `MAX_GAS` is set aside as the frame's *reserve*: steps
count down the rest, which must do for all of them. A frame with a reserve cannot be proved to lack gas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import INVERSE_2_16
from circuits.air.gadgets.basic import range_check
from circuits.air.gadgets.words import constrain_sum, sum_carries
from circuits.air.layout import RANGE, Layout, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.frames.buses import CALL_GAS
from circuits.statement import gas_limbs
from circuits.widths import U64

#: Gas of all tables that do not prove it to be payable, one row of each, and what small memories cost a frame
#: (`circuits.instructions.memory`).
UNCHECKED_GAS = 184
MAX_SMALL_MEMORY_GAS = 3 * 2**11 + 2**22 // 512

#: What `Charge` may subtract from gas that is negative perhaps.
MAX_COST = 2**29 + 2**23

#: Gas stays below 2^30; its upper limb has 14 bits.
GAS_BITS = 30
_HIGH_BITS = GAS_BITS - 16


class GasLimb(Layout):
    """The low limb of an amount that is proved to be in [0, 2^30)."""

    low = limb("low limb of the amount", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Any, amount: Expression, count: Operand) -> None:
        """`amount` is in [0, 2^30) where `count` is 1; the table's selector must be 1 there, too."""
        range_check(air, (amount - cells.low) * INVERSE_2_16, _HIGH_BITS, count)

    @staticmethod
    def limbs(air: Air, cells: Any, amount: Expression) -> list[Any]:
        """The four limbs of an amount of gas that is below 2^30."""
        return [cells.low, (amount - cells.low) * INVERSE_2_16, air.constant(0), air.constant(0)]

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

        Costs must be at most `MAX_COST`, which pays all of the memory and moves it, unless gas is known not to be
        negative: then below 2^30 - 2^27. The modulus minus 2^30 is 2^30 - 2^27 + 1. So where it does not fail, the
        amount in [0, 2^30) is gas - cost itself: with gas above -369 * 2^20 (see above) the difference is above
        -(2^30 - 2^27). Where it fails, the amount in [0, 2^30 - 2^27) is cost - gas - 1, which is at least -2^30.
        """
        margin = gas - cost
        amount = margin + cells.fails * (-1 - 2 * margin)
        real = air.row.real
        high = (amount - cells.margin) * INVERSE_2_16
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


def constrain_total(
    air: Air, terms: Sequence[Sequence[Any]], carries: Sequence[Sequence[Any]], result: Sequence[Any], *, name: str
) -> None:
    """The sum of at most four amounts of four limbs is `result`, without a carry out of the last limb.

    `carries`: two bits for each limb but the last, so both sides of a limb's equation are below 2^18 + 4. Limbs are
    pinned by their owners.
    """
    carry: Operand = 0
    for i in range(U64):
        left = air.graph.lift(carry)
        for term in terms:
            left = left + term[i]
        carry = carries[i][0] + carries[i][1] * 2 if i < U64 - 1 else air.constant(0)
        air.require(left - result[i] - carry * (1 << 16), f"{name}: limb {i}")


def total_carries(*terms: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The carries (rows, 3, 2) of `constrain_total`; terms: limbs (rows, 4)."""
    carry = np.zeros(len(terms[0]), dtype=np.int64)
    carries = np.zeros((len(terms[0]), U64 - 1, 2), dtype=np.int64)
    for i in range(U64 - 1):
        carry = (carry + sum(term[:, i].astype(np.int64) for term in terms)) >> 16
        carries[:, i, 0], carries[:, i, 1] = carry & 1, carry >> 1
    return carries


class Division(Layout):
    """How an instruction that opens a frame divides its gas, reserves included, between itself and the frame."""

    available = limb("gas behind the cost of the instruction", U64, by=RANGE)
    available_carry = bit("carry out of each limb of its sum", U64 - 1)
    given = limb("what the opened frame gets, without a stipend", U64, by="call_gas bus")
    counted = limb("what of it that frame counts, below 2^30", 2, by=RANGE)
    reserved = limb("what of it is that frame's reserve", U64, by=RANGE)
    given_carry = bit("carry out of each limb of the sum of both", U64 - 1)
    left = element("what is left of it without a reserve, below 2^30", by="result bus, or 0")
    left_limb = nested(GasLimb, "that in limbs")
    left_reserve = limb("what is left of it beyond that", U64, by="result bus, or 0")
    total = limb("gas available and left", U64, by=RANGE)
    total_carry = bit("bits of the carry out of each limb of that sum", (U64 - 1, 2))
    after = limb("gas afterwards without the reserve, below 2^30", 2, by=RANGE)
    reserve_after = limb("the reserve afterwards", U64, by=RANGE)
    after_carry = bit("bits of the carry out of each limb of given + after + reserve_after", (U64 - 1, 2))

    @staticmethod
    def constrain(
        air: Air, cells: Any, rest: Expression, rest_low: Any, reserve: Sequence[Any], requested: Sequence[Any]
    ) -> None:
        """For rows that are real.

        Args:
            rest, rest_low: gas behind the cost, proved to be in [0, 2^30), and its low limb.
            reserve: of the frame, in limbs.
            requested: gas asked for, a word.

        Where a reserve is cut is the prover's choice: a frame's gas is the sum of both, and a frame with a reserve
        cannot lack gas.
        """
        real, zero = air.row.real, air.constant(0)
        parts = [rest_low, (rest - rest_low) * INVERSE_2_16, zero, zero]
        constrain_sum(air, parts, reserve, cells.available_carry, cells.available, name="available")
        air.query(CALL_GAS, cells.available, requested, cells.given, count=real)
        for amount in (cells.counted, cells.after):
            range_check(air, amount[1], _HIGH_BITS, real)
        counted = [*cells.counted, zero, zero]
        constrain_sum(air, counted, cells.reserved, cells.given_carry, cells.given, name="given")
        GasLimb.constrain(air, cells.left_limb, cells.left, real)
        left = GasLimb.limbs(air, cells.left_limb, cells.left)
        terms = (cells.available, left, cells.left_reserve)
        constrain_total(air, terms, cells.total_carry, cells.total, name="total")
        after = [*cells.after, zero, zero]
        terms = (cells.given, after, cells.reserve_after)
        constrain_total(air, terms, cells.after_carry, cells.total, name="after")

    @staticmethod
    def amount(limbs: Any) -> Expression:
        """An amount below 2^30 from its two lower limbs."""
        amount: Expression = limbs[0] + limbs[1] * (1 << 16)
        return amount

    @staticmethod
    def fill(
        cells: Any,
        rest: NDArray[np.int64],
        reserve: NDArray[np.uint64],
        given: NDArray[np.uint64],
        reserved: NDArray[np.uint64],
        left: NDArray[np.int64],
        left_reserve: NDArray[np.uint64],
        reserve_after: NDArray[np.uint64],
    ) -> None:
        """All (rows,): `rest` of the row's own gas, `given` with `reserved` being a part of it, and so on."""

        def limbs(amount: NDArray[Any]) -> NDArray[np.int64]:
            return gas_limbs(amount).astype(np.int64)

        available = rest.astype(np.uint64) + reserve
        total = available + left.astype(np.uint64) + left_reserve
        after = total - given - reserve_after
        counted = given - reserved
        cells.available = limbs(available)
        cells.available_carry = sum_carries(limbs(rest), limbs(reserve))
        cells.given = limbs(given)
        cells.counted, cells.reserved = limbs(counted)[:, :2], limbs(reserved)
        cells.given_carry = sum_carries(limbs(counted), limbs(reserved))
        cells.left, cells.left_reserve = left, limbs(left_reserve)
        GasLimb.fill(cells.left_limb, left)
        cells.total = limbs(total)
        cells.total_carry = total_carries(limbs(available), limbs(left), limbs(left_reserve))
        cells.after, cells.reserve_after = limbs(after)[:, :2], limbs(reserve_after)
        cells.after_carry = total_carries(limbs(given), limbs(after), limbs(reserve_after))
