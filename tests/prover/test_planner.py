"""Planning of segments."""

import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prover.filled
import prover.planner
from circuits.batch.execution import Batch, Execution
from circuits.batch.operations import OperationKind, Operations
from circuits.segment import FilledSegment, TableHeight, fill
from executor.errors import UnsupportedFeature
from executor.execute import execute
from executor.inputs import read_batch
from executor.provable import check_provable
from prover.errors import CostError
from prover.estimate import Estimate, Estimator
from prover.planner import (
    DEFAULT_SEGMENT_BYTES,
    MAX_FILLINGS,
    WORKER_BYTES,
    Budget,
    Planner,
    TableSize,
    height_of_one_proof,
    levelled,
    memory_of,
    plan_batch,
    planner_for,
)
from scripts.batches.builder import Builder
from scripts.batches.tokens import SMALL, tokens
from verifier.errors import Invalid
from zkevm.bench import EXAMPLES

TABLES = {"transfer": TableSize(columns=200, interactions=40), "range16": TableSize(columns=2, interactions=1)}
HEIGHTS = (12, 14, 16)

#: As large as the verifier allows.
UNLIMITED = Budget(memory=sys.maxsize)


def padded(rows: int) -> int:
    return 1 << max(0, rows - 1).bit_length()


def exact(first: int, end: int) -> dict[str, TableHeight]:
    return {"transfer": TableHeight(end - first, padded(end - first)), "range16": TableHeight(1 << 12, 1 << 12)}


def memory(operations: int) -> int:
    """Of a segment of so many operations."""
    heights = exact(0, operations)
    return memory_of(
        sum(TABLES[name].columns * height for name, (_, height) in heights.items()),
        sum(TABLES[name].interactions * height for name, (_, height) in heights.items()),
    )


def proportional(first: int, end: int) -> Estimate:
    return Estimate(float(end - first), {"range16": 1 << 12})


def wide(heights: Mapping[str, int], log_stacked_height: int) -> None:
    """A verifier for which 2^10 rows are too many."""
    if max(heights["transfer"], 1) > 1 << 10:
        raise Invalid(f"{heights['transfer']} rows at {log_stacked_height}")


def planner(
    stacked_heights: tuple[int, ...] = HEIGHTS, estimate: Callable[[int, int], Estimate] = proportional
) -> Planner:
    return Planner(TABLES, exact, stacked_heights, estimate)


def everywhere(operations: int) -> Sequence[int]:
    """A segment may begin at every operation."""
    return range(operations + 1)


@given(
    cuts=st.sets(st.integers(1, 3000), max_size=300), spare=st.integers(0, 4000), limit=st.none() | st.integers(1, 50)
)
def test_segments_cover_every_operation_once_within_the_budget(cuts: set[int], spare: int, limit: int | None) -> None:
    places = [0, *sorted(cuts)]
    longest = max((end - first for first, end in pairwise(places)), default=1)
    budget = Budget(memory(longest + spare), limit)
    segments = planner().plan(places, budget)
    covered = [number for segment in segments for number in range(segment.first, segment.end)]
    assert covered == list(range(places[-1]))
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert {segment.first for segment in segments} <= set(places)
    assert all(segment.memory <= budget.memory for segment in segments)
    for segment in segments:
        # What cannot be cut may have more.
        alone = places[places.index(segment.first) + 1] == segment.end
        assert limit is None or segment.operations <= limit or alone


@pytest.mark.parametrize("rows", [64, 128, 1024])
def test_segments_end_just_below_a_power_of_two(rows: int) -> None:
    """So many rows fit, one more would take as much memory as twice as many."""
    plans = planner().plan(everywhere(3 * rows), Budget(memory(rows)))
    assert [plan.operations for plan in plans] == [rows] * 3


@pytest.mark.parametrize("rows", [160, 400, 1500, pytest.param(6000, marks=pytest.mark.deep)])
def test_segments_are_even(rows: int) -> None:
    """Without padding no plan of as many segments takes less than another one: the even one is the best."""

    def unpadded(first: int, end: int) -> dict[str, TableHeight]:
        return {name: TableHeight(found.rows, found.rows) for name, found in exact(first, end).items()}

    plans = Planner(TABLES, unpadded, HEIGHTS, proportional).plan(everywhere(rows), Budget(memory(64)))
    assert len(plans) == -(-rows // 64)
    assert max(plan.cells for plan in plans) <= 1.15 * sum(plan.cells for plan in plans) / len(plans)


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 20)), max_size=4), min_size=1, max_size=7).map(
        lambda places: [
            sorted({place + step: size for step, size in found if place + step <= len(places)}.items())
            for place, found in enumerate(places)
        ]
    )
)
def test_the_least_way_is_found(ends: list[list[tuple[int, int]]]) -> None:
    """That of all ways whose parts take least in all, each counted once more as the largest one."""

    def ways(place: int) -> Iterator[list[tuple[int, int]]]:
        if place == len(ends):
            yield []
            return
        for other, size in ends[place]:
            for rest in ways(other):
                yield [(other, size), *rest]

    def price(way: list[tuple[int, int]]) -> int:
        sizes = [size for _, size in way]
        return sum(sizes) + len(sizes) * max(sizes)

    found = prover.planner._least(ends)
    least = min(map(price, ways(0)), default=None)
    assert (found is None) == (least is None)
    if found is not None:
        assert found[0] == 0
        sizes = [dict(ends[place])[other] for place, other in pairwise(found)]
        assert sum(sizes) + len(sizes) * max(sizes) == least


@pytest.mark.parametrize("rows", [60, 64, 1000])
def test_what_fits_into_one_segment_is_one(rows: int) -> None:
    assert len(planner().plan(everywhere(rows), Budget(memory(rows)))) == 1


def test_a_segment_has_no_more_operations_than_allowed() -> None:
    plan = planner().plan(everywhere(8), Budget(operations=3))
    assert [(s.first, s.end) for s in plan] == [(0, 3), (3, 6), (6, 8)]
    # Withdrawals follow the operation before them.
    plan = planner().plan([0, 1, 2, 7, 8], Budget(operations=3))
    assert [(s.first, s.end) for s in plan] == [(0, 2), (2, 7), (7, 8)]


def test_cells_interactions_and_memory_count_padding() -> None:
    (segment,) = planner().plan(everywhere(5))
    assert segment.heights == {"transfer": 8, "range16": 4096}
    assert segment.cells == 8 * 200 + 4096 * 2
    assert segment.interactions == 8 * 40 + 4096
    assert segment.memory == WORKER_BYTES + 32 * segment.cells + 128 * segment.interactions
    assert segment.operations == 5


def test_the_default_budget() -> None:
    assert Budget().bytes == DEFAULT_SEGMENT_BYTES > WORKER_BYTES
    assert Budget().operations is None


def test_one_operation_may_take_more_than_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover.planner.DEFAULT_SEGMENT_BYTES", memory(10))
    plans = planner().plan([0, 5, 50, 55, 60], Budget())
    assert [(plan.first, plan.end) for plan in plans] == [(0, 5), (5, 50), (50, 60)]
    with pytest.raises(CostError, match="operations 5 to 49 need"):
        planner().plan([0, 5, 50, 55, 60], Budget(memory(10)))


def test_what_is_expected_to_take_far_too_much_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(first: int, end: int) -> dict[str, TableHeight]:
        raise AssertionError("filled")

    def large(first: int, end: int) -> Estimate:
        return Estimate(end * float(1 << 30), {})

    planner = Planner(TABLES, never, HEIGHTS, large)
    with pytest.raises(CostError, match=r"operations 0 to 32 need .* \(2,048 MiB are allowed\)"):
        planner.plan([0, 33], Budget(2 << 30))
    with pytest.raises(CostError, match=r"operations 0 to 98 need .* \(32,768 MiB are allowed\)"):
        planner.plan([0, 99], Budget())
    with pytest.raises(AssertionError, match="filled"):
        planner.plan([0, 99], UNLIMITED)

    def first_only(first: int, end: int) -> dict[str, TableHeight]:
        assert end == 1, "filled"
        return exact(first, end)

    planner = Planner(TABLES, first_only, HEIGHTS, large)
    with pytest.raises(CostError, match=r"operations 1 to 98 need"):
        planner.plan([0, 1, 99], Budget(2 << 30))


def test_more_accounts_and_slots_than_one_segment_has_are_not_tried() -> None:
    """To divide the operation does not help: one part has them all."""

    def never(first: int, end: int) -> dict[str, TableHeight]:
        raise AssertionError("filled")

    def touching(first: int, end: int) -> Estimate:
        return Estimate(3.0 * (1 << 30), {}, leaves=2.0 * (1 << 30) + 1)

    planner = Planner(TABLES, never, HEIGHTS, touching)
    with pytest.raises(CostError, match=r"operations 0 to 2 need .* 2,049 MiB \(2,048 MiB are allowed\)"):
        planner.plan([0, 3], Budget(2 << 30))
    with pytest.raises(AssertionError, match="filled"):
        planner.plan([0, 3], Budget((2 << 30) + 1))


def test_no_operations_need_no_segment() -> None:
    assert planner().plan([0], Budget(1)) == []


def test_a_budget_below_one_operation_is_refused_with_the_number_to_allow() -> None:
    needed = memory(1)
    with pytest.raises(CostError, match="operations 0 to 0 need a segment of about") as error:
        planner().plan(everywhere(1), Budget(needed - 1))
    assert f"allow at least {(needed >> 20) + 1} with --segment-memory" in error.value.hint
    assert len(planner().plan(everywhere(1), Budget(needed))) == 1
    assert len(planner().plan(everywhere(1), Budget(((needed >> 20) + 1) << 20))) == 1


def test_the_stacked_height_grows_with_the_segment_and_holds_the_tallest_table() -> None:
    chosen = [planner().segment(0, 0, n).log_stacked_height for n in (1, 1000, 4000, 8000)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 12
    assert planner().segment(0, 0, 5000).log_stacked_height >= 13
    assert planner((12, 13)).segment(0, 0, 5000).log_stacked_height == 13


def test_the_highest_key_is_left_where_none_is_high_enough() -> None:
    assert planner((12,)).segment(0, 0, 5000).log_stacked_height == 12


@pytest.mark.parametrize("factor", [0.01, 0.5, 1, 2, 100])
@pytest.mark.parametrize("operations", [1, 2, 700, 5000])
def test_few_fillings_make_a_segment_however_wrong_the_estimates_are(factor: float, operations: int) -> None:
    filled: list[tuple[int, int]] = []

    def fill(first: int, end: int) -> dict[str, TableHeight]:
        filled.append((first, end))
        return exact(first, end)

    def wrong(first: int, end: int) -> Estimate:
        right = memory(end - first) - memory(1)
        return Estimate(factor * right + 1, {"range16": 1 << 12})

    planner = Planner(TABLES, fill, HEIGHTS, wrong)
    plans = planner.plan(everywhere(operations), Budget(memory(600)))
    assert len(filled) <= MAX_FILLINGS * len(plans)
    assert all(plan.memory <= memory(600) for plan in plans)


def test_what_the_verifier_refuses_is_cut_further() -> None:
    limited = Planner(TABLES, exact, HEIGHTS, proportional, wide, lambda operation: (3, operation))
    plans = limited.plan(everywhere(3000), UNLIMITED)
    assert all(plan.operations <= 1 << 10 for plan in plans)
    assert len(plans) <= 8
    with pytest.raises(
        CostError, match=r"^operations 5 to 1029 are no segment \(2048 rows at 16\) in block 3, tra.* 5$"
    ):
        limited.segment(0, 5, 1030)


@pytest.mark.parametrize("budget", [Budget(1), Budget(), UNLIMITED])
def test_what_cannot_be_cut_and_the_verifier_refuses_is_unsupported(budget: Budget) -> None:
    """The reason is not that memory is short: more of it would not help."""
    limited = Planner(TABLES, exact, HEIGHTS, proportional, wide, lambda operation: (3, operation))
    what = r"^a segment that the verifier refuses \(2048 rows at 16\) in block 3, transaction 2$"
    with pytest.raises(UnsupportedFeature, match=what) as error:
        limited.plan([2, 1100, 1200], budget)
    assert (error.value.block, error.value.transaction) == (3, 2)


def test_what_takes_too_much_is_named_with_its_place() -> None:
    placed = Planner(TABLES, exact, HEIGHTS, proportional, place=lambda operation: (1, operation + 1))
    with pytest.raises(CostError, match=r"MiB \(0 MiB are allowed\) in block 1, transaction 8$") as error:
        placed.plan([7, 8], Budget(1))
    assert (error.value.block, error.value.transaction) == (1, 8)
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.hint, again.block) == (str(error.value), error.value.hint, 1)


def test_operations_have_places() -> None:
    beacon, transaction, withdrawal = OperationKind.BEACON, OperationKind.TRANSACTION, OperationKind.WITHDRAWAL
    kind = [beacon, transaction, transaction, withdrawal, beacon, withdrawal, transaction]
    none = np.zeros(7, dtype=np.int64)
    operations = Operations(
        np.array(kind, dtype=np.uint8), np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 0, 1, 1, 2]), *[none] * 3
    )
    places = [operations.place(operation) for operation in range(7)]
    assert places == [(0, None), (0, 0), (0, 1), (0, None), (1, None), (1, None), (2, 0)]


def example(name: str) -> Batch:
    return Batch.of(check_provable(execute(read_batch(EXAMPLES / f"{name}.json"))))


def test_an_estimate_counts_what_a_segment_has_once_once() -> None:
    """Transfers of one token: hashes of the slots of balances and chunks of the code are needed again and again."""
    batch = tokens(8)
    estimator = Estimator(batch)
    for first, end in ((0, 8), (0, 1), (2, 6), (7, 8)):
        exact = fill(Execution(batch, first, end)).heights
        found = estimator(first, end)
        for name, rows in found.rows.items():
            height = exact[name].height if name in exact else 0
            assert height == (padded(rows) if rows else 0), (first, end, name)
    parts = [estimator(n, n + 1) for n in range(8)]
    assert estimator(0, 8).rows["keccak_f"] < sum(part.rows["keccak_f"] for part in parts)
    assert estimator(0, 8).rest < sum(part.rest for part in parts)
    assert all(part.rest > 0 for part in parts)


def test_rounds_of_blake2f_are_counted_before_any_table_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for by a number: a transaction that has too many is refused without filling its tables."""
    building = Builder()
    requests = []
    for sender, (rounds, last) in enumerate(((3, 1), (1 << 20, 1), (40_000, 0), (500, 2))):
        data = "0x" + (rounds.to_bytes(4, "big") + bytes(208) + bytes([last])).hex()
        requests.append(building.transfer(sender, to=bytes(19) + b"\x09", value=0, gas=100_000, data=data))
    batch = Batch.of(check_provable(building.block(*requests).execute()))
    first = int(np.flatnonzero(batch.operations.kind == OperationKind.TRANSACTION)[0])
    estimator = Estimator(batch)
    # The second one lacks gas, and the last one has a wrong flag.
    for number, rounds in enumerate((3, 0, 40_000, 0)):
        assert estimator(first + number, first + number + 1).rows["blake2f_rounds"] == rounds
    assert estimator(0, len(batch.operations)).rows["blake2f_rounds"] == 40_003
    assert fill(Execution(batch, first, first + 2)).heights["blake2f_rounds"] == TableHeight(3, 4)

    def filling(execution: Execution) -> FilledSegment:
        assert not execution.first <= first + 2 < execution.end
        return fill(execution)

    monkeypatch.setattr(prover.filled, "fill", filling)
    monkeypatch.setattr(prover.planner, "HOPELESS_BYTES", 0)
    with pytest.raises(CostError, match=f"operations {first + 2} to {first + 2} need a segment of about"):
        plan_batch(batch)


@pytest.mark.parametrize(
    ("name", "segments"), [("empty_blocks", 0), ("only_a_withdrawal", 1), ("base_fee_nobody_pays", 0)]
)
def test_blocks_without_transactions_are_planned(name: str, segments: int) -> None:
    file = Path(__file__).parents[1] / "zkevm" / "fixtures" / f"{name}.json"
    batch = Batch.of(check_provable(execute(read_batch(file))))
    assert len(plan_batch(batch)) == segments


@pytest.mark.parametrize("mebibytes", [700, pytest.param(1024, marks=pytest.mark.deep)])
@pytest.mark.parametrize(
    "name",
    [
        "calls",
        "erc20-yul",
        *(pytest.param(name, marks=pytest.mark.deep) for name in ("uniswap", "deploy", "nft", "mainnet")),
    ],
)
def test_real_segments_take_few_fillings_and_keep_their_budget(
    name: str, mebibytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []

    def filling(execution: Execution) -> FilledSegment:
        filled.append(execution)
        return fill(execution)

    monkeypatch.setattr(prover.filled, "fill", filling)
    batch = example(name)
    budget = Budget(mebibytes << 20)
    plans = plan_batch(batch, budget)
    assert len(filled) <= MAX_FILLINGS * len(plans)
    assert all(plan.memory <= budget.memory for plan in plans)


def test_a_real_batch_is_cut_by_operations_and_by_memory() -> None:
    batch = tokens(8)
    by_operations = plan_batch(batch, SMALL)
    assert [(plan.first, plan.end) for plan in by_operations] == [(0, 3), (3, 6), (6, 8)]
    (whole,) = plan_batch(batch)
    assert whole.operations == 8
    by_memory = plan_batch(batch, Budget(whole.memory - 1))
    assert len(by_memory) >= 2
    assert all(plan.memory < whole.memory for plan in by_memory)


def test_all_segments_get_one_stacked_height_where_it_is_wanted() -> None:
    """The largest that any needs, and at least what is asked for; nothing else about them changes."""
    batch = tokens(8)
    free = plan_batch(batch, SMALL)
    largest = max(plan.log_stacked_height for plan in free)
    for least, wanted in ((0, height_of_one_proof(largest)), (largest, largest), (largest + 3, largest + 3)):
        level = plan_batch(batch, replace(SMALL, stacked_height=least))
        assert [plan.log_stacked_height for plan in level] == [wanted] * len(free)
        assert [replace(plan, log_stacked_height=0) for plan in level] == [
            replace(plan, log_stacked_height=0) for plan in free
        ]
    small, large = (replace(plan, log_stacked_height=height) for plan, height in zip(free, (15, 17), strict=False))
    for least, wanted in ((0, 19), (14, 17), (18, 18)):
        level = levelled([small, large], least)
        assert {plan.log_stacked_height for plan in level} == {wanted}
    assert [height_of_one_proof(needed) for needed in range(14, 23)] == [15, 15, 19, 19, 19, 19, 20, 21, 22]


#: A budget for which `uniswap` has eight segments.
EIGHT = Budget(764 << 20)


@pytest.fixture(scope="module")
def uniswap() -> tuple[Planner, list[int]]:
    batch = example("uniswap")
    return planner_for(batch), batch.operations.cuts.tolist()


@pytest.mark.deep
def test_a_real_load_is_even(uniswap: tuple[Planner, list[int]]) -> None:
    planner, cuts = uniswap
    cells = [plan.cells for plan in planner.plan(cuts, EIGHT)]
    assert len(cells) == 8
    assert max(cells) <= 1.15 * sum(cells) / len(cells)


@pytest.mark.deep
def test_an_even_load_takes_little_more_than_the_smallest_plan(uniswap: tuple[Planner, list[int]]) -> None:
    """Than the least that segments can take which fit: all of them are filled, some 600."""
    planner, cuts = uniswap
    assert EIGHT.memory is not None
    least = [0] + [sys.maxsize] * (len(cuts) - 1)
    for number, first in enumerate(cuts[:-1]):
        # A longer segment takes less hardly ever: one may not fit, and the next one do.
        misfits = 0
        for other in range(number + 1, len(cuts)):
            plan = planner.segment(0, first, cuts[other])
            if plan.memory <= EIGHT.memory:
                least[other] = min(least[other], least[number] + plan.cells)
            misfits += plan.memory > EIGHT.memory
            if misfits > 1:
                break
    assert sum(plan.cells for plan in planner.plan(cuts, EIGHT)) <= 1.1 * least[-1]
