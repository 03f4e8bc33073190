"""Programs of precompiles that Cancun does not have answer as public tests of Prague and Osaka say.

`published_answers.json` has, for each file of the execution specs' tests of blocks, inputs with a right length: number,
input, and bytes and Keccak-256 of the output, ``null`` for a call that fails. The tests' contracts store these.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from circuits.programs import bls12_381_pairing, p256verify
from circuits.programs.bls12_381_g1 import add_instances, multiply_instances
from circuits.programs.program import Instance
from tests.circuits.precompiles.running import run_instances

Answer = tuple[int, str]  # size and hash of an output
CALLS: list[tuple[int, bytes, Answer | None]] = [
    (number, bytes.fromhex(given), answer and (answer[0], answer[1]))
    for calls in json.loads(Path(__file__).with_name("published_answers.json").read_text()).values()
    for number, given, answer in calls
]
G1ADD, G1MSM, PAIRING, P256VERIFY = 0x0B, 0x0C, 0x0F, 0x100
COUNTS = {G1ADD: 21, G1MSM: 37, PAIRING: 14, P256VERIFY: 53}
INSTANCES: dict[int, Callable[[bytes], list[Instance]]] = {
    G1ADD: add_instances,
    G1MSM: multiply_instances,
    PAIRING: bls12_381_pairing.instances,
    P256VERIFY: p256verify.instances,
}


def _answer(number: int, data: bytes) -> Answer | None:
    succeeds, output = run_instances(data, INSTANCES[number](data))
    return (len(output), keccak(output).hex() if output else "") if succeeds else None


def test_how_many_there_are() -> None:
    assert Counter(number for number, _, _ in CALLS) == COUNTS


def _check(number: int, every: int = 1) -> None:
    for _, data, answer in [call for call in CALLS if call[0] == number][::every]:
        assert _answer(number, data) == answer, data.hex()


@pytest.mark.parametrize("number", [G1ADD, G1MSM, P256VERIFY])
def test_some_published_answers(number: int) -> None:
    _check(number, 5)


@pytest.mark.deep
@pytest.mark.parametrize("number", [G1ADD, G1MSM, PAIRING, P256VERIFY])
def test_published_answers(number: int) -> None:
    _check(number)
