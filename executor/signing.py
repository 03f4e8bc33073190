"""Signing of transactions that a batch file gives as JSON objects with a test key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eth_account import Account
from eth_utils.exceptions import ValidationError

from executor.errors import BatchError
from executor.forks import LEGACY_TYPE
from executor.json_values import parse_data, parse_quantity


def sign_transaction(
    request: Mapping[str, Any], chain_id: int, *, block: int | None = None, transaction: int | None = None
) -> bytes:
    """Sign a transaction given as a JSON object (for tests and examples: never put a real key in a file).

    Fields as in the JSON-RPC API, and ``secretKey`` (32 bytes): ``type``, ``chainId`` (default: ``chain_id``),
    ``nonce``, ``gas``, ``to``, ``value``, ``data``, ``gasPrice`` or ``maxFeePerGas`` and ``maxPriorityFeePerGas``,
    ``accessList``, ``maxFeePerBlobGas`` and ``blobVersionedHashes``, and ``authorizationList`` with the authorizations
    to be signed too: objects of ``secretKey``, ``address``, ``nonce`` and ``chainId`` (default: ``chain_id``).
    ``block`` and ``transaction`` only appear in errors.

    Returns:
        the raw signed transaction.

    Raises:
        BatchError: unknown, missing or malformed fields.
    """

    def fail(reason: str, field: str | None = None) -> BatchError:
        return BatchError(reason, block=block, transaction=transaction, field=field)

    fields: dict[str, Any] = {"chainId": chain_id, "value": 0, "data": b""}
    for name, value in request.items():
        if name not in _READERS:
            raise fail("unknown field of a transaction to be signed", name)
        try:
            fields[name] = _READERS[name](value)
        except ValueError as error:
            raise fail(str(error), name) from None
    for name in ("secretKey", "nonce", "gas"):
        if name not in fields:
            raise fail("a transaction to be signed needs this field", name)
    secret = fields.pop("secretKey")
    if fields.get("type") == LEGACY_TYPE:
        # The library tells a legacy transaction by its gas price alone.
        del fields["type"]
    try:
        if "authorizationList" in fields:
            fields["authorizationList"] = [_authorization(item, chain_id) for item in fields["authorizationList"]]
        return bytes(Account.from_key(secret).sign_transaction(fields).raw_transaction)
    except (TypeError, ValueError, AttributeError, ValidationError) as error:
        raise fail(f"cannot be signed: {error}") from None


def _access_list(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    entries = []
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != {"address", "storageKeys"}:
            raise ValueError("an entry is not an object of address and storageKeys")
        if not isinstance(entry["storageKeys"], list):
            raise ValueError("storageKeys is not a list")
        # The library takes access lists in hexadecimal only.
        slots = ["0x" + parse_data(slot, 32).hex() for slot in entry["storageKeys"]]
        entries.append({"address": "0x" + parse_data(entry["address"], 20).hex(), "storageKeys": slots})
    return entries


def _authorization_list(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    entries = []
    for entry in value:
        if not isinstance(entry, dict) or not _AUTHORIZED <= entry.keys() <= _AUTHORIZATION.keys():
            raise ValueError("an entry is not an object of secretKey, address, nonce and chainId")
        entries.append({name: _AUTHORIZATION[name](item) for name, item in entry.items()})
    return entries


def _authorization(entry: Mapping[str, Any], chain_id: int) -> dict[str, Any]:
    """A signed authorization, as the library takes it."""
    fields = {"chainId": chain_id} | {name: value for name, value in entry.items() if name != "secretKey"}
    signed = Account.sign_authorization(fields, entry["secretKey"])
    return fields | {"yParity": signed.y_parity, "r": signed.r, "s": signed.s}


_AUTHORIZED = {"secretKey", "address", "nonce"}
_AUTHORIZATION: Mapping[str, Callable[[Any], Any]] = {
    "secretKey": lambda value: parse_data(value, 32),
    "chainId": parse_quantity,
    "address": lambda value: parse_data(value, 20),
    "nonce": parse_quantity,
}


def _blob_hashes(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return [parse_data(blob_hash, 32) for blob_hash in value]


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "secretKey": lambda value: parse_data(value, 32),
    "type": parse_quantity,
    "chainId": parse_quantity,
    "nonce": parse_quantity,
    "gas": parse_quantity,
    "to": parse_data,
    "value": parse_quantity,
    "data": parse_data,
    "gasPrice": parse_quantity,
    "maxFeePerGas": parse_quantity,
    "maxPriorityFeePerGas": parse_quantity,
    "accessList": _access_list,
    "maxFeePerBlobGas": parse_quantity,
    "blobVersionedHashes": _blob_hashes,
    "authorizationList": _authorization_list,
}
