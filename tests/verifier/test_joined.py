"""Batches that follow each other in one file, under one proof of all their segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from circuits.batch.execution import Batch
from circuits.batch.leaves import LeafKind
from executor.execute import ExecutedBatch, execute
from executor.provable import check_provable
from prover import aggregate
from prover.assemble import assemble, statement_of
from prover.errors import ProverError
from prover.planner import Budget, plan_batch
from prover.segment import SegmentProof, segment_jobs
from prover.store import SegmentStore
from prover.workers import Workers
from scripts.batches.one_by_one import one_by_one
from scripts.batches.tokens import token_batch
from tests.verifier.demands import proved
from verifier import container, keys, verify
from verifier.container import MAX_JOINS, BatchRecord, Claim, Joint, ProofFile, decode_proof, encode_proof, joins_of
from verifier.errors import Invalid, Rejected
from verifier.joining import grouped, join, joint_of
from verifier.segments import ProvedSegment, Stated
from verifier.trees import ProvedBatch, claim_of, ends_of
from verifier.verify import check_contents

CIRCUIT = "cancun-light"
BATCHES = 3
LAST = BATCHES - 1
NAMES = ["one.proof", "two.proof", "three.proof"]


@dataclass(frozen=True)
class Unproved:
    """A batch, its file without the proofs of its segments, and what is known of these when they are made."""

    executed: ExecutedBatch
    file: ProofFile
    proved: list[ProvedSegment]

    @property
    def accepted(self) -> Any:
        """The file as the verifier accepts it."""
        return SimpleNamespace(file=self.file, circuits=[CIRCUIT] * len(self.proved), proved=self.proved)


def unproved(executed: ExecutedBatch) -> Unproved:
    batch = Batch.of(check_provable(executed))
    jobs = segment_jobs(batch, plan_batch(batch, Budget(operations=2)))
    file = assemble(executed, batch, jobs, [SegmentProof(b"")] * len(jobs))
    heights = [job.plan.heights for job in jobs]
    wanted = check_contents(encode_proof(file), heights)
    pairs = zip(heights, wanted, strict=True)
    return Unproved(executed, file, [ProvedSegment(rows, of_tables(rows, own), 100.0) for rows, own in pairs])


def of_tables(rows: Mapping[str, int], wanted: Stated) -> Stated:
    """What a proof with these tables states of it."""
    frames, words = (own if name in rows else [] for name, own in (("frame", wanted.frames), ("memory", wanted.words)))
    return Stated(wanted.values, frames, words)


@cache
def whole() -> tuple[ExecutedBatch, tuple[Unproved, ...]]:
    """A batch of three blocks of transfers of a token, and each of its blocks as a batch."""
    building = token_batch(3 * BATCHES)
    executed = building.execute()
    return executed, tuple(map(unproved, one_by_one(building.document, executed)))


def claims() -> list[Claim]:
    """What the proofs of the segments of all batches say."""
    tables = keys.manifest(CIRCUIT).tables
    return [claim_of(segment, tables) for own in whole()[1] for segment in own.proved]


def with_claims(file: ProofFile) -> ProofFile:
    """The joined file, with what they say in the place of the proofs."""
    own = iter(claims())

    def filled(batch: Any) -> Any:
        segments = tuple(replace(segment, proof=b"", claim=next(own)) for segment in batch.segments)
        return replace(batch, segments=segments)

    first = filled(file)
    return replace(first, joined=tuple(map(filled, file.joined)), one_proof=b"a proof")


@cache
def joined() -> ProofFile:
    return with_claims(join([own.file for own in whole()[1]], NAMES))


@pytest.fixture
def honest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one proof is taken for one of the segments of all batches, whatever file it is in."""
    monkeypatch.setattr(import_module("verifier.verify"), "verify_tree", lambda *_: proved(claims()))


def refused(file: ProofFile) -> Rejected:
    with pytest.raises(Rejected) as error:
        verify(encode_proof(file))
    return error.value


def changed(file: ProofFile, number: int, change: Callable[[Any], dict[str, Any]]) -> ProofFile:
    """The file with other fields of one of its batches."""
    if number == 0:
        return replace(file, **change(file))
    others = list(file.joined)
    others[number - 1] = replace(others[number - 1], **change(others[number - 1]))
    return replace(file, joined=tuple(others))


@pytest.mark.usefixtures("honest")
def test_the_statement_is_that_of_all_blocks() -> None:
    executed, parts = whole()
    assert len(parts) == BATCHES
    report = verify(encode_proof(joined()))
    assert report.statement == statement_of(executed)
    assert report.batches == BATCHES
    assert report.blocks == len(executed.blocks)
    assert report.transactions == 3 * BATCHES
    assert report.segments == len(claims()) > BATCHES


@pytest.mark.usefixtures("honest")
def test_what_is_known_of_all_blocks_is_compared() -> None:
    executed, parts = whole()
    content = encode_proof(joined())
    known = {"pre_state_root": executed.pre_state_root, "last_block_hash": executed.last_block_hash}
    assert verify(content, expected=known).statement.gas_used == executed.gas_used
    with pytest.raises(Rejected, match="post state root is") as error:
        verify(content, expected={"post_state_root": parts[0].executed.post_state_root})
    assert error.value.check == "statement"


def test_a_joined_file_is_read_as_it_was_written() -> None:
    content = encode_proof(joined())
    assert encode_proof(decode_proof(content)) == content
    assert len(decode_proof(content).batches) == BATCHES


def test_the_proof_has_to_be_of_the_segments_of_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    every = iter(claims())
    parts = [[next(every) for _ in own.proved] for own in whole()[1]]
    for lie in ([parts[0], parts[2], parts[1]], parts[:2], parts[1:], [*parts, parts[2]], [parts[0], parts[0]]):
        said = [own for part in lie for own in part]
        monkeypatch.setattr(import_module("verifier.verify"), "verify_tree", lambda *_, said=said: proved(said))
        assert refused(joined()).check == "proofs"


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize(
    "lie",
    [
        lambda batches: [batches[0], batches[2], batches[1]],
        lambda batches: [batches[0], batches[2]],
        lambda batches: [*batches, batches[2]],
        lambda batches: [batches[0], batches[1], batches[1], batches[2]],
    ],
    ids=["swapped", "dropped", "doubled", "doubled within"],
)
def test_batches_that_are_moved_dropped_or_doubled_are_refused(lie: Callable[[list[Any]], list[Any]]) -> None:
    _, *later = lie(list(joined().batches))
    assert refused(replace(joined(), joined=tuple(later))).check == "headers"


@pytest.mark.usefixtures("honest")
def test_the_last_batch_is_not_left_out() -> None:
    """Headers still follow each other, but the statement and the proof are those of all."""
    shorter = replace(joined(), joined=joined().joined[:-1])
    assert refused(shorter).check == "statement"
    statement = statement_of(execute(replace(whole()[0].batch, blocks=whole()[0].batch.blocks[:-1])))
    error = refused(replace(shorter, statement=statement))
    assert (error.check, error.reason) == ("segments", "one proof joined of 3 batches, the file has 2")
    assert refused(replace(shorter, statement=statement, joint=2)).check == "proofs"


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("number", range(BATCHES))
def test_what_is_wrong_with_a_batch_names_it(number: int) -> None:
    """Each check of a batch's own part is made for each batch, by its own state and operations."""
    file = joined()
    other = file.batches[(number + 1) % BATCHES]
    lies: list[tuple[str, Callable[[Any], dict[str, Any]]]] = [
        ("witness", lambda batch: {"state_nodes": other.state_nodes[:1]}),
        ("pre-state", lambda batch: {"state_nodes": batch.state_nodes[:1]}),
        ("segments", lambda batch: {"segments": batch.segments[:-1]}),
        ("leaves", lambda batch: {"state_keys": tuple(batch.state_keys)[:1]}),
        ("leaves", lambda batch: {"codes": ()}),
    ]
    for check, change in lies:
        error = refused(changed(file, number, change))
        assert (error.check, error.reason[:8]) == (check, f"batch {number}:"), error


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("number", range(BATCHES))
def test_a_batch_has_its_own_writes(number: int) -> None:
    """Though the proof is one of the writes of another batch, too."""
    file = joined()
    other = file.batches[(number + 1) % BATCHES].segments

    def moved(batch: Any) -> dict[str, Any]:
        own = zip(batch.segments, other, strict=True)
        return {"segments": tuple(replace(mine, writes=theirs.writes) for mine, theirs in own)}

    error = refused(changed(file, number, moved))
    assert error.check in ("writes", "state roots")
    assert error.reason.startswith(f"batch {number}:")


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("number", range(BATCHES))
def test_segments_state_what_their_own_batch_demands(number: int) -> None:
    """Two batches of the same shape: what the segments of one state is no statement about the other."""
    file = joined()
    other = (number + 1) % BATCHES
    swapped = changed(file, number, lambda batch: {"segments": file.batches[other].segments})
    swapped = changed(swapped, other, lambda batch: {"segments": file.batches[number].segments})
    assert refused(swapped).check == "proofs"


@pytest.mark.usefixtures("honest")
def test_blocks_are_not_moved_between_batches() -> None:
    file = joined()
    _, second, *_ = file.batches

    def with_second(batch: Any) -> dict[str, Any]:
        return {"blocks": (*batch.blocks, *second.blocks), "receipts": (*batch.receipts, *second.receipts)}

    moved = changed(file, 0, with_second)
    moved = changed(moved, 1, lambda batch: {"blocks": (), "receipts": ()})
    assert refused(moved).check in ("witness", "segments")
    moved = changed(file, 0, lambda batch: {"receipts": (*batch.receipts, *second.receipts)})
    moved = changed(moved, 1, lambda batch: {"receipts": ()})
    error = refused(moved)
    assert (error.check, error.reason) == ("transactions", "batch 0: 6 receipts for 3 transactions")


@pytest.mark.usefixtures("honest")
def test_where_batches_end_is_compared_before_their_leaves_are_hashed() -> None:
    """Of the segments of one batch others could be made, each with as many leaves as that one has."""
    file = joined()
    first, second, *_ = file.batches
    claims = [segment.claim for segment in (*first.segments, *second.segments)]
    assert len(claims) == 4

    def divided(ends: list[int], claims: list[Claim | None]) -> dict[str, Any]:
        parts = zip([0, *ends], ends, claims, strict=False)
        return {"segments": tuple(replace(first.segments[0], first=a, end=b, claim=own) for a, b, own in parts)}

    moved = changed(file, 0, lambda _: divided([3], claims[:1]))
    moved = changed(moved, 1, lambda _: divided([1, 2, 3], claims[1:]))
    error = refused(moved)
    assert (error.check, error.reason) == ("leaves", "batch 0: segment 0 is not proved of these operations")


def without_blocks() -> BatchRecord:
    return BatchRecord(blocks=(), state_keys=(), codes=(), state_nodes=(), receipts=(), segments=())


@pytest.mark.usefixtures("honest")
def test_a_batch_without_blocks_changes_nothing_and_holds_nothing() -> None:
    file = joined()
    for place in range(BATCHES):
        batches = list(file.joined)
        batches.insert(place, without_blocks())
        longer = replace(file, joined=tuple(batches), joint=BATCHES + 1)
        report = verify(encode_proof(longer))
        assert (report.statement, report.batches) == (file.statement, BATCHES + 1)
        key = (int(LeafKind.ACCOUNT), bytes(20), 0)
        junk = changed(longer, place + 1, lambda batch, key=key: {"state_keys": (key,)})
        error = refused(junk)
        assert error.check == "leaves"
        assert "1 leaves, of which the segments touch 0" in error.reason
        junk = changed(longer, place + 1, lambda batch: {"codes": (b"\x00",)})
        assert refused(junk).check == "leaves"


def test_what_a_file_may_have_all_its_batches_have_together(monkeypatch: pytest.MonkeyPatch) -> None:
    content, batches = encode_proof(joined()), joined().batches
    segments = joined().all_segments
    there_is = {
        "MAX_LEAVES": sum(len(batch.state_keys) for batch in batches),
        "MAX_ALL_CODE_BYTES": sum(len(code) for batch in batches for code in batch.codes),
        "MAX_WRITES": sum(len(segment.writes) + len(segment.code_writes) for segment in segments),
        "MAX_SEGMENTS": len(segments),
    }
    for name, count in there_is.items():
        with monkeypatch.context() as patch:
            patch.setattr(container, name, count)
            decode_proof(content)
            patch.setattr(container, name, count - 1)
            with pytest.raises(Invalid, match=f"^batch {LAST}: "):
                decode_proof(content)


def test_what_is_too_much_for_one_file_is_refused_before_it_is_proved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Though each file is accepted by itself: a tree takes minutes, or hours."""
    given = [own.accepted for own in whole()[1]]

    class Begun(Exception):  # noqa: N818
        pass

    def runner(workers: Workers, circuit: str, nodes: int) -> Any:
        raise Begun

    monkeypatch.setattr(aggregate, "_runner", runner)
    with pytest.raises(Begun):
        aggregate.one_proof(given, SegmentStore(tmp_path), names=NAMES)
    one: Any = SimpleNamespace(file=joined(), circuits=[CIRCUIT] * len(claims()), proved=[])
    with pytest.raises(ProverError, match=r"one\.proof has one proof of all segments already"):
        aggregate.one_proof([one], SegmentStore(tmp_path), names=NAMES)
    monkeypatch.setattr(aggregate, "joins_of", lambda joint: MAX_JOINS + 1)
    with pytest.raises(ProverError, match="joined more than 64 times") as error:
        aggregate.one_proof(given, SegmentStore(tmp_path), names=NAMES)
    assert error.value.hint == "join more files at a time, fewer times"
    monkeypatch.setattr(aggregate, "joins_of", joins_of)
    monkeypatch.setattr(container, "MAX_BATCHES", LAST)
    with pytest.raises(ProverError, match=f"too much for one file: more than {LAST} batches"):
        aggregate.one_proof(given, SegmentStore(tmp_path), names=NAMES)


def test_a_file_has_so_many_batches_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_BATCHES", BATCHES)
    decode_proof(encode_proof(joined()))
    longer = replace(joined(), joined=(*joined().joined, without_blocks()))
    with pytest.raises(Invalid, match=f"more than {BATCHES} batches"):
        decode_proof(encode_proof(longer))


def test_files_that_do_not_follow_each_other_are_not_joined() -> None:
    files = [own.file for own in whole()[1]]
    for order in ([0, 2], [1, 0], [0, 0]):
        with pytest.raises(Invalid, match=r"^two\.proof does not follow one\.proof, which ends with block"):
            join([files[number] for number in order], NAMES[:2])
    other = replace(files[1], statement=replace(files[1].statement, chain_id=5))
    with pytest.raises(Invalid, match=r"^two\.proof is of another chain than one\.proof: chain id 5 instead of"):
        join([files[0], other], NAMES[:2])


def test_a_file_that_has_one_proof_keeps_its_tree() -> None:
    """It is joined to one tree of the segments of others, as many as follow each other, by four in a list."""

    def files(kinds: str) -> list[Any]:
        """`s`: with proofs of its segments; `o`: with one proof of two batches; `j`: of joined ones; `e`: empty."""
        of = {
            "s": SimpleNamespace(all_segments=[1], one_proof=None),
            "o": SimpleNamespace(all_segments=[1], one_proof=b"", joint=2),
            "j": SimpleNamespace(all_segments=[1], one_proof=b"", joint=(2, (3, 1))),
            "e": SimpleNamespace(all_segments=[], one_proof=None),
        }
        return [of[kind] for kind in kinds]

    wanted: dict[str, Joint] = {
        "s": 1, "e": 1, "ee": 2, "sss": 3, "eses": 4, "o": 2, "oo": (2, 2), "os": (2, 1), "soss": (1, 2, 2),
        "eoe": 4, "eje": (3, (3, 2)), "seeo": (3, 2), "oeso": (3, 1, 2), "jj": ((2, (3, 1)), (2, (3, 1))),
        "ooooo": ((2, 2, 2, 2), 2), "oooooooso": ((2, 2, 2, 2), (2, 2, 2, 1), 2),
    }  # fmt: skip
    assert {kinds: joint_of(files(kinds)) for kinds in wanted} == wanted
    assert grouped(files("eesseoes")) == [[0, 1, 2, 3, 4], [5, 6], [7]]


def test_files_of_several_batches_are_joined_to_one() -> None:
    """Whatever was joined before: the batches are those of all, and so is the statement."""
    (first, second, third), every = whole()[1], joined()
    front = replace(join([first.file, second.file], NAMES[:2]), one_proof=b"one proof")
    back = replace(join([second.file, third.file], NAMES[:2]), one_proof=b"one proof")
    for files, joint in (([front, third.file], (2, 1)), ([first.file, back], (1, 2))):
        file = join(files, NAMES[:2])
        assert (file.statement, file.joint) == (every.statement, joint)
        assert [batch.blocks for batch in file.batches] == [batch.blocks for batch in every.batches]
        assert all(type(batch) is BatchRecord for batch in file.joined)
    with pytest.raises(Invalid, match=r"^two\.proof does not follow one\.proof"):
        join([front, second.file], NAMES[:2])


@pytest.mark.parametrize("joint", [(1, 2), (2, 1), (1, 1, 1), ((1, 1), 1)])
def test_how_the_trees_are_joined_is_what_the_proof_states(joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    every = iter(claims())
    of = [list(islice(every, len(batch.segments))) for batch in joined().batches]
    before, behind = ends_of(joint, of)
    stated = ProvedBatch(tuple(before.tolist()), tuple(behind.tolist()), 100.0)
    monkeypatch.setattr(import_module("verifier.verify"), "verify_tree", lambda *_: stated)
    assert verify(encode_proof(replace(joined(), joint=joint))).batches == BATCHES
    for other in {3, (1, 2), (2, 1), (1, 1, 1), ((1, 1), 1), (1, (1, 1))} - {joint}:
        assert refused(replace(joined(), joint=other)).check == "proofs"
    for other in (2, 4, (1, 1), (1, 3)):
        assert refused(replace(joined(), joint=other)).check == "segments"


def test_one_file_joined_with_nothing_is_itself() -> None:
    file = whole()[1][0].file
    assert encode_proof(join([file], NAMES[:1])) == encode_proof(file)


@pytest.mark.parametrize(
    ("forks", "joint"),
    [
        (["cancun", "", "cancun"], "cancun"),
        (["cancun", "cancun, prague from 7", "prague"], "cancun, prague from 7"),
        (["cancun, prague from 7", "prague", "prague, osaka from 9"], "cancun, prague from 7, osaka from 9"),
        (["cancun", "prague"], None),
        (["cancun, prague from 7", "osaka"], None),
        (["prague", "cancun"], None),
    ],
)
def test_the_schedule_of_all_blocks_is_that_of_the_batches_together(forks: list[str], joint: str | None) -> None:
    files = [
        replace(own.file, statement=replace(own.file.statement, fork=fork))
        for own, fork in zip(whole()[1], forks, strict=False)
    ]
    if joint is None:
        with pytest.raises(Invalid, match="none says from when on blocks are of it"):
            join(files, NAMES)
    else:
        assert join(files, NAMES).statement.fork == joint
