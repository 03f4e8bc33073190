"""Random batches of programs whose accounts have delegated, with set-code transactions (EIP-7702).

They are those of :mod:`scripts.batches.many_frames`. The codes of some contracts move to accounts of their own, and the
contracts delegate to these, to each other, to themselves, to precompiled contracts or to nothing. Some contracts become
accounts of somebody with a key, who signs authorizations, with the right nonce mostly: so delegations come, change and
go away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from eth_account import Account
from eth_utils.crypto import keccak

from executor.forks import PRAGUE, Fork
from executor.system_contracts import allowed, system_contracts
from executor.transactions import GAS_AUTHORIZATION
from scripts.batches import many_frames
from scripts.batches.random_programs import WALLETS, delegation, precompiles_and_next

SIGNERS = 3
POINTERS = 3
#: How many transactions have authorizations, if they can.
_OFTEN = 0.6
#: How many delegations are to the account itself, and to a precompiled contract.
_TO_ITSELF = _TO_PRECOMPILES = 0.06
_NOBODY = bytes(20)


def document(seed: int, programs: int = 8, fork: Fork = PRAGUE) -> dict[str, Any]:
    """The batch of this seed, the object of a batch file."""
    rng = np.random.default_rng([7702, seed])
    base = many_frames.document(seed, programs, fork)
    system = system_contracts(fork, since=None)
    wallets = {"0x" + wallet.hex() for wallet in WALLETS}
    coded = [
        address
        for address, account in base["genesis"]["alloc"].items()
        if account.get("code") and account.get("nonce", 1) == 1 and address not in system and address not in wallets
    ]
    picked = rng.permutation(coded)[: SIGNERS + POINTERS].tolist()
    signed_for, pointing = picked[:SIGNERS], picked[SIGNERS:]
    keys = [keccak(f"{seed} signer {number}".encode()) for number in range(len(signed_for))]
    signers = [Account.from_key(key).address.lower() for key in keys]
    text = json.dumps(base)
    for address, signer in zip(signed_for, signers, strict=True):
        text = text.replace(address[2:], signer[2:])
    found: dict[str, Any] = json.loads(text)
    alloc = found["genesis"]["alloc"]
    library = [keccak(f"{seed} library {number}".encode())[-20:] for number in range(len(picked))]
    named = [bytes.fromhex(address[2:]) for address in (*signers, *pointing, *coded[-4:])]
    targets = [*library, *named]
    precompiles = precompiles_and_next(fork)

    def target_of(account: bytes) -> bytes:
        kind = rng.random()
        if kind < _TO_ITSELF:
            return account
        of = precompiles if kind < _TO_ITSELF + _TO_PRECOMPILES else targets
        return of[int(rng.integers(len(of)))]

    nonces = []
    for place, address in enumerate([*signers, *pointing]):
        account = alloc[address]
        alloc["0x" + library[place].hex()] = {"code": account["code"], "nonce": 1}
        # Mostly to the code that it would have.
        account["code"] = delegation(target_of(bytes.fromhex(address[2:])) if rng.random() < 0.4 else library[place])
        if place < len(signers):
            # Without code: with a nonce, or as one that does not exist.
            if rng.random() < 0.5:
                del account["code"]
                # One that has nothing is not there (EIP-7523).
                empty = not any(int(str(account.get(name, 0)), 0) for name in ("nonce", "balance"))
                if rng.random() < 0.5 or empty:
                    alloc.pop(address)
            elif rng.random() < 0.2:
                account["code"] = "0x00"
            account.setdefault("nonce", 1)
            nonces.append(int(alloc.get(address, {}).get("nonce", 0)))
    for wallet in sorted(wallets)[:1]:
        if rng.random() < 0.5:
            alloc[wallet] = alloc[wallet] | {"code": delegation(bytes.fromhex(coded[-1][2:])), "nonce": 0}
    for block in found["blocks"]:
        block["transactions"] = [_sign(t, rng, keys, nonces, target_of, fork) for t in block["transactions"]]
    return found


def _sign(
    request: dict[str, Any],
    rng: np.random.Generator,
    keys: Sequence[bytes],
    nonces: list[int],
    target_of: Callable[[bytes], bytes],
    fork: Fork,
) -> dict[str, Any]:
    """The transaction, perhaps with authorizations, with at least the gas that its calldata costs.

    `target_of`: whom an account delegates to.
    """
    request = dict(request)
    if "to" in request and rng.random() < _OFTEN:
        request["type"] = 4
        if "gasPrice" in request:
            request["maxFeePerGas"] = request["maxPriorityFeePerGas"] = request.pop("gasPrice")
        request["maxPriorityFeePerGas"] = min(request["maxPriorityFeePerGas"], request["maxFeePerGas"])
        entries = []
        for _ in range(int(rng.integers(1, 4))):
            signer = int(rng.integers(len(keys)))
            own = bytes.fromhex(Account.from_key(keys[signer]).address[2:])
            entry = {
                "secretKey": "0x" + keys[signer].hex(),
                "address": "0x" + (_NOBODY if rng.random() < 0.15 else target_of(own)).hex(),
                "nonce": nonces[signer],
            }
            if (kind := rng.random()) < 0.1:
                entry["nonce"] = int(rng.choice([0, 1, 2, 2**32]))
            elif kind < 0.15:
                entry["chainId"] = int(rng.choice([0, 9]))
            if entry["nonce"] == nonces[signer] and entry.get("chainId", 0) == 0:
                nonces[signer] += 1
            entries.append(entry)
        request["authorizationList"] = entries
        request["gas"] += GAS_AUTHORIZATION * len(entries)
    return allowed(request, fork)
