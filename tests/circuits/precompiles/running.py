"""Answers of precompiles as their programs give them, and as py-evm does; runs of provers that lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from eth.exceptions import VMError

from circuits.programs.program import (
    BITS,
    DIGEST,
    END,
    NARROW,
    PART,
    READ,
    WHOLE,
    WORDS,
    WRITTEN,
    Instance,
    Program,
    Run,
    UnsatisfiedError,
    _State,
)

Change = Callable[[int], int]


def word_at(data: bytes, offset: int) -> int:
    """The 32 bytes from an offset on; zeros behind the end."""
    return int.from_bytes(data[offset : offset + 32].ljust(32, b"\0"), "big")


def words_of(program: Program, data: bytes, offset: int = 0) -> list[int]:
    """What a program reads of an input."""
    positions = [row.position for row in program.words if row.place == READ]
    return [word_at(data, offset + 32 * i) for i in range(max(positions, default=-1) + 1)]


def run_instances(data: bytes, instances: Sequence[Instance]) -> tuple[bool, bytes]:
    """Whether the call succeeds, and what it returns.

    Raises:
        UnsatisfiedError: a program cannot answer.
    """
    assert instances
    runs: list[Run] = []
    output, fails = b"", False
    for k, instance in enumerate(instances):
        program, role = instance.variant.program, instance.variant.role
        if role == WHOLE:
            assert len(instances) == 1
        else:
            assert instance.linked == (k - 1 if k else None)
            last = k == len(instances) - 1
            assert role == END if last and not instance.variant.fails else role == PART
        linked = None if instance.linked is None else runs[instance.linked]
        run = program.run(words_of(program, data, instance.offset), choice=instance.choice, linked=linked)
        runs.append(run)
        fails |= instance.variant.fails
        output += b"".join(value.to_bytes(32, "big") for value in run.written)
    assert not (fails and output)
    return not fails, output


def run_of_evm(precompile: Callable[[Any], Any], data: bytes) -> tuple[bool, bytes]:
    """The same of a precompile of py-evm."""
    message = SimpleNamespace(data_as_bytes=data, data=data)
    computation = SimpleNamespace(msg=message, output=b"", consume_gas=lambda *_, **__: None)
    try:
        precompile(computation)
    except VMError:
        return False, b""
    return True, computation.output


class _Values(dict[int, int]):
    def __init__(self, changes: Mapping[int, Change]) -> None:
        super().__init__()
        self.changes = changes

    def __setitem__(self, index: int, value: int) -> None:
        super().__setitem__(index, self.changes[index](value) if index in self.changes else value)


class _BitsFound(list[int]):
    def __init__(self, changes: Mapping[int, Change]) -> None:
        super().__init__()
        self.changes = changes

    def append(self, value: int) -> None:
        change = self.changes.get(BITS + len(self))
        super().append(change(value) if change else value)


def lying_run(program: Program, words: Sequence[int], changes: Mapping[int, Change], choice: int = 0) -> list[int]:
    """What a program puts out when its registers of these numbers hold something else; what follows, follows.

    Raises:
        UnsatisfiedError: an equation does not hold.
    """
    state = _State(words, choice, {})
    state.values, state.bits = _Values(changes), _BitsFound(changes)
    for step in program._steps:
        step(state)
    # What a word holds is what is put out and compared.
    for k, row in enumerate(program.words):
        value = state.values[WORDS + k]
        if not 0 <= value < 1 << 256 or (row.compared and (value < row.compared.value) != row.below):
            raise UnsatisfiedError("a word out of range")
    return [state.values[WORDS + k] for k, row in enumerate(program.words) if row.place == WRITTEN]


def free_registers(program: Program) -> list[int]:
    """The words that a prover chooses."""
    return [WORDS + k for k, row in enumerate(program.words) if row.place not in (READ, DIGEST)]


def holds_something(program: Program, number: int) -> bool:
    """Whether a narrow row has a register, and is not only a requirement on others."""
    row = program.narrow[number - NARROW] if number - NARROW in range(len(program.narrow)) else None
    if row is None or row.s:
        return True
    a, b, c, d, e = (operand == number for operand in row.operands)
    product = row.b or row.c
    return bool(
        (a and product) or (b and row.b) or (c and row.c) or (d and (row.g or row.d)) or (e and (row.f or row.e))
    )


def satisfied(program: Program, data: bytes, choices: Sequence[int] = (0, 1)) -> bool:
    """Whether the program can be run on this input, with its own hints."""
    for choice in choices:
        try:
            program.run(words_of(program, data), choice=choice)
        except UnsatisfiedError:
            continue
        return True
    return False
