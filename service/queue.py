"""The queue: jobs, who has which of them in hand, and what happened to them.

Everything is in the database, and every change of a job's state is made by `service.states.after` in the transaction
that stores it. A process that takes a job gets a lease on it with a token; it says what becomes of the job with that
token, and is ignored (`LeaseLost`) once the job is somebody else's. All methods may be called from any thread, raise
`DatabaseAway` when the database cannot be reached, and do what they do once even if the connection is cut in between.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, and_, delete, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.database import (
    ArtifactRow,
    CheckRow,
    Database,
    EventRow,
    FollowedBlockRow,
    JobRow,
    Moment,
    ProcessRow,
    SampleRow,
    SegmentRow,
    lock_events,
    now,
)
from service.fairness import expected_of_submission, rank, work_of
from service.models import (
    Check,
    Code,
    Job,
    JobDetail,
    JobEvent,
    Options,
    Page,
    Problem,
    Segment,
    SegmentState,
    Source,
    Worker,
)
from service.states import SETTLED, Event, ImpossibleTransition, Stage, State, after

#: Most items of a part of a list.
MAX_PAGE: Final = 200

Sort = Literal[
    "created", "-created", "finished", "-finished", "priority", "-priority", "name", "-name", "cells", "-cells"
]
SORTS: Final[tuple[str, ...]] = get_args(Sort)

#: Seconds before a job is tried again, after its first failure; twice as many after each further one.
_PAUSE = 1.0
_MAX_PAUSE = 60.0

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)

#: So many jobs are never submitted at the same moment.
_CLOSE = 1000

#: Segments from which the rate of proving is measured: the last ones.
_MEASURED = 200


class UnknownJob(Exception):  # noqa: N818
    """There is no such job."""


class KeyConflict(Exception):  # noqa: N818
    """Something else was submitted under this idempotency key; `job` is that job's id."""

    def __init__(self, job: str) -> None:
        super().__init__(f"the idempotency key is that of job {job}, which is another batch")
        self.job = job


class QueueFull(Exception):  # noqa: N818
    """As many jobs wait as may wait."""


class LeaseLost(Exception):  # noqa: N818
    """The job is no longer in the hands of whoever speaks: it was cancelled, or is somebody else's by now."""


class BadCursor(ValueError):  # noqa: N818
    """A cursor that no list has given."""


@dataclass(frozen=True)
class NewJob:
    """What is submitted.

    Attributes:
        content: SHA-256 (hex) of all that makes it this job and no other: batch or source, and options.
        batch: where its batch lies in the artifacts (`service.artifacts.Stored`), None for a source.
        id: chosen by whoever submits, so that the batch can be stored before the job is.
    """

    content: str
    name: str = ""
    priority: int = 0
    deadline: datetime | None = None
    options: Options = field(default_factory=lambda: Options())
    source: Source | None = None
    batch: Artifact | None = None
    submitted_by: str | None = None
    idempotency_key: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Artifact:
    """A file of a job: what it is, where it lies in the store, its SHA-256 (hex) and size."""

    kind: str
    path: str
    digest: str
    bytes: int


#: What comes of a submission among others: the job and whether it is new, or why there is none.
Submitted = tuple[Job, bool] | KeyConflict | QueueFull


@dataclass(frozen=True)
class Lease:
    """A job in the hands of a process."""

    job: str
    token: str


@dataclass(frozen=True)
class Taken:
    """A job that was taken, with all that is needed to prove it."""

    lease: Lease
    job: Job
    batch: Artifact | None
    rank: float
    expected: float


@dataclass(frozen=True)
class PlannedSegment:
    """A segment as it is planned; `key` as in `SegmentRow`."""

    index: int
    key: str
    first_operation: int
    end_operation: int
    cells: int
    interactions: int
    memory: int


@dataclass(frozen=True)
class Change:
    """News of a job: what is None has not changed.

    Attributes:
        expected: seconds that all of it is expected to take, now that its plan is known.
        facts: columns of the job: `blocks`, `transactions`, `gas_used`, `steps`.
        artifact: stored before the job is finished, as a fetched batch.
        planned: all segments. Those that were planned in the same way before keep what is known of them.
        segment: index, and what has become of it: `state`, `reused`, `seconds`, `proof_bytes`, `worker`.
        check: position and the check that passed.
    """

    stage: Stage | None = None
    stage_done: int | None = None
    stage_total: int | None = None
    stage_seconds: Mapping[str, float] | None = None
    progress: float | None = None
    remaining: float | None = None
    expected: float | None = None
    facts: Mapping[str, int] | None = None
    artifact: Artifact | None = None
    planned: Sequence[PlannedSegment] | None = None
    segment: tuple[int, Mapping[str, Any]] | None = None
    check: tuple[int, Check] | None = None


@dataclass(frozen=True)
class Result:
    """A finished job."""

    statement: Mapping[str, Any]
    statement_digest: str
    proof_bytes: int
    artifacts: Sequence[Artifact]
    stage_seconds: Mapping[str, float]


@dataclass
class _Noted:
    """Events of a transaction; they are stored last, so that nobody waits for their lock longer than that."""

    at: datetime
    events: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, job: str, kind: str, data: Mapping[str, Any]) -> None:
        self.events.append({"job": job, "time": self.at, "kind": kind, "data": dict(data)})

    def store(self, session: Session) -> None:
        if self.events:
            session.flush()
            lock_events(session)
            session.execute(EventRow.__table__.insert(), self.events)  # type: ignore[attr-defined]


class Queue:
    """The jobs of all processes that share a database.

    Args:
        database: migrated.
        max_tries: of jobs submitted here, see `Settings`.
        max_losses: a job is failed that so many service processes have not survived one after the other, or that was
            as often interrupted by what is around the service, without a finished segment in between.
        max_queued: more are refused.
        clock: tells the time; those of several machines must agree to a fraction of a lease.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_tries: int = 3,
        max_losses: int = 10,
        max_queued: int = 10_000,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.database = database
        self._max_tries = max_tries
        self._max_losses = max_losses
        self._max_queued = max_queued
        self._clock = clock
        insert = (sqlite if database.is_sqlite else postgresql).insert(JobRow.__table__)
        table = JobRow.__table__.c
        self._insert = insert.on_conflict_do_nothing(index_elements=[table.idempotency_key]).returning(table.id)

    # -- what clients ask for

    def submit(self, new: NewJob, also: Callable[[Session], None] | None = None) -> tuple[Job, bool]:
        """Add a job. Submitting again under the same idempotency key gives the job that is there.

        Args:
            new: what is submitted.
            also: what is done in the same transaction where the job is new; what it raises undoes both.

        Returns:
            The job, and whether it is new.

        Raises:
            KeyConflict: the key is that of another content.
            QueueFull: too many jobs wait.
        """

        def work(session: Session, again: bool) -> tuple[Job, bool]:
            (result,), added = self._submit(session, [new], again)
            if isinstance(result, Exception):
                raise result
            if added and also is not None:
                also(session)
            return result

        return self.database.write(work)

    def submit_all(self, new: Sequence[NewJob]) -> list[Submitted]:
        """Add jobs in one transaction, each as `submit` does; some may be refused while others are added.

        Returns:
            For each one, in order, what `submit` would return or raise.
        """
        return self.database.write(lambda session, again: self._submit(session, new, again)[0])

    def _submit(self, session: Session, new: Sequence[NewJob], again: bool) -> tuple[list[Submitted], set[str]]:
        """As `submit_all`, and the ids of those that have been added in this transaction."""
        at = self._clock()
        keys = {each.idempotency_key for each in new if each.idempotency_key is not None}
        known = {row.idempotency_key: row for row in _rows_in(session, JobRow.idempotency_key, keys)}
        made = {row.id: row for row in _rows_in(session, JobRow.id, {each.id for each in new})} if again else {}
        room = self._room(session)
        if room < _CLOSE:
            # Others who submit at this moment are not seen: who comes close to the bound goes one by one.
            lock_events(session)
            room = self._room(session)
        wanted: dict[str, NewJob] = {}  # by idempotency key, or id
        for each in new:
            if each.idempotency_key not in known and each.id not in made and len(wanted) < room:
                wanted.setdefault(each.idempotency_key or each.id, each)
        rows = [self._new_row(each, at) for each in wanted.values()]
        added = set(session.scalars(self._insert, rows)) if rows else set()
        self._note_added(session, [each for each in wanted.values() if each.id in added], at)
        # Another process may have submitted the same at this moment.
        missed = {key for key, each in wanted.items() if each.id not in added}
        known |= {row.idempotency_key: row for row in _rows_in(session, JobRow.idempotency_key, missed)}
        jobs = {row["id"]: Job(**{name: row[name] for name in _OF_JOB}) for row in rows if row["id"] in added}
        results: list[Submitted] = []
        for each in new:
            first = wanted.get(each.idempotency_key or each.id)
            found = known.get(each.idempotency_key) if each.idempotency_key else made.get(each.id)
            if found is not None:
                same, job = found.content == each.content, _job(found)
            elif first is not None:
                same, job = first.content == each.content, jobs[first.id]
            else:
                results.append(QueueFull(f"{self._max_queued - room} jobs wait; no more may"))
                continue
            is_new = each.id in added or (again and job.id == each.id)
            results.append((job, is_new) if same else KeyConflict(job.id))
        return results, added

    def _room(self, session: Session) -> int:
        """How many more jobs may wait."""
        return self._max_queued - (session.scalar(select(func.count()).where(JobRow.state == State.QUEUED)) or 0)

    def _note_added(self, session: Session, added: Sequence[NewJob], at: datetime) -> None:
        files = [{"job": each.id, **vars(each.batch)} for each in added if each.batch is not None]
        if files:
            session.execute(ArtifactRow.__table__.insert(), files)  # type: ignore[attr-defined]
        note = _Noted(at)
        for each in added:
            note(each.id, "state", {"state": State.QUEUED, "name": each.name})
        note.store(session)

    def _new_row(self, new: NewJob, at: datetime) -> dict[str, Any]:
        blocks = 0 if new.source is None else new.source.last - new.source.first + 1
        expected = expected_of_submission(None if new.batch is None else new.batch.bytes, max(1, blocks))
        given = {
            "id": new.id,
            "name": new.name,
            "state": State.QUEUED,
            "progress": 0.0,
            "stage_done": 0,
            "stage_total": 0,
            "stage_seconds": {},
            "priority": new.priority,
            "deadline": new.deadline,
            "created": at,
            "rank": rank(at, expected, new.priority, new.deadline),
            "expected": expected,
            "ready": at,
            "tries": 0,
            "failures": 0,
            "losses": 0,
            "max_tries": self._max_tries,
            "options": new.options.model_dump(exclude_none=True),
            "source": None if new.source is None else new.source.model_dump(mode="json", by_alias=True),
            "idempotency_key": new.idempotency_key,
            "content": new.content,
            "batch_bytes": None if new.batch is None else new.batch.bytes,
            "segments_done": 0,
            "tidy": True,
            "submitted_by": new.submitted_by,
        }
        return dict.fromkeys(JobRow.__table__.columns.keys()) | given

    def get(self, job: str) -> JobDetail:
        """A job with its segments and checks.

        Raises:
            UnknownJob.
        """

        def work(session: Session) -> JobDetail:
            row = _row(session, job)
            segments = session.scalars(select(SegmentRow).where(SegmentRow.job == job).order_by(SegmentRow.index))
            checks = session.scalars(select(CheckRow).where(CheckRow.job == job).order_by(CheckRow.position))
            return JobDetail(
                **_fields(row),
                segments=[_segment(each) for each in segments],
                checks=[Check(name=c.name, establishes=c.establishes, seconds=c.seconds) for c in checks],
            )

        return self.database.read(work)

    def artifact(self, job: str, kind: str) -> Artifact | None:
        """Where a file of a job lies, None if it has no such file (yet).

        Raises:
            UnknownJob.
        """

        def work(session: Session) -> Artifact | None:
            _row(session, job)
            row = session.get(ArtifactRow, (job, kind))
            return None if row is None else Artifact(row.kind, row.path, row.digest, row.bytes)

        return self.database.read(work)

    def jobs(
        self,
        *,
        states: Iterable[State] = (),
        text: str = "",
        sort: Sort = "-created",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Part of the jobs.

        Args:
            states: only these; all if there are none.
            text: only those whose name contains it, or whose id begins with it.
            sort: by what, descending with a minus.
            limit: most items, up to `MAX_PAGE`.
            cursor: `next` of the part before, with the same arguments.

        Raises:
            BadCursor.
        """
        column = _sort_column(sort.removeprefix("-"))
        descending = sort.startswith("-")
        chosen: list[ColumnElement[bool]] = []
        if wanted := list(states):
            chosen.append(JobRow.state.in_(wanted))
        if text:
            escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            named = JobRow.name.ilike(f"%{escaped}%", escape="\\")
            chosen.append(or_(named, JobRow.id.like(f"{escaped.lower()}%", escape="\\")))
        limit = max(1, min(limit, MAX_PAGE))
        following = [] if cursor is None else [_behind(column, descending, *_read_cursor(cursor, sort))]

        def work(session: Session) -> Page[Job]:
            total = session.scalar(select(func.count()).select_from(JobRow).where(*chosen)) or 0
            order = (column.desc(), JobRow.id.desc()) if descending else (column.asc(), JobRow.id.asc())
            rows = session.execute(
                select(JobRow, column).where(*chosen, *following).order_by(*order).limit(limit + 1)
            ).all()
            more = len(rows) > limit
            rows = rows[:limit]
            return Page[Job](
                items=[_job(row) for row, _ in rows],
                next=_cursor(rows[-1][1], rows[-1][0].id, sort) if more else None,
                total=total,
            )

        return self.database.read(work)

    def cancel(self, job: str) -> Job:
        """Nobody wants it any more; whoever has it in hand stops within a second or so.

        Raises:
            UnknownJob, ImpossibleTransition.
        """
        return self._ask(job, Event.CANCELLED)

    def retry(self, job: str) -> Job:
        """It is wanted after all: it has all of its tries again, and goes on from its finished segments.

        Raises:
            UnknownJob, ImpossibleTransition.
        """
        return self._ask(job, Event.RETRIED)

    def reorganise(self, job: str, detail: str) -> Job:
        """Its blocks are gone from the chain.

        Raises:
            UnknownJob, ImpossibleTransition.
        """
        problem = Problem(title="Reorganised", status=409, code=Code.CONFLICT, detail=detail)
        return self._ask(job, Event.REORGANISED, problem)

    def _ask(self, job: str, event: Event, problem: Problem | None = None) -> Job:
        def work(session: Session, again: bool) -> Job:
            note = _Noted(self._clock())
            row = _row(session, job, lock=True)
            try:
                self._transition(note, row, event, problem)
            except ImpossibleTransition:
                target = {Event.CANCELLED: State.CANCELLED, Event.RETRIED: State.QUEUED}.get(event, State.ABANDONED)
                if not (again and row.state == target):
                    raise
            _stop_segments(session, row.id)
            if event == Event.RETRIED:
                row.failures = row.losses = 0
                row.ready = note.at
            note.store(session)
            return _job(row)

        return self.database.write(work)

    # -- what processes do

    def register(self, worker: ProcessRow) -> None:
        """A process is there, or still there."""

        def work(session: Session, again: bool) -> None:
            worker.seen = self._clock()
            session.merge(worker)

        self.database.write(work)

    def deregister(self, process: str) -> None:
        """A process ends. Its jobs, if it has any, are lost by `recover`."""

        def work(session: Session, again: bool) -> None:
            session.execute(delete(ProcessRow).where(ProcessRow.id == process))
            session.execute(update(JobRow).where(_running_of(process)).values(lease=self._clock()))

        self.database.write(work)

    def processes(self) -> list[ProcessRow]:
        """All that have registered and not ended."""

        def work(session: Session) -> list[ProcessRow]:
            return list(session.scalars(select(ProcessRow).order_by(ProcessRow.started)))

        return self.database.read(work)

    def take(self, process: str, lease_seconds: float, *, most_expected: float | None = None) -> Taken | None:
        """Take the job whose turn it is (`service.fairness`), or None if none waits.

        Args:
            process: who takes it.
            lease_seconds: until it is anybody's again, unless the lease is renewed.
            most_expected: only one that is expected to take so many seconds.
        """
        token = uuid.uuid4().hex

        def work(session: Session, again: bool) -> Taken | None:
            note = _Noted(self._clock())
            if again and (row := session.scalar(select(JobRow).where(JobRow.token == token))) is not None:
                return _taken(session, row, token)
            wanted = [JobRow.state == State.QUEUED, JobRow.ready <= note.at]
            if most_expected is not None:
                wanted.append(JobRow.expected <= most_expected)
            row = session.scalar(
                select(JobRow)
                .where(*wanted)
                .order_by(JobRow.rank, JobRow.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if row is None:
                return None
            self._transition(note, row, Event.TAKEN)
            row.token, row.owner, row.lease = token, process, note.at + timedelta(seconds=lease_seconds)
            note.store(session)
            session.flush()
            return _taken(session, row, token)

        # Most of the time there is none, and nobody need be kept from writing to find out.
        if self.database.is_sqlite and not self._waits(most_expected):
            return None
        return self.database.write(work)

    def _waits(self, most_expected: float | None) -> bool:
        wanted = [JobRow.state == State.QUEUED, JobRow.ready <= self._clock()]
        if most_expected is not None:
            wanted.append(JobRow.expected <= most_expected)
        return self.database.read(lambda s: s.scalar(select(JobRow.id).where(*wanted).limit(1))) is not None

    def renew(self, process: str, leases: Iterable[Lease], lease_seconds: float) -> set[str]:
        """Keep jobs.

        Returns:
            The jobs among them that are lost: whoever works on them has to stop.
        """
        held = {lease.job: lease.token for lease in leases}

        def work(session: Session, again: bool) -> set[str]:
            at = self._clock()
            session.execute(update(ProcessRow).where(ProcessRow.id == process).values(seen=at))
            kept = set()
            rows = session.scalars(select(JobRow).where(JobRow.id.in_(sorted(held))).with_for_update())
            for row in rows:
                if row.state == State.RUNNING and row.token == held[row.id]:
                    row.lease = at + timedelta(seconds=lease_seconds)
                    kept.add(row.id)
            return held.keys() - kept

        return self.database.write(work)

    def lost(self, leases: Iterable[Lease]) -> set[str]:
        """The jobs of these leases that are no longer theirs, without renewing any."""
        held = {lease.job: lease.token for lease in leases}
        if not held:
            return set()

        def work(session: Session) -> set[str]:
            rows = session.execute(select(JobRow.id, JobRow.state, JobRow.token).where(JobRow.id.in_(sorted(held))))
            return held.keys() - {job for job, state, token in rows if state == State.RUNNING and token == held[job]}

        return self.database.read(work)

    def report(self, lease: Lease, changes: Sequence[Change]) -> None:
        """Store news of a job, in order.

        Raises:
            LeaseLost.
        """

        def work(session: Session, again: bool) -> None:
            row = _held(session, lease)
            note = _Noted(self._clock())
            for change in changes:
                _apply(session, row, change, note)
            note.store(session)

        self.database.write(work)

    def finish(self, lease: Lease, result: Result) -> None:
        """Its proof is verified and stored.

        Raises:
            LeaseLost.
        """

        def work(session: Session, again: bool) -> None:
            if again and _was(session, lease, State.DONE):
                return
            row = _held(session, lease)
            for artifact in result.artifacts:
                session.merge(_artifact_row(row.id, artifact))
            row.statement = dict(result.statement)
            row.statement_digest = result.statement_digest
            row.proof_bytes = result.proof_bytes
            row.stage_seconds = {**row.stage_seconds, **result.stage_seconds}
            row.progress = 1.0
            row.failures = row.losses = 0
            self._end(session, row, Event.FINISHED)

        self.database.write(work)

    def refuse(self, lease: Lease, problem: Problem) -> None:
        """It cannot succeed however often it is tried.

        Raises:
            LeaseLost.
        """

        def work(session: Session, again: bool) -> None:
            if again and _was(session, lease, State.FAILED):
                return
            self._end(session, _held(session, lease), Event.REFUSED, problem)

        self.database.write(work)

    def interrupt(self, lease: Lease, problem: Problem | None, *, is_loss: bool = False) -> State:
        """It did not come to its end. It is tried again if it has tries left.

        Args:
            problem: what went wrong; None if nothing did (the service stops, or lets another one go first): then this
                was no try.
            is_loss: it is not the job's fault, but that of the service or of what is around it.

        Returns:
            What the job is now.

        Raises:
            LeaseLost.
        """

        def work(session: Session, again: bool) -> State:
            if again and (state := _was(session, lease, State.QUEUED, State.FAILED)):
                return state
            row = _held(session, lease)
            self._interrupt(session, row, problem, is_loss)
            return State(row.state)

        return self.database.write(work)

    def recover(self, dead: Iterable[str] = ()) -> list[str]:
        """Take jobs from processes that are gone: those whose leases have run out, and those of `dead` ones.

        Returns:
            The jobs.
        """
        gone = list(dead)

        def work(session: Session, again: bool) -> list[str]:
            at = self._clock()
            lost = or_(JobRow.lease <= at, JobRow.owner.in_(gone))
            rows = session.scalars(
                select(JobRow).where(JobRow.state == State.RUNNING, lost).with_for_update(skip_locked=True)
            ).all()
            problem = Problem(
                title="Interrupted",
                status=503,
                code=Code.UNAVAILABLE,
                detail="the service process that proved it is gone",
            )
            for row in rows:
                self._interrupt(session, row, problem, is_loss=True)
            if gone:
                session.execute(delete(ProcessRow).where(ProcessRow.id.in_(gone)))
            return [row.id for row in rows]

        # As with `take`.
        def exists(session: Session) -> bool:
            lost = or_(JobRow.lease <= self._clock(), JobRow.owner.in_(gone))
            return session.scalar(select(JobRow.id).where(JobRow.state == State.RUNNING, lost).limit(1)) is not None

        if not gone and not self.database.read(exists):
            return []
        return self.database.write(work)

    def expire(self) -> list[str]:
        """Fail jobs whose deadline has passed.

        Returns:
            The jobs.
        """

        def passed() -> list[ColumnElement[bool]]:
            return [JobRow.state.in_([State.QUEUED, State.RUNNING]), JobRow.deadline <= self._clock()]

        def work(session: Session, again: bool) -> list[str]:
            rows = session.scalars(select(JobRow).where(*passed()).with_for_update(skip_locked=True)).all()
            problem = Problem(
                title="Too late",
                status=504,
                code=Code.TIMEOUT,
                detail="its deadline passed",
                hint="submit it again with a later deadline",
            )
            for row in rows:
                self._end(session, row, Event.EXPIRED, problem)
            return [row.id for row in rows]

        def exists(session: Session) -> bool:
            return session.scalar(select(JobRow.id).where(*passed()).limit(1)) is not None

        return self.database.write(work) if self.database.read(exists) else []

    # -- what happened

    def events(self, after: int = 0, *, job: str | None = None, limit: int = 500) -> list[JobEvent]:
        """Events with larger numbers than `after`, of one job or of all, in order."""

        def work(session: Session) -> list[JobEvent]:
            wanted = [EventRow.number > after]
            if job is not None:
                wanted.append(EventRow.job == job)
            rows = session.scalars(select(EventRow).where(*wanted).order_by(EventRow.number).limit(limit))
            return [
                JobEvent(number=row.number, job=row.job, time=row.time, kind=row.kind, data=row.data)  # type: ignore[arg-type]
                for row in rows
            ]

        return self.database.read(work)

    def last_event(self) -> int:
        """The number of the last event, 0 before the first one."""
        return self.database.read(lambda session: session.scalar(select(func.max(EventRow.number))) or 0)

    def counts(self) -> dict[State, int]:
        """Jobs of each state."""

        def work(session: Session) -> dict[State, int]:
            found = _counts(session)
            return {state: found.get(state.value, 0) for state in State}

        return self.database.read(work)

    def rate(self) -> float | None:
        """Cells that one worker proves in a second, interactions counted in (`service.fairness.work_of`); None until
        something has been proved. Measured on the last segments."""

        def work(session: Session) -> float | None:
            rows = session.execute(
                select(SegmentRow.cells, SegmentRow.interactions, SegmentRow.seconds)
                .where(SegmentRow.finished.is_not(None), SegmentRow.seconds.is_not(None))
                .order_by(SegmentRow.finished.desc())
                .limit(_MEASURED)
            ).all()
            seconds = sum(row.seconds for row in rows)
            return sum(work_of(row.cells, row.interactions) for row in rows) / seconds if seconds else None

        return self.database.read(work)

    def throughput(self, seconds: float = 3600.0) -> tuple[float, float | None]:
        """Jobs done in an hour, and cells proved in a second, over the last so many seconds."""

        def work(session: Session) -> tuple[float, float | None]:
            since = self._clock() - timedelta(seconds=seconds)
            done = session.scalar(select(func.count()).where(JobRow.state == State.DONE, JobRow.finished > since))
            cells, first = session.execute(
                select(func.sum(SegmentRow.cells), func.min(SegmentRow.started)).where(
                    SegmentRow.finished > since, SegmentRow.seconds.is_not(None)
                )
            ).one()
            span = min(seconds, (self._clock() - first).total_seconds()) if first is not None else 0.0
            return (done or 0) * 3600.0 / seconds, float(cells) / span if cells and span > 0 else None

        return self.database.read(work)

    def workers(self) -> list[Worker]:
        """The processes that prove, with their jobs."""

        def work(session: Session) -> list[Worker]:
            jobs: dict[str, list[str]] = {}
            rows = session.execute(select(JobRow.owner, JobRow.id).where(JobRow.state == State.RUNNING))
            for owner, job in rows:
                jobs.setdefault(owner or "", []).append(job)
            return [
                Worker(
                    id=row.id,
                    host=row.host,
                    started=row.started,
                    seen=row.seen,
                    jobs=jobs.get(row.id, []),
                    memory=row.memory,
                    threads=row.threads,
                )
                for row in session.scalars(select(ProcessRow).order_by(ProcessRow.started))
            ]

        return self.database.read(work)

    def sample(self) -> None:
        """Note how many jobs wait and run now."""

        def work(session: Session, again: bool) -> None:
            counts = _counts(session)
            at = self._clock()
            session.merge(SampleRow(time=at, queued=counts.get(State.QUEUED, 0), running=counts.get(State.RUNNING, 0)))

        self.database.write(work)

    def samples(self, seconds: float = 24 * 3600.0, limit: int = 500) -> list[tuple[datetime, int, int]]:
        """Time, queued and running of the last so many seconds, in order; thinned out to no more than `limit`."""

        def work(session: Session) -> list[tuple[datetime, int, int]]:
            since = self._clock() - timedelta(seconds=seconds)
            rows = session.scalars(select(SampleRow).where(SampleRow.time > since).order_by(SampleRow.time)).all()
            return [(row.time, row.queued, row.running) for row in rows[:: 1 + len(rows) // limit]]

        return self.database.read(work)

    def jobs_in_store(self, jobs: Iterable[str]) -> set[str]:
        """Which of these ids are those of jobs, or of blocks that wait to be one."""
        asked = sorted(jobs)

        def work(session: Session) -> set[str]:
            found = set(session.scalars(select(JobRow.id).where(JobRow.id.in_(asked))))
            blocks = select(FollowedBlockRow.folder).where(FollowedBlockRow.folder.in_(asked))
            return found | set(session.scalars(blocks))

        return self.database.read(work)

    def artifacts(self, job: str) -> list[Artifact]:
        """All files of a job, none if there is no such job."""

        def work(session: Session) -> list[Artifact]:
            rows = session.scalars(select(ArtifactRow).where(ArtifactRow.job == job))
            return [Artifact(row.kind, row.path, row.digest, row.bytes) for row in rows]

        return self.database.read(work)

    def untidy(self, days: float, limit: int = 100) -> list[str]:
        """Jobs of which more may lie in the store than their artifacts, and should not.

        Args:
            days: for so long the finished segments of jobs are kept that failed or were cancelled: they may be retried.
            limit: of so many.
        """

        def work(session: Session) -> list[str]:
            before = self._clock() - timedelta(days=days)
            over = JobRow.state.in_([State.DONE, State.ABANDONED])
            given_up = and_(JobRow.state.in_([State.FAILED, State.CANCELLED]), JobRow.finished < before)
            wanted = select(JobRow.id).where(JobRow.tidy.is_(False), or_(over, given_up))
            return list(session.scalars(wanted.limit(limit)))

        return self.database.read(work)

    def tidied(self, job: str) -> None:
        """Nothing lies in the store but its artifacts."""

        def work(session: Session, again: bool) -> None:
            settled = JobRow.state.in_(sorted(SETTLED))
            session.execute(update(JobRow).where(JobRow.id == job, settled).values(tidy=True))

        self.database.write(work)

    def forget(self, days: float) -> None:
        """Remove events of settled jobs, samples and dead processes that are older than so many days."""

        def work(session: Session, again: bool) -> None:
            before = self._clock() - timedelta(days=days)
            settled = select(JobRow.id).where(JobRow.state.in_(sorted(SETTLED)))
            session.execute(delete(EventRow).where(EventRow.time < before, EventRow.job.in_(settled)))
            session.execute(delete(SampleRow).where(SampleRow.time < before))
            session.execute(delete(ProcessRow).where(ProcessRow.seen < before))

        self.database.write(work)

    # -- transitions

    def _transition(self, note: _Noted, row: JobRow, event: Event, problem: Problem | None = None) -> None:
        """Change the state; the caller holds the row locked.

        Raises:
            ImpossibleTransition.
        """
        state = after(State(row.state), event)
        row.state = state
        row.problem = None if problem is None else problem.model_dump(mode="json", exclude_none=True)
        changed: dict[str, Any] = {"state": state, "tries": row.tries}
        if state == State.RUNNING:
            row.tries += 1
            row.tidy = False
            row.started = note.at
            row.finished = None
            changed |= {"tries": row.tries, "started": note.at.isoformat()}
        else:
            row.owner = row.lease = None
            row.stage, row.remaining = None, None
        if state in SETTLED:
            row.finished = note.at
            changed["finished"] = note.at.isoformat()
        elif state == State.QUEUED:
            row.finished = None
            row.progress, row.stage_done, row.stage_total = 0.0, 0, 0
        if problem is not None:
            changed["problem"] = row.problem
        note(row.id, "state", changed)

    def _end(self, session: Session, row: JobRow, event: Event, problem: Problem | None = None) -> None:
        note = _Noted(self._clock())
        self._transition(note, row, event, problem)
        _stop_segments(session, row.id)
        note.store(session)

    def _interrupt(self, session: Session, row: JobRow, problem: Problem | None, is_loss: bool = False) -> None:
        note = _Noted(self._clock())
        row.ready = note.at
        is_last = False
        if problem is None:
            row.tries -= 1
        elif is_loss:
            row.losses += 1
            is_last = row.losses >= self._max_losses
            if row.losses > 1:
                row.ready += timedelta(seconds=min(_PAUSE * 2 ** (row.losses - 1), _MAX_PAUSE))
        else:
            row.failures += 1
            is_last = row.failures >= row.max_tries
            row.ready += timedelta(seconds=min(_PAUSE * 2 ** (row.failures - 1), _MAX_PAUSE))
        if is_last and problem is not None:
            count = row.losses if is_loss else row.failures
            detail = f"tried {count} times in vain, the last time: {problem.detail}"
            problem = problem.model_copy(update={"detail": detail})
        self._transition(note, row, Event.EXHAUSTED if is_last else Event.INTERRUPTED, problem)
        _stop_segments(session, row.id)
        note.store(session)


# -- rows


def _row(session: Session, job: str, lock: bool = False) -> JobRow:
    statement = select(JobRow).where(JobRow.id == job)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        raise UnknownJob(f"there is no job {job}")
    return row


def _rows_in(session: Session, column: InstrumentedAttribute[Any], values: Iterable[str]) -> Sequence[JobRow]:
    asked = sorted(values)
    return session.scalars(select(JobRow).where(column.in_(asked))).all() if asked else []


def _held(session: Session, lease: Lease) -> JobRow:
    row = session.scalar(select(JobRow).where(JobRow.id == lease.job).with_for_update())
    if row is None or row.state != State.RUNNING or row.token != lease.token:
        raise LeaseLost(f"job {lease.job} is not in these hands any more")
    return row


def _counts(session: Session) -> dict[str, int]:
    """Jobs of each state that there are any of."""
    rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all()
    return {row[0]: row[1] for row in rows}


def _was(session: Session, lease: Lease, *states: State) -> State | None:
    """The state of a job whose last hands these were, if it is one of these."""
    row = session.get(JobRow, lease.job)
    return State(row.state) if row is not None and row.token == lease.token and row.state in states else None


def _running_of(process: str) -> ColumnElement[bool]:
    return and_(JobRow.state == State.RUNNING, JobRow.owner == process)


def _stop_segments(session: Session, job: str) -> None:
    """Nobody proves them any more."""
    session.flush()
    session.execute(
        update(SegmentRow)
        .where(SegmentRow.job == job, SegmentRow.state == SegmentState.PROVING)
        .values(state=SegmentState.WAITING, started=None, worker=None)
        .execution_options(synchronize_session=False)
    )


def _taken(session: Session, row: JobRow, token: str) -> Taken:
    batch = session.get(ArtifactRow, (row.id, "batch"))
    stored = None if batch is None else Artifact(batch.kind, batch.path, batch.digest, batch.bytes)
    return Taken(Lease(row.id, token), _job(row), stored, row.rank, row.expected)


def _artifact_row(job: str, artifact: Artifact) -> ArtifactRow:
    return ArtifactRow(job=job, kind=artifact.kind, path=artifact.path, digest=artifact.digest, bytes=artifact.bytes)


def _apply(session: Session, row: JobRow, change: Change, note: _Noted) -> None:
    """Store a change and note what clients are told of it."""
    told: dict[str, Any] = {}
    for name in ("stage_done", "stage_total", "progress", "remaining"):
        if (value := getattr(change, name)) is not None:
            setattr(row, name, value)
            told[name] = value
    if change.expected is not None:
        row.expected = change.expected
        row.rank = rank(row.created, row.expected, row.priority, row.deadline)
    if change.facts is not None:
        for name, number in change.facts.items():
            setattr(row, name, number)
        told |= change.facts
    if change.stage_seconds is not None:
        row.stage_seconds = {**row.stage_seconds, **change.stage_seconds}
        told["stage_seconds"] = row.stage_seconds
    if change.artifact is not None:
        session.merge(_artifact_row(row.id, change.artifact))
        if change.artifact.kind == "batch":
            row.batch_bytes = told["batch_bytes"] = change.artifact.bytes
    if change.planned is not None:
        _plan(session, row, change.planned)
        names = ("segments_total", "segments_done", "cells", "interactions")
        told |= {name: getattr(row, name) for name in names}
    if change.segment is not None:
        _change_segment(session, row, note, *change.segment)
        if change.segment[1].get("state") == SegmentState.PROVED:
            told["segments_done"] = row.segments_done
    if change.check is not None:
        position, check = change.check
        session.merge(CheckRow(job=row.id, position=position, **check.model_dump()))
        note(row.id, "check", check.model_dump())
    if change.stage is not None and change.stage != row.stage:
        if change.stage == Stage.VERIFY:
            session.execute(delete(CheckRow).where(CheckRow.job == row.id))
        row.stage = change.stage
        note(row.id, "stage", {"stage": change.stage, **told})
    elif told:
        note(row.id, "progress", told)


def _plan(session: Session, row: JobRow, planned: Sequence[PlannedSegment]) -> None:
    before = {
        (each.index, each.key): each for each in session.scalars(select(SegmentRow).where(SegmentRow.job == row.id))
    }
    wanted = {(each.index, each.key): each for each in planned}
    for place, found in before.items():
        if place not in wanted:
            session.delete(found)
    session.flush()
    for place, each in wanted.items():
        if place not in before:
            values = {**vars(each), "state": SegmentState.WAITING, "reused": False, "proved": 0}
            session.add(SegmentRow(job=row.id, **values))
    session.flush()
    row.segments_total = len(planned)
    row.segments_done = sum(found.state == SegmentState.PROVED for place, found in before.items() if place in wanted)
    row.cells = sum(each.cells for each in planned)
    row.interactions = sum(each.interactions for each in planned)
    row.memory = max((each.memory for each in planned), default=0)


def _change_segment(session: Session, row: JobRow, note: _Noted, index: int, values: Mapping[str, Any]) -> None:
    segment = session.get_one(SegmentRow, (row.id, index), with_for_update=True)
    was_proved = segment.state == SegmentState.PROVED
    for name, value in values.items():
        setattr(segment, name, value)
    if segment.state == SegmentState.PROVING:
        segment.started = note.at
    if segment.state == SegmentState.PROVED and not segment.reused:
        segment.proved += 1
        segment.finished = note.at
        # Whoever gets on is not given up.
        row.failures = row.losses = 0
    session.flush()
    if (segment.state == SegmentState.PROVED) != was_proved:
        row.segments_done += 1 if segment.state == SegmentState.PROVED else -1
    note(row.id, "segment", _segment(segment).model_dump(mode="json"))


_OF_JOB = tuple(name for name in Job.model_fields)
_OF_SEGMENT = tuple(name for name in Segment.model_fields)


def _fields(row: JobRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _OF_JOB}


def _job(row: JobRow) -> Job:
    return Job(**_fields(row))


def _segment(row: SegmentRow) -> Segment:
    return Segment(**{name: getattr(row, name) for name in _OF_SEGMENT})


# -- parts of lists


def _sort_column(name: str) -> ColumnElement[Any]:
    if name == "name":
        return JobRow.name.expression
    if name == "priority":
        return JobRow.priority.expression
    if name == "cells":
        return func.coalesce(JobRow.cells, 0)
    if name == "finished":
        # Those that have not ended come after all that have.
        return func.coalesce(JobRow.finished, literal(_NEVER, Moment))
    return JobRow.created.expression


def _cursor(value: Any, job: str, sort: str) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    return base64.urlsafe_b64encode(json.dumps([sort, value, job]).encode()).decode()


def _read_cursor(cursor: str, sort: str) -> tuple[Any, str]:
    try:
        found, value, job = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if found != sort or not isinstance(job, str):
            raise BadCursor("the cursor is of another list")
        if sort.removeprefix("-") in ("created", "finished"):
            value = datetime.fromisoformat(value).astimezone(UTC)
        elif sort.endswith("name"):
            if not isinstance(value, str) or "\x00" in value:
                raise BadCursor("no cursor")
        elif not isinstance(value, int) or abs(value) >= 1 << 63:
            raise BadCursor("no cursor")
        if "\x00" in job:
            raise BadCursor("no cursor")
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadCursor("no cursor that this service has given") from error
    return value, job


def _behind(column: ColumnElement[Any], descending: bool, value: Any, job: str) -> ColumnElement[bool]:
    """What comes after an item."""
    if descending:
        return or_(column < value, and_(column == value, JobRow.id < job))
    return or_(column > value, and_(column == value, JobRow.id > job))
