"""The beacon-root write of a block (EIP-4788): its system call puts the timestamp and the parent's beacon root into the
storage of a contract.

The verifier has computed both slots from the timestamp. A batch whose state lacks the contract, or has other code
there, has no such operations; from Prague on its blocks then have a system call (`circuits.transactions.system_call`).

Source: EIP-4788; execution-specs `cancun/fork.py` (apply_body).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.layout import Layout, allocate, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import BEACON_TIME, Execution
from circuits.batch.leaves import LeafKind
from circuits.batch.operation_items import count_asked, operation_items
from circuits.batch.operations import OperationKind
from circuits.component import Answering
from circuits.limbs import addresses_from_bytes
from circuits.state.buses import LIFE, STORAGE
from circuits.state.state_view import StateView
from circuits.statement import BEACON_ITEM
from circuits.transactions.chain import CHAIN_BUS, POSEIDON_BUS, OperationColumns, constrain_operation, fill_operation
from circuits.widths import ADDRESS, DIGEST, WORD
from executor.forks import BEACON_ROOTS_ADDRESS

_COMMITTED = "the operation's commitment: the verifier hashes canonical limbs"
_STORAGE = "storage bus: the last sender"
_CONTRACT = [int(x) for x in addresses_from_bytes([BEACON_ROOTS_ADDRESS])[0]]


class Write(Layout):
    """What a slot held before."""

    value = limb("value before", WORD, by=_STORAGE)
    warm = element("warm mark before", by=_STORAGE)
    order = nested(TimeOrder)

    @staticmethod
    def constrain(
        air: Air, cells: Any, contract: Sequence[int], slot: Sequence[Any], value: Sequence[Any], now: Expression
    ) -> None:
        """The row's operation writes `value` to the slot of the contract."""
        row, real = air.row, air.row.real
        TimeOrder.constrain(air, cells.order, now, real)
        place = (int(LeafKind.STORAGE), row.operation, 0, contract, slot)
        air.receive(STORAGE, *place, cells.value, cells.warm, cells.order.before, count=real)
        air.send(STORAGE, *place, value, 1, now, count=real)


class Columns(OperationColumns):
    """One beacon-root write per row."""

    receipts = element("running hash of receipts", DIGEST, by=CHAIN_BUS)
    scope = element("scope of the block", by=_COMMITTED)
    time_slot = limb("slot of the timestamp", WORD, by=_COMMITTED)
    timestamp = limb("seconds since the epoch", WORD, by=_COMMITTED)
    root_slot = limb("slot of the root", WORD, by=_COMMITTED)
    root = limb("root of the parent's beacon block", WORD, by=_COMMITTED)
    states = element("hash states of the item, digest last", (BEACON_ITEM.blocks, DIGEST), by=POSEIDON_BUS)
    writes = nested(Write, "of the timestamp and of the root", 2)
    life_asked = element("how often it is asked whether an account lives", by="balance of the life bus")


class Beacon(Table):
    """Beacon-root writes."""

    name = "beacon"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        constrain_operation(air, BEACON_ITEM, row.time + BEACON_TIME, row.receipts, row.receipts)

        pairs = ((row.time_slot, row.timestamp), (row.root_slot, row.root))
        for k, (cells, (slot, value)) in enumerate(zip(row.writes, pairs, strict=True)):
            Write.constrain(air, cells, _CONTRACT, slot, value, row.time + (1 + k))
        air.require((1 - real) * row.life_asked, "padding answers nothing")
        nobody = [air.constant(0)] * ADDRESS
        air.provide(LIFE, row.operation, 0, nobody, 0, multiplicity=row.life_asked)


def fill(execution: Execution, life_asked: NDArray[np.uint32]) -> Matrix | None:
    """The segment's beacon-root writes; `life_asked` (n, 13): what is asked of the life bus."""
    local = np.flatnonzero(execution.kind == OperationKind.BEACON)
    if not len(local):
        return None
    numbers = local + execution.first
    items = operation_items(execution.batch)
    matrix, rows = allocate(Columns, len(numbers))
    fill_operation(rows, execution, numbers, items.beacons, execution.operations.row[numbers])
    rows.receipts = execution.batch.receipts.before_operation[numbers]
    view = StateView.of(execution)
    for k, cells in enumerate(rows.writes):
        access = view.block_writes(numbers, k)
        cells.value, cells.warm = access.value, access.warm
        TimeOrder.fill(cells.order, access.time, access.then)
    rows.life_asked = count_asked(numbers, life_asked[life_asked[:, 1] == 0, 0])
    return matrix


COMPONENTS = (Answering(Beacon(), LIFE, fill),)
