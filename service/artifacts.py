"""The files of jobs: a folder, or whatever fsspec reaches, such as S3.

Each job has a folder of its own. A file's name holds its SHA-256, and it exists completely or not at all, so that what
a process wrote that lost its job stands in nobody's way. Which file is the job's is what the database says; the rest is
removed when the job ends, and by `sweep` if nobody is left to do so.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from prover.store import SegmentStore, write_atomically
from service.queue import Artifact

logger = logging.getLogger(__name__)

_SEGMENTS = "segments"
_PART = 1 << 20


class Kind(StrEnum):
    """What a file of a job is."""

    BATCH = "batch"
    PROOF = "proof"
    STATEMENT = "statement"  # JSON of `verifier.statement.BatchStatement`
    REPORT = "report"  # JSON of `verifier.verify.VerificationReport`
    COSTS = "costs"  # JSON of `service.models.Costs`
    PLOT = "plot"  # SVG


class ArtifactLost(Exception):  # noqa: N818
    """A file that the database speaks of is not there, or not what it was."""


class StoreAway(OSError):  # noqa: N818
    """A store elsewhere cannot be reached, or refuses."""


#: What is written, and removed again, to see whether a store or a disk takes what a segment needs.
PROBE = bytes(8 << 20)


class Artifacts:
    """The store. Whatever is wrong with one that is elsewhere is an OSError as well.

    Args:
        url: fsspec's, or the path of a folder.
        options: fsspec's, of that URL.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._fs: fsspec.AbstractFileSystem
        self._fs, base = url_to_fs(url, **(options or {}))
        self._base = str(base).rstrip("/")
        self._is_local = isinstance(self._fs, LocalFileSystem)

    @property
    def local(self) -> Path | None:
        """The folder, if it is one of this machine."""
        return Path(self._base) if self._is_local else None

    def put(self, job: str, kind: Kind, content: bytes) -> Artifact:
        """Store a file.

        Raises:
            OSError: it cannot be stored.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = f"{job}/{kind}-{digest}"
        self._write(path, content)
        return Artifact(kind, path, digest, len(content))

    def get(self, artifact: Artifact) -> bytes:
        """A file.

        Raises:
            ArtifactLost, OSError.
        """
        content = b"".join(self.parts(artifact))
        if hashlib.sha256(content).hexdigest() != artifact.digest:
            raise ArtifactLost(f"{artifact.path} is damaged")
        return content

    def parts(self, artifact: Artifact) -> Iterator[bytes]:
        """A file in parts of a MiB, for sending it on.

        Raises:
            ArtifactLost, OSError: before the first part.
        """
        try:
            with _reaching():
                file = self._fs.open(self._at(artifact.path), "rb")
        except FileNotFoundError:
            raise ArtifactLost(f"{artifact.path} is gone") from None
        with file:
            while part := _read(file):
                yield part

    def segments(self, job: str, scratch: Path) -> SegmentStore:
        """Where the finished segments of a job are kept, by every process that shares the store.

        Args:
            scratch: a folder of this machine for what has to be in one, if the store is not.
        """
        if self._is_local:
            return SegmentStore(Path(self._at(f"{job}/{_SEGMENTS}")))
        return _RemoteSegments(scratch, self, f"{job}/{_SEGMENTS}")

    def clean(self, job: str, kept: Iterable[Artifact]) -> None:
        """Remove all files of a job but these; its finished segments, too.

        Raises:
            OSError.
        """
        paths = {self._at(artifact.path) for artifact in kept}
        folder = self._at(job)
        try:
            with _reaching():
                self._fs.invalidate_cache()
                found = self._fs.find(folder, withdirs=False)
        except FileNotFoundError:
            return
        for path in found:
            if path not in paths:
                self._remove(path)
        if not self._is_local:
            return
        for name in (f"{folder}/{_SEGMENTS}", *([] if paths else [folder])):
            try:
                Path(name).rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                logger.warning("%s is not empty", name)

    def sweep(self, known: Callable[[list[str]], set[str]], seconds: float) -> list[str]:
        """Remove the folders of jobs that do not exist, which a submission leaves that did not get to its end.

        Args:
            known: which of these ids are those of jobs.
            seconds: only folders with nothing in them that is younger.

        Returns:
            The ids.
        """
        try:
            with _reaching():
                self._fs.invalidate_cache()
                names = {str(path).rstrip("/").rpartition("/")[2] for path in self._fs.ls(self._base, detail=False)}
        except FileNotFoundError:
            return []
        removed = []
        for name in sorted(names - known(sorted(names))):
            try:
                with _reaching():
                    found = self._fs.find(self._at(name), detail=True).values()
                ages = [_changed(entry) for entry in found]
                if self._is_local and not ages:
                    ages = [Path(self._at(name)).stat().st_mtime]
                if ages and time.time() - max(ages) > seconds and name not in known([name]):
                    self.clean(name, [])
                    removed.append(name)
            except FileNotFoundError:
                continue
        return removed

    def check(self) -> None:
        """Raises OSError if the store cannot be reached."""
        if self._is_local:
            Path(self._base).mkdir(parents=True, exist_ok=True)
        with _reaching():
            self._fs.invalidate_cache()
            try:
                self._fs.ls(self._base, detail=False)
            except FileNotFoundError:
                # A bucket is there, and nothing in it yet.
                self._fs.ls(self._base.partition("/")[0], detail=False)

    def probe(self) -> None:
        """Raises OSError if the store does not take what a job would put into it."""
        name = f"probe-{uuid.uuid4().hex}"
        try:
            self._write(name, PROBE)
        finally:
            self._remove(self._at(name))

    # -- for `_RemoteSegments`

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"

    def _write(self, path: str, content: bytes) -> None:
        place = self._at(path)
        if self._is_local:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(place), content)
        else:
            # An object exists when all of it has arrived.
            with _reaching():
                self._fs.pipe_file(place, content)

    def _read(self, path: str) -> bytes | None:
        try:
            with _reaching():
                content: bytes = self._fs.cat_file(self._at(path))
        except FileNotFoundError:
            return None
        return content

    def _remove(self, path: str) -> None:
        try:
            with _reaching():
                self._fs.rm_file(path)
        except FileNotFoundError:
            return


class _RemoteSegments(SegmentStore):
    """Segments that are in a folder of this machine and in a store elsewhere."""

    def __init__(self, folder: Path, artifacts: Artifacts, path: str) -> None:
        super().__init__(folder)
        self._artifacts = artifacts
        self._path = path

    def load(self, key: str, check: Callable[[bytes], bool]) -> bytes | None:
        """As `SegmentStore.load`, and from elsewhere if it is not here."""
        if not self.path(key).exists():
            content = self._artifacts._read(f"{self._path}/{self.path(key).name}")
            if content is None:
                return None
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path(key), content)
        return super().load(key, check)

    def save(self, key: str, proof: bytes) -> None:
        """As `SegmentStore.save`, here and elsewhere."""
        super().save(key, proof)
        self._artifacts._write(f"{self._path}/{self.path(key).name}", self.path(key).read_bytes())


@contextmanager
def _reaching() -> Iterator[None]:
    """Stores elsewhere have errors of their own for what is an OSError with a folder."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise StoreAway(f"the store cannot be used: {type(error).__name__}") from error


def _read(file: Any) -> bytes:
    with _reaching():
        part: bytes = file.read(_PART)
    return part


def _changed(entry: Mapping[str, Any]) -> float:
    """When a file was written, Unix time; now where nobody knows."""
    found = entry.get("mtime", entry.get("LastModified", entry.get("last_modified")))
    if isinstance(found, datetime):
        return found.timestamp()
    return float(found) if found is not None else time.time()
