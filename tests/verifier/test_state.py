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

from circuits.limbs import words_from_ints, words_to_ints
from tests.verifier.chain import COINBASE, ETHER, NEWCOMER, SENDERS, Chain, Transfer, state_trie
from verifier.errors import Invalid
from verifier.headers import EMPTY_TRIE_ROOT
from verifier.state import (
    BALANCE,
    BEACON_ROOTS_ADDRESS,
    CODE_HASH,
    NONCE,
    BatchState,
    check_beacon_roots,
    check_keys,
    needed_keys,
    ordered_writes,
)
from verifier.transactions import Transaction, decode_transaction
from verifier.tries import EMPTY_CODE_HASH, Account, StateTrie

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
    @settings(max_examples=50)
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
                BatchState(StateTrie(whole.root_hash, rest), [(BALANCE, address) for address in state])

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
            rlp.encode([b"\x11", [b"\x20", b"\1"]]),
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
        trie = StateTrie(whole.root_hash, paths(whole, ABSENT))
        with pytest.raises(Invalid, match="account"):
            trie.read(ABSENT)


def transactions(*transfers: Transfer) -> list[Transaction]:
    return [decode_transaction(transfer.sign(0), 1337) for transfer in transfers]


class TestKeys:
    transfers = transactions(Transfer(0, SENDERS[1]), Transfer(1, NEWCOMER))
    coinbases = (COINBASE, SENDERS[0])

    def test_needed_keys(self) -> None:
        senders, others = SENDERS[:2], [NEWCOMER, COINBASE]
        expected = [(BALANCE, address) for address in sorted([*senders, *others])]
        expected += [(NONCE, address) for address in sorted(senders)]
        expected += [(CODE_HASH, address) for address in sorted([*senders, NEWCOMER])]
        assert needed_keys(self.transfers, self.coinbases) == expected

    def test_leaves_name_the_keys(self) -> None:
        keys = needed_keys(self.transfers, self.coinbases)
        leaves = check_keys(keys, self.transfers, self.coinbases)
        assert [keys[i] for i in leaves.nonce] == [(NONCE, SENDERS[0]), (NONCE, SENDERS[1])]
        assert [keys[i] for i in leaves.balances[1]] == [
            (BALANCE, SENDERS[1]),
            (BALANCE, NEWCOMER),
            (BALANCE, SENDERS[0]),
        ]

    def test_each_missing_or_additional_key_is_refused(self) -> None:
        keys = needed_keys(self.transfers, self.coinbases)
        for number in range(len(keys)):
            for wrong in (
                keys[:number] + keys[number + 1 :],
                keys[:number] + [keys[number]] * 2 + keys[number + 1 :],
                [*keys[:number], keys[number - 1], *keys[number + 1 :]],
            ):
                with pytest.raises(Invalid, match="instead of"):
                    check_keys(wrong, self.transfers, self.coinbases)
        for extra in [(BALANCE, ABSENT), (CODE_HASH, COINBASE), (4, ABSENT), (NONCE, NEWCOMER)]:
            with pytest.raises(Invalid, match="instead of"):
                check_keys(sorted([*keys, extra]), self.transfers, self.coinbases)
        with pytest.raises(Invalid, match="instead of"):
            check_keys(keys[::-1], self.transfers, self.coinbases)

    def test_no_transactions_need_no_keys(self) -> None:
        leaves = check_keys([], [], [])
        assert leaves.nonce.shape == (0,)
        assert leaves.balances.shape == (0, 3)
        with pytest.raises(Invalid, match="1 keys instead of 0"):
            check_keys([(BALANCE, ABSENT)], [], [])


class TestBeaconRoots:
    @staticmethod
    def trie(account: Account | None) -> StateTrie:
        state = {address: Account(balance=1) for address in SENDERS} | (
            {BEACON_ROOTS_ADDRESS: account} if account else {}
        )
        return StateTrie(state_trie(state).root_hash, paths(state_trie(state), BEACON_ROOTS_ADDRESS))

    def test_absent_or_without_code(self) -> None:
        check_beacon_roots(self.trie(None))
        check_beacon_roots(self.trie(Account(balance=5)))

    def test_code_is_refused(self) -> None:
        with pytest.raises(Invalid, match="beacon roots contract"):
            check_beacon_roots(self.trie(Account(nonce=1, code_hash=HASH)))

    def test_an_empty_account_is_refused(self) -> None:
        with pytest.raises(Invalid, match="beacon roots contract"):
            check_beacon_roots(self.trie(Account(storage_root=HASH)))

    def test_it_must_be_shown(self) -> None:
        state = {bytes([n]) * 20: Account(balance=1) for n in range(40)}
        state[BEACON_ROOTS_ADDRESS] = Account(balance=1)
        with pytest.raises(Invalid, match="does not show"):
            check_beacon_roots(StateTrie(state_trie(state).root_hash, paths(state_trie(state), bytes(20))))


class TestBatchState:
    def test_values_before(self) -> None:
        account = Account(nonce=2**64 - 1, balance=2**256 - 1, storage_root=HASH, code_hash=b"\x22" * 32)
        whole = state_trie({ABSENT: account})
        keys = [(kind, address) for kind in (BALANCE, NONCE, CODE_HASH) for address in (ABSENT, NEWCOMER)]
        values = BatchState(StateTrie(whole.root_hash, paths(whole, ABSENT, NEWCOMER)), keys).values
        empty = int.from_bytes(EMPTY_CODE_HASH, "big")
        assert words_to_ints(values) == [2**256 - 1, 0, 2**64 - 1, 0, int.from_bytes(b"\x22" * 32, "big"), empty]

    def test_an_explicit_empty_account_is_refused(self) -> None:
        whole = state_trie({ABSENT: Account(), NEWCOMER: Account(balance=1)})
        with pytest.raises(Invalid, match="empty but present"):
            BatchState(StateTrie(whole.root_hash, paths(whole, ABSENT)), [(BALANCE, ABSENT)])

    def test_the_last_write_wins_and_the_rest_of_the_account_stays(self) -> None:
        account = Account(nonce=7, balance=1, storage_root=HASH, code_hash=b"\x22" * 32)
        whole = state_trie({ABSENT: account})
        keys = [(BALANCE, NEWCOMER), (BALANCE, ABSENT)]
        state = BatchState(StateTrie(whole.root_hash, paths(whole, ABSENT, NEWCOMER)), keys)
        root = state.write(np.array([1, 0, 1, 1]), words_from_ints([5, 6, 7, 8]))
        assert words_to_ints(state.values) == [6, 8]
        assert root == state_trie({ABSENT: replace(account, balance=8), NEWCOMER: Account(balance=6)}).root_hash
        root = state.write(np.array([1]), words_from_ints([9]))
        assert root == state_trie({ABSENT: replace(account, balance=9), NEWCOMER: Account(balance=6)}).root_hash

    def test_writing_nothing_to_an_absent_account_leaves_it_absent(self) -> None:
        whole = state_trie({SENDERS[0]: Account(balance=1)})
        state = BatchState(StateTrie(whole.root_hash, paths(whole, ABSENT)), [(BALANCE, ABSENT)])
        assert state.write(np.array([0]), words_from_ints([0])) == whole.root_hash
        assert state.write(np.array([], dtype=np.int64), words_from_ints([])) == whole.root_hash


def test_ordered_writes_follow_the_transactions(chain: Chain) -> None:
    flat = [decode_transaction(raw, 1337) for body in chain.bodies for raw in body]
    coinbases = [header.coinbase for header, body in zip(chain.headers, chain.bodies, strict=True) for _ in body]
    keys = sorted(chain.keys)
    leaves = check_keys(keys, flat, coinbases)
    order, words = ordered_writes(leaves, chain.columns(), 1, 3)
    expected = []
    for transaction, coinbase, (_, nonce, balances) in list(zip(flat, coinbases, chain.effects, strict=True))[1:3]:
        expected.append(((NONCE, transaction.sender), nonce))
        touched = (transaction.sender, transaction.to, coinbase)
        expected += [((BALANCE, address), balance) for address, balance in zip(touched, balances, strict=True)]
    assert [(keys[leaf], value) for leaf, value in zip(order, words_to_ints(words), strict=True)] == expected
