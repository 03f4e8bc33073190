"""Small batches proved once: contract code in several blocks and segments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.batch import batch_from_document
from executor.execute import ExecutedBatch, execute
from tests.verifier.proving import Proved, prove_here, proved_batch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def first_transactions(example: str, transactions: int) -> ExecutedBatch:
    """The first transactions of the first block of an example, executed."""
    document = json.loads((EXAMPLES / f"{example}.json").read_text())
    document["blocks"] = document["blocks"][:1]
    document["blocks"][0]["transactions"] = document["blocks"][0]["transactions"][:transactions]
    return execute(batch_from_document(document))


@pytest.fixture(scope="session")
def proved() -> Proved:
    """All types of transactions, withdrawals and beacon roots, in three blocks and four segments."""
    return proved_batch()


@pytest.fixture(scope="session")
def other() -> Proved:
    """The same with other amounts."""
    return proved_batch(1)


@pytest.fixture(scope="session")
def erc20() -> Proved:
    """Three transactions of a token that a compiler made, in two segments."""
    return prove_here(first_transactions("erc20", 3), 2)
