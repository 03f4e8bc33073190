"""Batches that once were not accepted as they should be, found by random programs; each as one segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.memory.memory_view import only_access
from executor.batch import batch_from_document
from executor.execute import execute
from scripts.batches import many_frames
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract, creating, initcode
from scripts.batches.random_programs import created_address
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from zkevm.stages import findings


def test_accesses_to_memory_are_not_in_the_order_of_steps() -> None:
    """A call writes its output after the steps of the frame that it opened, also where codes are looked for."""
    execution = execution_of(execute(batch_from_document(many_frames.document(1))))
    memory, data = execution.trace.memory, execution.trace.data.byte
    assert (np.diff(memory.step.astype(np.int64)) < 0).any()
    numbers, first, counts = np.unique(memory.step, return_index=True, return_counts=True)
    rows = first[(counts == 1) & np.isin(numbers, execution.step)]
    steps = np.flatnonzero(np.isin(execution.step, memory.step[rows]))
    places = only_access(execution, steps)
    assert len(steps) > 100
    np.testing.assert_array_equal(places, memory.after_start[rows].astype(np.int64))
    assert data[places].any()


def test_a_collision_divides_the_gas_anew() -> None:
    """A creation at an address that is taken keeps the 64th part, of the gas beyond what is counted, too (EIP-150)."""
    code = creating("create2", assemble("1 1 sstore"), "1") + "pop "
    building = Builder(gasLimit=2**40)
    building.alloc(CONTRACT, nonce=1, code="0x" + assemble(code * 2 + "1 1 sstore stop").hex())
    building.block(*(call_contract(building, gas=gas) for gas in (2**31, 2**33)), gasLimit=2**40)
    executed = building.provable()
    assert executed.gas_used > 2**31
    assert findings(executed) == []


@pytest.mark.parametrize("taken", [{"code": "0x5b00"}, {"nonce": 1}, {"nonce": 1, "code": "0x00"}, {"balance": 7}])
def test_a_transaction_creates_where_an_account_is(taken: dict[str, Any]) -> None:
    """A code that is there takes the address without anybody having to know it (EIP-684); ether does not."""
    building = Builder()
    building.alloc(created_address(Builder.WALLETS[0], 0), **taken)
    data = "0x" + initcode(assemble("1 1 sstore")).hex()
    building.block(building.transfer(0, to=b"", value=0, gas=100_000, data=data), building.transfer(1))
    executed = building.provable()
    assert executed.trace is not None
    assert executed.trace.transactions.status.tolist() == [int("balance" in taken), 1]
    assert findings(executed) == []


@pytest.mark.parametrize("instruction", ["call", "callcode", "delegatecall", "staticcall"])
@pytest.mark.parametrize("size", [pytest.param(2**17, marks=pytest.mark.deep), 2**23])
@pytest.mark.parametrize("value", [0, 1])
def test_a_call_that_cannot_pay_for_memory_looks_at_no_account(instruction: str, size: int, value: int) -> None:
    """Nothing else asks for the account that it names, so nobody has to know its state."""
    operand = str(value) if instruction in ("call", "callcode") else ""
    source = f"{size} 0 0 0 {operand} 0x{'ca' * 20} 0 {instruction} stop"
    building = Builder().alloc(CONTRACT, nonce=1, balance=9, code="0x" + assemble(source).hex())
    building.block(*(call_contract(building, gas=gas) for gas in (22_000, 40_000, 60_000, 90_000)))
    assert findings(building.provable()) == []
