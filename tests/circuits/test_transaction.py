"""Transactions: honest ones of all kinds, mutations, and the lies of a prover that wants more than its due."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.gadgets.words import fill_decrease, fill_increase, sum_carries
from circuits.batch.execution import Execution
from circuits.batch.operation_items import operation_chain, operation_digests
from circuits.component import Component
from circuits.frames.gas import total_carries
from circuits.instructions import storage
from circuits.state import deletion, state, transfer, undo
from circuits.statement import gas_limbs, running_chain
from circuits.transactions import access_list, beacon, fees, transaction, withdrawal
from executor.forks import CANCUN
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract
from scripts.batches.segment import execution_of
from scripts.batches.transactions import contracts, execution, small
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import RANGES, objections, row_where

#: The tables of operations with those that keep the state and those of the instructions that change slots.
FAMILY: tuple[Component, ...] = (
    *storage.COMPONENTS,
    *access_list.COMPONENTS,
    *withdrawal.COMPONENTS,
    *transfer.COMPONENTS,
    *undo.COMPONENTS,
    *state.COMPONENTS,
    *deletion.COMPONENTS,
    *beacon.COMPONENTS,
    *transaction.components(CANCUN),
)

#: Rows of `execution()`: what its transactions do.
PLAIN, SELF, DATA, CAPPED, UNCAPPED, LOGGING, REVERTING, INVALID, TO_COINBASE, BLOBS = range(10)


def gas_amount(limbs: np.ndarray) -> np.ndarray:
    """Amounts (n,) from limbs (n, 2) or (n, 4)."""
    return (limbs.astype(np.uint64) << np.arange(0, 16 * limbs.shape[1], 16, dtype=np.uint64)).sum(axis=1)


def settle(rows: Any) -> None:
    """Amounts and balances that follow from the gas used and the status."""
    used = gas_amount(rows.gas_used)
    unused = gas_amount(rows.gas_limit) - used
    rows.unused = gas_limbs(unused)
    rows.unused_carry = sum_carries(rows.gas_used, rows.unused)
    rows.returned = fees.gas_products(rows.price.after, unused)
    rows.reward = fees.gas_products(rows.tip, used)
    fill_increase(rows.sender_after, rows.sender_ended, rows.returned)
    fill_increase(rows.coinbase_after, rows.coinbase_balance, rows.reward)


def set_gas_used(rows: Any, row: int, used: int) -> None:
    rows.gas_used[row] = gas_limbs(np.array([used]))[0]
    settle(rows)


def test_the_batch_has_what_it_says() -> None:
    table = execution().trace.transactions
    assert sorted(set(table.type.tolist())) == [0, 1, 2, 3]
    assert np.flatnonzero(table.status == 0).tolist() == [REVERTING, INVALID]
    spent = table.gas_used + table.gas_refunded
    assert table.gas_refunded[CAPPED] == spent[CAPPED] // 5
    assert 0 < table.gas_refunded[UNCAPPED] < spent[UNCAPPED] // 5
    assert table.blob_hashes_size[BLOBS] == 64
    assert (table.access_addresses[LOGGING], table.access_keys[LOGGING]) == (4, 4)
    assert (table.sender[TO_COINBASE] != table.to[TO_COINBASE]).any()


@cache
def large() -> Execution:
    """Prices of all sizes, and fees at their caps."""
    building = contracts(Builder())
    price = 2**100
    building.alloc(Builder.WALLETS[0], balance=hex(2**256 - 1 - 2**200))
    building.block(
        building.transfer(0, value=2**199, gasPrice=price),
        call_contract(building, 0, gas=2**20, gasPrice=2**200, value=2**198),
        building.transfer(1, gasPrice=Builder.FIRST_BASE_FEE),
        building.transfer(1, maxFeePerGas=Builder.FIRST_BASE_FEE, maxPriorityFeePerGas=0),
        building.transfer(1, maxFeePerGas=2**20, maxPriorityFeePerGas=2**20),
        building.transfer(1, maxFeePerGas=Builder.FIRST_BASE_FEE + 3, maxPriorityFeePerGas=3),
    )
    return execution_of(building.execute())


@pytest.mark.parametrize("make", [execution, small, large])
def test_honest_transactions(make: Callable[[], Any]) -> None:
    assert check_family(FAMILY, make()) == []
    assert check_family(transaction.components(CANCUN), make()) == []


def test_segments() -> None:
    whole = execution()
    cuts = whole.operations.cuts.tolist()
    for first, end in ((cuts[0], cuts[1]), (cuts[1], cuts[4]), (cuts[4], cuts[-4]), (cuts[3], cuts[-1])):
        assert check_family(FAMILY, type(whole)(whole.batch, first, end)) == []


@pytest.mark.parametrize(("make", "rows"), [(execution, 6), (small, 3), (large, 3)])
def test_mutations(make: Callable[[], Execution], rows: int) -> None:
    assert mutate_family([*transaction.components(CANCUN), RANGES], make(), rows_per_table=rows).survivors == []


def test_digests() -> None:
    batch = execution().batch
    digests = operation_digests(batch)
    chain = operation_chain(batch)
    assert len(digests) == len(batch.operations)
    assert len(np.unique(digests, axis=0)) == len(digests)
    assert (chain == running_chain(chain[0], digests)).all()


def lie_underpaid(rows: Any) -> None:
    set_gas_used(rows, PLAIN, 20_999)


def lie_overcharged(rows: Any) -> None:
    set_gas_used(rows, DATA, 29_000)


def lie_forged_product(rows: Any) -> None:
    rows.returned[LOGGING, 0] ^= 1
    fill_increase(rows.sender_after, rows.sender_ended, rows.returned)


def lie_forged_upfront(rows: Any) -> None:
    rows.upfront[PLAIN] = 0
    fill_decrease(rows.affordable, rows.sender_balance, rows.upfront, rows.value, rows.blob_required)


def lie_forged_balance(rows: Any) -> None:
    rows.sender_balance[PLAIN, 5] += 1
    fill_decrease(rows.affordable, rows.sender_balance, rows.upfront, rows.value, rows.blob_required)
    fill_decrease(rows.sender_begun, rows.sender_balance, rows.prepaid, rows.value, rows.blob_fee)


def lie_more_to_the_recipient(rows: Any) -> None:
    rows.recipient_begun.after[PLAIN, 0] += 1


def lie_kept_nonce(rows: Any) -> None:
    rows.nonce_after[CAPPED] = rows.nonce[CAPPED]


def lie_skipped_nonce(rows: Any) -> None:
    rows.nonce_after[CAPPED, 0] += 1


def lie_other_nonce(rows: Any) -> None:
    rows.nonce[CAPPED, 0] += 1
    rows.nonce_after[CAPPED, 0] += 1


def lie_replayed(rows: Any) -> None:
    """The second transaction is the first one again, in everything but its place and its account tokens."""
    for name in ("sender", "to", "nonce", "nonce_after", "value", "states"):
        getattr(rows, name)[SELF] = getattr(rows, name)[PLAIN]


def lie_success(rows: Any) -> None:
    rows.success[REVERTING] = 1
    settle(rows)


def lie_failure(rows: Any) -> None:
    rows.success[CAPPED] = 0
    settle(rows)


def _cap(rows: Any, row: int, capped: int) -> None:
    """Say that the counter exceeds a fifth, or that it does not; the difference follows."""
    rows.borrow[row, -1] = capped
    rows.uncapped[row, -1] = (int(rows.uncapped[row, -1]) + (2 * capped - 1) * (1 << 16)) % MODULUS


def _return(rows: Any, row: int, refund: int) -> None:
    """Gas used after this refund."""
    set_gas_used(rows, row, int(gas_amount(rows.spent)[row]) - refund)
    left, given = (gas_limbs(np.array([int(x)])) for x in (rows.gas_left[row], refund))
    rows.back_carry[row] = total_carries(left, given, rows.reserve_left[row : row + 1])[0]


def lie_refund_above_a_fifth(rows: Any) -> None:
    _cap(rows, CAPPED, 0)
    _return(rows, CAPPED, int(rows.refund_counter[CAPPED]))


def lie_refund_of_a_fifth(rows: Any) -> None:
    """The cap itself, where less was earned."""
    _cap(rows, UNCAPPED, 1)
    _return(rows, UNCAPPED, int(gas_amount(rows.quotient)[UNCAPPED]))


def lie_larger_fifth(rows: Any) -> None:
    rows.quotient[CAPPED, 0] += 1
    rows.uncapped[CAPPED, 0] += 1
    rows.remainder[CAPPED] = (int(rows.remainder[CAPPED]) - 5) % MODULUS
    _return(rows, CAPPED, int(gas_amount(rows.quotient)[CAPPED]))


def lie_refund_of_a_failure(rows: Any) -> None:
    """What the frame earned before it failed."""
    rows.refund_counter[REVERTING] = rows.earned.low[REVERTING] = 10
    _return(rows, REVERTING, 10)


def lie_clean(rows: Any) -> None:
    """A transaction has destroyed an account, which nobody deletes."""
    rows.destructions[CAPPED] = 1


def lie_answers_for_destroyed(rows: Any) -> None:
    rows.destructions[row_where(rows.life_asked > 0)] = 1


def lie_life_of_the_sender(rows: Any) -> None:
    rows.lives[CAPPED, 0] = 2


def lie_coinbase_overpaid(rows: Any) -> None:
    rows.coinbase_after.after[LOGGING, 0] += 1


def lie_larger_tip(rows: Any) -> None:
    """The tip is all that the max fee leaves."""
    row = UNCAPPED
    rows.pays_cap[row] = 1
    rows.tip[row] = 0
    rows.tip[row, 0] = int(rows.max_fee[row, 0]) - int(rows.base_fee[row, 0])
    rows.price.after[row] = rows.max_fee[row]
    rows.prepaid = fees.gas_products(rows.price.after, gas_amount(rows.gas_limit))
    fill_decrease(rows.sender_begun, rows.sender_balance, rows.prepaid, rows.value, rows.blob_fee)
    settle(rows)


def lie_no_tip(rows: Any) -> None:
    row = UNCAPPED
    rows.tip[row] = 0
    rows.price.after[row] = rows.base_fee[row]
    rows.prepaid = fees.gas_products(rows.price.after, gas_amount(rows.gas_limit))
    fill_decrease(rows.sender_begun, rows.sender_balance, rows.prepaid, rows.value, rows.blob_fee)
    settle(rows)


def lie_code_ignored(rows: Any) -> None:
    for name in ("coded", "known", "code_id", "code_size", "runs", "opens"):
        getattr(rows, name)[INVALID] = 0
    rows.success[INVALID] = 1
    rows.frame[INVALID] = 0
    settle(rows)


def lie_blobs_for_nothing(rows: Any) -> None:
    rows.blob_fee[BLOBS] = 0
    fill_decrease(rows.sender_begun, rows.sender_balance, rows.prepaid, rows.value, rows.blob_fee)


def lie_no_blobs(rows: Any) -> None:
    rows.no_blobs.zero[BLOBS] = 1
    rows.no_blobs.inverse[BLOBS] = 0
    rows.blob_id[BLOBS] = 0
    rows.blob_fee[BLOBS] = rows.blob_required[BLOBS] = 0
    fill_decrease(rows.affordable, rows.sender_balance, rows.upfront, rows.value, rows.blob_required)
    fill_decrease(rows.sender_begun, rows.sender_balance, rows.prepaid, rows.value, rows.blob_fee)


def lie_other_calldata(rows: Any) -> None:
    rows.calldata_id[DATA] = rows.calldata_id[LOGGING]


def lie_shorter_calldata(rows: Any) -> None:
    rows.zero_bytes[DATA] -= 1
    rows.given.low[DATA] += 4


def lie_access_list_ignored(rows: Any) -> None:
    rows.access_keys[LOGGING] = 0
    rows.access_addresses[LOGGING] = 0


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_underpaid, "unused gas: limb 0"),
        (lie_overcharged, "unused gas: limb 0"),
        (lie_forged_product, "gas_product"),
        (lie_forged_upfront, "gas_product"),
        (lie_forged_balance, "account"),
        (lie_more_to_the_recipient, "recipient at begin: limb 0"),
        (lie_kept_nonce, "nonce + 1: limb 0"),
        (lie_skipped_nonce, "nonce + 1: limb 0"),
        (lie_other_nonce, "account"),
        (lie_other_nonce, "poseidon2"),
        (lie_replayed, "account"),
        (lie_success, "result"),
        (lie_success, "transfer"),
        (lie_failure, "result"),
        (lie_refund_above_a_fifth, "range16"),
        (lie_refund_of_a_fifth, "range16"),
        (lie_larger_fifth, "range16"),
        (lie_refund_of_a_failure, "substate"),
        (lie_clean, "deletion"),
        (lie_clean, "substate"),
        (lie_answers_for_destroyed, "where nothing is destroyed, everything lives"),
        (lie_life_of_the_sender, "account"),
        (lie_coinbase_overpaid, "coinbase at end: limb 0"),
        (lie_larger_tip, "slack: limb 0"),
        (lie_no_tip, "the max priority fee is paid: limb 0"),
        (lie_code_ignored, "no code[0]"),
        (lie_blobs_for_nothing, "gas_product"),
        (lie_no_blobs, "no blobs: value * zero = 0"),
        (lie_other_calldata, "calldata"),
        (lie_shorter_calldata, "poseidon2"),
        (lie_access_list_ignored, "access_list"),
    ],
)
def test_lies(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(FAMILY, execution(), {"transaction": lie})


@cache
def _precompile() -> Execution:
    building = Builder()
    return execution_of(building.block(building.transfer(0, bytes(19) + b"\x04", gas=31_000, value=0)).execute())


def test_a_precompile_is_called() -> None:
    def ignored(rows: Any) -> None:
        """Its address passes for that of an account without code."""
        rows.precompiled[0] = rows.opens[0] = rows.frame[0] = 0

    assert check_family(FAMILY, _precompile()) == []
    assert "range16" in objections(FAMILY, _precompile(), {"transaction": ignored})


@pytest.mark.parametrize("forge", ["product", "fee", "margin"])
def test_forged_answers(forge: str) -> None:
    def product(rows: Any) -> None:
        rows.multiply.product[0, 0] ^= 1

    def fee(rows: Any) -> None:
        rows.fee[0, 0] ^= 1

    def margin(rows: Any) -> None:
        """A blob base fee above what the transaction pays at most."""
        rows.base_fee[0, 0] = 4

    lie, table, objection = {
        "product": (product, "gas_product_small", "product: limb 0"),
        "fee": (fee, "blob_fee", "gas_product"),
        "margin": (margin, "blob_fee", "margin: limb 0"),
    }[forge]
    assert objection in objections(FAMILY, execution(), {table: lie})
