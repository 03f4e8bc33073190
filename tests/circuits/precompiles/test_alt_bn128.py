"""ECADD and ECMUL by their programs: against py-evm, on inputs made to meet the offsets, and against liars."""

from __future__ import annotations

import random
from itertools import product

import pytest
from eth.precompiles.ecadd import ecadd
from eth.precompiles.ecmul import ecmul

from circuits.programs.alt_bn128 import add_instances, add_variants, multiply_instances, multiply_variants
from circuits.programs.curves import BN254, Affine
from circuits.programs.program import BITS, NARROW, WRITTEN, UnsatisfiedError
from tests.circuits.precompiles.running import (
    free_registers,
    holds_something,
    lying_run,
    run_instances,
    run_of_evm,
    satisfied,
    words_of,
)

P, N, G = BN254.field.value, BN254.order.value, BN254.generator
TOP = 2**256 - 1

VARIANTS = (*add_variants(), *multiply_variants())

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    "ECADD": (10, 0, 0, 0, 6),
    "ECADD: equal": (10, 0, 0, 0, 6),
    "ECADD: opposite": (6, 0, 0, 0, 6),
    "ECADD: infinity": (7, 0, 10, 1, 6),
    "ECADD: large": (1, 0, 5, 1, 6),
    "ECADD: not on the curve": (5, 0, 5, 1, 5),
    "ECMUL": (506, 0, 104, 3, 9),
    "ECMUL: infinity": (8, 0, 0, 0, 5),
    "ECMUL: large": (1, 0, 5, 1, 4),
    "ECMUL: not on the curve": (5, 0, 0, 0, 3),
}


def _words(*words: int) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


def _point(point: Affine) -> tuple[int, int]:
    return point or (0, 0)


def _add(data: bytes) -> str:
    found = add_instances(data)
    assert run_instances(data, found) == run_of_evm(ecadd, data)
    return found[0].variant.program.name


def _multiply(data: bytes) -> str:
    found = multiply_instances(data)
    assert run_instances(data, found) == run_of_evm(ecmul, data)
    return found[0].variant.program.name


def _some(rng: random.Random) -> tuple[int, int]:
    return _point(BN254.times(rng.randrange(1, N), G))


def test_rows() -> None:
    assert {v.program.name: tuple(v.program.rows.values()) for v in VARIANTS} == ROWS
    assert [v.program.number for v in VARIANTS] == list(range(10, 20))


def test_sums() -> None:
    rng = random.Random(1)
    for _ in range(60):
        assert _add(_words(*_some(rng), *_some(rng))) == "ECADD"
    points = [(0, 0), G, _point(BN254.negate(G)), *(_point(BN254.times(k, G)) for k in (2, 3, N - 2))]
    names = {_add(_words(*first, *second)) for first, second in product(points, points)}
    assert names == {"ECADD", "ECADD: equal", "ECADD: opposite", "ECADD: infinity"}


def test_words_of_sums_at_their_bounds() -> None:
    names = set()
    for bound in (0, 1, 2, 3, N, P - 1, P, P + 1, P + 2, 2 * P, TOP):
        for position in range(4):
            for words in ([*G, *G], [0, 0, 0, 0], [0, 0, *G], [*G, 0, 0], [1, P - 2, 1, 2]):
                words[position] = bound
                names.add(_add(_words(*words)))
    assert names == {name for name in ROWS if name.startswith("ECADD")} - {"ECADD"}


def test_short_and_long_inputs() -> None:
    rng = random.Random(2)
    data = _words(*_some(rng), *_some(rng))
    for size in (0, 1, 31, 32, 63, 64, 65, 96, 127):
        _add(data[:size])
        _multiply(data[:size])
    assert _add(data + b"\x01" * 50) == "ECADD"
    assert _multiply(data[:96] + b"\x01" * 50) == "ECMUL"
    assert _multiply(data[:65]) == "ECMUL"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 4))])
def test_multiples(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        assert _multiply(_words(*_some(rng), rng.getrandbits(256))) == "ECMUL"


def test_scalars_at_their_bounds() -> None:
    eigenvalue = BN254.endomorphism[1]
    scalars = [*range(10), 1 << 64, 1 << 128, 1 << 255, TOP, P, eigenvalue, N - eigenvalue, eigenvalue + 1]
    scalars += [k * N + d for k in range(1, 6) for d in (-2, -1, 0, 1, 2)]
    scalars += [pow(k, -1, N) for k in (2, 3, 4, 1 - eigenvalue)]
    point = _point(BN254.times(77, G))
    for scalar in scalars:
        assert _multiply(_words(*point, scalar)) == ("ECMUL" if scalar % N else "ECMUL: infinity")


def test_words_of_multiples_at_their_bounds() -> None:
    names = set()
    for bound, scalar in product((0, 1, 2, 3, N, P - 1, P, P + 1, P + 2, TOP), (0, 1, 5, N, TOP)):
        for words in ([bound, 2], [1, bound], [bound, 0], [0, bound]):
            names.add(_multiply(_words(*words, scalar)))
    assert names == {name for name in ROWS if name.startswith("ECMUL")}


@pytest.mark.deep
def test_multiples_that_meet_an_offset() -> None:
    """There are some for which one offset fails; another one never does."""
    chosen = set()
    scalars = [1, 2, 3, N - 1, N - 2, (N + 1) // 2, pow(3, -1, N), BN254.endomorphism[1]]
    for offset, scalar, multiple in product(BN254.offsets[:2], scalars, (1, 2, 3, N - 1, scalars[5], scalars[7])):
        data = _words(*_point(BN254.times(scalar, offset)), multiple)
        assert _multiply(data) == "ECMUL"
        chosen.add(multiply_instances(data)[0].choice)
    assert chosen == {0, 1}


def test_no_program_answers_for_another() -> None:
    """Whichever program a prover takes, with any choice, it has no answer to inputs with another outcome."""
    for first, last, names in ((0, 6, "ECADD"), (6, 10, "ECMUL")):
        inputs = [
            _words(*G, *_point(BN254.times(5, G))),
            _words(*G, *G),
            _words(*G, 1, P - 2),
            _words(*G, 0, 0),
            _words(0, 0, *G),
            _words(0, 0, 0, 0),
            _words(*G, N, 0),
            _words(*G, 1, P + 2),
            _words(P + 1, 2, *G),
            _words(1, 2 + P, *G),
            _words(P, P, 0, 0),
            _words(1, 3, *G),
            _words(*G, 1, 3),
            _words(0, 1, 0, 1),
            _words(3, 0, 3, 0),
        ]
        for data in inputs:
            assert (_add if names == "ECADD" else _multiply)(data).startswith(names)
            right = run_of_evm(ecadd if names == "ECADD" else ecmul, data)
            for variant in VARIANTS[first:last]:
                for choice in range(4):
                    if satisfied(variant.program, data, [choice]):
                        run = variant.program.run(words_of(variant.program, data), choice=choice)
                        assert (not variant.fails, _words(*run.written)) == right


@pytest.mark.parametrize("number", range(10))
def test_every_register_is_determined(number: int) -> None:
    """No register can hold another number, but for a word that is only there to stand behind another one in a pair."""
    inputs = [
        (0, _words(*G, *_point(BN254.times(5, G)))),
        (0, _words(*G, *G)),
        (0, _words(*G, 1, P - 2)),
        (1, _words(*G, 0, 0)),
        (3, _words(*G, 1, P)),
        (1, _words(*G, 1, 3)),
        (0, _words(*G, 12345678)),
        (0, _words(*G, N)),
        (1, _words(1, P, 5)),
        (0, _words(1, 3, 5)),
    ]
    program, (choice, data) = VARIANTS[number].program, inputs[number]
    words = words_of(program, data)
    lying_run(program, words, {}, choice)
    free = free_registers(program)
    if number in (4, 8):
        lying_run(program, words, {free.pop(0): lambda v: v + 1}, choice)
    numbers = [NARROW + k for k in range(0, len(program.narrow), 5 if number == 6 else 1)] + free
    numbers += [BITS + k for k in range(program.bit_rows - 1)]
    determined = 0
    for register in numbers:
        if holds_something(program, register):
            determined += 1
            with pytest.raises(UnsatisfiedError):
                lying_run(program, words, {register: lambda v: v + 1}, choice)
    assert determined


def test_lies_about_the_multiple_and_the_scalars() -> None:
    program = VARIANTS[6].program
    words = words_of(program, _words(*G, 12345678))
    result = free_registers(program)[:2]
    assert all(program.words[number & 0xFFFFF].place == WRITTEN for number in result)
    short = free_registers(program)[2:]
    shift = (4**33 - 1) // 3
    zero = {number: (lambda _: shift) for number in short}
    lies = [
        {result[1]: lambda y: P - y},
        {result[0]: lambda _: G[0], result[1]: lambda _: G[1]},
        {result[0]: lambda _: 0, result[1]: lambda _: 0},
        {result[0]: lambda x: x + P},
        {result[1]: lambda y: y + P},
        zero,
        {result[0]: lambda _: G[0], result[1]: lambda _: G[1], **zero},
        {short[0]: lambda a: a + (1 << 66)},
    ]
    for lie, choice in product(lies, (0, 1)):
        with pytest.raises(UnsatisfiedError):
            lying_run(program, words, lie, choice)
