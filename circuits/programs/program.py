"""Programs of the field machine: straight-line arithmetic modulo large numbers.

A program is a list of instructions, each of which makes one register and states one equation modulo m. Formulas are
written with registers as Python numbers::

    slope = p.solve(divide, (y2 - y1, x2 - x1), lambda slope: slope * (x2 - x1) - (y2 - y1))
    x3 = p.reduce(slope * slope - x1 - x2)
    y3 = p.reduce(slope * (x1 - x3) - y1)

`reduce` computes; `solve` takes what a function of Python (a hint) finds, and its equation is the proof. What a
register holds is an integer of signed bytes and any representative of its residue: only words and equations modulo
`INTEGERS` speak of the integer. A register is written once, by the row that its number names, so that programs know no
time.

The equation of a row is one over the integers: sum - q * m = 0, checked byte by byte with carries. The assembler
computes the largest coefficient of every equation from the digits that its registers may have, and refuses a program
for which a sum could pass the bound of the carries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from Crypto.Hash import keccak

from circuits.functions.buses import KECCAK256_FUNCTION, SHA256_FUNCTION
from circuits.programs.moduli import INTEGERS, Modulus

#: Digits of a register are signed bytes, those of words and bits unsigned ones.
SIGNED_DIGIT, UNSIGNED_DIGIT = 128, 255

#: Why the cells of a register may be any digits where no equation of its own row makes them.
HINT = "a hint may be any number: what the program states of it stands in the rows that read it"

#: First register of each kind of row; a row's register is the base and the row's number.
NARROW, WIDE, SELECTED, BITS, WORDS = (kind << 20 for kind in range(1, 6))
_ROWS_PER_KIND = 1 << 20

#: The modulus of the circuits' field.
FIELD_MODULUS = 15 * (1 << 27) + 1
#: Constants have numbers below those of all registers, so many for each program.
MAX_CONSTANTS = 1 << 12

#: What the coefficients of one equation may add up to in 16 bits of it: with carries of 15 bits and 2^16-fold carries
#: of 2^30 it stays below the modulus of the circuits' field.
MAX_SUM = FIELD_MODULUS - 1 - (1 << 30) - (1 << 15)

#: Products and linear terms in a row of the wide table.
WIDE_PRODUCTS, WIDE_LINEAR = 4, 2

#: Coefficients of terms are small integers.
MAX_COEFFICIENT = 1 << 12

#: Digits of scalars that are looked up have two bits; an address adds up to so many of them.
DIGIT_BITS = 2
MAX_TERMS = 4

Hint = Callable[..., int]


class ProgramError(Exception):
    """A program that the machine cannot run: the text says what its author must change."""


class UnsatisfiedError(Exception):
    """An equation of a program does not hold for these inputs."""


class Polynomial:
    """A polynomial of degree 2 at most in registers: products of sums of registers, and a sum of registers."""

    __slots__ = ("constant", "linear", "products")

    def __init__(
        self,
        linear: dict[Register, int] | None = None,
        constant: int = 0,
        products: tuple[tuple[int, Polynomial, Polynomial], ...] = (),
    ) -> None:
        #: Without zeros.
        self.linear = linear if linear is not None else {}
        self.constant = constant
        self.products = products

    def __add__(self, other: Operand) -> Polynomial:
        o = lift(other)
        linear = dict(self.linear)
        _accumulate(linear, o.linear, 1)
        return Polynomial(linear, self.constant + o.constant, self.products + o.products)

    __radd__ = __add__

    def __neg__(self) -> Polynomial:
        return self * -1

    def __sub__(self, other: Operand) -> Polynomial:
        return self + -lift(other)

    def __rsub__(self, other: Operand) -> Polynomial:
        return lift(other) - self

    def __mul__(self, other: Operand) -> Polynomial:
        o = lift(other)
        for a, b in ((self, o), (o, self)):
            if not b.linear and not b.products:
                k = b.constant
                if not k:
                    return Polynomial()
                linear = {r: c * k for r, c in a.linear.items()}
                products = tuple((c * k, x, y) for c, x, y in a.products)
                return Polynomial(linear, a.constant * k, products)
        if self.products or o.products:
            raise ProgramError("a polynomial of degree 3: reduce one of its factors first")
        return Polynomial(products=((1, self, o),))

    __rmul__ = __mul__

    def evaluate(self, value: Callable[[Register], int]) -> int:
        """Its value as an integer."""
        total = self.constant + sum(c * value(r) for r, c in self.linear.items())
        return total + sum(c * a.evaluate(value) * b.evaluate(value) for c, a, b in self.products)

    def expanded(self) -> Polynomial:
        """The same with products of two single registers only, equal ones joined."""
        products: dict[tuple[Register, Register], int] = {}
        linear, constant = dict(self.linear), self.constant
        for c, a, b in self.products:
            for x, cx in a.linear.items():
                for y, cy in b.linear.items():
                    key = (x, y) if x.index <= y.index else (y, x)
                    products[key] = products.get(key, 0) + c * cx * cy
            if a.constant:
                _accumulate(linear, b.linear, c * a.constant)
                constant += c * a.constant * b.constant
            if b.constant:
                _accumulate(linear, a.linear, c * b.constant)
        monomials = tuple((c, Polynomial({x: 1}), Polynomial({y: 1})) for (x, y), c in products.items() if c)
        return Polynomial(linear, constant, monomials)


def _accumulate(sums: dict[Register, int], terms: dict[Register, int], factor: int) -> None:
    """Add terms to sums, in which no coefficient is 0."""
    for register, c in terms.items():
        total = sums.get(register, 0) + c * factor
        if total:
            sums[register] = total
        else:
            sums.pop(register, None)


@dataclass(frozen=True)
class Register:
    """A register of a program.

    Attributes:
        index: its number.
        digit: the largest absolute value that one of its digits can have.
        size: the largest absolute value that it has in honest runs.
    """

    index: int
    digit: int = field(compare=False)
    size: int = field(compare=False)

    def __hash__(self) -> int:
        return self.index

    def __add__(self, other: Operand) -> Polynomial:
        return lift(self) + other

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Polynomial:
        return lift(self) - other

    def __rsub__(self, other: Operand) -> Polynomial:
        return lift(other) - self

    def __mul__(self, other: Operand) -> Polynomial:
        return lift(self) * other

    __rmul__ = __mul__

    def __neg__(self) -> Polynomial:
        return lift(self) * -1


Operand = Polynomial | Register | int


def lift(value: Operand) -> Polynomial:
    """A register or an integer as a polynomial."""
    if isinstance(value, Polynomial):
        return value
    return Polynomial({value: 1}) if isinstance(value, Register) else Polynomial(constant=value)


@dataclass(frozen=True)
class NarrowRow:
    """A * (b * B + c * C) + f * E * (B - C) + g * D^2 + d * D + e * E + constant - s * R = 0 modulo m.

    With f the row has b = -c: it states (A + f / b * E) * b * (B - C). No constraint has a degree for more.

    `operands` are the numbers of the registers A to E; the row's own where one is not used.
    """

    modulus: Modulus
    operands: tuple[int, int, int, int, int]
    b: int
    c: int
    f: int
    g: int
    d: int
    e: int
    s: int
    constant: int
    distinct: bool = False  # b * B + c * C is not 0 modulo m


@dataclass(frozen=True)
class WideRow:
    """Sum of 4 products and 2 linear terms with coefficients, + constant - s * R = 0 modulo m."""

    modulus: Modulus
    operands: tuple[int, ...]  # a and b of each product, then the linear ones
    products: tuple[int, ...]
    linear: tuple[int, ...]
    s: int
    constant: int


@dataclass(frozen=True)
class SelectedRow:
    """Two registers in a row, copied from `base + sum of weight * digit`, which are the program's own, those of the
    linked instance or constants.

    `terms`: (weight, number of the bits, position) of the digits in the address.
    """

    source: int  # OWN, LINKED or CONSTANT
    base: int
    terms: tuple[tuple[int, int, int], ...]


OWN, LINKED, CONSTANT = range(3)


@dataclass(frozen=True)
class WordRow:
    """A word: an integer below 2^256 of unsigned bytes.

    Attributes:
        place: READ: of the input. WRITTEN: of the output. HASHED: of what is hashed. DIGEST: its hash. FREE: a hint.
        position: which word there; for a DIGEST the bytes that are hashed.
        compared: the number that it is compared with, or None.
        below: whether it is below that number, or not.
    """

    place: int
    position: int
    compared: Modulus | None
    below: bool


READ, WRITTEN, HASHED, DIGEST, FREE = range(5)

#: What hashes the words of a call, by the name of the function on the buses of hashes.
_HASHES: dict[int, Callable[[bytes], bytes]] = {
    KECCAK256_FUNCTION: lambda data: keccak.new(digest_bits=256, data=data).digest(),
    SHA256_FUNCTION: lambda data: hashlib.sha256(data).digest(),
}


@dataclass(frozen=True)
class Bits:
    """A scalar of which the digits are known."""

    register: Register
    number: int

    def digit(self, position: int, weight: int = 1) -> tuple[int, int, int]:
        """The digit of 2 bits at this position, with a weight, as a term of an address."""
        return weight, self.number, position


Pair = tuple[Register, Register]


@dataclass(frozen=True)
class PairTable:
    """Pairs of registers one behind the other."""

    source: int
    base: int
    length: int
    digit: int
    size: int


@dataclass
class Run:
    """What a program's registers hold: integers by number of the register, and what it puts out.

    Attributes:
        values: by number of the register.
        quotients: of the equations, by the number of the row's register; none of those of integers.
        bits: the numbers whose digits are looked up.
        written, hashed: words.
        hashes: which function hashes, or None.
        hashed_bytes, digest: what it hashes, and the hash.
    """

    values: dict[int, int]
    quotients: dict[int, int]
    bits: list[int]
    written: list[int]
    hashed: list[int]
    hashes: int | None = None
    hashed_bytes: bytes = b""
    digest: int = 0


class Program:
    """A program under construction, and then as it is run.

    Args:
        number: names it in the machine's tables; no two programs share one.
        name: for messages.
        modulus: of equations that name no other one.
        limbs: bytes of a register, 32 or 48.
    """

    def __init__(self, number: int, name: str, modulus: Modulus, limbs: int = 32) -> None:
        self.number, self.name, self.modulus, self.limbs = number, name, modulus, limbs
        self.narrow: list[NarrowRow] = []
        self.wide: list[WideRow] = []
        self.selected: list[SelectedRow] = []
        self.bit_rows = 0
        self.words: list[WordRow] = []
        self.constants: list[int] = []
        #: Whether it has a `choice`.
        self.chooses = False
        #: Which function hashes, and how many bytes.
        self.hashes: tuple[int, int] | None = None
        self._constant_pairs: dict[tuple[int, int], Pair] = {}
        self._promised: set[int] = set()
        self._steps: list[Callable[[_State], None]] = []
        #: The last runs by inputs, choice and linked run, which is kept so that its id names it.
        self._runs: dict[tuple[tuple[int, ...], int, int], tuple[Run, Run | None]] = {}

    # Registers from outside.

    def word(self, position: int, *, below: Modulus | None = None, at_least: Modulus | None = None) -> Register:
        """The word at this position of the input; proved to be below a number, or not to be."""
        return self._word(WordRow(READ, position, below or at_least, below is not None), None, ())

    def free_word(
        self,
        hint: Hint,
        arguments: Sequence[Operand] = (),
        *,
        below: Modulus | None = None,
        at_least: Modulus | None = None,
    ) -> Register:
        """A number of 256 bits that a hint finds; proved to be below another, or not. The caller states the rest."""
        row = WordRow(FREE, 0, below or at_least, at_least is None)
        return self._word(row, hint, tuple(lift(a) for a in arguments))

    def digest(self, function: int, length: int) -> Register:
        """The hash of the first `length` bytes of what was hashed, once: `function` as on the hash buses."""
        if self.hashes is not None:
            raise ProgramError(f"{self.name}: one hash for each program")
        self.hashes = function, length
        return self._word(WordRow(DIGEST, length, None, True), None, ())

    def output(self, value: Operand, modulus: Modulus | None = None) -> Register:
        """Return a number: the least one that is not negative, of its residue, as a word behind those before."""
        return self._put_out(WRITTEN, value, modulus)

    def hashed(self, value: Operand, modulus: Modulus | None = None) -> Register:
        """Hash a number, as `output` returns it: a word behind those before."""
        return self._put_out(HASHED, value, modulus)

    def output_word(self, hint: Hint, arguments: Sequence[Operand] = (), *, below: Modulus | None = None) -> Register:
        """Return a number below 2^256, or below another one, that a hint finds. The caller states what it is."""
        position = sum(row.place == WRITTEN for row in self.words)
        return self._word(WordRow(WRITTEN, position, below, True), hint, tuple(lift(a) for a in arguments))

    def hashed_word(self, hint: Hint, arguments: Sequence[Operand] = (), *, below: Modulus | None = None) -> Register:
        """Hash a number that a hint finds, as `output_word` returns it."""
        position = sum(row.place == HASHED for row in self.words)
        return self._word(WordRow(HASHED, position, below, True), hint, tuple(lift(a) for a in arguments))

    def _put_out(self, place: int, value: Operand, modulus: Modulus | None) -> Register:
        m = modulus or self.modulus
        position = sum(row.place == place for row in self.words)
        polynomial = lift(value)
        compared = None if m is INTEGERS else m
        hint: Hint = lambda v: v if m is INTEGERS else v % m.value  # noqa: E731
        register = self._word(WordRow(place, position, compared, True), hint, (polynomial,))
        self.require(polynomial - register, m)
        return register

    def _word(self, row: WordRow, hint: Hint | None, arguments: tuple[Polynomial, ...]) -> Register:
        if len(self.words) >= _ROWS_PER_KIND:
            raise ProgramError(f"{self.name}: too many words")
        if row.compared is not None and not 0 < row.compared.value < 1 << 256:
            raise ProgramError(
                f"{self.name}: {row.compared.name} is no number of 256 bits that words are compared with"
            )
        register = Register(WORDS + len(self.words), UNSIGNED_DIGIT, (1 << 256) - 1)
        self.words.append(row)

        def step(state: _State) -> None:
            if hint is not None:
                value = hint(*(a.evaluate(state.value) for a in arguments))
            elif row.place == READ:
                value = state.inputs[row.position]
            else:
                assert self.hashes is not None
                function, length = self.hashes
                data = b"".join(word.to_bytes(32, "big") for word in state.hashed)
                if len(data) != -(-length // 32) * 32 or any(data[length:]):
                    raise UnsatisfiedError(f"{self.name}: {length} bytes are hashed, with zeros behind them in words")
                state.hashed_bytes = data[:length]
                state.digest = value = int.from_bytes(_HASHES[function](state.hashed_bytes), "big")
            if row.place in (WRITTEN, HASHED):
                (state.written if row.place == WRITTEN else state.hashed).append(value)
            if not 0 <= value < 1 << 256:
                raise UnsatisfiedError(f"{self.name}: word {row.position} has not 256 bits")
            if row.compared is not None and (value < row.compared.value) != row.below:
                raise UnsatisfiedError(f"{self.name}: word {row.position} is not on this side of {row.compared.name}")
            state.values[register.index] = value

        self._steps.append(step)
        return register

    def constant(self, value: int) -> Register:
        """A register that holds this number."""
        return self.constant_pair(value, 0)[0]

    def constant_pair(self, x: int, y: int) -> Pair:
        """Two registers that hold these numbers: a point."""
        if (x, y) not in self._constant_pairs:
            self._constant_pairs[x, y] = self.select(self.constant_table([(x, y)]))
        return self._constant_pairs[x, y]

    def constant_table(self, pairs: Sequence[tuple[int, int]]) -> PairTable:
        """Pairs of constants that `select` reads."""
        base = len(self.constants)
        values = [signed(v, self.modulus, self.limbs) for pair in pairs for v in pair]
        self.constants += values
        if len(self.constants) > MAX_CONSTANTS:
            raise ProgramError(f"{self.name}: more than {MAX_CONSTANTS} constants")
        return PairTable(CONSTANT, base, len(pairs), SIGNED_DIGIT, max(map(abs, values)))

    def table(self, pairs: Sequence[Pair]) -> PairTable:
        """Pairs of registers that `select` reads, copied one behind the other."""
        base = SELECTED + 2 * len(self.selected)
        for x, y in pairs:
            if y.index != x.index + 1:
                raise ProgramError(f"{self.name}: the registers of a pair must be made one behind the other")
            self._select(SelectedRow(OWN, x.index, ()), max(x.digit, y.digit), max(x.size, y.size))
        digit = max(r.digit for pair in pairs for r in pair)
        return PairTable(OWN, base, len(pairs), digit, max(r.size for pair in pairs for r in pair))

    def linked(self, first: Register, digit: int = SIGNED_DIGIT, size: int | None = None) -> Pair:
        """The registers `first` and the next one of the linked instance, of another program with the same modulus."""
        size = size if size is not None else self.modulus.value // 2
        return self._select(SelectedRow(LINKED, first.index, ()), digit, size)

    def select(self, table: PairTable, terms: Iterable[tuple[int, int, int]] = ()) -> Pair:
        """The pair of a table at the sum of weights and digits: `terms` as from `Bits.digit`."""
        chosen = tuple((2 * weight, number, position) for weight, number, position in terms)
        if len(chosen) > MAX_TERMS:
            raise ProgramError(f"{self.name}: an address has at most {MAX_TERMS} digits")
        if sum(3 * weight for weight, _, _ in chosen) > 2 * (table.length - 1):
            raise ProgramError(f"{self.name}: digits that point behind the end of the table")
        return self._select(SelectedRow(table.source, table.base, chosen), table.digit, table.size)

    def _select(self, row: SelectedRow, digit: int, size: int) -> Pair:
        if 2 * len(self.selected) >= _ROWS_PER_KIND:
            raise ProgramError(f"{self.name}: too many selections")
        first = SELECTED + 2 * len(self.selected)
        self.selected.append(row)

        def step(state: _State) -> None:
            at = row.base + sum(w * (state.bits[k] >> DIGIT_BITS * i & 3) for w, k, i in row.terms)
            values = state.linked if row.source == LINKED else state.values
            for k in range(2):
                state.values[first + k] = self.constants[at + k] if row.source == CONSTANT else values[at + k]

        self._steps.append(step)
        return Register(first, digit, size), Register(first + 1, digit, size)

    def bits(self, hint: Hint, arguments: Sequence[Operand] = ()) -> Bits:
        """A number of 256 bits that a hint finds, whose digits `select` reads. The caller states what it is."""
        number = self.bit_rows
        self.bit_rows += 1
        register = Register(BITS + number, UNSIGNED_DIGIT, (1 << 256) - 1)
        lifted = [lift(a) for a in arguments]

        def step(state: _State) -> None:
            value = hint(*(a.evaluate(state.value) for a in lifted))
            if not 0 <= value < 1 << 256:
                raise UnsatisfiedError(f"{self.name}: bits {number} are no number of 256 bits")
            state.values[register.index] = value
            state.bits.append(value)

        self._steps.append(step)
        return Bits(register, number)

    def choice(self) -> Bits:
        """A number that is the prover's own choice: `run` gets it. It must be sound to choose any."""
        self.chooses = True
        number = self.bit_rows
        self.bit_rows += 1
        register = Register(BITS + number, UNSIGNED_DIGIT, (1 << 256) - 1)

        def step(state: _State) -> None:
            state.values[register.index] = state.choice
            state.bits.append(state.choice)

        self._steps.append(step)
        return Bits(register, number)

    # Equations.

    def reduce(self, value: Operand, modulus: Modulus | None = None) -> Register:
        """A register that is equal to a polynomial."""
        m = modulus or self.modulus
        polynomial = self._fitting(lift(value), m)
        return self._row(polynomial, m, 1, lambda state: polynomial.evaluate(state.value))

    def solve(
        self,
        hint: Hint,
        arguments: Sequence[Operand],
        equation: Callable[[Register], Operand],
        modulus: Modulus | None = None,
        *,
        distinct: bool = False,
    ) -> Register:
        """A register for which `equation` vanishes: `hint` finds it from the values of polynomials, as integers.

        With `distinct` the equation has the product of a sum with the difference of two registers, in a narrow row, and
        this difference is proved not to be 0: for moduli of 256 bits, which a difference of registers can exceed once.
        The circuit has no proof for 3 of 2^31 differences that are not 0. Attackers look for inputs that meet them, and
        an x that differs from a constant by such a difference is found at once: so a program needs as many choices as
        there are no inputs to spoil all of, and `run` fails where the proof would.

        The hint may return any representative. That its equation determines what it stands for is the caller's care.
        """
        m = modulus or self.modulus
        lifted = [lift(a) for a in arguments]
        # What cannot be in the row with the unknown is reduced before.
        unknown = self._result(m, WIDE + (1 << 19))
        polynomial = lift(equation(unknown))
        if self._shape(polynomial, m, 0, unknown) is None:
            with_it, without = _parted(polynomial.expanded(), unknown)
            polynomial = with_it + self.reduce(without, m)
        shape = self._shape(polynomial, m, 0, unknown)
        if shape is None:
            raise ProgramError(f"{self.name}: an equation with too many terms of its unknown")
        register = self._row(
            polynomial, m, 0, lambda state: hint(*(a.evaluate(state.value) for a in lifted)), unknown=unknown
        )
        if distinct:
            self._make_distinct(register, m)
        return register

    def promise(self, count: int) -> list[Register]:
        """Registers, one behind the other, that `fulfil` gives their values and equations, together.

        They are for systems of equations in which every unknown may occur in every equation, and for registers whose
        numbers must be the same in several programs. Each is one of the wide table.
        """
        registers = [self._result(self.modulus, WIDE + len(self.wide) + k) for k in range(count)]
        # Until it is fulfilled a promise is an equation that does not hold: 1 = 0.
        for register in registers:
            self._promised.add(register.index)
            self.wide.append(_wide(lift(1), self.modulus, 0, register.index))
        return registers

    def fulfil(
        self,
        registers: Sequence[Register],
        hint: Callable[..., Sequence[int]],
        arguments: Sequence[Operand],
        equations: Callable[[], Sequence[Operand]],
    ) -> None:
        """State one equation, of these registers and others, in the row of each promised register.

        Args:
            registers: as promised.
            hint: finds what they hold, any representatives, from the values of the arguments, as integers.
            arguments: polynomials without these registers.
            equations: makes as many polynomials that vanish; a register with nothing to state has the polynomial 0.
                It is called when the registers have their values, so that it may reduce parts that contain them.
        """
        lifted = [lift(a) for a in arguments]
        limbs, modulus = self.limbs, self.modulus

        def find(state: _State) -> None:
            found = hint(*(a.evaluate(state.value) for a in lifted))
            for register, value in zip(registers, found, strict=True):
                state.values[register.index] = signed(value, modulus, limbs)

        self._steps.append(find)
        for register, equation in zip(registers, equations(), strict=True):
            self._promised.remove(register.index)
            final = self._fitting(lift(equation), modulus, result=0).expanded()
            row = register.index - WIDE
            if _wide_terms(final) is None:
                raise ProgramError(f"{self.name}: the equation of a promised register that only a narrow row states")
            self.wide[row] = _wide(final, modulus, 0, register.index)
            self._steps.append(self._check(final, modulus, "wide", row))

    def _check(self, final: Polynomial, modulus: Modulus, kind: str, row: int) -> Callable[[_State], None]:
        name = self.name

        def check(state: _State) -> None:
            total = final.evaluate(state.value)
            if modulus is not INTEGERS:
                state.quotients[WIDE + row], total = divmod(total, modulus.value)
            if total:
                raise UnsatisfiedError(f"{name}: the equation of {kind} row {row} does not hold")

        return check

    def _make_distinct(self, register: Register, modulus: Modulus) -> None:
        row = self.narrow[-1]
        if register.index != NARROW + len(self.narrow) - 1 or sorted((row.b, row.c)) != [-1, 1]:
            raise ProgramError(f"{self.name}: distinct needs a narrow row that multiplies by a difference of registers")
        # The most that a word, or bits, and a number of signed bytes differ by.
        if 2 * modulus.value <= (SIGNED_DIGIT + UNSIGNED_DIGIT) * (256**self.limbs - 1) // 255:
            raise ProgramError(f"{self.name}: {modulus.name} is too small for distinct")
        self.narrow[-1] = replace(row, distinct=True)
        left, right, name = row.operands[1], row.operands[2], self.name

        def step(state: _State) -> None:
            difference = state.values[left] - state.values[right]
            if difference % modulus.value == 0:
                raise UnsatisfiedError(f"{name}: equal numbers, which were to be distinct")
            # What the circuit inverts to prove that the difference is none of 0, m and -m.
            if difference * (difference**2 - modulus.value**2) % FIELD_MODULUS == 0:
                raise UnsatisfiedError(f"{name}: numbers that are distinct, but not modulo the circuits' field")

        self._steps.append(step)

    def require(self, value: Operand, modulus: Modulus | None = None) -> None:
        """A polynomial that vanishes."""
        m = modulus or self.modulus
        self._row(self._fitting(lift(value), m, result=0), m, 0, lambda state: 0)

    def _result(self, modulus: Modulus, index: int) -> Register:
        size = (1 << 8 * self.limbs - 1) if modulus is INTEGERS else modulus.value // 2 + (1 << 8 * self.limbs - 8)
        return Register(index, SIGNED_DIGIT, size)

    def _fitting(self, polynomial: Polynomial, modulus: Modulus, *, result: int = 1) -> Polynomial:
        """The same with so many of its terms reduced before that one row states it."""
        if self._shape(polynomial, modulus, result) is not None:
            return polynomial
        rest = polynomial.expanded()
        while self._shape(rest, modulus, result) is None:
            products, linear = list(rest.products), list(rest.linear.items())
            part = Polynomial()
            taken = 0
            for k in range(min(WIDE_PRODUCTS, len(products)), -1, -1):
                # All linear terms that fit, two at most, are taken along.
                for many in range(min(WIDE_LINEAR, len(linear)), -1, -1):
                    part = Polynomial(dict(linear[:many]), 0, tuple(products[:k]))
                    taken = k + many
                    if taken >= 2 and self._shape(part, modulus, 1) is not None:
                        break
                    taken = 0
                if taken:
                    break
            if not taken:
                raise ProgramError(f"{self.name}: no two terms of an equation fit a row; reduce their factors")
            # An exact integer is no residue: the part is one of the same integers.
            rest = rest - part + self.reduce(part, modulus)
            rest = rest.expanded()
        return rest

    def _row(
        self,
        polynomial: Polynomial,
        modulus: Modulus,
        result: int,
        find: Callable[[_State], int],
        unknown: Register | None = None,
    ) -> Register:
        shape = self._shape(polynomial, modulus, result, unknown)
        if shape is None:
            raise ProgramError(f"{self.name}: an equation that fits no row")
        narrow = shape == "narrow"
        rows: list[NarrowRow] | list[WideRow] = self.narrow if narrow else self.wide
        index = (NARROW if narrow else WIDE) + len(rows)
        if len(rows) >= _ROWS_PER_KIND // 2:
            raise ProgramError(f"{self.name}: too many rows")
        register = self._result(modulus, index)
        own = {unknown: register} if unknown else {}
        final = _renamed(polynomial, own)
        if narrow:
            self.narrow.append(_narrow(final, modulus, result, index))
        else:
            self.wide.append(_wide(final, modulus, result, index))
        limbs, name = self.limbs, self.name

        def step(state: _State) -> None:
            state.values[index] = signed(find(state), modulus, limbs)
            total = final.evaluate(state.value) - result * state.values[index]
            if modulus is not INTEGERS:
                state.quotients[index], total = divmod(total, modulus.value)
            if total:
                kind = "narrow" if narrow else "wide"
                raise UnsatisfiedError(
                    f"{name}: the equation of {kind} row {index & (_ROWS_PER_KIND - 1)} does not hold"
                )

        self._steps.append(step)
        return register

    def _shape(
        self, polynomial: Polynomial, modulus: Modulus, result: int, unknown: Register | None = None
    ) -> str | None:
        """Which table has a row for this equation: "narrow", "wide" or None."""
        for shape, fits in (("narrow", _narrow_terms), ("wide", _wide_terms)):
            terms = fits(polynomial)
            if terms is not None and self._bounded(terms, modulus, result):
                return shape
        return None

    def _bounded(self, polynomial: Polynomial, modulus: Modulus, result: int) -> bool:
        """Whether the sum of coefficients is below the bound, and the quotient has at most limbs + 1 digits."""
        digits = size = 0
        for c, a, b in polynomial.products:
            digits += abs(c) * _sum(a, "digit") * _sum(b, "digit") * self.limbs
            size += abs(c) * _sum(a, "size") * _sum(b, "size")
        digits += _sum(polynomial, "digit") + result * SIGNED_DIGIT
        size += _sum(polynomial, "size") + abs(polynomial.constant) + result * (1 << 8 * self.limbs)
        # q * m: each digit of q, a signed byte, meets the digits of m.
        digits += SIGNED_DIGIT * _digit_sum(modulus, self.limbs)
        fits = modulus is INTEGERS or size // modulus.value < 127 << 8 * self.limbs
        return fits and digits * 257 + abs(polynomial.constant) <= MAX_SUM

    def run(self, inputs: Sequence[int], *, choice: int = 0, linked: Run | None = None) -> Run:
        """Run it on the words of an input, integers.

        Args:
            inputs: the words by position.
            choice: the prover's own choice, if the program has one.
            linked: the run of the linked instance.

        Raises:
            UnsatisfiedError: an equation or a comparison does not hold.
        """
        if self._promised:
            raise ProgramError(f"{self.name}: {len(self._promised)} promises that are not fulfilled")
        # Who looks for a choice, or for the program that answers, runs what is run again to be proved.
        key = (tuple(inputs), choice, id(linked))
        if key in self._runs:
            return self._runs[key][0]
        state = _State(inputs, choice, linked.values if linked else {})
        for step in self._steps:
            step(state)
        function = self.hashes[0] if self.hashes else None
        hashed = (state.hashed, function, state.hashed_bytes, state.digest)
        run = Run(state.values, state.quotients, state.bits, state.written, *hashed)
        while len(self._runs) >= _KEPT_RUNS:
            del self._runs[next(iter(self._runs))]
        self._runs[key] = run, linked
        return run

    @property
    def links(self) -> bool:
        """Whether it reads registers of a linked instance: then it must have one."""
        return any(row.source == LINKED for row in self.selected)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each kind."""
        return {
            "narrow": len(self.narrow),
            "wide": len(self.wide),
            "selected": len(self.selected),
            "bits": self.bit_rows,
            "words": len(self.words),
        }


#: Runs that a program remembers.
_KEPT_RUNS = 16

#: Time that an instance takes: reads, then what it returns.
INSTANCE_TIME = 32
#: What is returned is written so long after the first read. Positions of words are smaller.
WRITE_DELAY = 16

#: What a program of a precompile is for its call: all of it, one of its parts, or the last part.
WHOLE, PART, END = range(3)


@dataclass(frozen=True)
class Variant:
    """A program that answers a call, or a part of it, when its equations hold.

    A PART or END that does not fail stands behind another part exactly if its program links: otherwise a part could
    forget those before it.

    Attributes:
        program: the program. WHOLE: what it puts out is what the call returns, and nothing where it puts out nothing.
        role: WHOLE, PART or END.
        fails: whether the call fails, and takes all gas.
    """

    program: Program
    role: int = WHOLE
    fails: bool = False


@dataclass(frozen=True)
class Instance:
    """A program to run for a call.

    Attributes:
        variant: which.
        offset: byte of the input where its word 0 begins.
        choice: the prover's own choice.
        linked: which earlier instance of the call is linked, or None.
    """

    variant: Variant
    offset: int = 0
    choice: int = 0
    linked: int | None = None


class _State:
    def __init__(self, inputs: Sequence[int], choice: int, linked: dict[int, int]) -> None:
        self.inputs, self.choice, self.linked = inputs, choice, linked
        self.values: dict[int, int] = {}
        self.quotients: dict[int, int] = {}
        self.bits: list[int] = []
        self.written: list[int] = []
        self.hashed: list[int] = []
        self.hashed_bytes, self.digest = b"", 0

    def value(self, register: Register) -> int:
        return self.values[register.index]


def signed(value: int, modulus: Modulus, limbs: int) -> int:
    """The representative of a residue that signed bytes can hold, near zero; integers as they are.

    Raises:
        UnsatisfiedError: an integer that they cannot hold.
    """
    lowest, highest = -128 * (256**limbs - 1) // 255, 127 * (256**limbs - 1) // 255
    if modulus is not INTEGERS:
        value %= modulus.value
        if value > modulus.value // 2 or value > highest:
            value -= modulus.value
    if not lowest <= value <= highest:
        raise UnsatisfiedError(f"{value} is no number of {limbs} signed bytes")
    return value


def divide(modulus: Modulus) -> Hint:
    """The hint a / b modulo m; 0 for b = 0."""
    return lambda a, b: a * pow(b, -1, modulus.value) if b % modulus.value else 0


@cache
def _digit_sum(modulus: Modulus, limbs: int) -> int:
    return sum(map(abs, modulus.digits(limbs)))


def _sum(polynomial: Polynomial, what: str) -> int:
    return sum(abs(c) * int(getattr(r, what)) for r, c in polynomial.linear.items())


def _parted(polynomial: Polynomial, unknown: Register) -> tuple[Polynomial, Polynomial]:
    """Terms with the unknown, and those without it."""
    has = [(c, a, b) for c, a, b in polynomial.products if unknown in a.linear or unknown in b.linear]
    others = [t for t in polynomial.products if t not in has]
    linear = {r: c for r, c in polynomial.linear.items() if r == unknown}
    rest = {r: c for r, c in polynomial.linear.items() if r != unknown}
    return Polynomial(linear, 0, tuple(has)), Polynomial(rest, polynomial.constant, tuple(others))


def _renamed(polynomial: Polynomial, names: dict[Register, Register]) -> Polynomial:
    if not names:
        return polynomial
    linear = {names.get(r, r): c for r, c in polynomial.linear.items()}
    products = tuple((c, _renamed(a, names), _renamed(b, names)) for c, a, b in polynomial.products)
    return Polynomial(linear, polynomial.constant, products)


def _small(*coefficients: int) -> bool:
    return all(abs(c) <= MAX_COEFFICIENT for c in coefficients)


def _narrow_parts(
    polynomial: Polynomial,
) -> tuple[list[tuple[Register, int]], list[tuple[Register, int]], dict[str, tuple[Register, int]], int] | None:
    """(A, E) with coefficients, (B, C) with coefficients, linear and square terms by role, g."""
    products = list(polynomial.products)
    if any(a.constant or b.constant for _, a, b in products):
        return None
    square: tuple[Register, int] | None = None
    if len(products) == 2:
        for k in (1, 0):
            c, a, b = products[k]
            if a.linear.keys() == b.linear.keys() and len(a.linear) == 1:
                (d, ca), (_, cb) = *a.linear.items(), *b.linear.items()
                square = (d, c * ca * cb)
                del products[k]
                break
    if len(products) > 1:
        return None
    left: list[tuple[Register, int]] = []
    right: list[tuple[Register, int]] = []
    if products:
        k, a, b = products[0]
        found = _sides(k, a, b) or _sides(k, b, a)
        if found is None:
            return None
        left, right = found
    roles: dict[str, tuple[Register, int]] = {}
    linear = dict(polynomial.linear)
    if square is not None:
        roles["square"] = square
        if square[0] in linear:
            roles["D"] = square[0], linear.pop(square[0])
    if len(left) == 2 and left[1][0] in linear:
        roles["E"] = left[1][0], linear.pop(left[1][0])
    free = ["D"] if square is None else []
    free += ["E"] if len(left) < 2 else []
    if len(linear) > len(free):
        return None
    for role, item in zip(free, linear.items(), strict=False):
        roles[role] = item
    return left, right, roles, square[1] if square else 0


def _sides(
    k: int, a: Polynomial, b: Polynomial
) -> tuple[list[tuple[Register, int]], list[tuple[Register, int]]] | None:
    """(A, E) and (B, C) with coefficients, A's being 1, if k * a * b is such a product."""
    left, right = list(a.linear.items()), list(b.linear.items())
    if len(left) > 2 or len(right) > 2:
        return None
    if len(left) == 1:
        return [(left[0][0], 1)], [(r, c * k * left[0][1]) for r, c in right]
    left.sort(key=lambda item: item[1] != 1)
    right = [(r, c * k) for r, c in right]
    # Both sides are sums: then the right one is a difference.
    if left[0][1] != 1 or len(right) == 1 or right[0][1] != -right[1][1]:
        return None
    return [left[0], (left[1][0], left[1][1] * right[0][1])], right


def _narrow_terms(polynomial: Polynomial) -> Polynomial | None:
    """The polynomial if a narrow row states it."""
    parts = _narrow_parts(polynomial)
    if parts is None:
        return None
    left, right, roles, g = parts
    small = _small(g, *(c for _, c in left), *(c for _, c in right), *(c for _, c in roles.values()))
    return polynomial if small and abs(polynomial.constant) < 1 << 24 else None


def _narrow(polynomial: Polynomial, modulus: Modulus, result: int, own: int) -> NarrowRow:
    parts = _narrow_parts(polynomial)
    assert parts is not None
    left, right, roles, g = parts
    a = left[0][0].index if left else own
    b, cb = (right[0][0].index, right[0][1]) if right else (own, 0)
    c, cc = (right[1][0].index, right[1][1]) if len(right) > 1 else (own, 0)
    f = left[1][1] if len(left) > 1 else 0
    e = left[1][0].index if len(left) > 1 else roles["E"][0].index if "E" in roles else own
    d = next((roles[k][0].index for k in ("square", "D") if k in roles), own)
    return NarrowRow(
        modulus,
        (a, b, c, d, e),
        b=cb,
        c=cc,
        f=f,
        g=g,
        d=roles["D"][1] if "D" in roles else 0,
        e=roles["E"][1] if "E" in roles else 0,
        s=result,
        constant=polynomial.constant,
    )


def _wide_terms(polynomial: Polynomial) -> Polynomial | None:
    """The polynomial, expanded, if a wide row states it."""
    p = polynomial.expanded()
    if len(p.products) > WIDE_PRODUCTS or len(p.linear) > WIDE_LINEAR:
        return None
    small = _small(*(c for c, _, _ in p.products), *p.linear.values())
    return p if small and abs(p.constant) < 1 << 24 else None


def _wide(polynomial: Polynomial, modulus: Modulus, result: int, own: int) -> WideRow:
    p = polynomial.expanded()
    operands = [next(iter(x.linear)).index for _, a, b in p.products for x in (a, b)]
    operands += [own] * (2 * WIDE_PRODUCTS - len(operands)) + [r.index for r in p.linear]
    operands += [own] * (2 * WIDE_PRODUCTS + WIDE_LINEAR - len(operands))
    products = [c for c, _, _ in p.products]
    linear = list(p.linear.values())
    return WideRow(
        modulus,
        tuple(operands),
        tuple(products + [0] * (WIDE_PRODUCTS - len(products))),
        tuple(linear + [0] * (WIDE_LINEAR - len(linear))),
        result,
        p.constant,
    )
