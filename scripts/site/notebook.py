"""A tutorial as a notebook.

    python -m scripts.site.notebook docs/tutorials/change-a-table.md

writes the notebook beside the page, without what its cells print.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer

_BLOCK = re.compile(r"^```(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^```$\n?", re.MULTILINE | re.DOTALL)
#: A notebook is run where it lies.
_ROOT = 'import os\n\nos.chdir("../..")  # the root of the clone'


def notebook(page: str) -> str:
    """The notebook of a page: blocks of Python are cells, what they print is left out, all else is text."""
    version: Any = nbformat.v4
    cells = [version.new_code_cell(_ROOT)]

    def text(part: str) -> None:
        if part.strip():
            cells.append(version.new_markdown_cell(part.strip()))

    waiting, end = "", 0
    for block in _BLOCK.finditer(page):
        waiting += page[end : block.start()]
        end = block.end()
        if block["kind"] == "python":
            text(waiting)
            cells.append(version.new_code_cell(block["body"].rstrip()))
            waiting = ""
        elif block["kind"] != "text":
            waiting += block[0]
    text(waiting + page[end:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same each time
    made = version.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(version.writes(made)) + "\n"


def main(page: Annotated[Path, typer.Argument(help="A page of docs/tutorials.")]) -> None:
    """Write the notebook of a tutorial."""
    page.with_suffix(".ipynb").write_text(notebook(page.read_text()))


if __name__ == "__main__":
    typer.run(main)
