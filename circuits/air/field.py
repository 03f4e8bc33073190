"""The base field BabyBear in numpy.

Elements are canonical `uint32` in traces and `uint64` in arithmetic: the product of two elements is below 2^62, and a
sum of two below 2^32, so every operation is exact before its reduction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: 15 * 2^27 + 1, the BabyBear prime.
MODULUS = 2013265921

#: Takes the low limb from a number that is left when it is subtracted: what remains is the upper limbs.
INVERSE_2_16 = pow(1 << 16, -1, MODULUS)

Elements = NDArray[np.uint64]
Matrix = NDArray[np.uint32]

_P = np.uint64(MODULUS)


def add(a: Elements, b: Elements) -> Elements:
    """Sum of two arrays of elements (`uint64`, broadcast)."""
    return (a + b) % _P


def sub(a: Elements, b: Elements) -> Elements:
    """Difference of two arrays of elements (`uint64`, broadcast)."""
    return (a + (_P - b)) % _P


def mul(a: Elements, b: Elements) -> Elements:
    """Product of two arrays of elements (`uint64`, broadcast)."""
    return (a * b) % _P


def power(a: Elements, exponent: int) -> Elements:
    """`a ** exponent` by square and multiply (`uint64`)."""
    result = np.ones_like(a)
    base = a
    while exponent:
        if exponent & 1:
            result = mul(result, base)
        base = mul(base, base)
        exponent >>= 1
    return result


def inverse(a: Elements) -> Elements:
    """Multiplicative inverse by Fermat's little theorem; the inverse of zero is zero."""
    return power(a, MODULUS - 2)


def from_signed(a: NDArray[np.int64]) -> Elements:
    """Signed integers above -MODULUS as canonical elements."""
    return (a % MODULUS).astype(np.uint64)
