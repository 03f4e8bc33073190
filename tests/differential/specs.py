"""Runs batches in Ethereum's execution specs, which live in an environment of their own (``make specs``)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from executor.batch import Batch, Block, Genesis
from executor.forks import CANCUN, Fork, Schedule

SPECS_PYTHON = Path(sys.prefix) / "specs" / "bin" / "python"
SERVER = Path(__file__).with_name("specs_server.py")


@dataclass(frozen=True)
class Log:
    """A log entry of a receipt."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Transacted:
    """What a transaction gave."""

    status: int  # 1: success
    gas_used: int
    logs: tuple[Log, ...]
    output: bytes  # what the outermost frame returned, or why it reverted; the code for a creation
    halt: str  # name of the specs' exception that ended the outermost frame, empty for success
    receipt: bytes  # consensus encoding (EIP-2718)


@dataclass(frozen=True)
class AccountState:
    """An account that exists. ``storage`` maps slots to values other than 0."""

    nonce: int
    balance: int
    code: bytes
    storage: Mapping[int, int]


@dataclass(frozen=True)
class Steps:
    """The instructions that began, as columns of one row each. The end of a code counts as a STOP behind it."""

    pc: NDArray[np.uint32]
    opcode: NDArray[np.uint8]
    gas: NDArray[np.uint64]  # left before the instruction
    depth: NDArray[np.uint16]  # of the frame; 0: the outermost one
    stack_height: NDArray[np.uint16]  # before the instruction, in words
    memory_size: NDArray[np.uint32]  # before the instruction, in bytes
    top: NDArray[np.uint8]  # (n, 32) the top of the stack before the instruction, big-endian; 0 for an empty stack


@dataclass(frozen=True)
class Answer:
    """What a batch gives in the specs.

    Attributes:
        headers: RLP of the header of every block that was applied.
        transactions: what every transaction gave, per block; of a block that was refused, those before.
        accounts: the state at the end, by address. With ``refused`` it means nothing.
        counts: how often something happened, by name: instructions ``begun`` and ``done`` (those that did not fail),
            ``halts`` (frames ended by an exception of this name), and ``precompiles`` (by number).
        refused: why a block was refused, with its place; ``None`` if none was.
        steps: the instructions, if they were asked for.
    """

    headers: tuple[bytes, ...]
    transactions: tuple[tuple[Transacted, ...], ...]
    accounts: Mapping[bytes, AccountState]
    counts: Mapping[str, Counter[str]]
    refused: Mapping[str, Any] | None
    steps: Steps | None


class SpecsError(Exception):
    """The specs are not set up, or ended with an error of their own."""


class Specs:
    """A process that runs the specs of a fork; a context manager."""

    def __init__(self, fork: Fork = CANCUN) -> None:
        if not SPECS_PYTHON.exists():
            raise SpecsError(f"the execution specs are not set up at {SPECS_PYTHON.parents[1]}: run `make specs`")
        self._schedule = Schedule(fork)
        self._process = subprocess.Popen(
            [SPECS_PYTHON, "-I", SERVER, fork.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Specs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, batch: Batch, *, constants: Mapping[str, int] | None = None, steps: bool = False) -> Answer:
        """Run a batch.

        ``constants`` gives numbers in the specs (``module:NAME``, modules of the fork's specs) another
        value for this run, ``steps`` asks for the single instructions.

        Raises:
            SpecsError: the specs failed; a batch that they refuse is an answer.
        """
        if batch.genesis is None or batch.schedule != self._schedule:
            raise ValueError(f"these specs run batches with a genesis, under {self._schedule.first.name}")
        request = {
            "chainId": batch.chain_id,
            "genesis": _genesis(batch.genesis),
            "parent": batch.parent_header.hex() if batch.parent_header else None,
            "ancestorHashes": [item.hex() for item in batch.ancestor_hashes],
            "blocks": [_block(block) for block in batch.blocks],
            "constants": dict(constants or {}),
            "steps": steps,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SpecsError("the process of the specs ended")
        reply = json.loads(line)
        if "failed" in reply:
            raise SpecsError(reply["failed"] + "\n" + reply["traceback"])
        return _answer(reply)


def _genesis(genesis: Genesis) -> dict[str, Any]:
    document = {
        "gasLimit": genesis.gas_limit,
        "number": genesis.number,
        "timestamp": genesis.timestamp,
        "extraData": genesis.extra_data.hex(),
        "mixHash": genesis.mix_hash.hex(),
        "coinbase": genesis.coinbase.hex(),
        "gasUsed": genesis.gas_used,
        "parentHash": genesis.parent_hash.hex(),
        "baseFeePerGas": genesis.base_fee_per_gas,
        "blobGasUsed": genesis.blob_gas_used,
        "excessBlobGas": genesis.excess_blob_gas,
        "parentBeaconBlockRoot": genesis.parent_beacon_block_root.hex(),
    }
    document["alloc"] = {
        address.hex(): {
            "nonce": account.nonce,
            "balance": account.balance,
            "code": account.code.hex(),
            "storage": account.storage,
        }
        for address, account in genesis.accounts.items()
    }
    return document


def _block(block: Block) -> dict[str, Any]:
    context = block.context
    return {
        "coinbase": context.coinbase.hex(),
        "timestamp": context.timestamp,
        "gasLimit": context.gas_limit,
        "prevRandao": context.prev_randao.hex(),
        "parentBeaconBlockRoot": context.parent_beacon_block_root.hex(),
        "extraData": context.extra_data.hex(),
        "withdrawals": [
            {
                "index": item.index,
                "validatorIndex": item.validator_index,
                "address": item.address.hex(),
                "amount": item.amount,
            }
            for item in context.withdrawals
        ],
        "transactions": [transaction.raw.hex() for transaction in block.transactions],
    }


def _answer(reply: Mapping[str, Any]) -> Answer:
    return Answer(
        headers=tuple(bytes.fromhex(block["header"]) for block in reply["blocks"]),
        transactions=tuple(
            tuple(_transacted(transaction) for transaction in block["transactions"]) for block in reply["blocks"]
        ),
        accounts={
            bytes.fromhex(address): AccountState(
                nonce=account["nonce"],
                balance=int(account["balance"]),
                code=bytes.fromhex(account["code"]),
                storage={int(slot): int(value) for slot, value in account["storage"].items()},
            )
            for address, account in reply["accounts"].items()
        },
        counts={name: Counter(counts) for name, counts in reply["counts"].items()},
        refused=reply.get("refused"),
        steps=_steps(reply["steps"]) if "steps" in reply else None,
    )


def _transacted(item: Mapping[str, Any]) -> Transacted:
    return Transacted(
        status=item["status"],
        gas_used=item["gasUsed"],
        logs=tuple(
            Log(bytes.fromhex(address), tuple(map(bytes.fromhex, topics)), bytes.fromhex(data))
            for address, topics, data in item["logs"]
        ),
        output=bytes.fromhex(item["output"]),
        halt=item["halt"],
        receipt=bytes.fromhex(item["receipt"]),
    )


def _steps(columns: Mapping[str, str]) -> Steps:
    def column(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return np.frombuffer(base64.b64decode(columns[name]), dtype=dtype)

    return Steps(
        pc=column("pc", np.uint32),
        opcode=column("opcode", np.uint8),
        gas=column("gas", np.uint64),
        depth=column("depth", np.uint16),
        stack_height=column("stack_height", np.uint16),
        memory_size=column("memory_size", np.uint32),
        top=column("top", np.uint8).reshape(-1, 32),
    )
