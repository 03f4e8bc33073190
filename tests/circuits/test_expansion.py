"""The size of the memory and its price."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.batch.execution import Execution
from circuits.memory.buses import EXPANSION
from circuits.memory.expansion import COMPONENTS, expand, memory_cost
from tests.circuits.family import Lie, check_family, mutate_family
from tests.circuits.lying import FUNCTIONS, places
from tests.circuits.worlds import asking

WORDS = (0, 1, 2, 22, 23, 511, 512, 723, 724, 725, 1023, 1024, 1025, 65_535, 1 << 18, (1 << 19) - 1, 1 << 19)
QUESTIONS = [(before, max(0, 32 * words - unused)) for before in WORDS for words in WORDS for unused in (0, 1, 31)]
NO_EXECUTION: Any = None


def truth(questions: list[tuple[int, int]]) -> list[list[int]]:
    """The messages by the specification's formula, in Python's integers."""

    def cost(words: int) -> int:
        return 3 * words + words**2 // 512

    result = []
    for before, end in questions:
        after = max(before, (end + 31) // 32)
        result.append([before, end, after, cost(after) - cost(before)])
    return result


def findings(messages: list[list[int]], **lies: Lie) -> set[str]:
    execution: Execution = NO_EXECUTION
    return places(check_family((asking(EXPANSION, messages), *COMPONENTS, *FUNCTIONS), execution, lies))


def test_helpers() -> None:
    messages = np.array(truth(QUESTIONS))
    after, cost = expand(messages[:, 0], messages[:, 1])
    assert (after == messages[:, 2]).all()
    assert (cost == messages[:, 3]).all()
    assert memory_cost(np.array([1 << 19])).tolist() == [3 * (1 << 19) + (1 << 29)]


def test_edge_values() -> None:
    assert findings(truth(QUESTIONS)) == set()


def test_mutations() -> None:
    chosen = [(0, 0), (0, 1), (0, 32), (3, 96), (3, 97), (700, 32 * 800), (1024, 40_000), (1 << 19, 5), (7, 1 << 24)]
    report = mutate_family((asking(EXPANSION, truth(chosen)), *COMPONENTS), NO_EXECUTION, rows_per_table=12)
    assert [s for s in report.survivors if s.table == "expansion"] == [], str(report)


@pytest.mark.parametrize("field", [2, 3])
@pytest.mark.parametrize("delta", [1, -1])
def test_wrong_by_one(field: int, delta: int) -> None:
    message = truth([(3, 4000)])[0]
    message[field] += delta
    assert findings([*truth([(3, 4000)]), message]) == {"expansion"}


def test_beyond_the_largest_memory() -> None:
    for message in ([0, (1 << 24) + 1, (1 << 19) + 1, 0], [1, MODULUS - 31, 1, 0], [MODULUS - 1, 0, MODULUS - 1, 0]):
        assert findings([*truth([(0, 1)]), message]) == {"expansion"}


def test_lies() -> None:
    message = truth([(3, 4000)])

    def cost(rows: Any) -> None:
        rows.cost[0] += 1

    def no_growth(rows: Any) -> None:
        rows.grows[0] = 0
        rows.cost[0] = 0
        rows.gap[0] = (3 - 125) & 0xFFFF

    def remainder(rows: Any) -> None:
        # The same square with one quotient less.
        rows.needed.remainder[0] += 512
        rows.cost[0] -= 1

    def parts(rows: Any) -> None:
        # The same size with another upper part, and the price of a size that is not.
        rows.needed.high[0] += 1

    def unused(rows: Any) -> None:
        rows.unused[0] += 32
        rows.needed.words[0] += 1

    assert findings(message, expansion=cost) == {"cost", "expansion"}
    assert "range16" in findings(message, expansion=no_growth)
    assert "range16" in findings(message, expansion=remainder)
    assert "range16" in findings(message, expansion=parts)
    assert "range16" in findings(message, expansion=unused)


def test_nothing_of_nothing() -> None:
    """An access that ends before byte 0."""

    def lie(rows: Any) -> None:
        rows.unused[0] = 31

    found = findings([[0, MODULUS - 31, 0, 0], *truth([(0, 0)])], expansion=lie)
    assert "nothing is unused of nothing" in found
