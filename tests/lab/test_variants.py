"""Variants: what changes a circuit and what cannot, whether the shipped ones hold, and that weaker ones are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.component import Acting
from circuits.frames.gas import MAX_SMALL_MEMORY_GAS, UNCHECKED_GAS
from circuits.instructions.stack import Pop, fill_pop
from circuits.segment import circuit_of_sources, segment_circuit
from executor.forks import CANCUN, CIRCUIT_FORKS, OSAKA, Fork
from executor.opcodes import OPCODES
from lab.attack import attack_all, attack_tables, target_of
from lab.errors import LabError, VariantError
from lab.experiments import codes, fusion, ranges
from lab.measure import Workload, check, fill, sample_of, segments
from lab.registry import EXPERIMENTS, VARIANTS, variant
from lab.variant import TODAY, Changes, Rewriting, Variant
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.campaign.target import told_parts
from scripts.forging.segments import Lie, places, tell
from scripts.workloads.assembler import assemble
from tests.campaign.defects import unasked, without
from tests.cutting import objections
from tests.lab.weakening import weakened
from verifier.sizes import MAX_LOG_HEIGHT

OWN = [v for v in VARIANTS.values() if v is not TODAY]
#: Those whose samples are small.
QUICK = [v for v in OWN if v not in ranges.VARIANTS]


def call(code: str, **fields: int) -> Workload:
    """A batch with a call of a program."""
    building = Builder().alloc(CONTRACT, code="0x" + assemble(code).hex())
    building.block(call_contract(building, **fields))
    return Workload.of("a program", building.document)


def rows_of(variant: Variant, workload: Workload) -> dict[str, int]:
    """Rows that stand for something, by table, all of whose constraints and buses hold."""
    ((circuits, execution),) = segments(variant, variant.batch(workload.trace))
    filled = fill(circuits, execution)
    assert check(circuits, filled) == []
    return {
        table.name: int(np.count_nonzero(matrix[:, table.layout.offsets["real"]]))
        for table, matrix in zip(circuits.circuit.tables, filled.traces, strict=True)
        if matrix is not None and "real" in table.layout.offsets
    }


# What changes a circuit.


def test_nothing_changed_is_the_circuit_itself() -> None:
    for fork in CIRCUIT_FORKS.values():
        assert TODAY.of(fork).circuit is segment_circuit(fork)
        assert TODAY.of(fork).changed == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (Changes(removed=("none",)), "no table none"),
        (Changes(replaced=(Acting(Pop("other", Pop.layout), fill_pop),)), "no table other"),
        (Changes(added=(Acting(Pop(), fill_pop),)), "a table pop is there already"),
        (Changes(added=(Acting(Pop("twice", Pop.layout), fill_pop),) * 2), "a table twice is there already"),
    ],
)
def test_changes_must_fit(changes: Changes, says: str) -> None:
    with pytest.raises(VariantError, match=says):
        Variant("misfit", "", lambda components: changes).of(CANCUN)


@pytest.mark.deep
def test_the_forks_circuit_stays_as_it_is() -> None:
    digests = {v.name: v.of(CANCUN).circuit.digest for v in VARIANTS.values()}
    assert len(set(digests.values())) == len(digests)
    assert circuit_of_sources(CANCUN).digest == segment_circuit(CANCUN).digest == digests[TODAY.name]


def test_variants_have_names_of_their_own() -> None:
    assert len(VARIANTS) == 1 + sum(len(each.variants) for each in EXPERIMENTS.values())


def test_a_variant_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from lab.variant import Changes, Variant\n"
        "MINE = Variant('mine', 'no POP', lambda components: Changes(removed=('pop',)))\n"
    )
    assert "pop" not in variant(f"{file}:MINE").of(CANCUN).circuit.names
    for reference in ("mine", f"{file}:OTHER", f"{tmp_path / 'none.py'}:MINE"):
        with pytest.raises(VariantError):
            variant(reference)


# Whether the shipped ones hold.


@pytest.mark.parametrize("own", QUICK, ids=lambda v: v.name)
def test_samples_hold_and_have_rows_of_all_that_is_changed(own: Variant) -> None:
    rows = rows_of(own, sample_of(own, CANCUN))
    assert set(own.of(CANCUN).changed) <= set(rows)


@pytest.mark.deep
@pytest.mark.parametrize("own", OWN, ids=lambda v: v.name)
@pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=lambda f: f.name)
def test_samples_hold_under_every_fork(own: Variant, fork: Fork) -> None:
    rows = rows_of(own, sample_of(own, fork))
    assert set(own.of(fork).changed) <= set(rows)


@pytest.mark.deep
@pytest.mark.parametrize("own", OWN, ids=lambda v: v.name)
@pytest.mark.parametrize("name", ["uniswap", "mainnet", "mixed", "deploy", "precompiles"])
def test_workloads_hold(own: Variant, name: str) -> None:
    assert rows_of(own, Workload.named(name))


@pytest.mark.parametrize("own", QUICK, ids=lambda v: v.name)
def test_changed_tables_accept_no_lie(own: Variant) -> None:
    attacked = attack_tables(own.of(CANCUN), sample_of(own, CANCUN))
    assert not attacked.accepted
    assert not attacked.absent
    assert all(tried > 300 for tried in attacked.tried.values())


@pytest.mark.deep
@pytest.mark.parametrize("own", OWN, ids=lambda v: v.name)
def test_a_campaign_finds_nothing(own: Variant) -> None:
    for fork in (CANCUN, OSAKA):
        attacked = attack_tables(own.of(fork), sample_of(own, fork), rounds=8, seed=1)
        assert not attacked.accepted
        assert not attack_all(own.of(fork), 60, seed=1, workers=2).accepted


@pytest.mark.parametrize("own", [fusion.BOTH, fusion.PUSH_JUMPI], ids=lambda v: v.name)
def test_a_segment_may_end_within_a_fused_row(own: Variant) -> None:
    """The row is in the part of its first step, and what it sends is carried to another one."""
    workload = sample_of(own, CANCUN)
    ((circuits, execution),) = segments(own, own.batch(workload.trace))
    jumps = np.flatnonzero(np.isin(execution.opcode, (OPCODES["JUMP"], OPCODES["JUMPI"])))[:4]
    cuts = tuple(sorted({*jumps.tolist(), *(jumps + 1).tolist()}))
    parts = told_parts(workload.trace, Lie(), target_of(circuits), None, cuts)
    assert len(parts) == len(cuts) + 1
    assert objections(parts) == []


def test_a_carry_is_looked_up_twice() -> None:
    """Once as it is and once doubled: both are limbs of exactly the numbers below 2^15."""
    circuits = ranges.ONE_RANGE_TABLE.of(CANCUN)
    assert len(circuits.changed) == 4
    before = {table.name: table for table in segment_circuit(CANCUN).tables}
    for table in circuits.circuit.tables:
        if table.name in circuits.changed:
            asked, limbs = (sum(i.bus.name == bus for i in before[table.name].air.interactions) for bus in
                            ("range15", "range16"))  # fmt: skip
            buses = [i.bus.name for i in table.air.interactions]
            assert asked > 0
            assert buses.count("range16") == limbs + 2 * asked
            assert "range15" not in buses
    numbers = np.arange(MODULUS - (1 << 17), MODULUS + (1 << 17), dtype=np.int64) % MODULUS
    halves = (np.arange(1 << 16, dtype=np.int64) * pow(2, -1, MODULUS)) % MODULUS
    for carry in (numbers, halves):
        assert np.array_equal((carry < 1 << 16) & (2 * carry % MODULUS < 1 << 16), carry < 1 << 15)


def test_one_range_table_holds() -> None:
    """A sum on alt_bn128: the variant has no other range table, and the field machine asks it."""
    workload = call("1 0 mstore 2 32 mstore 1 64 mstore 2 96 mstore 64 128 128 0 6 gas staticcall 128 mload 0 sstore")
    rows = rows_of(ranges.ONE_RANGE_TABLE, workload)
    assert rows["field_narrow_32"] > 0


# What fused rows leave to others.


def test_steps_that_fail_are_not_fused() -> None:
    """A JUMPDEST without gas, a place that is none, a PUSH that is not before a jump."""
    out_of_gas = call("@end jump end: stop", gas=21_000 + 3 + 8)
    rows = rows_of(fusion.BOTH, out_of_gas)
    assert rows["jump"] == rows["push_small"] == rows["exceptional"] == 1
    assert not {"push_jump_jumpdest", "jump_jumpdest", "jumpdest"} & set(rows)
    assert rows_of(fusion.PUSH_JUMP, out_of_gas)["push_jump"] == 1
    nowhere = rows_of(fusion.BOTH, call("3 jump stop"))
    assert nowhere["invalid_jump"] == nowhere["push_small"] == 1
    full = rows_of(fusion.BOTH, call("loop: 0 @loop jump"))
    assert full["push_jump_jumpdest"] == 1023, "then the stack is full, and a PUSH fails"
    assert full["exceptional"] == 1


def test_old_words_are_taken_by_fused_rows() -> None:
    """A place and a condition that were pushed more than 2^16 units of time ago are made younger first."""
    loop = "@back 1 10000 loop: 1 swap1 sub dup1 @loop jumpi pop"
    code = f"{loop} @far jumpi stop far: jump back: stop"
    for own in (fusion.BOTH, fusion.PUSH_JUMPI):
        rows = rows_of(own, call(code, gas=5_000_000))
        assert rows["stack_refresh"] == 2
    assert rows["push_jumpi"] == 10_001


def test_unchecked_gas_of_fused_rows_is_within_the_bound() -> None:
    """`circuits.frames.gas`: a row of each table takes so much, and the sum stays above -2^29."""
    fused = max((8 + 1) + (3 + 8 + 1), 3 + 8, 3 + 10)
    assert ((UNCHECKED_GAS + fused) << MAX_LOG_HEIGHT) + MAX_SMALL_MEMORY_GAS < 1 << 29


@pytest.mark.parametrize(
    ("own", "table", "others"),
    [
        (fusion.BOTH, "push_jump_jumpdest", {"push", "instruction", "exec"}),
        (fusion.BOTH, "jump_jumpdest", {"stack", "instruction", "exec"}),
        (fusion.PUSH_JUMP, "push_jump", {"push", "instruction", "exec"}),
        (fusion.PUSH_JUMPI, "push_jumpi", {"push", "instruction", "exec"}),
    ],
    ids=lambda v: getattr(v, "name", v if isinstance(v, str) else ""),
)
def test_a_fused_row_jumps_nowhere_else(own: Variant, table: str, others: set[str]) -> None:
    """To a place behind its JUMPDEST, say: whoever knows the place objects, and so does the code."""
    workload, circuits = sample_of(own, CANCUN), own.of(CANCUN)

    def further(rows: object) -> None:
        rows.target[0, 0] += 1  # type: ignore[attr-defined]

    told = replace(tell(workload.trace, Lie(tables={table: further}), circuits.components), circuit=circuits.circuit)
    assert others <= places(check(circuits, told))


# What the checker and the attacks find.


def test_the_checker_finds_a_circuit_that_lacks_a_table() -> None:
    lacking = Variant("lacking", "no POP", lambda components: Changes(removed=("pop",)))
    workload = call("1 pop stop")
    ((circuits, execution),) = segments(lacking, lacking.batch(workload.trace))
    found = check(circuits, fill(circuits, execution))
    assert {"exec", "stack"} <= places(found)


@pytest.mark.parametrize(
    ("own", "table", "weakening"),
    [
        (fusion.PUSH_JUMPI, "push_jumpi", without("condition: value * inverse = 1 - zero")),
        (fusion.BOTH, "push_jump_jumpdest", unasked("push")),
        (fusion.BOTH, "jump_jumpdest", unasked("range16")),
        (codes.WHOLE, "code_run", unasked("poseidon2")),
    ],
    ids=["free branch", "any place", "word of the future", "any hash"],
)
def test_the_attack_finds_a_weaker_variant(own: Variant, table: str, weakening: Rewriting) -> None:
    weak = weakened(own, table, weakening)
    found = attack_tables(weak.of(CANCUN), sample_of(weak, CANCUN), rounds=4)
    assert {accepted.table for accepted in found.accepted} == {table}


def test_an_attack_is_repeatable() -> None:
    weak = weakened(fusion.PUSH_JUMPI, "push_jumpi", without("condition: value * inverse = 1 - zero"))
    circuits, workload = weak.of(CANCUN), sample_of(weak, CANCUN)
    first, again, other = (attack_tables(circuits, workload, seed=seed) for seed in (2, 2, 3))
    assert first == again != other


def test_an_attack_needs_something_to_attack() -> None:
    with pytest.raises(LabError, match="no row of a table that today changes"):
        attack_tables(TODAY.of(CANCUN), call("stop"))
    with pytest.raises(LabError, match="has no sample"):
        sample_of(TODAY, CANCUN)
