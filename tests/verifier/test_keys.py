"""The pinned keys are those of the circuits, and damage to them is noticed."""

import dataclasses
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import zkevm_native

from circuits import segment
from circuits.air.circuit import Circuit, Description
from circuits.statement import Form
from executor.forks import CIRCUIT_FORKS
from scripts.pin_keys import generate, generate_nodes
from verifier import keys, trees
from verifier.engines import ENGINES
from verifier.errors import Invalid
from verifier.swirl.key import TableKey, decode

#: The circuit and the height whose keys the fast tests look at: that of the last fork has the tables of all.
LAST, FAST = keys.CIRCUITS[-1], 18
#: Every set and height.
EVERY = [
    pytest.param(name, height, marks=[] if (name, height) == (LAST, FAST) else pytest.mark.deep)
    for name in keys.KEY_SETS
    for height in keys.SUPPORTED_HEIGHTS
]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the pinned keys that the loader reads."""
    folder = tmp_path / "keys"
    shutil.copytree(keys.FOLDER, folder)
    monkeypatch.setattr(keys, "FOLDER", folder)
    keys.load.cache_clear()
    keys.manifest.cache_clear()
    yield folder
    keys.load.cache_clear()
    keys.manifest.cache_clear()


def sources(name: str) -> Circuit:
    """The circuit of a set of keys, with its expressions."""
    circuit, form = Form.of_keys(name)
    return segment.circuit_of_sources(CIRCUIT_FORKS[circuit], form)


def stored(name: str) -> Description | None:
    """What is kept of it."""
    circuit, form = Form.of_keys(name)
    return segment.stored(segment.store_of(CIRCUIT_FORKS[circuit], form))


def test_there_are_keys_of_every_circuit_in_each_form() -> None:
    assert tuple(CIRCUIT_FORKS) == keys.CIRCUITS
    forks = CIRCUIT_FORKS.values()
    names = [segment.key_set(fork, form) for form in Form for fork in forks]
    assert names == list(keys.KEY_SETS)
    assert [Form.of_keys(name) for name in names] == [(fork, form) for form in Form for fork in CIRCUIT_FORKS]
    with pytest.raises(KeyError):
        Form.of_keys("cancun-other")


@pytest.mark.parametrize(("form", "least", "listed"), [(Form.LIGHT, 2, {1}), (Form.COMMON, 1.5, {1, 6, 7, 8, 256})])
def test_a_form_lacks_programs_of_precompiles_and_nothing_else(form: Form, least: float, listed: set[int]) -> None:
    for fork in keys.CIRCUITS:
        names = fork, form.key_set(fork)
        whole, own = (keys.manifest(name).tables for name in names)
        wanted = [name for name in whole if not name.startswith("listing_") or int(name.split("_")[1]) in listed]
        assert list(own) == wanted
        assert len(own) < len(whole)
        sizes = [len(zlib.decompress((keys.FOLDER / name / keys.CIRCUIT).read_bytes())) for name in names]
        assert sizes[1] < sizes[0] / least


@pytest.mark.parametrize(
    "fork", [pytest.param(name, marks=[] if name == LAST else pytest.mark.deep) for name in keys.CIRCUITS]
)
def test_tables_are_the_same_in_each_form(fork: str) -> None:
    """As they stand in the pinned keys, with all of their constraints and messages."""
    forms = []
    for name in [form.key_set(fork) for form in Form]:
        key = decode(keys.encoding(name, FAST))
        forms.append((key.parameters, dict(zip(keys.manifest(name).tables, key.tables, strict=True))))
    (parameters, whole), *others = forms
    for own_parameters, tables in others:
        assert own_parameters == parameters
        for name, table in tables.items():
            for own in fields(TableKey):
                assert np.array_equal(getattr(table, own.name), getattr(whole[name], own.name)), (name, own.name)
            assert not table.required


@pytest.mark.parametrize(
    "fork", [pytest.param(name, marks=[] if name == LAST else pytest.mark.deep) for name in keys.KEY_SETS]
)
def test_pinned_keys_are_of_the_circuits(fork: str) -> None:
    circuit = sources(fork)
    manifest, _ = generate(circuit, [FAST])
    pinned = keys.manifest(fork)
    assert (manifest.circuit_digest, manifest.tables) == (pinned.circuit_digest, pinned.tables), "run `make pin-keys`"
    (entry,) = manifest.keys
    assert entry.sha256 in {known.sha256 for known in pinned.keys}, "run `make pin-keys`"
    assert stored(fork) == circuit.description, "run `make pin-keys`"


@pytest.mark.deep
@pytest.mark.parametrize("fork", keys.KEY_SETS)
def test_pinned_keys_are_those_the_circuits_generate(fork: str) -> None:
    circuit = sources(fork)
    manifest, shared = generate(circuit)
    assert manifest == keys.manifest(fork), "run `make pin-keys`"
    assert stored(fork) == circuit.description, "run `make pin-keys`"
    assert zlib.decompress((keys.FOLDER / fork / keys.CIRCUIT).read_bytes()) == shared


def test_every_fork_and_height_has_its_own_key() -> None:
    for fork in keys.KEY_SETS:
        heights = tuple(entry.log_stacked_height for entry in keys.manifest(fork).keys)
        assert heights == keys.SUPPORTED_HEIGHTS
        assert [path.name for path in (keys.FOLDER / fork).glob("*.vk")] == [keys.CIRCUIT]
    every = [(fork, height) for fork in keys.KEY_SETS for height in keys.SUPPORTED_HEIGHTS]
    assert len({entry.digest for fork in keys.KEY_SETS for entry in keys.manifest(fork).keys}) == len(every)
    assert len({keys.encoding(*which) for which in every}) == len(every)


def test_another_fork_has_none() -> None:
    with pytest.raises(Invalid, match=r"no keys are pinned for fork '../keys/cancun."):
        keys.load("../keys/cancun", 16)


@pytest.mark.parametrize(("fork", "height"), EVERY)
def test_keys_give_100_bits(fork: str, height: int) -> None:
    """Of a key that is known by its hash the engine checks nothing; here it does."""
    key = zkevm_native.VerifyingKey.from_bytes(keys.encoding(fork, height))
    assert key.log_stacked_height == height
    assert key.security()["total"] >= 100
    assert key.digest == keys.load(fork, height).verifying_key.digest


@pytest.mark.parametrize("height", [0, 13, 23, 255])
def test_other_heights_have_no_key(height: int) -> None:
    with pytest.raises(Invalid, match="no key is pinned"):
        keys.load("cancun", height)


def test_an_exchanged_key_is_noticed(copy: Path) -> None:
    document = json.loads((copy / "cancun" / keys.MANIFEST).read_text())
    first, second = document["keys"][:2]
    first["head"], first["tail"] = second["head"], second["tail"]
    (copy / "cancun" / keys.MANIFEST).write_text(json.dumps(document))
    with pytest.raises(Invalid, match="not the one of the manifest"):
        keys.load("cancun", first["log_stacked_height"])


def test_a_damaged_key_is_noticed(copy: Path) -> None:
    path = copy / "cancun" / keys.CIRCUIT
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(Invalid, match="missing or damaged"):
        keys.load("cancun", 16)
    path.write_bytes(zlib.compress(zlib.decompress(content)[:-1] + b"\0"))
    with pytest.raises(Invalid, match="not the one of the manifest"):
        keys.load("cancun", 16)
    path.unlink()
    with pytest.raises(Invalid, match="missing or damaged"):
        keys.load("cancun", 16)


def test_a_damaged_manifest_is_noticed(copy: Path) -> None:
    (copy / "cancun" / keys.MANIFEST).write_text("{")
    with pytest.raises(Invalid, match="missing or damaged"):
        keys.load("cancun", 16)


def test_writing_replaces_the_whole_set(copy: Path) -> None:
    manifest = keys.manifest("cancun")
    encoding = keys.encoding("cancun", 17)
    entry = next(e for e in manifest.keys if e.log_stacked_height == 17)
    shared = zlib.decompress((copy / "cancun" / keys.CIRCUIT).read_bytes())
    keys.write(copy / "cancun", dataclasses.replace(manifest, keys=(entry,)), shared)
    keys.load.cache_clear()
    keys.manifest.cache_clear()
    assert keys.encoding("cancun", 17) == encoding
    with pytest.raises(Invalid, match="no key is pinned"):
        keys.load("cancun", 16)


def test_keys_are_split_where_they_differ() -> None:
    digests = [bytes([0x80 + k, 1]) * 7 + bytes([k]) for k in range(3)]
    encodings = [b"head" + bytes([k]) * (k + 1) + b"circuit" * 10 + digest for k, digest in enumerate(digests)]
    heads, shared, tails = keys.split(encodings)
    assert [head + shared + tail for head, tail in zip(heads, tails, strict=True)] == encodings
    assert shared == b"circuit" * 10
    assert tails == digests


@pytest.mark.parametrize(("fork", "height"), EVERY)
def test_both_engines_decode_every_key(fork: str, height: int) -> None:
    native, python = (keys.load(fork, height, engine) for engine in ENGINES)
    assert native.tables == python.tables
    assert native.verifying_key.digest == python.verifying_key.digest


@pytest.mark.deep
@pytest.mark.parametrize("height", trees.HEIGHTS)
@pytest.mark.parametrize("fork", trees.CIRCUITS)
def test_pinned_keys_of_trees_are_those_of_the_pinned_keys(fork: str, height: int) -> None:
    nodes, encoding = generate_nodes([(fork, height)])
    pinned = trees.pinned()
    assert nodes == dataclasses.replace(pinned, leaves={(fork, height): pinned.leaves[fork, height]})
    assert zlib.decompress((keys.FOLDER / trees.NODE_FOLDER / trees.NODE_KEY).read_bytes()) == encoding
