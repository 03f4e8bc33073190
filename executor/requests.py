"""Requests of the execution layer to the beacon chain (EIP-7685): deposits from logs, and the hash over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from executor.errors import BatchError
from executor.forks import DepositContract

WORD_BYTES = 32


class _Field(NamedTuple):
    """A field of a deposit's log: a word says where its size stands, the content comes behind that."""

    name: str
    offset: int  # of the size in the data of the log
    size: int  # bytes


# The data of a deposit's log (EIP-6110, `is_valid_deposit_event_data`): an ABI encoding of five byte strings.
DEPOSIT_EVENT_BYTES = 576
DEPOSIT_FIELDS = (
    _Field("pubkey", 160, 48),
    _Field("withdrawal credentials", 256, 32),
    _Field("amount", 320, 8),
    _Field("signature", 384, 96),
    _Field("index", 512, 8),
)


def deposit_request(contract: DepositContract, logs: Iterable[Any]) -> bytes:
    """The request of a block for its deposits: the type, and the deposits of the logs in their order.

    Raises:
        BatchError: a log of the contract that is not laid out as a deposit.
    """
    event = int.from_bytes(contract.event, "big")
    deposits = [
        deposit_of(log.data)
        for log in logs
        if log.address == contract.address and len(log.topics) > 0 and log.topics[0] == event
    ]
    return bytes([contract.request_type]) + b"".join(deposits)


def deposit_of(data: bytes) -> bytes:
    """The deposit that the data of a log tells, 192 bytes.

    Raises:
        BatchError: it is laid out in another way.
    """
    if len(data) != DEPOSIT_EVENT_BYTES:
        raise BatchError(f"a deposit of {len(data)} bytes, not {DEPOSIT_EVENT_BYTES} (EIP-6110)", field="logs")
    deposit = b""
    for number, field in enumerate(DEPOSIT_FIELDS):
        start = field.offset + WORD_BYTES
        if (_word(data, number * WORD_BYTES), _word(data, field.offset)) != (field.offset, field.size):
            raise BatchError(f"a deposit with its {field.name} in another place (EIP-6110)", field="logs")
        deposit += data[start : start + field.size]
    return deposit


def requests_hash(requests: Iterable[bytes]) -> bytes:
    """Hash of the requests of a block, which are in the order of their types; empty ones do not count."""
    hashes = [sha256(request).digest() for request in requests if len(request) > 1]
    return sha256(b"".join(hashes)).digest()


def _word(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + WORD_BYTES], "big")
