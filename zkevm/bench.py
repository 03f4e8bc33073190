"""Measurement of workloads: exact costs per table, also by fork, and the time and memory of proving everything."""

import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.batch.execution import Batch, Execution
from circuits.segment import fill
from executor.batch import batch_from_document
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch, execute
from executor.forks import CANCUN, FORKS, Fork
from executor.inputs import read_batch
from executor.provable import check_provable
from executor.system_contracts import under
from prover.assemble import assemble, check_assembled
from prover.costs import Costs, costs_of
from prover.errors import CostError
from prover.planner import Budget, plan_batch, plan_whole
from prover.plots import plot_costs
from prover.segment import (
    Device,
    SegmentJob,
    SegmentProof,
    fill_segment,
    prove_filled,
    prove_segment,
    proving_key,
    segment_jobs,
)
from prover.workers import check_memory
from verifier.container import encode_proof
from verifier.verify import verify
from zkevm.commands import costs_report, show_costs
from zkevm.console import Output
from zkevm.errors import UsageError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

#: Executions of each workload with a trace, and as many without.
EXECUTIONS = 3

#: One transfer in OpenVM's published benchmark of an EVM interpreter (revm on OpenVM 2.0.2, 100 value transfers,
#: without signatures and state root), on the same engine at the same security: 170 M cells, 56 M interactions in all.
REVM_CELLS_PER_TRANSFER = 1_700_000
REVM_INTERACTIONS_PER_TRANSFER = 560_000


@dataclass(frozen=True)
class _Measured:
    """The proofs of all segments in a process of their own; memory in bytes, before and at the peak of our device.

    Attributes:
        stock: the same proofs by the engine's own device, in the same process, if that was to be measured.
    """

    proofs: list[SegmentProof]
    stock: list[SegmentProof]
    keygen_seconds: float
    memory_before: int
    memory_peak: int


def bench_workloads(
    names: list[str], plot: Path | None, output: Output, device: Device = "own", memory: int | None = None
) -> None:
    """Measure workloads and report: their execution, and the proof of all operations, or why there is none.

    Args:
        device: "stock" measures the engine's own device as well, side by side with ours.
        memory: that a segment may take, bytes, as for proving; None: all operations are one segment.
        plot: draws the costs of the (last) workload to this file, those of its largest segment.

    Raises:
        UsageError: there is no such workload, or it has no transactions.
        CostError: a segment needs more memory than is available; nothing has been proved then.
        BatchError, ProverError.
    """
    files = _files(names)
    output.result(
        {"workloads": {name: _bench(name, file, plot, output, device, memory) for name, file in files.items()}}
    )


def bench_forks(names: list[str], forks: list[str], output: Output) -> None:
    """What workloads cost under forks, one segment each, beside what they cost under Cancun; nothing is proved.

    Raises:
        UsageError: there is no such workload or fork, or the workload has no genesis that could be of another fork.
        BatchError, UnsupportedFeature.
    """
    unknown = [name for name in forks if name not in FORKS]
    if unknown:
        raise UsageError(f"no fork {unknown[0]!r}", f"known forks: {', '.join(FORKS)}")
    chosen = [CANCUN, *(FORKS[name] for name in dict.fromkeys(forks) if name != CANCUN.name)]
    output.result(
        {"workloads": {name: _bench_forks(name, file, chosen, output) for name, file in _files(names).items()}}
    )


def costs_under(file: Path, fork: Fork) -> Costs:
    """The costs of all of a workload as one segment, if its blocks are of this fork.

    Its genesis is given the system contracts that the fork has and Cancun has not.

    Raises:
        UsageError: the workload has no genesis.
        BatchError, UnsupportedFeature.
    """
    document = json.loads(file.read_text())
    if "genesis" not in document:
        raise UsageError(f"{file.stem} is of its own fork alone", "name workloads that begin with a genesis")
    batch = Batch.of(check_provable(execute(batch_from_document(under(document, fork)))))
    return costs_of(fill(Execution(batch, 0, len(batch.operations))))


def _bench_forks(name: str, file: Path, forks: list[Fork], output: Output) -> dict[str, Any]:
    found: dict[str, Costs] = {}
    with output.progress("Filling tables") as (advance,):
        for number, fork in enumerate(forks):
            found[fork.name] = costs_under(file, fork)
            advance(number + 1, len(forks))
    before = found[CANCUN.name]
    header = ("fork", "operations", "cells", "more", "interactions", "more")
    lines = [
        (name_, costs.operations, costs.cells, _more(costs.cells, before.cells), costs.messages,
         _more(costs.messages, before.messages))
        for name_, costs in found.items()
    ]  # fmt: skip
    output.table(f"{name}: one segment, by fork", header, lines)
    document = {}
    for of, costs in found.items():
        if differences := _differences(before, costs):
            output.table(f"{name}: what {of} adds, by table", ("table", "cells", "interactions"), differences)
        document[of] = costs_report(costs).to_dict() | {
            "more_than_cancun": {
                "cells": costs.cells - before.cells,
                "interactions": costs.messages - before.messages,
                "tables": {table: {"cells": cells, "interactions": messages} for table, cells, messages in differences},
            }
        }
    return {"forks": document}


def _more(now: int, before: int) -> str:
    """How much more, in units and per cent."""
    return f"{now - before:+,} ({100 * (now - before) / before:+.2f} %)" if now != before else ""


def _differences(before: Costs, now: Costs) -> list[tuple[str, int, int]]:
    """Tables whose costs differ, with the cells and the interactions that they have more; the largest first."""
    old, new = ({table.name: (table.cells, table.messages) for table in costs.tables} for costs in (before, now))
    found = []
    for name in dict.fromkeys([*new, *old]):
        (cells, messages), (cells_before, messages_before) = new.get(name, (0, 0)), old.get(name, (0, 0))
        found.append((name, cells - cells_before, messages - messages_before))
    return sorted((entry for entry in found if any(entry[1:])), key=lambda entry: -abs(entry[1]))


def _files(names: list[str]) -> dict[str, Path]:
    """The batch files of workloads; raises `UsageError` where there is none."""
    files = {name: EXAMPLES / f"{name}.json" for name in names}
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        known = ", ".join(sorted(file.stem for file in EXAMPLES.glob("*.json")))
        raise UsageError(f"no workload {missing[0]!r}", f"known workloads: {known}")
    return files


def _bench(
    name: str, file: Path, plot: Path | None, output: Output, device: Device, memory: int | None
) -> dict[str, Any]:
    executed, execution = _bench_execution(name, file, output)
    try:
        batch = Batch.of(check_provable(executed))
        plans = [plan_whole(batch)] if memory is None else plan_batch(batch, Budget(memory))
        jobs = segment_jobs(batch, plans)
        check_assembled(executed, batch, jobs)
    except (UnsupportedFeature, CostError) as error:
        output.facts(f"{name}: one segment", [("cannot be proved", str(error))])
        return {"execution": execution, "unsupported": str(error)}
    check_memory(batch, jobs, _available())
    return {"execution": execution, **_bench_proof(name, executed, batch, jobs, plot, output, device)}


def _available() -> int:
    """Memory that can be had on this machine without taking it from anybody (proc(5)), bytes."""
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _bench_execution(name: str, file: Path, output: Output) -> tuple[ExecutedBatch, dict[str, Any]]:
    """Execute with and without a trace, in turns; the least of three times each (they differ by disturbance alone)."""
    batch = read_batch(file)
    seconds: dict[bool, float] = {}
    with output.progress("Executing") as (advance,):
        advance(0, 2 * EXECUTIONS)
        for run in range(2 * EXECUTIONS):
            traced = run % 2 == 1
            start = time.perf_counter()
            executed = execute(batch, trace=traced)
            seconds[traced] = min(seconds.get(traced, float("inf")), time.perf_counter() - start)
            advance(run + 1, 2 * EXECUTIONS)
    trace = executed.trace
    assert trace is not None, "the last run was traced"
    if not len(trace.transactions):
        raise UsageError(f"workload {name!r} has no transactions")
    steps = len(trace.steps)
    facts = {
        "transactions": len(trace.transactions),
        "frames": len(trace.frames),
        "steps": steps,
        "gas": executed.gas_used,
        "execute_seconds": seconds[True],
        "execute_seconds_without_trace": seconds[False],
        "trace_time_ratio": seconds[True] / seconds[False],
        "steps_per_second": steps / seconds[True],
        "gas_per_second": executed.gas_used / seconds[True],
        "trace_bytes": trace.nbytes,
        "trace_bytes_per_step": trace.nbytes / steps if steps else None,
    }
    output.facts(f"{name}: execution", [(key.replace("_", " "), value) for key, value in facts.items()])
    return executed, facts


def _bench_proof(
    name: str,
    executed: ExecutedBatch,
    batch: Batch,
    jobs: list[SegmentJob],
    plot: Path | None,
    output: Output,
    device: Device,
) -> dict[str, Any]:
    largest = max((job.plan for job in jobs), key=lambda plan: plan.memory)
    threads = os.cpu_count() or 1
    with (
        output.progress("Proving") as (advance,),
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        try:
            measured = pool.submit(_measure, batch, jobs, threads, device).result()
        except BrokenProcessPool as error:
            raise CostError(
                f"the process that proves {name} was killed, most likely for its memory",
                "choose smaller segments with --segment-memory, or a machine with more memory",
            ) from error
        advance(1, 1)
    statistics = [proof.statistics for proof in measured.proofs if proof.statistics is not None]
    assert len(statistics) == len(jobs), "a proof made here has statistics"
    proof_file = encode_proof(assemble(executed, batch, jobs, measured.proofs))
    report = verify(proof_file)
    costs = statistics[largest.index].costs
    transactions = len(batch.trace.transactions)
    cells_per_step, interactions_per_step = costs.per_step()
    cells, interactions = sum(s.cells for s in statistics), sum(s.interactions for s in statistics)
    fill_seconds, prove_seconds = sum(s.fill_seconds for s in statistics), sum(s.prove_seconds for s in statistics)
    memory = measured.memory_peak - measured.memory_before
    facts: dict[str, Any] = {
        "transactions": transactions,
        "segments": len(jobs),
        "cells": cells,
        "interactions": interactions,
        "cells_per_transaction": cells / transactions,
        "interactions_per_transaction": interactions / transactions,
        "instruction_cells_per_step": cells_per_step,
        "instruction_interactions_per_step": interactions_per_step,
        "keygen_seconds": measured.keygen_seconds,
        "fill_seconds": fill_seconds,
        "prove_seconds": prove_seconds,
        "verify_seconds": report.seconds,
        "threads": threads,
        "log_stacked_height": largest.log_stacked_height,
        "peak_memory_bytes": measured.memory_peak,
        "memory_bytes_per_cell": memory / largest.cells,
        "proof_bytes": len(proof_file),
        "segment_proof_bytes": sum(len(proof.proof) for proof in measured.proofs),
        "security_bits": report.security_bits,
        "gas_per_second": executed.gas_used / (fill_seconds + prove_seconds),
    }
    comparison = {
        "revm_on_openvm_cells_per_transfer": REVM_CELLS_PER_TRANSFER,
        "revm_on_openvm_interactions_per_transfer": REVM_INTERACTIONS_PER_TRANSFER,
        "times_fewer_cells": REVM_CELLS_PER_TRANSFER * transactions / cells,
        "times_fewer_interactions": REVM_INTERACTIONS_PER_TRANSFER * transactions / interactions,
    }
    whole = "one segment" if len(jobs) == 1 else f"{len(jobs)} segments"
    show_costs(name if len(jobs) == 1 else f"{name}, segment {largest.index}", costs, output)
    if plot is not None:
        plot_costs(costs, name, plot)
    output.facts(f"{name}: {whole}", [(key.replace("_", " "), value) for key, value in facts.items()])
    own = _by_phase(measured.proofs)
    result = {**facts, "cpu_seconds": own, "costs": costs_report(costs).to_dict()}
    if measured.stock:
        stock = _by_phase(measured.stock)
        result["stock_cpu_seconds"] = stock
        result["stock_to_own"] = stock["total"] / own["total"]
    _show_phases(name, result, output)
    if name == "transfer":
        output.facts("Compared with", [(key.replace("_", " "), value) for key, value in comparison.items()])
        result["comparison"] = comparison
    return result


def _show_phases(name: str, result: dict[str, Any], output: Output) -> None:
    """The seconds of each phase and, where they were measured, those of the engine's own device and the ratio."""
    own: dict[str, float] = result["cpu_seconds"]
    title = f"{name}: CPU-seconds of the proof by phase"
    if "stock_cpu_seconds" not in result:
        output.table(title, ("phase", "own"), list(own.items()))
        return
    stock: dict[str, float] = result["stock_cpu_seconds"]
    lines = [(phase, seconds, stock[phase], stock[phase] / seconds) for phase, seconds in own.items()]
    output.table(title, ("phase", "own", "stock", "stock : own"), lines)


def _by_phase(proofs: list[SegmentProof]) -> dict[str, float]:
    """The processor time of the phases of all proofs, seconds."""
    found = [proof.statistics.cpu_seconds for proof in proofs if proof.statistics is not None]
    return {phase: sum(seconds[phase] for seconds in found) for phase in found[0]}


def _measure(batch: Batch, jobs: list[SegmentJob], threads: int, device: Device) -> _Measured:
    start = time.perf_counter()
    for job in jobs:
        proving_key(job.plan.keys, job.plan.log_stacked_height)
    keygen_seconds = time.perf_counter() - start
    before = _memory("VmRSS")
    proofs = [prove_segment(batch, job, threads) for job in jobs]
    peak = _memory("VmHWM")
    if device == "own":
        return _Measured(proofs, [], keygen_seconds, before, peak)
    # First proofs also pay for memory that the process did not have; what is compared are those behind them, in turns.
    stock, own = map(list, zip(*(_prove_twice(batch, job, threads) for job in jobs), strict=True))
    return _Measured(own, stock, keygen_seconds, before, peak)


def _prove_twice(batch: Batch, job: SegmentJob, threads: int) -> tuple[SegmentProof, SegmentProof]:
    """The same tables, proved by the engine's device and by ours."""
    start = time.perf_counter()
    filled = fill_segment(batch, job.plan)
    fill_seconds = time.perf_counter() - start
    stock = prove_filled(filled, job, threads, "stock", fill_seconds=fill_seconds, consume=False)
    return stock, prove_filled(filled, job, threads, fill_seconds=fill_seconds)


def _memory(field: str) -> int:
    """A field of /proc/self/status (proc(5)), in bytes."""
    return _field(Path("/proc/self/status"), field)


def _field(path: Path, field: str) -> int:
    """A field of a file of the kernel's that says kB, in bytes."""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise UsageError(f"this system does not report {field}", "run the benchmark on Linux")
