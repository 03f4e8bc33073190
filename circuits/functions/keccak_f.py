"""The permutation Keccak-f[1600] (FIPS 202, section 3): one round per row.

The bits are those of Plonky3's `keccak-air`: column parities before and after theta and the state after theta. The rest
differs. A row does not look at its successor: it receives its state from the `keccak_f` bus and sends the next one, so
the input is not carried along, the round number takes 4 + 6 flags instead of 24, and only the seven bits that a round
constant can flip are committed again. Rows may stand in any order, and padding rows are zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets import one_hot, total
from circuits.air.layout import Layout, TraceView, allocate, bit, element
from circuits.air.table import Air, Table
from circuits.functions.buses import CHUNK_BITS, CHUNKS, KECCAK_F, LANES

Lanes = NDArray[np.uint64]

ROUNDS = 24
LANE_BITS = 64
#: Round number = 6 * high + low, each one-hot.
HIGH, LOW = 4, 6

#: FIPS 202, section 3.2.2: rotation of lane x + 5 y.
ROTATIONS = (0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14)
#: FIPS 202, section 3.2.5.
ROUND_CONSTANTS = (
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
)  # fmt: skip
#: The bits of lane 0 which some round constant flips: 2^j - 1 for j = 0..6.
IOTA_BITS = (0, 1, 3, 7, 15, 31, 63)
#: rho and pi (FIPS 202, sections 3.2.2 and 3.2.3): lane x + 5 y afterwards is lane PI[x + 5 y], rotated, before.
PI = tuple((x + 3 * y) % 5 + 5 * x for y in range(5) for x in range(5))

#: Permutations filled at a time: their lanes and bits (2,240 bytes a row) stay in the cache.
_BLOCK = 64


class Columns(Layout):
    """One round. The first three blocks lie side by side: they are filled from consecutive lanes."""

    parity = bit("column parities C of the state before the round, [x][z]", (5, LANE_BITS))
    parity_after = element("column parities after theta, [x][z]", (5, LANE_BITS), by="exclusive or of parity bits")
    theta = bit("the state after theta, [x + 5 y][z]", (LANES, LANE_BITS))
    flipped = bit("bits IOTA_BITS of lane 0 after chi, before the round constant", len(IOTA_BITS))
    before = element("the state before the round, in chunks", (LANES, CHUNKS), by="bits")
    after = element("the state after the round, in chunks", (LANES, CHUNKS), by="bits")
    high = bit("one-hot: round number divided by 6", HIGH)
    low = bit("one-hot: round number modulo 6", LOW)
    id = element("name of the permutation", by="keccak_f bus: the sender of its input")


class KeccakF(Table):
    """Rounds of Keccak-f as steps on the `keccak_f` bus."""

    name = "keccak_f"
    layout = Columns
    selector = None
    row_order = "each row is a round of its own; the bus alone chains rounds"

    def constraints(self, air: Air) -> None:
        row = air.row
        real = total(row.high)
        one_hot(air, row.low, real, "round modulo 6")
        air.require_bit(real, "round divided by 6: exactly one flag or none")
        air.require((1 - real) * row.id, "padding has no id")
        before = _theta(air, row)
        after = _rho_pi_chi_iota(air, row)
        for lane in range(LANES):
            for chunk in range(CHUNKS):
                air.require(before[lane][chunk] - row.before[lane][chunk], f"before: lane {lane}, chunk {chunk}")
                air.require(after[lane][chunk] - row.after[lane][chunk], f"after: lane {lane}, chunk {chunk}")
        number = total([row.high[i] * (LOW * i) for i in range(1, HIGH)]) + total(
            [row.low[i] * i for i in range(1, LOW)]
        )
        air.receive(KECCAK_F, row.id, number, row.before, count=real)
        air.send(KECCAK_F, row.id, number + 1, row.after, count=real)


def _theta(air: Air, row: Any) -> list[list[Expression]]:
    """Tie the parities to the state after theta; returns the state before theta in chunks.

    For lane (x, y): before = theta ^ D[x] with D[x] = C[x - 1] ^ rot(C[x + 1], 1). A column before has the parity of
    theta's column ^ D (five times, an odd number), so C is its parity exactly when C ^ D is that of theta's column.
    """
    linear: list[list[Expression]] = []
    signs: list[list[Expression]] = []
    for x in range(5):
        d = []
        sign = []
        for z in range(LANE_BITS):
            left, right = row.parity[(x + 4) % 5][z], row.parity[(x + 1) % 5][(z + 63) % LANE_BITS]
            d.append(left + right - left * right * 2)
            sign.append(1 - d[z] * 2)
            # c ^ d = d + c (1 - 2 d) for bits: boolean because c and d are.
            air.require(d[z] + row.parity[x][z] * sign[z] - row.parity_after[x][z], f"theta: parity after [{x}][{z}]")
            # The sum of five bits differs from its parity by 0, 2 or 4.
            excess = total([row.theta[x + 5 * y][z] for y in range(5)]) - row.parity_after[x][z]
            air.require(excess * (excess - 2) * (excess - 4), f"theta: column [{x}][{z}]")
        linear.append([total([d[z] * weight for z, weight in _chunk(k)]) for k in range(CHUNKS)])
        signs.append([sign[z] * weight for k in range(CHUNKS) for z, weight in _chunk(k)])
    return [
        [linear[i % 5][k] + total([row.theta[i][z] * signs[i % 5][z] for z, _ in _chunk(k)]) for k in range(CHUNKS)]
        for i in range(LANES)
    ]


def _rho_pi_chi_iota(air: Air, row: Any) -> list[list[Expression]]:
    """The state after the round in chunks."""

    def rotated(x: int, y: int, z: int) -> Expression:
        source = PI[x % 5 + 5 * y]
        cell: Expression = row.theta[source][(z - ROTATIONS[source]) % LANE_BITS]
        return cell

    after = []
    for lane in range(LANES):
        y, x = divmod(lane, 5)
        chunks = []
        for k in range(CHUNKS):
            twice_linear, products = [], []
            for z, weight in _chunk(k):
                # chi: a ^ (~b & c) = a - m (1 - 2 a) with m = (b - 1) c = -(~b & c); weighted by w and with v = 2 w a:
                # v / 2 - m (w - v). The factor b - 1 is the one of b's boolean constraint, so the node is shared.
                a, b, c = rotated(x, y, z), rotated(x + 1, y, z), rotated(x + 2, y, z)
                v = a * (2 * weight)
                m = (b - 1) * c
                twice_linear.append(v)
                products.append(m * (weight - v))
                if lane == 0 and z in IOTA_BITS:
                    flipped = row.flipped[IOTA_BITS.index(z)]
                    air.require(a - m * (1 - a * 2) - flipped, f"chi: bit {z} of lane 0")
            chunks.append(total(twice_linear) * pow(2, -1, MODULUS) - total(products))
        after.append(chunks)
    for position, (z, flipped) in enumerate(zip(IOTA_BITS, row.flipped, strict=True)):
        k = next(k for k in range(CHUNKS) if z in dict(_chunk(k)))
        # Exclusive or with the round constant's bit r: bit + r (1 - 2 bit), of degree 2 + 1.
        after[0][k] = (
            after[0][k] + _round_constant_bit(row, IOTA_BITS[position]) * (1 - flipped * 2) * dict(_chunk(k))[z]
        )
    return after


def _round_constant_bit(row: Any, z: int) -> Expression:
    """Bit z of the round constant, of degree 2 in the flags; 0 on padding rows."""
    terms = []
    for high in range(HIGH):
        lows = [row.low[i] for i in range(LOW) if ROUND_CONSTANTS[LOW * high + i] >> z & 1]
        if lows:
            terms.append(row.high[high] * total(lows))
    return total(terms)


def _chunk(k: int) -> list[tuple[int, int]]:
    """The bits of a lane in chunk k, with their weights in it."""
    start = sum(CHUNK_BITS[:k])
    return [(start + i, 1 << i) for i in range(CHUNK_BITS[k])]


_ROTATE = np.array(ROTATIONS, dtype=np.uint64)[:, None]
_ROTATE_BACK = (np.uint64(LANE_BITS) - _ROTATE) % np.uint64(LANE_BITS)
_PI = np.array(PI)
_X = np.arange(5)
_CONSTANTS = np.array(ROUND_CONSTANTS, dtype=np.uint64)


def round_steps(state: Lanes, number: int) -> tuple[Lanes, Lanes, Lanes]:
    """One round on a batch of states.

    Args:
        state: (25, n) lanes `uint64`, lane x + 5 y in row x + 5 y.
        number: the round, 0..23.

    Returns:
        Column parities before theta (5, n), the state after theta (25, n), and the state after the round (25, n).
    """
    parity = np.bitwise_xor.reduce(state.reshape(5, 5, -1), axis=0)
    following = parity[(_X + 1) % 5]
    d = parity[(_X + 4) % 5] ^ (following << np.uint64(1) | following >> np.uint64(63))
    theta = (state.reshape(5, 5, -1) ^ d).reshape(LANES, -1)
    b = (theta << _ROTATE | theta >> _ROTATE_BACK)[_PI].reshape(5, 5, -1)
    after = (b ^ (~b[:, (_X + 1) % 5] & b[:, (_X + 2) % 5])).reshape(LANES, -1)
    after[0] ^= _CONSTANTS[number]
    return parity, theta, after


def permute(states: Lanes) -> Lanes:
    """Keccak-f[1600] on a batch of states (n, 25) `uint64`."""
    state = np.ascontiguousarray(states.T)
    for number in range(ROUNDS):
        state = round_steps(state, number)[2]
    return np.ascontiguousarray(state.T)


def chunks(lanes: Lanes) -> NDArray[np.uint32]:
    """Lanes (..., k) as the chunks (..., k, 3) in which they travel."""
    out = np.empty((*lanes.shape, CHUNKS), dtype=np.uint32)
    mask = np.uint64((1 << CHUNK_BITS[0]) - 1)
    out[..., 0] = lanes & mask
    out[..., 1] = lanes >> np.uint64(CHUNK_BITS[0]) & mask
    out[..., 2] = lanes >> np.uint64(CHUNK_BITS[0] + CHUNK_BITS[1])
    return out


def fill(inputs: Lanes, ids: NDArray[np.uint32]) -> Matrix:
    """The table for all permutations.

    Args:
        inputs: (n, 25) lanes `uint64`.
        ids: (n,) distinct names, as sent with the inputs.
    """
    count = len(inputs)
    matrix, _ = allocate(Columns, ROUNDS * count)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        rows = TraceView(Columns, matrix[ROUNDS * start : ROUNDS * stop])
        _fill_block(rows, inputs[start:stop], ids[start:stop])
    return matrix


def _fill_block(rows: Any, inputs: Lanes, ids: NDArray[np.uint32]) -> None:
    count = len(inputs)
    bits = np.empty((count, ROUNDS, 10 + LANES), dtype="<u8")
    states = np.empty((count, ROUNDS + 1, LANES), dtype=np.uint64)
    state = np.ascontiguousarray(inputs.T)
    states[:, 0] = inputs
    for number in range(ROUNDS):
        parity, theta, state = round_steps(state, number)
        bits[:, number, :5] = parity.T
        bits[:, number, 5:10] = np.bitwise_xor.reduce(theta.reshape(5, 5, -1), axis=0).T
        bits[:, number, 10:] = theta.T
        states[:, number + 1] = state.T
    height = count * ROUNDS
    unpacked = np.unpackbits(bits.view(np.uint8).reshape(height, -1), axis=1, bitorder="little")
    rows.parity = unpacked[:, : 5 * LANE_BITS].reshape(height, 5, LANE_BITS)
    rows.parity_after = unpacked[:, 5 * LANE_BITS : 10 * LANE_BITS].reshape(height, 5, LANE_BITS)
    rows.theta = unpacked[:, 10 * LANE_BITS :].reshape(height, LANES, LANE_BITS)
    lane = (states[:, 1:, 0] ^ _CONSTANTS).reshape(height, 1)
    rows.flipped = lane >> np.array(IOTA_BITS, dtype=np.uint64) & np.uint64(1)
    split = chunks(states)
    rows.before = split[:, :-1].reshape(height, LANES, CHUNKS)
    rows.after = split[:, 1:].reshape(height, LANES, CHUNKS)
    rows.high = np.tile(np.repeat(np.eye(HIGH, dtype=np.uint32), LOW, axis=0), (count, 1))
    rows.low = np.tile(np.eye(LOW, dtype=np.uint32), (HIGH * count, 1))
    rows.id = np.repeat(ids, ROUNDS)
