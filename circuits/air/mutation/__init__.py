"""The mutation harness: alters honest traces in many ways and reports every change that nothing rejects.

An undeclared survivor is a weakness of the circuit: a cell, a row or a message that a dishonest prover may choose. What
may change is declared where it is defined, with a reason: `Column.free` (a cell) and `Table.row_order` (whole rows). A
cell of a row whose selector is 0, and which carries no message before or after, is inert: nothing outside the row
depends on it. So is such a row turned into one that does no more than ask: what it could answer, nobody asks.

`rows` and `messages` say how traces are altered, `repair` searches for the adjustments a liar would make, `judge`
defines what counts as rejected.
"""

from circuits.air.mutation.harness import Coverage, MutationReport, Survivor, mutate

__all__ = ["Coverage", "MutationReport", "Survivor", "mutate"]
