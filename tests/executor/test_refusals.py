"""Batches that are invalid, and batches that are valid but cannot be proved yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.programs.precompiles import PRECOMPILES
from executor import forks, provable
from executor.errors import BatchError, UnsupportedFeature
from executor.execute import execute
from executor.forks import BEACON_ROOTS_ADDRESS
from executor.inputs import read_batch
from executor.opcodes import OPCODES
from executor.provable import MAX_MEMORY_GAS, check_provable
from executor.trace import FrameKind, Outcome
from executor.transactions import DELEGATION_PREFIX
from scripts.batches import set_code
from scripts.batches.builder import Builder
from scripts.workloads.assembler import assemble

FIXTURES = Path(__file__).parent / "fixtures"
CODE = "0x5b"

#: The largest gas limit that a block may have (EIP-1985).
LARGEST = 2**63 - 1


def refusal(building: Any, error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        building.provable()
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
    assert len(building.block(building.transfer(nonce=2**64 - 2)).provable().trace.transactions) == 1


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
    assert len(builder().block(**fields).provable().blocks) == 1


def test_a_gas_limit_below_the_minimum_is_refused(builder: Any) -> None:
    assert "gasLimit: 4999 is below 5000" in refusal(builder(gasLimit=5_000).block(gasLimit=4_999), BatchError)


@pytest.mark.parametrize("number", range(1, 11))
def test_all_precompiles_are_proved(builder: Any, number: int) -> None:
    """By a transaction and by every kind of call; BLAKE2F and the point evaluation fail without an input."""
    gas = 46_000
    source = "".join(
        "0 " * operands + f"{number} {gas} {name} " for name, operands in (("call", 5), ("staticcall", 4))
    ) + "".join(
        "0 " * operands + f"{number} {gas} {name} " for name, operands in (("callcode", 5), ("delegatecall", 4))
    )
    building = builder().alloc(b"\xcc" * 20, code="0x" + assemble(source).hex())
    building.block(building.transfer(to=number.to_bytes(20, "big"), value=0, gas=100_000))
    building.block(building.transfer(to=b"\xcc" * 20, gas=300_000))
    trace = building.provable().trace
    assert trace.transactions.status.tolist() == [number not in (9, 10), 1]
    code_address = trace.frames.code_address[trace.frames.kind != FrameKind.SYSTEM]
    assert (code_address[:, 0] == number).sum() == 5


#: A modulus of MODEXP that is too long, as code and as calldata, and what its refusal says.
TOO_LONG = "8193 64 mstore  0 0 96 0 5 gas staticcall"
TOO_LONG_PC = 14
TOO_LONG_DATA = "0x" + (bytes(64) + (8193).to_bytes(32, "big")).hex()
TOO_LONG_MODULUS = "MODEXP with modulus of more than 8192 bytes"


BLAKE2F = (9).to_bytes(20, "big")


def _blake2f(rounds: int, last: int = 1) -> str:
    return "0x" + (rounds.to_bytes(4, "big") + bytes(208) + bytes([last])).hex()


def test_rounds_of_blake2f(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call that succeeds: each round takes a row of one table, and a step is not divided."""
    monkeypatch.setattr(provable, "MAX_BLAKE2F_ROUNDS", 12)
    source = "{} 3 mstore8 1 212 mstore8 " + "0 0 213 0 9 gas staticcall " * 2
    few, many = (assemble(source.format(rounds)) for rounds in (12, 13))
    accepted = builder().alloc(b"\xcc" * 20, code="0x" + few.hex())
    accepted.block(accepted.transfer(to=b"\xcc" * 20, gas=100_000), accepted.transfer(to=b"\xcc" * 20, gas=100_000))
    accepted.block(
        # Too little gas, a wrong flag, a wrong length: no rounds.
        accepted.transfer(to=BLAKE2F, value=0, gas=30_000, data=_blake2f(13_000)),
        accepted.transfer(to=BLAKE2F, value=0, gas=100_000, data=_blake2f(13, 2)),
        accepted.transfer(to=BLAKE2F, value=0, gas=100_000, data=_blake2f(13)[:-2]),
        accepted.transfer(to=BLAKE2F, value=0, gas=100_000, data=_blake2f(12)),
    )
    assert accepted.provable().trace.transactions.status.tolist() == [1, 1, 0, 0, 0, 1]
    building = builder().alloc(b"\xcc" * 20, code="0x" + many.hex())
    building.block(building.transfer(), building.transfer(to=b"\xcc" * 20, gas=100_000))
    what = "more than 12 rounds of BLAKE2F in a call in block 0, transaction"
    pc = len(assemble(source.format(13).rpartition(" 0 0 213")[0])) - 1
    assert refusal(building, UnsupportedFeature) == f"{what} 1, pc {pc}"
    building = builder()
    building.block(building.transfer(to=BLAKE2F, value=0, gas=100_000, data=_blake2f(13)))
    assert refusal(building, UnsupportedFeature) == f"{what} 0"


def test_blake2f_with_more_gas_than_frames_count(builder: Any) -> None:
    """That it lacks gas cannot be proved then; that its input is wrong can, whatever it would cost."""
    limit = 1 << 32
    for last, message in ((2, None), (1, f"lack of gas of a frame with more than {provable.MAX_GAS}")):
        building = builder(gasLimit=limit)
        data = _blake2f((1 << 32) - 1, last)
        building.block(building.transfer(to=BLAKE2F, value=0, gas=1 << 31, data=data), gasLimit=limit)
        if message is None:
            assert building.provable().trace.transactions.status.tolist() == [0]
        else:
            assert refusal(building, UnsupportedFeature) == f"{message} in block 0, transaction 0"


#: Precompiles of EIP-2537 with parts, by name: number, and bytes of a part.
PARTED = {"bls12_g1_msm": (0x0C, 160), "bls12_g2_msm": (0x0E, 288)}


@pytest.mark.parametrize("name", PARTED)
def test_sums_of_so_many_multiples(name: str) -> None:
    """2^14 are refused where they are paid; with less gas, or one multiple less, the call is proved."""
    number, stride = PARTED[name]
    most = provable.MAX_PARTS
    assert most == 2**14
    cost = PRECOMPILES[number].cost(most)

    def calling(parts: int, gas: int) -> Builder:
        source = f"0 0 {parts * stride} 0 {number} {gas} staticcall 0 sstore"
        building = Builder(forks.PRAGUE, gasLimit=LARGEST, baseFeePerGas=0)
        building.alloc(b"\xcc" * 20, code="0x" + assemble(source).hex(), nonce=1)
        call = building.transfer(to=b"\xcc" * 20, gas=2**30 - 1, gasPrice=0, value=0)
        return building.block(call, gasLimit=LARGEST)

    pc = len(assemble(f"0 0 {most * stride} 0 {number} {cost}"))
    refused = f"{name} of {most} parts or more in block 0, transaction 0, pc {pc}"
    assert refusal(calling(most, cost), UnsupportedFeature) == refused
    for parts, gas, succeeds in ((most, cost - 1, False), (most - 1, cost, True)):
        trace = calling(parts, gas).provable().trace
        called = trace.frames.code_address[:, 0] == number
        assert (trace.frames.outcome[called] == Outcome.SUCCESS).tolist() == [succeeds]


def test_creations_by_transactions(builder: Any) -> None:
    building = builder()
    building.block(building.transfer(to=b"", value=0, gas=100_000, data="0x600160005360016000f3"))
    trace = building.provable().trace
    assert trace.transactions.is_creation.tolist() == [1]
    assert trace.transactions.status.tolist() == [1]


@pytest.mark.parametrize("number", [0, 11])
def test_addresses_next_to_the_precompiles_are_plain_accounts(builder: Any, number: int) -> None:
    building = builder()
    assert len(building.block(building.transfer(to=number.to_bytes(20, "big"))).provable().trace.transactions) == 1


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
    assert len(building.provable().trace.transactions) == 1
    monkeypatch.setattr(provable, bound, limit)
    assert refusal(building, UnsupportedFeature) == f"{what} in block 0, transaction 0"


def test_bounds_of_the_whole_batch(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (provable.MAX_GAS, provable.MAX_GAS_LIMIT) == (2**30 - 1, 2**64 - 1)
    assert provable.MAX_OPERATIONS == 2**24 - 1
    assert (provable.MAX_CALLDATA_BYTES, provable.MAX_ACCESS_LIST, provable.MAX_CHAIN_ID) == (
        2**22,
        2**16,
        2**64 - 1,
    )
    building = builder()
    building.document["chainId"] = 2**64
    assert refusal(building, UnsupportedFeature) == f"chain id {2**64} of more than 64 bits"
    building = builder()
    building.block(building.transfer(), building.transfer())
    monkeypatch.setattr(provable, "MAX_OPERATIONS", 1)
    assert refusal(building, UnsupportedFeature) == "more than 1 transactions and withdrawals"


def test_numbers_too_large_for_the_block_context_are_not_supported(builder: Any) -> None:
    building = builder(number=2**64 - 2).block().block()
    assert refusal(building, UnsupportedFeature) == "block number of more than 64 bits in block 1"
    building = builder(excessBlobGas=2**29 + 3 * 2**17 + 1).block()
    assert refusal(building, UnsupportedFeature) == "excess blob gas above 536870912 in block 0"
    assert len(builder(excessBlobGas=2**29 + 3 * 2**17).block().provable().trace.blocks) == 1
    building = builder(gasUsed=30_000_000, baseFeePerGas=2**256 - 1).block()
    assert refusal(building, UnsupportedFeature) == "base fee of more than 256 bits in block 0"


def test_another_contract_for_beacon_roots_is_not_supported(builder: Any) -> None:
    building = builder().alloc(BEACON_ROOTS_ADDRESS, code=CODE, nonce=1).block()
    what = "another contract than that of EIP-4788 at its address in block 0"
    assert refusal(building, UnsupportedFeature) == what
    # That of the EIP is proved, and without code it is an account like any other.
    contract = "0x" + forks.BEACON_ROOTS_CODE.hex()
    assert len(builder().alloc(BEACON_ROOTS_ADDRESS, code=contract, nonce=1).block().provable().trace.blocks) == 1
    building = builder().alloc(BEACON_ROOTS_ADDRESS, balance=1)
    assert len(building.block(building.transfer(to=BEACON_ROOTS_ADDRESS)).provable().trace.transactions) == 1


@pytest.mark.parametrize("name", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL", "CREATE", "CREATE2"])
def test_calls_and_creations_by_code(builder: Any, name: str) -> None:
    operands = {"CREATE": 3, "CREATE2": 4, "DELEGATECALL": 6, "STATICCALL": 6}.get(name, 7)
    code = bytes([OPCODES["PUSH0"]] * operands + [OPCODES[name]])
    building = builder().alloc(b"\xcc" * 20, code="0x" + code.hex())
    frames = building.block(building.transfer(to=b"\xcc" * 20, gas=100_000)).provable().trace.frames
    assert frames.kind.tolist() == [FrameKind.MESSAGE, FrameKind[name]]
    # One that lacks an operand halts for that.
    building = builder().alloc(b"\xcc" * 20, code="0x" + code[1:].hex())
    assert building.block(building.transfer(to=b"\xcc" * 20, gas=100_000)).provable().gas_used == 100_000


def large(builder: Any, source: str, *limits: int) -> Any:
    """A call of the program with each of these gas limits, in a block of its own."""
    building = builder(gasLimit=LARGEST, baseFeePerGas=0).alloc(b"\xcc" * 20, code="0x" + assemble(source).hex())
    for limit in limits:
        building.block(building.transfer(to=b"\xcc" * 20, gas=limit, gasPrice=0), gasLimit=LARGEST)
    return building


def test_memory_beyond_the_bound_is_not_supported(builder: Any) -> None:
    source = f"1 {2**24} mstore stop"
    # Whoever cannot pay for it is proved to fail.
    assert large(builder, source, MAX_MEMORY_GAS).provable().trace.transactions.status.tolist() == [0]
    # 21000 and two pushes are gone: this is just what the memory costs up to its bound.
    paying = MAX_MEMORY_GAS + 21_006
    assert large(builder, source, paying - 1).provable().trace.transactions.status.tolist() == [0]
    lacking = refusal(large(builder, source, MAX_MEMORY_GAS, paying), UnsupportedFeature)
    assert lacking.startswith(
        "lack of gas of a frame with more than 1073741823, or memory of more than 16 MiB in block 1"
    )
    succeeding = refusal(large(builder, source, 2**30 - 1), UnsupportedFeature)
    assert succeeding.startswith("memory of more than 16 MiB in block 0, transaction 0, pc")


@pytest.mark.parametrize("limit", [2**30 - 1, 2**30, 2**30 + 5, 2**52, LARGEST])
def test_gas_limits_of_more_than_30_bits(builder: Any, limit: int) -> None:
    table = large(builder, "gas pop stop", limit).provable().trace.transactions
    assert (table.gas_limit.tolist(), table.gas_used.tolist()) == ([limit], [21_004])
    table = large(builder, "1 jump", limit).provable().trace.transactions
    assert table.gas_used.tolist() == [limit]


@pytest.mark.parametrize("limit", [2**30, 2**31 - 1])
def test_lack_of_gas_with_a_large_limit_is_not_supported(builder: Any, limit: int) -> None:
    message = refusal(large(builder, f"1 {2**25} mstore", limit), UnsupportedFeature)
    assert message.startswith(f"lack of gas of a frame with more than {2**30 - 1}, or memory of more than 16 MiB")
    # With a small one it is.
    assert large(builder, f"1 {2**25} mstore", MAX_MEMORY_GAS).provable().gas_used == MAX_MEMORY_GAS


@pytest.mark.parametrize("access", [f"1 {2**48} mstore", f"{2**48} 0 sha3", f"{2**256 - 1} mload", "0 not 1 return"])
def test_memory_that_no_gas_pays_for(builder: Any, access: str) -> None:
    for limit in (2**30 - 1, 2**40, LARGEST):
        assert large(builder, access, limit).provable().gas_used == limit


def test_memory_that_some_gas_would_pay_for(builder: Any) -> None:
    message = refusal(large(builder, f"1 {2**48 - 32} mstore", LARGEST), UnsupportedFeature)
    assert message.startswith(f"lack of gas of a frame with more than {2**30 - 1}, or memory")


def test_use_of_more_than_30_bits_of_gas_is_not_supported(builder: Any) -> None:
    """Memory of 16 MiB takes half of it, and each log of its content an eighth."""
    logs = "16777216 0 log0 " * 4
    message = refusal(large(builder, f"0 16777184 mload pop {logs} stop", 2**31), UnsupportedFeature)
    assert message.startswith(f"use of more than {2**30 - 1 - 2**23} gas without a call in block 0, transaction 0, pc")


def test_the_margin_of_gas_is_that_of_the_step(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provable, "MAX_GAS", provable.GAS_MARGIN + 21_008)
    # The last step begins when 21008 gas is used, or a unit more.
    assert large(builder, "1 pop 1 stop", 2**31).provable().gas_used == 21_008
    message = refusal(large(builder, "1 pop 1 jumpdest stop", 2**31), UnsupportedFeature)
    assert message.startswith("use of more than 21008 gas without a call")
    # A small limit is no matter of the margin.
    assert large(builder, "1 pop 1 jumpdest stop", 100_000).provable().gas_used == 21_009


def test_refunds_beyond_the_counter(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provable.MAX_REFUND == 2**30 - 1
    # Each slot that is set and cleared gives 19,900.
    monkeypatch.setattr(provable, "MAX_REFUND", 2 * 19_900)
    pair = "1 {0} sstore 0 {0} sstore"
    large(builder, f"{pair.format(5)} {pair.format(6)} stop", 100_000).provable()
    message = refusal(large(builder, " ".join(map(pair.format, (5, 6, 7))), 100_000), UnsupportedFeature)
    assert message.startswith("refunds of more than 39800 gas in block 0, transaction 0, pc")


@pytest.mark.parametrize("touched", ["FRESH", "COINBASE"])
def test_empty_accounts_in_the_pre_state_must_not_be_touched(builder: Any, touched: str) -> None:
    address = getattr(builder, touched)
    building = builder().alloc(address, balance=0)
    building.block(building.transfer(1, to=builder.WALLETS[0]), coinbase=builder.WALLETS[3])
    untouched = building.copy().provable()
    assert len(untouched.trace.transactions) == 1
    building.block(building.transfer())
    what = f"empty account 0x{address.hex()} in the pre-state in block 1, transaction 0"
    assert refusal(building, UnsupportedFeature) == what


def test_the_contract_of_eip_4788_must_not_be_created(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    created = keccak(rlp.encode([builder.WALLETS[0], 0]))[12:]
    monkeypatch.setattr(provable, "BEACON_ROOTS_ADDRESS", created)
    monkeypatch.setattr(provable, "_transactions", lambda *_: ())
    building = builder()
    building.block(building.transfer(0, to=b"", value=0, gas=100_000, data="0x600160005360016000f3"))
    message = refusal(building, UnsupportedFeature)
    assert message.startswith("creation of the contract of EIP-4788 in block 0, transaction 0")


@pytest.mark.parametrize("given", [[], ["0x" + "00" * 32, "0x" + "11" * 32]])
def test_a_hash_of_a_block_is_not_0(builder: Any, given: list[str]) -> None:
    """A genesis behind the first block may say nothing of its parent. Blocks out of reach have no hash, as always."""
    building = builder(number=299)
    building.document["ancestorHashes"] = given
    building.alloc(HASHING, code="0x" + assemble("40 blockhash 301 blockhash pop pop").hex())
    building.block(building.transfer(0, HASHING, gas=100_000))
    check_provable(building.execute())
    building.alloc(HASHING, code="0x" + assemble("298 blockhash pop").hex())
    with pytest.raises(UnsupportedFeature, match=r"^BLOCKHASH of block 298, whose hash is 0 in block 0, .* pc 3$"):
        check_provable(building.execute())


# -- of several reasons the first one in the batch is named

UNPROVED_HASH = "BLOCKHASH of block 298, whose hash no header among ancestorHeaders proves"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("two_reasons_to_refuse", f"{TOO_LONG_MODULUS} in block 0, transaction 0, pc {TOO_LONG_PC}"),
        ("blockhash_256_back", f"{UNPROVED_HASH.replace('298', '746')} in block 0, transaction 0, pc 4"),
    ],
)
def test_cases_with_several_reasons(file: str, message: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        check_provable(execute(read_batch(FIXTURES / f"{file}.json")))
    assert str(caught.value) == message


EMPTY, LISTED, WITHDRAWN, LONG = (bytes([byte]) * 20 for byte in (0xE0, 0xE1, 0xE2, 0x4C))
CALLING, HASHING, WIDE, READING = (bytes([byte]) * 20 for byte in (0xCA, 0xBA, 0x3A, 0x2A))
ENTRY = {"address": "0x" + LISTED.hex(), "storageKeys": []}
WITHDRAWAL = {"index": 1, "validatorIndex": 1, "address": "0x" + WITHDRAWN.hex(), "amount": 1}

#: Things that cannot be proved: the fields of a transaction, what its refusal says and where in the code, if there.
REASONS: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "precompile": (
        {"to": bytes(19) + b"\x05", "data": TOO_LONG_DATA, "gas": 1_000_000},
        TOO_LONG_MODULUS,
        None,
    ),
    "call": ({"to": CALLING, "gas": 1_000_000}, TOO_LONG_MODULUS, TOO_LONG_PC),
    "ancestor": ({"to": HASHING}, UNPROVED_HASH, 6),
    "memory": ({"to": WIDE, "gas": 2**30 - 1}, "memory of more than 16 MiB", 6),
    "long code": ({"to": LONG}, "code of more than 100 bytes", None),
    "long code that is read": ({"to": READING}, "code of more than 100 bytes", 21),
    "empty account": ({"to": EMPTY, "value": 0}, f"empty account 0x{EMPTY.hex()} in the pre-state", None),
    "listed account": ({"accessList": [ENTRY], "type": 1}, f"empty account 0x{LISTED.hex()} in the pre-state", None),
}


def with_reasons(builder: Any, monkeypatch: pytest.MonkeyPatch, *blocks: list[dict[str, Any]]) -> Any:
    """A batch whose blocks have these transactions after a plain one."""
    monkeypatch.setattr(provable, "MAX_CODE_BYTES", 100)
    building = builder(number=300, parentHash="0x" + "11" * 32, gasLimit=LARGEST, baseFeePerGas=0)
    building.document["ancestorHashes"] = ["0x" + "11" * 32, "0x" + "22" * 32]
    for address, source in (
        (CALLING, TOO_LONG),
        (HASHING, "299 298 blockhash pop pop"),
        (WIDE, f"{2**24} mload jumpdest"),
        (READING, f"0x{LONG.hex()} extcodesize"),
    ):
        building.alloc(address, code="0x" + assemble(source).hex(), nonce=1)
    building.alloc(LONG, code="0x" + "5b" * 101, nonce=1)
    for address in (EMPTY, LISTED, WITHDRAWN):
        building.alloc(address, balance=0)
    fields = {"gas": 200_000, "gasPrice": 0, "value": 1}
    for transactions in blocks:
        building.block(
            building.transfer(gasPrice=0), *(building.transfer(**fields | of_reason) for of_reason in transactions),
            gasLimit=LARGEST,
        )  # fmt: skip
    return building


@pytest.mark.parametrize("second", REASONS)
@pytest.mark.parametrize("first", REASONS)
def test_the_first_of_two_reasons_is_named(
    builder: Any, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    fields, what, pc = REASONS[first]
    place = ", transaction 1" + ("" if pc is None else f", pc {pc}")
    for number, blocks in enumerate(([[fields], [REASONS[second][0]]], [[], [fields, REASONS[second][0]]])):
        building = with_reasons(builder, monkeypatch, *blocks)
        assert refusal(building, UnsupportedFeature) == f"{what} in block {number}{place}"


def test_a_withdrawal_comes_after_the_transactions_of_its_block(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    what = f"empty account 0x{WITHDRAWN.hex()} in the pre-state"
    call = REASONS["call"][0]
    building = with_reasons(builder, monkeypatch, [], [call])
    building.document["blocks"][0]["withdrawals"] = [WITHDRAWAL]
    assert refusal(building, UnsupportedFeature) == f"{what} in block 0"
    building = with_reasons(builder, monkeypatch, [call], [])
    building.document["blocks"][0]["withdrawals"] = [WITHDRAWAL]
    assert refusal(building, UnsupportedFeature) == (f"{TOO_LONG_MODULUS} in block 0, transaction 1, pc {TOO_LONG_PC}")
    # A withdrawal of nothing touches its account too.
    building = with_reasons(builder, monkeypatch, [])
    building.document["blocks"][0]["withdrawals"] = [WITHDRAWAL | {"amount": 0}]
    assert refusal(building, UnsupportedFeature).startswith(what)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"{2**24} mload {TOO_LONG}", "memory of more than 16 MiB in block 0, transaction 0, pc 6"),
        (
            f"{TOO_LONG} {2**24} mload",
            f"{TOO_LONG_MODULUS} in block 0, transaction 0, pc {TOO_LONG_PC}",
        ),
        (f"298 blockhash {2**24} mload", f"{UNPROVED_HASH} in block 0, transaction 0, pc 3"),
        (f"{2**24} mload 298 blockhash", "memory of more than 16 MiB in block 0, transaction 0, pc 6"),
    ],
)
def test_the_first_of_two_reasons_in_one_transaction_is_named(builder: Any, source: str, message: str) -> None:
    building = builder(number=300, parentHash="0x" + "11" * 32, gasLimit=LARGEST, baseFeePerGas=0)
    building.document["ancestorHashes"] = ["0x" + "11" * 32, "0x" + "22" * 32]
    building.alloc(CALLING, code="0x" + assemble(source).hex(), nonce=1)
    building.block(building.transfer(to=CALLING, gas=2**30 - 1, gasPrice=0, value=0), gasLimit=LARGEST)
    assert refusal(building, UnsupportedFeature) == message


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
    assert len(batch_of_everything(builder).provable().trace.transactions) == 1


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
        executed = building.provable()
    except (BatchError, UnsupportedFeature):
        return
    assert len(executed.trace.transactions) == sum(len(block.transactions) for block in executed.batch.blocks)


def test_a_batch_without_a_trace_cannot_be_proved(builder: Any) -> None:
    with pytest.raises(ValueError, match="without a trace"):
        check_provable(execute(builder().read(), trace=False))


def test_calls_of_other_contracts_are_proved_from_prague_on() -> None:
    for address in (BEACON_ROOTS_ADDRESS, forks.HISTORY_STORAGE_ADDRESS):
        building = Builder(forks.PRAGUE).alloc(address, code=CODE, nonce=1).block()
        assert not building.provable().trace.system_calls.is_write[int(address == forks.HISTORY_STORAGE_ADDRESS)]
        delegating = "0x" + (DELEGATION_PREFIX + bytes(20)).hex()
        building = Builder(forks.PRAGUE).alloc(address, code=delegating, nonce=1).block()
        assert refusal(building, UnsupportedFeature) == "a system contract that delegates (EIP-7702) in block 0"


def test_memory_of_a_system_call_beyond_the_bound_is_not_supported() -> None:
    """30,000,000 gas pay for less, so that this one halts and its block is invalid, or nothing comes of it."""
    building = Builder(forks.PRAGUE).alloc(BEACON_ROOTS_ADDRESS, code="0x" + assemble(f"1 {2**24} mstore").hex())
    trace = building.block().provable().trace
    assert trace.frames.outcome[trace.frames.kind == FrameKind.SYSTEM].tolist()[0] == Outcome.OUT_OF_GAS
    code = "0x" + assemble(f"1 {2**24} mstore").hex()
    building = Builder(forks.PRAGUE).alloc(forks.WITHDRAWAL_REQUESTS_ADDRESS, code=code, nonce=1).block()
    assert "failed" in refusal(building, BatchError)


# Accounts that have delegated (EIP-7702).


def test_code_at_the_address_of_a_precompile() -> None:
    """In forks where accounts can delegate; in others it is proved that the precompile answers."""
    precompile = bytes([4]).rjust(20, b"\0")

    def of(fork: forks.Fork) -> Builder:
        building = Builder(fork).alloc(precompile, code=CODE, nonce=1)
        return building.block(building.transfer(0, precompile, 0, gas=100_000))

    of(forks.CANCUN).provable()
    message = refusal(of(forks.PRAGUE), UnsupportedFeature)
    assert message.startswith(f"code at the address of a precompile, 0x{precompile.hex()}")


def test_a_delegation_to_the_address_0_which_has_code() -> None:
    pointer = b"\xaa" * 20

    def of(code: str | None) -> Builder:
        building = Builder(forks.PRAGUE).alloc(pointer, code="0x" + (DELEGATION_PREFIX + bytes(20)).hex(), nonce=1)
        if code:
            building.alloc(bytes(20), code=code, nonce=1)
        return building.block(building.transfer(0, pointer, 0, gas=100_000))

    of(None).provable()
    message = refusal(of(CODE), UnsupportedFeature)
    assert message.startswith("a delegation to the address 0, which has code")


def test_too_many_authorizations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provable, "MAX_AUTHORIZATIONS", 2)

    def of(count: int) -> Builder:
        building = set_code.accounts()
        entries = [set_code.authorization(1, set_code.COLD, number) for number in range(count)]
        return building.block(set_code.set_code(building, 0, set_code.EMPTY, entries))

    of(2).provable()
    assert refusal(of(3), UnsupportedFeature).startswith("more than 2 authorizations")
