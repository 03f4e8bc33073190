"""Execution of a batch by py-evm; the result is a chain of blocks, a trace and a state witness."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import rlp
from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.vm.forks.shanghai.withdrawals import Withdrawal
from eth.vm.interrupt import EVMMissingData, MissingBytecode
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.codec import length_prefix
from trie.exceptions import MissingTrieNode

from executor.batch import Batch, Block, Witness
from executor.chain import Ancestors, base_fee, check_header, missing_data, open_block, open_chain
from executor.errors import BatchError, MissingState
from executor.forks import SET_CODE_TYPE, Fork
from executor.limits import NO_LIMITS, Limits, Watch
from executor.machine import Confined, confined_machine
from executor.recorder import Recorder
from executor.requests import requests_hash
from executor.rules import Surroundings, check_validity
from executor.state_keys import EMPTY_CODE_HASH, LASTING_KINDS, StateKey, StateKind
from executor.trace import ExecutionTrace
from executor.trace_builder import TraceBuilder
from executor.tracer import traced_machine
from executor.transactions import Transaction, delegates
from executor.witness import StateTrie, WitnessBuilder

Progress = Callable[[int, int], None]  # (transactions done, transactions in all)


@dataclass(frozen=True, eq=False)
class ExecutedBatch:
    """A batch with everything its execution gave."""

    batch: Batch
    parent_header: bytes  # RLP; its state root is the pre-state root
    blocks: list[tuple[bytes, list[bytes]]]  # RLP of the header, raw signed transactions
    receipts: list[list[bytes]]  # consensus encoding (EIP-2718) of the receipts, per block
    outputs: list[tuple[bytes, ...]]  # what the fork's `block_end_calls` return that return requests, per block
    trace: ExecutionTrace | None  # None: not asked for, as is the witness
    witness: Witness | None
    post_state: StateTrie  # to be read only
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
    def forks(self) -> list[Fork]:
        """The fork of every block."""
        return [self.batch.schedule.at(block.context.timestamp) for block in self.batch.blocks]

    @property
    def fork(self) -> str:
        """The forks of the blocks, as the statement of a proof has them: see `Schedule.of_blocks`."""
        return self.batch.schedule.of_blocks(block.context.timestamp for block in self.batch.blocks)

    def with_witness(self) -> Batch:
        """The batch, carrying its witness instead of the whole pre-state.

        Raises:
            ValueError: it was executed without a trace, and has no witness.
        """
        if self.witness is None:
            raise ValueError("a batch executed without a trace has no witness")
        return replace(
            self.batch,
            genesis=None,
            parent_header=self.parent_header,
            witness=self.witness,
            ancestor_hashes=self.witness.ancestor_hashes,
            ancestor_headers=self.witness.ancestor_headers,
        )

    @property
    def ancestor_headers(self) -> tuple[bytes, ...]:
        """RLP of the headers before the parent's, the latest first, that prove what BLOCKHASH gives."""
        return self.witness.ancestor_headers if self.witness else ()

    @property
    def state_nodes(self) -> list[bytes]:
        """RLP of the witness's Merkle-Patricia nodes, the root first; none without a witness."""
        return list(self.witness.nodes) if self.witness else []

    @property
    def transactions_commitment(self) -> bytes:
        """keccak256 of the RLP list of blocks, each a list of raw signed transactions (as byte strings)."""
        return keccak(rlp.encode([transactions for _, transactions in self.blocks]))

    @property
    def receipts_commitment(self) -> bytes:
        """keccak256 of the RLP list of blocks, each a list of encoded receipts (as byte strings)."""
        return keccak(rlp.encode(self.receipts))


def execute(
    batch: Batch, *, limits: Limits = NO_LIMITS, trace: bool = True, progress: Progress | None = None
) -> ExecutedBatch:
    """Run a batch, every block under the rules of its fork.

    ``progress`` is called after every transaction with the number done and the number in all.

    Raises:
        BatchError: the batch is invalid.
        MissingState: its witness lacks something; says what, if it is traced.
        LimitExceeded: running it went over a limit.
        UnsupportedFeature: a header has numbers beyond what this program can hold.
    """
    return _Run(batch, limits, trace, progress).result()


class _Run:
    """One execution: the chain that grows block by block."""

    def __init__(self, batch: Batch, limits: Limits, trace: bool, progress: Progress | None) -> None:
        self._batch = batch
        self._progress = progress or (lambda done, total: None)
        self._watch = Watch(limits)
        self._builder = TraceBuilder() if trace else None
        self._chain, self._parent = open_chain(batch)
        self._ancestors = Ancestors(self._parent, batch)
        self._machines: dict[str, Any] = {}  # by the fork's name
        self._headers: list[BlockHeaderAPI] = [self._parent]
        self._receipts: list[list[bytes]] = []
        self._outputs: list[tuple[bytes, ...]] = []
        self._done = 0  # transactions
        self._gas_used = 0

    def result(self) -> ExecutedBatch:
        for index, block in enumerate(self._batch.blocks):
            self._run_block(index, block)
        batch = self._batch
        parent, *headers = self._headers
        # Without blocks the statement speaks of the parent alone.
        first, last = (headers or [parent])[0], self._headers[-1]
        builder, database = self._builder, self._chain.chaindb.db
        witness = None
        if builder:
            try:
                self._complete_keys(builder.recorder, database)
                witness = self._witness(builder, database)
            except MissingTrieNode as error:
                raise MissingState(_lacking(error), accounts=self._keys_of(error)) from error
        executed = ExecutedBatch(
            batch=batch,
            parent_header=rlp.encode(parent),
            blocks=[
                (rlp.encode(header), [transaction.raw for transaction in block.transactions])
                for header, block in zip(headers, batch.blocks, strict=True)
            ],
            receipts=self._receipts,
            outputs=self._outputs,
            witness=witness,
            trace=None,
            post_state=StateTrie(database, last.state_root),
            pre_state_root=parent.state_root,
            post_state_root=last.state_root,
            first_block_number=first.block_number,
            first_block_hash=first.hash,
            last_block_number=last.block_number,
            last_block_hash=last.hash,
            gas_used=sum(header.gas_used for header in headers),
        )
        if not builder:
            return executed
        trace = builder.finish(batch.chain_id, executed.fork, parent, last.state_root, self._ancestors)
        return replace(executed, trace=trace)

    def _run_block(self, index: int, block: Block) -> None:
        number: int | None = None
        before = self._headers[-1].hash
        if block.parent_hash not in (None, before):
            # Said first: on another block, and so another state, most of what follows would fail in some other way.
            reason = f"0x{block.parent_hash.hex()} where the block before has the hash 0x{before.hex()}"
            raise BatchError(reason, block=index, field="header.parentHash")
        fork = self._batch.schedule.at(block.context.timestamp)
        try:
            vm, header = open_block(self._chain, self._headers[-1], block.context, fork, self._machine(fork), index)
            transactions: list[SignedTransactionAPI] = []
            receipts: list[ReceiptAPI] = []
            builder, blob_base_fee = self._builder, vm.state.blob_base_fee
            # As VM.import_block does, with a look at every transaction.
            if builder:
                builder.begin_block(index, fork)
            vm.block_preprocessing(vm.get_block())
            if builder:
                builder.pause()
            for number, transaction in enumerate(block.transactions):
                self._watch.check()
                check_validity(transaction, index, number, self._surroundings(fork, vm, header, transaction))
                evm_transaction = vm.get_transaction_builder().decode(transaction.raw)
                if builder:
                    builder.begin_transaction()
                receipt, computation = vm.apply_transaction(header, evm_transaction)
                if builder:
                    builder.end_transaction(transaction, header, receipt, computation)
                header = vm.increment_blob_gas_used(vm.add_receipt_to_header(header, receipt), evm_transaction)
                transactions.append(evm_transaction)
                receipts.append(receipt)
                self._watch.check_gas(self._gas_used + header.gas_used)
                self._done += 1
                self._progress(self._done, self._batch.transactions)
            number = None
            if builder:
                builder.begin_withdrawals()
            withdrawals = [Withdrawal(**item.model_dump()) for item in block.context.withdrawals]
            vm.apply_all_withdrawals(withdrawals)
            requests = vm.make_requests(receipts)
            returned = {call.request_type for call in fork.block_end_calls}
            outputs = tuple(request[1:] for request in requests if request[0] in returned)
            if builder:
                builder.pause()
            filled = vm.set_block_transactions_and_withdrawals(
                vm.get_block(), header, transactions, receipts, withdrawals
            )
            if fork.has_requests:
                filled = filled.copy(header=filled.header.copy(requests_hash=requests_hash(requests)))
            finished = vm.mine_block(filled).block.header
            _check_size(fork, block, finished, transactions, withdrawals)
        except ValidationError as error:
            # The checks of this package come first and say more; this is py-evm's word on what they do not know.
            raise BatchError(str(error), block=index, transaction=number) from error
        except EVMMissingData as error:
            accounts, codes = self._keys_of(error), self._codes_of(error)
            raise MissingState(
                missing_data(error), accounts=accounts, codes=codes, block=index, transaction=number
            ) from error
        except BatchError as error:
            if error.block is not None:
                raise
            raise BatchError(error.reason, block=index, transaction=number, field=error.field) from error
        if block.header is not None:
            check_header(finished, block.header, self._batch.schedule, index)
        if builder:
            builder.end_block(block, finished, blob_base_fee)
        self._chain.chaindb.persist_header(finished)
        self._ancestors.add(finished)
        self._headers.append(finished)
        self._outputs.append(outputs)
        self._receipts.append([receipt.encode() for receipt in receipts])
        self._gas_used += finished.gas_used

    def _complete_keys(self, recorder: Recorder, database: MutableMapping[bytes, bytes]) -> None:
        """Every account has all of its fields among the keys, and every slot its value, though nothing read them."""
        addresses, slots = self._touched(recorder)
        kinds = LASTING_KINDS - {StateKind.STORAGE}
        wanted = {StateKey(kind, address) for address in addresses for kind in kinds}
        wanted.update(StateKey(StateKind.STORAGE, address, slot) for address, slot in slots)
        state = StateTrie(database, self._parent.state_root)
        missing: dict[bytes, set[int]] = {}
        reason = ""
        for key in sorted(wanted.difference(recorder.keys)):
            try:
                recorder.add_untouched(key, state.value(key))
            except MissingTrieNode as error:
                reason = reason or _lacking(error)
                missing.setdefault(key.address, set()).update([key.slot] if key.kind == StateKind.STORAGE else [])
        if missing:
            # All at once: whoever asks for them need not come back for each.
            raise MissingState(reason, accounts={address: tuple(sorted(found)) for address, found in missing.items()})

    def _touched(self, recorder: Recorder) -> tuple[set[bytes], set[tuple[bytes, int]]]:
        """Accounts and slots that the batch touches, were it only by warming them."""
        addresses: set[bytes] = set()
        slots: set[tuple[bytes, int]] = set()
        for key in recorder.keys:
            if key.kind != StateKind.REFUND:
                addresses.add(key.address)
            if key.kind in (StateKind.WARM_SLOT, StateKind.ORIGINAL):
                slots.add((key.address, key.slot))
        for block in self._batch.blocks:
            addresses.update(withdrawal.address for withdrawal in block.context.withdrawals)
            if block.transactions:
                addresses.add(block.context.coinbase)
            for transaction in block.transactions:
                addresses.add(transaction.sender)
                if transaction.to is not None:
                    addresses.add(transaction.to)
                for address, listed in transaction.access_list:
                    addresses.add(address)
                    slots.update((address, int.from_bytes(slot, "big")) for slot in listed)
        return addresses, slots

    def _keys_of(self, error: Exception) -> dict[bytes, tuple[int, ...]]:
        """The accounts and slots whose paths lead to a node that is missing: tries know keys by their hashes alone."""
        if self._builder is None or not isinstance(error, MissingTrieNode):
            return {}
        recorder = self._builder.recorder
        addresses, slots = self._touched(recorder)
        addresses |= self._system_contracts()
        slots |= {(key.address, key.slot) for key in recorder.keys if key.kind == StateKind.STORAGE}
        path = bytes(error.requested_key)
        accounts: dict[bytes, tuple[int, ...]] = {a: () for a in addresses if keccak(a) == path}
        for address, slot in sorted(slots):
            if keccak(slot.to_bytes(32, "big")) == path:
                accounts[address] = (*accounts.get(address, ()), slot)
        return accounts

    def _codes_of(self, error: EVMMissingData) -> tuple[bytes, ...]:
        """The accounts that have a code that is missing."""
        if self._builder is None or not isinstance(error, MissingBytecode):
            return ()
        state, found = StateTrie(self._chain.chaindb.db, self._parent.state_root), []
        for address in sorted(self._touched(self._builder.recorder)[0]):
            # What stands in the way of looking here stands in the way of the code, and comes up by itself.
            with suppress(MissingTrieNode):
                if state.code_hash(address) == error.missing_code_hash:
                    found.append(address)
        return tuple(found)

    def _witness(self, builder: TraceBuilder, database: MutableMapping[bytes, bytes]) -> Witness:
        nodes = WitnessBuilder(database, self._parent.state_root)
        recorder = builder.recorder
        system_keys = [StateKey(StateKind.CODE_HASH, address) for address in self._system_contracts()]
        nodes.include(sorted({*recorder.lasting_keys, *system_keys}))
        for header, changes in zip(self._headers[1:], builder.block_changes, strict=True):
            nodes.apply_block(changes, header.state_root)
        hashes, headers = self._ancestors.used
        return Witness(tuple(nodes.nodes), tuple(recorder.pre_state_codes), hashes, headers)

    def _system_contracts(self) -> set[bytes]:
        """Every block looks at those of its fork."""
        times = (self._parent.timestamp, *(block.context.timestamp for block in self._batch.blocks))
        return {address for time in times for address in self._batch.schedule.at(time).system_contracts}

    def _machine(self, fork: Fork) -> Any:
        """The virtual machine class of a fork."""
        if fork.name not in self._machines:
            confined, builder = Confined(fork, self._watch, self._ancestors), self._builder
            machine = traced_machine(confined, builder.recorder) if builder else confined_machine(confined)
            self._machines[fork.name] = machine
        return self._machines[fork.name]

    def _surroundings(self, fork: Fork, vm: Any, header: BlockHeaderAPI, transaction: Transaction) -> Surroundings:
        code_hash = vm.state.get_code_hash(transaction.sender)
        return Surroundings(
            fork=fork,
            chain_id=self._batch.chain_id,
            base_fee=base_fee(header),
            blob_base_fee=vm.state.blob_base_fee,
            gas_left=header.gas_limit - header.gas_used,
            blob_gas_left=fork.blobs.max_gas_per_block - header.blob_gas_used,
            sender_nonce=vm.state.get_nonce(transaction.sender),
            sender_balance=vm.state.get_balance(transaction.sender),
            sender_code_hash=code_hash,
            sender_delegates=code_hash != EMPTY_CODE_HASH and self._delegates(fork, vm, transaction.sender),
        )

    def _delegates(self, fork: Fork, vm: Any, address: bytes) -> bool:
        """Whether an account that has a code is one that may send all the same (EIP-7702)."""
        if SET_CODE_TYPE not in fork.transaction_types:
            return False
        # A read of the code that the witness must show, too.
        if self._builder:
            self._builder.resume()
        found = delegates(vm.state.get_code(address))
        if self._builder:
            self._builder.pause()
        return found


def _lacking(error: MissingTrieNode) -> str:
    return f"the witness lacks a node of the state trie: 0x{error.missing_node_hash.hex()}"


def _check_size(fork: Fork, block: Block, header: BlockHeaderAPI, transactions: Any, withdrawals: Any) -> None:
    """Check the bytes of a block's RLP (EIP-7934); ``transactions`` and ``withdrawals`` are py-evm's."""
    if fork.max_block_bytes is None:
        return
    given = block.header or rlp.encode(header)
    bodies = (rlp.encode(list(items)) for items in (transactions, (), withdrawals))
    payload = len(given) + sum(map(len, bodies))
    size = payload + len(length_prefix(payload, 0xC0))
    if size > fork.max_block_bytes:
        raise BatchError(f"a block of {size} bytes, more than {fork.max_block_bytes} (EIP-7934)")
