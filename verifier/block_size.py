"""The size of a block (EIP-7934)."""

from __future__ import annotations

from collections.abc import Iterable

from verifier.container import BlockRecord
from verifier.errors import Invalid
from verifier.forks import Fork
from verifier.rlp_bounded import list_header

NO_OMMERS_BYTES = 1  # the empty list


def block_bytes(block: BlockRecord) -> int:
    """Bytes of the RLP of a block: header, transactions, ommers (there are none), withdrawals.

    Typed transactions stand in it as strings; headers, legacy transactions and withdrawals are lists.
    """
    transactions = _list_bytes(_string_bytes(raw) if raw[:1] < b"\x80" else len(raw) for raw in block.transactions)
    withdrawals = _list_bytes(map(len, block.withdrawals))
    return _list_bytes((len(block.header), transactions, NO_OMMERS_BYTES, withdrawals))


def check_size(number: int, block: BlockRecord, fork: Fork) -> None:
    """Check that a block is no longer than its fork allows.

    Raises:
        Invalid: if it is.
    """
    if fork.max_block_bytes is None:
        return
    size = block_bytes(block)
    if size > fork.max_block_bytes:
        raise Invalid(f"block {number}: {size} bytes, at most {fork.max_block_bytes} are allowed")


def _list_bytes(items: Iterable[int]) -> int:
    payload = sum(items)
    return len(list_header(payload)) + payload


def _string_bytes(content: bytes) -> int:
    # A typed transaction has more than one byte, so none is its own encoding. Prefixes of strings are as long as those
    # of lists.
    return len(list_header(len(content))) + len(content)
