"""The rounds of BLAKE2b's compression function F (RFC 7693, section 3.2; EIP-152): one round per row.

A round mixes the four columns of the work vector v and then its four diagonals, by eight applications of G (RFC 7693,
section 3.1), each of which takes two of the 16 words of the message:

    a = a + b + x    d = (d ^ a) >>> 32    c = c + d    b = (b ^ c) >>> 24
    a = a + b + y    d = (d ^ a) >>> 16    c = c + d    b = (b ^ c) >>> 63

Words of 64 bits are in bytes, the least significant first. An exclusive or is a lookup of each pair of bytes, which
also proves that these are bytes; so whatever an addition makes is proved to be bytes where it is xored next. Rotations
by whole bytes only rename bytes; the one by 63 to the right is one by 1 to the left. An addition modulo 2^64 is made in
chunks of 24, 24 and 16 bits, since three of them do not wrap. (With all words in bits, G has 268 cells and no lookup,
where it has 78 and 32 here. But a round needs 512 more for the bits of b and d before it, or looks at its successor,
which doubles what is opened of over 2,000 columns.)

A row does not look at its successor. The work vector and the message come on the `blake2f_rounds` bus and go on there,
in chunks. Padding rows ask and send nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets import one_hot, total
from circuits.air.layout import Array, C, Layout, Size, allocate, bit, byte, element, nested
from circuits.air.table import Air, Table
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import BLAKE2F_ROUNDS

WORD_BYTES = 8
STATE_WORDS = 8
VECTOR_WORDS = 16
MESSAGE_WORDS = 16

#: RFC 7693, section 2.7: which word of the message each place of a round takes; rounds repeat them.
SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
PHASES = len(SIGMA)

#: RFC 7693, section 2.6; the same as SHA-512's.
INITIAL_VECTOR = (
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
)  # fmt: skip

#: The words that a row, a column or a diagonal has: G is applied to so many at a time.
LANES = 4
MIXES = 2 * LANES
#: Chunks of a word: their first bytes, and their bits.
CHUNKS = 3
_CHUNK_STARTS = (0, 3, 6, 8)
_CHUNK_BITS = (24, 24, 16)
_CHUNK_INVERSES = tuple(pow(1 << bits, -1, MODULUS) for bits in _CHUNK_BITS)
#: Rotations to the right by whole bytes, in bytes: of d and b in the first half of G, of d in the second one.
_D1_BYTES, _B1_BYTES, _D2_BYTES = 4, 3, 2

#: Places in the work vector of words a, b, c and d of all columns, and of all diagonals.
_COLUMNS = np.arange(VECTOR_WORDS).reshape(4, LANES)
_DIAGONALS = np.stack([np.roll(row, -number) for number, row in enumerate(_COLUMNS)])

#: Words of 64 bits; sums of them are modulo 2^64.
Words64 = NDArray[np.uint64]


class Mix(Layout[C]):
    """What an application of G makes of words a, b, c, d; words in bytes."""

    a1 = byte("a after the first sum", WORD_BYTES, by="bitwise_bytes bus")
    a1_carry = element("carry of each of its chunks", CHUNKS, by="constrained to 0, 1, 2")
    d1 = byte("d after the first rotation", WORD_BYTES, by="bitwise_bytes bus")
    c1 = byte("c after the second sum", WORD_BYTES, by="bitwise_bytes bus")
    b1 = byte("b after the second rotation", WORD_BYTES, by="bitwise_bytes bus")
    a2 = byte("a after the third sum", WORD_BYTES, by="bitwise_bytes bus")
    a2_carry = element("carry of each of its chunks", CHUNKS, by="constrained to 0, 1, 2")
    d2 = byte("d after the third rotation", WORD_BYTES, by="bitwise_bytes bus")
    c2 = byte("c after the fourth sum", WORD_BYTES, by="bitwise_bytes bus")
    xor = byte("b ^ c before the last rotation", WORD_BYTES, by="bitwise_bytes bus")
    top = bit("the upper bit of each of its bytes in a column, of its chunks in a diagonal", Size("tops"))


class Columns(Layout[C]):
    """One round: the work vector before it, and what each application of G makes."""

    real = bit("1 on rows that stand for a round")
    phase = bit("one-hot: number of the round modulo 10; none on padding rows", PHASES)
    id = element("name of the call", by="blake2f_rounds bus")
    number = element("rounds done before", by="blake2f_rounds bus")
    a = element("words 0 to 3 before the round, in chunks", (LANES, CHUNKS), by="blake2f_rounds bus: bytes")
    b = byte("words 4 to 7", (LANES, WORD_BYTES), by="bitwise_bytes bus")
    c = element("words 8 to 11, in chunks", (LANES, CHUNKS), by="blake2f_rounds bus: bytes")
    d = byte("words 12 to 15", (LANES, WORD_BYTES), by="bitwise_bytes bus")
    message = element(
        "words of the message, in chunks", (MESSAGE_WORDS, CHUNKS), by="blake2f_rounds bus: bytes of blake2f"
    )
    column: tuple[Mix[C], ...] = nested(Mix.sized(tops=WORD_BYTES), "columns of the vector", LANES)
    diagonal: tuple[Mix[C], ...] = nested(Mix.sized(tops=CHUNKS), "then its diagonals", LANES)


def chunks_of(word: Sequence[Expression]) -> list[Expression]:
    """The chunks of a word in bytes, each below 2^24 or 2^16 if these are bytes."""
    return [
        total([word[i] * (1 << 8 * (i - start)) for i in range(start, end)]) for start, end in pairwise(_CHUNK_STARTS)
    ]


class Blake2fRounds(Table[Columns]):
    """Rounds as steps on the `blake2f_rounds` bus."""

    name = "blake2f_rounds"
    row_order = "each row is a round of its own; the bus alone chains rounds"

    def constraints(self, air: Air[Columns]) -> None:
        row = air.row
        one_hot(air, row.phase, row.real, "phase")
        air.require((1 - row.real) * row.id, "padding has no id")
        taken = [
            [total([row.phase[i] * row.message[SIGMA[i][place]][k] for i in range(PHASES)]) for k in range(CHUNKS)]
            for place in range(MESSAGE_WORDS)
        ]
        a, b, c, d = ([list(word) for word in words] for words in (row.a, row.b, row.c, row.d))
        before = [*a, *map(chunks_of, b), *c, *map(chunks_of, d)]
        for step, mixes in enumerate((row.column, row.diagonal)):
            for lane, cells in enumerate(mixes):
                # Of a diagonal, the word of each row lies one place further on than that of the row above.
                i, j, k, m = ((lane + step * of_row) % LANES for of_row in range(4))
                x, y = taken[MIXES * step + 2 * lane : MIXES * step + 2 * lane + 2]
                name = f"{('column', 'diagonal')[step]} {lane}"
                a[i], c[k] = self._mix(air, cells, a[i], b[j], c[k], d[m], x, y, name=name)
                b[j], d[m] = self._rotated(cells, in_bytes=step == 0), list(cells.d2)
        after = [*a, *b, *c, *map(chunks_of, d)]
        phase = total([row.phase[i] * i for i in range(1, PHASES)])
        following = total([row.phase[i] * (i + 1) for i in range(PHASES - 1)])
        air.receive(BLAKE2F_ROUNDS, row.id, row.number, phase, before, row.message, count=row.real)
        air.send(BLAKE2F_ROUNDS, row.id, row.number + 1, following, after, row.message, count=row.real)

    @staticmethod
    def _mix(air: Air[Columns], cells: Mix, a: Any, b: Any, c: Any, d: Any, x: Any, y: Any, *, name: str) -> Any:
        """G but for the last rotation: takes a, c, x and y in chunks, b and d in bytes; returns a and c in chunks."""
        a1 = _sum_of_three(air, a, b, x, cells.a1, cells.a1_carry, f"{name}: a1")
        _xor(air, d, cells.a1, cells.d1, _D1_BYTES)
        c1 = _sum_of_two(air, c, cells.d1, cells.c1, f"{name}: c1")
        _xor(air, b, cells.c1, cells.b1, _B1_BYTES)
        a2 = _sum_of_three(air, a1, cells.b1, y, cells.a2, cells.a2_carry, f"{name}: a2")
        _xor(air, cells.d1, cells.a2, cells.d2, _D2_BYTES)
        c2 = _sum_of_two(air, c1, cells.d2, cells.c2, f"{name}: c2")
        _xor(air, cells.b1, cells.c2, cells.xor, 0)
        return a2, c2

    @staticmethod
    def _rotated(cells: Mix, *, in_bytes: bool) -> list[Expression]:
        """b after the last rotation, by 1 to the left: in bytes, or in chunks.

        Bytes are looked up where they are xored next, and chunks are those of bytes which are looked up by who receives
        them. Of a part x, 2 x + (0 or 1) - 2^bits top is such a part again only if `top` is the upper bit of x.
        """
        parts = list(cells.xor) if in_bytes else chunks_of(cells.xor)
        bits = [8] * WORD_BYTES if in_bytes else _CHUNK_BITS
        return [parts[i] * 2 - cells.top[i] * (1 << bits[i]) + cells.top[i - 1] for i in range(len(parts))]


def _xor(air: Air[Columns], left: Any, right: Any, result: Any, rotation: int) -> None:
    """`result` is the exclusive or of words in bytes, rotated to the right by so many bytes; all are bytes."""
    for i in range(WORD_BYTES):
        query_xor(air, left[i], right[i], result[(i - rotation) % WORD_BYTES], count=air.row.real)


def _sum_of_two(air: Air[Columns], left: Any, right: Any, result: Any, name: str) -> list[Expression]:
    """`result`, in bytes, is the sum of chunks and a word in bytes modulo 2^64; returns its chunks.

    Each sum of two chunks and a carry is below 2^25. A carry is what it exceeds the new chunk by; that it is a bit
    makes the equation one of integers.
    """
    made = chunks_of(result)
    carry: Any = 0
    for k, (x, y) in enumerate(zip(left, chunks_of(right), strict=True)):
        carry = (x + y + carry - made[k]) * _CHUNK_INVERSES[k]
        air.require_bit(carry, f"{name}, carry {k}")
    return made


def _sum_of_three(air: Air[Columns], a: Any, b: Any, x: Any, result: Any, carries: Any, name: str) -> list[Expression]:
    """The same of chunks, a word in bytes, and chunks: sums below 3 * 2^24, with carries up to 2."""
    made = chunks_of(result)
    carry: Any = 0
    for k, y in enumerate(chunks_of(b)):
        sum_ = a[k] + y + x[k] + carry
        carry = carries[k]
        air.require(carry * (carry - 1) * (carry - 2), f"{name}, carry {k}")
        air.require(sum_ - made[k] - carry * (1 << _CHUNK_BITS[k]), f"{name}, chunk {k}")
    return made


@dataclass(frozen=True)
class Mixed:
    """Applications of G to words a, b, c, d and x, y of any shape: what they make, and what they began with."""

    a: Words64
    b: Words64
    c: Words64
    d: Words64
    x: Words64
    y: Words64
    a1: Words64
    d1: Words64
    c1: Words64
    b1: Words64
    a2: Words64
    d2: Words64
    c2: Words64
    xor: Words64
    b2: Words64

    @classmethod
    def of(cls, a: Words64, b: Words64, c: Words64, d: Words64, x: Words64, y: Words64) -> Mixed:
        """Of the words before it."""
        a1 = a + b + x
        d1 = _rotate(d ^ a1, 8 * _D1_BYTES)
        c1 = c + d1
        b1 = _rotate(b ^ c1, 8 * _B1_BYTES)
        a2 = a1 + b1 + y
        d2 = _rotate(d1 ^ a2, 8 * _D2_BYTES)
        c2 = c1 + d2
        xor = b1 ^ c2
        return cls(a, b, c, d, x, y, a1, d1, c1, b1, a2, d2, c2, xor, _rotate(xor, 63))


def _rotate(words: Words64, count: int) -> Words64:
    """Words rotated to the right by 1 to 63 bits."""
    return words >> np.uint64(count) | words << np.uint64(64 - count)


def _round(vectors: Words64, taken: Words64) -> tuple[Mixed, Mixed, Words64]:
    """A round of work vectors (n, 16) that takes words (n, 16) in this order: columns, diagonals, vectors (n, 16)."""
    mixes = []
    for step, places in enumerate((_COLUMNS, _DIAGONALS)):
        a, b, c, d = (vectors[:, row] for row in places)
        x, y = (taken[:, MIXES * step + k : MIXES * (step + 1) : 2] for k in range(2))
        mixed = Mixed.of(a, b, c, d, x, y)
        vectors = np.empty_like(vectors)
        for row, made in zip(places, (mixed.a2, mixed.b2, mixed.c2, mixed.d2), strict=True):
            vectors[:, row] = made
        mixes.append(mixed)
    return mixes[0], mixes[1], vectors


def first_vectors(states: Words64, offsets: Words64, last: NDArray[Any]) -> Words64:
    """The work vectors (n, 16) before the first round; `states`: (n, 8), `offsets`: (n, 2), `last`: (n,) 0 or 1."""
    initial = np.tile(np.array(INITIAL_VECTOR, dtype=np.uint64), (len(states), 1))
    initial[:, 4:6] ^= offsets
    initial[:, 6] ^= np.where(last == 1, np.uint64((1 << 64) - 1), np.uint64(0))
    return np.concatenate([states, initial], axis=1)


def run(vectors: Words64, messages: Words64, rounds: NDArray[np.int64]) -> tuple[Words64, Words64]:
    """All rounds of some calls.

    Args:
        vectors: (n, 16) work vectors before the first round.
        messages: (n, 16) words.
        rounds: (n,) how many.

    Returns:
        The work vectors before each round (rows, 16), one call's after the other's, and those after the last (n, 16).
    """
    starts = np.cumsum(rounds) - rounds
    before = np.zeros((int(rounds.sum()), VECTOR_WORDS), dtype=np.uint64)
    vectors = vectors.copy()
    # Calls with more rounds come first: those that go on are the first ones.
    order = np.argsort(-rounds, kind="stable")
    for number in range(int(rounds.max(initial=0))):
        active = order[: np.searchsorted(-rounds[order], -number)]
        before[starts[active] + number] = vectors[active]
        vectors[active] = _round(vectors[active], messages[active][:, SIGMA[number % PHASES]])[2]
    return before, vectors


def compressed(states: Words64, final: Words64) -> Words64:
    """What F returns, (n, 8): of the states (n, 8) and the work vectors (n, 16) after the last round."""
    return states ^ final[:, :STATE_WORDS] ^ final[:, STATE_WORDS:]


def bytes_of(words: Words64) -> NDArray[np.uint8]:
    """Words (...) in bytes (..., 8), the least significant first."""
    return np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(*words.shape, WORD_BYTES)


def chunks(words: Words64) -> NDArray[np.uint32]:
    """Words (...) in chunks (..., 3)."""
    shifts = np.array([8 * start for start in _CHUNK_STARTS[:-1]], dtype=np.uint64)
    return (words[..., None] >> shifts & np.uint64(0xFFFFFF)).astype(np.uint32)


def fill(before: Words64, messages: Words64, rounds: NDArray[np.int64], ids: NDArray[np.int64]) -> Matrix | None:
    """The table for all rounds of some calls; None if there is no round.

    Args:
        before: (rows, 16) work vectors before each round, as `run` gives them.
        messages: (n, 16) words.
        rounds: (n,) how many.
        ids: (n,) distinct names, as sent with the calls.
    """
    count = len(before)
    if not count:
        return None
    matrix, rows = allocate(Columns, count)
    call = np.repeat(np.arange(len(rounds)), rounds)
    number = np.arange(count) - (np.cumsum(rounds) - rounds)[call]
    rows.real = 1
    rows.phase[np.arange(count), number % PHASES] = 1
    rows.id = ids[call]
    rows.number = number
    rows.a, rows.c = chunks(before[:, :4]), chunks(before[:, 8:12])
    rows.b, rows.d = bytes_of(before[:, 4:8]), bytes_of(before[:, 12:])
    rows.message = chunks(messages)[call]
    taken = np.take_along_axis(messages[call], np.array(SIGMA)[number % PHASES], axis=1)
    columns, diagonals, _ = _round(before, taken)
    for lane in range(LANES):
        _fill_mix(rows.column[lane], columns, lane)
        _fill_mix(rows.diagonal[lane], diagonals, lane)
        rows.column[lane].top = bytes_of(columns.xor[:, lane]) >> 7
        upper = chunks(diagonals.xor[:, lane])
        rows.diagonal[lane].top = upper >> (np.array(_CHUNK_BITS, dtype=np.uint32) - 1)
    return matrix


def _fill_mix(cells: Mix[Array], mixed: Mixed, lane: int) -> None:
    for name in ("a1", "d1", "c1", "b1", "a2", "d2", "c2", "xor"):
        setattr(cells, name, bytes_of(getattr(mixed, name)[:, lane]))
    cells.a1_carry = _carries(*(x[:, lane] for x in (mixed.a, mixed.b, mixed.x)))
    cells.a2_carry = _carries(*(x[:, lane] for x in (mixed.a1, mixed.b1, mixed.y)))


def _carries(*words: Words64) -> NDArray[np.int64]:
    """Carries (n, 3) out of the chunks of a sum of words (n,)."""
    sums = sum(chunks(x).astype(np.int64) for x in words)
    assert not isinstance(sums, int)
    for k in range(CHUNKS):
        sums[:, k] += sums[:, k - 1] if k else 0
        sums[:, k] >>= _CHUNK_BITS[k]
    return sums
