"""Blocks of the public tests as proof files without segments: what the verifier can say of them before any proof."""

from __future__ import annotations

from dataclasses import replace

import rlp

from executor.batch import Block
from executor.execute import ExecutedBatch, execute
from executor.fixtures import Case, case_batch
from prover.assemble import statement_of
from verifier import CHECKS, Rejected, verify
from verifier.container import BlockRecord, LogRecord, ProofFile, ReceiptRecord, encode_proof

#: The checks of what a proof file says of its blocks, which need neither state nor segments.
OF_BLOCKS = tuple(check.name for check in CHECKS[: [check.name for check in CHECKS].index("statement")])


def file_of(executed: ExecutedBatch) -> ProofFile:
    """The blocks of a batch with its receipts, as py-evm gives them, and nothing of the state."""
    return ProofFile(
        statement=statement_of(executed),
        parent_header=executed.parent_header,
        blocks=tuple(
            BlockRecord(header, tuple(transactions), _withdrawals(block), outputs)
            for (header, transactions), block, outputs in zip(
                executed.blocks, executed.batch.blocks, executed.outputs, strict=True
            )
        ),
        state_keys=(),
        codes=(),
        state_nodes=(),
        receipts=tuple(receipt for block in executed.receipts for receipt in _receipts(block)),
        segments=(),
    )


def refusal(file: ProofFile) -> Rejected | None:
    """Why the verifier refuses the blocks of a file, if it does."""
    try:
        verify(encode_proof(file))
    except Rejected as rejected:
        return rejected if rejected.check in OF_BLOCKS else None
    return None


def invalid_file(case: Case, blocks: tuple[Block, ...]) -> ProofFile:
    """A chain whose last block has another header than execution gives: as it would be with this one.

    Raises:
        BatchError: the block is invalid for what it contains.
    """
    claimed = blocks[-1].header
    assert claimed is not None
    file = file_of(execute(case_batch(case, (*blocks[:-1], replace(blocks[-1], header=None))), trace=False))
    return replace(file, blocks=(*file.blocks[:-1], replace(file.blocks[-1], header=claimed)))


def unexecuted_file(case: Case, blocks: tuple[Block, ...]) -> ProofFile:
    """A chain whose last block is invalid for what it contains, with receipts that are none."""
    last = blocks[-1]
    assert last.header is not None
    executed = execute(case_batch(case, blocks[:-1]), trace=False)
    file = file_of(executed)
    fork = case.schedule.at(last.context.timestamp)
    record = BlockRecord(
        last.header,
        tuple(transaction.raw for transaction in last.transactions),
        _withdrawals(last),
        (b"",) * sum(call.request_type is not None for call in fork.block_end_calls),
    )
    times = [block.context.timestamp for block in blocks]
    return replace(
        file,
        statement=replace(file.statement, fork=case.schedule.of_blocks(times)),
        blocks=(*file.blocks, record),
        receipts=(*file.receipts, *[ReceiptRecord(1, 21_000)] * len(last.transactions)),
    )


def _withdrawals(block: Block) -> tuple[bytes, ...]:
    items = (item.model_dump() for item in block.context.withdrawals)
    return tuple(
        rlp.encode([item["index"], item["validator_index"], item["address"], item["amount"]]) for item in items
    )


def _receipts(encoded: list[bytes]) -> list[ReceiptRecord]:
    found, before = [], 0
    for receipt in encoded:
        status, cumulative, _, logs = rlp.decode(receipt if receipt[0] >= 0xC0 else receipt[1:])
        gas = int.from_bytes(cumulative, "big")
        entries = tuple(LogRecord(address, tuple(topics), data) for address, topics, data in logs)
        found.append(ReceiptRecord(int.from_bytes(status, "big"), gas - before, entries))
        before = gas
    return found
