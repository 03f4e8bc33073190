"""The precompile P256VERIFY: whether a signature on P-256 is one.

Source: EIP-7951; FIPS 186-5, 6.4.2.

The input is hash, r, s and the key Q, 160 bytes; others, of which no program here knows, return nothing. The signature
is valid if X = (hash / s) * G + (r / s) * Q is not infinity and its x is r modulo the order. A valid one returns 1; all
others return nothing, and a program proves why.
"""

from __future__ import annotations

from functools import cache, lru_cache

from circuits.programs.curves import P256, FixedBase, Formulas, PlainRelation, working_choice
from circuits.programs.moduli import INTEGERS, P256_N, P256_P, Modulus
from circuits.programs.program import Instance, Pair, Program, Register, Variant, divide

_HASH, _R, _S, _X, _Y = range(5)
_P, _N = P256_P.value, P256_N.value


def _sum(f: Formulas, z: Register, r: Register, s: Register, key: Pair) -> Register:
    """The x of X, below p; r and s are proved not to be 0 modulo the order."""
    p = f.program

    @lru_cache
    def total(z: int, r: int, s: int, x: int, y: int) -> tuple[int, int]:
        inverse = divide(P256_N)(1, s)
        first = P256.times(z * inverse % _N, P256.generator)
        return P256.add(first, P256.times(r * inverse % _N, (x, y))) or (0, 0)

    arguments = (z, r, s, *key)
    x = p.free_word(lambda *a: total(*a)[0], arguments, below=P256_P)
    square = p.reduce(x * x + P256.a)
    constant = p.constant(P256.b)
    y = p.solve(lambda *a: total(*a)[1], arguments, lambda y: y * y - x * square - constant)

    # a * X + b * Q + t * G = 0 with a * r + b * s = 0, a * z + t * s = 0 and a * r != 0. Then a and r are not 0, and s
    # is not; and X = -(t / a) * G - (b / a) * Q = (z / s) * G + (r / s) * Q.
    relation = PlainRelation(f)
    scalars = relation.scalars(r, s)
    product = p.reduce(scalars.a * r, P256_N)
    f.require_nonzero(product, P256_N)
    p.require(product + scalars.b * s, P256_N)
    t = p.bits(lambda a, z, s: divide(P256_N)(-a * z, s) % _N, (scalars.a, z, s))
    p.require(p.reduce(t.register * s, P256_N) + scalars.a * z, P256_N)
    relation.require(scalars, (x, y), key, FixedBase(p, P256, t), p.choice())
    return x


def _verify() -> Variant:
    """A valid signature."""
    p = Program(90, "P256VERIFY", P256_P)
    f = Formulas(p, P256)
    z, r, s = p.word(_HASH), p.word(_R, below=P256_N), p.word(_S, below=P256_N)
    key = p.word(_X, below=P256_P), p.word(_Y, below=P256_P)
    f.require_on_curve(key)
    p.require(_sum(f, z, r, s, key) - r, P256_N)
    p.output(1)
    return Variant(p)


def _other() -> Variant:
    """The x of X is not r modulo the order.

    Nothing is stated of the ranges of r, s and the key, since outside of them nothing is returned either.
    """
    p = Program(91, "P256VERIFY: another x", P256_P)
    f = Formulas(p, P256)
    z, r, s, *key = (p.word(position) for position in range(5))
    f.require_on_curve((key[0], key[1]))
    f.require_nonzero(_sum(f, z, r, s, (key[0], key[1])) - r, P256_N)
    return Variant(p)


def _infinity() -> Variant:
    """X is infinity: hash * G + r * Q = 0, that is Q = t * G with t * r + hash = 0.

    Nothing is stated of the ranges here either, nor of the curve: a key that is not on it returns nothing.
    """
    p = Program(92, "P256VERIFY: infinity", P256_P)
    f = Formulas(p, P256)
    z, r, x, y = (p.word(position) for position in (_HASH, _R, _X, _Y))
    t = p.bits(lambda z, r: divide(P256_N)(-z, r) % _N, (z, r))
    p.require(t.register * r + z, P256_N)
    FixedBase(p, P256, t).require(f, (x, y), p.choice())
    return Variant(p)


def _zero() -> Variant:
    """r or s is 0: their product is, as integers."""
    p = Program(93, "P256VERIFY: r or s is 0", P256_P)
    p.require(p.word(_R) * p.word(_S), INTEGERS)
    return Variant(p)


def _large(number: int, name: str, position: int, bound: Modulus) -> Variant:
    """A word is not below the order, or p."""
    p = Program(number, f"P256VERIFY: large {name}", P256_P)
    p.word(position, at_least=bound)
    return Variant(p)


def _not_on_curve() -> Variant:
    """The key is not on the curve."""
    p = Program(98, "P256VERIFY: not on the curve", P256_P)
    Formulas(p, P256).require_not_on_curve(p.word(_X), p.word(_Y))
    return Variant(p)


@cache
def variants() -> tuple[Variant, ...]:
    """The programs, by number from 90 on."""
    return (
        _verify(),
        _other(),
        _infinity(),
        _zero(),
        _large(94, "r", _R, P256_N),
        _large(95, "s", _S, P256_N),
        _large(96, "x", _X, P256_P),
        _large(97, "y", _Y, P256_P),
        _not_on_curve(),
    )


def instances(data: bytes) -> list[Instance]:
    """The program that answers a call with this input of 160 bytes."""
    verify, other, infinity, zero, *large, not_on_curve = variants()
    z, r, s, x, y = words = [int.from_bytes(data[32 * i : 32 * i + 32], "big") for i in range(5)]
    if r == 0 or s == 0:
        return [Instance(zero)]
    for variant, word, bound in zip(large, words[1:], (_N, _N, _P, _P), strict=True):
        if word >= bound:
            return [Instance(variant)]
    if not P256.contains(x, y):
        return [Instance(not_on_curve)]
    inverse = pow(s, -1, _N)
    first = P256.times(z * inverse % _N, P256.generator)
    total = P256.add(first, P256.times(r * inverse % _N, (x, y)))
    if total is None:
        return [Instance(infinity, choice=working_choice(infinity.program, words))]
    variant = verify if total[0] % _N == r else other
    return [Instance(variant, choice=working_choice(variant.program, words))]
