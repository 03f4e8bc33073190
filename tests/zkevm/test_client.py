"""The typed client, against a real service on loopback and against answers that no service gives."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from service.models import Code, Options, Scope, Source
from service.settings import Settings
from service.states import State
from tests.service.api.server import BATCH, Served, serving
from zkevm import client as module
from zkevm.client import AsyncClient, Client, Refused, Unreachable


@pytest.fixture
def served(tmp_path: Path):  # type: ignore[no-untyped-def]
    with serving(Settings(data=tmp_path / "data")) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT", 0.01)
    monkeypatch.setattr(module, "_MAX_WAIT", 0.1)


def test_everything(served: Served, tmp_path: Path) -> None:
    with Client(served.url, served.key(Scope.ADMIN, "me")) as client:
        options = Options(segment_memory=600)
        job = client.submit(BATCH, name="a b&c", priority=2, options=options, idempotency_key="k")
        assert client.submit(BATCH, name="a b&c", priority=2, options=options, idempotency_key="k") == job
        assert (job.name, job.priority, job.options, job.submitted_by) == ("a b&c", 2, options, "me")
        other = client.submit(json.loads(BATCH.read_bytes()), name="document")
        source = client.submit(Source(rpc="http://localhost:1", first=1, last=2))
        assert source.source == Source(rpc="http://localhost:1", first=1, last=2)
        assert client.batch(job.id) == BATCH.read_bytes()
        page = client.jobs(limit=2, sort="created")
        assert [found.id for found in page.items] == [job.id, other.id]
        assert client.jobs(sort="created", limit=2, cursor=page.next).items[0].id == source.id
        assert client.jobs(states=[State.DONE, State.FAILED]).total == 0
        assert client.jobs(text="a b&").total == 1
        assert client.cancel(source.id).state is State.CANCELLED
        assert client.retry(source.id).state is State.QUEUED
        served.finish(job.id, b"the proof")
        assert client.wait(job.id).state is State.DONE
        assert client.proof(job.id) == b"the proof"
        assert client.costs(job.id).tables == []
        assert client.overview().queue[State.DONE] == 1
        assert not client.verify(b"junk").accepted
        assert [event.data["state"] for event in client.events(job.id) if event.kind == "state"] == [
            "queued",
            "running",
            "done",
        ]
        with pytest.raises(Refused) as refused:
            client.job("0" * 32)
        assert refused.value.problem.code is Code.NOT_FOUND


def test_the_same_with_coroutines(served: Served) -> None:
    async def run() -> None:
        async with AsyncClient(served.url) as client:
            job = await client.submit(BATCH.read_bytes(), name="x")
            assert (await client.jobs()).total == 1
            assert (await client.job(job.id)).state is State.QUEUED
            waiting = asyncio.create_task(client.wait(job.id))
            await asyncio.to_thread(served.finish, job.id)
            assert (await asyncio.wait_for(waiting, 60)).state is State.DONE
            assert await client.proof(job.id) == b"a proof"
            kinds = [event.kind async for event in client.events(job.id)]
            assert kinds[0] == "state"
            with pytest.raises(Refused):
                await client.cancel(job.id)
            assert (await client.overview()).queue[State.DONE] == 1
            assert not (await client.verify(b"junk")).accepted

    asyncio.run(run())


def answers(*each: httpx.Response | Exception) -> tuple[Client, list[httpx.Request]]:
    """A client that is given these answers one after the other."""
    requests: list[httpx.Request] = []
    left = list(each)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return Client(transport=httpx.MockTransport(answer)), requests


BUSY = {"status_code": 503, "headers": {"Retry-After": "1"}}


def test_a_submission_is_repeated_under_the_same_key(served: Served) -> None:
    with Client(served.url) as real:
        job = real.submit(b"x")
    client, requests = answers(
        httpx.ConnectError("no"),
        httpx.Response(**BUSY),
        httpx.ReadError("cut"),
        httpx.Response(201, content=job.model_dump_json(by_alias=True)),
    )
    assert client.submit(b"x").id == job.id
    assert len(requests) == 4
    assert len({request.headers["idempotency-key"] for request in requests}) == 1


def test_what_may_not_be_repeated_is_not() -> None:
    client, requests = answers(httpx.ReadError("cut"))
    with pytest.raises(Unreachable):
        client.cancel("0" * 32)
    assert len(requests) == 1


def test_a_service_that_stays_away_is_unreachable() -> None:
    client, requests = answers(*(httpx.ConnectError("no") for _ in range(20)))
    with pytest.raises(Unreachable, match="does not answer"):
        client.overview()
    assert len(requests) == module._TRIES


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{}", b'{"items": 1}', b"[1]", b"\xff\xfe", b'{"items": [], "total": 1, "x": 2}']
)
def test_what_is_no_answer_is_told_apart(content: bytes) -> None:
    client, _ = answers(httpx.Response(200, content=content))
    with pytest.raises(Unreachable, match="not of this service"):
        client.jobs()


def test_refusals_of_others_are_problems_too() -> None:
    client, _ = answers(httpx.Response(403, text="<html>proxy</html>"))
    with pytest.raises(Refused) as refused:
        client.jobs()
    assert refused.value.problem.status == 403


def test_a_stream_that_breaks_goes_on(served: Served) -> None:
    with Client(served.url) as real:
        job = real.submit(b"x").id
        served.finish(job)
        told = list(real.events(job))
        detail = real.job(job).model_dump_json(by_alias=True)

    def text(*events) -> bytes:  # type: ignore[no-untyped-def]
        lines = [f": beat\n\nid: {e.number}\nevent: {e.kind}\ndata: {e.model_dump_json()}\n\n" for e in events]
        return "".join(lines).encode()

    class Broken(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield text(told[0])
            yield text(told[1])[:-5]
            raise httpx.ReadError("cut")

    client, requests = answers(
        httpx.Response(200, stream=Broken()),
        httpx.ConnectError("no"),
        httpx.Response(200, content=text(*told[1:])),
        httpx.Response(200, content=detail),
        httpx.Response(204),
    )
    assert list(client.events(job)) == told
    assert [request.headers.get("last-event-id") for request in requests if "events" in str(request.url)] == [
        None,
        str(told[0].number),
        str(told[0].number),
        str(told[-1].number),
    ]
