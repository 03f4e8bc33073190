"""Signed transactions of the types 0, 1 and 2: strict decoding, signature recovery, and the rules of inclusion.

Sources: EIP-155 and EIP-2 (legacy signatures), EIP-2718 (envelopes), EIP-2930 (type 1), EIP-1559 (type 2).
What a transaction does with the state (nonce, fees, balances, gas) is proved by the circuit and not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey
from eth_hash.auto import keccak

from verifier.errors import Invalid
from verifier.headers import Header
from verifier.rlp_bounded import RlpReader, list_header

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MAX_PRECOMPILE: Final = 10  # Cancun's precompiles are the addresses 1 to 10 (EIP-4844 added the last one)

# Bounds of what the circuits represent.
MAX_GAS_LIMIT: Final = 2**30 - 1
MAX_CALLDATA_BYTES: Final = 2**22
MAX_ACCESS_ENTRIES: Final = 2**16
MAX_NONCE: Final = 2**64 - 2  # EIP-2681
MAX_TRANSACTIONS: Final = 2**24 - 1
_MAX_ITEMS: Final = 3 * MAX_ACCESS_ENTRIES + MAX_ACCESS_ENTRIES + 32  # an entry is a pair of an address and a list


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction, decoded, with its sender.

    Attributes:
        type: 0, 1 or 2.
        sender, to: addresses, 20 bytes.
        nonce: at most `MAX_NONCE`.
        gas_limit: at most `MAX_GAS_LIMIT`, gas.
        value, max_fee, max_priority: below 2**256, wei; both fees are the gas price where the type has only that.
        zero_bytes, nonzero_bytes: of the calldata.
        access_addresses, access_keys: entries of the access list, repeated ones counted (EIP-2930).
    """

    type: int
    sender: bytes
    to: bytes
    nonce: int
    gas_limit: int
    value: int
    max_fee: int
    max_priority: int
    zero_bytes: int
    nonzero_bytes: int
    access_addresses: int
    access_keys: int


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
    except Exception as error:  # the library raises bare exceptions for unrecoverable signatures
        raise Invalid("signature: no key fits") from error
    return keccak(key.format(compressed=False)[1:])[12:]


def _access_list(reader: RlpReader) -> tuple[int, int]:
    """Number of addresses and of storage keys."""
    addresses = keys = 0
    while not reader.at_end:
        entry = reader.list("access list entry")
        entry.fixed("access list address", 20)
        addresses += 1
        slots = entry.list("access list keys")
        while not slots.at_end:
            slots.fixed("access list key", 32)
            keys += 1
        entry.finish("access list entry")
        if addresses > MAX_ACCESS_ENTRIES or keys > MAX_ACCESS_ENTRIES:
            raise Invalid(f"access list: more than {MAX_ACCESS_ENTRIES} addresses or keys")
    return addresses, keys


def _recipient(reader: RlpReader) -> bytes:
    to = reader.string("recipient", 20)
    if not to:
        raise Invalid("contract creation")
    if len(to) != 20:
        raise Invalid("recipient: not 20 bytes")
    if 1 <= int.from_bytes(to, "big") <= MAX_PRECOMPILE:
        raise Invalid("recipient is a precompiled contract")
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


def decode_transaction(raw: bytes, chain_id: int) -> Transaction:
    """Decode a signed transaction and recover its sender.

    Args:
        raw: EIP-2718 encoding.
        chain_id: of the batch. A legacy transaction without EIP-155 is valid on every chain.

    Raises:
        Invalid: not canonical, of another type or chain, a contract creation, sent to a precompiled contract, out of
            the bounds of the circuits, or with a bad signature.
    """
    if not raw:
        raise Invalid("empty")
    kind = raw[0] if raw[0] < 0x80 else 0
    if raw[0] < 0xC0 and kind not in (1, 2):
        raise Invalid(f"transaction type {raw[0]}")
    outer = RlpReader(raw, offset=1 if kind else 0, max_items=_MAX_ITEMS)
    reader = outer.list("transaction")
    outer.finish("transaction")
    start = reader.position

    if kind and reader.uint("chain id", 64) != chain_id:
        raise Invalid("for another chain")
    nonce = reader.uint("nonce", 64)
    if nonce > MAX_NONCE:
        raise Invalid("nonce: no successor below 2**64")
    max_priority = reader.uint("max priority fee" if kind == 2 else "gas price", 256)
    max_fee = reader.uint("max fee", 256) if kind == 2 else max_priority
    gas_limit = reader.uint("gas limit", 64)
    if gas_limit > MAX_GAS_LIMIT:
        raise Invalid(f"gas limit is above {MAX_GAS_LIMIT}")
    to = _recipient(reader)
    value = reader.uint("value", 256)
    data = reader.string("calldata", MAX_CALLDATA_BYTES)
    zero_bytes = data.count(0)
    access_addresses, access_keys = _access_list(reader.list("access list")) if kind else (0, 0)

    signed = raw[start : reader.position]
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
        sender=recover_sender(keccak(prefix + list_header(len(signed)) + signed), r, s, parity),
        to=to,
        nonce=nonce,
        gas_limit=gas_limit,
        value=value,
        max_fee=max_fee,
        max_priority=max_priority,
        zero_bytes=zero_bytes,
        nonzero_bytes=len(data) - zero_bytes,
        access_addresses=access_addresses,
        access_keys=access_keys,
    )


def check_inclusion(header: Header, transactions: Sequence[Transaction], gas_used: Sequence[int]) -> None:
    """Check that each transaction's gas limit fits in what the block has left, and that the block's gas is their sum.

    Args:
        header: of the block.
        transactions: of the block, in order.
        gas_used: by each of them, gas.

    Raises:
        Invalid: with the first transaction that does not fit, or if the header's gas used is another one.
    """
    cumulative = 0
    for number, (transaction, used) in enumerate(zip(transactions, gas_used, strict=True)):
        if cumulative + transaction.gas_limit > header.gas_limit:
            raise Invalid(f"block {header.number}, transaction {number}: gas limit above what the block has left")
        cumulative += used
    if cumulative != header.gas_used:
        raise Invalid(f"block {header.number}: gas used is {header.gas_used}, its transactions use {cumulative}")
