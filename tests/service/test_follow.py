"""Following a chain: batches as they are closed, reorganisations, nodes that fail, and processes that die anywhere."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import event, select, update

from executor.fetch import NodeError
from service.artifacts import Artifacts
from service.database import Database, FollowedBatchRow, FollowedBlockRow, JobRow, PlaceRow
from service.follow import GONE, KEPT, LEAVING, Follower, closed, following
from service.models import Following
from service.queue import Queue
from service.settings import Settings
from service.states import State
from tests.service.databases import Server
from tests.service.scripted_node import ScriptedNode

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process died."""


class MortalDatabase(Database):
    """A database whose user dies before or after a transaction is committed, when it is time.

    Or it is the connection that dies after the transaction with the number `unanswered`, which then is repeated.
    """

    point: Callable[[], None] = staticmethod(lambda: None)  # type: ignore[assignment]
    writes = 0
    unanswered: int | None = None

    def write(self, work: Any) -> Any:
        self.point()
        result = super().write(work)
        self.writes += 1
        if self.writes == self.unanswered:
            result = super().write(lambda session, again: work(session, True))
        self.point()
        return result


class MortalArtifacts(Artifacts):
    """The same with files."""

    point: Callable[[], None] = staticmethod(lambda: None)  # type: ignore[assignment]

    def put(self, *arguments: Any) -> Any:
        self.point()
        stored = super().put(*arguments)
        self.point()
        return stored

    def clean(self, *arguments: Any) -> None:
        self.point()
        super().clean(*arguments)


@dataclass
class World:
    """A scripted node, and what follows it; processes may die, and others take their place."""

    folder: Path
    url: str
    options: dict[str, Any]
    node: ScriptedNode = field(default_factory=ScriptedNode)
    now: datetime = BEGIN
    points: int = 0
    deadly: int | None = None

    def __post_init__(self) -> None:
        self.database = MortalDatabase(self.url)
        if self.database.is_sqlite:
            # Processes die here, machines do not.
            event.listen(self.database.engine, "connect", lambda found, _: found.execute("PRAGMA synchronous=OFF"))
        else:
            self.database.migrate()
        self.artifacts = MortalArtifacts(str(self.folder / "artifacts"))
        self.database.point = self.artifacts.point = self._point  # type: ignore[method-assign]
        self.node.before = lambda method: self._point()
        self.queue = Queue(self.database, clock=lambda: self.now)
        self.follower = self.another()

    def _point(self) -> None:
        self.points += 1
        if self.points == self.deadly:
            raise Killed

    def another(self, **options: Any) -> Follower:
        """A process that follows."""
        chosen = {"data": self.folder, "follow": "http://user:secret@node:8545/path", "follow_from": 1}
        return Follower(
            Settings(**(chosen | self.options | options)),
            self.queue,
            self.artifacts,
            connect=lambda: self.node,
            fetcher=self.node.fetch,
            clock=lambda: self.now,
        )

    def look(self, times: int = 1, seconds: float = 2.0) -> Following:
        """Some looks at the node; whoever dies is followed by another when the lease is over."""
        for _ in range(times):
            self.now += timedelta(seconds=seconds)
            try:
                while self.follower.step():
                    pass
            except Killed:
                self.now += timedelta(seconds=61)
                self.follower = self.another()
        if following(self.database) is None:
            return self.look()  # who died had not even begun
        return self.following()

    def following(self) -> Following:
        found = following(self.database)
        assert found is not None
        return found

    def rows(self, state: str = KEPT) -> list[FollowedBatchRow]:
        return self.database.read(
            lambda s: list(
                s.scalars(
                    select(FollowedBatchRow).where(FollowedBatchRow.state == state).order_by(FollowedBatchRow.first)
                )
            )
        )

    def batches(self) -> list[tuple[int, int]]:
        """First and last blocks of the batches that count."""
        return [(row.first, row.last) for row in self.rows()]

    def states(self) -> dict[str, str]:
        """Of all jobs."""
        return dict(self.database.read(lambda s: s.execute(select(JobRow.id, JobRow.state)).all()))

    def prove(self, count: int | None = None, **changed: Any) -> None:
        """Jobs are done, with the statements that they must have but for what is changed."""
        for row in [row for row in self.rows() if self.states()[row.job] == State.QUEUED][:count]:
            statement = {
                "chain_id": self.node.chain_id,
                "first_block_number": row.first,
                "first_block_hash": row.first_hash,
                "last_block_number": row.last,
                "last_block_hash": row.last_hash,
                "pre_state_root": row.pre_state_root,
                "post_state_root": row.post_state_root,
            }
            self.set_job(row.job, state=State.DONE, statement=statement | changed)

    def set_job(self, job: str, **values: Any) -> None:
        # A runner's write, at which no process that follows dies.
        Database.write(
            self.database, lambda s, again: s.execute(update(JobRow).where(JobRow.id == job).values(**values))
        )

    def check(self, first: int = 1) -> None:
        """What must hold once everything that can be followed has been: each block of the chain is in one batch."""
        chain, rows, states = self.node.blocks, self.rows(), self.states()
        assert not self.rows(LEAVING)
        parent = first - 1
        for row in rows:
            assert row.first == parent + 1
            assert row.parent_hash == chain[parent]["hash"]
            assert row.pre_state_root == chain[parent]["stateRoot"]
            assert row.first_hash == chain[row.first]["hash"]
            assert (row.last_hash, row.post_state_root) == (chain[row.last]["hash"], chain[row.last]["stateRoot"])
            assert states.pop(row.job) != State.ABANDONED
            stored = self.queue.artifact(row.job, "batch")
            assert stored is not None
            document = json.loads(self.artifacts.get(stored))
            assert [block["hash"] for block in document["blocks"]] == [
                chain[number]["hash"] for number in range(row.first, row.last + 1)
            ]
            assert document["witness"]["headers"] == [chain[parent]]
            assert len(document["witness"]["state"]) == row.last - parent
            parent = row.last
        place = self.following()
        assert place.next_block == parent + 1
        assert place.head == self.node.head
        assert place.last_batch == (rows[-1].job if rows else None)
        # What does not count any more is abandoned, and nothing else was ever submitted.
        gone = {row.job for row in self.rows(GONE)}
        assert gone == states.keys()
        assert set(states.values()) <= {State.ABANDONED}
        waiting = self.database.read(
            lambda s: s.scalars(select(FollowedBlockRow).order_by(FollowedBlockRow.number)).all()
        )
        assert [row.hash for row in waiting] == [block["hash"] for block in chain[parent + 1 :]]
        # Nothing lies around, once it has been swept.
        self.artifacts.sweep(self.queue.jobs_in_store, -1)
        found = {path.name for path in (self.folder / "artifacts").glob("*")}
        assert found == {row.job for row in rows} | gone | {row.folder for row in waiting}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with the tables and nothing in them."""
    path = tmp_path_factory.mktemp("empty") / "service.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


Make = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes worlds."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    made: list[World] = []

    def make(**options: Any) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        shutil.copy(empty_database, folder / "service.sqlite")
        made.append(World(folder, f"sqlite:///{folder / 'service.sqlite'}", options))
        return made[-1]

    yield make
    for each in made:
        each.database.close()


# -- when a batch is closed


def test_batches_of_so_many_blocks(world: Make) -> None:
    it = world(batch_blocks=3)
    it.node.extend(7)
    place = it.look()
    assert it.batches() == [(1, 3), (4, 6)]
    assert (place.head, place.next_block, place.lag, place.problem) == (7, 7, 1, None)
    it.check()
    it.node.extend(2)
    it.look()
    assert it.batches() == [(1, 3), (4, 6), (7, 9)]
    it.check()
    assert it.queue.get(it.rows()[0].job).name == "blocks 1 to 3"
    assert place.rpc == "http://node:8545"  # nobody else needs the password


def test_following_begins_after_the_head(world: Make) -> None:
    it = world(follow_from=None)
    it.node.extend(5)
    assert it.look().next_block == 6
    assert not it.batches()
    it.node.extend(2)
    it.look()
    assert it.batches() == [(6, 6), (7, 7)]
    it.check(6)


def test_a_batch_has_no_more_gas_than_it_may_unless_a_block_has(world: Make) -> None:
    it = world(batch_blocks=100, batch_gas=100)
    for gas in (40, 60, 70, 40, 500, 10, 10):
        it.node.extend(gas=gas)
    it.look()
    # 40 + 60 are all that it may have; 40 more would be too much; 500 are, and are not split; the rest may grow.
    assert it.batches() == [(1, 2), (3, 3), (4, 4), (5, 5)]
    it.check()


def test_a_batch_is_closed_some_time_after_its_first_block(world: Make) -> None:
    it = world(batch_blocks=100, batch_seconds=36)
    it.node.extend(8)  # 12 seconds apart
    it.look()
    assert it.batches() == [(1, 3), (4, 6)]
    # No other block comes: it is closed by the clock, 36 seconds after its first block was confirmed.
    it.look(seconds=33)
    assert it.batches() == [(1, 3), (4, 6)]
    it.look(seconds=3)
    assert it.batches() == [(1, 3), (4, 6), (7, 8)]
    it.check()


def test_the_clock_goes_on_while_nobody_is_there(world: Make) -> None:
    it = world(batch_blocks=100, batch_seconds=600)
    it.node.extend(2)
    it.look()
    it.follower = it.another()
    it.node.extend(1)
    it.look(seconds=599)
    assert not it.batches()
    it.look()
    assert it.batches() == [(1, 3)]


def test_a_batch_ends_where_the_fork_changes(world: Make) -> None:
    it = world(batch_blocks=4)
    it.node.forks = {1: "prague", 3: "osaka"}
    it.node.extend(7)
    it.look()
    assert it.batches() == [(1, 2), (3, 6)]
    documents = [json.loads(it.artifacts.get(it.queue.artifact(row.job, "batch"))) for row in it.rows()]
    assert [document["fork"] for document in documents] == ["prague", "osaka"]
    told = world(batch_blocks=4, follow_fork="bpo1")
    told.node.extend(4)
    told.look()
    (row,) = told.rows()
    assert json.loads(told.artifacts.get(told.queue.artifact(row.job, "batch")))["fork"] == "bpo1"


def test_a_batch_is_not_larger_than_a_file_may_be(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    it = world(batch_blocks=10)
    it.node.extend(1)
    it.look()
    size = it.database.read(lambda s: s.scalars(select(FollowedBlockRow.bytes)).one())
    monkeypatch.setattr("service.follow.MAX_FILE_BYTES", 3 * size + 100)
    it.node.extend(6)
    it.look()
    assert it.batches() == [(1, 3), (4, 6)]


def test_nothing_is_closed_of_nothing() -> None:
    assert closed([], Settings(follow="http://x", batch_seconds=1), BEGIN) is None


def test_blocks_wait_for_confirmations_but_are_fetched_at_once(world: Make) -> None:
    it = world(confirmations=3, batch_blocks=2)
    it.node.extend(4)
    place = it.look()
    assert not it.batches()
    assert (place.lag, place.confirmations) == (4, 3)
    # Later nobody could: their state is gone.
    it.node.pruned = 5
    it.node.extend(1)
    it.look()
    assert it.batches() == [(1, 2)]
    it.check()


def test_a_long_way_to_the_head_is_gone_in_parts(world: Make) -> None:
    it = world(batch_blocks=10)
    it.node.extend(75)
    assert [it.follower.step() for _ in range(3)] == [True, True, False]
    assert it.batches()[-1] == (61, 70)
    it.check()


# -- reorganisations


@pytest.mark.parametrize("confirmations", [0, 2])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("longer", [1, 0])
def test_reorganisations(world: Make, confirmations: int, depth: int, longer: int) -> None:
    it = world(batch_blocks=3, confirmations=confirmations)
    it.node.extend(8)
    it.look()
    before = {row.job: row for row in it.rows()}
    it.node.reorganise(depth, depth + longer)
    place = it.look()
    assert (place.reorganisations, place.problem) == (1, None)
    kept = [row for row in before.values() if row.last <= 8 - depth]
    assert [row.job for row in it.rows()][: len(kept)] == [row.job for row in kept]
    assert [row.job for row in it.rows(GONE)] == [job for job, row in before.items() if row.last > 8 - depth]
    it.node.extend(6)
    assert it.look().problem is None
    it.check()


def test_a_shorter_chain_is_a_reorganisation_as_far_as_it_goes(world: Make) -> None:
    it = world(batch_blocks=3)
    it.node.extend(8)
    it.look()
    it.node.reorganise(6, 4)  # blocks 3 to 6 are others, 7 and 8 are not there
    place = it.look()
    assert (place.reorganisations, place.problem) == (1, None)
    it.check()
    it.node.reorganise(2, 0)
    place = it.look()
    assert place.problem == "the node is at block 4, behind block 6 that it had before"
    it.node.extend(1)
    it.node.extend(3)
    assert it.look().reorganisations == 2
    it.check()


def test_all_but_the_first_block_may_go(world: Make) -> None:
    it = world()
    it.node.extend(5)
    it.look()
    it.node.reorganise(5)
    assert it.look().reorganisations == 1
    assert len(it.rows(GONE)) == 5
    it.check()


def test_a_chain_that_comes_back_gets_new_jobs(world: Make) -> None:
    it = world(batch_blocks=2)
    it.node.extend(4)
    it.look()
    first, other = list(it.node.blocks), None
    it.node.reorganise(3)
    it.look()
    other = list(it.node.blocks)
    it.node.blocks = first
    it.node.extend(2)
    it.look()
    it.check()
    it.node.blocks = other
    it.node.extend(3)
    assert it.look().reorganisations == 3
    it.check()


def test_finished_and_failed_batches_are_abandoned_too(world: Make) -> None:
    it = world()
    it.node.extend(4)
    it.look()
    it.prove(2)
    jobs = [row.job for row in it.rows()]
    it.set_job(jobs[2], state=State.FAILED)
    assert it.look().proved == 2
    it.node.reorganise(3)
    assert it.look().proved == 1
    assert [it.states()[job] for job in jobs] == [State.DONE, *[State.ABANDONED] * 3]
    problem = it.queue.get(jobs[1]).problem
    assert problem is not None
    assert problem.detail == "the chain was reorganised: blocks 2 to 2 are not in it any more"
    it.check()


def test_a_reorganisation_while_blocks_are_fetched(world: Make) -> None:
    it = world(batch_blocks=2)
    it.node.extend(3)
    it.look()
    it.node.extend(4)

    def change(method: str) -> None:
        if method == "fetch" and it.node.head == 7:
            it.node.reorganise(5, 6)

    it.node.before = change
    it.look()
    assert it.look().problem is None
    it.check()


def test_where_following_begins_may_be_reorganised_before_the_first_batch(world: Make) -> None:
    it = world(follow_from=None, confirmations=2)
    it.node.extend(5)
    it.look()
    it.node.extend(1)
    it.look()
    it.node.reorganise(4)
    assert it.look().reorganisations == 1
    it.node.extend(4)
    it.look()
    assert it.batches()[0][0] == 6
    it.check(6)


def test_another_chain_is_refused(world: Make) -> None:
    it = world(follow_from=3)
    it.node.extend(5)
    it.look()
    before = it.states()
    it.node.reorganise(4)
    place = it.look()
    assert place.problem is not None
    assert "parts from the one that was followed before the first batch" in place.problem
    assert it.states() == before
    other = world()
    other.node.extend(2)
    other.look()
    other.node.chain_id = 5
    place = other.look()
    assert place.problem is not None
    assert "the node is of chain 5, and chain 1337 is followed" in place.problem


# -- nodes that fail


def away(method: str) -> None:
    raise NodeError("http://user:secret@node:8545/path does not answer: nothing at /path, says user:secret")


def test_a_node_that_is_away_and_comes_back(world: Make) -> None:
    it = world(batch_blocks=2)
    it.node.before = away
    place = it.look(3)
    assert place.problem is not None
    # Without what is secret in the address.
    assert place.problem == "http://node:8545 does not answer: nothing at /..., says ..."
    assert (place.next_block, place.lag) == (0, None)
    it.node.before = lambda method: None
    it.node.extend(3)
    assert it.look().problem is None
    it.node.before = away
    it.node.extend(2)
    it.look(5)
    it.follower = it.another()
    it.now += timedelta(seconds=61)
    it.look(2)
    it.node.before = lambda method: None
    assert it.look().problem is None
    it.check()


def test_a_node_that_fails_on_the_way_loses_nothing_that_is_there(world: Make) -> None:
    it = world(batch_blocks=2)
    it.node.extend(7)
    fetches = []

    def third(method: str) -> None:
        fetches.append(method)
        if fetches.count("fetch") == 6:
            away(method)

    it.node.before = third
    assert it.look().problem is not None
    assert it.batches() == [(1, 2), (3, 4)]
    assert [ask[1] for ask in it.node.asked if ask[0] == "fetch"] == [1, 2, 3, 4, 5, 6]
    it.node.before = lambda method: None
    it.look()
    # No block is fetched twice.
    assert [ask[1] for ask in it.node.asked if ask[0] == "fetch"] == [1, 2, 3, 4, 5, 6, 6, 7]
    it.check()


def test_a_batch_is_closed_by_the_clock_while_the_node_is_behind(world: Make) -> None:
    it = world(batch_blocks=10, batch_seconds=100)
    it.node.extend(4)
    it.look()
    whole = list(it.node.blocks)
    it.node.blocks = whole[:3]
    place = it.look(seconds=100)
    assert place.problem == "the node is at block 2, behind block 4 that it had before"
    assert it.batches() == [(1, 4)]
    assert place.reorganisations == 0
    it.node.blocks = whole
    assert it.look().problem is None
    it.check()


def test_a_witness_that_is_gone_is_said_and_the_operator_may_go_on_behind_it(world: Make) -> None:
    it = world()
    it.node.extend(2)
    it.look()
    it.prove()
    it.node.extend(4)
    it.node.pruned = 5
    place = it.look(3)
    assert place.problem is not None
    assert "missing trie node" in place.problem
    assert place.next_block == 3
    # It does not skip anything by itself.
    it.follower = it.another(follow_from=5)
    it.now += timedelta(seconds=61)
    place = it.look()
    assert it.batches() == [(1, 1), (2, 2), (5, 5), (6, 6)]
    assert (place.problem, place.proved, place.gaps) == (None, 2, ["blocks 3 to 4 were left out"])
    it.prove()
    assert it.look().proved == 6
    # Once begun, the setting says nothing any more.
    it.node.extend(1)
    it.look()
    assert it.batches()[-1] == (7, 7)


def test_an_incomplete_witness_goes_on_after_some_tries(world: Make) -> None:
    it = world()
    it.node.extend(3)
    it.node.incomplete = {2}
    place = it.look(4)
    assert it.batches() == [(1, 1)]
    assert place.problem is not None
    assert "the witness lacks a node" in place.problem
    assert it.look().problem is None
    assert it.batches() == [(1, 1), (2, 2), (3, 3)]
    assert [ask for ask in it.node.asked if ask[0] == "fetch" and not ask[2]] == [("fetch", 2, False)]
    it.check()


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_chainId", lambda: None),
        ("eth_chainId", lambda: "x"),
        ("eth_chainId", list),
        ("eth_getBlockByNumber", lambda *_: None),
        ("eth_getBlockByNumber", lambda *_: []),
        ("eth_getBlockByNumber", lambda *_: {}),
        ("eth_getBlockByNumber", lambda *_: {"hash": "0x00"}),
        ("eth_getBlockByNumber", lambda *_: 7),
    ],
)
def test_nonsense(world: Make, method: str, answer: Callable[..., Any]) -> None:
    it = world()
    it.node.answers[method] = answer
    assert it.look().problem is not None
    it.node.extend(2)
    assert it.look().problem is not None
    it.node.answers.clear()
    assert it.look().problem is None
    it.node.answers[method] = answer
    it.node.extend(1)
    place = it.look(2)
    assert place.problem is not None
    assert place.reorganisations == 0
    it.node.answers.clear()
    it.look()
    it.check()


def test_headers_that_are_none(world: Make) -> None:
    """A header with one field changed: whatever it is, nothing is taken back for it, and nothing is made of it."""
    it = world()
    it.node.extend(3)
    it.look()
    before = it.batches()
    for name in ("hash", "parentHash", "stateRoot", "number", "timestamp", "gasUsed"):
        for value in (None, "", "0x", "0x1", "0x" + "ab" * 32, "0x" + "f" * 17, 7, {}):
            if it.node.blocks[-1][name] == value:
                continue

            def wrong(place: str, _full: bool, changed: dict[str, Any] = {name: value}) -> Any:  # noqa: B006
                number = it.node.head if place == "latest" else int(place, 16)
                return it.node.blocks[number] | changed

            it.node.answers["eth_getBlockByNumber"] = wrong
            assert it.look().problem is not None
            assert (it.batches(), it.following().reorganisations) == (before, 0)
    it.node.answers.clear()
    assert it.look().problem is None
    it.check()


def test_another_block_than_was_asked_for(world: Make) -> None:
    it = world()
    it.node.extend(4)
    it.look()
    it.node.extend(1)
    it.node.answers["eth_getBlockByNumber"] = lambda place, _full: it.node.blocks[5 if place == "latest" else 2]
    place = it.look()
    assert place.problem == "the node gives block 2 where it is asked for block 4"
    assert place.reorganisations == 0
    it.node.answers.clear()
    it.look()
    it.check()


def test_a_defect_is_a_problem_and_not_the_end(world: Make) -> None:
    it = world()
    it.node.extend(1)
    it.node.answers["eth_getBlockByNumber"] = lambda *_: 1 // 0
    assert "ZeroDivisionError" in (it.look().problem or "")
    it.node.answers.clear()
    assert it.look().problem is None
    it.check()


def test_a_full_queue_is_waited_for(world: Make) -> None:
    it = world()
    it.queue = Queue(it.database, max_queued=2, clock=lambda: it.now)
    it.follower = it.another()
    it.node.extend(4)
    assert it.look().problem == "2 jobs wait; no more may"
    assert it.batches() == [(1, 1), (2, 2)]
    it.prove()
    assert it.look().problem is None
    it.check()


def test_blocks_whose_files_are_lost_are_fetched_again(world: Make) -> None:
    it = world(batch_blocks=3)
    it.node.extend(2)
    it.look()
    shutil.rmtree(it.folder / "artifacts")
    it.node.extend(1)
    assert "is gone" in (it.look().problem or "")
    assert it.look().problem is None
    assert it.batches() == [(1, 3)]
    it.check()


# -- statements


def test_statements_are_held_against_the_chain(world: Make) -> None:
    it = world(batch_blocks=2)
    it.node.extend(8)
    place = it.look()
    assert (place.proved, place.gaps) == (0, [])
    it.prove(1)
    assert it.look().proved == 2
    # Out of order: nothing is wrong, but it does not chain yet.
    third = it.rows()[2]
    rows = it.rows()
    it.set_job(rows[1].job, state=State.RUNNING)
    it.prove()
    place = it.look()
    assert (place.proved, place.gaps) == (2, [])
    it.set_job(rows[1].job, state=State.QUEUED)
    it.prove()
    place = it.look()
    assert (place.proved, place.gaps) == (8, [])
    assert third.first == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_id", 5),
        ("first_block_number", 2),
        ("first_block_hash", "0x" + "ab" * 32),
        ("last_block_number", 5),
        ("last_block_hash", "0x" + "ab" * 32),
        ("pre_state_root", "0x" + "ab" * 32),
        ("post_state_root", None),
    ],
)
def test_a_statement_that_is_another_one_is_a_gap(world: Make, name: str, value: Any) -> None:
    it = world(batch_blocks=2)
    it.node.extend(8)
    it.look()
    it.prove(1)
    it.prove(1, **{name: value})
    it.prove()
    place = it.look()
    assert place.proved == 2
    (gap,) = place.gaps
    assert gap.startswith(f"blocks 3 to 4, job {it.rows()[1].job}: the statement has {name} {value}, the chain ")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_a_batch_that_failed_is_a_gap_until_it_is_proved(world: Make, state: State) -> None:
    it = world()
    it.node.extend(3)
    it.look()
    job = it.rows()[1].job
    it.set_job(job, state=state, problem={"detail": "it cannot be proved"})
    it.prove()
    place = it.look()
    assert (place.proved, place.gaps) == (1, [f"blocks 2 to 2, job {job}: {state}: it cannot be proved"])
    it.queue.retry(job)
    assert it.look().gaps == []
    it.prove()
    assert it.look().proved == 3


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"parent_hash": "0xab"}, "between block 1 and block 2 the hash is another one: 0x"),
        ({"pre_state_root": "0xab"}, "between block 1 and block 2 the state is another one: 0x"),
        ({"first": 3}, "between block 1 and block 3 is no batch"),
    ],
)
def test_batches_that_do_not_follow_each_other_are_a_gap(world: Make, changed: dict[str, Any], text: str) -> None:
    it = world()
    it.node.extend(2)
    it.look()
    job = it.rows()[1].job
    it.database.write(
        lambda s, again: s.execute(update(FollowedBatchRow).where(FollowedBatchRow.job == job).values(**changed))
    )
    it.prove()
    place = it.look()
    assert place.proved == 1
    assert place.gaps[0].startswith(text)


# -- several processes


def test_one_process_follows_at_a_time(world: Make) -> None:
    it = world()
    it.node.extend(2)
    it.look()
    other = it.another()
    it.node.extend(1)
    asked = len(it.node.asked)
    assert not other.step()
    assert len(it.node.asked) == asked  # nor is the node asked
    assert it.batches() == [(1, 1), (2, 2)]
    it.follower.release()
    other.step()
    assert it.batches() == [(1, 1), (2, 2), (3, 3)]
    # The first one has no place any more, until the second one is silent for long enough.
    it.node.extend(1)
    it.look()
    assert len(it.batches()) == 3
    it.now += timedelta(seconds=61)
    it.look()
    it.check()


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.deep)])
def test_whoever_lost_the_place_writes_nothing(world: Make, step: int) -> None:
    """It stops in the middle for longer than its lease, at any point, and another one does its work meanwhile."""
    for number in range(1, 1000, step):
        it = world(batch_blocks=2, confirmations=1)
        it.node.extend(5)
        it.look()
        it.node.reorganise(3, 5)
        other, slept = it.another(), []

        def sleep(it: World = it, other: Follower = other, slept: list[int] = slept, number: int = number) -> None:
            slept.append(1)
            if len(slept) == number:
                it.now += timedelta(seconds=61)
                other.step()
                it.node.extend(1)
                other.step()

        it.database.point = it.artifacts.point = sleep  # type: ignore[method-assign]
        it.node.before = lambda method, sleep=sleep: sleep()
        it.follower.step()
        if len(slept) < number:
            break
        it.database.point = it.artifacts.point = lambda: None  # type: ignore[method-assign]
        it.node.before = lambda method: None
        it.now += timedelta(seconds=61)
        it.look(2)
        it.check()
        it.database.close()
        shutil.rmtree(it.folder)
    assert 20 < number < 990


# -- processes that die


def story(it: World) -> None:
    """Blocks, reorganisations of blocks that wait and of batches, and a node that fails."""
    it.node.extend(5)
    it.look()
    it.node.reorganise(1)  # only what waits
    it.look()
    it.node.extend(3)
    it.look()
    it.prove(1)
    it.node.reorganise(5)  # batches
    it.look()
    it.node.extend(2)
    it.look()


def deaths(world: Make, numbers: Iterator[int]) -> int:
    """Let a process die at some points of the story, one in each; returns how many points there are."""
    it = world(batch_blocks=2, confirmations=1)
    story(it)
    it.check()
    points = it.points
    for number in numbers:
        if number > points:
            break
        it = world(batch_blocks=2, confirmations=1)
        it.deadly = number
        story(it)
        it.look(3)
        it.check()
        # A place in the story may be reached later, and then less is seen of what goes on; but not more.
        assert it.following().reorganisations <= 2
        it.database.close()
        shutil.rmtree(it.folder)
    return points


def test_a_process_may_die_at_some_points(world: Make) -> None:
    assert deaths(world, iter(range(3, 1000, 25))) > 100


@pytest.mark.deep
def test_a_process_may_die_at_every_point(world: Make) -> None:
    assert deaths(world, iter(range(1, 1000))) > 100


@pytest.mark.deep
def test_a_process_may_die_on_postgresql(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(**options: Any) -> World:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        return World(folder, postgres.create(), options)

    assert deaths(make, iter(range(3, 1000, 30))) > 100


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.deep)])
def test_what_was_committed_without_an_answer_is_not_done_twice(world: Make, step: int) -> None:
    it = world(batch_blocks=2, confirmations=1)
    story(it)
    writes, reorganisations = it.database.writes, it.following().reorganisations
    for number in range(1, writes + 1, step):
        it = world(batch_blocks=2, confirmations=1)
        it.database.unanswered = number
        story(it)
        it.check()
        assert it.following().reorganisations == reorganisations
        it.database.close()
        shutil.rmtree(it.folder)
    assert writes > 40


class Lives(RuleBasedStateMachine):
    """Any order of blocks, reorganisations, failures, deaths and other processes."""

    make: Callable[[], World]

    def __init__(self) -> None:
        super().__init__()
        self.it = type(self).make()

    @initialize(confirmations=st.integers(0, 3), blocks=st.integers(1, 3), gas=st.sampled_from([None, 60_000]))
    def begin(self, confirmations: int, blocks: int, gas: int | None) -> None:
        self.it.options = {"confirmations": confirmations, "batch_blocks": blocks, "batch_gas": gas}
        self.it.follower = self.it.another()

    @rule(count=st.integers(1, 4), gas=st.sampled_from([0, 21_000, 100_000]))
    def extend(self, count: int, gas: int) -> None:
        self.it.node.extend(count, gas=gas)

    @rule(depth=st.integers(1, 6), more=st.integers(0, 2))
    def reorganise(self, depth: int, more: int) -> None:
        depth = min(depth, self.it.node.head)
        self.it.node.reorganise(depth, depth + more)

    @rule()
    def look(self) -> None:
        self.it.look()

    @rule(after=st.integers(1, 40))
    def die(self, after: int) -> None:
        self.it.deadly = self.it.points + after

    @rule()
    def replace(self) -> None:
        self.it.follower = self.it.another()

    @rule(seconds=st.sampled_from([1, 61]))
    def wait(self, seconds: int) -> None:
        self.it.now += timedelta(seconds=seconds)

    @rule(count=st.integers(1, 3))
    def prove(self, count: int) -> None:
        self.it.deadly = None
        self.it.prove(count)

    @invariant()
    def no_block_is_in_two_batches(self) -> None:
        rows = self.it.rows()
        assert all(row.last + 1 == after.first for row, after in pairwise(rows))
        assert all(row.last_hash == after.parent_hash for row, after in pairwise(rows))

    def teardown(self) -> None:
        self.it.deadly = None
        self.it.now += timedelta(seconds=61)
        place = self.it.look(2)
        assert place.problem is None
        assert not place.gaps
        confirmed = self.it.node.head - place.confirmations
        assert place.next_block > confirmed - self.it.options["batch_blocks"]
        self.it.check()
        self.it.database.close()


@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.deep)])
def test_lives(world: Make, examples: int) -> None:
    class Machine(Lives):
        make = world

    chosen = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=chosen)  # type: ignore[no-untyped-call]


def test_the_place_is_one(world: Make) -> None:
    it = world()
    it.look()
    assert it.database.read(lambda s: s.scalars(select(PlaceRow.chain)).all()) == ["chain"]
    assert following(Database(f"sqlite:///{it.folder / 'other.sqlite'}".replace("other", "service"))) is not None
