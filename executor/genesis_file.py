"""Genesis files as geth, reth and besu write them, brought into the form of :class:`executor.batch.Genesis`.

Sources: geth's ``core.Genesis``, reth's ``alloy_genesis::Genesis``, besu's ``JsonGenesisConfigOptions``. Nodes leave
out fields or write ``null`` for those that a fork does not have; besu and old files have other names and remarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executor.errors import BatchError
from executor.json_values import parse_quantity

#: Other names of fields of the header.
ALIASES = {"mixhash": "mixHash", "author": "coinbase", "miner": "coinbase"}

#: What a file may say for people and other programs, and what follows from the rest.
REMARKS = frozenset({"comment", "_comment", "description", "hash", "stateRoot", "genesisHash", "requestsHash"})
ACCOUNT_REMARKS = frozenset({"comment", "_comment", "name", "privateKey", "secretKey", "publicKey", "codeHash", "root"})


class GenesisError(BatchError):
    """A genesis file cannot be used."""


def is_genesis(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a genesis file."""
    return isinstance(document.get("alloc"), dict) and ("gasLimit" in document or "config" in document)


def is_state(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a mapping of addresses to accounts: an ``alloc``, or what ``prestateTracer`` gives."""
    return bool(document) and all(
        len(name.removeprefix("0x")) == 40 and isinstance(account, dict) for name, account in document.items()
    )


def normalized(document: Any) -> Any:
    """A genesis file without fields that are ``null`` or remarks, under geth's names.

    What is no object is returned as it is: who reads it says what is wrong.

    Raises:
        ValueError: a field is there under two names.
    """
    if not isinstance(document, dict):
        return document
    result: dict[str, Any] = {}
    for name, value in document.items():
        if value is None or name in REMARKS:
            continue
        known = ALIASES.get(str(name), str(name))
        if known in result:
            raise ValueError(f"{known} is there under two names")
        result[known] = value
    alloc = result.get("alloc")
    if isinstance(alloc, dict):
        # Only what changes is made anew: a file may hold millions of accounts.
        changed = {address: _account(account) for address, account in alloc.items() if _has_remarks(account)}
        result["alloc"] = alloc | changed if changed else alloc
    return result


def _has_remarks(account: Any) -> bool:
    return isinstance(account, dict) and (None in account.values() or not ACCOUNT_REMARKS.isdisjoint(account))


def _account(account: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in account.items() if value is not None and name not in ACCOUNT_REMARKS}


def chain_id_of(document: Mapping[str, Any]) -> int:
    """The chain id that a genesis file configures.

    Raises:
        GenesisError: it does not, or it is malformed.
    """
    config = document.get("config")
    if not isinstance(config, Mapping) or config.get("chainId") is None:
        raise GenesisError("the genesis file does not say", field="genesis.config.chainId")
    try:
        return parse_quantity(config["chainId"])
    except ValueError as error:
        raise GenesisError(str(error), field="genesis.config.chainId") from None
