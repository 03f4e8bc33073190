"""Precompiled contracts as the executor has them."""

from __future__ import annotations

from eth.precompiles import point_evaluation

import executor.precompiles  # noqa: F401


def test_the_setup_of_point_evaluations_is_read_once() -> None:
    """Reading it takes seconds."""
    read = vars(point_evaluation)["load_trusted_setup"]
    assert read(point_evaluation.TRUSTED_SETUP_PATH, 0) is read(point_evaluation.TRUSTED_SETUP_PATH, 0)
