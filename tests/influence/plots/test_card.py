"""The picture of a card: every score on its own axis, at its place."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from influence.desiderata.card import Card, card
from influence.plots.card import LOOKS, card_figure
from influence.plots.style import save_figure
from tests.influence.desiderata.test_card import BAD, UNDEFINED, VOID, row


def made() -> Card:
    """Two scores of one desideratum and one of another, by two estimators; one was not measured, one is undefined."""
    leak = {"condition": "learned=negation", "domain": "subset", "better": "lower"}
    bad = {**BAD, "threshold": 0.1, "value": 0.2, "low": 0.15, "high": 0.25}
    return card(
        pd.DataFrame(
            [
                row("slope", "semantics"),
                row("gap", domain="subset"),
                row("leak", **leak, **bad),
                row("gap", domain="subset", estimator="prompted", **{**VOID, "value": 0.7, "high": 0.85}),
                row("leak", **leak, estimator="prompted", **UNDEFINED),
            ]
        )
    )


def panels(figure: Figure) -> list[Axes]:
    """From the top, and from the left."""
    return sorted(figure.axes, key=lambda axes: (-round(axes.get_position().y0, 4), axes.get_position().x0))


def words(figure: Figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in figure.texts}


def test_every_score_has_its_value_and_interval_at_its_place() -> None:
    slope, gap, gap_prompted, leak, leak_prompted = panels(card_figure(made(), title="a model"))
    for axes, value, low, high, threshold in (
        (slope, 0.5, 0.4, 0.6, 0.25),
        (gap, 0.5, 0.4, 0.6, 0.25),
        (gap_prompted, 0.7, 0.4, 0.85, 0.25),
        (leak, 0.2, 0.15, 0.25, 0.1),
    ):
        line, bar, point = axes.lines
        assert list(line.get_xdata()) == [threshold, threshold]
        assert list(bar.get_xdata()) == [low, high]
        assert list(point.get_xdata()) == [value]
    assert all(math.isnan(one) for line in leak_prompted.lines[1:] for one in line.get_xdata())
    # One axis for a score, as wide as its thresholds and intervals.
    assert gap.get_xlim() == gap_prompted.get_xlim() == pytest.approx((0.25 - 0.08 * 0.6, 0.85 + 0.08 * 0.6))
    assert leak.get_xlim() == leak_prompted.get_xlim() == pytest.approx((0.1 - 0.08 * 0.15, 0.25 + 0.08 * 0.15))


def test_the_good_side_of_the_threshold_is_grey() -> None:
    _, gap, _, leak, _ = panels(card_figure(made(), title="a model"))
    (above,), (below,) = ([one for one in axes.patches if isinstance(one, Rectangle)] for axes in (gap, leak))
    assert (above.get_x(), above.get_x() + above.get_width()) == pytest.approx((0.25, gap.get_xlim()[1]))
    assert (below.get_x(), below.get_x() + below.get_width()) == pytest.approx((leak.get_xlim()[0], 0.1))


def test_points_tell_the_verdict_of_a_score_and_words_that_of_the_desideratum() -> None:
    figure = card_figure(made(), title="a model")
    slope, gap, gap_prompted, leak, _ = panels(figure)
    looks = {
        axes: LOOKS[verdict]
        for axes, verdict in ((slope, "satisfied"), (gap, "satisfied"), (gap_prompted, "void"), (leak, "violated"))
    }
    for axes, look in looks.items():
        point = axes.lines[-1]
        assert (point.get_marker(), to_hex(point.get_color())) == (look["marker"], to_hex(look["color"]))
    assert len({(look["marker"], look.get("markerfacecolor")) for look in LOOKS.values()}) == len(LOOKS)
    verdicts = [text for text in figure.texts if text.get_text() in {*LOOKS, "not measured"}]
    verdicts.sort(key=lambda text: (-text.get_position()[1], text.get_position()[0]))
    assert [text.get_text() for text in verdicts] == ["satisfied", "not measured", "violated", "void"]
    found = words(figure)
    assert found["semantics"][1] == verdicts[0].get_position()[1]
    assert found["ontology (subset)"][1] == verdicts[2].get_position()[1]


def test_thresholds_numbers_and_notes_are_written() -> None:
    card_of = made()
    found = words(card_figure(card_of, title="a model"))
    assert {"a model", "SGD", "prompted", "gap  > 0.25", "leak, learned=negation  < 0.1"} <= found.keys()
    assert {"0.500 [0.400, 0.600]", "0.200 [0.150, 0.250]", "undefined"} <= found.keys()
    assert set(card_of.notes) <= found.keys()
    places = [found[name][0] for name in ("a model", "SGD", "prompted")]
    assert places == sorted(places)


def test_saving_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(card_figure(made(), title="a model"), tmp_path / name, made().scores)
    for suffix in (".pdf", ".png", ".csv"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_nothing_of_a_row_is_drawn_into_another() -> None:
    """Panels lie apart, and a card with more rows is taller, not tighter."""
    figure = card_figure(made(), title="a model")
    boxes = [axes.get_position() for axes in panels(figure)]
    for one, other in ((boxes[0], boxes[1]), (boxes[1], boxes[3])):
        assert one.y0 > other.y1
    more: list[dict[str, Any]] = [row(f"score{number}", "semantics") for number in range(20)]
    tall = card_figure(card(pd.DataFrame(more)), title="a model")
    heights = {
        round(axes.get_position().height * one.get_figheight(), 6) for one in (figure, tall) for axes in one.axes
    }
    assert len(heights) == 1


def test_numbers_of_an_axis_do_not_touch_each_other() -> None:
    """Three columns are narrow, and numbers of three decimals wide: an axis from .895 to .965 is such a one."""
    auc = {"threshold": 0.9, "value": 0.932, "low": 0.918, "high": 0.96}
    columns = [row("auc", "sparsity", estimator=name, **auc) for name in ("SGD", "AdamW", "prompted")]
    figure = card_figure(card(pd.DataFrame(columns)), title="a model")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in panels(figure):
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in axes.get_xticklabels()]
        shown = [box for box in boxes if axes.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1 + 1]
        assert len(shown) > 1
        assert all(right.x0 - left.x1 > left.width / 4 for left, right in pairwise(shown))  # a digit and more
