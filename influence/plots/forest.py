"""Scores of the desiderata with their intervals, as a forest plot."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from influence.plots.style import COLORS, PAGE_WIDTH, style

BETTER = {"higher": "  →", "lower": "  ←"}


def forest_figure(tables: Mapping[str, pd.DataFrame], *, limits: tuple[float, float]) -> Figure:
    """Every score with its interval, a column of points for each table.

    An arrow after the name of a score points to its better side.

    Args:
        tables: by title, what `influence.desiderata.scoring.score` returns: of several estimators, say.
        limits: of the value axis; where an interval leaves it, an arrow stands at its end.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in _names(table)))
    with style():
        figure = Figure(figsize=(PAGE_WIDTH, 0.17 * len(names) + 0.6), layout="constrained")
        grid = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for axes, (title, table) in zip(grid, tables.items(), strict=True):
            draw_forest(axes, table, names=names, limits=limits)
            axes.set_title(title)
            axes.label_outer()
    return figure


def draw_forest(axes: Axes, table: pd.DataFrame, *, names: Sequence[str], limits: tuple[float, float]) -> None:
    """Draw the scores of one table in the rows of `names`, from the top; see `forest_figure`."""
    low, high = limits
    axes.set(xlim=limits, ylim=(len(names) - 0.5, -0.5), xlabel="score")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="0.9", linewidth=0.4)
    axes.set_axisbelow(True)
    axes.axvline(0, color="0.7", linewidth=0.5, zorder=0)
    for name, row in zip(_names(table), table.to_dict("records"), strict=True):
        place = names.index(name)
        if np.isnan(row["value"]):
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text((low + high) / 2, place, "undefined", ha="center", va="center", style="italic", size=6, bbox=box)
            continue
        axes.plot(np.clip([row["low"], row["high"]], low, high), [place, place], color=COLORS[0])
        axes.plot(row["value"], place, color=COLORS[0], marker="o")
        if np.fmin(row["low"], row["value"]) < low:  # fmin passes over the NaN of a missing interval
            axes.plot(low, place, color=COLORS[0], marker="<", clip_on=False)
        if np.fmax(row["high"], row["value"]) > high:
            axes.plot(high, place, color=COLORS[0], marker=">", clip_on=False)


def _names(table: pd.DataFrame) -> list[str]:
    """Name of each row: the score, the condition it is computed at, and an arrow to the better side."""
    return [
        row["score"].replace("_", " ")
        + (f", {row['condition']}" if row["condition"] else "")
        + BETTER.get(row["better"], "")
        for row in table.to_dict("records")
    ]
