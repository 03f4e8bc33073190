"""From a batch file to an accepted proof, through lost workers and killed drivers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from prover.aggregate import OneProof
from prover.costs import total
from prover.driver import SegmentEvent, prove_segments
from prover.errors import ClusterError, CostError, ProverError
from prover.planner import Budget, SegmentPlan, height_of_one_proof, plan_batch, planner_for
from prover.prove import Progress, default_store, prove
from prover.segment import segment_jobs
from prover.store import SegmentStore
from prover.workers import Workers
from scripts.batches.tokens import SMALL, tokens, write_batch
from tests.prover.runs import Killer, accepted
from verifier.verify import CHECKS, Accepted, verify_file

#: A run must be over by then, or it hangs.
PATIENCE = 180.0


@pytest.fixture(scope="module")
def workers() -> Iterator[None]:
    """One local Ray for the tests that do not start their own."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=256 << 20)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("workers")
def test_a_batch_is_proved_in_segments_and_accepted(tmp_path: Path) -> None:
    out = tmp_path / "batch.proof"
    events: list[SegmentEvent] = []
    executed: list[tuple[int, int]] = []
    proved: list[tuple[int, int]] = []
    planned: list[tuple[int, list[SegmentPlan]]] = []
    started: list[int] = []
    checked: list[str] = []
    progress = Progress(
        lambda done, total: executed.append((done, total)),
        lambda done, total: proved.append((done, total)),
        events.append,
        planned=lambda executed, batch, jobs: planned.append((len(executed.blocks), [job.plan for job in jobs])),
        started=lambda job: started.append(job.plan.index),
        verified=lambda name, done, total: checked.append(name),
    )
    report = prove(write_batch(tmp_path, 8), out, budget=SMALL, one_proof=False, progress=progress)
    segments = len(report.plans)
    assert planned == [(report.blocks, list(report.plans))]
    assert sorted(started) == list(range(segments))
    assert list(dict.fromkeys(checked)) == [check.name for check in report.checks] == [check.name for check in CHECKS]
    statistics = [event.proof.statistics for event in events]
    costs = total([each.costs for each in statistics if each is not None])
    assert costs.cells == sum(plan.cells for plan in report.plans)
    assert costs.messages == sum(plan.interactions for plan in report.plans)
    assert costs.steps == sum(own.steps for own in costs.instructions)
    assert segments >= 2
    accepted(out, report, 8)
    assert executed[-1] == (8, 8)
    assert proved == [(done, segments) for done in range(segments + 1)]
    assert sorted(event.job.plan.index for event in events) == list(range(segments))
    assert not any(event.reused for event in events)
    assert out.stat().st_size == report.proof_bytes
    assert not default_store(out).exists()


def test_one_proof_that_there_cannot_be_is_refused_before_anything_is_proved(tmp_path: Path) -> None:
    """Of segments that are too high; nothing is left behind."""
    out, begun = tmp_path / "batch.proof", list[int]()
    progress = Progress(started=lambda job: begun.append(job.plan.index))
    with pytest.raises(ProverError, match="log stacked height 22, at most 21"):
        prove(write_batch(tmp_path, 2), out, budget=Budget(stacked_height=22), one_proof=True, progress=progress)
    assert begun == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch.json"]


def test_a_batch_without_operations_needs_no_proof(tmp_path: Path) -> None:
    out = tmp_path / "batch.proof"
    report = prove(write_batch(tmp_path, 0), out, one_proof=True)
    assert report.nodes == ()
    assert verify_file(out).segments == 0


@pytest.mark.usefixtures("workers")
def test_one_proof_is_made_of_segments_of_one_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is what the tree gives; nodes and segments are removed with it, and not before."""
    out = tmp_path / "batch.proof"
    seen: list[tuple[int, set[int]]] = []

    def aggregated(accepted: Sequence[Accepted], store: SegmentStore, **_: object) -> OneProof:
        (own,) = accepted
        segments = own.file.segments
        seen.append((len(list(store.folder.iterdir())), {segment.log_stacked_height for segment in segments}))
        store.save("node", b"a node")
        return OneProof(b"one proof", own.report, [], ["node"])

    monkeypatch.setattr("prover.prove.aggregated", aggregated)
    report = prove(write_batch(tmp_path, 8), out, budget=SMALL)
    assert seen == [(len(report.plans), {height_of_one_proof(14)})]
    assert out.read_bytes() == b"one proof"
    assert "aggregate" in report.seconds
    assert report.why_segments_only == ""
    assert not default_store(out).exists()


@pytest.mark.usefixtures("workers")
def test_what_can_have_no_one_proof_is_proved_in_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why is said first, and segments have the heights that suit them."""
    monkeypatch.setattr("prover.local.machine_memory", lambda: 4 << 30)
    file, out, said = write_batch(tmp_path, 8), tmp_path / "batch.proof", list[str]()
    progress = Progress(separate=said.append, started=lambda job: said.append("begun"))
    report = prove(file, out, budget=SMALL, progress=progress)
    assert said == [report.why_segments_only, *["begun"] * len(report.plans)]
    assert "4096 MiB" in report.why_segments_only
    assert list(report.plans) == plan_batch(tokens(8), SMALL)
    assert report.nodes == ()
    accepted(out, report, 8)


@pytest.mark.deep
@pytest.mark.usefixtures("workers")
def test_kept_segments_are_reused_and_damaged_ones_proved_again(tmp_path: Path) -> None:
    batch, store = write_batch(tmp_path, 8), tmp_path / "store"
    outs = [tmp_path / f"{name}.proof" for name in ("first", "second", "third")]
    first = prove(batch, outs[0], budget=SMALL, store=store, keep=True, one_proof=False)
    assert list(first.reused) == []
    files = sorted(store.iterdir())
    assert len(files) == len(first.plans) >= 2

    second = prove(batch, outs[1], budget=SMALL, store=store, keep=True, one_proof=False)
    assert list(second.reused) == list(range(len(files)))
    assert outs[1].read_bytes() == outs[0].read_bytes()

    # One file is damaged, another holds the intact proof of another segment.
    content = files[0].read_bytes()
    files[1].write_bytes(content)
    files[0].write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    third = prove(batch, outs[2], budget=SMALL, store=store, one_proof=False)
    assert len(third.reused) == len(files) - 2
    accepted(outs[2], third, 8)
    assert not store.exists()


@pytest.mark.deep
@pytest.mark.usefixtures("workers")
def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "batch.proof"
    with Killer(os.getpid, lambda worker: worker.send_signal(signal.SIGKILL), times=2) as killer:
        report = prove(write_batch(tmp_path, 8), out, workers=Workers(2), budget=SMALL, one_proof=False)
    assert len(killer.killed) == 2
    assert list(report.reused) == []
    accepted(out, report, 8)


@pytest.mark.usefixtures("workers")
def test_an_empty_batch_has_a_proof_without_segments(tmp_path: Path) -> None:
    document = json.loads(write_batch(tmp_path, 8).read_text())
    document["blocks"] = []
    batch = tmp_path / "empty.json"
    batch.write_text(json.dumps(document))
    out = tmp_path / "empty.proof"
    accepted(out, prove(batch, out), 0)


@pytest.mark.usefixtures("workers")
def test_a_budget_that_no_worker_has_the_memory_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover.planner.WORKER_BYTES", 1 << 50)
    with pytest.raises(CostError, match="MiB of memory") as error:
        prove(write_batch(tmp_path, 8), tmp_path / "batch.proof", budget=Budget(memory=1 << 51))
    assert "--segment-memory" in error.value.hint


@pytest.mark.deep
@pytest.mark.usefixtures("workers")
def test_what_the_engine_refuses_is_reported_with_its_segment(tmp_path: Path) -> None:
    batch = tokens(8)
    # The engine has no parameters for so small a matrix.
    plan = replace(planner_for(batch).segment(0, 0, 8), log_stacked_height=3)
    store = SegmentStore(tmp_path / "store")
    with pytest.raises(ProverError, match=r"^segment 0 \(operations 0 to 7\): .*log_stacked_height.*$"):
        prove_segments(batch, segment_jobs(batch, [plan]), Workers(1), store)
    assert not store.folder.exists()


@pytest.mark.usefixtures("workers")
def test_another_cluster_than_the_one_in_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="connected to another Ray cluster"):
        prove(write_batch(tmp_path, 8), tmp_path / "batch.proof", workers=Workers(1, "127.0.0.1:1"))


def test_a_folder_that_does_not_exist_is_found_out_before_proving(tmp_path: Path) -> None:
    with pytest.raises(ProverError, match="folder of the output does not exist"):
        prove(write_batch(tmp_path, 8), tmp_path / "none" / "batch.proof")
    with pytest.raises(ProverError, match="the output is a folder"):
        prove(write_batch(tmp_path, 8), tmp_path)


def start_driver(batch: Path, out: Path, operations: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "zkevm.main", "prove", str(batch), "--out", str(out), "--json"]
    command += ["--workers", "1", "--segment-operations", str(operations), "--segments-only"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_driver_that_was_killed_proves_no_segment_twice(tmp_path: Path) -> None:
    batch, out = write_batch(tmp_path, 6), tmp_path / "batch.proof"
    store = default_store(out)
    deadline = time.monotonic() + PATIENCE
    driver = start_driver(batch, out, 2)
    try:
        while len(list(store.glob("*.segment"))) < 2:
            assert driver.poll() is None, driver.communicate()[1]
            assert time.monotonic() < deadline, "no segment was finished"
            time.sleep(0.01)
    finally:
        driver.kill()
        driver.communicate()
    assert not out.exists()
    finished = {file.name: file.stat().st_mtime_ns for file in store.glob("*.segment")}

    again = start_driver(batch, out, 2)
    rewritten: dict[str, int] = {}
    while again.poll() is None and time.monotonic() < deadline:
        for file in store.glob("*.segment"):
            try:
                rewritten[file.name] = file.stat().st_mtime_ns
            except FileNotFoundError:
                # The store is emptied at the end of the run.
                continue
        time.sleep(0.01)
    result, errors = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, errors
    segments = json.loads(result)["segments"]
    assert sum(segment["operations"] for segment in segments) == 6
    assert len(segments) > len(finished)
    assert sum(segment["reused"] for segment in segments) == len(finished)
    assert {name: rewritten.get(name) for name in finished} == finished
    assert verify_file(out).segments == len(segments)
    assert not store.exists()
