"""YAML in which every value knows its line, and nothing is what it does not look like.

Numbers are decimal integers, booleans `true` and `false`, nothing is `null` or left out; all else is text, so that an
address stays what it is and `no` is a word. Names must not repeat.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from zkevm.projects.errors import ProjectError

Place = tuple[str | int, ...]
"""Where a value stands: names and indices from the outside."""

MAX_DEPTH = 32


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads scalars as said above."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the library's own name


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^-?(?:0|[1-9][0-9_]*)$"), list("-0123456789"))


class Document:
    """What a YAML file holds.

    Attributes:
        value: of mappings, lists, text, integers, booleans and None.
        file: where it is from.
    """

    def __init__(self, file: Path, text: str) -> None:
        """Read it. Raises `ProjectError` for what is no such YAML."""
        self.file = file
        self._lines: dict[Place, int] = {}
        try:
            node = yaml.compose(text, _Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            reason = f"not YAML: {error.problem}"
            raise ProjectError(reason, file, None if mark is None else mark.line + 1) from None
        except (yaml.YAMLError, RecursionError) as error:
            raise ProjectError(f"not YAML: {str(error).splitlines()[0]}", file) from None
        if node is None:
            raise ProjectError("it is empty", file)
        self.value = self._read(node, ())

    def line(self, place: Place) -> int:
        """The line of a value, or of the innermost one around it that is there."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def _read(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        if len(place) > MAX_DEPTH:
            raise ProjectError(f"nested more than {MAX_DEPTH} deep", self.file, self._lines[place])
        if isinstance(node, yaml.SequenceNode):
            return [self._read(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key, value in node.value:
                name, line = key.value, key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise ProjectError("a name that is no text", self.file, line)
                if name in found:
                    raise ProjectError(f"{name} is there twice", self.file, line)
                found[name] = self._read(value, (*place, name))
                self._lines[*place, name] = line
            return found
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        match node.tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool":
                return node.value == "true"
            case "int":
                return int(node.value.replace("_", ""))
            case "str":
                return node.value
        raise ProjectError(f"the tag {node.tag}, which means nothing here", self.file, node.start_mark.line + 1)
