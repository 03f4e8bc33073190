"""Execution of value transfers: gas, fees, accounts that coincide, headers, receipts."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.limbs import addresses_to_bytes, words_to_ints
from executor.state_keys import EMPTY_CODE_HASH, StateKey, StateKind

HEADER_STATE_ROOT, HEADER_GAS_USED, HEADER_BASE_FEE = 3, 10, 15


def final(executed: Any, kind: StateKind, address: bytes) -> int:
    """Value of a state key after the batch."""
    keys = executed.trace.state_keys()
    return words_to_ints(executed.trace.keys.last)[keys.index(StateKey(kind, address))]


def balance(executed: Any, address: bytes) -> int:
    return final(executed, StateKind.BALANCE, address)


def header_field(executed: Any, block: int, field: int) -> int:
    return int.from_bytes(rlp.decode(executed.blocks[block][0])[field], "big")


def test_a_transfer_moves_value_and_fees(builder: Any) -> None:
    building = builder()
    executed = building.block(building.transfer(value=12_345, gas=50_000, gasPrice=1_000)).provable()
    fee, tip = 21_000 * 1_000, 21_000 * 300  # the base fee is 700, and only gas that is used is paid
    sender = builder.WALLETS[0]
    assert balance(executed, sender) == builder.ETHER - 12_345 - fee
    assert balance(executed, builder.FRESH) == 12_345
    assert balance(executed, builder.COINBASE) == tip
    assert final(executed, StateKind.NONCE, sender) == 1
    assert final(executed, StateKind.CODE_HASH, builder.FRESH) == int.from_bytes(EMPTY_CODE_HASH, "big")


@pytest.mark.parametrize(
    ("data", "access_list", "gas"),
    [
        ("0x", [], 21_000),
        ("0x00", [], 21_004),
        ("0x01", [], 21_016),
        ("0x00ff0000", [], 21_000 + 3 * 4 + 16),
        ("0x", [("aa" * 20, [])], 23_400),
        ("0x", [("aa" * 20, ["01" * 32]), ("aa" * 20, ["01" * 32, "02" * 32])], 21_000 + 2 * 2_400 + 3 * 1_900),
    ],
)
def test_gas_is_the_intrinsic_gas(builder: Any, data: str, access_list: list[tuple[str, list[str]]], gas: int) -> None:
    building = builder()
    entries = [{"address": "0x" + address, "storageKeys": keys} for address, keys in access_list]
    # One legacy transaction has no access list; the others have the one given.
    legacy = [] if entries else [building.transfer(data=data, gas=gas)]
    executed = building.block(
        *legacy,
        building.transfer(type=1, data=data, accessList=entries, gas=gas),
        building.transfer(
            type=2, data=data, accessList=entries, gas=gas + 999, maxFeePerGas=900, maxPriorityFeePerGas=1
        ),
    ).provable()
    trace = executed.trace.transactions
    assert trace.gas_used.tolist() == [gas] * len(trace.gas_used)
    assert trace.gas_limit.tolist() == [gas] * (len(trace.gas_used) - 1) + [gas + 999]
    assert trace.access_keys.tolist()[-1] == sum(len(keys) for _, keys in access_list)
    assert trace.access_addresses.tolist()[-1] == len(access_list)
    assert executed.gas_used == header_field(executed, 0, HEADER_GAS_USED) == gas * len(trace.gas_used)
    assert trace.status.tolist() == [1] * len(trace.gas_used)


@pytest.mark.parametrize(
    ("max_fee", "max_priority", "tip"),
    [(700, 0, 0), (700, 700, 0), (701, 5, 1), (1_000, 5, 5), (1_000, 300, 300), (1_000, 1_000, 300)],
)
def test_the_tip_is_limited_by_the_fee_cap(builder: Any, max_fee: int, max_priority: int, tip: int) -> None:
    building = builder()
    fields = {"type": 2, "maxFeePerGas": max_fee, "maxPriorityFeePerGas": max_priority}
    executed = building.block(building.transfer(value=0, **fields)).provable()
    assert balance(executed, builder.COINBASE) == 21_000 * tip
    assert balance(executed, builder.WALLETS[0]) == builder.ETHER - 21_000 * (700 + tip)


def test_base_fees_follow_eip1559(builder: Any) -> None:
    building = builder(gasLimit=210_000, baseFeePerGas=1_000)
    for size in (10, 5, 0):
        transactions = [building.transfer(type=2, maxFeePerGas=9_999, maxPriorityFeePerGas=0) for _ in range(size)]
        building.block(*transactions, gasLimit=210_000)
    executed = building.provable()
    # The genesis is empty: an eighth less. Then a full block: an eighth more. Then a block at the target: no change.
    assert [header_field(executed, block, HEADER_BASE_FEE) for block in range(3)] == [875, 984, 984]
    assert words_to_ints(executed.trace.blocks.base_fee) == [875, 984, 984]
    building.document["blocks"][1]["baseFeePerGas"] = 984
    assert building.provable().last_block_hash == executed.last_block_hash


def test_a_sender_may_spend_everything(builder: Any) -> None:
    building = builder()
    executed = building.block(building.transfer(value=builder.ETHER - 21_000 * 1_000)).provable()
    assert balance(executed, builder.WALLETS[0]) == 0
    assert final(executed, StateKind.NONCE, builder.WALLETS[0]) == 1


def test_a_transfer_to_oneself_costs_the_fee(builder: Any) -> None:
    building = builder()
    sender = builder.WALLETS[0]
    executed = building.block(building.transfer(to=sender, value=77)).provable()
    fee = 21_000 * 1_000
    assert balance(executed, sender) == builder.ETHER - fee


@pytest.mark.parametrize("to_self", [False, True])
def test_the_sender_may_receive_the_fees(builder: Any, to_self: bool) -> None:
    building = builder()
    sender = builder.WALLETS[0]
    to = sender if to_self else builder.FRESH
    executed = building.block(building.transfer(to=to, value=5), coinbase=sender).provable()
    assert balance(executed, sender) == builder.ETHER - 21_000 * 700 - (0 if to_self else 5)


def test_the_recipient_may_receive_the_fees(builder: Any) -> None:
    building = builder()
    executed = building.block(building.transfer(to=builder.COINBASE, value=5)).provable()
    assert balance(executed, builder.COINBASE) == 5 + 21_000 * 300


def test_accounts_without_balance_are_not_created(builder: Any) -> None:
    building = builder()
    fields = {"type": 2, "maxFeePerGas": 700, "maxPriorityFeePerGas": 0, "value": 0}
    executed = building.block(building.transfer(**fields)).provable()
    # Neither the recipient nor the coinbase appears in the state: only the sender's account differs.
    other = builder()
    other.alloc(builder.WALLETS[0], balance=builder.ETHER - 21_000 * 700, nonce=1)
    assert other.provable().pre_state_root == executed.post_state_root


def test_without_fees_an_account_that_does_not_exist_may_send(builder: Any) -> None:
    building = builder(alloc={}, baseFeePerGas=0)
    executed = building.block(building.transfer(value=0, gasPrice=0)).provable()
    assert final(executed, StateKind.NONCE, builder.WALLETS[0]) == 1
    other = builder(alloc={"0x" + builder.WALLETS[0].hex(): {"nonce": 1}})
    assert other.provable().pre_state_root == executed.post_state_root


def test_headers_receipts_and_commitments(builder: Any) -> None:
    building = builder(number=5, parentHash="0x" + "ab" * 32)
    building.block(building.transfer(), building.transfer(1, type=1), prevRandao="0x" + "77" * 32, extraData="0x616263")
    building.block(building.transfer(2, type=2, maxFeePerGas=900, maxPriorityFeePerGas=1), coinbase=builder.WALLETS[3])
    executed = building.provable()
    parent = rlp.decode(executed.parent_header)
    headers = [rlp.decode(header) for header, _ in executed.blocks]
    assert parent[HEADER_STATE_ROOT] == executed.pre_state_root
    assert headers[-1][HEADER_STATE_ROOT] == executed.post_state_root
    assert headers[0][0] == keccak(executed.parent_header)
    assert headers[1][0] == keccak(executed.blocks[0][0]) == executed.first_block_hash
    assert keccak(executed.blocks[1][0]) == executed.last_block_hash
    assert (executed.first_block_number, executed.last_block_number) == (6, 7)
    assert (headers[0][13], headers[0][12]) == (b"\x77" * 32, b"abc")
    assert [len(header) for header in (parent, *headers)] == [20] * 3
    bloom = bytes(256)
    assert executed.receipts == [
        [rlp.encode([b"\1", 21_000, bloom, []]), b"\1" + rlp.encode([b"\1", 42_000, bloom, []])],
        [b"\2" + rlp.encode([b"\1", 21_000, bloom, []])],
    ]
    raw = [[transaction.raw for transaction in block.transactions] for block in executed.batch.blocks]
    assert executed.transactions_commitment == keccak(rlp.encode(raw))
    assert executed.receipts_commitment == keccak(rlp.encode(executed.receipts))
    assert (executed.chain_id, executed.fork) == (builder.CHAIN_ID, "cancun")
    blocks = executed.trace.blocks
    assert addresses_to_bytes(blocks.coinbase) == [builder.COINBASE, builder.WALLETS[3]]
    assert blocks.number.tolist() == [6, 7]
    assert blocks.timestamp.tolist() == [1012, 1024]
    assert words_to_ints(blocks.prev_randao) == [int("77" * 32, 16), 0]
    assert executed.trace.transactions.block.tolist() == [0, 0, 1]


def test_an_empty_batch_is_its_parent_block(builder: Any) -> None:
    executed = builder().provable()
    assert executed.blocks == executed.receipts == executed.trace.state_keys() == []
    assert executed.pre_state_root == executed.post_state_root
    assert executed.first_block_hash == executed.last_block_hash == keccak(executed.parent_header)
    trace = executed.trace
    assert executed.gas_used == len(trace.transactions) == len(trace.blocks) == len(trace.accesses) == 0


def test_empty_blocks_change_nothing_but_the_chain(builder: Any) -> None:
    building = builder()
    executed = building.block().block(building.transfer()).block().provable()
    roots = [rlp.decode(header)[HEADER_STATE_ROOT] for header, _ in executed.blocks]
    assert roots[0] == executed.pre_state_root
    assert roots[1] == roots[2] == executed.post_state_root != executed.pre_state_root
    assert executed.trace.transactions.block.tolist() == [1]
    assert len(executed.trace.blocks) == 3


def test_progress_counts_transactions(builder: Any) -> None:
    from executor.execute import execute

    building = builder()
    batch = building.block(building.transfer(), building.transfer()).block(building.transfer()).read()
    seen: list[tuple[int, int]] = []
    execute(batch, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


TRANSFERS = st.lists(
    st.fixed_dictionaries(
        {
            "sender": st.integers(0, 3),
            "to": st.integers(0, 5),
            "value": st.one_of(st.just(0), st.integers(1, 10**16)),
            "max_fee": st.integers(800, 2_000),
            "max_priority": st.integers(0, 800),
            "type": st.integers(0, 2),
            "data": st.binary(max_size=20),
            "spare": st.integers(0, 10_000),
            "new_block": st.booleans(),
            "coinbase": st.integers(0, 5),
        }
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(transfers=TRANSFERS)
def test_any_transfers_follow_the_account_book(builder: Any, transfers: list[dict[str, Any]]) -> None:
    accounts = [*builder.WALLETS, builder.FRESH, builder.COINBASE]
    book = dict.fromkeys(builder.WALLETS, builder.ETHER) | dict.fromkeys((builder.FRESH, builder.COINBASE), 0)
    nonces = dict.fromkeys(accounts, 0)
    base_fee, base_fees, coinbase = builder.BASE_FEE, [], b""
    building = builder()
    for number, item in enumerate(transfers):
        if number == 0 or item["new_block"]:
            # All blocks stay far below their target: the base fee falls by almost an eighth of itself.
            used = building_gas(building) if number else 0
            base_fee -= base_fee * (15_000_000 - used) // 15_000_000 // 8
            base_fees.append(base_fee)
            coinbase = accounts[item["coinbase"]]
            building.block(coinbase=coinbase)
        gas = 21_000 + sum(16 if byte else 4 for byte in item["data"])
        max_fee, max_priority = item["max_fee"], item["max_priority"]
        if item["type"] == 2:
            fees = {"type": 2, "maxFeePerGas": max_fee, "maxPriorityFeePerGas": max_priority}
        else:
            fees, max_priority = {"type": item["type"], "gasPrice": max_fee}, max_fee
        sender, to = accounts[item["sender"]], accounts[item["to"]]
        building.document["blocks"][-1]["transactions"].append(
            building.transfer(
                item["sender"], to, item["value"], gas=gas + item["spare"], data="0x" + item["data"].hex(), **fees
            )
        )
        tip = min(max_priority, max_fee - base_fee)
        book[sender] -= item["value"] + gas * (base_fee + tip)
        book[to] += item["value"]
        book[coinbase] += gas * tip
        nonces[sender] += 1
    executed = building.provable()
    assert words_to_ints(executed.trace.blocks.base_fee) == base_fees
    keys = executed.trace.state_keys()
    for key, value in zip(keys, words_to_ints(executed.trace.keys.last), strict=True):
        match key.kind:
            case StateKind.BALANCE:
                assert value == book.get(key.address, 0)  # the beacon roots contract is looked at in every block
            case StateKind.NONCE:
                assert value == nonces.get(key.address, 0)
            case StateKind.CODE_HASH:
                assert value.to_bytes(32, "big") == EMPTY_CODE_HASH
    # The whole state, not only the accounts of the trace: a genesis of the book has the same root.
    after = builder(alloc={})
    for address, amount in book.items():
        if amount or nonces[address]:
            after.alloc(address, balance=amount, nonce=nonces[address])
    assert after.provable().pre_state_root == executed.post_state_root
    assert keys == sorted(set(keys))


def building_gas(building: Any) -> int:
    """Gas used by the last block of a builder (its transactions carry calldata only)."""
    return sum(
        21_000 + sum(16 if byte else 4 for byte in bytes.fromhex(transaction["data"][2:]))
        for transaction in building.document["blocks"][-1]["transactions"]
    )
