"""Licences of what the project ships of others, as `THIRD_PARTY.md`.

    python -m scripts.licences

Crates that are linked into the engine are found by cargo, Python packages that an installation with the service has by
their metadata, as they are installed here. What else is shipped is listed below.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
UNNAMED = "see its files"
FILE = ROOT / "THIRD_PARTY.md"
#: Crates differ by platform; this is the one that images are built for.
_PLATFORM = "x86_64-unknown-linux-gnu"

_ABOUT = """\
# What is shipped of others

`python -m scripts.licences` writes this page. The project's own licence is in [LICENSE](LICENSE).
"""

#: Files of this repository that are of others, what they are, and their licences.
_FILES = (
    (
        "service/page/files/fonts/",
        "IBM Plex Sans and IBM Plex Mono, IBM Corp.",
        "OFL-1.1, [in full](service/page/files/fonts/LICENSE)",
    ),
    ("examples/erc20.json, nft.json and others", "bytecode of contracts on OpenZeppelin's", "MIT"),
    (
        "examples/uniswap.json",
        "bytecode of Uniswap V2, data of the batch; its sources are in `@uniswap/v2-core`, `@uniswap/v2-periphery`",
        "GPL-3.0",
    ),
    (
        "examples/snailtracer*.json",
        "bytecode of Snailtracer by Péter Szilágyi, data of the batch; its sources are in `karalabe/snailtracer`",
        "GPL-3.0",
    ),
    ("examples/mainnet.json", "a block of mainnet, recorded by `0xPolygonZero/zk_evm`", "MIT OR Apache-2.0"),
    (
        "tests/executor/fixtures/",
        "among them cases of the public BlockchainTests, `ethereum/execution-spec-tests`",
        "MIT",
    ),
)

_BEHIND = """\
[docs/workloads.md](docs/workloads.md#where-the-code-comes-from) says how the bytecode was made. `make docs` puts parts
of Material for MkDocs (MIT) into the site.
"""


def crates() -> dict[str, str]:
    """Crates that are linked into the engine, with their licences, by name; our own is none of them."""
    document = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", _PLATFORM],
            cwd=ROOT / "native",
            check=True,
            capture_output=True,
        ).stdout
    )
    packages = {package["id"]: package for package in document["packages"]}
    nodes = {node["id"]: node for node in document["resolve"]["nodes"]}
    root = document["resolve"]["root"]
    found: dict[str, str] = {}
    waiting = [root]
    seen = set(waiting)
    while waiting:
        own = waiting.pop()
        if own != root:
            found[packages[own]["name"]] = _spdx(packages[own]["license"])
        for dependency in nodes[own]["deps"]:
            linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if linked and dependency["pkg"] not in seen and not _is_macro(packages[dependency["pkg"]]):
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return found


def _is_macro(package: Mapping[str, Any]) -> bool:
    """Macros run in the compiler and are not linked."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def _spdx(text: str | None) -> str:
    """Cargo's older way to write a choice, as SPDX has it; `UNNAMED` where a crate names no licence."""
    if text is None:
        return UNNAMED
    return " OR ".join(text.split("/")) if "/" in text else text


def packages() -> dict[str, str]:
    """Python packages that the project needs with its service, with their licences, by name."""
    found: dict[str, str] = {}
    waiting = [("zkevm", frozenset({"service"}))]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            own = distribution(name)
        except PackageNotFoundError:
            continue  # one that only other platforms need
        if name != "zkevm":
            found[canonicalize_name(own.metadata["Name"])] = licence(own.metadata)
        for requirement in map(Requirement, own.requires or ()):
            wanted = any(_holds(requirement, extra) for extra in ("", *extras))
            following = (str(canonicalize_name(requirement.name)), frozenset(requirement.extras))
            if wanted and following not in seen:
                seen.add(following)
                waiting.append(following)
    return found


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def licence(metadata: Any) -> str:
    """The licence that a package names, as short as it does; "see its files" if it names none."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    named = str(metadata.get("License") or "").strip()
    if named and "\n" not in named and len(named) < 60:
        return named
    classified = [
        re.sub(r" License$", "", each.rsplit(" :: ", 1)[-1])
        for each in metadata.get_all("Classifier") or ()
        if each.startswith("License :: ") and not each.endswith("OSI Approved")
    ]
    return " OR ".join(classified) or UNNAMED


def page() -> str:
    """The document."""
    return "\n".join(
        [
            _ABOUT,
            "## Files of this repository\n",
            "| files | what | licence |\n|---|---|---|",
            *(f"| {' | '.join((f'`{name}`', what, terms))} |" for name, what, terms in _FILES),
            "",
            _BEHIND,
            "## Crates in the engine\n",
            "Linked into `zkevm_native`, for Linux on x86-64, with Rust's standard library (MIT OR Apache-2.0).\n",
            *_table("crate", crates()),
            "## Python packages\n",
            "Not part of the wheels: `pip` installs them beside, and images have them.\n",
            *_table("package", packages()),
        ]
    )


def _table(of: str, found: Mapping[str, str]) -> Iterator[str]:
    yield f"| {of} | licence |\n|---|---|"
    yield from (f"| {name} | {found[name]} |" for name in sorted(found, key=str.lower))
    yield ""


if __name__ == "__main__":
    FILE.write_text(page())
