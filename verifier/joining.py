"""Batches that follow each other, as one file with one statement.

Of files that have a proof of each segment, as many as follow each other, there will be one tree. A file that has one
proof keeps its tree, or those that it is joined of, and a node joins them to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

from eth_hash.auto import keccak

from verifier.container import BatchRecord, Joint, ProofFile
from verifier.errors import Invalid
from verifier.forks import Schedule
from verifier.receipts import encode_receipts
from verifier.statement import BatchStatement, lists_commitment
from verifier.trees import MAX_JOINED


def join(files: Sequence[ProofFile], names: Sequence[str]) -> ProofFile:
    """The file of all batches, with the statement of all their blocks; segments are left as they are.

    Args:
        files: at least one, each accepted by the verifier.
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
    joined = (*first.joined, *(_record(batch) for file in later for batch in file.batches))
    whole = replace(first, joined=joined, joint=joint_of(files))
    return replace(whole, statement=_statement(whole, files))


def _record(batch: BatchRecord) -> BatchRecord:
    """Without what a file has beside its first batch."""
    return BatchRecord(**{own.name: getattr(batch, own.name) for own in fields(BatchRecord)})


def grouped(files: Sequence[ProofFile]) -> list[list[int]]:
    """Numbers of the files of each tree that a joined file is joined of, in order.

    In each group is one file that has one proof, or none has. Files without operations, of which there is nothing to
    prove, are with the ones before them, or with the first ones.
    """
    groups: list[list[int]] = []
    waiting: list[int] = []
    proved = False  # the last group
    for number, file in enumerate(files):
        if not file.all_segments:
            (groups[-1] if groups else waiting).append(number)
        elif file.one_proof is None and groups and not proved:
            groups[-1].append(number)
        else:
            groups.append([*waiting, number])
            waiting, proved = [], file.one_proof is not None
    return groups or [waiting]


def joint_of(files: Sequence[ProofFile]) -> Joint:
    """How the one proof of all is joined."""
    joints: list[Joint] = []
    for group in grouped(files):
        place = next((number for number in group if files[number].one_proof is not None), None)
        if place is None:
            joints.append(len(group))
        else:
            joints.append(_longer(files[place].joint, place - group[0], group[-1] - place))
    while len(joints) > 1:
        cut = [joints[first : first + MAX_JOINED] for first in range(0, len(joints), MAX_JOINED)]
        joints = [tuple(own) if len(own) > 1 else own[0] for own in cut]
    return joints[0]


def _longer(joint: Joint, before: int, behind: int) -> Joint:
    """With so many batches more without operations, which nothing is proved of."""
    if isinstance(joint, int):
        return before + joint + behind
    first, *between, last = joint
    return (_longer(first, before, 0), *between, _longer(last, 0, behind))


def _statement(whole: ProofFile, files: Sequence[ProofFile]) -> BatchStatement:
    """Of all blocks."""
    statements = [file.statement for file in files]
    first, last = statements[0], statements[-1]
    # One without blocks has its parent as its first block.
    begins = next((file.statement for file in files if file.all_blocks), first)
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
