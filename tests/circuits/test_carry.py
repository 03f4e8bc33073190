"""Links between the parts of a run: what they carry makes up for what is open, and both sides state the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from circuits import parts
from circuits.air.checker import net_messages
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.air.mutation import mutate
from circuits.carry import (
    CARRIED,
    LINK_TABLE,
    TABLES,
    Link,
    LinksOfPart,
    Nets,
    blocks_of,
    fill_carried,
    fill_links,
    link_parts,
    place,
)
from circuits.component import Acting, Answering, Component
from circuits.fields.buses import REGISTERS
from circuits.frames.buses import EXEC, FRAME
from circuits.functions.poseidon2 import compress
from circuits.instructions.buses import STACK
from circuits.memory.buses import MEMORY
from circuits.segment import segment_components
from circuits.statement import CARRY_START, LINK_ITEM, LINKS_START, links_chain
from executor.forks import CIRCUIT_FORKS, Fork
from scripts.batches.everything import execution as everything
from tests.circuits.family import Lie, closed, fill_family, publics
from tests.circuits.lying import FUNCTIONS, objections

BUSES = (EXEC, FRAME, STACK, MEMORY)
#: Of messages: times and gas must be small, all else may be anything.
SMALL = 1 << 29


def random_nets(seed: int, parts: int, messages: int) -> list[Nets]:
    """What parts have too much or too little of, which adds up to nothing."""
    rng = np.random.default_rng(seed)
    nets: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in range(parts)]
    for bus in BUSES:
        of_bus = np.unique(rng.integers(0, SMALL, (messages, bus.width), dtype=np.uint32), axis=0)
        counts = rng.integers(-3, 4, (parts, len(of_bus))) * rng.integers(0, 2, (parts, len(of_bus)))
        counts[rng.integers(0, parts)] -= counts.sum(axis=0)
        for net, own in zip(nets, counts, strict=True):
            some = np.flatnonzero(own)
            if len(some):
                net[bus.index] = of_bus[some], own[some].astype(np.int64)
    return list(nets)


def signed(part: int, links: LinksOfPart) -> list[tuple[int, tuple[int, ...], int]]:
    """What the rows of a part carry: bus, message, signed count on the bus."""
    return [
        (index, tuple(message), -count if other > part else count)
        for other, link in links.items()
        for index in link.counts
        for message, count in zip(link.messages[index].tolist(), link.counts[index].tolist(), strict=True)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_links_make_up_for_what_is_open(seed: int) -> None:
    parts = 2 + seed % 4
    nets = random_nets(seed, parts, 1 + seed % 9)
    linked = link_parts(nets)
    for part, (net, links) in enumerate(zip(nets, linked, strict=True)):
        assert list(links) == sorted(links)
        assert part not in links
        left: dict[tuple[int, tuple[int, ...]], int] = {}
        for index, (messages, counts) in net.items():
            left |= {(index, tuple(m)): c for m, c in zip(messages.tolist(), counts.tolist(), strict=True)}
        for index, message, count in signed(part, links):
            left[index, message] = left.get((index, message), 0) + count
        assert set(left.values()) <= {0}
        for other, link in links.items():
            assert linked[other][part] is link
            assert len(link) > 0
            assert all((counts != 0).all() for counts in link.counts.values())
    # No more than needed: of the parts that have a message all but one carry it once.
    of_message: dict[tuple[int, tuple[int, ...]], int] = {}
    for net in nets:
        for index, (messages, _) in net.items():
            for message in map(tuple, messages.tolist()):
                of_message[index, message] = of_message.get((index, message), 0) + 1
    rows = sum(len(signed(part, links)) for part, links in enumerate(linked))
    assert rows == 2 * sum(n - 1 for n in of_message.values())


def test_what_goes_past_a_part_does_not_concern_it() -> None:
    message = np.array([[7] * STACK.width], dtype=np.uint32)
    first, _, last = ({STACK.index: (message, np.array([count]))} for count in (1, 0, -1))
    linked = link_parts([first, {}, last])
    assert [list(links) for links in linked] == [[2], [], [0]]
    assert fill_links(1, linked[1]) is None
    assert fill_carried(STACK, 1, linked[1]) is None


def test_the_hash_of_a_link() -> None:
    """Message by message: bus, count and message, the buses in their order."""
    (links, _) = link_parts(random_nets(5, 2, 4))
    link = links[1]
    digest, number = CARRY_START[None], 0
    for bus in CARRIED:
        if bus.index not in link.counts:
            continue
        assert link.first_number(bus) == number
        for message, count in zip(link.messages[bus.index].tolist(), link.counts[bus.index].tolist(), strict=True):
            block = [bus.index, count % MODULUS, *message]
            block += [0] * (8 * blocks_of(bus) - len(block))
            for k in range(0, len(block), 8):
                digest = compress(digest, np.array([block[k : k + 8]], dtype=np.uint32))
            number += 1
    assert link.digest.tolist() == digest[0].tolist()
    assert len(link) == number
    assert Link({}, {}).digest.tolist() == CARRY_START.tolist()


def test_the_hash_of_all_links() -> None:
    digests = np.arange(16, dtype=np.uint32).reshape(2, 8)
    chain = links_chain(3, [1, 5], digests)
    items = LINK_ITEM.digests(other=np.array([1, 5]), out=np.array([0, 1]), digest=digests)
    assert chain[0].tolist() == LINKS_START.tolist()
    assert chain[1].tolist() == compress(chain[:1], items[:1])[0].tolist()
    assert chain[2].tolist() == compress(chain[1:2], items[1:])[0].tolist()
    assert links_chain(0, [], np.zeros((0, 8), dtype=np.uint32)).tolist() == [LINKS_START.tolist()]


# The tables of the middle one of three parts, which is linked with both others.

PART = 1
LINKED = link_parts(random_nets(11, 3, 2))[PART]


def family(links: LinksOfPart = LINKED) -> list[Component]:
    """Tables of what a part carries, and that of its links."""
    carried = [(TABLES[CARRIED.index(bus)], fill_carried(bus, PART, links)) for bus in BUSES]
    return [
        *(Acting(table, lambda _, matrix=matrix: matrix.copy()) for table, matrix in carried if matrix is not None),
        Acting(LINK_TABLE, lambda _: fill_links(PART, links)),
    ]


def refused(follows: bool = False, links: LinksOfPart = LINKED, **lies: Lie) -> set[str]:
    return objections(family(links), everything(), lies, follows=follows)


def test_honest_tables() -> None:
    assert list(LINKED) == [0, 2]
    assert refused() == set()
    tables = [(c.table, c.fill(everything())) for c in family() if isinstance(c, Acting)]
    buses = {bus.index: bus for bus in BUSES}
    found = net_messages([(t, m) for t, m in tables if m is not None], buses, {})
    carried = [
        (index, tuple(message), count)
        for index, (messages, counts) in found.items()
        for message, count in zip(messages.tolist(), counts.tolist(), strict=True)
    ]
    together: dict[tuple[int, tuple[int, ...]], int] = {}
    for index, message, count in signed(PART, LINKED):
        together[index, message] = together.get((index, message), 0) + count
    assert sorted(carried) == sorted((*key, count) for key, count in together.items() if count)


def test_no_cell_is_free() -> None:
    components = [*family(), *FUNCTIONS]
    traces = fill_family(components, everything())
    circuit, filled = closed([c.table for c in components], traces)
    own = {c.table.name for c in family()}
    report = mutate(circuit, filled, publics(circuit, filled), rows_per_table=4, tables=own)
    assert report.survivors == [], str(report)
    assert own <= set(report.coverage)


def changed(rows: TraceView, **cells: object) -> None:
    for name, value in cells.items():
        setattr(rows, name, value)


def test_messages_of_one_link_told_of_another() -> None:
    """Both have what the other one should have."""

    def exchange(rows: TraceView) -> None:
        rows.digest[[0, 1]] = rows.digest[[1, 0]]

    assert "carry" in refused(link=exchange)


def test_the_other_side() -> None:
    """What is taken off here is put there, and the other way around: the sum is nothing, too."""

    def turn(rows: TraceView) -> None:
        real = rows.real == 1
        rows.out[real] = 1 - rows.out[real]

    def carried(rows: TraceView) -> None:
        turn(rows)
        signed = rows.count.astype(np.int64) * (1 - 2 * rows.out.astype(np.int64))
        rows.signed = signed % MODULUS

    assert "carry" in refused(link=turn)
    names = [c.table.name for c in family()][:-1]
    told = dict.fromkeys(names, carried) | {"link": turn}
    # Nobody within the part can know; the running hash of its links is another one.
    assert "poseidon2" in refused(follows=True, **told)


def test_a_link_that_is_not_stated() -> None:
    """A part carries what no other one knows of: without its row in the table of links, nothing sends its start."""

    def drop(rows: TraceView) -> None:
        rows.real[1] = 0

    assert {"carry"} <= refused(link=drop)


def test_messages_beside_all_links() -> None:
    """A circle of messages that begins nowhere: their numbers step by 1."""
    bus = STACK
    name = f"carried_{bus.name}"

    def circle(rows: TraceView) -> None:
        rows.other[0] = 77

    assert "carry" in refused(**{name: circle})


def test_a_link_that_is_stated_twice() -> None:
    """The table of links may have it: the verifier has each once, so its hash is another one."""
    twice: Sequence[int] = [0, 0, 2]
    digests = np.stack([LINKED[other].digest for other in twice])
    honest = np.stack([link.digest for link in LINKED.values()])
    assert links_chain(PART, twice, digests)[-1].tolist() != links_chain(PART, [0, 2], honest)[-1].tolist()


@pytest.mark.parametrize(
    ("bus", "field", "value"), [(EXEC, "time", 1 << 29), (EXEC, "gas", 1 << 30), (EXEC, "gas", MODULUS - 1)]
)
def test_time_and_gas_do_not_wrap(bus: object, field: str, value: int) -> None:
    """A message with another time or gas than there may be, hashed as it is and with limbs that fit it."""
    own = next(link for link in LINKED.values() if EXEC.index in link.counts)
    messages = {index: of_bus.copy() for index, of_bus in own.messages.items()}
    messages[EXEC.index][0, place(EXEC, field)] = value - 1
    fits = {other: Link(messages, own.counts) if link is own else link for other, link in LINKED.items()}
    if value != MODULUS - 1:
        assert refused(links=fits, follows=True) == set()
    messages[EXEC.index][0, place(EXEC, field)] = value
    links = {other: Link(messages, own.counts) if link is own else link for other, link in LINKED.items()}
    assert refused(links=links, follows=True) == {"range16"}


@pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=lambda fork: fork.name)
def test_functions_are_those_that_a_part_has_to_itself(fork: Fork) -> None:
    """They have no message that is carried but registers, and ask only others of them."""
    components = [c for c in segment_components(fork) if c.table.name not in {"segment", "link"}]
    components = [c for c in components if not c.table.name.startswith("carried_")]
    answering = {bus.index: c.table.name for c in components if isinstance(c, Answering) for bus in c.buses}
    carried = {bus.index for bus in CARRIED if bus not in REGISTERS.values()}
    found: set[str] = set()
    for c in reversed(components):
        name = c.table.name
        if name in parts.SHARED if isinstance(c, Answering) else not name.startswith(parts.COMPUTED):
            continue
        buses = {i.bus.index for i in c.table.air.interactions}
        asked = {answering[bus] for bus in buses if bus in answering} - {name}
        if not buses & carried and asked <= found:
            found.add(name)
    assert found == {c.table.name for c in components if parts.is_function(c.table.name)}
