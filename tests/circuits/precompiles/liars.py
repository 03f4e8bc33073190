"""Provers that lie: runs in which a register holds something else than its hint or its equation makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from circuits.programs.program import NARROW, WIDE, Program, Run, UnsatisfiedError, _State

Change = Callable[[int], int]


class _Values(dict[int, int]):
    def __init__(self, changes: Mapping[int, Change]) -> None:
        super().__init__()
        self.changes = changes

    def __setitem__(self, index: int, value: int) -> None:
        super().__setitem__(index, self.changes[index](value) if index in self.changes else value)


def lie(
    program: Program, words: Sequence[int], changes: Mapping[int, Change], choice: int = 0, linked: Run | None = None
) -> list[int]:
    """What a program puts out when registers are changed, and all that follows follows from the changed ones.

    Raises:
        UnsatisfiedError: an equation does not hold.
    """
    state = _State(words, choice, linked.values if linked else {})
    state.values = _Values(changes)
    for step in program._steps:
        step(state)
    return state.written


def believed(program: Program, words: Sequence[int], choice: int = 0, linked: Run | None = None) -> bool:
    """Whether a program holds for an input with its own hints."""
    try:
        program.run(words, choice=choice, linked=linked)
    except UnsatisfiedError:
        return False
    return True


def registers_of_rows(program: Program, step: int) -> list[int]:
    """Every `step`-th register of narrow and of wide rows that holds something: those that some row reads."""
    read = {index for row in (*program.narrow, *program.wide) for index in row.operands}
    own = {NARROW + k: row.operands for k, row in enumerate(program.narrow) if not row.s}
    own |= {WIDE + k: row.operands for k, row in enumerate(program.wide) if not row.s}
    selected = {row.base + k for row in program.selected for k in range(2)}
    rows = [NARROW + k for k in range(len(program.narrow))] + [WIDE + k for k in range(len(program.wide))]
    counts = dict.fromkeys(rows, 0)
    for row in (*program.narrow, *program.wide):
        for index in row.operands:
            if index in counts:
                counts[index] += 1
    # A row without its own register among its terms names it for the operands that it does not use.
    found = [index for index in rows if index not in own or counts[index] > list(own[index]).count(index)]
    return [index for index in found if index in read | selected][::step]
