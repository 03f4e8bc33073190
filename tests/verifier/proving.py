"""A small batch with real segment proofs, for tests of what the last checks refuse."""

from functools import cache

import zkevm_native

from circuits.segment import boundaries, fill, segment_circuit
from executor.batch import batch_from_document
from executor.execute import execute
from executor.transfers import Access, transfer_trace
from scripts.workloads import transfer_batch
from verifier.container import BlockRecord, Effects, ProofFile, SegmentRecord
from verifier.statement import BatchStatement

LOG_STACKED_HEIGHT = 16
"""The smallest one that holds the table of the 16-bit range checks."""


@cache
def proving_key() -> zkevm_native.ProvingKey:
    return zkevm_native.keygen(segment_circuit().export(), LOG_STACKED_HEIGHT)


@cache
def proved_batch(transactions: int, segments: int, seed: int = 0) -> ProofFile:
    """The proof file of a batch of transfers, cut into segments of equal size."""
    executed = execute(batch_from_document(transfer_batch(transactions, seed)))
    trace = transfer_trace(executed)
    cuts = [transactions * i // segments for i in range(segments + 1)]
    records = []
    for boundary, first, end in zip(boundaries(trace, cuts[:-1]), cuts[:-1], cuts[1:], strict=True):
        filled = fill(trace.slice(first, end), boundary)
        proof, _ = zkevm_native.prove(proving_key(), filled.traces, filled.public_lists, 2)
        access_out = tuple(int(element) for element in filled.public_values.access_out)
        records.append(SegmentRecord(first, end, LOG_STACKED_HEIGHT, access_out, proof))
    balances = [Access.SENDER_BALANCE, Access.RECIPIENT_BALANCE, Access.COINBASE_BALANCE]
    return ProofFile(
        statement=BatchStatement(**{name: getattr(executed, name) for name in BatchStatement.__slots__}),
        parent_header=executed.parent_header,
        blocks=tuple(BlockRecord(header, tuple(body)) for header, body in executed.blocks),
        state_keys=tuple((int(key.kind), key.address) for key in trace.state_keys()),
        state_nodes=tuple(executed.state_nodes),
        effects=Effects(
            status=trace.status,
            gas_used=trace.gas_used,
            nonce=trace.access_after[:, Access.SENDER_NONCE, :4],
            balances=trace.access_after[:, balances],
        ),
        segments=tuple(records),
    )
