"""Signed transactions of the types 0 to 4: strict decoding, signature recovery, and the rules of inclusion.

Sources: EIP-155 and EIP-2 (legacy signatures), EIP-2718 (envelopes), EIP-2930 (type 1), EIP-1559 (type 2), EIP-4844
and EIP-7594 (type 3, as in a block: without blobs), EIP-7702 (type 4), EIP-7825 (gas limit).
What a transaction does with the state (nonce, fees, balances, gas) is proved by the circuit and not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey
from eth_hash.auto import keccak

from verifier.errors import Invalid
from verifier.forks import BLOBS, GAS_PER_BLOB, LEGACY, SET_CODE, TWO_FEES, Fork
from verifier.headers import Header, blob_base_fee
from verifier.rlp_bounded import RlpReader, list_header

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
VERSIONED_HASH_VERSION: Final = 0x01  # EIP-4844
MAX_INITCODE_BYTES: Final = 49_152  # EIP-3860
AUTHORIZATION_MAGIC: Final = b"\x05"  # EIP-7702

# Bounds of what the circuits represent.
MAX_CALLDATA_BYTES: Final = 2**22
MAX_ACCESS_ENTRIES: Final = 2**16
MAX_AUTHORIZATIONS: Final = 2**13  # of 25,000 gas each
MAX_NONCE: Final = 2**64 - 2  # EIP-2681
#: An address stands in a list, with a list of its keys behind it; an authorization is a list of six fields.
_MAX_ITEMS: Final = 3 * MAX_ACCESS_ENTRIES + 7 * MAX_AUTHORIZATIONS + 32


@dataclass(frozen=True, slots=True)
class Authorization:
    """What somebody signed about the code of their account (EIP-7702).

    Attributes:
        address: of the code that the account is to have, 20 bytes; 0 for none.
        nonce: that the account must have, below 2**64.
        authority: the account, 20 bytes; None where the authorization is passed over whatever the state is: it is for
            another chain, its nonce has no successor below 2**64, or the signature is nobody's.
    """

    address: bytes
    nonce: int
    authority: bytes | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction, decoded, with its sender.

    Attributes:
        type: 0 to 4.
        sender, to: addresses, 20 bytes; `to` is empty where a contract is created.
        nonce: at most `MAX_NONCE`.
        gas_limit: below 2**64, gas.
        value, max_fee, max_priority: below 2**256, wei; both fees are the gas price where the type has only that.
        data: calldata.
        access_list: its entries in order: an address with None, then each of its keys with the address.
        max_blob_fee: below 2**256, wei per blob gas; 0 without blobs.
        blob_hashes: versioned hashes, 32 bytes each.
        authorizations: of type 4, in order, those that are passed over included.
        protected: whether the signature is for one chain only (EIP-155).
    """

    type: int
    sender: bytes
    to: bytes
    nonce: int
    gas_limit: int
    value: int
    max_fee: int
    max_priority: int
    data: bytes
    access_list: tuple[tuple[bytes, bytes | None], ...] = ()
    max_blob_fee: int = 0
    blob_hashes: tuple[bytes, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    protected: bool = True


def recover_sender(message_hash: bytes, r: int, s: int, parity: int) -> bytes:
    """The address whose key made a signature. 20 bytes.

    Args:
        message_hash: 32 bytes that were signed.
        r, s: the signature's numbers.
        parity: 0 or 1, of the y coordinate of the signature's point.

    Raises:
        Invalid: r or s out of range, s in the upper half (EIP-2), or no key fits.
    """
    if not 0 < r < SECP256K1_ORDER:
        raise Invalid("signature: r out of range")
    if not 0 < s <= SECP256K1_ORDER // 2:
        raise Invalid("signature: s out of range or in the upper half")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, message_hash, hasher=None)
    except ValueError as error:
        raise Invalid("signature: no key fits") from error
    return keccak(key.format(compressed=False)[1:])[12:]


def _access_list(reader: RlpReader) -> tuple[tuple[bytes, bytes | None], ...]:
    """Entries: each address, and behind it its storage keys."""
    entries: list[tuple[bytes, bytes | None]] = []
    while not reader.at_end:
        entry = reader.list("access list entry")
        address = entry.fixed("access list address", 20)
        entries.append((address, None))
        slots = entry.list("access list keys")
        while not slots.at_end:
            entries.append((address, slots.fixed("access list key", 32)))
        entry.finish("access list entry")
        if len(entries) > MAX_ACCESS_ENTRIES:
            raise Invalid(f"access list: more than {MAX_ACCESS_ENTRIES} addresses and keys")
    return tuple(entries)


def _blob_hashes(reader: RlpReader, most: int) -> tuple[bytes, ...]:
    hashes: list[bytes] = []
    while not reader.at_end:
        versioned = reader.fixed("blob hash", 32)
        if versioned[0] != VERSIONED_HASH_VERSION:
            raise Invalid(f"blob hash of version {versioned[0]}")
        hashes.append(versioned)
    if not 1 <= len(hashes) <= most:
        raise Invalid(f"{len(hashes)} blobs, 1 to {most} are allowed")
    return tuple(hashes)


def _authorizations(reader: RlpReader, raw: bytes, chain_id: int) -> tuple[Authorization, ...]:
    found: list[Authorization] = []
    while not reader.at_end:
        if len(found) == MAX_AUTHORIZATIONS:
            raise Invalid(f"more than {MAX_AUTHORIZATIONS} authorizations")
        found.append(_authorization(reader.list("authorization"), raw, chain_id))
    if not found:
        raise Invalid("a transaction of type 4 without authorizations")
    return tuple(found)


def _authorization(reader: RlpReader, raw: bytes, chain_id: int) -> Authorization:
    start = reader.position
    own_chain = reader.uint("authorization: chain id", 256)
    address = reader.fixed("authorization: address", 20)
    nonce = reader.uint("authorization: nonce", 64)
    # What is signed are these three fields; the reader has made sure that they are encoded canonically.
    signed = raw[start : reader.position]
    parity = reader.uint("authorization: y parity", 8)
    r = reader.uint("authorization: r", 256)
    s = reader.uint("authorization: s", 256)
    reader.finish("authorization")
    authority = None
    if own_chain in (0, chain_id) and nonce <= MAX_NONCE and parity <= 1:
        with suppress(Invalid):
            authority = recover_sender(keccak(AUTHORIZATION_MAGIC + list_header(len(signed)) + signed), r, s, parity)
    return Authorization(address, nonce, authority)


def _recipient(reader: RlpReader, kind: int) -> bytes:
    to = reader.string("recipient", 20)
    if not to and kind in (BLOBS, SET_CODE):
        raise Invalid(f"a transaction of type {kind} that creates a contract")
    if len(to) not in (0, 20):
        raise Invalid("recipient: not 20 bytes")
    return to


def _legacy_signature(v: int, chain_id: int) -> tuple[bytes, int]:
    """What a legacy transaction appends to its signed fields (EIP-155), and the parity of the signature's point."""
    if v in (27, 28):
        return b"", v - 27
    parity = v - 35 - 2 * chain_id
    if parity not in (0, 1):
        raise Invalid(f"signature: v = {v} is not for chain {chain_id}")
    size = (chain_id.bit_length() + 7) // 8
    encoded = chain_id.to_bytes(size, "big")
    if not (size == 1 and chain_id < 0x80):
        encoded = bytes([0x80 + size]) + encoded
    return encoded + b"\x80\x80", parity


def decode_transaction(raw: bytes, chain_id: int, fork: Fork) -> Transaction:
    """Decode a signed transaction and recover its sender.

    Args:
        raw: EIP-2718 encoding.
        chain_id: of the batch. A legacy transaction without EIP-155 is valid on every chain.
        fork: of the block.

    Raises:
        Invalid: not canonical, of a type that the fork does not have or another chain, with more initcode than EIP-3860
            allows, more blobs or a higher gas limit than the fork does, out of the bounds of the circuits, or with a
            bad signature.
    """
    if not raw:
        raise Invalid("empty")
    kind = raw[0] if raw[0] < 0x80 else LEGACY
    if raw[0] < 0xC0 and (kind == LEGACY or kind not in fork.transaction_types):
        raise Invalid(f"transaction type {raw[0]}, which {fork.name} does not have")
    outer = RlpReader(raw, offset=1 if kind else 0, max_items=_MAX_ITEMS)
    reader = outer.list("transaction")
    outer.finish("transaction")
    start = reader.position

    if kind and reader.uint("chain id", 64) != chain_id:
        raise Invalid("for another chain")
    nonce = reader.uint("nonce", 64)
    if nonce > MAX_NONCE:
        raise Invalid("nonce: no successor below 2**64")
    has_two_fees = kind in (TWO_FEES, BLOBS, SET_CODE)
    max_priority = reader.uint("max priority fee" if has_two_fees else "gas price", 256)
    max_fee = reader.uint("max fee", 256) if has_two_fees else max_priority
    if max_fee < max_priority:
        raise Invalid("max fee: below the max priority fee")
    gas_limit = reader.uint("gas limit", 64)
    if fork.max_transaction_gas is not None and gas_limit > fork.max_transaction_gas:
        raise Invalid(f"gas limit: {gas_limit}, at most {fork.max_transaction_gas} are allowed")
    to = _recipient(reader, kind)
    value = reader.uint("value", 256)
    data = reader.string("calldata", MAX_CALLDATA_BYTES)
    if not to and len(data) > MAX_INITCODE_BYTES:
        raise Invalid(f"initcode of {len(data)} bytes, at most {MAX_INITCODE_BYTES} are allowed")
    access_list = _access_list(reader.list("access list")) if kind else ()
    max_blob_fee = reader.uint("max fee per blob gas", 256) if kind == BLOBS else 0
    blob_hashes = _blob_hashes(reader.list("blob hashes"), fork.max_blobs_per_transaction) if kind == BLOBS else ()
    authorizations = _authorizations(reader.list("authorizations"), raw, chain_id) if kind == SET_CODE else ()

    signed = raw[start : reader.position]
    appendix = b""
    if kind:
        parity = reader.uint("signature: y parity", 1)
    else:
        # 2 * chain id + 36 takes 66 bits at most.
        appendix, parity = _legacy_signature(reader.uint("signature: v", 72), chain_id)
        signed += appendix
    r = reader.uint("signature: r", 256)
    s = reader.uint("signature: s", 256)
    reader.finish("transaction")
    prefix = bytes([kind]) if kind else b""
    return Transaction(
        type=kind,
        protected=bool(kind or appendix),
        sender=recover_sender(keccak(prefix + list_header(len(signed)) + signed), r, s, parity),
        to=to,
        nonce=nonce,
        gas_limit=gas_limit,
        value=value,
        max_fee=max_fee,
        max_priority=max_priority,
        data=data,
        access_list=access_list,
        max_blob_fee=max_blob_fee,
        blob_hashes=blob_hashes,
        authorizations=authorizations,
    )


def check_inclusion(header: Header, transactions: Sequence[Transaction], gas_used: Sequence[int], fork: Fork) -> None:
    """Check that each transaction's gas limit fits in what the block has left, that the block's gas is their sum, and
    the same of blob gas, for which each pays enough (EIP-4844).

    Args:
        header: of the block.
        transactions: of the block, in order.
        gas_used: by each of them, gas.
        fork: of the block.

    Raises:
        Invalid: with the first transaction that does not fit, or if the header's gas or blob gas used is another one.
    """
    cumulative = 0
    fee = blob_base_fee(header, fork)
    for number, (transaction, used) in enumerate(zip(transactions, gas_used, strict=True)):
        if cumulative + transaction.gas_limit > header.gas_limit:
            raise Invalid(f"block {header.number}, transaction {number}: gas limit above what the block has left")
        if transaction.blob_hashes and transaction.max_blob_fee < fee:
            raise Invalid(f"block {header.number}, transaction {number}: max fee per blob gas below the block's")
        cumulative += used
    if cumulative != header.gas_used:
        raise Invalid(f"block {header.number}: gas used is {header.gas_used}, its transactions use {cumulative}")
    blob_gas = GAS_PER_BLOB * sum(len(transaction.blob_hashes) for transaction in transactions)
    if blob_gas != header.blob_gas_used:
        raise Invalid(f"block {header.number}: blob gas used is {header.blob_gas_used} instead of {blob_gas}")
