"""Imports go one way: between modules, between packages, and between the rooms of `circuits` and of `scripts`.

Every import counts, also those within functions and those made for types only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from circuits.segment import EXECUTOR_MODULES

ROOT = Path(__file__).parent.parent
PACKAGES = ("executor", "circuits", "prover", "verifier", "service", "zkevm", "scripts", "lab")

#: What the modules of a package, beside their own, may import: modules or packages.
ARROWS: dict[str, tuple[str, ...]] = {
    "executor": (),
    # Constants of the EVM, the trace and its encodings: nothing that executes.
    "circuits": tuple(f"executor.{name}" for name in EXECUTOR_MODULES),
    # Beside the circuits the base of all errors.
    "verifier": ("circuits", "executor.errors"),
    # The proof file and how several are joined, the pinned keys, how large a segment may be, what it states, what a
    # tree over segments states, and the checks that it must pass.
    "prover": (
        "executor",
        "circuits",
        "verifier.container",
        "verifier.errors",
        "verifier.joining",
        "verifier.keys",
        "verifier.sizes",
        "verifier.statement",
        "verifier.trees",
        "verifier.verify",
    ),
    "service": ("executor", "circuits", "prover", "verifier"),
    "zkevm": ("executor", "circuits", "prover", "verifier", "service"),
    "scripts": ("executor", "circuits", "prover", "verifier", "service", "zkevm"),
    # Of the scripts the batches and what attacks; nothing imports the laboratory.
    "lab": (
        *("executor", "circuits", "prover", "verifier", "zkevm"),
        *("scripts.batches", "scripts.campaign", "scripts.workloads"),
    ),
}

#: Rooms of `circuits`, its modules beside the rooms included: what each may import of the others.
ROOMS: dict[str, str] = {
    "widths": "",
    "limbs": "",
    "air": "",
    "functions": "air limbs widths",
    "statement": "air functions widths",
    "hashing": "air functions statement widths",
    "programs": "functions",
    "batch": "functions limbs programs statement widths",
    "component": "air batch",
    "memory": "air batch component functions limbs programs widths",
    "state": "air batch component functions hashing limbs statement widths",
    "frames": "air batch component functions hashing limbs memory state statement widths",
    "transactions": "air batch component frames hashing limbs memory state statement widths",
    "instructions": "air batch component frames functions hashing limbs memory state statement transactions widths",
    "modexp": "air batch functions memory widths",
    "precompiles": "air batch component frames functions instructions memory modexp widths",
    "fields": "air batch component frames functions instructions memory programs widths",
    "carry": "air fields frames hashing instructions memory state statement transactions widths",
    "segment": (
        "air batch carry component fields frames functions instructions memory precompiles state statement "
        "transactions widths"
    ),
    "parts": "air batch carry component fields functions memory segment statement widths",
}

#: Rooms of `scripts`, in the same way.
SCRIPTS: dict[str, str] = {
    "workloads": "",
    "batches": "workloads",
    "forging": "",
    "fuzzing": "batches",
    "campaign": "batches forging",
    "benchmarks": "batches workloads",
    "pin_keys": "",
    "fields": "",
    "example_queue": "",
    "licences": "",
    "map": "",
    "site": "map",
    "screenshots": "",
}


@cache
def modules() -> dict[str, Path]:
    """All modules of the packages by name; a package is the module of its `__init__`."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def nodes(node: ast.AST, for_types: bool) -> Iterator[ast.AST]:
    """All that is within a node, with or without what is done for types only."""
    for child in ast.iter_child_nodes(node):
        only = isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"
        if for_types or not only:
            yield child
            yield from nodes(child, for_types)


@cache
def imports(name: str, for_types: bool = True) -> tuple[str, ...]:
    """What a module imports, by full names: of the packages' modules where it is one, else as it is written."""
    found: set[str] = set()
    for node in nodes(ast.parse(modules()[name].read_text()), for_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{name}: a relative import"
            assert not node.level, f"{name}: a relative import"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in modules() else node.module for module in below}
    return tuple(sorted(found))


def is_below(module: str, above: str) -> bool:
    """Whether a module is this one or lies within it."""
    return module == above or module.startswith(f"{above}.")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])[::-1]
    return []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: {i for i in imports(name) if i in modules() and i != name} for name in modules()}
    assert not circle(graph), "imports in a circle"


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    """`scripts` and all others import no tests."""
    allowed = (package, *ARROWS[package])
    wrong = [
        f"{name} imports {imported}"
        for name in modules()
        if is_below(name, package)
        for imported in imports(name)
        if imported.split(".")[0] in (*PACKAGES, "tests") and not any(is_below(imported, a) for a in allowed)
    ]
    assert not wrong


def rooms(package: str) -> Iterator[tuple[str, str, str]]:
    """All imports between rooms of a package: the importing module, its room, and the room it imports."""
    for name in modules():
        if not is_below(name, package) or name == package:
            continue
        room = name.split(".")[1]
        for imported in imports(name):
            if imported.startswith(f"{package}.") and imported.split(".")[1] != room:
                yield name, room, imported.split(".")[1]


@pytest.mark.parametrize(("package", "table"), [("circuits", ROOMS), ("scripts", SCRIPTS)])
def test_rooms_import_one_way(package: str, table: dict[str, str]) -> None:
    wrong = [f"{name} imports {of}" for name, room, of in rooms(package) if of not in table[room].split()]
    assert not wrong


@pytest.mark.parametrize(("package", "table"), [("circuits", ROOMS), ("scripts", SCRIPTS)])
def test_the_tables_allow_nothing_that_nobody_does(package: str, table: dict[str, str]) -> None:
    allowed = {(room, of) for room, others in table.items() for of in others.split()}
    assert {(room, of) for _, room, of in rooms(package)} == allowed


@pytest.mark.parametrize("table", [ROOMS, SCRIPTS])
def test_rooms_have_no_circle(table: dict[str, str]) -> None:
    assert not circle({room: set(others.split()) for room, others in table.items()})


@pytest.mark.parametrize(("package", "table"), [("circuits", ROOMS), ("scripts", SCRIPTS)])
def test_rooms_say_what_they_import(package: str, table: dict[str, str]) -> None:
    """In the last sentence of their `__init__`."""
    said = {}
    for path in (ROOT / package).glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        sentence = re.search(r"^May import(?: of `scripts`)?: ([a-z, ]+)\.$", text, re.MULTILINE)
        assert sentence, f"{path} does not say what the room may import"
        said[path.parent.name] = "" if sentence[1].startswith("nothing") else sentence[1].replace(",", "")
    assert said == {room: table[room] for room in said}
