"""Addresses of contracts that are created: hashes of who creates them, and of its nonce or of a salt and the initcode.

Source: execution-specs `cancun/utils/address.py`, `compute_contract_address` and `compute_create2_contract_address`
(EIP-1014). Rows name an input of the Keccak sponge, whose words, length and digest they look up. What fills a table up
to its height repeats its last statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rlp
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.distinct import distinct_rows
from circuits.air.expression import Expression, Operand
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import Layout, allocate, bit, byte, element, limb, nested, padded_height
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers
from circuits.batch.hashed_inputs import NOT_HASHED, HashedInputs
from circuits.component import Answering
from circuits.frames.buses import CREATE2_ADDRESS, CREATE_ADDRESS
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import HASH_OUT, HASH_WORD, KECCAK256_FUNCTION
from circuits.limbs import Limbs, addresses_to_bytes, limbs_to_bytes, u64_to_ints
from circuits.widths import ADDRESS, NONCE, WORD

_BASE = 1 << 16

#: RLP: a byte below 0x80 stands for itself. A string of n bytes follows 0x80 + n, a list of n bytes 0xc0 + n.
RLP_STRING, RLP_LIST = 0x80, 0xC0
ADDRESS_BYTES, NONCE_BYTES = 2 * ADDRESS, 2 * NONCE
#: Bytes of the list that encode the address: its prefix and itself.
_RLP_ADDRESS_BYTES = 1 + ADDRESS_BYTES

#: What the input of a CREATE2 address begins with, and how long it is: that, address, salt and hash of the initcode.
CREATE2_PREFIX = 0xFF
CREATE2_BYTES = 1 + ADDRESS_BYTES + 2 * WORD + 2 * WORD
CREATE2_WORDS = 3
_CREATE2_LIMBS = ADDRESS + WORD + WORD


class Digest(Layout):
    """An input of the sponge and its hash, whose last 20 bytes are an address."""

    id = element("name of the input", by="hash_out bus")
    address = limb("the last 20 bytes of its hash", ADDRESS, by="hash_out bus")
    dropped = limb("the other bytes of it", WORD - ADDRESS, by="hash_out bus")

    @staticmethod
    def constrain(air: Air, cells: Any, words: Iterable[Sequence[Expression]], length: Operand) -> None:
        """The input has these words, zeros behind the end, and this length in bytes."""
        for index, word in enumerate(words):
            air.query(HASH_WORD, KECCAK256_FUNCTION, cells.id, index, word, count=1)
        air.query(HASH_OUT, KECCAK256_FUNCTION, cells.id, length, cells.address, cells.dropped, count=1)

    @staticmethod
    def fill(cells: Any, ids: Integers, digests: Limbs) -> None:
        """`ids`: (rows,), `digests`: (rows, 16)."""
        cells.id = ids
        cells.address = digests[:, :ADDRESS]
        cells.dropped = digests[:, ADDRESS:]


class CreateColumns(Layout):
    """One address per row."""

    multiplicity = element("how often it is asked", by="balance of the create_address bus")
    sender = limb("who creates", ADDRESS, by="hash_word bus")
    nonce = byte("bytes of its nonce, the lowest first", NONCE_BYTES, by="bitwise_bytes bus, two at a time")
    nonce_xor = byte("exclusive or of the two bytes of each limb", NONCE, by="bitwise_bytes bus")
    zero = bit("1: the nonce is 0, encoded by the empty string")
    single = bit("1: the nonce is in 1..127, a byte that is its own encoding")
    size = bit("one-hot for other nonces: how many bytes they have", NONCE_BYTES)
    inverse = element("of the byte that must not be zero, the single or highest one of several", by="its constraint")
    digest = nested(Digest)


class CreateAddress(Table):
    """keccak256(rlp([sender, nonce]))[12:]: the list's prefix, 21 bytes of the sender and 1 to 9 of the nonce.

    That is less than a word, and the sender's limbs are limbs of the word. Bytes of the nonce above its size are zero
    and its highest one is not, or is 128 or more where it is the only one: so there is one way to encode it.
    """

    name = "create_address"
    layout = CreateColumns
    selector = None
    row_order = "every row is a statement of its own"

    def constraints(self, air: Air) -> None:
        row = air.row
        one_hot(air, [row.zero, row.single, *row.size], 1, "size of the nonce")
        for i in range(NONCE):
            query_xor(air, row.nonce[2 * i], row.nonce[2 * i + 1], row.nonce_xor[i], count=1)
        # Flags of nonces of at most one byte; then of those of at most i bytes.
        short = row.zero + row.single
        air.require(row.zero * row.nonce[0], "nonce 0")
        for i in range(1, NONCE_BYTES):
            short = short + row.size[i - 1]
            air.require(short * row.nonce[i], f"byte {i} of the nonce is above its size")
        # The lowest byte's highest bit, where there is no other byte: exclusive or with it subtracts or adds it.
        short = row.zero + row.single + row.size[0]
        lowest = row.nonce[0]
        query_xor(air, lowest, RLP_STRING, lowest + RLP_STRING - row.size[0] * (2 * RLP_STRING), count=short)
        several = list(zip(row.size, row.nonce, strict=True))[1:]
        not_zero = row.single * lowest + total([flag * highest for flag, highest in several])
        needs_inverse = row.single + total([flag for flag, _ in several])
        air.require(not_zero * row.inverse - needs_inverse, "the highest byte is not zero")
        air.require((1 - needs_inverse) * row.inverse, "no inverse of others")

        size = total([flag * (i + 1) for i, flag in enumerate(row.size)])
        encoded = [row.single * lowest + (1 - row.single) * RLP_STRING + size]
        for i in range(1, NONCE_BYTES + 1):
            # Byte i behind the prefix is the i-th from above.
            encoded.append(total([row.size[k] * row.nonce[k + 1 - i] for k in range(i - 1, NONCE_BYTES)]))
        encoded.append(air.constant(0))
        payload = size + (_RLP_ADDRESS_BYTES + 1)
        prefixes = (payload + RLP_LIST) * 256 + (RLP_STRING + ADDRESS_BYTES)
        word = [prefixes, *reversed(row.sender), *_pairs(encoded)]
        Digest.constrain(air, row.digest, [word[::-1]], payload + 1)
        nonce = [row.nonce[2 * i] + row.nonce[2 * i + 1] * 256 for i in range(NONCE)]
        air.provide(CREATE_ADDRESS, row.sender, nonce, row.digest.address, multiplicity=row.multiplicity)


class Create2Columns(Layout):
    """One address per row."""

    multiplicity = element("how often it is asked", by="balance of the create2_address bus")
    sender = limb("who creates", ADDRESS, by="querier")
    salt = limb("salt", WORD, by="querier")
    initcode_hash = limb("keccak256 of the initcode", WORD, by="querier")
    high = byte("high byte of each limb of these, from the first one hashed on", _CREATE2_LIMBS, by="bitwise_bytes bus")
    high_xor = byte("exclusive or of two of them", _CREATE2_LIMBS // 2, by="bitwise_bytes bus")
    digest = nested(Digest)


class Create2Address(Table):
    """keccak256(0xff ++ sender ++ salt ++ initcode_hash)[12:].

    Behind the first byte each limb of the input's words takes the low byte of one limb of these and the high byte of
    the next: t_i = 256 (s_{i-1} - 256 h_{i-1}) + h_i, where h_i is the high byte of the limb s_i. Nothing proves that
    the low one is a byte, too. But with h_i a byte both sides are below 2^25, so these are equations of integers, and
    together they say that the limbs t_0 .. t_42 are those of 2^8 (255 * 2^672 + S), S being the number with the limbs
    s_0 .. s_41. It has no other ones of 16 bits, which the t_i are by the sponge and the s_i by the querier.
    """

    name = "create2_address"
    layout = Create2Columns
    selector = None
    row_order = "every row is a statement of its own"

    def constraints(self, air: Air) -> None:
        row = air.row
        for i in range(0, _CREATE2_LIMBS, 2):
            query_xor(air, row.high[i], row.high[i + 1], row.high_xor[i // 2], count=1)
        bytes_: list[Expression] = [air.constant(CREATE2_PREFIX)]
        for limb_, high in zip(_hashed_limbs(row.sender, row.salt, row.initcode_hash), row.high, strict=True):
            bytes_ += [high, limb_ - high * 256]
        bytes_ += [air.constant(0)] * (2 * WORD * CREATE2_WORDS - CREATE2_BYTES)
        limbs = _pairs(bytes_)
        words = [limbs[start : start + WORD][::-1] for start in range(0, len(limbs), WORD)]
        Digest.constrain(air, row.digest, words, CREATE2_BYTES)
        air.provide(
            CREATE2_ADDRESS,
            row.sender,
            row.salt,
            row.initcode_hash,
            row.digest.address,
            multiplicity=row.multiplicity,
        )


def _pairs(bytes_: Sequence[Expression]) -> list[Expression]:
    """Big-endian limbs of two bytes each."""
    return [high * 256 + low for high, low in zip(bytes_[0::2], bytes_[1::2], strict=True)]


def _hashed_limbs(*fields: Sequence[Any]) -> list[Any]:
    """Limbs in the order in which they are hashed."""
    return [limb_ for field in fields for limb_ in reversed(field)]


@dataclass(frozen=True, eq=False)
class _Statements:
    """What the rows of a table state: queries (height, width) and their inputs; the last one fills the table up."""

    asked: Limbs
    ids: Integers
    digests: Limbs
    multiplicity: Integers

    @classmethod
    def of(
        cls, execution: Execution, queries: NDArray[np.uint32], encode: Callable[[Limbs], list[bytes]]
    ) -> _Statements | None:
        """The queries that are true, of inputs that the execution hashes; others are left to unbalance the bus."""
        distinct, counts, _ = distinct_rows(queries)
        limbs = (distinct < _BASE).all(axis=1)
        asked, counts = distinct[limbs].astype(np.uint16), counts[limbs]
        hashed = HashedInputs.of(execution)
        ids = hashed.find(encode(asked))
        known = ids != NOT_HASHED
        asked, counts, ids = asked[known], counts[known], ids[known]
        digests = hashed.digest_of(ids)
        true = np.flatnonzero((digests[:, :ADDRESS] == asked[:, -ADDRESS:]).all(axis=1))
        if not len(true):
            return None
        height = padded_height(len(true))
        row = true[np.minimum(np.arange(height), len(true) - 1)]
        multiplicity = np.where(np.arange(height) < len(true), counts[row], 0)
        return cls(asked[row], ids[row], digests[row], multiplicity)


def create_inputs(senders: Limbs, nonces: Limbs) -> list[bytes]:
    """What is hashed for the addresses that these senders (n, 10) with these nonces (n, 4) create."""
    pairs = zip(addresses_to_bytes(senders), u64_to_ints(nonces), strict=True)
    return [rlp.encode([sender, nonce]) for sender, nonce in pairs]


def create2_inputs(senders: Limbs, salts: Limbs, initcode_hashes: Limbs) -> list[bytes]:
    """What is hashed for the addresses that senders (n, 10) create with salts and hashes of initcodes (n, 16)."""
    behind = limbs_to_bytes(np.concatenate([initcode_hashes, salts, senders], axis=1))
    return [bytes([CREATE2_PREFIX]) + data for data in behind]


def answer_create_address(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """A row for every different query (n, 24)."""
    found = _Statements.of(execution, queries, lambda asked: create_inputs(asked[:, :ADDRESS], _nonces(asked)))
    if found is None:
        return None
    matrix, rows = allocate(CreateColumns, len(found.ids))
    _fill_statements(rows, found)
    rows.sender = found.asked[:, :ADDRESS]
    nonce = _nonces(found.asked).astype("<u2").view(np.uint8)
    rows.nonce = nonce
    rows.nonce_xor = nonce[:, 0::2] ^ nonce[:, 1::2]
    size = NONCE_BYTES - np.argmax(nonce[:, ::-1] != 0, axis=1)
    zero = ~nonce.any(axis=1)
    lowest = nonce[:, 0]
    single = ~zero & (size == 1) & (lowest < RLP_STRING)
    rows.zero = zero
    rows.single = single
    others = np.flatnonzero(~zero & ~single)
    rows.size[others, size[others] - 1] = 1
    highest = nonce[np.arange(len(nonce)), size - 1].astype(np.uint64)
    rows.inverse = np.where(single | (size > 1) & ~zero, arithmetic.inverse(highest), 0)
    return matrix


def answer_create2_address(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """A row for every different query (n, 52)."""
    found = _Statements.of(execution, queries, lambda asked: create2_inputs(*_create2_fields(asked)))
    if found is None:
        return None
    matrix, rows = allocate(Create2Columns, len(found.ids))
    _fill_statements(rows, found)
    fields = _create2_fields(found.asked)
    rows.sender, rows.salt, rows.initcode_hash = fields
    high = np.concatenate([field[:, ::-1] for field in fields], axis=1) >> 8
    rows.high = high
    rows.high_xor = high[:, 0::2] ^ high[:, 1::2]
    return matrix


def _fill_statements(rows: Any, found: _Statements) -> None:
    rows.multiplicity = found.multiplicity
    Digest.fill(rows.digest, found.ids, found.digests)


def _nonces(asked: Limbs) -> Limbs:
    return np.ascontiguousarray(asked[:, ADDRESS : ADDRESS + NONCE])


def _create2_fields(asked: Limbs) -> tuple[Limbs, Limbs, Limbs]:
    sender, salt, initcode_hash, _ = np.split(asked, np.cumsum([ADDRESS, WORD, WORD]), axis=1)
    return sender, salt, initcode_hash


COMPONENTS = (
    Answering(CreateAddress(), CREATE_ADDRESS, answer_create_address),
    Answering(Create2Address(), CREATE2_ADDRESS, answer_create2_address),
)
