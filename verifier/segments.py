"""Segment proofs: the public values each must have, chained through the batch, and the engine's verification.

What a segment proves: its operations, executed in order on an access tree with the root `access_in`, give the logs and
receipts and the writes that are committed to, and lead to the root `access_out`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from eth_hash.auto import keccak
from numpy.typing import NDArray

from circuits.batch.leaves import LeafKind, LeafValues, account_digests, leaf_digests, levels, tree_depth, word_digests
from circuits.functions.poseidon2 import compress
from circuits.limbs import Limbs, addresses_from_bytes, words_from_bytes
from circuits.statement import (
    CIRCUIT_VERSION,
    CODE_ITEM,
    WRITE_ITEM,
    WRITES_START,
    SegmentPublicValues,
    links_chain,
    running_chain,
)
from verifier.container import CodeWrites, Links, OpenEnd, SegmentRecord, Writes
from verifier.errors import Invalid
from verifier.forks import Fork
from verifier.keys import PinnedKey
from verifier.operations import Digests, Operations
from verifier.sizes import MAX_LOG_HEIGHT, MAX_TIME, check_heights, check_open, check_run, check_security, messages
from verifier.state import BatchState
from verifier.system_contracts import is_delegation, proves_calls, system_contracts

PUBLIC_TABLE: Final = "segment"
"""The table that holds the public values of a segment."""

FRAME_TABLE: Final = "frame"
"""The table that says how its frames are numbered."""

MEMORY_TABLE: Final = "memory"
"""The table that says which words of memory have their rows in it; no other table has public values."""

FIRST_WORD: Final = (1, 0)
"""Frame and index of the word of memory that the rows of a run begin with; ids of frames begin with 1."""

LINK_TABLE: Final = "link"
"""The table with a row for each link."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What the proof of a segment states.

    Attributes:
        values: the public values of the segment.
        frames: those of its frames: how many there are before, and the id of the first one behind, or 0 where no
            further segment asks; nothing where the segment has no table of frames.
        words: those of its memory: frame and index of the first word that has its row in it, and 1, frame and index of
            the next one, or zeros where no further segment asks; nothing where it has no table of memory.
    """

    values: list[int]
    frames: list[int]
    words: list[int]


@dataclass(frozen=True, slots=True)
class ProvedSegment:
    """What a segment's proof says, whatever it is that it should say.

    Attributes:
        rows: of each table that is present, padding included, by name.
        stated: None where the proof is yet to be made.
        security_bits: proven at these heights.
    """

    rows: Mapping[str, int]
    stated: Stated | None
    security_bits: float


def check_plan(segments: Sequence[SegmentRecord], operations: int) -> None:
    """Check that the segments follow each other and cover exactly the operations 0 to `operations`.

    A segment with an open end leaves what it has begun to the next one, which may begin nothing of its own.

    Raises:
        Invalid: on a gap, an overlap, an empty segment, or a wrong end; on a link that is not one with a later segment
            of the same run, or not in its place.
    """
    position = 0
    goes_on = False
    for number, segment in enumerate(segments):
        if segment.first != position:
            raise Invalid(f"segment {number} starts at operation {segment.first} instead of {position}")
        if segment.end < segment.first or (segment.end == segment.first and not goes_on):
            raise Invalid(f"segment {number} has no operations")
        position, goes_on = segment.end, False
        if segment.open_end is not None:
            goes_on = True
            if not 0 < segment.open_end.time <= MAX_TIME:
                raise Invalid(f"segment {number} has an open end at the time {segment.open_end.time}")
            frame, index = segment.open_end.next_word
            # It is an integer (`circuits.memory.memory_tables`).
            if index >= 1 << MAX_LOG_HEIGHT:
                raise Invalid(f"segment {number} has an open end with word {index} of frame {frame} as the next one")
            if len(segment.writes) or len(segment.code_writes):
                raise Invalid(f"segment {number} has writes and an open end")
    if goes_on:
        raise Invalid("the last segment has an open end")
    if position != operations:
        raise Invalid(f"the segments end at operation {position} instead of {operations}")
    for run in runs_of(segments):
        for part, number in enumerate(run):
            # The earlier one of two parts lists what they have in common, the other one has it from there.
            allowed = part
            for other in segments[number].links.other.tolist():
                if not allowed < other < len(run):
                    raise Invalid(f"segment {number}, part {part} of {len(run)}, has a link with part {other}")
                allowed = other


def runs_of(segments: Sequence[SegmentRecord]) -> list[range]:
    """The segments that prove the same operations, of a plan that `check_plan` accepts: of each run its numbers."""
    found: list[range] = []
    for number in range(len(segments)):
        goes_on = number > 0 and segments[number - 1].open_end is not None
        begin = found.pop().start if goes_on else number
        found.append(range(begin, number + 1))
    return found


def first_of_runs(segments: Sequence[SegmentRecord]) -> list[int]:
    """The first operation of the run of each segment, of a plan that `check_plan` accepts."""
    return [segments[run.start].first for run in runs_of(segments) for _ in run]


def circuits_of(segments: Sequence[SegmentRecord], operations: Operations, forks: Sequence[Fork]) -> list[str]:
    """The circuit that proves each segment: that of the forks of the blocks whose operations it has, in some form.

    Which of its forms it is the prover may choose: what is proved with tables absent is proved without them.

    Args:
        segments: of a plan that `check_plan` accepts.
        operations: of the batch.
        forks: of its blocks.

    Returns:
        The names of their key sets (`verifier.keys`).

    Raises:
        Invalid: if a segment has operations of two circuits, or goes on with those of another one.
    """
    scopes = np.array(operations.scopes)
    has_operations = scopes[1:] > scopes[:-1]
    circuits: list[str] = []
    for number, (segment, begin) in enumerate(zip(segments, first_of_runs(segments), strict=True)):
        # The last block that begins at or before an operation has it: those before it with the same scope have none.
        first, last = np.searchsorted(scopes, (begin, segment.end - 1), side="right") - 1
        own = (first + np.flatnonzero(has_operations[first : last + 1])).tolist()
        names = list(dict.fromkeys(forks[block].circuit for block in own))
        if len(names) > 1:
            raise Invalid(f"segment {number} has operations of the circuits of {' and '.join(names)}")
        circuits += [segment.form.key_set(name) for name in names]
    return circuits


def check_writes(segments: Sequence[SegmentRecord], operations: Operations, state: BatchState) -> None:
    """Check that every write is one to an account or a slot, at a time within its segment.

    Raises:
        Invalid: naming the segment.
    """
    kinds, scopes = state.keys.kind, np.array(operations.scopes)
    for number, (segment, first) in enumerate(zip(segments, first_of_runs(segments), strict=True)):
        writes, codes = segment.writes, segment.code_writes
        scope = np.concatenate([writes.scope, codes.scope]).astype(np.int64)
        leaf = np.concatenate([writes.leaf, codes.leaf])
        if (leaf >= len(kinds)).any():
            raise Invalid(f"segment {number} writes to a leaf that there is not")
        kind = kinds[leaf]
        if not np.isin(kind, (LeafKind.ACCOUNT, LeafKind.STORAGE)).all():
            raise Invalid(f"segment {number} writes to a leaf that cannot change")
        if not (kind[len(writes) :] == LeafKind.ACCOUNT).all():
            raise Invalid(f"segment {number} writes a code to a leaf that has none")
        # Of an account: the first operation of a block of which the segment has some.
        # Of blocks without operations, which share their scope with the next one, the search finds the last.
        block = np.searchsorted(scopes, scope, side="right") - 1
        ends = scopes[np.minimum(block + 1, len(scopes) - 1)]
        of_block = (scopes[block] == scope) & (scope < segment.end) & (ends > first)
        of_operation = (scope >= first) & (scope < segment.end)
        if not np.where(kind == LeafKind.ACCOUNT, of_block, of_operation).all():
            raise Invalid(f"segment {number} writes outside of its operations")


def check_system_codes(
    segments: Sequence[SegmentRecord],
    operations: Operations,
    state: BatchState,
    forks: Sequence[Fork],
    written: Collection[bytes],
    codes: Sequence[bytes],
) -> None:
    """Check that what stands at the addresses of system contracts is what the operations of the batch rely on.

    Their code stays where calls are writes, and in blocks that would not call a new contract: what stands there before
    the batch decides which operations these have. None delegates (EIP-7702): the calls run what stands at the address.

    Args:
        segments: whose writes `check_writes` accepts.
        operations: of the batch.
        state: before it.
        forks: of its blocks.
        written: as for `operations_of`.
        codes: of the leaves.

    Raises:
        Invalid: naming the segment.
    """
    addresses = {address for fork in forks for address in system_contracts(fork)}
    delegations = words_from_bytes([keccak(code) for code in codes if is_delegation(code)])
    scopes = np.array(operations.scopes)
    for address in sorted(addresses):
        # Blocks that call it, but would not if there came to be a contract.
        fixed = np.array([address in system_contracts(fork) and not proves_calls(fork) for fork in forks], dtype=bool)
        own = (state.keys.address == addresses_from_bytes([address])).all(axis=1) & (
            state.keys.kind == LeafKind.ACCOUNT
        )
        name = f"the system contract 0x{address.hex()}"
        if _among(state.values.code_hash[own], delegations):
            raise Invalid(f"{name} delegates (EIP-7702)")
        for number, segment in enumerate(segments):
            writes = segment.code_writes
            here = own[writes.leaf]
            block = np.searchsorted(scopes, writes.scope[here].astype(np.int64), side="right") - 1
            if len(block) and (address in written or fixed[block].any()):
                raise Invalid(f"segment {number} writes a code to {name}")
            if _among(writes.code_hash[here], delegations):
                raise Invalid(f"segment {number} makes {name} delegate (EIP-7702)")


def _among(words: Limbs, others: Limbs) -> bool:
    """Whether one of the words (n, 16) is one of the others (m, 16)."""
    return bool((words[:, None] == others[None]).all(axis=2).any())


def ordered_code_writes(segments: Sequence[SegmentRecord]) -> CodeWrites:
    """The code writes of all segments in the order of time: by segment, within one by scope."""
    order = [np.argsort(segment.code_writes.scope, kind="stable") for segment in segments]
    pairs = list(zip(segments, order, strict=True))
    return CodeWrites(
        scope=np.concatenate([np.zeros(0, np.uint32), *(s.code_writes.scope[o] for s, o in pairs)]),
        leaf=np.concatenate([np.zeros(0, np.uint32), *(s.code_writes.leaf[o] for s, o in pairs)]),
        code_hash=np.concatenate([np.zeros((0, 16), np.uint16), *(s.code_writes.code_hash[o] for s, o in pairs)]),
    )


def ordered_writes(segments: Sequence[SegmentRecord]) -> Writes:
    """The writes of all segments in the order of time: by segment, within one by scope."""
    order = [np.argsort(segment.writes.scope, kind="stable") for segment in segments]
    pairs = list(zip(segments, order, strict=True))
    return Writes(
        scope=np.concatenate([np.zeros(0, np.uint32), *(s.writes.scope[o] for s, o in pairs)]),
        leaf=np.concatenate([np.zeros(0, np.uint32), *(s.writes.leaf[o] for s, o in pairs)]),
        value=np.concatenate([np.zeros((0, 16), np.uint16), *(s.writes.value[o] for s, o in pairs)]),
        nonce=np.concatenate([np.zeros((0, 4), np.uint16), *(s.writes.nonce[o] for s, o in pairs)]),
    )


class AccessTree:
    """The access tree over the leaves of a batch.

    Args:
        state: the leaves with the values they have now; it is not changed.
    """

    def __init__(self, state: BatchState) -> None:
        self._keys = state.keys
        now = state.values
        self._values = LeafValues(now.value.copy(), now.nonce.copy(), now.code_hash.copy(), now.stored)
        self._key_digests = state.keys.digests()
        self.depth = tree_depth(len(state.keys))
        self._levels = levels(leaf_digests(state.keys, self._values, state.codes), self.depth)

    @property
    def root(self) -> Digests:
        """The root now, (8,)."""
        root: Digests = self._levels[-1][0].copy()
        return root

    def write(self, writes: Writes, codes: CodeWrites) -> None:
        """Write values and codes; of several writes to a leaf the last one in the order of scopes stays."""
        value, nonce = self._values.value, self._values.nonce
        order = np.argsort(writes.scope, kind="stable")[::-1]
        written, last = np.unique(writes.leaf[order], return_index=True)
        value[written] = writes.value[order][last]
        nonce[written] = writes.nonce[order][last]
        order = np.argsort(codes.scope, kind="stable")[::-1]
        coded, last = np.unique(codes.leaf[order], return_index=True)
        self._values.code_hash[coded] = codes.code_hash[order][last]
        touched = np.union1d(written, coded)
        is_account = self._keys.kind[touched] == LeafKind.ACCOUNT
        accounts, slots = touched[is_account], touched[~is_account]
        digests = np.empty((len(touched), 8), dtype=np.uint32)
        digests[is_account] = account_digests(
            value[accounts], nonce[accounts], self._values.code_hash[accounts], self._values.stored[accounts]
        )
        digests[~is_account] = word_digests(value[slots])
        self._levels[0][touched] = compress(self._key_digests[touched], digests)
        for below, level in zip(self._levels, self._levels[1:], strict=False):
            touched = np.unique(touched >> 1)
            level[touched] = compress(below[2 * touched], below[2 * touched + 1])


def writes_digest(writes: Writes, codes: CodeWrites) -> Digests:
    """Running hash over writes, then over code writes, in the order in which they are listed, (8,)."""
    digests = WRITE_ITEM.digests(scope=writes.scope, leaf=writes.leaf, value=writes.value, nonce=writes.nonce)
    of_codes = CODE_ITEM.digests(scope=codes.scope, leaf=codes.leaf, code_hash=codes.code_hash)
    digest: Digests = running_chain(WRITES_START, np.concatenate([digests, of_codes]))[-1]
    return digest


def links_of(segments: Sequence[SegmentRecord]) -> list[Links]:
    """The links of each segment with others of its run, earlier ones first, as its proof commits to them.

    Both sides of a link get the same hash, from the record of the earlier one.

    Args:
        segments: of a plan that `check_plan` accepts.
    """
    found: list[Links] = []
    for run in runs_of(segments):
        others: list[list[NDArray[np.uint32]]] = [[] for _ in run]
        digests: list[list[NDArray[np.uint32]]] = [[] for _ in run]
        for part, number in enumerate(run):
            own = segments[number].links
            for other, digest in zip(own.other.tolist(), own.digest, strict=True):
                others[other].append(np.array([part], dtype=np.uint32))
                digests[other].append(digest[None])
            others[part].append(own.other)
            digests[part].append(own.digest)
        found += [Links(np.concatenate(o), np.concatenate(d)) for o, d in zip(others, digests, strict=True)]
    return found


def expected_public_values(
    segments: Sequence[SegmentRecord], operations: Digests, receipts: Digests, tree: AccessTree
) -> list[Stated]:
    """What each segment proof must state.

    Args:
        segments: of a plan that `check_plan` accepts, with writes that `check_writes` accepts.
        operations, receipts: (n + 1, 8), the running hashes.
        tree: with the values before the batch; the writes of all segments are made to it.

    Raises:
        Invalid: if the frames of a part are numbered backwards.
    """
    expected: list[Stated] = []
    before: OpenEnd | None = None
    links = links_of(segments)
    parts = [part for run in runs_of(segments) for part in range(len(run))]
    for position, segment in enumerate(segments):
        access_in = tree.root
        tree.write(segment.writes, segment.code_writes)
        after = segment.open_end
        values = SegmentPublicValues(
            version=CIRCUIT_VERSION,
            first_operation=segment.first,
            end_operation=segment.end,
            depth=tree.depth,
            operations_in=operations[segment.first],
            operations_out=operations[segment.end],
            receipts_in=receipts[segment.first],
            receipts_out=receipts[segment.end],
            writes_out=writes_digest(segment.writes, segment.code_writes),
            access_in=access_in,
            access_out=tree.root,
            time_in=0 if before is None else before.time,
            time_out=0 if after is None else after.time,
            links=links_chain(parts[position], links[position].other.tolist(), links[position].digest)[-1],
        )
        frames = 0 if before is None else before.next_frame - 1
        behind = 0 if after is None else after.next_frame
        if after is not None and not 0 <= behind - 1 - frames <= 1 << MAX_LOG_HEIGHT:
            raise Invalid(f"segment {position} says that {behind - 1 - frames} frames begin in it")
        first_word = FIRST_WORD if before is None else before.next_word
        next_word = (0, 0, 0) if after is None else (1, *after.next_word)
        expected.append(Stated(values.to_list(), [frames, behind], [*first_word, *next_word]))
        before = after
    return expected


def verify_segment(segment: SegmentRecord, key: PinnedKey) -> ProvedSegment:
    """Verify one segment proof with a pinned key; what it states is yet to be compared (`check_stated`).

    Args:
        segment: with the proof.
        key: the pinned key for the segment's height.

    Raises:
        Invalid: if the proof is malformed, does not verify, has public values elsewhere than in the tables of segments,
            frames and memory, too high a table or less than 100 bits of security.
    """
    verified = key.verifying_key.verify(bytes(segment.proof))
    by_table = dict(zip(key.tables, map(list, verified.public_values), strict=True))
    stated = Stated(*(by_table.pop(name, []) for name in (PUBLIC_TABLE, FRAME_TABLE, MEMORY_TABLE)))
    if any(by_table.values()):
        raise Invalid("the proof has public values of another table than those of segments, frames and memory")
    check_heights(key.tables, verified.log_heights)
    check_security(verified.security_bits)
    heights = zip(key.tables, verified.log_heights, strict=True)
    rows = {table: 1 << height for table, height in heights if height is not None}
    return ProvedSegment(rows, stated, verified.security_bits)


def check_runs(segments: Sequence[SegmentRecord], proved: Sequence[ProvedSegment]) -> None:
    """Check that what segments of runs say of themselves fits the tables that they have, and that no run is too long.

    That is: none with an open end has tables of a run's end, and none has more links than rows for them, so that no
    more is hashed than has been proved.

    Args:
        segments: of a plan that `check_plan` accepts.
        proved: what is known of each.

    Raises:
        Invalid: naming the segment.
    """
    links = links_of(segments)
    for run in runs_of(segments):
        total = 0
        for number in run:
            rows = proved[number].rows
            total += messages(rows)
            try:
                check_run(total)
                if len(links[number]) > rows.get(LINK_TABLE, 0):
                    raise Invalid(f"{len(links[number])} links, and a table of {rows.get(LINK_TABLE, 0)} rows for them")
                if segments[number].open_end is not None:
                    check_open(rows)
            except Invalid as error:
                raise Invalid(f"segment {number}: {error}") from error


def check_stated(proved: Sequence[ProvedSegment], expected: Sequence[Stated]) -> None:
    """Check that the proofs that there are state what they must.

    Public values of an absent table are empty, so each demands the table of segments, too. Without a table of frames or
    of memory there are no frames to be numbered, and no words: the next ones are the first ones.

    Raises:
        Invalid: naming the segment.
    """
    for number, (segment, wanted) in enumerate(zip(proved, expected, strict=True)):
        before, following = wanted.frames
        if FRAME_TABLE not in segment.rows and following not in (0, before + 1):
            raise Invalid(f"segment {number}: the proof is one without the frames that it is said to have")
        *first_word, asks, frame, index = wanted.words
        if MEMORY_TABLE not in segment.rows and asks and [frame, index] != first_word:
            raise Invalid(f"segment {number}: the proof is one without the words of memory that it is said to have")
        if segment.stated is None:
            continue
        frames = wanted.frames if FRAME_TABLE in segment.rows else []
        words = wanted.words if MEMORY_TABLE in segment.rows else []
        if segment.stated != Stated(wanted.values, frames, words):
            raise Invalid(f"segment {number}: the proof is one of other public values")
