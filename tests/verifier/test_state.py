"""The witness, the keys and the replay of writes: honest ones pass, each lie is refused."""

from dataclasses import replace

import numpy as np
import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie
from trie.utils.nibbles import encode_nibbles

from circuits.batch.leaves import LeafKind
from circuits.limbs import u64_from_ints, u64_to_ints, words_from_ints, words_to_ints
from scripts.batches.chain import (
    ACCOUNT,
    BLOCK_HASH,
    CODE,
    CONTRACT,
    ETHER,
    NEWCOMER,
    NO_ADDRESS,
    SENDERS,
    STORAGE,
    TRANSIENT,
    state_trie,
    storage_trie,
)
from verifier.container import StateKey
from verifier.errors import Invalid
from verifier.headers import EMPTY_TRIE_ROOT
from verifier.state import BatchState, check_keys
from verifier.tries import Account, StateTrie

HASH = b"\x11" * 32
ABSENT = b"\x77" * 20

addresses = st.binary(min_size=20, max_size=20)
accounts = st.builds(Account, nonce=st.integers(0, 2**64 - 1), balance=st.integers(1, 2**256 - 1))


def paths(trie: HexaryTrie, *touched: bytes) -> list[bytes]:
    """The nodes on the paths to some accounts."""
    return sorted({rlp.encode(node) for address in touched for node in trie.get_proof(keccak(address))})


class TestAccount:
    @given(accounts)
    def test_encoding_is_inverted(self, account: Account) -> None:
        assert Account.decode(account.encode()) == account

    @pytest.mark.parametrize(
        "items",
        [
            [b"", b"\1", HASH],
            [b"", b"\1", HASH, HASH, b""],
            [b"\0", b"\1", HASH, HASH],
            [b"", b"\0\1", HASH, HASH],
            [b"\1" * 9, b"\1", HASH, HASH],
            [b"", b"\1" * 33, HASH, HASH],
            [b"", b"\1", HASH[1:], HASH],
            [b"", b"\1", HASH, HASH[1:]],
            [b"", b"\1", HASH, [HASH]],
        ],
    )
    def test_malformed_accounts_are_refused(self, items: list[bytes]) -> None:
        with pytest.raises(Invalid):
            Account.decode(rlp.encode(items))

    def test_empty_is_that_of_eip_161(self) -> None:
        assert Account().is_empty
        assert Account(storage_root=HASH).is_empty
        assert not Account(nonce=1).is_empty
        assert not Account(balance=1).is_empty
        assert not Account(code_hash=HASH).is_empty


class TestStateTrie:
    @settings(max_examples=50, deadline=None)
    @given(st.dictionaries(addresses, accounts, min_size=1, max_size=30), st.data())
    def test_reads_and_writes_what_the_witness_shows(self, state: dict[bytes, Account], data: st.DataObject) -> None:
        """Updates and new accounts give the root of a trie built from nothing; what was not touched stays hidden."""
        whole = state_trie(state)
        touched = data.draw(st.lists(st.sampled_from(sorted(state)), unique=True))
        new = data.draw(st.lists(addresses, max_size=5, unique=True))
        trie = StateTrie(whole.root_hash, paths(whole, *touched, *new))
        for address in [*touched, *new]:
            assert trie.read(address) == state.get(address)
            account = data.draw(accounts)
            trie.write(address, account)
            state[address] = account
        assert trie.root == state_trie(state).root_hash

    def test_the_empty_trie(self) -> None:
        trie = StateTrie(EMPTY_TRIE_ROOT, [])
        assert trie.read(ABSENT) is None
        trie.write(ABSENT, Account(balance=1))
        assert trie.root == state_trie({ABSENT: Account(balance=1)}).root_hash

    def test_an_account_that_becomes_empty_is_removed(self) -> None:
        state = {address: Account(balance=1) for address in SENDERS}
        trie = StateTrie(state_trie(state).root_hash, paths(state_trie(state), *SENDERS))
        trie.write(SENDERS[0], Account())
        del state[SENDERS[0]]
        assert trie.root == state_trie(state).root_hash

    def test_every_missing_node_is_noticed(self) -> None:
        state = {bytes([n]) * 20: Account(balance=n + 1) for n in range(40)}
        whole = state_trie(state)
        nodes = paths(whole, *state)
        for missing in nodes:
            rest = [node for node in nodes if node != missing]
            with pytest.raises(Invalid, match=r"not part of the trie|does not show"):
                BatchState(StateTrie(whole.root_hash, rest), [(ACCOUNT, address, 0) for address in state], [], {})

    def test_a_hidden_account_can_be_neither_read_nor_written(self) -> None:
        state = {bytes([n]) * 20: Account(balance=n + 1) for n in range(40)}
        whole = state_trie(state)
        trie = StateTrie(whole.root_hash, paths(whole, bytes(20)))
        hidden = b"\x05" * 20
        with pytest.raises(Invalid, match="does not show account"):
            trie.read(hidden)
        with pytest.raises(Invalid, match="does not show the place"):
            trie.write(hidden, Account(balance=1))

    def test_a_forged_balance_is_no_part_of_the_trie(self) -> None:
        whole = state_trie({address: Account(balance=ETHER) for address in SENDERS})
        nodes = paths(whole, *SENDERS)
        forged = [node.replace(rlp.encode(ETHER), rlp.encode(2 * ETHER)) for node in nodes]
        assert forged != nodes
        with pytest.raises(Invalid, match="not part of the trie"):
            StateTrie(whole.root_hash, forged)

    def test_superfluous_nodes_are_refused(self) -> None:
        whole = state_trie({address: Account(balance=ETHER) for address in SENDERS})
        other = state_trie({address: Account(balance=3) for address in SENDERS})
        with pytest.raises(Invalid, match="1 state nodes are not part"):
            StateTrie(whole.root_hash, [*paths(whole, *SENDERS), paths(other, *SENDERS)[0]])
        nodes = paths(whole, *SENDERS)
        with pytest.raises(Invalid, match="1 state nodes are not part"):
            StateTrie(whole.root_hash, [*nodes, nodes[0]])

    @pytest.mark.parametrize(
        "node",
        [
            b"",
            b"\x80",
            rlp.encode([]),
            rlp.encode([b"\x20"]),
            rlp.encode([b"\x20", b"\1"]) + b"\0",
            rlp.encode([b"", b"\1"]),
            rlp.encode([b"\x40", b"\1"]),
            rlp.encode([b"\x21", HASH * 5]),
            rlp.encode([b"\x01", HASH]),
            rlp.encode([encode_nibbles((1,) * 65), HASH]),
            rlp.encode([b"\x00", HASH]),
            rlp.encode([b"\x11", HASH[1:]]),
            rlp.encode([b"\x00", [b"\x20", b"\1"]]),
            rlp.encode([b"\x11", [b"\x20", b"\1" * 30]]),
            rlp.encode([HASH, HASH, *[b""] * 14]),
            rlp.encode([HASH, HASH, *[b""] * 16]),
            rlp.encode([HASH, *[b""] * 16]),
            rlp.encode([HASH, HASH, *[b""] * 14, b"\1"]),
            rlp.encode([HASH, b"\1", *[b""] * 15]),
            rlp.encode([HASH, HASH, [b"\x20", b"\1"], *[b""] * 14]),
        ],
    )
    def test_malformed_nodes_are_refused(self, node: bytes) -> None:
        with pytest.raises(Invalid, match="state node 0x"):
            StateTrie(keccak(node), [node])

    def test_a_leaf_that_is_no_account_is_refused(self) -> None:
        whole = HexaryTrie({})
        whole.set(keccak(ABSENT), b"\1" * 64)
        with pytest.raises(Invalid, match="account"):
            StateTrie(whole.root_hash, paths(whole, ABSENT))


class TestStorage:
    slots = {slot: 1000 * slot + 1 for slot in range(60)}  # noqa: RUF012

    @staticmethod
    def nodes(trie: HexaryTrie, *slots: int) -> set[bytes]:
        return {rlp.encode(node) for slot in slots for node in trie.get_proof(keccak(slot.to_bytes(32, "big")))}

    def tries(self, *shown: int) -> tuple[HexaryTrie, StateTrie]:
        """The whole trie of the slots, and a state whose witness shows some of them."""
        storage = storage_trie(self.slots)
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash), NEWCOMER: Account(balance=1)})
        return storage, StateTrie(state.root_hash, [*paths(state, CONTRACT), *self.nodes(storage, *shown)])

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_reads_and_writes_what_the_witness_shows(self, data: st.DataObject) -> None:
        """Whatever is written, the root is the one of a trie built from nothing."""
        values = st.dictionaries(st.integers(0, 80), st.integers(0, 2**256 - 1), max_size=30)
        slots = dict(self.slots)
        storage, trie = self.tries(*range(81))
        root = storage.root_hash
        for _ in range(3):
            written = data.draw(values)
            root = trie.write_slots(CONTRACT, root, written)
            slots |= written
            assert root == storage_trie(slots).root_hash
            assert trie.read_slots(CONTRACT, root, range(81)) == [slots.get(slot, 0) for slot in range(81)]

    def test_the_empty_trie(self) -> None:
        trie = StateTrie(EMPTY_TRIE_ROOT, [])
        assert trie.read_slots(ABSENT, EMPTY_TRIE_ROOT, [0, 1]) == [0, 0]
        assert trie.write_slots(ABSENT, EMPTY_TRIE_ROOT, {1: 0}) == EMPTY_TRIE_ROOT
        root = trie.write_slots(ABSENT, EMPTY_TRIE_ROOT, {1: 5})
        assert root == storage_trie({1: 5}).root_hash
        assert trie.write_slots(ABSENT, root, {1: 0}) == EMPTY_TRIE_ROOT

    def test_a_missing_slot_is_noticed(self) -> None:
        storage, trie = self.tries(7)
        assert trie.read_slots(CONTRACT, storage.root_hash, [7]) == [7001]
        with pytest.raises(Invalid, match="does not show slot 0x8 of account 0xcccc"):
            trie.read_slots(CONTRACT, storage.root_hash, [7, 8])
        with pytest.raises(Invalid, match="does not show the place of slot 0x8"):
            trie.write_slots(CONTRACT, storage.root_hash, {7: 1, 8: 1})

    def test_every_missing_node_is_noticed(self) -> None:
        storage = storage_trie(self.slots)
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash)})
        nodes = [*paths(state, CONTRACT), *self.nodes(storage, *self.slots)]
        keys = [(STORAGE, CONTRACT, slot) for slot in self.slots]
        for missing in nodes:
            rest = [node for node in nodes if node != missing]
            with pytest.raises(Invalid, match=r"not part of the trie|does not show"):
                BatchState(StateTrie(state.root_hash, rest), keys, [], {})

    def test_a_sibling_that_a_removal_needs_must_be_shown(self) -> None:
        """Of a branch with two children one is removed: the other one moves up."""
        slots = {0: 1, 1: 2}
        storage = storage_trie(slots)
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash)})
        everything = self.nodes(storage, 0, 1)
        without = self.nodes(storage, 0)
        assert without < everything
        trie = StateTrie(state.root_hash, [*paths(state, CONTRACT), *everything])
        assert trie.write_slots(CONTRACT, storage.root_hash, {0: 0}) == storage_trie({1: 2}).root_hash
        trie = StateTrie(state.root_hash, [*paths(state, CONTRACT), *without])
        with pytest.raises(Invalid, match="does not show the place of slot 0x0"):
            trie.write_slots(CONTRACT, storage.root_hash, {0: 0})

    def test_a_sibling_is_not_needed_where_another_slot_comes(self) -> None:
        """Whatever the order of the slots: removals come last."""
        slots = {0: 1, 1: 2}
        storage = storage_trie(slots)
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash)})
        taken = {keccak(slot.to_bytes(32, "big"))[0] >> 4 for slot in slots}
        assert len(taken) == 2, "a branch at the root"
        new = next(s for s in range(2, 99) if keccak(s.to_bytes(32, "big"))[0] >> 4 not in taken)
        trie = StateTrie(state.root_hash, [*paths(state, CONTRACT), *self.nodes(storage, 0)])
        root = trie.write_slots(CONTRACT, storage.root_hash, {0: 0, new: 5})
        assert root == storage_trie({1: 2, new: 5}).root_hash

    def test_a_forged_value_is_no_part_of_the_trie(self) -> None:
        storage = storage_trie(self.slots)
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash)})
        nodes = [*paths(state, CONTRACT), *self.nodes(storage, 7)]
        forged = [node.replace(rlp.encode(7001), rlp.encode(7002)) for node in nodes]
        assert forged != nodes
        with pytest.raises(Invalid, match="not part of the trie"):
            StateTrie(state.root_hash, forged)

    def test_nodes_of_no_account_are_refused(self) -> None:
        other = storage_trie({1: 2, 3: 4})
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage_trie(self.slots).root_hash)})
        with pytest.raises(Invalid, match="state nodes are not part"):
            StateTrie(state.root_hash, [*paths(state, CONTRACT), *self.nodes(other, 1)])

    def test_a_trie_of_another_account_does_not_do(self) -> None:
        """Its nodes are part of the witness, but its root is not this account's."""
        mine, theirs = storage_trie({1: 2}), storage_trie({1: 3})
        state = state_trie(
            {
                CONTRACT: Account(nonce=1, storage_root=mine.root_hash),
                NEWCOMER: Account(nonce=1, storage_root=theirs.root_hash),
            }
        )
        nodes = [*paths(state, CONTRACT, NEWCOMER), *self.nodes(theirs, 1)]
        keys = [(STORAGE, NEWCOMER, 1)]
        state_values = BatchState(StateTrie(state.root_hash, nodes), keys, [], {}).values
        assert words_to_ints(state_values.value) == [3]
        with pytest.raises(Invalid, match="does not show slot 0x1"):
            BatchState(StateTrie(state.root_hash, nodes), [(STORAGE, CONTRACT, 1)], [], {})

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (b"\x00", "holds a zero"),
            (b"\x80", "holds a zero"),
            (b"\x81\x05", "long form of a single byte"),
            (b"\x82\x00\x05", "leading zero"),
            (b"\xa1" + b"\1" * 33, "slot"),
            (b"\xc0", "a list where a string belongs"),
            (b"\x05\x05", "bytes too many"),
        ],
    )
    def test_values_that_are_no_canonical_integers_are_refused(self, value: bytes, reason: str) -> None:
        storage = HexaryTrie({})
        storage.set(keccak(bytes(32)), value)
        state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash)})
        trie = StateTrie(state.root_hash, [*paths(state, CONTRACT), *self.nodes(storage, 0)])
        with pytest.raises(Invalid, match=reason if value != b"\x00" else "leading zero|holds a zero"):
            trie.read_slots(CONTRACT, storage.root_hash, [0])

    def test_nodes_within_nodes(self) -> None:
        """Slots whose paths have all but the last nibble in common stand in one node; removals take it apart."""
        path = keccak((9).to_bytes(32, "big"))
        neighbours = [path[:-1] + bytes([path[-1] ^ change]) for change in (1, 2)]
        for siblings in (neighbours, neighbours[:1]):
            storage = HexaryTrie({})
            storage.set(path, b"\x07")
            for sibling in siblings:
                storage.set(sibling, b"\x08")
            storage.set(keccak(bytes(32)), b"\x09")
            proofs = [storage.get_proof(path), storage.get_proof(keccak(bytes(32)))]
            nodes = {rlp.encode(node) for proof in proofs for node in proof}
            within = {node for node in nodes if len(node) < 32}
            assert within
            state = state_trie({CONTRACT: Account(nonce=1, storage_root=storage.root_hash)})
            trie = StateTrie(state.root_hash, [*paths(state, CONTRACT), *(nodes - within)])
            assert trie.read_slots(CONTRACT, storage.root_hash, [9, 0, 1]) == [7, 9, 0]
            removed = trie.write_slots(CONTRACT, storage.root_hash, {9: 0})
            written = trie.write_slots(CONTRACT, removed, {9: 2**200})
            del storage[path]
            assert removed == storage.root_hash
            storage.set(path, rlp.encode(2**200))
            assert written == storage.root_hash


CODES = [bytes([n]) * 40 for n in range(1, 4)]
HASHES = {4: b"\x44" * 32, 5: b"\x55" * 32}


def code_key(code: bytes) -> StateKey:
    return CODE, NO_ADDRESS, int.from_bytes(keccak(code), "big")


class TestKeys:
    codes = sorted(CODES, key=keccak)
    keys: list[StateKey] = [  # noqa: RUF012
        (ACCOUNT, b"\1" * 20, 0),
        (ACCOUNT, b"\2" * 20, 0),
        (STORAGE, b"\1" * 20, 0),
        (STORAGE, b"\1" * 20, 2**256 - 1),
        (STORAGE, b"\2" * 20, 7),
        (TRANSIENT, b"\1" * 20, 0),
        *map(code_key, codes),
        (BLOCK_HASH, NO_ADDRESS, 4),
        (BLOCK_HASH, NO_ADDRESS, 5),
    ]

    def refused(self, keys: list[StateKey], reason: str, codes: list[bytes] | None = None) -> None:
        with pytest.raises(Invalid, match=reason):
            check_keys(keys, self.codes if codes is None else codes, HASHES)

    def test_sorted_ones_pass(self) -> None:
        check_keys(self.keys, self.codes, HASHES)
        check_keys([], [], {})

    def test_they_are_sorted_each_once(self) -> None:
        for number in range(1, len(self.keys)):
            before, key = self.keys[number - 1 : number + 1]
            rest = self.keys[number + 1 :]
            self.refused([*self.keys[: number - 1], key, before, *rest], f"leaf {number} is not behind")
            self.refused([*self.keys[: number - 1], before, before, key, *rest], f"leaf {number} is not behind")

    @pytest.mark.parametrize("kind", [0, 6, 255])
    def test_other_kinds_are_refused(self, kind: int) -> None:
        self.refused(sorted([*self.keys, (kind, b"\7" * 20, 0)]), f"of kind {kind}")

    def test_accounts_have_no_slot(self) -> None:
        self.refused([(ACCOUNT, b"\1" * 20, 1), *self.keys[1:]], "leaf 0 is an account with a slot")

    def test_codes_and_block_hashes_have_no_address(self) -> None:
        kind, _, slot = self.keys[6]
        self.refused([*self.keys[:8], (kind, b"\1" * 20, slot), *self.keys[9:]], "leaf 8 is of a kind without address")
        self.refused([*self.keys[:10], (BLOCK_HASH, b"\1" * 20, 5)], "leaf 10 is of a kind without address")

    @pytest.mark.parametrize("number", [0, 3, 6, 2**64, 2**256 - 1])
    def test_hashes_of_unknown_blocks_are_refused(self, number: int) -> None:
        reason = f"hash of block {number}, which the batch does not show"
        self.refused(sorted([*self.keys, (BLOCK_HASH, NO_ADDRESS, number)]), reason)

    def test_codes_have_their_hashes(self) -> None:
        first, second, third = self.codes
        for wrong in (
            [second, first, third],
            [first, second, b"\x09" * 40],
            [first, second, third + b"\0"],
            [first, second, third[:-1]],
            [first, second, b""],
        ):
            self.refused(self.keys, "does not have the hash", wrong)

    def test_there_is_a_code_for_each_leaf(self) -> None:
        self.refused(self.keys, "2 codes for 3 leaves", self.codes[:2])
        self.refused(self.keys, "4 codes for 3 leaves", [*self.codes, b"\x09"])
        self.refused(self.keys[:6], "3 codes for 0 leaves")
        self.refused([*self.keys[:7], *self.keys[8:]], "3 codes for 2 leaves")

    def test_the_empty_code_has_no_leaf(self) -> None:
        self.refused([code_key(b"")], "code of 0 bytes", [b""])


def nonces(*values: int) -> np.ndarray:
    return u64_from_ints(values)


class TestBatchState:
    def test_values_before(self) -> None:
        storage = storage_trie({1: 2**256 - 1, 2: 5})
        account = Account(
            nonce=2**64 - 1, balance=2**256 - 1, storage_root=storage.root_hash, code_hash=keccak(CODES[0])
        )
        whole = state_trie({ABSENT: account})
        keys = sorted(
            [
                (ACCOUNT, ABSENT, 0),
                (ACCOUNT, NEWCOMER, 0),
                (STORAGE, ABSENT, 1),
                (STORAGE, ABSENT, 3),
                (STORAGE, NEWCOMER, 1),
                (TRANSIENT, ABSENT, 1),
                code_key(CODES[0]),
                (BLOCK_HASH, NO_ADDRESS, 5),
            ]
        )
        nodes = {*paths(whole, ABSENT, NEWCOMER), *TestStorage.nodes(storage, 1, 3)}
        state = BatchState(StateTrie(whole.root_hash, sorted(nodes)), keys, CODES[:1], HASHES)
        value = dict(zip(keys, words_to_ints(state.values.value), strict=True))
        assert value[ACCOUNT, ABSENT, 0] == value[STORAGE, ABSENT, 1] == 2**256 - 1
        assert value[ACCOUNT, NEWCOMER, 0] == value[STORAGE, ABSENT, 3] == value[STORAGE, NEWCOMER, 1] == 0
        assert value[TRANSIENT, ABSENT, 1] == value[code_key(CODES[0])] == 0
        assert value[BLOCK_HASH, NO_ADDRESS, 5] == int.from_bytes(HASHES[5], "big")
        assert u64_to_ints(state.values.nonce) == [2**64 - 1, *[0] * 7]
        empty = int.from_bytes(keccak(b""), "big")
        hashes = words_to_ints(state.values.code_hash)
        assert hashes == [int.from_bytes(keccak(CODES[0]), "big"), empty, *[0] * 6]
        assert state.codes.size.tolist() == [40]
        assert state.keys.kind.tolist() == [kind for kind, _, _ in keys]
        assert words_to_ints(state.keys.slot) == [slot for _, _, slot in keys]

    def test_nothing(self) -> None:
        state = BatchState(StateTrie(EMPTY_TRIE_ROOT, []), [], [], {})
        assert len(state.keys) == 0
        assert state.write(np.zeros(0, int), words_from_ints([]), nonces()) == EMPTY_TRIE_ROOT

    @pytest.mark.parametrize("key", [(ACCOUNT, ABSENT, 0), (STORAGE, ABSENT, 7)])
    def test_an_explicit_empty_account_is_refused(self, key: StateKey) -> None:
        whole = state_trie({ABSENT: Account(), NEWCOMER: Account(balance=1)})
        with pytest.raises(Invalid, match="empty but present"):
            BatchState(StateTrie(whole.root_hash, paths(whole, ABSENT)), [key], [], {})

    def test_the_last_write_wins_and_the_rest_of_the_account_stays(self) -> None:
        storage = storage_trie({1: 1, 2: 2})
        account = Account(nonce=7, balance=1, storage_root=storage.root_hash, code_hash=b"\x22" * 32)
        whole = state_trie({ABSENT: account})
        nodes = {*paths(whole, ABSENT, NEWCOMER), *TestStorage.nodes(storage, 1, 2)}
        keys = [(ACCOUNT, ABSENT, 0), (ACCOUNT, NEWCOMER, 0), (STORAGE, ABSENT, 1), (STORAGE, ABSENT, 2)]
        state = BatchState(StateTrie(whole.root_hash, sorted(nodes)), keys, [], {})
        leaves, values = np.array([1, 3, 0, 1, 3, 1]), words_from_ints([5, 9, 6, 7, 0, 8])
        root = state.write(leaves, values, nonces(1, 0, 2, 3, 0, 4))
        assert words_to_ints(state.values.value) == [6, 8, 1, 0]
        assert u64_to_ints(state.values.nonce) == [2, 4, 0, 0]
        changed = replace(account, nonce=2, balance=6, storage_root=storage_trie({1: 1}).root_hash)
        assert root == state_trie({ABSENT: changed, NEWCOMER: Account(nonce=4, balance=8)}).root_hash
        root = state.write(np.array([2]), words_from_ints([2**255]), nonces(0))
        changed = replace(changed, storage_root=storage_trie({1: 2**255}).root_hash)
        assert root == state_trie({ABSENT: changed, NEWCOMER: Account(nonce=4, balance=8)}).root_hash

    def test_accounts_that_disappear_come_last(self) -> None:
        """The sibling of one that disappears is not needed where another account keeps the branch."""
        first, second, *others = sorted([*SENDERS, ABSENT, NEWCOMER, CONTRACT])
        taken = {keccak(address)[0] >> 4 for address in (first, second)}
        assert len(taken) == 2, "a branch at the root"
        new = next(address for address in others if keccak(address)[0] >> 4 not in taken)
        account = Account(balance=3)
        whole = state_trie({first: account, second: account})
        keys = [(ACCOUNT, first, 0), (ACCOUNT, new, 0)]
        state = BatchState(StateTrie(whole.root_hash, paths(whole, first)), keys, [], {})
        root = state.write(np.array([0, 1]), words_from_ints([0, 3]), nonces(0, 0))
        assert root == state_trie({second: account, new: account}).root_hash

    def test_leaves_say_which_accounts_have_storage_alone(self) -> None:
        """Such an account keeps its leaf's mark and its storage when ether comes, and when its nonce counts."""
        alone = Account(balance=3, storage_root=storage_trie({1: 1}).root_hash)
        others = {SENDERS[0]: replace(alone, nonce=1), SENDERS[1]: replace(alone, code_hash=b"\x22" * 32)}
        whole = state_trie({ABSENT: alone, **others})
        addresses = sorted([ABSENT, NEWCOMER, *others])
        nodes = {*paths(whole, *addresses), *TestStorage.nodes(storage_trie({1: 1}), 1)}
        keys = [*((ACCOUNT, address, 0) for address in addresses), (STORAGE, ABSENT, 1)]
        state = BatchState(StateTrie(whole.root_hash, sorted(nodes)), keys, [], {})
        mark = [int(address == ABSENT) for address in addresses] + [0]
        assert state.values.stored.tolist() == mark
        leaf = mark.index(1)
        root = state.write(np.array([leaf]), words_from_ints([4]), nonces(1))
        assert root == state_trie({ABSENT: replace(alone, nonce=1, balance=4), **others}).root_hash
        assert state.values.stored.tolist() == mark

    def test_an_empty_account_with_storage_is_refused(self) -> None:
        whole = state_trie({ABSENT: Account(storage_root=storage_trie({1: 1}).root_hash), NEWCOMER: Account(balance=1)})
        with pytest.raises(Invalid, match="empty but present"):
            BatchState(StateTrie(whole.root_hash, paths(whole, ABSENT)), [(ACCOUNT, ABSENT, 0)], [], {})

    def test_codes_are_written_and_the_rest_of_the_account_stays(self) -> None:
        account = Account(nonce=7, balance=1)
        whole = state_trie({ABSENT: account})
        trie = StateTrie(whole.root_hash, paths(whole, ABSENT, NEWCOMER))
        keys = [(ACCOUNT, ABSENT, 0), (ACCOUNT, NEWCOMER, 0), (STORAGE, NEWCOMER, 1)]
        state = BatchState(trie, keys, [], {})
        codes = (np.array([0, 1, 0]), words_from_ints([5, 6, 7]))
        root = state.write(np.array([1, 2]), words_from_ints([3, 9]), nonces(1, 0), *codes)
        assert words_to_ints(state.values.code_hash[:2]) == [7, 6]
        stored = storage_trie({1: 9}).root_hash
        created = Account(nonce=1, balance=3, storage_root=stored, code_hash=(6).to_bytes(32, "big"))
        changed = replace(account, code_hash=(7).to_bytes(32, "big"))
        assert root == state_trie({ABSENT: changed, NEWCOMER: created}).root_hash
        empty = words_from_ints([int.from_bytes(keccak(b""), "big")])
        root = state.write(np.array([], dtype=np.int64), words_from_ints([]), nonces(), np.array([0]), empty)
        assert root == state_trie({ABSENT: account, NEWCOMER: created}).root_hash

    def test_a_slot_is_written_without_a_leaf_of_its_account(self) -> None:
        account = Account(nonce=1, balance=3)
        whole = state_trie({ABSENT: account})
        trie = StateTrie(whole.root_hash, paths(whole, ABSENT))
        state = BatchState(trie, [(STORAGE, ABSENT, 1)], [], {})
        root = state.write(np.array([0]), words_from_ints([6]), nonces(0))
        assert root == state_trie({ABSENT: replace(account, storage_root=storage_trie({1: 6}).root_hash)}).root_hash

    def test_writing_nothing_to_an_absent_account_leaves_it_absent(self) -> None:
        whole = state_trie({SENDERS[0]: Account(balance=1)})
        trie = StateTrie(whole.root_hash, paths(whole, ABSENT))
        state = BatchState(trie, [(ACCOUNT, ABSENT, 0)], [], {})
        assert state.write(np.array([0]), words_from_ints([0]), nonces(0)) == whole.root_hash
        assert state.write(np.array([], dtype=np.int64), words_from_ints([]), nonces()) == whole.root_hash

    def test_the_kinds_are_those_of_the_circuits(self) -> None:
        assert list(LeafKind) == [ACCOUNT, STORAGE, TRANSIENT, CODE, BLOCK_HASH]
