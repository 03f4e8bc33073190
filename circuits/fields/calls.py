"""Calls of the precompiles that programs answer, and the instances of the programs.

Source: execution-specs `cancun/vm/precompiled_contracts/ecrecover.py`, `alt_bn128.py`, `point_evaluation.py`; EIP-2537
(BLS12-381), EIP-7951 (P256VERIFY).

A call copies its input to the beginning of its frame's own memory, as hash functions do; of inputs of any length only
what programs may read, since nobody pays for the rest. Then it hands a token to the
first instance: how many parts of the input are left, where the next one begins, and which instance was before. The
last instance says what comes of the call. Which programs may stand for a part, and which for the end, is listed with
them; that the program fits the input, its equations prove. Each instance has `INSTANCE_TIME`, whether it runs or
an earlier one has failed: so the time of a call is known from the size of its input.

Which precompiles there are is the fork's: so are the flags of a row, the listings, and the columns for prices with
discounts and for precompiles to whom an input of another length is no failure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from circuits.air import field as arithmetic
from circuits.air.derived import fill_derived
from circuits.air.expression import Expression
from circuits.air.field import INVERSE_2_16, MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, one_hot, range_check, total
from circuits.air.layout import RANGE, C, Layout, Size, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.batch.field_calls import FieldCalls
from circuits.batch.hashed_inputs import HashedInputs
from circuits.batch.precompile_calls import PrecompileCalls
from circuits.batch.precompiles import field_cost, field_extra, field_parts, field_taken, field_wrong
from circuits.component import Acting, Answering, Component
from circuits.fields import machine
from circuits.fields.buses import (
    FIELD_PARTS,
    FIELD_RAN,
    KINDS,
    PART_PRICE,
    PROGRAM_LISTED,
    SELECTED_ROWS,
    START,
    WORD_ROWS,
)
from circuits.fields.listings import Listing, listed, listed_program, listings
from circuits.fields.prices import Prices, fill_prices
from circuits.frames.buses import HALT, PRECOMPILE
from circuits.frames.frames import Ending
from circuits.frames.gas import Charge
from circuits.functions.buses import KECCAK256_FUNCTION, SHA256_FUNCTION
from circuits.instructions.buses import COPY
from circuits.programs.precompiles import PRECOMPILES, Precompile, precompiles_of
from circuits.programs.program import INSTANCE_TIME
from circuits.programs.runs import Runs
from circuits.widths import WORD_BYTES
from executor.forks import Fork

_BUS = "precompile bus"
_LISTED = "its listing"

#: 2^14 parts of 34,000 gas are below 2^30 - 2^27.
_PART_BITS = 14
_NUMBERS = tuple(PRECOMPILES)


class CallColumns(Layout[C]):
    """One call per row."""

    real = bit("1 on rows that stand for a call")
    which = bit("flag of the precompile", Size("precompiles"))
    frame = element("id of the frame", by=_BUS)
    kind = element("where the input lies: in a buffer or in memory", by=_BUS)
    source = element("which one", by=_BUS)
    start = element("first byte there", by=_BUS)
    size = element("bytes", by=_BUS)
    gas = element("gas given", by=_BUS)
    time = element("time of the call", by=_BUS)
    longer = bit("1: the input is longer than what is read of it")
    spare_low = limb("low limb of the bytes that it has more, less 1, or may have more", by=RANGE)
    taken = element("bytes that are copied", equals=lambda row: row.size + row.longer * (_reads(row) - row.size))
    words_low = limb("words that are copied, rounded up: low limb", by=RANGE)
    words_high = limb("and high limb", by="4-bit range check")
    empty: IsZero[C] = nested(IsZero, "whether the size is 0")
    whole_parts = element("whole parts of the input, below 2^14", by="14-bit range check; 0 of a whole")
    more_parts = element("2^14 of them, so often", by="4-bit range check; 0 of a whole")
    few: IsZero[C] = nested(IsZero, "whether that is 0")
    rest = element("bytes behind the whole parts", by="two range checks; 0 of a whole")
    right: IsZero[C] = nested(IsZero, "whether the size is right")
    cost = element("gas, or less than that if there are 2^14 parts or more", by="its constraint")
    charge = nested(Charge)
    runs = element("1: programs run", equals=lambda row: row.right.zero * (1 - row.charge.fails))
    fails = bit("1: a program proves that the call fails")
    outputs = element("words that it returns", by="field_ran bus")
    returns = bit("1: it returns some")


class DiscountedColumns(CallColumns[C]):
    """With precompiles whose parts cost less the more there are."""

    discounted = bit("1: the more parts there were, the less each would cost")
    extra = element("gas beyond what so many parts cost of many; else 0", by="part_price bus")


class LenientColumns(DiscountedColumns[C]):
    """With precompiles that return nothing for an input of another length."""

    passes = element(
        "1: the size is not right, which is paid and no failure",
        equals=lambda row: _lenient(row) * (1 - row.right.zero) * (1 - row.charge.fails),
    )


def _flags(row: Any) -> dict[int, Any]:
    """The flags of a row by the numbers of the precompiles: a fork's are the first ones."""
    return dict(zip(_NUMBERS, row.which, strict=False))


def _reads(row: Any) -> Any:
    """Bytes that programs may read of an input of any length, of which only the beginning matters."""
    return total([flag * PRECOMPILES[n].reads for n, flag in _flags(row).items() if PRECOMPILES[n].reads])


def _lenient(row: Any) -> Any:
    return total([flag for n, flag in _flags(row).items() if PRECOMPILES[n].lenient])


@cache
def _layout(precompiles: tuple[Precompile, ...]) -> type[CallColumns[Any]]:
    """The columns of calls of these precompiles."""
    if any(p.lenient for p in precompiles):
        columns: type[CallColumns[Any]] = LenientColumns
    else:
        columns = DiscountedColumns if any(p.discounts for p in precompiles) else CallColumns
    return columns.sized(precompiles=len(precompiles))


class FieldCallsTable(Table[CallColumns]):
    """The precompiles of a fork that programs answer: what they cost, take and return."""

    name = "field_calls"
    row_order = "rows meet only on buses"

    def __init__(self, precompiles: tuple[Precompile, ...]) -> None:
        """The table for calls of these precompiles."""
        super().__init__(layout=_layout(precompiles))
        self.precompiles = precompiles

    def constraints(self, air: Air[CallColumns]) -> None:
        row, real = air.row, air.row.real
        flags = _flags(row)
        parted_ones = [p for p in self.precompiles if p.stride]
        exact_ones = [p for p in self.precompiles if p.length is not None]
        one_hot(air, list(row.which), real, "precompile")
        number = total([flag * n for n, flag in flags.items()])
        message = (row.kind, row.source, row.start, row.size, row.gas, row.time)
        air.receive(PRECOMPILE, row.frame, number, *message, count=real)

        # What is copied. A size is at most 2^24, so what it is more or less than what is read is below 2^25; were it
        # negative, it would be above the modulus less 2^25.
        is_open, longer = total([flags[p.number] for p in self.precompiles if p.reads]), row.longer
        spare = longer * (row.size - _reads(row) - 1) + (is_open - longer) * (_reads(row) - row.size)
        range_check(air, (spare - row.spare_low) * INVERSE_2_16, 9, is_open)
        air.require((1 - is_open) * longer, "no other input is cut")
        air.require((1 - is_open) * row.spare_low, "no other input has bytes to spare")

        # The size: in words, as for hash functions, and in parts. There are less than 2^18 of them, and `test_bounds`
        # compares that many with the modulus: so size = parts * stride + rest is one of integers.
        words = row.words_low + row.words_high * (1 << 16)
        range_check(air, row.words_high, 4, real)
        range_check(air, words * WORD_BYTES - row.taken, 5, real)
        IsZero.constrain(air, row.empty, row.size, when=real, name="empty")
        nothing = air.constant(0)
        parted = total([nothing, *(flags[p.number] for p in parted_ones)])
        stride = total([nothing, *(flags[p.number] * p.stride for p in parted_ones)])
        all_parts = row.whole_parts + row.more_parts * (1 << _PART_BITS)
        range_check(air, row.whole_parts, _PART_BITS, parted)
        range_check(air, row.more_parts, 4, parted)
        air.query(RANGE16, row.rest, count=parted)
        air.query(RANGE16, stride - 1 - row.rest, count=parted)
        air.require(parted * (row.size - row.rest) - stride * all_parts, "parts of the input")
        for name in ("whole_parts", "more_parts", "rest"):
            air.require((1 - parted) * getattr(row, name), f"a whole: {name}")
        exact = total([nothing, *(flags[p.number] for p in exact_ones)])
        length = total([nothing, *(flags[p.number] * int(p.length or 0) for p in exact_ones)])
        off = exact * row.size - length + row.rest
        # The rest is below 2^16, and 0 of nothing.
        if nonempty := [flags[p.number] for p in self.precompiles if p.nonempty]:
            off = off + total(nonempty) * row.empty.zero
        IsZero.constrain(air, row.right, off, when=real, name="right size")

        # GAS. Who has 2^14 parts or more lacks gas for 2^14 of them, or is not proved: what 2^14 parts cost is below
        # 2^30 - 2^27, and gas that is given is not negative.
        IsZero.constrain(air, row.few, row.more_parts, when=real, name="few parts")
        base = total([flags[p.number] * p.gas[0] for p in self.precompiles])
        each = total([nothing, *(flags[p.number] * p.steady_gas for p in parted_ones)])
        counted = row.whole_parts + (1 - row.few.zero) * ((1 << _PART_BITS) - row.whole_parts)
        cost = base + each * counted
        if isinstance(row, DiscountedColumns):
            cost = cost + self._extra(air, row, number, counted)
        air.require(cost - row.cost, "cost")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        air.require(row.runs * (1 - row.few.zero), "many parts are not paid")

        # OPERATION
        for name in ("fails", "outputs", "returns"):
            air.require((1 - row.runs) * getattr(row, name), f"nothing runs: {name}")
        output = words * WORD_BYTES
        copies = row.runs * (1 - row.empty.zero)
        air.send(COPY, row.frame, row.time, row.time, row.kind, row.source, row.start, 0, row.taken, count=copies)
        token = (row.frame, number, row.whole_parts, 0, 0, row.time + words, output)
        air.send(FIELD_PARTS, *token, count=row.runs)
        air.receive(FIELD_RAN, row.frame, row.fails, row.outputs, row.returns, count=row.runs)

        # The end of the frame. A size that is not right makes the call fail whatever its gas.
        wrong = real - row.right.zero
        unpaid = row.right.zero - row.runs
        ending = wrong * Ending.HALTED + unpaid * Ending.UNPAID
        ending = ending + row.runs * Ending.SUCCEEDED + row.fails * (Ending.HALTED - Ending.SUCCEEDED)
        succeeds = row.runs - row.fails
        if isinstance(row, LenientColumns):
            # For a lenient one it makes the call return nothing, if its gas is paid.
            ending = ending + _lenient(row) * wrong * (Ending.UNPAID - Ending.HALTED)
            ending = ending + row.passes * (Ending.SUCCEEDED - Ending.UNPAID)
            succeeds = succeeds + row.passes
        left = (row.gas - row.cost) * succeeds
        end = row.time + row.runs * (words + (row.whole_parts + 1) * INSTANCE_TIME)
        returned = (row.returns * output, row.outputs * WORD_BYTES)
        air.send(HALT, row.frame, ending, left, *returned, end, count=real)

    def _extra(self, air: Air[CallColumns], row: DiscountedColumns, number: Expression, counted: Expression) -> Any:
        """What parts cost beyond many of them.

        Where the size is right, parts that are few enough are looked up with their number, and others are shown to be
        more: both cannot be. Where it is not, the call fails whatever its price.
        """
        ones = [p for p in self.precompiles if p.discounts]
        priced = total([_flags(row)[p.number] for p in ones]) * row.right.zero
        air.require(row.discounted * (1 - priced), "no other price has a discount")
        air.require(row.discounted * (1 - row.few.zero), "2^14 parts or more have none")
        air.require((1 - row.discounted) * row.extra, "nothing beyond")
        air.query(PART_PRICE, number, row.whole_parts, row.extra, count=row.discounted)
        # At most 2^14 - 129: a negative number is no limb.
        longest = max(len(p.discounts) for p in ones)
        air.query(RANGE16, counted - (longest + 1), count=priced - row.discounted)
        return row.extra


class InstanceColumns(Layout[C]):
    """One instance of a program per row."""

    real = bit("1 on rows that stand for an instance")
    program = element("number of the program", by="prover's choice among those listed")
    precompile = element("that it answers", by=_LISTED)
    part = bit("1: it stands for a part of the input")
    fails = bit("1: the call fails")
    linked = bit("1: it reads registers of the instance before")
    outputs = element("words that it returns", by=_LISTED)
    returns = bit("1: it returns some")
    stride = element("bytes of a part", by=_LISTED)
    wide = bit("1: its registers have 48 bytes")
    kinds = bit("which rows it has", len(KINDS))
    frame = element("id of the frame", by="field_parts bus")
    parts_left = element("parts that are left", by="field_parts bus")
    parts_inverse = element("inverse of that for a part, else 0", by="its constraint")
    offset = element("first byte of the next one", by="field_parts bus")
    link = element("the instance before, or 0", by="field_parts bus")
    time = element("when it begins, its name", by="field_parts bus")
    output = element("first byte of what is returned", by="field_parts bus")
    goes_on = element("1: another instance follows", equals=lambda row: row.part * (1 - row.fails))


class Instances(Table[InstanceColumns]):
    """Instances of programs: each is started once, with all kinds of rows that it has.

    Its time names it: of all instances of a run no two have the same, and none has 0 (see `FIELD_PARTS`).

    A program of a part that reads no other instance stands for a first part only, or makes the call fail, whatever is
    before. One that does fails to read anything where there is none: no register has the instance 0, but constants,
    whose numbers are others. A part must be left for it, so that none fails on what is behind the input.
    """

    name = "field_instances"
    row_order = "rows meet only on buses"

    def constraints(self, air: Air[InstanceColumns]) -> None:
        row, real = air.row, air.row.real
        for name in ("part", "fails", "linked", "returns", "wide"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        for k, flag in enumerate(row.kinds):
            air.require(flag * (1 - real), f"padding: kind {k}")
        answers = (row.precompile, row.part, row.fails, row.linked, row.outputs, row.returns, row.stride, row.wide)
        air.query(PROGRAM_LISTED, row.program, *answers, row.kinds, count=real)

        here = (row.frame, row.precompile)
        air.receive(FIELD_PARTS, *here, row.parts_left, row.offset, row.link, row.time, row.output, count=real)
        air.require((real - row.part) * row.parts_left, "no part is left at the end")
        air.require(row.parts_left * row.parts_inverse - row.part, "a part is left for a part")
        air.require((1 - row.part) * row.parts_inverse, "an inverse only for a part")
        air.require((1 - row.linked) * (1 - row.fails) * row.link, "what comes before is read")
        following = (row.parts_left - 1, row.offset + row.stride, row.time, row.time + INSTANCE_TIME, row.output)
        air.send(FIELD_PARTS, *here, *following, count=row.goes_on)
        air.send(FIELD_RAN, row.frame, row.fails, row.outputs, row.returns, count=real - row.goes_on)

        parameters = {
            SELECTED_ROWS: (row.link, 0, 0),
            WORD_ROWS: (row.frame, row.offset, row.output),
        }
        for kind, flag in zip(KINDS, row.kinds, strict=True):
            started = row.wide * len(KINDS) + kind
            air.send(START, started, row.time, row.program, *parameters.get(kind, (0, 0, 0)), count=flag)


def fill_calls(execution: Execution) -> Matrix | None:
    """All calls that programs answer."""
    calls = FieldCalls.of(execution)
    if not len(calls.frame):
        return None
    precompiles = precompiles_of(execution.fork)
    layout = _layout(precompiles)
    matrix, rows = allocate(CallColumns, len(calls.frame), layout)
    rows.real = 1
    rows.which = calls.number[:, None] == [p.number for p in precompiles]
    for name in ("frame", "kind", "source", "start", "size", "gas", "time"):
        setattr(rows, name, getattr(calls, name))
    size = calls.size
    taken, parts = field_taken(calls.number, size), field_parts(calls.number, size)
    words = -(-taken // WORD_BYTES)
    reads = np.array([PRECOMPILES[n].reads for n in calls.number.tolist()], dtype=np.int64)
    rows.longer = taken < size
    rows.spare_low = np.where(reads > 0, np.where(taken < size, size - reads - 1, reads - size), 0) & 0xFFFF
    rows.words_low, rows.words_high = words & 0xFFFF, words >> 16
    IsZero.fill(rows.empty, size.astype(np.uint64))
    rows.whole_parts, rows.more_parts = parts & ((1 << _PART_BITS) - 1), parts >> _PART_BITS
    IsZero.fill(rows.few, (parts >> _PART_BITS).astype(np.uint64))
    strides = np.array([PRECOMPILES[n].stride for n in calls.number.tolist()], dtype=np.int64)
    rest = np.where(strides > 0, size - parts * strides, 0)
    rows.rest = rest
    lengths = [PRECOMPILES[n].length for n in calls.number.tolist()]
    off = np.array([0 if n is None else s - n for n, s in zip(lengths, size.tolist(), strict=True)], dtype=np.int64)
    nonempty = np.array([PRECOMPILES[n].nonempty for n in calls.number.tolist()])
    IsZero.fill(rows.right, ((off + rest + (nonempty & (size == 0))) % MODULUS).astype(np.uint64))
    # Many parts cost as many as are counted, with the same rest.
    counted = np.where(strides > 0, np.minimum(size, (strides << _PART_BITS) + rest), size)
    cost = field_cost(calls.number, counted)
    rows.cost = cost
    if isinstance(rows, DiscountedColumns):
        rows.extra = field_extra(calls.number, counted)
        most = np.array([len(PRECOMPILES[n].discounts) for n in calls.number.tolist()], dtype=np.int64)
        rows.discounted = (parts <= most) & (most > 0) & ~field_wrong(calls.number, size)
    Charge.fill(rows.charge, calls.gas, cost)
    rows.fails, rows.outputs, rows.returns = calls.fails, calls.outputs, calls.outputs > 0
    fill_derived(rows)
    return matrix


def fill_instances(execution: Execution) -> Matrix | None:
    """The instances of the programs, in the order of calls and parts."""
    calls = FieldCalls.of(execution)
    count = len(calls.instances)
    if not count:
        return None
    matrix, rows = allocate(InstanceColumns, count)
    rows.real = 1
    precompiles = [PRECOMPILES[n] for n in calls.precompile.tolist()]
    variants = zip(precompiles, calls.instances, strict=True)
    fields = np.array([listed_program(p, i.variant) for p, i in variants], dtype=np.int64)
    listed_fields = ("program", "precompile", "part", "fails", "linked", "outputs", "returns", "stride", "wide")
    for k, name in enumerate(listed_fields):
        setattr(rows, name, fields[:, k])
    rows.kinds = fields[:, len(listed_fields) :]
    machine = calls.machine
    requests = [machine.requests[i] for i in machine.own.tolist()]
    links = [machine.requests[r.linked - 1].time if r.linked else 0 for r in requests]
    rows.frame, rows.offset, rows.link, rows.time, rows.output = np.array(
        [(r.frame, r.input, link, r.time, r.output) for r, link in zip(requests, links, strict=True)], dtype=np.int64
    ).T
    left = calls.parts_left
    rows.parts_left, rows.parts_inverse = left, arithmetic.inverse(left.astype(np.uint64)) * rows.part
    fill_derived(rows)
    return matrix


def _machine(execution: Execution) -> Runs:
    """The instances of an execution, with the names of what they hash."""
    calls = FieldCalls.of(execution)
    names = {KECCAK256_FUNCTION: HashedInputs.of(execution).find, SHA256_FUNCTION: PrecompileCalls.of(execution).find}
    for runs in calls.machine.programs.values():
        if runs.program.hashes is not None:
            inputs = [calls.machine.runs[i].hashed_bytes for i in runs.which.tolist()]
            runs.hashed = names[runs.program.hashes[0]](inputs)
    return calls.machine


def _acting(table: Table, fill: Callable[[Runs], Matrix | None]) -> Acting:
    return Acting(table, lambda execution: fill(_machine(execution)))


@cache
def _listings(precompile: int) -> list[Listing]:
    """The tables that list the programs of a precompile: the same ones in all circuits."""
    return listings(precompile, listed()[precompile])


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of the machine, and of the calls of a fork that it answers."""
    precompiles = precompiles_of(fork)
    discounted = tuple(p for p in precompiles if p.discounts)
    prices = Prices(discounted)
    return (
        Acting(FieldCallsTable(precompiles), fill_calls),
        Acting(Instances(), fill_instances),
        *(_acting(table, fill) for table, fill in machine.TABLES),
        *(_acting(table, table.fill) for p in precompiles for table in _listings(p.number)),
        *([Answering(prices, PART_PRICE, lambda _, asked: fill_prices(prices, asked))] if discounted else []),
    )
