"""How many leaves, writes and codes a file can have use for, given the tables of its proved segments.

Each leaf of the access tree, each write and each code costs the verifier hashing, and honest files list none that no
segment has a row for. So they are counted against the rows of the tables before anything of them is hashed: a file with
more is refused for the price of counting.

- A leaf that a segment touches has a row of the table for its kind (`circuits.state.access_tree`). No segment touches
  the account and the code of a system contract whose calls are writes, or are none because it is not there: who
  executes the blocks does.
- A write is one of a row of `account`, `account_code` or `storage`, the code of an account one of `account_code`
  (`circuits.state.state`).
- A code belongs to an account at the batch's start, is what a segment leaves an account with, or has come and gone in
  between: as the initcode of a CREATE2 (at most 49,152 bytes, EIP-3860) or what a creation stores (at most 24,576,
  EIP-170), for each of which there is a row of `create` or `deposit`; or as the 23 bytes of a delegation (EIP-7702).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from circuits.batch.leaves import LeafKind, tree_depth
from circuits.limbs import words_to_ints
from circuits.statement import PublicColumns
from circuits.widths import DIGEST
from verifier.container import SegmentRecord, StateKey
from verifier.errors import Invalid
from verifier.operations import Digests
from verifier.segments import ProvedSegment
from verifier.state import BatchState
from verifier.system_contracts import is_delegation

LEAF_TABLES: Final[Mapping[str, tuple[tuple[LeafKind, ...], tuple[str, ...]]]] = {
    "accounts": ((LeafKind.ACCOUNT,), ("account_leaf", "account_code_leaf")),
    "slots": ((LeafKind.STORAGE, LeafKind.TRANSIENT), ("storage_leaf",)),
    "codes": ((LeafKind.CODE,), ("code_leaf",)),
    "hashes of blocks": ((LeafKind.BLOCK_HASH,), ("hash_leaf",)),
}
"""By what leaves are: their kinds, and the tables with a row for each of them that a segment touches."""

WRITE_TABLES: Final = ("account", "account_code", "storage")
CODE_WRITE_TABLES: Final = ("account_code",)
CREATION_TABLES: Final = ("create", "deposit")

COUNTED_TABLES: Final = (
    *(table for _, tables in LEAF_TABLES.values() for table in tables),
    *WRITE_TABLES,
    *CREATION_TABLES,
)
"""All tables whose rows are counted."""

MAX_CREATION_BYTES: Final = 49_152
"""Of an initcode (EIP-3860), which may be longer than what is stored."""

_DEPTH: Final = PublicColumns.offsets["depth"]
"""Where the public values have the depth of the access tree."""

_FIRST, _CHAIN = (PublicColumns.offsets[name] for name in ("first_operation", "operations_in"))
_OPERATIONS: Final = slice(_FIRST, _FIRST + 2)
"""Where they have the first operation and the end."""

_OPERATIONS_CHAIN: Final = slice(_CHAIN, _CHAIN + 2 * DIGEST)
"""Where they have the running hash over operations, at both ends."""


def _rows(proved: Sequence[ProvedSegment], tables: Sequence[str]) -> int:
    return sum(segment.rows.get(table, 0) for segment in proved for table in tables)


def check_stated_operations(
    segments: Sequence[SegmentRecord], proved: Sequence[ProvedSegment], operations: Digests
) -> None:
    """Check that each segment is proved of the operations that it has.

    So there are no more batches than are proved, each of which has its leaves hashed: of the segments of one batch a
    file with one proof could make several.

    Args:
        segments: of a plan that `check_plan` accepts.
        proved: what is known of each.
        operations: (n + 1, 8), the running hash of the batch.

    Raises:
        Invalid: naming the segment.
    """
    for number, (segment, facts) in enumerate(zip(segments, proved, strict=True)):
        if facts.stated is None:
            continue
        ends = [*operations[segment.first].tolist(), *operations[segment.end].tolist()]
        stated = facts.stated.values
        if [*stated[_OPERATIONS], *stated[_OPERATIONS_CHAIN]] != [segment.first, segment.end, *ends]:
            raise Invalid(f"segment {number} is not proved of these operations")


def check_leaf_room(keys: Sequence[StateKey], proved: Sequence[ProvedSegment], called: int) -> None:
    """Check that the segments have a row for each leaf, as far as their numbers tell, and a tree of this depth.

    Args:
        keys: as the proof file lists them.
        proved: the segments.
        called: how many system contracts the blocks call.

    Raises:
        Invalid: saying of what there are too many.
    """
    spare = {"accounts": called, "codes": called}
    room = {what: _rows(proved, tables) + spare.get(what, 0) for what, (_, tables) in LEAF_TABLES.items()}
    if len(keys) > sum(room.values()):
        raise Invalid(f"{len(keys):,} leaves, of which the segments touch {sum(room.values()):,} at most")
    found = Counter(kind for kind, _, _ in keys)
    for what, (kinds, _) in LEAF_TABLES.items():
        count = sum(found[kind] for kind in kinds)
        if count > room[what]:
            raise Invalid(f"{count:,} {what} among the leaves, of which the segments touch {room[what]:,} at most")
    # The tree is hashed as deep as it is said to be: of segments that are proved.
    depth = tree_depth(len(keys))
    for number, segment in enumerate(proved):
        # A proof without the table of segments states nothing.
        if segment.stated is not None and segment.stated.values[_DEPTH : _DEPTH + 1] != [depth]:
            raise Invalid(f"segment {number} is not proved of an access tree over {len(keys):,} leaves")


def check_write_room(segments: Sequence[SegmentRecord], proved: Sequence[ProvedSegment]) -> None:
    """Check that each segment has a row for each of its writes.

    Raises:
        Invalid: naming the segment.
    """
    for number, (segment, facts) in enumerate(zip(segments, proved, strict=True)):
        for what, count, tables in (
            ("writes", len(segment.writes), WRITE_TABLES),
            ("writes of codes", len(segment.code_writes), CODE_WRITE_TABLES),
        ):
            room = _rows([facts], tables)
            if count > room:
                raise Invalid(f"segment {number} has {count:,} {what}, of which its tables have {room:,} at most")


def check_code_use(
    codes: Sequence[bytes],
    state: BatchState,
    segments: Sequence[SegmentRecord],
    proved: Sequence[ProvedSegment],
) -> None:
    """Check that each code is an account's, or one of as many as creations may have had and left to nobody.

    Args:
        codes: of the leaves of that kind, in order, with the hashes that `check_keys` has compared.
        state: before the batch.
        segments, proved: with the codes that are written, and the rows of their tables.

    Raises:
        Invalid: if there is one more, or a longer one.
    """
    written = [words_to_ints(segment.code_writes.code_hash) for segment in segments]
    owned = {*words_to_ints(state.values.code_hash), *(code_hash for hashes in written for code_hash in hashes)}
    hashes = words_to_ints(state.keys.slot[np.flatnonzero(state.keys.kind == LeafKind.CODE)])
    passing = [
        code
        for code, code_hash in zip(codes, hashes, strict=True)
        if code_hash not in owned and not is_delegation(code)
    ]
    longest = max(map(len, passing), default=0)
    if longest > MAX_CREATION_BYTES:
        raise Invalid(f"a code of {longest:,} bytes that no account has")
    room = _rows(proved, CREATION_TABLES)
    if len(passing) > room:
        raise Invalid(f"{len(passing):,} codes that no account has, of which the segments create {room:,} at most")
