"""What is told of a result: its digest, its numbers, and no more of its scores than can be shown."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import tracked_result
from experiments.score import save_scores
from experiments.tracked_result import quantities, result_digest, running_scores
from experiments.tracking import Mode, TrackingConfig, track
from influence.desiderata.scoring import score
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import pack
from tests.experiments.fabricated import image_run, text_run
from tests.experiments.wandb_reader import read_summary

ITEMS = ("p1", "p2", "both")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = image_run(tmp_path / "outputs" / "digits" / "ab12")
    save_scores(folder, score([InfluenceMatrix.load(folder)], ["self_gain_median", "noise_discount"], seed=0))
    return folder


def test_a_packed_copy_is_the_same_result_and_other_scores_are_another(run, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    for name in ("matrix.json", "scores.parquet"):
        shutil.copy(run / name, packed)
    pack(run, packed)
    digest = result_digest(run)
    assert result_digest(packed) == digest
    save_scores(run, score([InfluenceMatrix.load(run)], ["noise_discount"], seed=0))
    assert result_digest(run) != digest


def test_running_scores_of_all_worlds_are_the_scores(tmp_path):
    random = np.random.default_rng(0)
    pairs = [(probe, target) for probe in ITEMS for target in ITEMS]
    gains = dict(zip(pairs, random.normal(1, 0.3, len(pairs)), strict=True))
    matrix = InfluenceMatrix.load(text_run(tmp_path / "ab12", gains, domain="transitivity", worlds=4))
    values = score([matrix], list(tracked_result.RUNNING), seed=0).set_index("score")["value"]
    running = running_scores(matrix)
    assert {f"running/{name}" for name, value in values.items() if np.isfinite(value)} == running.keys()
    for key, value in running.items():
        assert value == pytest.approx(values[key.removeprefix("running/")])


def test_quantities_are_those_of_the_matrix(run):
    told = quantities(InfluenceMatrix.load(run))
    assert (told["matrix/probes"], told["matrix/targets"], told["matrix/failures"]) == (12, 12, 0)
    assert (told["matrix/lr"], told["matrix/median_self_gain"]) == (0.1, pytest.approx(0.3))


def test_a_table_too_long_to_show_is_left_out(home, run, caplog, monkeypatch):
    monkeypatch.setattr(tracked_result, "MAX_TABLE_ROWS", 1)
    with track(TrackingConfig(mode=Mode.offline), run) as tracker:
        tracker.result()
    said = [record.getMessage() for record in caplog.records if record.name == "experiments.tracked_result"]
    assert said == ["W&B gets no table of 2 scores, more than 1; see the run folder"]
    summary = read_summary(run)["summary"]
    assert "tables/scores" not in summary
    assert summary["desiderata/self_gain_median"] == pytest.approx(0.3)
