"""Buses of the memory: the tokens of its words, requests of up to 32 bytes, and what its growth costs."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import WORD

MEMORY = Bus(
    index=23,
    name="memory",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "memory: strictly sorted"),
        BusField("index", 1, "which word of the memory", "memory: strictly sorted"),
        BusField("word", WORD, "word limbs", "sender"),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="The memory table sends one first token for each word (zero) and receives the last one. Every access "
    "receives an earlier token and sends one of its own time, so the accesses of a word form one chain.",
)

MEMORY_BYTES = Bus(
    index=24,
    name="memory_bytes",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "sender"),
        BusField("time", 1, "time of the access; one access at a time", "sender"),
        BusField("is_write", 1, "1: write", "sender: a constant"),
        BusField("offset", 1, "first byte, below 2^24", "sender"),
        BusField("size", 1, "bytes, 1..32", "sender"),
        BusField("word", WORD, "the bytes from the most significant on, zeros behind", "reader: receiver; else sender"),
    ),
    argument="Each request is served by one row of memory_words or memory_parts, which makes the access at its time.",
)

EXPANSION = Bus(
    index=25,
    name="expansion",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("before", 1, "words of memory", "querier"),
        BusField("end", 1, "bytes that an access reaches, at most 2^24; 0 for an access of size 0", "expansion"),
        BusField("after", 1, "the larger one of before and the words that end needs", "expansion"),
        BusField("cost", 1, "gas of the difference", "expansion"),
    ),
    argument="Every row computes after and cost from before and end.",
)
