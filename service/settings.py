"""What can be set: by `zkevm serve`, or by environment variables of the same names with the prefix `ZKEVM_`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.models import Options

#: Part of the machine's memory that proving may take unless said otherwise.
_MEMORY_PART = 0.8


class Settings(BaseSettings):
    """Settings of one service process; several processes that share a database may differ in all but `database`,
    `artifacts` and `max_tries`.

    Attributes:
        data: folder of the database and the artifacts unless these are set, and of nothing else that has to last.
        database: SQLAlchemy's URL, `sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`; a file in
            `data` when None.
        artifacts: fsspec's URL of the folder of proofs and batches, `s3://BUCKET/PREFIX` for example; a folder in
            `data` when None.
        artifacts_options: fsspec's options of that URL, such as `{"endpoint_url": ...}` for other stores than AWS.
        host, port: where HTTP is served.
        public_url: under which clients reach the service, if it is another one than `host` and `port` say.

        prove: whether this process proves; without it, it serves the API alone.
        memory: MiB that all jobs of this process may take together; most of the machine's when None.
        jobs: proved at the same time by this process.
        workers: segments of one job that are proved at the same time; a job that is alone has those of all jobs.
        ray_address: of the cluster that proves segments, None for this machine.
        segment_memory: MiB of one segment unless a job says otherwise.
        segment_operations: most operations of one segment unless a job says otherwise.
        one_proof: make one proof of all segments of each job unless a job says otherwise.

        max_tries: tries of a job that end without any new finished segment until it is failed.
        job_seconds: that one try may take.
        lease_seconds: after which a job of a process that no longer answers is given to another.
        poll_seconds: between two looks at the queue.
        stop_seconds: until jobs are killed when the service is asked to stop; they go on when it starts again.
        small_seconds: jobs that are expected to take longer leave one of `jobs` to those which are not.
        warm: processes that have proved are kept for so many seconds for the next job.
        fetch_seconds: that fetching a job's blocks from its node may take.

        follow: JSON-RPC of a node to follow, None to follow none.
        follow_from: the first block to prove; the one after the head when None. If following has begun and its place
            is before this block, what lies between is left out.
        follow_fork: of the blocks, where neither their headers nor the node say it.
        batch_blocks, batch_gas, batch_seconds: a batch is closed when it has so many blocks, gas, or is so old.
        confirmations: blocks that must follow a block before it is taken.
        follow_poll_seconds: between two looks at the head.

        max_body_bytes: of a request.
        max_queued: jobs that wait; more are refused.
        requests_per_minute: of one key or address; 0 for any number.
        request_seconds: that answering a request may take.
        estimate_seconds: that an estimate, or verifying a proof, may take.
        keep_days: events and samples older than this are removed.
        log_level, log_json: of the log, on standard error.
        trace_endpoint: OpenTelemetry's OTLP over HTTP, None for no traces.
    """

    model_config = SettingsConfigDict(env_prefix="ZKEVM_", extra="ignore", validate_default=True)

    data: Path = Path("zkevm-data")
    database: SecretStr | None = None
    artifacts: str | None = None
    artifacts_options: dict[str, object] = {}
    host: str = "127.0.0.1"
    port: int = Field(8280, ge=0, le=65535)
    public_url: str | None = None

    prove: bool = True
    memory: int | None = Field(None, ge=1)
    jobs: int = Field(default_factory=lambda: max(2, (os.cpu_count() or 1) // 4), ge=1)
    workers: int | None = Field(None, ge=1)
    ray_address: str | None = None
    segment_memory: int | None = Field(None, ge=1)
    segment_operations: int | None = Field(None, ge=1)
    one_proof: bool = False

    max_tries: int = Field(3, ge=1)
    job_seconds: float = Field(24 * 3600.0, gt=0)
    lease_seconds: float = Field(30.0, gt=0)
    poll_seconds: float = Field(0.5, gt=0)
    stop_seconds: float = Field(2.0, ge=0)
    small_seconds: float = Field(60.0, ge=0)
    warm: float = Field(300.0, ge=0)
    fetch_seconds: float = Field(600.0, gt=0)

    follow: str | None = None
    follow_from: int | None = Field(None, ge=1)
    follow_fork: str | None = None
    batch_blocks: int = Field(1, ge=1, le=4096)
    batch_gas: int | None = Field(None, ge=1)
    batch_seconds: float | None = Field(None, gt=0)
    confirmations: int = Field(0, ge=0)
    follow_poll_seconds: float = Field(2.0, gt=0)

    max_body_bytes: int = Field(256 << 20, ge=1)
    max_queued: int = Field(10_000, ge=1)
    requests_per_minute: int = Field(6_000, ge=0)
    request_seconds: float = Field(60.0, gt=0)
    estimate_seconds: float = Field(600.0, gt=0)
    keep_days: float = Field(30.0, gt=0)
    log_level: str = "info"
    log_json: bool = True
    trace_endpoint: str | None = None

    @field_validator("data")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        """Other processes are started with it."""
        return folder.absolute()

    @field_validator("follow")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        """Nothing else is ever a node, so that it is not waited for."""
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError(f"{url!r}, where an address such as http://localhost:8545 is expected")
        return url

    def budget(self, options: Options) -> dict[str, int | None]:
        """What one segment of a job may take: the arguments of `prover.planner.Budget`."""
        memory = options.segment_memory or self.segment_memory
        operations = options.segment_operations or self.segment_operations
        return {"memory": None if memory is None else memory << 20, "operations": operations}

    def has_one_proof(self, options: Options) -> bool:
        """Whether a job gets one proof of all its segments."""
        return self.one_proof if options.one_proof is None else options.one_proof

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL. It may hold a password."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{self.data / 'service.sqlite'}"

    @property
    def artifacts_url(self) -> str:
        """fsspec's URL of the artifacts."""
        return self.artifacts or str(self.data / "artifacts")

    @property
    def memory_bytes(self) -> int:
        """Memory that all jobs may take together."""
        if self.memory is not None:
            return self.memory << 20
        return int(_MEMORY_PART * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    @property
    def workers_each(self) -> int:
        """Segments of a job that are proved at the same time while other jobs run."""
        return self.workers or max(1, (os.cpu_count() or 1) // self.jobs)

    @property
    def workers_alone(self) -> int:
        """Segments of a job that are proved at the same time while no other job runs."""
        return self.workers_each * self.jobs
