"""Random batches that can be proved, under any fork."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from circuits.batch.execution import Batch, Execution
from executor.forks import CANCUN, Fork
from executor.system_contracts import under
from scripts.batches import calls, everything, long_runs, random_delegations, system_calls, worlds
from scripts.batches.many_frames import document as many_frames
from scripts.batches.mixed import mixed_batch
from scripts.batches.programs import PROGRAMS
from scripts.batches.single_frames import document as single_frames
from scripts.batches.state import several_blocks

#: The document of a batch file.
Document = dict[str, Any]

_EXAMPLES = Path(__file__).parents[2] / "examples"
#: Examples of contracts that real compilers made; their first transactions can be proved.
_COMPILED = ("erc20", "erc20-vyper", "erc20-yul", "uniswap", "nft", "sstore", "copy", "transfer")
#: Kinds of batches, and how often they come: programs of many frames and of single ones first of all.
_KINDS = {
    "frames": 0.43, "programs": 0.14, "everything": 0.08, "compiled": 0.1, "calling": 0.08, "worlds": 0.06,
    "mixed": 0.05, "state": 0.03, "long": 0.03,
}  # fmt: skip
#: How many small batches call and create in every way: random programs do much else.
_OF_CALLS = 0.4
#: How many have set-code transactions, where a fork has these (EIP-7702).
_OF_DELEGATIONS = 0.3
#: How many batches have system contracts with something to do, in forks whose blocks call such.
_OF_SYSTEM_CALLS = 0.08
#: Batches of programs that call and create (`scripts.batches.programs`).
_CALLING = ("calls", "return data", "logs", "failures", "creations", "destruction", "deep")
#: Programs of a batch, and of a small one.
_PROGRAMS = (4, 8, 16, 24)
_FEW_PROGRAMS = (1, 2, 3)


def random_document(rng: np.random.Generator, fork: Fork = CANCUN, *, small: bool = False) -> Document:
    """A batch: of random programs mostly, of everything there is, or of real contracts; `small`: filled fast."""
    if fork.sets_codes and rng.random() < _OF_DELEGATIONS:
        programs = int(rng.choice(_FEW_PROGRAMS if small else _PROGRAMS))
        return random_delegations.document(int(rng.integers(1 << 40)), programs, fork)
    if fork.block_end_calls and rng.random() < _OF_SYSTEM_CALLS:
        return system_calls.BATCHES[str(rng.choice(list(system_calls.BATCHES)))](fork).document
    return under(_random_document(rng, fork, small), fork)


def _random_document(rng: np.random.Generator, fork: Fork, small: bool) -> Document:
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    if small and rng.random() < _OF_CALLS:
        return calls.builder(rng.choice(calls.COUNT, 2, replace=False).tolist(), fork).document
    if kind == "frames" or (kind == "everything" and small):
        return many_frames(int(rng.integers(1 << 40)), int(rng.choice(_FEW_PROGRAMS if small else _PROGRAMS)), fork)
    if kind == "programs":
        return single_frames(int(rng.integers(1 << 40)), int(rng.choice(_FEW_PROGRAMS if small else _PROGRAMS)), fork)
    if kind == "everything":
        return everything_document(fork, waits=True)
    if kind == "compiled":
        return _first_transactions(str(rng.choice(_COMPILED)), int(rng.integers(1, 5)))
    if kind == "calling":
        return PROGRAMS[str(rng.choice(_CALLING))]().document
    if kind == "worlds":
        build = (worlds.builder, worlds.reentrant_builder, worlds.static_builder)[int(rng.integers(3))]
        return build().document
    if kind == "long":
        return long_runs.document(int(rng.integers(1 << 40)))
    return (mixed_batch(int(rng.integers(100))) if kind == "mixed" else several_blocks()).document


def everything_document(fork: Fork = CANCUN, *, waits: bool = False) -> Document:
    """A batch that uses all tables and calls in all ways; `waits`: also the two that take very long programs."""
    building = everything.builder(waits=waits, fork=fork)
    calls.add_contracts(building)
    transactions = calls.transactions(building) + (system_calls.transactions(building) if fork.block_end_calls else [])
    return building.block(*transactions, gasLimit=everything.GAS_LIMIT).document


def long_document(rng: np.random.Generator, fork: Fork = CANCUN) -> Document:
    """A batch whose stacks and memories hold what is older than 2^16 units of time when it is used."""
    return under(long_runs.document(int(rng.integers(1 << 40))), fork)


def random_part(rng: np.random.Generator, batch: Batch) -> tuple[int, int] | None:
    """Operations `first .. end - 1` of a segment with one end within a block; None: no block can be cut."""
    cuts = batch.operations.cuts
    block = batch.operations.block
    within = [cut for cut in cuts[1:-1].tolist() if block[cut - 1] == block[cut]]
    if not within:
        return None
    cut = int(rng.choice(within))
    if rng.random() < 1 / 2:
        return int(rng.choice(cuts[cuts < cut])), cut
    return cut, int(rng.choice(cuts[cuts > cut]))


def random_cuts(rng: np.random.Generator, execution: Execution) -> tuple[int, ...]:
    """Places of a run before which a segment ends: one mostly, anywhere; none, if it has less than two places."""
    places = len(execution.places)
    if places < 2:
        return ()
    cuts = rng.integers(1, places, int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])))
    if len(cuts) > 1 and rng.random() < 1 / 4:  # parts of a step
        cuts = np.minimum(cuts[0] + np.arange(len(cuts)), places - 1)
    return tuple(np.unique(cuts).tolist())


def _first_transactions(example: str, count: int) -> Document:
    document = dict(_example(example))
    block = dict(document["blocks"][0])
    block["transactions"] = block["transactions"][:count]
    return document | {"blocks": [block]}


@cache
def _example(name: str) -> Document:
    document: Document = json.loads((_EXAMPLES / f"{name}.json").read_text())
    return document
