"""Panels of the team's workspace and report in W&B, of the keys that `experiments.tracked_result` gives every run."""

from collections.abc import Callable, Iterable, Sequence

import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces
from wandb_workspaces.reports.v2.interface import BlockTypes, PanelTypes

from experiments.tracked_result import RUNNING
from influence.desiderata.registry import SCORES

SELF_GAIN, LR, FAILURES = "matrix/median_self_gain", "matrix/lr", "matrix/failures"
"""Quantities of a matrix, in the summary of its run."""

HEAT_MAP = "figures/matrix"

WHAT = ("config.model.name", "config.estimator.name", "config.estimator.optimizer")
"""What runs are grouped by: model and estimator."""

SYMMETRY = ("asymmetry_index", "reciprocity", "gauge_share")

FIGURES = {
    "Fig. 1D: digits, clean and noisy, on a CNN": "fig1_cnn",
    "Fig. 2: transitivity": "fig2_transitivity",
    "Fig. 3: chains of causes": "fig3_chain",
    "Fig. 4: membership of sets": "fig4_belongs_to",
    "Squares and rectangles": "squares",
    "Unrelated sentences": "unrelated",
}
"""The paper's matrices, and the groups of runs, experiments, that show them."""

PLATEAUS = ("lr_plateau", "lr_plateau_text")
"""Groups of runs that differ in their learning rate."""


def primary_keys(keys: Iterable[str]) -> list[str]:
    """Those keys of a summary that are primary scores, at any condition, in the order of a card.

    >>> primary_keys(["desiderata/negation_leak/learned=statement", "desiderata/gini", "desiderata/reversal_gap/low"])
    ['desiderata/negation_leak/learned=statement']
    """
    primary = [name for name, score in SCORES.items() if score.criterion]
    found = {}
    for key in keys:
        kind, *path = key.split("/")
        if kind == "desiderata" and path[0] in primary and path[-1] not in ("low", "high", "p"):
            found[key] = primary.index(path[0])
    return sorted(found, key=lambda key: (found[key], key))


def sections(scores: Sequence[str]) -> list[workspaces.Section]:
    """The sections of the workspace, from the top.

    Args:
        scores: keys of primary scores, see `primary_keys`.
    """
    return [
        _section("Desiderata by model and estimator", [_bars(key) for key in scores], pinned=True),
        _section("Desiderata against self-gain", [_points(SELF_GAIN, key, log_x=True) for key in scores]),
        _section("Plateau of learning rates", [_points(LR, SELF_GAIN, log_x=True, log_y=True)]),
        _section(
            "Symmetry",
            [
                *(_bars(_score(name)) for name in SYMMETRY),
                _points(SELF_GAIN, _score("asymmetry_index"), log_x=True, log_y=True),
            ],
        ),
        _section("Matrices", [_gallery()]),
        _section(
            "Runs in progress",
            [_curve(key) for key in ("progress/done", "progress/seconds_left", *(f"running/{one}" for one in RUNNING))],
        ),
        _section("Failures", [_bars(FAILURES), reports.RunComparer(diff_only="split")]),
    ]


def blocks(scores: Sequence[str], runset: Callable[[str, str, Sequence[str]], reports.Runset]) -> list[BlockTypes]:
    """The report: the paper's figures, the desiderata, and what failed.

    Args:
        scores: keys of primary scores.
        runset: name, filter and grouping to the runs of a part of the report.
    """
    parts: list[BlockTypes] = [
        reports.TableOfContents(),
        reports.H1("The paper's figures"),
        reports.P("Rows are learned from (or prompted with), columns are read; red became more likely."),
    ]
    for title, group in FIGURES.items():
        parts += [reports.H2(title), _grid([_gallery()], runset(group, f"Group = '{group}'", ()))]
    of_texts = [group for group in FIGURES.values() if group != "fig1_cnn"]
    texts = runset("texts", f"Group in {of_texts}", WHAT)
    plateaus = runset("learning rates", f"Group in {list(PLATEAUS)}", ())
    every, failed = runset("all runs", "", WHAT), runset("failed runs", "State in ['failed', 'crashed']", ())
    return [
        *parts,
        reports.H2("Fig. 5A and 6: how unequally a row is spread"),
        _grid([_bars(_score(name)) for name in ("gini", "hoyer")], texts),
        reports.H2("Fig. 5B: symmetry"),
        _grid([_bars(_score(name)) for name in (*SYMMETRY, "paper_symmetry_frobenius")], texts),
        reports.H2("Section 3.4: the plateau of learning rates"),
        _grid([_points(LR, SELF_GAIN, log_x=True, log_y=True)], plateaus),
        reports.H1("Desiderata"),
        _grid([_bars(key) for key in scores], every),
        reports.H1("Failures"),
        _grid([_bars(FAILURES)], failed),
    ]


def _score(name: str) -> str:
    return f"desiderata/{name}"


def _title(key: str) -> str:
    """`noise discount, sigma=1`."""
    _, name, *condition = key.split("/")
    return ", ".join([name.replace("_", " "), *condition])


def _section(name: str, panels: list[PanelTypes], *, pinned: bool = False) -> workspaces.Section:
    return workspaces.Section(name=name, panels=panels, is_open=True, pinned=pinned)


def _grid(panels: list[PanelTypes], runs: reports.Runset) -> reports.PanelGrid:
    return reports.PanelGrid(panels=panels, runsets=[runs])


def _bars(key: str) -> reports.BarPlot:
    """A bar a group of runs, their mean and standard error."""
    return reports.BarPlot(
        title=_title(key), metrics=[reports.SummaryMetric(key)], groupby_aggfunc="mean", groupby_rangefunc="stderr"
    )


def _points(x: str, y: str, *, log_x: bool, log_y: bool = False) -> reports.ScatterPlot:
    """A point a run."""
    return reports.ScatterPlot(
        title=f"{_title(y)} by {_title(x)}",
        x=reports.SummaryMetric(x),
        y=reports.SummaryMetric(y),
        log_x=log_x,
        log_y=log_y,
    )


def _curve(key: str) -> reports.LinePlot:
    """How a number of runs in progress moves."""
    return reports.LinePlot(title=_title(key), x="Step", y=[key])


def _gallery() -> reports.MediaBrowser:
    """The heat maps of all runs side by side."""
    return reports.MediaBrowser(title="heat maps", media_keys=[HEAT_MAP], num_columns=3)
