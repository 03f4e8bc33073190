"""Batches that follow each other, as one file with one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

from eth_hash.auto import keccak

from verifier.container import BatchRecord, ProofFile
from verifier.errors import Invalid
from verifier.forks import Schedule
from verifier.receipts import encode_receipts
from verifier.statement import BatchStatement, lists_commitment


def join(files: Sequence[ProofFile], names: Sequence[str]) -> ProofFile:
    """The file of all batches, with the statement of all their blocks; segments are left as they are.

    Args:
        files: at least one, each accepted by the verifier, and none with one proof.
        names: of the files, for errors.

    Raises:
        Invalid: one of them does not go on where the one before it ends, is of another chain, or of a later fork
            and does not say from when on blocks are of it.
    """
    first, *later = files
    for number, (before, file) in enumerate(pairwise(files), start=1):
        if file.statement.chain_id != before.statement.chain_id:
            chain_ids = f"{file.statement.chain_id} instead of {before.statement.chain_id}"
            raise Invalid(f"{names[number]} is of another chain than {names[number - 1]}: chain id {chain_ids}")
        if keccak(file.parent_header) != before.statement.last_block_hash:
            raise Invalid(
                f"{names[number]} does not follow {names[number - 1]}, which ends with block "
                f"{before.statement.last_block_number}, 0x{before.statement.last_block_hash.hex()}"
            )
    joined = tuple(BatchRecord(**{own.name: getattr(file, own.name) for own in fields(BatchRecord)}) for file in later)
    whole = replace(first, joined=joined)
    return replace(whole, statement=_statement(whole, [file.statement for file in files]))


def _statement(whole: ProofFile, statements: Sequence[BatchStatement]) -> BatchStatement:
    """Of all blocks."""
    first, last = statements[0], statements[-1]
    # One without blocks has its parent as its first block.
    begins = next((own for own, batch in zip(statements, whole.batches, strict=True) if batch.blocks), first)
    return BatchStatement(
        chain_id=first.chain_id,
        fork=_schedule([own.fork for own in statements if own.fork]),
        pre_state_root=first.pre_state_root,
        post_state_root=last.post_state_root,
        first_block_number=begins.first_block_number,
        first_block_hash=begins.first_block_hash,
        last_block_number=last.last_block_number,
        last_block_hash=last.last_block_hash,
        transactions_commitment=lists_commitment([block.transactions for block in whole.all_blocks]),
        receipts_commitment=lists_commitment(_receipts(whole)),
        gas_used=sum(own.gas_used for own in statements),
    )


def _schedule(texts: Sequence[str]) -> str:
    """The schedule of blocks of these, one after the other; "" of none."""
    if not texts:
        return ""
    whole = Schedule.parse(texts[0])
    for text in texts[1:]:
        own = Schedule.parse(text)
        ends = whole.later[-1][1] if whole.later else whole.first
        if own.first != ends:
            raise Invalid(
                f"a batch of {own.first.name} follows one of {ends.name}, and none says from when on blocks are of it: "
                f"let the first batch of {own.first.name} begin with a block of {ends.name}"
            )
        whole = replace(whole, later=(*whole.later, *own.later))
    return str(whole)


def _receipts(whole: ProofFile) -> list[list[bytes]]:
    """The receipts of each block, as its header commits to them."""
    receipts = iter(whole.all_receipts)
    blocks = []
    for block in whole.all_blocks:
        # A typed transaction begins with its type, another one with that of an RLP list (EIP-2718).
        types = [raw[0] if raw[0] < 0xC0 else 0 for raw in block.transactions]
        blocks.append(encode_receipts(types, [next(receipts) for _ in types]))
    return blocks
