from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from influence.arrays import Array
from influence.plots.matrix import Panel
from influence.plots.statements import draw_expected, draw_statements, panels_in_a_row, statement_figure
from influence.plots.style import save_figure, style
from influence.seeds import generator

# 3 probes x 5 targets: a square matrix would hide a transpose.
TARGETS = pd.DataFrame(
    {
        "text": ["a {A} is a {B}\nall {B}s have a {C}", "a {A} is a {B}", "a {A} has a {C}", "{A'}", "frogs sleep"],
        "desideratum": ["memorisation", "memorisation", "logic", "logic", "orthogonal concept"],
        "expected": ["strongly up", "up", "strongly down", "slightly up", "none"],
    }
)
PROBES = TARGETS.iloc[[1, 0, 3]]
GAIN = np.array([[-9.0, -3, -1, 0, 0.5], [1, 2, 3, 9, np.nan], [0.04, -0.04, 2.5, -2.5, 0]])
MINUS = "\N{MINUS SIGN}"
SENTENCE = "Small firms in the north of {B} pay the tax on {A} in four instalments before winter ends."


def drawn(gain_PT: Array = GAIN, probes: pd.DataFrame = PROBES, targets: pd.DataFrame = TARGETS, **options) -> Axes:
    with style():
        axes = Figure(figsize=(5, 3), layout="none").add_axes((0.3, 0.3, 0.6, 0.6))
        draw_statements(axes, gain_PT, probes, targets, **options)
    return axes


def pixels(axes: Axes, num_rows: int, num_columns: int, *, across: float = 0.85, up: float = 0.85) -> Array:
    """Rendered colour of each cell, off its centre, so that neither a number nor the diagonal is met."""
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())
    box = axes.bbox
    x = box.x0 + (np.arange(num_columns) + across) / num_columns * box.width
    y = box.y1 - (np.arange(num_rows) + 1 - up) / num_rows * box.height
    return picture[np.ix_((len(picture) - y).astype(int), x.astype(int))][..., :3]


def colormap(value: float, clip: float) -> Array:
    return np.round(255 * np.array(matplotlib.colormaps["RdBu_r"]((np.clip(value, -clip, clip) + clip) / (2 * clip))))


def texts(labels: list[Text]) -> list[str]:
    return [label.get_text().replace("\N{NO-BREAK SPACE}", " ") for label in labels]


@pytest.mark.parametrize("clip", [3.0, 0.5])
def test_a_cell_has_the_colour_of_its_clipped_gain_in_row_of_probe_and_column_of_target(clip: float) -> None:
    colors = pixels(drawn(clip=clip), 3, 5)
    for (row, column), gain in np.ndenumerate(GAIN):
        if np.isnan(gain):
            np.testing.assert_allclose(colors[row, column], 0.85 * 255, atol=1)
        else:
            np.testing.assert_allclose(colors[row, column], colormap(gain, clip)[:3], atol=1)


def test_the_clip_is_the_papers_unless_given() -> None:
    assert drawn().images[0].get_clim() == (-3, 3)


def test_statements_name_rows_and_columns_in_order_with_their_slots_bare() -> None:
    axes = drawn()
    assert texts(axes.get_xticklabels()) == [
        "a A is a B /\nall Bs have a C",
        "a A is a B",
        "a A has a C",
        "A'",
        "frogs sleep",
    ]
    assert texts(axes.get_yticklabels()) == ["a A is a B", "a A is a B /\nall Bs have a C", "A'"]
    assert axes.get_xticks().tolist() == [0, 1, 2, 3, 4]
    assert axes.get_yticks().tolist() == [0, 1, 2]
    assert axes.get_xlabel() == "read on (target)"
    assert axes.get_ylabel() == "learned from /\nprompted with (probe)"


def test_a_panel_beside_a_named_one_has_no_names() -> None:
    axes = drawn(name_probes=False, name_targets=False)
    assert {*texts(axes.get_xticklabels()), *texts(axes.get_yticklabels())} == {""}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("", "")


def test_a_dashed_line_joins_the_cells_whose_probe_is_their_target() -> None:
    (line,) = drawn(np.zeros((5, 5)), TARGETS).lines
    assert np.column_stack(line.get_data()).tolist() == [[-0.5, -0.5], [4.5, 4.5]]
    assert line.get_linestyle() == "--"
    assert not drawn().lines
    assert not drawn(np.zeros((5, 5)), TARGETS.iloc[::-1]).lines


def test_numbers_stand_in_their_cells_in_an_ink_that_can_be_read() -> None:
    axes = drawn(number_format="z.1f")
    written = {text.get_position(): text for text in axes.texts}
    assert {place: text.get_text() for place, text in written.items()} == {
        (0, 0): f"{MINUS}9.0",
        (1, 0): f"{MINUS}3.0",
        (2, 0): f"{MINUS}1.0",
        (3, 0): "0.0",
        (4, 0): "0.5",
        (0, 1): "1.0",
        (1, 1): "2.0",
        (2, 1): "3.0",
        (3, 1): "9.0",
        (0, 2): "0.0",
        (1, 2): "0.0",
        (2, 2): "2.5",
        (3, 2): f"{MINUS}2.5",
        (4, 2): "0.0",
    }
    assert [written[place].get_color() for place in [(0, 0), (3, 1), (3, 0), (4, 0)]] == [
        "white",
        "white",
        "black",
        "black",
    ]
    assert min(text.get_size() for text in axes.texts) >= 5


def test_numbers_that_do_not_fit_are_refused() -> None:
    gain_PT, table = np.zeros((30, 30)), pd.DataFrame({"text": [str(item) for item in range(30)]})
    with pytest.raises(ValueError, match=r"expected numbers of at most 2\.3 characters, got 4 with format '\.2f'"):
        drawn(gain_PT, table, table, number_format=".2f")


def test_the_strip_shows_what_is_expected_of_each_target_under_its_desideratum() -> None:
    with style():
        axes = Figure(figsize=(5, 2)).add_axes((0.3, 0.1, 0.6, 0.4))
        draw_expected(axes, TARGETS, premises=TARGETS["text"][0])
    colors = pixels(axes, 1, 5, up=0.95)[0]
    for color, value in zip(colors, [3, 2, -3, 1, 0], strict=True):
        np.testing.assert_allclose(color, colormap(value, 3)[:3], atol=1)
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((column, 0), word) for column, word in enumerate(TARGETS["expected"])
    ]
    names = dict(zip(axes.get_xticks(), texts(axes.get_xticklabels()), strict=True))
    assert names == {0.5: "memorisation", 2.5: "logic", 4: "orthogonal\nconcept"}
    assert texts(axes.get_yticklabels()) == ["expected after learning\na A is a B /\nall Bs have a C"]
    assert [line.get_xdata()[0] for line in axes.lines] == [-0.5, 1.5, 3.5]


def panel(gain_PT: Array, *, clip: float = 3.0, title: str = "SGD, self-gain 0.30 nat") -> Panel:
    return Panel(title=title, gain_PT=gain_PT, clip=clip)


def matrices(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images and axes.images[0].get_array().shape[0] > 1]


def bars(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if "change in log-probability" in axes.get_xlabel()]


def test_panels_with_one_clip_share_a_bar_with_pointed_ends() -> None:
    (bar,) = bars(statement_figure([[panel(GAIN), panel(GAIN)]], PROBES, TARGETS))
    assert bar.get_xticks().tolist() == [-3, 0, 3]
    assert bar.get_xlabel() == "change in log-probability (nats per token), clipped at ±3"
    points = [patch for patch in bar.patches if len(patch.get_path().vertices) <= 4]  # triangles beyond the bar
    assert len(points) == 2


def test_panels_with_clips_of_their_own_have_bars_of_their_own() -> None:
    figure = statement_figure([[panel(GAIN, clip=0.3), panel(GAIN, clip=3.0)]], PROBES, TARGETS)
    assert [bar.get_xticks().tolist() for bar in bars(figure)] == [[-0.3, 0, 0.3], [-3, 0, 3]]
    left, right = bars(figure)
    first, second = matrices(figure)
    assert first.bbox.x0 <= left.bbox.x0 < left.bbox.x1 < second.bbox.x0 <= right.bbox.x0
    grid = [[panel(GAIN, clip=0.3), panel(GAIN)], [panel(GAIN), None]]
    figure = statement_figure(grid, PROBES, TARGETS, premises="{A}")
    assert [axes.get_xlabel() for axes in matrices(figure)] == ["read on (target)"] * 3
    check_legible(figure)


def test_a_grid_names_rows_once_and_columns_at_the_end() -> None:
    grid = [[panel(GAIN + 10 * row + column) for column in range(3)] for row in range(2)]
    figure = statement_figure([grid[0], [grid[1][0], None, grid[1][2]]], PROBES, TARGETS, premises="{A}")
    for axes, shown in zip(matrices(figure), [*grid[0], grid[1][0], grid[1][2]], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan), shown.gain_PT)
    named = [(bool(axes.get_ylabel()), bool(axes.get_xlabel())) for axes in matrices(figure)]
    assert named == [(True, False), (False, True), (False, False), (True, True), (False, True)]
    assert [len(axes.child_axes) for axes in matrices(figure)] == [1, 1, 1, 0, 0]
    assert [len(axes.child_axes[0].get_yticks()) for axes in matrices(figure)[:3]] == [1, 0, 0]
    check_legible(figure)
    upper, lower = matrices(figure)[0], matrices(figure)[3]
    assert 0 < (upper.bbox.y0 - lower.bbox.y1) / figure.dpi < 0.4  # names hang into the gap and do not widen it


def test_grey_is_explained_only_where_it_is_met() -> None:
    legends = [axes.get_legend() for axes in statement_figure([[panel(GAIN)]], PROBES, TARGETS).axes]
    assert [[text.get_text() for text in legend.get_texts()] for legend in legends if legend] == [["not measured"]]
    whole = statement_figure([[panel(np.zeros((3, 5)))]], PROBES, TARGETS)
    assert not any(axes.get_legend() for axes in whole.axes)


def written(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    every = [axes for outer in figure.axes if outer.axison for axes in (outer, *outer.child_axes)]
    found: list[Text] = []
    for axes in every:
        found += [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
        found += [*axes.get_xticklabels(), *axes.get_yticklabels()]
        found += axes.get_legend().get_texts() if axes.get_legend() else []
    return [text for text in found if text.get_text() and text.get_visible()]


def check_legible(figure: Figure) -> None:
    found = written(figure)
    assert min(label.get_size() for label in found) >= 5
    assert not [label.get_text() for label in found if "…" in label.get_text()]
    boxes: list[Bbox] = [label.get_window_extent() for label in found]
    page = figure.bbox.padded(1)
    inside = [page.contains(*box.min) and page.contains(*box.max) for box in boxes]
    assert not [label.get_text() for label, fits in zip(found, inside, strict=True) if not fits]
    assert figure.bbox.height - figure.get_tightbbox().height * figure.dpi < 0.2 * figure.dpi  # nor is it half empty
    slack = 1.0  # pixels, a hundredth of an inch
    inner = [box.padded(-slack) for box in boxes]
    overlapping = [(i, j) for i, j in combinations(range(len(inner)), 2) if inner[i].overlaps(inner[j])]
    assert not [(found[i].get_text(), found[j].get_text()) for i, j in overlapping]


def domain(num_items: int, text: str) -> pd.DataFrame:
    table = pd.DataFrame({"text": [text.replace("{A}", f"{{{chr(65 + item)}}}") for item in range(num_items)]})
    desiderata = ["memorisation", "syntax invariance", "concept introduction"]
    return table.assign(
        desideratum=[desiderata[item % 3] for item in range(num_items)],
        expected=[["strongly down", "slightly up"][item % 2] for item in range(num_items)],
    )


@pytest.mark.parametrize(
    ("num_items", "num_columns", "text"),
    [
        (5, 3, "\n".join(["Whenever {A} happens, it causes {B} to happen."] * 4)),
        (6, 3, SENTENCE),
        (10, 2, SENTENCE),
        (12, 3, "a {A} is a {B}\nall {B}s have a {C}"),
        (16, 3, "One vaccine protects {A} from measles and mumps."),
        (18, 3, "every {A} is a {B}\nevery {B} is a {C}"),
        (18, 1, SENTENCE),
    ],
)
def test_nothing_overlaps_or_leaves_the_page_or_is_too_small(num_items: int, num_columns: int, text: str) -> None:
    samples = domain(num_items, text)
    gain_PT = generator(0, "gain").normal(size=(num_items, num_items))
    gain_PT[0, 0] = np.nan
    figure = statement_figure([[panel(gain_PT)] * num_columns], samples, samples, premises=samples["text"][0])
    check_legible(figure)
    for axes in matrices(figure):
        assert axes.bbox.width == pytest.approx(axes.bbox.height)
        assert axes.get_title(loc="left").replace("\n", " ") == "SGD, self-gain 0.30 nat"


def test_what_no_label_can_hold_is_cut_with_an_ellipsis() -> None:
    samples = domain(16, SENTENCE * 3)
    figure = statement_figure([[panel(np.zeros((16, 16)))] * 2], samples, samples)
    labels = texts(matrices(figure)[0].get_yticklabels())
    assert all(label.endswith(" …") and max(map(len, label.split("\n"))) <= 64 for label in labels)


def test_saving_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figure = statement_figure([[panel(GAIN), panel(-GAIN)]], PROBES, TARGETS, premises="{A}", number_format=".1f")
        save_figure(figure, tmp_path / name, {"gain": GAIN})
    for suffix in (".pdf", ".png", ".npz"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_cells_too_small_to_label_are_refused() -> None:
    samples = domain(18, SENTENCE)
    with pytest.raises(ValueError, match=r"expected cells of at least 6 points, got -?\d.*; put fewer panels side by"):
        statement_figure([[panel(np.zeros((18, 18)))] * 6], samples, samples)
    fitting = panels_in_a_row(samples, samples, 6)
    assert 1 < fitting < 6
    statement_figure([[panel(np.zeros((18, 18)))] * fitting], samples, samples)
    with pytest.raises(ValueError, match="expected cells of at least 6 points"):
        statement_figure([[panel(np.zeros((18, 18)))] * (fitting + 1)], samples, samples)


def test_tables_of_another_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected gains of 5 probes x 3 targets, got 3 x 5; pass the tables"):
        drawn(GAIN, TARGETS, PROBES)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_a_clip_that_is_not_positive_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="expected a positive clip, got"):
        drawn(clip=clip)


@pytest.mark.parametrize("grid", [[], [[]], [[None, panel(GAIN)]], [[panel(GAIN)] * 2, [panel(GAIN)]]])
def test_a_grid_that_is_ragged_or_begins_with_a_gap_is_refused(grid: list[list[Panel | None]]) -> None:
    with pytest.raises(ValueError, match="expected rows of panels of one length that begin with a panel"):
        statement_figure(grid, PROBES, TARGETS)
