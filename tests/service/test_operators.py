"""What docs/service.md tells operators to type does what it says, against a service that runs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from zkevm.main import app

ROOT = Path(__file__).parent.parent.parent
OPERATORS = (ROOT / "docs" / "service.md").read_text()
PATIENCE = 180.0  # seconds; the machine may have other things to do


class Service(NamedTuple):
    """A service that runs, and a key of scope admin."""

    url: str
    key: str
    folder: Path


def zkevm(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "zkevm", *map(str, arguments)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(service: Service, path: str) -> bytes:
    request = Request(service.url + path, headers={"Authorization": f"Bearer {service.key}"})
    with urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def is_ready(service: Service) -> bool:
    try:
        get(service, "/readyz")
    except URLError:
        return False
    return True


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Service]:
    """`zkevm serve` with a key, in a folder of its own."""
    data, port = folder / "data", free_port()
    (folder / "examples").symlink_to(ROOT / "examples")
    environment = {**os.environ, "ZKEVM_DATA": str(data), "PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        zkevm("keys", "add", "operator", "--scope", "admin", "--json"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert made.returncode == 0, made.stderr
    key = re.search(r"zkevm_[\w-]{30,}", made.stdout)
    assert key, made.stdout
    service = Service(f"http://127.0.0.1:{port}", key[0], folder)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(zkevm("serve", "--port", str(port), *options), env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + PATIENCE
        while not is_ready(service):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        log.close()


def commands() -> list[str]:
    """The examples of the API, continued lines joined."""
    section = OPERATORS.partition("### The API")[2].partition("### The page")[0]
    joined = re.sub(r"\\\n\s+", "", section)
    return re.findall(r"^    (curl .*)$", joined, re.MULTILINE)


def run(command: str, service: Service, job: str) -> tuple[int, str]:
    """Status and body of the answer to an example; of a stream what comes within some seconds."""
    stream = ["--max-time", "5"] if "/events" in command else []
    environment = {**os.environ, "ZKEVM_URL": service.url, "ZKEVM_KEY": service.key, "JOB": job}
    added = " ".join(["--silent", *stream, "--write-out", "'\\n%{http_code}'"])
    done = subprocess.run(
        ["bash", "-c", f"{command} {added}"],
        env=environment,
        cwd=service.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    body, _, status = done.stdout.rpartition("\n")
    assert done.returncode in ((0, 28) if stream else (0,)), (command, done.stderr)
    return int(status), body


def answers(service: Service, proves: bool) -> dict[str, tuple[int, str]]:
    """Statuses and bodies by path of the address, in the order of the docs."""
    job, found = "", {}
    for command in commands():
        path = re.search(r"\$ZKEVM_URL(/[^\"?]*)", command)
        assert path, command
        name = path[1].replace("/$JOB", "/JOB")
        if name == "/v1/estimate" and not proves:
            continue
        status, body = run(command, service, job)
        if name == "/v1/jobs" and not job:
            job = json.loads(body)["id"]
            # The same command again is the same job.
            again, same = run(command, service, job)
            assert (again, json.loads(same)["id"]) == (200, job)
            until = time.monotonic() + 10 * PATIENCE
            while proves and json.loads(get(service, f"/v1/jobs/{job}"))["state"] != "done":
                assert time.monotonic() < until
                time.sleep(1.0)
        found.setdefault(name, (status, body))
    return found


def test_all_routes_are_in_the_docs() -> None:
    from service.api.app import create_app
    from service.database import Database
    from service.settings import Settings

    database = Database("sqlite://")
    try:
        app = create_app(Settings(prove=False), database)
        routes = set(app.openapi()["paths"])
    finally:
        database.close()
    told = {re.search(r"\$ZKEVM_URL(/[^\"?]*)", command)[1].replace("$JOB", "{job}") for command in commands()}  # type: ignore[index]
    assert routes - told <= {"/v1/events"}
    assert told <= routes
    assert "`/v1/events`" in OPERATORS


def test_commands_in_the_docs_are_there() -> None:
    """With the options that are named."""
    told = set(re.findall(r"^ {4}zkevm ([a-z-]+(?: add)?)(?: |$)", OPERATORS, re.MULTILINE))
    assert {"serve", "submit", "jobs", "status", "watch", "cancel", "retry", "fetch-proof"} <= told
    for name in told | {"keys add", "keys list", "keys revoke"}:
        lines = re.findall(rf"zkevm {name} ([^\n`#]*)", OPERATORS)
        done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*name.split(), "--help"])
        assert done.exit_code == 0, (name, done.output)
        for option in {option for line in lines for option in re.findall(r"--[a-z-]+", line)}:
            assert re.search(rf"{option}\b", done.stdout), (name, option)


@pytest.mark.deep
def test_the_examples_of_the_api_are_answered(tmp_path: Path) -> None:
    """Nothing is proved, so what comes of a job is not there yet."""
    with running(tmp_path, "--no-prove") as service:
        statuses = {name: status for name, (status, _) in answers(service, False).items()}
        with pytest.raises(HTTPError, match="401"):
            get(service._replace(key="zkevm_wrong"), "/v1/jobs")
    later = {f"/v1/jobs/JOB/{name}" for name in ("proof", "statement", "report", "costs", "plot.svg")}
    assert {name for name, status in statuses.items() if status == 409} == later
    assert statuses["/v1/jobs"] == 201
    assert all(status in (200, 201) for name, status in statuses.items() if name not in later)


@pytest.mark.deep
def test_the_examples_of_the_api_prove_a_batch(tmp_path: Path) -> None:
    with running(tmp_path, "--no-log-json") as service:
        found = answers(service, True)
    refused = {name: answer for name, answer in found.items() if answer[0] >= 400}
    # It is done: there is nothing to be stopped, or to be tried again.
    assert set(refused) == {"/v1/jobs/JOB/cancel", "/v1/jobs/JOB/retry"}
    assert json.loads(found["/v1/verify"][1])["accepted"] is True
    assert json.loads(found["/v1/estimate"][1])["segments"] >= 1
    assert "event: check" in found["/v1/jobs/JOB/events"][1]
    assert (tmp_path / "transfers.batch").read_bytes() == (ROOT / "examples" / "transfer.json").read_bytes()
    # Whoever got the proof verifies it without the service.
    done = subprocess.run(zkevm("verify", tmp_path / "transfers.proof"), capture_output=True, text=True, cwd=ROOT)
    assert "ACCEPTED" in done.stdout


@pytest.mark.deep
def test_the_example_queue_is_proved(tmp_path: Path) -> None:
    """What `make serve` starts."""
    port = free_port()
    command = [sys.executable, "-m", "scripts.example_queue", "--data", tmp_path, "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    process = subprocess.Popen(
        [*map(str, command)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    service = Service(f"http://127.0.0.1:{port}", "", tmp_path)
    try:
        assert process.stdout
        said = next(line for line in process.stdout if "The page" in line)
        assert f"http://127.0.0.1:{port}/" in said
        until = time.monotonic() + 20 * PATIENCE
        while True:
            states = {job["name"]: job["state"] for job in json.loads(get(service, "/v1/jobs"))["items"]}
            assert len(states) == 5
            assert set(states.values()) <= {"queued", "running", "done"}
            if set(states.values()) == {"done"}:
                break
            assert time.monotonic() < until, states
            time.sleep(2.0)
        assert b"<html" in get(service, "/")
    finally:
        process.terminate()
        process.wait(timeout=60)
