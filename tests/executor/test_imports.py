"""Imports go one way: no module of the executor is imported, however indirectly, by what it imports."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import executor

ROOT = Path(executor.__file__).parent


def imports(source: str, package: str, modules: frozenset[str]) -> set[str]:
    """Which of the ``modules`` of a package a source imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.update(name.removeprefix(package + ".") for name in names)
    return found & modules


def order(sources: dict[str, str], package: str) -> list[str]:
    """The modules of a package, each after all that it imports."""
    modules = frozenset(sources)
    return list(
        TopologicalSorter({name: imports(source, package, modules) for name, source in sources.items()}).static_order()
    )


def test_the_executor_has_no_import_circle() -> None:
    sources = {path.stem: path.read_text() for path in ROOT.glob("*.py")}
    modules = order(sources, "executor")
    assert set(modules) == set(sources)
    assert modules.index("batch") < modules.index("chain") < modules.index("fixtures") < modules.index("inputs")


def test_a_circle_is_found_though_it_is_closed_within_a_function() -> None:
    sources = {"a": "from p import b", "b": "def f() -> None:\n    from p.a import x\n"}
    with pytest.raises(CycleError):
        order(sources, "p")
