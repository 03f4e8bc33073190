"""System calls give the same in the executor as in the execution specs, where these say what geth does, too.

What a call costs shows in the storage of contracts that keep what gas they have. None of them looks at the account of
the contract that is called: it is warm here, as in geth, and cold in the specs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor.execute import ExecutedBatch
from executor.forks import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    OSAKA,
    PRAGUE,
    WITHDRAWAL_REQUESTS_ADDRESS,
    Fork,
)
from scripts.batches import system_calls
from scripts.batches.builder import Builder
from scripts.workloads.assembler import assemble
from tests.differential.agreement import Tally, assert_agreement
from tests.differential.specs import Specs

OTHER = bytes.fromhex("dd" * 20)
KEEPS = "gas {} sstore "

#: Precompiles, which are cold at first; other accounts; what a call knows; what does not stay; requests.
RETURNING = f"""
    {KEEPS.format(10)} 2 balance pop {KEEPS.format(11)} 2 balance pop {KEEPS.format(12)}
    32 64 64 0 2 gas staticcall pop {KEEPS.format(13)} 32 64 64 0 3 gas staticcall pop {KEEPS.format(14)}
    32 64 64 0 4 gas delegatecall pop {KEEPS.format(15)} 0 0 0 0 1 4 gas call pop {KEEPS.format(16)}
    0x{OTHER.hex()} balance pop {KEEPS.format(17)} 0x{OTHER.hex()} extcodehash pop {KEEPS.format(18)}
    coinbase balance pop {KEEPS.format(19)} origin balance pop {KEEPS.format(20)}
    caller extcodesize pop {KEEPS.format(21)}
    0 0 0 0 0x{OTHER.hex()} gas delegatecall pop {KEEPS.format(22)}
    origin 1 sstore gasprice 2 sstore caller 3 sstore callvalue 4 sstore calldatasize 5 sstore 0 blobhash 6 sstore
    number 7 sstore tload 7 1 tstore 33 10 log0 origin 0 mstore 76 0 return
"""
CALLED = "3 extcodesize pop 1 1 tstore 5 9 sstore"


@pytest.fixture(
    scope="module", params=[pytest.param(PRAGUE, marks=pytest.mark.deep), OSAKA], ids=lambda fork: fork.name
)
def fork(request: pytest.FixtureRequest) -> Fork:
    found: Fork = request.param
    return found


@pytest.fixture(scope="module")
def specs_of_fork(fork: Fork) -> Iterator[Specs]:
    with Specs(fork) as process:
        yield process


def test_contracts_of_the_main_network(specs_of_fork: Specs, fork: Fork) -> None:
    ours = assert_agreement(specs_of_fork, system_calls.requests(fork).document, Tally())
    assert isinstance(ours, ExecutedBatch)
    assert [len(output) for outputs in ours.outputs for output in outputs] == [152, 116, 0, 0, 76, 0]


def test_other_contracts(specs_of_fork: Specs, fork: Fork) -> None:
    building = Builder(fork)
    code = "0x" + assemble("0 " + RETURNING).hex()
    for address in (WITHDRAWAL_REQUESTS_ADDRESS, BEACON_ROOTS_ADDRESS):
        building.alloc(address, code=code, balance=100, nonce=1)
    building.alloc(CONSOLIDATION_REQUESTS_ADDRESS, code="0x" + assemble(system_calls.SILENT).hex(), nonce=1)
    building.alloc(HISTORY_STORAGE_ADDRESS, code="0x" + assemble(system_calls.REVERTED).hex(), nonce=1)
    building.alloc(OTHER, code="0x" + assemble(CALLED).hex(), nonce=1)
    building.block(building.transfer(0))
    ours = assert_agreement(specs_of_fork, building.document, Tally())
    assert isinstance(ours, ExecutedBatch)
    gas = [ours.post_state.storage(WITHDRAWAL_REQUESTS_ADDRESS, slot) for slot in (10, 11, 12)]
    # A precompile is cold at first: so much more than the second time, for the same instructions and a new slot.
    assert (gas[0] - gas[1]) - (gas[1] - gas[2]) == 2600 - 100


def test_a_coinbase_that_is_touched_stays_away(specs_of_fork: Specs, fork: Fork) -> None:
    """Nobody pays it in a block without transactions; what calls touch is deleted if it is empty (EIP-161)."""
    touching = "0x" + assemble("0 0 0 0 0 coinbase gas call coinbase selfdestruct").hex()
    for address in (BEACON_ROOTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS):
        building = Builder(fork).alloc(address, code=touching, nonce=1).block().block()
        ours = assert_agreement(specs_of_fork, building.document, Tally())
        assert isinstance(ours, ExecutedBatch)
        assert ours.post_state.account(Builder.COINBASE) is None
