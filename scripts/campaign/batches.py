"""Random batches that can be proved."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scripts.batches import everything
from scripts.batches.mixed import mixed_batch
from scripts.batches.single_frames import document as single_frames
from scripts.batches.state import several_blocks

#: The document of a batch file.
Document = dict[str, Any]

_EXAMPLES = Path(__file__).parents[2] / "examples"
#: Examples of contracts that real compilers made; their first transactions can be proved.
_COMPILED = ("erc20", "erc20-vyper", "erc20-yul", "uniswap", "nft", "sstore", "copy", "transfer")
#: Programs of a batch, and of a small one.
_PROGRAMS = (4, 8, 16, 24)
_FEW_PROGRAMS = (1, 2, 3)


def random_document(rng: np.random.Generator, *, small: bool = False) -> Document:
    """A batch: of random programs mostly, of everything there is, or of real contracts; `small`: filled fast."""
    kind = rng.choice(["programs", "everything", "compiled", "mixed", "state"], p=[0.6, 0.1, 0.15, 0.1, 0.05])
    if kind == "programs" or (kind == "everything" and small):
        return single_frames(int(rng.integers(1 << 40)), int(rng.choice(_FEW_PROGRAMS if small else _PROGRAMS)))
    if kind == "everything":
        return everything_document(waits=True)
    if kind == "compiled":
        return _first_transactions(str(rng.choice(_COMPILED)), int(rng.integers(1, 5)))
    return (mixed_batch(int(rng.integers(100))) if kind == "mixed" else several_blocks()).document


def everything_document(*, waits: bool = False) -> Document:
    """A batch that uses all tables; `waits`: also the two that take very long programs."""
    return everything.builder(waits=waits).document


def _first_transactions(example: str, count: int) -> Document:
    document = dict(_example(example))
    block = dict(document["blocks"][0])
    block["transactions"] = block["transactions"][:count]
    return document | {"blocks": [block]}


@cache
def _example(name: str) -> Document:
    document: Document = json.loads((_EXAMPLES / f"{name}.json").read_text())
    return document
