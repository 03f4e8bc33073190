"""The buses of the Keccak tables and of the byte table."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind

LANES = 25
#: A 64-bit lane travels as chunks of 24, 24 and 16 bits: as few elements as whole bytes allow below the modulus.
CHUNKS = 3
CHUNK_BITS = (24, 24, 16)
WORD = 16

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

KECCAK_WORD = Bus(
    index=17,
    name="keccak_word",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("id", 1, "name of a hashed input", "keccak: row of its first block"),
        BusField("index", 1, "which 32 bytes of the input", "keccak: its row and phase"),
        BusField(
            "word", WORD, "these bytes as a big-endian 256-bit word, zeros behind the end", "keccak: byte lookups"
        ),
    ),
    argument="Ids are row numbers of first blocks, so no two inputs share one. Each row provides the words that begin "
    "in its block; their bytes are those which the sponge absorbs.",
)

KECCAK_OUT = Bus(
    index=18,
    name="keccak_out",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("id", 1, "name of a hashed input", "keccak: row of its first block"),
        BusField("length", 1, "bytes of the input", "keccak: blocks before the last and the place of the padding"),
        BusField("digest", WORD, "Keccak-256 of the input as a big-endian word", "keccak_f bus and byte lookups"),
    ),
    argument="Only the last block of an input provides its digest, and every input has exactly one last block.",
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

ALL = (KECCAK_F, KECCAK_WORD, KECCAK_OUT, BITWISE_BYTES)
