"""What the commands print: progress and errors on standard error, results on standard output, as tables or as JSON."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

#: Called with the amount done and the total; the total may become known late.
Advance = Callable[[int, int], None]

#: Width of tables that go into a file or a pipe.
_WIDTH = 200


def stderr() -> Console:
    """Console for progress and errors. Made at every use, so that a redirected standard error is respected."""
    return Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else _WIDTH)


def stdout() -> Console:
    """Console for results; lines are not broken when they go into a file or a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error: names from files can hold anything
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


class Report(Protocol):
    """What a command says to programs (`zkevm.reports`)."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""


class Output:
    """Result and progress of one command.

    Args:
        as_json: print one JSON object on standard output, and neither tables nor progress bars.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # One console for bars and lines, so that they do not write over each other.
        self._stderr = stderr()

    @contextmanager
    def progress(self, *descriptions: str, later: str = "") -> Iterator[list[Advance]]:
        """Progress bars while the block runs, one for each description; the block reports through the functions.

        Args:
            descriptions: of the phases.
            later: of one that may not come, whose bar is shown when it begins; its function is the last one.
        """
        columns = (
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        disable = self.as_json or not self._stderr.is_terminal
        with Progress(*columns, console=self._stderr, disable=disable) as bars:
            tasks = [bars.add_task(f"{description:<10}", total=None) for description in descriptions]
            if later:
                tasks.append(bars.add_task(f"{later:<10}", total=None, visible=False))
            yield [partial(_advance, bars, task) for task in tasks]

    def note(self, text: str) -> None:
        """One line about progress, for people; above the progress bars that are shown."""
        if not self.as_json:
            self._stderr.print(Text(text))

    def line(self, text: str, style: str = "") -> None:
        """One line of the result, for people."""
        if not self.as_json:
            stdout().print(Text(text, style=style))

    def facts(self, title: str, facts: Iterable[tuple[str, Any]]) -> None:
        """A table of names and values for people."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in facts:
            table.add_row(Text(name), Text(shown(value)))
        self._print(title, table)

    def table(self, title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table for people; numbers are right-aligned."""
        lines = list(rows)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for index, name in enumerate(header):
            numeric = all(isinstance(line[index], int | float) for line in lines) and bool(lines)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for line in lines:
            table.add_row(*(Text(shown(value)) for value in line))
        self._print(title, table)

    def result(self, report: Report | dict[str, Any]) -> None:
        """The command's result: the one JSON object, when asked for."""
        if self.as_json:
            document = report if isinstance(report, dict) else report.to_dict()
            print(json.dumps(document, indent=2), flush=True)

    def _print(self, title: str, table: Table) -> None:
        if not self.as_json:
            console = stdout()
            console.print(Text(title, style="bold cyan"))
            console.print(table)
            console.print()


def _advance(bars: Progress, task: TaskID, done: int, total: int) -> None:
    bars.update(task, completed=done, total=total, visible=True)


def shown(value: Any) -> str:
    """A value as people read it: thousands separated, seconds and ratios with three digits, bytes as 0x..."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value)


def fail(output: Output, message: str, *, kind: str, hint: str = "", **details: Any) -> None:
    """Report an error: a readable line (and a hint) for people, an object with `error` for programs."""
    console = stderr()
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text.assemble(("hint: ", "bold"), hint))
    output.result({"error": {"kind": kind, "message": message, "hint": hint, **details}})
