"""Programs of the precompiles BLS12_G2ADD and BLS12_G2MSM.

Source: EIP-2537; execution-specs `prague/vm/precompiled_contracts/bls12_381/bls12_381_g2.py`.

A coordinate is two elements of Fp, each 64 bytes, two words, below p. A point is on the twist, or infinity, which is
all zeros; other points fail. Sums are of any points of the twist, multiples only of those in the subgroup of order r.

The subgroup: as `bls12_381_pairing` has it, [u]Q = -psi(Q), with its argument that no slope is free.

Multiples: k = k0 + k1 u + k2 u^2 + k3 u^3 modulo r with k0 to k3 of 64 bits, since r < u^4. [u]Q = -psi(Q), and psi^2
takes the table of [i]Q - [j]psi(Q) + O to that of [i u^2]Q + [j u^3]Q + psi^2(O). A part multiplies one point and adds
it to the sum that the part before left, together with an offset that is in it: S + M and M, where M begins as a
constant, and each multiple brings in an offset O, which the prover chooses among 4 in every part. The discrete
logarithms of offsets are not known.

A sum of two points that are equal or opposite has no solution. For one choice such a sum says that a combination of the
input's points is one of O, of the start and of earlier offsets, and for each choice another one: in a table or a loop O
has a factor a + b u^2 for a and b below 2^64 and not both 0, which r does not divide. In a part these are combinations
of three points at most: of Q (its tables and its loop), the multiple plus the sum before (adding them up, and the end's
S = -2M), and their difference (adding them up). So one of 4 choices is left, whatever points are given, or somebody
knows a relation between offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from circuits.programs import bls12_381 as bls
from circuits.programs.bls12_381 import FIELD, TWIST_B, P, R, U
from circuits.programs.extensions import Point, signed_digits
from circuits.programs.moduli import BLS12_381_P, BLS12_381_R, INTEGERS
from circuits.programs.pairings import require_some
from circuits.programs.program import (
    END,
    PART,
    SIGNED_DIGIT,
    WHOLE,
    WIDE,
    Bits,
    Instance,
    Program,
    Register,
    Run,
    UnsatisfiedError,
    Variant,
    lift,
)
from circuits.programs.towers import Fp2, Tower, numbers
from circuits.programs.twists import Twist, TwistPoint

LIMBS = 48
#: Bytes of a point, of a pair of a point and a scalar, and words of a point.
POINT_BYTES, PAIR_BYTES, POINT_WORDS = 256, 288, 8
#: Offsets to choose from; parts of a scalar, their bits, and windows of 2 bits.
CHOICES, PARTS, PART_BITS, WINDOWS = 4, 4, 64, 32

ADD, DOUBLE, OPPOSITE, INFINITY, LARGE, OFF_CURVE = range(170, 176)
MULTIPLE, NOTHING = 176, 178
FINITE_END, INFINITE_END, LARGE_PART, OFF_CURVE_PART, OFF_SUBGROUP = range(180, 185)


@cache
def _offsets() -> list[Point]:
    return [bls.hashed_twist_point(b"BLS12_G2MSM, offset %d" % k) for k in range(CHOICES)]


@cache
def _start() -> Point:
    return bls.hashed_twist_point(b"BLS12_G2MSM, start")


class _Call(bls.LongIntegers):
    """The words of a call, and what programs say of them."""

    def __init__(self, number: int, name: str, left: int = 0) -> None:
        super().__init__(Program(number, name, BLS12_381_P, LIMBS), shift=256)
        # What a part leaves is in the first rows of the wide table.
        self.left = self.p.promise(left)
        self.t = Tower(self.p, FIELD)
        self.twist = Twist(self.t)

    def pairs(self, point: int) -> list[tuple[Register, Register]]:
        """The words of a point's four elements: x, then y, real parts first."""
        return [(self.word(k), self.word(k + 1)) for k in range(POINT_WORDS * point, POINT_WORDS * (point + 1), 2)]

    def coordinates(self, pairs: Sequence[tuple[Register, Register]], *, checked: bool = True) -> TwistPoint:
        """A point's coordinates; below p if checked."""
        if checked:
            for high, low in pairs:
                self.at_most(high, low, P - 1)
        x, x_im, y, y_im = (self.residue(high, low) for high, low in pairs)
        return TwistPoint(Fp2.of(x, x_im), Fp2.of(y, y_im))

    def on_twist(self, point: int, *, checked: bool = True) -> TwistPoint:
        """A finite point of the input."""
        found = self.coordinates(self.pairs(point), checked=checked)
        self.twist.require_on_curve(found, TWIST_B)
        return found

    def put_out(self, point: TwistPoint) -> None:
        """Return a point."""
        for c in numbers(point.x, point.y):
            high = self.p.output_word(lambda v: v % P >> 256, (c,))
            low = self.p.output_word(lambda v: v % P % (1 << 256), (c,))
            self.at_most(high, low, P - 1)
            self.p.require(self.power(256) * high + low - c)

    def put_out_infinity(self) -> None:
        """Return infinity."""
        for _ in range(POINT_WORDS):
            self.p.output(0, INTEGERS)

    def require_invalid(self, points: Sequence[TwistPoint]) -> None:
        """Of one or two points, one is neither on the twist nor infinity; coordinates are registers modulo p."""
        p, t = self.p, self.t
        point = points[0]
        if len(points) == 2:
            which = p.solve(
                lambda a, b, c, d: int(_off_curve(((a, b), (c, d)))),
                numbers(point.x, point.y),
                lambda b: b * b - b,
            )
            x, y = (
                t.reduce2(Fp2.of(which * (a.re - b.re) + b.re, which * (a.im - b.im) + b.im))
                for a, b in ((point.x, points[1].x), (point.y, points[1].y))
            )
            point = TwistPoint(x, y)
        require_some(p, _registers(point.x, point.y))
        require_some(p, _registers(self.twist.residual(point, TWIST_B)))

    def constants(self, points: Sequence[Point], choice: Bits) -> TwistPoint:
        """The one of 4 points that the prover chooses."""
        x, y = (self.p.select(self.p.constant_table([a[k] for a in points]), [choice.digit(0)]) for k in range(2))
        return TwistPoint(Fp2.of(*x), Fp2.of(*y))


def _registers(*parts: Fp2) -> list[Register]:
    return [register for polynomial in numbers(*parts) for register in polynomial.linear]


def _off_curve(point: Point) -> bool:
    """Neither on the twist nor infinity."""
    return any(c % P for part in point for c in part) and not FIELD.on_curve(point, TWIST_B)


# Sums.


def _add() -> Program:
    """Two points with different x."""
    call = _Call(ADD, "BLS12_G2ADD")
    call.put_out(call.twist.add_distinct(call.on_twist(0), call.on_twist(1)))
    return call.p


def _same_x(number: int, name: str, sign: int) -> tuple[_Call, TwistPoint]:
    """Two points with the same x, and the same y or opposite ones."""
    call = _Call(number, f"BLS12_G2ADD: {name}")
    point, other = call.on_twist(0), call.coordinates(call.pairs(1))
    call.t.require2(point.x - other.x)
    call.t.require2(point.y - other.y * sign)
    return call, point


def _double() -> Program:
    # No point has order 2.
    call, point = _same_x(DOUBLE, "equal", 1)
    call.put_out(call.twist.twice(point))
    return call.p


def _opposite() -> Program:
    call, _ = _same_x(OPPOSITE, "opposite", -1)
    call.put_out_infinity()
    return call.p


def _add_infinity() -> Program:
    """One of the points, a bit says which, is infinity: the sum is the other one, which may be, too."""
    call = _Call(INFINITY, "BLS12_G2ADD: infinity")
    p, t = call.p, call.t
    words = [[w for pair in call.pairs(k) for w in pair] for k in range(2)]
    first = call.bit(lambda *values: int(not any(values)), *words[0])
    for a, b in zip(*words, strict=True):
        call.exactly(first * (a - b) + b)
    others = [p.output(first * (b - a) + a, INTEGERS) for a, b in zip(*words, strict=True)]
    point = call.coordinates([(others[k], others[k + 1]) for k in range(0, POINT_WORDS, 2)])
    # Where it is not on the twist, x and y are 0.
    left = call.twist.residual(point, TWIST_B)
    t.require2(left * point.x)
    t.require2(left * point.y)
    return p


def _large(number: int, name: str, points: int) -> Program:
    call = _Call(number, f"{name}: large")
    call.require_large([pair for k in range(points) for pair in call.pairs(k)])
    return call.p


def _not_on_twist(number: int, name: str, points: int) -> Program:
    call = _Call(number, f"{name}: not on the twist")
    call.require_invalid([call.coordinates(call.pairs(k), checked=False) for k in range(points)])
    return call.p


@cache
def add_variants() -> tuple[Variant, ...]:
    """The programs of BLS12_G2ADD."""
    valid = [_add(), _double(), _opposite(), _add_infinity()]
    failing = [_large(LARGE, "BLS12_G2ADD", 2), _not_on_twist(OFF_CURVE, "BLS12_G2ADD", 2)]
    return (*(Variant(p, WHOLE) for p in valid), *(Variant(p, WHOLE, fails=True) for p in failing))


def _read_point(words: Sequence[int]) -> Point:
    e = [(words[k] << 256) + words[k + 1] for k in range(0, POINT_WORDS, 2)]
    return (e[0], e[1]), (e[2], e[3])


def _words(data: bytes, offset: int, count: int) -> list[int]:
    return [int.from_bytes(data[offset + 32 * k : offset + 32 * k + 32].ljust(32, b"\0"), "big") for k in range(count)]


def _variant(variants: Sequence[Variant], number: int) -> Variant:
    return next(v for v in variants if v.program.number == number)


def add_instances(data: bytes) -> list[Instance]:
    """The program that answers a call of BLS12_G2ADD with this input of 512 bytes."""
    points = [_read_point(_words(data, k * POINT_BYTES, POINT_WORDS)) for k in range(2)]
    if any(c >= P for point in points for part in point for c in part):
        number = LARGE
    elif any(_off_curve(point) for point in points):
        number = OFF_CURVE
    elif any(point == ((0, 0), (0, 0)) for point in points):
        number = INFINITY
    elif points[0][0] != points[1][0]:
        number = ADD
    else:
        number = DOUBLE if points[0] == points[1] else OPPOSITE
    return [Instance(_variant(add_variants(), number))]


# Multiples and their sums.


def _points_left(p: Program) -> tuple[TwistPoint, TwistPoint]:
    """S + M and M of the part before."""
    a, b, c, d = (Fp2.of(*p.linked(Register(WIDE + k, SIGNED_DIGIT, 0))) for k in range(0, 8, 2))
    return TwistPoint(a, b), TwistPoint(c, d)


class _Part(_Call):
    """A part, which leaves S + M and M."""

    def __init__(self, number: int, name: str, first: bool) -> None:
        super().__init__(number + (not first), f"BLS12_G2MSM: {name}" + ", first" * first, left=8)
        self.first = first

    def before(self) -> tuple[TwistPoint, TwistPoint]:
        """What the part before left."""
        if not self.first:
            return _points_left(self.p)
        start = TwistPoint(*(self.t.constant2(c) for c in _start()))
        return start, start

    def leave(self, total: TwistPoint, offset: TwistPoint) -> None:
        """Leave them for the part behind."""
        values = numbers(total.x, total.y, offset.x, offset.y)
        self.p.fulfil(
            self.left, lambda *v: v, values, lambda: [r - value for r, value in zip(self.left, values, strict=True)]
        )

    def require_in_subgroup(self, q: TwistPoint) -> TwistPoint:
        """[u]Q = -psi(Q), which is returned."""
        point = q
        for digit in signed_digits(U)[1:]:
            point = self.twist.twice(point)
            if digit:
                other = q if digit > 0 else -q
                slope = self.twist.chord(point, other)
                point = self.twist.third(slope, point, other)
        image = -self.twist.endomorphism(q, 1)
        self.t.require2(point.x - image.x)
        self.t.require2(point.y - image.y)
        return image

    def scalar_bits(self, scalar: Register) -> Bits:
        """Bits of a number whose parts of 64 bits are the digits to the base u of the scalar modulo r."""
        p = self.p
        parts = [p.free_word(lambda s, k=k: s % R // U**k % U, (scalar,)) for k in range(PARTS)]
        for part in parts:
            # A part has 64 bits, since 2^192 times it has 256.
            self.exactly(self.power(192) * part - p.free_word(lambda v: v << 192, (part,)))
        total = lift(-scalar)
        for k, part in enumerate(parts):
            total = total + p.constant(U**k) * part
        p.require(total, BLS12_381_R)
        bits = p.bits(lambda *v: sum(part << PART_BITS * k for k, part in enumerate(v)), parts)
        number = -lift(bits.register)
        for k, part in enumerate(parts):
            number = number + self.power(PART_BITS * k) * part
        self.exactly(number)
        return bits


def _consecutive(p: Program, x: Fp2) -> tuple[Register, Register]:
    """Copies, one register behind the other."""
    return p.reduce(x.re), p.reduce(x.im)


def _multiple(first: bool) -> Program:
    """A point of the subgroup that is not infinity, and any scalar."""
    call = _Part(MULTIPLE, "a point", first)
    p, twist = call.p, call.twist
    q = call.on_twist(0)
    bits = call.scalar_bits(call.word(POINT_WORDS))
    image = call.require_in_subgroup(q)
    choice = p.choice()
    # [i]Q + [j u]Q + O at i + 4 j.
    entries = [call.constants(_offsets(), choice)]
    for k in range(1, 16):
        entries.append(twist.add_distinct(entries[k - 1], q) if k % 4 else twist.add_distinct(entries[k - 4], image))
    squares = [twist.endomorphism(entry, 2) for entry in entries]
    tables = [
        [p.table([_consecutive(p, c) for c in part]) for part in zip(*((e.x, e.y) for e in points), strict=True)]
        for points in (entries, squares)
    ]
    total: TwistPoint | None = None
    for window in reversed(range(WINDOWS)):
        if total is not None:
            total = twist.twice(twist.twice(total))
        for k, both in enumerate(tables):
            digits = [bits.digit(window + 2 * k * WINDOWS), bits.digit(window + (2 * k + 1) * WINDOWS, 4)]
            x, y = (Fp2.of(*p.select(table, digits)) for table in both)
            entry = TwistPoint(x, y)
            total = twist.add_distinct(total, entry) if total is not None else entry
    assert total is not None
    before, before_offset = call.before()
    factor = (4**WINDOWS - 1) // 3 * (1 + U * U)
    extras = [FIELD.multiply_point(offset, factor % R) for offset in _offsets()]
    extra = call.constants([e for e in extras if e is not None], choice)
    call.leave(twist.add_distinct(before, total), twist.add_distinct(before_offset, extra))
    return p


def _nothing(first: bool) -> Program:
    """Infinity, and any scalar."""
    call = _Part(NOTHING, "infinity", first)
    for pair in call.pairs(0):
        for word in pair:
            call.exactly(word)
    call.leave(*call.before())
    return call.p


def _not_in_subgroup() -> Program:
    """A point of the twist that is not in the subgroup."""
    call = _Call(OFF_SUBGROUP, "BLS12_G2MSM: not in the subgroup")
    q = call.on_twist(0, checked=False)
    choice = call.p.choice()
    ends = [FIELD.multiply_point(a, 1 << len(signed_digits(U))) for a in _offsets()]
    start, end = call.constants(_offsets(), choice), call.constants([e for e in ends if e is not None], choice)
    bls.require_not_in_g2(call.twist, q, start, end)
    return call.p


def _end() -> Program:
    """The sum is not infinity."""
    call = _Call(FINITE_END, "BLS12_G2MSM: end")
    total, offset = _points_left(call.p)
    call.put_out(call.twist.add_distinct(total, -offset))
    return call.p


def _end_at_infinity() -> Program:
    """The sum is infinity."""
    call = _Call(INFINITE_END, "BLS12_G2MSM: end at infinity")
    total, offset = _points_left(call.p)
    call.t.require2(total.x - offset.x)
    call.t.require2(total.y - offset.y)
    call.put_out_infinity()
    return call.p


@cache
def multiply_variants() -> tuple[Variant, ...]:
    """The programs of BLS12_G2MSM."""
    name = "BLS12_G2MSM"
    parts = [make(first) for make in (_multiple, _nothing) for first in (True, False)]
    failing = [_large(LARGE_PART, name, 1), _not_on_twist(OFF_CURVE_PART, name, 1), _not_in_subgroup()]
    return (
        *(Variant(p, PART) for p in parts),
        *(Variant(p, PART, fails=True) for p in failing),
        *(Variant(p, END) for p in (_end(), _end_at_infinity())),
    )


def _kind(words: Sequence[int], first: bool) -> int:
    """The number of the program for a pair."""
    point = _read_point(words)
    if any(c >= P for part in point for c in part):
        return LARGE_PART
    if point == ((0, 0), (0, 0)):
        return NOTHING + (not first)
    if _off_curve(point):
        return OFF_CURVE_PART
    return MULTIPLE + (not first) if bls.in_subgroup(point) else OFF_SUBGROUP


def multiply_instances(data: bytes) -> list[Instance]:
    """The programs that answer a call of BLS12_G2MSM with this input.

    Args:
        data: pairs of a point and a scalar, 288 bytes each, and at least one. The caller fails calls with others.

    Raises:
        ValueError: the length is 0 or no multiple of 288.
        UnsatisfiedError: no choice of offsets is one for this input.
    """
    if not data or len(data) % PAIR_BYTES:
        raise ValueError(f"{len(data)} bytes are no pairs of points and scalars")
    variants = multiply_variants()
    found: list[Instance] = []
    run: Run | None = None
    total: Point | None = None
    number = INFINITE_END
    for offset in range(0, len(data), PAIR_BYTES):
        words = _words(data, offset, POINT_WORDS + 1)
        part = _variant(variants, _kind(words, first=not found))
        linked = len(found) - 1 if found else None
        ending: Program | None = None
        if part.program.number in (MULTIPLE, MULTIPLE + 1):
            total = FIELD.add_points(total, FIELD.multiply_point(_read_point(words), words[POINT_WORDS] % R))
            number = INFINITE_END if total is None else FINITE_END
            ending = _variant(variants, number).program
        choice, run = _answered(part.program, words, run, ending)
        found.append(Instance(part, offset, choice, linked))
        if part.fails:
            return found
    return [*found, Instance(_variant(variants, number), linked=len(found) - 1)]


def _answered(program: Program, words: Sequence[int], before: Run | None, ending: Program | None) -> tuple[int, Run]:
    """An offset with which a part can be run, and an end behind it; and its run."""
    for choice in range(CHOICES):
        try:
            run = program.run(words, choice=choice, linked=before)
            if ending is not None:
                ending.run([], linked=run)
        except UnsatisfiedError:
            continue
        return choice, run
    raise UnsatisfiedError(f"{program.name}: no offset is one for this input")
