"""Transactions: dishonest executors are caught by the check of the circuit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits.limbs import words_from_ints, words_to_ints
from circuits.segment import FilledSegment, boundaries, fill
from executor.transfers import Access, TransferTrace
from tests.circuits.forging import check, forge, places

Forgery = Callable[[TransferTrace], TransferTrace]


def _concatenate(first: TransferTrace, second: TransferTrace) -> TransferTrace:
    """The transactions of two slices of one batch, one after the other; values as the first one has them."""
    arrays = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in first.__dataclass_fields__
        if isinstance(getattr(first, name), np.ndarray)
        and len(getattr(first, name)) == first.transactions
        and len(getattr(second, name)) == second.transactions
        and not name.startswith("key_")
    }
    return replace(first, **arrays)


def _changed(array: np.ndarray, change: Callable[[np.ndarray], None]) -> np.ndarray:
    copy = array.copy()
    change(copy)
    return copy


def _add(words: np.ndarray, index: Any, amount: int) -> np.ndarray:
    """`words` with `amount` added to the word at `index`."""
    copy = words.copy()
    value = words_to_ints(copy[index].reshape(1, -1))[0] + amount
    copy[index] = words_from_ints([value])[0][: copy.shape[-1]]
    return copy


def _replayed(trace: TransferTrace) -> TransferTrace:
    """The last transaction runs twice."""
    return _concatenate(trace, trace.slice(trace.transactions - 1, trace.transactions))


def _wrong_account(trace: TransferTrace) -> TransferTrace:
    """The credit goes to the coinbase's account instead of the recipient's."""
    keys = trace.access_key.copy()
    keys[0, Access.RECIPIENT_BALANCE] = keys[0, Access.COINBASE_BALANCE]
    return replace(trace, access_key=keys)


def _skipped_nonce(trace: TransferTrace) -> TransferTrace:
    before = _add(trace.access_before, (0, Access.SENDER_NONCE), 1)
    after = _add(trace.access_after, (0, Access.SENDER_NONCE), 1)
    return replace(trace, nonce=_add(trace.nonce, 0, 1), access_before=before, access_after=after)


def _kept_nonce(trace: TransferTrace) -> TransferTrace:
    after = trace.access_after.copy()
    after[0, Access.SENDER_NONCE] = trace.access_before[0, Access.SENDER_NONCE]
    return replace(trace, access_after=after)


def _underpaid_gas(trace: TransferTrace) -> TransferTrace:
    return replace(trace, gas_used=_changed(trace.gas_used, lambda g: g.__setitem__(0, int(g[0]) - 1)))


def _forged_balance(trace: TransferTrace) -> TransferTrace:
    """The sender claims one wei more than the state holds."""
    return replace(trace, access_before=_add(trace.access_before, (0, Access.SENDER_BALANCE), 1))


def _minted_wei(trace: TransferTrace) -> TransferTrace:
    return replace(trace, access_after=_add(trace.access_after, (0, Access.RECIPIENT_BALANCE), 1))


def _burnt_reward(trace: TransferTrace) -> TransferTrace:
    """The coinbase keeps its old balance."""
    index = int(np.flatnonzero((trace.access_before != trace.access_after)[:, Access.COINBASE_BALANCE].any(axis=1))[0])
    after = trace.access_after.copy()
    after[index, Access.COINBASE_BALANCE] = trace.access_before[index, Access.COINBASE_BALANCE]
    return replace(trace, access_after=after)


def _low_cap(trace: TransferTrace) -> TransferTrace:
    """The fee cap is below the base fee."""
    cap = trace.max_fee.copy()
    cap[0] = 0
    return replace(trace, max_fee=cap, max_priority=_changed(trace.max_priority, lambda p: p.__setitem__(0, 0)))


def _priority_above_cap(trace: TransferTrace) -> TransferTrace:
    return replace(trace, max_priority=_changed(trace.max_priority, lambda p: p.__setitem__((0, 15), 1)))


def _short_gas_limit(trace: TransferTrace) -> TransferTrace:
    return replace(trace, gas_limit=_changed(trace.gas_limit, lambda g: g.__setitem__(0, trace.gas_used[0] - 1)))


def _overspent(trace: TransferTrace) -> TransferTrace:
    """The value exceeds the balance."""
    return replace(trace, value=_changed(trace.value, lambda v: v.__setitem__((0, 15), 1)))


def _precompile(trace: TransferTrace) -> TransferTrace:
    """The recipient is the identity precompile."""
    to = trace.to.copy()
    to[0] = 0
    to[0, 0] = 4
    return replace(trace, to=to)


def _failed(trace: TransferTrace) -> TransferTrace:
    """The receipt says that the transfer failed."""
    return replace(trace, status=_changed(trace.status, lambda s: s.__setitem__(0, 0)))


def _hidden_calldata(trace: TransferTrace) -> TransferTrace:
    """Fewer calldata bytes are charged than are committed to."""
    index = int(np.flatnonzero(trace.nonzero_bytes)[0])
    gas = _changed(trace.gas_used, lambda g: g.__setitem__(index, int(g[index]) - 16))
    return replace(trace, gas_used=gas)


FORGERIES = [
    _replayed,
    _wrong_account,
    _skipped_nonce,
    _kept_nonce,
    _underpaid_gas,
    _forged_balance,
    _minted_wei,
    _burnt_reward,
    _low_cap,
    _priority_above_cap,
    _short_gas_limit,
    _overspent,
    _precompile,
    _failed,
    _hidden_calldata,
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda f: f.__name__.strip("_"))
def test_dishonest_executors_are_caught(trace: TransferTrace, forgery: Forgery) -> None:
    first = 20 if forgery is not _hidden_calldata else 0
    honest = trace.slice(first, 32)
    boundary = boundaries(trace, [first])[0]
    forged = forgery(honest)
    assert forged.content_hash() != honest.content_hash()
    assert check(fill(forged, boundary))


def _row(tables: dict[str, Any]) -> Any:
    return tables["transaction"]


def _tip_of_choice(tables: dict[str, Any]) -> None:
    """The larger of priority fee and margin is taken as the tip, the comparison's borrow flipped to match."""
    rows = _row(tables)
    rows.tip_choice.borrow[0, -1] ^= 1
    chosen = rows.max_priority if rows.tip_choice.borrow[0, -1] else rows.fee_margin.difference
    rows.tip[0] = chosen[0]


def _negative_balance(tables: dict[str, Any]) -> None:
    """The last borrow of the affordability check is set, as if 2^256 wei were added."""
    _row(tables).affordable.borrow[0, -1] = 1


def _lost_carry(tables: dict[str, Any]) -> None:
    rows = _row(tables)
    place = tuple(np.argwhere(rows.recipient_after.carry)[0])
    rows.recipient_after.carry[place] = 0


def _second_use_of_a_token(tables: dict[str, Any]) -> None:
    """An access claims to be the first one to its key."""
    rows = _row(tables)
    access = rows.access[Access.COINBASE_BALANCE]
    row = int(np.flatnonzero(access.order.before)[0])
    access.order.before[row] = 0


def _from_the_future(tables: dict[str, Any]) -> None:
    """An access receives a token that is newer than itself."""
    rows = _row(tables)
    access = rows.access[Access.COINBASE_BALANCE]
    access.order.before[0] += 1 << 20


def _other_code(tables: dict[str, Any]) -> None:
    """The recipient's code hash is another one in the state."""
    leaf = tables["access_leaf"]
    row = int(np.flatnonzero(leaf.kind == 3)[0])
    leaf.before[row, 0] ^= 1
    leaf.after[row, 0] ^= 1


def _idle_row_acts(tables: dict[str, Any]) -> None:
    rows = _row(tables)
    rows.low_zero.zero[np.flatnonzero(rows.real == 0)[0]] = 1


def _repeated_row(tables: dict[str, Any]) -> None:
    rows = _row(tables)
    padding = int(np.flatnonzero(rows.real == 0)[0])
    rows._matrix[padding] = rows._matrix[0]


def _skipped_row(tables: dict[str, Any]) -> None:
    rows = _row(tables)
    rows._matrix[3] = 0


def _wrapped_gas(tables: dict[str, Any]) -> None:
    """Gas used plus the modulus fits two limbs; the range of the upper one forbids it."""
    rows = _row(tables)
    wrapped = int(rows.gas_used[0, 0]) + (int(rows.gas_used[0, 1]) << 16) + 2013265921
    rows.gas_used[0] = [wrapped & 0xFFFF, wrapped >> 16]


LIES = [
    _tip_of_choice,
    _negative_balance,
    _lost_carry,
    _second_use_of_a_token,
    _from_the_future,
    _other_code,
    _idle_row_acts,
    _repeated_row,
    _skipped_row,
    _wrapped_gas,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda f: f.__name__.strip("_"))
def test_dishonest_provers_are_caught(small_segment: FilledSegment, lie: Any) -> None:
    forged = forge(small_segment, lie)
    assert any((a != b).any() for a, b in zip(forged.traces[:5], small_segment.traces[:5], strict=True))
    assert places(check(forged))


def _credited_more(tables: dict[str, Any]) -> None:
    """A wei is minted with everything behind it made to fit: sum, effects, state and tree leaf of that key."""
    rows, leaf = _row(tables), tables["access_leaf"]
    row = int(rows.real.sum()) - 1
    access = rows.access[Access.COINBASE_BALANCE]
    rows.coinbase_after.sum[row, 0] ^= 1
    place = int(np.flatnonzero(leaf.leaf == access.leaf[row])[0])
    leaf.after[place, 0] ^= 1


def test_minting_with_a_consistent_state_breaks_the_sum(small_segment: FilledSegment) -> None:
    found = places(check(forge(small_segment, _credited_more)))
    assert "coinbase's balance: limb 0" in found


def test_address_zero_and_eleven_are_no_precompiles(trace: TransferTrace) -> None:
    """The test for precompiles itself, on addresses around them: only the state bus may object."""
    for last, refused in ((0, False), (1, True), (10, True), (11, False), (0xFFFF, False)):
        to = trace.to[:8].copy()
        to[0] = 0
        to[0, 0] = last
        segment = fill(replace(trace.slice(0, 8), to=to), boundaries(trace, [0])[0])
        assert ("range16" in places(check(segment))) is refused, last
