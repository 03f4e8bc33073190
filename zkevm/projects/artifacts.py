"""What compilers give: code and ABI, also from the folders of Foundry and Hardhat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.json_values import parse_data, parse_object

#: Folders within a folder of artifacts that hold none of contracts.
_NO_CONTRACTS = frozenset({"build-info", "cache"})


class ArtifactError(Exception):
    """An artifact cannot be used.

    Args:
        reason: why, in one line.
        hint: what can be done, or an empty string.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


@dataclass(frozen=True)
class Artifact:
    """A compiled contract.

    Attributes:
        code: what creates it, without arguments.
        abi: its functions, events and errors; None where the compiler tells none.
        compiler: what made it, in words.
    """

    code: bytes
    abi: Sequence[dict[str, Any]] | None
    compiler: str


def read_artifact(file: Path) -> Artifact:
    """The contract of an artifact: Foundry's, Hardhat's, or solc's output for one contract.

    Raises:
        ArtifactError: unreadable, no artifact, without code, or not linked.
    """
    try:
        document = parse_object(file.read_bytes())
    except OSError as error:
        raise ArtifactError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArtifactError(str(error)) from None
    code = document.get("bytecode")
    if code is None and isinstance(document.get("evm"), dict):
        code = document["evm"].get("bytecode")
    compiler = "Hardhat" if str(document.get("_format", "")).startswith("hh-") else "solc"
    if isinstance(code, dict):
        compiler = "Foundry" if "evm" not in document else compiler
        code = code.get("object")
    if not isinstance(code, str):
        raise ArtifactError("no artifact: it has no bytecode", "artifacts are out/*.sol/*.json or artifacts/**/*.json")
    abi = document.get("abi")
    if abi is not None and not (isinstance(abi, list) and all(isinstance(item, dict) for item in abi)):
        raise ArtifactError("its abi is no list of objects")
    return Artifact(code_of(code), abi, f"{compiler} artifact")


def find_artifact(folder: Path, name: str) -> Path:
    """The artifact of a contract somewhere in a folder of Foundry's (`out`) or Hardhat's (`artifacts`).

    Raises:
        ArtifactError: there is none, or there are several.
    """
    found = sorted(
        path for path in folder.rglob(f"{name}.json") if _NO_CONTRACTS.isdisjoint(path.relative_to(folder).parts)
    )
    if not found:
        raise ArtifactError(f"no {name}.json in {folder}", "compile it: `forge build` or `npx hardhat compile`")
    if len(found) > 1:
        listed = ", ".join(str(path.relative_to(folder)) for path in found)
        raise ArtifactError(f"several {name}.json in {folder}: {listed}", "name the file itself")
    return found[0]


def code_of(text: str) -> bytes:
    """Creation code from its hexadecimal digits.

    Raises:
        ArtifactError: there is none (an interface or an abstract contract), or libraries are missing in it.
    """
    if "_" in text:
        raise ArtifactError(
            "its code lacks the address of a library",
            "make the library's functions internal, or link it with the address of a contract",
        )
    try:
        code = parse_data(text)
    except ValueError as error:
        raise ArtifactError(f"its code is {error}") from None
    if not code:
        raise ArtifactError("it has no code: an interface or an abstract contract", "name one that is whole")
    return code
