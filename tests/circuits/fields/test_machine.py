"""The machine runs programs and nothing else."""

from __future__ import annotations

import pytest

from circuits.air.checker import check_circuit
from circuits.air.mutation import mutate
from circuits.programs.moduli import INTEGERS, SECP256K1_P
from circuits.programs.program import Program, divide
from circuits.programs.runs import Request
from tests.circuits.fields.machine import circuit_of

G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def everything() -> Program:
    """A program with rows of all kinds."""
    m = SECP256K1_P
    p = Program(1, "everything", m)
    d = divide(m)
    z = p.word(0)
    w = p.word(1, below=m)
    x, y = p.constant_pair(*G)
    s = p.solve(d, (3 * x * x, 2 * y), lambda s: s * (2 * y) - 3 * x * x)
    x2 = p.reduce(s * s - 2 * x)
    y2 = p.reduce(s * (x - x2) - y)
    s = p.solve(d, (y2 - y, x2 - x), lambda s: s * (x2 - x) - (y2 - y), distinct=True)
    x3 = p.reduce(s * s - x - x2)
    y3 = p.reduce(s * (x - x3) - y)
    mu = p.solve(d, (-2 * y, x3 - x), lambda u: u * (x3 - x) + 2 * y)
    x4 = p.reduce(mu * (mu - 2 * s) + x2)
    y4 = p.reduce((mu - s) * (x - x4) - y)
    b = p.bits(lambda v: v, (z,))
    p.require(b.register - z, INTEGERS)
    table = p.table([(x2, y2), (x3, y3), (x4, y4), (x, y)])
    chosen = p.select(table, [b.digit(0)])
    both = p.reduce((x + y + x2) * (x3 + y3) + x4 * x4 + w)
    p.output(chosen[0])
    p.output(both * chosen[1])
    return p


def test_honest_instances() -> None:
    p = everything()
    requests = [Request(p, [7, 5], frame=1, time=10), Request(p, [2**256 - 2, 0], frame=2, time=90, output=64)]
    circuit, traces = circuit_of(requests, [p])
    assert check_circuit(circuit, traces, [[] for _ in traces]) == []


@pytest.mark.parametrize("rows", [1, pytest.param(3, marks=pytest.mark.deep)])
def test_mutations(rows: int) -> None:
    p = everything()
    circuit, traces = circuit_of([Request(p, [7, 5], frame=1, time=10)], [p])
    tables = {t.name for t in circuit.tables if t.name.startswith("field_")}
    found = mutate(circuit, traces, [[] for _ in traces], rows_per_table=rows, seed=1, tables=tables)
    assert found.survivors == [], str(found)
