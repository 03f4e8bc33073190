"""Changes of filled tables, many at a time: those of the mutation harness, guided ones beside them, second witnesses.

A change is a set of cells, judged on the rows that it can reach (`circuits.air.mutation.judge`). A query that a filled
table can answer is answered, so that function tables follow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from circuits.air.bus import BusKind
from circuits.air.expression import Op
from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.mutation.answers import answer_mutations
from circuits.air.mutation.judge import PUBLIC_ROW, Edit, Objection, Provided, TableRows, Verdicts, support
from circuits.air.mutation.messages import followed, message_mutations
from circuits.air.mutation.rows import Mutation, Target, repaired_mutations, row_mutations
from circuits.air.table import Table
from scripts.campaign.bounds import bounded_time
from scripts.campaign.chaining import refused, stating
from scripts.campaign.changes import Change
from scripts.campaign.settling import settled_mutations, started_mutations
from scripts.campaign.target import Honest, compiled, is_function

#: Cells of a table that are changed in one go, about, in at most so many rows, one of them that of so many rows which
#: has the most zeros; rows that are repaired, and tries with bits that stay bits, and with bits that become anything.
_CELLS = 800
_ROWS = 8
_DRAWN = 64
_REPAIRED = 4
_REPAIRS = 200
#: Changes of one go at most, and of a table that only lists constants: its columns are counts, all alike.
_TRIED = 8000
_COUNTS = 300
#: Seconds of one search for second witnesses.
_SEARCHING = 3.0
#: Changes of one go that other rows follow, and how far.
_FOLLOWED = 60
_DEPTH = 2
#: Rejected changes of which all objections are noted, and how often that is done.
_EXAMINED = 80
_EXAMINATIONS = 1 / 3
#: Changes of one go to which others of the same row are sought; fewer where a row has many expression nodes.
_SETTLED = 120
_NODES = 400_000
#: How `answer_mutations` describes another answer to a question that has several.
_OTHER_ANSWER = "another answer on"
#: Guided changes of one row, and answers of a row of padding.
_GUIDED = 400
_ANSWERS = 8


@dataclass
class Judged:
    """What came of many changes: how many, of which columns (table, column), who objected, and what survived."""

    tried: int = 0
    columns: set[tuple[str, str]] = field(default_factory=set)
    objections: list[frozenset[Objection]] = field(default_factory=list)
    survivors: list[Mutation] = field(default_factory=list)


#: The kinds of changes of a table, which take turns: cells and rows as they are, several cells that satisfy the row's
#: constraints, cells with what answers to lookups they make, messages at both ends.
KINDS = ("plain", "repaired", "answers", "messages")


def kinds_of(table: Table) -> list[str]:
    """The kinds of changes that a table can suffer: of one that lists constants only the counts change."""
    interactions = table.air.interactions
    permutes = any(i.bus.kind is BusKind.PERMUTATION for i in interactions)
    asks = any(i.bus.kind is not BusKind.PERMUTATION and not i.provides for i in interactions)
    may = {"plain": True, "repaired": bool(table.air.constraints), "answers": asks, "messages": permutes}
    return [kind for kind in KINDS if may[kind]]


def change_cells(rng: np.random.Generator, honest: Honest, number: int, kind: str) -> Judged:
    """Change cells, rows, messages and public values of one table, by its number, in one of the `KINDS` of ways."""
    judge = honest.judge
    target = Target(number, judge.table(number), 1, rng)
    rows = _REPAIRED if kind == "repaired" else min(_ROWS, 1 + _CELLS // target.table.width)
    target.rows = _sample(target, rows)
    mutations: Iterator[Mutation]
    if kind == "plain":
        mutations = chain(row_mutations(target, repairs=0), _guided(target))
    elif kind == "repaired":
        repaired = list(chain.from_iterable(repaired_mutations(target, _REPAIRS, keep_bits=b) for b in (True, False)))
        mutations = chain(repaired, _settled(target, repaired))
    elif kind == "answers":
        answered = list(answer_mutations(honest.known, target))
        # Where a question has several answers, another one may call for other cells.
        others = [mutation for mutation in answered if mutation.description.startswith(_OTHER_ANSWER)]
        mutations = chain(answered, _settled(target, [*others, *started_mutations(target)]))
    else:
        mutations = message_mutations(judge, honest.matches, target)
    limit = _COUNTS if kinds_of(target.table) == ["plain"] else _TRIED
    tried = _some(rng, [m for m in mutations if m.edits], limit)
    judged = Judged()
    for _ in range(1 + _DEPTH):
        unbalanced = _judge(rng, honest, tried, judged)
        # First those that change several cells of bounded columns: single ones are moved at both ends as they are.
        rng.shuffle(unbalanced)
        unbalanced.sort(key=lambda m: len(m.edits) == 1 or _is_unbounded(honest, m))
        tried = list(followed(judge, honest.matches, unbalanced[:_FOLLOWED]))
    return judged


def _some(rng: np.random.Generator, mutations: Sequence[Mutation], limit: int) -> list[Mutation]:
    """At most `limit` of these mutations: of every kind as many as of the others, as far as there are so many."""
    of_kind: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in mutations:
        of_kind[mutation.kind].append(mutation)
    chosen: list[Mutation] = []
    for number, group in enumerate(sorted(of_kind.values(), key=len)):
        share = (limit - len(chosen)) // (len(of_kind) - number)
        chosen += [group[index] for index in rng.permutation(len(group))[:share]]
    return chosen


def _is_unbounded(honest: Honest, mutation: Mutation) -> bool:
    """Whether a column is among those changed that may hold any element of the field."""
    return any(honest.judge.table(t).cell(row, c).column.type is CellType.FIELD for t, row, c, _ in mutation.edits)


def search_witnesses(rng: np.random.Generator, honest: Honest, number: int) -> Judged:
    """Search one table, by its number, for second witnesses."""
    rows = honest.judge.table(number)
    target = Target(number, rows, 1, rng)
    found = []
    compiled()
    for row in _sample(target, 1):
        for lookups in ("held", "free"):
            window = 2 if rows.height > 1 and rng.random() < 0.5 else 1
            try:
                with bounded_time(_SEARCHING):
                    outcome = honest.witnesses.search(rows.table.name, row, rng, lookups=lookups, window=window)
            except TimeoutError:
                continue
            for direction in outcome.directions:
                edits = tuple((number, c.row, c.column, c.new) for c in direction.changes)
                found.append(Mutation("second witness", number, row, str(direction), edits))
    judged = Judged(tried=1)
    _judge(rng, honest, found, judged)
    return judged


def edits_of(honest: Honest, changes: Sequence[Change]) -> tuple[Edit, ...]:
    """Changes of tables as the judge takes them.

    Raises:
        LookupError: a table is absent, or has no such cell.
    """
    edits = []
    present = dict(honest.judge.present())
    for change in changes:
        number = honest.target.circuit.names.index(change.place.removeprefix("table "))
        if number not in present:
            raise LookupError(f"there is no table for this: {change}")
        rows = honest.judge.table(number)
        public = change.row == PUBLIC_ROW
        names = (rows.table.public if public else rows.table.layout).names()
        if change.column not in names or not (public or change.row < rows.height):
            raise LookupError(f"nothing there: {change}")
        edits.append((number, change.row, names.index(change.column), change.value % MODULUS))
    return tuple(edits)


def changes_of(honest: Honest, edits: Sequence[Edit]) -> tuple[Change, ...]:
    """The inverse of `edits_of`."""
    return tuple(
        Change(f"table {rows.table.name}", row, rows.cell(row, column).name, 0, value)
        for number, row, column, value in edits
        for rows in [honest.judge.table(number)]
    )


def survives(honest: Honest, edits: Sequence[Edit], kind: str, provided: Provided) -> bool:
    """Whether these changes survive as a mutation of this kind, and nothing excuses them."""
    judge = honest.judge
    edits = tuple(e for e in edits if e[3] != cell_of(honest, e))
    if not edits:
        return False
    verdicts = judge.judge([edits], provided=provided)
    on_rows = [e for e in edits if e[1] != PUBLIC_ROW]
    free = all(judge.table(t).cell(row, column).column.free for t, row, column, _ in edits)
    moved = provided is Provided.MOVED and all(judge.table(t).table.row_order for t, *_ in edits)
    padding = len(on_rows) == len(edits) and all(_is_padding(honest, e) for e in edits)
    mutation = Mutation(kind, edits[0][0], None, "", edits, "declared" if free or moved else None, may_be_inert=padding)
    return bool(verdicts.survives[0]) and not _is_excused(honest, mutation, verdicts, 0)


def _is_excused(honest: Honest, mutation: Mutation, verdicts: Verdicts, index: int) -> bool:
    """Whether a surviving mutation is one that may survive.

    Beside what the harness excuses these are changes of rows that do no more than ask, before and after, such as the
    row of a block that nobody asks for: nothing outside of them depends on what they hold, if no other row does (see
    `_matters`). And changes of rows of functions that come to state another truth, such as another product of 0. What a
    segment states is compared with what the verifier knows, and the parts of a run with each other.
    """
    asks = bool(verdicts.asks[index])
    if mutation.excuse(silent=bool(verdicts.silent[index]), asks=asks) is not None or _is_refused(honest, mutation):
        return True
    if asks:
        return not any(_matters(honest, edit) for edit in mutation.edits)
    return mutation.provided is Provided.LIE and _is_true(honest, mutation)


def _is_refused(honest: Honest, mutation: Mutation) -> bool:
    """Whether the verifier refuses what a segment states, with the other parts of its run as they are."""
    stated = [edit for edit in mutation.edits if edit[1] == PUBLIC_ROW]
    if not stated:
        return False
    parts = list(honest.parts)
    for number, _, column, value in stated:
        table = honest.judge.table(number).table
        parts[honest.number] = stating(parts[honest.number], table.name, table.public.names()[column], value)
    return bool(refused(honest.parts, parts, honest.target))


def _is_true(honest: Honest, mutation: Mutation) -> bool:
    """Whether only tables of functions change, and what they provide then is what they are honestly filled with."""
    said = 0
    for number in {edit[0] for edit in mutation.edits}:
        rows = honest.judge.table(number)
        if not is_function(rows.table) or any(edit[1] == PUBLIC_ROW for edit in mutation.edits):
            return False
        altered = rows.matrix.copy()
        for t, row, column, value in mutation.edits:
            if t == number:
                altered[row, column] = value
        lying = TableRows(rows.table, altered, [])
        for n, interaction in enumerate(rows.interactions):
            provides = lying.counts[n] != 0 if interaction.provides else np.zeros(rows.height, dtype=np.bool_)
            changed = provides & (lying.messages[n] != rows.messages[n]).any(axis=1)
            for message in lying.messages[n][changed]:
                if message.tobytes() not in honest.answers(interaction.bus, message):
                    return False
                said += 1
    return said > 0


def _matters(honest: Honest, edit: Edit) -> bool:
    """Whether the honest row of an edit sends, receives or answers anything; public values always matter.

    Of rows that follow each other for a message that one of them sends or receives, such as the equations of a program,
    all that are real matter.
    """
    number, row, *_ = edit
    rows = honest.judge.table(number)
    if row == PUBLIC_ROW:
        return True
    selector = rows.table.selector
    if selector is not None and rows.matrix[row, rows.table.layout.offsets[selector]]:
        permutes = any(i.bus.kind is BusKind.PERMUTATION for i in rows.interactions)
        if permutes and rows.only_next(rows.constraints):
            return True
    return any(
        rows.counts[n][row] != 0
        for n, interaction in enumerate(rows.interactions)
        if interaction.provides or interaction.bus.kind is BusKind.PERMUTATION
    )


def cell_of(honest: Honest, edit: Edit) -> int:
    """What the edited cell holds in the honest tables."""
    number, row, column, _ = edit
    rows = honest.judge.table(number)
    return int(rows.public[column] if row == PUBLIC_ROW else rows.matrix[row, column])


def _is_padding(honest: Honest, edit: Edit) -> bool:
    """Whether the edited row is padding, and stays it."""
    number, row, column, _ = edit
    rows = honest.judge.table(number)
    selector = rows.table.selector
    if selector is None:
        return False
    at = rows.table.layout.offsets[selector]
    return column != at and not rows.matrix[row, at]


def _sample(target: Target, count: int) -> list[int]:
    """So many rows at random, if there are as many, now and then borders and padding among them.

    One of several is a row with many zeros: products of zeros bind nothing, so a lie others object to may pass.
    """
    rng = target.rng
    real, padding = target.real_rows, target.padding_rows
    rows = real or padding
    chosen = rng.choice(rows, min(count, len(rows)), replace=False).tolist()
    if len(chosen) > 1:
        drawn = rng.choice(rows, min(_DRAWN, len(rows)), replace=False)
        chosen[0] = int(drawn[np.argmin(np.count_nonzero(target.matrix[drawn], axis=1))])
    if rng.random() < 1 / 3:
        chosen[-1] = int(rng.choice([0, *real[-1:], *padding[:1], *padding[-1:]]))
    return sorted(set(chosen))


def _judge(rng: np.random.Generator, honest: Honest, mutations: Sequence[Mutation], judged: Judged) -> list[Mutation]:
    """Judge these mutations; returns those that nothing but permutation buses reject."""
    judge, unbalanced = honest.judge, []
    judged.tried += len(mutations)
    for mutation in mutations:
        for t, row, column, _ in mutation.edits:
            rows = judge.table(t)
            judged.columns.add((rows.table.name, rows.cell(row, column).name))
    for provided in Provided:
        group = [m for m in mutations if m.provided is provided]
        if not group:
            continue
        verdicts = judge.judge([m.edits for m in group], provided=provided)
        unbalanced += [group[index] for index in np.flatnonzero(verdicts.unbalanced)]
        for index in np.flatnonzero(verdicts.survives):
            mutation = group[index]
            if not _is_excused(honest, mutation, verdicts, int(index)):
                judged.survivors.append(mutation)
        rejected = np.flatnonzero(~verdicts.survives)
        if not len(rejected) or rng.random() > _EXAMINATIONS:
            continue
        chosen = rng.choice(rejected, min(len(rejected), _EXAMINED), replace=False)
        found = judge.objections([group[index].edits for index in chosen], provided=provided)
        judged.objections += map(frozenset, found)
    return unbalanced


def _guided(target: Target) -> Iterator[Mutation]:
    """Changes by the declarations of the columns: what another row holds, extremes, carries between neighbours."""
    rng, matrix, cells = target.rng, target.matrix, target.cells
    width = target.table.width
    parts = target.table.layout.parts
    yield from _answering_padding(target)
    for row in target.rows:
        for name, part in parts.items():
            start = target.table.layout.offsets[name]
            other = int(rng.choice(target.real_rows or [row]))
            edits = tuple(
                e for c in range(start, start + part.size) for e in target.changes(row, c, int(matrix[other, c]))
            )
            yield _mutation(target, "stale cells", row, f"{name} as in row {other}", edits)
        for c in rng.choice(width, min(width, _GUIDED), replace=False).tolist():
            old, bound = int(matrix[row, c]), cells[c].column.type.bound
            for new in {-1, bound - 1, old + bound, int(matrix[row, rng.integers(width)])}:
                edits = target.changes(row, c, new)
                yield _mutation(target, "extreme cell", row, f"{target.name(c)} said to be {new % MODULUS}", edits)
            if c + 1 == width or cells[c].column.type is CellType.BIT:
                continue
            # The sum of two elements stays, or the number that two bytes make; limbs are the harness's own.
            carried = {CellType.FIELD: 1, CellType.BYTE: bound}.get(cells[c].column.type, 0)
            for carry in (1, -1) if carried else ():
                low, high = old + carry * carried, int(matrix[row, c + 1]) - carry
                edits = target.changes(row, c, low) + target.changes(row, c + 1, high)
                yield _mutation(target, "carried cells", row, f"{target.name(c)}, {target.name(c + 1)}", edits)


def _settled(target: Target, mutations: Sequence[Mutation]) -> Iterator[Mutation]:
    """Some of these mutations, with what else of their rows must change."""
    most = min(_SETTLED, _NODES // len(target.trace.graph.nodes))
    chosen = target.rng.permutation(len(mutations))[:most]
    return settled_mutations(target, [mutations[index] for index in sorted(chosen.tolist())])


def _answering_padding(target: Target) -> Iterator[Mutation]:
    """A padding row that answers once, what it holds or what a real row does but for one cell."""
    rng, graph = target.rng, target.trace.graph
    if not target.padding_rows:
        return
    padding, real = (int(rng.choice(rows)) for rows in (target.padding_rows, target.real_rows or target.padding_rows))
    for interaction in target.trace.interactions:
        count = support(graph, interaction.count.index)
        if not interaction.provides or len(count) != 1:
            continue
        said = sorted({c for e in interaction.message for op, c in support(graph, e.index) if op is Op.LOCAL})
        for column in rng.choice(said, min(len(said), _ANSWERS), replace=False).tolist():
            for held in (padding, real):
                cells = {c: int(target.matrix[held, c]) for c in said} | {count[0][1]: 1}
                cells[column] = cells[column] + 1
                edits = tuple(e for c, value in cells.items() for e in target.changes(padding, c, value))
                what = f"answers on {interaction.bus.name} with another {target.name(column)}"
                yield _mutation(target, "answering padding", padding, what, edits)


def _mutation(target: Target, kind: str, row: int, what: str, edits: tuple[Edit, ...]) -> Mutation:
    columns = [column for _, _, column, _ in edits]
    inert = target.inert(row) and target.selector not in columns
    reason = target.free(*columns) if columns else None
    return Mutation(kind, target.number, row, what, edits, reason, may_be_inert=inert)
