"""The precompiles that programs answer, of all forks, and what a call of each costs.

Source: execution-specs `cancun/vm/precompiled_contracts/` and `cancun/vm/gas.py`; EIP-2537, EIP-7951.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from circuits.programs import (
    alt_bn128,
    alt_bn128_pairing,
    bls12_381_g1,
    bls12_381_g2,
    bls12_381_maps,
    bls12_381_pairing,
    ecrecover,
    p256verify,
    point_evaluation,
)
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
from executor.forks import Fork

#: EIP-2537: what multiples of 1, 2, ... points cost each, of a thousand; more cost as many as the last one says.
G1_DISCOUNTS = (
    1000, 949, 848, 797, 764, 750, 738, 728, 719, 712, 705, 698, 692, 687, 682, 677, 673, 669, 665, 661, 658, 654, 651,
    648, 645, 642, 640, 637, 635, 632, 630, 627, 625, 623, 621, 619, 617, 615, 613, 611, 609, 608, 606, 604, 603, 601,
    599, 598, 596, 595, 593, 592, 591, 589, 588, 586, 585, 584, 582, 581, 580, 579, 577, 576, 575, 574, 573, 572, 570,
    569, 568, 567, 566, 565, 564, 563, 562, 561, 560, 559, 558, 557, 556, 555, 554, 553, 552, 551, 550, 549, 548, 547,
    547, 546, 545, 544, 543, 542, 541, 540, 540, 539, 538, 537, 536, 536, 535, 534, 533, 532, 532, 531, 530, 529, 528,
    528, 527, 526, 525, 525, 524, 523, 522, 522, 521, 520, 520, 519,
)  # fmt: skip
G2_DISCOUNTS = (
    1000, 1000, 923, 884, 855, 832, 812, 796, 782, 770, 759, 749, 740, 732, 724, 717, 711, 704, 699, 693, 688, 683, 679,
    674, 670, 666, 663, 659, 655, 652, 649, 646, 643, 640, 637, 634, 632, 629, 627, 624, 622, 620, 618, 615, 613, 611,
    609, 607, 606, 604, 602, 600, 598, 597, 595, 593, 592, 590, 589, 587, 586, 584, 583, 582, 580, 579, 578, 576, 575,
    574, 573, 571, 570, 569, 568, 567, 566, 565, 563, 562, 561, 560, 559, 558, 557, 556, 555, 554, 553, 552, 552, 551,
    550, 549, 548, 547, 546, 545, 545, 544, 543, 542, 541, 541, 540, 539, 538, 537, 537, 536, 535, 535, 534, 533, 532,
    532, 531, 530, 530, 529, 528, 528, 527, 526, 526, 525, 524, 524,
)  # fmt: skip
DISCOUNT_UNIT = 1000


@dataclass(frozen=True)
class Precompile:
    """A precompile that programs answer.

    Attributes:
        number: its address.
        gas: what a call costs, and what each part of its input costs more.
        discounts: of `DISCOUNT_UNIT`, how much of that a part costs for 1, 2, ... parts; the last one for all more.
            Where there are any, a call costs nothing but its parts.
        stride: bytes of a part; 0: the input is one whole.
        length: bytes that an input must have, or None. An input of another length makes the call fail, as does one that
            does not consist of whole parts.
        lenient: an input of another length makes the call return nothing, for its price.
        nonempty: an input without a part makes the call fail.
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
    discounts: tuple[int, ...] = ()
    lenient: bool = False
    nonempty: bool = False

    @property
    def steady_gas(self) -> int:
        """What a part costs where there are so many that no discount is another one."""
        return self.gas[1] * self.discounts[-1] // DISCOUNT_UNIT if self.discounts else self.gas[1]

    def cost(self, parts: int) -> int:
        """Gas of a call with so many parts."""
        base, each = self.gas
        if not self.discounts or not parts:
            return base + each * parts
        return parts * each * self.discounts[min(parts, len(self.discounts)) - 1] // DISCOUNT_UNIT


PRECOMPILES: dict[int, Precompile] = {
    p.number: p
    for p in (
        Precompile(1, (3000, 0), ecrecover.variants, ecrecover.instances, reads=128),
        Precompile(6, (150, 0), alt_bn128.add_variants, alt_bn128.add_instances, reads=128),
        Precompile(7, (6000, 0), alt_bn128.multiply_variants, alt_bn128.multiply_instances, reads=96),
        Precompile(8, (45_000, 34_000), alt_bn128_pairing.variants, alt_bn128_pairing.instances, stride=192),
        Precompile(10, (50_000, 0), point_evaluation.variants, point_evaluation.instances, length=192),
        Precompile(0x0B, (375, 0), bls12_381_g1.add_variants, bls12_381_g1.add_instances, length=256),
        Precompile(
            0x0C,
            (0, 12_000),
            bls12_381_g1.multiply_variants,
            bls12_381_g1.multiply_instances,
            stride=160,
            discounts=G1_DISCOUNTS,
            nonempty=True,
        ),
        Precompile(0x0D, (600, 0), bls12_381_g2.add_variants, bls12_381_g2.add_instances, length=512),
        Precompile(
            0x0E,
            (0, 22_500),
            bls12_381_g2.multiply_variants,
            bls12_381_g2.multiply_instances,
            stride=288,
            discounts=G2_DISCOUNTS,
            nonempty=True,
        ),
        Precompile(
            0x0F,
            (37_700, 32_600),
            bls12_381_pairing.variants,
            bls12_381_pairing.instances,
            stride=384,
            nonempty=True,
        ),
        Precompile(0x10, (5500, 0), bls12_381_maps.g1_variants, bls12_381_maps.g1_instances, length=64),
        Precompile(0x11, (23_800, 0), bls12_381_maps.g2_variants, bls12_381_maps.g2_instances, length=128),
        Precompile(0x100, (6900, 0), p256verify.variants, p256verify.instances, length=160, lenient=True),
    )
}


@cache
def precompiles_of(fork: Fork) -> tuple[Precompile, ...]:
    """Those that a fork has."""
    numbers = {int.from_bytes(address, "big") for address in fork.precompiles}
    return tuple(p for number, p in PRECOMPILES.items() if number in numbers)


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
