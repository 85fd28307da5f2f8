"""What the README shows is what the published runs hold, and what measuring again gives."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from experiments import schema
from experiments.build import architecture, estimator
from experiments.readme import TABLES, write_readme
from experiments.run_folder import RunFolder, find_runs
from influence.data.stored import load_images
from influence.matrix import InfluenceMatrix
from influence.measurement import measure
from influence.models.base import initialise, load_weights
from influence.seeds import generator

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "outputs" / "published"
RUNS = find_runs([PUBLISHED])


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_five_entries_measured_again(folder):
    """From the frozen weights and images, each entry alone: other chunks, so equal up to rounding."""
    matrix = InfluenceMatrix.load(folder)
    assert matrix.provenance["dirty"] is False
    config = schema.check(OmegaConf.merge(OmegaConf.structured(schema.Config), typed(RunFolder(folder).config)))
    model = initialise(architecture(config), config.trainer.seed)
    load_weights(model, PUBLISHED / "models" / matrix.provenance["base_model"]["folder"] / "weights.safetensors")
    probes, targets = (load_images(folder / "samples.npz", table) for table in (matrix.probes, matrix.targets))
    at_lr = estimator(config.estimator).with_lr(matrix.estimator["lr"])
    finite = np.argwhere(np.isfinite(matrix.gain))
    for i, j in generator(0, "entries", folder.name).choice(finite, 5, replace=False):
        again = measure(model, probes.iloc[[i]], targets.iloc[[j]], estimator=at_lr)
        rounding = 1e-6 * max(10.0, abs(matrix.before[j]))  # of float32
        assert again.before[0] == pytest.approx(matrix.before[j], abs=rounding)
        assert again.gain[0, 0] == pytest.approx(matrix.gain[i, j], abs=rounding, rel=1e-4)


def typed(config):
    """The frozen settings with their schemas, as composing would give them."""
    groups = {"data": schema.ImagesConfig, "model": schema.CNNConfig, "estimator": schema.FineTuneConfig}
    for group, kind in groups.items():
        config[group] = OmegaConf.merge(OmegaConf.structured(kind), config[group])
    return config


def test_the_readme_shows_the_published_numbers(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text())
    write_readme(copy, PUBLISHED)
    assert copy.read_text() == (ROOT / "README.md").read_text(), "the tables are stale: run `make figures`"


def test_lost_markers_are_named(tmp_path):
    (tmp_path / "README.md").write_text("no tables here")
    with pytest.raises(ValueError, match=f"expected the markers of the table '{next(iter(TABLES))}' once"):
        write_readme(tmp_path / "README.md", PUBLISHED)
