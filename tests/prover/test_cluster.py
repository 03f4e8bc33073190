"""Proving on a Ray cluster."""

from pathlib import Path

import psutil
import pytest
import ray

from prover.errors import ClusterError
from prover.prove import prove
from prover.workers import Workers
from scripts.batches.tokens import SMALL, write_batch
from tests.prover.runs import Killer, accepted


@pytest.mark.deep
def test_a_lost_node_does_not_lose_the_run(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        raylet = next(process.process.pid for name, (process, *_) in node.all_processes.items() if name == "raylet")

        def lose(worker: psutil.Process) -> None:
            cluster.remove_node(node, allow_graceful=False)

        out = tmp_path / "batch.proof"
        with Killer(lambda: raylet, lose, times=1) as killer:
            report = prove(
                write_batch(tmp_path, 12), out, workers=Workers(2, cluster.address), budget=SMALL, one_proof=False
            )
        assert len(killer.killed) == 1
        assert len(report.plans) > 2
        accepted(out, report, 12)
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_cluster_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        prove(write_batch(tmp_path, 8), tmp_path / "batch.proof", workers=Workers(1, "127.0.0.1:1"))
