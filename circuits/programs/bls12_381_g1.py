"""Programs of the precompiles BLS12_G1ADD and BLS12_G1MSM.

Source: EIP-2537; execution-specs `prague/vm/precompiled_contracts/bls12_381/bls12_381_g1.py`.

A coordinate is 64 bytes, two words, below p. A point is on the curve, or infinity, which is all zeros; other points
fail. Sums are of any points of the curve, multiples only of those in the subgroup of order r.

The subgroup: a point P is in it exactly if P = [u + 1]P' for a point P' of the curve. The curve over Fp has r * (u +
1)^2 / 3 points, and [u + 1] takes all of them into the subgroup (El Housni, Guillevic, Piellard, "Co-factor clearing
and subgroup membership testing on pairing-friendly curves", 2022; RFC 9380, 8.8.1 clears the cofactor so); it is
invertible there, as r does not divide u + 1.

Multiples: k = k0 + k1 * u^2 modulo r for k0 and k1 of 128 bits, and [u^2]P = -phi(P) in the subgroup. A part multiplies
one point and adds it to the sum that the part before left. The sum is left together with an offset that is in it, in
the same registers by all parts: S + M and M, where M begins as the curve's `start`, and each multiple brings in another
offset O, which the prover chooses among 4 in every part. A sum of two points that are equal or opposite has no
solution. Such a sum for one choice says that a combination of the input's points is one of O, of `start` and of earlier
offsets: for each choice another one. In a part these are combinations of three points at most: of P (its table and its
loop), the multiple plus the sum before (adding them up, and the end's S = -2M), and their difference (adding them up).
Whatever points are given, one of 4 choices is left, or somebody knows a relation between offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from circuits.programs import bls12_381 as bls
from circuits.programs.curves import BLS12_381_G1, OFFSETS, Affine, Formulas
from circuits.programs.moduli import BLS12_381_P, BLS12_381_R, INTEGERS, TWO_128
from circuits.programs.program import (
    END,
    PART,
    SIGNED_DIGIT,
    WIDE,
    Instance,
    Pair,
    Program,
    Register,
    Run,
    UnsatisfiedError,
    Variant,
)

P, R, U = bls.P, bls.R, bls.U
LIMBS = 48
#: Bytes of a point and of a pair of a point and a scalar, and words of a point.
POINT_BYTES, PAIR_BYTES, POINT_WORDS = 128, 160, 4
_WORD = 1 << 256

#: Digits of 2 bits in half a scalar, and how often the offset is in a multiple.
WINDOWS = 64
_OFFSET = (4**WINDOWS - 1) // 3

_CURVE = BLS12_381_G1


class _Call:
    """The words of a call, and what programs say of them."""

    def __init__(self, number: int, name: str) -> None:
        self.p = Program(number, name, BLS12_381_P, LIMBS)
        self.f = Formulas(self.p, _CURVE)

    def words(self, count: int) -> list[Register]:
        """The first words of the input."""
        return [self.p.word(k) for k in range(count)]

    def compare(self, high: Register, low: Register, *, below: bool) -> None:
        """high * 2^256 + low is below p, or not: p - 1 minus it, or it minus p, is such a number, too. 2 rows."""
        p = self.p
        bound, sign = (P - 1, 1) if below else (P, -1)

        def difference(high: int, low: int) -> int:
            return max(sign * (bound - high * _WORD - low), 0)

        upper = p.free_word(lambda *words: difference(*words) >> 256, (high, low))
        lower = p.free_word(lambda *words: difference(*words) % _WORD, (high, low))
        one, word = p.constant_pair(1, _WORD)
        top, bottom = p.constant_pair(bound // _WORD, bound % _WORD)
        # Minus the carry.
        rest = p.reduce(one * (high + sign * upper) - top, INTEGERS)
        p.require(word * rest - one * bottom + low + sign * lower, INTEGERS)

    def residue(self, high: Register, low: Register) -> Register:
        """The number modulo p."""
        return self.p.reduce(self.p.constant_pair(1, _WORD)[1] * high + low)

    def point(self, words: Sequence[Register]) -> Pair:
        """A point's coordinates, below p."""
        self.compare(words[0], words[1], below=True)
        self.compare(words[2], words[3], below=True)
        return self.residue(words[0], words[1]), self.residue(words[2], words[3])

    def on_curve(self, words: Sequence[Register]) -> Pair:
        """A point that is not infinity."""
        point = self.point(words)
        self.f.require_on_curve(point)
        return point

    def require_infinity(self, words: Sequence[Register]) -> None:
        """All words, which are no negative integers, are 0."""
        one = self.p.constant_pair(1, _WORD)[0]
        self.p.require(one * (words[0] + words[1]) + words[2] + words[3], INTEGERS)

    def selected(self, entries: Sequence[Pair]) -> Pair:
        """The one of 4 pairs that the prover chooses."""
        return self.p.select(self.p.table(entries), [self.p.choice().digit(0)])

    def put_out(self, point: Pair) -> None:
        """Return a point."""
        for coordinate in point:
            high = self.p.output_word(lambda c: c % P >> 256, (coordinate,))
            low = self.p.output_word(lambda c: c % P % _WORD, (coordinate,))
            self.compare(high, low, below=True)
            self.p.require(self.p.constant_pair(1, _WORD)[1] * high + low - coordinate)

    def put_out_infinity(self) -> None:
        """Return infinity."""
        for _ in range(POINT_WORDS):
            self.p.output(0, INTEGERS)

    def require_large(self, words: Sequence[Register]) -> None:
        """One of the coordinates, the prover says which, is not below p."""
        pairs = [(words[k], words[k + 1]) for k in range(0, len(words), 2)]
        self.compare(*self.selected(pairs * (4 // len(pairs))), below=False)

    def require_invalid(self, x: Register, y: Register) -> None:
        """Coordinates modulo p are neither those of a point on the curve nor both 0.

        The coordinates need not be below p, because the call fails if they are not.
        """
        self.f.require_not_on_curve(x, y)
        # x or x + y is not 0.
        factor = self.p.solve(lambda x: 0 if x % P else 1, (x,), lambda f: f * f - f)
        self.f.require_nonzero(self.p.reduce(x + factor * y))

    def require_in_subgroup(self, point: Pair) -> None:
        """The point is [u + 1]P' for a point P' of the curve."""
        p, f = self.p, self.f
        inverse = pow(U + 1, -1, R)

        def divided(x: int, y: int) -> tuple[int, int]:
            return _CURVE.times(inverse, (x % P, y % P)) or (0, 0)

        (x,) = p.promise(1)
        p.fulfil([x], lambda x, y: [divided(x, y)[0]], point, lambda: [x - x])
        square = p.reduce(x * x)
        y = p.solve(lambda x, y: divided(x, y)[1], point, lambda y: y * y - x * square - _CURVE.b)
        base = total = (x, y)
        for k, bit in enumerate(f"{U + 1:b}"[1:]):
            # The first sum is that of P' and 2P': the other order would add P' and P'.
            if bit == "1" and k:
                total = f.double_and_add(total, base)
            else:
                total = f.double(total)
                total = f.add(total, base) if bit == "1" else total
        p.require(total[0] - point[0])
        p.require(total[1] - point[1])


# Sums.


def _add(number: int) -> Variant:
    """Two points with different x."""
    call = _Call(number, "BLS12_G1ADD")
    words = call.words(8)
    call.put_out(call.f.add(call.on_curve(words[:4]), call.on_curve(words[4:])))
    return Variant(call.p)


def _double(number: int) -> Variant:
    """Two equal points."""
    call = _Call(number, "BLS12_G1ADD: equal")
    words = call.words(8)
    point, other = call.on_curve(words[:4]), call.point(words[4:])
    for k in range(2):
        call.p.require(point[k] - other[k])
    call.put_out(call.f.double(point))
    return Variant(call.p)


def _opposite(number: int) -> Variant:
    """Two points with the same x and opposite y."""
    call = _Call(number, "BLS12_G1ADD: opposite")
    words = call.words(8)
    point, other = call.on_curve(words[:4]), call.point(words[4:])
    call.p.require(point[0] - other[0])
    call.p.require(point[1] + other[1])
    call.put_out_infinity()
    return Variant(call.p)


def _add_infinity(number: int) -> Variant:
    """One of the points, the prover says which, is infinity: the sum is the other one, which may be, too."""
    call = _Call(number, "BLS12_G1ADD: infinity")
    p = call.p
    words = call.words(8)
    choice = p.choice().digit(0)
    pairs = [(words[k], words[k + 1]) for k in range(0, 8, 2)]
    x_zero, y_zero = (p.select(p.table([pairs[k], pairs[k + 2]] * 2), [choice]) for k in range(2))
    x_other, y_other = (p.select(p.table([pairs[k + 2], pairs[k]] * 2), [choice]) for k in range(2))
    call.require_infinity((*x_zero, *y_zero))
    x, y = call.point((*x_other, *y_other))
    # Where it is not on the curve, x and y are 0.
    left = p.reduce(y * y - x * p.reduce(x * x) - _CURVE.b)
    p.require(left * x)
    p.require(left * y)
    for word in (*x_other, *y_other):
        p.output(word, INTEGERS)
    return Variant(p)


def _large(number: int, name: str, points: int, role: int) -> Variant:
    """A coordinate is not below p."""
    call = _Call(number, f"{name}: large")
    call.require_large(call.words(POINT_WORDS * points))
    return Variant(call.p, role, fails=True)


def _not_on_curve(number: int, name: str, points: int, role: int) -> Variant:
    """A point, the prover says which if there are two, is neither on the curve nor infinity."""
    call = _Call(number, f"{name}: not on the curve")
    words = call.words(POINT_WORDS * points)
    residues = [call.residue(words[k], words[k + 1]) for k in range(0, len(words), 2)]
    pairs = [(residues[k], residues[k + 1]) for k in range(0, len(residues), 2)]
    call.require_invalid(*(call.selected(pairs * 2) if points == 2 else pairs[0]))
    return Variant(call.p, role, fails=True)


@cache
def add_variants() -> tuple[Variant, ...]:
    """The programs of BLS12_G1ADD, by number from 60 on."""
    name = "BLS12_G1ADD"
    wholes = _add(60), _double(61), _opposite(62), _add_infinity(63)
    return *wholes, _large(64, name, 2, wholes[0].role), _not_on_curve(65, name, 2, wholes[0].role)


def _read_point(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:64], "big"), int.from_bytes(data[64:], "big")


def add_instances(data: bytes) -> list[Instance]:
    """The program that answers a call of BLS12_G1ADD with this input of 256 bytes."""
    generic, double, opposite, infinity, large, not_on_curve = add_variants()
    points = [_read_point(data[k : k + POINT_BYTES]) for k in (0, POINT_BYTES)]
    for k, coordinate in enumerate((*points[0], *points[1])):
        if coordinate >= P:
            return [Instance(large, choice=k)]
    for k, point in enumerate(points):
        if point != (0, 0) and not _CURVE.contains(*point):
            return [Instance(not_on_curve, choice=k)]
    for k, point in enumerate(points):
        if point == (0, 0):
            return [Instance(infinity, choice=k)]
    (x1, y1), (x2, y2) = points
    if x1 != x2:
        return [Instance(generic)]
    return [Instance(double if y1 == y2 else opposite)]


# Multiples and their sums.


class _Part(_Call):
    """A part, which leaves S + M and M in the first 4 registers of the wide table."""

    def __init__(self, number: int, name: str, first: bool) -> None:
        super().__init__(number, f"BLS12_G1MSM: {name}" + ", first" * first)
        self.left = self.p.promise(4)
        self.first = first

    def before(self) -> tuple[Pair, Pair]:
        """What the part before left."""
        if self.first:
            start = self.p.constant_pair(*_CURVE.start)
            return start, start
        return _linked(self.p)

    def leave(self, total: Pair, offset: Pair) -> None:
        """Leave S + M and M for the part behind."""
        values = [*total, *offset]
        self.p.fulfil(
            self.left, lambda *v: v, values, lambda: [r - value for r, value in zip(self.left, values, strict=True)]
        )


def _linked(p: Program) -> tuple[Pair, Pair]:
    total, offset = (p.linked(Register(WIDE + k, SIGNED_DIGIT, 0)) for k in (0, 2))
    return total, offset


def _multiple(number: int, first: bool) -> Variant:
    """A point of the subgroup that is not infinity, and any scalar."""
    call = _Part(number, "a point", first)
    p, f = call.p, call.f
    words = call.words(5)
    point, scalar = call.on_curve(words[:4]), words[4]
    call.require_in_subgroup(point)

    low = p.free_word(lambda s: s % R % (U * U), (scalar,), below=TWO_128)
    high = p.free_word(lambda s: s % R // (U * U), (scalar,), below=TWO_128)
    bits = p.bits(lambda low, high: low + (high << 128), (low, high))
    half, square = p.constant_pair(1 << 128, U * U)
    p.require(half * high + low - bits.register, INTEGERS)
    p.require(square * high + low - scalar, BLS12_381_R)

    choice = p.choice().digit(0)
    offset = p.select(p.constant_table(_CURVE.offsets), [choice])
    image = p.reduce(point[0] * p.constant(bls.BETA)), p.reduce(-point[1])
    table = p.table(f.joint_table(offset, point, image, (0, 0)))
    total: Pair | None = None
    for window in reversed(range(WINDOWS)):
        entry = p.select(table, [bits.digit(window, 4), bits.digit(window + WINDOWS)])
        total = entry if total is None else f.double_and_add(f.double(total), entry)
    assert total is not None

    before, before_offset = call.before()
    multiples = [_CURVE.times(_OFFSET % R, o) for o in _CURVE.offsets]
    extra = p.select(p.constant_table([m for m in multiples if m]), [choice])
    call.leave(f.add(before, total), f.add(before_offset, extra))
    return Variant(p, PART)


def _infinite(number: int, first: bool) -> Variant:
    """Infinity, and any scalar."""
    call = _Part(number, "infinity", first)
    call.require_infinity(call.words(4))
    call.leave(*call.before())
    return Variant(call.p, PART)


def _not_in_subgroup(number: int, offset: bool) -> Variant:
    """A point of the curve that is not in the subgroup.

    Args:
        number: of the program.
        offset: for points whose order is not a multiple of r.
    """
    call = _Call(number, "BLS12_G1MSM: not in the subgroup" + ", of small order" * offset)
    point = call.on_curve(call.words(4))
    start = bls.g1_point(*_CURVE.start) if offset else None
    bls.G1Formulas(call.p).require_not_in_subgroup(point, start)
    return Variant(call.p, PART, fails=True)


def _end(number: int) -> Variant:
    """The sum is not infinity."""
    call = _Call(number, "BLS12_G1MSM: end")
    total, offset = _linked(call.p)
    call.put_out(call.f.add(total, offset, -1))
    return Variant(call.p, END)


def _end_at_infinity(number: int) -> Variant:
    """The sum is infinity."""
    call = _Call(number, "BLS12_G1MSM: end at infinity")
    total, offset = _linked(call.p)
    for k in range(2):
        call.p.require(total[k] - offset[k])
    call.put_out_infinity()
    return Variant(call.p, END)


@cache
def multiply_variants() -> tuple[Variant, ...]:
    """The programs of BLS12_G1MSM: numbers 66 to 69 and 160 to 165."""
    name = "BLS12_G1MSM"
    return (
        _multiple(66, True),
        _multiple(67, False),
        _infinite(68, True),
        _infinite(69, False),
        _end(160),
        _end_at_infinity(161),
        _large(162, name, 1, PART),
        _not_on_curve(163, name, 1, PART),
        _not_in_subgroup(164, False),
        _not_in_subgroup(165, True),
    )


def _part_of(words: Sequence[int], first: bool) -> tuple[Variant, Affine]:
    """The program for a pair, up to the choice, and the multiple."""
    *multiples, large, not_on_curve, not_in_subgroup, small_order = multiply_variants()
    point = words[0] * _WORD + words[1], words[2] * _WORD + words[3]
    if max(point) >= P:
        return large, None
    if point == (0, 0):
        return multiples[2 if first else 3], None
    if not _CURVE.contains(*point):
        return not_on_curve, None
    if _CURVE.times(R, point) is not None:
        return small_order if _CURVE.times(_CURVE.cofactor, point) is None else not_in_subgroup, None
    return multiples[0 if first else 1], _CURVE.times(words[4] % R, point)


def multiply_instances(data: bytes) -> list[Instance]:
    """The programs that answer a call of BLS12_G1MSM with this input.

    Args:
        data: pairs of a point and a scalar, 160 bytes each, and at least one. The caller fails calls with others.

    Raises:
        ValueError: the length is 0 or no multiple of 160.
        UnsatisfiedError: no choice of offsets is one for this input.
    """
    if not data or len(data) % PAIR_BYTES:
        raise ValueError(f"{len(data)} bytes are no pairs of points and scalars")
    end, end_at_infinity = multiply_variants()[4:6]
    found: list[Instance] = []
    run: Run | None = None
    total: Affine = None
    for offset in range(0, len(data), PAIR_BYTES):
        linked = len(found) - 1 if found else None
        words = [int.from_bytes(data[k : k + 32], "big") for k in range(offset, offset + PAIR_BYTES, 32)]
        part, multiple = _part_of(words, first=not found)
        if part.fails:
            choice = 1 if words[0] * _WORD + words[1] < P else 0
            return [*found, Instance(part, offset, choice, linked)]
        total = _CURVE.add(total, multiple)
        ending = end if total else end_at_infinity
        choice, run = _answered(part, words, run, ending)
        found.append(Instance(part, offset, choice, linked))
    return [*found, Instance(ending, linked=len(found) - 1)]


def _answered(part: Variant, words: Sequence[int], before: Run | None, ending: Variant) -> tuple[int, Run]:
    """An offset with which the part can be run, and its run.

    The end can be run behind it, too: points at infinity that follow have no choice and change nothing.
    """
    for choice in range(OFFSETS):
        try:
            run = part.program.run(words, choice=choice, linked=before)
            ending.program.run([], linked=run)
        except UnsatisfiedError:
            continue
        return choice, run
    raise UnsatisfiedError(f"{part.program.name}: no offset is one for this input")
