"""Untrusted proof files: whatever the bytes are, the answer is a typed one, soon and with little memory."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verifier.proving import Proved
from verifier.container import MAGIC, VERSION
from verifier.errors import Rejected, UnusableInput
from verifier.verify import verify

START = MAGIC + bytes([VERSION])

#: What a damaged file may cost above an honest verification.
SECONDS_ABOVE = 1.0
BYTES_ABOVE = 200 << 20


class Judge:
    """Verifies damaged files; each must be refused within the bounds."""

    def __init__(self, honest: bytes) -> None:
        start = time.perf_counter()
        verify(honest)
        self.honest_seconds = time.perf_counter() - start
        self._memory = _peak_bytes()

    def refuse(self, content: bytes, what: object = "") -> Rejected | UnusableInput:
        start = time.perf_counter()
        with pytest.raises((Rejected, UnusableInput)) as refusal:
            verify(content)
        seconds = time.perf_counter() - start
        assert seconds <= self.honest_seconds + SECONDS_ABOVE, f"{what}: {seconds:.2f} s"
        assert _peak_bytes() - self._memory <= BYTES_ABOVE, f"{what}: memory"
        return refusal.value


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture(scope="module")
def judge(proved: Proved) -> Judge:
    return Judge(proved.content)


def _flip(content: bytes, position: int, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


def _positions(proved: Proved, count: int, seed: int) -> list[int]:
    """A quarter over the public data and the witness, which are short, the others over the whole file."""
    content = proved.content
    head = content.index(bytes(proved.file.segments[0].proof[:64]))
    rng = np.random.default_rng(seed)
    return [
        *np.linspace(0, head - 1, count // 4).astype(int).tolist(),
        *np.linspace(head, len(content) - 1, count // 2).astype(int).tolist(),
        *rng.integers(0, len(content), count - count // 4 - count // 2).tolist(),
    ]


def test_flipped_bits(proved: Proved, judge: Judge) -> None:
    content = proved.content
    for position in _positions(proved, 32, seed=0):
        judge.refuse(_flip(content, position, position % 8), position)


@pytest.mark.deep
def test_flipped_bits_everywhere(proved: Proved, judge: Judge) -> None:
    content = proved.content
    for position in _positions(proved, 2000, seed=1):
        judge.refuse(_flip(content, position, position % 8), position)


def test_truncations_and_extensions(proved: Proved, judge: Judge) -> None:
    content = proved.content
    for length in [0, 1, 5, 6, 7, 20, 100, 1000, len(content) // 2, len(content) - 100, len(content) - 1]:
        judge.refuse(content[:length], length)
    for tail in (b"\0", b"\x80", b"\xc0", content[:100], bytes(1 << 20)):
        judge.refuse(content + tail, len(tail))
    judge.refuse(content + content)
    judge.refuse(content[: len(content) // 2] + content[len(content) // 2 + 1 :])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        b"\x80",
        b"\xbf" + b"\xff" * 8,
        b"\xff" + b"\xff" * 8,
        b"\xff" + b"\x7f" + b"\xff" * 7,
        b"\xfb" + b"\xff" * 4 + bytes(1000),
        b"\xc1" * 5_000_000,
        b"\xfa\x4c\x4b\x40" + b"\xc0" * 5_000_000,
        b"\xfa\x4c\x4b\x40" + b"\x01" * 5_000_000,
        bytes(10_000_000),
    ],
    ids=[
        "nothing",
        "list",
        "string",
        "string length",
        "list length",
        "2^63",
        "4 GiB",
        "nested",
        "lists",
        "bytes",
        "zeros",
    ],
)
def test_absurd_contents(judge: Judge, payload: bytes) -> None:
    judge.refuse(START + payload)
    judge.refuse(payload)


def test_absurd_lengths_inside(proved: Proved, judge: Judge) -> None:
    """Length prefixes of the honest file replaced by the largest ones."""
    content = proved.content
    long_prefixes = [i for i, byte in enumerate(content[:20_000]) if byte >= 0xF8 or 0xB8 <= byte <= 0xBF]
    for position in long_prefixes[:: max(1, len(long_prefixes) // 40)]:
        for prefix in (b"\xff" * 9, b"\xbf" + b"\xff" * 8):
            damaged = content[:position] + prefix + content[position + 9 :]
            if damaged != content:  # code within the file has such bytes
                judge.refuse(damaged, position)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2000), prefixed=st.booleans())
def test_random_bytes(judge: Judge, content: bytes, prefixed: bool) -> None:
    judge.refuse((START if prefixed else b"") + content)
