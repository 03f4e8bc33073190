"""Whether the executor and the specs agree about a batch, with a report for people where they do not."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from executor.batch import batch_from_document
from executor.errors import BatchError
from executor.execute import ExecutedBatch, execute
from executor.transactions import decode_transaction
from scripts.batches.random_programs import disassemble
from tests.differential.comparison import Difference, differences
from tests.differential.specs import Answer, Specs

EVM_RECURSION_LIMIT = sys.getrecursionlimit()  # importing py-evm raises it
MAX_DIFFERENCES = 12  # in a report
BEGUN, DONE, HALTS, PRECOMPILES = "begun", "done", "halts", "precompiles"


class Tally:
    """What happened in the batches that were compared."""

    def __init__(self) -> None:
        self.batches = 0
        self.transactions = 0
        self.outcomes: Counter[str] = Counter()  # of the outermost frames
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in (BEGUN, DONE, HALTS, PRECOMPILES)}

    def add(self, answer: Answer) -> None:
        """Count a batch."""
        self.batches += 1
        for name, counter in self.counts.items():
            counter.update(answer.counts[name])
        for block in answer.transactions:
            self.transactions += len(block)
            self.outcomes.update(transacted.halt or "success" for transacted in block)

    def __str__(self) -> str:
        lines = [f"{self.batches} batches, {self.transactions} transactions"]
        for name, counter in {"outcomes of transactions": self.outcomes, **self.counts}.items():
            lines.append(f"{name}: " + ", ".join(f"{key} {count}" for key, count in counter.most_common()))
        return "\n".join(lines)


@contextlib.contextmanager
def _deep_calls() -> Iterator[None]:
    """Python's recursion limit as py-evm sets it: hypothesis lowers it while it runs a test."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, EVM_RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def run(document: Mapping[str, Any]) -> ExecutedBatch | BatchError:
    """Execute a batch; its refusal is a result."""
    with _deep_calls():
        try:
            return execute(batch_from_document(document))
        except BatchError as error:
            return error


def assert_agreement(specs: Specs, document: Mapping[str, Any], tally: Tally) -> ExecutedBatch | BatchError:
    """Run a batch in both, instruction by instruction, and assert that nothing differs."""
    batch = batch_from_document(document)
    ours, answer = run(document), specs.run(batch, steps=True)
    found = differences(batch, ours, answer)
    assert not found, report(document, found)
    tally.add(answer)
    return ours


def tightened(document: Mapping[str, Any], ours: ExecutedBatch | BatchError, change: int) -> dict[str, Any] | None:
    """The batch whose last transaction has as gas limit what it used before, and ``change``.

    ``None`` where there is no such valid transaction.
    """
    blocks = [dict(block, transactions=list(block["transactions"])) for block in document["blocks"]]
    if isinstance(ours, BatchError) or not ours.receipts or not ours.receipts[-1]:
        return None
    assert ours.trace is not None
    gas = int(ours.trace.transactions.gas_used[-1]) + change
    if gas < int(ours.trace.transactions.intrinsic_gas[-1]):
        return None
    blocks[-1]["transactions"][-1] = {**blocks[-1]["transactions"][-1], "gas": gas}
    return {**document, "blocks": blocks}


def report(document: Mapping[str, Any], found: list[Difference]) -> str:
    """The differences, and the batch: its transactions, its programs disassembled, and the file to run it again."""
    lines = ["the executor and the execution specs disagree:"]
    lines += [f"  {difference}" for difference in found[:MAX_DIFFERENCES]]
    if len(found) > MAX_DIFFERENCES:
        lines.append(f"  and {len(found) - MAX_DIFFERENCES} more")
    for number, block in enumerate(document["blocks"]):
        for index, request in enumerate(block["transactions"]):
            lines += ["", f"block {number}, transaction {index}"]
            if isinstance(request, str):
                decoded = decode_transaction(bytes.fromhex(request[2:]))
                lines.append(f"  to {decoded.to and decoded.to.hex()}, gas {decoded.gas_limit}")
                continue
            lines += [f"  {name}: {value}" for name, value in request.items() if name != "secretKey"]
            if "to" not in request:
                lines += _program(request["data"])
    for address, account in document["genesis"]["alloc"].items():
        if "code" in account:
            lines += ["", f"{address}, storage {account.get('storage', {})}, balance {account.get('balance', 0)}"]
            lines += _program(account["code"])
    return "\n".join([*lines, "", "as a batch file:", json.dumps(document)])


def _program(code: str) -> list[str]:
    return [f"  {line}" for line in disassemble(bytes.fromhex(code[2:]))]
