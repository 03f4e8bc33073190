"""Every tutorial does what it says, and prints what it shows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.npm import WITHOUT, reaches_registry
from tests.tutorials.pages import (
    CHANGES_SOURCES,
    DEEP,
    NEEDS,
    PAGES,
    ROOT,
    PageError,
    Step,
    clone,
    matches,
    play,
    steps,
    written,
)


def tutorial(path: Path) -> object:
    """A page, marked where it takes long, and left out where a program is not installed that it needs."""
    text = path.read_text()
    marks = [pytest.mark.deep] if DEEP in text else []
    missing = [name for name in NEEDS.findall(text) if shutil.which(name) is None]
    skipped = [pytest.mark.skip(reason=f"{missing[0]} is not installed")] if missing else []
    return pytest.param(path, id=path.stem, marks=[*marks, *skipped])


@pytest.mark.parametrize("page", [tutorial(path) for path in sorted(PAGES.glob("*.md"))])
def test_a_page_prints_what_it_shows(page: Path) -> None:
    if "npm" in NEEDS.findall(page.read_text()) and not reaches_registry():
        pytest.skip(WITHOUT)
    for step, printed in play(page.read_text()):
        assert matches(step.printed, printed), (
            f"{page.name}, line {step.line}:\n{step.source}\nprints\n{printed}\nand not\n{step.printed}"
        )


# The harness.

PAGE = """\
```python
x = 2
```

```python
print(x + 1)
print("in", x / 7, "seconds")
```

```text
3
in … seconds
```

```console
$ echo one; \\
  echo two
one
two
$ true
$ pwd > here; echo three >&2
three
```

```sh
this is for people
```
"""


def test_the_blocks_of_a_page() -> None:
    found = steps(PAGE)
    assert [(step.kind, step.source, step.printed, step.line) for step in found] == [
        ("python", "x = 2\n", "", 2),
        ("python", 'print(x + 1)\nprint("in", x / 7, "seconds")\n', "3\nin … seconds\n", 6),
        ("console", "echo one; \\\n  echo two\n", "one\ntwo\n", 16),
        ("console", "true\n", "", 20),
        ("console", "pwd > here; echo three >&2\n", "three\n", 21),
    ]
    assert all(PAGE[step.start : step.end] == step.printed for step in found if step.printed)


@pytest.mark.parametrize("wrong", ["```text\nnothing prints this\n```\n", "```console\necho\n```\n"])
def test_pages_that_cannot_be_run(wrong: str) -> None:
    with pytest.raises(PageError, match="line 2"):
        steps(wrong)


@pytest.mark.parametrize(
    ("said", "printed", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a  \n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
        ("", "", True),
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b d\n", False),
        ("a … c\n", "a b\nc\n", False),
        ("a.c\n", "abc\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n…\nd\n", "a\nb\nc\n", False),
    ],
)
def test_what_varies(said: str, printed: str, same: bool) -> None:
    assert matches(said, printed) is same


def test_a_page_is_run_as_it_stands() -> None:
    played = list(play(PAGE))
    assert all(matches(step.printed, printed) for step, printed in played)
    assert written(PAGE, played) == PAGE


def test_a_page_that_says_something_else_is_found_and_mended() -> None:
    wrong = PAGE.replace("3\nin …", "4\nin …").replace("three\n```", "```").replace("x = 2", "x = 2; print(x)")
    played = list(play(wrong))
    assert [matches(step.printed, printed) for step, printed in played] == [False, False, True, True, False]
    mended = written(wrong, played)
    assert all(matches(step.printed, printed) for step, printed in play(mended))
    assert "```text\n2\n```" in mended


FILES = """\
```console
$ printf 'a\\nb\\n' > here; (echo $BASHPID > pid; sleep 600) > nowhere &
```

```diff
--- a/here
+++ b/here
@@ -1,2 +1,2 @@
 a
-b
+c
```

```python title="there.py"
x = 5
```

```python
import there

print(open("here").read(), there.x, int(open("pid").read()))
```

```text
a
c
 5 …
```
"""


def test_files_are_written_and_changed_and_nothing_is_left_running() -> None:
    played = list(play(FILES))
    assert all(matches(step.printed, printed) for step, printed in played), played
    pid = int(played[-1][1].split()[-1])
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    pytest.fail("it still runs")


def test_a_change_that_does_not_fit() -> None:
    with pytest.raises(PageError, match="line 2: the change does not fit"):
        list(play("```diff\n--- a/README.md\n+++ b/README.md\n@@ -1,1 +1,1 @@\n-no such line\n+x\n```\n"))


def test_sources_of_its_own() -> None:
    assert CHANGES_SOURCES in (PAGES / "add-an-instruction.md").read_text()
    with clone(own_sources=True) as folder:
        assert not (folder / "circuits").is_symlink()
        assert (folder / "circuits" / "segment.py").read_text() == (ROOT / "circuits" / "segment.py").read_text()
        assert (folder / "docs").is_symlink()


def test_an_error_is_printed_with_its_line() -> None:
    ((step, printed),) = play("\n\n```python\nprint(1)\n1 / 0\n```\n")
    assert isinstance(step, Step)
    assert printed.startswith("1\nTraceback")
    assert 'File "the page", line 5' in printed
    assert printed.endswith("ZeroDivisionError: division by zero\n")
