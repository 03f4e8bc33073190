"""Calls of precompiles that programs answer: the whole circuit accepts honest ones, and what a liar may try."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.batch.execution import Execution
from circuits.batch.field_calls import FieldCalls
from circuits.component import Answering, Component
from circuits.fields.calls import FieldCallsTable, Instances, components
from circuits.fields.selections import constant_index
from circuits.functions import range as range_table
from circuits.functions.buses import RANGE15
from circuits.programs.curves import SECP256K1
from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import BITS, NARROW, SELECTED, WIDE, WORDS, signed
from circuits.segment import fill, segment_circuit
from executor.forks import CANCUN
from executor.trace import Outcome
from scripts.batches.builder import Builder
from scripts.batches.precompiles import BN_FIELD, BN_G1, BN_G2, SECP256K1_ORDER, VECTORS, words
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import Lie, mutate_family
from tests.circuits.lying import RANGES, objections, row_where

ECRECOVER, ECADD, PAIRING = 1, 6, 8
VALID = next(v.input for v in VECTORS if v.address == ECRECOVER)
HASH, V, R, S = (int.from_bytes(VALID[k : k + 32], "big") for k in range(0, 128, 32))
NO_POINT = next(r for r in range(1, 100) if SECP256K1.root(r**3 + 7) is None)

#: Programs by number, each with an input that it answers.
RECOVERIES = {
    1: VALID,
    2: words(HASH, 29, R, S),
    3: words(HASH, V + (1 << 96), R, S),
    4: words(HASH, V, 0, S),
    5: words(HASH, V, SECP256K1_ORDER, S),
    6: words(HASH, V, R, SECP256K1_ORDER),
    7: words(HASH, V, NO_POINT, S),
    # R = G, and s * R = hash * G.
    8: words(99, 27 + SECP256K1.generator[1] % 2, SECP256K1.generator[0], 99),
}


def _check(execution: Execution) -> None:
    filled = fill(execution)
    assert not check_circuit(segment_circuit(CANCUN), filled.traces, filled.public_lists, algebra=NATIVE)


def _address(number: int) -> bytes:
    return number.to_bytes(20, "big")


def _direct(number: int, *inputs: bytes, gas: int = 200_000) -> Execution:
    """Transactions that call a precompile."""
    building = Builder()
    for data in inputs:
        building.block(building.transfer(to=_address(number), value=0, data="0x" + data.hex(), gas=gas))
    return execution_of(building.provable())


def _outcomes(execution: Execution) -> list[bool]:
    """Whether each call of a precompile succeeds."""
    frames = execution.trace.frames
    succeeded: list[bool] = (
        frames.outcome[execution.frames[execution.frame_precompile > 0]] == Outcome.SUCCESS
    ).tolist()
    return succeeded


def _programs(execution: Execution) -> list[int]:
    return [instance.variant.program.number for instance in FieldCalls.of(execution).instances]


def test_transactions_recover() -> None:
    """By each program; truncated and overlong."""
    inputs = [*RECOVERIES.values(), b"", VALID[:1], VALID[:33], VALID[:127], VALID + b"\7", VALID + bytes(100)]
    execution = _direct(ECRECOVER, *inputs)
    assert _programs(execution) == [*RECOVERIES, 2, 2, 2, 1, 1, 1]
    assert all(_outcomes(execution))
    _check(execution)


def _stored(data: bytes) -> str:
    padded = data.ljust(-(-len(data) // 32) * 32, b"\0")
    return " ".join(f"0x{padded[k : k + 32].hex()} {k} mstore" for k in range(0, len(padded), 32))


def _contract(source: str, **fields: Any) -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + assemble(source + " stop").hex(), balance=10)
    return execution_of(building.block(call_contract(building, **fields)).provable())


#: Instructions that call, with how many zeros stand between the gas and the address: `value` or nothing.
_CALLS = {"staticcall": "", "delegatecall": "", "call": "0", "callcode": "0"}


@cache
def _calls_of_contract() -> Execution:
    """Each instruction, with just enough gas and with one less; sizes; an output that is shorter and one longer."""
    source = [_stored(VALID)]
    for k, (instruction, value) in enumerate(_CALLS.items()):
        for gas in (3000, 2999):
            source.append(f"32 {256 + 32 * k} 128 0 {value} 1 {gas} {instruction} pop")
        source.append("returndatasize pop")
    # 5 bytes of the output, more bytes than there are, nothing; inputs that are cut and that are longer.
    source.append(
        "5 400 128 0 1 9000 staticcall pop 64 432 128 0 1 9000 staticcall pop 0 0 128 0 1 9000 staticcall pop"
    )
    source.append("32 0 0 returndatacopy 32 600 100 0 1 9000 staticcall pop 32 600 300 0 1 9000 staticcall pop")
    # The input does not begin with a word, and an input whose output is written over it.
    source.append(f"{_stored(VALID)} 128 0 7 mcopy 32 7 128 7 1 9000 staticcall pop 32 0 0 0 1 9000 staticcall pop")
    # Value for a precompile.
    source.append("32 0 128 0 3 1 9000 call pop")
    return _contract(" ".join(source))


def test_contracts_recover() -> None:
    execution = _calls_of_contract()
    assert _outcomes(execution) == [True, False] * 4 + [True] * 8
    assert FieldCalls.of(execution).runs.tolist() == _outcomes(execution)
    _check(execution)


def test_what_nobody_pays_for_is_not_copied() -> None:
    """An input costs the same however long it is."""
    source = f"1 {(1 << 17) - 1} mstore8 {_stored(VALID)} 32 256 {1 << 17} 0 1 9000 staticcall pop"
    execution = _contract(f"{source} 0 0 {1 << 17} 0 6 9000 staticcall pop 0 0 97 0 7 9000 staticcall pop")
    assert _outcomes(execution) == [True, False, False]
    filled = fill(execution)
    assert not check_circuit(segment_circuit(CANCUN), filled.traces, filled.public_lists, algebra=NATIVE)
    heights = {
        t.name: len(m) for t, m in zip(segment_circuit(CANCUN).tables, filled.traces, strict=True) if m is not None
    }
    assert heights["copy"] <= 16


def test_calls_in_memory_of_another_frame() -> None:
    """A contract hands its calldata on."""
    building = Builder().alloc(
        CONTRACT,
        code="0x" + assemble("calldatasize 0 0 calldatacopy 32 0 calldatasize 0 1 gas staticcall 32 0 return").hex(),
    )
    data = ["0x" + RECOVERIES[k].hex() for k in (1, 4)]
    building.block(*(call_contract(building, data=d) for d in data))
    _check(execution_of(building.provable()))


@cache
def _defying() -> bytes:
    """A valid signature: R and the first offset have different x, which are equal in the circuits' field."""
    # As the signed bytes of constants have it.
    x = signed(SECP256K1.offsets[0][0], SECP256K1.field, 32)
    candidates = range(x % MODULUS + (MODULUS << 200), SECP256K1_ORDER, MODULUS)
    return words(HASH, 27, next(r for r in candidates if SECP256K1.root(r**3 + 7) is not None), S)


def test_an_input_that_defies_the_first_choice() -> None:
    execution = _direct(ECRECOVER, _defying())
    (instance,) = FieldCalls.of(execution).instances
    assert (instance.variant.program.number, instance.choice) == (1, 1)
    _check(execution)


def test_calls_that_fail() -> None:
    """ECADD of what is no point, and without gas; parts that fail; inputs with a wrong size."""
    adding = [words(*BN_G1, *BN_G1), words(1, 1, 0, 0), words(BN_FIELD, 2, 0, 0), words(0, 0, 1, BN_FIELD + 2)]
    execution = _direct(ECADD, *adding)
    assert _outcomes(execution) == [True, False, False, False]
    _check(execution)
    execution = _direct(ECADD, adding[0], gas=21_000 + 4 * 126 + 16 * 2 + 149)
    assert _outcomes(execution) == [False]
    _check(execution)


@cache
def _pairings() -> Execution:
    infinite = words(0, 0, *BN_G2)
    inputs = [b"", infinite, infinite + bytes(192), infinite + words(BN_FIELD, 0, 0, 0, 0, 0) + infinite, infinite[:-1]]
    building = Builder()
    for data, gas in [*((data, 300_000) for data in inputs), (infinite, 90_000)]:
        building.block(building.transfer(to=_address(PAIRING), value=0, data="0x" + data.hex(), gas=gas))
    return execution_of(building.provable())


@pytest.mark.deep
def test_pairings() -> None:
    execution = _pairings()
    assert _outcomes(execution) == [True, True, True, False, False, False]
    _check(execution)


# Lies.

_CALLS_TABLE, _INSTANCES = FieldCallsTable.name, Instances.name
_RANGE15 = Answering(range_table.RANGE_15, RANGE15, lambda _, asked: range_table.RANGE_15.fill(asked[:, 0]))


def _family(precompile: int) -> list[Component]:
    """Calls, instances, the machine, and the listing of one precompile."""
    listed = f"listing_{precompile}_"
    return [c for c in components(CANCUN) if c.table.name.startswith(("field_", listed))] + [_RANGE15]


@cache
def _recoveries() -> Execution:
    """A call that is not paid, and calls of several programs without a long one."""
    return _direct(ECRECOVER, *(RECOVERIES[k] for k in (2, 3, 4, 5, 7, 7)), VALID[:5])


@cache
def _paid_and_unpaid() -> Execution:
    source = f"{_stored(RECOVERIES[4])} 32 256 128 0 1 3000 staticcall pop 32 256 128 0 1 2999 staticcall pop"
    return _contract(source)


def _objections(lies: Mapping[str, Lie], execution: Execution | None = None, *, follows: bool = False) -> set[str]:
    return objections(_family(ECRECOVER), execution or _recoveries(), lies, follows=follows)


def test_honest_families() -> None:
    assert _objections({}) == set()
    assert _objections({}, _paid_and_unpaid()) == set()


@pytest.mark.parametrize("longer", [True, False])
def test_another_part_of_an_input_is_taken(longer: bool) -> None:
    """What is behind the input, or less than there is."""
    execution = _direct(ECRECOVER, RECOVERIES[4][:127], RECOVERIES[4] + b"\1")

    def lie(rows: Any) -> None:
        row = row_where(rows.longer != longer)
        rows.longer[row] = longer
        spare = 127 - 128 - 1 if longer else 128 - 129
        rows.spare_low[row] = spare & 0xFFFF
        rows.taken[row] = 128 if longer else 129
        rows.words_low[row] = 4 if longer else 5

    assert "range16" in _objections({_CALLS_TABLE: lie}, execution, follows=True)


@pytest.mark.parametrize("paid", [True, False])
def test_a_false_charge(paid: bool) -> None:
    """A call that is not paid is said to be, and one that is paid is said not to be."""

    def lie(rows: Any) -> None:
        row = row_where(rows.charge.fails[:2] != paid)
        rows.charge.fails[row] = paid
        margin = int(rows.gas[row]) - 3000
        rows.charge.margin[row] = (-margin - 1 if paid else margin) & 0xFFFF
        rows.runs[row] = not paid

    assert "range16" in _objections({_CALLS_TABLE: lie}, _paid_and_unpaid(), follows=True)


def test_an_unpaid_call_that_costs_less() -> None:
    def lie(rows: Any) -> None:
        row = row_where(rows.charge.fails)
        rows.cost[row] = 2999
        rows.charge.fails[row], rows.charge.margin[row], rows.runs[row] = 0, 0, 1

    assert "cost" in _objections({_CALLS_TABLE: lie}, _paid_and_unpaid(), follows=True)


def test_a_success_turned_into_a_failure() -> None:
    """By the call, and by the instance: no program of ECRECOVER fails."""

    def call(rows: Any) -> None:
        rows.fails[0] = 1

    assert _objections({_CALLS_TABLE: call}) == {"field_ran", "halt"}

    def instance(rows: Any) -> None:
        rows.fails[0] = 1

    lies = {_CALLS_TABLE: call, _INSTANCES: instance}
    assert _objections(lies, follows=True) == {"program_listed"}


def test_an_output_of_nothing() -> None:
    """What returns nothing is said to have returned a word."""

    def lie(rows: Any) -> None:
        rows.outputs[0], rows.returns[0] = 1, 1

    assert _objections({_CALLS_TABLE: lie, _INSTANCES: lie}, follows=True) == {"program_listed"}


@cache
def _failing() -> Execution:
    return _direct(ECADD, words(1, 1, 0, 0), words(0, 0, 0, 0))


def test_a_failure_turned_into_a_success() -> None:
    def lie(rows: Any) -> None:
        rows.fails[0] = 0

    family = _family(ECADD)
    assert objections(family, _failing(), {}) == set()
    assert objections(family, _failing(), {_CALLS_TABLE: lie}) == {"field_ran", "halt"}
    both: dict[str, Lie] = {_CALLS_TABLE: lie, _INSTANCES: lie}
    assert objections(family, _failing(), both, follows=True) == {"program_listed"}


def test_an_instance_that_runs_another_program() -> None:
    """A program with the same kinds of rows is started; its rows are those of the other one."""

    def lie(rows: Any) -> None:
        at = row_where(rows.program == 3)
        rows.program[at] = 5

    assert _objections({_INSTANCES: lie}, follows=False) == {"field_start", "program_listed"}


def test_results_of_another_call() -> None:
    """The tokens of two calls are exchanged."""

    def lie(rows: Any) -> None:
        frame = rows.frame
        frame[:2] = frame[:2][::-1].copy()

    assert {"field_start"} <= _objections({_INSTANCES: lie})


def test_a_call_without_an_instance_and_one_with_two() -> None:
    def lie(rows: Any) -> None:
        for name in ("frame", "time", "output", "offset"):
            cells = getattr(rows, name)
            cells[0] = cells[1]

    assert {"field_parts", "field_ran"} <= _objections({_INSTANCES: lie})


def test_names_of_instances_are_their_times() -> None:
    """Rows of an instance say another name: nobody has started them."""

    def lie(rows: Any) -> None:
        rows.chain.instance[:] += 1

    for table in ("field_narrow_32", "field_words_32"):
        assert {"field_start"} <= _objections({table: lie})


def test_a_part_behind_the_last_one() -> None:
    """Nothing fails on zeros behind the input today; but what a part says is of a part of the input."""

    def lie(rows: Any) -> None:
        rows.part[0], rows.fails[0] = 1, 1

    found = _objections({_INSTANCES: lie}, follows=True)
    assert "a part is left for a part" in found


def test_a_read_behind_an_unlinked_part() -> None:
    def lie(rows: Any) -> None:
        rows.link[1] = 1

    assert "what comes before is read" in _objections({_INSTANCES: lie}, follows=True)


@pytest.mark.parametrize("name", ["time", "offset", "output", "parts_left"])
def test_tokens_say_what_instances_do(name: str) -> None:
    def lie(rows: Any) -> None:
        getattr(rows, name)[0] += 1

    assert "field_parts" in _objections({_INSTANCES: lie})


def test_a_wrong_size() -> None:
    """An input of pairs with a rest is said to have none, and one without is said to have one."""
    building = Builder()
    inputs = [b"", bytes(191), bytes(193)]
    building.block(
        *(building.transfer(to=_address(PAIRING), value=0, data="0x" + d.hex(), gas=300_000) for d in inputs)
    )
    execution = execution_of(building.provable())
    assert _outcomes(execution) == [True, False, False]
    family = [c for c in _family(PAIRING) if c.table.name in (_CALLS_TABLE, _INSTANCES)]

    def less(rows: Any) -> None:
        row = row_where(rows.rest == 1)
        rows.rest[row], rows.right.zero[row], rows.right.inverse[row], rows.runs[row] = 0, 1, 0, 1

    assert "parts of the input" in objections(family, execution, {_CALLS_TABLE: less}, follows=True)

    def another(rows: Any) -> None:
        # 193 = 193 / 192 * 192 in the field.
        row = row_where(rows.rest == 1)
        parts = 193 * pow(192, -1, MODULUS) % MODULUS
        rows.whole_parts[row], rows.rest[row] = parts, 0
        rows.right.zero[row], rows.right.inverse[row], rows.runs[row] = 1, 0, 1

    assert "range16" in objections(family, execution, {_CALLS_TABLE: another}, follows=True)

    def whole(rows: Any) -> None:
        row = row_where(rows.rest == 191)
        rows.whole_parts[row], rows.rest[row] = 1, MODULUS - 1
        rows.right.inverse[row] = MODULUS - 1
        rows.cost[row] += 34_000

    assert "range16" in objections(family, execution, {_CALLS_TABLE: whole}, follows=True)

    def nothing_left(rows: Any) -> None:
        row = row_where(rows.right.zero)
        rows.right.zero[row], rows.right.inverse[row], rows.runs[row] = 0, 1, 0
        for name in ("fails", "outputs", "returns"):
            getattr(rows, name)[row] = 0

    assert "right size: value * inverse = 1 - zero" in objections(
        family, execution, {_CALLS_TABLE: nothing_left}, follows=True
    )


def test_the_hash_of_another_input() -> None:
    execution = _direct(ECRECOVER, VALID)
    assert _programs(execution) == [1]
    family = _family(ECRECOVER)
    assert objections(family, execution, {}) == set()

    def hashed(rows: Any) -> None:
        rows.hashed[:] = rows.hashed + 1

    assert {"hash_word", "hash_out"} <= objections(family, execution, {"field_words_32": hashed})


def test_mutations_of_calls_and_instances() -> None:
    """Calls and instances; the machine has mutations of its own."""
    for execution, precompile in ((_paid_and_unpaid(), ECRECOVER), (_failing(), ECADD), (_pairings(), PAIRING)):
        names = (_CALLS_TABLE, _INSTANCES)
        family = [c for c in _family(precompile) if c.table.name in names]
        report = mutate_family([*family, RANGES], execution, rows_per_table=8)
        assert report.survivors == [], str(report)


def test_constants_are_no_registers() -> None:
    """Both are under the instance 0 for a program that reads an instance before where there is none."""
    variants = [v for precompile in PRECOMPILES.values() for v in precompile.variants()]
    highest = max(variant.program.number for variant in variants)
    assert constant_index(highest + 1, 0) <= min(NARROW, WIDE, SELECTED, BITS, WORDS)
