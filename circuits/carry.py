"""What goes on when a segment ends between two steps: the messages that it leaves open, and those that it finds open.

A run of operations may be proved by several segments, its *parts*. Each part has some rows of every table, and what the
rows of a part send or ask beyond what they receive or answer is *carried* to the next one: the token that the next step
will receive, words on the stack and in the memory, and what has been taken in advance: the end of a frame, the last
token of an account, whose row is in another part. A row of a table of this module is one such message with its signed
count. It takes the message off its bus in the part that leaves it and puts it there in the part that finds it, and both
parts state the running hash of all of them, which the verifier compares.

Argument. Over all parts together what is carried adds up to nothing: the hash binds bus, message and count. So the
messages of all other rows balance over the parts as they do in one segment with all of these rows, and all that is said
of buses holds for the run, if it holds however many rows there are (`verifier.sizes` bounds them) and wherever they are
(tables that number their rows, or have one row for a key, are in the last part alone; the frames of the parts are
numbered through). Nothing can be dropped, added, doubled or reordered to effect: it would be missing, or too much, on
its bus.

Two sums begin anew with each part, since they may not grow with the run: gas that steps take without a check, and
time. So gas of an `exec` message that is carried is proved to be in [0, 2^30), and times of `CLOCKS` to be below 2^29.
Other messages that let time go on are carried by no table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus, BusField, BusKind
from circuits.air.derived import fill_derived
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import TimeLimbs
from circuits.air.layout import Layout, Size, allocate, bit, element, nested
from circuits.air.table import Air, Table
from circuits.frames import buses as frames
from circuits.frames.gas import GasLimb
from circuits.functions.poseidon2 import compress_chain
from circuits.hashing import constrain_compress
from circuits.instructions.buses import STACK
from circuits.memory.buses import LOG_READ, MEMORY, MEMORY_BYTES
from circuits.state import buses as state
from circuits.statement import CARRY_START
from circuits.transactions import buses as transactions
from circuits.widths import DIGEST

CARRY = Bus(
    index=100,
    name="carry",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("out", 1, "1: what the segment leaves open, 0: what it finds open", "sender"),
        BusField("number", 1, "messages so far", "sender"),
        BusField("digest", DIGEST, "running hash of them", "sender: poseidon2"),
    ),
    argument="As writes: two paths from the segment table back to it.",
)

#: Buses whose messages may be open between two steps.
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
)

#: Of these, the buses on which time goes on; and on which a frame's gas does.
CLOCKS = (frames.EXEC, frames.HALT, frames.INIT_CODE, LOG_READ, state.DELETION)
GASES = (frames.EXEC,)

#: Elements of a message in the running hash beside its own: its bus and its count.
_HEAD = 2


def blocks_of(bus: Bus) -> int:
    """Blocks of 8 elements that a message takes in the running hash."""
    return -(-(bus.width + _HEAD) // DIGEST)


class CarriedColumns(Layout):
    """One message per row."""

    real = bit("1 on rows with a message")
    out = bit("1: the segment leaves it open, 0: it finds it open")
    count = element("how often, signed", by="the digest", free="both segments count it the same, whatever it is")
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
        air.receive(CARRY, row.out, row.number, row.before, count=real)
        air.send(CARRY, row.out, row.number + 1, digest, count=real)
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


class Open:
    """Messages that are open between two parts, by bus in the order of `CARRIED`.

    Attributes:
        messages: of each bus (n, width), `uint32`.
        counts: (n,) `int64`, how often each is missing a receiver (positive) or a sender (negative).
    """

    def __init__(self, messages: dict[int, NDArray[np.uint32]], counts: dict[int, NDArray[np.int64]]) -> None:
        self.messages, self.counts = messages, counts
        self._states: dict[int, NDArray[np.uint32]] = {}
        digest = CARRY_START
        for bus in CARRIED:
            blocks = self._blocks(bus)
            chain = compress_chain(digest, blocks) if len(blocks) else np.zeros((0, DIGEST), dtype=np.uint32)
            self._states[bus.index] = np.concatenate([digest[None], chain])
            digest = self._states[bus.index][-1]
        self.digest: NDArray[np.uint32] = digest

    @classmethod
    def nothing(cls) -> Open:
        """Where nothing is open."""
        return cls({}, {})

    def __len__(self) -> int:
        return sum(map(len, self.counts.values()))

    def of(self, bus: Bus) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Messages (n, width) and counts (n,) of a bus."""
        empty = np.zeros((0, bus.width), dtype=np.uint32)
        return self.messages.get(bus.index, empty), self.counts.get(bus.index, np.zeros(0, dtype=np.int64))

    def first_number(self, bus: Bus) -> int:
        """How many messages are carried before those of a bus."""
        return sum(len(self.of(other)[1]) for other in CARRIED[: CARRIED.index(bus)])

    def _blocks(self, bus: Bus) -> NDArray[np.uint32]:
        messages, counts = self.of(bus)
        elements = np.zeros((len(counts), DIGEST * blocks_of(bus)), dtype=np.uint32)
        elements[:, 0] = bus.index
        elements[:, 1] = counts % MODULUS
        elements[:, _HEAD : _HEAD + bus.width] = messages
        return elements.reshape(-1, DIGEST)

    def states(self, bus: Bus) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Running hash before each message of a bus (n, 8), and the states with it (n, blocks, 8)."""
        states, k = self._states[bus.index], blocks_of(bus)
        return states[:-1:k], states[1:].reshape(-1, k, DIGEST)


def fill_carried(bus: Bus, before: Open, after: Open) -> Matrix | None:
    """What a part finds open, and what it leaves open, on a bus."""
    count = sum(len(carried.of(bus)[1]) for carried in (before, after))
    if not count:
        return None
    table = TABLES[CARRIED.index(bus)]
    matrix, rows = allocate(CarriedColumns, count, of=table.layout)
    at = 0
    for out, carried in enumerate((before, after)):
        messages, counts = carried.of(bus)
        here = slice(at, at + len(counts))
        at += len(counts)
        rows.real[here] = 1
        rows.out[here] = out
        rows.count[here] = counts % MODULUS
        rows.message[here] = messages
        rows.number[here] = carried.first_number(bus) + np.arange(len(counts))
        rows.before[here], rows.states[here] = carried.states(bus)
    fill_limbs(bus, rows)
    fill_derived(rows)
    return matrix


def fill_limbs(bus: Bus, rows: CarriedColumns) -> None:
    """The limbs of times and gas of the messages of a bus that are in the rows."""
    if isinstance(rows, ClockColumns):
        TimeLimbs.fill(rows.now, rows.message[:, place(bus, "time")].astype(np.int64))
    if isinstance(rows, GasColumns):
        GasLimb.fill(rows.gas, rows.message[:, place(bus, "gas")])


TABLES = tuple(Carried(bus) for bus in CARRIED)
