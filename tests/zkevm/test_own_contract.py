"""docs/tutorials/own-contract.md, done as it says: its commands in order, in a folder like the root of a clone."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "own-contract.md"
#: Stands for whatever varies in a line, and alone in one for any lines.
ANY = "…"


def steps(text: str) -> Iterator[tuple[bool, str, str]]:
    """Commands, and blocks of Python with True before; and what they print."""
    for kind, body, printed in re.findall(
        r"^```(console|python)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", text, re.MULTILINE | re.DOTALL
    ):
        if kind == "python":
            yield True, body, printed
        else:
            for command in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                line, _, said = command.partition("\n")
                yield False, line, said


def matches(said: str, printed: str) -> bool:
    """Whether this was printed, spaces at the ends of lines aside."""
    pattern = ""
    for line in said.splitlines():
        if line.strip() == ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.rstrip().split(ANY))) + "\n"
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed.splitlines())) is not None


def play(folder: Path, text: str) -> Iterator[tuple[str, str, str]]:
    """Each step of a page, what it should print and what it prints."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    names: dict[str, object] = {}
    for is_python, source, said in steps(text):
        if is_python:
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.chdir(folder):
                exec(source, names)
            yield source, said, output.getvalue()
        else:
            done = subprocess.run(
                ["bash", "-c", source],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=1200,
            )
            yield source, said, done.stdout


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_page_prints_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    played = list(play(tmp_path, PAGE.read_text()))
    assert len(played) >= 9
    for source, said, printed in played:
        assert matches(said, printed), f"{source}\nprints\n{printed}\nand not\n{said}"


def test_what_varies_is_marked() -> None:
    assert matches("a … c\n…\nd\n", "a b c\nx\ny\nd  \n")
    assert not matches("a … c\n", "a b d\n")
    assert not matches("a\n", "a\nb\n")
