"""The search for a second witness: can cells of a row move while its messages stay what they are?

What a table computes must follow from its messages. On a window of honest rows this is a question of algebra: the
unknowns are the cells of the window, the equations say that all constraints that read them vanish and that all messages
of these rows keep their counts and fields. The honest cells are one solution; any other one is a weakness.

1. *Propagation* proves cells determined. An equation that depends on a single undecided cell is a polynomial of degree
   at most 3 in it, and its roots are all that the cell can be (its *domain*); an affine equation of cells with domains
   is one of integers, which bounds each of them. So most cells of most tables are settled.
2. *Cases*: a cell of small domain, as a bit, is put elsewhere, and what follows is decided the same way, if need be by
   cases of further cells. A contradiction takes the move out of the domain; a solution is a second witness.
3. *Lines*: what is left falls apart into components that share no equation. In each, Gaussian elimination of the
   Jacobian finds the null space: the directions in which the cells can move to first order. A direction is only a
   candidate. On the line along it every equation is a polynomial of degree at most 3 in one unknown, whose roots are
   exact second witnesses. Where the line leaves the solutions, Newton's iteration leads back: it is exact as soon as
   the cells it solves for occur linearly.

With `lookups="free"` queries may change into others that the filled tables can answer, as in a mutation: a quotient and
a remainder of the same dividend, say, if nothing bounds the remainder. A query then is a domain of its own.

Everything is exact arithmetic modulo the field; what is reported has been verified on galois arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.air import field
from circuits.air.bus import Bus, BusKind
from circuits.air.checker import PublicValues, Trace
from circuits.air.circuit import Circuit
from circuits.air.evaluate import Algebra, GaloisAlgebra, Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS, Elements
from circuits.air.mutation.judge import Indices, TableRows, children
from circuits.air.table import Interaction, Table

Lookups = Literal["held", "free"]
Domain = NDArray[np.int64] | None

#: Cells of one evaluation of many points, of 4 bytes.
_CELLS = 1 << 23
#: Steps of Newton's iteration; a system that is linear in what it solves for needs one.
_STEPS = 3
#: Of a component: cells up to which directions are searched, orders in which pivots are chosen, directions that are
#: followed where they leave their line, and cases.
_LARGE = 500
_ORDERS = 3
_LIFTS = 32
_CASES = 60
#: Cells of small domain that a case is split by.
_DEPTH = 3
#: Cases of a component with more than `_LARGE` cells.
_LARGE_CASES = 2
#: Other values of a cell up to which each of them is tried.
_SMALL = 4
#: Points of a line at which queries are tried.
_POINTS = 16
#: Second witnesses of a component, after which its search ends.
_FOUND = 16
#: Generates the multiplicative group, so it is no square.
_GENERATOR = 31


@dataclass(frozen=True)
class Change:
    """One cell of a second witness."""

    row: int
    column: int
    name: str
    old: int
    new: int

    def __str__(self) -> str:
        return f"{self.name} in row {self.row}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class FreeDirection:
    """A second witness: with these cells changed all constraints hold and no message differs.

    Attributes:
        table: name of the table.
        rows: the window that was searched.
        changes: the changed cells, as few as were found.
        lookups: "held" if no message differs; "free" if queries do, into others that are answered, or answers.
    """

    table: str
    rows: tuple[int, ...]
    changes: tuple[Change, ...]
    lookups: Lookups

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the changed columns, each once."""
        return tuple(dict.fromkeys(change.name for change in self.changes))

    def __str__(self) -> str:
        return f"table {self.table}, lookups {self.lookups}: {', '.join(map(str, self.changes))}"


@dataclass(frozen=True)
class Outcome:
    """What is known about a window: its cells, how many are proved to be determined, and second witnesses.

    Padding rows without messages do not count. Proofs rest on what depends on what, which is found at random places: a
    dependency of degree 3 is missed with probability 3 / MODULUS. In a search with free lookups they are relative to
    the answers that the filled tables have.
    """

    cells: int
    determined: int
    directions: tuple[FreeDirection, ...]


def free_directions(
    circuit: Circuit,
    traces: Sequence[Trace],
    public_values: PublicValues,
    table: str,
    rows: Iterable[int],
    rng: np.random.Generator,
    *,
    lookups: Lookups = "held",
    window: int = 1,
    results: Mapping[str, Collection[str]] | None = None,
) -> list[FreeDirection]:
    """Second witnesses of some rows of a table; see `Witnesses.search`, which shares work between tables."""
    witnesses = Witnesses(circuit, traces, public_values, results=results)
    return [
        direction
        for row in rows
        for direction in witnesses.search(table, row, rng, lookups=lookups, window=window).directions
    ]


class Witnesses:
    """Searches the tables of one honest proof for second witnesses."""

    def __init__(
        self,
        circuit: Circuit,
        traces: Sequence[Trace],
        public_values: PublicValues,
        *,
        results: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """The traces must be honest: accepted by `check_circuit`.

        `results` names fields of lookup buses that a provided message gives in answer to the others. With
        `lookups="free"` they may change: a function must have one value.
        """
        self._results = {bus: frozenset(fields) for bus, fields in (results or {}).items()}
        self._honest = {
            table.name: (table, trace, public)
            for table, trace, public in zip(circuit.tables, traces, public_values, strict=True)
            if trace is not None
        }
        self._tables: dict[str, TableRows] = {}
        self._answers: dict[Bus, _Answers] = {}

    def table(self, name: str) -> TableRows:
        """A table with its trace.

        Raises:
            KeyError: it is absent, or not of this circuit.
        """
        if name not in self._tables:
            table, trace, public = self._honest[name]
            self._tables[name] = TableRows(table, trace, public)
        return self._tables[name]

    def answers(self, bus: Bus) -> _Answers:
        """What the tables provide, or could provide, on a lookup bus."""
        if bus not in self._answers:
            found = [np.zeros((0, bus.width), dtype=np.uint32)]
            for name, (table, _, _) in self._honest.items():
                for number, interaction in enumerate(table.air.interactions):
                    if interaction.provides and interaction.bus == bus:
                        rows = self.table(name)
                        found.append(rows.messages[number][rows.providable(number)])
            self._answers[bus] = _Answers(np.concatenate(found))
        return self._answers[bus]

    def search(
        self, table: str, row: int, rng: np.random.Generator, *, lookups: Lookups = "held", window: int = 1
    ) -> Outcome:
        """Second witnesses of the rows from `row` on, `window` of them; all other rows keep their cells.

        Padding rows without messages may hold anything, and a row that does no more than ask may be left out: such
        changes are no findings. Cells that are declared free keep their values: what follows from the choice must be
        determined.

        Raises:
            KeyError: the table is absent, or not of this circuit.
            ValueError: the window does not fit the table, or the trace is not honest.
        """
        rows = self.table(table)
        if not 0 < window <= rows.height or not 0 <= row < rows.height:
            raise ValueError(f"table {table} of {rows.height} rows has no window of {window} at row {row}")
        own = tuple((row + i) % rows.height for i in range(window))
        idle, inert = _idle(rows)
        if all(inert[r] for r in own):
            return Outcome(0, 0, ())
        system = _System.of_window(rows, own, lookups, self._results)
        if not self._satisfied(system):
            raise ValueError(f"table {table}, row {row}: the trace is not honest")
        undetermined = 0
        found: dict[tuple[str, ...], FreeDirection] = {}
        kept = np.zeros(1, dtype=np.int64)
        waiting = [_State(system, [kept if rows.cells[column].column.free else None for _, column in system.cells])]
        while waiting:
            state = waiting.pop()
            state.settle(self, rng)
            for part in state.components():
                search = _Search(self, part, rng)
                points = list(islice(search.cases(), _FOUND))
                if search.refuted and not points and len(part.point) <= _LARGE:
                    waiting.append(part)  # with smaller domains
                    continue
                undetermined += int((~inert[part.system.cells[:, 0]]).sum())
                points += islice(search.lines(), _FOUND)
                for point in points:
                    direction = _direction(rows, own, part.system, search.minimised(point), lookups)
                    left_out = {change.row for change in direction.changes if _leaves_out(rows, change)}
                    harmless = (inert[c.row] or (idle[c.row] and c.row in left_out) for c in direction.changes)
                    if all(harmless) or direction.columns in found:
                        continue
                    if self._verified(rows, direction):
                        found[direction.columns] = direction
        cells = rows.table.width * sum(not inert[r] for r in own)
        return Outcome(cells, cells - undetermined, tuple(found.values()))

    def _satisfied(self, system: _System) -> bool:
        """Whether all constraints vanish at the honest cells, and all queries that may change have answers."""
        values = system.target
        constraints = np.isin(system.outputs[:, 1], system.rows.constraints)
        return not values[constraints].any() and all(
            self.answers(q.bus).know(values[q.fields][None])[0] for q in system.queries if values[q.count]
        )

    def _verified(self, rows: TableRows, direction: FreeDirection) -> bool:
        """Whether galois arithmetic agrees that this is a second witness."""
        altered = rows.matrix.copy()
        for change in direction.changes:
            altered[change.row, change.column] = change.new
        changed = np.array([change.row for change in direction.changes])
        at = np.unique(np.concatenate([changed, changed - 1]) % rows.height)
        content = Rows(altered[at], altered[(at + 1) % rows.height], *rows.ends(at), rows.public)
        nodes = [*rows.constraints, *(e.index for i in rows.interactions for e in (i.count, *i.message))]
        values = {node: np.asarray(v) for node, v in evaluate(rows.graph, content, nodes, _galois()).items()}
        if any(values[node].any() for node in rows.constraints):
            return False
        for number, i in enumerate(rows.interactions):
            counts = values[i.count.index].astype(np.uint32)
            messages = np.stack([values[e.index] for e in i.message], axis=1).astype(np.uint32)
            if direction.lookups == "free" and _is_query(rows, number):
                if not self.answers(i.bus).know(messages[counts != 0]).all():
                    return False
                continue
            spoken = (counts != 0) | i.provides
            differs = messages != rows.messages[number][at]
            if direction.lookups == "free":
                differs[:, list(_result_fields(i, self._results))] = False
            if (counts != rows.counts[number][at]).any() or differs[spoken].any():
                return False
        return True


class _Answers:
    """The messages that can be had on a lookup bus, (n, width)."""

    def __init__(self, messages: NDArray[np.uint32]) -> None:
        factors = np.random.default_rng(messages.shape[1]).integers(1 << 63, size=messages.shape[1], dtype=np.uint64)
        self._factors = factors * np.uint64(2) + np.uint64(1)
        self._hashes, first = np.unique(self._hash(messages), return_index=True)
        self.messages = messages[first]
        self._choices: dict[int, Elements] = {}

    def choice(self, k: int, determined: Indices, message: Elements) -> Elements:
        """What field k may be, each value once, if the determined fields are those of a message (width,)."""
        if len(determined):
            agree = (self.messages[:, determined] == message[determined]).all(axis=1)
            return np.unique(self.messages[agree, k]).astype(np.uint64)
        if k not in self._choices:
            self._choices[k] = np.unique(self.messages[:, k]).astype(np.uint64)
        return self._choices[k]

    def know(self, messages: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the messages (n, width) are among them, by 64-bit hashes."""
        wanted = self._hash(messages)
        if not len(self._hashes):
            return np.zeros(len(wanted), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        found: NDArray[np.bool_] = self._hashes[place] == wanted
        return found

    def _hash(self, messages: NDArray[Any]) -> NDArray[np.uint64]:
        """Sums modulo 2^64, which is what numpy computes."""
        hashes: NDArray[np.uint64] = (messages.astype(np.uint64) * self._factors).sum(axis=1, dtype=np.uint64)
        return hashes


@dataclass(frozen=True)
class _Query:
    """A query of a touched row that may change: places of its count and of its fields among the outputs."""

    bus: Bus
    count: int
    fields: NDArray[np.int64]


class _System:
    """Polynomials of degree at most 3 over some cells; the honest cells are a solution.

    Attributes:
        rows: the table.
        touched: rows whose expressions read the cells (t,).
        cells: row and column of each cell (n, 2).
        outputs: index into `touched` and expression node of each polynomial (m, 2).
        held: which of the outputs must keep their honest value (m,); the others belong to `queries`.
        target: the honest values of all outputs (m,).
        entries: pairs (output, cell): where an output may depend on a cell (e, 2).
    """

    def __init__(
        self,
        rows: TableRows,
        touched: Indices,
        cells: Indices,
        outputs: Indices,
        held: NDArray[np.bool_],
        queries: Sequence[_Query],
        entries: Indices,
    ) -> None:
        self.rows, self.touched, self.cells = rows, touched, cells
        self.outputs, self.held, self.queries, self.entries = outputs, held, queries, entries
        self.honest: Elements = rows.matrix[cells[:, 0], cells[:, 1]].astype(np.uint64)
        self.target = self.values(self.honest[None])[0]

    @staticmethod
    def of_window(
        rows: TableRows, window: Sequence[int], lookups: Lookups, results: Mapping[str, Collection[str]]
    ) -> _System:
        """All cells of a window, with everything that reads them."""
        touched = np.array(list(dict.fromkeys(r % rows.height for r in (window[0] - 1, *window))))
        width = rows.table.width
        cells = np.array([(row, column) for row in window for column in range(width)])
        start = {row: i * width for i, row in enumerate(window)}
        reads = _reads(rows.table)
        outputs: dict[tuple[int, int], int] = {}
        free: set[int] = set()
        queries = []
        for t, row in enumerate(touched.tolist()):
            nodes = list(rows.constraints)
            for number, i in enumerate(rows.interactions):
                spoken = [i.count.index]
                if rows.counts[number][row] or i.provides:
                    open_fields = _result_fields(i, results) if lookups == "free" else ()
                    spoken += [e.index for k, e in enumerate(i.message) if k not in open_fields]
                if lookups == "free" and _is_query(rows, number):
                    asked = [i.count.index, *(e.index for e in i.message)]
                    # Places of their own, because the same expressions may be held elsewhere.
                    places = [outputs.setdefault((t, -1 - node), len(outputs)) for node in asked]
                    free.update(places)
                    queries.append(_Query(i.bus, places[0], np.array(places[1:])))
                else:
                    nodes += spoken
            for node in nodes:
                outputs.setdefault((t, node), len(outputs))
        entries: list[NDArray[np.int64]] = []
        for (t, node), place in outputs.items():
            row = int(touched[t])
            found: set[int] = set()
            for offset, columns in enumerate(reads[node if node >= 0 else -1 - node]):
                first = start.get((row + offset) % rows.height)
                if first is not None:
                    found.update((columns + first).tolist())
            entries.append(np.array([(place, cell) for cell in sorted(found)], dtype=np.int64).reshape(-1, 2))
        placed = np.array([(t, node if node >= 0 else -1 - node) for t, node in outputs])
        held = np.array([place not in free for place in range(len(placed))], dtype=np.bool_)
        return _System(rows, touched, cells, placed, held, queries, np.concatenate(entries))

    def part(self, cells: Indices, entries: Indices) -> _System:
        """The system of some of the cells and of the outputs in `entries`; the other cells are honest."""
        places = np.unique(entries[:, 0])
        new_place = {place: k for k, place in enumerate(places.tolist())}
        queries = []
        for query in self.queries:
            asked = [query.count, *query.fields.tolist()]
            if any(place in new_place for place in asked):
                for place in asked:
                    new_place.setdefault(place, len(new_place))
                queries.append(
                    _Query(query.bus, new_place[query.count], np.array([new_place[f] for f in query.fields]))
                )
        order = np.array(list(new_place), dtype=np.int64)
        new_cell = {cell: k for k, cell in enumerate(cells.tolist())}
        pairs = np.array([(new_place[o], new_cell[c]) for o, c in entries.tolist()], dtype=np.int64).reshape(-1, 2)
        return _System(
            self.rows, self.touched, self.cells[cells], self.outputs[order], self.held[order], queries, pairs
        )

    def values(self, points: Elements) -> Elements:
        """The outputs at many points (p, n), as (p, m)."""
        rows, height = self.rows, self.rows.height
        count, width = len(self.touched), rows.table.width
        size = max(1, _CELLS // (count * width))
        result = np.empty((len(points), len(self.outputs)), dtype=np.uint64)
        nodes = self.outputs[:, 1]
        wanted = np.unique(nodes)
        slot = np.searchsorted(wanted, nodes)
        for start in range(0, len(points), size):
            block = points[start : start + size].astype(np.uint32)
            local = np.repeat(rows.matrix[self.touched][None], len(block), axis=0)
            following = np.repeat(rows.matrix[(self.touched + 1) % height][None], len(block), axis=0)
            for t, row in enumerate(self.touched.tolist()):
                for matrix, of_row in ((local, row), (following, (row + 1) % height)):
                    here = self.cells[:, 0] == of_row
                    matrix[:, t, self.cells[here, 1]] = block[:, here]
            at = np.tile(self.touched, len(block))
            content = Rows(local.reshape(-1, width), following.reshape(-1, width), *rows.ends(at), rows.public)
            found = evaluate(rows.graph, content, wanted.tolist())
            stacked = np.array([found[node] for node in wanted.tolist()], dtype=np.uint64)
            stacked = stacked.reshape(len(wanted), len(block), count)
            result[start : start + size] = stacked[slot, :, self.outputs[:, 0]].T
        return result

    @cached_property
    def colours(self) -> NDArray[np.int64]:
        """Colours of the cells (n,), different for cells that share an output: all of one colour may move at once."""
        outputs_of: dict[int, list[int]] = defaultdict(list)
        for output, cell in self.entries.tolist():
            outputs_of[cell].append(output)
        used = [0] * len(self.outputs)
        colours = np.zeros(len(self.cells), dtype=np.int64)
        for cell, outputs in outputs_of.items():
            taken = 0
            for output in outputs:
                taken |= used[output]
            colour = (~taken & (taken + 1)).bit_length() - 1
            colours[cell] = colour
            for output in outputs:
                used[output] |= 1 << colour
        return colours

    def expanded(self, point: Elements, steps: int = 3) -> tuple[Elements, list[Elements]]:
        """The outputs (m,), and by how much each entry's output grows when its cell does by t = 1..steps, (e,)."""
        count = int(self.colours.max(initial=-1)) + 1
        outputs, cells = self.entries.T
        moved = (self.colours[None, :] == np.arange(count)[:, None]).astype(np.uint64)
        points = [point[None], *(field.add(point[None], moved * np.uint64(t)) for t in range(1, steps + 1))]
        values = self.values(np.concatenate(points))
        base = values[0]
        places = 1 + self.colours[cells]
        return base, [field.sub(values[places + count * t, outputs], base[outputs]) for t in range(steps)]

    def jacobian(self, point: Elements) -> Elements:
        """Derivatives of the outputs by the cells (m, n)."""
        matrix = np.zeros((len(self.outputs), len(self.cells)), dtype=np.uint64)
        matrix[self.entries[:, 0], self.entries[:, 1]] = _cubic(*self.expanded(point)[1])[0]
        return matrix


class _State:
    """What is decided about the cells of a system, and what they may still be.

    Attributes:
        system: the polynomials.
        point: the decided cells, the others as in the honest witness (n,).
        left: which cells are not decided (n,).
        domains: by how much a cell's possible values differ from the honest one, as signed integers; None: any value.
        live: which entries are left: the output depends on the cell, which is not decided (e,).
    """

    def __init__(self, system: _System, domains: Sequence[Domain] | None = None) -> None:
        self.system = system
        self.point = system.honest.copy()
        self.left = np.ones(len(self.point), dtype=np.bool_)
        self.domains: list[Domain] = [None] * len(self.point) if domains is None else list(domains)
        self.live = np.ones(len(system.entries), dtype=np.bool_)
        self._asked: set[tuple[int, int, int]] = set()
        for cell, domain in enumerate(self.domains):
            if domain is not None and len(domain) == 1:
                self.restrict(cell, domain)

    def with_move(self, cell: int, move: int) -> _State:
        """A copy in which one more cell is decided."""
        other = copy(self)
        other.point, other.left, other.domains = self.point.copy(), self.left.copy(), list(self.domains)
        other._asked = set(self._asked)
        other.restrict(cell, np.array([move]))
        return other

    def restrict(self, cell: int, moves: NDArray[np.int64]) -> None:
        """A cell makes one of these moves.

        Raises:
            _ContradictionError: it cannot.
        """
        domain = self.domains[cell]
        domain = moves if domain is None else domain[np.isin(domain, moves)]
        self.domains[cell] = domain
        if not len(domain):
            raise _ContradictionError
        if len(domain) == 1 and self.left[cell]:
            self.left[cell] = False
            self.point[cell] = (int(self.system.honest[cell]) + int(domain[0])) % MODULUS

    def settle(self, witnesses: Witnesses, rng: np.random.Generator) -> bool:
        """Decide what follows, cell by cell; False if there is no solution."""
        try:
            while self._pass(witnesses, rng):
                pass
        except _ContradictionError:
            return False
        return True

    def _pass(self, witnesses: Witnesses, rng: np.random.Generator) -> bool:
        """Evaluate, then decide until values would change; returns whether anything was decided."""
        system, point, before = self.system, self.point.copy(), int(self.left.sum())
        outputs, cells = system.entries.T
        # An output depends on a cell if it does at a random place of the cells that are left (Schwartz and Zippel).
        place = np.where(self.left, rng.integers(0, MODULUS, len(self.left), dtype=np.uint64), point)
        (difference,) = system.expanded(place, 1)[1]
        base, differences = system.expanded(point)
        known = _Expansion(base, _cubic(*differences), field.sub(system.target, base))
        self.live = (difference != 0) & self.left[cells]
        # Nor does the slope of an affine output depend on the place.
        slope, *curvature = known.curve
        bent = self.live & ((difference != slope) | (curvature[0] != 0) | (curvature[1] != 0))
        affine = np.bincount(outputs[bent], minlength=len(base)) == 0
        settled = -1
        while settled != (settled := int(self.left.sum())):
            counts = np.bincount(outputs[self.live], minlength=len(base))
            if known.missing[system.held & (counts == 0)].any():
                raise _ContradictionError
            self._apply_equations(known, counts)
            self._apply_queries(witnesses, known, counts, affine)
            self._apply_bounds(known, affine)
            if (self.point != point).any():
                return True
            self.live &= self.left[cells]
        return settled != before

    def _apply_equations(self, known: _Expansion, counts: NDArray[np.int64]) -> None:
        """An equation of one cell has at most three roots."""
        outputs, cells = self.system.entries.T
        for entry in np.flatnonzero(self.live & (counts[outputs] == 1) & self.system.held[outputs]).tolist():
            a, b, c = (int(coefficient[entry]) for coefficient in known.curve)
            cell, missing = int(cells[entry]), int(known.missing[outputs[entry]])
            domain = self.domains[cell]
            if domain is not None:
                t = domain % MODULUS
                self.restrict(cell, domain[(((c * t + b) % MODULUS * t + a) % MODULUS * t - missing) % MODULUS == 0])
            elif not b and not c:
                if a:
                    self.restrict(cell, _signed(np.array([_divided(missing, a)])))
            elif not missing:
                self.restrict(cell, _signed(np.array([0, *_roots(a, b, c)])))
            elif not c:
                self.restrict(cell, _signed(np.array(_quadratic_roots(-missing, a, b), dtype=np.int64)))

    def _apply_queries(
        self, witnesses: Witnesses, known: _Expansion, counts: NDArray[np.int64], affine: NDArray[np.bool_]
    ) -> None:
        """A query has one of the answers that agree with the fields that are decided."""
        outputs, cells = self.system.entries.T
        entries = np.flatnonzero(self.live)
        entry_of = dict(zip(outputs[entries].tolist(), entries.tolist(), strict=True))
        for number, query in enumerate(self.system.queries):
            if counts[query.count] or not known.base[query.count]:
                continue
            answers = witnesses.answers(query.bus)
            fields = known.base[query.fields]
            open_fields = counts[query.fields]
            if not open_fields.any():
                if (number, -1, 0) not in self._asked and not answers.know(fields[None])[0]:
                    raise _ContradictionError
                self._asked.add((number, -1, 0))
                continue
            decided = np.flatnonzero(open_fields == 0)
            for k in np.flatnonzero((open_fields == 1) & affine[query.fields]).tolist():
                if (key := (number, k, len(decided))) in self._asked:
                    continue
                self._asked.add(key)
                entry = entry_of[int(query.fields[k])]
                inverse = _divided(1, int(known.curve[0][entry]))
                moves = _scaled(field.sub(answers.choice(k, decided, fields), fields[k]), inverse)
                self.restrict(int(cells[entry]), _signed(moves.astype(np.int64)))

    def _apply_bounds(self, known: _Expansion, affine: NDArray[np.bool_]) -> None:
        """An affine equation of cells with domains is one of integers if its terms cannot reach the modulus.

        Then a cell keeps only the moves that the others together can make up for: what decides the limbs of a number,
        the bits of a limb, and flags of which one is set.
        """
        outputs, cells = self.system.entries.T
        entries_of: dict[int, list[int]] = defaultdict(list)
        for entry in np.flatnonzero(self.live & (self.system.held & affine)[outputs]).tolist():
            entries_of[int(outputs[entry])].append(entry)
        for output, entries in entries_of.items():
            domains = [self.domains[cell] for cell in cells[entries].tolist()]
            slopes = [int(known.curve[0][entry]) for entry in entries]
            for unit in dict.fromkeys((1, slopes[0], slopes[-1])):
                right = _centred(_divided(int(known.missing[output]), unit))
                spans = []
                for slope, domain in zip(slopes, domains, strict=True):
                    if domain is None:
                        break
                    weight = _centred(_divided(slope, unit))
                    ends = (weight * int(domain.min()), weight * int(domain.max()))
                    spans.append((weight, min(ends), max(ends)))
                if len(spans) < len(domains) or abs(right) + sum(max(-a, b) for _, a, b in spans) >= MODULUS:
                    continue
                low, high = sum(a for _, a, _ in spans), sum(b for _, _, b in spans)
                for entry, domain, (weight, a, b) in zip(entries, domains, spans, strict=True):
                    # weight * move = right - (what the others make), and these make low - a to high - b.
                    if domain is not None and (a < right - high + b or b > right - low + a):
                        moves = weight * domain
                        self.restrict(
                            int(cells[entry]), domain[(right - high + b <= moves) & (moves <= right - low + a)]
                        )

    def components(self) -> Iterator[_State]:
        """The parts that share no output and no query, once honest cells are all that is decided."""
        parent: dict[tuple[str, int], tuple[str, int]] = {}

        def root(item: tuple[str, int]) -> tuple[str, int]:
            while (above := parent.setdefault(item, item)) != item:
                parent[item] = parent[above]
                item = above
            return item

        entries = self.system.entries[self.live]
        for output, cell in entries.tolist():
            parent[root(("output", output))] = root(("cell", cell))
        depending = set(entries[:, 0].tolist())
        for query in self.system.queries:
            places = [place for place in (query.count, *query.fields.tolist()) if place in depending]
            for place in places[1:]:
                parent[root(("output", place))] = root(("output", places[0]))
        members: dict[tuple[str, int], list[int]] = defaultdict(list)
        of_output: dict[tuple[str, int], list[int]] = defaultdict(list)
        for cell in np.flatnonzero(self.left).tolist():
            members[root(("cell", cell))].append(cell)
        for k, output in enumerate(entries[:, 0].tolist()):
            of_output[root(("output", output))].append(k)
        for key, own in members.items():
            part = self.system.part(np.array(own), entries[of_output[key]])
            yield _State(part, [self.domains[cell] for cell in own])


class _ContradictionError(Exception):
    """There is no solution with what was decided."""


@dataclass(frozen=True)
class _Expansion:
    """The outputs near a point: values (m,), coefficients of each entry's cubic (e,), what outputs lack (m,)."""

    base: Elements
    curve: tuple[Elements, Elements, Elements]
    missing: Elements


class _Search:
    """The search for second witnesses in one component; `refuted` are the moves of cells that allow none."""

    def __init__(self, witnesses: Witnesses, state: _State, rng: np.random.Generator) -> None:
        self._witnesses, self._state, self._system, self._rng = witnesses, state, state.system, rng
        self._small = {
            cell: [m for m in domain.tolist() if m]
            for cell, domain in enumerate(state.domains)
            if domain is not None and len(domain) <= _SMALL
        }
        small = np.array([cell in self._small for cell in range(len(state.point))])
        self._ordinary, self._restricted = np.flatnonzero(~small), np.flatnonzero(small)
        counts = np.bincount(self._system.entries[:, 0], minlength=len(self._system.outputs))
        # Equations of one cell are its domain, which directions may leave.
        self._linking = np.flatnonzero(self._system.held & (counts > 1))
        self.refuted: list[tuple[int, int]] = []
        self._open = False

    def lines(self) -> Iterator[Elements]:
        """Second witnesses along the null space at the honest cells."""
        if len(self._state.point) <= _LARGE:
            yield from self._lines(self._system.honest, self._state.left, _ORDERS, _LIFTS)

    def cases(self) -> Iterator[Elements]:
        """Second witnesses with a cell at another place of its domain."""
        seeds = [(cell, move) for cell, moves in self._small.items() for move in moves]
        large = len(self._state.point) > _LARGE
        for k in self._rng.permutation(len(seeds))[: _LARGE_CASES if large else _CASES].tolist():
            cell, move = seeds[k]
            self._open, empty = False, True
            for point in self._followed(self._state.with_move(cell, move), 0 if large else _DEPTH):
                empty = False
                yield point
            if empty and not self._open:
                self.refuted.append((cell, move))
                domain = self._state.domains[cell]
                if domain is not None:
                    self._state.domains[cell] = domain[domain != move]

    def _followed(self, state: _State, depth: int) -> Iterator[Elements]:
        """Second witnesses of a state, by cases of other cells up to a depth."""
        system = self._system
        if not state.settle(self._witnesses, self._rng):
            return
        point, left = state.point, state.left
        wrong = (system.values(point[None])[0] != system.target) & system.held
        if not wrong.any() and self._answered(point[None])[0]:
            yield point
            return
        outputs, cells = system.entries.T
        branches = np.intersect1d(cells[wrong[outputs] & left[cells]], self._restricted)
        if depth and len(branches):
            cell = int(branches[0])
            domain = state.domains[cell]
            for move in [] if domain is None else domain.tolist():
                yield from self._followed(state.with_move(cell, move), depth - 1)
            return
        self._open = True
        if len(point) > _LARGE:
            return
        ordinary, restricted = self._ordinary[left[self._ordinary]], self._restricted[left[self._restricted]]
        everything = np.concatenate([ordinary, restricted])
        for movable in (ordinary, everything, self._rng.permutation(everything)):
            completed = self._completed(point, movable)
            if completed is not None:
                if self._answered(completed[None])[0]:
                    yield completed
                else:
                    yield from self._lines(completed, left, 1, 0)
                return

    def _lines(self, point: Elements, left: NDArray[np.bool_], orders: int, lifts: int) -> Iterator[Elements]:
        """Second witnesses along the null space of the Jacobian at a point, in the cells that are left.

        Args:
            orders: of the cells, in which pivots are chosen; each gives another basis.
            lifts: how many directions along which no line is exact are followed.
        """
        jacobian = self._system.jacobian(point)[self._linking]
        tried: set[bytes] = set()
        order = np.concatenate([self._ordinary, self._restricted])
        for _ in range(orders):
            order = order[left[order]]
            for last, vector in _null_space(jacobian[:, order]):
                direction = np.zeros(len(point), dtype=np.uint64)
                direction[order] = vector
                if direction.tobytes() in tried:
                    continue
                tried.add(direction.tobytes())
                exact = self._along(point, direction)
                for t in exact[:1]:
                    yield _along_line(point, direction, np.array([t], dtype=np.uint64))[0]
                if not exact and lifts and int(order[last]) not in self._small:
                    lifts -= 1
                    yield from self._lifted(point, order, int(order[last]))
            order = self._rng.permutation(len(point))

    def _lifted(self, point: Elements, order: Indices, cell: int) -> Iterator[Elements]:
        """The line is not exact: the direction's own cell is moved, the others are solved for."""
        for step in (1, MODULUS - 1, int(self._rng.integers(2, MODULUS))):
            moved = point.copy()
            moved[cell] = (int(moved[cell]) + step) % MODULUS
            lifted = self._completed(moved, order[order != cell])
            if lifted is not None and self._answered(lifted[None])[0]:
                yield lifted
                return

    def _along(self, point: Elements, direction: Elements) -> list[int]:
        """The t != 0 for which point + t direction is a second witness; of all t that are, a few."""
        system = self._system
        at = self._values_along(point, direction, np.arange(4, dtype=np.uint64))
        a, b, c = _cubic(*(field.sub(at[t], at[0]) for t in (1, 2, 3)))
        equations = np.flatnonzero(system.held & ((a | b | c) != 0))
        if len(equations):
            # The equation of least degree has the fewest roots.
            first = equations[np.lexsort((b[equations] != 0, c[equations] != 0))[0]]
            steps = np.array(_roots(int(a[first]), int(b[first]), int(c[first])), dtype=np.uint64)
            values = self._values_along(point, direction, steps)
            steps = steps[(values == self._system.target)[:, system.held].all(axis=1)]
        else:
            steps = self._answerable(point, direction)
        points = _along_line(point, direction, steps)
        answered: list[int] = steps[self._answered(points)].tolist()
        return answered

    def _values_along(self, point: Elements, direction: Elements, steps: Elements) -> Elements:
        return self._system.values(_along_line(point, direction, steps))

    def _answerable(self, point: Elements, direction: Elements) -> Elements:
        """The least t != 0 at which all cells on the line are in their domains; some t if none has a domain."""
        domains = {c: d for c in np.flatnonzero(direction).tolist() if (d := self._state.domains[c]) is not None}
        if not domains:
            return np.array([1, MODULUS - 1, 1 << 8, 1 << 16, int(self._rng.integers(2, MODULUS))], dtype=np.uint64)
        moved = field.sub(point, self._system.honest)
        first, *others = sorted(domains, key=lambda c: len(domains[c]))
        wanted = field.sub(field.from_signed(domains[first]), moved[first])
        steps = _scaled(wanted, _divided(1, int(direction[first])))
        steps = steps[steps != 0]
        for cell in others:
            domain = domains[cell]
            moves = _signed(field.add(_scaled(steps, int(direction[cell])), moved[cell]).astype(np.int64))
            inside = (domain.min() <= moves) & (moves <= domain.max())
            inside[inside] = np.isin(moves[inside], domain)
            steps = steps[inside]
        order = np.argsort(np.minimum(steps, np.uint64(MODULUS) - steps), kind="stable")
        least: Elements = steps[order[:_POINTS]]
        return least

    def _answered(self, points: Elements) -> NDArray[np.bool_]:
        """At which points (p, n) all queries have answers."""
        result = np.ones(len(points), dtype=np.bool_)
        if not self._system.queries or not len(points):
            return result
        values = self._system.values(points)
        for q in self._system.queries:
            asks = np.flatnonzero(values[:, q.count])
            result[asks] &= self._witnesses.answers(q.bus).know(values[np.ix_(asks, q.fields)])
        return result

    def _completed(self, point: Elements, movable: Indices) -> Elements | None:
        """A solution that differs from the point in movable cells only, the first ones preferably; or None."""
        system = self._system
        for step in range(_STEPS + 1):
            missing = field.sub(system.target, system.values(point[None])[0])[system.held]
            if not missing.any():
                return point
            if step == _STEPS:
                break
            change = _solved(system.jacobian(point)[system.held][:, movable], missing)
            if change is None:
                break
            point = point.copy()
            point[movable] = field.add(point[movable], change)
        return None

    def minimised(self, point: Elements) -> Elements:
        """A second witness with as few changed cells as can be left out one after the other."""
        honest = self._system.honest
        for cell in np.flatnonzero(point != honest).tolist():
            kept = np.flatnonzero(point != honest)
            if len(kept) < 2 or cell not in kept:
                continue
            start = point.copy()
            start[cell] = honest[cell]
            others = kept[kept != cell]
            less = self._completed(start, others[1:])
            if less is not None and self._answered(less[None])[0]:
                point = less
        return point


def _along_line(point: Elements, direction: Elements, steps: Elements) -> Elements:
    """The points at these steps (t,), as (t, n)."""
    points: Elements = field.add(point[None], field.mul(steps[:, None], direction[None]))
    return points


def _scaled(values: Elements, factor: int) -> Elements:
    """The canonical multiple of elements."""
    return field.mul(values, np.array(factor, dtype=np.uint64))


def _cubic(first: Elements, second: Elements, third: Elements) -> tuple[Elements, Elements, Elements]:
    """The coefficients of t, t^2, t^3 of polynomials that vanish at 0 and have these values at 1, 2, 3."""

    def combined(x: int, y: int, z: int, divisor: int) -> Elements:
        inverse = pow(divisor, -1, MODULUS)
        terms = [_scaled(v, w * inverse % MODULUS) for v, w in ((first, x), (second, y), (third, z))]
        return field.add(field.add(terms[0], terms[1]), terms[2])

    return combined(18, -9, 2, 6), combined(-5, 4, -1, 2), combined(3, -3, 1, 6)


def _signed(values: Any) -> Any:
    """Canonical integers (`int64`) as those of least absolute value."""
    return np.where(values > MODULUS // 2, values - MODULUS, values)


def _centred(value: int) -> int:
    """An element as the integer of least absolute value."""
    return value - MODULUS if value > MODULUS // 2 else value


def _divided(a: int, b: int) -> int:
    return a * pow(b, -1, MODULUS) % MODULUS


def _roots(a: int, b: int, c: int) -> list[int]:
    """The roots of a + b t + c t^2, not all 0, other than 0."""
    found = _quadratic_roots(a, b, c) if c else [_divided(-a, b)] if b else []
    return [t for t in found if t]


def _quadratic_roots(a: int, b: int, c: int) -> list[int]:
    """The roots of a + b t + c t^2, c not 0."""
    root = _square_root((b * b - 4 * a * c) % MODULUS)
    return [] if root is None else list(dict.fromkeys(_divided(sign * root - b, 2 * c) for sign in (1, -1)))


def _square_root(square: int) -> int | None:
    """A square root modulo the field, or None (Tonelli-Shanks; Cohen, Computational Algebraic Number Theory, 1.5)."""
    if square == 0:
        return 0
    if pow(square, (MODULUS - 1) // 2, MODULUS) != 1:
        return None
    order, odd = 27, 15  # MODULUS - 1 = 2^27 * 15
    root, rest = pow(square, (odd + 1) // 2, MODULUS), pow(square, odd, MODULUS)
    z = pow(_GENERATOR, odd, MODULUS)
    while rest != 1:
        k, power = 0, rest
        while power != 1:
            power = power * power % MODULUS
            k += 1
        factor = pow(z, 1 << (order - k - 1), MODULUS)
        order, z = k, factor * factor % MODULUS
        root, rest = root * factor % MODULUS, rest * z % MODULUS
    return root


def _echelon(matrix: Elements) -> tuple[Elements, list[int]]:
    """The reduced row echelon form of a matrix (m, n), and its pivot columns."""
    matrix = matrix[matrix.any(axis=1)]
    pivots: list[int] = []
    for column in range(matrix.shape[1]):
        rank = len(pivots)
        if rank == len(matrix):
            break
        candidates = np.flatnonzero(matrix[rank:, column])
        if not len(candidates):
            continue
        chosen = rank + int(candidates[0])
        matrix[[rank, chosen]] = matrix[[chosen, rank]]
        matrix[rank] = _scaled(matrix[rank], _divided(1, int(matrix[rank, column])))
        rows = np.flatnonzero(matrix[:, column])
        block = np.ix_(rows[rows != rank], np.flatnonzero(matrix[rank]))
        factors = matrix[rows[rows != rank], column]
        matrix[block] = field.sub(matrix[block], field.mul(factors[:, None], matrix[rank][block[1]]))
        pivots.append(column)
    return matrix, pivots


def _null_space(matrix: Elements) -> Iterator[tuple[int, Elements]]:
    """A basis of the vectors that a matrix (m, n) maps to 0: each with its own column, in which it alone is 1."""
    reduced, pivots = _echelon(matrix)
    for column in np.setdiff1d(np.arange(matrix.shape[1]), pivots).tolist():
        vector = np.zeros(matrix.shape[1], dtype=np.uint64)
        vector[column] = 1
        vector[pivots] = field.sub(np.zeros(len(pivots), dtype=np.uint64), reduced[: len(pivots), column])
        yield column, vector


def _solved(matrix: Elements, right: Elements) -> Elements | None:
    """A solution of matrix x = right that is 0 outside the pivots, which are the first columns possible; or None."""
    width = matrix.shape[1]
    reduced, pivots = _echelon(np.concatenate([matrix, right[:, None]], axis=1))
    if width in pivots:
        return None
    solution = np.zeros(width, dtype=np.uint64)
    solution[pivots] = reduced[: len(pivots), width]
    return solution


_READS: WeakKeyDictionary[Table, dict[int, tuple[Indices, Indices]]] = WeakKeyDictionary()


def _reads(table: Table) -> dict[int, tuple[Indices, Indices]]:
    """The columns of the row, and those of its successor, that each constraint, count and message field reads."""
    known = _READS.get(table)
    if known is None:
        graph = table.air.graph
        width = table.width
        # Sets of columns as the bits of an integer, those of the successor after those of the row.
        sets: list[int] = []
        for node in graph.nodes:
            op, a, _ = node
            own = 1 << a if op == Op.LOCAL else 1 << (width + a) if op == Op.NEXT else 0
            for child in children(node):
                own |= sets[child]
            sets.append(own)
        wanted = {c.expression.index for c in table.air.constraints}
        wanted.update(e.index for i in table.air.interactions for e in (i.count, *i.message))
        known = {}
        for index in wanted:
            packed = np.frombuffer(sets[index].to_bytes(width // 4 + 1, "little"), dtype=np.uint8)
            columns = np.flatnonzero(np.unpackbits(packed, bitorder="little"))
            known[index] = (columns[columns < width], columns[columns >= width] - width)
        _READS[table] = known
    return known


def _is_query(rows: TableRows, number: int) -> bool:
    interaction = rows.interactions[number]
    return interaction.bus.kind is BusKind.LOOKUP and not interaction.provides


def _result_fields(interaction: Interaction, results: Mapping[str, Collection[str]]) -> tuple[int, ...]:
    """The elements of a provided message that belong to results."""
    names = [f.name for f in interaction.bus.fields for _ in range(f.size)]
    wanted = results.get(interaction.bus.name, ()) if interaction.provides else ()
    return tuple(k for k, name in enumerate(names) if name in wanted)


def _idle(rows: TableRows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows have no messages but queries, and which of them are padding without these, each (height,)."""
    queries = [_is_query(rows, number) for number in range(len(rows.interactions))]
    speaks = np.zeros((2, rows.height), dtype=np.bool_)
    for query, counts in zip(queries, rows.counts, strict=True):
        speaks[int(query)] |= counts != 0
    padding = np.zeros(rows.height, dtype=np.bool_)
    if rows.table.selector is not None:
        padding = rows.matrix[:, rows.table.layout.offsets[rows.table.selector]] == 0
    return ~speaks[0], padding & ~speaks.any(axis=0)


def _leaves_out(rows: TableRows, change: Change) -> bool:
    """Whether a change turns a row into padding."""
    selector = rows.table.selector
    return selector is not None and change.column == rows.table.layout.offsets[selector] and change.new == 0


def _direction(
    rows: TableRows, window: tuple[int, ...], part: _System, point: Elements, lookups: Lookups
) -> FreeDirection:
    changed = np.flatnonzero(point != part.honest)
    changes = []
    for k in changed.tolist():
        row, column = part.cells[k].tolist()
        changes.append(Change(row, column, rows.cells[column].name, int(part.honest[k]), int(point[k])))
    return FreeDirection(rows.table.name, window, tuple(changes), lookups)


@cache
def _galois() -> Algebra:
    return GaloisAlgebra()
