"""P256VERIFY by its programs: against a plain verification, on inputs that meet the offsets, and against liars."""

from __future__ import annotations

import random
from itertools import product

import pytest

from circuits.programs.curves import P256, Affine
from circuits.programs.p256verify import instances, variants
from circuits.programs.program import BITS, NARROW, UnsatisfiedError
from tests.circuits.precompiles.running import (
    free_registers,
    holds_something,
    lying_run,
    run_instances,
    satisfied,
    words_of,
)

P, N, G = P256.field.value, P256.order.value, P256.generator
TOP = 2**256 - 1
ONE = (1).to_bytes(32, "big")

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    "P256VERIFY": (635, 0, 117, 4, 8),
    "P256VERIFY: another x": (634, 0, 117, 4, 7),
    "P256VERIFY: infinity": (261, 0, 34, 2, 4),
    "P256VERIFY: r or s is 0": (1, 0, 0, 0, 2),
    "P256VERIFY: large r": (0, 0, 0, 0, 1),
    "P256VERIFY: large s": (0, 0, 0, 0, 1),
    "P256VERIFY: large x": (0, 0, 0, 0, 1),
    "P256VERIFY: large y": (0, 0, 0, 0, 1),
    "P256VERIFY: not on the curve": (3, 0, 1, 0, 2),
}


def _data(*words: int) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


def _is_valid(data: bytes) -> bool:
    """EIP-7951, without any of the circuits' formulas."""
    z, r, s, x, y = (int.from_bytes(data[k : k + 32], "big") for k in range(0, 160, 32))
    if not (0 < r < N and 0 < s < N and x < P and y < P and (y * y - x**3 + 3 * x - P256.b) % P == 0):
        return False

    def add(p: Affine, q: Affine) -> Affine:
        if p is None or q is None:
            return p or q
        if p[0] == q[0] and p[1] != q[1]:
            return None
        slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, P) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
        x = (slope**2 - p[0] - q[0]) % P
        return x, (slope * (p[0] - x) - p[1]) % P

    total: Affine = None
    u, v = z * pow(s, -1, N) % N, r * pow(s, -1, N) % N
    both = add(G, (x, y))
    for k in reversed(range(256)):
        total = add(total, total)
        chosen = (u >> k & 1) + 2 * (v >> k & 1)
        total = add(total, (None, G, (x, y), both)[chosen])
    return total is not None and total[0] % N == r


def _check(data: bytes) -> str:
    found = instances(data)
    assert run_instances(data, found) == (True, ONE if _is_valid(data) else b"")
    return found[0].variant.program.name


def _signature(rng: random.Random, z: int | None = None) -> tuple[int, int, int, int, int]:
    key, k = rng.randrange(1, N), rng.randrange(1, N)
    z = rng.getrandbits(256) if z is None else z
    public, point = P256.times(key, G), P256.times(k, G)
    assert public
    assert point
    r = point[0] % N
    return z, r, pow(k, -1, N) * (z + r * key) % N, *public


def _valid_for(public: Affine, a: int, b: int) -> bytes:
    """A valid call for any key, with X = a * G + b * key, for hashes that a signer does not choose."""
    assert public
    point = P256.add(P256.times(a % N, G), P256.times(b % N, public))
    assert point
    r = point[0] % N
    s = r * pow(b, -1, N) % N
    return _data(a * s % N, r, s, *public)


def test_rows() -> None:
    assert {v.program.name: tuple(v.program.rows.values()) for v in variants()} == ROWS
    assert [v.program.number for v in variants()] == list(range(90, 99))


def test_vectors_of_the_curve() -> None:
    """SEC 1: the order times the generator is infinity, and the doubled generator of FIPS 186's test vectors."""
    assert P256.times(N, G) is None
    assert P256.contains(*G)
    double = P256.times(2, G)
    assert double
    assert double[0] == 0x7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 4))])
def test_signatures(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        words = list(_signature(rng))
        assert _check(_data(*words)) == "P256VERIFY"
        words[rng.randrange(3)] ^= 1 << rng.randrange(200)
        assert _check(_data(*words)) == "P256VERIFY: another x"


def test_each_word_at_its_bounds() -> None:
    valid = _signature(random.Random(5))
    names = set()
    bounds = (0, 1, 2, N - 1, N, N + 1, P - 1, P, P + 1, 1 << 255, TOP)
    for position, bound in product(range(5), bounds):
        words = list(valid)
        words[position] = bound
        names.add(_check(_data(*words)))
    assert names == set(ROWS) - {"P256VERIFY", "P256VERIFY: infinity"}
    assert _check(_data(*valid[:3], 0, 0)) == "P256VERIFY: not on the curve"
    for z in (0, N, N - 1, TOP, 1):
        assert _check(_data(*_signature(random.Random(6), z))) == "P256VERIFY"


def test_an_x_above_the_order() -> None:
    """X may have x = r + n: valid, though r is not x."""
    for x in range(N, N + 50):
        y = P256.root(x**3 - 3 * x + P256.b)
        if y is not None:
            break
    assert y is not None
    # With hash 0 and s = r, X is the key.
    assert _check(_data(0, x - N, x - N, x, y)) == "P256VERIFY"
    assert _check(_data(0, x - N, x - N, x, P - y)) == "P256VERIFY"
    assert _check(_data(0, x - N + 1, x - N + 1, x, y)) == "P256VERIFY: another x"


@pytest.mark.deep
def test_keys_that_meet_an_offset() -> None:
    """There are some for which one offset fails; another one never does."""
    scalars = [1, 2, 3, N - 1, N - 2, (N + 1) // 2, pow(3, -1, N)]
    chosen = set()
    for base, scalar in product((G, *P256.offsets[:2]), scalars):
        for a, b in ((0, 1), (1, 1), (0, 2), (0, N - 1), (5, scalars[5]), (N - 1, 3), (0, scalar)):
            data = _valid_for(P256.times(scalar, base), a, b) if base != G or (a + b * scalar) % N else b""
            if data:
                assert _check(data) == "P256VERIFY"
                chosen.add(instances(data)[0].choice)
    assert chosen == {0, 1}


def test_infinity() -> None:
    for k, s in product((1, 2, N - 1, N - 2, (N + 1) // 2, 123456789), (1, 2, N - 1)):
        key = P256.times(k, G)
        assert key
        for r in (1, 77, N - 1):
            assert _check(_data(-r * k % N, r, s, *key)) == "P256VERIFY: infinity"


def test_no_program_answers_for_another() -> None:
    """Whichever program a prover takes, it has no answer to inputs with another outcome."""
    valid = _signature(random.Random(7))
    inputs = [
        valid,
        (valid[0] ^ 1, *valid[1:]),
        (N - 5, 1, 9, *(P256.times(5, G) or (0, 0))),
        (valid[0], 0, *valid[2:]),
        (*valid[:2], 0, *valid[3:]),
        (valid[0], N, *valid[2:]),
        (*valid[:2], valid[2] | 3 << 254, *valid[3:]),
        (*valid[:3], valid[3] ^ 1, valid[4]),
    ]
    for case in inputs:
        data = _data(*case)
        right = _is_valid(data)
        assert _check(data)
        for variant in variants():
            if satisfied(variant.program, data):
                assert (variant.program.number == 90) == right


@pytest.mark.parametrize("number", range(3))
def test_every_register_is_determined(number: int) -> None:
    """No register can hold another number."""
    valid = _signature(random.Random(8))
    inputs = [valid, (valid[0] ^ 1, *valid[1:]), (N - 5, 1, 9, *(P256.times(5, G) or (0, 0)))]
    program = variants()[number].program
    words = words_of(program, _data(*inputs[number]))
    numbers = [NARROW + k for k in range(0, len(program.narrow), 17)] + free_registers(program)
    numbers += [BITS + k for k in range(program.bit_rows - 1)]  # The last one is the choice.
    for register in numbers:
        if holds_something(program, register):
            with pytest.raises(UnsatisfiedError):
                lying_run(program, words, {register: lambda v: v + 1})


def test_lies_about_the_sum_and_the_scalars() -> None:
    """Nobody shows another x for a valid signature, nor a valid one for another x."""
    valid = _signature(random.Random(9))
    shift = (4**65 - 1) // 3
    for number, words in ((0, (valid[0] ^ 1, *valid[1:])), (1, valid)):
        program = variants()[number].program
        read = words_of(program, _data(*words))
        x = next(k for k in free_registers(program) if program.words[k & 0xFFFFF].compared is P256.field)
        y = NARROW + next(k for k, row in enumerate(program.narrow) if row.s == 0 and row.g == 1)
        point = P256.times(7, G)
        assert point
        lies = [
            {x: lambda _: G[0], y: lambda _: G[1]},
            {x: lambda _: valid[1], y: lambda _: 1},
            {BITS: lambda _: 0, BITS + 1: lambda _: shift},
            {BITS: lambda a: a + N},
            {BITS: lambda a: a + 1, BITS + 1: lambda b: b - 1},
        ]
        for lie, choice in product(lies, (0, 1)):
            with pytest.raises(UnsatisfiedError):
                lying_run(program, read, lie, choice)
