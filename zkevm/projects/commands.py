"""The commands about projects: new, build."""

from __future__ import annotations

import json
from pathlib import Path

from zkevm.console import Output
from zkevm.projects.new import Language, new_project
from zkevm.reports import BuildReport, NewReport, TransactionBuilt, hexadecimal


def make_project(folder: Path, language: Language, output: Output) -> None:
    """Make a project, and say what comes next.

    Raises:
        ProjectError.
    """
    files = [str(path) for path in new_project(folder, language)]
    for file in files:
        output.line(f"made {file}")
    output.line(f"\nNext: change {files[0]} and {files[1]}, then `zkevm build {folder}`")
    output.result(NewReport(folder=str(folder), language=language, files=files))


def build_batch(folder: Path, out: Path | None, output: Output) -> None:
    """Make the batch of a project, write its file and report.

    Raises:
        ProjectError, UnsupportedFeature, OSError.
    """
    # Loads what executes, which `new` does without.
    from prover.store import check_folder, write_atomically
    from zkevm.projects.build import build_project

    if out is None:
        out = folder / "batch.json"
    else:
        check_folder(out)
    with output.progress("Executing") as (advance,):
        built = build_project(folder, progress=lambda _, done, total: advance(done, total))
    content = (json.dumps(built.document, indent=1) + "\n").encode()
    write_atomically(out, content)
    addresses = {name: hexadecimal(address) for name, address in built.contracts.items()}
    rows = [
        [own.block, own.transaction, own.what, own.sender, "yes" if own.succeeded else "reverts", own.gas_used]
        for own in built.transactions
    ]
    output.table("Transactions", ["block", "number", "what", "by", "succeeds", "gas"], rows)
    facts = [
        ("chain id", str(built.batch.chain_id)),
        ("fork", built.execution.statement.fork),
        *((f"account {name}", address) for name, address in built.accounts.items()),
        *((f"contract {name}", address) for name, address in built.contracts.items()),
        *((f"compiler of {name}", compiler) for name, compiler in built.compilers.items()),
        ("gas used", built.execution.summary.gas_used),
        ("batch", str(out)),
    ]
    output.facts("Built", facts)
    output.result(
        BuildReport(
            batch=str(out),
            bytes=len(content),
            chain_id=built.batch.chain_id,
            fork=built.execution.statement.fork,
            gas_used=built.execution.summary.gas_used,
            accounts={name: hexadecimal(address) for name, address in built.accounts.items()},
            contracts=addresses,
            compilers=dict(built.compilers),
            transactions=[
                TransactionBuilt(**{**vars(own), "output": hexadecimal(own.output)}) for own in built.transactions
            ],
        )
    )
