"""Buses: how tables meet. A bus is a multiset argument (LogUp) over messages of one fixed layout.

Argument. Every interaction adds `count / fingerprint(message)` to a sum that must vanish over the whole proof. With
counts embedded as small integers and their total per bus below the modulus (the engine enforces this through the
weights), a vanishing sum means:

- PERMUTATION: the multiset of sent messages equals the multiset of received ones. Counts on both sides must be
  constrained to {0, 1} by the tables.
- LOOKUP: every queried message is provided by some row of the providing table. The provider's multiplicity is free: it
  is a function table, and a wrong multiplicity only unbalances the sum. Counts of queries must be boolean.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BusKind(Enum):
    """The argument a bus makes."""

    PERMUTATION = "permutation"
    LOOKUP = "lookup"


@dataclass(frozen=True)
class BusField:
    """A field of a message: `size` elements, their meaning and range, and who pins them."""

    name: str
    size: int
    meaning: str
    by: str


@dataclass(frozen=True)
class Bus:
    """A declared bus. `argument` says in two or three lines why a balanced bus means what it should."""

    index: int
    name: str
    kind: BusKind
    fields: tuple[BusField, ...]
    argument: str

    @property
    def width(self) -> int:
        """Elements in one message."""
        return sum(f.size for f in self.fields)
