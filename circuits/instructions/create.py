"""Creations: CREATE and CREATE2.

Source: execution-specs `cancun/vm/instructions/system.py` (create, create2, generic_create) and
`cancun/vm/interpreter.py` (process_create_message); EIP-1014, EIP-2929, EIP-3860. What the initcode returns becomes the
account's code in `circuits.instructions.deposit`.

`create` is a creation that counts the creator's nonce: it opens a frame, or its address is taken. `create_stopped` is
one that does not come so far.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import INVERSE_2_16, MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, one_hot, range_check, total
from circuits.air.gadgets.words import SubtractWords
from circuits.air.layout import RANGE, TraceView, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import OPENING, Execution, Integers, words_of
from circuits.component import Acting, Component
from circuits.frames.buses import CODE, CREATE2_ADDRESS, CREATE_ADDRESS, INIT_CODE, MESSAGE, RESULT
from circuits.frames.frame_state import FrameState
from circuits.frames.frames import Ending
from circuits.frames.gas import Charge, Division, GasLimb
from circuits.functions.buses import KNOWN_CODE
from circuits.instructions.accounts import EMPTY_CODE, AccountToken, empty_code
from circuits.instructions.call import MAX_DEPTH, OwnFrame, Window
from circuits.instructions.copies import EXPANSION_BUS, MEMORY_SOURCE
from circuits.instructions.frame_fields import require_idle
from circuits.instructions.keccak import EMPTY_HASH
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION, HASH_READ
from circuits.memory.expansion import expand
from circuits.state.same_words import SameWords, constrain_same, fill_same
from circuits.state.state_view import StateView
from circuits.widths import ADDRESS, NONCE, WORD
from executor.forks import Fork
from executor.opcodes import OPCODES

#: Source: cancun/vm/gas.py; EIP-3860.
GAS_CREATE = 32000
GAS_INIT_CODE_WORD = 2
GAS_KECCAK256_WORD = 6

_CREATE, _CREATE2 = OPCODES["CREATE"], OPCODES["CREATE2"]
_LIMB = 0xFFFF
_INVERSE_32 = pow(32, -1, MODULUS)
_RESULT_BUS = "result bus, or 0"


class CreationColumns(Step):
    """One creation per row: its operands and what it costs."""

    create2 = bit("1: CREATE2")
    value = limb("wei", WORD, by=STACK_BUS)
    value_then = element("time of its push", by=STACK_BUS)
    input = nested(Window, "the initcode")
    slack = limb("bytes missing to the next multiple of 32", by="5-bit range check")
    salt = limb("salt; 0 for CREATE", WORD, by=STACK_BUS)
    salt_then = element("time of its push; 0 for CREATE", by=STACK_BUS)
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    expansion = element("gas of the memory's growth", by=EXPANSION_BUS)
    cost = element("gas", by="its constraint")
    own = nested(OwnFrame)
    creator = nested(AccountToken, "the account of the frame")


class _Creating(InstructionTable):
    """What all creations do, however they go on.

    Args:
        max_initcode: bytes of initcode that there may be.
    """

    def __init__(self, max_initcode: int) -> None:
        assert max_initcode <= _LIMB, "sizes that are allowed are a limb"
        self.max_initcode = max_initcode

    def create(self, air: Air) -> tuple[Expression, Expression, Expression]:
        """Returns start, size and words of the initcode."""
        row, real = air.row, air.row.real
        air.require(row.create2 * (1 - real), "padding is no CREATE2")
        self.begin(air, real * _CREATE + row.create2 * (_CREATE2 - _CREATE))
        OwnFrame.constrain(air, row.own)
        # STACK
        self.pop(air, 0, row.value, row.value_then)
        start, size, end = Window.constrain(air, self, row.input, 1)
        self.pop(air, 3, row.salt, row.salt_then, row.create2)
        require_idle(air, 1 - row.create2, (row.salt, row.salt_then), "CREATE has no salt")
        # GAS. The memory costs at most 2^29 + 3 * 2^19, and its words at most 2^20 * 8.
        range_check(air, row.slack, 5, real)
        # Below 2^17: the quotient of a low limb and slack that is a limb is the one over the integers.
        low_words = (row.input.size[0] + row.slack) * _INVERSE_32
        air.query(RANGE16, low_words, count=real)
        words = low_words + row.input.size[1] * ((1 << 16) // 32)
        air.query(EXPANSION, row.memory_words, end, row.words_after, row.expansion, count=real)
        per_word = GAS_INIT_CODE_WORD + GAS_KECCAK256_WORD * row.create2
        air.require(row.cost - GAS_CREATE * real - row.expansion - per_word * words, "cost")
        return start, size, words

    @staticmethod
    def pops(air: Air) -> Expression:
        """Words that it takes from the stack."""
        words: Expression = air.row.create2 + 3
        return words


def _fill_creating(rows: Any, execution: Execution, steps: Integers) -> tuple[Integers, Integers, Integers]:
    """The columns of `CreationColumns` but for the creator; returns starts, sizes and costs."""
    fill_step(rows, execution, steps)
    create2 = execution.opcode[steps] == _CREATE2
    rows.create2 = create2
    rows.value, rows.value_then = execution.operand(steps, 0), execution.operand_time(steps, 0)
    start, size = Window.fill(rows.input, execution, steps, np.ones(len(steps), dtype=np.int64))
    salt = np.zeros((len(steps), WORD), dtype=np.uint16)
    then = np.zeros(len(steps), dtype=np.int64)
    salt[create2], then[create2] = execution.operand(steps[create2], 3), execution.operand_time(steps[create2], 3)
    rows.salt, rows.salt_then = salt, then
    rows.slack = -size % 32
    after, expansion = expand(execution.memory_words[steps], start + size)
    rows.words_after, rows.expansion = after, expansion
    cost = GAS_CREATE + expansion + words_of(size) * (GAS_INIT_CODE_WORD + GAS_KECCAK256_WORD * create2)
    rows.cost = cost
    OwnFrame.fill(rows.own, execution, steps)
    return start, size, cost


class CreateColumns(CreationColumns):
    """One creation that counts the creator's nonce per row, to where the creator goes on."""

    rest = nested(GasLimb, "gas behind the cost")
    division = nested(Division)
    state = nested(FrameState)
    remaining = nested(SubtractWords, "creator's balance - value")
    nonce_after = limb("creator's nonce + 1", NONCE, by=RANGE)
    nonce_carry = bit("carry out of each limb of nonce + 1", NONCE - 1)
    address = limb("address of the new account", ADDRESS, by="create_address bus, or create2_address bus")
    new = nested(AccountToken, "the account at that address")
    vacant = nested(IsZero, "whether it has neither nonce nor life")
    no_code = nested(SameWords(1), "whether it has no code")
    opens = bit("1: a frame is opened; 0: the address is taken")
    hash_words = element("words of the initcode for CREATE2, else 0", by="its constraint")
    hashes = bit("1: the initcode's hash is needed: CREATE2 with at least one byte")
    hash_id = element("id of the initcode as a known code, or 0", by="code bus, or 0")
    digest = limb("keccak256 of the initcode for CREATE2, else 0", WORD, by="code bus, or a constant")
    runs = bit("1: initcode runs")
    code_id = element("id of the initcode, or 0", by="init_code bus, the known code, or 0")
    opened = element("id of the frame that is opened, or 0", by="message bus, or 0")
    success = bit("1: the frame neither reverted nor halted exceptionally")
    return_start = element("first byte of what it returned, in its memory", by=_RESULT_BUS)
    return_size = element("bytes of that", by=_RESULT_BUS)
    end = element("time when it has ended, or when nothing more is read", by=_RESULT_BUS)


class Create(_Creating):
    """A creation by an account that has the value, in a frame that is not too deep.

    Both accounts are accessed in the world of the creator's frame: its nonce stays counted and the new address warm
    when the creation fails. All else happens in the world of the frame that is opened.
    """

    name = "create"
    layout = CreateColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        own, division, creator = row.own, row.division, row.creator
        start, size, words = self.create(air)
        air.require(real * own.static, "a static frame creates nothing")
        # GAS
        rest = row.gas - row.cost
        GasLimb.constrain(air, row.rest, rest, real)
        Division.constrain(air, division, rest, row.rest.low, row.state.reserve, [air.constant(_LIMB)] * WORD)
        frame_gas = Division.amount(division.counted)
        # OPERATION
        # A size whose upper limb is 0 and whose lower one leaves a limb of the most there may be.
        air.require(row.input.size[1], "initcode that is not too large")
        air.query(RANGE16, self.max_initcode - row.input.size[0], count=real)
        # Depths count from 0 by 1: they are integers.
        air.query(RANGE16, MAX_DEPTH - 1 - own.depth, count=real)
        SubtractWords.constrain(air, row.remaining, creator.balance, row.value)
        air.require(row.remaining.borrow[-1], "the creator has the value")
        carry: Expression = real
        for i in range(NONCE):
            out = row.nonce_carry[i] if i < NONCE - 1 else air.constant(0)
            air.require(creator.nonce[i] + carry - row.nonce_after[i] - out * (1 << 16), f"nonce + 1: limb {i}")
            carry = out
        AccountToken.constrain(air, creator, own, own.address, row.time, real, nonce_after=row.nonce_after)
        self._address(air, start, size, words)
        AccountToken.constrain(air, row.new, own, row.address, row.time + 1, real)
        # The address is taken if there is nonce, code (EIP-684) or storage (EIP-7610). An account that an operation has
        # created and none deleted has a nonce: where that is 0, only storage gives life. Below 2^18 + 2^26: 0 only if
        # all parts are.
        IsZero.constrain(air, row.vacant, total(row.new.nonce) + row.new.life, when=real, name="vacant")
        constrain_same(air, row.no_code, ((row.new.code_hash, empty_code(air)),), real)
        air.require(row.opens - row.vacant.zero * row.no_code.same[0], "the address is free")
        air.require(row.runs - row.opens * (1 - row.input.empty.zero), "initcode runs")
        # What CREATE2 has compared with a known code runs as that code.
        first = row.time + OPENING
        inits = row.runs - row.runs * row.create2
        air.send(INIT_CODE, row.code_id, MEMORY_SOURCE, row.frame, start, size, first, count=inits)
        air.require((1 - row.runs) * row.code_id, "no initcode")
        air.require(row.runs * row.create2 * (row.code_id - row.hash_id), "the initcode of CREATE2")
        air.send(
            MESSAGE,
            row.opened, own.operation, own.block, own.scope, first + words, own.world, 0, own.depth + 1,
            own.address, row.address, row.value, 1, 1, row.runs, row.code_id, size,
            0, MEMORY_SOURCE, row.frame, 0, 0, frame_gas, division.reserved,
            count=row.opens,
        )  # fmt: skip
        returned = (row.return_start, row.return_size)
        left = (division.left, division.left_reserve)
        air.receive(RESULT, row.opened, row.success, *left, *returned, row.end, count=row.opens)
        require_idle(air, 1 - row.opens, (row.opened, row.success, *left, *returned), "no frame")
        # No frame counts what is lost at an address that is taken.
        require_idle(air, 1 - row.opens, division.counted, "no frame counts gas")
        air.require((real - row.opens) * (row.end - row.time - 1 - row.hash_words), "the address is taken")
        FrameState.constrain(air, row.state, real, (row.opened, *returned, division.reserve_after))
        # STACK
        self.push(air, self.pops(air), [row.success * x for x in row.address])
        # PROGRAM COUNTER
        self.proceed(
            air,
            stack=1 - self.pops(air),
            gas=row.gas - Division.amount(division.after),
            memory_words=row.words_after,
            duration=row.end + 1 - row.time,
        )

    @staticmethod
    def _address(air: Air, start: Expression, size: Expression, words: Expression) -> None:
        """The new account's address: of the creator's nonce (CREATE), or of salt and initcode (CREATE2)."""
        row, real, create2 = air.row, air.row.real, air.row.create2
        own = row.own.address
        air.query(CREATE_ADDRESS, own, row.creator.nonce, row.address, count=real - create2)
        air.query(CREATE2_ADDRESS, own, row.salt, row.digest, row.address, count=create2)
        air.require(row.hash_words - create2 * words, "words that are hashed")
        air.require(row.hashes - create2 * (1 - row.input.empty.zero), "the initcode is hashed")
        air.query(CODE, row.hash_id, row.digest, size, count=row.hashes)
        first = row.time + OPENING
        air.send(HASH_READ, KNOWN_CODE, row.frame, first, row.hash_id, 0, start, size, count=row.hashes)
        air.require((1 - row.hashes) * row.hash_id, "nothing is hashed")
        nothing = [(create2 - row.hashes) * x for x in EMPTY_HASH]
        for i, (limb_, empty) in enumerate(zip(row.digest, nothing, strict=True)):
            air.require((1 - row.hashes) * limb_ - empty, f"the hash of no bytes, or none: limb {i}")


def fill_create(execution: Execution) -> Matrix | None:
    """All creations that count the creator's nonce."""
    steps = execution.rows(_CREATE, _CREATE2)
    steps = steps[execution.counts_nonce[steps]]
    if not len(steps):
        return None
    view, trace = StateView.of(execution), execution.trace
    matrix, rows = allocate(CreateColumns, len(steps))
    _, size, cost = _fill_creating(rows, execution, steps)
    rest = execution.gas[steps] - cost
    GasLimb.fill(rows.rest, rest)
    opened = execution.opened[steps]
    opens = opened > 0
    place = np.where(opens, opened - 1, 0)
    frames = trace.frames
    frame = execution.frames[place]

    def of_frame(column: Any) -> Any:
        return np.where(opens, column, np.zeros(1, dtype=column.dtype))

    reserve = execution.step_reserve[steps]
    available = rest.astype(np.uint64) + reserve
    halted = execution.frame_halted[place]
    left_reserve = of_frame(np.where(halted, np.uint64(0), execution.frame_reserve_end[place]))
    given = available - available // np.uint64(64)
    Division.fill(
        rows.division,
        rest,
        reserve,
        given,
        np.where(opens, execution.frame_reserve[place], given),
        (of_frame(frames.gas_left[frame]) - left_reserve).astype(np.int64),
        left_reserve,
        execution.step_reserve[execution.own_next[steps]],
    )
    FrameState.fill(rows.state, execution, steps)
    creator, new = view.account_instruction(steps), view.account_instruction(steps, 1)
    AccountToken.fill(rows.creator, creator)
    SubtractWords.fill(rows.remaining, creator.balance, execution.operand(steps, 0))
    rows.nonce_after = creator.nonce_after
    rows.nonce_carry = np.logical_and.accumulate(creator.nonce[:, : NONCE - 1] == _LIMB, axis=1)
    rows.address = new.address
    AccountToken.fill(rows.new, new)
    IsZero.fill(rows.vacant, new.nonce.astype(np.uint64).sum(axis=1) + new.life.astype(np.uint64))
    empty = np.broadcast_to(EMPTY_CODE, new.code_hash.shape)
    fill_same(rows.no_code, ((new.code_hash, empty),))
    rows.opens = opens
    create2 = execution.opcode[steps] == _CREATE2
    hash_words = create2 * words_of(size)
    rows.hash_words = hash_words
    hashes = create2 & (size > 0)
    rows.hashes = hashes
    here = np.flatnonzero(create2)
    digests = execution.initcode_hashes(steps[here])
    ids, _ = execution.codes_of(digests)
    rows.digest[here] = digests
    rows.hash_id[here] = np.where(hashes[here], ids, 0)
    runs = opens & (size > 0)
    rows.runs = runs
    rows.code_id = np.where(runs, execution.frame_code[place], 0)
    rows.opened = opened
    rows.success = of_frame(execution.frame_success[place])
    rows.return_start = of_frame(execution.frame_return_start[place])
    rows.return_size = of_frame(execution.frame_return_size[place])
    rows.end = np.where(opens, execution.frame_end_time[place], execution.time[steps] + 1 + hash_words)
    return matrix


class StoppedColumns(CreationColumns):
    """One creation that does not count the creator's nonce per row."""

    charge = nested(Charge, "fails: the cost is above the gas left")
    large = bit("1: more initcode than there may be, which halts exceptionally")
    excess = limb("low limb of its size - the most there may be - 1", by=RANGE)
    deep = bit("1: the frame is too deep to open another one")
    poor = bit("1: the creator has less than the value")
    worn = bit("1: its nonce is 2^64 - 1")
    missing = nested(SubtractWords, "its balance - value, where it is too poor")
    state = nested(FrameState)


class CreateStopped(_Creating):
    """A creation that lacks gas or has too large an initcode, which ends the frame; or one that gives 0."""

    name = "create_stopped"
    layout = StoppedColumns

    def constraints(self, air: Air) -> None:
        row, real, own = air.row, air.row.real, air.row.own
        _, size, _ = self.create(air)
        # GAS
        Charge.constrain(air, row.charge, row.gas, row.cost)
        one_hot(air, (row.charge.fails, row.large, row.deep, row.poor, row.worn), real, "reason")
        goes_on = row.deep + row.poor + row.worn
        # Sizes are below 2^26, so the difference is not negative if it is below 2^26.
        range_check(air, (size - (self.max_initcode + 1) - row.excess) * INVERSE_2_16, 10, row.large)
        air.require((1 - row.large) * row.excess, "idle excess")
        air.require(goes_on * own.static, "a static frame creates nothing")
        # An initcode that is not too large; see `create`.
        air.require(goes_on * row.input.size[1], "initcode that is not too large")
        air.query(RANGE16, self.max_initcode - row.input.size[0], count=goes_on)
        # OPERATION
        air.require(row.deep * (own.depth - MAX_DEPTH), "too deep")
        looks = row.poor + row.worn
        AccountToken.constrain(air, row.creator, own, own.address, row.time, looks)
        require_idle(air, 1 - looks, AccountToken.flat(row.creator), "no account")
        wanted = [row.poor * x for x in row.value]
        SubtractWords.constrain(air, row.missing, [row.poor * x for x in row.creator.balance], wanted)
        air.require(row.missing.borrow[-1] - row.poor, "too poor")
        air.require_equal(row.creator.nonce, [_LIMB] * NONCE, "no further nonce", when=row.worn)
        FrameState.constrain(air, row.state, goes_on, (0, 0, 0, row.state.reserve))
        require_idle(air, 1 - goes_on, FrameState.flat(row.state), "no state")
        # STACK
        self.push(air, self.pops(air), [], goes_on)
        # PROGRAM COUNTER
        self.proceed(air, stack=1 - self.pops(air), gas=row.cost, memory_words=row.words_after, count=goes_on)
        self.fail(air, row.charge.fails + row.large, Ending.UNPAID + row.large * (Ending.HALTED - Ending.UNPAID))


def fill_create_stopped(execution: Execution) -> Matrix | None:
    """All other creations."""
    steps = execution.rows(_CREATE, _CREATE2)
    steps = steps[~execution.counts_nonce[steps]]
    if not len(steps):
        return None
    matrix, rows = allocate(StoppedColumns, len(steps))
    _, size, cost = _fill_creating(rows, execution, steps)
    Charge.fill(rows.charge, execution.gas[steps], cost)
    large = execution.failed[steps] & (rows.charge.fails == 0)
    rows.large = large
    rows.excess = np.where(large, size - execution.fork.max_initcode_bytes - 1, 0) & _LIMB
    goes_on = ~execution.failed[steps]
    deep = goes_on & (rows.own.depth == MAX_DEPTH)
    rows.deep = deep
    here = np.flatnonzero(goes_on & ~deep)
    if len(here):
        chosen = matrix[here]
        block = TraceView(StoppedColumns, chosen)
        access = StateView.of(execution).account_instruction(steps[here])
        AccountToken.fill(block.creator, access)
        worn = (access.nonce == _LIMB).all(axis=1)
        block.worn, block.poor = worn, ~worn
        poor = (~worn)[:, None]
        SubtractWords.fill(block.missing, access.balance * poor, execution.operand(steps[here], 0) * poor)
        matrix[here] = chosen
    here = np.flatnonzero(goes_on)
    if len(here):
        chosen = matrix[here]
        block = TraceView(StoppedColumns, chosen)
        FrameState.fill(block.state, execution, steps[here])
        matrix[here] = chosen
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of creations of a fork."""
    most = fork.max_initcode_bytes
    return Acting(Create(most), fill_create), Acting(CreateStopped(most), fill_create_stopped)
