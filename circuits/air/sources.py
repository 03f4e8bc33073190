"""What a file that is made from sources is checked with: whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def files_digest(files: Iterable[Path]) -> str:
    """SHA-256 (hex) of files, their order and their names. Raises `OSError` where one cannot be read."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
