"""A chain made by hand and its proof file, with a placeholder where the segment proof belongs."""

import pytest

from tests.verifier.chain import Chain, sample_chain
from verifier.container import ProofFile


@pytest.fixture(scope="session")
def chain() -> Chain:
    """Do not change: shared by all tests."""
    return sample_chain()


@pytest.fixture(scope="session")
def file(chain: Chain) -> ProofFile:
    """Passes every check but the last."""
    return chain.file()
