"""The precompiles that programs answer, and what a call of each costs.

Source: execution-specs `cancun/vm/precompiled_contracts/` and `cancun/vm/gas.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from circuits.programs import alt_bn128, alt_bn128_pairing, ecrecover, point_evaluation
from circuits.programs.program import (
    END,
    MAX_CONSTANTS,
    PART,
    READ,
    WRITE_DELAY,
    WRITTEN,
    Instance,
    ProgramError,
    Variant,
)


@dataclass(frozen=True)
class Precompile:
    """A precompile that programs answer.

    Attributes:
        number: its address.
        gas: what a call costs, and what each part of its input costs more.
        stride: bytes of a part; 0: the input is one whole.
        length: bytes that an input must have, or None. An input of another length makes the call fail, as does one that
            does not consist of whole parts.
        reads: bytes at the beginning of an input of any length that programs may read; 0: an input has a fixed length,
            or parts.
        variants: the programs.
        instances: what answers an input.
    """

    number: int
    gas: tuple[int, int]
    variants: Callable[[], tuple[Variant, ...]]
    instances: Callable[[bytes], list[Instance]]
    stride: int = 0
    length: int | None = None
    reads: int = 0


PRECOMPILES: dict[int, Precompile] = {
    p.number: p
    for p in (
        Precompile(1, (3000, 0), ecrecover.variants, ecrecover.instances, reads=128),
        Precompile(6, (150, 0), alt_bn128.add_variants, alt_bn128.add_instances, reads=128),
        Precompile(7, (6000, 0), alt_bn128.multiply_variants, alt_bn128.multiply_instances, reads=96),
        Precompile(8, (45_000, 34_000), alt_bn128_pairing.variants, alt_bn128_pairing.instances, stride=192),
        Precompile(10, (50_000, 0), point_evaluation.variants, point_evaluation.instances, length=192),
    )
}


@cache
def listed_programs() -> tuple[tuple[Precompile, Variant], ...]:
    """All programs of all precompiles, by their numbers.

    Raises:
        ProgramError: two programs have the same number, or one is not what it must be for a call.
    """
    found = [(p, v) for p in PRECOMPILES.values() for v in p.variants()]
    numbers = [v.program.number for _, v in found]
    if len(set(numbers)) < len(numbers) or not all(0 < n < 256 for n in numbers):
        raise ProgramError("programs have different numbers, of one byte")
    for precompile, variant in found:
        program = variant.program
        words = [row for row in program.words if row.place in (READ, WRITTEN)]
        if any(row.position >= WRITE_DELAY for row in words):
            raise ProgramError(f"{program.name}: more words than an instance has time for")
        if len(program.constants) > MAX_CONSTANTS:
            raise ProgramError(f"{program.name}: more than {MAX_CONSTANTS} constants")
        if len({(row.place, row.position) for row in words}) < len(words):
            raise ProgramError(f"{program.name}: the memory makes one access at a time, so a word is read once")
        if any(row.distinct for row in program.narrow) and not program.chooses:
            raise ProgramError(f"{program.name}: distinct registers without a choice, for inputs that defy the proof")
        reads = 32 * max((row.position + 1 for row in words if row.place == READ), default=0)
        if reads > (precompile.reads or precompile.stride or precompile.length or 0):
            raise ProgramError(f"{program.name}: a word behind those that are copied")
        if (variant.role in (PART, END)) != bool(precompile.stride):
            raise ProgramError(f"{program.name}: a part of what has no parts")
        if (variant.fails or variant.role == PART) and any(row.place == WRITTEN for row in program.words):
            raise ProgramError(f"{program.name}: what fails, or is only a part, returns nothing")
    return tuple(sorted(found, key=lambda item: item[1].program.number))
