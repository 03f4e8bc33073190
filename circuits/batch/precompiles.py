"""What precompiles cost, how long they take, and where in their frame's memory they leave what they return.

A precompile copies its input into the memory of its own frame, a word a unit of time. A hash reads it there again, and
is written behind it. BLAKE2F reads its input where it lies, and writes its output to the beginning of its memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import INSTANCE_TIME
from executor.forks import Fork

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

SHA256, RIPEMD160, IDENTITY, BLAKE2F = 2, 3, 4, 9
#: Its memory, time and output follow from its input: `circuits.batch.modexp_plan`.
MODEXP = 5

#: Precompiles of the table `hash_precompiles`.
HASHES = (SHA256, RIPEMD160, IDENTITY)

#: Gas of each, and gas for each word of its input. Source: cancun/vm/gas.py.
GAS = {SHA256: (60, 12), RIPEMD160: (600, 120), IDENTITY: (15, 3)}

_WORD_BYTES = 32

#: Bytes that BLAKE2F takes and returns (EIP-152); words of these.
BLAKE2F_SIZE, BLAKE2F_OUTPUT = 213, 64
BLAKE2F_READS, BLAKE2F_WRITES = 7, 2


def precompile_numbers(fork: Fork) -> tuple[int, ...]:
    """The precompiles of a fork, in ascending order."""
    return tuple(sorted(int.from_bytes(address, "big") for address in fork.precompiles))


def precompile_range(fork: Fork) -> tuple[int, int | None]:
    """The last one of those that are numbered from 1 on, and the one that stands apart, or None.

    Raises:
        ValueError: more than one does.
    """
    numbers = precompile_numbers(fork)
    last = next(k for k in range(1, len(numbers) + 1) if k + 1 not in numbers)
    others = [number for number in numbers if number > last]
    if len(others) > 1 or numbers[0] != 1:
        raise ValueError(f"precompiles {others} stand apart")
    return last, others[0] if others else None


def precompile_gas(number: Integers, size: Integers) -> Integers:
    """Gas (n,) that precompiles cost for inputs of `size` (n,) bytes."""
    base, each = (np.array([GAS[n][k] for n in number.tolist()], dtype=np.int64) for k in range(2))
    return base + each * -(-size // _WORD_BYTES)


def precompile_duration(number: Integers, size: Integers, gas: Integers, success: Booleans) -> Integers:
    """Time (n,) that precompiles take; none of most if they fail.

    Args:
        number, size: (n,) which, and bytes of their input.
        gas: (n,) given to them, without a reserve.
        success: (n,) whether they succeed.
    """
    words = -(-field_taken(number, size) // _WORD_BYTES)
    hashes = np.where(success, np.where(number == IDENTITY, words, 2 * words + 1), 0)
    programs = np.isin(number, list(PRECOMPILES))
    instances = np.where(field_runs(number, size, gas), words + INSTANCE_TIME * (field_parts(number, size) + 1), 0)
    # BLAKE2F reads why it fails, its gas or its flag, if the size is right.
    blake2f = np.where(success, BLAKE2F_READS + BLAKE2F_WRITES, size == BLAKE2F_SIZE)
    return np.select([programs, number == BLAKE2F], [instances, blake2f], hashes)


def precompile_output(number: Integers, size: Integers, returned: Integers) -> tuple[Integers, Integers]:
    """First byte and bytes (n,) of what they return, in their frame's memory.

    Args:
        number, size: (n,) which, and bytes of their input.
        returned: (n,) bytes of their output.
    """
    start = np.where(
        np.isin(number, (IDENTITY, BLAKE2F)), 0, -(-field_taken(number, size) // _WORD_BYTES) * _WORD_BYTES
    )
    return np.where(returned == 0, 0, start), returned


def field_parts(number: Integers, size: Integers) -> Integers:
    """Whole parts (n,) of inputs of `size` (n,) bytes; 0 of precompiles whose input has none."""
    strides = np.array([PRECOMPILES[n].stride if n in PRECOMPILES else 0 for n in number.tolist()], dtype=np.int64)
    return np.where(strides > 0, size // np.maximum(strides, 1), 0)


def field_taken(number: Integers, size: Integers) -> Integers:
    """Bytes (n,) of inputs of `size` (n,) bytes that such calls copy: what programs may read."""
    reads = np.array([PRECOMPILES[n].reads if n in PRECOMPILES else 0 for n in number.tolist()], dtype=np.int64)
    return np.where(reads > 0, np.minimum(size, reads), size)


def field_cost(number: Integers, size: Integers) -> Integers:
    """Gas (n,) of precompiles that programs answer; 0 of others."""
    found = [(p.gas[0], p.steady_gas) if (p := PRECOMPILES.get(n)) else (0, 0) for n in number.tolist()]
    base, each = np.array(found, dtype=np.int64).reshape(-1, 2).T
    result: Integers = base + each * field_parts(number, size) + field_extra(number, size)
    return result


def field_extra(number: Integers, size: Integers) -> Integers:
    """What of that is due to few parts: gas (n,) beyond so many of many; 0 where the size is not right."""
    priced = ~field_wrong(number, size)
    found = np.zeros(len(number), dtype=np.int64)
    for n in np.unique(number[priced]).tolist():
        p = PRECOMPILES.get(n)
        if p is not None and p.discounts:
            extra = [p.cost(parts) - p.steady_gas * parts for parts in range(len(p.discounts) + 1)]
            here = np.flatnonzero(priced & (number == n))
            parts = size[here] // p.stride
            found[here] = np.where(parts < len(extra), np.array(extra)[np.minimum(parts, len(p.discounts))], 0)
    return found


def field_wrong(number: Integers, size: Integers) -> Booleans:
    """Whether (n,) the size of an input is not right: no program runs, and but for a lenient one the call fails."""
    found = [PRECOMPILES.get(n) for n in number.tolist()]
    strides = np.array([p.stride if p else 0 for p in found], dtype=np.int64)
    lengths = np.array([p.length if p and p.length is not None else -1 for p in found], dtype=np.int64)
    nonempty = np.array([p is not None and p.nonempty for p in found], dtype=bool)
    broken = (strides > 0) & (size != field_parts(number, size) * strides)
    broken |= nonempty & (size == 0)
    result: Booleans = broken | ((lengths >= 0) & (size != lengths))
    return result


def field_runs(number: Integers, size: Integers, gas: Integers) -> Booleans:
    """Whether (n,) programs run for such calls: the size is right and the gas (n,) is paid."""
    known = np.isin(number, list(PRECOMPILES))
    result: Booleans = known & ~field_wrong(number, size) & (field_cost(number, size) <= gas)
    return result
