"""What goes on when a segment ends within an operation: the messages that it leaves open, and those that it finds open.

A run of operations may be proved by several segments, its *parts*. Each part has some rows of every table, and what the
rows of a part send or ask beyond what they receive or answer is *carried* to the part that has the other end of it: the
token that the next step or instance of a program will receive, words on the stack and in the memory, registers of the
instance before, and what has been taken in advance: the end of a frame, the last token of an account, whose row is in
another part. Two parts that have something in common are
*linked*: the lower one takes each of these messages off its bus, the higher one puts it there, as often, with a signed
count. A row of a table of this module is one such message on one side. Both sides state the running hash of all
messages of the link. No part between them sees it, so what lives long costs no more than what does not.

Argument. Over all parts together what is carried adds up to nothing: the hash of a link binds bus, message and count of
each of its messages, the verifier gives the same one to both sides, and of two parts it is the lower one that takes
off. So the messages of all other rows balance over the parts as they do in one segment with all of these rows, and all
that is said of buses holds for the run, if it holds however many rows there are (`verifier.sizes` bounds them) and
wherever they are (tables that number their rows, or have one row for a key, are in the last part alone; frames, and
words of memory, are numbered through the parts). Nothing can be dropped, added, doubled or reordered to effect: it
would be missing, or too much, on its bus.

That a part states just the links that the verifier gives to it: its table of links has a row for each, in their order,
which hashes the number of the other part, the side and the hash of the messages. The messages of a link are one path
from that row back to it, since they are numbered and keep part and side; a cycle beside it would need as many rows as
the field has elements. Paths of two links cannot be exchanged for one another, and two rows for one link would be two
in the list, where the verifier has it once.

Two sums begin anew with each part, since they may not grow with the run: gas that steps take without a check, and
time. So gas of an `exec` message that is carried is proved to be in [0, 2^30), and times of `CLOCKS` to be below 2^29,
on both sides. Other messages that let time go on are carried by no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus, BusField, BusKind
from circuits.air.derived import fill_derived
from circuits.air.distinct import distinct_rows
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import TimeLimbs
from circuits.air.layout import Layout, Size, allocate, bit, element, nested
from circuits.air.table import Air, Table
from circuits.fields.buses import FIELD_PARTS, FIELD_RAN, REGISTER_32, REGISTER_48
from circuits.frames import buses as frames
from circuits.frames.gas import GasLimb
from circuits.hashing import constrain_compress, constrain_item
from circuits.instructions.buses import STACK
from circuits.memory.buses import LOG_READ, MEMORY, MEMORY_BYTES
from circuits.state import buses as state
from circuits.statement import CARRY_START, LINK_ITEM, links_chain, running_chain
from circuits.transactions import buses as transactions
from circuits.widths import DIGEST

CARRY = Bus(
    index=100,
    name="carry",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("other", 1, "number of the part at the other side of the link", "links"),
        BusField("out", 1, "1: that part is a later one", "links"),
        BusField("number", 1, "messages so far", "sender"),
        BusField("digest", DIGEST, "running hash of them", "sender: poseidon2"),
    ),
    argument="As writes: a path from each row of the table of links back to it.",
)

LINKS = Bus(
    index=101,
    name="links",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("number", 1, "links so far", "sender"),
        BusField("digest", DIGEST, "running hash of them", "sender: poseidon2"),
    ),
    argument="As writes.",
)

#: Buses whose messages may be open where a part ends: between two steps, or two instances of programs.
CARRIED: tuple[Bus, ...] = (
    frames.EXEC,
    frames.HALT,
    frames.FRAME_STATE,
    frames.FRAME,
    frames.CALLER,
    frames.CONTEXT_OF,
    frames.CONTEXT,
    frames.CALLDATA_OF,
    frames.CALLDATA,
    frames.BUFFER,
    frames.BUFFER_SIZE,
    frames.CODE,
    frames.CODE_NODE,
    frames.INSTRUCTION,
    frames.INIT_CODE,
    STACK,
    MEMORY,
    MEMORY_BYTES,
    LOG_READ,
    state.ACCOUNT,
    state.STORAGE,
    state.ORIGINAL,
    state.LIFE,
    state.FAILURE,
    state.SUBSTATE,
    state.DESTROYING,
    state.TRANSFER,
    state.DELETION,
    state.CODE_LEAF,
    state.BLOCK_HASH,
    transactions.BLOCK,
    transactions.RECEIPTS,
    FIELD_PARTS,
    FIELD_RAN,
    REGISTER_32,
    REGISTER_48,
)

#: Of these, the buses on which time goes on; and on which a frame's gas does.
CLOCKS = (frames.EXEC, frames.HALT, frames.INIT_CODE, LOG_READ, state.DELETION, FIELD_PARTS)
GASES = (frames.EXEC,)

#: Elements of a message in the running hash beside its own: its bus and its count.
_HEAD = 2


def blocks_of(bus: Bus) -> int:
    """Blocks of 8 elements that a message takes in the running hash."""
    return -(-(bus.width + _HEAD) // DIGEST)


class CarriedColumns(Layout):
    """One message per row."""

    real = bit("1 on rows with a message")
    other = element("number of the other part", by="carry bus")
    out = bit("1: the other part is a later one, which puts on its bus what is taken off here")
    count = element("how often, signed", by="the digest", free="both parts count it the same, whatever it is")
    signed = element("the count on its bus", equals=lambda row: row.count - 2 * row.out * row.count)
    message = element("the message", Size("width"), by="its bus, or the digest")
    number = element("messages before", by="carry bus")
    before = element("running hash of the messages before", DIGEST, by="carry bus")
    states = element("hash states with this one, digest last", (Size("blocks"), DIGEST), by="poseidon2 bus")


class ClockColumns(CarriedColumns):
    """Of a bus on which time goes on."""

    now = nested(TimeLimbs, "the time of the message")


class GasColumns(ClockColumns):
    """Of a bus on which a frame's gas goes on as well."""

    gas = nested(GasLimb, "its gas")


class Carried(Table):
    """The messages of a bus that are carried."""

    row_order = "rows meet only on the carry bus, which numbers them"

    def __init__(self, bus: Bus) -> None:
        layout = GasColumns if bus in GASES else ClockColumns if bus in CLOCKS else CarriedColumns
        super().__init__(f"carried_{bus.name}", layout.sized(width=bus.width, blocks=blocks_of(bus)))
        self.bus = bus

    def constraints(self, air: Air[Any]) -> None:
        row, real = air.row, air.row.real
        air.require(row.count * (1 - real), "padding carries nothing")
        air.carry(self.bus, list(row.message), count=row.signed)
        elements = [air.constant(self.bus.index), row.count, *row.message]
        elements += [air.constant(0)] * (DIGEST * len(row.states) - len(elements))
        digest = row.before
        for i, after in enumerate(row.states):
            constrain_compress(air, digest, elements[DIGEST * i : DIGEST * (i + 1)], after, count=real)
            digest = after
        air.receive(CARRY, row.other, row.out, row.number, row.before, count=real)
        air.send(CARRY, row.other, row.out, row.number + 1, digest, count=real)
        if self.bus in CLOCKS:
            now = TimeLimbs.constrain(air, row.now, real)
            air.require(real * (now - row.message[place(self.bus, "time")]), "the time is one")
        if self.bus in GASES:
            GasLimb.constrain(air, row.gas, row.message[place(self.bus, "gas")], real)


def place(bus: Bus, name: str) -> int:
    """Where a field of one element stands in the messages of a bus."""
    offset = 0
    for field in bus.fields:
        if field.name == name:
            return offset
        offset += field.size
    raise KeyError(name)


class LinkColumns(Layout):
    """One link per row."""

    real = bit("1 on rows with a link")
    number = element("links before", by="links bus")
    before = element("running hash of the links before", DIGEST, by="links bus")
    other = element("number of the other part", by="the digest, compared by the verifier")
    out = bit("1: the other part is a later one")
    count = element("messages of the link", by="carry bus")
    digest = element("running hash of the messages", DIGEST, by="carry bus")
    states = element("hash states of the link, digest last", (LINK_ITEM.blocks, DIGEST), by="poseidon2 bus")
    after = element("running hash with this one", DIGEST, by="poseidon2 bus")


class Links(Table):
    """The links of a part."""

    name = "link"
    layout = LinkColumns
    row_order = "rows meet only on the links bus, which numbers them"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        parts = {"other": row.other, "out": row.out, "digest": row.digest}
        constrain_item(air, LINK_ITEM, row.states, count=real, **parts)
        constrain_compress(air, row.before, row.states[-1], row.after, count=real)
        air.receive(LINKS, row.number, row.before, count=real)
        air.send(LINKS, row.number + 1, row.after, count=real)
        air.send(CARRY, row.other, row.out, 0, [air.constant(int(e)) for e in CARRY_START], count=real)
        air.receive(CARRY, row.other, row.out, row.count, row.digest, count=real)


class Link:
    """What two parts of a run have in common, by bus in the order of `CARRIED`.

    Attributes:
        messages: of each bus (n, width), `uint32`.
        counts: (n,) `int64`, how often the lower part takes each off its bus and the higher one puts it there.
        digest: running hash of all of them, (8,).
    """

    def __init__(self, messages: Mapping[int, NDArray[np.uint32]], counts: Mapping[int, NDArray[np.int64]]) -> None:
        self.messages, self.counts = messages, counts
        self._states: dict[int, NDArray[np.uint32]] = {}
        self._first: dict[int, int] = {}
        digest, number = CARRY_START, 0
        for bus in CARRIED:
            if bus.index in counts:
                chain = running_chain(digest, self._blocks(bus))
                self._states[bus.index], self._first[bus.index] = chain, number
                digest, number = chain[-1], number + len(counts[bus.index])
        self.digest: NDArray[np.uint32] = digest

    def __len__(self) -> int:
        return sum(map(len, self.counts.values()))

    def _blocks(self, bus: Bus) -> NDArray[np.uint32]:
        messages, counts = self.messages[bus.index], self.counts[bus.index]
        elements = np.zeros((len(counts), DIGEST * blocks_of(bus)), dtype=np.uint32)
        elements[:, 0] = bus.index
        elements[:, 1] = counts % MODULUS
        elements[:, _HEAD : _HEAD + bus.width] = messages
        return elements.reshape(-1, DIGEST)

    def first_number(self, bus: Bus) -> int:
        """How many messages there are before those of a bus that has some."""
        return self._first[bus.index]

    def states(self, bus: Bus) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Running hash before each message (n, 8) of a bus that has some, and the states with it (n, blocks, 8)."""
        states, k = self._states[bus.index], blocks_of(bus)
        return states[:-1:k], states[1:].reshape(-1, k, DIGEST)


#: Messages (n, width) and signed counts (n,) that the rows of a part have too many (positive) or too few of, by bus.
Nets = Mapping[int, tuple[NDArray[np.uint32], NDArray[np.int64]]]

#: The links of one part by the number of the other one, in ascending order.
LinksOfPart = dict[int, Link]


def link_parts(nets: Sequence[Nets]) -> list[LinksOfPart]:
    """Link the parts of a run such that nothing is left open.

    The part with most of a message, the last one of several, is linked for it with all others that have too many or too
    few of it.

    Args:
        nets: of each part in order. Counts of a message add up to 0, or it stays open in the part with most of it.
    """
    found: dict[tuple[int, int], tuple[dict[int, NDArray[np.uint32]], dict[int, NDArray[np.int64]]]] = {}
    for bus in CARRIED:
        for pair, messages, counts in _pairs([net.get(bus.index) for net in nets]):
            of_pair = found.setdefault(pair, ({}, {}))
            of_pair[0][bus.index], of_pair[1][bus.index] = messages, counts
    links: list[LinksOfPart] = [{} for _ in nets]
    for (low, high), (own, counted) in sorted(found.items()):
        links[low][high] = links[high][low] = Link(own, counted)
    return [dict(sorted(of_part.items())) for of_part in links]


def _pairs(
    nets: Sequence[tuple[NDArray[np.uint32], NDArray[np.int64]] | None],
) -> Iterator[tuple[tuple[int, int], NDArray[np.uint32], NDArray[np.int64]]]:
    """Pairs of parts with the messages of a bus (n, width), sorted, and counts (n,) that they have in common."""
    present = [(part, *net) for part, net in enumerate(nets) if net is not None and len(net[1])]
    if not present:
        return
    parts = np.concatenate([np.full(len(counts), part) for part, _, counts in present])
    counts = np.concatenate([counts for _, _, counts in present])
    messages, _, which = distinct_rows(np.concatenate([own for _, own, _ in present]))
    order = np.lexsort((parts, np.abs(counts), which))
    which, parts, counts = which[order], parts[order], counts[order]
    ends = np.append(np.flatnonzero(np.diff(which)), len(which) - 1)
    hubs = parts[ends][which]
    rest = np.ones(len(which), dtype=bool)
    rest[ends] = False
    which, parts, counts, hubs = which[rest], parts[rest], counts[rest], hubs[rest]
    low, high = np.minimum(parts, hubs), np.maximum(parts, hubs)
    # What a lower part has too much of it takes off, a higher one puts on what it has too little of.
    counts = np.where(parts < hubs, counts, -counts)
    order = np.lexsort((which, high, low))
    which, low, high, counts = which[order], low[order], high[order], counts[order]
    differs = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
    for begin, end in pairwise([0, *differs.tolist(), len(low)] if len(low) else []):
        yield (int(low[begin]), int(high[begin])), messages[which[begin:end]], counts[begin:end]


def fill_carried(bus: Bus, part: int, links: LinksOfPart) -> Matrix | None:
    """The messages of a bus that a part takes off it, or puts there.

    Args:
        bus: one of `CARRIED`.
        part: number of the part.
        links: of the part.
    """
    own = [(other, link) for other, link in links.items() if bus.index in link.counts]
    if not own:
        return None
    table = TABLES[CARRIED.index(bus)]
    matrix, rows = allocate(CarriedColumns, sum(len(link.counts[bus.index]) for _, link in own), of=table.layout)
    at = 0
    for other, link in own:
        messages, counts = link.messages[bus.index], link.counts[bus.index]
        here = slice(at, at + len(counts))
        at += len(counts)
        rows.real[here] = 1
        rows.other[here] = other
        rows.out[here] = other > part
        rows.count[here] = counts % MODULUS
        rows.message[here] = messages
        rows.number[here] = link.first_number(bus) + np.arange(len(counts))
        rows.before[here], rows.states[here] = link.states(bus)
    fill_limbs(bus, rows)
    fill_derived(rows)
    return matrix


def fill_limbs(bus: Bus, rows: CarriedColumns) -> None:
    """The limbs of times and gas of the messages of a bus that are in the rows."""
    if isinstance(rows, ClockColumns):
        TimeLimbs.fill(rows.now, rows.message[:, place(bus, "time")].astype(np.int64))
    if isinstance(rows, GasColumns):
        GasLimb.fill(rows.gas, rows.message[:, place(bus, "gas")])


def fill_links(part: int, links: LinksOfPart) -> Matrix | None:
    """The links of a part.

    Args:
        part: its number.
        links: of the part.
    """
    if not links:
        return None
    matrix, rows = allocate(LinkColumns, len(links))
    digests = np.stack([link.digest for link in links.values()])
    chain = links_chain(part, list(links), digests)
    rows.real = 1
    rows.number = np.arange(len(links))
    rows.before, rows.after = chain[:-1], chain[1:]
    rows.other = list(links)
    rows.out = np.array(list(links)) > part
    rows.count = [len(link) for link in links.values()]
    rows.digest = digests
    rows.states = LINK_ITEM.states(other=rows.other, out=rows.out, digest=digests)
    return matrix


TABLES = tuple(Carried(bus) for bus in CARRIED)
LINK_TABLE = Links()
