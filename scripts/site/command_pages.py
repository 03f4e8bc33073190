"""The command line as a page: what `zkevm COMMAND --help` says of each command."""

from __future__ import annotations

from typing import Any

import typer

from scripts.site.writing import code, plain, table
from zkevm import serving
from zkevm.main import app

_STATUSES = """\
Every command takes `--json`, with which it prints one object on standard output. Exit statuses: 0 all went well, 1 a
proof or constraints are rejected (or a case, or a job, has failed), 2 the input or the way it was asked for cannot be
used.
"""


def page() -> str:
    """Markdown of all commands."""
    group: Any = typer.main.get_command(app)
    parts = ["# Command line\n", _STATUSES]
    for name, command in group.commands.items():
        for words, own in _leaves(f"zkevm {name}", command):
            parts.append(_section(words, own))
    return "\n".join(parts)


def _leaves(words: str, command: Any) -> list[tuple[str, Any]]:
    """A command, or those below it."""
    if hasattr(command, "commands"):
        return [leaf for name, own in command.commands.items() for leaf in _leaves(f"{words} {name}", own)]
    if words == "zkevm serve":  # its options are those of the service's settings
        command = typer.main.get_command(serving.serve_app(lambda **given: None, app.info.context_settings))
    return [(words, command)]


def _section(words: str, command: Any) -> str:
    context = typer.Context(command)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([words, *("[OPTIONS]" for _ in options[:1]), *(_name(p, context) for p in arguments)])
    rows = []
    for parameter in (*arguments, *options):
        # A flag that is hidden from `--help` has no record.
        if record := parameter.get_help_record(context):
            names, text = record
            rows.append((code(_name(parameter, context) if parameter in arguments else names), plain(text)))
    return "\n".join([f"## {words}\n", plain(command.help or "") + "\n", f"    {usage}\n", table(("", ""), rows)])


def _name(parameter: Any, context: typer.Context) -> str:
    """How an argument stands in the usage, without its type."""
    return str(parameter.get_help_record(context)[0]).split(" ")[0]
