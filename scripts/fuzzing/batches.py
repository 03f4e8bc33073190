"""Batch files: valid ones of every kind, and what becomes of damaged ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import rlp
from eth_hash.auto import keccak
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import BaseModel

from executor.batch import (
    MAX_ANCESTORS,
    Batch,
    Block,
    BlockContext,
    Genesis,
    GenesisAccount,
    Withdrawal,
    Witness,
    parse_batch,
)
from executor.errors import BatchError, LimitExceeded, UnsupportedFeature
from executor.execute import execute
from executor.forks import BEACON_ROOTS_ADDRESS, CANCUN, OSAKA, PRAGUE, Schedule
from executor.limits import Limits
from executor.transactions import Transaction
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, PROGRAMS
from scripts.fuzzing.target import Target, run_command, scratch_file
from scripts.fuzzing.trees import (
    Embedded,
    Member,
    Object,
    Tree,
    damaged,
    embedded,
    from_json,
    json_leaves,
    rlp_leaves,
    spoiled,
    to_json,
)
from scripts.fuzzing.tries import STATE_ROOT, damaged_states, nibbles, trie_tree, unlinked

#: Batches with all fields and all types of transactions between them.
NAMES = ("calls", "creations", "blobs", "withdrawals", "ancestors", "nothing")

#: Executing an accepted batch is stopped after this many seconds.
LIMITS = Limits(seconds=0.5, memory=100 << 20)


def _model(value: BaseModel) -> Object:
    return Object(
        Member([name, _value(item)]) for name, item in value.model_dump(by_alias=True, exclude_none=True).items()
    )


def _value(value: Any) -> Tree:
    if isinstance(value, dict):
        return Object(Member([str(name), _value(item)]) for name, item in value.items())
    return [_value(item) for item in value] if isinstance(value, list | tuple) else value


def batch_tree(batch: Batch) -> Object:
    """The document of a batch; data are byte strings and RLP is a tree."""
    blocks = []
    for block in batch.blocks:
        transactions = [embedded(transaction.raw) for transaction in block.transactions]
        rest = {"transactions": transactions} | ({"header": embedded(block.header)} if block.header else {})
        blocks.append(Object([*_model(block.context), *_members(rest)]))
    first, *later = batch.schedule.forks
    fork = first.name if not later else {first.name: 0, **{fork.name: time for time, fork in batch.schedule.later}}
    document: dict[str, Tree] = {"format": "zkevm-batch/1", "chainId": batch.chain_id, "fork": _value(fork)}
    if batch.genesis is not None:
        document["genesis"] = _model(batch.genesis)
    if batch.parent_header is not None:
        document["parent"] = embedded(batch.parent_header)
    if batch.witness is not None:
        nodes = [embedded(node) for node in batch.witness.nodes]
        document["witness"] = Object(_members({"nodes": nodes, "codes": list(batch.witness.codes)}))
    headers = [embedded(header) for header in batch.ancestor_headers]
    ancestors = {"ancestorHashes": list(batch.ancestor_hashes), "ancestorHeaders": headers}
    return Object(_members(document | {name: value for name, value in ancestors.items() if value} | {"blocks": blocks}))


def _members(values: dict[str, Tree]) -> list[Member]:
    return [Member(item) for item in values.items()]


@cache
def _documents() -> list[Tree]:
    """Batches to be signed, signed ones with the headers they give, and ones with a witness."""
    documents = []
    for name in NAMES:
        building = PROGRAMS[name]()
        executed = building.execute()
        blocks = tuple(
            Block(block.context, block.transactions, header)
            for block, (header, _) in zip(executed.batch.blocks, executed.blocks, strict=True)
        )
        genesis, witness = executed.batch, executed.with_witness()
        documents.append(from_json(building.document))
        documents += [batch_tree(replace(batch, blocks=blocks)) for batch in (genesis, witness)]
    return documents


def _leaves(old: Tree) -> SearchStrategy[Tree]:
    """Of JSON, or of the RLP in it."""
    return json_leaves(old) | rlp_leaves(old) if isinstance(old, bytes | Embedded) else json_leaves(old)


def damaged_batches() -> SearchStrategy[bytes]:
    """Documents with changed members."""
    return st.sampled_from(_documents()).flatmap(lambda tree: damaged(tree, _leaves)).map(to_json)


@st.composite
def batches_of_damaged_tries(draw: DrawFn) -> bytes:
    """Documents whose witness has changed nodes, or is one of nonsense around the paths of accounts."""
    batch = draw(st.sampled_from(_witnessed()))
    assert batch.witness is not None
    parent = rlp.decode(batch.parent_header)
    paths = st.sampled_from([*Builder.WALLETS, CONTRACT, OTHER, Builder.COINBASE, BEACON_ROOTS_ADDRESS]).map(nibbles)
    found: set[bytes] = set()
    state = trie_tree(parent[STATE_ROOT], {keccak(node): node for node in batch.witness.nodes})
    parent[STATE_ROOT] = unlinked(draw(damaged_states(state, paths)), found)
    witness = replace(batch.witness, nodes=tuple(sorted(found)))
    return to_json(batch_tree(replace(batch, parent_header=rlp.encode(parent), witness=witness)))


@cache
def _witnessed() -> list[Batch]:
    return [PROGRAMS[name]().execute().with_witness() for name in (*NAMES, "storage", "beacon root", "destruction")]


def spoiled_batches() -> SearchStrategy[bytes]:
    """Documents with changed bytes, in other encodings, or packed."""
    texts = st.sampled_from(_documents()).map(to_json)
    return texts.flatmap(spoiled) | texts.flatmap(disguised)


def disguised(content: bytes) -> SearchStrategy[bytes]:
    """Text in other encodings, with a mark in front, or packed."""
    text = content.decode()
    return st.sampled_from(
        [
            *(text.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7")),
            *(module.compress(content) for module in (gzip, lzma, bz2, zlib)),
            b"\0" + content,
            content + b"\0",
            content * 2,
            b" " * 100_000 + content,
            content.replace(b"0x", b"0X"),
            content.replace(b" ", b"\xc2\xa0"),
        ]
    )


def check_reading(content: bytes) -> None:
    """A batch is read or refused."""
    with suppress(BatchError):
        parse_batch(content)


def check_execution(content: bytes) -> None:
    """A batch is refused, or it is executed or stopped."""
    with suppress(BatchError, LimitExceeded, UnsupportedFeature):
        execute(parse_batch(content), limits=LIMITS)


def check_command(content: bytes) -> None:
    """`zkevm execute` ends with a documented status."""
    with scratch_file(content, ".json") as file:
        run_command("execute", str(file), "--seconds", "0.5", "--memory", "100")


# -- valid batches


@st.composite
def batches(draw: DrawFn) -> Batch:
    """Valid batches of which nothing but the encoding need make sense."""
    u64, u256 = st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1)
    data, word, address = (
        st.binary(max_size=70),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=20, max_size=20),
    )
    withdrawal = st.builds(Withdrawal.model_construct, index=u64, validator_index=u64, address=address, amount=u64)
    context = st.builds(
        BlockContext.model_construct,
        coinbase=address,
        timestamp=u64,
        gas_limit=u64,
        base_fee_per_gas=st.none() | u256,
        prev_randao=word,
        parent_beacon_block_root=word,
        extra_data=data,
        withdrawals=st.lists(withdrawal, max_size=3).map(tuple),
    )
    block = st.builds(
        Block, context, st.lists(st.sampled_from(_signed()), max_size=3).map(tuple), st.none() | st.just(_header())
    )
    account = st.builds(
        GenesisAccount.model_construct,
        balance=u256,
        nonce=u64,
        code=data,
        storage=st.dictionaries(u256, u256, max_size=3),
    )
    genesis = st.builds(
        Genesis.model_construct,
        alloc=st.dictionaries(address.map(lambda value: "0x" + value.hex()), account, max_size=3),
        gas_limit=u64,
        number=u64,
        timestamp=u64,
        extra_data=data,
        mix_hash=word,
        coinbase=address,
        gas_used=u64,
        parent_hash=word,
        base_fee_per_gas=u256,
        blob_gas_used=u64,
        excess_blob_gas=u64,
        parent_beacon_block_root=word,
    )
    ancestors = tuple(draw(st.lists(word, max_size=3) | word.map(lambda value: [value] * MAX_ANCESTORS)))
    headers = () if ancestors else tuple(draw(st.lists(st.just(_header()) | data, max_size=3)))
    nodes = st.just(_header()) | st.just(b"\xc0")
    has_genesis = draw(st.booleans())
    return Batch(
        chain_id=draw(st.integers(1, 2**256 - 1)),
        schedule=draw(st.sampled_from((Schedule(CANCUN), Schedule(PRAGUE), Schedule(CANCUN, ((1_000, OSAKA),))))),
        genesis=draw(genesis) if has_genesis else None,
        blocks=tuple(draw(st.lists(block, max_size=3))),
        parent_header=_header() if not has_genesis or draw(st.booleans()) else None,
        witness=None
        if has_genesis
        else Witness(
            tuple(draw(st.lists(nodes, max_size=3))), tuple(draw(st.lists(data, max_size=2))), ancestors, headers
        ),
        ancestor_hashes=ancestors,
        ancestor_headers=headers,
    )


@cache
def _signed() -> list[Transaction]:
    read: Iterable[Batch] = (PROGRAMS[name]().read() for name in NAMES)
    return [transaction for batch in read for block in batch.blocks for transaction in block.transactions]


@cache
def _header() -> bytes:
    header: bytes = PROGRAMS["nothing"]().execute().parent_header
    return header


TARGETS = (
    Target("batch: damaged members", damaged_batches, check_reading, examples=40),
    Target("batch: damaged bytes", spoiled_batches, check_reading, examples=40),
    Target("batch: damaged members, executed", damaged_batches, check_execution, seconds=2.0, examples=12),
    Target("batch: damaged tries, executed", batches_of_damaged_tries, check_execution, seconds=2.0, examples=12),
    Target("batch: damaged members, by command", damaged_batches, check_command, seconds=2.0, examples=6),
)
