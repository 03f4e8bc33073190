"""Tutorials as programs: the blocks of a page, what they print, and whether the page says so.

A page of `docs/tutorials/` is run from its first line to its last in a folder of its own, which looks like the root of
a clone. Its blocks are

- ```` ```python ````: run in one interpreter, one block after the other. What a block prints stands in the block
  ```` ```text ```` behind it; one that prints nothing has none.
- ```` ```console ````: commands for a shell behind `$ `, each with what it prints.
- ```` ```python title="FILE" ````: a file that is written.
- ```` ```diff ````: a change of files that is made, as `patch` takes it.
- any other: for people alone.

`…` stands for whatever there is in the rest of a word or a line, a line of nothing but `…` for any lines. The comment
`<!-- deep -->` in a page says that it takes long, `<!-- needs PROGRAM -->` that it is for those who have a program,
`<!-- changes sources -->` that it has sources of its own to change.

    python -m tests.tutorials.pages docs/tutorials/PAGE.md

runs a page and writes what it prints into it, where the page says something else.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorials"

#: Stands for what varies.
ANY = "…"
DEEP = "<!-- deep -->"
NEEDS = re.compile(r"<!-- needs (\S+) -->")
CHANGES_SOURCES = "<!-- changes sources -->"

#: Seconds for whatever a page has left running to end when it is told to.
PATIENCE = 30.0

_BLOCK = re.compile(
    r"^```(?P<kind>\w*)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*\n)(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)
#: What is not linked into the folder of a page: what the page makes, and what is made of the sources.
_OWN = {".git", "out", ".venv"}
_SOURCES = {"circuits", "executor", "prover", "scripts", "service", "tests", "verifier", "zkevm"}


@dataclass(frozen=True)
class Step:
    """Something to run.

    Attributes:
        kind: "python", "console", "diff", or "file".
        source: the code, one command, the change, or the file.
        printed: what the page says that it prints, with a newline at the end unless it prints nothing.
        start, end: where that stands in the page; equal where there is no place for it yet.
        line: of the source, from 1.
        file: the name of a file.
    """

    kind: str
    source: str
    printed: str
    start: int
    end: int
    line: int
    file: str = ""


class PageError(Exception):
    """A page is no tutorial, or its changes do not fit the sources."""


def steps(text: str) -> list[Step]:
    """What a page has to run, in order.

    Raises:
        PageError: console text that begins with no command, or printed text behind no code.
    """
    found: list[Step] = []
    waiting: Step | None = None
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("body")) + 1
        body, start, end = block["body"], block.start("body"), block.end("body")
        if block["kind"] == "text":
            if waiting is None:
                raise PageError(f"line {line}: text that no code prints; leave out what kind of block it is")
            found[-1] = Step(waiting.kind, waiting.source, body, start, end, waiting.line)
            waiting = None
            continue
        waiting = None
        if block["kind"] == "diff" or block["title"]:
            kind = "file" if block["title"] else "diff"
            found.append(Step(kind, body, "", block.end(), block.end(), line, block["title"] or ""))
        elif block["kind"] == "python":
            waiting = Step("python", body, "", block.end(), block.end(), line)
            found.append(waiting)
        elif block["kind"] == "console":
            if not body.startswith("$ "):
                raise PageError(f"line {line}: no command")
            for part in re.finditer(
                r"^\$ (?P<command>(?:.*\\\n)*.*\n)(?P<printed>(?:(?!\$ ).*\n)*)", body, re.MULTILINE
            ):
                here = line + body.count("\n", 0, part.start())
                printed = (start + part.start("printed"), start + part.end("printed"))
                found.append(Step("console", part["command"], part["printed"], *printed, here))
    return found


def matches(said: str, printed: str) -> bool:
    """Whether what is printed is what a page says, spaces at the ends of lines aside."""
    pattern = ""
    for line in said.splitlines():
        if line.strip() == ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += "[^\n]*".join(re.escape(part) for part in line.rstrip().split(ANY)) + "\n"
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed.splitlines())) is not None


@contextlib.contextmanager
def clone(*, own_sources: bool = False) -> Iterator[Path]:
    """A folder like the root of a clone, in which a page may write; with sources of its own it may change them."""
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        for path in ROOT.iterdir():
            there = Path(folder) / path.name
            if path.name in _SOURCES and own_sources:
                shutil.copytree(path, there, ignore=shutil.ignore_patterns("__pycache__"))
            elif path.name not in _OWN:
                there.symlink_to(path)
        yield Path(folder)


class Interpreter:
    """A Python that runs the blocks of a page, and a shell for its commands, both in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Of the folder's own modules, not of those that an installation would name.
        self._environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(folder),
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "NO_PROXY": "127.0.0.1",  # whatever proxy there is
        }
        self._python = subprocess.Popen(
            [sys.executable, __file__],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # what commands leave running ends with it
        )

    def run(self, step: Step) -> str:
        """What a step prints.

        Raises:
            PageError: a change that does not fit.
        """
        if step.kind == "file":
            (self._folder / step.file).write_text(step.source)
            return ""
        if step.kind in ("console", "diff"):
            command = ["bash", "-c", step.source] if step.kind == "console" else ["patch", "-p1", "--batch", "--silent"]
            # Into a file: what a command leaves running may keep a pipe open.
            with tempfile.TemporaryFile("w+") as printed:
                done = subprocess.run(
                    command,
                    cwd=self._folder,
                    env=self._environment,
                    input=step.source if step.kind == "diff" else "",
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    process_group=self._python.pid,
                )
                printed.seek(0)
                output = printed.read()
            if step.kind == "diff" and done.returncode:
                raise PageError(f"line {step.line}: the change does not fit the sources\n{output}")
            return output
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps([step.source, step.line]) + "\n")
        self._python.stdin.flush()
        return str(json.loads(self._python.stdout.readline()))

    def close(self) -> None:
        """End it, and whatever its commands have left running, which may still be writing into its folder."""
        group = self._python.pid
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):  # none is left
                os.killpg(group, number)
                self._python.communicate()
                end = time.monotonic() + PATIENCE
                while time.monotonic() < end:
                    os.killpg(group, 0)
                    time.sleep(0.05)


def play(text: str) -> Iterator[tuple[Step, str]]:
    """Run a page: each step, and what it has printed."""
    with clone(own_sources=CHANGES_SOURCES in text) as folder:
        interpreter = Interpreter(folder)
        try:
            for step in steps(text):
                yield step, interpreter.run(step)
        finally:
            interpreter.close()


def written(text: str, played: list[tuple[Step, str]]) -> str:
    """The page with what its steps have printed, where it says something else."""
    for step, printed in reversed(played):
        if not matches(step.printed, printed):
            new = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
            if step.kind == "python" and step.start == step.end:
                new = f"\n\n```text\n{new}```"
            text = text[: step.start] + new + text[step.end :]
    return text


def _serve() -> None:
    """Run blocks as they come, in a module `__main__` that has nothing else."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print on standard output is no answer
    sys.path.insert(0, os.getcwd())
    module = sys.modules["__main__"] = ModuleType("__main__")
    for line in sys.stdin:
        source, first = json.loads(line)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile("\n" * (first - 1) + source, "the page", "exec"), module.__dict__)
            except Exception:
                traceback.print_exc(file=printed)
        print(json.dumps(printed.getvalue()), file=answers, flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        _serve()
    else:
        page = Path(sys.argv[1])
        page.write_text(written(page.read_text(), list(play(page.read_text()))))
