"""The gas that a call is given: all but one 64th at most."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.component import Acting
from circuits.frames.buses import CALL_GAS
from circuits.frames.call_gas import COMPONENTS, SMALL_CALL_GAS, answer_call_gas, call_gas
from circuits.limbs import u64_from_ints, words_from_ints
from tests.circuits.family import Lie, check_family, fill_family, mutate_family
from tests.circuits.lying import FUNCTIONS, places
from tests.circuits.worlds import asking

NO_EXECUTION: Any = None
GIVEN = 4 + 16

AVAILABLE = (0, 1, 63, 64, 65, 127, 128, 2299, 65_535, 65_536, 65_537, 1 << 22, (1 << 22) + 64, 30_000_000)
AVAILABLE += ((1 << 30) - 1, 1 << 30, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 48) + 65, 1 << 63, (1 << 64) - 1)
WORDS = (0, 1, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, 1 << 64, (1 << 64) + 1, 1 << 255, (1 << 256) - 1)


def most(available: int) -> int:
    return available - available // 64


def message(available: int, requested: int, given: int | None = None) -> list[int]:
    """The query, by default of what is true in Python's integers."""
    if given is None:
        given = min(requested, most(available))
    available_limbs, given_limbs = u64_from_ints([available, given])
    return [*available_limbs.tolist(), *words_from_ints([requested])[0].tolist(), *given_limbs.tolist()]


def questions() -> list[tuple[int, int]]:
    draw = random.Random(0)
    found = [(a, r) for a in AVAILABLE for r in WORDS]
    found += [(a, max(0, most(a) + d)) for a in AVAILABLE for d in (-65_536, -1, 0, 1, 65_536, 1 << 32, 1 << 64)]
    found += [(a, a) for a in AVAILABLE]
    found += [(draw.getrandbits(draw.choice((24, 32, 64))), draw.getrandbits(draw.choice((24, 32, 64, 256))))
              for _ in range(200)]  # fmt: skip
    return found


def findings(messages: Sequence[Sequence[int]], **lies: Lie) -> set[str]:
    return places(check_family((asking(CALL_GAS, messages), *COMPONENTS, *FUNCTIONS), NO_EXECUTION, lies))


def test_helper() -> None:
    asked = questions()
    given = call_gas(np.array([a for a, _ in asked], np.uint64), words_from_ints([r for _, r in asked]))
    assert given.tolist() == [min(r, most(a)) for a, r in asked]


def test_honest() -> None:
    asked = [message(a, r) for a, r in questions()]
    assert findings([*asked, *asked[:50]]) == set()


def test_small_gas_has_a_table_of_its_own() -> None:
    def tables(*asked: tuple[int, int]) -> list[bool]:
        components = (asking(CALL_GAS, [message(*pair) for pair in asked]), *COMPONENTS)
        return [matrix is not None for matrix in fill_family(components, NO_EXECUTION)[1:]]

    assert tables(((1 << 32) - 1, 1 << 255), (5, 5)) == [True, False]
    assert tables((1 << 32, 0)) == [False, True]
    assert tables((1 << 32, 0), (0, 0)) == [True, True]
    assert [c.answer(NO_EXECUTION, np.zeros((0, 24), np.uint32)) for c in COMPONENTS] == [None, None]


def test_mutations() -> None:
    pairs = [(0, 0), (64, 64), (65_535, 65_534), (30_000_000, 29_000_000), (30_000_000, 1 << 255), (65_536, 1 << 16)]
    pairs += [((1 << 32) - 1, 1 << 32), (6400, 7 + (1 << 40)), (1 << 40, 5), (1 << 63, 1 << 64), (1 << 50, 1 << 50)]
    report = mutate_family(
        (asking(CALL_GAS, [message(*p) for p in pairs]), *COMPONENTS, *FUNCTIONS[1:]), NO_EXECUTION, rows_per_table=12
    )
    assert [s for s in report.survivors if s.table.startswith("call_gas")] == [], str(report)
    assert report.tried["cell"] > 1000


@pytest.mark.parametrize("available", [6399, 6400, 100_000_000, (1 << 32) + 63, 1 << 63])
@pytest.mark.parametrize("delta", [1, -1])
def test_one_too_much_or_too_little(available: int, delta: int) -> None:
    honest = message(1000, 1000)
    for requested in (most(available), 5000, 1 << 200):
        given = min(requested, most(available))
        assert findings([honest, message(available, requested, given + delta)]) == {"call_gas"}


def test_more_than_requested_or_than_there_is() -> None:
    honest = message(1000, 1000)
    for false in (message(6400, 100, 6300), message(6400, 6400, 6400), message(6400, 1 << 32, 0)):
        assert findings([honest, false]) == {"call_gas"}


def test_what_is_no_limb() -> None:
    for place, value in ((0, 1 << 16), (1, MODULUS - 1), (GIVEN, 1 << 16)):
        false = message(1000, 1000)
        false[place] = value
        assert findings([message(1000, 1000), false]) == {"call_gas"}
    assert answer_call_gas(np.array([false], np.uint32), SMALL_CALL_GAS) is None


def lied(question: tuple[int, int], given: int, change: Lie) -> set[str]:
    """What objects when the row for a question is changed such that it gives this in one limb, as is asked."""
    rows = filled(question)
    change(rows)
    matrix = rows._matrix
    components = (
        asking(CALL_GAS, [[*message(*question)[:GIVEN], given, 0, 0, 0]]),
        Acting(SMALL_CALL_GAS, lambda _: matrix),
        *FUNCTIONS,
    )
    return places(check_family(components, NO_EXECUTION))


def filled(question: tuple[int, int]) -> Any:
    """The honest row."""
    matrix = answer_call_gas(np.array([message(*question)], np.uint32), SMALL_CALL_GAS)
    assert matrix is not None
    return TraceView(SMALL_CALL_GAS.layout, matrix)


def test_all_there_is_for_a_small_request() -> None:
    """requested - most is negative: it borrows from upper limbs that are not there, or is no number of limbs."""

    def borrows(rows: Any) -> None:
        rows.less[0] = 0
        rows.difference[0] = [100 - 6300 + 65_536, 65_535]
        rows.borrow[0] = 1

    def negative(rows: Any) -> None:
        rows.less[0] = 0
        rows.difference[0] = [100 - 6300 + 65_536, MODULUS - 1]
        rows.borrow[0] = [1, 0]

    assert lied((6400, 100), 6300, borrows) == {"a borrow is paid by the upper limbs"}
    assert lied((6400, 100), 6300, negative) == {"range16"}


def test_a_request_above_all_there_is() -> None:
    """It is given though most is less."""

    def borrows(rows: Any) -> None:
        rows.less[0] = 1
        rows.difference[0] = [6300 - 6400 - 1 + 65_536, 65_535]
        rows.borrow[0] = 1

    def negative(rows: Any) -> None:
        rows.less[0] = 1
        rows.difference[0] = [6300 - 6400 - 1 + 65_536, MODULUS - 1]
        rows.borrow[0] = [1, 0]

    assert lied((6400, 6400), 6400, borrows) == {"a borrow is paid by the upper limbs"}
    assert lied((6400, 6400), 6400, negative) == {"range16"}


def test_the_lower_limbs_of_a_huge_request() -> None:
    def lower_limbs(rows: Any) -> None:
        rows.less[0] = 1
        rows.difference[0] = [6300 - 100 - 1, 0]
        rows.borrow[0] = 0
        rows.inverse[0] = 0

    assert lied((6400, (1 << 40) + 100), 100, lower_limbs) == {"a small request has no upper limbs"}


def test_less_than_a_64th_is_kept() -> None:
    def remainder(rows: Any) -> None:
        """6400 = 64 * 99 + 64."""
        rows.quotient[0, 0] = 99
        rows.remainder[0, 0, 5] = 2
        rows.most[0] = [6400 - 99, 0]
        rows.difference[0, 0] -= 1

    wrapped = (6400 - 1) * pow(64, -1, MODULUS) % MODULUS

    def quotient(rows: Any) -> None:
        """6400 = 64 q + 1 in the field."""
        rows.quotient[0, 0] = wrapped
        rows.remainder[0, 0, 0] = 1
        rows.most[0, 0] = (6400 - wrapped) % MODULUS
        rows.difference[0, 0] = (wrapped - 6400 + (1 << 16)) % MODULUS

    assert lied((6400, 1 << 255), 6301, remainder) == {"remainder[0][5] is a bit"}
    assert lied((6400, 1 << 255), (6400 - wrapped) % MODULUS, quotient) == {"range16"}
