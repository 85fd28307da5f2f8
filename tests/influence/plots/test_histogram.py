from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from influence.arrays import Array
from influence.plots.histogram import draw_histogram, histogram_figure
from influence.plots.style import COLORS, save_figure
from influence.seeds import generator

NAN = float("nan")
MINUS = "\N{MINUS SIGN}"


def outlines(axes: Axes) -> dict[str, StepPatch]:
    """By colour."""
    return {to_hex(patch.get_edgecolor()).upper(): patch for patch in axes.patches if isinstance(patch, StepPatch)}


def shares(axes: Axes, color: str) -> Array:
    return outlines(axes)[color].get_data().values


def drawn(**gains: Array) -> Axes:
    axes = Figure().subplots()
    draw_histogram(axes, gains, colors=dict(zip(gains, COLORS, strict=False)), limit=2.0, num_bins=4)
    return axes


def test_a_bin_is_as_high_as_its_share_of_the_measured_gains() -> None:
    axes = drawn(learned=np.array([[0.1, 0.2, -0.5, NAN], [1.5, 0.9, 0.0, NAN]]), prompted=np.array([-1.5, 0.5]))
    np.testing.assert_allclose(shares(axes, COLORS[0]), [0, 1 / 6, 4 / 6, 1 / 6])
    np.testing.assert_allclose(shares(axes, COLORS[1]), [1 / 2, 0, 1 / 2, 0])
    assert outlines(axes)[COLORS[0]].get_data().edges.tolist() == [-2, -1, 0, 1, 2]


def test_the_outermost_bins_hold_what_lies_beyond_and_say_so() -> None:
    axes = drawn(learned=np.array([-100.0, -2.5, 0.5, 2.0, 3.0]))
    np.testing.assert_allclose(shares(axes, COLORS[0]), [2 / 5, 0, 1 / 5, 2 / 5])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [f"≤{MINUS}2", f"{MINUS}1", "0", "1", "≥2"]
    assert axes.get_xticks().tolist() == [-2, -1, 0, 1, 2]


def gains() -> dict[str, dict[str, Array]]:
    random = generator(0, "gains")
    return {
        "transitivity": {"learned": random.normal(size=(2, 3, 3)), "prompted": 3 * random.normal(size=(2, 3, 3))},
        "chain_induces": {"prompted": 3 * random.normal(size=(5, 5)), "first order": np.full((5, 5), 0.3)},
    }


def test_every_domain_has_a_panel_and_the_last_one_pools_them() -> None:
    figure = histogram_figure(gains(), limit=4.0, num_bins=8)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}
    assert list(panels) == ["transitivity", "chain induces", "all domains"]
    for axes in panels.values():
        for patch in outlines(axes).values():
            assert patch.get_data().values.sum() == pytest.approx(1)
    # 18 and 25 prompted gains: the pool weighs each gain alike, not each domain.
    prompted = [shares(panels[name], COLORS[1]) for name in ("transitivity", "chain induces")]
    pooled = shares(panels["all domains"], COLORS[1])
    np.testing.assert_allclose(pooled, (18 * prompted[0] + 25 * prompted[1]) / 43)
    assert set(outlines(panels["chain induces"])) == {COLORS[1], COLORS[2]}  # an estimator keeps its colour
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["learned", "prompted", "first order"]


def test_the_bins_may_begin_elsewhere() -> None:
    axes = Figure().subplots()
    gain = {"learned": np.array([-3.0, -0.2, 0.3, 1.9])}
    draw_histogram(axes, gain, colors={"learned": COLORS[0]}, limit=2.0, lowest=-0.5, num_bins=5)
    np.testing.assert_allclose(shares(axes, COLORS[0]), [2 / 4, 1 / 4, 0, 0, 1 / 4])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [f"≤{MINUS}0.5", "0", "1", "≥2"]


def test_panels_share_the_axis_of_gains() -> None:
    first, second, _ = histogram_figure(gains()).axes
    assert first.get_xlim() == second.get_xlim() == (-4, 4)
    assert {axes.get_yscale() for axes in histogram_figure(gains(), logarithmic=True).axes} == {"log"}


def test_one_domain_is_not_pooled() -> None:
    (axes,) = histogram_figure({"transitivity": gains()["transitivity"]}).axes
    assert axes.get_title(loc="left") == "transitivity"


@pytest.mark.parametrize("num_domains", [1, 3, 5])
def test_nothing_leaves_the_page(num_domains: int) -> None:
    gain = np.array([0.5])
    panel = {"learned, SGD": gain, "learned, AdamW": gain, "learned, first order": gain, "prompted": gain}
    figure = histogram_figure({f"domain {place}": panel for place in range(num_domains)})
    figure.draw_without_rendering()
    page, ink = figure.bbox.padded(1), figure.get_tightbbox().padded(-0.01)
    assert page.width >= ink.x1 * figure.dpi
    assert page.height >= ink.y1 * figure.dpi
    assert ink.x0 >= 0
    assert ink.y0 >= 0


def test_saving_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(histogram_figure(gains()), tmp_path / name, {})
    for suffix in (".pdf", ".png"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_no_gains_are_refused() -> None:
    with pytest.raises(ValueError, match="expected gains of 'learned', got none but NaN; leave the estimator out"):
        drawn(learned=np.array([NAN]))
