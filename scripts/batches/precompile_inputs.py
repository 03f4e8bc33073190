"""Random inputs of the precompiled contracts: valid ones, those that fail in every way, and those at the edges."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from random import Random

from py_ecc.bls.point_compression import compress_G1, decompress_G1
from py_ecc.bls.typing import G1Compressed
from py_ecc.optimized_bls12_381.optimized_curve import G1, add, multiply, neg

from circuits.programs import alt_bn128_pairing, bls12_381
from circuits.programs.alt_bn128_pairing import FIELD as BN_TOWER
from circuits.programs.curves import BN254, P256, SECP256K1, Affine
from circuits.programs.extensions import Extension, Point
from circuits.programs.precompiles import PRECOMPILES
from executor.forks import CANCUN, Fork
from executor.modexp import ModexpInput
from scripts.batches.precompiled import bls_g1, bls_g2, element, p256_signature
from scripts.batches.precompiles import BN_FIELD, BN_G2, BN_ORDER, SECP256K1_ORDER, words

ALL_ONES = (1 << 256) - 1
BLS_ORDER, BLS_FIELD = bls12_381.R, bls12_381.P
#: What a word may be wherever there is one: bounds of the fields and groups, and what is next to them.
EDGES = (
    0, 1, 2, 27, 28, ALL_ONES, 1 << 255, (1 << 128) - 1,
    *(n + k for n in (BN_FIELD, BN_ORDER, SECP256K1_ORDER, SECP256K1.field.value, BLS_ORDER) for k in (-1, 0, 1)),
    *(n + k for n in (P256.field.value, P256.order.value) for k in (-1, 0, 1)),
)  # fmt: skip
#: Sizes of inputs around the blocks of hash functions and the words of memory.
SIZES = (0, 1, 31, 32, 33, 54, 55, 56, 57, 63, 64, 65, 95, 96, 118, 119, 120, 127, 128, 129, 191, 192, 255, 256, 300)
#: [s]G1 of the ceremony for EIP-4844 (consensus-specs `presets/mainnet/trusted_setups/trusted_setup_4096.json`, the
#: second of `g1_monomial`).
SECRET_G1 = 0xAD3EB50121139AA34DB1D545093AC9374AB7BCA2C0F3BF28E27C8DCD8FC7CB42D25926FC0C97B336E9F0FB35E5A04C81
INFINITY = b"\xc0" + bytes(47)
MODEXP = 5
#: Nobody pays more than that for a call; a dearer one lacks gas.
MAX_COST = 3_000_000


def gas_of(number: int, data: bytes, fork: Fork = CANCUN) -> int:
    """What a call costs (execution-specs `cancun/vm/gas.py`); nothing where an input fails before it is paid for."""
    size = -(-len(data) // 32)
    costs: dict[int, Callable[[], int]] = {
        1: lambda: 3_000,
        2: lambda: 60 + 12 * size,
        3: lambda: 600 + 120 * size,
        4: lambda: 15 + 3 * size,
        5: lambda: _modexp_gas(data, fork),
        6: lambda: 150,
        7: lambda: 6_000,
        8: lambda: 45_000 + 34_000 * (len(data) // 192),
        9: lambda: int.from_bytes(data[:4], "big") if len(data) == 213 else 0,
        10: lambda: 50_000,
    }
    if number not in costs:
        precompile = PRECOMPILES[number]
        return precompile.cost(len(data) // precompile.stride if precompile.stride else 0)
    return costs[number]()


def _modexp_gas(data: bytes, fork: Fork) -> int:
    given, most = ModexpInput(data), fork.modexp.max_number_bytes
    return given.gas(fork.modexp) if most is None or max(given.lengths) <= most else 0


def _spoiled(random: Random, data: bytes) -> bytes:
    """An input that is often another one: cut, longer, with another bit, byte or word."""
    match random.choices(range(9), [12, 2, 2, 2, 3, 1, 1, 1, 1])[0]:
        case 1:
            return data[: random.randrange(len(data) + 1)]
        case 2:
            return data + random.choice([bytes(1), bytes(32), random.randbytes(random.randint(1, 70))])
        case 3 if data:
            at = random.randrange(8 * len(data))
            return (int.from_bytes(data, "big") ^ 1 << at).to_bytes(len(data), "big")
        case 4 if len(data) >= 32:
            at = 32 * random.randrange(len(data) // 32)
            return data[:at] + words(random.choice(EDGES)) + data[at + 32 :]
        case 5:
            return bytes(len(data))
        case 6:
            return b"\xff" * len(data)
        case 7:
            return data.rstrip(b"\0")[: random.choice((len(data), max(0, len(data) - 1)))]
        case 8:
            return random.randbytes(len(data))
    return data


def _scalar(random: Random, order: int) -> int:
    """A scalar, often at an edge of a group, or small."""
    return random.choice(
        (
            random.randrange(order),
            random.randrange(order),
            random.randrange(10),
            order - 1 - random.randrange(3),
            1 << random.randrange(order.bit_length()),
        )
    )


def _recovery(random: Random) -> bytes:
    order, curve = SECP256K1_ORDER, SECP256K1
    key, nonce = random.randrange(1, order), 1 + _scalar(random, order) % (order - 1)
    digest = random.choice((random.getrandbits(256), random.choice(EDGES)))
    point = curve.times(nonce, curve.generator)
    assert point
    r, parity = point[0] % order, point[1] % 2
    s = pow(nonce, -1, order) * (digest + r * key) % order
    match random.randrange(12):
        case 0:  # the same with a high s
            s, parity = order - s, 1 - parity
        case 1:  # the key is infinity
            s = digest * pow(nonce, -1, order) % order
        case 2:  # of no point, or of one that nobody knows more of
            r = random.randrange(order)
        case 3:
            return words(digest, random.choice((0, 1, 26, 29, 27 + (1 << random.randrange(256)), ALL_ONES)), r, s)
        case 4:
            s = random.choice((0, 1, order - 1, order, order + 1, ALL_ONES, (order - 1) // 2, (order + 1) // 2))
        case 5:
            r = random.choice((0, 1, 2, 3, order - 1, order, curve.field.value - order, ALL_ONES))
    return words(digest, 27 + parity, r, s)


def _bn_point(random: Random) -> Affine:
    return BN254.times(_scalar(random, BN_ORDER), BN254.generator)


def _bn_words(random: Random, point: Affine) -> bytes:
    """Two words of a point, sometimes not of one."""
    x, y = point or (0, 0)
    match random.randrange(16):
        case 0:
            x += BN_FIELD * (x < (1 << 256) - BN_FIELD)
        case 1:
            y += BN_FIELD
        case 2:
            x, y = random.choice(((y, x), (x, (y + 1) % BN_FIELD), (x, 0), (0, y), (BN_FIELD, 0), (0, BN_FIELD)))
    return words(x, y)


def _sum(random: Random) -> bytes:
    first = _bn_point(random)
    second = random.choice((_bn_point(random), _bn_point(random), first, BN254.negate(first), None))
    return _bn_words(random, first) + _bn_words(random, second)


def _multiple(random: Random) -> bytes:
    scalar = random.choice((random.getrandbits(256), _scalar(random, BN_ORDER), random.choice(EDGES)))
    return _bn_words(random, _bn_point(random)) + words(scalar)


@cache
def _twist_generator() -> Point:
    return (BN_G2[1], BN_G2[0]), (BN_G2[3], BN_G2[2])


@cache
def _g2_multiple(scalar: int) -> Point | None:
    return BN_TOWER.multiply_point(_twist_generator(), scalar % BN_ORDER)


def _g2_words(point: Point | None) -> bytes:
    (x, s), (y, t) = point or ((0, 0), (0, 0))
    return words(s, x, t, y)


def _outside(random: Random) -> Point:
    """A point of the twist that most probably is not in the subgroup."""
    b = alt_bn128_pairing.TWIST_B
    while True:
        x = random.randrange(BN_FIELD), random.randrange(BN_FIELD)
        cube = BN_TOWER.multiply2(BN_TOWER.multiply2(x, x), x)
        y = BN_TOWER.square_root2(((cube[0] + b[0]) % BN_TOWER.p, (cube[1] + b[1]) % BN_TOWER.p))
        if y is not None:
            return x, y


def _pairs(random: Random) -> bytes:
    """Pairs of which the pairings' product is often 1; a few, since each takes long."""
    found: list[tuple[int, int]] = []
    total = 0
    for _ in range(random.choices(range(4), [1, 6, 4, 1])[0]):
        first, second = _scalar(random, BN_ORDER), random.choice((1, 2, 3, 5, BN_ORDER - 1))
        kind = random.randrange(8)
        if kind < 2:
            first, second = (0, second) if kind else (first, 0)
        total += first * second
        found.append((first, second))
    if found and random.random() < 0.6:  # a sum of 0, if the last one can make it so
        first, second = found.pop()
        if second:
            found.append(((first * second - total) * pow(second, -1, BN_ORDER) % BN_ORDER, second))
    encoded = [words(*(BN254.times(a, BN254.generator) or (0, 0))) + _g2_words(_g2_multiple(b)) for a, b in found]
    if encoded and random.random() < 0.35:
        at = random.randrange(len(encoded))
        pair = encoded[at]
        outside = _g2_words(_outside(random))
        place = 32 * random.randrange(6)
        big = int.from_bytes(pair[place : place + 32], "big") + BN_FIELD
        encoded[at] = random.choice(
            (
                pair[:64] + outside,
                bytes(64) + outside,
                pair[:64] + words(*random.choices(EDGES[:6], k=4)),
                pair[:place] + words(min(big, ALL_ONES)) + pair[place + 32 :],
                pair[:32] + words(1) + pair[64:],
                pair[32:64] + pair[:32] + pair[64:],
                pair[:64] + pair[96:128] + pair[64:96] + pair[128:],
            )
        )
    return b"".join(encoded)


def _compressed(x: int, flags: int) -> bytes:
    return ((flags << 381) + x).to_bytes(48, "big")


def _wrong_point(random: Random) -> bytes:
    """48 bytes of no point in G1: not on the curve, or not in the subgroup, or an x that is too large."""
    while True:
        x = random.choice((random.randrange(BLS_FIELD), random.randrange(10)))
        y = bls12_381.square_root(x**3 + bls12_381.CURVE_B)
        # 4: compressed, 1: the larger y, 2: infinity, which has no x.
        flags = random.choice((4, 5))
        kind = random.randrange(4)
        if kind == 0 and y is None:
            return _compressed(x, flags)
        if kind == 1 and y is not None and not bls12_381.in_subgroup(bls12_381.g1_point(x, y)):
            return _compressed(x, flags)
        if kind == 2:
            return _compressed(random.choice((BLS_FIELD, BLS_FIELD + x % (1 << 376), (1 << 381) - 1)), flags)
        if kind == 3:
            return _compressed(random.choice((0, 1, x)), random.choice((6, 7)))


def _evaluation(random: Random) -> bytes:
    """An opening of a polynomial y + q (X - z): the commitment is [y - q z + q s]G1, the proof [q]G1."""
    z, y, q = (_scalar(random, BLS_ORDER) for _ in range(3))
    if random.random() < 0.3:
        y, q = random.choice(((y, 0), (0, 0), (q * z % BLS_ORDER, q), (0, q)))
    commitment = add(multiply(G1, (y - q * z) % BLS_ORDER), multiply(decompress_G1(G1Compressed(SECRET_G1)), q))
    first, proof = (int(compress_G1(point)).to_bytes(48, "big") for point in (commitment, multiply(G1, q)))
    match random.randrange(14):
        case 0:  # another value, or another point
            y, z = random.choice(((y + 1, z), (y, z + 1), (random.randrange(BLS_ORDER), z)))
        case 1:  # beyond the field: the value or the point, of the same residue
            y, z = random.choice(((y + BLS_ORDER, z), (y, z + BLS_ORDER), (BLS_ORDER, z), (y, BLS_ORDER)))
        case 2:
            proof = random.choice((first, INFINITY, int(compress_G1(neg(multiply(G1, 1 + q)))).to_bytes(48, "big")))
        case 3:
            first = random.choice((proof, INFINITY, _wrong_point(random)))
        case 4:
            proof = _wrong_point(random)
        case 5:  # with another flag
            which = random.choice((first, proof))
            changed = bytes([which[0] ^ random.choice((0x20, 0x40, 0x80, 0xC0, 0xE0))]) + which[1:]
            first, proof = (changed, proof) if which == first else (first, changed)
    version = random.choice((b"\x01",) * 15 + (b"\x00",))
    return version + hashlib.sha256(first).digest()[1:] + words(z, y) + first + proof


def _number(random: Random, size: int) -> bytes:
    return random.choice(
        (
            random.randbytes(size),
            random.randbytes(size),
            bytes(size),
            b"\xff" * size,
            bytes(size - 1) + bytes([random.randrange(4)]) if size else b"",
            b"\x80" + bytes(size - 1) if size else b"",
            bytes(size // 2) + random.randbytes(size - size // 2),
        )
    )


def _power(random: Random) -> bytes:
    sizes = [random.choice((0, 1, 2, 31, 32, 33, 64, random.randrange(100), random.randrange(300))) for _ in range(3)]
    sizes[1] = random.choice((sizes[1], min(sizes[1], 40)))
    numbers = [_number(random, size) for size in sizes]
    if random.randrange(3) and numbers[2]:
        numbers[2] = numbers[2][:-1] + bytes([numbers[2][-1] | 1])
    stated: list[int] = [*sizes]
    if random.randrange(10) == 0:
        stated[random.randrange(3)] = random.choice((0, 1, 32, 400, 1 << 16, 1 << 19, 1 << 32, 1 << 64, ALL_ONES))
    return words(*stated) + b"".join(numbers)


def _compression(random: Random) -> bytes:
    rounds = random.choice((0, 1, 2, 9, 10, 11, 12, 13, random.randrange(200), random.randrange(200)))
    if random.randrange(12) == 0:
        rounds = random.choice((1 << 24, (1 << 32) - 1, random.getrandbits(32)))
    last = random.choice((0, 1, 1, 0, 0, 1, random.randrange(256)))
    state = random.choice((random.randbytes(208), random.randbytes(208), bytes(208), b"\xff" * 208))
    return rounds.to_bytes(4, "big") + state + bytes([last])


def _content(random: Random) -> bytes:
    size = random.choice((*SIZES, random.randrange(2_000)))
    return random.choice((random.randbytes(size), random.randbytes(size), bytes(size), b"\xff" * size))


def _bls_scalar(random: Random) -> int:
    """A scalar of which multiples are quickly made."""
    return random.choice((0, 1, 2, 3, 5, BLS_ORDER - 1, BLS_ORDER - 2, random.randrange(40)))


def _beyond(random: Random, point: bytes) -> bytes:
    """A point one of whose numbers is another one: of the same residue, no number of the field, or any."""
    at = 64 * random.randrange(len(point) // 64)
    value = int.from_bytes(point[at : at + 64], "big")
    other = random.choice((value + BLS_FIELD, BLS_FIELD, value + 1, (1 << 384) - 1, value | 1 << 400, 0))
    return point[:at] + element(other) + point[at + 64 :]


@cache
def _outside_g1(seed: int) -> bytes:
    """A point of the curve that is not in the subgroup."""
    x = seed
    while True:
        x += 1
        y = bls12_381.square_root(x**3 + bls12_381.CURVE_B)
        if y is not None and not bls12_381.in_subgroup(bls12_381.g1_point(x, y)):
            return element(x) + element(y)


@cache
def _outside_g2(seed: int) -> bytes:
    """A point of the twist that is not in the subgroup."""
    field: Extension = bls12_381.FIELD
    x, b = seed, bls12_381.TWIST_B
    while True:
        x += 1
        cube = field.multiply2(field.multiply2((x, 1), (x, 1)), (x, 1))
        y = field.square_root2(((cube[0] + b[0]) % BLS_FIELD, (cube[1] + b[1]) % BLS_FIELD))
        if y is not None:
            return b"".join(map(element, (x, 1, *y)))


def _bls_g1(random: Random) -> bytes:
    kind = random.randrange(12)
    if kind == 0:
        return _outside_g1(random.randrange(8))
    point = bls_g1(_bls_scalar(random))
    return _beyond(random, point) if kind == 1 else point


def _bls_g2(random: Random) -> bytes:
    kind = random.randrange(12)
    if kind == 0:
        return _outside_g2(random.randrange(8))
    point = bls_g2(_bls_scalar(random))
    return _beyond(random, point) if kind == 1 else point


def _two(random: Random, point: Callable[[Random], bytes]) -> bytes:
    first = point(random)
    return first + (first if random.randrange(4) == 0 else point(random))


def _multiples(random: Random, point: Callable[[Random], bytes]) -> bytes:
    count = random.choices(range(4), (1, 6, 3, 1))[0]
    scalars = (random.choice((random.getrandbits(256), _scalar(random, BLS_ORDER), *EDGES[:8])) for _ in range(count))
    return b"".join(point(random) + words(scalar) for scalar in scalars)


def _bls_pairs(random: Random) -> bytes:
    """One pair or two, of which the product is often 1."""
    first, second = _bls_scalar(random), _bls_scalar(random)
    match random.randrange(6):
        case 0:
            return _bls_g1(random) + _bls_g2(random)
        case 1:
            return bls_g1(0) + _bls_g2(random)
        case 2:
            return _bls_g1(random) + bls_g2(0)
        case 3:
            return bls_g1(first) + bls_g2(second) + _bls_g1(random) + bls_g2(second)
    return bls_g1(first) + bls_g2(second) + bls_g1(-first % BLS_ORDER) + bls_g2(second)


def _bls_number(random: Random) -> bytes:
    values = (random.randrange(BLS_FIELD), random.randrange(BLS_FIELD), random.randrange(20))
    return element(random.choice((*values, *values, 0, BLS_FIELD - 1, BLS_FIELD, BLS_FIELD + 1, (1 << 512) - 1)))


def _p256(random: Random) -> bytes:
    """A signature, most of them valid, and those that are not for every reason there is."""
    order = P256.order.value
    valid = p256_signature(_scalar(random, order) or 1, random.randbytes(32), 1 + _scalar(random, order) % (order - 1))
    if random.randrange(2):
        return valid
    at = 32 * random.randrange(5)
    value = int.from_bytes(valid[at : at + 32], "big")
    other = random.choice((0, 1, value ^ 1, order - value % order, order, P256.field.value, *EDGES[-6:], ALL_ONES))
    return valid[:at] + words(other & ALL_ONES) + valid[at + 32 :]


_INPUTS: dict[int, Callable[[Random], bytes]] = {
    1: _recovery,
    2: _content,
    3: _content,
    4: _content,
    5: _power,
    6: _sum,
    7: _multiple,
    8: _pairs,
    9: _compression,
    10: _evaluation,
    0x0B: lambda random: _two(random, _bls_g1),
    0x0C: lambda random: _multiples(random, _bls_g1),
    0x0D: lambda random: _two(random, _bls_g2),
    0x0E: lambda random: _multiples(random, _bls_g2),
    0x0F: _bls_pairs,
    0x10: _bls_number,
    0x11: lambda random: _bls_number(random) + _bls_number(random),
    0x100: _p256,
}


def random_input(random: Random, number: int, fork: Fork = CANCUN) -> bytes:
    """An input of the precompiled contract of this number, that can be proved if nobody pays more than `MAX_COST`."""
    while True:
        data = _spoiled(random, _INPUTS[number](random))
        if number == MODEXP and fork.modexp.max_number_bytes is not None and random.randrange(8) == 0:
            lengths = [random.choice((0, 1, 33, 1_023, 1_024, 1_025)) for _ in range(3)]
            data = words(*lengths) + data[96:]
        if number != MODEXP or gas_of(number, data, fork) > MAX_COST or ModexpInput(data).refusal is None:
            return data
