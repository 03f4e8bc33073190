"""One proof of all segments of a batch, from the file that has a proof of each.

Leaves verify up to four segments each, nodes above them up to four nodes below, layer by layer, until one is left; a
last node verifies that one alone, so that its proof has the same size whatever it proves. Each node is stored under the
content it is made of, so that a run that was killed repeats nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import zkevm_native

from prover.errors import ProverError
from prover.store import SegmentStore, check_folder, content_key, write_atomically
from verifier import keys
from verifier.container import ProofFile, decode_proof, encode_proof
from verifier.errors import Invalid, Rejected
from verifier.trees import chain, leaves_of, stated_tables
from verifier.verify import circuits_of_segments, verify

logger = logging.getLogger(__name__)

MAX_CHILDREN = 4
"""Of a node, at most."""

LEAF, FOR_LEAF, RECURSIVE = "leaf", "node for leaves", "recursive node"


@dataclass(frozen=True)
class NodeEvent:
    """A node is finished: made now, or taken from the store.

    Attributes:
        layer: `LEAF`, `FOR_LEAF` or `RECURSIVE`.
        number: within its layer.
        children: how many it has.
        proof_bytes: of its proof.
        seconds: to make it; 0 where it was stored.
    """

    layer: str
    number: int
    children: int
    proof_bytes: int
    seconds: float
    reused: bool


@dataclass(frozen=True)
class AggregateReport:
    """What a run did.

    Attributes:
        nodes: of the tree, in the order in which they were finished.
        security_bits: the least of all layers.
        seconds: to make the nodes, all together; to make the circuits is among the first of each layer.
    """

    nodes: Sequence[NodeEvent]
    security_bits: float
    seconds: float


def nodes_of(segments: int) -> int:
    """How many nodes a tree over so many segments has."""
    count = 0
    width = segments
    for _ in (LEAF, FOR_LEAF):
        width = -(-width // MAX_CHILDREN)
        count += width
    while True:
        width = -(-width // MAX_CHILDREN)
        count += width
        if width == 1:
            return count + 1


def default_store(out: Path) -> Path:
    """Where finished nodes are kept while a tree is made, unless said otherwise."""
    return out.with_name(out.name + ".nodes")


def aggregate(
    content: bytes,
    out: Path,
    *,
    threads: int | None = None,
    store: Path | None = None,
    keep: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_node: Callable[[NodeEvent], None] = lambda event: None,
) -> AggregateReport:
    """Make one proof of all segments of a proof file, and write the file that has it.

    Args:
        content: of the file with a proof of each segment. It is verified first.
        out: the file to write; replaced in one step when it is complete.
        threads: that the engine uses; all cores when None.
        store: folder of finished nodes; `default_store(out)` when None.
        keep: leave the nodes in the store.
        progress: called with the nodes that are done, and with how many there will be.
        on_node: called with each node when it is finished.

    Raises:
        ProverError: the file is refused, or has segments of which there is no one proof; or a node cannot be proved.
        OSError: the output or the store cannot be written to.
    """
    check_folder(out)
    file, circuit, height = _whole(content)
    key = keys.load(circuit, height)
    segment_key = keys.native(circuit, height)
    proofs = [bytes(segment.proof) for segment in file.segments]
    table, constant = stated_tables(key.tables)
    stated = [list(key.verifying_key.verify(proof).public_values[table]) for proof in proofs]
    tree = _Tree(
        zkevm_native.Aggregator(segment_key, table, constant),
        SegmentStore(store or default_store(out)),
        bytes(segment_key.digest),
        threads or os.cpu_count() or 1,
        nodes_of(len(proofs)),
        progress,
        on_node,
    )
    start = time.perf_counter()
    one_proof = tree.prove(proofs, chain(stated).tolist())
    seconds = time.perf_counter() - start
    whole = replace(
        file,
        segments=tuple(
            replace(segment, proof=b"", stated=tuple(own)) for segment, own in zip(file.segments, stated, strict=True)
        ),
        one_proof=one_proof,
    )
    encoded = encode_proof(whole)
    try:
        report = verify(encoded)
    except Rejected as error:
        raise ProverError(f"the verifier refuses the one proof: {error}", "this is an error of the prover") from error
    write_atomically(out, encoded)
    if not keep:
        tree.store.remove(tree.stored)
    return AggregateReport(nodes=tree.events, security_bits=report.security_bits or 0.0, seconds=seconds)


def _whole(content: bytes) -> tuple[ProofFile, str, int]:
    """The file, and the key set and stacked height of its segments, if there is one proof of them.

    Raises:
        ProverError: if there is not.
    """
    try:
        verify(content)
        file = decode_proof(content)
        if file.one_proof is not None:
            raise ProverError("the file has one proof of all segments already")
        if not file.segments:
            raise ProverError("the batch has no operations, so that there is nothing to prove")
        if any(segment.open_end is not None for segment in file.segments):
            raise ProverError(
                "the batch has an operation that several segments prove, of which there is no one proof",
                "prove it with a larger --segment-memory, so that each operation is in one segment",
            )
        circuits = circuits_of_segments(content)
        heights = [segment.log_stacked_height for segment in file.segments]
        leaves_of(circuits, heights)
    except (Invalid, Rejected) as error:
        raise ProverError(str(error), "segments of one size and fork have one proof") from error
    return file, circuits[0], heights[0]


class _Tree:
    """Makes the nodes, or takes them from the store."""

    def __init__(
        self,
        circuits: zkevm_native.Aggregator,
        store: SegmentStore,
        digest: bytes,
        threads: int,
        total: int,
        progress: Callable[[int, int], None],
        on_node: Callable[[NodeEvent], None],
    ) -> None:
        self._circuits = circuits
        self.store = store
        self._digest = digest
        self._threads = threads
        self._total = total
        self._progress = progress
        self._on_node = on_node
        self.events: list[NodeEvent] = []
        self.stored: list[str] = []
        progress(0, total)

    def prove(self, segments: list[bytes], hashes: list[list[int]]) -> bytes:
        """The proof of the last node.

        Args:
            segments: proofs of all segments.
            hashes: the running hash before each segment, and behind the last one.
        """
        layer = [
            self._node(LEAF, number, own, hashes[MAX_CHILDREN * number])
            for number, own in enumerate(_groups(segments, MAX_CHILDREN))
        ]
        layer = [self._node(FOR_LEAF, number, own) for number, own in enumerate(_groups(layer, MAX_CHILDREN))]
        of_itself = False
        while not (of_itself and len(layer) == 1):
            layer = [
                self._node(RECURSIVE, number, own, of_itself=of_itself)
                for number, own in enumerate(_groups(layer, MAX_CHILDREN))
            ]
            of_itself = True
        return self._node(RECURSIVE, 0, layer, of_itself=True)

    def _node(
        self,
        layer: str,
        number: int,
        children: list[bytes],
        before: list[int] | None = None,
        *,
        of_itself: bool = False,
    ) -> bytes:
        start = time.perf_counter()
        place = [layer.encode(), bytes([of_itself]), repr(before).encode()]
        name = content_key(zkevm_native.VERSION.encode(), self._digest, *place, *children)
        self.stored.append(name)
        proof = self.store.load(name, lambda found: self._verifies(layer, found))
        reused = proof is not None
        if proof is None:
            try:
                proof = self._made(layer, children, before, of_itself)
            except zkevm_native.EngineError as error:
                raise ProverError(f"{layer} {number}: {error}") from error
            self.store.save(name, proof)
        seconds = 0.0 if reused else time.perf_counter() - start
        event = NodeEvent(layer, number, len(children), len(proof), seconds, reused)
        logger.info("%s %d: %s", layer, number, "reused from the store" if reused else "proved")
        self.events.append(event)
        self._on_node(event)
        self._progress(len(self.events), self._total)
        return proof

    def _made(self, layer: str, children: list[bytes], before: list[int] | None, of_itself: bool) -> bytes:
        if before is not None:
            return self._circuits.leaf_proof(children, before, self._threads)
        if layer == FOR_LEAF:
            return self._circuits.for_leaf_proof(children, self._threads)
        return self._circuits.recursive_proof(children, of_itself, self._threads)

    def _verifies(self, layer: str, proof: bytes) -> bool:
        leaf, for_leaf, recursive = self._circuits.keys()
        key = {LEAF: leaf, FOR_LEAF: for_leaf, RECURSIVE: recursive}[layer]
        try:
            zkevm_native.verify(key, proof)
        except zkevm_native.EngineError:
            return False
        return True


def _groups(items: list[bytes], size: int) -> list[list[bytes]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
