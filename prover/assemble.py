"""The proof file of an executed and proved batch."""

from collections.abc import Sequence

import numpy as np
import rlp

from circuits.batch.execution import Batch
from circuits.segment import circuit_named
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch
from executor.limbs import limbs_to_bytes, limbs_to_ints
from executor.trace import NONE, TOPICS, ExecutionTrace
from prover.errors import CostError
from prover.segment import SegmentJob, SegmentProof
from verifier.container import (
    MAX_FILE_BYTES,
    MAX_SEGMENTS,
    BlockRecord,
    CodeWrites,
    LogRecord,
    ProofFile,
    ReceiptRecord,
    SegmentRecord,
    Writes,
    decode_proof,
    encode_proof,
)
from verifier.errors import Invalid, Rejected
from verifier.sizes import check_segment_size
from verifier.statement import BatchStatement
from verifier.verify import check_contents

#: A proof makes the prefixes of the lists and strings around it longer by no more than this.
_RLP_BYTES = 16


def statement_of(executed: ExecutedBatch) -> BatchStatement:
    """What a proof of this batch says."""
    return BatchStatement(
        chain_id=executed.chain_id,
        fork=executed.fork,
        pre_state_root=executed.pre_state_root,
        post_state_root=executed.post_state_root,
        first_block_number=executed.first_block_number,
        first_block_hash=executed.first_block_hash,
        last_block_number=executed.last_block_number,
        last_block_hash=executed.last_block_hash,
        transactions_commitment=executed.transactions_commitment,
        receipts_commitment=executed.receipts_commitment,
        gas_used=executed.gas_used,
    )


def receipts_of(trace: ExecutionTrace) -> tuple[ReceiptRecord, ...]:
    """What every transaction of the trace did."""
    logs: list[list[LogRecord]] = [[] for _ in range(len(trace.transactions))]
    table = trace.logs
    addresses = limbs_to_bytes(table.address)
    topics = [limbs_to_bytes(getattr(table, name)) for name in TOPICS]
    for row in np.flatnonzero((table.reverted == 0) & (table.transaction != NONE)).tolist():
        own = tuple(topics[i][row] for i in range(int(table.topics[row])))
        data = trace.bytes_at(table.data_start[row], table.data_size[row])
        logs[int(table.transaction[row])].append(LogRecord(addresses[row], own, data))
    return tuple(
        ReceiptRecord(int(status), int(gas), tuple(own))
        for status, gas, own in zip(trace.transactions.status, trace.transactions.gas_used, logs, strict=True)
    )


def withdrawals_of(trace: ExecutionTrace, block: int) -> tuple[bytes, ...]:
    """RLP of a block's withdrawals (EIP-4895)."""
    table = trace.withdrawals
    addresses = limbs_to_bytes(table.address)
    rows = range(int(trace.blocks.first_withdrawal[block]), int(trace.blocks.end_withdrawal[block]))
    return tuple(
        rlp.encode([int(table.index[row]), int(table.validator[row]), addresses[row], int(table.amount[row])])
        for row in rows
    )


def assemble(
    executed: ExecutedBatch, batch: Batch, jobs: Sequence[SegmentJob], proofs: Sequence[SegmentProof]
) -> ProofFile:
    """Statement, public data, witness and segment proofs of a batch as one proof file.

    Args:
        executed: the batch.
        batch: its trace and leaves.
        jobs, proofs: of all its segments, in order.
    """
    trace, leaves = batch.trace, batch.leaves
    keys = leaves.keys
    slots = limbs_to_ints(keys.slot)
    return ProofFile(
        statement=statement_of(executed),
        parent_header=executed.parent_header,
        ancestors=executed.ancestor_headers,
        blocks=tuple(
            BlockRecord(header, tuple(transactions), withdrawals_of(trace, number), executed.outputs[number])
            for number, (header, transactions) in enumerate(executed.blocks)
        ),
        state_keys=tuple(zip(keys.kind.tolist(), limbs_to_bytes(keys.address), slots, strict=True)),
        codes=tuple(trace.bytes_at(trace.codes.start[row], trace.codes.size[row]) for row in leaves.code_rows),
        state_nodes=tuple(executed.state_nodes),
        receipts=receipts_of(trace),
        segments=tuple(_segment(job, proof) for job, proof in zip(jobs, proofs, strict=True)),
    )


def check_listed(executed: ExecutedBatch, batch: Batch) -> None:
    """Check that a proof file has room for what the batch lists, whatever its segments are.

    So a batch that is too large is refused before its tables are filled to plan segments, which takes time.

    Raises:
        UnsupportedFeature: the batch has more of something than a file may have.
    """
    try:
        decode_proof(encode_proof(assemble(executed, batch, [], [])))
    except Invalid as error:
        raise UnsupportedFeature(f"a proof file that the verifier refuses (format: {error})") from error


def check_assembled(executed: ExecutedBatch, batch: Batch, jobs: Sequence[SegmentJob]) -> None:
    """Check that the verifier accepts all of the proof file but for the proofs of these segments, of all operations.

    These are yet to be made: nothing is proved that is refused then.

    Raises:
        UnsupportedFeature: the batch has more of something than a file may have, or anything else that is refused.
        CostError: there are too many segments for one.
    """
    file = encode_proof(assemble(executed, batch, jobs, [SegmentProof(b"")] * len(jobs)))
    circuits = [circuit_named(job.plan.keys) for job in jobs]
    proofs = [
        check_segment_size(circuit, job.plan.heights, job.plan.log_stacked_height)
        for circuit, job in zip(circuits, jobs, strict=True)
    ]
    size = len(file) + sum(proofs) + _RLP_BYTES * len(jobs)
    if len(jobs) > MAX_SEGMENTS or size > MAX_FILE_BYTES:
        raise CostError(
            f"{len(jobs):,} segments make a proof file of {size >> 20:,} MiB ({MAX_SEGMENTS:,} segments and "
            f"{MAX_FILE_BYTES >> 20:,} MiB are allowed)",
            "choose larger segments with --segment-memory",
        )
    try:
        wanted = check_contents(file, [job.plan.heights for job in jobs])
    except Rejected as error:
        raise UnsupportedFeature(f"a proof file that the verifier refuses ({error})") from error
    for job, expected in zip(jobs, wanted, strict=True):
        stated = (job.public_values.to_list(), list(job.frames), list(job.words))
        if stated != (expected.values, expected.frames, expected.words):
            raise UnsupportedFeature(f"segment {job.plan.index} does not state what the verifier expects of it")


def _segment(job: SegmentJob, proof: SegmentProof) -> SegmentRecord:
    made = job.writes
    if made is None:
        writes, codes = Writes.from_bytes(b""), CodeWrites.from_bytes(b"")
    else:
        writes = Writes(made.scope.astype(np.uint32), made.leaf.astype(np.uint32), made.value, made.nonce)
        codes = CodeWrites(made.code_scope.astype(np.uint32), made.code_leaf.astype(np.uint32), made.code_hash)
    return SegmentRecord(
        job.plan.first,
        job.plan.end,
        job.plan.log_stacked_height,
        writes,
        proof.proof,
        codes,
        job.open_end,
        job.later_links,
        form=job.plan.form,
    )
