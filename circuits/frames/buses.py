"""Buses of frames: how they begin, run and end, what they know, and the bytes that they read."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import ADDRESS, DIGEST, U64, WORD

MESSAGE = Bus(
    index=14,
    name="message",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame that is opened", "frame: its row number"),
        BusField("operation", 1, "number of the transaction", "sender"),
        BusField("block", 1, "row of the block table", "sender: block"),
        BusField("scope", 1, "scope of the block", "sender: block"),
        BusField("time", 1, "time of the first step", "sender"),
        BusField("caller", ADDRESS, "address limbs", "sender"),
        BusField("address", ADDRESS, "account whose storage the frame works on", "sender"),
        BusField("code_hash", WORD, "keccak256 of the code that runs", "sender: account"),
        BusField("value", WORD, "CALLVALUE in wei", "sender"),
        BusField("calldata", 1, "id of the calldata buffer", "sender: calldata"),
        BusField("calldata_size", 1, "bytes", "sender: calldata"),
        BusField("gas", 1, "gas given without the reserve, below 2^30", "sender"),
        BusField("reserve", U64, "gas given beyond that, in limbs", "sender"),
    ),
    argument="A frame row receives the one message that names its row number, so every frame that is opened runs once.",
)

RESULT = Bus(
    index=15,
    name="result",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("success", 1, "1: neither reverted nor halted exceptionally", "frame: halt"),
        BusField("halted", 1, "1: halted exceptionally, which takes the reserve as well", "frame: halt"),
        BusField("gas", 1, "gas left without the reserve, in [0, 2^30)", "frame: halt"),
        BusField("time", 1, "time after the last step", "frame: halt"),
    ),
    argument="A frame sends one result under its row number; who opened it receives it.",
)

EXEC = Bus(
    index=20,
    name="exec",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("time", 1, "time of the step", "sender"),
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("code", 1, "id of the code that runs", "frame: code"),
        BusField("pc", 1, "bytes from the start of the code", "sender"),
        BusField("stack_size", 1, "words on the stack, 0..1024", "sender"),
        BusField("gas", 1, "gas left without the frame's reserve", "sender; see circuits.frames.gas"),
        BusField("memory_words", 1, "size of memory in words, at most 2^19", "sender"),
    ),
    argument="A frame row sends the first state, every step receives one and sends its successor at a later time, and "
    "the last step sends halt instead: the steps of a frame form one chain.",
)

HALT = Bus(
    index=21,
    name="halt",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "exec"),
        BusField("ending", 1, "how the frame ends: an `Ending` of `circuits.frames.frames`", "sender: its instruction"),
        BusField("gas", 1, "gas left, in [0, 2^30); 0 after an exceptional halt", "sender: range check"),
        BusField("time", 1, "time after the last step", "sender"),
    ),
    argument="The last step of a frame sends it and the frame row receives it.",
)

FRAME = Bus(
    index=34,
    name="frame",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("operation", 1, "number of the transaction", "frame: message"),
        BusField("scope", 1, "scope of the block", "frame: message"),
        BusField("address", ADDRESS, "account whose storage the frame works on", "frame: message"),
        BusField("persists", 1, "1: what the frame does is not undone", "frame: halt"),
    ),
    argument="There is one row for each frame id.",
)

CONTEXT_OF = Bus(
    index=35,
    name="context_of",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("kind", 1, "0: frame, 1: transaction, 2: block, 3: calldata", "frame: a constant"),
        BusField("id", 1, "the frame, its operation, its block's row, its calldata's id", "frame: message"),
    ),
    argument="There is one row for each frame id.",
)

CONTEXT = Bus(
    index=36,
    name="context",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("kind", 1, "0: frame, 1: transaction, 2: block", "a constant of the provider"),
        BusField("id", 1, "as in context_of", "provider: row number, or operation"),
        BusField("opcode", 1, "instruction that gives the word, or a number that is no byte", "a constant"),
        BusField("word", WORD, "word limbs", "provider"),
    ),
    argument="There is one provider for each kind and id.",
)

INSTRUCTION = Bus(
    index=26,
    name="instruction",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "code: row of its first bytes"),
        BusField("pc", 1, "place in the code; zeros follow the code up to a STOP behind its last instruction", "code"),
        BusField("byte", 1, "what stands there", "code: the code's digest"),
        BusField("start", 1, "1: an instruction begins there, 0: it is push data", "code: the code's digest"),
    ),
    argument="The code table hashes bytes and starts into the digest of the access tree's leaf for this code hash; the "
    "verifier has made that leaf from the code.",
)

PUSH = Bus(
    index=27,
    name="push",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "instruction"),
        BusField("pc", 1, "place of the instruction", "instruction"),
        BusField("size", 1, "bytes of push data, 0..32", "push_site: the opcode"),
        BusField("cost", 1, "gas: 2 for PUSH0, 3 for others", "push_site"),
        BusField("word", WORD, "the value", "push_site: its bytes"),
    ),
    argument="A push site looks up the opcode and all of its bytes.",
)

CODE = Bus(
    index=28,
    name="code",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "code: row of its first bytes"),
        BusField("hash", WORD, "keccak256 of the code", "code_leaf"),
        BusField("size", 1, "bytes, at most 2^24", "code_leaf"),
    ),
    argument="The last row of a code looks its digest up in code_leaf, which knows the hash and the size of it.",
)

BUFFER = Bus(
    index=30,
    name="buffer",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("kind", 1, "0: calldata, 1: code", "a constant of the provider"),
        BusField("id", 1, "id of the buffer or code", "provider: row number"),
        BusField("index", 1, "which 32 bytes", "provider: counted"),
        BusField("word", WORD, "the bytes as a big-endian word, zeros behind the end", "provider: its digest"),
    ),
    argument="Ids are row numbers of first rows, so no two buffers of a kind share one.",
)

BUFFER_SIZE = Bus(
    index=31,
    name="buffer_size",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("kind", 1, "0: calldata, 1: code", "a constant of the provider"),
        BusField("id", 1, "id of the buffer or code", "provider: row number"),
        BusField("size", 1, "bytes, at most 2^24", "provider"),
    ),
    argument="Only the last row of a buffer provides it.",
)

BUFFER_BYTES = Bus(
    index=32,
    name="buffer_bytes",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("kind", 1, "0: calldata, 1: code", "querier"),
        BusField("id", 1, "id of the buffer or code", "querier"),
        BusField("offset", 1, "first byte, below 2^25", "querier"),
        BusField("size", 1, "bytes, 1..32", "querier"),
        BusField("word", WORD, "the bytes from the most significant on, zeros behind", "buffer_bytes"),
    ),
    argument="A row looks up the words it needs, and proves for those it takes as zeros that they lie behind the end.",
)

CALLDATA = Bus(
    index=33,
    name="calldata",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("id", 1, "id of the calldata buffer", "calldata: row number"),
        BusField("size", 1, "bytes, at most 2^22", "calldata: counted"),
        BusField("digest", DIGEST, "running hash of its words", "calldata: poseidon2"),
    ),
    argument="The last row of a buffer provides the hash of all of its words; the transaction's item holds the same.",
)
