"""What is too large for the verifier is known from the heights of the tables alone."""

from __future__ import annotations

import pytest

from circuits.segment import circuit_named, segment_circuit
from executor.forks import CANCUN
from prover.segment import proving_key
from tests.verifier.proving import proved_batch
from verifier import sizes
from verifier.errors import Invalid
from verifier.sizes import MAX_LOG_HEIGHT, MIN_SECURITY_BITS, check_heights, check_security, check_segment_size
from verifier.swirl.key import VerifyingKey, decode
from verifier.swirl.security import security

NAMES = segment_circuit(CANCUN).names


def key_of(log_stacked_height: int) -> VerifyingKey:
    """The key that the engine makes of the circuit, decoded."""
    return decode(proving_key("cancun", log_stacked_height).verifying_key().to_bytes())


@pytest.mark.parametrize("height", [14, pytest.param(22, marks=pytest.mark.deep)])
def test_sizes_are_those_of_the_engines_key(height: int) -> None:
    key, shape = key_of(height), sizes._shape(segment_circuit(CANCUN), height)
    assert shape.parameters == key.parameters
    assert shape.height_bounds == key.height_bounds
    for own, table in zip(shape.tables, key.tables, strict=True):
        assert (own.width, own.public_values, own.uses_next) == (table.width, table.public_values, table.uses_next)
        assert len(own.constraints) == len(table.constraints)
        assert sorted((i.bus, len(i.message), i.weight) for i in own.interactions) == sorted(
            (i.bus, len(i.message), i.weight) for i in table.interactions
        )
        assert table.degree <= own.degree == key.parameters.max_degree
        assert own.required == table.required
    heights: list[int | None] = [None, *[8] * (len(NAMES) - 1)]
    assert security(shape, heights).total == security(key, heights).total


def test_the_size_of_a_proof_is_known_before_it_is_made() -> None:
    proved = proved_batch()
    for job, proof in zip(proved.jobs, proved.proofs, strict=True):
        plan = job.plan
        assert check_segment_size(circuit_named(plan.keys), plan.heights, plan.log_stacked_height) == len(proof.proof)


@pytest.mark.parametrize("table", [NAMES[0], "keccak_f", NAMES[-1]])
def test_a_table_of_2_21_rows_is_the_highest(table: str) -> None:
    largest = {"segment": 1, table: 1 << MAX_LOG_HEIGHT}
    if table == "keccak_f":
        with pytest.raises(Invalid, match=r"2409 stacked columns, .* 2048; the largest table is keccak_f of 2,097,152"):
            check_segment_size(segment_circuit(CANCUN), largest, 21)
    check_segment_size(segment_circuit(CANCUN), largest, 22)
    what = f"table {table} has 4,194,304 rows, padding included; 2,097,152 are allowed"
    with pytest.raises(Invalid, match=what):
        check_segment_size(segment_circuit(CANCUN), largest | {table: 1 << (MAX_LOG_HEIGHT + 1)}, 22)


def test_every_bound_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = segment_circuit(CANCUN)
    low = {"segment": 1, "range16": 1 << 16}
    check_segment_size(circuit, low, 16)
    with pytest.raises(
        Invalid, match=r"a table has 2\^16 rows, a stacked column 2\^15; the largest table is range16 of"
    ):
        check_segment_size(circuit, low, 15)
    with pytest.raises(Invalid, match="stacked columns, the analysis assumes at most 2048"):
        check_segment_size(circuit, dict.fromkeys(NAMES, 1 << 14), 14)
    with pytest.raises(
        Invalid, match=r"could wrap around \([0-9,]+, less than 2,013,265,921 are allowed\); the largest"
    ):
        check_segment_size(circuit, dict.fromkeys(NAMES, 1 << 21), 22)
    monkeypatch.setattr(sizes, "MAX_SEGMENT_PROOF_BYTES", 1000)
    with pytest.raises(Invalid, match="bytes, at most 1000 are read"):
        check_segment_size(circuit, low, 16)
    monkeypatch.setattr(sizes, "MIN_SECURITY_BITS", 101.0)
    with pytest.raises(Invalid, match=r"100\.\d bits of security, 101 are needed"):
        check_segment_size(circuit, low, 16)


def test_the_verifier_asks_the_same_of_a_proof() -> None:
    check_heights(["a", "b"], [MAX_LOG_HEIGHT, None])
    with pytest.raises(Invalid, match="table b has 8,388,608 rows"):
        check_heights(["a", "b"], [MAX_LOG_HEIGHT + 1, MAX_LOG_HEIGHT + 2])
    check_security(MIN_SECURITY_BITS)
    with pytest.raises(Invalid, match=r"99\.9 bits of security, 100 are needed"):
        check_security(99.9)
