"""Access lists: every entry is touched once, in order, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.batch.operation_items import operation_items
from circuits.state import state
from circuits.statement import access_list_digest
from circuits.transactions import access_list, transaction
from executor.forks import CANCUN
from executor.transactions import access_list_of, decode_transaction
from scripts.batches.builder import Builder
from scripts.batches.programs import OTHER
from scripts.batches.segment import execution_of
from scripts.batches.transactions import entry, execution, small
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import RANGES, objections

FAMILY = (*access_list.COMPONENTS, *state.COMPONENTS, *transaction.components(CANCUN))


@pytest.mark.parametrize("make", [execution, small])
def test_honest_lists(make: Callable[[], Any]) -> None:
    assert check_family(access_list.COMPONENTS, make()) == []


def test_lists_of_one_transaction_meet_its_row() -> None:
    """A list with repetitions, of the sender, the recipient, a precompile and the coinbase, by a transfer."""
    building = Builder()
    addresses = (OTHER, bytes(19) + b"\x01", Builder.WALLETS[0], Builder.COINBASE, OTHER, Builder.FRESH)
    entries = [entry(address, *range(number)) for number, address in enumerate(addresses)]
    building.block(building.transfer(0, gas=100_000, accessList=entries), building.transfer(1))
    assert check_family(FAMILY, execution_of(building.execute())) == []


def test_digests() -> None:
    whole = execution()
    entries = operation_items(whole.batch).entries
    for row, (start, count) in enumerate(zip(entries.starts, entries.counts, strict=True)):
        own = {name: column[start : start + count] for name, column in entries.items.fields.items()}
        assert (entries.digests[row] == access_list_digest(**own)).all()
    assert entries.counts.tolist().count(0) < len(entries.counts)


def test_lists_are_those_of_the_decoded_transactions() -> None:
    trace = execution().trace
    table = trace.transactions
    for start, size in zip(table.raw_start, table.raw_size, strict=True):
        raw = trace.bytes_at(start, size)
        assert access_list_of(raw) == decode_transaction(raw).access_list


def test_mutations() -> None:
    assert mutate_family([*access_list.COMPONENTS, RANGES], execution(), rows_per_table=8).survivors == []


def test_no_lists_no_table() -> None:
    building = Builder()
    building.block(building.transfer(0))
    assert access_list.fill(execution_of(building.execute())) is None


def lie_other_address(rows: Any) -> None:
    rows.address[0, 0] ^= 1


def lie_other_slot(rows: Any) -> None:
    key = int(np.flatnonzero(rows.is_key)[0])
    rows.slot[key, 0] ^= 1


def lie_key_as_address(rows: Any) -> None:
    rows.is_key[np.flatnonzero(rows.is_key)[0]] = 0


def lie_changed_balance(rows: Any) -> None:
    rows.word[0, 0] ^= 1


def lie_swapped(rows: Any) -> None:
    """Two entries change places, with their times, hashes and counts as before."""
    for name in ("address", "slot", "is_key", "states"):
        column = getattr(rows, name)
        column[[0, 1]] = column[[1, 0]]


def lie_skipped(rows: Any) -> None:
    rows.real[0] = 0


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_other_address, "poseidon2"),
        (lie_other_slot, "poseidon2"),
        (lie_key_as_address, "poseidon2"),
        (lie_key_as_address, "storage"),
        (lie_changed_balance, "account"),
        (lie_swapped, "poseidon2"),
        (lie_skipped, "access_list"),
    ],
)
def test_lies(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(access_list.COMPONENTS, small(), {"access_list": lie})
