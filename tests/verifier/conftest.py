"""A chain made by hand and its proof file, with placeholders where the segment proofs belong."""

from collections.abc import Callable
from functools import partial

import pytest

from scripts.batches.chain import Chain, sample_chain
from tests.verifier.demands import demanded
from verifier.container import ProofFile

#: What the verifier expects of each segment proof of a file; the file must pass all other checks.
Expected = Callable[[ProofFile], list[list[int]]]


@pytest.fixture(scope="session")
def chain() -> Chain:
    """Do not change: shared by all tests."""
    return sample_chain()


@pytest.fixture(scope="session")
def file(chain: Chain) -> ProofFile:
    """In two segments, the second one of which begins within a block. Passes every check but that of the proofs."""
    return chain.file(4)


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> Expected:
    """The public values that the verifier demands, without proofs: whoever changes one needs another proof."""

    return partial(demanded, monkeypatch=monkeypatch)
