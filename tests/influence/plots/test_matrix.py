from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from influence.arrays import Array
from influence.plots.matrix import Panel, draw_matrix, matrix_figure
from influence.plots.style import style
from influence.seeds import generator

# 3 probes x 5 targets: a square matrix would hide a transpose.
PROBES = pd.DataFrame({"id": list("abc"), "group": ["clean", "clean", "noise"], "label": [4, 7, 4]})
TARGETS = pd.DataFrame(
    {"id": list("vwxyz"), "group": ["clean", "clean", "clean", "noise", "noise"], "label": [0, 0, 7, 0, 7]}
)
GAIN = np.arange(15.0).reshape(3, 5) - 7


def digits(per_digit: int) -> pd.DataFrame:
    rows = [
        {"id": f"{group} {digit} {copy}", "group": group, "label": digit}
        for group in ("clean", "noise 0.5", "noise 1")
        for digit in range(10)
        for copy in range(per_digit)
    ]
    return pd.DataFrame(rows)


def drawn(gain_PT: Array = GAIN, probes: pd.DataFrame = PROBES, targets: pd.DataFrame = TARGETS, **options) -> Axes:
    with style():
        axes = Figure(figsize=(4, 3), layout="constrained").subplots()
        draw_matrix(axes, gain_PT, probes, targets, **{"clip": 2.0, **options})
    return axes


def shown(axes: Axes) -> Array:
    return axes.images[0].get_array().filled(np.nan)


def words(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_rows_are_probes_and_columns_are_targets() -> None:
    axes = drawn()
    np.testing.assert_array_equal(shown(axes), GAIN)
    assert axes.get_ylabel() == "learned from (probe)"
    assert axes.get_xlabel() == "read on (target)"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["4", "7", "4"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "7", "0", "7"]


def test_the_first_probe_is_the_top_row_and_gain_is_red() -> None:
    gain_PT = np.zeros((3, 5))
    gain_PT[0, 4], gain_PT[2, 0] = 1, -1
    axes = drawn(gain_PT, clip=1.0)
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba()).astype(int)
    height = len(pixels)
    x0, y0, x1, y1 = np.round(axes.bbox.extents).astype(int)
    red, _, blue, _ = pixels[height - y1 + 6, x1 - 6]
    assert red > blue + 50
    red, _, blue, _ = pixels[height - y0 - 6, x0 + 6]
    assert blue > red + 50


def test_samples_are_sorted_by_group_in_order_of_appearance_then_by_label() -> None:
    probes = pd.DataFrame({"id": list("abcde"), "group": ["noise", "clean", "noise", "clean", "noise"]})
    probes["label"] = [9, 3, 1, 3, 1]
    targets = pd.DataFrame({"id": list("xyz"), "group": ["clean", "noise", "clean"], "label": [8, 0, 2]})
    gain_PT = 10.0 * np.arange(5)[:, None] + np.arange(3)
    # By hand: noise comes first since the first probe is noisy; equal samples keep their order.
    order_P, order_T = [2, 4, 0, 1, 3], [1, 2, 0]
    axes = drawn(gain_PT, probes, targets)
    np.testing.assert_array_equal(shown(axes), [[10 * i + j for j in order_T] for i in order_P])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["1", "9", "3"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "2", "8"]


def test_probes_of_some_groups_do_not_reorder_the_targets() -> None:
    targets = TARGETS.assign(group=["clean", "noise 0.5", "noise 0.5", "noise 1", "noise 1"])
    axes = drawn(GAIN, PROBES.assign(group=["noise 1", "noise 1", "clean"]), targets)
    np.testing.assert_array_equal(shown(axes), GAIN[[2, 0, 1]])


def test_lines_stand_between_the_groups() -> None:
    ends = [np.column_stack(line.get_data()).tolist() for line in drawn().lines]
    assert ends == [[[0, 1.5], [1, 1.5]], [[2.5, 0], [2.5, 1]]]  # the unit runs along the axis


def test_labels_are_centred_on_their_cells_between_ticks() -> None:
    axes = drawn()
    assert axes.get_xticks().tolist() == [0.5, 2, 3, 4]
    assert sorted(set(axes.get_xticks(minor=True))) == [-0.5, 1.5, 2.5, 3.5, 4.5]
    assert axes.get_yticks().tolist() == [0, 1, 2]
    assert sorted(set(axes.get_yticks(minor=True))) == [-0.5, 0.5, 1.5, 2.5]


def test_groups_are_named_at_their_centres_on_both_axes() -> None:
    places = [(text.get_text(), *text.get_position()) for text in drawn().texts]
    assert places == [("clean", 1, 0), ("noise", 3.5, 0), ("clean", 0, 0.5), ("noise", 0, 2)]


@pytest.mark.parametrize("clip", [0.06, 3.0])
def test_colours_end_at_the_stated_clip_on_both_sides(clip: float) -> None:
    axes = drawn(clip=clip, unit="nats per token")
    assert axes.images[0].get_clim() == (-clip, clip)
    colorbar = axes.figure.axes[1]
    assert colorbar.get_xlabel() == f"change in log-probability\n(nats per token), clipped at ±{clip:g}"
    assert colorbar.get_xticks().tolist() == [-clip, 0, clip]
    red, green, blue, _ = axes.images[0].to_rgba(np.zeros(1))[0]
    assert red == pytest.approx(green, abs=0.01) == pytest.approx(blue, abs=0.01)  # no gain is no colour


def test_failed_probes_are_hatched_where_they_are_drawn() -> None:
    gain_PT = GAIN.copy()
    gain_PT[1] = np.nan
    axes = drawn(gain_PT)
    (hatched,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert hatched.get_bbox().extents.tolist() == [-0.5, 0.5, 4.5, 1.5]
    assert hatched.get_hatch()
    assert words(axes) == ["failed probe"]


def test_a_cell_that_was_not_measured_is_no_failure() -> None:
    gain_PT = GAIN.copy()
    gain_PT[1, 2] = np.nan
    axes = drawn(gain_PT)
    assert not axes.patches
    assert words(axes) == ["not measured"]


def test_a_whole_matrix_needs_no_legend() -> None:
    assert words(drawn()) == []


def test_tables_without_group_and_label_are_drawn_in_their_order() -> None:
    axes = drawn(GAIN, PROBES[["id"]], TARGETS[["id"]])
    np.testing.assert_array_equal(shown(axes), GAIN)
    assert not axes.lines
    assert {text.get_text() for text in axes.texts} == {""}


def test_long_names_stand_upright_and_crowded_ones_are_thinned() -> None:
    sentences = pd.DataFrame({"id": range(5), "label": [f"a klarbu is a {name}" for name in "abcde"]})
    axes = drawn(GAIN, PROBES, sentences)
    assert {tick.get_rotation() for tick in axes.get_xticklabels()} == {90}
    many = pd.DataFrame({"id": range(200), "label": range(200)})
    axes = drawn(np.zeros((3, 200)), PROBES, many)
    named = [int(tick.get_text()) for tick in axes.get_xticklabels()]
    assert len(named) < 100
    assert named == list(range(0, 200, named[1]))
    assert axes.get_xticks().tolist() == named


def test_thumbnails_stand_left_of_the_rows_of_their_group() -> None:
    samples = digits(1)
    pictures = {group: [np.full((4, 4), place / 2), np.eye(4)] for place, group in enumerate(["clean", "noise 1"])}
    panel = Panel(title="", gain_PT=np.zeros((30, 30)), clip=1.0)
    figure = matrix_figure([[panel, panel]], samples, samples, thumbnails=pictures)
    figure.draw_without_rendering()
    left, right = figure.axes[:2]
    assert not right.child_axes
    insets = left.child_axes
    np.testing.assert_array_equal(insets[0].images[0].get_array(), pictures["clean"][0])
    np.testing.assert_array_equal(insets[2].images[0].get_array(), pictures["noise 1"][0])
    third = left.bbox.height / 3
    floors = [left.bbox.y0 + 2 * third, left.bbox.y0 + 2 * third, left.bbox.y0, left.bbox.y0]
    for inset, floor in zip(insets, floors, strict=True):
        assert inset.bbox.x1 < left.bbox.x0
        assert inset.bbox.y0 >= floor
        assert inset.bbox.y1 <= floor + third
        assert inset.bbox.width == pytest.approx(inset.bbox.height)
    assert insets[0].bbox.y0 > insets[1].bbox.y1  # the first picture is the upper one


@pytest.mark.parametrize(("num_columns", "width"), [(1, 3.5), (1, 7.2), (3, 7.2)])
def test_nothing_overlaps_or_leaves_the_page(num_columns: int, width: float) -> None:
    samples = digits(1)
    gain_PT = generator(0, "gain").normal(size=(30, 30))
    gain_PT[7] = np.nan
    gains = (0.03, 0.3, 1.0)[:num_columns]
    panels = [[Panel(title=f"Adam, self-gain {gain:g} nat", gain_PT=gain_PT, clip=gain) for gain in gains]]
    pictures = {group: [np.eye(4)] * 2 for group in samples["group"].unique()}
    figure = matrix_figure(panels, samples, samples, thumbnails=pictures, width=width)
    figure.draw_without_rendering()
    boxes: list[Bbox] = []
    for axes in figure.axes:
        legend = axes.get_legend()
        texts = [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels(), *(legend.get_texts() if legend else [])]
        boxes += [text.get_window_extent() for text in texts if text.get_text()]
        boxes += [inset.bbox for inset in axes.child_axes if inset.images]
    page = figure.bbox.padded(1)
    assert all(page.contains(*box.min) and page.contains(*box.max) for box in boxes)
    slack = 0.5  # pixels
    assert not [pair for pair in combinations([box.padded(-slack) for box in boxes], 2) if pair[0].overlaps(pair[1])]


def test_every_panel_of_the_grid_has_its_own_numbers_and_clip() -> None:
    panels = [
        [Panel(title=f"{row} {column}", gain_PT=GAIN + row + column, clip=1.0 + column) for column in range(2)]
        for row in (0, 10, 20)
    ]
    figure = matrix_figure(panels, PROBES, TARGETS)
    matrices = [axes for axes in figure.axes if axes.get_xlabel() == "read on (target)"]
    for axes, panel in zip(matrices, [panel for row in panels for panel in row], strict=True):
        np.testing.assert_array_equal(shown(axes), panel.gain_PT)
        assert axes.get_title(loc="left") == panel.title
        assert axes.images[0].get_clim() == (-panel.clip, panel.clip)
    figure.draw_without_rendering()
    cells = [axes.bbox.height / 3 / (axes.bbox.width / 5) for axes in matrices]
    assert cells == pytest.approx([1] * 6, abs=1e-6)


def test_tables_of_another_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected gains of 5 probes x 3 targets, got 3 x 5; pass the tables"):
        drawn(GAIN, TARGETS, PROBES)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_a_clip_that_is_not_positive_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="expected a positive clip, got"):
        drawn(clip=clip)


def test_a_grid_with_a_gap_is_refused() -> None:
    panel = Panel(title="", gain_PT=GAIN, clip=1.0)
    with pytest.raises(ValueError, match=r"expected rows of panels of one length, got lengths \[2, 1\]"):
        matrix_figure([[panel, panel], [panel]], PROBES, TARGETS)
    with pytest.raises(ValueError, match="expected rows of panels of one length"):
        matrix_figure([], PROBES, TARGETS)
