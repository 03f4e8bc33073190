"""Takes jobs from the queue and has them proved, as many at once as places, memory and fairness allow.

One thread does all of this, and runners (`service.runner`) do the work. Whatever goes wrong, the job is in the
database and its finished segments are in the store: a runner that dies is replaced, a database that is away is waited
for while proving goes on, and when this process dies its jobs are taken over by others, or by itself when it starts
again.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from service.artifacts import PROBE, Artifacts
from service.database import DatabaseAway, ProcessRow, now
from service.fairness import CELLS_PER_SECOND, SECONDS_PER_NODE, Waiting, expected_of_plan, grants, work_of
from service.models import Check, Code, Problem, SegmentState
from service.processes import Runner, Scratch, host, space, sweep
from service.queue import Artifact, Change, LeaseLost, PlannedSegment, Queue, Result, Taken, UnknownJob
from service.reaper import is_alive, start_ticks
from service.settings import Settings
from service.states import Stage

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: Seconds between stores of news that can wait, between looks for jobs of dead processes, looks at a store or a disk
#: that did not take what it was given, samples of the queue, and removals of what is old.
_NEWS_SECONDS = 1.0
_RECOVER_SECONDS = 5.0
_PROBE_SECONDS = 5.0
_SAMPLE_SECONDS = 60.0
_FORGET_SECONDS = 3600.0

#: Seconds that a submission may take between its batch and its job being stored.
_SUBMISSION_SECONDS = 3600.0

#: A runner that has more memory than this after a job is not kept.
_MAX_IDLE_BYTES = 1 << 30

#: Parts of a job's progress at the beginning and the end of each stage.
_PROGRESS = {
    Stage.FETCH: (0.0, 0.03),
    Stage.EXECUTE: (0.03, 0.06),
    Stage.PLAN: (0.06, 0.1),
    Stage.PROVE: (0.1, 0.94),
    Stage.VERIFY: (0.94, 0.98),
    Stage.STORE: (0.98, 1.0),
}

#: The same of one that gets one proof of all its segments.
_PROGRESS_OF_ONE_PROOF = _PROGRESS | {
    Stage.PROVE: (0.1, 0.3),
    Stage.VERIFY: (0.3, 0.32),
    Stage.AGGREGATE: (0.32, 0.98),
}

#: Seconds that verifying and storing are expected to take, and verifying a segment.
_END_SECONDS = 2.0
_END_SECONDS_PER_SEGMENT = 0.05


@dataclass
class _Work:
    """A job in hand.

    Attributes:
        news: not yet stored.
        planned: by index; `left` of them are not proved, `running` since when.
        nodes: of the tree of one proof that are not proved, the next one since `node_began`; each takes `node_memory`.
        memory: bytes that it has been given.
        waits: since when it waits for memory; None before and after.
        outcome: how it ended, until that is stored.
    """

    taken: Taken
    runner: Runner
    began: float
    news: list[Change] = field(default_factory=list)
    told: float = 0.0
    urgent: bool = False
    stage: Stage | None = None
    stage_began: float = 0.0
    planned: dict[int, PlannedSegment] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    running: dict[int, float] = field(default_factory=dict)
    nodes: int = 0
    node_began: float = 0.0
    node_memory: int = 0
    parallel: int = 1
    expected: float = 0.0
    memory: int = 0
    waits: float | None = None
    outcome: Callable[[], None] | None = None

    @property
    def job(self) -> str:
        """Its id."""
        return self.taken.lease.job

    def part_of(self, stage: Stage) -> tuple[float, float]:
        """Its progress at the beginning and the end of a stage."""
        return (_PROGRESS_OF_ONE_PROOF if self.node_memory else _PROGRESS)[stage]


class Supervisor:
    """Proves the jobs of a queue.

    Args:
        settings: of this process.
        queue, artifacts: shared with others.

    Attributes:
        is_full: a disk or the store does not take what it is given: no jobs are taken until it does.
    """

    def __init__(self, settings: Settings, queue: Queue, artifacts: Artifacts) -> None:
        self._settings = settings
        self._queue = queue
        self._artifacts = artifacts
        self._works: dict[str, _Work] = {}
        self._idle: list[Runner] = []
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._scratch: Scratch | None = None
        self._process: ProcessRow | None = None
        self._tidying = ThreadPoolExecutor(1, thread_name_prefix="tidying")
        self._due: dict[str, float] = {}
        self._rate: float | None = None
        self._is_away = False
        self.is_full = False
        self._probe: Future[None] | None = None

    # -- for whoever has it

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something may have changed: look at the queue now."""
        # Somebody who has been woken up often enough takes no more.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def stop(self) -> None:
        """Take no more jobs, give those in hand up, and end all processes. Finished segments are kept, and the jobs go
        on when somebody takes them again."""
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_working(self) -> bool:
        """Whether its thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    # -- the thread

    def _run(self) -> None:
        try:
            self._begin()
            while not self._stopping.is_set():
                try:
                    self._step()
                except Exception:
                    # Nothing that happens to one job may end the work on all.
                    log.exception("the supervisor goes on")
                    self._stopping.wait(1.0)
            self._end()
        finally:
            self._close()

    def _begin(self) -> None:
        for name in sweep():
            log.info("cleared away what a killed service process left", scratch=name)
        while self._scratch is None:
            try:
                self._scratch = Scratch()
            except OSError as error:
                log.error("no folder for what is temporary can be made", reason=str(error))
                if self._stopping.wait(_PROBE_SECONDS):
                    return
        scratch = self._scratch
        self._process = ProcessRow(
            id=scratch.folder.name.rpartition("-")[2],
            host=host(),
            space=space(),
            pid=os.getpid(),
            ticks=start_ticks(os.getpid()) or 0,
            started=now(),
            seen=now(),
            memory=self._settings.memory_bytes,
            threads=os.cpu_count() or 1,
        )
        while not self._stopping.is_set() and not self._try(lambda: self._queue.register(self._registered())):
            self._stopping.wait(1.0)
        if self._settings.warm:
            # It loads what it needs until the first job comes.
            with contextlib.suppress(OSError):
                self._idle.append(Runner(scratch))

    def _registered(self) -> ProcessRow:
        """A new row: sessions keep those that they are given."""
        assert self._process is not None
        return ProcessRow(**{column.key: getattr(self._process, column.key) for column in ProcessRow.__table__.columns})

    def _step(self) -> None:
        self._wait(self._settings.poll_seconds)
        for work in list(self._works.values()):
            self._hear(work)
        self._look()
        for work in list(self._works.values()):
            self._tell(work)
        self._grant()

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fd == self._wake_read:
                os.read(self._wake_read, 1 << 16)
                self._due.pop("look", None)

    def _is_due(self, what: str, seconds: float) -> bool:
        """Whether it is time to do this again, after so many seconds."""
        moment = time.monotonic()
        if moment < self._due.get(what, 0.0):
            return False
        self._due[what] = moment + seconds
        return True

    def _try(self, act: Callable[[], object]) -> bool:
        """Do something with the database, and say whether it was there."""
        try:
            act()
        except DatabaseAway as error:
            if not self._is_away:
                log.warning("the database is away; what is in work goes on", reason=str(error))
            self._is_away = True
            return False
        if self._is_away:
            log.info("the database is back")
        self._is_away = False
        return True

    # -- jobs

    def _look(self) -> None:
        """All that is done from time to time."""
        settings, queue = self._settings, self._queue
        leases = [work.taken.lease for work in self._works.values()]
        lost: set[str] = set()
        is_time = self._is_due("recover", min(_RECOVER_SECONDS, settings.lease_seconds / 2))
        if self._is_due("renew", settings.lease_seconds / 4) or (is_time and leases):
            # Also before leases that have run out are looked for: if the clock was set, or the machine has slept, those
            # of this process have as well.
            process = self._process
            assert process is not None
            self._try(lambda: lost.update(queue.renew(process.id, leases, settings.lease_seconds)))
        if self._is_due("look", settings.poll_seconds):
            self._try(lambda: lost.update(queue.lost(leases)))
            self._drop(lost)
            self._check_times()
            if self._has_room():
                self._try(self._take)
            self._drop_idle()
        else:
            self._drop(lost)
        if is_time:
            self._try(self._recover)
        if self._is_due("sample", _SAMPLE_SECONDS):
            self._try(queue.sample)
        if self._is_due("rate", _SAMPLE_SECONDS / 2):
            self._try(self._measure)
        if self._is_due("forget", _FORGET_SECONDS):
            self._try(lambda: queue.forget(settings.keep_days))
            self._tidying.submit(self._sweep)

    def _recover(self) -> None:
        own = self._process
        assert own is not None
        dead = [
            each.id
            for each in self._queue.processes()
            if each.id != own.id and each.space == own.space and not is_alive(each.pid, each.ticks)
        ]
        for job in self._queue.recover(dead):
            log.warning("its process is gone", job=job)
        for job in self._queue.expire():
            log.warning("its deadline passed", job=job)

    def _measure(self) -> None:
        self._rate = self._queue.rate()

    def _is_large(self, expected: float) -> bool:
        return expected > self._settings.small_seconds

    def _large(self, but: str | None = None) -> bool:
        """Whether as many large jobs are in hand as may be."""
        places = self._settings.jobs
        large = sum(self._is_large(work.expected) for work in self._works.values() if work.job != but)
        return places > 1 and large >= places - 1

    def _take(self) -> None:
        process = self._process
        assert process is not None
        while len(self._works) < self._settings.jobs and not self._stopping.is_set():
            most = self._settings.small_seconds if self._large() else None
            taken = self._queue.take(process.id, self._settings.lease_seconds, most_expected=most)
            if taken is None:
                return
            assert self._scratch is not None
            try:
                runner = self._idle.pop() if self._idle else Runner(self._scratch)
            except OSError as error:
                self._queue.interrupt(taken.lease, None)
                self._doubt(str(error))
                return
            self._start(taken, runner)

    def _doubt(self, reason: str) -> None:
        """Let jobs wait in the queue until the disks and the store can be used, instead of trying them in vain."""
        log.error("a disk or the store cannot be used; no jobs are taken until it can", reason=reason)
        self.is_full = True
        self._is_due("probe", _PROBE_SECONDS)

    def _has_room(self) -> bool:
        """Whether the store and the disks are not known to be full or away; looks from time to time."""
        if not self.is_full:
            return True
        if self._probe is not None and self._probe.done():
            failure, self._probe = self._probe.exception(), None
            if failure is None:
                log.info("the disks and the store can be used again")
                self.is_full = False
        elif self._probe is None and self._is_due("probe", _PROBE_SECONDS):
            # A store elsewhere may take long to answer.
            self._probe = self._tidying.submit(self._try_out)
        return not self.is_full

    def _try_out(self) -> None:
        """Raises OSError if what is temporary, or what is to last, cannot be written."""
        assert self._scratch is not None
        own = self._scratch.folder / "probe"
        try:
            own.write_bytes(PROBE)
        finally:
            own.unlink(missing_ok=True)
        self._artifacts.probe()

    def _start(self, taken: Taken, runner: Runner) -> None:
        settings = self._settings
        moment = time.monotonic()
        work = _Work(taken, runner, moment, expected=taken.expected, stage_began=moment)
        self._works[work.job] = work
        self._selector.register(runner.output, selectors.EVENT_READ)
        log.info("taken", job=work.job, tries=taken.job.tries, runner=runner.pid)
        runner.send(
            {
                "command": "prove",
                "job": work.job,
                "folder": runner.folder,
                "artifacts": settings.artifacts_url,
                "artifacts_options": settings.artifacts_options,
                "batch": None if taken.batch is None else vars(taken.batch),
                "source": None if taken.job.source is None else taken.job.source.model_dump(mode="json", by_alias=True),
                "budget": settings.budget(taken.job.options),
                "one_proof": settings.has_one_proof(taken.job.options),
                "memory": None if settings.ray_address else settings.memory_bytes,
            }
        )

    def _drop(self, jobs: set[str]) -> None:
        """Stop work on jobs that are no longer ours."""
        for job in jobs & self._works.keys():
            work = self._works[job]
            if work.outcome is None:
                log.info("taken away", job=job)
                self._forget(work, keep=False)

    def _check_times(self) -> None:
        settings = self._settings
        moment = time.monotonic()
        for work in list(self._works.values()):
            if work.outcome is not None:
                continue
            late = ""
            if work.stage == Stage.FETCH and moment - work.stage_began > settings.fetch_seconds:
                late = f"its blocks were not fetched within {settings.fetch_seconds:g} seconds"
            elif moment - work.began > settings.job_seconds:
                late = f"it was not proved within {settings.job_seconds:g} seconds"
            if late:
                problem = Problem(title="Took too long", status=504, code=Code.TIMEOUT, detail=late)
                work.runner.kill_group()
                self._fail(work, problem, False)

    def _drop_idle(self) -> None:
        for runner in list(self._idle):
            runner.messages()
            if runner.has_ended or time.monotonic() - runner.since > self._settings.warm:
                self._idle.remove(runner)
                runner.kill()

    def _forget(self, work: _Work, keep: bool) -> None:
        """It is not in hand any more."""
        self._works.pop(work.job, None)
        self._ignore(work.runner)
        if keep and self._settings.warm and not work.runner.has_ended and work.runner.resident() < _MAX_IDLE_BYTES:
            work.runner.since = time.monotonic()
            self._idle.append(work.runner)
        else:
            work.runner.kill()
        self._due.pop("look", None)

    def _ignore(self, runner: Runner) -> None:
        """It has nothing more to say."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(runner.output)

    # -- what runners say

    def _hear(self, work: _Work) -> None:
        self._read(work)
        if work.runner.has_ended:
            self._ignore(work.runner)
        if work.runner.has_ended and work.outcome is None:
            self._fail(work, work.runner.death(), False)

    def _read(self, work: _Work) -> None:
        for message in work.runner.messages():
            if work.outcome is None:
                self._note(work, message)

    def _note(self, work: _Work, message: Mapping[str, Any]) -> None:
        kind = message["kind"]
        moment = time.monotonic()
        if kind == "stage":
            work.stage, work.stage_began, work.node_began = Stage(message["stage"]), moment, moment
            begin, _ = work.part_of(work.stage)
            self._news(
                work,
                Change(
                    stage=work.stage,
                    stage_done=message.get("done", 0),
                    stage_total=message.get("total", 0),
                    stage_seconds=message["stage_seconds"],
                    progress=begin,
                    remaining=self._remaining(work),
                ),
            )
        elif kind == "progress":
            self._progress(work, message["done"], message["total"])
        elif kind == "stored":
            self._news(work, Change(artifact=Artifact(**message["artifact"])))
        elif kind == "planned":
            self._planned(work, message)
        elif kind == "segment":
            self._segment(work, message)
        elif kind == "check":
            check = Check.model_validate(message["check"])
            self._news(work, Change(check=(message["position"], check)))
            self._progress(work, message["position"] + 1, message["total"])
        elif kind == "left":
            work.outcome = lambda: self._interrupt(work, None)
        elif kind == "failed":
            problem = Problem.model_validate(message["problem"])
            if message["outside"]:
                self._doubt(problem.detail)
            self._fail(work, problem, message["final"], message["outside"])
        elif kind == "done":
            result = Result(
                statement=message["statement"],
                statement_digest=message["statement_digest"],
                proof_bytes=message["proof_bytes"],
                artifacts=[Artifact(**each) for each in message["artifacts"]],
                stage_seconds=message["stage_seconds"],
            )
            work.outcome = lambda: self._finish(work, result)

    def _news(self, work: _Work, change: Change) -> None:
        work.news.append(change)
        work.urgent = True

    def _progress(self, work: _Work, done: int, total: int) -> None:
        """Only the last of these matters."""
        if work.news and work.news[-1].stage is None and work.news[-1].stage_done is not None:
            work.news.pop()
        begin, end = work.part_of(work.stage or Stage.EXECUTE)
        if work.stage == Stage.AGGREGATE:
            work.nodes, work.node_began = total - done, time.monotonic()
        fraction = done / total if total else 0.0
        work.news.append(
            Change(
                stage_done=done,
                stage_total=total,
                progress=begin + (end - begin) * fraction,
                remaining=self._remaining(work),
            )
        )

    def _planned(self, work: _Work, message: Mapping[str, Any]) -> None:
        work.planned = {each["index"]: PlannedSegment(**each) for each in message["segments"]}
        work.left = set(work.planned)
        parts = work.planned.values()
        size = work_of(sum(part.cells for part in parts), sum(part.interactions for part in parts))
        work.nodes, work.node_memory = message["nodes"], message["node_memory"]
        work.expected = expected_of_plan(size, self._rate) + SECONDS_PER_NODE * work.nodes
        self._news(
            work,
            Change(
                facts=message["facts"],
                planned=list(parts),
                expected=work.expected,
                remaining=self._remaining(work),
            ),
        )
        if self._is_large(work.expected) and self._large(but=work.job) and not self._is_large(work.taken.expected):
            log.info("larger than expected: it waits until a place for large ones is free", job=work.job)
            work.runner.send({"command": "leave"})
        else:
            work.waits = time.monotonic()

    def _segment(self, work: _Work, message: Mapping[str, Any]) -> None:
        index, state = message["index"], SegmentState(message["state"])
        if state == SegmentState.PROVING:
            work.running[index] = time.monotonic()
            self._news(work, Change(segment=(index, {"state": state, "reused": False, "worker": message["worker"]})))
            return
        work.running.pop(index, None)
        work.left.discard(index)
        names = ("reused", "proof_bytes", "seconds")
        values = {name: message[name] for name in names if name in message}
        parts = work.planned
        whole = sum(work_of(part.cells, part.interactions) for part in parts.values())
        left = sum(work_of(parts[index].cells, parts[index].interactions) for index in work.left)
        begin, end = work.part_of(Stage.PROVE)
        self._news(
            work,
            Change(
                segment=(index, {"state": state, **values}),
                stage_done=len(parts) - len(work.left),
                stage_total=len(parts),
                progress=begin + (end - begin) * (1 - left / whole if whole else 1.0),
                remaining=self._remaining(work),
            ),
        )

    def _remaining(self, work: _Work) -> float:
        """Seconds that it is expected to take from now on."""
        if not work.planned:
            return max(1.0, work.expected - (time.monotonic() - work.began))
        rate = self._rate or CELLS_PER_SECOND
        moment = time.monotonic()
        end = _END_SECONDS + _END_SECONDS_PER_SEGMENT * len(work.planned)
        if work.stage == Stage.AGGREGATE:
            done = min(moment - work.node_began, 0.95 * SECONDS_PER_NODE)
            return SECONDS_PER_NODE * work.nodes - done + end
        if work.stage == Stage.STORE or (work.stage == Stage.VERIFY and not work.nodes):
            return max(0.5, end / (1 if work.stage == Stage.VERIFY else 2) - (moment - work.stage_began))
        left = 0.0
        for index in work.left:
            size = work_of(work.planned[index].cells, work.planned[index].interactions) / rate
            done = moment - work.running[index] if index in work.running else 0.0
            left += max(size - done, 0.05 * size)
        return left / work.parallel + SECONDS_PER_NODE * work.nodes + end

    # -- what the database is told

    def _tell(self, work: _Work) -> None:
        moment = time.monotonic()
        if work.stage == Stage.PROVE and not work.news and work.outcome is None:
            if moment - work.told < 2 * _NEWS_SECONDS:
                return
            work.news.append(Change(remaining=self._remaining(work)))
        elif not (work.outcome or (work.news and (work.urgent or moment - work.told >= _NEWS_SECONDS))):
            return

        def tell() -> None:
            if work.news:
                self._queue.report(work.taken.lease, work.news)
                work.news, work.urgent, work.told = [], False, moment
            if work.outcome is not None:
                work.outcome()

        try:
            self._try(tell)
        except (LeaseLost, UnknownJob):
            log.info("taken away", job=work.job)
            self._forget(work, keep=work.outcome is not None)

    def _fail(self, work: _Work, problem: Problem, final: bool, is_loss: bool = False) -> None:
        log.warning("failed", job=work.job, code=problem.code, detail=problem.detail, final=final)
        if final:
            work.outcome = lambda: self._refuse(work, problem)
        else:
            work.outcome = lambda: self._interrupt(work, problem, is_loss)

    def _finish(self, work: _Work, result: Result) -> None:
        self._queue.finish(work.taken.lease, result)
        log.info("done", job=work.job, seconds=time.monotonic() - work.began)
        self._forget(work, keep=True)
        self._tidying.submit(self._tidy, work.job)

    def _refuse(self, work: _Work, problem: Problem) -> None:
        self._queue.refuse(work.taken.lease, problem)
        self._forget(work, keep=True)

    def _interrupt(self, work: _Work, problem: Problem | None, is_loss: bool = False) -> None:
        state = self._queue.interrupt(work.taken.lease, problem, is_loss=is_loss)
        log.info("interrupted", job=work.job, state=state)
        # A runner in which something unexpected went wrong is not trusted with another job.
        self._forget(work, keep=problem is None)

    # -- memory

    def _grant(self) -> None:
        waiting = [
            Waiting(work.job, work.taken.rank, self._needs(work), work.waits)
            for work in self._works.values()
            if work.waits is not None and work.outcome is None
        ]
        if not waiting:
            return
        used = sum(work.memory for work in self._works.values())
        for job in grants(waiting, self._settings.memory_bytes - used, used == 0, time.monotonic()):
            work = self._works[job]
            self._go(work, self._settings.memory_bytes - used)
            used += work.memory

    def _needs(self, work: _Work) -> int:
        """Bytes of memory without which it cannot begin."""
        return max(self._needs_of_segment(work), self._needs_of_node(work))

    def _needs_of_segment(self, work: _Work) -> int:
        if self._settings.ray_address:
            return 0
        return max((part.memory for part in work.planned.values()), default=0)

    def _needs_of_node(self, work: _Work) -> int:
        """Of a tree, of which one is proved at a time."""
        return 0 if self._settings.ray_address else work.node_memory

    def _go(self, work: _Work, free: int) -> None:
        settings, needs = self._settings, self._needs_of_segment(work)
        is_alone = len(self._works) == 1
        workers = settings.workers_alone if is_alone else settings.workers_each
        if needs:
            workers = max(1, min(workers, free // needs))
        threads = max(1, (os.cpu_count() or 1) // (workers if is_alone else workers * settings.jobs))
        work.parallel = max(1, min(workers, len(work.planned)))
        # A job with fewer segments than workers has no use for more memory.
        work.memory, work.waits = max(needs * work.parallel, self._needs_of_node(work)), None
        on_cluster = settings.ray_address is not None
        work.runner.send(
            {
                "command": "go",
                "workers": settings.workers if on_cluster else workers,
                "threads": None if on_cluster else threads,
                "address": settings.ray_address,
            }
        )

    # -- files

    def _tidy(self, job: str) -> None:
        try:
            self._artifacts.clean(job, self._queue.artifacts(job))
            self._queue.tidied(job)
        except (DatabaseAway, OSError) as error:
            log.warning("files are left for later", job=job, reason=str(error))

    def _sweep(self) -> None:
        try:
            for job in self._queue.untidy(self._settings.keep_days):
                self._tidy(job)
            self._artifacts.sweep(self._queue.jobs_in_store, _SUBMISSION_SECONDS)
        except (DatabaseAway, OSError) as error:
            log.warning("files are left for later", reason=str(error))

    # -- the end

    def _end(self) -> None:
        """Let what is nearly done come to its end, and give up the rest."""
        end = time.monotonic() + self._settings.stop_seconds
        while time.monotonic() < end and any(
            work.stage in (Stage.VERIFY, Stage.STORE) or work.outcome for work in self._works.values()
        ):
            self._wait(0.05)
            for work in list(self._works.values()):
                self._hear(work)
                self._tell(work)
        for work in list(self._works.values()):
            work.runner.kill_group()
            self._read(work)  # that it ends now is no failure

            def give_up(work: _Work = work) -> None:
                if work.news:
                    self._queue.report(work.taken.lease, work.news)
                self._queue.interrupt(work.taken.lease, None)

            with contextlib.suppress(LeaseLost, UnknownJob):
                self._try(give_up)
            log.info("put down", job=work.job)
            self._forget(work, keep=False)
        process = self._process
        if process is not None:
            self._try(lambda: self._queue.deregister(process.id))

    def _close(self) -> None:
        for work in list(self._works.values()):
            self._forget(work, keep=False)
        for runner in self._idle:
            runner.kill()
        self._idle.clear()
        self._tidying.shutdown(wait=True, cancel_futures=True)
        if self._scratch is not None:
            self._scratch.close()
        self._selector.close()
        os.close(self._wake_read)
