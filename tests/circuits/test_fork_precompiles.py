"""The precompiles that forks after Cancun have: which addresses they are, what they cost, and what a liar may try."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from eth.precompiles.bls12_381 import constants

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.batch.execution import Execution
from circuits.batch.field_calls import FieldCalls
from circuits.batch.precompiles import precompile_numbers, precompile_range
from circuits.component import Answering, Component
from circuits.fields.calls import FieldCallsTable, Instances, components
from circuits.functions import range as range_table
from circuits.functions.buses import RANGE15
from circuits.instructions import accounts
from circuits.programs import bls12_381 as bls
from circuits.programs.precompiles import PRECOMPILES, precompiles_of
from circuits.segment import fill, segment_circuit
from circuits.transactions import set_code, transaction
from executor.forks import CANCUN, CIRCUIT_FORKS, OSAKA, PRAGUE, Fork
from executor.precompiles import P256_GENERATOR, P256_ORDER
from executor.provable import PARTED_PRECOMPILES, PRECOMPILE_NAMES
from executor.trace import Outcome
from scripts.batches.builder import Builder
from scripts.batches.precompiled import bls_g1, bls_g2, element, p256_signature
from scripts.batches.precompiles import words
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import mutate_family
from tests.circuits.lying import RANGES, objections, row_where

G1_ADD, G1_MSM, G2_ADD, G2_MSM, PAIRING, MAP_G1, MAP_G2, P256VERIFY = (*range(0x0B, 0x12), 0x100)

_CALLS, _INSTANCES = FieldCallsTable.name, Instances.name
_RANGE15 = Answering(range_table.RANGE_15, RANGE15, lambda _, asked: range_table.RANGE_15.fill(asked[:, 0]))


def _family(fork: Fork, precompile: int) -> list[Component]:
    """Calls, instances, the machine, prices, and the listing of one precompile."""
    names = ("field_", "part_prices", f"listing_{precompile}_")
    return [c for c in components(fork) if c.table.name.startswith(names)] + [_RANGE15]


def _direct(fork: Fork, *calls: tuple[int, bytes], gas: int = 400_000) -> Execution:
    """Transactions that call precompiles."""
    building = Builder(fork)
    building.block(
        *(
            building.transfer(k % 4, number.to_bytes(20, "big"), 0, data="0x" + data.hex(), gas=gas)
            for k, (number, data) in enumerate(calls)
        )
    )
    return execution_of(building.provable())


def _contract(fork: Fork, source: str, gas: int = 5_000_000) -> Execution:
    building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(source + " stop").hex(), balance=10)
    return execution_of(building.block(call_contract(building, gas=gas)).provable())


def _outcomes(execution: Execution) -> list[bool]:
    """Whether each call of a precompile succeeds."""
    frames = execution.trace.frames
    called = execution.frames[execution.frame_precompile > 0]
    succeeded: list[bool] = (frames.outcome[called] == Outcome.SUCCESS).tolist()
    return succeeded


def _returned(execution: Execution) -> list[bytes]:
    """What each call of a precompile that succeeds returns."""
    trace, rows = execution.trace, execution.frames[(execution.frame_precompile > 0) & execution.frame_success]
    return [trace.bytes_at(trace.frames.output_start[row], trace.frames.output_size[row]) for row in rows]


def _check(execution: Execution) -> None:
    filled = fill(execution)
    circuit = segment_circuit(execution.fork)
    assert not check_circuit(circuit, filled.traces, filled.public_lists, algebra=NATIVE)


# Which precompiles there are.


def test_those_of_a_fork_are_the_first_ones() -> None:
    for fork in CIRCUIT_FORKS.values():
        own = [p.number for p in precompiles_of(fork)]
        assert own == list(PRECOMPILES)[: len(own)]
        names = {c.table.name.split("_")[1] for c in components(fork) if c.table.name.startswith("listing_")}
        assert names == set(map(str, own))
        assert set(precompile_numbers(fork)) <= set(PRECOMPILE_NAMES)
    assert [precompile_range(fork) for fork in (CANCUN, PRAGUE, OSAKA)] == [(10, None), (17, None), (17, 0x100)]
    assert {n: (p.stride, p.gas[0], p.steady_gas) for n, p in PRECOMPILES.items() if p.stride} == PARTED_PRECOMPILES


#: Addresses around those of precompiles, and one whose lowest limb is that of P256VERIFY.
EDGES = (0, 1, 9, 10, 11, 16, 17, 18, 0xFF, 0x100, 0x101, 1 << 16 | 0x100, 1 << 16 | 0x0B)


@pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=CIRCUIT_FORKS)
def test_addresses(fork: Fork) -> None:
    """Warm from the start, called by transactions and by contracts; others are accounts like any."""
    source = " ".join(f"{address} balance {address} extcodesize pop pop" for address in EDGES)
    source += " ".join(f" 0 0 0 0 {address} 10 staticcall pop" for address in EDGES)
    building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(source + " stop").hex())
    calls = [building.transfer(0, address.to_bytes(20, "big"), 1, gas=90_000) for address in EDGES]
    building.block(*calls).block(call_contract(building, gas=500_000))
    execution = execution_of(building.provable())
    own = {number for number in EDGES if number in precompile_numbers(fork)}
    assert set(execution.frame_precompile.tolist()) - {0} == own
    cold = sum(address not in own for address in EDGES)
    used = int(execution.trace.transactions.gas_used[-1])
    rest = _warm_gas(fork)
    assert used == rest + 2_500 * cold
    _check(execution)


@cache
def _warm_gas(fork: Fork) -> int:
    """Gas of the contract's transaction where all accounts are warm by an access list, without what that costs."""
    source = " ".join(f"{address} balance {address} extcodesize pop pop" for address in EDGES)
    source += " ".join(f" 0 0 0 0 {address} 10 staticcall pop" for address in EDGES)
    building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(source + " stop").hex())
    listed = [{"address": "0x" + a.to_bytes(20, "big").hex(), "storageKeys": []} for a in EDGES]
    fees: dict[str, Any] = {"type": 2, "maxFeePerGas": 2000, "maxPriorityFeePerGas": 9, "accessList": listed}
    executed = building.block(call_contract(building, gas=500_000, **fees)).execute()
    assert executed.trace is not None
    return int(executed.trace.transactions.gas_used[-1]) - 2_400 * len(EDGES)


def _to(fork: Fork, address: int) -> Execution:
    building = Builder(fork)
    return execution_of(building.block(building.transfer(0, address.to_bytes(20, "big"), 1, gas=90_000)).execute())


@pytest.mark.parametrize(
    ("fork", "address"), [(CANCUN, 11), (PRAGUE, 18), (PRAGUE, 0x100), (OSAKA, 0xFF), (OSAKA, 0x101)]
)
def test_a_transaction_to_what_is_no_precompile(fork: Fork, address: int) -> None:
    def lie(rows: Any) -> None:
        rows.precompiled[0] = 1

    assert "range16" in objections(
        (*set_code.components(fork), *transaction.components(fork)),
        _to(fork, address),
        {"transaction": lie},
        follows=True,
    )


@pytest.mark.parametrize(("fork", "address"), [(CANCUN, 10), (PRAGUE, 17), (OSAKA, 17), (OSAKA, 0x100)])
def test_a_transaction_to_a_precompile(fork: Fork, address: int) -> None:
    """It is said to be an account like any, and P256VERIFY to be another precompile as well."""

    def lie(rows: Any) -> None:
        rows.precompiled[0] = 0

    found = objections(
        (*set_code.components(fork), *transaction.components(fork)),
        _to(fork, address),
        {"transaction": lie},
        follows=True,
    )
    assert ("the lone precompile is one" if address == 0x100 else "range16") in found
    if address != 0x100:
        return

    def near(rows: Any) -> None:
        rows.lone.zero[0], rows.lone.inverse[0] = 0, 1

    def neither(rows: Any) -> None:
        near(rows)
        lie(rows)

    for other in (near, neither):
        found = objections(
            (*set_code.components(fork), *transaction.components(fork)),
            _to(fork, address),
            {"transaction": other},
            follows=True,
        )
        assert "lone: value * inverse = 1 - zero" in found


@pytest.mark.parametrize(("fork", "address"), [(PRAGUE, 0x100), (OSAKA, 0x101)])
def test_a_cold_account_that_is_no_precompile(fork: Fork, address: int) -> None:
    execution = _contract(fork, f"{address} balance pop 17 balance pop")
    family = accounts.components(fork)
    assert objections(family, execution, {}) == set()

    def lie(rows: Any) -> None:
        row = row_where(rows.coldness.cold)
        rows.coldness.cold[row] = 0
        rows.coldness.low.zero[row], rows.coldness.low.inverse[row] = 1, 0
        rows.charge.margin[row] = (int(rows.gas[row]) - 100) & 0xFFFF

    assert "low limb: value * zero = 0" in objections(family, execution, {"account_query": lie}, follows=True)

    def warm(rows: Any) -> None:
        row = row_where(rows.coldness.cold == 0)
        rows.coldness.cold[row] = 1
        rows.coldness.low.zero[row], rows.coldness.low.inverse[row] = 0, 1
        rows.charge.margin[row] = (int(rows.gas[row]) - 2_600) & 0xFFFF

    assert "low limb: value * inverse = 1 - zero" in objections(
        family, execution, {"account_query": warm}, follows=True
    )


# What they answer.


def test_sums_and_maps() -> None:
    """Of BLS12-381, by the quick programs; those that fail, and inputs of other lengths."""
    calls = [
        (G1_ADD, bls_g1(1) + bls_g1(2)),
        (G1_ADD, bls_g1(1) + bytes(128)),
        (G1_ADD, element(1) * 4),
        (G1_ADD, element(bls.P) + bytes(192)),
        (G1_ADD, b""),
        (G1_ADD, bytes(255)),
        (G1_ADD, bytes(257)),
        (G2_ADD, bls_g2(1) + bls_g2(4)),
        (G2_ADD, bytes(512)),
        (G2_ADD, element(1) * 8),
        (G2_ADD, bytes(256)),
        (G1_MSM, b""),
        (G1_MSM, bytes(160)),
        (G1_MSM, bytes(159)),
        (G2_MSM, bytes(289)),
        (PAIRING, b""),
        (MAP_G1, element(bls.P)),
        (MAP_G1, bytes(65)),
        (MAP_G2, bytes(64)),
    ]
    execution = _direct(PRAGUE, *calls)
    assert _outcomes(execution) == [True, True, *[False] * 5, True, True, *[False] * 3, True, *[False] * 6]
    answers = [bls_g1(3), bls_g1(1), bls_g2(5), bytes(256), bytes(128)]
    assert _returned(execution) == answers
    _check(execution)


@pytest.mark.deep
def test_multiples_pairings_and_maps() -> None:
    calls = [
        (G1_MSM, bls_g1(1) + words(3) + bls_g1(2) + words(5)),
        (G1_MSM, bls_g1(7) + words(bls.R) + bytes(160)),
        (G2_MSM, bls_g2(1) + words(3)),
        (G2_MSM, bls_g2(2) + words(1) + element(1) * 4 + words(0)),
        (PAIRING, bls_g1(1) + bls_g2(6) + bls_g1(bls.R - 2) + bls_g2(3)),
        (PAIRING, bls_g1(1) + bls_g2(2)),
        (PAIRING, bytes(384) * 2),
        (MAP_G1, element(5)),
        (MAP_G2, element(5) + element(6)),
    ]
    execution = _direct(OSAKA, *calls)
    assert _outcomes(execution) == [True, True, True, False, *[True] * 5]
    assert _returned(execution)[:6] == [bls_g1(13), bytes(128), bls_g2(3), words(1), words(0), words(1)]
    _check(execution)


def test_signatures() -> None:
    """P256VERIFY: what is valid, what is not, and other lengths; with the gas for it and without."""
    valid = p256_signature(5, b"\x21" * 32)
    others = (valid[:-1] + bytes([valid[-1] ^ 1]), bytes(160), valid[:-1], valid + b"\0", b"", bytes(5_000))
    execution = _direct(OSAKA, *((P256VERIFY, data) for data in (valid, *others)))
    assert _outcomes(execution) == [True] * 7
    assert _returned(execution) == [words(1), *[b""] * 6]
    assert [i.variant.program.number for i in FieldCalls.of(execution).instances] == [90, 98, 93]
    _check(execution)
    source = "".join(
        f"0 0 {size} 0 {P256VERIFY} {gas} staticcall pop " for size in (160, 161, 0) for gas in (6_900, 6_899)
    )
    execution = _contract(OSAKA, source)
    assert _outcomes(execution) == [True, False] * 3
    _check(execution)
    # There is no such precompile before: a call of an account without code.
    before = _direct(PRAGUE, (P256VERIFY, valid))
    assert _outcomes(before) == []
    _check(before)


# What multiples cost.


@pytest.mark.parametrize(
    ("number", "each", "discounts"),
    [
        (G1_MSM, constants.BLS12_G1_MSM_GAS, constants.G1_MSM_DISCOUNTS),
        (G2_MSM, constants.BLS12_G2_MSM_GAS, constants.G2_MSM_DISCOUNTS),
    ],
)
def test_prices_of_multiples(number: int, each: int, discounts: list[int]) -> None:
    """Those of EIP-2537, for every number of parts up to the bound: a constant price from the last discount on."""
    precompile = PRECOMPILES[number]
    assert precompile.discounts == tuple(discounts)
    for parts in range(1, 1 << 14):
        price = parts * each * discounts[min(parts, 128) - 1] // 1000
        assert precompile.cost(parts) == price
        assert (precompile.steady_gas * parts == price) >= (parts >= 128)


def _msm_calls(number: int, counts: tuple[int, ...]) -> Execution:
    """Multiples of points at infinity, each with just enough gas and with one less."""
    precompile = PRECOMPILES[number]
    source = "".join(
        f"0 0 {parts * precompile.stride} 0 {number} {precompile.cost(parts) - less} staticcall pop "
        for parts in counts
        for less in (0, 1)
    )
    return _contract(PRAGUE, source, 25_000_000)


@pytest.mark.parametrize("number", [G1_MSM, pytest.param(G2_MSM, marks=pytest.mark.deep)])
def test_multiples_with_just_enough_gas(number: int) -> None:
    execution = _msm_calls(number, (1, 2, 3, 127, 128, 129, 200))
    assert _outcomes(execution) == [True, False] * 7
    _check(execution)


@cache
def _priced() -> Execution:
    """Calls that are not paid: no program runs. 1, 2, 128, 129 parts, none, and a rest."""
    sizes = (160, 320, 128 * 160, 129 * 160, 0, 161)
    return _contract(PRAGUE, "".join(f"0 0 {size} 0 {G1_MSM} 100 staticcall pop " for size in sizes))


def _price_objections(lie: Any) -> set[str]:
    return objections(_family(PRAGUE, G1_MSM), _priced(), {_CALLS: lie}, follows=True)


def _recharge(rows: Any, row: int, cost: int) -> None:
    rows.cost[row] = cost
    rows.charge.margin[row] = (cost - int(rows.gas[row]) - 1) & 0xFFFF


def test_honest_prices() -> None:
    assert objections(_family(PRAGUE, G1_MSM), _priced(), {}) == set()


@pytest.mark.parametrize(("row", "parts"), [(0, 2), (1, 128), (2, 127), (1, 1)])
def test_another_discount(row: int, parts: int) -> None:
    """That of another number of parts."""
    precompile = PRECOMPILES[G1_MSM]

    def lie(rows: Any) -> None:
        extra = precompile.cost(parts) - parts * precompile.steady_gas
        rows.extra[row] = extra
        _recharge(rows, row, int(rows.whole_parts[row]) * precompile.steady_gas + extra)

    assert _price_objections(lie) == {"part_price"}


def test_a_discount_that_is_none() -> None:
    """Few parts at the price of many, and many parts at the price of few; a price beyond the steady one."""
    precompile = PRECOMPILES[G1_MSM]

    def many(rows: Any) -> None:
        rows.discounted[1], rows.extra[1] = 0, 0
        _recharge(rows, 1, 2 * precompile.steady_gas)

    assert _price_objections(many) == {"range16"}

    def few(rows: Any) -> None:
        rows.discounted[3] = 1

    assert _price_objections(few) == {"part_price"}

    def more(rows: Any) -> None:
        rows.extra[3] = 5
        _recharge(rows, 3, int(rows.cost[3]) + 5)

    assert "nothing beyond" in _price_objections(more)

    def wrong(rows: Any) -> None:
        rows.discounted[5] = 1

    assert "no other price has a discount" in _price_objections(wrong)


def test_an_input_of_nothing_is_no_right_one() -> None:
    """A sum of no multiples."""

    def lie(rows: Any) -> None:
        rows.right.zero[4], rows.right.inverse[4] = 1, 0
        rows.charge.fails[4], rows.charge.margin[4], rows.runs[4] = 0, int(rows.gas[4]), 1

    assert "right size: value * zero = 0" in _price_objections(lie)


# Other lengths.


@cache
def _signed() -> Execution:
    source = "".join(
        f"0 0 {size} 0 {P256VERIFY} {gas} staticcall pop " for size in (160, 161) for gas in (6_899, 6_900)
    )
    return _contract(OSAKA, source)


def _signature_objections(lie: Any) -> set[str]:
    return objections(_family(OSAKA, P256VERIFY), _signed(), {_CALLS: lie}, follows=True)


def test_honest_lengths() -> None:
    assert objections(_family(OSAKA, P256VERIFY), _signed(), {}) == set()


def test_another_length_that_fails() -> None:
    """A call with another length is said not to be lenient: what it leaves and how it ends follow from `passes`."""

    def fails(rows: Any) -> None:
        rows.passes[3] = 0

    assert "passes" in _signature_objections(fails)

    def unpaid(rows: Any) -> None:
        rows.passes[2] = 1

    assert "passes" in _signature_objections(unpaid)


def test_another_length_that_is_right() -> None:
    def lie(rows: Any) -> None:
        rows.right.zero[3], rows.right.inverse[3], rows.runs[3], rows.passes[3] = 1, 0, 1, 0

    assert "right size: value * zero = 0" in _signature_objections(lie)

    def wrong(rows: Any) -> None:
        row = row_where(rows.runs)
        rows.right.zero[row], rows.right.inverse[row], rows.runs[row], rows.passes[row] = 0, 1, 0, 1
        for name in ("fails", "outputs", "returns"):
            getattr(rows, name)[row] = 0

    assert "right size: value * inverse = 1 - zero" in _signature_objections(wrong)


def test_a_lenient_precompile_is_no_other_one() -> None:
    """A point evaluation of another length is said to be lenient, too."""
    execution = _direct(OSAKA, (10, bytes(5)), gas=100_000)
    assert _outcomes(execution) == [False]

    def lie(rows: Any) -> None:
        rows.passes[0] = 1

    assert "passes" in objections(_family(OSAKA, 10), execution, {_CALLS: lie}, follows=True)


def test_a_signature_that_is_none() -> None:
    """An instance of a program that returns nothing is said to return 1."""
    execution = _direct(
        OSAKA, (P256VERIFY, words(5, 0, 1, *P256_GENERATOR)), (P256VERIFY, words(5, P256_ORDER, 1, 0, 0))
    )
    assert _returned(execution) == [b"", b""]

    def lie(rows: Any) -> None:
        rows.outputs[0], rows.returns[0] = 1, 1

    family = _family(OSAKA, P256VERIFY)
    assert objections(family, execution, {}) == set()
    assert objections(family, execution, {_CALLS: lie, _INSTANCES: lie}, follows=True) == {"program_listed"}


def test_a_failure_turned_into_a_success() -> None:
    execution = _direct(PRAGUE, (G1_ADD, element(1) * 4), (G1_ADD, bytes(256)))
    assert _outcomes(execution) == [False, True]

    def lie(rows: Any) -> None:
        rows.fails[:2] = 1 - rows.fails[:2]

    family = _family(PRAGUE, G1_ADD)
    assert objections(family, execution, {}) == set()
    assert "program_listed" in objections(family, execution, {_CALLS: lie, _INSTANCES: lie}, follows=True)


def test_a_program_of_another_precompile() -> None:
    """A sum of points of G2 cannot be answered by a program for G1."""
    execution = _direct(PRAGUE, (G1_ADD, bytes(256)), (G2_ADD, bytes(512)))

    def lie(rows: Any) -> None:
        for name in ("program", "precompile"):
            cells = getattr(rows, name)
            cells[:2] = cells[:2][::-1].copy()

    listings = [c for c in _family(PRAGUE, G2_ADD) if c.table.name.startswith("listing_")]
    family = [*_family(PRAGUE, G1_ADD)[:-1], *listings, _RANGE15]
    assert objections(family, execution, {}) == set()
    assert {"field_parts", "field_start"} <= objections(family, execution, {_INSTANCES: lie})


def test_the_columns_that_a_fork_adds() -> None:
    layouts = [FieldCallsTable(precompiles_of(fork)).layout for fork in (CANCUN, PRAGUE, OSAKA)]
    widths = np.array([layout.width for layout in layouts])
    flags = [len(precompiles_of(fork)) for fork in (CANCUN, PRAGUE, OSAKA)]
    assert (widths - flags - widths[0] + flags[0]).tolist() == [0, 2, 3]


@cache
def _paid_multiples() -> Execution:
    """One part, many, none, and one that is unpaid; a program answers with failure and with success."""
    counts = ((1, 12_000), (130, 130 * 6_228), (0, 10), (2, 5))
    return _contract(PRAGUE, "".join(f"0 0 {160 * n} 0 {G1_MSM} {gas} staticcall pop " for n, gas in counts))


def test_mutations_of_calls_and_prices() -> None:
    cases = ((PRAGUE, _paid_multiples(), G1_MSM), (PRAGUE, _priced(), G1_MSM), (OSAKA, _signed(), P256VERIFY))
    for fork, execution, precompile in cases:
        family = [c for c in _family(fork, precompile) if c.table.name in (_CALLS, _INSTANCES, "part_prices")]
        report = mutate_family([*family, RANGES], execution, rows_per_table=8)
        assert report.survivors == [], str(report)
