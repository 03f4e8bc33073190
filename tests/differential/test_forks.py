"""Forks after Cancun give the same in the executor as in their own execution specs, instruction by instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from executor.execute import ExecutedBatch
from executor.forks import BPO1, BPO2, OSAKA, PRAGUE, Fork
from executor.system_contracts import allowed
from scripts.batches import random_delegations
from scripts.batches.builder import Builder
from scripts.batches.random_programs import added_operations, documents
from tests.differential.agreement import DONE, PRECOMPILES, Tally, assert_agreement, tightened
from tests.differential.comparison import examples
from tests.differential.happenings import DELEGATIONS, delegations
from tests.differential.specs import Specs

FEW, MANY = 4, 250  # batches of 4 programs and up to 6 transactions
GOES = 3  # of so many, where chance has left something out: a precompile is called a few times in one
FEW_DELEGATING, MANY_DELEGATING, PROGRAMS = 2, 84, 12  # batches with set-code transactions, and programs of each
GAS_CHANGES = st.none() | st.integers(-2, 1)
CONTRACT, OTHER, POINTER = (bytes([byte]) * 20 for byte in (0xCC, 0xDD, 0xEE))
FEES = {"maxFeePerGas": 1_000, "maxPriorityFeePerGas": 1}
NO_REQUESTS = "0x00"


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


def of_fork(document: dict[str, Any], fork: Fork, requests: str = NO_REQUESTS) -> dict[str, Any]:
    """A batch of Cancun as one of this fork, with contracts of requests of this code."""
    contracts = {"0x" + call.address.hex(): {"code": requests} for call in fork.block_end_calls}
    genesis = document["genesis"] | {"alloc": contracts | document["genesis"]["alloc"]}
    blocks = [
        block | {"transactions": [allowed(request, fork) for request in block["transactions"]]}
        for block in document["blocks"]
    ]
    return document | {"fork": fork.name, "genesis": genesis, "blocks": blocks}


def agreed(specs: Specs, fork: Fork, building: Builder, requests: str = NO_REQUESTS) -> ExecutedBatch:
    """A batch of our own, which is valid, as both have it."""
    ours = assert_agreement(specs, of_fork(building.document, fork, requests), Tally())
    assert isinstance(ours, ExecutedBatch), ours
    return ours


def compare(specs: Specs, fork: Fork, count: int, *, reproducible: bool) -> tuple[Tally, Counter[str]]:
    """Compare random batches of a fork. Returns what happened in them, and what of it with delegations."""
    tally, found = Tally(), Counter[str]()

    @examples(count, reproducible=reproducible, print_blob=True)
    @given(documents(fork), GAS_CHANGES)
    def agree(document: dict[str, Any], gas_change: int | None) -> None:
        ours = assert_agreement(specs, document, tally)
        if isinstance(ours, ExecutedBatch):
            assert ours.trace is not None
            found.update(delegations(ours.trace))
        changed = None if gas_change is None else tightened(document, ours, gas_change)
        if changed is not None:
            assert_agreement(specs, changed, tally)

    agree()
    print(tally, dict(found), sep="\n")
    return tally, found


def _name_of(precompile: bytes) -> str:
    return f"precompile {int.from_bytes(precompile, 'big')}"


def test_random_programs(specs_of_fork: Specs, fork: Fork) -> None:
    tally, found = compare(specs_of_fork, fork, FEW, reproducible=True)
    assert tally.batches >= FEW
    assert tally.outcomes["success"]
    assert found["set"]


@pytest.mark.deep
def test_many_random_programs(specs_of_fork: Specs, fork: Fork) -> None:
    """They use all that the fork has added: instructions, precompiled contracts, and delegations in every way."""
    known = {*added_operations(fork), *(_name_of(address) for address in fork.precompiles), *DELEGATIONS}
    used: set[str] = set()
    for _ in range(GOES):
        tally, found = compare(specs_of_fork, fork, MANY, reproducible=False)
        used |= {*tally.counts[DONE], *map("precompile {}".format, tally.counts[PRECOMPILES]), *(+found)}
        if known <= used:
            break
    assert known - used == set()


@pytest.mark.deep
@pytest.mark.parametrize("fork", [BPO1, BPO2], ids=lambda fork: fork.name, scope="module")
def test_random_programs_of_blob_schedules(fork: Fork) -> None:
    with Specs(fork) as specs:
        tally, found = compare(specs, fork, MANY, reproducible=False)
    assert tally.outcomes["success"]
    assert found["set"]


def delegating(specs: Specs, fork: Fork, seeds: range) -> Counter[str]:
    """Batches whose accounts delegate, with set-code transactions: valid, and as the specs have them.

    Returns what happened with delegations.
    """
    tally, authorizations, found = Tally(), 0, Counter[str]()
    for seed in seeds:
        document = random_delegations.document(seed, PROGRAMS, fork)
        ours = assert_agreement(specs, document, tally)
        assert isinstance(ours, ExecutedBatch), ours
        assert ours.trace is not None
        found.update(delegations(ours.trace))
        requests = [request for block in document["blocks"] for request in block["transactions"]]
        authorizations += sum(len(request.get("authorizationList", ())) for request in requests)
    print(tally, f"{authorizations} authorizations", dict(found), sep="\n")
    assert authorizations > 2 * len(seeds)
    assert tally.outcomes["success"]
    return found


def test_random_set_code_transactions(specs_of_fork: Specs, fork: Fork) -> None:
    delegating(specs_of_fork, fork, range(FEW_DELEGATING))


@pytest.mark.deep
def test_many_random_set_code_transactions(specs_of_fork: Specs, fork: Fork) -> None:
    found = delegating(specs_of_fork, fork, range(1_000, 1_000 + MANY_DELEGATING))
    assert [name for name in DELEGATIONS if not found[name]] == []


def calling(address: bytes, kind: int = 0xF1) -> str:
    """Code that calls an address with no input, and stores whether it succeeds, what came back, and the gas."""
    arguments = "5f5f5f5f" + ("5f" if kind in (0xF1, 0xF2) else "")
    return "0x" + arguments + "73" + address.hex() + "5a" + f"{kind:02x}" + "5f55" + "3d60015500"


def authorization(signer: int, address: bytes, nonce: int, **fields: int) -> dict[str, Any]:
    return {"secretKey": "0x" + Builder.KEYS[signer].hex(), "address": "0x" + address.hex(), "nonce": nonce} | fields


def test_set_code_transactions(specs_of_fork: Specs, fork: Fork) -> None:
    wallets = Builder.WALLETS
    building = Builder()
    building.alloc(CONTRACT, code=calling(wallets[1], 0xF4))
    building.alloc(OTHER, code="0x3b60025533600355")  # fails: nothing on the stack
    building.alloc(POINTER, code="0xef0100" + OTHER.hex(), nonce=1)
    code = {"type": 4, "gas": 400_000, "value": 0, **FEES}
    lists = (
        # Another account's code, one that fails, a precompile, the zero address, one's own; wrong nonces and chains.
        [authorization(1, CONTRACT, 0), authorization(2, OTHER, 0)],
        [authorization(1, bytes(19) + b"\4", 1), authorization(2, OTHER, 0), authorization(2, OTHER, 1, chainId=5)],
        [authorization(1, bytes(20), 2), authorization(1, POINTER, 3), authorization(3, CONTRACT, 0, chainId=0)],
        [authorization(0, CONTRACT, 4), authorization(0, wallets[0], 3)],
    )
    requests = [
        building.transfer(to=to, authorizationList=given, **code)
        for to, given in zip((wallets[1], wallets[2], POINTER, wallets[0]), lists, strict=True)
    ]
    # The sender's authorization counts its nonce, too.
    calls = [
        building.transfer(to=to, value=0, gas=300_000, nonce=5 + number)
        for number, to in enumerate((CONTRACT, POINTER, wallets[1], wallets[3]))
    ]
    executed = agreed(specs_of_fork, fork, building.block(*requests, *calls))
    assert executed.post_state.code_hash(wallets[0]) == keccak(b"\xef\x01\x00" + CONTRACT)


def test_calldata_between_its_price_and_its_floor(specs_of_fork: Specs, fork: Fork) -> None:
    """A loop of so many rounds behind calldata of one size: below the floor, across it by refunds, and above."""
    clear = "5f5f555f600155"  # two slots, at 4,800 gas of refund each
    building = Builder().alloc(CONTRACT, code="0x" + clear + "5f355b6001900380600b57", storage={"0x0": 1, "0x1": 1})
    for rounds in (1, 100, 300, 1_000):
        data = rounds.to_bytes(32, "big") + b"\1" * 300
        building.block(building.transfer(to=CONTRACT, value=0, gas=200_000, data="0x" + data.hex()))
    agreed(specs_of_fork, fork, building)


def test_requests_and_hashes_of_blocks(specs_of_fork: Specs, fork: Fork) -> None:
    """Contracts of requests that return what they find, and one at the address of EIP-2935 that stores its input."""
    history = next(call.address for call in fork.block_start_calls if call.argument == "parent_hash")
    building = Builder().alloc(history, code="0x5f3543554300")
    # SSTORE(0, SLOAD(0) + 1), RETURN of so many bytes
    counting = "0x5f546001015f555f545ff3"
    for _ in range(3):
        building.block(building.transfer())
    agreed(specs_of_fork, fork, building, requests=counting)


def test_what_osaka_adds(specs_of_fork: Specs, fork: Fork) -> None:
    """CLZ, P256VERIFY and MODEXP, in both forks: Prague has none of the first two, and another price."""
    modexp = "602060205260206040526001606352" + "5f5f60a05f5f60055af15f55" + "3d60015500"
    codes = ("0x" + "60ff1e5f5500", calling(bytes(18) + b"\1\0"), "0x" + modexp)
    building = Builder()
    addresses = [bytes([0xA0 + number]) * 20 for number in range(len(codes))]
    for address, code in zip(addresses, codes, strict=True):
        building.alloc(address, code=code)
    calls = [building.transfer(to=address, value=0, gas=200_000) for address in addresses]
    agreed(specs_of_fork, fork, building.block(*calls))


@pytest.mark.parametrize(
    "fork",
    [OSAKA, *(pytest.param(fork, marks=pytest.mark.deep) for fork in (BPO1, BPO2))],
    ids=lambda fork: fork.name,
    scope="module",
)
def test_blobs(fork: Fork) -> None:
    """Blocks of many blobs, of few, and of none: excess and fee as the schedule has them."""
    blob = 2**17
    building = Builder(excessBlobGas=60 * blob, blobGasUsed=3 * blob, baseFeePerGas=100)
    fees = {"type": 3, "gas": 21_000, "maxFeePerBlobGas": 10**9, **FEES}
    for counts in ((6, 3), (), (1,), (6, 2), ()):
        hashes = [["0x01" + f"{number:062x}" for number in range(count)] for count in counts]
        building.block(*(building.transfer(blobVersionedHashes=item, **fees) for item in hashes))
    with Specs(fork) as specs:
        agreed(specs, fork, building)
