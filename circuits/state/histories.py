"""Chains of accesses in worlds, for keys that begin anew with every operation: slots, and what a transaction counts.

A key has one chain of accesses in an operation for each world that touches it (`circuits.batch.worlds`). The chain of a
frame that fails begins with what the world around it holds then: an access to the outer chain hands that over at the
time when the frame begins, and takes it back unchanged. Such accesses are not among the given ones: they are found
here, from the innermost worlds outwards, for they may make a chain of the outer world necessary in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.batch.worlds import Worlds

Integers = NDArray[np.int64]

#: Time of the first token of a chain that no frame undoes: before every access of a segment.
FIRST_TIME = 0


@dataclass(frozen=True, eq=False)
class Histories:
    """Accesses (m,) in the order of key, operation, world and time, and the chains (c,) that they make.

    Attributes:
        given: (m,) number of the access as it was given, -1 for one that hands a chain over.
        place: (n,) where the given accesses are.
        key, operation, world, time: (m,) as given; of an access that hands over those of the outer chain.
        chain: (m,) number of each access's chain.
        then: (m,) time of the token that an access takes.
        start, end: (c,) accesses of each chain.
        opener: (c,) access of the outer chain that hands over; -1 for a chain that no frame undoes.
        first: (c,) the chain of the same key and operation that no frame undoes.
        levels: chains by the number of frames around them that fail, the outermost first.
    """

    given: Integers
    place: Integers
    key: Integers
    operation: Integers
    world: Integers
    time: Integers
    chain: Integers
    then: Integers
    start: Integers
    end: Integers
    opener: Integers
    first: Integers
    levels: list[Integers]

    @classmethod
    def of(
        cls, key: Integers, operation: Integers, world: Integers, time: Integers, worlds: Worlds, begins: Integers
    ) -> Histories:
        """Of these accesses (n,), in any order; `begins`: when the frames of `worlds` begin."""
        count = len(key)
        level_of = np.concatenate([[0], worlds.level])
        given, inner = np.arange(count), np.zeros(count, dtype=np.int64)
        for level in range(int(level_of[world].max(initial=0)), 0, -1):  # one step per nesting of frames that fail
            here = np.flatnonzero(level_of[world] == level)
            touched = np.unique(np.stack([key[here], operation[here], world[here]], axis=1), axis=0)
            frame = touched[:, 2]
            key, operation = np.append(key, touched[:, 0]), np.append(operation, touched[:, 1])
            world, time = np.append(world, worlds.outer[frame - 1]), np.append(time, begins[frame - 1])
            given, inner = np.append(given, np.full(len(frame), -1)), np.append(inner, frame)
        order = np.lexsort((time, world, operation, key))
        given, inner, key, operation, world, time = (a[order] for a in (given, inner, key, operation, world, time))
        place = np.empty(count, dtype=np.int64)
        place[given[given >= 0]] = np.flatnonzero(given >= 0)

        new = _changes(key, operation, world)
        start = np.flatnonzero(new)
        end = np.append(start[1:], len(key)) if len(start) else start
        chain = np.cumsum(new) - 1
        # Chains are in the order of key, operation and world, and so are the accesses that hand over to them.
        handing = np.flatnonzero(inner)
        handing = handing[np.lexsort((inner[handing], operation[handing], key[handing]))]
        opener = np.full(len(start), -1, dtype=np.int64)
        opener[np.flatnonzero(world[start] > 0)] = handing
        # The chain in world 0 is the first one of its key and operation.
        first = np.maximum.accumulate(np.where(world[start] == 0, np.arange(len(start)), 0)) if len(start) else start
        opened = np.where(world > 0, begins[world - 1] if len(begins) else 0, FIRST_TIME)
        then = np.where(new, opened, np.concatenate([[0], time[:-1]])) if len(key) else time
        depth = level_of[world[start]]
        levels = [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=-1)) + 1)]
        return cls(given, place, key, operation, world, time, chain, then, start, end, opener, first, levels)

    def sums(self, change: Integers) -> tuple[Integers, Integers]:
        """A sum of changes (m,) before each access (m,), and what each chain opens with (c,): 0 in world 0."""
        opening = np.zeros(len(self.start), dtype=np.int64)
        running = np.cumsum(change) - change
        within = running - running[self.start[self.chain]]
        for chains in self.levels[1:]:  # outer chains before inner ones
            opener = self.opener[chains]
            opening[chains] = opening[self.chain[opener]] + within[opener]
        return opening[self.chain] + within, opening

    def values(
        self, is_write: NDArray[np.bool_], written: NDArray[Any], opening: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What a value that the accesses write is before each of them (m, ...), and what each chain opens with.

        Args:
            is_write, written: (m,), (m, ...): which accesses write, and what.
            opening: (c, ...), what the chains in world 0 open with; that of others is not read.
        """
        opening = opening.copy()
        index = np.arange(len(self.key))
        last = np.maximum.accumulate(np.where(is_write, index, -1)) if len(index) else index
        previous = np.concatenate([[-1], last[:-1]]).astype(np.int64) if len(index) else index
        has = previous >= self.start[self.chain]
        for chains in self.levels[1:]:  # outer chains before inner ones
            opener = self.opener[chains]
            outer = opening[self.chain[opener]]
            shape = (-1,) + (1,) * (written.ndim - 1)
            opening[chains] = np.where(has[opener].reshape(shape), written[previous[opener]], outer)
        before = np.where(has.reshape((-1,) + (1,) * (written.ndim - 1)), written[previous], opening[self.chain])
        return before, opening


def _changes(*columns: Integers) -> NDArray[np.bool_]:
    """Where one of the columns (n,) differs from the row before; the first row does."""
    changes = np.ones(len(columns[0]), dtype=bool)
    changes[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return changes
