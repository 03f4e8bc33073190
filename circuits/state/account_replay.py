"""Accesses to accounts in the order of time: what each receives and sends, block by block and world by world."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits.batch.leaves import LeafValues
from circuits.batch.worlds import Worlds
from circuits.limbs import Limbs, u64_from_ints, u64_to_ints, words_from_ints, words_to_ints
from circuits.state.histories import FIRST_TIME
from circuits.state.rows import AccountAccesses, AccountRows, AccountUndoRows, Integers
from executor.errors import ExecutionMismatch


@dataclass(slots=True)
class _Token:
    """What a token of the `account` bus holds; `code`: number of a code hash of the replay."""

    balance: int
    nonce: int
    code: int
    warm: int
    life: int
    time: int


def created(operation: Any) -> Any:
    """The life of an account that an operation has created; one more when the operation has destroyed it, too.

    Other accounts have life 0, or 1 for those with storage, but neither nonce nor code (EIP-7610).
    """
    return 2 * (1 + operation)


class AccountReplay:
    """The chains of accesses to accounts.

    A world's chain of an account begins when the world first touches it, with what the world around holds. That happens
    before the world around goes on, so that token is still the last one of its chain.

    Args:
        before: values of all leaves at the segment's start.
        scopes: (operations,) scope of each operation's block.
        worlds, begins: of the segment's frames, and when they begin.
    """

    def __init__(self, before: LeafValues, scopes: Integers, worlds: Worlds, begins: Integers) -> None:
        self._before, self._scopes = before, scopes
        self._outer, self._begins = worlds.outer.tolist(), begins.tolist()
        self._codes: list[Limbs] = []  # behind those of the leaves
        self._tokens: dict[tuple[int, int], _Token] = {}  # of world and leaf
        self._row_of: dict[int, int] = {}  # of leaf
        self._rows: list[tuple[int, int, int]] = []  # leaf, scope, previous
        self._ends: list[tuple[_Token, _Token]] = []  # of the rows
        self._undone: list[tuple[int, ...]] = []
        self._handed: list[tuple[_Token, _Token]] = []  # of those
        self._accesses: list[tuple[int, ...]] = []
        self._values: dict[str, list[int]] = defaultdict(list)

    def code(self, code_hash: Limbs) -> int:
        """Number of a code hash (16,)."""
        self._codes.append(code_hash)
        return len(self._before.nonce) + len(self._codes) - 1

    def code_hash(self, operation: int, leaf: int, world: int = 0) -> Limbs:
        """The code hash (16,) that an access of the operation in this world would find."""
        number, leaves = self._token(operation, leaf, world).code, len(self._before.nonce)
        found: Limbs = self._before.code_hash[number] if number < leaves else self._codes[number - leaves]
        return found

    def warm(self, operation: int, leaf: int, world: int = 0) -> bool:
        """Whether the operation has touched the account before such an access."""
        return self._token(operation, leaf, world).warm == operation + 1

    def peek(self, operation: int, leaf: int, world: int = 0) -> tuple[int, int, int]:
        """Balance, nonce and life of an account, as an access of the operation in this world would find them."""
        token = self._token(operation, leaf, world)
        return token.balance, token.nonce, token.life

    def access(
        self,
        operation: int,
        leaf: int,
        time: int,
        amount: int = 0,
        nonce: int = 0,
        world: int = 0,
        life: int | None = None,
        code: int | None = None,
    ) -> int:
        """Add to balance and nonce, and leave another life or code if there is one; returns the access's number."""
        token = self._token(operation, leaf, world)
        balance = token.balance + amount
        if balance < 0:
            raise ExecutionMismatch(f"the replay of leaf {leaf} overdraws its balance")
        life = token.life if life is None else life
        code = token.code if code is None else code
        scope = int(self._scopes[operation])
        warm = operation + 1
        self._accesses.append(
            (leaf, operation, scope, world, time, token.time, token.warm, warm, token.life, life, token.code, code)
        )
        values = self._values
        values["balance"].append(token.balance)
        values["nonce"].append(token.nonce)
        values["balance_after"].append(balance)
        values["nonce_after"].append(token.nonce + nonce)
        token.balance, token.nonce = balance, token.nonce + nonce
        token.code, token.warm, token.life, token.time = code, warm, life, time
        return len(self._accesses) - 1

    def _token(self, operation: int, leaf: int, world: int) -> _Token:
        """The last token of the account in a world, whose chain begins if there is none."""
        scope = int(self._scopes[operation])
        if world == 0:
            return self._of_block(leaf, scope)
        token = self._tokens.get((world, leaf))
        if token is None:
            outer = self._outer[world - 1]
            begin = self._begins[world - 1]
            handing = self._token(operation, leaf, outer)
            self._undone.append((world, outer, operation, scope, begin, handing.time, leaf))
            handing.time = begin
            token = self._tokens[world, leaf] = self._copy(handing)
            self._handed.append((self._copy(handing), token))
        return token

    def _of_block(self, leaf: int, scope: int) -> _Token:
        row = self._row_of.get(leaf)
        if row is not None and self._rows[row][1] == scope:
            return self._tokens[0, leaf]
        stored = int(self._before.stored[leaf])
        if row is None:
            balance = words_to_ints(self._before.value[leaf : leaf + 1])[0]
            nonce = u64_to_ints(self._before.nonce[leaf : leaf + 1])[0]
            token, previous = _Token(balance, nonce, leaf, 0, stored, FIRST_TIME), 0
        else:
            token, previous = self._copy(self._tokens[0, leaf]), self._rows[row][1] + 1
            token.warm, token.life, token.time = 0, stored, FIRST_TIME
        self._tokens[0, leaf] = token
        self._row_of[leaf] = len(self._rows)
        self._rows.append((leaf, scope, previous))
        self._ends.append((self._copy(token), token))
        return token

    @staticmethod
    def _copy(token: _Token) -> _Token:
        return _Token(token.balance, token.nonce, token.code, token.warm, token.life, token.time)

    def finish(self, addresses: Limbs) -> tuple[AccountAccesses, AccountRows, AccountUndoRows]:
        """All accesses, all rows and all that is undone."""
        hashes = np.concatenate([self._before.code_hash, np.reshape(self._codes, (-1, 16)).astype(np.uint16)])
        columns = np.array(self._accesses, dtype=np.int64).reshape(-1, 12).T
        leaf, operation, scope, world, time, then, warm, warm_after, life, life_after, code, code_after = columns
        values = self._values
        accesses = AccountAccesses(
            leaf=leaf,
            operation=operation,
            scope=scope,
            world=world,
            address=addresses[leaf],
            time=time,
            then=then,
            balance=words_from_ints(values["balance"]),
            nonce=u64_from_ints(values["nonce"]),
            code_hash=hashes[code],
            warm=warm,
            life=life,
            balance_after=words_from_ints(values["balance_after"]),
            nonce_after=u64_from_ints(values["nonce_after"]),
            code_hash_after=hashes[code_after],
            warm_after=warm_after,
            life_after=life_after,
        )
        leaf, scope, previous = np.array(self._rows, dtype=np.int64).reshape(-1, 3).T
        first, last = ([pair[side] for pair in self._ends] for side in range(2))
        rows = AccountRows(
            leaf=leaf,
            scope=scope,
            previous=previous,
            last_time=_numbers(last, "time"),
            last_warm=_numbers(last, "warm"),
            last_life=_numbers(last, "life"),
            balance=words_from_ints([token.balance for token in first]),
            nonce=u64_from_ints([token.nonce for token in first]),
            code_hash=hashes[_numbers(first, "code")],
            balance_after=words_from_ints([token.balance for token in last]),
            nonce_after=u64_from_ints([token.nonce for token in last]),
            code_hash_after=hashes[_numbers(last, "code")],
        )
        frame, outer, operation, scope, time, then, leaf = np.array(self._undone, dtype=np.int64).reshape(-1, 7).T
        first, last = ([pair[side] for pair in self._handed] for side in range(2))
        undone = AccountUndoRows(
            frame=frame,
            outer=outer,
            operation=operation,
            scope=scope,
            time=time,
            then=then,
            leaf=leaf,
            balance=words_from_ints([token.balance for token in first]),
            nonce=u64_from_ints([token.nonce for token in first]),
            code_hash=hashes[_numbers(first, "code")],
            warm=_numbers(first, "warm"),
            life=_numbers(first, "life"),
            last_balance=words_from_ints([token.balance for token in last]),
            last_nonce=u64_from_ints([token.nonce for token in last]),
            last_code_hash=hashes[_numbers(last, "code")],
            last_warm=_numbers(last, "warm"),
            last_life=_numbers(last, "life"),
            last_time=_numbers(last, "time"),
        )
        return accesses, rows, undone


def _numbers(tokens: list[_Token], name: str) -> Integers:
    return np.array([getattr(token, name) for token in tokens], dtype=np.int64)
