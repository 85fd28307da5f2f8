"""The influence matrix as a picture: probes down, targets across, in blocks of quality (Fig. 1D)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import Affine2D, ScaledTranslation, Transform, offset_copy

from influence.arrays import Array
from influence.plots.style import PAGE_WIDTH, style

Thumbnails = Mapping[str, Sequence[Float[Array, "H W"]]]
"""Images to show beside the rows of each group, by name of the group; 0 is paper and 1 is ink."""

COLORS = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.85")
NOT_MEASURED: dict[str, Any] = {"facecolor": "0.85", "linewidth": 0}
FAILED: dict[str, Any] = {"facecolor": "0.65", "edgecolor": "0.2", "hatch": "//////", "linewidth": 0}

# Points.
SMALLEST_LABEL, LARGEST_LABEL = 5.0, 7.0
GROUP_SIZE = 7.0
LETTER_WIDTH = 4.0  # of the names of axes
LARGEST_THUMBNAIL = 36.0
GAP = 3.0

COLORBAR_HEIGHT = 0.5  # inches, with its names


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """One matrix of `matrix_figure`.

    Attributes:
        title: what distinguishes it, e.g. "SGD, self-gain 0.3 nat".
        gain_PT: gains in the order of the sample tables, NaN where not measured.
        clip: gain at which the colours end on both sides.
    """

    title: str
    gain_PT: Float64[Array, "P T"]
    clip: float


def end_of_colors(gain_PT: Float64[Array, "P T"], quantile: float) -> float:
    """Where colours end: this quantile of the absolute gains, to two digits; 1 where every gain is 0 or missing."""
    measured = np.abs(gain_PT[np.isfinite(gain_PT)])
    end = float(np.quantile(measured, quantile)) if len(measured) else 0.0
    return float(f"{end:.2g}") or 1.0


def matrix_figure(
    panels: Sequence[Sequence[Panel]],
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    *,
    unit: str = "nats",
    thumbnails: Thumbnails | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Matrices of the same probes and targets in a grid, each with its own stated clip (Fig. 1D).

    Args:
        panels: rows of equal length, e.g. an optimiser a row and a self-gain a column.
        probes: sample table of the rows, see `draw_matrix`.
        targets: sample table of the columns.
        unit: unit of the gains.
        thumbnails: images beside the row groups, at the left of the grid.
        width: of the figure, in inches; the height follows.

    Raises:
        ValueError: the rows of panels differ in length, or a panel does not fit the tables.
    """
    lengths = [len(row) for row in panels]
    if len(set(lengths)) != 1 or 0 in lengths:
        raise ValueError(f"expected rows of panels of one length, got lengths {lengths}; fill the grid")
    num_rows, num_columns, aspect = len(panels), lengths[0], len(probes) / len(targets)
    with style():
        figure = Figure(figsize=(width, width), layout="compressed")
        # The sizes of names and thumbnails follow from the matrix: start it near its final width.
        start = {"left": 0.95 / width, "right": 1, "bottom": 0, "top": 1, "wspace": 0.05}
        grid = figure.subplots(
            num_rows, num_columns, squeeze=False, gridspec_kw=start, subplot_kw={"box_aspect": aspect}
        )
        for row_panels, row_axes in zip(panels, grid, strict=True):
            for column, (panel, axes) in enumerate(zip(row_panels, row_axes, strict=True)):
                axes.apply_aspect()
                draw_matrix(
                    axes,
                    panel.gain_PT,
                    probes,
                    targets,
                    clip=panel.clip,
                    unit=unit,
                    name_probes=column == 0,
                    thumbnails=thumbnails if column == 0 else None,
                )
                axes.set_title(panel.title)
        _fit_height(figure, grid, aspect)
    return figure


def _fit_height(figure: Figure, grid: Array, aspect: float) -> None:
    """Give the figure the height that its matrices fill once names and gaps have their part of the width."""
    around = [(axes.get_tightbbox(), axes.get_window_extent()) for axes in grid[0]]
    names_width = sum(whole.width - matrix.width for whole, matrix in around) / figure.dpi
    names_height = max(whole.height - matrix.height for whole, matrix in around) / figure.dpi
    side = (figure.get_figwidth() - names_width) / grid.shape[1] - 0.1
    figure.set_figheight(grid.shape[0] * (side * aspect + names_height + COLORBAR_HEIGHT))


def draw_matrix(
    axes: Axes,
    gain_PT: Float64[Array, "P T"],
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    *,
    clip: float,
    unit: str = "nats",
    name_probes: bool = True,
    thumbnails: Thumbnails | None = None,
) -> AxesImage:
    """Draw one matrix of gains, red where learning the probe made the target more likely.

    Rows and columns are sorted by `group`, then by `label`; the groups keep the order in which they appear in the
    table that has more of them, the probes' if in doubt. Lines separate the groups, ticks the labels. Rows that are
    NaN throughout are hatched as failed probes; other NaN cells are grey.

    Args:
        axes: where to draw. Its figure gets the colour bar; names find their room in a constrained layout.
        gain_PT: gains in the order of the sample tables.
        probes: sample table of the rows; its `group` and `label` are used where it has them.
        targets: sample table of the columns, alike.
        clip: gain at which the colours end on both sides.
        unit: unit of the gains.
        name_probes: whether to name the rows; False for a panel right of one that does.
        thumbnails: images to show beside the rows of each group.

    Raises:
        ValueError: the gains do not fit the tables, or the clip is not positive.
    """
    check_panel(gain_PT, probes, targets, clip=clip)
    rows, columns = _by_quality(probes, targets)
    gain_PT = gain_PT[np.ix_(rows.index.to_numpy(), columns.index.to_numpy())]
    image = axes.imshow(gain_PT, cmap=COLORS, vmin=-clip, vmax=clip, aspect="auto", interpolation="nearest")
    axes.spines[:].set_visible(True)
    for _, edge, _ in _runs(rows["group"])[1:]:
        axes.axhline(edge, color="black", linewidth=0.7)
    for _, edge, _ in _runs(columns["group"])[1:]:
        axes.axvline(edge, color="black", linewidth=0.7)
    below = _name_columns(axes, columns)
    if name_probes:
        _name_rows(axes, rows, thumbnails or {})
    else:
        axes.set_yticks([])
    _mark_missing(axes, gain_PT, below)
    draw_colorbar([axes], image, clip, unit)
    return image


def check_panel(gain_PT: Float64[Array, "P T"], probes: pd.DataFrame, targets: pd.DataFrame, *, clip: float) -> None:
    """Refuse what cannot be drawn.

    Raises:
        ValueError: the gains do not fit the tables, or the clip is not positive.
    """
    if gain_PT.shape != (len(probes), len(targets)):
        raise ValueError(
            f"expected gains of {len(probes)} probes x {len(targets)} targets, got {gain_PT.shape[0]} x "
            f"{gain_PT.shape[1]}; pass the tables of the same matrix"
        )
    if not clip > 0:
        raise ValueError(f"expected a positive clip, got {clip}; choose the gain at which the colours end")


def _by_quality(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """`group` and `label` of each table in reading order, indexed by position; "" where a table has none."""
    named = [table.reindex(columns=["group", "label"], fill_value="").reset_index(drop=True) for table in tables]
    fullest_first = sorted(named, key=lambda table: -table["group"].nunique())
    groups = pd.concat(fullest_first)["group"].unique()
    return [
        table.assign(group=pd.Categorical(table["group"], categories=groups)).sort_values(["group", "label"])
        for table in named
    ]


def _runs(names: Iterable[Any]) -> list[tuple[Any, float, float]]:
    """Every run of equal names with its two outer edges, in cells: the first cell is centred at 0."""
    runs, start = [], -0.5
    for name, cells in groupby(names):
        stop = start + len(list(cells))
        runs.append((name, start, stop))
        start = stop
    return runs


def _name_columns(axes: Axes, columns: pd.DataFrame) -> float:
    """Name labels and groups below the matrix; returns how far the names reach, in points."""
    reach = _name_labels(axes.xaxis, columns)
    under = _shifted(axes, axes.get_xaxis_transform(), up=-reach)
    for name, start, stop in _runs(columns["group"]):
        axes.text((start + stop) / 2, 0, name, transform=under, ha="center", va="top", size=GROUP_SIZE)
    reach += GROUP_SIZE + GAP
    axes.set_xlabel("read on (target)", loc="left")
    axes.xaxis.set_label_coords(0, 0, transform=_shifted(axes, axes.transAxes, up=-reach))
    return reach


def _name_rows(axes: Axes, rows: pd.DataFrame, thumbnails: Thumbnails) -> None:
    """Name labels and groups left of the matrix, with the groups' thumbnails between them."""
    reach = _name_labels(axes.yaxis, rows)
    runs = _runs(rows["group"])
    most = max(len(thumbnails.get(name, ())) for name, _, _ in runs)
    if most:
        side = min(LARGEST_THUMBNAIL, _points(axes, axes.bbox.height) / (len(runs) * most) - GAP)
        for name, start, stop in runs:
            _draw_thumbnails(axes, thumbnails.get(name, ()), (start + stop) / 2, side, reach)
        reach += side + GAP
    beside = _shifted(axes, axes.get_yaxis_transform(), right=-reach)
    for name, start, stop in runs:
        axes.text(0, (start + stop) / 2, name, transform=beside, ha="right", va="center", rotation=90, size=GROUP_SIZE)
    axes.set_ylabel("learned from (probe)")
    reach += GROUP_SIZE + GAP
    axes.yaxis.set_label_coords(0, 0.5, transform=_shifted(axes, axes.transAxes, right=-reach))


def _name_labels(axis: Axis, samples: pd.DataFrame) -> float:
    """Name runs of one label at the centre of their cells, with ticks at the edges; returns their reach in points."""
    across = axis is axis.axes.xaxis
    matrix = axis.axes.bbox
    runs = _runs(zip(samples["group"], samples["label"], strict=True))
    names = [str(label) for (_, label), _, _ in runs]
    spacing = _points(axis.axes, matrix.width if across else matrix.height) / len(runs)
    size = min(LARGEST_LABEL, max(SMALLEST_LABEL, spacing))
    every = math.ceil(0.85 * size / spacing)  # name every second run, and so on, where all would overlap
    upright = across and 0.6 * size * max(len(name) for name in names) > spacing
    axis.set_ticks([(start + stop) / 2 for _, start, stop in runs][::every], names[::every])
    axis.set_ticks([edge for _, start, stop in runs for edge in (start, stop)], minor=True)
    axis.set_tick_params(which="minor", length=2)
    axis.set_tick_params(which="major", length=0, pad=GAP, labelsize=size, labelrotation=90 if upright else 0)
    drawn = axis.get_tightbbox()
    if drawn is None:  # no sample has a label
        return GAP
    return _points(axis.axes, matrix.y0 - drawn.y0 if across else matrix.x0 - drawn.x0) + GAP


def _draw_thumbnails(
    axes: Axes, pictures: Sequence[Float[Array, "H W"]], row: float, side: float, reach: float
) -> None:
    """Stack square pictures of `side` points at the height of a row, `reach` points left of the matrix."""
    at_row = ScaledTranslation(0, row, axes.get_yaxis_transform())  # type: ignore[arg-type]  # any transform does
    points = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans + at_row
    for place, picture in enumerate(pictures):
        bottom = (len(pictures) / 2 - place - 1) * (side + GAP) + GAP / 2
        inset = axes.inset_axes((-reach - side, bottom, side, side), transform=points)
        inset.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set(visible=True, linewidth=0.3)


def _mark_missing(axes: Axes, gain_PT: Float64[Array, "P T"], below: float) -> None:
    """Hatch the rows that are NaN throughout and say what grey means, right of the name of the columns."""
    missing_PT = np.isnan(gain_PT)
    failed_P = missing_PT.all(axis=1)
    for row in np.flatnonzero(failed_P):
        axes.add_patch(Rectangle((-0.5, row - 0.5), gain_PT.shape[1], 1, **FAILED))
    meanings = []
    if failed_P.any():
        meanings.append(Patch(label="failed probe", **FAILED))
    if missing_PT[~failed_P].any():
        meanings.append(Patch(label="not measured", **NOT_MEASURED))
    if meanings:
        axes.legend(
            handles=meanings,
            loc="upper right",
            bbox_to_anchor=(1, 0),
            bbox_transform=_shifted(axes, axes.transAxes, up=-below),
            borderaxespad=0,
            borderpad=0,
            handlelength=1,
            handletextpad=0.4,
            columnspacing=1,
            ncols=2,
        )


def draw_colorbar(axes: Sequence[Axes], image: AxesImage, clip: float, unit: str) -> None:
    """A bar under the axes, whose pointed ends stand for the gains beyond the clip."""
    alone = len(axes) == 1
    bar = axes[0].figure.colorbar(
        image, ax=list(axes), location="bottom", extend="both", shrink=0.9 if alone else 0.6, aspect=30, pad=0.02
    )
    bar.set_ticks([-clip, 0, clip], labels=[f"\N{MINUS SIGN}{clip:g}", "0", f"{clip:g}"])
    bar.ax.tick_params(length=2, pad=1)
    lines = ["change in log-probability", f"({unit}), clipped at ±{clip:g}"]
    if alone and len(lines[1]) * LETTER_WIDTH > _points(axes[0], axes[0].bbox.width):
        lines[1] = lines[1].replace(", ", ",\n")
    bar.set_label(("\n" if alone else " ").join(lines), labelpad=1)
    bar.outline.set_linewidth(0.4)


def _shifted(axes: Axes, transform: Transform, *, right: float = 0.0, up: float = 0.0) -> Transform:
    """The transform moved by points."""
    return offset_copy(transform, axes.get_figure(root=True), right, up, units="points")


def _points(axes: Axes, pixels: float) -> float:
    return pixels * 72 / axes.figure.dpi
