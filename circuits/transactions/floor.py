"""The floor of the gas that a transaction uses, by its calldata (EIP-7623)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.gadgets.words import constrain_sum, sum_carries
from circuits.air.layout import RANGE, Layout, bit, limb, nested
from circuits.air.table import Air
from circuits.frames.gas import GasLimb
from circuits.statement import gas_limbs
from circuits.widths import U64

#: A zero byte of calldata is a token, another one is so many (EIP-7623, STANDARD_TOKEN_COST).
TOKENS_PER_NONZERO_BYTE = 4


class CalldataFloor(Layout):
    """The greater one of the gas used by the execution, its refund subtracted, and the floor."""

    applies = bit("1: the floor is above what the execution has used")
    floor = nested(GasLimb, "the floor in limbs")
    spared = limb("gas limit - gas used by the execution", U64, by=RANGE)
    margin = limb("gas used - floor where that is not applied, else gas spared - gas unused - 1", U64, by=RANGE)
    carry = bit("carry out of each limb of their sums", U64 - 1)

    @staticmethod
    def constrain(air: Air, cells: Any, floor: Expression, used: Sequence[Any], unused: Sequence[Any]) -> None:
        """Gas `used` is the greater one of both, which is at most the gas limit, of which `unused` is the rest.

        So a transaction whose gas limit is below its floor, which is not valid, has no row.

        Args:
            floor: below 2^30 (calldata has at most 2^22 bytes, so that it is below 2^28); 0 where the table is padded.
            used, unused: their sum is the gas limit.
        """
        GasLimb.constrain(air, cells.floor, floor, air.row.real)
        lower = GasLimb.limbs(air, cells.floor, floor)
        margins = []
        for i in range(U64):
            above, saved = used[i] - lower[i], cells.spared[i] - unused[i]
            air.require(cells.applies * above, f"the floor is used: limb {i}")
            air.require((1 - cells.applies) * saved, f"no more than the execution has used: limb {i}")
            # One of both is 0.
            margins.append(above + saved)
        strict = [cells.applies, *[air.constant(0)] * (U64 - 1)]
        constrain_sum(air, cells.margin, strict, cells.carry, margins, name="above the other one")

    @staticmethod
    def fill(cells: Any, floor: NDArray[np.int64], used: NDArray[np.uint64], limit: NDArray[np.uint64]) -> None:
        """All (rows,): `used` by the execution, `limit` of the transaction."""
        applies = used < floor.astype(np.uint64)
        cells.applies = applies
        GasLimb.fill(cells.floor, floor)
        cells.spared = gas_limbs(limit - used)
        floors = floor.astype(np.uint64)
        margin = gas_limbs(np.where(applies, floors - used - np.uint64(1), used - floors)).astype(np.int64)
        cells.margin = margin
        # margin + floor = used, or margin + 1 + unused = spared
        strict = gas_limbs(applies)
        rest = np.where(applies[:, None], gas_limbs(limit - floors), gas_limbs(floors))
        cells.carry = sum_carries(margin, strict + rest.astype(np.int64))
