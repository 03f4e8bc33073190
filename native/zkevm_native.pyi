"""Typed binding of a STARK engine: circuits and traces in, proofs out.

The field is BabyBear (``MODULUS``); commitments and the transcript use Poseidon2 of width 16. All
parameters are the engine's own set with 100 bits of proven security; only the stacked height is
chosen by the caller.

**Circuits** are JSON documents::

    {"tables": [{"name": str, "width": int, "public_values": int,
                 "nodes": [op, a, b, op, a, b, ...],
                 "constraints": [node, ...],
                 "interactions": [{"bus": int, "count": node, "fields": [node, ...], "weight": int}]}]}

A node is three integers and may refer to earlier nodes of its table only; unused slots are 0.

== ================ ==================================
op name             meaning
== ================ ==================================
0  LOCAL            column ``a`` of this row
1  NEXT             column ``a`` of the next row
2  CONST            the canonical constant ``a``
3  PUBLIC           public value ``a`` of this table
4  IS_FIRST_ROW     1 on the first row, else 0
5  IS_LAST_ROW      1 on the last row, else 0
6  IS_TRANSITION    0 on the last row, else 1
7  ADD              ``a + b``
8  SUB              ``a - b``
9  MUL              ``a * b``
10 NEG              ``-a``
== ================ ==================================

Every constraint must be zero on every row. On the last row NEXT wraps around to the first row, so
constraints between rows are usually multiplied by IS_TRANSITION. Every interaction adds ``count``
to the balance of its message ``(bus, *fields)`` on every row; a proof verifies only if the balance
of every message over all tables is zero. ``weight`` bounds the magnitude of ``count``: for each bus
the sum of ``weight * height`` over all interactions on it must stay below ``MODULUS``, which is what
keeps balances from wrapping around. The number of rows times interactions must stay below
``MODULUS`` too. In both sums a height below 16 counts as 16.

**Limits**, beyond which ``CircuitError`` is raised: 1 to 128 tables of distinct names; at least one
constraint or interaction that is not constant, at most 5000 constraints and 1000 interactions a table; 60000 columns
in all tables together; degree 3 of every constraint, count and field, where columns and the three
row selectors have degree 1, constants and public values degree 0; 1 to 127 fields a message; buses
below 65536; 4 million nodes in all tables together; 65536 public values a table; expressions at most
50000 operations deep. The engine evaluates counts and fields as trees, without sharing common
parts, on every row: a table's counts and fields written out that way may have 1048576 nodes, and
cost as much as that many, so keep them small.

**Traces** have any power of two as height, from 1 row to ``2**log_stacked_height``. A height of 1
is sound: the row is first and last at once, never in transition, and its own next row. Tables with
fewer than 16 rows cost as much as with 16. Tables may be absent from a proof, even all but one,
whether they have interactions or not; the verifier reports which ones are present, and a caller
that needs a table must check ``VerifiedProof.log_heights``. All tables together may fill at most
``2048 * 2**log_stacked_height`` cells.

Everything long runs without the interpreter lock. No panic of the engine reaches Python: it
becomes the exception of the call it happened in. The memory allocator keeps freed memory for a
short while; the environment variable ``MIMALLOC_PURGE_DELAY=-1`` makes it keep everything, which
makes repeated proofs in one process about a tenth faster.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, final, type_check_only

import numpy as np
import numpy.typing as npt

MODULUS: int
"""Order of the base field, 2013265921 = 15 * 2**27 + 1."""

SECURITY_BITS: int
"""Bits that every key made or accepted here is proven to reach, 100."""

VERSION: str
"""Version of the engine."""

class EngineError(Exception):
    """Base class of every error raised by this module, other than argument type errors."""

class CircuitError(EngineError):
    """The circuit document is malformed or outside the limits. The text names the table."""

class ParameterError(EngineError):
    """A scalar argument is out of range."""

class KeyFormatError(EngineError):
    """The bytes are not a verifying key."""

class TraceError(EngineError):
    """A trace or its public values do not fit the table. The text names the table, and the cell."""

class ProvingError(EngineError):
    """The engine could not produce a proof."""

class ProofFormatError(EngineError):
    """The bytes are not the canonical encoding of a proof for this key."""

class VerificationError(EngineError):
    """The proof is well formed but does not verify. The text is the engine's reason."""

@type_check_only
class ProveStats(TypedDict):
    seconds: dict[str, float]
    """Wall clock by phase: load, commit, constraints, stacking, opening; and total.

    Parts of constraints are named, too: gkr and rounds, its sumchecks behind the first round. A phase that a proof
    does not have is left out.
    """
    cpu_seconds: dict[str, float]
    """The same in seconds of all the process's threads; other proofs made meanwhile count as well."""
    cells: int
    """Trace cells, summed over the tables present."""
    interactions: int
    """Rows times interactions, summed over the tables present."""
    proof_bytes: int

@type_check_only
class KeccakBaseline(TypedDict):
    permutations: int
    height: int
    width: int
    cells: int
    proof_bytes: int
    seconds: dict[str, float]
    """Wall clock: fill, prove and verify, and the phases of prove as in ``ProveStats``."""

@type_check_only
class Poseidon2Constants(TypedDict):
    external_initial: list[list[int]]
    """Round constants of the 4 external rounds at the start, 16 each."""
    internal: list[int]
    """Round constants of the 13 internal rounds, for the first element."""
    external_final: list[list[int]]
    """Round constants of the 4 external rounds at the end, 16 each."""
    internal_diagonal: list[int]
    """The 16 entries ``v`` for which the internal layer is ``x -> sum(x) + v * x``."""

@final
class ProvingKey:
    """What a prover needs of a circuit. Made by ``keygen``; immutable and usable from any thread."""

    @staticmethod
    def of(key: VerifyingKey, tables: Sequence[str]) -> ProvingKey:
        """The key whose verifying half is given, with the names of its tables.

        Raises:
            CircuitError: there are more or fewer names than tables.
        """

    @property
    def tables(self) -> list[str]:
        """Names of the tables, in the order traces are given."""

    @property
    def log_stacked_height(self) -> int: ...
    def verifying_key(self) -> VerifyingKey: ...

@final
class VerifyingKey:
    """What a verifier needs of a circuit. It holds no names. Immutable."""

    @staticmethod
    def from_bytes(data: bytes, known: bool = False) -> VerifyingKey:
        """Reads and fully checks a key of at most 256 MiB.

        The digest is recomputed, the parameters must be those of ``parameters``, the circuit must
        obey the limits, and the encoding must be the canonical one.

        A key is ``known`` if a hash of its encoding is: then the digest is taken as it is, and of the circuit
        nothing is checked, which takes long.

        Raises:
            KeyFormatError: anything else.
        """

    def to_bytes(self) -> bytes: ...
    @property
    def digest(self) -> bytes:
        """32 bytes that commit to everything in the key: 8 field elements, little-endian."""

    @property
    def log_stacked_height(self) -> int: ...
    @property
    def params(self) -> dict[str, Any]:
        """As returned by ``parameters``."""

    def security(self, log_heights: Sequence[int | None] | None = None) -> dict[str, float]:
        """Proven bits by protocol step, from the engine's own analysis.

        With ``log_heights`` (one entry a table, None where absent) for proofs of just that shape,
        otherwise for the worst shape the verifier accepts. ``total`` is the smallest; steps the
        parameters do not have are left out.

        Raises:
            ParameterError: the heights do not fit the key.
        """

@final
class VerifiedProof:
    """What a proof says once it has been verified."""

    @property
    def public_values(self) -> list[list[int]]:
        """Canonical public values, one list a table; empty for absent tables."""

    @property
    def log_heights(self) -> list[int | None]:
        """Base-two logarithm of each table's height, None for absent tables."""

    @property
    def cached_commits(self) -> list[list[list[int]]]:
        """Commitments to the parts of each table that proofs may share, 8 elements each; only nodes have any."""

@final
class Aggregator:
    """The circuits of trees of proofs over segments of one key; each is made when it is first needed, in seconds.

    A leaf verifies proofs of segments, a node for leaves verifies leaves, a recursive one verifies nodes for leaves or
    others of its own circuit. Each takes one to four children that follow each other: a node states a running hash
    before its first segment and behind its last one, 8 elements each, in its second table. The hash of a segment is
    that of what its proof says, ``h -> C(h, block)`` from ``(30, 0, ...)`` over blocks of 8: first of each table of its
    key 1 + log2 of its rows, or 0 where it is absent, padded with zeros; then the public values of all tables that have
    any, zeros where one is absent, padded with zeros. The running hash is ``h -> C(h, hash of the segment)``
    (``poseidon2_chain``).
    """

    def __new__(cls, key: VerifyingKey, stating: Sequence[int]) -> Aggregator:
        """For segments of a key.

        Args:
            key: of the segments.
            stating: numbers of the tables with public values, in the order in which these are hashed.

        Raises:
            ParameterError: these are not the tables of the key that have public values.
        """

    def leaf_proof(self, proofs: Sequence[bytes], before: Sequence[int], threads: int) -> bytes:
        """The proof of a leaf over segments, with the running hash before the first of them.

        Raises:
            ProofFormatError: a proof is not one of the segments' key.
            ProvingError: one does not verify.
            ParameterError: an argument is out of range.
        """

    def for_leaf_proof(self, proofs: Sequence[bytes], threads: int) -> bytes:
        """The proof of a node over leaves; raises as ``leaf_proof``, and ``ProvingError`` for leaves that do not follow
        each other."""

    def recursive_proof(self, proofs: Sequence[bytes], of_itself: bool, joined: bool, threads: int) -> bytes:
        """The proof of a node over nodes for leaves, or over others ``of_itself``; raises as ``for_leaf_proof``.

        Others may be ``joined``: each is a tree by itself, and the node hashes what they state. It raises
        ``ParameterError`` for nodes for leaves that are.
        """

    def commits(self) -> dict[str, list[int]]:
        """What proofs name the keys of ``segment``, ``leaf``, ``for_leaf`` and ``recursive`` by.

        A commitment to the key's expressions, and its digest, 8 elements each.
        """

    def keys(self) -> tuple[VerifyingKey, VerifyingKey, VerifyingKey]:
        """The keys of leaves, of nodes for leaves, and of recursive nodes."""

class Evaluator:
    """Expressions of a table, evaluated on many rows: for checking, filling and altering traces, not for proving.

    Its arithmetic is its own, on canonical integers. Cells, selectors and public values that are not canonical give
    values without meaning.

    Args:
        nodes: (n, 3) C-contiguous ``uint32``, as in circuits, in which only those that are needed are looked at.
        wanted: which nodes' values are given back, each as often as it is named.

    Raises:
        ParameterError: an operation is unknown, a constant is not canonical, an operand is no earlier node.
    """

    def __new__(cls, nodes: npt.NDArray[np.uint32], wanted: Sequence[int]) -> Evaluator: ...
    def run(
        self,
        local: npt.NDArray[np.uint32],
        next: npt.NDArray[np.uint32],
        ends: npt.NDArray[np.uint32],
        public: npt.NDArray[np.uint32],
    ) -> npt.NDArray[np.uint32]:
        """The values of the wanted nodes, (wanted, rows).

        Args:
            local, next: (rows, width) cells of the rows and of their successors.
            ends: (2, rows), 1 on the first row, and 1 on the last one.
            public: (1, k) public values, or (rows, k) those of each row.

        Raises:
            ParameterError: an array is not C-contiguous ``uint32`` or has another shape, a column or a public value
                that is read is not there, or there are more than 2^28 values.
        """

def parameters(log_stacked_height: int) -> dict[str, Any]:
    """The protocol parameters used with this stacked height, between 11 and 24.

    Raises:
        ParameterError: the height is out of range.
    """

def keygen(circuit: str, log_stacked_height: int) -> ProvingKey:
    """Makes the keys of a circuit. Deterministic.

    Raises:
        CircuitError: the document is malformed, breaks a limit, or would be proven to fewer than
            100 bits.
        ParameterError: ``log_stacked_height`` is not between 11 and 24.
    """

def prove(
    key: ProvingKey,
    traces: list[Any],
    public_values: Sequence[Sequence[int]],
    threads: int,
    consume: bool = False,
    device: Literal["own", "stock"] = "own",
) -> tuple[bytes, ProveStats]:
    """Proves the given traces.

    ``traces`` has one entry a table, in the order of ``key.tables``: None if the table is absent,
    otherwise a C-contiguous ``uint32`` array of shape ``(height, width)`` with canonical values. Read-only
    views are accepted; arrays are not copied on the Python side and must not be written to during
    the call. ``public_values`` has one list a table, empty where the table is absent. The engine
    uses exactly ``threads`` threads (1 to 1024).

    With ``consume`` the list is emptied as soon as the engine has its own copy: arrays nothing else
    refers to are freed before the proof, which lowers its peak memory by four bytes a cell.

    ``device`` is what runs the prover: our own, or the engine's stock one. They make the same proof, except that proofs
    of work of several threads are whatever is found first.

    Traces that break a constraint are not detected: a proof of them does not verify.

    Raises:
        TraceError: a shape, a type, a value, or the sum of all sizes is not acceptable.
        ParameterError: ``threads`` is out of range, or there is no such device.
        ProvingError: the engine failed.
    """

def verify(key: VerifyingKey, proof: bytes) -> VerifiedProof:
    """Checks a proof. Safe on untrusted bytes.

    Every length inside the proof is compared with what the key implies before anything is
    decoded, and the decoded proof must encode to the same bytes again.

    Raises:
        ProofFormatError: the bytes are not the canonical encoding of a proof for this key.
        VerificationError: the proof does not verify.
    """

def distinct_rows(
    rows: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct rows of a C-contiguous array of shape ``(n, k)``, in lexicographic order.

    Returns of each the number of the first row that is equal to it, and how many are, ``(m,)``; and of each row the
    place of its own among them, ``(n,)``.

    Raises:
        ParameterError: the array has another shape or type, or more than 2^32 - 1 rows.
    """

def sha256_states(blocks: npt.NDArray[np.uint32], begins: Sequence[int]) -> npt.NDArray[np.uint32]:
    """The state of SHA-256 behind each block of a C-contiguous array of words of shape ``(n, 16)``: ``(n, 8)``.

    Inputs begin at the blocks with the numbers ``begins``, which ascend.

    Raises:
        ParameterError: the array has another shape or type.
    """

def poseidon2_permute(state: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Applies the engine's permutation to every row of a C-contiguous array of shape ``(n, 16)``.

    Raises:
        ParameterError: the array has another shape or type, or a value is not canonical.
    """

def poseidon2_rounds(state: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """What the compression of every row of a C-contiguous array of shape ``(n, 16)`` goes through.

    Returns ``(n, 274)``: x^3 of the S-box inputs of the 8 full rounds, ``16`` each; the states behind these rounds but
    the last, ``16`` each; x^3 of the S-box input of the 13 partial rounds, and their outputs; the compression of the
    row, ``8``.

    Raises:
        ParameterError: the array has another shape or type, or a value is not canonical.
    """

def poseidon2_chain(start: npt.NDArray[np.uint32], blocks: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The running hash ``h -> C(h, block)`` from ``start``, of shape ``(1, 8)``, over ``blocks``, ``(n, 8)``.

    C adds its input to the engine's permutation of it and keeps the first 8 elements. Returns the state behind each
    block, ``(n, 8)``. Both arrays are C-contiguous and canonical.

    Raises:
        ParameterError: an array has another shape or type, or a value is not canonical.
    """

def poseidon2_constants() -> Poseidon2Constants:
    """The constants of that permutation, as canonical integers."""

def keccak_baseline(permutations: int, log_stacked_height: int, threads: int, seed: int = 0) -> KeccakBaseline:
    """Proves and verifies Keccak-f permutations with a hand-written table, as a yardstick.

    The table has 2633 columns and 24 rows a permutation, padded to a power of two. ``seed``
    determines the inputs.

    Raises:
        ParameterError: an argument is out of range, or the table does not fit the stacked height.
    """
