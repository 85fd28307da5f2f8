"""How the gains of a matrix are distributed, learned against prompted, domain by domain (paper, Figs. 5A and 6)."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from influence.arrays import Array
from influence.plots.style import COLORS, PAGE_WIDTH, style

Gains = Mapping[str, Float64[Array, "..."]]
"""Gains by estimator, in any shape; NaN is left out."""

NUM_COLUMNS = 3


def histogram_figure(
    gains: Mapping[str, Gains],
    *,
    limit: float = 4.0,
    lowest: float | None = None,
    num_bins: int = 40,
    logarithmic: bool = False,
    unit: str = "nats per token",
) -> Figure:
    """Histograms of all gains, a panel for each domain and, where there are several, one for their union.

    Args:
        gains: by domain. An estimator has one colour in all of them.
        limit: see `draw_histogram`.
        lowest: see `draw_histogram`.
        num_bins: see `draw_histogram`.
        logarithmic: whether shares are on a logarithmic axis, where rare gains can be seen.
        unit: unit of the gains.

    Raises:
        ValueError: there are no gains of an estimator in a domain.
    """
    estimators = list(dict.fromkeys(estimator for panel in gains.values() for estimator in panel))
    colors = dict(zip(estimators, COLORS, strict=False))
    panels = dict(gains)
    if len(gains) > 1:
        panels["all domains"] = {
            estimator: np.concatenate([panel[estimator].ravel() for panel in gains.values() if estimator in panel])
            for estimator in estimators
        }
    num_columns = min(NUM_COLUMNS, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    with style():
        size = (PAGE_WIDTH * num_columns / NUM_COLUMNS, 1.5 * num_rows + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(num_rows, num_columns, sharex=True, squeeze=False, gridspec_kw={"wspace": 0.07})
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (domain, panel) in zip(grid.flat, panels.items(), strict=False):
            if logarithmic:
                axes.set_yscale("log")
            draw_histogram(axes, panel, colors=colors, limit=limit, lowest=lowest, num_bins=num_bins)
            axes.set_title(domain.replace("_", " "))
        figure.supxlabel(f"change in log-probability ({unit})", size=7)
        figure.supylabel("share of entries", size=7)
        legend = [Line2D([], [], color=color, label=estimator) for estimator, color in colors.items()]
        figure.legend(handles=legend, loc="outside upper right", ncols=len(legend) if num_columns > 1 else 1)
    return figure


def draw_histogram(
    axes: Axes,
    gains: Gains,
    *,
    colors: Mapping[str, str],
    limit: float = 4.0,
    lowest: float | None = None,
    num_bins: int = 40,
) -> None:
    """Draw the share of each estimator's gains in equal bins, as an outline.

    Args:
        axes: where to draw.
        gains: by estimator; NaN is left out.
        colors: by estimator.
        limit: where the bins end; the outermost hold what lies beyond too.
        lowest: where they begin; -limit where it is None.
        num_bins: how many.

    Raises:
        ValueError: there are no gains of an estimator.
    """
    lowest = -limit if lowest is None else lowest
    edges = np.linspace(lowest, limit, num_bins + 1)
    axes.axvline(0, color="0.7", linewidth=0.5, zorder=0)
    for estimator, gain in gains.items():
        measured = gain[~np.isnan(gain)]
        if not measured.size:
            raise ValueError(f"expected gains of {estimator!r}, got none but NaN; leave the estimator out")
        count, _ = np.histogram(np.clip(measured, lowest, limit), edges)
        axes.stairs(count / measured.size, edges, color=colors[estimator], linewidth=1)
    axes.set_xlim(lowest, limit)
    axes.set_xticks([lowest, *(tick for tick in np.linspace(-limit, limit, 5)[:-1] if tick > lowest), limit])
    names = [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in axes.get_xticks()]
    axes.set_xticklabels([f"≤{names[0]}", *names[1:-1], f"≥{names[-1]}"])
