"""Delegations (EIP-7702): which codes stand for the code of another account, and of which.

Such a code is 23 bytes long, of which the first three are 0xef0100 and the others the address. Nothing else is taken
for granted about a code that begins with 0xef (EIP-3541): each row looks its code up. The empty code has no row.

Source: execution-specs `prague/vm/eoa_delegation.py` (is_valid_delegation, get_delegated_code_address).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero
from circuits.air.layout import Layout, TraceView, allocate, bit, byte, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.delegations import DELEGATION_BYTES, MARKER, delegate_of
from circuits.batch.execution import Execution
from circuits.component import Answering, Component
from circuits.frames.buses import CODE, CODE_PART, DELEGATING, DELEGATION
from circuits.frames.code import PART_BYTES, limbs_of_bytes
from circuits.frames.contexts import count_by
from circuits.functions.bitwise_bytes import query_xor
from circuits.limbs import addresses_from_bytes
from circuits.widths import ADDRESS, WORD
from executor.forks import Fork

_CODE = "code bus"
#: Bytes of a row: those of a delegation, and one more for whole pairs, which is 0 as all behind the end of a code.
_BYTES = DELEGATION_BYTES + 1
_MARKER = int.from_bytes(MARKER, "big")


class Columns(Layout):
    """One code per row."""

    real = bit("1 on rows that stand for a code")
    id = element("id of the code", by=_CODE)
    hash = limb("keccak256 of the code", WORD, by=_CODE)
    size = element("bytes of the code", by=_CODE)
    fits = nested(IsZero, "whether the code is as long as a delegation")
    data = byte("the bytes of a code that is; else 0", _BYTES, by="a bitwise_bytes query for each pair")
    xor = byte("exclusive or of each pair of bytes", _BYTES // 2, by="bitwise_bytes bus")
    marked = nested(IsZero, "whether the first three bytes are those of a delegation")
    address = element("the account that it names; 0 for other codes", ADDRESS, by="its bytes")
    asked = element("how often all of this is looked up", by="balance of the delegation bus")
    known = element("how often it is looked up whether it delegates", by="balance of the delegating bus")


class Delegation(Table):
    """Codes, and whether each stands for the code of another account."""

    name = "delegation"
    layout = Columns
    row_order = "every row answers for itself"

    def constraints(self, air: Air) -> None:
        row, real, data = air.row, air.row.real, air.row.data
        air.query(CODE, row.id, row.hash, row.size, count=real)
        IsZero.constrain(air, row.fits, row.size - DELEGATION_BYTES, when=real, name="as long as a delegation")
        fits = row.fits.zero
        for k in range(_BYTES // 2):
            query_xor(air, data[2 * k], data[2 * k + 1], row.xor[k], count=fits)
        cells = (*data, *row.xor)
        air.require_equal(cells, [0] * len(cells), "bytes of other codes", when=1 - fits)
        rest: list[Expression] = [air.constant(0)] * (2 * PART_BYTES - _BYTES)
        air.query(CODE_PART, row.id, 0, limbs_of_bytes(data[:PART_BYTES]), count=fits)
        air.query(CODE_PART, row.id, 1, limbs_of_bytes([*data[PART_BYTES:], *rest]), count=fits)
        # Three bytes: below 2^24.
        marker = data[0] * (1 << 16) + data[1] * (1 << 8) + data[2]
        IsZero.constrain(air, row.marked, marker - _MARKER, when=fits, name="marked")
        delegates = row.marked.zero
        named = limbs_of_bytes(data[len(MARKER) : DELEGATION_BYTES])
        for k in range(ADDRESS):
            air.require(row.address[k] - delegates * named[k], f"the account that it names: limb {k}")
        for asked in (row.asked, row.known):
            air.require((1 - real) * asked, "padding answers nothing")
        air.provide(DELEGATION, row.id, row.hash, row.size, delegates, row.address, multiplicity=row.asked)
        air.provide(DELEGATING, row.hash, delegates, multiplicity=row.known)


def fill(execution: Execution, asked: NDArray[np.uint32], known: NDArray[np.uint32]) -> Matrix | None:
    """The codes that are asked for: on the delegation bus (n, 29), and on the delegating bus (n, 17).

    What is asked falsely is left to unbalance its bus.
    """
    codes, own = execution.trace.codes, execution.codes
    count = len(own)
    if not count or not len(asked) + len(known):
        return None
    contents = [execution.trace.bytes_at(codes.start[row], codes.size[row]) for row in own]
    delegates = [delegate_of(content) for content in contents]
    is_one = np.array([address is not None for address in delegates])
    addresses = addresses_from_bytes([address or bytes(20) for address in delegates])
    hashes, sizes = codes.hash[own], codes.size[own].astype(np.int64)
    truth = np.column_stack([np.arange(count), hashes, sizes, is_one, addresses]).astype(np.int64)
    of_asked = np.minimum(asked[:, 0], count - 1).astype(np.int64)
    of_asked = of_asked[(truth[of_asked] == asked).all(axis=1)]
    ids, _ = execution.codes_of(known[:, :WORD].astype(np.uint16))
    of_known = ids[(truth[ids][:, [*range(1, 1 + WORD), 2 + WORD]] == known).all(axis=1)]
    looked_up = np.unique(np.concatenate([of_asked, of_known]))
    if not len(looked_up):
        return None
    matrix, rows = allocate(Columns, len(looked_up))
    rows.real = 1
    rows.id = looked_up
    rows.hash, rows.size = hashes[looked_up], sizes[looked_up]
    size = sizes[looked_up]
    IsZero.fill(rows.fits, ((size - DELEGATION_BYTES) % MODULUS).astype(np.uint64))
    data = np.zeros((len(looked_up), _BYTES), dtype=np.int64)
    fits = np.flatnonzero(size == DELEGATION_BYTES)
    for place in fits:
        data[place, :DELEGATION_BYTES] = np.frombuffer(contents[looked_up[place]], dtype=np.uint8)
    rows.data, rows.xor = data, data[:, 0::2] ^ data[:, 1::2]
    chosen = rows._matrix[fits]
    if len(fits):
        marker = data[fits, 0] * (1 << 16) + data[fits, 1] * (1 << 8) + data[fits, 2]
        IsZero.fill(TraceView(Columns, chosen).marked, ((marker - _MARKER) % MODULUS).astype(np.uint64))
        rows._matrix[fits] = chosen
    rows.address = addresses[looked_up]
    rows.asked, rows.known = count_by(of_asked, count)[looked_up], count_by(of_known, count)[looked_up]
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The table, where the fork knows delegations."""
    return (Answering(Delegation(), (DELEGATION, DELEGATING), fill),) if fork.sets_codes else ()
