"""Files of BlockchainTests and archives of them."""

from __future__ import annotations

import gzip
import json
import lzma
import tarfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from executor.conformance import judge_case
from executor.errors import BatchError
from executor.fixtures import FILE_SUFFIX, FixtureFile, batch_from_fixture, cases, fixture_files
from scripts.fuzzing.batches import disguised
from scripts.fuzzing.target import Target, run_command, scratch_file
from scripts.fuzzing.trees import (
    LIMITS,
    Embedded,
    Member,
    Object,
    Tree,
    damaged,
    embedded,
    from_json,
    json_leaves,
    mostly,
    rlp_leaves,
    spoiled,
    to_json,
)

FILE = Path(__file__).parents[2] / "tests" / "executor" / "fixtures" / "blockchain_tests.json"

_GZIP = b"\x1f\x8b"  # what gzip files begin with

#: Executing a case is stopped after this many seconds.
CASE_SECONDS = 0.5

#: The longest case that is damaged, bytes.
MAX_CASE_BYTES = 15_000


@cache
def _files() -> list[Tree]:
    """Files of one case each; the RLP in them is a tree."""
    found = json.loads(FILE.read_text())
    return [
        Object([Member([name, _with_rlp(from_json(case))])])
        for name, case in found.items()
        if len(json.dumps(case)) <= MAX_CASE_BYTES
    ]


def _with_rlp(tree: Tree) -> Tree:
    if not isinstance(tree, list):
        return tree
    if isinstance(tree, Object):
        return Object(
            Member([name, _rlp(item) if name in ("rlp", "genesisRLP") else _with_rlp(item)]) for name, item in tree
        )
    return [_with_rlp(item) for item in tree]


def _rlp(digits: str) -> Tree:
    """The tree of a block, or the digits where they are none."""
    with suppress(Exception):
        return embedded(bytes.fromhex(digits[2:]))
    return digits


def _leaves(old: Tree) -> SearchStrategy[Tree]:
    return json_leaves(old) | rlp_leaves(old) if isinstance(old, bytes | Embedded) else json_leaves(old)


def damaged_files() -> SearchStrategy[bytes]:
    """Cases with changed members and changed blocks."""
    return st.sampled_from(_files()).flatmap(lambda tree: damaged(tree, _leaves)).map(to_json)


def spoiled_files() -> SearchStrategy[bytes]:
    """Cases with changed bytes, in other encodings, or packed."""
    texts = st.sampled_from(_files()).map(to_json)
    return texts.flatmap(spoiled) | texts.flatmap(disguised)


def check_file(content: bytes) -> None:
    """The cases of a file are listed, read as batches and judged, or refused."""
    with scratch_file(content, FILE_SUFFIX) as path:
        with suppress(BatchError):
            list(cases([path]))
        try:
            documents = FixtureFile(str(path), content).documents()
        except BatchError:
            return
        for name, document in documents.items():
            with suppress(BatchError):
                batch_from_fixture(path, name)
            verdict = judge_case(name, document, CASE_SECONDS)
            assert "internal error" not in verdict.reason, verdict.reason


def check_command(content: bytes) -> None:
    """`zkevm execute FILE::CASE` ends with a documented status."""
    with scratch_file(content, FILE_SUFFIX) as path, suppress(BatchError):
        for name in FixtureFile(str(path), content).documents():
            run_command("execute", "--seconds", "0.5", "--memory", "100", "--", f"{path}::{name}")


# -- archives

_NAMES = [
    "a.json",
    "./a.json",
    "../a.json",
    "/tmp/a.json",
    "a/" * 60 + "b.json",
    "::.json",
    "a\\..\\b.json",
    ".json",
    "a",
]
_KINDS = [bytes([kind]) for kind in (*b"0" * 12, *b"1234567gxSLKXNVADM", 0, 0xFF)]


@st.composite
def _members(draw: DrawFn) -> bytes:
    """A member of a tar archive with whatever a header can say, and the sum that it must have."""
    content = draw(st.sampled_from([b"", b"{}", b'{"a": {}}', *map(to_json, _files()[:1])]) | st.binary(max_size=1100))
    member = tarfile.TarInfo(draw(st.sampled_from(_NAMES) | st.text(max_size=20)))
    member.size = len(content)
    member.type = draw(st.sampled_from(_KINDS))
    member.linkname = draw(st.sampled_from(["", "a.json", "../..", "/dev/zero"]))
    if draw(st.integers(0, 7)) == 0:
        names = ["path", "size", "mtime", "GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.major", "GNU.sparse.name"]
        values = ["", "-1", "0", "1", "1,2", "0,99999999999999", "x", "1e9", "١", "9" * 25, "9" * 5000, "a.json", "nan"]
        member.pax_headers = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(values), max_size=3))
    layout = draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    header = bytearray(member.tobuf(layout, "utf-8", "surrogateescape"))  # type: ignore[arg-type]
    if draw(st.integers(0, 7)) == 0:
        # A field of the last block of the header, in octal digits, as GNU's numbers of more bytes, or as nonsense.
        last = len(header) - tarfile.BLOCKSIZE
        start, size = draw(st.sampled_from([(0, 100), (100, 8), (124, 12), (136, 12), (257, 8), (345, 155), (483, 12)]))
        number = draw(st.sampled_from(LIMITS))
        octal, binary = b"%o" % number, b"\x80" + (number % 256 ** (size - 1)).to_bytes(size - 1, "big")
        field = draw(st.sampled_from([octal, binary, b"\xff" * size]) | st.binary(max_size=size))
        header[last + start : last + start + size] = field[:size].ljust(size, b"\0")
        checksum, _ = tarfile.calc_chksums(bytes(header[last:]))  # type: ignore[attr-defined]
        header[last + 148 : last + 156] = b"%06o\0 " % checksum
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return bytes(header) + content + padding


@st.composite
def archives(draw: DrawFn) -> bytes:
    """Packed archives, of which any layer may be damaged."""

    members = draw(st.lists(_members(), max_size=4))
    end = draw(st.sampled_from([bytes(1024)] * 4 + [b"", bytes(512), bytes(10_240), bytes(2**20)]))
    content = b"".join(members) + end
    content = draw(mostly(st.just(content), spoiled(content)))
    check = draw(st.sampled_from([lzma.CHECK_CRC64, lzma.CHECK_NONE, lzma.CHECK_SHA256]))
    packed = draw(st.sampled_from([lzma.compress(content, check=check, preset=0), gzip.compress(content, 1, mtime=0)]))
    packed += draw(mostly(st.just(b""), st.sampled_from([bytes(4), bytes(3), packed, b"\xfd7zXZ", _GZIP])))
    damaged: bytes = draw(mostly(st.just(packed), spoiled(packed)))
    return damaged


def check_archive(content: bytes) -> None:
    """The files of an archive are listed and looked into, or it is refused; one of them is found by its name."""
    with scratch_file(content, ".tar.gz" if content.startswith(_GZIP) else ".tar.xz") as path:
        with suppress(BatchError):
            for file, _ in fixture_files([path]):
                with suppress(BatchError):
                    file.listed()
        for inner in ("a.json", "a.json::a", "../a.json", "::"):
            with suppress(BatchError):
                list(cases([f"{path}::{inner}"]))
            with suppress(BatchError):
                batch_from_fixture(path, inner)


TARGETS = (
    Target("fixture: damaged members", damaged_files, check_file, seconds=2.0, examples=12),
    Target("fixture: damaged bytes", spoiled_files, check_file, seconds=2.0, examples=20),
    Target("fixture: damaged members, by command", damaged_files, check_command, seconds=2.0, examples=8),
    Target("fixture: archives", archives, check_archive, examples=30),
)
