"""Finished runs to a server on the loopback interface and back, by the real SDK."""

import filecmp
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wandb

from experiments import figures, mirror, tracking
from experiments.score import save_scores
from experiments.tracked_result import result_digest
from experiments.tracking import Mode, TrackingConfig, track
from influence.desiderata.scoring import score
from influence.files import write_json
from influence.matrix import InfluenceMatrix
from tests.experiments.fabricated import finished
from tests.experiments.wandb_reader import read_summary
from tests.experiments.wandb_server import WandbServer

PROJECT = ("--project", "eif")


def several(outputs: Path, count: int) -> list[Path]:
    return [finished(outputs / "digits" / f"run{seed}", seed) for seed in range(count)]


def assert_holds(server: WandbServer, folder: Path) -> None:
    """The server has this result, whole and once."""
    run = server.runs[folder.name]
    assert run.summary["result/sha256"] == result_digest(folder)
    assert f"run{run.config['seed']['value']}" == folder.name
    scores = pd.read_parquet(folder / "scores.parquet").set_index("score")["value"]
    assert run.summary["desiderata/asymmetry_index"] == pytest.approx(scores["asymmetry_index"])
    assert sum("tables/scores" in row for row in run.history) == 1
    assert run.exit_code == 0
    assert server.inputs(folder.name) == ["data-digits", "model-cnn", f"influence-matrix-{folder.name}"]
    kinds = [artifact.type for artifact in server.artifacts.values() if artifact.run == folder.name]
    assert sorted(kinds) == ["influence-matrix", "run_table", "scores"]


@pytest.mark.slow
def test_twenty_runs_are_twenty_once_and_one_more_seed_adds_one(server, tmp_path, capsys):
    outputs = tmp_path / "outputs"
    runs = several(outputs, 20)
    mirror.main([str(outputs), *PROJECT])
    assert sorted(server.runs) == sorted(folder.name for folder in runs)
    for folder in runs:
        assert_holds(server, folder)
    changes = server.changes
    mirror.main([str(outputs), *PROJECT])
    assert server.changes == changes
    runs.append(finished(outputs / "digits" / "run20", 20))
    mirror.main([str(outputs), *PROJECT])
    assert sorted(server.runs) == sorted(folder.name for folder in runs)
    for folder in runs:
        assert_holds(server, folder)
    told = [line for line in capsys.readouterr().out.splitlines() if "copied" in line]
    assert told == [
        "20 runs copied, 0 were there already",
        "0 runs copied, 20 were there already",
        "1 runs copied, 20 were there already",
    ]
    assert server.unknown == []


def test_scores_made_again_are_copied_to_the_same_run(server, tmp_path):
    (folder,) = several(tmp_path / "outputs", 1)
    mirror.main([str(folder), *PROJECT])
    save_scores(folder, score([InfluenceMatrix.load(folder)], ["asymmetry_index"], seed=0))
    mirror.main([str(folder), *PROJECT])
    (run,) = server.runs.values()
    assert run.summary["result/sha256"] == result_digest(folder)
    versions = [(one.type, one.version) for one in server.artifacts.values() if one.type != "run_table"]
    assert sorted(versions) == [("data", 0), ("influence-matrix", 0), ("model", 0), ("scores", 0), ("scores", 1)]


def test_scores_lead_back_to_the_matrix_the_model_and_the_data(server, tmp_path):
    (folder,) = several(tmp_path / "outputs", 1)
    mirror.main([str(folder), *PROJECT])
    scores = wandb.Api().artifact("team/eif/scores-run0:latest")
    made_by = scores.logged_by()
    assert made_by.id == "run0"
    inputs = {artifact.type: artifact for artifact in made_by.used_artifacts()}
    assert inputs.keys() == {"data", "model", "influence-matrix"}
    assert inputs["influence-matrix"].logged_by().id == "run0"
    assert inputs["influence-matrix"].metadata["shape"] == [12, 12]
    assert inputs["data"].metadata["data"]["base"] == "digits_rotated"
    assert inputs["model"].metadata["model"]["channels"] == [4, 8]


def test_what_is_downloaded_is_read_and_drawn_like_the_original(server, tmp_path, capsys):
    runs = several(tmp_path / "outputs", 2)
    mirror.main([str(tmp_path / "outputs"), *PROJECT])
    back = tmp_path / "back"
    mirror.main(["--download", str(back), *PROJECT])
    mirror.main(["--download", str(back), *PROJECT])
    told = [line for line in capsys.readouterr().out.splitlines() if "fetched" in line]
    assert told == ["2 runs fetched, 0 were here already", "0 runs fetched, 2 were here already"]
    for folder in runs:
        copy = back / "digits" / folder.name
        np.testing.assert_array_equal(InfluenceMatrix.load(copy).gain, InfluenceMatrix.load(folder).gain)
        pd.testing.assert_frame_equal(
            pd.read_parquet(copy / "scores.parquet"), pd.read_parquet(folder / "scores.parquet")
        )
    changes = server.changes
    mirror.main([str(back), *PROJECT])  # the same results
    assert server.changes == changes
    figures.main([str(runs[0]), str(back / "digits" / "run0")])
    for name in ("matrix.pdf", "matrix.png", "matrix.npz"):
        assert filecmp.cmp(runs[0] / "figures" / name, back / "digits" / "run0" / "figures" / name, shallow=False)


def test_a_run_that_has_not_finished_waits(server, tmp_path, capsys):
    done, running = several(tmp_path / "outputs", 2)
    write_json(running / "run.json", {"status": "running"})
    mirror.main([str(tmp_path / "outputs"), *PROJECT])
    assert list(server.runs) == [done.name]
    assert "1 runs have not finished and wait" in capsys.readouterr().out


def test_no_key_is_one_sentence(home, tmp_path):
    several(tmp_path / "outputs", 1)
    with pytest.raises(SystemExit) as ended:
        mirror.main([str(tmp_path / "outputs"), *PROJECT])
    assert ended.value.code == (
        "mirror: expected a key of W&B, got none; nothing is lost: run `wandb login` or set WANDB_API_KEY, "
        "then give the same command again"
    )


def test_a_server_that_is_down_is_one_sentence(home, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    several(tmp_path / "outputs", 1)
    with WandbServer() as server:
        pass  # its port is free again, and refuses connections
    os.environ |= server.environment
    with pytest.raises(
        SystemExit, match=r"^mirror: expected W&B to answer, got: .*; nothing is lost: give the same command"
    ):
        mirror.main([str(tmp_path / "outputs"), *PROJECT])
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("lost_at", ["CreateArtifactManifest", "UseArtifact"])
def test_a_lost_connection_is_one_sentence_and_the_same_command_resumes(server, tmp_path, capfd, lost_at):
    first, *rest = several(tmp_path / "outputs", 3)
    mirror.main([str(first), *PROJECT])
    capfd.readouterr()
    server.lost_at = lost_at
    with pytest.raises(SystemExit) as ended:
        mirror.main([str(tmp_path / "outputs"), *PROJECT])
    sentence = rf"mirror: expected W&B to take {rest[0]}, got: [^\n]*; nothing is lost, 2 runs wait in their folders: "
    assert re.fullmatch(sentence + "give the same command again", ended.value.code)
    assert capfd.readouterr() == ("", "")
    assert "result/sha256" not in server.runs["run1"].summary

    server.lost_at, server.lost = "", False
    mirror.main([str(tmp_path / "outputs"), *PROJECT])
    assert sorted(server.runs) == ["run0", "run1", "run2"]
    for folder in (first, *rest):
        run = server.runs[folder.name]
        assert run.summary["result/sha256"] == result_digest(folder)
        assert run.exit_code == 0
        assert server.inputs(folder.name) == ["data-digits", "model-cnn", f"influence-matrix-{folder.name}"]
    assert "2 runs copied, 1 were there already" in capfd.readouterr().out


def test_what_was_tracked_offline_gets_there_by_mirroring(server, tmp_path):
    (folder,) = several(tmp_path / "outputs", 1)
    with track(TrackingConfig(mode=Mode.offline, project="eif"), folder) as tracker:
        tracker.result()
    assert server.runs == {}
    mirror.main([str(folder), *PROJECT])
    assert_holds(server, folder)
    offline, there = read_summary(folder)["summary"], server.runs["run0"].summary
    numbers = {key for key in offline if key.startswith(("desiderata/", "matrix/", "result/"))}
    assert len(numbers) > 5
    assert {key: offline[key] for key in numbers} == {key: there[key] for key in numbers}
