"""Errors of the executor, and the base of every package's. Those of the executor derive from :class:`ExecutorError`."""

from __future__ import annotations

from collections.abc import Mapping


def describe_place(block: int | None = None, transaction: int | None = None, pc: int | None = None) -> str:
    """Words for a place in a batch: ``block B, transaction T, pc P``, leaving out what is ``None``.

    Blocks and transactions are counted from 0 in the batch file; transactions within their block.
    """
    parts = (("block", block), ("transaction", transaction), ("pc", pc))
    return ", ".join(f"{name} {number}" for name, number in parts if number is not None)


class ZkevmError(Exception):
    """Base class of all errors that the project raises about what it is given or cannot do.

    Anything else that is raised is a defect, but for ``OSError`` of files that cannot be read or written.
    """


class ExecutorError(ZkevmError):
    """Base class of the executor's errors."""


class BatchError(ExecutorError):
    """The batch is malformed or invalid under the rules of its fork.

    ``reason`` says what is wrong; ``block``, ``transaction`` (indices from 0) and ``field`` (name in the batch file)
    say where, as far as it is known.
    """

    def __init__(
        self, reason: str, *, block: int | None = None, transaction: int | None = None, field: str | None = None
    ) -> None:
        self.reason = reason
        self.block = block
        self.transaction = transaction
        self.field = field
        place = ", ".join(part for part in (describe_place(block, transaction), field) if part)
        super().__init__(f"{place}: {reason}" if place else reason)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_batch_error, (type(self), self.reason, self.block, self.transaction, self.field)


def _rebuild_batch_error(
    kind: type[BatchError], reason: str, block: int | None, transaction: int | None, field: str | None
) -> BatchError:
    return kind(reason, block=block, transaction=transaction, field=field)


class MissingState(BatchError):  # noqa: N818 - it says what is missing
    """The witness lacks something of the state before the batch.

    Attributes:
        accounts: addresses whose paths in the trie it lacks, each with the slots whose paths it lacks. Empty where
            nobody knows which key leads to what is missing.
        codes: addresses of the accounts whose code it lacks.
    """

    def __init__(
        self,
        reason: str,
        *,
        accounts: Mapping[bytes, tuple[int, ...]] | None = None,
        codes: tuple[bytes, ...] = (),
        block: int | None = None,
        transaction: int | None = None,
        field: str | None = "witness",
    ) -> None:
        super().__init__(reason, block=block, transaction=transaction, field=field)
        self.accounts = dict(accounts or {})
        self.codes = codes

    def __reduce__(self) -> tuple[object, ...]:
        items = (self.reason, self.accounts, self.codes, self.block, self.transaction, self.field)
        return _rebuild_missing_state, items


def _rebuild_missing_state(
    reason: str,
    accounts: Mapping[bytes, tuple[int, ...]],
    codes: tuple[bytes, ...],
    block: int | None,
    transaction: int | None,
    field: str | None,
) -> MissingState:
    return MissingState(reason, accounts=accounts, codes=codes, block=block, transaction=transaction, field=field)


class UnsupportedFeature(ExecutorError):  # noqa: N818 - the name is part of the command line's interface
    """The batch is valid, but holds something that cannot be proved yet.

    The message reads ``<what> in block B, transaction T, pc P`` (indices from 0, parts that are ``None`` left out).
    """

    def __init__(
        self, what: str, block: int | None = None, transaction: int | None = None, pc: int | None = None
    ) -> None:
        self.what = what
        self.block = block
        self.transaction = transaction
        self.pc = pc
        place = describe_place(block, transaction, pc)
        super().__init__(f"{what} in {place}" if place else what)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.block, self.transaction, self.pc)


class LimitExceeded(ExecutorError):  # noqa: N818
    """Running the batch went over a limit of the user's choosing (see :class:`executor.limits.Limits`).

    ``limit`` is the name of the limit (``gas``, ``seconds`` or ``memory``), ``value`` what was allowed.
    """

    def __init__(self, limit: str, value: float, unit: str) -> None:
        self.limit = limit
        self.value = value
        self.unit = unit
        super().__init__(f"the execution went over its limit of {value:,} {unit}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.limit, self.value, self.unit)


class TraceFileError(ExecutorError):
    """A trace file is damaged, truncated, too large, or no trace file at all."""


class ExecutionMismatch(ExecutorError):  # noqa: N818
    """Two accounts of the same execution disagree: a defect of this program, never of the batch."""
