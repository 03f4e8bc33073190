"""The verifying keys this verifier trusts: of the segment circuit of each fork, one for each size of proof.

There is a folder for each form of the circuit of each fork that has one of its own (`circuits.statement.Form`). Its
`manifest.json` names the circuit and every key by digest. Keys of different sizes differ in nothing but the parameters
at their beginning and the digest at their end, which the manifest has; what is between them, `segment.vk` (zlib), is
the circuit. They are generated from the circuits by `scripts/pin_keys.py`. Which fork a block is of, and so which keys
count, follows from the statement and the block's header; a proof file says no more than of which form they are, and can
name no other key.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from circuits.statement import Form
from verifier.engines import ENGINES, NativeKey, VerifyingKey
from verifier.errors import Invalid

if TYPE_CHECKING:
    import zkevm_native

FOLDER: Final = Path(__file__).parent
MANIFEST: Final = "manifest.json"
CIRCUIT: Final = "segment.vk"

CIRCUITS: Final = ("cancun", "prague", "osaka")
"""Forks whose circuits have keys, by name."""

KEY_SETS: Final = tuple(form.key_set(circuit) for form in Form for circuit in CIRCUITS)
"""The sets of keys: of each circuit in each form."""

SUPPORTED_HEIGHTS: Final = tuple(range(14, 23))
"""Values of `log_stacked_height` for which a key is pinned: segments of 10**4 to 8 * 10**9 cells."""


MAX_DECODED: Final = 8
"""Decoded keys that are kept: each takes some 30 MB. Batches have segments of one or two."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What the manifest says of one key.

    Attributes:
        digest: the engine's, 32 bytes, hexadecimal.
        sha256: of its encoding.
        head, tail: what its encoding has before and after the circuit, hexadecimal.
    """

    log_stacked_height: int
    digest: str
    sha256: str
    head: str
    tail: str


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


def split(encodings: Sequence[bytes]) -> tuple[list[bytes], bytes, list[bytes]]:
    """What encodings of keys of one circuit have before the circuit, the circuit, and what they have after it.

    The digest at the end is of eight integers, whose last bytes are the only ones below 128; before it, all are equal
    from somewhere on.
    """
    tails = []
    for encoding in encodings:
        ends = [k for k in range(len(encoding) - 41, len(encoding)) if encoding[k] < 0x80]
        tails.append(encoding[ends[-9] + 1 :])
    fronts = [encoding[: -len(tail)] for encoding, tail in zip(encodings, tails, strict=True)]
    length = min(map(len, fronts))
    ends_with = np.array([np.frombuffer(front[-length:], np.uint8) for front in fronts])
    differing = np.flatnonzero((ends_with != ends_with[0]).any(axis=0))
    shared = length - 1 - int(differing[-1]) if len(differing) else length
    return [front[:-shared] for front in fronts], fronts[0][-shared:], tails


def write(folder: Path, manifest: Manifest, circuit: bytes) -> None:
    """Write a set of keys in the place of the one before.

    Args:
        folder: where to.
        manifest: of the set.
        circuit: what all keys share, see `split`.
    """
    folder.mkdir(exist_ok=True)
    (folder / CIRCUIT).write_bytes(zlib.compress(circuit, level=9))
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")


@lru_cache(maxsize=len(KEY_SETS))
def manifest(fork: str) -> Manifest:
    """The manifest of the keys that are pinned for a fork, one of `KEY_SETS`.

    Raises:
        Invalid: if the installation has none.
    """
    if fork not in KEY_SETS:
        raise Invalid(f"no keys are pinned for fork {fork!r}")
    try:
        document = json.loads((FOLDER / fork / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"the pinned keys are missing or damaged: {error}") from error
    return Manifest(
        circuit_version=document["circuit_version"],
        circuit_digest=document["circuit_digest"],
        tables=tuple(document["tables"]),
        keys=tuple(KeyEntry(**entry) for entry in document["keys"]),
    )


def encoding(fork: str, log_stacked_height: int) -> bytes:
    """The pinned key of a fork for a size of proof, as the engine encodes it.

    Raises:
        Invalid: if there is none for this height, or it is not the one the manifest names.
    """
    known = entry(fork, log_stacked_height)
    try:
        circuit = zlib.decompress((FOLDER / fork / CIRCUIT).read_bytes())
        found = bytes.fromhex(known.head) + circuit + bytes.fromhex(known.tail)
    except (OSError, ValueError, zlib.error) as error:
        raise Invalid(f"the pinned keys are missing or damaged: {error}") from error
    if hashlib.sha256(found).hexdigest() != known.sha256:
        raise Invalid(f"the pinned key for log stacked height {log_stacked_height} is not the one of the manifest")
    return found


@lru_cache(maxsize=MAX_DECODED)
def load(fork: str, log_stacked_height: int, engine: str = "native") -> PinnedKey:
    """The pinned key of a fork for a size of proof, decoded by one of `ENGINES`.

    Raises:
        Invalid: if there is none for this height, or it is not the one the manifest names.
    """
    key = ENGINES[engine](encoding(fork, log_stacked_height))
    if key.digest.hex() != entry(fork, log_stacked_height).digest:
        raise Invalid(f"the pinned key for log stacked height {log_stacked_height} has another digest")
    return PinnedKey(key, manifest(fork).tables)


def native(fork: str, log_stacked_height: int) -> zkevm_native.VerifyingKey:
    """The pinned key of a fork for a size of proof as the native engine has it, decoded once for all who ask.

    Raises:
        Invalid: as for `load`.
    """
    key = load(fork, log_stacked_height, "native").verifying_key
    assert isinstance(key, NativeKey)
    return key.decoded


def entry(fork: str, log_stacked_height: int) -> KeyEntry:
    """What the manifest of a set says of its key for a size of proof.

    Raises:
        Invalid: if there is none.
    """
    found = next((e for e in manifest(fork).keys if e.log_stacked_height == log_stacked_height), None)
    if found is None:
        raise Invalid(f"no key is pinned for log stacked height {log_stacked_height}")
    return found
