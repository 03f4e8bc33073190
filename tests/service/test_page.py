"""The page in a browser: what a person does, with a mouse, with a keyboard only, and by ear.

Debian's Chromium is driven by Playwright; without a Chromium these tests are skipped. Most run against a service that
only pretends (`tests.service.fake_service`): its proof is a real one, of a block without transactions.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from executor.batch import batch_from_document
from executor.execute import execute
from service.page import FILES, HEADERS
from tests.service.fake_service import Fake, create_app
from tests.verifier.proving import prove_here
from verifier.verify import CHECKS, verify

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no browser: none of {', '.join(NAMES)} is on the path (`apt-get install chromium`)"
)

#: How the page may be looked at: width and height in pixels, and colours.
LOOKS = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (360, 740, "light")}


@dataclass
class Served:
    """A fake service at an address."""

    fake: Fake
    url: str
    loop: asyncio.AbstractEventLoop

    def do(self, what: Any) -> Any:
        """Run a coroutine where the service runs."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(10)

    def submit(self, *names: str) -> list[str]:
        """Jobs with these names; their ids."""
        return [self.do(self.fake.submit(name, b"{}")).id for name in names]


@pytest.fixture(scope="module")
def proof() -> bytes:
    """A proof file without segments."""
    document = json.loads((EXAMPLES / "transfer.json").read_text())
    document["blocks"] = document["blocks"][:1]
    document["blocks"][0]["transactions"] = []
    return prove_here(execute(batch_from_document(document)), None).content


@pytest.fixture
def serve(proof: bytes) -> Iterator[Any]:
    """Starts fake services."""
    running = []

    def start(second: float = 0.03, key: str = "") -> Served:
        fake = Fake(second, key, proof)
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(fake), log_level="warning", timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve([listening])), daemon=True)
        thread.start()
        running.append((server, thread))
        return Served(fake, f"http://127.0.0.1:{listening.getsockname()[1]}/", loop)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In containers there is no other user to be confined as.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Errors:
    """What a browser complained about: scripts that failed, and what the page's policy did not let it do."""

    texts: list[str]

    def watch(self, context: BrowserContext) -> None:
        def note(message: ConsoleMessage) -> None:
            # A refusal of the service is no error of the page.
            if message.type == "error" and "status of 4" not in message.text:
                self.texts.append(message.text)

        context.on("console", note)
        context.on("weberror", lambda error: self.texts.append(str(error.error)))


@pytest.fixture
def look(browser: Browser) -> Iterator[Any]:
    """Opens addresses in contexts of their own; afterwards, no page may have complained."""
    errors = Errors([])
    contexts = []

    def open_page(url: str, how: str = "light", **options: Any) -> Page:
        width, height, colours = LOOKS[how]
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=colours, accept_downloads=True, **options)  # type: ignore[arg-type]
        contexts.append(context)
        errors.watch(context)
        page = context.new_page()
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors.texts == []


def drop(target: Locator, name: str, content: bytes) -> None:
    """Drop a file onto something."""
    encoded = base64.b64encode(content).decode()
    script = """(element, [name, encoded]) => {
        const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], name));
        for (const type of ["dragover", "drop"]) {
            element.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        }
    }"""
    target.evaluate(script, [name, encoded])


def saved(page: Page, button: Locator) -> tuple[str, bytes]:
    """The file that a button gives, with its name."""
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


# Files


def test_files_are_plain_small_and_of_this_service() -> None:
    """Nothing is loaded from elsewhere, nothing is within the document that the policy would not allow."""
    modules = sorted(FILES.rglob("*.js"))
    assert len(modules) > 10
    for module in modules:
        text = module.read_text()
        assert module.stat().st_size < 12_000, module
        assert not re.search(r"https?://(?!localhost|www\.w3\.org/2000/svg|\.\+)", text), module
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            module
        )
        for name in re.findall(r'from "([^"]+)"', text):
            assert (module.parent / name).is_file(), f"{module} imports {name}"
    assert sum(path.stat().st_size for path in FILES.rglob("*") if path.is_file()) < 250_000
    document = (FILES / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)|//", document.replace("<!doctype", ""))
    for styles in FILES.glob("*.css"):
        assert all(not url.startswith(("http", "//")) for url in re.findall(r'url\("?([^")]+)', styles.read_text()))


def test_checks_of_the_page_are_those_of_the_verifier() -> None:
    text = (FILES / "parts" / "checks.js").read_text()
    listed = re.search(r"CHECKS = \[(.*?)\]", text, re.DOTALL)
    assert listed
    assert re.findall(r'"([^"]+)"', listed[1]) == [check.name for check in CHECKS]


def test_page_comes_with_its_policy(serve: Any) -> None:
    answer = httpx.get(serve().url)
    assert answer.status_code == 200
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert httpx.get(serve().url + "main.js").headers["Content-Type"].startswith("text/javascript")
    assert httpx.get(serve().url + "nothing.js").status_code == 404


# A batch from its file to its proof


def prove_on_page(page: Page, name: str, content: bytes) -> None:
    """Drop a batch and submit it."""
    drop(page.locator(".drop"), name, content)
    expect(page.locator(".chosen")).to_contain_text(name)
    page.get_by_role("button", name="Prove it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


@needs_browser
def test_batch_is_dropped_watched_to_its_end_and_its_proof_downloaded(serve: Any, look: Any) -> None:
    served = serve()
    page = look(served.url)
    batch = (EXAMPLES / "transfer.json").read_bytes()
    prove_on_page(page, "long-transfer.json", batch)
    bar = page.locator(".track")
    expect(bar).to_have_attribute("aria-valuetext", "50 %, Proving, 4 of 8 segments", timeout=20_000)
    expect(page.locator("tbody .bar.proved")).to_have_count(4)
    expect(page.locator("tbody .bar.proving")).to_have_count(2)
    served.do(served.fake.go_on())
    expect(page.locator(".head .badge")).to_have_text("done", timeout=20_000)
    expect(page.locator(".checks li.done")).to_have_count(len(CHECKS))
    expect(page.locator("tbody .bar.proved")).to_have_count(8)
    expect(page.locator(".lane")).to_have_count(3)
    name, content = saved(page, page.locator(".head").get_by_role("button", name="Proof"))
    assert name == "long-transfer.proof"
    assert verify(content).transactions == 0
    assert saved(page, page.locator(".files").get_by_role("button", name="Batch"))[1] == batch


@needs_browser
@pytest.mark.deep
def test_list_moves_as_batches_do(serve: Any, look: Any) -> None:
    served = serve(second=0.2)
    page = look(served.url)
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    served.submit("first.json", "second.json")
    rows = page.locator(".job")
    expect(rows).to_have_count(2)
    assert rows.first.evaluate("row => row.querySelector('a').textContent") == "second.json"
    first = rows.filter(has_text="first.json")
    expect(first.locator(".track")).to_be_visible()
    seen = set()
    for _ in range(200):
        bar = first.locator(".track")
        if not bar.count():
            break
        seen.add(bar.get_attribute("aria-valuenow", timeout=2000) if bar.count() else None)
        page.wait_for_timeout(50)
    assert len(seen) > 8, "the bar moved"
    expect(first.locator(".badge")).to_have_text("done", timeout=20_000)


@needs_browser
@pytest.mark.deep
def test_failing_batch_shows_its_reason_and_is_tried_again(serve: Any, look: Any) -> None:
    served = serve()
    name = "refused <img src=x onerror=alert(1)>.json"
    served.submit(name)
    page = look(served.url)
    row = page.locator(".job.failed")
    expect(row).to_contain_text("A memory of 17,301,504 bytes", timeout=20_000)
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    problem = page.locator(".problem")
    for text in ("It is valid, and cannot be proved yet", "more than the 16,777,216", "Leave the transaction out"):
        expect(problem).to_contain_text(text)
    facts = problem.locator(".chips div").evaluate_all("all => all.map(e => [...e.children].map(c => c.textContent))")
    assert facts == [["code", "unsupported"], ["block", "3"], ["transaction", "12"], ["pc", "0x1f4"]]
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".problem")).to_have_count(0)
    expect(page.locator(".problem")).to_contain_text("17,301,504", timeout=20_000)
    expect(page.locator(".facts")).to_contain_text("2 of 3")


@needs_browser
@pytest.mark.deep
def test_check_that_refuses_is_marked(serve: Any, look: Any) -> None:
    served = serve()
    (job,) = served.submit("rejected.json")
    page = look(f"{served.url}#/jobs/{job}")
    refused = page.locator(".checks li.failed")
    expect(refused).to_contain_text("state roots", timeout=20_000)
    expect(refused).to_contain_text("Block 3: state root is not the one that its writes give")
    before = [check.name for check in CHECKS].index("state roots")
    expect(page.locator(".checks li.done")).to_have_count(before)
    expect(page.locator(".checks li.queued")).to_have_count(len(CHECKS) - before - 1)


@needs_browser
@pytest.mark.deep
def test_batch_is_cancelled(serve: Any, look: Any) -> None:
    served = serve()
    (job,) = served.submit("long.json")
    page = look(f"{served.url}#/jobs/{job}")
    expect(page.locator("tbody .bar.proved")).to_have_count(4, timeout=20_000)
    expect(page.locator("tbody .bar.proving")).to_have_count(2)
    expect(page.locator(".lane .growing")).to_have_count(3)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".head .badge")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert served.fake.jobs[job].state == "cancelled"


@needs_browser
@pytest.mark.deep
def test_blocks_of_a_node_with_options(serve: Any, look: Any) -> None:
    served = serve()
    page = look(f"{served.url}#/new")
    page.get_by_role("button", name="Prove it").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no batch yet")
    page.get_by_label("Address").fill("http://localhost:8545")
    page.get_by_label("First block").fill("7")
    page.get_by_label("Last block").fill("9")
    page.get_by_text("Name, priority, deadline, segments").click()
    page.get_by_label("Priority").fill("5")
    page.get_by_role("button", name="What would it cost?").click()
    expect(page.locator(".estimate")).to_contain_text("about 11 s")
    page.get_by_role("button", name="Prove it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("blocks 7 to 9")
    (job,) = served.fake.jobs.values()
    assert job.source is not None
    assert (job.source.first, job.source.last, job.priority) == (7, 9, 5)


@needs_browser
@pytest.mark.deep
def test_filters_and_search_have_addresses(serve: Any, look: Any) -> None:
    served = serve(second=0.001)
    served.submit(*(f"batch-{number}.json" for number in range(25)), "refused.json")
    page = look(served.url)
    rows = page.locator(".job")
    expect(rows).to_have_count(20, timeout=20_000)
    page.get_by_role("button", name="More (6 left)").click()
    expect(rows).to_have_count(26)
    page.get_by_text("failed", exact=False).locator("visible=true").first.wait_for(timeout=20_000)
    page.get_by_role("radio", name="failed").check()
    expect(rows).to_have_count(1, timeout=20_000)
    assert page.url.endswith("#/?state=failed")
    page.get_by_role("radio", name="all").check()
    page.get_by_role("searchbox").press_sequentially("batch-24")
    expect(rows).to_have_count(1)
    assert "q=batch-24" in page.url
    page.reload()
    expect(rows).to_have_count(1)
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("batch-24.json")
    page.get_by_role("link", name="Batches").first.click()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("batch-24")


@needs_browser
@pytest.mark.deep
def test_costs_are_explored(serve: Any, look: Any) -> None:
    served = serve(second=0.001)
    (job,) = served.submit("costs.json")
    page = look(f"{served.url}#/jobs/{job}")
    explorer = page.locator(".explorer")
    expect(explorer.locator(".tile")).to_have_count(13, timeout=20_000)
    tiles = explorer.locator(".tile").evaluate_all("all => all.map(e => e.offsetWidth * e.offsetHeight)")
    assert max(tiles[1:]) <= tiles[0], "the first costs most"
    explorer.locator(".tile").nth(2).hover()
    expect(explorer.locator("p.pointed strong")).to_have_text("push")
    shares = explorer.locator("tbody tr td:nth-child(3)").all_inner_texts()
    assert [float(share.split()[0]) for share in shares] == sorted((float(s.split()[0]) for s in shares), reverse=True)
    explorer.get_by_role("radio", name="instructions").check()
    expect(explorer.locator("tbody th").first).to_have_text("PUSH1")
    explorer.get_by_role("radio", name="transactions").check()
    steps = [int(text.replace(",", "")) for text in explorer.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert len(steps) == 12
    assert steps == sorted(steps, reverse=True)
    explorer.get_by_role("button", name="All 100").click()
    expect(explorer.locator("tbody tr")).to_have_count(100)


# The service that proves


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """`zkevm serve` with a database of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "zkevm.main", "serve", "--data", str(tmp_path / "data"), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--segment-operations", "50"], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "it does not become ready"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


@needs_browser
@pytest.mark.deep
def test_service_proves_what_is_dropped(service: str, look: Any) -> None:
    """A batch from its file to its proof, which both verifiers accept; one that fails; a proof that was changed."""
    batch = (EXAMPLES / "transfer.json").read_bytes()
    document = json.loads(batch)
    document["blocks"][1]["transactions"].insert(2, document["blocks"][0]["transactions"][0])
    page = look(service)
    prove_on_page(page, "transfer.json", batch)
    proved = page.url
    expect(page.locator("tbody tr")).to_have_count(2, timeout=300_000)
    expect(page.locator(".head .badge")).to_have_text("done", timeout=600_000)
    expect(page.locator(".checks li.done")).to_have_count(len(CHECKS))
    expect(page.locator(".explorer .tile").first).to_be_visible()
    _, content = saved(page, page.locator(".head").get_by_role("button", name="Proof"))
    report = verify(content)
    assert (report.transactions, report.segments) == (100, 2)
    digest = f"0x{report.statement.digest.hex()}"
    expect(page.locator(".said").get_by_role("button").first).to_have_attribute("title", digest)
    files = page.locator(".files")
    assert json.loads(saved(page, files.get_by_role("button", name="Statement"))[1])
    assert json.loads(saved(page, files.get_by_role("button", name="Report"))[1])
    assert b"<svg" in saved(page, files.get_by_role("button", name="Plot"))[1]
    assert saved(page, files.get_by_role("button", name="Batch"))[1] == batch
    page.goto(f"{service}#/")
    prove_on_page(page, "replayed.json", json.dumps(document).encode())
    problem = page.locator(".problem")
    expect(problem).to_contain_text("nonce", timeout=300_000)
    facts = problem.locator(".chips div").evaluate_all("all => all.map(e => [...e.children].map(c => c.textContent))")
    assert facts == [["code", "invalid_batch"], ["block", "1"], ["transaction", "2"]]
    page.goto(f"{service}#/verify")
    drop(page.locator(".drop"), "transfer.proof", content)
    expect(page.locator(".judgement")).to_contain_text("Accepted", timeout=120_000)
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    drop(page.locator(".drop"), "changed.proof", bytes(changed))
    expect(page.locator(".judgement")).to_contain_text("Refused", timeout=120_000)
    expect(page.locator(".checks li.failed")).to_have_count(1)
    # An address is all that is needed to see it again.
    page = look(proved)
    expect(page.locator(".head .badge")).to_have_text("done")


# Proofs of anybody


@needs_browser
@pytest.mark.deep
def test_proof_is_judged_check_by_check(serve: Any, look: Any, proof: bytes) -> None:
    page = look(serve().url)
    drop(page.locator("main"), "some.proof", proof)
    expect(page.get_by_role("heading", level=1)).to_have_text("Verify a proof")
    expect(page.locator(".judgement")).to_contain_text("Accepted", timeout=20_000)
    expect(page.locator(".checks li.done")).to_have_count(len(CHECKS))
    expect(page.locator(".said")).to_contain_text(str(verify(proof).statement.chain_id))
    expect(page.locator("#announcements")).to_contain_text("accepted", timeout=5000)
    # The last byte belongs to the last thing that is in the file, whatever it is.
    drop(page.locator("main"), "other.proof", proof[:-1] + bytes([proof[-1] ^ 1]))
    expect(page.locator(".judgement")).to_contain_text("Refused", timeout=20_000)
    expect(page.locator(".checks li.failed")).to_have_count(1)
    drop(page.locator("main"), "nothing.proof", b"nothing")
    expect(page.locator(".verdict .problem")).to_contain_text("Not a proof file", timeout=20_000)


# Connections and keys


@needs_browser
@pytest.mark.deep
def test_stream_that_breaks_goes_on_where_it_was(serve: Any, look: Any) -> None:
    served = serve()
    page = look(served.url)
    expect(page.locator(".status")).to_have_text("live")
    served.submit("long.json")
    page.get_by_role("link", name="long.json").click()
    expect(page.locator("tbody .bar.proved")).to_have_count(4, timeout=20_000)
    for _ in range(3):
        streams = len(served.fake.streams)
        served.do(served.fake.break_streams())
        # What happens while nobody listens is told afterwards.
        served.do(served.fake.go_on())
        deadline = time.monotonic() + 30
        while len(served.fake.streams) == streams and time.monotonic() < deadline:
            page.wait_for_timeout(50)
    first, *later = served.fake.streams
    assert first is None
    assert len(later) >= 3
    assert all(later)
    expect(page.locator(".head .badge")).to_have_text("done", timeout=20_000)
    expect(page.locator(".checks li.done")).to_have_count(len(CHECKS))
    expect(page.locator(".status")).to_have_text("live")


@needs_browser
@pytest.mark.deep
def test_key_is_asked_for_and_kept_in_the_session(serve: Any, look: Any, proof: bytes) -> None:
    served = serve(key="secret")
    page = look(served.url)
    field = page.get_by_label("API key", exact=True).locator("visible=true").and_(page.locator("input"))
    expect(field).to_be_focused()
    expect(page.locator(".status")).to_have_text("key wanted")
    field.fill("wrong")
    field.press("Enter")
    expect(page.locator(".status")).to_have_text("key wanted")
    expect(field).to_be_visible()
    field.fill("secret")
    field.press("Enter")
    expect(page.locator(".status")).to_have_text("live")
    assert (
        page.evaluate("JSON.stringify([...Object.entries(localStorage)]) + document.cookie + location.href").find(
            "secret"
        )
        == -1
    )
    assert page.evaluate("sessionStorage.getItem('zkevm-key')") == "secret"
    prove_on_page(page, "with-key.json", b"{}")
    expect(page.locator(".head .badge")).to_have_text("done", timeout=20_000)
    assert saved(page, page.locator(".head").get_by_role("button", name="Proof"))[1] == proof


# For everybody


def settled(page: Page, served: Served) -> dict[str, str]:
    """Addresses of views with something in them; the queue is at rest but for a job that never ends."""
    ids = served.submit("done.json", "refused.json", "rejected.json", "long.json")
    deadline = 400
    while served.fake.jobs[ids[3]].segments_done < 4 and deadline:
        page.wait_for_timeout(50)
        deadline -= 1
    paths = {name: f"#/jobs/{id}" for name, id in zip(("done", "failed", "rejected", "running"), ids, strict=True)}
    return {"list": "#/", "new": "#/new", "verify": "#/verify", "service": "#/service", **paths}


@needs_browser
@pytest.mark.deep
@pytest.mark.parametrize("how", LOOKS)
def test_nothing_serious_for_those_who_see_or_hear_otherwise(serve: Any, look: Any, proof: bytes, how: str) -> None:
    """What axe-core finds, and that nothing is wider than the window."""
    served = serve(second=0.005)
    page = look(served.url, how, reduced_motion="reduce")
    found = []

    def judge(name: str) -> None:
        results = Axe().run(page, options={"resultTypes": ["violations"]})
        assert results.response["passes"], "axe has looked at something"
        found.extend(
            f"{name}: {violation['id']} ({violation['impact']}): {node['html'][:200]} {node['failureSummary']}"
            for violation in results.response["violations"]
            for node in violation["nodes"]
        )
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if wide[0] > wide[1]:
            found.append(f"{name}: {wide[0]} pixels in a window of {wide[1]}")

    judge("empty")
    for name, path in settled(page, served).items():
        page.goto(served.url + path)
        page.wait_for_timeout(400)
        judge(name)
        if name == "done":
            for by in ("instructions", "transactions"):
                page.get_by_role("radio", name=by).check()
                judge(f"costs by {by}")
        if name == "new":
            drop(page.locator("main"), "batch.json", b"{}")
            page.get_by_role("button", name="What would it cost?").click()
            expect(page.locator(".estimate")).to_be_visible()
            page.locator("summary").click()
            judge("estimate")
        if name == "verify":
            for kind, content in (("accepted", proof), ("refused", proof[:-1] + bytes([proof[-1] ^ 1]))):
                drop(page.locator("main"), f"{kind}.proof", content)
                expect(page.locator(".judgement")).to_contain_text(kind, ignore_case=True, timeout=20_000)
                judge(kind)
    page.get_by_role("button", name="API key").click()
    judge("key")
    assert not found, "\n".join(found)


@needs_browser
@pytest.mark.deep
def test_keyboard_is_enough(serve: Any, look: Any) -> None:
    """From the start of the page to a submitted, cancelled and repeated batch, without a mouse."""
    served = serve(second=0.01)
    page = look(served.url)
    expect(page.locator(".status")).to_have_text("live")

    def focused() -> str:
        script = "(e) => e === document.body ? '' : e.ariaLabel ?? (e.labels?.[0] ?? e).textContent.trim()"
        return str(page.evaluate(f"({script})(document.activeElement)"))

    def tab_to(wanted: str, most: int = 60) -> None:
        seen = []
        for _ in range(most):
            page.keyboard.press("Tab")
            seen.append(focused())
            if seen[-1].startswith(wanted):
                visible = page.evaluate("""() => {
                    const e = document.activeElement;
                    const ring = e.matches(".choice input") ? e.nextElementSibling : e.closest(".drop, .job") ?? e;
                    return getComputedStyle(ring).outlineStyle !== "none";
                }""")
                assert visible, f"nobody sees that {wanted} has the focus"
                return
        pytest.fail(f"no way to {wanted!r} from here: {seen}")

    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    page.keyboard.press("Enter")
    assert focused() == "Batches"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "batch-file"
        page.keyboard.press("Space")
    chooser.value.set_files({"name": "long.json", "mimeType": "application/json", "buffer": b"{}"})
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    tab_to("Prove it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("long.json")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator("tbody .bar.proved")).to_have_count(4, timeout=20_000)
    # What moves takes the focus from nobody.
    tab_to("Cancel")
    page.wait_for_timeout(2500)
    assert focused() == "Cancel"
    page.keyboard.press("Enter")
    expect(page.locator(".head .badge")).to_have_text("cancelled")
    served.submit("short.json")
    page.keyboard.press("Shift+Tab")
    tab_to("Try again")
    page.keyboard.press("Enter")
    expect(page.locator(".head .badge")).to_have_text(re.compile("queued|running"))
    page.goto(served.url + "#/")
    expect(page.locator(".job")).to_have_count(2)
    tab_to("all")
    page.keyboard.press("ArrowRight")
    assert "state=" in page.evaluate("location.hash")
    page.keyboard.press("ArrowLeft")
    tab_to("short.json")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("short.json")


@needs_browser
@pytest.mark.deep
def test_announcements_are_few(serve: Any, look: Any) -> None:
    """What is read out: that a batch begins and ends, not every step of its bars."""
    served = serve(second=0.2)
    page = look(served.url)
    expect(page.locator(".status")).to_have_text("live")
    page.evaluate("""() => {
        window.said = [];
        const area = document.getElementById("announcements");
        new MutationObserver(() => window.said.push(area.textContent)).observe(area, { childList: true });
    }""")
    served.submit("spoken.json")
    expect(page.locator(".job .badge")).to_have_text("done", timeout=30_000)
    page.wait_for_timeout(2000)
    said = page.evaluate("window.said")
    assert any("Proved and verified" in text for text in said)
    assert len(said) <= 3, said
    live = page.locator("[aria-live], [role=status], [role=alert]").evaluate_all("all => all.map(e => e.id)")
    assert live == ["announcements"], "nothing else speaks by itself"


@needs_browser
@pytest.mark.deep
def test_nothing_moves_for_those_who_do_not_want_it(serve: Any, look: Any, proof: bytes) -> None:
    served = serve()
    (job,) = served.submit("long.json")
    moving = "document.getAnimations().length"
    page = look(f"{served.url}#/jobs/{job}")
    expect(page.locator("tbody .bar.proving").first).to_be_visible(timeout=20_000)
    assert page.evaluate(moving) > 0
    page = look(f"{served.url}#/jobs/{job}", reduced_motion="reduce")
    expect(page.locator("tbody .bar.proving").first).to_be_visible(timeout=20_000)
    assert page.evaluate(moving) == 0


@needs_browser
@pytest.mark.deep
def test_colours_are_chosen_and_kept(serve: Any, look: Any) -> None:
    page = look(serve().url)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    for _ in range(2):
        page.get_by_role("button", name="Colours").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert page.evaluate(paper) == dark
