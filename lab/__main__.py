"""The command of the laboratory: `python -m lab`."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from executor.errors import ZkevmError
from executor.forks import CIRCUIT_FORKS, Fork
from lab.attack import Attacked, attack_all, attack_tables
from lab.errors import LabError, RefusedError
from lab.measure import Workload, check, fill, sample_of, segments
from lab.plots import plot
from lab.prove import prove, verify
from lab.registry import EXPERIMENTS, VARIANTS, experiment, variant
from lab.report import Comparison
from lab.sweep import sweep
from lab.variant import TODAY
from prover.costs import Costs, costs_of, total
from zkevm.console import Output
from zkevm.outcomes import REJECTED, UNUSABLE, Description, describe, errors
from zkevm.verifying import AsJson, new_app

app = new_app(
    "A laboratory for circuits: variants of a fork's circuit, what they cost, whether they hold, proofs of their own.",
    "VARIANT is a name of `list`, or FILE.py:NAME. WORKLOAD is an example's name, or a batch file. "
    "Exit status: 0 done, 1 violations, a dishonest change accepted or a proof refused, 2 unusable input, 3 internal "
    "error.",
)

VariantName = Annotated[str, typer.Argument(metavar="VARIANT", help="Which circuit.", show_default=False)]
WorkloadName = Annotated[
    str | None,
    typer.Argument(metavar="WORKLOAD", help="Which batch.", show_default="a small batch with all that is changed"),
]
ForkName = Annotated[
    str | None, typer.Option("--fork", metavar="NAME", help="Fork of the blocks.", show_default="that of the batch")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for the report, the measurements and the plot."),
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes that fill tables; from 2 on Ray's.")]
RayAddress = Annotated[str | None, typer.Option("--ray-address", metavar="ADDRESS", help="Of a Ray cluster.")]
Keys = Annotated[bool, typer.Option("--keys", help="Make the keys, too, and report their digests.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all choices.")]


def _described(error: Exception) -> Description:
    if isinstance(error, ZkevmError):
        status = REJECTED if isinstance(error, RefusedError) else UNUSABLE
        return status, {"kind": type(error).__name__, "message": str(error), "hint": getattr(error, "hint", "")}
    return describe(error)


_errors = partial(errors, described=_described)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Experiments and variants that are shipped."""
    output = Output(as_json)
    output.table(
        "Experiments",
        ("name", "question", "variants", "workloads"),
        [
            (e.name, e.question, ", ".join(v.name for v in e.variants), ", ".join(e.workloads))
            for e in EXPERIMENTS.values()
        ],
    )
    output.table("Variants", ("name", "what is different"), [(v.name, v.about) for v in VARIANTS.values()])
    output.result(
        {
            "experiments": {
                e.name: {
                    "question": e.question,
                    "variants": [v.name for v in e.variants],
                    "workloads": list(e.workloads),
                }
                for e in EXPERIMENTS.values()
            },
            "variants": {v.name: v.about for v in VARIANTS.values()},
        }
    )


@app.command("experiment")
def run_experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which experiment.", show_default=False)],
    workload: Annotated[
        list[str] | None,
        typer.Option("--workload", metavar="WORKLOAD", help="Of these; can be repeated.", show_default="its own"),
    ] = None,
    fork: ForkName = None,
    out: Out = None,
    keys: Keys = False,
    workers: Workers = 1,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Run an experiment: a table, a plot, and a report that can be cited, in out/lab/NAME."""
    output = Output(as_json)
    with _errors(output):
        chosen = experiment(name)
        references = [TODAY.name, *(v.name for v in chosen.variants)]
        _compare(
            chosen.question, references, workload or list(chosen.workloads), fork, out or Path("out/lab") / name, keys,
            workers, ray_address, output,
        )  # fmt: skip


@app.command()
def compare(
    variants: Annotated[list[str], typer.Argument(metavar="VARIANT...", help="Which circuits.", show_default=False)],
    workload: Annotated[list[str], typer.Option("--workload", metavar="WORKLOAD", help="Can be repeated.")] = ["erc20"],  # noqa: B006 - typer copies it
    fork: ForkName = None,
    out: Out = None,
    keys: Keys = False,
    workers: Workers = 1,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Compare variants side by side, on every workload; one alone is compared with the circuit as it is."""
    output = Output(as_json)
    with _errors(output):
        references = variants if len(variants) > 1 else [TODAY.name, *variants]
        names = [variant(reference).name for reference in references]
        title = f"{', '.join(names[1:])} beside {names[0]}"
        _compare(title, references, workload, fork, out, keys, workers, ray_address, output)


def _compare(
    title: str,
    references: list[str],
    workloads: list[str],
    fork: str | None,
    out: Path | None,
    keys: bool,
    workers: int,
    address: str | None,
    output: Output,
) -> None:
    variants = tuple(map(variant, references))
    if len({v.name for v in variants}) < len(variants):
        raise LabError("two variants have one name", "give them different ones")
    batches = [Workload.named(name, _fork(fork)) for name in workloads]
    with output.progress("Filling tables") as (advance,):
        found = sweep(references, batches, keys=keys, workers=workers, address=address, advance=advance)
    comparison = Comparison(title, variants, tuple(found))
    output.table(title, comparison.header, comparison.lines)
    header = ("table", "cells", "interactions", "cells without padding", "interactions without padding")
    for measurement, tables in comparison.differing():
        lines = [(d.table, *(f"{n:+,}" for n in (d.cells, d.messages, d.rows_cells, d.rows_messages))) for d in tables]
        output.table(f"{measurement.workload}: what {measurement.variant} changes, by table", header, lines)
    files: list[Path] = []
    if out is not None:
        files = comparison.write(out)
        plot(comparison, out / "plot.svg")
        files.append(out / "plot.svg")
        output.facts("Written", [(path.suffix[1:], path) for path in files])
    output.result(comparison.to_dict() | {"files": list(map(str, files))})


@app.command("check")
def check_variant(
    name: VariantName, workload: WorkloadName = None, fork: ForkName = None, as_json: AsJson = False
) -> None:
    """Fill a variant's tables, and check every constraint and every bus."""
    output = Output(as_json)
    with _errors(output):
        chosen = variant(name)
        batch = chosen.batch(_workload(name, workload, fork).trace)
        start = time.perf_counter()
        found: list[str] = []
        costs: list[Costs] = []
        runs = segments(chosen, batch)
        with output.progress("Checking") as (advance,):
            for number, (circuits, execution) in enumerate(runs):
                filled = fill(circuits, execution)
                costs.append(costs_of(filled))
                found += map(str, check(circuits, filled))
                advance(number + 1, len(runs))
        whole = total(costs)
        for violation in found:
            output.line(violation, style="red")
        facts = {
            "variant": chosen.name,
            "segments": len(runs),
            "steps": whole.steps,
            "tables": len(whole.tables),
            "cells": whole.cells,
            "interactions": whole.messages,
            "violations": len(found),
            "seconds": time.perf_counter() - start,
        }
        output.facts("Violations found" if found else "All constraints and buses hold", facts.items())
        output.result(facts | {"satisfied": not found, "findings": found})
        if found:
            raise typer.Exit(REJECTED)


@app.command()
def attack(
    name: VariantName,
    workload: WorkloadName = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each table is changed in each way.")] = 4,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", min=1, help="Run the whole campaign for so long.", show_default="changed tables only"
        ),
    ] = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes of the campaign.")] = 1,
    fork: ForkName = None,
    as_json: AsJson = False,
) -> None:
    """Attack a variant: change its tables dishonestly, and show what nobody rejects."""
    output = Output(as_json)
    with _errors(output):
        chosen = variant(name)
        found: Attacked
        with output.progress("Attacking") as (advance,):
            if seconds is not None:
                circuits = chosen.of(_fork(fork) or next(iter(CIRCUIT_FORKS.values())))
                found = attack_all(circuits, seconds, seed=seed, workers=workers, advance=advance)
            else:
                batch = _workload(name, workload, fork)
                (circuits, _), *_ = segments(chosen, chosen.batch(batch.trace))
                found = attack_tables(circuits, batch, rounds=rounds, seed=seed, advance=advance)
        output.table("Changes", ("of", "tried"), list(found.tried.items()))
        for accepted in found.accepted:
            output.line(f"accepted ({accepted.kind}): " + "; ".join(accepted.changes), style="red")
        for table in found.absent:
            output.note(f"the batch has no row of {table}")
        output.line(f"{sum(found.tried.values()):,} changes, {len(found.accepted):,} accepted")
        output.result({"variant": chosen.name, **found.to_dict()})
        if found.accepted:
            raise typer.Exit(REJECTED)


@app.command("prove")
def prove_variant(
    name: VariantName,
    workload: WorkloadName = None,
    fork: ForkName = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, show_default="all cores")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove a batch with keys of the variant's own, made for it, and verify the proofs with them."""
    output = Output(as_json)
    with _errors(output):
        chosen = variant(name)
        batch = _workload(name, workload, fork)
        runs = segments(chosen, chosen.batch(batch.trace))
        documents: list[dict[str, Any]] = []
        with output.progress("Proving") as (advance,):
            for number, (circuits, execution) in enumerate(runs):
                made = prove(circuits, execution, threads=threads)
                start = time.perf_counter()
                bits = verify(made.key, made.proof, execution)
                documents.append(
                    {
                        "fork": circuits.fork.circuit,
                        "circuit": circuits.circuit.digest,
                        "key": made.key.digest,
                        "log_stacked_height": made.key.log_stacked_height,
                        "cells": made.cells,
                        "interactions": made.interactions,
                        "proof_bytes": len(made.proof),
                        "security_bits": bits,
                        "keygen_seconds": made.keygen_seconds,
                        "prove_seconds": made.prove_seconds,
                        "verify_seconds": time.perf_counter() - start,
                    }
                )
                advance(number + 1, len(runs))
        for document in documents:
            output.facts(f"{chosen.name}: proved, and verified with its own key", document.items())
        output.result({"variant": chosen.name, "batch": batch.digest, "segments": documents})


def _fork(name: str | None) -> Fork | None:
    if name is not None and name not in CIRCUIT_FORKS:
        raise LabError(f"no fork {name!r} has a circuit", f"forks: {', '.join(CIRCUIT_FORKS)}")
    return None if name is None else CIRCUIT_FORKS[name]


def _workload(name: str, workload: str | None, fork: str | None) -> Workload:
    """The workload that is named, or the sample of the variant."""
    if workload is not None:
        return Workload.named(workload, _fork(fork))
    return sample_of(variant(name), _fork(fork) or next(iter(CIRCUIT_FORKS.values())))


if __name__ == "__main__":
    app(prog_name="python -m lab")
