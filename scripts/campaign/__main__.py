"""The command: see the package."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import scripts.campaign as package
from executor.forks import CIRCUIT_FORKS, OSAKA
from prover.store import write_atomically
from scripts.campaign.coverage import Coverage, markdown_table, missing, rich_table
from scripts.campaign.findings import Finding
from scripts.campaign.run import Report, campaign
from scripts.campaign.target import Target

FINDINGS = Path(__file__).parents[2] / "tests" / "campaign" / "findings"
#: Seconds between two writes of the coverage.
_SAVING = 10.0
#: Shortest campaign after which the coverage of every table is printed.
_LONG = 300


class _Saved:
    """The coverage of a campaign in a file, which goes on where it was."""

    def __init__(self, path: Path | None, seed: int, circuit: str) -> None:
        self._path, self._seed, self._circuit = path, seed, circuit
        self.coverage, self.rounds, self.findings = Coverage(), 0, list[str]()
        self._at = time.monotonic()
        if path is not None and path.exists():
            known = json.loads(path.read_text())
            if (known["seed"], known["circuit"]) != (seed, circuit):
                raise SystemExit(f"{path} holds a campaign of another seed or circuit; name another file")
            self.coverage = Coverage.of_document(known["coverage"])
            self.rounds, self.findings = known["rounds"], known["findings"]

    def add(self, report: Report, findings: list[str]) -> None:
        self.coverage.add(report.coverage)
        self.rounds += report.rounds
        self.findings += findings
        if findings or time.monotonic() - self._at > _SAVING:
            self.write()

    def write(self) -> None:
        self._at = time.monotonic()
        if self._path is not None:
            document = {
                "seed": self._seed,
                "circuit": self._circuit,
                "rounds": self.rounds,
                "findings": self.findings,
                "coverage": self.coverage.document(),
            }
            write_atomically(self._path, json.dumps(document).encode())


def main(words: Sequence[str] | None = None) -> int:
    """Run a campaign by these words of the command line. Exit status 0: nothing was found, 1: something was."""
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fork", choices=list(CIRCUIT_FORKS), default=OSAKA.name, help="whose circuit to attack")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to attack")
    parser.add_argument("--seed", type=int, default=0, help="of all choices")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--findings", type=Path, default=FINDINGS, help="folder for findings")
    parser.add_argument("--json", type=Path, help="file for the coverage; one that exists is continued")
    parser.add_argument("--markdown", type=Path, help="file for the coverage table")
    arguments = parser.parse_args(words)
    if arguments.seconds <= 0 or arguments.workers < 1 or arguments.seed < 0:
        parser.error("seconds and workers must be positive, the seed must not be negative")
    console, target = Console(), Target.segment(CIRCUIT_FORKS[arguments.fork])
    saved = _Saved(arguments.json, arguments.seed, target.circuit.digest)
    found: list[Finding] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    reports = campaign(target, arguments.seconds, arguments.seed, workers=arguments.workers, first_round=saved.rounds)
    begun = time.monotonic()
    try:
        with Progress(*columns, console=console) as progress, closing(reports):
            task = progress.add_task("attacking", total=arguments.seconds)
            for report in reports:
                for finding in report.findings:
                    console.print(
                        f"[bold red]accepted[/] {finding.save(arguments.findings)}\n{finding}", highlight=False
                    )
                found += report.findings
                saved.add(report, [finding.name for finding in report.findings])
                tried = sum(saved.coverage.tried.values())
                progress.update(
                    task, completed=time.monotonic() - begun, description=f"{tried:,} changes, {len(found)} accepted"
                )
    except KeyboardInterrupt:
        console.print("stopped")
    finally:
        saved.write()
    coverage, circuit = saved.coverage, target.circuit
    if arguments.seconds >= _LONG or arguments.json or arguments.markdown:
        console.print(rich_table(coverage, circuit))
    if arguments.markdown:
        arguments.markdown.write_text(markdown_table(coverage, circuit))
    never = sum(map(len, missing(coverage, circuit).values()))
    console.print(
        f"{coverage.batches:,} batches, {coverage.seconds:,.0f} seconds of work; changes: "
        + ", ".join(f"{count:,} {name}" for name, count in coverage.tried.items())
        + f"; {coverage.untellable:,} lies no table can be filled from, {coverage.nothing:,} that say nothing new; "
        f"{never:,} constraints and bus fields that rejected nothing yet; "
        + (f"[bold red]{len(found)} accepted[/]" if found else "nothing accepted"),
        highlight=False,
    )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
