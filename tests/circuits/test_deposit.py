"""RETURN of creations: which codes are stored, what that costs, and what stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from eth_utils.crypto import keccak as keccak256

from circuits.air.circuit import Circuit
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.deposits import deposit_words
from circuits.batch.execution import Execution
from circuits.frames import code
from circuits.frames.buses import CONTEXT_OF, HALT
from circuits.frames.contexts import CREATION
from circuits.frames.frames import Ending
from circuits.instructions import deposit, keccak
from circuits.instructions.deposit import GAS_CODE_DEPOSIT, Deposit
from circuits.limbs import words_from_bytes
from circuits.memory.buses import EXPANSION, MEMORY_BYTES
from circuits.memory.expansion import memory_cost
from circuits.state.buses import ACCOUNT
from circuits.widths import NONCE, WORD
from executor.forks import CANCUN
from executor.state_keys import EMPTY_CODE_HASH
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family, open_messages
from tests.circuits.lying import FUNCTIONS, objections

#: The instruction, what reads the memory, and what knows the words, the sizes and the hashes of codes.
DEPOSIT = deposit.components(CANCUN)
FAMILY = (*DEPOSIT, keccak.COMPONENTS[2], code.COMPONENTS[0], code.COMPONENTS[3])
CHECKED = (*FAMILY, *FUNCTIONS)

_EMPTY = words_from_bytes([EMPTY_CODE_HASH])[0]
_MAX = 24_576


def returning(size: int, offset: int = 0, begin: bytes = b"\x5b", prefix: str = "") -> str:
    """A program that returns a code of this size, which begins with these bytes and is zero behind."""
    written = " ".join(f"{byte} {offset + place} mstore8" for place, byte in enumerate(begin[:size]))
    return f"{prefix} {written} {size} {offset} return"


def creating(*sources: str, gas: int = 6_000_000) -> Execution:
    """Transactions whose initcodes are these programs."""
    building = Builder()
    for source in sources:
        building.block(building.transfer(0, to=b"", gas=gas, value=0, data="0x" + assemble(source).hex()))
    return execution_of(building.execute())


#: Source; ending; bytes of the code that is stored, or None; gas of the last step if that succeeds; its time.
CASES: dict[str, tuple[str, Ending, bytes | None, int, int]] = {
    "one byte": (returning(1), Ending.SUCCEEDED, b"\x5b", 200, 2),
    "a word": (returning(32), Ending.SUCCEEDED, b"\x5b" + bytes(31), 6_400, 2),
    "a byte more": (returning(33), Ending.SUCCEEDED, b"\x5b" + bytes(32), 6_600 + 3, 3),
    "from anywhere": (
        returning(40, 77, b"\xee\x01\xef"), Ending.SUCCEEDED, b"\xee\x01\xef" + bytes(37), 8_003, 3,
    ),
    "zeros behind the memory": (returning(64, 1000, b""), Ending.SUCCEEDED, bytes(64), 12_800 + 104, 3),
    "above the reserved byte": (returning(2, 31, b"\xf0\xef"), Ending.SUCCEEDED, b"\xf0\xef", 400, 2),
    "the largest": (
        returning(_MAX), Ending.SUCCEEDED, b"\x5b" + bytes(_MAX - 1), GAS_CODE_DEPOSIT * _MAX + 3_456 - 3, 769,
    ),
    "nothing": (returning(0, begin=b""), Ending.SUCCEEDED, None, 0, 1),
    "nothing from anywhere": ("0 0x" + "ff" * 32 + " return", Ending.SUCCEEDED, None, 0, 1),
    "a byte too many": (returning(_MAX + 1), Ending.HALTED, None, 0, 1),
    "far too many": (returning(0x20000), Ending.HALTED, None, 0, 1),
    "too many, reserved": (returning(_MAX + 1, begin=b"\xef"), Ending.HALTED, None, 0, 1),
    "reserved": (returning(1, begin=b"\xef"), Ending.HALTED, None, 0, 2),
    "reserved, from anywhere": (returning(70, 45, b"\xef\x01"), Ending.HALTED, None, 0, 2),
}  # fmt: skip


def the_row(execution: Execution) -> Any:
    """The only row of the table."""
    matrix = deposit.fill_deposit(execution)
    assert matrix is not None
    return TraceView(deposit.Columns, matrix)


def test_size() -> None:
    statistics = Circuit("alone", [Deposit(CANCUN.max_code_bytes)]).statistics[0]
    assert (statistics.columns, statistics.interactions, statistics.degree) == (132, 30, 2)


@pytest.mark.parametrize("name", CASES)
def test_honest_ends_are_accepted(name: str) -> None:
    source, ending, code, cost, duration = CASES[name]
    execution = creating(source)
    assert check_family(CHECKED, execution) == []
    last = len(execution.step) - 1
    time = int(execution.time[last])
    gas = int(execution.gas[last]) - cost if ending == Ending.SUCCEEDED else 0
    (halt,) = open_messages(FAMILY, execution, HALT)
    assert halt == (1, ending, gas, 0, 0, time + duration)
    assert open_messages(FAMILY, execution, CONTEXT_OF) == [(1, CREATION, 1)]
    frames = execution.trace.frames
    assert frames.gas_left[0] == gas
    size = int(execution.operand(np.array([last]), 1)[0, :2] @ [1, 1 << 16])
    assert 1 + deposit_words(np.array([size]), frames.outcome[:1], CANCUN.max_code_bytes)[0] == duration
    account = open_messages(FAMILY, execution, ACCOUNT)
    assert bool(account) == (code is not None)
    if code is not None:
        start, sent_hash = 2 + len(frames.address[0]) + WORD + NONCE, words_from_bytes([keccak256(code)])[0]
        found = {message[-1]: message[start : start + WORD] for message in account}
        # The account was last accessed when the creation began.
        begun = int(execution.frame_begin_time[0]) + 2
        assert found == {begun: tuple(_EMPTY.tolist()), time: tuple(sent_hash.tolist())}
        assert frames.output_size[0] == len(code)
    assert len(open_messages(FAMILY, execution, MEMORY_BYTES)) == duration - 1


def test_all_kinds_in_one_segment() -> None:
    execution = creating(*(source for source, *_ in CASES.values()))
    assert check_family(CHECKED, execution) == []
    assert the_row(execution).real.sum() == len(CASES)


@pytest.mark.parametrize("source", [returning(10), returning(3_000, 100_000), returning(1, begin=b"\xef")])
def test_gas_decides_to_the_last_unit(source: str) -> None:
    execution = creating(source)
    row = the_row(execution)
    size, offset = int(row.size.limbs[0, 0]), int(row.offset[0, 0] + row.offset[0, 1] * 65536)
    before = int(execution.memory_words[-1])
    words = np.array([before, max(before, -(-(offset + size) // 32))])
    cost = GAS_CODE_DEPOSIT * size + int(np.diff(memory_cost(words))[0])
    spent = 6_000_000 - int(execution.gas[-1])
    reserved = execution.trace.frames.outcome[0] == 9
    for gas, pays in ((cost, True), (cost - 1, False), (0, False)):
        if reserved and not pays:
            continue
        execution = creating(source, gas=spent + gas)
        assert check_family(CHECKED, execution) == []
        (halt,) = open_messages(FAMILY, execution, HALT)
        expected = Ending.HALTED if reserved else Ending.SUCCEEDED if pays else Ending.UNPAID
        assert halt[1:3] == (expected, 0)


def test_a_reserved_byte_halts_whatever_gas_there_is() -> None:
    source = returning(5, begin=b"\xef")
    spent = 6_000_000 - int(creating(source).gas[-1])
    execution = creating(source, gas=spent)
    assert execution.gas[-1] == 0
    assert check_family(CHECKED, execution) == []
    assert {message[1] for message in open_messages(FAMILY, execution, HALT)} <= {Ending.HALTED, Ending.UNPAID}


def test_too_large_a_code_asks_for_no_memory() -> None:
    execution = creating(returning(_MAX + 1))
    assert open_messages(FAMILY, execution, EXPANSION) == []


def test_other_frames_return_to_their_own_table() -> None:
    building = Builder().alloc(CONTRACT, code="0x" + assemble("1 0 return").hex())
    execution = execution_of(building.block(call_contract(building)).execute())
    assert len(execution.deposits) == 0
    assert deposit.fill_deposit(execution) is None


MUTATED = {
    "stored": (returning(40, 77, b"\xee\x01\xef"), returning(1)),
    "nothing": (returning(0, begin=b""), "0 0x" + "ff" * 32 + " return"),
    "halts": (returning(_MAX + 1), returning(70, 45, b"\xef\x01")),
}


@pytest.mark.parametrize("name", MUTATED)
def test_mutations_are_rejected(name: str) -> None:
    report = mutate_family(CHECKED[:1] + CHECKED[-2:], creating(*MUTATED[name]), rows_per_table=4)
    assert not report.survivors, str(report)


def test_mutations_of_failures_are_rejected() -> None:
    execution = creating(returning(1000), returning(1, 200_000, b""), gas=100_000)
    assert {message[1] for message in open_messages(FAMILY, execution, HALT)} == {Ending.UNPAID}
    report = mutate_family(CHECKED[:1] + CHECKED[-2:], execution, rows_per_table=4)
    assert not report.survivors, str(report)


Lie = Callable[[Any], None]


def objecting(source: str, lie: Lie, gas: int = 6_000_000) -> set[str]:
    """What objects to a lie, when the world follows it as far as it is the prover's to choose."""
    return objections(DEPOSIT, creating(source, gas=gas), {"deposit": lie}, follows=True)


def test_following_worlds_accept_the_truth() -> None:
    assert objecting(returning(40), lambda _: None) == set()


def test_a_code_of_too_many_bytes_is_not_stored() -> None:
    def lie(rows: Any) -> None:
        """As if it were small enough."""
        rows.large.less[0] = 0
        rows.large.difference[0] = ((_MAX - _MAX - 1) & 0xFFFF, 0xFFFF)
        rows.cost[0] = GAS_CODE_DEPOSIT * (_MAX + 1)

    assert {"large: high limb"} <= objecting(returning(_MAX + 1), lie)


def test_a_code_of_few_bytes_is_not_too_large() -> None:
    def lie(rows: Any) -> None:
        idle(rows)
        rows.large.less[0] = 1

    assert "large: high limb" in objecting(returning(40), lie)


def idle(rows: Any) -> None:
    """The row as it is where neither gas matters nor anything is stored."""
    for name in ("words_after", "expansion", "stores"):
        getattr(rows, name)[0] = 0
    rows.cost[0] = rows.gas[0]
    rows.charge.margin[0] = rows.charge.fails[0] = 0
    start = deposit.Columns.offsets["stored"]
    rows._matrix[0, start : start + deposit.Stored.width] = 0


def test_a_reserved_byte_is_read_and_not_claimed() -> None:
    def lie(rows: Any) -> None:
        idle(rows)
        rows.reserved[0] = 1

    # Another byte stands in memory than the one that the row says it has read.
    execution = creating(returning(40))
    honest = open_messages(DEPOSIT, execution, MEMORY_BYTES)
    assert honest == []
    assert "memory_bytes" in objections(DEPOSIT, execution, {"deposit": lie})

    def of_nothing(rows: Any) -> None:
        lie(rows)

    assert "a reserved byte is the first of some, and not of too many" in objecting(returning(0, begin=b""), of_nothing)


def test_a_code_with_a_reserved_byte_is_not_stored() -> None:
    def lie(rows: Any) -> None:
        """All as for a code of the same size with another byte; of the reserved one there is no inverse."""
        honest = the_row(creating(returning(40)))
        rows._matrix[0] = honest._matrix[0]
        rows.stored.begin[0, 15] = 0xEF00
        rows.stored.xor[0] = 0xEF

    assert "the first byte is not reserved" in objecting(returning(40, begin=b"\xef"), lie)

    def shifted(rows: Any) -> None:
        """The first byte taken for another one, the second one for what is no byte."""
        lie(rows)
        rows.stored.second[0] = 0x100
        rows.stored.xor[0] = 0xEE ^ 0x100
        rows.stored.inverse[0] = MODULUS - 1

    assert "bitwise_bytes" in objecting(returning(40, begin=b"\xef"), shifted)


def test_what_is_stored_is_paid() -> None:
    def free(rows: Any) -> None:
        rows.cost[0] = rows.expansion[0]
        rows.charge.margin[0] = (int(rows.gas[0]) - int(rows.cost[0])) & 0xFFFF

    def succeeds(rows: Any) -> None:
        rows.charge.fails[0] = 0
        rows.charge.margin[0] = (int(rows.gas[0]) - int(rows.cost[0])) & 0xFFFF

    def fails(rows: Any) -> None:
        idle(rows)
        rows.cost[0] = 8_000
        rows.words_after[0] = 2
        rows.expansion[0] = 3
        rows.charge.fails[0] = 1

    assert "cost" in objecting(returning(40), free)
    assert {"range16", "stores"} <= objecting(returning(1000), succeeds, gas=100_000)
    assert "range16" in objecting(returning(40), fails)


def test_storing_is_no_choice() -> None:
    def nothing(rows: Any) -> None:
        rows.stores[0] = 0
        start = deposit.Columns.offsets["stored"]
        rows._matrix[0, start : start + deposit.Stored.width] = 0

    assert objecting(returning(40), nothing) == {"stores"}

    def empty(rows: Any) -> None:
        nothing(rows)
        rows.size.empty.zero[0], rows.size.empty.inverse[0] = 1, 0

    assert "empty: value * zero = 0" in objecting(returning(40), empty)

    def something(rows: Any) -> None:
        rows.stores[0] = 1

    assert "stores" in objecting(returning(0, begin=b""), something)


@pytest.mark.parametrize(
    ("field", "found"), [("hash", {"code"}), ("begin", {"hash_word"}), ("id", {"code", "hash_word"})]
)
def test_the_code_that_is_stored_is_the_one_in_memory(field: str, found: set[str]) -> None:
    def lie(rows: Any) -> None:
        cells = getattr(rows.stored, field)
        cells.reshape(len(cells), -1)[0, 0] += 1

    execution = creating(returning(40), returning(41, begin=b"\x5c"))
    assert found <= objections(FAMILY, execution, {"deposit": lie})


def test_another_size_has_another_hash() -> None:
    """The liar stores the first 39 bytes; the words of both codes are the same."""

    def lie(rows: Any) -> None:
        honest = the_row(creating(returning(39), returning(40)))
        for name in ("id", "hash", "begin", "second", "xor", "inverse"):
            getattr(rows.stored, name)[1] = getattr(honest.stored, name)[0]

    execution = creating(returning(39), returning(40))
    assert objections(FAMILY, execution, {"deposit": lie}, follows=True) == {"code"}
