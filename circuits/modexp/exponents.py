"""Powers: squaring and multiplying over the digits of exponents, of four bits each, from the most significant on.

`Powers` computes the powers of a base up to 15, as far as they are needed, `Exponents` goes through the digits: a
result is squared four times and multiplied by the power of the digit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, range_check, total
from circuits.air.layout import C, Layout, allocate, bit, element, limb
from circuits.air.queries import multiplicities
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.memory.buses import MEMORY_BYTES
from circuits.modexp.buses import EXPONENT, MULTIPLY_MODULO, POWER_OF, POWERS
from circuits.modexp.work import DIGITS, ModexpWork
from circuits.widths import WORD, WORD_BYTES
from executor.modexp import DIGIT_BITS

_MULTIPLY = "multiply_modulo bus, or 0"
_TOKEN = "exponent bus; the rows of an exponent share it"
#: Digits in a limb.
_IN_LIMB = 16 // DIGIT_BITS


class Columns(Layout[C]):
    """A digit per row, or a word of leading zeros."""

    real = bit("1 on rows of exponents")
    first = bit("1: the first row of an exponent")
    last = bit("1: its last row")
    new = bit("1: the first row of a word")
    skips = bit("1: a word of leading zeros, at once")
    frame = element("whose memory, and whose powers", by=_TOKEN)
    modulus = element("id of the modulus", by=_TOKEN)
    result = element("id of the power", by=_TOKEN)
    time = element("when the word is read", by="exponent bus; grows by one with each word")
    offset = element("of the word in the memory", by="exponent bus; grows by 32 with each word")
    left = element("words left, this one included", by="exponent bus; falls by one with each word")
    word = limb("the word", WORD, by="memory_bytes bus; the rows of a word share it")
    at = bit("1 at the limb that the digit is in", WORD)
    place = element("digits that are left in this limb, at most 3", by="counts down from 3")
    done = bit("1: the last digit of its limb")
    digit = element("the digit", by="power_of bus, or 0")
    idle = bit("1: the digit is 0 and does not multiply")
    prefix = element("the digits of this limb up to here", by="its digits")
    started = bit("1: there is a result before this row")
    before = element("id of that", by="the row before, or 0")
    square = element("ids of its square, of the square of that and so on", DIGIT_BITS, by=_MULTIPLY)
    power = element("id of the base's power with the digit", by="power_of bus, or 0")
    after = element("id of the result after this row", by="multiply_modulo bus, square, power or 0")
    ends = element("1: the last row of its word", equals=lambda row: row.skips + row.done * row.at[0])
    stays = element("1: the next row is of the same word", equals=lambda row: (row.real - row.last) * (1 - row.ends))
    multiplies = element("1: the result is multiplied", equals=lambda row: row.started * (row.real - row.idle))
    begun = element("1: there is a result now", equals=lambda row: row.real - row.idle + row.started * row.idle)


class Exponents(Table[Columns]):
    """The digits of exponents.

    The rows of an exponent follow each other. A word is read by its first row and taken limb by limb, four digits each:
    `place` counts down by one and a limb is done only at 0; a row that has passed 0 would need as many rows as the
    field has elements to come back to it. Digits are at most 15 by the powers that there are, so `prefix` is below 2^16
    and equal to the limb as an integer. The same holds of `left`: the exponent ends with the word where it is 1.

    Until the first digit that is not 0 there is no result; if there is none at all, the result is the power 0.
    """

    name = "modexp_exponents"
    row_order = "exponents meet only on buses"

    def constraints(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        for name in ("first", "last", "new", "skips", "done", "idle", "started"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        self._order(air)
        self._digits(air)
        self._results(air)
        air.receive(
            EXPONENT, row.frame, row.time, row.offset, row.left, row.modulus, row.result, count=row.first
        )  # fmt: skip
        air.send(MEMORY_BYTES, row.frame, row.time, 0, row.offset, WORD_BYTES, row.word, count=row.new)
        air.require_equal(
            (after.frame, after.modulus, after.result),
            (row.frame, row.modulus, row.result),
            "the same exponent",
            when=goes_on,
        )
        for name, step in (("time", 1), ("offset", WORD_BYTES), ("left", -1)):
            grown = getattr(after, name) - getattr(row, name) - row.ends * step
            air.require(goes_on * grown, f"{name} of the next word")

    def _order(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        air.require(air.is_first * (real - row.first), "starts with an exponent")
        air.require(air.is_last * goes_on, "ends with one")
        air.require(goes_on * (1 - after.real), "an exponent goes on")
        air.require(after.first - after.real * (1 - goes_on), "an exponent begins where none goes on")
        air.require(row.last * (1 - row.ends), "the last row ends a word")
        air.require(row.last * (row.left - 1), "the last word")
        air.require(after.new - after.first - goes_on * row.ends, "a word begins behind another one")
        air.require(row.skips * (1 - row.new), "a word is skipped as a whole")
        air.require_equal(after.word, row.word, "the same word", when=row.stays)

    def _digits(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        one_hot(air, row.at, real - row.skips, "limb")
        begins = row.new - row.skips
        air.require(begins * (1 - row.at[WORD - 1]), "the highest limb first")
        air.require(begins * (row.place - (_IN_LIMB - 1)), "all digits of the highest limb")
        air.require(begins * (row.prefix - row.digit), "the first digit")
        limb_ = total([flag * x for flag, x in zip(row.at, row.word, strict=True)])
        air.require(row.done * row.place, "no digit is left")
        air.require(row.done * (row.prefix - limb_), "all digits of the limb")
        for i in range(WORD):
            above = row.at[i + 1] if i + 1 < WORD else air.constant(0)
            moved = after.at[i] - row.at[i] - row.done * (above - row.at[i])
            air.require(row.stays * moved, f"next limb {i}")
        left = row.done * (_IN_LIMB - 1) + (1 - row.done) * (row.place - 1)
        air.require(row.stays * (after.place - left), "digits left")
        prefix = (1 - row.done) * row.prefix * DIGITS + after.digit
        air.require(row.stays * (after.prefix - prefix), "next digit")
        air.require(row.idle * row.digit, "an idle digit is 0")
        air.require(row.skips * (1 - row.idle), "a word that is skipped is idle")
        air.require(row.skips * row.started, "only leading words are skipped")
        nothing = (row.place, row.done, row.prefix)
        air.require_equal(nothing, (0, 0, 0), "no digits of a word that is skipped", when=row.skips)
        # The sum of 16 limbs is 0 only if all are.
        air.require(row.skips * total(list(row.word)), "a word that is skipped is 0")

    def _results(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        air.require_equal((row.first * row.started, row.first * row.before), (0, 0), "nothing at first")
        air.require(goes_on * (after.started - row.begun), "there is a result if there was one")
        air.require(goes_on * (after.before - row.after), "the result goes on")
        base = row.before
        for number, square in enumerate(row.square):
            air.query(MULTIPLY_MODULO, base, base, row.modulus, square, count=row.started)
            air.require((1 - row.started) * square, f"no square {number}")
            base = square
        air.query(POWER_OF, row.frame, row.digit, row.power, count=real - row.idle)
        air.require((1 - real + row.idle) * row.power, "no power")
        air.query(MULTIPLY_MODULO, base, row.power, row.modulus, row.after, count=row.multiplies)
        air.require(row.idle * (row.after - base), "an idle digit leaves the square, or nothing")
        air.require((real - row.started) * (1 - row.idle) * (row.after - row.power), "the first power")
        air.require(row.last * row.begun * (row.after - row.result), "result")
        air.query(POWER_OF, row.frame, 0, row.result, count=row.last - row.last * row.begun)


def fill_exponents(work: ModexpWork) -> Matrix | None:
    """The digits of all exponents."""
    digits = work.digits
    if not len(digits.call):
        return None
    call, position = digits.call, digits.position
    matrix, rows = allocate(Columns, len(call))
    skips = position < 0
    place = np.where(skips, 0, position)
    rows.real = 1
    first = np.append(True, call[1:] != call[:-1])
    last = np.append(first[1:], True)
    rows.first, rows.last = first, last
    rows.skips, rows.new = skips, skips | (position == WORD * _IN_LIMB - 1)
    calls = work.running[call]
    rows.frame, rows.modulus, rows.result = work.frame[calls], work.modulus[calls], work.result[calls]
    rows.time = work.exponent_time[calls] + digits.word
    rows.offset = work.exponent_offset[calls] + WORD_BYTES * digits.word
    rows.left = work.exponent_words[calls] - digits.word
    rows.word = work.exponent_limbs(call, digits.word)
    numbers = np.arange(len(call))
    rows.at[numbers[~skips], place[~skips] // _IN_LIMB] = 1
    rows.place = place % _IN_LIMB
    rows.done = ~skips & (place % _IN_LIMB == 0)
    rows.digit, rows.idle = digits.digit, digits.digit == 0
    limb_ = rows.word[numbers, place // _IN_LIMB].astype(np.int64)
    rows.prefix = np.where(skips, 0, limb_ >> DIGIT_BITS * (place % _IN_LIMB))
    # A skipped row begins with its digit, 0, like all others.
    rows.started = digits.before >= 0
    for name in ("before", "power", "after"):
        setattr(rows, name, np.maximum(getattr(digits, name), 0))
    rows.square = np.maximum(digits.square, 0)
    fill_derived(rows)
    return matrix


class PowersColumns(Layout[C]):
    """A power of a base per row."""

    real = bit("1 on rows of powers")
    is_zero = bit("1: the power 0")
    is_one = bit("1: the power 1")
    frame = element("id of the frame that calls", by="powers bus")
    base = element("id of the base", by="powers bus")
    unit = element("id of the number 1", by="powers bus")
    modulus = element("id of the modulus", by="powers bus")
    exponents = element("of the powers that are multiplied, at least 1; or 0", 2, by="power_of bus, and range checks")
    factors = element("ids of these; or base and number 1, or twice number 1", 2, by="power_of bus, or powers bus")
    power = element("id of the power", by="multiply_modulo bus")
    multiplicity = element("how often it is queried", by="balance of the power_of bus")


class Powers(Table[PowersColumns]):
    """base^0 = 1 * 1, base^1 = base * 1, base^(m + n) = base^m * base^n, all modulo the modulus.

    Both factors of a product are powers of at least 1, so each exponent is larger than theirs: what is said of it
    follows from what is said of smaller ones, and in the end from base and 1.
    """

    name = "modexp_powers"
    row_order = "every power is a statement of its own"

    def constraints(self, air: Air[PowersColumns]) -> None:
        row, real = air.row, air.row.real
        products = real - row.is_zero - row.is_one
        air.require(row.is_zero * row.is_one, "the power 0 or 1")
        for name in ("is_zero", "is_one"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        air.query(POWERS, row.frame, row.base, row.unit, row.modulus, count=real)
        for exponent, factor in zip(row.exponents, row.factors, strict=True):
            air.query(POWER_OF, row.frame, exponent, factor, count=products)
            air.query(RANGE16, exponent - 1, count=products)
            air.require((1 - products) * exponent, "no exponent")
        air.require_equal(row.factors, (row.unit, row.unit), "1 * 1", when=row.is_zero)
        air.require_equal(row.factors, (row.base, row.unit), "base * 1", when=row.is_one)
        exponent = row.is_one + total(list(row.exponents))
        range_check(air, exponent, DIGIT_BITS, real)
        air.query(MULTIPLY_MODULO, row.factors, row.modulus, row.power, count=real)
        air.require((1 - real) * row.multiplicity, "padding provides nothing")
        air.provide(POWER_OF, row.frame, exponent, row.power, multiplicity=row.multiplicity)


def fill_powers(work: ModexpWork, asked: NDArray[np.uint32]) -> Matrix | None:
    """All powers, with the counts of the queries (n, 3) of digits, and of their own."""
    if not len(work.powers):
        return None
    call, left, right, *factors, power = work.powers.T
    matrix, rows = allocate(PowersColumns, len(call))
    calls = work.running[call]
    rows.real = 1
    for name in ("frame", "base", "unit", "modulus"):
        setattr(rows, name, getattr(work, name)[calls])
    rows.is_one = (left == 0) & (factors[0] == rows.base)
    rows.is_zero = (left == 0) & (factors[0] != rows.base)
    rows.exponents, rows.factors = np.stack([left, right], axis=1), np.stack(factors, axis=1)
    rows.power = power
    exponent = rows.is_one + left + right
    statements = np.stack([rows.frame, exponent, power], axis=1)
    own = left > 0
    of_own = [np.stack([rows.frame, e, f], axis=1)[own] for e, f in zip((left, right), factors, strict=True)]
    rows.multiplicity = multiplicities(statements, np.concatenate([asked, *of_own]).astype(np.uint32))
    return matrix
