"""Markdown as the pages that are made from the code need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """Text as the cell of a table: one line, without what ends a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, or nothing where it has no rows."""
    lines = ["| " + " | ".join(cell(each) for each in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]) + "\n"


def plain(text: str) -> str:
    """Text of a docstring in a page: its quoted code is marked as code, angle brackets are no tags."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    parts = re.split(r"(`[^`\n]+`)", text)
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    for character in "<*_[":
        text = text.replace(character, "&lt;" if character == "<" else f"\\{character}")
    return text


def code(text: str) -> str:
    """Text as code, whatever is in it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
