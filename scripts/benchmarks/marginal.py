"""What something adds to the tables of a segment: rows without padding, priced in cells and interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from circuits.batch.execution import Execution
from circuits.functions.keccak_f import ROUNDS, KeccakF
from circuits.functions.keccak_sponge import Keccak
from circuits.segment import fill, segment_circuit
from executor.forks import Fork
from prover.costs import weight

#: What tables that the segment has once are called: constants of the circuit, and the lists of all limbs and bytes.
ONCE = ("listing_", "part_prices", "range15", "range16", "bitwise_bytes")


@dataclass(frozen=True)
class Cost:
    """Cells and interactions."""

    cells: float
    interactions: float

    @property
    def weight(self) -> float:
        """In cell equivalents."""
        return weight(self.cells, self.interactions)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.cells - other.cells, self.interactions - other.interactions)

    def __truediv__(self, count: float) -> Cost:
        return Cost(self.cells / count, self.interactions / count)


@cache
def _of_rows(fork: Fork) -> dict[str, Cost]:
    """A row of each table."""
    sizes = zip(segment_circuit(fork).tables, segment_circuit(fork).statistics, strict=True)
    return {table.name: Cost(size.columns, size.interactions) for table, size in sizes}


def cost_of_rows(rows: Mapping[str, int], fork: Fork) -> Cost:
    """What so many rows of tables, by name, take in a fork's circuit."""
    of = _of_rows(fork)
    return Cost(sum(n * of[t].cells for t, n in rows.items()), sum(n * of[t].interactions for t, n in rows.items()))


def rows_of(execution: Execution) -> dict[str, int]:
    """Rows of the tables of a segment, without padding; the tables are filled to find out."""
    rows = {name: height.rows for name, height in fill(execution).heights.items()}
    # The sponge's padding is numbered like its rows: it has as many as there are permutations.
    rows[Keccak.name] = rows.get(KeccakF.name, 0) // ROUNDS
    return rows


def is_once(table: str) -> bool:
    """Whether a segment has a table once, however much it is asked."""
    return table.startswith(ONCE)
