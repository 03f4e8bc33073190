"""Receipts and the roots of lists, against py-evm."""

import rlp
from eth.db.trie import make_trie_root_and_nodes
from eth.rlp.receipts import Receipt
from eth.vm.forks.london.receipts import LondonReceiptBuilder
from hypothesis import given
from hypothesis import strategies as st

from verifier.headers import EMPTY_TRIE_ROOT
from verifier.receipts import encode_receipts
from verifier.tries import ordered_root

outcomes = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(21000, 2**30 - 1)),
    max_size=20,
)


@given(outcomes)
def test_receipts_are_those_of_py_evm(outcomes: list[tuple[int, int, int]]) -> None:
    types, statuses, gas = zip(*outcomes, strict=True) if outcomes else ((), (), ())
    receipts, cumulative = [], 0
    for kind, status, used in outcomes:
        cumulative += used
        receipt = Receipt(state_root=b"\x01" if status else b"", gas_used=cumulative, bloom=0, logs=())
        receipts.append(LondonReceiptBuilder.typed_receipt_class(kind, receipt) if kind else receipt)
    encoded = encode_receipts(types, statuses, gas)
    assert encoded == [rlp.encode(r) if isinstance(r, Receipt) else r.encode() for r in receipts]
    assert ordered_root(encoded) == make_trie_root_and_nodes(tuple(receipts))[0]


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=200))
def test_the_root_depends_on_content_and_order(items: list[bytes]) -> None:
    root = ordered_root(items)
    assert root != ordered_root([*items, b"\x01"])
    assert root != ordered_root(items[:-1])
    assert (root == ordered_root(items[::-1])) == (items == items[::-1])


def test_the_root_of_no_items() -> None:
    assert ordered_root([]) == EMPTY_TRIE_ROOT
    assert EMPTY_TRIE_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
