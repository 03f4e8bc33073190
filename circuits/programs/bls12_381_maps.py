"""Programs of the precompiles BLS12_MAP_FP_TO_G1 and BLS12_MAP_FP2_TO_G2.

Source: EIP-2537; execution-specs `prague/vm/precompiled_contracts/bls12_381/`; RFC 9380, 6.6.2 and 6.6.3 (the map), 7
and G.3 (the cofactor), 8.8 (constants of both suites) and 4.1 (sgn0).

An element u of a field F, below p, is mapped to a point of y^2 = g(x) = x^3 + A x + B, then by an isogeny to the curve
or the twist, then into the subgroup. Groups of points have odd orders here, so that y is never 0 and g has no root.

The map: t = Z u^2 and s = t^2 + t. For s != 0 let x1 = -(1 + 1 / s) B / A and x2 = t x1. Then g(x2) = t^3 g(x1), where
t is no square, because Z is none and u is not 0: exactly one of g(x1) and g(x2), neither of which is 0, is a square. So
x = f x1 for f = 1 or t, and a root of g(x), say which x it is. x1 is stated as s (x1 + B / A) + B / A = 0, which has no
solution for s = 0. Then, for u = 0, and in Fp for Z u^2 = -1 too, x1 is a constant, and so is the result up to its
sign. In Fp2 -1 is a square, so that Z u^2 = -1 has no root.

The sign: y and u, both below p, have the same sgn0. In Fp this is the parity of the number, in Fp2 that of the real
part, or of the imaginary part where the real one is 0. A difference that is 2 d for an integer d is a proof.

The isogenies: J. Vélu, "Isogénies entre courbes elliptiques", 1971. For the points +-(x_i, y_i) of the kernel, with
T = 6 x_i^2 + 2 A and V = 4 g(x_i),

    X = x + sum of T / (x - x_i) + V / (x - x_i)^2,  Y = y (1 - sum of T / (x - x_i)^2 + 2 V / (x - x_i)^3),

and the curve's points are (X / 11^2, Y / 11^3), the twist's (X / 3^2, -Y / 3^3). Points of the kernel become infinity:
in Fp the kernel is rational, and has a program; in Fp2 it is not, because 3 does not divide the order of the twist.

Infinity: a point without a part of order r, which an attacker finds easily, becomes infinity, others never. Of those
with such a part, multiples [k] and [k'] are equal only if r divides k - k'. Of the others they may be equal or
opposite; a chain for them begins with an offset, a generator of the subgroup, and has no such sums, since their parts
of order r are 0 and those of the offset not. All sums are proved to be of points with different x, so that neither kind
of chain holds for inputs of the other kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from circuits.programs import bls12_381 as bls
from circuits.programs.bls12_381 import COFACTOR_G2, FIELD, G2, P, U
from circuits.programs.curves import BLS12_381_G1, Affine
from circuits.programs.extensions import Pair as Number
from circuits.programs.extensions import Point
from circuits.programs.moduli import BLS12_381_P, INTEGERS
from circuits.programs.program import Instance, Operand, Pair, Program, Register, Variant, divide
from circuits.programs.thirds import FieldThirds, TwistThirds
from circuits.programs.towers import Fp2, Tower, numbers
from circuits.programs.twists import Twist, TwistPoint

LIMBS = 48
#: Bytes of an element of Fp.
ELEMENT_BYTES = 64

G1_FINITE, G1_INFINITE, G1_KERNEL, G1_EXCEPTIONAL, G1_LARGE = range(186, 191)
G2_FINITE, G2_INFINITE, G2_ZERO, G2_LARGE = range(191, 195)

#: RFC 9380, 8.8.1: the curve of the map to G1, and its Z.
A = 0x144698A3B8E9433D693A02C96D4982B0EA985383EE66A8D8E8981AEFD881AC98936F8DA0E0F97F5CF428082D584C1D
B = 0x12E2908D11688030018B12E8753EEE3B2016C1F0F24F4070A0B9C14FCEF35EF55A23215A316CEAA5D1CC48E98E172BE0
Z = 11
#: RFC 9380, E.2: the roots of the denominators of its isogeny, x of the kernel's points.
KERNEL = (
    0x140D41735B10CE710727CD9356905701A2B866B803BAA468948B7F423DDCC560C9A8F1CD5F8ED4297C37464FB8BFE4A7,
    0x10EF325DD1E98BDF0D97A4C6B7F968ED7F31F2FBFF088ACB39D5319CFC261EA18773405F325612742F0C5D90634BCF4,
    0x105249B4CAC630CE5AA18E6C1189A18C82019B4E12E491FBAC012C259CA3A67F638560B8BB416AF02A4724385ED0FC8E,
    0xD7F2D0D03AE035321EED4C1479D13251ABF0E9A96479623EB5380B575E319851FB5E5A8B43B9C1A46880F54BF2B2F7C,
    0x1665A9C648E78314490A94F654D9B1039AB85847223BFAED9AA54F0F07736D122D1CECA1AC0E9123E753FDE16E97C3D7,
)

#: RFC 9380, 8.8.2: the curve of the map to G2, and its Z.
A2, B2, Z2 = (0, 240), (1012, 1012), (-2, -1)
#: RFC 9380, E.3: x of the kernel's points. T is 48 i, V is 16 (1 + i).
KERNEL2 = (-6, 6)
#: RFC 9380, 8.8.2: what multiplies points into G2.
COFACTOR_FACTOR_G2 = 3 * (U * U - 1) * COFACTOR_G2


class _Map(bls.LongIntegers):
    """The words of a call, and what programs say of them."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(Program(number, name, BLS12_381_P, LIMBS), shift=256)

    def element(self, position: int) -> tuple[Register, Register]:
        """A number of the input, below p: its lower word, which has its parity, and the residue."""
        high, low = self.word(position), self.word(position + 1)
        self.at_most(high, low, P - 1)
        return low, self.residue(high, low)

    def canonical(self, value: Operand, make: Callable[..., Register], factor: int = 1) -> Register:
        """The number below p that is value / factor, in two words that are made: the lower one."""
        over = pow(factor, -1, P)
        high = make(lambda v: v * over % P >> 256, (value,))
        low = make(lambda v: v * over % P % (1 << 256), (value,))
        self.at_most(high, low, P - 1)
        self.p.require(self.p.constant(factor << 256) * high + low * factor - value)
        return low

    def require_same_parity(self, a: Register, b: Register) -> None:
        """The difference of integers is even."""
        self.p.solve(lambda v: v // 2, (a - b,), lambda half: half * 2 - a + b, INTEGERS)

    def put_out(self, values: Sequence[Operand], factor: int = 1) -> None:
        """Return coordinates: what is given, over a factor."""
        for value in values:
            self.canonical(value, self.p.output_word, factor)

    def put_out_number(self, value: int) -> None:
        """Return a coordinate that is known."""
        for part in divmod(value, 1 << 256):
            self.p.output(self.p.constant(part), INTEGERS)

    def put_out_infinity(self, words: int) -> None:
        """Return infinity."""
        for _ in range(words):
            self.p.output(0, INTEGERS)


# The map to G1, with integers.


def _curve(x: int) -> int:
    return (x * (x * x + A) + B) % P


def _first(s: int) -> int:
    """x1, if s is not 0."""
    return -(1 + pow(s, -1, P)) * B * pow(A, -1, P) % P if s % P else 0


def _root(x: int, u: int) -> int | None:
    """The root of g(x) with the sign of u, or None."""
    root = bls.square_root(_curve(x))
    return root if root is None or (root - u % P) % 2 == 0 else P - root


def _s(u: int) -> tuple[int, int]:
    t = Z * u * u % P
    return t, (t * t + t) % P


def _mapped(u: int) -> tuple[int, int]:
    """The point of the map's curve."""
    t, s = _s(u)
    x = _first(s) if s else B * pow(Z * A, -1, P) % P
    y = _root(x, u)
    if y is None:
        x = t * x % P
        y = _root(x, u)
    assert y is not None
    return x, y


Coefficients = list[int]


def _product(*factors: Coefficients) -> Coefficients:
    total = [1]
    for factor in factors:
        sums = [0] * (len(total) + len(factor) - 1)
        for i, a in enumerate(total):
            for j, b in enumerate(factor):
                sums[i + j] = (sums[i + j] + a * b) % P
        total = sums
    return total


def _plus(a: Coefficients, b: Coefficients, factor: int) -> Coefficients:
    return [(x + factor * y) % P for x, y in zip(a, b + [0] * (len(a) - len(b)), strict=True)]


@cache
def _isogeny() -> tuple[Coefficients, Coefficients, Coefficients]:
    """h, n and m of the isogeny (n(x) / h(x)^2, y m(x) / h(x)^3), coefficients from the constant one on."""
    factors = [[-x % P, 1] for x in KERNEL]
    h = _product(*factors)
    n, m = _product([0, 1], h, h), _product(h, h, h)
    for k, x in enumerate(KERNEL):
        others = _product(*factors[:k], *factors[k + 1 :])
        t, v = 6 * x * x + 2 * A, 4 * _curve(x)
        n = _plus(_plus(n, _product(others, h), t), _product(others, others), v)
        m = _plus(_plus(m, _product(others, others, h), -t), _product(others, others, others), -2 * v)
    return h, [c * pow(11, -2, P) % P for c in n], [c * pow(11, -3, P) % P for c in m]


def _image(point: tuple[int, int]) -> Affine:
    """What the isogeny makes of a point."""
    x, y = point
    h, n, m = (sum(c * pow(x, k, P) for k, c in enumerate(coefficients)) % P for coefficients in _isogeny())
    if not h:
        return None
    inverse = pow(h, -1, P)
    return n * inverse**2 % P, y * m * inverse**3 % P


def _cleared(u: int) -> Affine:
    return BLS12_381_G1.times(U + 1, _image(_mapped(u)))


# The map to G1 in programs.


class _MapToG1(_Map):
    """A call of the map to G1. Points (x, y) of the curve are (x, y / 3)."""

    def __init__(self, number: int, name: str = "") -> None:
        super().__init__(number, "BLS12_MAP_FP_TO_G1" + name)
        self.group = FieldThirds(self.p)

    def mapped(self, u: Register) -> list[Register]:
        """The point of the map's curve, with either sign, for s != 0: x, y and x^2."""
        p = self.p
        a, b = p.constant_pair(A, B)
        quotient = p.constant(B * pow(A, -1, P) % P)
        t = p.reduce(p.reduce(u * u) * Z)
        s = p.reduce(t * t + t)
        x1 = p.solve(_first, (s,), lambda x: s * (x + quotient) + quotient)
        factor = p.solve(lambda x, t: t if _root(x, 0) is None else 1, (x1, t), lambda f: f * f - f * t - f + t)
        x = p.reduce(factor * x1)
        square = p.reduce(x * x)
        y = p.solve(lambda x, u: _root(x, u) or 0, (x, u), lambda y: y * y - x * square - a * x - b)
        return [x, y, square]

    def powers(self, x: Register, square: Register) -> list[Register]:
        """x to x^4."""
        return [x, square, self.p.reduce(x * square), self.p.reduce(square * square)]

    def polynomial(self, coefficients: Coefficients, powers: Sequence[Register]) -> Register:
        """A polynomial's value, four terms in a row."""
        total: Operand = 0
        for k in reversed(range(0, len(coefficients), 4)):
            part = [*coefficients[k : k + 4], 0]
            constants = [c for j in range(0, len(part) - 1, 2) for c in self.p.constant_pair(part[j], part[j + 1])]
            terms = (c * power for c, power in zip(constants[1:], powers, strict=False))
            total = self.p.reduce(sum(terms, constants[0] + total * powers[3]))
        assert isinstance(total, Register)
        return total

    def image(self, x: Register, y: Register, square: Register) -> Pair:
        """What the isogeny makes of a point, not of the kernel: as y is not 0, y = (y / h) h proves that h is not."""
        p = self.p
        powers = self.powers(x, square)
        h_coefficients, n_coefficients, m_coefficients = _isogeny()
        thirds = [c * pow(3, -1, P) % P for c in m_coefficients]
        h, n, m = (self.polynomial(part, powers) for part in (h_coefficients, n_coefficients, thirds))
        over = p.solve(divide(BLS12_381_P), (y, h), lambda over: over * h - y)
        h_square = p.reduce(h * h)
        image_x = p.solve(divide(BLS12_381_P), (n, h_square), lambda x: x * h_square - n)
        return image_x, p.solve(divide(BLS12_381_P), (over * m, h_square), lambda y: y * h_square - over * m)

    def constant_multiple(self, k: int) -> Pair:
        """A multiple of the generator."""
        point = BLS12_381_G1.times(k, BLS12_381_G1.generator)
        assert point is not None
        return self.p.constant_pair(point[0], point[1] * pow(3, -1, P) % P)


def _g1_finite() -> Program:
    """The point has a part of order r: its multiples up to [U + 2] differ."""
    call = _MapToG1(G1_FINITE)
    low, u = call.element(0)
    x, y, square = call.mapped(u)
    call.require_same_parity(call.canonical(y, call.p.free_word), low)
    image = call.image(x, y, square)
    result_x, result_y = call.group.multiple(image, f"{U + 1:b}"[1:], image)
    call.put_out([result_x, result_y * 3])
    return call.p


def _g1_infinite() -> Program:
    """The point has no part of order r. Its sign does not matter."""
    call = _MapToG1(G1_INFINITE, ": infinity")
    image = call.image(*call.mapped(call.element(0)[1]))
    bits = f"{U + 1:b}"
    total = call.group.multiple(image, bits, call.constant_multiple(1))
    for coordinate, expected in zip(total, call.constant_multiple(1 << len(bits)), strict=True):
        call.p.require(coordinate - expected)
    call.put_out_infinity(4)
    return call.p


def _g1_kernel() -> Program:
    """The point is one of the isogeny's kernel."""
    call = _MapToG1(G1_KERNEL, ": kernel")
    x, _, square = call.mapped(call.element(0)[1])
    call.p.require(call.polynomial(_isogeny()[0], call.powers(x, square)))
    call.put_out_infinity(4)
    return call.p


def _g1_exceptional() -> Program:
    """u = 0 or Z u^2 = -1: the result is the one for 0, or for an odd u its negative."""
    call = _MapToG1(G1_EXCEPTIONAL, ": exceptional")
    p = call.p
    low, u = call.element(0)
    p.require(u * p.reduce(p.reduce(u * u) * Z + 1))
    odd = call.bit(lambda v: v & 1, low)
    call.require_same_parity(odd, low)
    result = _cleared(0)
    assert result
    call.put_out_number(result[0])
    y = p.constant(result[1])
    call.put_out([p.reduce(y - y * odd * 2)])
    return p


def _g1_large() -> Program:
    """u is not below p."""
    call = _MapToG1(G1_LARGE, ": large")
    call.at_least(call.word(0), call.word(1), P)
    return call.p


@cache
def g1_variants() -> tuple[Variant, ...]:
    """The programs of BLS12_MAP_FP_TO_G1, by number."""
    valid = _g1_finite(), _g1_infinite(), _g1_kernel(), _g1_exceptional()
    return *(Variant(p) for p in valid), Variant(_g1_large(), fails=True)


def _elements(data: bytes, count: int) -> list[int]:
    if len(data) != count * ELEMENT_BYTES:
        raise ValueError(f"{len(data)} bytes are not {count} elements of {ELEMENT_BYTES}")
    return [int.from_bytes(data[k : k + ELEMENT_BYTES], "big") for k in range(0, len(data), ELEMENT_BYTES)]


def _answer(variants: Sequence[Variant], number: int) -> list[Instance]:
    return [Instance(next(v for v in variants if v.program.number == number))]


def g1_instances(data: bytes) -> list[Instance]:
    """The program that answers a call of BLS12_MAP_FP_TO_G1.

    Args:
        data: an element of 64 bytes. The caller fails calls with other lengths.

    Raises:
        ValueError: another length.
    """
    (u,) = _elements(data, 1)
    if u >= P:
        number = G1_LARGE
    elif not _s(u)[1]:
        number = G1_EXCEPTIONAL
    elif _image(_mapped(u)) is None:
        number = G1_KERNEL
    else:
        number = G1_FINITE if _cleared(u) else G1_INFINITE
    return _answer(g1_variants(), number)


# The map to G2, with integers.

_m = FIELD.multiply2


def _sum2(*values: Sequence[int]) -> Number:
    return sum(v[0] for v in values) % P, sum(v[1] for v in values) % P


def _curve2(x: Number) -> Number:
    return _sum2(_m(x, _sum2(_m(x, x), A2)), B2)


def _first2(s: Number) -> Number:
    """x1, if s is not 0."""
    quotient = FIELD.divide2(B2, A2)
    x = _m(quotient, _sum2((1, 0), FIELD.inverse2(s)))
    return -x[0] % P, -x[1] % P


def _odd(x: Number) -> int:
    """sgn0."""
    return x[0] % P % 2 if x[0] % P else x[1] % P % 2


def _root2(x: Number, u: Number) -> Number | None:
    """The root of g(x) with the sign of u, or None."""
    root = FIELD.square_root2(_curve2(x))
    return root if root is None or _odd(root) == _odd(u) else (-root[0] % P, -root[1] % P)


def _mapped2(u: Number) -> Point:
    """The point of the map's curve."""
    t = _m(Z2, _m(u, u))
    s = _sum2(_m(t, t), t)
    x = _first2(s) if any(s) else FIELD.divide2(B2, _m(Z2, A2))
    y = _root2(x, u)
    if y is None:
        x = _m(t, x)
        y = _root2(x, u)
    assert y is not None
    return x, y


def _image2(point: Point) -> Point:
    """What the isogeny makes of a point."""
    x, y = point
    over = FIELD.inverse2((x[0] - KERNEL2[0], x[1] - KERNEL2[1]))
    square = _m(over, over)
    rise = _sum2((1, 0), _m((0, -48), square), _m((-32, -32), _m(over, square)))
    over9, over27 = pow(9, -1, P), -pow(27, -1, P)
    x, y = _sum2(x, _m((0, 48), over), _m((16, 16), square)), _m(y, rise)
    return (x[0] * over9 % P, x[1] * over9 % P), (y[0] * over27 % P, y[1] * over27 % P)


def _cleared2(u: Number) -> Point | None:
    return FIELD.multiply_point(_image2(_mapped2(u)), COFACTOR_FACTOR_G2)


# The map to G2 in programs.


class _MapToG2(_Map):
    """A call of the map to G2. Points (x, y) of the twist are (9 x, 27 y / 3)."""

    FACTOR = 9

    def __init__(self, number: int, name: str = "") -> None:
        super().__init__(number, "BLS12_MAP_FP2_TO_G2" + name)
        self.t = Tower(self.p, FIELD)
        self.group = TwistThirds(self.t)

    def elements(self) -> tuple[list[Register], Fp2]:
        """u, below p: the lower words of its numbers, and the residue."""
        (low, re), (low_im, im) = self.element(0), self.element(2)
        return [low, low_im], Fp2.of(re, im)

    def sign(self, x: Fp2, low: Sequence[Register]) -> Register:
        """A number of the parity sgn0(x), where `low` are the lower words of its numbers below p.

        A bit is 1 exactly if the real part is 0.
        """
        p, re = self.p, x.re
        zero = self.bit(lambda v: int(not v % P), re)
        p.require(zero * re)
        p.solve(lambda v: pow(v, -1, P) if v % P else 0, (re,), lambda inverse: inverse * re + zero - 1)
        return p.reduce(low[0] + zero * low[1], INTEGERS)

    def mapped(self, u: Fp2) -> tuple[Fp2, Fp2]:
        """The point of the map's curve, with either sign, for s != 0."""
        t = self.t
        square = t.square2(u)
        z_square = t.reduce2(square * Fp2.of(*Z2))
        s = t.square2(z_square, z_square)
        quotient = t.constant2(FIELD.divide2(B2, A2))
        x1 = t.unknown2(lambda *s: _first2(s), numbers(s), lambda x: s * (x + quotient) + quotient)
        factor = t.unknown2(
            lambda a, b, c, d: (c, d) if _root2((a, b), (0, 0)) is None else (1, 0),
            numbers(x1, z_square),
            lambda f: f * f - f * z_square - f + z_square,
        )
        x = t.reduce2(factor * x1)
        rest = t.square2(x, Fp2.of(*A2))
        y = t.unknown2(
            lambda a, b, c, d: _root2((a, b), (c, d)) or (0, 0),
            numbers(x, u),
            lambda y: y * y - x * rest - Fp2.of(*B2),
        )
        return x, y

    def image(self, x: Fp2, y: Fp2) -> TwistPoint:
        """What the isogeny makes of a point.

        With e = 4 / (x - x_1): x + 12 i e + (1 + i) e^2, and -y (1 - 3 i e^2 - (1 + i) e^3 / 2) / 3, which is y m.
        """
        t = self.t
        kernel = Fp2.of(*KERNEL2)
        e = t.unknown2(lambda *x: FIELD.divide2((4, 0), x), numbers(x - kernel), lambda e: e * (x - kernel) - Fp2.of(4))
        square = t.square2(e)
        image_x = t.reduce2(x + e * Fp2.of(0, 12) + e * e * Fp2.of(1, 1))
        sixth = pow(6, -1, P)

        def rise(a: int, b: int, c: int, d: int) -> Number:
            found = _sum2((-2, 0), _m((0, 6), (c, d)), _m((1, 1), _m((a, b), (c, d))))
            return found[0] * sixth, found[1] * sixth

        m = t.unknown2(
            rise,
            numbers(e, square),
            lambda m: m * 6 + Fp2.of(2) - square * Fp2.of(0, 6) - e * square * Fp2.of(1, 1),
        )
        return TwistPoint(image_x, t.reduce2(y * m))

    def psi(self, a: TwistPoint, k: int) -> TwistPoint:
        """psi^k(a)."""
        return Twist(self.t).endomorphism(a, k)

    def constant_multiple(self, k: int) -> TwistPoint:
        """A multiple of the generator."""
        point = FIELD.multiply_point(G2, k)
        assert point is not None
        x, y = (self.t.constant2([c * self.FACTOR for c in part]) for part in point)
        return TwistPoint(x, y)


def _g2_finite() -> Program:
    """[U]([U]P + D) + D + [2]psi^4(P) with D = P - psi(P), for a point with a part of order r.

    On this part psi is -U. So what is added up has there these factors, apart from multiples of one point: 1 and U; U
    and U + 1; 2 U^2 + U and U + 1; 2 U^2 + 2 U + 1 and 2 U^4, which is 2 U^2 - 2 modulo r. Their sums and differences
    are not 0 and below r, as is 2 U + 1, of which U-fold the chain makes 2 U^2 + U.

    RFC 9380, G.3 has [U^2 + U - 1]P - [U + 1]psi(P) + [2]psi^2(P). On points over Fp2 psi^2 is an automorphism of order
    6, psi^4 = psi^2 - 1.
    """
    call = _MapToG2(G2_FINITE)
    p, group = call.p, call.group
    low, u = call.elements()
    x, y = call.mapped(u)
    low_y = [call.canonical(part, p.free_word) for part in (y.re, y.im)]
    call.require_same_parity(call.sign(y, low_y), call.sign(u, low))
    point = call.image(x, y)
    double = group.twice(point)
    difference = group.add(point, -call.psi(point, 1))
    # U begins with two ones.
    multiple = group.multiple(point, f"{U:b}"[2:], group.add(double, point))
    base = group.add(multiple, difference)
    total = group.add(group.multiple(base, f"{U:b}"[1:], base), difference)
    total = group.add(total, call.psi(double, 4))
    call.put_out(numbers(total.x, total.y), call.FACTOR)
    return p


def _g2_infinite() -> Program:
    """The same, which is infinity, for a point that has no part of order r. Its sign does not matter."""
    call = _MapToG2(G2_INFINITE, ": infinity")
    group = call.group
    point = call.image(*call.mapped(call.elements()[1]))
    image = call.psi(point, 1)
    bits = f"{U:b}"
    total = group.multiple(point, bits, call.constant_multiple(1))
    base = group.add(group.add(total, point), -image)
    total = group.multiple(base, bits[1:], base)
    for other in (point, -image, call.psi(group.twice(point), 4)):
        total = group.add(total, other)
    end = call.constant_multiple(U << len(bits))
    call.t.require2(total.x - end.x)
    call.t.require2(total.y - end.y)
    call.put_out_infinity(8)
    return call.p


def _g2_zero() -> Program:
    """u = 0."""
    call = _MapToG2(G2_ZERO, ": zero")
    words = [call.word(k) for k in range(4)]
    # They are not negative.
    call.exactly(sum(words[1:], words[0] + 0))
    result = _cleared2((0, 0))
    assert result
    for part in result:
        for number in part:
            call.put_out_number(number)
    return call.p


def _g2_large() -> Program:
    """A number is not below p."""
    call = _MapToG2(G2_LARGE, ": large")
    call.require_large([(call.word(k), call.word(k + 1)) for k in (0, 2)])
    return call.p


@cache
def g2_variants() -> tuple[Variant, ...]:
    """The programs of BLS12_MAP_FP2_TO_G2, by number."""
    return *(Variant(p) for p in (_g2_finite(), _g2_infinite(), _g2_zero())), Variant(_g2_large(), fails=True)


def g2_instances(data: bytes) -> list[Instance]:
    """The program that answers a call of BLS12_MAP_FP2_TO_G2.

    Args:
        data: the two numbers of an element, 64 bytes each. The caller fails calls with other lengths.

    Raises:
        ValueError: another length.
    """
    re, im = _elements(data, 2)
    if max(re, im) >= P:
        number = G2_LARGE
    elif not re and not im:
        number = G2_ZERO
    else:
        number = G2_FINITE if _cleared2((re, im)) else G2_INFINITE
    return _answer(g2_variants(), number)
