"""Expressions and their evaluation: the numpy field against the galois library."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import galois
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.air import MODULUS, field
from circuits.air.evaluate import NATIVE, Algebra, GaloisAlgebra, Native, TraceRows, evaluate, program
from circuits.air.expression import Expression, Graph, Op

GF = galois.GF(MODULUS)
COLUMNS, PUBLIC, HEIGHT = 3, 2, 8


def local(graph: Graph, column: int = 0) -> Expression:
    return graph.node(Op.LOCAL, column)


def test_equal_nodes_are_stored_once() -> None:
    graph = Graph()
    a, b = local(graph, 0), local(graph, 1)
    first, count = a * b + a, len(graph.nodes)
    second = a * b + a
    assert first.index == second.index
    assert len(graph.nodes) == count


def test_children_come_before_parents() -> None:
    graph = Graph()
    a = local(graph)
    (a * a - 3) * (2 - a) + (-a)
    for index, (op, x, y) in enumerate(graph.nodes):
        if op in (Op.ADD, Op.SUB, Op.MUL):
            assert max(x, y) < index


def test_constants_are_folded() -> None:
    graph = Graph()
    a = local(graph)
    constant = graph.constant
    assert (constant(5) * 7 - 3 + constant(-1)).value == 31
    assert (-constant(1)).value == MODULUS - 1
    assert constant(MODULUS + 4).value == 4
    for same in (a + 0, 0 + a, a - 0, a * 1, 1 * a):
        assert same.index == a.index
    assert (a * 0).value == 0
    assert graph.nodes[(0 - a).index][0] == Op.NEG
    assert a.value is None


def test_degrees() -> None:
    graph = Graph()
    a, b = local(graph), graph.node(Op.NEXT, 1)
    assert [graph.constant(3).degree, graph.node(Op.PUBLIC, 0).degree] == [0, 0]
    assert [graph.node(op).degree for op in (Op.IS_FIRST, Op.IS_LAST, Op.IS_TRANSITION)] == [1, 1, 1]
    assert [(a + b).degree, (a * b).degree, (a * b - a * a * b).degree, (-(a * b)).degree] == [1, 2, 3, 2]


def test_foreign_operands_are_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        local(Graph()) + "x"  # type: ignore[operator]


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_field_operations_against_galois(name: str) -> None:
    rng = np.random.default_rng(1)
    edges = np.array([0, 1, 2, MODULUS // 2, MODULUS - 2, MODULUS - 1])
    a = np.concatenate([np.repeat(edges, len(edges)), rng.integers(0, MODULUS, 10_000)])
    b = np.concatenate([np.tile(edges, len(edges)), rng.integers(0, MODULUS, 10_000)])
    theirs = {"add": GF(a) + GF(b), "sub": GF(a) - GF(b), "mul": GF(a) * GF(b)}[name]
    ours = getattr(field, name)(a.astype(np.uint64), b.astype(np.uint64))
    assert ours.dtype == np.uint64
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    np.testing.assert_array_equal(np.asarray(getattr(GaloisAlgebra(), name)(GF(a), GF(b))), np.asarray(theirs))


def test_powers_and_inverses_against_galois() -> None:
    a = np.concatenate([[1, 2, MODULUS - 1], np.random.default_rng(2).integers(1, MODULUS, 500)]).astype(np.uint64)
    np.testing.assert_array_equal(field.inverse(a), np.asarray(GF(1) / GF(a.astype(np.int64))))
    for exponent in (0, 1, 2, 7, 1000):
        np.testing.assert_array_equal(field.power(a, exponent), np.asarray(GF(a.astype(np.int64)) ** exponent))
    assert field.inverse(np.zeros(1, dtype=np.uint64)).tolist() == [0]


def test_signed_integers_are_canonical() -> None:
    signed = np.array([-(MODULUS - 1), -1, 0, 1, 1 << 40], dtype=np.int64)
    assert field.from_signed(signed).tolist() == [1, MODULUS - 1, 0, 1, (1 << 40) % MODULUS]


Build = Callable[[Graph], Expression]


def trees() -> st.SearchStrategy[tuple[Build, Callable[..., int]]]:
    """Random expressions, and the same on Python integers as a function of (local, next, public, first, last)."""

    def leaf(op: Op, number: int) -> tuple[Build, Callable[..., int]]:
        meaning: dict[Op, Callable[..., int]] = {
            Op.LOCAL: lambda here, following, public, first, last: here[number],
            Op.NEXT: lambda here, following, public, first, last: following[number],
            Op.PUBLIC: lambda here, following, public, first, last: public[number],
            Op.CONST: lambda here, following, public, first, last: number,
            Op.IS_FIRST: lambda here, following, public, first, last: first,
            Op.IS_LAST: lambda here, following, public, first, last: last,
            Op.IS_TRANSITION: lambda here, following, public, first, last: 1 - last,
        }
        return (lambda graph: graph.node(op, number)), meaning[op]

    leaves = st.one_of(
        st.builds(leaf, st.sampled_from([Op.LOCAL, Op.NEXT]), st.integers(0, COLUMNS - 1)),
        st.builds(leaf, st.just(Op.PUBLIC), st.integers(0, PUBLIC - 1)),
        st.builds(leaf, st.just(Op.CONST), st.integers(0, MODULUS - 1)),
        st.builds(leaf, st.sampled_from([Op.IS_FIRST, Op.IS_LAST, Op.IS_TRANSITION]), st.just(0)),
    )

    def combine(
        name: str, a: tuple[Build, Callable[..., int]], b: tuple[Build, Callable[..., int]]
    ) -> tuple[Build, Callable[..., int]]:
        operations: dict[str, Callable[[Any, Any], Any]] = {
            "add": lambda x, y: x + y,
            "sub": lambda x, y: x - y,
            "mul": lambda x, y: x * y,
            "neg": lambda x, y: -x,
        }
        f = operations[name]
        return (lambda graph: f(a[0](graph), b[0](graph))), (lambda *row: f(a[1](*row), b[1](*row)) % MODULUS)

    return st.recursive(
        leaves, lambda inner: st.builds(combine, st.sampled_from(["add", "sub", "mul", "neg"]), inner, inner)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=4), st.integers(0, 2**32))
def test_evaluation_against_python_integers(expressions: list[tuple[Build, Callable[..., int]]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.choice([0, 1, MODULUS - 1, *rng.integers(0, MODULUS, 5)], (HEIGHT, COLUMNS)).astype(np.uint32)
    public = rng.integers(0, MODULUS, PUBLIC).astype(np.uint32)
    graph = Graph()
    roots = [build(graph) for build, _ in expressions]
    wanted = [root.index for root in roots]
    for algebra in (NATIVE, GaloisAlgebra()):
        values = evaluate(graph, TraceRows(matrix, public), wanted, algebra)
        assert set(values) == set(wanted)
        for root, (_, meaning) in zip(roots, expressions, strict=True):
            got = np.broadcast_to(np.asarray(values[root.index]), (HEIGHT,)).tolist()
            rows = matrix.tolist()
            expected = [
                meaning(rows[i], rows[(i + 1) % HEIGHT], public.tolist(), int(i == 0), int(i == HEIGHT - 1)) % MODULUS
                for i in range(HEIGHT)
            ]
            assert got == expected


def test_public_values_may_differ_by_row() -> None:
    graph = Graph()
    total = local(graph) + graph.node(Op.PUBLIC, 1)
    matrix = np.array([[1, 0, 0], [2, 0, 0]], dtype=np.uint32)
    rows = TraceRows(matrix, np.array([[0, 10], [0, 20]], dtype=np.uint32))
    assert evaluate(graph, rows, [total.index])[total.index].tolist() == [11, 22]


@pytest.mark.parametrize("algebra", [NATIVE, GaloisAlgebra()])
def test_some_rows_at_a_time(algebra: Algebra | Native, monkeypatch: pytest.MonkeyPatch) -> None:
    """Successors and selectors are those of the whole trace, whatever is evaluated at a time."""
    graph = Graph()
    a, after = local(graph), graph.node(Op.NEXT, 0)
    wanted = [
        e.index
        for e in (a * after - 3, -a, graph.node(Op.IS_FIRST), graph.node(Op.IS_TRANSITION), graph.constant(9) + a * 0)
    ]
    column = np.arange(1, HEIGHT + 1, dtype=np.uint32)
    rows = TraceRows(np.stack([column] * COLUMNS, axis=1), np.zeros(0, dtype=np.uint32))
    monkeypatch.setattr(import_module("circuits.air.evaluate"), "_BLOCK_ROWS", 3)
    monkeypatch.setattr(import_module("circuits.air.evaluate"), "_BLOCK_VALUES", 1)
    assert [block for block, _ in program(graph, wanted).blocks(rows, algebra)] == [
        slice(0, 3),
        slice(3, 6),
        slice(6, 8),
    ]
    values = [np.asarray(values).tolist() for values in evaluate(graph, rows, wanted, algebra).values()]
    first, transition = [1] + [0] * (HEIGHT - 1), [1] * (HEIGHT - 1) + [0]
    products = [i * (i % HEIGHT + 1) - 3 for i in range(1, HEIGHT + 1)]
    assert values == [[x % MODULUS for x in products], [MODULUS - x for x in column], first, transition, [9] * HEIGHT]


def test_programs_are_kept_for_each_graph() -> None:
    graph, other = Graph(), Graph()
    nodes = [local(graph, i).index for i in range(COLUMNS)]
    made = program(graph, nodes)
    assert program(graph, nodes) is made
    assert program(graph, nodes[:1]) is not made
    assert program(other, [local(other, i).index for i in range(COLUMNS)]) is not made
