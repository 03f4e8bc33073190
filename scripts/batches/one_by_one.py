"""The blocks of a batch as batches that follow each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from executor.batch import Genesis
from executor.execute import ExecutedBatch, execute
from executor.limbs import limbs_to_bytes, limbs_to_ints
from executor.state_keys import StateKind


def one_by_one(document: dict[str, Any], whole: ExecutedBatch) -> list[ExecutedBatch]:
    """The blocks of a batch, each as a batch of its own, whose state before it is that behind the one before.

    Args:
        document: the batch, with a genesis, whose transactions create no contracts.
        whole: what executing it gives.
    """
    alloc: dict[str, dict[str, Any]] = dict(document["genesis"]["alloc"])
    headers = [whole.parent_header, *(header for header, _ in whole.blocks)]
    executed: list[ExecutedBatch] = []
    for number, block in enumerate(whole.batch.blocks):
        genesis = Genesis.model_validate(document["genesis"] | {"alloc": alloc})
        own = execute(
            replace(
                whole.batch,
                genesis=genesis,
                parent_header=headers[number],
                blocks=(block,),
                # Without the parent, the last one first.
                ancestor_headers=tuple(headers[:number][::-1]),
            )
        )
        alloc = _after(alloc, own)
        executed.append(own)
    assert executed[-1].last_block_hash == whole.last_block_hash
    return executed


def _after(alloc: dict[str, dict[str, Any]], executed: ExecutedBatch) -> dict[str, dict[str, Any]]:
    """The accounts behind a batch, given those before it."""
    assert executed.trace is not None
    keys = executed.trace.keys
    after = {address.lower(): dict(account) for address, account in alloc.items()}
    touched = zip(keys.kind.tolist(), limbs_to_bytes(keys.address), limbs_to_ints(keys.slot), strict=True)
    for kind, address, slot in touched:
        account = executed.post_state.account(address)
        if account is None:
            continue
        own = after.setdefault("0x" + address.hex(), {})
        own |= {"balance": hex(account.balance), "nonce": hex(account.nonce)}
        if kind == StateKind.STORAGE:
            own["storage"] = own.get("storage", {}) | {hex(slot): hex(executed.post_state.storage(address, slot))}
    return after
