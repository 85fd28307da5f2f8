"""Figures of crossed chains: the transitivity of each run beside what it is composed of, and the placebo."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.published import CAUSES, place
from experiments.run_folder import find_runs
from experiments.run_sets import RunSet, run_sets
from influence.desiderata.scoring import score
from influence.desiderata.transitivity import SHARE
from influence.matrix import InfluenceMatrix
from influence.plots.chains import chains_figure
from influence.plots.style import save_figure

SCALES = {"transitivity": 1.0, "link_strength": SHARE, "transitivity_broken": 1.0}
"""The scores that are drawn, and how much of each: what a conclusion gains is to exceed a share of every link."""


def are_chains(matrix: InfluenceMatrix) -> bool:
    """Whether the samples of a matrix are those of crossed chains."""
    return "item" in matrix.targets and bool(matrix.targets["item"].str.startswith("conclusion_").any())


def draw_published(published: Path) -> list[Path]:
    """The chains of causes, by each estimator the run of the most worlds in its usual way."""
    runs: dict[str, RunSet] = {}
    for one in run_sets(find_runs([published / name for name in CAUSES if (published / name).exists()])):
        known = runs.get(one.kind)
        if not one.unusual and (known is None or one.config["data"]["worlds"] > known.config["data"]["worlds"]):
            runs[one.kind] = one
    in_order = sorted(runs, key=place)
    matrices = [matrix for kind in in_order for matrix in runs[kind].matrices()]
    titles = [f"{kind}, {runs[kind].config['data']['worlds']} worlds" for kind in in_order]
    return draw_chains(matrices, titles, published / "figures" / "transitivity")


def draw_chains(matrices: Sequence[InfluenceMatrix], titles: Sequence[str], stem: Path) -> list[Path]:
    """T, a share of every link's strength, and T of broken chains, a panel a run, with the numbers."""
    means, worlds = [], []
    for number, (matrix, title) in enumerate(zip(matrices, titles, strict=True)):
        run = title if titles.count(title) == 1 else f"{title} ({number + 1})"
        means.append(_quantities(matrix).assign(run=run))
        worlds += [_quantities(world).assign(run=run) for world in matrix.worlds()]
    mean, world = pd.concat(means, ignore_index=True), pd.concat(worlds, ignore_index=True)
    figure = chains_figure(mean, world, unit=matrices[0].readout["unit"])
    return save_figure(figure, stem, pd.concat([mean.assign(of="worlds"), world.assign(of="world")]))


def _quantities(matrix: InfluenceMatrix) -> pd.DataFrame:
    """The scores of a matrix that are defined, scaled and named as the figure shows them."""
    frame = score(matrix, list(SCALES))
    scale = frame["score"].map(SCALES)
    shown = {name: scale * frame[name] for name in ("value", "low", "high")}
    return pd.DataFrame({"quantity": list(map(_label, frame["score"], frame["condition"])), **shown}).dropna(
        subset="value"
    )


def _label(name: str, condition: str) -> str:
    if name == "link_strength":
        return f"{SHARE:g} of the strength of {condition.replace('=', ' ')}"
    return {"transitivity": "transitivity", "transitivity_broken": "broken chains (placebo)"}[name]
