"""The experiments that are shipped, their variants, and those of files."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.errors import LabError, VariantError
from lab.experiments import codes, fusion, ranges
from lab.variant import TODAY, Variant


@dataclass(frozen=True)
class Experiment:
    """A question that is answered by comparing variants with the circuit as it is.

    Attributes:
        name: of the command.
        question: in a line.
        variants: that are compared, behind the circuit as it is.
        workloads: by name.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    workloads: tuple[str, ...]


EXPERIMENTS = {
    each.name: each
    for each in (
        Experiment(
            "fusion",
            "What does it save if a JUMP and its JUMPDEST, or a PUSH and the jump behind it, are one row?",
            fusion.VARIANTS,
            ("erc20", "uniswap", "mainnet"),
        ),
        Experiment(
            "range-tables",
            "What is the second range table worth, which only the field machine asks?",
            ranges.VARIANTS,
            ("erc20", "uniswap", "mainnet", "precompiles"),
        ),
        Experiment(
            "code-commitments",
            "What does it save to commit to codes in parts, of which only some are opened?",
            codes.VARIANTS,
            ("erc20", "uniswap", "mainnet", "deploy"),
        ),
    )
}

VARIANTS = {variant.name: variant for variant in (TODAY, *(v for each in EXPERIMENTS.values() for v in each.variants))}


def experiment(name: str) -> Experiment:
    """An experiment by its name; raises `LabError` where there is none."""
    if name not in EXPERIMENTS:
        raise LabError(f"no experiment {name!r}", f"experiments: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


@cache
def variant(reference: str) -> Variant:
    """A variant by its name, or by `FILE.py:NAME`, a variable of a file.

    Raises:
        VariantError: there is none.
    """
    if reference in VARIANTS:
        return VARIANTS[reference]
    file, colon, name = reference.rpartition(":")
    if not colon:
        raise VariantError(f"no variant {reference!r}", f"variants: {', '.join(VARIANTS)}, or FILE.py:NAME")
    path = Path(file).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise VariantError(f"no file {file!r} with a variant", "name a file of Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not isinstance(found, Variant):
        raise VariantError(f"{file} has no variant {name!r}", "name a variable that holds a `lab.variant.Variant`")
    return found
