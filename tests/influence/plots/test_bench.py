import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from influence.plots.bench import bench_figure
from influence.plots.style import COLORS

NAN = float("nan")

WAYS = pd.DataFrame(
    [
        ("cnn", "naive", 1.5, 1.3),
        ("cnn", "twin", 2.0, NAN),
        ("gemma", "naive", 5.0, 3.5),
        ("gemma", "bare GEMM", 0.5, NAN),
    ],
    columns=["case", "way", "times", "wanted"],
)
SIZES = pd.DataFrame({"size": [300.0, 1000.0, 3000.0], "cost": [0.5, 0.4, 0.6]})


def marks(axes: Axes, label: str) -> list[tuple[float, float]]:
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_every_way_stands_on_the_line_of_its_case():
    left, _ = bench_figure(WAYS, SIZES, most=1.4).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["cnn", "gemma"]
    assert marks(left, "naive") == [(1.5, 0), (5.0, 1)]
    assert marks(left, "twin") == [(2.0, 0)]
    assert left.get_ylim() == (1.5, -0.5)  # the first case above


def test_what_is_wanted_has_the_colour_of_its_way():
    left, _ = bench_figure(WAYS, SIZES, most=1.4).axes
    bars = {
        line.get_color(): line.get_xdata() for line in left.lines if line.get_marker() == "|" and len(line.get_xdata())
    }
    np.testing.assert_array_equal(bars[COLORS[0]], [1.3, 3.5])
    assert np.isnan(bars[COLORS[1]]).all()


def test_only_the_bare_gemm_is_open():
    left, _ = bench_figure(WAYS, SIZES, most=1.4).axes
    faces = {line.get_label(): line.get_markerfacecolor() for line in left.lines}
    assert [way for way in ("naive", "twin", "bare GEMM") if faces[way] == "white"] == ["bare GEMM"]


def test_sizes_are_in_units_of_the_cheapest():
    _, right = bench_figure(WAYS, SIZES, most=1.4).axes
    (line,) = right.lines
    np.testing.assert_allclose(line.get_ydata(), [1.25, 1.0, 1.5])
    assert [label.get_text() for label in right.get_xticklabels()] == ["300", "1,000", "3,000"]
    (band,) = right.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (1, 1.4)


def test_without_sizes_the_place_stays_empty():
    _, right = bench_figure(WAYS, SIZES[:0], most=1.4).axes
    assert not right.axison
