"""Tables and circuits: derived constraints, wrong use, statistics, export and digest."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from circuits.air import MODULUS, RANGE, Air, Bus, BusField, BusKind, Circuit, Layout, Table, bit, byte, element, limb
from circuits.air.range_buses import RANGE16

LOOKUP = Bus(40, "lookup", BusKind.LOOKUP, (BusField("x", 1, "x", "t"), BusField("y", 2, "y", "t")), "test")
TOKEN = Bus(41, "token", BusKind.PERMUTATION, (BusField("x", 2, "x", "t"),), "test")


class Columns(Layout):
    real = bit("selector")
    x = limb("checked", by=RANGE)
    b = byte("checked", by=RANGE)
    y = element("free", 2, by="test")


class Sample(Table):
    name = "sample"
    layout = Columns

    def constraints(self, air: Air) -> None:
        air.require(air.row.x * air.row.y[0] - 3, "product")
        air.require_equal(air.row.y, [1, air.next.x], "both", when=air.row.real)
        air.send(TOKEN, air.row.y, count=air.row.real)
        air.query(LOOKUP, air.row.x, air.row.y, count=1)


def table(constraints: Callable[[Any, Air], None], **attributes: Any) -> Table:
    """A table made of a function."""
    made: Table = type(
        "Made", (Table,), {"name": "made", "layout": Columns, **attributes, "constraints": constraints}
    )()
    return made


def test_column_types_become_constraints() -> None:
    air = Sample().air
    assert [c.name for c in air.constraints] == ["real is a bit", "product", "both[0]", "both[1]"]
    checked = [i for i in air.interactions if i.bus is RANGE16]
    assert [air.graph.nodes[i.message[0].index] for i in checked[:2]] == [(0, 1, 0), (0, 2, 0)]
    assert len(checked) == 3, "a byte and its 256-fold are looked up"
    assert {i.count.index for i in checked} == {air.row.real.index}


def test_without_selector_every_row_is_checked() -> None:
    air = table(lambda self, air: None, selector=None).air
    assert [i.count.value for i in air.interactions] == [1, 1, 1]


def test_a_field_element_has_no_range() -> None:
    class Bad(Layout):
        real = bit("selector")
        x = element("unbounded", by=RANGE)

    with pytest.raises(TypeError, match=r"made\.x: a field element has no range table"):
        table(lambda self, air: None, layout=Bad).air  # noqa: B018


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda self, air: air.send(LOOKUP, 1, 2, 3, count=1), "bus lookup is a lookup bus"),
        (lambda self, air: air.receive(LOOKUP, 1, 2, 3, count=1), "bus lookup is a lookup bus"),
        (lambda self, air: air.query(TOKEN, 1, 2, count=1), "bus token is a permutation bus"),
        (lambda self, air: air.provide(TOKEN, 1, 2, multiplicity=1), "bus token is a permutation bus"),
        (lambda self, air: air.send(TOKEN, 1, count=1), "bus token carries 2 elements, not 1"),
        (lambda self, air: air.query(LOOKUP, air.row.x, air.row.y, 7, count=1), "bus lookup carries 3 elements, not 4"),
        (lambda self, air: air.require_equal(air.row.y, [1, 2, 3], "y"), "y: lengths 2 and 3 differ"),
    ],
)
def test_wrong_use_is_refused(wrong: Callable[[Any, Air], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(wrong).air  # noqa: B018


def test_unknown_columns_are_refused() -> None:
    with pytest.raises(AttributeError, match="Columns has no column 'z'"):
        table(lambda self, air: air.require(air.row.z, "z")).air  # noqa: B018


def test_senders_and_receivers_have_opposite_counts() -> None:
    def constraints(self: Any, air: Air) -> None:
        air.send(TOKEN, 1, 2, count=air.row.real)
        air.receive(TOKEN, 1, 2, count=1)
        air.provide(LOOKUP, 1, 2, 3, multiplicity=5)

    sends, receives, provides = table(constraints).air.interactions[3:]
    assert (sends.weight, receives.weight, provides.weight) == (1, 1, 0)
    assert receives.count.value == MODULUS - 1
    assert provides.count.value == MODULUS - 5
    assert [e.value for e in provides.message] == [1, 2, 3]


def test_statistics() -> None:
    (statistics,) = Circuit("c", [Sample()]).statistics
    assert (statistics.columns, statistics.constraints, statistics.interactions, statistics.degree) == (5, 4, 5, 2)
    assert (statistics.cells(8), statistics.messages(8)) == (40, 40)


@pytest.mark.parametrize(
    "high",
    [
        lambda self, air: air.require(air.row.x * air.row.x * air.row.x * air.row.x, "x^4"),
        lambda self, air: air.send(TOKEN, air.row.x * air.row.x * air.row.x * air.row.x, 1, count=1),
        lambda self, air: air.send(TOKEN, 1, 1, count=air.row.x * air.row.x * air.row.x * air.row.x),
    ],
)
def test_too_high_degrees_are_refused(high: Callable[[Any, Air], None]) -> None:
    with pytest.raises(ValueError, match="has degree 4"):
        Circuit("c", [table(high)]).export()


def test_table_names_differ() -> None:
    with pytest.raises(ValueError, match="table names must differ"):
        Circuit("c", [Sample(), Sample()])


@pytest.mark.parametrize(
    "clash",
    [
        Bus(41, "other", BusKind.PERMUTATION, TOKEN.fields, "test"),
        Bus(41, "token", BusKind.PERMUTATION, (BusField("z", 2, "x", "t"),), "test"),
        Bus(41, "token", BusKind.PERMUTATION, (BusField("x", 3, "x", "t"),), "test"),
    ],
)
def test_one_layout_per_bus(clash: Bus) -> None:
    other = table(lambda self, air: air.receive(clash, [1] * clash.width, count=1))
    with pytest.raises(ValueError, match="share index 41"):
        Circuit("c", [Sample(), other])


def test_export() -> None:
    air = Sample().air
    (exported,) = json.loads(Circuit("c", [Sample()]).export())["tables"]
    assert (exported["name"], exported["width"], exported["public_values"]) == ("sample", 5, 0)
    assert exported["nodes"] == [part for node in air.graph.nodes for part in node]
    assert exported["constraints"] == [c.expression.index for c in air.constraints]
    token = next(i for i in exported["interactions"] if i["bus"] == TOKEN.index)
    assert token["fields"] == [y.index for y in air.row.y]
    assert (token["count"], token["weight"]) == (air.row.real.index, 1)


class Renamed(Layout):
    real = bit("selector")
    x = limb("checked", by=RANGE)
    b = byte("checked", by=RANGE)
    z = element("free", 2, by="test")


class Reordered(Layout):
    real = bit("selector")
    b = byte("checked", by=RANGE)
    x = limb("checked", by=RANGE)
    y = element("free", 2, by="test")


class Wider(Columns):
    more = element("free", by="test")


def with_bus(bus: Bus) -> Table:
    return table(lambda self, air: air.send(bus, [air.row.x] * bus.width, count=1))


def same(*extra: str) -> Table:
    def constraints(self: Any, air: Air) -> None:
        air.require(air.row.x - air.row.y[0], "equal")
        if "constraint" in extra:
            air.require(air.row.x - air.row.y[1], "equal too")
        if "constant" in extra:
            air.require(air.row.x - 5, "five")
        if "other constant" in extra:
            air.require(air.row.x - 6, "five")
        if "interaction" in extra:
            air.send(TOKEN, air.row.y, count=1)
        if "other count" in extra:
            air.send(TOKEN, air.row.y, count=air.row.real)

    return table(constraints)


VARIANTS: dict[str, Callable[[], list[Table]]] = {
    "base": lambda: [same()],
    "one more constraint": lambda: [same("constraint")],
    "a constant": lambda: [same("constant")],
    "another constant": lambda: [same("other constant")],
    "two more constraints": lambda: [same("constraint", "constant")],
    "an interaction": lambda: [same("interaction")],
    "an interaction of another count": lambda: [same("other count")],
    "one more column": lambda: [table(lambda self, air: air.require(air.row.x - air.row.y[0], "e"), layout=Wider)],
    "a renamed column": lambda: [table(lambda self, air: air.require(air.row.x - air.row.z[0], "e"), layout=Renamed)],
    "columns in another order": lambda: [
        table(lambda self, air: air.require(air.row.x - air.row.y[0], "e"), layout=Reordered)
    ],
    "no selector": lambda: [table(lambda self, air: air.require(air.row.x - air.row.y[0], "e"), selector=None)],
    "another name": lambda: [table(lambda self, air: air.require(air.row.x - air.row.y[0], "e"), name="other")],
    "public values": lambda: [table(lambda self, air: air.require(air.row.x - air.row.y[0], "e"), public=Renamed)],
    "a second table": lambda: [same(), Sample()],
    "the tables in another order": lambda: [Sample(), same()],
    "a bus": lambda: [with_bus(TOKEN)],
    "a bus with another index": lambda: [with_bus(Bus(42, "token", BusKind.PERMUTATION, TOKEN.fields, "test"))],
    "a bus with another name": lambda: [with_bus(Bus(41, "tokens", BusKind.PERMUTATION, TOKEN.fields, "test"))],
    "a bus with another field": lambda: [
        with_bus(Bus(41, "token", BusKind.PERMUTATION, (BusField("z", 2, "x", "t"),), "test"))
    ],
    "a bus with other fields of the same width": lambda: [
        with_bus(Bus(41, "token", BusKind.PERMUTATION, (BusField("x", 1, "x", "t"), BusField("y", 1, "", "")), "test"))
    ],
    "a wider bus": lambda: [with_bus(Bus(41, "token", BusKind.PERMUTATION, (BusField("x", 3, "x", "t"),), "test"))],
}


def test_the_digest_tells_all_variants_apart() -> None:
    digests = {name: Circuit("c", build()).digest for name, build in VARIANTS.items()}
    assert len(set(digests.values())) == len(VARIANTS)


def test_the_digest_is_reproducible() -> None:
    for build in VARIANTS.values():
        assert Circuit("c", build()).digest == Circuit("c", build()).digest


def test_the_digest_does_not_change_with_prose() -> None:
    renamed = table(lambda self, air: air.require(air.row.x - air.row.y[0], "said differently"))
    assert Circuit("c", [renamed]).digest == Circuit("c", [same()]).digest
