"""The precompile ECRECOVER: the address whose key signed a hash.

Source: execution-specs `cancun/vm/precompiled_contracts/ecrecover.py`; SEC 1, version 2, 4.1.6.

The input is hash, v, r, s, and the output the address of Q = (s * R - hash * G) / r, where R has x = r, and v says
which y. Whatever is invalid returns nothing, and a program proves why.
"""

from __future__ import annotations

from functools import cache, lru_cache

from circuits.functions.buses import KECCAK256_FUNCTION
from circuits.programs.curves import SECP256K1, EndomorphismRelation, FixedBase, Formulas, working_choice
from circuits.programs.moduli import INTEGERS, SECP256K1_N, SECP256K1_P, TWO_96, TWO_160
from circuits.programs.program import Instance, Pair, Program, Register, Variant, divide

_HASH, _V, _R, _S = range(4)
_P, _N = SECP256K1_P.value, SECP256K1_N.value


def _point_of(f: Formulas, r: Register, v: Register) -> Pair:
    """R, with x = r and a y that is even for v = 27 and odd for v = 28: 3 rows.

    For other v, which are invalid, nothing is proved.
    """
    p = f.program

    def root(r: int, v: int) -> int:
        y = SECP256K1.root(r**3 + SECP256K1.b) or 0
        return y if (y - v + 27) % 2 == 0 else _P - y

    y = p.free_word(root, (r, v), below=SECP256K1_P)
    f.require_on_curve((r, y))
    # y = 2 * (half + 2^254) + v - 27: half of y has 255 bits, which signed bytes cannot hold.
    two, middle = p.constant_pair(2, 1 << 254)
    p.solve(
        lambda y, v: ((y - v + 27) >> 1) - (1 << 254),
        (y, v),
        lambda half: two * (half + middle) - y + v - 27,
        INTEGERS,
    )
    return r, y


def _recover() -> Variant:
    """A valid signature."""
    p = Program(1, "ecrecover", SECP256K1_P)
    f = Formulas(p, SECP256K1)
    z, v, r, s = p.word(_HASH), p.word(_V), p.word(_R, below=SECP256K1_N), p.word(_S, below=SECP256K1_N)
    p.require(v * v - 55 * v + 27 * 28, INTEGERS)
    point = _point_of(f, r, v)

    @lru_cache
    def key(z: int, r: int, s: int, y: int) -> tuple[int, int]:
        inverse = pow(r, -1, _N)
        first = SECP256K1.times(-z * inverse % _N, SECP256K1.generator)
        return SECP256K1.add(first, SECP256K1.times(s * inverse % _N, (r, y))) or (0, 0)

    arguments = (z, r, s, point[1])
    x = p.hashed_word(lambda *a: key(*a)[0], arguments, below=SECP256K1_P)
    y = p.hashed_word(lambda *a: key(*a)[1], arguments, below=SECP256K1_P)
    f.require_on_curve((x, y))

    # a * Q + b * R + t * G = 0 with a * s + b * r = 0 and t * r = a * z, and a * s != 0. Then a and s are not 0, and r
    # is not; and Q = -(b / a) * R - (t / a) * G = (s / r) * R - (z / r) * G.
    relation = EndomorphismRelation(f)
    scalars = relation.scalars(s, r)
    product = p.reduce(scalars.a * s, SECP256K1_N)
    f.require_nonzero(product, SECP256K1_N)
    p.require(product + scalars.b * r, SECP256K1_N)
    t = p.bits(lambda a, z, r: divide(SECP256K1_N)(a * z, r) % _N, (scalars.a, z, r))
    p.require(t.register * r - scalars.a * z, SECP256K1_N)
    relation.require(scalars, (x, y), point, FixedBase(p, SECP256K1, t), p.choice())

    p.output(p.digest(KECCAK256_FUNCTION, 64), TWO_160)
    return Variant(p)


def _wrong_v() -> Variant:
    """v is neither 27 nor 28 modulo p."""
    p = Program(2, "ecrecover: wrong v", SECP256K1_P)
    v = p.word(_V)
    product = p.reduce(v * v - 55 * v + 27 * 28)
    Formulas(p, SECP256K1).require_nonzero(product)
    return Variant(p)


def _large_v() -> Variant:
    """v is too large."""
    p = Program(3, "ecrecover: large v", SECP256K1_P)
    p.word(_V, at_least=TWO_96)
    return Variant(p)


def _zero() -> Variant:
    """r or s is 0: their product is, as integers."""
    p = Program(4, "ecrecover: r or s is 0", SECP256K1_P)
    p.require(p.word(_R) * p.word(_S), INTEGERS)
    return Variant(p)


def _large(number: int, name: str, position: int) -> Variant:
    """r or s is not below the group's order."""
    p = Program(number, f"ecrecover: large {name}", SECP256K1_P)
    p.word(position, at_least=SECP256K1_N)
    return Variant(p)


def _no_point() -> Variant:
    """No point has x = r: as p is 3 modulo 4, the square is r^3 + 7 or -(r^3 + 7), which is not 0 for any r."""
    p = Program(7, "ecrecover: no point", SECP256K1_P)
    r = p.word(_R)
    square = p.reduce(r * r)
    p.solve(lambda r: SECP256K1.root(-(r**3) - 7) or 0, (r,), lambda root: root * root + r * square + 7)
    return Variant(p)


def _infinity() -> Variant:
    """The key would be the point at infinity: s * R = z * G, that is R = t * G with t * s = z.

    Nothing is stated of the ranges of v, r and s, since outside of them nothing is returned either.
    """
    p = Program(8, "ecrecover: infinity", SECP256K1_P)
    f = Formulas(p, SECP256K1)
    z, v, r, s = (p.word(position) for position in range(4))
    point = _point_of(f, r, v)
    t = p.bits(lambda z, s: divide(SECP256K1_N)(z, s) % _N, (z, s))
    p.require(t.register * s - z, SECP256K1_N)
    FixedBase(p, SECP256K1, t).require(f, point, p.choice())
    return Variant(p)


@cache
def variants() -> tuple[Variant, ...]:
    """The programs, by number from 1 on."""
    return (
        _recover(),
        _wrong_v(),
        _large_v(),
        _zero(),
        _large(5, "r", _R),
        _large(6, "s", _S),
        _no_point(),
        _infinity(),
    )


def instances(data: bytes) -> list[Instance]:
    """The program that answers a call with this input."""
    recover, wrong_v, large_v, zero, large_r, large_s, no_point, infinity = variants()
    z, v, r, s = words = [int.from_bytes(data[32 * i : 32 * i + 32].ljust(32, b"\0"), "big") for i in range(4)]
    if v not in (27, 28):
        return [Instance(large_v if v >= TWO_96.value else wrong_v)]
    if r == 0 or s == 0:
        return [Instance(zero)]
    if r >= _N:
        return [Instance(large_r)]
    if s >= _N:
        return [Instance(large_s)]
    y = SECP256K1.root(r**3 + SECP256K1.b)
    if y is None:
        return [Instance(no_point)]
    y = y if y % 2 == v - 27 else _P - y
    if SECP256K1.times(s, (r, y)) == SECP256K1.times(z % _N, SECP256K1.generator):
        return [Instance(infinity, choice=working_choice(infinity.program, words))]
    return [Instance(recover, choice=working_choice(recover.program, words))]
