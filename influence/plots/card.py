"""The desiderata card of a model as a picture: a forest of its primary scores, each on an axis of its own."""

import math
import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from influence.desiderata.card import Card
from influence.desiderata.verdict import DESCRIPTIVE, SATISFIED, UNDECIDED, VIOLATED, VOID
from influence.plots.style import COLORS, PAGE_WIDTH, style

LOOKS: dict[str, dict[str, Any]] = {
    SATISFIED: {"color": COLORS[2], "marker": "o"},
    VIOLATED: {"color": COLORS[1], "marker": "X", "markersize": 4},
    UNDECIDED: {"color": COLORS[0], "marker": "o", "markerfacecolor": "white"},
    VOID: {"color": "black", "marker": "s", "markerfacecolor": "white"},
    DESCRIPTIVE: {"color": "0.5", "marker": "D", "markerfacecolor": "white", "markersize": 2.5},
}
"""Of a point and its interval by verdict: told apart by shape as by colour."""

GOOD_SIDE = "0.91"
"""Grey of what lies on the good side of a threshold."""

LEGEND = (
    "Points with 95 % intervals; at the dashed line stands the threshold, and grey is its good side. Full circles are "
    "satisfied, crosses violated, open circles undecided, squares void, diamonds only described."
)

# In inches.
LABELS = 2.05
MARGIN = 0.08
HEAD = 0.42
STRIP = 0.17
PANEL = 0.13
TICKS = 0.14
NUMBERS = 1.06
NOTE = 0.09

NOTE_CHARACTERS = 165
"""That fit into a line of notes."""


def card_figure(card: Card, *, title: str) -> Figure:
    """Every primary score of a card with its interval, a column for each estimator.

    A score has one axis in all columns. Colour and shape of a point tell the verdict of the score, and words above the
    scores of a desideratum its own. The notes stand below.

    Args:
        card: of `influence.desiderata.card.card`.
        title: name of the model.
    """
    groups = [(str(row), part) for row, part in card.scores.groupby("row", sort=False)]
    lines = sum(part.groupby(["score", "condition"]).ngroups for _, part in groups)
    notes = [line for note in (LEGEND, *card.notes) for line in textwrap.wrap(note, NOTE_CHARACTERS)]
    height = HEAD + STRIP * len(groups) + (PANEL + TICKS) * lines + NOTE * (len(notes) + 1) + MARGIN
    with style():
        figure = Figure(figsize=(PAGE_WIDTH, height))
        page = _Page(figure, len(card.estimators))
        page.write(title, left=MARGIN, size=9, weight="bold", down=0.13)
        for column, estimator in enumerate(card.estimators):
            page.write(estimator, left=page.left(column), size=8, weight="bold", down=0.13)
        page.down(HEAD - STRIP / 2)
        for row, part in groups:
            page.write(row.replace("_", " "), left=MARGIN, size=6.5, weight="bold")
            verdicts = part.drop_duplicates("estimator").set_index("estimator")["overall"]
            for column, estimator in enumerate(card.estimators):
                verdict = verdicts.get(estimator, "not measured")
                color = LOOKS[verdict]["color"] if verdict in LOOKS else "0.5"
                page.write(verdict, left=page.left(column), color=color, weight="bold")
            page.down(STRIP / 2)
            for _, cells in part.groupby(["score", "condition"], sort=False):
                page.write(_label(cells.iloc[0]), left=2 * MARGIN, size=6, down=PANEL / 2)
                limits = _limits(cells)
                for column, estimator in enumerate(card.estimators):
                    found = cells[cells["estimator"] == estimator]
                    if len(found):
                        draw_score(page.panel(column), found.iloc[0], limits=limits)
                        said = _numbers(found.iloc[0], limits)
                        page.write(said, left=page.left(column + 1) - NUMBERS, size=5, down=PANEL / 2)
                page.down(PANEL + TICKS)
            page.down(STRIP / 2)
        for line in notes:
            page.write(line, left=MARGIN, size=5.5, color="0.3")
            page.down(NOTE)
    return figure


def draw_score(axes: Axes, row: pd.Series, *, limits: tuple[float, float]) -> None:
    """Draw a score with its interval beside its threshold, the good side of which is grey.

    Args:
        axes: where to draw.
        row: of a card.
        limits: of the value axis.
    """
    axes.set(xlim=limits, ylim=(0, 1), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.tick_params(axis="x", length=1.5, pad=1, labelsize=5)
    good = (row["threshold"], limits[1]) if row["better"] == "higher" else (limits[0], row["threshold"])
    axes.axvspan(*good, color=GOOD_SIDE, linewidth=0, zorder=0)
    axes.axvline(row["threshold"], color="0.4", linewidth=0.6, linestyle="--", zorder=1)
    look = LOOKS[row["verdict"]]
    axes.plot([row["low"], row["high"]], [0.5, 0.5], color=look["color"])
    axes.plot(row["value"], 0.5, linestyle="none", clip_on=False, **look)


class _Page:
    """A figure that is filled from the top, in inches."""

    def __init__(self, figure: Figure, columns: int) -> None:
        self.figure = figure
        self.width, self.height = figure.get_size_inches()
        self.column = (self.width - LABELS - MARGIN) / columns
        self.y = MARGIN

    def down(self, inches: float) -> None:
        self.y += inches

    def left(self, column: int) -> float:
        return float(LABELS + column * self.column)

    def write(self, text: str, *, left: float, down: float = 0.0, **looks: Any) -> None:
        """Write a line whose middle is that far down from here."""
        self.figure.text(left / self.width, 1 - (self.y + down) / self.height, text, va="center", **looks)

    def panel(self, column: int) -> Axes:
        """Axes from here downward."""
        bottom = self.height - self.y - PANEL
        return self.figure.add_axes(
            (
                self.left(column) / self.width,
                bottom / self.height,
                (self.column - NUMBERS - MARGIN / 2) / self.width,
                PANEL / self.height,
            )
        )


def _limits(cells: pd.DataFrame) -> tuple[float, float]:
    """Of the axis that a score has in all columns: its threshold and all intervals, with some air."""
    shown = cells[["value", "low", "high", "threshold"]].to_numpy(float)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    air = 0.08 * (high - low or 1)
    return low - air, high + air


def _numbers(row: pd.Series, limits: tuple[float, float]) -> str:
    """Value and interval, to a five-hundredth of the axis: what is finer cannot be seen either."""
    if np.isnan(row["value"]):
        return "undefined"
    decimals = max(0, 2 - math.floor(math.log10(limits[1] - limits[0])))
    value, low, high = (f"{round(row[name], decimals) + 0.0:.{decimals}f}" for name in ("value", "low", "high"))
    ends = "" if np.isnan(row["low"]) else f" [{low}, {high}]"
    return f"{value}{ends}".replace("-", "\N{MINUS SIGN}")


def _label(row: pd.Series) -> str:
    """The score, its condition, and what is good."""
    name = row["score"].replace("_", " ") + (f", {row['condition']}" if row["condition"] else "")
    return f"{name}  {'>' if row['better'] == 'higher' else '<'} {row['threshold']:g}"
