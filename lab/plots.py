"""Pictures of comparisons."""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError
from lab.report import Comparison
from prover.plots import SUFFIXES

_PADDED, _ROWS = "#3b6ea5", "#9dbad5"


def plot(comparison: Comparison, file: Path) -> None:
    """How much more variants cost than the first one, in per cent, by workload: with padding and without.

    Raises:
        LabError: another kind of file than SVG, PNG or PDF.
        OSError: it cannot be written.
    """
    if file.suffix not in SUFFIXES:
        raise LabError(f"no kind of picture: {file.name}", f"name a file that ends in {', '.join(SUFFIXES)}")
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zkevm"  # equal costs give equal files
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    names = [variant.name for variant in comparison.variants[1:]]
    pairs = [(before, now) for before, now in comparison.pairs if now.variant != comparison.variants[0].name]
    places = list(dict.fromkeys((m.workload, m.fork) for m in comparison.measurements))
    several = len({fork for _, fork in places}) > 1
    size = (1.5 + 3.4 * len(places), 1.6 + 0.7 * len(names))
    figure, axes = pyplot.subplots(
        1, len(places), figsize=size, sharex=True, sharey=True, squeeze=False, constrained_layout=True
    )
    for ax, (workload, fork) in zip(axes[0], places, strict=True):
        own = {now.variant: (before, now) for before, now in pairs if (now.workload, now.fork) == (workload, fork)}
        for shift, colour, label, attribute in (
            (-0.2, _PADDED, "padding included", "weight"),
            (0.2, _ROWS, "rows alone", "rows_weight"),
        ):
            more = [100 * (getattr(own[name][1], attribute) / getattr(own[name][0], attribute) - 1) for name in names]
            bars = ax.barh([k + shift for k in range(len(names))], more, 0.36, color=colour, label=label)
            ax.bar_label(bars, fmt="%+.2f", padding=3, fontsize=8)
        ax.axvline(0, color="#5c6478", linewidth=0.8)
        ax.margins(x=0.35)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_yticks(range(len(names)), names)
        ax.set_title(workload + f" ({fork})" * several)
        ax.set_xlabel(f"per cent more than {comparison.variants[0].name}")
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(comparison.title)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)
