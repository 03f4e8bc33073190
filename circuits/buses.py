"""All buses between the tables of a segment: every layout once, with ranges and who pins each field."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.air.range_buses import RANGE16

DIGEST = 8

POSEIDON2 = Bus(
    index=1,
    name="poseidon2",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("left", DIGEST, "first half of the compression's input", "querier"),
        BusField("right", DIGEST, "second half", "querier"),
        BusField("output", DIGEST, "C(left, right), field elements", "poseidon2: its constraints"),
    ),
    argument="Every row of the table satisfies output = C(left, right), so whatever is provided is true.",
)

CHAIN = Bus(
    index=2,
    name="chain",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("number", 1, "number of the next transaction in the batch, below 2^24", "sender"),
        BusField("transactions", DIGEST, "running hash of the transactions so far", "sender"),
        BusField("effects", DIGEST, "running hash of their effects so far", "sender"),
    ),
    argument="One token per segment: the segment table sends the first state and receives the last one. Each "
    "transaction receives a state and sends its successor with number + 1, so the rows form one path from first to "
    "last; a cycle beside it would need as many rows as the field has elements.",
)

BLOCK = Bus(
    index=3,
    name="block",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("digest", DIGEST, "digest of the block context", "block: poseidon2"),
        BusField("coinbase", 10, "address limbs", "block: its digest"),
        BusField("base_fee", 16, "word limbs", "block: its digest"),
    ),
    argument="A block row hashes its context; collision resistance makes the digest name one coinbase and base fee.",
)

STATE = Bus(
    index=4,
    name="state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("leaf", 1, "index of the key's leaf in the access tree", "access_leaf: its tree path"),
        BusField("kind", 1, "kind of state key", "access_leaf: its leaf digest"),
        BusField("address", 10, "address limbs", "access_leaf: its leaf digest"),
        BusField("value", 16, "word limbs", "writer: range checks; first value: the leaf digest"),
        BusField("time", 1, "time of the access, below 2^29; 0 for the value at the segment's start", "sender"),
    ),
    argument="A key has one leaf and so one first token. Every access receives a token older than itself and sends one "
    "with its own time, so the tokens of a key form one chain in time order that ends in its leaf row.",
)

TREE = Bus(
    index=5,
    name="tree",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("level", 1, "distance from the leaves", "sender"),
        BusField("index", 1, "position within the level", "receiver: twice the parent's index plus the side"),
        BusField("before", DIGEST, "digest at the segment's start", "sender: poseidon2"),
        BusField("after", DIGEST, "digest at the segment's end", "sender: poseidon2"),
    ),
    argument="The only receiver that sends nothing on is the segment table, for the root. Every other node is received "
    "by one parent at one side, so the rows form one tree below that root and no position occurs twice.",
)

ALL = (RANGE16, POSEIDON2, CHAIN, BLOCK, STATE, TREE)
