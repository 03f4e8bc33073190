"""What tracing costs: py-evm alone against this project's executor, on the same batches.

    python -m scripts.benchmarks.tracing [WORKLOAD...] [--repetitions N] [--json]

Every batch is run in turn by py-evm as it is, by the executor without a trace, and by the executor with its trace and
witness; of several repetitions the fastest counts. Ratios are to py-evm alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth.vm.forks.shanghai.withdrawals import Withdrawal

from executor.batch import Batch
from executor.chain import open_block, open_chain
from executor.execute import execute
from executor.inputs import read_batch

EXAMPLES = Path(__file__).parents[2] / "examples"
WORKLOADS = ("erc20", "snailtracer")


def run_py_evm(batch: Batch) -> bytes:
    """Run a batch of Cancun by py-evm alone; returns the hash of its last block."""
    chain, header = open_chain(batch)
    for index, block in enumerate(batch.blocks):
        fork = batch.schedule.at(block.context.timestamp)
        vm, opened = open_block(chain, header, block.context, fork, fork.vm_class(), index)
        vm.block_preprocessing(vm.get_block())
        decode = vm.get_transaction_builder().decode
        transactions = [decode(transaction.raw) for transaction in block.transactions]
        filled, receipts, _ = vm.apply_all_transactions(transactions, opened)
        withdrawals = [Withdrawal(**item.model_dump()) for item in block.context.withdrawals]
        vm.apply_all_withdrawals(withdrawals)
        body = vm.set_block_transactions_and_withdrawals(vm.get_block(), filled, transactions, receipts, withdrawals)
        header = vm.mine_block(body).block.header
        chain.chaindb.persist_header(header)
    return bytes(header.hash)


def fastest(run: Callable[[], Any], repetitions: int) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(batch: Batch, repetitions: int) -> dict[str, float]:
    """Times, ratios and sizes of one batch."""
    executed = execute(batch)
    assert executed.trace is not None
    assert run_py_evm(batch) == executed.last_block_hash
    steps = len(executed.trace.steps)
    alone = fastest(lambda: run_py_evm(batch), repetitions)
    untraced = fastest(lambda: execute(batch, trace=False), repetitions)
    traced = fastest(lambda: execute(batch), repetitions)
    return {
        "steps": steps,
        "py_evm_seconds": alone,
        "untraced_seconds": untraced,
        "traced_seconds": traced,
        "untraced_ratio": untraced / alone,
        "traced_ratio": traced / alone,
        "traced_steps_per_second": steps / traced,
        "trace_bytes_per_step": executed.trace.nbytes / steps if steps else 0.0,
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    results = {}
    for name in arguments.workloads:
        result = results[name] = measure(read_batch(EXAMPLES / f"{name}.json"), arguments.repetitions)
        if not arguments.json:
            print(
                f"{name}: {result['steps']} steps; py-evm alone {result['py_evm_seconds']:.2f} s, "
                f"untraced {result['untraced_ratio']:.2f} times that, traced {result['traced_ratio']:.2f} times, "
                f"{result['traced_steps_per_second']:,.0f} steps/s, "
                f"{result['trace_bytes_per_step']:.0f} bytes of trace per step"
            )
    if arguments.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
