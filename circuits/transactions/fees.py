"""Products of gas and prices, and the fees of blobs (EIP-4844): what transactions look up.

Transactions of a segment ask for the same products over and over: a price has one row for each amount of gas. Prices
below 2^80 wei, nearly all, have a table with fewer columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.distinct import distinct_rows
from circuits.air.field import Matrix
from circuits.air.gadgets.words import (
    LIMBS,
    MultiplyWords,
    constrain_decrease,
    constrain_multiply,
    decrease,
    fill_decrease,
    fill_multiply,
)
from circuits.air.layout import RANGE, Layout, TraceView, allocate, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Answering, Component
from circuits.statement import gas_limbs
from circuits.transactions.buses import BLOB_FEE, GAS_PRODUCT
from circuits.widths import U64, WORD
from executor.forks import Fork

#: Blobs of a transaction at most; the schedules of all forks allow a block fewer.
MAX_BLOBS = 1 << 8

#: Limbs of prices in the small table: 80 bits. Times gas, 144 bits, that is a product of 9 limbs.
SMALL_LIMBS = 5


def product_columns(limbs: int) -> type[Layout]:
    """The layout of products with prices of this many limbs."""

    class ProductColumns(Layout):
        """One product per row."""

        multiplicity = element("how often the product is queried", by="balance of the gas_product bus")
        price = limb("price per gas in wei", limbs, by=RANGE)
        gas = limb("gas", U64, by=RANGE)
        multiply = nested(MultiplyWords(U64, limbs), "price * gas")

    return ProductColumns


class GasProduct(Table):
    """Provides price * gas. Padding states 0 * 0 = 0 and needs no selector."""

    selector = None
    row_order = "rows meet others only on the gas_product bus"

    def __init__(self, name: str, limbs: int) -> None:
        self.name = name
        self.limbs = limbs
        self.layout = product_columns(limbs)
        self.product = MultiplyWords(U64, limbs)

    def constraints(self, air: Air) -> None:
        row, always = air.row, air.constant(1)
        constrain_multiply(air, self.product, row.multiply, row.price, row.gas, count=always, name="product")
        product = row.multiply.product
        for k in range(WORD, len(product)):
            air.require(product[k], f"the product fits 256 bits: limb {k}")
        zeros = [air.constant(0)] * WORD
        air.provide(
            GAS_PRODUCT,
            [*row.price, *zeros][:WORD],
            row.gas,
            [*product, *zeros][:WORD],
            multiplicity=row.multiplicity,
        )


SMALL_PRODUCT = GasProduct("gas_product_small", SMALL_LIMBS)
LARGE_PRODUCT = GasProduct("gas_product_large", LIMBS)


def gas_products(price: NDArray[Any], gas: NDArray[Any]) -> NDArray[np.int64]:
    """Products (n, 16) modulo 2^256 of prices (n, 16) and gas (n,)."""
    scratch = np.zeros((len(price), MultiplyWords(U64).width), dtype=np.uint32)
    return fill_multiply(TraceView(MultiplyWords(U64), scratch), price, gas_limbs(gas))[:, :WORD]


def _fill_products(table: GasProduct, asked: NDArray[np.uint32], *, small: bool) -> Matrix | None:
    is_small = ~asked[:, SMALL_LIMBS:WORD].any(axis=1)
    found, counts, _ = distinct_rows(asked[is_small == small][:, : WORD + U64])
    if not len(found):
        return None
    matrix, rows = allocate(table.layout, len(found))
    rows.multiplicity = counts
    rows.price = found[:, : table.limbs]
    gas = found[:, WORD:]
    rows.gas = gas
    fill_multiply(rows.multiply, found[:, : table.limbs], gas)
    return matrix


class BlobColumns(Layout):
    """The fees of a transaction's blobs; transactions that agree in what it depends on share a row."""

    multiplicity = element("how often the row is queried", by="balance of the blob_fee bus")
    blobs = element("number of blobs, at most 2^8", by="blob_fee bus: the transaction's item")
    max_fee = limb("max fee per blob gas in wei", WORD, by="blob_fee bus: the transaction's item")
    base_fee = limb("blob base fee in wei", WORD, by="blob_fee bus: the block")
    margin = nested(decrease(1), "max fee - base fee")
    required = limb("blob gas * max fee", WORD, by="gas_product bus")
    fee = limb("blob gas * base fee", WORD, by="gas_product bus")


class BlobFee(Table):
    """Provides what a transaction's blobs may cost and what they cost. Padding has no blobs and no fees."""

    name = "blob_fee"
    layout = BlobColumns
    selector = None
    row_order = "rows meet others only on buses"

    def __init__(self, gas_per_blob: int) -> None:
        # Multiples of 2^16, and of 2^8 blobs below 2^32: the gas is one limb.
        assert gas_per_blob & 0xFFFF == 0
        assert MAX_BLOBS * gas_per_blob < 1 << 32
        self.gas_per_blob = gas_per_blob

    def constraints(self, air: Air) -> None:
        row = air.row
        constrain_decrease(air, row.margin, row.max_fee, row.base_fee, name="margin")
        gas = [air.constant(0), row.blobs * (self.gas_per_blob >> 16), air.constant(0), air.constant(0)]
        air.query(GAS_PRODUCT, row.max_fee, gas, row.required, count=1)
        air.query(GAS_PRODUCT, row.base_fee, gas, row.fee, count=1)
        air.provide(
            BLOB_FEE, row.blobs, row.max_fee, row.base_fee, row.required, row.fee, multiplicity=row.multiplicity
        )


def _fill_blob_fee(execution: Execution, asked: NDArray[np.uint32]) -> Matrix | None:
    if not len(asked):
        return None
    found, counts, _ = distinct_rows(asked)
    matrix, rows = allocate(BlobColumns, len(found))
    rows.multiplicity = counts
    rows.blobs = found[:, 0]
    rows.max_fee, rows.base_fee, rows.required, rows.fee = (
        found[:, 1 + WORD * k : 1 + WORD * (k + 1)] for k in range(4)
    )
    fill_decrease(rows.margin, found[:, 1 : 1 + WORD], found[:, 1 + WORD : 1 + 2 * WORD])
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of products and of the fees of blobs of a fork."""
    return (
        Answering(BlobFee(fork.blobs.gas_per_blob), BLOB_FEE, _fill_blob_fee),
        Answering(
            SMALL_PRODUCT, GAS_PRODUCT, lambda execution, asked: _fill_products(SMALL_PRODUCT, asked, small=True)
        ),
        Answering(
            LARGE_PRODUCT, GAS_PRODUCT, lambda execution, asked: _fill_products(LARGE_PRODUCT, asked, small=False)
        ),
    )
