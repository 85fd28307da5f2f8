"""How symmetric learned and prompted influence are, domain by domain, beside what the paper reports (Fig. 5B)."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from influence.plots.style import COLORS, PAGE_WIDTH, style

PUBLISHED: dict[str, Any] = {
    "marker": "D",
    "markersize": 3.5,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
    "linestyle": "none",
}
POINT: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none", "clip_on": False}
INTERVAL: dict[str, Any] = {"linewidth": 1.0, "zorder": 1}
INDEPENDENT: dict[str, Any] = {"color": "0.5", "linewidth": 0.6, "linestyle": "--", "zorder": 0}
DOMAIN_WIDTH = 0.6  # of the points of one domain; the next domain is 1 away


def symmetry_figure(
    paper_symmetry: pd.DataFrame,
    asymmetry_index: pd.DataFrame,
    *,
    published: pd.DataFrame,
    logarithmic: bool = False,
    unit: str = "nats per token",
) -> Figure:
    """The paper's measure of symmetry by domain and estimator, beside the asymmetry index, which is scale-free.

    Args:
        paper_symmetry: 1 / |M - M'|, the larger the more symmetric; see `draw_points`.
        asymmetry_index: from 0, symmetric, to 1, antisymmetric; see `draw_points`.
        published: the paper's 1 / |M - M'|, see `draw_points`.
        logarithmic: whether the paper's measure is on a logarithmic axis.
        unit: unit of the gains.
    """
    estimators = pd.concat([paper_symmetry, asymmetry_index])["estimator"].unique()
    colors = dict(zip(estimators, COLORS, strict=False))
    with style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        if logarithmic:
            left.set_yscale("log")
        draw_points(left, paper_symmetry, colors=colors, published=published)
        left.set(title="measure of the paper", ylabel=f"1 / |M \N{MINUS SIGN} M'|, in 1 / ({unit})")
        draw_points(right, asymmetry_index, colors=colors)
        right.set(title="scale-free", ylabel="asymmetry index", ylim=(0, 1))
        right.axhline(0.5, **INDEPENDENT)
        legend = [
            *(Line2D([], [], color=color, label=estimator, **POINT) for estimator, color in colors.items()),
            Line2D([], [], label="paper", **PUBLISHED),
            Line2D([], [], color="0.5", label="95 % interval", **INTERVAL),
            Line2D([], [], label="independent entries", **INDEPENDENT),
        ]
        figure.legend(handles=legend, loc="outside upper right", ncols=len(legend))
    return figure


def draw_points(
    axes: Axes, table: pd.DataFrame, *, colors: Mapping[str, str], published: pd.DataFrame | None = None
) -> None:
    """Draw a point with its interval for each estimator, in groups by domain; a value that is NaN is named undefined.

    Args:
        axes: where to draw.
        table: `domain`, `estimator`, `value` and its interval, `low` to `high`, NaN where there is none.
        colors: of the estimators, in the order of their points.
        published: `domain`, `estimator` and `value`, a diamond in the column of that domain and estimator.
    """
    domains, estimators = list(table["domain"].unique()), list(colors)
    width = DOMAIN_WIDTH / len(estimators)

    def place(row: Mapping[Hashable, Any]) -> float:
        return domains.index(row["domain"]) + (estimators.index(row["estimator"]) - (len(estimators) - 1) / 2) * width

    for row in table.to_dict("records"):
        if pd.isna(row["value"]):
            across = axes.get_xaxis_transform()
            axes.text(place(row), 0.02, "undefined", transform=across, rotation=90, ha="center", va="bottom", size=5)
            continue
        color = colors[row["estimator"]]
        axes.plot([place(row)] * 2, [row["low"], row["high"]], color=color, **INTERVAL)
        axes.plot(place(row), row["value"], color=color, **POINT)
    for row in [] if published is None else published.to_dict("records"):
        axes.plot(place(row), row["value"], **PUBLISHED)
    axes.set_xticks(range(len(domains)), ["\n".join(domain.replace("_", " ").split()) for domain in domains])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, len(domains) - 0.5)
