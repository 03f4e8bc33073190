"""The assembler of the examples' own bytecode."""

from __future__ import annotations

import pytest

from scripts.workloads.assembler import assemble


def test_pushes_are_the_shortest() -> None:
    assert assemble("0 1 255 256 0x010000").hex() == "5f600160ff61010062010000"
    assert assemble(str(2**256 - 1)) == b"\x7f" + b"\xff" * 32


def test_labels_in_both_directions_and_comments() -> None:
    code = assemble("start: @end jump ; an endless @loop\n @start jump end: stop")
    assert code.hex() == "5b" + "610009" + "56" + "610000" + "56" + "5b" + "00"


def test_instructions_have_their_opcodes() -> None:
    # Appendix H of the yellow paper, EIP-5656, EIP-1153
    assert (
        assemble("add sha3 mload sstore dup16 swap1 mcopy tload push0 revert").hex() == "01205155" + "8f90" + "5e5c5ffd"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@nowhere", "no label"),
        ("a: a:", "twice"),
        ("addd", "unknown"),
        (str(2**256), "32 bytes"),
        ("push1 5", "unknown"),
    ],
)
def test_errors(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assemble(source)
