"""The judge of altered traces: which sets of changed cells does something reject?

Only the rows that a change can reach are evaluated, the altered rows and their predecessors, many of them at once.

Rejected is a change after which a constraint does not vanish, a permutation bus does not balance, or a query is not
among the provided messages. What a change of a provided message means depends on the mutation: see `Provided`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus, BusKind
from circuits.air.checker import PublicValues, Trace, check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import Algebra, Native, Rows, evaluate
from circuits.air.expression import Graph, Op
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import Cell
from circuits.air.table import Table

#: The "row" of an edit whose column is a public value.
PUBLIC_ROW = -1

#: Constraints are evaluated in stages by their size in nodes: booleans alone reject most changes of bits.
_STAGES = (8, 64)
#: Bounds of one evaluation: bytes of intermediate values, and rows (larger blocks leave the processor's cache).
_BLOCK_BYTES = 1 << 28
_BLOCK_ROWS = 4096

#: A changed cell: table, row (or `PUBLIC_ROW`), column, new value.
Edit = tuple[int, int, int, int]
Indices = NDArray[np.int64]


class Provided(Enum):
    """What a change of a message provided on a lookup bus means."""

    #: Nothing: a single cell cannot turn one true statement into another, and who can provide a false one can have it
    #: queried as well, since multiplicities are a liar's to choose. Rejected are only a multiplicity changed on its
    #: own, and a message that another row provides, which is a true one.
    LIE = "lie"
    #: Whole rows move, so the provided messages must balance like all others.
    MOVED = "moved"
    #: It is rejected: the row may state another truth, which nobody asks for.
    OTHER_TRUTH = "other truth"


@dataclass(frozen=True)
class Verdicts:
    """For each set of edits: does it survive, and what of the edited rows' messages?

    Attributes:
        survives: nothing rejects it.
        silent: the edited rows have no message, neither before nor after.
        asks: no message changes but queries.
        unbalanced: what rejects it are permutation buses alone: other rows would have to follow.
    """

    survives: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    asks: NDArray[np.bool_]
    unbalanced: NDArray[np.bool_]


class Objection(NamedTuple):
    """What rejects a change: a constraint (`fields` is empty), or a bus by those fields of a message that changed.

    `fields` of a message whose count changed instead are `COUNT` alone.
    """

    table: str
    name: str
    fields: tuple[str, ...] = ()


#: Stands for the count of a message among the names of its fields.
COUNT = "count"


class TableRows:
    """One table with its honest trace: evaluates altered rows."""

    def __init__(self, table: Table, matrix: Matrix, public: Sequence[int]) -> None:
        self.table = table
        self.matrix = np.ascontiguousarray(matrix, dtype=np.uint32)
        self.height = len(matrix)
        self.public = np.array(public, dtype=np.uint32)
        self.cells: list[Cell] = list(table.layout.cells())
        self._public_cells = list(table.public.cells())
        self.graph = table.air.graph
        self.constraints = [c.expression.index for c in table.air.constraints]
        self.interactions = table.air.interactions
        sizes, reads_next = _node_properties(self.graph)
        self._reads_next = reads_next
        stage_of = np.searchsorted(_STAGES, [sizes[i] for i in self.constraints])
        self.stages = [
            [i for i, s in zip(self.constraints, stage_of, strict=True) if s == stage]
            for stage in range(len(_STAGES) + 1)
        ]
        nodes = [e.index for i in self.interactions for e in (i.count, *i.message)]
        self.block = max(
            1, min(_BLOCK_ROWS, _BLOCK_BYTES // (8 * (_peak_live(self.graph, self.constraints + nodes) + 1)))
        )
        every = np.arange(self.height)
        self.counts: list[NDArray[np.uint32]] = []
        self.messages: list[NDArray[np.uint32]] = []
        for interaction in self.interactions:
            self.counts.append(np.zeros(self.height, dtype=np.uint32))
            self.messages.append(np.zeros((self.height, len(interaction.message)), dtype=np.uint32))
        for at in _blocks(every, self.block):
            rows = Rows(self.matrix[at], self.matrix[(at + 1) % self.height], *self.ends(at), self.public)
            values = evaluate(self.graph, rows, nodes)
            for counts, messages, interaction in zip(self.counts, self.messages, self.interactions, strict=True):
                counts[at] = values[interaction.count.index]
                for k, expression in enumerate(interaction.message):
                    messages[at, k] = values[expression.index]

    def cell(self, row: int, column: int) -> Cell:
        """The declaration of a cell, or of a public value if the row is `PUBLIC_ROW`."""
        return (self._public_cells if row == PUBLIC_ROW else self.cells)[column]

    def only_next(self, nodes: Sequence[int]) -> list[int]:
        """Those of the nodes that depend on the successor row."""
        return [i for i in nodes if self._reads_next[i]]

    def interaction_reads_next(self, number: int) -> bool:
        """Whether a message or its count depends on the successor row."""
        interaction = self.interactions[number]
        return any(self._reads_next[e.index] for e in (interaction.count, *interaction.message))

    def providable(self, number: int) -> NDArray[np.bool_]:
        """On which rows the message of an interaction that provides can be provided, asked for or not, (height,).

        These are the rows where it is, and those where it could be: where no constraint objects to a multiplicity of 1.
        """
        provided: NDArray[np.bool_] = self.counts[number] != 0
        count = support(self.graph, self.interactions[number].count.index)
        if len(count) != 1 or count[0][0] is not Op.LOCAL:
            return np.ones_like(provided)  # a multiplicity that is no cell of its own
        if not self.constraints:
            return np.ones_like(provided)  # such as of a listing, which provides hundreds of messages
        depends = _depends_on(self.graph, count[0])
        constraints = [i for i in self.constraints if depends[i]]
        for at in _blocks(np.flatnonzero(~provided), self.block):
            local = self.matrix[at]
            local[:, count[0][1]] = 1
            following = self.matrix[(at + 1) % self.height]
            rows = Rows(local, following, *self.ends(at), self.public)
            values = evaluate(self.graph, rows, constraints)
            provided[at] = np.all([values[i] == 0 for i in constraints], axis=0) if constraints else True
        return provided

    def ends(self, rows: Indices) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The selectors of the first and of the last row."""
        return (rows == 0).astype(np.uint32), (rows == self.height - 1).astype(np.uint32)


class _Altered:
    """The rows of one table that a batch of edits reaches.

    A key is `sample * height + row`. `edited` are the keys of altered rows (all rows where a public value changes),
    `before` those of unaltered rows whose successor is altered.
    """

    def __init__(self, rows: TableRows, edits: NDArray[np.int64], samples: int) -> None:
        self.rows = rows
        height = rows.height
        on_row = edits[edits[:, 1] != PUBLIC_ROW]
        self._public_edits = edits[edits[:, 1] == PUBLIC_ROW]
        keys = on_row[:, 0] * height + on_row[:, 1]
        earlier = on_row[:, 0] * height + (on_row[:, 1] - 1) % height
        self._local = _sorted_edits(keys, on_row)
        self._next = _sorted_edits(earlier, on_row)
        whole = np.unique(self._public_edits[:, 0])
        self.edited = np.union1d(keys, (whole[:, None] * height + np.arange(height)).reshape(-1))
        self.before = np.setdiff1d(earlier, self.edited)
        self._public = np.zeros(samples, dtype=np.int64) - 1
        self._public[whole] = np.arange(len(whole))
        self._public_values = np.tile(rows.public, (len(whole), 1))
        self._public_values[self._public[self._public_edits[:, 0]], self._public_edits[:, 2]] = self._public_edits[:, 3]

    def blocks(self, keys: Indices, alive: NDArray[np.bool_]) -> Iterator[tuple[Indices, Rows]]:
        """The altered contents of the rows with these keys, in blocks, leaving out rejected samples."""
        rows, height = self.rows, self.rows.height
        for block in _blocks(keys[alive[keys // height]], rows.block):
            at = block % height
            local = rows.matrix[at]
            following = rows.matrix[(at + 1) % height]
            _apply(local, block, *self._local)
            _apply(following, block, *self._next)
            public: NDArray[np.uint32] = rows.public
            if len(self._public_values):
                own = self._public[block // height]
                public = np.where((own >= 0)[:, None], self._public_values[own], rows.public)
            yield block, Rows(local, following, *rows.ends(at), public)


class Judge:
    """Judges many independent sets of edits against one honest proof."""

    def __init__(
        self,
        circuit: Circuit,
        traces: Sequence[Trace],
        public_values: PublicValues,
        *,
        algebra: Algebra | Native | None = None,
    ) -> None:
        """Raises ValueError when the traces are not honest (by this algebra): a change of them would prove nothing."""
        findings = check_circuit(circuit, traces, public_values, limit=1, algebra=algebra)
        if findings:
            raise ValueError(f"mutation starts from honest traces: {findings[0]}")
        self._tables = [
            None if trace is None else TableRows(table, trace, public)
            for table, trace, public in zip(circuit.tables, traces, public_values, strict=True)
        ]
        self._provided: dict[int, set[bytes]] = defaultdict(set)
        for _, rows in self.present():
            for number, interaction in enumerate(rows.interactions):
                if interaction.provides:
                    messages = rows.messages[number][rows.providable(number)]
                    self._provided[interaction.bus.index].update(m.tobytes() for m in messages)

    def present(self) -> Iterator[tuple[int, TableRows]]:
        """The tables that are not absent, with their numbers."""
        return ((t, rows) for t, rows in enumerate(self._tables) if rows is not None)

    def table(self, number: int) -> TableRows:
        """One table.

        Raises:
            ValueError: it is absent.
        """
        rows = self._tables[number]
        if rows is None:
            raise ValueError(f"table {number} is absent")
        return rows

    def provided(self, bus: Bus) -> set[bytes]:
        """All messages that are, or could be, provided on a lookup bus."""
        return self._provided[bus.index]

    def judge(self, samples: Sequence[Sequence[Edit]], *, provided: Provided = Provided.LIE) -> Verdicts:
        """Verdicts on each sample.

        Args:
            samples: sets of edits; each is judged on its own.
            provided: what a changed provided message means.
        """
        count = len(samples)
        altered = self._altered(samples)
        alive = np.ones(count, dtype=np.bool_)
        silent = np.ones(count, dtype=np.bool_)
        asks = np.ones(count, dtype=np.bool_)
        for stage in range(len(_STAGES) + 1):
            for a in altered:
                _reject_by_constraints(a, stage, alive)
        ledger = _Ledger()
        for a in altered:
            self._examine_messages(a, alive, silent, asks, ledger, provided)
        before = alive.copy()
        ledger.reject(alive)
        return Verdicts(alive, silent, asks, before & ~alive)

    def objections(
        self, samples: Sequence[Sequence[Edit]], *, provided: Provided = Provided.LIE
    ) -> list[set[Objection]]:
        """All that rejects each sample; empty for those that survive. `judge` stops at the first objection instead."""
        count = len(samples)
        found: list[set[Objection]] = [set() for _ in range(count)]
        ledger, witness = _Ledger(), _Witness(found)
        for a in self._altered(samples):
            for sample, constraint in _violations(a, np.ones(count, dtype=np.bool_)):
                found[sample].add(Objection(a.rows.table.name, a.rows.table.air.constraints[constraint].name))
            everyone, silent, asks = np.ones((3, count), dtype=np.bool_)
            self._examine_messages(a, everyone, silent, asks, ledger, provided, witness)
        for sample, bus in ledger.unbalanced():
            found[sample] |= witness.told[sample, bus]
        return found

    def _altered(self, samples: Sequence[Sequence[Edit]]) -> list[_Altered]:
        """The samples table by table."""
        flat = [(s, *edit) for s, edits in enumerate(samples) for edit in edits]
        edits = np.array(flat, dtype=np.int64).reshape(-1, 5)
        return [
            _Altered(self.table(t), edits[edits[:, 1] == t][:, [0, 2, 3, 4]], len(samples))
            for t in np.unique(edits[:, 1])
        ]

    def _examine_messages(
        self,
        altered: _Altered,
        alive: NDArray[np.bool_],
        silent: NDArray[np.bool_],
        asks: NDArray[np.bool_],
        ledger: _Ledger,
        provided: Provided,
        witness: _Witness | None = None,
    ) -> None:
        rows = altered.rows
        everything = list(range(len(rows.interactions)))
        reads_next = [i for i in everything if rows.interaction_reads_next(i)]
        for keys, numbers, is_edited in ((altered.edited, everything, True), (altered.before, reads_next, False)):
            nodes = [e.index for i in numbers for e in (rows.interactions[i].count, *rows.interactions[i].message)]
            if not nodes:
                continue
            for block, content in altered.blocks(keys, alive):
                values = evaluate(rows.graph, content, nodes)
                sample, at = block // rows.height, block % rows.height
                for number in numbers:
                    interaction = rows.interactions[number]
                    count = np.broadcast_to(values[interaction.count.index], at.shape).astype(np.uint32)
                    message = np.empty((len(at), len(interaction.message)), dtype=np.uint32)
                    for k, expression in enumerate(interaction.message):
                        message[:, k] = values[expression.index]
                    old_count, old_message = rows.counts[number][at], rows.messages[number][at]
                    speaks = (count != 0) | (old_count != 0)
                    other_message = (message != old_message).any(axis=1)
                    changed = np.flatnonzero((count != old_count) | (other_message & speaks))
                    silent[sample[speaks if is_edited else changed]] = False
                    bus = interaction.bus.index
                    if interaction.bus.kind is BusKind.PERMUTATION or interaction.provides:
                        asks[sample[changed]] = False
                    balances = interaction.bus.kind is BusKind.PERMUTATION or (
                        interaction.provides and provided is Provided.MOVED
                    )
                    if witness:
                        witness.look(rows.table.name, interaction.bus, sample, changed, old_message, message, balances)
                    if balances:
                        ledger.add(bus, sample[changed], old_message[changed], -old_count[changed].astype(np.int64))
                        ledger.add(bus, sample[changed], message[changed], count[changed].astype(np.int64))
                    elif interaction.provides:
                        if provided is Provided.LIE:
                            # What another row provides, too, is true.
                            listed = self._provided[bus]
                            new = np.fromiter(
                                (m.tobytes() not in listed for m in message[changed]), np.bool_, len(changed)
                            )
                            other_message[changed] &= new
                            changed = changed[~other_message[changed]]
                        if witness:
                            witness.object(changed)
                        alive[sample[changed]] = False
                    else:
                        asked = changed[count[changed] != 0]
                        listed = self._provided[bus]
                        known = np.fromiter((m.tobytes() in listed for m in message[asked]), np.bool_, len(asked))
                        if witness:
                            witness.object(asked[~known])
                        alive[sample[asked[~known]]] = False


class _Witness:
    """Takes down which messages a change alters, and which of them are rejected."""

    def __init__(self, found: list[set[Objection]]) -> None:
        self._found = found
        #: Of each sample and permutation bus: all altered messages, which object together if they do not balance.
        self.told: dict[tuple[int, int], set[Objection]] = defaultdict(set)

    def look(
        self,
        table: str,
        bus: Bus,
        sample: Indices,
        changed: Indices,
        old: NDArray[np.uint32],
        new: NDArray[np.uint32],
        balances: bool,
    ) -> None:
        """Messages `old`, `new` (n, width) of samples (n,), of which those at `changed` do change."""
        names = [f.name for f in bus.fields for _ in range(f.size)]
        self._now: dict[int, tuple[int, Objection]] = {}
        for n in changed.tolist():
            fields = dict.fromkeys(names[k] for k in np.flatnonzero(old[n] != new[n]))
            objection = Objection(table, bus.name, tuple(fields) or (COUNT,))
            self._now[n] = int(sample[n]), objection
            if balances:
                self.told[int(sample[n]), bus.index].add(objection)

    def object(self, rejected: Indices) -> None:
        """Of the messages looked at last, these are rejected."""
        for n in rejected.tolist():
            sample, objection = self._now[n]
            self._found[sample].add(objection)


class _Ledger:
    """Sums what each sample changes on the permutation buses."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int, bytes], int] = defaultdict(int)

    def add(self, bus: int, samples: Indices, messages: NDArray[np.uint32], counts: NDArray[np.int64]) -> None:
        for sample, message, count in zip(samples.tolist(), messages, counts.tolist(), strict=True):
            self._sums[sample, bus, message.tobytes()] += count

    def unbalanced(self) -> set[tuple[int, int]]:
        """Samples with the buses that do not balance in them."""
        return {(sample, bus) for (sample, bus, _), total in self._sums.items() if total % MODULUS}

    def reject(self, alive: NDArray[np.bool_]) -> None:
        for sample, _ in self.unbalanced():
            alive[sample] = False


def _violations(altered: _Altered, alive: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """All (sample, number of a constraint that it violates), with repetitions."""
    rows = altered.rows
    only_next = set(rows.only_next(rows.constraints))
    everything = list(enumerate(rows.constraints))
    later = [(number, node) for number, node in everything if node in only_next]
    for keys, constraints in ((altered.edited, everything), (altered.before, later)):
        for block, content in altered.blocks(keys, alive) if constraints else ():
            values = evaluate(rows.graph, content, [node for _, node in constraints])
            for number, node in constraints:
                for sample in (block[np.flatnonzero(values[node])] // rows.height).tolist():
                    yield sample, number


def _reject_by_constraints(altered: _Altered, stage: int, alive: NDArray[np.bool_]) -> None:
    rows = altered.rows
    constraints = rows.stages[stage]
    for keys, nodes in ((altered.edited, constraints), (altered.before, rows.only_next(constraints))):
        if not nodes:
            continue
        for block, content in altered.blocks(keys, alive):
            values = evaluate(rows.graph, content, nodes)
            violated = np.zeros(len(block), dtype=np.bool_)
            for node in nodes:
                violated |= values[node] != 0
            alive[block[violated] // rows.height] = False


def _sorted_edits(keys: Indices, edits: NDArray[np.int64]) -> tuple[Indices, Indices, Indices]:
    order = np.argsort(keys, kind="stable")
    return keys[order], edits[order, 2], edits[order, 3]


def _apply(matrix: Matrix, keys: Indices, at: Indices, columns: Indices, values: Indices) -> None:
    """Write the edits at keys `at` into the rows that `keys` (sorted) number."""
    if not len(keys):
        return
    inside = slice(np.searchsorted(at, keys[0]), np.searchsorted(at, keys[-1], side="right"))
    place = np.minimum(np.searchsorted(keys, at[inside]), len(keys) - 1)
    found = keys[place] == at[inside]
    matrix[place[found], columns[inside][found]] = values[inside][found]


def _blocks(keys: Indices, size: int) -> Iterator[Indices]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def children(node: tuple[int, int, int]) -> tuple[int, ...]:
    """The nodes an expression node is computed from."""
    op, a, b = node
    return (a, b) if op in (Op.ADD, Op.SUB, Op.MUL) else (a,) if op == Op.NEG else ()


def _node_properties(graph: Graph) -> tuple[list[int], list[bool]]:
    """Of every node: its size as a tree (bounded), and whether it depends on the successor row."""
    sizes: list[int] = []
    reads_next: list[bool] = []
    for node in graph.nodes:
        operands = children(node)
        sizes.append(min(_STAGES[-1] + 1, 1 + sum(sizes[c] for c in operands)))
        reads_next.append(node[0] == Op.NEXT or any(reads_next[c] for c in operands))
    return sizes, reads_next


def _depends_on(graph: Graph, leaf: tuple[Op, int]) -> list[bool]:
    """Of every node: whether it reads this leaf."""
    depends: list[bool] = []
    for node in graph.nodes:
        depends.append(node[:2] == leaf or any(depends[c] for c in children(node)))
    return depends


def _peak_live(graph: Graph, wanted: Sequence[int]) -> int:
    """How many values an evaluation of all these nodes holds at once."""
    last_use: dict[int, int] = {index: len(graph.nodes) for index in wanted}
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in last_use:
            for child in children(graph.nodes[index]):
                last_use.setdefault(child, index)
    released: dict[int, int] = defaultdict(int)
    live = peak = 0
    for index in sorted(last_use):
        live += 1
        peak = max(peak, live)
        released[last_use[index]] += 1
        live -= released.pop(index, 0)
    return peak


def support(graph: Graph, index: int) -> list[tuple[Op, int]]:
    """The leaves an expression reads: (Op.LOCAL | Op.NEXT | Op.PUBLIC, number), each once."""
    found: dict[tuple[Op, int], None] = {}
    seen: set[int] = set()
    stack = [index]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        op, a, _ = graph.nodes[node]
        if op in (Op.LOCAL, Op.NEXT, Op.PUBLIC):
            found[Op(op), a] = None
        stack += children(graph.nodes[node])
    return list(found)
