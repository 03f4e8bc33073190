"""Slices of the execution trace and its content hash."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from executor.transfers import TransferTrace


@pytest.fixture(scope="module")
def trace(builder: Any) -> TransferTrace:
    building = builder()
    wallets = builder.WALLETS
    building.block(building.transfer(0, wallets[1], 5), building.transfer(1, wallets[0], 7))
    building.block().block(building.transfer(0, builder.FRESH, 1), building.transfer(2, wallets[2], 0))
    result: TransferTrace = building.transfers().trace
    return result


def arrays(trace: TransferTrace) -> dict[str, np.ndarray[Any, Any]]:
    values = {field.name: getattr(trace, field.name) for field in fields(trace)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def test_shapes_and_types(trace: TransferTrace) -> None:
    n, b, k = trace.transactions, trace.blocks, trace.keys
    assert (n, b) == (4, 3)
    words, addresses = ("value", "max_fee", "max_priority"), ("sender", "to")
    expected = dict.fromkeys(words, ((n, 16), "uint16")) | dict.fromkeys(addresses, ((n, 10), "uint16"))
    counts = ("block", "gas_limit", "gas_used", "zero_bytes", "nonzero_bytes", "access_addresses", "access_keys")
    expected |= dict.fromkeys(counts, ((n,), "uint32"))
    expected |= {"nonce": ((n, 4), "uint16"), "status": ((n,), "uint8"), "access_key": ((n, 6), "uint32")}
    expected |= dict.fromkeys(("access_before", "access_after"), ((n, 6, 16), "uint16"))
    expected |= {"coinbase": ((b, 10), "uint16"), "base_fee": ((b, 16), "uint16"), "prev_randao": ((b, 16), "uint16")}
    expected |= {
        "block_gas_limit": ((b, 4), "uint16"),
        "block_number": ((b, 4), "uint16"),
        "chain_id": ((4,), "uint16"),
    }
    expected |= dict.fromkeys(("timestamp", "excess_blob_gas"), ((b, 4), "uint16"))
    expected |= {"key_kind": ((k,), "uint8"), "key_address": ((k, 10), "uint16")}
    expected |= {"key_first": ((k, 16), "uint16"), "key_last": ((k, 16), "uint16")}
    assert {name: (array.shape, str(array.dtype)) for name, array in arrays(trace).items()} == expected


def test_the_whole_slice_is_the_trace(trace: TransferTrace) -> None:
    assert trace.slice(0, 4).canonical_bytes() == trace.canonical_bytes()


@pytest.mark.parametrize("cuts", [(0, 4), (0, 1, 4), (0, 0, 2, 3, 4), (0, 1, 2, 3, 4)])
def test_slices_fit_together(trace: TransferTrace, cuts: tuple[int, ...]) -> None:
    parts = [trace.slice(first, end) for first, end in pairwise(cuts)]
    assert np.array_equal(parts[0].key_first, trace.key_first)
    assert np.array_equal(parts[-1].key_last, trace.key_last)
    for before, after in pairwise(parts):
        assert np.array_equal(before.key_last, after.key_first)
    assert [part.first_transaction for part in parts] == list(cuts[:-1])
    for name in ("sender", "access_key", "access_after", "gas_used"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(trace, name))
    assert all(np.array_equal(part.coinbase, trace.coinbase) for part in parts)


def test_keys_of_a_slice_hold_the_values_at_its_ends(trace: TransferTrace) -> None:
    for number in range(4):
        part = trace.slice(number, number + 1)
        # The first access of a key in a transaction reads its value before, the last one leaves its value after.
        keys, first = np.unique(part.access_key[0], return_index=True)
        assert np.array_equal(part.key_first[keys], part.access_before[0][first])
        last = 5 - np.unique(part.access_key[0][::-1], return_index=True)[1]
        assert np.array_equal(part.key_last[keys], part.access_after[0][last])


def test_a_slice_of_a_slice_counts_from_the_batch(trace: TransferTrace) -> None:
    twice = trace.slice(1, 4).slice(1, 3)
    assert twice.content_hash() == trace.slice(2, 4).content_hash()
    assert twice.first_transaction == 2


@pytest.mark.parametrize(("first", "end"), [(-1, 2), (2, 1), (0, 5)])
def test_slices_outside_of_the_trace_are_refused(trace: TransferTrace, first: int, end: int) -> None:
    with pytest.raises(ValueError, match="no transactions"):
        trace.slice(first, end)


def test_the_content_hash_depends_on_every_array(trace: TransferTrace) -> None:
    hashes = {trace.content_hash(), replace(trace, first_transaction=1).content_hash()}
    for name, array in arrays(trace).items():
        changed = array.copy()
        changed.reshape(-1)[-1] ^= 1
        hashes.add(replace(trace, **{name: changed}).content_hash())
    assert len(hashes) == 2 + len(arrays(trace))


def test_the_content_hash_depends_on_types_and_shapes(trace: TransferTrace) -> None:
    as_bytes = replace(trace, gas_used=trace.gas_used.view(np.uint8).astype(np.uint32))
    assert as_bytes.content_hash() != trace.content_hash()
    wider = replace(trace, status=trace.status.astype(np.uint16))
    assert wider.content_hash() != trace.content_hash()
    assert replace(trace, sender=trace.to, to=trace.sender).content_hash() != trace.content_hash()


def test_the_content_hash_does_not_depend_on_the_layout_in_memory(trace: TransferTrace) -> None:
    copy = pickle.loads(pickle.dumps(trace))
    assert copy.content_hash() == trace.content_hash()
    swapped = replace(trace, value=trace.value.astype(">u2"), sender=np.asfortranarray(trace.sender))
    assert swapped.content_hash() == trace.content_hash()
