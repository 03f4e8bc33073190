"""What the programs of pairing checks have in common: the product of Miller loops, and whether it is a power.

`alt_bn128_pairing` has the argument for the ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from circuits.programs.extensions import ONE, Extension, Quotient, Six, Twelve
from circuits.programs.moduli import INTEGERS
from circuits.programs.program import SIGNED_DIGIT, WIDE, Polynomial, Program, Register, Run, divide, lift
from circuits.programs.towers import Fp2, Fp6, Tower, fp6, minus, numbers
from circuits.programs.twists import Twist

#: Two elements of which c^L is the product.
WitnessPower = Callable[[Tower, Fp6], tuple[Fp6, Fp6]]


class Part:
    """A program of a part: its first wide rows are the product that it leaves, in all programs of parts."""

    def __init__(self, program: Program, field: Extension) -> None:
        self.p = program
        self.product = program.promise(12)
        self.t = Tower(program, field)
        self.twist = Twist(self.t)

    def put(self, f: Sequence[Polynomial]) -> None:
        """Leave a product for the part behind: twelve polynomials."""

        def equations() -> list[Polynomial]:
            return [register - value for register, value in zip(self.product, f, strict=True)]

        self.p.fulfil(self.product, lambda *values: values, f, equations)

    def multiply_in(self, first: bool, value: Fp6 | None) -> None:
        """Leave the product of what the part before left, if this is not the first, and of a value, if there is one."""
        one, nothing = [lift(c) for c in ONE], [lift(0)] * 6
        if first:
            self.put([*numbers(*value), *one] if value else [*one, *nothing])
            return
        before = linked_product(self.p)
        even, odd = self.t.times_full(before, value) if value else before
        self.put([*numbers(*even), *numbers(*odd)])


def linked_product(p: Program) -> tuple[Fp6, Fp6]:
    """The product that the part before left."""
    pairs = [p.linked(Register(WIDE + k, SIGNED_DIGIT, 0)) for k in range(0, 12, 2)]
    registers = [r for pair in pairs for r in pair]
    return fp6(registers[:6]), fp6(registers[6:])


def left_product(run: Run) -> Twelve:
    """The product that a part left, as numbers."""
    values = [run.values[WIDE + k] for k in range(12)]
    return tuple(values[:6]), tuple(values[6:])


def registers_of(*parts: Fp2) -> list[Register]:
    """The registers of elements that have one for each coordinate."""
    found = []
    for polynomial in numbers(*parts):
        (register,) = polynomial.linear
        found.append(register)
    return found


def require_some(p: Program, values: Sequence[Register]) -> None:
    """Of up to four registers not all are 0: some combination of them is 1."""
    factors = p.promise(len(values))
    m = p.modulus.value

    def hint(*found: int) -> list[int]:
        result = [0] * len(found)
        k = next((k for k, v in enumerate(found) if v % m), 0)
        result[k] = divide(p.modulus)(1, found[k])
        return result

    def equations() -> list[Polynomial]:
        total = lift(-1)
        for value, factor in zip(values, factors, strict=True):
            total = total + value * factor
        return [total] + [lift(0)] * (len(values) - 1)

    p.fulfil(factors, hint, values, equations)


def _free(t: Tower, hint: Callable[[Twelve], Six], f: tuple[Fp6, Fp6]) -> Fp6:
    """Six registers of which nothing is stated here."""
    registers = t.p.promise(6)

    def found(*values: int) -> Six:
        return hint((values[:6], values[6:]))

    t.p.fulfil(registers, found, numbers(*f[0], *f[1]), lambda: [lift(0)] * 6)
    return fp6(registers)


def prove_one(t: Tower, quotient: Quotient, power: WitnessPower) -> None:
    """Put out 1: the linked product is an n-th power."""
    f = linked_product(t.p)
    c = _free(t, quotient.witness, f)
    t.require_equal(f, t.product(*power(t, c)))
    t.p.output(1, INTEGERS)


def prove_not_one(t: Tower, quotient: Quotient, power: WitnessPower) -> None:
    """Put out 0: the linked product is not an n-th power."""
    f = linked_product(t.p)
    e = _free(t, lambda product: quotient.affine(quotient.part(product)), f)
    # e^L is trivial; e is not, since it is some tau + W.
    for x, y in zip(*power(t, e), strict=True):
        t.require2(x + y)
    even, odd = t.times_full(f, minus(e))
    rest = t.reduce6(even), t.reduce6(odd)
    c = _free(t, quotient.witness, rest)
    t.require_equal(rest, t.product(*power(t, c)))
    t.p.output(0, INTEGERS)
