"""One proof of all segments: what it must state, whose keys it may name, and which files may have one."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from circuits.batch.leaves import LeafKind
from circuits.functions.poseidon2 import compress_chain
from circuits.statement import PublicColumns, initial
from tests.verifier.demands import demanded, proved
from verifier import keys, trees, verify
from verifier.container import OpenEnd, ProofFile, encode_proof
from verifier.engines import ENGINES, VerifiedSegment, node_key
from verifier.errors import Invalid, Rejected
from verifier.trees import Leaves, ProvedBatch, check_chain, check_node, leaves_of, pinned

#: As many tables as the engine's nodes have at least.
TABLES = 8

VALUES = PublicColumns.width


def statements(count: int) -> list[list[int]]:
    """Public values of segments, all different."""
    return [[1 + VALUES * segment + i for i in range(VALUES)] for segment in range(count)]


def own_leaves() -> Leaves:
    return pinned().leaves["cancun", 15]


def node(depth: int, layer: int = 2) -> VerifiedSegment:
    """What a proof says that is the end of an honest tree over segments of stacked height 2^15."""
    nodes, leaves = pinned(), own_leaves()
    itself = (0,) * 16 if depth == 1 else nodes.recursive
    about_keys = [layer, *leaves.segment, *leaves.leaf, *leaves.for_leaf, depth, *itself]
    below = leaves.for_leaf if depth == 1 else nodes.recursive
    values = [about_keys, list(range(16)), *([] for _ in range(TABLES - 2))]
    commits = [[list(below[:8])] if n == trees.EXPRESSIONS_TABLE else [] for n in range(TABLES)]
    return VerifiedSegment(values, [3] * TABLES, 100.0, commits)


def test_the_running_hash_is_the_one_of_the_engine() -> None:
    """Blocks of 8 and the tag 30, then one hash after the other from the tag 31, as the leaves' table has it."""
    values = statements(3)
    running = initial(31)
    for own in values:
        blocks = np.array([*own, *[0] * (-len(own) % 8)], dtype=np.uint32).reshape(-1, 8)
        digest = compress_chain(initial(30), blocks)[-1]
        running = compress_chain(running, digest[None])[-1]
    assert (trees.chain(values)[-1] == running).all()
    assert (trees.chain([])[-1] == initial(31)).all()


def test_what_the_segments_must_state_is_accepted() -> None:
    for count in (1, 2, 5):
        check_chain(proved(statements(count)), statements(count))


@pytest.mark.parametrize("position", range(VALUES))
def test_another_public_value_is_refused(position: int) -> None:
    values = statements(2)
    values[1][position] ^= 1
    with pytest.raises(Invalid, match="state something else"):
        check_chain(proved(values), statements(2))


def test_segments_that_are_dropped_doubled_or_swapped_are_refused() -> None:
    honest = statements(4)
    for lie in (
        honest[:3],
        honest[1:],
        [honest[0], *honest[2:]],
        [*honest, honest[3]],
        [honest[0], *honest],
        [honest[0], honest[2], honest[1], honest[3]],
        statements(5)[1:],
    ):
        with pytest.raises(Invalid, match="state something else"):
            check_chain(proved(lie), honest)


def test_a_tree_that_begins_in_the_middle_is_refused() -> None:
    honest = statements(4)
    middle = trees.chain(honest)[2].tolist()
    with pytest.raises(Invalid, match="does not begin with the batch"):
        check_chain(proved(honest, middle), honest)


@pytest.mark.parametrize("depth", [1, 2, 3, 256])
def test_an_honest_node_is_accepted(depth: int) -> None:
    assert check_node(node(depth), pinned(), own_leaves()) == (tuple(range(8)), tuple(range(8, 16)))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("position", [n for n in range(66) if n != 49])
def test_a_node_that_names_another_key_is_refused(depth: int, position: int) -> None:
    lie = node(depth)
    lie.public_values[trees.VERIFIER_TABLE][position] += 1  # type: ignore[index]
    with pytest.raises(Invalid, match=r"another key|layer"):
        check_node(lie, pinned(), own_leaves())


@pytest.mark.parametrize("depth", [0, 257, 2**31 - 2**27])
def test_a_depth_that_there_is_not_is_refused(depth: int) -> None:
    with pytest.raises(Invalid, match="depth"):
        check_node(node(depth), pinned(), own_leaves())


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_a_leaf_or_a_node_for_leaves_is_refused(layer: int) -> None:
    with pytest.raises(Invalid, match="not of a recursive node"):
        check_node(node(1, layer), pinned(), own_leaves())


@pytest.mark.parametrize(("said", "true"), [(1, 2), (2, 1)])
def test_a_node_of_another_depth_than_it_says_is_refused(said: int, true: int) -> None:
    """Its own committed table is that of its children's key, of which the first recursive node alone has another."""
    lie = replace(node(said), cached_commits=node(true).cached_commits)
    with pytest.raises(Invalid, match="children have another key"):
        check_node(lie, pinned(), own_leaves())


@pytest.mark.parametrize("position", range(8))
def test_a_node_with_other_committed_expressions_is_refused(position: int) -> None:
    lie = node(2)
    lie.cached_commits[trees.EXPRESSIONS_TABLE][0][position] ^= 1  # type: ignore[index]
    with pytest.raises(Invalid, match="children have another key"):
        check_node(lie, pinned(), own_leaves())


@pytest.mark.parametrize("commits", [[], [[0] * 8, [0] * 8]])
def test_a_node_without_its_expressions_is_refused(commits: list[list[int]]) -> None:
    lie = node(2)
    lie.cached_commits[trees.EXPRESSIONS_TABLE][:] = commits  # type: ignore[index]
    with pytest.raises(Invalid, match="children have another key"):
        check_node(lie, pinned(), own_leaves())


@pytest.mark.parametrize("table", range(TABLES))
def test_a_node_with_more_or_fewer_public_values_is_refused(table: int) -> None:
    lie = node(2)
    values = list(lie.public_values[table])
    for other in ([*values, 0], values[:-1]) if values else ([0],):
        changed = [other if n == table else own for n, own in enumerate(lie.public_values)]
        with pytest.raises(Invalid, match="all of its public values"):
            check_node(replace(lie, public_values=changed), pinned(), own_leaves())


def test_leaves_of_another_circuit_or_height_are_others() -> None:
    """So a tree over segments of another key than the file says names another key."""
    every = pinned().leaves
    assert len({own.segment for own in every.values()}) == len({own.leaf for own in every.values()}) == len(every)
    for own in every.values():
        if own != own_leaves():
            with pytest.raises(Invalid, match="another key of segments"):
                check_node(node(2), pinned(), own)


def test_every_layer_has_100_bits() -> None:
    nodes = pinned()
    assert min(nodes.security_bits, *(own.security_bits for own in nodes.leaves.values())) >= 100


def test_segments_of_several_keys_have_no_one_proof() -> None:
    assert leaves_of(["cancun"] * 3, [15] * 3) == own_leaves()
    assert set(pinned().leaves) == {(circuit, height) for circuit in trees.CIRCUITS for height in trees.HEIGHTS}
    for circuit in set(keys.KEY_SETS) - set(trees.CIRCUITS):
        with pytest.raises(Invalid, match="no precompile of elliptic curves but ECRECOVER"):
            leaves_of([circuit], [15])
    for circuits, heights in ((["cancun", "prague"], [15, 15]), (["cancun"] * 2, [15, 16])):
        with pytest.raises(Invalid, match="segments of 2 keys"):
            leaves_of(circuits, heights)
    with pytest.raises(Invalid, match="log stacked height 22, at most 21"):
        leaves_of(["cancun"], [22])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_with_one_proof_is_refused_for_it_and_nothing_else(file: ProofFile, engine: str) -> None:
    lie = encode_proof(replace(emptied(file), one_proof=b"no proof"))
    with pytest.raises(Rejected) as refused:
        verify(lie, engine)
    assert refused.value.check == "proofs"


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_have_the_pinned_key_of_nodes(engine: str) -> None:
    assert node_key(trees.encoding(), engine).digest.hex() == pinned().digest


def test_parts_of_a_run_have_no_one_proof(file: ProofFile) -> None:
    first, *later = emptied(file).segments
    empty = type(first.writes).from_bytes(b"")
    codes = type(first.code_writes).from_bytes(b"")
    part = replace(first, open_end=OpenEnd(7, 2, (1, 0)), writes=empty, code_writes=codes)
    with pytest.raises(Rejected, match="a part of a run") as refused:
        verify(encode_proof(replace(file, segments=(part, *later), one_proof=b"no proof")))
    assert refused.value.check == "segments"


def test_what_the_file_says_of_segments_is_what_the_one_proof_states(
    file: ProofFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof of another batch is refused before anything that the file lists is looked at."""
    wanted = [own[:VALUES] for own in demanded(file, monkeypatch)]

    def verdict(said: list[list[int]], statement: ProvedBatch) -> str:
        monkeypatch.setattr(import_module("verifier.verify"), "verify_tree", lambda *_: statement)
        try:
            verify(encode_proof(replace(emptied(file, said), one_proof=b"a proof")))
        except Rejected as error:
            return error.check
        return "accepted"

    assert verdict(wanted, proved(wanted)) == "accepted"
    assert verdict(wanted, proved(wanted[:-1])) == "proofs"
    assert verdict(wanted, proved(wanted[::-1])) == "proofs"
    assert verdict(wanted, proved(wanted, [1] * 8)) == "proofs"
    # What segments state is what they must, each value: a proof of segments that state anything else does not help.
    checks = set()
    for position in range(VALUES):
        lie = [list(own) for own in wanted]
        lie[-1][position] ^= 1
        checks.add(verdict(lie, proved(lie)))
        assert verdict(lie, proved(wanted)) == "proofs"
    assert checks == {"leaves", "writes", "commitments"}


def test_junk_is_refused_for_what_segments_state(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves beyond the depth of the tree, and other writes, before any of them is made to the state."""
    wanted = [own[:VALUES] for own in demanded(file, monkeypatch)]
    monkeypatch.setattr(import_module("verifier.verify"), "verify_tree", lambda *_: proved(wanted))
    whole = replace(emptied(file, wanted), one_proof=b"a proof")
    junk = [(int(LeafKind.STORAGE), bytes(20), slot) for slot in range(len(file.state_keys))]
    with pytest.raises(Rejected, match="not proved of an access tree over") as refused:
        verify(encode_proof(replace(whole, state_keys=tuple(sorted([*file.state_keys, *junk])))))
    assert refused.value.check == "leaves"
    first = replace(whole.segments[0], writes=file.segments[1].writes)
    with pytest.raises(Rejected, match="segment 0 is not proved of these writes") as refused:
        verify(encode_proof(replace(whole, segments=(first, *whole.segments[1:]))))
    assert refused.value.check == "writes"


@pytest.mark.parametrize(
    ("of", "match"), [("leaves", "not of the pinned key"), ("digest", "not the one that nodes name")]
)
def test_pins_that_do_not_fit_each_other_are_refused(of: str, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit that was pinned anew without its leaves would leave the old one accepted."""
    document = trees.to_document(pinned())
    if of == "leaves":
        document["leaves"]["cancun"]["15"]["segment"][-1] ^= 1
    else:
        document["recursive"][-1] ^= 1
    monkeypatch.setattr(trees.json, "loads", lambda text: document)
    trees.pinned.cache_clear()
    try:
        with pytest.raises(Invalid, match=match):
            leaves_of(["cancun"], [15])
    finally:
        trees.pinned.cache_clear()


def emptied(file: ProofFile, stated: list[list[int]] | None = None) -> ProofFile:
    """The file without the proofs of its segments, and with what they are said to state: anything, if nothing is."""
    said = stated or [[0] * VALUES] * len(file.segments)
    segments = zip(file.segments, said, strict=True)
    return replace(file, segments=tuple(replace(own, proof=b"", stated=tuple(values)) for own, values in segments))
