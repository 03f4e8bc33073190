"""Padding is inert: a row whose selector is 0 takes part in nothing, whatever else it holds."""

from __future__ import annotations

import pytest

from circuits.air.layout import Layout, bit, element
from circuits.air.table import Air, Table
from circuits.fields.listings import Listing
from circuits.fields.prices import Prices
from circuits.frames.buses import HALT
from circuits.segment import segment_circuit
from executor.forks import CANCUN, CIRCUIT_FORKS
from tests.circuits.polynomials import Expander, zeros_of_padding

#: Tables whose every row is a true statement or one that nobody asks for: padding is none.
WITHOUT_SELECTOR = {
    "bitwise_bytes", "blob_fee", "create2_address", "create_address", "gas_product_large", "gas_product_small",
    "keccak", "keccak_f", "multiply", "multiply_full", "multiply_small", "poseidon2", "range15", "range16",
}  # fmt: skip


def speaking(table: Table) -> list[str]:
    """Buses on which a padding row may say or ask something as far as the constraints of the row go."""
    expand = Expander(table, zeros_of_padding(table))
    return [i.bus.name for i in table.air.interactions if expand(i.count)]


def _tables() -> dict[str, Table]:
    """The tables of all circuits, but listings of one only; those that several have once."""
    found: dict[str, Table] = {}
    for fork in CIRCUIT_FORKS.values():
        for table in segment_circuit(fork).tables:
            if table not in found.values() and not (isinstance(table, Listing) and fork != CANCUN):
                found[f"{fork.name}-{table.name}"] = table
    return found


@pytest.mark.parametrize("table", _tables().values(), ids=_tables())
def test_padding_says_nothing(table: Table) -> None:
    if table.selector is None:
        assert table.name in WITHOUT_SELECTOR or isinstance(table, Listing | Prices)
    else:
        assert speaking(table) == []


class _Columns(Layout):
    real = bit("")
    flag = bit("")
    other = bit("")
    size = element("", by="nobody")
    moves = bit("")


class _Talkative(Table):
    name = "talkative"
    layout = _Columns

    def __init__(self, *, guarded: bool) -> None:
        self.guarded = guarded

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.flag + row.other + row.flag * row.other - row.real, "one of two")
        # The size is free where the row is padding.
        air.require((1 - row.moves) * row.size, "moves unless the size is 0")
        if self.guarded:
            air.require((1 - row.real) * row.moves, "padding moves nothing")
        air.send(HALT, 0, 1, 2, 3, 4, row.size, count=row.moves)
        air.receive(HALT, 0, 1, 2, 3, 4, row.size, count=row.flag)


def test_a_flag_that_is_free_on_padding_is_found() -> None:
    assert speaking(_Talkative(guarded=False)) == ["halt"]
    assert speaking(_Talkative(guarded=True)) == []
