"""The gas that a message call is given: at most all but one 64th of what its caller has left (EIP-150).

Source: execution-specs `cancun/vm/gas.py`, `calculate_message_call_gas` and `max_message_call_gas`. The stipend of a
call that moves value is not in it. A creation requests all there is: any word that is large enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.distinct import distinct_rows
from circuits.air.expression import Operand
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import range_check, select, total
from circuits.air.layout import RANGE, Layout, allocate, bit, element, limb
from circuits.air.table import Air, Table
from circuits.component import Answering
from circuits.frames.buses import CALL_GAS
from circuits.limbs import Limbs
from circuits.statement import gas_limbs
from circuits.widths import U64, WORD

_BASE = 1 << 16
#: A caller keeps one 64th of its gas: 64 is 2^6, and a limb without its lowest 6 bits has 10.
_KEPT_BITS = 6
_QUOTIENT_BITS = 16 - _KEPT_BITS
#: Gas below 2^32, nearly all, has a table with fewer columns.
SMALL_LIMBS = 2


def call_gas(available: NDArray[np.uint64], requested: Limbs) -> NDArray[np.uint64]:
    """Gas (n,) that calls are given: of `available` (n,), `requested` being words (n, 16)."""
    most = available - (available >> np.uint64(_KEPT_BITS))
    low = _integers(requested[:, :U64])
    given: NDArray[np.uint64] = np.where(requested[:, U64:].any(axis=1), most, np.minimum(low, most))
    return given


def call_gas_columns(limbs: int) -> type[Layout]:
    """The layout for available gas of this many limbs."""

    class CallGasColumns(Layout):
        """One question per row."""

        real = bit("1 on rows that answer")
        multiplicity = element("how often it is asked", by="balance of the call_gas bus; 0 on padding")
        asked = element("inverse of the multiplicity, 0 on padding", by="its constraint")
        quotient = limb("each limb of the available gas, divided by 64", limbs, by="10-bit range check")
        remainder = bit("bits of what is left of it, the lowest first", (limbs, _KEPT_BITS))
        most = limb("all but one 64th of the available gas", limbs, by=RANGE)
        kept_borrow = bit("borrow into each limb but the first, where the 64th is subtracted", limbs - 1)
        requested = limb("requested gas, as many limbs as there is gas", limbs, by="querier")
        upper = limb(
            "its other limbs",
            WORD - limbs,
            by="querier",
            free="another true statement: a request that is large enough may be larger",
        )
        less = bit("1: less is requested than that")
        difference = limb("requested - most, or most - requested - 1 where it is less", limbs, by=RANGE)
        borrow = bit("borrow into each limb's successor, where they are subtracted", limbs)
        inverse = element("of the sum of the request's upper limbs where the last one borrows", by="its constraint")

    return CallGasColumns


class CallGas(Table):
    """min(requested, available - available // 64).

    With `less` the request is below `most`, limb by limb and without a borrow out of the last one; without, it is at
    least `most`, or something in its upper limbs pays for that borrow.
    """

    row_order = "every row is a statement of its own"

    def __init__(self, name: str, limbs: int) -> None:
        """For available gas of this many limbs."""
        self.name = name
        self.limbs = limbs
        self.layout = call_gas_columns(limbs)

    def constraints(self, air: Air) -> None:
        row, limbs = air.row, self.limbs
        air.require(row.multiplicity * (1 - row.real), "padding answers nothing")
        air.require(row.multiplicity * row.asked - row.real, "other rows answer something")
        air.require(row.asked * (1 - row.real), "padding has no inverse")
        remainders = [total([b * (1 << k) for k, b in enumerate(bits)]) for bits in row.remainder]
        available = [q * (1 << _KEPT_BITS) + r for q, r in zip(row.quotient, remainders, strict=True)]
        for quotient in row.quotient:
            range_check(air, quotient, _QUOTIENT_BITS, row.real)
        # Both sides of a limb's equation stay within +-2^18.
        kept_borrow: Operand = 0
        for i in range(limbs):
            kept = row.quotient[i] + (remainders[i + 1] * (1 << _QUOTIENT_BITS) if i + 1 < limbs else 0)
            out: Operand = row.kept_borrow[i] * _BASE if i + 1 < limbs else 0
            air.require(available[i] - kept - kept_borrow + out - row.most[i], f"all but one 64th: limb {i}")
            kept_borrow = row.kept_borrow[i] if i + 1 < limbs else 0
        borrow: Operand = row.less
        for i in range(limbs):
            larger = (row.requested[i] - row.most[i]) * (1 - row.less * 2)
            air.require(larger - borrow + row.borrow[i] * _BASE - row.difference[i], f"comparison: limb {i}")
            borrow = row.borrow[i]
        # The sum of limbs is 0 only if all of them are.
        upper = total(row.upper)
        air.require(row.less * upper, "a small request has no upper limbs")
        air.require(row.borrow[-1] * (upper * row.inverse - 1), "a borrow is paid by the upper limbs")
        air.require((1 - row.borrow[-1]) * row.inverse, "no inverse without a borrow")
        given = [select(row.less, row.requested[i], row.most[i]) for i in range(limbs)]
        zeros = [air.constant(0)] * (U64 - limbs)
        request = (row.requested, row.upper)
        air.provide(CALL_GAS, available, zeros, request, given, zeros, multiplicity=row.multiplicity)


SMALL_CALL_GAS = CallGas("call_gas_small", SMALL_LIMBS)
LARGE_CALL_GAS = CallGas("call_gas_large", U64)


def answer_call_gas(queries: NDArray[np.uint32], table: CallGas) -> Matrix | None:
    """The queries (n, 24) for this table; those that are not true are left to unbalance the bus."""
    asked, counts, _ = distinct_rows(queries)
    small = ~asked[:, SMALL_LIMBS:U64].any(axis=1)
    mine = (asked < _BASE).all(axis=1) & (small == (table.limbs == SMALL_LIMBS))
    asked, counts = asked[mine], counts[mine]
    available, requested = _integers(asked[:, :U64]), asked[:, U64 : U64 + WORD]
    true = call_gas(available, requested.astype(np.uint16)) == _integers(asked[:, U64 + WORD :])
    asked, counts, available, requested = asked[true], counts[true], available[true], requested[true]
    if not len(asked):
        return None
    limbs = table.limbs
    matrix, rows = allocate(table.layout, len(asked))
    rows.real = 1
    rows.multiplicity = counts
    rows.asked = arithmetic.inverse(counts.astype(np.uint64))
    parts = asked[:, :limbs]
    rows.quotient = parts >> _KEPT_BITS
    rows.remainder = parts[:, :, None] >> np.arange(_KEPT_BITS, dtype=np.uint32) & 1
    kept = available >> np.uint64(_KEPT_BITS)
    most = available - kept
    rows.most = gas_limbs(most)[:, :limbs]
    rows.kept_borrow = _borrows(available, kept, limbs)[:, :-1]
    rows.requested, rows.upper = requested[:, :limbs], requested[:, limbs:]
    # What is compared are the lower limbs; `upper` makes a request larger than anything available.
    low = _integers(requested[:, :limbs])
    upper = requested[:, limbs:].sum(axis=1, dtype=np.uint64)
    less = (upper == 0) & (low < most)
    rows.less = less
    first, second = np.where(less, most, low), np.where(less, low, most)
    rows.difference = gas_limbs(first - second - less)[:, :limbs]
    borrow = _borrows(first, second, limbs, less)
    rows.borrow = borrow
    rows.inverse = np.where(borrow[:, -1], arithmetic.inverse(upper), 0)
    return matrix


def _integers(limbs: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """Up to four limbs (n, k) as integers (n,)."""
    shifts = np.arange(limbs.shape[1], dtype=np.uint64) * np.uint64(16)
    result: NDArray[np.uint64] = (limbs.astype(np.uint64) << shifts).sum(axis=1, dtype=np.uint64)
    return result


def _borrows(
    a: NDArray[np.uint64], b: NDArray[np.uint64], limbs: int, first: NDArray[np.bool_] | bool = False
) -> NDArray[np.bool_]:
    """Borrows (n, limbs) into each limb's successor in a - b - first, all (n,); b + first is below 2^64."""
    masks = np.array([(1 << 16 * (i + 1)) - 1 for i in range(limbs)], dtype=np.uint64)
    subtracted = (b[:, None] & masks) + np.reshape(np.asarray(first, dtype=np.uint64), (-1, 1))
    borrows: NDArray[np.bool_] = (a[:, None] & masks) < subtracted
    return borrows


COMPONENTS = (
    Answering(SMALL_CALL_GAS, CALL_GAS, lambda _, asked: answer_call_gas(asked, SMALL_CALL_GAS)),
    Answering(LARGE_CALL_GAS, CALL_GAS, lambda _, asked: answer_call_gas(asked, LARGE_CALL_GAS)),
)
