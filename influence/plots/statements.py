"""Influence matrices whose rows and columns are statements, under what logic expects of them (paper, Figs. 2 to 4)."""

from collections.abc import Sequence
from itertools import groupby
from textwrap import TextWrapper, wrap

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from influence.arrays import Array
from influence.data.domains import EXPECTED, SLOT
from influence.plots.matrix import COLORS, NOT_MEASURED, Panel, check_panel, draw_colorbar
from influence.plots.style import PAGE_WIDTH, style

# Points.
SMALLEST_TEXT, LARGEST_TEXT = 5.0, 6.0
TITLE_SIZE = 8.0
STRIP_HEIGHT, GAP = 48.0, 4.0
LARGEST_CELL = 36.0

# In units of the font's size, in DejaVu Sans.
LINE_HEIGHT = 1.2
LETTER_WIDTH, DIGIT_WIDTH = 0.55, 0.62

LEAST = LINE_HEIGHT * SMALLEST_TEXT
"""Points a cell, for its label to be legible."""

SHORTEST_LINE, LONGEST_LINE = 24, 64  # characters: no shorter line is broken, and no longer one is drawn
ELLIPSIS = " …"

BESIDE_LABELS, BETWEEN_PANELS = 0.5, 0.12  # inches: axis name and margins; what separates two panels


def statement_figure(
    panels: Sequence[Sequence[Panel | None]],
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    *,
    premises: str | None = None,
    number_format: str | None = None,
    unit: str = "nats per token",
    width: float = PAGE_WIDTH,
) -> Figure:
    """Matrices of the same statements in a grid: learned beside prompted, say, or ours above the paper's.

    Panels with one clip share a colour bar and name their columns once; otherwise each has its own bar and names.

    Args:
        panels: rows of equal length, each beginning with a panel; None leaves a place empty.
        probes: table of the rows, see `draw_statements`.
        targets: table of the columns.
        premises: the text whose learning the targets' `expected` is about, to draw `draw_expected` above the first row
            of panels.
        number_format: see `draw_statements`.
        unit: unit of the gains.
        width: most that the figure may have, in inches; the height follows.

    Raises:
        ValueError: the rows of panels differ in length, or one does not begin with a panel; the cells would be too
            small for labels that can be read; or `draw_statements` refuses a panel.
    """
    lengths = [len(row) for row in panels]
    if len(set(lengths)) != 1 or not all(row and row[0] for row in panels):
        raise ValueError(
            f"expected rows of panels of one length that begin with a panel, got lengths {lengths}; fill with None"
        )
    shared = len({panel.clip for row in panels for panel in row if panel}) == 1
    with style():
        figure, grid, side = _grid(probes, targets, shape=(len(panels), lengths[0]), width=width)
        drawn: list[tuple[Axes, AxesImage, Panel]] = []
        for (row, column), axes in np.ndenumerate(grid):
            panel, below = panels[row][column], [other[column] for other in panels[row + 1 :]]
            if panel is None:
                axes.set_axis_off()
                continue
            axes.apply_aspect()
            image = draw_statements(
                axes,
                panel.gain_PT,
                probes,
                targets,
                clip=panel.clip,
                number_format=number_format,
                name_probes=column == 0,
                name_targets=not (shared and any(below)),
            )
            if below and not any(below):  # its names hang into the empty place
                axes.xaxis.set_in_layout(False)
            if premises is not None and row == 0:
                height = _points(axes, axes.bbox.height)
                strip = axes.inset_axes((0, 1 + GAP / height, 1, STRIP_HEIGHT / height))
                draw_expected(strip, targets, premises=premises if column == 0 else None)
            axes.set_title(_in_lines(panel.title, 3, shortest=int(side * 72 / (LETTER_WIDTH * TITLE_SIZE))))
            drawn.append((axes, image, panel))
        if shared:
            draw_colorbar(list(grid.flat), drawn[0][1], drawn[0][2].clip, unit)
        else:
            for axes, image, panel in drawn:
                draw_colorbar([axes], image, panel.clip, unit)
        if any(np.isnan(panel.gain_PT).any() for _, _, panel in drawn):
            missing = Patch(label="not measured", **NOT_MEASURED)
            first_bar = figure.axes[grid.size]
            first_bar.legend(handles=[missing], loc="center right", bbox_to_anchor=(-0.08, 0.5), borderaxespad=0)
        for _ in range(3):  # gaps are shares of the height: it settles within a point
            figure.draw_without_rendering()
            figure.set_figheight(figure.get_tightbbox().height + 0.08)
    return figure


def panels_in_a_row(probes: pd.DataFrame, targets: pd.DataFrame, at_most: int, *, width: float = PAGE_WIDTH) -> int:
    """How many matrices of these tables stand side by side in `statement_figure`, their labels still legible."""
    fitting = (n for n in range(at_most, 1, -1) if _spacing(_panel_width(probes, targets, n, width), targets) >= LEAST)
    return next(fitting, 1)


def draw_statements(
    axes: Axes,
    gain_PT: Float64[Array, "P T"],
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    *,
    clip: float = 3.0,
    number_format: str | None = None,
    name_probes: bool = True,
    name_targets: bool = True,
) -> AxesImage:
    """Draw one matrix of gains in the order of its tables, red where learning the probe made the target more likely.

    A dashed line runs through the cells whose probe is their target, where both tables hold the same texts. NaN is
    grey.

    Args:
        axes: where to draw, near its final size: labels are broken into lines that fit its cells.
        gain_PT: gains of probes (rows) on targets (columns).
        probes: table of the rows. Its `text` holds one statement a line; slots in braces are shown bare.
        targets: table of the columns, alike.
        clip: gain at which the colours end on both sides; the paper's is 3.
        number_format: format of the number in every cell, e.g. ".1f"; None writes none.
        name_probes: whether to label the rows; False for a panel right of one that does.
        name_targets: whether to label the columns; False for a panel above one that does.

    Raises:
        ValueError: the gains do not fit the tables, the clip is not positive, or the numbers do not fit the cells.
    """
    check_panel(gain_PT, probes, targets, clip=clip)
    image = axes.imshow(gain_PT, cmap=COLORS, vmin=-clip, vmax=clip, aspect="auto", interpolation="nearest")
    axes.spines[:].set_visible(True)
    axes.tick_params(length=1.5, pad=2)
    if list(probes["text"]) == list(targets["text"]):
        end = len(targets) - 0.5
        axes.plot([-0.5, end], [-0.5, end], color="black", gapcolor="white", linestyle="--", linewidth=0.4)
    if name_targets:
        labels, size = _labels(targets, _points(axes, axes.bbox.width))
        axes.set_xticks(range(len(targets)), labels, rotation=90, size=size, multialignment="right")
        axes.set_xlabel("read on (target)")
    else:
        axes.set_xticks(range(len(targets)), [])
    if name_probes:
        labels, size = _labels(probes, _points(axes, axes.bbox.height))
        axes.set_yticks(range(len(probes)), labels, size=size)
        axes.set_ylabel("learned from /\nprompted with (probe)")
    else:
        axes.set_yticks(range(len(probes)), [])
    if number_format is not None:
        _write_numbers(axes, image, gain_PT, number_format)
    return image


def draw_expected(axes: Axes, targets: pd.DataFrame, *, premises: str | None) -> None:
    """Draw what learning the premises should do to each target, a row of cells under their desiderata (Fig. 2A).

    Args:
        axes: where to draw, as wide as the matrix of the same targets.
        targets: table of the columns, with `expected`, a key of `influence.data.domains.EXPECTED`, and `desideratum`.
        premises: their text, to name the row with; None leaves it unnamed.
    """
    value_T = np.array([EXPECTED[expected] for expected in targets["expected"]])
    image = axes.imshow(value_T[None], cmap=COLORS, vmin=min(EXPECTED.values()), vmax=max(EXPECTED.values()))
    axes.set_aspect("auto")
    axes.spines[:].set_visible(True)
    spacing = _points(axes, axes.bbox.width) / len(targets)
    size = _text_size(spacing)
    for column, (expected, color) in enumerate(zip(targets["expected"], image.to_rgba(value_T), strict=True)):
        axes.text(column, 0, expected, rotation=90, ha="center", va="center", size=size, color=_ink(color))
    centres, names, stop = [], [], 0
    for desideratum, cells in groupby(targets["desideratum"]):
        start, stop = stop, stop + len(list(cells))
        centres.append((start + stop - 1) / 2)
        names.append(_in_lines(desideratum, int((stop - start) * spacing / (LINE_HEIGHT * size)), shortest=8))
        axes.axvline(start - 0.5, color="black", linewidth=0.6)
    axes.xaxis.tick_top()
    axes.set_xticks(centres, names, rotation=90, size=size)
    axes.tick_params(length=1.5, pad=2)
    if premises is None:
        axes.set_yticks([])
    else:
        lines = _in_lines(premises, int(STRIP_HEIGHT / (LINE_HEIGHT * size)) - 1)
        axes.set_yticks([0], [f"expected after learning\n{lines}"], size=size)


def _grid(
    probes: pd.DataFrame, targets: pd.DataFrame, *, shape: tuple[int, int], width: float
) -> tuple[Figure, Array, float]:
    """Axes of matrices near their final size, to which labels are broken, on a page that is too high; their width."""
    num_rows, num_columns = shape
    widest = LARGEST_CELL * len(targets) / 72
    room = _panel_width(probes, targets, num_columns, width)
    if (spacing := _spacing(room, targets)) < LEAST:
        raise ValueError(
            f"expected cells of at least {LEAST:g} points, got {spacing:.1f} beside labels that can be read; put fewer "
            "panels side by side, or widen the figure"
        )
    side, aspect = min(room, widest), len(probes) / len(targets)
    width -= num_columns * (room - side)
    figure = Figure(figsize=(width, num_rows * (side * aspect + 6)), layout="compressed")
    start = {
        "left": 1 - num_columns * (side + BETWEEN_PANELS) / width,
        "right": 1,
        "bottom": 0,
        "top": 1,
        "wspace": BETWEEN_PANELS / side,
    }
    grid = figure.subplots(num_rows, num_columns, squeeze=False, gridspec_kw=start, subplot_kw={"box_aspect": aspect})
    return figure, grid, side


def _write_numbers(axes: Axes, image: AxesImage, gain_PT: Float64[Array, "P T"], number_format: str) -> None:
    numbers = [format(gain, number_format).replace("-", "\N{MINUS SIGN}") for gain in gain_PT.flat]
    spacing = _points(axes, axes.bbox.width) / gain_PT.shape[1]
    longest = max(map(len, numbers))
    size = min(LARGEST_TEXT, spacing / (longest * DIGIT_WIDTH))
    if size < SMALLEST_TEXT:
        raise ValueError(
            f"expected numbers of at most {spacing / (SMALLEST_TEXT * DIGIT_WIDTH):.1f} characters, got {longest} with "
            f"format {number_format!r}; shorten it, or draw fewer panels side by side"
        )
    colors = image.to_rgba(gain_PT).reshape(-1, 4)
    for (row, column), number, color in zip(np.ndindex(gain_PT.shape), numbers, colors, strict=True):
        if not np.isnan(gain_PT[row, column]):
            hide_diagonal = {"facecolor": color, "edgecolor": "none", "pad": 0.5}
            ink = _ink(color)
            axes.text(column, row, number, ha="center", va="center", size=size, color=ink, bbox=hide_diagonal)


def _ink(color: Float64[Array, "4"]) -> str:
    """Black, or white on a dark cell."""
    return "black" if color[:3] @ [0.3, 0.59, 0.11] > 0.45 else "white"


def _panel_width(probes: pd.DataFrame, targets: pd.DataFrame, num_columns: int, width: float) -> float:
    """Width in inches of each matrix of a row: the more lines its row labels may have, the wider it is."""
    side = 0.0
    for size in (LARGEST_TEXT, SMALLEST_TEXT):
        for num_lines in range(1, 10):
            labels = "\n".join(_in_lines(text, num_lines) for text in probes["text"])
            reach = max(map(len, labels.split("\n"))) * LETTER_WIDTH * size / 72
            wider = (width - BESIDE_LABELS - reach) / num_columns - BETWEEN_PANELS
            if num_lines > 1 and _spacing(wider, targets) < num_lines * LINE_HEIGHT * size:
                break
            side, whole = wider, ELLIPSIS not in labels
        if whole:
            break
    return side


def _spacing(side: float, targets: pd.DataFrame) -> float:
    """Points a column, of a matrix so many inches wide."""
    return side * 72 / len(targets)


def _labels(samples: pd.DataFrame, extent: float) -> tuple[list[str], float]:
    """Labels of samples that share `extent` points, broken into as many lines as fit, and the size of their text."""
    spacing = extent / len(samples)
    for size in (_text_size(spacing), SMALLEST_TEXT):
        labels = [_in_lines(text, int(spacing / (LINE_HEIGHT * size))) for text in samples["text"]]
        if ELLIPSIS not in "".join(labels):
            break
    return labels, size


def _text_size(spacing: float) -> float:
    return min(LARGEST_TEXT, max(SMALLEST_TEXT, spacing / LINE_HEIGHT))


def _in_lines(text: str, num_lines: int, *, shortest: int = SHORTEST_LINE) -> str:
    """A text in at most `num_lines` lines, or one, about equally long; each statement on its own if there is room."""
    *others, last = SLOT.sub(r"\1", text).split("\n")
    statements = [*(f"{statement}\N{NO-BREAK SPACE}/" for statement in others), last]
    if len(statements) > num_lines:
        statements = [" ".join(statements)]
    each = max(1, num_lines // len(statements))
    return "\n".join(line for statement in statements for line in _broken(statement, each, shortest))


def _broken(statement: str, num_lines: int, shortest: int) -> list[str]:
    """The narrowest lines, of those that are no more than `num_lines` nor than lines of `shortest` characters."""
    wrapper = TextWrapper(shortest, break_long_words=False, break_on_hyphens=False)
    enough = min(num_lines, len(wrapper.wrap(statement)))
    for wrapper.width in range(1, LONGEST_LINE + 1):
        lines = wrapper.wrap(statement)
        if len(lines) <= enough:
            return lines
    return wrap(statement, LONGEST_LINE, max_lines=num_lines, placeholder=ELLIPSIS)


def _points(axes: Axes, pixels: float) -> float:
    return pixels * 72 / axes.figure.dpi
