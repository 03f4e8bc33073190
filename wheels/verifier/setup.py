"""What is in the verifier's wheel: the modules that its commands import, directly or not, and nothing else.

They are taken from the project's own folders as they are, and so are the version and the bounds of the libraries, so
that there is nothing to keep in step. Run from this folder, as build frontends do.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = ("executor", "circuits", "verifier", "zkevm")

#: Where the imports start: the commands, and what of the names of `zkevm` is about proofs.
COMMANDS = ("zkevm.__main__", "zkevm.verifying", "zkevm.proof")
#: What an installation of the verifier does without: `zkevm.__main__` looks whether it is there.
LEFT_OUT = "zkevm.main"
#: What no module imports by name: the hash functions behind eth-hash.
BACKENDS = {"pycryptodome"}


def path_of(module: str) -> Path | None:
    """The file of a module of the project; None if there is none."""
    if module.split(".")[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def made(node: ast.AST) -> Iterator[ast.AST]:
    """What is within a node, but for what is imported for types only: nobody needs that to run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from made(child)


def imported(file: Path) -> Iterator[str]:
    """All names that a file imports anywhere; of `from x import y` both x and x.y, which may be a module."""
    for node in made(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def closure() -> tuple[dict[str, Path], set[str]]:
    """The modules by name, and the names of the other packages that they import."""
    modules: dict[str, Path] = {}
    others: set[str] = set()
    waiting = list(COMMANDS)
    while waiting:
        name = waiting.pop()
        file = path_of(name)
        if name in modules or name == LEFT_OUT:
            continue
        if file is None:
            others.add(name.split(".")[0])
            continue
        modules[name] = file
        # A module is imported behind the packages above it.
        waiting += [name.rpartition(".")[0]] if "." in name else []
        waiting += imported(file)
    return modules, others - set(PACKAGES) - sys.stdlib_module_names


MODULES, OTHERS = closure()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def dependencies() -> list[str]:
    """The project's dependencies that the modules import. All of them bear the names of what is imported."""
    wanted = {name.replace("_", "-") for name in OTHERS} | BACKENDS
    return [text for text in PROJECT["dependencies"] if re.split(r"[^A-Za-z0-9-]", text)[0] in wanted]


class Build(build_py):
    """Takes of each package the modules that are needed."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found = super().find_package_modules(package, package_dir)
        return [
            (own, module, file)
            for own, module, file in found
            if (own if module == "__init__" else f"{own}.{module}") in MODULES
        ]


# Nothing is left in the sources, and nothing of an earlier build gets into this one.
SCRATCH = tempfile.TemporaryDirectory()

setup(
    version=PROJECT["version"],
    install_requires=dependencies(),
    package_dir={"": "../.."},
    packages=sorted(name for name, file in MODULES.items() if file.name == "__init__.py"),
    package_data={"": ["py.typed"], "verifier.keys": ["*/*"]},
    include_package_data=False,
    cmdclass={"build_py": Build},
    options={"build": {"build_base": SCRATCH.name}, "egg_info": {"egg_base": SCRATCH.name}},
)
