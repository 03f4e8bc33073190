"""A process that proves one job after the other, as the supervisor tells it.

It reads lines of JSON from its standard input: `prove`, then `go` once the memory for it is free, or `leave`. It tells
how it goes by lines of JSON to the descriptor that it is given. It ends, with all that it has started, when its input
does.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits.batch.execution import Batch
    from executor.execute import ExecutedBatch
    from prover.costs import Costs
    from prover.driver import SegmentEvent
    from prover.prove import ProveReport
    from prover.segment import SegmentJob
    from prover.workers import Workers
    from service.artifacts import Artifacts
    from service.models import Source
    from service.queue import Artifact

_PR_SET_PDEATHSIG = 1
#: Proving leaves the processors to those who ask for answers.
_NICENESS = 5

Say = Callable[[dict[str, Any]], None]


def main(descriptor: int, parent: int) -> None:
    """Do what is told until the input ends.

    Args:
        descriptor: to write to.
        parent: process that this one dies with.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.nice(_NICENESS)
    # What is started later must neither read nor write here.
    os.set_inheritable(descriptor, False)
    commands: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(commands,), daemon=True, name="commands").start()
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with lock:
            while line:
                line = line[os.write(descriptor, line) :]

    # Loading what proves takes seconds: it is done when the first job comes.
    importlib.import_module("prover.prove")
    while True:
        command = commands.get()
        _answer(command, say, commands)


def _listen(commands: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        commands.put(json.loads(line))
    # Nobody is there any more: the group is this process and what it has started.
    os.killpg(0, signal.SIGKILL)


def _answer(command: dict[str, Any], say: Say, commands: queue.Queue[dict[str, Any]]) -> None:
    from service.refusals import is_final, is_outside, problem_of

    try:
        say({"kind": "done", **_Job(command, say, commands).prove()})
    except _Left:
        say({"kind": "left"})
    except BaseException as error:
        # A panic of native code is no `Exception`; what else is none ends this process.
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise
        import traceback

        traceback.print_exc()
        problem = problem_of(error).model_dump(mode="json", exclude_none=True)
        say({"kind": "failed", "final": is_final(error), "outside": is_outside(error), "problem": problem})


class _Left(Exception):  # noqa: N818
    """Another job goes first."""


class _Job:
    """One job.

    Args:
        command: `job`, `folder`, `artifacts`, `artifacts_options`, `batch` (an artifact) or `source`, `budget`,
            `one_proof`, `memory` (bytes that a segment may take here, None if it is proved elsewhere).
    """

    def __init__(self, command: dict[str, Any], say: Say, commands: queue.Queue[dict[str, Any]]) -> None:
        from service.artifacts import Artifacts

        self._command = command
        self._say = say
        self._commands = commands
        self._job: str = command["job"]
        self._folder = Path(command["folder"]) / self._job
        self._artifacts: Artifacts = Artifacts(command["artifacts"], command["artifacts_options"])
        self._stage: str | None = None
        self._stage_began = 0.0
        self._seconds: dict[str, float] = {}
        self._started: dict[int, float] = {}
        self._slots: dict[int, int] = {}
        self._costs: dict[int, Costs] = {}
        self._checking: tuple[str, float] | None = None
        self._checked = 0
        self._host = os.uname().nodename
        self._executed: ExecutedBatch | None = None
        self._batch: Batch | None = None
        self._jobs: Sequence[SegmentJob] = ()
        self._plots = threading.Thread(target=importlib.import_module, args=("matplotlib.pyplot",), daemon=True)

    def prove(self) -> dict[str, Any]:
        """Prove it and store what it gives.

        Returns:
            What `service.queue.Result` takes.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            return self._prove()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _prove(self) -> dict[str, Any]:
        from prover.planner import Budget
        from prover.prove import Progress, prove

        batch = self._batch_file()
        out = self._folder / "proof"
        self._enter("execute")
        report = prove(
            batch,
            out,
            budget=Budget(**self._command["budget"]),
            store=self._artifacts.segments(self._job, self._folder / "segments"),
            # They are removed when the job is done by all accounts.
            keep=True,
            one_proof=self._command["one_proof"],
            progress=Progress(
                executed=self._on_executed,
                segment=self._on_segment,
                planned=self._on_planned,
                started=self._on_start,
                verified=self._on_check,
                aggregated=self._on_aggregated,
            ),
        )
        self._end_check()
        self._enter("store")
        artifacts = self._store(out.read_bytes(), report)
        self._enter(None)
        return {
            "statement": report.statement.to_dict(),
            "statement_digest": f"0x{report.statement.digest.hex()}",
            "proof_bytes": report.proof_bytes,
            "artifacts": [vars(each) for each in artifacts],
            "stage_seconds": self._seconds,
        }

    def _enter(self, stage: str | None, **more: Any) -> None:
        moment = time.monotonic()
        if self._stage is not None:
            self._seconds[self._stage] = moment - self._stage_began
        self._stage, self._stage_began = stage, moment
        if stage is not None:
            self._say({"kind": "stage", "stage": stage, "stage_seconds": self._seconds, **more})

    def _batch_file(self) -> Path:
        from service.models import Source
        from service.queue import Artifact

        given = self._command["batch"]
        path: Path = self._folder / "batch"
        if given is not None:
            path.write_bytes(self._artifacts.get(Artifact(**given)))
            return path
        self._enter("fetch")
        content = self._fetch(Source.model_validate(self._command["source"]))
        path.write_bytes(content)
        return path

    def _fetch(self, source: Source) -> bytes:
        from executor.errors import BatchError
        from executor.fetch import Node, fetch
        from service.artifacts import Kind

        def progress(done: int, total: int) -> None:
            self._say({"kind": "progress", "done": done, "total": total})

        fetched = fetch(Node(source.rpc), hex(source.first), hex(source.last), None, progress)
        if source.last_hash not in (None, fetched.last_hash):
            raise BatchError(
                f"block {source.last} has the hash {fetched.last_hash} by now, {source.last_hash} was asked for"
            )
        content = json.dumps(fetched.document).encode()
        # Whoever tries again has the same blocks, even if the node has others by then.
        self._say({"kind": "stored", "artifact": vars(self._artifacts.put(self._job, Kind.BATCH, content))})
        return content

    def _on_executed(self, done: int, total: int) -> None:
        self._say({"kind": "progress", "done": done, "total": total})
        if done == total:
            self._enter("plan")

    def _on_planned(self, executed: ExecutedBatch, batch: Batch, jobs: Sequence[SegmentJob]) -> Workers:
        from prover.errors import CostError
        from prover.tree import largest_node_bytes, plan_tree
        from prover.workers import Workers, check_node_memory, name_of

        if self._stage != "plan":
            # A batch without transactions.
            self._enter("plan")
        self._executed, self._batch, self._jobs = executed, batch, jobs
        allowed: int | None = self._command["memory"]
        for job in jobs:
            if allowed is not None and job.plan.memory > allowed:
                raise CostError(
                    f"{name_of(job)} needs about {job.plan.memory >> 20} MiB of memory, the service may use "
                    f"{allowed >> 20} MiB",
                    "choose smaller segments with segment_memory, or give the service more --memory",
                    *batch.operations.place(job.plan.begin),
                )
        nodes = len(plan_tree(len(jobs))) if self._command["one_proof"] and jobs else 0
        if allowed is not None and nodes:
            check_node_memory(allowed, jobs[0].plan.keys)
        self._say(
            {
                "kind": "planned",
                "nodes": nodes,
                "node_memory": largest_node_bytes(jobs[0].plan.keys) if nodes else 0,
                "facts": {
                    "blocks": len(executed.blocks),
                    "transactions": len(batch.trace.transactions),
                    "steps": len(batch.trace.steps),
                    "gas_used": executed.gas_used,
                },
                "segments": [
                    {
                        "index": job.plan.index,
                        "key": job.key,
                        "first_operation": job.plan.first,
                        "end_operation": job.plan.end,
                        "cells": job.plan.cells,
                        "interactions": job.plan.interactions,
                        "memory": job.plan.memory,
                    }
                    for job in jobs
                ],
            }
        )
        go = self._commands.get()
        if go["command"] == "leave":
            raise _Left
        assert go["command"] == "go", "told something else than to go on or to leave"
        self._enter("prove", done=0, total=len(jobs))
        # Loading it takes a second, in which the engine needs no interpreter.
        self._plots.start()
        return Workers(go["workers"], go["address"], go["threads"])

    def _on_start(self, job: SegmentJob) -> None:
        taken = set(self._slots.values())
        slot = next(number for number in range(1, len(taken) + 2) if number not in taken)
        self._slots[job.plan.index] = slot
        self._started[job.plan.index] = time.monotonic()
        self._say({"kind": "segment", "index": job.plan.index, "state": "proving", "worker": f"{self._host}/{slot}"})

    def _on_segment(self, event: SegmentEvent) -> None:
        index = event.job.plan.index
        self._slots.pop(index, None)
        if event.proof.statistics is not None:
            self._costs[index] = event.proof.statistics.costs
        message: dict[str, Any] = {
            "kind": "segment",
            "index": index,
            "state": "proved",
            "reused": event.reused,
            "proof_bytes": len(event.proof.proof),
        }
        if index in self._started:
            message["seconds"] = time.monotonic() - self._started[index]
        self._say(message)

    def _on_check(self, name: str, done: int, total: int) -> None:
        if self._stage != "verify":
            self._enter("verify")
        if self._checking is None or self._checking[0] != name:
            self._end_check()
            self._checking = (name, time.perf_counter())

    def _on_aggregated(self, done: int, total: int) -> None:
        if self._stage != "aggregate":
            self._end_check()
            self._enter("aggregate", done=done, total=total)
        else:
            self._say({"kind": "progress", "done": done, "total": total})

    def _end_check(self) -> None:
        from verifier.verify import CHECKS

        if self._checking is None:
            return
        name, since = self._checking
        establishes = next(check.establishes for check in CHECKS if check.name == name)
        check = {"name": name, "establishes": establishes, "seconds": time.perf_counter() - since}
        self._say({"kind": "check", "position": self._checked, "check": check, "total": len(CHECKS)})
        self._checked += 1
        self._checking = None

    def _store(self, proof: bytes, report: ProveReport) -> list[Artifact]:
        from dataclasses import asdict

        from prover.costs import costs_of, total
        from prover.plots import plot_costs
        from prover.segment import fill_segment
        from service.artifacts import Kind
        from service.costing import costs_document

        assert self._executed is not None
        assert self._batch is not None
        statement = report.statement.to_dict()
        documents = {
            "statement": statement,
            "digest": f"0x{report.statement.digest.hex()}",
            "blocks": report.blocks,
            "transactions": report.transactions,
            "steps": report.steps,
            "segments": [
                {
                    "first_operation": plan.first,
                    "end_operation": plan.end,
                    "cells": plan.cells,
                    "interactions": plan.interactions,
                    "log_stacked_height": plan.log_stacked_height,
                    "proof_bytes": len(proved.proof),
                }
                for plan, proved in zip(report.plans, report.proofs, strict=True)
            ],
            "security_bits": report.security_bits,
            "proof_bytes": report.proof_bytes,
            "seconds": dict(report.seconds),
            "checks": [asdict(check) for check in report.checks],
        }
        # Segments that an earlier try proved are filled again, which takes a small part of proving them.
        batch = self._batch
        each = [self._costs.get(job.plan.index) or costs_of(fill_segment(batch, job.plan)) for job in self._jobs]
        costs = total(each)
        picture = self._folder / "plot.svg"
        # Who imports it while another thread does may get half of it.
        self._plots.join()
        plot_costs(costs, f"batch of {report.blocks} blocks", picture)
        document = costs_document(costs, self._executed, batch.trace)
        return [
            self._artifacts.put(self._job, Kind.PROOF, proof),
            self._artifacts.put(self._job, Kind.STATEMENT, json.dumps(statement, indent=2).encode()),
            self._artifacts.put(self._job, Kind.REPORT, json.dumps(documents, indent=2).encode()),
            self._artifacts.put(self._job, Kind.COSTS, document.model_dump_json().encode()),
            self._artifacts.put(self._job, Kind.PLOT, picture.read_bytes()),
        ]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
