import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from experiments.score import main, same_but_seeds, save_scores, table
from influence.desiderata import score
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of


def run_folder(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A finished run as `experiments.run` leaves it; its images and base training follow the seed."""
    rng = np.random.default_rng(seed)
    matrix_of(rng.normal(1, 0.2, size=(12, 12)), images(np.arange(6) % 2, sigmas=[0.0, 1.0])).save(folder)
    config = {
        "name": "small",
        "seed": seed,
        "data": {"domain": "digits", "probes": {"per_class": 3, "seed": seed}},
        "model": {"channels": [4, 8]},
        "trainer": {"epochs": 1, "seed": seed},
        "estimator": {"name": "finetune", "lr": 0.1},
        "readout": {"name": "log_prob"},
        "engine": {"threads": 1},
    }
    OmegaConf.save(OmegaConf.merge(config, changes), folder / "config.yaml")
    return folder


def test_scores_are_written_beside_the_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "small" / "abc")
    main([str(folder), "--scores", "noise_discount", "invariance", "--seed", "5"])
    expected = score(InfluenceMatrix.load(folder), ["noise_discount", "invariance"], seed=5)
    written = pd.read_parquet(folder / "scores.parquet")
    pd.testing.assert_frame_equal(written, expected)
    rows = json.loads((folder / "scores.json").read_text())
    assert [row["score"] for row in rows] == ["noise_discount", "invariance"]
    assert rows[0]["value"] == expected["value"].iloc[0]
    assert rows[0]["n"] == 6
    assert rows[1]["value"] is None
    assert rows[1]["note"].startswith("undefined: expected one copy")
    printed = capsys.readouterr().out
    assert str(folder) in printed
    assert "noise_discount[sigma=1]" in printed


def test_scoring_again_replaces_the_scores(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    main([str(folder), "--scores", "asymmetry_index"])
    main([str(folder), "--scores", "reciprocity"])
    assert pd.read_parquet(folder / "scores.parquet")["score"].tolist() == ["reciprocity"]
    assert {path.name for path in folder.iterdir()} == {
        "blocks",
        "config.yaml",
        "matrix.json",
        "probes.parquet",
        "scores.json",
        "scores.parquet",
    }


def test_runs_that_differ_in_their_seeds_are_also_scored_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        run_folder(tmp_path / "small" / f"seed{seed}", seed=seed)
    main([str(tmp_path / "small"), "--scores", "asymmetry_index", "--out", str(tmp_path / "together")])
    alone = [pd.read_parquet(tmp_path / "small" / f"seed{seed}" / "scores.parquet") for seed in range(3)]
    together = pd.read_parquet(tmp_path / "together" / "scores.parquet")
    assert [frame["unit_of_n"].iloc[0] for frame in alone] == ["sources"] * 3
    assert (together["n"].iloc[0], together["unit_of_n"].iloc[0]) == (3, "seeds")
    values = [frame["value"].iloc[0] for frame in alone]
    assert min(values) < together["value"].iloc[0] < max(values)
    assert "3 seeds: " in capsys.readouterr().out


def test_other_settings_make_another_experiment(tmp_path: Path) -> None:
    first = run_folder(tmp_path / "a", seed=0)
    second = run_folder(tmp_path / "b", seed=1, engine={"threads": 2}, name="renamed")
    third = run_folder(tmp_path / "c", seed=2, estimator={"lr": 0.2})
    bare = run_folder(tmp_path / "d", seed=3)
    (bare / "config.yaml").unlink()
    assert same_but_seeds([first, second, third, bare]) == [[first, second]]
    assert same_but_seeds([first, third]) == []


def test_the_table_is_aligned(tmp_path: Path) -> None:
    frame = score(
        matrix_of(np.random.default_rng(0).normal(size=(5, 5)), images(range(5))),
        ["asymmetry_index", "class_pair_rank"],
    )
    lines = table(frame).splitlines()
    assert [line[: lines[0].index("value")].strip() for line in lines] == [
        "score",
        "asymmetry_index",
        "class_pair_rank[learned=2, read=9]",
    ]
    assert {line.index("descriptive") for line in lines[1:]} == {lines[0].index("verdict")}
    assert lines[2][lines[0].index("value") :].startswith("- ")
    assert lines[2].endswith("got no cell")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "expected run folders in .*missing, got none"),
        (["run", "--scores", "beauty"], "expected scores among .*, got 'beauty'"),
        (
            ["run", "--out", "together"],
            "expected runs of one experiment, different in their seeds, for --out, got 0 such",
        ),
    ],
)
def test_wrong_use_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run_folder(tmp_path / "run")
    with pytest.raises(SystemExit, match=f"score: {message}"):
        main(arguments)


def test_an_unfinished_run_is_not_scored(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    (folder / "blocks" / "world-0.npz").unlink()
    with pytest.raises(SystemExit, match=r"expected 1 blocks in .*run, got 0"):
        main([str(folder)])
    assert not (folder / "scores.json").exists()


def test_scores_of_nothing_are_null(tmp_path: Path) -> None:
    save_scores(tmp_path, score(matrix_of(np.full((2, 2), np.nan), images([0, 1]), self_gain=np.nan)))
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert {row["value"] for row in rows} == {None}
    assert rows[0]["better"] is None
