"""Push sites: the data that stands behind a PUSH, all of it and no more."""

from __future__ import annotations

from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.frames import code, push_sites
from circuits.frames.buses import INSTRUCTION, PUSH
from circuits.instructions import stack
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family
from tests.circuits.lying import row_where

FAMILY = (*stack.COMPONENTS, *push_sites.COMPONENTS, *code.COMPONENTS)
TABLES = [component.table.name for component in push_sites.COMPONENTS]
#: The PUSH32 has one byte of data, the others lie behind the end; the first byte is data that looks like PUSH1.
CUT = bytes.fromhex("6160ff7f05")


def of_code(bytes_: bytes) -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + bytes_.hex())
    return execution_of(building.block(call_contract(building)).execute())


def rows_of(table: push_sites.PushSite, execution: Execution) -> TraceView:
    matrix = fill_family(FAMILY, execution)[[c.table.name for c in FAMILY].index(table.name)]
    assert matrix is not None
    return TraceView(table.layout, matrix)


def test_each_size_has_the_smallest_table_that_holds_it() -> None:
    execution = of_code(assemble("0 7 0x0102 0x010203 0x01020304 0x0102030405 0x" + "12" * 32))
    assert not check_family(FAMILY, execution)
    sizes = [rows_of(table, execution) for table in (push_sites.SITES_SMALL, push_sites.SITES_MEDIUM)]
    assert [sorted(rows.size[rows.real == 1].tolist()) for rows in sizes] == [[0, 1, 2], [3, 4]]
    large = rows_of(push_sites.SITES_LARGE, execution)
    assert sorted(large.size[large.real == 1].tolist()) == [5, 32]


def test_a_site_that_runs_often_has_one_row() -> None:
    building = Builder().alloc(CONTRACT, code="0x" + assemble("7 pop").hex())
    execution = execution_of(building.block(*[call_contract(building) for _ in range(3)]).execute())
    assert rows_of(push_sites.SITES_SMALL, execution).multiplicity.tolist() == [3]


def test_data_behind_the_end_is_zero() -> None:
    rows = rows_of(push_sites.SITES_LARGE, of_code(CUT))
    assert rows.size[0] == 32
    assert rows.data[0].tolist() == [0] * 31 + [5]


def test_mutations_are_rejected() -> None:
    # No two sites hold the same data: a site moved to another one would state another truth.
    execution = of_code(assemble("7 0 0x0102 0x010203 0x01020304 0x0102030405 0x" + "12" * 32))
    report = mutate_family(FAMILY, execution)
    assert not report.survivors, str(report)
    assert set(TABLES) <= set(report.coverage)


def test_a_push_of_another_size_is_no_site() -> None:
    """The liar leaves out the upper byte of the data, or takes the next instruction for data."""
    execution = of_code(assemble("0x010203 0x0304 pop pop stop"))

    def shorter(rows: TraceView) -> None:
        row = row_where(rows.size == 3)
        rows.size[row], rows.active[row, 2], rows.data[row, 2] = 2, 0, 0

    def longer(rows: TraceView) -> None:
        row = row_where(rows.size == 3)
        rows.size[row], rows.active[row, 3] = 4, 1
        rows.data[row, :4] = (0x61, 3, 2, 1)

    for lie in (shorter, longer):
        findings = check_family(FAMILY, execution, {"push_site_medium": lie})
        assert any("bus instruction" in str(finding) for finding in findings)


def test_a_site_within_data_is_refused() -> None:
    """Byte 1 of the code is 0x60, but data."""

    def lie(rows: TraceView) -> None:
        row = row_where(rows.size == 2)
        rows.pc[row], rows.size[row], rows.active[row, 1] = 1, 1, 0
        rows.data[row, :2] = (0xFF, 0)

    findings = check_family(FAMILY, of_code(CUT), {"push_site_small": lie})
    assert any("bus instruction" in str(f) for f in findings)


def test_tables_ask_only_the_buses_they_should() -> None:
    interactions = [i for c in push_sites.COMPONENTS for i in c.table.air.interactions]
    assert {i.bus for i in interactions if not i.provides} == {INSTRUCTION}
    assert {i.bus for i in interactions if i.provides} == {PUSH}
