"""Gas limits of more than 30 bits: a reserve that steps do not count, from the transaction to the frame and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.gadgets.words import fill_increase, sum_carries
from circuits.batch.execution import MAX_GAS, OUT_OF_MEMORY, Execution
from circuits.component import Component
from circuits.frames import code, frames, push_sites
from circuits.frames.gas import total_carries
from circuits.instructions import control_flow, exceptional, out_of_memory, return_data, stack, storage, system
from circuits.memory import expansion
from circuits.statement import gas_limbs
from circuits.transactions import fees, transaction
from circuits.widths import U64
from executor.forks import CANCUN
from executor.provable import check_provable
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract
from scripts.batches.segment import execution_of
from scripts.batches.transactions import BLOB_HASH
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family
from tests.circuits.lying import FUNCTIONS, RANGES, objections

FAMILY: tuple[Component, ...] = (
    *stack.COMPONENTS,
    *control_flow.COMPONENTS,
    *exceptional.components(CANCUN),
    *return_data.COMPONENTS,
    *out_of_memory.COMPONENTS,
    *system.COMPONENTS,
    *storage.COMPONENTS,
    *expansion.COMPONENTS,
    *frames.COMPONENTS,
    *push_sites.COMPONENTS,
    *transaction.components(CANCUN),
    *code.COMPONENTS,
)

#: The largest gas limit that a block may have (EIP-1985).
LARGEST = 2**63 - 1
LIMITS = (MAX_GAS - 1, MAX_GAS, 2**30, 2**30 + 5, 2**46 + 2**30 - 1, 2**52, LARGEST)

#: No push stands twice in a program: a site that is moved to the place of the other one would be as true there.
SUCCEEDING = "gas 7 1 sstore pop gas stop"
REVERTING = "7 1 sstore gas 0 9 revert"
#: Exceptional halts, whatever gas there is; the last ones access memory beyond 2^48.
HALTING = {
    "invalid": "gas 1 1 sstore invalid",
    "underflow": "gas 1 add add",
    "overflow": "loop: gas @loop jump",
    "jump": "0 jump",
    "return data": "1 0 9 returndatacopy",
    "far offset": f"1 {2**48} mstore",
    "far size": f"{2**48} 7 return",
    "huge offset": f"{2**256 - 1} mload",
    "huge size": f"{2**255} 0 revert",
}
RICH = hex(2**200)


def build(*calls: tuple[str, int, dict[str, Any]]) -> Builder:
    """Calls of programs with these gas limits and other fields, each in a block of its own."""
    building = Builder(gasLimit=LARGEST)
    for wallet in Builder.WALLETS:
        building.alloc(wallet, balance=RICH)
    for number, (source, gas, fields) in enumerate(calls):
        end = b"\xfe" if source.endswith("invalid") else b""
        address = (0xA000 + number).to_bytes(20, "big")
        building.alloc(address, code="0x" + (assemble(source.removesuffix("invalid")) + end).hex())
        price = {} if "maxFeePerGas" in fields else {"gasPrice": 10**9}
        call = call_contract(building, number % 3, address, gas=gas, **price, **fields)
        building.block(call, gasLimit=LARGEST)
    return building


def run(*calls: tuple[str, int, dict[str, Any]]) -> Execution:
    """The execution of such calls, which can be proved."""
    executed = build(*calls).execute()
    check_provable(executed)
    return execution_of(executed)


@cache
def of(source: str, gas: int) -> Execution:
    """The execution of one call with value."""
    return run((source, gas, {"value": 3}))


@cache
def mixed() -> Execution:
    """Every ending with and without a reserve, value that moves and value that comes back, and blobs."""
    blobs: dict[str, Any] = {"type": 3, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 7, "maxFeePerBlobGas": 9}
    blobs["blobVersionedHashes"] = [BLOB_HASH, BLOB_HASH]
    calls = [
        (source, gas, {"value": number})
        for number, source in enumerate((SUCCEEDING, REVERTING, *HALTING.values()))
        for gas in (100_000 if "overflow" not in source else 200_000, 2**40 + 7)
    ]
    return run(*calls, (SUCCEEDING, 2**31, blobs), (REVERTING, 2**50, blobs | {"value": 7}))


def test_limits() -> None:
    """What GAS gives is what is left of all of the gas."""
    execution = run(*((SUCCEEDING, limit, {"value": 1}) for limit in LIMITS))
    assert execution.reserve.tolist() == [max(0, limit - MAX_GAS) for limit in LIMITS]
    assert check_family((*FAMILY, *FUNCTIONS), execution) == []
    gas = execution.result(execution.rows(0x5A))[:, :U64].astype(np.uint64)
    amounts = [sum(int(limb) << (16 * i) for i, limb in enumerate(row)) for row in gas]
    assert amounts[::2] == [limit - 21_000 - 2 for limit in LIMITS]


@pytest.mark.parametrize("limit", [2**30 + 5, 2**52])
def test_plain_transfers(limit: int) -> None:
    building = Builder(gasLimit=LARGEST).alloc(Builder.WALLETS[0], balance=RICH)
    executed = building.block(building.transfer(gas=limit), gasLimit=LARGEST).execute()
    assert check_family((*FAMILY, *FUNCTIONS), execution_of(executed)) == []


def test_every_ending() -> None:
    execution = mixed()
    table = execution.trace.transactions
    halted = list(range(4, 4 + 2 * len(HALTING)))
    assert table.status.tolist() == [1, 1, 0, 0, *[0] * len(halted), 1, 0]
    assert (table.gas_used[halted] == table.gas_limit[halted]).all()
    assert (execution.route == OUT_OF_MEMORY).sum() == 8
    assert check_family((*FAMILY, *FUNCTIONS), execution) == []


def survivors(execution: Execution, rows_per_table: int) -> list[Any]:
    """Mutations that nothing objects to; but a product with no gas is as true at any other price."""
    report = mutate_family([*FAMILY, RANGES], execution, rows_per_table=rows_per_table)
    return [s for s in report.survivors if (s.table, s.description[:5]) != ("gas_product_small", "price")]


def test_mutations() -> None:
    assert survivors(mixed(), 6) == []


@pytest.mark.parametrize("source", [SUCCEEDING, REVERTING, HALTING["invalid"], HALTING["far size"]])
def test_mutations_of_the_largest(source: str) -> None:
    assert survivors(of(source, LARGEST), 4) == []


def test_a_frame_with_a_reserve_that_lacks_gas() -> None:
    """It cannot be proved, neither as what it is nor as another halt."""
    executed = build((f"1 {2**25} mstore", 2**30 + 5, {})).execute()
    execution = execution_of(executed)
    unpaid = "a frame with a reserve does not lack gas"
    assert unpaid in objections(FAMILY, execution, {})

    def other(rows: Any) -> None:
        rows.unpaid[0], rows.halted[0] = 0, 1

    assert "halt" in objections(FAMILY, execution, {"frame": other})

    def denied(rows: Any) -> None:
        rows.reserve_end[0] = 0

    assert "frame_state" in objections(FAMILY, execution, {"frame": denied})

    def never_given(rows: Any) -> None:
        rows.reserve[0] = rows.reserve_end[0] = 0

    assert "message" in objections(FAMILY, execution, {"frame": never_given})

    def vast(rows: Any) -> None:
        rows.vast[0] = 1
        rows.vast_inverse[0] = 0
        rows.unpaid.low[0] = 0

    assert "beyond 2^48" in objections(FAMILY, execution, {"frame": other, "out_of_memory": vast})


@pytest.mark.parametrize("source", ["invalid", "underflow", "jump", "return data", "far offset"])
def test_another_halt_as_lack_of_gas(source: str) -> None:
    def lie(rows: Any) -> None:
        rows.unpaid[0], rows.halted[0] = 1, 0

    found = objections(FAMILY, of(HALTING[source], 2**40), {"frame": lie})
    assert found == {"a frame with a reserve does not lack gas", "halt"}


# Lies in GAS.


def lie_no_reserve(rows: Any) -> None:
    rows.state.reserve[0] = 0
    rows.carry[0] = 0
    rows.value[0] = gas_limbs(rows.gas[:1] - 2)[0]


def lie_twice(rows: Any) -> None:
    rows.value[0] = gas_limbs(amount(rows.value)[:1] + amount(rows.state.reserve)[:1])[0]


def lie_larger_reserve(rows: Any) -> None:
    rows.state.reserve[0, 2] += 1
    rows.value[0, 2] += 1


def lie_lost_carry(rows: Any) -> None:
    """The carries moved up by a limb's worth: no value that is made of limbs."""
    rows.carry[0, 0] = 1
    rows.value[0, 0] = (int(rows.value[0, 0]) - (1 << 16)) % MODULUS
    rows.value[0, 1] += 1


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_no_reserve, "frame_state"),
        (lie_twice, "sum: limb 0"),
        (lie_larger_reserve, "frame_state"),
        (lie_lost_carry, "range16"),
    ],
)
def test_lies_of_gas(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(FAMILY, of(SUCCEEDING, 2**40 + 3 * MAX_GAS), {"gas": lie})


# Lies in the transaction.


def amount(limbs: np.ndarray) -> np.ndarray:
    return (limbs.astype(np.uint64) << np.arange(0, 16 * limbs.shape[1], 16, dtype=np.uint64)).sum(axis=1)


def settle(rows: Any) -> None:
    """Everything that follows from the gas limit, what is counted, the refund counter and what is left of the gas."""
    rows.given.low = (rows.counted.astype(np.int64) - 21_000 * rows.real) & 0xFFFF
    left, kept, earned = (
        rows.gas_left.astype(np.uint64),
        amount(rows.reserve_left),
        rows.refund_counter.astype(np.uint64),
    )
    rows.left.low = left & np.uint64(0xFFFF)
    spent = amount(rows.gas_limit) - left - kept
    rows.spent = gas_limbs(spent)
    rows.spent_carry = total_carries(gas_limbs(spent), gas_limbs(left), rows.reserve_left)
    quotient, remainder = spent // np.uint64(5), spent % np.uint64(5)
    rows.quotient, rows.remainder = gas_limbs(quotient), remainder
    rows.uncapped = gas_limbs(quotient - earned)
    for i, bits in enumerate((16, 32, 48)):
        carry = (np.uint64(5) * (quotient % np.uint64(1 << bits)) + remainder) >> np.uint64(bits)
        rows.quotient_carry[:, i] = carry[:, None] >> np.arange(3, dtype=np.uint64) & np.uint64(1)
    for i, above in enumerate((48, 32, 16, 0)):
        rows.borrow[:, i] = quotient << np.uint64(above) < earned << np.uint64(above)
    refund = np.minimum(earned, quotient)
    rows.back_carry = total_carries(gas_limbs(left), gas_limbs(refund), rows.reserve_left)
    settle_unused(rows, left + refund + kept)


def settle_unused(rows: Any, unused: np.ndarray) -> None:
    """And everything that follows from the gas that is not used."""
    rows.unused = gas_limbs(unused)
    rows.gas_used = gas_limbs(amount(rows.gas_limit) - unused)
    rows.unused_carry = sum_carries(rows.gas_used, rows.unused)
    rows.returned = fees.gas_products(rows.price.after, unused)
    rows.reward = fees.gas_products(rows.tip, amount(rows.gas_used))
    fill_increase(rows.sender_after, rows.sender_ended, rows.returned)
    fill_increase(rows.coinbase_after, rows.coinbase_balance, rows.reward)


def test_settling_is_honest() -> None:
    for source in (SUCCEEDING, REVERTING, HALTING["invalid"]):
        assert objections(FAMILY, of(source, 2**40), {"transaction": settle}) == set()


def _not_large(rows: Any) -> None:
    rows.is_large = 0
    rows.reserve = 0
    rows.reserve_left = 0
    rows.reserve_carry = 0
    rows.counted = rows.gas_limit[:, 0].astype(np.int64) + (rows.gas_limit[:, 1].astype(np.int64) << 16)
    if not rows.runs[0]:
        rows.gas_left = rows.counted - 21_000
    settle(rows)


@pytest.mark.parametrize(
    ("limit", "objection"),
    [
        (2**30, "range16"),
        (2**32 - 1, "range16"),
        (2**32 + 2**20, "a small gas limit[0]"),
        (2**48 + 2**20, "a small gas limit[1]"),
        (2**62 + 2**33 + 2**29, "a small gas limit[0]"),
    ],
)
def test_a_large_limit_that_is_called_small(limit: int, objection: str) -> None:
    building = Builder(gasLimit=LARGEST).alloc(Builder.WALLETS[0], balance=RICH)
    executed = building.block(building.transfer(gas=limit), gasLimit=LARGEST).execute()
    assert objection in objections(FAMILY, execution_of(executed), {"transaction": _not_large})


def test_a_small_limit_that_is_called_large() -> None:
    """The reserve would be below 0, however it is written."""

    def lie(rows: Any) -> None:
        rows.is_large[0] = 1
        rows.counted[0] = MAX_GAS
        rows.reserve[0] = gas_limbs(np.array([2**64 + 100_000 - MAX_GAS], dtype=object).astype(np.uint64))[0]
        rows.reserve_carry[0] = sum_carries(gas_limbs(np.array([MAX_GAS])), rows.reserve[:1])[0]

    assert "reserve: limb 3" in objections(FAMILY, of(SUCCEEDING, 100_000), {"transaction": lie})


def test_a_reserve_that_is_counted_as_well() -> None:
    def lie(rows: Any) -> None:
        rows.counted[0] = MAX_GAS + 1

    assert objections(FAMILY, of(SUCCEEDING, 2**40), {"transaction": lie}) >= {"counted gas", "message"}


def test_a_smaller_reserve() -> None:
    """A unit less of it, given to the frame as well."""

    def lie(rows: Any) -> None:
        rows.reserve[0, 0] -= 1
        rows.reserve_left[0, 0] -= 1

    def frame(rows: Any) -> None:
        rows.reserve[0, 0] -= 1
        rows.reserve_end[0, 0] -= 1

    found = objections(FAMILY, of(REVERTING, 2**40), {"transaction": lie, "frame": frame})
    assert "reserve: limb 0" in found


def lie_kept(rows: Any) -> None:
    """The reserve comes back after an exceptional halt."""
    rows.reserve_left = rows.reserve
    settle(rows)


def lie_kept_in_the_sum(rows: Any) -> None:
    lie_kept(rows)
    rows.reserve_left = 0


def lie_spent(rows: Any) -> None:
    """The reserve is taken although the frame reverted, or succeeded."""
    rows.reserve_left = 0
    settle(rows)


def lie_spent_in_the_sum(rows: Any) -> None:
    lie_spent(rows)
    rows.reserve_left = rows.reserve


def _unused(by: int) -> Callable[[Any], None]:
    def lie(rows: Any) -> None:
        settle_unused(rows, (amount(rows.unused).astype(np.int64) + by).astype(np.uint64))

    return lie


@pytest.mark.parametrize(
    ("source", "lie", "objection"),
    [
        (HALTING["invalid"], lie_kept, "result"),
        (HALTING["huge offset"], lie_kept, "result"),
        (HALTING["invalid"], lie_kept_in_the_sum, "unused gas: limb 0"),
        (REVERTING, lie_spent, "result"),
        (SUCCEEDING, lie_spent, "result"),
        (REVERTING, lie_spent_in_the_sum, "unused gas: limb 0"),
        (REVERTING, _unused(1), "unused gas: limb 0"),
        (SUCCEEDING, _unused(-1), "unused gas: limb 0"),
        (SUCCEEDING, _unused(1 << 48), "unused gas: limb 3"),
        (HALTING["invalid"], _unused(1), "unused gas: limb 0"),
    ],
)
def test_lies_of_the_transaction(source: str, lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(FAMILY, of(source, 2**40 + 12345), {"transaction": lie})


def test_a_halt_without_code() -> None:
    building = Builder(gasLimit=LARGEST).alloc(Builder.WALLETS[0], balance=RICH)
    executed = building.block(building.transfer(gas=2**40), gasLimit=LARGEST).execute()
    found = objections(FAMILY, execution_of(executed), {"transaction": lie_spent})
    assert "the reserve without a frame[0]" in found


def test_a_halt_that_is_a_revert() -> None:
    """Told by the frame as well, which receives another ending from its last step."""

    def frame(rows: Any) -> None:
        rows.halted[0] = 0

    found = objections(FAMILY, of(HALTING["invalid"], 2**40), {"transaction": lie_kept, "frame": frame})
    assert "halt" in found


# Lies about memory that no gas pays for.


@pytest.mark.parametrize("limb", [0, 1, 2])
def test_vast_is_beyond_2_48(limb: int) -> None:
    """Limbs below the fourth do not make an access vast."""
    execution = of(HALTING["far offset"], 2**40)

    def lie(rows: Any) -> None:
        rows.offset[0] = 0
        rows.offset[0, limb] = 0x8000

    assert "beyond 2^48" in objections(FAMILY, execution, {"out_of_memory": lie})


def test_a_vast_access_as_one_that_lacks_gas() -> None:
    execution = of(HALTING["far offset"], 2**40)

    def lie(rows: Any) -> None:
        rows.vast[0] = rows.vast_inverse[0] = 0
        rows.unpaid.low[0] = (int(rows.cost[0]) - int(rows.gas[0]) - 1) & 0xFFFF

    # More gas is counted than the memory up to its limit costs; and the frame, which ends as its halt says, cannot lack
    # any.
    unpaid = "a frame with a reserve does not lack gas"
    assert {"range16", unpaid} <= objections(FAMILY, execution, {"out_of_memory": lie})


def test_the_family_is_complete() -> None:
    """Gas and reserve pass through tables of the family only."""
    traces = dict(zip([c.table.name for c in FAMILY], fill_family(FAMILY, mixed()), strict=True))
    present = {name for name, trace in traces.items() if trace is not None}
    assert present >= {"gas", "stop", "return", "out_of_memory", "exceptional", "invalid_jump", "return_data_bounds"}
    assert present >= {"frame", "transaction", "gas_product_small", "blob_fee"}
