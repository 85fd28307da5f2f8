from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.chain_figures import draw_chains, draw_published
from experiments.run_figure import draw_run
from experiments.text_figures import draw_beside
from influence.data.chains import chains
from influence.data.domains import load
from influence.desiderata import score
from influence.matrix import InfluenceMatrix
from tests.experiments.fabricated import GEMMA, save_run
from tests.influence.desiderata.matrices import matrix_of

DOMAINS = Path(__file__).parents[2] / "conf" / "domain"
SGD = {
    "name": "finetune",
    "optimizer": "sgd",
    "num_steps": 8,
    "statements": "together",
    "lr": 1e-6,
    "step_size": {"median": 1.04},
}
QUARTERS = ["0.25 of the strength of link 1", "0.25 of the strength of link 2"]


def measured(seed: int, *, count: int = 3, broken: bool = True) -> InfluenceMatrix:
    """Worlds of crossed chains with random gains."""
    probes, targets = chains(load(DOMAINS / "causal.yaml"), count=count, seed=0, style="paper", broken=broken)
    gain_PT = np.random.default_rng(seed).normal(size=(len(probes), len(targets)))
    return replace(matrix_of(gain_PT, probes, targets, readout="span_log_prob"), estimator=SGD)


def shown(paths: Sequence[Path]) -> pd.DataFrame:
    """The numbers of a figure."""
    (numbers,) = [path for path in paths if path.suffix == ".csv"]
    return pd.read_csv(numbers)


def test_the_figure_of_a_run_shows_its_scores(tmp_path: Path) -> None:
    matrix = measured(0)
    folder = matrix.save(tmp_path / "run")
    paths = draw_run(folder)
    assert [path.name for path in paths] == ["matrix.pdf", "matrix.png", "matrix.csv"]
    table = shown(paths)
    assert set(table["run"]) == {"SGD, 8 steps, median self-gain 1"}
    means = table[table["of"] == "worlds"].set_index("quantity")
    scores = score(matrix, ["transitivity", "link_strength", "transitivity_broken"])
    assert list(means.index) == ["transitivity", *QUARTERS, "broken chains (placebo)"]
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(means[name], scores[name] * [1, 0.25, 0.25, 1])
    worlds = table[table["of"] == "world"]
    assert len(worlds) == 3 * 4
    np.testing.assert_allclose(worlds.groupby("quantity")["value"].mean(), means["value"].sort_index())


def test_runs_stand_side_by_side_learned_before_prompted(tmp_path: Path) -> None:
    prompt = {"name": "prompt", "separator": "\n", "order": "given", "template": "{probe}", "baseline": "empty"}
    matrices = [replace(measured(0), estimator=prompt), measured(1, broken=False), measured(2, count=2)]
    folders = [matrix.save(tmp_path / str(number)) for number, matrix in enumerate(matrices)]
    table = shown(draw_beside(folders, tmp_path / "beside"))
    sgd = "SGD, 8 steps, median self-gain 1"
    assert list(dict.fromkeys(table["run"])) == [f"{sgd} (1)", f"{sgd} (2)", "prompted"]
    means = table[table["of"] == "worlds"].set_index(["run", "quantity"])["value"]
    for run, matrix in ((f"{sgd} (1)", matrices[1]), ("prompted", matrices[0])):
        assert means[run, "transitivity"] == pytest.approx(score(matrix, ["transitivity"])["value"][0])
    assert "broken chains (placebo)" not in means[f"{sgd} (1)"]  # none were measured


def test_what_is_undefined_is_left_out(tmp_path: Path) -> None:
    matrix = measured(0)
    failed = (matrix.probes["item"] == "joint_00").to_numpy()
    gain_PT = np.where(failed[:, None], np.nan, matrix.gain)
    diverged = matrix_of(gain_PT, matrix.probes, matrix.targets, self_gain=np.where(failed, np.nan, 1.0))
    table = shown(draw_chains([diverged], ["SGD"], tmp_path / "beside"))
    assert set(table["quantity"]) == {"broken chains (placebo)"}


def test_the_published_figure_shows_the_largest_usual_run_of_each_estimator(tmp_path: Path) -> None:
    prompt = {"name": "prompt", "separator": "\n", "order": "given"}
    runs = {
        "few": (measured(0, count=2), {**SGD, "lr": 0.1}),
        "many": (measured(1, count=3), {**SGD, "lr": 0.2}),
        "joined": (measured(2, count=4), {**SGD, "statements": "joined"}),
        "prompted": (measured(3, count=3), prompt),
        "reversed": (measured(4, count=6), {**prompt, "order": "reversed"}),
        "more": (measured(5, count=5), prompt),
    }
    for name, (matrix, estimator) in runs.items():
        data = {"domain": "causal", "worlds": matrix.probes["world"].nunique(), "length": 2}
        experiment = "transitive_causality_prompted" if name == "more" else "transitive_causality"
        save_run(tmp_path / experiment / name, matrix, data=data, model=GEMMA, estimator=estimator)
    table = shown(draw_published(tmp_path))
    assert list(dict.fromkeys(table["run"])) == ["SGD, 3 worlds", "prompted, 5 worlds"]
    means = table[table["of"] == "worlds"].set_index(["run", "quantity"])["value"]
    for run, name in (("SGD, 3 worlds", "many"), ("prompted, 5 worlds", "more")):
        assert means[run, "transitivity"] == pytest.approx(score(runs[name][0], ["transitivity"])["value"][0])
