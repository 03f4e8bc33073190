"""Attack the decoders of files from outside for as long as there is time: all of `targets`, other seeds.

Each decoder is attacked in a process of its own, so that inputs that kill it or on which it hangs are findings, too.
A finding is saved as its smallest input and what went wrong with it; the same error at the same place counts once.

    python -m scripts.fuzzing [batch|trace|proof|fixture|all]... [--seconds 60] [--seed 0] [--out out/fuzz] [--json]

The exit status is 1 if anything was found. `python -m scripts.fuzzing --replay FILE` judges a saved input again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from scripts.fuzzing.target import Target
from scripts.fuzzing.targets import DECODERS, TARGETS

ROOT = Path(__file__).resolve().parents[2]

#: Of one target, before the next one's turn comes.
EXAMPLES = 100

#: An input that takes longer hangs, seconds.
HANGS = 120.0

#: Address space that an attack may take beyond what it starts with, bytes.
ADDRESS_SPACE = 8 << 30


@dataclass
class Finding:
    """An input with which something is wrong, and where it was saved."""

    target: str
    error: str
    trace: str
    input: bytes

    def save(self, folder: Path) -> Path:
        """Write the input and the error under a new name."""
        decoder = self.target.partition(":")[0]
        path = next(path for number in count() if not (path := folder / f"{decoder}-{number}").exists())
        path.write_bytes(self.input)
        path.with_suffix(".txt").write_text(f"{self.target}\n{self.error}\n\n{self.trace}")
        return path


@dataclass
class Tally:
    """What came of the attacks on a target."""

    examples: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


class _Attack:
    """Attacks on one target; errors that were found once are taken for granted afterwards."""

    def __init__(self, target: Target, current: Path) -> None:
        self._target = target
        self._current = current
        self._known: set[str] = set()
        self._last: tuple[bytes, Exception] | None = None
        self._examples = 0

    def round(self, seed: int) -> tuple[int, Finding | None]:
        """Attack once; the number of examples and what was found."""
        self._examples, self._last = 0, None
        try:
            self._target.attack(EXAMPLES, seed, self._judge)
        except Exception as error:
            content, cause = self._last or (b"", error)  # without input an example could not be made
            self._known.add(_place(cause))
            trace = "".join(traceback.format_exception(cause))
            return self._examples, Finding(self._target.name, f"{_place(cause)}: {cause}", trace, content)
        return self._examples, None

    def _judge(self, content: bytes) -> None:
        self._examples += 1
        self._current.write_bytes(content)
        try:
            self._target.judge(content)
        except Exception as error:
            if _place(error) not in self._known:
                self._last = content, error
                raise


def _place(error: Exception) -> str:
    """Type of an error and the line of this project that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(ROOT))]
    frames = [frame for frame in frames if ".venv" not in frame.filename]
    place = f" in {Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place


def _work(decoder: str, seed: int, seconds: float, current: Path, report: Connection) -> None:
    """The process: attacks the targets of a decoder in turn, and reports on each round."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESS_SPACE, resource.RLIM_INFINITY))
    attacks = {target.name: _Attack(target, current) for target in TARGETS if target.decoder == decoder}
    deadline = time.monotonic() + seconds
    for number in count(seed):
        for name, attack in attacks.items():
            start = time.monotonic()
            if start > deadline:
                return
            report.send((name, *attack.round(number), time.monotonic() - start))


def attack(decoder: str, seed: int, seconds: float, folder: Path) -> dict[str, Tally]:
    """Attack a decoder for a time; findings are saved in the folder.

    Returns:
        what came of it, by target; the name of the decoder stands for inputs that ended its process.
    """
    tallies: dict[str, Tally] = {}
    folder.mkdir(parents=True, exist_ok=True)
    current = folder / f"{decoder}.current"
    context = multiprocessing.get_context("spawn")
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        current.write_bytes(b"")
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(decoder, seed, left, current, sending))
        process.start()
        sending.close()
        how = _follow(process, receiving, tallies, current, folder)
        if how:
            finding = Finding(decoder, how, "", current.read_bytes())
            tallies.setdefault(decoder, Tally()).findings.append(str(finding.save(folder)))
            seed += 1_000_000  # other examples than those that led here
    current.unlink()
    return tallies


def _follow(
    process: multiprocessing.process.BaseProcess,
    receiving: Connection,
    tallies: dict[str, Tally],
    current: Path,
    folder: Path,
) -> str:
    """Take in the reports of a process until it ends; how it ended, if not by itself."""
    hangs = False
    try:
        while not hangs:
            if receiving.poll(1.0):
                name, examples, finding, seconds = receiving.recv()
                tally = tallies.setdefault(name, Tally())
                tally.examples += examples
                tally.seconds += seconds
                if finding is not None:
                    tally.findings.append(str(finding.save(folder)))
                    print(f"{name}: {finding.error}", file=sys.stderr)
                rate = tally.examples / tally.seconds
                print(f"{name}: {tally.examples:,} examples, {rate:.0f} per second", file=sys.stderr)
            hangs = time.time() - current.stat().st_mtime > HANGS
    except EOFError:
        pass
    if hangs:
        process.kill()
    process.join()
    return (
        f"hangs for {HANGS:.0f} s" if hangs else f"ends its process with {process.exitcode}" if process.exitcode else ""
    )


def replay(path: Path) -> None:
    """Judge an input by all targets of the decoder that its name begins with; the error comes through."""
    for target in TARGETS:
        if path.name.startswith(target.decoder):
            target.judge(path.read_bytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", nargs="*", default="all", choices=[*DECODERS, "all"])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all decoders together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "fuzz", help="folder of the findings")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="judge a saved input")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if chosen.replay is not None:
        replay(chosen.replay)
        return 0
    decoders = DECODERS if "all" in chosen.decoder else tuple(dict.fromkeys(chosen.decoder))
    tallies: dict[str, Tally] = {}
    for decoder in decoders:
        tallies |= attack(decoder, chosen.seed, chosen.seconds / len(decoders), chosen.out)
    findings = [path for tally in tallies.values() for path in tally.findings]
    if chosen.json:
        result = {"seed": chosen.seed, "seconds": chosen.seconds, "findings": findings}
        print(json.dumps(result | {"targets": {name: asdict(tally) for name, tally in tallies.items()}}, indent=2))
    else:
        for name, tally in tallies.items():
            rate = tally.examples / max(tally.seconds, 1e-9)
            print(f"{name:40} {tally.examples:10,} examples {rate:8.0f} per second {len(tally.findings):4} findings")
        print("\n".join(["findings:", *findings] if findings else ["nothing found"]))
    return 1 if findings else 0
