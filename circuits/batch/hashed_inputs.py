"""What a segment hashes by Keccak-256: the inputs of its instructions and of its creations, under the names they get.

The sponge names a distinct input by the row in which it begins (`circuits.functions.keccak_sponge`). All tables that
look a hash up find that name here: by the step that made the hash, or by the content.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

import numpy as np

from circuits.batch.execution import Execution, Integers
from circuits.batch.field_calls import FieldCalls
from circuits.functions import keccak_sponge
from circuits.limbs import Limbs, words_from_ints
from executor.trace import NONE, HashPurpose

#: The name of an input that is not hashed.
NOT_HASHED = -1
#: The step of a hash that no step made.
NO_STEP = -1


class HashedInputs:
    """The hashes of an execution that the sponge computes.

    Left out are those of steps that fail, KECCAK256 of nothing, which is a constant, and the hashes of codes and
    initcodes, which the verifier computes.

    Attributes (n hashes, in the order in which they were made; d distinct inputs):
        purpose: (n,) values of `executor.trace.HashPurpose`.
        step: (n,) step of the execution; NO_STEP: the address of a contract that a transaction creates.
        start, size: (n,) place of the input in the trace's data.
        id: (n,) name of the input.
        distinct: the distinct inputs.
        digest: (d, 16) their hashes, words.
    """

    def __init__(self, execution: Execution) -> None:
        trace, hashes = execution.trace, execution.trace.hashes
        made = hashes.step.astype(np.int64)
        step = np.searchsorted(execution.step, made)
        here = step < len(execution.step)
        here[here] = (execution.step[step[here]] == made[here]) & ~execution.failed[step[here]]
        here[here] &= execution.within(execution.time[step[here]])
        here &= (hashes.purpose != HashPurpose.INSTRUCTION) | (hashes.input_size != 0)
        here &= ~np.isin(hashes.purpose, (HashPurpose.INITCODE, HashPurpose.CODE))
        # Transactions that create a contract hash once outside of all steps, in their order.
        outside = np.flatnonzero((made == NONE) & (hashes.purpose == HashPurpose.CREATE_ADDRESS))
        creating = np.flatnonzero(trace.transactions.is_creation)
        here[outside] = np.isin(creating, execution.transactions_within)
        step[outside] = NO_STEP

        row = np.flatnonzero(here)
        self.purpose = hashes.purpose[row]
        self.step: Integers = step[row]
        self.start: Integers = hashes.input_start[row].astype(np.int64)
        self.size: Integers = hashes.input_size[row].astype(np.int64)
        # Inputs are byte strings of many lengths: a dictionary finds equal ones.
        inputs = [
            trace.bytes_at(start, size) for start, size in zip(self.start.tolist(), self.size.tolist(), strict=True)
        ]
        # What programs hash, the keys of ECRECOVER, is no hash of the trace.
        programs = FieldCalls.of(execution).keccak_inputs
        others = [data for data, _ in programs]
        self.distinct = keccak_sponge.Inputs.of([*inputs, *others])
        self.id: Integers = self.find(inputs)
        digests = np.concatenate([hashes.digest[row], words_from_ints([digest for _, digest in programs])])
        _, first = np.unique(self.find([*inputs, *others]), return_index=True)
        self.digest: Limbs = digests[first]

    @classmethod
    def of(cls, execution: Execution) -> HashedInputs:
        """The inputs of an execution; made once."""
        hashed = _hashed.get(execution)
        if hashed is None:
            hashed = _hashed[execution] = cls(execution)
        return hashed

    def made_by(self, steps: Integers, purpose: HashPurpose) -> Integers:
        """Which of the hashes (k,) these steps (k,) made for this purpose.

        Raises:
            ValueError: a step made none.
        """
        rows = np.flatnonzero((self.purpose == purpose) & (self.step != NO_STEP))
        found = np.searchsorted(self.step[rows], steps)
        if (found == len(rows)).any() or (self.step[rows[found]] != steps).any():
            raise ValueError(f"a step has no hash of the purpose {purpose.name}")
        return rows[found]

    def find(self, inputs: Iterable[bytes]) -> Integers:
        """Names (k,) of inputs, NOT_HASHED for others."""
        ids = self.distinct.id_of
        return np.array([ids.get(data, NOT_HASHED) for data in inputs], dtype=np.int64)

    def digest_of(self, ids: Integers) -> Limbs:
        """Hashes (k, 16) of the inputs with these names (k,)."""
        return self.digest[np.searchsorted(self.distinct.ids, ids)]


_hashed: WeakKeyDictionary[Execution, HashedInputs] = WeakKeyDictionary()
