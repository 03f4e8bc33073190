"""The sites of PUSH instructions: what each puts on the stack, and for how much gas.

A site looks up its opcode and its data once, however often it runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import total
from circuits.air.gadgets.words import limb_bytes
from circuits.air.layout import Layout, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.component import Answering
from circuits.frames.buses import INSTRUCTION, PUSH
from circuits.widths import WORD
from executor.opcodes import MAX_PUSH, PUSH0

#: PUSH costs this (cancun/vm/gas.py GAS_BASE), and with data 1 more (GAS_VERY_LOW).
_GAS_BASE = 2

#: Nine of ten sites that run have at most this many bytes of data: small numbers, and places in codes.
SMALL_SITE = 2
#: Nearly all others have at most this many: function selectors.
MEDIUM_SITE = 4

#: Why the place of a PUSH may change.
_ELSEWHERE = "another true statement: of a place with the same bytes, which the instruction bus confirms"


def site_columns(most: int) -> type[Layout]:
    """The layout of push sites with at most this many bytes of data."""

    class SiteColumns(Layout):
        """One PUSH of a code per row; bytes from the least significant, which stands last, on."""

        real = bit("1 on rows that stand for a site")
        code = element("id of the code", by="instruction bus", free=_ELSEWHERE)
        pc = element("place of the instruction", by="instruction bus", free=_ELSEWHERE)
        size = element("bytes of data", by="the sum of active")
        active = bit("1 for every byte of data that there is, the least significant first", most)
        data = byte("the data; 0 where there is none", most, by="instruction bus")
        multiplicity = element("how often the site is looked up", by="balance of the push bus")

    return SiteColumns


class PushSite(Table):
    """PUSH instructions of codes, with their data and their cost."""

    row_order = "rows are looked up"

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.layout = site_columns(most)

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.size - total(row.active), "size")
        for k in range(self.most):
            enabled = row.active[k - 1] if k else row.real
            air.require(row.active[k] * (1 - enabled), f"byte {k} follows byte {k - 1}")
            air.require((1 - row.active[k]) * row.data[k], f"no byte {k}")
        air.query(INSTRUCTION, row.code, row.pc, row.size + PUSH0, 1, count=row.real)
        # The last byte stands at pc + size. The code is padded with zeros: data that it cuts off is there, too.
        for k in range(self.most):
            air.query(INSTRUCTION, row.code, row.pc + row.size - k, row.data[k], 0, count=row.active[k])
        word = [
            row.data[2 * i] + (row.data[2 * i + 1] * 256 if 2 * i + 1 < self.most else 0)
            for i in range((self.most + 1) // 2)
        ]
        word += [air.constant(0)] * (WORD - len(word))
        cost = row.active[0] + _GAS_BASE
        air.provide(PUSH, row.code, row.pc, row.size, cost, word, multiplicity=row.multiplicity)
        air.require((1 - row.real) * row.multiplicity, "padding answers nothing")


SITES_SMALL = PushSite("push_site_small", SMALL_SITE)
SITES_MEDIUM = PushSite("push_site_medium", MEDIUM_SITE)
SITES_LARGE = PushSite("push_site_large", MAX_PUSH)


def _fill_sites(table: PushSite, queries: NDArray[np.uint32], smallest: int) -> Matrix | None:
    """The sites that are asked for, of the table's sizes from the smallest on."""
    size = queries[:, 2]
    queries = queries[(size >= smallest) & (size <= table.most)]
    if not len(queries):
        return None
    # A code's bytes decide the rest of a true query.
    key = queries[:, 0].astype(np.int64) << 32 | queries[:, 1]
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    sites = queries[first]
    matrix, rows = allocate(table.layout, len(sites))
    rows.real = 1
    rows.code = sites[:, 0]
    rows.pc = sites[:, 1]
    rows.size = sites[:, 2]
    rows.active = np.arange(table.most) < sites[:, 2, None]
    rows.data = limb_bytes(sites[:, 4:])[:, : table.most]
    rows.multiplicity = counts
    return matrix


COMPONENTS = (
    Answering(SITES_SMALL, PUSH, lambda _, queries: _fill_sites(SITES_SMALL, queries, 0)),
    Answering(SITES_MEDIUM, PUSH, lambda _, queries: _fill_sites(SITES_MEDIUM, queries, SMALL_SITE + 1)),
    Answering(SITES_LARGE, PUSH, lambda _, queries: _fill_sites(SITES_LARGE, queries, MEDIUM_SITE + 1)),
)
