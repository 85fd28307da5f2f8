"""What the dashboard shows: the sections and panels of the workspace, the blocks of the report.

| section | panels |
|---|---|
| Desiderata | every score of the card, mean and range by learner (model and estimator) |
| Score against self-gain | the same scores against the median self-gain, a point a run |
| Step size | self-gain, noise discount and asymmetry against the learning rate (log): the plateau |
| Symmetry | asymmetry index, reciprocity, and the paper's measure, by learner |
| Matrices | heat maps, a gallery over runs, and the table of all scores |
| Running and failed | probes done, time left and scores so far of live runs; failed probes |
"""

from collections.abc import Mapping, Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from experiments.tracking import JOB_TYPE, LEARNER

NAME = "Influence"

FIGURES_RUN = "paper-figures"
"""Id and job type of the run that holds the pictures of the report."""

DESIDERATA = {
    "Memorisation: self-gain is largest": "desiderata/self_gain_is_largest",
    "Symmetry: asymmetry index": "desiderata/asymmetry_index",
    "Class block": "desiderata/class_block",
    "Semantic slope": "desiderata/semantic_slope",
    "Noise discount at sigma 1": "desiderata/noise_discount/sigma=1",
    "Selectivity at sigma 1": "desiderata/selectivity/sigma=1",
    "Selectivity per headroom at sigma 1": "desiderata/selectivity_per_headroom/sigma=1",
    "Transitivity beyond a quarter of link 1": "desiderata/transitivity_margin/link=1",
    "Transitivity beyond a quarter of link 2": "desiderata/transitivity_margin/link=2",
    "Reversal gap": "desiderata/reversal_gap",
    "Premise gate, first premise": "desiderata/premise_gate/premise=1",
    "Paraphrase transfer": "desiderata/paraphrase_transfer",
    "Negation leak": "desiderata/negation_leak/learned=statement",
    "Logical consistency": "desiderata/logical_consistency",
    "Influence on the unrelated": "desiderata/unrelated_influence",
    "Related above unrelated (AUC)": "desiderata/relatedness_auc",
}
"""Scores by title: all that are judged, and some that explain them."""

SYMMETRY = {
    "Asymmetry index": "desiderata/asymmetry_index",
    "Reciprocity": "desiderata/reciprocity",
    "The paper's 1/|M - M'|": "desiderata/paper_symmetry_frobenius",
}

OF_STEP_SIZE = {
    "Median self-gain": "matrix/median_self_gain",
    "Noise discount at sigma 1": "desiderata/noise_discount/sigma=1",
    "Asymmetry index": "desiderata/asymmetry_index",
}

LIVE = {
    "Probes done": "progress/done",
    "Seconds left": "progress/seconds_left",
    "Median self-gain so far": "running/self_gain_median",
    "Asymmetry index so far": "running/asymmetry_index",
}

SELF_GAIN, LR, FAILURES = "matrix/median_self_gain", "matrix/lr", "matrix/failures"

HEAT_MAP, TABLE = "figures/matrix", "tables/scores"


def sections() -> list[Any]:
    """The workspace's sections, see the top of this file."""
    learned = {f"{title} against self-gain": _against(SELF_GAIN, key) for title, key in DESIDERATA.items()}
    steps = {f"{title} against learning rate": _against(LR, key, log_x=True) for title, key in OF_STEP_SIZE.items()}
    live = {title: wr.LinePlot(x="Step", y=[key]) for title, key in LIVE.items()}
    return [
        _section("Desiderata", _bars(DESIDERATA), is_open=True),
        _section("Score against self-gain", learned),
        _section("Step size", steps),
        _section("Symmetry", _bars(SYMMETRY)),
        _section("Matrices", {"Heat maps": _gallery(HEAT_MAP), "Scores": wr.WeavePanelSummaryTable(table_name=TABLE)}),
        _section("Running and failed", {**live, **_bars({"Failed probes": FAILURES}, aggregate="sum")}),
    ]


def save_workspace(entity: str, project: str, url: str | None) -> str:
    """Save the workspace of a project, in place of the one at `url` where that is still there; its address."""
    made = sections()
    workspace = _opened(ws.Workspace, url) or ws.Workspace(entity=entity, project=project, name=NAME)
    own = {section.name for section in made}
    workspace.sections = made + [section for section in workspace.sections if section.name not in own]
    workspace.runset_settings = ws.RunsetSettings(
        filters=f"JobType = '{JOB_TYPE}'",
        pinned_columns=["run:displayName", "run:state", f"config:{LEARNER}.value", f"summary:{SELF_GAIN}"],
    )
    workspace.save()
    return str(workspace.url)


def save_report(entity: str, project: str, url: str | None, *, figures: Sequence[str]) -> str:
    """The same for the report, with these figures, by stem of their files."""
    report = _opened(wr.Report, url) or wr.Report(entity=entity, project=project)
    report.title = "Figures and desiderata"
    report.description = "Written by `python -m experiments.dashboard`, which updates it."
    report.width = "fluid"
    report.blocks = [block for stem in figures for block in _figure(entity, project, stem)] + [
        wr.H1(text="Desiderata by model and estimator"),
        _grid(entity, project, JOB_TYPE, _bars(DESIDERATA)),
    ]
    report.save()
    return str(report.url)


def _opened(kind: Any, url: str | None) -> Any:
    """What is at an address; None where there is nothing any more."""
    try:
        return kind.from_url(url) if url else None
    except (ValueError, TypeError):  # deleted by somebody; of a report the package then reads None
        return None


def _section(name: str, panels: Mapping[str, Any], *, is_open: bool = False) -> Any:
    return ws.Section(name=name, panels=_titled(panels), is_open=is_open)


def _titled(panels: Mapping[str, Any]) -> list[Any]:
    for title, panel in panels.items():
        if hasattr(panel, "title"):
            panel.title = title
    return list(panels.values())


def _bars(metrics: Mapping[str, str], *, aggregate: str = "mean") -> dict[str, Any]:
    return {
        title: wr.BarPlot(
            metrics=[key], groupby=wr.Config(LEARNER), groupby_aggfunc=aggregate, groupby_rangefunc="minmax"
        )
        for title, key in metrics.items()
    }


def _against(x: str, y: str, *, log_x: bool = False) -> Any:
    return wr.ScatterPlot(x=wr.SummaryMetric(x), y=wr.SummaryMetric(y), log_x=log_x)


def _gallery(key: str) -> Any:
    return wr.MediaBrowser(media_keys=[key], num_columns=3)


def _figure(entity: str, project: str, stem: str) -> list[Any]:
    panel = wr.MediaBrowser(media_keys=[f"figures/{stem}"], num_columns=1, layout=wr.Layout(w=24, h=16))
    return [wr.H2(text=stem), _grid(entity, project, FIGURES_RUN, {stem: panel})]


def _grid(entity: str, project: str, job_type: str, panels: Mapping[str, Any]) -> Any:
    runs = wr.Runset(entity=entity, project=project, filters=f"JobType = '{job_type}'")
    return wr.PanelGrid(runsets=[runs], panels=_titled(panels))
