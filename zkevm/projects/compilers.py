"""Compilers of Solidity, Yul and Vyper, wherever they are installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zkevm.projects.artifacts import Artifact, ArtifactError, code_of
from zkevm.projects.plan import Compiler

SECONDS = 300.0

_NPM_SOLC = Path("node_modules", "solc", "solc.js")
_NO_VYPER = "install it: `pip install vyper` here, or anywhere else with `vyper` on the PATH"


class CompilerError(ArtifactError):
    """A source was not compiled; `line` is where, in the source, if the compiler says so."""

    def __init__(self, reason: str, hint: str = "", line: int | None = None) -> None:
        super().__init__(reason, hint)
        self.line = line


@dataclass(frozen=True)
class Compiled:
    """The contracts of a source, by name; of Vyper there is one, which has its file's."""

    contracts: Mapping[str, Artifact]


def compile_source(file: Path, folder: Path, options: Compiler) -> Compiled:
    """Compile a source file.

    Args:
        file: ends in .sol, .yul or .vy.
        folder: of the project; imports are found in it and in its node_modules.
        options: of the plan.

    Raises:
        CompilerError: no compiler is installed, or it refuses the source.
        ArtifactError: a contract has no code.
    """
    if not file.is_file():
        raise ArtifactError("there is no such file")
    file, folder = file.resolve(), folder.resolve()  # compilers run in the folder
    if file.suffix == ".vy":
        return _vyper(file, folder, options)
    return _solc(file, folder, options)


def _solc(file: Path, folder: Path, options: Compiler) -> Compiled:
    language = "Yul" if file.suffix == ".yul" else "Solidity"
    name = str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)
    request = {
        "language": language,
        "sources": {name: {"content": file.read_text()}},
        "settings": {
            "evmVersion": options.evm,
            "optimizer": {"enabled": options.optimizer_runs > 0, "runs": options.optimizer_runs or 200},
            "outputSelection": {name: {"*": ["abi", "evm.bytecode.object", "metadata"]}},
        },
    }
    output = _run([*_solc_command(folder), "--standard-json", *_paths(folder)], folder, json.dumps(request))
    # The compiler's wrapper of npm prints remarks of its own before the JSON object.
    try:
        result: dict[str, Any] = json.loads(output[output.index("{") :])
    except ValueError:
        raise CompilerError(f"the compiler gives no JSON, but {_first_line(output)[:200]!r}") from None
    messages = [error for error in result.get("errors", ()) if error.get("severity") == "error"]
    if messages:
        place = re.search(rf"{re.escape(name)}:(\d+):\d+", str(messages[0].get("formattedMessage", "")))
        more = f", and {len(messages) - 1} more errors" if len(messages) > 1 else ""
        reason = _first_line(str(messages[0]["message"])) + more
        raise CompilerError(reason, line=int(place[1]) if place else None)
    found: dict[str, Artifact] = {}
    for contract, compiled in result.get("contracts", {}).get(name, {}).items():
        code = compiled["evm"]["bytecode"]["object"]
        if code:  # interfaces have none
            found[contract] = Artifact(code_of(code), compiled.get("abi") or None, _version_of(compiled, language))
    return Compiled(found)


def _version_of(compiled: Mapping[str, Any], language: str) -> str:
    try:
        return f"solc {json.loads(compiled['metadata'])['compiler']['version']}"
    except (KeyError, ValueError, TypeError):
        return f"solc ({language})"


def _solc_command(folder: Path) -> list[str]:
    """The Solidity compiler that is nearest: of the project, of this environment, of the machine."""
    script = next((above / _NPM_SOLC for above in (folder, *folder.parents) if (above / _NPM_SOLC).is_file()), None)
    if script is not None:
        if node := shutil.which("node"):
            return [node, str(script)]
        raise CompilerError(f"{script} needs node, which is not installed", _how_to_install_solc(folder))
    try:
        import solcx
    except ImportError:
        pass
    else:
        if versions := solcx.get_installed_solc_versions():
            return [str(solcx.install.get_executable(max(versions)))]
    if solc := shutil.which("solc"):
        return [solc]
    raise CompilerError("there is no Solidity compiler", _how_to_install_solc(folder))


def _how_to_install_solc(folder: Path) -> str:
    return (
        f"install one: `npm install --prefix {os.path.relpath(folder)} solc`, or `pip install py-solc-x` and "
        "`solcx.install_solc()` in Python, or put `solc` on the PATH; or name an artifact of Foundry or Hardhat as the "
        "source"
    )


def _paths(folder: Path) -> list[str]:
    """Where imports are found."""
    packages = [above / "node_modules" for above in (folder, *folder.parents) if (above / "node_modules").is_dir()]
    return ["--base-path", str(folder), *(part for path in packages for part in ("--include-path", str(path)))]


def _vyper(file: Path, folder: Path, options: Compiler) -> Compiled:
    own = Path(sys.executable).with_name("vyper")
    command = str(own) if own.is_file() else shutil.which("vyper")
    if command is None:
        raise CompilerError("there is no Vyper compiler", _NO_VYPER)
    flags = ["-f", "combined_json", "--evm-version", options.evm, "-p", str(folder)]
    output = _run([command, *flags, str(file)], folder)
    try:
        result = json.loads(output)
        version = f"vyper {result.pop('version', '')}".strip()
        (compiled,) = result.values()
        code, abi = compiled["bytecode"], compiled["abi"]
    except (ValueError, KeyError, AttributeError):
        raise CompilerError(f"the compiler gives no JSON of one contract, but {output[:200]!r}") from None
    return Compiled({file.stem: Artifact(code_of(code), abi, version)})


def _run(command: list[str], folder: Path, stdin: str = "") -> str:
    # Into a file: of what the Solidity compiler of npm writes into a pipe, node drops all behind the first 64 KiB.
    with tempfile.TemporaryFile("w+") as file:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                input=stdin,
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CompilerError(f"the compiler takes more than {SECONDS:.0f} s") from None
        file.seek(0)
        output = file.read()
    if done.returncode:
        said = done.stderr.strip() or output.strip()
        # Vyper names the line behind the file; the last line with a colon says what is wrong.
        place = re.search(r"\.vy:(\d+)|\bline (\d+):", said)
        line = int(next(filter(None, place.groups()))) if place else None
        raise CompilerError(_first_line(said) or f"the compiler fails with status {done.returncode}", line=line)
    return output


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
