"""The search for second witnesses finds what weakened tables leave open, and nothing in sound ones."""

from __future__ import annotations

from collections.abc import Callable

import galois
import numpy as np
import pytest

from circuits.air import Air, Bus, BusField, BusKind, Circuit, Layout, Table, bit, element, limb
from circuits.air.checker import check_circuit
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import allocate
from circuits.air.range_buses import RANGE16
from circuits.air.witness import FreeDirection, Lookups, Witnesses, _null_space, _roots, _solved, free_directions
from circuits.functions.range import RANGE_16
from circuits.segment import FilledSegment, fill, segment_circuit
from executor.forks import CANCUN
from scripts.batches.everything import execution
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
    ManyHotTable,
    UncheckedAdd,
    UncheckedLessThan,
    added,
    changed,
    is_zero,
    less_than,
    limbs,
    multiplied,
    one_hot_rows,
    ranged,
    selected,
    subtracted,
    summed,
    time_limbs,
    time_order,
    without,
)

A = [0, 5, 1 << 16, 77777, 2**32 - 1, 1234567]
B = [0, 9, 1, 88888, 2**32 - 2, 7654321]
LARGE = [int.from_bytes(np.random.default_rng(5).bytes(64)[i : i + 32], "big") for i in (0, 32)]


def found(case: Case, lookups: Lookups = "held", window: int = 1) -> list[FreeDirection]:
    """What is found in the gadget's rows; every finding is put into the table and shown to the checker."""
    circuit, traces, public = case.circuit()
    rows = range(len(case.matrix) - window + 1)
    rng = np.random.default_rng(1)
    directions = free_directions(circuit, traces, public, "gadget", rows, rng, lookups=lookups, window=window)
    for direction in directions:
        assert direction.lookups == lookups
        assert {change.row for change in direction.changes} <= set(direction.rows)
        altered = case.matrix.copy()
        for change in direction.changes:
            assert altered[change.row, change.column] == change.old != change.new
            altered[change.row, change.column] = change.new
        second = Case(case.table, altered, case.rows)
        # The driver still sends the honest operands; the range table answers what is asked now.
        assert check_circuit(*second.circuit(case.sent())) == []
    return directions


def columns(directions: list[FreeDirection]) -> set[frozenset[str]]:
    """The sets of columns that change together."""
    return {frozenset(direction.columns) for direction in directions}


HONEST = [
    pytest.param(lambda: is_zero([0, 5, 7]), id="is zero"),
    pytest.param(lambda: less_than(A, B), id="less than"),
    pytest.param(lambda: time_limbs([0, 70000, 2**29 - 1]), id="time limbs"),
    pytest.param(lambda: time_order([9, 70000], [3, 5]), id="time order"),
    pytest.param(lambda: one_hot_rows([0, 1, 2, 3]), id="one hot"),
    pytest.param(lambda: ranged([0, 5, 4095], 12), id="range"),
    pytest.param(lambda: selected([0, 1], limbs([1, 2], 2), limbs([3, 4], 2)), id="select"),
    pytest.param(lambda: summed([1, 2**63], [2, 2**63 - 1]), id="sum"),
    pytest.param(lambda: added(LARGE, A[:2]), id="add"),
    pytest.param(lambda: subtracted(LARGE, A[:2]), id="subtract"),
    pytest.param(lambda: changed(LARGE, [[1, 2**200], [7, 2**100]], down=False), id="increase"),
    pytest.param(lambda: changed([2**255, 2**254], [[1, 2**200], [7, 2**100]], down=True), id="decrease"),
    pytest.param(lambda: multiplied(LARGE, B[1:3], 2), id="multiply"),
]


@pytest.mark.parametrize("case", HONEST[:-1])
def test_honest_gadgets_have_one_witness(case: Callable[[], Case]) -> None:
    assert found(case(), "free") == []


@pytest.mark.deep
def test_honest_products_have_one_witness() -> None:
    assert found(multiplied(LARGE, B[1:3], 2), "free") == []


@pytest.mark.parametrize("case", HONEST)
def test_their_cells_are_proved_to_be_determined(case: Callable[[], Case]) -> None:
    honest = case()
    witnesses = Witnesses(*honest.circuit())
    for row in range(honest.rows):
        outcome = witnesses.search("gadget", row, np.random.default_rng(1))
        assert (outcome.determined, outcome.directions) == (honest.table.width, ())


class Pair(GadgetTable):
    """Cells of which only the sum is told."""

    terms = 2

    class Columns(Layout):
        real = bit("1 on rows with operands")
        total = element("the sum", by=BUS)
        a = element("a term", 3, by=NOBODY)

    layout = Columns
    operands = ("total",)

    def gadget(self, air: Air) -> None:
        a = air.row.a
        air.require_equal(a[0] + 2 * a[1] + 3 * a[2], air.row.total, "sum")
        if self.terms == 2:
            air.require_equal(a[2], a[1] * 0, "no third term")
        if self.terms == 3:
            air.require_equal(a[0] - a[1] + 5 * a[2], 4, "a second equation", when=air.row.real)


class Triple(Pair):
    terms = 3


class Product(Pair):
    """Two factors of a told product."""

    def gadget(self, air: Air) -> None:
        a = air.row.a
        air.require_equal(a[0] * a[1], air.row.total, "product")
        air.require_equal(a[2], a[0] * a[1], "the product again")


class Square(Pair):
    """Square roots: two isolated solutions."""

    def gadget(self, air: Air) -> None:
        a = air.row.a
        air.require_equal(a[0] * a[0], air.row.total, "square")
        air.require_equal(a[1], a[0] * a[0] * a[0], "cube")
        air.require_equal(a[2], 0, "unused")


class Cube(Pair):
    """a (a - 1) (a - 5) + total is 0 for three values, which are no neighbours."""

    def gadget(self, air: Air) -> None:
        a = air.row.a
        air.require_equal(a[0] * (a[0] - 1) * (a[0] - 5), air.row.total, "cubic")
        air.require_equal(a[1], a[0], "the same")
        air.require_equal(a[2], 0, "unused")


def terms(table: type[Pair], *values: tuple[int, int, int, int]) -> Case:
    matrix, view = allocate(table.layout, len(values))
    view.real = 1
    view.total = [v[0] for v in values]
    view.a = np.array([v[1:] for v in values])
    return Case(table(), matrix, len(values))


class TestDirections:
    def test_two_cells_that_make_up_for_each_other(self) -> None:
        assert columns(found(terms(Pair, (19, 5, 7, 0)))) == {frozenset({"a[0]", "a[1]"})}

    def test_three_cells(self) -> None:
        # 5 + 2 * 6 + 3 * 1 = 20, 5 - 6 + 5 = 4: one direction, in which all three move.
        assert columns(found(terms(Triple, (20, 5, 6, 1)))) == {frozenset({"a[0]", "a[1]", "a[2]"})}

    def test_factors_of_a_product(self) -> None:
        """No line: the first factor moves, the other one is solved for."""
        assert columns(found(terms(Product, (35, 5, 7, 35)))) == {frozenset({"a[0]", "a[1]"})}

    def test_a_factor_beside_zero(self) -> None:
        """At 0 * 7 one factor may be anything, the other one only with it at 0."""
        assert frozenset({"a[1]"}) in columns(found(terms(Product, (0, 0, 7, 0))))

    def test_isolated_roots(self) -> None:
        assert columns(found(terms(Square, (49, 7, 343, 0)))) == {frozenset({"a[0]", "a[1]"})}
        assert columns(found(terms(Cube, (0, 5, 5, 0)))) == {frozenset({"a[0]", "a[1]"})}

    def test_the_reported_rows_and_values(self) -> None:
        (direction,) = found(terms(Pair, (19, 5, 7, 0), (8, 2, 3, 0)))[:1]
        assert direction.table == "gadget"
        assert direction.rows == (0,)
        assert {c.name: c.old for c in direction.changes} == {"a[0]": 5, "a[1]": 7}
        assert str(direction).startswith("table gadget, lookups held: a[0] in row 0: 5 -> ")

    def test_declared_cells_keep_their_values(self) -> None:
        class Declared(Pair):
            class Columns(Layout):
                real = bit("1 on rows with operands")
                total = element("the sum", by=BUS)
                a = element("a term", 3, by=NOBODY, free="any three terms")

            layout = Columns

        assert found(terms(Declared, (19, 5, 7, 0))) == []

    def test_padding_may_hold_anything(self) -> None:
        case = terms(Pair, (19, 5, 7, 0), (8, 2, 3, 0), (5, 5, 0, 0))
        witnesses = Witnesses(*case.circuit())
        outcome = witnesses.search("gadget", 3, np.random.default_rng(1))
        assert outcome.directions == ()


class Running(GadgetTable):
    """A number that grows by 1 from row to row; nothing says where it starts."""

    class Columns(Layout):
        real = bit("1 on rows with operands")
        step = element("what is added", by=BUS)
        number = element("the number", by=NOBODY)

    layout = Columns
    operands = ("step",)

    def gadget(self, air: Air) -> None:
        row, following = air.row, air.next
        air.require(air.is_transition * (following.number - row.number - row.step), "the next number")


def test_cells_of_several_rows() -> None:
    """One row is held by its neighbours; the whole table can move."""
    matrix, view = allocate(Running.layout, 4)
    view.real, view.step = 1, [3, 4, 5, 6]
    view.number = [1, 4, 8, 13]
    case = Case(Running(), matrix, 4)
    assert found(case) == []
    (direction,) = found(case, window=4)
    assert [(change.row, change.name) for change in direction.changes] == [(row, "number") for row in range(4)]


class TestWeakenedGadgets:
    """The weakened tables of the mutation tests: what a liar may choose is found without trying."""

    def test_comparison_without_range_check(self) -> None:
        changed_together = columns(found(less_than(A[1:3], B[1:3], UncheckedLessThan)))
        assert frozenset({"inner.less", "inner.difference[1]"}) in changed_together
        assert frozenset({"inner.borrow", "inner.difference[0]", "inner.difference[1]"}) in changed_together

    def test_borrow_without_boolean(self) -> None:
        case = less_than(A[1:3], B[1:3], FreeBorrowLessThan)
        assert found(case) == []  # the range checks tell the limbs
        assert any("inner.borrow" in direction.columns for direction in found(case, "free"))

    def test_sum_without_range_check(self) -> None:
        changed_together = columns(found(added(A[1:2], B[1:2], UncheckedAdd)))
        assert frozenset({"inner.sum[3]", "inner.sum[4]", "inner.carry[3]"}) in changed_together

    def test_carry_without_constraint(self) -> None:
        case = added(A[1:2], B[1:2], FreeCarryAdd)
        assert found(case) == []
        assert any("inner.carry[15]" in direction.columns for direction in found(case, "free"))

    def test_selector_freed(self) -> None:
        case = less_than(A[1:3], B[1:3], FreedSelectorLessThan)
        case.view.checked = 1
        assert found(case) == []
        assert frozenset({"checked"}) in columns(found(case, "free"))

    def test_operand_left_out_of_the_message(self) -> None:
        changed_together = columns(found(less_than(A[1:3], B[1:3], HalfToldLessThan), "free"))
        assert frozenset({"b[0]", "inner.difference[0]"}) in changed_together

    def test_value_that_may_be_called_zero(self) -> None:
        case = is_zero([0, 5, 7])
        assert columns(found(Case(HalfIsZero(), case.matrix, case.rows))) == {
            frozenset({"inner.inverse"}),
            frozenset({"inner.inverse", "inner.zero"}),
        }

    def test_flags_that_need_not_sum_to_one(self) -> None:
        changed_together = columns(found(one_hot_rows([0, 3], ManyHotTable)))
        assert {frozenset({"flag[0]"}), frozenset({"flag[1]", "flag[2]", "flag[3]"})} <= changed_together


EQUATIONS = [
    pytest.param(lambda: is_zero([0, 5, 7]), name, id=name)
    for name in ("is zero: value * inverse = 1 - zero", "is zero: value * zero = 0", "is zero: inverse * zero = 0")
]
EQUATIONS += [
    pytest.param(lambda: less_than(A, B), name, id=name) for name in ("less than: low limb", "less than: high limb")
]
EQUATIONS += [
    pytest.param(lambda: one_hot_rows([0, 1, 2, 3]), name, id=name)
    for name in ("flags: exactly one flag", "flags spell the code")
]
EQUATIONS += [pytest.param(lambda: added(LARGE, A[:2]), name, id=name) for name in ("add: limb 0", "add: limb 15")]
EQUATIONS += [
    pytest.param(lambda: subtracted(LARGE, A[:2]), name, id=name) for name in ("subtract: limb 7", "subtract: limb 15")
]
EQUATIONS += [
    pytest.param(lambda: multiplied(LARGE, B[1:3], 2), name, id=name)
    for name in ("multiply: limb 0", "multiply: limb 9", "multiply: limb 17")
]

RANGES = [pytest.param(lambda: less_than(A, B), f"inner.difference[{i}]", id=f"difference {i}") for i in (0, 1)]
RANGES += [pytest.param(lambda: time_order([9, 70000], [3, 5]), "inner.low", id="time")]
RANGES += [pytest.param(lambda: added(LARGE, A[:2]), f"inner.sum[{i}]", id=f"sum {i}") for i in (0, 9, 15)]
RANGES += [pytest.param(lambda: subtracted(LARGE, A[:2]), f"inner.difference[{i}]", id=f"less {i}") for i in (0, 9, 15)]
RANGES += [pytest.param(lambda: multiplied(LARGE, B[1:3], 2), f"inner.product[{i}]", id=f"product {i}") for i in (0, 9)]
RANGES += [pytest.param(lambda: multiplied(LARGE, B[1:3], 2), f"inner.a_low[{i}]", id=f"byte {i}") for i in (0, 15)]


@pytest.mark.deep
@pytest.mark.parametrize(("case", "constraint"), EQUATIONS)
def test_every_equation_counts(case: Callable[[], Case], constraint: str) -> None:
    assert found(without(case(), constraint=constraint), "free")


@pytest.mark.deep
@pytest.mark.parametrize(("case", "column"), RANGES)
def test_every_range_check_counts(case: Callable[[], Case], column: str) -> None:
    assert found(without(case(), checked=column), "free")


class Doubles(Table):
    """Provides (x, 2 x); the weak one provides any second number that is a limb."""

    class Columns(Layout):
        multiplicity = element("how often the row is queried", by="balance of the bus")
        x = element("operand", by="the querier")
        low = limb("2 x without its carry", by="range16")
        carry = bit("carry of 2 x")

    name = "gadget"
    layout = Columns
    selector = None
    doubles = True

    def constraints(self, air: Air) -> None:
        row = air.row
        air.query(RANGE16, row.low, count=1)
        if self.doubles:
            air.require(2 * row.x - row.low - (1 << 16) * row.carry, "2 x")
        air.provide(DOUBLE, row.x, row.low, row.carry, multiplicity=row.multiplicity)


class NoDoubles(Doubles):
    doubles = False


class AsksDoubles(Table):
    """Asks for doubles of numbers that it is told, and tells their low limb."""

    class Columns(Layout):
        real = bit("1 on rows that ask")
        x = element("operand", by="step 1")
        low = element("low limb of 2 x", by="double bus")
        carry = element("its carry", by="double bus")

    name = "asks"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(air.is_first * (row.x - FIRST), "starts")
        air.require(air.is_transition * (air.next.x - row.x - 1), "steps by 1")
        air.require(1 - row.real, "always real")
        air.query(DOUBLE, row.x, row.low, row.carry, count=row.real)


FIRST = (1 << 15) - 2
TOLD = Bus(31, "told", BusKind.PERMUTATION, (BusField("x", 1, "x", "sender"),), "")
DOUBLE = Bus(32, "double", BusKind.LOOKUP, (BusField("x", 1, "x", "querier"), BusField("twice", 2, "2 x", "table")), "")


def doubles(provider: Doubles, asks: AsksDoubles) -> tuple[Circuit, list[Matrix], list[list[int]]]:
    """Four questions on both sides of a carry, answered once each."""
    x = FIRST + np.arange(4, dtype=np.uint32)
    answers, rows = allocate(provider.layout, 4)
    rows.multiplicity, rows.x, rows.low, rows.carry = 1, x, 2 * x & 0xFFFF, 2 * x >> 16
    asked, view = allocate(asks.layout, 4)
    view.real, view.x, view.low, view.carry = 1, x, 2 * x & 0xFFFF, 2 * x >> 16
    limbs_asked = RANGE_16.fill(answers[:, 2])
    return Circuit("doubles", [provider, asks, RANGE_16]), [answers, asked, limbs_asked], [[], [], []]


class TestLookups:
    def test_a_question_has_one_answer(self) -> None:
        witnesses = Witnesses(*doubles(Doubles(), AsksDoubles()))
        outcome = witnesses.search("asks", 1, np.random.default_rng(1), lookups="free")
        assert (outcome.determined, outcome.directions) == (4, ())

    def test_a_function_has_one_value(self) -> None:
        for provider, weak in ((Doubles(), False), (NoDoubles(), True)):
            witnesses = Witnesses(*doubles(provider, AsksDoubles()), results={"double": ["twice"]})
            outcome = witnesses.search("gadget", 1, np.random.default_rng(1), lookups="free")
            assert (outcome.determined < outcome.cells, bool(outcome.directions)) == (weak, weak)

    def test_what_is_provided_is_held(self) -> None:
        witnesses = Witnesses(*doubles(NoDoubles(), AsksDoubles()))
        outcome = witnesses.search("gadget", 1, np.random.default_rng(1), lookups="free")
        assert (outcome.determined, outcome.directions) == (4, ())

    def test_absent_tables_and_wrong_windows_are_refused(self) -> None:
        witnesses = Witnesses(*doubles(Doubles(), AsksDoubles()))
        with pytest.raises(KeyError):
            witnesses.search("nowhere", 0, np.random.default_rng(1))
        for row, window in ((4, 1), (0, 5), (0, 0), (-1, 1)):
            with pytest.raises(ValueError, match="has no window"):
                witnesses.search("asks", row, np.random.default_rng(1), window=window)

    def test_dishonest_traces_are_refused(self) -> None:
        circuit, traces, public = doubles(Doubles(), AsksDoubles())
        for place, column, lookups in ((0, 2, "held"), (1, 1, "held"), (1, 2, "free")):
            dishonest = [trace.copy() for trace in traces]
            dishonest[place][1, column] += 1
            witnesses = Witnesses(circuit, dishonest, public)
            with pytest.raises(ValueError, match="not honest"):
                witnesses.search(circuit.names[place], 1, np.random.default_rng(1), lookups=lookups)

    def test_a_row_that_only_asks_may_be_left_out(self) -> None:
        class Idle(AsksDoubles):
            def constraints(self, air: Air) -> None:
                air.query(DOUBLE, air.row.x, air.row.low, air.row.carry, count=air.row.real)

        class Counted(Idle):
            """What asks is told, too."""

            def constraints(self, air: Air) -> None:
                super().constraints(air)
                air.send(TOLD, air.row.x, count=1)

        circuit, traces, public = doubles(Doubles(), Idle())
        outcome = Witnesses(circuit, traces, public).search("asks", 1, np.random.default_rng(1), lookups="free")
        assert all("real" not in direction.columns for direction in outcome.directions)
        circuit, traces, public = doubles(Doubles(), Counted())
        outcome = Witnesses(circuit, traces, public).search("asks", 1, np.random.default_rng(1), lookups="free")
        assert "real" in {name for direction in outcome.directions for name in direction.columns}


class TestAlgebra:
    def test_null_space_and_solutions(self) -> None:
        """Against galois, on matrices of every rank."""
        gf, rng = galois.GF(MODULUS), np.random.default_rng(2)
        for rank in range(5):
            factors = rng.integers(0, MODULUS, (4, rank)), rng.integers(0, MODULUS, (rank, 6))
            matrix = np.asarray(gf(factors[0]) @ gf(factors[1]) if rank else np.zeros((4, 6))).astype(np.uint64)
            basis = [vector for _, vector in _null_space(matrix)]
            assert len(basis) == 6 - rank
            reference = gf(matrix.astype(np.int64)).null_space()
            assert np.array_equal(gf(np.array(basis).astype(np.int64)).row_reduce(), reference.row_reduce())
            right = np.asarray(gf(matrix.astype(np.int64)) @ gf(rng.integers(0, MODULUS, 6))).astype(np.uint64)
            solution = _solved(matrix, right)
            assert solution is not None
            product = gf(matrix.astype(np.int64)) @ gf(solution.astype(np.int64))
            assert np.array_equal(np.asarray(product), right.astype(np.int64))
            if rank < 4:
                assert _solved(matrix, (right + np.arange(1, 5, dtype=np.uint64)) % MODULUS) is None

    def test_roots(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(50):
            r, s, c = (int(v) for v in rng.integers(1, MODULUS, 3))
            assert set(_roots(c * r * s % MODULUS, -c * (r + s) % MODULUS, c)) == {r, s}
            assert _roots(-r * s % MODULUS, s, 0) == [r]
        assert _roots(5, 0, 0) == _roots(0, 0, 5) == []
        # 31 generates the multiplicative group: it has no square root.
        assert _roots(-31 % MODULUS, 0, 1) == []


#: Fields in which function tables answer.
RESULTS = {
    "bitwise_bytes": ["xor"],
    "blob_fee": ["required", "fee"],
    "buffer_bytes": ["word"],
    "expansion": ["after", "cost"],
    "gas_product": ["product"],
    "multiply": ["low", "high"],
    "poseidon2": ["output"],
    "power": ["power"],
}


def sampled(matrix: Matrix, table: Table, rng: np.random.Generator, count: int) -> list[int]:
    """A few real rows."""
    real = np.arange(len(matrix))
    if table.selector is not None:
        real = np.flatnonzero(matrix[:, table.layout.offsets[table.selector]])
    return sorted(rng.choice(real, min(count, len(real)), replace=False).tolist())


@pytest.mark.parametrize(
    "name", ["dup", "sload", "account", "storage_leaf", "poseidon2", "frame", "expansion", "transaction"]
)
def test_rows_of_a_segment_are_determined_by_their_messages(small_segment: FilledSegment, name: str) -> None:
    circuit, rng = segment_circuit(CANCUN), np.random.default_rng(1)
    witnesses = Witnesses(circuit, small_segment.traces, small_segment.public_lists)
    place = circuit.names.index(name)
    matrix = small_segment.traces[place]
    assert matrix is not None
    for row in sampled(matrix, circuit.tables[place], rng, 1):
        outcome = witnesses.search(name, row, rng)
        assert (outcome.determined, outcome.directions) == (outcome.cells, ())


@pytest.mark.deep
@pytest.mark.parametrize("lookups", ["held", "free"])
def test_no_row_of_a_segment_has_a_second_witness(lookups: Lookups) -> None:
    """Of every table; with lookups held, all cells but those of Keccak-f are proved to be determined."""
    filled, circuit, rng = fill(execution(waits=False)), segment_circuit(CANCUN), np.random.default_rng(1)
    witnesses = Witnesses(circuit, filled.traces, filled.public_lists, results=RESULTS)
    for table, matrix in zip(circuit.tables, filled.traces, strict=True):
        if matrix is None:
            continue
        for row in sampled(matrix, table, rng, 1):
            outcome = witnesses.search(table.name, row, rng, lookups=lookups)
            assert outcome.directions == ()
            assert lookups == "free" or table.name == "keccak_f" or outcome.determined == outcome.cells, table.name
