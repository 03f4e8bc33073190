"""Two workers against one: the wall-clock time of proving the segments of one batch of transfers.

Each configuration runs in a process of its own, with one thread for each worker: `cold` counts the start of Ray and of
the workers, `warm` is a second run on workers that are there already. Configurations take turns; medians are compared.

    python -m scripts.benchmarks.scaling [--transactions 400] [--repetitions 3] [--json]
"""

import argparse
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import ray

from circuits.batch.execution import Batch
from executor.batch import batch_from_document
from executor.execute import execute
from executor.provable import check_provable
from prover.driver import prove_segments
from prover.planner import Budget, plan_batch
from prover.segment import SegmentJob, segment_jobs
from prover.store import SegmentStore
from prover.workers import Workers
from scripts.workloads.transfers import transfer_batch

TARGET_RATIO = 1.5

#: Enough that the last ones hardly leave a worker idle.
SEGMENTS = 8


def measure(batch: Batch, jobs: list[SegmentJob], workers: int) -> tuple[float, float]:
    """Seconds of a cold and of a warm run with this many workers of one thread each."""
    start = time.perf_counter()
    ray.init(
        address="local",
        num_cpus=max(workers, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    _prove(batch, jobs, workers)
    cold = time.perf_counter() - start
    start = time.perf_counter()
    _prove(batch, jobs, workers)
    warm = time.perf_counter() - start
    ray.shutdown()
    return cold, warm


def _prove(batch: Batch, jobs: list[SegmentJob], workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prove_segments(batch, jobs, Workers(count=workers, threads=1), SegmentStore(Path(folder)))


def main() -> int:
    """Print the comparison; the exit status says whether the warm ratio reaches its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    executed = execute(batch_from_document(transfer_batch(arguments.transactions)))
    batch = Batch.of(check_provable(executed))
    jobs = segment_jobs(batch, plan_batch(batch, Budget(operations=arguments.transactions // SEGMENTS)))
    seconds: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(arguments.repetitions):
        for workers, measured in seconds.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                measured.append(pool.submit(measure, batch, jobs, workers).result())
    cold, warm = ({workers: median(run[i] for run in runs) for workers, runs in seconds.items()} for i in range(2))
    result = {
        "transactions": arguments.transactions,
        "segments": len(jobs),
        "cold_seconds": {str(workers): value for workers, value in cold.items()},
        "warm_seconds": {str(workers): value for workers, value in warm.items()},
        "cold_ratio": cold[1] / cold[2],
        "warm_ratio": warm[1] / warm[2],
        "target_ratio": TARGET_RATIO,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{arguments.transactions} transfers in {len(jobs)} segments, medians of {arguments.repetitions}")
        for name, values, ratio in (("cold", cold, "cold_ratio"), ("warm", warm, "warm_ratio")):
            print(f"{name}: one worker {values[1]:.2f} s, two workers {values[2]:.2f} s, ratio {result[ratio]:.2f}")
        print(f"target: a warm ratio of at least {TARGET_RATIO}")
    return 0 if result["warm_ratio"] >= TARGET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
