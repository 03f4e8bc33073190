"""Batches that are invalid, and batches that are valid but cannot be proved yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor import transfers
from executor.errors import BatchError, ExecutionMismatch, UnsupportedFeature
from executor.execute import execute
from executor.forks import BEACON_ROOTS_ADDRESS
from executor.transactions import Transaction
from executor.transfers import transfer_trace

CODE = "0x5b"


def refusal(building: Any, error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        building.transfers()
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nonce": 2}, "nonce: 2 where 0x{sender} has 1"),
        ({"nonce": 0}, "nonce: 0 where 0x{sender} has 1"),
        ({"chainId": 1338}, "chainId: signed for chain 1338, not 1337"),
        ({"type": 1, "chainId": 1}, "chainId: signed for chain 1, not 1337"),
        ({"gas": 20_999}, "gas: gas limit 20999 is below the intrinsic gas 21000"),
        ({"data": "0x01", "gas": 21_015}, "gas: gas limit 21015 is below the intrinsic gas 21016"),
        ({"gas": 30_000_000}, "gas: gas limit 30000000 is above the 29979000 left in the block"),
        ({"gasPrice": 699}, "maxFeePerGas: 699 is below the base fee 700"),
        (
            {"type": 2, "maxFeePerGas": 800, "maxPriorityFeePerGas": 801},
            "maxFeePerGas: 800 is below maxPriorityFeePerGas",
        ),
        ({"value": 10**18}, "sender: 0x{sender} has 999999999978999999 wei, but may need 1000000000021000000"),
        (
            # What is not spent in the end must be there at first: the fee cap counts, for the whole gas limit.
            {"type": 2, "gas": 30_000, "maxFeePerGas": 10**14, "maxPriorityFeePerGas": 0},
            "sender: 0x{sender} has 999999999978999999 wei, but may need 3000000000000000001",
        ),
    ],
)
def test_invalid_transactions_are_refused_with_their_place(builder: Any, fields: dict[str, Any], message: str) -> None:
    # Of this base fee the empty blocks before leave 700.
    building = builder(baseFeePerGas=914)
    first = building.transfer(gasPrice=1_000)
    building.block().block(first, building.transfer(**fields))
    message = message.format(sender=builder.WALLETS[0].hex())
    assert refusal(building, BatchError) == f"block 1, transaction 1, {message}"


def test_a_sender_with_code_is_refused(builder: Any) -> None:
    building = builder().alloc(builder.WALLETS[0], balance=10**18, code=CODE)
    message = refusal(building.block(building.transfer()), BatchError)
    assert message == f"block 0, transaction 0, sender: 0x{builder.WALLETS[0].hex()} has code (EIP-3607)"


def test_the_last_nonce_cannot_be_used(builder: Any) -> None:
    building = builder().alloc(builder.WALLETS[0], balance=10**18, nonce=2**64 - 1)
    message = refusal(building.block(building.transfer(nonce=2**64 - 1)), BatchError)
    assert message.startswith("block 0, transaction 0, nonce: 18446744073709551615 where")
    building = builder().alloc(builder.WALLETS[0], balance=10**18, nonce=2**64 - 2)
    assert building.block(building.transfer(nonce=2**64 - 2)).transfers().trace.transactions == 1


def test_a_balance_beyond_256_bits_is_refused(builder: Any) -> None:
    building = builder().alloc(builder.FRESH, balance=hex(2**256 - 1))
    message = refusal(building.block(building.transfer(value=0), building.transfer(value=1)), BatchError)
    assert message.startswith("block 0, transaction 1: ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"timestamp": 1000}, "timestamp: not later than the parent's 1000"),
        ({"gasLimit": 30_029_296}, "gasLimit: 30029296 is below 5000 or too far from the parent's 30000000"),
        ({"gasLimit": 29_970_704}, "gasLimit: 29970704 is below 5000 or too far from the parent's 30000000"),
        ({"extraData": "0x" + "00" * 33}, "extraData: more than 32 bytes"),
        ({"baseFeePerGas": 701}, "baseFeePerGas: 701 is not the 700 of EIP-1559"),
    ],
)
def test_invalid_blocks_are_refused_with_their_place(builder: Any, fields: dict[str, Any], message: str) -> None:
    assert refusal(builder().block(**fields), BatchError) == f"block 0, {message}"


@pytest.mark.parametrize(
    "fields", [{"timestamp": 1001}, {"gasLimit": 30_029_295}, {"gasLimit": 29_970_705}, {"extraData": "0x" + "00" * 32}]
)
def test_blocks_at_the_limits_are_accepted(builder: Any, fields: dict[str, Any]) -> None:
    assert len(builder().block(**fields).transfers().blocks) == 1


def test_a_gas_limit_below_the_minimum_is_refused(builder: Any) -> None:
    assert "gasLimit: 4999 is below 5000" in refusal(builder(gasLimit=5_000).block(gasLimit=4_999), BatchError)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"to": b""}, "contract creation"),
        ({"to": bytes(19) + b"\1"}, f"call of precompile 0x{1:040x}"),
        ({"to": bytes(19) + b"\x0a", "value": 0}, f"call of precompile 0x{10:040x}"),
        ({"to": b"\xcc" * 20}, "call of a contract"),
        (
            {
                "type": 3,
                "maxFeePerGas": 1_000,
                "maxPriorityFeePerGas": 1,
                "maxFeePerBlobGas": 1,
                "blobVersionedHashes": ["0x01" + "00" * 31],
            },
            "blob transaction",
        ),
    ],
)
def test_what_is_no_value_transfer_is_not_supported(builder: Any, fields: dict[str, Any], what: str) -> None:
    building = builder().alloc(b"\xcc" * 20, code=CODE)
    building.block(building.transfer()).block(building.transfer(), building.transfer(gas=100_000, **fields))
    assert refusal(building, UnsupportedFeature) == f"{what} in block 1, transaction 1"


@pytest.mark.parametrize("number", [0, 11])
def test_addresses_next_to_the_precompiles_are_plain_accounts(builder: Any, number: int) -> None:
    building = builder()
    assert building.block(building.transfer(to=number.to_bytes(20, "big"))).transfers().trace.transactions == 1


@pytest.mark.parametrize(
    ("bound", "limit", "fields", "what"),
    [
        ("MAX_GAS_LIMIT", 21_100, {"gas": 21_101}, "gas limit above 21100"),
        ("MAX_CALLDATA_BYTES", 3, {"data": "0x00000000", "gas": 21_016}, "calldata of more than 3 bytes"),
        (
            "MAX_ACCESS_LIST",
            1,
            {"type": 1, "accessList": [{"address": "0x" + "aa" * 20, "storageKeys": []}] * 2, "gas": 25_800},
            "access list of more than 1 entries",
        ),
        (
            "MAX_ACCESS_LIST",
            1,
            {"type": 1, "accessList": [{"address": "0x" + "aa" * 20, "storageKeys": ["00" * 32] * 2}], "gas": 27_200},
            "access list of more than 1 entries",
        ),
    ],
)
def test_bounds_of_the_circuits(
    builder: Any, monkeypatch: pytest.MonkeyPatch, bound: str, limit: int, fields: dict[str, Any], what: str
) -> None:
    building = builder()
    building.block(building.transfer(**fields))
    assert building.transfers().trace.transactions == 1
    monkeypatch.setattr(transfers, bound, limit)
    assert refusal(building, UnsupportedFeature) == f"{what} in block 0, transaction 0"


def test_bounds_of_the_whole_batch(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (transfers.MAX_GAS_LIMIT, transfers.MAX_TRANSACTIONS) == (2**30 - 1, 2**24 - 1)
    assert (transfers.MAX_CALLDATA_BYTES, transfers.MAX_ACCESS_LIST, transfers.MAX_CHAIN_ID) == (
        2**22,
        2**16,
        2**64 - 1,
    )
    building = builder()
    building.document["chainId"] = 2**64
    assert refusal(building, UnsupportedFeature) == f"chain id {2**64} of more than 64 bits"
    building = builder()
    building.block(building.transfer(), building.transfer())
    monkeypatch.setattr(transfers, "MAX_TRANSACTIONS", 1)
    assert refusal(building, UnsupportedFeature) == "more than 1 transactions"


def test_numbers_too_large_for_the_block_context_are_not_supported(builder: Any) -> None:
    building = builder(number=2**64 - 2).block().block()
    assert refusal(building, UnsupportedFeature) == "block number of more than 64 bits in block 1"
    building = builder(excessBlobGas=2**29 + 3 * 2**17 + 1).block()
    assert refusal(building, UnsupportedFeature) == "excess blob gas above 536870912 in block 0"
    assert builder(excessBlobGas=2**29 + 3 * 2**17).block().transfers().trace.blocks == 1
    building = builder(gasUsed=30_000_000, baseFeePerGas=2**256 - 1).block()
    assert refusal(building, UnsupportedFeature) == "base fee of more than 256 bits in block 0"


def test_the_beacon_roots_contract_is_not_supported(builder: Any) -> None:
    building = builder().alloc(BEACON_ROOTS_ADDRESS, code=CODE, nonce=1)
    assert refusal(building, UnsupportedFeature) == "beacon roots contract (EIP-4788) in the pre-state"
    # Without code it is an account like any other.
    building = builder().alloc(BEACON_ROOTS_ADDRESS, balance=1)
    assert building.block(building.transfer(to=BEACON_ROOTS_ADDRESS)).transfers().trace.transactions == 1


def test_withdrawals_are_not_supported(builder: Any) -> None:
    withdrawal = {"index": 0, "validatorIndex": 0, "address": "0x" + "aa" * 20, "amount": 1}
    building = builder().block().block(withdrawals=[withdrawal])
    assert refusal(building, UnsupportedFeature) == "withdrawals in block 1"


@pytest.mark.parametrize("touched", ["FRESH", "COINBASE"])
def test_empty_accounts_in_the_pre_state_must_not_be_touched(builder: Any, touched: str) -> None:
    address = getattr(builder, touched)
    building = builder().alloc(address, balance=0)
    building.block(building.transfer(1, to=builder.WALLETS[0]), coinbase=builder.WALLETS[3])
    untouched = building.copy().transfers()
    assert untouched.trace.transactions == 1
    building.block(building.transfer())
    what = f"empty account 0x{address.hex()} in the pre-state"
    assert refusal(building, UnsupportedFeature) == f"{what} in block 1, transaction 0"


ODD_NUMBERS = [None, True, -1, 0, 1, 1.5, 2**32, 2**63, 2**64 - 1, 2**64, 2**256 - 1, 2**256]
ODD_STRINGS = ["", "0x", "0x0", "0x00", "zz", "0x" + "00" * 20, "0x" + "00" * 32, "0x" + "ff" * 32, "1" * 78]
ODD_CONTAINERS = [[], {}, [[]], [{}], {"": ""}, {"0x" + "00" * 20: {}}]
ODD_VALUES = [*ODD_NUMBERS, *ODD_STRINGS, *ODD_CONTAINERS]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything inside of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, item in items for place in [(*path, name), *places(item, (*path, name))]]


def batch_of_everything(builder: Any) -> Any:
    """A valid batch that gives nearly every field of the file."""
    genesis = {"number": 5, "gasUsed": 0, "excessBlobGas": 1, "blobGasUsed": 0, "mixHash": "0x" + "01" * 32}
    building = builder(**genesis).alloc(builder.FRESH, balance=1, nonce=1, code="0x00", storage={"0x1": "0x2"})
    entries = [{"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "01" * 32]}]
    transfer = building.transfer(to=builder.WALLETS[1], type=1, accessList=entries, data="0x00", gas=30_000)
    return building.block(transfer, extraData="0x01", baseFeePerGas=700, withdrawals=[]).block()


def test_the_batch_of_everything_is_valid(builder: Any) -> None:
    assert batch_of_everything(builder).transfers().trace.transactions == 1


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_odd_values_anywhere_give_typed_errors_only(builder: Any, data: st.DataObject) -> None:
    building = batch_of_everything(builder)
    *parents, last = data.draw(st.sampled_from(places(building.document)))
    target = building.document
    for name in parents:
        target = target[name]
    target[last] = data.draw(st.sampled_from(ODD_VALUES))
    try:
        executed = building.transfers()
    except (BatchError, UnsupportedFeature):
        return
    assert executed.trace.transactions == sum(len(block.transactions) for block in executed.batch.blocks)


def test_a_replay_that_differs_from_the_virtual_machine_is_noticed(builder: Any) -> None:
    building = builder()
    executed = building.block(building.transfer(value=5)).execute()
    other = builder()
    other = other.block(other.transfer(value=6)).execute()
    assert transfer_trace(executed).transactions == 1
    with pytest.raises(ExecutionMismatch, match="another BALANCE than py-evm"):
        transfer_trace(replace(executed, post_state=other.post_state))


def test_a_batch_without_a_trace_has_no_transfers(builder: Any) -> None:
    with pytest.raises(ValueError, match="without a trace"):
        transfer_trace(execute(builder().read(), trace=False))


def test_gas_that_is_not_the_intrinsic_gas_is_noticed(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    building = builder()
    building.block(building.transfer())
    monkeypatch.setattr(Transaction, "intrinsic_gas", 20_999)
    with pytest.raises(ExecutionMismatch, match="did not run as a value transfer"):
        building.transfers()
