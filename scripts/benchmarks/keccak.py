"""Keccak-f from Python against the hand-written Rust table (p3-keccak-air) on the same engine and parameters.

    python -m scripts.benchmarks.keccak [--permutations N] [--log-stacked-height H] [--repetitions R] [--threads T]
                                        [--json]

Three provers take turns, and medians are compared: the hand-written table, which has no interactions; our table with
its interactions and the small table that asks for the permutations; and our constraints alone. Processor seconds are
given too, because other work on the machine disturbs them less; they count proving and verifying, and for the
hand-written table also its key and its filling (a few per cent). Peak memory is that of a fresh process which fills and
proves once, divided by all its cells.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import zkevm_native
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as Report

from circuits.air.circuit import Circuit
from circuits.air.field import Matrix
from circuits.air.layout import Layout, allocate, bit, element, padded_height
from circuits.air.table import Air, Table
from circuits.functions import keccak_f
from circuits.functions.buses import CHUNKS, KECCAK_F, LANES

#: What the comparison must show.
TARGETS = {"time_ratio": 1.1, "cells_ratio": 1.0, "bytes_per_cell": 32.0, "fill_ratio": 0.2}


class CallerColumns(Layout):
    """A permutation that is asked for."""

    real = bit("asked for")
    id = element("its name", by="the filler")
    before = element("its input, in chunks", LANES * CHUNKS, by="the filler")
    after = element("its output, in chunks", LANES * CHUNKS, by="keccak_f bus")


class Caller(Table):
    """Asks for permutations of arbitrary states, one per row."""

    name = "caller"
    layout = CallerColumns
    row_order = "permutations are independent"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.send(KECCAK_F, row.id, 0, row.before, count=row.real)
        air.receive(KECCAK_F, row.id, keccak_f.ROUNDS, row.after, count=row.real)


def connected() -> Circuit:
    """`keccak_f` with its caller."""
    return Circuit("keccak_f", [Caller(), keccak_f.KeccakF()])


def alone() -> Circuit:
    """The constraints of `keccak_f` without its interactions (rows then stand for single rounds)."""
    table = keccak_f.KeccakF()
    table.air.interactions.clear()
    return Circuit("rounds", [table])


def traces(states: keccak_f.Lanes) -> tuple[list[Matrix], float]:
    """Traces of `connected()` for states (n, 25), and the seconds taken to fill `keccak_f`."""
    count = len(states)
    ids = np.arange(count, dtype=np.uint32)
    caller, rows = allocate(CallerColumns, count)
    rows.real, rows.id = 1, ids
    rows.before = keccak_f.chunks(states).reshape(count, -1)
    rows.after = keccak_f.chunks(keccak_f.permute(states)).reshape(count, -1)
    start = time.perf_counter()
    table = keccak_f.fill(states, ids)
    return [caller, table], time.perf_counter() - start


def random_states(count: int, seed: int = 0) -> keccak_f.Lanes:
    """Lanes (n, 25) `uint64`."""
    return np.random.default_rng(seed).integers(0, 1 << 64, (count, LANES), dtype=np.uint64)


class Run(NamedTuple):
    """One proof: wall-clock seconds of proving, processor seconds, cells proved, bytes of the proof."""

    seconds: float
    processor_seconds: float
    cells: int
    proof_bytes: int


def _ours(key: zkevm_native.ProvingKey, filled: list[Matrix], threads: int, *, consume: bool = False) -> Run:
    start = time.process_time()
    proof, stats = zkevm_native.prove(key, filled, [[] for _ in filled], threads, consume)
    zkevm_native.verify(key.verifying_key(), proof)
    return Run(stats["seconds"]["total"], time.process_time() - start, stats["cells"], stats["proof_bytes"])


def _theirs(permutations: int, log_stacked_height: int, threads: int, seed: int = 0) -> Run:
    start = time.process_time()
    stats = zkevm_native.keccak_baseline(permutations, log_stacked_height, threads, seed)
    return Run(stats["seconds"]["prove"], time.process_time() - start, stats["cells"], stats["proof_bytes"])


def _bytes_per_cell(ours: bool, permutations: int, log_stacked_height: int, threads: int) -> float:
    """Peak resident bytes of this process after one proof, divided by the cells proved."""
    if ours:
        filled, _ = traces(random_states(permutations))
        key = zkevm_native.keygen(connected().export(), log_stacked_height)
        run = _ours(key, filled, threads, consume=True)
    else:
        run = _theirs(permutations, log_stacked_height, threads)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / run.cells


def measure(permutations: int, log_stacked_height: int, repetitions: int, threads: int) -> dict[str, Any]:
    """All figures; times are medians in seconds."""
    circuit = connected()
    key, bare_key = (zkevm_native.keygen(c.export(), log_stacked_height) for c in (circuit, alone()))
    fill: list[float] = []
    ours: list[Run] = []
    bare: list[Run] = []
    theirs: list[Run] = []
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("Keccak-f", total=3 * repetitions + 2)
        # First of all: a process inherits the peak of the one that starts it.
        memory = []
        for is_ours in (True, False):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                job = fresh.submit(_bytes_per_cell, is_ours, permutations, log_stacked_height, threads)
                memory.append(job.result())
            progress.advance(task)
        for repetition in range(repetitions):
            theirs.append(_theirs(permutations, log_stacked_height, threads, repetition))
            progress.advance(task)
            filled, seconds = traces(random_states(permutations, repetition))
            fill.append(seconds)
            ours.append(_ours(key, filled, threads))
            progress.advance(task)
            bare.append(_ours(bare_key, filled[1:], threads))
            progress.advance(task)
    our_seconds, bare_seconds, their_seconds = (
        statistics.median(run.seconds for run in runs) for runs in (ours, bare, theirs)
    )
    our_work, their_work = (statistics.median(run.processor_seconds for run in runs) for runs in (ours, theirs))
    table = circuit.statistics[1]
    height = padded_height(keccak_f.ROUNDS * permutations)
    return {
        "permutations": permutations,
        "height": height,
        "log_stacked_height": log_stacked_height,
        "threads": threads,
        "repetitions": repetitions,
        "columns": table.columns,
        "interactions_per_row": table.interactions,
        "cells_per_permutation": table.columns * keccak_f.ROUNDS,
        "cells": table.cells(height),
        "prove_seconds": our_seconds,
        "prove_seconds_without_interactions": bare_seconds,
        "processor_seconds": our_work,
        "fill_seconds": statistics.median(fill),
        "bytes_per_cell": memory[0],
        "proof_bytes": ours[0].proof_bytes,
        "baseline": {
            "columns": theirs[0].cells // height,
            "cells": theirs[0].cells,
            "prove_seconds": their_seconds,
            "processor_seconds": their_work,
            "bytes_per_cell": memory[1],
            "proof_bytes": theirs[0].proof_bytes,
        },
        "time_ratio": our_seconds / their_seconds,
        "time_ratio_without_interactions": bare_seconds / their_seconds,
        "processor_ratio": our_work / their_work,
        "cells_ratio": table.cells(height) / theirs[0].cells,
        "fill_ratio": statistics.median(fill) / our_seconds,
    }


def _print(result: dict[str, Any]) -> None:
    report = Report(title=f"Keccak-f, {result['permutations']} permutations, {result['threads']} threads")
    for column in ("", "from Python", "hand-written", "ratio", "target"):
        report.add_column(column, justify="left" if not column else "right")
    theirs = result["baseline"]

    def target(name: str) -> str:
        return f"{'met' if result[name] <= TARGETS[name] else 'MISSED'} (<= {TARGETS[name]})"

    def pair(label: str, name: str, form: str) -> list[str]:
        return [label, form.format(result[name]), form.format(theirs[name])]

    ratio = "{:.3f}".format
    report.add_row(*pair("columns", "columns", "{:,}"))
    report.add_row(*pair("cells", "cells", "{:,}"), ratio(result["cells_ratio"]), target("cells_ratio"))
    report.add_row(
        *pair("proving, seconds", "prove_seconds", "{:.2f}"), ratio(result["time_ratio"]), target("time_ratio")
    )
    report.add_row(
        "  without interactions",
        f"{result['prove_seconds_without_interactions']:.2f}",
        "",
        ratio(result["time_ratio_without_interactions"]),
    )
    report.add_row(*pair("processor, seconds", "processor_seconds", "{:.2f}"), ratio(result["processor_ratio"]))
    report.add_row(*pair("peak memory, bytes a cell", "bytes_per_cell", "{:.1f}"), "", target("bytes_per_cell"))
    report.add_row(
        "filling, seconds", f"{result['fill_seconds']:.2f}", "", ratio(result["fill_ratio"]), target("fill_ratio")
    )
    report.add_row(*pair("proof, bytes", "proof_bytes", "{:,}"))
    Console().print(report)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `--json` prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--permutations", type=int, default=682, help="682 fill 2^14 rows (default)")
    parser.add_argument("--log-stacked-height", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result = measure(options.permutations, options.log_stacked_height, options.repetitions, options.threads)
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)


if __name__ == "__main__":
    main()
