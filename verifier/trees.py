"""Trees of proofs: what the one proof of all segments of a batch has to state, and whose keys it may name.

A leaf verifies proofs of segments, a node for leaves verifies leaves, and a recursive one verifies these or nodes of
its own circuit; the proof in a file is one of the last kind. Every node states a running hash at both ends: over all
that segments state, in their order. So a verifier that knows what they must state compares one hash, and it does not
matter how the tree branches.

A circuit that verifies proofs has the key of its children in a committed table, so that a node names keys by
commitments: of the segments, the leaves, the nodes for leaves, and the recursive ones. All are pinned.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from circuits.statement import LIGHT, Digests, Item, PublicColumns, initial, running_chain
from verifier import keys
from verifier.engines import VerifiedSegment, node_key
from verifier.errors import Invalid
from verifier.segments import PUBLIC_TABLE
from verifier.sizes import MAX_LOG_HEIGHT, check_security

STATEMENT_ITEM: Final = Item(30, (("values", PublicColumns.width),))
"""What a segment states, as leaves hash it."""

BATCH_START: Final = initial(31)
"""The running hash before the first segment of a batch."""

CONSTANT_TABLES: Final[Mapping[str, tuple[int, ...]]] = {"frame": (0, 0), "memory": (1, 0, 0, 0, 0)}
"""Other tables with public values, and what these are in segments that are whole: leaves take no others."""

CIRCUITS: Final = ("cancun", *(name for name in keys.KEY_SETS if name.endswith(LIGHT)))
"""Key sets whose segments there are leaves for: the others have more expressions than a leaf's table rows."""

HEIGHTS: Final = tuple(height for height in keys.SUPPORTED_HEIGHTS if height <= MAX_LOG_HEIGHT)
"""Stacked heights of segments (log2) that there are leaves for: no table of these can be too high."""

NODE_MANIFEST: Final = "nodes.json"
NODE_KEY: Final = "recursive.vk"
NODE_FOLDER: Final = "nodes"

MAX_DEPTH: Final = 256
"""Recursive nodes above each other, which their circuit counts."""

DIGEST: Final = 8
_COMMIT: Final = 2 * DIGEST

VERIFIER_TABLE: Final = 0
CHAIN_TABLE: Final = 1
EXPRESSIONS_TABLE: Final = 3
"""Tables of a node: with public values about keys, and about segments; with the committed expressions of the key."""

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
        before, behind: the running hash over what segments state, 8 elements each.
        security_bits: the least of all layers.
    """

    before: tuple[int, ...]
    behind: tuple[int, ...]
    security_bits: float


def chain(stated: Sequence[Sequence[int]]) -> Digests:
    """The running hash before and behind each segment, (n + 1, 8).

    Args:
        stated: the public values of each.
    """
    values = np.array(stated, dtype=np.uint32).reshape(len(stated), PublicColumns.width)
    return running_chain(BATCH_START, STATEMENT_ITEM.digests(values=values))


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
            "call no precompile of elliptic curves but ECRECOVER"
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
    """Verify the one proof of all segments; what these have to state is yet to be compared (`check_chain`).

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
    layer, depth = about_keys.pop(0), about_keys.pop(3 * _COMMIT)
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


def check_chain(proved: ProvedBatch, stated: Sequence[Sequence[int]]) -> None:
    """Check that the one proof is of segments that state this, in their order, and of no others.

    Args:
        proved: what it says.
        stated: the public values of each segment, below the modulus: the hash does not tell others from these.

    Raises:
        Invalid: if it is not.
    """
    hashes = chain(stated)
    if proved.before != tuple(hashes[0].tolist()):
        raise Invalid("the one proof does not begin with the batch")
    if proved.behind != tuple(hashes[-1].tolist()):
        raise Invalid("the one proof is of segments that state something else")


def stated_tables(tables: Sequence[str]) -> tuple[int, list[tuple[int, list[int]]]]:
    """Where segments state something, for the engine's leaves.

    Args:
        tables: of the segments' key.

    Returns:
        The number of the table whose public values are hashed, and those of others with what they must be.
    """
    constant = [(tables.index(name), list(values)) for name, values in CONSTANT_TABLES.items()]
    return tables.index(PUBLIC_TABLE), constant
