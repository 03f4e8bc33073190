"""DUPN, SWAPN and EXCHANGE (EIP-8024): executed and proved as the EIP says; bytes, depths, ends of codes, lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.field import MODULUS
from circuits.batch.execution import BYTE_FAILURE, PLAIN, STATIC_FAILURE, Execution
from circuits.component import Component
from circuits.frames import code
from circuits.instructions import deep_stack, exceptional, stack
from circuits.segment import fill, segment_circuit
from executor.errors import UnsupportedFeature
from executor.forks import AMSTERDAM, CIRCUIT_FORKS, FORKS, OSAKA, Fork
from executor.limbs import words_to_ints
from executor.provable import check_provable
from scripts.batches.builder import Builder
from scripts.batches.segment import execution_of
from tests.circuits.family import mutate_family
from tests.circuits.lying import RANGES, objections, row_where
from tests.executor.consistency import check_trace
from verifier.keys import KEY_SETS

FAMILY: tuple[Component, ...] = (
    *stack.COMPONENTS,
    *deep_stack.components(AMSTERDAM),
    *exceptional.components(AMSTERDAM),
    *code.COMPONENTS,
)
DUPN, SWAPN, EXCHANGE = (i for i in AMSTERDAM.added_instructions if i.name in deep_stack.NAMES)
POP, MSTORE, STOP = "50", "52", "00"

#: The EIP's cases: code, and the stack at its end from the top; None where it halts exceptionally.
CASES: dict[str, list[int] | None] = {
    "60016000808080808080808080808080808080e680": [1, *[0] * 16, 1],
    "600160008080808080808080808080808080806002e780": [1, *[0] * 16, 2],
    "600260008080808080600160008080808080808080e8": [*[0] * 9, 2, *[0] * 6, 1],
    "600060016002e88e": [2, 0, 1],
    "600080808080808080808080808080808080808080808080808080808060016002e88f": [2, *[0] * 28, 1],
    "e75b": None,
    "600456e65b": [],
    "60008080e88e15": [1, 0, 0],
    "e852": None,
    "6000808080808080808080808080808080e680": None,
}


def run(codes: Sequence[str], fork: Fork = AMSTERDAM, gas: int = 400_000) -> Execution:
    """The execution of one transaction for each code."""
    building = Builder(fork)
    calls = []
    for number, source in enumerate(codes):
        address = (0xA000 + number).to_bytes(20, "big")
        building.alloc(address, code="0x" + source)
        calls.append(building.transfer(number % 4, address, 0, gas=gas))
    executed = building.block(*calls[: len(calls) // 2]).block(*calls[len(calls) // 2 :]).execute()
    assert executed.trace is not None
    check_trace(executed.trace)
    return execution_of(executed)


def checked(execution: Execution) -> Execution:
    """An execution that all tables of its fork agree to."""
    filled = fill(execution)
    assert check_circuit(filled.circuit, filled.traces, filled.public_lists) == []
    return execution


def stacks(execution: Execution) -> list[list[int] | None]:
    """The stack of each transaction at its end, from the top; None where it has failed."""
    rest, rows = execution.stack_rest, execution.trace.transactions
    outermost = np.searchsorted(execution.frames, rows.first_frame) + 1
    found: list[list[int] | None] = []
    for frame, status in zip(outermost.tolist(), rows.status.tolist(), strict=True):
        own = np.flatnonzero(rest.frame == frame)
        own = own[np.argsort(-rest.slot[own])]
        found.append(words_to_ints(rest.word[own].astype(np.uint16)) if status else None)
    return found


def pushed(count: int) -> str:
    """Code that makes a stack of 1, 2, .. up to `count`."""
    return "".join(f"61{number:04x}" for number in range(1, count + 1))


def decode_single(x: int) -> int | None:
    """As the EIP has it."""
    return (x + 145) % 256 if 0 <= x <= 90 or 128 <= x <= 255 else None


def decode_pair(x: int) -> tuple[int, int] | None:
    """As the EIP has it."""
    if not (0 <= x <= 81 or 128 <= x <= 255):
        return None
    q, r = divmod(x ^ 143, 16)
    return (q + 1, r + 1) if q < r else (r + 1, 29 - q)


def after(opcode: int, byte: int, before: list[int]) -> list[int] | None:
    """A stack, its top last, after an instruction of the EIP; None where it halts exceptionally."""
    words = list(before)
    if opcode == EXCHANGE.opcode:
        pair = decode_pair(byte)
        if pair is None or pair[1] + 1 > len(words):
            return None
        n, m = pair
        words[-1 - n], words[-1 - m] = words[-1 - m], words[-1 - n]
        return words
    n = decode_single(byte)
    if n is None or n + (opcode == SWAPN.opcode) > len(words):
        return None
    if opcode == DUPN.opcode:
        return [*words, words[-n]]
    words[-1], words[-1 - n] = words[-1 - n], words[-1]
    return words


def test_bytes_are_those_that_the_eip_encodes() -> None:
    singles, pairs = set(), set()
    for n in range(17, 236):
        assert DUPN.places[(n + 111) % 256] == (n - 1,)
        assert SWAPN.places[(n + 111) % 256] == (0, n)
        singles.add((n + 111) % 256)
    for n in range(1, 30):
        for m in range(n + 1, 31 - n):
            q, r = (n - 1, m - 1) if m <= 16 else (29 - m, n - 1)
            assert EXCHANGE.places[(16 * q + r) ^ 143] == (n, m)
            pairs.add((16 * q + r) ^ 143)
    for instruction, known in ((DUPN, singles), (SWAPN, singles), (EXCHANGE, pairs)):
        assert {byte for byte, places in enumerate(instruction.places) if places} == known
        # A byte that names places is no JUMPDEST and no PUSH.
        assert not known & {0x5B, *range(0x60, 0x80)}


@cache
def cases() -> Execution:
    return run(list(CASES))


def test_the_cases_of_the_eip() -> None:
    assert stacks(checked(cases())) == list(CASES.values())


#: Around everything that differs.
BYTES = (0, 1, 14, 15, 16, 80, 81, 82, 83, 89, 90, 91, 92, 127, 128, 129, 142, 143, 144, 254, 255)


@cache
def depths() -> Execution:
    """Each instruction with several bytes, on a stack that is just large enough, and on one that is just too small."""
    return run([source for source, _ in _programs(BYTES)])


def _programs(bytes_: Sequence[int]) -> list[tuple[str, list[int] | None]]:
    """Programs and what is on the stack at their ends, from the top."""
    made = []
    for instruction in (DUPN, SWAPN, EXCHANGE):
        for byte in bytes_:
            places = instruction.places[byte] or (20,)
            for size in (max(places), max(places) + 1):
                words = after(instruction.opcode, byte, list(range(1, size + 1)))
                source = pushed(size) + f"{instruction.opcode:02x}{byte:02x}" + STOP
                made.append((source, words[::-1] if words is not None else None))
    return made


@pytest.mark.deep
def test_depths() -> None:
    execution = checked(depths())
    assert stacks(execution) == [words for _, words in _programs(BYTES)]
    routes = execution.route[np.isin(execution.opcode, [DUPN.opcode, SWAPN.opcode, EXCHANGE.opcode])]
    assert set(routes.tolist()) == {PLAIN, BYTE_FAILURE}


@pytest.mark.deep
@pytest.mark.parametrize("first", range(0, 256, 64))
def test_every_byte(first: int) -> None:
    programs = _programs(range(first, first + 64))
    for start in range(0, len(programs), 48):
        part = programs[start : start + 48]
        assert stacks(run([source for source, _ in part])) == [words for _, words in part]


@cache
def edges() -> Execution:
    """Ends of codes, a full stack, one too small for any byte, and too little gas."""
    full = pushed(1023)
    return run(
        [
            pushed(145) + "e6",  # the byte behind the end is 0: the 145th word
            pushed(146) + "e7",
            pushed(17) + "e8",  # 9 and 16 below the top
            full + "e680" + STOP,
            full + "5f" + "e680" + STOP,
            full + "5f" + "e780" + "e800" + STOP,
            "e680",
            "5fe780",
            "e800",
            # Jumps to the byte behind, which is a JUMPDEST there, and over it.
            "600456" + "e8" + "5b" + "5f",
            pushed(17) + "e680" + POP * 18 + "5f",
        ]
    )


def test_edges() -> None:
    execution = checked(edges())
    found = stacks(execution)
    assert found[0] == [1, *range(145, 0, -1)]
    assert found[1] == [1, *range(145, 1, -1), 146]
    assert found[2] == [17, 16, 15, 14, 13, 12, 11, 10, 9, 1, 7, 6, 5, 4, 3, 2, 8]
    assert found[3] is not None
    assert len(found[3]) == 1024
    assert found[4] is None
    assert found[5] is not None
    assert found[6:9] == [None] * 3
    assert found[9:] == [[0], [0]]
    assert (execution.route == STATIC_FAILURE).sum() == 4


@pytest.mark.deep
def test_too_little_gas() -> None:
    """Each instruction with the gas that it costs, and with one less."""
    source = pushed(17) + "e680" + pushed(1) + "e780" + "e800"
    costs = 21_000 + 3 * 17
    for spare, steps in ((2, 18), (3, 19), (8, 20), (9, 21), (11, 21), (12, 22)):
        execution = checked(run([source, source], gas=costs + spare))
        transactions = execution.trace.transactions
        assert (transactions.end_step - transactions.first_step).tolist() == [steps] * 2
        assert transactions.status.tolist() == [int(spare == 12)] * 2


def test_in_initcode() -> None:
    """A creation whose initcode ends with a DUPN, of 32 bytes and of fewer."""
    building = Builder(AMSTERDAM)
    for size in (31, 32, 64):
        source = bytes.fromhex("5f" * (size - 1) + "e6")
        building.block(building.transfer(to=b"", value=0, gas=200_000, data="0x" + source.hex()))
    building.block(building.transfer(to=b"", value=0, gas=200_000, data="0x" + "5f" * 20 + "e680" + "e780" + "e800"))
    execution = checked(execution_of(building.execute()))
    # 30 and 31 words are fewer than 145; with 20 words all is well.
    assert execution.trace.transactions.status.tolist() == [0, 0, 0, 1]


def test_other_forks_have_none() -> None:
    assert deep_stack.components(OSAKA) == ()
    assert not {"dupn", "deep_stack_failure"} & {table.name for table in segment_circuit(OSAKA).tables}
    execution = checked(run(list(CASES), OSAKA))
    assert stacks(execution) == [[] if words == [] else None for words in CASES.values()]


def test_a_fork_in_development_is_not_proved() -> None:
    building = Builder(AMSTERDAM)
    executed = building.block(building.transfer()).execute()
    with pytest.raises(UnsupportedFeature, match=r"^fork amsterdam, which is in development in block 0$"):
        check_provable(executed)
    assert AMSTERDAM.name not in {*FORKS, *CIRCUIT_FORKS, *KEY_SETS}


@pytest.mark.parametrize("make", [cases, edges])
def test_mutations(make: Callable[[], Execution]) -> None:
    report = mutate_family([*deep_stack.components(AMSTERDAM), RANGES], make(), rows_per_table=4)
    assert report.survivors == []


def test_mutations_of_failures() -> None:
    own = deep_stack.components(AMSTERDAM)
    assert mutate_family([own[-1], RANGES], depths(), rows_per_table=12).survivors == []


def lie_another_word(rows: Any) -> None:
    """The word one deeper is copied."""
    rows.behind.byte[0] += 1


def lie_other_half(rows: Any) -> None:
    """The byte counts as one below 0x80: n is 256 more."""
    row = row_where(rows.behind.high == 1)
    rows.behind.high[row] = 0


def lie_byte_ignored(rows: Any) -> None:
    """The copied word is another one than the stack holds there."""
    rows.word[0, 0] += 1


def lie_pair_turned(rows: Any) -> None:
    row = row_where(rows.pair.less == 1)
    rows.pair.less[row] = 0


def lie_pair_of_another_half(rows: Any) -> None:
    """The halves are others of which 16 times one and the other are the byte."""
    rows.pair.low[0] = (int(rows.pair.low[0]) + 16) % MODULUS


def lie_same_words(rows: Any) -> None:
    rows.upper[0], rows.lower[0] = rows.lower[0].copy(), rows.upper[0].copy()


def lie_invalid(rows: Any) -> None:
    """A byte that names places passes for one that names none."""
    row = row_where(rows.invalid == 0)
    rows.invalid[row], rows.excess[row] = 1, 0
    rows.lacks[row] = rows.pair.low[row] = rows.pair.less[row] = 0


def lie_more_lacking(rows: Any) -> None:
    rows.excess[row_where(rows.invalid == 0)] += 1


def lie_deeper(rows: Any) -> None:
    """A byte from 0x80 on counts as one that is not: 256 words more are needed."""
    row = row_where((rows.behind.high == 1) & (rows.lacks == 0))
    rows.behind.high[row] = 0
    rows.excess[row] += 256


def lie_lacking(rows: Any) -> None:
    """A byte that names no places passes for one that names a word below the stack."""
    row = row_where((rows.invalid == 1) & (rows.kind[:, 0] == 1))
    rows.invalid[row] = 0
    rows.excess[row] = int(rows.behind.byte[row]) + 145 - int(rows.stack_size[row]) - 1


def lie_another_instruction(rows: Any) -> None:
    row = row_where(rows.kind[:, 0] & (rows.invalid == 0))
    rows.kind[row] = (0, 1, 0)
    rows.excess[row] += 1


@pytest.mark.parametrize(
    ("table", "lie", "objection"),
    [
        ("dupn", lie_another_word, "instruction"),
        ("dupn", lie_another_word, "stack"),
        ("dupn", lie_other_half, "range16"),
        ("dupn", lie_byte_ignored, "stack"),
        ("swapn", lie_another_word, "stack"),
        ("swapn", lie_same_words, "stack"),
        ("exchange", lie_pair_turned, "range16"),
        ("exchange", lie_pair_of_another_half, "range16"),
        ("exchange", lie_same_words, "stack"),
        ("deep_stack_failure", lie_invalid, "range16"),
        ("deep_stack_failure", lie_more_lacking, "too few words"),
        ("deep_stack_failure", lie_deeper, "range16"),
        ("deep_stack_failure", lie_another_instruction, "instruction"),
        ("deep_stack_failure", lie_lacking, "range16"),
    ],
)
def test_lies(table: str, lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(FAMILY, depths(), {table: lie})


def test_a_step_that_succeeds_does_not_fail() -> None:
    """No row of the failures can be made of a step that succeeds, whatever its byte is said to be."""
    own = deep_stack.components(AMSTERDAM)[-1]

    def succeeding(rows: Any) -> None:
        """The stack is one word higher than the byte needs."""
        row = row_where((rows.invalid == 0) & (rows.excess == 0))
        rows.stack_size[row] += 1
        rows.excess[row] = MODULUS - 1

    assert "range16" in objections((own,), depths(), {"deep_stack_failure": succeeding}, follows=True)
