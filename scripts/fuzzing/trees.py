"""Documents as trees of lists, their encodings as JSON and RLP, and ways to damage both.

A tree is a leaf or a list of trees, so that one walk finds every place of any format. Subclasses of `list` say how a
list is written; `Raw` is a leaf that is written as it stands, well-formed or not.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any

import rlp
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from verifier.rlp_bounded import list_header

Tree = Any

#: New values for a leaf, given the old one; of a list that is replaced as a whole the old one is the list.
Leaves = Callable[[Tree], SearchStrategy[Tree]]


class Object(list[Tree]):
    """A JSON object: a list of members, whose names may repeat."""


class Member(list[Tree]):
    """A name and a value."""


class Embedded(list[Tree]):
    """A byte string of parts: byte strings as they are, other trees as RLP. In JSON its hexadecimal digits."""


class Raw(bytes):
    """A piece of an encoding, written as it stands."""


def from_json(value: Any) -> Tree:
    """The tree of a decoded JSON document."""
    if isinstance(value, dict):
        return Object(Member([name, from_json(item)]) for name, item in value.items())
    return [from_json(item) for item in value] if isinstance(value, list) else value


def to_json(tree: Tree) -> bytes:
    """JSON of a tree, lone surrogates included; malformed where the tree is none of a JSON document."""
    if isinstance(tree, Raw):
        return bytes(tree)
    if isinstance(tree, Object):
        return b"{" + b",".join(map(to_json, tree)) + b"}"
    if isinstance(tree, Member):
        return b":".join(map(to_json, tree))
    if isinstance(tree, Embedded):
        return to_json("0x" + _content(tree).hex())
    if isinstance(tree, list):
        return b"[" + b",".join(map(to_json, tree)) + b"]"
    if isinstance(tree, bytes):
        return to_json("0x" + tree.hex())
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


def to_rlp(tree: Tree) -> bytes:
    """RLP of a tree; malformed where pieces of it are. What only JSON knows becomes a string."""
    if isinstance(tree, Raw):
        return bytes(tree)
    if isinstance(tree, Embedded):
        return to_rlp(_content(tree))
    if isinstance(tree, list):
        payload = b"".join(map(to_rlp, tree))
        return list_header(len(payload)) + payload
    encoded: bytes = rlp.encode(tree if isinstance(tree, bytes) else to_json(tree))
    return encoded


def _content(tree: list[Tree]) -> bytes:
    parts = (_content(part) if isinstance(part, Embedded) else part for part in tree)
    return b"".join(part if isinstance(part, bytes) else to_rlp(part) for part in parts)


def embedded(data: bytes) -> Tree:
    """The tree of a byte string that is RLP, or a typed transaction (EIP-2718); other strings as they are."""
    prefix = data[:1] if data[:1] < b"\xc0" else b""
    try:
        return Embedded([prefix, rlp.decode(data[len(prefix) :])])
    except rlp.DecodingError:
        return data


class _Change(Enum):
    REPLACE = auto()
    DELETE = auto()
    REPEAT = auto()
    COPY = auto()
    REVERSE = auto()
    EMPTY = auto()
    WRAP = auto()


# What leaves most of a document in order is tried most.
_OF_LEAVES = [*[_Change.REPLACE] * 6, _Change.COPY, _Change.COPY, _Change.DELETE, _Change.REPEAT, _Change.WRAP]
_OF_LISTS = [*_Change, _Change.DELETE, _Change.REPEAT, _Change.COPY, _Change.COPY]
_OF_MEMBERS = [_Change.DELETE, _Change.REPEAT]


@st.composite
def damaged(draw: DrawFn, tree: Tree, leaves: Leaves, most: int = 3) -> Tree:
    """A copy of a tree with one to `most` places changed: replaced, left out, repeated up to 300 times, copied from
    elsewhere in the tree, turned around, emptied or put into a list."""
    root = [copy.deepcopy(tree)]
    for _ in range(draw(st.integers(1, most))):
        parent, index = draw(_places(root))
        old = parent[index]
        changes = _OF_MEMBERS if isinstance(old, Member) else _OF_LISTS if isinstance(old, list) else _OF_LEAVES
        match draw(st.sampled_from(changes)):
            case _Change.REPLACE:
                new = draw(leaves(old))
                is_name = isinstance(parent, Member) and index == 0
                parent[index] = new if not is_name or isinstance(new, bytes) else str(new)
            case _Change.DELETE if parent is not root:
                del parent[index]
            case _Change.REPEAT if parent is not root:
                parent[index:index] = [old] * draw(st.sampled_from([1, 1, 2, 17, 300]))
            case _Change.COPY:
                other, position = draw(_places(root))
                like = [item for item in (other[position], *parent) if type(item) is type(old)]
                parent[index] = copy.deepcopy(draw(st.sampled_from(like)))
            case _Change.REVERSE:
                old.reverse()
            case _Change.EMPTY:
                parent[index] = type(old)()
            case _Change.WRAP:
                parent[index] = [old]
    return root[0]


@st.composite
def _places(draw: DrawFn, root: list[Tree]) -> tuple[list[Tree], int]:
    """A list of the tree and an index in it: any one, or one level after the other from the root down."""
    if draw(st.booleans()):
        return draw(st.sampled_from(list(_all_places(root))))
    parent, index = root, 0
    while isinstance(parent[index], list) and parent[index] and (parent is root or draw(st.integers(0, 7))):
        parent = parent[index]
        index = draw(st.integers(0, len(parent) - 1))
    return parent, index


def _all_places(parent: list[Tree]) -> Iterator[tuple[list[Tree], int]]:
    for index, item in enumerate(parent):
        yield parent, index
        if isinstance(item, list):
            yield from _all_places(item)


LIMITS = sorted(
    {0, 1, 2, 27, 55, 56, 127, 128, *(2**bits + d for bits in (8, 16, 31, 32, 53, 63, 64, 256) for d in (-1, 0))}
)
"""Numbers at which encodings and types end."""


def byte_strings(most: int = 80) -> SearchStrategy[bytes]:
    """Short byte strings, and long ones of few different bytes."""
    sizes = st.sampled_from([19, 20, 21, 31, 32, 33, 53, 55, 56, 64, 255, 256, 1024, 1025])
    return st.binary(max_size=most) | st.builds(
        lambda size, byte: byte * size, sizes, st.binary(min_size=1, max_size=1)
    )


def mostly(often: SearchStrategy[Tree], rarely: SearchStrategy[Tree]) -> SearchStrategy[Tree]:
    """The second one in an eighth of the cases."""
    return st.integers(0, 7).flatmap(lambda number: rarely if number == 7 else often)


@st.composite
def spoiled(draw: DrawFn, content: bytes, most: int = 4) -> bytes:
    """Content with some of its bytes changed, inserted, left out or moved, or cut off somewhere."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 9) | st.integers(0, len(data) - start))
        match draw(st.sampled_from(["overwrite", "insert", "delete", "move", "cut"])):
            case "overwrite":
                piece = draw(st.binary(min_size=1, max_size=9))
                data[start : start + len(piece)] = piece
            case "insert":
                data[start:start] = draw(st.binary(max_size=9))
            case "delete":
                del data[start : start + size]
            case "move":
                piece, target = bytes(data[start : start + size]), draw(st.integers(0, len(data)))
                data[target:target] = piece
            case "cut":
                del data[start:]
    return bytes(data)


# -- leaves of RLP


def rlp_leaves(old: Tree) -> SearchStrategy[Tree]:
    """Byte strings, numbers at their limits, the old string with damage, and items that are not canonical or claim
    other sizes than they have."""
    numbers = st.sampled_from(LIMITS).map(lambda n: n.to_bytes((n.bit_length() + 7) // 8, "big"))
    framed = st.sampled_from([0x80, 0xB7, 0xC0, 0xF7]).flatmap(_headers)
    known = [spoiled(old), same_size(old), same_size(old)] if isinstance(old, bytes) else []
    return mostly(st.one_of(*known, byte_strings(), numbers), framed | st.just([]) | _nests())


def same_size(old: bytes) -> SearchStrategy[bytes]:
    """Byte strings of the size of another one."""
    ends = st.sampled_from([bytes(len(old)), b"\xff" * len(old), bytes(len(old))[1:] + b"\1" * bool(old)])
    return ends | st.binary(min_size=len(old), max_size=len(old))


@st.composite
def _headers(draw: DrawFn, first: int) -> Raw:
    """An item whose first bytes announce some size, with some payload behind."""
    payload = draw(st.binary(max_size=70))
    if first in (0x80, 0xC0):
        return Raw(bytes([first + draw(st.integers(0, 55))]) + payload)
    size_bytes = draw(st.integers(1, 8))
    size = draw(st.sampled_from(LIMITS) | st.just(len(payload))) % 256**size_bytes
    return Raw(bytes([first + size_bytes]) + size.to_bytes(size_bytes, "big") + payload)


def _nests() -> SearchStrategy[Raw]:
    """Lists in lists."""
    return st.sampled_from([1, 5, 40, 2000]).map(lambda depth: Raw(_nested(depth)))


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = list_header(len(data)) + data
    return data


# -- leaves of JSON

_RAW = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999", b"-0", b"0.0", b"01", b"+1", b"1.", b"0x1"),
    *(b"9" * digits for digits in (78, 79, 4300, 4301, 100_000)),
    *(b'"' + b"9" * digits + b'"' for digits in (78, 79, 5000)),
    *(b'"0x' + b"0" * digits + b'"' for digits in (64, 65, 100_000)),
    *(b"[" * depth + b"]" * depth for depth in (20, 31, 32, 33, 100_000)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (31, 32, 50_000)),
    *(b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\\x"', b'"\xff"', b'"\n"', b"'a'", b'"', b"{}", b"[]", b""),
]

_STRINGS = [
    *(
        "",
        "0",
        "0x",
        "0X",
        "0x0",
        "0X0A",
        "0xg",
        "x",
        "-1",
        "-0x1",
        "+1",
        " 1",
        "1 ",
        "1_0",
        "0b1",
        "0o7",
        "1e3",
        "1.0",
    ),
    *("١", "²", "0x١", "\0", "\ud800", "\udcff", "ſ", "\u202e", "cancun", "Cancun", "zkevm-batch/1"),
]


def json_leaves(old: Tree) -> SearchStrategy[Tree]:
    """JSON values of every type, spellings of numbers and data, the old value with damage, and pieces of text that
    only look like JSON."""
    numbers = st.sampled_from([*LIMITS, -1, -(2**63)])
    hexes = st.builds(lambda data, cut: ("0x" + data.hex())[cut:], byte_strings(), st.sampled_from([0, 2, 3]))
    known: list[SearchStrategy[Tree]] = []
    if isinstance(old, str):
        known = [
            spoiled(old.encode("utf-8", "surrogatepass")).map(lambda data: data.decode("utf-8", "surrogateescape"))
        ]
    elif isinstance(old, int) and not isinstance(old, bool):
        known = [st.sampled_from([old - 1, old + 1, -old, str(old), hex(old), float(old) if old < 2**1000 else 0.0])]
    elif isinstance(old, bytes):
        known = [spoiled(old)]
    plausible = st.one_of(
        *known,
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
        numbers | numbers.map(str) | numbers.map(hex),
        hexes,
        st.sampled_from(_STRINGS) | st.text(max_size=10),
        st.sampled_from([[], Object()]),
    )
    return mostly(plausible, st.sampled_from(_RAW).map(Raw))
