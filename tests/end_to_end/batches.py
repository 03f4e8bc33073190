"""What tests of whole proofs share: batches, and which check refuses a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from executor.batch import batch_from_document
from executor.execute import ExecutedBatch, execute
from executor.forks import CONSOLIDATION_REQUESTS_ADDRESS, OSAKA, WITHDRAWAL_REQUESTS_ADDRESS
from scripts.batches.builder import Builder
from scripts.batches.chain import DEPOSIT, DEPOSIT_CONTRACT, deposit_log
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.system_calls import ASKING, CONSOLIDATION_REQUEST, WITHDRAWAL_REQUEST
from scripts.workloads.assembler import assemble
from verifier.container import ProofFile, encode_proof
from verifier.errors import Rejected
from verifier.verify import verify

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def rejecting_check(file: ProofFile) -> str:
    """The name of the check that rejects the file."""
    with pytest.raises(Rejected) as rejection:
        verify(encode_proof(file))
    return rejection.value.check


def first_transactions(example: str, transactions: int) -> ExecutedBatch:
    """The first transactions of the first block of an example, executed."""
    document = json.loads((EXAMPLES / f"{example}.json").read_text())
    document["blocks"] = document["blocks"][:1]
    document["blocks"][0]["transactions"] = document["blocks"][0]["transactions"][:transactions]
    return execute(batch_from_document(document))


def three_forks() -> Builder:
    """A block of Cancun, one of Prague with requests of all kinds, one of Osaka that asks for the parent's parent."""
    building = Builder(OSAKA)
    building.document["fork"] = {"cancun": 0, "prague": 1024, "osaka": 1036}
    event = deposit_log(DEPOSIT)
    log = f"calldatasize 0 0 calldatacopy 0x{event.topics[0].hex()} calldatasize 0 log1"
    building.alloc(DEPOSIT_CONTRACT, code="0x" + assemble(log).hex())
    building.alloc(CONTRACT, code="0x" + assemble(ASKING).hex(), nonce=1)

    def call(sender: int, contract: bytes, data: bytes, value: int = 0) -> dict[str, Any]:
        return building.transfer(sender, contract, value, gas=300_000, data="0x" + data.hex())

    building.block(building.transfer())
    building.block(
        call(0, WITHDRAWAL_REQUESTS_ADDRESS, WITHDRAWAL_REQUEST, 1),
        call(1, WITHDRAWAL_REQUESTS_ADDRESS, WITHDRAWAL_REQUEST[::-1], 1),
        call(1, CONSOLIDATION_REQUESTS_ADDRESS, CONSOLIDATION_REQUEST, 1),
        call(2, DEPOSIT_CONTRACT, event.data),
    )
    return building.block(call_contract(building, 2))
