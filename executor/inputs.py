"""What may be given as a batch: one or more documents, each recognized by its shape, that make a batch together.

A batch file or a case of a file of public tests is a batch by itself. Otherwise there are documents with blocks (RLP of
blocks one after the other, also as hexadecimal text, and blocks of the JSON-RPC API), and one that tells the state
before the first of them: a genesis file, or execution witnesses. ``docs/inputs.md`` lists the forms.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import rlp

from executor.batch import MAX_FILE_BYTES, Batch, Block, batch_from_document, chain_schedule
from executor.errors import BatchError
from executor.execution_witness import ExecutionWitness, is_execution_witness, read_execution_witness
from executor.fixtures import MAINNET, SEPARATOR, Listed, batch_from_fixture, list_document
from executor.forks import FORKS, Schedule
from executor.genesis_file import chain_id_of, is_genesis, is_state
from executor.json_values import parse_data, parse_json, parse_quantity
from executor.rlp_lists import decode_list, split_lists
from executor.rpc import (
    GET_BLOCK,
    MIN_HEADER_FIELDS,
    NUMBER,
    TIMESTAMP,
    encode_block,
    is_block,
    is_transaction,
    result_of,
)

FORMAT = "zkevm-batch/1"

#: From when on the main network is of a fork (Unix time in seconds).
MAINNET_FORKS = {
    "cancun": 1_710_338_135,
    "prague": 1_746_612_311,
    "osaka": 1_764_798_551,
    "bpo1": 1_765_290_071,
    "bpo2": 1_767_747_671,
}

MAX_DOCUMENTS = 2**16  # in all files together, the items of JSON arrays counted

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK_NESTING = 6  # as executor.blocks.MAX_NESTING

#: A document: the path of its file, its content, or the JSON object that it is.
Document = str | Path | bytes | Mapping[str, Any]
Documents = Document | Sequence[Document]


class InputError(BatchError):
    """The documents that were given make no batch; the message says what is missing and how to supply it."""


class AmbiguousFork(InputError):  # noqa: N818 - nothing is wrong with what was given
    """The headers are as those of several forks."""


class Kind(StrEnum):
    """What a document is, in words."""

    BATCH = "a batch file"
    CASES = "a file of public tests"
    GENESIS = "a genesis file"
    STATE = "accounts of a state"
    WITNESS = "an execution witness"
    BLOCKS = "blocks"
    TRANSACTION = "a transaction"
    HEADER = "a block header"


@dataclass(frozen=True)
class _Document:
    """``value`` is a JSON object; of blocks the RLP of each, of a transaction or a header nothing."""

    kind: Kind
    name: str
    value: Any = None


@dataclass(frozen=True)
class _Outline:
    """A block as far as it must be known before its fork is. ``fields`` counts those of the header."""

    encoded: bytes
    header: bytes
    number: int
    timestamp: int
    fields: int


def read_batch(given: Documents) -> Batch:
    """Read the batch that documents make; the path ``FILE::CASE`` is a case of a file of BlockchainTests.

    Raises:
        BatchError: unreadable, larger than :data:`executor.batch.MAX_FILE_BYTES` together, malformed, or not enough
            for a batch.
    """
    items = [given] if isinstance(given, str | Path | bytes | Mapping) else list(given)
    cases = [str(item) for item in items if isinstance(item, str | Path) and SEPARATOR in str(item)]
    if cases:
        if len(items) > 1:
            raise InputError("a case of a file of public tests is a batch by itself: name nothing beside it")
        file_name, _, case = cases[0].partition(SEPARATOR)
        return batch_from_fixture(Path(file_name), case)
    documents: list[_Document] = []
    left = MAX_FILE_BYTES
    for number, item in enumerate(items):
        if isinstance(item, Mapping):
            documents.append(_json(dict(item), f"document {number}"))
        else:
            name = f"document {number}" if isinstance(item, bytes) else str(item)
            content = _unpacked(item if isinstance(item, bytes) else _read(name, left), name, left)
            left -= len(content)
            documents += _recognized(content, name)
        if len(documents) > MAX_DOCUMENTS:
            raise InputError(f"more than {MAX_DOCUMENTS} documents")
    if not documents:
        raise InputError("no documents")
    return _joined(documents)


def batch_of_file(document: Mapping[str, Any], name: str = "batch") -> Batch:
    """The batch of a batch file's JSON object; ``name`` is for messages. Errors as for :func:`read_batch`."""
    return _of_batch_file({Kind.BATCH: [_Document(Kind.BATCH, name, document)]})


def fork_of(blocks: Sequence[Mapping[str, Any]], chain_id: int) -> str | Mapping[str, int]:
    """The fork of blocks of the JSON-RPC API, or the forks of their chain with their times, as a batch file has it.

    Raises:
        AmbiguousFork: several forks have such headers.
        BatchError: a block is malformed, or they are of several forks.
    """
    outlines = [_outline(encode_block(block, block=index)) for index, block in enumerate(blocks)]
    return _forks_of(outlines, chain_id)


# -- what a document is


def _read(name: str, limit: int) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read the batch file {name}: {error.strerror}") from None


def _unpacked(content: bytes, name: str, limit: int) -> bytes:
    if content.startswith(_GZIP):
        try:
            # The rest of what it unpacks to stays where it is.
            content = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content, limit + 1)
        except zlib.error as error:
            raise InputError(f"{name}: not a gzip file, or damaged: {error}") from None
    if len(content) > limit:
        raise InputError(f"batch file of more than {MAX_FILE_BYTES} bytes")
    return content.removeprefix(_BYTE_ORDER_MARK)


def _recognized(content: bytes, name: str) -> list[_Document]:
    if content[:1] >= b"\xc0":
        return [_binary(content, name)]
    text = content.strip()
    if text[:1].isalnum() and (encoded := _hexadecimal(text)):
        return [_binary(encoded, name)]
    try:
        document = parse_json(content)
    except ValueError as error:
        raise InputError(f"{name}: neither RLP, nor hexadecimal, nor JSON: {error}") from None
    items = document if isinstance(document, list) else [document]
    if not 0 < len(items) <= MAX_DOCUMENTS:
        raise InputError(f"{name}: {len(items)} documents, where there are 1 to {MAX_DOCUMENTS}")
    return [_json(item, name) for item in items]


def _hexadecimal(text: bytes) -> bytes:
    """What lines of hexadecimal digits, each with or without ``0x``, stand for; nothing for anything else."""
    try:
        return parse_data("".join(line.removeprefix("0x") for line in text.decode().split()))
    except ValueError:
        return b""


def _binary(content: bytes, name: str) -> _Document:
    if content[0] < 0x80:
        return _Document(Kind.TRANSACTION, name)
    try:
        encoded = split_lists(content)
        first = decode_list(encoded[0], _BLOCK_NESTING)
    except ValueError as error:
        raise InputError(f"{name}: not the RLP of blocks: {error}") from None
    if first and not isinstance(first[0], list):
        return _Document(Kind.HEADER if len(first) >= MIN_HEADER_FIELDS else Kind.TRANSACTION, name)
    return _Document(Kind.BLOCKS, name, encoded)


def _json(document: Any, name: str) -> _Document:
    document = result_of(document)
    if isinstance(document, str) and (encoded := _hexadecimal(document.encode())):
        return _binary(encoded, name)
    if not isinstance(document, dict):
        raise InputError(f"{name}: not a JSON object")
    for kind, has_its_shape in _SHAPES.items():
        if has_its_shape(document):
            return _Document(kind, name, document)
    for what, members, advice in _FOREIGN:
        if members <= document.keys():
            raise InputError(f"{name}: {what}: {advice}")
    known = ", ".join(kind.value for kind in Kind)
    raise InputError(f"{name}: none of the documents that are read ({known}; docs/inputs.md)")


def _has_cases(document: Mapping[str, Any]) -> bool:
    return any(case != Listed() for case in map(list_document, document.values()))


_SHAPES: Mapping[Kind, Callable[[Mapping[str, Any]], bool]] = {
    # A file with a mistake in one of these is still meant as a batch file: its reader says what the mistake is.
    Kind.BATCH: lambda document: "format" in document or {"chainId", "blocks"} <= document.keys(),
    Kind.GENESIS: is_genesis,
    Kind.WITNESS: is_execution_witness,
    Kind.BLOCKS: is_block,
    Kind.TRANSACTION: is_transaction,
    Kind.STATE: is_state,
    Kind.CASES: _has_cases,
    Kind.HEADER: lambda document: {"parentHash", "stateRoot", "receiptsRoot"} <= document.keys(),
}

#: Documents that people have and that are not read: what they are, the members that tell, and what to do.
_FOREIGN = (
    (
        "a chain specification of Nethermind",
        {"engine", "params", "genesis"},
        "give the network's genesis file in the form of geth, reth or besu",
    ),
    (
        "a payload of the engine API",
        {"feeRecipient", "blockHash", "transactions"},
        f"give the block as RLP (debug_getRawBlock) or by {GET_BLOCK}",
    ),
    (
        "a payload of the engine API",
        {"executionPayload"},
        f"give the block as RLP (debug_getRawBlock) or by {GET_BLOCK}",
    ),
    (
        "a dump of a state",
        {"root", "accounts"},
        "put its accounts under alloc of a genesis file that has the header's fields too",
    ),
    (
        "proofs of accounts (eth_getProof)",
        {"accountProof", "storageHash"},
        "give an execution witness of the block (debug_executionWitness), which has all proofs that it needs",
    ),
)

# -- what documents make together

_ASK_FOR_BLOCKS = f"its RLP (debug_getRawBlock), or the answer of {GET_BLOCK}"
_ASK_FOR_STATE = (
    "name beside it the genesis file for blocks from 1 on, or for any block the execution witness that "
    "debug_executionWitness gives"
)

#: What is missing where documents of a kind are given without others.
_ALONE = {
    Kind.GENESIS: f"the blocks after it are missing: name beside it a file of blocks, each as {_ASK_FOR_BLOCKS}",
    Kind.WITNESS: f"the block that it is of is missing: name beside it {_ASK_FOR_BLOCKS}",
    Kind.BLOCKS: f"the state before the first block is missing: {_ASK_FOR_STATE}",
    Kind.STATE: (
        "neither the header of the block before nor blocks: put the accounts under alloc of a genesis file if they are "
        "the whole state, or use an execution witness (debug_executionWitness), which has the proofs that they lack"
    ),
    Kind.TRANSACTION: (
        "the block that it is in and the state before are missing: put it under transactions of a block of a batch "
        "file, or give its whole block and the state before"
    ),
    Kind.HEADER: f"the rest of its block is missing: give the block, {_ASK_FOR_BLOCKS}",
    Kind.CASES: "say which one of its cases is meant, as FILE::CASE; zkevm conformance runs them all",
}


def _joined(documents: Sequence[_Document]) -> Batch:
    by_kind: dict[Kind, list[_Document]] = {}
    for document in documents:
        by_kind.setdefault(document.kind, []).append(document)
    for kind in (Kind.CASES, Kind.STATE, Kind.TRANSACTION, Kind.HEADER):
        if kind in by_kind:
            raise _alone(by_kind[kind][0])
    for kind in (Kind.BATCH, Kind.GENESIS):
        if len(by_kind.get(kind, ())) > 1:
            raise InputError(f"{by_kind[kind][1].name}: {kind} too, where one is enough")
    if Kind.GENESIS in by_kind and Kind.WITNESS in by_kind:
        raise InputError(f"{by_kind[Kind.WITNESS][0].name}: a genesis file or an execution witness, not both")
    if Kind.BATCH in by_kind:
        return _of_batch_file(by_kind)
    if Kind.BLOCKS not in by_kind:
        raise _alone(documents[0])
    outlines = _outlines(by_kind[Kind.BLOCKS])
    if Kind.GENESIS in by_kind:
        return _after_genesis(by_kind[Kind.GENESIS][0], outlines)
    if Kind.WITNESS in by_kind:
        return _after_witnesses(by_kind[Kind.WITNESS], outlines)
    raise _alone(by_kind[Kind.BLOCKS][0])


def _alone(document: _Document) -> InputError:
    return InputError(f"{document.name}: {document.kind} alone: {_ALONE[document.kind]}")


def _of_batch_file(by_kind: Mapping[Kind, Sequence[_Document]]) -> Batch:
    """A batch file, and what others add to what it leaves out."""
    batch = by_kind[Kind.BATCH][0]
    document = dict(batch.value)
    for kind, field in ((Kind.GENESIS, "genesis"), (Kind.WITNESS, "witness")):
        if kind in by_kind:
            if document.get(field) is not None or len(by_kind[kind]) > 1:
                raise InputError(f"{by_kind[kind][-1].name}: {kind} too, where one is enough")
            document[field] = by_kind[kind][0].value
    if Kind.BLOCKS in by_kind:
        if document.get("blocks"):
            raise InputError(f"{by_kind[Kind.BLOCKS][0].name}: blocks too, where those of {batch.name} are enough")
        document["blocks"] = [outline.encoded for outline in _outlines(by_kind[Kind.BLOCKS])]
    if isinstance(document.get("blocks"), list):
        blocks = [_encoded(item, index) for index, item in enumerate(document["blocks"])]
        times = [_outline(item).timestamp for item in blocks if isinstance(item, bytes)]
        if times:
            genesis = document.get("genesis")
            schedule = chain_schedule(document.get("fork"), genesis if isinstance(genesis, dict) else None, times)
            blocks = [
                _decoded(item, schedule, index) if isinstance(item, bytes) else item
                for index, item in enumerate(blocks)
            ]
        document["blocks"] = blocks
    return batch_from_document(document)


def _encoded(item: Any, index: int) -> Any:
    """RLP of a block of a batch file that has one of the forms which are read here; others as they are."""
    item = result_of(item)
    if isinstance(item, dict) and is_block(item):
        item = encode_block(item, block=index)
    elif isinstance(item, str):
        try:
            item = parse_data(item)
        except ValueError as error:
            raise BatchError(str(error), block=index) from None
    return item


def _decoded(encoded: bytes, schedule: Schedule, index: int) -> Block:
    # Loaded only where a batch asks for it: it loads py-evm.
    from executor.blocks import decode_block

    return decode_block(encoded, schedule, block=index)


def _outlines(documents: Iterable[_Document]) -> list[_Outline]:
    """The blocks of documents in the order of their numbers."""
    encoded: list[bytes] = []
    for document in documents:
        encoded += document.value if isinstance(document.value, list) else [encode_block(document.value)]
    outlines = sorted(map(_outline, encoded), key=lambda outline: outline.number)
    for before, outline in pairwise(outlines):
        if outline.number != before.number + 1:
            raise InputError(f"after block {before.number} comes block {outline.number}: give each one once, and all")
    return outlines


def _outline(encoded: bytes) -> _Outline:
    try:
        header = decode_list(encoded, _BLOCK_NESTING)[0]
        if not isinstance(header, list) or len(header) < MIN_HEADER_FIELDS:
            raise ValueError("it does not begin with a header")
        if any(isinstance(item, list) for item in header):
            raise ValueError("a list within the header")
        number, timestamp = (int.from_bytes(header[field], "big") for field in (NUMBER, TIMESTAMP))
        if max(number, timestamp) >= 2**64:
            raise ValueError("a number of more than 64 bits")
    except (ValueError, IndexError) as error:
        raise InputError(f"not the RLP of a block: {error}") from None
    return _Outline(encoded, rlp.encode(header), number, timestamp, len(header))


def _after_genesis(genesis: _Document, outlines: list[_Outline]) -> Batch:
    document = dict(genesis.value)
    try:
        number = parse_quantity(document.get("number") or 0)
    except ValueError as error:
        raise BatchError(str(error), field="genesis.number") from None
    parent = None
    if outlines[0].number == number:  # an exported chain begins with the genesis block
        parent, outlines = "0x" + outlines[0].header.hex(), outlines[1:]
    if not outlines:
        raise _alone(genesis)
    if outlines[0].number != number + 1:
        raise InputError(
            f"the first block is {outlines[0].number}, but the genesis file has the state after block {number}: give "
            "the blocks between too, or the execution witness (debug_executionWitness) in place of the genesis file"
        )
    config = document.get("config")
    has_times = isinstance(config, dict) and config.get("cancunTime") is not None
    fork = None if has_times else _only(_fitting(outlines), outlines)
    schedule = chain_schedule(fork, document, (outline.timestamp for outline in outlines))
    return batch_from_document(
        {
            "format": FORMAT,
            "chainId": chain_id_of(document),
            "fork": fork,
            "genesis": document,
            "parent": parent,
            "blocks": [_decoded(outline.encoded, schedule, index) for index, outline in enumerate(outlines)],
        }
    )


def _after_witnesses(documents: Sequence[_Document], outlines: list[_Outline]) -> Batch:
    witness = reduce(ExecutionWitness.joined, (read_execution_witness(item.value) for item in documents))
    schedule = Schedule(FORKS[_fitting(outlines)[0]])  # to decode them, one is as good as another
    blocks = [_decoded(outline.encoded, schedule, index) for index, outline in enumerate(outlines)]
    chain_ids = {transaction.chain_id for block in blocks for transaction in block.transactions} - {None}
    if len(chain_ids) != 1:
        found = "different ones" if chain_ids else "none"
        raise InputError(
            f"the transactions say {found}: write a batch file with chainId, fork, witness and blocks", field="chainId"
        )
    chain_id = chain_ids.pop()
    fork = _forks_of(outlines, chain_id)
    return batch_from_document(
        {"format": FORMAT, "chainId": chain_id, "fork": fork, "witness": witness, "blocks": blocks}
    )


_SAY_FORKS = (
    "say which forks blocks are of, as fork of a batch file, with --fork where they are fetched, or as times in config "
    "of the genesis file"
)


def _forks_of(outlines: Sequence[_Outline], chain_id: int | None) -> str | Mapping[str, int]:
    return MAINNET_FORKS if chain_id == MAINNET else _only(_fitting(outlines), outlines)


def _fitting(outlines: Sequence[_Outline]) -> list[str]:
    """The forks whose headers have as many fields as those of all blocks.

    Raises:
        InputError: there is none.
    """
    counts = sorted({outline.fields for outline in outlines})
    if len(counts) > 1:
        raise InputError(f"the headers have {' and '.join(map(str, counts))} fields: {_SAY_FORKS}", field="fork")
    found = [fork.name for fork in FORKS.values() if len(fork.header_class()._meta.fields) == counts[0]]
    if not found:
        raise InputError(f"the headers have {counts[0]} fields, as those of none of {', '.join(FORKS)}")
    return found


def _only(forks: Sequence[str], outlines: Sequence[_Outline]) -> str:
    if len(forks) > 1:
        raise AmbiguousFork(f"block {outlines[0].number} may be of {', '.join(forks)}: {_SAY_FORKS}", field="fork")
    return forks[0]
