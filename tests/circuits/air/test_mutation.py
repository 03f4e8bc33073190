"""The mutation harness finds planted weaknesses, and nothing in the sound tables they were made from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.air import Air, Bus, BusField, BusKind, Circuit, Layout, Table, bit, element, limb, nested
from circuits.air.field import Matrix
from circuits.air.gadgets import LessThan, TimeOrder
from circuits.air.layout import allocate
from circuits.air.mutation import MutationReport, mutate
from circuits.air.mutation.answers import Answers, answer_mutations
from circuits.air.mutation.judge import Judge, Provided
from circuits.air.mutation.rows import Target
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.functions.range import RANGE_16
from tests.circuits.air.gadget_tables import (
    BUS,
    NOBODY,
    Case,
    FreeBorrowLessThan,
    FreeCarryAdd,
    FreedSelectorLessThan,
    GadgetTable,
    HalfIsZero,
    HalfToldLessThan,
    LessThanTable,
    ManyHotTable,
    UncheckedAdd,
    UncheckedLessThan,
    added,
    is_zero,
    less_than,
    multiplied,
    one_hot_rows,
    subtracted,
    survivors,
    time_order,
    without,
)

A = [0, 5, 1 << 16, 77777, 2**32 - 1, 1234567]
B = [0, 9, 1, 88888, 2**32 - 2, 7654321]

Filled = tuple[Circuit, list[Matrix | None], list[list[int]]]


def kinds(report: MutationReport, column: str) -> set[str]:
    """The kinds of undeclared survivors that name a column."""
    return {s.kind for s in report.survivors if column in s.description}


class TestWeakenedGadgets:
    """Each weakened table has a sound sibling in `test_gadgets` that lets nothing survive."""

    def test_comparison_without_range_check(self) -> None:
        report = survivors(less_than(A, B, UncheckedLessThan))
        assert "repaired row" in kinds(report, "inner.less")
        assert "repaired row" in kinds(report, "inner.borrow")

    def test_sum_without_range_check(self) -> None:
        report = survivors(added(A, B, UncheckedAdd))
        assert "repaired row" in kinds(report, "inner.sum[3]")

    def test_carry_without_constraint(self) -> None:
        report = survivors(added(A, B, FreeCarryAdd))
        assert "repaired row" in kinds(report, "inner.carry[15]")

    def test_borrow_without_boolean(self) -> None:
        assert "repaired row" in kinds(survivors(less_than(A, B, FreeBorrowLessThan)), "inner.borrow")

    def test_selector_freed(self) -> None:
        case = less_than(A, B, FreedSelectorLessThan)
        case.view.checked = 1
        report = survivors(case)
        assert {"cell", "selector"} <= kinds(report, "checked")

    def test_operand_left_out_of_the_message(self) -> None:
        report = survivors(less_than(A, B, HalfToldLessThan))
        assert "repaired row" in kinds(report, "b[0]")
        assert "repaired row" in kinds(report, "b[1]")

    def test_value_that_may_be_called_zero(self) -> None:
        case = is_zero([0, 5, 7])
        report = survivors(Case(HalfIsZero(), case.matrix, case.rows))
        assert "cell" in kinds(report, "inner.inverse")
        assert "repaired row" in kinds(report, "inner.zero")

    def test_flags_that_need_not_sum_to_one(self) -> None:
        report = survivors(one_hot_rows([0, 1, 2, 3, 1, 0], ManyHotTable))
        assert "cell" in kinds(report, "flag[0]")
        assert "repaired row" in kinds(report, "flag[3]")

    def test_message_nobody_looks_at(self) -> None:
        class Columns(Layout):
            real = bit("1 on rows with operands")
            value = element("the operand", by=NOBODY)

        class Weak(GadgetTable):
            layout = Columns
            operands = ("value",)

            def gadget(self, air: Air) -> None:
                """No constraint reads the operand."""

        matrix, view = allocate(Columns, 5)
        view.real, view.value = 1, [0, 1, 5, 4095, 77]
        assert "both ends" in kinds(survivors(Case(Weak(), matrix, 5)), "operand")

    def test_padding_that_sends(self) -> None:
        """A padding row that asks is not inert: none of its cells may be free."""

        class Columns(Layout):
            real = bit("1 on real rows")
            value = element("a value", by=NOBODY)
            asked = limb("a limb, range-checked on rows that are not real too", by="range16")

        class Weak(Table):
            name = "weak"
            layout = Columns
            row_order = "rows are independent"

            def constraints(self, air: Air) -> None:
                air.query(RANGE16, air.row.asked, count=1 - air.row.real)

        matrix, view = allocate(Columns, 3)
        view.real = 1
        report = mutate(*filled([Weak()], [matrix]), tables={"weak"})
        padding = [s for s in report.survivors if s.description == "asked" and s.row == 3]
        assert padding, report
        assert any(s.description == "value" and s.row == 3 for s in report.survivors), "a talking row is not inert"


LARGE = [int.from_bytes(np.random.default_rng(5).bytes(64)[i : i + 32], "big") for i in (0, 32)]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("case", "constraint"),
    [
        pytest.param(lambda: is_zero([0, 5, 7]), name, id=name)
        for name in ("is zero: value * inverse = 1 - zero", "is zero: value * zero = 0", "is zero: inverse * zero = 0")
    ]
    + [pytest.param(lambda: less_than(A, B), name, id=name) for name in ("less than: low limb", "less than: high limb")]
    + [
        pytest.param(lambda: one_hot_rows([0, 1, 2, 3]), name, id=name)
        for name in ("flags: exactly one flag", "flags spell the code")
    ]
    + [pytest.param(lambda: added(LARGE, A[:2]), name, id=name) for name in ("add: limb 0", "add: limb 15")]
    + [
        pytest.param(lambda: subtracted(LARGE, A[:2]), name, id=name)
        for name in ("subtract: limb 7", "subtract: limb 15")
    ]
    + [
        pytest.param(lambda: multiplied(LARGE, B[1:3], 2), name, id=name)
        for name in ("multiply: limb 0", "multiply: limb 9", "multiply: limb 17")
    ],
)
def test_every_equation_counts(case: Callable[[], Case], constraint: str) -> None:
    assert survivors(without(case(), constraint=constraint)).survivors


@pytest.mark.deep
@pytest.mark.parametrize(
    ("case", "column"),
    [pytest.param(lambda: less_than(A, B), f"inner.difference[{i}]", id=f"difference {i}") for i in (0, 1)]
    + [pytest.param(lambda: time_order([9, 70000], [3, 5]), "inner.low", id="time")]
    + [pytest.param(lambda: added(LARGE, A[:2]), f"inner.sum[{i}]", id=f"sum {i}") for i in (0, 9, 15)]
    + [pytest.param(lambda: subtracted(LARGE, A[:2]), f"inner.difference[{i}]", id=f"less {i}") for i in (0, 9, 15)]
    + [pytest.param(lambda: multiplied(LARGE, B[1:3], 2), f"inner.product[{i}]", id=f"product {i}") for i in (0, 9)]
    + [pytest.param(lambda: multiplied(LARGE, B[1:3], 2), f"inner.a_low[{i}]", id=f"byte {i}") for i in (0, 15)],
)
def test_every_range_check_counts(case: Callable[[], Case], column: str) -> None:
    assert survivors(without(case(), checked=column)).survivors


TOKEN = Bus(
    31,
    "token",
    BusKind.PERMUTATION,
    (BusField("value", 1, "value", "writer"), BusField("time", 1, "time of the last access", "sender")),
    "one chain in time order",
)
NAME = Bus(
    32,
    "name",
    BusKind.LOOKUP,
    (BusField("x", 1, "any", "squares"), BusField("square", 1, "its", "squares")),
    "a function",
)


class Access(Table):
    """Reads of one value: receives its token, sends it with its own time."""

    class Columns(Layout):
        real = bit("1 on accesses")
        number = element("number of the access", by="first row 0, step 1")
        value = element("the value", by="token bus")
        order = nested(TimeOrder)

    name = "access"
    layout = Columns
    ordered = True

    def constraints(self, air: Air) -> None:
        row, following = air.row, air.next
        air.require(air.is_first * row.number, "starts at 0")
        air.require(air.is_transition * (following.number - row.number - 1), "steps by 1")
        now = 8 * (row.number + 1)
        if self.ordered:
            TimeOrder.constrain(air, row.order, now, row.real)
        air.receive(TOKEN, row.value, row.order.before, count=row.real)
        air.send(TOKEN, row.value, now, count=row.real)


class UnorderedAccess(Access):
    ordered = False


class Ends(Table):
    """The first and the last token, whose value and time are public."""

    class Columns(Layout):
        real = bit("always 1")

    class Public(Layout):
        value = element("the value", by="segment", free=None)
        last = element("time of the last access", by="segment")
        extra = element("nothing constrains it", by=NOBODY)

    name = "ends"
    layout = Columns
    public = Public

    def constraints(self, air: Air) -> None:
        air.require(1 - air.row.real, "always real")
        air.send(TOKEN, air.public.value, 0, count=air.row.real)
        air.receive(TOKEN, air.public.value, air.public.last, count=air.row.real)


def accesses(table: Access, reads: int = 6) -> Filled:
    """A chain of reads of one value."""
    matrix, view = allocate(table.layout, reads, height=8)
    matrix[:, table.layout.offsets["number"]] = np.arange(8)
    view.real, view.value = 1, 99
    times = 8 * np.arange(1, reads + 1)
    TimeOrder.fill(view.order, times, np.concatenate([[0], times[:-1]]))
    ends = np.ones((1, 1), dtype=np.uint32)
    return filled([table, Ends()], [matrix, ends], [[], [99, 8 * reads, 7]])


class Squares(Table):
    """Provides x^2; the weak one forgets to constrain it."""

    class Columns(Layout):
        multiplicity = element("how often the row is queried", by="balance of the bus")
        x = element("operand", by="the querier")
        square = element("x^2", by="the constraint")

    name = "squares"
    layout = Columns
    selector = None
    row_order = "rows are independent"
    constrained = True

    def constraints(self, air: Air) -> None:
        row = air.row
        if self.constrained:
            air.require(row.x * row.x - row.square, "square")
        air.provide(NAME, row.x, row.square, multiplicity=row.multiplicity)


class UnconstrainedSquares(Squares):
    constrained = False


class Asks(Table):
    """Asks for squares."""

    class Columns(Layout):
        real = bit("1 on rows that ask")
        x = element("operand", by="step 1")
        square = element("its square", by="name bus")

    name = "asks"
    layout = Columns
    orderly = True

    def constraints(self, air: Air) -> None:
        row = air.row
        if self.orderly:
            air.require(air.is_first * row.x, "starts at 0")
            air.require(air.is_transition * (air.next.x - row.x - 1), "steps by 1")
            air.require(1 - row.real, "always real")
        air.query(NAME, row.x, row.square, count=row.real)


class AsksWithoutOrder(Asks):
    orderly = False


def squares(provider: Squares, asks: Asks) -> Filled:
    """Four questions, answered once each."""
    x = np.arange(4, dtype=np.uint32)
    asked, view = allocate(asks.layout, 4)
    view.real, view.x, view.square = 1, x, x * x
    answers, rows = allocate(provider.layout, 4)
    rows.multiplicity, rows.x, rows.square = 1, x, x * x
    return filled([asks, provider], [asked, answers])


def filled(tables: list[Table], traces: list[Matrix], public: list[list[int]] | None = None) -> Filled:
    """A circuit with its range table."""
    limbs = RANGE_16.fill(
        queries(RANGE16, [(t, m) for t, m in zip(tables, traces, strict=True) if t.name != "ends"])[:, 0]
    )
    return Circuit("planted", [*tables, RANGE_16]), [*traces, limbs], [*(public or [[] for _ in tables]), []]


class TestWeakenedCircuits:
    def test_time_order_dropped(self) -> None:
        report = mutate(*accesses(UnorderedAccess()), tables={"access"})
        assert any(s.kind == "exchanged messages" for s in report.survivors), report
        assert "cell" in kinds(report, "order.low")

    def test_time_order_kept(self) -> None:
        report = mutate(*accesses(Access()), tables={"access"})
        assert not report.survivors, report
        assert report.tried["exchanged messages"] > 0
        assert report.tried["both ends"] > 0

    def test_public_value_unused(self) -> None:
        report = mutate(*accesses(Access()), tables={"ends"})
        assert {s.description for s in report.survivors} == {"extra"}, report
        assert {s.kind for s in report.survivors} == {"public value"}
        assert report.tried["public value"] == 6

    def test_provided_function_without_constraint(self) -> None:
        report = mutate(*squares(UnconstrainedSquares(), Asks()), tables={"squares"})
        assert "cell" in kinds(report, "square")

    def test_multiplicities_alone_are_rejected(self) -> None:
        report = mutate(*squares(Squares(), Asks()), tables={"squares"})
        assert not report.survivors, report
        assert not [s for s in report.declared if s.kind == "cell"]

    def test_rows_without_order(self) -> None:
        report = mutate(*squares(Squares(), AsksWithoutOrder()), tables={"asks"})
        assert {"swapped rows", "dropped row", "replayed row", "selector"} <= {s.kind for s in report.survivors}

    def test_rows_in_order(self) -> None:
        report = mutate(*squares(Squares(), Asks()), tables={"asks"})
        assert not report.survivors, report
        assert {"swapped rows", "dropped row", "replayed row"} <= set(report.tried)


class TestReport:
    def test_free_columns_are_declared(self) -> None:
        class Columns(Layout):
            real = bit("1 on rows with operands")
            a = limb("left operand", 2, by=BUS)
            b = limb("right operand", 2, by=BUS)
            inner = nested(LessThan)
            note = element("a remark", by=NOBODY, free="nothing reads it")

        class Remarks(LessThanTable):
            layout = Columns

        report = survivors(less_than(A, B, Remarks))
        assert not report.survivors, report
        assert {s.reason for s in report.declared if s.description == "note"} == {"nothing reads it"}

    def test_row_order_is_declared(self) -> None:
        report = survivors(less_than(A, B))
        swapped = [s for s in report.declared if s.kind == "swapped rows"]
        assert swapped
        assert {s.reason for s in swapped} == {GadgetTable.row_order}

    def test_cells_of_silent_padding_are_inert(self) -> None:
        report = survivors(less_than(A, B))
        assert {s.row for s in report.inert if s.table == "gadget"} <= {6, 7}
        assert not {s.description for s in report.inert} & {"real"}

    def test_every_column_of_sampled_rows_is_tried(self) -> None:
        report = survivors(less_than(A, B))
        coverage = report.coverage["gadget"]
        assert coverage.cells == len(coverage.rows) * LessThanTable.layout.width
        assert {0, 5, 6, 7} <= set(coverage.rows)
        assert coverage.real_rows == len([r for r in coverage.rows if r < 6])
        assert report.tried["cell"] >= 3 * sum(c.cells for c in report.coverage.values())

    def test_the_seed_decides(self) -> None:
        circuit, traces, public = less_than(A, B).circuit()
        first, again, other = (mutate(circuit, traces, public, seed=s, tables={"gadget"}) for s in (1, 1, 2))
        assert first == again
        assert first != other

    def test_survivors_are_readable(self) -> None:
        report = mutate(*accesses(Access()), tables={"ends"})
        assert "public value: table ends, public values: extra 7 -> 8" in str(report)
        assert str(report).startswith("2 undeclared survivors (")

    def test_dishonest_traces_are_refused(self) -> None:
        case = less_than(A, B)
        lie = case.altered(1, inner__less=0)
        with pytest.raises(ValueError, match="mutation starts from honest traces: table gadget, row 1"):
            mutate(*lie.circuit())

    def test_unknown_tables_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no such tables: \\['gadgets'\\]"):
            mutate(*less_than(A, B).circuit(), tables={"gadgets"})

    def test_absent_tables_are_left_out(self) -> None:
        circuit, traces, public = less_than(A, B).circuit()
        absent = Circuit("with an absent table", [*circuit.tables, Squares()])
        report = mutate(absent, [*traces, None], [*public, []], tables={"gadget"})
        assert not report.survivors, report


@pytest.mark.parametrize("height", [1, 2])
@pytest.mark.parametrize("build", [lambda n: is_zero([5] * n), lambda n: added([1] * n, [2] * n)])
def test_the_smallest_tables(height: int, build: Callable[[int], Any]) -> None:
    report = survivors(build(height))
    assert not report.survivors, report


class Flagged(Table):
    """Tells a number by flags, of which the weak one may set several."""

    class Columns(Layout):
        real = bit("1 on rows that tell")
        flags = bit("of the number 1, 2 or 3", 3)

    name = "flagged"
    layout = Columns
    row_order = "rows are independent"
    exclusive = True

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(1 - row.real, "always real")
        if self.exclusive:
            air.require(row.flags[0] + row.flags[1] + row.flags[2] - 1, "exactly one flag")
        air.query(NAME, row.flags[0] + row.flags[1] * 2 + row.flags[2] * 3, 9, count=row.real)


class NotExclusive(Flagged):
    exclusive = False


@pytest.mark.parametrize("table", [Flagged(), NotExclusive()], ids=["exclusive", "not exclusive"])
def test_flags_whose_numbers_add_up(table: Flagged) -> None:
    """The number is looked up, so that no change of a single bit survives."""
    matrix, view = allocate(table.layout, 2)
    view.real = 1
    view.flags[:, 2] = 1
    answers, rows = allocate(Squares.layout, 1)
    rows.multiplicity, rows.x, rows.square = 2, 3, 9
    report = mutate(*filled([table, Squares()], [matrix, answers]), tables={"flagged"})
    assert {s.kind for s in report.survivors} == (set() if table.exclusive else {"flags"})
    assert report.tried["flags"] > 0


def test_what_is_looked_up_is_answered() -> None:
    """Who asks for another square is given it: only the order of the questions objects."""
    for asks in (Asks(), AsksWithoutOrder()):
        judge = Judge(*squares(Squares(), asks))
        target = Target(0, judge.table(0), 4, np.random.default_rng(1))
        found = list(answer_mutations(Answers(judge), target))
        assert found
        for mutation in found:
            (_, _, x, new), (_, _, square, answer) = sorted(mutation.edits, key=lambda edit: edit[2])
            assert (target.name(x), target.name(square)) == ("x", "square")
            assert answer == new * new
        survives = judge.judge([m.edits for m in found], provided=Provided.OTHER_TRUTH).survives
        assert survives.any() == survives.all() == (not asks.orderly)
