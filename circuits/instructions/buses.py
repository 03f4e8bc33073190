"""Buses that only instructions have: the stack, and what moves words until none is left."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import WORD

STACK = Bus(
    index=22,
    name="stack",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "exec"),
        BusField("slot", 1, "0 is the lowest", "exec: stack_size"),
        BusField("word", WORD, "word limbs", "sender: range checks or another bus"),
        BusField("time", 1, "time of the push", "sender"),
    ),
    argument="stack_size makes pushes and pops of a slot alternate in time. A pop receives a token older than itself: "
    "the first pop can only take the first push, so the second the second, and so on. What is never popped is received "
    "by stack_rest, one token for a slot at most, as the counts demand. stack_refresh only makes tokens younger.",
)

COPY = Bus(
    index=37,
    name="copy",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "sender"),
        BusField("read_time", 1, "time of the next read", "sender"),
        BusField("write_time", 1, "time of the next write", "sender"),
        BusField("source", 1, "0: calldata, 1: code, 2: memory, 3: zeros", "sender"),
        BusField("id", 1, "id of the calldata buffer, of the code, or of the frame whose memory it is", "sender"),
        BusField("from", 1, "next byte of the source", "sender"),
        BusField("to", 1, "next byte of the memory", "sender"),
        BusField("left", 1, "bytes left, at least 1", "sender"),
    ),
    argument="An instruction sends one token; a copy row moves up to 32 bytes and sends the rest unless none is left.",
)
