"""What is listed of all programs, read as the circuit has it: its bounds are computed again, without the assembler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import pytest

from circuits.air.field import MODULUS
from circuits.fields.buses import (
    BITS_LISTED,
    NARROW_LISTED,
    PROGRAM_LISTED,
    SELECTED_LISTED,
    WIDE_LISTED,
    WORD_LISTED,
)
from circuits.fields.equations import EQUATION_MODULI
from circuits.fields.listings import assembled, listed
from circuits.fields.words import COMPARED
from circuits.programs.moduli import INTEGERS, MODULI, Modulus
from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import BITS, NARROW, SELECTED, WIDE, WORDS, WRITE_DELAY

SIGNED, UNSIGNED = 128, 255
_KINDS = (NARROW_LISTED, WIDE_LISTED, SELECTED_LISTED, BITS_LISTED, WORD_LISTED)
_PER_ROW = {NARROW: 1, WIDE: 1, SELECTED: 2, BITS: 1, WORDS: 1}

#: A carry is from -2^14 to 2^14 - 1, and a pair of coefficients meets two of them, one 2^16-fold.
_CARRIES = (1 << 30) + (1 << 14)


@dataclass
class Listed:
    """What is listed of a program: rows without program, number and last."""

    number: int
    precompile: int = 0
    part: int = 0
    fails: int = 0
    linked: int = 0
    outputs: int = 0
    returns: int = 0
    stride: int = 0
    limbs: int = 32
    kinds: tuple[int, ...] = ()
    rows: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    constants: dict[int, tuple[int, ...]] = field(default_factory=dict)
    digit: dict[int, int] = field(default_factory=dict)

    def registers(self) -> Iterator[int]:
        for base, rows in self.rows.items():
            yield from range(base, base + _PER_ROW[base] * len(rows))


def _signed(value: int) -> int:
    return value - MODULUS if value > MODULUS // 2 else value


@cache
def _programs() -> dict[int, Listed]:
    found: dict[int, Listed] = {}
    for everything in listed().values():
        for message in everything.messages():
            fields = tuple(map(_signed, message.fields))
            program = found.setdefault(message.program, Listed(message.program))
            if message.bus is PROGRAM_LISTED:
                assert not program.kinds
                assert fields[0] == message.program
                program.precompile, program.part, program.fails, program.linked = fields[1:5]
                program.outputs, program.returns, program.stride = fields[5:8]
                program.limbs, program.kinds = 48 if fields[8] else 32, fields[9:]
                program.rows = {base: [] for base in _PER_ROW}
            elif message.bus in _KINDS:
                rows = program.rows[(_KINDS.index(message.bus) + 1) << 20]
                assert fields[:2] == (message.program, len(rows))
                # The last row says so, and no other one.
                assert not rows or not rows[-1][0]
                rows.append(fields[2:])
            else:
                assert message.bus.name == f"register_{program.limbs}"
                assert fields[0] == 0
                program.constants[fields[1]] = fields[2:]
    for program in found.values():
        for base, rows in program.rows.items():
            assert not rows or rows[-1][0] == 1
            program.rows[base] = [row[1:] for row in rows]
    _set_digits(found)
    return found


def _addresses(row: Sequence[int]) -> Iterator[int]:
    """All registers that the first one of a selection may be copied from."""
    terms = [row[k : k + 4] for k in range(3, 19, 4)]
    assert all(used in (0, 1) and (used or not weight) for used, weight, _, _ in terms)
    weights = [weight for used, weight, _, _ in terms if used]
    for digits in product(range(4), repeat=len(weights)):
        yield row[2] + sum(w * d for w, d in zip(weights, digits, strict=True))


def _sources(programs: dict[int, Listed], program: Listed, row: Sequence[int]) -> list[Listed]:
    if not row[0]:
        return [program]
    # Any part that does not make the call fail may be before it.
    return [p for p in programs.values() if p.precompile == program.precompile and p.part and not p.fails]


def _set_digits(programs: dict[int, Listed]) -> None:
    """The largest digit of each register: selections last, behind what they copy."""
    for program in programs.values():
        for base, digit in ((NARROW, SIGNED), (WIDE, SIGNED), (BITS, UNSIGNED), (WORDS, UNSIGNED)):
            program.digit |= dict.fromkeys(range(base, base + len(program.rows[base])), digit)
    for program in sorted(programs.values(), key=lambda p: p.linked):
        for k, row in enumerate(program.rows[SELECTED]):
            linked, constant = row[:2]
            assert not (linked and constant)
            for number, position in (row[j + 2 : j + 4] for j in range(3, 19, 4) if row[j]):
                assert number < len(program.rows[BITS])
                assert position < 128
            for part in range(2):
                at = [address + part for address in _addresses(row)]
                if constant:
                    digits = [max(map(abs, program.constants[a])) for a in at]
                else:
                    digits = [source.digit[a] for source in _sources(programs, program, row) for a in at]
                program.digit[SELECTED + 2 * k + part] = max(digits)


def _modulus(program: Listed, number: int) -> Modulus:
    modulus = MODULI[number]
    assert modulus is INTEGERS or modulus in EQUATION_MODULI[program.limbs]
    return modulus


def _digits_of(program: Listed, operands: Iterable[int]) -> list[int]:
    return [program.digit[operand] for operand in operands]


def _require_bound(program: Listed, number: int, sums: int, makes: int, constant: int) -> None:
    """`sums`: the largest coefficient of the operands' sum."""
    assert makes in (0, 1)
    modulus = _modulus(program, number)
    largest = sums + SIGNED * makes + SIGNED * sum(map(abs, modulus.digits(program.limbs)))
    assert 257 * largest + abs(constant) + _CARRIES < MODULUS, program.number
    # An honest carry fits its range, too.
    assert 257 * largest + abs(constant) <= ((1 << 14) - 2) << 16


def test_no_sum_wraps() -> None:
    for program in _programs().values():
        for number, *operands, b, c, f, g, d, e, makes, constant, _ in program.rows[NARROW]:
            first, second, third, square, last = _digits_of(program, operands)
            products = (
                first * (abs(b) * second + abs(c) * third) + abs(f) * last * (second + third) + abs(g) * square**2
            )
            sums = products * program.limbs + abs(d) * square + abs(e) * last
            _require_bound(program, number, sums, makes, constant)
        for number, *rest in program.rows[WIDE]:
            digits, coefficients = _digits_of(program, rest[:10]), [abs(c) for c in rest[10:16]]
            products = sum(coefficients[k] * digits[2 * k] * digits[2 * k + 1] for k in range(4))
            sums = products * program.limbs + sum(coefficients[4 + k] * digits[8 + k] for k in range(2))
            _require_bound(program, number, sums, *rest[16:])


def test_registers_to_be_distinct_are_less_than_two_moduli_apart() -> None:
    count = 0
    for program in _programs().values():
        ones = (256**program.limbs - 1) // 255
        for number, *operands, distinct in program.rows[NARROW]:
            assert distinct in (0, 1)
            if distinct:
                # Signed digits are from -128 to 127, unsigned ones from 0 to 255.
                limits = [(0, 255) if d > 128 else (-128, 127) for d in _digits_of(program, operands[1:3])]
                (least, most), (least_other, most_other) = limits
                assert max(most - least_other, most_other - least) * ones < 2 * _modulus(program, number).value
                count += 1
    assert count


def test_rows_name_what_there_is() -> None:
    programs = _programs()
    assert set(programs) <= set(range(1, 256))
    for program in programs.values():
        registers = set(program.registers())
        assert registers == set(program.digit)
        assert program.kinds == tuple(int(bool(rows)) for rows in program.rows.values())
        for base, count in ((NARROW, 5), (WIDE, 10)):
            for row in program.rows[base]:
                assert registers.issuperset(row[1 : 1 + count])
        assert all(program.number << 12 <= index < program.number + 1 << 12 for index in program.constants)
        assert any(row[0] for row in program.rows[SELECTED]) == program.linked
        compared = [row[6] for row in program.rows[WORDS] if row[6]]
        assert {m.number for m in COMPARED}.issuperset(compared)


def test_programs_are_what_their_calls_need() -> None:
    programs = _programs()
    for program in programs.values():
        precompile = PRECOMPILES[program.precompile]
        assert program.stride == precompile.stride
        assert not program.part or program.stride
        # A whole, which has nothing before it, links nothing.
        assert program.stride or not program.linked
        places = [(row[:4], row[4]) for row in program.rows[WORDS]]
        reads, writes, hashed, digests = ([position for flags, position in places if flags[k] == 1] for k in range(4))
        assert all(sum(flags) <= 1 for flags, _ in places)
        assert len(set(reads)) == len(reads)
        copied = precompile.reads or precompile.stride or precompile.length
        assert copied is not None
        assert max(reads, default=-1) < copied // 32
        assert sum(map(bool, (precompile.reads, precompile.stride, precompile.length))) == 1
        assert max(reads, default=0) < WRITE_DELAY
        assert writes == list(range(program.outputs))
        assert program.returns == bool(writes)
        assert len(writes) < WRITE_DELAY
        assert not (writes and (program.part or program.fails))
        assert hashed == list(range(len(hashed)))
        assert len(digests) == bool(hashed)
        assert all(length <= 32 * len(hashed) for length in digests)


def test_counts_of_parts_do_not_wrap() -> None:
    """parts * stride + rest, with up to 2^18 parts."""
    assert all((precompile.stride << 18) + (1 << 16) < MODULUS for precompile in PRECOMPILES.values())
    assert all(base + (each << 14) < (1 << 30) - (1 << 27) for base, each in (p.gas for p in PRECOMPILES.values()))


@pytest.mark.deep
def test_what_is_kept_is_what_is_assembled() -> None:
    assert {number: everything.messages() for number, everything in listed().items()} == assembled()
