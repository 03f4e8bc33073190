"""Buses of the field machine: registers, digits of scalars, the rows of programs, and who runs them."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind

#: What a START message is for: the kinds of rows that a program has.
NARROW_ROWS, WIDE_ROWS, SELECTED_ROWS, BIT_ROWS, WORD_ROWS = range(5)

KINDS = (NARROW_ROWS, WIDE_ROWS, SELECTED_ROWS, BIT_ROWS, WORD_ROWS)

#: Bytes of the registers that the machine knows.
LIMBS = (32, 48)


def start_kind(limbs: int, kind: int) -> int:
    """The kind of rows in a START message for registers of so many bytes."""
    return kind + len(KINDS) * LIMBS.index(limbs)


_PROGRAM = BusField("program", 1, "number of the program", "listing: a constant")
_ROW = BusField("row", 1, "which row of this kind", "listing: a constant")
_LAST = BusField("last", 1, "1: the last one of the program", "listing: a constant")
_LISTED = (
    "The messages are constants of the circuit. A row of an instance looks up its own, so that what it does is "
    "what the program says."
)


def _register(index: int, limbs: int) -> Bus:
    return Bus(
        index=index,
        name=f"register_{limbs}",
        kind=BusKind.LOOKUP,
        fields=(
            BusField("instance", 1, "of a program; 0: constants", "provider: start bus"),
            BusField("index", 1, "of the register: base of its kind and row", "provider: a constant and its row"),
            BusField("digits", limbs, "from -128 to 127, or to 255 for words and bits", "provider: bytes"),
        ),
        argument="The rows of a kind of an instance follow each other from 0 on, once, and each provides its own "
        "register: no register has two values. Constants are listed under an instance that no start names. Names are "
        "unique in a run: a linked instance may be in a part before, and its registers are carried.",
    )


REGISTER_32 = _register(82, 32)
REGISTER_48 = _register(83, 48)
REGISTERS = dict(zip(LIMBS, (REGISTER_32, REGISTER_48), strict=True))

START = Bus(
    index=84,
    name="field_start",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("kind", 1, "which rows: narrow, wide, selected, bits, words; 5 more for 48 bytes", "sender: listed"),
        BusField("instance", 1, "when it begins, above 0: its name", "field_instances: field_parts bus"),
        BusField("program", 1, "that it runs", "field_instances: listed"),
        BusField("first", 1, "selected: the linked instance; words: the frame; else 0", "sender"),
        BusField("second", 1, "words: first byte of the input; else 0", "sender"),
        BusField("third", 1, "words: first byte of the output; else 0", "sender"),
    ),
    argument="field_instances sends each kind of an instance once, and the first row of that kind receives it: the "
    "rows of an instance exist once, all of them.",
)

NARROW_LISTED = Bus(
    index=85,
    name="narrow_listed",
    kind=BusKind.LOOKUP,
    fields=(
        _PROGRAM,
        _ROW,
        _LAST,
        BusField("modulus", 1, "number of the modulus", "listing: a constant"),
        BusField("operands", 5, "registers A to E", "listing: constants"),
        BusField("coefficients", 8, "b, c, f, g, d, e, s and the constant", "listing: constants"),
        BusField("distinct", 1, "1: b B + c C is not zero", "listing: a constant"),
    ),
    argument=_LISTED,
)

WIDE_LISTED = Bus(
    index=86,
    name="wide_listed",
    kind=BusKind.LOOKUP,
    fields=(
        _PROGRAM,
        _ROW,
        _LAST,
        BusField("modulus", 1, "number of the modulus", "listing: a constant"),
        BusField("operands", 10, "registers of four products, then two linear ones", "listing: constants"),
        BusField("coefficients", 8, "of products, linear terms, s and the constant", "listing: constants"),
    ),
    argument=_LISTED,
)

SELECTED_LISTED = Bus(
    index=87,
    name="selected_listed",
    kind=BusKind.LOOKUP,
    fields=(
        _PROGRAM,
        _ROW,
        _LAST,
        BusField("linked", 1, "1: from the linked instance", "listing: a constant"),
        BusField("constant", 1, "1: from the constants", "listing: a constant"),
        BusField("base", 1, "register that it copies where all digits are 0", "listing: a constant"),
        BusField("terms", 16, "four times: used, weight, number of the bits, position", "listing: constants"),
    ),
    argument=_LISTED,
)

BITS_LISTED = Bus(
    index=88,
    name="bits_listed",
    kind=BusKind.LOOKUP,
    fields=(_PROGRAM, _ROW, _LAST),
    argument=_LISTED,
)

WORD_LISTED = Bus(
    index=89,
    name="word_listed",
    kind=BusKind.LOOKUP,
    fields=(
        _PROGRAM,
        _ROW,
        _LAST,
        BusField("places", 4, "flags: read, written, hashed, digest", "listing: constants"),
        BusField("position", 1, "which word; bytes that are hashed of a digest", "listing: a constant"),
        BusField("function", 1, "of what is hashed, as on hash_word", "listing: a constant"),
        BusField("compared", 1, "number of what it is compared with, 0: nothing", "listing: a constant"),
        BusField("below", 1, "1: it is below that", "listing: a constant"),
    ),
    argument=_LISTED,
)

DIGIT = Bus(
    index=90,
    name="field_digit",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("instance", 1, "of a program", "field_bits: start bus"),
        BusField("bits", 1, "number of the bits in the program", "field_bits: its row"),
        BusField("position", 1, "0..127", "field_bits: a constant"),
        BusField("digit", 1, "two bits", "field_bits: its bits"),
    ),
    argument="As for registers: each row of bits exists once in an instance.",
)

PROGRAM_LISTED = Bus(
    index=92,
    name="program_listed",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("program", 1, "number of the program", "listing: a constant"),
        BusField("precompile", 1, "that it answers", "listing: a constant"),
        BusField("part", 1, "1: a part of the input, 0: all of it, or the end", "listing: a constant"),
        BusField("fails", 1, "1: the call fails", "listing: a constant"),
        BusField("linked", 1, "1: it reads registers of the instance before", "listing: a constant"),
        BusField("outputs", 1, "words that it returns", "listing: a constant"),
        BusField("returns", 1, "1: it returns some", "listing: a constant"),
        BusField("stride", 1, "bytes of a part", "listing: a constant"),
        BusField("wide", 1, "1: its registers have 48 bytes", "listing: a constant"),
        BusField("kinds", len(KINDS), "flags: it has rows of that kind", "listing: constants"),
    ),
    argument=_LISTED,
)

FIELD_PARTS = Bus(
    index=93,
    name="field_parts",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "field_calls: precompile bus"),
        BusField("precompile", 1, "its number", "field_calls: precompile bus"),
        BusField("parts", 1, "of the input that are left", "sender"),
        BusField("offset", 1, "first byte of the next one", "sender"),
        BusField("linked", 1, "name of the instance before, or 0", "sender"),
        BusField("time", 1, "when the next instance begins, which names it", "sender"),
        BusField("output", 1, "first byte of what is returned", "field_calls"),
    ),
    argument="A call sends one token and every instance receives one; an instance for a part that does not fail sends "
    "the next, so the instances of a call form a chain, in the order of the parts, until one sends the result. Each "
    "takes as much time, so a cycle beside a chain would need as many rows as the field has elements. Parts count "
    "down, so the instances of a call begin before its end, and calls lie one behind the other: no two have the same "
    "time.",
)

FIELD_RAN = Bus(
    index=94,
    name="field_ran",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "field_calls: precompile bus"),
        BusField("fails", 1, "1: the call fails", "field_instances: listed"),
        BusField("outputs", 1, "words that it returns", "field_instances: listed"),
        BusField("returns", 1, "1: it returns some", "field_instances: listed"),
    ),
    argument="The last instance of a call sends it, and the call receives it.",
)

PART_PRICE = Bus(
    index=140,
    name="part_price",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("precompile", 1, "its number", "listing: a constant"),
        BusField("parts", 1, "of its input", "listing: a constant"),
        BusField("extra", 1, "gas that they cost beyond so many of many", "listing: a constant"),
    ),
    argument="The messages are constants of the circuit: one for each number of parts with a discount of its own.",
)
