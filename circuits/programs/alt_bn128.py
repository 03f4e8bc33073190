"""The precompiles ECADD and ECMUL on the first group of alt_bn128.

Source: execution-specs `cancun/vm/precompiled_contracts/alt_bn128.py`; EIP-196.

A point is two words below p, on the curve or both 0, which is the point at infinity. Other points fail. The curve
itself has neither a point with x = 0 and y = 0 nor any whose order is not that of the group.
"""

from __future__ import annotations

from functools import cache, lru_cache

from circuits.programs.curves import BN254, EndomorphismRelation, Formulas, working_choice
from circuits.programs.moduli import BN254_N, BN254_P, INTEGERS
from circuits.programs.program import Instance, Pair, Program, Variant

_P, _N = BN254_P.value, BN254_N.value


def _coordinates(p: Program, first: int) -> Pair:
    """Two words of the input, canonical."""
    return p.word(first, below=BN254_P), p.word(first + 1, below=BN254_P)


def _on_curve(f: Formulas, first: int) -> Pair:
    """A point of the input that is not infinity: 2 rows."""
    point = _coordinates(f.program, first)
    f.require_on_curve(point)
    return point


def _require_valid(f: Formulas, point: Pair) -> None:
    """The point is on the curve, or infinity: where it is not on the curve, x and y are 0. 4 rows."""
    p, (x, y) = f.program, point
    square = p.reduce(x * x)
    left = p.reduce(y * y - x * square - BN254.b)
    p.require(left * x)
    p.require(left * y)


def _require_invalid(f: Formulas, point: Pair) -> None:
    """Two words are neither a point on the curve nor infinity: their sum is 1 or more. 5 rows."""
    p, (x, y) = f.program, point
    f.require_not_on_curve(x, y)
    less = p.free_word(lambda total: total - 1, (x + y,))
    p.require(x + y - 1 - less, INTEGERS)


def _selected(p: Program, entries: list[Pair]) -> Pair:
    """The one of 4 pairs that the prover chooses."""
    return p.select(p.table(entries), [p.choice().digit(0)])


def _add() -> Variant:
    """Two points with different x."""
    p = Program(10, "ECADD", BN254_P)
    f = Formulas(p, BN254)
    x, y = f.add(_on_curve(f, 0), _on_curve(f, 2))
    p.output(x)
    p.output(y)
    return Variant(p)


def _double() -> Variant:
    """Two equal points, of which one is on the curve."""
    p = Program(11, "ECADD: equal", BN254_P)
    f = Formulas(p, BN254)
    point, other = _on_curve(f, 0), _coordinates(p, 2)
    for k in range(2):
        p.require(point[k] - other[k])
    x, y = f.double(point)
    p.output(x)
    p.output(y)
    return Variant(p)


def _opposite() -> Variant:
    """Two points with the same x and opposite y."""
    p = Program(12, "ECADD: opposite", BN254_P)
    f = Formulas(p, BN254)
    point, other = _on_curve(f, 0), _coordinates(p, 2)
    p.require(point[0] - other[0])
    p.require(point[1] + other[1])
    p.output(0)
    p.output(0)
    return Variant(p)


def _add_infinity() -> Variant:
    """One of the points, the prover says which, is infinity: the sum is the other one, which may be, too."""
    p = Program(13, "ECADD: infinity", BN254_P)
    first, second = _coordinates(p, 0), _coordinates(p, 2)
    choice = p.choice().digit(0)
    zero = p.select(p.table([first, second] * 2), [choice])
    other = p.select(p.table([second, first] * 2), [choice])
    # Copies of words are no negative integers.
    p.require(zero[0] + zero[1], INTEGERS)
    _require_valid(Formulas(p, BN254), other)
    p.output(other[0])
    p.output(other[1])
    return Variant(p)


def _large(number: int, name: str, words: int) -> Variant:
    """One of the coordinates, the prover says which, is not below p."""
    p = Program(number, f"{name}: large", BN254_P)
    # A word stands in front of the next one in a pair, the last one in front of any.
    read = [*(p.word(k) for k in range(words)), p.free_word(lambda: 0)]
    word, _ = _selected(p, [(read[k % words], read[k % words + 1]) for k in range(4)])
    copy = p.free_word(lambda word: word, (word,), at_least=BN254_P)
    p.require(copy - word, INTEGERS)
    return Variant(p, fails=True)


def _sum_not_on_curve() -> Variant:
    """One of the points, the prover says which, is neither on the curve nor infinity."""
    p = Program(15, "ECADD: not on the curve", BN254_P)
    words = [p.word(k) for k in range(4)]
    _require_invalid(Formulas(p, BN254), _selected(p, [(words[0], words[1]), (words[2], words[3])] * 2))
    return Variant(p, fails=True)


def _multiply() -> Variant:
    """A multiple that is not infinity."""
    p = Program(16, "ECMUL", BN254_P)
    f = Formulas(p, BN254)
    point = _on_curve(f, 0)
    scalar = p.word(2)

    @lru_cache
    def multiple(x: int, y: int, scalar: int) -> tuple[int, int]:
        return BN254.times(scalar % _N, (x, y)) or (0, 0)

    arguments = (*point, scalar)
    x = p.output_word(lambda *a: multiple(*a)[0], arguments, below=BN254_P)
    y = p.output_word(lambda *a: multiple(*a)[1], arguments, below=BN254_P)
    f.require_on_curve((x, y))
    # a * Q + b * P = 0 with a * scalar + b = 0 and a != 0: so Q = scalar * P.
    relation = EndomorphismRelation(f)
    scalars = relation.scalars(scalar, 1)
    f.require_nonzero(scalars.a, BN254_N)
    p.require(scalars.a * scalar + scalars.b, BN254_N)
    relation.require(scalars, (x, y), point, None, p.choice())
    return Variant(p)


def _multiply_to_infinity() -> Variant:
    """The point is infinity, or the scalar is 0 modulo the order: scalar * x and scalar * y are 0 modulo the order.

    There is no point on the curve with both coordinates 0 modulo the order: they would be 0 or the order, as integers.
    """
    assert not any(BN254.contains(x, y) for x in (0, _N) for y in (0, _N))
    p = Program(17, "ECMUL: infinity", BN254_P)
    f = Formulas(p, BN254)
    point, scalar = _coordinates(p, 0), p.word(2)
    _require_valid(f, point)
    for coordinate in point:
        p.require(scalar * coordinate, BN254_N)
    p.output(0)
    p.output(0)
    return Variant(p)


def _multiple_not_on_curve() -> Variant:
    """The point is neither on the curve nor infinity."""
    p = Program(19, "ECMUL: not on the curve", BN254_P)
    _require_invalid(Formulas(p, BN254), (p.word(0), p.word(1)))
    return Variant(p, fails=True)


@cache
def add_variants() -> tuple[Variant, ...]:
    """The programs of ECADD, by number from 10 on."""
    return _add(), _double(), _opposite(), _add_infinity(), _large(14, "ECADD", 4), _sum_not_on_curve()


@cache
def multiply_variants() -> tuple[Variant, ...]:
    """The programs of ECMUL, by number from 16 on."""
    return _multiply(), _multiply_to_infinity(), _large(18, "ECMUL", 2), _multiple_not_on_curve()


def _words(data: bytes, count: int) -> list[int]:
    return [int.from_bytes(data[32 * i : 32 * i + 32].ljust(32, b"\0"), "big") for i in range(count)]


def _valid(x: int, y: int) -> bool:
    return (x, y) == (0, 0) or BN254.contains(x, y)


def add_instances(data: bytes) -> list[Instance]:
    """The program that answers a call of ECADD with this input."""
    generic, double, opposite, infinity, large, not_on_curve = add_variants()
    x1, y1, x2, y2 = words = _words(data, 4)
    first, second = (x1, y1), (x2, y2)
    for k, word in enumerate(words):
        if word >= _P:
            return [Instance(large, choice=k)]
    for k, point in enumerate((first, second)):
        if not _valid(*point):
            return [Instance(not_on_curve, choice=k)]
    for k, point in enumerate((first, second)):
        if point == (0, 0):
            return [Instance(infinity, choice=k)]
    if x1 != x2:
        return [Instance(generic)]
    return [Instance(double if y1 == y2 else opposite)]


def multiply_instances(data: bytes) -> list[Instance]:
    """The program that answers a call of ECMUL with this input."""
    generic, infinity, large, not_on_curve = multiply_variants()
    x, y, scalar = words = _words(data, 3)
    for k, word in enumerate((x, y)):
        if word >= _P:
            return [Instance(large, choice=k)]
    if not _valid(x, y):
        return [Instance(not_on_curve)]
    if (x, y) == (0, 0) or scalar % _N == 0:
        return [Instance(infinity)]
    return [Instance(generic, choice=working_choice(generic.program, words))]
