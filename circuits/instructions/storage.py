"""Storage instructions: SLOAD, SSTORE, TLOAD and TSTORE.

Source: execution-specs `cancun/vm/instructions/storage.py`; EIP-2200, EIP-2929, EIP-3529 and EIP-1153.

Every access takes the slot's token on the `storage` bus and sends it with its own time. A step that fails for want of
gas sends back the value it took; that it marks the slot as warm has no effect, since its frame fails.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, TimeOrder, select_all, total
from circuits.air.layout import Layout, TraceView, allocate, bit, element, limb, nested, word
from circuits.air.table import Air
from circuits.batch.execution import Execution
from circuits.batch.leaves import LeafKind
from circuits.component import Acting
from circuits.frames.gas import Charge, GasLimb
from circuits.instructions.frame_fields import FrameFields, WritingFrameFields, require_idle
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.state.buses import ORIGINAL, STORAGE, SUBSTATE
from circuits.state.same_words import SameWords, constrain_same, fill_same
from circuits.state.state_view import (
    GAS_COLD_SLOAD,
    GAS_STORAGE_CLEAR_REFUND,
    GAS_STORAGE_SET,
    GAS_STORAGE_UPDATE,
    GAS_WARM_ACCESS,
    SSTORE_STIPEND,
    StateView,
)
from circuits.widths import WORD
from executor.opcodes import OPCODES

STORAGE_BUS = "storage bus: its sender"


class SloadColumns(Step):
    """One SLOAD per row."""

    slot = limb("the slot's key", WORD, by=STACK_BUS)
    slot_then = element("time of its push", by=STACK_BUS)
    value = limb("the slot's value", WORD, by=STORAGE_BUS)
    warm = bit("1: the transaction has touched the slot")
    of_frame = nested(FrameFields)
    order = nested(TimeOrder, "the slot's last access")
    charge = nested(Charge)


class Sload(InstructionTable):
    """SLOAD."""

    name = "sload"
    layout = SloadColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["SLOAD"])
        FrameFields.constrain(air, row.of_frame, real)
        success = real - row.charge.fails
        # STACK
        self.pop(air, 0, row.slot, row.slot_then)
        self.push(air, 1, row.value, success)
        # GAS
        cost = GAS_COLD_SLOAD * real - (GAS_COLD_SLOAD - GAS_WARM_ACCESS) * row.warm
        Charge.constrain(air, row.charge, row.gas, cost)
        air.require(row.warm * (1 - real), "padding is not warm")
        # OPERATION
        key = (int(LeafKind.STORAGE), row.of_frame.operation, row.of_frame.world, row.of_frame.address, row.slot)
        TimeOrder.constrain(air, row.order, row.time, real)
        air.receive(STORAGE, *key, row.value, row.warm, row.order.before, count=real)
        air.send(STORAGE, *key, row.value, 1, row.time, count=real)
        # PROGRAM COUNTER
        self.proceed(air, stack=0, gas=cost, count=success)
        self.fail(air, row.charge.fails)


def fill_sload(execution: Execution) -> Matrix | None:
    """All steps of SLOAD."""
    steps = execution.rows(OPCODES["SLOAD"])
    if not len(steps):
        return None
    matrix, rows = allocate(SloadColumns, len(steps))
    fill_step(rows, execution, steps)
    access = StateView.of(execution).storage_instruction(steps)
    rows.slot = access.slot
    rows.slot_then = execution.operand_time(steps, 0)
    rows.value = access.value
    rows.warm = access.warm
    FrameFields.fill(rows.of_frame, execution, steps)
    TimeOrder.fill(rows.order, access.time, access.then)
    cost = np.where(access.warm == 1, GAS_WARM_ACCESS, GAS_COLD_SLOAD)
    Charge.fill(rows.charge, execution.gas[steps], cost)
    return matrix


class SstoreColumns(Step):
    """One SSTORE per row."""

    slot = limb("the slot's key", WORD, by=STACK_BUS)
    slot_then = element("time of its push", by=STACK_BUS)
    new = limb("the new value", WORD, by=STACK_BUS)
    new_then = element("time of its push", by=STACK_BUS)
    stipend = nested(Charge, "fails: no more gas than the stipend; the state is not looked at")
    of_frame = nested(WritingFrameFields)
    value = word("the slot's value", by=STORAGE_BUS)
    warm = bit("1: the transaction has touched the slot")
    order = nested(TimeOrder, "the slot's last access")
    original = word("its value before the transaction", by="original bus")
    # Of original, value and new, in this order.
    same = nested(SameWords(3), "original = value, value = new, original = new")
    no_original = nested(IsZero, "original = 0")
    no_value = nested(IsZero, "value = 0")
    no_new = nested(IsZero, "new = 0")
    first_change = bit("1: the value is the original one, and changes")
    clears = bit("1: to 0 from a value other than 0, the original one not being 0 either")
    unclears = bit("1: from 0 to another value, the original one not being 0")
    restores = bit("1: from another value back to the original one")
    cost = element("gas; the gas left where the stipend fails", by="constraints")
    charge = nested(Charge)
    moves = bit("1: the refund counter changes")
    refund = element("refund counter before", by="substate bus")
    refund_after = nested(GasLimb, "refund counter afterwards")
    destructions = element("accounts destroyed before", by="substate bus")
    substate_order = nested(TimeOrder, "the substate's last change")


class Sstore(InstructionTable):
    """SSTORE."""

    name = "sstore"
    layout = SstoreColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        poor, fails, frame = row.stipend.fails, row.charge.fails, row.of_frame
        # `poor` is 0 on padding, and where it is 1 the charge does not fail: exactly one of the three outcomes is 1.
        active, success = real - poor, real - poor - fails
        self.begin(air, OPCODES["SSTORE"])
        WritingFrameFields.constrain(air, frame, active)
        air.query(ORIGINAL, frame.operation, frame.address, row.slot, row.original, count=active)
        self._constrain_flags(air, active)

        # STACK
        self.pop(air, 0, row.slot, row.slot_then)
        self.pop(air, 1, row.new, row.new_then)

        # GAS
        Charge.constrain(air, row.stipend, row.gas, air.constant(SSTORE_STIPEND + 1))
        no_original = row.no_original.zero
        update = GAS_STORAGE_UPDATE - GAS_COLD_SLOAD
        cost = (
            GAS_WARM_ACCESS
            + row.first_change * (update - GAS_WARM_ACCESS + (GAS_STORAGE_SET - update) * no_original)
            + GAS_COLD_SLOAD * (1 - row.warm)
        )
        air.require(row.cost * (1 - real), "padding costs nothing")
        air.require(active * (row.cost - cost), "cost")
        air.require(poor * (row.cost - row.gas), "a margin of 0 where the stipend fails")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        back = GAS_STORAGE_UPDATE - GAS_COLD_SLOAD - GAS_WARM_ACCESS
        change = GAS_STORAGE_CLEAR_REFUND * (row.clears - row.unclears) + row.restores * (
            back + (GAS_STORAGE_SET - GAS_WARM_ACCESS - back) * no_original
        )
        # Of the three only `unclears` and `restores` occur together, and then the sum is not 0.
        any_change = row.clears + row.unclears + row.restores - row.unclears * row.restores
        air.require(row.moves - any_change * (1 - fails), "the refund counter changes")
        before = (row.refund, row.destructions, row.substate_order.before)
        air.receive(SUBSTATE, frame.operation, frame.world, *before, count=row.moves)
        air.send(
            SUBSTATE, frame.operation, frame.world, row.refund + change, row.destructions, row.time, count=row.moves
        )
        TimeOrder.constrain(air, row.substate_order, row.time, row.moves)
        # It is below 2^30 after each change, so that a transaction with more gas than that does not bring it around.
        GasLimb.constrain(air, row.refund_after, row.refund + change, row.moves)
        require_idle(air, 1 - row.moves, (*before, row.substate_order.low, row.refund_after.low), "refund")

        # OPERATION
        TimeOrder.constrain(air, row.order, row.time, active)
        key = (int(LeafKind.STORAGE), frame.operation, frame.world, frame.address, row.slot)
        air.receive(STORAGE, *key, row.value, row.warm, row.order.before, count=active)
        air.send(STORAGE, *key, select_all(fails, row.value, row.new), 1, row.time, count=active)

        # PROGRAM COUNTER
        self.proceed(air, stack=-2, gas=row.cost, count=success)
        self.fail(air, poor + fails)

    def _constrain_flags(self, air: Air, active: Expression) -> None:
        """What original, current and new value are to each other; all flags are 0 unless the row is active."""
        row = air.row
        pairs = ((row.original, row.value), (row.value, row.new), (row.original, row.new))
        constrain_same(air, row.same, pairs, active)
        for flag, word_, name in (
            (row.no_original, row.original, "original"),
            (row.no_value, row.value, "value"),
            (row.no_new, row.new, "new"),
        ):
            # A sum of 16 limbs is below 2^20: 0 only if all of them are.
            IsZero.constrain(air, flag, total(word_) * active, when=active, name=f"{name} is 0")
        no_original, no_value, no_new = row.no_original.zero, row.no_value.zero, row.no_new.zero
        unchanged_before, unchanged, is_original = row.same.same
        air.require(row.first_change - unchanged_before * (1 - unchanged), "first change")
        air.require(row.restores - is_original * (1 - unchanged), "restores")
        air.require(row.clears - (active - no_original) * (1 - no_value) * no_new, "clears")
        air.require(row.unclears - (active - no_original) * no_value * (1 - no_new), "unclears")
        cells = (
            WritingFrameFields.flat(row.of_frame), row.value, row.warm, row.order.before, row.order.low, row.original,
        )  # fmt: skip
        require_idle(air, row.stipend.fails, cells, "no state")


def fill_sstore(execution: Execution) -> Matrix | None:
    """All steps of SSTORE."""
    steps = execution.rows(OPCODES["SSTORE"])
    if not len(steps):
        return None
    view = StateView.of(execution)
    matrix, rows = allocate(SstoreColumns, len(steps))
    fill_step(rows, execution, steps)
    gas = execution.gas[steps]
    new = execution.operand(steps, 1)
    rows.slot, rows.new = execution.operand(steps, 0), new
    rows.slot_then, rows.new_then = execution.operand_time(steps, 0), execution.operand_time(steps, 1)
    Charge.fill(rows.stipend, gas, np.full(len(steps), SSTORE_STIPEND + 1))
    cost = gas.copy()  # of the rows that fail for the stipend

    takes = view.takes_storage(steps)
    at = np.flatnonzero(takes)
    active = matrix[at]
    steps, new = steps[at], new[at]
    block: Any = TraceView(SstoreColumns, active)
    access = view.storage_instruction(steps)
    WritingFrameFields.fill(block.of_frame, execution, steps)
    original, value = access.original, access.value
    block.value, block.warm, block.original = value, access.warm, original
    TimeOrder.fill(block.order, access.time, access.then)
    fill_same(block.same, ((original, value), (value, new), (original, new)))
    zero = [word_.astype(np.int64).sum(axis=1) for word_ in (original, value, new)]
    for flag, sums in zip((block.no_original, block.no_value, block.no_new), zero, strict=True):
        IsZero.fill(flag, sums.astype(np.uint64))
    no_original, no_value, no_new = (sums == 0 for sums in zero)
    differs = (value != new).any(axis=1)
    first = differs & (original == value).all(axis=1)
    block.first_change = first
    block.restores = differs & (original == new).all(axis=1)
    block.clears = ~no_original & ~no_value & no_new
    block.unclears = ~no_original & no_value & ~no_new
    update = np.where(no_original, GAS_STORAGE_SET, GAS_STORAGE_UPDATE - GAS_COLD_SLOAD)
    cost[at] = np.where(first, update, GAS_WARM_ACCESS) + np.where(access.warm == 1, 0, GAS_COLD_SLOAD)
    substate = view.substate(steps)
    moves = substate.refund_change != 0
    block.moves = moves
    block.refund, block.destructions = substate.refund, substate.destructions
    GasLimb.fill(block.refund_after, np.where(moves, substate.refund + substate.refund_change, 0))
    TimeOrder.fill(block.substate_order, access.time, np.where(moves, substate.then, access.time - 1))
    block.substate_order.before = substate.then
    matrix[at] = active
    rows.cost = cost
    Charge.fill(rows.charge, gas, cost)
    return matrix


class TloadColumns(Step):
    """One TLOAD per row."""

    slot = limb("the slot's key", WORD, by=STACK_BUS)
    slot_then = element("time of its push", by=STACK_BUS)
    value = limb("the slot's value", WORD, by=STORAGE_BUS)
    of_frame = nested(FrameFields)
    order = nested(TimeOrder, "the slot's last access")
    gas_left = nested(GasLimb)


class Tload(InstructionTable):
    """TLOAD."""

    name = "tload"
    layout = TloadColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["TLOAD"])
        FrameFields.constrain(air, row.of_frame, real)
        # STACK
        self.pop(air, 0, row.slot, row.slot_then)
        self.push(air, 1, row.value)
        # GAS
        GasLimb.constrain(air, row.gas_left, row.gas - GAS_WARM_ACCESS, real)
        # OPERATION: transient slots are always cold, for no gas depends on it.
        TimeOrder.constrain(air, row.order, row.time, real)
        key = (int(LeafKind.TRANSIENT), row.of_frame.operation, row.of_frame.world, row.of_frame.address, row.slot)
        air.receive(STORAGE, *key, row.value, 0, row.order.before, count=real)
        air.send(STORAGE, *key, row.value, 0, row.time, count=real)
        # PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_WARM_ACCESS)


class TstoreColumns(TloadColumns):
    """One TSTORE per row; `value`: the one before."""

    of_frame = nested(WritingFrameFields)
    new = limb("the new value", WORD, by=STACK_BUS)
    new_then = element("time of its push", by=STACK_BUS)


class Tstore(InstructionTable):
    """TSTORE."""

    name = "tstore"
    layout = TstoreColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["TSTORE"])
        WritingFrameFields.constrain(air, row.of_frame, real)
        # STACK
        self.pop(air, 0, row.slot, row.slot_then)
        self.pop(air, 1, row.new, row.new_then)
        # GAS
        GasLimb.constrain(air, row.gas_left, row.gas - GAS_WARM_ACCESS, real)
        # OPERATION
        TimeOrder.constrain(air, row.order, row.time, real)
        key = (int(LeafKind.TRANSIENT), row.of_frame.operation, row.of_frame.world, row.of_frame.address, row.slot)
        air.receive(STORAGE, *key, row.value, 0, row.order.before, count=real)
        air.send(STORAGE, *key, row.new, 0, row.time, count=real)
        # PROGRAM COUNTER
        self.proceed(air, stack=-2, gas=GAS_WARM_ACCESS)


def _fill_transient(execution: Execution, opcode: int, layout: type[Layout]) -> Matrix | None:
    steps = execution.rows(opcode)
    if not len(steps):
        return None
    matrix, rows = allocate(layout, len(steps))
    fill_step(rows, execution, steps)
    access = StateView.of(execution).storage_instruction(steps)
    rows.slot = access.slot
    rows.slot_then = execution.operand_time(steps, 0)
    rows.value = access.value
    fields = WritingFrameFields if opcode == OPCODES["TSTORE"] else FrameFields
    fields.fill(rows.of_frame, execution, steps)
    TimeOrder.fill(rows.order, access.time, access.then)
    GasLimb.fill(rows.gas_left, execution.gas[steps] - GAS_WARM_ACCESS)
    if opcode == OPCODES["TSTORE"]:
        rows.new = access.value_after
        rows.new_then = execution.operand_time(steps, 1)
    return matrix


COMPONENTS = (
    Acting(Sload(), fill_sload),
    Acting(Sstore(), fill_sstore),
    Acting(Tload(), lambda execution: _fill_transient(execution, OPCODES["TLOAD"], TloadColumns)),
    Acting(Tstore(), lambda execution: _fill_transient(execution, OPCODES["TSTORE"], TstoreColumns)),
)
