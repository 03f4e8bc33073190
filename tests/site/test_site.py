"""The documentation site: it builds without a warning, its links lead somewhere, and it needs nothing from outside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
import typer
from markdown.extensions.toc import slugify

import zkevm
from circuits.segment import segment_circuit
from scripts.map import homes, meetings_of
from scripts.site import circuit_pages, command_pages, http_pages, writing
from scripts.site.hooks import ROOT, ROOT_PAGES, made
from zkevm.main import app

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCUMENTS = sorted((*(ROOT / name for name in ROOT_PAGES), *(ROOT / "docs").rglob("*.md")))

#: Attributes with which a page has something loaded, by their elements.
LOADING = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "image": "href",
    "use": "href",
    "object": "data",
}

#: Of a phone, CSS pixels.
WIDTH = 390
#: What of a page's content reaches beyond the window, and lies in nothing that scrolls or cuts it off on purpose.
STICKING_OUT = """[...document.querySelectorAll(".md-content *")].filter((element) => {
    const box = element.getBoundingClientRect()
    if (box.width === 0 || box.right <= innerWidth + 1) return false
    for (let above = element.parentElement; above; above = above.parentElement)
        if (getComputedStyle(above).overflowX !== "visible") return false
    return true
}).map((element) => element.outerHTML.slice(0, 80))"""


# The documents as they are in the repository.


def headings(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and MkDocs have them."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {slugify(re.sub(r"[`*]", "", each), "-") for each in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    """Read on its own, where it lies; pages that are made from the code are in the site alone."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)\s#]*)(#[^)\s]*)?\)", text):
        if ":" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        if path.is_relative_to(ROOT / "docs") and str(path.relative_to(ROOT / "docs")) in made():
            there = made()[str(path.relative_to(ROOT / "docs"))]
        else:
            assert path.is_file(), f"{target} is not there"
            there = path.read_text() if path.suffix == ".md" else ""
        if anchor:
            assert anchor[1:] in headings(there), f"{target} has no {anchor}"


# The pages that are made from the code.


def test_the_command_line_is_complete() -> None:
    page = command_pages.page()
    group = typer.main.get_command(app)
    names = set(group.commands) - {"keys"}  # type: ignore[attr-defined]
    assert names >= {"prove", "verify", "serve", "fetch-proof"}
    for name in (*names, "keys add", "keys list", "keys revoke"):
        assert f"## zkevm {name}\n" in page
    assert "`--segment-operations" in page
    assert "`--max-tries" in page, "the options of serve are the service's settings"


def test_the_http_api_is_complete() -> None:
    document = http_pages.document()
    page = http_pages.page(document)
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"### `{method.upper()} {path}`\n" in page
    for name in document["components"]["schemas"]:
        assert f"### {name}\n" in page


def test_the_python_api_is_complete() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    assert set(re.findall(r"^::: zkevm\.(\w+)$", page, flags=re.MULTILINE)) == set(zkevm.__all__)


def test_tables_and_buses_are_complete() -> None:
    pages = "".join(content for name, content in made().items() if name.startswith("reference/circuits/"))
    circuit = segment_circuit(circuit_pages.FORK)
    for table in circuit.tables:
        assert f"## {table.name}\n" in pages
    buses = made()["reference/buses.md"]
    for bus in {bus for table in circuit.tables for bus in meetings_of(table)}:
        assert f"## {bus.name}\n" in buses
        assert bus.name in homes()


def test_text_of_the_code_is_text() -> None:
    assert writing.plain("a <b> of `x <y>` *c*") == "a &lt;b> of `x <y>` \\*c\\*"
    assert writing.table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n|---|---|\n| x\\|y | two lines |\n"
    assert writing.table(("a",), []) == ""
    assert writing.code("a`b") == "`` a`b ``"


# The site.


class _Page(HTMLParser):
    """What a page loads, where its links lead, and which anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if (name := given.get("id")) is not None:
            self.anchors.add(name)
        if tag == "a" and (target := given.get("href")) is not None:
            self.links.append(target)
        # A page's own address is no file that is loaded.
        if tag in LOADING and given.get("rel") not in ("canonical", "next", "prev") and (of := given.get(LOADING[tag])):
            self.loads.append(of)


def read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text())
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built so that a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return out


@pytest.mark.deep
def test_every_link_and_anchor_is_there(site: Path) -> None:
    pages = {path: read(path) for path in site.rglob("*.html")}
    assert len(pages) > 25
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its addresses begin with the root
        for target in (*page.links, *page.loads):
            parts = urlsplit(target)
            if parts.scheme:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), f"{path.name}: {target}"
            if parts.fragment and there in pages:
                assert unquote(parts.fragment) in pages[there].anchors, f"{path.name}: {target}"


@pytest.mark.deep
def test_nothing_is_loaded_from_outside(site: Path) -> None:
    for path in site.rglob("*.html"):
        for target in read(path).loads:
            assert not re.match(r"[a-z]+:|//", target), f"{path.name} loads {target}"
    for path in site.rglob("*.css"):
        for target in re.findall(r"url\([\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", path.read_text()):
            assert not re.match(r"https?:|//", "".join(target)), f"{path.name} loads {target}"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.deep
def test_every_page_fits_a_phone(address: str, site: Path, browser: Browser) -> None:
    """What is wide, as tables, drawings and code are, scrolls by itself; nothing is cut off at the edge."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 844})
    for path in site.rglob("*.html"):
        name = path.relative_to(site)
        page.goto(f"{address}/{name}", wait_until="load")
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, f"{name} scrolls sideways"
        assert page.evaluate(STICKING_OUT) == [], f"{name} is cut off"
    page.close()


@pytest.mark.deep
def test_the_copied_text_of_a_console_is_what_is_typed(address: str, browser: Browser) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}/tutorials/own-contract.html", wait_until="networkidle")
    # The first block is what the shell is told before, without a prompt.
    page.locator(".md-code__button").nth(1).click()
    copied = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert [line for line in copied if line] == [
        "zkevm new out/my-token",
        "npm install --prefix out/my-token --silent solc@0.8.30",
    ]
    context.close()


@pytest.mark.deep
def test_a_browser_asks_nobody_else(address: str, browser: Browser) -> None:
    """Nor does it find an error."""
    page = browser.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in ("index.html", "map.html", "reference/http.html", "tutorials/index.html", "index.html?q=range16"):
        page.goto(f"{address}/{name}", wait_until="networkidle")
    page.close()
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(address).netloc}
    assert not errors
