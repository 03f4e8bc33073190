"""Dishonest segments: the acting tables altered at will, the function tables answering whatever is then asked.

This is the strongest position a dishonest prover has short of breaking the argument itself: every lookup that has an
answer gets one, and multiplicities always fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from circuits.air.checker import Finding, check_circuit
from circuits.air.layout import TraceView
from circuits.segment import ACTING_TABLES, FilledSegment, answer, segment_circuit

#: Receives views of the acting tables by name and alters them.
Forgery = Callable[[dict[str, Any]], None]


def forge(segment: FilledSegment, forgery: Forgery) -> FilledSegment:
    """The segment with its acting tables altered and its function tables filled for the altered queries."""
    acting = [trace.copy() for trace in segment.traces[:ACTING_TABLES]]
    tables = segment_circuit().tables
    forgery({t.name: TraceView(t.layout, m) for t, m in zip(tables[:ACTING_TABLES], acting, strict=True)})
    return FilledSegment(answer(acting), segment.public_values)


def check(segment: FilledSegment) -> list[Finding]:
    """All findings of the checker."""
    return check_circuit(segment_circuit(), segment.traces, segment.public_lists)


def places(findings: list[Finding]) -> set[str]:
    """The constraints and buses that object."""
    return {getattr(f, "constraint", None) or getattr(f, "bus", None) or f.table for f in findings}  # type: ignore[union-attr]
