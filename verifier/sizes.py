"""How large a segment may be.

These are all the reasons for which a segment's proof is refused for its size. They follow from the heights of its
tables alone, so the prover asks for them before it proves, and the verifier when it has a proof.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from circuits.air.circuit import Circuit, TableStatistics
from circuits.air.field import MODULUS
from circuits.statement import LAST_TABLES
from verifier.container import MAX_SEGMENT_PROOF_BYTES
from verifier.errors import Invalid
from verifier.swirl.key import Interaction, TableKey, VerifyingKey, height_bounds, parameters
from verifier.swirl.proof import encoded_bytes
from verifier.swirl.security import security

MIN_SECURITY_BITS: Final = 100.0

MAX_LOG_HEIGHT: Final = 21
"""Tables of a segment are at most this high, which bounds its steps, their gas (`circuits.frames.gas`) and time."""

MAX_TIME: Final = 2**29 - 1
"""The time at which an operation may be over that several segments prove (`circuits.carry`)."""

MAX_RUN_MESSAGES: Final = MODULUS - 1
"""Messages that all rows of a run may have on one bus: those on a bus that is carried are counted in the field."""

ROW_MESSAGES: Final = 4
"""Messages of a row on a bus that is carried, at most, sent or received (`tests/circuits/test_bounds.py`)."""

MORE_MESSAGES: Final = {
    "push_site_large": 33,
    "field_wide_32": 10,
    "field_wide_48": 10,
    "blake2f": 9,
    "call": 7,
    "call_stopped": 7,
    "call_delegated": 7,
    "call_delegated_stopped": 7,
    "log": 6,
    "transaction": 6,
    "push_site_medium": 5,
    "field_narrow_32": 5,
    "field_narrow_48": 5,
}
"""Tables of which a row may have more."""


def check_open(tables: Collection[str]) -> None:
    """Check that a segment that leaves something to the next one has none of the tables of a run's end.

    Args:
        tables: names of those that it has.

    Raises:
        Invalid: naming one of these.
    """
    if early := sorted(LAST_TABLES.intersection(tables)):
        raise Invalid(f"a segment with an open end has the table {early[0]}")


def messages(rows: Mapping[str, int]) -> int:
    """How many messages tables may have on a bus that is carried.

    Args:
        rows: of each table, padding included.
    """
    return sum(count * MORE_MESSAGES.get(table, ROW_MESSAGES) for table, count in rows.items())


def check_run(count: int) -> None:
    """Check that the segments of a run have no more messages together than can be counted.

    Raises:
        Invalid: if they have.
    """
    if count > MAX_RUN_MESSAGES:
        raise Invalid(f"a run of segments may have {count:,} messages on a bus; {MAX_RUN_MESSAGES:,} are allowed")


def check_heights(tables: Sequence[str], log_heights: Sequence[int | None]) -> None:
    """Check that no table is too high.

    Args:
        tables: their names.
        log_heights: log2 of the rows of each, None for one without rows.

    Raises:
        Invalid: naming the highest of those that are.
    """
    present = [(height, name) for name, height in zip(tables, log_heights, strict=True) if height is not None]
    height, name = max(present, default=(0, ""))
    if height > MAX_LOG_HEIGHT:
        raise Invalid(f"table {name} has {1 << height:,} rows, padding included; {1 << MAX_LOG_HEIGHT:,} are allowed")


def check_security(bits: float) -> None:
    """Check that a proof has enough proven bits of security.

    Raises:
        Invalid: if it has not.
    """
    if bits < MIN_SECURITY_BITS:
        raise Invalid(f"the proof has {bits:.1f} bits of security, {MIN_SECURITY_BITS:.0f} are needed")


def check_segment_size(circuit: Circuit, heights: Mapping[str, int], log_stacked_height: int) -> int:
    """Check that a proof of a segment with tables of these heights would not be refused for its size.

    Args:
        circuit: of the segment.
        heights: rows of each table that is present, padding included.
        log_stacked_height: of the key.

    Returns:
        Bytes of the proof.

    Raises:
        Invalid: if it would, with the reason and the table that takes the most.
    """
    found = [heights.get(name) for name in circuit.names]
    log_heights = [None if height is None else height.bit_length() - 1 for height in found]
    check_heights(circuit.names, log_heights)
    key = _shape(circuit, log_stacked_height)
    try:
        check_security(security(key, log_heights).total)
        size = encoded_bytes(key, tuple(log_heights))
        if size > MAX_SEGMENT_PROOF_BYTES:
            raise Invalid(f"the proof takes {size} bytes, at most {MAX_SEGMENT_PROOF_BYTES} are read")
    except Invalid as error:
        cells = {table.name: table.width * heights.get(table.name, 0) for table in circuit.tables}
        largest = max(cells, key=lambda name: cells[name])
        raise Invalid(f"{error}; the largest table is {largest} of {heights[largest]:,} rows") from error
    return size


@lru_cache(maxsize=16)
def _shape(circuit: Circuit, log_stacked_height: int) -> VerifyingKey:
    """The key of a circuit as far as sizes depend on it: without expressions and digest."""
    params = parameters(log_stacked_height)
    tables = tuple(_table_shape(table, params.max_degree) for table in circuit.statistics)
    return VerifyingKey(params, tables, height_bounds(tables, params), digest=())


def _table_shape(table: TableStatistics, degree: int) -> TableKey:
    return TableKey(
        width=table.columns,
        public_values=table.public_values,
        uses_next=table.uses_next,
        degree=degree,
        required=False,
        nodes=np.zeros((0, 3), dtype=np.int64),
        constraints=np.arange(table.distinct, dtype=np.int64),
        interactions=tuple(
            interaction
            for kind in table.kinds
            for interaction in [Interaction(kind.bus, 0, (0,) * kind.width, kind.weight)] * kind.number
        ),
    )
