"""Buses of frames: how they begin, run and end, what they know, and the bytes that they read."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD

MESSAGE = Bus(
    index=14,
    name="message",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame that is opened", "frame: its row number"),
        BusField("operation", 1, "number of the transaction", "sender"),
        BusField("block", 1, "row of the block table", "sender: block, or its own frame"),
        BusField("scope", 1, "scope of the block", "sender: block, or its own frame"),
        BusField("time", 1, "when the frame begins, FRAME_BEGIN before its first step", "sender"),
        BusField("outer", 1, "world of the caller", "sender: its own frame; 0 of a transaction"),
        BusField("static", 1, "1: the state must not be changed", "sender: its own frame, or STATICCALL"),
        BusField("depth", 1, "0 for the outermost frame, at most 1024", "sender: 1 + that of its own frame"),
        BusField("caller", ADDRESS, "address limbs", "sender"),
        BusField("address", ADDRESS, "account whose storage the frame works on", "sender"),
        BusField("value", WORD, "CALLVALUE in wei", "sender"),
        BusField("moves", 1, "1: the value moves from caller to address", "sender: a bit"),
        BusField("creates", 1, "1: the frame creates the account at its address", "sender: a bit"),
        BusField("runs", 1, "1: code runs", "sender: a bit"),
        BusField("code", 1, "id of the code", "sender: code, or init_code"),
        BusField("code_size", 1, "bytes", "sender: code, or init_code"),
        BusField("precompile", 1, "number of the precompile that answers, or 0", "sender: the address"),
        BusField("calldata_kind", 1, "0: a buffer, 2: the memory of the caller's frame", "sender: a constant"),
        BusField("calldata_id", 1, "id of the buffer, or of that frame", "sender"),
        BusField("calldata_start", 1, "first byte there", "sender: below 2^24"),
        BusField("calldata_size", 1, "bytes", "sender: at most 2^24"),
        BusField("gas", 1, "gas given without the reserve, below 2^30", "sender: range check"),
        BusField("reserve", U64, "gas given beyond that, in limbs", "sender: range check"),
    ),
    argument="A frame row receives the one message that names its row number, so every frame that is opened runs once. "
    "A frame's steps come after the step that opened it, so frames form a tree: a circle of frames that open each "
    "other would need times that come around the field.",
)

RESULT = Bus(
    index=15,
    name="result",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("success", 1, "1: neither reverted nor halted exceptionally", "frame: halt"),
        BusField("gas", 1, "gas left without the reserve, in [0, 2^30)", "frame: halt"),
        BusField("reserve", U64, "gas left beyond that, in limbs; 0 after an exceptional halt", "frame: frame_state"),
        BusField("return_start", 1, "first byte of what it returns, in its memory", "frame: halt"),
        BusField("return_size", 1, "bytes", "frame: halt"),
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
        BusField("frame", 1, "id of the frame", "exec, or precompile"),
        BusField("ending", 1, "how the frame ends: an `Ending` of `circuits.frames.frames`", "sender: its instruction"),
        BusField("gas", 1, "gas left, in [0, 2^30); 0 after an exceptional halt", "sender: range check"),
        BusField("return_start", 1, "first byte of what it returns, in its memory", "sender: below 2^24"),
        BusField("return_size", 1, "bytes; 0 after an exceptional halt", "sender: at most 2^24"),
        BusField("time", 1, "time after the last step", "sender"),
    ),
    argument="The last step of a frame, or its precompile, sends it and the frame row receives it.",
)

FRAME_STATE = Bus(
    index=74,
    name="frame_state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("return_source", 1, "frame in whose memory the return data lies; 0: there is none", "sender: result"),
        BusField("return_start", 1, "its first byte there", "sender: result"),
        BusField("return_size", 1, "its bytes; their end is at most 2^24", "sender: result"),
        BusField("reserve", U64, "gas beyond what steps count, in limbs", "sender"),
        BusField("time", 1, "time of who sent it", "sender"),
    ),
    argument="The frame row sends the first token and receives the last one. Who takes one proves that it is earlier "
    "and sends one of its own time: they form one chain. Only a call sends another state than it takes.",
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
        BusField("world", 1, "innermost frame, at or above it, that fails; 0: none does", "frame: halt, message"),
        BusField("static", 1, "1: the frame may change nothing", "frame: message"),
    ),
    argument="There is one row for each frame id. A frame that fails is a world of its own, any other one is part of "
    "the world around it, which its message names. Whether it fails is a prophecy until its halt.",
)

CALLER = Bus(
    index=73,
    name="caller",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("operation", 1, "number of the transaction", "frame: message"),
        BusField("block", 1, "row of the block table", "frame: message"),
        BusField("scope", 1, "scope of the block", "frame: message"),
        BusField("address", ADDRESS, "account whose storage the frame works on", "frame: message"),
        BusField("world", 1, "id of the innermost failing frame from this one outwards, 0: none", "frame: halt"),
        BusField("static", 1, "1: it must not change the state", "frame: message"),
        BusField("depth", 1, "0 for the outermost frame", "frame: message"),
        BusField("caller", ADDRESS, "address limbs", "frame: message"),
        BusField("value", WORD, "CALLVALUE in wei", "frame: message"),
    ),
    argument="There is one row for each frame id. It is what an instruction that opens a frame must know of its own.",
)

CONTEXT_OF = Bus(
    index=35,
    name="context_of",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("kind", 1, "0: frame, 1: transaction, 2: block", "frame: a constant"),
        BusField("id", 1, "the frame, its operation, its block's row", "frame: message"),
    ),
    argument="There is one row for each frame id.",
)

CALLDATA_OF = Bus(
    index=68,
    name="calldata_of",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("kind", 1, "0: a buffer, 2: memory of another frame", "frame: message"),
        BusField("id", 1, "id of the calldata buffer, or of that frame", "frame: message"),
        BusField("start", 1, "first byte in that memory; 0 for a buffer", "frame: message"),
        BusField("size", 1, "bytes of it, their end at most 2^24; 0 for a buffer, which knows its size", "frame"),
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

DELEGATION = Bus(
    index=77,
    name="delegation",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("code", 1, "id of the code", "code: row number"),
        BusField("hash", WORD, "keccak256 of the code", "delegation: code"),
        BusField("size", 1, "bytes, at most 2^24", "delegation: code"),
        BusField("delegates", 1, "1: the code stands for that of another account (EIP-7702)", "delegation: its bytes"),
        BusField("address", ADDRESS, "that account, address limbs; 0 where there is none", "delegation: its bytes"),
    ),
    argument="A row looks up hash and size of its code, and all bytes of one that has as many as a delegation.",
)

DELEGATING = Bus(
    index=78,
    name="delegating",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("hash", WORD, "keccak256 of the code, which is not empty", "delegation: code"),
        BusField("delegates", 1, "1: it stands for that of another account (EIP-7702)", "delegation: its bytes"),
    ),
    argument="As delegation; a hash has one code.",
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

CALL_GAS = Bus(
    index=69,
    name="call_gas",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("available", U64, "gas that the caller has left, in limbs", "call_gas: its parts"),
        BusField("requested", WORD, "gas that it asks for, any word", "querier: limbs"),
        BusField("given", U64, "min(requested, available - available // 64) in limbs (EIP-150)", "call_gas"),
    ),
    argument="Every row computes all but one 64th of what is available over the integers, and compares.",
)

CREATE_ADDRESS = Bus(
    index=64,
    name="create_address",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("sender", ADDRESS, "address limbs of who creates", "create_address: hash_word"),
        BusField("nonce", NONCE, "its nonce before, in limbs", "create_address: byte lookups"),
        BusField("address", ADDRESS, "keccak256(rlp([sender, nonce]))[12:] in limbs", "create_address: hash_out"),
    ),
    argument="A row looks up the one encoding of both, its length, and the digest of that.",
)

CREATE2_ADDRESS = Bus(
    index=65,
    name="create2_address",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("sender", ADDRESS, "address limbs of who creates", "querier: limbs"),
        BusField("salt", WORD, "word limbs", "querier: limbs"),
        BusField("initcode_hash", WORD, "keccak256 of the initcode", "querier: limbs"),
        BusField("address", ADDRESS, "keccak256(0xff ++ the others)[12:] in limbs (EIP-1014)", "create2_address"),
    ),
    argument="A row looks up the three words of these 85 bytes, their length, and the digest of them.",
)

INIT_CODE = Bus(
    index=66,
    name="init_code",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("code", 1, "id of the initcode", "init_code: 2^25 + its row number"),
        BusField("kind", 1, "where it is read: 0: a buffer of calldata, 2: memory", "sender: a constant"),
        BusField("id", 1, "the buffer, or the frame whose memory it is", "sender"),
        BusField("start", 1, "first byte there; 0 in a buffer", "sender"),
        BusField("size", 1, "bytes", "sender: at most 49,152, or the buffer's"),
        BusField("time", 1, "when its first 32 bytes are read in memory; the next ones are one unit later", "sender"),
    ),
    argument="A creation sends one message; the first row of the initcode receives the only one that names its number. "
    "On the buses instruction, buffer and buffer_size such ids are apart from those of codes, which are below 2^25.",
)

PRECOMPILE = Bus(
    index=67,
    name="precompile",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "frame: its row number"),
        BusField("number", 1, "of the precompile: its address", "frame: message"),
        BusField("calldata_kind", 1, "0: a buffer, 2: the memory of the caller's frame", "frame: message"),
        BusField("calldata_id", 1, "id of the buffer, or of that frame", "frame: message"),
        BusField("calldata_start", 1, "first byte there", "frame: message"),
        BusField("calldata_size", 1, "bytes", "frame: message"),
        BusField("gas", 1, "gas given without the reserve, below 2^30", "frame: message"),
        BusField("time", 1, "FRAME_BEGIN after the beginning of the frame", "frame: message"),
    ),
    argument="A frame that calls a precompile sends one message; the table of the precompile receives it and sends the "
    "frame's halt instead of its code.",
)
