"""A small assembler for the EVM, for code that no compiler would write."""

from __future__ import annotations

from eth.vm import opcode_values

from executor.forks import FORKS

_OPCODES: dict[str, int] = {
    name.lower(): value
    for name, value in vars(opcode_values).items()
    if name.isupper() and isinstance(value, int) and 0 <= value <= 255
} | {added.name.lower(): added.opcode for fork in FORKS.values() for added in fork.added_instructions}


def assemble(source: str) -> bytes:
    """Machine code of a program.

    Words are separated by white space: a mnemonic is itself, a number (decimal or ``0x``) is pushed with the shortest
    push, ``name:`` is a JUMPDEST, ``@name`` pushes the place of it with PUSH2, and ``;`` begins a comment.

    Raises:
        ValueError: an unknown word (PUSH1 to PUSH32 are written as numbers), a number of more than 32 bytes, or a label
            that is missing or occurs twice.
    """
    code = bytearray()
    labels: dict[str, int] = {}
    uses: list[tuple[int, str]] = []
    words = [word for line in source.splitlines() for word in line.partition(";")[0].split()]
    for word in words:
        if word.endswith(":"):
            if word[:-1] in labels:
                raise ValueError(f"label {word[:-1]} occurs twice")
            labels[word[:-1]] = len(code)
            code.append(opcode_values.JUMPDEST)
        elif word.startswith("@"):
            code.append(opcode_values.PUSH2)
            uses.append((len(code), word[1:]))
            code += bytes(2)
        elif word[0].isdigit():
            value = int(word, 0)
            size = (value.bit_length() + 7) // 8
            if size > 32:
                raise ValueError(f"{word} has more than 32 bytes")
            code.append(opcode_values.PUSH0 + size)
            code += value.to_bytes(size, "big")
        elif word in _OPCODES and not opcode_values.PUSH1 <= _OPCODES[word] <= opcode_values.PUSH32:
            code.append(_OPCODES[word])
        else:
            raise ValueError(f"unknown instruction {word}")
    for place, label in uses:
        if label not in labels:
            raise ValueError(f"no label {label}")
        code[place : place + 2] = labels[label].to_bytes(2, "big")
    return bytes(code)
