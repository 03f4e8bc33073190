"""A variant: the circuit of a fork with other tables.

Nothing of `circuits/` is changed: a circuit is a list of components, each a table and how it is filled, and a variant
makes another list of it. What it leaves alone are the objects of the fork's circuit themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from circuits.air.circuit import Circuit
from circuits.air.table import Air, Table
from circuits.batch.execution import Batch
from circuits.component import Component
from circuits.segment import in_order, segment_circuit, segment_components
from executor.forks import CANCUN, Fork
from executor.trace import ExecutionTrace
from lab.errors import VariantError

#: Alters the constraints and interactions of a table, which it is given with a copy of both.
Rewriting = Callable[[Table, Air[Any]], None]


@dataclass(frozen=True)
class Changes:
    """What a variant does to a circuit.

    Attributes:
        replaced: components that stand where one of the same name stood.
        added: components of other names than those there are.
        removed: names of tables.
    """

    replaced: tuple[Component, ...] = ()
    added: tuple[Component, ...] = ()
    removed: tuple[str, ...] = ()

    def made(self, components: tuple[Component, ...]) -> tuple[Component, ...]:
        """The components (of a circuit, in order) with these changes, in order again.

        Raises:
            VariantError: there is no such table to be replaced or removed, or one of that name is there.
            ValueError: tables ask each other in a circle.
        """
        there = {c.table.name for c in components}
        own = {c.table.name: c for c in self.replaced}
        if lacking := sorted({*own, *self.removed} - there):
            raise VariantError(f"no table {lacking[0]}", f"tables: {', '.join(sorted(there))}")
        names = [c.table.name for c in (*self.replaced, *self.added)]
        if twice := sorted({c.table.name for c in self.added} & there | {n for n in names if names.count(n) > 1}):
            raise VariantError(f"a table {twice[0]} is there already", "replace it, or give yours another name")
        kept = [own.get(c.table.name, c) for c in components if c.table.name not in self.removed]
        return tuple(in_order([*kept, *self.added])) if own or self.added or self.removed else components


def _as_it_is(batch: Batch) -> Batch:
    return batch


@dataclass(frozen=True, eq=False)
class Variant:
    """A circuit of one's own, of any fork.

    Attributes:
        name: what it is called in tables and files.
        about: what is different, in a line.
        changes: of the components of a fork's circuit, by the names of their tables.
        committed: gives the leaves of codes, accounts and slots another content, where the circuit commits to it
            otherwise; what a segment states follows.
        sample: the document of a small batch of a fork that has rows of what is changed, to be attacked and proved.
    """

    name: str
    about: str
    changes: Callable[[Mapping[str, Component]], Changes]
    committed: Callable[[Batch], Batch] = _as_it_is
    sample: Callable[[Fork], dict[str, Any]] | None = None
    _made: dict[str, Circuits] = field(default_factory=dict, init=False, repr=False)

    def of(self, fork: Fork = CANCUN) -> Circuits:
        """What it is under a fork; made once.

        Raises:
            VariantError: the fork's circuit does not have what is changed.
        """
        if fork.circuit not in self._made:
            before = segment_components(fork)
            changes = self.changes({c.table.name: c for c in before})
            self._made[fork.circuit] = Circuits(self, fork, changes, changes.made(before))
        return self._made[fork.circuit]

    def batch(self, trace: ExecutionTrace) -> Batch:
        """What all segments of a batch share."""
        return self.committed(Batch.of(trace))


@dataclass(frozen=True, eq=False)
class Circuits:
    """A variant under a fork.

    Attributes:
        components: in the order in which they are filled.
    """

    variant: Variant
    fork: Fork
    changes: Changes
    components: tuple[Component, ...]

    @cached_property
    def circuit(self) -> Circuit:
        """Its tables: the fork's own circuit if nothing is changed."""
        known = segment_circuit(self.fork)
        tables = [c.table for c in self.components]
        return known if tables == list(known.tables) else Circuit("segment", tables)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tables that the fork's circuit does not have, or not with the same constraints."""
        known = set(map(id, segment_circuit(self.fork).tables))
        return tuple(c.table.name for c in self.components if id(c.table) not in known)


def rewritten(table: Table, rewriting: Rewriting) -> Table:
    """A table with the layout of this one and other constraints or interactions; itself if nothing is different."""
    air = copy(table.air)
    air.constraints, air.interactions = list(air.constraints), list(air.interactions)
    air.graph = air.graph.copy()  # to which new nodes may be added
    rewriting(table, air)
    if (air.constraints, air.interactions) == (table.air.constraints, table.air.interactions):
        return table
    other = copy(table)
    vars(other)["air"] = air
    return other


#: The circuit of each fork as it is.
TODAY = Variant("today", "the circuit as it is", lambda components: Changes())
