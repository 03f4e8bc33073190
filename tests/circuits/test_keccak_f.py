"""Keccak-f: the permutation, its table, lies about rounds, and a proof."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import zkevm_native
from Crypto.Hash import keccak as reference

from circuits.air.checker import BusFinding, Finding, check_circuit, check_table
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView
from circuits.air.mutation import mutate
from circuits.functions import keccak_f
from circuits.functions.buses import KECCAK_F, LANES
from circuits.functions.keccak_f import Lanes
from scripts.benchmarks.keccak import CallerColumns, connected, random_states, traces

#: The hand-written table of Plonky3's keccak-air.
BASELINE_COLUMNS = 2633


@cache
def _circuit() -> Circuit:
    return connected()


def _states(count: int) -> Lanes:
    """Random states, the first of zeros."""
    states = random_states(count)
    states[0] = 0
    return states


def _traces(count: int) -> tuple[Matrix, Matrix]:
    """An honest caller of `count` permutations, the first of zeros, and the table."""
    caller, table = traces(_states(count))[0]
    return caller, table


def _check(caller: Matrix, table: Matrix) -> list[Finding]:
    return check_circuit(_circuit(), [caller, table], [[], []], algebra=NATIVE)


def _constraints(table: Matrix) -> list[str]:
    return [f.constraint for f in check_table(keccak_f.KeccakF(), table, algebra=NATIVE)]  # type: ignore[union-attr]


def test_permutation_gives_keccak_256() -> None:
    for length in (0, 1, 135):
        data = bytes(range(length))
        block = bytearray(136)
        block[:length] = data
        block[length] ^= 0x01
        block[135] ^= 0x80
        state = np.zeros((1, LANES), dtype=np.uint64)
        state[0, :17] = np.frombuffer(bytes(block), dtype="<u8")
        digest = keccak_f.permute(state)[0, :4].astype("<u8").tobytes()
        assert digest == reference.new(digest_bits=256, data=data).digest()


def test_round_constants_flip_only_the_committed_bits() -> None:
    union = 0
    for constant in keccak_f.ROUND_CONSTANTS:
        union |= constant
    assert union == sum(1 << z for z in keccak_f.IOTA_BITS)


def test_the_table_is_smaller_than_the_hand_written_one() -> None:
    statistics = _circuit().statistics[1]
    assert statistics.columns <= BASELINE_COLUMNS
    assert (statistics.interactions, statistics.degree) == (2, 3)
    assert KECCAK_F.width + 1 <= 128


def test_honest_rows_are_accepted_by_the_independent_checker() -> None:
    assert not check_circuit(_circuit(), list(_traces(2)), [[], []])


def test_rows_in_any_order_are_accepted() -> None:
    caller, table = _traces(5)
    assert not _check(caller, np.random.default_rng(1).permutation(table))


def test_the_same_input_under_two_ids() -> None:
    assert not _check(*traces(np.repeat(_states(2)[1:], 2, axis=0))[0])


def test_swapped_outputs_are_rejected() -> None:
    caller, table = _traces(2)
    rows = TraceView(CallerColumns, caller)
    rows.after = rows.after[::-1].copy()
    assert any(isinstance(f, BusFinding) for f in _check(caller, table))


def test_a_truncated_permutation_is_rejected() -> None:
    caller, table = _traces(1)
    rows = TraceView(keccak_f.Columns, table)
    TraceView(CallerColumns, caller).after = rows.before[23].reshape(-1)
    table[23] = 0
    assert _check(caller, table)
    # Even with its last row relabelled as round 23: that round flips other bits of lane 0.
    rows.high[22], rows.low[22] = [0, 0, 0, 1], [0, 0, 0, 0, 0, 1]
    assert any(name.startswith("after") for name in _constraints(table))


def test_a_permutation_that_starts_late_is_rejected() -> None:
    caller, table = _traces(1)
    TraceView(CallerColumns, caller).before = TraceView(keccak_f.Columns, table).before[1].reshape(-1)
    table[0] = 0
    assert _check(caller, table)


@pytest.mark.parametrize(
    ("flag", "columns"), [("high", [0, 1]), ("low", [0, 1]), ("high", []), ("low", []), ("high", [0, 1, 2, 3])]
)
def test_round_flags_must_name_one_round(flag: str, columns: list[int]) -> None:
    _, table = _traces(1)
    flags = getattr(TraceView(keccak_f.Columns, table), flag)
    flags[0] = 0
    flags[0, columns] = 1
    assert _constraints(table)


def test_a_padding_row_cannot_have_an_id() -> None:
    _, table = _traces(1)
    TraceView(keccak_f.Columns, table).id[24] = 1
    assert _constraints(table) == ["padding has no id"]


def test_other_column_parities_are_rejected() -> None:
    """Flip a parity bit and all that hangs on it, so that the state before the round stays the same."""
    _, table = _traces(2)
    rows = TraceView(keccak_f.Columns, table)
    row, x, z = 30, 2, 17
    rows.parity[row, x, z] ^= 1
    rows.parity_after[row, x, z] ^= 1
    for column, bit_ in ((x + 1, z), (x - 1, z + 1)):
        rows.parity_after[row, column % 5, bit_] ^= 1
        for y in range(5):
            rows.theta[row, column % 5 + 5 * y, bit_] ^= 1
    names = _constraints(table)
    assert f"theta: column [{x}][{z}]" in names
    assert not any(name.startswith(("before", "theta: parity")) for name in names)


def test_a_false_round_is_rejected() -> None:
    _, table = _traces(1)
    rows = TraceView(keccak_f.Columns, table)
    rows.after[3, 7, 1] ^= 1
    assert _constraints(table) == ["after: lane 7, chunk 1"]
    rows.after[3, 7, 1] ^= 1
    rows.before[3, 7, 1] ^= 1
    assert _constraints(table) == ["before: lane 7, chunk 1"]


def test_a_false_bit_before_the_round_constant_is_rejected() -> None:
    _, table = _traces(1)
    rows = TraceView(keccak_f.Columns, table)
    # Round 1 flips bit 1: with its complement the other sign, hence a difference of 2 * 2 in the chunk.
    rows.after[1, 0, 0] = (int(rows.after[1, 0, 0]) + (4 if rows.flipped[1, 1] else -4)) % MODULUS
    rows.flipped[1, 1] ^= 1
    assert _constraints(table) == ["chi: bit 1 of lane 0"]


def test_mutations_are_rejected() -> None:
    report = mutate(_circuit(), list(_traces(2)), [[], []], rows_per_table=3, tables={"keccak_f"})
    assert report.tried["cell"] > 20_000
    assert not report.survivors, report


@cache
def _key() -> zkevm_native.ProvingKey:
    return zkevm_native.keygen(_circuit().export(), 16)


def test_the_engine_proves_honest_rounds() -> None:
    proof, _ = zkevm_native.prove(_key(), list(_traces(5)), [[], []], 1)
    assert zkevm_native.verify(_key().verifying_key(), proof).log_heights == [3, 7]


@pytest.mark.parametrize("column", ["theta", "after", "id"])
def test_the_engine_rejects_false_rounds(column: str) -> None:
    caller, table = _traces(2)
    cells = getattr(TraceView(keccak_f.Columns, table), column)
    cells[(11, *([0] * (cells.ndim - 1)))] ^= 1
    with pytest.raises(zkevm_native.EngineError):
        zkevm_native.verify(_key().verifying_key(), zkevm_native.prove(_key(), [caller, table], [[], []], 1)[0])
