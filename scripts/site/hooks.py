"""What MkDocs asks for while it builds the site (`hooks` in `mkdocs.yml`).

Pages beside those of `docs/`: the documents at the root, and those that are made from the code. Links to files that are
documents elsewhere lead to their pages; other files of the repository that a page names are in the site, too.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.site import circuit_pages, command_pages, http_pages

ROOT = Path(__file__).parents[2]

#: Documents at the root, by the page that they are.
ROOT_PAGES: Mapping[str, str] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "THIRD_PARTY.md": "third-party.md",
}
#: Files that are served as they are, by where they are in the site.
FONTS: Mapping[str, str] = {
    f"service/page/files/fonts/{name}": f"assets/fonts/{name}" for name in ("plex-sans.woff2", "plex-mono.woff2")
}
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?P<after>\))")


@cache
def made() -> Mapping[str, str]:
    """The pages that are made from the code, by their paths."""
    pages = {
        "reference/commands.md": command_pages.page(),
        "reference/http.md": http_pages.page(http_pages.document()),
        "reference/buses.md": circuit_pages.buses_page(),
    }
    for family, tables in circuit_pages.families().items():
        pages[f"reference/circuits/{family}.md"] = circuit_pages.tables_page(family, tables)
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are not in `docs/`."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    for page, content in made().items():
        files.append(File.generated(config, page, content=content))
    for name, place in FONTS.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for name in sorted(_named_files(files)):
        files.append(File.generated(config, f"files/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are in the repository lead to where things are in the site."""
    source = page.file.src_uri
    at = _place(source)

    def moved(link: re.Match[str]) -> str:
        target = _of_repository(at, link["target"])
        if target is None:
            return link[0]
        there = posixpath.relpath(_page_of(target), posixpath.dirname(source) or ".")
        return f"{link['before']}{there}{link['anchor'] or ''}{link['after']}"

    return _outside_code(markdown, lambda text: _LINK.sub(moved, text))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Drawings are part of the page."""

    def drawn(image: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), image["file"]))
        svg = (ROOT / "docs" / path).read_text()
        return f'<div class="drawing" tabindex="0">{svg}</div>'

    return re.sub(r'<p><img alt="[^"]*" src="(?P<file>[^":]+\.svg)"\s*/?></p>', drawn, html)


def _place(source: str) -> str:
    """Where in the repository a page's text is from."""
    for name, page in ROOT_PAGES.items():
        if page == source:
            return name
    return f"docs/{source}"


def _page_of(target: str) -> str:
    """Where in the site a file of the repository is."""
    if target in ROOT_PAGES:
        return ROOT_PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"files/{target}"


def _of_repository(at: str, target: str) -> str | None:
    """The file of the repository that a link means, if it is one."""
    if ":" in target or target.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
    return path if (ROOT / path).is_file() else None


def _named_files(files: Files) -> set[str]:
    """Files beside `docs/` and the documents that pages link to."""
    found: set[str] = set()

    def note(at: str, text: str) -> str:
        for link in _LINK.finditer(text):
            target = _of_repository(at, link["target"])
            if target and not target.startswith("docs/") and target not in ROOT_PAGES:
                found.add(target)
        return text

    for file in files.documentation_pages():
        at = _place(file.src_uri)
        _outside_code(file.content_string, lambda text, at=at: note(at, text))
    return found


def _outside_code(markdown: str, change: Any) -> str:
    """Change a text but not its blocks of code."""
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)
