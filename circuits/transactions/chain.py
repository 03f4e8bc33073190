"""An operation's place in the batch: what a row of every kind of operation says on the chain bus."""

from __future__ import annotations

from typing import Any

from circuits.air.expression import Expression
from circuits.air.layout import Layout, bit, element
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers
from circuits.batch.item_lists import ItemColumns
from circuits.batch.operation_items import operation_items
from circuits.hashing import constrain_compress, constrain_item
from circuits.statement import Item
from circuits.transactions.buses import CHAIN
from circuits.widths import DIGEST

CHAIN_BUS = "chain bus"
POSEIDON_BUS = "poseidon2 bus"


class OperationColumns(Layout):
    """An operation before what it does."""

    real = bit("1 on rows that stand for an operation")
    operation = element("number in the batch, below 2^24", by=CHAIN_BUS)
    time = element("time at which it begins", by=CHAIN_BUS)
    operations_in = element("running hash of operations before", DIGEST, by=CHAIN_BUS)
    operations_out = element("running hash of operations behind", DIGEST, by=POSEIDON_BUS)


def constrain_operation(air: Air, item: Item, end: Expression, receipts_in: Any, receipts_out: Any) -> None:
    """The row's item is the next operation, which ends at `end` and leaves these running hashes of receipts.

    The row's layout derives from `OperationColumns` and has columns for the item's fields and its hash states.
    """
    row, real = air.row, air.row.real
    fields = {name: getattr(row, name) for name, _ in item.fields}
    constrain_item(air, item, row.states, count=real, **fields)
    constrain_compress(air, row.operations_in, row.states[-1], row.operations_out, count=real)
    air.receive(CHAIN, row.operation, row.time, row.operations_in, receipts_in, count=real)
    air.send(CHAIN, row.operation + 1, end, row.operations_out, receipts_out, count=real)


def fill_operation(rows: Any, execution: Execution, numbers: Integers, items: ItemColumns, own: Integers) -> None:
    """The columns of these operations (n,), whose items are the rows `own` (n,)."""
    rows.real = 1
    rows.operation = numbers
    rows.time = execution.begin_time[numbers - execution.first]
    chain = operation_items(execution.batch).chain
    rows.operations_in, rows.operations_out = chain[numbers], chain[numbers + 1]
    for name, column in items.fields.items():
        setattr(rows, name, column[own])
    rows.states = items.states[own]
