from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from influence.plots.style import COLORS, save_figure
from influence.plots.symmetry import draw_points, symmetry_figure

NAN = float("nan")
TABLE = pd.DataFrame(
    [
        ("transitivity", "SGD", 2.0, 1.5, 2.75),
        ("transitivity", "AdamW", 1.0, NAN, NAN),
        ("transitivity", "prompted", 0.25, 0.125, 0.5),
        ("chain_induces", "prompted", 0.5, 0.375, 0.75),
        ("chain_induces", "SGD", NAN, NAN, NAN),
    ],
    columns=["domain", "estimator", "value", "low", "high"],
)
PAPER = pd.DataFrame(
    [("transitivity", "prompted", 0.28), ("chain_induces", "SGD", 1.11)], columns=["domain", "estimator", "value"]
)
# By hand: three points share 0.6 of a domain.
PLACES = {"SGD": -0.2, "AdamW": 0.0, "prompted": 0.2}
ESTIMATORS = dict(zip(PLACES, COLORS, strict=False))


def drawn() -> Axes:
    axes = Figure().subplots()
    draw_points(axes, TABLE, colors=ESTIMATORS, published=PAPER)
    return axes


def points(axes: Axes) -> list[tuple[float, float, str]]:
    """Place, height and colour."""
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    return [
        (round(line.get_xdata()[0], 9), line.get_ydata()[0], to_hex(line.get_markerfacecolor()).upper())
        for line in lines
    ]


def test_a_point_stands_at_its_domain_and_estimator_as_high_as_its_value() -> None:
    found = set(points(drawn()))
    assert found == {
        (round(domain + PLACES[estimator], 9), value, ESTIMATORS[estimator])
        for domain, estimator, value in [(0, "SGD", 2), (0, "AdamW", 1), (0, "prompted", 0.25), (1, "prompted", 0.5)]
    }
    assert [tick.get_text() for tick in drawn().get_xticklabels()] == ["transitivity", "chain\ninduces"]


def test_an_interval_reaches_from_low_to_high_at_its_point() -> None:
    lines = [line for line in drawn().lines if line.get_marker() == "None"]
    ends = {round(line.get_xdata()[0], 9): list(line.get_ydata()) for line in lines}
    assert ends[round(PLACES["SGD"], 9)] == [1.5, 2.75]
    assert ends[round(PLACES["prompted"], 9)] == [0.125, 0.5]
    assert ends[round(1 + PLACES["prompted"], 9)] == [0.375, 0.75]
    assert np.isnan(ends[0]).all()


def test_the_papers_value_is_marked_beside_its_point() -> None:
    marks = [line for line in drawn().lines if line.get_marker() == "D"]
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks]
    assert places == [(pytest.approx(PLACES["prompted"]), 0.28), (pytest.approx(1 + PLACES["SGD"]), 1.11)]


def test_an_undefined_value_is_named_in_place_of_its_point() -> None:
    (word,) = drawn().texts
    assert word.get_text() == "undefined"
    assert word.get_position()[0] == pytest.approx(1 + PLACES["SGD"])


@pytest.mark.parametrize(("logarithmic", "scale"), [(False, "linear"), (True, "log")])
def test_the_papers_measure_stands_beside_the_index(logarithmic: bool, scale: str) -> None:
    index = TABLE.assign(value=TABLE["value"] / 10)
    left, right = symmetry_figure(TABLE, index, published=PAPER, logarithmic=logarithmic).axes
    heights = [[height for _, height, _ in points(axes)] for axes in (left, right)]
    assert heights == [[2, 1, 0.25, 0.5], [0.2, 0.1, 0.025, 0.05]]
    assert (left.get_yscale(), right.get_yscale()) == (scale, "linear")
    assert right.get_ylim() == (0, 1)
    assert not [line for line in right.lines if line.get_marker() == "D"]  # the paper reports no index
    assert left.get_ylabel() == "1 / |M \N{MINUS SIGN} M'|, in 1 / (nats per token)"
    (legend,) = left.figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["SGD", "AdamW", "prompted", "paper", "95 % interval", "independent entries"]


def test_saving_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(symmetry_figure(TABLE, TABLE, published=PAPER), tmp_path / name, TABLE)
    for suffix in (".pdf", ".png", ".csv"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
