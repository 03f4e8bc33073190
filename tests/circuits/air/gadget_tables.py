"""One tiny table for every gadget, with a table that gives it its operands.

The operands travel over a permutation bus, as they do in a real circuit: the gadget's table cannot choose them, and
every result must follow from them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuits.air import Air, Bus, BusField, BusKind, Circuit, Layout, Table, bit, element, limb, nested, word
from circuits.air.checker import Finding, check_circuit
from circuits.air.expression import Expression, Op
from circuits.air.field import Matrix
from circuits.air.gadgets import (
    AddWords,
    IsZero,
    LessThan,
    MultiplyWords,
    SubtractWords,
    TimeLimbs,
    TimeOrder,
    one_hot,
    range_check,
    select_all,
)
from circuits.air.gadgets.words import (
    LIMBS,
    constrain_decrease,
    constrain_increase,
    constrain_multiply,
    constrain_sum,
    decrease,
    fill_decrease,
    fill_increase,
    fill_multiply,
    increase,
    sum_carries,
)
from circuits.air.layout import RANGE, TraceView, allocate
from circuits.air.mutation import MutationReport, mutate
from circuits.air.mutation.judge import support
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import flatten
from circuits.functions.range import RANGE_16

BUS = "operands bus"
U64 = 4  # limbs
ANY = "any value is a legal operand"


def operand_bus(width: int) -> Bus:
    """The bus on which a gadget's table receives its operands."""
    fields = (BusField("operand", width, "operands of the gadget", "driver"),)
    return Bus(30, "operands", BusKind.PERMUTATION, fields, "Each row takes the operands of one row of the driver.")


class GadgetTable(Table):
    """A table with one gadget; subclasses name the columns that hold its operands."""

    name = "gadget"
    row_order = "rows are independent of each other"
    operands: ClassVar[tuple[str, ...]]
    free_operands: ClassVar[bool] = False

    @abstractmethod
    def gadget(self, air: Air) -> None:
        """The gadget's constraints."""

    def received(self, row: Any) -> list[Expression]:
        """All operands, flat."""
        values = []
        for path in self.operands:
            value = row
            for name in path.split("."):
                value = getattr(value, name)
            values.append(value)
        return list(flatten(values))

    def constraints(self, air: Air) -> None:
        self.gadget(air)
        operands = self.received(air.row)
        air.receive(operand_bus(len(operands)), *operands, count=air.row.real)


class _Driver(Table):
    name = "driver"
    row_order = "rows are independent of each other"

    def constraints(self, air: Air) -> None:
        air.send(operand_bus(len(air.row.operand)), *air.row.operand, count=air.row.real)


def driver(width: int, free: bool) -> type[_Driver]:
    """The table that sends `width` operands per row."""

    class Columns(Layout):
        real = bit("1 on rows with operands")
        operand = element("an operand", width, by="the test's choice", free=ANY if free else None)

    return type("Driver", (_Driver,), {"layout": Columns})


@dataclass
class Case:
    """A filled gadget table; the traces of the other tables follow from it."""

    table: GadgetTable
    matrix: Matrix
    rows: int

    @property
    def view(self) -> TraceView:
        """The filled rows by name."""
        return TraceView(self.table.layout, self.matrix[: self.rows])

    def altered(self, row: int, **cells: Any) -> "Case":
        """A copy with other values in one row; `__` in a name descends into a nested layout."""
        matrix = self.matrix.copy()
        for path, value in cells.items():
            view: Any = TraceView(self.table.layout, matrix[row : row + 1])
            *parents, name = path.split("__")
            for parent in parents:
                view = getattr(view, parent)
            setattr(view, name, np.asarray(value) % 2013265921)
        return Case(self.table, matrix, self.rows)

    def circuit(self, operands: Matrix | None = None) -> tuple[Circuit, list[Matrix], list[list[int]]]:
        """Circuit, traces and public values, given what the driver sends (the honest operands by default)."""
        sent = self.sent() if operands is None else operands
        drives = driver(sent.shape[1], self.table.free_operands)()
        matrix, view = allocate(drives.layout, self.rows)
        view.real = 1
        view.operand = sent
        limbs = RANGE_16.fill(queries(RANGE16, [(self.table, self.matrix)])[:, 0])
        return Circuit("gadget", [self.table, drives, RANGE_16]), [self.matrix, matrix, limbs], [[], [], []]

    def sent(self) -> NDArray[np.uint32]:
        """The operands in the trace (rows, width)."""
        names = self.table.layout.names()
        blocks = [
            self.matrix[: self.rows, [i for i, n in enumerate(names) if n == path or n.startswith(path + "[")]]
            for path in self.table.operands
        ]
        return np.concatenate(blocks, axis=1)


def findings(case: Case, honest: Case | None = None) -> list[Finding]:
    """What the checker says, if the operands are those of the honest case."""
    return check_circuit(*case.circuit(None if honest is None else honest.sent()))


def survivors(case: Case, seed: int = 0) -> MutationReport:
    """The mutations of the gadget's and of the driver's table."""
    return mutate(*case.circuit(), seed=seed, tables={"gadget", "driver"})


class IsZeroTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        value = element("the operand", by=BUS)
        inner = nested(IsZero)

    layout = Columns
    operands = ("value",)

    def gadget(self, air: Air) -> None:
        IsZero.constrain(air, air.row.inner, air.row.value, when=air.row.real)


def is_zero(values: Sequence[int]) -> Case:
    matrix, view = allocate(IsZeroTable.layout, len(values))
    view.real = 1
    view.value = values
    IsZero.fill(view.inner, np.array(values, dtype=np.uint64))
    return Case(IsZeroTable(), matrix, len(values))


class LessThanTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = limb("left operand", 2, by=BUS)
        b = limb("right operand", 2, by=BUS)
        inner = nested(LessThan)

    layout = Columns
    operands = ("a", "b")

    def gadget(self, air: Air) -> None:
        LessThan.constrain(air, air.row.inner, air.row.a, air.row.b)


def less_than(a: Sequence[int], b: Sequence[int], table: type[GadgetTable] = LessThanTable) -> Case:
    matrix, view = allocate(table.layout, len(a))
    left, right = np.array(a, dtype=np.int64), np.array(b, dtype=np.int64)
    view.real = 1
    view.a = np.stack([left & 0xFFFF, left >> 16], axis=1)
    view.b = np.stack([right & 0xFFFF, right >> 16], axis=1)
    LessThan.fill(view.inner, left, right)
    return Case(table(), matrix, len(a))


class TimeLimbsTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        time = element("the time", by="operands bus and the gadget", free=ANY)
        inner = nested(TimeLimbs)

    layout = Columns
    operands = ("time",)
    free_operands = True

    def gadget(self, air: Air) -> None:
        air.require_equal(TimeLimbs.constrain(air, air.row.inner, air.row.real), air.row.time, "the time")


def time_limbs(times: Sequence[int]) -> Case:
    matrix, view = allocate(TimeLimbsTable.layout, len(times))
    view.real = 1
    view.time = times
    TimeLimbs.fill(view.inner, np.array(times, dtype=np.int64))
    return Case(TimeLimbsTable(), matrix, len(times))


class TimeOrderTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        now = element("time of this event", by=BUS)
        inner = nested(TimeOrder)

    layout = Columns
    operands = ("now", "inner.before")

    def gadget(self, air: Air) -> None:
        TimeOrder.constrain(air, air.row.inner, air.row.now, air.row.real)


def time_order(now: Sequence[int], before: Sequence[int]) -> Case:
    matrix, view = allocate(TimeOrderTable.layout, len(now))
    view.real = 1
    view.now = now
    TimeOrder.fill(view.inner, np.array(now, dtype=np.int64), np.array(before, dtype=np.int64))
    return Case(TimeOrderTable(), matrix, len(now))


class OneHotTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        code = element("which flag is 1", by=BUS)
        flag = bit("one per code", 4)

    layout = Columns
    operands = ("code",)

    def gadget(self, air: Air) -> None:
        flags = air.row.flag
        one_hot(air, flags, air.row.real, "flags")
        air.require(flags[1] + 2 * flags[2] + 3 * flags[3] - air.row.code, "flags spell the code")


def one_hot_rows(codes: Sequence[int], table: type[GadgetTable] = OneHotTable) -> Case:
    matrix, view = allocate(table.layout, len(codes))
    view.real = 1
    view.code = codes
    view.flag = np.eye(4, dtype=np.uint32)[np.array(codes)]
    return Case(table(), matrix, len(codes))


class _RangeCheckTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        value = element("the operand", by="operands bus and range check", free=ANY)

    layout = Columns
    operands = ("value",)
    free_operands = True
    bits: ClassVar[int]

    def gadget(self, air: Air) -> None:
        range_check(air, air.row.value, self.bits, air.row.real)


def ranged(values: Sequence[int], bits: int) -> Case:
    table = type("RangeCheckTable", (_RangeCheckTable,), {"bits": bits})()
    matrix, view = allocate(table.layout, len(values))
    view.real = 1
    view.value = values
    return Case(table, matrix, len(values))


class SelectTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        condition = bit("which branch", free=ANY)
        one = element("branch for 1", 2, by=BUS, free=ANY)
        zero = element("branch for 0", 2, by=BUS, free=ANY)
        result = element("the chosen branch", 2, by="the gadget")

    layout = Columns
    operands = ("condition", "one", "zero")
    free_operands = True

    def gadget(self, air: Air) -> None:
        row = air.row
        air.require_equal(row.result, select_all(row.condition, row.one, row.zero), "result")


def selected(condition: Sequence[int], one: NDArray[np.int64], zero: NDArray[np.int64]) -> Case:
    matrix, view = allocate(SelectTable.layout, len(condition))
    view.real = 1
    view.condition = condition
    view.one, view.zero = one, zero
    view.result = np.where(np.array(condition)[:, None] == 1, one, zero)
    return Case(SelectTable(), matrix, len(condition))


class SumTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = limb("left operand", U64, by=BUS)
        b = limb("right operand", U64, by=BUS)
        result = limb("a + b, below 2^64", U64, by=RANGE)
        carry = bit("carry out of each limb but the last one", U64 - 1)

    layout = Columns
    operands = ("a", "b")

    def gadget(self, air: Air) -> None:
        row = air.row
        constrain_sum(air, row.a, row.b, row.carry, row.result, name="sum")


def summed(a: Sequence[int], b: Sequence[int]) -> Case:
    """Numbers below 2^64; a sum beyond is cut off."""
    matrix, view = allocate(SumTable.layout, len(a))
    view.real = 1
    view.a, view.b = limbs(a)[:, :U64], limbs(b)[:, :U64]
    view.result = limbs([x + y for x, y in zip(a, b, strict=True)])[:, :U64]
    view.carry = sum_carries(view.a, view.b)
    return Case(SumTable(), matrix, len(a))


class AddTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = word("left operand", by=BUS)
        b = word("right operand", by=BUS)
        inner = nested(AddWords)

    layout = Columns
    operands = ("a", "b")

    def gadget(self, air: Air) -> None:
        AddWords.constrain(air, air.row.inner, air.row.a, air.row.b)


class SubtractTable(GadgetTable):
    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = word("left operand", by=BUS)
        b = word("right operand", by=BUS)
        inner = nested(SubtractWords)

    layout = Columns
    operands = ("a", "b")

    def gadget(self, air: Air) -> None:
        SubtractWords.constrain(air, air.row.inner, air.row.a, air.row.b)


def words_case(table: type[GadgetTable], fill: Any, a: Sequence[int], b: Sequence[int]) -> Case:
    """A filled `AddTable`, `SubtractTable` or a variant, with the `fill` of its gadget."""
    matrix, view = allocate(table.layout, len(a))
    view.real = 1
    view.a, view.b = limbs(a), limbs(b)
    fill(view.inner, limbs(a), limbs(b))
    return Case(table(), matrix, len(a))


def added(a: Sequence[int], b: Sequence[int], table: type[GadgetTable] = AddTable) -> Case:
    return words_case(table, AddWords.fill, a, b)


def subtracted(a: Sequence[int], b: Sequence[int]) -> Case:
    return words_case(SubtractTable, SubtractWords.fill, a, b)


def change_table(terms: int, *, down: bool) -> type[GadgetTable]:
    """The table of a word plus, or minus, `terms` others."""

    class Columns(Layout):
        real = bit("1 on rows with operands")
        before = word("the word that changes", by=BUS)
        term = limb("what is added or subtracted", (terms, 16), by=BUS)
        inner = nested((decrease if down else increase)(terms))

    class ChangeTable(GadgetTable):
        layout = Columns
        operands = ("before", "term")

        def gadget(self, air: Air) -> None:
            row = air.row
            constrain = constrain_decrease if down else constrain_increase
            constrain(air, row.inner, row.before, *row.term, name="change")

    return ChangeTable


def changed(before: Sequence[int], terms: Sequence[Sequence[int]], *, down: bool) -> Case:
    """`terms`: for each term its value in every row."""
    table = change_table(len(terms), down=down)
    matrix, view = allocate(table.layout, len(before))
    view.real = 1
    view.before = limbs(before)
    view.term = np.stack([limbs(term) for term in terms], axis=1)
    (fill_decrease if down else fill_increase)(view.inner, limbs(before), *map(limbs, terms))
    return Case(table(), matrix, len(before))


def multiply_table(limbs_b: int, limbs_a: int = 16) -> type[GadgetTable]:
    """The table of `limbs_a` limbs times `limbs_b` limbs."""
    product = MultiplyWords(limbs_b, limbs_a)

    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = limb("left operand", limbs_a, by=BUS)
        b = limb("right operand", limbs_b, by=BUS)
        inner = nested(product)

    class MultiplyTable(GadgetTable):
        layout = Columns
        operands = ("a", "b")

        def gadget(self, air: Air) -> None:
            row = air.row
            constrain_multiply(air, product, row.inner, row.a, row.b, count=row.real)

    return MultiplyTable


def multiplied(a: Sequence[int], b: Sequence[int], limbs_b: int, limbs_a: int = 16) -> Case:
    table = multiply_table(limbs_b, limbs_a)
    matrix, view = allocate(table.layout, len(a))
    view.real = 1
    view.a, view.b = limbs(a, limbs_a), limbs(b, limbs_b)
    fill_multiply(view.inner, limbs(a, limbs_a), limbs(b, limbs_b))
    return Case(table(), matrix, len(a))


NOBODY = "nobody: planted weakness"


class _UncheckedDifference(Layout):
    less = bit("1 when a < b")
    borrow = bit("borrow out of the low limb")
    difference = limb("a - b + 2^32 * less", 2, by=NOBODY)


class _FreeBorrow(Layout):
    less = bit("1 when a < b")
    borrow = element("borrow out of the low limb", by=NOBODY)
    difference = limb("a - b + 2^32 * less", 2, by=RANGE)


def _comparing(difference: type[Layout]) -> type[Layout]:
    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = limb("left operand", 2, by=BUS)
        b = limb("right operand", 2, by=BUS)
        inner = nested(difference)

    return Columns


class UncheckedLessThan(LessThanTable):
    """Weakened: the difference is no number of 32 bits."""

    layout = _comparing(_UncheckedDifference)


class FreeBorrowLessThan(LessThanTable):
    """Weakened: the borrow is no bit.

    borrow = -1/2^16 = 30720 modulo the field moves the low limb by one and the high limb by 30720.
    """

    layout = _comparing(_FreeBorrow)


class FreedSelectorLessThan(LessThanTable):
    """Weakened: a bit that is tied to nothing says where ranges are checked."""

    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = limb("left operand", 2, by=BUS)
        b = limb("right operand", 2, by=BUS)
        inner = nested(LessThan)
        checked = bit("1 on rows with range checks; nothing ties it to `real`")

    layout = Columns
    selector = "checked"


class HalfToldLessThan(LessThanTable):
    """Weakened: one operand is left out of the message."""

    operands = ("a",)


class _UncheckedSum(Layout):
    sum = word("a + b", by=NOBODY)
    carry = bit("carry out of each limb", LIMBS)


class _FreeCarry(Layout):
    sum = word("a + b", by=RANGE)
    carry = element("carry out of each limb", LIMBS, by=NOBODY)


def _adding(sum_and_carry: type[Layout]) -> type[Layout]:
    class Columns(Layout):
        real = bit("1 on rows with operands")
        a = word("left operand", by=BUS)
        b = word("right operand", by=BUS)
        inner = nested(sum_and_carry)

    return Columns


class UncheckedAdd(AddTable):
    """Weakened: limbs of the sum are not checked."""

    layout = _adding(_UncheckedSum)


class FreeCarryAdd(AddTable):
    """Weakened: carries are no bits."""

    layout = _adding(_FreeCarry)


class HalfIsZero(IsZeroTable):
    """Weakened: zero is tied to the value by one equation alone."""

    def gadget(self, air: Air) -> None:
        cells, value, real = air.row.inner, air.row.value, air.row.real
        air.require(value * cells.inverse - real + cells.zero, "value * inverse = 1 - zero")


class ManyHotTable(OneHotTable):
    """Weakened: flags need not sum to 1."""

    def gadget(self, air: Air) -> None:
        flags = air.row.flag
        air.require(flags[1] + 2 * flags[2] + 3 * flags[3] - air.row.code, "flags spell the code")


def without(case: Case, constraint: str | None = None, checked: str | None = None) -> Case:
    """The case with one constraint dropped, or with all range checks that read a column."""
    air = copy(case.table.air)
    air.constraints = [c for c in air.constraints if c.name != constraint]
    columns = [c.index for c in case.table.layout.cells() if c.name == checked]
    air.interactions = [
        i
        for i in air.interactions
        if i.bus is not RANGE16 or not any((Op.LOCAL, c) in support(air.graph, i.message[0].index) for c in columns)
    ]
    assert len(air.constraints) + len(air.interactions) < len(case.table.air.constraints + case.table.air.interactions)
    table = copy(case.table)
    vars(table)["air"] = air
    return Case(table, case.matrix, case.rows)


def limbs(values: Sequence[int], count: int = 16) -> NDArray[np.int64]:
    """Integers as little-endian 16-bit limbs (rows, count)."""
    return np.array([[v >> 16 * i & 0xFFFF for i in range(count)] for v in values], dtype=np.int64)


def integers(rows: NDArray[Any]) -> list[int]:
    """Limbs (rows, count) as integers."""
    return [sum(int(v) << 16 * i for i, v in enumerate(row)) for row in rows]
