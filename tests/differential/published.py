"""Calls of precompiled contracts that public tests make, with what these say of them.

`published_calls.json` has for each file of tests the calls as number, input and output, ``null`` for a call that fails.
They are those of ethereum/tests (the directories ``stZeroKnowledge``, ``stPreCompiledContracts`` and others) and of the
execution specs' tests, as tests of blocks under Cancun. They were found by executing these tests: the frames of
precompiled contracts that could pay for the call. The state roots are those that the tests demand, and so, where these
store outputs, are the outputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

BLAKE2F = 9


@dataclass(frozen=True)
class Published:
    """A call of a precompiled contract that is paid for; `output` is None if it fails."""

    number: int
    input: bytes
    output: bytes | None

    @property
    def rounds(self) -> int:
        """How often BLAKE2F shall mix."""
        return int.from_bytes(self.input[:4], "big") if self.number == BLAKE2F else 0


def read(path: Path) -> list[Published]:
    """The calls of a file, in its order."""
    return [
        Published(number, bytes.fromhex(given), None if output is None else bytes.fromhex(output))
        for calls in json.loads(path.read_text()).values()
        for number, given, output in calls
    ]
