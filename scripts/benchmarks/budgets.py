"""The command of a benchmark with exact figures: prints them, keeps them as a budget and as a document's table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Report

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and where it is kept.

    Attributes:
        names: of what can be measured.
        figures: measures one of them.
        title, heading, lines: of the report. Its first `texts` columns are texts; it is `width` wide at least.
        budget, document: files that `--write` changes; the table is between two marks of the document.
        markdown: the document's table.
    """

    names: Sequence[str]
    figures: Callable[[str], dict[str, Any]]
    title: str
    heading: Sequence[str]
    texts: int
    width: int
    lines: Callable[[Figures], Iterable[Sequence[str]]]
    budget: Path
    document: Path
    marks: tuple[str, str]
    markdown: Callable[[Figures], str]

    def run(self, description: str | None, arguments: Sequence[str] | None) -> None:
        """Measure and print; `--json` prints one JSON object, `--write` makes it the budget and the table."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(self.names)}")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--write", action="store_true", help="write budget and document")
        options = parser.parse_args(arguments)
        if unknown := set(options.names) - set(self.names):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(self.names)}")
        if options.write and options.names:
            parser.error("--write takes all that is measured")
        found = {name: self.figures(name) for name in options.names or self.names}
        if options.write:
            self._write(found)
        if options.json:
            print(json.dumps(found))
            return
        self._print(found)

    def _write(self, found: Figures) -> None:
        keep(found, self.budget, self.document, self.marks, self.markdown(found))

    def _print(self, found: Mapping[str, dict[str, Any]]) -> None:
        report = Report(title=self.title)
        for column, heading in enumerate(self.heading):
            report.add_column(heading, justify="left" if column < self.texts else "right")
        for line in self.lines(dict(found)):
            report.add_row(*line)
        # Whole also where the output is no terminal.
        Console(width=max(Console().width, self.width)).print(report)


def keep(found: Figures, budget: Path, document: Path, marks: tuple[str, str], table: str) -> None:
    """Make figures the budget, and their table the one between two marks of a document."""
    budget.write_text(json.dumps(found, indent=1) + "\n")
    text, (begin, finish) = document.read_text(), marks
    before, after = text.partition(begin)[0], text.partition(finish)[2]
    document.write_text(f"{before}{begin}\n{table}\n{finish}{after}")


def markdown_table(heading: Sequence[str], texts: int, lines: Iterable[Sequence[str]]) -> str:
    """A table of a document; its first `texts` columns are texts."""
    rule = "|---" * texts + "|---:" * (len(heading) - texts) + "|"
    return "\n".join([f"| {' | '.join(heading)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])
