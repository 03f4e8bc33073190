"""Reading ``.tar.xz`` and ``.tar.gz`` archives of data from outside, front to back and within bounds."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from executor.errors import BatchError

MAX_ARCHIVE_BYTES = 16 * 2**30  # unpacked, all members together
MAX_MEMORY = 2**28  # of lzma's decompressor; what it needs is written in the archive. `xz -9` needs 65 MiB
MAX_HEADER_BYTES = 2**10  # a long name or extended attributes; `tarfile` takes time in the square of their length
_CHUNK = 2**16

ARCHIVE_SUFFIXES = (".tar.xz", ".tar.gz", ".tgz")


class ArchiveError(BatchError):
    """Not an archive that can be read."""


def members(archive: Path, suffix: str, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in an archive whose names end in ``suffix``, in its order.

    The name of the archive ends in one of :data:`ARCHIVE_SUFFIXES`.

    Raises:
        ArchiveError: unreadable, damaged, a file larger than ``max_bytes``, or larger than :data:`MAX_ARCHIVE_BYTES`.
    """
    try:
        with archive.open("rb") as file:
            stream = _STREAMS[_suffix(archive)](file)
            with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
                while (member := tar.next()) is not None:
                    tar.members.clear()  # it keeps them all, which a small archive can make many
                    if not member.isreg() or member.issparse() or not member.name.endswith(suffix):
                        continue
                    if member.size > max_bytes:
                        raise ArchiveError(f"{archive}: {member.name} is larger than {max_bytes} bytes")
                    reader = tar.extractfile(member)
                    assert reader is not None
                    stream.max_read = max_bytes
                    content = reader.read()
                    stream.max_read = MAX_HEADER_BYTES
                    yield member.name, content
            while stream.take(_CHUNK):
                pass  # the checks of the format come last
    except OSError as error:
        raise ArchiveError(f"{archive}: cannot read it: {error.strerror or error}") from None
    except (lzma.LZMAError, zlib.error, tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{archive}: not a {_suffix(archive)} archive, or damaged: {error}") from None


def _suffix(archive: Path) -> str:
    return next((suffix for suffix in ARCHIVE_SUFFIXES if archive.name.endswith(suffix)), ARCHIVE_SUFFIXES[0])


class _Stream(ABC):
    """What ``tarfile`` needs of a file: reading forwards, with bounds on single reads and on the whole.

    Attributes:
        max_read: bytes that ``read`` may be asked for.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.max_read = MAX_HEADER_BYTES
        self._buffer = bytearray()
        self._position = 0
        self._decompressor: Any = None

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise ValueError("it does not go forwards")
        while self._position < position:
            if not self.take(min(_CHUNK, position - self._position)):
                raise EOFError("truncated")

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.max_read:
            raise ValueError(f"an entry of {size} bytes")
        return self.take(size)

    def take(self, size: int) -> bytes:
        """Read without a bound on this one read."""
        while len(self._buffer) < size:
            piece = self._decompress()
            if not piece:
                break
            self._buffer += piece
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._position += len(data)
        if self._position > MAX_ARCHIVE_BYTES:
            raise ValueError(f"more than {MAX_ARCHIVE_BYTES} bytes unpacked")
        return data

    def _decompress(self) -> bytes:
        """Some more bytes; none at the end.

        Raises:
            EOFError, ValueError, lzma.LZMAError, zlib.error: the data are cut off or damaged.
        """
        while True:
            if self._decompressor is None or self._decompressor.eof:
                rest = b"" if self._decompressor is None else self._decompressor.unused_data
                data = rest or self._file.read(_CHUNK)
                if self._decompressor is not None and not data.strip(b"\0"):  # padding after a stream
                    return b""
                self._decompressor = self._open()
            else:
                data = self._kept()
                if data is None and not (data := self._file.read(_CHUNK)):
                    raise EOFError("truncated")
            piece: bytes = self._decompressor.decompress(data, _CHUNK)
            if piece:
                return piece

    @abstractmethod
    def _open(self) -> Any:
        """A decompressor for the next stream of the file."""

    @abstractmethod
    def _kept(self) -> bytes | None:
        """What the decompressor is still to be given of what was read; None: it needs more."""


class _XzStream(_Stream):
    def _open(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_MEMORY)

    def _kept(self) -> bytes | None:
        return None if self._decompressor.needs_input else b""


class _GzipStream(_Stream):
    def _open(self) -> zlib._Decompress:
        return zlib.decompressobj(zlib.MAX_WBITS | 16)

    def _kept(self) -> bytes | None:
        return self._decompressor.unconsumed_tail or None


_STREAMS: Mapping[str, type[_Stream]] = {".tar.xz": _XzStream, ".tar.gz": _GzipStream, ".tgz": _GzipStream}
