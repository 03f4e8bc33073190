"""The layout of a proof, and its reader.

Everything about the shape of a proof follows from the verifying key and from which tables it has with what heights. So
the reader first makes the list of all fields, with their shapes and the length prefixes before them, and then reads
just that: no number of an untrusted file ever decides how much is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import MODULUS, Matrix
from verifier.errors import Invalid
from verifier.swirl.field import DEGREE, Extension
from verifier.swirl.hashing import DIGEST
from verifier.swirl.key import TableKey, VerifyingKey

#: Of the encoding; the engine's `CODEC_VERSION`.
FORMAT_VERSION: Final = 3


@dataclass(frozen=True, slots=True)
class Trace:
    """A table of a proof: its number in the key, its part of the key, and the logarithm of its height."""

    table: int
    key: TableKey
    log_height: int

    def lifted(self, log_domain: int) -> int:
        """The logarithm of its height when it is at least that of the univariate domain."""
        return max(self.log_height, log_domain)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the columns of the tables lie in the stacked matrices, of which each has a commitment.

    All arrays are (c,), in the order of the traces and their columns, those of cached parts last: `trace` is the
    trace's number, `column` and `row` where the column starts in the stacked matrices, one beside the other. Their
    widths are `widths`: first that of all tables together, then that of each cached part.
    """

    trace: NDArray[np.int64]
    column: NDArray[np.int64]
    row: NDArray[np.int64]
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the encoding: u32 length prefixes that must have these values, then elements of this shape."""

    name: str
    prefixes: tuple[int, ...]
    shape: tuple[int, ...]


_COMMITMENT: Final = Field("commitment", (), (DIGEST,))


@dataclass(frozen=True, slots=True)
class Proof:
    """A decoded proof.

    Attributes:
        log_heights: of each table of the key, None for those without rows.
        traces: the tables it has, highest first, among equal ones in the key's order.
        cached: commitments to parts of each table of the key, (k, 8).
        placement: of their columns.
        fields: the elements of each field of `layout` by name, base elements (`uint32`, canonical).
        places: byte offset of the elements of each field.
    """

    log_heights: tuple[int | None, ...]
    traces: tuple[Trace, ...]
    cached: tuple[Matrix, ...]
    placement: Placement
    fields: Mapping[str, Matrix]
    places: Mapping[str, int]

    def base(self, name: str) -> Matrix:
        """A field of base elements."""
        return self.fields[name]

    def extension(self, name: str) -> Extension:
        """A field whose last axis holds the coefficients of extension elements."""
        return Extension(self.fields[name].astype(np.uint64))

    @property
    def commitments(self) -> list[Matrix]:
        """Those to the stacked matrices, (8,) each."""
        return [self.base("commitment"), *(root for trace in self.traces for root in self.cached[trace.table])]

    def public_values(self, table: int) -> list[int]:
        """Those of a table of the key; empty without rows."""
        values: list[int] = self.fields[f"public values {table}"].tolist()
        return values


def messages(key: VerifyingKey, traces: tuple[Trace, ...]) -> int:
    """Interactions of all rows, those of lifted tables."""
    log_domain = key.parameters.l_skip
    return sum(len(trace.key.interactions) << trace.lifted(log_domain) for trace in traces)


def gkr_layers(key: VerifyingKey, traces: tuple[Trace, ...]) -> int:
    """Variables of the polynomial of all messages, 0 if there are none: one place at least is left over."""
    return messages(key, traces).bit_length()


def place(key: VerifyingKey, traces: tuple[Trace, ...]) -> Placement:
    """The places of all columns: one behind the other, into the next column of the stacked matrix when one is full.

    Heights fall, so that a column never crosses an edge. Columns shorter than the univariate domain take as much as it.
    A cached part has a matrix of its own.
    """
    log_domain, log_height = key.parameters.l_skip, key.parameters.log_stacked_height
    everything = range(len(traces))
    matrices = [
        [(number, traces[number].key.width) for number in everything],
        *([(number, width)] for number in everything for width in traces[number].key.cached),
    ]
    places: list[tuple[NDArray[np.int64], ...]] = []
    widths: list[int] = []
    for parts in matrices:
        numbers = np.repeat(*np.array(parts, dtype=np.int64).T)
        lengths = np.array([1 << each.lifted(log_domain) for each in traces], dtype=np.int64)[numbers]
        ends = np.cumsum(lengths)
        starts = ends - lengths
        places.append((numbers, sum(widths) + (starts >> log_height), starts & ((1 << log_height) - 1)))
        widths.append(-(-int(ends[-1]) >> log_height))
    trace, column, row = map(np.concatenate, zip(*places, strict=True))
    return Placement(trace, column, row, tuple(widths))


def layout(
    key: VerifyingKey, traces: tuple[Trace, ...], log_heights: tuple[int | None, ...], stacked: tuple[int, ...]
) -> Iterator[Field]:
    """The fields of a proof behind the heights, in the order of the encoding.

    Args:
        stacked: widths of the stacked matrices.
    """
    parameters = key.parameters
    whir, domain = parameters.whir, 1 << parameters.l_skip
    prefixes: tuple[int, ...] = (len(key.tables),)
    for number, (table, height) in enumerate(zip(key.tables, log_heights, strict=True)):
        count = 0 if height is None else table.public_values
        yield Field(f"public values {number}", (*prefixes, count), (count,))
        prefixes = ()

    layers = gkr_layers(key, traces)
    yield Field("logup work", (), (1,))
    yield Field("root denominator", (), (DEGREE,))
    yield Field("layer claims", (layers,), (layers, 4, DEGREE))
    for layer in range(1, layers):
        yield Field(f"layer {layer} sumcheck", (), (layer, 3, DEGREE))

    degree, count = parameters.max_degree + 1, len(traces)
    yield Field("numerators", (count,), (count, DEGREE))
    yield Field("denominators", (), (count, DEGREE))
    length = degree * (domain - 1) + 1
    yield Field("zerocheck univariate", (length,), (length, DEGREE))
    rounds = max(0, traces[0].log_height - parameters.l_skip)
    yield Field("zerocheck sumcheck", (rounds, degree) if rounds else (0,), (rounds, degree, DEGREE))
    for number, trace in enumerate(traces):
        prefixes = (1 + len(trace.key.cached),)
        for name, width in opened_parts(trace, number):
            openings = width * (2 if trace.key.uses_next else 1)
            yield Field(name, (*prefixes, openings), (openings, DEGREE))
            prefixes = ()

    length = 2 * (domain - 1) + 1
    yield Field("stacking univariate", (length,), (length, DEGREE))
    yield Field("stacking sumcheck", (parameters.n_stack,), (parameters.n_stack, 2, DEGREE))
    prefixes = (len(stacked),)
    for matrix, width in enumerate(stacked):
        yield Field(f"stacked openings {matrix}", (*prefixes, width), (width, DEGREE))
        prefixes = ()

    later = parameters.rounds - 1
    folds, group = parameters.rounds * whir.folding, 1 << whir.folding
    depth = parameters.log_stacked_height + parameters.log_blowup - whir.folding
    yield Field("batching work", (), (1,))
    yield Field("folding sumcheck", (folds,), (folds, 2, DEGREE))
    yield Field("codeword commitments", (later,), (later, DIGEST))
    yield Field("out-of-domain values", (), (later, DEGREE))
    yield Field("folding work", (), (folds,))
    yield Field("query work", (), (parameters.rounds,))
    prefixes = (len(stacked), whir.queries[0], depth, *stacked)
    for matrix, width in enumerate(stacked):
        yield Field(f"rows 0 of {matrix}", prefixes, (whir.queries[0], group, width))
        prefixes = ()
    for matrix in range(len(stacked)):
        yield Field(f"paths 0 of {matrix}", (), (whir.queries[0], depth, DIGEST))
    for number, queries in enumerate(whir.queries[1:], 1):
        yield Field(f"rows {number}", (queries,), (queries, group, DEGREE))
    prefixes = (depth - 1 if later else 0,)
    for number, queries in enumerate(whir.queries[1:], 1):
        yield Field(f"paths {number}", prefixes, (queries, depth - number, DIGEST))
        prefixes = ()
    final = 1 << parameters.log_final_length
    yield Field("final polynomial", (*prefixes, final), (final, DEGREE))


def opened_parts(trace: Trace, number: int) -> Iterator[tuple[str, int]]:
    """The fields with the openings of a trace, one for each commitment that it is in, and their columns."""
    yield f"openings {number}", trace.key.width
    for part, width in enumerate(trace.key.cached):
        yield f"openings {number} of cached part {part}", width


def read_heights(key: VerifyingKey, reader: Reader) -> tuple[tuple[int | None, ...], tuple[Matrix, ...]]:
    """The start of a proof behind the commitment: which tables it has, how high they are, and the commitments (k, 8)
    to their cached parts.

    Raises:
        Invalid: for other tables than the key's, none at all, or one that is too high.
    """
    tables = len(key.tables)
    reader.expect(tables, "number of tables")
    bits = np.unpackbits(np.frombuffer(reader.take(-(-tables // 8)), np.uint8), bitorder="little")
    if bits[tables:].any():
        raise Invalid("bits beyond the last table are set")
    heights: list[int | None] = []
    cached: list[Matrix] = []
    for present, table in zip(bits[:tables].tolist(), key.tables, strict=True):
        height, parts = None, 0
        if present:
            height, parts = reader.integer(), len(table.cached)
            if height > key.parameters.log_stacked_height:
                raise Invalid(f"a table has log height {height}")
            reader.expect(parts, "number of cached commitments")
        heights.append(height)
        cached.append(reader.elements((parts, DIGEST), "a cached commitment"))
    if all(height is None for height in heights):
        raise Invalid("no table is present")
    return tuple(heights), tuple(cached)


def present_traces(key: VerifyingKey, log_heights: tuple[int | None, ...]) -> tuple[Trace, ...]:
    """The tables that have rows, in the order in which the protocol treats them."""
    pairs = enumerate(zip(key.tables, log_heights, strict=True))
    traces = [Trace(number, table, height) for number, (table, height) in pairs if height is not None]
    return tuple(sorted(traces, key=lambda trace: -trace.log_height))


def encoded_bytes(key: VerifyingKey, log_heights: tuple[int | None, ...]) -> int:
    """Bytes of a proof whose tables have these heights."""
    traces = present_traces(key, log_heights)
    fields = [_COMMITMENT, *layout(key, traces, log_heights, place(key, traces).widths)]
    integers = sum(len(field.prefixes) + math.prod(field.shape) for field in fields)
    # Before the heights come the format's version, the number of tables and which of them there are; behind each
    # height the number of its cached commitments, and these.
    cached = sum(DIGEST * len(trace.key.cached) for trace in traces)
    return 4 * (2 + 2 * len(traces) + cached + integers) + -(-len(key.tables) // 8)


def decode(key: VerifyingKey, encoding: bytes) -> Proof:
    """Read a proof of the shape that a key admits.

    Raises:
        Invalid: if the encoding is not exactly that of a proof, or its tables are too large together.
    """
    reader = Reader(encoding)
    reader.expect(FORMAT_VERSION, "format version")
    fields, places = {}, {}

    def read(field: Field) -> None:
        for prefix in field.prefixes:
            reader.expect(prefix, f"length of {field.name}")
        places[field.name] = reader.at
        fields[field.name] = reader.elements(field.shape, field.name)

    read(_COMMITMENT)
    log_heights, cached = read_heights(key, reader)
    traces = present_traces(key, log_heights)
    placement = place(key, traces)
    if sum(placement.widths) > key.parameters.w_stack:
        raise Invalid("the tables are too large together")
    for field in layout(key, traces, log_heights, placement.widths):
        read(field)
    if reader.at != len(encoding):
        raise Invalid(f"{len(encoding) - reader.at} trailing bytes")
    return Proof(log_heights, traces, cached, placement, fields, places)


class Reader:
    """Reads untrusted bytes from the front.

    Attributes:
        at: how many have been read.
    """

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self.at = 0

    def take(self, count: int) -> bytes:
        """So many bytes. Raises `Invalid` if there are fewer."""
        if self.at + count > len(self._encoding):
            raise Invalid(f"truncated after {len(self._encoding)} bytes")
        self.at += count
        return self._encoding[self.at - count : self.at]

    def integer(self) -> int:
        """A u32."""
        return int.from_bytes(self.take(4), "little")

    def expect(self, value: int, what: str) -> None:
        """A u32 that can only have one value."""
        found = self.integer()
        if found != value:
            raise Invalid(f"{what} is {found}, expected {value}")

    def elements(self, shape: tuple[int, ...], what: str) -> Matrix:
        """Canonical base elements, each a u32."""
        count = int(np.prod(shape, dtype=np.int64))
        cells = np.frombuffer(self.take(4 * count), "<u4").reshape(shape)
        if (cells >= MODULUS).any():
            raise Invalid(f"an element of {what} is not below the modulus")
        return cells.astype(np.uint32, copy=False)
