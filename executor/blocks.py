"""Blocks as the network sends them: RLP of a header, transactions, ommers and withdrawals."""

from __future__ import annotations

from typing import Any

import rlp
from eth.abc import BlockHeaderAPI
from eth.vm.forks.shanghai.withdrawals import Withdrawal as EvmWithdrawal
from eth_utils.exceptions import ValidationError

from executor.batch import Block, BlockContext, Withdrawal
from executor.chain import decode_header
from executor.errors import BatchError
from executor.forks import Schedule
from executor.rlp_lists import decode_list
from executor.transactions import decode_transaction

MAX_NESTING = 6  # the block, its transactions, a transaction, its access list, an entry of it, the entry's storage keys


def decode_block(encoded: bytes, schedule: Schedule, *, block: int | None = None) -> Block:
    """Decode a block; its header becomes the one that execution must give. ``block`` only appears in errors.

    The form is that of EIP-4895: ``[header, transactions, ommers, withdrawals]``. What can be said of a block without
    its parent is checked here and by :func:`executor.transactions.decode_transaction`, the rest by execution.

    Raises:
        BatchError: not a block of the fork that it is of by its timestamp.
    """

    def fail(field: str, reason: object) -> BatchError:
        return BatchError(str(reason), block=block, field=field)

    header_item, transactions, ommers, withdrawals = _items(encoded, block)
    header_encoding = rlp.encode(header_item)
    header = decode_header(header_encoding, schedule, "header", block)
    for name, number in (("number", header.block_number), ("timestamp", header.timestamp)):
        if number >= 2**64:
            raise fail(f"header.{name}", "number of more than 64 bits")
    if not isinstance(transactions, list):
        raise fail("transactions", "not a list")
    if ommers != []:
        raise fail("ommers", "there are none after the merge (EIP-3675)")
    try:
        decoded_withdrawals = [_withdrawal(item) for item in withdrawals]
    except (rlp.exceptions.RLPException, ValidationError, TypeError) as error:
        raise fail("withdrawals", error) from None
    return Block(
        context=_context(header, tuple(decoded_withdrawals)),
        transactions=tuple(
            decode_transaction(_raw(item, block, number), block=block, transaction=number)
            for number, item in enumerate(transactions)
        ),
        header=header_encoding,
    )


def decode_block_header(
    encoded: bytes, schedule: Schedule, *, block: int | None = None
) -> tuple[bytes, BlockHeaderAPI]:
    """RLP of the header of a block, and the header; the rest of the block is not looked into.

    Raises:
        BatchError: not the RLP of a block, or not of a header of the fork that it is of by its timestamp.
    """
    encoded_header = rlp.encode(_items(encoded, block)[0])
    return encoded_header, decode_header(encoded_header, schedule, "header", block)


def _items(encoded: bytes, block: int | None) -> list[Any]:
    try:
        items = decode_list(encoded, MAX_NESTING)
        if len(items) != 4:
            raise ValueError(f"a block has 4 parts, not {len(items)}")
    except ValueError as error:
        raise BatchError(str(error), block=block) from None
    return items


def _raw(item: Any, block: int | None, transaction: int) -> bytes:
    """The bytes of a transaction: in a block, typed transactions are byte strings and legacy ones lists (EIP-2718)."""
    if isinstance(item, list):
        return rlp.encode(item)  # type: ignore[no-any-return]
    if item and item[0] >= 0x80:
        # Only a list can begin so: this would be a legacy transaction in a form that no block may have.
        raise BatchError("a legacy transaction as a byte string", block=block, transaction=transaction, field="raw")
    return bytes(item)


def _withdrawal(item: Any) -> Withdrawal:
    withdrawal = EvmWithdrawal.deserialize(item)
    withdrawal.validate()
    if rlp.encode(withdrawal) != rlp.encode(item):  # the library takes an empty list for the number 0
        raise TypeError("a list where a number is expected")
    return Withdrawal.model_construct(
        index=withdrawal.index,
        validator_index=withdrawal.validator_index,
        address=bytes(withdrawal.address),
        amount=withdrawal.amount,
    )


def _context(header: BlockHeaderAPI, withdrawals: tuple[Withdrawal, ...]) -> BlockContext:
    return BlockContext.model_construct(
        coinbase=bytes(header.coinbase),
        timestamp=header.timestamp,
        gas_limit=header.gas_limit,
        base_fee_per_gas=header.base_fee_per_gas,
        prev_randao=bytes(header.mix_hash),
        parent_beacon_block_root=bytes(header.parent_beacon_block_root or b""),
        extra_data=bytes(header.extra_data),
        withdrawals=withdrawals,
    )
