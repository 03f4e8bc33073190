"""The security report agrees with the engine's own calculator, and is refused where its analysis says nothing."""

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import zkevm_native

from circuits.air.field import MODULUS
from verifier import keys, trees
from verifier.errors import Invalid
from verifier.swirl.key import UNIQUE_DECODING, Parameters, Proximity, VerifyingKey, decode, decode_node, parameters
from verifier.swirl.security import STEPS, Sizes, grinding, proximity_gap, security, sizes_of


@cache
def key(height: int) -> VerifyingKey:
    return decode(keys.encoding("cancun", height))


def heights(height: int, seed: int) -> list[int | None]:
    """Heights of some of the tables, that fit in stacked columns of a height."""
    random = np.random.default_rng(seed)
    chosen: list[int | None] = random.integers(0, height - 4, len(key(height).tables)).tolist()
    for absent in np.flatnonzero(random.random(len(chosen)) < 0.4).tolist():
        chosen[absent] = None
    # Sometimes one table is much higher than all messages need.
    chosen[0] = height if seed % 2 else 0
    return chosen


def bits_of(params: Parameters, found: Sizes, proximity: Proximity) -> list[float]:
    """Of all steps, in their order."""
    return [step(params, found, proximity) for step, _ in STEPS]


@pytest.mark.parametrize(
    "height", [h if h == 18 else pytest.param(h, marks=pytest.mark.deep) for h in keys.SUPPORTED_HEIGHTS]
)
def test_unique_decoding_is_that_of_the_engine(height: int) -> None:
    native = zkevm_native.VerifyingKey.from_bytes(keys.encoding("cancun", height))
    for seed in range(4):
        report = security(key(height), heights(height, seed))
        engine = native.security(heights(height, seed))
        assert engine.pop("whir") == pytest.approx(
            min(step.unique for step in report.steps if step.name.startswith("whir"))
        )
        assert report.total == pytest.approx(engine.pop("total"), abs=1e-9)
        assert {step.name: step.unique for step in report.steps} == pytest.approx(engine, abs=1e-9)
        assert report.total >= 100


def test_the_report_on_nodes_is_that_of_the_engine() -> None:
    """Up to the Johnson bound, with columns that are committed to beside the others."""
    node = decode_node(trees.encoding())
    native = zkevm_native.VerifyingKey.from_bytes(trees.encoding(), known=True)
    random = np.random.default_rng(5)
    for _ in range(4):
        chosen: list[int | None] = random.integers(0, 15, len(node.tables)).tolist()
        for absent in np.flatnonzero(random.random(len(chosen)) < 0.2).tolist():
            chosen[absent] = None
        report, engine = security(node, chosen), native.security(chosen)
        del engine["whir"]
        assert report.by_step | {"total": report.total} == pytest.approx(engine, abs=1e-9)
        assert report.multiplicity == 2
        assert report.total == report.johnson >= 100 > report.unique


def test_cached_columns_are_stacked_by_themselves() -> None:
    node = decode_node(trees.encoding())
    (place,) = [number for number, table in enumerate(node.tables) if table.cached]
    table = node.tables[place]
    chosen: list[int | None] = [None] * len(node.tables)
    chosen[place] = 6
    found = sizes_of(node, chosen)
    assert found.columns == table.width + sum(table.cached)
    assert found.stacked_columns == 2


#: What `SoundnessCalculator::calculate` of openvm-stark-backend 2.0.1 printed for the parameters of a stacked height
#: with `WhirProximityStrategy::ListDecoding { m }` (the binding only has the regime of the parameters).
BUSY = Sizes(tables=107, constraints=5000, columns=11190, log_height=20, stacked_columns=100, interactions=1 << 15)
HIGH = Sizes(tables=1, constraints=1, columns=60, log_height=22, stacked_columns=2048, interactions=1 << 6)
QUIET = Sizes(tables=40, constraints=177, columns=3000, log_height=14, stacked_columns=2, interactions=0)
ENGINE = {
    (20, 2, BUSY): """100.8985558561166 122.04259988457929 123.62756238530045 115.89874369480457 109.51273753500391
        107.35571187454933 103.47029147974754 94.10249944464744 101.98370619552573 54.36712646122968""",
    (20, 5, BUSY): """99.76105233236667 122.04259988457929 123.62756238530045 114.76124017105464 108.37523401125398
        106.2182083507994 97.78572399448376 88.41535009091426 99.70869914802586 89.9610682177948""",
    (22, 20, HIGH): """97.86293194638588 122.04259988457929 123.62756238530045 112.86311978507385 113.86311978507385
        111.86311978507385 81.92544430931227 76.9247647536609 93.91245837606428 107.91245837606428""",
    (14, 8, QUIET): """99.13302110975363 122.04259988457929 123.62756238530045 114.13320894844159 112.38904785287117
        107.48935275866687 107.27513564305849 98.27515905703346 inf 99.61835668438678""",
}


@pytest.mark.parametrize("case", ENGINE)
def test_list_decoding_is_that_of_the_engine(case: tuple[int, int, Sizes]) -> None:
    height, multiplicity, found = case
    bits = bits_of(parameters(height), found, Proximity(multiplicity))
    assert bits == pytest.approx([float(value) for value in ENGINE[case].split()], abs=1e-9)


def test_the_report_takes_the_best_multiplicity() -> None:
    for height in (14, 18, 22):
        found = sizes_of(key(height), heights(height, 0))
        report = security(key(height), heights(height, 0))
        totals = {m: min(bits_of(key(height).parameters, found, Proximity(m))) for m in range(2, 200)}
        assert report.johnson == max(totals.values()) == totals[report.multiplicity]
        # Lists cost bits in every step but the queries.
        assert all(step.johnson <= step.unique for step in report.steps if step.name != "whir_shift")
        assert report.johnson < report.total


def test_queries_gain_and_proximity_gaps_lose_with_the_multiplicity() -> None:
    agreements = [Proximity(m).agreement(1) for m in range(2, 2000)]
    assert all(a > b > math.sqrt(0.5) for a, b in pairwise(agreements))
    assert agreements[-1] == pytest.approx(math.sqrt(0.5), abs=1e-3)
    assert UNIQUE_DECODING.agreement(1) == 0.75
    gaps = [proximity_gap(20, 1, 2, Proximity(m)) for m in range(2, 100)]
    assert all(a > b for a, b in pairwise(gaps))
    assert proximity_gap(20, 1, 2, UNIQUE_DECODING) > gaps[0]
    # At rate 1/2 the distance of m = 1 would be negative.
    assert proximity_gap(20, 1, 2, Proximity(1)) == -math.inf
    assert proximity_gap(20, 2, 2, Proximity(1)) > 0


def test_grinding_is_worth_slightly_less_than_its_bits() -> None:
    assert grinding(0) == 0
    for bits in range(1, 28):
        passing = len(range(0, MODULUS, 1 << bits))
        assert grinding(bits) == pytest.approx(math.log2(MODULUS / passing))
        assert bits - 0.1 < grinding(bits) < bits


def test_sizes_are_those_of_the_proof() -> None:
    vk = key(18)
    chosen: list[int | None] = [None] * len(vk.tables)
    chosen[3], chosen[40] = 2, 9
    low, high = vk.tables[3], vk.tables[40]
    assert sizes_of(vk, chosen) == Sizes(
        tables=2,
        constraints=max(len(low.constraints), len(high.constraints)),
        columns=low.width + high.width,
        log_height=9,
        # A table of four rows takes as much room as one of 16.
        stacked_columns=math.ceil((low.width * 16 + high.width * 512) / 2**18),
        interactions=len(low.interactions) * 16 + len(high.interactions) * 512,
    )


def other_tables(vk: VerifyingKey, **changes: Any) -> VerifyingKey:
    """A key whose first table is another one."""
    return replace(vk, tables=(replace(vk.tables[0], **changes), *vk.tables[1:]))


def test_what_the_analysis_does_not_cover_is_refused() -> None:
    vk = key(14)
    count = len(vk.tables)
    low: list[int | None] = [4] * count
    assert security(vk, low).total >= 100
    long = replace(vk.tables[0].interactions[0], message=(0,) * 128)
    huge = key(22)
    unbounded = replace(huge, height_bounds=())
    for refused, chosen, reason in [
        (vk, low[1:], f"{count - 1} heights for {count} tables"),
        (vk, [None] * count, "no table is present"),
        (vk, [15, *low[1:]], r"2\^15 rows"),
        (vk, [-1, *low[1:]], "rows"),
        (vk, [14] * count, "stacked columns"),
        (huge, [22] * count, "counts of messages could wrap around"),
        (unbounded, [22] * count, "interactions, the analysis assumes"),
        (other_tables(vk, degree=4), low, "degree 4"),
        (other_tables(vk, required=True), [None, *low[1:]], "required"),
        (other_tables(vk, interactions=(long,)), low, "elements"),
    ]:
        with pytest.raises(Invalid, match=reason):
            security(refused, chosen)
