"""Programs of the precompile that verifies a KZG proof of a blob's polynomial at a point.

Source: EIP-4844; consensus-specs `specs/deneb/polynomial-commitments.md` (`verify_kzg_proof`); execution-specs
`cancun/vm/precompiled_contracts/point_evaluation.py`.

The proof W of p(z) = y under the commitment C is right if e(C - [y]G1, G2) = e(W, [s - z]G2), which is

    e(D, G2) * e(-W, [s]G2) = 1 with D = C - [y]G1 + [z]W:

both points of G2 are constants, and so are the lines of their Miller loops. A pairing with infinity is 1, one of two
points of order r is not 1.

D: [z]W = [z0]W - [z1]phi(W) for z = z0 + z1 u^2 modulo r, and [y]G1 likewise: an addition for every window of digits,
into a sum that is doubled for both. All entries of tables have a summand of which nobody knows the discrete logarithm,
so that none is at infinity. A sum of equal or opposite points has no solution; it occurs when W or C are certain
combinations of the summand S, of which the prover chooses one of four, and known points. Whoever makes it occur for two
of them knows a discrete logarithm. What was added is subtracted at the end. All of this is sound for whatever choice.

The pairing: let f be the product of both Miller loops, in Fp12* / Fp6*, cyclic of order p^6 + 1; L = p + u, where the
common divisor of L and p^6 + 1 is r, and r^2 does not divide p^6 + 1. The power (p^12 - 1) / r of f is 1 if and only if
f * c^L is trivial for some c, and is not 1 if and only if f * c^L = e for some c and some e that is not trivial, of
which e^L is; `alt_bn128_pairing` has the argument. The loop starts with c in place of 1, so that c^u takes no squares
of its own.

A program that fails the call need not prove that the rest of the input is valid: the call fails if it is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

from circuits.functions.buses import SHA256_FUNCTION
from circuits.programs import bls12_381 as bls
from circuits.programs.extensions import Point, Six, Twelve
from circuits.programs.moduli import BLS12_381_P, BLS12_381_R, INTEGERS, TWO_128
from circuits.programs.program import (
    Bits,
    Instance,
    Pair,
    PairTable,
    Polynomial,
    Program,
    Register,
    UnsatisfiedError,
    Variant,
    lift,
)
from circuits.programs.towers import NONE, Fp6, Tower, fp6

P, R, U = bls.P, bls.R, bls.U
LIMBS = 48
INPUT_BYTES = 192

#: EIP-4844.
FIELD_ELEMENTS_PER_BLOB = 4096
VERSIONED_HASH_VERSION_KZG = 1
COMMITMENT_BYTES = 48

#: [s]G2 of the ceremony for EIP-4844: consensus-specs `presets/mainnet/trusted_setups/trusted_setup_4096.json`, the
#: second of `g2_monomial`.
SECRET_G2: Point = (
    (
        0x185CBFEE53492714734429B7B38608E23926C911CCECEAC9A36851477BA4C60B087041DE621000EDC98EDADA20C1DEF2,
        0x15BFD7DD8CDEB128843BC287230AF38926187075CBFBEFA81009A2CE615AC53D2914E5870CB452D2AFAAAB24F3499F72,
    ),
    (
        0x014353BDB96B626DD7D5EE8599D1FCA2131569490E28DE18E82451A496A9C9794CE26D105941F383EE689BFBBB832A99,
        0x1666C54B0A32529503432FCAE0181B4BEF79DE09FC63671FDA5ED1BA9BFA07899495346F3D7AC9CD23048EF30D0A154F,
    ),
)

#: Digits of 2 bits in half a scalar, and summands to choose from.
HALF_DIGITS, CHOICES = 64, 4

#: Flags of an encoding, its three upper bits: compressed and finite with the sign 0; at infinity.
FINITE, INFINITE = 4, 6
_REST = 1 << 253


@cache
def _lines() -> tuple[bls.Lines, bls.Lines]:
    return bls.lines(bls.G2), bls.lines(SECRET_G2)


@cache
def _summands() -> tuple[list[Point], Point]:
    """Those of W's table, by choice, and that of the generator's."""
    chosen = [bls.hashed_point(b"point evaluation, summand %d" % k) for k in range(CHOICES)]
    return chosen, bls.hashed_point(b"point evaluation, summand of the generator")


def _add(*points: Point | None) -> Point:
    total: Point | None = None
    for point in points:
        total = bls.FIELD.add_points(total, point)
    assert total is not None
    return total


def _times(point: Point, k: int) -> Point | None:
    return bls.FIELD.multiply_point(point, k % R)


@cache
def _generator_table() -> list[Point]:
    """-[i + j u^2]G1 + H at i + 16 j, for i and j of 4 bits."""
    summand = _summands()[1]
    rows = [_times(bls.G1, -j * U * U) for j in range(16)]
    columns = [_times(bls.G1, -i) for i in range(16)]
    return [_add(row, column, summand) for row in rows for column in columns]


class _Call(bls.LongIntegers):
    """The words of a call, and what programs say of them."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(Program(number, f"point evaluation, {name}", BLS12_381_P, LIMBS), shift=128)
        self._halves: dict[int, tuple[Register, Register]] = {}

    # Encodings: 48 bytes, as the first 32 and the last 16, integers.

    def _parts(self, position: int) -> tuple[Register, Register]:
        """A word as its upper and lower halves; always the same registers."""
        if position not in self._halves:
            word = self.word(position)
            high = self.p.free_word(lambda w: w >> 128, (word,), below=TWO_128)
            low = self.p.free_word(lambda w: w % (1 << 128), (word,), below=TWO_128)
            self.exactly(self.power(128) * high + low - word)
            self._halves[position] = high, low
        return self._halves[position]

    def commitment(self) -> tuple[Register, Register]:
        """The encoding of C."""
        return self.word(3), self._parts(4)[0]

    def proof(self) -> tuple[Register, Register]:
        """The encoding of W."""
        upper = self._parts(4)[1]
        middle, low = self._parts(5)
        return self.p.reduce(self.power(128) * upper + middle, INTEGERS), low

    def flags(self, high: Register) -> tuple[Register, Register]:
        """The three upper bits, and the rest of the upper word."""
        flags = self.p.free_word(lambda w: w >> 253, (high,))
        rest = self.p.free_word(lambda w: w % _REST, (high,))
        # The rest has 253 bits, since 8 times it has 256.
        shifted = self.p.free_word(lambda w: w * 8, (rest,))
        self.exactly(rest * 8 - shifted)
        self.exactly(self.power(253) * flags + rest - high)
        return flags, rest

    def decoded(self, encoding: tuple[Register, Register]) -> Pair:
        """A finite point of the curve from its encoding, all of which is checked but the subgroup."""
        p = self.p
        high, low = encoding
        rest = p.free_word(lambda w: w % _REST, (high,))
        sign = self.bit(lambda w: w >> 253 & 1, high)
        self.exactly(self.power(253) * (sign + FINITE) + rest - high)
        # x < p: so that the rest has 253 bits.
        self.at_most(rest, low, P - 1)
        x = self.residue(rest, low)
        # The root that is at most (p - 1) / 2, which has the sign 0; y is not 0.
        square = p.reduce(x * p.reduce(x * x) + bls.CURVE_B)
        upper = p.free_word(lambda s: _lower_root(s) >> 128, (square,))
        lower = p.free_word(lambda s: _lower_root(s) & ((1 << 128) - 1), (square,))
        self.at_most(upper, lower, (P - 1) // 2)
        root = self.residue(upper, lower)
        p.require(root * root - square)
        return x, p.reduce(root - sign * root * 2)

    def infinite(self, encoding: tuple[Register, Register]) -> None:
        """The encoding of infinity."""
        self.exactly(encoding[0] - self.power(253) * INFINITE)
        self.exactly(encoding[1])

    # The versioned hash: 1, and the digest's lower 31 bytes.

    def hash_difference(self) -> Polynomial:
        """The versioned hash less what it must be, an integer."""
        p = self.p
        # Behind its end, an input of a hash function has zeros.
        p.hashed(self.word(3), INTEGERS)
        p.hashed(self.power(128) * self._parts(4)[0], INTEGERS)
        digest = p.digest(SHA256_FUNCTION, COMMITMENT_BYTES)
        first = p.free_word(lambda d: d >> 248, (digest,))
        rest = p.free_word(lambda d: d % (1 << 248), (digest,))
        shifted = p.free_word(lambda d: d << 8, (rest,))
        self.exactly(rest * 256 - shifted)
        self.exactly(self.power(248) * first + rest - digest)
        return self.word(0) - rest - self.power(248) * VERSIONED_HASH_VERSION_KZG

    def scalar(self, position: int) -> Register:
        """z or y: a word below r."""
        return self.p.word(position, below=BLS12_381_R)

    # D.

    def halves(self, scalar: Register) -> Bits:
        """Bits of s0 + s1 * 2^128 for a scalar s0 + s1 * u^2 modulo r."""
        p = self.p
        low = p.free_word(lambda s: s % (U * U), (scalar,), below=TWO_128)
        high = p.free_word(lambda s: s // (U * U), (scalar,), below=TWO_128)
        p.require(p.constant(U * U) * high + low - scalar, BLS12_381_R)
        bits = p.bits(lambda a, b: a + (b << 128), (low, high))
        self.exactly(self.power(128) * high + low - bits.register)
        return bits

    def multiples(self, point: Pair, summand: Pair) -> PairTable:
        """[i]W - [j]phi(W) + S at i + 4 j."""
        image = self.g1.phi(point)
        other = image[0], self.p.reduce(-image[1])
        entries = [summand]
        for i in range(1, 16):
            entries.append(self.g1.add(entries[i - 1], point) if i % 4 else self.g1.add(entries[i - 4], other))
        return self.p.table(entries)

    def combination(self, y: Register, proof: tuple[Register, Pair] | None) -> tuple[Pair, Pair]:
        """-[y]G1 + [z]W + O, and -O: proof is z and W, or None for none."""
        p, g1 = self.p, self.g1
        choice = p.choice().digit(0)
        chosen, fixed = _summands()
        generators = p.constant_table([(a[0][0], a[1][0]) for a in _generator_table()])
        y_bits = self.halves(y)
        table = z_bits = None
        if proof is not None:
            z, point = proof
            z_bits = self.halves(z)
            table = self.multiples(point, p.select(_constant_points(p, chosen), [choice]))
        # Without W there is no other summand that depends on the choice.
        total = None if proof is not None else p.select(_constant_points(p, chosen), [choice])
        of_chosen, of_fixed = int(proof is None), 0
        for k in reversed(range(HALF_DIGITS)):
            if total is not None:
                total = g1.double(g1.double(total))
                of_chosen, of_fixed = 4 * of_chosen, 4 * of_fixed
            if table is not None and z_bits is not None:
                entry = p.select(table, [z_bits.digit(k), z_bits.digit(k + HALF_DIGITS, 4)])
                total = g1.add(total, entry) if total is not None else entry
                of_chosen += 1
            if k % 2 == 0:
                digits = [y_bits.digit(k), y_bits.digit(k + 1, 4)]
                digits += [y_bits.digit(k + HALF_DIGITS, 16), y_bits.digit(k + HALF_DIGITS + 1, 64)]
                entry = p.select(generators, digits)
                total = g1.add(total, entry) if total is not None else entry
                of_fixed += 1
        assert total is not None
        ends = [_add(_times(s, -of_chosen), _times(fixed, -of_fixed)) for s in chosen]
        return total, p.select(_constant_points(p, ends), [choice])

    # The pairing.

    def loops(self, d: Pair, proof: Pair) -> tuple[Tower, Fp6, Fp6]:
        """f * c^u and c^p for the product f of e(D, G2) and e(-W, [s]G2), both with finite points."""
        p = self.p
        t = Tower(p, bls.FIELD)
        points = [d, (proof[0], p.reduce(-proof[1]))]
        registers = p.promise(6)
        arguments = [lift(c) for point in points for c in point]
        p.fulfil(registers, _witness_hint, arguments, lambda: [lift(0)] * 6)
        c = fp6(registers)
        factors = []
        for x, y in points:
            over = self.g1.inverse(y)
            factors.append((p.reduce(-x * over), over))
        f = c
        for k, add in enumerate(bls.steps()):
            # The chain of c^u has the same steps as that of [u]Q.
            f = t.times(f, c) if add else t.square(f)
            for lines, (x_over_y, one_over_y) in zip(_lines(), factors, strict=True):
                slope, offset = lines[k]
                f = t.times(
                    f,
                    (
                        t.reduce2(t.constant2(offset) * one_over_y),
                        t.reduce2(t.constant2(slope) * x_over_y),
                        NONE,
                    ),
                )
        return t, f, t.frobenius(c, 1)


def _constant_points(p: Program, points: Sequence[Point]) -> PairTable:
    return p.constant_table([(a[0][0], a[1][0]) for a in points])


def _lower_root(square: int) -> int:
    candidate = bls.square_root(square) or 0
    return min(candidate, P - candidate)


def _witness(dx: int, dy: int, wx: int, wy: int) -> tuple[Twelve, Six]:
    """The product of the Miller loops, and c."""
    lines = _lines()
    f = bls.miller([(lines[0], bls.g1_point(dx, dy)), (lines[1], bls.g1_point(wx, wy))])
    # f = part * (r-th power), and c^(p + u) is the inverse of the latter.
    rest = bls.FIELD.multiply12(bls.QUOTIENT.part(f), bls.QUOTIENT.inverse(f))
    return f, bls.QUOTIENT.witness(rest)


def _witness_hint(*coordinates: int) -> Six:
    return _witness(*coordinates)[1]


# Programs of finite and infinite points: (C finite, W finite).


def _begin(number: int, name: str, *, valid: bool, finite: tuple[bool, bool]) -> tuple[_Call, Pair | None, Pair | None]:
    call = _Call(number, name)
    encodings = call.commitment(), call.proof()
    points: list[Pair | None] = []
    for encoding, is_finite in zip(encodings, finite, strict=True):
        points.append(call.decoded(encoding) if is_finite else None)
        if not is_finite:
            call.infinite(encoding)
    if valid:
        call.exactly(call.hash_difference())
        for point in points:
            if point is not None:
                call.g1.require_in_subgroup(point)
    return call, points[0], points[1]


def _succeed(call: _Call) -> Program:
    call.p.output(FIELD_ELEMENTS_PER_BLOB, INTEGERS)
    # The modulus has 255 bits, and is below half of p.
    call.p.output(call.p.constant(R), INTEGERS)
    return call.p


def _sum(call: _Call, commitment: Pair | None, proof: Pair) -> tuple[Pair, Pair]:
    """Two points with the sum D."""
    total, end = call.combination(call.scalar(2), (call.scalar(1), proof))
    return total, call.g1.add(end, commitment) if commitment is not None else end


def _finite_proof(number: int, commitment_finite: bool, valid: bool) -> Program:
    """The pairing's program."""
    name = f"C {'finite' if commitment_finite else 'infinite'}, W finite, {'valid' if valid else 'not valid'}"
    call, commitment, proof = _begin(number, name, valid=valid, finite=(commitment_finite, True))
    assert proof is not None
    d = call.g1.add(*_sum(call, commitment, proof))
    t, left, right = call.loops(d, proof)
    if valid:
        # f * c^u * c^p is trivial.
        for x, y in zip(left, right, strict=True):
            t.require2(x + y)
        return _succeed(call)
    e = t.times(left, right)
    for x, y in zip(t.power(e, U), t.frobenius(e, 1), strict=True):
        t.require2(x + y)
    return call.p


def _infinite_d(number: int, commitment_finite: bool) -> Program:
    """D is at infinity, W is not: the product is e(-W, [s]G2), which is not 1."""
    name = f"C {'finite' if commitment_finite else 'infinite'}, W finite, D infinite"
    call, commitment, proof = _begin(number, name, valid=False, finite=(commitment_finite, True))
    assert proof is not None
    left, right = _sum(call, commitment, proof)
    call.p.require(left[0] - right[0])
    call.p.require(left[1] + right[1])
    return call.p


def _infinite_proof(number: int, valid: bool) -> Program:
    """W is at infinity, C is not: the product is e(D, G2), which is 1 exactly if C = [y]G1."""
    call, commitment, _ = _begin(
        number, f"C finite, W infinite, {'valid' if valid else 'not valid'}", valid=valid, finite=(True, False)
    )
    assert commitment is not None
    if valid:
        call.scalar(1)
    left, right = call.combination(call.scalar(2), None)
    right = call.g1.add(right, commitment)
    differences = [left[0] - right[0], left[1] + right[1]]
    if valid:
        for difference in differences:
            call.p.require(difference)
        return _succeed(call)
    call.g1.require_some(differences)
    return call.p


def _both_infinite(number: int, valid: bool) -> Program:
    """The product is e(-[y]G1, G2), which is 1 exactly if y = 0 modulo r."""
    call, _, _ = _begin(
        number, f"C infinite, W infinite, {'valid' if valid else 'not valid'}", valid=valid, finite=(False, False)
    )
    if valid:
        call.scalar(1)
        call.exactly(call.word(2))
        return _succeed(call)
    # y is below p in any case, so that a y that is not 0 is invertible modulo p.
    call.g1.inverse(call.word(2))
    return call.p


# What is wrong with the input by itself. Programs for C and W are the same: a hint says which of the two is meant.


def _wrong_hash(number: int) -> Program:
    call = _Call(number, "versioned hash")
    # Its absolute value is below p.
    call.g1.inverse(call.p.reduce(call.hash_difference(), INTEGERS))
    return call.p


def _too_large(number: int) -> Program:
    """z or y is not below r."""
    call = _Call(number, "z or y too large")
    p, z, y = call.p, call.word(1), call.word(2)
    which = call.bit(lambda a: int(a >= R), z)
    excess = p.free_word(lambda w, a, b: max((a if w else b) - R, 0), (which, z, y))
    call.exactly(which * (z - y) + y - excess - p.constant(R))
    return p


#: What is wrong with an encoding, besides what `_kind` finds valid or infinite.
FLAGS, LARGE, OFF_CURVE, OFF_SUBGROUP, SMALL_ORDER = range(53, 58)
VALID, AT_INFINITY = range(2)


def _kind(high: int, low: int) -> int:
    """What is wrong with an encoding: the number of the program that says so; or VALID, or AT_INFINITY."""
    flags, x = high >> 253, ((high % _REST) << 128) + low
    if flags == INFINITE and x == 0:
        return AT_INFINITY
    if flags not in (FINITE, FINITE + 1):
        return FLAGS
    if x >= P:
        return LARGE
    y = bls.square_root(x**3 + bls.CURVE_B)
    if y is None:
        return OFF_CURVE
    multiple = bls.FIELD.multiply_point(bls.g1_point(x, y), bls.COFACTOR_G1)
    if bls.in_subgroup(bls.g1_point(x, y)):
        return VALID
    return SMALL_ORDER if multiple is None else OFF_SUBGROUP


def _wrong_encoding(number: int, name: str) -> tuple[_Call, Register, Register, Register]:
    """Flags, rest of the upper word, and lower part, of the encoding that is wrong."""
    call = _Call(number, name)
    p = call.p
    (high, low), (other_high, other_low) = call.commitment(), call.proof()
    which = call.bit(lambda h, lo: int(_kind(h, lo) == number), high, low)
    chosen = p.reduce(which * (high - other_high) + other_high, INTEGERS)
    flags, rest = call.flags(chosen)
    return call, flags, rest, p.reduce(which * (low - other_low) + other_low, INTEGERS)


def _wrong_flags() -> Program:
    """Flags that no encoding has, 0 to 3 and 7; or those of infinity, and something besides."""
    call, flags, rest, low = _wrong_encoding(FLAGS, "flags")
    p = call.p
    infinity = call.bit(lambda f: int(f == INFINITE), flags)
    square = p.reduce(flags * flags - flags)
    product = p.reduce(square * p.reduce(flags * flags - flags * 5 + 6))
    p.require(p.reduce(product * (flags - 7)) * (1 - infinity))
    p.require(infinity * (flags - INFINITE))
    # The sum of two numbers that are not negative, below p; or 1.
    something = p.reduce(rest + low)
    call.g1.inverse(p.reduce(infinity * something + 1 - infinity))
    return p


def _large_x() -> Program:
    """x >= p, for whatever flags: infinity has x = 0."""
    call, _, rest, low = _wrong_encoding(LARGE, "x too large")
    call.at_least(rest, low, P)
    return call.p


def _not_on_curve() -> Program:
    """x^3 + 4 is no square: -1 is none, -(x^3 + 4) is one, and x^3 = -4 for no x, since no point has order 2.

    At infinity x = 0, and -4 is no square.
    """
    call, _, rest, low = _wrong_encoding(OFF_CURVE, "not on the curve")
    p = call.p
    x = call.residue(rest, low)
    square = p.reduce(x * p.reduce(x * x) + bls.CURVE_B)
    p.solve(lambda s: bls.square_root(-s) or 0, (square,), lambda r: r * r + square)
    return p


def _not_in_subgroup(number: int) -> Program:
    """Either root will do for y: -P is in the subgroup exactly if P is."""
    call, flags, rest, low = _wrong_encoding(number, "not in the subgroup" + ", small order" * (number == SMALL_ORDER))
    p = call.p
    p.require((flags - FINITE) * (flags - FINITE - 1))
    x = call.residue(rest, low)
    square = p.reduce(x * p.reduce(x * x) + bls.CURVE_B)
    y = p.solve(lambda s: bls.square_root(s) or 0, (square,), lambda r: r * r - square)
    call.g1.require_not_in_subgroup((x, y), _summands()[1] if number == SMALL_ORDER else None)
    return p


#: What makes each program, by its number: valid inputs first, then every reason to fail.
_PROGRAMS: dict[int, Callable[[int], Program]] = {
    40: lambda n: _finite_proof(n, True, True),
    41: lambda n: _finite_proof(n, False, True),
    42: lambda n: _infinite_proof(n, True),
    43: lambda n: _both_infinite(n, True),
    44: lambda n: _finite_proof(n, True, False),
    45: lambda n: _finite_proof(n, False, False),
    46: lambda n: _infinite_proof(n, False),
    47: lambda n: _both_infinite(n, False),
    48: lambda n: _infinite_d(n, True),
    49: lambda n: _infinite_d(n, False),
    50: _wrong_hash,
    51: _too_large,
    FLAGS: lambda n: _wrong_flags(),
    LARGE: lambda n: _large_x(),
    OFF_CURVE: lambda n: _not_on_curve(),
    OFF_SUBGROUP: _not_in_subgroup,
    SMALL_ORDER: _not_in_subgroup,
}
_FIRST_FAILING = 44


@cache
def variant(number: int) -> Variant:
    """The variant of the program with this number, assembled when it is first asked for."""
    return Variant(_PROGRAMS[number](number), fails=number >= _FIRST_FAILING)


def variants() -> tuple[Variant, ...]:
    """All programs: valid inputs, and every reason to fail."""
    return tuple(map(variant, _PROGRAMS))


@cache
def _trial(commitment_finite: bool) -> Program:
    """A pairing's program up to D: for trying choices."""
    call, commitment, proof = _begin(0, "trial", valid=False, finite=(commitment_finite, True))
    assert proof is not None
    call.g1.add(*_sum(call, commitment, proof))
    return call.p


def _with_choice(number: int, trial: Program, words: Sequence[int]) -> list[Instance]:
    for choice in range(CHOICES):
        try:
            trial.run(words, choice=choice)
        except UnsatisfiedError:
            continue
        return [Instance(variant(number), choice=choice)]
    raise UnsatisfiedError(f"{trial.name}: no choice of summands")


def _decode(high: int, low: int) -> Point:
    x = ((high % _REST) << 128) + low
    root = _lower_root(x**3 + bls.CURVE_B)
    return bls.g1_point(x, root if high >> 253 == FINITE else -root)


def instances(data: bytes) -> list[Instance]:
    """The program that answers a call with this input.

    Args:
        data: 192 bytes. The caller fails calls with other lengths.

    Raises:
        ValueError: another length.
    """
    if len(data) != INPUT_BYTES:
        raise ValueError(f"{len(data)} bytes are no input of a point evaluation")
    words = [int.from_bytes(data[k : k + 32], "big") for k in range(0, INPUT_BYTES, 32)]
    versioned_hash, z, y = words[:3]
    digest = hashlib.sha256(data[96:144]).digest()
    if versioned_hash != (VERSIONED_HASH_VERSION_KZG << 248) + int.from_bytes(digest[1:], "big"):
        return [Instance(variant(50))]
    if z >= R or y >= R:
        return [Instance(variant(51))]
    encodings = []
    for first in (96, 144):
        encoding = int.from_bytes(data[first : first + 48], "big")
        encodings.append((encoding >> 128, encoding & ((1 << 128) - 1)))
    kinds = [_kind(*encoding) for encoding in encodings]
    for kind in kinds:
        if kind not in (VALID, AT_INFINITY):
            return [Instance(variant(kind))]
    commitment, proof = (
        None if kind == AT_INFINITY else _decode(*encoding) for kind, encoding in zip(kinds, encodings, strict=True)
    )
    if proof is None:
        if commitment is None:
            return [Instance(variant(43 if y == 0 else 47))]
        number = 42 if commitment == _times(bls.G1, y) else 46
        return _with_choice(number, variant(number).program, words)
    d = bls.FIELD.add_points(bls.FIELD.add_points(commitment, _times(bls.G1, -y)), _times(proof, z))
    without = int(commitment is None)
    if d is None:
        return _with_choice(48 + without, variant(48 + without).program, words)
    f = _witness(d[0][0], d[1][0], proof[0][0], -proof[1][0])[0]
    valid = bls.QUOTIENT.is_power(f)
    return _with_choice((40 if valid else 44) + without, _trial(commitment is not None), words)
