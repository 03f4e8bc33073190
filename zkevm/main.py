"""The `zkevm` command."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zkevm.console import Output, fail
from zkevm.errors import UsageError

if TYPE_CHECKING:
    from prover.planner import Budget

#: Exit status besides 0.
REJECTED = 1
UNUSABLE = 2
INTERNAL = 3
INTERRUPTED = 130

#: Set it to see where an internal error came from.
TRACEBACK_VARIABLE = "ZKEVM_TRACEBACK"

app = typer.Typer(
    name="zkevm",
    help="Prove the execution of Ethereum blocks, and verify such proofs.",
    epilog="Exit status: 0 done or accepted, 1 rejected or violations found, 2 unusable input, 3 internal error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

InputFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="A batch file, FILE::CASE of a BlockchainTest, or blocks with a genesis file or an execution witness.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
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


Expected32 = Annotated[
    str | None, typer.Option(metavar="HEX", help="Reject a proof of another one.", show_default=False)
]

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw cells and interactions by table and instruction: .svg, .png or .pdf."
    ),
]


class Engine(StrEnum):
    """Implementations of the proof system's verifier."""

    native = "native"
    python = "python"


class Device(StrEnum):
    """What runs the engine's prover."""

    own = "own"
    stock = "stock"


class Stage(StrEnum):
    """How far a conformance run takes each case."""

    execute = "execute"
    check = "check"
    prove = "prove"


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

        fetch_batch(rpc, blocks, out, _forks(fork), output)


@app.command()
def check(
    input: InputFiles,
    segment_memory: SegmentMemory = None,
    segment_operations: SegmentOperations = None,
    as_json: AsJson = False,
) -> None:
    """Fill all tables and check every constraint and bus, without proving."""
    output = Output(as_json)
    with _errors(output):
        from zkevm.commands import check_batch

        satisfied = check_batch(input, _budget(segment_memory, segment_operations), output)
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
    ray_address: Annotated[
        str | None,
        typer.Option("--ray-address", metavar="ADDRESS", help="Prove on this Ray cluster instead of this machine."),
    ] = None,
    segment_memory: SegmentMemory = None,
    segment_operations: SegmentOperations = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="Folder of finished segment proofs.", show_default="PROOF.segments"
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the segment proofs when the proof is written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove a batch. A run that was killed goes on where it was when it is started again."""
    output = Output(as_json)
    with _errors(output):
        from prover.workers import Workers
        from zkevm.commands import prove_batch

        budget = _budget(segment_memory, segment_operations)
        prove_batch(input, out, Workers(workers, ray_address), budget, store, keep, output)


@app.command()
def verify(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="A proof file.", show_default=False)],
    engine: Annotated[Engine, typer.Option("--engine", help="Which verifier of the proof system.")] = Engine.native,
    chain_id: Annotated[
        int | None, typer.Option("--chain-id", min=0, help="Reject a proof of another chain.", show_default=False)
    ] = None,
    pre_state_root: Expected32 = None,
    post_state_root: Expected32 = None,
    last_block_hash: Expected32 = None,
    fork: Annotated[
        list[str] | None,
        typer.Option(
            "--fork",
            metavar="NAME[=TIME]",
            help="Reject a proof by rules of another fork; may be given several times, with the times of the chain.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a proof: exit status 0 accepted, 1 rejected, 2 not a proof file.

    The options name what you know of the batch; a proof that says otherwise is rejected.
    """
    output = Output(as_json)
    with _errors(output):
        from zkevm.proofs import verify_proof

        known = {
            "chain_id": chain_id,
            "pre_state_root": _bytes32(pre_state_root, "--pre-state-root"),
            "post_state_root": _bytes32(post_state_root, "--post-state-root"),
            "last_block_hash": _bytes32(last_block_hash, "--last-block-hash"),
            "fork": _schedule(_forks(fork)),
        }
        expected = {name: value for name, value in known.items() if value is not None}
        accepted = verify_proof(proof, engine.value, output, expected)
    if not accepted:
        raise typer.Exit(REJECTED)


@app.command()
def inspect(
    file: Annotated[
        list[Path], typer.Argument(metavar="PROOF|INPUT...", help="A proof file or a batch.", show_default=False)
    ],
    plot: Plot = None,
    security: Annotated[
        bool, typer.Option("--security", help="Show the proven security bits of each step of a proof.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a proof states and how it is checked, or what a batch holds and what it would cost."""
    output = Output(as_json)
    accepted = True
    with _errors(output):
        from zkevm.proofs import inspect_proof, is_proof

        if len(file) > 1 or not is_proof(file[0]):
            if security:
                raise UsageError("a batch has no security, only proofs have", "prove it first")
            from zkevm.commands import inspect_batch

            inspect_batch(file, plot, output)
        elif plot is not None:
            raise UsageError("a proof does not tell where its cells went", "use --plot with the batch")
        elif security:
            from zkevm.security import inspect_security

            accepted = inspect_security(file[0], output)
        else:
            inspect_proof(file[0], output)
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
            memory = _budget(segment_memory, None).memory
            bench_workloads(workload or ["erc20"], plot, output, device.value, memory)
        elif plot or device is not Device.own or segment_memory is not None:
            raise UsageError("--fork proves and draws nothing", "leave out --plot, --device and --segment-memory")
        else:
            bench_forks(workload or ["erc20"], fork, output)


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


def _bytes32(text: str | None, option: str) -> bytes | None:
    """What an option gives in hexadecimal; raises `UsageError`."""
    from zkevm.errors import UsageError

    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"{option}: not 32 bytes in hexadecimal: {text[:80]!r}")
    return value


def _forks(given: list[str] | None) -> str | dict[str, int] | None:
    """The fork, or forks with their times, that options name; raises `UsageError`."""
    from zkevm.errors import UsageError

    if not given:
        return None
    pairs = [text.partition("=") for text in given]
    if len(pairs) == 1 and not pairs[0][1]:
        return given[0]
    if not all(time.isdecimal() for _, _, time in pairs) or len({name for name, _, _ in pairs}) < len(pairs):
        raise UsageError(f"--fork: neither one name nor names with their times, each once: {', '.join(given)[:80]}")
    return {name: int(time) for name, _, time in pairs}


def _schedule(forks: str | dict[str, int] | None) -> str | None:
    """The text of a chain's schedule, as in statements; raises `UsageError`."""
    from verifier.errors import Invalid
    from verifier.forks import Schedule
    from zkevm.errors import UsageError

    if forks is None:
        return None
    times = forks if isinstance(forks, dict) else {forks: 0}
    # Of forks with the same time only the last one has blocks.
    names = {time: name for name, time in sorted(times.items(), key=lambda item: item[1])}
    (_, first), *later = names.items()
    text = ", ".join([first, *(f"{name} from {time}" for time, name in later)])
    try:
        return str(Schedule.parse(text))
    except Invalid as error:
        raise UsageError(f"--fork: {error}") from error


def _budget(memory: int | None, operations: int | None) -> "Budget":
    from prover.planner import Budget

    return Budget(None if memory is None else memory << 20, operations)


@contextmanager
def _errors(output: Output) -> Iterator[None]:
    """Turn every error into one readable line and an exit status."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        fail(output, "interrupted", kind="Interrupted", hint="finished segments are kept")
        _leave_the_engine(INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more must be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(UNUSABLE) from None
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        status, report = _describe(error)
        fail(output, **report)
        raise typer.Exit(status) from None


def _leave_the_engine(status: int) -> None:
    """Exit now if the engine is at work: it could not be waited for, and an interpreter that ends would abort it."""
    local = sys.modules.get("prover.local")
    if local is not None and local.is_proving():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _describe(error: Exception) -> tuple[int, dict[str, Any]]:
    from executor.errors import BatchError, LimitExceeded, UnsupportedFeature
    from prover.errors import ProverError
    from verifier.errors import UnusableInput

    kind = type(error).__name__
    message = str(error) or kind
    if isinstance(error, UnsupportedFeature):
        return UNUSABLE, {"kind": kind, "message": f"UnsupportedFeature: {message}"}
    if isinstance(error, ProverError | UsageError):
        return UNUSABLE, {"kind": kind, "message": message, "hint": error.hint}
    if isinstance(error, BatchError | LimitExceeded | UnusableInput):
        return UNUSABLE, {"kind": kind, "message": message}
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return UNUSABLE, {"kind": kind, "message": f"{where}{error.strerror or message}"}
    return INTERNAL, {
        "kind": kind,
        "message": f"internal error: {kind}: {message}",
        "hint": f"set {TRACEBACK_VARIABLE}=1 to see where it came from",
    }


def main() -> None:
    """Entry point of the `zkevm` command."""
    app()


if __name__ == "__main__":
    main()
