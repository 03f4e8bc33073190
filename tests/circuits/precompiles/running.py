"""Answers of precompiles as their programs give them."""

from __future__ import annotations

from circuits.programs.program import END, PART, WHOLE, Instance, Run


def word_at(data: bytes, offset: int) -> int:
    """The 32 bytes from an offset on; zeros behind the end."""
    return int.from_bytes(data[offset : offset + 32].ljust(32, b"\0"), "big")


def run_instances(data: bytes, instances: list[Instance]) -> tuple[bool, bytes]:
    """Whether the call succeeds, and what it returns.

    Raises:
        UnsatisfiedError: a program cannot answer.
    """
    assert instances
    runs: list[Run] = []
    output, fails = b"", False
    for k, instance in enumerate(instances):
        program, role = instance.variant.program, instance.variant.role
        positions = [row.position for row in program.words if row.place == 0]
        words = [word_at(data, instance.offset + 32 * i) for i in range(max(positions, default=-1) + 1)]
        linked = None if instance.linked is None else runs[instance.linked]
        if role == WHOLE:
            assert len(instances) == 1
        else:
            assert instance.linked == (k - 1 if k else None)
            assert (role == PART) == (k < len(instances) - 1 or instance.variant.fails)
            assert role == PART or role == END
        run = program.run(words, choice=instance.choice, linked=linked)
        runs.append(run)
        fails |= instance.variant.fails
        output += b"".join(value.to_bytes(32, "big") for value in run.written)
    assert not (fails and output)
    return not fails, output
