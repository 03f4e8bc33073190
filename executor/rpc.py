"""Blocks, headers and transactions as the JSON-RPC API of nodes gives them, brought into the encoding of the network.

Source: the execution APIs (``eth_getBlockByNumber`` with full transactions, ``eth_getTransactionByHash``); geth writes
the headers of an execution witness in the same form. Every object carries its hash, which the encoding must have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import rlp
from eth_utils.crypto import keccak

from executor.errors import BatchError
from executor.forks import ACCESS_LIST_TYPE, BLOB_TYPE, DYNAMIC_FEE_TYPE, LEGACY_TYPE, SET_CODE_TYPE
from executor.json_values import parse_data, parse_quantity
from executor.rlp_lists import decode_list

GET_BLOCK = "eth_getBlockByNumber(number, true), or eth_getBlockByHash(hash, true)"


class RpcError(BatchError):
    """An answer of the JSON-RPC API cannot be used."""


Reader = Callable[[Any], Any]


def _number(value: Any) -> bytes:
    number = parse_quantity(value)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _bytes(size: int | None = None) -> Reader:
    return lambda value: parse_data(value, size)


#: Fields of a header in the order of the encoding; from ``baseFeePerGas`` on, a header ends with that of its fork.
HEADER_FIELDS: Mapping[str, Reader] = {
    "parentHash": _bytes(32),
    "sha3Uncles": _bytes(32),
    "miner": _bytes(20),
    "stateRoot": _bytes(32),
    "transactionsRoot": _bytes(32),
    "receiptsRoot": _bytes(32),
    "logsBloom": _bytes(256),
    "difficulty": _number,
    "number": _number,
    "gasLimit": _number,
    "gasUsed": _number,
    "timestamp": _number,
    "extraData": _bytes(),
    "mixHash": _bytes(32),
    "nonce": _bytes(8),
    "baseFeePerGas": _number,
    "withdrawalsRoot": _bytes(32),
    "blobGasUsed": _number,
    "excessBlobGas": _number,
    "parentBeaconBlockRoot": _bytes(32),
    "requestsHash": _bytes(32),
}
FIRST_OPTIONAL = "baseFeePerGas"

_PLACES = {name: place for place, name in enumerate(HEADER_FIELDS)}
#: Where they stand in the encoding of a header, and how many fields one has at least, of the first fork.
PARENT_HASH, NUMBER, TIMESTAMP = (_PLACES[name] for name in ("parentHash", "number", "timestamp"))
MIN_HEADER_FIELDS = _PLACES[FIRST_OPTIONAL]
_HEADER_NESTING = 1


def header_fields(encoded: bytes) -> list[bytes]:
    """The fields of a header of any fork, of which only the parent's hash and the number are looked at.

    Raises:
        ValueError: it is no canonical RLP of a header.
    """
    fields: list[bytes] = decode_list(encoded, _HEADER_NESTING)
    if len(fields) < MIN_HEADER_FIELDS or len(fields[PARENT_HASH]) != 32 or len(fields[NUMBER]) > 8:
        raise ValueError("too few fields, or one of another length")
    return fields


WITHDRAWAL_FIELDS: Mapping[str, Reader] = {
    "index": _number,
    "validatorIndex": _number,
    "address": _bytes(20),
    "amount": _number,
}


def result_of(document: Any) -> Any:
    """What an answer of the JSON-RPC API holds; anything else is returned as it is.

    Raises:
        RpcError: the answer is an error, or empty.
    """
    if not isinstance(document, dict) or "jsonrpc" not in document:
        return document
    if document.get("error") is not None:
        raise RpcError(f"the node answered with an error: {str(document['error'])[:200]}")
    if document.get("result") is None:
        raise RpcError("the node's answer is empty: it does not know what it was asked for")
    return document["result"]


def is_block(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a block of the JSON-RPC API, and not one of a batch file."""
    names = {"number", "parentHash", "stateRoot", "hash", "miner", "receiptsRoot"}
    return "transactions" in document and not names.isdisjoint(document)


def is_transaction(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a signed transaction of the JSON-RPC API."""
    return "r" in document and "s" in document


def encode_header(document: Any, field: str, block: int | None = None) -> bytes:
    """RLP of a header; ``field`` and ``block`` only appear in errors.

    Raises:
        RpcError: fields are missing or malformed, or the encoding has another hash.
    """
    if not isinstance(document, dict):
        raise RpcError("not a header of the JSON-RPC API", field=field, block=block)
    names = list(HEADER_FIELDS)
    given = [name for name in names if document.get(name) is not None]
    first_optional = names.index(FIRST_OPTIONAL)
    last = max(first_optional, *(names.index(name) + 1 for name in given)) if given else first_optional
    missing = [name for name in names[:last] if name not in given]
    if missing:
        reason = f"the header lacks {', '.join(missing)}: give the whole answer of {GET_BLOCK}"
        raise RpcError(reason, field=field, block=block)
    encoded: bytes = rlp.encode([_read(document, name, HEADER_FIELDS[name], field, block) for name in names[:last]])
    _check_hash(document, encoded, field, block)
    return encoded


def encode_block(document: Mapping[str, Any], *, block: int | None = None) -> bytes:
    """RLP of a block; ``block`` only appears in errors.

    Raises:
        RpcError: it lacks something, or something is malformed or has another hash than is given.
    """
    header = encode_header(document, "header", block)
    transactions = document["transactions"]
    if not isinstance(transactions, list):
        raise RpcError("not a list", block=block, field="transactions")
    if any(isinstance(item, str) for item in transactions):
        reason = f"only the hashes of the transactions are given: ask for the transactions too, by {GET_BLOCK}"
        raise RpcError(reason, block=block, field="transactions")
    if document.get("uncles"):
        raise RpcError("there are none after the merge (EIP-3675)", block=block, field="uncles")
    raw = [encode_transaction(item, block=block, transaction=number) for number, item in enumerate(transactions)]
    # In a block, typed transactions are byte strings and legacy ones lists (EIP-2718).
    parts = [rlp.decode(header), [rlp.decode(item) if item[0] >= 0xC0 else item for item in raw], []]
    if document.get("withdrawals") is not None:
        withdrawals = document["withdrawals"]
        if not isinstance(withdrawals, list):
            raise RpcError("not a list", block=block, field="withdrawals")
        parts.append([_items(item, WITHDRAWAL_FIELDS, "withdrawals", block) for item in withdrawals])
    encoded: bytes = rlp.encode(parts)
    return encoded


def encode_transaction(document: Any, *, block: int | None = None, transaction: int | None = None) -> bytes:
    """The raw bytes of a signed transaction; ``block`` and ``transaction`` only appear in errors.

    Raises:
        RpcError: fields are missing or malformed, or the encoding has another hash than is given.
    """

    def fail(reason: str, field: str | None) -> RpcError:
        return RpcError(reason, block=block, transaction=transaction, field=field)

    if not isinstance(document, dict):
        raise fail("not a transaction of the JSON-RPC API", None)
    fields = _given(document)
    try:
        kind = parse_quantity(fields.get("type", LEGACY_TYPE))
    except ValueError as error:
        raise fail(str(error), "type") from None
    if kind not in _TRANSACTIONS:
        raise fail(f"unknown transaction type {kind:#x}", "type")
    names = _TRANSACTIONS[kind]
    missing = [name for name in names if name not in fields]
    if missing:
        raise fail(f"a transaction of type {kind} has {', '.join(missing)} too", None)
    items = []
    for name in names:
        try:
            items.append(_TRANSACTION_FIELDS[name](fields[name]))
        except ValueError as error:
            raise fail(str(error), name) from None
    encoded: bytes = rlp.encode(items)
    encoded = encoded if kind == LEGACY_TYPE else bytes([kind]) + encoded
    claimed = document.get("hash")
    if claimed is not None and str(claimed).lower() != "0x" + keccak(encoded).hex():
        reason = f"{str(claimed)[:80]}, but its fields have the hash 0x{keccak(encoded).hex()}: one of them is another"
        raise fail(reason, "hash")
    return encoded


def _given(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a transaction under one name each, and those that may be missing."""
    fields = {_TRANSACTION_ALIASES.get(name, name): value for name, value in document.items() if value is not None}
    fields.setdefault("to", "0x")  # null: a contract creation
    if "yParity" not in fields and "v" in fields:
        fields["yParity"] = fields["v"]
    return fields


def _access_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    entries = []
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("storageKeys"), list):
            raise ValueError("an entry is not an object of address and storageKeys")
        slots = [parse_data(slot, 32) for slot in entry["storageKeys"]]
        entries.append([parse_data(entry.get("address"), 20), slots])
    return entries


def _authorizations(value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("not a list of objects")
    readers = {"chainId": _number, "address": _bytes(20), "nonce": _number, "yParity": _number}
    readers |= {"r": _number, "s": _number}
    return [[read(_given(entry).get(name)) for name, read in readers.items()] for entry in value]


def _hashes(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return [parse_data(item, 32) for item in value]


_TRANSACTION_ALIASES = {"gasLimit": "gas", "data": "input"}

_TRANSACTION_FIELDS: Mapping[str, Reader] = {
    "chainId": _number,
    "nonce": _number,
    "gasPrice": _number,
    "maxPriorityFeePerGas": _number,
    "maxFeePerGas": _number,
    "gas": _number,
    "to": _bytes(),
    "value": _number,
    "input": _bytes(),
    "accessList": _access_list,
    "maxFeePerBlobGas": _number,
    "blobVersionedHashes": _hashes,
    "authorizationList": _authorizations,
    "v": _number,
    "yParity": _number,
    "r": _number,
    "s": _number,
}

_CALL = ("gas", "to", "value", "input")
_SIGNATURE = ("yParity", "r", "s")
_FEES = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas")

#: Fields of a transaction of each type, in the order of the encoding.
_TRANSACTIONS: Mapping[int, tuple[str, ...]] = {
    LEGACY_TYPE: ("nonce", "gasPrice", *_CALL, "v", "r", "s"),
    ACCESS_LIST_TYPE: ("chainId", "nonce", "gasPrice", *_CALL, "accessList", *_SIGNATURE),
    DYNAMIC_FEE_TYPE: (*_FEES, *_CALL, "accessList", *_SIGNATURE),
    BLOB_TYPE: (*_FEES, *_CALL, "accessList", "maxFeePerBlobGas", "blobVersionedHashes", *_SIGNATURE),
    SET_CODE_TYPE: (*_FEES, *_CALL, "accessList", "authorizationList", *_SIGNATURE),
}


def _items(document: Any, fields: Mapping[str, Reader], field: str, block: int | None) -> list[Any]:
    if not isinstance(document, dict):
        raise RpcError("not an object", block=block, field=field)
    return [_read(document, name, read, field, block) for name, read in fields.items()]


def _read(document: Mapping[str, Any], name: str, read: Reader, field: str, block: int | None) -> Any:
    try:
        return read(document.get(name))
    except ValueError as error:
        raise RpcError(str(error), block=block, field=f"{field}.{name}") from None


def _check_hash(document: Mapping[str, Any], encoded: bytes, field: str, block: int | None) -> None:
    claimed, found = document.get("hash"), "0x" + keccak(encoded).hex()
    if claimed is not None and str(claimed).lower() != found:
        reason = (
            f"{str(claimed)[:80]}, but the fields have the hash {found}: one of them is another, or not of its fork"
        )
        raise RpcError(reason, block=block, field=f"{field}.hash")
