"""The tree of proofs over segments: its nodes, what each is made of, and how one is proved.

Each node verifies a few segments, or nodes of the layer below, until one is left. The last node verifies a single one
that verifies a single one, so that its proof has the same size whatever the tree below is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final, Protocol

import zkevm_native

from prover.store import content_key
from verifier import keys
from verifier.trees import CHAIN_TABLE, stating_tables

LEAF, FOR_LEAF, RECURSIVE = "leaf", "node for leaves", "recursive node"

MAX_CHILDREN: Final = {LEAF: 4, FOR_LEAF: 3, RECURSIVE: 4}
"""Of a node, at most. Circuits have room for four; but three leaves, of any segments, take the 2^19 rows that the
highest table of a node for leaves may have."""

NODE_BYTES: Final = {LEAF: 5 << 30, FOR_LEAF: 4 << 30, RECURSIVE: 4 << 30}
"""Memory that proving a node takes, its circuit and key included, bytes. Whole trees took 4.9 GB at most, which their
leaves do."""

LARGEST_NODE_BYTES: Final = max(NODE_BYTES.values())


@dataclass(frozen=True)
class NodePlan:
    """A node of a tree.

    Attributes:
        index: within the tree; children come before their parents.
        layer: `LEAF`, `FOR_LEAF` or `RECURSIVE`.
        number: within its layer.
        children: indices of nodes; numbers of segments for a leaf.
        segments: numbers of those below it.
        width: how many nodes there are beside it, itself included: none of them waits for another.
        of_itself: whether its children are nodes of its own circuit.
    """

    index: int
    layer: str
    number: int
    children: range
    segments: range
    width: int
    of_itself: bool = False

    @property
    def memory(self) -> int:
        """What proving it takes, bytes."""
        return NODE_BYTES[self.layer]

    def __str__(self) -> str:
        return f"{self.layer} {self.number}"


@dataclass(frozen=True)
class NodeJob:
    """All that a worker needs to prove a node.

    Attributes:
        plan: the node.
        circuit, log_stacked_height: the key of the segments.
        children: their proofs.
        before, behind: the running hash before the first segment below it and behind the last one: what it states.
    """

    plan: NodePlan
    circuit: str
    log_stacked_height: int
    children: Sequence[bytes] = field(repr=False)
    before: tuple[int, ...]
    behind: tuple[int, ...]

    @cached_property
    def key(self) -> str:
        """What its proof is stored under: a digest of all that it is made of."""
        digest = bytes(keys.native(self.circuit, self.log_stacked_height).digest)
        place = [self.plan.layer.encode(), bytes([self.plan.of_itself]), repr((self.before, self.behind)).encode()]
        return content_key(zkevm_native.VERSION.encode(), digest, *place, *self.children)


class Runner(Protocol):
    """Proves nodes somewhere."""

    @property
    def has_room(self) -> bool:
        """Whether another one would be begun at once."""

    def start(self, job: NodeJob) -> None:
        """Begin one."""

    def finished(self) -> tuple[NodeJob, bytes]:
        """The next one that is finished, of those that were begun, and its proof; waits for it."""


def plan_tree(segments: int) -> list[NodePlan]:
    """The nodes of the tree over so many segments, at least one; the last one is the end."""
    plans: list[NodePlan] = []
    numbers: Counter[str] = Counter()

    def layer_above(name: str, below: range, *, of_itself: bool = False) -> range:
        size = MAX_CHILDREN[name]
        groups = [below[first : first + size] for first in range(0, len(below), size)]
        start = len(plans)
        for children in groups:
            below_each = [children] if name == LEAF else [plans[child].segments for child in children]
            own = range(below_each[0].start, below_each[-1].stop)
            plans.append(NodePlan(len(plans), name, numbers[name], children, own, len(groups), of_itself))
            numbers[name] += 1
        return range(start, len(plans))

    layer = layer_above(FOR_LEAF, layer_above(LEAF, range(segments)))
    layer = layer_above(RECURSIVE, layer)
    while len(layer) > 1:
        layer = layer_above(RECURSIVE, layer, of_itself=True)
    if len(plans[-1].children) > 1:
        # Its proof is longer, and still makes a longer one of the node above.
        layer = layer_above(RECURSIVE, layer, of_itself=True)
    layer_above(RECURSIVE, layer, of_itself=True)
    return plans


@cache
def circuits(circuit: str, log_stacked_height: int) -> zkevm_native.Aggregator:
    """The circuits of trees over segments of a key, each made once in a process, when it is first needed."""
    stating = stating_tables(keys.manifest(circuit).tables)
    return zkevm_native.Aggregator(keys.native(circuit, log_stacked_height), stating)


def prove_node(job: NodeJob, threads: int) -> bytes:
    """The proof of a node, in the engine's encoding.

    Raises:
        zkevm_native.EngineError: its children do not verify, or do not follow each other.
    """
    own = circuits(job.circuit, job.log_stacked_height)
    children = list(job.children)
    make: dict[str, Callable[[], bytes]] = {
        LEAF: lambda: own.leaf_proof(children, list(job.before), threads),
        FOR_LEAF: lambda: own.for_leaf_proof(children, threads),
        RECURSIVE: lambda: own.recursive_proof(children, job.plan.of_itself, threads),
    }
    return make[job.plan.layer]()


def is_proof_of(proof: bytes, job: NodeJob) -> bool:
    """Whether a proof verifies as one of the node's circuit, and states what the node has to."""
    leaf, for_leaf, recursive = circuits(job.circuit, job.log_stacked_height).keys()
    try:
        verified = zkevm_native.verify({LEAF: leaf, FOR_LEAF: for_leaf, RECURSIVE: recursive}[job.plan.layer], proof)
    except zkevm_native.EngineError:
        return False
    return list(verified.public_values[CHAIN_TABLE]) == [*job.before, *job.behind]
