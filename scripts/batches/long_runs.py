"""Random batches of a program that runs for long: what it put on the stack and in memory is old when it is used.

A pop, or an access to memory, proves that its token is earlier as long as it is no more than 2^16 units of time older;
older tokens are made younger first, by `stack_refresh` and `memory_refresh`. A JUMPDEST is the cheapest way for time to
pass: 8 cells a unit.
"""

from __future__ import annotations

import random
from typing import Any

from circuits.batch.execution import MAX_AGE
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER
from scripts.workloads.assembler import assemble

#: JUMPDESTs of a round of the loop, and the time of a round: these, the loop's own, and six instructions.
_JUMPDESTS = 480
_ROUND = _JUMPDESTS + 7
#: Longer than a token may be old, and fewer JUMPDESTs than would need a table of twice the height.
_ROUNDS = MAX_AGE // _ROUND + 2
assert _ROUNDS * (_JUMPDESTS + 1) <= MAX_AGE < _ROUNDS * _ROUND

_WAITS = f"{_ROUNDS} wait: {'jumpdest ' * _JUMPDESTS} 1 swap1 sub dup1 @wait jumpi pop"
#: Bytes of memory that programs write and read.
_MEMORY = 256
_GAS = 2_000_000


def _word(rng: random.Random) -> int:
    return rng.getrandbits(rng.choice((1, 8, 32, 256)))


def _before(rng: random.Random, words: int) -> str:
    """Words in memory, and so many on the stack."""
    stores = [
        f"{_word(rng)} {rng.choice((32 * rng.randrange(7), rng.randrange(_MEMORY - 32)))} "
        f"{rng.choice(('mstore', 'mstore', 'mstore8'))}"
        for _ in range(rng.randrange(1, 5))
    ]
    return " ".join([*stores, *(str(_word(rng)) for _ in range(words))])


def _after(rng: random.Random, words: int) -> str:
    """Uses of old words, so many of which lie on the stack, and of old memory; the stack is left as it comes."""
    found = []
    for _ in range(rng.randrange(2, 8)):
        place, size = rng.randrange(_MEMORY - 64), rng.randrange(1, 64)
        of_memory = [
            f"{32 * (place // 32)} mload pop",
            f"{place} mload pop",
            f"{_word(rng)} {place} mstore",
            f"{_word(rng)} {place} mstore8",
            f"{size} {place} sha3 pop",
            f"{size} {place} {rng.randrange(_MEMORY)} mcopy",
            f"{size} {place} log0",
        ]
        of_stack = [f"dup{rng.randint(1, words)} pop", "pop", "1 sstore"] if words else []
        of_stack += [f"swap{rng.randint(1, words - 1)}", "add", "lt"] if words > 1 else []
        chosen = rng.choice([*of_memory, *of_stack * 2])
        words -= chosen in ("pop", "1 sstore", "add", "lt")
        found.append(chosen)
    return " ".join(found)


def _ending(rng: random.Random) -> str:
    return rng.choice(("stop", f"{rng.randrange(1, 99)} {rng.randrange(99)} return", "40 3 revert"))


def document(seed: int) -> dict[str, Any]:
    """A batch of Cancun: one transaction waits, by itself or in a frame that reads its calldata late."""
    rng = random.Random(seed)
    words = rng.randrange(1, 14)
    reads = f"{rng.randrange(1, 99)} {rng.randrange(64)} {rng.randrange(64)} calldatacopy 0 calldataload pop"
    called = f"{_before(rng, 2)} {_WAITS} {reads if rng.random() < 0.8 else ''} {_after(rng, 2)} {_ending(rng)}"
    calls = f"33 {rng.randrange(64)} {rng.randrange(1, 99)} {rng.randrange(64)} 0 0x{OTHER.hex()} gas call pop"
    waits = _WAITS if rng.random() < 0.5 else calls
    program = f"{_before(rng, words)} {waits} {_after(rng, words)} {_ending(rng)}"
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble(program).hex(), nonce=1)
    building.alloc(OTHER, code="0x" + assemble(called).hex(), nonce=1)
    before = [building.transfer(1) for _ in range(rng.randrange(2))]
    runs = building.transfer(0, CONTRACT, 0, gas=_GAS)
    after = [building.transfer(2, value=0) for _ in range(rng.randrange(2))]
    return building.block(*before, runs, *after).document
