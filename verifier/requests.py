"""Requests to the beacon chain, and the hash of them in a header (EIP-7685).

Deposits (EIP-6110) are read from the logs of the receipts, which are proved; withdrawals and consolidations (EIP-7002,
EIP-7251) are what the calls of their contracts return: they stand in the proof file, and each is committed to by the
operation that is the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from verifier.container import LogRecord, ReceiptRecord
from verifier.errors import Invalid
from verifier.forks import Fork
from verifier.headers import Header

DEPOSIT_TYPE: Final = b"\x00"  # EIP-6110
#: First topic of a deposit's log: hash of `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
DEPOSIT_EVENT: Final = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
#: What the data of a deposit's log holds: public key, withdrawal credentials, amount, signature, index; bytes of each.
DEPOSIT_FIELDS: Final = (48, 32, 8, 96, 8)


def deposit_of(data: bytes) -> bytes:
    """The deposit that the data of a log of the contract encodes, 192 bytes (EIP-6110, `is_valid_deposit_event_data`).

    The data is the ABI encoding of its fields: where each stands; then each behind its size, padded to words. What the
    padding holds does not matter.

    Raises:
        Invalid: if sizes or places are others. The block is invalid then.
    """
    heads, place, deposit = b"", 32 * len(DEPOSIT_FIELDS), b""
    for size in DEPOSIT_FIELDS:
        heads += place.to_bytes(32, "big")
        if data[place : place + 32] != size.to_bytes(32, "big"):
            raise Invalid("a deposit with a field of another size (EIP-6110)")
        deposit += data[place + 32 : place + 32 + size]
        place += 32 + -(-size // 32) * 32
    if len(data) != place or data[: len(heads)] != heads:
        raise Invalid("a deposit with a field in another place (EIP-6110)")
    return deposit


def deposits_of(logs: Iterable[LogRecord], contract: bytes) -> bytes:
    """The deposits of a block, one behind the other, in the order of its logs.

    Args:
        logs: of all receipts of the block.
        contract: whose logs they are, 20 bytes.

    Raises:
        Invalid: if a log of a deposit is laid out in another way.
    """
    return b"".join(
        deposit_of(log.data) for log in logs if log.address == contract and log.topics[:1] == (DEPOSIT_EVENT,)
    )


def requests_hash(requests: Iterable[bytes]) -> bytes:
    """Hash of requests, each one's type before its data and in the order of types; those without data are left out."""
    return sha256(b"".join(sha256(request).digest() for request in requests if len(request) > 1)).digest()


def check_requests(header: Header, fork: Fork, receipts: Sequence[ReceiptRecord], outputs: Sequence[bytes]) -> None:
    """Check the requests hash of a header.

    Args:
        header: with the hash, if its fork has it (`verifier.headers.check_header`).
        fork: of the block.
        receipts: of the block.
        outputs: what the calls of the fork's request contracts return, in their order.

    Raises:
        Invalid: if it is another one, there is not one output for each contract, or a deposit's log is no such.
    """
    contracts = fork.request_contracts
    if len(outputs) != len(contracts):
        raise Invalid(f"block {header.number}: {len(outputs)} outputs of system calls instead of {len(contracts)}")
    requests = []
    if fork.deposit_contract is not None:
        try:
            deposits = deposits_of((log for receipt in receipts for log in receipt.logs), fork.deposit_contract)
        except Invalid as error:
            raise Invalid(f"block {header.number}: {error}") from error
        requests.append(DEPOSIT_TYPE + deposits)
    requests += [bytes([c.request_type]) + output for c, output in zip(contracts, outputs, strict=True)]
    if fork.has_requests_hash and requests_hash(requests) != header.requests_hash:
        raise Invalid(f"block {header.number}: requests hash is not that of its deposits and system calls")
