"""One proof of all segments, made of real ones: accepted, resumed, and every lie about it refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import zkevm_native
from typer.testing import CliRunner

from circuits.batch.execution import Batch
from circuits.statement import LAST_TABLES, Form
from executor.execute import ExecutedBatch
from executor.forks import OSAKA, PRAGUE, Fork
from executor.provable import check_provable
from prover.aggregate import NodeEvent, aggregate
from prover.assemble import statement_of
from prover.errors import ProverError
from prover.planner import levelled, plan_cut
from prover.tree import FOR_LEAF, LEAF, MAX_CHILDREN, RECURSIVE, circuits
from prover.workers import Workers
from scripts.batches.builder import Builder
from scripts.batches.one_by_one import one_by_one
from scripts.batches.tokens import token_batch, write_batch
from tests.verifier.proving import Proved, prove_here, prove_planned
from tests.verifier.swirl.damages import damages
from tests.verifier.test_trees import changed
from verifier import keys, trees, verify
from verifier.container import ProofFile, SegmentRecord, decode_proof, encode_proof
from verifier.engines import ENGINES, VerifyingKey, node_key
from verifier.errors import Invalid, Rejected
from verifier.joining import join
from verifier.swirl.key import decode_node
from verifier.verify import accept, circuits_of_segments
from zkevm.main import app

#: Trees take minutes.
pytestmark = pytest.mark.deep

THREADS = 2
WORKERS = Workers(threads=THREADS)


@dataclass(frozen=True)
class Tree:
    """A file with one proof, and the nodes that it was made of."""

    segments: Proved
    content: bytes
    events: list[NodeEvent]
    store: Path

    @property
    def file(self) -> ProofFile:
        return decode_proof(self.content)

    def node(self, layer: str) -> bytes:
        """The proof of the first node of a layer, from the store."""
        size = next(event.proof_bytes for event in self.events if event.layer == layer)
        found = [path.read_bytes()[32:] for path in self.store.iterdir()]
        (proof,) = [content for content in found if len(content) == size]
        return proof


@pytest.fixture(scope="module")
def tree(erc20: Proved, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Of two segments of three transactions of a token."""
    folder = tmp_path_factory.mktemp("tree")
    report = aggregate([erc20.content], folder / "one.proof", workers=WORKERS, keep=True)
    return Tree(erc20, (folder / "one.proof").read_bytes(), list(report.nodes), folder / "one.proof.nodes")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Of one transaction in three parts."""
    folder = tmp_path_factory.mktemp("parts")
    executed = token_batch(1).execute()
    batch = Batch.of(check_provable(executed))
    plans = plan_cut(batch, lambda execution: (5, 40))
    proved = prove_planned(executed, batch, levelled(plans, 0))
    report = aggregate([proved.content], folder / "one.proof", workers=WORKERS, keep=True)
    return Tree(proved, (folder / "one.proof").read_bytes(), list(report.nodes), folder / "one.proof.nodes")


@dataclass(frozen=True)
class Chain:
    """Four batches that follow each other, in files: two that have one proof, both joined, and all four joined."""

    executed: ExecutedBatch
    segments: list[Proved]
    first: bytes
    second: bytes
    two: bytes
    all: bytes
    events: list[NodeEvent]


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("joined")
    events: list[NodeEvent] = []

    def one(name: str, *contents: bytes) -> bytes:
        aggregate(contents, folder / name, workers=WORKERS, on_node=events.append)
        return (folder / name).read_bytes()

    building = token_batch(12)
    whole = building.execute()
    batches = [prove_here(executed, None) for executed in one_by_one(building.document, whole)]
    first, second = (one(f"{number}.proof", batches[number].content) for number in (0, 1))
    two = one("two.proof", first, second)
    events.clear()
    every = one("all.proof", two, batches[2].content, batches[3].content)
    return Chain(whole, batches, first, second, two, every, events)


def with_proof(file: ProofFile, proof: bytes) -> bytes:
    return encode_proof(replace(file, one_proof=proof))


def refused(content: bytes) -> str:
    """The check that refuses a file, which both engines have to refuse for the same reason."""
    checks = []
    for engine in ENGINES:
        with pytest.raises(Rejected) as error:
            verify(content, engine)
        checks.append(error.value.check)
    assert len(set(checks)) == 1
    return checks[0]


def accepts(key: VerifyingKey, proof: bytes) -> bool:
    try:
        key.verify(proof)
    except Invalid:
        return False
    return True


@pytest.mark.parametrize("engine", ENGINES)
def test_it_is_accepted_and_small(tree: Tree, engine: str) -> None:
    report = verify(tree.content, engine)
    assert report.segments == len(tree.segments.file.segments) == 2
    assert report.statement == tree.segments.file.statement
    assert report.security_bits is not None
    assert report.security_bits >= 100
    assert len(tree.file.one_proof or b"") <= 350_000


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_of_an_operation_have_one_proof(parts: Tree, engine: str) -> None:
    report = verify(parts.content, engine)
    assert (report.segments, report.transactions) == (3, 1)
    assert report.statement == parts.segments.file.statement
    assert any(len(segment.links) for segment in parts.file.segments)
    assert len(parts.file.one_proof or b"") == 272_398


def test_parts_that_say_something_else_are_refused(parts: Tree) -> None:
    """What they leave to the next ones and have in common is compared with what is proved, as if each had a proof."""
    first, second, last = parts.file.segments
    assert first.open_end is not None
    assert second.open_end is not None
    frame, index = first.open_end.next_word
    ends = [
        replace(first.open_end, time=first.open_end.time + 1),
        replace(first.open_end, next_frame=first.open_end.next_frame + 1),
        replace(first.open_end, next_word=(frame, index + 1)),
        second.open_end,
    ]
    digest = first.links.digest.copy()
    digest[0, 0] ^= 1
    lies = [
        *((replace(first, open_end=end), second, last) for end in ends),
        (replace(first, links=replace(first.links, digest=digest)), second, last),
        (replace(first, links=second.links), second, last),
        (replace(first, open_end=second.open_end, links=second.links, claim=second.claim), second, last),
        (first, last),
        (second, first, last),
        (replace(first, open_end=None), second, last),
    ]
    found = [refused(encode_proof(replace(parts.file, segments=lie))) for lie in lies]
    assert found == [*["commitments"] * 6, "proofs", "segments", "segments", "segments"]


def test_a_part_claims_no_other_tables_than_it_has(parts: Tree) -> None:
    """So none has accounts, slots or codes but the last one."""
    first, *later = parts.file.segments
    (circuit, *_) = circuits_of_segments(parts.segments.content)
    tables = keys.manifest(circuit).tables
    assert first.claim is not None
    for name in LAST_TABLES & set(tables):
        position = tables.index(name)
        assert not first.claim.heights[position]
        heights = bytes(own or 1 * (place == position) for place, own in enumerate(first.claim.heights))
        lie = replace(first, claim=replace(first.claim, heights=heights))
        assert refused(encode_proof(replace(parts.file, segments=(lie, *later)))) == "proofs"


@pytest.mark.parametrize("fork", [PRAGUE, OSAKA], ids=lambda fork: fork.name)
def test_batches_of_later_forks_have_one_proof(fork: Fork, tmp_path: Path) -> None:
    """With the light form of their circuits, whose keys a leaf has room for."""
    building = Builder(fork)
    proved = prove_here(building.block(building.transfer(0), building.transfer(1)).execute(), None)
    assert all(segment.form is Form.LIGHT for segment in proved.file.segments)
    aggregate([proved.content], tmp_path / "one.proof", workers=WORKERS)
    content = (tmp_path / "one.proof").read_bytes()
    for engine in ENGINES:
        assert verify(content, engine).statement == proved.file.statement


def test_zkevm_prove_makes_it_of_several_segments(tmp_path: Path) -> None:
    """By default; what segments and nodes are kept in is gone with it."""
    batch, out = write_batch(tmp_path, 4), tmp_path / "a.proof"
    command = ["prove", str(batch), "--out", str(out), "--segment-operations", "2", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert len(report["segments"]) == 2
    assert [node["layer"] for node in report["tree"]] == [LEAF, FOR_LEAF, RECURSIVE, RECURSIVE]
    assert report["why_segments_only"] is None
    assert decode_proof(out.read_bytes()).one_proof is not None
    for engine in ENGINES:
        assert verify(out.read_bytes(), engine).segments == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.proof", batch.name]


def test_batches_that_follow_each_other_have_one_proof(tmp_path: Path) -> None:
    """Its nodes are proved in Ray tasks. What is said of another list of batches is refused by both engines."""
    building = token_batch(9)
    whole = building.execute()
    batches = [prove_here(executed, None) for executed in one_by_one(building.document, whole)]
    out = tmp_path / "one.proof"
    report = aggregate([batch.content for batch in batches], out, workers=Workers(count=2, threads=1))
    assert report.batches == len(batches) == 3
    content = out.read_bytes()
    for engine in ENGINES:
        assert verify(content, engine).statement == statement_of(whole)
    file = decode_proof(content)
    shorter = replace(file, joined=file.joined[:-1])
    assert refused(encode_proof(shorter)) == "statement"
    two = join([batch.file for batch in batches[:2]], ["one", "two"])
    assert refused(encode_proof(replace(shorter, statement=two.statement))) == "segments"
    assert refused(encode_proof(replace(shorter, statement=two.statement, joint=2))) == "proofs"
    assert refused(encode_proof(replace(file, joined=file.joined[::-1]))) == "headers"
    first, second, third = (batch.segments for batch in file.batches)
    for lie in ((second, first, third), (first, second, second)):
        joined = tuple(replace(batch, segments=own) for batch, own in zip(file.joined, lie[1:], strict=True))
        assert refused(encode_proof(replace(file, segments=lie[0], joined=joined))) == "proofs"


@pytest.mark.parametrize("engine", ENGINES)
def test_files_that_have_one_proof_are_joined(joined: Chain, engine: str) -> None:
    """And joined again, to one another tree is made for: as many nodes as that takes, and three that are above both."""
    file = decode_proof(joined.all)
    assert (file.joint, decode_proof(joined.two).joint) == (((1, 1), 2), (1, 1))
    report = verify(joined.all, engine)
    assert report.statement == statement_of(joined.executed)
    assert (report.batches, report.segments) == (4, 4)
    assert verify(joined.two, engine).batches == 2
    sizes = {len(decode_proof(content).one_proof or b"") for content in (joined.first, joined.two, joined.all)}
    assert len(sizes) == 1
    assert sizes.pop() <= 350_000
    layers = [(event.layer, event.children) for event in joined.events]
    lifts = [(RECURSIVE, 1)] * 4
    assert layers == [(LEAF, 2), (FOR_LEAF, 1), (RECURSIVE, 1), *lifts, (RECURSIVE, 2), *[(RECURSIVE, 1)] * 2]


def test_other_trees_than_those_that_are_joined_are_refused(joined: Chain) -> None:
    file, two = decode_proof(joined.all), decode_proof(joined.two)
    for joint in (4, (2, 2), (1, 3), (1, 1, 2), (1, 1, 1, 1), (2, (1, 1)), (1, (1, 2)), ((1, 1), (1, 1))):
        assert refused(encode_proof(replace(file, joint=joint))) == "proofs"
    for joint in (1, 3, ((1, 1), 1)):
        assert refused(encode_proof(replace(file, joint=joint))) == "segments"
    # Proofs of some of the batches, and of the same ones that are joined in another way.
    for content in (joined.first, joined.second, joined.two):
        assert refused(with_proof(file, bytes(decode_proof(content).one_proof or b""))) == "proofs"
    assert refused(with_proof(two, bytes(file.one_proof or b""))) == "proofs"
    segments = [batch.segments for batch in file.batches]
    for order in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 1, 0, 3), (0, 0, 2, 3)):
        own = [segments[number] for number in order]
        batches = tuple(replace(batch, segments=these) for batch, these in zip(file.joined, own[1:], strict=True))
        assert refused(encode_proof(replace(file, segments=own[0], joined=batches))) == "proofs"


def test_only_files_that_follow_each_other_are_joined(joined: Chain, tmp_path: Path) -> None:
    out = tmp_path / "out.proof"
    for contents in ((joined.second, joined.first), (joined.two, joined.second), (joined.first, joined.first)):
        with pytest.raises(ProverError, match="does not follow"):
            aggregate(contents, out)
    assert not out.exists()


def test_a_node_that_joins_trees_is_none_of_trees_that_follow_each_other(joined: Chain) -> None:
    """The second begins anew: only a node that joins them has both below it."""
    proofs = [bytes(decode_proof(content).one_proof or b"") for content in (joined.first, joined.second)]
    circuit, *_ = circuits_of_segments(joined.segments[0].content)
    own = circuits(circuit, joined.segments[0].file.segments[0].log_stacked_height)
    with pytest.raises(zkevm_native.ProvingError, match="the children are refused"):
        own.recursive_proof(proofs, True, False, THREADS)
    with pytest.raises(zkevm_native.ParameterError, match="nodes for leaves are not joined"):
        own.recursive_proof(proofs, False, True, THREADS)


def test_a_node_for_leaves_has_as_many_as_it_has_room_for() -> None:
    """One more, and its highest table would have too many rows, whatever the segments are."""
    proved = prove_here(token_batch(12).execute(), 3)
    segments = proved.file.segments
    assert len(segments) > MAX_CHILDREN[FOR_LEAF]
    accepted = accept(proved.content)
    own = circuits(accepted.circuits[0], segments[0].log_stacked_height)
    tables = keys.manifest(accepted.circuits[0]).tables
    hashes = trees.chain([trees.claim_of(segment, tables) for segment in accepted.proved]).tolist()
    leaves = [
        own.leaf_proof([bytes(segment.proof)], hashes[number], THREADS)
        for number, segment in enumerate(segments[: MAX_CHILDREN[FOR_LEAF] + 1])
    ]
    own.for_leaf_proof(leaves[:-1], THREADS)
    with pytest.raises(zkevm_native.EngineError, match="exceeds stacked height"):
        own.for_leaf_proof(leaves, THREADS)


def test_nothing_is_proved_twice(tree: Tree, tmp_path: Path) -> None:
    report = aggregate([tree.segments.content], tmp_path / "again.proof", workers=WORKERS, store=tree.store, keep=True)
    assert all(node.reused for node in report.nodes)
    assert (tmp_path / "again.proof").read_bytes() == tree.content


def test_a_node_of_another_layer_is_refused(tree: Tree) -> None:
    """A leaf's proof may be longer than the one proof of a file."""
    assert refused(with_proof(tree.file, tree.node(LEAF))) in ("format", "proofs")
    assert refused(with_proof(tree.file, tree.node(FOR_LEAF))) == "proofs"


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_refused_by_both_engines(tree: Tree, seed: int) -> None:
    """Of every kind, to every field: a random part of it."""
    proof = bytes(tree.file.one_proof or b"")
    keys_of_nodes = [node_key(trees.encoding(), engine) for engine in ENGINES]
    random = np.random.default_rng(seed)
    made = damages(decode_node(trees.encoding()), proof, random)
    accepted = [
        made[place].what
        for place in random.permutation(len(made))[:150].tolist()
        for key in keys_of_nodes
        if accepts(key, made[place].of(proof))
    ]
    assert accepted == []


def test_proofs_of_other_lengths_are_refused(tree: Tree) -> None:
    proof = bytes(tree.file.one_proof or b"")
    for length in (0, 1, len(proof) // 2, len(proof) - 1):
        assert refused(with_proof(tree.file, proof[:length])) == "proofs"
    assert refused(with_proof(tree.file, proof + b"\0")) == "proofs"


def test_one_proof_of_another_batch_is_refused(tree: Tree, proved: Proved) -> None:
    """All else fits: of the other batch the file is as it should be, but for the proof."""
    said = [segment.claim for segment in tree.file.segments]
    segments = tuple(
        replace(segment, proof=b"", claim=said[number % len(said)])
        for number, segment in enumerate(proved.file.segments)
    )
    whole = replace(proved.file, segments=segments)
    one_proof = bytes(tree.file.one_proof or b"")
    assert refused(with_proof(whole, one_proof)) in ("segments", "proofs", "leaves", "writes", "commitments")


def test_other_public_values_and_heights_are_refused(tree: Tree) -> None:
    first, *later = tree.file.segments
    assert first.claim is not None
    for position in range(len(first.claim.values) + len(first.claim.heights)):
        lie = replace(first, claim=changed(first.claim, position))
        assert refused(encode_proof(replace(tree.file, segments=(lie, *later)))) == "proofs"


@pytest.mark.parametrize("lie", [lambda s: s[1:], lambda s: s[:1], lambda s: (*s, s[-1]), lambda s: s[::-1]])
def test_segments_that_are_dropped_doubled_or_swapped_are_refused(
    tree: Tree, lie: Callable[[tuple[SegmentRecord, ...]], tuple[SegmentRecord, ...]]
) -> None:
    assert refused(encode_proof(replace(tree.file, segments=lie(tree.file.segments)))) in ("segments", "proofs")


def test_nodes_that_do_not_follow_each_other_have_no_node_above(tree: Tree) -> None:
    leaf = tree.node(LEAF)
    with pytest.raises(zkevm_native.ProvingError, match="the children are refused"):
        circuits_of(tree).for_leaf_proof([leaf, leaf], THREADS)


def test_a_leaf_has_no_recursive_node_above(tree: Tree) -> None:
    """The layer between is not left out: a leaf's proof is not one of the key that the circuit verifies."""
    for of_itself in (False, True):
        with pytest.raises(zkevm_native.ProofFormatError):
            circuits_of(tree).recursive_proof([tree.node(LEAF)], of_itself, False, THREADS)


def test_a_segment_that_does_not_verify_makes_no_leaf(tree: Tree) -> None:
    proof = bytearray(bytes(tree.segments.file.segments[0].proof))
    proof[len(proof) // 2] ^= 1
    with pytest.raises(zkevm_native.EngineError):
        circuits_of(tree).leaf_proof([bytes(proof)], trees.BATCH_START.tolist(), THREADS)


def test_a_file_with_one_proof_is_not_aggregated_again(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(ProverError, match="has one proof"):
        aggregate([tree.content], tmp_path / "out.proof")


def circuits_of(tree: Tree) -> zkevm_native.Aggregator:
    """The circuits for the segments of a tree."""
    circuit, *_ = circuits_of_segments(tree.segments.content)
    return circuits(circuit, tree.segments.file.segments[0].log_stacked_height)
