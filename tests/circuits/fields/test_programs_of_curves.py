"""The machine runs the programs of the precompiles on curves, whose rows multiply words and select copies of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from circuits.air.checker import check_circuit
from circuits.programs import alt_bn128, bls12_381_g1, ecrecover, p256verify
from circuits.programs.curves import BLS12_381_G1, BN254, P256, SECP256K1, Curve
from circuits.programs.program import Instance, Program
from circuits.programs.runs import Request
from tests.circuits.fields.machine import circuit_of
from tests.circuits.precompiles.running import words_of

TOP = 2**256 - 1


def _multiple(curve: Curve, scalar: int) -> tuple[int, int]:
    return curve.times(scalar, curve.generator) or (0, 0)


def _check(answered: Sequence[tuple[list[Instance], bytes]], names: set[str]) -> None:
    """All instances are one circuit's, whose constraints hold."""
    requests: list[Request] = []
    programs: dict[str, Program] = {}
    for k, (instances, data) in enumerate(answered):
        before = len(requests)
        for _i, instance in enumerate(instances):
            program = instance.variant.program
            programs[program.name] = program
            words = words_of(program, data, instance.offset)
            # Programs that fail do not look at the parts before.
            linked = 0 if instance.linked is None or not program.links else before + instance.linked + 1
            place = {"frame": k + 1, "time": 1 + 50 * len(requests), "input": instance.offset}
            requests.append(Request(program, words, instance.choice, linked, **place))
    assert programs.keys() == names
    circuit, traces = circuit_of(requests, list(programs.values()))
    assert check_circuit(circuit, traces, [[] for _ in traces]) == []


def _data(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


def test_alt_bn128() -> None:
    g, p, n = BN254.generator, BN254.field.value, BN254.order.value
    sums = [
        [*g, *_multiple(BN254, 5)],
        [*g, *g],
        [*g, 1, p - 2],
        [*g, 0, 0],
        [*g, 1, TOP],
        [TOP - p, 5, *g],
        [1, 3, *g],
    ]
    multiples = [[*g, TOP], [*g, n], [1, p, 5], [1, 3, 5]]
    answered = [(alt_bn128.add_instances(_data(words)), _data(words)) for words in sums]
    answered += [(alt_bn128.multiply_instances(_data(words)), _data(words)) for words in multiples]
    variants = (*alt_bn128.add_variants(), *alt_bn128.multiply_variants())
    _check(answered, {v.program.name for v in variants})


@pytest.mark.deep
def test_p256verify() -> None:
    g, n = P256.generator, P256.order.value
    key = _multiple(P256, 5)
    # X = 2 * G + 1 * key, and infinity.
    r = _multiple(P256, 7)[0]
    inputs = [[2 * r % n, r, r, *key], [TOP, r, r, *key], [n - 5, 1, 9, *key], [1, 0, r, *key], [1, 1, 1, 0, 0]]
    inputs += [[1, 1, 1, TOP, 1], [1, 1, 1, 1, TOP], [1, TOP, 1, *g], [1, 1, TOP, *g]]
    answered = [(p256verify.instances(_data(words)), _data(words)) for words in inputs]
    _check(answered, {v.program.name for v in p256verify.variants()})


def test_ecrecover_of_invalid_signatures() -> None:
    n = SECP256K1.order.value
    x, y = _multiple(SECP256K1, 5)
    inputs = [[99 * 5, 27 + y % 2, x, 99], [1, 26, 1, 1], [1, TOP, 1, 1], [1, 27, 0, 1], [1, 27, n, 1], [1, 28, 1, TOP]]
    inputs += [[1, 27, 5, 1]]
    answered = [(ecrecover.instances(_data(words)), _data(words)) for words in inputs]
    _check(answered, {v.program.name for v in ecrecover.variants()[1:]})


@pytest.mark.deep
def test_bls12_381() -> None:
    g, p, r = BLS12_381_G1.generator, BLS12_381_G1.field.value, BLS12_381_G1.order.value
    minus, other, small = (g[0], p - g[1]), _multiple(BLS12_381_G1, 5), (0, 2)
    outside = next((x, y) for x in range(1, 99) if (y := BLS12_381_G1.root(x**3 + 4)) is not None)

    def point(x: int, y: int) -> bytes:
        return x.to_bytes(64, "big") + y.to_bytes(64, "big")

    last = 2**512 - 1
    sums = [(g, other), (g, g), (g, minus), (g, (0, 0)), (g, (1, last)), ((last, 1), g), (g, (1, 1))]
    answered = []
    for first, second in sums:
        data = point(*first) + point(*second)
        answered.append((bls12_381_g1.add_instances(data), data))
    multiples = [[(g, TOP), ((0, 0), 5), (other, 1)], [((0, 0), TOP), (g, r)], [(outside, 1)], [(small, 1)]]
    multiples += [[((1, 1), 1)], [(g, 1), ((g[0], last), 1)]]
    for pairs in multiples:
        data = b"".join(point(*p) + scalar.to_bytes(32, "big") for p, scalar in pairs)
        answered.append((bls12_381_g1.multiply_instances(data), data))
    variants = (*bls12_381_g1.add_variants(), *bls12_381_g1.multiply_variants())
    _check(answered, {v.program.name for v in variants})
