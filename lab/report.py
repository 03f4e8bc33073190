"""What came of a comparison, so that it can be cited: numbers, digests of all they depend on, versions and machine.

`results` is exact: it depends on the variants, the batches and the source alone, and is the same on every machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import zkevm_native

from circuits.statement import CIRCUIT_VERSION
from lab.measure import Difference, Measurement, differences
from lab.variant import Variant

ROOT = Path(__file__).resolve().parents[1]

#: A row for each table of each measurement.
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("variant", "workload", "fork", "circuit", "batch", "table")),
        *((name, pa.int64()) for name in ("rows", "height", "columns", "interactions", "cells", "messages")),
    ]
)


@dataclass(frozen=True)
class Software:
    """What measured.

    Attributes:
        revision: commit of the clone, `+` behind it where files differ from it; empty where there is no repository.
    """

    zkevm: str
    revision: str
    circuit_version: int
    engine: str
    python: str
    numpy: str


@dataclass(frozen=True)
class Machine:
    """Where it was measured: no number depends on it but seconds."""

    processor: str
    cores: int
    memory_bytes: int
    system: str


def software() -> Software:
    """What is running."""
    return Software(
        version("zkevm"),
        _revision(),
        CIRCUIT_VERSION,
        zkevm_native.VERSION,
        platform.python_version(),
        np.__version__,
    )


def _revision() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> Machine:
    """This machine."""
    names = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(names[0] if names else platform.processor(), os.cpu_count() or 1, pages, platform.platform())


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


@dataclass(frozen=True)
class Comparison:
    """Variants on workloads, the first variant being what the others are compared with.

    Attributes:
        title: what was asked.
        measurements: of every variant on every workload.
    """

    title: str
    variants: tuple[Variant, ...]
    measurements: tuple[Measurement, ...]

    @property
    def pairs(self) -> list[tuple[Measurement, Measurement]]:
        """Each measurement with that of the first variant on the same batch and fork."""
        first = {(m.workload, m.fork): m for m in self.measurements if m.variant == self.variants[0].name}
        return [(first[m.workload, m.fork], m) for m in self.measurements]

    @property
    def header(self) -> tuple[str, ...]:
        """Of `lines`."""
        return ("workload", "variant", "cells", "more", "interactions", "more", "cost", "cost without padding")

    @property
    def lines(self) -> list[tuple[str, str, int, str, int, str, str, str]]:
        """For each measurement cells and interactions, how many more that is, and per cent of the cost."""
        several = len({m.fork for m in self.measurements}) > 1
        return [
            (
                m.workload + f" ({m.fork})" * several,
                m.variant,
                m.costs.cells,
                f"{m.costs.cells - before.costs.cells:+,}" if m is not before else "",
                m.costs.messages,
                f"{m.costs.messages - before.costs.messages:+,}" if m is not before else "",
                _per_cent(m.weight, before.weight) if m is not before else "",
                _per_cent(m.rows_weight, before.rows_weight) if m is not before else "",
            )
            for before, m in self.pairs
        ]

    def differing(self) -> list[tuple[Measurement, list[Difference]]]:
        """Where the costs of tables differ from those of the first variant."""
        return [(m, found) for before, m in self.pairs if (found := differences(before, m))]

    def results(self) -> dict[str, Any]:
        """As JSON, all that is exact."""
        return {
            "title": self.title,
            "variants": [{"name": variant.name, "about": variant.about} for variant in self.variants],
            "measurements": [measurement.to_dict() for measurement in self.measurements],
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with versions and machine."""
        return self.results() | {"software": asdict(software()), "machine": asdict(machine())}

    def table(self) -> pa.Table:
        """A row for each table of each measurement, `SCHEMA`."""
        rows = [
            {
                "variant": m.variant,
                "workload": m.workload,
                "fork": m.fork,
                "circuit": m.circuit,
                "batch": m.batch,
                "table": t.name,
                "rows": t.rows,
                "height": t.height,
                "columns": t.columns,
                "interactions": t.interactions,
                "cells": t.cells,
                "messages": t.messages,
            }
            for m in self.measurements
            for t in sorted(m.costs.tables, key=lambda t: t.name)
        ]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def markdown(self) -> str:
        """The tables, and what to cite them by."""
        return "\n".join([f"# {self.title}", "", *self.markdown_tables(), "", *self._citation(), ""])

    def markdown_costs(self) -> list[str]:
        """What the variants cost."""
        return _markdown(self.header, self.lines, {0, 1})

    def markdown_tables(self) -> list[str]:
        """What the variants are, what they cost, and where that differs."""
        lines = [f"- `{variant.name}`: {variant.about}." for variant in self.variants]
        lines += ["", *self.markdown_costs()]
        header = ("workload", "variant", "table", "cells", "interactions", "cells without padding", "interactions")
        by_table = [
            (m.workload, m.variant, d.table, *(f"{n:+,}" for n in (d.cells, d.messages, d.rows_cells, d.rows_messages)))
            for m, found in self.differing()
            for d in found
        ]
        return [*lines, "", *_markdown(header, by_table, {0, 1, 2})]

    def _citation(self) -> list[str]:
        own, where = software(), machine()
        circuits = dict.fromkeys((m.variant, m.fork, m.circuit) for m in self.measurements)
        keys = dict.fromkeys((m.variant, m.fork, m.log_stacked_height, m.key) for m in self.measurements)
        batches = dict.fromkeys((m.workload, m.batch) for m in self.measurements)
        return [
            "Exact, padding included unless said otherwise; the same on every machine.",
            "",
            f"- zkevm {own.zkevm}, revision {own.revision or 'unknown'}, circuit version {own.circuit_version}, "
            f"engine {own.engine}, Python {own.python}, numpy {own.numpy}",
            *(f"- circuit of `{name}` ({fork}): {digest}" for name, fork, digest in circuits),
            *(f"- key of `{name}` ({fork}, 2^{height} rows stacked): {key}" for name, fork, height, key in keys if key),
            *(f"- batch `{name}`: sha256 {digest}" for name, digest in batches),
            f"- made on {where.processor}, {where.cores} cores, {where.memory_bytes >> 20:,} MiB, {where.system}",
        ]

    def write(self, folder: Path) -> list[Path]:
        """`measurements.parquet`, `report.json` and `report.md` in this folder; returns their paths.

        Raises:
            OSError: they cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / name for name in ("measurements.parquet", "report.json", "report.md")]
        pyarrow.parquet.write_table(self.table(), files[0])
        files[1].write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        files[2].write_text(self.markdown())
        return files


def _per_cent(now: float, before: float) -> str:
    return f"{100 * (now - before) / before:+.2f} %"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[Any]], names: set[int]) -> list[str]:
    """A table; columns of `names` are on the left, numbers on the right."""
    rule = ["---" if number in names else "---:" for number in range(len(header))]
    cells = [
        [f"`{v}`" if k in names else f"{v:,}" if isinstance(v, int) else v for k, v in enumerate(line)]
        for line in lines
    ]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *cells)]
