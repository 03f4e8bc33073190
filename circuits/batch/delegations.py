"""Codes that stand for the code of another account (EIP-7702)."""

from __future__ import annotations

import numpy as np

from circuits.limbs import Limbs
from executor.trace import ExecutionTrace
from executor.transactions import DELEGATION_PREFIX, delegates

#: What such a code begins with; the address follows.
MARKER = DELEGATION_PREFIX
DELEGATION_BYTES = len(MARKER) + 20


def delegate_of(code: bytes) -> bytes | None:
    """The account whose code this one stands for; None for a code that runs itself."""
    return code[len(MARKER) :] if delegates(code) else None


class Delegates:
    """The accounts for whose code the codes of a batch stand, by the codes' hashes."""

    def __init__(self, trace: ExecutionTrace) -> None:
        codes = trace.codes
        self._of: dict[bytes, bytes] = {}
        for row in np.flatnonzero(codes.size == DELEGATION_BYTES):
            address = delegate_of(trace.bytes_at(codes.start[row], codes.size[row]))
            if address is not None:
                self._of[_key(codes.hash[row])] = address

    def of(self, code_hash: Limbs) -> bytes | None:
        """The account for whose code the one with this hash (16,) stands, if it stands for any."""
        return self._of.get(_key(code_hash))

    def known(self, code_hashes: Limbs) -> np.ndarray:
        """Which of these hashes (n, 16) are of codes that stand for another one, (n,) bool."""
        return np.array([_key(code_hash) in self._of for code_hash in code_hashes], dtype=bool)

    def addresses(self, code_hashes: Limbs) -> list[bytes]:
        """The accounts for whose codes these hashes (n, 16) stand; 20 zero bytes where there is none."""
        return [self._of.get(_key(code_hash), bytes(20)) for code_hash in code_hashes]


def _key(code_hash: Limbs) -> bytes:
    return np.ascontiguousarray(code_hash, dtype="<u2").tobytes()
