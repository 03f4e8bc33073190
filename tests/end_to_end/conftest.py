"""Small batches proved once: contract code in several blocks and segments."""

from __future__ import annotations

import pytest

from tests.end_to_end.batches import first_transactions
from tests.verifier.proving import Proved, prove_here, proved_batch


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
