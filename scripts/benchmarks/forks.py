"""What workloads cost under each fork that has a circuit: exact, as one segment, padding included.

    python -m scripts.benchmarks.forks           # --write: the table of docs/forks.md, and the budget kept by the tests

`zkevm bench --fork NAME WORKLOAD` says where it goes, table by table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from executor.forks import CIRCUIT_FORKS
from scripts.benchmarks.budgets import keep
from zkevm.bench import EXAMPLES, costs_under

WORKLOADS = ("erc20", "transfer", "uniswap")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "forks.md"
BUDGET = Path(__file__).resolve().parents[2] / "tests" / "prover" / "fork_budget.json"
BEGIN, FINISH = "<!-- costs by fork, by scripts/benchmarks/forks.py -->", "<!-- end of costs -->"

#: Of a workload by fork: cells and interactions.
Figures = dict[str, dict[str, int]]


def figures(name: str) -> Figures:
    """The costs of a workload under all forks."""
    found = {fork.name: costs_under(EXAMPLES / f"{name}.json", fork) for fork in CIRCUIT_FORKS.values()}
    return {fork: {"cells": costs.cells, "interactions": costs.messages} for fork, costs in found.items()}


def markdown(found: dict[str, Figures]) -> str:
    """The table of the document."""
    lines = ["| workload | fork | cells | interactions |", "|---|---|---:|---:|"]
    for name, forks in found.items():
        first = next(iter(forks.values()))
        for fork, costs in forks.items():
            values = [f"{costs[unit]:,}{_more(costs[unit], first[unit])}" for unit in ("cells", "interactions")]
            lines.append(f"| `{name}` | {fork} | {' | '.join(values)} |")
    return "\n".join(lines)


def _more(now: int, before: int) -> str:
    return "" if now == before else f" ({100 * (now - before) / before:+.1f} %)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `--write` makes it the budget and the document's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write budget and document")
    options = parser.parse_args(arguments)
    found = {name: figures(name) for name in WORKLOADS}
    if options.write:
        keep(found, BUDGET, DOCUMENT, (BEGIN, FINISH), markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
