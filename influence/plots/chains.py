"""Crossed chains: what gains the conclusion that follows, world by world, beside the links that it is composed of."""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from influence.plots.style import COLORS, PAGE_WIDTH, style

WORLD: dict[str, Any] = {"color": "0.6", "marker": ".", "markersize": 2, "linestyle": "none"}
MEAN: dict[str, Any] = {"color": COLORS[0], "marker": "o", "markersize": 4, "linewidth": 1.5}
SPREAD = 0.6
"""Height of the points of a row; the next row is 1 away."""

NUM_COLUMNS = 3
TITLE_LENGTH = 32
"""Characters in a line above a panel."""


def chains_figure(means: pd.DataFrame, worlds: pd.DataFrame, *, unit: str = "nats") -> Figure:
    """Quantities of chains in rows, a panel with an axis of its own for each run.

    Args:
        means: `run`, `quantity`, `value` and its interval, `low` to `high`, NaN where there is none.
        worlds: `run`, `quantity` and `value`, a row for each world in order.
        unit: of the values.
    """
    runs, quantities = (list(dict.fromkeys(means[name])) for name in ("run", "quantity"))
    num_columns = min(NUM_COLUMNS, len(runs))
    num_rows = math.ceil(len(runs) / num_columns)
    with style():
        size = (PAGE_WIDTH * (0.2 + 0.8 * num_columns / NUM_COLUMNS), num_rows * (0.3 * len(quantities) + 0.8) + 0.2)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(runs) :]:
            axes.set_axis_off()
        for axes, run in zip(grid.flat, runs, strict=False):
            of_run = (table[table["run"] == run] for table in (means, worlds))
            draw_chains(axes, *of_run, quantities=quantities)
            axes.set_title(fill(run, TITLE_LENGTH))
            axes.set_xlabel(unit)
        legend = [
            Line2D([], [], label="mean, 95 % interval", **MEAN),
            Line2D([], [], label="a world", **WORLD),
        ]
        figure.legend(handles=legend, loc="outside lower right", ncols=len(legend))
    return figure


def draw_chains(axes: Axes, means: pd.DataFrame, worlds: pd.DataFrame, *, quantities: Sequence[str]) -> None:
    """Draw the quantities of one run in these rows, from the top: means with intervals over the points of the worlds.

    Args:
        axes: where to draw.
        means: see `chains_figure`.
        worlds: see `chains_figure`.
        quantities: names of the rows.
    """
    axes.set_ylim(len(quantities) - 0.5, -0.5)
    axes.set_yticks(range(len(quantities)), quantities)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color="0.7", linewidth=0.5, zorder=0)
    for row, quantity in enumerate(quantities):
        value_W = worlds.loc[worlds["quantity"] == quantity, "value"].to_numpy()
        axes.plot(value_W, row + SPREAD * ((np.arange(len(value_W)) + 0.5) / len(value_W) - 0.5), **WORLD)
        for mean in means[means["quantity"] == quantity].to_dict("records"):
            axes.plot([mean["low"], mean["high"]], [row, row], **{**MEAN, "marker": ""})
            axes.plot(mean["value"], row, **MEAN)
