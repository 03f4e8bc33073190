"""System contracts: what every block calls outside of transactions, and how these calls are proved.

Before its transactions a block calls the contracts of EIP-4788 and, from Prague on, of EIP-2935, with one word each and
whatever comes of it; behind its withdrawals those that return requests (EIP-7002, EIP-7251), which must succeed.

Where one of the first two has its EIP's code in the batch's pre-state, its call is proved as the writes to slots that
the EIP demands. Every other call is proved as an execution, of whatever code is there at that time. The circuit of
Cancun has no such calls: there the contract of EIP-4788 is that of the EIP, or there is none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from eth_hash.auto import keccak

from verifier.errors import Invalid
from verifier.forks import Fork
from verifier.tries import Account, StateTrie

#: The contract that keeps beacon roots and its code (EIP-4788).
BEACON_ROOTS_ADDRESS: Final = bytes.fromhex("000F3df6D732807Ef1319fB7B8bB8522d0Beac02")
BEACON_ROOTS_CODE: Final = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c57"
    "5f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
BEACON_ROOTS_CODE_HASH: Final = keccak(BEACON_ROOTS_CODE)

#: The code of the contract that keeps the hashes of blocks (EIP-2935).
HISTORY_CODE: Final = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff"
    "9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
HISTORY_CODE_HASH: Final = keccak(HISTORY_CODE)

#: A code that names another account whose code is to run, 23 bytes (EIP-7702).
_DELEGATION_PREFIX: Final = bytes.fromhex("ef0100")
_DELEGATION_BYTES: Final = 23


def proves_calls(fork: Fork) -> bool:
    """Whether the circuit of a fork proves calls of system contracts as executions."""
    return bool(fork.request_contracts)


def system_contracts(fork: Fork) -> tuple[bytes, ...]:
    """Addresses of all contracts that the blocks of a fork call."""
    history = () if fork.history_contract is None else (fork.history_contract,)
    return (BEACON_ROOTS_ADDRESS, *history, *(contract.address for contract in fork.request_contracts))


def written_contracts(trie: StateTrie, forks: Collection[Fork]) -> frozenset[bytes]:
    """The contracts whose calls are writes: those of EIP-4788 and EIP-2935, with the codes of these EIPs.

    No block of the batch changes this (`verifier.segments.check_system_codes`).

    Args:
        trie: the pre-state.
        forks: of the blocks of the batch.

    Raises:
        Invalid: if there is another contract or an empty account for the beacon roots, and blocks of a fork whose
            circuit proves no calls, or if the witness does not show what there is.
    """
    hashes = {fork.history_contract: HISTORY_CODE_HASH for fork in forks if fork.history_contract is not None}
    if forks:
        hashes[BEACON_ROOTS_ADDRESS] = BEACON_ROOTS_CODE_HASH
    written = set()
    for address, code_hash in hashes.items():
        account = trie.read(address)
        if account is not None and account.code_hash == code_hash:
            written.add(address)
        elif address == BEACON_ROOTS_ADDRESS and not all(map(proves_calls, forks)) and not _does_nothing(account):
            raise Invalid("another contract than that of EIP-4788 stands at its address; its system call is not proved")
    return frozenset(written)


def _does_nothing(account: Account | None) -> bool:
    """Whether a call of the account leaves it as it is: it has no code, and is not one that a touch would delete."""
    return account is None or (account.code_hash == Account().code_hash and not account.is_empty)


def start_calls(fork: Fork, written: Collection[bytes]) -> tuple[bytes, ...]:
    """The contracts that a block of the fork calls before its transactions, as far as these calls are operations.

    `written`: as `written_contracts` gives them.
    """
    contracts = system_contracts(fork)[: -len(fork.request_contracts) or None]
    return tuple(address for address in contracts if proves_calls(fork) or address in written)


def is_delegation(code: bytes) -> bool:
    """Whether a code names another account whose code runs in its place (EIP-7702)."""
    return len(code) == _DELEGATION_BYTES and code.startswith(_DELEGATION_PREFIX)
