"""Blocks and transactions around what a recorder takes down: together the execution trace of a batch."""

from __future__ import annotations

from typing import Any

import rlp
from eth.abc import BlockHeaderAPI, ReceiptAPI

from executor.batch import Block
from executor.chain import Ancestors, base_fee, excess_blob_gas
from executor.forks import EXECUTED_FORKS, Fork
from executor.recorder import Position, Recorder
from executor.state_keys import StateKey
from executor.tables import TableBuffer
from executor.trace import NONE, Blocks, ExecutionTrace, Transactions, Withdrawals
from executor.trace import Ancestors as AncestorTable
from executor.transactions import Transaction


class TraceBuilder:
    """Marks where blocks and transactions begin and end, and keeps what is known of them outside of the machine."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self._transactions = TableBuffer(Transactions)
        self._blocks = TableBuffer(Blocks)
        self._withdrawals = TableBuffer(Withdrawals)
        self._start = self.recorder.position  # of the transaction, or of the block
        self._block_start = (self._start, 0)
        self.block_changes: list[dict[StateKey, int]] = []  # lasting keys that each block wrote, with their last values

    def begin_block(self, number: int, fork: Fork) -> None:
        """Block ``number`` of the batch begins, with its system calls."""
        self.recorder.follow(fork)
        self._fork = list(EXECUTED_FORKS).index(fork.name)
        self.recorder.block, self.recorder.transaction = number, NONE
        self.recorder.after_transactions = False
        self._block_start = self.recorder.position, len(self._transactions)
        self.recorder.active = True

    def begin_transaction(self) -> None:
        """The next transaction begins."""
        self.recorder.transaction = len(self._transactions)
        self.recorder.forget_passing_values()
        self._start = self.recorder.position
        self.recorder.active = True

    def end_transaction(
        self,
        transaction: Transaction,
        header: BlockHeaderAPI,
        receipt: ReceiptAPI,
        computation: Any,
    ) -> None:
        """The transaction ended. ``header`` is the one before it."""
        recorder = self.recorder
        recorder.active = False
        start, end = self._start, recorder.position
        fee = base_fee(header)
        gas_used = receipt.gas_used - header.gas_used
        encoded = receipt.encode()
        blob_hashes = b"".join(transaction.blob_versioned_hashes)
        self._transactions.append(
            block=recorder.block,
            raw_start=recorder.put(transaction.raw),
            raw_size=len(transaction.raw),
            type=transaction.type,
            sender=transaction.sender,
            to=transaction.to or b"",
            is_creation=transaction.to is None,
            nonce=transaction.nonce,
            gas_limit=transaction.gas_limit,
            value=transaction.value,
            max_fee=transaction.max_fee,
            max_priority_fee=transaction.max_priority_fee,
            gas_price=min(transaction.max_fee, transaction.max_priority_fee + fee),
            max_fee_per_blob_gas=transaction.max_fee_per_blob_gas,
            input_start=recorder.put(transaction.data),
            input_size=len(transaction.data),
            access_addresses=transaction.access_addresses,
            access_keys=transaction.access_keys,
            authorizations=len(transaction.authorization_list),
            blob_hashes_start=recorder.put(blob_hashes),
            blob_hashes_size=len(blob_hashes),
            intrinsic_gas=transaction.intrinsic_gas,
            # Nothing where the floor of EIP-7623 takes more than the execution.
            gas_refunded=max(0, transaction.gas_limit - computation.get_gas_remaining() - gas_used),
            gas_used=gas_used,
            cumulative_gas=receipt.gas_used,
            status=receipt.state_root == b"\x01",
            receipt_start=recorder.put(encoded),
            receipt_size=len(encoded),
            first_frame=start.frames,
            end_frame=end.frames,
            first_step=start.steps,
            end_step=end.steps,
            first_access=start.accesses,
            end_access=end.accesses,
            first_log=start.logs,
            end_log=end.logs,
        )
        recorder.transaction = NONE

    def resume(self) -> None:
        """What follows is part of the execution again, outside of transactions."""
        self.recorder.active = True

    def pause(self) -> None:
        """What follows is no part of the execution."""
        self.recorder.active = False

    def begin_withdrawals(self) -> None:
        """The transactions of the block are done; what comes are its withdrawals and the system calls behind them."""
        self.recorder.after_transactions = True
        self.recorder.forget_passing_values()
        self.recorder.active = True

    def end_block(self, block: Block, header: BlockHeaderAPI, blob_base_fee: int) -> None:
        """The block is finished; ``header`` is its own."""
        recorder = self.recorder
        recorder.active = False
        recorder.forget_passing_values()
        self.block_changes.append(recorder.take_changes())
        withdrawals = len(self._withdrawals)
        for withdrawal in block.context.withdrawals:
            self._withdrawals.append(
                block=recorder.block,
                index=withdrawal.index,
                validator=withdrawal.validator_index,
                address=withdrawal.address,
                amount=withdrawal.amount,
            )
        start, first_transaction = self._block_start
        end: Position = recorder.position
        encoded = rlp.encode(header)
        self._blocks.append(
            number=header.block_number,
            fork=self._fork,
            timestamp=header.timestamp,
            coinbase=header.coinbase,
            base_fee=base_fee(header),
            prev_randao=header.mix_hash,
            gas_limit=header.gas_limit,
            gas_used=header.gas_used,
            excess_blob_gas=excess_blob_gas(header),
            blob_gas_used=header.blob_gas_used,
            blob_base_fee=blob_base_fee,
            parent_beacon_root=header.parent_beacon_block_root,
            parent_hash=header.parent_hash,
            hash=header.hash,
            state_root=header.state_root,
            header_start=recorder.put(encoded),
            header_size=len(encoded),
            first_transaction=first_transaction,
            end_transaction=len(self._transactions),
            first_frame=start.frames,
            end_frame=end.frames,
            first_step=start.steps,
            end_step=end.steps,
            first_access=start.accesses,
            end_access=end.accesses,
            first_withdrawal=withdrawals,
            end_withdrawal=len(self._withdrawals),
        )

    def finish(self, chain_id: int, fork: str, parent: BlockHeaderAPI, root: bytes, known: Ancestors) -> ExecutionTrace:
        """The trace; ``root`` is the state root after the batch. The builder is empty afterwards."""
        ancestors = TableBuffer(AncestorTable)
        for number, block_hash in known.asked:
            ancestors.append(number=number, hash=block_hash)
        return ExecutionTrace(
            **self.recorder.finish(),  # type: ignore[arg-type] # tables by their names
            transactions=Transactions(**self._transactions.finish()),
            blocks=Blocks(**self._blocks.finish()),
            withdrawals=Withdrawals(**self._withdrawals.finish()),
            ancestors=AncestorTable(**ancestors.finish()),
            chain_id=chain_id,
            fork=fork,
            pre_state_root=bytes(parent.state_root),
            post_state_root=bytes(root),
        )
