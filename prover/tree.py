"""The tree of proofs over segments: its nodes, what each is made of, and how one is proved.

Each node verifies a few segments, or nodes of the layer below, until one is left. Trees that are made already are
joined to it by nodes above, whose children have to be equally high: lower ones get nodes over a single one. The last
node verifies a single one that verifies a single one, so that its proof has the same size whatever is below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate
from typing import Final, Protocol

import zkevm_native

from circuits.statement import Form
from prover.store import content_key
from verifier import keys
from verifier.trees import CHAIN_TABLE, MAX_JOINED, stating_tables

LEAF, FOR_LEAF, RECURSIVE = "leaf", "node for leaves", "recursive node"
READY = "tree"
"""No node to be proved: one that is there."""

MAX_CHILDREN: Final = {LEAF: 4, FOR_LEAF: 3, RECURSIVE: MAX_JOINED}
"""Of a node, at most. Circuits have room for four; but three leaves, of any segments, take the 2^19 rows that the
highest table of a node for leaves may have."""

LEAF_BYTES: Final = {Form.LIGHT: 5 << 30, Form.COMMON: 7 << 30, Form.WHOLE: 12 << 30}
INNER_NODE_BYTES: Final = 4 << 30
"""Memory that proving a node takes, its circuit and key included, bytes; that of a leaf grows with the form of the
segments' circuit, whose expressions it has in a table. Whole trees took 4.9, 6.5 and 12.1 GB at most, which their
leaves do."""

Row = list[int]
"""Numbers of nodes, or of segments, side by side."""


@dataclass(frozen=True)
class Ready:
    """A tree that is made.

    Attributes:
        depth: how many recursive nodes lie above each other in it.
    """

    depth: int


@dataclass(frozen=True)
class NodePlan:
    """A node of a tree.

    Attributes:
        index: within the tree; children come before their parents.
        layer: `LEAF`, `FOR_LEAF`, `RECURSIVE` or `READY`.
        number: within its layer.
        children: indices of nodes; numbers of segments for a leaf.
        segments: numbers of those below it, but for those below trees that are made.
        width: how many nodes there are beside it, itself included: none of them waits for another.
        depth: how many recursive nodes lie above each other, itself included.
        of_itself: whether its children are nodes of its own circuit.
        joins: whether they are joined: each is a tree by itself.
    """

    index: int
    layer: str
    number: int
    children: Sequence[int]
    segments: range
    width: int
    depth: int = 0
    of_itself: bool = False
    joins: bool = False

    def __str__(self) -> str:
        return f"{self.layer} {self.number}"


@dataclass(frozen=True)
class NodeJob:
    """All that a worker needs to prove a node.

    Attributes:
        plan: the node.
        circuit, log_stacked_height: the key of the segments.
        children: their proofs.
        before, behind: what it states: the running hash before the first segment below it and behind the last one, or
            that over the trees which it joins.
    """

    plan: NodePlan
    circuit: str
    log_stacked_height: int
    children: Sequence[bytes] = field(repr=False)
    before: tuple[int, ...]
    behind: tuple[int, ...]

    @property
    def memory(self) -> int:
        """What proving it takes, bytes."""
        return largest_node_bytes(self.circuit) if self.plan.layer == LEAF else INNER_NODE_BYTES

    @cached_property
    def key(self) -> str:
        """What its proof is stored under: a digest of all that it is made of."""
        digest = bytes(keys.native(self.circuit, self.log_stacked_height).digest)
        kind = bytes([self.plan.of_itself, self.plan.joins])
        place = [self.plan.layer.encode(), kind, repr((self.before, self.behind)).encode()]
        return content_key(zkevm_native.VERSION.encode(), digest, *place, *self.children)


def largest_node_bytes(circuit: str) -> int:
    """Memory that the largest node of a tree over segments with keys of this name takes, bytes."""
    return LEAF_BYTES[Form.of_keys(circuit)[1]]


class Runner(Protocol):
    """Proves nodes somewhere."""

    @property
    def has_room(self) -> bool:
        """Whether another one would be begun at once."""

    def start(self, job: NodeJob) -> None:
        """Begin one."""

    def finished(self) -> tuple[NodeJob, bytes]:
        """The next one that is finished, of those that were begun, and its proof; waits for it."""


def plan_tree(*trees: int | Ready) -> list[NodePlan]:
    """The nodes of the tree over these trees, at least one, in order; the last one is the end.

    Args:
        trees: one that is made, or how many segments one is to be made of, at least one.
    """
    plans: list[NodePlan] = []
    numbers: Counter[str] = Counter()

    def add(layer: str, children: Sequence[int], segments: range, width: int, depth: int, **kind: bool) -> int:
        plans.append(NodePlan(len(plans), layer, numbers[layer], children, segments, width, depth, **kind))
        numbers[layer] += 1
        return len(plans) - 1

    def layer(name: str, rows: Sequence[Sequence[int]], *, of_itself: bool = False, joins: bool = False) -> list[Row]:
        """Above each of these rows of nodes, or of segments."""
        size = MAX_CHILDREN[name]
        cut = [[row[first : first + size] for first in range(0, len(row), size)] for row in rows]
        width = sum(map(len, cut))
        above: list[Row] = []
        for row in cut:
            above.append([])
            for children in row:
                below = [range(n, n + 1) if name == LEAF else plans[n].segments for n in children]
                segments = range(below[0].start, below[-1].stop)
                depth = plans[children[0]].depth + 1 if name == RECURSIVE else 0
                joined = joins and len(children) > 1
                above[-1].append(add(name, children, segments, width, depth, of_itself=of_itself, joins=joined))
        return above

    ends = accumulate(0 if isinstance(tree, Ready) else tree for tree in trees)
    tops: dict[int, int] = {}
    rows: dict[int, Row] = {}
    for number, (tree, end) in enumerate(zip(trees, ends, strict=True)):
        if isinstance(tree, Ready):
            tops[number] = add(READY, [], range(end, end), 1, tree.depth)
        else:
            rows[number] = list(range(end - tree, end))
    made = layer(RECURSIVE, layer(FOR_LEAF, layer(LEAF, list(rows.values()))))
    while wide := [number for number, row in enumerate(made) if len(row) > 1]:
        for number, row in zip(wide, layer(RECURSIVE, [made[n] for n in wide], of_itself=True), strict=True):
            made[number] = row
    tops |= zip(rows, (row[0] for row in made), strict=True)
    top = [tops[number] for number in range(len(trees))]
    while low := [n for n, own in enumerate(top) if plans[own].depth < max(plans[own].depth for own in top)]:
        for number, (own,) in zip(low, layer(RECURSIVE, [[top[n]] for n in low], of_itself=True), strict=True):
            top[number] = own
    while len(top) > 1:
        (top,) = layer(RECURSIVE, [top], of_itself=True, joins=True)
    if plans[-1].layer != READY:
        if len(plans[-1].children) > 1:
            # Its proof is longer, and still makes a longer one of the node above.
            (top,) = layer(RECURSIVE, [top], of_itself=True)
        layer(RECURSIVE, [top], of_itself=True)
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
        RECURSIVE: lambda: own.recursive_proof(children, job.plan.of_itself, job.plan.joins, threads),
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
