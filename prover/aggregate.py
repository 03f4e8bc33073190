"""One proof of all segments of a batch, or of batches that follow each other, from files with one or with one of each.

A node of the tree (`prover.tree`) is begun when its children are proved, in this process or in Ray tasks. Each is
stored under the content it is made of, so that a run that was killed repeats nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

from circuits.statement import Digests
from prover import local
from prover.errors import ProverError
from prover.planner import Budget, SegmentPlan, height_of_one_proof, levelled
from prover.store import SegmentStore, check_folder, write_atomically
from prover.tree import LEAF, READY, NodeJob, NodePlan, Ready, Runner, is_proof_of, plan_tree
from prover.workers import Workers, check_node_memory
from verifier import keys
from verifier.container import MAX_JOINS, Claim, ProofFile, SegmentRecord, decode_proof, encode_proof, joins_of
from verifier.errors import Invalid, Rejected
from verifier.joining import grouped, join
from verifier.trees import HEIGHTS, MAX_DEPTH, chain, claim_of, depth_of, ends_of, joined_ends, leaves_of
from verifier.verify import Accepted, VerificationReport, accept, verify

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeEvent:
    """A node is finished: made now, or taken from the store.

    Attributes:
        layer: `LEAF`, `FOR_LEAF` or `RECURSIVE`.
        number: within its layer.
        children: how many it has.
        proof_bytes: of its proof.
        seconds: from its start to its end; 0 where it was stored.
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
        batches: how many the one proof is of.
        nodes: of the tree, in the order in which they were finished.
        security_bits: the least of all layers.
        seconds: to make the nodes, all together; to make the circuits is among the first of each layer.
    """

    batches: int
    nodes: Sequence[NodeEvent]
    security_bits: float
    seconds: float


@dataclass(frozen=True)
class OneProof:
    """One proof of all segments, in its file.

    Attributes:
        content: of the file, which the verifier accepts.
        verification: what it said.
        nodes: of the tree, in the order in which they were finished.
        stored: keys of the nodes in the store.
    """

    content: bytes
    verification: VerificationReport
    nodes: Sequence[NodeEvent]
    stored: list[str]


@dataclass(frozen=True)
class ProofChoice:
    """Whether the segments of a batch get one proof.

    Attributes:
        plans: of the segments, of one stacked height where they do.
        one_proof: whether they do.
        why_not: where they are several, nobody has asked for a proof of each, and there cannot be one of all; empty
            otherwise.
    """

    plans: Sequence[SegmentPlan]
    one_proof: bool
    why_not: str = ""


def default_store(out: Path) -> Path:
    """Where finished nodes are kept while a tree is made, unless said otherwise."""
    return out.with_name(out.name + ".nodes")


def aggregate(
    contents: Sequence[bytes],
    out: Path,
    *,
    names: Sequence[str] = (),
    workers: Workers | None = None,
    store: Path | None = None,
    keep: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_node: Callable[[NodeEvent], None] = lambda event: None,
) -> AggregateReport:
    """Make one proof of all segments of proof files, and write the file that has it.

    Args:
        contents: of files with a proof of each segment, one or several whose batches follow each other; of several some
            may have one proof. Each is verified first.
        out: the file to write; replaced in one step when it is complete.
        names: of the files, for errors; numbers from 0 without.
        workers: where, and with how many workers; this machine with all cores for one node when None.
        store: folder of finished nodes; `default_store(out)` when None.
        keep: leave the nodes in the store.
        progress: called with the nodes that are done, and with how many there will be.
        on_node: called with each node when it is finished.

    Raises:
        ProverError: a file is refused, has segments of which there is no one proof, or does not go on where the one
            before it ends; or a node cannot be proved.
        OSError: the output or the store cannot be written to.
    """
    check_folder(out)
    names = names or [f"file {number}" for number in range(len(contents))]
    accepted = [_accepted(content, name) for content, name in zip(contents, names, strict=True)]
    nodes = SegmentStore(store or default_store(out))
    start = time.perf_counter()
    made = one_proof(accepted, nodes, names=names, workers=workers, progress=progress, on_node=on_node)
    seconds = time.perf_counter() - start
    write_atomically(out, made.content)
    if not keep:
        nodes.remove(made.stored)
    bits = made.verification.security_bits or 0.0
    return AggregateReport(made.verification.batches, made.nodes, bits, seconds)


def one_proof(
    accepted: Sequence[Accepted],
    store: SegmentStore,
    *,
    names: Sequence[str],
    workers: Workers | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_node: Callable[[NodeEvent], None] = lambda event: None,
) -> OneProof:
    """The file with one proof of all segments of files that the verifier has accepted; arguments as for `aggregate`.

    Raises:
        ProverError: there is none, or a node cannot be proved.
        OSError: the store cannot be written to.
    """
    circuit, height = key_of_all(accepted, names)
    try:
        file = join([own.file for own in accepted], names)
    except Invalid as error:
        raise ProverError(str(error), "give the files of one chain in the order of their blocks") from error
    if joins_of(file.joint) > MAX_JOINS:
        raise _joined_too_often(f"proofs would be joined more than {MAX_JOINS} times")
    tables = keys.manifest(circuit).tables
    claims = [[claim_of(proved, tables) for proved in own.proved] for own in accepted]
    unproved = _without_proofs(file, [claim for own in claims for claim in own])
    _check_size(unproved)
    trees = [_tree(accepted, claims, group) for group in grouped([own.file for own in accepted])]
    finished: list[NodeEvent] = []
    stored: list[str] = []

    def finish(job: NodeJob, proof: bytes, seconds: float | None) -> None:
        plan = job.plan
        logger.info("%s: %s", plan, "reused from the store" if seconds is None else "proved")
        stored.append(job.key)
        finished.append(
            NodeEvent(plan.layer, plan.number, len(plan.children), len(proof), seconds or 0.0, seconds is None)
        )
        on_node(finished[-1])
        progress(len(finished), len(run.plans))

    run = _Run(circuit, height, trees, store, finish)
    if (depth := run.plans[-1].depth if run.plans else 0) > MAX_DEPTH:
        raise _joined_too_often(f"{depth} recursive nodes would lie above each other, at most {MAX_DEPTH} may")
    progress(0, len(run.plans))
    with _runner(workers or Workers(), circuit, len(run.plans)) as runner:
        proof = run.proof(runner)
    content = encode_proof(replace(unproved, one_proof=proof))
    try:
        verification = verify(content)
    except Rejected as error:
        raise ProverError(f"the verifier refuses the one proof: {error}", "this is an error of the prover") from error
    return OneProof(content, verification, finished, stored)


def _joined_too_often(what: str) -> ProverError:
    return ProverError(what, "join more files at a time, fewer times")


def key_of_all(accepted: Sequence[Accepted], names: Sequence[str]) -> tuple[str, int]:
    """The key set and stacked height of the segments of files that there can be one proof of.

    Raises:
        ProverError: there can be none.
    """
    segments = [segment for own in accepted for segment in own.file.all_segments]
    circuits = [circuit for own in accepted for circuit in own.circuits]
    if len(accepted) == 1 and accepted[0].file.one_proof is not None:
        raise ProverError(
            f"{names[0]} has one proof of all segments already", "give the files of batches before or behind it, too"
        )
    if not segments:
        raise ProverError("there are no operations, so that there is nothing to prove")
    heights = [segment.log_stacked_height for segment in segments]
    check_aggregable(circuits, heights)
    return circuits[0], heights[0]


def choose(
    plans: Sequence[SegmentPlan], budget: Budget, one_proof: bool | None, memory: float = math.inf
) -> ProofChoice:
    """Whether the segments of a plan get one proof. Where they cut the batch does not depend on it.

    Args:
        plans: of all segments of a batch; of none there need not be a proof.
        budget: that they were planned with.
        one_proof: whether there has to be one; None: of several segments, if there can be, unless the budget says where
            operations are divided.
        memory: for a node of the tree, bytes; where it decides, nobody has demanded a tree.

    Raises:
        ProverError: there has to be one and cannot be.
    """
    several = len(plans) > 1 and budget.steps is None
    if not plans or not (several if one_proof is None else one_proof):
        return ProofChoice(plans, False)
    level = levelled(plans, budget.stacked_height or 0)
    try:
        check_aggregable([plan.keys for plan in level], [plan.log_stacked_height for plan in level])
        if one_proof is None:
            check_node_memory(memory, level[0].keys)
    except ProverError as error:
        if one_proof:
            raise
        return ProofChoice(plans, False, str(error))
    return ProofChoice(level, True)


def check_aggregable(circuits: Sequence[str], heights: Sequence[int]) -> None:
    """Check that there is one proof of such segments.

    Args:
        circuits, heights: the key set and the stacked height of each.

    Raises:
        ProverError: if there is not.
    """
    try:
        leaves_of(circuits, heights)
    except Invalid as error:
        hint = ""
        if len(kinds := sorted(set(circuits))) > 1:
            raise ProverError(
                f"segments of one circuit have one proof, these are of {' and '.join(kinds)}",
                "leave each segment its own proof with --segments-only",
            ) from error
        if max(heights) > HEIGHTS[-1]:
            hint = "choose smaller segments with --segment-memory"
        elif len(set(heights)) > 1:
            hint = f"prove all with --stacked-height {height_of_one_proof(max(heights))}"
        raise ProverError(str(error), hint) from error


def _accepted(content: bytes, name: str) -> Accepted:
    try:
        return accept(content)
    except Rejected as error:
        raise ProverError(f"the verifier refuses {name}: {error}") from error


def _check_size(file: ProofFile) -> None:
    """Refuse, before anything is proved, batches that are more than one file may have: each was accepted by itself."""
    try:
        decode_proof(encode_proof(file))
    except Invalid as error:
        raise ProverError(
            f"the batches are too much for one file: {error}",
            "make one proof of some of the files, and one of the others",
        ) from error


def _without_proofs(file: ProofFile, claims: Sequence[Claim]) -> ProofFile:
    """The file with room for one proof, and what those of segments say in their place."""
    own = iter(claims)

    def emptied(segments: Sequence[SegmentRecord]) -> tuple[SegmentRecord, ...]:
        return tuple(replace(segment, proof=b"", claim=next(own)) for segment in segments)

    first = emptied(file.segments)
    joined = tuple(replace(batch, segments=emptied(batch.segments)) for batch in file.joined)
    return replace(file, segments=first, joined=joined, one_proof=b"")


Ends = tuple[tuple[int, ...], tuple[int, ...]]
"""What a node states: a running hash before and behind what is below it."""


@dataclass(frozen=True)
class _Tree:
    """One to be made of the segments of files, or one that a file has.

    Attributes:
        proofs: of the segments, or of the end of the tree.
        ends: for each of them.
        depth: of the tree that there is, None of one to be made.
    """

    proofs: Sequence[bytes]
    ends: Sequence[Ends]
    depth: int | None = None

    @property
    def size(self) -> int | Ready:
        """As the planner of trees takes it."""
        return len(self.proofs) if self.depth is None else Ready(self.depth)


def _tree(accepted: Sequence[Accepted], claims: Sequence[Sequence[Claim]], group: Sequence[int]) -> _Tree:
    """That of a group of files; what the proofs of the segments of each file say are `claims`."""
    files = [accepted[number].file for number in group]
    for file, number in zip(files, group, strict=True):
        if file.one_proof is not None:
            own = iter(claims[number])
            of_batches = [list(islice(own, len(batch.segments))) for batch in file.batches]
            proof = bytes(file.one_proof)
            return _Tree([proof], [_numbers(ends_of(file.joint, of_batches))], depth_of(proof))
    hashes = chain([claim for number in group for claim in claims[number]])
    return _Tree([bytes(s.proof) for file in files for s in file.segments], list(map(_numbers, pairwise(hashes))))


def _numbers(ends: tuple[Digests, Digests]) -> Ends:
    before, behind = ends
    return tuple(before.tolist()), tuple(behind.tolist())


class _Run:
    """Makes the nodes of a tree, or takes them from the store.

    Args:
        circuit, height: the key of the segments.
        trees: to be joined, in order.
        store: of finished nodes.
        finished: called with each node, its proof, and how long it took, seconds; None where it was stored.
    """

    def __init__(
        self,
        circuit: str,
        height: int,
        trees: Sequence[_Tree],
        store: SegmentStore,
        finished: Callable[[NodeJob, bytes, float | None], None],
    ) -> None:
        every = plan_tree(*(tree.size for tree in trees))
        self.plans = [plan for plan in every if plan.layer != READY]
        self._end = every[-1].index
        self._key = circuit, height
        ready = iter([tree for tree in trees if tree.depth is not None])
        made = [tree for tree in trees if tree.depth is None]
        self._segments = [proof for tree in made for proof in tree.proofs]
        self._done: dict[int, bytes] = {}
        self._ends: dict[int, Ends] = {}
        segment_ends = [ends for tree in made for ends in tree.ends]
        for plan in every:
            if plan.layer == READY:
                tree = next(ready)
                (self._done[plan.index],), (self._ends[plan.index],) = tree.proofs, tree.ends
                continue
            below = [segment_ends[n] if plan.layer == LEAF else self._ends[n] for n in plan.children]
            joined = _numbers(joined_ends(below)) if plan.joins else (below[0][0], below[-1][1])
            self._ends[plan.index] = joined
        self._store = store
        self._finished = finished
        self._waiting = list(self.plans)
        self._missing: dict[int, NodeJob] = {}

    def proof(self, runner: Runner) -> bytes:
        """That of the last node."""
        started: dict[int, float] = {}
        while True:
            for job in self._ready():
                if runner.has_room:
                    started[job.plan.index] = time.perf_counter()
                    self._waiting.remove(job.plan)
                    runner.start(job)
            if not started:
                return self._done[self._end]
            job, proof = runner.finished()
            self._store.save(job.key, proof)
            self._finish(job, proof, time.perf_counter() - started.pop(job.plan.index))

    def _ready(self) -> Iterator[NodeJob]:
        """The nodes whose children are proved, in order; what is stored is finished on the way.

        Children come before their parents, so that one pass finds all that is stored.
        """
        for plan in tuple(self._waiting):
            job = self._missing.get(plan.index) or self._job(plan)
            if job is None:
                continue
            if plan.index not in self._missing:
                stored = self._store.load(job.key, partial(is_proof_of, job=job))
                if stored is not None:
                    self._waiting.remove(plan)
                    self._finish(job, stored, None)
                    continue
                self._missing[plan.index] = job
            yield job

    def _job(self, plan: NodePlan) -> NodeJob | None:
        """What proving a node takes; None where a child is missing."""
        if plan.layer == LEAF:
            children = [self._segments[number] for number in plan.children]
        elif all(child in self._done for child in plan.children):
            children = [self._done[child] for child in plan.children]
        else:
            return None
        return NodeJob(plan, *self._key, children, *self._ends[plan.index])

    def _finish(self, job: NodeJob, proof: bytes, seconds: float | None) -> None:
        self._done[job.plan.index] = proof
        self._finished(job, proof, seconds)


@contextmanager
def _runner(workers: Workers, circuit: str, nodes: int) -> Iterator[Runner]:
    """In this process, unless there is a cluster, or several nodes are to be proved at once."""
    here = workers.address is None and (workers.count or 1) == 1 and not local.ray_is_in_use()
    if here or not nodes:
        yield local.NodesHere(workers, circuit)
        return
    # Loading Ray takes long.
    from prover.cluster import nodes_in_tasks

    with nodes_in_tasks(workers, circuit) as tasks:
        yield tasks
