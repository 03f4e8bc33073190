"""A small circuit whose proofs have every kind of message: a key, and a proof by the native engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import zkevm_native

from circuits.air.expression import Op

OTHER_ROWS = 64


@dataclass(frozen=True)
class Small:
    """A circuit's encoded key, the names of its tables, and a proof."""

    key: bytes
    tables: tuple[str, ...]
    proof: bytes


def _nodes(*nodes: tuple[int, ...]) -> list[int]:
    """Three numbers for each node."""
    return [number for node in nodes for number in (*node, 0, 0)[:3]]


#: The Fibonacci sequence: the first public value twice, the last row ends with the second one.
_SEGMENT = {
    "name": "segment",
    "width": 2,
    "public_values": 2,
    "nodes": _nodes(
        *((Op.LOCAL, 0), (Op.LOCAL, 1), (Op.NEXT, 0), (Op.NEXT, 1), (Op.PUBLIC, 0), (Op.PUBLIC, 1)),  # 0 to 5
        *((Op.IS_FIRST,), (Op.IS_LAST,), (Op.IS_TRANSITION,)),  # 6 to 8
        *((Op.SUB, 0, 4), (Op.MUL, 6, 9), (Op.SUB, 1, 4), (Op.MUL, 6, 11)),  # 9 to 12
        *((Op.SUB, 2, 1), (Op.MUL, 8, 13), (Op.ADD, 0, 1), (Op.SUB, 3, 15), (Op.MUL, 8, 16)),  # 13 to 17
        *((Op.SUB, 1, 5), (Op.MUL, 7, 18)),  # 18 and 19
    ),
    "constraints": [10, 12, 14, 17, 19],
    "interactions": [],
}

#: Sends and receives what it holds, on two buses, one of them with a message of two fields.
_OTHER = {
    "name": "other",
    "width": 2,
    "public_values": 0,
    "nodes": _nodes((Op.LOCAL, 0), (Op.LOCAL, 1), (Op.CONST, 1), (Op.NEG, 2), (Op.NEG, 1)),
    "constraints": [],
    "interactions": [
        {"bus": 0, "count": 2, "fields": [0], "weight": 0},
        {"bus": 0, "count": 3, "fields": [0], "weight": 0},
        {"bus": 5, "count": 1, "fields": [0, 2], "weight": 1},
        {"bus": 5, "count": 4, "fields": [0, 2], "weight": 1},
    ],
}

#: Has no rows.
_IDLE = {
    "name": "idle",
    "width": 1,
    "public_values": 1,
    "nodes": [Op.LOCAL, 0, 0],
    "constraints": [0],
    "interactions": [],
}


@cache
def fibonacci(log_stacked_height: int, start: int) -> Small:
    """A proof with the public values [start, 8th term]: tables of 2^3 and 2^6 rows, below and above the 2^4 rows of the
    univariate domain, and one without rows.
    """
    tables = (_SEGMENT, _OTHER, _IDLE)
    key = zkevm_native.keygen(json.dumps({"tables": tables}), log_stacked_height)
    rows = [(start, start)]
    for _ in range(7):
        a, b = rows[-1]
        rows.append((b, (a + b) % zkevm_native.MODULUS))
    traces = [
        np.array(rows, dtype=np.uint32),
        np.arange(2 * OTHER_ROWS, dtype=np.uint32).reshape(OTHER_ROWS, 2),
        None,
    ]
    proof, _ = zkevm_native.prove(key, traces, [[start, rows[-1][1]], [], []], 1)
    return Small(key.verifying_key().to_bytes(), tuple(str(table["name"]) for table in tables), proof)
