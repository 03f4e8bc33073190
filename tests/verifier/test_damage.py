"""2,000 damaged copies of a proof file: always a typed refusal, never much time or memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verifier.proving import proved_batch

POSITIONS = 2000
PARTS = 8


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "batch.proof"
    path.write_bytes(proved_batch().content)
    return path


@pytest.mark.deep
@pytest.mark.parametrize("part", range(PARTS))
def test_changed_bytes(path: Path, part: int) -> None:
    first, end = POSITIONS * part // PARTS, POSITIONS * (part + 1) // PARTS
    command = [sys.executable, "-m", "tests.verifier.damage", str(path), str(first), str(end), str(POSITIONS)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert set(result["verdicts"]) <= {"Rejected", "UnusableInput"}
    assert sum(result["verdicts"].values()) == end - first
    assert result["extra_seconds"] < 1
    assert result["extra_bytes"] < 200 * 2**20
