"""The calls of precompiles in a segment, and what they hash, under the names that the inputs get.

As for Keccak-256, the tables of a hash function name a distinct input by the row in which it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from circuits.batch.execution import FRAME_BEGIN, Execution, Integers
from circuits.batch.field_calls import FieldCalls
from circuits.batch.frame_data import FrameData
from circuits.batch.precompiles import HASHES, RIPEMD160, SHA256, precompile_gas
from circuits.functions import ripemd160, sha256
from circuits.functions.buses import RIPEMD160_FUNCTION, SHA256_FUNCTION
from circuits.functions.padded_blocks import PaddedInputs
from circuits.limbs import Limbs
from circuits.widths import WORD

#: Hash functions by name on buses, the precompiles that they are, and what hashes.
_FUNCTIONS = ((SHA256_FUNCTION, SHA256, sha256.digests), (RIPEMD160_FUNCTION, RIPEMD160, ripemd160.digests))


@dataclass(frozen=True, eq=False)
class PrecompileCalls:
    """Calls of precompiles that have tables, n of them.

    Attributes:
        frame: (n,) ids of their frames.
        number: (n,) of the precompile.
        kind, source, start, size: (n,) where the input lies, as on the precompile bus.
        gas, cost: (n,) gas given without the reserve; gas that it costs.
        time: (n,) time of the message to the precompile.
        id: (n,) name of the input that is hashed; 0 of identity, and where gas lacks.
        digest: (n, 16) its hash, a word; zeros likewise.
        distinct: the distinct inputs of each function.
    """

    frame: Integers
    number: Integers
    kind: Integers
    source: Integers
    start: Integers
    size: Integers
    gas: Integers
    cost: Integers
    time: Integers
    id: Integers
    digest: Limbs
    distinct: dict[int, PaddedInputs]

    @classmethod
    def make(
        cls,
        data: Sequence[bytes],
        *,
        frame: Integers,
        number: Integers,
        kind: Integers,
        source: Integers,
        start: Integers,
        gas: Integers,
        time: Integers,
        left: Integers | None = None,
        others: Sequence[bytes] = (),
    ) -> PrecompileCalls:
        """Calls with these inputs (n,); see the attributes.

        `left`: gas that is left where gas does not lack. `others`: what else is hashed by SHA-256, by programs.
        """
        size = np.array([len(d) for d in data], dtype=np.int64)
        cost = precompile_gas(number, size)
        if left is not None:
            cost = np.where(cost <= gas, gas - left, cost)
        ids = np.zeros(len(data), dtype=np.int64)
        digest = np.zeros((len(data), WORD), dtype=np.uint16)
        distinct = {}
        for function, precompile, digests in _FUNCTIONS:
            rows = np.flatnonzero((number == precompile) & (cost <= gas))
            more = others if precompile == SHA256 else ()
            distinct[function] = own = PaddedInputs.of([*(data[row] for row in rows.tolist()), *more])
            ids[rows] = [own.id_of[data[row]] for row in rows.tolist()]
            digest[rows] = digests(own)[np.searchsorted(own.ids, ids[rows])]
        return cls(frame, number, kind, source, start, size, gas, cost, time, ids, digest, distinct)

    @classmethod
    def of(cls, execution: Execution) -> PrecompileCalls:
        """Of an execution; made once."""
        found = _calls.get(execution)
        if found is None:
            trace, calldata = execution.trace, FrameData.of(execution)
            at = np.flatnonzero(np.isin(execution.frame_precompile, HASHES))
            places = zip(calldata.calldata_place[at].tolist(), calldata.calldata_size[at].tolist(), strict=True)
            rows, reserve = execution.frames[at], execution.frame_reserve[at]
            given, left = trace.frames.gas_given[rows] - reserve, trace.frames.gas_left[rows] - reserve
            found = _calls[execution] = cls.make(
                [trace.bytes_at(place, size) for place, size in places],
                frame=at + 1,
                number=execution.frame_precompile[at],
                kind=calldata.calldata_kind[at],
                source=calldata.calldata_id[at],
                start=calldata.calldata_start[at],
                gas=given.astype(np.int64),
                time=execution.frame_begin_time[at] + FRAME_BEGIN,
                left=left.astype(np.int64),
                others=[content for content, _ in FieldCalls.of(execution).hashed(SHA256_FUNCTION)],
            )
        return found

    def find(self, inputs: Sequence[bytes]) -> Integers:
        """Names (k,) of inputs of SHA-256."""
        ids = self.distinct[SHA256_FUNCTION].id_of
        return np.array([ids[data] for data in inputs], dtype=np.int64)


_calls: WeakKeyDictionary[Execution, PrecompileCalls] = WeakKeyDictionary()
