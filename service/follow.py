"""Batches from the head of a chain, as a rollup makes them.

Each block is fetched as soon as the node has it, long before its batch is closed or proved: nodes keep states, and with
them witnesses and proofs, of their last blocks only (geth of 128), while a block may have to wait for confirmations,
for the rest of its batch, and then in the queue. What is fetched stays in the artifacts until the block is in a batch.

Blocks are followed by their hashes. When one of those that were seen is no longer the node's, everything from the last
common block on is taken back: blocks are forgotten, jobs of batches are abandoned (`states.Event.REORGANISED`), and
batches are made anew from the start of the first one that lost a block. A node whose chain parts from before the first
batch is one of another chain, and is refused.

A batch is closed at `batch_blocks` blocks, before the block with which it would have more than `batch_gas`, or
`batch_seconds` after its first block, whichever is first: before a block whose time is so much later, or so long after
its first block was confirmed if no other one comes. It also ends where the fork changes, and before it would be larger
than a batch file may be. It never splits a block, so that one with more gas is a batch of its own.

All that is known is in the database. One process at a time has the lease on the place, and whatever it writes is
written in a transaction that looks whether it still has it: a batch is submitted, its blocks leave and the place moves
on in a single one, so that whenever a process dies, the next one goes on with no block lost and none in two batches.

What goes wrong with the node (it is away, slow, behind, talks nonsense, has no witness any more) is the place's
`problem`, and is tried again. Blocks whose witness stays incomplete go on as they are after some tries: their job says
what is missing, and those after them are not lost as well.

Statements of finished batches are held against the chain that was followed: number, hash and state root with which one
ends are those with which the next one begins, the hash being that in its first header. `proved` is how far that holds
without a gap; what stands in the way of it are `gaps`, each worth an alarm: a failed or cancelled job, blocks that were
left out, or a statement that is another one.

A service follows in a process of its own (`FollowerProcess`): blocks are executed to see that nothing is missing, which
would slow the API down in its process.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from executor.batch import MAX_FILE_BYTES
from executor.errors import ExecutorError, MissingState
from executor.fetch import Fetched, Node, NodeError, fetch, join
from executor.json_values import parse_quantity
from executor.limits import Limits
from executor.rpc import encode_header
from service.artifacts import ArtifactLost, Artifacts, Kind
from service.database import (
    Database,
    DatabaseAway,
    FollowedBatchRow,
    FollowedBlockRow,
    JobRow,
    PlaceRow,
    now,
)
from service.models import Following
from service.queue import Artifact, NewJob, Queue, QueueFull, UnknownJob
from service.settings import Settings
from service.states import ImpossibleTransition, State

logger = logging.getLogger("service.follow")  # also where it is the main module

T = TypeVar("T")

#: Key of the one row of places.
PLACE: Final = "chain"

#: States of a batch in `FollowedBatchRow`.
KEPT, LEAVING, GONE = "kept", "leaving", "gone"

#: Seconds for which a process has the place, and until a node must have connected, and between two parts of an answer.
_LEASE = 60.0
_TIMEOUT = (5.0, 45.0)
_TRIES = 2
_MAX_WAIT = 60.0

_PR_SET_PDEATHSIG = 1
#: Seconds between two looks at the process that follows.
_LOOK = 0.2

#: Blocks that are fetched before the head is looked at again, and tries after which a witness is taken as it is.
_AT_ONCE = 32
_ATTEMPTS = 5

#: Points of the chain that are read at a time while the last common one is sought.
_POINTS = 100

#: Batches whose statements are looked at in one go.
_CHECKED = 200


class Caller(Protocol):
    """What is needed of a node (`executor.fetch.Node`)."""

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises NodeError."""


class _Timed:
    """A node each of whose answers has to be complete after so many seconds, however slowly its parts arrive."""

    def __init__(self, node: Caller, seconds: float) -> None:
        self._node, self._seconds = node, seconds

    def call(self, method: str, *params: Any) -> Any:
        """As that of `executor.fetch.Node`. Raises NodeError."""
        if threading.current_thread() is not threading.main_thread():
            return self._node.call(method, *params)  # nobody can be interrupted there

        def late(number: int, frame: object) -> None:
            raise NodeError(f"the node does not answer {method} within {self._seconds:g} seconds")

        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        try:
            return self._node.call(method, *params)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


class _PlaceLost(Exception):  # noqa: N818
    """Another process follows by now."""


@dataclass(frozen=True)
class Header:
    """A block of the node; its fields have the hash."""

    number: int
    hash: str
    parent_hash: str
    state_root: str
    time: int
    gas_used: int


@dataclass(frozen=True)
class _Point:
    """A block that was seen. ``batch`` is the job of the batch that begins after it."""

    number: int
    hash: str
    batch: str | None = None


class Follower:
    """Follows the chain of a node for as long as no other process does.

    Args:
        settings: which node, and what makes a batch; `follow` must be set.
        queue: to which the batches go.
        artifacts: in which they are stored.
        connect: gives the node; called anew for every block, since what a node may answer is bounded.
        fetcher: `executor.fetch.fetch`.
        clock: tells the time, which must be that of the other processes.
        owner: who has the lease; the same as that of a process that is known to be dead.
    """

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        artifacts: Artifacts,
        *,
        connect: Callable[[], Any] | None = None,
        fetcher: Callable[..., Fetched] = fetch,
        clock: Callable[[], datetime] = now,
        owner: str | None = None,
    ) -> None:
        if settings.follow is None:
            raise ValueError("no node is set that could be followed")
        self._settings, self._queue, self._artifacts = settings, queue, artifacts
        self._database: Database = queue.database
        self._url = settings.follow
        self._stop = threading.Event()
        self._connect = connect or self._new_node
        self._fetcher = fetcher
        self._clock = clock
        self._id = owner or uuid.uuid4().hex
        self._misses = (0, 0)  # a block, and how often its witness was incomplete
        self._told: tuple[str | None, tuple[str, ...]] = (None, ())

    # -- the loop

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop`` is set."""
        self._stop = stop
        failures = 0
        while not stop.is_set():
            more = False
            try:
                with self._kept_alive():
                    more = self.step()
                failures = 0 if self._told[0] is None else failures + 1
            except DatabaseAway as error:
                logger.warning("the database is away: %s", error)
                failures += 1
            except Exception:
                logger.exception("following goes on")
                failures += 1
            wait = self._settings.follow_poll_seconds
            if failures:
                wait = max(wait, min(wait * 2 ** min(failures, 10), _MAX_WAIT))
            stop.wait(0.0 if more else wait)
        with suppress(DatabaseAway):
            self.release()

    @contextmanager
    def _kept_alive(self) -> Iterator[None]:
        """The lease is renewed while a step takes long: executing a large block, or a slow node."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(_LEASE / 3):
                with suppress(DatabaseAway, _PlaceLost):
                    self._write(lambda session, place: None)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def release(self) -> None:
        """Let another process follow at once."""
        release(self._database, self._id)

    def step(self) -> bool:
        """Look at the node once, and do what there is to do.

        Returns:
            Whether there is more to do at once.

        Raises:
            DatabaseAway.
        """
        if not self._take():
            self._told = (None, ())
            return False
        problem, more = None, False
        try:
            try:
                more = self._advance()
            except (_PlaceLost, DatabaseAway):
                raise
            except (ExecutorError, QueueFull, ArtifactLost, OSError) as error:
                problem = self._words(error)
            except Exception as error:  # whatever it is, the chain goes on and so must this
                logger.exception("following %s", _without_password(self._url))
                problem = f"{type(error).__name__}: {self._words(error)}"
            gaps = self._check()
            if self._place().problem != problem:
                self._write(lambda session, place: _note(place, problem))
            self._tell(problem, gaps)
        except _PlaceLost:
            logger.info("another process follows the chain now")
            return False
        return more

    def _tell(self, problem: str | None, gaps: Sequence[str]) -> None:
        """Log what is new."""
        before, known = self._told
        if problem is not None and problem != before:
            logger.warning("following %s: %s", _without_password(self._url), problem)
        if problem is None and before is not None:
            logger.info("following %s goes on", _without_password(self._url))
        for gap in gaps:
            if gap not in known:
                logger.error("the statements do not chain: %s", gap)
        self._told = (problem, tuple(gaps))

    def _words(self, error: Exception) -> str:
        """Of an error, without what is secret in the node's address."""
        text = " ".join(str(error).split()) or type(error).__name__
        parts = urlsplit(self._url)
        for secret in (self._url, parts.netloc.rpartition("@")[0], parts.path.strip("/"), parts.query):
            if secret:
                text = text.replace(secret, _without_password(self._url) if secret == self._url else "...")
        return text[:2000]

    # -- the place

    def _take(self) -> bool:
        """Get or keep the lease; makes the place where there is none."""
        address = _without_password(self._url)

        def work(session: Session, again: bool) -> bool:
            at = self._clock()
            new = {"chain": PLACE, "rpc": address, "next_block": 0, "confirmations": 0, "reorganisations": 0}
            insert = (sqlite if self._database.is_sqlite else postgresql).insert(PlaceRow)
            # Another process may do so at this moment.
            session.execute(insert.values(**new, skipped=[], gaps=[]).on_conflict_do_nothing())
            place = session.scalars(select(PlaceRow).where(PlaceRow.chain == PLACE).with_for_update()).one()
            if place.owner not in (None, self._id) and place.lease is not None and place.lease > at:
                return False
            place.owner, place.lease, place.updated = self._id, at + timedelta(seconds=_LEASE), at
            place.rpc, place.confirmations = address, self._settings.confirmations
            return True

        return self._database.write(work)

    def _write(self, work: Callable[[Session, PlaceRow], T]) -> T:
        """Run a transaction of whoever has the lease. It may be repeated after it was committed.

        Raises:
            _PlaceLost, DatabaseAway.
        """
        return self._database.write(lambda session, again: work(session, self._held(session)))

    def _held(self, session: Session) -> PlaceRow:
        """The place, locked and kept for longer."""
        place = session.scalar(select(PlaceRow).where(PlaceRow.chain == PLACE).with_for_update())
        if place is None or place.owner != self._id:
            raise _PlaceLost
        place.lease = self._clock() + timedelta(seconds=_LEASE)
        return place

    def _place(self) -> PlaceRow:
        return self._database.read(lambda session: session.scalars(select(PlaceRow)).one())

    # -- the node

    def _new_node(self) -> Caller:
        return _Timed(Node(self._url, tries=_TRIES, timeout=_TIMEOUT), self._settings.fetch_seconds)

    def _advance(self) -> bool:
        """Bring everything up to the node's head, or nearer to it; returns whether it is only nearer."""
        self._abandon()
        node = self._connect()
        head = header_of(node, "latest")
        if head is None:
            raise NodeError("the node has no last block")
        self._begin(node, head)
        behind = self._settle(node, head)
        reached = True
        try:
            if behind is None:
                reached = self._fetch_up_to(head)
        finally:
            # What is there does not wait for what is not.
            self._close_batches(head)
        if behind is not None:
            raise NodeError(behind)
        return not reached

    def _begin(self, node: Caller, head: Header) -> None:
        """Check that it is the chain, and set the place where there is none, or where the operator wants it."""
        chain_id = str(_chain_id(node))
        place = self._place()
        if place.chain_id not in (None, chain_id):
            raise NodeError(
                f"the node is of chain {chain_id}, and chain {place.chain_id} is followed: another chain needs another "
                "database"
            )
        wanted = self._settings.follow_from or place.next_block or head.number + 1
        tip = self._tip()
        if place.next_block and wanted <= tip.number + 1:
            if place.head != head.number:
                self._write(lambda session, place: _set_head(place, head.number))
            return
        before = header_of(node, wanted - 1)
        if before is None:
            raise NodeError(f"following begins at block {wanted}, and the node is at block {head.number}")

        def work(session: Session, place: PlaceRow) -> list[str]:
            if (place.next_block, place.last_hash) == (wanted, before.hash):
                return []  # by the same transaction before
            place.chain_id, place.head = chain_id, head.number
            if place.next_block:
                place.skipped = [*place.skipped, [place.next_block, wanted - 1]]
                logger.warning("blocks %d to %d are left out", place.next_block, wanted - 1)
            else:
                place.proved = wanted - 1
            place.next_block, place.last_hash, place.last_root = wanted, before.hash, before.state_root
            return _drop_blocks(session, 0)

        self._clean(self._write(work))

    def _tip(self) -> _Point:
        """The last block that was seen."""

        def work(session: Session) -> _Point:
            last = session.scalar(select(FollowedBlockRow).order_by(FollowedBlockRow.number.desc()).limit(1))
            if last is not None:
                return _Point(last.number, last.hash)
            place = session.scalars(select(PlaceRow)).one()
            return _Point(place.next_block - 1, place.last_hash or "")

        return self._database.read(work)

    # -- reorganisations

    def _settle(self, node: Caller, head: Header) -> str | None:
        """Take back what is no longer the node's.

        Returns:
            Words for it if the node is only behind what was seen of its chain.
        """
        top: _Point | None = None
        is_lost = False
        for point in self._points():
            top = top or point
            if point.number > head.number:
                continue
            if not self._has(node, point, head):
                is_lost = True
            elif is_lost:
                self._take_back(point)
                self._abandon()
                return None
            else:
                break
        else:
            if is_lost:
                self._restart(node, head)
                return None
        if top is not None and top.number > head.number:
            return f"the node is at block {head.number}, behind block {top.number} that it had before"
        return None

    def _has(self, node: Caller, point: _Point, head: Header) -> bool:
        found = head if head.number == point.number else header_of(node, point.number)
        if found is None:
            raise NodeError(f"the node is at block {head.number} and has no block {point.number}")
        return found.hash == point.hash

    def _points(self) -> Iterator[_Point]:
        """Blocks that were seen, the last first: those in no batch, the one before them, and those before batches."""

        def blocks(session: Session) -> list[_Point]:
            rows = session.scalars(select(FollowedBlockRow).order_by(FollowedBlockRow.number.desc()))
            place = session.scalars(select(PlaceRow)).one()
            return [
                *(_Point(row.number, row.hash) for row in rows),
                _Point(place.next_block - 1, place.last_hash or ""),
            ]

        def batches(session: Session, below: int) -> list[_Point]:
            rows = session.scalars(
                select(FollowedBatchRow)
                .where(FollowedBatchRow.state == KEPT, FollowedBatchRow.first < below)
                .order_by(FollowedBatchRow.first.desc())
                .limit(_POINTS)
            )
            return [_Point(row.first - 1, row.parent_hash, row.job) for row in rows]

        yield from self._database.read(blocks)
        below = 1 << 62
        while found := self._database.read(partial(batches, below=below)):
            yield from found
            below = found[-1].number + 1

    def _take_back(self, common: _Point) -> None:
        """Forget all blocks after one that the node still has; batches of them are to be abandoned."""

        def work(session: Session, place: PlaceRow) -> list[str]:
            if common.batch is None:
                folders = _drop_blocks(session, common.number + 1)
                place.reorganisations += bool(folders)
                return folders
            leaving = session.scalars(
                select(FollowedBatchRow)
                .where(FollowedBatchRow.state == KEPT, FollowedBatchRow.first > common.number)
                .order_by(FollowedBatchRow.first)
            ).all()
            if not leaving:
                return []  # by the same transaction before
            place.reorganisations += 1
            for batch in leaving:
                batch.state = LEAVING
            # The first one begins there, whatever was left out before it.
            place.next_block, place.last_hash = leaving[0].first, leaving[0].parent_hash
            place.last_root = leaving[0].pre_state_root
            place.skipped = [part for part in place.skipped if part[0] < place.next_block]
            place.proved = min(place.proved or 0, place.next_block - 1)
            place.last_batch = session.scalar(
                select(FollowedBatchRow.job)
                .where(FollowedBatchRow.state == KEPT, FollowedBatchRow.first < place.next_block)
                .order_by(FollowedBatchRow.first.desc())
                .limit(1)
            )
            return _drop_blocks(session, 0)

        folders = self._write(work)
        logger.warning("the chain was reorganised after block %d", common.number)
        self._clean(folders)

    def _restart(self, node: Caller, head: Header) -> None:
        """Not even the block before the first batch is the node's: begin anew if there is no batch yet.

        Raises:
            NodeError: there is one, and so the node is of another chain.
        """
        place = self._place()
        kept = select(FollowedBatchRow.job).where(FollowedBatchRow.state == KEPT).limit(1)
        has_batch = self._database.read(lambda s: s.scalar(kept)) is not None
        before = header_of(node, place.next_block - 1) if place.next_block - 1 <= head.number else None
        if has_batch or before is None:
            raise NodeError(
                "the node's chain parts from the one that was followed before the first batch: if it is to be "
                "followed, it needs another database"
            )

        def work(session: Session, place: PlaceRow) -> list[str]:
            place.reorganisations += place.last_hash != before.hash
            place.last_hash, place.last_root = before.hash, before.state_root
            return _drop_blocks(session, 0)

        self._clean(self._write(work))

    def _abandon(self) -> None:
        """Abandon the jobs of batches whose blocks are gone."""
        rows = self._database.read(
            lambda s: s.execute(
                select(FollowedBatchRow.job, FollowedBatchRow.first, FollowedBatchRow.last)
                .where(FollowedBatchRow.state == LEAVING)
                .order_by(FollowedBatchRow.first)
            ).all()
        )
        for job, first, last in rows:
            with suppress(UnknownJob, ImpossibleTransition):  # the second if it was abandoned before
                self._queue.reorganise(
                    job, f"the chain was reorganised: blocks {first} to {last} are not in it any more"
                )

            def work(session: Session, place: PlaceRow, job: str = job) -> None:
                session.get_one(FollowedBatchRow, job).state = GONE

            self._write(work)

    # -- blocks

    def _fetch_up_to(self, head: Header) -> bool:
        """Fetch the blocks after the last one that was seen; returns whether all of them are there now."""
        tip = self._tip()
        for _ in range(_AT_ONCE):
            if tip.number >= head.number or self._stop.is_set():
                return True
            fetched = self._fetched(tip.number + 1)
            found = _header(fetched.document["blocks"][0])
            if found.parent_hash != tip.hash:
                return True  # the chain changed since: the next look finds out from where on
            self._keep(fetched, found, tip)
            tip = _Point(found.number, found.hash)
            self._close_batches(head)
        return tip.number >= head.number

    def _fetched(self, number: int) -> Fetched:
        """A block with its witness.

        Raises:
            BatchError: the node does not give it.
        """
        limits = Limits(seconds=self._settings.fetch_seconds)
        block, misses = self._misses
        is_final = block == number and misses + 1 >= _ATTEMPTS

        def get(complete: bool) -> Fetched:
            place = hex(number)
            fork = self._settings.follow_fork
            return self._fetcher(self._connect(), place, place, fork, limits=limits, complete=complete)

        try:
            fetched = get(True)
        except MissingState as error:
            self._misses = (number, misses + 1 if block == number else 1)
            if not is_final:
                raise
            logger.warning("block %d goes on with an incomplete witness: %s", number, error)
            fetched = get(False)
        place = self._place()
        if str(fetched.document["chainId"]) != place.chain_id or fetched.first != number:
            raise NodeError(f"the node gives another block than {number} of chain {place.chain_id}")
        return fetched

    def _keep(self, fetched: Fetched, header: Header, tip: _Point) -> None:
        """Store a block that follows the last one."""
        folder = uuid.uuid4().hex
        stored = self._artifacts.put(folder, Kind.BATCH, json.dumps(fetched.document).encode())

        def work(session: Session, place: PlaceRow) -> None:
            if session.get(FollowedBlockRow, (PLACE, header.number)) is not None:
                return  # by the same transaction before
            session.add(
                FollowedBlockRow(
                    chain=PLACE,
                    number=header.number,
                    hash=header.hash,
                    parent_hash=header.parent_hash,
                    state_root=header.state_root,
                    time=header.time,
                    gas_used=header.gas_used,
                    fork=json.dumps(fetched.document["fork"], sort_keys=True),
                    folder=folder,
                    path=stored.path,
                    digest=stored.digest,
                    bytes=stored.bytes,
                )
            )

        with self._cleaned(folder):
            self._write(work)

    # -- batches

    def _close_batches(self, head: Header) -> None:
        """Submit all batches that are closed."""
        last = head.number - self._settings.confirmations

        def confirm(session: Session, place: PlaceRow) -> None:
            session.execute(
                update(FollowedBlockRow)
                .where(FollowedBlockRow.number <= last, FollowedBlockRow.confirmed.is_(None))
                .values(confirmed=self._clock())
            )

        def unconfirmed(session: Session) -> int | None:
            wanted = (FollowedBlockRow.number <= last, FollowedBlockRow.confirmed.is_(None))
            return session.scalar(select(FollowedBlockRow.number).where(*wanted).limit(1))

        if self._database.read(unconfirmed) is not None:
            self._write(confirm)
        while True:
            blocks = self._database.read(
                lambda s: s.scalars(
                    select(FollowedBlockRow)
                    .where(FollowedBlockRow.confirmed.is_not(None))
                    .order_by(FollowedBlockRow.number)
                    .limit(self._settings.batch_blocks + 1)
                ).all()
            )
            count = closed(blocks, self._settings, self._clock())
            if count is None:
                return
            self._submit(blocks[:count])

    def _submit(self, blocks: Sequence[FollowedBlockRow]) -> None:
        """Make a job of blocks, and move the place behind them."""
        first, last = blocks[0], blocks[-1]
        try:
            documents = [json.loads(self._artifacts.get(_artifact(block))) for block in blocks]
        except ArtifactLost:
            self._clean(self._write(lambda session, place: _drop_blocks(session, 0)))
            raise
        content = json.dumps(join(documents)).encode()
        job = uuid.uuid4().hex
        stored = self._artifacts.put(job, Kind.BATCH, content)

        def also(session: Session) -> None:
            place = self._held(session)
            if (place.next_block, place.last_hash) != (first.number, first.parent_hash):
                raise _PlaceLost
            session.flush()
            session.add(
                FollowedBatchRow(
                    job=job,
                    chain=PLACE,
                    state=KEPT,
                    first=first.number,
                    last=last.number,
                    parent_hash=first.parent_hash,
                    first_hash=first.hash,
                    last_hash=last.hash,
                    pre_state_root=place.last_root,
                    post_state_root=last.state_root,
                    created=self._clock(),
                )
            )
            place.next_block, place.last_hash, place.last_root = last.number + 1, last.hash, last.state_root
            place.last_batch = job
            session.execute(delete(FollowedBlockRow).where(FollowedBlockRow.number <= last.number))

        name = f"block {first.number}" if first is last else f"blocks {first.number} to {last.number}"
        new = NewJob(content=stored.digest, name=name, batch=stored, submitted_by="follow", id=job)
        with self._cleaned(job):
            self._queue.submit(new, also)
        logger.info("%s: job %s", name, job)
        self._clean([block.folder for block in blocks])

    @contextmanager
    def _cleaned(self, folder: str) -> Iterator[None]:
        """What was stored is removed where what speaks of it was not."""
        try:
            yield
        except Exception:
            # Whether it was committed before the connection was lost, nobody knows but the database.
            with suppress(DatabaseAway):
                self._clean({folder} - self._queue.jobs_in_store([folder]))
            raise

    def _clean(self, folders: Sequence[str] | set[str]) -> None:
        """Remove what is not needed any more; what stays is swept with the rest of what nobody knows."""
        for folder in folders:
            with suppress(OSError):
                self._artifacts.clean(folder, [])

    # -- statements

    def _check(self) -> list[str]:
        """Hold the statements against each other, and see how far they chain; returns what is in the way."""

        def look(session: Session) -> tuple[bool, list[str]]:
            place = session.scalars(select(PlaceRow)).one()
            proved, gaps = chain_of(session, place)
            return (proved, gaps) != (place.proved, place.gaps), gaps

        def work(session: Session, place: PlaceRow) -> list[str]:
            place.proved, place.gaps = chain_of(session, place)
            return list(place.gaps)

        is_new, gaps = self._database.read(look)
        return self._write(work) if is_new else gaps


def closed(blocks: Sequence[FollowedBlockRow], settings: Settings, at: datetime) -> int | None:
    """How many of the first blocks make a batch that is closed, None while it is open.

    Args:
        blocks: confirmed ones, up to one more than a batch may have.
        settings: the limits.
        at: the time.
    """
    if not blocks:
        return None
    first, gas, size = blocks[0], 0, 0
    most = settings.batch_gas
    for count, block in enumerate(blocks):
        gas, size = gas + block.gas_used, size + block.bytes
        if count and (
            block.fork != first.fork
            or size > MAX_FILE_BYTES
            or (most is not None and gas > most)
            or (settings.batch_seconds is not None and block.time - first.time >= settings.batch_seconds)
        ):
            return count
        if count + 1 == settings.batch_blocks or (most is not None and gas >= most):
            return count + 1
    if settings.batch_seconds is not None and first.confirmed is not None:
        age = (at - first.confirmed).total_seconds()
        return len(blocks) if age >= settings.batch_seconds else None
    return None


def chain_of(session: Session, place: PlaceRow) -> tuple[int | None, list[str]]:
    """How far batches are proved with statements that chain, and what keeps those after that from it.

    Returns:
        The last block, and the gaps in words: a batch that is merely not proved yet is none.
    """
    if place.proved is None:
        return None, []
    proved, is_whole = place.proved, True
    before: FollowedBatchRow | None = session.scalar(
        select(FollowedBatchRow).where(FollowedBatchRow.state == KEPT, FollowedBatchRow.last == proved)
    )
    rows = session.execute(
        select(FollowedBatchRow, JobRow.state, JobRow.statement, JobRow.problem)
        .join(JobRow, JobRow.id == FollowedBatchRow.job)
        .where(FollowedBatchRow.state == KEPT, FollowedBatchRow.first > proved)
        .order_by(FollowedBatchRow.first)
        .limit(_CHECKED)
    ).all()
    skipped = {(first, last) for first, last in place.skipped if last > proved}
    gaps = [f"blocks {first} to {last} were left out" for first, last in sorted(skipped)]
    for batch, state, statement, problem in rows:
        words = [] if before is None else _broken(before, batch, skipped)
        name = f"blocks {batch.first} to {batch.last}, job {batch.job}"
        if state in (State.FAILED, State.CANCELLED, State.ABANDONED):
            words.append(f"{name}: {state}" + (f": {problem['detail']}" if problem else ""))
        elif state == State.DONE:
            words += [f"{name}: {text}" for text in differences(statement or {}, batch, place.chain_id)]
        gaps += words
        is_whole = is_whole and state == State.DONE and not words
        if is_whole:
            proved = batch.last
        before = batch
    return proved, gaps


def _broken(before: FollowedBatchRow, batch: FollowedBatchRow, skipped: set[tuple[int, int]]) -> list[str]:
    """What is wrong between two batches."""
    place = f"between block {before.last} and block {batch.first}"
    if (before.last + 1, batch.first - 1) in skipped:
        return []  # which is a gap by itself
    if before.last + 1 != batch.first:
        return [f"{place} is no batch"]
    if before.last_hash != batch.parent_hash:
        return [f"{place} the hash is another one: {before.last_hash} and {batch.parent_hash}"]
    if before.post_state_root != batch.pre_state_root:
        return [f"{place} the state is another one: {before.post_state_root} and {batch.pre_state_root}"]
    return []


def differences(statement: Mapping[str, Any], batch: FollowedBatchRow, chain_id: str | None) -> list[str]:
    """What a statement says otherwise than the chain that was followed, in words."""
    expected = {
        "chain_id": None if chain_id is None else int(chain_id),
        "first_block_number": batch.first,
        "first_block_hash": batch.first_hash,
        "last_block_number": batch.last,
        "last_block_hash": batch.last_hash,
        "pre_state_root": batch.pre_state_root,
        "post_state_root": batch.post_state_root,
    }
    return [
        f"the statement has {name} {statement.get(name)}, the chain {value}"
        for name, value in expected.items()
        if statement.get(name) != value
    ]


def following(database: Database) -> Following | None:
    """The chain that is followed, None where nobody has begun to. Any process may ask.

    Raises:
        DatabaseAway.
    """
    place = database.read(lambda session: session.get(PlaceRow, PLACE))
    if place is None:
        return None
    is_begun = place.next_block > 0
    return Following(
        rpc=place.rpc,
        head=place.head,
        next_block=place.next_block,
        confirmations=place.confirmations,
        last_batch=place.last_batch,
        reorganisations=place.reorganisations,
        problem=place.problem,
        lag=max(0, place.head - place.next_block + 1) if is_begun and place.head is not None else None,
        proved=place.proved,
        gaps=list(place.gaps),
        updated=place.updated,
    )


def header_of(node: Caller, place: int | str) -> Header | None:
    """A block of a node without its transactions, None if it has none.

    Args:
        node: where it is.
        place: its number, or `latest`.

    Raises:
        BatchError: the node does not answer, or with something else than this block.
    """
    name = place if isinstance(place, str) else hex(place)
    answer = node.call("eth_getBlockByNumber", name, False)
    if answer is None:
        return None
    found = _header(answer)
    if isinstance(place, int) and found.number != place:
        raise NodeError(f"the node gives block {found.number} where it is asked for block {place}")
    return found


def _header(answer: Any) -> Header:
    """A block as the node gives it.

    Raises:
        BatchError: it is none, or has another hash than it says.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("hash"), str):
        raise NodeError("eth_getBlockByNumber gives no block with a hash")
    encode_header(answer, "header")
    texts = (answer[name].lower() for name in ("hash", "parentHash", "stateRoot"))
    numbers = [parse_quantity(answer[name]) for name in ("number", "timestamp", "gasUsed")]
    if any(number >= 1 << 62 for number in numbers):
        raise NodeError("eth_getBlockByNumber gives a block with numbers beyond what can be stored")
    block_hash, parent_hash, state_root = texts
    return Header(numbers[0], block_hash, parent_hash, state_root, numbers[1], numbers[2])


def _chain_id(node: Caller) -> int:
    try:
        return parse_quantity(node.call("eth_chainId"))
    except (TypeError, ValueError):
        raise NodeError("eth_chainId is no quantity") from None


def _note(place: PlaceRow, problem: str | None) -> None:
    place.problem = problem


def _set_head(place: PlaceRow, head: int) -> None:
    place.head = head


def _drop_blocks(session: Session, first: int) -> list[str]:
    """Forget blocks from a number on; returns their folders."""
    where = (FollowedBlockRow.chain == PLACE, FollowedBlockRow.number >= first)
    folders = list(session.scalars(select(FollowedBlockRow.folder).where(*where)))
    session.execute(delete(FollowedBlockRow).where(*where))
    return folders


def _artifact(block: FollowedBlockRow) -> Artifact:
    return Artifact(Kind.BATCH, block.path, block.digest, block.bytes)


def _without_password(url: str) -> str:
    """An address without what is secret in it: its user, and everything after its host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def release(database: Database, owner: str) -> None:
    """Give up the place of a process that follows no more, so that another one need not wait for its lease to end.

    Raises:
        DatabaseAway.
    """

    def work(session: Session, again: bool) -> None:
        held = (PlaceRow.chain == PLACE, PlaceRow.owner == owner)
        session.execute(update(PlaceRow).where(*held).values(owner=None, lease=None))

    database.write(work)


class FollowerProcess:
    """Follows in a process of its own, which dies with this one, and is started again when it dies by itself.

    Args:
        settings: `follow` is set.

    Attributes:
        pid: of the process, once it was started.
    """

    pid: int | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._owner = uuid.uuid4().hex
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; the place is anybody's at once."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # The thread that starts it has to live as long as it does: it dies with that (`PR_SET_PDEATHSIG`).
            process = self._started()
            self.pid = process.pid
            while process.poll() is None and not self._stopping.wait(_LOOK):
                pass
            if process.poll() is not None:
                logger.error("the process that follows ended with status %d", process.returncode)
                self._stopping.wait(_MAX_WAIT / 10)
            elif process.stdin is not None:
                process.stdin.close()  # which is the word to stop
            try:
                process.wait(self._settings.stop_seconds + _LOOK)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                database = Database(self._settings.database_url)
                with suppress(DatabaseAway):
                    release(database, self._owner)
                database.close()

    def _started(self) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ZKEVM_")}
        command = [sys.executable, "-m", "service.follow", str(os.getpid())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=kept, start_new_session=True)
        settings = self._settings.model_dump(mode="json") | {"database": self._settings.database_url}
        told = {"owner": self._owner, "settings": settings}
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            # Told and not left in the environment: there may be passwords among them.
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.flush()
        return process


def main(parent: int) -> None:
    """Follow until the input ends; its first line has the settings, and whose lease it is.

    Args:
        parent: process that this one dies with.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    told = json.loads(sys.stdin.readline())
    settings = Settings(**told["settings"])
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=listen, name="input", daemon=True).start()
    database = Database(settings.database_url)
    artifacts = Artifacts(settings.artifacts_url, settings.artifacts_options)
    queue = Queue(database, max_tries=settings.max_tries, max_queued=settings.max_queued)
    Follower(settings, queue, artifacts, owner=told["owner"]).run(stop)
    database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
