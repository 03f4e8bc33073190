"""Blocks and their hashes, and hashes of blobs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.batch.blocks import block_columns, block_digests
from circuits.batch.execution import Execution
from circuits.component import Component
from circuits.frames.buses import CONTEXT
from circuits.frames.contexts import BLOCK_CONTEXT
from circuits.instructions import block as block_instructions
from circuits.instructions import environment
from circuits.instructions.block import BlockHashColumns
from circuits.limbs import words_to_ints
from circuits.statement import BLOCK_ITEM
from circuits.transactions import block
from circuits.transactions.buses import BLOCK
from circuits.widths import DIGEST
from executor.opcodes import OPCODES
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, PROGRAMS, call_contract, on_headers
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import objections
from tests.circuits.worlds import asking, others

NUMBER = 70_300
#: What is asked of block NUMBER + 2: edges of the 256 blocks before it, and of the limbs.
WANTED = (NUMBER + 1, NUMBER, NUMBER + 2, NUMBER - 254, NUMBER - 255, NUMBER + 3, 0, 1, 0xFFFF, 0x10000,
          1 << 64, (1 << 64) + NUMBER, 1 << 240, (1 << 256) - 1, (1 << 64) - 1)  # fmt: skip


@cache
def _execution() -> Execution:
    building = on_headers(NUMBER, 254)
    source = " ".join(f"{hex(number)} blockhash" for number in WANTED) + " number coinbase chainid"
    building.alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.block(call_contract(building), coinbase=b"\x07" * 20).block(
        call_contract(building), call_contract(building, 1)
    )
    return execution_of(building.execute())


def _family(execution: Execution) -> list[Component]:
    columns = block_columns(execution.trace)
    digests = block_digests(execution.batch)
    asked = [
        [
            *digests[row].tolist(),
            place,
            int(columns["scope"][row]),
            *(int(x) for name in ("coinbase", "base_fee", "blob_base_fee") for x in columns[name][row]),
        ]
        for place, row in enumerate(execution.blocks.tolist())
    ]
    return [
        *environment.COMPONENTS,
        asking(BLOCK, asked),
        *block_instructions.COMPONENTS,
        *block.COMPONENTS,
        others(CONTEXT, lambda queries: queries[:, 0] != BLOCK_CONTEXT),
    ]


@cache
def _blobs() -> Execution:
    building = Builder()
    source = "0 blobhash 1 blobhash 2 blobhash 65536 blobhash 0 not blobhash 65535 blobhash"
    building.alloc(CONTRACT, code="0x" + assemble(source).hex())
    fields: dict[str, Any] = {
        "type": 3,
        "maxFeePerGas": 2_000,
        "maxPriorityFeePerGas": 7,
        "maxFeePerBlobGas": 9,
        "blobVersionedHashes": ["0x01" + "ab" * 31, "0x01" + "cd" * 31],
    }
    building.block(call_contract(building, **fields), call_contract(building, 1))
    return execution_of(building.execute())


@pytest.mark.parametrize("execution", [_execution, _blobs])
def test_honest(execution: Any) -> None:
    assert check_family(_family(execution()), execution()) == []


@pytest.mark.parametrize("name", ["block context", "blobs", "ancestors", "withdrawals", "beacon root"])
def test_programs(name: str) -> None:
    execution = execution_of(PROGRAMS[name]().execute())
    assert check_family(_family(execution), execution) == []


def test_digests_are_those_of_the_item() -> None:
    execution = _execution()
    columns = block_columns(execution.trace)
    assert (block_digests(execution.batch) == BLOCK_ITEM.digests(**columns)).all()
    assert block_digests(execution.batch).shape == (2, DIGEST)
    assert columns["scope"].tolist() == [0, 1]


def test_reach() -> None:
    steps = _execution().rows(OPCODES["BLOCKHASH"])[-len(WANTED) :]
    known = [int(n) for n, h in zip(WANTED, words_to_ints(_execution().result(steps)), strict=True) if h]
    assert known == [NUMBER + 1, NUMBER, NUMBER - 254]


@pytest.mark.parametrize("execution", [_execution, _blobs])
def test_mutations(execution: Any) -> None:
    report = mutate_family(_family(execution()), execution(), rows_per_table=16)
    assert report.survivors == [], str(report)


def _row(rows: Any, wanted: int) -> int:
    """The row of this number, of the last block."""
    return int(np.flatnonzero(np.array(words_to_ints(rows.wanted.astype(np.uint16)), dtype=object) == wanted)[-1])


def _forget(rows: Any, at: int) -> None:
    for name in ("in_reach", "large", "above", "below", "inverse", "borrow", "difference"):
        getattr(rows, name)[at] = 0


@pytest.mark.parametrize("wanted", [NUMBER + 2, NUMBER - 255, 0, (1 << 64) + NUMBER, (1 << 256) - 1])
def test_a_hash_out_of_reach(wanted: int) -> None:
    """It is not enough to call it in reach."""

    def lie(rows: Any) -> None:
        at = _row(rows, wanted)
        _forget(rows, at)
        rows.in_reach[at] = 1
        rows.hash[at] = 5
        difference = NUMBER + 2 - 1 - wanted
        rows.difference[at, 0] = difference & 0xFFFF

    found = objections(_family(_execution()), _execution(), {"blockhash": lie})
    # `stack` and `block_hash` object as well, but only because the world outside is honest.
    assert any(name == "range16" or "difference" in name or "2^64" in name for name in found)


@pytest.mark.parametrize("flag", ["large", "above", "below", ""])
def test_no_hash_in_reach(flag: str) -> None:
    def lie(rows: Any) -> None:
        at = _row(rows, NUMBER)
        _forget(rows, at)
        if flag:
            getattr(rows, flag)[at] = 1
        rows.hash[at] = 0

    found = objections(_family(_execution()), _execution(), {"blockhash": lie})
    assert any("difference" in name or "reach" in name or "2^64" in name for name in found)


def test_a_hash_other_than_zero_out_of_reach() -> None:
    def lie(rows: Any) -> None:
        rows.hash[_row(rows, NUMBER + 2), 0] = 1

    assert "no hash out of reach[0]" in objections(_family(_execution()), _execution(), {"blockhash": lie})


def test_a_blob_that_does_not_exist() -> None:
    def lie(rows: Any) -> None:
        rows.exists[2], rows.above[2] = 1, 0
        rows.difference[2] = 2013265920

    found = objections(_family(_blobs()), _blobs(), {"blobhash": lie})
    assert {"range16", "buffer"} <= found


def test_a_blob_that_is_denied() -> None:
    def lie(rows: Any) -> None:
        rows.exists[1], rows.above[1] = 0, 1
        rows.difference[1] = 2013265920
        rows.hash[1] = 0

    found = objections(_family(_blobs()), _blobs(), {"blobhash": lie})
    assert "range16" in found


def test_another_field() -> None:
    """The digest changes with it."""

    def lie(rows: Any) -> None:
        rows.number[1, 0] += 1

    assert "poseidon2" in objections(_family(_execution()), _execution(), {"block": lie})


def test_rows_of_all_answers() -> None:
    """Every case of BLOCKHASH occurs above."""
    matrix = block_instructions.fill_block_hash(_execution())
    assert matrix is not None
    for name in ("in_reach", "large", "above", "below"):
        assert matrix[:, BlockHashColumns.offsets[name]].any()
