"""The state witness: Merkle-Patricia nodes with which the updates of a batch can be repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak
from trie.constants import BLANK_NODE_HASH
from trie.exceptions import MissingTrieNode
from trie.hexary import HexaryTrie

from executor.batch import Witness
from executor.chain import open_chain
from executor.errors import BatchError, ExecutionMismatch
from executor.execute import ExecutedBatch, execute
from executor.forks import BEACON_ROOTS_ADDRESS
from executor.rebuild import rebuild_state_roots
from executor.recorder import create_address_input
from executor.state_keys import EMPTY_CODE_HASH, LASTING_KINDS, StateKey, StateKind
from executor.witness import AccountChange, StateTrie, WitnessBuilder, changes_of
from scripts.workloads.transfers import transfer_batch

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


def replay(executed: ExecutedBatch, nodes: list[bytes]) -> list[bytes]:
    """State roots after every block, from the trace and the witness alone."""
    assert executed.trace is not None
    return rebuild_state_roots(executed.trace, Witness(tuple(nodes)))


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
    for address in (*touched_accounts(executed), BEACON_ROOTS_ADDRESS):
        trie.get(keccak(address))
    replay(executed, nodes)


def touched_accounts(executed: ExecutedBatch) -> set[bytes]:
    assert executed.trace is not None
    return {key.address for key in executed.trace.state_keys() if key.kind in LASTING_KINDS}


def test_the_witness_is_smaller_than_the_state(executed: ExecutedBatch) -> None:
    trie = HexaryTrie({keccak(node): node for node in executed.state_nodes}, executed.pre_state_root)
    touched = touched_accounts(executed)
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


def test_accounts_that_are_deleted_leave_the_trie(builder: Any) -> None:
    with_account = builder().alloc(builder.FRESH, balance=1)
    chain, parent = open_chain(with_account.read())
    witness = WitnessBuilder(chain.chaindb.db, parent.state_root)
    deletion = {StateKey(StateKind.BALANCE, builder.FRESH): 0, StateKey(StateKind.EXISTS, builder.FRESH): 0}
    without = builder().execute().pre_state_root
    witness.apply_block(deletion, without)
    # The nodes recorded are enough to repeat the deletion, which reads the sibling of what is deleted.
    trie = StateTrie({keccak(node): node for node in witness.nodes}, parent.state_root)
    trie.apply(changes_of(deletion))
    assert trie.root == without
    assert trie.account(builder.FRESH) is None


@pytest.mark.parametrize("slots", [{1: 0}, {1: 0, 2: 0}, {1: 0, 2: 0, 3: 0}, {1: 0, 9: 1}, {9: 1, 1: 0, 2: 5}])
def test_slots_that_become_zero_leave_the_trie(builder: Any, slots: dict[int, int]) -> None:
    contract = b"\xcc" * 20
    before = {slot: slot for slot in range(1, 4)}
    roots = []
    for storage in (before, before | slots):
        building = builder().alloc(contract, code="0x00", storage={hex(slot): value for slot, value in storage.items()})
        chain, parent = open_chain(building.read())
        roots.append(parent.state_root)
        if storage is before:
            witness = WitnessBuilder(chain.chaindb.db, parent.state_root)
    writes = {StateKey(StateKind.STORAGE, contract, slot): value for slot, value in slots.items()}
    witness.include(sorted(writes))
    witness.apply_block(writes, roots[1])
    trie = StateTrie({keccak(node): node for node in witness.nodes}, roots[0])
    assert [trie.storage(contract, slot) for slot in slots] == [before.get(slot, 0) for slot in slots]
    trie.apply(changes_of(writes))
    assert trie.root == roots[1]
    assert [trie.storage(contract, slot) for slot in slots] == list(slots.values())


def test_a_wrong_write_is_noticed(builder: Any) -> None:
    chain, parent = open_chain(builder().read())
    witness = WitnessBuilder(chain.chaindb.db, parent.state_root)
    with pytest.raises(ExecutionMismatch, match="do not lead to its state root"):
        witness.apply_block({StateKey(StateKind.BALANCE, builder.WALLETS[0]): 1}, parent.state_root)
    with pytest.raises(ExecutionMismatch, match="was changed, but does not exist"):
        witness.apply_block({StateKey(StateKind.BALANCE, builder.FRESH): 1}, parent.state_root)


def test_keys_of_one_transaction_are_not_in_the_trie(builder: Any) -> None:
    with pytest.raises(ValueError, match="WARM_SLOT is not in the state trie"):
        changes_of({StateKey(StateKind.WARM_SLOT, builder.FRESH): 1})


def test_codes_are_those_of_the_pre_state(builder: Any) -> None:
    called, unread, deployed = "0x5b", "0x5b5b", "5b5b5b"
    building = builder().alloc(b"\xcc" * 20, code=called).alloc(b"\xdd" * 20, code=unread)
    initcode = f"62{deployed}5f526003601df3"
    creation = building.transfer(to=b"", gas=100_000, value=0, data="0x" + initcode)
    made = keccak(create_address_input(builder.WALLETS[0], 0))[12:]
    building.block(creation, *(building.transfer(1, to, gas=50_000) for to in (b"\xcc" * 20, made)))
    executed = building.execute()
    assert executed.post_state.code_hash(made) == keccak(bytes.fromhex(deployed))
    assert executed.witness.codes == (bytes.fromhex(called[2:]),)
    lacking = replace(executed.with_witness(), witness=replace(executed.witness, codes=()))
    with pytest.raises(BatchError, match=r"block 0, transaction 1, witness: the witness lacks .* MissingBytecode 0x"):
        execute(lacking)


def test_without_a_trace_there_is_no_witness(builder: Any) -> None:
    executed = execute(builder().block().read(), trace=False)
    assert (executed.trace, executed.witness, executed.state_nodes) == (None, None, [])
    with pytest.raises(ValueError, match="has no witness"):
        executed.with_witness()


def test_the_witness_of_the_transfer_workload(builder: Any) -> None:
    building = builder()
    building.document = transfer_batch(60, seed=3)
    executed = building.execute()
    assert replay(executed, executed.state_nodes) == header_roots(executed)


# -- the order of changes


SLOTS = (2, 5)


def storing(building: Any, writes: dict[int, int]) -> Any:
    """A block that writes slots of a contract in this order, after a pre-state with slots 2 and 5."""
    code = b"".join(bytes([0x60, value, 0x61]) + slot.to_bytes(2, "big") + b"\x55" for slot, value in writes.items())
    contract = b"\xcc" * 20
    building.alloc(contract, code="0x" + code.hex(), nonce=1, storage={hex(slot): 1 for slot in SLOTS})
    return building.block(building.transfer(0, contract, 0, gas=200_000))


def third_slot() -> int:
    """A slot whose path parts with those of both slots at the first digit, as theirs do: it keeps the branch there."""
    digits = {slot: keccak(slot.to_bytes(32, "big"))[0] >> 4 for slot in range(512)}
    taken = {digits[slot] for slot in SLOTS}
    assert len(taken) == len(SLOTS)
    return next(slot for slot in digits if digits[slot] not in taken)


@pytest.mark.parametrize("deletion_first", [True, False])
def test_a_witness_of_a_client_that_inserts_first_is_enough(builder: Any, deletion_first: bool) -> None:
    deleted, left = SLOTS
    inserted = third_slot()
    writes = {deleted: 0, inserted: 7}
    order = writes if deletion_first else dict(reversed(writes.items()))
    executed = storing(builder(), order).execute()
    leaf = sibling(executed, left)
    # Made for all orders the witness has the leaf that stays; without it, it is one for insertions first.
    smallest = [node for node in executed.state_nodes if node != leaf]
    assert len(smallest) == len(executed.state_nodes) - 1
    batch = replace(executed.with_witness(), witness=Witness(tuple(smallest), executed.with_witness().witness.codes))
    again = execute(batch)
    assert header_roots(again) == header_roots(executed)
    assert set(again.state_nodes) == set(smallest)
    assert replay(again, again.state_nodes) == header_roots(executed)


def test_a_deletion_that_no_insertion_makes_up_for_needs_the_sibling(builder: Any) -> None:
    deleted, left = SLOTS
    executed = storing(builder(), {deleted: 0}).execute()
    nodes = tuple(node for node in executed.state_nodes if node != sibling(executed, left))
    batch = replace(executed.with_witness(), witness=Witness(nodes, executed.with_witness().witness.codes))
    with pytest.raises(BatchError, match=r"^block 0, witness: the witness lacks what it takes to execute this"):
        execute(batch)


def sibling(executed: ExecutedBatch, slot: int) -> bytes:
    """The leaf of a slot that stays, among the nodes of the witness."""
    path = keccak(slot.to_bytes(32, "big")).hex()
    leaf: bytes = rlp.encode([bytes.fromhex("3" + path[1:]), rlp.encode(1)])
    assert leaf in executed.state_nodes
    return leaf


def test_an_account_that_is_deleted_last_needs_no_sibling() -> None:
    # One account goes, one stays, one comes; their paths part at the first digit.
    gone, stays, comes = (bytes([number]) * 20 for number in (1, 2, 3))
    assert len({keccak(address)[0] >> 4 for address in (gone, stays, comes)}) == 3
    account = rlp.encode([0, 1, BLANK_NODE_HASH, EMPTY_CODE_HASH])
    state = HexaryTrie({})
    state[keccak(gone)] = state[keccak(stays)] = account
    before = bytes(state.root_hash)
    nodes = {node_hash: bytes(state.db[node_hash]) for node_hash in (before, rlp.decode(state.db[before])[first(gone)])}
    del state[keccak(gone)]
    state[keccak(comes)] = account
    changes = [AccountChange(gone, exists=False, balance=0), AccountChange(comes, exists=True, balance=1)]
    trie = StateTrie(dict(nodes), before)
    trie.apply(changes)
    assert trie.root == bytes(state.root_hash)
    with pytest.raises(MissingTrieNode):
        StateTrie(dict(nodes), before).apply_in_order(changes)


def first(address: bytes) -> int:
    """The first digit of the path of an account."""
    return keccak(address)[0] >> 4
