"""The engine on machines without AVX2 and AVX-512: compiled for x86-64-v2, it passes its own tests."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

NATIVE = Path(__file__).parent.parent
OLD = "-C target-cpu=x86-64-v2"


@pytest.mark.deep
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other machines have no such levels")
def test_it_works_without_avx() -> None:
    features = subprocess.run(
        ["rustc", "--print", "cfg", *OLD.split()], cwd=NATIVE, check=True, capture_output=True, text=True
    ).stdout
    assert 'target_feature="sse4.2"' in features
    assert "avx" not in features
    # A folder of its own, so that neither build replaces the other.
    command = ["cargo", "test", "--release", "--locked", "--lib", "--target-dir", str(NATIVE / "target" / "x86-64-v2")]
    environment = {**os.environ, "RUSTFLAGS": OLD, "PYO3_PYTHON": sys.executable}
    run = subprocess.run(command, cwd=NATIVE, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    passed = re.findall(r"test result: ok\. (\d+) passed; 0 failed", run.stdout)
    assert sum(map(int, passed)) > 10
