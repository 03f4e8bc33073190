"""The precompile MODEXP.

Source: EIP-198, EIP-2565, EIP-7823, EIP-7883; execution-specs `cancun/vm/precompiled_contracts/modexp.py`, `osaka/`.

A call copies the lengths and the head of the exponent to its memory and computes the price. Where that is paid and
there is a modulus, it copies the numbers: each so that it ends with a whole word, since what the input does not have,
and what stands before a number in its first word, are the zeros of a memory that nobody has written. A modulus that is
zero is what the call returns. Otherwise the tables of `circuits.modexp` compute the power, and it is written over the
modulus. `circuits.batch.modexp_plan` has places and times as numbers.

Prices are of two kinds. Where numbers have no bound (`Modexp`), a price may be of any size, and what nobody can pay is
cut. Where they have one (`BoundedModexp`), a call with a longer number fails, and all prices are small integers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.expression import Expression
from circuits.air.field import INVERSE_2_16, Matrix
from circuits.air.gadgets.basic import IsZero, LessThan, range_check, select, total
from circuits.air.gadgets.top_bit import TopBit
from circuits.air.layout import RANGE, Array, C, L, Layout, allocate, bit, element, limb, nested
from circuits.air.queries import multiplicities
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.batch.modexp_plan import HEAD_START, HEADER_TIME, MAX_MODULUS_WORDS, NUMBERS_START
from circuits.batch.precompiles import MODEXP
from circuits.component import Acting, Answering, Component
from circuits.frames.buses import HALT, PRECOMPILE
from circuits.frames.frames import Ending
from circuits.frames.gas import GAS_BITS, MAX_COST, Charge, GasLimb
from circuits.functions.products import MULTIPLY_BUS, query_product
from circuits.instructions.buses import COPY
from circuits.memory.buses import MEMORY_BYTES
from circuits.modexp import below, blocks, exponents, numbers, products, remainders, small
from circuits.modexp.buses import BELOW, BLOCK, EXPONENT, MULTIPLY_MODULO, NUMBER, POWER_OF, POWERS
from circuits.modexp.work import ModexpWork
from circuits.widths import WORD, WORD_BYTES
from executor.forks import CANCUN, Fork, ModexpRules
from executor.modexp import HEADER_BYTES, PRICED_BYTES

_BUS = "precompile bus"
_MEMORY = "memory_bytes bus"
_EQUAL_NUMBER = "that of an equal number, as the words that are read confirm"
_BASE = 1 << 16

#: EIP-2565.
LEAST_GAS, GAS_DIVISOR = CANCUN.modexp.least_gas, CANCUN.modexp.gas_divisor

Integers = NDArray[np.int64]

#: Lengths of base and modulus from 2^19 on, and of the exponent from 2^30 on, have a price that nobody can pay.
_NUMBER_BITS, _EXPONENT_BITS = 3, 14  # of the second limb
#: A length of the exponent where it is read: below 2^25.
_READ_BITS = 9
#: Places in the input and lengths that are compared are below 2^26.
_PLACE_BITS = 26
#: Words of a number times 32, less its length: 0 to 31, or 32 if it has no byte. It may have a word more, up to 63:
#: that is of zeros, as nothing is copied there, and takes rows that pay for its time.
_ROOM_BITS = 6


class Near(Layout[C]):
    """Whether a length is small: `near` is 1 exactly if it is below 2^(16 + bits)."""

    near = bit("1: the length is small")
    rest = nested(IsZero, "whether it has two limbs")

    @staticmethod
    def constrain(air: Air, cells: Any, length: Sequence[Any], bits: int) -> None:
        """`length`: limbs by their owner."""
        real = air.row.real
        # At most 14 limbs: 0 only if all are.
        IsZero.constrain(air, cells.rest, total(list(length[2:])), when=real, name="rest")
        short = cells.rest.zero
        air.require(cells.near * (1 - short), "a small length has two limbs")
        range_check(air, cells.near * length[1], bits, real)
        air.query(RANGE16, length[1] - (1 << bits), count=short - cells.near)

    @staticmethod
    def fill(cells: Any, length: NDArray[np.uint16], bits: int) -> NDArray[np.bool_]:
        """`length`: limbs (rows, 16). Returns which are small (rows,)."""
        rest = length[:, 2:].astype(np.uint64).sum(axis=1)
        near: NDArray[np.bool_] = (rest == 0) & (length[:, 1] < 1 << bits)
        cells.near = near
        IsZero.fill(cells.rest, rest)
        return near


class Part(Layout[C]):
    """What the input has of the bytes of a number: all, some or none of them."""

    some = bit("1: there are bytes of it")
    whole = bit(
        "1: all of it is there, or it has no bytes",
        free="a number without bytes may also be one that begins at the end of the input",
    )
    low = limb("low limb of the distance between their ends", by=RANGE)
    high = limb("and high limb", by="10-bit range check")
    size = element("how many bytes are there", by="its constraint")

    @staticmethod
    def constrain(air: Air, cells: Any, size: Any, start: Expression, length: Expression, when: Any) -> None:
        """The size of what an input of `size` bytes has of `length` bytes from byte `start` on, where `when` is 1.

        All are integers and differences stay within 2^26, so the distance that is shown not to be negative, being in
        [0, 2^26), is one. Where there are bytes, the caller copies them: no copy of 0 bytes, or of less, ends.
        """
        for flag in (cells.some, cells.whole):
            air.require((1 - when) * flag, "nothing of a number that is not asked for")
        there = size - start
        part = select(cells.whole, length, there)
        air.require(cells.size - cells.some * part, "size of the part")
        air.require((1 - cells.some) * cells.whole * length, "nothing of a number without bytes")
        # Some: from the number's end to that of the input, or from one byte behind that. None: from that to its start.
        behind = there - length
        distance = cells.some * (cells.whole * (behind * 2 + 1) - behind - 1)
        distance = distance - (when - cells.some) * (1 - cells.whole) * there
        air.require(distance - cells.low - cells.high * _BASE, "distance of the ends")
        air.require((1 - when) * cells.low, "no distance")
        range_check(air, cells.high, _PLACE_BITS - 16, when)

    @staticmethod
    def fill(cells: Any, size: Integers, start: Integers, length: Integers, when: NDArray[np.bool_]) -> None:
        """Of numbers (rows,)."""
        there = size - start
        some = when & (there > 0) & (length > 0)
        whole = when & np.where(some, there >= length, length == 0)
        behind = there - length
        distance = np.where(some, np.where(whole, behind, -behind - 1), np.where(whole, 0, -there))
        cells.some, cells.whole = some, whole
        cells.size = np.where(some, np.where(whole, length, there), 0)
        distance = np.where(when, distance, 0)
        cells.low, cells.high = distance & 0xFFFF, distance >> 16


class Call(Layout[C]):
    """One call per row: what is known of it, and what it reads before it computes."""

    real = bit("1 on rows that stand for a call")
    frame = element("id of the frame", by=_BUS)
    kind = element("where the input lies: in a buffer or in memory", by=_BUS)
    source = element("which one", by=_BUS)
    start = element("first byte there", by=_BUS)
    size = element("bytes", by=_BUS)
    gas = element("gas given", by=_BUS)
    time = element("time of the call", by=_BUS)
    # The input.
    length = limb("bytes of base, exponent and modulus: words of the input", (3, WORD), by=_MEMORY)
    head = limb("the first 32 bytes of the exponent, or all of a shorter one", WORD, by=_MEMORY)


class Price(Layout[C]):
    """The price of a call whose numbers have no bound."""

    near = nested(Near, "whether these are small", 3)
    bytes = element(
        "the lengths as integers, 0 if they are not small",
        3,
        equals=lambda row: [n.near * (x[0] + x[1] * _BASE) for n, x in zip(row.near, row.length, strict=True)],
    )
    header = nested(Part, "what there is of the lengths")
    head_part = nested(Part, "what there is of the head")
    # The price.
    is_long = bit("1: the exponent has more than 32 bytes; of 32 either")
    is_short = element("1: it has at most 32", equals=lambda row: row.near[1].near - row.near[1].near * row.is_long)
    head_bytes = element(
        "bytes of the head", equals=lambda row: row.is_long * WORD_BYTES + row.is_short * row.length[1][0]
    )
    excess = limb("what it has beyond them, low limb; 0 of one that is not small", by=RANGE)
    borrow = bit("borrow from the high limb of its length")
    excess_high = element(
        "and high limb", equals=lambda row: row.near[1].near * row.is_long * row.length[1][1] - row.borrow
    )
    top = nested(TopBit, "the highest bit of the head")
    squarings = limb("bits of the exponent behind the first one, if it is small", 2, by=RANGE)
    squarings_carry = element("carry out of the low limb", by="4-bit range check")
    squarings_high = element("and out of the high one", by="2-bit range check")
    few = nested(IsZero, "whether there are none")
    both = bit("1: base and modulus are small")
    base_longer = bit("1: both are, and the base is not shorter than the modulus")
    longer = element("bytes of the longer one", by="its constraint")
    longer_low = limb("low limb of the difference", by=RANGE)
    eighths = limb("8 bytes of the longer one each, rounded up; 2^16 if one is not small", by=RANGE)
    eighths_high = bit("and high limb")
    complexity = limb("the square of that", 3, by=MULTIPLY_BUS)
    product = limb("that, times squarings", 5, by=MULTIPLY_BUS)
    cheap = nested(IsZero, "whether that has two limbs")
    quotient = limb("a third of it, rounded down; if it has more, 2^32 - 2^16", 2, by=RANGE)
    remainder = bit("what the division leaves: 1 and 2", 2)
    least: LessThan[C] = nested(LessThan, "whether it is less than the least price")
    cost = limb(
        "gas, low limb", equals=lambda row: row.quotient[0] + row.least.less * (row.real * LEAST_GAS - row.quotient[0])
    )
    gas_limb = nested(GasLimb, "the gas given in limbs")
    lacks: LessThan[C] = nested(LessThan, "whether there is less gas than that")


class Bounded(Layout[C]):
    """Whether a length is within a bound: `near` is 1 exactly if it is at most that."""

    near = bit("1: the length is within the bound")
    rest = nested(IsZero, "whether it has one limb")

    @staticmethod
    def constrain(air: Air, cells: Any, length: Sequence[Any], bound: int) -> None:
        """`length`: limbs by their owner."""
        real = air.row.real
        # At most 15 limbs: 0 only if all are.
        IsZero.constrain(air, cells.rest, total(list(length[1:])), when=real, name="rest")
        short = cells.rest.zero
        air.require(cells.near * (1 - short), "a length within the bound has one limb")
        air.query(RANGE16, bound - length[0], count=cells.near)
        air.query(RANGE16, length[0] - (bound + 1), count=short - cells.near)

    @staticmethod
    def fill(cells: Any, length: NDArray[np.uint16], bound: int) -> NDArray[np.bool_]:
        """`length`: limbs (rows, 16). Returns which are within the bound (rows,)."""
        rest = length[:, 1:].astype(np.uint64).sum(axis=1)
        near: NDArray[np.bool_] = (rest == 0) & (length[:, 0] <= bound)
        cells.near = near
        IsZero.fill(cells.rest, rest)
        return near


class BoundedPrice(Layout[C]):
    """The price of a call whose numbers have a bound."""

    near = nested(Bounded, "whether the lengths are within the bound", 3)
    fits = bit("1: all of them are", equals=lambda row: row.near[0].near * row.near[1].near * row.near[2].near)
    bytes = element(
        "the lengths, 0 of those that are not",
        3,
        equals=lambda row: [n.near * x[0] for n, x in zip(row.near, row.length, strict=True)],
    )
    header = nested(Part, "what there is of the lengths")
    head_part = nested(Part, "what there is of the head")
    # Where a number is too long, all that follows is 0 but for the longer one.
    is_long = bit("1: the exponent has more than 32 bytes")
    head_bytes = element(
        "bytes of the head", equals=lambda row: row.is_long * WORD_BYTES + (row.fits - row.is_long) * row.bytes[1]
    )
    top = nested(TopBit, "the highest bit of the head")
    squarings = element("bits of the exponent behind the first one, as they are counted", by="its constraint")
    few = nested(IsZero, "whether there are none")
    base_longer = bit("1: the base is not shorter than the modulus")
    longer = element(
        "bytes of the longer one", equals=lambda row: row.bytes[2] + row.base_longer * (row.bytes[0] - row.bytes[2])
    )
    is_wide = bit("1: it has more than 32 bytes")
    eighths = limb("8 bytes of it each, rounded up", by=RANGE)
    complexity = element("price of a squaring", by="its constraint")
    product = limb("that, times squarings", 2, by=RANGE)
    least: LessThan[C] = nested(LessThan, "whether it is less than the least price")
    cost = element("gas", by="its constraint")
    charge = nested(Charge)
    succeeds = element("1: it is paid, and all numbers fit", equals=lambda row: row.fits * (1 - row.charge.fails))


class Computed(Layout[C]):
    """What a call that is paid computes."""

    empty = nested(IsZero, "whether the modulus has no bytes")
    works = bit("1: it is paid, and there is a modulus to be read")
    vanishes = bit("1: the modulus is 0")
    runs = bit("1: a power is computed")
    words = element("of base, exponent and modulus, as far as they are read; else 0", 3, by="number and exponent bus")
    part = nested(Part, "what there is of base, exponent and modulus", 3)
    base = element("id of the base", by="number bus, or 0", free=_EQUAL_NUMBER)
    unit = element("id of the number 1", by="number bus, or 0", free=_EQUAL_NUMBER)
    modulus = element("id of the modulus", by="number bus, or 0")
    result = element("id of the result", by="number bus, or 0")
    multiplicity = element("how often the numbers of the powers are queried", by="balance of the powers bus")


class Columns(Computed[C], Price[C], Call[C]):
    """One call per row, of numbers without a bound."""


class BoundedColumns(Computed[C], BoundedPrice[C], Call[C]):
    """One call per row, of numbers with a bound."""


class _Calls(Table[L]):
    """Calls of MODEXP, whatever their price."""

    name = "modexp"
    row_order = "rows meet only on buses"

    def constraints(self, air: Air[Any]) -> None:
        row, real = air.row, air.row.real
        message = (row.kind, row.source, row.start, row.size, row.gas, row.time)
        air.receive(PRECOMPILE, row.frame, real * MODEXP, *message, count=real)
        self._input(air)
        self._price(air)
        self._computation(air)
        end = row.time + HEADER_TIME + total(list(row.words)) * 2 + row.runs * row.words[2]
        # GAS
        ending, left = self._outcome(row)
        start = row.works * (row.words[2] * WORD_BYTES + NUMBERS_START - row.bytes[2])
        air.send(HALT, row.frame, ending, left, start, row.works * row.bytes[2], end, count=real)

    @abstractmethod
    def _lengths(self, air: Air[Any]) -> None:
        """Which lengths are near."""

    @abstractmethod
    def _has_head(self, row: Any) -> Expression:
        """Whether the head is read."""

    @abstractmethod
    def _price(self, air: Air[Any]) -> None:
        """What the call costs, and whether that is paid."""

    @abstractmethod
    def _succeeds(self, row: Any) -> Expression:
        """Whether the call succeeds."""

    @abstractmethod
    def _outcome(self, row: Any) -> tuple[Expression, Expression]:
        """How the call ends, and the gas that it leaves."""

    def _payable(self, air: Air[Any]) -> None:
        """What is paid has lengths that are read."""

    def _input(self, air: Air[Any]) -> None:
        """Lengths and head."""
        row, real = air.row, air.row.real
        self._lengths(air)
        Part.constrain(air, row.header, row.size, air.constant(0), air.constant(HEADER_BYTES), real)
        self._copy(air, row.header, air.constant(0), air.constant(0), row.time)
        for k, length in enumerate(row.length):
            access = (row.frame, row.time + 3 + k, 0, WORD_BYTES * k, WORD_BYTES, length)
            air.send(MEMORY_BYTES, *access, count=real)
        # Its length is 32 where the exponent is long: see `_price`.
        read = self._has_head(row)
        air.require(read * (1 - real), "padding has no head")
        start = row.bytes[0] + HEADER_BYTES
        Part.constrain(air, row.head_part, row.size, start, row.head_bytes, read)
        self._copy(air, row.head_part, start, row.head_bytes * -1 + NUMBERS_START, row.time + 6)
        air.send(MEMORY_BYTES, row.frame, row.time + 7, 0, HEAD_START, WORD_BYTES, row.head, count=real)

    def _copy(self, air: Air[Any], part: Any, start: Expression, to: Expression, time: Expression) -> None:
        row = air.row
        source = (row.kind, row.source, row.start + start)
        air.send(COPY, row.frame, time, time, *source, to, part.size, count=part.some)

    def _computation(self, air: Air[Any]) -> None:
        row, real, bytes_ = air.row, air.row.real, air.row.bytes
        # At most 16 limbs: 0 only if all are.
        IsZero.constrain(air, row.empty, total(list(row.length[2])), when=real, name="empty")
        air.require(row.works - self._succeeds(row) * (1 - row.empty.zero), "works")
        air.require(row.vanishes * (1 - row.works), "a modulus that is 0 is one")
        air.require(row.runs - row.works + row.vanishes, "runs")
        self._payable(air)
        # Words. That they are integers, and at least 1, follows from the rows that take them one by one.
        base, exponent, modulus = row.words
        for words, length, read in zip(row.words, bytes_, (row.runs, row.runs, row.works), strict=True):
            air.require((1 - read) * words, "no words of what is not read")
            range_check(air, read * (words * WORD_BYTES - length), _ROOM_BITS, real)
        range_check(air, modulus - row.works, (MAX_MODULUS_WORDS - 1).bit_length(), real)
        # Modulus, base and exponent follow each other in the memory, and in time.
        end = modulus * WORD_BYTES + NUMBERS_START
        base_end = end + base * WORD_BYTES
        exponent_end = base_end + exponent * WORD_BYTES
        first = row.time + HEADER_TIME
        base_time = first + modulus * 2
        exponent_time = base_time + base * 2
        output_time = exponent_time + exponent * 2
        exponent_start = bytes_[0] + HEADER_BYTES
        modulus_start = exponent_start + bytes_[1]
        places = (
            (row.part[0], air.constant(HEADER_BYTES), bytes_[0], base_end, base_time, row.runs),
            (row.part[1], exponent_start, bytes_[1], exponent_end, exponent_time, row.runs),
            (row.part[2], modulus_start, bytes_[2], end, first, row.works),
        )
        for part, start, length, to, time, read in places:
            Part.constrain(air, part, row.size, start, length, read)
            self._copy(air, part, start, to - length, time)
        reads, writes, unit, zero = ([int(k == i) for i in range(4)] for k in range(4))
        kind = [row.runs * r + row.vanishes * z for r, z in zip(reads, zero, strict=True)]
        own = (row.modulus, modulus, NUMBERS_START, modulus - 1)
        air.send(NUMBER, *kind, row.frame, first + modulus, *own, count=row.works)
        own_base = (row.base, base, end, base - 1)
        air.send(NUMBER, *reads, row.frame, base_time + base, *own_base, count=row.runs)
        air.send(NUMBER, *unit, row.frame, first, row.unit, modulus, 0, modulus - 1, count=row.runs)
        read_time = exponent_time + exponent
        air.send(EXPONENT, row.frame, read_time, base_end, exponent, row.modulus, row.result, count=row.runs)
        air.require((1 - row.runs) * row.multiplicity, "no powers")
        air.provide(POWERS, row.frame, row.base, row.unit, row.modulus, multiplicity=row.multiplicity)
        air.query(BELOW, row.result, row.modulus, count=row.runs)
        own = (row.result, modulus, NUMBERS_START, modulus - 1)
        air.send(NUMBER, *writes, row.frame, output_time, *own, count=row.runs)
        for name in ("base", "unit", "modulus", "result"):
            air.require((1 - row.runs) * getattr(row, name), f"no number: {name}")


class Modexp(_Calls[Columns]):
    """Calls of MODEXP whose numbers have no bound (EIP-2565)."""

    def _lengths(self, air: Air[Columns]) -> None:
        row = air.row
        bits = (_NUMBER_BITS, _EXPONENT_BITS, _NUMBER_BITS)
        for cells, length, own in zip(row.near, row.length, bits, strict=True):
            Near.constrain(air, cells, length, own)

    def _has_head(self, row: Any) -> Expression:
        # Where the base is not small, the price is too high without it.
        found: Expression = row.near[0].near
        return found

    def _succeeds(self, row: Any) -> Expression:
        found: Expression = row.real - row.lacks.less
        return found

    def _outcome(self, row: Any) -> tuple[Expression, Expression]:
        fails = row.lacks.less
        ending = (row.real - fails) * Ending.SUCCEEDED + fails * Ending.UNPAID
        cost = row.cost + row.quotient[1] * _BASE
        return ending, (row.gas - cost) * (1 - fails)

    def _payable(self, air: Air[Columns]) -> None:
        # Lengths of base and modulus that are not small cost more than there may be gas. The exponent's is checked.
        row = air.row
        air.require(row.works * (1 - row.near[1].near), "the exponent is small")
        range_check(air, row.works * row.length[1][1], _READ_BITS, row.real)

    def _price(self, air: Air[Columns]) -> None:
        row, real = air.row, air.row.real
        near = row.near[1].near
        low, high = row.length[1][:2]
        # Squarings. An exponent that is not small counts as one of 2^29 bytes, which are less: 2^32 squarings. Of a
        # small one that is not long the length is at most 32; what a long one has beyond 32 bytes are two limbs.
        air.require((1 - real) * row.is_long, "padding: is_long")
        air.require((real - near) * (1 - row.is_long), "what is not small is long")
        measured = near * row.is_long
        air.require(measured * (low - WORD_BYTES + row.borrow * _BASE) - row.excess, "excess")
        air.require((1 - measured) * row.borrow, "no excess")
        range_check(air, row.excess_high, _EXPONENT_BITS, real)
        air.require(row.is_short * high, "a short exponent has less than 2^16 bytes")
        air.query(RANGE16, row.is_short * (air.constant(WORD_BYTES) - low), count=real)
        top = TopBit.constrain(air, row.top, row.head)
        carry = row.squarings_carry
        air.require(row.excess * 8 + top - row.squarings[0] - carry * _BASE, "squarings: low limb")
        range_check(air, carry, 4, real)
        air.require(row.excess_high * 8 + carry - row.squarings[1] - row.squarings_high * _BASE, "squarings: high limb")
        range_check(air, row.squarings_high, 2, real)
        vast = real - near
        count = row.squarings[0] + row.squarings[1] + row.squarings_high + vast
        IsZero.constrain(air, row.few, count, when=real, name="few")
        squarings = [row.squarings[0] + row.few.zero, row.squarings[1], row.squarings_high + vast]
        # Complexity. Lengths of 2^19 bytes and more count as 2^19: 2^16 parts.
        base, _, modulus = row.bytes
        air.require(row.both - row.near[0].near * row.near[2].near, "both")
        air.require((1 - row.both) * row.base_longer, "only small lengths are compared")
        air.require((1 - row.both) * row.longer_low, "no difference")
        air.require(row.longer - modulus - row.base_longer * (base - modulus), "the longer one")
        # Both lengths are below 2^19.
        difference = (modulus - base) * (real - row.base_longer * 2) - (real - row.base_longer)
        margin = (difference - row.longer_low) * INVERSE_2_16
        air.query(RANGE16, margin, count=row.both)
        air.query(RANGE16, margin * (1 << 13), count=row.both)
        parts = row.eighths + row.eighths_high * _BASE
        air.require((real - row.both) * row.eighths, "2^16 parts: low limb")
        air.require((real - row.both) * (1 - row.eighths_high), "2^16 parts: high limb")
        range_check(air, parts * PRICED_BYTES - row.longer, 3, row.both)
        limbs = [row.eighths, row.eighths_high]
        query_product(air, limbs, limbs, row.complexity, (), whole=1, count=real)
        query_product(air, row.complexity, squarings, row.product, (), whole=1, count=real)
        # A third of less than 2^32; of more, it is above all gas.
        IsZero.constrain(air, row.cheap, total(list(row.product[2:])), when=real, name="cheap")
        cheap, (third, third_high) = row.cheap.zero, row.quotient
        remainder = row.remainder[0] + row.remainder[1] * 2
        air.require(row.remainder[0] * row.remainder[1], "the remainder is at most 2")
        carry = (row.product[1] - third_high * GAS_DIVISOR) * cheap
        range_check(air, carry, 2, real)
        air.require(cheap * (third * GAS_DIVISOR + remainder - row.product[0]) - carry * _BASE, "a third")
        air.require_equal((third, third_high), (0, _BASE - 1), "too much", when=real - cheap)
        air.require((1 - cheap) * remainder, "no remainder")
        LessThan.constrain(air, row.least, row.quotient, (real * LEAST_GAS, air.constant(0)), name="least")
        GasLimb.constrain(air, row.gas_limb, row.gas, real)
        gas = GasLimb.limbs(air, row.gas_limb, row.gas)
        LessThan.constrain(air, row.lacks, gas, (row.cost, third_high), name="lacks")


class BoundedModexp(_Calls[BoundedColumns]):
    """Calls of MODEXP whose numbers have a bound (EIP-7823): with a longer one they fail."""

    def __init__(self, rules: ModexpRules) -> None:
        """The table for these prices and this bound.

        Raises:
            ValueError: the price of a call would not be an integer below 2^30 - 2^27.
        """
        super().__init__()
        self.rules = rules
        if rules.max_number_bytes is None or rules.short_complexity is None or rules.gas_divisor != 1:
            raise ValueError("numbers without a bound, or prices that are divided")
        self.bound, self.short = rules.max_number_bytes, rules.short_complexity
        most = rules.iterations_per_byte * (self.bound - WORD_BYTES) + 8 * WORD_BYTES
        if self.bound >= _BASE or rules.complexity_factor * (self.bound // PRICED_BYTES + 1) ** 2 * most >= MAX_COST:
            raise ValueError("prices that wrap around")

    def _lengths(self, air: Air[BoundedColumns]) -> None:
        row = air.row
        for cells, length in zip(row.near, row.length, strict=True):
            Bounded.constrain(air, cells, length, self.bound)

    def _has_head(self, row: Any) -> Expression:
        found: Expression = row.fits
        return found

    def _succeeds(self, row: Any) -> Expression:
        found: Expression = row.succeeds
        return found

    def _outcome(self, row: Any) -> tuple[Expression, Expression]:
        fits, succeeds = row.fits, row.succeeds
        ending = succeeds * Ending.SUCCEEDED + (fits - succeeds) * Ending.UNPAID + (row.real - fits) * Ending.HALTED
        return ending, (row.gas - row.cost) * succeeds

    def _price(self, air: Air[BoundedColumns]) -> None:
        row, real, rules = air.row, air.row.real, self.rules
        fits, (base, exponent, modulus) = row.fits, row.bytes
        # Each flag says which of two numbers is at least the other one. They are below 2^16: differences are limbs, or
        # negative.
        for flag, more, less in (
            (row.is_long, exponent, air.constant(WORD_BYTES + 1)),
            (row.base_longer, base, modulus),
            (row.is_wide, row.longer, air.constant(WORD_BYTES + 1)),
        ):
            air.require(flag * (1 - fits), "nothing is longer where a number is too long")
            air.query(RANGE16, (more - less) * (flag * 2 - 1) + flag - 1, count=fits)
        # Squarings. The head is 0 where it is not read.
        top = TopBit.constrain(air, row.top, row.head)
        beyond = row.is_long * (exponent - WORD_BYTES)
        air.require(beyond * rules.iterations_per_byte + top - row.squarings, "squarings")
        IsZero.constrain(air, row.few, row.squarings, when=fits, name="few")
        # Complexity.
        air.require((1 - fits) * row.eighths, "no parts of what is too long")
        range_check(air, row.eighths * PRICED_BYTES - row.longer, 3, fits)
        wide = row.eighths * row.eighths * rules.complexity_factor - self.short
        air.require(fits * self.short + row.is_wide * wide - row.complexity, "complexity")
        # Both sides are below 2^30.
        product = row.product[0] + row.product[1] * _BASE
        air.require(row.complexity * (row.squarings + row.few.zero) - product, "product")
        range_check(air, row.product[1], GAS_BITS - 16, real)
        LessThan.constrain(air, row.least, row.product, (real * rules.least_gas, air.constant(0)), name="least")
        air.require(product + row.least.less * (real * rules.least_gas - product) - row.cost, "cost")
        Charge.constrain(air, row.charge, row.gas, row.cost)


def fill(work: ModexpWork, asked: NDArray[np.uint32], rules: ModexpRules) -> Matrix | None:
    """All calls, with the counts of the queries (n, 4) for their numbers."""
    count = len(work.plans)
    if not count:
        return None
    unbounded = rules.max_number_bytes is None
    matrix, rows = _allocate(rules, count)
    inputs = [plan.input for plan in work.plans]
    rows.real = 1
    for name in ("frame", "kind", "source", "start", "size", "gas", "time", "base", "unit", "modulus", "result"):
        setattr(rows, name, getattr(work, name))
    lengths = [[x.lengths[k] for x in inputs] for k in range(3)]
    for k in range(3):
        rows.length[:, k] = _limbs(lengths[k], WORD)
    rows.head = _limbs([plan.input.head if plan.reads_head else 0 for plan in work.plans], WORD)
    if rules.max_number_bytes is None:
        bits = (_NUMBER_BITS, _EXPONENT_BITS, _NUMBER_BITS)
        near = [Near.fill(rows.near[k], rows.length[:, k].astype(np.uint16), bits[k]) for k in range(3)]
    else:
        most = rules.max_number_bytes
        near = [Bounded.fill(rows.near[k], rows.length[:, k].astype(np.uint16), most) for k in range(3)]
    base, exponent, modulus = (
        np.array([x if n else 0 for x, n in zip(lengths[k], near[k], strict=True)], dtype=np.int64) for k in range(3)
    )
    everywhere = np.ones(count, dtype=bool)
    Part.fill(rows.header, work.size, np.zeros_like(base), np.full(count, HEADER_BYTES), everywhere)
    has_head = near[0] if unbounded else near[0] & near[1] & near[2]
    is_long = (exponent > WORD_BYTES) | ~near[1] if unbounded else has_head & (exponent > WORD_BYTES)
    head_bytes = np.where(is_long, WORD_BYTES, exponent)
    Part.fill(rows.head_part, work.size, base + HEADER_BYTES, head_bytes, has_head)
    if unbounded:
        _fill_price(rows, inputs, base, exponent, modulus, is_long)
    else:
        _fill_bounded_price(rows, rules, base, exponent, modulus, has_head)
    empty = rows.length[:, 2].astype(np.uint64).sum(axis=1)
    IsZero.fill(rows.empty, empty)
    works, runs = (np.array([getattr(plan, name) for plan in work.plans], dtype=bool) for name in ("works", "runs"))
    rows.works, rows.vanishes, rows.runs = works, works & ~runs, runs
    rows.words = np.stack([work.base_words, work.exponent_words, work.modulus_words], axis=1)
    starts = np.full(count, HEADER_BYTES), base + HEADER_BYTES, base + exponent + HEADER_BYTES
    for k, (length, read) in enumerate(((base, runs), (exponent, runs), (modulus, works))):
        Part.fill(rows.part[k], work.size, starts[k], length, read)
    provided = np.stack([work.frame, work.base, work.unit, work.modulus], axis=1)
    rows.multiplicity = multiplicities(provided, asked) * runs
    fill_derived(rows)
    return matrix


def _allocate(rules: ModexpRules, rows: int) -> tuple[Matrix, Any]:
    return allocate(Columns if rules.max_number_bytes is None else BoundedColumns, rows)


def _fill_price(
    rows: Columns[Array], inputs: Sequence[Any], base: Integers, exponent: Integers, modulus: Integers, is_long: Any
) -> None:
    near = rows.near[1].near == 1
    rows.is_long = is_long
    excess = np.where(is_long & near, exponent - WORD_BYTES, 0)
    rows.excess = excess & 0xFFFF
    rows.borrow = is_long & near & ((exponent & 0xFFFF) < WORD_BYTES)
    limbs = rows.head.astype(np.int64)
    heads = [sum(int(x) << 16 * i for i, x in enumerate(row)) for row in limbs.tolist()]
    tops = TopBit.fill(rows.top, heads)
    carry = ((excess & 0xFFFF) * 8 + tops) >> 16
    squarings = excess * 8 + tops
    rows.squarings = np.stack([squarings & 0xFFFF, squarings >> 16 & 0xFFFF], axis=1)
    rows.squarings_carry, rows.squarings_high = carry, squarings >> 32
    few = (squarings == 0) & near
    rows.few.zero = few
    total_ = (squarings & 0xFFFF) + (squarings >> 16 & 0xFFFF) + (squarings >> 32) + ~near
    IsZero.fill(rows.few, total_.astype(np.uint64))
    both = (rows.near[0].near == 1) & (rows.near[2].near == 1)
    longer = both & (base >= modulus)
    rows.both, rows.base_longer = both, longer
    rows.longer = np.where(longer, base, modulus)
    rows.longer_low = np.where(longer, base - modulus, np.where(both, modulus - base - 1, 0)) & 0xFFFF
    parts = np.where(both, -(-np.maximum(base, modulus) // PRICED_BYTES), _BASE)
    rows.eighths, rows.eighths_high = parts & 0xFFFF, parts >> 16
    # Products of more than 64 bits: Python integers, a few for each call.
    complexity = [p * p for p in parts.tolist()]
    times = [s + f + ((not n) << 32) for s, f, n in zip(squarings.tolist(), few.tolist(), near.tolist(), strict=True)]
    product = [c * t for c, t in zip(complexity, times, strict=True)]
    rows.complexity, rows.product = _limbs(complexity, 3), _limbs(product, 5)
    IsZero.fill(rows.cheap, rows.product[:, 2:].astype(np.uint64).sum(axis=1))
    cheap = rows.cheap.zero == 1
    third = [p // GAS_DIVISOR if p < 1 << 32 else (_BASE - 1) << 16 for p in product]
    rows.quotient = _limbs(third, 2)
    left = np.array([p % GAS_DIVISOR for p in product], dtype=np.int64) * cheap
    rows.remainder = np.stack([left & 1, left >> 1], axis=1)
    thirds = np.array(third, dtype=np.int64)
    LessThan.fill(rows.least, thirds, np.full(len(thirds), LEAST_GAS))
    gas = rows.gas.astype(np.int64)
    GasLimb.fill(rows.gas_limb, gas)
    LessThan.fill(rows.lacks, gas, np.where(thirds < LEAST_GAS, LEAST_GAS, thirds))


def _fill_bounded_price(
    rows: Any, rules: ModexpRules, base: Integers, exponent: Integers, modulus: Integers, fits: NDArray[np.bool_]
) -> None:
    is_long, base_longer = fits & (exponent > WORD_BYTES), fits & (base >= modulus)
    longer = np.where(base_longer, base, modulus)
    is_wide = fits & (longer > WORD_BYTES)
    rows.is_long, rows.base_longer, rows.is_wide = is_long, base_longer, is_wide
    heads = [sum(int(x) << 16 * i for i, x in enumerate(row)) for row in rows.head.tolist()]
    squarings = TopBit.fill(rows.top, heads) + rules.iterations_per_byte * is_long * (exponent - WORD_BYTES)
    rows.squarings = squarings
    few = fits & (squarings == 0)
    IsZero.fill(rows.few, squarings.astype(np.uint64))
    rows.few.zero = few
    rows.few.inverse = rows.few.inverse * fits
    eighths = np.where(fits, -(-longer // PRICED_BYTES), 0)
    rows.eighths = eighths
    complexity = np.where(is_wide, rules.complexity_factor * eighths**2, (rules.short_complexity or 0) * fits)
    rows.complexity = complexity
    product = complexity * (squarings + few)
    rows.product = np.stack([product & 0xFFFF, product >> 16], axis=1)
    LessThan.fill(rows.least, product, np.full(len(product), rules.least_gas))
    cost = np.maximum(product, rules.least_gas)
    rows.cost = cost
    Charge.fill(rows.charge, rows.gas.astype(np.int64), cost)


def _limbs(values: Sequence[int], limbs: int) -> NDArray[np.uint16]:
    """Integers (n,) as limbs (n, limbs)."""
    data = b"".join(value.to_bytes(2 * limbs, "little") for value in values)
    return np.frombuffer(data, dtype="<u2").reshape(-1, limbs)


def _work(execution: Execution) -> ModexpWork:
    return ModexpWork.of(execution)


def _small(table: small.SmallProducts) -> Answering:
    def answer(execution: Execution, asked: NDArray[np.uint32]) -> Matrix | None:
        return small.fill_small(_work(execution).small_jobs, table, asked)

    return Answering(table, MULTIPLY_MODULO, answer)


def _call_table(rules: ModexpRules) -> Table[Any]:
    return Modexp() if rules.max_number_bytes is None else BoundedModexp(rules)


def components(fork: Fork) -> tuple[Component, ...]:
    """The calls by the rules of a fork, and the tables that compute powers."""
    rules = fork.modexp
    return (
        Answering(_call_table(rules), POWERS, lambda execution, asked: fill(_work(execution), asked, rules)),
        *_POWERS,
    )


_POWERS: tuple[Component, ...] = (
    Answering(
        numbers.NumberWords(),
        NUMBER,
        lambda execution, sent: numbers.fill_number_words(_work(execution).numbers, sent),
    ),
    Acting(exponents.Exponents(), lambda execution: exponents.fill_exponents(_work(execution))),
    Answering(exponents.Powers(), POWER_OF, lambda execution, asked: exponents.fill_powers(_work(execution), asked)),
    Acting(products.Products(), lambda execution: products.fill_products(_work(execution).jobs)),
    Answering(
        remainders.Remainders(),
        MULTIPLY_MODULO,
        lambda execution, asked: remainders.fill_remainders(_work(execution).jobs, asked),
    ),
    *map(_small, (small.TINY, small.SMALL)),
    Answering(below.Below(), BELOW, lambda execution, asked: below.fill_below(_work(execution).numbers, asked)),
    Answering(blocks.Blocks(), BLOCK, lambda execution, asked: blocks.fill_blocks(_work(execution).numbers, asked)),
)
