"""Judging anybody's proof and estimating anybody's batch, in confined processes."""

import asyncio
import json
import logging
import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from service.confined import Bounds, Busy, Confinement, Died, OutOfTime
from service.models import Estimate, Verification
from tests.service.api.conftest import Serve
from tests.service.api.server import BATCH, Served, problem, submission
from verifier.container import MAGIC, ONE_PROOF_VERSION, VERSION

FILE = {"Content-Type": "application/octet-stream"}
CHILDREN = "tests.service.api.children"
ROOMY = Bounds(seconds=120, memory=8 << 30)


def confined(bounds: Bounds, *arguments: str) -> bytes:
    return asyncio.run(Confinement(1, 1, bounds).run(CHILDREN, *arguments))


def test_a_child_answers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "service.confined"):
        assert confined(ROOMY, "answer", "a", "b") == b"a b"
    assert "this is no part of the answer" in caplog.text


@pytest.mark.parametrize("kind", ["sleep", "spin"])
def test_a_child_without_end_is_killed(kind: str) -> None:
    start = time.monotonic()
    with pytest.raises(OutOfTime):
        confined(Bounds(seconds=3, memory=8 << 30), kind)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["allocate", "flood", "segfault"])
def test_a_child_that_takes_too_much_dies(kind: str) -> None:
    with pytest.raises(Died):
        confined(Bounds(seconds=120, memory=2 << 30), kind)


def test_a_child_that_talks_is_heard_in_part(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "service.confined"):
        assert confined(ROOMY, "errors") == b"done"
    assert len(caplog.text) < 10_000


def test_children_of_a_child_die_with_it() -> None:
    mark = "98765.4321"
    with pytest.raises(OutOfTime):
        confined(Bounds(seconds=5, memory=8 << 30), "fork", mark)
    deadline = time.monotonic() + 20
    while subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True).stdout:
        assert time.monotonic() < deadline, "an orphan is left"
        time.sleep(0.1)


def test_a_child_of_a_request_that_is_given_up_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"

    async def given_up() -> None:
        confinement = Confinement(1, 1, ROOMY)
        task = asyncio.create_task(confinement.run(CHILDREN, "pid", str(file)))
        while not (file.exists() and file.read_text()):
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await confinement.run(CHILDREN, "answer", "x") == b"x", "its slot is free again"

    asyncio.run(given_up())
    assert not Path(f"/proc/{file.read_text()}").exists()


def test_more_children_than_slots_wait_or_are_refused() -> None:
    async def crowd() -> list[object]:
        confinement = Confinement(1, 2, ROOMY)
        return await asyncio.gather(
            *(confinement.run(CHILDREN, "answer", str(number)) for number in range(6)), return_exceptions=True
        )

    answers = asyncio.run(crowd())
    assert [answer for answer in answers if isinstance(answer, bytes)] == [b"0", b"1", b"2"]
    assert sum(isinstance(answer, Busy) for answer in answers) == 3


JUNK = {
    "nothing": (b"", "malformed"),
    "text": (b"nothing like a proof", "malformed"),
    "a batch": (BATCH.read_bytes(), "malformed"),
    "an empty list": (MAGIC + bytes([VERSION]) + b"\xc0", "proof_rejected"),
    "no list": (MAGIC + bytes([VERSION]) + b"\xff" * 10_000, "proof_rejected"),
    "another version": (MAGIC + bytes([ONE_PROOF_VERSION + 1]), "malformed"),
}
#: Of these the fast tests see what becomes of them: each starts a process.
FAST = [("a batch", "native"), ("an empty list", "native"), ("no list", "python")]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # the database has no part in it
@pytest.mark.parametrize(
    ("content", "code", "engine"),
    [
        pytest.param(*junk, engine, marks=() if (name, engine) in FAST else pytest.mark.deep, id=f"{engine}-{name}")
        for engine in ("native", "python")
        for name, junk in JUNK.items()
    ],
)
def test_junk_is_no_proof(served: Served, http: httpx.Client, content: bytes, code: str, engine: str) -> None:
    answer = http.post("/v1/verify", content=content, headers=FILE, params={"engine": engine})
    assert answer.status_code == 200
    verdict = Verification.model_validate_json(answer.content)
    assert not verdict.accepted
    assert verdict.problem is not None
    assert verdict.problem.code == code
    assert (verdict.problem.check is not None) == (code == "proof_rejected")
    assert not list((served.context.settings.data / "bodies").iterdir()), "nothing is left of the body"


def test_an_engine_that_is_none(http: httpx.Client) -> None:
    problem(http.post("/v1/verify", content=b"x", headers=FILE, params={"engine": "magic"}), 422, "malformed")


def test_a_verdict_that_takes_too_long_is_none(serve: Serve) -> None:
    served = serve(estimate_seconds=0.01)
    with served.client() as http:
        found = problem(http.post("/v1/verify", content=b"x", headers=FILE), 422, "timeout")
        assert "zkevm verify" in found.hint
        problem(http.post("/v1/estimate", content=b"x", headers=FILE), 422, "timeout")


@pytest.mark.deep
def test_a_batch_is_estimated(served: Served, http: httpx.Client) -> None:
    answer = http.post("/v1/estimate", content=BATCH.read_bytes(), headers=FILE)
    assert answer.status_code == 200, answer.text
    found = Estimate.model_validate_json(answer.content)
    assert (found.blocks, found.transactions, found.fork, found.segments) == (5, 100, "cancun", 1)
    assert found.seconds is None, "nothing was measured yet"
    assert found.costs is not None
    assert found.cells == sum(table.cells for table in found.costs.tables)
    assert found.interactions == sum(table.interactions for table in found.costs.tables)
    assert found.memory
    assert len(found.costs.transactions) == 100
    body = submission(batch=json.loads(BATCH.read_bytes()), options={"segment_operations": 40})
    again = http.post("/v1/estimate", content=body, headers={"Content-Type": "application/json"})
    assert Estimate.model_validate_json(again.content).segments == 3
    assert served.queue.jobs().total == 0, "nothing is submitted"


@pytest.mark.deep
def test_what_cannot_be_estimated(served: Served, http: httpx.Client) -> None:
    answer = http.post("/v1/estimate", content=b"no batch", headers=FILE)
    assert answer.status_code == 422
    assert answer.json()["code"] in ("malformed", "invalid_batch")
    document = json.loads(BATCH.read_bytes())
    document["blocks"][1]["transactions"][3] = document["blocks"][1]["transactions"][2]  # its nonce is used
    found = http.post("/v1/estimate", content=json.dumps(document).encode(), headers=FILE)
    invalid = problem(found, 422, "invalid_batch")
    assert invalid.place is not None
    assert (invalid.place.block, invalid.place.transaction) == (1, 3)
    source = submission(source={"rpc": "http://127.0.0.1:1", "from": 1, "to": 1})
    answer = http.post("/v1/estimate", content=source, headers={"Content-Type": "application/json"})
    problem(answer, 502, "node_unreachable")


def test_no_child_outlives_the_service(serve: Serve) -> None:
    """The process that starts children may be killed: then the kernel kills them."""
    code = f"""
import asyncio
from service.confined import Bounds, Confinement
asyncio.run(Confinement(1, 1, Bounds(600, 8 << 30)).run({CHILDREN!r}, "pid", "/dev/fd/1"))
"""
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pid")
        parent = subprocess.Popen([sys.executable, "-c", code.replace("/dev/fd/1", str(file))])
        try:
            deadline = time.monotonic() + 120
            while not (file.exists() and file.read_text()):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            child = int(file.read_text())
        finally:
            parent.kill()
            parent.wait()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{child}").exists():
            assert time.monotonic() < deadline, "the child outlives its parent"
            time.sleep(0.1)
    assert not os.path.exists(f"/proc/{child}")
