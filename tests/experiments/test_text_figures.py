from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from experiments.run_figure import draw_run
from experiments.text_figures import DrawBeside, draw_beside, wrapped
from influence.arrays import Array
from influence.data.nouns import noun_worlds
from influence.data.text_noise import with_noise
from influence.files import write_json
from influence.matrix import InfluenceMatrix
from influence.plots.matrix import Panel
from tests.influence.desiderata.matrices import language, matrix_of

SGD = {"name": "finetune", "optimizer": "sgd", "num_steps": 1, "statements": "together", "lr": 1e-5}
PROMPT = {"name": "prompt", "separator": "\n", "order": "given", "template": "{probe}", "baseline": "empty"}


def measured(probes: pd.DataFrame, targets: pd.DataFrame, seed: int = 0) -> InfluenceMatrix:
    """Random gains inside worlds, learned by SGD."""
    gain_PT = np.random.default_rng(seed).normal(size=(len(probes), len(targets)))
    return replace(matrix_of(gain_PT, probes, targets), estimator=SGD)


def numbers(stem: Path) -> dict[str, Array]:
    with np.load(stem.with_suffix(".npz")) as data:
        return {name: data[name] for name in data}


def test_sentences_about_nouns_are_drawn_by_category_and_frame(tmp_path: Path) -> None:
    samples = with_noise(noun_worlds(count=3, seed=0, per_category=4), noises=[], seed=0)
    learned = measured(samples, samples)
    prompted = replace(measured(samples, samples, seed=1), estimator=PROMPT)
    folders = [matrix.save(tmp_path / str(number)) for number, matrix in enumerate((prompted, learned))]
    draw_beside(folders, tmp_path / "beside")
    shown = numbers(tmp_path / "beside")
    places = [f"category {category} frame {frame}" for category in (1, 2) for frame in (1, 1, 2, 2)]
    assert list(shown.pop("probes")) == list(shown.pop("targets")) == places
    assert list(shown) == ["1, SGD, median self-gain 1", "2, prompted"]
    for mean_PT, matrix in zip(shown.values(), (learned, prompted), strict=True):
        np.testing.assert_array_equal(mean_PT, np.mean([world.gain for world in matrix.worlds()], axis=0))


def test_each_model_of_a_sweep_has_a_figure_of_its_own(tmp_path: Path) -> None:
    samples = with_noise(noun_worlds(count=2, seed=0, per_category=4), noises=[], seed=0)
    for seed, model in enumerate(["gpt2", "EleutherAI/pythia-70m"]):
        folder = measured(samples, samples, seed=seed).save(tmp_path / "sweep" / str(seed))
        OmegaConf.save({"model": {"name": model}}, folder / "config.yaml")
        write_json(folder / "run.json", {"status": "done"})
    DrawBeside().on_multirun_end(OmegaConf.create({"outputs": str(tmp_path), "name": "sweep"}))
    drawn = {path.stem for path in (tmp_path / "sweep" / "figures").iterdir()}
    assert drawn == {"beside_gpt2", "beside_EleutherAI_pythia_70m"}


def test_panels_that_do_not_fit_side_by_side_stand_below_each_other() -> None:
    one, other, third = panels = [Panel(title=name, gain_PT=np.zeros((1, 1)), clip=1.0) for name in "abc"]
    assert wrapped([panels], 2) == [[one, other], [third, None]]
    assert wrapped([panels, [third, None, one]], 3) == [panels, [third, None, one]]


def test_noisy_sentences_are_drawn_by_noise(tmp_path: Path) -> None:
    clean = noun_worlds(count=3, seed=0, categories=1, per_category=2, frames=1)
    probes = with_noise(clean, noises=["typos", "case"], draws=[0, 1], seed=0)
    targets = probes[probes["draw"] == 0].reset_index(drop=True)
    folder = measured(probes, targets).save(tmp_path / "run")
    assert {path.suffix for path in draw_run(folder)} >= {".png", ".pdf"}
    shown = numbers(folder / "figures" / "matrix")
    assert list(shown["probes"]) == ["clean", "typos", "typos", "case", "case"] * 2
    assert list(shown["targets"]) == ["clean", "typos", "case"] * 2


def test_unlike_runs_are_not_drawn_side_by_side(tmp_path: Path) -> None:
    tables = [with_noise(noun_worlds(count=2, seed=0, per_category=size), noises=[], seed=0) for size in (2, 4)]
    folders = [measured(table, table).save(tmp_path / str(number)) for number, table in enumerate(tables)]
    with pytest.raises(ValueError, match=r"^expected runs of equal worlds to draw side by side in .*, got others$"):
        draw_beside(folders, tmp_path / "beside")


def saved(folder: Path, learned: list[str]) -> Path:
    """Two worlds of a domain in which these items are learned and all are read."""
    matrix = language("taxonomy", {("both", "entailed"): [0.2, 0.6]}, count=2, other=0.1)
    matrix = matrix.select(probes=matrix.probes["item"].isin(learned).to_numpy())
    return replace(matrix, estimator=PROMPT).save(folder)


def test_fewer_items_may_be_learned_than_are_read(tmp_path: Path) -> None:
    draw_run(saved(tmp_path, ["both", "neutral"]))
    shown = numbers(tmp_path / "figures" / "matrix")
    assert list(shown["probes"]) == ["both", "neutral"]
    assert shown["1, prompted"].shape == (2, len(shown["targets"]))
    entailed = list(shown["targets"]).index("entailed")
    assert shown["1, prompted"][0, entailed] == pytest.approx(0.4)  # mean of .2 and .6


def test_runs_that_learned_other_items_are_not_drawn_side_by_side(tmp_path: Path) -> None:
    folders = [saved(tmp_path / name, [name, "neutral"]) for name in ("both", "p1")]
    with pytest.raises(ValueError, match=r"^expected runs of one domain to draw side by side in .*, got several$"):
        draw_beside(folders, tmp_path / "beside")
