"""MODEXP: its price against py-evm's, and the calls that are refused because no table holds them."""

from __future__ import annotations

from typing import Any

import pytest
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565

from executor.errors import UnsupportedFeature
from executor.forks import CANCUN
from executor.modexp import MAX_ROWS, ModexpInput
from executor.provable import MAX_GAS

ADDRESS = (5).to_bytes(20, "big")


def encode(base: int, exponent: int, modulus: int, numbers: bytes = b"") -> bytes:
    """An input of numbers of these lengths."""
    return b"".join(n.to_bytes(32, "big") for n in (base, exponent, modulus)) + numbers


@pytest.mark.parametrize("exponent", [0, 1, 31, 32, 33, 200, 2**20, 2**255])
@pytest.mark.parametrize("modulus", [0, 1, 8, 9, 300, 2**64])
@pytest.mark.parametrize("head", [b"", b"\0" * 31 + b"\1", b"\x80", b"\0\x7f" * 30])
def test_the_price_is_that_of_py_evm(exponent: int, modulus: int, head: bytes) -> None:
    for base in (0, 7, 64):
        data = encode(base, exponent, modulus, b"\5" * base + head)
        assert ModexpInput(data).gas(CANCUN.modexp) == _compute_modexp_gas_fee_eip_2565(data)
        assert ModexpInput(data[:100]).gas(CANCUN.modexp) == _compute_modexp_gas_fee_eip_2565(data[:100])


@pytest.mark.parametrize("size", [0, 31, 95, 96, 97, 130])
def test_what_an_input_lacks_are_zeros(size: int) -> None:
    data = encode(3, 2, 5, bytes(range(1, 11)))
    whole, cut = ModexpInput(data[:size].ljust(200, b"\0")), ModexpInput(data[:size])
    names = ("lengths", "head", "base", "exponent", "modulus")
    assert [getattr(cut, name) for name in names] == [getattr(whole, name) for name in names]
    assert cut.gas(CANCUN.modexp) == whole.gas(CANCUN.modexp)


def _call(builder: Any, data: bytes, gas: int) -> Any:
    """A batch with a transaction that calls it."""
    building = builder(gasLimit=2**40, baseFeePerGas=0)
    call = building.transfer(to=ADDRESS, value=0, gas=gas, gasPrice=0, data="0x" + data.hex())
    return building.block(call, gasLimit=2**40)


@pytest.mark.parametrize(
    ("lengths", "gas", "what"),
    [
        ((1, 1, 2**13 + 1), 2_000_000, "MODEXP with modulus of more than 8192 bytes"),
        ((2**13 + 1, 1, 1), 2_000_000, None),
        ((2**13, 1, 2**13), 2_000_000, None),
        ((1, 2**13, 0), 2_000_000, None),
        ((0, 2**200, 0), 2_000_000, None),
        ((2**19, 0, 1), 2**30, None),
        ((2**14, 0, 2**13), 3_000_000, None),
        ((1, 2**24 + 1, 1), 60_000_000, "MODEXP with exponent of more than 16777216 bytes"),
    ],
)
def test_large_numbers_are_refused(builder: Any, lengths: tuple[int, int, int], gas: int, what: str | None) -> None:
    """Of bases and moduli of zeros: what is not paid and what computes nothing is never too large."""
    building = _call(builder, encode(*lengths), gas)
    if what is None:
        assert building.provable()
        return
    with pytest.raises(UnsupportedFeature) as caught:
        building.provable()
    assert str(caught.value) == f"{what} in block 0, transaction 0"


def test_many_products_are_refused(builder: Any) -> None:
    """More rows than a table has, before any is filled: a number of 8,000 bytes is squared as often as it takes."""
    numbers = b"\5" * 8_000 + b"\xff" * 4 + b"\7" * 8_000
    given = ModexpInput(encode(8_000, 4, 8_000, numbers))
    assert given.gas(CANCUN.modexp) < 11_000_000
    assert max(given.rows) > MAX_ROWS
    with pytest.raises(UnsupportedFeature, match=f"^MODEXP that takes {max(given.rows)} rows of a table, more than"):
        _call(builder, given.data, 20_000_000).provable()


def test_a_price_beyond_the_gas_that_is_counted_is_refused(builder: Any) -> None:
    """Of a frame that has more; one that has not is proved to lack it."""
    dear = encode(1, 2**30, 1)
    assert ModexpInput(dear).gas(CANCUN.modexp) > MAX_GAS
    assert _call(builder, dear, 2**30).provable()
    with pytest.raises(UnsupportedFeature, match=f"^MODEXP for more than {MAX_GAS} gas in block 0, transaction 0$"):
        _call(builder, dear, 2**31).provable()
    assert _call(builder, encode(1, 100, 1), 2**33).provable()
