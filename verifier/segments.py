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

from circuits.batch.leaves import LeafKind, LeafValues, account_digests, leaf_digests, levels, tree_depth, word_digests
from circuits.functions.poseidon2 import compress
from circuits.limbs import Limbs, addresses_from_bytes, words_from_bytes
from circuits.statement import CIRCUIT_VERSION, CODE_ITEM, WRITE_ITEM, WRITES_START, SegmentPublicValues, running_chain
from verifier.container import CodeWrites, SegmentRecord, Writes
from verifier.errors import Invalid
from verifier.forks import Fork
from verifier.keys import PinnedKey
from verifier.operations import Digests, Operations
from verifier.sizes import check_heights, check_security
from verifier.state import BatchState
from verifier.system_contracts import is_delegation, proves_calls, system_contracts

PUBLIC_TABLE: Final = "segment"
"""The table that holds the public values of a segment; no other table has any."""


@dataclass(frozen=True, slots=True)
class ProvedSegment:
    """What a segment's proof says, whatever it is that it should say.

    Attributes:
        rows: of each table that is present, padding included, by name.
        stated: its public values; None where the proof is yet to be made.
        security_bits: proven at these heights.
    """

    rows: Mapping[str, int]
    stated: Sequence[int] | None
    security_bits: float


def check_plan(segments: Sequence[SegmentRecord], operations: int) -> None:
    """Check that the segments follow each other and cover exactly the operations 0 to `operations`.

    Raises:
        Invalid: on a gap, an overlap, an empty segment, or a wrong end.
    """
    position = 0
    for number, segment in enumerate(segments):
        if segment.first != position:
            raise Invalid(f"segment {number} starts at operation {segment.first} instead of {position}")
        if segment.end <= segment.first:
            raise Invalid(f"segment {number} has no operations")
        position = segment.end
    if position != operations:
        raise Invalid(f"the segments end at operation {position} instead of {operations}")


def circuits_of(segments: Sequence[SegmentRecord], operations: Operations, forks: Sequence[Fork]) -> list[str]:
    """The circuit that proves each segment: that of the forks of the blocks whose operations it has.

    Args:
        segments: of a plan that `check_plan` accepts.
        operations: of the batch.
        forks: of its blocks.

    Returns:
        The names of their key sets (`verifier.keys`).

    Raises:
        Invalid: if a segment has operations of two circuits.
    """
    scopes = np.array(operations.scopes)
    has_operations = scopes[1:] > scopes[:-1]
    circuits = []
    for number, segment in enumerate(segments):
        # The last block that begins at or before an operation has it: those before it with the same scope have none.
        first, last = np.searchsorted(scopes, (segment.first, segment.end - 1), side="right") - 1
        own = (first + np.flatnonzero(has_operations[first : last + 1])).tolist()
        names = list(dict.fromkeys(forks[block].circuit for block in own))
        if len(names) > 1:
            raise Invalid(f"segment {number} has operations of the circuits of {' and '.join(names)}")
        circuits += names
    return circuits


def check_writes(segments: Sequence[SegmentRecord], operations: Operations, state: BatchState) -> None:
    """Check that every write is one to an account or a slot, at a time within its segment.

    Raises:
        Invalid: naming the segment.
    """
    kinds, scopes = state.keys.kind, np.array(operations.scopes)
    for number, segment in enumerate(segments):
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
        of_block = (scopes[block] == scope) & (scope < segment.end) & (ends > segment.first)
        of_operation = (scope >= segment.first) & (scope < segment.end)
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


def expected_public_values(
    segments: Sequence[SegmentRecord], operations: Digests, receipts: Digests, tree: AccessTree
) -> list[list[int]]:
    """The public values each segment proof must have.

    Args:
        segments: of a plan that `check_plan` accepts, with writes that `check_writes` accepts.
        operations, receipts: (n + 1, 8), the running hashes.
        tree: with the values before the batch; the writes of all segments are made to it.
    """
    expected = []
    for segment in segments:
        access_in = tree.root
        tree.write(segment.writes, segment.code_writes)
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
        )
        expected.append(values.to_list())
    return expected


def verify_segment(segment: SegmentRecord, key: PinnedKey) -> ProvedSegment:
    """Verify one segment proof with a pinned key; what it states is yet to be compared (`check_stated`).

    Args:
        segment: with the proof.
        key: the pinned key for the segment's height.

    Raises:
        Invalid: if the proof is malformed, does not verify, has public values elsewhere than in the table of segments,
            too high a table or less than 100 bits of security.
    """
    verified = key.verifying_key.verify(bytes(segment.proof))
    by_table = dict(zip(key.tables, map(list, verified.public_values), strict=True))
    stated = by_table.pop(PUBLIC_TABLE, [])
    if any(by_table.values()):
        raise Invalid("the proof has public values of another table than that of segments")
    check_heights(key.tables, verified.log_heights)
    check_security(verified.security_bits)
    heights = zip(key.tables, verified.log_heights, strict=True)
    rows = {table: 1 << height for table, height in heights if height is not None}
    return ProvedSegment(rows, stated, verified.security_bits)


def check_stated(proved: Sequence[ProvedSegment], expected: Sequence[list[int]]) -> None:
    """Check that the proofs that there are state what they must.

    Public values of an absent table are empty, so each demands the table of segments, too.

    Raises:
        Invalid: naming the segment.
    """
    for number, (segment, values) in enumerate(zip(proved, expected, strict=True)):
        if segment.stated is not None and list(segment.stated) != values:
            raise Invalid(f"segment {number}: the proof is one of other public values")
