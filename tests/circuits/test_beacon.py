"""Beacon-root writes: the right values in the right slots of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.batch.operation_items import HISTORY_BUFFER_LENGTH, operation_items
from circuits.limbs import words_from_bytes, words_to_ints
from circuits.state import state
from circuits.transactions import beacon
from executor.forks import BEACON_ROOTS_ADDRESS
from scripts.batches.builder import Builder
from scripts.batches.segment import execution_of
from scripts.batches.transactions import contracts, execution
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import RANGES, objections

FAMILY = (*state.COMPONENTS, *beacon.COMPONENTS)


def test_honest_writes() -> None:
    assert check_family(beacon.COMPONENTS, execution()) == []


def test_writes_alone_meet_the_slots() -> None:
    """Blocks a whole ring apart write the same slots, the last one the values that stand there."""
    building = contracts(Builder())
    for number in range(3):
        timestamp = 2000 + HISTORY_BUFFER_LENGTH * number
        building.block(timestamp=timestamp, parentBeaconBlockRoot="0x" + "5a" * 32)
    executed = building.execute()
    whole = execution_of(executed)
    assert len(whole.operations) == 3
    assert check_family(FAMILY, whole) == []
    fields = operation_items(whole.batch).beacons.fields
    slots = [*words_to_ints(fields["time_slot"]), *words_to_ints(fields["root_slot"])]
    assert slots == [2000] * 3 + [2000 + HISTORY_BUFFER_LENGTH] * 3
    values = [executed.post_state.storage(BEACON_ROOTS_ADDRESS, slot) for slot in slots[2:4]]
    assert values == [2000 + 2 * HISTORY_BUFFER_LENGTH, int("5a" * 32, 16)]
    assert (fields["root"] == words_from_bytes([b"\x5a" * 32])).all()


def test_a_state_without_the_contract_has_no_such_operations() -> None:
    building = Builder()
    building.block(building.transfer(0))
    whole = execution_of(building.execute())
    assert beacon.fill(whole, np.zeros((0, 2), dtype=np.uint32)) is None


def test_mutations() -> None:
    assert mutate_family([*beacon.COMPONENTS, RANGES], execution(), rows_per_table=8).survivors == []


def lie_other_root(rows: Any) -> None:
    rows.root[0, 0] ^= 1


def lie_other_slot(rows: Any) -> None:
    rows.root_slot[0, 0] += 1


def lie_swapped(rows: Any) -> None:
    timestamp = rows.timestamp[0].copy()
    rows.timestamp[0] = rows.root[0]
    rows.root[0] = timestamp


def lie_old_value(rows: Any) -> None:
    rows.writes[0].value[0, 0] ^= 1


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_other_root, "poseidon2"),
        (lie_other_root, "storage"),
        (lie_other_slot, "poseidon2"),
        (lie_swapped, "poseidon2"),
        (lie_old_value, "storage"),
    ],
)
def test_lies(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(beacon.COMPONENTS, execution(), {"beacon": lie})
