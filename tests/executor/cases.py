"""BlockchainTests made of batches of our own."""

from __future__ import annotations

from typing import Any

import rlp
from eth_utils.crypto import keccak

from executor.batch import batch_from_document
from executor.execute import execute


def fixture_of(builders: list[Any], head: int) -> dict[str, Any]:
    """A case that gives the blocks of several batches with one genesis, each block once, ``head`` as the last."""
    executed = [execute(batch_from_document(builder.document), trace=False) for builder in builders]
    blocks: dict[bytes, dict[str, Any]] = {}
    for batch in executed:
        for header, raw in batch.blocks:
            transactions = [rlp.decode(item) if item[0] >= 0xC0 else item for item in raw]
            encoded = rlp.encode([rlp.decode(header), transactions, [], []])
            given = {"rlp": "0x" + encoded.hex(), "blockHeader": {"hash": "0x" + keccak(header).hex()}}
            blocks.setdefault(keccak(header), given)
    genesis = executed[0].parent_header
    return {
        "network": "Cancun",
        "config": {"chainid": builders[0].CHAIN_ID},
        "genesisRLP": "0x" + rlp.encode([rlp.decode(genesis), [], [], []]).hex(),
        "genesisBlockHeader": {"hash": "0x" + keccak(genesis).hex()},
        "pre": builders[0].document["genesis"]["alloc"],
        "blocks": list(blocks.values()),
        "lastblockhash": "0x" + executed[head].last_block_hash.hex(),
        "postStateHash": "0x" + executed[head].post_state_root.hex(),
    }
