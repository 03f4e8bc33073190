"""The instances of a call with several parts."""

from __future__ import annotations

import pytest

from circuits.air.checker import check_circuit
from circuits.fields.calls import Instances, components
from executor.forks import CANCUN
from scripts.batches.builder import Builder
from scripts.batches.precompiles import BN_G1, BN_G2
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import closed, fill_family

GOOD, BAD = (*BN_G1, *BN_G2), (1, 3, *BN_G2)


@pytest.mark.parametrize(
    "words", [(*GOOD, *GOOD), BAD, (*BAD, *GOOD), (*GOOD, *BAD), (*GOOD, *GOOD, *BAD)], ids=["2", "0", "0+", "1", "2"]
)
def test_pairings_with_an_invalid_pair_in_any_place(words: tuple[int, ...]) -> None:
    """A part that makes the call fail stands behind others, which it does not read."""
    stores = " ".join(f"0x{word:x} {32 * i} mstore" for i, word in enumerate(words))
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble(f"{stores} 32 0 {32 * len(words)} 0 8 gas staticcall").hex())
    execution = execution_of(building.block(call_contract(building, 0, CONTRACT, gas=3_000_000, data="0x")).execute())
    family = [c for c in components(CANCUN) if isinstance(c.table, Instances)]
    circuit, traces = closed([c.table for c in family], fill_family(family, execution))
    assert check_circuit(circuit, traces, [[] for _ in traces]) == []
