"""Health, metrics, documentation, the page, logs and traces."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import structlog

from service import logs, telemetry
from service.models import Code, Overview, Problem
from service.problems import STATUS
from tests.service.api.conftest import Away, Serve
from tests.service.api.server import ROOT, Served, problem


def test_health(served: Served, http: httpx.Client) -> None:
    for path in ("/healthz", "/readyz"):
        answer = http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_service_without_its_database_is_alive_and_not_ready(
    served: Served, http: httpx.Client, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = served.submit(http).id
    assert "zkevm_database_up 1.0" in http.get("/metrics").text
    served.context.glance._known = None
    served.context.database.close()
    monkeypatch.setattr("service.database._TRIES", 1)
    with away():
        assert http.get("/healthz").status_code == 200
        answers = [
            http.get("/readyz"),
            http.get(f"/v1/jobs/{job}"),
            http.get("/v1/overview"),
            http.post("/v1/jobs", content=b"x", headers={"Content-Type": "application/octet-stream"}),
        ]
        for answer in answers:
            found = problem(answer, 503, "unavailable")
            assert found.retry_after
        metrics = http.get("/metrics").text
        assert "zkevm_database_up 0.0" in metrics
        assert "zkevm_jobs{" not in metrics
    assert http.get("/readyz").status_code == 200
    assert http.get(f"/v1/jobs/{job}").status_code == 200


def test_a_service_whose_store_is_away_is_not_ready(served: Served, http: httpx.Client) -> None:
    store = served.context.settings.data / "artifacts"
    http.get("/readyz")
    store.rmdir()
    store.write_text("no folder")
    problem(http.get("/readyz"), 503, "unavailable")
    answer = http.post("/v1/jobs", content=b"x", headers={"Content-Type": "application/octet-stream"})
    problem(answer, 503, "unavailable")
    assert served.queue.jobs().total == 0


def test_overview(served: Served, http: httpx.Client) -> None:
    done, failed = served.submit(http).id, served.submit(http).id
    served.finish(done)
    served.fail(failed, Problem(title="no", status=422, code=Code.INVALID, detail="no"))
    served.submit(http)
    served.queue.sample()
    found = Overview.model_validate_json(http.get("/v1/overview").content)
    assert (found.queue["done"], found.queue["failed"], found.queue["queued"]) == (1, 1, 1)
    assert found.proofs_per_hour == 1.0
    assert found.version
    assert [(queued, running) for _, queued, running in found.queue_history] == [(1, 0)]


def test_metrics(served: Served, http: httpx.Client) -> None:
    for _ in range(3):
        http.get("/v1/jobs")
    http.get("/v1/jobs", params={"limit": "x"})
    http.get("/nowhere")
    http.request("BREW", "/v1/jobs")
    with http.stream("GET", "/v1/events"):
        text = http.get("/metrics").text
    assert 'zkevm_http_requests_total{method="GET",route="/v1/jobs",status="200"} 3.0' in text
    assert 'zkevm_http_requests_total{method="GET",route="/v1/jobs",status="422"} 1.0' in text
    assert 'zkevm_http_requests_total{method="any",route="unknown",status="404"} 1.0' in text
    assert 'zkevm_http_requests_total{method="other",route="/v1/jobs",status="405"} 1.0' in text
    assert 'zkevm_http_refusals_total{code="malformed"}' in text
    assert 'zkevm_jobs{state="queued"} 0.0' in text
    assert re.search(r"^zkevm_streams 1\.0$", text, re.MULTILINE)
    assert "BREW" not in text, "what clients make up must not become time series"


def test_all_metrics_are_documented(served: Served, http: httpx.Client) -> None:
    import service.metrics

    http.get("/v1/jobs")
    http.post("/v1/verify", content=b"x", headers={"Content-Type": "application/octet-stream"})
    served.queue.register(_process())
    text = http.get("/metrics").text
    names = set(re.findall(r"^# TYPE (zkevm_\w+)", text, re.MULTILINE))
    told = set(re.findall(r"zkevm_\w+", service.metrics.__doc__ or ""))
    assert {name for name in names if not name.endswith("_created")} <= told


def _process():  # type: ignore[no-untyped-def]
    from service.database import ProcessRow, now

    return ProcessRow(
        id="a" * 32, host="here", space="x", pid=1, ticks=1, started=now(), seen=now(), memory=1 << 30, threads=2
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/", 404),
        ("GET", "/v2/jobs", 404),
        ("GET", "/v1/jobs/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("POST", "/", 404),
        ("GET", "/index.html/x", 404),
        ("PUT", "/v1/jobs", 405),
        ("DELETE", "/v1/jobs/" + "0" * 32, 405),
        ("GET", "/v1/verify", 405),
        ("GET", "/v1/jobs/" + "0" * 32 + "/cancel", 405),
        ("POST", "/healthz", 405),
        ("TRACE", "/v1/jobs", 405),
    ],
)
def test_what_is_not_there(http: httpx.Client, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    problem(answer, status, "not_found" if status == 404 else "malformed")
    if status == 405:
        assert answer.headers["allow"]


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(Code)


def test_internal_errors_are_told_to_the_log_alone(
    served: Served, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr(served.context, "glance", broken)
    with structlog.testing.capture_logs() as captured:
        answer = http.get("/v1/overview")
    problem(answer, 500, "internal")
    assert "1234" not in answer.text
    assert any(entry["event"] == "internal error" and entry["exc_info"] for entry in captured)


def test_the_document_describes_all_that_there_is(served: Served, http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    text = json.dumps(document)
    for name in set(re.findall(r"#/components/schemas/([^\"]+)", text)):
        assert name in document["components"]["schemas"], name
    assert "Submission" in document["components"]["schemas"]
    assert "JobEvent" in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation.get("description") or operation.get("summary"), path
            for status in ("4XX", "5XX"):
                content = operation["responses"][status]["content"]
                assert list(content) == ["application/problem+json"], path


def test_the_documentation_and_the_page_load_nothing_from_elsewhere(http: httpx.Client) -> None:
    pages = ["/", "/docs"]
    seen: set[str] = set()
    while pages:
        path = pages.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = http.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        if answer.headers["content-type"].startswith("text/html"):
            for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", answer.text):
                assert not re.match(r"\w+:|//", address), f"{path} names {address}"
                joined = str(httpx.URL(http.base_url).join(path).join(address).path)
                if re.search(r"\.(js|css|svg|woff2)$", joined):
                    pages.append(joined)
            assert not re.search(r"<script(?![^>]*src)|style=\"|\son\w+=", answer.text), "inline code"
        else:
            assert not re.search(r"(?:import|from|fetch\(|url\()\s*[\"']?https?://", answer.text), path
    assert {"/docs/docs.js", "/docs/docs.css"} <= seen


def test_logs_are_json_with_a_job_in_every_line() -> None:
    code = """
import logging, structlog
from service import logs
logs.configure("info")
logs.get("a").info("without", number=1)
with logs.about(job="j" * 32):
    logs.get("a").info("within")
    logging.getLogger("some.library").warning("from %s", "elsewhere")
    try:
        1 / 0
    except ZeroDivisionError:
        logs.get("a").exception("failed")
logging.getLogger("uvicorn.error").info("started")
logging.getLogger("alembic").info("chatter")
logs.get("a").debug("too little")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["without", "within", "from elsewhere", "failed", "started"]
    assert [line["job"] for line in lines] == [None, "j" * 32, "j" * 32, "j" * 32, None]
    assert lines[0]["number"] == 1
    assert "ZeroDivisionError" in lines[3]["exception"]
    for line in lines:
        assert {"time", "level", "logger", "event", "job"} <= line.keys()
    assert done.stdout == ""


def test_there_is_no_such_level() -> None:
    with pytest.raises(ValueError, match="no level"):
        logs.configure("loud")


def test_requests_are_logged_with_job_and_key(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        answer = http.get(f"/v1/jobs/{job}")
        quiet = http.get("/healthz")
    own = {of.headers["x-request-id"] for of in (answer, quiet)}  # others may ask at the same time
    (line,) = [entry for entry in captured if entry["event"] == "request" and entry["request"] in own]
    assert line["job"] == job
    assert line["key"] == "local"
    assert line["request"] == answer.headers["x-request-id"]
    assert (line["method"], line["status"]) == ("GET", 200)


@pytest.fixture
def spans() -> Iterator[list]:  # type: ignore[type-arg]
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    found: list = []  # type: ignore[type-arg]

    class Exporter(SpanExporter):
        def export(self, batch):  # type: ignore[no-untyped-def]
            found.extend(batch)
            return SpanExportResult.SUCCESS

    assert telemetry.configure(exporter=Exporter(), version="1")
    yield found
    telemetry.stop()


def test_requests_are_traced(served: Served, http: httpx.Client, spans: list) -> None:  # type: ignore[type-arg]
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    http.get("/v1/jobs", headers={"traceparent": parent})
    http.get("/v1/jobs", headers={"traceparent": "nonsense"})
    telemetry.stop()
    names = [span.name for span in spans]
    assert names == ["GET /v1/jobs", "GET /v1/jobs"]
    assert format(spans[0].context.trace_id, "032x") == "ab" * 16
    assert spans[0].attributes["http.response.status_code"] == 200


def test_nothing_is_traced_unless_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert not telemetry.configure()
    with telemetry.span("x") as span:
        assert span is None
    assert telemetry.current_trace() is None
    assert telemetry.traceparent() is None


def test_a_trace_goes_on_in_another_process(spans: list) -> None:  # type: ignore[type-arg]
    with telemetry.span("outer"):
        parent = telemetry.traceparent()
        trace = telemetry.current_trace()
    assert parent is not None
    assert trace is not None
    with telemetry.span("inner", parent=parent):
        assert telemetry.current_trace() == trace
    telemetry.stop()
    outer, inner = spans
    assert inner.parent.span_id == outer.context.span_id


def test_the_service_stops_being_ready(serve: Serve) -> None:
    served = serve()
    with served.client() as http:
        served.context.stopping = True
        problem(http.get("/readyz"), 503, "unavailable")


def test_uvicorn_says_nothing_of_itself(http: httpx.Client) -> None:
    assert "server" not in http.get("/healthz").headers
