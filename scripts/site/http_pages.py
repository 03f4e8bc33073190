"""The HTTP API as a page, from the OpenAPI document that the service answers with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scripts.site.writing import code, plain, table
from service.api.app import create_app
from service.database import Database
from service.settings import Settings

_METHODS = ("get", "put", "post", "patch", "delete")


def document() -> dict[str, Any]:
    """The OpenAPI document; no service is started for it."""
    application = create_app(Settings.model_validate({"prove": False}), Database("sqlite://"))
    found: dict[str, Any] = application.openapi()
    return found


def page(openapi: Mapping[str, Any]) -> str:
    """Markdown of all requests and models."""
    parts = ["# HTTP API\n", plain(openapi["info"]["description"])]
    parts.append(
        "A service answers with this document at `/openapi.json`, and with a page to try it at `/docs`. "
        "[The proving service](../service.md#the-api) says how it is used.\n"
    )
    for tag in openapi["tags"]:
        parts.append(f"## {tag['description']}\n")
        for path, operations in openapi["paths"].items():
            for method in _METHODS:
                operation = operations.get(method)
                if operation and tag["name"] in operation.get("tags", ()):
                    parts.append(_operation(path, method, operation))
    parts.append("## Models\n")
    for name, schema in sorted(openapi["components"]["schemas"].items()):
        parts.append(_model(name, schema))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = [
        (code(p["name"]) + (", needed" if p.get("required") else ""), p["in"], _type(p["schema"]), _about(p))
        for p in operation.get("parameters", ())
    ]
    bodies = [
        (code(kind), _type(content.get("schema", {})))
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    answers = [
        (status, " or ".join(_type(c.get("schema", {})) for c in answer.get("content", {}).values()), _about(answer))
        for status, answer in operation.get("responses", {}).items()
    ]
    return "\n".join(
        [
            f"### `{method.upper()} {path}`\n",
            plain(operation.get("description") or operation.get("summary", "")) + "\n",
            table(("parameter", "in", "type", "meaning"), parameters),
            table(("body", "type"), bodies),
            table(("answer", "type", "meaning"), answers),
        ]
    )


def _about(thing: Mapping[str, Any]) -> str:
    schema = thing.get("schema", thing)
    text = plain(thing.get("description") or schema.get("description", ""))
    if "default" in schema and schema["default"] is not None:
        text += f" ({code(json.dumps(schema['default']))} if left out)"
    return text


def _type(schema: Mapping[str, Any]) -> str:
    """The type of a schema in a few words; models are links."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(each)) for each in schema["enum"])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = {"minimum": "≥", "maximum": "≤", "exclusiveMaximum": "&lt;", "maxLength": "length ≤"}
    words = [schema.get("type", "anything"), schema.get("format", "")]
    words += [code(schema["pattern"])] if "pattern" in schema else []
    words += [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join(word for word in words if word)


def _model(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [
        (code(field) + (", needed" if field in needed else ""), _type(own), _about(own))
        for field, own in schema.get("properties", {}).items()
    ]
    words = "" if rows else _type(schema)
    about = plain(schema.get("description", "")).replace("\n", "\n\n", 1)
    return "\n".join([f"### {name}\n", about + "\n", words + "\n", table(("field", "type", "meaning"), rows)])
