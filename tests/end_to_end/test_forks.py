"""A proof of blocks of several forks is accepted with what it says, and rejected with anything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scripts.batches.chain import (
    DEPOSIT,
    deposit_log,
    refit_receipts,
    reheader,
    requests_digest,
)
from tests.end_to_end.batches import rejecting_check, three_forks
from tests.verifier.proving import Proved, prove_here
from verifier.container import ProofFile, encode_proof
from verifier.errors import Rejected
from verifier.verify import circuits_of_segments, verify

FORKS = "cancun, prague from 1024, osaka from 1036"
#: Of the blocks: a transaction; two writes, four transactions, two calls; two writes, a transaction, two calls.
SCOPES = (0, 1, 9, 14)


@pytest.fixture(scope="module")
def proved() -> Proved:
    return prove_here(three_forks().execute(), None)


def test_it_is_accepted(proved: Proved) -> None:
    for engine in ("native", "python"):
        report = verify(proved.content, engine, expected={"fork": FORKS})
        assert (report.statement.fork, report.blocks, report.segments) == (FORKS, 3, 3)
    assert circuits_of_segments(proved.content) == ["cancun-light", "prague-light", "osaka-light"]
    assert [segment.first for segment in proved.file.segments] == list(SCOPES[:-1])
    assert [receipt.status for receipt in proved.file.receipts] == [1] * 6
    assert [[len(output) for output in block.outputs] for block in proved.file.blocks] == [[], [152, 116], [0, 0]]


def _block(file: ProofFile, number: int, **changes: Any) -> ProofFile:
    blocks = list(file.blocks)
    blocks[number] = replace(blocks[number], **changes)
    return replace(file, blocks=tuple(blocks))


def _outputs(file: ProofFile, number: int, first: bytes, second: bytes) -> ProofFile:
    """Other outputs of the calls of a block, to which its header commits."""
    changed = _block(file, number, outputs=(first, second))
    return reheader(changed, number, requests_hash=requests_digest(DEPOSIT if number == 1 else b"", first, second))


def test_the_lies_below_are_refused_for_what_they_say(proved: Proved) -> None:
    """What makes them fit does nothing to the honest file."""
    first, second = proved.file.blocks[1].outputs
    assert encode_proof(_outputs(proved.file, 1, first, second)) == proved.content
    assert encode_proof(_outputs(proved.file, 2, b"", b"")) == proved.content


@pytest.mark.parametrize(
    "change",
    [
        lambda first, second: (first[:-1] + b"\x7f", second),
        lambda first, second: (b"\x7f" + first[1:], second),
        lambda first, second: (first[76:] + first[:76], second),
        lambda first, second: (first[:76], second),
        lambda first, second: (first + first[:76], second),
        lambda first, second: (first + b"\0", second),
        lambda first, second: (b"", second),
        lambda first, second: (first, second[:-1] + b"\x7f"),
        lambda first, second: (first, b""),
        lambda first, second: (second, first),
        lambda first, second: (b"", b""),
    ],
)
def test_other_requests(proved: Proved, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    """Somebody's withdrawal dropped, changed, or made up."""
    assert rejecting_check(_outputs(proved.file, 1, *change(*proved.file.blocks[1].outputs))) == "leaves"


@pytest.mark.parametrize("outputs", [(bytes(76), b""), (b"", bytes(116)), (b"\0", b"")])
def test_requests_of_a_block_that_has_none(proved: Proved, outputs: tuple[bytes, bytes]) -> None:
    assert rejecting_check(_outputs(proved.file, 2, *outputs)) == "leaves"


def test_another_deposit(proved: Proved) -> None:
    """The log says so, too, with the roots and the bloom that follow; then no transaction has left it."""
    receipts = list(proved.file.receipts)
    other = DEPOSIT[:-1] + b"\0"
    receipts[4] = replace(receipts[4], logs=(deposit_log(other),))
    lie = refit_receipts(proved.file, receipts)
    assert rejecting_check(lie) == "requests"
    digest = requests_digest(other, *proved.file.blocks[1].outputs)
    assert rejecting_check(reheader(lie, 1, requests_hash=digest)) == "leaves"


def test_a_deposit_that_nobody_sees(proved: Proved) -> None:
    digest = requests_digest(b"", *proved.file.blocks[1].outputs)
    assert rejecting_check(reheader(proved.file, 1, requests_hash=digest)) == "requests"


def test_another_parent_hash_in_the_history(proved: Proved) -> None:
    """Another header before a block of Prague is another hash that it writes (EIP-2935)."""
    for number in (0, 1):
        assert rejecting_check(reheader(proved.file, number, extra_data=b"another")) == "leaves"


def _stated(file: ProofFile, fork: str) -> ProofFile:
    return replace(file, statement=replace(file.statement, fork=fork))


@pytest.mark.parametrize(
    ("fork", "check"),
    [
        ("cancun", "headers"),
        ("prague", "headers"),
        ("cancun, osaka from 1036", "headers"),
        ("cancun, prague from 1036", "headers"),
        # By these each block is valid; but other circuits would have had to prove them.
        ("cancun, prague from 1024", "proofs"),
        ("cancun, osaka from 1024", "proofs"),
    ],
)
def test_other_forks(proved: Proved, fork: str, check: str) -> None:
    assert rejecting_check(_stated(proved.file, fork)) == check


def test_times_by_which_the_same_blocks_are_of_the_same_forks(proved: Proved) -> None:
    """They are another statement, which is true, too: whoever knows the chain's compares."""
    file = _stated(proved.file, "cancun, prague from 1013, osaka from 1025")
    report = verify(encode_proof(file))
    assert report.statement.digest != proved.file.statement.digest
    with pytest.raises(Rejected, match="statement: fork is"):
        verify(encode_proof(file), expected={"fork": FORKS})


def test_one_proof_for_two_forks(proved: Proved) -> None:
    """The segment of one fork in the place of the other's."""
    segments = proved.file.segments
    for first, second in ((0, 1), (1, 2), (2, 1)):
        changed = list(segments)
        changed[first] = replace(segments[first], proof=segments[second].proof)
        assert rejecting_check(replace(proved.file, segments=tuple(changed))) == "proofs"
