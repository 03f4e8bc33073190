"""The proof file of an executed and proved batch."""

from collections.abc import Sequence

from executor.execute import ExecutedBatch
from executor.transfers import Access, TransferTrace
from prover.segment import SegmentJob, SegmentProof
from verifier.container import BlockRecord, Effects, ProofFile, SegmentRecord
from verifier.statement import BatchStatement

_NONCE_LIMBS = 4


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


def effects_of(trace: TransferTrace) -> Effects:
    """The values every transaction of the trace wrote."""
    balances = [Access.SENDER_BALANCE, Access.RECIPIENT_BALANCE, Access.COINBASE_BALANCE]
    return Effects(
        status=trace.status,
        gas_used=trace.gas_used,
        nonce=trace.access_after[:, Access.SENDER_NONCE, :_NONCE_LIMBS],
        balances=trace.access_after[:, balances],
    )


def assemble(
    executed: ExecutedBatch, trace: TransferTrace, jobs: Sequence[SegmentJob], proofs: Sequence[SegmentProof]
) -> ProofFile:
    """Statement, public data, witness and segment proofs of a batch as one proof file.

    Args:
        executed: the batch.
        trace: its transfers.
        jobs, proofs: of all its segments, in order.
    """
    return ProofFile(
        statement=statement_of(executed),
        parent_header=executed.parent_header,
        blocks=tuple(BlockRecord(header, tuple(transactions)) for header, transactions in executed.blocks),
        state_keys=tuple((int(key.kind), key.address) for key in trace.state_keys()),
        state_nodes=tuple(executed.state_nodes),
        effects=effects_of(trace),
        segments=tuple(_segment(job, proof) for job, proof in zip(jobs, proofs, strict=True)),
    )


def _segment(job: SegmentJob, proof: SegmentProof) -> SegmentRecord:
    access_out = tuple(int(element) for element in job.public_values.access_out)
    return SegmentRecord(job.plan.first, job.plan.end, job.plan.log_stacked_height, access_out, proof.proof)
