"""The state witness: Merkle-Patricia nodes with which the updates of a batch can be repeated."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak
from trie.exceptions import MissingTrieNode
from trie.hexary import HexaryTrie

from executor.accesses import StateKey
from executor.chain import open_chain
from executor.errors import ExecutionMismatch
from executor.execute import ExecutedBatch
from executor.rules import BEACON_ROOTS_ADDRESS
from executor.trace import StateKind
from executor.witness import WitnessBuilder, apply_writes
from scripts.workloads import transfer_batch

STATE_ROOT = 3


@pytest.fixture(scope="module")
def executed(builder: Any) -> ExecutedBatch:
    """A batch on a state of 60 accounts, of which it touches a few; a contract with storage pays and receives fees."""
    building = builder()
    for number in range(56):
        building.alloc(keccak(bytes([number]))[12:], balance=number)
    contract = keccak(b"contract")[12:]
    building.alloc(contract, code="0x00", nonce=1, storage={"0x1": "0x2"})
    building.block(building.transfer(0, keccak(b"\3")[12:], 9), building.transfer(1), coinbase=contract)
    building.block().block(building.transfer(2, keccak(b"new")[12:]), building.transfer(0, building.WALLETS[3]))
    result: ExecutedBatch = building.execute()
    return result


def writes_of_blocks(executed: ExecutedBatch) -> list[dict[StateKey, int]]:
    """Last values of the balances and nonces accessed in each block, from the trace."""
    trace = executed.trace
    writes: list[dict[StateKey, int]] = [{} for _ in executed.blocks]
    for block, keys, after in zip(trace.block, trace.access_key, trace.access_after, strict=True):
        for index, value in zip(keys, after, strict=True):
            if executed.keys[index].kind != StateKind.CODE_HASH:
                writes[block][executed.keys[index]] = int.from_bytes(value.astype("<u2").tobytes(), "little")
    return writes


def replay(executed: ExecutedBatch, nodes: list[bytes]) -> list[bytes]:
    """State roots after every block, from the witness alone."""
    trie = HexaryTrie({keccak(node): node for node in nodes}, executed.pre_state_root)
    roots = []
    for writes in writes_of_blocks(executed):
        apply_writes(trie, writes)
        roots.append(bytes(trie.root_hash))
    return roots


def header_roots(executed: ExecutedBatch) -> list[bytes]:
    return [rlp.decode(header)[STATE_ROOT] for header, _ in executed.blocks]


def test_the_witness_leads_to_every_state_root(executed: ExecutedBatch) -> None:
    assert replay(executed, executed.state_nodes) == header_roots(executed)
    assert len(set(header_roots(executed))) == 2


def test_the_witness_starts_with_the_root_and_repeats_nothing(executed: ExecutedBatch) -> None:
    hashes = [keccak(node) for node in executed.state_nodes]
    assert hashes[0] == executed.pre_state_root
    assert len(set(hashes)) == len(hashes)


def test_every_node_is_needed(executed: ExecutedBatch) -> None:
    for missing in range(len(executed.state_nodes)):
        nodes = executed.state_nodes[:missing] + executed.state_nodes[missing + 1 :]
        with pytest.raises(MissingTrieNode):
            look_up_and_replay(executed, nodes)


def look_up_and_replay(executed: ExecutedBatch, nodes: list[bytes]) -> None:
    trie = HexaryTrie({keccak(node): node for node in nodes}, executed.pre_state_root)
    for address in (*(key.address for key in executed.keys), BEACON_ROOTS_ADDRESS):
        trie.get(keccak(address))
    replay(executed, nodes)


def test_the_witness_is_smaller_than_the_state(executed: ExecutedBatch) -> None:
    trie = HexaryTrie({keccak(node): node for node in executed.state_nodes}, executed.pre_state_root)
    touched = {key.address for key in executed.keys}
    missing = 0
    for address in set(executed.batch.genesis.accounts) - touched:
        try:
            trie.get(keccak(address))
        except MissingTrieNode:
            missing += 1
    assert missing > 30


def test_the_witness_of_an_empty_batch_shows_the_beacon_roots_account(builder: Any) -> None:
    executed = builder().execute()
    trie = HexaryTrie({keccak(node): node for node in executed.state_nodes}, executed.pre_state_root)
    assert trie.get(keccak(BEACON_ROOTS_ADDRESS)) == b""


def test_accounts_that_become_empty_leave_the_trie(builder: Any) -> None:
    with_account = builder().alloc(builder.FRESH, balance=1)
    chain, parent = open_chain(with_account.read())
    witness = WitnessBuilder(chain.chaindb.db, parent.state_root)
    witness.apply_block({StateKey(StateKind.BALANCE, builder.FRESH): 0}, builder().execute().pre_state_root)
    # The nodes recorded are enough to repeat the deletion, which reads the sibling of what is deleted.
    trie = HexaryTrie({keccak(node): node for node in witness.nodes}, parent.state_root)
    apply_writes(trie, {StateKey(StateKind.BALANCE, builder.FRESH): 0})
    assert trie.root_hash == builder().execute().pre_state_root


def test_a_wrong_write_is_noticed(builder: Any) -> None:
    chain, parent = open_chain(builder().read())
    witness = WitnessBuilder(chain.chaindb.db, parent.state_root)
    with pytest.raises(ExecutionMismatch, match="do not lead to its state root"):
        witness.apply_block({StateKey(StateKind.BALANCE, builder.FRESH): 1}, parent.state_root)


def test_writes_of_code_are_refused(builder: Any) -> None:
    trie = HexaryTrie({})
    with pytest.raises(ValueError, match="CODE_HASH"):
        apply_writes(trie, {StateKey(StateKind.CODE_HASH, builder.FRESH): 1})


def test_the_witness_of_the_transfer_workload(builder: Any) -> None:
    building = builder()
    building.document = transfer_batch(60, seed=3)
    executed = building.execute()
    assert replay(executed, executed.state_nodes) == header_roots(executed)
