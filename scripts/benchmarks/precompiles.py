"""What precompiles cost: exact cells and interactions of one more call, and the most that gas buys.

    python -m scripts.benchmarks.precompiles [NAME...] [--json]

A contract calls a precompile once and twice. What the second call adds to all tables, padding left out, is what a call
costs: its own step, its frame, the copies of its input and output, what the precompile's tables and the hash functions
take. Steps around the call are left out, and so is what a segment has once however many calls it has: listings of
programs and range tables, printed beside it. An interaction counts as 6.5 cells, the gas as the precompile's with the
100 of a call.

Each is measured in the circuit of the first fork that has it, MODEXP in that of Osaka, too, where it has other prices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ckzg
import eth
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from circuits.batch.execution import Batch, Execution
from circuits.instructions.call import CallColumns
from circuits.instructions.step import Step
from circuits.programs.alt_bn128_pairing import FIELD
from circuits.programs.bls12_381 import P, R
from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import Program, Variant
from circuits.segment import segment_circuit
from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from executor.modexp import ModexpInput
from executor.provable import check_provable
from scripts.batches.builder import Builder
from scripts.batches.precompiled import bls_g1, bls_g2, bn128_point, constant_blob, element, p256_signature, signed
from scripts.batches.precompiles import BN_G2, BN_ORDER, words
from scripts.benchmarks.budgets import Benchmark, markdown_table
from scripts.benchmarks.marginal import Cost, cost_of_rows, is_once, rows_of
from scripts.workloads.assembler import assemble

#: Gas of a call of an account that is warm (EIP-2929), as precompiles are.
CALL_GAS = 100
_TESTER = bytes.fromhex("7e57" * 10)
_WORD_BYTES = 32


@dataclass(frozen=True)
class Call:
    """Calls of a precompile that cost the same.

    Attributes:
        number: its address.
        input: the input of the first and of the second call; different ones, because equal inputs are hashed once.
        price: gas that the precompile takes.
        output: bytes that it returns.
        fork: whose circuit proves it.
    """

    number: int
    input: Callable[[int], bytes]
    price: int
    output: int
    fork: Fork = CANCUN


@dataclass(frozen=True)
class Case:
    """Something that has a price: a call, or what a longer one takes more for each unit of its input.

    Attributes:
        name: what it is.
        call: the call.
        without: the shorter call to compare it with.
        units: that it has more than that one.
        unit_gas: what a unit costs, where that is not what the calls differ by.
        tables: the only ones that count, or all.
        bound: of its cell equivalents.
    """

    name: str
    call: Call
    without: Call | None = None
    units: int = 1
    unit_gas: int | None = None
    tables: tuple[str, ...] = ()
    bound: int | None = None

    @property
    def gas(self) -> float:
        """What a unit costs, or a call with the 100 gas of the instruction."""
        if self.unit_gas is not None:
            return self.unit_gas
        if self.without is None:
            return self.call.price + CALL_GAS
        return (self.call.price - self.without.price) / self.units


@cache
def _foreign_steps(fork: Fork) -> frozenset[str]:
    """Tables of instructions that are no calls."""
    return frozenset(
        t.name
        for t in segment_circuit(fork).tables
        if issubclass(t.layout, Step) and not issubclass(t.layout, CallColumns)
    )


def _code(call: Call) -> bytes:
    """Calls as often as the first word of calldata says; the inputs stand behind it, in whole words."""
    size = len(call.input(0))
    stride = -(-size // _WORD_BYTES) * _WORD_BYTES
    output = _WORD_BYTES + 2 * stride
    return assemble(
        f"""
        calldatasize 0 0 calldatacopy  32  0 calldataload
        loop:
            dup1 iszero @end jumpi
            {call.output} {output} {size} dup5 {call.number} {call.price} staticcall pop
            1 swap1 sub  swap1 {stride} add swap1  @loop jump
        end:
        stop
        """
    )


def _execution(call: Call, count: int) -> Execution:
    inputs = [call.input(k) for k in range(2)]
    data = words(count) + b"".join(i.ljust(-(-len(i) // _WORD_BYTES) * _WORD_BYTES, b"\0") for i in inputs)
    building = Builder(call.fork).alloc(_TESTER, code="0x" + _code(call).hex(), balance="0x0")
    batch = building.block(building.transfer(0, _TESTER, 0, gas=16_000_000, data="0x" + data.hex()))
    made = Batch.of(check_provable(batch.execute()))
    return Execution(made, 0, len(made.operations))


def _rows(call: Call, count: int) -> dict[str, int]:
    """Rows of the tables of a segment with so many calls, without padding."""
    return rows_of(_execution(call, count))


@dataclass(frozen=True)
class Measured:
    """Rows of tables that one more call adds, and what a segment has once because it has such calls."""

    rows: dict[str, int]
    once: Cost


@cache
def _always(fork: Fork) -> frozenset[str]:
    """Tables of a segment without calls of precompiles."""
    return frozenset(_rows(Call(4, lambda k: bytes(32), 18, 32, fork), 0))


@cache
def measure(call: Call) -> Measured:
    """The cost of one more call; the tables of two segments are filled to find out."""
    one, two = _rows(call, 1), _rows(call, 2)
    foreign, always = _foreign_steps(call.fork), _always(call.fork)
    kept = {t: n - one.get(t, 0) for t, n in two.items() if t not in foreign and not is_once(t)}
    once = {t: n for t, n in two.items() if is_once(t) and t not in always}
    return Measured({t: n for t, n in kept.items() if n}, cost_of_rows(once, call.fork))


def cost_of(case: Case) -> Cost:
    """Of one of its units."""

    def counted(call: Call) -> Cost:
        rows = measure(call).rows
        return cost_of_rows({t: n for t, n in rows.items() if not case.tables or t in case.tables}, call.fork)

    own = counted(case.call)
    return own if case.without is None else (own - counted(case.without)) / case.units


def program_cost(program: Program) -> Cost:
    """The rows of an instance of a program in the tables of the field machine."""
    rows = {f"field_{kind}_{program.limbs}": n for kind, n in program.rows.items()}
    return cost_of_rows({**rows, "field_instances": 1}, CANCUN)


def heaviest(variants: Sequence[Variant]) -> Variant:
    """The program that takes most."""
    return max(variants, key=lambda v: program_cost(v.program).weight)


# Inputs.


def _bytes(seed: int, size: int) -> bytes:
    """Bytes without a pattern."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def _hash(number: int, size: int) -> Call:
    base, each = {2: (60, 12), 3: (600, 120), 4: (15, 3)}[number]
    return Call(
        number, lambda k: _bytes(k, size), base + each * -(-size // _WORD_BYTES), size if number == 4 else _WORD_BYTES
    )


def _powers(base: int, exponent: bytes, modulus: int, fork: Fork = CANCUN) -> Call:
    """Powers with a base and a modulus of so many bytes."""

    def given(k: int) -> bytes:
        numbers = _bytes(k, base) + exponent + b"\xff" + _bytes(k + 2, modulus - 1)
        return words(base, len(exponent), modulus) + numbers

    return Call(5, given, ModexpInput(given(0)).gas(fork.modexp), modulus, fork)


def _blake2f(rounds: int) -> Call:
    return Call(9, lambda k: rounds.to_bytes(4, "big") + _bytes(k, 208) + b"\1", rounds, 64)


def _sum_with_infinity(k: int) -> bytes:
    return words(*bn128_point(5 + k), 0, 0)


def _sum_of_points(k: int) -> bytes:
    return words(*bn128_point(5 + k), *bn128_point(11 + k))


def _multiple_of_point(k: int) -> bytes:
    return words(*bn128_point(5 + k), int.from_bytes(_bytes(k, 32), "big") % BN_ORDER)


def _pairs(count: int, holds: bool) -> Call:
    """Pairs of finite points, of which the product of pairings is 1 or not."""
    (x_im, x, y_im, y) = BN_G2

    def given(k: int) -> bytes:
        factors = [7 + k + i for i in range(count - 1)]
        factors.append(-sum(factors) % BN_ORDER if holds else 3)
        twist = FIELD.multiply_point(((x, x_im), (y, y_im)), 5 + k)
        assert twist is not None
        (p, p_im), (q, q_im) = twist
        return b"".join(words(*bn128_point(factor), p_im, p, q_im, q) for factor in factors)

    return Call(8, given, PRECOMPILES[8].gas[0] + count * PRECOMPILES[8].gas[1], 32)


def _false_opening(k: int) -> bytes:
    """A constant polynomial, which takes another value, and a proof that is some point."""
    data = constant_blob(5 + k, 77)
    return data[:64] + words(6 + k) + data[96:144] + bytes(G2ProofOfPossession.SkToPk(9 + k))


@cache
def _setup() -> Any:
    return ckzg.load_trusted_setup(str(Path(eth.__file__).parent / "_utils" / "kzg_trusted_setup.txt"), 0)


@cache
def _opened(k: int) -> bytes:
    """A polynomial of the highest degree, its value at a point, and the proof."""
    values = [int.from_bytes(_bytes(4096 * k + i, 32), "big") % R for i in range(4096)]
    blob = b"".join(value.to_bytes(32, "big") for value in values)
    commitment = ckzg.blob_to_kzg_commitment(blob, _setup())
    point = (123 + k).to_bytes(32, "big")
    proof, value = ckzg.compute_kzg_proof(blob, point, _setup())
    versioned = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    return b"".join((versioned, point, value, commitment, proof))


def _bls_pairs(count: int, holds: bool) -> Call:
    """Pairs of finite points of BLS12-381, of which the product of pairings is 1 or not."""

    def given(k: int) -> bytes:
        factors = [7 + k + i for i in range(count - 1)]
        factors.append(-sum(factors) % R if holds else 3)
        return b"".join(bls_g1(factor) + bls_g2(5 + k) for factor in factors)

    return Call(0x0F, given, PRECOMPILES[0x0F].cost(count), 32, PRAGUE)


def _multiples(number: int, count: int) -> Call:
    """A sum of multiples of so many points of BLS12-381's G1 or G2."""
    point, output = (bls_g1, 128) if number == 0x0C else (bls_g2, 256)

    def given(k: int) -> bytes:
        scalars = (int.from_bytes(_bytes(k + i, 32), "big") for i in range(count))
        return b"".join(point(5 + k + i) + words(scalar) for i, scalar in enumerate(scalars))

    return Call(number, given, PRECOMPILES[number].cost(count), output, PRAGUE)


def _call(number: int, given: Callable[[int], bytes], output: int) -> Call:
    """Of a precompile of Prague whose input has no parts."""
    return Call(number, given, PRECOMPILES[number].cost(0), output, PRAGUE)


#: An element of Fp2 that is mapped to a point of order 13, which becomes infinity; so is its negative.
_TO_INFINITY = (
    0x183B3C193BEC9E190AF3D6BB6C4C994B51FC280756782B6817F115F91D05A87180BA5B33F4BAE7399492985CABB700F7,
    0x18BE09F1D71B749AEDBB6EB2EC5D3D4F7FE4096FCE29948DDA4B6FBB574CCC7D7C9EAE8E5242A0609D0D490FF93697F3,
)


def _to_infinity(k: int) -> bytes:
    return b"".join(element(number if k else P - number) for number in _TO_INFINITY)


def _another_signature(k: int) -> bytes:
    """That of another hash."""
    valid = p256_signature(5 + k, _bytes(k, 32))
    return _bytes(k + 9, 32) + valid[32:]


def _more(name: str, number: int) -> Case:
    """A point more, at the price of one of many."""
    return Case(name, _multiples(number, 3), _multiples(number, 2), unit_gas=PRECOMPILES[number].steady_gas)


@cache
def cases() -> dict[str, Case]:
    """What is measured, by short names."""
    sha256, ripemd160 = (_hash(2, 704), _hash(2, 64), 10), (_hash(3, 704), _hash(3, 64), 10)
    return {
        "ecrecover": Case("ECRECOVER", Call(1, lambda k: signed(3 + k, _bytes(k, 32)), 3000, 32), bound=500_000),
        "sha256": Case("SHA-256 of 64 bytes", _hash(2, 64)),
        "sha256-block": Case("SHA-256, a block more", *sha256, bound=9_000),
        "sha256-function": Case(
            "SHA-256, a block, the function alone", *sha256, tables=("sha256", "sha256_rounds"), bound=9_000
        ),
        "ripemd160": Case("RIPEMD-160 of 64 bytes", _hash(3, 64)),
        "ripemd160-block": Case("RIPEMD-160, a block more", *ripemd160, bound=12_000),
        "ripemd160-function": Case(
            "RIPEMD-160, a block, the function alone",
            *ripemd160,
            tables=("ripemd160", "ripemd160_left", "ripemd160_right"),
            bound=12_000,
        ),
        "identity": Case("identity of 64 bytes", _hash(4, 64)),
        "identity-word": Case("identity, a word more", _hash(4, 704), _hash(4, 64), 20),
        **{f"modexp-{n}": Case(f"MODEXP, all of {n} bytes", _powers(n, _bytes(n, n), n)) for n in (32, 64, 128, 256)},
        "modexp-byte": Case(
            "MODEXP of 8 bytes, a byte of the exponent more",
            _powers(8, b"\xff" * 384, 8),
            _powers(8, b"\xff" * 128, 8),
            256,
        ),
        "ecadd": Case("ECADD", Call(6, _sum_of_points, 150, 64)),
        "ecadd-infinity": Case("ECADD with infinity", Call(6, _sum_with_infinity, 150, 64)),
        "ecmul": Case("ECMUL", Call(7, _multiple_of_point, 6000, 64)),
        "pairing": Case("alt_bn128 pairing, two pairs: 1", _pairs(2, True), bound=12_000_000),
        "pairing-not-one": Case("alt_bn128 pairing, two pairs: 0", _pairs(2, False), bound=12_000_000),
        "pairing-pair": Case("alt_bn128 pairing, a pair more", _pairs(3, False), _pairs(2, False)),
        "blake2f": Case("BLAKE2F of 12 rounds", _blake2f(12)),
        "blake2f-round": Case("BLAKE2F, a round more", _blake2f(22), _blake2f(12), 10, bound=3_000),
        "point-evaluation": Case("point evaluation, valid", Call(10, _opened, 50_000, 64)),
        "point-evaluation-fails": Case("point evaluation, not valid", Call(10, _false_opening, 50_000, 0)),
        "bls12-381-g1-add": Case("BLS12_G1ADD", _call(0x0B, lambda k: bls_g1(5 + k) + bls_g1(11 + k), 128)),
        "bls12-381-g1-msm": Case("BLS12_G1MSM, one point", _multiples(0x0C, 1)),
        "bls12-381-g1-msm-point": _more("BLS12_G1MSM, a point more", 0x0C),
        "bls12-381-g2-add": Case("BLS12_G2ADD", _call(0x0D, lambda k: bls_g2(5 + k) + bls_g2(11 + k), 256)),
        "bls12-381-g2-msm": Case("BLS12_G2MSM, one point", _multiples(0x0E, 1)),
        "bls12-381-g2-msm-point": _more("BLS12_G2MSM, a point more", 0x0E),
        "bls12-381-pairing": Case("BLS12_PAIRING_CHECK, two pairs: 1", _bls_pairs(2, True), bound=25_000_000),
        "bls12-381-pairing-not-one": Case("BLS12_PAIRING_CHECK, two pairs: 0", _bls_pairs(2, False), bound=25_000_000),
        "bls12-381-pairing-pair": Case("BLS12_PAIRING_CHECK, a pair more", _bls_pairs(3, False), _bls_pairs(2, False)),
        "bls12-381-map-g1": Case("BLS12_MAP_FP_TO_G1", _call(0x10, lambda k: element(5 + k), 128)),
        "bls12-381-map-g2": Case("BLS12_MAP_FP2_TO_G2", _call(0x11, lambda k: element(5 + k) + element(6 + k), 256)),
        "bls12-381-map-g2-infinity": Case("BLS12_MAP_FP2_TO_G2 to infinity", _call(0x11, _to_infinity, 256)),
        "p256verify": Case(
            "P256VERIFY, valid", Call(0x100, lambda k: p256_signature(5 + k, _bytes(k, 32)), 6_900, 32, OSAKA)
        ),
        "p256verify-not": Case("P256VERIFY, not valid", Call(0x100, _another_signature, 6_900, 0, OSAKA)),
        **{
            f"modexp-osaka-{n}": Case(f"MODEXP of Osaka, all of {n} bytes", _powers(n, _bytes(n, n), n, OSAKA))
            for n in (32, 64, 128)
        },
        "modexp-osaka-byte": Case(
            "MODEXP of Osaka, of 8 bytes, a byte of the exponent more",
            _powers(8, b"\xff" * 384, 8, OSAKA),
            _powers(8, b"\xff" * 128, 8, OSAKA),
            256,
        ),
    }


def figures(name: str) -> dict[str, Any]:
    """The figures of a case: all that is printed of it."""
    case = cases()[name]
    cost = cost_of(case)
    per_gas = None if case.tables else round(cost.weight / case.gas, 1)
    once = round(measure(case.call).once.weight, 1)
    return {
        "what": case.name,
        **_figures(cost),
        "bound": case.bound,
        "gas": round(case.gas, 2),
        "per_gas": per_gas,
        "once": once,
    }


def _figures(cost: Cost) -> dict[str, Any]:
    values = {"cells": cost.cells, "interactions": cost.interactions, "cell_equivalents": cost.weight}
    return {name: round(value, 1) for name, value in values.items()}


def worst_per_gas(found: dict[str, dict[str, Any]]) -> dict[int, str]:
    """The cases that take most for their gas, by the numbers of the precompiles."""
    worst: dict[int, str] = {}
    for name, case in cases().items():
        if found.get(name, {}).get("per_gas") is not None:
            number = case.call.number
            if number not in worst or found[name]["per_gas"] > found[worst[number]]["per_gas"]:
                worst[number] = name
    return worst


_HEADING = ("", "cells", "interactions", "cell equivalents", "bound", "a gas", "once in a segment")


def lines(found: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table, line by line: what takes most of a precompile for its gas is marked by a star."""
    worst = set(worst_per_gas(found).values())

    def text(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.1f}"

    table = []
    for name, figure in found.items():
        bound = text(figure["bound"])
        if bound and figure["cell_equivalents"] > figure["bound"]:
            bound += f" (+{100 * (figure['cell_equivalents'] / figure['bound'] - 1):.1f} %)"
        per_gas = text(figure.get("per_gas")) + ("*" if name in worst else "")
        values = [text(figure[key]) for key in ("cells", "interactions", "cell_equivalents")]
        table.append((figure["what"], *values, bound, per_gas, text(figure.get("once") or None)))
    return table


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "workloads.md"
BUDGET = Path(__file__).resolve().parents[2] / "tests" / "prover" / "precompile_budget.json"
BEGIN, FINISH = "<!-- costs of precompiles, by scripts/benchmarks/precompiles.py -->", "<!-- end of costs -->"


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """The table of the document."""
    return markdown_table(_HEADING, 1, lines(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `--json` prints one JSON object, `--write` makes it the budget and the document's table."""
    Benchmark(
        names=tuple(cases()),
        figures=figures,
        title="Costs of precompiles (*: the most that a gas buys of one)",
        heading=_HEADING,
        texts=1,
        width=140,
        lines=lines,
        budget=BUDGET,
        document=DOCUMENT,
        marks=(BEGIN, FINISH),
        markdown=markdown,
    ).run(__doc__, arguments)


if __name__ == "__main__":
    main()
