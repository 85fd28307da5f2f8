"""Figures of language runs: what statements do to statements, as means over the worlds (paper, Figs. 2 to 6)."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from experiments.chain_figures import are_chains, draw_chains
from experiments.published import OPTIMIZERS, place, text_runs
from experiments.run_folder import RunFolder, find_runs
from influence.arrays import Array
from influence.data import paper
from influence.data.worlds import unfilled
from influence.desiderata.scoring import score
from influence.desiderata.units import mean_world
from influence.estimators.prompt import Prompt
from influence.matrix import InfluenceMatrix
from influence.plots.histogram import histogram_figure
from influence.plots.matrix import Panel, end_of_colors, matrix_figure
from influence.plots.statements import panels_in_a_row, statement_figure
from influence.plots.style import save_figure
from influence.plots.symmetry import symmetry_figure

CLIP_QUANTILE = 0.95
"""Colours end where this share of the absolute gains lies below: at 3, where the paper ends, small steps are white."""


class DrawBeside(Callback):
    """Draws the runs of an experiment side by side when all have ended, those of each model in a figure."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Draw them in the folder of the experiment."""
        folder = Path(config.outputs) / config.name
        models: dict[str, list[Path]] = {}
        for run in find_runs([folder]):
            if RunFolder(run).is_done:
                models.setdefault(RunFolder(run).config.model.name, []).append(run)
        for model, runs in models.items():
            name = "beside" if len(models) == 1 else "beside_" + re.sub(r"\W+", "_", model)
            for path in draw_beside(runs, folder / "figures" / name):
                print(path)


def draw_beside(runs: Sequence[Path], stem: Path) -> list[Path]:
    """Runs of one domain side by side, learned before prompted, under what is expected of the premises.

    Raises:
        ValueError: the runs are of several domains.
    """
    matrices = sorted((InfluenceMatrix.load(run) for run in runs), key=_order)
    if are_chains(matrices[0]):
        return draw_chains(matrices, [title(matrix) for matrix in matrices], stem)
    if "noun" in matrices[0].probes:
        return _draw_nouns(matrices, stem)
    return _draw([[_panel(matrix) for matrix in matrices]], matrices, stem)


def draw_published(published: Path) -> list[Path]:
    """The figures of the README: each domain learned and prompted, the first beside the paper's own, and summaries."""
    figures, drawn = published / "figures", []
    domains = {
        domain: {estimator: InfluenceMatrix.load(run) for estimator, run in runs.items()}
        for domain, runs in text_runs(published).items()
    }
    for domain, figure in paper.FIGURES.items():
        rows: list[list[Panel | None]] = [[_panel(matrix) for matrix in domains[domain].values()]]
        if domain == "transitivity":
            learned, prompted = (
                Panel(title=f"paper (Phi-3), {how}", gain_PT=paper.fig2(how), clip=paper.CLIP)
                for how in ("learned", "prompted")
            )
            rows.append([learned, None, prompted])
        drawn += _draw(rows, list(domains[domain].values()), figures / figure)
    # In self-gains, as a step of 0.3 nats and a prompt worth 8 would share no axis.
    gains = {
        domain: {
            one: matrix.gain[np.isfinite(matrix.gain)] / matrix.median_self_gain for one, matrix in matrices.items()
        }
        for domain, matrices in domains.items()
    }
    shown = {
        f"{domain}, {estimator}": values.astype(np.float32)
        for domain, by_estimator in gains.items()
        for estimator, values in by_estimator.items()
    }
    drawn += save_figure(
        histogram_figure(gains, limit=2, lowest=-0.5, num_bins=25, unit="median self-gains"),
        figures / "fig5a_fig6",
        shown,
    )
    return [*drawn, *_draw_symmetry(domains, figures / "fig5b")]


def title(matrix: InfluenceMatrix) -> str:
    """How the influence of a matrix was obtained, and the step size that it came to."""
    settings = matrix.estimator
    if settings["name"] == "prompt":
        usual = Prompt().describe()
        changed = (f"{name} {value!r}" for name, value in settings.items() if value != usual[name])
        return ", ".join(["prompted", *changed])
    parts = [OPTIMIZERS.get(settings["optimizer"], settings["optimizer"])]
    if settings["name"] == "first_order":
        parts.append("first order")
    if settings.get("num_steps", 1) != 1:
        parts.append(f"{settings['num_steps']} steps")
    if settings["statements"] != "together":
        parts.append(settings["statements"].replace("_", " "))
    return ", ".join([*parts, f"median self-gain {matrix.median_self_gain:.2g}"])


def _order(matrix: InfluenceMatrix) -> tuple[int, float]:
    """Learned before prompted, optimisers in the order of tables, small steps before large ones."""
    settings = matrix.estimator
    kind = "prompted" if settings["name"] == "prompt" else OPTIMIZERS.get(settings["optimizer"], "")
    return place(kind), settings.get("lr") or math.inf


def _panel(matrix: InfluenceMatrix) -> Panel:
    gain_PT = mean_world(list(matrix.worlds())).gain
    return Panel(title=title(matrix), gain_PT=gain_PT, clip=end_of_colors(gain_PT, CLIP_QUANTILE))


def _draw(rows: Sequence[Sequence[Panel | None]], matrices: Sequence[InfluenceMatrix], stem: Path) -> list[Path]:
    """Panels of one domain with its statements as labels, and their numbers."""
    worlds = [next(matrix.worlds()) for matrix in matrices]
    tables = [[_labelled(items) for items in (world.probes, world.targets)] for world in worlds]
    probes, targets = tables[0]
    if not all(one.equals(probes) and other.equals(targets) for one, other in tables):
        raise ValueError(f"expected runs of one domain to draw side by side in {stem.parent}, got several")
    premises = targets["text"][targets["item"] == targets["premises"]].iloc[0]
    rows = wrapped(rows, panels_in_a_row(probes, targets, len(rows[0])))
    figure = statement_figure(rows, probes, targets, premises=premises, unit=matrices[0].readout["unit"])
    panels = [panel for row in rows for panel in row if panel is not None]
    items = {"probes": probes["item"].to_numpy(str), "targets": targets["item"].to_numpy(str)}
    return save_figure(figure, stem, {**items, **_numbers(panels)})


def wrapped(rows: Sequence[Sequence[Panel | None]], length: int) -> list[list[Panel | None]]:
    """Rows of at most so many panels, those of a longer one below each other."""
    parts = [list(row[start : start + length]) for row in rows for start in range(0, len(row), length)]
    return [[*part, *[None] * (length - len(part))] for part in parts]


def _numbers(panels: Sequence[Panel]) -> dict[str, Array]:
    return {f"{number}, {panel.title}": panel.gain_PT for number, panel in enumerate(panels, start=1)}


def _labelled(items: pd.DataFrame) -> pd.DataFrame:
    """Items of one world, their names replaced by the slots."""
    texts = [
        unfilled(text, [(slot, start, stop) for slot, start, stop in json.loads(spans)])
        for text, spans in zip(items["text"], items["spans"], strict=True)
    ]
    return items.assign(text=texts)[["item", "text", "premises", "expected", "desideratum"]].reset_index(drop=True)


def _draw_nouns(matrices: Sequence[InfluenceMatrix], stem: Path) -> list[Path]:
    """Sentences about nouns, as means over worlds, by noise, category and frame."""
    worlds = [next(matrix.worlds()) for matrix in matrices]
    tables = [[_by_place(samples) for samples in (world.probes, world.targets)] for world in worlds]
    probes, targets = tables[0]
    if not all(one.equals(probes) and other.equals(targets) for one, other in tables):
        raise ValueError(f"expected runs of equal worlds to draw side by side in {stem.parent}, got others")
    panels = [_panel(matrix) for matrix in matrices]
    figure = matrix_figure([panels], probes, targets, unit=matrices[0].readout["unit"])
    rows, columns = (samples.agg(" ".join, axis=1).str.strip().to_numpy(str) for samples in (probes, targets))
    return save_figure(figure, stem, {"probes": rows, "targets": columns, **_numbers(panels)})


def _by_place(samples: pd.DataFrame) -> pd.DataFrame:
    """The two coarsest of noise, category and frame that differ in a world, as group and label.

    Categories and frames are numbered, since another world has others.
    """
    columns = {"category": "label", "frame": "frame"}
    numbered = [[f"{name} {number + 1}" for number in pd.factorize(samples[columns[name]])[0]] for name in columns]
    differing = [level for level in (list(samples["group"]), *numbered) if len(set(level)) > 1]
    none = [""] * len(samples)
    levels = [*differing, none, none]
    return pd.DataFrame({"group": levels[0], "label": levels[1]})


def _draw_symmetry(domains: Mapping[str, Mapping[str, InfluenceMatrix]], stem: Path) -> list[Path]:
    """The paper's Fig. 5B, and the scale-free measure beside it."""
    scores = pd.concat(
        score(matrix, ["symmetry"]).assign(domain=domain.replace("_", " "), estimator=estimator)
        for domain, matrices in domains.items()
        for estimator, matrix in matrices.items()
    )
    published = pd.DataFrame(
        {"domain": domain.replace("_", " "), "estimator": estimator, "value": paper.SYMMETRY[domain][how]}
        for domain, matrices in domains.items()
        if domain in paper.SYMMETRY
        for estimator, how in (
            (estimator, "prompted" if estimator == "prompted" else "learned") for estimator in matrices
        )
    )
    figure = symmetry_figure(
        scores[scores["score"] == "paper_symmetry_frobenius"],
        scores[scores["score"] == "asymmetry_index"],
        published=published,
        logarithmic=True,
    )
    return save_figure(figure, stem, scores[["domain", "estimator", "score", "value", "low", "high"]])
