"""What a segment does to accounts and slots, access by access: the events behind the `account` and `storage` buses.

`StateView.of(execution)` replays the segment once; every table that takes part in these buses fills its columns from
it.

Accesses of a transaction (`begin`, `end`: the operation's `begin_time` and `end_time`), in world 0:

    begin + 1       sender: nonce + 1, balance - (gas limit * gas price + blob gas * blob base fee + value)
    begin + 2       recipient: balance + value
    begin + 3       coinbase, unchanged (EIP-3651: warm)
    begin + 4 + i   entry i of the access list: an address on `account`, a key on `storage`; unchanged
    end + 1, + 2    recipient: balance - value, sender: balance + value, where the transaction failed
    end + 3         sender: balance + unused gas * gas price
    end + 4         coinbase: balance + gas used * (gas price - base fee)
    end + 5         accounts whose storage was touched and that stay, where others are destroyed; unchanged
    end + 6 + i     the accounts that are destroyed: deleted

Accesses of frames, in the frame's world; `T`: the time at which a frame begins:

    time of a step  account and storage instructions; the beneficiary of SELFDESTRUCT one later, at time + 1
                    calls: the account whose code runs; the own one at time + 1, where it lacks the value
                    CREATE, CREATE2: the creator, whose nonce grows, and the new account at time + 1; the creator
                    alone, where it lacks the value or has no further nonce
    T               what the frame undoes, where it fails: handed over by the world around it
    T + 1, T + 2    caller: balance - value, account: balance + value; a new account's nonce and life
    its last step   of a creation: the new account's code

Where accounts can delegate (EIP-7702) the recipient is accessed later, and authorizations before it (`T`: the time at
which the outermost frame begins, `e`: the number of entries of the access list):

    begin + 4 + e + i   authorization i: nonce and code of who has signed it; unchanged where it has no effect
    T - 2               recipient: balance + value
    T - 1               the account that it has delegated to, unchanged
    time of a call + 1  the account that the one which is called has delegated to; the own one, if it is looked at,
                        one later, at time + 2

A system call looks at its contract at begin + 1, unchanged; behind its last step there are the survivors and the
deletions of a transaction. A withdrawal pays at begin + 1. A beacon-root write writes its timestamp's
slot at begin + 1, its root's at begin + 2, the write of the parent's hash its slot at begin + 1.

Tokens: every access to an account sends warm = operation + 1. The first token of a slot is cold; every access to
storage sends warm = 1, to transient storage warm = 0. A first token's time is 0. What a frame hands over is unchanged.
Instructions that fail for want of gas send back what they took, except those that fail before they look at the state:
SSTORE with no more than the stipend, SELFDESTRUCT below its constant cost, EXTCODECOPY that cannot pay even for a warm
account. These take no token at all.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.execution import TRANSACTION_BEGIN, Execution, Integers, ranges, small_integers
from circuits.batch.leaves import LeafKind, LeafValues
from circuits.batch.operation_items import operation_items
from circuits.batch.operations import OperationKind
from circuits.limbs import Limbs, addresses_from_bytes, words_from_bytes
from circuits.state.account_events import Role, account_events
from circuits.state.histories import Histories
from circuits.state.rows import (
    AccessListEntries,
    AccountAccesses,
    StorageAccesses,
    StorageRows,
    StorageUndoRows,
    SubstateAccesses,
    SubstateUndoRows,
    Writes,
)
from circuits.statement import CODE_ITEM, WRITE_ITEM, WRITES_START, running_chain
from circuits.widths import NONCE, WORD
from executor.errors import ExecutionMismatch
from executor.forks import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS
from executor.opcodes import CALLS, OPCODES
from executor.state_keys import EMPTY_CODE_HASH

__all__ = ["AccountAccesses", "Role", "StateView", "Writes"]

#: Gas below which an instruction fails before it looks at the state: EIP-2200 (at most the stipend), EIP-150.
SSTORE_STIPEND = 2300
GAS_SELFDESTRUCT = 5000
GAS_WARM_ACCESS = 100
GAS_COPY_WORD = 3
GAS_CALL_VALUE = 9000

#: Source of these: cancun/vm/gas.py and storage.py of the execution specs.
GAS_COLD_SLOAD = 2100
GAS_STORAGE_SET = 20000
GAS_STORAGE_UPDATE = 5000
GAS_STORAGE_CLEAR_REFUND = 4800

#: Refund of an authorization for an account that exists: PER_EMPTY_ACCOUNT_COST - PER_AUTH_BASE_COST (EIP-7702).
GAS_AUTHORIZATION_REFUND = 12500

EMPTY_CODE: Limbs = words_from_bytes([EMPTY_CODE_HASH])[0]

_STORAGE_OPCODES = tuple(OPCODES[name] for name in ("SLOAD", "SSTORE", "TLOAD", "TSTORE"))
_TRANSIENT_OPCODES = (OPCODES["TLOAD"], OPCODES["TSTORE"])


_VIEWS: WeakKeyDictionary[Execution, StateView] = WeakKeyDictionary()


class StateView:
    """All accesses of a segment to accounts and slots.

    Attributes:
        before, after: values of all leaves at the segment's start and end.
        accounts, slots: accounts in blocks and slots in operations: rows of the tables around their accesses.
        account_undo, storage_undo, substate_undo: what frames that fail undo.
        transfers: of ether, with frames, and back from transactions that fail.

    Raises (when made):
        ExecutionMismatch: the replay comes to other values than the execution.
    """

    @staticmethod
    def of(execution: Execution) -> StateView:
        """The view of this execution, made once."""
        execution = execution.joint
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
        self._find_slots(execution)
        self._replay_accounts(execution)
        self._replay_storage(execution)
        self._count_substate(execution)
        self._check(execution)

    # What the tables ask for.

    def account_access(self, operations: Integers, role: Role) -> AccountAccesses:
        """The accesses of these operations (numbers, (n,)) in a role: transactions, withdrawals or system calls."""
        found: AccountAccesses = self._accounts[self._role_access[role][np.asarray(operations) - self._first]]
        return found

    def account_instruction(self, steps: Integers, which: int = 0) -> AccountAccesses:
        """The accesses of account instructions (steps, (n,)) that take a token.

        `which`: 0 for the account that is looked at (SELFBALANCE, SELFDESTRUCT, CREATE: the own one), 1 for a second
        one: SELFDESTRUCT's beneficiary, the own account of calls, the new one of creations.
        """
        found: AccountAccesses = self._accounts[self._account_of_step[which][steps]]
        return found

    def takes_account(self, steps: Integers) -> NDArray[np.bool_]:
        """Which of these steps (n,) take a token of an account."""
        takes: NDArray[np.bool_] = self._account_of_step[0][steps] >= 0
        return takes

    def delegates(self, steps: Integers) -> NDArray[np.bool_]:
        """Which of these steps (n,) are calls that look at an account to which the one they call has delegated."""
        delegates: NDArray[np.bool_] = self._account_of_step[2][steps] >= 0
        return delegates

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

    def authorization_accesses(self) -> AccountAccesses:
        """Accesses of those who have signed the segment's authorizations, in order; of void ones there is none."""
        return self._authorizations

    def block_writes(self, operations: Integers, which: int = 0) -> StorageAccesses:
        """The writes of operations (numbers, (n,)) that write to slots: of the parent's hash, or of a beacon root.

        `which`: of a beacon root 0 for the timestamp, 1 for the root.
        """
        found: StorageAccesses = self._storage[self._block_write[which][np.asarray(operations) - self._first]]
        return found

    def deposit(self, frames: Integers) -> AccountAccesses:
        """The accesses that store the code of creations (frames' ids, (n,)) that succeed and leave some."""
        found: AccountAccesses = self._accounts[self._deposit_access[frames - 1]]
        return found

    def transfer_accesses(self) -> tuple[AccountAccesses, AccountAccesses]:
        """The accesses of all `transfers`: of the givers, of the takers."""
        return self._accounts[self.transfers.giver], self._accounts[self.transfers.taker]

    def survivors(self) -> AccountAccesses:
        """Accesses of accounts that stay, and whose storage an operation touches, while it destroys others."""
        found: AccountAccesses = self._accounts[self._survivors.access]
        return found

    def deletions(self) -> tuple[AccountAccesses, Integers]:
        """Accesses that delete accounts which an operation has destroyed, and how many are left before each."""
        return self._accounts[self._deletions.access], self._deletions.remaining

    def substate(self, steps: Integers) -> SubstateAccesses:
        """What the steps (n,), SSTORE or SELFDESTRUCT, change of the substate; `then` is 0 where they change nothing.

        Only where they change something a token is received (and sent at the step's time). The first token of a
        transaction is (0, 0, begin_time).
        """
        at = self._substate_of_step[steps]
        found: SubstateAccesses = self._substate[at]
        idle = at < 0
        return SubstateAccesses(*(np.where(idle, 0, getattr(found, f.name)) for f in fields(SubstateAccesses)))

    def substate_end(self, operations: Integers) -> tuple[Integers, Integers, Integers]:
        """The last substate token of messages (numbers, (n,)): refund counter, destructions and time."""
        local = np.asarray(operations) - self._first
        return self._refund_total[local], self._destructions_total[local], self._substate_time[local]

    @cached_property
    def writes(self) -> Writes:
        """The writes to leaves and their running hash."""
        accounts, slots = self.accounts, self.slots
        account = np.flatnonzero(
            (accounts.balance != accounts.balance_after).any(axis=1)
            | (accounts.nonce != accounts.nonce_after).any(axis=1)
        )
        slot = np.flatnonzero((slots.value != slots.result).any(axis=1))
        code = np.flatnonzero(accounts.changes_code)
        scope = np.concatenate([accounts.scope[account], slots.operation[slot]])
        leaf = np.concatenate([accounts.leaf[account], slots.leaf[slot]])
        value = np.concatenate([accounts.balance_after[account], slots.result[slot]])
        nonce = np.concatenate([accounts.nonce_after[account], np.zeros((len(slot), NONCE), dtype=np.uint16)])
        states = WRITE_ITEM.states(scope=scope, leaf=leaf, value=value, nonce=nonce)
        of_code = (accounts.scope[code], accounts.leaf[code], accounts.code_hash_after[code])
        code_states = CODE_ITEM.states(scope=of_code[0], leaf=of_code[1], code_hash=of_code[2])
        chain = running_chain(WRITES_START, np.concatenate([states[:, -1], code_states[:, -1]]))
        return Writes(account, slot, scope, leaf, value, nonce, code, *of_code, states, code_states, chain)

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

    def _find_slots(self, execution: Execution) -> None:
        """Steps that touch a slot, and whose it is."""
        steps = execution.rows(*_STORAGE_OPCODES)
        opcode = execution.opcode[steps]
        self._slot_steps = steps[(opcode != OPCODES["SSTORE"]) | (execution.gas[steps] > SSTORE_STIPEND)]
        self._slot_owner = execution.trace.frames.address[execution.frame_row(execution.frame[self._slot_steps])]

    def _replay_accounts(self, execution: Execution) -> None:
        is_address = np.flatnonzero(self._entries.is_key == 0)
        is_key = np.flatnonzero(self._entries.is_key)
        lasting = ~np.isin(execution.opcode[self._slot_steps], _TRANSIENT_OPCODES)
        entries = (self._entry_operation[is_address], self._entry_time[is_address], self._entries.address[is_address])
        events = account_events(
            execution,
            self._keys,
            self.before,
            self._scopes,
            entries=entries,
            touched=(
                np.concatenate([execution.operation[self._slot_steps[lasting]], self._entry_operation[is_key]]),
                np.concatenate([self._slot_owner[lasting], self._entries.address[is_key]]),
            ),
            least=_least_gas(execution),
        )
        self._accounts, self.accounts, self.account_undo = events.accesses, events.rows, events.undone
        self._role_access, self._entry_accounts = events.of_role, events.of_entry
        self._authorizations: AccountAccesses = events.accesses[events.of_authorization]
        self._account_of_step, self._deposit_access = events.of_step, events.of_deposit
        self.transfers, self._survivors, self._deletions = events.transfers, events.survivors, events.deletions

    def _replay_storage(self, execution: Execution) -> None:
        steps, own = self._slot_steps, self._slot_owner
        opcode = execution.opcode[steps]
        kind = np.where(np.isin(opcode, _TRANSIENT_OPCODES), LeafKind.TRANSIENT, LeafKind.STORAGE)
        step_leaf = self._keys.index(kind, own, execution.operand(steps, 0))
        writes = np.isin(opcode, (OPCODES["SSTORE"], OPCODES["TSTORE"])) & ~execution.failed[steps]
        written = np.zeros((len(steps), WORD), dtype=np.uint16)
        written[writes] = execution.operand(steps[writes], 1)

        is_key = np.flatnonzero(self._entries.is_key)
        key_leaf = self._keys.index(LeafKind.STORAGE, self._entries.address[is_key], self._entries.slot[is_key])

        block_writes = _block_writes(execution)
        write_leaf = self._keys.index(LeafKind.STORAGE, block_writes.address, block_writes.slot)
        write_time = execution.begin_time[block_writes.operation - execution.first] + 1 + block_writes.which

        leaf = np.concatenate([step_leaf, key_leaf, write_leaf])
        operation = np.concatenate([execution.operation[steps], self._entry_operation[is_key], block_writes.operation])
        time = np.concatenate([execution.time[steps], self._entry_time[is_key], write_time])
        world = np.zeros(len(leaf), dtype=np.int64)
        world[: len(steps)] = _world_of(execution, steps)
        is_write = np.zeros(len(leaf), dtype=bool)
        is_write[: len(steps)] = writes
        is_write[len(steps) + len(is_key) :] = True
        values = np.zeros((len(leaf), WORD), dtype=np.uint16)
        values[: len(steps)] = written
        values[len(steps) + len(is_key) :] = block_writes.value
        queries = np.zeros(len(leaf), dtype=np.int64)
        queries[: len(steps)] = opcode == OPCODES["SSTORE"]
        histories = Histories.of(leaf, operation, world, time, execution.worlds, execution.frame_begin_time)
        self._find_values(histories, is_write, values, queries, *self._find_destroyed(execution, histories))

        place = histories.place
        self._storage_of_step = np.full(len(execution.step), -1, dtype=np.int64)
        self._storage_of_step[steps] = place[: len(steps)]
        self._entry_slots = place[len(steps) : len(steps) + len(is_key)]
        self._block_write = np.full((2, execution.end - execution.first), -1, dtype=np.int64)
        local = block_writes.operation - execution.first
        self._block_write[block_writes.which, local] = place[len(steps) + len(is_key) :]
        loads = np.isin(opcode, (OPCODES["SLOAD"], OPCODES["TLOAD"])) & ~execution.failed[steps]
        if (self._storage.value[place[: len(steps)][loads]] != execution.result(steps[loads])).any():
            raise ExecutionMismatch("a slot holds another value than its replay")

    def _find_destroyed(
        self, execution: Execution, histories: Histories
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Of each chain (c,): whether its operation destroys accounts, whether it destroys the slot's."""
        operation, address = execution.destroyed
        dirty = np.isin(histories.operation[histories.start], operation)
        destroyed = np.zeros(len(dirty), dtype=bool)
        owners = self._keys.address[histories.key[histories.start]]
        for number, own in zip(operation.tolist(), address, strict=True):
            destroyed |= (histories.operation[histories.start] == number) & (owners == own).all(axis=1)
        return dirty, destroyed

    def _find_values(
        self,
        histories: Histories,
        is_write: NDArray[np.bool_],
        written: Limbs,
        queries: Integers,
        dirty: NDArray[np.bool_],
        destroyed: NDArray[np.bool_],
    ) -> None:
        """What each access finds and leaves, and what is undone.

        `is_write`, `written`, `queries`: of the accesses as they were given; `dirty`, `destroyed`: of the chains.
        """
        chains, given = histories, histories.given
        n, real = len(given), histories.given >= 0
        is_write = np.where(real, is_write[given], False) if n else is_write
        written = np.where(real[:, None], written[given], 0).astype(np.uint16) if n else written
        leaf, operation = chains.key, chains.operation
        kind = self._keys.kind[leaf].astype(np.int64)
        is_storage = kind == LeafKind.STORAGE
        new_leaf = np.ones(n, dtype=bool)
        new_leaf[1:] = leaf[1:] != leaf[:-1]
        index = np.arange(n)
        stays = is_storage & (chains.world == 0) & ~destroyed[chains.chain]
        last_stay = np.maximum.accumulate(np.where(is_write & stays, index, -1)) if n else index
        leaf_start = np.maximum.accumulate(np.where(new_leaf, index, 0)) if n else index

        # A slot opens with what stays of the operations before it.
        start, end = chains.start, chains.end - 1
        source = np.where(start > 0, last_stay[start - 1], -1) if n else start
        from_start = source < leaf_start[start]
        opening = np.where(from_start[:, None], self.before.value[leaf[start]], written[source])
        value, opening = chains.values(is_write, written, opening)
        after = np.where(is_write[:, None], written, value)
        warmed = (real & is_storage).astype(np.int64)
        warm, warm_opening = chains.values(warmed > 0, warmed, np.zeros(len(start), dtype=np.int64))
        warm_after = np.maximum(warm, warmed)
        original = opening[chains.first][chains.chain]
        self._storage = StorageAccesses(
            leaf=leaf,
            kind=kind,
            operation=operation,
            world=chains.world,
            address=self._keys.address[leaf],
            slot=self._keys.slot[leaf],
            time=chains.time,
            then=chains.then,
            value=value,
            warm=warm,
            value_after=after,
            warm_after=warm_after,
            original=original,
        )
        asked = np.zeros(len(start), dtype=np.int64)
        np.add.at(asked, chains.first[chains.chain[chains.place]], queries)
        own = np.flatnonzero(chains.world[start] == 0)
        begins, ends = start[own], end[own]
        follows = np.zeros(len(own), dtype=bool)
        follows[1:] = leaf[begins[1:]] == leaf[begins[:-1]]
        kept = stays[begins]
        self.slots = StorageRows(
            leaf=leaf[begins],
            operation=operation[begins],
            previous=np.where(follows, np.concatenate([[0], operation[begins[:-1]] + 1]), 0) if len(own) else begins,
            last_time=chains.time[ends],
            last_warm=warm_after[ends],
            value=opening[own],
            last=after[ends],
            result=np.where(kept[:, None], after[ends], opening[own]),
            dirty=dirty[own],
            destroyed=destroyed[own] & is_storage[begins],
            originals=asked[own],
        )
        inner = np.flatnonzero(chains.world[start] > 0)
        opener, ends = chains.opener[inner], end[inner]
        self.storage_undo = StorageUndoRows(
            frame=chains.world[start[inner]],
            outer=chains.world[opener],
            operation=operation[opener],
            scope=self._scopes[operation[opener]],
            time=chains.time[opener],
            then=chains.then[opener],
            leaf=leaf[opener],
            value=opening[inner],
            warm=warm_opening[inner],
            last=after[ends],
            last_warm=warm_after[ends],
            last_time=chains.time[ends],
        )

    def _count_substate(self, execution: Execution) -> None:
        """Refunds of SSTOREs, and SELFDESTRUCTs that destroy an account which was not destroyed before."""
        stores = execution.rows(OPCODES["SSTORE"], failed=False)
        access = self.storage_instruction(stores)
        refund = np.zeros(len(execution.step), dtype=np.int64)
        refund[stores] = refund_change(access.original, access.value, access.value_after)
        destructs = execution.rows(OPCODES["SELFDESTRUCT"], failed=False)
        own = self.account_instruction(destructs)
        destructions = np.zeros(len(execution.step), dtype=np.int64)
        destructions[destructs] = own.life_after - own.life
        steps = np.flatnonzero((refund != 0) | (destructions != 0))
        operation = execution.operation[steps]
        # There is one chain for each message, and its end is looked at even if nothing happens: at the begin.
        all_, begins = (
            execution.message_operations,
            execution.begin_time[execution.message_operations - execution.first],
        )
        numbers = np.concatenate([operation, all_])
        world = np.concatenate([_world_of(execution, steps), np.zeros(len(all_), dtype=np.int64)])
        chains = Histories.of(
            np.zeros(len(numbers), dtype=np.int64),
            numbers,
            world,
            np.concatenate([execution.time[steps], begins]),
            execution.worlds,
            execution.frame_begin_time,
        )
        # Authorizations of accounts that exist are refunded from the beginning on; the last one is what is handed over.
        given = np.zeros(len(all_) + 1, dtype=np.int64)
        signed = self._authorizations
        np.add.at(given, np.searchsorted(all_, signed.operation), GAS_AUTHORIZATION_REFUND * refunded(signed))
        changes = [
            np.concatenate([total[steps], first])[chains.given]
            for total, first in ((refund, given), (destructions, np.zeros_like(given)))
        ]
        sums = [chains.sums(change) for change in changes]
        (refunds, refund_opening), (destroyed, destroyed_opening) = sums
        self._substate_of_step = np.full(len(execution.step), -1, dtype=np.int64)
        self._substate_of_step[steps] = chains.place[: len(steps)]
        self._substate = SubstateAccesses(
            refund=refunds,
            destructions=destroyed,
            refund_change=changes[0],
            destructions_change=changes[1],
            then=chains.then,
        )
        ends = chains.end - 1
        last = [(before + change)[ends] for (before, _), change in zip(sums, changes, strict=True)]
        own_chains = np.flatnonzero(chains.world[chains.start] == 0)
        of_operation = chains.operation[chains.start[own_chains]] - execution.first
        operations = execution.end - execution.first
        self._refund_total, self._destructions_total, self._substate_time = np.zeros((3, operations), dtype=np.int64)
        self._refund_total[of_operation] = last[0][own_chains]
        self._destructions_total[of_operation] = last[1][own_chains]
        self._substate_time[of_operation] = chains.time[ends[own_chains]]
        inner = np.flatnonzero(chains.world[chains.start] > 0)
        opener = chains.opener[inner]
        self.substate_undo = SubstateUndoRows(
            frame=chains.world[chains.start[inner]],
            outer=chains.world[opener],
            operation=chains.operation[opener],
            scope=self._scopes[chains.operation[opener]],
            time=chains.time[opener],
            then=chains.then[opener],
            refund=refund_opening[inner],
            destructions=destroyed_opening[inner],
            last_refund=last[0][inner],
            last_destructions=last[1][inner],
            last_time=chains.time[ends[inner]],
        )

    def _check(self, execution: Execution) -> None:
        """Every leaf has the value that the execution left."""
        left = self._left()
        same = np.ones(len(self._keys), dtype=bool)
        for name in ("value", "nonce", "code_hash"):
            same &= (getattr(left, name) == getattr(self.after, name)).all(axis=1)
        if not same.all():
            leaf = int(np.flatnonzero(~same)[0])
            kind = LeafKind(int(self._keys.kind[leaf])).name.lower()
            raise ExecutionMismatch(f"the replay of leaf {leaf} ({kind}) differs from the execution")

    def _left(self) -> LeafValues:
        """The values of all leaves that the replay leaves."""
        left = LeafValues(*(getattr(self.before, f.name).copy() for f in fields(LeafValues)))
        # Rows of a leaf are in the order of their scopes: the last one stays.
        left.value[self.accounts.leaf] = self.accounts.balance_after
        left.nonce[self.accounts.leaf] = self.accounts.nonce_after
        left.code_hash[self.accounts.leaf] = self.accounts.code_hash_after
        left.value[self.slots.leaf] = self.slots.result
        return left


def refunded(signed: AccountAccesses) -> Integers:
    """Which of these accesses by authorizations (n,) earn a refund: the account gets its code, and has existed."""
    applies = (signed.nonce_after != signed.nonce).any(axis=1)
    coded = (signed.code_hash != EMPTY_CODE).any(axis=1)
    exists = coded | signed.balance.any(axis=1) | signed.nonce.any(axis=1)
    found: Integers = (applies & exists).astype(np.int64)
    return found


@dataclass(frozen=True, eq=False)
class _BlockWrites:
    """What blocks write to slots, all (n, ...): operation, which of its writes, address, slot and value."""

    operation: Integers
    which: Integers
    address: Limbs
    slot: Limbs
    value: Limbs


def _block_writes(execution: Execution) -> _BlockWrites:
    """All writes of the segment of beacon roots and of hashes."""
    items = operation_items(execution.batch)
    parts = []
    for kind, address, of_blocks, which, slot, value in (
        (OperationKind.BEACON, BEACON_ROOTS_ADDRESS, items.beacons, 0, "time_slot", "timestamp"),
        (OperationKind.BEACON, BEACON_ROOTS_ADDRESS, items.beacons, 1, "root_slot", "root"),
        (OperationKind.HISTORY, HISTORY_STORAGE_ADDRESS, items.histories, 0, "slot", "hash"),
    ):
        operation = np.flatnonzero(execution.kind == kind) + execution.first
        block = execution.operations.row[operation]
        addresses = np.repeat(addresses_from_bytes([address]), len(operation), axis=0)
        fields_ = of_blocks.fields
        parts.append(
            (operation, np.full(len(operation), which), addresses, fields_[slot][block], fields_[value][block])
        )
    return _BlockWrites(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


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
    after, expansion = _expansion(execution, steps, (offset, size))
    return after, GAS_WARM_ACCESS + GAS_COPY_WORD * words + expansion


def _call_costs(execution: Execution, steps: Integers) -> Integers:
    """Gas of calls (n,) for a warm account that is not empty."""
    valued = np.isin(execution.opcode[steps], (OPCODES["CALL"], OPCODES["CALLCODE"]))
    has_value = np.zeros(len(steps), dtype=bool)
    has_value[valued] = execution.operand(steps[valued], 2).any(axis=1)
    operands = np.zeros((4, len(steps)), dtype=np.int64)
    for value in (False, True):
        here = np.flatnonzero(valued == value)
        for k in range(4):
            operands[k, here] = small_integers(execution.operand(steps[here], 2 + value + k))
    _, expansion = _expansion(execution, steps, (operands[0], operands[1]), (operands[2], operands[3]))
    return GAS_WARM_ACCESS + GAS_CALL_VALUE * has_value + expansion


def _expansion(
    execution: Execution, steps: Integers, *accesses: tuple[Integers, Integers]
) -> tuple[Integers, Integers]:
    """Words of memory (n,) after accesses of offset and size (n,), and the gas of the growth (n,)."""
    before = execution.memory_words[steps]
    after = before
    for offset, size in accesses:
        after = np.maximum(after, np.where(size == 0, 0, -(-(offset + size) // 32)))
    return after, 3 * (after - before) + after * after // 512 - before * before // 512


def _least_gas(execution: Execution) -> Integers:
    """Gas (n,) below which steps fail before they look at an account."""
    least = np.where(execution.opcode == OPCODES["SELFDESTRUCT"], GAS_SELFDESTRUCT, 0).astype(np.int64)
    copies = execution.rows(OPCODES["EXTCODECOPY"])
    least[copies] = extcodecopy_costs(execution, copies)[1]
    calls = execution.rows(*CALLS)
    least[calls] = _call_costs(execution, calls)
    return least


def _world_of(execution: Execution, steps: Integers) -> Integers:
    """The worlds (n,) that steps happen in."""
    return execution.worlds.own[execution.frame[steps] - 1] if len(steps) else steps
