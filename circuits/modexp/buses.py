"""Buses of modular exponentiation: numbers in blocks of 32 bytes, what is proved about them, and powers."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import WORD_BYTES

#: Coefficients of a product of two blocks.
DIAGONAL_SIZE = 2 * WORD_BYTES - 1

BLOCK = Bus(
    index=110,
    name="number_block",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("number", 1, "id of the number", "blocks: counted"),
        BusField("index", 1, "which block, the least significant is 0", "blocks: counted within the number"),
        BusField("count", 1, "how many blocks the number has", "blocks: its last row"),
        BusField("bytes", WORD_BYTES, "the block, least significant byte first", "blocks: byte lookups"),
    ),
    argument="The table counts ids and indices from row to row, so that a block has one row, and a number has the "
    "blocks 0 to count - 1. So what rows say of the same id they say of the same number.",
)

DIAGONAL = Bus(
    index=111,
    name="diagonal",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("a", 1, "first factor", "number_block bus"),
        BusField("b", 1, "second factor", "number_block bus"),
        BusField("quotient", 1, "what is subtracted, times the modulus", "number_block bus"),
        BusField("modulus", 1, "the modulus", "number_block bus"),
        BusField("index", 1, "sum of the indices of the blocks multiplied", "products: its blocks"),
        BusField("final", 1, "1: there is no further diagonal", "products: the last blocks of both factors"),
        BusField(
            "coefficients",
            DIAGONAL_SIZE,
            "sums of products of bytes of a and b, less those of quotient and modulus, by the place of their product",
            "products: sums",
        ),
    ),
    argument="Every message sent is true: it is the sum over all pairs of blocks whose indices have this sum. "
    "Remainders receives the diagonals of a product from 0 to the final one, each once.",
)

MULTIPLY_MODULO = Bus(
    index=112,
    name="multiply_modulo",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("a", 1, "first factor", "remainders: diagonal bus"),
        BusField("b", 1, "second factor", "remainders: diagonal bus"),
        BusField("modulus", 1, "of at most 256 blocks", "remainders: diagonal bus"),
        BusField("remainder", 1, "a * b less a multiple of the modulus that is not negative", "remainders: carries"),
    ),
    argument="The rows of a product add up all its diagonals and all blocks of the remainder to 0, as an integer.",
)

BELOW = Bus(
    index=113,
    name="below",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("number", 1, "id of a number", "below: number_block bus"),
        BusField("bound", 1, "id of a larger one", "below: number_block bus"),
    ),
    argument="The rows of a comparison add a difference of limbs and 1 to the number, and get the bound.",
)

NUMBER = Bus(
    index=114,
    name="number",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("reads", 1, "1: the words of the memory are the blocks of the number", "sender: a constant"),
        BusField("writes", 1, "1: the blocks are written to the memory", "sender: a constant"),
        BusField("unit", 1, "1: the number is 1, whatever the memory holds", "sender: a constant"),
        BusField("zero", 1, "1: the words are zeros, there is no number", "sender: at most one of the four is 1"),
        BusField("frame", 1, "whose memory", "sender"),
        BusField("time", 1, "of the next access", "sender"),
        BusField("number", 1, "id of the number; 0 for zeros", "sender"),
        BusField("count", 1, "its blocks", "sender"),
        BusField("offset", 1, "of the next word in the memory", "sender"),
        BusField("index", 1, "its block, from the most significant one down to 0", "sender"),
    ),
    argument="A call sends one token for each of its numbers, and the rows of numbers take the words one by one: the "
    "row of block 0 alone sends none.",
)

EXPONENT = Bus(
    index=115,
    name="exponent",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "whose memory, and whose powers", "sender"),
        BusField("time", 1, "of the first read", "sender"),
        BusField("offset", 1, "of the exponent's most significant word in the memory", "sender"),
        BusField("words", 1, "of the exponent, at least 1", "sender"),
        BusField("modulus", 1, "id of the modulus", "sender"),
        BusField("result", 1, "id of the power", "exponent: its last row"),
    ),
    argument="The call sends it, and the first row of an exponent receives it: the rows of an exponent follow each "
    "other, so there is one run of them for each call.",
)

POWERS = Bus(
    index=116,
    name="powers",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame that calls", "modexp: precompile bus"),
        BusField("base", 1, "id of the base", "modexp: number bus"),
        BusField("unit", 1, "id of the number 1", "modexp: number bus"),
        BusField("modulus", 1, "id of the modulus", "modexp: number bus"),
    ),
    argument="A frame calls once, so its call alone says which numbers these are.",
)

POWER_OF = Bus(
    index=117,
    name="power_of",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame that calls", "powers: powers bus"),
        BusField("exponent", 1, "0 to 15", "powers: a sum, and a range check"),
        BusField("power", 1, "id of the base to that power, modulo the modulus", "powers: multiply_modulo bus"),
    ),
    argument="A row multiplies two powers of smaller exponents, or states the power 0 or 1 of the base that its call "
    "names: so every statement is true.",
)
