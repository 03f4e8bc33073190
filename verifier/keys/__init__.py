"""The verifying keys this verifier trusts: of the segment circuit, one for each size of proof.

`manifest.json` beside this module names the circuit and every key by digest; `segment-<log stacked height>.vk` are the
keys (zlib). They are generated from the circuits by `scripts/pin_keys.py`; nothing in a proof file can name another.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from verifier.engines import ENGINES, VerifyingKey
from verifier.errors import Invalid

FOLDER: Final = Path(__file__).parent
MANIFEST: Final = "manifest.json"

SUPPORTED_HEIGHTS: Final = tuple(range(14, 23))
"""Values of `log_stacked_height` for which a key is pinned: segments of 10**4 to 8 * 10**9 cells."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What the manifest says of one key: engine digest (32 bytes, hexadecimal) and sha256 of its encoding."""

    log_stacked_height: int
    digest: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The pinned set.

    Attributes:
        circuit_version: of `circuits.statement`.
        circuit_digest: of `circuits.segment`, hexadecimal.
        tables: names of the tables, in the order of the keys.
        keys: one for each height.
    """

    circuit_version: int
    circuit_digest: str
    tables: tuple[str, ...]
    keys: tuple[KeyEntry, ...]


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A verifying key and the names of its tables in their order."""

    verifying_key: VerifyingKey
    tables: tuple[str, ...]


def file_name(log_stacked_height: int | str) -> str:
    """Name of the file of a key, or a pattern for those of all."""
    return f"segment-{log_stacked_height}.vk"


def write(folder: Path, manifest: Manifest, encodings: Sequence[bytes]) -> None:
    """Write a set of keys and remove the one before.

    Args:
        folder: where to.
        manifest: of the set.
        encodings: of the keys, in the order of the manifest.
    """
    for stale in folder.glob(file_name("*")):
        stale.unlink()
    for entry, encoding in zip(manifest.keys, encodings, strict=True):
        (folder / file_name(entry.log_stacked_height)).write_bytes(zlib.compress(encoding, level=9))
    document = {
        "circuit_version": manifest.circuit_version,
        "circuit_digest": manifest.circuit_digest,
        "tables": list(manifest.tables),
        "keys": [
            {"log_stacked_height": e.log_stacked_height, "digest": e.digest, "sha256": e.sha256} for e in manifest.keys
        ],
    }
    (folder / MANIFEST).write_text(json.dumps(document, indent=2) + "\n")


@lru_cache(maxsize=1)
def manifest() -> Manifest:
    """The manifest of the pinned keys.

    Raises:
        Invalid: if the installation has none.
    """
    try:
        document = json.loads((FOLDER / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"the pinned keys are missing or damaged: {error}") from error
    return Manifest(
        circuit_version=document["circuit_version"],
        circuit_digest=document["circuit_digest"],
        tables=tuple(document["tables"]),
        keys=tuple(KeyEntry(**entry) for entry in document["keys"]),
    )


def encoding(log_stacked_height: int) -> bytes:
    """The pinned key for a size of proof, as the engine encodes it.

    Raises:
        Invalid: if there is none for this height, or its file is not the one the manifest names.
    """
    entry = _entry(log_stacked_height)
    path = FOLDER / file_name(log_stacked_height)
    try:
        found = zlib.decompress(path.read_bytes())
    except (OSError, zlib.error) as error:
        raise Invalid(f"pinned key {path.name} is missing or damaged: {error}") from error
    if hashlib.sha256(found).hexdigest() != entry.sha256:
        raise Invalid(f"pinned key {path.name} is not the one of the manifest")
    return found


@lru_cache(maxsize=len(SUPPORTED_HEIGHTS) * len(ENGINES))
def load(log_stacked_height: int, engine: str = "native") -> PinnedKey:
    """The pinned key for a size of proof, decoded by one of `ENGINES`.

    Raises:
        Invalid: if there is none for this height, or its file is not the one the manifest names.
    """
    name = file_name(log_stacked_height)
    key = ENGINES[engine](encoding(log_stacked_height))
    if key.digest.hex() != _entry(log_stacked_height).digest:
        raise Invalid(f"pinned key {name} has another digest than the manifest says")
    return PinnedKey(key, manifest().tables)


def _entry(log_stacked_height: int) -> KeyEntry:
    entry = next((e for e in manifest().keys if e.log_stacked_height == log_stacked_height), None)
    if entry is None:
        raise Invalid(f"no key is pinned for log stacked height {log_stacked_height}")
    return entry
