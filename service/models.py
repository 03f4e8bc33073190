"""What goes over the wire: requests and answers of the API, the same for server, client and page.

Times are UTC, durations seconds, sizes bytes, hashes and roots 0x-prefixed hexadecimal.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.states import Stage, State

T = TypeVar("T")

JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]


class Model(BaseModel):
    """A model that knows all of its fields."""

    model_config = ConfigDict(extra="forbid")


class Place(Model):
    """Where in a batch: numbers from 0 in the batch, in the block, and the program counter."""

    block: int | None = None
    transaction: int | None = None
    pc: int | None = None


class Code(StrEnum):
    """Why a request or a job is refused."""

    MALFORMED = "malformed"  # the request, or the batch file, cannot be read
    INVALID = "invalid_batch"  # the batch breaks a rule of its fork
    UNSUPPORTED = "unsupported"  # it is valid and cannot be proved yet
    TOO_LARGE = "too_large"  # body, or what proving needs
    UNREACHABLE = "node_unreachable"  # the node to fetch from
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # with the state of the job, or with an idempotency key
    RATE_LIMITED = "rate_limited"
    QUEUE_FULL = "queue_full"
    TIMEOUT = "timeout"  # deadline passed
    REJECTED = "proof_rejected"  # by the verifier
    UNAVAILABLE = "unavailable"  # the service stops, or its database is away
    INTERNAL = "internal"


class Problem(Model):
    """A refusal (RFC 9457, `application/problem+json`).

    Attributes:
        code: for programs.
        detail: for people, one line.
        hint: what to do about it, or empty.
        place: where in the batch, if it is about one.
        check: the verifier's check that refused a proof.
        retry_after: seconds after which trying again makes sense.
    """

    type: str = "about:blank"
    title: str
    status: int
    code: Code
    detail: str
    hint: str = ""
    place: Place | None = None
    check: str | None = None
    retry_after: float | None = None


class Options(Model):
    """How a batch is proved; what is left out follows the service's settings."""

    segment_memory: int | None = Field(
        default=None, ge=1, le=1 << 20, description="MiB that proving one segment may take"
    )
    segment_operations: int | None = Field(default=None, ge=1, le=1 << 31, description="most operations of a segment")
    one_proof: bool | None = Field(
        default=None, description="one proof of all segments, of the same size whatever it proves, which takes minutes"
    )


class Source(Model):
    """Blocks of a node, to be fetched when the job runs."""

    rpc: str = Field(max_length=2048, pattern=r"^https?://")
    first: int = Field(alias="from", ge=0, lt=1 << 63)
    last: int = Field(alias="to", ge=0, lt=1 << 63)
    last_hash: Hash | None = Field(None, description="the job is refused if the last block is another one")
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Submission(Model):
    """A job as JSON: a batch document (`batch`) or blocks of a node (`source`).

    A batch file of any format that `zkevm prove` reads may be sent as it is, too: as the body, with `priority`,
    `deadline`, `name` and the options as query parameters.
    """

    batch: dict[str, Any] | list[Any] | None = None
    source: Source | None = None
    name: str = Field("", max_length=200)
    priority: int = Field(0, ge=-100, le=100)
    deadline: datetime | None = None
    options: Options = Field(default_factory=lambda: Options())


class SegmentState(StrEnum):
    """Where a segment stands."""

    WAITING = "waiting"
    PROVING = "proving"
    PROVED = "proved"


class Segment(Model):
    """A segment of a job's plan."""

    index: int
    state: SegmentState
    first_operation: int
    end_operation: int
    cells: int
    interactions: int
    memory: int
    reused: bool = False
    started: datetime | None = None
    seconds: float | None = None
    proof_bytes: int | None = None
    worker: str | None = None


class Check(Model):
    """A check of the verifier that passed."""

    name: str
    establishes: str
    seconds: float


class Job(Model):
    """A batch in the service.

    Attributes:
        stage: of a running job.
        progress: from 0 to 1 over all stages.
        stage_done, stage_total: of the stage, in its units (blocks, segments, checks).
        remaining: estimate of the seconds to go, None if there is none.
        tries: how often it was begun.
        problem: of a failed or abandoned job.
        statement: of a done job: what the proof says.
    """

    id: JobId
    name: str
    state: State
    stage: Stage | None = None
    progress: float = Field(0.0, ge=0, le=1)
    stage_done: int = 0
    stage_total: int = 0
    remaining: float | None = None
    priority: int
    deadline: datetime | None = None
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    tries: int
    max_tries: int
    options: Options
    source: Source | None = None
    batch_bytes: int | None = None
    blocks: int | None = None
    transactions: int | None = None
    gas_used: int | None = None
    steps: int | None = None
    cells: int | None = None
    interactions: int | None = None
    proof_bytes: int | None = None
    segments_done: int = 0
    segments_total: int | None = None
    stage_seconds: dict[Stage, float] = {}
    statement: dict[str, Any] | None = None
    statement_digest: Hash | None = None
    problem: Problem | None = None
    submitted_by: str | None = None


class JobDetail(Job):
    """A job with its segments and the verifier's checks."""

    segments: list[Segment] = []
    checks: list[Check] = []


class Page(Model, Generic[T]):
    """Part of a list; `next` is the cursor of the following part."""

    items: list[T]
    next: str | None = None
    total: int


class JobEvent(Model):
    """Something that happened to a job, as sent by `/v1/jobs/{id}/events` and `/v1/events`.

    Attributes:
        number: grows with every event; a stream goes on from `Last-Event-ID`.
        kind: `state`, `stage`, `progress`, `segment` or `check`.
        data: what has changed: fields of `Job`, of a `Segment`, or a `Check`.
    """

    number: int
    job: JobId
    time: datetime
    kind: Literal["state", "stage", "progress", "segment", "check"]
    data: dict[str, Any]


class TableCost(Model):
    """A table, or an instruction, and what it takes."""

    name: str
    rows: int
    cells: float
    interactions: float
    is_instruction: bool = False


class TransactionCost(Model):
    """A transaction of the batch with what it executed."""

    block: int
    transaction: int
    hash: Hash | None = None
    steps: int
    gas_used: int


class Costs(Model):
    """Where the cells and interactions of a job go, all segments together; the most expensive first."""

    tables: list[TableCost]
    instructions: list[TableCost]
    transactions: list[TransactionCost]


class Estimate(Model):
    """What proving a batch would take, without proving it.

    Attributes:
        seconds: of proving on this service's workers, from measured rates; None where nothing has been measured.
        memory: bytes of the largest segment.
        unsupported: why it cannot be proved, if so; then the figures of proving are None.
    """

    blocks: int
    transactions: int
    steps: int
    gas_used: int
    fork: str
    segments: int | None = None
    cells: int | None = None
    interactions: int | None = None
    memory: int | None = None
    seconds: float | None = None
    unsupported: Problem | None = None
    statement: dict[str, Any]
    costs: Costs | None = None


class Verification(Model):
    """The verdict about anybody's proof file."""

    accepted: bool
    statement: dict[str, Any] | None = None
    statement_digest: Hash | None = None
    security_bits: float | None = None
    checks: list[Check] = []
    seconds: float
    problem: Problem | None = None


class Scope(StrEnum):
    """What a key may do: each includes those before."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


class Worker(Model):
    """A process that proves."""

    id: str
    host: str
    started: datetime
    seen: datetime
    jobs: list[JobId]
    memory: int
    threads: int


class Following(Model):
    """The chain that is followed.

    Attributes:
        head: number of the node's last block.
        next_block: the first block that is in no batch.
        lag: blocks that are in no batch, with those that wait for their confirmations.
        proved: up to this block all batches are proved, and their statements chain.
        reorganisations: how often blocks that had been seen were gone.
        gaps: what keeps statements after `proved` from chaining. Each is worth an alarm.
        problem: why it does not get on.
        updated: when a process last looked at the node.
    """

    rpc: str
    head: int | None = None
    next_block: int
    confirmations: int
    last_batch: JobId | None = None
    reorganisations: int = 0
    problem: str | None = None
    lag: int | None = None
    proved: int | None = None
    gaps: list[str] = []
    updated: datetime | None = None


class Overview(Model):
    """The service at a glance."""

    version: str
    queue: dict[State, int]
    workers: list[Worker]
    following: Following | None = None
    proofs_per_hour: float
    cells_per_second: float | None = None
    queue_history: list[tuple[datetime, int, int]] = []  # time, queued, running
