"""Random programs give the same in the executor as in the execution specs, instruction by instruction."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import Phase, find, given
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from executor import machine
from executor.batch import batch_from_document
from executor.execute import execute
from executor.opcodes import OPCODES
from scripts.batches import random_programs as programs
from scripts.batches.random_programs import CONTRACTS, assemble, documents, op, push
from tests.differential.agreement import DONE, HALTS, PRECOMPILES, Tally, assert_agreement, report, run, tightened
from tests.differential.comparison import differences, examples
from tests.differential.specs import AccountState, Answer, Log, Specs

FEW, MANY = 8, 1_000
FEW_TO_NOTICE = 1_200  # random batches in which a wrong number in the specs must show
GAS_CHANGES = st.none() | st.integers(-2, 1)

# Numbers of the specs, each with another value: random programs must notice.
WRONG_NUMBERS = {
    "vm.instructions.storage:GAS_STORAGE_CLEAR_REFUND": 4_801,
    "vm.instructions.storage:GAS_STORAGE_SET": 20_001,
    "vm.instructions.storage:GAS_COLD_SLOAD": 2_101,
    "vm.instructions.environment:GAS_COLD_ACCOUNT_ACCESS": 2_601,
    "vm.instructions.system:GAS_CALL_VALUE": 9_001,
    "vm.instructions.system:GAS_NEW_ACCOUNT": 25_001,
    "vm.instructions.system:GAS_SELF_DESTRUCT_NEW_ACCOUNT": 25_001,
    "vm.instructions.system:GAS_CREATE": 32_001,
    "vm.instructions.keccak:GAS_KECCAK256_WORD": 7,
    "vm.instructions.arithmetic:GAS_EXPONENTIATION_PER_BYTE": 51,
    "vm.instructions.log:GAS_LOG_TOPIC": 376,
    "vm.instructions.memory:GAS_COPY": 4,
    "vm.interpreter:GAS_CODE_DEPOSIT": 201,
    "vm.gas:GAS_MEMORY": 4,
    "vm.gas:GAS_INIT_CODE_WORD_COST": 3,
    "vm.precompiled_contracts.blake2f:GAS_BLAKE2_PER_ROUND": 2,
}
NOTICED_FAST = list(WRONG_NUMBERS)[:2]


def compare(specs: Specs, count: int, *, reproducible: bool) -> Tally:
    """Compare this many random batches."""
    tally = Tally()

    @examples(count, reproducible=reproducible, print_blob=True)
    @given(documents(), GAS_CHANGES)
    def agree(document: dict[str, Any], gas_change: int | None) -> None:
        ours = assert_agreement(specs, document, tally)
        if gas_change is not None:
            # Gas limits close to what the last transaction used: it runs out of gas near its end, or just not.
            changed = tightened(document, ours, gas_change)
            if changed is not None:
                assert_agreement(specs, changed, tally)

    agree()
    print(tally)
    return tally


def test_random_programs(specs: Specs) -> None:
    tally = compare(specs, FEW, reproducible=True)
    assert tally.batches >= FEW
    assert tally.outcomes["success"] > FEW / 2


@pytest.mark.deep
def test_many_random_programs(specs: Specs) -> None:
    tally = compare(specs, MANY, reproducible=False)
    # The specs call it KECCAK. REVERT ends by an exception there.
    done = {"KECCAK256" if name == "KECCAK" else name for name in tally.counts[DONE]}
    done |= {"REVERT"} if tally.counts[HALTS]["Revert"] else set()
    assert set(OPCODES) - done == set(), "instructions that no program ran to their end"
    assert {str(number) for number in range(1, 11)} == set(tally.counts[PRECOMPILES])


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=[] if place in NOTICED_FAST else pytest.mark.deep) for place in WRONG_NUMBERS]
)
def test_a_wrong_number_in_the_specs_is_noticed(specs: Specs, place: str) -> None:
    """The programs and the comparison are sharp enough: without looking at single instructions."""

    def disagree(document: dict[str, Any]) -> bool:
        batch = batch_from_document(document)
        answer = specs.run(batch, constants={place: WRONG_NUMBERS[place]})
        return bool(differences(batch, run(document), answer))

    once = examples(FEW_TO_NOTICE, reproducible=True, phases=[Phase.generate])
    try:
        find(documents(), disagree, settings=once)
    except NoSuchExample:
        pytest.fail(f"{FEW_TO_NOTICE} batches give the same with a wrong {place}")


@pytest.mark.deep
def test_a_check_that_comes_too_late_is_noticed(specs: Specs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs reach instructions that two rules stop: py-evm by itself asks for the size of an initcode last."""

    def disagree(document: dict[str, Any]) -> bool:
        batch = batch_from_document(document)
        return bool(differences(batch, execute(batch, trace=False), specs.run(batch)))

    once = examples(FEW_TO_NOTICE, reproducible=True, phases=[Phase.generate])
    with monkeypatch.context() as patched:
        patched.setattr(machine, "_bounded", lambda instruction, max_initcode_bytes: instruction)
        found = find(documents(), disagree, settings=once)
    assert not disagree(found)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A batch of which every kind of result is known: storage, a log, return data."""
    code = assemble(
        [
            push(7) + push(1) + op("SSTORE"),
            push(0) + push(2) + op("SSTORE"),
            push(0xAB) + push(0) + op("MSTORE") + push(0x99) + push(32) + push(0) + op("LOG1"),
            push(32) + push(0) + op("RETURN"),
        ]
    )
    found = programs.document(seed=0, kept=bytes(programs.PARTS))
    contract = "0x" + CONTRACTS[0].hex()
    found["genesis"]["alloc"][contract] = {"code": "0x" + code.hex(), "nonce": 1, "storage": {"2": 5}}
    request = {"secretKey": "0x" + "11" * 32, "nonce": 0, "to": contract, "gas": 200_000, "gasPrice": 2_000}
    found["blocks"] = [{**found["blocks"][0], "transactions": [request], "withdrawals": []}]
    return found


@pytest.fixture(scope="module")
def answer(specs: Specs, document: dict[str, Any]) -> Answer:
    return specs.run(batch_from_document(document), steps=True)


def test_the_known_batch(document: dict[str, Any], answer: Answer) -> None:
    assert differences(batch_from_document(document), run(document), answer) == []
    transacted = answer.transactions[0][0]
    assert transacted.status == 1
    assert transacted.output == (0xAB).to_bytes(32, "big")
    assert transacted.logs == (Log(CONTRACTS[0], ((0x99).to_bytes(32, "big"),), (0xAB).to_bytes(32, "big")),)
    assert answer.accounts[CONTRACTS[0]].storage == {1: 7}


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", 0), ("gas_used", 1), ("output", b"\1"), ("logs", ()), ("receipt", b"\xc0")],
)
def test_a_wrong_result_of_a_transaction_is_noticed(
    document: dict[str, Any], answer: Answer, field: str, value: object
) -> None:
    transacted = dataclasses.replace(answer.transactions[0][0], **{field: value})
    wrong = dataclasses.replace(answer, transactions=((transacted,),))
    found = differences(batch_from_document(document), run(document), wrong)
    assert [(difference.place, difference.field) for difference in found] == [("block 0, transaction 0", field)]


@pytest.mark.parametrize(
    ("field", "named"),
    [("nonce", "nonce"), ("balance", "balance"), ("code", "code hash"), ("storage", "storage[1]")],
)
def test_a_wrong_account_is_noticed(document: dict[str, Any], answer: Answer, field: str, named: str) -> None:
    values = {"nonce": 2, "balance": 1, "code": b"\1", "storage": {1: 8}}
    account: AccountState = dataclasses.replace(answer.accounts[CONTRACTS[0]], **{field: values[field]})
    wrong = dataclasses.replace(answer, accounts={**answer.accounts, CONTRACTS[0]: account})
    found = differences(batch_from_document(document), run(document), wrong)
    assert [difference.field for difference in found] == [named]


@pytest.mark.parametrize("column", ["pc", "opcode", "gas", "depth", "stack_height", "memory_size", "top"])
def test_a_wrong_instruction_is_noticed(document: dict[str, Any], answer: Answer, column: str) -> None:
    assert answer.steps is not None
    changed = getattr(answer.steps, column).copy()
    changed[2] ^= 1  # SSTORE takes the top of the stack
    wrong = dataclasses.replace(answer, steps=dataclasses.replace(answer.steps, **{column: changed}))
    found = differences(batch_from_document(document), run(document), wrong)
    assert len(found) == 1
    assert found[0].place.startswith("step 2")


def test_a_wrong_header_and_a_refusal_are_noticed(document: dict[str, Any], answer: Answer) -> None:
    batch, ours = batch_from_document(document), run(document)
    header = bytearray(answer.headers[0])
    header[4] ^= 1  # the parent hash
    found = differences(batch, ours, dataclasses.replace(answer, headers=(bytes(header),)))
    assert [difference.field for difference in found] == ["header.parentHash"]
    refused = {"block": 0, "transaction": 0, "reason": "InvalidBlock"}
    assert differences(batch, ours, dataclasses.replace(answer, refused=refused))


def test_both_refuse_at_the_same_place(specs: Specs, document: dict[str, Any]) -> None:
    block = document["blocks"][0]
    late = {**block["transactions"][0], "nonce": 5}
    wrong = {**document, "blocks": [{**block, "transactions": [*block["transactions"], late]}]}
    answer = specs.run(batch_from_document(wrong))
    assert answer.refused is not None
    assert (answer.refused["block"], answer.refused["transaction"]) == (0, 1)
    assert differences(batch_from_document(wrong), run(wrong), answer) == []


def test_the_report_names_the_difference_and_shows_the_programs(document: dict[str, Any], answer: Answer) -> None:
    transacted = dataclasses.replace(answer.transactions[0][0], gas_used=1)
    wrong = dataclasses.replace(answer, transactions=((transacted,),))
    text = report(document, differences(batch_from_document(document), run(document), wrong))
    assert "block 0, transaction 0, gas_used" in text
    assert "SSTORE" in text
