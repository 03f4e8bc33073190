"""Decoding of signed transactions, recovery of senders, and inclusion in a block."""

from dataclasses import replace
from typing import Any

import pytest
import rlp
from eth.vm.forks.cancun.transactions import CancunTransactionBuilder
from eth_account import Account as Signer
from eth_hash.auto import keccak
from eth_keys import keys
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.transactions import Authorization as ExecutorsAuthorization
from scripts.batches.chain import BLOB_HASH, CHAIN_ID, GAS_LIMIT, NEWCOMER, SECRETS, SENDERS, Transfer, genesis_header
from verifier.errors import Invalid
from verifier.forks import BPO1, BPO3, CANCUN, FORKS, OSAKA, PRAGUE, Fork
from verifier.rlp_bounded import RlpError, list_header
from verifier.transactions import (
    AUTHORIZATION_MAGIC,
    MAX_ACCESS_ENTRIES,
    MAX_AUTHORIZATIONS,
    MAX_CALLDATA_BYTES,
    SECP256K1_ORDER,
    Authorization,
    Transaction,
    check_inclusion,
    decode_transaction,
    recover_sender,
)

DATA = b"\0\0\1\2\3"
#: A byte more than a transaction that creates a contract may bring (EIP-3860).
LONG_INITCODE = bytes(2 * 24_576 + 1)
ACCESS_LIST = ((NEWCOMER, (bytes(32), b"\1" * 32)), (NEWCOMER, ()), (SENDERS[0], (bytes(32),)))


def fields_of(raw: bytes) -> list[Any]:
    return rlp.decode(raw if raw[0] >= 0xC0 else raw[1:])


def packed(kind: int, items: list[Any]) -> bytes:
    return (bytes([kind]) if kind else b"") + rlp.encode(items)


def signed(kind: int, items: list[Any], chain_id: int | None = CHAIN_ID) -> bytes:
    """A transaction with any unsigned fields, signed by the first sender whatever they are."""
    appendix = [] if kind or chain_id is None else [chain_id, b"", b""]
    digest = keccak((bytes([kind]) if kind else b"") + rlp.encode([*items, *appendix]))
    signature = keys.PrivateKey(SECRETS[0]).sign_msg_hash(digest)
    v = signature.v
    if not kind:
        v += 27 if chain_id is None else 35 + 2 * chain_id
    return packed(kind, [*items, v, signature.r, signature.s])


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_decodes_every_type(kind: int) -> None:
    access_list = ACCESS_LIST if kind else ()
    blobs = (BLOB_HASH, b"\x01" + bytes(31)) if kind == 3 else ()
    transfer = Transfer(
        1, NEWCOMER, value=5, kind=kind, data=DATA, tip=7, access_list=access_list, blob_hashes=blobs, max_blob_fee=11
    )
    raw = transfer.sign(nonce=300)
    transaction = decode_transaction(raw, CHAIN_ID, CANCUN)
    assert transaction.type == kind
    assert transaction.sender == SENDERS[1]
    assert transaction.to == NEWCOMER
    assert (transaction.nonce, transaction.gas_limit, transaction.value) == (300, 100_000, 5)
    assert (transaction.max_fee, transaction.max_priority) == (3 * 10**9, 7 if kind in (2, 3) else 3 * 10**9)
    assert transaction.data == DATA
    slots = ((NEWCOMER, None), (NEWCOMER, bytes(32)), (NEWCOMER, b"\1" * 32), (NEWCOMER, None))
    assert transaction.access_list == ((*slots, (SENDERS[0], None), (SENDERS[0], bytes(32))) if kind else ())
    assert (transaction.max_blob_fee, transaction.blob_hashes) == ((11, blobs) if kind == 3 else (0, ()))


def test_agrees_with_py_evm_on_blob_transactions() -> None:
    raw = Transfer(1, NEWCOMER, kind=3, tip=7, max_fee=9, max_blob_fee=11, blob_hashes=(BLOB_HASH,)).sign(nonce=3)
    theirs = CancunTransactionBuilder.decode(raw)
    ours = decode_transaction(raw, CHAIN_ID, CANCUN)
    assert (theirs.sender, theirs.to, theirs.nonce) == (ours.sender, ours.to, ours.nonce)
    assert (theirs.max_fee_per_gas, theirs.max_priority_fee_per_gas) == (ours.max_fee, ours.max_priority) == (9, 7)
    assert (theirs.max_fee_per_blob_gas, tuple(theirs.blob_versioned_hashes)) == (11, ours.blob_hashes)


@pytest.mark.parametrize("kind", [2, 3])
def test_the_max_fee_covers_the_max_priority_fee(kind: int) -> None:
    blobs = (BLOB_HASH,) if kind == 3 else ()

    def decode(tip: int) -> Transaction:
        transfer = Transfer(1, NEWCOMER, kind=kind, tip=tip, max_fee=9, max_blob_fee=11, blob_hashes=blobs)
        return decode_transaction(transfer.sign(nonce=3), CHAIN_ID, CANCUN)

    assert decode(9).max_priority == 9
    with pytest.raises(Invalid, match="max fee: below the max priority fee"):
        decode(10)


@pytest.mark.parametrize("chain_id", [1, 0x7F, 0x80, 1337, 2**64 - 1])
def test_legacy_signatures_of_every_chain(chain_id: int) -> None:
    items: list[Any] = [0, 1, 21000, NEWCOMER, 0, b""]
    assert decode_transaction(signed(0, items, chain_id), chain_id, CANCUN).sender == SENDERS[0]
    with pytest.raises(Invalid, match="is not for chain"):
        decode_transaction(signed(0, items, chain_id), chain_id - 1, CANCUN)
    assert decode_transaction(signed(0, items, None), chain_id, CANCUN).sender == SENDERS[0]
    assert decode_transaction(signed(0, items, chain_id), chain_id, CANCUN).protected
    assert not decode_transaction(signed(0, items, None), chain_id, CANCUN).protected


@settings(max_examples=40)
@given(
    secret=st.integers(min_value=1, max_value=SECP256K1_ORDER - 1),
    nonce=st.integers(min_value=0, max_value=2**64 - 2),
    value=st.integers(min_value=0, max_value=2**256 - 1),
    fee=st.integers(min_value=0, max_value=2**256 - 1),
    data=st.binary(max_size=300),
)
def test_agrees_with_eth_account(secret: int, nonce: int, value: int, fee: int, data: bytes) -> None:
    signer = Signer.from_key(secret.to_bytes(32, "big"))
    document = {
        "type": 2,
        "chainId": CHAIN_ID,
        "to": NEWCOMER,
        "nonce": nonce,
        "value": value,
        "data": data,
        "gas": 2**64 - 1,
        "maxFeePerGas": fee,
        "maxPriorityFeePerGas": fee // 2,
    }
    transaction = decode_transaction(bytes(signer.sign_transaction(document).raw_transaction), CHAIN_ID, CANCUN)
    assert transaction.sender.hex() == signer.address[2:].lower()
    assert (transaction.nonce, transaction.value, transaction.max_fee) == (nonce, value, fee)
    assert transaction.data == data


TYPE_3: list[Any] = [CHAIN_ID, 0, 1, 2, 21000, NEWCOMER, 0, b"", [], 3, [BLOB_HASH]]
TYPE_2: list[Any] = [CHAIN_ID, 0, 1, 2, 21000, NEWCOMER, 0, b"", []]
TYPE_1: list[Any] = [CHAIN_ID, 0, 1, 21000, NEWCOMER, 0, b"", []]
TYPE_0: list[Any] = [0, 1, 21000, NEWCOMER, 0, b""]


def changed(items: list[Any], index: int, value: Any) -> list[Any]:
    return [*items[:index], value, *items[index + 1 :]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\x04" + rlp.encode(TYPE_2), "transaction type 4, which cancun does not have"),
        (b"\x03" + rlp.encode(TYPE_2), "max fee per blob gas: missing"),
        (signed(3, changed(TYPE_3, 0, CHAIN_ID + 1)), "another chain"),
        (signed(3, changed(TYPE_3, 5, b"")), "a transaction of type 3 that creates a contract"),
        (signed(3, changed(TYPE_3, 9, 2**256)), "max fee per blob gas"),
        (signed(3, changed(TYPE_3, 10, [])), "0 blobs, 1 to 6"),
        (signed(3, changed(TYPE_3, 10, [BLOB_HASH] * 7)), "7 blobs, 1 to 6"),
        (signed(3, changed(TYPE_3, 10, [BLOB_HASH[1:]])), "blob hash: 31 bytes"),
        (signed(3, changed(TYPE_3, 10, [b"\0" + BLOB_HASH[1:]])), "blob hash of version 0"),
        (signed(3, changed(TYPE_3, 10, [BLOB_HASH, b"\2" + BLOB_HASH[1:]])), "blob hash of version 2"),
        (signed(3, changed(TYPE_3, 10, b"")), "blob hashes: a string"),
        (signed(3, [*TYPE_3, b""]), "bytes too many"),
        (b"\x00" + rlp.encode(TYPE_0), "transaction type 0"),
        (b"\x80", "transaction type 128"),
        (signed(2, changed(TYPE_2, 0, CHAIN_ID + 1)), "another chain"),
        (signed(1, changed(TYPE_1, 0, CHAIN_ID + 1)), "another chain"),
        (signed(2, changed(changed(TYPE_2, 5, b""), 7, LONG_INITCODE)), "initcode of 49153 bytes, at most 49152"),
        (signed(0, changed(changed(TYPE_0, 3, b""), 5, LONG_INITCODE)), "initcode of 49153 bytes, at most 49152"),
        (signed(2, changed(TYPE_2, 5, bytes(19))), "not 20 bytes"),
        (signed(2, changed(TYPE_2, 4, 2**64)), "gas limit"),
        (signed(2, changed(TYPE_2, 1, 2**64 - 1)), "nonce"),
        (signed(2, changed(TYPE_2, 1, 2**64)), "nonce"),
        (signed(2, changed(TYPE_2, 6, 2**256)), "value"),
        (signed(2, changed(TYPE_2, 6, b"\0\1")), "leading zero"),
        (signed(2, changed(TYPE_2, 7, bytes(MAX_CALLDATA_BYTES + 1))), "calldata"),
        (signed(2, changed(TYPE_2, 8, b"")), "access list"),
        (signed(2, changed(TYPE_2, 8, [[bytes(19), []]])), "access list address"),
        (signed(2, changed(TYPE_2, 8, [[bytes(20), [bytes(31)]]])), "access list key"),
        (signed(2, changed(TYPE_2, 8, [[bytes(20)]])), "access list keys"),
        (signed(2, changed(TYPE_2, 8, [[bytes(20), [], b""]])), "access list entry"),
        (signed(2, TYPE_2) + b"\0", "bytes too many"),
        (signed(2, [*TYPE_2, b""]), "bytes too many"),
        (packed(2, [*TYPE_2, 0, 1]), "signature: s: missing"),
        (packed(2, [*TYPE_2, 2, 1, 1]), "y parity"),
        (packed(2, [*TYPE_2, 0, 0, 1]), "r out of range"),
        (packed(2, [*TYPE_2, 0, SECP256K1_ORDER, 1]), "r out of range"),
        (packed(2, [*TYPE_2, 0, 1, 0]), "s out of range"),
        (packed(2, [*TYPE_2, 0, 1, SECP256K1_ORDER // 2 + 1]), "upper half"),
        (packed(2, [*TYPE_2, 0, 5, 1]), "no key fits"),
        (packed(0, [*TYPE_0, 26, 1, 1]), "v = 26"),
        (packed(0, [*TYPE_0, 2**80, 1, 1]), "signature: v"),
    ],
)
def test_refuses(raw: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        decode_transaction(raw, CHAIN_ID, CANCUN)


@pytest.mark.parametrize(
    ("kind", "items", "to", "data"), [(0, TYPE_0, 3, 5), (1, TYPE_1, 4, 6), (2, TYPE_2, 5, 7)], ids=["0", "1", "2"]
)
def test_creations(kind: int, items: list[Any], to: int, data: int) -> None:
    """Of all types but blob transactions; the initcode may have just as many bytes as EIP-3860 allows."""
    raw = signed(kind, changed(changed(items, to, b""), data, LONG_INITCODE[1:]))
    transaction = decode_transaction(raw, CHAIN_ID, CANCUN)
    assert (transaction.to, transaction.data) == (b"", LONG_INITCODE[1:])
    # To an account any calldata may be sent.
    assert decode_transaction(signed(kind, changed(items, data, LONG_INITCODE)), CHAIN_ID, CANCUN).data == LONG_INITCODE


@pytest.mark.parametrize("addresses", [True, False])
def test_access_lists_are_bounded(addresses: bool) -> None:
    entries = MAX_ACCESS_ENTRIES + 1
    access_list = [[bytes(20), []]] * entries if addresses else [[bytes(20), [bytes(32)] * entries]]
    with pytest.raises(Invalid, match="more than 65536"):
        decode_transaction(packed(2, [*changed(TYPE_2, 8, access_list), 0, 1, 1]), CHAIN_ID, CANCUN)


@pytest.mark.deep
def test_bounds_are_inclusive() -> None:
    largest = [[bytes(20), [bytes(32)] * (MAX_ACCESS_ENTRIES // 2 - 1)], *[[bytes(20), []]] * (MAX_ACCESS_ENTRIES // 2)]
    items = changed(changed(TYPE_2, 8, largest), 7, bytes(MAX_CALLDATA_BYTES))
    items = changed(changed(items, 4, 2**64 - 1), 1, 2**64 - 2)
    transaction = decode_transaction(signed(2, items), CHAIN_ID, CANCUN)
    assert len(transaction.access_list) == MAX_ACCESS_ENTRIES
    assert transaction.data == bytes(MAX_CALLDATA_BYTES)
    addresses = changed(TYPE_2, 8, [[bytes(20), []]] * MAX_ACCESS_ENTRIES)
    assert len(decode_transaction(signed(2, addresses), CHAIN_ID, CANCUN).access_list) == MAX_ACCESS_ENTRIES


def test_the_upper_half_of_s_gives_the_same_key_and_is_refused() -> None:
    *items, parity, r, s = fields_of(signed(2, TYPE_2))
    mirrored = SECP256K1_ORDER - int.from_bytes(s, "big")
    flipped = 1 - int.from_bytes(parity, "big")
    with pytest.raises(Invalid, match="upper half"):
        decode_transaction(packed(2, [*items, flipped, r, mirrored]), CHAIN_ID, CANCUN)


@settings(max_examples=60)
@given(st.data())
def test_a_changed_byte_changes_the_sender_or_is_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([0, 1, 2, 3, 4]))
    blobs = (BLOB_HASH,) if kind == 3 else ()
    transfer = Transfer(0, NEWCOMER, kind=kind, access_list=ACCESS_LIST if kind else (), blob_hashes=blobs)
    raw = bytearray(signed(4, TYPE_4) if kind == 4 else transfer.sign(3))
    position = data.draw(st.integers(min_value=0, max_value=len(raw) - 1))
    raw[position] ^= data.draw(st.integers(min_value=1, max_value=255))
    try:
        transaction = decode_transaction(bytes(raw), CHAIN_ID, PRAGUE)
    except Invalid:
        return
    assert transaction.sender != SENDERS[0]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        decode_transaction(data, CHAIN_ID, CANCUN)


def test_deep_nesting_is_refused() -> None:
    nested = b""
    for _ in range(2000):
        nested = list_header(len(nested)) + nested
    with pytest.raises(RlpError):
        decode_transaction(b"\x02" + nested, CHAIN_ID, CANCUN)


def test_recover_sender_needs_the_signed_message() -> None:
    digest = keccak(b"message")
    signature = keys.PrivateKey(SECRETS[2]).sign_msg_hash(digest)
    assert recover_sender(digest, signature.r, signature.s, signature.v) == SENDERS[2]
    assert recover_sender(keccak(b"other"), signature.r, signature.s, signature.v) != SENDERS[2]


class TestInclusion:
    @staticmethod
    def check(gas_limits: list[int], used: list[int], header_used: int) -> None:
        transaction = decode_transaction(signed(2, TYPE_2), CHAIN_ID, CANCUN)
        transactions = [replace(transaction, gas_limit=limit) for limit in gas_limits]
        check_inclusion(genesis_header(bytes(32), gas_used=header_used), transactions, used, CANCUN)

    def test_a_full_block_passes(self) -> None:
        self.check([GAS_LIMIT - 21000, GAS_LIMIT - 21000], [21000, 21000], 42000)

    @pytest.mark.parametrize(
        ("gas_limits", "used", "header_used", "reason"),
        [
            ([GAS_LIMIT + 1], [21000], 21000, "transaction 0: gas limit"),
            ([21000, GAS_LIMIT - 20999], [21000, 21000], 42000, "transaction 1: gas limit"),
            ([21000], [21000], 21001, "gas used is 21001, its transactions use 21000"),
            ([], [], 1, "gas used is 1"),
        ],
    )
    def test_refuses(self, gas_limits: list[int], used: list[int], header_used: int, reason: str) -> None:
        with pytest.raises(Invalid, match=reason):
            self.check(gas_limits, used, header_used)

    @staticmethod
    def check_blobs(counts: list[int], fee: int, **header: Any) -> None:
        transaction = decode_transaction(signed(3, TYPE_3), CHAIN_ID, CANCUN)
        transactions = [
            replace(transaction, blob_hashes=(BLOB_HASH,) * count, max_blob_fee=fee if count else 0) for count in counts
        ]
        used = [21000] * len(counts)
        check_inclusion(genesis_header(bytes(32), gas_used=sum(used), **header), transactions, used, CANCUN)

    def test_blob_gas_is_that_of_all_blobs(self) -> None:
        self.check_blobs([1, 0, 3], 1, blob_gas_used=4 * 2**17)
        for counts, wrong in (([1, 0, 3], 3), ([1], 0), ([], 1), ([2], 3)):
            with pytest.raises(Invalid, match="blob gas used is"):
                self.check_blobs(counts, 1, blob_gas_used=wrong * 2**17)

    def test_blobs_pay_the_fee_of_the_block(self) -> None:
        self.check_blobs([1], 2, blob_gas_used=2**17, excess_blob_gas=2314058)
        with pytest.raises(Invalid, match="transaction 0: max fee per blob gas below"):
            self.check_blobs([1], 1, blob_gas_used=2**17, excess_blob_gas=2314058)


def authorized(
    chain_id: Any = CHAIN_ID, address: Any = NEWCOMER, nonce: Any = 5, secret: bytes = SECRETS[1]
) -> tuple[Any, ...]:
    """A signed authorization (EIP-7702): chain id, address, nonce, y parity, r, s."""
    digest = keccak(AUTHORIZATION_MAGIC + rlp.encode([chain_id, address, nonce]))
    signature = keys.PrivateKey(secret).sign_msg_hash(digest)
    return chain_id, address, nonce, signature.v, signature.r, signature.s


TYPE_4: list[Any] = [CHAIN_ID, 0, 1, 2, 21000, NEWCOMER, 0, b"", [], [authorized()]]


class TestSetCode:
    """Transactions of type 4 (EIP-7702)."""

    @staticmethod
    def decode(*authorizations: Any) -> tuple[Authorization, ...]:
        raw = signed(4, changed(TYPE_4, 9, list(authorizations)))
        return decode_transaction(raw, CHAIN_ID, PRAGUE).authorizations

    def test_decodes(self) -> None:
        items = changed(changed(TYPE_4, 8, [[address, list(slots)] for address, slots in ACCESS_LIST]), 7, DATA)
        transaction = decode_transaction(signed(4, items), CHAIN_ID, PRAGUE)
        assert (transaction.type, transaction.sender, transaction.to) == (4, SENDERS[0], NEWCOMER)
        assert (transaction.max_priority, transaction.max_fee, transaction.data) == (1, 2, DATA)
        assert len(transaction.access_list) == 6
        assert transaction.authorizations == (Authorization(NEWCOMER, 5, SENDERS[1]),)

    def test_agrees_with_eth_account(self) -> None:
        signer = Signer.from_key(SECRETS[2])
        authorization = signer.sign_authorization({"chainId": 0, "address": NEWCOMER, "nonce": 7})
        document = {
            "type": 4,
            "chainId": CHAIN_ID,
            "to": NEWCOMER,
            "nonce": 300,
            "value": 2,
            "data": DATA,
            "gas": 100_000,
            "maxFeePerGas": 9,
            "maxPriorityFeePerGas": 7,
            "authorizationList": [authorization],
        }
        raw = bytes(Signer.from_key(SECRETS[0]).sign_transaction(document).raw_transaction)
        transaction = decode_transaction(raw, CHAIN_ID, OSAKA)
        assert (transaction.sender, transaction.nonce, transaction.value) == (SENDERS[0], 300, 2)
        assert transaction.authorizations == (Authorization(NEWCOMER, 7, SENDERS[2]),)

    def test_authorizations_are_kept_in_order(self) -> None:
        entries = [authorized(secret=SECRETS[n % 4], nonce=n, chain_id=(n % 3) * CHAIN_ID) for n in range(6)]
        assert self.decode(*entries) == tuple(
            Authorization(NEWCOMER, n, None if n % 3 == 2 else SENDERS[n % 4]) for n in range(6)
        )

    @pytest.mark.parametrize(
        ("entry", "authority"),
        [
            (authorized(chain_id=0), SENDERS[1]),
            (authorized(address=bytes(20)), SENDERS[1]),
            (authorized(nonce=0), SENDERS[1]),
            (authorized(nonce=2**64 - 2), SENDERS[1]),
            (authorized(nonce=2**64 - 1), None),
            (authorized(chain_id=CHAIN_ID + 1), None),
            (authorized(chain_id=2**256 - 1), None),
            ((*authorized()[:3], 2, *authorized()[4:]), None),
            ((*authorized()[:3], 27, *authorized()[4:]), None),
            ((*authorized()[:3], 255, *authorized()[4:]), None),
            ((*authorized()[:4], 0, 1), None),
            ((*authorized()[:4], SECP256K1_ORDER, 1), None),
            ((*authorized()[:4], 2**256 - 1, 1), None),
            ((*authorized()[:4], 1, 0), None),
            ((*authorized()[:4], 5, 1), None),
            ((*authorized()[:5], SECP256K1_ORDER), None),
            ((*authorized()[:3], 1 - authorized()[3], authorized()[4], SECP256K1_ORDER - authorized()[5]), None),
        ],
    )
    def test_what_authorizes_nobody_is_passed_over(self, entry: tuple[Any, ...], authority: bytes | None) -> None:
        (found,) = self.decode(entry)
        assert found == Authorization(entry[1], entry[2], authority)

    @settings(max_examples=60)
    @given(
        chain_id=st.sampled_from([0, CHAIN_ID]) | st.integers(0, 2**256 - 1),
        nonce=st.integers(0, 2**64 - 1),
        parity=st.integers(0, 3) | st.integers(0, 255),
        r=st.integers(0, 3) | st.integers(0, 2**256 - 1),
        s=st.integers(0, 3) | st.integers(0, 2**256 - 1),
        signature=st.booleans(),
    )
    def test_agrees_with_the_executor(
        self, chain_id: int, nonce: int, parity: int, r: int, s: int, signature: bool
    ) -> None:
        entry = authorized(chain_id=chain_id, nonce=nonce) if signature else (chain_id, NEWCOMER, nonce, parity, r, s)
        (found,) = self.decode(entry)
        theirs = ExecutorsAuthorization(*entry)
        counts = chain_id in (0, CHAIN_ID) and nonce < 2**64 - 1
        assert found == Authorization(NEWCOMER, nonce, theirs.authority if counts else None)

    @pytest.mark.parametrize(
        ("items", "reason"),
        [
            (changed(TYPE_4, 5, b""), "a transaction of type 4 that creates a contract"),
            (changed(TYPE_4, 0, CHAIN_ID + 1), "another chain"),
            (changed(TYPE_4, 9, []), "without authorizations"),
            (changed(TYPE_4, 9, b""), "authorizations: a string"),
            (changed(TYPE_4, 9, [b""]), "authorization: a string"),
            (changed(TYPE_4, 9, [authorized()[:-1]]), "authorization: s: missing"),
            (changed(TYPE_4, 9, [(*authorized(), b"")]), "authorization: 1 bytes too many"),
            (changed(TYPE_4, 9, [authorized(), (2**256, *authorized()[1:])]), "authorization: chain id"),
            (changed(TYPE_4, 9, [(b"\0", *authorized()[1:])]), "authorization: chain id: integer with a leading zero"),
            (changed(TYPE_4, 9, [(CHAIN_ID, bytes(19), *authorized()[2:])]), "authorization: address"),
            (changed(TYPE_4, 9, [(CHAIN_ID, b"", *authorized()[2:])]), "authorization: address"),
            (changed(TYPE_4, 9, [(*authorized()[:2], 2**64, *authorized()[3:])]), "authorization: nonce"),
            (changed(TYPE_4, 9, [(*authorized()[:2], b"\0\5", *authorized()[3:])]), "nonce: integer with a leading"),
            (changed(TYPE_4, 9, [(*authorized()[:3], 256, *authorized()[4:])]), "authorization: y parity"),
            (changed(TYPE_4, 9, [(*authorized()[:3], b"\0", *authorized()[4:])]), "y parity: integer with a leading"),
            (changed(TYPE_4, 9, [(*authorized()[:4], 2**256, 1)]), "authorization: r"),
            (changed(TYPE_4, 9, [(*authorized()[:5], 2**256)]), "authorization: s"),
            (changed(TYPE_4, 9, [(*authorized()[:5], b"\0\1")]), "s: integer with a leading zero"),
            (changed(TYPE_4, 3, 0), "max fee: below the max priority fee"),
            ([*TYPE_4, b""], "bytes too many"),
            (TYPE_4[:-1], "authorizations: a string"),
        ],
    )
    def test_refuses(self, items: list[Any], reason: str) -> None:
        with pytest.raises(Invalid, match=reason):
            decode_transaction(signed(4, items), CHAIN_ID, PRAGUE)

    def test_authorizations_are_bounded(self) -> None:
        lists = changed(TYPE_4, 9, [(0, bytes(20), 0, 0, 0, 0)] * MAX_AUTHORIZATIONS)
        assert len(decode_transaction(signed(4, lists), CHAIN_ID, PRAGUE).authorizations) == MAX_AUTHORIZATIONS
        lists[9].append((0, bytes(20), 0, 0, 0, 0))
        with pytest.raises(Invalid, match=f"more than {MAX_AUTHORIZATIONS} authorizations"):
            decode_transaction(signed(4, lists), CHAIN_ID, PRAGUE)


class TestForks:
    @pytest.mark.parametrize("fork", FORKS.values(), ids=list(FORKS))
    def test_types(self, fork: Fork) -> None:
        for kind, items in enumerate((TYPE_0, TYPE_1, TYPE_2, TYPE_3, TYPE_4)):
            if kind in fork.transaction_types:
                assert decode_transaction(signed(kind, items), CHAIN_ID, fork).type == kind
            else:
                with pytest.raises(Invalid, match=f"transaction type {kind}, which {fork.name} does not have"):
                    decode_transaction(signed(kind, items), CHAIN_ID, fork)
        with pytest.raises(Invalid, match="transaction type 5"):
            decode_transaction(signed(5, TYPE_4), CHAIN_ID, fork)

    @pytest.mark.parametrize(("fork", "most"), [(CANCUN, 6), (PRAGUE, 9), (OSAKA, 6), (BPO1, 6), (BPO3, 6)])
    def test_blobs_of_a_transaction(self, fork: Fork, most: int) -> None:
        """As many as a block may have, until EIP-7594 bounds them whatever the blob schedule is."""
        decode_transaction(signed(3, changed(TYPE_3, 10, [BLOB_HASH] * most)), CHAIN_ID, fork)
        with pytest.raises(Invalid, match=f"{most + 1} blobs, 1 to {most} are allowed"):
            decode_transaction(signed(3, changed(TYPE_3, 10, [BLOB_HASH] * (most + 1))), CHAIN_ID, fork)

    @pytest.mark.parametrize(
        ("kind", "items", "place"), [(0, TYPE_0, 2), (1, TYPE_1, 3), (2, TYPE_2, 4), (4, TYPE_4, 4)]
    )
    def test_gas_of_a_transaction(self, kind: int, items: list[Any], place: int) -> None:
        """EIP-7825."""
        assert decode_transaction(signed(kind, changed(items, place, 2**24)), CHAIN_ID, OSAKA).gas_limit == 2**24
        above = signed(kind, changed(items, place, 2**24 + 1))
        assert decode_transaction(above, CHAIN_ID, PRAGUE).gas_limit == 2**24 + 1
        with pytest.raises(Invalid, match="gas limit: 16777217, at most 16777216"):
            decode_transaction(above, CHAIN_ID, OSAKA)

    def test_the_fee_of_blobs_is_that_of_the_fork(self) -> None:
        """The same excess is 2 wei in Cancun and 1 in Prague, which lets the fee grow more slowly."""
        header = genesis_header(bytes(32), gas_used=21000, blob_gas_used=2**17, excess_blob_gas=2314058)
        transaction = decode_transaction(signed(3, changed(TYPE_3, 9, 1)), CHAIN_ID, PRAGUE)
        check_inclusion(header, [transaction], [21000], PRAGUE)
        with pytest.raises(Invalid, match="max fee per blob gas below"):
            check_inclusion(header, [transaction], [21000], CANCUN)
