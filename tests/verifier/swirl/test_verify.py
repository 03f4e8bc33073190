"""The verifier in Python: accepts what the native one accepts, refuses what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from executor.errors import UnsupportedFeature
from executor.execute import execute
from executor.inputs import read_batch
from prover.errors import CostError
from tests.end_to_end.batches import EXAMPLES, first_transactions
from tests.verifier.proving import prove_here
from tests.verifier.swirl.damages import Damage, damages
from tests.verifier.swirl.small import fibonacci
from verifier import keys
from verifier.engines import ENGINES
from verifier.errors import Invalid, Rejected, UnusableInput
from verifier.swirl import key as python_key
from verifier.verify import verify

#: One, one, two and three rounds of WHIR.
HEIGHTS = (11, 15, pytest.param(14, marks=pytest.mark.deep), pytest.param(19, marks=pytest.mark.deep))


def answers(key: bytes, proof: bytes) -> list[object]:
    """What each engine says of a proof: what it proves, or that it is refused."""
    found: list[object] = []
    for decode in ENGINES.values():
        try:
            verified = decode(key).verify(proof)
        except Invalid:
            found.append("refused")
        else:
            found.append((list(map(list, verified.public_values)), list(verified.log_heights)))
    return found


@pytest.mark.parametrize("height", HEIGHTS)
def test_both_accept_a_small_proof(height: int) -> None:
    small = fibonacci(height, 3)
    native, python = answers(small.key, small.proof)
    assert native == python == ([[3, 102], [], []], [3, 6, None])


def test_both_give_the_same_security() -> None:
    small = fibonacci(15, 3)
    native, python = (decode(small.key).verify(small.proof).security_bits for decode in ENGINES.values())
    assert native == pytest.approx(python, abs=0.01)


def test_a_proof_is_refused_by_another_key() -> None:
    assert answers(fibonacci(14, 3).key, fibonacci(15, 3).proof) == ["refused", "refused"]


@pytest.mark.deep
def test_a_proof_is_refused_by_a_pinned_key() -> None:
    assert answers(keys.encoding("cancun", 15), fibonacci(15, 3).proof) == ["refused", "refused"]


@cache
def single() -> bytes:
    """A proof file with one segment, of two transfers."""
    return prove_here(first_transactions("transfer", 2), None).content


def test_both_accept_a_file() -> None:
    content = single()
    native, python = (verify(content, engine) for engine in ENGINES)
    assert native.statement == python.statement
    assert python.security_bits == pytest.approx(native.security_bits, abs=0.01)


def test_other_engines_do_not_exist() -> None:
    with pytest.raises(UnusableInput, match="no engine 'abacus'"):
        verify(single(), "abacus")


@pytest.mark.deep
def test_no_native_code_is_needed(tmp_path: Path) -> None:
    """Where the engine cannot be imported, the Python verifier takes its place; who wants the engine is told so."""
    file = tmp_path / "batch.proof"
    file.write_bytes(single())
    program = "import sys; sys.modules['zkevm_native'] = None; from zkevm.main import main; sys.exit(main())"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for accepted in (run("verify", "--engine", "python"), run("verify")):
        assert accepted.returncode == 0, accepted.stderr
        assert "ACCEPTED" in accepted.stdout
    refused = run("verify", "--engine", "native")
    assert refused.returncode == 2
    assert "--engine python" in refused.stderr


@cache
def damaged(source: str, seed: int) -> tuple[bytes, bytes, list[Damage]]:
    """An encoded key, a proof for it, and damage to it in a random order."""
    if source == "small":
        small = fibonacci(15, 3)
        key, proof = small.key, small.proof
    else:
        segment = prove_here(first_transactions("erc20", 3), None).file.segments[0]
        key, proof = keys.encoding("cancun", segment.log_stacked_height), bytes(segment.proof)
    rng = np.random.default_rng(seed)
    made = damages(python_key.decode(key), proof, rng)
    return key, proof, [made[i] for i in rng.permutation(len(made))]


def disagreements(source: str, seed: int, first: int, count: int) -> Iterator[str]:
    """Damage that not both engines refuse, of `count` kinds."""
    key, proof, made = damaged(source, seed)
    decoded = [decode(key) for decode in ENGINES.values()]
    for damage in made[first : first + count]:
        verdicts = []
        for engine in decoded:
            try:
                engine.verify(damage.of(proof))
                verdicts.append("accepted")
            except Invalid:
                verdicts.append("refused")
        if verdicts != ["refused"] * len(decoded):
            yield f"{damage.what}: {verdicts}"


def test_some_damage() -> None:
    assert list(disagreements("small", 0, 0, 25)) == []


@pytest.mark.deep
@pytest.mark.parametrize("first", range(0, 700, 100))
def test_damage_to_a_small_proof(first: int) -> None:
    assert len(damaged("small", 1)[2]) > first
    assert list(disagreements("small", 1, first, 100)) == []


@pytest.mark.deep
@pytest.mark.parametrize("first", range(0, 1400, 50))
def test_damage_to_a_segment(first: int) -> None:
    assert len(damaged("segment", 1)[2]) > 1400
    assert list(disagreements("segment", 1, first, 50)) == []


@pytest.mark.deep
@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("*.json")))
def test_both_accept_the_examples(example: str) -> None:
    try:
        proved = prove_here(execute(read_batch(EXAMPLES / f"{example}.json")), None, memory=4 << 30)
    except (UnsupportedFeature, CostError) as refusal:
        pytest.skip(str(refusal))
    native, python = (verify(proved.content, engine) for engine in ENGINES)
    assert native.statement == python.statement == proved.file.statement


@pytest.mark.parametrize("position", [-1, *(pytest.param(p, marks=pytest.mark.deep) for p in (-100, 6, 2000))])
def test_refusals_of_files_are_the_same(position: int) -> None:
    """Each by the same check."""
    content = bytearray(single())
    content[position] ^= 1
    reasons = []
    for engine in ENGINES:
        with pytest.raises(Rejected) as refusal:
            verify(bytes(content), engine)
        reasons.append(refusal.value.check)
    assert reasons[0] == reasons[1]
