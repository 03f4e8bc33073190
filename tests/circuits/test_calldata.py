"""The table of calldata and blob hashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.component import Answering
from circuits.frames.buses import BUFFER, BUFFER_SIZE, CALLDATA
from circuits.frames.calldata import CALLDATA_KIND, COMPONENTS, Columns, fill_calldata
from circuits.statement import buffer_digests, buffer_words
from scripts.batches.builder import Builder
from scripts.batches.segment import execution_of
from tests.circuits.family import check_family, closed, fill_family, mutate_family
from tests.circuits.lying import objections, places, row_where
from tests.circuits.worlds import asking

SIZES = (0, 1, 31, 32, 33, 68, 100)
BLOBS = ["0x01" + "ab" * 31, "0x01" + "cd" * 31]


def data_of(size: int) -> bytes:
    return bytes(1 + i % 255 for i in range(size))


def _blob_transaction(building: Builder) -> dict[str, Any]:
    fields = {
        "type": 3,
        "maxFeePerGas": 2000,
        "maxPriorityFeePerGas": 1,
        "maxFeePerBlobGas": 10,
        "blobVersionedHashes": BLOBS,
    }
    return building.transfer(1, Builder.FRESH, 1, gas=100_000, data="0x" + data_of(40).hex(), **fields)


@pytest.fixture(scope="module")
def execution() -> Execution:
    building = Builder()
    plain = [building.transfer(gas=100_000, data="0x" + data_of(size).hex()) for size in SIZES]
    building.block(*plain[:3], _blob_transaction(building), *plain[3:])
    return execution_of(building.execute())


def _contents() -> list[bytes]:
    contents = [data_of(size) for size in SIZES]
    blobs = b"".join(bytes.fromhex(blob[2:]) for blob in BLOBS)
    return [*contents[:3], data_of(40), blobs, *contents[3:]]


def _family(execution: Execution) -> list[Any]:
    """Every word, every size and every buffer is asked for once."""
    words, sizes, digests = [], [], []
    row = 0
    for content, digest in zip(_contents(), buffer_digests(_contents()), strict=True):
        parts = buffer_words(content)
        words += [[CALLDATA_KIND, row, i, *part] for i, part in enumerate(parts)]
        sizes.append([CALLDATA_KIND, row, len(content)])
        digests.append([row, len(content), *digest])
        row += len(parts)
    asked = [asking(BUFFER, words), asking(BUFFER_SIZE, sizes), asking(CALLDATA, digests)]
    return [*asked, *COMPONENTS]


def test_ids_sizes_words_and_digests_are_those_of_the_statement(execution: Execution) -> None:
    assert check_family(_family(execution), execution) == []
    rows = TraceView(Columns, fill_family(_family(execution), execution)[-1])  # type: ignore[arg-type]
    transactions = execution.calldata_ids
    assert (rows.index[transactions] == 0).all()
    assert (rows.id[transactions] == transactions).all()
    assert rows.words_asked.sum() == rows.real.sum() == sum(len(buffer_words(c)) for c in _contents())
    assert rows.digest_asked.sum() == len(_contents())


@pytest.mark.deep
def test_the_longest_buffers() -> None:
    """Beyond 2^16 rows a row of a buffer has a number of more than 16 bits."""
    size = (32 << 16) + 1
    execution = execution_of(Builder().block(Builder().transfer(gas=9_000_000, data="0x" + "00" * size)).execute())
    (digest,) = buffer_digests([bytes(size)])
    asked = [asking(BUFFER_SIZE, [[CALLDATA_KIND, 0, size]]), asking(CALLDATA, [[0, size, *digest]])]
    family = [*asked, *COMPONENTS]

    def near(rows: Any) -> None:
        rows.upper[1 << 16] = 0

    honest = fill_family(family, execution)
    rows = TraceView(Columns, honest[-1])  # type: ignore[arg-type]
    assert np.flatnonzero(rows.upper).tolist() == [1 << 16]
    circuit, filled = closed([component.table for component in family], honest)
    worlds = filled[len(honest) :]
    for traces, expected in ((honest, set()), (fill_family(family, execution, {"calldata": near}), {"range16"})):
        found = check_circuit(circuit, [*traces, *worlds], [[] for _ in filled], algebra=NATIVE)
        assert places(found) == expected


def test_a_segment_without_transactions_has_no_row() -> None:
    executed = Builder().block(withdrawals=[]).execute()
    nothing = [np.zeros((0, bus.width), dtype=np.uint32) for bus in (BUFFER, BUFFER_SIZE, CALLDATA)]
    assert fill_calldata(execution_of(executed), *nothing) is None


def test_no_mutation_survives(execution: Execution) -> None:
    report = mutate_family(_family(execution), execution, rows_per_table=12)
    assert report.survivors == [], report


def _with_size(rows: Any) -> None:
    last = row_where(rows.used == 1)
    rows.used[last] = 2


def _with_word(rows: Any) -> None:
    rows.word[row_where(rows.used == 1), 0] = 7


def _too_long(rows: Any) -> None:
    last = row_where(rows.used == 1)
    rows.used[last] = 33


def _empty_with_bytes(rows: Any) -> None:
    rows.used[row_where(rows.empty)] = 1


def _without_bytes(rows: Any) -> None:
    last = row_where(rows.used == 1)
    rows.used[last], rows.empty[last] = 0, 0


def _cut(rows: Any) -> None:
    """The first row of a buffer of two is its last."""
    row = row_where((rows.real == 1) & (rows.last == 0))
    rows.last[row], rows.used[row] = 1, 32


def _shared_id(rows: Any) -> None:
    """A buffer takes the id of the one before."""
    second = int(rows.id[rows.real == 1][rows.index[rows.real == 1] == 0][1])
    rows.id[second], rows.index[second] = 0, 1


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_with_size, "calldata"),
        (_with_word, "poseidon2"),
        (_too_long, "range16"),
        (_empty_with_bytes, "of an empty buffer nothing is used"),
        (_without_bytes, "range16"),
        (_cut, "indices of the next buffer count from 0"),
        (_shared_id, "indices of the next buffer count from 0"),
    ],
)
def test_lies(execution: Execution, lie: Any, expected: str) -> None:
    assert expected in objections(_family(execution), execution, {"calldata": lie})


def test_answers_all_of_its_buses() -> None:
    (component,) = COMPONENTS
    assert isinstance(component, Answering)
    assert component.buses == (BUFFER, BUFFER_SIZE, CALLDATA)
