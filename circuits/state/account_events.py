"""What a segment does to accounts, event by event in the order of time, and the accesses that follow from it.

The times are those of `circuits.state.state_view`. Everything is taken from the trace but balances, nonces and lives,
which the replay knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from eth_utils.crypto import keccak
from numpy.typing import NDArray

from circuits.batch.delegations import MARKER, Delegates
from circuits.batch.execution import PLAIN, RECIPIENT_TIME, Execution, ranges
from circuits.batch.leaves import LeafKeys, LeafKind, LeafValues
from circuits.batch.operations import OperationKind
from circuits.limbs import (
    Limbs,
    addresses_from_bytes,
    addresses_to_bytes,
    u64_to_ints,
    words_from_bytes,
    words_from_ints,
    words_to_ints,
)
from circuits.state.account_replay import AccountReplay, created
from circuits.state.rows import (
    AccountAccesses,
    AccountRows,
    AccountUndoRows,
    DeletionRows,
    Integers,
    TransferRows,
)
from circuits.widths import ADDRESS
from executor.opcodes import CALLS, CREATIONS, OPCODES
from executor.state_keys import EMPTY_CODE_HASH
from executor.trace import NONE, FrameKind, HashPurpose, Outcome

_GWEI = 10**9
#: Frames within one another, the outermost one included, are at most one more.
_MAX_DEPTH = 1024

_EMPTY_CODE: Limbs = words_from_bytes([EMPTY_CODE_HASH])[0]

#: What a call, or an instruction that looks at an account, costs more if that is cold (EIP-2929).
COLD_ACCOUNT_SURCHARGE = 2500

QUERIES = tuple(OPCODES[name] for name in ("BALANCE", "SELFBALANCE", "EXTCODESIZE", "EXTCODEHASH", "EXTCODECOPY"))
SELFDESTRUCT = OPCODES["SELFDESTRUCT"]
_OPENING_FRAMES = (FrameKind.CREATE, FrameKind.CREATE2, FrameKind.CREATION)


class Role(IntEnum):
    """What an account is to an operation."""

    SENDER_BEGIN = 0
    RECIPIENT_BEGIN = 1
    COINBASE_BEGIN = 2
    SENDER_END = 3
    COINBASE_END = 4
    WITHDRAWAL = 5
    CONTRACT = 6  # that a system call calls
    DELEGATE_BEGIN = 7  # whose code runs for the recipient, if it has delegated (EIP-7702)


class _Event(IntEnum):
    """Kinds of events; those of steps and frames name one, the others an operation."""

    WITHDRAWAL = 0
    BEGIN = 1
    ENTRY = 2
    QUERY = 3
    SELFDESTRUCT = 4
    CALL = 5
    CREATE = 6
    FRAME = 7
    DEPOSIT = 8
    END = 9
    SYSTEM_CALL = 10
    AUTHORIZATION = 11
    RECIPIENT = 12


@dataclass(frozen=True, eq=False)
class AccountEvents:
    """All accesses to accounts and where they come from; -1 for none.

    Attributes:
        accesses, rows, undone: in the order of time, of their first accesses and of their making.
        of_role: (roles, operations) access of an operation in a role.
        of_entry: (entries,) accesses of the access lists' addresses.
        of_authorization: (authorizations,) accesses of those who have signed them.
        of_step: (3, steps) the accesses of instructions.
        of_deposit: (frames,) accesses that store the code of a creation.
        transfers: of ether, with frames and back from transactions that fail.
        survivors: of accounts whose storage an operation has touched that destroys others; `remaining` is 0.
        deletions: of accounts that an operation destroys.
    """

    accesses: AccountAccesses
    rows: AccountRows
    undone: AccountUndoRows
    of_role: Integers
    of_entry: Integers
    of_authorization: Integers
    of_step: Integers
    of_deposit: Integers
    transfers: TransferRows
    survivors: DeletionRows
    deletions: DeletionRows


class _Run:
    """One run over the events."""

    def __init__(self, execution: Execution, keys: LeafKeys, before: LeafValues, scopes: Integers) -> None:
        self.execution, self._keys = execution, keys
        self.replay = AccountReplay(before, scopes, execution.worlds, execution.frame_begin_time)
        self._scopes = scopes
        self._empty = self.replay.code(_EMPTY_CODE)
        self._events: list[NDArray[np.int64]] = []
        operations, steps = execution.end - execution.first, len(execution.step)
        self.of_role = np.full((len(Role), operations), -1, dtype=np.int64)
        self.of_step = np.full((3, steps), -1, dtype=np.int64)
        self.of_authorization = np.zeros(0, dtype=np.int64)
        self._delegates = Delegates(execution.trace)
        self.of_deposit = np.full(len(execution.frames), -1, dtype=np.int64)
        self.transfers: list[tuple[int, int, int, int, int, int, int]] = []  # as the columns but the amount and scope
        self.amounts: list[int] = []
        self.survivors: list[tuple[int, int]] = []
        self.deletions: list[tuple[int, int]] = []

    def leaf(self, addresses: Limbs) -> Integers:
        """Leaves of accounts (n, 10)."""
        return self._keys.index(LeafKind.ACCOUNT, addresses)

    def delegate(self, operation: int, leaf: int, world: int = 0) -> int | None:
        """The leaf of the account whose code runs for this one, if that has delegated (EIP-7702)."""
        address = self._delegates.of(self.replay.code_hash(operation, leaf, world))
        return None if address is None else int(self.leaf(addresses_from_bytes([address]))[0])

    def applies(self, code_hash: Limbs, own: int, nonce: int) -> bool:
        """Whether an account with this code hash (16,) and nonce gets a code by an authorization with a nonce."""
        free = bool((code_hash == _EMPTY_CODE).all()) or self._delegates.of(code_hash) is not None
        return free and own == nonce

    def authorize(self, operation: int, leaf: int, nonce: int, code: int, time: int) -> int:
        """An authorization for an account of this leaf: its nonce is counted and it gets a code, if it may."""
        replay = self.replay
        applies = self.applies(replay.code_hash(operation, leaf), replay.peek(operation, leaf)[1], nonce)
        return replay.access(operation, leaf, time, nonce=int(applies), code=code if applies else None)

    def add(self, event: _Event, time: Integers, which: Integers) -> None:
        """Events of a kind."""
        self._events.append(np.stack([time, np.full(len(time), event), which], axis=1))

    def in_order(self) -> list[list[int]]:
        """All events [time, kind, which] by their times, of which no two are equal but for events of one operation."""
        events = np.concatenate(self._events)
        found: list[list[int]] = events[np.argsort(events[:, 0], kind="stable")].tolist()
        return found

    def transfer(
        self, operation: int, giver: int, taker: int, amount: int, time: int, world: int = 0, *, creates: bool = False
    ) -> None:
        """Ether moves at `time + 1` and `time + 2` between two leaves; the taker may be created by it."""
        gives = self.replay.access(operation, giver, time + 1, -amount, world=world)
        life = created(operation) if creates else None
        takes = self.replay.access(operation, taker, time + 2, amount, int(creates), world=world, life=life)
        self.transfers.append((world, operation, gives, takes, int(creates), time, int(self._scopes[operation])))
        self.amounts.append(amount)

    def delete(self, operation: int, leaf: int, time: int, remaining: int) -> None:
        """A destroyed account goes."""
        balance, nonce, _ = self.replay.peek(operation, leaf)
        access = self.replay.access(operation, leaf, time, -balance, -nonce, life=0, code=self._empty)
        self.deletions.append((access, remaining))

    def finish(self, addresses: Limbs, of_entry: Integers) -> AccountEvents:
        """What has been found."""
        accesses, rows, undone = self.replay.finish(addresses)
        columns = np.array(self.transfers, dtype=np.int64).reshape(-1, 7).T
        world, operation, giver, taker, creates, time, scope = columns
        transfers = TransferRows(
            world=world,
            operation=operation,
            scope=scope,
            giver=giver,
            taker=taker,
            amount=words_from_ints(self.amounts),
            creates=creates,
            time=time,
        )
        survivors, deletions = (
            DeletionRows(*np.array(rows_, dtype=np.int64).reshape(-1, 2).T)
            for rows_ in (self.survivors, self.deletions)
        )
        return AccountEvents(
            accesses, rows, undone, self.of_role, of_entry, self.of_authorization, self.of_step, self.of_deposit,
            transfers, survivors, deletions,
        )  # fmt: skip


def account_events(
    execution: Execution,
    keys: LeafKeys,
    before: LeafValues,
    scopes: Integers,
    entries: tuple[Integers, Integers, Limbs],
    touched: tuple[Integers, Limbs],
    least: Integers,
) -> AccountEvents:
    """All accesses of a segment to accounts, one after the other: balances are 256 bits wide, and accesses few.

    Args:
        execution: the segment.
        keys, before: leaves, and their values at the segment's start.
        scopes: (operations of the batch,) scope of each operation's block.
        entries: operation (n,), time (n,) and address (n, 10) of each address of an access list.
        touched: operation (n,) and address (n, 10) of accounts whose storage an operation touches, in any order.
        least: (steps,) gas below which a step fails before it looks at an account: for a call what it costs if that is
            warm, not empty and has not delegated.
    """
    run = _Run(execution, keys, before, scopes)
    replay, trace, first = run.replay, execution.trace, execution.first
    frames, rows = trace.frames, execution.frames
    worlds = execution.worlds.own
    times = execution.time

    # Operations.
    withdrawals = np.flatnonzero(execution.kind == OperationKind.WITHDRAWAL)
    run.add(_Event.WITHDRAWAL, execution.begin_time[withdrawals], withdrawals)
    local = execution.transaction_operations - first
    number_of = np.zeros(execution.end - first, dtype=np.int64)
    number_of[local] = np.arange(len(local))
    run.add(_Event.BEGIN, execution.begin_time[local], local)
    entry_operation, entry_time, entry_address = entries
    run.add(_Event.ENTRY, entry_time, np.arange(len(entry_time)))
    ending = execution.message_operations - first
    run.add(_Event.END, execution.end_time[ending], ending)
    sets_codes = execution.fork.sets_codes
    if sets_codes:
        run.add(_Event.RECIPIENT, execution.frame_time[local] - RECIPIENT_TIME, local)
    signed = _authorizations(execution, run)
    run.add(_Event.AUTHORIZATION, signed.time, np.arange(len(signed.time)))
    called = execution.system_operations - first
    run.add(_Event.SYSTEM_CALL, execution.begin_time[called], called)
    contract_leaf = np.zeros(execution.end - first, dtype=np.int64)
    contract_leaf[called] = run.leaf(trace.system_calls.address[execution.system_calls])
    is_transaction = execution.kind == OperationKind.TRANSACTION
    own_withdrawals = execution.operations.row[withdrawals + first]
    withdrawal_leaf = np.zeros(execution.end - first, dtype=np.int64)
    withdrawal_leaf[withdrawals] = run.leaf(trace.withdrawals.address[own_withdrawals])
    table, blocks = trace.transactions, trace.blocks
    transactions = execution.transactions
    block_of = execution.operations.block[execution.transaction_operations]
    to = np.where(table.is_creation[transactions, None], _new_addresses(execution), table.to[transactions])
    sender, recipient, coinbase = (
        run.leaf(x).tolist() for x in (table.sender[transactions], to, blocks.coinbase[block_of])
    )
    price, value = words_to_ints(table.gas_price[transactions]), words_to_ints(table.value[transactions])
    base_fee, blob_fee = words_to_ints(blocks.base_fee[block_of]), words_to_ints(blocks.blob_base_fee[block_of])
    blobs = table.blob_hashes_size[transactions].astype(np.int64) // 32
    blob_gas = (blobs * execution.fork.blobs.gas_per_blob).tolist()
    gas_limit, gas_used = table.gas_limit[transactions].tolist(), table.gas_used[transactions].tolist()
    status, creates = table.status[transactions].tolist(), table.is_creation[transactions].tolist()
    entry_leaf = run.leaf(entry_address).tolist()
    of_entry = np.zeros(len(entry_leaf), dtype=np.int64)
    destroyed = _destroyed(execution, run)
    touching = _touching(touched, run, destroyed)

    # Steps.
    looking = execution.rows(*QUERIES, SELFDESTRUCT, *CALLS)
    looking = looking[execution.gas[looking] >= least[looking]]
    opcode = execution.opcode
    world_of = worlds[execution.frame - 1] if len(rows) else execution.frame
    own_address = frames.address[execution.frame_row(execution.frame[looking])]
    operand_address = own_address.copy()
    index = np.where(np.isin(opcode[looking], list(CALLS)), 1, 0)
    has_operand = opcode[looking] != OPCODES["SELFBALANCE"]
    for place in range(2):
        here = np.flatnonzero(has_operand & (index == place))
        operand_address[here] = execution.operand(looking[here], place)[:, :ADDRESS]
    own, operand = np.zeros(len(opcode), dtype=np.int64), np.zeros(len(opcode), dtype=np.int64)
    own[looking], operand[looking] = run.leaf(own_address), run.leaf(operand_address)
    kinds = np.full(256, _Event.QUERY)
    kinds[SELFDESTRUCT] = _Event.SELFDESTRUCT
    kinds[list(CALLS)] = _Event.CALL
    for kind in (_Event.QUERY, _Event.SELFDESTRUCT, _Event.CALL):
        here = looking[kinds[opcode[looking]] == kind]
        run.add(kind, times[here], here)
    depth = frames.depth[execution.frame_row(execution.frame)] if len(rows) else execution.frame
    # Calls and creations that open no frame, but not because they are too deep, look at the account's balance or nonce.
    looks = ~execution.failed & (execution.opened == 0) & (depth < _MAX_DEPTH)
    creating = execution.rows(*CREATIONS, route=PLAIN, failed=False)
    run.add(_Event.CREATE, times[creating], creating)
    own[creating] = run.leaf(frames.address[execution.frame_row(execution.frame[creating])])
    new_leaf = _new_leaves(execution, run, creating)

    # Frames.
    creations = np.isin(frames.kind[rows], _OPENING_FRAMES)
    valued = np.isin(frames.kind[rows], (FrameKind.CALL, FrameKind.CALLCODE))
    with_value = valued & frames.value[rows].any(axis=1)
    moving = np.flatnonzero(creations | with_value)
    run.add(_Event.FRAME, execution.frame_begin_time[moving], moving)
    # Others, such as the system address, may have no leaf.
    giver, taker = np.zeros((2, len(rows)), dtype=np.int64)
    giver[moving], taker[moving] = run.leaf(frames.caller[rows[moving]]), run.leaf(frames.address[rows[moving]])
    storing = np.flatnonzero(creations & (frames.outcome[rows] == Outcome.SUCCESS) & (frames.output_size[rows] > 0))
    last = np.zeros(len(rows), dtype=np.int64)
    np.maximum.at(last, execution.frame - 1, np.arange(len(execution.frame)))
    run.add(_Event.DEPOSIT, times[last[storing]] if len(storing) else storing, storing)
    codes = {}
    for frame, digest in zip(storing.tolist(), _deposited(execution, rows[storing]), strict=True):
        codes[frame] = replay.code(digest)
    frame_operation = execution.frame_operation

    for time, event, which in run.in_order():
        if event == _Event.QUERY:
            operation, world = int(execution.operation[which]), int(world_of[which])
            run.of_step[0, which] = replay.access(operation, int(operand[which]), time, world=world)
        elif event == _Event.WITHDRAWAL:
            amount = int(trace.withdrawals.amount[execution.operations.row[first + which]]) * _GWEI
            access = replay.access(first + which, int(withdrawal_leaf[which]), time + 1, amount)
            run.of_role[Role.WITHDRAWAL, which] = access
        elif event == _Event.BEGIN:
            operation, number, role = first + which, int(number_of[which]), run.of_role[:, which]
            paid = value[number]
            upfront = gas_limit[number] * price[number] + blob_gas[number] * blob_fee[number] + paid
            role[Role.SENDER_BEGIN] = replay.access(operation, sender[number], time + 1, -upfront, nonce=1)
            if not sets_codes:
                role[Role.RECIPIENT_BEGIN] = replay.access(operation, recipient[number], time + 2, paid)
            role[Role.COINBASE_BEGIN] = replay.access(operation, coinbase[number], time + 3)
        elif event == _Event.RECIPIENT:
            operation, number, role = first + which, int(number_of[which]), run.of_role[:, which]
            role[Role.RECIPIENT_BEGIN] = replay.access(operation, recipient[number], time, value[number])
            delegate = None if creates[number] else run.delegate(operation, recipient[number])
            if delegate is not None:
                role[Role.DELEGATE_BEGIN] = replay.access(operation, delegate, time + 1)
        elif event == _Event.AUTHORIZATION:
            run.of_authorization[which] = run.authorize(
                int(signed.operation[which]), signed.leaf[which], signed.nonce[which], signed.code[which], time
            )
        elif event == _Event.SYSTEM_CALL:
            run.of_role[Role.CONTRACT, which] = replay.access(first + which, int(contract_leaf[which]), time + 1)
        elif event == _Event.ENTRY:
            of_entry[which] = replay.access(int(entry_operation[which]), entry_leaf[which], time)
        elif event == _Event.SELFDESTRUCT:
            operation, world = int(execution.operation[which]), int(world_of[which])
            balance, _, life = replay.peek(operation, int(own[which]), world)
            fails, same = bool(execution.failed[which]), own[which] == operand[which]
            is_new = life - created(operation) in (0, 1)
            moved = 0 if fails else balance
            life = created(operation) + 1 if is_new and not fails else life
            run.of_step[0, which] = replay.access(operation, int(own[which]), time, -moved, world=world, life=life)
            arrives = 0 if is_new and same else moved
            run.of_step[1, which] = replay.access(operation, int(operand[which]), time + 1, arrives, world=world)
        elif event == _Event.CALL:
            operation, world = int(execution.operation[which]), int(world_of[which])
            callee, delegate = int(operand[which]), None
            if sets_codes:
                # A delegate is looked at where the gas suffices for all else. Who has delegated is not empty.
                cold = 0 if replay.warm(operation, callee, world) else COLD_ACCOUNT_SURCHARGE
                if execution.gas[which] >= least[which] + cold:
                    delegate = run.delegate(operation, callee, world)
            run.of_step[0, which] = replay.access(operation, callee, time, world=world)
            if delegate is not None:
                run.of_step[2, which] = replay.access(operation, delegate, time + 1, world=world)
            if looks[which]:
                then = time + 1 if delegate is None else time + 2
                run.of_step[1, which] = replay.access(operation, int(own[which]), then, world=world)
        elif event == _Event.CREATE:
            operation, world = int(execution.operation[which]), int(world_of[which])
            attempts = bool(execution.counts_nonce[which])
            if attempts or looks[which]:
                access = replay.access(operation, int(own[which]), time, nonce=int(attempts), world=world)
                run.of_step[0, which] = access
            if attempts:
                run.of_step[1, which] = replay.access(operation, new_leaf[which], time + 1, world=world)
        elif event == _Event.FRAME:
            row, operation = int(rows[which]), int(frame_operation[which])
            # What a transaction sends has moved before its outermost frame begins. A system call sends nothing.
            carried = 0 if frames.parent[row] == NONE else words_to_ints(frames.value[row : row + 1])[0]
            run.transfer(
                operation, int(giver[which]), int(taker[which]), carried, time, int(worlds[which]),
                creates=bool(creations[which]),
            )  # fmt: skip
        elif event == _Event.DEPOSIT:
            operation = int(frame_operation[which])
            access = replay.access(operation, int(taker[which]), time, world=int(worlds[which]), code=codes[which])
            run.of_deposit[which] = access
        else:
            operation, number, role = first + which, int(number_of[which]), run.of_role[:, which]
            if is_transaction[which]:
                if not status[number]:
                    run.transfer(operation, recipient[number], sender[number], value[number], time)
                unused = gas_limit[number] - gas_used[number]
                fee = gas_used[number] * (price[number] - base_fee[number])
                role[Role.SENDER_END] = replay.access(operation, sender[number], time + 3, unused * price[number])
                role[Role.COINBASE_END] = replay.access(operation, coinbase[number], time + 4, fee)
            gone = destroyed.get(operation, [])
            for leaf in touching.get(operation, []):
                run.survivors.append((replay.access(operation, leaf, time + 5), 0))
            for place, leaf in enumerate(gone):
                run.delete(operation, leaf, time + 6 + place, len(gone) - place)
    return run.finish(keys.address, of_entry)


@dataclass(frozen=True, eq=False)
class _Authorizations:
    """Those that somebody has signed: operation and time (n,), leaf of who has, its nonce, number of the new code."""

    operation: Integers
    time: Integers
    leaf: list[int]
    nonce: list[int]
    code: list[int]


def _authorizations(execution: Execution, run: _Run) -> _Authorizations:
    """The authorizations of the segment that are not void by themselves."""
    entries = execution.batch.authorizations
    counts = entries.counts[execution.transactions]
    rows = ranges(entries.starts[execution.transactions], counts)
    valid = entries.items.fields["valid"][rows] == 1
    operation = np.repeat(execution.transaction_operations, counts)[valid]
    time = ranges(execution.authorization_time, counts)[valid]
    fields = {name: column[rows[valid]] for name, column in entries.items.fields.items()}
    codes = []
    for address in addresses_to_bytes(fields["address"]):
        digest = EMPTY_CODE_HASH if not any(address) else keccak(MARKER + address)
        codes.append(run.replay.code(words_from_bytes([digest])[0]))
    run.of_authorization = np.full(len(codes), -1, dtype=np.int64)
    leaf = run.leaf(fields["authority"]).tolist()
    return _Authorizations(operation, time, leaf, u64_to_ints(fields["nonce"]), codes)


def _new_addresses(execution: Execution) -> Limbs:
    """Address of each transaction's outermost frame (transactions, 10): of a creation the new account's."""
    trace = execution.trace
    addresses: Limbs = trace.frames.address[trace.transactions.first_frame[execution.transactions]]
    return addresses


def _new_leaves(execution: Execution, run: _Run, steps: Integers) -> dict[int, int]:
    """Leaves of the accounts that CREATE and CREATE2 (steps, (n,)) are about to create, for those that try."""
    hashes = execution.trace.hashes
    wanted = np.isin(hashes.purpose, (HashPurpose.CREATE_ADDRESS, HashPurpose.CREATE2_ADDRESS))
    of_step = np.full(len(execution.trace.steps.opcode) + 1, -1, dtype=np.int64)
    made = np.flatnonzero(wanted & (hashes.step != NONE))
    of_step[hashes.step[made].astype(np.int64)] = made
    found = of_step[execution.step[steps]]
    has = found >= 0
    return dict(zip(steps[has].tolist(), run.leaf(hashes.digest[found[has]][:, :ADDRESS]).tolist(), strict=True))


def _deposited(execution: Execution, frames: Integers) -> Limbs:
    """Hashes (n, 16) of the codes that these frames of the trace, creations that succeed, leave."""
    hashes = execution.trace.hashes
    made = np.flatnonzero((hashes.purpose == HashPurpose.CODE) & (hashes.frame != NONE))
    of_frame = np.full(len(execution.trace.frames.kind), -1, dtype=np.int64)
    of_frame[hashes.frame[made].astype(np.int64)] = made
    return hashes.digest[of_frame[frames]]


def _destroyed(execution: Execution, run: _Run) -> dict[int, list[int]]:
    """Leaves of the accounts that each operation destroys."""
    operation, address = execution.destroyed
    found: dict[int, list[int]] = {}
    for number, leaf in zip(operation.tolist(), run.leaf(address).tolist(), strict=True):
        found.setdefault(number, []).append(leaf)
    return found


def _touching(touched: tuple[Integers, Limbs], run: _Run, destroyed: dict[int, list[int]]) -> dict[int, list[int]]:
    """Leaves of accounts whose storage is touched and that stay, of operations that destroy others."""
    operation, address = touched
    dirty = np.flatnonzero(np.isin(operation, list(destroyed)))
    found: dict[int, set[int]] = {}
    for number, leaf in zip(operation[dirty].tolist(), run.leaf(address[dirty]).tolist(), strict=True):
        if leaf not in destroyed[number]:
            found.setdefault(number, set()).add(leaf)
    return {number: sorted(leaves) for number, leaves in found.items()}
