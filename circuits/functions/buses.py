"""Buses of the functions: each is a lookup of statements that are true of themselves."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import DIGEST, WORD

#: Keccak-f: a 64-bit lane travels as chunks of 24, 24 and 16 bits, as few elements as whole bytes allow.
LANES = 25
CHUNKS = 3
CHUNK_BITS = (24, 24, 16)

POSEIDON2 = Bus(
    index=1,
    name="poseidon2",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("left", DIGEST, "first half of the compression's input", "querier"),
        BusField("right", DIGEST, "second half", "querier"),
        BusField("output", DIGEST, "C(left, right), field elements", "poseidon2: its constraints"),
    ),
    argument="Every row of the table satisfies output = C(left, right), so whatever is provided is true.",
)

KECCAK_F = Bus(
    index=16,
    name="keccak_f",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField(
            "id", 1, "name of the permutation, never used twice by the table that sends round 0", "keccak: its row"
        ),
        BusField("round", 1, "rounds done so far, 0..24", "keccak_f: one-hot flags; keccak: constants 0 and 24"),
        BusField("state", LANES * CHUNKS, "lane x + 5 y in chunks of 24, 24, 16 bits", "keccak_f: bits on both ends"),
    ),
    argument="A keccak_f row turns (id, r, state) into (id, r + 1, round(r, state)). Only the sponge sends round 0, "
    "once per id, and only it receives round 24: the rows of an id form one chain from its input to its output.",
)

#: The hash functions that the buses below answer for.
KECCAK256_FUNCTION = 0
SHA256_FUNCTION = 1
RIPEMD160_FUNCTION = 2
#: In the place of a function: a code that the verifier has hashed, under its id. Only its words are looked up here.
KNOWN_CODE = 3

HASH_WORD = Bus(
    index=17,
    name="hash_word",
    kind=BusKind.LOOKUP,
    fields=(
        BusField(
            "function", 1, "0: Keccak-256, 1: SHA-256, 2: RIPEMD-160; 3: known code", "a constant of the provider"
        ),
        BusField("id", 1, "name of an input of that function; id of the code", "provider: row of its first block"),
        BusField("index", 1, "which 32 bytes of the input", "provider: its row, and the block's phase"),
        BusField("word", WORD, "these bytes as a big-endian 256-bit word, zeros behind the end", "provider: its bytes"),
    ),
    argument="Ids are row numbers of first blocks, so no two inputs of a function share one. Each row provides the "
    "words that begin in its block; their bytes are those which the function absorbs.",
)

HASH_OUT = Bus(
    index=18,
    name="hash_out",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("function", 1, "0: Keccak-256, 1: SHA-256, 2: RIPEMD-160", "a constant of the provider"),
        BusField("id", 1, "name of an input of that function", "provider: row of its first block"),
        BusField("length", 1, "bytes of the input", "provider: blocks before the end and the place of the padding"),
        BusField("digest", WORD, "big-endian word; 20 bytes of RIPEMD-160 are the lowest", "provider: its rounds"),
    ),
    argument="Only the last block of an input provides its digest, and every input has exactly one last block.",
)

SHA256_ROUNDS = Bus(
    index=80,
    name="sha256_rounds",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("id", 1, "name of the block, never used twice by the table that sends number 0", "sha256: its row"),
        BusField("number", 1, "halves done so far, 0..2", "sha256_rounds: flags; sha256: constants 0 and 2"),
        BusField("state", 2 * 8, "working variables a to h, low limb and high limb of each", "limbs of both senders"),
        BusField(
            "schedule",
            2 * 16,
            "number 0: the block's words in limbs; 1: what the next words of the schedule take of earlier ones, sums "
            "of at most 4 limbs; 2: zeros",
            "sha256_rounds: bits on both ends",
        ),
    ),
    argument="As keccak_f: a row turns (id, n, ...) into (id, n + 1, ...). Only sha256 sends number 0, once per id, "
    "and only it receives number 2.",
)

RIPEMD160_LINES = Bus(
    index=81,
    name="ripemd160_lines",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("id", 1, "name of the block, never used twice for a line by who sends it first", "ripemd160: its row"),
        BusField(
            "number", 1, "0: before the left line, 1: behind it; 2 and 3: of the right one", "constants of all tables"
        ),
        BusField("state", 2 * 5, "variables A to E, low limb and high limb of each", "limbs of both senders"),
        BusField("block", 2 * 16, "words of the block in limbs; zeros behind a line", "ripemd160: limbs"),
    ),
    argument="Only ripemd160 sends numbers 0 and 2, once per id, and only it receives 1 and 3. A row of a line's table "
    "turns (id, n, before, block) into (id, n + 1, after), so what is received is what the block makes of the state.",
)

BLAKE2F_ROUNDS = Bus(
    index=95,
    name="blake2f_rounds",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("id", 1, "name of the call, never used twice by the table that sends number 0", "blake2f: its frame"),
        BusField("number", 1, "rounds done so far; 0, and the rounds of the call", "blake2f; blake2f_rounds: counted"),
        BusField("phase", 1, "the same modulo 10, which names the permutation of the words", "blake2f_rounds: flags"),
        BusField("vector", 3 * 16, "words of the work vector in chunks of 24, 24, 16 bits", "bytes of both receivers"),
        BusField("message", 3 * 16, "words of the message in chunks, which all rounds take", "blake2f: bytes"),
    ),
    argument="As keccak_f: a row turns (id, n, n mod 10, ...) into (id, n + 1, n + 1 mod 10, ...). Only blake2f sends "
    "number 0, once per id, and only it receives the number of its rounds: the rows of an id form one path between "
    "them, of as many rows as there are rounds, since a circle would need as many as the field has elements.",
)

BITWISE_BYTES = Bus(
    index=19,
    name="bitwise_bytes",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("a", 1, "a byte", "bitwise_bytes: its bits"),
        BusField("b", 1, "a byte", "bitwise_bytes: its bits"),
        BusField("xor", 1, "a ^ b, a byte", "bitwise_bytes: its bits"),
    ),
    argument="Every provided triple is built from constrained bits. a & b and a | b need no fields of their own: "
    "a + b = (a ^ b) + 2 (a & b) and a | b = (a ^ b) + (a & b) over the integers.",
)

MULTIPLY = Bus(
    index=50,
    name="multiply",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("a", WORD, "first factor, word limbs", "multiply: byte lookups"),
        BusField("b", WORD, "second factor, word limbs", "multiply: byte lookups"),
        BusField("low", WORD, "a * b modulo 2^256", "multiply: its constraints and range checks"),
        BusField("high", WORD, "a * b // 2^256; 0 where whole is 0", "multiply: its constraints and range checks"),
        BusField("whole", 1, "1: high counts, 0: it is left out", "multiply: boolean or a constant"),
    ),
    argument="Every row of the three tables that provide it computes the product of its bytes: with whole = 1 all of "
    "it, with whole = 0 its low word.",
)

POWER = Bus(
    index=51,
    name="power",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("base", WORD, "word limbs", "querier"),
        BusField("exponent", WORD, "word limbs, not zero", "querier"),
        BusField("power", WORD, "base ** exponent modulo 2^256", "power: multiply"),
    ),
    argument="The last row of a power provides it; the rows up to it have taken the bits of the exponent, all of them.",
)

RANGE15 = Bus(
    index=91,
    name="range15",
    kind=BusKind.LOOKUP,
    fields=(BusField("value", 1, "a number of 15 bits", "range15: the table lists 0..32767"),),
    argument="As range16, with half as many rows.",
)
