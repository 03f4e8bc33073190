"""Buses of the memory: its words, requests of up to 32 bytes, what its growth costs, and what is read to be hashed."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import DIGEST, WORD

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
    argument="Each request is served by one row of the tables of memory, which makes the access at its time.",
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

HASH_READ = Bus(
    index=38,
    name="hash_read",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("function", 1, "which hash function, as on hash_word", "sender: a constant"),
        BusField("frame", 1, "id of the frame whose memory is read", "sender"),
        BusField("time", 1, "time of the next read", "sender"),
        BusField("id", 1, "name of the hashed input", "sender"),
        BusField("index", 1, "which word of the input is next", "sender"),
        BusField("offset", 1, "next byte of the memory", "sender"),
        BusField("left", 1, "bytes left, at least 1", "sender"),
    ),
    argument="Who hashes sends one token and the rows of hash_read read all words of the input: each row sends what is "
    "left, unless nothing is.",
)

LOG_READ = Bus(
    index=39,
    name="log_read",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "sender"),
        BusField("time", 1, "time of the next read", "sender"),
        BusField("offset", 1, "next byte of the memory", "sender"),
        BusField("left", 1, "bytes left; 0 for the end, which the reader receives", "sender"),
        BusField("digest", DIGEST, "running hash of the words so far", "sender: poseidon2"),
    ),
    argument="As copy; the last row sends the token with 0 bytes left back to who reads, at the time when that ends.",
)
