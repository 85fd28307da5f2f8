import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from influence.plots.plateau import plateau_figure
from influence.plots.style import COLORS

NAN = float("nan")


def sweep(model: str = "cnn", optimizer: str = "sgd") -> pd.DataFrame:
    """Four learning rates a decade apart; the third is the plateau and the last has lost what it learned."""
    return pd.DataFrame(
        {
            "model": model,
            "optimizer": optimizer,
            "lr": [1e-4, 1e-3, 1e-2, 1e-1],
            "median_self_gain": [0.001, 0.01, 0.3, -2.0],
            "low": [0.0005, 0.004, 0.2, -5.0],
            "high": [0.002, 0.03, 0.9, 1.0],
            "correlation_with_next": [0.7, 0.99, 0.96, NAN],
            "noise_floor": 1e-4,
            "on_plateau": [False, False, True, False],
            "chosen": [False, False, True, False],
        }
    )


def panels(table: pd.DataFrame) -> tuple[Axes, Axes]:
    upper, lower = plateau_figure(table, min_correlation=0.95, band="least to most").axes
    return upper, lower


def lines(axes: Axes, *, style: str = "-", marker: str = "None") -> list[Line2D]:
    return [line for line in axes.lines if line.get_linestyle() == style and line.get_marker() == marker]


def test_self_gain_is_drawn_by_learning_rate_whatever_the_order_of_the_rows() -> None:
    upper, _ = panels(sweep().iloc[[2, 0, 3, 1]])
    (line,) = lines(upper, marker="o")
    np.testing.assert_array_equal(line.get_xdata(), [1e-4, 1e-3, 1e-2, 1e-1])
    np.testing.assert_array_equal(line.get_ydata(), [0.001, 0.01, 0.3, NAN])
    assert (upper.get_xscale(), upper.get_yscale()) == ("log", "log")
    assert upper.get_ylabel() == "median self-gain (nats)"
    (floor,) = lines(upper, style=":")
    assert set(floor.get_ydata()) == {1e-4}


def test_a_median_that_is_not_positive_is_shown_and_named() -> None:
    upper, _ = panels(sweep())
    (triangle,) = lines(upper, style="None", marker="v")
    assert triangle.get_xdata().tolist() == [0.1]
    entries = [text.get_text() for text in upper.figure.legends[0].get_texts()]
    assert "median not positive" in entries
    positive = sweep().assign(median_self_gain=1.0)
    (legend,) = plateau_figure(positive, min_correlation=0.95, band="least to most").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "sgd",
        "chosen learning rate",
        "least to most",
        "plateau",
        "noise floor",
        "correlation 0.95",
    ]


def test_the_band_reaches_from_low_to_high() -> None:
    upper, _ = panels(sweep())
    corners = upper.collections[0].get_paths()[0].vertices
    for lr, low, high in [(1e-4, 0.0005, 0.002), (1e-2, 0.2, 0.9)]:
        assert set(corners[corners[:, 0] == lr, 1]) == {low, high}


def test_the_chosen_learning_rate_is_marked() -> None:
    upper, _ = panels(sweep())
    (star,) = lines(upper, style="None", marker="*")
    assert (star.get_xdata().tolist(), star.get_ydata().tolist()) == ([0.01], [0.3])


def test_a_correlation_stands_between_the_two_learning_rates_that_it_compares() -> None:
    _, lower = panels(sweep())
    (line,) = lines(lower, marker="o")
    np.testing.assert_allclose(line.get_xdata()[:3], [10**-3.5, 10**-2.5, 10**-1.5])
    np.testing.assert_array_equal(line.get_ydata(), [0.7, 0.99, 0.96, NAN])
    (threshold,) = lines(lower, style="--")
    assert threshold.get_ydata() == [0.95, 0.95]


@pytest.mark.parametrize("panel", [0, 1])
def test_the_plateau_is_shaded_half_a_step_around_its_learning_rates(panel: int) -> None:
    axes = panels(sweep())[panel]
    corners = axes.collections[-1].get_paths()[0].vertices
    shaded = np.unique(np.log10(corners[corners[:, 1] == 1, 0]).round(9))
    assert shaded.tolist() == [-2.5, -1.5]
    everywhere = np.log10(corners[:, 0])
    assert (everywhere.min(), everywhere.max()) == pytest.approx((-4.5, -0.5))


def test_an_optimiser_keeps_its_colour_from_model_to_model() -> None:
    table = pd.concat([sweep("cnn", "sgd"), sweep("cnn", "adam"), sweep("gemma", "adam")], ignore_index=True)
    figure = plateau_figure(table, min_correlation=0.95, band="least to most")
    first, second, *_ = figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["cnn", "gemma"]
    assert [to_hex(line.get_color()).upper() for line in lines(first, marker="o")] == list(COLORS[:2])
    assert [to_hex(line.get_color()).upper() for line in lines(second, marker="o")] == [COLORS[1]]


def test_one_learning_rate_is_no_sweep() -> None:
    with pytest.raises(ValueError, match=r"expected at least two learning rates of cnn, sgd, got 1; sweep a grid"):
        panels(sweep().iloc[:1])
