"""Pictures of where the cells and the interactions go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prover.costs import Costs, weight
from prover.errors import ProverError

#: Bars of each picture; the rest is one bar together.
BARS = 24
SUFFIXES = (".svg", ".png", ".pdf")

_CELLS, _INTERACTIONS = "#3b6ea5", "#e08e45"


def plot_costs(costs: Costs, title: str, file: Path) -> None:
    """Draw the costs of a segment, or of several together, by table and by instruction, as an SVG, PNG or PDF file.

    Raises:
        ProverError: another kind of file.
        OSError: the file cannot be written.
    """
    if file.suffix not in SUFFIXES:
        raise ProverError(f"no kind of picture: {file.name}", f"name a file that ends in {', '.join(SUFFIXES)}")
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zkevm"  # equal costs give equal files
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(15, 8), constrained_layout=True)
    tables = [(t.name, float(t.cells), float(t.messages)) for t in costs.tables]
    instructions = [(i.name, i.cells, i.messages) for i in costs.instructions]
    per_cells, per_messages = costs.per_step()
    _bars(left, tables, f"by table ({costs.cells:,} cells, {costs.messages:,} interactions)")
    _bars(
        right,
        instructions,
        f"by instruction ({costs.steps:,} steps, {per_cells:.1f} cells and {per_messages:.1f} interactions each)",
    )
    figure.suptitle(f"{title}: cost of proving, padding included")
    metadata = {"Date": None} if file.suffix == ".svg" else None
    figure.savefig(file, metadata=metadata)
    pyplot.close(figure)


def _bars(axes: Any, entries: Sequence[tuple[str, float, float]], title: str) -> None:
    shown, rest = list(entries[:BARS]), entries[BARS:]
    if rest:
        shown.append((f"{len(rest)} others", sum(e[1] for e in rest), sum(e[2] for e in rest)))
    names = [name for name, _, _ in shown]
    cells = [c for _, c, _ in shown]
    messages = [weight(0, m) for _, _, m in shown]
    axes.barh(names, cells, color=_CELLS, label="cells")
    axes.barh(names, messages, left=cells, color=_INTERACTIONS, label="interactions, as 6.5 cells each")
    axes.invert_yaxis()
    axes.set_title(title)
    axes.set_xlabel("cells")
    axes.legend(loc="center right")
