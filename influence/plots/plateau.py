"""The sweep of learning rates: how much is learned, and where the matrix keeps its shape (paper, 3.4)."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from influence.arrays import Array
from influence.plots.style import COLORS, PAGE_WIDTH, style

SHADE = 0.12
"""Opacity of a plateau."""


def plateau_figure(sweep: pd.DataFrame, *, min_correlation: float, unit: str = "nats") -> Figure:
    """Self-gain by learning rate, above the correlation of neighbouring matrices; plateaus are shaded.

    Args:
        sweep: one row a learning rate of a `model` and an `optimizer`, with `lr`; `median_self_gain` and its
            band, `low` to `high`; `correlation_with_next`, the Spearman correlation of the off-diagonal gains with
            those at the next higher lr (NaN at the highest); `noise_floor` of the gains; and whether the lr is
            `on_plateau` and is `chosen`. Each model has a column of its own, each optimiser a colour.
        min_correlation: correlation with both neighbours that the plateau asks for.
        unit: unit of the self-gain.
    """
    models = sweep["model"].unique()
    with style():
        figure = Figure(figsize=(min(PAGE_WIDTH, PAGE_WIDTH / 2 * len(models)), 4), layout="constrained")
        grid = figure.subplots(2, len(models), sharex="col", sharey="row", height_ratios=[3, 2], squeeze=False)
        for model, (upper, lower) in zip(models, grid.T, strict=True):
            lines = sweep[sweep["model"] == model]
            draw_self_gain(upper, lines, unit=unit)
            draw_correlation(lower, lines, min_correlation=min_correlation)
            upper.set_title(model)
        for axes in grid.flat:
            axes.label_outer()
        figure.legend(handles=_legend(sweep), loc="outside lower center", ncols=6)
    return figure


def draw_self_gain(axes: Axes, sweep: pd.DataFrame, *, unit: str = "nats") -> None:
    """Draw median self-gain, its band and the noise floor by learning rate, one line an optimiser.

    A median that is not positive has no place on the logarithmic axis: a triangle at the bottom stands for it.
    """
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=f"median self-gain ({unit})")
    for color, line in _lines(sweep):
        lr, median = line["lr"], line["median_self_gain"]
        axes.plot(lr, median.where(median > 0), color=color, marker="o")
        axes.fill_between(lr, line["low"], line["high"], color=color, alpha=0.2, linewidth=0)
        axes.plot(lr, line["noise_floor"], color=color, linestyle=":")
        axes.plot(lr[line["chosen"]], median[line["chosen"]], color=color, marker="*", markersize=8)
        lost = lr[median <= 0]
        axes.plot(lost, np.full(len(lost), 0.03), "v", color=color, transform=axes.get_xaxis_transform())
        _shade_plateau(axes, line, color)


def draw_correlation(axes: Axes, sweep: pd.DataFrame, *, min_correlation: float) -> None:
    """Draw the correlation of each matrix with the next, midway between their learning rates."""
    axes.set(xscale="log", xlabel="learning rate", ylabel="Spearman correlation\nwith the next")
    for color, line in _lines(sweep):
        axes.plot(_edges(line["lr"].to_numpy())[1:], line["correlation_with_next"], color=color, marker="o")
        _shade_plateau(axes, line, color)
    axes.axhline(min_correlation, color="black", linestyle="--", linewidth=0.6)


def _lines(sweep: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Colour and rows, by learning rate, of each optimiser."""
    for color, (_, line) in zip(COLORS, sweep.groupby("optimizer", sort=False), strict=False):
        yield color, line.sort_values("lr")


def _edges(lr_K: Float64[Array, " K"]) -> Float64[Array, " K+1"]:
    """Geometric midpoints of the grid, and half a step beyond its ends."""
    log_K = np.log(lr_K)
    middle = (log_K[1:] + log_K[:-1]) / 2
    return np.exp(np.concatenate([2 * log_K[:1] - middle[:1], middle, 2 * log_K[-1:] - middle[-1:]]))


def _shade_plateau(axes: Axes, line: pd.DataFrame, color: str) -> None:
    edges = _edges(line["lr"].to_numpy())
    full_height = axes.get_xaxis_transform()
    axes.stairs(line["on_plateau"], edges, transform=full_height, fill=True, color=color, alpha=SHADE, linewidth=0)


def _legend(sweep: pd.DataFrame) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=color, marker="o", label=line["optimizer"].iloc[0]) for color, line in _lines(sweep)
    ]
    return [
        *handles,
        Line2D([], [], color="black", marker="*", markersize=8, linestyle="none", label="chosen"),
        Patch(color="black", alpha=SHADE, linewidth=0, label="plateau"),
        Line2D([], [], color="black", linestyle=":", label="noise floor"),
        Line2D([], [], color="black", linestyle="--", linewidth=0.6, label="least correlation on a plateau"),
    ]
