"""What is attacked: inputs of a decoder, what must hold of each, and the bounds on time and memory."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy
from typer.testing import CliRunner, Result

from executor.limits import resident_bytes
from zkevm.main import app
from zkevm.outcomes import INTERNAL

SECONDS = 1.0
BYTES = 200 << 20
#: To read a large file may take longer, a second for so much, and it may be there as text and as what the text says.
BYTES_PER_SECOND = 32 << 20
COPIES = 2


@dataclass(frozen=True)
class Target:
    """A way to attack a decoder.

    Attributes:
        name: `decoder: how`.
        inputs: gives a strategy of contents of files.
        check: raises what is wrong with how the decoder takes a content.
        examples: of a short attack; the fast run of the tests has half as many.
        seconds: that a check may take, of the processor.
    """

    name: str
    inputs: Callable[[], SearchStrategy[bytes]]
    check: Callable[[bytes], None]
    examples: int
    seconds: float = SECONDS

    @property
    def decoder(self) -> str:
        """The first word of the name."""
        return self.name.partition(":")[0]

    def judge(self, content: bytes) -> None:
        """Check a content.

        Raises:
            AssertionError: it takes more than `seconds` or `BYTES` and what its length allows, or something does not
                hold.
            Exception: an error that the decoder must not raise.
        """
        resident, peak, start = resident_bytes(), _peak_bytes(), time.process_time()
        self.check(content)
        seconds, grown = time.process_time() - start, _peak_bytes()
        allowed = self.seconds + len(content) / BYTES_PER_SECOND
        assert seconds <= allowed, f"{len(content)} bytes take {seconds:.2f} s"
        # A peak that did not move was reached before.
        most = BYTES + COPIES * len(content)
        assert grown == peak or grown - resident <= most, f"{len(content)} bytes take {(grown - resident) >> 20} MiB"

    def attack(self, examples: int, number: int | None, judge: Callable[[bytes], None] | None = None) -> None:
        """Judge examples; the last call of `judge` before an error leaves is the one with the smallest input found.

        Args:
            number: seed, None for the same examples every time.
            judge: in the place of the target's own.
        """

        @given(self.inputs())
        def run(content: bytes) -> None:
            (judge or self.judge)(content)

        profile = settings(
            max_examples=examples,
            derandomize=number is None,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        profile(run if number is None else seed(number)(run))()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux


@contextmanager
def scratch_file(content: bytes, suffix: str = "") -> Iterator[Path]:
    """A file with this content, as long as the block runs."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def run_command(*arguments: str) -> Result:
    """Run `zkevm`, which must end with a documented status and one of its own messages."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code != INTERNAL, result.stderr
    return result
