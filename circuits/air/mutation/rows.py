"""Mutations of one table: cells, several cells of a row, whole rows, selectors, public values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.mutation.judge import PUBLIC_ROW, Edit, Provided, TableRows
from circuits.air.mutation.repair import TRIES, repaired_rows

#: A row is dropped by moving up its successors only where there are at most this many.
_SHIFTED_ROWS = 32
#: The largest group of bits that is taken for flags, and pairs of other bits that are changed in a row.
_FLAGS = 16
_PAIRS = 64


@dataclass(frozen=True)
class Mutation:
    """One altered trace.

    Attributes:
        kind, table, row, description, old, new: see `Survivor`; the table by number.
        edits: the changed cells.
        reason: why the change is declared to be harmless, or None.
        provided: what a changed provided message means.
        may_be_inert: whether the row is padding, so that the change is inert if it causes no message.
    """

    kind: str
    table: int
    row: int | None
    description: str
    edits: tuple[Edit, ...]
    reason: str | None = None
    old: int | None = None
    new: int | None = None
    provided: Provided = Provided.LIE
    may_be_inert: bool = False

    def excuse(self, *, silent: bool, asks: bool) -> str | None:
        """Why the change may survive, or None; `silent`, `asks`: see `Verdicts`."""
        if self.reason is not None:
            return self.reason
        inert = self.may_be_inert and (silent or (self.kind == "repaired row" and asks))
        return INERT if inert else None


#: The excuse of a padding row without messages, and of one that asks where nobody asks it.
INERT = "nothing outside the row depends on it"


class Target:
    """A table to alter: its sampled rows, its real and padding rows, its columns."""

    def __init__(self, number: int, rows: TableRows, rows_per_table: int, rng: np.random.Generator) -> None:
        self.number, self.trace, self.rng = number, rows, rng
        self.table, self.matrix, self.height = rows.table, rows.matrix, rows.height
        self.cells = rows.cells
        self.selector = self.table.layout.offsets[self.table.selector] if self.table.selector else None
        self.real: list[bool] = (
            [True] * self.height if self.selector is None else (self.matrix[:, self.selector] != 0).tolist()
        )
        self.real_rows = [r for r in range(self.height) if self.real[r]]
        self.padding_rows = [r for r in range(self.height) if not self.real[r]]
        corners = [0, *self.real_rows[-1:], *self.padding_rows[:1], self.height - 1]
        self.rows = sorted(dict.fromkeys(corners))[:rows_per_table]
        others = [r for r in self.real_rows if r not in self.rows]
        more = min(len(others), rows_per_table - len(self.rows))
        if more > 0:
            self.rows = sorted([*self.rows, *rng.choice(others, more, replace=False).tolist()])

    def name(self, column: int) -> str:
        return self.cells[column].name

    def free(self, *columns: int) -> str | None:
        """Why these columns may change, if all of them may."""
        reasons = [self.cells[c].column.free for c in columns]
        return "; ".join(dict.fromkeys(r for r in reasons if r)) if all(reasons) else None

    def changes(self, row: int, column: int, new: int) -> tuple[Edit, ...]:
        """The edit of one cell to a value modulo the field; none when it holds that value."""
        value = new % MODULUS
        return () if value == self.matrix[row, column] else ((self.number, row, column, value),)

    def replaced(self, row: int, by: NDArray[np.uint32]) -> tuple[Edit, ...]:
        """The edits that replace a whole row."""
        return tuple((self.number, row, int(c), int(by[c])) for c in np.flatnonzero(by != self.matrix[row]))

    def inert(self, row: int) -> bool:
        return not self.real[row]


def row_mutations(target: Target, *, repairs: int = TRIES) -> Iterator[Mutation]:
    """All mutations of the table's own rows and public values, of repaired rows by so many tries."""
    yield from _cells(target)
    yield from _flags(target)
    yield from _rows(target)
    yield from _selector(target)
    yield from _public(target)
    yield from repaired_mutations(target, repairs)


def _cells(target: Target) -> Iterator[Mutation]:
    """Every column of every sampled row: single cells, and pairs of neighbouring cells."""
    width = target.table.width
    for row in target.rows:
        values = target.matrix[row].tolist()
        random = target.rng.integers(0, MODULUS, width).tolist()
        for c, old in enumerate(values):
            flipped = 1 - old if old < 2 else 0
            news = dict.fromkeys(v % MODULUS for v in (old + 1, old - 1, random[c], flipped, old + (1 << 16)))
            for new in news:
                if edits := target.changes(row, c, new):
                    yield Mutation(
                        "cell", target.number, row, target.name(c), edits, target.free(c), old, new,
                        may_be_inert=target.inert(row) and c != target.selector,
                    )  # fmt: skip
            if c + 1 == width:
                continue
            neighbour = values[c + 1]
            pairs = (
                ("swapped cells", neighbour, old),
                # The integer low + 2^16 high stays the same: only a range check can tell.
                ("carried cells", old + (1 << 16), neighbour - 1),
                ("carried cells", old - (1 << 16), neighbour + 1),
            )
            for kind, low, high in pairs:
                edits = target.changes(row, c, low) + target.changes(row, c + 1, high)
                if edits:
                    yield Mutation(
                        kind, target.number, row, f"{target.name(c)}, {target.name(c + 1)}", edits,
                        target.free(c, c + 1), may_be_inert=target.inert(row) and target.selector not in (c, c + 1),
                    )  # fmt: skip


def _flags(target: Target) -> Iterator[Mutation]:
    """Bits of a group set in another way, none, one or two of them; and two bits changed, wherever they are.

    Two flags that are set together may say what a third one does, if something only sees a sum of their numbers.
    """
    bits = [cell for cell in target.cells if cell.column.type is CellType.BIT]
    groups = [[cell.index for cell in group] for _, group in groupby(bits, key=lambda cell: id(cell.column))]
    patterns = [
        (group, set_)
        for group in groups
        if 2 <= len(group) <= _FLAGS
        for k in range(3)
        for set_ in combinations(group, k)
    ]
    columns = [cell.index for cell in bits]
    for row in target.rows:
        values = target.matrix[row]
        changes = [{column: int(column in set_) for column in group} for group, set_ in patterns]
        pairs = [
            target.rng.choice(columns, 2, replace=False).tolist() for _ in range(_PAIRS if len(columns) > 1 else 0)
        ]
        changes += [{column: int(values[column] == 0) for column in pair} for pair in pairs]
        for change in changes:
            edits = tuple(e for column, new in change.items() for e in target.changes(row, column, new))
            if len(edits) > 1:
                changed = [column for _, _, column, _ in edits]
                what = ", ".join(f"{target.name(column)} set to {new}" for _, _, column, new in edits)
                yield Mutation(
                    "flags", target.number, row, what, edits, target.free(*changed),
                    may_be_inert=target.inert(row) and target.selector not in changed,
                )  # fmt: skip


def _rows(target: Target) -> Iterator[Mutation]:
    """Rows swapped, dropped and replayed."""

    def moved(kind: str, row: int, description: str, edits: tuple[Edit, ...]) -> Iterator[Mutation]:
        if edits:
            yield Mutation(
                kind, target.number, row, description, edits, target.table.row_order, provided=Provided.MOVED
            )

    matrix, real = target.matrix, target.real_rows
    sampled = [r for r in target.rows if target.real[r]]
    padding = target.padding_rows[0] if target.padding_rows else None
    for row in sampled:
        others = [*target.real_rows[target.real_rows.index(row) + 1 :][:1], int(target.rng.choice(real))]
        for other in dict.fromkeys(r for r in others if r != row):
            both = target.replaced(row, matrix[other]) + target.replaced(other, matrix[row])
            yield from moved("swapped rows", row, f"swapped with row {other}", both)
            yield from moved("replayed row", other, f"replaced by row {row}", target.replaced(other, matrix[row]))
        if padding is not None:
            yield from moved("replayed row", padding, f"replaced by row {row}", target.replaced(padding, matrix[row]))
        filler = matrix[padding] if padding is not None else np.zeros(target.table.width, dtype=np.uint32)
        yield from moved("dropped row", row, "replaced by a padding row", target.replaced(row, filler))
    # Moving up changes all later rows, hence only rows near the end.
    end = real[-1] if real else 0
    for row in dict.fromkeys([end, max(0, end - 1), *(r for r in sampled if end - r <= _SHIFTED_ROWS)]):
        if target.real[row]:
            edits: tuple[Edit, ...] = ()
            for r in range(row, end + 1):
                successor = matrix[r + 1] if r + 1 < target.height else np.zeros(target.table.width, dtype=np.uint32)
                edits += target.replaced(r, successor)
            yield from moved("dropped row", row, "later rows moved up", edits)


def _selector(target: Target) -> Iterator[Mutation]:
    """Real rows turned into padding and padding rows turned real (by their selector alone and with all bits)."""
    selector = target.selector
    if selector is None:
        return
    bits = [c.index for c in target.cells if c.column.type is CellType.BIT]
    for row in target.rows:
        to = 1 - int(target.real[row])
        alone = target.changes(row, selector, to)
        reason = target.free(selector)
        yield Mutation("selector", target.number, row, f"{target.name(selector)} set to {to}", alone, reason)
        if target.real[row]:
            edits = tuple(e for c in bits if c != selector for e in target.changes(row, c, 0)) + alone
            yield Mutation("selector", target.number, row, "all bits set to 0", edits, reason)


def _public(target: Target) -> Iterator[Mutation]:
    """Each public value changed."""
    for cell in target.table.public.cells():
        old = int(target.trace.public[cell.index])
        random = int(target.rng.integers(0, MODULUS))
        for new in dict.fromkeys(((old + 1) % MODULUS, random)):
            if new != old:
                edit = (target.number, PUBLIC_ROW, cell.index, new)
                yield Mutation("public value", target.number, None, cell.name, (edit,), None, old, new)


def repaired_mutations(target: Target, tries: int, *, keep_bits: bool = True) -> Iterator[Mutation]:
    """Several cells of a row changed such that the row's constraints hold again; see `repaired_rows`."""
    for repaired in repaired_rows(target.trace, target.rows, target.rng, tries=tries, keep_bits=keep_bits):
        row, changed = repaired.row, repaired.changed
        edits = tuple(e for column, new in changed.items() for e in target.changes(row, column, new))
        what = ", ".join(f"{target.name(c)} {target.matrix[row, c]} -> {new}" for c, new in changed.items())
        yield Mutation(
            "repaired row",
            target.number,
            row,
            what,
            edits,
            target.free(*changed),
            provided=Provided.OTHER_TRUTH,
            may_be_inert=target.inert(row),
        )
