"""Withdrawals: the right amount comes to the right account, each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from circuits.air.gadgets.words import fill_increase
from circuits.state import state
from circuits.transactions import withdrawal
from scripts.batches.builder import Builder
from scripts.batches.segment import execution_of
from scripts.batches.transactions import execution
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import RANGES, objections

FAMILY = (*withdrawal.COMPONENTS, *state.COMPONENTS)


def test_honest_withdrawals() -> None:
    assert check_family(withdrawal.COMPONENTS, execution()) == []


def test_withdrawals_alone_meet_the_accounts() -> None:
    """Two blocks without transactions: amounts from 0 on, to new accounts, the same one twice, and the coinbase."""
    building = Builder()
    addresses = (Builder.FRESH, Builder.WALLETS[0], Builder.FRESH, Builder.COINBASE)
    withdrawals = [
        {"index": n, "validatorIndex": n, "address": "0x" + address.hex(), "amount": amount}
        for n, (address, amount) in enumerate(zip(addresses, (1, 2**64 - 1, 2**32, 77), strict=True))
    ]
    building.block(withdrawals=withdrawals).block(withdrawals=withdrawals[:1])
    assert check_family(FAMILY, execution_of(building.execute())) == []


def test_mutations() -> None:
    assert mutate_family([*withdrawal.COMPONENTS, RANGES], execution(), rows_per_table=8).survivors == []


def lie_more(rows: Any) -> None:
    rows.amount[0, 0] += 1
    fill_increase(rows.paid, rows.balance, rows.amount)


def lie_more_paid(rows: Any) -> None:
    rows.paid.after[0, 0] ^= 1


def lie_other_account(rows: Any) -> None:
    for name in ("address", "balance", "nonce", "code_hash"):
        getattr(rows, name)[0] = getattr(rows, name)[1]
    fill_increase(rows.paid, rows.balance, rows.amount)


def lie_twice(rows: Any) -> None:
    for name in ("address", "amount", "states"):
        getattr(rows, name)[1] = getattr(rows, name)[0]


def lie_other_block(rows: Any) -> None:
    rows.scope[0] += 1


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_more, "poseidon2"),
        (lie_more, "account"),
        (lie_more_paid, "balance: limb 0"),
        (lie_other_account, "poseidon2"),
        (lie_twice, "poseidon2"),
        (lie_other_block, "poseidon2"),
    ],
)
def test_lies(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(withdrawal.COMPONENTS, execution(), {"withdrawal": lie})
