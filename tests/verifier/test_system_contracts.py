"""Which system contracts blocks call, how, and that nothing in the batch changes what that relies on."""

from collections.abc import Sequence

import numpy as np
import pytest
from eth_hash.auto import keccak

from circuits.batch.leaves import LeafKind
from circuits.limbs import words_from_ints
from executor import forks as theirs
from scripts.batches.chain import HISTORY_ADDRESS, SENDERS, state_trie
from tests.verifier.test_state import HASH, paths
from verifier.container import CodeWrites, SegmentRecord, Writes
from verifier.errors import Invalid
from verifier.forks import BPO4, CANCUN, FORKS, OSAKA, PRAGUE, Fork
from verifier.operations import Operations
from verifier.segments import check_system_codes
from verifier.state import BatchState
from verifier.system_contracts import (
    BEACON_ROOTS_ADDRESS,
    BEACON_ROOTS_CODE,
    BEACON_ROOTS_CODE_HASH,
    HISTORY_CODE,
    HISTORY_CODE_HASH,
    is_delegation,
    start_calls,
    system_contracts,
    written_contracts,
)
from verifier.tries import Account, StateTrie

WITHDRAWALS, CONSOLIDATIONS = (contract.address for contract in PRAGUE.request_contracts)
BOTH = {BEACON_ROOTS_ADDRESS, HISTORY_ADDRESS}


def trie_of(*shown: bytes, **accounts: Account | None) -> StateTrie:
    """A state in which `beacon` and `history` stand at their addresses, with the paths to what is shown."""
    addresses = {"beacon": BEACON_ROOTS_ADDRESS, "history": HISTORY_ADDRESS}
    state = {address: Account(balance=1) for address in SENDERS}
    state |= {addresses[name]: account for name, account in accounts.items() if account is not None}
    tree = state_trie(state)
    nodes = {node for address in shown or tuple(BOTH) for node in paths(tree, address)}
    return StateTrie(tree.root_hash, sorted(nodes))


BEACON = Account(nonce=1, code_hash=BEACON_ROOTS_CODE_HASH)
HISTORY = Account(nonce=1, code_hash=HISTORY_CODE_HASH)


def test_codes_are_those_of_the_eips() -> None:
    """Their hashes as the EIPs' deployments give them."""
    assert BEACON_ROOTS_CODE_HASH.hex() == "f57acd40259872606d76197ef052f3d35588dadf919ee1f0e3cb9b62d3f4b02c"
    assert HISTORY_CODE_HASH.hex() == "6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d"
    assert (keccak(BEACON_ROOTS_CODE), keccak(HISTORY_CODE)) == (BEACON_ROOTS_CODE_HASH, HISTORY_CODE_HASH)


@pytest.mark.parametrize("name", FORKS)
def test_the_contracts_are_the_executors(name: str) -> None:
    fork = theirs.FORKS[name]
    assert system_contracts(FORKS[name]) == fork.system_contracts
    starts = tuple(call.address for call in fork.block_start_calls)
    assert start_calls(FORKS[name], BOTH) == starts
    # In Cancun a call that is no write is none; later every call is one.
    assert start_calls(FORKS[name], ()) == (starts if FORKS[name].request_contracts else ())
    history = tuple(address for address in (BEACON_ROOTS_ADDRESS,) if FORKS[name].request_contracts)
    assert start_calls(FORKS[name], {HISTORY_ADDRESS}) == (starts if history else ())


class TestWritten:
    def test_absent_or_without_code(self) -> None:
        assert written_contracts(trie_of(), [CANCUN]) == set()
        assert written_contracts(trie_of(beacon=Account(balance=5), history=Account(balance=5)), [PRAGUE]) == set()

    def test_the_codes_of_the_eips(self) -> None:
        trie = trie_of(beacon=BEACON, history=HISTORY)
        assert written_contracts(trie, [CANCUN, CANCUN]) == {BEACON_ROOTS_ADDRESS}
        assert written_contracts(trie, [CANCUN, PRAGUE]) == BOTH
        assert written_contracts(trie, [BPO4]) == BOTH
        assert written_contracts(trie_of(beacon=Account(code_hash=BEACON_ROOTS_CODE_HASH)), [CANCUN])

    def test_other_codes_run(self) -> None:
        """But not in Cancun."""
        other = Account(nonce=1, code_hash=HASH)
        assert written_contracts(trie_of(beacon=other, history=HISTORY), [PRAGUE]) == {HISTORY_ADDRESS}
        assert written_contracts(trie_of(beacon=BEACON, history=other), [PRAGUE, OSAKA]) == {BEACON_ROOTS_ADDRESS}
        # The codes exchanged are others.
        assert written_contracts(trie_of(beacon=HISTORY, history=BEACON), [PRAGUE]) == set()
        for forks in ([CANCUN], [CANCUN, PRAGUE]):
            with pytest.raises(Invalid, match="another contract than that of EIP-4788"):
                written_contracts(trie_of(beacon=other), forks)

    def test_an_empty_account_is_refused_in_cancun(self) -> None:
        with pytest.raises(Invalid, match="stands at its address"):
            written_contracts(trie_of(beacon=Account(storage_root=HASH)), [CANCUN])

    def test_both_must_be_shown(self) -> None:
        many = {bytes([n]) * 20: Account(balance=1) for n in range(40)}
        tree = state_trie(many | {BEACON_ROOTS_ADDRESS: BEACON, HISTORY_ADDRESS: HISTORY})
        for address, other in ((BEACON_ROOTS_ADDRESS, HISTORY_ADDRESS), (HISTORY_ADDRESS, BEACON_ROOTS_ADDRESS)):
            trie = StateTrie(tree.root_hash, paths(tree, address))
            with pytest.raises(Invalid, match="does not show"):
                written_contracts(trie, [CANCUN, PRAGUE] if other == HISTORY_ADDRESS else [PRAGUE])

    def test_without_blocks_nothing_is_asked(self) -> None:
        assert written_contracts(StateTrie(HASH, []), []) == set()


#: Two blocks: of the operations 0 to 3, and 4 to 8.
OPERATIONS = Operations((0, 4, 9), np.zeros((10, 8), dtype=np.uint32), np.arange(9))
DELEGATION = bytes.fromhex("ef0100") + SENDERS[0]
CODE = b"\x60\x00"


class TestCodes:
    """Code that is written to the address of a system contract."""

    @staticmethod
    def check(
        address: bytes,
        code: bytes,
        scope: int,
        forks: Sequence[Fork],
        written: Sequence[bytes] = (),
        before: Account | None = None,
    ) -> None:
        tree = state_trie({address: before} if before else {})
        trie = StateTrie(tree.root_hash, paths(tree, address) if before else [])
        codes = sorted([CODE, DELEGATION], key=keccak)
        keys = [(int(LeafKind.ACCOUNT), address, 0)]
        keys += [(int(LeafKind.CODE), bytes(20), int.from_bytes(keccak(shown), "big")) for shown in codes]
        made = CodeWrites(
            scope=np.array([scope], dtype=np.uint32),
            leaf=np.zeros(1, dtype=np.uint32),
            code_hash=words_from_ints([int.from_bytes(keccak(code), "big")]),
        )
        segments = [SegmentRecord(0, 9, 17, Writes.from_bytes(b""), b"", made)]
        check_system_codes(segments, OPERATIONS, BatchState(trie, keys, codes, {}), forks, written, codes)

    @pytest.mark.parametrize("scope", [0, 4])
    @pytest.mark.parametrize("address", [BEACON_ROOTS_ADDRESS, HISTORY_ADDRESS])
    def test_where_calls_are_writes_the_code_stays(self, address: bytes, scope: int) -> None:
        with pytest.raises(Invalid, match=f"segment 0 writes a code to the system contract 0x{address.hex()}"):
            self.check(address, CODE, scope, [PRAGUE, PRAGUE], [address])
        self.check(address, CODE, scope, [PRAGUE, PRAGUE], sorted(BOTH - {address}))

    def test_no_contract_of_the_beacon_roots_appears_in_cancun(self) -> None:
        """Its blocks would have to call it, and have no such operation."""
        for scope, forks in ((0, [CANCUN, CANCUN]), (4, [CANCUN, CANCUN]), (0, [CANCUN, PRAGUE])):
            with pytest.raises(Invalid, match="writes a code to the system contract"):
                self.check(BEACON_ROOTS_ADDRESS, CODE, scope, forks)
        self.check(BEACON_ROOTS_ADDRESS, CODE, 4, [CANCUN, PRAGUE])

    @pytest.mark.parametrize("address", [HISTORY_ADDRESS, WITHDRAWALS, CONSOLIDATIONS])
    def test_contracts_of_prague_may_appear_before_it(self, address: bytes) -> None:
        """Blocks of Cancun do not call them, later ones run what they find."""
        for scope in (0, 4):
            self.check(address, CODE, scope, [CANCUN, PRAGUE])
            self.check(address, CODE, scope, [OSAKA, OSAKA])

    def test_other_accounts_do_not_matter(self) -> None:
        self.check(SENDERS[0], CODE, 0, [CANCUN, CANCUN], sorted(BOTH))
        self.check(SENDERS[0], DELEGATION, 0, [PRAGUE, PRAGUE], sorted(BOTH))

    @pytest.mark.parametrize("address", [HISTORY_ADDRESS, BEACON_ROOTS_ADDRESS, WITHDRAWALS, CONSOLIDATIONS])
    def test_none_delegates(self, address: bytes) -> None:
        for scope in (0, 4):
            with pytest.raises(Invalid, match=r"segment 0 makes the system contract .* delegate"):
                self.check(address, DELEGATION, scope, [PRAGUE, PRAGUE])
        before = Account(nonce=1, code_hash=keccak(DELEGATION))
        with pytest.raises(Invalid, match=r"the system contract .* delegates"):
            self.check(address, CODE, 0, [PRAGUE, PRAGUE], before=before)


def test_what_a_delegation_is() -> None:
    assert is_delegation(DELEGATION)
    for code in (DELEGATION[:-1], DELEGATION + b"\0", b"\xef\x01\x01" + SENDERS[0], b"", CODE):
        assert not is_delegation(code)
