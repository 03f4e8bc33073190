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

CODE_NODE = Bus(
    index=70,
    name="code_node",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "code: row number"),
        BusField("level", 1, "distance from the chunks", "code: its leaf's depth; code_node: one less than its own"),
        BusField("index", 1, "position within the level", "code_node: twice its own plus the side"),
        BusField("digest", DIGEST, "digest of the node or chunk", "provider: poseidon2"),
    ),
    argument="A code's row provides its root, and a node that is itself provided on a level its children one level "
    "below: all are nodes of the tree which the verifier has made from the code. Levels fall by one from the depth "
    "that its leaf states, so on level 0 there are its chunks and nothing else, each at its own position.",
)

CODE_PART = Bus(
    index=71,
    name="code_part",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "code_chunk: code_node"),
        BusField("index", 1, "which 16 bytes", "code_chunk: its position"),
        BusField("limbs", WORD // 2, "the bytes as a big-endian number, least significant limb first", "code_chunk"),
    ),
    argument="A chunk's bytes are those that its digest hashes.",
)

INSTRUCTION = Bus(
    index=26,
    name="instruction",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "code: row number"),
        BusField(
            "pc", 1, "place in the code; zeros follow the code up to a STOP behind its last instruction", "code_chunk"
        ),
        BusField("byte", 1, "what stands there", "code_chunk: its digest"),
        BusField("start", 1, "1: an instruction begins there, 0: it is push data", "code_chunk: its digest"),
    ),
    argument="A chunk hashes bytes and starts into a digest that the tree of its code has at this place; the verifier "
    "has made the tree from the code.",
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
        BusField("code", 1, "id of the code", "code: row number"),
        BusField("hash", WORD, "keccak256 of the code", "code_leaf"),
        BusField("size", 1, "bytes, at most 2^24", "code_leaf"),
    ),
    argument="Ids are row numbers, so an id has one row, which looks up hash and size in a leaf.",
)

BUFFER = Bus(
    index=30,
    name="buffer",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("kind", 1, "0: calldata, 1: code", "a constant of the provider"),
        BusField("id", 1, "id of the buffer or code", "provider: row number"),
        BusField("index", 1, "which 32 bytes", "provider: counted"),
        BusField("word", WORD, "the bytes as a big-endian word, zeros behind the end", "provider: a digest"),
    ),
    argument="Ids are row numbers (of calldata: of first rows), so no two buffers of a kind share one.",
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
    argument="One row of a buffer provides it: of calldata the last one, of a code its only one.",
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
