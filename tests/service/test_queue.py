"""The queue, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from service.database import Base, Database, DatabaseAway, EventRow, JobRow, ProcessRow, SegmentRow
from service.models import Check, Code, Options, Problem, SegmentState, Source
from service.queue import (
    Artifact,
    BadCursor,
    Change,
    KeyConflict,
    LeaseLost,
    NewJob,
    PlannedSegment,
    Queue,
    QueueFull,
    Result,
    Taken,
    UnknownJob,
)
from service.states import ImpossibleTransition, Stage, State
from tests.service.databases import Server

PROBLEM = Problem(title="No", status=500, code=Code.INTERNAL, detail="it went wrong")
RESULT = Result(
    statement={"chain_id": 1},
    statement_digest="0x" + "ab" * 32,
    proof_bytes=5,
    artifacts=[Artifact("proof", "x/proof", "ab" * 32, 5)],
    stage_seconds={"prove": 1.0},
)
PLAN = [PlannedSegment(index, f"key{index}", index, index + 1, 10, 20, 30) for index in range(3)]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def new(name: str = "job", content: str = "0" * 64, **more: Any) -> NewJob:
    return NewJob(content=content, name=name, **more)


def taken(queue: Queue, process: str = "process") -> Taken:
    found = queue.take(process, 30.0)
    assert found is not None
    return found


def test_the_migrations_make_the_tables(database: Database) -> None:
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
    assert not found


def test_processes_that_start_together_migrate_once(url: str) -> None:
    databases = [Database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(Database.migrate, databases))
    for each in databases:
        assert Queue(each).counts()[State.QUEUED] == 0
        each.close()


def test_a_job_has_what_was_submitted(queue: Queue) -> None:
    batch = Artifact("batch", "a/batch", "cd" * 32, 1234)
    deadline = datetime(2030, 1, 1, 12, tzinfo=UTC)
    job, is_new = queue.submit(
        new(
            "my batch", priority=3, deadline=deadline, options=Options(segment_memory=7), batch=batch, submitted_by="me"
        )
    )
    assert is_new
    found = queue.get(job.id)
    assert (found.name, found.state, found.priority, found.deadline) == ("my batch", State.QUEUED, 3, deadline)
    assert (found.options.segment_memory, found.batch_bytes, found.submitted_by) == (7, 1234, "me")
    assert queue.artifact(job.id, "batch") == batch
    assert queue.artifact(job.id, "proof") is None
    assert taken(queue).batch == batch


def test_a_source_is_kept(queue: Queue) -> None:
    source = Source(rpc="http://node:8545", first=3, last=5)
    queue.submit(new(source=source))
    assert taken(queue).job.source == source


def test_what_is_not_there_is_unknown(queue: Queue) -> None:
    for ask in (queue.get, queue.cancel, queue.retry, lambda job: queue.artifact(job, "proof")):
        with pytest.raises(UnknownJob):
            ask("0" * 32)


def test_an_idempotency_key_makes_one_job(queue: Queue) -> None:
    first, is_new = queue.submit(new(idempotency_key="k"))
    again, is_new_again = queue.submit(new(idempotency_key="k"))
    assert (is_new, is_new_again) == (True, False)
    assert again.id == first.id
    with pytest.raises(KeyConflict, match=first.id):
        queue.submit(new(content="1" * 64, idempotency_key="k"))
    assert queue.jobs().total == 1


def test_many_clients_with_the_same_keys_make_one_job_each(queue: Queue) -> None:
    def submit(number: int) -> str:
        return queue.submit(new(idempotency_key=f"key {number % 10}"))[0].id

    with ThreadPoolExecutor(20) as threads:
        ids = list(threads.map(submit, range(100)))
    assert len(set(ids)) == 10
    assert queue.counts()[State.QUEUED] == 10


def test_a_full_queue_takes_no_more(database: Database) -> None:
    queue = Queue(database, max_queued=2)
    first = queue.submit(new(idempotency_key="k"))[0]
    queue.submit(new())
    with pytest.raises(QueueFull):
        queue.submit(new())
    # What is there already is no further job.
    assert queue.submit(new(idempotency_key="k"))[0].id == first.id
    taken(queue)
    queue.submit(new())


def test_jobs_are_taken_by_rank(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    queue.submit(new("large", batch=Artifact("batch", "a", "0" * 64, 10 << 20)))
    clock.advance(1)
    queue.submit(new("small", batch=Artifact("batch", "b", "0" * 64, 1000)))
    clock.advance(1)
    queue.submit(new("urgent", priority=100))
    assert [taken(queue).job.name for _ in range(3)] == ["urgent", "small", "large"]
    assert queue.take("process", 30.0) is None


def test_only_small_jobs_can_be_asked_for(queue: Queue) -> None:
    queue.submit(new("large", batch=Artifact("batch", "a", "0" * 64, 100 << 20), priority=100))
    assert queue.take("process", 30.0, most_expected=60.0) is None
    queue.submit(new("small", batch=Artifact("batch", "b", "0" * 64, 1000)))
    found = queue.take("process", 30.0, most_expected=60.0)
    assert found is not None
    assert found.job.name == "small"


def test_a_job_lives_and_is_done(queue: Queue) -> None:
    job = queue.submit(new())[0].id
    held = taken(queue)
    assert held.job.state == State.RUNNING
    assert held.job.tries == 1
    queue.report(
        held.lease,
        [
            Change(stage=Stage.EXECUTE, stage_done=1, stage_total=4, progress=0.03, remaining=9.0),
            Change(planned=PLAN, facts={"blocks": 1, "transactions": 2, "steps": 3, "gas_used": 4}, expected=5.0),
            Change(stage=Stage.PROVE, stage_seconds={"execute": 1.5}),
            Change(segment=(1, {"state": SegmentState.PROVING, "worker": "host/1"})),
            Change(segment=(1, {"state": SegmentState.PROVED, "reused": False, "seconds": 2.0, "proof_bytes": 9})),
            Change(segment=(0, {"state": SegmentState.PROVED, "reused": True})),
        ],
    )
    seen = queue.get(job)
    assert (seen.stage, seen.segments_done, seen.segments_total) == (Stage.PROVE, 2, 3)
    assert (seen.blocks, seen.transactions, seen.steps, seen.gas_used) == (1, 2, 3, 4)
    assert (seen.cells, seen.interactions) == (30, 60)
    assert [segment.state for segment in seen.segments] == ["proved", "proved", "waiting"]
    assert seen.segments[1].worker == "host/1"
    queue.report(held.lease, [Change(check=(0, Check(name="format", establishes="that", seconds=0.5)))])
    queue.finish(held.lease, RESULT)
    done = queue.get(job)
    assert (done.state, done.progress, done.statement_digest) == (State.DONE, 1.0, RESULT.statement_digest)
    assert done.stage_seconds == {"execute": 1.5, "prove": 1.0}
    assert [check.name for check in done.checks] == ["format"]
    assert done.finished is not None
    assert {artifact.kind for artifact in queue.artifacts(job)} == {"proof"}
    assert queue.rate() == pytest.approx((10 + 6.5 * 20) / 2.0)


def test_planning_again_keeps_what_is_known_of_the_same_segments(queue: Queue) -> None:
    job = queue.submit(new())[0].id
    held = taken(queue)
    proved = {"state": SegmentState.PROVED, "reused": False, "seconds": 2.0}
    queue.report(held.lease, [Change(planned=PLAN), Change(segment=(0, proved)), Change(segment=(1, proved))])
    queue.report(held.lease, [Change(segment=(2, {"state": SegmentState.PROVING, "worker": "w"}))])
    queue.interrupt(held.lease, PROBLEM)
    assert [segment.state for segment in queue.get(job).segments] == ["proved", "proved", "waiting"]
    assert queue.get(job).segments_done == 2
    other = [*PLAN[:1], PlannedSegment(1, "another key", 1, 3, 10, 20, 30)]
    held = _take_now(queue, job)
    queue.report(held.lease, [Change(planned=other)])
    seen = queue.get(job)
    assert [segment.state for segment in seen.segments] == ["proved", "waiting"]
    assert (seen.segments_done, seen.segments_total) == (1, 2)


def _take_now(queue: Queue, job: str) -> Taken:
    """Take a job that would wait a moment after a failure."""

    def work(session: Session, again: bool) -> None:
        row = session.get_one(JobRow, job)
        row.ready = row.created

    queue.database.write(work)
    held = taken(queue)
    assert held.lease.job == job
    return held


def test_who_has_lost_a_job_is_not_heard(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    job = queue.submit(new())[0].id
    first = taken(queue, "first")
    clock.advance(31)
    assert queue.recover() == [job]
    second = taken(queue, "second")
    assert second.lease.token != first.lease.token
    for say in (
        lambda: queue.report(first.lease, [Change(progress=0.5)]),
        lambda: queue.finish(first.lease, RESULT),
        lambda: queue.refuse(first.lease, PROBLEM),
        lambda: queue.interrupt(first.lease, PROBLEM),
    ):
        with pytest.raises(LeaseLost):
            say()
    assert queue.renew("first", [first.lease], 30.0) == {job}
    assert queue.lost([first.lease]) == {job}
    assert queue.lost([second.lease]) == set()
    queue.finish(second.lease, RESULT)
    with pytest.raises(LeaseLost):
        queue.finish(second.lease, RESULT)


def test_a_lease_that_is_renewed_lasts(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    queue.submit(new())
    held = taken(queue)
    for _ in range(5):
        clock.advance(20)
        assert queue.renew("process", [held.lease], 30.0) == set()
        assert queue.recover() == []
    clock.advance(31)
    # Nobody has taken it: whoever was away for so long may go on.
    assert queue.renew("process", [held.lease], 30.0) == set()


def test_tries_without_progress_are_counted(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, max_tries=2, clock=clock)
    job = queue.submit(new())[0].id
    assert queue.interrupt(taken(queue).lease, PROBLEM) == State.QUEUED
    # Not at once again.
    assert queue.take("process", 30.0) is None
    clock.advance(10)
    held = taken(queue)
    # A finished segment is progress.
    queue.report(held.lease, [Change(planned=PLAN), Change(segment=(0, {"state": SegmentState.PROVED}))])
    assert queue.interrupt(held.lease, PROBLEM) == State.QUEUED
    clock.advance(10)
    # One that is found in the store is none.
    held = taken(queue)
    reused = Change(segment=(0, {"state": SegmentState.PROVED, "reused": True}))
    queue.report(held.lease, [Change(planned=PLAN), reused])
    assert queue.interrupt(held.lease, PROBLEM) == State.FAILED
    failed = queue.get(job)
    assert failed.tries == 3
    assert failed.problem is not None
    assert failed.problem.detail == "tried 2 times in vain, the last time: it went wrong"
    assert queue.retry(job).state == State.QUEUED
    assert queue.get(job).problem is None
    assert queue.interrupt(taken(queue).lease, PROBLEM) == State.QUEUED


def test_what_is_around_the_service_is_no_try_but_not_for_ever(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, max_tries=1, max_losses=3, clock=clock)
    job = queue.submit(new())[0].id
    assert queue.interrupt(taken(queue).lease, PROBLEM, is_loss=True) == State.QUEUED
    assert queue.interrupt(taken(queue).lease, PROBLEM, is_loss=True) == State.QUEUED
    assert queue.get(job).problem == PROBLEM
    # Not at once again, the second time.
    assert queue.take("process", 30.0) is None
    clock.advance(10)
    assert queue.interrupt(taken(queue).lease, PROBLEM, is_loss=True) == State.FAILED
    failed = queue.get(job)
    assert failed.problem is not None
    assert failed.problem.detail == "tried 3 times in vain, the last time: it went wrong"


def test_a_stop_is_no_try(queue: Queue) -> None:
    job = queue.submit(new())[0].id
    for _ in range(10):
        assert queue.interrupt(taken(queue).lease, None) == State.QUEUED
    assert queue.get(job).tries == 0


def test_what_cannot_succeed_is_not_tried_again(queue: Queue) -> None:
    job = queue.submit(new())[0].id
    queue.refuse(taken(queue).lease, PROBLEM)
    failed = queue.get(job)
    assert (failed.state, failed.tries, failed.problem) == (State.FAILED, 1, PROBLEM)
    assert queue.take("process", 30.0) is None


def test_cancelled_jobs_are_given_up(queue: Queue) -> None:
    job = queue.submit(new())[0].id
    held = taken(queue)
    assert queue.cancel(job).state == State.CANCELLED
    assert queue.lost([held.lease]) == {job}
    with pytest.raises(LeaseLost):
        queue.finish(held.lease, RESULT)
    with pytest.raises(ImpossibleTransition):
        queue.cancel(job)
    queue.retry(job)
    queue.finish(taken(queue).lease, RESULT)
    for ask in (queue.cancel, queue.retry):
        with pytest.raises(ImpossibleTransition):
            ask(job)
    assert queue.reorganise(job, "gone").state == State.ABANDONED


def test_deadlines_pass(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    late = queue.submit(new(deadline=clock.now + timedelta(seconds=10)))[0].id
    queue.submit(new())
    running = taken(queue)
    assert running.job.id == late
    assert queue.expire() == []
    clock.advance(11)
    assert queue.expire() == [late]
    failed = queue.get(late)
    assert failed.state == State.FAILED
    assert failed.problem is not None
    assert failed.problem.code == Code.TIMEOUT
    assert queue.lost([running.lease]) == {late}


def test_jobs_of_dead_processes_come_back_at_once(queue: Queue) -> None:
    mine, theirs = (queue.submit(new(name))[0].id for name in ("a", "b"))
    assert taken(queue, "dead").job.id == mine
    assert taken(queue, "alive").job.id == theirs
    assert queue.recover(["dead"]) == [mine]
    # It died; that is a try, but nothing to wait for.
    assert taken(queue, "alive").job.tries == 2


def test_processes_are_known_while_they_are_there(queue: Queue) -> None:
    at = datetime.now(UTC)
    row = ProcessRow(id="p", host="h", space="s", pid=1, ticks=2, started=at, seen=at, memory=3, threads=4)
    queue.register(row)
    job = queue.submit(new())[0].id
    taken(queue, "p")
    (worker,) = queue.workers()
    assert (worker.id, worker.host, worker.jobs, worker.memory, worker.threads) == ("p", "h", [job], 3, 4)
    queue.deregister("p")
    assert queue.workers() == []
    assert queue.recover() == [job]


def test_many_who_take_get_each_job_once(database: Database) -> None:
    queue = Queue(database)
    ids = {queue.submit(new(str(number)))[0].id for number in range(30)}
    got: list[str] = []

    def take(name: str) -> None:
        while (found := queue.take(name, 30.0)) is not None:
            got.append(found.job.id)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(take, map(str, range(8))))
    assert Counter(got) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize(
    "sort", ["created", "-created", "name", "-name", "priority", "-finished", "finished", "-cells"]
)
def test_lists_have_every_job_once(queue: Queue, sort: Any) -> None:
    ids = {queue.submit(new(f"job {number % 5}", priority=number % 3))[0].id for number in range(25)}
    for _ in range(5):
        queue.finish(taken(queue).lease, RESULT)
    found = []
    cursor = None
    while True:
        page = queue.jobs(sort=sort, limit=7, cursor=cursor)
        assert page.total == 25
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    assert len(found) == 25
    assert {job.id for job in found} == ids
    name = sort.removeprefix("-")
    never = datetime.max.replace(tzinfo=UTC)
    values = [getattr(job, name) or (never if name == "finished" else 0) for job in found]
    assert values == sorted(values, reverse=sort.startswith("-"))


def test_lists_are_filtered(queue: Queue) -> None:
    first = queue.submit(new("50% of Alpha_1"))[0]
    queue.submit(new("beta"))
    queue.refuse(taken(queue).lease, PROBLEM)
    assert [job.id for job in queue.jobs(states=[State.FAILED]).items] == [first.id]
    for text_, count in (("alpha", 1), ("a", 2), ("0%", 1), ("a_1", 1), ("a%1", 0), (first.id[:8], 1), ("zzz", 0)):
        assert queue.jobs(text=text_).total == count, text_


@pytest.mark.parametrize("cursor", ["", "x", "WzFd", "bnVsbA==", "\u00e9", "WyItY3JlYXRlZCIsIDEsICJhIl0="])
def test_other_cursors_are_refused(queue: Queue, cursor: str) -> None:
    with pytest.raises(BadCursor):
        queue.jobs(cursor=cursor)


def test_a_cursor_is_of_one_order(queue: Queue) -> None:
    for _ in range(3):
        queue.submit(new())
    cursor = queue.jobs(limit=1).next
    with pytest.raises(BadCursor):
        queue.jobs(sort="name", cursor=cursor)


def test_events_tell_the_story(queue: Queue) -> None:
    job = queue.submit(new())[0].id
    other = queue.submit(new())[0].id
    held = taken(queue)
    queue.report(held.lease, [Change(stage=Stage.EXECUTE), Change(progress=0.5)])
    queue.finish(held.lease, RESULT)
    events = queue.events(job=job)
    assert [(event.kind, event.data.get("state")) for event in events] == [
        ("state", "queued"),
        ("state", "running"),
        ("stage", None),
        ("progress", None),
        ("state", "done"),
    ]
    everything = queue.events()
    assert [event.number for event in everything] == sorted({event.number for event in everything})
    assert {event.job for event in everything} == {job, other}
    assert queue.events(everything[2].number) == everything[3:]
    assert queue.last_event() == everything[-1].number


def test_nobody_misses_an_event_that_is_committed_late(database: Database) -> None:
    """Whoever reads what comes after the last number sees all events, however many write at the same time."""
    queue = Queue(database)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        last = 0
        while True:
            is_over = stop.is_set()
            for event in queue.events(last):
                seen.append(event.number)
                last = event.number
            if is_over:
                return

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: queue.submit(new(str(number))), range(100)))
    stop.set()
    reader.join()
    stored = database.read(lambda session: list(session.scalars(select(EventRow.number))))
    assert seen == sorted(stored)


def test_samples_and_throughput(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    queue.submit(new())
    queue.sample()
    clock.advance(60)
    held = taken(queue)
    queue.sample()
    assert [(queued, running) for _, queued, running in queue.samples()] == [(1, 0), (0, 1)]
    queue.report(held.lease, [Change(planned=PLAN), Change(segment=(0, {"state": SegmentState.PROVING}))])
    clock.advance(10)
    queue.report(held.lease, [Change(segment=(0, {"state": SegmentState.PROVED, "seconds": 10.0}))])
    queue.finish(held.lease, RESULT)
    assert queue.throughput(3600.0) == (1.0, pytest.approx(1.0))


def test_what_is_old_is_forgotten(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    done = queue.submit(new())[0].id
    queue.finish(taken(queue).lease, RESULT)
    queue.submit(new())
    queue.sample()
    clock.advance(40 * 86400)
    queue.forget(30)
    assert queue.events(job=done) == []
    assert len(queue.events()) == 1
    assert queue.samples(seconds=100 * 86400) == []
    assert queue.get(done).state == State.DONE


def test_untidy_jobs_are_found(database: Database) -> None:
    clock = Clock()
    queue = Queue(database, clock=clock)
    done, cancelled, waiting = (queue.submit(new(priority=-number))[0].id for number in range(3))
    queue.finish(taken(queue).lease, RESULT)
    assert taken(queue).job.id == cancelled
    queue.cancel(cancelled)
    assert queue.untidy(30) == [done]
    queue.tidied(done)
    assert queue.untidy(30) == []
    clock.advance(31 * 86400)
    assert queue.untidy(30) == [cancelled]
    assert queue.jobs_in_store([done, waiting, "0" * 32]) == {done, waiting}


def test_work_that_fails_in_a_group_undoes_only_itself(database: Database) -> None:
    """SQLite commits together what several threads ask for."""
    queue = Queue(database, max_queued=20)

    def submit(number: int) -> bool:
        try:
            queue.submit(new(str(number)))
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(20) as threads:
        outcomes = list(threads.map(submit, range(60)))
    assert sum(outcomes) == 20
    assert queue.counts()[State.QUEUED] == 20


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"
    database, other = Database(url), Database(url)
    database.migrate()
    begun = threading.Event()

    def hold(session: Session, again: bool) -> None:
        session.execute(text("DELETE FROM samples"))
        begun.set()
        time.sleep(0.5)

    holder = threading.Thread(target=other.write, args=(hold,))
    holder.start()
    begun.wait()
    start = time.monotonic()
    Queue(database).submit(new())
    assert time.monotonic() - start > 0.2
    holder.join()
    database.close()
    other.close()


def test_a_database_that_is_not_there_is_away() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseAway):
        Queue(database).counts()


def test_cut_connections_lose_and_double_nothing(postgres: Server) -> None:
    """Connections are cut all the time while jobs are submitted, taken and finished."""
    url = postgres.create()
    database = Database(url)
    database.migrate()
    queue = Queue(database)
    stop = threading.Event()
    cuts = 0

    def cut() -> None:
        nonlocal cuts
        while not stop.wait(0.2):
            cuts += postgres.cut(url)

    def again(act: Any) -> Any:
        while True:
            try:
                return act()
            except DatabaseAway:
                continue

    def live(number: int) -> str:
        job = new(str(number))
        again(lambda: queue.submit(job))
        return job.id

    changes = [Change(planned=PLAN), Change(segment=(0, {"state": SegmentState.PROVED}))]

    def work(name: str) -> list[str]:
        done = []
        while (held := again(lambda: queue.take(name, 30.0))) is not None:
            again(lambda held=held: queue.report(held.lease, changes))
            again(lambda held=held: queue.finish(held.lease, RESULT))
            done.append(held.job.id)
        return done

    cutter = threading.Thread(target=cut)
    cutter.start()
    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(live, range(60)))
        done = [job for jobs in threads.map(work, "abcd") for job in jobs]
    stop.set()
    cutter.join()
    assert cuts > 0
    counts = queue.counts()
    assert counts[State.DONE] == 60, counts
    assert sum(counts.values()) == 60
    assert sorted(done) == sorted(ids)
    tries = database.read(lambda session: set(session.scalars(select(JobRow.tries))))
    assert tries == {1}
    assert database.read(lambda session: len(session.scalars(select(SegmentRow.job)).all())) == 180
    database.close()
