"""What nodes would answer about an executed batch: blocks and witnesses in their forms."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import rlp
from eth_utils.crypto import keccak

from executor.batch import Witness
from executor.blocks import decode_block
from executor.execute import ExecutedBatch, execute
from executor.rpc import HEADER_FIELDS
from executor.transactions import Transaction, decode_transaction

NUMBERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}

STATE_ROOT = list(HEADER_FIELDS).index("stateRoot")


def quantity(value: int) -> str:
    return hex(value)


def data(value: bytes) -> str:
    return "0x" + value.hex()


def raw_block(executed: ExecutedBatch, index: int) -> bytes:
    """What ``debug_getRawBlock`` gives."""
    header, raw = executed.blocks[index]
    withdrawals = [
        [item.index, item.validator_index, item.address, item.amount]
        for item in executed.batch.blocks[index].context.withdrawals
    ]
    transactions = [rlp.decode(item) if item[0] >= 0xC0 else item for item in raw]
    return bytes(rlp.encode([rlp.decode(header), transactions, [], withdrawals]))


def rpc_header(encoded: bytes) -> dict[str, Any]:
    """A header as an object, with its hash."""
    items = rlp.decode(encoded)
    document = {
        name: quantity(int.from_bytes(item, "big")) if name in NUMBERS else data(item)
        for name, item in zip(HEADER_FIELDS, items, strict=False)
    }
    return document | {"hash": data(keccak(encoded))}


def rpc_transaction(raw: bytes) -> dict[str, Any]:
    """What ``eth_getTransactionByHash`` gives."""
    sent = decode_transaction(raw)
    items = rlp.decode(raw if sent.type == 0 else raw[1:])
    v, r, s = (quantity(int.from_bytes(item, "big")) for item in items[-3:])
    document: dict[str, Any] = {
        "blockHash": "0x" + "00" * 32,
        "from": data(sent.sender),
        "gas": quantity(sent.gas_limit),
        "gasPrice": quantity(sent.max_fee),
        "hash": data(keccak(raw)),
        "input": data(sent.data),
        "nonce": quantity(sent.nonce),
        "to": None if sent.to is None else data(sent.to),
        "transactionIndex": "0x0",
        "value": quantity(sent.value),
        "type": quantity(sent.type),
        "v": v,
        "r": r,
        "s": s,
    }
    if sent.type:
        document |= {"chainId": quantity(sent.chain_id or 0), "yParity": v, "accessList": _access_list(sent)}
    if sent.type >= 2:
        document |= {"maxFeePerGas": quantity(sent.max_fee), "maxPriorityFeePerGas": quantity(sent.max_priority_fee)}
    if sent.type == 3:
        document["maxFeePerBlobGas"] = quantity(sent.max_fee_per_blob_gas)
        document["blobVersionedHashes"] = [data(item) for item in sent.blob_versioned_hashes]
    return document


def _access_list(sent: Transaction) -> list[dict[str, Any]]:
    return [{"address": data(address), "storageKeys": list(map(data, slots))} for address, slots in sent.access_list]


def rpc_block(executed: ExecutedBatch, index: int) -> dict[str, Any]:
    """What ``eth_getBlockByNumber`` gives with full transactions."""
    header, raw = executed.blocks[index]
    decoded = decode_block(raw_block(executed, index), executed.batch.schedule)
    withdrawals = [
        {
            "index": quantity(item.index),
            "validatorIndex": quantity(item.validator_index),
            "address": data(item.address),
            "amount": quantity(item.amount),
        }
        for item in decoded.context.withdrawals
    ]
    return rpc_header(header) | {
        "size": "0x1",
        "totalDifficulty": "0x0",
        "uncles": [],
        "transactions": [rpc_transaction(item) for item in raw],
        "withdrawals": withdrawals,
    }


def answer(result: Any) -> dict[str, Any]:
    """A result in the envelope of JSON-RPC."""
    return {"jsonrpc": "2.0", "id": 1, "result": result}


def one_by_one(executed: ExecutedBatch) -> list[ExecutedBatch]:
    """Each block of a batch executed as a batch of its own, with no more than its own witness."""
    found, headers = [], [executed.parent_header, *(header for header, _ in executed.blocks)]
    for header, block in zip(headers, executed.batch.blocks, strict=False):
        items = below(executed.post_state.nodes, rlp.decode(header)[STATE_ROOT])
        witness = Witness(items, items, ())
        batch = replace(executed.batch, genesis=None, parent_header=header, witness=witness, blocks=(block,))
        found.append(execute(batch))
    return found


def below(nodes: Mapping[bytes, bytes], root: bytes) -> tuple[bytes, ...]:
    """All nodes and codes that belong to a state."""
    found: dict[bytes, bytes] = {}
    pending: list[Any] = [root]
    while pending:
        match pending.pop():
            case bytes() as item if len(item) == 32:
                if item not in found and item in nodes:
                    found[item] = nodes[item]
                    with suppress(rlp.exceptions.DecodingError):  # of a code
                        pending.append(rlp.decode(nodes[item]))
            case bytes() as item if len(item) > 64:
                with suppress(rlp.exceptions.DecodingError):
                    pending.append(rlp.decode(item))  # an account
            case list() as items:
                pending += items
    return tuple(found.values())


def reth_witness(executed: ExecutedBatch) -> dict[str, Any]:
    """What reth's ``debug_executionWitness`` gives of a batch of one block."""
    assert executed.witness is not None
    return {
        "state": [data(node) for node in executed.witness.nodes],
        "codes": [data(code) for code in executed.witness.codes],
        "keys": [],
        "headers": [data(executed.parent_header)],
    }


def geth_witness(executed: ExecutedBatch) -> dict[str, Any]:
    """What geth's ``debug_executionWitness`` gives of a batch of one block: headers are objects, keys are null."""
    return reth_witness(executed) | {"keys": None, "headers": [rpc_header(executed.parent_header)]}
