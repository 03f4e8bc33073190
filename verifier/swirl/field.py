"""Arithmetic of the protocol: arrays of elements of BabyBear and of its extension of degree 4.

Base elements are canonical `uint64` arrays (`circuits.air.field`); of those of the extension F_p[X] / (X^4 - 11), the
challenge field, the last axis holds the four coefficients, lowest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Union

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import MODULUS, Elements, mul, power

DEGREE: Final = 4
NON_RESIDUE: Final = 11
TWO_ADICITY: Final = 27
#: 31 generates the multiplicative group, whose order is 15 * 2^27.
_ROOT: Final = pow(31, 15, MODULUS)

_P: Final = np.uint64(MODULUS)
_HALF: Final = np.uint64((MODULUS + 1) // 2)


def _reduction() -> Elements:
    """(16, 4): to which coefficient of a product, and how often, the product of coefficients i and j adds."""
    table = np.zeros((DEGREE, DEGREE, DEGREE), dtype=np.uint64)
    for i in range(DEGREE):
        for j in range(DEGREE):
            table[i, j, (i + j) % DEGREE] = 1 if i + j < DEGREE else NON_RESIDUE
    return table.reshape(DEGREE * DEGREE, DEGREE)


_REDUCTION: Final = _reduction()

Operand = Union["Extension", Elements, int]


class Extension:
    """An array of elements of the extension field, with the operators of numpy and broadcasting as there.

    The other operand may be an array of base elements or an integer of any sign.

    Attributes:
        cells: (..., 4) `uint64`, canonical.
    """

    __slots__ = ("cells",)
    __array_ufunc__ = None  # numpy leaves mixed operators to this class

    def __init__(self, cells: NDArray[np.uint64]) -> None:
        self.cells = cells

    @staticmethod
    def of(value: Operand) -> Extension:
        """Base elements (any shape) as elements of the extension."""
        if isinstance(value, Extension):
            return value
        base = np.asarray(value % MODULUS if isinstance(value, int) else value, dtype=np.uint64)
        cells = np.zeros((*base.shape, DEGREE), dtype=np.uint64)
        cells[..., 0] = base
        return Extension(cells)

    @staticmethod
    def stack(elements: Sequence[Extension]) -> Extension:
        """Elements of one shape along a new first axis; of none, an empty vector."""
        if not elements:
            return Extension(np.zeros((0, DEGREE), dtype=np.uint64))
        return Extension(np.stack([element.cells for element in elements]))

    @staticmethod
    def concatenate(parts: Sequence[Extension]) -> Extension:
        """Vectors, of which there is at least one, one behind the other."""
        return Extension(np.concatenate([part.cells for part in parts]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array of elements."""
        return self.cells.shape[:-1]

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[Extension]:
        return (Extension(cells) for cells in self.cells)

    def __getitem__(self, index: int | slice | NDArray[np.int64]) -> Extension:
        """Along the first axis."""
        return Extension(self.cells[index])

    def __add__(self, other: Operand) -> Extension:
        return Extension((self.cells + Extension.of(other).cells) % _P)

    def __sub__(self, other: Operand) -> Extension:
        return Extension((self.cells + (_P - Extension.of(other).cells)) % _P)

    def __rsub__(self, other: Operand) -> Extension:
        return Extension.of(other) - self

    def __mul__(self, other: Operand) -> Extension:
        if not isinstance(other, Extension):
            base = np.asarray(other % MODULUS if isinstance(other, int) else other, dtype=np.uint64)
            return Extension(mul(self.cells, base[..., None]))
        products = mul(self.cells[..., :, None], other.cells[..., None, :])
        # Each coefficient is a sum of at most 4 products below 2^31, times at most 11.
        return Extension(products.reshape(*products.shape[:-2], DEGREE * DEGREE) @ _REDUCTION % _P)

    __radd__ = __add__
    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        """Whether all elements are equal."""
        if not isinstance(other, Extension | int | np.ndarray):
            return NotImplemented
        return bool((self.cells == Extension.of(other).cells).all())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Extension({self.cells.tolist()})"

    def sum(self) -> Extension:
        """Of a vector of fewer than 2^33 elements."""
        return Extension(self.cells.sum(axis=0) % _P)

    def half(self) -> Extension:
        """Divided by two."""
        return Extension(self.cells * _HALF % _P)

    def powers(self, count: int) -> Extension:
        """1, x, x^2, ... (count,) of a single element."""
        found = Extension.of(np.ones(1, dtype=np.uint64))
        factor = self
        while len(found) < count:
            found = Extension.concatenate([found, found * factor])
            factor = factor * factor
        return found[:count]

    def squarings(self, count: int) -> Extension:
        """x, x^2, x^4, ... (count, ...)."""
        found = [self]
        while len(found) < count:
            found.append(found[-1] * found[-1])
        return Extension.stack(found[:count])

    def to_power_of_two(self, exponent: int) -> Extension:
        """x^(2^exponent)."""
        found = self
        for _ in range(exponent):
            found = found * found
        return found


ONE: Final = Extension.of(1)
ZERO: Final = Extension.of(0)


def product(factors: Extension) -> Extension:
    """Of the elements along the first axis."""
    found = ONE
    for factor in factors:
        found = found * factor
    return found


def dot(left: Extension, right: Extension | Elements) -> Extension:
    """Inner product of vectors."""
    return (left * right).sum()


def root_of_unity(log_order: int) -> int:
    """The generator of the subgroup of order 2^log_order, at most 2^27, that the protocol fixes."""
    return pow(_ROOT, 1 << (TWO_ADICITY - log_order), MODULUS)


def roots_of_unity(log_order: int) -> Elements:
    """Its powers, (2^log_order,), the first one 1."""
    return base_powers(root_of_unity(log_order), np.arange(1 << log_order, dtype=np.uint64))


def base_powers(base: int, exponents: NDArray[np.uint64]) -> Elements:
    """`base` to exponents below 2^32, whatever their shape."""
    found = np.ones_like(exponents)
    factor = base
    for bit in range(int(exponents.max(initial=0)).bit_length()):
        found = np.where(exponents >> np.uint64(bit) & np.uint64(1), found * np.uint64(factor) % _P, found)
        factor = factor * factor % MODULUS
    return found


def base_to_power_of_two(base: Elements, exponent: int) -> Elements:
    """base^(2^exponent)."""
    return power(base, 1 << exponent)
