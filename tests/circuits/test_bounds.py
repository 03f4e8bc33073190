"""Bounds that are sums over all tables, from the tables themselves: how far time goes, how much gas nobody checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.evaluate import TraceRows, evaluate
from circuits.air.expression import Expression, Op
from circuits.air.field import MODULUS
from circuits.air.gadgets.basic import TIME_BITS
from circuits.air.layout import CellType
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.batch.execution import FRAME_BEGIN, OPENING, RECIPIENT_TIME, TRANSACTION_BEGIN, TRANSACTION_END
from circuits.carry import CARRIED, CLOCKS, GASES
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.fields.buses import FIELD_PARTS
from circuits.fields.calls import fill_calls
from circuits.frames.buses import EXEC, HALT, INIT_CODE, MESSAGE, PRECOMPILE, RESULT
from circuits.frames.gas import GAS_BITS, MAX_COST, MAX_SMALL_MEMORY_GAS, UNCHECKED_GAS
from circuits.instructions.buses import COPY
from circuits.instructions.step import InstructionTable
from circuits.memory.buses import HASH_READ, LOG_READ
from circuits.modexp.buses import EXPONENT, NUMBER
from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import INSTANCE_TIME
from circuits.segment import Segment, fill, segment_circuit
from circuits.state.buses import DELETION
from circuits.transactions.buses import ACCESS_LIST, AUTHORIZATION, CHAIN
from circuits.transactions.fees import MAX_BLOBS
from circuits.transactions.floor import TOKENS_PER_NONZERO_BYTE
from circuits.transactions.transaction import TRANSACTION_BASE_GAS
from circuits.widths import WORD_BYTES
from executor.forks import CANCUN, CIRCUIT_FORKS, FORKS, PRAGUE, Fork
from executor.provable import MAX_CALLDATA_BYTES
from scripts.batches import everything, set_code
from scripts.batches.builder import Builder
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.polynomials import Expander, Polynomial
from verifier.sizes import MAX_LOG_HEIGHT, MAX_RUN_MESSAGES, MAX_TIME, MORE_MESSAGES, ROW_MESSAGES, messages

CIRCUITS = pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=CIRCUIT_FORKS)
ROWS = 1 << MAX_LOG_HEIGHT

#: Buses on which time goes on. The rows between the segment's first message and its last one are a path, on which time
#: grows by what each row adds to the times that it receives.
CLOCK = (CHAIN, EXEC, HALT, MESSAGE, RESULT, PRECOMPILE, ACCESS_LIST, AUTHORIZATION, DELETION)

#: Buses whose tokens are worked off by rows of other tables, one for each 32 bytes that are left. Who sends such a
#: token may take a unit of time for each of these rows.
READERS = {
    COPY: "copy", HASH_READ: "hash_read", LOG_READ: "log_read", INIT_CODE: "init_code", NUMBER: "modexp_numbers",
    EXPONENT: "modexp_exponents",
}  # fmt: skip

#: How a token says how many words there are, where it is not the bytes that are `left`: a field, and what it counts.
SIZES = {INIT_CODE: ("size", 1), NUMBER: ("count", WORD_BYTES), EXPONENT: ("words", WORD_BYTES)}

#: Units of time that may be taken for each such row, by sender; MCOPY reads all words before it writes any, and MODEXP
#: copies a number before it reads it.
PER_WORD = {
    "buffer_copy": 1, "calldatacopy_memory": 1, "call": 1, "call_delegated": 1, "create": 1, "deposit": 1,
    "extcodecopy": 1,
    "field_calls": 1 + max(-(-WORD_BYTES * INSTANCE_TIME // p.stride) for p in PRECOMPILES.values() if p.stride),
    "hash_precompiles": 1, "keccak256": 1, "log": 1, "mcopy": 2, "modexp": 2, "returndatacopy": 1,
    "system_call": 1,
}  # fmt: skip

#: What each row of a table takes beside that, where it is not a product of bits: a call's last instance.
ONCE = {"field_calls": INSTANCE_TIME}

#: Constraints by which times on these buses follow from each other within a row, and with what they are multiplied.
SETTLED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "frame": lambda row: {"what runs nothing ends at once": 1},
    "transaction": lambda row: {
        "without a frame it ends": row.real,
        "padding opens nothing": _begin(row) - row.end_time,
    },
    "create": lambda row: {"the address is taken": 1},
    "create_stopped": lambda row: {"reason: exactly one flag": row.time + 1},
    "hash_precompiles": lambda row: {"precompile: exactly one flag": row.time},
}


def _begin(row: Any) -> Expression:
    """When the outermost frame of a transaction begins."""
    time: Expression = row.time + TRANSACTION_BEGIN + row.access_addresses + row.access_keys
    return time + row.authorizations + RECIPIENT_TIME * row.real if hasattr(row, "authorizations") else time


def _field(table: Table, interaction: Any, name: str) -> Expression:
    offset = 0
    for part in interaction.bus.fields:
        if part.name == name:
            found: Expression = interaction.message[offset]
            return found
        offset += part.size
    raise KeyError(name)


def _advance(table: Table) -> Expression:
    """What a row adds to the times that it receives on the buses of `CLOCK`."""
    graph = table.air.graph
    total = graph.constant(0)
    for interaction in table.air.interactions:
        if interaction.bus in CLOCK:
            total = total + interaction.count * _field(table, interaction, "time")
    constraints = {c.name: c.expression for c in table.air.constraints}
    for name, factor in SETTLED.get(table.name, lambda row: {})(table.air.row).items():
        total = total - constraints[name] * factor
    return total


def _at_most(polynomial: Polynomial) -> int:
    """An upper bound of a sum of products of bits."""
    return sum(factor for factor in polynomial.values() if factor <= MODULUS // 2)


def _parts(table: Table, expression: Expression) -> tuple[Polynomial, Polynomial]:
    """The products of bits in an expression, and the others."""
    expand = Expander(table)
    found = expand(expression)
    of_bits = {product: factor for product, factor in found.items() if all(map(expand.is_bit, product))}
    return of_bits, {product: factor for product, factor in found.items() if product not in of_bits}


@cache
def _tables(fork: Fork) -> dict[str, Table]:
    """The tables of a fork's circuit."""
    return {table.name: table for table in segment_circuit(fork).tables}


@cache
def _clocked(fork: Fork) -> dict[str, tuple[int, bool]]:
    """What a row of a table adds to time at most, words aside, and whether there are words."""
    found = {}
    for table in _tables(fork).values():
        # What a part of a run finds has a time below 2^29, and does not add to it.
        if table.name == Segment.name or table.name in {carried.name for carried in CARRIED_TABLES}:
            continue
        if any(i.bus in CLOCK for i in table.air.interactions):
            of_bits, others = _parts(table, _advance(table))
            found[table.name] = _at_most(of_bits) + ONCE.get(table.name, 0), bool(others)
    return found


def _weights(fork: Fork) -> dict[str, int]:
    """Units of time that a row of each table takes at most."""
    weights = {name: weight for name, (weight, _) in _clocked(fork).items()}
    # Rows that read or copy words are paid for by those who send for them.
    weights |= dict.fromkeys(READERS.values(), 1) | {"copy": max(PER_WORD.values())}
    return weights | dict.fromkeys(("modexp_numbers", "modexp_exponents"), PER_WORD["modexp"])


@CIRCUITS
def test_time_stays_below_its_bound(fork: Fork) -> None:
    weights = _weights(fork)
    around = TRANSACTION_BEGIN + TRANSACTION_END + RECIPIENT_TIME * fork.sets_codes
    assert {name: weights[name] for name in ("call", "frame", "transaction", "add")} == {
        "call": 1 + OPENING, "frame": FRAME_BEGIN, "transaction": around, "add": 1
    }  # fmt: skip
    if fork.sets_codes:
        delegated = ("authorization", "call_delegated", "call_delegated_stopped", "call_stopped")
        assert [weights[name] for name in delegated] == [1, 1 + OPENING, 3, 3]
    assert sum(weights.values()) * ROWS < 1 << TIME_BITS
    assert {name for name, (_, words) in _clocked(fork).items() if words} == set(PER_WORD) & set(_tables(fork))


@CIRCUITS
def test_time_stays_below_its_bound_in_a_part_of_a_run(fork: Fork) -> None:
    """Wherever time goes on, what is carried has a time below 2^29, and the part adds no more than a segment."""
    assert {bus for bus in CARRIED if bus in (*CLOCK, FIELD_PARTS) or bus in READERS} == set(CLOCKS)
    assert {bus for bus in CARRIED if bus is EXEC} == set(GASES)
    assert MAX_TIME + 1 == 1 << TIME_BITS
    # An initcode that the last part reads may take its time here, once behind a time that is checked.
    latest = MAX_TIME + sum(_weights(fork).values()) * ROWS + fork.max_initcode_bytes // WORD_BYTES
    assert latest < 1 << TIME_BITS + 1
    # The row of a call pays for its instances, which may be in other parts.
    assert MAX_TIME + INSTANCE_TIME * ROWS < 1 << TIME_BITS + 1
    # So no time that is later comes to look like one that is earlier: differences are checked to be below 2^29. Nor
    # does a path of steps come back to where it began, around the field, through whatever ends of calls are foretold.
    assert (1 << TIME_BITS + 1) + (1 << TIME_BITS) < MODULUS


@CIRCUITS
def test_messages_of_a_run_are_counted(fork: Fork) -> None:
    """As many rows as a run may have send, receive or ask one message less often than the field has elements."""
    found = {}
    for table in _tables(fork).values():
        for bus in CARRIED:
            own = [i for i in table.air.interactions if i.bus is bus and not i.provides]
            sent = sum(_is_sent(table, i.count) for i in own)
            found[table.name] = max(found.get(table.name, 0), sent, len(own) - sent)
    assert found["push_site_large"] == 33  # of a push of 32 bytes
    assert all(count <= messages({name: 1}) for name, count in found.items())
    assert {name for name, count in found.items() if count > ROW_MESSAGES} <= set(MORE_MESSAGES)
    assert MAX_RUN_MESSAGES < MODULUS


@cache
def _segment() -> dict[str, Any]:
    tables, traces = _tables(CANCUN).values(), fill(everything.execution(waits=False)).traces
    return {table.name: trace for table, trace in zip(tables, traces, strict=True) if trace is not None}


def _field_calls(fork: Fork) -> Any:
    """Points at infinity, whose parts take most time for a word; no words at all."""
    building = Builder(fork)
    given = ((8, bytes(3 * 192)), (1, b""), (1, bytes(200)), (0x0C, bytes(3 * 160)), (0x100, bytes(9)))
    for number, data in given:
        building.block(building.transfer(0, number.to_bytes(20, "big"), 0, gas=300_000, data="0x" + data.hex()))
    return fill_calls(execution_of(building.provable()))


def _system_calls(fork: Fork) -> Any:
    """Contracts that return some words to the block, and that return nothing."""
    building = Builder(fork).alloc(fork.block_end_calls[0].address, code="0x" + assemble("200 0 return").hex())
    execution = execution_of(building.block().provable())
    return dict(zip(_tables(fork), fill(execution).traces, strict=True))["system_call"]


@pytest.mark.parametrize("name", sorted(PER_WORD))
def test_words_take_as_much_time_as_there_are_rows_for_them(name: str) -> None:
    if name == "field_calls":
        for fork in CIRCUIT_FORKS.values():
            _check_words(fork, name, _field_calls(fork))
    elif name == "system_call":
        _check_words(PRAGUE, name, _system_calls(PRAGUE))
    elif name == "call_delegated":
        traces = fill(set_code.execution(PRAGUE)).traces
        _check_words(PRAGUE, name, dict(zip(_tables(PRAGUE), traces, strict=True))[name])
    else:
        _check_words(CANCUN, name, _segment()[name])


def _check_words(fork: Fork, name: str, trace: Any) -> None:
    table = _tables(fork)[name]
    advance = _advance(table)
    tokens = [i for i in table.air.interactions if i.bus in READERS and _is_sent(table, i.count)]
    named = [SIZES.get(i.bus, ("left", 1)) for i in tokens]
    sizes = [_field(table, i, name) * unit for i, (name, unit) in zip(tokens, named, strict=True)]
    wanted = [advance.index, *(e.index for i, size in zip(tokens, sizes, strict=True) for e in (i.count, size))]
    rows = TraceRows(trace, np.zeros(0, dtype=np.uint32))
    values = evaluate(table.air.graph, rows, wanted)
    words = sum(
        values[i.count.index].astype(np.int64) * -(-values[size.index].astype(np.int64) // WORD_BYTES)
        for i, size in zip(tokens, sizes, strict=True)
    )
    assert np.any(words)
    assert (values[advance.index].astype(np.int64) <= _clocked(fork)[name][0] + PER_WORD[name] * words).all()


def _is_sent(table: Table, count: Expression) -> bool:
    return table.air.graph.nodes[count.index][0] != Op.NEG


@CIRCUITS
def test_gas_that_nobody_checks(fork: Fork) -> None:
    """Steps that prove nothing of their gas take at most `UNCHECKED_GAS` together, one of each table."""
    costs = {}
    for table in _tables(fork).values():
        if not isinstance(table, InstructionTable):
            continue
        names = table.layout.names()
        gas, expand = (Op.LOCAL, names.index("gas")), Expander(table)
        real = {((Op.LOCAL, names.index("real")),): 1}
        checks = [
            i
            for i in table.air.interactions
            if i.bus == RANGE16 and any(gas in product for product in expand(i.message[0])) and expand(i.count) == real
        ]
        after = [_field(table, i, "gas") for i in table.air.interactions if i.bus == EXEC][1:]
        if checks or not after:
            continue
        (left,) = after
        cost = expand(table.air.graph.node(*gas) - left)
        costs[table.name] = sum(factor * _element(table, product) for product, factor in cost.items())
    assert not {"call", "call_stopped", "create", "create_stopped", "sstore", "log"} & set(costs)
    sample = {"add": 3, "blockhash": 20, "push_large": 3, "returndatasize": 2, "store_aligned": 3}
    assert sample.items() <= costs.items()
    assert sum(costs.values()) <= UNCHECKED_GAS
    # What is below 0 does not come to look like an amount of gas, whatever is subtracted next.
    lowest = UNCHECKED_GAS * ROWS + MAX_SMALL_MEMORY_GAS
    assert lowest + MAX_COST < MODULUS - (1 << GAS_BITS)


#: Cells in what unchecked steps cost: of a push (`circuits.frames.push_sites`), and of the growth of small memories,
#: which is bounded for a frame as a whole.
_CELLS = {
    ("push_small", "cost"): 3,
    ("push_large", "cost"): 3,
    ("load_aligned", "cost"): 0,
    ("store_aligned", "cost"): 0,
}


def _element(table: Table, product: tuple[Any, ...]) -> int:
    """The most that a product of cells in a cost may be."""
    most = 1
    for op, cell in product:
        assert op == Op.LOCAL
        column = list(table.layout.cells())[cell]
        most *= 1 if column.column.type is CellType.BIT else _CELLS[table.name, column.name]
    return most


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_what_a_fork_allows_fits_the_columns(fork: Fork) -> None:
    """The blobs of a block, of which a transaction has all perhaps, and the floor of the largest calldata."""
    assert fork.blobs.max_gas_per_block <= MAX_BLOBS * fork.blobs.gas_per_blob
    floor = TRANSACTION_BASE_GAS + fork.floor_gas_per_token * TOKENS_PER_NONZERO_BYTE * MAX_CALLDATA_BYTES
    # A counted gas of less than 2^30 minus it is no amount below 2^30 where it is negative.
    assert floor < 2**28
