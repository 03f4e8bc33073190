"""RETURN of a creation: the code that it returns is stored.

Source: execution-specs `cancun/vm/instructions/system.py` (return_) and `cancun/vm/interpreter.py`
(process_create_message); EIP-170, EIP-3541. A creation that ends otherwise, or returns nothing, leaves no code.

The hash of what is stored is not computed here: it is that of a code that the verifier has hashed, like all codes that
run, and the memory is shown to hold this code. A Keccak permutation for 136 bytes costs 57,792 cells, a chunk of a code
with 48 bytes and its node about 1,000 cell equivalents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.field import MODULUS, Matrix, inverse
from circuits.air.gadgets.basic import LessThan
from circuits.air.layout import Layout, TraceView, allocate, bit, byte, element, limb, nested, word
from circuits.air.table import Air
from circuits.batch.execution import Execution, small_integers
from circuits.component import Acting, Component
from circuits.frames.buses import CODE, CONTEXT_OF
from circuits.frames.code import CodeContents
from circuits.frames.contexts import CREATION
from circuits.frames.frames import Ending
from circuits.frames.gas import MAX_COST, Charge
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import HASH_WORD, KNOWN_CODE
from circuits.instructions.accounts import AccountToken
from circuits.instructions.copies import EXPANSION_BUS, Size, constrain_reach
from circuits.instructions.frame_fields import WritingFrameFields, require_idle
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION, HASH_READ, MEMORY_BYTES
from circuits.memory.expansion import expand
from circuits.state.state_view import StateView
from circuits.widths import WORD
from executor.forks import Fork
from executor.opcodes import OPCODES
from executor.trace import Outcome

#: Gas of each byte that is stored (cancun/vm/gas.py GAS_CODE_DEPOSIT).
GAS_CODE_DEPOSIT = 200
#: No code begins with this byte (EIP-3541).
RESERVED_BYTE = 0xEF

_RETURN = OPCODES["RETURN"]
_INVERSE_256 = pow(1 << 8, -1, MODULUS)
_STORED = ", or 0 where nothing is stored"


class Stored(Layout):
    """A code that is stored, of at least one byte; all cells are 0 where there is none."""

    of_frame = nested(WritingFrameFields)
    account = nested(AccountToken, "the new account")
    id = element("id of the code", by="code bus" + _STORED)
    hash = limb("its keccak256", WORD, by="code bus" + _STORED)
    begin = word("its first 32 bytes", by="hash_word bus" + _STORED)
    second = byte("its second byte", by="bitwise_bytes bus" + _STORED)
    xor = byte("exclusive or of its first two bytes", by="bitwise_bytes bus" + _STORED)
    inverse = element("inverse of what its first byte differs by from the reserved one", by="product with it")


class Columns(Step):
    """One RETURN of a creation per row."""

    offset = limb("first byte", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = nested(Size)
    large = nested(LessThan, "whether the code has more than 24,576 bytes")
    reserved = bit("1: the code's first byte is the reserved one")
    words_after = element("words of memory afterwards; 0 where gas does not matter", by=EXPANSION_BUS)
    expansion = element("gas of the memory's growth; 0 where gas does not matter", by=EXPANSION_BUS)
    cost = element("gas; the gas left where it does not matter", by="constraints")
    charge = nested(Charge, "whether it can be paid")
    stores = bit("1: a code is stored")
    stored = nested(Stored)


class Deposit(InstructionTable):
    """RETURN of a creation.

    A code that is too large, and one with a reserved first byte, ends the creation exceptionally, whatever gas there
    is; so does the lack of gas for the memory and the code together. Where several of these are true it does not matter
    which is proved. Sizes above 2^32 and memory beyond its limit are proved by `out_of_memory`.

    The account is accessed at the step's time, the code's words are read behind it one by one.
    """

    name = "deposit"
    layout = Columns

    def __init__(self, max_code: int) -> None:
        # Added to the largest memory.
        assert 2**29 + 3 * 2**19 + GAS_CODE_DEPOSIT * max_code <= MAX_COST
        self.max_code = max_code

    def constraints(self, air: Air) -> None:
        row, real, stored = air.row, air.row.real, air.row.stored
        large, reserved, empty, fails = row.large.less, row.reserved, row.size.empty.zero, row.charge.fails
        self.begin(air, _RETURN)
        air.query(CONTEXT_OF, row.frame, CREATION, 1, count=real)
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.pop(air, 1, row.size.limbs, row.size.then)
        # GAS
        size, words = Size.constrain(air, row.size)
        most = (real * self.max_code, air.constant(0))
        LessThan.constrain(air, row.large, most, row.size.limbs, name="large")
        air.require(reserved * (1 - real + empty + large), "a reserved byte is the first of some, and not of too many")
        some = real - empty - large
        end = constrain_reach(air, row.offset, row.size, some)
        halts = large + reserved
        paying = real - halts
        air.query(EXPANSION, row.memory_words, end, row.words_after, row.expansion, count=paying)
        require_idle(air, 1 - paying, (row.words_after, row.expansion), "no gas")
        air.require(paying * (row.expansion + size * GAS_CODE_DEPOSIT - row.cost), "cost")
        air.require(halts * (row.cost - row.gas), "a margin of 0 where gas does not matter")
        air.require((1 - real) * row.cost, "padding costs nothing")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        # OPERATION
        offset = row.offset[0] + row.offset[1] * (1 << 16)
        first = [air.constant(0)] * (WORD - 1) + [air.constant(RESERVED_BYTE << 8)]
        air.send(MEMORY_BYTES, row.frame, row.time + 1, 0, offset, 1, first, count=reserved)
        air.require(row.stores - (some - reserved) * (1 - fails), "stores")
        self._store(air, offset, size)
        require_idle(air, 1 - row.stores, _flat(stored), "nothing stored")
        # PROGRAM COUNTER
        self.halt(
            air,
            Ending.SUCCEEDED,
            gas=row.gas - row.cost,
            duration=words * row.stores + 1,
            count=paying - fails,
        )
        self.halt(air, Ending.HALTED, gas=0, duration=reserved + 1, count=halts)
        self.fail(air, fails)

    @staticmethod
    def _store(air: Air, offset: Any, size: Any) -> None:
        """The words in memory are those of a known code whose first byte is not reserved; its hash is stored."""
        row, stored, stores = air.row, air.row.stored, air.row.stores
        air.query(CODE, stored.id, stored.hash, size, count=stores)
        air.send(HASH_READ, KNOWN_CODE, row.frame, row.time + 1, stored.id, 0, offset, size, count=stores)
        air.query(HASH_WORD, KNOWN_CODE, stored.id, 0, stored.begin, count=stores)
        first = (stored.begin[-1] - stored.second) * _INVERSE_256
        query_xor(air, first, stored.second, stored.xor, count=stores)
        air.require((first - RESERVED_BYTE) * stored.inverse - stores, "the first byte is not reserved")
        frame = stored.of_frame
        WritingFrameFields.constrain(air, frame, stores)
        AccountToken.constrain(air, stored.account, frame, frame.address, row.time, stores, code_hash_after=stored.hash)


def _flat(stored: Any) -> tuple[Any, ...]:
    """All cells of `Stored`."""
    code = (stored.id, stored.hash, stored.begin, stored.second, stored.xor, stored.inverse)
    return (*WritingFrameFields.flat(stored.of_frame), *AccountToken.flat(stored.account), *code)


def fill_deposit(execution: Execution) -> Matrix | None:
    """All RETURN steps of creations."""
    steps = execution.deposits
    if not len(steps):
        return None
    frames = execution.trace.frames
    frame = execution.frame_row(execution.frame[steps])
    matrix, rows = allocate(Columns, len(steps))
    fill_step(rows, execution, steps)
    gas = execution.gas[steps]
    rows.offset = execution.operand(steps, 0)
    rows.offset_then = execution.operand_time(steps, 0)
    size = Size.fill(rows.size, execution, steps, 1)
    most = execution.fork.max_code_bytes
    LessThan.fill(rows.large, np.full_like(size, most), size)
    large = size > most
    reserved = ~large & (frames.outcome[frame] == Outcome.RESERVED_CODE)
    rows.reserved = reserved
    paying = ~(large | reserved)
    end = np.where(size == 0, 0, small_integers(execution.operand(steps, 0)) + size)
    after, expansion = expand(execution.memory_words[steps], np.where(paying, end, 0))
    rows.words_after = np.where(paying, after, 0)
    rows.expansion = expansion
    cost = np.where(paying, expansion + GAS_CODE_DEPOSIT * size, gas)
    # What is paid is what the execution has paid.
    place = execution.frame[steps] - 1
    left = (frames.gas_left[frame] - execution.frame_reserve_end[place]).astype(np.int64)
    cost = np.where(paying & (cost <= gas), gas - left, cost)
    rows.cost = cost
    Charge.fill(rows.charge, gas, cost)

    at = np.flatnonzero(paying & (size > 0) & (cost <= gas))
    rows.stores[at] = 1
    here, active = steps[at], matrix[at]
    stored: Any = TraceView(Columns, active).stored
    WritingFrameFields.fill(stored.of_frame, execution, here)
    AccountToken.fill(stored.account, StateView.of(execution).deposit(execution.frame[here]))
    hashes = StateView.of(execution).deposit(execution.frame[here]).code_hash_after
    ids, _ = execution.codes_of(hashes)
    stored.id = ids
    stored.hash = hashes
    begin = CodeContents(execution).words(ids, np.zeros_like(ids))
    first, second = (begin[:, -1] >> 8).astype(np.int64), begin[:, -1] & 0xFF
    stored.begin = begin
    stored.second = second
    stored.xor = first ^ second
    stored.inverse = inverse(((first - RESERVED_BYTE) % MODULUS).astype(np.uint64))
    matrix[at] = active
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The table of deposits of a fork."""
    return (Acting(Deposit(fork.max_code_bytes), fill_deposit),)
