"""The statement's digest and commitments."""

from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from verifier.statement import BatchStatement, lists_commitment

STATEMENT = BatchStatement(
    chain_id=1,
    fork="cancun",
    pre_state_root=b"\x01" * 32,
    post_state_root=b"\x02" * 32,
    first_block_number=3,
    first_block_hash=b"\x04" * 32,
    last_block_number=5,
    last_block_hash=b"\x06" * 32,
    transactions_commitment=b"\x07" * 32,
    receipts_commitment=b"\x08" * 32,
    gas_used=9,
)


def test_digest_is_the_hash_of_the_abi_encoding() -> None:
    """The contract ABI by hand: eleven words, the second one the offset of the string behind them."""
    heads = [1, 11 * 32, b"\x01" * 32, b"\x02" * 32, 3, b"\x04" * 32, 5, b"\x06" * 32, b"\x07" * 32, b"\x08" * 32, 9]
    encoding = b"".join(head if isinstance(head, bytes) else head.to_bytes(32, "big") for head in heads)
    encoding += (6).to_bytes(32, "big") + b"cancun".ljust(32, b"\0")
    assert STATEMENT.digest == keccak(encoding)


def test_digest_known_answer() -> None:
    assert STATEMENT.digest.hex() == "7c272683f52471636d0882c12cb49f6cf2aeb65bd9890da19a2a3fc500d75303"


@pytest.mark.parametrize("name", BatchStatement.__slots__)
def test_digest_depends_on_every_field(name: str) -> None:
    value = getattr(STATEMENT, name)
    other = b"\xff" * 32 if isinstance(value, bytes) else value + ("x" if isinstance(value, str) else 1)
    assert replace(STATEMENT, **{name: other}).digest != STATEMENT.digest


def test_commitment_depends_on_the_division_into_blocks() -> None:
    assert lists_commitment([]) == keccak(b"\xc0")
    assert lists_commitment([[b"\x01"], []]) == keccak(bytes.fromhex("c3c101c0"))
    divisions = [[[b"a", b"b"]], [[b"a"], [b"b"]], [[b"a", b"b"], []], [[b"ab"]]]
    assert len({lists_commitment(division) for division in divisions}) == len(divisions)


def test_dictionary_is_readable() -> None:
    document = STATEMENT.to_dict()
    assert list(document) == list(BatchStatement.__slots__)
    assert document["pre_state_root"] == "0x" + "01" * 32
    assert document["gas_used"] == 9
