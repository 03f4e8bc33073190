"""Blocks of the public tests of later forks: valid ones pass all that the verifier checks without proofs,
and those that break one of its rules are refused for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.execute import execute
from executor.fixtures import case_batch, case_steps, fixture_files, parse_case
from tests.verifier.public_blocks import file_of, invalid_file, refusal, unexecuted_file

ARCHIVE = Path(__file__).parent.parent / "executor" / "fixtures" / "later_forks.tar.xz"
CASES: dict[str, Any] = {
    name: document for file, _ in fixture_files([ARCHIVE]) for name, document in file.documents().items()
}

#: Exceptions that cases name: the check that refuses the block, and a part of the reason. Others are the circuits'.
REASONS = {
    "BlockException.INVALID_DEPOSIT_EVENT_LAYOUT": None,  # needs receipts, which no execution gives
    "BlockException.INVALID_REQUESTS": ("requests", "requests hash is not that"),
    "BlockException.SYSTEM_CONTRACT_CALL_FAILED": None,
    "BlockException.SYSTEM_CONTRACT_EMPTY": None,
    "TransactionException.GAS_LIMIT_EXCEEDS_MAXIMUM": ("transactions", "at most 16777216 are allowed"),
    "TransactionException.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST": None,
    "TransactionException.INTRINSIC_GAS_TOO_LOW": None,
    "TransactionException.TYPE_3_TX_BLOB_COUNT_EXCEEDED": ("transactions", "blobs, 1 to 6 are allowed"),
    "TransactionException.TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED": ("headers", "blob gas used is above"),
    "TransactionException.TYPE_4_TX_CONTRACT_CREATION": None,  # no block that the executor decodes
}


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.partition("::")[2])
def test_valid_blocks_pass_and_invalid_ones_are_refused(name: str) -> None:
    case = parse_case(name, CASES[name])
    for step, block in zip(case_steps(case), case.blocks, strict=True):
        if step.valid:
            assert refusal(file_of(execute(case_batch(case, step.chain), trace=False))) is None
            continue
        assert block.expect_exception is not None
        reason = REASONS[block.expect_exception]
        if reason is None:
            continue
        make = invalid_file if reason[0] == "requests" else unexecuted_file
        refused = refusal(make(case, step.chain))
        assert refused is not None
        assert refused.check == reason[0]
        assert reason[1] in refused.reason


def test_the_sample_has_all_that_the_verifier_decides() -> None:
    """Every reason above."""
    named = {block.get("expectException") for document in CASES.values() for block in document["blocks"]} - {None}
    assert named == REASONS.keys()
