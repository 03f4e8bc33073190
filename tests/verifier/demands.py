"""What the verifier demands of the segment proofs of a file that need not have any."""

from collections.abc import Sequence
from importlib import import_module
from math import inf

import pytest

from circuits.statement import PublicColumns
from verifier import trees
from verifier.container import Claim, ProofFile, SegmentRecord, encode_proof
from verifier.keys import PinnedKey
from verifier.room import COUNTED_TABLES
from verifier.segments import ProvedSegment, Stated
from verifier.sizes import MAX_LOG_HEIGHT
from verifier.trees import ProvedBatch
from verifier.verify import check_contents, verify

#: Rows of a segment whose tables have room for all that a small file may list.
ANY_ROWS = dict.fromkeys(COUNTED_TABLES, 1 << MAX_LOG_HEIGHT)


def check_unproved(file: ProofFile) -> None:
    """Make all checks but that of the proofs, as if these had room for all that the file lists.

    Raises:
        Rejected: one of them refuses it.
    """
    check_contents(encode_proof(file), [ANY_ROWS] * len(file.segments))


def demanded(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What the proof of each segment must state: the public values of the segment, of its frames and
    of its memory.

    The file must pass all other checks.
    """
    seen: list[list[int]] = []

    def any_proof(segment: SegmentRecord, key: PinnedKey) -> ProvedSegment:
        return ProvedSegment(ANY_ROWS, None, inf)

    def note(proved: Sequence[ProvedSegment], expected: Sequence[Stated]) -> None:
        assert all(len(stated.values) == PublicColumns.width for stated in expected)
        seen.extend([*stated.values, *stated.frames, *stated.words] for stated in expected)

    with monkeypatch.context() as patch:
        patch.setattr(import_module("verifier.verify"), "verify_segment", any_proof)
        patch.setattr(import_module("verifier.verify"), "check_stated", note)
        verify(encode_proof(file))
    return seen


def proved(claims: Sequence[Claim], start: list[int] | None = None) -> ProvedBatch:
    """What the one proof of segments states whose proofs say this."""
    hashes = trees.chain(claims)
    return ProvedBatch(tuple(start or hashes[0].tolist()), tuple(hashes[-1].tolist()), 100.0)
