"""The wheels: what is in them, and that an empty environment with one of them does what it is for."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from scripts.batches.tokens import write_batch
from tests.test_imports import imports, is_below, modules
from verifier.keys import KEY_SETS
from verifier.trees import NODE_FOLDER, NODE_KEY, NODE_MANIFEST

ROOT = Path(__file__).parent.parent.parent
#: Libraries of the prover, the executor and the service: a verifier needs none of them.
HEAVY = {"ray", "py-evm", "matplotlib", "galois", "pyarrow", "requests", "fastapi", "sqlalchemy", "zkevm-native"}
#: Most seconds of a processor from the start of the command to the verdict in Python.
MOST_SECONDS = 10.0


def build(source: Path, folder: Path) -> Path:
    """The wheel that pip builds of a folder with a pyproject.toml, with what is installed here."""
    command = [sys.executable, "-m", "pip", "wheel", source, "--no-deps", "--no-build-isolation", "-w", folder]
    done = subprocess.run(
        [*map(str, command), "--quiet", "--disable-pip-version-check"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows and an image is built of, the engine left out: nothing that lies about here gets in."""
    copy = tmp_path_factory.mktemp("checkout") / "zkevm"
    taken = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *taken, ":!native"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def verifier_wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(sources / "wheels" / "verifier", tmp_path_factory.mktemp("verifier-wheel"))


@pytest.fixture(scope="module")
def project_wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(sources, tmp_path_factory.mktemp("project-wheel"))


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def metadata(wheel: Path) -> Any:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(archive.read(name).decode())


def requirements(wheel: Path) -> set[str]:
    """Names of what a wheel needs without any extra."""
    needed = [text for text in metadata(wheel).get_all("Requires-Dist") if "extra ==" not in text]
    return {re.split(r"[^A-Za-z0-9-]", text)[0] for text in needed}


def needed_modules() -> set[str]:
    """All modules that the commands about proof files import, directly or not, with the packages above them."""
    found: set[str] = set()
    waiting = ["zkevm.__main__", "zkevm.verifying", "zkevm.proof"]
    while waiting:
        name = waiting.pop()
        if name in found or name not in modules() or name == "zkevm.main":
            continue
        found.add(name)
        parts = name.split(".")
        waiting += [".".join(parts[:length]) for length in range(1, len(parts))]
        waiting += imports(name, for_types=False)
    return found


@pytest.mark.deep
def test_the_verifiers_wheel_holds_what_its_commands_import_and_nothing_else(verifier_wheel: Path) -> None:
    files = {str(modules()[name].relative_to(ROOT)) for name in needed_modules()}
    assert {name for name in names(verifier_wheel) if name.endswith(".py")} == files
    assert not any(is_below(name, package) for name in needed_modules() for package in ("prover", "service", "scripts"))


def test_its_files_are_those_of_the_project(verifier_wheel: Path) -> None:
    archive = zipfile.ZipFile(verifier_wheel)
    for name in archive.namelist():
        if ".dist-info/" not in name:
            assert archive.read(name) == (ROOT / name).read_bytes(), name


def test_the_pinned_keys_are_in_it(verifier_wheel: Path) -> None:
    keys = {name for name in names(verifier_wheel) if name.startswith("verifier/keys/") and not name.endswith(".py")}
    of_segments = {f"verifier/keys/{fork}/{file}" for fork in KEY_SETS for file in ("manifest.json", "segment.vk")}
    assert keys == of_segments | {f"verifier/keys/{NODE_FOLDER}/{file}" for file in (NODE_MANIFEST, NODE_KEY)}


def test_it_needs_the_libraries_that_its_modules_import(verifier_wheel: Path) -> None:
    imported = {
        name.split(".")[0].replace("_", "-")
        for module in needed_modules()
        for name in imports(module, for_types=False)
        if name not in modules() and name.split(".")[0] not in sys.stdlib_module_names
    }
    # Native code is loaded where it is there; the hash functions stand behind eth-hash.
    assert requirements(verifier_wheel) == imported - {"zkevm-native"} | {"pycryptodome"}
    assert not requirements(verifier_wheel) & HEAVY


def test_its_version_and_bounds_are_the_projects(verifier_wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata(verifier_wheel)["Version"] == project["version"]
    assert set(metadata(verifier_wheel).get_all("Requires-Dist")) <= set(project["dependencies"])


def test_importing_what_verifies_loads_nothing_heavy() -> None:
    """In the project's own environment, where everything is installed."""
    program = "import sys, zkevm.verifying, zkevm.proofs, verifier.swirl.verify; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert "verifier.swirl.verify" in loaded
    wrong = {"ray", "eth", "matplotlib", "galois", "pyarrow", "requests", "fastapi", "sqlalchemy", "zkevm_native"}
    assert not loaded & wrong
    assert not any(is_below(name, package) for name in loaded for package in ("prover", "service"))


@pytest.mark.deep
def test_the_projects_wheel_is_complete(project_wheel: Path) -> None:
    found = names(project_wheel)
    missing = {str(path.relative_to(ROOT)) for path in modules().values()} - found
    assert not missing
    data = [
        *(ROOT / "circuits" / "described").glob("*.json"),
        ROOT / "circuits" / "fields" / "listed.npz",
        *(ROOT / "zkevm" / "projects" / "templates").iterdir(),
        *(path for path in (ROOT / "verifier" / "keys").rglob("*") if path.is_file()),
        *(path for path in (ROOT / "service").rglob("*") if path.is_file() and path.suffix != ".pyc"),
    ]
    assert not {str(path.relative_to(ROOT)) for path in data} - found
    assert not any(name.startswith(("tests/", "examples/")) for name in found)


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof of one segment."""
    folder = tmp_path_factory.mktemp("proof")
    command = [
        sys.executable,
        "-m",
        "zkevm",
        "prove",
        write_batch(folder, 8),
        "--out",
        folder / "batch.proof",
        "--json",
    ]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["segments"]) == 1
    return folder / "batch.proof"


@pytest.fixture(scope="module")
def empty_environment(verifier_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the verifier and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=600)
    pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", verifier_wheel]
    done = subprocess.run([*map(str, pip)], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def seconds_of_children() -> Callable[[], float]:
    """How many seconds of processors the processes that have ended since then took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)

    def since() -> float:
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        return now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime

    return since


def run(command: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """In another folder than the project's, whose modules must not help."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(command), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=command.parent,
        env=environment,
        timeout=600,
    )


@pytest.mark.deep
def test_an_empty_environment_gives_the_verdict_in_ten_seconds(
    empty_environment: Path, proof: Path, seconds_of_children: Callable[[], float]
) -> None:
    command = empty_environment / "bin" / "zkevm"
    done = run(command, "verify", proof, "--engine", "python", "--json")
    taken = seconds_of_children()
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["accepted"], report["segments"]) == (True, 1)
    # Of a processor: what else the machine does meanwhile says nothing about the verifier. It has one thread, mostly.
    assert taken < MOST_SECONDS
    assert not [path for name in HEAVY for path in empty_environment.rglob(f"{name.replace('-', '_')}-*.dist-info")]


@pytest.mark.deep
def test_an_empty_environment_takes_the_engine_that_it_has(empty_environment: Path, proof: Path) -> None:
    command = empty_environment / "bin" / "zkevm"
    assert "ACCEPTED" in run(command, "verify", proof).stdout
    refused = run(command, "verify", proof, "--engine", "native", "--json")
    assert refused.returncode == 2
    assert "not installed" in json.loads(refused.stdout)["error"]["message"]


@pytest.mark.deep
def test_an_empty_environment_refuses_a_damaged_proof(empty_environment: Path, proof: Path, tmp_path: Path) -> None:
    content = bytearray(proof.read_bytes())
    content[-1] ^= 1
    damaged = tmp_path / "damaged.proof"
    damaged.write_bytes(content)
    done = run(empty_environment / "bin" / "zkevm", "verify", damaged, "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["check"] == "proofs"


@pytest.mark.deep
def test_an_empty_environment_inspects_proofs_and_says_what_it_cannot(empty_environment: Path, proof: Path) -> None:
    command = empty_environment / "bin" / "zkevm"
    assert json.loads(run(command, "inspect", proof, "--json").stdout)["kind"] == "proof"
    assert "proven security in unique decoding" in run(command, "inspect", proof, "--security").stdout
    unknown = run(command, "prove", proof)
    assert unknown.returncode == 2
    assert "No such command" in unknown.stderr
    assert "the verifier alone" in " ".join(run(command, "--help").stdout.split())


@pytest.mark.deep
def test_the_projects_wheel_proves_and_verifies(project_wheel: Path, tmp_path: Path) -> None:
    """Unpacked over the libraries of this environment; the sources are out of sight."""
    folder = tmp_path / "installed"
    zipfile.ZipFile(project_wheel).extractall(folder)
    batch, out = write_batch(tmp_path, 2), tmp_path / "batch.proof"
    # -P and the path: the folder of the installed wheel comes first, before the project that this environment has.
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    for arguments in (["prove", batch, "--out", out], ["verify", out]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "zkevm", *map(str, arguments), "--json"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=1200,
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accepted"] is True


@pytest.mark.deep
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_all_wheels_are_built_and_the_engine_fits_other_machines(proof: Path, tmp_path: Path) -> None:
    """By `make wheels`, into another folder. What this environment is made of is left as it is."""
    environment = Path(sys.prefix)
    command = ["make", "wheels", f"VENV={environment}", f"DIST={tmp_path / 'dist'}", "-o", f"{environment}/.locked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    wheels = {wheel.name.split("-")[0]: wheel for wheel in (tmp_path / "dist").glob("*.whl")}
    assert set(wheels) == {"zkevm", "zkevm_native", "zkevm_verifier"}
    # One wheel for this version of Python and all later ones.
    assert "-cp311-abi3-" in wheels["zkevm_native"].name
    installed = tmp_path / "installed"
    for name in ("zkevm_native", "zkevm_verifier"):
        zipfile.ZipFile(wheels[name]).extractall(installed)
    program = (
        "import sys, zkevm_native, zkevm.verifying as v; print(zkevm_native.__file__); "
        "sys.argv[1:] = ['verify', sys.argv[1], '--engine', 'native']; v.app()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(proof)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert "ACCEPTED" in done.stdout
