"""Trees of proofs: their nodes, the order in which these are proved, and what a run that was killed leaves."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
import zkevm_native

from circuits.statement import Form, running_chain
from prover import aggregate, tree
from prover.aggregate import NodeEvent, ProofChoice, check_aggregable, choose
from prover.errors import CostError, ProverError
from prover.local import NodesHere
from prover.planner import Budget, SegmentPlan, levelled, plan_batch
from prover.runs import Run
from prover.store import SegmentStore
from prover.tree import FOR_LEAF, LEAF, LEAF_BYTES, MAX_CHILDREN, READY, RECURSIVE, NodeJob, Ready, plan_tree
from prover.workers import Workers
from scripts.batches.tokens import SMALL, tokens
from verifier.joining import joint_of
from verifier.trees import JOIN_START

Plans: TypeAlias = list[SegmentPlan]

COUNTS = [1, 2, 4, 5, 16, 17, 64, 65, 257]


@pytest.mark.parametrize("count", COUNTS)
def test_every_segment_is_in_one_leaf_and_every_node_in_one_above(count: int) -> None:
    plans = plan_tree(count)
    assert [plan.index for plan in plans] == list(range(len(plans)))
    leaves = [plan for plan in plans if plan.layer == LEAF]
    assert [segment for leaf in leaves for segment in leaf.children] == list(range(count))
    assert plans[-1].segments == range(count)
    for plan in plans:
        below = [plan.children] if plan.layer == LEAF else [plans[child].segments for child in plan.children]
        assert [segment for own in below for segment in own] == list(plan.segments)
    above = Counter(child for plan in plans if plan.layer != LEAF for child in plan.children)
    assert above == Counter(range(len(plans) - 1))
    assert all(1 <= len(plan.children) <= MAX_CHILDREN[plan.layer] for plan in plans)


@pytest.mark.parametrize("count", COUNTS)
def test_layers_follow_each_other_and_the_last_node_has_one_child(count: int) -> None:
    """A node for leaves is over leaves alone, a recursive one over these, or over nodes of its own circuit."""
    plans = plan_tree(count)
    for plan in plans:
        if plan.layer != LEAF:
            below = LEAF if plan.layer == FOR_LEAF else RECURSIVE if plan.of_itself else FOR_LEAF
            assert {plans[child].layer for child in plan.children} == {below}
            assert max(plan.children) < plan.index
    end = plans[-1]
    assert (end.layer, end.of_itself, len(end.children), end.width) == (RECURSIVE, True, 1, 1)
    (below_end,) = end.children
    assert (plans[below_end].layer, len(plans[below_end].children)) == (RECURSIVE, 1)
    leaves = [plan for plan in plans if plan.layer == LEAF]
    assert {plan.width for plan in leaves} == {len(leaves)}


#: Trees that are joined: segments of new ones, and those that there are, low and high, one, some and many of them.
FORESTS: list[tuple[int | Ready, ...]] = [
    (Ready(2), Ready(2)),
    (Ready(2), 1),
    (1, Ready(7), 20),
    (Ready(2), Ready(9), 5, Ready(2)),
    (1, Ready(3), 17, Ready(2), 300, Ready(5), 2, Ready(2), 3, Ready(2), 4),
    tuple(Ready(2 + number % 3) for number in range(17)),
]


@pytest.mark.parametrize("trees", FORESTS)
def test_trees_are_joined_by_nodes_over_equally_high_ones(trees: tuple[int | Ready, ...]) -> None:
    plans = plan_tree(*trees)
    assert [plan.index for plan in plans] == list(range(len(plans)))
    assert [plan.depth for plan in plans if plan.layer == READY] == [t.depth for t in trees if isinstance(t, Ready)]
    above = Counter(child for plan in plans if plan.layer != LEAF for child in plan.children)
    assert above == Counter(range(len(plans) - 1))
    for plan in plans:
        below = [] if plan.layer == LEAF else [plans[child] for child in plan.children]
        assert max(plan.children, default=-1) < plan.index or plan.layer == LEAF
        if plan.layer == RECURSIVE:
            assert {child.depth + 1 for child in below} == {plan.depth}
            assert all(child.layer in (RECURSIVE, READY) for child in below) == plan.of_itself
        if plan.joins:
            assert 2 <= len(below) <= MAX_CHILDREN[RECURSIVE]
            assert plan.of_itself
    assert (plans[-1].layer, len(plans[-1].children)) == (RECURSIVE, 1)
    assert len(plans[plans[-1].children[0]].children) == 1


@pytest.mark.parametrize("trees", FORESTS)
def test_a_file_says_which_trees_are_joined(trees: tuple[int | Ready, ...]) -> None:
    """By the numbers of their batches, which are others for each tree here: what nodes join, in lists in lists."""
    files: list[Any] = []
    for number, own in enumerate(trees):
        if isinstance(own, Ready):
            files.append(SimpleNamespace(all_segments=[1], one_proof=b"one", joint=100 + number))
        else:
            files += [SimpleNamespace(all_segments=[1], one_proof=None)] * (1 + number)
    ready = iter(100 + number for number, own in enumerate(trees) if isinstance(own, Ready))
    made = {number: own for number, own in enumerate(trees) if not isinstance(own, Ready)}
    ends = dict(zip(made, accumulate(made.values()), strict=True))
    names: list[Any] = []
    for plan in plan_tree(*trees):
        if plan.layer == READY:
            names.append(next(ready))
        elif plan.layer == LEAF:
            names.append(1 + next(number for number, end in ends.items() if plan.segments.start < end))
        else:
            below = [names[child] for child in plan.children]
            assert plan.joins or len(set(below)) == 1
            names.append(tuple(below) if plan.joins else below[0])
    assert joint_of(files) == names[-1]


def test_a_tree_that_there_is_needs_no_node() -> None:
    (plan,) = plan_tree(Ready(5))
    assert (plan.layer, plan.depth) == (READY, 5)


class Fake:
    """A runner of workers that take their time: any of those under way is finished next."""

    def __init__(self, workers: int, seed: int, kill_after: int | None = None) -> None:
        self._workers = workers
        self._random = random.Random(seed)
        self._left = kill_after
        self._running: list[NodeJob] = []
        self.proved: list[str] = []
        self.most = 0

    @property
    def has_room(self) -> bool:
        return len(self._running) < self._workers

    def start(self, job: NodeJob) -> None:
        assert self.has_room
        self._running.append(job)
        self.most = max(self.most, len(self._running))

    def finished(self) -> tuple[NodeJob, bytes]:
        if self._left == len(self.proved):
            raise ProverError("killed")
        job = self._running.pop(self._random.randrange(len(self._running)))
        self.proved.append(str(job.plan))
        return job, proof_of(job)


def proof_of(job: NodeJob) -> bytes:
    """Anything that depends on all that a node is made of."""
    kind = job.plan.layer, job.plan.of_itself, job.plan.joins
    return hashlib.sha256(repr((kind, job.before, job.children)).encode()).digest()


@pytest.fixture(autouse=True)
def _stored_proofs_are_those(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate, "is_proof_of", lambda proof, job: proof == proof_of(job))


def run(count: int, runner: Any, store: Path) -> tuple[bytes, list[NodeEvent | None]]:
    segments = [bytes([number % 256, number // 256]) for number in range(count)]
    hashes = [(number,) * 8 for number in range(count + 1)]
    events: list[Any] = []
    one = aggregate._Tree(segments, list(pairwise(hashes)))
    made = aggregate._Run("cancun", 15, [one], SegmentStore(store), lambda job, proof, seconds: events.append(seconds))
    return made.proof(runner), events


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("workers", [1, 3, 100])
def test_the_proof_does_not_depend_on_who_is_done_first(count: int, workers: int, tmp_path: Path) -> None:
    here = Fake(1, 0)
    wanted, _ = run(count, here, tmp_path / "a")
    assert here.proved == [str(plan) for plan in plan_tree(count)]
    for seed in range(3):
        runner = Fake(workers, seed)
        found, events = run(count, runner, tmp_path / f"b{seed}")
        assert found == wanted
        assert len(events) == len(plan_tree(count))
        assert runner.most <= workers


def test_a_node_is_begun_when_its_children_are_there(tmp_path: Path) -> None:
    """Not when their whole layer is: with workers enough the first node for leaves is proved beside later leaves."""
    order = [Fake(4, seed) for seed in range(20)]
    for number, runner in enumerate(order):
        run(33, runner, tmp_path / str(number))
    assert any(
        runner.proved.index(f"{FOR_LEAF} 0") < max(map(runner.proved.index, (f"{LEAF} {n}" for n in range(9))))
        for runner in order
    )


def test_joined_trees_are_proved_with_what_they_state(tmp_path: Path) -> None:
    """A node that joins trees states a hash of both ends of each, any other what its children do."""
    high = aggregate._Tree([b"a tree"], [((1,) * 8, (2,) * 8)], depth=4)
    low = aggregate._Tree([b"segment", b"another"], [((3,) * 8, (4,) * 8), ((4,) * 8, (5,) * 8)])
    jobs: list[NodeJob] = []
    made = aggregate._Run("cancun", 15, [high, low], SegmentStore(tmp_path), lambda job, *_: jobs.append(job))
    made.proof(Fake(1, 0))
    assert [plan.layer for plan in made.plans] == [job.plan.layer for job in jobs] == [LEAF, FOR_LEAF] + 7 * [RECURSIVE]
    *below, join, last_but_one, last = jobs
    assert {(job.before, job.behind) for job in below} == {((3,) * 8, (5,) * 8)}
    hashed = running_chain(JOIN_START, np.array([[n] * 8 for n in (1, 2, 3, 5)], dtype=np.uint32))
    for job in (join, last_but_one, last):
        assert (job.before, job.behind) == (tuple(hashed[0].tolist()), tuple(hashed[-1].tolist()))
    assert list(join.children) == [b"a tree", proof_of(below[-1])]
    assert [job.plan.joins for job in jobs] == [job is join for job in jobs]


@pytest.mark.parametrize("killed", [0, 1, 5, 12])
def test_nothing_is_proved_twice(killed: int, tmp_path: Path) -> None:
    count = 33
    first = Fake(3, 1, kill_after=killed)
    with pytest.raises(ProverError, match="killed"):
        run(count, first, tmp_path)
    second = Fake(3, 2)
    _, events = run(count, second, tmp_path)
    assert not set(first.proved) & set(second.proved)
    assert sorted([*first.proved, *second.proved]) == sorted(str(plan) for plan in plan_tree(count))
    assert events.count(None) == killed
    third = Fake(1, 3)
    run(count, third, tmp_path)
    assert third.proved == []


def test_a_damaged_node_is_proved_again(tmp_path: Path) -> None:
    run(5, Fake(1, 0), tmp_path)
    victim = next(iter(sorted(tmp_path.iterdir())))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0")
    again = Fake(1, 0)
    run(5, again, tmp_path)
    assert len(again.proved) == 1


@pytest.mark.parametrize("layer", [LEAF, FOR_LEAF, RECURSIVE])
def test_a_stored_proof_states_what_the_node_has_to(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another proof of the same circuit is none of the node: the ones above it would fail, now and whenever resumed."""
    plan = next(plan for plan in plan_tree(1) if plan.layer == layer)
    job = NodeJob(plan, "cancun", 15, [b"a"], (1,) * 8, (2,) * 8)
    keys = dict(zip((LEAF, FOR_LEAF, RECURSIVE), "abc", strict=True))
    monkeypatch.setattr(tree, "circuits", lambda circuit, height: SimpleNamespace(keys=keys.values))

    def verified(key: str, proof: bytes) -> Any:
        assert key == keys[layer]
        if proof == b"none":
            raise zkevm_native.EngineError("no proof")
        return SimpleNamespace(public_values=[[0] * 66, list(proof), []])

    monkeypatch.setattr(zkevm_native, "verify", verified)
    assert tree.is_proof_of(bytes([1] * 8 + [2] * 8), job)
    for other in (bytes([2] * 8 + [2] * 8), bytes([1] * 8 + [3] * 8), bytes([2] * 8 + [1] * 8), b"none"):
        assert not tree.is_proof_of(other, job)


def test_nodes_of_other_segments_or_places_are_others() -> None:
    plan = plan_tree(2)[0]
    other = plan_tree(2)[1]
    zeros, ones = (0,) * 8, (1,) * 8
    jobs = [
        NodeJob(plan, "cancun", 15, [b"a", b"b"], zeros, zeros),
        NodeJob(plan, "cancun", 15, [b"a", b"c"], zeros, zeros),
        NodeJob(plan, "cancun", 15, [b"ab"], zeros, zeros),
        NodeJob(plan, "cancun", 15, [b"a", b"b"], ones, zeros),
        NodeJob(plan, "cancun", 15, [b"a", b"b"], zeros, ones),
        NodeJob(plan, "cancun", 16, [b"a", b"b"], zeros, zeros),
        NodeJob(plan, "osaka-light", 15, [b"a", b"b"], zeros, zeros),
        NodeJob(other, "cancun", 15, [b"a", b"b"], zeros, zeros),
        NodeJob(replace(other, joins=True), "cancun", 15, [b"a", b"b"], zeros, zeros),
    ]
    assert len({job.key for job in jobs}) == len(jobs)


def test_a_node_that_fails_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = NodesHere(Workers(), "cancun")
    runner.start(NodeJob(plan_tree(1)[0], "cancun", 15, [b"no proof"], (0,) * 8, (0,) * 8))
    assert not runner.has_room
    monkeypatch.setattr("prover.local.prove_node", lambda job, threads: 1 // 0)
    with pytest.raises(ProverError, match=r"^leaf 0: integer division"):
        runner.finished()


def test_a_machine_without_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover.local.machine_memory", lambda: LEAF_BYTES[Form.COMMON] - 1)
    NodesHere(Workers(), "cancun-light")
    with pytest.raises(CostError, match="a node of the tree needs about"):
        NodesHere(Workers(), "cancun-common")


def test_where_nodes_are_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, unless several are to be proved at once or there is a cluster."""
    reached: list[Workers] = []

    class Reached(Exception):  # noqa: N818
        pass

    def tasks(workers: Workers, circuit: str) -> Any:
        reached.append(workers)
        raise Reached

    monkeypatch.setattr("prover.cluster.nodes_in_tasks", tasks)
    monkeypatch.setattr("prover.local.ray_is_in_use", lambda: False)
    for here in (Workers(), Workers(count=1), Workers(threads=2)):
        with aggregate._runner(here, "cancun", 1) as runner:
            assert isinstance(runner, NodesHere)
    for elsewhere in (Workers(count=2), Workers(address="127.0.0.1:1")):
        with pytest.raises(Reached), aggregate._runner(elsewhere, "cancun", 1):
            pass
        with aggregate._runner(elsewhere, "cancun", 0) as runner:
            assert isinstance(runner, NodesHere)
    assert len(reached) == 2


def test_segments_of_several_heights_are_told_what_to_do() -> None:
    check_aggregable(["cancun"] * 2, [15, 15])
    with pytest.raises(ProverError, match="segments of 2 keys") as error:
        check_aggregable(["cancun"] * 2, [15, 17])
    assert error.value.hint == "prove all with --stacked-height 19"
    with pytest.raises(ProverError, match="whole circuit of osaka"):
        check_aggregable(["osaka"], [15])
    with pytest.raises(ProverError, match="log stacked height 22, at most 21") as error:
        check_aggregable(["cancun"], [22])
    assert "smaller segments" in error.value.hint
    with pytest.raises(ProverError, match="these are of cancun and cancun-light") as error:
        check_aggregable(["cancun", "cancun-light"], [15, 15])
    assert "--segments-only" in error.value.hint


@pytest.fixture(scope="module")
def several() -> Plans:
    """The segments of a batch."""
    return plan_batch(tokens(8), SMALL)


def test_several_segments_get_one_proof_unless_somebody_wants_each(several: Plans) -> None:
    """Where they begin and end does not depend on it, and a single one is what it was."""
    (whole,) = plan_batch(tokens(8))
    assert choose([whole], Budget(), None) == ProofChoice([whole], False)
    assert choose([whole], Budget(), True) == ProofChoice(levelled([whole], 0), True)
    assert choose(several, SMALL, None) == choose(several, SMALL, True) == ProofChoice(levelled(several, 0), True)
    assert choose(several, SMALL, False) == ProofChoice(several, False)
    higher = replace(SMALL, stacked_height=17)
    assert {plan.log_stacked_height for plan in choose(several, higher, None).plans} == {17}
    for wanted in (None, True, False):
        assert choose([], SMALL, wanted) == ProofChoice([], False)


def test_segments_that_end_at_named_steps_have_one_proof_if_somebody_asks_for_it() -> None:
    budget = Budget(steps=20)
    parts = plan_batch(tokens(1), budget)
    assert len(parts) > 1
    assert choose(parts, budget, None) == ProofChoice(parts, False)
    assert choose(parts, budget, True) == ProofChoice(levelled(parts, 0), True)


def test_parts_of_an_operation_have_one_proof(several: Plans) -> None:
    parts = [replace(several[0], run=Run(0, 3, (5,), 0)), *several[1:]]
    assert choose(parts, SMALL, None) == ProofChoice(levelled(parts, 0), True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"fork": "osaka"}, "these are of cancun-light and osaka-light"),
        ({"form": Form.WHOLE}, "these are of cancun and cancun-light"),
        ({"log_stacked_height": 22}, "log stacked height 22, at most 21"),
    ],
)
def test_what_has_no_one_proof_keeps_those_of_segments_or_is_refused(
    changed: dict[str, Any], why: str, several: Plans
) -> None:
    plans = [replace(several[0], **changed), *several[1:]]
    choice = choose(plans, SMALL, None)
    assert (choice.plans, choice.one_proof) == (plans, False)
    assert why in choice.why_not
    with pytest.raises(ProverError, match=why):
        choose(plans, SMALL, True)


def test_whole_circuits_beyond_cancun_have_no_one_proof(several: Plans) -> None:
    plans = [replace(plan, fork="osaka", form=Form.WHOLE) for plan in several]
    assert "whole circuit of osaka" in choose(plans, SMALL, None).why_not
    assert choose([replace(plan, fork="cancun") for plan in plans], SMALL, None).one_proof


def test_nobody_who_has_not_asked_for_a_tree_runs_out_of_memory_for_it(several: Plans) -> None:
    enough = LEAF_BYTES[Form.LIGHT]
    assert choose(several, SMALL, None, enough).one_proof
    assert choose(several, SMALL, None, enough - 1).why_not.startswith("a node of the tree needs about")
    assert choose(several, SMALL, True, enough - 1).one_proof


def test_the_worker_makes_what_the_layer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Circuits:
        def leaf_proof(self, children: list[bytes], before: list[int], threads: int) -> bytes:
            return repr((children, before, threads)).encode()

        def for_leaf_proof(self, children: list[bytes], threads: int) -> bytes:
            return repr(("for", children, threads)).encode()

        def recursive_proof(self, children: list[bytes], of_itself: bool, joined: bool, threads: int) -> bytes:
            return repr((of_itself, joined, children, threads)).encode()

    monkeypatch.setattr(tree, "circuits", lambda circuit, height: Circuits())
    leaf, for_leaf, recursive, end = plan_tree(1)
    joining = next(plan for plan in plan_tree(Ready(2), Ready(2)) if plan.joins)
    made = [
        tree.prove_node(NodeJob(plan, "cancun", 15, [b"a"], (1, 2), (3, 4)), 3)
        for plan in (leaf, for_leaf, recursive, end, joining)
    ]
    wanted = ["([b'a'], [1, 2], 3)", "('for', [b'a'], 3)"]
    wanted += [f"({kind}, [b'a'], 3)" for kind in ("False, False", "True, False", "True, True")]
    assert made == [own.encode() for own in wanted]
