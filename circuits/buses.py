"""All buses between the tables of a segment: every layout once, with ranges and who pins each field.

Names used throughout: an *operation* is what a batch does in order (the beacon-root write of a block, a transaction, a
withdrawal), numbered through the batch; the *scope* of a block is the number of its first operation; *time* orders
everything within a segment and stays below 2^29.
"""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind

DIGEST = 8
WORD = 16
ADDRESS = 10
NONCE = 4
U64 = 4

#: Keccak-f: a 64-bit lane travels as chunks of 24, 24 and 16 bits, as few elements as whole bytes allow.
LANES = 25
CHUNKS = 3
CHUNK_BITS = (24, 24, 16)

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
        BusField("operation", 1, "number of the next operation in the batch, below 2^24", "sender"),
        BusField("time", 1, "time at which it begins", "sender"),
        BusField("operations", DIGEST, "running hash of the operations so far", "sender"),
        BusField("receipts", DIGEST, "running hash of logs and receipts so far", "sender"),
    ),
    argument="One token per segment: the segment table sends the first state and receives the last one. Each "
    "operation receives a state and sends its successor with operation + 1, so the rows form one path from first to "
    "last; a cycle beside it would need as many rows as the field has elements.",
)

TREE = Bus(
    index=3,
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

ACCOUNT_STATE = Bus(
    index=5,
    name="account_state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("leaf", 1, "index of the account's leaf in the access tree", "account_leaf: its tree path"),
        BusField("address", ADDRESS, "address limbs", "account_leaf: its leaf digest"),
        BusField("balance", WORD, "word limbs", "sender; the first: the leaf digest"),
        BusField("nonce", NONCE, "u64 limbs", "sender; the first: the leaf digest"),
        BusField("code_hash", WORD, "word limbs", "the leaf digest"),
        BusField("scope", 1, "1 + scope of the block that left this; 0 at the segment's start", "sender"),
    ),
    argument="An account has one leaf and so one first token. Every `account` row receives a token of a smaller scope "
    "and sends one of its own, so an account has at most one row per block and the rows form one chain.",
)

STORAGE_STATE = Bus(
    index=6,
    name="storage_state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("leaf", 1, "index of the slot's leaf in the access tree", "storage_leaf: its tree path"),
        BusField("kind", 1, "leaf kind: storage or transient storage", "storage_leaf: its leaf digest"),
        BusField("address", ADDRESS, "address limbs", "storage_leaf: its leaf digest"),
        BusField("slot", WORD, "word limbs", "storage_leaf: its leaf digest"),
        BusField("value", WORD, "word limbs", "sender; the first: the leaf digest"),
        BusField("scope", 1, "1 + number of the operation that left this; 0 at the segment's start", "sender"),
    ),
    argument="As account_state, with operations for blocks: a slot has at most one `storage` row per operation.",
)

ACCOUNT = Bus(
    index=7,
    name="account",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("scope", 1, "scope of the block", "account: account_state"),
        BusField("address", ADDRESS, "address limbs", "account: account_state"),
        BusField("balance", WORD, "word limbs", "sender"),
        BusField("nonce", NONCE, "u64 limbs", "sender"),
        BusField("code_hash", WORD, "word limbs", "account: account_state"),
        BusField("warm", 1, "1 + number of the last operation that touched the address; 0: none", "sender"),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="The account row of a block sends the first token and receives the last. Every access receives an earlier "
    "token and sends one of its own time, so the tokens form one chain in time order.",
)

STORAGE = Bus(
    index=8,
    name="storage",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("kind", 1, "leaf kind: storage or transient storage", "storage: storage_state"),
        BusField("operation", 1, "number of the operation", "storage: storage_state"),
        BusField("address", ADDRESS, "address limbs", "storage: storage_state"),
        BusField("slot", WORD, "word limbs", "storage: storage_state"),
        BusField("value", WORD, "word limbs", "sender"),
        BusField("warm", 1, "1: the operation has touched the slot", "sender"),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="As account: one chain of accesses for each operation and slot, from the storage row and back to it.",
)

ORIGINAL = Bus(
    index=9,
    name="original",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("operation", 1, "number of the operation", "storage: storage_state"),
        BusField("address", ADDRESS, "address limbs", "storage: storage_state"),
        BusField("slot", WORD, "word limbs", "storage: storage_state"),
        BusField("value", WORD, "value before the operation (EIP-2200)", "storage: storage_state"),
    ),
    argument="A storage slot has one row per operation, and the row provides the value it was opened with.",
)

STATUS = Bus(
    index=10,
    name="status",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("operation", 1, "number of the operation", "its table: chain"),
        BusField("status", 1, "1: what the operation wrote to storage stays", "transaction: the result; others: 1"),
    ),
    argument="The chain has one row for each operation number, and that row provides its status.",
)

WRITES = Bus(
    index=11,
    name="writes",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("count", 1, "writes so far", "sender"),
        BusField("writes", DIGEST, "running hash of the writes", "sender: poseidon2"),
    ),
    argument="As chain: one path from the segment table back to it, in any order of the prover's choice; the verifier "
    "orders writes by their scopes, of which every key has each at most once in a segment.",
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

REFUND = Bus(
    index=13,
    name="refund",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the transaction", "transaction"),
        BusField("refund", 1, "refund counter in gas (EIP-3529)", "sender"),
        BusField("time", 1, "time of the last change", "sender"),
    ),
    argument="As receipts: one chain per transaction in the order of time.",
)

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

KECCAK_F = Bus(
    index=16,
    name="keccak_f",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField(
            "id", 1, "name of the permutation, never used twice by the table that sends round 0", "keccak: its row"
        ),
        BusField("round", 1, "rounds done so far, 0..24", "keccak_f: one-hot flags; keccak: constants 0 and 24"),
        BusField("state", LANES * CHUNKS, "lane x + 5 y in chunks of 24, 24, 16 bits", "keccak_f: bits on both ends"),
    ),
    argument="A keccak_f row turns (id, r, state) into (id, r + 1, round(r, state)). Only the sponge sends round 0, "
    "once per id, and only it receives round 24: the rows of an id form one chain from its input to its output.",
)

KECCAK_WORD = Bus(
    index=17,
    name="keccak_word",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("id", 1, "name of a hashed input", "keccak: row of its first block"),
        BusField("index", 1, "which 32 bytes of the input", "keccak: its row and phase"),
        BusField(
            "word", WORD, "these bytes as a big-endian 256-bit word, zeros behind the end", "keccak: byte lookups"
        ),
    ),
    argument="Ids are row numbers of first blocks, so no two inputs share one. Each row provides the words that begin "
    "in its block; their bytes are those which the sponge absorbs.",
)

KECCAK_OUT = Bus(
    index=18,
    name="keccak_out",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("id", 1, "name of a hashed input", "keccak: row of its first block"),
        BusField("length", 1, "bytes of the input", "keccak: blocks before the last and the place of the padding"),
        BusField("digest", WORD, "Keccak-256 of the input as a big-endian word", "keccak_f bus and byte lookups"),
    ),
    argument="Only the last block of an input provides its digest, and every input has exactly one last block.",
)

BITWISE_BYTES = Bus(
    index=19,
    name="bitwise_bytes",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("a", 1, "a byte", "bitwise_bytes: its bits"),
        BusField("b", 1, "a byte", "bitwise_bytes: its bits"),
        BusField("xor", 1, "a ^ b, a byte", "bitwise_bytes: its bits"),
    ),
    argument="Every provided triple is built from constrained bits. a & b and a | b need no fields of their own: "
    "a + b = (a ^ b) + 2 (a & b) and a | b = (a ^ b) + (a & b) over the integers.",
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
        BusField("gas", 1, "gas left without the frame's reserve", "sender; see circuits.step"),
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
        BusField("ending", 1, "how the frame ends: a value of `circuits.step.Ending`", "sender: its instruction"),
        BusField("gas", 1, "gas left, in [0, 2^30); 0 after an exceptional halt", "sender: range check"),
        BusField("time", 1, "time after the last step", "sender"),
    ),
    argument="The last step of a frame sends it and the frame row receives it.",
)

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

CODE_LEAF = Bus(
    index=29,
    name="code_leaf",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("hash", WORD, "keccak256 of the code", "code_leaf: its tree path"),
        BusField("digest", DIGEST, "digest of bytes and starts", "code_leaf: its tree path"),
        BusField("size", 1, "bytes of the code", "code_leaf: its tree path"),
    ),
    argument="The row is a leaf of the access tree that does not change.",
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

COPY = Bus(
    index=37,
    name="copy",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "sender"),
        BusField("read_time", 1, "time of the next read", "sender"),
        BusField("write_time", 1, "time of the next write", "sender"),
        BusField("source", 1, "0: calldata, 1: code, 2: memory", "sender"),
        BusField("id", 1, "id of the calldata buffer or code; 0 for memory", "sender"),
        BusField("from", 1, "next byte of the source", "sender"),
        BusField("to", 1, "next byte of the memory", "sender"),
        BusField("left", 1, "bytes left, at least 1", "sender"),
    ),
    argument="An instruction sends one token; a copy row moves up to 32 bytes and sends the rest unless none is left.",
)

KECCAK_READ = Bus(
    index=38,
    name="keccak_read",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "sender"),
        BusField("time", 1, "time of the next read", "sender"),
        BusField("id", 1, "name of the hashed input", "sender"),
        BusField("index", 1, "which word of the input is next", "sender"),
        BusField("offset", 1, "next byte of the memory", "sender"),
        BusField("left", 1, "bytes left, at least 1", "sender"),
    ),
    argument="As copy: KECCAK256 sends one token and the rows read all words of the input.",
)

LOG_READ = Bus(
    index=39,
    name="log_read",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("frame", 1, "id of the frame", "sender"),
        BusField("time", 1, "time of the next read", "sender"),
        BusField("offset", 1, "next byte of the memory", "sender"),
        BusField("left", 1, "bytes left; 0 for the end, which the log receives", "sender"),
        BusField("digest", DIGEST, "running hash of the words so far", "sender: poseidon2"),
    ),
    argument="As copy; the last row sends the token with 0 bytes left back to the log at the time the log ends.",
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

BLOCK_HASH = Bus(
    index=41,
    name="block_hash",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("number", WORD, "number of the block", "hash_leaf: its tree path"),
        BusField("hash", WORD, "word limbs", "hash_leaf: its tree path"),
    ),
    argument="The row is a leaf of the access tree that does not change.",
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

MULTIPLY = Bus(
    index=50,
    name="multiply",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("a", WORD, "first factor, word limbs", "multiply: byte lookups"),
        BusField("b", WORD, "second factor, word limbs", "multiply: byte lookups"),
        BusField("low", WORD, "a * b modulo 2^256", "multiply: its constraints and range checks"),
        BusField("high", WORD, "a * b // 2^256; 0 where whole is 0", "multiply: its constraints and range checks"),
        BusField("whole", 1, "1: high counts, 0: it is left out", "multiply: boolean or a constant"),
    ),
    argument="Every row of the three tables that provide it computes the product of its bytes: with whole = 1 all of "
    "it, with whole = 0 its low word.",
)

POWER = Bus(
    index=51,
    name="power",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("base", WORD, "word limbs", "querier"),
        BusField("exponent", WORD, "word limbs, not zero", "querier"),
        BusField("power", WORD, "base ** exponent modulo 2^256", "power: multiply"),
    ),
    argument="The last row of a power provides it; the rows up to it have taken the bits of the exponent, all of them.",
)
