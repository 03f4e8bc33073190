"""The commands of the proving service, against a real one."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.models import Code, Problem
from service.settings import Settings
from tests.service.api.process import Process, running
from tests.service.api.server import BATCH, ROOT, Served, serving
from zkevm.errors import UsageError
from zkevm.main import app
from zkevm.serving import serve_options, settings_of, status_of

runner = CliRunner()


def zkevm(*arguments: str, status: int = 0) -> Any:
    """The document that a command prints."""
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == status, (result.stdout, result.stderr)
    return json.loads(result.stdout)


@pytest.fixture
def served(tmp_path: Path):  # type: ignore[no-untyped-def]
    with serving(Settings(data=tmp_path / "data")) as served:
        yield served


@pytest.fixture
def url(served: Served, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ZKEVM_URL", served.url)
    return served.url


def test_submit_and_look(served: Served, url: str, tmp_path: Path) -> None:
    job = zkevm("submit", str(BATCH), "--priority", "4", "--idempotency-key", "k", "--segment-memory", "700")
    assert (job["name"], job["priority"], job["options"]["segment_memory"]) == ("transfer.json", 4, 700)
    again = zkevm("submit", str(BATCH), "--priority", "4", "--idempotency-key", "k", "--segment-memory", "700")
    assert again["id"] == job["id"]
    assert zkevm("status", job["id"])["state"] == "queued"
    assert zkevm("jobs", "--state", "queued")["total"] == 1
    assert zkevm("jobs", "--state", "done", "--state", "failed")["total"] == 0
    out = tmp_path / "x.proof"
    error = zkevm("fetch-proof", job["id"], "--out", str(out), status=1)["error"]
    assert error["code"] == "conflict"
    assert not out.exists()
    served.finish(job["id"], b"the proof")
    assert zkevm("watch", job["id"])["state"] == "done"
    fetched = zkevm("fetch-proof", job["id"], "--out", str(out))
    assert (fetched["bytes"], out.read_bytes()) == (9, b"the proof")
    assert zkevm("cancel", job["id"], status=1)["error"]["code"] == "conflict"


def test_for_people(served: Served, url: str) -> None:
    job = zkevm("submit", str(BATCH), "--name", "a [bold] name")["id"]
    listed = runner.invoke(app, ["jobs"])
    assert "a [bold] name" in listed.stdout
    served.finish(job)
    watched = runner.invoke(app, ["watch", job])
    assert watched.exit_code == 0
    assert "done" in watched.stdout
    assert "running" in watched.stderr


def test_what_becomes_of_a_job_is_the_exit_status(served: Served, url: str) -> None:
    for code, status in ((Code.INVALID, 2), (Code.UNSUPPORTED, 2), (Code.INTERNAL, 3), (Code.TIMEOUT, 1)):
        job = zkevm("submit", str(BATCH))["id"]
        served.fail(job, Problem(title="x", status=422, code=code, detail="the reason"))
        assert zkevm("watch", job, status=status)["problem"]["detail"] == "the reason"
        assert zkevm("status", job, status=status)["state"] == "failed"
        assert zkevm("retry", job)["state"] == "queued"
        assert zkevm("cancel", job)["state"] == "cancelled"
        assert zkevm("watch", job, status=1)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["submit"], 2),
        (["submit", "FILE", "--rpc", "http://x", "--blocks", "1"], 2),
        (["submit", "--rpc", "http://x"], 2),
        (["submit", "--rpc", "ftp://x", "--blocks", "1"], 2),
        (["submit", "--rpc", "http://x", "--blocks", "latest"], 2),
        (["submit", "--rpc", "http://x", "--blocks", "2..1"], 2),
        (["submit", "nowhere.json"], 2),
        (["submit", "FILE::case"], 2),
        (["submit", "FILE", "--priority", "101"], 2),
        (["status", "x"], 2),
        (["status", "0" * 32], 2),
        (["watch", "0" * 32], 2),
        (["cancel", "0" * 32], 2),
        (["jobs", "--sort", "nonsense"], 2),
        (["jobs", "--url", "nonsense"], 2),
        (["jobs", "--url", "ftp://x"], 2),
        (["jobs", "--url", "http://127.0.0.1:1"], 2),
        (["jobs", "--key", "wrong"], 0),  # where none is needed, a wrong one does no harm
        (["fetch-proof", "0" * 32, "--out", "/nowhere/x"], 2),
    ],
)
def test_what_cannot_be_done(url: str, arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkevm.client._WAIT", 0.01)
    given = [argument.replace("FILE", str(BATCH)) for argument in arguments]
    result = runner.invoke(app, given)
    assert result.exit_code == status, (result.stdout, result.stderr)
    if status:
        assert result.stderr.strip()
        assert "Traceback" not in result.stderr


def test_several_files_become_one(served: Served, url: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_text('[{"b": 2}, {"c": 3}]')
    (tmp_path / "c.hex").write_text("0xc0c1\n0xc2\n")
    (tmp_path / "d.rlp").write_bytes(b"\xc0\x01")
    job = zkevm("submit", *(str(path) for path in sorted(tmp_path.glob("?.*"))))["id"]
    taken = served.take(job)
    assert taken.batch is not None
    assert json.loads(served.artifacts.get(taken.batch)) == [{"a": 1}, {"b": 2}, {"c": 3}, "0xc0c1c2", "0xc001"]


def test_keys(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "new")]
    made = zkevm("keys", "add", "bob", "--scope", "read", *data)
    assert made["key"].startswith("zkevm_")
    assert runner.invoke(app, ["keys", "add", "bob", *data]).exit_code == 2
    (listed,) = zkevm("keys", "list", *data)["keys"]
    assert (listed["name"], listed["scope"], listed["revoked"]) == ("bob", "read", None)
    assert made["key"] not in json.dumps(listed)
    assert zkevm("keys", "revoke", "bob", *data)["revoked"]
    assert runner.invoke(app, ["keys", "revoke", "bob", *data]).exit_code == 2


def test_every_setting_is_an_option() -> None:
    options = serve_options().parameters
    assert set(options) == set(Settings.model_fields)
    assert all(len(option.default.help) > 10 for option in options.values())
    result = runner.invoke(app, ["serve", "--help"])
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "given",
    [
        {"port": 70000},
        {"jobs": 0},
        {"artifacts_options": "{"},
        {"memory": -1},
        {"requests_per_minute": -1},
        {"follow": "localhost:8545"},
    ],
)
def test_settings_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        settings_of(given)


def test_statuses_are_those_of_the_command_line() -> None:
    for code in Code:
        assert status_of(Problem(title="", status=400, code=code, detail="")) in (1, 2, 3)


def test_a_service_without_keys_is_for_this_machine_only(tmp_path: Path) -> None:
    process = Process(tmp_path, "--host", "0.0.0.0", "--no-prove")
    assert process.popen.wait(300) == 2
    assert any("keys add" in line for line in process.log), process.log


@pytest.mark.deep
def test_an_address_that_is_taken(served: Served, tmp_path: Path) -> None:
    process = Process(tmp_path, "--port", str(served.port), "--no-prove")
    assert process.popen.wait(300) == 2
    assert any("in use" in line for line in process.log), process.log


def test_a_batch_from_submission_to_a_verified_proof(tmp_path: Path) -> None:
    """`zkevm serve` in a process, everything else by the commands; stopped and started again in between."""
    data = tmp_path / "data"
    with running(data, "--workers", "1") as process:
        command = ["submit", str(BATCH), "--url", process.url, "--watch"]
        result = runner.invoke(app, [*command, "--json"])
        assert result.exit_code == 0, (result.stdout, result.stderr, process.log[-20:])
        job = json.loads(result.stdout)
        assert (job["state"], job["transactions"], job["segments_done"]) == ("done", 100, 1)
        out = tmp_path / "fetched.proof"
        zkevm("fetch-proof", job["id"], "--out", str(out), "--url", process.url)
        start = time.monotonic()
        assert process.stop() == 0, process.log[-20:]
        assert time.monotonic() - start < 60
    report = zkevm("verify", str(out))
    assert report["accepted"]
    assert report["digest"] == job["statement_digest"]
    lines = [line for line in process.lines() if line["job"] == job["id"]]
    assert lines, "what happens to a job is in the log"
    with running(data, "--no-prove") as process:
        headers = {"Content-Type": "application/octet-stream"}
        answer = httpx.post(f"{process.url}/v1/verify", content=out.read_bytes(), headers=headers, timeout=300)
        verdict = answer.json()
        assert verdict["accepted"]
        assert verdict["statement_digest"] == job["statement_digest"]
        assert [check["name"] for check in verdict["checks"]] == [check["name"] for check in report["checks"]]
        assert zkevm("status", job["id"], "--url", process.url)["state"] == "done"
        assert process.stop(signal.SIGINT) == 0


@pytest.mark.deep
def test_a_service_that_does_not_prove_keeps_the_queue(tmp_path: Path) -> None:
    with running(tmp_path, "--no-prove") as process:
        ids = {zkevm("submit", str(BATCH), "--url", process.url)["id"] for _ in range(3)}
        process.popen.kill()
        process.popen.wait()
    with running(tmp_path, "--no-prove") as process:
        found = zkevm("jobs", "--url", process.url)
        assert {job["id"] for job in found["items"]} == ids
        assert process.stop() == 0


def test_the_example_is_where_it_is_said() -> None:
    assert BATCH == ROOT / "examples" / "transfer.json"
