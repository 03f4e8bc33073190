"""Finished segment proofs, stored by content so that a run that was killed repeats nothing."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from prover.errors import ProverError

logger = logging.getLogger(__name__)

#: Stored proofs larger than this are not read back.
MAX_PROOF_BYTES = 256 << 20

_SUFFIX = ".segment"
_DIGEST_BYTES = 32


def check_folder(out: Path) -> None:
    """Refuse an output whose folder does not exist, or that is one itself, before anything is made for it.

    Raises:
        ProverError.
    """
    if out.is_dir():
        raise ProverError(f"the output is a folder: {out}", "name a file in it")
    if not out.parent.is_dir():
        raise ProverError(f"the folder of the output does not exist: {out.parent}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file such that it exists completely or not at all, even if the machine stops in the middle.

    Raises:
        OSError: the folder cannot be written to.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The new name has to survive as well.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def content_key(*parts: bytes) -> str:
    """SHA-256 (hex) of the parts, each preceded by its length so that no two lists of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


class SegmentStore:
    """A folder of segment proofs, one file per content key.

    A file is the SHA-256 of the proof followed by the proof, so that most damage is found without the engine; what is
    read back is checked by the caller all the same, because whoever can write to the folder can write a checksum.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the proof with this key lies, whether it exists or not."""
        return self.folder / f"{key}{_SUFFIX}"

    def load(self, key: str, check: Callable[[bytes], bool]) -> bytes | None:
        """The proof with this key, or None when there is none.

        A file that is damaged, or that `check` refuses, is removed.
        """
        path = self.path(key)
        try:
            content = b"" if path.stat().st_size > MAX_PROOF_BYTES + _DIGEST_BYTES else path.read_bytes()
        except FileNotFoundError:
            return None
        digest, proof = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if len(digest) == _DIGEST_BYTES and hashlib.sha256(proof).digest() == digest and check(proof):
            return proof
        logger.warning("%s is damaged; the segment is proved again", path)
        path.unlink(missing_ok=True)
        return None

    def save(self, key: str, proof: bytes) -> None:
        """Store a proof.

        Raises:
            OSError: the folder cannot be created or written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(key), hashlib.sha256(proof).digest() + proof)

    def remove(self, keys: list[str]) -> None:
        """Remove the proofs with these keys, left-over temporary files, and the folder when nothing else is in it."""
        if not self.folder.is_dir():
            return
        for key in keys:
            self.path(key).unlink(missing_ok=True)
            for temporary in self.folder.glob(f".{key}*.tmp"):
                temporary.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
