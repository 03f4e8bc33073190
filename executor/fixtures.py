"""BlockchainTests of ``ethereum/tests`` and the execution spec tests: files, folders and archives of them.

A file is a JSON object of cases by name; a case is a pre-state, a genesis block, and blocks that a client is given one
after the other, some of which it must refuse. Names of cases read ``FILE::CASE``, in archives ``ARCHIVE::FILE::CASE``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Any

import rlp
from eth_utils.crypto import keccak
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic.alias_generators import to_camel

from executor.archive import ARCHIVE_SUFFIXES, members
from executor.batch import (
    MAX_FILE_BYTES,
    U64,
    Batch,
    BlobSchedule,
    Block,
    Bytes,
    Bytes32,
    Genesis,
    batch_error,
    with_blob_schedules,
)
from executor.blocks import decode_block, decode_block_header
from executor.errors import BatchError
from executor.forks import FORKS, Schedule
from executor.json_values import parse_object

SEPARATOR = "::"
FILE_SUFFIX = ".json"

#: Chain id of cases that do not give one: that of the main network.
MAINNET = 1

#: A folder of a release of the execution spec tests that holds no tests, but states that engine tests start from.
SHARED_STATES = "pre_alloc"

#: Networks that change the fork on the way, like ``CancunToPragueAtTime15k``: the time is in thousands of seconds.
_TRANSITION = re.compile(r"(?P<first>\w+)To(?P<then>\w+)AtTime(?P<thousands>\d{1,9})k")

NOT_A_CASE = "not a BlockchainTest: it has no network or no blocks"

#: Other kinds of public tests, by a member that only they have.
OTHER_KINDS = {
    "engineNewPayloads": "engine test",
    "post": "state test",
    "txbytes": "transaction test",
    "vectors": "EOF test",
}


class FixtureError(BatchError):
    """A file of BlockchainTests cannot be used; ``name`` is the file or the case (``FILE::CASE``)."""

    def __init__(self, name: str, cause: BatchError | str) -> None:
        self.name = name
        self.cause = cause if isinstance(cause, BatchError) else BatchError(cause)
        super().__init__(f"{name}: {self.cause}")
        self.block, self.transaction, self.field = self.cause.block, self.cause.transaction, self.cause.field

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.cause)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Header(_Model):
    hash: Bytes32


class FixtureBlock(_Model):
    """A block of a case. ``header`` is missing from blocks that must be refused."""

    rlp: Bytes
    header: Annotated[_Header | None, Field(alias="blockHeader")] = None
    expect_exception: str | None = None

    @property
    def valid(self) -> bool:
        """Whether a client must accept it."""
        return self.expect_exception is None and self.header is not None


class _Config(_Model):
    chain_id: Annotated[U64, Field(alias="chainid")] = MAINNET
    blob_schedule: dict[str, BlobSchedule] = {}


class Case(_Model):
    """A case as its file gives it.

    ``pre`` and ``post_state`` are those of a geth genesis file; a case gives ``post_state`` or ``post_state_hash``.
    """

    network: str
    config: _Config = _Config.model_construct(chain_id=MAINNET, blob_schedule={})
    genesis_rlp: Annotated[Bytes, Field(alias="genesisRLP")]
    genesis_header: Annotated[_Header, Field(alias="genesisBlockHeader")]
    pre: dict[str, Any]
    blocks: Annotated[tuple[FixtureBlock, ...], FailFast()]
    last_block_hash: Annotated[Bytes32, Field(alias="lastblockhash")]
    post_state: dict[str, Any] | None = None
    post_state_hash: Bytes32 | None = None

    @property
    def schedule(self) -> Schedule:
        """The forks of its chain.

        Raises:
            BatchError: a network that this program does not know.
        """
        schedule = schedule_of(self.network)
        if schedule is None:
            raise BatchError(f"unknown network {self.network!r}; known: {', '.join(FORKS)}", field="network")
        blobs = self.config.blob_schedule
        later = tuple((time, with_blob_schedules(fork, blobs)) for time, fork in schedule.later)
        return Schedule(with_blob_schedules(schedule.first, blobs), later)


def schedule_of(network: str) -> Schedule | None:
    """The forks of a network, when it is one that this program knows."""
    transition = _TRANSITION.fullmatch(network)
    names = (network,) if transition is None else transition.group("first", "then")
    first, *then = (FORKS.get(name.lower()) for name in names)
    if first is None or None in then:
        return None
    later = tuple((1_000 * int(transition["thousands"]), fork) for fork in then if fork and transition)
    return Schedule(first, later)


@dataclass(frozen=True)
class Listed:
    """What a case is, before anything else of it is looked at; neither for what is no case of any kind.

    Attributes:
        network: of a BlockchainTest.
        other_kind: what it is instead, one of :data:`OTHER_KINDS`.
    """

    network: str | None = None
    other_kind: str | None = None

    @property
    def reason(self) -> str | None:
        """Why this program does not run it; ``None`` for a BlockchainTest of a network that it knows."""
        if self.other_kind is not None:
            return f"{self.other_kind}, not a BlockchainTest"
        if self.network is None:
            return NOT_A_CASE
        if schedule_of(self.network) is None:
            return f"network {self.network}, not one of {', '.join(FORKS)}, and changes between these"
        return None


@dataclass(frozen=True)
class FixtureFile:
    """The content of a file of cases; ``name`` is its path, in an archive ``ARCHIVE::PATH``."""

    name: str
    content: bytes

    def documents(self) -> dict[str, Any]:
        """The cases by name, in the order of the file, not looked into yet.

        Raises:
            FixtureError: not a JSON object.
        """
        try:
            return parse_object(self.content)
        except ValueError as error:
            raise FixtureError(self.name, str(error)) from None

    def listed(self) -> dict[str, Listed]:
        """What the cases are, by name.

        Raises:
            FixtureError: not a JSON object.
        """
        return {name: list_document(document) for name, document in self.documents().items()}


def list_document(document: Any) -> Listed:
    """What the JSON document of a case is."""
    if not isinstance(document, Mapping):
        return Listed()
    network = document.get("network")
    if "blocks" in document and isinstance(network, str):
        return Listed(network=network)
    return Listed(other_kind=next((kind for member, kind in OTHER_KINDS.items() if member in document), None))


def case_id(file: str, case: str) -> str:
    """The name by which a case can be asked for."""
    return f"{file}{SEPARATOR}{case}"


def fixture_files(paths: Iterable[str | Path]) -> Iterator[tuple[FixtureFile, str | None]]:
    """The files at ``paths``, each with the name of the one case that was asked for, if so.

    Folders give all ``.json`` files below them, in the order of their paths, archives those in them; hidden ones (of
    metadata) and folders of states that engine tests share are left out.

    Raises:
        FixtureError: unreadable, or larger than :data:`executor.batch.MAX_FILE_BYTES`.
    """
    for path in paths:
        base, _, inner = str(path).partition(SEPARATOR)
        if base.endswith(ARCHIVE_SUFFIXES):
            yield from _archive_files(base, inner)
        else:
            files = _folder_files(Path(base)) if Path(base).is_dir() else [Path(base)]
            for file in files:
                yield FixtureFile(str(file), _read(file)), inner or None


def cases(paths: Iterable[str | Path]) -> Iterator[tuple[str, str, str]]:
    """File, name and network of every case at ``paths``.

    Raises:
        FixtureError: a file is unreadable, too large or no file of BlockchainTests, or a case is not there.
    """
    for file, only in fixture_files(paths):
        listed = file.listed()
        if only is not None and only not in listed:
            raise _no_case(file.name, only, listed)
        for name, case in listed.items():
            if only not in (None, name):
                continue
            if case.network is None:
                assert case.reason is not None
                raise FixtureError(case_id(file.name, name), case.reason)
            yield file.name, name, case.network


def read_case(file: FixtureFile, name: str) -> Case:
    """A case of a file.

    Raises:
        FixtureError: it is not there, or malformed.
    """
    documents = file.documents()
    if name not in documents:
        raise _no_case(file.name, name, documents)
    return parse_case(case_id(file.name, name), documents[name])


def parse_case(name: str, document: Any) -> Case:
    """A case from its JSON object; ``name`` only appears in errors.

    Raises:
        FixtureError: it is malformed.
    """
    listed = list_document(document)
    if listed.other_kind is not None:
        assert listed.reason is not None
        raise FixtureError(name, listed.reason)
    try:
        case = Case.model_validate(document)
    except ValidationError as error:
        raise FixtureError(name, batch_error(error)) from None
    if (case.post_state is None) == (case.post_state_hash is None):
        raise FixtureError(name, "a case has a postState or a postStateHash, not both")
    return case


def batch_from_fixture(path: Path, case: str) -> Batch:
    """The batch that a case asks to execute: its chain from the genesis to the last block.

    Where blocks must be refused it is the chain to the first of them, so that the batch is refused too.

    Raises:
        FixtureError: the file or the case is unusable.
    """
    (file, name), *others = fixture_files([case_id(str(path), case)])
    if name is None or others:
        raise FixtureError(case_id(str(path), case), "names no case of an archive")
    identity = case_id(file.name, name)
    try:
        return _asked_for(read_case(file, name))
    except FixtureError:
        raise
    except BatchError as error:
        raise FixtureError(identity, error) from None


def _asked_for(case: Case) -> Batch:
    chains: dict[bytes, tuple[Block, ...]] = {case.genesis_header.hash: ()}
    for step in case_steps(case):
        if step.refusal is not None:
            raise step.refusal
        if not step.valid:
            return case_batch(case, step.chain)
        chains[step.hash] = step.chain
    if case.last_block_hash not in chains:
        raise BatchError("no block has this hash", field="lastblockhash")
    return case_batch(case, chains[case.last_block_hash])


@dataclass(frozen=True)
class Step:
    """A block that a case gives to the client.

    Attributes:
        index: in the case.
        valid: whether a client must accept it.
        chain: the block itself, after the ancestors that its header names; empty where there is a refusal. An invalid
            block that follows on no block is put where it would follow on the latest: there it must be refused.
        indices: in the case, of the blocks of the chain.
        refusal: what is wrong with the block, where that is plain before execution.
    """

    index: int
    valid: bool
    chain: tuple[Block, ...] = ()
    indices: tuple[int, ...] = ()
    refusal: BatchError | None = None

    @property
    def hash(self) -> bytes:
        """Hash of the block."""
        return block_hash(self.chain[-1])


def case_steps(case: Case) -> Iterator[Step]:
    """The blocks of a case in its order.

    Raises:
        BatchError: a network that this program does not know, or a block with another hash than the case gives it.
    """
    schedule = case.schedule
    head = Step(-1, valid=True)
    accepted = {case.genesis_header.hash: head}
    for index, fixture_block in enumerate(case.blocks):
        valid = fixture_block.valid
        try:
            block = decode_block(fixture_block.rlp, schedule, block=index)
            parent = accepted.get(parent_hash(block))
            if parent is None and valid:
                raise BatchError("no block before it has this hash", block=index, field="header.parentHash")
        except BatchError as error:
            yield Step(index, valid, refusal=error)
            continue
        ancestors = parent or head
        step = Step(index, valid, (*ancestors.chain, block), (*ancestors.indices, index))
        if valid:
            if fixture_block.header is not None and fixture_block.header.hash != step.hash:
                raise BatchError("the hash of the RLP is another", block=index, field="blockHeader.hash")
            accepted[step.hash] = head = step
        yield step


def block_hash(block: Block) -> bytes:
    """The hash of a decoded block."""
    assert block.header is not None
    return keccak(block.header)


def parent_hash(block: Block) -> bytes:
    """The hash of its parent that a decoded block gives."""
    assert block.header is not None
    return bytes(rlp.decode(block.header)[0])


def case_batch(case: Case, blocks: tuple[Block, ...]) -> Batch:
    """A batch of ``blocks`` that follow on the genesis of a case.

    Raises:
        BatchError: the genesis is malformed.
    """
    schedule = case.schedule
    header, _ = decode_block_header(case.genesis_rlp, schedule)
    if keccak(header) != case.genesis_header.hash:
        raise BatchError("the hash of genesisRLP is another", field="genesisBlockHeader.hash")
    return Batch(
        chain_id=case.config.chain_id,
        schedule=schedule,
        genesis=state_as_genesis(case.pre, "pre"),
        blocks=blocks,
        parent_header=header,
    )


def state_as_genesis(accounts: Mapping[str, Any], field: str) -> Genesis:
    """A state of a case as a genesis; ``field`` only appears in errors.

    Raises:
        BatchError: it is malformed.
    """
    try:
        return Genesis.model_validate({"alloc": accounts, "gasLimit": 0})
    except ValidationError as error:
        inner = batch_error(error)
        place = (inner.field or "alloc").replace("alloc", field, 1)
        raise BatchError(inner.reason, field=place) from None


def _archive_files(archive: str, inner: str) -> Iterator[tuple[FixtureFile, str | None]]:
    """Files of an archive; ``inner`` is empty, ``FILE`` or ``FILE::CASE``."""
    wanted, _, case = inner.partition(SEPARATOR)
    found = False
    for name, content in members(Path(archive), FILE_SUFFIX, MAX_FILE_BYTES):
        if name == wanted or (not wanted and _holds_tests(PurePosixPath(name))):
            found = True
            yield FixtureFile(case_id(archive, name), content), case or None
            if wanted:
                return
    if not found:
        raise FixtureError(archive, f"no file {wanted}" if wanted else f"no {FILE_SUFFIX} files")


def _folder_files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob(f"*{FILE_SUFFIX}"))
    return [file for file in found if _holds_tests(file.relative_to(folder))]


def _holds_tests(file: PurePath) -> bool:
    return not any(part.startswith(".") or part == SHARED_STATES for part in file.parts)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FixtureError(str(file), f"cannot read it: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise FixtureError(str(file), f"larger than {MAX_FILE_BYTES} bytes")
    return content


def _no_case(file: str, case: str, names: Iterable[str]) -> FixtureError:
    known = list(names)
    examples = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
    return FixtureError(case_id(file, case), f"no such case among the {len(known)} of the file: {examples}")
