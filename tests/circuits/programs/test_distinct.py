"""Numbers that are distinct, but not modulo the circuits' field: attackers know inputs that lead to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from circuits.air.field import MODULUS
from circuits.programs import ecrecover, p256verify
from circuits.programs.curves import OFFSETS, P256, SECP256K1, Curve
from circuits.programs.moduli import BN254_P, SECP256K1_P, Modulus
from circuits.programs.program import FIELD_MODULUS, Instance, Program, ProgramError, Run, UnsatisfiedError, divide

P, N = SECP256K1.field.value, SECP256K1.order.value


def _quotient(modulus: Modulus) -> Program:
    """1 / (A - B)."""
    p = Program(1, "quotient", modulus)
    a, b = p.word(0), p.word(1)
    p.solve(divide(modulus), (-1, b - a), lambda s: s * (b - a) + 1, distinct=True)
    return p


def test_the_modulus_is_the_field_of_the_circuits() -> None:
    assert FIELD_MODULUS == MODULUS


def test_runs_fail_where_the_circuit_has_no_proof() -> None:
    p = _quotient(SECP256K1_P)
    p.run([5, 6])
    for a, b in ((5, 5), (5, P + 5), (5, 5 + MODULUS), (5 + MODULUS * 9, 5), (7, P + 7 - 3 * MODULUS), (P + 7, 7)):
        with pytest.raises(UnsatisfiedError):
            p.run([a, b])


@pytest.mark.parametrize("value", [BN254_P.value, (1 << 256) * 7 // 10])
def test_moduli_that_a_difference_can_exceed_twice(value: int) -> None:
    """Words and numbers of signed bytes differ by up to 1.5 * 2^256."""
    with pytest.raises(ProgramError):
        _quotient(Modulus(1, "small", value))


def _near(curve: Curve, x: int) -> tuple[int, int]:
    """A point whose x is another, but the same modulo the circuits' field."""
    for k in itertools.count(1):
        other = x + k * MODULUS
        assert other < curve.field.value
        y = curve.root(other**3 + curve.a * other + curve.b)
        if y:
            return other, y
    raise AssertionError


def _unproved(program: Program, run: Run) -> int:
    """How many rows have no proof that their registers are distinct."""
    rows = [(row, [run.values[r] for r in row.operands[1:3]]) for row in program.narrow if row.distinct]
    assert rows
    return sum((a - b) * ((a - b) ** 2 - row.modulus.value**2) % MODULUS == 0 for row, (a, b) in rows)


def _answer(words: list[int], instances: Callable[[bytes], list[Instance]]) -> tuple[str, int]:
    (instance,) = instances(b"".join(word.to_bytes(32, "big") for word in words))
    program = instance.variant.program
    assert not _unproved(program, program.run(words, choice=instance.choice))
    return program.name, instance.choice


@pytest.mark.parametrize("offset", range(3))
def test_a_recovered_key_that_spoils_an_offset(offset: int) -> None:
    """For a chosen Q there is a signature: R = a * Q + b * G."""
    key = _near(SECP256K1, SECP256K1.offsets[offset][0])
    point = SECP256K1.add(SECP256K1.times(12345, key), SECP256K1.times(67890, SECP256K1.generator))
    assert point
    r = point[0]
    s = r * pow(12345, -1, N) % N
    words = [67890 * s % N, 27 + point[1] % 2, r, s]
    program = ecrecover.variants()[0].program
    with pytest.raises(UnsatisfiedError):
        program.run(words, choice=offset)
    assert _answer(words, ecrecover.instances) == ("ecrecover", 0 if offset else 1)


def test_a_key_on_p256_that_spoils_an_offset() -> None:
    key = _near(P256, P256.offsets[0][0])
    words = [5, 6, 7, *key]
    with pytest.raises(UnsatisfiedError):
        p256verify.variants()[1].program.run(words, choice=0)
    assert _answer(words, p256verify.instances) == ("P256VERIFY: another x", 1)


def test_every_offset_answers() -> None:
    """Also where nothing of the input but a scalar is in the sum."""
    point = SECP256K1.times(5, SECP256K1.generator)
    assert point
    valid = [1, 27 + point[1] % 2, point[0], 99]
    infinite = [99 * 5, *valid[1:]]
    for program, words in ((ecrecover.variants()[0].program, valid), (ecrecover.variants()[7].program, infinite)):
        runs = [program.run(words, choice=choice) for choice in range(OFFSETS)]
        differing = [k for k, row in enumerate(program.narrow) if row.distinct]
        for k in differing:
            row = program.narrow[k]
            differences = {run.values[row.operands[1]] - run.values[row.operands[2]] for run in runs}
            assert len(differences) == OFFSETS
