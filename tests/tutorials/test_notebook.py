"""The notebook of a tutorial is made of its page, and runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbconvert.preprocessors import ExecutePreprocessor

from scripts.site.notebook import notebook
from tests.tutorials.pages import PAGES, clone, matches, steps

PAGE = PAGES / "change-a-table.md"


def test_the_notebook_is_that_of_the_page() -> None:
    """`python -m scripts.site.notebook docs/tutorials/change-a-table.md` writes it."""
    assert PAGE.with_suffix(".ipynb").read_text() == notebook(PAGE.read_text())


def test_a_page_becomes_cells() -> None:
    made = nbformat.reads(notebook("# A\n\n```python\nx = 1\n```\n\n```text\n1\n```\n\nB\n\n```sh\nls\n```\n"), 4)
    nbformat.validate(made)
    assert [(cell.cell_type, cell.source) for cell in made.cells[1:]] == [
        ("markdown", "# A"),
        ("code", "x = 1"),
        ("markdown", "B\n\n```sh\nls\n```"),
    ]


@pytest.mark.deep
def test_the_notebook_prints_what_the_page_shows() -> None:
    with clone() as root:
        folder = root / "out" / "tutorial"
        folder.mkdir(parents=True)
        copy = Path(shutil.copy(PAGE.with_suffix(".ipynb"), folder))
        made = nbformat.read(copy, 4)
        ExecutePreprocessor(timeout=600).preprocess(made, {"metadata": {"path": str(folder)}})
    code = [cell for cell in made.cells if cell.cell_type == "code"][1:]
    said = [step for step in steps(PAGE.read_text()) if step.kind == "python"]
    for cell, step in zip(code, said, strict=True):
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert matches(step.printed, printed), step.source
