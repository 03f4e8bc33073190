"""The block of mainnet: it gives what mainnet's header says, and block witnesses are read as they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak

from executor.batch import parse_batch
from executor.errors import BatchError
from executor.execute import ExecutedBatch, execute
from executor.inputs import read_batch
from executor.state_keys import EMPTY_CODE_HASH
from scripts.batches.programs import PROGRAMS
from scripts.workloads.build_examples import MAINNET, file_text
from scripts.workloads.recorded_block import (
    EMPTY_TRIE_ROOT,
    WitnessError,
    read_witness,
    recorded_document,
    with_least_witness,
)
from tests.scripts.examples import document_of, path_of

# The header of block 19,807,080, which has the hash 0x0b4c5b498320e5858e7445a5af10658ffee39c9a39de22c81452de5421f63464.
HASH = bytes.fromhex("0b4c5b498320e5858e7445a5af10658ffee39c9a39de22c81452de5421f63464")
PARENT_HASH = bytes.fromhex("27c8003b8d5ed3a0dfb4313cf8e969478176df308cb8ff7590f86323469046e2")
STATE_ROOT = bytes.fromhex("c258b8b986b5003f4a051c625c427e7d93fbdf653669468727bbcc25b1fd1919")


@pytest.fixture(scope="module")
def executed() -> ExecutedBatch:
    return execute(read_batch(path_of(MAINNET)))


def test_the_header_is_mainnet_s_but_for_its_parent(executed: ExecutedBatch) -> None:
    """The hash commits to the state root, receipts, gas, logs' bloom and all else that the execution gives."""
    ((header, _),) = executed.blocks
    fields = rlp.decode(header)
    assert fields[3] == STATE_ROOT == executed.post_state_root
    assert keccak(rlp.encode([PARENT_HASH, *fields[1:]])) == HASH
    assert executed.gas_used == 1_187_010


def test_the_witness_is_the_least(executed: ExecutedBatch) -> None:
    assert file_text(with_least_witness(document_of(MAINNET))) == path_of(MAINNET).read_text()
    nodes = document_of(MAINNET)["witness"]["nodes"]
    for left_out in (0, len(nodes) // 2, len(nodes) - 1):
        fewer = document_of(MAINNET)["witness"] | {"nodes": [*nodes[:left_out], *nodes[left_out + 1 :]]}
        with pytest.raises(BatchError):
            with_least_witness(document_of(MAINNET) | {"witness": fewer})


# Writing of witnesses: the format of Erigon, of tries that are known node by node.


def cbor(kind: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([kind << 5 | argument])
    size = next(log for log in range(4) if argument < 256 ** (1 << log))
    return bytes([kind << 5 | 24 + size]) + argument.to_bytes(1 << size, "big")


def cbor_bytes(data: bytes) -> bytes:
    return cbor(2, len(data)) + data


def key(compact: bytes) -> bytes:
    """A part of a path, from its hex-prefix encoding."""
    path = [half for byte in compact for half in (byte >> 4, byte & 15)]
    path = path[1:] if path[0] & 1 else path[2:]
    if len(path) == 1:
        return cbor_bytes(bytes(path))
    odd = len(path) % 2
    pairs = [*path, *([0] if odd else [])]
    return cbor_bytes(bytes([odd, *(16 * pairs[i] + pairs[i + 1] for i in range(0, len(pairs), 2))]))


def written(reference: Any, nodes: dict[bytes, bytes], leaf: Callable[[bytes, bytes], bytes]) -> bytes:
    """The instructions for a node and all below it, as far as it is known."""
    if reference == EMPTY_TRIE_ROOT:
        return b"\x06"
    if isinstance(reference, bytes) and reference not in nodes:
        return b"\x03" + reference
    node = rlp.decode(nodes[reference]) if isinstance(reference, bytes) else reference
    if len(node) == 17:
        assert not node[16]
        children = [(nibble, child) for nibble, child in enumerate(node[:16]) if child]
        below = b"".join(written(child, nodes, leaf) for _, child in children)
        return below + b"\x02" + cbor(0, sum(1 << nibble for nibble, _ in children))
    if node[0][0] & 0x20:
        return leaf(key(node[0]), node[1])
    return written(node[1], nodes, leaf) + b"\x01" + key(node[0])


def witness_of(executed: ExecutedBatch) -> bytes:
    """The witness of a batch, with the codes that it has."""
    assert executed.witness is not None
    nodes = {keccak(node): node for node in executed.witness.nodes}
    codes = {keccak(code): code for code in executed.witness.codes}

    def storage_leaf(path: bytes, value: bytes) -> bytes:
        return b"\x00" + path + cbor_bytes(rlp.decode(value))

    def account_leaf(path: bytes, value: bytes) -> bytes:
        nonce, balance, storage_root, code_hash = rlp.decode(value)
        below, flags, fields = b"", 0, b""
        if code_hash != EMPTY_CODE_HASH:
            code = codes.get(code_hash)
            below += b"\x03" + code_hash if code is None else b"\x04" + cbor_bytes(code)
            flags |= 1
        if storage_root != EMPTY_TRIE_ROOT:
            below += written(storage_root, nodes, storage_leaf)
            flags |= 2
        if nonce:
            flags |= 4
            fields += cbor(0, int.from_bytes(nonce, "big"))
        if balance:
            flags |= 8
            fields += cbor_bytes(balance)
        if flags & 1:
            fields += cbor(0, 7)  # the code's length, which follows from the code
        return below + b"\x05" + path + bytes([flags]) + fields

    return b"\x01" + written(executed.pre_state_root, nodes, account_leaf)


@pytest.mark.parametrize("name", ["storage", "calls", "creations", "collision", "withdrawals", "block context"])
def test_a_witness_is_read_as_it_is_written(name: str) -> None:
    executed = PROGRAMS[name]().execute()
    assert executed.witness is not None
    state = read_witness(witness_of(executed))
    assert state.root == executed.pre_state_root
    assert set(state.nodes) == set(executed.witness.nodes)
    assert set(state.codes) == set(executed.witness.codes)


@pytest.mark.parametrize(
    "witness",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x01\x03" + bytes(31), id="too short"),
        pytest.param(b"\x01\x06\x06", id="two tries"),
        pytest.param(b"\x01\x02\x03", id="a branch of nothing"),
        pytest.param(b"\x01\x07", id="unknown instruction"),
        pytest.param(b"\x01\x00\x05\x01", id="a number for a path"),
    ],
)
def test_what_is_no_witness(witness: bytes) -> None:
    with pytest.raises(WitnessError):
        read_witness(witness)


def recorded(executed: ExecutedBatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """What would have been recorded of the only block of a batch."""
    ((header, transactions),) = executed.blocks
    fields = rlp.decode(header)
    names = {
        "miner": 2, "number": 8, "gasLimit": 9, "timestamp": 11, "extraData": 12, "mixHash": 13, "baseFeePerGas": 15,
        "excessBlobGas": 18, "parentBeaconBlockRoot": 19,
    }  # fmt: skip
    block = {name: "0x" + (fields[place].hex() or "0") for name, place in names.items()}
    block |= {"extraData": "0x" + fields[12].hex(), "withdrawals": []}
    case = {
        "block_trace": {
            "trie_pre_images": {"combined": {"compact": "0x" + witness_of(executed).hex()}},
            "txn_info": [{"meta": {"byte_code": "0x" + raw.hex()}} for raw in transactions],
        },
        "other_data": {
            "checkpoint_state_trie_root": "0x" + executed.pre_state_root.hex(),
            "b_data": {
                "b_meta": {"block_chain_id": hex(executed.chain_id)},
                "b_hashes": {"prev_hashes": ["0x" + "11" * 32, "0x" + "22" * 32]},
            },
        },
    }
    return case, block


def test_a_recorded_block_is_executed_as_it_was() -> None:
    executed = PROGRAMS["calls"]().execute()
    case, block = recorded(executed)
    again = execute(parse_batch(json.dumps(recorded_document(case, block))))
    (before,), (after,) = executed.blocks, again.blocks
    assert rlp.decode(before[0])[1:] == rlp.decode(after[0])[1:]
    assert before[1] == after[1]


def test_a_witness_of_another_state_is_none_of_the_block() -> None:
    case, block = recorded(PROGRAMS["calls"]().execute())
    case["other_data"]["checkpoint_state_trie_root"] = "0x" + "00" * 32
    with pytest.raises(WitnessError, match="root"):
        recorded_document(case, block)
