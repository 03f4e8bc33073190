"""The tables of the service, and how a transaction is run.

SQLite (write-ahead log) and PostgreSQL are used in the same way: a transaction that writes is one call of a function,
which may be repeated when the connection is lost or the database is locked. A function that is repeated is told so,
because the first time may have been committed without the answer arriving.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")

#: Tries of a transaction whose connection is lost, and seconds before the second one; then twice as many each time.
_TRIES = 5
_WAIT = 0.05

#: Seconds that a statement waits for a locked SQLite database, and PostgreSQL for a lock or a connection.
_BUSY_SECONDS = 30
_CONNECT_SECONDS = 10

#: PostgreSQL's advisory locks: of migrations, and of the order in which events are committed.
_MIGRATION_LOCK = 0x7A6B_0001
_EVENTS_LOCK = 0x7A6B_0002


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A time, UTC; SQLite has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out of it."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Of all tables."""


_Number = BigInteger().with_variant(Integer, "sqlite")


class JobRow(Base):
    """A job.

    Attributes:
        rank: jobs are taken in this order, the lowest first (`service.fairness`).
        expected: seconds that proving it is expected to take.
        memory: bytes of its largest segment, once that is known.
        ready: not taken before.
        failures: tries that failed since a new segment was finished last.
        losses: those that the service process did not survive, or a full disk ended; they may not be the job's fault.
        token: of whoever has, or had last, the job in its hands; what others say of it is ignored.
        owner, lease: the process that has it, and until when.
        tidy: whether nothing of it lies in the store but its artifacts.
        idempotency_key: of its submission; `content` is the digest of what was submitted.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str | None] = mapped_column(String(16))
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    stage_done: Mapped[int] = mapped_column(BigInteger, default=0)
    stage_total: Mapped[int] = mapped_column(BigInteger, default=0)
    stage_seconds: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    remaining: Mapped[float | None] = mapped_column(Float)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    deadline: Mapped[datetime | None] = mapped_column(Moment)
    created: Mapped[datetime] = mapped_column(Moment)
    started: Mapped[datetime | None] = mapped_column(Moment)
    finished: Mapped[datetime | None] = mapped_column(Moment)
    rank: Mapped[float] = mapped_column(Float(53))
    expected: Mapped[float] = mapped_column(Float)
    memory: Mapped[int | None] = mapped_column(BigInteger)
    ready: Mapped[datetime] = mapped_column(Moment)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    max_tries: Mapped[int] = mapped_column(Integer)
    token: Mapped[str | None] = mapped_column(String(32))
    owner: Mapped[str | None] = mapped_column(String(32))
    lease: Mapped[datetime | None] = mapped_column(Moment)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    source: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    content: Mapped[str] = mapped_column(String(64))
    batch_bytes: Mapped[int | None] = mapped_column(BigInteger)
    blocks: Mapped[int | None] = mapped_column(BigInteger)
    transactions: Mapped[int | None] = mapped_column(BigInteger)
    gas_used: Mapped[int | None] = mapped_column(BigInteger)
    steps: Mapped[int | None] = mapped_column(BigInteger)
    cells: Mapped[int | None] = mapped_column(BigInteger)
    interactions: Mapped[int | None] = mapped_column(BigInteger)
    proof_bytes: Mapped[int | None] = mapped_column(BigInteger)
    segments_done: Mapped[int] = mapped_column(Integer, default=0)
    segments_total: Mapped[int | None] = mapped_column(Integer)
    statement: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    statement_digest: Mapped[str | None] = mapped_column(String(66))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    submitted_by: Mapped[str | None] = mapped_column(String(200))
    tidy: Mapped[bool] = mapped_column(default=True)

    __table_args__ = (
        Index("jobs_by_rank", "state", "rank", "id"),
        Index("jobs_by_time", "created", "id"),
        Index("jobs_by_end", "state", "finished"),
        Index("jobs_untidy", "tidy", "state"),
    )


class SegmentRow(Base):
    """A segment of a job's plan.

    Attributes:
        key: hash of all that its proof depends on; its proof is stored under it.
        proved: how often it has been proved: once, but for what is lost with the disk.
    """

    __tablename__ = "segments"

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    first_operation: Mapped[int] = mapped_column(BigInteger)
    end_operation: Mapped[int] = mapped_column(BigInteger)
    cells: Mapped[int] = mapped_column(BigInteger)
    interactions: Mapped[int] = mapped_column(BigInteger)
    memory: Mapped[int] = mapped_column(BigInteger)
    reused: Mapped[bool] = mapped_column(default=False)
    started: Mapped[datetime | None] = mapped_column(Moment)
    finished: Mapped[datetime | None] = mapped_column(Moment)
    seconds: Mapped[float | None] = mapped_column(Float)
    proof_bytes: Mapped[int | None] = mapped_column(BigInteger)
    worker: Mapped[str | None] = mapped_column(String(200))
    proved: Mapped[int] = mapped_column(Integer, default=0)

    __table_args__ = (Index("segments_by_end", "finished"),)


class CheckRow(Base):
    """A check of the verifier that a job's proof passed."""

    __tablename__ = "checks"

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    establishes: Mapped[str] = mapped_column(Text)
    seconds: Mapped[float] = mapped_column(Float)


class ArtifactRow(Base):
    """A file of a job: `kind` is one of `service.artifacts.Kind`, `path` where it lies in the store."""

    __tablename__ = "artifacts"

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    path: Mapped[str] = mapped_column(String(300))
    digest: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)


class EventRow(Base):
    """Something that happened to a job (`service.models.JobEvent`). Numbers grow in the order of commits."""

    __tablename__ = "events"

    number: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    time: Mapped[datetime] = mapped_column(Moment)
    kind: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)

    __table_args__ = (
        Index("events_by_job", "job", "number"),
        Index("events_by_time", "time"),
        {"sqlite_autoincrement": True},
    )


class ProcessRow(Base):
    """A service process that proves.

    Attributes:
        space: where its `pid` means something: the machine since it was started, and the namespace.
        ticks: when it was started, since the machine was, so that another process with the same number is told apart.
    """

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    space: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int] = mapped_column(Integer)
    ticks: Mapped[int] = mapped_column(BigInteger)
    started: Mapped[datetime] = mapped_column(Moment)
    seen: Mapped[datetime] = mapped_column(Moment)
    memory: Mapped[int] = mapped_column(BigInteger)
    threads: Mapped[int] = mapped_column(Integer)


class SampleRow(Base):
    """How many jobs waited and ran at a time."""

    __tablename__ = "samples"

    time: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    queued: Mapped[int] = mapped_column(Integer)
    running: Mapped[int] = mapped_column(Integer)


class KeyRow(Base):
    """An API key; of the key itself only the SHA-256 digest (hex) is kept."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime] = mapped_column(Moment)
    used: Mapped[datetime | None] = mapped_column(Moment)
    revoked: Mapped[datetime | None] = mapped_column(Moment)


class PlaceRow(Base):
    """Where the following of a chain stands: one row, since a database is that of one chain (`service.follow`).

    Attributes:
        chain: `service.follow.PLACE`.
        chain_id: of the chain, once the node has said it.
        head: number of the node's last block.
        next_block: the first block that is in no batch; 0 before a node was reached.
        last_hash, last_root: hash and state root of the block before it.
        last_batch: the job of the last batch.
        reorganisations: how often blocks that had been seen were gone.
        proved: up to this block all batches are proved and their statements chain.
        skipped: `[first, last]` of blocks that were left out at the operator's word.
        gaps: what keeps statements after `proved` from chaining, in words.
        problem: why it does not get on, in words.
        owner, lease: the process that follows, one at a time, and until when.
    """

    __tablename__ = "places"

    chain: Mapped[str] = mapped_column(String(200), primary_key=True)
    rpc: Mapped[str] = mapped_column(Text)
    chain_id: Mapped[str | None] = mapped_column(String(80))
    head: Mapped[int | None] = mapped_column(BigInteger)
    next_block: Mapped[int] = mapped_column(BigInteger)
    last_hash: Mapped[str | None] = mapped_column(String(66))
    last_root: Mapped[str | None] = mapped_column(String(66))
    last_batch: Mapped[str | None] = mapped_column(String(32))
    confirmations: Mapped[int] = mapped_column(Integer, default=0)
    reorganisations: Mapped[int] = mapped_column(Integer, default=0)
    proved: Mapped[int | None] = mapped_column(BigInteger)
    skipped: Mapped[list[Any]] = mapped_column(JSON, default=list)
    gaps: Mapped[list[Any]] = mapped_column(JSON, default=list)
    problem: Mapped[str | None] = mapped_column(Text)
    owner: Mapped[str | None] = mapped_column(String(32))
    lease: Mapped[datetime | None] = mapped_column(Moment)
    updated: Mapped[datetime | None] = mapped_column(Moment)


class FollowedBlockRow(Base):
    """A block that was seen and fetched, and is in no batch yet. They follow each other and the last batch.

    Attributes:
        time: of the block, Unix, in seconds.
        fork: of its batch file, as JSON.
        confirmed: when it was seen to have enough blocks after it.
        folder: of `artifacts`, in which `path` has its batch file.
    """

    __tablename__ = "followed_blocks"

    chain: Mapped[str] = mapped_column(ForeignKey("places.chain", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(66))
    parent_hash: Mapped[str] = mapped_column(String(66))
    state_root: Mapped[str] = mapped_column(String(66))
    time: Mapped[int] = mapped_column(BigInteger)
    gas_used: Mapped[int] = mapped_column(BigInteger)
    fork: Mapped[str] = mapped_column(Text)
    confirmed: Mapped[datetime | None] = mapped_column(Moment)
    folder: Mapped[str] = mapped_column(String(32), unique=True)
    path: Mapped[str] = mapped_column(String(300))
    digest: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)


class FollowedBatchRow(Base):
    """A batch of the chain that is followed, and what its statement has to say.

    Attributes:
        state: `kept`; `leaving` when blocks of it are gone, until its job is abandoned; then `gone`.
    """

    __tablename__ = "followed_batches"

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    chain: Mapped[str] = mapped_column(ForeignKey("places.chain", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16))
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    parent_hash: Mapped[str] = mapped_column(String(66))
    first_hash: Mapped[str] = mapped_column(String(66))
    last_hash: Mapped[str] = mapped_column(String(66))
    pre_state_root: Mapped[str] = mapped_column(String(66))
    post_state_root: Mapped[str] = mapped_column(String(66))
    created: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (Index("followed_batches_by_block", "chain", "state", "first"),)


class DatabaseAway(Exception):  # noqa: N818 - that is what is the matter
    """The database cannot be reached, or is locked for too long."""


class _Asked:
    """A transaction that somebody waits for; who is woken up while it is not done makes those that wait."""

    def __init__(self, work: Callable[[Session, bool], Any]) -> None:
        self.work = work
        self.settled = threading.Event()
        self.is_done = False
        self.result: Any = None
        self.failure: BaseException | None = None


class Database:
    """An engine, and transactions of it. May be used by many threads."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._mutex = threading.Lock()
        self._waiting: list[_Asked] = []
        self._is_led = False

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite."""
        return self.engine.dialect.name == "sqlite"

    def migrate(self) -> None:
        """Bring the tables up to date; several processes may do so at once.

        Raises:
            DatabaseAway: it cannot be reached.
        """
        if self.is_sqlite and self.engine.url.database:
            Path(self.engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        config = Config()
        config.set_main_option("script_location", "service:migrations")

        def upgrade(session: Session, again: bool) -> None:
            if not self.is_sqlite:
                session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            config.attributes["connection"] = session.connection()
            command.upgrade(config, "head")

        self.write(upgrade)

    def write(self, work: Callable[[Session, bool], T]) -> T:
        """Run a transaction that writes.

        SQLite has one writer at a time, and a commit waits for the disk: what several threads ask for meanwhile is
        committed together, each in a savepoint of its own.

        Args:
            work: gets the session and whether this is a repetition, in which case an earlier call of it may have been
                committed although nobody learned so. What it raises undoes what it did.

        Raises:
            DatabaseAway: it did not work however often it was tried.
        """
        if not self.is_sqlite:
            return self._repeat(lambda again: self._run(work, again))
        asked = _Asked(work)
        with self._mutex:
            self._waiting.append(asked)
            leads, self._is_led = not self._is_led, True
        if not leads:
            asked.settled.wait()
        if not asked.is_done:
            # Whoever leads does so once, so that nobody writes for others for ever.
            with self._mutex:
                group, self._waiting = self._waiting, []
            try:
                self._write_together(group)
            finally:
                for each in group:
                    each.is_done = True
                    each.settled.set()
                with self._mutex:
                    self._is_led = bool(self._waiting)
                    if self._waiting:
                        self._waiting[0].settled.set()
        if asked.failure is not None:
            raise asked.failure
        return cast(T, asked.result)

    def _write_together(self, group: list[_Asked]) -> None:
        """All that is asked for, in one transaction."""

        def run(again: bool) -> None:
            connection = self.engine.connect().execution_options(zkevm_begin="BEGIN IMMEDIATE")
            with connection, connection.begin():
                for asked in group:
                    asked.result = asked.failure = None
                    try:
                        with _nested(connection) as session, session.begin():
                            asked.result = asked.work(session, again)
                    except Exception as error:
                        if isinstance(error, DBAPIError) and _may_pass(error):
                            raise
                        asked.failure = error

        try:
            self._repeat(run)
        except BaseException as error:
            for asked in group:
                asked.failure = error

    def read(self, work: Callable[[Session], T]) -> T:
        """Run a transaction that only reads, all of it at one moment.

        Raises:
            DatabaseAway: it did not work however often it was tried.
        """
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self._repeat(lambda again: self._run(lambda session, _: work(session), again, options))

    def _run(self, work: Callable[[Session, bool], T], again: bool, options: dict[str, Any] | None = None) -> T:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options=options or {})
            return work(session, again)

    def _repeat(self, attempt: Callable[[bool], T]) -> T:
        """The result of an attempt, the first one or a later one, which is told so."""
        reason: DBAPIError
        for number in range(_TRIES):
            if number:
                time.sleep(_WAIT * 2 ** (number - 1))
            try:
                return attempt(number > 0)
            except DBAPIError as error:
                if not _may_pass(error):
                    raise
                reason = error
        # What the driver says may hold the address of the database, but no password.
        raise DatabaseAway(str(reason.orig).strip().partition("\n")[0]) from reason

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _nested(connection: Connection) -> Session:
    """A session whose transaction is a savepoint of the connection's."""
    return Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")


def _may_pass(error: DBAPIError) -> bool:
    """Whether the connection is at fault, or the database locked."""
    return isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated


def lock_events(session: Session) -> None:
    """From here to the commit, nobody else's events get numbers: who has seen one has seen all before it."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _EVENTS_LOCK})


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments = {
        "connect_timeout": _CONNECT_SECONDS,
        "options": f"-c lock_timeout={_BUSY_SECONDS}s -c idle_in_transaction_session_timeout={2 * _BUSY_SECONDS}s",
        # A connection that is cut without a word is noticed.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
    return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=arguments)


def _set_up_sqlite(connection: Any, record: Any) -> None:
    # SQLAlchemy begins transactions itself, see below.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # What has been answered must outlive a loss of power.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("zkevm_begin", "BEGIN"))
