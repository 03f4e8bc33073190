"""Who may do what, and how much of it."""

import hashlib
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from service.api import auth
from service.api.limits import Buckets
from service.database import Base
from service.keys import Keys, UnusableKey, includes
from service.models import Scope
from tests.service.api.conftest import Serve
from tests.service.api.server import Served, problem, submission

FILE = {"Content-Type": "application/octet-stream"}

#: Every route with a key's scope that is just enough; `JOB` stands for a job of the key that submitted it.
ROUTES: list[tuple[str, str, Scope, dict[str, Any]]] = [
    ("GET", "/v1/jobs", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB/batch", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB/proof", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB/statement", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB/report", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB/costs", Scope.READ, {}),
    ("GET", "/v1/jobs/JOB/plot.svg", Scope.READ, {}),
    ("GET", "/v1/overview", Scope.READ, {}),
    ("POST", "/v1/verify", Scope.READ, {"content": b"junk", "headers": FILE}),
    ("POST", "/v1/jobs", Scope.SUBMIT, {"content": b"batch", "headers": FILE}),
    ("POST", "/v1/estimate", Scope.SUBMIT, {"content": b"junk", "headers": FILE}),
    ("POST", "/v1/jobs/JOB/retry", Scope.ADMIN, {}),
    ("POST", "/v1/jobs/JOB/cancel", Scope.ADMIN, {}),
]


@pytest.mark.parametrize(("method", "path", "scope", "more"), ROUTES)
def test_scopes(served: Served, method: str, path: str, scope: Scope, more: dict[str, Any]) -> None:
    owner = served.key(Scope.SUBMIT, "owner")
    with served.client(owner) as http:
        job = served.submit(http).id
    address = path.replace("JOB", job)
    with served.client() as http:
        refused = http.request(method, address, **more)
        problem(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"].startswith("Bearer")
    for wrong in ("zkevm_" + "A" * 43, "x", "zkevm_" + "A" * 400):
        with served.client(wrong) as http:
            problem(http.request(method, address, **more), 401, "unauthorized")
    for given in Scope:
        with served.client(served.key(given, f"key of {given}")) as http:
            answer = http.request(method, address, **more)
            if includes(given, scope):
                assert answer.status_code not in (401, 403), answer.text
            else:
                problem(answer, 403, "forbidden")


def test_every_route_of_the_api_is_in_the_table(served: Served, http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    known = {(method, path.replace("JOB", "{job}")) for method, path, _, _ in ROUTES}
    streams = {("GET", "/v1/jobs/{job}/events"), ("GET", "/v1/events")}
    there = {(method.upper(), path) for path, methods in paths.items() for method in methods if path.startswith("/v1")}
    assert there == known | streams
    for path, methods in paths.items():
        for operation in methods.values():
            assert ("security" in operation) == path.startswith("/v1")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs/JOB/events"])
def test_streams_need_a_key(served: Served, path: str) -> None:
    key = served.key(Scope.READ)
    with served.client(served.key(Scope.SUBMIT)) as http:
        job = served.submit(http).id
    with served.client() as http:
        problem(http.get(path.replace("JOB", job)), 401, "unauthorized")
    with served.client(key) as http, http.stream("GET", path.replace("JOB", job)) as answer:
        assert answer.status_code == 200


def test_health_needs_none(served: Served) -> None:
    served.key(Scope.ADMIN)
    with served.client() as http:
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"):
            assert http.get(path).status_code == 200, path


def test_a_client_changes_its_own_jobs_only(served: Served) -> None:
    with served.client(served.key(Scope.SUBMIT, "one")) as one, served.client(served.key(Scope.SUBMIT, "two")) as two:
        job = served.submit(one)
        assert job.submitted_by == "one"
        problem(two.post(f"/v1/jobs/{job.id}/cancel"), 403, "forbidden")
        assert one.post(f"/v1/jobs/{job.id}/cancel").status_code == 200
        problem(two.post(f"/v1/jobs/{job.id}/retry"), 403, "forbidden")
        assert one.post(f"/v1/jobs/{job.id}/retry").status_code == 200


def test_idempotency_keys_of_clients_are_their_own(served: Served) -> None:
    with served.client(served.key(Scope.SUBMIT, "one")) as one, served.client(served.key(Scope.SUBMIT, "two")) as two:
        headers = {**FILE, "Idempotency-Key": "same"}
        first = one.post("/v1/jobs", content=b"1", headers=headers)
        second = two.post("/v1/jobs", content=b"2", headers=headers)
        assert (first.status_code, second.status_code) == (201, 201)


def test_keys_are_revoked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MEMORY_SECONDS", 0.2)
    keys = Keys(served.context.database)
    token = served.key(Scope.ADMIN, "only")
    with served.client(token) as http:
        assert http.get("/v1/overview").status_code == 200
        assert keys.revoke("only").revoked is not None
        time.sleep(0.3)
        problem(http.get("/v1/overview"), 401, "unauthorized")
    with served.client() as http:
        # Not even this machine: who has revoked the last key wants nobody in.
        problem(http.get("/v1/overview"), 401, "unauthorized")
    with pytest.raises(UnusableKey):
        keys.revoke("only")


def test_keys_are_not_kept(served: Served) -> None:
    token = served.key(Scope.READ, "secret")
    tables = Base.metadata.sorted_tables
    raw = served.context.database.read(lambda session: str([session.execute(select(table)).all() for table in tables]))
    assert hashlib.sha256(token.encode()).hexdigest() in raw
    assert token.removeprefix("zkevm_") not in raw
    (key,) = Keys(served.context.database).list()
    assert (key.name, key.scope, key.revoked) == ("secret", Scope.READ, None)
    assert token not in key.model_dump_json()


def test_the_use_of_a_key_is_noted(served: Served) -> None:
    with served.client(served.key(Scope.READ)) as http:
        http.get("/v1/overview")
    for _ in range(100):
        (key,) = Keys(served.context.database).list()
        if key.used is not None:
            return
        time.sleep(0.1)
    raise AssertionError("no use of the key is noted")


@pytest.mark.parametrize("name", ["", "n" * 201, "a\nb", "ünïcode", "\x00"])
def test_names_of_keys(served: Served, name: str) -> None:
    with pytest.raises(UnusableKey):
        Keys(served.context.database).add(name, Scope.READ)


def test_a_name_is_given_once(served: Served) -> None:
    keys = Keys(served.context.database)
    first, token = keys.add("bob", Scope.READ)
    with pytest.raises(UnusableKey):
        keys.add("bob", Scope.READ)
    keys.revoke(first.id)
    second, other = keys.add("bob", Scope.ADMIN)
    assert other != token
    assert keys.find(token) is None
    assert keys.find(other) == second


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"Host": "localhost:1234"}, True),
        ({"Host": "[::1]:1234"}, True),
        ({"Host": "rebound.example"}, False),
        ({"Host": "127.0.0.1.example"}, False),
        ({"Host": "192.168.0.2:80"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, True),
        ({"Host": "localhost:80", "Origin": "http://localhost:81"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
    ],
)
def test_without_keys_only_this_machine_and_this_page(
    served: Served, http: httpx.Client, headers: dict[str, str], is_let_in: bool
) -> None:
    answer = http.post("/v1/jobs", content=b"x", headers={**FILE, **headers})
    if is_let_in:
        assert answer.status_code == 201
    else:
        problem(answer, 403, "forbidden")
        assert served.queue.jobs().total == 0


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_what_is_this_machine(host: str, is_loopback: bool) -> None:
    assert auth.is_loopback(host) == is_loopback


def test_a_host_of_others_is_never_open(serve: Serve) -> None:
    served = serve(host="0.0.0.0")  # what the doorkeeper is told; the test listens on loopback all the same
    with served.client() as http:
        problem(http.get("/v1/overview"), 401, "unauthorized")


def test_requests_are_limited(serve: Serve) -> None:
    served = serve(requests_per_minute=5)
    one, two = served.key(Scope.READ, "one"), served.key(Scope.READ, "two")
    with served.client(one) as first, served.client(two) as second:
        answers = [first.get("/v1/overview") for _ in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        problem(answers[-1], 429, "rate_limited")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 13
        assert second.get("/v1/overview").status_code == 200, "others are not concerned"


def test_wrong_keys_are_limited(served: Served) -> None:
    right = served.key(Scope.READ)
    served.context.doorkeeper._wrong = Buckets(10)
    with served.client() as http:
        statuses = [
            http.get("/v1/overview", headers={"Authorization": f"Bearer wrong-{number}"}).status_code
            for number in range(30)
        ]
    assert statuses[0] == 401
    assert 429 in statuses
    with served.client(right) as http:
        assert http.get("/v1/overview").status_code == 200, "who has the right one, from the same address, gets in"


def test_the_source_of_an_answer_is_named(served: Served, http: httpx.Client) -> None:
    answer = http.post("/v1/jobs", content=submission(batch={}), headers={"Content-Type": "application/json"})
    assert len(answer.headers["x-request-id"]) == 16
    assert answer.headers["x-content-type-options"] == "nosniff"
