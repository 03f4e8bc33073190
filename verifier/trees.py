"""Trees of proofs: what the one proof of all segments of a batch has to state, and whose keys it may name.

A leaf verifies proofs of segments, a node for leaves verifies leaves, and a recursive one verifies these or nodes of
its own circuit; the proof in a file is one of the last kind. Every node states a running hash at both ends: over what
the proofs of segments say, in their order: how high each table is, and all public values. The file has that of each
segment: a verifier compares one hash, whatever way the tree branches, and goes on as with the proofs themselves.

Trees that are made already are joined: a node over them hashes both ends of what each states, and the file says which
trees these are (`verifier.container.Joint`). A joined one may be joined again.

A circuit that verifies proofs has the key of its children in a committed table, so that a node names keys by
commitments: of the segments, the leaves, the nodes for leaves, and the recursive ones. All are pinned.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final

import numpy as np

from circuits.statement import Digests, Item, initial, running_chain
from circuits.widths import DIGEST
from verifier import keys
from verifier.container import STATED_VALUES, Claim, Joint
from verifier.engines import VerifiedSegment, node_key
from verifier.errors import Invalid
from verifier.segments import ProvedSegment, Stated
from verifier.sizes import MAX_LOG_HEIGHT, check_heights, check_security

TAG_CLAIM: Final = 30
"""Of what the proof of a segment says, as leaves hash it."""

BATCH_START: Final = initial(31)
"""The running hash before the first segment of a batch."""

JOIN_START: Final = initial(32)
"""What a node that joins trees hashes their ends from."""

CIRCUITS: Final = ("cancun", *(name for name in keys.KEY_SETS if name not in keys.CIRCUITS))
"""Key sets whose segments there are leaves for: the whole circuits of the others have more expressions than a leaf's
table rows."""

HEIGHTS: Final = tuple(height for height in keys.SUPPORTED_HEIGHTS if height <= MAX_LOG_HEIGHT)
"""Stacked heights of segments (log2) that there are leaves for: no table of these can be too high."""

NODE_MANIFEST: Final = "nodes.json"
NODE_KEY: Final = "recursive.vk"
NODE_FOLDER: Final = "nodes"

MAX_JOINED: Final = 4
"""Trees that one node joins, at most: as many children as it has."""

MAX_DEPTH: Final = 256
"""Recursive nodes above each other, which their circuit counts."""

_COMMIT: Final = 2 * DIGEST

VERIFIER_TABLE: Final = 0
CHAIN_TABLE: Final = 1
EXPRESSIONS_TABLE: Final = 3
"""Tables of a node: with public values about keys, and about segments; with the committed expressions of the key."""

_DEPTH: Final = 1 + 3 * _COMMIT
"""Where a node states how many recursive nodes lie above each other, itself included."""

_RECURSIVE: Final = 2
"""The layer of recursive nodes, as they state it; leaves are 0, nodes for leaves 1."""

Commit = tuple[int, ...]
"""How a proof names a key: the commitment to its expressions, and its digest, 8 elements each."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The pinned leaves for segments of one key.

    Attributes:
        segment: names the key of the segments.
        leaf: names that of the leaves.
        for_leaf: names that of the nodes which verify them.
        security_bits: the least of the first two, at any heights.
    """

    segment: Commit
    leaf: Commit
    for_leaf: Commit
    security_bits: float


@dataclass(frozen=True, slots=True)
class Nodes:
    """What is pinned of trees.

    Attributes:
        digest: of the key of recursive nodes, 32 bytes, hexadecimal.
        sha256: of its encoding.
        recursive: names the key of recursive nodes, the same whatever is below them.
        security_bits: the least of all inner nodes, at any heights.
        leaves: by key set and stacked height (log2).
    """

    digest: str
    sha256: str
    recursive: Commit
    security_bits: float
    leaves: Mapping[tuple[str, int], Leaves]


@dataclass(frozen=True, slots=True)
class ProvedBatch:
    """What the one proof of all segments states.

    Attributes:
        before, behind: the running hash over what the proofs of segments say, or over what joined trees state, 8
            elements each.
        security_bits: the least of all layers.
    """

    before: tuple[int, ...]
    behind: tuple[int, ...]
    security_bits: float


def claim_of(proved: ProvedSegment, tables: Sequence[str]) -> Claim:
    """What the proof of a segment says, which it must have.

    Args:
        proved: the same, as it was verified.
        tables: of its key, by name.
    """
    assert proved.stated is not None
    # Rows are a power of two.
    heights = bytes(proved.rows.get(table, 0).bit_length() for table in tables)
    own = (proved.stated.values, proved.stated.frames, proved.stated.words)
    values = [value for v, size in zip(own, STATED_VALUES.values(), strict=True) for value in (v or [0] * size)]
    return Claim(heights, tuple(values))


def proved_by(claim: Claim, tables: Sequence[str], security_bits: float) -> ProvedSegment:
    """Inverse of `claim_of`, of a claim that has been proved.

    Raises:
        Invalid: if a table is too high, or one that is absent has public values.
    """
    check_heights(tables, [height - 1 if height else None for height in claim.heights])
    rows = {table: 1 << (height - 1) for table, height in zip(tables, claim.heights, strict=True) if height}
    values = iter(claim.values)
    own = {table: list(islice(values, size)) for table, size in STATED_VALUES.items()}
    if any(any(own[table]) for table in own if table not in rows):
        raise Invalid("public values of a table that is absent")
    return ProvedSegment(rows, Stated(*(own[table] if table in rows else [] for table in own)), security_bits)


def chain(claims: Sequence[Claim]) -> Digests:
    """The running hash before and behind each segment, (n + 1, 8).

    Args:
        claims: what the proof of each says, all of one key.
    """
    if not claims:
        return BATCH_START[None]
    tables = len(claims[0].heights)
    padded = -(-tables // DIGEST) * DIGEST
    heights = np.zeros((len(claims), padded), dtype=np.uint32)
    heights[:, :tables] = [list(claim.heights) for claim in claims]
    values = np.array([claim.values for claim in claims], dtype=np.uint32)
    item = Item(TAG_CLAIM, (("heights", padded), ("values", values.shape[1])))
    return running_chain(BATCH_START, item.digests(heights=heights, values=values))


def joined_ends(
    ends: Sequence[tuple[Digests, Digests] | tuple[Sequence[int], Sequence[int]]],
) -> tuple[Digests, Digests]:
    """What a node states that joins trees: a hash before and behind them, (8,) each.

    Args:
        ends: what each of them states.
    """
    return JOIN_START, running_chain(JOIN_START, np.array(ends, dtype=np.uint32).reshape(-1, DIGEST))[-1]


def ends_of(joint: Joint, batches: Sequence[Sequence[Claim]]) -> tuple[Digests, Digests]:
    """What one proof of batches states, (8,) each.

    Args:
        joint: of which trees it is joined, all together of as many batches.
        batches: what the proofs of the segments of each say, all of one key.
    """
    return _ends_of(joint, iter(batches))


def _ends_of(joint: Joint, batches: Iterator[Sequence[Claim]]) -> tuple[Digests, Digests]:
    if isinstance(joint, int):
        return BATCH_START, chain([claim for batch in islice(batches, joint) for claim in batch])[-1]
    return joined_ends([_ends_of(own, batches) for own in joint])


def batches_of(joint: Joint) -> int:
    """Of how many batches a proof is that is joined like this."""
    return joint if isinstance(joint, int) else sum(map(batches_of, joint))


def to_document(nodes: Nodes) -> dict[str, Any]:
    """For `NODE_MANIFEST`."""
    leaves: dict[str, dict[str, Any]] = {}
    for (fork, height), own in nodes.leaves.items():
        leaves.setdefault(fork, {})[str(height)] = {
            "segment": list(own.segment),
            "leaf": list(own.leaf),
            "for_leaf": list(own.for_leaf),
            "security_bits": own.security_bits,
        }
    return {
        "digest": nodes.digest,
        "sha256": nodes.sha256,
        "recursive": list(nodes.recursive),
        "security_bits": nodes.security_bits,
        "leaves": leaves,
    }


def of_document(document: Mapping[str, Any]) -> Nodes:
    """Inverse of `to_document`. Raises `KeyError` and `ValueError` for what is none."""
    return Nodes(
        digest=document["digest"],
        sha256=document["sha256"],
        recursive=tuple(document["recursive"]),
        security_bits=document["security_bits"],
        leaves={
            (fork, int(height)): Leaves(
                tuple(own["segment"]), tuple(own["leaf"]), tuple(own["for_leaf"]), own["security_bits"]
            )
            for fork, by_height in document["leaves"].items()
            for height, own in by_height.items()
        },
    )


@cache
def pinned() -> Nodes:
    """What is pinned of trees.

    Raises:
        Invalid: if the installation has nothing.
    """
    try:
        found = of_document(json.loads((keys.FOLDER / NODE_FOLDER / NODE_MANIFEST).read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"the pinned keys of trees are missing or damaged: {error}") from error
    if found.recursive[DIGEST:] != _elements(found.digest):
        raise Invalid("the pinned key of trees is not the one that nodes name")
    return found


def leaves_of(circuits: Sequence[str], heights: Sequence[int]) -> Leaves:
    """The leaves for the segments of a batch.

    Args:
        circuits: the key set of each segment.
        heights: the stacked height (log2) of each.

    Raises:
        Invalid: if there are none: segments of several keys, or too high.
    """
    of_keys = sorted(set(zip(circuits, heights, strict=True)))
    if len(of_keys) != 1:
        raise Invalid(f"one proof of segments of {len(of_keys)} keys, there has to be one")
    (own,) = of_keys
    circuit, height = own
    if circuit not in CIRCUITS:
        raise Invalid(
            f"one proof of segments of the whole circuit of {circuit}; beyond Cancun there is one only of batches that "
            "do not call the point evaluation or a precompile of BLS12-381"
        )
    if height not in HEIGHTS:
        raise Invalid(f"one proof of segments of log stacked height {height}, at most {HEIGHTS[-1]} is provided for")
    leaves = pinned().leaves[own]
    (digest,) = (key.digest for key in keys.manifest(circuit).keys if key.log_stacked_height == height)
    if leaves.segment[DIGEST:] != _elements(digest):
        raise Invalid(f"the pinned leaves for segments of {circuit} are not of the pinned key: run `make pin-keys`")
    return leaves


def _elements(digest: str) -> tuple[int, ...]:
    """The elements of the engine's digest of a key."""
    return tuple(np.frombuffer(bytes.fromhex(digest), dtype="<u4").tolist())


def write(nodes: Nodes, key: bytes) -> None:
    """Write what is pinned of trees in the place of what was before.

    Args:
        nodes: what is known of them.
        key: of recursive nodes, as the engine encodes it.
    """
    folder = keys.FOLDER / NODE_FOLDER
    folder.mkdir(exist_ok=True)
    (folder / NODE_KEY).write_bytes(zlib.compress(key, level=9))
    (folder / NODE_MANIFEST).write_text(json.dumps(to_document(nodes), indent=1) + "\n")


def encoding() -> bytes:
    """The pinned key of recursive nodes, as the engine encodes it.

    Raises:
        Invalid: if the installation has none, or another one than its manifest says.
    """
    try:
        found = zlib.decompress((keys.FOLDER / NODE_FOLDER / NODE_KEY).read_bytes())
    except (OSError, zlib.error) as error:
        raise Invalid(f"the pinned keys of trees are missing or damaged: {error}") from error
    if hashlib.sha256(found).hexdigest() != pinned().sha256:
        raise Invalid("the pinned key of trees is not the one of their manifest")
    return found


def verify_tree(proof: bytes, leaves: Leaves, engine: str) -> ProvedBatch:
    """Verify the one proof of all segments; what their proofs say is yet to be compared (`segments_of`).

    Args:
        proof: of a recursive node.
        leaves: for the segments' key.
        engine: one of `verifier.engines.ENGINES`.

    Raises:
        Invalid: if it is malformed, does not verify, names another key than those that are pinned, or has less than 100
            bits of security.
    """
    nodes = pinned()
    key = node_key(encoding(), engine)
    if key.digest.hex() != nodes.digest:
        raise Invalid("the pinned key of trees has another digest")
    verified = key.verify(proof)
    before, behind = check_node(verified, nodes, leaves)
    bits = min(verified.security_bits, nodes.security_bits, leaves.security_bits)
    check_security(bits)
    return ProvedBatch(before, behind, bits)


def depth_of(proof: bytes) -> int:
    """How many recursive nodes lie above each other in a tree, of which this is the end.

    Raises:
        Invalid: it is not.
    """
    return int(node_key(encoding(), "native").verify(proof).public_values[VERIFIER_TABLE][_DEPTH])


def check_node(verified: VerifiedSegment, nodes: Nodes, leaves: Leaves) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check that a proof that verifies with the key of recursive nodes is the end of a tree of the pinned keys.

    Args:
        verified: what it says.
        nodes, leaves: what is pinned.

    Returns:
        The running hash at both ends.

    Raises:
        Invalid: naming what differs.
    """
    about_keys = list(verified.public_values[VERIFIER_TABLE])
    ends = list(verified.public_values[CHAIN_TABLE])
    others = [values for n, values in enumerate(verified.public_values) if n not in (VERIFIER_TABLE, CHAIN_TABLE)]
    if len(about_keys) != 2 + 4 * _COMMIT or len(ends) != 2 * DIGEST or any(map(len, others)):
        raise Invalid("the proof is not of a node with all of its public values")
    # The order of `VerifierBasePvs` of the engine's circuit.
    layer, depth = about_keys.pop(0), about_keys.pop(_DEPTH - 1)
    named = [tuple(about_keys[i : i + _COMMIT]) for i in range(0, 4 * _COMMIT, _COMMIT)]
    if layer != _RECURSIVE:
        raise Invalid(f"the proof is of layer {layer} of a tree, not of a recursive node")
    if not 1 <= depth <= MAX_DEPTH:
        raise Invalid(f"the proof is of a recursive node of depth {depth}")
    below = leaves.for_leaf if depth == 1 else nodes.recursive
    wanted = {
        "segments": leaves.segment,
        "leaves": leaves.leaf,
        "nodes for leaves": leaves.for_leaf,
        # Whose key is named from the second on.
        "recursive nodes": (0,) * _COMMIT if depth == 1 else nodes.recursive,
    }
    for (what, commit), found in zip(wanted.items(), named, strict=True):
        if found != commit:
            raise Invalid(f"the proof names another key of {what} than the one that is pinned")
    commits = [tuple(commit) for commit in verified.cached_commits[EXPRESSIONS_TABLE]]
    if commits != [below[:DIGEST]]:
        raise Invalid("the proof is of a node whose children have another key")
    return tuple(ends[:DIGEST]), tuple(ends[DIGEST:])


def segments_of(
    proved: ProvedBatch, batches: Sequence[Sequence[Claim]], joint: Joint, tables: Sequence[str]
) -> list[ProvedSegment]:
    """What the proofs of the segments say that the one proof is of, if it is of these, in their order, and no others.

    Args:
        proved: what the one proof states.
        batches: of each batch the claims of its segments, with values below the modulus: the hash does not tell others
            from these.
        joint: of which trees the one proof is said to be joined, all together of as many batches.
        tables: of the segments' key, by name.

    Raises:
        Invalid: if it is not.
    """
    claims = [claim for batch in batches for claim in batch]
    for number, claim in enumerate(claims):
        if len(claim.heights) != len(tables):
            raise Invalid(f"segment {number} has heights of {len(claim.heights)} tables, its key has {len(tables)}")
    before, behind = ends_of(joint, batches)
    if proved.before != tuple(before.tolist()):
        what = "with the batch" if isinstance(joint, int) else "as one of joined trees"
        raise Invalid(f"the one proof does not begin {what}")
    if proved.behind != tuple(behind.tolist()):
        raise Invalid("the one proof is of segments whose proofs say something else")
    return [proved_by(claim, tables, proved.security_bits) for claim in claims]


def stating_tables(tables: Sequence[str]) -> list[int]:
    """Numbers of the tables with public values, in the order in which leaves hash these.

    Args:
        tables: of the segments' key, by name.
    """
    return [tables.index(name) for name in STATED_VALUES]
