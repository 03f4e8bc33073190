"""The forks this program executes, as data: a fork is a row of :data:`FORKS`, what it changes of the one before it.

py-evm's classes are named, not imported: reading a batch needs the rules of its fork, but not a virtual machine. Its
last fork is Prague; what came later is said here and done by :mod:`executor.machine` and :mod:`executor.precompiles`.
Sources: the EIPs named below; the execution specs (``ethereum/forks``); EIP-7892 for forks that change blobs only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

LEGACY_TYPE = 0
ACCESS_LIST_TYPE = 1  # EIP-2930
DYNAMIC_FEE_TYPE = 2  # EIP-1559
BLOB_TYPE = 3  # EIP-4844
SET_CODE_TYPE = 4  # EIP-7702

BEACON_ROOTS_ADDRESS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")  # EIP-4788
HISTORY_STORAGE_ADDRESS = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")  # EIP-2935
DEPOSIT_CONTRACT_ADDRESS = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")  # EIP-6110, of the main network
WITHDRAWAL_REQUESTS_ADDRESS = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")  # EIP-7002
CONSOLIDATION_REQUESTS_ADDRESS = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")  # EIP-7251
SYSTEM_ADDRESS = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")  # EIP-4788
SYSTEM_CALL_GAS = 30_000_000  # EIP-4788

GAS_PER_BLOB = 2**17  # EIP-4844

#: The codes of the contracts that keep beacon roots (EIP-4788) and block hashes (EIP-2935).
BEACON_ROOTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c57"
    "5f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
HISTORY_STORAGE_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff"
    "9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)


@dataclass(frozen=True)
class BlobRules:
    """Parameters of EIP-4844; all in units of blob gas, but for those that say otherwise."""

    gas_per_blob: int
    target_gas_per_block: int
    max_gas_per_block: int
    max_excess_gas: int  # as far as this program goes: from a tenth more on, the fee per blob gas exceeds 256 bits
    hash_version: int  # first byte of a versioned hash
    base_fee_update_fraction: int
    max_blobs_per_transaction: int | None = None  # blobs; EIP-7594. None: as many as the block has room for
    reserve_gas_per_blob: int = 0  # gas; EIP-7918: a blob costs at least as much as so much gas


@dataclass(frozen=True)
class SystemCall:
    """A contract that every block calls as :data:`SYSTEM_ADDRESS`, outside of transactions.

    Attributes:
        argument: the field of the block's header that is the input, by its name in py-evm; None: no input.
        request_type: of the request that the call returns (EIP-7685). A call that returns one must succeed, or the
            block is invalid. None: what it returns, and whether it fails, does not matter.
        code: what the contract has by its EIP, if that says which slots the call writes. None: it depends on more.
    """

    address: bytes
    argument: str | None = None
    request_type: int | None = None
    code: bytes | None = None


@dataclass(frozen=True)
class DepositContract:
    """The contract whose logs are deposits of the beacon chain (EIP-6110)."""

    address: bytes
    event: bytes  # topic of its logs, 32 bytes
    request_type: int


@dataclass(frozen=True)
class ModexpRules:
    """Price and bounds of MODEXP (EIP-2565, EIP-7823, EIP-7883)."""

    least_gas: int
    gas_divisor: int
    short_complexity: int | None  # of numbers of up to 32 bytes; None: as of longer ones
    complexity_factor: int  # times the square of the words of 8 bytes
    iterations_per_byte: int  # of the exponent, beyond its first 32
    max_number_bytes: int | None


@dataclass(frozen=True)
class AddedInstruction:
    """An instruction that a fork after Cancun has, with a fixed price.

    Attributes:
        operands, results: words.
        places: of an instruction that moves words, by the byte that stands behind it (which it passes over): how far
            below the top they lie, each another one. It puts a copy of one on the top, or exchanges two. None for a
            byte with which it halts exceptionally. Of any other instruction: ().
    """

    name: str
    opcode: int
    operands: int
    results: int
    gas: int
    places: tuple[tuple[int, ...] | None, ...] = ()


@dataclass(frozen=True)
class Fork:
    """A hard fork of Ethereum: the classes of py-evm that run it and the rules that batches are checked against."""

    name: str  # lower case, as in batch files
    circuit: str  # the fork whose circuit proves it: the first one with its instructions, prices and contracts
    virtual_machine: str  # py-evm's class, "module:name"; beyond Prague the nearest one
    header: str  # py-evm's class of its block headers, "module:name"
    transaction_types: frozenset[int]
    precompiles: frozenset[bytes]
    max_code_bytes: int  # EIP-170
    max_initcode_bytes: int  # EIP-3860
    max_refund_quotient: int  # EIP-3529: at most gas used / quotient is refunded
    blobs: BlobRules
    block_start_calls: tuple[SystemCall, ...]  # before the transactions
    modexp: ModexpRules
    block_end_calls: tuple[SystemCall, ...] = ()  # after the withdrawals
    deposits: DepositContract | None = None
    has_requests: bool = False  # EIP-7685: the header has the hash of the block's requests
    floor_gas_per_token: int = 0  # EIP-7623: a zero byte of calldata is a token, another one is four
    added_instructions: tuple[AddedInstruction, ...] = ()
    max_transaction_gas: int | None = None  # EIP-7825
    max_block_bytes: int | None = None  # EIP-7934: of the RLP of a block

    @property
    def sets_codes(self) -> bool:
        """Whether accounts can let the code of other accounts run for them (EIP-7702)."""
        return SET_CODE_TYPE in self.transaction_types

    @property
    def system_contracts(self) -> tuple[bytes, ...]:
        """Addresses of the contracts that every block calls."""
        return tuple(call.address for call in (*self.block_start_calls, *self.block_end_calls))

    def with_blobs(self, target: int, most: int, base_fee_update_fraction: int) -> Fork:
        """The fork with another blob schedule (EIP-7840): target and maximum of blobs in a block."""
        blobs = _scheduled(self.blobs, target, most, base_fee_update_fraction)
        # What is the same by its numbers is the same fork: limits of this program do not count.
        is_same = replace(blobs, max_excess_gas=self.blobs.max_excess_gas) == self.blobs
        return self if is_same else replace(self, blobs=blobs)

    def vm_class(self) -> Any:
        """py-evm's virtual machine of this fork, or of the last one before it that py-evm knows."""
        return _load(self.virtual_machine)

    def header_class(self) -> Any:
        """py-evm's block header of this fork."""
        return _load(self.header)


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _addresses(*numbers: int) -> frozenset[bytes]:
    return frozenset(number.to_bytes(20, "big") for number in numbers)


CANCUN = Fork(
    name="cancun",
    circuit="cancun",
    virtual_machine="eth.vm.forks.cancun:CancunVM",
    header="eth.vm.forks.cancun.blocks:CancunBlockHeader",
    transaction_types=frozenset((LEGACY_TYPE, ACCESS_LIST_TYPE, DYNAMIC_FEE_TYPE, BLOB_TYPE)),
    precompiles=_addresses(*range(1, 11)),  # 10: point evaluation, EIP-4844
    max_code_bytes=24_576,
    max_initcode_bytes=49_152,
    max_refund_quotient=5,
    blobs=BlobRules(
        gas_per_blob=GAS_PER_BLOB,
        target_gas_per_block=3 * GAS_PER_BLOB,
        max_gas_per_block=6 * GAS_PER_BLOB,
        max_excess_gas=2**29,
        hash_version=0x01,
        base_fee_update_fraction=3_338_477,
    ),
    block_start_calls=(SystemCall(BEACON_ROOTS_ADDRESS, "parent_beacon_block_root", code=BEACON_ROOTS_CODE),),
    modexp=ModexpRules(
        least_gas=200,
        gas_divisor=3,
        short_complexity=None,
        complexity_factor=1,
        iterations_per_byte=8,
        max_number_bytes=None,
    ),
)


def _scheduled(before: BlobRules, target: int, most: int, base_fee_update_fraction: int) -> BlobRules:
    """The blob schedule of a fork (EIP-7840): target and maximum of blobs in a block."""
    return replace(
        before,
        target_gas_per_block=target * before.gas_per_blob,
        max_gas_per_block=most * before.gas_per_blob,
        max_excess_gas=160 * base_fee_update_fraction,
        base_fee_update_fraction=base_fee_update_fraction,
    )


PRAGUE = replace(
    CANCUN,
    name="prague",
    circuit="prague",
    virtual_machine="eth.vm.forks.prague:PragueVM",
    header="eth.vm.forks.prague.blocks:PragueBlockHeader",
    transaction_types=CANCUN.transaction_types | {SET_CODE_TYPE},
    precompiles=CANCUN.precompiles | _addresses(*range(0x0B, 0x12)),  # EIP-2537
    blobs=_scheduled(CANCUN.blobs, 6, 9, 5_007_716),  # EIP-7691
    block_start_calls=(
        *CANCUN.block_start_calls,
        SystemCall(HISTORY_STORAGE_ADDRESS, "parent_hash", code=HISTORY_STORAGE_CODE),
    ),
    block_end_calls=(
        SystemCall(WITHDRAWAL_REQUESTS_ADDRESS, request_type=1),
        SystemCall(CONSOLIDATION_REQUESTS_ADDRESS, request_type=2),
    ),
    deposits=DepositContract(
        address=DEPOSIT_CONTRACT_ADDRESS,
        event=bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5"),
        request_type=0,
    ),
    has_requests=True,
    floor_gas_per_token=10,
)

OSAKA = replace(
    PRAGUE,
    name="osaka",
    circuit="osaka",
    precompiles=PRAGUE.precompiles | _addresses(0x100),  # EIP-7951
    blobs=replace(PRAGUE.blobs, max_blobs_per_transaction=6, reserve_gas_per_blob=2**13),
    modexp=ModexpRules(
        least_gas=500,
        gas_divisor=1,
        short_complexity=16,
        complexity_factor=2,
        iterations_per_byte=16,
        max_number_bytes=1_024,
    ),
    added_instructions=(AddedInstruction("CLZ", 0x1E, operands=1, results=1, gas=5),),  # EIP-7939
    max_transaction_gas=2**24,
    max_block_bytes=8 * 2**20,
)

# Forks that change the blob schedule alone (EIP-7892). The last two are those of the public tests.
BPO1 = replace(OSAKA, name="bpo1", blobs=_scheduled(OSAKA.blobs, 10, 15, 8_346_193))
BPO2 = replace(OSAKA, name="bpo2", blobs=_scheduled(OSAKA.blobs, 14, 21, 11_684_671))
BPO3 = replace(OSAKA, name="bpo3", blobs=_scheduled(OSAKA.blobs, 21, 32, 20_609_697))
BPO4 = replace(OSAKA, name="bpo4", blobs=_scheduled(OSAKA.blobs, 14, 21, 13_739_630))


def _single(byte: int) -> int | None:
    """``decode_single`` of EIP-8024: n of a byte, 17 to 235; None where it may not stand."""
    return None if 90 < byte < 128 else (byte + 145) % 256


def _pair(byte: int) -> tuple[int, int] | None:
    """``decode_pair`` of EIP-8024: n and m of a byte, 1 <= n < m <= 30 - n; None where it may not stand."""
    q, r = divmod(byte ^ 143, 16)
    return None if 81 < byte < 128 else (q + 1, r + 1) if q < r else (r + 1, 29 - q)


_SINGLES = tuple(map(_single, range(256)))

# In development: of its EIPs only 8024 is here.
AMSTERDAM = replace(
    OSAKA,
    name="amsterdam",
    circuit="amsterdam",
    added_instructions=(
        *OSAKA.added_instructions,
        AddedInstruction("DUPN", 0xE6, 1, 1, gas=3, places=tuple(None if n is None else (n - 1,) for n in _SINGLES)),
        AddedInstruction("SWAPN", 0xE7, 2, 2, gas=3, places=tuple(None if n is None else (0, n) for n in _SINGLES)),
        AddedInstruction("EXCHANGE", 0xE8, 2, 2, gas=3, places=tuple(map(_pair, range(256)))),
    ),
)

#: By name, in the order in which a chain comes to them.
FORKS: Mapping[str, Fork] = {fork.name: fork for fork in (CANCUN, PRAGUE, OSAKA, BPO1, BPO2, BPO3, BPO4)}

#: Forks of the future of which a part is here, by name. Batches of them are executed, and their circuits are filled and
#: checked like others'. But no keys are pinned for them, nothing of them is proved, no public test is taken for one of
#: theirs, and the verifier does not know them.
DEVELOPMENT_FORKS: Mapping[str, Fork] = {AMSTERDAM.name: AMSTERDAM}

#: All that batches may be of.
EXECUTED_FORKS: Mapping[str, Fork] = {**FORKS, **DEVELOPMENT_FORKS}

#: Those of `FORKS` which have a circuit of their own, by name.
CIRCUIT_FORKS: Mapping[str, Fork] = {name: fork for name, fork in FORKS.items() if fork.circuit == name}


@dataclass(frozen=True)
class Schedule:
    """The forks of a chain.

    Attributes:
        first: the fork of its blocks until another one comes.
        later: forks that come, each with the time (Unix, in seconds) of the first block that can be of it, in the
            order in which they come.
    """

    first: Fork
    later: tuple[tuple[int, Fork], ...] = ()

    @property
    def forks(self) -> tuple[Fork, ...]:
        """All of its forks."""
        return self.first, *(fork for _, fork in self.later)

    def at(self, time: int) -> Fork:
        """The fork of a block of this time."""
        return next((fork for start, fork in reversed(self.later) if time >= start), self.first)

    def of_blocks(self, times: Iterable[int]) -> str:
        """What a statement says of blocks of these times, which grow: the forks that they are of, each later one with
        its time: ``prague, osaka from 1764798551``; nothing of no blocks."""
        starts = {fork.name: time for time, fork in self.later}
        first, *later = dict.fromkeys(self.at(time).name for time in times) or [""]
        return ", ".join([first, *(f"{name} from {starts[name]}" for name in later)])
