"""Signed transactions of types 0 (legacy), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844) and 4 (EIP-7702): strict decoding,
and recovery of senders and authorities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rlp
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from executor.errors import BatchError
from executor.forks import ACCESS_LIST_TYPE, BLOB_TYPE, DYNAMIC_FEE_TYPE, LEGACY_TYPE, SET_CODE_TYPE
from executor.rlp_lists import decode_list

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MAX_NONCE = 2**64 - 2  # EIP-2681: the nonce after the transaction must fit in 64 bits

# Yellow paper appendix G, EIP-2028 (calldata), EIP-2930 (access lists), EIP-3860 (initcode), EIP-7702 (authorizations).
GAS_TRANSACTION = 21_000
GAS_CREATE = 32_000
GAS_INITCODE_WORD = 2
GAS_ZERO_BYTE = 4
GAS_NONZERO_BYTE = 16
GAS_ACCESS_LIST_ADDRESS = 2_400
GAS_ACCESS_LIST_KEY = 1_900
GAS_AUTHORIZATION = 25_000

AUTHORIZATION_MAGIC = b"\x05"  # EIP-7702
DELEGATION_PREFIX = b"\xef\x01\x00"  # EIP-7702: a code of this and an address delegates to the code there

MAX_NESTING = 4  # the transaction, its access list, an entry of it, the entry's storage keys

AccessList = tuple[tuple[bytes, tuple[bytes, ...]], ...]


@dataclass(frozen=True)
class Authorization:
    """What an account says about the code that it wants to have (EIP-7702)."""

    chain_id: int  # 0: any chain
    address: bytes  # of the code; 0: none
    nonce: int
    y_parity: int
    r: int
    s: int

    @property
    def authority(self) -> bytes | None:
        """The account that has signed it; None where nobody has."""
        content = AUTHORIZATION_MAGIC + rlp.encode([self.chain_id, self.address, self.nonce])
        try:
            return _recover_signer(keccak(content), self.y_parity, self.r, self.s)
        except _Malformed:
            return None


def floor_gas(data: bytes, gas_per_token: int) -> int:
    """The least gas that a transaction with this calldata uses (EIP-7623); 0 where a token costs nothing."""
    tokens = 4 * len(data) - 3 * data.count(0)
    return GAS_TRANSACTION + gas_per_token * tokens if gas_per_token else 0


def delegates(code: bytes) -> bool:
    """Whether a code stands for that of another account (EIP-7702)."""
    return len(code) == len(DELEGATION_PREFIX) + 20 and code.startswith(DELEGATION_PREFIX)


@dataclass(frozen=True)
class Transaction:
    """A decoded transaction with a recovered sender. Amounts in wei, gas in units of gas."""

    raw: bytes  # as in the block's body: RLP for a legacy transaction, type byte and RLP for the others (EIP-2718)
    type: int
    chain_id: int | None  # None: a legacy transaction without replay protection (before EIP-155)
    nonce: int
    max_priority_fee: int  # legacy and EIP-2930: the gas price
    max_fee: int  # legacy and EIP-2930: the gas price
    gas_limit: int
    to: bytes | None  # None: contract creation
    value: int
    data: bytes
    access_list: AccessList
    sender: bytes
    max_fee_per_blob_gas: int = 0  # wei; 0 for a transaction without blobs
    blob_versioned_hashes: tuple[bytes, ...] = ()
    authorization_list: tuple[Authorization, ...] = ()

    @property
    def recipient(self) -> bytes:
        """Recipient of a message call (20 bytes); ``ValueError`` for a contract creation."""
        if self.to is None:
            raise ValueError("a contract creation has no recipient")
        return self.to

    @property
    def zero_bytes(self) -> int:
        """Zero bytes of the calldata."""
        return self.data.count(0)

    @property
    def nonzero_bytes(self) -> int:
        """Bytes of the calldata other than zero."""
        return len(self.data) - self.zero_bytes

    @property
    def access_addresses(self) -> int:
        """Addresses in the access list; repetitions count (EIP-2930)."""
        return len(self.access_list)

    @property
    def access_keys(self) -> int:
        """Storage keys in the access list; repetitions count (EIP-2930)."""
        return sum(len(slots) for _, slots in self.access_list)

    @property
    def intrinsic_gas(self) -> int:
        """Gas before any code runs: all the gas a value transfer uses."""
        creation = GAS_CREATE + GAS_INITCODE_WORD * -(-len(self.data) // 32) if self.to is None else 0
        return (
            GAS_TRANSACTION
            + creation
            + GAS_ZERO_BYTE * self.zero_bytes
            + GAS_NONZERO_BYTE * self.nonzero_bytes
            + GAS_ACCESS_LIST_ADDRESS * self.access_addresses
            + GAS_ACCESS_LIST_KEY * self.access_keys
            + GAS_AUTHORIZATION * len(self.authorization_list)
        )


class _Malformed(Exception):  # noqa: N818
    """A field of a transaction is malformed; :func:`decode_transaction` adds the place."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


def decode_transaction(raw: bytes, *, block: int | None = None, transaction: int | None = None) -> Transaction:
    """Decode a signed transaction and recover its sender.

    ``block`` and ``transaction`` (indices in the batch) only appear in errors. Only canonical encodings are accepted,
    and only signatures with ``s`` in the lower half (EIP-2). The chain id is *not* compared with the batch's.

    Raises:
        BatchError: not a transaction of types 0 to 4, or a signature nobody can have made.
    """
    try:
        return _decode(raw)
    except _Malformed as error:
        raise BatchError(error.reason, block=block, transaction=transaction, field=error.field) from None


def access_list_of(raw: bytes) -> AccessList:
    """The access list of a transaction that :func:`decode_transaction` accepts, without recovering the sender."""
    if raw[0] not in _TYPED_FIELDS:
        return ()
    # Legacy fees are one field, those of EIP-1559 two; to, value and data stand between the gas limit and the list.
    place = 7 if raw[0] == ACCESS_LIST_TYPE else 8
    return _access_list(decode_list(raw[1:], MAX_NESTING)[place])


def authorizations_of(raw: bytes, chain_id: int) -> tuple[tuple[bytes | None, Authorization], ...]:
    """The authorizations of a transaction that :func:`decode_transaction` accepts, each with its authority.

    The authority is None where the entry is void whatever the state is (EIP-7702): it is signed for another chain, its
    nonce cannot be counted further, or nobody has signed it.
    """
    if raw[0] != SET_CODE_TYPE:
        return ()
    # Chain id, nonce, two fees, gas limit, recipient, value, data and access list stand before it.
    entries = _authorization_list(decode_list(raw[1:], MAX_NESTING)[9])
    return tuple((_authority(entry, chain_id), entry) for entry in entries)


def _authority(entry: Authorization, chain_id: int) -> bytes | None:
    void = entry.chain_id not in (0, chain_id) or entry.nonce > MAX_NONCE
    return None if void else entry.authority


def _decode(raw: bytes) -> Transaction:
    if not raw:
        raise _Malformed("raw", "empty transaction")
    kind = raw[0] if raw[0] < 0x80 else LEGACY_TYPE
    if raw[0] < 0xC0 and kind not in _TYPED_FIELDS:
        raise _Malformed("type", f"unknown transaction type {raw[0]:#04x}")
    payload = raw if kind == LEGACY_TYPE else raw[1:]
    try:
        items = decode_list(payload, MAX_NESTING)
    except ValueError as error:
        raise _Malformed("raw", str(error)) from None
    return _decode_legacy(raw, items) if kind == LEGACY_TYPE else _decode_typed(raw, kind, items)


def _decode_legacy(raw: bytes, items: list[Any]) -> Transaction:
    if len(items) != 9:
        raise _Malformed("raw", f"a legacy transaction has 9 fields, not {len(items)}")
    nonce, price, gas_limit, to, value, data, v_item, r_item, s_item = items
    v = _integer("v", v_item)
    chain_id: int | None
    if v in (27, 28):
        chain_id, y_parity, signed = None, v - 27, items[:6]
    elif v >= 35:  # EIP-155
        chain_id, y_parity = divmod(v - 35, 2)
        signed = [*items[:6], rlp.sedes.big_endian_int.serialize(chain_id), b"", b""]
    else:
        raise _Malformed("v", f"signature with v = {v}")
    gas_price = _integer("gasPrice", price)
    return Transaction(
        raw=raw,
        type=LEGACY_TYPE,
        chain_id=chain_id,
        nonce=_integer("nonce", nonce, 8),
        max_priority_fee=gas_price,
        max_fee=gas_price,
        gas_limit=_integer("gas", gas_limit, 8),
        to=_recipient(to),
        value=_integer("value", value),
        data=_data(data),
        access_list=(),
        sender=_recover(keccak(rlp.encode(signed)), y_parity, r_item, s_item),
    )


_TYPED_FIELDS = {ACCESS_LIST_TYPE: 11, DYNAMIC_FEE_TYPE: 12, BLOB_TYPE: 14, SET_CODE_TYPE: 13}


def _decode_typed(raw: bytes, kind: int, items: list[Any]) -> Transaction:
    expected = _TYPED_FIELDS[kind]
    if len(items) != expected:
        raise _Malformed("raw", f"a transaction of type {kind} has {expected} fields, not {len(items)}")
    chain_id = _integer("chainId", items[0])
    nonce = _integer("nonce", items[1], 8)
    if kind == ACCESS_LIST_TYPE:
        priority = max_fee = _integer("gasPrice", items[2])
        body = items[3:]
    else:
        priority = _integer("maxPriorityFeePerGas", items[2])
        max_fee = _integer("maxFeePerGas", items[3])
        body = items[4:]
    gas_limit, to, value, data, access_list, *own_items, y_parity, r_item, s_item = body
    max_fee_per_blob_gas = 0
    blob_hashes: tuple[bytes, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    if kind == BLOB_TYPE:
        if len(_data(to)) != 20:
            raise _Malformed("to", "a blob transaction cannot create a contract (EIP-4844)")
        max_fee_per_blob_gas = _integer("maxFeePerBlobGas", own_items[0])
        blob_hashes = _blob_hashes(own_items[1])
    if kind == SET_CODE_TYPE:
        if len(_data(to)) != 20:
            raise _Malformed("to", "a set code transaction cannot create a contract (EIP-7702)")
        authorizations = _authorization_list(own_items[0])
    parity = _integer("yParity", y_parity)
    if parity > 1:
        raise _Malformed("yParity", f"{parity} is neither 0 nor 1")
    return Transaction(
        raw=raw,
        type=kind,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee=priority,
        max_fee=max_fee,
        gas_limit=_integer("gas", gas_limit, 8),
        to=_recipient(to),
        value=_integer("value", value),
        data=_data(data),
        access_list=_access_list(access_list),
        sender=_recover(keccak(bytes([kind]) + rlp.encode(items[:-3])), parity, r_item, s_item),
        max_fee_per_blob_gas=max_fee_per_blob_gas,
        blob_versioned_hashes=blob_hashes,
        authorization_list=authorizations,
    )


def _blob_hashes(item: Any) -> tuple[bytes, ...]:
    if not isinstance(item, list):
        raise _Malformed("blobVersionedHashes", "not a list")
    if any(not isinstance(blob_hash, bytes) or len(blob_hash) != 32 for blob_hash in item):
        raise _Malformed("blobVersionedHashes", "a versioned hash does not have 32 bytes")
    return tuple(item)


def _authorization_list(item: Any) -> tuple[Authorization, ...]:
    if not isinstance(item, list):
        raise _Malformed("authorizationList", "not a list")
    if not item:
        raise _Malformed("authorizationList", "a set code transaction without authorizations (EIP-7702)")
    return tuple(_authorization(entry) for entry in item)


def _authorization(entry: Any) -> Authorization:
    if not isinstance(entry, list) or len(entry) != 6:
        raise _Malformed("authorizationList", "an authorization does not have 6 fields")
    chain_id, address, nonce, y_parity, r, s = entry
    if not isinstance(address, bytes) or len(address) != 20:
        raise _Malformed("authorizationList", "an address does not have 20 bytes")
    return Authorization(
        chain_id=_integer("authorizationList", chain_id),
        address=address,
        nonce=_integer("authorizationList", nonce, 8),
        y_parity=_integer("authorizationList", y_parity, 1),
        r=_integer("authorizationList", r),
        s=_integer("authorizationList", s),
    )


def _integer(field: str, item: Any, size: int = 32) -> int:
    """Big-endian integer of at most ``size`` bytes without leading zeros (canonical RLP scalar)."""
    if not isinstance(item, bytes):
        raise _Malformed(field, "a list where a number is expected")
    if len(item) > size:
        raise _Malformed(field, f"number of more than {8 * size} bits")
    if item[:1] == b"\0":
        raise _Malformed(field, "number with leading zeros")
    return int.from_bytes(item, "big")


def _data(item: Any) -> bytes:
    if not isinstance(item, bytes):
        raise _Malformed("data", "a list where bytes are expected")
    return item


def _recipient(item: Any) -> bytes | None:
    if not isinstance(item, bytes) or len(item) not in (0, 20):
        raise _Malformed("to", "neither an address nor empty")
    return item or None


def _access_list(item: Any) -> AccessList:
    if not isinstance(item, list):
        raise _Malformed("accessList", "not a list")
    return tuple(_access_list_entry(entry) for entry in item)


def _access_list_entry(entry: Any) -> tuple[bytes, tuple[bytes, ...]]:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], list):
        raise _Malformed("accessList", "an entry is not an address with a list of storage keys")
    address, slots = entry
    if not isinstance(address, bytes) or len(address) != 20:
        raise _Malformed("accessList", "an address does not have 20 bytes")
    if any(not isinstance(slot, bytes) or len(slot) != 32 for slot in slots):
        raise _Malformed("accessList", "a storage key does not have 32 bytes")
    return address, tuple(slots)


def _recover(message_hash: bytes, y_parity: int, r_item: Any, s_item: Any) -> bytes:
    return _recover_signer(message_hash, y_parity, _integer("r", r_item), _integer("s", s_item))


def _recover_signer(message_hash: bytes, y_parity: int, r: int, s: int) -> bytes:
    """Address of the account that has signed; a `y_parity` beyond 1 is one that nobody has."""
    if not 0 < r < SECP256K1_ORDER:
        raise _Malformed("r", "signature with r out of range")
    if not 0 < s <= SECP256K1_ORDER // 2:
        raise _Malformed("s", "signature with s out of range (EIP-2)")
    try:
        public_key = Signature(vrs=(y_parity, r, s)).recover_public_key_from_msg_hash(message_hash)
    except (BadSignature, ValidationError):
        raise _Malformed("signature", "no public key has this signature") from None
    return bytes(public_key.to_canonical_address())
