"""Damaged files of every kind: a decoder gives a value or its own error, within bounds.

`scripts.fuzzing` goes on for as long as it is told to.
"""

from __future__ import annotations

import pytest

from scripts.fuzzing.target import Target
from scripts.fuzzing.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files(target: Target) -> None:
    target.attack(max(1, target.examples // 2), None)


@pytest.mark.deep
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_many_damaged_files(target: Target) -> None:
    target.attack(20 * target.examples, 1)
