"""The commands about the proving service: to run one, to give out its keys, and to use one."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import typer
from pydantic import SecretStr, ValidationError

from service.models import Code, Job, JobDetail, JobEvent, Options, Problem, Scope, Source
from service.settings import Settings
from service.states import SETTLED, State
from zkevm.client import Client, Refused, ServiceError
from zkevm.console import Output
from zkevm.errors import UsageError

#: Exit status for jobs and refusals, as in `zkevm.outcomes`.
_REJECTED, _UNUSABLE, _INTERNAL = 1, 2, 3

_OF_INPUT: Final = frozenset(
    {
        Code.MALFORMED,
        Code.INVALID,
        Code.UNSUPPORTED,
        Code.TOO_LARGE,
        Code.UNREACHABLE,
        Code.UNAUTHORIZED,
        Code.FORBIDDEN,
        Code.NOT_FOUND,
    }
)


def status_of(problem: Problem) -> int:
    """The exit status for a refusal: 2 for what whoever asked can change, 3 for what is wrong with the service."""
    if problem.code in _OF_INPUT:
        return _UNUSABLE
    return _INTERNAL if problem.code in (Code.INTERNAL, Code.UNAVAILABLE) else _REJECTED


def describe(error: ServiceError) -> tuple[int, dict[str, Any]]:
    """Exit status and report of an error of the client."""
    if not isinstance(error, Refused):
        hint = "is it running, and is this its address? Name it with --url"
        return _UNUSABLE, {"kind": type(error).__name__, "message": str(error), "hint": hint}
    problem = error.problem
    report: dict[str, Any] = {"kind": "Refused", "message": problem.detail, "hint": problem.hint, "code": problem.code}
    for name in ("place", "check", "retry_after"):
        value = getattr(problem, name)
        if value is not None:
            report[name] = value if isinstance(value, str | float) else value.model_dump()
    return status_of(problem), report


# -- to run one


def serve_options() -> inspect.Signature:
    """The options of `zkevm serve`: one for each setting, described as there."""
    texts = _descriptions(Settings.__doc__ or "")
    parameters = []
    for name, field in Settings.model_fields.items():
        option = "--" + name.replace("_", "-")
        kind: Any = field.annotation
        default = field.get_default(call_default_factory=True)
        if "SecretStr" in str(kind) or "dict" in str(kind):
            kind = str | None
        elif kind is bool:
            option += f"/--no-{name.replace('_', '-')}"
        shown = "none" if default in (None, {}) else str(default)
        info = typer.Option(None, option, help=texts[name], show_default=shown)
        kind = kind if "None" in str(kind) else kind | None
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=kind))
    return inspect.Signature(parameters)


def serve_app(run: Callable[..., None], context_settings: Any) -> typer.Typer:
    """`zkevm serve` with all of its options; `run` is called with those that are given."""
    signature = serve_options()

    def serve(**given: Any) -> None:
        run(**given)

    serve.__doc__ = (
        "Run a proving service: an HTTP API, a queue and a page around the prover.\n\n"
        "Every option can be given as an environment variable, too: --batch-blocks is ZKEVM_BATCH_BLOCKS. It stops "
        "cleanly at SIGTERM; what was being proved goes on from its finished segments when it is started again."
    )
    serve.__signature__ = signature  # type: ignore[attr-defined]
    serve.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    made = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=context_settings,
    )
    made.command()(serve)
    return made


def _descriptions(docstring: str) -> dict[str, str]:
    """What a docstring says about its attributes, by name."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(docstring).splitlines():
        start = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if start is not None:
            names = start[1].split(", ")
            found |= dict.fromkeys(names, start[2])
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return {name: text.replace("`", "")[0].upper() + text.replace("`", "")[1:] for name, text in found.items()}


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Settings, of which some are given by options; raises `UsageError`."""
    values = {name: value for name, value in given.items() if value is not None}
    if isinstance(values.get("artifacts_options"), str):
        try:
            values["artifacts_options"] = json.loads(values["artifacts_options"])
        except ValueError as error:
            raise UsageError(f"--artifacts-options: not JSON: {error}") from None
    if isinstance(values.get("database"), str):
        values["database"] = SecretStr(values["database"])
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise UsageError(f"--{name.replace('_', '-')}: {first['msg'].removeprefix('Value error, ')}") from None


def serve(given: Mapping[str, Any], output: Output) -> None:
    """Run a service until it is asked to stop.

    Raises:
        UsageError: it cannot run with these settings.
        DatabaseAway, OSError.
    """
    from service.serve import NoKey, run

    settings = settings_of(given)
    try:
        run(settings, ready=lambda url: output.note(f"zkevm serves at {url} ; the API is described at {url}/docs"))
    except NoKey as error:
        raise UsageError(str(error), "make one with: zkevm keys add NAME --scope admin") from None


# -- its keys


def add_key(name: str, scope: str, given: Mapping[str, Any], output: Output) -> None:
    """Make a key and show it, this once.

    Raises:
        UsageError, DatabaseAway.
    """
    with _Keys(given) as keys:
        key, token = keys.add(name, Scope(scope))
    output.facts("Key", [("name", key.name), ("id", key.id), ("scope", key.scope), ("key", token)])
    output.line("It is shown this once; only a digest of it is kept.", style="yellow")
    output.result({**key.model_dump(mode="json"), "key": token})


def list_keys(given: Mapping[str, Any], output: Output) -> None:
    """Show all keys. Raises `UsageError`, `DatabaseAway`."""
    with _Keys(given) as keys:
        found = keys.list()
    header = ["name", "id", "scope", "created", "used", "revoked"]
    rows = [[key.name, key.id, key.scope, *map(_time, (key.created, key.used, key.revoked))] for key in found]
    output.table("Keys", header, rows)
    output.result({"keys": [key.model_dump(mode="json") for key in found]})


def revoke_key(key: str, given: Mapping[str, Any], output: Output) -> None:
    """Make a key useless, by its name or id. Raises `UsageError`, `DatabaseAway`."""
    with _Keys(given) as keys:
        revoked = keys.revoke(key)
    output.line(f"{revoked.name} is revoked; running services refuse it within seconds", style="green")
    output.result(revoked.model_dump(mode="json"))


class _Keys:
    """The keys of the database that the settings say, while a block runs."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        from service.database import Database

        self._database = Database(settings_of(given).database_url)

    def __enter__(self) -> Any:
        from service.keys import Keys

        self._database.migrate()
        return Keys(self._database)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from service.keys import UnusableKey

        self._database.close()
        if isinstance(error, UnusableKey):
            raise UsageError(str(error)) from None


# -- to use one


def connect(url: str, key: str | None) -> Client:
    """The service at an address; raises `UsageError`."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"--url: {error}: {url[:80]!r}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"--url: not an address such as http://127.0.0.1:8280: {url[:80]!r}")
    return Client(url, key)


def batch_of(files: Sequence[Path]) -> bytes:
    """One file that holds what several do; raises `UsageError`, `OSError`."""
    if any("::" in str(file) for file in files):
        raise UsageError(
            "a case of a file of public tests is no file that can be sent", "prove it here: zkevm prove FILE::CASE"
        )
    contents = [file.read_bytes() for file in files]
    if len(contents) == 1:
        return contents[0]
    documents: list[Any] = []
    for file, content in zip(files, contents, strict=True):
        if content[:1] >= b"\xc0":
            documents.append("0x" + content.hex())
            continue
        text = content.decode(errors="replace").strip()
        try:
            document = json.loads(text)
        except ValueError:
            digits = "".join(line.removeprefix("0x") for line in text.split())
            if not re.fullmatch("(?:[0-9a-fA-F]{2})+", digits):
                raise UsageError(f"{file}: neither RLP, nor hexadecimal, nor JSON") from None
            document = "0x" + digits
        documents += document if isinstance(document, list) else [document]
    return json.dumps(documents).encode()


def source_of(rpc: str, blocks: str) -> Source:
    """Blocks of a node, `BLOCK` or `BLOCK..BLOCK`; raises `UsageError`."""
    first, dots, last = blocks.partition("..")
    try:
        numbers = int(first, 0), int(last if dots else first, 0)
        return Source.model_validate({"rpc": rpc, "from": numbers[0], "to": numbers[1]})
    except ValidationError as error:
        raise UsageError(f"--rpc: {error.errors()[0]['msg']}") from None
    except ValueError:
        raise UsageError(f"--blocks: neither BLOCK nor BLOCK..BLOCK, by numbers: {blocks[:80]!r}") from None


def submit(
    client: Client,
    batch: bytes | Source,
    name: str,
    priority: int,
    within: float | None,
    options: Options,
    key: str | None,
    watched: bool,
    output: Output,
) -> int:
    """Submit a batch, and watch it if asked to; the exit status."""
    deadline = None if within is None else datetime.now(UTC) + timedelta(seconds=within)
    job = client.submit(batch, name=name, priority=priority, deadline=deadline, options=options, idempotency_key=key)
    if watched:
        output.note(f"job {job.id}")
        return watch(client, job.id, output)
    _show(job, output)
    return 0


def status(client: Client, job: str, output: Output) -> int:
    """Show a job; the exit status: what has become of it, 0 as long as nothing has."""
    detail = client.job(job)
    _show(detail, output)
    return _status_of_job(detail) if detail.state in SETTLED else 0


def watch(client: Client, job: str, output: Output) -> int:
    """Follow a job to its end; the exit status is that of what has become of it."""
    with output.progress("Progress", "Segments", "Checks") as (progress, segments, checks):
        _Watch(progress, segments, checks, output.note).follow(client, job)
    detail = client.job(job)
    _show(detail, output)
    return _status_of_job(detail)


class _Watch:
    """Turns events into bars."""

    def __init__(
        self,
        progress: Callable[[int, int], None],
        segments: Callable[[int, int], None],
        checks: Callable[[int, int], None],
        note: Callable[[str], None],
    ) -> None:
        self._progress, self._segments, self._checks, self._note = progress, segments, checks, note
        self._total = self._passed = 0

    def follow(self, client: Client, job: str) -> None:
        """Until the job is settled."""
        for event in client.events(job):
            self(event)

    def __call__(self, event: JobEvent) -> None:
        data = event.data
        if event.kind == "state":
            self._note(f"{event.time:%H:%M:%S} {data.get('state')}")
            self._passed = 0
        elif event.kind == "stage":
            self._note(f"{event.time:%H:%M:%S} {data.get('stage')}")
        elif event.kind == "check":
            self._passed += 1
            self._checks(self._passed, max(self._passed, 13))
        if (progress := data.get("progress")) is not None:
            self._progress(round(100 * progress), 100)
        self._total = data.get("segments_total") or self._total
        if (done := data.get("segments_done")) is not None and self._total:
            self._segments(done, self._total)


def _status_of_job(job: Job) -> int:
    if job.state is State.DONE:
        return 0
    return status_of(job.problem) if job.problem is not None else _REJECTED


def cancel(client: Client, job: str, output: Output) -> None:
    """Stop a job."""
    _show(client.cancel(job), output)


def retry(client: Client, job: str, output: Output) -> None:
    """Have a job proved after all."""
    _show(client.retry(job), output)


def jobs(
    client: Client, states: Sequence[str], text: str, sort: str, limit: int, cursor: str | None, output: Output
) -> None:
    """Show part of the jobs."""
    page = client.jobs(states=[State(state) for state in states], text=text, sort=sort, limit=limit, cursor=cursor)
    header = ["job", "name", "state", "stage", "progress", "segments", "created", "problem"]
    rows = [
        [
            job.id,
            job.name,
            job.state,
            job.stage or "",
            f"{100 * job.progress:.0f} %",
            "" if job.segments_total is None else f"{job.segments_done}/{job.segments_total}",
            _time(job.created),
            "" if job.problem is None else job.problem.detail[:80],
        ]
        for job in page.items
    ]
    output.table(f"{len(page.items):,} of {page.total:,} jobs", header, rows)
    if page.next is not None:
        output.line(f"more with --cursor {page.next}", style="yellow")
    output.result(page.model_dump(mode="json", by_alias=True))


def fetch_proof(client: Client, job: str, out: Path, output: Output) -> None:
    """Write the proof of a job that is done to a file."""
    from prover.store import check_folder, write_atomically

    check_folder(out)
    proof = client.proof(job)
    write_atomically(out, proof)
    output.facts("Fetched", [("proof", str(out)), ("bytes", len(proof)), ("judge it yourself", f"zkevm verify {out}")])
    output.result({"job": job, "proof": str(out), "bytes": len(proof)})


def _show(job: Job, output: Output) -> None:
    facts: list[tuple[str, Any]] = [("job", job.id)]
    shown = {
        "name": job.name or None,
        "state": str(job.state),
        "stage": job.stage,
        "progress": f"{100 * job.progress:.0f} %",
        "seconds to go": job.remaining if job.state not in SETTLED else None,
        "tries": job.tries,
        "blocks": job.blocks,
        "transactions": job.transactions,
        "steps": job.steps,
        "cells": job.cells,
        "segments": None if job.segments_total is None else f"{job.segments_done} of {job.segments_total}",
        "proof bytes": job.proof_bytes,
        "statement digest": job.statement_digest,
        "created": _time(job.created),
        "finished": _time(job.finished) or None,
    }
    facts += [(name, value) for name, value in shown.items() if value is not None]
    if job.problem is not None:
        facts.append(("problem", f"{job.problem.detail} ({job.problem.code})"))
        facts += [("hint", job.problem.hint)] if job.problem.hint else []
    output.facts("Job", facts)
    if isinstance(job, JobDetail) and job.checks:
        rows = [["✓", check.name, check.establishes, check.seconds] for check in job.checks]
        output.table("Checks", ["", "check", "establishes that", "seconds"], rows)
    output.result(job.model_dump(mode="json", by_alias=True))


def _time(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
