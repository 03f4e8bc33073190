"""The commands about proof files. An installation of the verifier alone has no others (`wheels/verifier`)."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zkevm.console import Output
from zkevm.errors import UsageError
from zkevm.outcomes import REJECTED, errors

if TYPE_CHECKING:
    from zkevm.proof import Engine as EngineName
    from zkevm.proof import Expected

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Expected32 = Annotated[
    str | None, typer.Option(metavar="HEX", help="Reject a proof of another one.", show_default=False)
]
Security = Annotated[bool, typer.Option("--security", help="Show the proven security bits of each step of a proof.")]


class Engine(StrEnum):
    """Implementations of the proof system's verifier."""

    native = "native"
    python = "python"


def new_app(about: str, epilog: str) -> typer.Typer:
    """A command line without commands."""
    return typer.Typer(
        name="zkevm",
        help=about,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def verify(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="A proof file.", show_default=False)],
    engine: Annotated[
        Engine | None,
        typer.Option(
            "--engine", help="Which verifier of the proof system.", show_default="native where it is installed"
        ),
    ] = None,
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
    with errors(output):
        from zkevm.proofs import verify_proof

        expected: Expected = {}
        if chain_id is not None:
            expected["chain_id"] = chain_id
        if (root := _bytes32(pre_state_root, "--pre-state-root")) is not None:
            expected["pre_state_root"] = root
        if (root := _bytes32(post_state_root, "--post-state-root")) is not None:
            expected["post_state_root"] = root
        if (last := _bytes32(last_block_hash, "--last-block-hash")) is not None:
            expected["last_block_hash"] = last
        if (schedule := _schedule(named_forks(fork))) is not None:
            expected["fork"] = schedule
        chosen: EngineName | None = None if engine is None else ("native" if engine is Engine.native else "python")
        accepted = verify_proof(proof, chosen, output, expected)
    if not accepted:
        raise typer.Exit(REJECTED)


def inspect_file(file: Path, security: bool, output: Output) -> bool:
    """Show what a proof file states, or how secure it is; False if it is rejected.

    Raises:
        UnusableInput: not a proof file.
    """
    if security:
        from zkevm.security import inspect_security

        return inspect_security(file, output)
    from zkevm.proofs import inspect_proof

    inspect_proof(file, output)
    return True


def inspect(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="A proof file.", show_default=False)],
    security: Security = False,
    as_json: AsJson = False,
) -> None:
    """Show what a proof states and how it is checked."""
    output = Output(as_json)
    with errors(output):
        accepted = inspect_file(proof, security, output)
    if not accepted:
        raise typer.Exit(REJECTED)


app = new_app(
    "Verify proofs of the execution of Ethereum blocks.",
    "Exit status: 0 accepted, 1 rejected, 2 unusable input, 3 internal error. This is the verifier alone; the wheel "
    "`zkevm` also proves.",
)
app.command()(verify)
app.command()(inspect)


def _bytes32(text: str | None, option: str) -> bytes | None:
    """What an option gives in hexadecimal; raises `UsageError`."""
    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"{option}: not 32 bytes in hexadecimal: {text[:80]!r}")
    return value


def named_forks(given: list[str] | None) -> str | dict[str, int] | None:
    """The fork, or forks with their times, that options name; raises `UsageError`."""
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
