"""A run on texts from the command to the figures, on random weights."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments.run_folder import RunFolder, find_runs
from influence.matrix import InfluenceMatrix
from tests.experiments.commands import QUIET, contents, execute, start, start_until

pytest.importorskip("transformers", reason="expected transformers, of the extra `text`, got none")
pytestmark = pytest.mark.slow

SMOKE = ("experiment=smoke_text", "data.domain=belongs_to")
NUM_ITEMS = 10


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the command leaves, and in `printed` what it says."""
    outputs = tmp_path_factory.mktemp("outputs")
    process = start(*SMOKE, f"outputs={outputs}")
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    (outputs / "printed").write_text(printed)
    return outputs


@pytest.fixture(scope="module")
def matrices(outputs):
    """Learned and prompted."""
    loaded = {InfluenceMatrix.load(run).estimator["name"]: InfluenceMatrix.load(run) for run in find_runs([outputs])}
    assert set(loaded) == {"finetune", "prompt"}
    return loaded


def test_a_block_is_a_world_and_nothing_crosses_worlds(outputs, matrices):
    for run in find_runs([outputs]):
        assert sorted(path.name for path in (run / "blocks").iterdir()) == ["world-0.npz", "world-1.npz"]
        assert not (run / "targets.parquet").exists()
    for matrix in matrices.values():
        same = np.equal.outer(matrix.probes["world"].to_numpy(), matrix.targets["world"].to_numpy())
        np.testing.assert_array_equal(np.isfinite(matrix.gain), same)
        assert [world.gain.shape for world in matrix.worlds()] == [(NUM_ITEMS, NUM_ITEMS)] * 2
        assert matrix.readout["unit"] == "nats per token"


def test_texts_are_kept_with_the_matrix(matrices):
    probes = matrices["prompt"].probes
    names = json.loads(probes["names"][0])
    assert probes["text"][0] == f"{names['A']} belongs to the set of {names['C']}."
    pd.testing.assert_frame_equal(probes, matrices["finetune"].probes)


def test_the_step_size_is_that_of_single_statements(matrices):
    single = matrices["finetune"].self_gain[(matrices["finetune"].probes["num_statements"] == 1).to_numpy()]
    assert np.median(single) == pytest.approx(0.3, rel=0.05)
    assert matrices["finetune"].estimator["step_size"]["num_probes"] == len(single)


def test_before_is_one_reading_for_learned_and_prompted(matrices):
    np.testing.assert_array_equal(matrices["finetune"].before, matrices["prompt"].before)


def test_the_figure_shows_the_mean_of_the_worlds(outputs, matrices):
    with np.load(outputs / "smoke_text" / "figures" / "beside.npz") as data:
        shown = {name: data[name] for name in data}
    for items in ("probes", "targets"):
        assert list(shown.pop(items)) == list(matrices["prompt"].probes["item"][:NUM_ITEMS])
    assert [name.split(", ")[1] for name in shown] == ["SGD", "prompted"]
    learned, prompted = shown.values()
    for name, mean in (("finetune", learned), ("prompt", prompted)):
        expected = np.mean([world.gain for world in matrices[name].worlds()], axis=0)
        np.testing.assert_array_equal(mean, expected)


def test_what_is_said(outputs):
    printed = (outputs / "printed").read_text()
    extent = rf"^{2 * NUM_ITEMS} probes, each x the {NUM_ITEMS} targets of its world \(2 worlds\): about "
    assert len(re.findall(extent, printed, re.MULTILINE)) == 2
    assert "beside.pdf" in printed
    assert "class_block" not in printed  # of images


def test_a_run_in_which_every_probe_diverges_is_a_result(tmp_path):
    run = execute(tmp_path, *SMOKE, "estimator=finetune", "estimator.lr=1e30", *QUIET)
    assert run.is_done
    matrix = InfluenceMatrix.load(run.path)
    assert len(matrix.failures) == len(matrix.probes)
    assert np.isnan(matrix.median_self_gain)
    assert (run.path / "figures" / "matrix.png").exists()


def test_a_killed_run_goes_on_with_the_same_bits(outputs, tmp_path):
    many = ("data.worlds=30", "estimator=finetune", "estimator.lr=0.01", "estimator.num_steps=4")
    arguments = (*SMOKE, *many, f"outputs={tmp_path / 'killed'}")
    begun = tmp_path / "killed" / "smoke_text"
    process = start_until(lambda: len(list(begun.glob("*/blocks/*.npz"))) >= 2, *arguments)
    process.kill()
    process.wait()
    process.stdout.close()
    (run,) = find_runs([begun])
    assert not RunFolder(run).is_done
    kept = {path.name: path.stat().st_mtime_ns for path in (run / "blocks").glob("*.npz")}
    for folder in ("killed", "whole"):
        process = start(*arguments[:-1], f"outputs={tmp_path / folder}")
        assert process.wait() == 0, process.stdout.read()
        process.stdout.close()
    for name, written in kept.items():
        assert (run / "blocks" / name).stat().st_mtime_ns == written
    whole = tmp_path / "whole" / "smoke_text" / run.name
    assert contents(run / "blocks") == contents(whole / "blocks")
