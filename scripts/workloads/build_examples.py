"""Write the example batches: ``python -m scripts.workloads.build_examples [WORKLOAD...]``, all of them by default.

The same files come out byte for byte on every machine: keys and choices are deterministic, compilers and packages
pinned. Workloads with contracts need npm (Solidity, Yul, Uniswap), pip (Vyper) or cargo (the ray tracer's code).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from scripts.workloads.catalogue import WORKLOADS
from scripts.workloads.toolchain import CodeSource, Toolchain
from scripts.workloads.transfers import transfer_batch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TRANSFER = "transfer"
NAMES = (TRANSFER, *WORKLOADS)
MAINNET = "mainnet"  # written by scripts.workloads.recorded_block, from what others recorded


def example(name: str, code: CodeSource) -> dict[str, Any]:
    """The batch file's JSON object of a workload."""
    return transfer_batch() if name == TRANSFER else WORKLOADS[name](code).document(code)


def file_text(document: dict[str, Any]) -> str:
    """The text of a batch file."""
    return json.dumps(document, indent=1) + "\n"


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write the example batches.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"default: all of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=EXAMPLES, metavar="FOLDER", help="(default: examples)")
    parser.add_argument("--toolchain", type=Path, metavar="FOLDER", help="keep compilers and packages in this folder")
    arguments = parser.parse_args()
    names = arguments.workloads or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.toolchain or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        code = Toolchain(folder.resolve())
        for name in names:
            (arguments.out / f"{name}.json").write_text(file_text(example(name, code)))


if __name__ == "__main__":
    main()
