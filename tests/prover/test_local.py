"""Proving in the process of the driver."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from prover import local
from prover.driver import prove_segments
from prover.errors import CostError, ProverError
from prover.planner import planner_for
from prover.segment import SegmentJob, segment_jobs
from prover.store import SegmentStore
from prover.workers import Workers
from scripts.batches.tokens import tokens, write_batch
from verifier.verify import verify_file

#: A run must be over by then, or it hangs.
PATIENCE = 180.0


def jobs(count: int, cells: int = 1) -> list[SegmentJob]:
    """Segments of so many cells; they cannot be proved."""
    batch = tokens(8)
    (job,) = segment_jobs(batch, [planner_for(batch).segment(0, 0, 8)])
    plan = replace(job.plan, cells=cells, interactions=0)
    return [replace(job, plan=replace(plan, index=index)) for index in range(count)]


def test_little_work_pays_here_and_much_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ray_is_in_use", lambda: False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert local.pays(jobs(1, 1 << 40), Workers())
    assert local.pays(jobs(4, 1_000_000), Workers(2))
    assert not local.pays(jobs(64, 10_000_000), Workers(2))
    # One worker is no faster elsewhere; many cores are.
    assert local.pays(jobs(64, 10_000_000), Workers(1))
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert not local.pays(jobs(64, 10_000_000), Workers())


def test_a_cluster_that_is_named_or_in_use_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not local.pays(jobs(1), Workers(1, "127.0.0.1:1"))
    monkeypatch.setattr(local, "ray_is_in_use", lambda: True)
    assert not local.pays(jobs(1), Workers())


@pytest.mark.deep
def test_a_segment_is_proved_without_loading_ray(tmp_path: Path) -> None:
    out = tmp_path / "batch.proof"
    code = (
        "import sys; from pathlib import Path; from prover.prove import prove;"
        "report = prove(Path(sys.argv[1]), Path(sys.argv[2])); assert len(report.plans) == 1;"
        "print('ray' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(write_batch(tmp_path, 8)), str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ran.stdout.strip() == "False"
    assert verify_file(out).transactions == 8


def test_a_segment_that_no_memory_is_there_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ray_is_in_use", lambda: False)
    with pytest.raises(CostError, match="MiB of memory") as error:
        prove_segments(tokens(8), jobs(1, 1 << 50), Workers(1), SegmentStore(tmp_path / "store"))
    assert "--segment-memory" in error.value.hint


def test_what_the_engine_refuses_is_reported_with_its_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ray_is_in_use", lambda: False)
    batch = tokens(8)
    # The engine has no parameters for so small a matrix.
    plan = replace(planner_for(batch).segment(0, 0, 8), log_stacked_height=3)
    store = SegmentStore(tmp_path / "store")
    with pytest.raises(ProverError, match=r"^segment 0 \(operations 0 to 7\): .*log_stacked_height.*$"):
        prove_segments(batch, segment_jobs(batch, [plan]), Workers(1), store)
    assert not store.folder.exists()


@pytest.mark.deep
def test_an_interrupt_is_heard_while_a_segment_is_proved(tmp_path: Path) -> None:
    """The engine does not look for signals; what is finished stays."""
    batch, out = write_batch(tmp_path, 24), tmp_path / "batch.proof"
    command = [sys.executable, "-m", "zkevm.main", "prove", str(batch), "--out", str(out), "--json"]
    command += ["--segment-operations", "2", "--segments-only"]
    store = tmp_path / "batch.proof.segments"
    # Tests that run in the background may be started with signals that are ignored, which is passed on.
    heard = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    deadline = time.monotonic() + PATIENCE
    while not list(store.glob("*.segment")):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no segment was finished"
        time.sleep(0.01)
    driver.send_signal(signal.SIGINT)
    document, errors = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130, errors
    assert json.loads(document)["error"]["kind"] == "Interrupted"
    assert not out.exists()
    assert list(store.glob("*.segment"))
