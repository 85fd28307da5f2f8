"""What the README shows is what the published runs hold, and what measuring again gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from experiments import build, schema
from experiments.checks import checked
from experiments.identity import run_hash
from experiments.published import LEDGER, TEXTS
from experiments.readme import TABLES, write_readme
from experiments.run_folder import RunFolder, find_runs, images_of
from influence.data.stored import load_images
from influence.estimators.protocol import Estimator
from influence.matrix import NEAR, SELF_GAIN, InfluenceMatrix
from influence.matrix_folder import read_header
from influence.measurement import measure
from influence.models.base import initialise, load_weights
from influence.provenance import collect, weights_digest
from influence.seeds import generator
from influence.step_size import clean_probes

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "outputs" / "published"
RUNS = find_runs([PUBLISHED])
TEXT_RUNS = [folder for folder in RUNS if "worlds" in RunFolder(folder).config.data]
IMAGE_RUNS = [folder for folder in RUNS if folder not in TEXT_RUNS]

DATA = {
    "length": schema.ChainsConfig,
    "categories": schema.NounsConfig,
    "worlds": schema.DomainConfig,
    "split": schema.ImagesConfig,
}
"""Schemas of data by a setting that those before it lack."""


def weights(folder: Path) -> Path:
    """The base model of a run, where it is published: of the first seed alone."""
    base = read_header(folder)["provenance"]["base_model"]["folder"]
    return PUBLISHED / "models" / base / "weights.safetensors"


OF_FIRST_SEED = [folder for folder in IMAGE_RUNS if weights(folder).exists()]
OF_OTHER_SEEDS = [folder for folder in IMAGE_RUNS if not weights(folder).exists()]


def named(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


def once_more(folder: Path, count: int) -> tuple[InfluenceMatrix, schema.Config, np.ndarray]:
    """The matrix, its configuration, and some of its cells."""
    matrix = InfluenceMatrix.load(folder)
    assert matrix.provenance["dirty"] is False
    config = checked(OmegaConf.merge(OmegaConf.structured(schema.Config), typed(RunFolder(folder).config)))
    cells = np.argwhere(np.isfinite(matrix.gain))
    return matrix, config, generator(0, "entries", folder.name).choice(cells, count, replace=False)


def at_the_same_step(matrix: InfluenceMatrix, config: schema.Config) -> Estimator:
    estimator, lr = build.estimator(config.estimator), matrix.estimator.get("lr")
    return estimator if lr is None else estimator.with_lr(lr)


def typed(config):
    """The frozen settings with their schemas, as composing would give them."""
    groups = {
        "data": next(kind for mark, kind in DATA.items() if mark in config.data),
        "model": schema.CausalLMConfig if "worlds" in config.data else schema.CNNConfig,
        "estimator": schema.SCHEMAS["estimator", config.estimator.name],
    }
    for group, kind in groups.items():
        config[group] = OmegaConf.merge(OmegaConf.structured(kind), config[group])
    return config


@pytest.mark.parametrize("folder", OF_FIRST_SEED, ids=named)
def test_five_entries_measured_again(folder):
    """From the frozen weights and images, each entry alone: other chunks, so equal up to rounding."""
    _, config, _ = once_more(folder, 0)
    model = initialise(build.architecture(config), config.trainer.seed)
    load_weights(model, weights(folder))
    check_entries(folder, model)


@pytest.mark.verify
@pytest.mark.parametrize("folder", OF_OTHER_SEEDS[-1:], ids=named)
def test_five_entries_measured_again_after_training_again(folder, tmp_path):
    """Another processor rounds otherwise, and four epochs make another network of it, which is only as good."""
    matrix, config, _ = once_more(folder, 0)
    config.data.folder = str(ROOT / "outputs" / "data")
    model, record = build.base_model(build.initial_model(config), config, tmp_path)
    frozen = matrix.provenance
    assert record["accuracy"] == pytest.approx(frozen["base_model"]["accuracy"], abs=0.017)  # 4 standard errors
    if frozen["machine"]["processor"] == collect(ROOT)["machine"]["processor"]:
        check_entries(folder, model)


def check_entries(folder: Path, model: torch.nn.Module) -> None:
    matrix, config, cells = once_more(folder, 5)
    assert matrix.provenance["identity"]["weights"] == weights_digest(model)
    probes, targets = (load_images(images_of(folder), table) for table in (matrix.probes, matrix.targets))
    for i, j in cells:
        again = measure(model, probes.iloc[[i]], targets.iloc[[j]], estimator=at_the_same_step(matrix, config))
        rounding = 1e-6 * max(10.0, abs(matrix.before[j]))  # of float32
        assert again.before[0] == pytest.approx(matrix.before[j], abs=rounding)
        assert again.gain[0, 0] == pytest.approx(matrix.gain[i, j], abs=rounding, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(folder, marks=() if folder.parent.name == "fig2_transitivity" else pytest.mark.verify)
        for folder in TEXT_RUNS
    ],
    ids=named,
)
def test_two_entries_of_the_language_model_measured_again(folder, gemma):
    """From the installed model and the texts, by the plain loop, one target at a time."""
    matrix, config, cells = once_more(folder, 2)
    assert matrix.provenance["identity"]["weights"] == weights_digest(gemma)
    probes, targets = build.samples(config, gemma.token_ids)
    pd.testing.assert_frame_equal(probes, matrix.probes)
    pd.testing.assert_frame_equal(targets, matrix.targets)
    for i, j in cells:
        again = measure(
            gemma,
            probes.iloc[[i]],
            targets.iloc[[j]],
            estimator=at_the_same_step(matrix, config),
            readout=config.readout.name,
        )
        assert again.before[0] == pytest.approx(matrix.before[j], abs=1e-4)
        assert again.gain[0, 0] == pytest.approx(matrix.gain[i, j], abs=2e-3, rel=1e-2)


@pytest.mark.parametrize("folder", TEXT_RUNS, ids=named)
def test_a_run_on_texts_is_that_of_the_present_domain(folder):
    """An edited domain is another run: measure it again."""
    assert run_hash(RunFolder(folder).config) == folder.name


@pytest.mark.parametrize("folder", [folder for folder in TEXT_RUNS if folder.parent.name in TEXTS], ids=named)
def test_stored_learning_rates_give_the_self_gain_of_claims(folder):
    matrix = InfluenceMatrix.load(folder)
    if matrix.estimator["name"] == "finetune":
        stored = OmegaConf.load(ROOT / "conf" / "experiment" / f"{folder.parent.name}.yaml").step_sizes
        assert matrix.estimator["lr"] == stored[matrix.estimator["optimizer"]]
        median = np.median(matrix.self_gain[clean_probes(matrix.probes).index])
        assert median == pytest.approx(SELF_GAIN, rel=NEAR)


def test_the_readme_shows_the_published_numbers(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text())
    write_readme(copy, {name: make(PUBLISHED) for name, make in TABLES.items()})
    assert copy.read_text() == (ROOT / "README.md").read_text(), "the tables are stale: run `make figures`"


def test_lost_markers_are_named(tmp_path):
    (tmp_path / "README.md").write_text("no tables here")
    with pytest.raises(ValueError, match=f"expected the markers of the table '{next(iter(TABLES))}' once"):
        write_readme(tmp_path / "README.md", dict.fromkeys(TABLES, ""))


def test_the_ledger_as_data_is_that_of_the_readme() -> None:
    """The report shows it without scoring anything again."""
    table = pd.read_csv(PUBLISHED / LEDGER, keep_default_na=False, dtype=str)
    lines = [line.replace("**", "") for line in (ROOT / "README.md").read_text().splitlines()]
    for claim, where, statistic, *cells in table.to_numpy().tolist():
        assert f"| {' | '.join([statistic or f'{claim} ({where})', *cells])} |" in lines
