"""A new project: a token, a plan, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from zkevm.projects.errors import ProjectError
from zkevm.projects.plan import NAME

Language = Literal["solidity", "vyper", "yul"]
"""What the token of a new project is written in."""

TEMPLATES = Path(__file__).with_name("templates")

_SUFFIXES: dict[Language, str] = {"solidity": "sol", "vyper": "vy", "yul": "yul"}

#: What the plan says of the token, by whether its compiler gives an ABI.
_WITH_ABI = {
    "deployment": '      args: ["My token", 1_000_000]',
    "transfer": "",
    "approve": "",
    "transfer_from": "",
}
_WITHOUT_ABI = {
    "deployment": "      types: [uint256]    # Yul has no ABI: types are named\n      args: [1_000_000]",
    "transfer": "(address,uint256)",
    "approve": "(address,uint256)",
    "transfer_from": "(address,address,uint256)",
}

_IGNORED = "batch.json\n*.proof\n*.segments/\nnode_modules/\n"


def new_project(folder: str | Path, language: Language = "solidity") -> list[Path]:
    """Make a project: a token's source, a plan of what happens with it, and a `.gitignore`.

    Args:
        folder: is made; one that exists must be empty.
        language: of the source.

    Returns:
        The files.

    Raises:
        ProjectError: the folder is not empty, or cannot be made.
    """
    folder = Path(folder)
    suffix = _SUFFIXES[language]
    words = _WITHOUT_ABI if language == "yul" else _WITH_ABI
    plan = (TEMPLATES / NAME).read_text()
    for name, text in {"suffix": suffix, **words}.items():
        plan = plan.replace(f"{{{name}}}", text)
    files = {
        Path("contracts", f"Token.{suffix}"): (TEMPLATES / f"Token.{suffix}").read_text(),
        Path(NAME): plan,
        Path(".gitignore"): _IGNORED,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ProjectError("not empty", folder, hint="name another folder")
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
    except OSError as error:
        raise ProjectError(f"cannot be made: {error.strerror}", folder) from None
    return [folder / path for path in files]
