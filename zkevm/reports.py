"""What the commands print with `--json`: one object each, whose fields are those of one of these classes.

They are plain dataclasses, so that the verifier alone needs no library for them. `zkevm schema report` prints the JSON
schema that pydantic makes of them (`zkevm.schemas`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from verifier.statement import BatchStatement
from verifier.swirl.security import SecurityReport as SecurityAnalysis
from verifier.verify import VerificationReport


@dataclass(frozen=True)
class Pattern:
    """Says in a JSON schema how a string is spelled.

    Attributes:
        regex: that the whole string matches.
    """

    regex: str

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core_schema), "pattern": self.regex}


Hash = Annotated[str, Pattern("^0x[0-9a-f]{64}$")]
"""32 bytes as 0x and 64 hexadecimal digits."""


Address = Annotated[str, Pattern("^0x[0-9a-f]{40}$")]
"""20 bytes as 0x and 40 hexadecimal digits."""


class Described:
    """The classes here, whose schemas have the docstrings behind the fields."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"use_attribute_docstrings": True, "extra": "forbid"}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # all are dataclasses


@dataclass(frozen=True)
class Statement(Described):
    """What a proof says: executing exactly these transactions, from a state with this root, gives exactly that."""

    chain_id: int
    """Chain id (EIP-155), below 2^64."""
    fork: str
    """The rules of the blocks: a fork's name, or several, the later ones with the times from which they are."""
    pre_state_root: Hash
    """Root of the state trie before the first block."""
    post_state_root: Hash
    """Root of the state trie after the last block."""
    first_block_number: int
    """Number of the first block; without blocks that of the parent."""
    first_block_hash: Hash
    """keccak256 of the first block's header."""
    last_block_number: int
    """Number of the last block."""
    last_block_hash: Hash
    """keccak256 of the last block's header."""
    transactions_commitment: Hash
    """keccak256 of the RLP of a list with one list of signed transactions (EIP-2718) for each block."""
    receipts_commitment: Hash
    """keccak256 of the RLP of a list with one list of receipts (EIP-2718) for each block."""
    gas_used: int
    """Of all blocks together, gas."""

    @classmethod
    def of(cls, statement: BatchStatement) -> Statement:
        """Of a statement, bytes as hexadecimal digits."""
        return cls(**statement.to_dict())  # type: ignore[arg-type]


def hexadecimal(value: bytes) -> str:
    """Bytes as reports have them: 0x and hexadecimal digits."""
    return f"0x{value.hex()}"


@dataclass(frozen=True)
class Counts(Described):
    """A batch in numbers."""

    blocks: int
    """Blocks."""
    transactions: int
    """Transactions."""
    frames: int
    """Message calls and creations, those of precompiled contracts included."""
    steps: int
    """Instructions that began."""
    logs: int
    """Log entries, those of reverted frames included."""
    gas_used: int
    """Of all blocks, gas."""
    state_keys: int
    """What of accounts and slots was touched, each once."""
    trace_bytes: int
    """Memory of the execution trace, bytes."""
    witness_bytes: int
    """The trie nodes that prove the state before, bytes."""


@dataclass(frozen=True)
class ExecuteReport(Counts):
    """`zkevm execute`."""

    seconds: float
    """Of reading and executing."""
    statement: Statement
    """What a proof of it says."""
    statement_digest: Hash
    """keccak256 of the ABI encoding of the statement's fields."""


@dataclass(frozen=True)
class ConstraintViolation(Described):
    """A constraint that does not vanish on a row."""

    segment: int
    """Index of the segment."""
    kind: Literal["ConstraintFinding"]
    text: str
    """The violation in words."""
    table: str
    row: int
    constraint: str
    """Name of the constraint."""
    cells: dict[str, int]
    """The columns that the constraint reads, those of the next row as next.NAME."""


@dataclass(frozen=True)
class BusViolation(Described):
    """A message that tables send more or less often than others receive it."""

    segment: int
    """Index of the segment."""
    kind: Literal["BusFinding"]
    text: str
    """The violation in words."""
    bus: str
    message: dict[str, list[int]]
    """The fields of the message."""
    count: int
    """How often it is sent, less how often it is received."""
    rows: list[tuple[str, int, int]]
    """Table, row and count of some that carry it."""


@dataclass(frozen=True)
class ShapeViolation(Described):
    """A trace that is none of its table."""

    segment: int
    """Index of the segment."""
    kind: Literal["ShapeFinding"]
    text: str
    """The violation in words."""
    table: str
    reason: str


@dataclass(frozen=True)
class CheckReport(Described):
    """`zkevm check`."""

    satisfied: bool
    """Whether all constraints and buses hold."""
    segments: int
    """Segments that were checked."""
    transactions: int
    steps: int
    """Instructions that began."""
    tables: int
    """Tables of the circuit."""
    constraints: int
    """Constraints of the circuit."""
    cells: int
    """Of all segments, padding included."""
    interactions: int
    """Messages on buses, padding included."""
    violations: int
    """How many were found."""
    seconds: float
    """Of planning, filling and checking."""
    findings: list[ConstraintViolation | BusViolation | ShapeViolation]
    """The violations."""


@dataclass(frozen=True)
class FetchReport(Described):
    """`zkevm fetch`."""

    blocks: int
    first_block_number: int
    last_block_number: int
    last_block_hash: Hash
    transactions: int
    chain_id: int
    fork: str
    """The rules of the blocks, as in a statement."""
    bytes: int
    """Size of the batch file."""
    completed: int
    """Accounts and slots that witnesses lacked, and proofs showed."""
    batch: str
    """Path of the batch file."""
    seconds: float


@dataclass(frozen=True)
class NewReport(Described):
    """`zkevm new`."""

    folder: str
    """Path of the project."""
    language: str
    """What its contract is written in."""
    files: list[str]
    """Paths of its files."""


@dataclass(frozen=True)
class TransactionBuilt(Described):
    """A transaction of a project's plan, and what it did."""

    block: int
    """Its block in the batch, from 0."""
    transaction: int
    """Its number in the block, from 0."""
    line: int
    """In the plan."""
    what: str
    """In words."""
    sender: str
    """Name of the account that paid."""
    succeeded: bool
    gas_used: int
    output: Annotated[str, Pattern("^0x([0-9a-f]{2})*$")]
    """What it returned; of a creation nothing."""


@dataclass(frozen=True)
class BuildReport(Described):
    """`zkevm build`."""

    batch: str
    """Path of the batch file."""
    bytes: int
    """Size of the batch file."""
    chain_id: int
    fork: str
    """The rules of the blocks, as in a statement."""
    gas_used: int
    """Of all blocks, gas."""
    accounts: dict[str, Address]
    """By name."""
    contracts: dict[str, Address]
    """What was deployed, by name."""
    compilers: dict[str, str]
    """What made the code of each contract, by name."""
    transactions: list[TransactionBuilt]


@dataclass(frozen=True)
class SegmentProved(Described):
    """A segment that was proved."""

    operations: int
    """Transactions, system calls and withdrawals that begin in it."""
    cells: int
    interactions: int
    log_stacked_height: int
    """Parameter of the engine, which selects the verifying key."""
    proof_bytes: int
    reused: bool
    """Whether an earlier run had proved it."""
    fill_seconds: float | None
    """null for one that was reused."""
    prove_seconds: float | None
    """null for one that was reused."""


@dataclass(frozen=True)
class ProveReport(Described):
    """`zkevm prove`."""

    blocks: int
    transactions: int
    steps: int
    """Instructions that are proved."""
    security_bits: float | None
    """The least proven security of a segment proof, or of all layers of their tree, bits; null without segments."""
    left_to_the_verifier: list[str]
    """Names of the checks that the verifier makes beside that of the proofs."""
    proof: str
    """Path of the proof file."""
    proof_bytes: int
    statement: Statement
    statement_digest: Hash
    segments: list[SegmentProved]
    tree: list[NodeOfTree]
    """Of one proof of all segments, in the order in which its nodes were finished; empty where each has its own."""
    why_segments_only: str | None
    """Why each of several segments has its own proof, where nobody has asked for that; null otherwise."""
    seconds: dict[str, float]
    """By phase: execute, plan, prove, verify, aggregate where there is one proof, write."""


@dataclass(frozen=True)
class CheckMade(Described):
    """A check that a proof has passed."""

    name: str
    establishes: str
    """What holds once it has passed."""
    seconds: float


@dataclass(frozen=True)
class NodeOfTree(Described):
    """A node of the tree of proofs."""

    layer: Literal["leaf", "node for leaves", "recursive node"]
    number: int
    """Within its layer, from 0."""
    children: int
    """How many it verifies."""
    proof_bytes: int
    seconds: float
    """To make it; 0 where it was in the store."""
    reused: bool
    """Whether it was."""


@dataclass(frozen=True)
class AggregateReport(Described):
    """`zkevm aggregate`."""

    batches: int
    """How many the one proof is of."""
    segments: int
    """How many the one proof is of."""
    nodes: int
    """Of the tree."""
    reused: int
    """Nodes that were in the store."""
    one_proof_bytes: int
    proof_bytes: int
    """Of the file."""
    security_bits: float
    """The least proven security of all layers, bits."""
    seconds: float
    """To make the nodes."""
    proof: str
    """The file."""
    tree: list[NodeOfTree]
    """In the order in which they were finished."""


@dataclass(frozen=True)
class AcceptedReport(Described):
    """`zkevm verify` of a proof that is accepted."""

    accepted: Literal[True]
    statement: Statement
    digest: Hash
    """Of the statement."""
    batches: int
    """How many follow each other in it, with one proof of all; 1 where each segment has its own."""
    blocks: int
    transactions: int
    segments: int
    unprotected: int
    """Transactions that are signed for no chain (before EIP-155)."""
    security_bits: float | None
    """The least proven security of a segment proof, bits; null without segments."""
    proof_bytes: int
    seconds: float
    """Of all checks."""
    checks: list[CheckMade]

    @classmethod
    def of(cls, report: VerificationReport) -> AcceptedReport:
        """Of the verifier's report."""
        document = report.to_dict()
        checks = [CheckMade(**check) for check in document["checks"]]
        return cls(True, **document | {"statement": Statement.of(report.statement), "checks": checks})


@dataclass(frozen=True)
class RejectedReport(Described):
    """`zkevm verify` of a proof that is rejected."""

    accepted: Literal[False]
    check: str
    """Name of the check that failed."""
    reason: str


@dataclass(frozen=True)
class PlannedSegment(Described):
    """A segment that a batch would be proved in."""

    first_operation: int
    end_operation: int
    """One behind the last operation that begins in it."""
    cells: int
    interactions: int
    memory_bytes: int
    """Estimated peak memory of proving it."""
    log_stacked_height: int
    """Parameter of the engine, which selects the verifying key."""


@dataclass(frozen=True)
class TableCosts(Described):
    """What a table takes."""

    name: str
    rows: int
    """Rows that stand for something."""
    height: int
    """Rows, padding included."""
    columns: int
    interactions: int
    """Of a row."""
    is_instruction: bool
    """Whether its rows are steps."""
    cells: int
    """Padding included."""
    messages: int
    """Interactions of all rows, padding included."""


@dataclass(frozen=True)
class InstructionCosts(Described):
    """What an instruction takes of the tables that hold its steps, padding included."""

    name: str
    steps: int
    cells: float
    messages: float
    """Interactions."""


@dataclass(frozen=True)
class CostsReport(Described):
    """What a segment takes, by table and by instruction, the most expensive first."""

    steps: int
    operations: int
    cells: int
    interactions: int
    cells_per_step: float
    """Of the instruction tables alone."""
    interactions_per_step: float
    """Of the instruction tables alone."""
    tables: list[TableCosts]
    instructions: list[InstructionCosts]


@dataclass(frozen=True)
class _BatchKind(Described):
    kind: Literal["batch"]


@dataclass(frozen=True)
class InspectBatchReport(Counts, _BatchKind):
    """`zkevm inspect` of a batch."""

    statement: Statement
    """What a proof of it says."""
    statement_digest: Hash
    segments: list[PlannedSegment]
    costs: CostsReport | None
    """Of the first segment; null where there is none."""
    unsupported: str | None
    """Why it cannot be proved, if so."""


@dataclass(frozen=True)
class SegmentInFile(Described):
    """A segment of a proof file."""

    first_operation: int
    end_operation: int
    """One behind the last operation that begins in it."""
    log_stacked_height: int
    """Parameter of the engine, which selects the verifying key."""
    writes: int
    """To accounts, slots and codes that it leaves."""
    proof_bytes: int


@dataclass(frozen=True)
class CheckToMake(Described):
    """A check that the verifier makes."""

    name: str
    establishes: str
    """What holds once it has passed."""


@dataclass(frozen=True)
class ProofBytes(Described):
    """What a proof file consists of, bytes."""

    proof_file: int
    segment_proofs: int
    """Of all segments together; 0 where they have one proof."""
    one_proof: int
    """The one proof of all segments; 0 where each has its own."""
    state_witness: int
    codes: int
    transactions: int


@dataclass(frozen=True)
class InspectProofReport(Described):
    """`zkevm inspect` of a proof file, which is not judged."""

    kind: Literal["proof"]
    statement: Statement
    """What the file claims."""
    statement_digest: Hash
    batches: int
    blocks: int
    transactions: int
    state_keys: int
    bytes: ProofBytes
    segments: list[SegmentInFile]
    checks: list[CheckToMake]


@dataclass(frozen=True)
class SecuritySizes(Described):
    """What the security of a segment proof follows from."""

    tables: int
    """Tables with rows."""
    constraints: int
    """Constraints of them."""
    columns: int
    """Columns of them."""
    log_height: int
    """log2 of the rows of the highest table."""
    stacked_columns: int
    """What the columns of all tables are stacked into."""
    interactions: int
    """Of all rows, padding included."""


@dataclass(frozen=True)
class SecurityStep(Described):
    """A step of the protocol."""

    name: str
    unique: float
    """Proven bits in unique decoding."""
    johnson: float
    """Proven bits in list decoding."""
    failure: str
    """What happens when a challenge is bad."""


@dataclass(frozen=True)
class SecurityTotal(Described):
    """Bits of the weakest step."""

    unique: float
    """In unique decoding, the regime that the parameters are for."""
    johnson: float
    """In list decoding."""


@dataclass(frozen=True)
class SegmentSecurity(Described):
    """The proven security of a segment proof."""

    log_stacked_height: int
    """Parameter of the engine, which selects the verifying key."""
    sizes: SecuritySizes
    multiplicity: int
    """m of the list-decoding regime."""
    steps: list[SecurityStep]
    total: SecurityTotal
    engine: dict[str, float] | None
    """Bits by step of the engine's calculator; null where it is not installed."""

    @classmethod
    def of(cls, log_stacked_height: int, report: SecurityAnalysis, engine: dict[str, float] | None) -> SegmentSecurity:
        """Of the verifier's analysis."""
        return cls(
            log_stacked_height=log_stacked_height,
            sizes=SecuritySizes(**asdict(report.sizes)),
            multiplicity=report.multiplicity,
            steps=[SecurityStep(**asdict(step)) for step in report.steps],
            total=SecurityTotal(report.unique, report.johnson),
            engine=engine,
        )


@dataclass(frozen=True)
class OneProofSecurity(Described):
    """The proven security of the one proof of all segments, by the layers of its tree."""

    node: SegmentSecurity
    """Of the last node, whose proof it is: up to the Johnson bound."""
    inner: float
    """Bits of the weakest step of all nodes above the leaves, at any heights of their tables."""
    leaves: float
    """Bits of the weakest step of leaves and of segments of this size, at any heights, in unique decoding."""


@dataclass(frozen=True)
class SecurityReport(Described):
    """`zkevm inspect --security`."""

    kind: Literal["security"]
    accepted: Literal[True]
    bits: float | None
    """Of the weakest step of all segments, or of all layers of their one proof; null without segments."""
    segments: list[SegmentSecurity]
    """Of each segment's proof; none where there is one proof of all."""
    one_proof: OneProofSecurity | None
    """Null where each segment has a proof of its own."""


@dataclass(frozen=True)
class RefusedSecurityReport(Described):
    """`zkevm inspect --security` of a proof that is refused, or whose security nothing is known of."""

    kind: Literal["security"]
    accepted: Literal[False]
    segment: int | None
    """The one that is refused; null where it is the file."""
    reason: str


@dataclass(frozen=True)
class ConformanceReasons(Described):
    """Why cases did not pass, by name."""

    failed: dict[str, str]
    unsupported: dict[str, str]
    left_out: dict[str, str]


@dataclass(frozen=True)
class ConformanceReport(Described):
    """`zkevm conformance`."""

    passed: int
    failed: int
    unsupported: int
    """Valid, but not provable."""
    left_out: int
    """Of other networks, or too slow."""
    reasons: ConformanceReasons


@dataclass(frozen=True)
class Problem(Described):
    """What went wrong. Errors of a service may have more fields."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"use_attribute_docstrings": True, "extra": "allow"}

    kind: str
    """Name of the error's class."""
    message: str
    """In one line."""
    hint: str
    """What can be done, or empty."""


@dataclass(frozen=True)
class ErrorReport(Described):
    """Any command that fails, with exit status 2, 3 or 130."""

    error: Problem
