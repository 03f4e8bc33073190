"""Worlds: what undoes what happens in a frame.

A frame's *world* is the innermost frame, at or above it, that fails; 0 when it and all frames around it succeed. What
happens in a world is undone at once when its frame ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.trace import NONE, Frames, Outcome

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Worlds:
    """The worlds of a segment's frames, in the order of the frame table; ids of frames are 1 + their places.

    Attributes:
        fails: (n,) bool: reverts or halts exceptionally.
        outer: (n,) the world around the frame: that of its parent, 0 for an outermost one.
        own: (n,) the frame's own world: its id if it fails, else the outer one.
        level: (n,) how many frames fail at or above it.
    """

    fails: NDArray[np.bool_]
    outer: Integers
    own: Integers
    level: Integers

    @classmethod
    def of(cls, frames: Frames, rows: Integers) -> Worlds:
        """Of these rows of the trace's frames, ascending, every parent among them."""
        fails = frames.outcome[rows] != Outcome.SUCCESS
        depth, parent = frames.depth[rows].astype(np.int64), frames.parent[rows].astype(np.int64)
        place = np.searchsorted(rows, np.where(parent == NONE, 0, parent))
        outer = np.zeros(len(rows), dtype=np.int64)
        own, level = outer.copy(), outer.copy()
        for number in range(int(depth.max(initial=-1)) + 1):  # one step per depth: parents before their children
            here = np.flatnonzero(depth == number)
            inner = here[parent[here] != NONE]
            outer[inner] = own[place[inner]]
            level[inner] = level[place[inner]]
            own[here] = np.where(fails[here], here + 1, outer[here])
            level[here] += fails[here]
        return cls(fails, outer, own, level)
