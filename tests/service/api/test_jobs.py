"""Submitting, listing, changing jobs, and fetching what came of them."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from service.models import Code, Costs, JobDetail, Problem
from service.states import State
from tests.service.api.server import BATCH, Served, problem, submission

FILE = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


def test_a_file_is_submitted(served: Served, http: httpx.Client) -> None:
    query = {"name": "first", "priority": 3, "segment_memory": 512, "segment_operations": 7, "one_proof": True}
    answer = http.post("/v1/jobs", content=BATCH.read_bytes(), headers=FILE, params=query)
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["name"], job["priority"], job["submitted_by"]) == ("queued", "first", 3, "local")
    assert job["options"] == {"segment_memory": 512, "segment_operations": 7, "one_proof": True}
    assert job["batch_bytes"] == BATCH.stat().st_size
    assert JobDetail.model_validate(http.get(f"/v1/jobs/{job['id']}").json()).segments == []
    batch = http.get(f"/v1/jobs/{job['id']}/batch")
    assert batch.content == BATCH.read_bytes()
    taken = served.queue.take("f" * 32, 60)
    assert taken is not None
    assert taken.batch is not None
    assert served.artifacts.get(taken.batch) == BATCH.read_bytes()


def test_a_document_is_submitted(served: Served, http: httpx.Client) -> None:
    document = json.loads(BATCH.read_bytes())
    deadline = datetime.now(UTC) + timedelta(hours=1)
    body = submission(batch=document, name="second", deadline=deadline.isoformat(), options={"segment_memory": 1})
    job = http.post("/v1/jobs", content=body, headers=JSON).json()
    assert datetime.fromisoformat(job["deadline"]) == deadline
    assert json.loads(http.get(f"/v1/jobs/{job['id']}/batch").content) == document


def test_blocks_of_a_node_are_submitted(served: Served, http: httpx.Client) -> None:
    source = {"rpc": "http://localhost:8545", "from": 5, "to": 9, "last_hash": "0x" + "ab" * 32}
    answer = http.post("/v1/jobs", content=submission(source=source), headers=JSON)
    assert answer.status_code == 201
    assert answer.json()["source"] == source
    assert served.queue.get(answer.json()["id"]).source is not None
    problem(http.get(f"/v1/jobs/{answer.json()['id']}/batch"), 409, "conflict")


def test_numbers_of_any_size_survive(http: httpx.Client) -> None:
    """JSON documents are read and written anew."""
    batch = {"alloc": {"balance": 2**256 - 1, "text": "é😀", "nested": [[[None, True, -1]]]}}
    job = http.post("/v1/jobs", content=submission(batch=batch), headers=JSON).json()
    assert http.get(f"/v1/jobs/{job['id']}/batch").json() == batch


@pytest.mark.parametrize(
    ("body", "headers", "query", "status", "code"),
    [
        (b"", FILE, {}, 422, "malformed"),
        (b"x", {"Content-Type": "text/html"}, {}, 415, "malformed"),
        (b"x", {**FILE, "Content-Encoding": "gzip"}, {}, 415, "malformed"),
        (b"x", FILE, {"priority": "101"}, 422, "malformed"),
        (b"x", FILE, {"priority": "high"}, 422, "malformed"),
        (b"x", FILE, {"name": "n" * 201}, 422, "malformed"),
        (b"x", FILE, {"name": "a\x00b"}, 422, "malformed"),
        (b"x", FILE, {"deadline": "2020-01-01T00:00:00Z"}, 422, "timeout"),
        (b"x", FILE, {"deadline": "0001-01-01T00:00:00+14:00"}, 422, "malformed"),
        (b"x", FILE, {"deadline": "9999-12-31T23:59:59-14:00"}, 422, "malformed"),
        (b"x", FILE, {"deadline": "9998-12-31T23:59:59Z"}, 422, "malformed"),
        (b"x", FILE, {"segment_memory": "0"}, 422, "malformed"),
        (b"x", FILE, {"nonsense": "1"}, 422, "malformed"),
        (b"x", {**FILE, "Idempotency-Key": "with space"}, {}, 422, "malformed"),
        (b"x", {**FILE, "Idempotency-Key": "k" * 201}, {}, 422, "malformed"),
        (b"{}", JSON, {}, 422, "malformed"),
        (b"{}", JSON, {"name": "beside"}, 422, "malformed"),
        (b"[]", JSON, {}, 422, "malformed"),
        (b"{", JSON, {}, 422, "malformed"),
        (b"\xff", JSON, {}, 422, "malformed"),
        (b'{"batch": {}, "more": 1}', JSON, {}, 422, "malformed"),
        (b'{"batch": {"a": NaN}}', JSON, {}, 422, "malformed"),
        (b'{"batch": {"a": 1e999}}', JSON, {}, 422, "malformed"),
        (b'{"batch": {"a": %s}}' % (b"9" * 5000), JSON, {}, 422, "malformed"),
        (b'{"batch": %s}' % (b"[" * 100_000), JSON, {}, 422, "malformed"),
        (b'{"batch": "text"}', JSON, {}, 422, "malformed"),
        (b'{"batch": {}, "name": "a\\u0000b"}', JSON, {}, 422, "malformed"),
        (b'{"source": {"rpc": "ftp://x", "from": 1, "to": 2}}', JSON, {}, 422, "malformed"),
        (b'{"source": {"rpc": "http://x\\u0000", "from": 1, "to": 2}}', JSON, {}, 422, "malformed"),
        (b'{"source": {"rpc": "http://x", "from": 2, "to": 1}}', JSON, {}, 422, "malformed"),
        (b'{"source": {"rpc": "http://x", "from": 1, "to": 9223372036854775808}}', JSON, {}, 422, "malformed"),
        (b'{"source": {"rpc": "http://x", "from": 1, "to": 1}, "batch": {}}', JSON, {}, 422, "malformed"),
    ],
)
def test_what_is_no_submission_is_refused(
    served: Served,
    http: httpx.Client,
    body: bytes,
    headers: dict[str, str],
    query: dict[str, str],
    status: int,
    code: str,
) -> None:
    problem(http.post("/v1/jobs", content=body, headers=headers, params=query), status, code)
    assert served.queue.jobs().total == 0
    assert not list((served.context.settings.data / "artifacts").rglob("batch-*")), "nothing is left in the store"


def test_a_submission_is_made_once(served: Served, http: httpx.Client) -> None:
    headers = {**FILE, "Idempotency-Key": "one"}
    first = http.post("/v1/jobs", content=b"abc", headers=headers)
    again = http.post("/v1/jobs", content=b"abc", headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    problem(http.post("/v1/jobs", content=b"abd", headers=headers), 409, "conflict")
    problem(http.post("/v1/jobs", content=b"abc", headers=headers, params={"segment_memory": 9}), 409, "conflict")
    assert http.post("/v1/jobs", content=b"abc", headers=FILE).status_code == 201
    assert served.queue.jobs().total == 2
    folders = {path.name for path in (served.context.settings.data / "artifacts").iterdir() if any(path.iterdir())}
    assert folders == {job.id for job in served.queue.jobs().items}, "repetitions leave nothing in the store"


def test_submissions_at_once_are_made_once(served: Served) -> None:
    def submit(number: int) -> tuple[int, str]:
        with served.client() as client:
            headers = {**FILE, "Idempotency-Key": f"key-{number % 3}"}
            answer = client.post("/v1/jobs", content=b"batch %d" % (number % 3), headers=headers)
            return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(submit, range(24)))
    assert sorted(status for status, _ in answers) == [200] * 21 + [201] * 3
    assert len({job for _, job in answers}) == served.queue.jobs().total == 3


def test_a_full_queue_refuses(serve) -> None:  # type: ignore[no-untyped-def]
    served = serve(max_queued=2)
    with served.client() as http:
        first = served.submit(http, b"1", name="one")
        served.submit(http, b"2")
        answer = http.post("/v1/jobs", content=b"3", headers={**FILE, "Idempotency-Key": "three"})
        problem(answer, 503, "queue_full")
        assert int(answer.headers["retry-after"]) > 0
        served.take(first.id)
        assert http.post("/v1/jobs", content=b"3", headers={**FILE, "Idempotency-Key": "three"}).status_code == 201


def test_jobs_are_listed(served: Served, http: httpx.Client) -> None:
    ids = [served.submit(http, b"%d" % i, name=f"batch {i:02d} 100%", priority=i).id for i in range(7)]
    http.post(f"/v1/jobs/{ids[3]}/cancel")
    found, cursor = [], None
    while True:
        page = http.get("/v1/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        assert page["total"] == 7
        found += [job["id"] for job in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == ids[::-1]
    by_state = http.get("/v1/jobs", params={"state": ["cancelled", "done"]}).json()
    assert [job["id"] for job in by_state["items"]] == [ids[3]]
    assert http.get("/v1/jobs", params={"q": "03 100%"}).json()["total"] == 1
    assert http.get("/v1/jobs", params={"q": "_"}).json()["total"] == 0, "no wildcards"
    assert http.get("/v1/jobs", params={"q": ids[0][:8]}).json()["items"][0]["id"] == ids[0]
    by_priority = http.get("/v1/jobs", params={"sort": "-priority", "limit": 1}).json()
    assert by_priority["items"][0]["id"] == ids[6]
    other = http.get("/v1/jobs", params={"sort": "priority", "cursor": by_priority["next"]})
    problem(other, 422, "malformed")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "x"},
        {"state": "lost"},
        {"sort": "id; drop table jobs"},
        {"q": "\x00"},
        {"q": "q" * 201},
        {"cursor": "nonsense"},
        {"cursor": "W10="},
        {"cursor": "WyItY3JlYXRlZCIsICIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgImEiXQ=="},
        {"cursor": "WyItY3JlYXRlZCIsIDUsICJhIl0="},
        {"more": "1"},
    ],
)
def test_what_is_no_list_is_refused(http: httpx.Client, query: dict[str, str]) -> None:
    problem(http.get("/v1/jobs", params=query), 422, "malformed")


def test_jobs_are_cancelled_and_retried(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    problem(http.post(f"/v1/jobs/{job}/retry"), 409, "conflict")
    assert http.post(f"/v1/jobs/{job}/cancel").json()["state"] == "cancelled"
    problem(http.post(f"/v1/jobs/{job}/cancel"), 409, "conflict")
    assert http.post(f"/v1/jobs/{job}/retry").json()["state"] == "queued"
    served.finish(job)
    problem(http.post(f"/v1/jobs/{job}/cancel"), 409, "conflict")


def test_results_are_sent(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    for name in ("proof", "statement", "report", "costs", "plot.svg"):
        found = problem(http.get(f"/v1/jobs/{job}/{name}"), 409, "conflict")
        assert "queued" in found.detail
    proof = bytes(range(256)) * 20_000  # more than one part
    served.finish(job, proof)
    answer = http.get(f"/v1/jobs/{job}/proof")
    assert answer.content == proof
    assert answer.headers["etag"] == f'"{hashlib.sha256(proof).hexdigest()}"'
    assert answer.headers["content-disposition"] == f'attachment; filename="{job}.proof"'
    assert int(answer.headers["content-length"]) == len(proof)
    same = http.get(f"/v1/jobs/{job}/proof", headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert http.get(f"/v1/jobs/{job}/statement").json() == {"chain_id": 1}
    assert http.get(f"/v1/jobs/{job}/report").json() == {}
    Costs.model_validate_json(http.get(f"/v1/jobs/{job}/costs").content)
    plot = http.get(f"/v1/jobs/{job}/plot.svg")
    assert plot.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in plot.headers["content-security-policy"], "a drawing must not run anything"
    detail = http.get(f"/v1/jobs/{job}").json()
    assert (detail["state"], len(detail["segments"])) == ("done", 2)


def test_a_failed_job_has_its_reason_and_no_proof(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    reason = Problem(title="no", status=422, code=Code.UNSUPPORTED, detail="what for", hint="leave it")
    served.fail(job, reason)
    detail = http.get(f"/v1/jobs/{job}").json()
    assert detail["state"] == State.FAILED
    assert Problem.model_validate(detail["problem"]) == reason
    problem(http.get(f"/v1/jobs/{job}/proof"), 404, "not_found")


def test_a_result_that_the_store_has_lost_says_so(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    served.finish(job)
    for path in (served.context.settings.data / "artifacts").rglob("proof-*"):
        path.unlink()
    found = problem(http.get(f"/v1/jobs/{job}/proof"), 500, "internal")
    assert "backup" in found.hint


@pytest.mark.parametrize("job", ["0" * 32, "x", "A" * 32, "%00", "..%2f..%2fetc%2fpasswd", "0" * 33])
@pytest.mark.parametrize("rest", ["", "/events", "/proof", "/plot.svg", "/batch"])
def test_jobs_that_are_not_there(http: httpx.Client, job: str, rest: str) -> None:
    answer = http.get(f"/v1/jobs/{job}{rest}")
    assert answer.status_code in (404, 422)
    problem(answer, answer.status_code, "not_found" if answer.status_code == 404 else "malformed")
