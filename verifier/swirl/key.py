"""Verifying keys: what a proof is judged by, decoded from the engine's encoding.

A key of segments is the magic, log2 of the stacked height as four little-endian bytes, and the engine's key in postcard
form (https://postcard.jamesmunns.com/wire-format): a sequence of LEB128 integers alone, since the two kinds of raw byte
it has (flags and degrees) are below 128. So all integers are decoded at once, and the structure is read from them. A
key of nodes of a tree of proofs has another magic and no height.

What may be computed is never read: parameters and height bounds must equal those that the protocol prescribes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from operator import attrgetter, ge
from typing import Final

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Op
from circuits.air.field import MODULUS
from verifier.errors import Invalid

MAGIC: Final = b"ZKVKEY01"
NODE_MAGIC: Final = b"ZKVNODE1"

MAX_BYTES: Final = 8 << 20
"""Longest key that is read, not twice ours. Decoding takes about 60 bytes of memory for each of its bytes."""

HEIGHTS: Final = range(11, 25)
"""Values of log2 of the stacked height: WHIR folds at least once, and the parameters are proven up to 2^24 rows."""

MAX_TABLES: Final = 256
MAX_COLUMNS: Final = 60_000
MAX_CONSTRAINTS: Final = 5_000
MAX_INTERACTIONS: Final = 4_000
MAX_PUBLIC_VALUES: Final = 1 << 16

SECURITY_BITS: Final = 100
LOG_MAX_FINAL_LENGTH: Final = 10
CHALLENGE_BITS: Final = 4 * math.log2(MODULUS)
"""Size of the challenge field BabyBear^4 in bits."""

_FROM_MONTGOMERY: Final = pow(2**32, -1, MODULUS)
"""Keys hold field elements in Montgomery form: x * 2^32."""


@dataclass(frozen=True, slots=True)
class Proximity:
    """How far from the code a word may be that the analysis counts as close (WHIR, ePrint 2024/1586).

    Attributes:
        multiplicity: m of list decoding up to the Johnson bound (Guruswami-Sudan), None for unique decoding.
    """

    multiplicity: int | None = None

    def agreement(self, log_inverse_rate: int) -> float:
        """Largest fraction of the domain on which a word that is far from the code agrees with a codeword.

        With rate rho, (1 + rho) / 2 in unique decoding and sqrt(rho) * (1 + 1 / 2m) in list decoding.
        """
        rate = 2.0**-log_inverse_rate
        if self.multiplicity is None:
            return (1 + rate) / 2
        return min(1.0, math.sqrt(rate) * (1 + 1 / (2 * self.multiplicity)))

    def log_list(self, log_inverse_rate: int) -> float:
        """log2 of a bound on the codewords that a word is close to: (m + 1/2) / sqrt(rho) in list decoding, which is Dy
        of `verifier.swirl.security.proximity_gap`."""
        if self.multiplicity is None:
            return 0.0
        return math.log2(self.multiplicity + 0.5) + log_inverse_rate / 2


UNIQUE_DECODING: Final = Proximity()


@dataclass(frozen=True, slots=True)
class WhirParameters:
    """Parameters of the polynomial commitment WHIR.

    Attributes:
        folding: variables folded in each round (k).
        queries: of each round.
        mu_pow_bits: grinding before the stacked columns are batched.
        query_pow_bits: grinding before the queries of each round.
        folding_pow_bits: grinding before each folding challenge.
        proximity: the regime the queries are chosen for.
    """

    folding: int
    queries: tuple[int, ...]
    mu_pow_bits: int
    query_pow_bits: int
    folding_pow_bits: int
    proximity: Proximity


@dataclass(frozen=True, slots=True)
class LogUpParameters:
    """Parameters of the bus argument.

    Attributes:
        max_interactions: a proof has fewer interactions, padding included.
        log_max_message: log2 of the bound on the elements of a message and its bus.
        pow_bits: grinding before the challenges.
    """

    max_interactions: int
    log_max_message: int
    pow_bits: int


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the protocol.

    Attributes:
        l_skip: log2 of the domain of the univariate first round.
        n_stack: variables of a stacked column beyond these.
        w_stack: most stacked columns.
        log_blowup: log2 of the inverse of the code's rate.
        whir: of the polynomial commitment.
        logup: of the buses.
        max_degree: of constraints, counts and fields of messages.
    """

    l_skip: int
    n_stack: int
    w_stack: int
    log_blowup: int
    whir: WhirParameters
    logup: LogUpParameters
    max_degree: int

    @property
    def log_stacked_height(self) -> int:
        """log2 of the rows of a stacked column."""
        return self.l_skip + self.n_stack

    @property
    def rounds(self) -> int:
        """Rounds of WHIR."""
        return len(self.whir.queries)

    @property
    def log_final_length(self) -> int:
        """log2 of the coefficients of the polynomial that WHIR ends with."""
        return self.log_stacked_height - self.rounds * self.whir.folding


@dataclass(frozen=True, slots=True)
class Interaction:
    """A message of every row of a table.

    Attributes:
        bus: its index.
        count: node of how often it is sent.
        message: nodes of its fields.
        weight: how much its count may be, for the bounds on heights.
    """

    bus: int
    count: int
    message: tuple[int, ...]
    weight: int


@dataclass(frozen=True, slots=True)
class TableKey:
    """A table: its shape and its constraints as one expression graph.

    Attributes:
        width: columns, but for those of other commitments.
        cached: columns of each part that has a commitment of its own.
        public_values: their number.
        uses_next: whether the columns are opened at the next row too.
        degree: bounds that of its constraints and messages.
        required: whether a proof must have it.
        nodes: (n, 3) rows (op, a, b) with `Op` and children before parents; a is a column (those of other commitments
            come last), a public value, a canonical constant or a node, b a node.
        constraints: (c,) nodes that vanish on every row, ascending.
        interactions: in the order of the circuit.
    """

    width: int
    public_values: int
    uses_next: bool
    degree: int
    required: bool
    nodes: NDArray[np.int64] = field(repr=False)
    constraints: NDArray[np.int64] = field(repr=False)
    interactions: tuple[Interaction, ...] = field(repr=False)
    cached: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class HeightBound:
    """The sum of the heights of the tables, each times its coefficient, is below the threshold.

    The heights are those the bus argument runs over: at least 2^l_skip.
    """

    coefficients: tuple[int, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """What the verifier knows of a circuit.

    Attributes:
        parameters: of the protocol.
        tables: in the order of the circuit.
        height_bounds: that make sums of counts exact in the field.
        digest: (8,) canonical elements, the hash of the rest, with which the transcript begins.
    """

    parameters: Parameters
    tables: tuple[TableKey, ...]
    height_bounds: tuple[HeightBound, ...]
    digest: tuple[int, ...]


def parameters(log_stacked_height: int) -> Parameters:
    """The parameters of segments, which prove 100 bits in the unique-decoding regime, for a stacked height.

    Raises:
        Invalid: if there are none for this height.
    """
    if log_stacked_height not in HEIGHTS:
        raise Invalid(f"log stacked height {log_stacked_height} is not in {HEIGHTS}")
    return _parameters(
        l_skip=4,
        n_stack=log_stacked_height - 4,
        w_stack=2048,
        log_blowup=1,
        proximity=UNIQUE_DECODING,
        mu_pow_bits=15,
        folding_pow_bits=5,
        least_logup_pow_bits=18,
        max_degree=3,
    )


def node_parameters() -> Parameters:
    """The parameters of nodes of a tree, which prove 100 bits up to the Johnson bound: short proofs of one size."""
    return _parameters(
        l_skip=2,
        n_stack=17,
        w_stack=512,
        log_blowup=3,
        proximity=Proximity(multiplicity=2),
        mu_pow_bits=20,
        folding_pow_bits=18,
        least_logup_pow_bits=0,
        max_degree=4,
    )


def _parameters(
    l_skip: int,
    n_stack: int,
    w_stack: int,
    log_blowup: int,
    proximity: Proximity,
    mu_pow_bits: int,
    folding_pow_bits: int,
    least_logup_pow_bits: int,
    max_degree: int,
) -> Parameters:
    """Queries make up what the grinding before them leaves of the 100 bits; the rate falls by 2^(k-1) in each round
    (WHIR, ePrint 2024/1586). Grinding makes up what the challenges of the buses leave."""
    folding, query_pow_bits, log_max_message = 4, 20, 7
    rounds = -((LOG_MAX_FINAL_LENGTH - l_skip - n_stack) // folding)
    rates = (log_blowup + (folding - 1) * i for i in range(rounds))
    queries = tuple(math.ceil((SECURITY_BITS - query_pow_bits) / -math.log2(proximity.agreement(r))) for r in rates)
    logup_bits = CHALLENGE_BITS - math.log2(2 * MODULUS) - log_max_message - proximity.log_list(log_blowup)
    logup_pow_bits = max(least_logup_pow_bits, math.ceil(SECURITY_BITS - logup_bits))
    return Parameters(
        l_skip=l_skip,
        n_stack=n_stack,
        w_stack=w_stack,
        log_blowup=log_blowup,
        whir=WhirParameters(folding, queries, mu_pow_bits, query_pow_bits, folding_pow_bits, proximity),
        logup=LogUpParameters(MODULUS, log_max_message, logup_pow_bits),
        max_degree=max_degree,
    )


def height_bounds(tables: tuple[TableKey, ...], params: Parameters) -> tuple[HeightBound, ...]:
    """Bounds under which no sum of counts wraps around: one for each bus, by weights, and one for all interactions.

    Bounds that another one implies are left out (docs/Soundness_of_Interactions_via_LogUp.pdf of the engine).
    """
    weights: dict[int, list[int]] = {}
    for index, table in enumerate(tables):
        # There are many interactions of few kinds.
        for (bus, weight), number in Counter(map(attrgetter("bus", "weight"), table.interactions)).items():
            weights.setdefault(bus, [0] * len(tables))[index] += number * weight
    bounds = [HeightBound(tuple(coefficients), MODULUS) for _, coefficients in sorted(weights.items())]
    bounds.append(HeightBound(tuple(len(t.interactions) for t in tables), params.logup.max_interactions))
    kept: list[HeightBound] = []
    for bound in bounds:
        if not any(_implies(other, bound) for other in kept):
            kept = [other for other in kept if not _implies(bound, other)] + [bound]
    return tuple(kept)


def _implies(stronger: HeightBound, weaker: HeightBound) -> bool:
    pairs = zip(stronger.coefficients, weaker.coefficients, strict=True)
    return stronger.threshold <= weaker.threshold and all(starmap(ge, pairs))


def decode(encoding: bytes) -> VerifyingKey:
    """The verifying key of segments from its canonical encoding.

    The digest is taken as it is: keys are pinned by a hash of their encoding.

    Raises:
        Invalid: if the bytes are not a key of this format, its parameters or height bounds are not those that the
            protocol prescribes, or it has a table that a segment cannot have: preprocessed or cached columns, a
            node before its children, a degree above its claim.
    """
    header, body = encoding[: len(MAGIC) + 4], encoding[len(MAGIC) + 4 :]
    if header[: len(MAGIC)] != MAGIC or len(header) != len(MAGIC) + 4:
        raise Invalid("not a verifying key of this version")
    return _decode(body, parameters(int.from_bytes(header[len(MAGIC) :], "little")), most_cached=0)


def decode_node(encoding: bytes) -> VerifyingKey:
    """The verifying key of nodes of a tree, in the same way; a table of theirs may have columns that are committed to
    beside those of all tables.

    Raises:
        Invalid: as for `decode`.
    """
    if not encoding.startswith(NODE_MAGIC):
        raise Invalid("not a verifying key of nodes of this version")
    return _decode(encoding[len(NODE_MAGIC) :], node_parameters(), most_cached=1)


def _decode(body: bytes, params: Parameters, most_cached: int) -> VerifyingKey:
    """A key with these parameters; `most_cached` parts of a table may have a commitment of their own."""
    if len(body) > MAX_BYTES:
        raise Invalid(f"a key of {len(body)} bytes, at most {MAX_BYTES} are read")
    reader = _Reader(_integers(body))
    for number in _numbers(params):
        reader.expect(number, "the parameters are not those that are prescribed")
    count = reader.below(MAX_TABLES + 1, "number of tables")
    tables = tuple(_table(reader, params, most_cached) for _ in range(count))
    if not tables or sum(table.width + sum(table.cached) for table in tables) > MAX_COLUMNS:
        raise Invalid("no tables, or too many columns")
    bounds = tuple(
        HeightBound(tuple(reader.list("coefficients")), reader.below(1 << 32, "threshold"))
        for _ in range(reader.length("height bounds"))
    )
    if bounds != height_bounds(tables, params):
        raise Invalid("the height bounds are not those of these tables")
    digest = tuple(_canonical(reader.below(MODULUS, "element of the digest")) for _ in range(8))
    if not reader.ended:
        raise Invalid("bytes after the key")
    return VerifyingKey(params, tables, bounds, digest)


def _integers(data: bytes) -> NDArray[np.int64]:
    """All LEB128 integers of at most five bytes, in their shortest form."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    lengths = np.diff(ends, prepend=-1)
    if not len(ends) or ends[-1] != len(octets) - 1 or lengths.max() > 5 or np.any((octets[ends] == 0) & (lengths > 1)):
        raise Invalid("not a sequence of integers in their shortest form")
    integers = np.zeros(len(ends), np.int64)
    for place in range(5):
        longer = np.flatnonzero(lengths > place)
        part = octets[ends[longer] - lengths[longer] + 1 + place] & 0x7F
        integers[longer] |= part.astype(np.int64) << (7 * place)
    return integers


def _numbers(params: Parameters) -> Iterator[int]:
    """The parameters in the order of the encoding."""
    whir, logup = params.whir, params.logup
    yield from (params.l_skip, params.n_stack, params.w_stack, params.log_blowup)
    yield from (whir.folding, len(whir.queries), *whir.queries)
    yield from (whir.mu_pow_bits, whir.query_pow_bits, whir.folding_pow_bits)
    multiplicity = whir.proximity.multiplicity
    yield from (0,) if multiplicity is None else (2, multiplicity)  # the first kind and the third
    yield from (logup.max_interactions, logup.log_max_message, logup.pow_bits, params.max_degree)


def _canonical(montgomery: int) -> int:
    return montgomery * _FROM_MONTGOMERY % MODULUS


#: Operations by the tag of a node; a variable (tag 0) may be of another one, by its entry.
_OPERATIONS: Final = np.array(
    [Op.LOCAL, Op.IS_FIRST, Op.IS_LAST, Op.IS_TRANSITION, Op.CONST, Op.ADD, Op.SUB, Op.NEG, Op.MUL], np.int64
)
#: Integers that a node takes, by tag; those of a variable depend on its entry.
_SIZES: Final = np.array([0, 1, 1, 1, 2, 4, 4, 3, 4], np.int64)
_MAIN: Final = 1
_PUBLIC: Final = 2
#: Integers of the longest node, a variable of the trace: tag, entry, part, offset, column.
_LONGEST: Final = 5


class _Reader:
    """Reads the structure of a key from its integers."""

    def __init__(self, integers: NDArray[np.int64]) -> None:
        self._end = len(integers)
        self._padded = np.append(integers, np.zeros(_LONGEST, np.int64))
        self._list: list[int] = integers.tolist()
        self._sizes: list[int] = _node_sizes(self._padded).tolist()
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at == self._end

    def list(self, what: str) -> list[int]:
        """A list of integers."""
        start = self._at + 1
        self._at = start + self.length(what)
        return self._list[start : self._at]

    def length(self, what: str) -> int:
        """The length of a list, whose elements take an integer at least."""
        return self.below(self._end - self._at, what)

    def below(self, bound: int, what: str) -> int:
        if self._at >= self._end:
            raise Invalid(f"the key ends before its {what}")
        value = self._list[self._at]
        if value >= bound:
            raise Invalid(f"{what} {value} is not below {bound}")
        self._at += 1
        return value

    def expect(self, value: int, reason: str) -> None:
        if self._at >= self._end or self._list[self._at] != value:
            raise Invalid(reason)
        self._at += 1

    def nodes(self) -> NDArray[np.int64]:
        """(n, 5): the integers of each node, and what follows it."""
        starts, at = [], self._at + 1
        for _ in range(self.length("nodes")):
            starts.append(at)
            at = min(at + self._sizes[at], self._end)
        first = np.array(starts, np.int64)
        if any(self._sizes[start] == 0 or start + self._sizes[start] > self._end for start in starts):
            raise Invalid("a node is of no known kind, or incomplete")
        self._at = at
        nodes: NDArray[np.int64] = self._padded[first[:, None] + np.arange(_LONGEST)]
        return nodes


def _node_sizes(integers: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many integers a node takes that begins at each of the integers; 0 if none can."""
    entries = np.append(integers[1:], 0)
    variable = np.select([entries == _MAIN, entries == _PUBLIC], [_LONGEST, 3], 0)
    known = integers < len(_SIZES)
    sizes: NDArray[np.int64] = np.where(integers == 0, variable, np.where(known, _SIZES[integers * known], 0))
    return sizes


def _table(reader: _Reader, params: Parameters, most_cached: int) -> TableKey:
    for what in ("preprocessed data", "preprocessed columns"):
        reader.expect(0, f"a table has {what}")
    cached = tuple(reader.list("cached columns"))
    if len(cached) > most_cached or not all(0 < columns <= MAX_COLUMNS for columns in cached):
        raise Invalid("a table has cached columns")
    width = reader.below(MAX_COLUMNS + 1, "width")
    public_values = reader.below(MAX_PUBLIC_VALUES + 1, "number of public values")
    uses_next = bool(reader.below(2, "flag"))
    nodes, degrees = _graph(reader.nodes(), (*cached, width), public_values)
    if np.any(nodes[:, 0] == Op.NEXT) and not uses_next:
        raise Invalid("a table uses the next row and does not open it")
    constraints = np.array(reader.list("constraints"), np.int64)
    count = reader.below(MAX_INTERACTIONS + 1, "number of interactions")
    interactions = tuple(_interaction(reader, len(nodes), params) for _ in range(count))
    if not width or len(constraints) > MAX_CONSTRAINTS or np.any(constraints >= len(nodes)):
        raise Invalid("a table has no columns, or constraints that are too many or not there")
    used = [*constraints.tolist(), *(node for i in interactions for node in (*i.message, i.count))]
    degree = reader.below(params.max_degree + 1, "degree")
    if np.max(degrees[used], initial=0) > degree:
        raise Invalid(f"a constraint or a message of a table of degree {degree} has a higher degree")
    reader.expect(0, "a table is required")
    for _ in range(reader.length("unused variables")):
        reader.expect(_MAIN, "an unused variable is not of the trace")
        part = reader.below(len(cached) + 1, "part of an unused variable")
        reader.below(2, "offset")
        reader.below((*cached, width)[part], "column")
    return TableKey(width, public_values, uses_next, degree, False, nodes, constraints, interactions, cached)


def _interaction(reader: _Reader, nodes: int, params: Parameters) -> Interaction:
    message = tuple(reader.list("message"))
    # A message and its bus are compressed together.
    if not 0 < len(message) < 1 << params.logup.log_max_message or max(message) >= nodes:
        raise Invalid("a message is empty, too long, or of nodes that are not there")
    count = reader.below(nodes, "node")
    return Interaction(
        count=count, message=message, bus=reader.below(1 << 16, "bus"), weight=reader.below(1 << 32, "weight")
    )


def _graph(
    encoded: NDArray[np.int64], parts: Sequence[int], public_values: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nodes of a table and bounds on their degrees, from the integers of each.

    Args:
        parts: columns of each part of the table: the cached ones, and the one that is committed to with other tables'.
    """
    tag, first, second, third, fourth = encoded.T
    variable = tag == 0
    main, public = variable & (first == _MAIN), variable & (first == _PUBLIC)
    op = np.where(main, Op.LOCAL + third, np.where(public, Op.PUBLIC, _OPERATIONS[tag]))
    constant, negation = op == Op.CONST, op == Op.NEG
    binary = (op == Op.ADD) | (op == Op.SUB) | (op == Op.MUL)
    index = np.arange(len(encoded))
    *cached, width = parts
    # Columns of cached parts are numbered behind the others.
    widths, before = np.array(parts), np.array([*(width + sum(cached[:k]) for k in range(len(cached))), 0])
    part = np.where(main & (second < len(parts)), second, 0)
    sound = [
        (~main | ((second < len(parts)) & (third < 2) & (fourth < widths[part])), "a variable is not of the trace"),
        (~public | (second < public_values), "a public value is not there"),
        (~constant | (first < MODULUS), "a constant is not canonical"),
        (~(binary | negation) | (first < index), "a node comes before its operand"),
        (~binary | (second < index), "a node comes before its operand"),
    ]
    for holds, reason in sound:
        if not holds.all():
            raise Invalid(reason)
    a = np.where(binary | negation, first, 0)
    b = np.where(binary, second, 0)
    # A claimed degree that is at least what the claims of the operands give is, by induction, at least the true one.
    degrees = np.where(binary, third, np.where(negation, second, (~(constant | public)).astype(np.int64)))
    joined = np.where(op == Op.MUL, degrees[a] + degrees[b], np.maximum(degrees[a], np.where(binary, degrees[b], 0)))
    if np.any((binary | negation) & (degrees < joined)):
        raise Invalid("a node has a higher degree than it claims")
    # The factor below 2^31 keeps the product below 2^62.
    values = np.select([main, public, constant], [before[part] + fourth, second, first * _FROM_MONTGOMERY % MODULUS], a)
    return np.stack([op, values, b], axis=1), degrees
