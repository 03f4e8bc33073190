"""The limits of the EVM that random programs do not reach: depth, sizes of code, and what is slow."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak

from executor.execute import ExecutedBatch
from executor.trace import Outcome
from executor.transactions import MAX_NONCE
from scripts.batches.precompiles import BN_G1, BN_G2, PAIRING, words
from scripts.batches.random_programs import (
    BASE_FEE,
    CHAIN_ID,
    COINBASE,
    CONTRACTS,
    ETHER,
    KEYS,
    MAX_CODE,
    MAX_INITCODE,
    WALLETS,
    created_address,
    in_memory,
    intrinsic_gas,
    op,
    push,
)
from tests.differential.agreement import Tally, assert_agreement
from tests.differential.specs import Specs

CONTRACT = CONTRACTS[0]
DEPTH_GAS = 10**14  # EIP-150: 1,024 calls that each pass on all but a 64th of it
MAX_DEPTH = 1_024  # yellow paper: calls below the outermost frame


def batch(code: bytes, gas: int = 1_000_000, **alloc: Any) -> dict[str, Any]:
    """A batch with one transaction, that calls ``CONTRACT``."""
    request = {"to": "0x" + CONTRACT.hex(), "gas": gas}
    return batch_of(request, **{"0x" + CONTRACT.hex(): {"code": "0x" + code.hex(), "nonce": 1}}, **alloc)


def batch_of(request: dict[str, Any], **alloc: Any) -> dict[str, Any]:
    """A batch with one transaction, which lacks a signer and a price."""
    limit = max(30_000_000, request["gas"])
    signed = {"secretKey": "0x" + KEYS[0].hex(), "nonce": 0, "gasPrice": 2 * BASE_FEE} | request
    return {
        "format": "zkevm-batch/1",
        "chainId": CHAIN_ID,
        "fork": "cancun",
        "genesis": {
            "alloc": {"0x" + WALLETS[0].hex(): {"balance": ETHER}} | alloc,
            "gasLimit": limit,
            "timestamp": 1_000,
            "baseFeePerGas": BASE_FEE,
        },
        "blocks": [
            {"coinbase": "0x" + COINBASE.hex(), "timestamp": 1_012, "gasLimit": limit, "transactions": [signed]}
        ],
    }


def agreed(specs: Specs, document: dict[str, Any]) -> ExecutedBatch:
    """The batch, executed, after the specs agreed."""
    executed = assert_agreement(specs, document, Tally())
    assert isinstance(executed, ExecutedBatch)
    return executed


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("CALL", 5),
        pytest.param("CALLCODE", 5, marks=pytest.mark.deep),
        pytest.param("DELEGATECALL", 4, marks=pytest.mark.deep),
        pytest.param("STATICCALL", 4, marks=pytest.mark.deep),
    ],
)
def test_calls_nest_to_the_depth_limit(specs: Specs, name: str, operands: int) -> None:
    executed = agreed(specs, batch(op("PUSH0") * operands + op("ADDRESS", "GAS", name), gas=DEPTH_GAS))
    assert executed.trace is not None
    assert max(executed.trace.frames.depth) == MAX_DEPTH


@pytest.mark.deep
def test_creations_nest_to_the_depth_limit(specs: Specs) -> None:
    # Copies its own code as the initcode of the next one.
    code = op("CODESIZE", "PUSH0", "PUSH0", "CODECOPY", "CODESIZE", "PUSH0", "PUSH0", "CREATE")
    executed = agreed(specs, batch(code, gas=DEPTH_GAS))
    assert executed.trace is not None
    assert max(executed.trace.frames.depth) == MAX_DEPTH


@pytest.mark.parametrize("size", [MAX_CODE, MAX_CODE + 1])
@pytest.mark.parametrize("name", ["transaction", "CREATE", "CREATE2"])
def test_size_of_a_created_code(specs: Specs, name: str, size: int) -> None:
    initcode = push(size) + op("PUSH0", "RETURN")
    if name == "transaction":
        request = {"data": "0x" + initcode.hex(), "gas": 10_000_000}
        executed, creator, nonce = agreed(specs, batch_of(request)), WALLETS[0], 0
    else:
        salt = op("PUSH0") if name == "CREATE2" else b""
        code = in_memory(initcode) + salt + push(len(initcode)) + op("PUSH0", "PUSH0", name, "PUSH0", "SSTORE")
        executed, creator, nonce = agreed(specs, batch(code, gas=10_000_000)), CONTRACT, 1
    if name == "CREATE2":
        exists = executed.post_state.storage(CONTRACT, 0) != 0
    else:
        exists = executed.post_state.account(created_address(creator, nonce)) is not None
    assert exists == (size == MAX_CODE)


@pytest.mark.parametrize("size", [MAX_INITCODE, MAX_INITCODE + 1])
def test_size_of_an_initcode(specs: Specs, size: int) -> None:
    executed = agreed(specs, batch(push(size) + op("PUSH0", "PUSH0", "CREATE", "PUSH0", "SSTORE"), gas=10_000_000))
    assert (executed.post_state.storage(CONTRACT, 0) != 0) == (size == MAX_INITCODE)


@pytest.mark.parametrize("size", [MAX_INITCODE, MAX_INITCODE + 1])
@pytest.mark.parametrize("other", ["balance", "nonce", "collision"])
@pytest.mark.parametrize("name", ["CREATE", "CREATE2"])
def test_size_of_an_initcode_that_something_else_stops_too(specs: Specs, name: str, other: str, size: int) -> None:
    """The size comes first, and halts; the others alone give 0."""
    salt = op("PUSH0") if name == "CREATE2" else b""
    value = push(1) if other == "balance" else op("PUSH0")
    creation = salt + push(size) + op("PUSH0") + value + op(name, "ISZERO", "PUSH0", "SSTORE")
    document = batch(creation, gas=10_000_000)
    alloc = document["genesis"]["alloc"]
    if other == "nonce":
        alloc["0x" + CONTRACT.hex()]["nonce"] = MAX_NONCE + 1  # EIP-2681
    if other == "collision":
        by_salt = keccak(b"\xff" + CONTRACT + bytes(32) + keccak(bytes(size)))[12:]  # EIP-1014
        taken = created_address(CONTRACT, 1) if name == "CREATE" else by_salt
        alloc["0x" + taken.hex()] = {"nonce": 1}
    executed = agreed(specs, document)
    assert executed.post_state.storage(CONTRACT, 0) == (size == MAX_INITCODE)
    assert executed.trace is not None
    halts = [Outcome.SUCCESS, Outcome.OUT_OF_GAS]
    assert executed.trace.frames.outcome.tolist() == [halts[size > MAX_INITCODE]]


@pytest.mark.deep
@pytest.mark.parametrize("name", ["CREATE", "CREATE2"])
def test_size_of_an_initcode_at_the_depth_limit(specs: Specs, name: str) -> None:
    """A contract calls itself as deep as it goes, and creates: with a size that only the innermost frame tries."""
    salt = op("PUSH0") if name == "CREATE2" else b""
    call = op("PUSH0") * 5 + op("ADDRESS", "GAS", "CALL")
    # The innermost call fails for its depth and leaves 0: only then is the initcode one byte too long.
    creation = salt + op("SWAP1") * bool(salt) + op("ISZERO") + push(MAX_INITCODE) + op("ADD", "PUSH0", "PUSH0", name)
    executed = agreed(specs, batch(call + creation, gas=DEPTH_GAS))
    trace = executed.trace
    assert trace is not None
    innermost = trace.frames.depth == MAX_DEPTH
    assert innermost.any()
    assert (trace.frames.outcome[innermost] == Outcome.OUT_OF_GAS).all()


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(push(2**40) + op("PUSH0", "PUSH0", "CREATE"), id="creation out of gas"),
        pytest.param(push(MAX_INITCODE + 1) + op("PUSH0", "PUSH0", "CREATE"), id="creation, initcode too long"),
        pytest.param(op("PUSH0", "PUSH0") + push(1) + op("CREATE"), id="creation above the balance"),
        pytest.param(op("CREATE"), id="creation, stack too short"),
        pytest.param(op("PUSH0") * 4 + push(1) + op("ADDRESS", "GAS", "CALL"), id="call above the balance"),
        pytest.param(push(2**40) + op("PUSH0") * 3 + push(1) + op("ADDRESS", "GAS", "CALL"), id="call out of gas"),
        pytest.param(op("CALL"), id="call, stack too short"),
        pytest.param(push(2**40) + op("PUSH0", "LOG0"), id="log out of gas"),
        pytest.param(op("LOG0"), id="log, stack too short"),
        pytest.param(op("SSTORE"), id="store, stack too short"),
        pytest.param(op("TSTORE"), id="transient store, stack too short"),
        pytest.param(op("SELFDESTRUCT"), id="destruction, stack too short"),
    ],
)
def test_static_frames_that_something_else_stops_too(specs: Specs, code: bytes) -> None:
    """Each of two halts takes all the gas, whichever comes first."""
    callee = CONTRACTS[1]
    call = op("PUSH0") * 4 + push(int.from_bytes(callee, "big")) + push(100_000) + op("STATICCALL", "ISZERO")
    observed = op("PUSH0", "SSTORE", "GAS") + push(1) + op("SSTORE", "RETURNDATASIZE") + push(2) + op("SSTORE")
    executed = agreed(specs, batch(call + observed, **{"0x" + callee.hex(): {"code": "0x" + code.hex(), "nonce": 1}}))
    assert executed.post_state.storage(CONTRACT, 0) == 1


@pytest.mark.parametrize("name", [pytest.param("CALL", marks=pytest.mark.deep), "CALLCODE"])
def test_calls_above_the_balance_at_the_depth_limit(specs: Specs, name: str) -> None:
    nested = op("PUSH0") * 5 + op("ADDRESS", "GAS", "CALL", "POP")
    above = (
        op("PUSH0") * 4
        + op("SELFBALANCE")
        + push(1)
        + op("ADD", "ADDRESS", "GAS", name, "PUSH0", "MSTORE", "RETURNDATASIZE")
    )
    executed = agreed(specs, batch(nested + above, gas=DEPTH_GAS))
    assert executed.trace is not None
    assert max(executed.trace.frames.depth) == MAX_DEPTH


@pytest.mark.parametrize("size", [MAX_INITCODE, MAX_INITCODE + 1])
def test_size_of_the_initcode_of_a_transaction(specs: Specs, size: int) -> None:
    request: dict[str, Any] = {"data": "0x" + bytes(size).hex()}
    request["gas"] = intrinsic_gas(request) + 100
    executed = assert_agreement(specs, batch_of(request), Tally())
    assert isinstance(executed, ExecutedBatch) == (size == MAX_INITCODE)


@pytest.mark.parametrize(
    ("content", "success", "result"),
    [
        pytest.param(PAIRING.input, 1, 1, id="e(P, Q) e(-P, Q) = 1"),
        pytest.param(words(*BN_G1, *BN_G2), 1, 0, id="e(P, Q) is not 1", marks=pytest.mark.deep),
        pytest.param(words(*BN_G1, *BN_G2[:3], BN_G2[3] + 1), 0, 0, id="not on the curve"),
    ],
)
def test_pairings(specs: Specs, content: bytes, success: int, result: int) -> None:
    out = push(len(content))  # behind the input
    call = push(32) + out + out + op("PUSH0") + push(PAIRING.address) + op("GAS", "STATICCALL")
    code = in_memory(content) + call + push(0) + op("SSTORE") + out + op("MLOAD") + push(1) + op("SSTORE")
    executed = agreed(specs, batch(code))
    assert [executed.post_state.storage(CONTRACT, slot) for slot in (0, 1)] == [success, result]


@pytest.mark.parametrize("there", [{"balance": 1}, {"nonce": 1}, {"code": "0x00"}])
def test_creation_where_an_account_is(specs: Specs, there: dict[str, Any]) -> None:
    taken = created_address(CONTRACT, 1)
    code = op("PUSH0", "PUSH0", "PUSH0", "CREATE", "PUSH0", "SSTORE")
    executed = agreed(specs, batch(code, **{"0x" + taken.hex(): there}))
    assert (executed.post_state.storage(CONTRACT, 0) == 0) == ("balance" not in there)


def test_memory_as_large_as_the_gas_of_a_block_buys(specs: Specs) -> None:
    agreed(specs, batch(push(2**21) + op("MLOAD", "MSIZE", "PUSH0", "SSTORE"), gas=30_000_000))
