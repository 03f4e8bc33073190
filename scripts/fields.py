"""The tables of fields in documents: of the batch file, and of a project's plan, from their JSON schemas.

`python -m scripts.fields --write` brings the documents up to date; without it, the exit status says whether they are.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from zkevm.projects.plan import Plan
from zkevm.schemas import schema

DOCS = Path(__file__).parent.parent / "docs"
BATCHES, PLANS = DOCS / "batches.md", DOCS / "tutorials" / "own-contract.md"

#: What of the document a table stands in, by the name of its model.
_TABLE = re.compile(r"(<!-- fields of (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def models(whole: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The schemas of all models that are in a schema, by title or name; `name` is that of the whole."""
    found: dict[str, dict[str, Any]] = {name: whole, **whole["$defs"]}

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if "title" in node and "properties" in node and node is not whole:
                found.setdefault(node["title"], node)
            for value in node.values():
                visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(whole)
    return found


def kind(node: dict[str, Any]) -> str:
    """What a field may be, in words."""
    if "$ref" in node:
        return f"[{(name := node['$ref'].rpartition('/')[2])}](#{name.lower()})"
    if node.get("title") in ("amount", "key"):
        return str(node["title"])
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
        case "string" if node.get("pattern", "").startswith("^[A-Za-z"):
            return "name"
        case "string" if "pattern" in node:
            if "description" in node:
                return f"bytes: {node['description'].rstrip('.')}"
            size = re.search(r"\{(\d+)\}", node["pattern"].replace("{2}", ""))
            return {None: "bytes", 40: "address", 64: "32 bytes"}[int(size[1]) if size else None]
        case "string":
            return "text"
        case "integer":
            return "number"
        case "boolean":
            return "`true` or `false`"
        case "array":
            return f"list of {kind(node['items']) if node.get('items') else 'values'}"
        case "object" if "properties" in node:
            return f"[{node['title']}](#{node['title'].lower()})"
        case "object" if "description" in node:
            return f"object: {node['description'].rstrip('.')}"
        case "object" if "enum" in node.get("propertyNames", {}):
            return "object of forks with their times"
        case "object" if "patternProperties" in node:
            return f"{' or '.join(map(kind, node['patternProperties'].values()))} by name"
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
    if isinstance(value, dict) and value:
        return "see there"
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


def known_of(path: Path) -> dict[str, dict[str, Any]]:
    """The models that a document is about."""
    if path == BATCHES:
        return models(schema("batch"), "BatchFile")
    return models(Plan.model_json_schema(), "Plan")


def updated(path: Path) -> str:
    """A document with its tables as they are now."""
    known = known_of(path)
    return _TABLE.sub(lambda match: f"{match[1]}{table(known[match[2]])}{match[3]}", path.read_text())


def described(path: Path) -> set[str]:
    """The models that a document has tables of."""
    return {match[2] for match in _TABLE.finditer(path.read_text())}


def main() -> int:
    """Write the documents, or compare them. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    arguments = parser.parse_args()
    after = {path: updated(path) for path in (BATCHES, PLANS)}
    stale = [path for path, text in after.items() if path.read_text() != text]
    for path in stale if arguments.write else ():
        path.write_text(after[path])
    return int(bool(stale) and not arguments.write)


if __name__ == "__main__":
    sys.exit(main())
