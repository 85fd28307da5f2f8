"""Tracking through the real SDK, read back with its own reader or from a server on the loopback interface."""

import json
import logging
import math
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import wandb
from omegaconf import OmegaConf

from experiments.tracking import Mode, TrackingConfig, track
from influence.blocks import Block
from influence.files import sha256
from influence.matrix import InfluenceMatrix
from tests.experiments.wandb_reader import read_records, read_summary
from tests.experiments.wandb_server import WandbServer

CONFIG = {
    "name": "digits",
    "seed": 3,
    "data": {"domain": "digits"},
    "model": {"name": "CNN"},
    "estimator": {"name": "finetune", "optimizer": "sgd", "lr": 0.01},
}
TAGS = ["finetune", "sgd", "cnn"]
KEY = "0" * 40
GOES_ON = (
    "; going on, nothing is lost: the run folder keeps the result, and `python -m experiments.mirror` brings it there"
)
SUMMARY = {
    "desiderata/symmetry": 0.125,
    "desiderata/noise_discount/sigma=0.5": -0.25,
    "desiderata/noise_discount/sigma=0.5/low": -0.5,
    "desiderata/noise_discount/sigma=0.5/high": 0.0,
    "desiderata/noise_discount/sigma=0.5/p": 0.01,
}
"""What is finite in `scores`."""


@pytest.fixture
def matrix() -> InfluenceMatrix:
    gain_PT = np.linspace(-1, 1, 15).reshape(3, 5)
    gain_PT[0, 1] = np.nan
    block = Block(
        id="0-3",
        first_probe=0,
        first_target=0,
        gain_PT=gain_PT,
        self_gain_P=np.array([1.0, 2.0, 3.0]),
        before_T=np.arange(5.0),
        failure_P=np.array(["", "", ""]),
    )
    return InfluenceMatrix(
        blocks=[block],
        probes=pd.DataFrame({"id": ["a", "b", "c"]}),
        targets=pd.DataFrame({"id": ["a", "b", "c", "d", "e"]}),
        readout={"name": "log_prob", "unit": "nat"},
        estimator={"name": "finetune"},
    )


@pytest.fixture
def scores() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "desideratum": ["symmetry", "noise", "noise"],
            "score": ["symmetry", "noise_discount", "noise_discount"],
            "condition": ["", "sigma=0.5", "sigma=1"],
            "value": [0.125, -0.25, math.nan],
            "low": [math.nan, -0.5, math.nan],
            "high": [math.inf, 0.0, math.nan],
            "p": [math.nan, 0.01, math.nan],
            "n": [3, 5, 0],
        }
    )


@pytest.fixture
def run_folder(tmp_path: Path, matrix: InfluenceMatrix, scores: pd.DataFrame) -> Path:
    """A run that has been measured, scored and drawn."""
    folder = matrix.save(tmp_path / "outputs" / "digits" / "ab12cd")
    OmegaConf.save(OmegaConf.create(CONFIG), folder / "config.yaml")
    scores.to_parquet(folder / "scores.parquet", index=False)
    (folder / "figures").mkdir()
    matplotlib.image.imsave(folder / "figures" / "heatmap.png", np.zeros((2, 3)))
    return folder


def start(run_folder: Path, mode: Mode = Mode.auto) -> Any:
    return track(TrackingConfig(mode=mode, project="eif"), run_folder)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "experiments.tracking"]


def desiderata(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key.startswith("desiderata/")}


def assert_same_matrix(folder: Path, matrix: InfluenceMatrix) -> None:
    loaded = InfluenceMatrix.load(folder)
    np.testing.assert_array_equal(loaded.gain, matrix.gain)
    np.testing.assert_array_equal(loaded.self_gain, matrix.self_gain)
    pd.testing.assert_frame_equal(loaded.targets, matrix.targets)


def test_offline_run_holds_config_progress_and_result(home, run_folder, matrix, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO, logger="experiments.tracking")
    with start(run_folder) as tracker:
        tracker.progress(1, 2, math.nan)
        tracker.progress(2, 2, 0.5)
        tracker.result()

    assert capfd.readouterr() == ("", "")
    run = read_summary(run_folder)
    assert run["config"] == {**CONFIG, "learner": "CNN, SGD"}
    assert (run["run_id"], run["name"], run["project"], run["tags"]) == ("ab12cd", "digits/ab12cd", "eif", TAGS)
    assert run["exit_code"] == 0
    assert desiderata(run["summary"]) == SUMMARY
    assert run["summary"]["figures/heatmap"]["sha256"] == sha256(run_folder / "figures" / "heatmap.png")
    table = Path(run["file"]).parent / "files" / run["summary"]["tables/scores"]["path"]
    told = ["ab12cd", "digits", "CNN", "digits", "finetune", "sgd", 3]  # of the run, from others
    assert json.loads(table.read_text())["data"] == [
        [*told, "symmetry", "symmetry", "", 0.125, None, None, None, 3],
        [*told, "noise", "noise_discount", "sigma=0.5", -0.25, -0.5, 0.0, 0.01, 5],
        [*told, "noise", "noise_discount", "sigma=1", None, None, None, None, 0],
    ]
    records = read_records(run_folder)
    (described,) = records["run"]
    assert (described["run_group"], described["job_type"]) == ("digits", "influence")

    progress = [
        {key: value for key, value in record["item"].items() if key.startswith("progress/")}
        for record in records["history"]
    ]
    blocks = {"progress/blocks": 1, "progress/blocks_total": 1}
    assert progress == [
        {"progress/done": 1, "progress/total": 2, **blocks},
        {"progress/done": 2, "progress/total": 2, "progress/seconds_left": 0.5, **blocks},
        {},
    ]
    of_part = {key: value for key, value in records["history"][0]["item"].items() if key.startswith("running/")}
    assert of_part["running/self_gain_median"] == 2.5  # of b and c, as a cell of a is missing

    _, artifact, kept_scores = records["artifact"]  # the first holds the table
    assert (kept_scores["type"], kept_scores["name"]) == ("scores", "scores-ab12cd")
    assert (artifact["type"], artifact["name"]) == ("influence-matrix", "influence-matrix-ab12cd")
    assert json.loads(artifact["metadata"]) == {
        "shape": [3, 5],
        "orientation": "rows are probes, columns are targets",
        "sign": "positive = more likely",
        "readout": matrix.readout,
        "estimator": matrix.estimator,
    }
    for file in artifact["manifest"]["contents"]:
        (tmp_path / "copy" / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file["local_path"], tmp_path / "copy" / file["path"])
    assert_same_matrix(tmp_path / "copy", matrix)

    assert {path.name for path in run_folder.parents[1].iterdir()} == {"digits", "wandb"}
    assert list(home.iterdir()) == []
    (line,) = said(caplog)
    assert line.startswith(f"W&B: offline in {run_folder.parents[1] / 'wandb' / 'offline-run-'}")


def test_failed_run_is_marked_and_the_next_one_is_its_own(home, run_folder):
    other = shutil.copytree(run_folder, run_folder.with_name("ef34"))
    with pytest.raises(RuntimeError, match="step diverged"), start(run_folder):
        raise RuntimeError("step diverged")
    with start(other):
        pass
    assert read_summary(run_folder, "offline-run-*-ab12cd")["exit_code"] == 1
    assert read_summary(run_folder, "offline-run-*-ef34")["exit_code"] == 0


def test_off_needs_no_wandb(tmp_path):
    script = f"""
import sys
sys.modules["wandb"] = None  # any import of it raises ImportError
from pathlib import Path
from experiments.tracking import Mode, TrackingConfig, track
folder = Path({str(tmp_path)!r}, "outputs", "digits", "ab12cd")
with track(TrackingConfig(mode=Mode.off), folder) as tracker:
    tracker.progress(1, 2, 3.0)
    tracker.result()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_online_by_the_users_own_login(home, run_folder, matrix, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO, logger="experiments.tracking")
    with WandbServer() as server:
        (home / ".netrc").write_text(f"machine {server.url.removeprefix('http://')} login user password {KEY}\n")
        (home / ".config" / "wandb").mkdir(parents=True)
        (home / ".config" / "wandb" / "settings").write_text(f"[default]\nbase_url = {server.url}\n")
        before = sorted(home.rglob("*"))
        with start(run_folder) as tracker:
            tracker.progress(1, 1, 0.0)
            tracker.result()
        wandb.teardown()
        assert capfd.readouterr() == ("", "")
        assert sorted(home.rglob("*")) == before

    assert said(caplog) == [f"W&B: {server.url}/team/eif/runs/ab12cd"]
    run = server.runs["ab12cd"]
    assert {key: entry["value"] for key, entry in run.config.items() if key != "_wandb"} == {
        **CONFIG,
        "learner": "CNN, SGD",
    }
    named = [run.sent[key] for key in ("displayName", "groupName", "jobType", "tags")]
    assert named == ["digits/ab12cd", "digits", "influence", TAGS]
    assert [row.get("progress/done") for row in run.history] == [1, None]
    assert desiderata(run.summary) == SUMMARY
    assert run.exit_code == 0
    assert (run_folder / "figures" / "heatmap.png").read_bytes() in server.uploads.values()

    assert server.inputs("ab12cd") == ["data-digits", "model-cnn", "influence-matrix-ab12cd"]
    assert server.unknown == []
    for name, path in server.logged("ab12cd")["influence-matrix"].files.items():
        target = tmp_path / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(server.uploads[path])
    assert_same_matrix(tmp_path / "copy", matrix)


def test_unreachable_server_falls_back_to_offline(home, run_folder, caplog):
    with WandbServer() as server:
        pass  # its port is free again, and refuses connections
    os.environ |= {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url, "WANDB_INIT_TIMEOUT": "1"}
    with start(run_folder) as tracker:
        tracker.result()
    (warning,) = said(caplog)
    assert warning.startswith("W&B could not start a run online (")
    assert warning.endswith(f"){GOES_ON}")
    run = read_summary(run_folder)
    assert desiderata(run["summary"]) == SUMMARY
    assert run["exit_code"] == 0


def test_trouble_in_finishing_does_not_hide_why_the_run_failed(home, run_folder, caplog):
    with ExitStack() as up:
        server = up.enter_context(WandbServer())
        os.environ |= {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url, "WANDB_FINISH_TIMEOUT": "1"}
        with pytest.raises(RuntimeError, match="step diverged"), start(run_folder), up:
            raise RuntimeError("step diverged")
    assert said(caplog) == [f"W&B could not finish the run (Timed out finishing run.){GOES_ON}"]
    assert read_summary(run_folder, "run-*")["exit_code"] == 1


@pytest.mark.slow
def test_server_lost_before_the_result(home, run_folder, caplog):
    with ExitStack() as up:
        server = up.enter_context(WandbServer())
        os.environ |= {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url, "WANDB_FINISH_TIMEOUT": "1"}
        with start(run_folder) as tracker:
            up.close()
            tracker.result()
    assert [line.split(" (")[0] for line in said(caplog)] == [
        "W&B could not log the result",
        "W&B could not finish the run",
    ]
    assert desiderata(read_summary(run_folder, "run-*")["summary"]) == SUMMARY


def test_online_without_a_key_says_so(home, run_folder, caplog):
    with start(run_folder, Mode.online):
        pass
    assert said(caplog) == ["W&B: expected a key, got none; going on offline, run `wandb login` or set WANDB_API_KEY"]
    assert read_summary(run_folder)["exit_code"] == 0


@pytest.mark.parametrize("mode", list(Mode))
def test_hydra_finds_each_mode_by_its_name(mode):
    config = OmegaConf.merge(OmegaConf.structured(TrackingConfig), {"mode": mode.value})
    assert OmegaConf.to_object(config) == TrackingConfig(mode=mode)
