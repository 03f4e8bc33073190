"""ECRECOVER by its programs: against py-evm, on inputs made to meet the offsets, and against provers that lie."""

from __future__ import annotations

import random
from itertools import product

import pytest
from eth.precompiles.ecrecover import ecrecover

from circuits.programs.curves import SECP256K1, Affine
from circuits.programs.ecrecover import instances, variants
from circuits.programs.program import BITS, HASHED, NARROW, WORDS, UnsatisfiedError
from tests.circuits.precompiles.running import (
    free_registers,
    holds_something,
    lying_run,
    run_instances,
    run_of_evm,
    satisfied,
    words_of,
)

P, N, G = SECP256K1.field.value, SECP256K1.order.value, SECP256K1.generator
TOP = 2**256 - 1
HALF = (N + 1) // 2

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    "ecrecover": (494, 1, 137, 4, 13),
    "ecrecover: wrong v": (2, 0, 0, 0, 1),
    "ecrecover: large v": (0, 0, 0, 0, 1),
    "ecrecover: r or s is 0": (1, 0, 0, 0, 2),
    "ecrecover: large r": (0, 0, 0, 0, 1),
    "ecrecover: large s": (0, 0, 0, 0, 1),
    "ecrecover: no point": (2, 0, 0, 0, 1),
    "ecrecover: infinity": (264, 0, 35, 2, 5),
}


def _input(z: int, v: int, r: int, s: int) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in (z, v, r, s))


def _check(data: bytes) -> str:
    """The name of the program that answered as py-evm does."""
    found = instances(data)
    assert run_instances(data, found) == run_of_evm(ecrecover, data)
    return found[0].variant.program.name


def _of_point(point: Affine, s: int, z: int) -> bytes:
    """A call whose R is this point."""
    assert point is not None
    assert point[0] < N
    return _input(z, 27 + point[1] % 2, point[0], s)


def _signature(rng: random.Random) -> tuple[int, int, int, int]:
    key, z = rng.randrange(1, N), rng.getrandbits(256)
    k = rng.randrange(1, N)
    point = SECP256K1.times(k, G)
    assert point is not None
    r = point[0] % N
    return z, 27 + rng.randrange(2), r, pow(k, -1, N) * (z + r * key) % N


def test_rows() -> None:
    assert {v.program.name: tuple(v.program.rows.values()) for v in variants()} == ROWS
    assert [v.program.number for v in variants()] == list(range(1, 9))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 6))])
def test_signatures(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        assert _check(_input(*_signature(rng))) == "ecrecover"


def test_random_words() -> None:
    rng = random.Random(7)
    names = [_check(_input(rng.getrandbits(256), 27, rng.getrandbits(256), rng.getrandbits(256))) for _ in range(60)]
    assert set(names) == {"ecrecover", "ecrecover: no point"}


def test_each_word_at_its_bounds() -> None:
    rng = random.Random(8)
    valid = _signature(rng)
    bounds = [0, 1, 2, 26, 27, 28, 29, 27 + P, 27 + N, 1 << 96, 1 << 255, N - 1, N, N + 1, P - 1, P, P + 1, TOP]
    for position, word in product(range(4), bounds):
        if word > TOP:
            continue
        words = list(valid)
        words[position] = word
        _check(_input(*words))
    # v is the whole word.
    assert _check(_input(valid[0], (1 << 255) + 27, valid[2], valid[3])) == "ecrecover: large v"
    assert _check(_input(valid[0], (1 << 90) + 27, valid[2], valid[3])) == "ecrecover: wrong v"


def test_short_and_long_inputs() -> None:
    data = _input(*_signature(random.Random(9)))
    for size in (0, 1, 31, 32, 63, 64, 95, 96, 100, 127):
        _check(data[:size])
    assert _check(data + b"\x01" * 50) == "ecrecover"


@pytest.mark.deep
def test_short_relations_at_their_bounds() -> None:
    """s / r that is small, near the order, an Eisenstein integer or a fraction of small ones."""
    eigenvalue = SECP256K1.endomorphism[1]
    ratios = [1, 2, 3, N - 1, N - 2, HALF, eigenvalue, eigenvalue + 1, N - eigenvalue, 1 - eigenvalue + N, 1 << 128]
    ratios += [pow(3, -1, N), 5 * pow(7, -1, N), (3 + 5 * eigenvalue) * pow(7 - eigenvalue, -1, N)]
    point = SECP256K1.times(12345, G)
    assert point is not None
    for ratio, z in product(ratios, (0, 1, N, TOP)):
        assert _check(_of_point(point, ratio * point[0] % N, z)) in ("ecrecover", "ecrecover: infinity")


def _adversarial() -> list[bytes]:
    rng = random.Random(10)
    found = []
    scalars = [1, 2, 3, 4, 5, N - 1, N - 2, N - 3, HALF, N - HALF, pow(3, -1, N), SECP256K1.endomorphism[1]]
    for base in (G, *SECP256K1.offsets[:2]):
        for scalar in scalars:
            point = SECP256K1.times(scalar, base)
            assert point is not None
            r = point[0]
            for s, z in ((r, 0), (r, r), (N - r, 1), (r * scalar % N, rng.randrange(N)), (rng.randrange(N), 0)):
                found.append(_of_point(point, s, z))
    # Q = +-offset, and Q = +-(offset + R).
    for offset in SECP256K1.offsets[:2]:
        for k, ratio in product((1, 77), (1, N - 1)):
            point = SECP256K1.add(offset, SECP256K1.times(k, G))
            assert point is not None
            s = point[0] * ratio % N
            found += [_of_point(point, s, k * s % N), _of_point(point, s * 2 % N, k * s % N)]
    return found


@pytest.mark.deep
def test_inputs_that_meet_an_offset() -> None:
    """There are some for which one offset fails; another one never does."""
    chosen = set()
    for data in _adversarial():
        if _check(data) == "ecrecover":
            chosen.add(instances(data)[0].choice)
    assert chosen == {0, 1}


@pytest.mark.deep
def test_the_sum_of_multiples_of_the_generator() -> None:
    """R = k * G: u1 = u2, u1 * G = u2 * R, and u1 * G = -u2 * R, which gives infinity."""
    for k in (1, 2, 5, N - 1, N - 2, HALF, 1 << 200):
        point = SECP256K1.times(k, G)
        assert point is not None
        r = point[0] % N
        for s in (r, 1, 123456789, N - 1):
            assert _check(_of_point(point, s, (N - s) % N)) in ("ecrecover", "ecrecover: infinity")
            assert _check(_of_point(point, s, -s * k % N)) == "ecrecover"
            assert _check(_of_point(point, s, s * k % N)) == "ecrecover: infinity"


def test_no_program_answers_for_another() -> None:
    """Whichever program a prover takes, it has no answer to inputs that are another one's."""
    rng = random.Random(11)
    valid = _signature(rng)
    point = SECP256K1.times(5, G)
    assert point is not None
    no_point = next(r for r in range(1, 100) if SECP256K1.root(r**3 + 7) is None)
    inputs = {
        "ecrecover": _input(*valid),
        "ecrecover: wrong v": _input(valid[0], 29, *valid[2:]),
        "ecrecover: large v": _input(valid[0], 27 + P, *valid[2:]),
        "ecrecover: r or s is 0": _input(*valid[:2], 0, valid[3]),
        "ecrecover: large r": _input(*valid[:2], N + 2, valid[3]),
        "ecrecover: large s": _input(*valid[:3], N + 2),
        "ecrecover: no point": _input(valid[0], 27, no_point, valid[3]),
        "ecrecover: infinity": _of_point(point, 99, 99 * 5),
    }
    for name, data in inputs.items():
        assert _check(data) == name
        empty = run_of_evm(ecrecover, data)[1] == b""
        for variant in variants():
            # Reasons for an empty output may be several.
            answers = satisfied(variant.program, data)
            if variant.program.name == name:
                assert answers
            elif not (empty and variant.program.number > 1):
                assert not answers, (name, variant.program.name)


@pytest.mark.parametrize("offset", range(8))
def test_every_register_is_determined(offset: int) -> None:
    """No register of the valid program can hold another number."""
    program = variants()[0].program
    words = words_of(program, _input(*_signature(random.Random(12))))
    numbers = [NARROW + k for k in range(offset, len(program.narrow), 24)]
    if offset == 0:
        numbers += free_registers(program)
        numbers += [BITS + k for k in range(program.bit_rows - 1)]
    assert numbers
    for number in numbers:
        if holds_something(program, number):
            with pytest.raises(UnsatisfiedError):
                lying_run(program, words, {number: lambda v: v + 1})


def test_lies_about_the_key_and_the_scalars() -> None:
    program = variants()[0].program
    words = words_of(program, _input(*_signature(random.Random(13))))
    key = [WORDS + k for k, row in enumerate(program.words) if row.place == HASHED]
    short = [WORDS + k for k, row in enumerate(program.words) if row.compared and row.compared.name == "2^66"]
    shift = (4**33 - 1) // 3
    assert len(short) == 4
    lies = [
        {key[1]: lambda y: P - y},
        {key[0]: lambda _: G[0], key[1]: lambda _: G[1]},
        # All scalars 0: any key has the relation.
        {number: (lambda _: shift) for number in short},
        {key[0]: lambda _: G[0], key[1]: lambda _: G[1], **{number: (lambda _: shift) for number in short}},
        {short[0]: lambda a: a + 1},
        {short[0]: lambda a: a + (1 << 66)},
        {BITS: lambda both: both + 1},
    ]
    for lie in lies:
        for choice in (0, 1):
            with pytest.raises(UnsatisfiedError):
                lying_run(program, words, lie, choice)


def test_the_scalar_of_the_generator_has_two_representatives() -> None:
    """t and t + n are the same multiple: a prover may take either."""
    program = variants()[0].program
    rng = random.Random(14)
    _, v, r, s = _signature(rng)
    # z = 0 makes t = 0.
    words = [0, v, r, s]
    honest = lying_run(program, words, {})
    assert lying_run(program, words, {BITS + 2: lambda t: t + N}) == honest
