"""The sweep of learning rates: how much is learned, and where the matrix keeps its shape (paper, 3.4)."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from influence.arrays import Array
from influence.plots.style import COLORS, PAGE_WIDTH, style

CHOSEN: dict[str, Any] = {
    "marker": "*",
    "markersize": 9,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
    "linestyle": "none",
}
NOT_POSITIVE: dict[str, Any] = {"marker": "v", "linestyle": "none"}
BAND: dict[str, Any] = {"alpha": 0.25, "linewidth": 0}
PLATEAU: dict[str, Any] = {"alpha": 0.12, "linewidth": 0}
NOISE_FLOOR: dict[str, Any] = {"linestyle": ":"}
LEAST_CORRELATION: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 0.6}


def plateau_figure(sweep: pd.DataFrame, *, min_correlation: float, band: str, unit: str = "nats") -> Figure:
    """Self-gain by learning rate, above the correlation of neighbouring matrices; plateaus are shaded.

    Args:
        sweep: one row a learning rate of a `model` and an `optimizer`, with `lr`; `median_self_gain` and its
            band, `low` to `high`; `correlation_with_next`, the Spearman correlation of the off-diagonal gains with
            those at the next higher lr (NaN at the highest); `noise_floor` of the gains; and whether the lr is
            `on_plateau` and is `chosen`. Each model has a column of its own, each optimiser a colour.
        min_correlation: correlation with both neighbours that the plateau asks for.
        band: what `low` and `high` are, for the legend, e.g. "least to most".
        unit: unit of the self-gain.

    Raises:
        ValueError: a model and optimiser have fewer than two learning rates.
    """
    for (model, optimizer), line in sweep.groupby(["model", "optimizer"]):
        if len(line) < 2:
            raise ValueError(
                f"expected at least two learning rates of {model}, {optimizer}, got {len(line)}; sweep a grid"
            )
    models = sweep["model"].unique()
    colors = dict(zip(sweep["optimizer"].unique(), cycle(COLORS), strict=False))
    with style():
        figure = Figure(figsize=(PAGE_WIDTH / 2 * min(2, len(models)), 4), layout="constrained")
        grid = figure.subplots(2, len(models), sharex="col", sharey="row", height_ratios=[3, 2], squeeze=False)
        for model, (upper, lower) in zip(models, grid.T, strict=True):
            lines = sweep[sweep["model"] == model]
            draw_self_gain(upper, lines, colors=colors, unit=unit)
            draw_correlation(lower, lines, colors=colors, min_correlation=min_correlation)
            upper.set_title(model)
        for axes in grid.flat:
            axes.label_outer()
        legend = [
            *(Line2D([], [], color=color, marker="o", label=optimizer) for optimizer, color in colors.items()),
            Line2D([], [], color="black", label="chosen learning rate", **CHOSEN),
            Patch(color="black", label=band, **BAND),
            Patch(color="black", label="plateau", **PLATEAU),
            Line2D([], [], color="black", label="noise floor", **NOISE_FLOOR),
            Line2D([], [], label=f"correlation {min_correlation:g}", **LEAST_CORRELATION),
        ]
        if (sweep["median_self_gain"] <= 0).any():
            legend.append(Line2D([], [], color="black", label="median not positive", **NOT_POSITIVE))
        figure.legend(handles=legend, loc="outside lower center", ncols=4 if len(models) > 1 else 3)
    return figure


def draw_self_gain(axes: Axes, sweep: pd.DataFrame, *, colors: Mapping[str, str], unit: str = "nats") -> None:
    """Draw median self-gain, its band and the noise floor by learning rate, one line an optimiser.

    A median that is not positive has no place on the logarithmic axis: a triangle at the bottom stands for it.
    """
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=f"median self-gain ({unit})")
    for color, line in _lines(sweep, colors):
        lr, median = line["lr"], line["median_self_gain"]
        axes.fill_between(lr, line["low"], line["high"], color=color, **BAND)
        axes.plot(lr, line["noise_floor"], color=color, **NOISE_FLOOR)
        axes.plot(lr, median.where(median > 0), color=color, marker="o")
        axes.plot(lr[line["chosen"]], median[line["chosen"]], color=color, **CHOSEN)
        lost = lr[median <= 0]
        axes.plot(lost, np.full(len(lost), 0.03), color=color, transform=axes.get_xaxis_transform(), **NOT_POSITIVE)
        _shade_plateau(axes, line, color)


def draw_correlation(axes: Axes, sweep: pd.DataFrame, *, colors: Mapping[str, str], min_correlation: float) -> None:
    """Draw the correlation of each matrix with the next, midway between their learning rates."""
    axes.set(xscale="log", xlabel="learning rate", ylabel="Spearman correlation\nwith the next")
    for color, line in _lines(sweep, colors):
        axes.plot(_edges(line["lr"].to_numpy())[1:], line["correlation_with_next"], color=color, marker="o")
        _shade_plateau(axes, line, color)
    axes.axhline(min_correlation, **LEAST_CORRELATION)


def _lines(sweep: pd.DataFrame, colors: Mapping[str, str]) -> Iterator[tuple[str, pd.DataFrame]]:
    for optimizer, line in sweep.groupby("optimizer", sort=False):
        yield colors[str(optimizer)], line.sort_values("lr")


def _shade_plateau(axes: Axes, line: pd.DataFrame, color: str) -> None:
    edges = _edges(line["lr"].to_numpy())
    shaded = line["on_plateau"].to_numpy(float)
    axes.fill_between(
        np.repeat(edges, 2)[1:-1], 0, np.repeat(shaded, 2), transform=axes.get_xaxis_transform(), color=color, **PLATEAU
    )


def _edges(lr_K: Float64[Array, " K"]) -> Float64[Array, " K+1"]:
    """Geometric midpoints of the grid of learning rates, and half a step beyond its ends."""
    log_K = np.log(lr_K)
    middle = (log_K[1:] + log_K[:-1]) / 2
    edges: Array = np.exp(np.concatenate([2 * log_K[:1] - middle[:1], middle, 2 * log_K[-1:] - middle[-1:]]))
    return edges
