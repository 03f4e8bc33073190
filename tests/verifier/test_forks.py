"""The verifier's data of forks against the executor's, which is another reading of the same EIPs; schedules as text."""

from dataclasses import fields, replace

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from executor.forks import FORKS as THEIRS
from executor.forks import HISTORY_STORAGE_ADDRESS
from executor.forks import Schedule as TheirSchedule
from verifier.container import MAX_FORK_BYTES
from verifier.errors import Invalid
from verifier.forks import BPO1, CANCUN, FORKS, GAS_PER_BLOB, OSAKA, PRAGUE, Fork, Schedule, forks_of_blocks
from verifier.keys import CIRCUITS
from verifier.requests import DEPOSIT_EVENT, DEPOSIT_TYPE


def test_the_same_forks_in_the_same_order() -> None:
    assert list(FORKS) == list(THEIRS)
    assert tuple(dict.fromkeys(fork.circuit for fork in FORKS.values())) == CIRCUITS


@pytest.mark.parametrize("name", FORKS)
def test_every_field_is_what_the_executor_goes_by(name: str) -> None:
    ours, theirs = FORKS[name], THEIRS[name]
    blobs = theirs.blobs
    calls = [call for call in theirs.block_end_calls if call.request_type is not None]
    history = {call.address for call in theirs.block_start_calls} & {HISTORY_STORAGE_ADDRESS}
    most = blobs.max_gas_per_block // blobs.gas_per_blob
    seen = {
        "name": name,
        "circuit": theirs.circuit,
        "transaction_types": theirs.transaction_types,
        "max_blobs_per_transaction": blobs.max_blobs_per_transaction or most,
        "blob_base_cost": blobs.reserve_gas_per_blob,
        "max_transaction_gas": theirs.max_transaction_gas,
        "max_block_bytes": theirs.max_block_bytes,
        "has_requests_hash": theirs.has_requests,
        "history_contract": next(iter(history), None),
        "deposit_contract": theirs.deposits and theirs.deposits.address,
    }
    assert {field: getattr(ours, field) for field in seen} == seen
    schedule = (ours.blobs.target * GAS_PER_BLOB, ours.blobs.most * GAS_PER_BLOB, ours.blobs.update_fraction)
    assert schedule == (blobs.target_gas_per_block, blobs.max_gas_per_block, blobs.base_fee_update_fraction)
    assert ours.blobs.max_excess >= blobs.max_excess_gas
    contracts = [(contract.address, contract.request_type) for contract in ours.request_contracts]
    assert contracts == [(call.address, call.request_type) for call in calls]
    assert {field.name for field in fields(Fork)} == {*seen, "blobs", "request_contracts"}
    if theirs.deposits:
        assert (theirs.deposits.event, bytes([theirs.deposits.request_type])) == (DEPOSIT_EVENT, DEPOSIT_TYPE)


def test_the_event_of_deposits_is_the_hash_of_its_signature() -> None:
    assert keccak(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)") == DEPOSIT_EVENT


class TestSchedules:
    @pytest.mark.parametrize(
        "text",
        [
            "cancun",
            "bpo4",
            "prague, osaka from 1764798551",
            "cancun, prague from 1, bpo4 from 18446744073709551615",
            "cancun, prague from 1, osaka from 2, bpo1 from 3, bpo2 from 4, bpo3 from 5, bpo4 from 6",
        ],
    )
    def test_texts_are_canonical(self, text: str) -> None:
        assert str(Schedule.parse(text)) == text

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "neither a name"),
            ("shanghai", "'shanghai' is not one of cancun, prague"),
            ("Cancun", "neither a name"),
            ("cancun ", "neither a name"),
            ("cancun\n", "neither a name"),
            ("cancun,prague from 5", "neither a name"),
            ("cancun, prague", "neither a name"),
            ("cancun from 0, prague from 5", "neither a name"),
            ("cancun, prague from 0", "neither a name"),
            ("cancun, prague from 05", "neither a name"),
            ("cancun, prague from +5", "neither a name"),
            ("cancun, prague from \u0665", "neither a name"),
            ("cancun, prague from 5, ", "neither a name"),
            ("cancun, amsterdam from 5", "'amsterdam' is not one of"),
            ("cancun, cancun from 5", "not in their order"),
            ("prague, cancun from 5", "not in their order"),
            ("cancun, osaka from 5, prague from 6", "not in their order"),
            ("cancun, prague from 6, osaka from 5", "not in their order"),
            ("cancun, prague from 5, osaka from 5", "not in their order"),
            ("cancun, prague from 18446744073709551616", "not in their order"),
        ],
    )
    def test_others_are_refused(self, text: str, reason: str) -> None:
        with pytest.raises(Invalid, match=reason):
            Schedule.parse(text)

    def test_the_longest_fits_in_a_statement(self) -> None:
        longest = Schedule(CANCUN, tuple((2**64 - 9 + n, fork) for n, fork in enumerate(list(FORKS.values())[1:])))
        assert len(str(Schedule.parse(str(longest)))) == 201 <= MAX_FORK_BYTES

    def test_a_block_of_the_time_is_the_first_one(self) -> None:
        schedule = Schedule.parse("prague, osaka from 100, bpo1 from 200")
        assert [schedule.at(time) for time in (0, 99, 100, 199, 200, 2**64)] == [
            PRAGUE,
            PRAGUE,
            OSAKA,
            OSAKA,
            BPO1,
            BPO1,
        ]

    @given(
        places=st.sets(st.integers(0, len(FORKS) - 1), min_size=1),
        starts=st.sets(st.integers(1, 60), min_size=len(FORKS), max_size=len(FORKS)),
        times=st.lists(st.integers(0, 70), max_size=6, unique=True).map(sorted),
    )
    def test_statements_follow_the_executor(self, places: set[int], starts: set[int], times: list[int]) -> None:
        names = [list(FORKS)[place] for place in sorted(places)]
        later = list(zip(sorted(starts), names[1:], strict=False))
        ours = Schedule(FORKS[names[0]], tuple((start, FORKS[name]) for start, name in later))
        theirs = TheirSchedule(THEIRS[names[0]], tuple((start, THEIRS[name]) for start, name in later))
        text = theirs.of_blocks(times)
        assert ours.of_blocks(times) == text
        assert [fork.name for fork in forks_of_blocks(text, times)] == [theirs.at(time).name for time in times]

    @pytest.mark.parametrize(
        ("stated", "times", "reason"),
        [
            ("cancun", [], "of a batch without blocks"),
            ("", [5], "neither a name"),
            ("cancun, prague from 10", [9], "names one that no block is of"),
            ("cancun, prague from 10", [10, 11], "names one that no block is of"),
            ("cancun, prague from 10, osaka from 12", [9, 12], "names one that no block is of"),
        ],
    )
    def test_a_statement_names_the_forks_of_the_blocks_and_no_others(
        self, stated: str, times: list[int], reason: str
    ) -> None:
        with pytest.raises(Invalid, match=reason):
            forks_of_blocks(stated, times)


def test_forks_that_share_a_circuit_differ_in_nothing_that_it_proves() -> None:
    """What a circuit depends on is Osaka's, whatever the blob schedule; the rest reaches it by the block's context."""
    for fork in FORKS.values():
        first = FORKS[fork.circuit]
        assert replace(fork, name=first.name, blobs=first.blobs) == first
