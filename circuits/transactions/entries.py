"""Rows for the entries of lists that transactions have: access lists and authorizations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from circuits.batch.execution import Execution, Integers, ranges
from circuits.batch.item_lists import Entries


class EntryRows(NamedTuple):
    """Which entries a segment's transactions have, all (n,).

    Attributes:
        entry: the entry, among those of the batch.
        place: entries before it in its list.
        owner: its transaction, among those of the segment.
    """

    entry: Integers
    place: Integers
    owner: Integers

    @classmethod
    def of(cls, execution: Execution, entries: Entries) -> EntryRows:
        """Those of a segment."""
        counts = entries.counts[execution.transactions]
        return cls(
            ranges(entries.starts[execution.transactions], counts),
            ranges(np.zeros(len(counts), dtype=np.int64), counts),
            np.repeat(np.arange(len(counts)), counts),
        )


def fill_entries(rows: Any, execution: Execution, entries: Entries, own: EntryRows) -> None:
    """What rows of every kind of list have: whose they are, the item with its states, and the running hash."""
    operation = execution.transaction_operations[own.owner]
    rows.real = 1
    rows.operation = operation
    rows.scope = execution.operations.scope[execution.operations.block[operation]]
    after = entries.after[own.entry]
    rows.after = after
    rows.before = np.where((own.place == 0)[:, None], entries.start, np.roll(after, 1, axis=0))
    for name, column in entries.items.fields.items():
        setattr(rows, name, column[own.entry])
    rows.states = entries.items.states[own.entry]
