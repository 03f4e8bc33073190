"""Jobs that are proved: what becomes of them, and of what goes wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import select

from circuits.statement import Form
from prover.tree import LEAF_BYTES, plan_tree
from service.artifacts import Artifacts, Kind, StoreAway
from service.database import Database, SegmentRow, now
from service.estimating import estimate
from service.fairness import SECONDS_PER_NODE
from service.models import Code, Costs, JobDetail, Options, SegmentState, Source
from service.processes import Scratch, sweep
from service.queue import NewJob, Queue
from service.refusals import is_final, is_outside, problem_of
from service.settings import Settings
from service.states import SETTLED, Stage, State
from service.supervisor import Supervisor
from tests.service.conftest import transfers
from tests.service.kills import Watch, submit, wait_until
from verifier.container import decode_proof
from verifier.verify import CHECKS, verify

#: Proving takes a second where nobody else works, and much more where many do.
PATIENCE = 300.0


class Place:
    """A supervisor with all that it needs."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.settings = Settings(data=folder, poll_seconds=0.05, **settings)  # type: ignore[arg-type]
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.queue = Queue(self.database, max_tries=self.settings.max_tries)
        self.artifacts = Artifacts(self.settings.artifacts_url)
        self.supervisor = Supervisor(self.settings, self.queue, self.artifacts)

    def submit(self, content: bytes, operations: int = 2, *, one_proof: bool | None = None) -> str:
        return submit(self.queue, self.artifacts, content, "batch", operations, one_proof=one_proof)

    def wait(self, job: str, holds: Callable[[JobDetail], bool]) -> JobDetail:
        wait_until(lambda: holds(self.queue.get(job)), PATIENCE)
        return self.queue.get(job)

    def settled(self, job: str) -> JobDetail:
        return self.wait(job, lambda found: found.state in SETTLED)

    def restart(self) -> None:
        self.supervisor.stop()
        self.supervisor = Supervisor(self.settings, self.queue, self.artifacts)
        self.supervisor.start()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests: its processes are warm."""
    found = Place(tmp_path_factory.mktemp("service"), max_tries=2)
    found.supervisor.start()
    yield found
    found.supervisor.stop()
    assert not found.supervisor.is_working
    found.database.close()


def test_a_batch_is_proved_and_all_about_it_is_kept(place: Place) -> None:
    job = place.submit(transfers(3))
    done = place.settled(job)
    assert done.state == State.DONE, done.problem
    stored = {kind: place.queue.artifact(job, kind) for kind in Kind}
    assert None not in stored.values()
    files = {kind: place.artifacts.get(each) for kind, each in stored.items() if each is not None}
    report = verify(files[Kind.PROOF])
    assert done.statement == json.loads(files[Kind.STATEMENT]) == report.statement.to_dict()
    assert done.statement_digest == f"0x{report.statement.digest.hex()}"
    assert done.proof_bytes == len(files[Kind.PROOF])
    assert (done.blocks, done.transactions, done.progress) == (1, 3, 1.0)
    assert done.gas_used == report.statement.gas_used
    # Each check of the verifier, in its order, as it passed.
    assert [(check.name, check.establishes) for check in done.checks] == [(c.name, c.establishes) for c in CHECKS]
    assert {Stage.EXECUTE, Stage.PLAN, Stage.PROVE, Stage.VERIFY, Stage.STORE} <= done.stage_seconds.keys()
    assert len(done.segments) == done.segments_total == done.segments_done >= 2
    assert all(segment.state == SegmentState.PROVED and segment.seconds for segment in done.segments)
    costs = Costs.model_validate_json(files[Kind.COSTS])
    assert sum(table.cells for table in costs.tables) == done.cells
    assert sum(table.interactions for table in costs.tables) == done.interactions
    assert [(each.block, each.transaction) for each in costs.transactions] == [(0, 0), (0, 1), (0, 2)]
    assert files[Kind.PLOT].lstrip().startswith(b"<?xml")
    assert json.loads(files[Kind.REPORT])["security_bits"] == report.security_bits
    wait_until(lambda: not place.queue.untidy(30), PATIENCE)
    assert {path.name for path in (place.settings.data / "artifacts" / job).iterdir()} == {
        each.path.rpartition("/")[2] for each in stored.values() if each is not None
    }
    kinds = [event.kind for event in place.queue.events(job=job, limit=10_000)]
    assert kinds.count("check") == len(CHECKS)
    progress = [event.data["progress"] for event in place.queue.events(job=job) if "progress" in event.data]
    assert progress == sorted(progress)


def test_what_cannot_be_proved_is_said_and_not_tried_again(place: Place) -> None:
    invalid = json.loads(transfers(2))
    invalid["blocks"][0]["transactions"] *= 2
    unsupported = json.loads(transfers(1)) | {"chainId": 1 << 70}
    for content, code in (
        (b"{}", Code.MALFORMED),
        (json.dumps(invalid).encode(), Code.INVALID),
        (json.dumps(unsupported).encode(), None),
    ):
        failed = place.settled(place.submit(content))
        assert failed.state == State.FAILED
        assert failed.tries == 1
        assert failed.problem is not None
        if code is not None:
            assert failed.problem.code == code
        if code == Code.INVALID:
            assert failed.problem.place is not None
            assert (failed.problem.place.block, failed.problem.place.transaction) == (0, 2)


def test_a_segment_that_does_not_fit_is_too_large(place: Place) -> None:
    new = NewJob(content="0" * 64, options=Options(segment_memory=1))
    batch = place.artifacts.put(new.id, Kind.BATCH, transfers(1))
    job = place.queue.submit(NewJob(**{**vars(new), "batch": batch}))[0].id
    failed = place.settled(job)
    assert failed.problem is not None
    assert failed.problem.code == Code.TOO_LARGE
    assert "--segment-memory" in failed.problem.hint


@pytest.mark.deep
def test_a_node_that_is_away_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(rpc="http://127.0.0.1:1", first=1, last=1)
    job = place.queue.submit(NewJob(content="0" * 64, source=source))[0].id
    failed = place.settled(job)
    assert failed.state == State.FAILED
    assert failed.tries == 2
    assert failed.problem is not None
    assert failed.problem.code == Code.UNREACHABLE
    assert "tried 2 times" in failed.problem.detail


@pytest.mark.deep
def test_a_cancelled_job_is_stopped(place: Place) -> None:
    job = place.submit(transfers(8), 1)
    place.wait(job, lambda found: found.stage == Stage.PROVE)
    place.queue.cancel(job)
    wait_until(lambda: job not in place.supervisor._works, 20)
    time.sleep(0.5)
    left = place.queue.get(job)
    assert left.state == State.CANCELLED
    assert all(segment.state != SegmentState.PROVING for segment in left.segments)
    proved = left.segments_done
    place.queue.retry(job)
    done = place.settled(job)
    assert done.state == State.DONE
    assert sum(segment.reused for segment in done.segments) >= proved


@pytest.mark.deep
def test_a_stopped_service_goes_on_where_it_was(place: Place) -> None:
    with Watch(place.settings.data / "artifacts") as watch:
        job = place.submit(transfers(4, 5), 1)
        place.wait(job, lambda found: found.segments_done >= 1)
        with structlog.testing.capture_logs() as logged:
            place.restart()
        done = place.settled(job)
    told = [line["event"] for line in logged if line.get("job") == job]
    assert "put down" in told
    assert "failed" not in told, "nor that its process was killed a failure"
    assert done.state == State.DONE
    assert done.tries == 1, "that it was stopped is no try"
    assert any(segment.reused for segment in done.segments)
    assert not watch.again
    rows = place.database.read(lambda s: list(s.scalars(select(SegmentRow).where(SegmentRow.job == job))))
    assert [row.proved for row in rows] == [1] * len(rows)


@pytest.mark.deep
def test_a_job_that_kills_its_process_is_given_up(place: Place) -> None:
    job = place.submit(transfers(2, 7))
    for _ in range(2):
        wait_until(lambda: job in place.supervisor._works, PATIENCE)
        os.kill(place.supervisor._works[job].runner.pid, signal.SIGKILL)
        wait_until(lambda: job not in place.supervisor._works, PATIENCE)
    failed = place.settled(job)
    assert failed.state == State.FAILED
    assert failed.problem is not None
    assert "was killed by signal 9" in failed.problem.detail
    assert place.queue.retry(job).state == State.QUEUED
    assert place.settled(job).state == State.DONE


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Place]:
    """One that has not been started, whose jobs have a single try and are taken one after the other."""
    found = Place(tmp_path, max_tries=1, jobs=1, warm=0)
    yield found
    found.supervisor.stop()
    found.database.close()


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/a/path")


@pytest.mark.deep
def test_a_full_disk_is_waited_for(idle: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.supervisor._PROBE_SECONDS", 0.2)
    first, second = (idle.submit(transfers(1, later)) for later in range(2))
    # Its segments have no place; and neither has what is tried afterwards.
    hindrance = idle.settings.data / "artifacts" / first / "segments"
    hindrance.write_text("a file")
    with monkeypatch.context() as patch:
        patch.setattr(idle.artifacts, "probe", full)
        idle.supervisor.start()
        waits = idle.wait(first, lambda found: found.problem is not None)
        time.sleep(2.0)
        assert (waits.state, idle.queue.get(second).tries) == (State.QUEUED, 0)
        assert idle.queue.get(first).tries == 1
        assert waits.problem is not None
        assert waits.problem.code == Code.UNAVAILABLE
        hindrance.unlink()
    for job in (first, second):
        assert idle.settled(job).state == State.DONE


def test_jobs_for_which_no_process_can_be_started_wait(idle: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.supervisor._PROBE_SECONDS", 0.1)
    monkeypatch.setattr("service.supervisor.Runner", full)
    jobs = [idle.submit(transfers(1, later)) for later in range(2)]
    last = idle.queue.last_event()
    idle.supervisor.start()
    wait_until(lambda: idle.queue.last_event() >= last + 4, PATIENCE)  # it was taken and given back twice
    for job in jobs:
        found = idle.queue.get(job)
        assert found.state in (State.QUEUED, State.RUNNING)
        assert (found.problem, found.tries) in ((None, 0), (None, 1))
    assert idle.supervisor.is_working


def test_a_service_waits_for_a_folder_of_its_own(idle: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.supervisor._PROBE_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("service.supervisor.Scratch", full)
        idle.supervisor.start()
        time.sleep(0.5)
        assert idle.supervisor.is_working
        assert not idle.queue.processes()
    wait_until(lambda: bool(idle.queue.processes()), PATIENCE)


@pytest.mark.deep
def test_a_clock_that_is_set_takes_no_job_from_whoever_has_it(idle: Place) -> None:
    """Forwards by hours, again and again; back by days in the end."""
    offset = timedelta()
    idle.queue._clock = lambda: now() + offset
    job = idle.submit(transfers(8), 1)
    idle.supervisor.start()
    idle.wait(job, lambda found: found.stage == Stage.PROVE)
    jumps = 0
    while idle.queue.get(job).state not in SETTLED and jumps < 20:
        offset += timedelta(hours=1)
        jumps += 1
        time.sleep(1.0)
    offset = timedelta(days=-2)
    done = idle.settled(job)
    assert (done.state, done.tries) == (State.DONE, 1)


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/path"), Code.UNAVAILABLE, "No space left on device"),
        (StoreAway("the store cannot be used"), Code.UNAVAILABLE, "the store cannot be used"),
        (RuntimeError("a defect"), Code.INTERNAL, "RuntimeError: a defect"),
    ],
)
def test_what_is_around_the_service_is_told_from_its_defects(error: Exception, code: Code, detail: str) -> None:
    found = problem_of(error)
    assert (found.code, found.detail) == (code, detail)
    assert is_outside(error) == (code == Code.UNAVAILABLE)
    assert not is_final(error)


def test_a_job_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    place = Place(tmp_path, max_tries=1, job_seconds=0.5)
    place.supervisor.start()
    failed = place.settled(place.submit(transfers(8), 1))
    place.supervisor.stop()
    assert failed.problem is not None
    assert "not proved within 0.5 seconds" in failed.problem.detail
    place.database.close()


def test_an_estimate_is_what_the_plan_will_be(place: Place, tmp_path: Path) -> None:
    content = transfers(3)
    file = tmp_path / "batch.json"
    file.write_bytes(content)
    found = estimate(file, place.settings, Options(segment_operations=2), rate=1e6)
    done = place.settled(place.submit(content))
    assert (found.segments, found.cells, found.interactions) == (done.segments_total, done.cells, done.interactions)
    assert found.statement == done.statement
    assert found.seconds is not None
    assert found.unsupported is None
    assert found.costs is not None
    assert sum(table.cells for table in found.costs.tables) == found.cells


def test_an_estimate_of_one_proof_counts_its_nodes(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "batch.json"
    file.write_bytes(transfers(3))
    without, one = (
        estimate(file, place.settings, Options(segment_operations=2, one_proof=one_proof), rate=1e6, costs=False)
        for one_proof in (None, True)
    )
    assert without.segments == one.segments
    assert one.memory == max(without.memory or 0, LEAF_BYTES[Form.LIGHT])
    assert without.seconds is not None
    assert one.seconds == pytest.approx(without.seconds + SECONDS_PER_NODE * len(plan_tree(one.segments or 0)))
    always = place.settings.model_copy(update={"one_proof": True})
    assert estimate(file, always, Options(segment_operations=2), rate=1e6, costs=False) == one
    assert estimate(file, always, Options(segment_operations=2, one_proof=False), rate=1e6, costs=False) == without


def test_one_proof_that_no_memory_is_there_for_is_refused_before_anything_is_proved(tmp_path: Path) -> None:
    place = Place(tmp_path, memory=4096, one_proof=True)
    place.supervisor.start()
    failed = place.settled(place.submit(transfers(3)))
    place.supervisor.stop()
    assert failed.problem is not None
    assert failed.problem.detail.startswith("a node of the tree needs about")
    assert (failed.state, failed.tries, failed.segments_done) == (State.FAILED, 1, 0)
    place.database.close()


@pytest.mark.deep
def test_a_job_may_get_one_proof_of_all_its_segments(place: Place) -> None:
    """Of minutes: progress goes on meanwhile, and what is stored is the file with the one proof."""
    job = place.submit(transfers(3), one_proof=True)
    wait_until(lambda: place.queue.get(job).state in SETTLED, 4 * PATIENCE)
    done = place.queue.get(job)
    assert done.state == State.DONE, done.problem
    proof = place.queue.artifact(job, Kind.PROOF)
    assert proof is not None
    content = place.artifacts.get(proof)
    assert decode_proof(content).one_proof is not None
    assert verify(content).statement.to_dict() == done.statement
    assert Stage.AGGREGATE in done.stage_seconds
    told = [event.data for event in place.queue.events(job=job, limit=10_000)]
    progress = [data["progress"] for data in told if "progress" in data]
    assert progress == sorted(progress)
    assert any(data.get("stage") == Stage.AGGREGATE for data in told)
    assert len(done.checks) == len(CHECKS)


def test_a_scratch_folder_is_cleared_with_its_process() -> None:
    # Only the folders made here are looked at: services of other tests make and clear theirs meanwhile.
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(tell, str(Scratch().folder).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(tell)
    with open(told) as names:
        left = Path(names.read())
    assert left.name.startswith("zkevm-scratch-")
    with Scratch() as own:
        wait_until(lambda: not left.exists(), 30)
        sweep()
        assert own.folder.exists(), "a scratch folder whose process lives is left alone"
    assert not own.folder.exists()
