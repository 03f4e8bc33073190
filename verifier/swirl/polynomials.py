"""Polynomials that the protocol's parties agree on: interpolation, and the kernels of equality and rotation.

Tables live on a *prism* D x {0,1}^n: D is the subgroup of order 2^l, the domain of the univariate skip (Gruen,
https://eprint.iacr.org/2024/108), the cube holds the rest of the row number. Points are vectors (1 + n,) whose first
coordinate belongs to D. Bits are ordered with the lowest first.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import MODULUS, Elements, inverse
from verifier.swirl.field import ONE, Extension, base_powers, product, root_of_unity, roots_of_unity


def evaluate(coefficients: Extension, at: Extension | Elements) -> Extension:
    """A polynomial, lowest coefficient first, at points of any shape (Horner)."""
    found = Extension.of(0)
    for coefficient in coefficients[::-1]:
        found = found * at + coefficient
    return found


def interpolate(values: Extension, at: Extension) -> Extension:
    """The polynomial with these values (d + 1,) at 0, 1, ..., d, at a point (Lagrange)."""
    degree = len(values) - 1
    found = Extension.of(0)
    for i, value in enumerate(values):
        term, denominator = value, 1
        for j in range(degree + 1):
            if j != i:
                term = term * (at - j)
                denominator = denominator * (i - j) % MODULUS
        found = found + term * pow(denominator, -1, MODULUS)
    return found


def equality(x: Extension, y: Extension | Elements) -> Extension:
    """eq(x, y) on the cube: the product over the first axis of x y + (1 - x)(1 - y)."""
    both = x * y
    return product(both + both - x - y + 1)


def mobius_equality(u: Extension, x: Extension) -> Extension:
    """The product of (1 - 2u)(1 - x) + u x: what eq becomes between coefficients and values on the cube."""
    return product((1 - u - u) * (1 - x) + u * x)


def multilinear(values: Extension, at: Extension) -> Extension:
    """The multilinear polynomial with these values (2^n,) on the cube, at a point (n,)."""
    for coordinate in reversed(list(at)):
        half = len(values) // 2
        low, high = values[:half], values[half:]
        values = low + coordinate * (high - low)
    return values[0]


def cube_equalities(x: Extension) -> Extension:
    """eq(x, b) for all b of the cube, (2^n,)."""
    found = Extension.of(np.ones(1, dtype=np.uint64))
    for coordinate in x:
        found = Extension.concatenate([found * (1 - coordinate), found * coordinate])
    return found


def domain_equality(log_size: int, x: Extension, y: Extension | int) -> Extension:
    """eq_D(x, y): for y in D the Lagrange polynomial of y, for x and y in D whether they are equal."""
    y = Extension.of(y)
    found = ONE
    for _ in range(log_size):
        found = (x + y) * found + (x - 1) * (y - 1)
        x, y = x * x, y * y
    return found * pow(1 << log_size, -1, MODULUS)


def domain_equality_at_one(log_size: int, x: Extension) -> Extension:
    """eq_D(x, 1)."""
    found = ONE
    for _ in range(log_size):
        found = found * (x + 1)
        x = x * x
    return found * pow(1 << log_size, -1, MODULUS)


def domain_cube_equality(xi: Extension, z: Extension) -> Extension:
    """The sum over i of eq_D(z, omega^i) eq(xi, i): the cube of the GKR point (l,) read as the domain."""
    log_size = len(xi)
    weights = cube_equalities(xi)
    roots = roots_of_unity(log_size)
    return Extension.stack(
        [domain_equality(log_size, z, int(root)) * weight for root, weight in zip(roots, weights, strict=True)]
    ).sum()


def prism_equality(log_size: int, x: Extension, y: Extension) -> Extension:
    """Whether two points of the prism are equal."""
    return domain_equality(log_size, x[0], y[0]) * equality(x[1:], y[1:])


def prism_rotation(log_size: int, x: Extension, y: Extension) -> Extension:
    """Whether x is the row behind y, the first being behind the last.

    Within D the next row is the next root of unity; at its end the cube takes one step, too.
    """
    rotated, same = ONE, ONE
    for a, b in reversed(list(zip(x[1:], y[1:], strict=True))):
        rotated = a * (1 - b) * same + (1 - a) * b * rotated
        same = same * (a * b + (1 - a) * (1 - b))
    following = y[0] * root_of_unity(log_size)
    carries = domain_equality_at_one(log_size, x[0]) * domain_equality_at_one(log_size, following)
    return domain_equality(log_size, x[0], following) * same + carries * (rotated - same)


def is_in_subgroup(log_size: int, log_order: int, z: Extension) -> Extension:
    """1 on the subgroup of order 2^log_order of the domain, 0 on the rest of it."""
    return domain_equality_at_one(log_size - log_order, z.to_power_of_two(log_order))


def is_first_row(log_size: int, point: Extension) -> Extension:
    """The Lagrange polynomial of row 0 of the prism."""
    return domain_equality_at_one(log_size, point[0]) * product(1 - point[1:])


def is_last_row(log_size: int, point: Extension) -> Extension:
    """The Lagrange polynomial of the last row: the domain's last element is the inverse of its generator."""
    return domain_equality_at_one(log_size, point[0] * root_of_unity(log_size)) * product(point[1:])


def fold(values: Extension, challenges: Extension, roots: Elements) -> Extension:
    """Fold codeword values, once for each challenge: f(X^2) = (f(X) + f(-X)) / 2 + a (f(X) - f(-X)) / (2 X).

    Args:
        values: (q, 2^k) at x, w x, w^2 x, ... for w of order 2^k.
        challenges: (k,).
        roots: (q,) the points x.

    Returns:
        (q,) the k times folded polynomial at x^(2^k).
    """
    size = values.shape[1]
    generator = root_of_unity(size.bit_length() - 1)
    points = roots[:, None] * base_powers(generator, np.arange(size // 2, dtype=np.uint64)) % np.uint64(MODULUS)
    cells = values.cells
    for challenge in challenges:
        half = cells.shape[1] // 2
        low, high = Extension(cells[:, :half]), Extension(cells[:, half:])
        # (a - x) / (2 x) = (a / x - 1) / 2
        slope = (challenge * inverse(points[:, :half]) - 1).half()
        cells = (low + slope * (low - high)).cells
        points = points * points % np.uint64(MODULUS)
    return Extension(cells[:, 0])
