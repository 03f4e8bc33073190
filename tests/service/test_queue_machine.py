"""Any order of submit, cancel, retry, crash, restart and whatever else happens to jobs keeps the invariants."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import select

from service.database import Database, EventRow, JobRow, SegmentRow
from service.models import Code, Problem, SegmentState
from service.queue import Change, KeyConflict, Lease, LeaseLost, NewJob, PlannedSegment, Queue, Result
from service.states import SETTLED, TRANSITIONS, Event, ImpossibleTransition, State
from tests.service.databases import Server

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
MAX_TRIES = 2
MAX_LOSSES = 3
LEASE = 30.0
SEGMENTS = 2
PROBLEM = Problem(title="No", status=500, code=Code.INTERNAL, detail="no")
RESULT = Result(statement={}, statement_digest="0x" + "00" * 32, proof_bytes=1, artifacts=[], stage_seconds={})
PLAN = [PlannedSegment(index, f"key {index}", index, index + 1, 1, 1, 1) for index in range(SEGMENTS)]


@dataclass
class Expected:
    """A job as it should be.

    Attributes:
        holder: lease of whoever should have it in hand, and until when.
        ready: before that nobody gets it.
        losses: processes that did not survive it.
        stored: segments whose proofs lie in the store, which outlives all processes.
        proved: how often each was.
    """

    state: State = State.QUEUED
    content: str = ""
    failures: int = 0
    losses: int = 0
    holder: Lease | None = None
    process: str = ""
    until: datetime | None = None
    ready: datetime = BEGINNING
    deadline: datetime | None = None
    stored: set[int] = field(default_factory=set)
    proved: dict[int, int] = field(default_factory=dict)
    was_done: int = 0


class Jobs(RuleBasedStateMachine):
    """Two processes, of which either may die at any time, and clients; time passes as it is told."""

    jobs = Bundle("jobs")
    leases = Bundle("leases")
    processes = st.sampled_from(["left", "right"])

    def new_url(self) -> str:
        self._folder = tempfile.TemporaryDirectory()
        return f"sqlite:///{Path(self._folder.name) / 'db'}"

    def __init__(self) -> None:
        super().__init__()
        self.moment = BEGINNING
        self.url = self.new_url()
        self.connect()
        self.database.migrate()
        self.expected: dict[str, Expected] = {}
        self.keys: dict[str, str] = {}

    def connect(self) -> None:
        self.database = Database(self.url)
        self.queue = Queue(self.database, max_tries=MAX_TRIES, max_losses=MAX_LOSSES, clock=lambda: self.moment)

    def teardown(self) -> None:
        self.database.close()

    def holds(self, lease: Lease) -> bool:
        return self.expected[lease.job].holder == lease

    def leave(self, job: str, state: State, pause: float = 0.0) -> None:
        expected = self.expected[job]
        expected.state, expected.holder, expected.until = state, None, None
        expected.ready = self.moment + timedelta(seconds=pause)

    def given_up(self, job: str) -> None:
        """It waits a moment before the next try, twice as long each time."""
        expected = self.expected[job]
        expected.failures += 1
        state = State.FAILED if expected.failures >= MAX_TRIES else State.QUEUED
        self.leave(job, state, 2.0 ** (expected.failures - 1))

    def lost(self, job: str) -> None:
        """What lost its process once is tried again at once: it need not be its fault."""
        expected = self.expected[job]
        expected.losses += 1
        state = State.FAILED if expected.losses >= MAX_LOSSES else State.QUEUED
        self.leave(job, state, 2.0 ** (expected.losses - 1) if expected.losses > 1 else 0.0)

    @rule(
        target=jobs,
        key=st.sampled_from([None, "a", "b"]),
        content=st.sampled_from("xy"),
        priority=st.integers(-3, 3),
        lasts=st.sampled_from([None, 50, 500]),
    )
    def submit(self, key: str | None, content: str, priority: int, lasts: int | None) -> Any:
        deadline = None if lasts is None else self.moment + timedelta(seconds=lasts)
        new = NewJob(content=content, idempotency_key=key, priority=priority, deadline=deadline)
        before = self.keys.get(key) if key else None
        if before is not None and self.expected[before].content != content:
            with pytest.raises(KeyConflict):
                self.queue.submit(new)
            return multiple()
        job, is_new = self.queue.submit(new)
        assert is_new == (before is None)
        if before is not None:
            assert job.id == before
            return multiple()
        self.expected[job.id] = Expected(content=content, deadline=deadline)
        if key:
            self.keys[key] = job.id
        return job.id

    @rule(target=leases, process=processes)
    def take(self, process: str) -> Any:
        taken = self.queue.take(process, LEASE)
        ready = {
            job
            for job, expected in self.expected.items()
            if expected.state == State.QUEUED and expected.ready <= self.moment
        }
        if taken is None:
            assert not ready
            return multiple()
        assert taken.lease.job in ready
        expected = self.expected[taken.lease.job]
        expected.state, expected.holder, expected.process = State.RUNNING, taken.lease, process
        expected.until = self.moment + timedelta(seconds=LEASE)
        return taken.lease

    @rule(lease=leases)
    def plan(self, lease: Lease) -> None:
        self.say(lease, lambda: self.queue.report(lease, [Change(planned=PLAN)]))

    @rule(lease=leases, index=st.integers(0, SEGMENTS - 1))
    def prove(self, lease: Lease, index: int) -> None:
        """Somebody proves a segment who believes to have the job; a proof in the store is not made again."""
        if not self.queue.get(lease.job).segments:
            return
        expected = self.expected[lease.job]
        reused = index in expected.stored
        expected.stored.add(index)
        if not reused:
            expected.proved[index] = expected.proved.get(index, 0) + 1
        change = Change(segment=(index, {"state": SegmentState.PROVED, "reused": reused}))
        if self.say(lease, lambda: self.queue.report(lease, [change])) and not reused:
            expected.failures = expected.losses = 0

    @rule(lease=leases, index=st.integers(0, SEGMENTS - 1))
    def begin(self, lease: Lease, index: int) -> None:
        """Somebody begins to prove a segment that is not in the store."""
        if not self.queue.get(lease.job).segments or index in self.expected[lease.job].stored:
            return
        change = Change(segment=(index, {"state": SegmentState.PROVING, "reused": False}))
        self.say(lease, lambda: self.queue.report(lease, [change]))

    @rule(lease=leases)
    def finish(self, lease: Lease) -> None:
        if self.say(lease, lambda: self.queue.finish(lease, RESULT)):
            self.leave(lease.job, State.DONE)
            self.expected[lease.job].was_done += 1
            self.expected[lease.job].failures = self.expected[lease.job].losses = 0

    @rule(lease=leases)
    def refuse(self, lease: Lease) -> None:
        if self.say(lease, lambda: self.queue.refuse(lease, PROBLEM)):
            self.leave(lease.job, State.FAILED)

    @rule(lease=leases, why=st.sampled_from(["failed", "lost", "stopped"]))
    def interrupt(self, lease: Lease, why: str) -> None:
        problem = None if why == "stopped" else PROBLEM
        if self.say(lease, lambda: self.queue.interrupt(lease, problem, is_loss=why == "lost")):
            if why == "failed":
                self.given_up(lease.job)
            elif why == "lost":
                self.lost(lease.job)
            else:
                self.leave(lease.job, State.QUEUED)

    def say(self, lease: Lease, act: Any) -> bool:
        """Whether it was heard, which it is if the job is in these hands."""
        if self.holds(lease):
            act()
            return True
        with pytest.raises(LeaseLost):
            act()
        return False

    @rule(job=jobs, event=st.sampled_from([Event.CANCELLED, Event.RETRIED, Event.REORGANISED]))
    def ask(self, job: str, event: Event) -> None:
        act = {
            Event.CANCELLED: self.queue.cancel,
            Event.RETRIED: self.queue.retry,
            Event.REORGANISED: lambda job: self.queue.reorganise(job, "gone"),
        }[event]
        following = TRANSITIONS[self.expected[job].state].get(event)
        if following is None:
            with pytest.raises(ImpossibleTransition):
                act(job)
            return
        assert act(job).state == following
        self.leave(job, following)
        if event == Event.RETRIED:
            self.expected[job].failures = self.expected[job].losses = 0

    @rule(seconds=st.sampled_from([1, 20, 70]))
    def wait(self, seconds: int) -> None:
        self.moment += timedelta(seconds=seconds)

    @rule(process=processes)
    def renew(self, process: str) -> None:
        held = {
            job: expected
            for job, expected in self.expected.items()
            if expected.holder is not None and expected.process == process
        }
        assert self.queue.renew(process, [e.holder for e in held.values() if e.holder], LEASE) == set()
        for expected in held.values():
            expected.until = self.moment + timedelta(seconds=LEASE)

    @rule()
    def recover(self) -> None:
        lost = {j for j, e in self.expected.items() if e.until is not None and e.until <= self.moment}
        assert set(self.queue.recover()) == lost
        for job in lost:
            self.lost(job)

    @rule(process=processes)
    def crash(self, process: str) -> None:
        """A process dies, and somebody on its machine notices."""
        lost = {
            j
            for j, e in self.expected.items()
            if e.holder is not None and (e.process == process or (e.until is not None and e.until <= self.moment))
        }
        assert set(self.queue.recover([process])) == lost
        for job in lost:
            self.lost(job)

    @rule()
    def expire(self) -> None:
        late = {
            job
            for job, expected in self.expected.items()
            if expected.state not in SETTLED and expected.deadline is not None and expected.deadline <= self.moment
        }
        assert set(self.queue.expire()) == late
        for job in late:
            self.leave(job, State.FAILED)

    @rule()
    def restart(self) -> None:
        """All processes stop without a word; what is known is what is stored."""
        self.database.close()
        self.connect()

    @invariant()
    def nothing_is_lost_and_nothing_doubled(self) -> None:
        rows = {row.id: row for row in self.database.read(lambda session: list(session.scalars(select(JobRow))))}
        assert rows.keys() == self.expected.keys()
        for job, expected in self.expected.items():
            row = rows[job]
            assert row.state == expected.state
            assert (row.failures, row.losses) == (expected.failures, expected.losses)
            assert (row.owner is not None) == (row.lease is not None) == (row.state == State.RUNNING)
            assert (row.finished is not None) == (State(row.state) in SETTLED)
            assert row.failures < MAX_TRIES or row.state == State.FAILED or State(row.state) in SETTLED
            assert row.stage is None or row.state == State.RUNNING
            assert row.problem is None or row.state in (State.FAILED, State.QUEUED, State.ABANDONED)
            if expected.holder is not None:
                assert row.token == expected.holder.token
            assert all(count == 1 for count in expected.proved.values())

    @invariant()
    def segments_are_counted(self) -> None:
        def read(session: Any) -> Any:
            return list(session.scalars(select(SegmentRow))), dict(
                session.execute(select(JobRow.id, JobRow.segments_done)).all()
            )

        segments, done = self.database.read(read)
        for job, count in done.items():
            own = [segment for segment in segments if segment.job == job]
            assert count == sum(segment.state == SegmentState.PROVED for segment in own)
            assert all(segment.proved <= 1 for segment in own)
            if self.expected[job].state != State.RUNNING:
                assert all(segment.state != SegmentState.PROVING for segment in own)

    @invariant()
    def events_are_transitions(self) -> None:
        rows = self.database.read(lambda session: list(session.scalars(select(EventRow).order_by(EventRow.number))))
        state: dict[str, State] = {}
        done: dict[str, int] = {}
        for row in rows:
            if row.kind == "state":
                following = State(row.data["state"])
                if row.job in state:
                    assert following in TRANSITIONS[state[row.job]].values()
                else:
                    assert following == State.QUEUED
                state[row.job] = following
                done[row.job] = done.get(row.job, 0) + (following == State.DONE)
        assert state == {job: expected.state for job, expected in self.expected.items()}
        assert done == {job: expected.was_done for job, expected in self.expected.items()}
        assert all(count <= 1 for count in done.values())


def run(machine: Any, examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(machine, settings=chosen)


def on_postgres(server: Server) -> Any:
    class JobsOnPostgres(Jobs):
        def new_url(self) -> str:
            return server.create()

    return JobsOnPostgres


def test_any_order_on_sqlite() -> None:
    run(Jobs, 6, 25)


def test_any_order_on_postgresql(postgres: Server) -> None:
    run(on_postgres(postgres), 1, 30)


@pytest.mark.deep
def test_any_order_on_sqlite_for_long() -> None:
    run(Jobs, 400, 60)


@pytest.mark.deep
def test_any_order_on_postgresql_for_long(postgres: Server) -> None:
    run(on_postgres(postgres), 100, 60)
