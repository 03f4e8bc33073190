"""The size of a block against the RLP library (EIP-7934)."""

from dataclasses import replace
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from scripts.batches.chain import NEWCOMER, SENDERS, Chain, Transfer, Withdrawn
from verifier.block_size import block_bytes, check_size
from verifier.container import BlockRecord
from verifier.errors import Invalid
from verifier.forks import BPO4, CANCUN, OSAKA, PRAGUE


def encoded(block: BlockRecord) -> bytes:
    """The RLP of a block, by the library."""
    transactions = [rlp.decode(raw) if raw[0] >= 0xC0 else raw for raw in block.transactions]
    withdrawals = [rlp.decode(item) for item in block.withdrawals]
    result: bytes = rlp.encode([rlp.decode(block.header), transactions, [], withdrawals])
    return result


@given(
    sizes=st.lists(st.integers(0, 70) | st.integers(200, 300), max_size=4),
    kinds=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    withdrawals=st.integers(0, 20),
)
def test_follows_the_library(sizes: list[int], kinds: list[int], withdrawals: int) -> None:
    chain = Chain()
    transfers = [Transfer(0, SENDERS[1], kind=kind, data=bytes(size)) for kind, size in zip(kinds, sizes, strict=False)]
    chain.block(*transfers, withdrawals=[Withdrawn(NEWCOMER, amount) for amount in range(withdrawals)])
    (block,) = chain.file().blocks
    assert block_bytes(block) == len(encoded(block))
    # What is no part of the block does not count.
    assert block_bytes(replace(block, outputs=(b"12",))) == len(encoded(block))


def test_the_bound_is_inclusive() -> None:
    chain = Chain()
    chain.block()
    (block,) = chain.file().blocks
    typed = b"\x02" + bytes(2**20)
    rest = 8 * 2**20 - block_bytes(replace(block, transactions=(typed,) * 8))
    assert -1000 < rest < 0

    def of(extra: int) -> BlockRecord:
        return replace(block, transactions=(*(typed,) * 7, typed[: len(typed) + rest + extra]))

    for fork in (OSAKA, BPO4):
        check_size(7, of(0), fork)
        with pytest.raises(Invalid, match="block 7: 8388609 bytes, at most 8388608"):
            check_size(7, of(1), fork)
    for fork in (CANCUN, PRAGUE):
        check_size(7, of(1), fork)


@pytest.mark.parametrize("size", [55, 56, 255, 256, 65535, 65536])
def test_lengths_of_prefixes(size: int) -> None:
    """Of typed transactions, and of the list that they stand in."""
    chain = Chain()
    chain.block()
    (block,) = chain.file().blocks
    one: Any = replace(block, transactions=(b"\x02" + bytes(size - 1),))
    assert block_bytes(one) == len(encoded(one))
