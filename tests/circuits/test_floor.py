"""The floor of what calldata costs (EIP-7623): who uses it, who does not, and who says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.gadgets.words import sum_carries
from circuits.batch.execution import MAX_GAS, Execution
from circuits.component import Component
from circuits.frames.gas import total_carries
from circuits.instructions import storage
from circuits.segment import fill, segment_circuit
from circuits.state import deletion, state, transfer, undo
from circuits.statement import gas_limbs
from circuits.transactions import access_list, beacon, history, set_code, system_call, transaction, withdrawal
from executor.errors import BatchError
from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from scripts.batches.builder import Builder
from scripts.batches.segment import execution_of
from scripts.batches.set_code import authorization
from scripts.batches.transactions import BLOB_HASH, entry
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import FUNCTIONS, RANGES, objections
from tests.circuits.test_transaction import gas_amount, set_gas_used

TRANSACTION = (*set_code.components(PRAGUE), *transaction.components(PRAGUE))
FAMILY: tuple[Component, ...] = (
    *storage.COMPONENTS,
    *access_list.COMPONENTS,
    *withdrawal.COMPONENTS,
    *transfer.COMPONENTS,
    *undo.COMPONENTS,
    *state.COMPONENTS,
    *deletion.COMPONENTS,
    *beacon.COMPONENTS,
    *history.components(PRAGUE),
    *system_call.components(PRAGUE),
    *TRANSACTION,
)
ONES = "0x" + "01" * 400
FLOOR = 21_000 + 40 * 400
REFUNDED_FLOOR = 21_000 + 40 * 500
GAS_LIMIT = 2**35  # of blocks
TOKEN = PRAGUE.floor_gas_per_token
CLEARING, SPENDING, REVERTING, INVALID = (bytes([0xA0 + number]) * 20 for number in range(4))

#: Rows of `execution()`: what its transactions do.
(
    PLAIN,  # a transfer: the floor is what it uses anyway
    FLOORED,  # calldata and nothing else, its gas limit the floor
    ZEROS,
    REFUNDED,  # above the floor before the refund, below it afterwards
    ABOVE,  # above the floor although it is refunded
    FAILING,
    HALTED,
    CREATING,
    LISTED,  # an access list above the floor
    LARGE,  # a reserve, which comes back
    BLOBS,
) = range(11)


def building(fork: Fork = PRAGUE) -> Builder:
    building = Builder(fork, gasLimit=GAS_LIMIT)
    slots = {hex(slot): "0x1" for slot in range(1, 4)}
    building.alloc(CLEARING, code="0x" + assemble("0 1 sstore 0 2 sstore 0 3 sstore").hex(), storage=slots)
    building.alloc(SPENDING, code="0x" + assemble("0 1 sstore 9 5 sstore 9 6 sstore").hex(), storage=slots)
    building.alloc(REVERTING, code="0x" + assemble("0 0 revert").hex())
    return building.alloc(INVALID, code="0xfe")


@cache
def execution() -> Execution:
    """Calldata of all kinds of transactions, in two blocks."""
    made = building()
    fees: dict[str, Any] = {"maxFeePerGas": 2000, "maxPriorityFeePerGas": 7}
    made.block(
        made.transfer(0),
        made.transfer(1, gas=FLOOR, data=ONES),
        made.transfer(2, gas=60_000, data="0x" + "00" * 333 + "02"),
        made.transfer(0, CLEARING, 0, gas=100_000, data="0x" + "01" * 500),
        made.transfer(1, SPENDING, 0, gas=100_000, data=ONES, **fees),
        made.transfer(2, REVERTING, 5, gas=100_000, data=ONES),
        gasLimit=GAS_LIMIT,
    )
    made.block(
        made.transfer(3, INVALID, 5, gas=50_000, data=ONES),
        made.transfer(0, value=3, gas=200_000, data="0x00" + "fe" * 2000, to=b""),
        made.transfer(1, gas=100_000, data=ONES, accessList=[entry(CLEARING, *range(9))], **fees),
        made.transfer(2, REVERTING, gas=2**34 + 5, data=ONES, gasPrice=10**6),
        made.transfer(3, type=3, gas=50_000, data=ONES, maxFeePerBlobGas=3, blobVersionedHashes=[BLOB_HASH], **fees),
        gasLimit=GAS_LIMIT,
    )
    return execution_of(made.execute())


def test_the_batch_has_what_it_says() -> None:
    table = execution().trace.transactions
    used = table.gas_used.tolist()
    assert used[PLAIN] == 21_000
    assert used[FLOORED] == used[FAILING] == used[LARGE] == used[BLOBS] == FLOOR
    assert used[ZEROS] == 21_000 + 10 * (333 + 4)
    assert used[REFUNDED] == REFUNDED_FLOOR
    spent = 21_000 + 16 * 500 + 3 * (2 + 3 + 5_000)
    assert spent > used[REFUNDED] > spent - spent // 5
    assert used[ABOVE] > FLOOR
    assert used[HALTED] == 50_000
    assert used[CREATING] == 21_000 + 10 * (1 + 4 * 2000)
    assert used[LISTED] == 21_000 + 16 * 400 + 2_400 + 9 * 1_900 > FLOOR
    assert table.gas_limit[FLOORED] == FLOOR
    assert table.gas_limit[LARGE] > MAX_GAS


def test_honest_transactions() -> None:
    assert check_family((*FAMILY, *FUNCTIONS), execution()) == []
    filled = fill(execution())
    assert check_circuit(filled.circuit, filled.traces, filled.public_lists) == []


def test_mutations() -> None:
    report = mutate_family([*TRANSACTION, RANGES], execution(), rows_per_table=11)
    assert report.survivors == []


def test_boundaries() -> None:
    """Executions that use just the floor, a little less and a little more, by so many JUMPDESTs."""
    made = building()
    for number, gas in enumerate(range(-2, 3)):
        # 24 gas of the floor for each byte beyond its price; PUSH0 of two gas, JUMPDEST of one.
        address = bytes([0xB0 + number]) * 20
        made.alloc(address, code="0x" + "5b" * (24 * 40 + gas))
        made.block(
            made.transfer(number % 4, address, 1, gas=22_600 + max(0, gas), data="0x" + "01" * 40), gasLimit=GAS_LIMIT
        )
    execution = execution_of(made.execute())
    assert execution.trace.transactions.gas_used.tolist() == [22_600, 22_600, 22_600, 22_601, 22_602]
    assert check_family((*FAMILY, *FUNCTIONS), execution) == []


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.deep), pytest.param(3, marks=pytest.mark.deep)])
def test_random_transactions(seed: int) -> None:
    """Calldata, executions and refunds around the floor, and any gas limit that suffices."""
    random = np.random.default_rng(seed)
    made, applies = building(), []
    for number in range(40):
        zeros, others = (int(n) for n in random.integers(0, 300, 2))
        floor = 21_000 + 10 * zeros + 40 * others
        cleared = int(random.integers(0, 3))
        idle = max(0, floor - 21_000 - 4 * zeros - 16 * others - 5_005 * cleared + int(random.integers(-9_000, 9_000)))
        address = (0xB000 + number).to_bytes(20, "big")
        code = assemble(" ".join(f"0 {slot} sstore" for slot in range(1, 1 + cleared))) + b"\x5b" * idle
        made.alloc(address, code="0x" + code.hex(), storage={"0x1": "0x1", "0x2": "0x1"})
        gas = max(floor, 21_000 + 4 * zeros + 16 * others + 5_005 * cleared + idle) + int(random.integers(0, 2_000))
        data = bytes(zeros) + b"\x07" * others
        made.block(made.transfer(number % 4, address, 1, gas=gas, data="0x" + data.hex()), gasLimit=GAS_LIMIT)
        applies.append(floor)
    execution = execution_of(made.execute())
    floored = execution.trace.transactions.gas_used == np.array(applies)
    assert 5 < floored.sum() < 35
    assert check_family((*TRANSACTION, RANGES), execution) == []


def test_set_code_transactions_have_one() -> None:
    """What an authorization costs counts for the execution, what it gives back does, too (EIP-7702)."""
    made = building()
    gas = []
    for size in (500, 600, 1_000, 1_100):
        entry_ = authorization(len(gas), CLEARING, 1)  # the sender's own, which its transaction has counted
        request = made.transfer(len(gas), type=4, maxFeePerGas=2000, maxPriorityFeePerGas=7, authorizationList=[entry_])
        made.block(request | {"gas": 200_000, "data": "0x" + "01" * size}, gasLimit=GAS_LIMIT)
        spent = 21_000 + 25_000 + 16 * size
        gas.append(max(spent - min(12_500, spent // 5), 21_000 + 40 * size))
    execution = execution_of(made.execute())
    assert execution.trace.transactions.gas_used.tolist() == gas
    assert [used == 21_000 + 40 * size for used, size in zip(gas, (500, 600, 1_000, 1_100), strict=True)] == [
        False, True, True, True,
    ]  # fmt: skip
    filled = fill(execution)
    assert check_circuit(filled.circuit, filled.traces, filled.public_lists) == []


def test_a_gas_limit_below_the_floor_is_refused() -> None:
    made = building()
    with pytest.raises(BatchError, match="gas"):
        made.block(made.transfer(gas=FLOOR - 1, data=ONES), gasLimit=GAS_LIMIT).execute()


@pytest.mark.parametrize("size", [2**22 - 1, 2**22])
def test_the_largest_calldata(size: int) -> None:
    made = building()
    floor = 21_000 + 40 * size
    made.block(made.transfer(gas=floor, data="0x" + "01" * size, gasPrice=10**6), gasLimit=GAS_LIMIT)
    execution = execution_of(made.execute())
    assert execution.trace.transactions.gas_used[0] == floor < 2**28
    assert check_family((*TRANSACTION, RANGES), execution) == []


@pytest.mark.parametrize("fork", [CANCUN, PRAGUE, OSAKA], ids=lambda fork: fork.name)
def test_which_forks_have_one(fork: Fork) -> None:
    (table,) = (t for t in segment_circuit(fork).tables if t.name == "transaction")
    assert any(name.startswith("floor.") for name in table.layout.names()) == (fork is not CANCUN)


def spared(rows: Any, row: int) -> int:
    return int(gas_amount(rows.floor.spared)[row])


def claim(rows: Any, row: int, used: int, *, applies: bool) -> None:
    """The transaction uses so much gas, and all that follows is as well as it can be."""
    set_gas_used(rows, row, used)
    rows.floor.applies[row] = applies
    limit = int(gas_amount(rows.gas_limit)[row])
    floor = TOKEN * (int(rows.zero_bytes[row]) + 4 * int(rows.nonzero_bytes[row])) + 21_000
    margin = limit - used if applies else used - floor
    margin = spared(rows, row) - (limit - used) - 1 if applies else margin
    margin %= 2**64
    rows.floor.margin[row] = gas_limbs(np.array([margin], dtype=np.uint64))[0]
    other = [limit - used + 1 if applies else floor]
    rows.floor.carry[row] = sum_carries(rows.floor.margin[[row]], gas_limbs(np.array(other)))[0]


def lie_not_applied(rows: Any) -> None:
    row = FLOORED
    claim(rows, row, int(gas_amount(rows.gas_limit)[row]) - spared(rows, row), applies=False)


def lie_not_applied_to_a_refund(rows: Any) -> None:
    row = REFUNDED
    claim(rows, row, int(gas_amount(rows.gas_limit)[row]) - spared(rows, row), applies=False)


def lie_applied_below(rows: Any) -> None:
    """What has used more pays the floor only."""
    claim(rows, ABOVE, FLOOR, applies=True)


def lie_applied_where_equal(rows: Any) -> None:
    claim(rows, PLAIN, 21_000, applies=True)


def lie_half_way(rows: Any) -> None:
    """Neither of both."""
    row = FLOORED
    claim(rows, row, FLOOR - 1, applies=False)


def lie_more_than_the_floor(rows: Any) -> None:
    claim(rows, ZEROS, 40_000, applies=True)


def lie_more_than_used(rows: Any) -> None:
    claim(rows, ABOVE, 90_000, applies=False)


def lie_other_counts(rows: Any) -> None:
    """One byte of the calldata is zero."""
    rows.zero_bytes[FLOORED] += 1
    rows.nonzero_bytes[FLOORED] -= 1
    rows.given.low[FLOORED] += 12
    rows.floor.floor.low[FLOORED] -= 30
    claim(rows, FLOORED, FLOOR - 30, applies=True)


def lie_other_floor(rows: Any) -> None:
    rows.floor.floor.low[FLOORED] -= 1
    claim(rows, FLOORED, FLOOR - 1, applies=True)


def lie_refund_behind_the_floor(rows: Any) -> None:
    """The refund is subtracted from the floor."""
    row = REFUNDED
    refund = int(gas_amount(rows.quotient)[row])
    claim(rows, row, REFUNDED_FLOOR - refund, applies=True)


def lie_refund_of_the_floor(rows: Any) -> None:
    """A fifth of the floor is refunded, as if it had been spent."""
    row = REFUNDED
    spent = gas_limbs(np.array([REFUNDED_FLOOR]))[0]
    rows.spent[row] = spent
    rows.quotient[row] = gas_limbs(np.array([REFUNDED_FLOOR // 5]))[0]
    claim(rows, row, REFUNDED_FLOOR - REFUNDED_FLOOR // 5, applies=False)


def lie_spared(rows: Any) -> None:
    """The execution has used more than it has."""
    row = FLOORED
    rows.floor.spared[row] = rows.unused[row]
    claim(rows, row, FLOOR, applies=False)


def lie_spared_more(rows: Any) -> None:
    """The execution has used less: the floor is the greater one."""
    row = ABOVE
    limit = int(gas_amount(rows.gas_limit)[row])
    rows.floor.spared[row] = gas_limbs(np.array([limit - FLOOR + 1]))[0]
    left, refund = int(rows.gas_left[row]), limit - FLOOR + 1 - int(rows.gas_left[row])
    both = [gas_limbs(np.array([x])) for x in (left, refund)]
    rows.back_carry[row] = total_carries(*both, rows.reserve_left[[row]])[0]
    claim(rows, row, FLOOR, applies=True)


def lie_reserve_dropped(rows: Any) -> None:
    """The reserve does not come back."""
    row = LARGE
    limit = int(gas_amount(rows.gas_limit)[row])
    reserve = int(gas_amount(rows.reserve_left)[row])
    rows.floor.spared[row] = gas_limbs(np.array([spared(rows, row) - reserve]))[0]
    rows.back_carry[row] = 0
    claim(rows, row, limit - spared(rows, row), applies=False)


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_not_applied, "above the other one: limb 3"),
        (lie_not_applied_to_a_refund, "above the other one: limb 3"),
        (lie_applied_below, "above the other one: limb 3"),
        (lie_applied_where_equal, "above the other one: limb 3"),
        (lie_half_way, "no more than the execution has used: limb 0"),
        (lie_more_than_the_floor, "the floor is used: limb 0"),
        (lie_more_than_used, "no more than the execution has used: limb 0"),
        (lie_other_counts, "poseidon2"),
        (lie_other_floor, "range16"),
        (lie_refund_behind_the_floor, "the floor is used: limb 0"),
        (lie_refund_of_the_floor, "gas spent: limb 0"),
        (lie_spared, "unused gas: limb 0"),
        (lie_spared_more, "unused gas: limb 0"),
        (lie_reserve_dropped, "unused gas: limb 1"),
    ],
)
def test_lies(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(FAMILY, execution(), {"transaction": lie})


def test_a_floor_above_the_gas_limit_fills_no_row() -> None:
    """The gas limit is at least the floor because it is the sum of what is used and what is not."""

    def limit(rows: Any) -> None:
        row = FLOORED
        rows.gas_limit[row, 0] -= 1
        rows.counted[row] -= 1

    assert "gas used: limb 0" in objections(FAMILY, execution(), {"transaction": limit})
