"""Whether packages of npm can be had here: tests that need them are left out where they cannot, and say so."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

WITHOUT = "npm is not installed, or reaches no registry"


@cache
def reaches_registry() -> bool:
    """Asks once in each process, a second or two."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    try:
        asked = subprocess.run(["npm", "view", "solc", "version"], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0
