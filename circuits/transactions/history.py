"""The write of the parent's hash by a block (EIP-2935): its system call puts it into the storage of a contract.

The verifier has computed the slot from the block's number. Where the batch's state has other code at the contract's
address, or none, the call is proved as such (`circuits.transactions.system_call`).

Source: EIP-2935; execution-specs `prague/fork.py` (apply_body).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.layout import allocate, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import HISTORY_TIME, Execution
from circuits.batch.operation_items import count_asked, operation_items
from circuits.batch.operations import OperationKind
from circuits.component import Answering, Component
from circuits.limbs import addresses_from_bytes
from circuits.state.buses import LIFE
from circuits.state.state_view import StateView
from circuits.statement import HISTORY_ITEM
from circuits.transactions.beacon import Write
from circuits.transactions.chain import CHAIN_BUS, POSEIDON_BUS, OperationColumns, constrain_operation, fill_operation
from circuits.widths import ADDRESS, DIGEST, WORD
from executor.forks import HISTORY_STORAGE_ADDRESS, Fork

_COMMITTED = "the operation's commitment: the verifier hashes canonical limbs"
_CONTRACT = [int(x) for x in addresses_from_bytes([HISTORY_STORAGE_ADDRESS])[0]]


class Columns(OperationColumns):
    """One write per row."""

    receipts = element("running hash of receipts", DIGEST, by=CHAIN_BUS)
    scope = element("scope of the block", by=_COMMITTED)
    slot = limb("slot of the parent's hash", WORD, by=_COMMITTED)
    hash = limb("the parent's hash", WORD, by=_COMMITTED)
    states = element("hash states of the item, digest last", (HISTORY_ITEM.blocks, DIGEST), by=POSEIDON_BUS)
    write = nested(Write)
    life_asked = element("how often it is asked whether an account lives", by="balance of the life bus")


class History(Table):
    """Writes of parents' hashes."""

    name = "history"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        constrain_operation(air, HISTORY_ITEM, row.time + HISTORY_TIME, row.receipts, row.receipts)
        Write.constrain(air, row.write, _CONTRACT, row.slot, row.hash, row.time + 1)
        air.require((1 - real) * row.life_asked, "padding answers nothing")
        nobody = [air.constant(0)] * ADDRESS
        air.provide(LIFE, row.operation, 0, nobody, 0, multiplicity=row.life_asked)


def fill(execution: Execution, life_asked: NDArray[np.uint32]) -> Matrix | None:
    """The segment's writes; `life_asked` (n, 13): what is asked of the life bus."""
    numbers = np.flatnonzero(execution.kind == OperationKind.HISTORY) + execution.first
    if not len(numbers):
        return None
    matrix, rows = allocate(Columns, len(numbers))
    fill_operation(
        rows, execution, numbers, operation_items(execution.batch).histories, execution.operations.row[numbers]
    )
    rows.receipts = execution.batch.receipts.before_operation[numbers]
    access = StateView.of(execution).block_writes(numbers)
    rows.write.value, rows.write.warm = access.value, access.warm
    TimeOrder.fill(rows.write.order, access.time, access.then)
    rows.life_asked = count_asked(numbers, life_asked[life_asked[:, 1] == 0, 0])
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The table, where the fork's blocks call the contract."""
    calls = any(call.address == HISTORY_STORAGE_ADDRESS for call in fork.block_start_calls)
    return (Answering(History(), LIFE, fill),) if calls else ()
