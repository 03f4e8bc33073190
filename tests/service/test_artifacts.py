"""The store of files: in a folder, and in S3 (moto's server)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from moto.server import ThreadedMotoServer

from service.artifacts import ArtifactLost, Artifacts, Kind, StoreAway
from service.queue import Artifact

JOB, OTHER = "0" * 32, "1" * 32


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """fsspec's options of a store like S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"key": "key", "secret": "secret", "endpoint_url": f"http://{host}:{port}"}
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    if request.param == "folder":
        return Artifacts(str(tmp_path / "artifacts"))
    options = request.getfixturevalue("s3")
    bucket = f"bucket-{tmp_path.name.replace('_', '-').lower()[:40]}"
    found = Artifacts(f"s3://{bucket}/prefix", options)
    found._fs.mkdir(bucket)
    return found


def test_what_is_stored_is_there(artifacts: Artifacts) -> None:
    artifacts.check()
    stored = artifacts.put(JOB, Kind.PROOF, b"proof" * 1000)
    assert stored.bytes == 5000
    assert stored.path.startswith(f"{JOB}/proof-")
    assert artifacts.get(stored) == b"proof" * 1000
    assert artifacts.put(JOB, Kind.PROOF, b"proof" * 1000) == stored
    large = artifacts.put(JOB, Kind.BATCH, bytes(3 << 20))
    assert [len(part) for part in artifacts.parts(large)] == [1 << 20] * 3


def test_what_is_gone_or_damaged_is_lost(artifacts: Artifacts) -> None:
    stored = artifacts.put(JOB, Kind.PROOF, b"proof")
    with pytest.raises(ArtifactLost, match="damaged"):
        artifacts.get(Artifact("proof", stored.path, "0" * 64, 5))
    artifacts.clean(JOB, [])
    with pytest.raises(ArtifactLost, match="gone"):
        artifacts.get(stored)


def test_a_store_that_is_not_there_is_noticed(s3: dict[str, Any]) -> None:
    with pytest.raises(OSError, match="bucket"):
        Artifacts("s3://there-is-no-such-bucket/prefix", s3).check()


def test_what_another_store_says_in_its_own_words_is_an_error_of_the_system(
    s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which S3 that is away says after its own tries; here it says so at once."""

    def away(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://s3")

    artifacts = Artifacts("s3://bucket/prefix", s3)
    for name in ("pipe_file", "cat_file", "rm_file", "ls", "find", "open"):
        monkeypatch.setattr(artifacts._fs, name, away)
    stored = Artifact("proof", f"{JOB}/proof-0", "0" * 64, 5)
    for act in (
        lambda: artifacts.put(JOB, Kind.PROOF, b"proof"),
        lambda: artifacts.get(stored),
        lambda: artifacts._read(stored.path),
        lambda: artifacts.clean(JOB, []),
        lambda: artifacts.sweep(lambda jobs: set(), 0.0),
        artifacts.check,
        artifacts.probe,
    ):
        with pytest.raises(StoreAway, match="EndpointConnectionError"):
            act()


def test_what_is_tried_is_removed(artifacts: Artifacts) -> None:
    artifacts.put(JOB, Kind.PROOF, b"proof")
    artifacts.probe()
    artifacts._fs.invalidate_cache()
    assert [path.rpartition("/")[2] for path in artifacts._fs.ls(artifacts._base, detail=False)] == [JOB]


def test_segments_are_kept_and_cleaned(artifacts: Artifacts, tmp_path: Path) -> None:
    store = artifacts.segments(JOB, tmp_path / "one")
    assert store.load("key", lambda proof: True) is None
    store.save("key", b"segment")
    # Another machine has them, too.
    other = artifacts.segments(JOB, tmp_path / "other")
    assert other.load("key", lambda proof: proof == b"segment") == b"segment"
    kept = artifacts.put(JOB, Kind.PROOF, b"proof")
    artifacts.put(JOB, Kind.PROOF, b"that of somebody who lost the job")
    elsewhere = artifacts.put(OTHER, Kind.PROOF, b"proof")
    artifacts.clean(JOB, [kept])
    third = artifacts.segments(JOB, tmp_path / "third")
    assert third.load("key", lambda proof: True) is None
    assert artifacts.get(kept) == b"proof"
    assert artifacts.get(elsewhere) == b"proof"
    artifacts._fs.invalidate_cache()
    assert [path.rpartition("/")[2] for path in artifacts._fs.find(artifacts._at(JOB))] == [
        kept.path.rpartition("/")[2]
    ]
    artifacts.clean("2" * 32, [])


def test_files_of_no_job_are_swept_when_they_are_old(artifacts: Artifacts) -> None:
    kept = artifacts.put(JOB, Kind.BATCH, b"a")
    artifacts.put(OTHER, Kind.BATCH, b"b")
    assert artifacts.sweep(lambda jobs: {JOB}, 3600.0) == []
    time.sleep(1.1)
    assert artifacts.sweep(lambda jobs: {JOB}, 0.01) == [OTHER]
    assert artifacts.sweep(lambda jobs: {JOB}, 0.01) == []
    assert artifacts.get(kept) == b"a"


def test_a_file_is_there_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = Artifacts(str(tmp_path))

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        artifacts.put(JOB, Kind.PROOF, b"proof")
    assert list((tmp_path / JOB).iterdir()) == []
