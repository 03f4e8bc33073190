"""What the example batches contain, measured for docs/workloads.md: ``python -m scripts.workloads.example_figures``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rlp

from executor.execute import ExecutedBatch, execute
from executor.inputs import read_batch
from executor.state_keys import LASTING_KINDS, StateKind
from scripts.workloads.build_examples import EXAMPLES, MAINNET, NAMES
from scripts.workloads.toolchain import SNAILTRACER_CRATE, SNAILTRACER_CRATE_VERSION, SOURCES, VYPER_VERSION

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "workloads.md"
BEGIN = "<!-- figures, by scripts/workloads/example_figures.py -->"
END = "<!-- end of figures -->"

SOLC, VYPER, SNAILTRACER = "solc", "vyper", SNAILTRACER_CRATE
OPENZEPPELIN, CORE, PERIPHERY = "@openzeppelin/contracts", "@uniswap/v2-core", "@uniswap/v2-periphery"
OWN_CODE = "own bytecode"
RESOURCES = ("keccak", "sstore", "modexp", "calls", "copy", "precompiles")
CODE_FROM: dict[str, tuple[str, ...]] = {
    "transfer": (),
    "erc20": (SOLC, OPENZEPPELIN),
    "erc20-vyper": (VYPER,),
    "erc20-yul": (SOLC,),
    "nft": (SOLC, OPENZEPPELIN),
    "uniswap": (CORE, PERIPHERY, SOLC, OPENZEPPELIN),
    "deploy": (CORE, PERIPHERY, SOLC, OPENZEPPELIN, VYPER, OWN_CODE),
    "snailtracer": (SNAILTRACER,),
    "snailtracer-pixel": (SNAILTRACER,),
    "snailtracer-full": (SNAILTRACER,),
    "mixed": (CORE, PERIPHERY, SOLC, OPENZEPPELIN, VYPER, SNAILTRACER, OWN_CODE),
    MAINNET: ("mainnet",),
} | dict.fromkeys(RESOURCES, (OWN_CODE,))


@dataclass(frozen=True)
class Figures:
    """What one example contains."""

    blocks: int
    transactions: int
    failed: int
    logs: int  # in receipts
    gas: int
    accounts: int  # touched
    slots: int  # storage slots touched
    frames: int
    steps: int


def measure(executed: ExecutedBatch) -> Figures:
    """Count.

    Raises:
        ValueError: the batch was executed without a trace.
    """
    if executed.trace is None:
        raise ValueError("no trace")
    receipts = [decode_receipt(receipt) for block in executed.receipts for receipt in block]
    keys = executed.trace.keys
    return Figures(
        blocks=len(executed.blocks),
        transactions=len(receipts),
        failed=sum(not succeeded for succeeded, _ in receipts),
        logs=sum(logs for _, logs in receipts),
        gas=executed.gas_used,
        accounts=len(np.unique(keys.address[keys.kind <= max(LASTING_KINDS)], axis=0)),
        slots=int((keys.kind == StateKind.STORAGE).sum()),
        frames=len(executed.trace.frames),
        steps=len(executed.trace.steps),
    )


def decode_receipt(receipt: bytes) -> tuple[bool, int]:
    """Success and number of logs of a receipt in its consensus encoding (EIP-2718)."""
    status, _, _, logs = rlp.decode(receipt[1:] if receipt[0] < 0x80 else receipt)
    return status == b"\x01", len(logs)


def versions() -> dict[str, str]:
    """Version of every compiler and package that gives code, as pinned."""
    pinned: dict[str, str] = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    return pinned | {VYPER: VYPER_VERSION, SNAILTRACER: SNAILTRACER_CRATE_VERSION}


def row(name: str, figures: Figures, size: int) -> str:
    """The line of the table for an example of ``size`` bytes."""
    pinned = versions()
    sources = (f"{source} {pinned[source]}" if source in pinned else source for source in CODE_FROM[name])
    counts = (
        figures.blocks,
        figures.transactions,
        figures.failed,
        figures.logs,
        figures.accounts,
        figures.slots,
        figures.frames,
        figures.gas,
        figures.steps,
        -(-size // 1000),
    )
    return f"| `{name}` | {' | '.join(f'{count:,}' for count in counts)} | {', '.join(sources) or '-'} |"


def table(rows: Iterable[str]) -> str:
    """The table with its heading."""
    heading = (
        "example",
        "blocks",
        "transactions",
        "failed",
        "logs",
        "accounts",
        "slots",
        "frames",
        "gas",
        "steps",
        "kB",
    )
    lines = [f"| {' | '.join(heading)} | code from |", "|---" + "|---:" * (len(heading) - 1) + "|---|", *rows]
    return "\n".join(lines)


def main() -> None:
    """Measure all examples and write the table into the document. The longest one takes minutes and gigabytes."""
    rows = []
    for name in (*NAMES, MAINNET):
        path = EXAMPLES / f"{name}.json"
        rows.append(row(name, measure(execute(read_batch(path))), path.stat().st_size))
        print(rows[-1])
    text = DOCUMENT.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")


if __name__ == "__main__":
    main()
