"""Execution of a batch: py-evm runs it, every transaction is observed; the result is a trace and a state witness."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import rlp
from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from executor.accesses import StateAccess, StateKey, observe, replay_transfer, transfer_keys
from executor.batch import Batch, Block
from executor.chain import base_fee, open_block, open_chain
from executor.errors import BatchError, ExecutionMismatch
from executor.rules import BEACON_ROOTS_ADDRESS, check_batch, check_kind, check_provable, check_validity
from executor.trace import ExecutionTrace
from executor.trace_builder import ExecutedTransfer, build_trace
from executor.transactions import Transaction
from executor.witness import WitnessBuilder

Progress = Callable[[int, int], None]  # (transactions done, transactions in all)


@dataclass(frozen=True, eq=False)
class ExecutedBatch:
    """A batch with everything its execution gave."""

    batch: Batch
    parent_header: bytes  # RLP; its state root is the pre-state root
    blocks: list[tuple[bytes, list[bytes]]]  # RLP of the header, raw signed transactions
    receipts: list[list[bytes]]  # consensus encoding (EIP-2718) of the receipts, per block
    trace: ExecutionTrace
    keys: list[StateKey]  # sorted, as in the trace
    state_nodes: list[bytes]  # RLP of Merkle-Patricia nodes of the pre-state, the root first
    pre_state_root: bytes
    post_state_root: bytes
    first_block_number: int  # without blocks, first and last block are the parent
    first_block_hash: bytes
    last_block_number: int
    last_block_hash: bytes
    gas_used: int

    @property
    def chain_id(self) -> int:
        """Chain id of the batch."""
        return self.batch.chain_id

    @property
    def fork(self) -> str:
        """Name of the fork, in lower case."""
        return self.batch.fork

    @property
    def transactions_commitment(self) -> bytes:
        """keccak256 of the RLP list of blocks, each a list of raw signed transactions (as byte strings)."""
        return keccak(rlp.encode([transactions for _, transactions in self.blocks]))

    @property
    def receipts_commitment(self) -> bytes:
        """keccak256 of the RLP list of blocks, each a list of encoded receipts (as byte strings)."""
        return keccak(rlp.encode(self.receipts))


def execute(batch: Batch, progress: Progress | None = None) -> ExecutedBatch:
    """Run a batch under the rules of its fork.

    ``progress`` is called after every transaction with the number done and the number in all.

    Raises:
        BatchError: the batch is invalid.
        UnsupportedFeature: the batch cannot be proved yet.
        ExecutionMismatch: py-evm and the replay of the state accesses disagree (a defect of this program).
    """
    check_batch(batch)
    return _Run(batch, progress).result()


class _Run:
    """One execution: the state that grows from block to block."""

    def __init__(self, batch: Batch, progress: Progress | None) -> None:
        self._batch = batch
        self._progress = progress or (lambda done, total: None)
        self._total = sum(len(block.transactions) for block in batch.blocks)
        self._empty_accounts = {address for address, account in batch.genesis.accounts.items() if account.empty}
        self._chain, self._parent = open_chain(batch)
        self._headers: list[BlockHeaderAPI] = [self._parent]
        self._receipts: list[list[bytes]] = []
        self._transfers: list[ExecutedTransfer] = []
        self._values: dict[StateKey, int] = {}  # value of every key seen so far

    def result(self) -> ExecutedBatch:
        block_ends = []
        for index, block in enumerate(self._batch.blocks):
            self._run_block(index, block)
            block_ends.append(len(self._transfers))
        keys = sorted(self._values)
        parent, *headers = self._headers
        # Without blocks the statement speaks of the parent alone.
        first, last = (headers or [parent])[0], self._headers[-1]
        return ExecutedBatch(
            batch=self._batch,
            parent_header=rlp.encode(parent),
            blocks=[
                (rlp.encode(header), [transaction.raw for transaction in block.transactions])
                for header, block in zip(headers, self._batch.blocks, strict=True)
            ],
            receipts=self._receipts,
            trace=build_trace(self._batch, headers, self._transfers, keys),
            keys=keys,
            state_nodes=self._witness(keys, block_ends),
            pre_state_root=parent.state_root,
            post_state_root=last.state_root,
            first_block_number=first.block_number,
            first_block_hash=first.hash,
            last_block_number=last.block_number,
            last_block_hash=last.hash,
            gas_used=sum(header.gas_used for header in headers),
        )

    def _run_block(self, index: int, block: Block) -> None:
        vm, header = open_block(self._chain, self._headers[-1], block.context, index)
        number: int | None = None
        transactions: list[SignedTransactionAPI] = []
        receipts: list[ReceiptAPI] = []
        try:
            # As VM.apply_all_transactions does, with a look at the state around every transaction.
            vm.block_preprocessing(vm.get_block())
            for number, transaction in enumerate(block.transactions):
                check_kind(transaction, index, number)
                keys = transfer_keys(transaction, header.coinbase)
                before = observe(vm.state, keys)
                self._check(transaction, index, number, header, before)
                evm_transaction = vm.get_transaction_builder().decode(transaction.raw)
                receipt, _ = vm.apply_transaction(header, evm_transaction)
                self._record(transaction, index, header, receipt, before, observe(vm.state, keys))
                header = vm.increment_blob_gas_used(vm.add_receipt_to_header(header, receipt), evm_transaction)
                transactions.append(evm_transaction)
                receipts.append(receipt)
                self._progress(len(self._transfers), self._total)
            number = None
            filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), header, transactions, receipts)
            finished = vm.mine_block(filled).block
        except ValidationError as error:
            # The checks of this package come first and say more; this is py-evm's word on what they do not know.
            raise BatchError(str(error), block=index, transaction=number) from error
        self._chain.chaindb.persist_header(finished.header)
        self._headers.append(finished.header)
        self._receipts.append([receipt.encode() for receipt in receipts])

    def _check(
        self, transaction: Transaction, index: int, number: int, header: BlockHeaderAPI, before: dict[StateKey, int]
    ) -> None:
        """Refuse a transaction that is invalid, or valid but no value transfer."""
        nonce, sender_code, balance, recipient_code, *_ = (
            before[key] for key in transfer_keys(transaction, header.coinbase)
        )
        check_validity(
            transaction,
            index,
            number,
            chain_id=self._batch.chain_id,
            base_fee=base_fee(header),
            gas_left=header.gas_limit - header.gas_used,
            sender_nonce=nonce,
            sender_balance=balance,
            sender_code_hash=sender_code.to_bytes(32, "big"),
        )
        check_provable(
            transaction,
            index,
            number,
            recipient_code_hash=recipient_code.to_bytes(32, "big"),
            coinbase=header.coinbase,
            empty_accounts=self._empty_accounts,
        )

    def _record(
        self,
        transaction: Transaction,
        index: int,
        header: BlockHeaderAPI,
        receipt: ReceiptAPI,
        before: dict[StateKey, int],
        after: dict[StateKey, int],
    ) -> None:
        """Compare what py-evm did with a value transfer, and keep it. ``header`` is the one before the transaction."""
        gas_used = receipt.gas_used - header.gas_used
        if gas_used != transaction.intrinsic_gas or receipt.state_root != b"\x01" or receipt.logs:
            raise ExecutionMismatch(f"transaction 0x{transaction.raw.hex()} did not run as a value transfer")
        if any(self._values.get(key, value) != value for key, value in before.items()):
            raise ExecutionMismatch(f"the state changed between transactions, before 0x{transaction.raw.hex()}")
        accesses = replay_transfer(transaction, header.coinbase, base_fee(header), gas_used, before, after)
        self._values.update(after)
        self._transfers.append(ExecutedTransfer(index, transaction, gas_used, accesses))

    def _witness(self, keys: list[StateKey], block_ends: list[int]) -> list[bytes]:
        builder = WitnessBuilder(self._chain.chaindb.db, self._parent.state_root)
        builder.include(sorted({key.address for key in keys} | {BEACON_ROOTS_ADDRESS}))
        start = 0
        for header, end in zip(self._headers[1:], block_ends, strict=True):
            accesses = (access for transfer in self._transfers[start:end] for access in transfer.accesses)
            builder.apply_block(_last_writes(accesses), header.state_root)
            start = end
        return builder.nodes


def _last_writes(accesses: Iterable[StateAccess]) -> dict[StateKey, int]:
    """Last value of every key that the accesses change on the way."""
    writes: dict[StateKey, int] = {}
    for access in accesses:
        if access.after != access.before:
            writes[access.key] = access.after
    return writes
