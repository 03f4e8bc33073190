"""BLS12_MAP_FP_TO_G1 and BLS12_MAP_FP2_TO_G2 by their programs: against py-evm, on inputs that are found backwards from
points of every kind, and against liars.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import pytest
from eth.precompiles.bls12_381.bls12_381_g1 import bls12_map_fp_to_g1
from eth.precompiles.bls12_381.bls12_381_g2 import bls12_map_fp2_to_g2
from py_ecc.bls.hash_to_curve import map_to_curve_G1, map_to_curve_G2
from py_ecc.fields import optimized_bls12_381_FQ as FQ
from py_ecc.fields import optimized_bls12_381_FQ2 as FQ2
from py_ecc.optimized_bls12_381.constants import H_EFF_G2, ISO_11_A, ISO_11_B
from py_ecc.optimized_bls12_381.optimized_curve import normalize

from circuits.programs import bls12_381 as bls
from circuits.programs import bls12_381_maps as maps
from circuits.programs.bls12_381 import COFACTOR_G1, COFACTOR_G2, FIELD, P, R
from circuits.programs.bls12_381_maps import g1_instances, g1_variants, g2_instances, g2_variants
from circuits.programs.extensions import Pair, Point
from circuits.programs.program import NARROW, Program, UnsatisfiedError, Variant
from tests.circuits.precompiles.liars import believed, lie, registers_of_rows
from tests.circuits.precompiles.running import free_registers, lying_run, run_instances, run_of_evm, words_of

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    "BLS12_MAP_FP_TO_G1": (236, 14, 23, 0, 16),
    "BLS12_MAP_FP_TO_G1: infinity": (241, 11, 25, 0, 8),
    "BLS12_MAP_FP_TO_G1: kernel": (17, 3, 9, 0, 8),
    "BLS12_MAP_FP_TO_G1: exceptional": (13, 2, 7, 0, 10),
    "BLS12_MAP_FP_TO_G1: large": (1, 1, 4, 0, 4),
    "BLS12_MAP_FP2_TO_G2": (178, 756, 11, 0, 32),
    "BLS12_MAP_FP2_TO_G2: infinity": (172, 774, 14, 0, 16),
    "BLS12_MAP_FP2_TO_G2: zero": (11, 0, 10, 0, 12),
    "BLS12_MAP_FP2_TO_G2: large": (4, 3, 6, 0, 6),
}
TOP = (1 << 512) - 1
ONE: Pair = (1, 0)

#: Some of the execution specs' tests of points of the kernel, which become infinity.
KERNEL_INPUTS = (
    0x0B3F3F9519FF3AB349E4FFC214F99998A697B02358FCFE44830E29129F58D6F9154A23FD14DFA660A75D4AAEC9B607C3,
    0x0598C1367BBD9D3B73DFEFB263A117BCDBCB4C7A282897D4A20589AD2EA80DA73B23A465E2C291E7EF0FDE593438F513,
    0x068951D10BE6961019AA800A51CF48B707FC9E40700510406BE9242D0C8DD866AFDEC0D66F9DC2CF1DC944702EC161BB,
    0x0A2605E5991FCF3E63728A7A1468D79BACAA5F23F3816AADCD38EFDD330C6D4F5BBF450F92156E0E23E16E3252BCD042,
)


def _bytes(*numbers: int) -> bytes:
    return b"".join(n.to_bytes(64, "big") for n in numbers)


def _to_g1(u: int) -> int:
    data = _bytes(u)
    found = g1_instances(data)
    assert run_instances(data, found) == run_of_evm(bls12_map_fp_to_g1, data)
    return found[0].variant.program.number


def _to_g2(u: Sequence[int]) -> int:
    data = _bytes(*u)
    found = g2_instances(data)
    assert run_instances(data, found) == run_of_evm(bls12_map_fp2_to_g2, data)
    return found[0].variant.program.number


# Inputs for points of the maps' curves, which are y^2 = x^3 + a x + b over Fp2, and over Fp where nothing is imaginary.


def _plus(a: Pair, b: Pair, factor: int = 1) -> Pair:
    return (a[0] + factor * b[0]) % P, (a[1] + factor * b[1]) % P


def _times(a: Pair, b: Pair) -> Pair:
    return FIELD.multiply2(a, b)


class _Curve:
    """A map's curve, and its inverse map.

    Args:
        root: a square root in the field, or None.
        order: of the group of all points.
    """

    def __init__(
        self,
        a: Pair,
        b: Pair,
        z: Pair,
        root: Callable[[Pair], Pair | None],
        order: int,
        mapped: Callable[[Pair], Point],
    ) -> None:
        self.a, self.b, self.z, self.root, self.order, self.mapped = a, b, z, root, order, mapped

    def value(self, x: Pair) -> Pair:
        return _plus(_times(x, _plus(_times(x, x), self.a)), self.b)

    def add(self, p: Point | None, q: Point | None) -> Point | None:
        if p is None or q is None:
            return p or q
        (x, y), (s, t) = p, q
        if x != s:
            slope = FIELD.divide2(_plus(t, y, -1), _plus(s, x, -1))
        elif y != t:
            return None
        else:
            square = _times(x, x)
            slope = FIELD.divide2(_plus(_plus(square, square, 2), self.a), _plus(y, y))
        third = _plus(_plus(_times(slope, slope), x, -1), s, -1)
        return third, _plus(_times(slope, _plus(x, third, -1)), y, -1)

    def multiply(self, p: Point | None, k: int) -> Point | None:
        total = None
        for bit in f"{k:b}":
            total = self.add(total, total)
            if bit == "1":
                total = self.add(total, p)
        return total

    def points(self, rng: random.Random, imaginary: int) -> Iterator[Point]:
        """Points of the curve, without end."""
        while True:
            x = rng.randrange(P), rng.randrange(P) * imaginary
            y = self.root(self.value(x))
            if y is not None:
                yield x, y

    def inputs(self, x: Pair) -> list[Pair]:
        """All u, other than 0, that are mapped to points with this x: x1 or x2, which are w (-b / a) for

        w (t^2 + t) = t^2 + t + 1, and w (t + 1) = t^2 + t + 1.
        """
        w = FIELD.divide2(_times(x, self.a), _plus((0, 0), self.b, -1))
        less = _plus(w, ONE, -1)
        found = []
        # t^2 + p t + q = 0.
        for p, q in ((ONE, FIELD.divide2((P - 1, 0), less)), (_plus(ONE, w, -1), _plus(ONE, w, -1))):
            root = self.root(_plus(_times(p, p), q, -4))
            if root is None:
                continue
            for sign in (1, -1):
                t = FIELD.divide2(_plus(_plus((0, 0), p, -1), root, sign), (2, 0))
                u = self.root(FIELD.divide2(t, self.z))
                if u and any(u):
                    found += [u, _plus((0, 0), u, -1)]
        return [u for u in dict.fromkeys(found) if self.mapped(u)[0] == x]


def _root_in_fp(a: Pair) -> Pair | None:
    root = bls.square_root(a[0])
    return None if root is None else (root, 0)


def _mapped_in_fp(u: Pair) -> Point:
    x, y = maps._mapped(u[0])
    return (x, 0), (y, 0)


C1 = _Curve((maps.A, 0), (maps.B, 0), (maps.Z, 0), _root_in_fp, COFACTOR_G1 * R, _mapped_in_fp)
C2 = _Curve(maps.A2, maps.B2, maps.Z2, FIELD.square_root2, COFACTOR_G2 * R, maps._mapped2)


def _input(curve: _Curve, imaginary: int, factor: int, seed: int = 0, last: int = 0) -> Pair:
    """An input for a point that is a multiple of another one; of this prime order, if it is given."""
    for point in curve.points(random.Random(seed), imaginary):
        found = curve.multiply(point, factor)
        while last and found is not None and curve.multiply(found, last) is not None:
            found = curve.multiply(found, last)
        for u in curve.inputs(found[0]) if found else []:
            return u
    raise AssertionError("an input is found sooner")


@cache
def _special_g1() -> dict[str, Pair]:
    """Inputs for points without a part of order r, and for ones with nothing else."""
    n = C1.order
    return {
        "no part of order r": _input(C1, 0, R),
        "no part of order r, again": _input(C1, 0, R, 1),
        "order 11 or 33, not of the kernel": _input(C1, 0, n // 363),
        "order 10177": _input(C1, 0, n // 10177**2, last=10177),
        "of the subgroup": _input(C1, 0, COFACTOR_G1),
    }


@cache
def _special_g2() -> dict[str, Pair]:
    n = C2.order
    return {
        "no part of order r": _input(C2, 1, R),
        "order 13": _input(C2, 1, n // 13**2, last=13),
        "order 13, again": _input(C2, 1, n // 13**2, 5, last=13),
        "order 23": _input(C2, 1, n // 23**2, last=23),
        "order 2713": _input(C2, 1, n // 2713),
        "of the subgroup": _input(C2, 1, COFACTOR_G2),
        "of the subgroup, again": _input(C2, 1, COFACTOR_G2, 1),
    }


def test_rows() -> None:
    variants = (*g1_variants(), *g2_variants())
    assert {v.program.name: tuple(v.program.rows.values()) for v in variants} == ROWS
    assert [v.program.number for v in variants] == list(range(186, 195))
    assert [v.program.name for v in variants if v.fails] == [f"BLS12_MAP_{m}: large" for m in ("FP_TO_G1", "FP2_TO_G2")]


def test_the_constants_are_those_of_the_rfc() -> None:
    assert (int(ISO_11_A), int(ISO_11_B)) == (maps.A, maps.B)
    assert maps.COFACTOR_FACTOR_G2 == H_EFF_G2
    # Orders are odd, so that no y is 0; r divides them once; the kernel's points are rational in Fp only.
    assert COFACTOR_G1 % 2 == COFACTOR_G2 % 2 == 1
    assert COFACTOR_G1 % R
    assert COFACTOR_G2 % R
    assert COFACTOR_G2 % 3
    assert FIELD.square_root2(C2.value(maps.KERNEL2)) is None
    assert all(bls.square_root(C1.value((x, 0))[0]) is not None for x in maps.KERNEL)
    assert len(set(maps.KERNEL)) == 5
    # Z is no square; -Z is one in Fp only.
    assert bls.square_root(maps.Z) is None
    assert bls.square_root(-maps.Z) is not None
    assert FIELD.square_root2((-2 % P, -1 % P)) is FIELD.square_root2((2, 1)) is None


def test_the_maps_before_the_cofactor() -> None:
    rng = random.Random(1)
    for u in (0, 1, P - 1, *(rng.randrange(P) for _ in range(20))):
        x, y = normalize(map_to_curve_G1(FQ(u)))
        assert maps._image(maps._mapped(u)) == (int(x), int(y))
        v = rng.randrange(P), rng.randrange(P)
        found = tuple(tuple(int(c) for c in part.coeffs) for part in normalize(map_to_curve_G2(FQ2(v))))
        assert maps._image2(maps._mapped2(v)) == found


def test_inputs_of_g1() -> None:
    rng = random.Random(2)
    for u in (1, 2, P - 1, P - 2, P // 2, 1 << 256, (1 << 256) - 1, *(rng.randrange(P) for _ in range(20))):
        assert _to_g1(u) == maps.G1_FINITE
    for u in (P, P + 1, 1 << 381, 1 << 384, 1 << 496, 1 << 511, TOP, (P >> 256) + 1 << 256):
        assert _to_g1(u) == maps.G1_LARGE
    for length in (0, 63, 65, 128):
        with pytest.raises(ValueError, match="bytes"):
            g1_instances(bytes(length))


def test_exceptional_inputs_of_g1() -> None:
    root = bls.square_root(-pow(maps.Z, -1, P))
    assert root is not None
    assert {root % 2, (P - root) % 2} == {0, 1}
    for u in (0, root, P - root):
        assert _to_g1(u) == maps.G1_EXCEPTIONAL
        assert not believed(g1_variants()[0].program, words_of(g1_variants()[0].program, _bytes(u)))
    assert _to_g1(root + P) == maps.G1_LARGE


def test_points_of_the_kernel() -> None:
    found = [u for x in maps.KERNEL for u, _ in C1.inputs((x, 0))]
    assert len(set(found)) == 16
    assert set(KERNEL_INPUTS) <= set(found)
    assert set(found) == {P - u for u in found}
    for u in found:
        assert _to_g1(u) == maps.G1_KERNEL
        assert run_instances(_bytes(u), g1_instances(_bytes(u))) == (True, bytes(128))


def test_points_of_any_order_in_g1() -> None:
    for name, (u, _) in _special_g1().items():
        expected = maps.G1_FINITE if "subgroup" in name else maps.G1_INFINITE
        for v in (u, P - u):
            assert _to_g1(v) == expected, name
            finite, infinite = (v.program for v in g1_variants()[:2])
            assert believed(finite, words_of(finite, _bytes(v))) == (expected == maps.G1_FINITE)
            assert believed(infinite, words_of(infinite, _bytes(v))) == (expected == maps.G1_INFINITE)


def _with_imaginary_root() -> Pair:
    """An input whose y has the real part 0: g(c + d i) is real, and no square in Fp."""
    for d in range(1, 1000):
        # 3 d c^2 + 240 c + 1012 - d^3 = 0.
        root = bls.square_root(240**2 - 12 * d * (1012 - d**3))
        if root is None:
            continue
        x = (root - 240) * pow(6 * d, -1, P) % P, d
        value = C2.value(x)
        assert value[1] == 0
        if bls.square_root(value[0]) is None:
            for u in C2.inputs(x):
                return u
    raise AssertionError("an input is found sooner")


@pytest.mark.deep
def test_inputs_of_g2() -> None:
    rng = random.Random(3)
    inputs = [(0, 1), (1, 0), (0, 2), (2, 0), (0, P - 1), (P - 1, 0), (P - 1, P - 1), (1 << 256, 1 << 380)]
    inputs += [(rng.randrange(P), rng.randrange(P)) for _ in range(6)] + [(0, rng.randrange(P)) for _ in range(3)]
    u = _with_imaginary_root()
    assert maps._mapped2(u)[1][0] == 0
    for v in (*inputs, u, _plus((0, 0), u, -1)):
        assert _to_g2(v) == maps.G2_FINITE
    assert _to_g2((0, 0)) == maps.G2_ZERO
    for large in (P, P + 1, 1 << 384, 1 << 511, TOP):
        for v in ((0, large), (large, 0), (large, large)):
            assert _to_g2(v) == maps.G2_LARGE
    for length in (0, 64, 127, 129, 256):
        with pytest.raises(ValueError, match="bytes"):
            g2_instances(bytes(length))


@pytest.mark.deep
def test_points_of_any_order_in_g2() -> None:
    for name, u in _special_g2().items():
        expected = maps.G2_FINITE if "subgroup" in name else maps.G2_INFINITE
        assert _to_g2(u) == expected, name
        finite, infinite = (v.program for v in g2_variants()[:2])
        assert believed(finite, words_of(finite, _bytes(*u))) == (expected == maps.G2_FINITE)
        assert believed(infinite, words_of(infinite, _bytes(*u))) == (expected == maps.G2_INFINITE)


def _answers(variants: Sequence[Variant], data: bytes) -> set[int]:
    return {v.program.number for v in variants if believed(v.program, words_of(v.program, data))}


def test_no_program_answers_for_another() -> None:
    root = bls.square_root(-pow(maps.Z, -1, P))
    assert root is not None
    special = [u for u, _ in _special_g1().values()]
    for u in (0, 1, P - 1, root, P - root, P, P + 1, root + P, TOP, KERNEL_INPUTS[0], KERNEL_INPUTS[0] + P, *special):
        assert _answers(g1_variants(), _bytes(u)) == {_to_g1(u)}
    for v in ((0, 0), (0, 1), (1, 0), (P, 0), (0, P), (P, P), (P + 1, 0), *_special_g2().values()):
        assert _answers(g2_variants(), _bytes(*v)) == {_to_g2(v)}


def _inputs_to_lie_about() -> dict[int, bytes]:
    return {
        maps.G1_FINITE: _bytes(12345),
        maps.G1_INFINITE: _bytes(_special_g1()["order 10177"][0]),
        maps.G1_KERNEL: _bytes(KERNEL_INPUTS[1]),
        maps.G1_EXCEPTIONAL: _bytes(0),
        maps.G2_FINITE: _bytes(123, 456),
        maps.G2_INFINITE: _bytes(*_special_g2()["order 13"]),
        maps.G2_ZERO: _bytes(0, 0),
    }


@pytest.mark.parametrize("number", [*range(186, 190), *range(191, 194)])
def test_every_register_is_determined(number: int) -> None:
    program = _program(number)
    data = _inputs_to_lie_about()[number]
    words = words_of(program, data)
    step = max(1, (len(program.narrow) + len(program.wide)) // 60)
    for register in (*registers_of_rows(program, step), *free_registers(program)):
        with pytest.raises(UnsatisfiedError):
            lying_run(program, words, {register: lambda v: v + 1})


def _program(number: int) -> Program:
    return next(v.program for v in (*g1_variants(), *g2_variants()) if v.program.number == number)


def _register(program: Program, words: Sequence[int], value: int) -> int:
    """The last register of the equations that holds this residue."""
    held = program.run(words).values
    return [k for k in sorted(held) if NARROW <= k < 3 * NARROW and (held[k] - value) % P == 0][-1]


@pytest.mark.parametrize("seed", range(4))
def test_lies_about_the_sign_and_the_square(seed: int) -> None:
    u = random.Random(seed).randrange(1, P)
    program = _program(maps.G1_FINITE)
    words = words_of(program, _bytes(u))
    x, y = maps._mapped(u)
    with pytest.raises(UnsatisfiedError):
        lie(program, words, {_register(program, words, y): lambda v: -v})
    t, s = maps._s(u)
    right, wrong = (1, t) if x == maps._first(s) else (t, 1)
    with pytest.raises(UnsatisfiedError):
        lie(program, words, {_register(program, words, right): lambda _: wrong})


@pytest.mark.parametrize("u", [(5, 7), (6, 7), (0, 7), (0, 8), None])
def test_lies_about_the_sign_in_fp2(u: Pair | None) -> None:
    program = _program(maps.G2_FINITE)
    u = u or _with_imaginary_root()
    words = words_of(program, _bytes(*u))
    y = maps._mapped2(u)[1]
    imaginary = _register(program, words, y[1])
    assert (program.run(words).values[imaginary - 1] - y[0]) % P == 0
    with pytest.raises(UnsatisfiedError):
        lie(program, words, {imaginary - 1: lambda v: -v, imaginary: lambda v: -v})
    # As if a real part were 0, or not.
    held = program.run(words).values
    rows = {NARROW + k: row for k, row in enumerate(program.narrow)}
    bits = [k for k, row in rows.items() if not row.modulus.value and row.b and row.operands[:2] == (k, k)]
    # First the one of y.
    assert [held[k] for k in bits] == [not y[0], not u[0]]
    for bit in bits:
        with pytest.raises(UnsatisfiedError):
            lie(program, words, {bit: lambda v: 1 - v})
