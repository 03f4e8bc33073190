"""Withdrawals: decoding, and the root a header holds."""

from typing import Any

import pytest
import rlp
from eth.vm.forks.shanghai.withdrawals import Withdrawal as TheirWithdrawal

from scripts.batches.chain import NEWCOMER, Withdrawn, genesis_header, list_root
from verifier.errors import Invalid
from verifier.withdrawals import Withdrawal, check_withdrawals, decode_withdrawal

GWEI = 10**9
ITEMS: list[Any] = [3, 4, NEWCOMER, 5]


@pytest.mark.parametrize("amount", [0, 1, 2**64 - 1])
def test_decodes_what_py_evm_encodes(amount: int) -> None:
    theirs = TheirWithdrawal(index=2**64 - 1, validator_index=0, address=NEWCOMER, amount=amount)
    assert decode_withdrawal(rlp.encode(theirs)) == Withdrawal(NEWCOMER, amount * GWEI)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([2**64, *ITEMS[1:]], "index"),
        ([ITEMS[0], 2**64, *ITEMS[2:]], "validator"),
        ([*ITEMS[:2], NEWCOMER[1:], 5], "address: 19 bytes"),
        ([*ITEMS[:2], b"", 5], "address: 0 bytes"),
        ([*ITEMS[:3], 2**64], "amount"),
        ([*ITEMS[:3], b"\0\1"], "leading zero"),
        (ITEMS[:3], "amount: missing"),
        ([*ITEMS, b""], "bytes too many"),
        (b"", "a string where a list belongs"),
    ],
)
def test_malformed_ones_are_refused(items: Any, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        decode_withdrawal(rlp.encode(items))
    with pytest.raises(Invalid):
        decode_withdrawal(rlp.encode(items) + b"\0")


class TestCheckWithdrawals:
    paid = tuple(Withdrawn(bytes([n]) * 20, n, n, 7).encode() for n in range(3))
    header = genesis_header(bytes(32), withdrawals_root=list_root(paid))

    def test_the_committed_ones_pass(self) -> None:
        expected = [Withdrawal(bytes([n]) * 20, n * GWEI) for n in range(3)]
        assert check_withdrawals(self.header, self.paid) == expected
        assert check_withdrawals(genesis_header(bytes(32)), []) == []

    @pytest.mark.parametrize(
        "wrong",
        [
            paid[1:],
            paid[:2],
            (*paid, paid[0]),
            paid[::-1],
            (Withdrawn(bytes(20), 1, 0, 7).encode(), *paid[1:]),
            (Withdrawn(bytes(20), 0, 9, 7).encode(), *paid[1:]),
            (Withdrawn(b"\x09" * 20, 0, 0, 7).encode(), *paid[1:]),
            (),
        ],
    )
    def test_others_are_refused(self, wrong: tuple[bytes, ...]) -> None:
        with pytest.raises(Invalid, match="withdrawals root"):
            check_withdrawals(self.header, wrong)

    def test_a_committed_one_that_is_malformed_is_refused(self) -> None:
        junk = (b"\xc0",)
        with pytest.raises(Invalid, match="withdrawal: index: missing"):
            check_withdrawals(genesis_header(bytes(32), withdrawals_root=list_root(junk)), junk)
