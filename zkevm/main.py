"""The `zkevm` command."""

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zkevm.console import Output
from zkevm.errors import UsageError
from zkevm.outcomes import REJECTED, UNUSABLE, Description, describe, errors
from zkevm.verifying import AsJson, Security, inspect_file, named_forks, new_app, verify

if TYPE_CHECKING:
    from prover.planner import Budget

app = new_app(
    "Prove the execution of Ethereum blocks, and verify such proofs.",
    "Exit status: 0 done or accepted, 1 rejected or violations found, 2 unusable input, 3 internal error.",
)

InputFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="A batch file, FILE::CASE of a BlockchainTest, or blocks with a genesis file or an execution witness.",
        show_default=False,
    ),
]
SegmentMemory = Annotated[
    int | None,
    typer.Option(
        "--segment-memory",
        min=1,
        metavar="MIB",
        help="Memory that proving one segment may take.",
        show_default="1024, and what one transaction needs",
    ),
]
BenchMemory = Annotated[
    int | None,
    typer.Option(
        "--segment-memory",
        min=1,
        metavar="MIB",
        help="Memory that proving one segment may take.",
        show_default="one segment, whatever it takes",
    ),
]
SegmentOperations = Annotated[
    int | None,
    typer.Option(
        "--segment-operations",
        min=1,
        help="Most transactions (withdrawals, beacon-root writes) of one segment.",
        show_default="no limit",
    ),
]
SegmentSteps = Annotated[
    int | None,
    typer.Option(
        "--segment-steps",
        min=1,
        help="End a segment after so many steps, wherever that is and whatever memory it takes.",
        show_default="where it costs least",
    ),
]

StackedHeight = Annotated[
    int | None,
    typer.Option(
        "--stacked-height",
        metavar="LOG2",
        help="Give all segments the same stacked height, at least this: segments of one height have one proof.",
        show_default="what suits each segment",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", metavar="ADDRESS", help="Prove on this Ray cluster instead of this machine."),
]

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw cells and interactions by table and instruction: .svg, .png or .pdf."
    ),
]


class Device(StrEnum):
    """What runs the engine's prover."""

    own = "own"
    stock = "stock"


class Stage(StrEnum):
    """How far a conformance run takes each case."""

    execute = "execute"
    check = "check"
    prove = "prove"


class Language(StrEnum):
    """What the contract of a new project is written in; as `zkevm.projects.new.Language`."""

    solidity = "solidity"
    vyper = "vyper"
    yul = "yul"


class Subject(StrEnum):
    """What there is a schema of; as `zkevm.schemas.Subject`."""

    batch = "batch"
    report = "report"
    statement = "statement"


DEFAULT_SERVICE = "http://127.0.0.1:8280"

ServiceUrl = Annotated[str, typer.Option("--url", metavar="URL", envvar="ZKEVM_URL", help="Where the service is.")]
ServiceKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        envvar="ZKEVM_KEY",
        help="Key of its API; better in the environment.",
        show_default="none, on the same machine",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)]
DataFolder = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of the service.", show_default="zkevm-data")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="Its database.", show_default="a file in the folder"),
]


class KeyScope(StrEnum):
    """What a key may do; as `service.models.Scope`."""

    read = "read"
    submit = "submit"
    admin = "admin"


class JobState(StrEnum):
    """Where a job stands; as `service.states.State`."""

    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"
    abandoned = "abandoned"


keys_app = typer.Typer(help="Keys of the API of a proving service on this machine.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


@app.command()
def execute(
    input: InputFiles,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="OUT", help="Write the execution trace to this file.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0, help="Stop after this time.", show_default="no limit")
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            "--memory", min=1, metavar="MIB", help="Stop above this growth of memory.", show_default="no limit"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Execute a batch: roots, gas and receipts, without proving."""
    output = Output(as_json)
    with _errors(output):
        from executor.limits import Limits
        from zkevm.commands import execute_batch

        limits = Limits(seconds=seconds, memory=None if memory is None else memory << 20)
        execute_batch(input, trace, limits, output)


@app.command()
def fetch(
    blocks: Annotated[
        str,
        typer.Argument(
            metavar="BLOCK[..BLOCK]", help="Numbers, or latest, safe, finalized, earliest.", show_default=False
        ),
    ],
    rpc: Annotated[
        str, typer.Option("--rpc", metavar="URL", help="JSON-RPC of a node, over HTTP.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="BATCH", help="The batch file to write.", show_default=False)],
    fork: Annotated[
        list[str] | None,
        typer.Option(
            "--fork",
            metavar="NAME[=TIME]",
            help="Fork of the blocks, or forks with the times from which they are; may be given several times.",
            show_default="what headers or node say",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch blocks and what proves the state before them from a node, as a batch file."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.commands import fetch_batch

        fetch_batch(rpc, blocks, out, named_forks(fork), output)


@app.command()
def check(
    input: InputFiles,
    segment_memory: SegmentMemory = None,
    segment_operations: SegmentOperations = None,
    segment_steps: SegmentSteps = None,
    as_json: AsJson = False,
) -> None:
    """Fill all tables and check every constraint and bus, without proving."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.commands import check_batch

        satisfied = check_batch(input, _budget(segment_memory, segment_operations, segment_steps), output)
    if not satisfied:
        raise typer.Exit(REJECTED)


@app.command()
def prove(
    input: InputFiles,
    out: Annotated[Path, typer.Option("--out", metavar="PROOF", help="The proof file to write.", show_default=False)],
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Segments proved at the same time.", show_default="one per core"),
    ] = None,
    ray_address: RayAddress = None,
    segment_memory: SegmentMemory = None,
    segment_operations: SegmentOperations = None,
    segment_steps: SegmentSteps = None,
    stacked_height: StackedHeight = None,
    one_proof: Annotated[
        bool,
        typer.Option("--one-proof", help="Make one proof of all segments, even of a single one; refuse what has none."),
    ] = False,
    segments_only: Annotated[
        bool,
        typer.Option("--segments-only", help="Leave each segment its own proof, which takes seconds."),
    ] = False,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Folder of finished proofs of segments.", show_default="PROOF.segments"
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the segment proofs when the proof is written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove a batch. A run that was killed goes on where it was when it is started again.

    Several segments get one proof of all: minutes more, and 5 GB of memory, or 7 where
    pairings of alt_bn128 or P256VERIFY are called.
    Where there can be none it says why, and each has its own.
    """
    output = Output(as_json)
    with _errors(output):
        from prover.workers import Workers
        from zkevm.commands import prove_batch

        if one_proof and segments_only:
            raise UsageError("--one-proof and --segments-only exclude each other", "give one of them, or neither")
        wanted = True if one_proof else False if segments_only else None
        budget = _budget(segment_memory, segment_operations, segment_steps, stacked_height)
        prove_batch(input, out, Workers(workers, ray_address), budget, store, keep, wanted, output)


@app.command()
def aggregate(
    proofs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PROOF...",
            help="Proof files of batches that follow each other, with a proof of each segment or one of all.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PROOF", help="The proof file to write.", show_default=False)],
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Nodes proved at the same time, some GiB each.", show_default="1"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, max=1024, help="Threads of a worker.", show_default="the cores, divided"),
    ] = None,
    ray_address: RayAddress = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="Folder of finished nodes.", show_default="PROOF.nodes"),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the nodes when the proof is written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make one proof of all segments of proof files, of the same size whatever it proves.

    A file that has one proof already is joined to others in less time: its segments are not verified again.
    """
    output = Output(as_json)
    with _errors(output):
        from prover.workers import Workers
        from zkevm.commands import aggregate_proofs

        aggregate_proofs(proofs, out, Workers(workers, ray_address, threads), store, keep, output)


app.command()(verify)


@app.command()
def inspect(
    file: Annotated[
        list[Path], typer.Argument(metavar="PROOF|INPUT...", help="A proof file or a batch.", show_default=False)
    ],
    plot: Plot = None,
    security: Security = False,
    as_json: AsJson = False,
) -> None:
    """Show what a proof states and how it is checked, or what a batch holds and what it would cost."""
    output = Output(as_json)
    accepted = True
    with _errors(output):
        from zkevm.proofs import is_proof

        if len(file) > 1 or not is_proof(file[0]):
            if security:
                raise UsageError("a batch has no security, only proofs have", "prove it first")
            from zkevm.commands import inspect_batch

            inspect_batch(file, plot, output)
        elif plot is not None:
            raise UsageError("a proof does not tell where its cells went", "use --plot with the batch")
        else:
            accepted = inspect_file(file[0], security, output)
    if not accepted:
        raise typer.Exit(REJECTED)


@app.command()
def bench(
    workload: Annotated[
        list[str] | None, typer.Argument(metavar="[WORKLOAD]...", help="Names of examples.", show_default="erc20")
    ] = None,
    plot: Plot = None,
    device: Annotated[
        Device,
        typer.Option("--device", help="Also measure the engine's stock device, side by side with our own."),
    ] = Device.own,
    fork: Annotated[
        list[str] | None,
        typer.Option(
            "--fork",
            metavar="NAME",
            help="Costs under this fork beside those under Cancun, without a proof; may be given several times.",
            show_default=False,
        ),
    ] = None,
    segment_memory: BenchMemory = None,
    as_json: AsJson = False,
) -> None:
    """Measure workloads: exact cells and interactions per table, seconds, memory, proof size."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.bench import bench_forks, bench_workloads
        from zkevm.errors import UsageError

        if not fork:
            memory = _budget(segment_memory, None, None).memory
            bench_workloads(workload or ["erc20"], plot, output, device.value, memory)
        elif plot or device is not Device.own or segment_memory is not None:
            raise UsageError("--fork proves and draws nothing", "leave out --plot, --device and --segment-memory")
        else:
            bench_forks(workload or ["erc20"], fork, output)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.", show_default=False)],
    language: Annotated[
        Language, typer.Option("--language", help="What its contract is written in.")
    ] = Language.solidity,
    as_json: AsJson = False,
) -> None:
    """Make a project for a contract of your own: a source, and a plan of calls."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.projects.commands import make_project

        make_project(folder, language.value, output)


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the project.")] = Path("."),
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="BATCH", help="The batch file to write.", show_default="batch.json in there"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the batch of a project: compile its contracts, encode and sign its calls, and try them."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.projects.commands import build_batch

        build_batch(folder, out, output)


@app.command("schema")
def print_schema(
    of: Annotated[
        Subject,
        typer.Argument(
            metavar="batch|report|statement",
            help="The batch file, what commands print with --json, or the statement in it.",
            show_default=False,
        ),
    ],
) -> None:
    """Print a JSON schema (draft 2020-12)."""
    output = Output(True)
    with _errors(output):
        from zkevm.schemas import schema

        output.result(schema(of.value))


@app.command()
def conformance(
    path: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="BlockchainTests from Cancun on: files, folders, .tar.gz or .tar.xz archives, or FILE::CASE.",
            show_default=False,
        ),
    ],
    stage: Annotated[Stage, typer.Option("--stage", help="How far to take each case.")] = Stage.execute,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Run a sample of so many cases, spread out.", show_default="all"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Cases run at the same time.", show_default="one per core"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run public test suites: exit status 0 none failed, 1 some failed."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.commands import run_test_suites

        passed = run_test_suites(path, stage.value, limit, workers, output)
    if not passed:
        raise typer.Exit(REJECTED)


@app.command()
def submit(
    input: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="A batch file, or blocks with a genesis file or an execution witness.",
            show_default=False,
        ),
    ] = None,
    rpc: Annotated[
        str | None,
        typer.Option(
            "--rpc", metavar="URL", help="Have the service fetch --blocks from this node.", show_default=False
        ),
    ] = None,
    blocks: Annotated[
        str | None, typer.Option("--blocks", metavar="BLOCK[..BLOCK]", help="Numbers.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What it is called.", show_default="the file's name")
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, help="A minute in the queue for each point.")
    ] = 0,
    within: Annotated[
        float | None,
        typer.Option("--within", min=0, metavar="SECONDS", help="Give up after this time.", show_default="no limit"),
    ] = None,
    segment_memory: SegmentMemory = None,
    segment_operations: SegmentOperations = None,
    one_proof: Annotated[
        bool | None,
        typer.Option(
            "--one-proof/--segments-only",
            help="Make one proof of all segments, or leave each its own.",
            show_default="what the service is set to",
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", metavar="KEY", help="Submit once, however often it is tried.", show_default="a new one"
        ),
    ] = None,
    watched: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
    url: ServiceUrl = DEFAULT_SERVICE,
    key: ServiceKey = None,
    as_json: AsJson = False,
) -> None:
    """Submit a batch to a proving service."""
    output = Output(as_json)
    with _errors(output):
        from service.models import Options
        from zkevm import serving

        if bool(input) == bool(rpc) or bool(rpc) != bool(blocks):
            raise UsageError("give either INPUT, or --rpc with --blocks")
        batch = serving.source_of(rpc, blocks) if rpc and blocks else serving.batch_of(input or [])
        if name is None:
            name = input[0].name if input else f"blocks {blocks}"
        options = Options(segment_memory=segment_memory, segment_operations=segment_operations, one_proof=one_proof)
        with serving.connect(url, key) as client:
            status = serving.submit(client, batch, name, priority, within, options, idempotency_key, watched, output)
    raise typer.Exit(status)


@app.command()
def status(job: JobId, url: ServiceUrl = DEFAULT_SERVICE, key: ServiceKey = None, as_json: AsJson = False) -> None:
    """Show a job of a proving service: exit status 0 as long as it has not failed."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        with serving.connect(url, key) as client:
            result = serving.status(client, job, output)
    raise typer.Exit(result)


@app.command()
def watch(job: JobId, url: ServiceUrl = DEFAULT_SERVICE, key: ServiceKey = None, as_json: AsJson = False) -> None:
    """Follow a job of a proving service to its end: exit status 0 proved, 1 cancelled, 2 its batch is at fault."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        with serving.connect(url, key) as client:
            result = serving.watch(client, job, output)
    raise typer.Exit(result)


@app.command()
def cancel(job: JobId, url: ServiceUrl = DEFAULT_SERVICE, key: ServiceKey = None, as_json: AsJson = False) -> None:
    """Stop a job of a proving service."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        with serving.connect(url, key) as client:
            serving.cancel(client, job, output)


@app.command()
def retry(job: JobId, url: ServiceUrl = DEFAULT_SERVICE, key: ServiceKey = None, as_json: AsJson = False) -> None:
    """Have a failed or cancelled job of a proving service proved after all."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        with serving.connect(url, key) as client:
            serving.retry(client, job, output)


@app.command()
def jobs(
    state: Annotated[
        list[JobState] | None,
        typer.Option("--state", help="Only jobs in this state; may be given several times.", show_default="any"),
    ] = None,
    text: Annotated[str, typer.Option("--text", help="Part of the name, or beginning of the id.")] = "",
    sort: Annotated[
        str, typer.Option("--sort", help="created, finished, priority, name or cells; descending with a minus.")
    ] = "-created",
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Go on where the last list ended.", show_default=False)
    ] = None,
    url: ServiceUrl = DEFAULT_SERVICE,
    key: ServiceKey = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a proving service."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        with serving.connect(url, key) as client:
            serving.jobs(client, [each.value for each in state or []], text, sort, limit, cursor, output)


@app.command()
def fetch_proof(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", metavar="PROOF", help="The proof file to write.", show_default=False)],
    url: ServiceUrl = DEFAULT_SERVICE,
    key: ServiceKey = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the proof of a job that is done from a proving service."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        with serving.connect(url, key) as client:
            serving.fetch_proof(client, job, out, output)


@keys_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.", show_default=False)],
    scope: Annotated[
        KeyScope, typer.Option("--scope", help="read, submit (and read), or admin (everything).")
    ] = KeyScope.submit,
    data: DataFolder = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and show it this once."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        serving.add_key(name, scope.value, {"data": data, "database": database}, output)


@keys_app.command("list")
def list_keys(data: DataFolder = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List all keys, without what they are."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        serving.list_keys({"data": data, "database": database}, output)


@keys_app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="Name or id.", show_default=False)],
    data: DataFolder = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a key useless."""
    output = Output(as_json)
    with _errors(output):
        from zkevm import serving

        serving.revoke_key(key, {"data": data, "database": database}, output)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context) -> None:
    """Run a proving service: an HTTP API, a queue and a page around the prover; see zkevm serve --help."""
    output = Output(False)
    with _errors(output):
        from zkevm import serving

        # Its options are the settings of the service, which take a moment to load.
        def run(**given: Any) -> None:
            with _errors(output):
                serving.serve(given, output)

        serving.serve_app(run, app.info.context_settings)(args=context.args, prog_name="zkevm serve")


def _budget(
    memory: int | None, operations: int | None, steps: int | None, stacked_height: int | None = None
) -> "Budget":
    from prover.planner import Budget
    from verifier.keys import SUPPORTED_HEIGHTS

    if stacked_height is not None and stacked_height not in SUPPORTED_HEIGHTS:
        raise UsageError(
            f"there are no keys of stacked height {stacked_height}, only of {SUPPORTED_HEIGHTS[0]} to "
            f"{SUPPORTED_HEIGHTS[-1]}"
        )
    return Budget(None if memory is None else memory << 20, operations, steps, stacked_height)


def _describe(error: Exception) -> Description:
    from executor.errors import BatchError, LimitExceeded, UnsupportedFeature
    from prover.errors import ProverError

    kind = type(error).__name__
    message = str(error) or kind
    if isinstance(error, UnsupportedFeature):
        return UNUSABLE, {"kind": kind, "message": f"UnsupportedFeature: {message}"}
    if isinstance(error, ProverError):
        return UNUSABLE, {"kind": kind, "message": message, "hint": error.hint}
    if isinstance(error, BatchError | LimitExceeded):
        return UNUSABLE, {"kind": kind, "message": message}
    return _describe_service(error) or describe(error)


def _describe_service(error: Exception) -> Description | None:
    """Of errors of the proving service, which other commands do not load, nor has everybody installed it."""
    if (client := sys.modules.get("zkevm.client")) is not None and isinstance(error, client.ServiceError):
        from zkevm import serving

        return serving.describe(error)
    if (database := sys.modules.get("service.database")) is not None and isinstance(error, database.DatabaseAway):
        return UNUSABLE, {"kind": "DatabaseAway", "message": f"the database does not answer: {error}"}
    return None


#: What goes wrong in a command, as a line and an exit status.
_errors = partial(errors, described=_describe)


def main() -> None:
    """Entry point of the `zkevm` command."""
    app()


if __name__ == "__main__":
    main()
