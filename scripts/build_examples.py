"""Write an example batch: ``python -m scripts.build_examples WORKLOAD [--transactions N] [--seed S] [--out FILE]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from scripts.workloads import transfer_batch

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WORKLOADS = {"transfer": transfer_batch}


def write_batch(batch: dict[str, Any], path: Path) -> None:
    """Write a batch file."""
    path.write_text(json.dumps(batch, indent=1) + "\n")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write an example batch.")
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("--transactions", type=int, default=100, help="number of transactions (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices (default: 0)")
    parser.add_argument("--out", type=Path, help="file to write (default: examples/WORKLOAD.json)")
    arguments = parser.parse_args()
    path = arguments.out or EXAMPLES / f"{arguments.workload}.json"
    write_batch(WORKLOADS[arguments.workload](arguments.transactions, arguments.seed), path)


if __name__ == "__main__":
    main()
