"""Instructions that look at accounts: BALANCE, SELFBALANCE, EXTCODESIZE, EXTCODEHASH, EXTCODECOPY and SELFDESTRUCT.

Source: execution-specs `cancun/vm/instructions/environment.py` and `system.py`; EIP-2929, EIP-1052, EIP-6780.

Every access takes the account's token of the frame's world on the `account` bus and sends it with its own time and as
touched by the transaction. A step that fails for want of gas sends back what it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix, inverse
from circuits.air.gadgets.basic import IsZero, TimeOrder, one_hot, range_check, select, total
from circuits.air.gadgets.words import AddWords
from circuits.air.layout import Layout, TraceView, allocate, bit, element, limb, nested, word
from circuits.air.layout import Size as OpenSize
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers
from circuits.batch.frame_data import FAR
from circuits.batch.precompiles import precompile_numbers
from circuits.component import Acting, Component
from circuits.frames.buses import CODE, CONTEXT
from circuits.frames.code import CODE_KIND
from circuits.frames.contexts import TRANSACTION_CONTEXT
from circuits.frames.frames import Ending
from circuits.frames.gas import Charge
from circuits.instructions.buses import COPY
from circuits.instructions.copies import EXPANSION_BUS, Place, Size, constrain_reach
from circuits.instructions.frame_fields import FrameFields, WritingFrameFields, require_idle
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs, addresses_from_bytes, words_from_bytes
from circuits.memory.buses import EXPANSION
from circuits.state.account_replay import created
from circuits.state.buses import ACCOUNT, SUBSTATE
from circuits.state.same_words import SameWords, constrain_same, fill_same
from circuits.state.state_view import (
    GAS_COPY_WORD,
    GAS_SELFDESTRUCT,
    GAS_WARM_ACCESS,
    AccountAccesses,
    StateView,
    extcodecopy_costs,
)
from circuits.widths import ADDRESS, NONCE, WORD
from executor.forks import SYSTEM_ADDRESS, Fork
from executor.opcodes import OPCODES
from executor.state_keys import EMPTY_CODE_HASH

#: Source: cancun/vm/gas.py.
GAS_COLD_ACCOUNT = 2600
GAS_LOW = 5
GAS_SELFDESTRUCT_NEW_ACCOUNT = 25000

EMPTY_CODE: Limbs = words_from_bytes([EMPTY_CODE_HASH])[0]
#: The sum of the limbs of the system address.
_SYSTEM_SUM = int(addresses_from_bytes([SYSTEM_ADDRESS]).astype(np.int64).sum())
#: Sizes of codes are at most 2^24: the upper limb is below 2^9.
_SIZE_HIGH_BITS = 9
ACCOUNT_BUS = "account bus: its sender"


def empty_code(air: Air) -> list[Expression]:
    """The hash of the empty code as constants."""
    return [air.constant(int(x)) for x in EMPTY_CODE]


class AccountToken(Layout):
    """What an access to an account takes."""

    balance = word("balance", by=ACCOUNT_BUS)
    nonce = limb("nonce", NONCE, by=ACCOUNT_BUS)
    code_hash = limb("code hash", WORD, by=ACCOUNT_BUS)
    warm = element("1 + number of the last operation that touched it; 0: none", by=ACCOUNT_BUS)
    life = element("which operation created it, and whether it is destroyed", by=ACCOUNT_BUS)
    order = nested(TimeOrder, "the account's last access")

    @staticmethod
    def constrain(
        air: Air,
        cells: Any,
        frame: Any,
        address: Sequence[Any],
        time: Expression,
        count: Operand,
        balance_after: Sequence[Any] | None = None,
        life_after: Expression | None = None,
        nonce_after: Sequence[Any] | None = None,
        code_hash_after: Sequence[Any] | None = None,
    ) -> None:
        """Where `count` is 1, the account's token is taken and sent on, with what is new of it, if anything is.

        `frame`: the cells of the row's `FrameFields`.
        """
        TimeOrder.constrain(air, cells.order, time, air.graph.lift(count))
        key, rest = (frame.scope, frame.world, address), (cells.nonce, cells.code_hash)
        balance = cells.balance if balance_after is None else balance_after
        life = cells.life if life_after is None else life_after
        air.receive(ACCOUNT, *key, cells.balance, *rest, cells.warm, cells.life, cells.order.before, count=count)
        nonce = cells.nonce if nonce_after is None else nonce_after
        code_hash = cells.code_hash if code_hash_after is None else code_hash_after
        air.send(ACCOUNT, *key, balance, nonce, code_hash, frame.operation + 1, life, time, count=count)

    @staticmethod
    def flat(cells: Any) -> tuple[Any, ...]:
        """All cells, for where no token is taken."""
        token = (cells.balance, cells.nonce, cells.code_hash, cells.warm, cells.life)
        return (*token, cells.order.before, cells.order.low)

    @staticmethod
    def fill(cells: Any, access: AccountAccesses) -> None:
        """The accesses of the rows."""
        cells.balance, cells.nonce, cells.code_hash = access.balance, access.nonce, access.code_hash
        cells.warm, cells.life = access.warm, access.life
        TimeOrder.fill(cells.order, access.time, access.then)


class Coldness(Layout):
    """Whether an account is cold: not touched by the transaction, and no precompile (EIP-2929).

    In forks that have system calls: no precompile of a transaction. A system call has no warm precompiles; its frames
    know it by ORIGIN.
    """

    cold = bit("1: cold")
    touched = nested(IsZero, "whether the warm mark is the transaction's")
    high = nested(IsZero, "whether all limbs of the address but the lowest are 0")
    products = element(
        "(low - 1)(low - 2), and so on: two more precompiles each", OpenSize("precompile_pairs"), by="its constraint"
    )
    low = nested(IsZero, "whether the lowest limb is that of a precompile")
    origin = limb(
        "ORIGIN, where the account is a precompile, else 0", OpenSize("system_calls", ADDRESS), by="context bus, or 0"
    )
    called = element(
        "1: a precompile; 1: it is, in a system call; inverse of what the sum of the limbs of ORIGIN differs by",
        OpenSize("system_calls", 3),
        by="its constraints",
    )

    @staticmethod
    def constrain(
        air: Air,
        cells: Any,
        frame: Any,
        address: Sequence[Any],
        warm: Any,
        when: Expression,
        precompiles: Sequence[int],
    ) -> None:
        """`cells.cold` where `when` is 1; elsewhere it and the other cells are 0. `precompiles`: below 2^16."""
        mark = (warm - frame.operation - 1) * when
        IsZero.constrain(air, cells.touched, mark, when=when, name="touched")
        # At most 9 * 2^16: 0 only if all limbs are.
        IsZero.constrain(air, cells.high, total(address[1:]) * when, when=when, name="high limbs")
        product = when
        for i, cell in enumerate(cells.products):
            for number in precompiles[2 * i : 2 * i + 2]:
                product = product * (address[0] - number)
            air.require(cell - product, f"product {i}")
            product = cell
        IsZero.constrain(air, cells.low, product, when=when, name="low limb")
        untouched, spared = when - cells.touched.zero, cells.high.zero * cells.low.zero
        if len(cells.called):
            spared = Coldness._of_transaction(air, cells, frame.operation, spared)
        air.require(cells.cold - untouched * (1 - spared), "cold")

    @staticmethod
    def _of_transaction(air: Air, cells: Any, operation: Expression, precompiled: Expression) -> Expression:
        """Whether the account is a precompile and the operation a transaction, from whether it is a precompile.

        ORIGIN is the system address in system calls alone. A sum of limbs that is one less than the greatest is that of
        the system address or of one of nine others; an address is a hash, whose every bit would have to be right.
        """
        precompile, system, inverse_ = cells.called
        air.require(precompile - precompiled, "a precompile")
        origin = [*cells.origin, *[air.constant(0)] * (WORD - ADDRESS)]
        air.query(CONTEXT, TRANSACTION_CONTEXT, operation, OPCODES["ORIGIN"], origin, count=precompile)
        idle = 1 - precompile
        air.require_equal([*cells.origin, system, inverse_], [0] * (ADDRESS + 2), "no precompile", when=idle)
        apart = total(cells.origin) - _SYSTEM_SUM * precompile
        air.require(apart * inverse_ - precompile + system, "in a system call: apart")
        air.require(apart * system, "in a system call: not apart")
        air.require(system * inverse_, "in a system call: no inverse")
        never_cold: Expression = precompile - system
        return never_cold

    @staticmethod
    def fill(cells: Any, access: AccountAccesses, execution: Execution) -> NDArray[np.bool_]:
        """Returns whether each account is cold."""
        precompiles = precompile_numbers(execution.fork)
        low = access.address[:, 0].astype(np.int64)
        high = access.address[:, 1:].astype(np.int64).sum(axis=1)
        mark = (access.warm - access.operation - 1) % MODULUS
        IsZero.fill(cells.touched, mark.astype(np.uint64))
        IsZero.fill(cells.high, high.astype(np.uint64))
        product = np.ones(len(low), dtype=np.int64)
        for i in range(-(-len(precompiles) // 2)):
            for number in precompiles[2 * i : 2 * i + 2]:
                product = product * ((low - number) % MODULUS) % MODULUS
            cells.products[:, i] = product
        IsZero.fill(cells.low, product.astype(np.uint64))
        spared = (high == 0) & (product == 0)
        if execution.fork.block_end_calls:
            precompiled = spared
            origin = execution.origins(access.operation) * precompiled[:, None]
            apart = origin.astype(np.int64).sum(axis=1) - _SYSTEM_SUM * precompiled
            system = precompiled & (apart == 0)
            spared = precompiled & ~system
            cells.origin = origin
            cells.called = np.stack([precompiled, system, inverse((apart % MODULUS).astype(np.uint64))], axis=1)
        cold: NDArray[np.bool_] = (mark != 0) & ~spared
        cells.cold = cold
        return cold


class PricedByColdness(InstructionTable):
    """Base of instructions whose price depends on whether an account is cold: how many precompiles there are decides
    about their layout."""

    def __init__(self, fork: Fork) -> None:
        """The table for the precompiles of a fork."""
        super().__init__(layout=layout_of(type(self).layout, fork))
        self.precompiles = precompile_numbers(fork)


def layout_of(layout: type[Layout[Any]], fork: Fork) -> type[Layout[Any]]:
    """A layout with a `Coldness`, for the precompiles of a fork."""
    return layout.sized(precompile_pairs=-(-len(fork.precompiles) // 2), system_calls=int(bool(fork.block_end_calls)))


class Emptiness(Layout):
    """Whether an account is empty (EIP-161): without balance, nonce and code."""

    no_code = nested(SameWords(1), "whether the code hash is that of the empty code")
    nothing = nested(IsZero, "whether balance and nonce are 0")
    empty = bit("1: empty")

    @staticmethod
    def constrain(air: Air, cells: Any, token: Any, when: Expression) -> None:
        """`cells.empty` and `cells.no_code.same[0]` where `when` is 1; elsewhere they are 0."""
        constrain_same(air, cells.no_code, ((token.code_hash, empty_code(air)),), when)
        # At most 20 * 2^16: 0 only if all limbs are.
        nothing = total([*token.balance, *token.nonce]) * when
        IsZero.constrain(air, cells.nothing, nothing, when=when, name="nothing")
        air.require(cells.empty - cells.no_code.same[0] * cells.nothing.zero, "empty")

    @staticmethod
    def fill(cells: Any, access: AccountAccesses) -> NDArray[np.bool_]:
        """Returns whether each account is empty."""
        fill_same(cells.no_code, ((access.code_hash, np.broadcast_to(EMPTY_CODE, access.code_hash.shape)),))
        limbs = np.concatenate([access.balance, access.nonce], axis=1).astype(np.int64).sum(axis=1)
        IsZero.fill(cells.nothing, limbs.astype(np.uint64))
        empty: NDArray[np.bool_] = has_no_code(access) & (limbs == 0)
        cells.empty = empty
        return empty


def has_no_code(access: AccountAccesses) -> NDArray[np.bool_]:
    """Which accounts have no code."""
    same: NDArray[np.bool_] = (access.code_hash == EMPTY_CODE).all(axis=1)
    return same


def code_of(execution: Execution, access: AccountAccesses) -> tuple[Integers, Integers]:
    """Ids and sizes of the accounts' codes, (n,); 0 without code."""
    codes, hashes = execution.trace.codes, access.code_hash
    both = np.concatenate([codes.hash[execution.codes], hashes])
    _, inverse = np.unique(both, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    count = len(execution.codes)
    place = np.zeros(inverse.max(initial=0) + 1, dtype=np.int64)
    place[inverse[:count]] = np.arange(count)
    found = place[inverse[count:]]
    no_code = has_no_code(access)
    if not count:
        return np.zeros(len(hashes), dtype=np.int64), np.zeros(len(hashes), dtype=np.int64)
    ids = np.where(no_code, 0, execution.code_ids[found])
    sizes = np.where(no_code, 0, codes.size[execution.codes][found].astype(np.int64))
    return ids, sizes


class AccountQueryColumns(Step):
    """One BALANCE, EXTCODESIZE or EXTCODEHASH per row."""

    balance = bit("1: BALANCE")
    code_size = bit("1: EXTCODESIZE")
    code_hash = bit("1: EXTCODEHASH")
    operand = limb("the address, and 12 bytes that do not count", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    of_frame = nested(FrameFields)
    token = nested(AccountToken)
    coldness = nested(Coldness)
    emptiness = nested(Emptiness)
    charge = nested(Charge)
    asks = bit("1: the size of a code is asked for")
    code_id = element("id of the code that is asked for", by="code bus, or 0")
    size = element("its size", by="code bus, or 0")
    result = word("what is pushed", by="constraints")


class AccountQuery(PricedByColdness):
    """BALANCE, EXTCODESIZE and EXTCODEHASH."""

    name = "account_query"
    layout = AccountQueryColumns

    def constraints(self, air: Air) -> None:
        row, real, token = air.row, air.row.real, air.row.token
        flags = (row.balance, row.code_size, row.code_hash)
        one_hot(air, flags, real, "instruction")
        names = ("BALANCE", "EXTCODESIZE", "EXTCODEHASH")
        self.begin(air, total([flag * OPCODES[name] for flag, name in zip(flags, names, strict=True)]))
        FrameFields.constrain(air, row.of_frame, real)
        success = real - row.charge.fails
        address = row.operand[:ADDRESS]
        # STACK
        self.pop(air, 0, row.operand, row.then)
        self.push(air, 1, row.result, success)
        # GAS
        Coldness.constrain(air, row.coldness, row.of_frame, address, token.warm, real, self.precompiles)
        cost = GAS_WARM_ACCESS * real + (GAS_COLD_ACCOUNT - GAS_WARM_ACCESS) * row.coldness.cold
        Charge.constrain(air, row.charge, row.gas, cost)
        # OPERATION
        AccountToken.constrain(air, token, row.of_frame, address, row.time, real)
        Emptiness.constrain(air, row.emptiness, token, real)
        air.require_equal(row.result, token.balance, "BALANCE", when=row.balance)
        not_empty = 1 - row.emptiness.empty
        hashes = [limb_ * not_empty for limb_ in token.code_hash]
        air.require_equal(row.result, hashes, "EXTCODEHASH", when=row.code_hash)
        has_code = real - row.emptiness.no_code.same[0]
        # Failing rows ask nothing; `charge.fails` is 0 on padding.
        air.require(row.asks - row.code_size * has_code * (1 - row.charge.fails), "asks")
        air.query(CODE, row.code_id, token.code_hash, row.size, count=row.asks)
        require_idle(air, 1 - row.asks, (row.code_id, row.size), "no code")
        low, high, *rest = row.result
        air.require_equal(rest, [0] * len(rest), "EXTCODESIZE: upper limbs", when=row.code_size)
        air.require(row.code_size * (low + high * (1 << 16) - row.size), "EXTCODESIZE")
        # low + 2^16 high is below 2^25: equal to the size over the integers.
        air.query(RANGE16, low, count=row.code_size)
        range_check(air, high, _SIZE_HIGH_BITS, row.code_size)
        # PROGRAM COUNTER
        self.proceed(air, stack=0, gas=cost, count=success)
        self.fail(air, row.charge.fails)


def fill_account_query(execution: Execution) -> Matrix | None:
    """All steps of these instructions."""
    steps = execution.rows(*(OPCODES[name] for name in ("BALANCE", "EXTCODESIZE", "EXTCODEHASH")))
    if not len(steps):
        return None
    matrix, rows = allocate(AccountQueryColumns, len(steps), layout_of(AccountQueryColumns, execution.fork))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    is_size = opcode == OPCODES["EXTCODESIZE"]
    rows.balance, rows.code_size = opcode == OPCODES["BALANCE"], is_size
    rows.code_hash = opcode == OPCODES["EXTCODEHASH"]
    rows.operand = execution.operand(steps, 0)
    rows.then = execution.operand_time(steps, 0)
    access = StateView.of(execution).account_instruction(steps)
    FrameFields.fill(rows.of_frame, execution, steps)
    AccountToken.fill(rows.token, access)
    cold = Coldness.fill(rows.coldness, access, execution)
    empty = Emptiness.fill(rows.emptiness, access)
    Charge.fill(rows.charge, execution.gas[steps], np.where(cold, GAS_COLD_ACCOUNT, GAS_WARM_ACCESS))
    asks = is_size & ~has_no_code(access) & ~execution.failed[steps]
    ids, sizes = code_of(execution, access)
    rows.asks = asks
    rows.code_id = np.where(asks, ids, 0)
    rows.size = np.where(asks, sizes, 0)
    result = np.where((opcode == OPCODES["BALANCE"])[:, None], access.balance, 0).astype(np.int64)
    hashes = (opcode == OPCODES["EXTCODEHASH"]) & ~empty
    result[hashes] = access.code_hash[hashes]
    result[asks, 0], result[asks, 1] = sizes[asks] & 0xFFFF, sizes[asks] >> 16
    rows.result = result
    return matrix


class SelfbalanceColumns(Step):
    """One SELFBALANCE per row."""

    of_frame = nested(FrameFields)
    token = nested(AccountToken)


class Selfbalance(InstructionTable):
    """SELFBALANCE."""

    name = "selfbalance"
    layout = SelfbalanceColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["SELFBALANCE"])
        # OPERATION. The account is warm: it is the transaction's recipient.
        FrameFields.constrain(air, row.of_frame, real)
        AccountToken.constrain(air, row.token, row.of_frame, row.of_frame.address, row.time, real)
        # STACK
        self.check_room(air)
        self.push(air, 0, row.token.balance)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=GAS_LOW)


def fill_selfbalance(execution: Execution) -> Matrix | None:
    """All steps of SELFBALANCE."""
    steps = execution.rows(OPCODES["SELFBALANCE"])
    if not len(steps):
        return None
    matrix, rows = allocate(SelfbalanceColumns, len(steps))
    fill_step(rows, execution, steps)
    FrameFields.fill(rows.of_frame, execution, steps)
    AccountToken.fill(rows.token, StateView.of(execution).account_instruction(steps))
    return matrix


class ExtcodecopyColumns(Step):
    """One EXTCODECOPY per row."""

    operand = limb("the address, and 12 bytes that do not count", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    to = limb("where to write", WORD, by=STACK_BUS)
    to_then = element("time of its push", by=STACK_BUS)
    start = limb("where to read", WORD, by=STACK_BUS)
    start_then = element("time of its push", by=STACK_BUS)
    place = nested(Place)
    size = nested(Size)
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    expansion = element("gas of the memory's growth", by=EXPANSION_BUS)
    least = nested(Charge, "fails: too little gas even if the account is warm; it is not looked at")
    of_frame = nested(FrameFields)
    token = nested(AccountToken)
    coldness = nested(Coldness)
    cost = element("gas; the gas left where `least` fails", by="constraints")
    charge = nested(Charge)
    moves = bit("1: bytes are copied")
    no_code = bit("1: bytes are copied, and the account has no code")
    source = element("id of the code that is copied", by="code bus; without code that of the running code")
    code_size = element("bytes of the code that is copied", by="code bus, or 0")


class Extcodecopy(PricedByColdness):
    """EXTCODECOPY. What an account without code has to copy, zeros, stands far behind the end of the running code."""

    name = "extcodecopy"
    layout = ExtcodecopyColumns

    def constraints(self, air: Air) -> None:
        row, real, token = air.row, air.row.real, air.row.token
        poor, fails = row.least.fails, row.charge.fails
        # `poor` is 0 on padding, and where it is 1 the charge does not fail: exactly one of the three outcomes is 1.
        active, success = real - poor, real - poor - fails
        address = row.operand[:ADDRESS]
        self.begin(air, OPCODES["EXTCODECOPY"])
        FrameFields.constrain(air, row.of_frame, active)
        # STACK
        self.pop(air, 0, row.operand, row.then)
        self.pop(air, 1, row.to, row.to_then)
        self.pop(air, 2, row.start, row.start_then)
        self.pop(air, 3, row.size.limbs, row.size.then)
        # GAS. As of the other copies: words are at most 2^20, and the expansion costs at most 2^29 + 2^21.
        size, words = Size.constrain(air, row.size)
        end = constrain_reach(air, row.to, row.size, real - row.size.empty.zero)
        air.query(EXPANSION, row.memory_words, end, row.words_after, row.expansion, count=real)
        least = real * GAS_WARM_ACCESS + words * GAS_COPY_WORD + row.expansion
        Charge.constrain(air, row.least, row.gas, least)
        Coldness.constrain(air, row.coldness, row.of_frame, address, token.warm, active, self.precompiles)
        cost = least + (GAS_COLD_ACCOUNT - GAS_WARM_ACCESS) * row.coldness.cold
        air.require(row.cost * (1 - real), "padding costs nothing")
        air.require(active * (row.cost - cost), "cost")
        air.require(poor * (row.cost - row.gas), "a margin of 0 where the account is not looked at")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        # OPERATION
        AccountToken.constrain(air, token, row.of_frame, address, row.time, active)
        frame = row.of_frame
        cells = (*FrameFields.flat(frame), *AccountToken.flat(token))
        require_idle(air, poor, cells, "no account")
        air.require(row.moves - success * (1 - row.size.empty.zero), "moves")
        # An account without code has the hash of the empty code; one with code has a code that the code table knows.
        air.require(row.no_code * (1 - row.moves), "no code to copy")
        air.require_equal(token.code_hash, empty_code(air), "no code", when=row.no_code)
        air.query(CODE, row.source, token.code_hash, row.code_size, count=row.moves - row.no_code)
        air.require(row.no_code * (row.source - row.code), "the running code")
        air.require((1 - row.moves) * row.source, "idle source")
        air.require((1 - row.moves + row.no_code) * row.code_size, "idle size")
        place = select(row.no_code, FAR, Place.constrain(air, row.place, row.start))
        first = row.time + 1
        to = row.to[0] + row.to[1] * (1 << 16)
        air.send(COPY, row.frame, first, first, CODE_KIND, row.source, place, to, size, count=row.moves)
        # PROGRAM COUNTER
        self.proceed(air, stack=-4, gas=row.cost, memory_words=row.words_after, duration=words + 1, count=success)
        self.fail(air, poor + fails)


def fill_extcodecopy(execution: Execution) -> Matrix | None:
    """All steps of EXTCODECOPY, as far as they do not reach beyond the memory."""
    steps = execution.rows(OPCODES["EXTCODECOPY"])
    if not len(steps):
        return None
    view = StateView.of(execution)
    layout = layout_of(ExtcodecopyColumns, execution.fork)
    matrix, rows = allocate(ExtcodecopyColumns, len(steps), layout)
    fill_step(rows, execution, steps)
    gas = execution.gas[steps]
    for index, (name, then) in enumerate((("operand", "then"), ("to", "to_then"), ("start", "start_then"))):
        setattr(rows, name, execution.operand(steps, index))
        setattr(rows, then, execution.operand_time(steps, index))
    Place.fill(rows.place, execution.operand(steps, 2))
    size = Size.fill(rows.size, execution, steps, 3)
    words_after, least = extcodecopy_costs(execution, steps)
    rows.words_after = words_after
    rows.expansion = least - GAS_WARM_ACCESS - GAS_COPY_WORD * -(-size // 32)
    Charge.fill(rows.least, gas, least)
    cost = gas.copy()  # of the rows that do not look at the account

    at = np.flatnonzero(view.takes_account(steps))
    here, active = steps[at], matrix[at]
    block: Any = TraceView(layout, active)
    access = view.account_instruction(here)
    FrameFields.fill(block.of_frame, execution, here)
    AccountToken.fill(block.token, access)
    cold = Coldness.fill(block.coldness, access, execution)
    cost[at] = least[at] + np.where(cold, GAS_COLD_ACCOUNT - GAS_WARM_ACCESS, 0)
    moves = ~execution.failed[here] & (size[at] > 0)
    no_code = moves & has_no_code(access)
    ids, sizes = code_of(execution, access)
    block.moves, block.no_code = moves, no_code
    block.source = np.where(moves, np.where(no_code, execution.code[here], ids), 0)
    block.code_size = np.where(moves, sizes, 0)
    matrix[at] = active
    rows.cost = cost
    Charge.fill(rows.charge, gas, cost)
    return matrix


class SelfdestructColumns(Step):
    """One SELFDESTRUCT per row."""

    operand = limb("the beneficiary, and 12 bytes that do not count", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    least = nested(Charge, "fails: not even the constant cost can be paid; no account is looked at")
    of_frame = nested(WritingFrameFields)
    own = nested(AccountToken, "the account whose balance moves")
    beneficiary = nested(AccountToken)
    coldness = nested(Coldness, "of the beneficiary")
    emptiness = nested(Emptiness, "of the beneficiary")
    no_balance = nested(IsZero, "whether there is nothing to move")
    new = bit("1: an empty account receives something")
    cost = element("gas; the gas left where `least` fails", by="constraints")
    charge = nested(Charge)
    alive = nested(IsZero, "whether the transaction has created the own account, and not destroyed it yet")
    destroyed = nested(IsZero, "whether it has created and destroyed the own account")
    same = nested(SameWords(1), "whether the own account is the beneficiary")
    arrives = bit("1: what leaves arrives; 0: the step fails, or the ether is burnt")
    sum = nested(AddWords, "the beneficiary's balance afterwards")
    counts = bit("1: the account is destroyed now")
    refund = element("refund counter", by="substate bus")
    destructions = element("accounts destroyed before", by="substate bus")
    substate_order = nested(TimeOrder, "the substate's last change")


class Selfdestruct(PricedByColdness):
    """SELFDESTRUCT: the balance moves, and the frame ends.

    An account that its transaction has created is destroyed, too, once (EIP-6780): its life says so, and the substate
    counts it. If such an account is its own beneficiary, its ether is burnt. The own account is accessed at the step's
    time and the beneficiary one later; if they are the same, what has left comes back otherwise.
    """

    name = "selfdestruct"
    layout = SelfdestructColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        poor, fails, frame = row.least.fails, row.charge.fails, row.of_frame
        active, success = real - poor, real - poor - fails
        address = row.operand[:ADDRESS]
        self.begin(air, OPCODES["SELFDESTRUCT"])
        WritingFrameFields.constrain(air, frame, active)
        # STACK
        self.pop(air, 0, row.operand, row.then)
        # GAS
        Charge.constrain(air, row.least, row.gas, air.constant(GAS_SELFDESTRUCT))
        Coldness.constrain(air, row.coldness, frame, address, row.beneficiary.warm, active, self.precompiles)
        Emptiness.constrain(air, row.emptiness, row.beneficiary, active)
        # At most 2^20: 0 only if all limbs are.
        IsZero.constrain(air, row.no_balance, total(row.own.balance) * active, when=active, name="no balance")
        air.require(row.new - row.emptiness.empty * (1 - row.no_balance.zero), "new account")
        cost = GAS_SELFDESTRUCT + GAS_COLD_ACCOUNT * row.coldness.cold + GAS_SELFDESTRUCT_NEW_ACCOUNT * row.new
        air.require(row.cost * (1 - real), "padding costs nothing")
        air.require(active * (row.cost - cost), "cost")
        air.require(poor * (row.cost - row.gas), "a margin of 0 where no account is looked at")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        # OPERATION. A step that fails moves and destroys nothing. Lives are below 2^26: differences do not wrap.
        age = (row.own.life - created(frame.operation)) * active
        IsZero.constrain(air, row.alive, age, when=active, name="alive")
        IsZero.constrain(air, row.destroyed, age - active, when=active, name="destroyed")
        zeros = [air.constant(0)] * (WORD - ADDRESS)
        constrain_same(air, row.same, (([*frame.address, *zeros], [*address, *zeros]),), active)
        is_new = row.alive.zero + row.destroyed.zero
        air.require(row.arrives - success * (1 - row.same.same[0] * is_new), "what leaves arrives")
        air.require(row.counts - row.alive.zero * (1 - fails), "the account is destroyed now")
        stays = [x * fails for x in row.own.balance]
        AccountToken.constrain(air, row.own, frame, frame.address, row.time, active, stays, row.own.life + row.counts)
        AddWords.constrain(air, row.sum, row.beneficiary.balance, [x * row.arrives for x in row.own.balance])
        air.require(row.sum.carry[-1], "all ether there is fits a word")
        AccountToken.constrain(air, row.beneficiary, frame, address, row.time + 1, active, row.sum.sum)
        key, before = (frame.operation, frame.world), (row.refund, row.destructions, row.substate_order.before)
        air.receive(SUBSTATE, *key, *before, count=row.counts)
        air.send(SUBSTATE, *key, row.refund, row.destructions + 1, row.time, count=row.counts)
        TimeOrder.constrain(air, row.substate_order, row.time, row.counts)
        require_idle(air, 1 - row.counts, (*before, row.substate_order.low), "nothing is counted")
        require_idle(air, poor, WritingFrameFields.flat(frame), "no frame")
        require_idle(air, poor, AccountToken.flat(row.own), "no own account")
        require_idle(air, poor, AccountToken.flat(row.beneficiary), "no beneficiary")
        # PROGRAM COUNTER
        self.halt(air, Ending.SUCCEEDED, gas=row.gas - row.cost, count=success)
        self.fail(air, poor + fails)


def fill_selfdestruct(execution: Execution) -> Matrix | None:
    """All steps of SELFDESTRUCT."""
    steps = execution.rows(OPCODES["SELFDESTRUCT"])
    if not len(steps):
        return None
    view = StateView.of(execution)
    layout = layout_of(SelfdestructColumns, execution.fork)
    matrix, rows = allocate(SelfdestructColumns, len(steps), layout)
    fill_step(rows, execution, steps)
    gas = execution.gas[steps]
    rows.operand = execution.operand(steps, 0)
    rows.then = execution.operand_time(steps, 0)
    Charge.fill(rows.least, gas, np.full(len(steps), GAS_SELFDESTRUCT))
    cost = gas.copy()  # of the rows that look at no account

    at = np.flatnonzero(view.takes_account(steps))
    here, active = steps[at], matrix[at]
    block: Any = TraceView(layout, active)
    own, beneficiary = view.account_instruction(here), view.account_instruction(here, 1)
    WritingFrameFields.fill(block.of_frame, execution, here)
    AccountToken.fill(block.own, own)
    AccountToken.fill(block.beneficiary, beneficiary)
    cold = Coldness.fill(block.coldness, beneficiary, execution)
    empty = Emptiness.fill(block.emptiness, beneficiary)
    balance = own.balance.astype(np.int64).sum(axis=1)
    IsZero.fill(block.no_balance, balance.astype(np.uint64))
    new = empty & (balance != 0)
    block.new = new
    cost[at] = GAS_SELFDESTRUCT + GAS_COLD_ACCOUNT * cold + GAS_SELFDESTRUCT_NEW_ACCOUNT * new
    succeeds = ~execution.failed[here]
    age = own.life - created(own.operation)
    IsZero.fill(block.alive, (age % MODULUS).astype(np.uint64))
    IsZero.fill(block.destroyed, ((age - 1) % MODULUS).astype(np.uint64))
    addresses = [np.pad(access.address, ((0, 0), (0, WORD - ADDRESS))) for access in (own, beneficiary)]
    fill_same(block.same, ((addresses[0], addresses[1]),))
    arrives = succeeds & ~((own.leaf == beneficiary.leaf) & np.isin(age, (0, 1)))
    block.arrives = arrives
    AddWords.fill(block.sum, beneficiary.balance, np.where(arrives[:, None], own.balance, 0))
    counts = succeeds & (age == 0)
    block.counts = counts
    substate = view.substate(here)
    block.refund, block.destructions = substate.refund, substate.destructions
    TimeOrder.fill(block.substate_order, own.time, np.where(counts, substate.then, own.time - 1))
    block.substate_order.before = substate.then
    matrix[at] = active
    rows.cost = cost
    Charge.fill(rows.charge, gas, cost)
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of a fork."""
    return (
        Acting(AccountQuery(fork), fill_account_query),
        Acting(Selfbalance(), fill_selfbalance),
        Acting(Extcodecopy(fork), fill_extcodecopy),
        Acting(Selfdestruct(fork), fill_selfdestruct),
    )
