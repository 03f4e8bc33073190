"""Proof files: damaged ones, and ones that fit together around what is damaged, so that later checks come to see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import accumulate, pairwise
from typing import TypeVar

import rlp
from eth_hash.auto import keccak
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from circuits.air.field import MODULUS
from circuits.batch.leaves import LeafKind
from circuits.statement import Form
from scripts.batches.chain import (
    CONTRACT,
    NEWCOMER,
    NO_ADDRESS,
    OTHER,
    SENDERS,
    Chain,
    Transfer,
    Withdrawn,
    bloom,
    child_header,
    crossing_chain,
    encode_header,
    encode_receipts,
    list_root,
    sample_chain,
    sealed,
)
from scripts.fuzzing.target import Target, run_command, scratch_file
from scripts.fuzzing.trees import Embedded, Raw, Tree, damaged, embedded, rlp_leaves, spoiled, to_rlp
from scripts.fuzzing.tries import STATE_ROOT, damaged_states, nibbles, trie_tree, unlinked
from verifier.container import (
    MAGIC,
    MAX_TABLES,
    STATED_VALUES,
    VERSION,
    BatchRecord,
    BlockRecord,
    Claim,
    CodeWrites,
    LogRecord,
    ProofFile,
    ReceiptRecord,
    SegmentRecord,
    Writes,
    decode_proof,
    encode_proof,
)
from verifier.errors import Invalid, Rejected, UnusableInput
from verifier.forks import CANCUN, GAS_PER_BLOB, Fork, Schedule
from verifier.headers import Header, ancestor_hashes, decode_header
from verifier.operations import BlockContents, operations_of
from verifier.requests import DEPOSIT_TYPE, deposits_of, requests_hash
from verifier.room import COUNTED_TABLES
from verifier.segments import check_plan, check_writes, ordered_code_writes, ordered_writes
from verifier.sizes import MAX_LOG_HEIGHT
from verifier.state import BatchState
from verifier.statement import BatchStatement, lists_commitment
from verifier.system_contracts import written_contracts
from verifier.transactions import Transaction, decode_transaction
from verifier.tries import Account, StateTrie
from verifier.verify import check_contents, verify
from verifier.withdrawals import Withdrawal, decode_withdrawal

START = MAGIC + bytes([VERSION])

PARENT, ANCESTORS, BLOCKS, KEYS, NODES, SEGMENTS = 1, 2, 3, 4, 6, 8  # places in the list of a proof file
WRITES = 4  # place in a segment

#: Rows of a segment whose tables have room for all that these files list.
ANY_ROWS = dict.fromkeys(COUNTED_TABLES, 1 << MAX_LOG_HEIGHT)

T = TypeVar("T")


@cache
def _small_chain() -> Chain:
    """One block with one transaction that writes slots and one withdrawal, and hashes of blocks before its parent:
    quickly judged.
    """
    accounts = {address: Account(nonce=7, balance=10**19) for address in SENDERS} | {CONTRACT: Account(nonce=1)}
    slots = {CONTRACT: {slot: 1000 + slot for slot in range(6)}, OTHER: {5: 2**255}}
    chain = Chain(accounts, slots, ancestors=2, number=300)
    for number in (297, 299):
        chain.show_block_hash(number)
    writes = ((CONTRACT, 3, 0), (CONTRACT, 99, 5), (CONTRACT, 4, 7), (OTHER, 5, 0))
    chain.block(
        Transfer(0, CONTRACT, execution_gas=30_000, storage=writes),
        withdrawals=[Withdrawn(NEWCOMER, 3), Withdrawn(SENDERS[1], 1)],
    )
    return chain


@cache
def _trees() -> list[Tree]:
    files = (sample_chain().file(4), _small_chain().file(1), crossing_chain().file(2, 7, 16), Chain().file())
    return [proof_tree(file) for file in files]


def proof_tree(file: ProofFile) -> Tree:
    """The list of a proof file, in which all RLP, records and tries are trees, too."""
    body = rlp.decode(encode_proof(file)[len(START) :])
    nodes = {keccak(node): node for node in body[NODES]}
    parent = embedded(body[PARENT])
    parent[-1][STATE_ROOT] = trie_tree(parent[-1][STATE_ROOT], nodes)
    body[PARENT], body[NODES] = parent, []
    body[ANCESTORS] = [embedded(header) for header in body[ANCESTORS]]
    body[BLOCKS] = [
        [embedded(header), *([embedded(raw) for raw in items] for items in lists), outputs]
        for header, *lists, outputs in body[BLOCKS]
    ]
    body[KEYS] = _records(body[KEYS], 1, 20, 32)
    for segment in body[SEGMENTS]:
        segment[WRITES] = _records(segment[WRITES], 4, 4, 32, 8)
    return body


def _records(data: bytes, *sizes: int) -> Embedded:
    """Records of fields of these sizes."""
    bounds = list(pairwise(accumulate(sizes, initial=0)))
    starts = range(0, len(data), sum(sizes))
    return Embedded(Embedded(data[start + first : start + end] for first, end in bounds) for start in starts)


def proof_bytes(tree: Tree) -> bytes:
    """The proof file of a tree; the nodes of its tries become the witness."""
    found: set[bytes] = set()
    body = unlinked(tree, found)
    if isinstance(body, list) and len(body) > NODES and isinstance(body[NODES], list):
        extra = [node for node in body[NODES] if isinstance(node, bytes) and not isinstance(node, Raw)]
        body[NODES] = sorted(found.union(extra)) + [node for node in body[NODES] if node not in extra]
    return START + to_rlp(body)


# -- what fits together


def fitted(content: bytes, effort: int) -> bytes:
    """A proof file that is made to fit what it holds, as far as it can be decoded.

    Args:
        effort: 0 for a file as it is; 1 for headers that follow each other, commit to all contents and give the
            statement; 2 for leaves in order, too; 3 for segments that cover all operations and state roots that follow
            from their writes.
    """
    try:
        return encode_proof(_fitted(decode_proof(content), effort)) if effort else content
    except (Invalid, UnusableInput):
        return content


def _fitted(file: ProofFile, effort: int) -> ProofFile:
    parent = decode_header(file.parent_header)
    total = sum(len(record.transactions) for record in file.blocks)
    receipts = (*file.receipts, *[ReceiptRecord(1, 21_000)] * total)[:total]
    file = replace(file, receipts=receipts)
    schedule = _schedule(file)
    file, headers = _headers(file, parent, schedule)
    forks = [schedule.at(header.timestamp) for header in headers]
    try:
        known = ancestor_hashes(parent, file.ancestors)
    except Invalid:
        file, known = replace(file, ancestors=()), ancestor_hashes(parent, ())
    if effort > 1:
        file = _with_leaves(file, {header.number for header in (parent, *headers)}.union(known))
    if effort > 2:
        # Whatever goes wrong here goes wrong in the verifier, too, which is to be seen there.
        with suppress(Exception):
            file, roots = _with_segments(file, parent, headers, forks)
            headers = _linked_headers(parent, headers, roots)
    records = tuple(
        replace(record, header=encode_header(header)) for record, header in zip(file.blocks, headers, strict=True)
    )
    first, last = (headers[0], headers[-1]) if headers else (parent, parent)
    statement = BatchStatement(
        chain_id=file.statement.chain_id,
        fork=schedule.of_blocks([header.timestamp for header in headers]),
        pre_state_root=parent.state_root,
        post_state_root=last.state_root,
        first_block_number=first.number,
        first_block_hash=first.hash,
        last_block_number=last.number,
        last_block_hash=last.hash,
        transactions_commitment=lists_commitment([record.transactions for record in records]),
        receipts_commitment=lists_commitment(list(_encoded_receipts(file))),
        gas_used=sum(header.gas_used for header in headers),
    )
    return replace(file, blocks=records, statement=statement)


def _encoded_receipts(file: ProofFile) -> list[list[bytes]]:
    lists, receipts = [], iter(file.receipts)
    for record in file.blocks:
        kinds = [raw[0] if b"" < raw[:1] < b"\x80" else 0 for raw in record.transactions]
        lists.append(encode_receipts(kinds, [next(receipts) for _ in kinds]))
    return lists


def _schedule(file: ProofFile) -> Schedule:
    """What the statement says of forks, if it says anything that can be understood."""
    try:
        return Schedule.parse(file.statement.fork)
    except Invalid:
        return Schedule(CANCUN)


def _requests_hash(receipts: Sequence[ReceiptRecord], outputs: Sequence[bytes], fork: Fork) -> bytes | None:
    if fork.deposit_contract is None:
        return None
    deposits = b""
    with suppress(Invalid):
        deposits = deposits_of((log for receipt in receipts for log in receipt.logs), fork.deposit_contract)
    typed = zip(fork.request_contracts, outputs, strict=True)
    return requests_hash([DEPOSIT_TYPE + deposits, *(bytes([c.request_type]) + output for c, output in typed)])


def _headers(file: ProofFile, parent: Header, schedule: Schedule) -> tuple[ProofFile, list[Header]]:
    """The file with as many outputs of system calls as its forks have, and headers that commit to all contents."""
    headers: list[Header] = []
    records: list[BlockRecord] = []
    receipts = iter(file.receipts)
    for record, encoded in zip(file.blocks, _encoded_receipts(file), strict=True):
        own = [next(receipts) for _ in record.transactions]
        claimed = decode_header(record.header)
        before = headers[-1] if headers else parent
        timestamp = max(claimed.timestamp, before.timestamp + 1)
        fork = schedule.at(timestamp)
        calls = len(fork.request_contracts)
        record = replace(record, outputs=(*record.outputs, *[b""] * calls)[:calls])
        header = child_header(
            before,
            fork,
            coinbase=claimed.coinbase,
            prev_randao=claimed.prev_randao,
            extra_data=claimed.extra_data,
            parent_beacon_root=claimed.parent_beacon_root,
            timestamp=timestamp,
            transactions_root=list_root(record.transactions),
            receipts_root=list_root(encoded),
            withdrawals_root=list_root(record.withdrawals),
            logs_bloom=bloom(log for receipt in own for log in receipt.logs),
            gas_used=sum(receipt.gas_used for receipt in own),
            blob_gas_used=GAS_PER_BLOB * sum(map(_blobs, _decoded(record, file.statement.chain_id, fork))),
            requests_hash=_requests_hash(own, record.outputs, fork),
        )
        headers.append(header)
        records.append(record)
    return replace(file, blocks=tuple(records)), headers


def _blobs(transaction: Transaction) -> int:
    return len(transaction.blob_hashes)


def _decoded(record: BlockRecord, chain_id: int, fork: Fork) -> list[Transaction]:
    """The transactions that are such."""
    transactions = []
    for raw in record.transactions:
        with suppress(Invalid):
            transactions.append(decode_transaction(raw, chain_id, fork))
    return transactions


def _with_leaves(file: ProofFile, numbers: set[int]) -> ProofFile:
    codes = {keccak(code): code for code in file.codes if code}
    keys = {(int(LeafKind.CODE), NO_ADDRESS, int.from_bytes(code_hash, "big")) for code_hash in codes}
    for kind, address, slot in file.state_keys:
        match kind:
            case LeafKind.ACCOUNT:
                keys.add((kind, address, 0))
            case LeafKind.STORAGE | LeafKind.TRANSIENT:
                keys.add((kind, address, slot))
            case LeafKind.BLOCK_HASH if slot in numbers:
                keys.add((kind, NO_ADDRESS, slot))
    return replace(file, state_keys=tuple(sorted(keys)), codes=tuple(codes[code_hash] for code_hash in sorted(codes)))


def _with_segments(
    file: ProofFile, parent: Header, headers: list[Header], forks: list[Fork]
) -> tuple[ProofFile, list[bytes]]:
    """The file with other bounds of segments, and without writes where they cannot be; and the state roots."""
    trie = StateTrie(parent.state_root, file.state_nodes)
    written = written_contracts(trie, forks)
    hashes = {header.number: header.hash for header in (parent, *headers)}
    state = BatchState(trie, file.state_keys, file.codes, hashes)
    contents = [
        BlockContents(header, _decoded(record, file.statement.chain_id, fork), _paid(record), record.outputs, fork)
        for header, record, fork in zip(headers, file.blocks, forks, strict=True)
    ]
    operations = operations_of(contents, file.statement.chain_id, written)
    segments: list[SegmentRecord] = []
    for number, segment in enumerate(file.segments):
        first, last = segments[-1].end if segments else 0, number + 1 == len(file.segments)
        end = len(operations) if last else min(max(segment.end, first + 1), len(operations))
        if first < end:
            segments.append(replace(segment, first=first, end=end))
    check_plan(segments, len(operations))
    try:
        check_writes(segments, operations, state)
    except Invalid:
        none, no_codes = Writes.from_bytes(b""), CodeWrites.from_bytes(b"")
        segments = [replace(segment, writes=none, code_writes=no_codes) for segment in segments]
    writes, codes = ordered_writes(segments), ordered_code_writes(segments)
    roots = []
    for scope, end in pairwise(operations.scopes):
        own, coded = ((scope <= w.scope) & (w.scope < end) for w in (writes, codes))
        values = (writes.leaf[own], writes.value[own], writes.nonce[own])
        roots.append(state.write(*values, codes.leaf[coded], codes.code_hash[coded]))
    return replace(file, segments=tuple(segments)), roots


def _paid(record: BlockRecord) -> list[Withdrawal]:
    return [decode_withdrawal(data) for data in record.withdrawals]


def _linked_headers(parent: Header, headers: Sequence[Header], roots: Sequence[bytes]) -> list[Header]:
    result = [parent]
    for header, root in zip(headers, roots, strict=True):
        result.append(sealed(replace(header, parent_hash=result[-1].hash, state_root=root)))
    return result[1:]


# -- inputs


@st.composite
def damaged_proofs(draw: DrawFn) -> bytes:
    """Proof files with changed items, most of them made to fit."""
    tree = draw(damaged(draw(st.sampled_from(_trees())), rlp_leaves))
    return fitted(proof_bytes(tree), draw(st.sampled_from([3, 3, 2, 1, 0])))


def spoiled_proofs() -> SearchStrategy[bytes]:
    """Proof files with changed bytes."""
    return st.sampled_from(_trees()).map(proof_bytes).flatmap(spoiled)


@st.composite
def proofs_of_damaged_tries(draw: DrawFn) -> bytes:
    """Proof files whose pre-state has changed nodes, or is one of nonsense around the paths to its leaves."""
    tree = list(draw(st.sampled_from(_trees()[:2])))
    parent = tree[PARENT][-1]
    paths = st.sampled_from([nibbles(key[1]) for key in tree[KEYS]])
    root = draw(damaged_states(parent[STATE_ROOT], paths))
    tree[PARENT] = Embedded([[*parent[:STATE_ROOT], root, *parent[STATE_ROOT + 1 :]]])
    return fitted(proof_bytes(tree), 3)


# -- valid proof files


@st.composite
def proof_files(draw: DrawFn) -> ProofFile:
    """Proof files, of one batch or of several under one proof, of which nothing but the encoding need make sense."""
    u64, word, data = st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.binary(max_size=70)
    address = st.binary(min_size=20, max_size=20)
    statement = st.builds(
        BatchStatement,
        chain_id=u64,
        fork=st.text(st.characters(max_codepoint=127), max_size=32),
        pre_state_root=word,
        post_state_root=word,
        first_block_number=u64,
        first_block_hash=word,
        last_block_number=u64,
        last_block_hash=word,
        transactions_commitment=word,
        receipts_commitment=word,
        gas_used=u64,
    )
    several = st.lists(data, max_size=3).map(tuple)
    block = st.builds(BlockRecord, data, several, st.lists(st.binary(max_size=64), max_size=3).map(tuple), several)
    log = st.builds(LogRecord, address, st.lists(word, max_size=4).map(tuple), data)
    receipt = st.builds(ReceiptRecord, st.integers(0, 1), u64, st.lists(log, max_size=3).map(tuple))
    u32 = st.integers(0, 2**32 - 1)
    writes = st.lists(st.binary(min_size=48, max_size=48), max_size=3).map(b"".join).map(Writes.from_bytes)
    codes = st.lists(st.binary(min_size=40, max_size=40), max_size=3).map(b"".join).map(CodeWrites.from_bytes)
    has_one_proof = draw(st.booleans())
    value = st.integers(0, MODULUS - 1)
    proof = st.just(b"") if has_one_proof else data
    size = sum(STATED_VALUES.values())
    values = st.lists(value, min_size=size, max_size=size).map(tuple)
    claim = st.builds(Claim, st.binary(max_size=MAX_TABLES), values) if has_one_proof else st.none()
    segment = st.builds(
        SegmentRecord,
        u32,
        u32,
        st.integers(0, 255),
        writes,
        proof,
        codes,
        claim=claim,
        form=st.sampled_from(Form),
    )
    key = st.tuples(st.integers(0, 255), address, st.integers(0, 2**256 - 1))
    fields = {
        "blocks": st.lists(block, max_size=3).map(tuple),
        "state_keys": st.lists(key, max_size=3).map(tuple),
        "codes": several,
        "state_nodes": st.sets(data, max_size=3).map(sorted).map(tuple),
        "receipts": st.lists(receipt, max_size=3).map(tuple),
        "segments": st.lists(segment, max_size=3).map(tuple),
    }
    later = st.lists(st.builds(BatchRecord, **fields), max_size=2).map(tuple) if has_one_proof else st.just(())
    joint = st.recursive(st.integers(1, 5), lambda own: st.lists(own, min_size=2, max_size=3).map(tuple), max_leaves=9)
    file = st.builds(
        ProofFile,
        statement=statement,
        parent_header=data,
        one_proof=data if has_one_proof else st.none(),
        joined=later,
        joint=joint if has_one_proof else st.just(1),
        **fields,
    )
    return draw(file)


# -- what must hold


def check_container(content: bytes) -> None:
    """A proof file is refused, or it is the one encoding of what it holds."""
    with suppress(Invalid, UnusableInput):
        assert encode_proof(decode_proof(content)) == content


def check_verifier(content: bytes) -> None:
    """A proof file is refused because a condition does not hold, and not because a check came to no end.

    The proofs of these files are placeholders, behind which the verifier does not look; `check_contents` does.
    """
    report = _ending(lambda: verify(content))
    # What has operations needs a proof, and there is none in any of these files.
    assert report is None or report.segments == 0, "accepted"
    with suppress(Invalid, UnusableInput):
        segments = decode_proof(content).segments
        _ending(lambda: check_contents(content, [ANY_ROWS] * len(segments)))


def _ending(judge: Callable[[], T]) -> T | None:
    """What comes of a file if it is not refused."""
    try:
        return judge()
    except UnusableInput:
        return None
    except Rejected as rejected:
        if rejected.__cause__ is not None and not isinstance(rejected.__cause__, Invalid):
            raise rejected.__cause__ from None
        return None


def check_commands(content: bytes) -> None:
    """`zkevm verify` and `zkevm inspect` end with documented statuses."""
    with scratch_file(content, ".proof") as file:
        run_command("verify", str(file))
        run_command("inspect", str(file))


TARGETS = (
    Target("proof: damaged items", damaged_proofs, check_container, examples=30),
    Target("proof: damaged bytes", spoiled_proofs, check_container, examples=50),
    Target("proof: damaged items, verified", damaged_proofs, check_verifier, examples=20),
    Target("proof: damaged tries, verified", proofs_of_damaged_tries, check_verifier, examples=20),
    Target("proof: damaged items, by command", damaged_proofs, check_commands, examples=8),
)
