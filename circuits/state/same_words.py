"""Which words are equal: a gadget that tells equal from unequal words in a few columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, inverse
from circuits.air.gadgets.basic import total
from circuits.air.layout import Layout, bit, element
from circuits.air.table import Air
from circuits.widths import WORD

#: Why the cells of `SameWords` may change, together: every point that is no root gives the same flags.
_ANY_POINT = "another point shows the same: that unequal words differ"

#: Powers that are columns; every other one up to 15 is the product of two of them.
_POWERS = (2, 3, 4, 8, 12)


class _SameWords(Layout):
    """Columns of some comparisons; made by `SameWords`."""

    pairs = 0


@cache
def SameWords(count: int) -> type[_SameWords]:  # noqa: N802 - a layout family reads like a layout
    """The layout of `count` comparisons of two words.

    Words differ exactly when the polynomial of their limbs' differences is not zero, and then it is nonzero at all but
    15 points. The prover names a point x where the polynomials of all unequal pairs are nonzero. A root helps no liar:
    a pair whose polynomial vanishes at x must be equal, limb by limb.
    """

    class Same(_SameWords):
        """Comparisons of words."""

        same = bit("1 where the words of a pair are equal", count)
        point = element("x", by="the prover's choice", free=_ANY_POINT)
        powers = element("x^2, x^3, x^4, x^8, x^12", len(_POWERS), by="products of the others", free=_ANY_POINT)
        value = element("polynomial of each pair's difference at x", count, by="the limbs", free=_ANY_POINT)
        inverse = element("inverse of each polynomial, or 0", count, by="is-zero constraints", free=_ANY_POINT)

    Same.pairs = count
    return Same


def constrain_same(
    air: Air, cells: Any, pairs: Sequence[tuple[Sequence[Any], Sequence[Any]]], when: Expression
) -> None:
    """`cells.same` of each pair where `when` is 1; where it is 0 all cells but the powers are 0."""
    x, (x2, x3, x4, x8, x12) = cells.point, cells.powers
    for power, product, name in (
        (x2, x * x, "x^2"),
        (x3, x * x2, "x^3"),
        (x4, x2 * x2, "x^4"),
        (x8, x4 * x4, "x^8"),
        (x12, x4 * x8, "x^12"),
    ):
        air.require(power - product, f"powers: {name}")
    air.require((1 - when) * x, "idle point")
    one = air.constant(1)
    low, high = (one, x, x2, x3), (one, x4, x8, x12)
    for i, (left, right) in enumerate(pairs):
        same, value, inverted = cells.same[i], cells.value[i], cells.inverse[i]
        differences = [air.graph.lift(a) - b for a, b in zip(left, right, strict=True)]
        # On idle rows x is 0, and only the first difference is left.
        first = differences[0] * when
        terms = [differences[k] * low[k % 4] * high[k // 4] for k in range(1, WORD)]
        air.require(value - total([first, *terms]), f"pair {i}: polynomial")
        air.require(value * inverted - when + same, f"pair {i}: value * inverse = 1 - same")
        air.require(inverted * same, f"pair {i}: inverse * same = 0")
        air.require((1 - when) * inverted, f"pair {i}: idle inverse")
        for k, difference in enumerate(differences):
            air.require(difference * same, f"pair {i}: equal limb {k}")


def fill_same(cells: Any, pairs: Sequence[tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]]) -> None:
    """`pairs`: words of the active rows, (rows, 16)."""
    differences = [(a.astype(np.int64) - b.astype(np.int64)) % MODULUS for a, b in pairs]
    x = np.ones(len(differences[0]), dtype=np.int64)
    while True:  # at most 1 + 15 points for each pair
        powers = np.ones((len(x), WORD), dtype=np.int64)
        for k in range(1, WORD):
            powers[:, k] = powers[:, k - 1] * x % MODULUS
        values = [(d * powers % MODULUS).sum(axis=1) % MODULUS for d in differences]
        root = np.any([(v == 0) & d.any(axis=1) for v, d in zip(values, differences, strict=True)], axis=0)
        if not root.any():
            break
        x = x + root
    value = np.stack(values, axis=1)
    cells.same = value == 0
    cells.point = x
    cells.powers = powers[:, _POWERS]
    cells.value = value
    cells.inverse = inverse(value.reshape(-1).astype(np.uint64)).reshape(value.shape)
