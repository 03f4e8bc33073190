"""A proof file that the verifier would not read is refused before anything is proved."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import prover.assemble
import prover.prove
from circuits.batch.execution import Batch
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch
from prover.assemble import check_assembled
from prover.errors import CostError
from prover.planner import plan_batch
from prover.segment import SegmentJob, segment_jobs
from scripts.batches.builder import Builder
from scripts.batches.mixed import mixed_batch
from scripts.batches.tokens import SMALL, write_batch
from verifier import container, rlp_bounded
from verifier.headers import MAX_PARENT_EXTRA_DATA_BYTES
from verifier.room import COUNTED_TABLES

Planned = tuple[ExecutedBatch, Batch, list[SegmentJob]]


def plan_of(executed: ExecutedBatch) -> Planned:
    batch = Batch.of(executed.trace) if executed.trace is not None else pytest.fail("no trace")
    return executed, batch, segment_jobs(batch, plan_batch(batch, SMALL))


@pytest.fixture(scope="module")
def planned() -> Planned:
    return plan_of(mixed_batch(0).execute())


def test_what_fits_is_not_refused(planned: Planned) -> None:
    check_assembled(*planned)


@pytest.mark.parametrize(
    ("bound", "limit", "reason"),
    [
        ("MAX_LEAVES", lambda batch, jobs: len(batch.leaves.keys) - 1, "leaf keys"),
        ("MAX_WRITES", lambda batch, jobs: sum(len(job.writes.leaf) for job in jobs) - 1, "segment [0-9]+: writes"),
        ("MAX_CODE_BYTES", lambda batch, jobs: int(batch.trace.codes.size.max()) - 1, "code [0-9]+"),
        ("MAX_ALL_CODE_BYTES", lambda batch, jobs: int(batch.trace.codes.size.max()), "code [0-9]+"),
        ("MAX_NODE_BYTES", lambda batch, jobs: 100, "state node [0-9]+"),
        ("MAX_LOG_BYTES", lambda batch, jobs: int(batch.trace.logs.data_size.max()) - 1, "receipt [0-9]+, log [0-9]+"),
        ("MAX_TRANSACTION_BYTES", lambda batch, jobs: 50, "block 0, transaction 0"),
    ],
)
def test_every_bound_of_the_file_is_asked(
    planned: Planned,
    bound: str,
    limit: Callable[[Batch, list[SegmentJob]], int],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executed, batch, jobs = planned
    monkeypatch.setattr(container, bound, limit(batch, jobs))
    with pytest.raises(UnsupportedFeature, match=rf"a proof file that the verifier refuses \(format: {reason}"):
        check_assembled(executed, batch, jobs)


BEFORE_PLANNING = [
    ("MAX_LEAVES", 5, "leaf keys: "),
    ("MAX_CODE_BYTES", 10, "code 0: "),
    ("MAX_ALL_CODE_BYTES", 10, "code 0: "),
    ("MAX_NODE_BYTES", 40, "state node [0-9]+: "),
    ("MAX_TRANSACTION_BYTES", 50, "block 0, transaction 0: "),
    ("MAX_ITEMS", 40, ".*too many items"),
]


@pytest.mark.parametrize(("bound", "limit", "reason"), [*BEFORE_PLANNING, ("MAX_WRITES", 3, "segment 0: writes: ")])
def test_nothing_is_begun_of_what_would_be_refused(
    bound: str, limit: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proof nor, where the batch alone tells, a table; and there is no file of it afterwards."""
    file = write_batch(tmp_path, 2)
    monkeypatch.setattr(prover.prove, "prove_segments", lambda *arguments: pytest.fail("proved"))
    if bound != "MAX_WRITES":
        monkeypatch.setattr(prover.prove, "plan_batch", lambda *arguments: pytest.fail("planned"))
    if bound == "MAX_ITEMS":
        monkeypatch.setattr(rlp_bounded.RlpReader.__init__, "__defaults__", (0, limit))
    else:
        monkeypatch.setattr(container, bound, limit)
    with pytest.raises(UnsupportedFeature, match=rf"a proof file that the verifier refuses \(format: {reason}"):
        prover.prove.prove(file, tmp_path / "a.proof", budget=SMALL)
    assert [*tmp_path.iterdir()] == [file]


def test_the_number_of_items_is_bounded(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = rlp_bounded.RlpReader.__init__.__defaults__
    assert defaults == (0, rlp_bounded.MAX_ITEMS)
    monkeypatch.setattr(rlp_bounded.RlpReader.__init__, "__defaults__", (0, 100))
    with pytest.raises(UnsupportedFeature, match=r"a proof file that the verifier refuses .*items"):
        check_assembled(*planned)


def test_more_segments_than_a_file_may_have(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    executed, batch, jobs = planned
    monkeypatch.setattr(prover.assemble, "MAX_SEGMENTS", len(jobs) - 1)
    with pytest.raises(CostError, match=rf"^{len(jobs)} segments make .* \({len(jobs) - 1} segments and") as error:
        check_assembled(executed, batch, jobs)
    assert "--segment-memory" in error.value.hint


def test_a_file_that_only_its_proofs_make_too_long(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    executed, batch, jobs = planned
    monkeypatch.setattr(prover.assemble, "MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(CostError, match=re.escape("segments and 1 MiB are allowed)")):
        check_assembled(executed, batch, jobs)

    def low(job: SegmentJob) -> SegmentJob:
        """With the tables alone that the verifier counts."""
        kept = {"segment", *COUNTED_TABLES}
        heights = {name: rows for name, rows in job.plan.heights.items() if name in kept}
        return replace(job, plan=replace(job.plan, heights=heights))

    check_assembled(executed, batch, [low(job) for job in jobs])


def test_signers_in_the_parent_header(planned: Planned) -> None:
    """The header of a Clique genesis (EIP-225) has more extra data than that of a block may have."""

    def with_extra_data(size: int) -> Planned:
        building = Builder(extraData="0x" + "ab" * size)
        return plan_of(building.block(building.transfer()).execute())

    for size in (117, MAX_PARENT_EXTRA_DATA_BYTES):
        check_assembled(*with_extra_data(size))
    with pytest.raises(UnsupportedFeature, match=r"verifier refuses \((format|headers): "):
        check_assembled(*with_extra_data(MAX_PARENT_EXTRA_DATA_BYTES + 1))


def test_what_only_a_later_check_refuses(planned: Planned) -> None:
    """Not only the format: state roots, commitments and all else are looked at before anything is proved."""
    executed, batch, jobs = planned
    with pytest.raises(UnsupportedFeature, match=r"verifier refuses \(headers: "):
        check_assembled(replace(executed, parent_header=executed.parent_header[:-1] + b"\1"), batch, jobs)
    with pytest.raises(UnsupportedFeature, match=r"verifier refuses \(segments: "):
        check_assembled(executed, batch, jobs[:-1])
    first, *others = jobs
    other = replace(first, public_values=others[0].public_values)
    with pytest.raises(UnsupportedFeature, match="segment 0 does not state what the verifier expects"):
        check_assembled(executed, batch, [other, *others])
