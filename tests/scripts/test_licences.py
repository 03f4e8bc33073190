"""The list of licences is the one of what is locked."""

from __future__ import annotations

import shutil
from email.message import Message

import pytest

from scripts.licences import FILE, crates, licence, packages, page


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo tells which crates are linked")
def test_the_list_is_that_of_what_is_installed() -> None:
    """`python -m scripts.licences` writes it."""
    assert FILE.read_text() == page()
    assert {"openvm-stark-backend", "pyo3", "rayon"} <= set(crates())
    assert "criterion" not in crates(), "what only benchmarks need is not linked"
    assert "thiserror-impl" not in crates(), "nor are macros"
    assert {"py-evm", "fastapi", "eth-account"} <= set(packages())
    assert "pytest" not in packages()


def test_a_licence_as_short_as_it_is_named() -> None:
    metadata = Message()
    assert licence(metadata) == "see its files"
    metadata["Classifier"] = "License :: OSI Approved :: MIT License"
    assert licence(metadata) == "MIT"
    metadata["License"] = "Copyright somebody\nPermission is granted"
    assert licence(metadata) == "MIT"
    del metadata["License"]
    metadata["License"] = "BSD"
    assert licence(metadata) == "BSD"
    metadata["License-Expression"] = "BSD-3-Clause"
    assert licence(metadata) == "BSD-3-Clause"
