"""Buses of operations: their order, their blocks, receipts, access lists and fees."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import ADDRESS, DIGEST, U64, WORD

CHAIN = Bus(
    index=2,
    name="chain",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the next operation in the batch, below 2^24", "sender"),
        BusField("time", 1, "time at which it begins", "sender"),
        BusField("operations", DIGEST, "running hash of the operations so far", "sender"),
        BusField("receipts", DIGEST, "running hash of logs and receipts so far", "sender"),
    ),
    argument="One token per segment: the segment table sends the first state and receives the last one. Each "
    "operation receives a state and sends its successor with operation + 1, so the rows form one path from first to "
    "last; a cycle beside it would need as many rows as the field has elements.",
)

BLOCK = Bus(
    index=4,
    name="block",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("digest", DIGEST, "digest of the block context", "block: poseidon2"),
        BusField("block", 1, "the row's number, which names the block within the segment", "block: its rows count"),
        BusField("scope", 1, "number of the block's first operation", "block: its digest"),
        BusField("coinbase", ADDRESS, "address limbs", "block: its digest"),
        BusField("base_fee", WORD, "word limbs", "block: its digest"),
        BusField("blob_base_fee", WORD, "word limbs", "block: its digest"),
    ),
    argument="A block row hashes its context; collision resistance makes the digest name one context.",
)

RECEIPTS = Bus(
    index=12,
    name="receipts",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the transaction", "transaction"),
        BusField("time", 1, "time of the last log, or of the transaction's begin", "sender"),
        BusField("receipts", DIGEST, "running hash of logs and receipts", "sender: poseidon2"),
    ),
    argument="A transaction sends one token and receives one. Every log receives an earlier token and sends one of its "
    "own time, so the logs are hashed in the order of time.",
)

ACCESS_LIST = Bus(
    index=40,
    name="access_list",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the transaction", "sender"),
        BusField("scope", 1, "scope of the block", "sender"),
        BusField("time", 1, "time of the next entry", "sender"),
        BusField("digest", DIGEST, "running hash of the entries so far", "sender: poseidon2"),
        BusField("addresses", 1, "addresses so far", "sender"),
        BusField("keys", 1, "storage keys so far", "sender"),
    ),
    argument="A transaction sends the start and receives the end, whose digest and counts are those of its item.",
)

AUTHORIZATION = Bus(
    index=47,
    name="authorization",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the transaction", "sender"),
        BusField("scope", 1, "scope of the block", "sender"),
        BusField("time", 1, "time of the next entry", "sender"),
        BusField("digest", DIGEST, "running hash of the entries so far", "sender: poseidon2"),
        BusField("count", 1, "entries so far", "sender"),
        BusField("refunds", 1, "entries so far that earn a refund", "sender"),
    ),
    argument="A transaction sends the start and receives the end, whose digest and count are those of its item.",
)

GAS_PRODUCT = Bus(
    index=42,
    name="gas_product",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("price", WORD, "word limbs, wei per gas", "gas_product: its bytes"),
        BusField("gas", U64, "gas in limbs", "gas_product: its bytes"),
        BusField("product", WORD, "price * gas, below 2^256", "gas_product: its multiplication"),
    ),
    argument="Every row computes the product over the integers.",
)

BLOB_FEE = Bus(
    index=43,
    name="blob_fee",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("blobs", 1, "number of blobs", "blob_fee"),
        BusField("max_fee", WORD, "word limbs, wei per blob gas", "blob_fee"),
        BusField("base_fee", WORD, "word limbs, wei per blob gas, at most the max fee", "blob_fee"),
        BusField("required", WORD, "blob gas * max fee", "blob_fee: gas_product"),
        BusField("fee", WORD, "blob gas * base fee", "blob_fee: gas_product"),
    ),
    argument="Every row looks up both products and compares the fees.",
)
