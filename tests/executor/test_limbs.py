"""Integers and byte strings as 16-bit limbs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import limbs


@given(st.lists(st.integers(0, 2**256 - 1)))
def test_words_round_trip_and_agree_with_their_bytes(values: list[int]) -> None:
    array = limbs.words_from_ints(values)
    assert array.shape == (len(values), 16)
    assert array.dtype == np.uint16
    assert limbs.words_to_ints(array) == values
    assert np.array_equal(array, limbs.words_from_bytes([value.to_bytes(32, "big") for value in values]))


@given(st.lists(st.binary(min_size=20, max_size=20)))
def test_addresses_round_trip(addresses: list[bytes]) -> None:
    array = limbs.addresses_from_bytes(addresses)
    assert array.shape == (len(addresses), 10)
    assert limbs.addresses_to_bytes(array) == addresses


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_u64_round_trip(values: list[int]) -> None:
    array = limbs.u64_from_ints(values)
    assert array.shape == (len(values), 4)
    assert limbs.u64_to_ints(array) == values


def test_limb_zero_is_the_least_significant() -> None:
    assert limbs.words_from_ints([0x0001_0002]).tolist() == [[2, 1] + [0] * 14]
    address = bytes(range(20))
    assert limbs.addresses_from_bytes([address])[0, 0] == 0x1213
    assert limbs.addresses_from_bytes([address])[0, 9] == 0x0001


@pytest.mark.parametrize("value", [-1, 2**256])
def test_numbers_that_do_not_fit_are_refused(value: int) -> None:
    with pytest.raises(OverflowError):
        limbs.words_from_ints([value])


def test_strings_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        limbs.addresses_from_bytes([bytes(20), bytes(19)])
