import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from influence.plots.chains import SPREAD, chains_figure

NAN = float("nan")
QUANTITIES = ["transitivity", "link 1", "link 2"]
MEANS = pd.DataFrame(
    [
        ("SGD", "transitivity", 0.5, 0.25, 0.75),
        ("SGD", "link 1", 2.0, NAN, NAN),
        ("prompted", "transitivity", -1.0, -1.5, -0.5),
        ("prompted", "link 2", 4.0, 3.0, 5.0),
    ],
    columns=["run", "quantity", "value", "low", "high"],
)
WORLDS = pd.DataFrame(
    [
        ("SGD", "transitivity", 0.0),
        ("SGD", "transitivity", 0.25),
        ("SGD", "transitivity", 1.25),
        ("SGD", "link 1", 2.0),
    ],
    columns=["run", "quantity", "value"],
)


def means(axes: Axes) -> dict[int, float]:
    """Values by row."""
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    return {int(dot.get_ydata()[0]): float(dot.get_xdata()[0]) for dot in dots}


def test_every_run_has_its_means_in_common_rows() -> None:
    left, right = chains_figure(MEANS, WORLDS).axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == QUANTITIES
    assert left.get_ylim() == right.get_ylim() == (2.5, -0.5)  # the first is on top
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["SGD", "prompted"]
    assert means(left) == {0: 0.5, 1: 2.0}
    assert means(right) == {0: -1.0, 2: 4.0}


def test_intervals_reach_from_low_to_high() -> None:
    left, right = chains_figure(MEANS, WORLDS).axes
    for axes, row, ends in ((left, 0, [0.25, 0.75]), (left, 1, [NAN, NAN]), (right, 2, [3, 5])):
        bars = [line for line in axes.lines if line.get_marker() == "" and list(line.get_ydata()) == [row, row]]
        (interval,) = bars
        np.testing.assert_array_equal(interval.get_xdata(), ends)


def test_worlds_are_points_around_their_row() -> None:
    left, right = chains_figure(MEANS, WORLDS).axes
    points = [line for line in left.lines if line.get_marker() == "."]
    np.testing.assert_array_equal(points[0].get_xdata(), [0, 0.25, 1.25])
    np.testing.assert_allclose(points[0].get_ydata(), [-SPREAD / 3, 0, SPREAD / 3], atol=1e-15)
    assert points[1].get_ydata() == [1]
    np.testing.assert_array_equal(points[1].get_xdata(), [2])
    assert sum(len(line.get_xdata()) for line in right.lines if line.get_marker() == ".") == 0


def test_more_than_three_runs_begin_another_row() -> None:
    many = pd.concat([MEANS.assign(run=f"run {number}") for number in range(5)])
    figure = chains_figure(many, WORLDS, unit="bits")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in shown] == [f"run {number}" for number in range(5)]
    assert {axes.get_xlabel() for axes in shown} == {"bits"}
    assert len({round(axes.get_position().y0, 3) for axes in shown}) == 2
