"""The tables of docs/batches.md: every field of a batch file, from its JSON schema.

`python -m scripts.batch_format --write` brings the document up to date; without it, the exit status says whether it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from zkevm.schemas import schema

DOCUMENT = Path(__file__).parent.parent / "docs" / "batches.md"

#: What of the document a table stands in, by the name of its model.
_TABLE = re.compile(r"(<!-- fields of (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def models(batch: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schemas of all models that are in a schema, by title or name."""
    found: dict[str, dict[str, Any]] = {"BatchFile": batch, **batch["$defs"]}

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if "title" in node and "properties" in node and node is not batch:
                found.setdefault(node["title"], node)
            for value in node.values():
                visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(batch)
    return found


def kind(node: dict[str, Any]) -> str:
    """What a field may be, in words."""
    if "$ref" in node:
        return f"[{(name := node['$ref'].rpartition('/')[2])}](#{name.lower()})"
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "anyOf" in node and "required" not in node:
        choices = [each for each in node["anyOf"] if each.get("type") != "null"]
        if len(choices) == 2 and choices[0].get("type") == "integer":
            return f"number below 2^{(choices[0]['maximum'] + 1).bit_length() - 1}"
        return " or ".join(map(kind, choices))
    match node.get("type"):
        case "string" if "enum" in node:
            return "name of a fork"
        case "string" if "pattern" in node:
            if "description" in node:
                return f"bytes: {node['description'].rstrip('.')}"
            size = re.search(r"\{(\d+)\}", node["pattern"].replace("{2}", ""))
            return {None: "bytes", 40: "address", 64: "32 bytes"}[int(size[1]) if size else None]
        case "string":
            return "text"
        case "array":
            return f"list of {kind(node['items'])}"
        case "object" if "properties" in node:
            return f"[{node['title']}](#{node['title'].lower()})"
        case "object" if "description" in node:
            return f"object: {node['description'].rstrip('.')}"
        case "object" if "enum" in node.get("propertyNames", {}):
            return "object of forks with their times"
        case "object" if isinstance(node.get("additionalProperties"), dict):
            return f"object of {kind(node['additionalProperties'])}"
    return "object"


def default(node: dict[str, Any], required: bool) -> str:
    """What holds where a field is left out, in words."""
    value = node.get("default")
    if required:
        return "**needed**"
    if value is None:
        return "-"
    if isinstance(value, str) and re.fullmatch("0x(00){20,}", value):
        return "zero"
    if isinstance(value, int) and value >= 10**6:
        return f"{value:,}"
    return {"0x": "empty", "": "empty"}.get(value, json.dumps(value)) if isinstance(value, str) else json.dumps(value)


def table(model: dict[str, Any]) -> str:
    """The fields of a model, as Markdown."""
    needed = model.get("required", ())
    lines = ["| field | what it is | default | |", "|---|---|---|---|"]
    ignored = []
    for name, node in model["properties"].items():
        text = node.get("description", "").replace("\n", " ")
        if text == "Ignored.":
            ignored.append(f"`{name}`")
            continue
        own = {key: value for key, value in node.items() if key != "description"}
        lines.append(f"| `{name}` | {kind(own)} | {default(node, name in needed)} | {text} |")
    end = f"\n\nIgnored: {', '.join(ignored)}." if ignored else ""
    return "\n".join(lines) + end + "\n"


def updated(document: str) -> str:
    """The document with its tables as they are now."""
    known = models(schema("batch"))
    return _TABLE.sub(lambda match: f"{match[1]}{table(known[match[2]])}{match[3]}", document)


def described(document: str) -> set[str]:
    """The models that the document has tables of."""
    return {match[2] for match in _TABLE.finditer(document)}


def main() -> int:
    """Write the document, or compare it. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="bring the document up to date")
    arguments = parser.parse_args()
    before = DOCUMENT.read_text()
    after = updated(before)
    if arguments.write:
        DOCUMENT.write_text(after)
        return 0
    return int(before != after)


if __name__ == "__main__":
    sys.exit(main())
