"""The command that scores saved runs again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.score import main, save_scores
from influence.desiderata import SCORES, score
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import pack
from tests.experiments.fabricated import image_run
from tests.influence.desiderata.matrices import images, matrix_of

OWN = """
import influence

influence.register(
    influence.Score(
        name="{name}",
        desideratum="beauty",
        better="higher",
        measure=lambda matrix: matrix.gain.mean(),
        criterion=influence.Criterion(threshold=0.0),
    )
)
"""


def test_scores_are_written_beside_the_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = image_run(tmp_path / "small" / "abc")
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
    assert f"{folder}, SGD, lr 0.1, 6 sources\nscore " in printed
    assert "invariance[sigma=1]" in printed
    assert printed.index("invariance[sigma=1]") < printed.index("Desiderata card of CNN")


def test_scoring_again_replaces_the_scores(tmp_path: Path) -> None:
    folder = image_run(tmp_path / "run")
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


def test_runs_that_differ_in_their_seeds_are_scored_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [image_run(tmp_path / "small" / f"seed{seed}", seed=seed) for seed in range(3)]
    main([str(tmp_path / "small"), "--scores", "asymmetry_index", "--out", str(tmp_path / "out")])
    together = pd.read_parquet(tmp_path / "out" / "small" / "sgd_lr_0_1" / "scores.parquet")
    assert (together["n"].iloc[0], together["unit_of_n"].iloc[0]) == (3, "seeds")
    alone = [score(InfluenceMatrix.load(run), ["asymmetry_index"])["value"].iloc[0] for run in runs]
    assert min(alone) < together["value"].iloc[0] < max(alone)
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'small'}, SGD, lr 0.1, 3 seeds\nscore " in printed
    assert "card" not in printed  # the asymmetry index is judged nowhere


def test_a_frozen_run_is_scored_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured, frozen = image_run(tmp_path / "small" / "abc"), tmp_path / "published" / "abc"
    frozen.mkdir(parents=True)
    pack(measured, frozen)
    for path in (measured / "config.yaml", measured / "matrix.json"):
        shutil.copy(path, frozen)
    save_scores(frozen, pd.DataFrame({"score": ["noise_discount"], "value": [0.1]}))
    before = {path: path.read_bytes() for path in frozen.iterdir()}
    main([str(frozen), "--scores", "noise_discount"])
    assert "noise_discount[sigma=1]" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in frozen.iterdir()} == before


def test_of_several_experiments_the_cards_alone_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(8):
        image_run(tmp_path / "first" / str(seed), seed=seed, noisy=0.5)
    image_run(tmp_path / "second" / "a", model={"name": "Net", "channels": [8]})
    (tmp_path / "figures").mkdir()
    (tmp_path / "calibration.csv").touch()
    folders = [str(path) for path in sorted(tmp_path.iterdir())]  # as the shell writes for *
    main([*folders, "--scores", "noise_discount", "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"{tmp_path / 'first'}, SGD, lr 0.1, 8 seeds",
        f"{tmp_path / 'second' / 'a'}, SGD, lr 0.1, 6 sources",
        "",
        "Desiderata card of CNN",
    ]
    assert lines[5].split() == ["noise", "(digits)", "satisfied", "✓"]
    assert "Desiderata card of Net" in lines
    pictures = [tmp_path / "out" / f"card_{name}.png" for name in ("cnn", "net")]
    assert all(path.exists() and str(path) in lines for path in pictures)
    assert (tmp_path / "second" / "a" / "scores.parquet").exists()


@pytest.fixture
def _own_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "my_scores.py").write_text(OWN.format(name="my_score"))
    (package / "taken_scores.py").write_text(OWN.format(name="reciprocity"))
    monkeypatch.syspath_prepend(package)
    before = dict(SCORES)
    yield
    SCORES.clear()
    SCORES.update(before)


@pytest.mark.usefixtures("_own_score")
def test_a_score_of_ones_own_is_on_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(8):
        image_run(tmp_path / "runs" / str(seed), seed=seed)
    main([str(tmp_path / "runs"), "--import", "my_scores"])
    lines = capsys.readouterr().out.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.split() == ["beauty", "(digits)", "satisfied", "✓"])
    assert lines[place + 1].split()[:3] == ["my_score", ">", "0"]
    with pytest.raises(SystemExit, match="score: expected a name that no score has, got 'reciprocity'"):
        main([str(tmp_path / "runs"), "--import", "taken_scores"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "expected run folders in .*missing, got none"),
        (["missing", "run"], "expected run folders in .*missing, got none"),
        (["empty"], "expected run folders in .*empty, got none"),
        (["run", "--scores", "beauty"], "expected scores among .*, got 'beauty'"),
        (
            ["run", "--import", "no.such"],
            "expected a module for --import, got 'no.such': No module named 'no'",
        ),
    ],
)
def test_wrong_use_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    image_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=f"score: {message}"):
        main(arguments)


def test_an_unfinished_run_is_not_scored(tmp_path: Path) -> None:
    folder = image_run(tmp_path / "run")
    (folder / "blocks" / "world-0.npz").unlink()
    with pytest.raises(SystemExit, match=r"expected 1 blocks in .*run, got 0"):
        main([str(folder)])
    assert not (folder / "scores.json").exists()


def test_a_matrix_without_a_configuration_is_scored_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = matrix_of(np.random.default_rng(0).normal(size=(4, 4)), images([0, 1, 0, 1])).save(tmp_path / "mine")
    main([str(folder)])
    assert capsys.readouterr().out.startswith(f"{folder}, 4 sources\nscore ")


def test_scores_of_nothing_are_null(tmp_path: Path) -> None:
    save_scores(tmp_path, score(matrix_of(np.full((2, 2), np.nan), images([0, 1]), self_gain=np.nan)))
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert {row["value"] for row in rows} == {None}
    assert rows[0]["better"] is None
