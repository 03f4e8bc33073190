"""Points of BLS12-381 against py_ecc's, and what is no point."""

from __future__ import annotations

import random
from typing import Any

import pytest
from eth.exceptions import VMError
from py_ecc.optimized_bls12_381 import G1 as FIRST
from py_ecc.optimized_bls12_381 import G2 as SECOND
from py_ecc.optimized_bls12_381 import add, multiply, normalize

from executor.bls12_381 import FIELD, G1, G2, ORDER, Group, Point

GROUPS = pytest.mark.parametrize(("group", "generator"), [(G1, FIRST), (G2, SECOND)], ids=["G1", "G2"])


def bytes_of(point: Any) -> bytes:
    """The encoding of a point of py_ecc's."""
    coordinates = [getattr(item, "coeffs", (item,)) for item in normalize(point)]
    return b"".join(int(number).to_bytes(64, "big") for item in coordinates for number in item)


def not_of_the_group(group: Group) -> Point:
    """A point of the curve: hardly any of those is of the group."""
    for start in range(1, 100):
        x = start if group.size == 1 else (start, 0)
        square = group.add(group.multiply(group.multiply(x, x), x), group.b)
        y = root(square) if group.size == 1 else root_of_pair(square)
        if group.multiply(y, y) == square:
            return x, y, group.one
    raise AssertionError("every other number has a root")


def root(number: int) -> int:
    return pow(number, (FIELD + 1) // 4, FIELD)


def root_of_pair(number: tuple[int, int]) -> tuple[int, int]:
    """By the norm: (a + bu)^2 with a^2 = (n0 + sqrt(n0^2 + n1^2)) / 2."""
    norm = root((number[0] ** 2 + number[1] ** 2) % FIELD)
    half = pow(2, -1, FIELD)
    for sign in (norm, -norm):
        a = root((number[0] + sign) * half % FIELD)
        b = number[1] * half * pow(a, -1, FIELD) % FIELD
        if (a * a - b * b) % FIELD == number[0]:
            return a, b
    return 0, 0


@GROUPS
def test_sums_and_multiples_are_those_of_py_ecc(group: Group, generator: Any) -> None:
    draw = random.Random(4)
    theirs = [multiply(generator, draw.randrange(ORDER)) for _ in range(3)]
    ours = [group.decode(bytes_of(point)) for point in theirs]
    assert group.encode(group.sum(ours[0], ours[1])) == bytes_of(add(theirs[0], theirs[1]))
    assert group.encode(group.sum(ours[0], ours[0])) == bytes_of(add(theirs[0], theirs[0]))
    assert not any(group.encode(group.sum(ours[0], group.negative(ours[0]))))
    scalars = [draw.randrange(2**256), 0, ORDER - 1]
    expected = multiply(generator, 0)
    for point, scalar in zip(theirs, scalars, strict=True):
        expected = add(expected, multiply(point, scalar))
    assert group.encode(group.sum_of_multiples(list(zip(ours, scalars, strict=True)))) == bytes_of(expected)


@GROUPS
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_sums_of_many_multiples(group: Group, generator: Any, count: int) -> None:
    draw = random.Random(count)
    point = group.decode(bytes_of(generator))
    scalars = [draw.randrange(2**256) for _ in range(count)]
    found = group.sum_of_multiples([(point, scalar) for scalar in scalars])
    assert group.affine(found) == group.affine(group.times(point, sum(scalars) % ORDER))


@GROUPS
def test_only_points_of_the_order_are_of_the_group(group: Group, generator: Any) -> None:
    assert group.contains(None)
    assert group.contains(group.decode(bytes_of(generator)))
    assert group.contains(group.decode(bytes_of(multiply(generator, 12_345))))
    stranger = not_of_the_group(group)
    assert group.decode(group.encode(stranger)) == stranger
    assert group.times(stranger, ORDER) is not None
    assert not group.contains(stranger)


@GROUPS
def test_what_is_no_point_is_refused(group: Group, generator: Any) -> None:
    encoded = bytes_of(generator)
    with pytest.raises(VMError, match="not on the curve"):
        group.decode(encoded[:-1] + bytes([encoded[-1] ^ 1]))
    for start in range(0, len(encoded), 64):
        number = int.from_bytes(encoded[start : start + 64], "big") + FIELD
        with pytest.raises(VMError, match="no number of the field"):
            group.decode(encoded[:start] + number.to_bytes(64, "big") + encoded[start + 64 :])
    assert group.decode(bytes(group.point_bytes)) is None
