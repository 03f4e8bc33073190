"""The store of finished segment proofs."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from prover.errors import ProverError
from prover.store import SegmentStore, check_folder, content_key, write_atomically

KEY = content_key(b"circuit", b"segment")
PROOF = bytes(range(256)) * 10


def accept(proof: bytes) -> bool:
    return True


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    store = SegmentStore(tmp_path / "run.segments")
    store.save(KEY, PROOF)
    return store


def test_what_was_saved_is_loaded(store: SegmentStore) -> None:
    assert store.load(KEY, accept) == PROOF
    assert store.load(content_key(b"another"), accept) is None


def test_nothing_is_loaded_from_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert SegmentStore(tmp_path / "none").load(KEY, accept) is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"\x00",
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
    ],
    ids=["empty", "no digest", "truncated", "extended", "flipped in the proof", "flipped in the digest"],
)
def test_a_damaged_file_is_discarded(
    store: SegmentStore, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = store.path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert store.load(KEY, accept) is None
    assert "damaged" in caplog.text
    assert not path.exists()
    store.save(KEY, PROOF)
    assert store.load(KEY, accept) == PROOF


def test_a_proof_that_its_check_refuses_is_discarded(store: SegmentStore) -> None:
    assert store.load(KEY, lambda proof: proof != PROOF) is None
    assert not store.path(KEY).exists()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proof"
    write_atomically(path, b"old")

    def broken(source: str, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_half_written_file_is_never_taken_for_a_proof(store: SegmentStore) -> None:
    # What a kill in the middle of a write leaves behind.
    left_over = store.folder / f".{KEY}.segment.abc.tmp"
    left_over.write_bytes(b"half")
    assert store.load(KEY, accept) == PROOF
    store.remove([KEY])
    assert not store.folder.exists()


def test_removing_keeps_what_other_runs_stored(store: SegmentStore) -> None:
    other = content_key(b"other")
    store.save(other, b"proof")
    store.remove([KEY])
    assert store.load(KEY, accept) is None
    assert store.load(other, accept) == b"proof"


def test_content_keys_depend_on_where_one_part_ends() -> None:
    assert content_key(b"ab", b"c") != content_key(b"a", b"bc")
    assert content_key(b"ab") != content_key(b"ab", b"")


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    check_folder(tmp_path / "a.proof")
    with pytest.raises(ProverError, match="the folder of the output does not exist"):
        check_folder(tmp_path / "none" / "a.proof")
    with pytest.raises(ProverError, match="the output is a folder"):
        check_folder(tmp_path)
