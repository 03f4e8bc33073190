"""Gadgets: honest rows are accepted, every lie about them is rejected, no mutation survives."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.air import MODULUS
from tests.circuits.air.gadget_tables import (
    Case,
    added,
    changed,
    findings,
    integers,
    is_zero,
    less_than,
    limbs,
    multiplied,
    one_hot_rows,
    ranged,
    selected,
    subtracted,
    summed,
    survivors,
    time_limbs,
    time_order,
)

U32 = st.one_of(st.sampled_from([0, 1, 0xFFFF, 0x10000, 0x1FFFF, 0xFFFF0000, 0xFFFFFFFF]), st.integers(0, 2**32 - 1))
TIME = st.one_of(st.sampled_from([0, 1, 0xFFFF, 0x10000, 2**29 - 2]), st.integers(0, 2**29 - 2))
WORDS = [0, 1, 0xFFFF, 1 << 16, (1 << 128) - 1, 1 << 255, (1 << 256) - (1 << 16), (1 << 256) - 1]
WORD = st.one_of(st.sampled_from(WORDS), st.integers(0, 2**256 - 1))
FEW = settings(max_examples=20, deadline=None)


def words(limit: int) -> st.SearchStrategy[int]:
    edges = [w for w in WORDS if w < limit]
    return st.one_of(st.sampled_from([*edges, limit - 1]), st.integers(0, limit - 1))


def rejected(lie: Case, honest: Case, name: str) -> None:
    """The lie is rejected in the constraint or on the bus with this name; its operands are the honest ones."""
    found = [str(f) for f in findings(lie, honest)]
    assert found
    assert any(name in f for f in found), found


class TestIsZero:
    @FEW
    @given(st.lists(st.one_of(st.sampled_from([0, 1, MODULUS - 1]), st.integers(0, MODULUS - 1)), min_size=1))
    def test_tells_zero(self, values: list[int]) -> None:
        case = is_zero(values)
        assert not findings(case)
        assert case.view.inner.zero.tolist() == [int(v == 0) for v in values]

    @pytest.mark.parametrize(("zero", "inverse"), [(1, 0), (1, pow(5, -1, MODULUS)), (0, 0), (0, 1)])
    def test_five_is_not_zero(self, zero: int, inverse: int) -> None:
        honest = is_zero([0, 5, 7])
        rejected(honest.altered(1, inner__zero=zero, inner__inverse=inverse), honest, "is zero")

    @pytest.mark.parametrize(("zero", "inverse"), [(0, 0), (0, 1), (1, 1), (2, 0)])
    def test_zero_is_zero(self, zero: int, inverse: int) -> None:
        honest = is_zero([5, 0, 7])
        rejected(honest.altered(1, inner__zero=zero, inner__inverse=inverse), honest, "zero")

    def test_idle_rows_say_nothing(self) -> None:
        honest = is_zero([5, 0, 7])
        rejected(honest.altered(3, inner__zero=1), honest, "idle zero")
        rejected(honest.altered(3, inner__inverse=1), honest, "idle inverse")


class TestLessThan:
    @FEW
    @given(st.lists(st.tuples(U32, U32), min_size=1))
    def test_compares(self, pairs: list[tuple[int, int]]) -> None:
        case = less_than([a for a, _ in pairs], [b for _, b in pairs])
        assert not findings(case)
        assert case.view.inner.less.tolist() == [int(a < b) for a, b in pairs]

    @pytest.mark.parametrize(("a", "b"), [(0, 0), (5, 4), (4, 5), (1 << 16, 1), (1, 1 << 16), (2**32 - 1, 0)])
    @pytest.mark.parametrize("borrow", [0, 1])
    def test_the_opposite_answer_has_no_difference(self, a: int, b: int, borrow: int) -> None:
        honest = less_than([a], [b])
        less = int(a >= b)
        difference = [(a & 0xFFFF) - (b & 0xFFFF) + (borrow << 16), (a >> 16) - (b >> 16) - borrow + (less << 16)]
        lie = honest.altered(0, inner__less=less, inner__borrow=borrow, inner__difference=difference)
        rejected(lie, honest, "range16")

    def test_the_answer_is_a_bit(self) -> None:
        honest = less_than([9], [3])
        # less = -1/2^16 moves the high limb of the difference by one, which no range check notices.
        inverse = pow(1 << 16, -1, MODULUS)
        lie = honest.altered(0, inner__less=inverse, inner__difference=[6, 1])
        rejected(lie, honest, "less is a bit")


class TestTimeOrder:
    @FEW
    @given(st.lists(st.tuples(TIME, TIME), min_size=1))
    def test_accepts_earlier_events(self, pairs: list[tuple[int, int]]) -> None:
        case = time_order([max(p) + 1 for p in pairs], [min(p) for p in pairs])
        assert not findings(case)

    @pytest.mark.parametrize("low", [0, 1, 0xFFFF, 0x8000])
    @pytest.mark.parametrize(("now", "before"), [(8, 8), (8, 9), (0, 2**29 - 1), (1, 0x20000)])
    def test_rejects_events_that_are_not_earlier(self, now: int, before: int, low: int) -> None:
        honest = time_order([now], [before])
        rejected(honest.altered(0, inner__low=low), honest, "range16")

    def test_rejects_a_low_part_that_absorbs_the_difference(self) -> None:
        honest = time_order([8], [9])
        rejected(honest.altered(0, inner__low=-2), honest, "range16")


class TestTimeLimbs:
    @FEW
    @given(st.lists(TIME, min_size=1))
    def test_accepts_times(self, times: list[int]) -> None:
        assert not findings(time_limbs(times))

    @pytest.mark.parametrize("time", [2**29, 2**30, MODULUS - 1])
    def test_rejects_what_is_no_time(self, time: int) -> None:
        case = time_limbs([time])
        rejected(case, case, "range16")

    def test_rejects_a_time_that_comes_around_the_modulus(self) -> None:
        honest = time_limbs([5])
        around = MODULUS + 5
        rejected(honest.altered(0, inner__low=around & 0xFFFF, inner__high=around >> 16), honest, "range16")
        rejected(honest.altered(0, inner__low=5 + 2**16, inner__high=-1), honest, "range16")


class TestSum:
    NUMBERS = st.one_of(st.sampled_from([0, 1, 0xFFFF, 0x10000, 2**48 - 1, 2**63 - 1]), st.integers(0, 2**63 - 1))

    @FEW
    @given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
    def test_accepts_sums(self, pairs: list[tuple[int, int]]) -> None:
        assert not findings(summed([a for a, _ in pairs], [b for _, b in pairs]))

    @pytest.mark.parametrize(("a", "b"), [(2**64 - 1, 1), (2**63, 2**63), (2**64 - 1, 2**64 - 1)])
    def test_rejects_an_overflow(self, a: int, b: int) -> None:
        honest = summed([a], [b])
        rejected(honest, honest, "sum: limb 3")

    def test_rejects_another_way_to_carry(self) -> None:
        honest = summed([0xFFFF, 7], [1, 8])
        rejected(honest.altered(0, result=[0x10000, 0, 0, 0], carry=[0, 0, 0]), honest, "range16")
        rejected(honest.altered(1, result=[15 - 0x10000, 1, 0, 0], carry=[1, 0, 0]), honest, "range16")
        rejected(honest.altered(1, result=[15, 1, 0, 0]), honest, "sum: limb 1")


class TestOneHot:
    @FEW
    @given(st.lists(st.integers(0, 3), min_size=1))
    def test_accepts_one_flag(self, codes: list[int]) -> None:
        assert not findings(one_hot_rows(codes))

    @pytest.mark.parametrize("flags", [[0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
    def test_rejects_other_numbers_of_flags(self, flags: list[int]) -> None:
        honest = one_hot_rows([3, 2])
        rejected(honest.altered(0, flag=flags), honest, "flags")

    def test_rejects_fractions_of_flags(self) -> None:
        honest = one_hot_rows([1])
        half = pow(2, -1, MODULUS)
        rejected(honest.altered(0, flag=[half, 0, half, 0]), honest, "is a bit")

    def test_a_row_that_is_not_real_has_no_flag(self) -> None:
        honest = one_hot_rows([1, 2, 3])
        rejected(honest.altered(3, flag=[1, 0, 0, 0]), honest, "exactly one flag")


class TestRangeCheck:
    @FEW
    @given(st.integers(2, 16), st.data())
    def test_accepts_the_range(self, bits: int, data: st.DataObject) -> None:
        values = st.one_of(st.sampled_from([0, 1, (1 << bits) - 1]), st.integers(0, (1 << bits) - 1))
        assert not findings(ranged(data.draw(st.lists(values, min_size=1)), bits))

    @FEW
    @given(st.integers(2, 16), st.data())
    def test_rejects_all_else(self, bits: int, data: st.DataObject) -> None:
        fractions = [v * pow(1 << (16 - bits), -1, MODULUS) % MODULUS for v in range(1, 1 << (16 - bits), 2)]
        edges = st.sampled_from([1 << bits, (1 << bits) + 1, MODULUS - 1, *fractions[:20]])
        value = data.draw(st.one_of(edges, st.integers(1 << bits, MODULUS - 1)))
        lie = ranged([value], bits)
        rejected(lie, lie, "range16")

    @pytest.mark.parametrize("bits", [0, 1, 17, -3])
    def test_refuses_other_widths(self, bits: int) -> None:
        with pytest.raises(ValueError, match=f"not {bits}"):
            findings(ranged([0], bits))


class TestSelect:
    @FEW
    @given(st.lists(st.tuples(st.integers(0, 1), *[st.integers(0, MODULUS - 1)] * 4), min_size=1))
    def test_takes_one_branch(self, rows: list[tuple[int, int, int, int, int]]) -> None:
        case = selected([r[0] for r in rows], np.array([r[1:3] for r in rows]), np.array([r[3:] for r in rows]))
        assert not findings(case)

    @pytest.mark.parametrize("condition", [0, 1])
    def test_rejects_the_other_branch(self, condition: int) -> None:
        honest = selected([condition], np.array([[1, 2]]), np.array([[3, 4]]))
        rejected(honest.altered(0, result=[3, 4] if condition else [1, 2]), honest, "result")
        rejected(honest.altered(0, result=[1, 4]), honest, "result")

    def test_rejects_a_mixture(self) -> None:
        honest = selected([1], np.array([[1, 2]]), np.array([[3, 6]]))
        half = pow(2, -1, MODULUS)
        rejected(honest.altered(0, condition=half, result=[2, 4]), honest, "condition is a bit")


class TestAddAndSubtract:
    @FEW
    @given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=20))
    def test_adds(self, pairs: list[tuple[int, int]]) -> None:
        case = added([a for a, _ in pairs], [b for _, b in pairs])
        assert not findings(case)
        assert integers(case.view.inner.sum) == [(a + b) % (1 << 256) for a, b in pairs]
        assert case.view.inner.carry[:, 15].tolist() == [a + b >> 256 for a, b in pairs]

    @FEW
    @given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=20))
    def test_subtracts(self, pairs: list[tuple[int, int]]) -> None:
        case = subtracted([a for a, _ in pairs], [b for _, b in pairs])
        assert not findings(case)
        assert integers(case.view.inner.difference) == [(a - b) % (1 << 256) for a, b in pairs]
        assert case.view.inner.borrow[:, 15].tolist() == [int(a < b) for a, b in pairs]

    def test_a_limb_above_its_range_is_rejected(self) -> None:
        honest = added([0xFFFF], [1])
        rejected(honest.altered(0, inner__sum=[0x10000] + [0] * 15, inner__carry=[0] * 16), honest, "range16")

    def test_a_fraction_of_a_carry_is_rejected(self) -> None:
        honest = added([5 << 240], [6 << 240])
        carry = (-pow(1 << 16, -1, MODULUS)) % MODULUS
        lie = honest.altered(0, inner__sum=[0] * 15 + [12], inner__carry=[0] * 15 + [carry])
        rejected(lie, honest, "carry[15] is a bit")

    @pytest.mark.parametrize("operation", [added, subtracted])
    def test_another_result_is_rejected(self, operation: Callable[..., Case]) -> None:
        honest = operation([1 << 200, 7], [3, 1 << 100])
        column = "sum" if operation is added else "difference"
        for offset in (1, -1, 1 << 16, 1 << 255):
            result = limbs([(integers(getattr(honest.view.inner, column))[1] + offset) % (1 << 256)])[0]
            rejected(honest.altered(1, **{f"inner__{column}": result}), honest, "limb")

    def test_a_forgotten_borrow_is_rejected(self) -> None:
        honest = subtracted([0], [1])
        lie = honest.altered(0, inner__difference=[-1] + [0] * 15, inner__borrow=[0] * 16)
        rejected(lie, honest, "range16")


class TestIncreaseAndDecrease:
    @FEW
    @given(st.integers(1, 3), st.data())
    def test_changes(self, count: int, data: st.DataObject) -> None:
        after = data.draw(WORD)
        terms = data.draw(st.lists(words((1 << 256) // count), min_size=count, max_size=count))
        before = (after + sum(terms)) % (1 << 256)
        case = changed([before], [[term] for term in terms], down=True)
        fits = after + sum(terms) < 1 << 256
        assert bool(findings(case)) != fits
        if fits:
            assert integers(case.view.inner.after) == [after]
            case = changed([after], [[term] for term in terms], down=False)
            assert not findings(case)
            assert integers(case.view.inner.after) == [before]

    @pytest.mark.parametrize("down", [False, True])
    def test_another_result_is_rejected(self, down: bool) -> None:
        honest = changed([1 << 200, 7 << 90], [[3, 1], [5, 1 << 80]], down=down)
        for offset in (1, -1, 1 << 16, 1 << 255):
            result = limbs([(integers(honest.view.inner.after)[1] + offset) % (1 << 256)])[0]
            rejected(honest.altered(1, inner__after=result), honest, "change")

    @pytest.mark.parametrize("down", [False, True])
    def test_neither_wraps(self, down: bool) -> None:
        before, term = (0, 1) if down else ((1 << 256) - 1, 1)
        assert findings(changed([before], [[term]], down=down))


class TestMultiply:
    @pytest.mark.parametrize("limbs_b", [2, 8, 16])
    @FEW
    @given(st.data())
    def test_multiplies(self, limbs_b: int, data: st.DataObject) -> None:
        pairs = data.draw(st.lists(st.tuples(WORD, words(1 << 16 * limbs_b)), min_size=1, max_size=8))
        case = multiplied([a for a, _ in pairs], [b for _, b in pairs], limbs_b)
        assert not findings(case)
        assert integers(case.view.inner.product) == [a * b for a, b in pairs]

    def test_multiplies_fewer_limbs(self) -> None:
        a, b = (1 << 80) - 1, (1 << 32) - 1
        case = multiplied([a, 12345 << 64, 0], [b, 1 << 20, 7], 2, 5)
        assert not findings(case)
        assert integers(case.view.inner.product) == [a * b, 12345 << 84, 0]

    @pytest.mark.parametrize("limbs_b", [2, 8, 16])
    def test_the_largest_product(self, limbs_b: int) -> None:
        a, b = (1 << 256) - 1, (1 << 16 * limbs_b) - 1
        case = multiplied([a], [b], limbs_b)
        assert not findings(case)
        assert integers(case.view.inner.product) == [a * b]
        assert int(case.view.inner.carry.max()) < 1 << 14

    @pytest.mark.parametrize("limbs_b", [2, 8, 16])
    def test_another_product_is_rejected(self, limbs_b: int) -> None:
        honest = multiplied([12345, (1 << 256) - 1], [3, 99], limbs_b)
        for offset in (1, -1, 1 << 16, 1 << 240):
            product = limbs([(1 << 256) * 99 - 99 + offset], 16 + limbs_b)[0]
            rejected(honest.altered(1, inner__product=product), honest, "multiply")

    def test_a_fraction_of_a_carry_is_rejected(self) -> None:
        honest = multiplied([3], [5], 2)
        # product[0] + 1 and a carry of -1/2^16 = 30720 modulo the field, taken from the next limb.
        carry, product = np.zeros(17, dtype=np.int64), np.zeros(18, dtype=np.int64)
        carry[0] = -pow(1 << 16, -1, MODULUS) % MODULUS
        product[0], product[1] = 16, carry[0]
        rejected(honest.altered(0, inner__carry=carry, inner__product=product), honest, "range16")

    def test_a_low_byte_above_its_range_is_rejected(self) -> None:
        honest = multiplied([0x1234], [1], 2)
        low = np.zeros(16, dtype=np.int64)
        # 0x34 + 0x100 leaves 0x11 as high byte; the product stays the same.
        low[0] = 0x134
        rejected(honest.altered(0, inner__a_low=low), honest, "range16")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(lambda: is_zero([0, 5, MODULUS - 1, 0, 7]), id="is zero"),
        pytest.param(lambda: less_than([0, 5, 1 << 16, 77777, 2**32 - 1], [0, 9, 1, 88888, 2**32 - 2]), id="less than"),
        pytest.param(lambda: time_order([1, 9, 70000, 2**28, 500], [0, 3, 1, 5, 499]), id="time order"),
        pytest.param(lambda: time_limbs([0, 1, 0xFFFF, 2**16, 2**29 - 1]), id="time limbs"),
        pytest.param(lambda: one_hot_rows([0, 1, 2, 3, 1, 0]), id="one-hot"),
        pytest.param(lambda: ranged([0, 1, 5, 4095, 77], 12), id="range check"),
        pytest.param(
            lambda: selected([0, 1, 1], np.array([[1, 2], [3, 4], [5, 6]]), np.array([[9, 8], [7, 6], [5, 4]])),
            id="select",
        ),
        pytest.param(lambda: summed([0xFFFF, 7, 2**63 - 1], [1, 2**40, 2**63 - 1]), id="sum"),
        pytest.param(lambda: added([7, *WORDS[-3:], 1 << 77], [9, *WORDS[-3:], 1 << 78]), id="add"),
        pytest.param(lambda: subtracted([7, *WORDS[-3:], 1 << 77], [9, *WORDS[-3:], 1 << 78]), id="subtract"),
        pytest.param(lambda: changed([7, *WORDS[:3]], [[9, *WORDS[-5:-2]], [1, 2, 3, 5]], down=False), id="increase"),
        pytest.param(lambda: changed([7, *WORDS[-3:]], [[3, *WORDS[:3]], [1, 2, 3, 5]], down=True), id="decrease"),
        pytest.param(lambda: multiplied([*WORDS[-3:], 3], [2, 0xFFFFFFFF, 0, 65536], 2), id="multiply by 2 limbs"),
        pytest.param(lambda: multiplied([1, (1 << 80) - 1, 3], [2, 0xFFFFFFFF, 0], 2, 5), id="multiply 5 by 2 limbs"),
        pytest.param(lambda: multiplied([*WORDS[-3:], 3], [2, (1 << 128) - 1, 0, 65536], 8), id="multiply by 8 limbs"),
        pytest.param(lambda: multiplied([*WORDS[-3:], 3], [2, *WORDS[-2:], 65536], 16), id="multiply by 16 limbs"),
    ],
)
def test_no_mutation_survives(case: Callable[[], Case]) -> None:
    report = survivors(case())
    assert not report.survivors, report
    assert report.coverage["gadget"].rejected > 0
    assert {"cell", "carried cells", "replayed row", "selector"} <= set(report.tried)
