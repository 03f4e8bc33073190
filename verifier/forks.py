"""The forks whose blocks this verifier judges, as data: what each demands of headers, transactions and requests.

This is the verifier's own reading of the EIPs; it shares nothing with what executes. What a fork changes within the
EVM is its circuit's, which `Fork.circuit` names.
Sources: EIP-4844 and EIP-7691 (blobs), EIP-7840 and EIP-7892 (blob schedules), EIP-7594 (blobs of a transaction),
EIP-7918 (reserve price of blobs), EIP-7825 (gas of a transaction), EIP-7934 (size of a block), EIP-7685, EIP-6110,
EIP-7002 and EIP-7251 (requests), EIP-2935 (hashes of blocks), EIP-7702 (transactions of type 4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from verifier.errors import Invalid

GAS_PER_BLOB: Final = 2**17  # EIP-4844

LEGACY, ACCESS_LIST, TWO_FEES, BLOBS, SET_CODE = range(5)
"""Types of transactions (EIP-2718): before it, EIP-2930, EIP-1559, EIP-4844, EIP-7702."""


@dataclass(frozen=True, slots=True)
class BlobSchedule:
    """How many blobs a block has (EIP-7840).

    Attributes:
        target, most: blobs in a block.
        update_fraction: denominator of the fee's exponent, blob gas.
    """

    target: int
    most: int
    update_fraction: int

    @property
    def max_excess(self) -> int:
        """So much excess blob gas that the fee, e**177 at most, stays below 2**256; with e**178 it would not."""
        return 177 * self.update_fraction


@dataclass(frozen=True, slots=True)
class RequestContract:
    """A contract that every block calls after its withdrawals: what it returns are requests of this type (EIP-7685)."""

    address: bytes
    request_type: int


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork of Ethereum.

    Attributes:
        name: lower case, as in statements.
        circuit: name of the key set whose circuit proves its operations (`verifier.keys`).
        transaction_types: that a block may have (EIP-2718).
        blobs: its blob schedule.
        max_blobs_per_transaction: blobs; no more than a block may have where the fork has no bound of its own.
        blob_base_cost: gas (EIP-7918): a blob is to cost at least as much as so much gas; 0 for nothing.
        max_transaction_gas: the largest gas limit of a transaction; None for any.
        max_block_bytes: the longest RLP of a block, bytes; None for any.
        has_requests_hash: whether a header has the hash of the requests, its 21st field.
        history_contract: address of the contract that keeps the hashes of blocks (EIP-2935).
        deposit_contract: address of the contract whose logs are deposits (EIP-6110), of the main network.
        request_contracts: in the order in which they are called.
    """

    name: str
    circuit: str
    transaction_types: frozenset[int]
    blobs: BlobSchedule
    max_blobs_per_transaction: int
    blob_base_cost: int = 0
    max_transaction_gas: int | None = None
    max_block_bytes: int | None = None
    has_requests_hash: bool = False
    history_contract: bytes | None = None
    deposit_contract: bytes | None = None
    request_contracts: tuple[RequestContract, ...] = ()


CANCUN: Final = Fork(
    name="cancun",
    circuit="cancun",
    transaction_types=frozenset((LEGACY, ACCESS_LIST, TWO_FEES, BLOBS)),
    blobs=BlobSchedule(target=3, most=6, update_fraction=3_338_477),
    max_blobs_per_transaction=6,
)

PRAGUE: Final = replace(
    CANCUN,
    name="prague",
    circuit="prague",
    transaction_types=CANCUN.transaction_types | {SET_CODE},
    blobs=BlobSchedule(target=6, most=9, update_fraction=5_007_716),
    max_blobs_per_transaction=9,
    has_requests_hash=True,
    history_contract=bytes.fromhex("0000F90827F1C53a10cb7A02335B175320002935"),
    deposit_contract=bytes.fromhex("00000000219ab540356cBB839Cbe05303d7705Fa"),
    request_contracts=(
        RequestContract(bytes.fromhex("00000961Ef480Eb55e80D19ad83579A64c007002"), 1),  # EIP-7002, withdrawals
        RequestContract(bytes.fromhex("0000BBdDc7CE488642fb579F8B00f3a590007251"), 2),  # EIP-7251, consolidations
    ),
)

OSAKA: Final = replace(
    PRAGUE,
    name="osaka",
    circuit="osaka",
    max_blobs_per_transaction=6,
    blob_base_cost=2**13,
    max_transaction_gas=2**24,
    max_block_bytes=10 * 2**20 - 2 * 2**20,  # what gossip takes, less a margin
)

# Forks that change the blob schedule alone (EIP-7892). The last two are those of the public tests.
BPO1: Final = replace(OSAKA, name="bpo1", blobs=BlobSchedule(10, 15, 8_346_193))
BPO2: Final = replace(OSAKA, name="bpo2", blobs=BlobSchedule(14, 21, 11_684_671))
BPO3: Final = replace(OSAKA, name="bpo3", blobs=BlobSchedule(21, 32, 20_609_697))
BPO4: Final = replace(OSAKA, name="bpo4", blobs=BlobSchedule(14, 21, 13_739_630))

FORKS: Final = {fork.name: fork for fork in (CANCUN, PRAGUE, OSAKA, BPO1, BPO2, BPO3, BPO4)}
"""By name, in the order in which a chain comes to them."""


_SCHEDULE: Final = re.compile(r"[a-z0-9]+(, [a-z0-9]+ from [1-9][0-9]{0,19})*")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which fork the blocks of a chain are of, by their time.

    As text it is the name of the first fork and, of each later one, its name and the time from which on blocks are of
    it (Unix, seconds): `prague, osaka from 1764798551, bpo1 from 1765290071`.

    Attributes:
        first: of the blocks before the first of these times, or of all.
        later: times and forks; both grow.
    """

    first: Fork
    later: tuple[tuple[int, Fork], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """The schedule of a text; each has one, as `str` gives it.

        Raises:
            Invalid: if the text is of another form, a fork is not known, or forks or times are not in their order.
        """
        if not _SCHEDULE.fullmatch(text):
            raise Invalid(f"fork {text!r} is neither a name nor names with their times")
        first, *rest = text.split(", ")
        pairs = [item.split(" from ") for item in rest]
        for name in (first, *(name for name, _ in pairs)):
            if name not in FORKS:
                raise Invalid(f"fork {name!r} is not one of {', '.join(FORKS)}")
        later = tuple((int(time), FORKS[name]) for name, time in pairs)
        places = [list(FORKS).index(name) for name in (first, *(name for name, _ in pairs))]
        times = [time for time, _ in later]
        if sorted(set(places)) != places or sorted(set(times)) != times or max(times, default=0) >> 64:
            raise Invalid(f"fork {text!r}: forks or times are not in their order")
        return cls(FORKS[first], later)

    def __str__(self) -> str:
        return ", ".join([self.first.name, *(f"{fork.name} from {time}" for time, fork in self.later)])

    def at(self, time: int) -> Fork:
        """The fork of a block of this time."""
        return next((fork for start, fork in reversed(self.later) if time >= start), self.first)

    def of_blocks(self, times: Sequence[int]) -> str:
        """What a statement says of blocks of these times: the schedule without forks that none is of; "" of none."""
        if not times:
            return ""
        first, *later = dict.fromkeys(self.at(time) for time in sorted(times))
        return str(Schedule(first, tuple((time, fork) for time, fork in self.later if fork in later)))


def forks_of_blocks(stated: str, times: Sequence[int]) -> list[Fork]:
    """The fork of each block of a batch by what its statement says.

    Args:
        stated: the statement's `fork`: a schedule of the forks that blocks of the batch are of, and of no others; ""
            of a batch without blocks. So of one schedule of a chain there is one text for a batch.
        times: of the blocks, growing, seconds.

    Raises:
        Invalid: if it is of another form, or names a fork that no block is of.
    """
    if not times:
        if stated:
            raise Invalid(f"fork {stated!r} of a batch without blocks")
        return []
    schedule = Schedule.parse(stated)
    if schedule.of_blocks(times) != stated:
        raise Invalid(f"fork {stated!r} names one that no block is of")
    return [schedule.at(time) for time in times]
