"""Planning, filling and naming the segments of a real batch."""

from dataclasses import replace

import pytest

from circuits.batch.execution import Batch
from circuits.segment import segment_circuit
from circuits.statement import Form
from executor.forks import CANCUN, OSAKA
from executor.provable import check_provable
from prover.planner import Budget, plan_batch, plan_whole, planner_for
from prover.segment import SegmentJob, fill_segment, is_proof_of, prove_segment, proving_key, segment_jobs
from scripts.batches.builder import Builder
from scripts.batches.tokens import SMALL, paying, token_builder, tokens
from verifier import keys


@pytest.fixture(scope="module")
def small_batch() -> Batch:
    return tokens(8)


@pytest.fixture(scope="module")
def jobs(small_batch: Batch) -> list[SegmentJob]:
    planner = planner_for(small_batch)
    return segment_jobs(small_batch, [planner.segment(0, 0, 5), planner.segment(1, 5, 8)])


def test_segments_chain(jobs: list[SegmentJob]) -> None:
    first, second = (job.public_values for job in jobs)
    assert first.end_operation == second.first_operation
    assert first.operations_out.tolist() == second.operations_in.tolist()
    assert first.receipts_out.tolist() == second.receipts_in.tolist()
    assert first.access_out.tolist() == second.access_in.tolist()


def test_the_driver_states_what_the_tables_state(small_batch: Batch, jobs: list[SegmentJob]) -> None:
    for job in jobs:
        filled = fill_segment(small_batch, job.plan)
        assert filled.public_values.to_list() == job.public_values.to_list()


def test_writes_name_leaves_and_their_order_is_fixed(small_batch: Batch, jobs: list[SegmentJob]) -> None:
    again = segment_jobs(small_batch, [job.plan for job in jobs])
    for job, other in zip(jobs, again, strict=True):
        assert len(job.writes.leaf) > 0
        assert (job.writes.leaf < len(small_batch.leaves.keys)).all()
        assert job.writes.leaf.tolist() == other.writes.leaf.tolist()
        assert job.writes.chain[-1].tolist() == job.public_values.writes_out.tolist()


def test_tables_are_exactly_as_large_as_planned(small_batch: Batch, jobs: list[SegmentJob]) -> None:
    names = segment_circuit(CANCUN).names
    for job in jobs:
        filled = fill_segment(small_batch, job.plan)
        heights = {name: len(t) for name, t in zip(names, filled.traces, strict=True) if t is not None}
        assert heights == job.plan.heights


def test_a_key_of_another_circuit_than_the_pinned_one_is_generated(
    jobs: list[SegmentJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same, if the circuit is, after all."""
    height, manifest = jobs[0].plan.log_stacked_height, keys.manifest("cancun")
    proving_key.cache_clear()
    monkeypatch.setattr(keys, "manifest", lambda fork: replace(manifest, circuit_digest="another"))
    generated = proving_key("cancun", height)
    proving_key.cache_clear()
    monkeypatch.undo()
    pinned = proving_key("cancun", height)
    assert pinned.tables == generated.tables == list(manifest.tables)
    assert pinned.verifying_key().to_bytes() == generated.verifying_key().to_bytes() == keys.encoding("cancun", height)


def test_a_proof_is_one_of_its_own_segment_alone(small_batch: Batch, jobs: list[SegmentJob]) -> None:
    first, second = jobs
    proof = prove_segment(small_batch, first, threads=1)
    assert proof.statistics is not None
    assert proof.statistics.cells == first.plan.cells
    assert proof.statistics.interactions == first.plan.interactions
    assert is_proof_of(proof.proof, first)
    assert not is_proof_of(proof.proof, second)
    assert not is_proof_of(proof.proof[:-1], first)
    assert not is_proof_of(b"", first)


def _key(builder: Builder) -> str:
    batch = Batch.of(check_provable(builder.execute()))
    (job,) = segment_jobs(batch, plan_batch(batch))
    return job.key


def test_the_key_of_a_segment_names_everything_its_proof_depends_on(small_batch: Batch) -> None:
    def build(amount: int = 5, gas: int = 100_000, coinbase: bytes = Builder.COINBASE, nonce: int = 0) -> Builder:
        building = token_builder()
        # Nobody asks for this account but by its leaf.
        building.alloc(b"\x99" * 20, balance=1, nonce=nonce)
        return building.block(
            paying(
                building,
                0,
                Builder.WALLETS[1],
                amount,
                gas=gas,
                accessList=[{"address": "0x" + "99" * 20, "storageKeys": []}],
            ),
            coinbase=coinbase,
        )

    keys = [_key(build()), _key(build(amount=6)), _key(build(gas=100_001)), _key(build(coinbase=b"\x42" * 20))]
    keys.append(_key(build(nonce=7)))
    assert len(set(keys)) == len(keys)
    assert _key(build()) == keys[0]

    plan = plan_batch(small_batch, SMALL)[0]
    (job,) = segment_jobs(small_batch, [plan])
    assert segment_jobs(small_batch, [plan])[0].key == job.key
    higher = replace(plan, log_stacked_height=plan.log_stacked_height + 1)
    assert segment_jobs(small_batch, [higher])[0].key != job.key


BLS12_G1ADD = 11


def _calling(*precompiles: int) -> Batch:
    """A transaction for each call of a precompile, with numbers that ECADD and ECRECOVER take, or infinite points."""
    building = Builder(OSAKA)
    words = b"".join(word.to_bytes(32, "big") for word in (1, 2, 1, 2))
    data = {number: bytes(256) if number == BLS12_G1ADD else words for number in precompiles}
    requests = [
        building.transfer(sender, to=number.to_bytes(20, "big"), value=0, gas=200_000, data="0x" + data[number].hex())
        for sender, number in enumerate(precompiles)
    ]
    return Batch.of(check_provable(building.block(*requests).execute()))


@pytest.mark.parametrize(
    ("precompiles", "keys"),
    [
        ((1, 2, 3), "osaka-light"),
        ((1, 6, 3), "osaka-common"),
        ((7, 256, 1), "osaka-common"),
        ((1, 11), "osaka"),
        ((6, 11), "osaka"),
    ],
)
def test_all_segments_of_a_batch_have_the_smallest_form_that_each_can_have(
    precompiles: tuple[int, ...], keys: str
) -> None:
    plans = plan_batch(_calling(*precompiles), Budget(operations=1))
    assert len(plans) > len(precompiles)
    assert {plan.keys for plan in plans} == {keys}
    assert plan_whole(_calling(*precompiles)).keys == keys


def test_a_segment_with_a_program_that_a_form_does_not_list_has_no_such_form() -> None:
    batch = _calling(6)
    with pytest.raises(ValueError, match="lacks listing_6_0"):
        fill_segment(batch, plan_whole(batch)).within(segment_circuit(OSAKA, Form.LIGHT))


def test_a_segment_is_the_same_in_the_light_form(small_batch: Batch, jobs: list[SegmentJob]) -> None:
    whole = fill_segment(small_batch, jobs[0].plan)
    light = whole.within(segment_circuit(CANCUN, Form.LIGHT))
    assert light.heights == whole.heights
    assert [values for values in light.public_lists if values] == [values for values in whole.public_lists if values]
    assert len(light.traces) < len(whole.traces)


def test_proofs_with_keys_of_both_forms_are_told_apart(small_batch: Batch, jobs: list[SegmentJob]) -> None:
    (light,) = segment_jobs(small_batch, [replace(jobs[0].plan, form=Form.LIGHT)])
    assert light.key != jobs[0].key
    proof = prove_segment(small_batch, light, threads=1)
    assert is_proof_of(proof.proof, light)
    assert not is_proof_of(proof.proof, jobs[0])
