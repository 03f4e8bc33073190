"""Decoding of signed transactions."""

from dataclasses import replace

import pytest
import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import BatchError
from executor.signing import sign_transaction
from executor.transactions import SECP256K1_ORDER, Transaction, decode_transaction

KEY = b"\x46" * 32
SENDER = bytes.fromhex("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f")
TO = bytes.fromhex("35" * 20)
ACCESS_LIST = [
    {"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "01" * 32, "0x" + "00" * 32]},
    {"address": "0x" + "bb" * 20, "storageKeys": []},
]

# The example of EIP-155.
EIP155 = bytes.fromhex(
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe"
    "537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
)


def signed(**fields: object) -> bytes:
    request = {"chainId": 5, "nonce": 7, "gas": 60_000, "to": TO, "value": 9, "data": b"\0\1\0\2\3"} | fields
    return bytes(Account.from_key(KEY).sign_transaction(request).raw_transaction)


LEGACY = signed(gasPrice=11)
ACCESS = signed(type=1, gasPrice=11, accessList=ACCESS_LIST)
DYNAMIC = signed(type=2, maxFeePerGas=13, maxPriorityFeePerGas=3, accessList=ACCESS_LIST)


def resigned(raw: bytes, position: int, item: object) -> bytes:
    """``raw`` with one field of its RLP list replaced; the signature stays what it was."""
    prefix, payload = (raw[:1], raw[1:]) if raw[0] < 0x80 else (b"", raw)
    items = rlp.decode(payload)
    items[position] = item
    return prefix + rlp.encode(items)


def nested(depth: int) -> bytes:
    """RLP of lists in lists."""
    prefixes = []
    length = 0
    for _ in range(depth):
        prefixes.append(rlp.codec.length_prefix(length, 0xC0))
        length += len(prefixes[-1])
    return b"".join(reversed(prefixes))


SET_CODE = sign_transaction(
    {
        "secretKey": "0x" + KEY.hex(),
        "type": 4,
        "nonce": 7,
        "gas": 60_000,
        "to": "0x" + TO.hex(),
        "data": "0x0001",
        "maxFeePerGas": 13,
        "maxPriorityFeePerGas": 3,
        "authorizationList": [
            {"secretKey": "0x" + KEY.hex(), "address": "0x" + "77" * 20, "nonce": 8},
            {"secretKey": "0x" + "22" * 32, "address": "0x" + "00" * 20, "nonce": 2**64 - 1, "chainId": 0},
        ],
    },
    5,
)
AUTHORIZATIONS = 9  # position of the list


def test_set_code_transactions() -> None:
    transaction = decode_transaction(SET_CODE)
    assert (transaction.type, transaction.sender, transaction.to) == (4, SENDER, TO)
    first, second = transaction.authorization_list
    assert (first.chain_id, first.address, first.nonce, first.authority) == (5, b"\x77" * 20, 8, SENDER)
    assert (second.chain_id, second.address, second.nonce) == (0, bytes(20), 2**64 - 1)
    assert second.authority == bytes.fromhex(Account.from_key(b"\x22" * 32).address[2:])
    assert transaction.intrinsic_gas == 21_000 + 4 + 16 + 2 * 25_000
    # Nobody has signed what is none of a signature; the transaction is valid all the same.
    for changed in (replace(first, y_parity=2), replace(first, r=0), replace(first, s=SECP256K1_ORDER - first.s)):
        assert changed.authority is None
    assert replace(first, nonce=9).authority not in (None, SENDER)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"", "authorizationList: not a list"),
        ([], "authorizationList: a set code transaction without authorizations"),
        ([[b""] * 5], "authorizationList: an authorization does not have 6 fields"),
        ([[b"", bytes(19), b"", b"", b"\1", b"\1"]], "authorizationList: an address does not have 20 bytes"),
        ([[b"", bytes(20), b"\1" * 9, b"", b"\1", b"\1"]], "authorizationList: number of more than 64 bits"),
        ([[b"", bytes(20), b"", b"\1" * 2, b"\1", b"\1"]], "authorizationList: number of more than 8 bits"),
        ([[b"", bytes(20), b"", b"", b"\1" * 33, b"\1"]], "authorizationList: number of more than 256 bits"),
        ([[b"\0", bytes(20), b"", b"", b"\1", b"\1"]], "authorizationList: number with leading zeros"),
    ],
)
def test_malformed_authorizations_are_refused(item: object, message: str) -> None:
    with pytest.raises(BatchError) as caught:
        decode_transaction(resigned(SET_CODE, AUTHORIZATIONS, item))
    assert str(caught.value).startswith(message)


def test_a_set_code_transaction_creates_no_contract() -> None:
    with pytest.raises(BatchError, match=r"^to: a set code transaction cannot create a contract"):
        decode_transaction(resigned(SET_CODE, 5, b""))


def test_the_example_of_eip155() -> None:
    transaction = decode_transaction(EIP155)
    assert transaction == Transaction(
        raw=EIP155,
        type=0,
        chain_id=1,
        nonce=9,
        max_priority_fee=20 * 10**9,
        max_fee=20 * 10**9,
        gas_limit=21_000,
        to=TO,
        value=10**18,
        data=b"",
        access_list=(),
        sender=SENDER,
    )


@pytest.mark.parametrize(("raw", "kind"), [(LEGACY, 0), (ACCESS, 1), (DYNAMIC, 2)])
def test_all_types_are_decoded(raw: bytes, kind: int) -> None:
    transaction = decode_transaction(raw)
    assert (transaction.type, transaction.chain_id, transaction.nonce) == (kind, 5, 7)
    assert (transaction.gas_limit, transaction.to, transaction.value) == (60_000, TO, 9)
    assert (transaction.max_fee, transaction.max_priority_fee) == ((13, 3) if kind == 2 else (11, 11))
    assert transaction.sender == SENDER
    assert (transaction.zero_bytes, transaction.nonzero_bytes) == (2, 3)
    assert (transaction.access_addresses, transaction.access_keys) == ((2, 2) if kind else (0, 0))
    assert transaction.intrinsic_gas == 21_000 + 2 * 4 + 3 * 16 + (2 * 2_400 + 2 * 1_900 if kind else 0)


def test_a_transaction_from_before_eip155_has_no_chain_id() -> None:
    request = {"nonce": 0, "gasPrice": 1, "gas": 21_000, "to": TO, "value": 0, "data": b""}
    transaction = decode_transaction(bytes(Account.from_key(KEY).sign_transaction(request).raw_transaction))
    assert transaction.chain_id is None
    assert transaction.sender == SENDER


def test_a_contract_creation_has_no_recipient() -> None:
    transaction = decode_transaction(signed(gasPrice=11, to=b""))
    assert transaction.to is None
    with pytest.raises(ValueError, match="no recipient"):
        _ = transaction.recipient


def test_blob_transactions() -> None:
    hashes = ["0x01" + "ab" * 31, "0x02" + "cd" * 31]
    fields = {"type": 3, "maxFeePerGas": 9, "maxPriorityFeePerGas": 2, "maxFeePerBlobGas": 77}
    raw = signed(**fields, blobVersionedHashes=hashes)
    transaction = decode_transaction(raw)
    assert (transaction.type, transaction.sender, transaction.max_fee_per_blob_gas) == (3, SENDER, 77)
    assert transaction.blob_versioned_hashes == tuple(bytes.fromhex(item[2:]) for item in hashes)
    assert (transaction.max_fee, transaction.max_priority_fee) == (9, 2)
    for position, item, message in (
        (5, b"", "to: a blob transaction cannot create a contract"),
        (9, [], "maxFeePerBlobGas: a list where a number is expected"),
        (10, b"", "blobVersionedHashes: not a list"),
        (10, [b"\1" * 31], "blobVersionedHashes: a versioned hash does not have 32 bytes"),
    ):
        with pytest.raises(BatchError, match=message):
            decode_transaction(resigned(raw, position, item))


def test_creations_cost_more() -> None:
    transaction = decode_transaction(signed(gasPrice=11, to=b"", data="0x" + "01" * 33))
    assert transaction.intrinsic_gas == 53_000 + 33 * 16 + 2 * 2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "raw: empty transaction"),
        (b"\x05" + DYNAMIC[1:], "type: unknown transaction type 0x05"),
        (b"\x04" + DYNAMIC[1:], "raw: a transaction of type 4 has 13 fields, not 12"),
        (b"\x00" + LEGACY, "type: unknown transaction type 0x00"),
        (b"\x80", "type: unknown transaction type 0x80"),
        (LEGACY + b"\0", "raw: not RLP"),
        (LEGACY[:-1], "raw: not RLP"),
        (b"\x02\x80", "raw: not a canonical RLP list"),
        (nested(20_000), "raw: lists nested more than 4 deep"),
        (b"\xc0", "raw: a legacy transaction has 9 fields, not 0"),
        (b"\x01" + DYNAMIC[1:], "raw: a transaction of type 1 has 11 fields, not 12"),
        (resigned(LEGACY, 0, b"\0\x07"), "nonce: number with leading zeros"),
        (resigned(LEGACY, 0, b"\1" * 9), "nonce: number of more than 64 bits"),
        (resigned(LEGACY, 1, []), "gasPrice: a list where a number is expected"),
        (resigned(LEGACY, 3, b"\1" * 19), "to: neither an address nor empty"),
        (resigned(LEGACY, 4, b"\1" * 33), "value: number of more than 256 bits"),
        (resigned(LEGACY, 5, [b""]), "data: a list where bytes are expected"),
        (resigned(LEGACY, 6, b"\x1d"), "v: signature with v = 29"),
        (resigned(LEGACY, 7, b""), "r: signature with r out of range"),
        (resigned(LEGACY, 7, SECP256K1_ORDER.to_bytes(32, "big")), "r: signature with r out of range"),
        (resigned(LEGACY, 8, b""), "s: signature with s out of range"),
        (resigned(LEGACY, 8, (SECP256K1_ORDER // 2 + 1).to_bytes(32, "big")), "s: signature with s out of range"),
        (resigned(LEGACY, 7, b"\5"), "signature: no public key has this signature"),
        (resigned(DYNAMIC, 8, b""), "accessList: not a list"),
        (resigned(DYNAMIC, 8, [[b"\1" * 20]]), "accessList: an entry is not an address with a list"),
        (resigned(DYNAMIC, 8, [[b"\1" * 19, []]]), "accessList: an address does not have 20 bytes"),
        (resigned(DYNAMIC, 8, [[b"\1" * 20, [b"\1"]]]), "accessList: a storage key does not have 32 bytes"),
        (resigned(DYNAMIC, 9, b"\2"), "yParity: 2 is neither 0 nor 1"),
    ],
)
def test_malformed_transactions_are_refused_with_their_place(raw: bytes, message: str) -> None:
    with pytest.raises(BatchError) as caught:
        decode_transaction(raw, block=1, transaction=2)
    assert str(caught.value).startswith(f"block 1, transaction 2, {message}")


def test_a_changed_field_changes_the_sender() -> None:
    changed = decode_transaction(resigned(LEGACY, 4, b"\x0a"))
    assert changed.value == 10
    assert changed.sender != SENDER


@given(position=st.integers(0, len(DYNAMIC) - 1), value=st.integers(0, 255))
def test_no_changed_byte_gives_an_untyped_error_or_the_same_sender(position: int, value: int) -> None:
    raw = DYNAMIC[:position] + bytes([value]) + DYNAMIC[position + 1 :]
    try:
        transaction = decode_transaction(raw)
    except BatchError:
        return
    assert raw == DYNAMIC or transaction.sender != SENDER


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BatchError):
        decode_transaction(raw)
