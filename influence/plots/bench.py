"""How long every way to the same numbers takes, in units of the engine, and what an entry costs by size."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from influence.plots.style import COLORS, PAGE_WIDTH, style

MARKERS = "osD^vP<"


def bench_figure(ways: pd.DataFrame, sizes: pd.DataFrame, *, most: float) -> Figure:
    """Times of all ways beside each other; right of them the cost of an entry, where there is any.

    Args:
        ways: see `draw_ways`.
        sizes: see `draw_sizes`.
        most: see `draw_sizes`.
    """
    height = 1 + 0.22 * ways["case"].nunique()
    with style():
        figure = Figure(figsize=(PAGE_WIDTH, max(2.2, height)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 1])
        draw_ways(left, ways)
        if len(sizes):
            draw_sizes(right, sizes, most=most)
        else:
            right.set_axis_off()
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def draw_ways(axes: Axes, ways: pd.DataFrame) -> None:
    """A line a case, a mark a way, on a logarithmic axis on which the engine stands at 1.

    Args:
        axes: where.
        ways: rows with the `case`, the name of the `way`, its time in units of the engine's (`times`), and the
            least that is `wanted` (NaN where nothing is), a bar of the way's colour; the way "bare GEMM" is open.
    """
    cases = list(ways["case"].unique())
    places = ways["case"].map(cases.index)
    axes.axvline(1, color="black", linewidth=0.6, label="engine")
    for number, way in enumerate(ways["way"].unique()):
        own, color = ways["way"] == way, COLORS[number % len(COLORS)]
        face = "white" if way == "bare GEMM" else color
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(ways["times"][own], places[own], marker, color=color, markerfacecolor=face, markersize=4, label=way)
        axes.plot(ways["wanted"][own], places[own], "|", color=color, markersize=10)
    axes.plot([], [], "|", color="black", markersize=10, label="at least wanted")
    axes.set(xscale="log", xlabel="time a probe, in units of the engine's")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.minorticks_off()
    axes.set_yticks(range(len(cases)), cases)
    axes.set_ylim(len(cases) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.3, alpha=0.5)


def draw_sizes(axes: Axes, sizes: pd.DataFrame, *, most: float) -> None:
    """Cost of an entry by the size of the matrix, in units of the least; the shaded band is what is wanted.

    Args:
        axes: where.
        sizes: rows with `size`, rows of a square matrix, and `cost`, in arithmetic of a GEMM.
        most: how often the least any may be.
    """
    axes.axhspan(1, most, color=COLORS[2], alpha=0.15, linewidth=0)
    axes.plot(sizes["size"], sizes["cost"] / sizes["cost"].min(), color=COLORS[0], marker="o")
    axes.set(xscale="log", xlabel="probes and targets", ylabel="time an entry x GEMM rate\n(least = 1)", ylim=(0, 2))
    axes.set_xticks(sizes["size"], [f"{size:,.0f}" for size in sizes["size"]], minor=False)
    axes.minorticks_off()
