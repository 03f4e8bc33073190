"""Verify damaged copies of a proof file in a process of its own, so that its peak memory can be told.

    python -m tests.verifier.damage PROOF FIRST END COUNT

changes one byte at each of the positions FIRST to END - 1 of COUNT that are spread over the file, and prints a JSON
object: verdicts by exception type, the longest time and the growth of the peak memory over an honest verification.
"""

import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from verifier import verify


def verdict(data: bytes) -> tuple[str, float]:
    """What the verifier says, and after how many seconds."""
    start = time.perf_counter()
    try:
        verify(data)
        name = "accepted"
    except Exception as error:
        name = type(error).__name__
    return name, time.perf_counter() - start


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(path: str, first: int, end: int, count: int) -> None:
    data = Path(path).read_bytes()
    assert verdict(data)[0] == "accepted"
    honest_seconds = min(verdict(data)[1] for _ in range(3))
    honest_peak = peak_bytes()
    verdicts: Counter[str] = Counter()
    slowest = 0.0
    for number in range(first, end):
        damaged = bytearray(data)
        damaged[number * len(data) // count] ^= 1 << number % 8
        name, seconds = verdict(bytes(damaged))
        verdicts[name] += 1
        slowest = max(slowest, seconds)
    result = {
        "verdicts": verdicts,
        "extra_seconds": slowest - honest_seconds,
        "extra_bytes": peak_bytes() - honest_peak,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
