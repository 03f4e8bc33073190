"""What the verifier demands of the segment proofs of a file that need not have any."""

from importlib import import_module

import pytest

from circuits.statement import PublicColumns
from verifier.container import ProofFile, SegmentRecord, encode_proof
from verifier.keys import PinnedKey
from verifier.verify import verify


def demanded(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The public values that the proof of each segment must have; the file must pass all other checks."""
    seen: list[list[int]] = []

    def note(segment: SegmentRecord, values: list[int], key: PinnedKey) -> float:
        assert len(values) == PublicColumns.width
        seen.append(values)
        return 100.0

    with monkeypatch.context() as patch:
        patch.setattr(import_module("verifier.verify"), "verify_segment", note)
        verify(encode_proof(file))
    return seen
