"""The engine's own crate passes its tests, those of lies about the tables of a tree among them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CRATE = Path(__file__).parents[2] / "native"


@pytest.mark.deep
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo compiles them")
def test_the_crate_passes_its_tests() -> None:
    """`make test-native`; to compile them takes minutes."""
    environment = {**os.environ, "PYO3_PYTHON": sys.executable}
    command = ["cargo", "test", "--release", "--locked"]
    done = subprocess.run(command, cwd=CRATE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "aggregation::lies::a_leaf_states_what_the_proofs_of_its_segments_say ... ok" in done.stdout
