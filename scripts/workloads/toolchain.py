"""Contract code from real compilers and published packages, all in pinned versions.

Sources and the list of npm packages are in ``scripts/workloads/contracts``. Everything is installed in a folder of its
own by the ordinary clients (npm, pip, cargo), so none of it is a dependency of the project.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from eth_utils.crypto import keccak

SOURCES = Path(__file__).resolve().parent / "contracts"

EVM_VERSION = "cancun"
OPTIMIZER_RUNS = 200
VYPER_VERSION = "0.4.3"

# The package that publishes the ray tracer's runtime code, as the benchmark of an interpreter.
SNAILTRACER_CRATE = "revme"
SNAILTRACER_CRATE_VERSION = "43.0.3"
SNAILTRACER_FILE = "src/cmd/bench/snailtracer.hex"
SNAILTRACER_CODE_HASH = "fe52880d7fca1f585e267c77d696523fb89925f31407bf97886a622217e1c3bd"

SOLIDITY = ("Token.sol", "Collectible.sol", "Deployer.sol")
PUBLISHED = {
    "UniswapV2Factory": "@uniswap/v2-core",
    "UniswapV2Pair": "@uniswap/v2-core",
    "UniswapV2Router02": "@uniswap/v2-periphery",
    "WETH9": "@uniswap/v2-periphery",
}
VYPER_TOKEN = "token.vy"
YUL_TOKEN = "token.yul"


class CodeSource(Protocol):
    """Where workloads get contract code from."""

    def creation_code(self, contract: str) -> bytes:
        """Creation code without constructor arguments: of a Solidity or Uniswap contract, or of a token's file."""

    def snailtracer(self) -> bytes:
        """Runtime code of the ray tracer."""


class Toolchain:
    """Compilers and packages in a folder, installed when they are first needed.

    Args:
        folder: existing folder to install in; one that was used before is used again.

    Raises (all methods):
        ToolchainError: a client or a compiler failed, or gave other code than expected.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.creation_code = cache(self._creation_code)

    def _creation_code(self, contract: str) -> bytes:
        if contract in PUBLISHED:
            return self._published(contract)
        if contract == VYPER_TOKEN:
            return self._vyper(contract)
        if contract == YUL_TOKEN:
            return self._compiled_by_solc("Yul", (contract,))["Token"]
        return self._solidity[contract]

    @cached_property
    def _solidity(self) -> dict[str, bytes]:
        return self._compiled_by_solc("Solidity", SOLIDITY)

    @cached_property
    def _packages(self) -> Path:
        """The folder with npm's packages and the sources beside them."""
        folder = self._folder / "npm"
        folder.mkdir(exist_ok=True)
        for source in SOURCES.iterdir():
            shutil.copy(source, folder)
        _run(["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        return folder

    def _compiled_by_solc(self, language: str, names: tuple[str, ...]) -> dict[str, bytes]:
        request = {
            "language": language,
            "sources": {name: {"content": (SOURCES / name).read_text()} for name in names},
            "settings": {
                "evmVersion": EVM_VERSION,
                "optimizer": {"enabled": True, "runs": OPTIMIZER_RUNS},
                "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
            },
        }
        command = ["node", "node_modules/solc/solc.js", "--standard-json", "--base-path", ".", "--include-path"]
        output = _run([*command, "node_modules"], self._packages, json.dumps(request))
        # The compiler's wrapper prints remarks of its own before the JSON object.
        result = json.loads(output[output.index("{") :])
        errors = [error["formattedMessage"] for error in result.get("errors", ()) if error["severity"] == "error"]
        if errors:
            raise ToolchainError("\n".join(errors))
        return {
            contract: bytes.fromhex(compiled["evm"]["bytecode"]["object"])
            for name in names
            for contract, compiled in result["contracts"][name].items()
        }

    def _published(self, contract: str) -> bytes:
        artifact = self._packages / "node_modules" / PUBLISHED[contract] / "build" / f"{contract}.json"
        document: dict[str, Any] = json.loads(artifact.read_text())
        return bytes.fromhex(document["evm"]["bytecode"]["object"])

    def _vyper(self, name: str) -> bytes:
        environment = self._folder / f"vyper-{VYPER_VERSION}"
        if not (environment / "bin" / "vyper").exists():
            venv.create(environment, with_pip=True)
            python = str(environment / "bin" / "python")
            _run([python, "-m", "pip", "install", "--quiet", f"vyper=={VYPER_VERSION}"], self._folder)
        compiler = str(environment / "bin" / "vyper")
        output = _run([compiler, "-f", "bytecode", "--evm-version", EVM_VERSION, name], SOURCES)
        return bytes.fromhex(output.strip().removeprefix("0x"))

    @cache  # noqa: B019 - a toolchain lives as long as the program
    def snailtracer(self) -> bytes:
        """Runtime code of the ray tracer."""
        # `cargo info` unpacks the package's published files, and none of its dependencies.
        _run(["cargo", "info", f"{SNAILTRACER_CRATE}@{SNAILTRACER_CRATE_VERSION}"], self._folder)
        registry = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry" / "src"
        for path in registry.glob(f"*/{SNAILTRACER_CRATE}-{SNAILTRACER_CRATE_VERSION}/{SNAILTRACER_FILE}"):
            code = bytes.fromhex(path.read_text().strip())
            if keccak(code).hex() == SNAILTRACER_CODE_HASH:
                return code
        raise ToolchainError(f"no {SNAILTRACER_FILE} of the expected hash in {SNAILTRACER_CRATE}")


class ToolchainError(Exception):
    """A compiler or a package client failed."""


def _run(command: list[str], folder: Path, stdin: str = "") -> str:
    try:
        done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ToolchainError(f"{command[0]} is needed to build these examples") from None
    except subprocess.CalledProcessError as error:
        print(error.stdout, error.stderr, sep="\n", file=sys.stderr)
        raise ToolchainError(f"{' '.join(command)}: exit status {error.returncode}") from None
    return done.stdout
