"""Execution witnesses as ``debug_executionWitness`` of geth and reth gives them.

An object of ``state`` (the nodes of the tries), ``codes``, ``keys`` (not needed: they are what hashes in the tries come
from) and ``headers`` (of the parent block and of those that BLOCKHASH asks for). Lists may also be objects by hash, and
headers are RLP (reth) or objects (geth); the same node may be there several times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rlp
from eth_utils.crypto import keccak

from executor.errors import BatchError
from executor.json_values import parse_data
from executor.rpc import NUMBER, PARENT_HASH, encode_header, header_fields

MAX_HEADERS = 257  # the parent and what BLOCKHASH knows before it
MAX_ANCESTOR_HEADERS = 254  # before the parent's: each proves the hash of the block before it


class ExecutionWitnessError(BatchError):
    """An execution witness cannot be used."""


@dataclass(frozen=True)
class ExecutionWitness:
    """What a client needed to execute one block.

    Attributes:
        nodes: RLP of nodes of the tries, each once.
        codes: each once.
        headers: RLP of headers, by their hashes.
    """

    nodes: tuple[bytes, ...]
    codes: tuple[bytes, ...]
    headers: Mapping[bytes, bytes]

    def parent(self, parent_hash: bytes | None = None) -> bytes:
        """RLP of the parent header: the one with this hash, or the last one.

        Raises:
            ExecutionWitnessError: there is none.
        """
        if not self.headers:
            raise ExecutionWitnessError("none: that of the parent block is needed", field="witness.headers")
        if parent_hash is None:
            return max(self.headers.values(), key=_number_of)
        if parent_hash not in self.headers:
            last = max(self.headers, key=lambda item: _number_of(self.headers[item]))
            reason = (
                f"the block's parent 0x{parent_hash.hex()} is not among them, the last is 0x{last.hex()}: "
                "it is the witness of another block"
            )
            raise ExecutionWitnessError(reason, field="witness.headers")
        return self.headers[parent_hash]

    def ancestors(self, parent: bytes) -> tuple[bytes, ...]:
        """RLP of the headers before one (RLP), the latest first, as far as they are here.

        Raises:
            BatchError: `parent` is no header.
        """
        found: list[bytes] = []
        try:
            before = header_fields(parent)[PARENT_HASH]
        except ValueError as error:
            raise BatchError(f"not the RLP of a block header: {error}", field="parent") from None
        while before in self.headers and len(found) < MAX_ANCESTOR_HEADERS:
            found.append(self.headers[before])
            before = header_fields(found[-1])[PARENT_HASH]
        return tuple(found)

    def joined(self, other: ExecutionWitness) -> ExecutionWitness:
        """The two together, of blocks that follow each other."""
        return ExecutionWitness(
            tuple(dict.fromkeys(self.nodes + other.nodes)),
            tuple(dict.fromkeys(self.codes + other.codes)),
            {**self.headers, **other.headers},
        )


def is_execution_witness(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an execution witness."""
    return "state" in document and "codes" in document and "alloc" not in document


def read_execution_witness(document: Mapping[str, Any]) -> ExecutionWitness:
    """An execution witness from its JSON object.

    Raises:
        ExecutionWitnessError: it is malformed.
        RpcError: a header that is an object is.
    """
    return ExecutionWitness(_strings(document, "state"), _strings(document, "codes"), _headers(document))


def _items(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if value is None:
        return []
    if isinstance(value, dict):
        return list(value.values())
    if not isinstance(value, list):
        raise ExecutionWitnessError("not a list", field=f"witness.{name}")
    return value


def _strings(document: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for number, item in enumerate(_items(document, name)):
        try:
            found[parse_data(item)] = None
        except ValueError as error:
            raise ExecutionWitnessError(str(error), field=f"witness.{name}.{number}") from None
    return tuple(found)


def _headers(document: Mapping[str, Any]) -> dict[bytes, bytes]:
    items = _items(document, "headers")
    if len(items) > MAX_HEADERS:
        raise ExecutionWitnessError(f"{len(items)}, more than {MAX_HEADERS}", field="witness.headers")
    headers: dict[bytes, bytes] = {}
    for number, item in enumerate(items):
        field = f"witness.headers.{number}"
        if isinstance(item, dict):
            encoded = encode_header(item, field)
        else:
            try:
                encoded = parse_data(item)
                header_fields(encoded)
            except ValueError as error:
                raise ExecutionWitnessError(f"not the RLP of a block header: {error}", field=field) from None
        headers[keccak(encoded)] = encoded
    return headers


def _number_of(header: bytes) -> int:
    return int.from_bytes(rlp.decode(header)[NUMBER], "big")
