"""Lies about the rows of an instance: what objects to them, while everything outside of the machine follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, cast

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.circuit import Circuit
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView
from circuits.fields.equations import EQUATION_MODULI
from circuits.fields.words import COMPARED
from circuits.functions.buses import KECCAK256_FUNCTION
from circuits.programs.moduli import BN254_P, INTEGERS, SECP256K1_N, SECP256K1_P, Modulus
from circuits.programs.program import (
    BITS,
    MAX_COEFFICIENT,
    NARROW,
    SELECTED,
    WIDE,
    WORDS,
    Polynomial,
    Program,
    Register,
    Run,
    divide,
)
from circuits.programs.runs import Request
from tests.circuits.fields.machine import circuit_of
from tests.circuits.lying import places

P = BN254_P.value
VALUE = 5 << 200


def _program(number: int = 1) -> Program:
    """Output: a * a, and its inverse, modulo the field of alt_bn128; then an entry of a table."""
    p = Program(number, "lies", BN254_P)
    a, b = p.word(0, below=BN254_P), p.word(1)
    square = p.reduce(a * a)
    inverse = p.solve(divide(BN254_P), (1, square), lambda i: i * square - 1)
    p.output(square)
    p.output(inverse)
    digits = p.bits(lambda v: v, (b,))
    p.require(digits.register - b, INTEGERS)
    third, fourth = p.reduce(square + 3), p.reduce(square + 4)
    p.output(p.select(p.table([(square, inverse), (third, fourth)] * 2), [digits.digit(0)])[0])
    p.output(p.reduce(square * inverse + a * square + b * inverse + a + b))
    return p


#: Rows of that program.
SQUARE, INVERSE, SQUARE_OUT, INVERSE_OUT = range(NARROW, NARROW + 4)
WORD_OUT = WORDS + 2

Tell = Callable[[Run], None]


class Traces:
    """Traces by the names of their tables, as views and as arrays."""

    def __init__(self, circuit: Circuit, traces: Sequence[Matrix | None]) -> None:
        self.of = {t.name: (t.layout, m) for t, m in zip(circuit.tables, traces, strict=True) if m is not None}

    def __getitem__(self, name: str) -> Any:
        return TraceView(*self.of[name])

    def array(self, name: str) -> Matrix:
        return self.of[name][1]


def _told(program: Program, words: list[int], tell: Tell | None = None) -> tuple[Circuit, list[Matrix | None]]:
    """A program whose second instance has another run than its equations allow."""
    honest = program.run
    count = 0

    def run(*arguments: Any, **named: Any) -> Run:
        nonlocal count
        found, count = deepcopy(honest(*arguments, **named)), count + 1
        if tell and count == 2:
            tell(found)
        return found

    program.run = run  # type: ignore[method-assign]
    requests = [Request(program, words, frame=k, time=100 * k) for k in (1, 2, 3)]
    return circuit_of(requests, [program])


def _found(
    tell: Tell | None = None, alter: Callable[[Traces], None] | None = None, words: tuple[int, int] = (VALUE, 7)
) -> set[str]:
    circuit, traces = _told(_program(), list(words), tell)
    if alter:
        alter(Traces(circuit, traces))
    return places(check_circuit(circuit, traces, [[] for _ in traces]))


def _is_pair(found: set[str]) -> bool:
    return bool(found) and all(place.startswith("pair ") for place in found)


def test_honest() -> None:
    assert _found() == set()
    assert _found(words=(1, 2**256 - 1)) == set()


def test_another_quotient() -> None:
    def tell(run: Run) -> None:
        run.quotients[SQUARE] += 1

    assert _is_pair(_found(tell))


def test_another_result() -> None:
    """Its residue is another one; what reads it follows."""

    def tell(run: Run) -> None:
        run.values[SQUARE] += 1

    found = _found(tell)
    assert any(place.startswith("pair ") for place in found)


def test_a_result_that_is_another_representative_is_no_lie_for_registers() -> None:
    def tell(run: Run) -> None:
        run.values[SQUARE] += P
        run.quotients[SQUARE] -= 1
        for row, factor in ((INVERSE, run.values[INVERSE]), (SQUARE_OUT, 1), (NARROW + 5, 1), (NARROW + 6, 1)):
            run.quotients[row] += factor
        for copy in (SELECTED, SELECTED + 4):
            run.values[copy] += P
        run.quotients[WIDE] += run.values[INVERSE] + VALUE

    assert _found(tell) == set()


def test_an_output_that_is_not_reduced() -> None:
    def tell(run: Run) -> None:
        run.values[WORD_OUT] += P
        run.quotients[SQUARE_OUT] -= 1

    found = _found(tell)
    assert found
    assert all(place.startswith("difference: limb") for place in found)


def test_a_hint_that_is_no_inverse() -> None:
    def tell(run: Run) -> None:
        # The output is that number, and the equation is rounded.
        run.values[INVERSE] += 1
        run.values[WORDS + 3] = run.values[INVERSE] % P
        run.quotients[INVERSE] = (run.values[INVERSE] * run.values[SQUARE] - 1) // P

    assert any(place.startswith("pair ") for place in _found(tell))


def test_digits_of_a_quotient_that_are_no_bytes() -> None:
    """The quotient is the same number, and its coefficients may be larger than they are thought to be."""

    def alter(tables: Traces) -> None:
        equation = tables["field_narrow_32"].equation
        equation.quotient[0, 0] = (int(equation.quotient[0, 0]) + 256) % MODULUS
        equation.quotient[0, 1] = (int(equation.quotient[0, 1]) - 1) % MODULUS

    assert "bitwise_bytes" in _found(alter=alter)


def test_a_carry_of_16_bits() -> None:
    def alter(tables: Traces) -> None:
        tables["field_narrow_32"].equation.carry[0, 0] = 1 << 15

    assert "range15" in _found(alter=alter)


def _joint(tables: Traces, row: int, moduli: tuple[Modulus, ...]) -> None:
    """The equation of a narrow row modulo the sum of some moduli, with a result that satisfies it."""
    rows = tables["field_narrow_32"]
    modulus = sum(m.value for m in moduli)
    digits = [sum(d) for d in zip(*[[*m.digits(32), 0][:33] for m in moduli], strict=True)]
    rows.equation.modulus[row] = [m in moduli for m in EQUATION_MODULI[32]]
    result = VALUE * VALUE % modulus
    result -= modulus * (result > modulus // 2)
    for name, value, count in (("result", result, 32), ("quotient", (VALUE * VALUE - result) // modulus, 33)):
        offset = 128 * (256**count - 1) // 255
        shifted = np.frombuffer((value + offset).to_bytes(count, "little"), dtype=np.uint8).astype(np.int64)
        getattr(rows.equation, name)[row] = (shifted - 128) % MODULUS
        getattr(rows.equation, f"{name}_xor")[row] = shifted[0:31:2] ^ shifted[1:32:2]
        if name == "quotient":
            quotient = shifted - 128
        else:
            found = shifted - 128
    factor = np.frombuffer(VALUE.to_bytes(32, "little"), dtype=np.uint8).astype(np.int64)
    sums = np.zeros(66, dtype=np.int64)
    sums[:63] = np.convolve(factor, factor)
    sums[:32] -= found
    sums[:65] -= np.convolve(quotient, digits)
    carry = 0
    for k in range(32):
        carry = (int(sums[2 * k]) + 256 * int(sums[2 * k + 1]) + carry) >> 16
        rows.equation.carry[row, k] = carry % MODULUS


def test_two_moduli_at_once() -> None:
    """Their numbers add up to that of another modulus, and the equation is one modulo their sum."""
    assert SECP256K1_P.number + SECP256K1_N.number == BN254_P.number

    def alter(tables: Traces) -> None:
        _joint(tables, 0, (SECP256K1_P, SECP256K1_N))

    found = _found(alter=alter)
    assert "moduli: at most one flag" in found
    # The equation itself has nothing to object.
    assert not any(place.startswith("pair ") for place in found if place != "moduli: at most one flag")


def test_two_numbers_that_a_word_is_compared_with() -> None:
    """A word is below the sum of two numbers."""

    def tell(run: Run) -> None:
        run.values[WORD_OUT] += P
        run.quotients[SQUARE_OUT] -= 1

    def alter(tables: Traces) -> None:
        rows = tables["field_words_32"]
        row = len(_program().words) + 2
        both = (SECP256K1_P, SECP256K1_N)
        rows.compared[row] = [m in both for m in COMPARED]
        word = [int(rows.bytes[row, 2 * k]) + 256 * int(rows.bytes[row, 2 * k + 1]) for k in range(16)]
        carry = 1
        for k in range(16):
            rest = sum(m.value >> 16 * k & 0xFFFF for m in both) - word[k] - carry
            # Limbs of the sum may be larger than 16 bits: then the last one has no difference.
            rows.difference[row, k], carry = rest % (1 << 16), -(rest >> 16)
            if k < 15:
                rows.carry[row, k] = carry % MODULUS

    assert "compared: at most one flag" in _found(tell, alter)


@pytest.mark.parametrize("table", ["field_narrow_32", "field_selected_32", "field_words_32"])
def test_rows_that_are_skipped_or_repeated(table: str) -> None:
    """Of the second instance; its other rows stay in order."""
    program = _program()
    count = {"field_narrow_32": program.narrow, "field_selected_32": program.selected, "field_words_32": program.words}
    length = len(cast("list[object]", count[table]))

    def skip(tables: Traces) -> None:
        content = tables.array(table)
        content[length + 1 : 3 * length - 1] = content[length + 2 : 3 * length].copy()
        content[3 * length - 1] = 0

    assert "next row" in _found(alter=skip)

    def repeat(tables: Traces) -> None:
        content = tables.array(table)
        content[length + 2 : 3 * length + 1] = content[length + 1 : 3 * length].copy()

    assert "next row" in _found(alter=repeat)

    def end(tables: Traces) -> None:
        content = tables.array(table)
        content[2 * length - 1 : 3 * length - 1] = content[2 * length : 3 * length].copy()
        content[3 * length - 1] = 0
        tables[table].chain.last[2 * length - 2] = 1

    assert f"{table.split('_')[1].removesuffix('s')}_listed" in _found(alter=end)

    def begin(tables: Traces) -> None:
        content = tables.array(table)
        content[length : 3 * length - 1] = content[length + 1 : 3 * length].copy()
        content[3 * length - 1] = 0
        tables[table].chain.begins[length] = 1

    assert "begins with row 0" in _found(alter=begin)

    def twice(tables: Traces) -> None:
        content = tables.array(table)
        content[2 * length : 3 * length] = content[length : 2 * length]

    assert "field_start" in _found(alter=twice)

    def renamed(tables: Traces) -> None:
        tables[table].chain.instance[2 * length : 3 * length] = 200

    assert "field_start" in _found(alter=renamed)


def test_a_register_of_another_instance() -> None:
    """What is read has the digits of the same register of the instance before."""
    program = _program()
    length = len(program.narrow)

    def alter(tables: Traces) -> None:
        rows = tables["field_narrow_32"]
        rows.operand[length] = 0
        rows.operand[length, 0] = rows.operand[2 * length, 0] + 1

    assert "register_32" in _found(alter=alter)

    def linked(tables: Traces) -> None:
        # A selection that is not one of the linked instance.
        tables["field_selected_32"].linked[4] = 1

    assert "selected_listed" in _found(alter=linked)


def test_another_digit_of_a_scalar() -> None:
    """A selection takes an entry that the scalar does not select, or the digit at another position."""
    row = len(_program().selected) - 1

    def digit(tables: Traces) -> None:
        rows = tables["field_selected_32"]
        term = rows.term[0]
        term.digit[row] = 1
        rows.value[row] = rows.value[row - 3]

    assert {"field_digit", "register_32"} <= _found(alter=digit)

    def position(tables: Traces) -> None:
        rows = tables["field_selected_32"]
        term = rows.term[0]
        term.position[row], term.digit[row] = 1, 1
        rows.value[row] = rows.value[row - 3]

    assert {"field_digit", "selected_listed"} <= _found(alter=position)

    def unused(tables: Traces) -> None:
        tables["field_selected_32"].term[1].digit[row] = 1

    assert "no digit: term 1" in _found(alter=unused)


def test_another_scalar() -> None:
    def tell(run: Run) -> None:
        run.values[BITS] += 1
        run.bits[0] += 1

    assert any(place.startswith("pair ") for place in _found(tell))


def test_the_end_of_a_word_that_is_compared() -> None:
    """p is not below p."""

    def tell(run: Run) -> None:
        run.values[WORDS] = P

    assert any(place.startswith("difference: limb") for place in _found(tell))


# What honest inputs may be.


@pytest.mark.parametrize("limbs", [32, 48])
def test_registers_of_extreme_digits(limbs: int) -> None:
    """The largest equations that the assembler takes hold in the circuit for registers at their bounds."""
    least, most = -128 * (256**limbs - 1) // 255, 127 * (256**limbs - 1) // 255
    rng = np.random.default_rng(limbs)

    def number(bound: int) -> int:
        return int(rng.integers(-bound, bound + 1))

    taken = 0
    for modulus in EQUATION_MODULI[limbs]:
        p = Program(1, "extremes", modulus, limbs)
        signed = [p.solve(lambda: 0, (), lambda x: x - x, INTEGERS) for _ in range(4)]
        words = [p.word(k) for k in range(3)]
        registers = [*signed, *words, p.bits(lambda: 2**256 - 1).register]

        def some(registers: Sequence[Register] = registers) -> Register:
            return registers[int(rng.integers(len(registers)))]

        rows = 0
        for _ in range(300):
            total = Polynomial()
            for _ in range(int(rng.integers(1, 5))):
                total = total + number(3) * (some() * some())
            for _ in range(int(rng.integers(3))):
                total = total + number(MAX_COEFFICIENT) * some()
            total = total + number((1 << 24) - 1)
            # Those that leave little room.
            if rows < 20 and p._shape(total, modulus, 1) and not p._shape(3 * total, modulus, 1):
                p.reduce(total)
                rows += 1
        _hold(p, {r.index: least if rng.integers(2) else most for r in signed})
        words_read = [2**256 - 1 if rng.integers(2) else 255 << 248 for _ in words]
        circuit, traces = circuit_of([Request(p, words_read, time=1)], [p])
        assert check_circuit(circuit, traces, [[] for _ in traces]) == []
        taken += rows
    assert taken > 30


def _hold(p: Program, held: dict[int, int]) -> None:
    """The program's first registers hold these numbers."""
    steps = p._steps
    for k, index in enumerate(held):
        step = steps[k]

        def forced(state: Any, step: Any = step, index: int = index) -> None:
            step(state)
            state.values[index] = held[index]

        steps[k] = forced


def test_hashes_stand_for_what_is_hashed() -> None:
    """The name of what is hashed is one for all words of an instance."""
    p = Program(1, "hashes", SECP256K1_P)
    p.hashed(p.word(0), INTEGERS)
    p.hashed(p.word(1), INTEGERS)
    p.output(p.digest(KECCAK256_FUNCTION, 64), INTEGERS)
    requests = [Request(p, [1, 2], frame=1, time=1, hashed=4), Request(p, [3, 2], frame=2, time=90, hashed=9)]
    circuit, traces = circuit_of(requests, [p])
    assert check_circuit(circuit, traces, [[] for _ in traces]) == []
    rows = next(
        TraceView(t.layout, m)
        for t, m in zip(circuit.tables, traces, strict=True)
        if t.name == "field_words_32" and m is not None
    )
    # The second word of both is the same.
    rows.hashed[3] = 9
    assert "same hashed" in places(check_circuit(circuit, traces, [[] for _ in traces]))
