"""What may be given as a batch: a batch file, or a case of a file of public tests."""

from __future__ import annotations

from pathlib import Path

from executor.batch import MAX_FILE_BYTES, Batch, parse_batch
from executor.errors import BatchError
from executor.fixtures import SEPARATOR, batch_from_fixture


def read_batch(path: str | Path) -> Batch:
    """Read a batch file, or with ``FILE::CASE`` a case of an ``ethereum/tests`` BlockchainTest file.

    Raises:
        BatchError: unreadable, larger than :data:`executor.batch.MAX_FILE_BYTES`, or malformed.
    """
    file_name, separator, case = str(path).partition(SEPARATOR)
    if separator:
        return batch_from_fixture(Path(file_name), case)
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BatchError(f"cannot read the batch file {path}: {error.strerror}") from None
    return parse_batch(content)
