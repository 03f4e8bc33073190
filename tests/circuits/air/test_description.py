"""What is kept of a circuit is believed only if it is from the sources as they are."""

import json
from pathlib import Path

import pytest

from circuits import segment
from circuits.air.circuit import Circuit, Description
from circuits.air.sources import files_digest
from executor.forks import CANCUN

#: A table about which nothing is said.
TABLES = '{"sources": "SOURCES", "digest": 1, "tables": [{}]}'


@pytest.fixture(scope="module")
def description() -> Description:
    return segment.segment_circuit(CANCUN).description


def test_documents_are_read_back(description: Description, tmp_path: Path) -> None:
    path = tmp_path / "segment.json"
    segment.store(description, path)
    assert segment.stored(path) == description
    assert Description.of_document(json.loads(json.dumps(description.to_document()))) == description


def test_it_is_not_read_where_sources_have_changed(
    description: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "segment.json"
    segment.store(description, path)
    monkeypatch.setattr(segment, "sources_digest", lambda: "another")
    assert segment.stored(path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\0", TABLES, '{"sources": "SOURCES"}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "segment.json"
    path.write_text(text.replace("SOURCES", segment.sources_digest()))
    assert segment.stored(path) is None
    assert segment.stored(tmp_path / "missing.json") is None


def test_components_are_in_the_same_order_without_it() -> None:
    built = [component.table.name for component in segment.in_order(segment._components(CANCUN))]
    assert built == segment.segment_circuit(CANCUN).names


def test_other_tables_are_refused(description: Description) -> None:
    tables = segment.segment_circuit(CANCUN).tables
    with pytest.raises(ValueError, match="other tables are described"):
        Circuit("segment", tables[1:], description)


def test_the_digest_of_files_has_their_names_and_their_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    digests = {files_digest(files) for files in ([one], [other], [one, other], [other, one], [])}
    other.write_text("1")
    digests |= {files_digest([other]), files_digest([one, other])}
    assert len(digests) == 7
