"""What a segment does to accounts and slots, access by access: the events behind the `account` and `storage` buses.

`StateView.of(execution)` replays the segment once; every table that takes part in these buses fills its columns from
it.

Accesses of a transaction (`begin`, `end`: the operation's `begin_time` and `end_time`):

    begin + 1       sender: nonce + 1, balance - (gas limit * gas price + blob gas * blob base fee + value)
    begin + 2       recipient: balance + value
    begin + 3       coinbase, unchanged (EIP-3651: warm)
    begin + 4 + i   entry i of the access list: an address on `account`, a key on `storage`; unchanged
    time of a step  account and storage instructions; the beneficiary of SELFDESTRUCT one later, at time + 1
    end + 1         recipient: balance - value where the transaction failed
    end + 2         sender: balance + unused gas * gas price, and + value where the transaction failed
    end + 3         coinbase: balance + gas used * (gas price - base fee)

A withdrawal pays at begin + 1. A beacon-root write writes its timestamp's slot at begin + 1, its root's at begin + 2.

Tokens: every access to an account sends warm = operation + 1. The first token of a slot is cold; every access to
storage sends warm = 1, to transient storage warm = 0. A first token's time is one less than its first access's.
Instructions that fail for want of gas send back what they took, except those that fail before they look at the state:
SSTORE with no more than the stipend, SELFDESTRUCT below its constant cost, EXTCODECOPY that cannot pay even for a warm
account. These take no token at all.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.execution import TRANSACTION_BEGIN, Execution, Integers, ranges, small_integers
from circuits.batch.leaves import LeafKind, LeafValues
from circuits.batch.operation_items import operation_items
from circuits.batch.operations import OperationKind
from circuits.limbs import Limbs, addresses_from_bytes, u64_from_ints, u64_to_ints, words_from_ints, words_to_ints
from circuits.statement import WRITE_ITEM, WRITES_START, Digests, running_chain
from circuits.widths import ADDRESS, NONCE, WORD
from executor.errors import ExecutionMismatch
from executor.forks import BEACON_ROOTS_ADDRESS, CANCUN
from executor.opcodes import OPCODES

#: EIP-4788: the beacon roots contract keeps this many timestamps, and as many roots behind them.
HISTORY_BUFFER_LENGTH = 8191
_GWEI = 10**9

#: Gas below which an instruction fails before it looks at the state: EIP-2200 (at most the stipend), EIP-150.
SSTORE_STIPEND = 2300
GAS_SELFDESTRUCT = 5000
GAS_WARM_ACCESS = 100
GAS_COPY_WORD = 3

#: Source of these: cancun/vm/gas.py and storage.py of the execution specs.
GAS_COLD_SLOAD = 2100
GAS_STORAGE_SET = 20000
GAS_STORAGE_UPDATE = 5000
GAS_STORAGE_CLEAR_REFUND = 4800

_STORAGE_OPCODES = tuple(OPCODES[name] for name in ("SLOAD", "SSTORE", "TLOAD", "TSTORE"))
_ACCOUNT_OPCODES = tuple(
    OPCODES[name] for name in ("BALANCE", "SELFBALANCE", "EXTCODESIZE", "EXTCODEHASH", "EXTCODECOPY", "SELFDESTRUCT")
)


class Role(IntEnum):
    """What an account is to an operation."""

    SENDER_BEGIN = 0
    RECIPIENT_BEGIN = 1
    COINBASE_BEGIN = 2
    RECIPIENT_END = 3
    SENDER_END = 4
    COINBASE_END = 5
    WITHDRAWAL = 6


@dataclass(frozen=True, eq=False)
class _Rows:
    """Columns of equal length."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: Any) -> Any:
        """The rows of these indices."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class AccountAccesses(_Rows):
    """Accesses on the `account` bus, (n, ...): `time` and what is sent, `then` and what is received.

    Attributes:
        leaf: index in the access tree; operation, scope: numbers of the operation and of its block's first one.
        address: (n, 10).
        time, then: of the token sent and of the one received.
        balance, nonce, warm: (n, 16), (n, 4), (n,) as received; code_hash: (n, 16).
        balance_after, nonce_after, warm_after: as sent.
    """

    leaf: Integers
    operation: Integers
    scope: Integers
    address: Limbs
    time: Integers
    then: Integers
    balance: Limbs
    nonce: Limbs
    code_hash: Limbs
    warm: Integers
    balance_after: Limbs
    nonce_after: Limbs
    warm_after: Integers


@dataclass(frozen=True, eq=False)
class StorageAccesses(_Rows):
    """Accesses on the `storage` bus, (n, ...): `time` and what is sent, `then` and what is received.

    Attributes:
        leaf: index in the access tree; kind: leaf kind; operation: its number.
        address, slot: (n, 10), (n, 16).
        time, then: of the token sent and of the one received.
        value, warm: (n, 16), (n,) as received; value_after, warm_after: as sent.
        original: (n, 16): the value before the operation.
    """

    leaf: Integers
    kind: Integers
    operation: Integers
    address: Limbs
    slot: Limbs
    time: Integers
    then: Integers
    value: Limbs
    warm: Integers
    value_after: Limbs
    warm_after: Integers
    original: Limbs


@dataclass(frozen=True, eq=False)
class AccessListEntries(_Rows):
    """An access list, one row an entry: each address followed by its keys; slot 0 for an address."""

    is_key: NDArray[np.uint8]
    address: Limbs
    slot: Limbs


@dataclass(frozen=True, eq=False)
class AccountRows(_Rows):
    """Rows of the `account` table; `previous`: what account_state gave as the scope."""

    leaf: Integers
    scope: Integers
    previous: Integers
    first_time: Integers
    last_time: Integers
    last_warm: Integers
    balance: Limbs
    nonce: Limbs
    balance_after: Limbs
    nonce_after: Limbs
    code_hash: Limbs


@dataclass(frozen=True, eq=False)
class StorageRows(_Rows):
    """Rows of the `storage` table; `previous`: what storage_state gave as the scope.

    `last`: the value of the last access, `result`: what stays of it; `originals`: queries of the original value.
    """

    leaf: Integers
    operation: Integers
    previous: Integers
    first_time: Integers
    last_time: Integers
    last_warm: Integers
    value: Limbs
    last: Limbs
    result: Limbs
    stays: NDArray[np.bool_]
    originals: Integers


@dataclass(frozen=True, eq=False)
class Writes:
    """The segment's writes to leaves, those of accounts before those of slots.

    Attributes:
        account, slot: rows of `AccountRows`, `StorageRows` that make one, ascending.
        scope, leaf, value, nonce: what the items hold, (n,), (n,), (n, 16), (n, 4).
        states: hash states of the items, (n, blocks, 8).
        chain: running hash before, between and behind them, (n + 1, 8).
    """

    account: Integers
    slot: Integers
    scope: Integers
    leaf: Integers
    value: Limbs
    nonce: Limbs
    states: Digests
    chain: Digests


_VIEWS: WeakKeyDictionary[Execution, StateView] = WeakKeyDictionary()


class StateView:
    """All accesses of a segment to accounts and slots.

    Attributes:
        before, after: values of all leaves at the segment's start and end.
        accounts, slots: rows of the tables `account` and `storage`.

    Raises (when made):
        ExecutionMismatch: the replay comes to other values than the execution.
    """

    @staticmethod
    def of(execution: Execution) -> StateView:
        """The view of this execution, made once."""
        view = _VIEWS.get(execution)
        if view is None:
            view = _VIEWS[execution] = StateView(execution)
        return view

    def __init__(self, execution: Execution) -> None:
        operations = execution.operations
        count = len(execution.trace.accesses.key)
        marks = [*operations.first_access.tolist(), count]
        self._first, self._end = execution.first, execution.end
        self.before: LeafValues = execution.leaves.values_at(marks[execution.first])
        self.after: LeafValues = execution.leaves.values_at(marks[execution.end])
        self._keys = execution.leaves.keys
        self._scopes = operations.scope[operations.block]
        self._read_access_lists(execution)
        self._replay_accounts(execution)
        self._replay_storage(execution)
        self._check(execution)

    # What the tables ask for.

    def account_access(self, operations: Integers, role: Role) -> AccountAccesses:
        """The accesses of these operations (numbers, (n,)) in a role: transactions, or withdrawals."""
        found: AccountAccesses = self._accounts[self._role_access[role][np.asarray(operations) - self._first]]
        return found

    def account_instruction(self, steps: Integers, which: int = 0) -> AccountAccesses:
        """The accesses of account instructions (steps, (n,)) that take a token.

        `which`: 0 for the operand's account (SELFBALANCE, SELFDESTRUCT: the own one), 1 for SELFDESTRUCT's beneficiary.
        """
        found: AccountAccesses = self._accounts[self._account_of_step[which][steps]]
        return found

    def takes_account(self, steps: Integers) -> NDArray[np.bool_]:
        """Which of these steps (n,) take a token of an account."""
        takes: NDArray[np.bool_] = self._account_of_step[0][steps] >= 0
        return takes

    def storage_instruction(self, steps: Integers) -> StorageAccesses:
        """The accesses of SLOAD, SSTORE, TLOAD and TSTORE (steps, (n,)) that take a token."""
        found: StorageAccesses = self._storage[self._storage_of_step[steps]]
        return found

    def takes_storage(self, steps: Integers) -> NDArray[np.bool_]:
        """Which of these steps (n,) take a token of a slot: all but SSTORE with no more than the stipend."""
        takes: NDArray[np.bool_] = self._storage_of_step[steps] >= 0
        return takes

    def access_list_accesses(self) -> tuple[Integers, AccountAccesses, StorageAccesses]:
        """All entries of the segment's access lists end to end, in the order of the transactions.

        Returns:
            The times (n,) of the entries, and the accesses: those of the entries that are addresses, in order, and
            those of the entries that are keys, in order.
        """
        accounts: AccountAccesses = self._accounts[self._entry_accounts]
        slots: StorageAccesses = self._storage[self._entry_slots]
        return self._entry_time, accounts, slots

    def beacon_accesses(self, operations: Integers, which: int) -> StorageAccesses:
        """The writes of beacon-root operations (numbers, (n,)); `which`: 0 for the timestamp, 1 for the root."""
        found: StorageAccesses = self._storage[self._beacon_access[which][np.asarray(operations) - self._first]]
        return found

    def refund(self, steps: Integers) -> tuple[Integers, Integers, Integers]:
        """Refund tokens of successful SSTOREs (n,): the counter before, its change, the time of the token received.

        Only where the change is not 0 a token is received (and sent at the step's time). The first token of a
        transaction is (0, begin_time).
        """
        return self._refund_before[steps], self._refund_change[steps], self._refund_then[steps]

    def refund_end(self, operations: Integers) -> tuple[Integers, Integers]:
        """The last refund token of transactions (numbers, (n,)): the counter and its time."""
        local = np.asarray(operations) - self._first
        return self._refund_total[local], self._refund_time[local]

    @cached_property
    def writes(self) -> Writes:
        """The writes to leaves and their running hash."""
        accounts, slots = self.accounts, self.slots
        account = np.flatnonzero(
            (accounts.balance != accounts.balance_after).any(axis=1)
            | (accounts.nonce != accounts.nonce_after).any(axis=1)
        )
        slot = np.flatnonzero((slots.value != slots.result).any(axis=1))
        scope = np.concatenate([accounts.scope[account], slots.operation[slot]])
        leaf = np.concatenate([accounts.leaf[account], slots.leaf[slot]])
        value = np.concatenate([accounts.balance_after[account], slots.result[slot]])
        nonce = np.concatenate([accounts.nonce_after[account], np.zeros((len(slot), NONCE), dtype=np.uint16)])
        states = WRITE_ITEM.states(scope=scope, leaf=leaf, value=value, nonce=nonce)
        chain = running_chain(WRITES_START, states[:, -1])
        return Writes(account, slot, scope, leaf, value, nonce, states, chain)

    # The replay.

    def _read_access_lists(self, execution: Execution) -> None:
        entries = operation_items(execution.batch).entries
        counts = entries.counts[execution.transactions]
        rows = ranges(entries.starts[execution.transactions], counts)
        self._entries = AccessListEntries(*(entries.items.fields[f.name][rows] for f in fields(AccessListEntries)))
        operations = execution.transaction_operations
        self._entry_operation = np.repeat(operations, counts)
        begins = execution.begin_time[operations - execution.first]
        self._entry_time = ranges(begins + TRANSACTION_BEGIN, counts)

    def _replay_accounts(self, execution: Execution) -> None:
        """One operation after the other, in Python: balances are 256 bits wide, and accesses few beside steps."""
        trace = execution.trace
        table, blocks = trace.transactions, trace.blocks
        replay = _AccountReplay(self.before, self._scopes)
        steps = execution.rows(*_ACCOUNT_OPCODES)
        steps = steps[~_fails_untouched(execution, steps)]
        self._account_of_step = np.full((2, len(execution.step)), -1, dtype=np.int64)
        opcode = execution.opcode[steps]
        own = trace.frames.address[execution.frame_row(execution.frame[steps])]
        has_operand = opcode != OPCODES["SELFBALANCE"]
        operand = own.copy()
        operand[has_operand] = execution.operand(steps[has_operand], 0)[:, :ADDRESS]
        own_leaf, operand_leaf = self._account_leaf(own).tolist(), self._account_leaf(operand).tolist()
        step_bounds = np.searchsorted(execution.operation[steps], np.arange(execution.first, execution.end + 1))

        rows = execution.transactions
        block_of = execution.operations.block[execution.transaction_operations]
        sender, recipient, coinbase = (
            self._account_leaf(x).tolist() for x in (table.sender[rows], table.to[rows], blocks.coinbase[block_of])
        )
        price, value = words_to_ints(table.gas_price[rows]), words_to_ints(table.value[rows])
        base_fee = words_to_ints(blocks.base_fee[block_of])
        blob_fee = words_to_ints(blocks.blob_base_fee[block_of])
        blob_gas = (table.blob_hashes_size[rows].astype(np.int64) // 32 * CANCUN.blobs.gas_per_blob).tolist()
        gas_limit, gas_used = table.gas_limit[rows].tolist(), table.gas_used[rows].tolist()
        status = table.status[rows].tolist()

        is_address = np.flatnonzero(self._entries.is_key == 0)
        entry_leaf = self._account_leaf(self._entries.address[is_address]).tolist()
        entry_time = self._entry_time[is_address].tolist()
        entry_bounds = np.searchsorted(self._entry_operation[is_address], np.arange(execution.first, execution.end + 1))
        self._entry_accounts = np.zeros(len(is_address), dtype=np.int64)

        operations = execution.end - execution.first
        self._role_access = np.full((len(Role), operations), -1, dtype=np.int64)
        number = -1
        for local in range(operations):
            operation = execution.first + local
            begin, end = int(execution.begin_time[local]), int(execution.end_time[local])
            role = self._role_access[:, local]
            if execution.kind[local] == OperationKind.WITHDRAWAL:
                row = int(execution.operations.row[operation])
                leaf = int(self._account_leaf(trace.withdrawals.address[row : row + 1])[0])
                amount = int(trace.withdrawals.amount[row]) * _GWEI
                role[Role.WITHDRAWAL] = replay.access(operation, leaf, begin + 1, amount)
            if execution.kind[local] != OperationKind.TRANSACTION:
                continue
            number += 1
            s, r, c, paid = sender[number], recipient[number], coinbase[number], value[number]
            upfront = gas_limit[number] * price[number] + blob_gas[number] * blob_fee[number] + paid
            role[Role.SENDER_BEGIN] = replay.access(operation, s, begin + 1, -upfront, nonce=1)
            role[Role.RECIPIENT_BEGIN] = replay.access(operation, r, begin + 2, paid)
            role[Role.COINBASE_BEGIN] = replay.access(operation, c, begin + 3)
            for entry in range(entry_bounds[local], entry_bounds[local + 1]):
                self._entry_accounts[entry] = replay.access(operation, entry_leaf[entry], entry_time[entry])
            for i in range(step_bounds[local], step_bounds[local + 1]):
                step = int(steps[i])
                time = int(execution.time[step])
                if opcode[i] != OPCODES["SELFDESTRUCT"]:
                    self._account_of_step[0, step] = replay.access(operation, operand_leaf[i], time)
                    continue
                moved = 0 if execution.failed[step] else replay.balance(own_leaf[i])
                self._account_of_step[0, step] = replay.access(operation, own_leaf[i], time, -moved)
                self._account_of_step[1, step] = replay.access(operation, operand_leaf[i], time + 1, moved)
            back = 0 if status[number] else paid
            unused = gas_limit[number] - gas_used[number]
            fee = gas_used[number] * (price[number] - base_fee[number])
            role[Role.RECIPIENT_END] = replay.access(operation, r, end + 1, -back)
            role[Role.SENDER_END] = replay.access(operation, s, end + 2, unused * price[number] + back)
            role[Role.COINBASE_END] = replay.access(operation, c, end + 3, fee)
        self._accounts, self.accounts = replay.finish(self._keys.address)

    def _account_leaf(self, addresses: Limbs) -> Integers:
        return self._keys.index(LeafKind.ACCOUNT, addresses)

    def _replay_storage(self, execution: Execution) -> None:
        trace = execution.trace
        steps = execution.rows(*_STORAGE_OPCODES)
        opcode = execution.opcode[steps]
        touches = (opcode != OPCODES["SSTORE"]) | (execution.gas[steps] > SSTORE_STIPEND)
        steps, opcode = steps[touches], opcode[touches]
        transient = np.isin(opcode, (OPCODES["TLOAD"], OPCODES["TSTORE"]))
        own = trace.frames.address[execution.frame_row(execution.frame[steps])]
        kind = np.where(transient, LeafKind.TRANSIENT, LeafKind.STORAGE)
        step_leaf = self._keys.index(kind, own, execution.operand(steps, 0))
        writes = np.isin(opcode, (OPCODES["SSTORE"], OPCODES["TSTORE"])) & ~execution.failed[steps]
        written = np.zeros((len(steps), WORD), dtype=np.uint16)
        written[writes] = execution.operand(steps[writes], 1)

        is_key = np.flatnonzero(self._entries.is_key)
        key_leaf = self._keys.index(LeafKind.STORAGE, self._entries.address[is_key], self._entries.slot[is_key])

        beacons = np.flatnonzero(execution.kind == OperationKind.BEACON) + execution.first
        block = execution.operations.row[beacons]
        stamps = trace.blocks.timestamp[block].tolist()
        places = [stamp % HISTORY_BUFFER_LENGTH for stamp in stamps]
        beacon_slots = words_from_ints(places + [place + HISTORY_BUFFER_LENGTH for place in places])
        beacon_address = np.repeat(addresses_from_bytes([BEACON_ROOTS_ADDRESS]), 2 * len(beacons), axis=0)
        beacon_leaf = self._keys.index(LeafKind.STORAGE, beacon_address, beacon_slots)
        beacon_time = execution.begin_time[beacons - execution.first]

        leaf = np.concatenate([step_leaf, key_leaf, beacon_leaf])
        operation = np.concatenate([execution.operation[steps], self._entry_operation[is_key], beacons, beacons])
        time = np.concatenate([execution.time[steps], self._entry_time[is_key], beacon_time + 1, beacon_time + 2])
        is_write = np.zeros(len(leaf), dtype=bool)
        is_write[: len(steps)] = writes
        is_write[len(steps) + len(is_key) :] = True
        values = np.zeros((len(leaf), WORD), dtype=np.uint16)
        values[: len(steps)] = written
        values[len(steps) + len(is_key) :] = np.concatenate(
            [words_from_ints(stamps), trace.blocks.parent_beacon_root[block]]
        )
        queries = np.zeros(len(leaf), dtype=np.int64)
        queries[: len(steps)] = opcode == OPCODES["SSTORE"]

        status = np.ones(execution.end - execution.first, dtype=bool)
        status[execution.transaction_operations - execution.first] = trace.transactions.status[execution.transactions]
        order = np.lexsort((time, operation, leaf))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        self._sort_storage(
            leaf[order], operation[order], time[order], is_write[order], values[order], queries[order], status
        )

        self._storage_of_step = np.full(len(execution.step), -1, dtype=np.int64)
        self._storage_of_step[steps] = place[: len(steps)]
        self._entry_slots = place[len(steps) : len(steps) + len(is_key)]
        self._beacon_access = np.full((2, len(status)), -1, dtype=np.int64)
        self._beacon_access[:, beacons - execution.first] = place[len(steps) + len(is_key) :].reshape(2, -1)
        loads = np.isin(opcode, (OPCODES["SLOAD"], OPCODES["TLOAD"])) & ~execution.failed[steps]
        if (self._storage.value[place[: len(steps)][loads]] != execution.result(steps[loads])).any():
            raise ExecutionMismatch("a slot holds another value than its replay")
        self._count_refunds(execution, steps[(opcode == OPCODES["SSTORE"]) & writes])

    def _sort_storage(
        self,
        leaf: Integers,
        operation: Integers,
        time: Integers,
        is_write: NDArray[np.bool_],
        written: Limbs,
        queries: Integers,
        status: NDArray[np.bool_],
    ) -> None:
        """Accesses sorted by slot, operation and time: a slot's accesses within one operation are a group."""
        n = len(leaf)
        index = np.arange(n)
        new_leaf = np.ones(n, dtype=bool)
        new_leaf[1:] = leaf[1:] != leaf[:-1]
        new_group = new_leaf.copy()
        new_group[1:] |= operation[1:] != operation[:-1]
        kind = self._keys.kind[leaf].astype(np.int64)
        stays = status[operation - self._first] & (kind == LeafKind.STORAGE)
        last_write = np.maximum.accumulate(np.where(is_write, index, -1)) if n else index
        last_stay = np.maximum.accumulate(np.where(is_write & stays, index, -1)) if n else index
        group_start = np.maximum.accumulate(np.where(new_group, index, 0)) if n else index
        leaf_start = np.maximum.accumulate(np.where(new_leaf, index, 0)) if n else index

        # A group opens with what stays of the groups before it.
        source = np.where(group_start > 0, last_stay[group_start - 1], -1) if n else index
        from_start = source < leaf_start
        original = np.where(from_start[:, None], self.before.value[leaf], written[source])
        previous = np.concatenate([[-1], last_write[:-1]]) if n else index
        value = np.where((previous >= group_start)[:, None], written[previous], original)
        after = np.where(is_write[:, None], written, value)
        is_storage = kind == LeafKind.STORAGE
        earlier = np.concatenate([[0], time[:-1]]) if n else index
        self._storage = StorageAccesses(
            leaf=leaf,
            kind=kind,
            operation=operation,
            address=self._keys.address[leaf],
            slot=self._keys.slot[leaf],
            time=time,
            then=np.where(new_group, time - 1, earlier),
            value=value,
            warm=(is_storage & ~new_group).astype(np.int64),
            value_after=after,
            warm_after=is_storage.astype(np.int64),
            original=original,
        )
        starts = np.flatnonzero(new_group)
        ends = np.append(starts[1:], n) - 1 if n else starts
        previous_operation = np.concatenate([[0], operation[ends[:-1]] + 1]) if n else starts
        last = after[ends]
        self.slots = StorageRows(
            leaf=leaf[starts],
            operation=operation[starts],
            previous=np.where(new_leaf[starts], 0, previous_operation),
            first_time=time[starts] - 1,
            last_time=time[ends],
            last_warm=self._storage.warm_after[ends],
            value=original[starts],
            last=last,
            result=np.where(stays[starts, None], last, original[starts]),
            stays=stays[starts],
            originals=np.add.reduceat(queries, starts) if n else starts,
        )

    def _count_refunds(self, execution: Execution, steps: Integers) -> None:
        """`steps`: the successful SSTOREs, ascending."""
        access = self.storage_instruction(steps)
        change = refund_change(access.original, access.value, access.value_after)
        total = np.zeros(len(execution.step), dtype=np.int64)
        self._refund_change = total.copy()
        self._refund_change[steps] = change
        self._refund_before, self._refund_then = total.copy(), total.copy()
        local = execution.operation[steps] - execution.first
        running = np.cumsum(change) - change
        first = np.searchsorted(local, local)
        self._refund_before[steps] = running - running[first]
        moves = np.flatnonzero(change)
        times = execution.time[steps]
        last = np.maximum.accumulate(np.where(change != 0, np.arange(len(steps)), -1)) if len(steps) else steps
        previous = np.concatenate([[-1], last[:-1]]).astype(np.int64) if len(steps) else steps
        in_operation = previous >= first
        self._refund_then[steps] = np.where(in_operation, times[previous], execution.begin_time[local])
        self._refund_total = np.zeros(execution.end - execution.first, dtype=np.int64)
        np.add.at(self._refund_total, local, change)
        self._refund_time = execution.begin_time.copy()
        self._refund_time[local[moves]] = times[moves]  # ascending: the last one stays

    def _check(self, execution: Execution) -> None:
        """Every leaf has the value that the execution left."""
        value, nonce = self.before.value.copy(), self.before.nonce.copy()
        # Rows of a leaf are in the order of their scopes: the last one stays.
        value[self.accounts.leaf] = self.accounts.balance_after
        nonce[self.accounts.leaf] = self.accounts.nonce_after
        value[self.slots.leaf] = self.slots.result
        same = (value == self.after.value).all(axis=1) & (nonce == self.after.nonce).all(axis=1)
        same &= (self.before.code_hash == self.after.code_hash).all(axis=1)
        if not same.all():
            leaf = int(np.flatnonzero(~same)[0])
            kind = LeafKind(int(self._keys.kind[leaf])).name.lower()
            raise ExecutionMismatch(f"the replay of leaf {leaf} ({kind}) differs from the execution")


class _AccountReplay:
    """Accesses to accounts in the order of time."""

    def __init__(self, before: LeafValues, scopes: Integers) -> None:
        self._before = before
        self._scopes = scopes
        self._state: dict[int, list[int]] = {}  # leaf -> balance, nonce, time, warm, row
        self._accesses: list[tuple[int, ...]] = []
        self._values: dict[str, list[int]] = defaultdict(list)
        self._rows: list[list[int]] = []

    def _open(self, leaf: int) -> list[int]:
        state = self._state.get(leaf)
        if state is None:
            balance = words_to_ints(self._before.value[leaf : leaf + 1])[0]
            nonce = u64_to_ints(self._before.nonce[leaf : leaf + 1])[0]
            state = self._state[leaf] = [balance, nonce, -1, 0, -1]
        return state

    def balance(self, leaf: int) -> int:
        """The balance of an account now."""
        return self._open(leaf)[0]

    def access(self, operation: int, leaf: int, time: int, amount: int = 0, nonce: int = 0) -> int:
        """Add to balance and nonce; returns the number of the access."""
        state = self._open(leaf)
        scope = int(self._scopes[operation])
        row = state[4]
        if row < 0 or self._rows[row][1] != scope:
            previous = 0 if row < 0 else self._rows[row][1] + 1
            state[2:] = [time - 1, 0, len(self._rows)]
            self._rows.append([leaf, scope, previous, time - 1, time, 0])
            self._values["row_balance"].append(state[0])
            self._values["row_nonce"].append(state[1])
            self._values["row_balance_after"].append(0)
            self._values["row_nonce_after"].append(0)
        balance = state[0] + amount
        if balance < 0:
            raise ExecutionMismatch(f"the replay of leaf {leaf} overdraws its balance")
        self._accesses.append((leaf, operation, scope, time, state[2], state[3], operation + 1))
        self._values["balance"].append(state[0])
        self._values["nonce"].append(state[1])
        self._values["balance_after"].append(balance)
        self._values["nonce_after"].append(state[1] + nonce)
        state[:4] = [balance, state[1] + nonce, time, operation + 1]
        row = state[4]
        self._rows[row][4:] = [time, operation + 1]
        self._values["row_balance_after"][row] = balance
        self._values["row_nonce_after"][row] = state[1]
        return len(self._accesses) - 1

    def finish(self, addresses: Limbs) -> tuple[AccountAccesses, AccountRows]:
        """All accesses and all rows."""
        leaf, operation, scope, time, then, warm, warm_after = np.array(self._accesses, dtype=np.int64).reshape(-1, 7).T
        row_leaf, row_scope, previous, first_time, last_time, last_warm = (
            np.array(self._rows, dtype=np.int64).reshape(-1, 6).T
        )
        values = self._values
        accesses = AccountAccesses(
            leaf=leaf,
            operation=operation,
            scope=scope,
            address=addresses[leaf],
            time=time,
            then=then,
            balance=words_from_ints(values["balance"]),
            nonce=u64_from_ints(values["nonce"]),
            code_hash=self._before.code_hash[leaf],
            warm=warm,
            balance_after=words_from_ints(values["balance_after"]),
            nonce_after=u64_from_ints(values["nonce_after"]),
            warm_after=warm_after,
        )
        table = AccountRows(
            leaf=row_leaf,
            scope=row_scope,
            previous=previous,
            first_time=first_time,
            last_time=last_time,
            last_warm=last_warm,
            balance=words_from_ints(values["row_balance"]),
            nonce=u64_from_ints(values["row_nonce"]),
            balance_after=words_from_ints(values["row_balance_after"]),
            nonce_after=u64_from_ints(values["row_nonce_after"]),
            code_hash=self._before.code_hash[row_leaf],
        )
        return accesses, table


def refund_change(original: Limbs, current: Limbs, new: Limbs) -> Integers:
    """What an SSTORE adds to the refund counter (n,), possibly negative: execution-specs storage.py, EIP-3529."""
    no_original, no_current, no_new = (~word.any(axis=1) for word in (original, current, new))
    changes = (current != new).any(axis=1)
    restores = (original == new).all(axis=1)
    clears = GAS_STORAGE_CLEAR_REFUND * (~no_original & ~no_current & no_new).astype(np.int64)
    unclears = GAS_STORAGE_CLEAR_REFUND * (~no_original & no_current).astype(np.int64)
    back = np.where(
        no_original, GAS_STORAGE_SET - GAS_WARM_ACCESS, GAS_STORAGE_UPDATE - GAS_COLD_SLOAD - GAS_WARM_ACCESS
    )
    change: Integers = changes * (clears - unclears + restores * back)
    return change


def extcodecopy_costs(execution: Execution, steps: Integers) -> tuple[Integers, Integers]:
    """Words of memory after EXTCODECOPY (n,) and its gas for a warm account (n,)."""
    offset, size = (small_integers(execution.operand(steps, index)) for index in (1, 3))
    words = -(-size // 32)
    before = execution.memory_words[steps]
    after = np.maximum(before, np.where(size == 0, 0, -(-(offset + size) // 32)))
    expansion = 3 * (after - before) + after * after // 512 - before * before // 512
    return after, GAS_WARM_ACCESS + GAS_COPY_WORD * words + expansion


def _fails_untouched(execution: Execution, steps: Integers) -> NDArray[np.bool_]:
    """Which account instructions (n,) fail before they look at the state."""
    opcode, gas = execution.opcode[steps], execution.gas[steps]
    least = np.where(opcode == OPCODES["SELFDESTRUCT"], GAS_SELFDESTRUCT, 0).astype(np.int64)
    copies = np.flatnonzero(opcode == OPCODES["EXTCODECOPY"])
    least[copies] = extcodecopy_costs(execution, steps[copies])[1]
    return gas < least
