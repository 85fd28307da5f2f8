import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from influence.plots.forest import forest_figure

NAN = float("nan")
TABLE = pd.DataFrame(
    {
        "score": ["noise_discount", "noise_discount", "asymmetry", "class_pair"],
        "condition": ["sigma=0.5", "sigma=1", "", ""],
        "value": [0.5, NAN, 0.25, 3.0],
        "low": [0.25, NAN, NAN, -1.0],
        "high": [0.75, NAN, NAN, 5.0],
        "better": ["lower", "lower", None, "higher"],
    }
)


def points(axes: Axes) -> dict[int, float]:
    """Values by row."""
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    return {int(dot.get_ydata()[0]): float(dot.get_xdata()[0]) for dot in dots}


def arrows(axes: Axes) -> list[tuple[str, int, float]]:
    heads = [line for line in axes.lines if line.get_marker() in {"<", ">"}]
    return [(head.get_marker(), int(head.get_ydata()[0]), float(head.get_xdata()[0])) for head in heads]


def test_every_score_has_a_row_with_its_value_and_interval() -> None:
    (axes,) = forest_figure({"sgd": TABLE}, limits=(-2.0, 6.0)).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "noise discount, sigma=0.5  ←",
        "noise discount, sigma=1  ←",
        "asymmetry",
        "class pair  →",
    ]
    assert axes.get_ylim() == (3.5, -0.5)  # the first score is on top
    assert points(axes) == {0: 0.5, 2: 0.25, 3: 3.0}
    bars = [line for line in axes.lines if line.get_marker() == "None" and len(set(line.get_ydata())) == 1]
    intervals = {int(bar.get_ydata()[0]): bar.get_xdata() for bar in bars}
    np.testing.assert_array_equal(intervals[0], [0.25, 0.75])
    np.testing.assert_array_equal(intervals[2], [NAN, NAN])
    np.testing.assert_array_equal(intervals[3], [-1, 5])
    assert arrows(axes) == []


def test_an_undefined_score_is_named() -> None:
    (axes,) = forest_figure({"sgd": TABLE}, limits=(-2.0, 6.0)).axes
    (word,) = axes.texts
    assert (word.get_text(), word.get_position()) == ("undefined", (2, 1))


def test_what_leaves_the_axis_ends_in_an_arrow() -> None:
    (axes,) = forest_figure({"sgd": TABLE}, limits=(0.0, 1.0)).axes
    assert arrows(axes) == [("<", 3, 0), (">", 3, 1)]
    alone = TABLE.assign(value=-3.0, low=NAN, high=NAN).iloc[2:3]
    (axes,) = forest_figure({"sgd": alone}, limits=(0.0, 1.0)).axes
    assert arrows(axes) == [("<", 0, 0)]


def test_tables_stand_side_by_side_in_common_rows() -> None:
    other = TABLE.iloc[[3, 0]].assign(value=[7.0, 8.0])
    figure = forest_figure({"sgd": TABLE, "adam": other}, limits=(0.0, 9.0))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["sgd", "adam"]
    assert points(figure.axes[1]) == {3: 7.0, 0: 8.0}
