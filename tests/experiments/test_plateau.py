import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from experiments.plateau import DrawPlateau, main, plateau_table
from influence.matrix import InfluenceMatrix
from influence.plateau import plateau
from tests.influence.desiderata.matrices import matrix_of, samples

RATES = [1e-4, 1e-3, 1e-2]


def run_folder(folder: Path, *, lr: float, optimizer: str = "sgd", noise: float = 0.0, **changes: Any) -> Path:
    """A finished run with gains in proportion to its learning rate, and noise beside them."""
    random = np.random.default_rng(0)
    gain = random.normal(size=(6, 6)) + noise * np.random.default_rng(int(1 / lr)).normal(size=(6, 6))
    matrix = replace(
        matrix_of(lr * gain, samples(6), self_gain=lr * np.arange(1, 7)),
        estimator={"name": "finetune", "optimizer": optimizer, "lr": lr, "self_gain": None},
        provenance={"noise_floor": 1e-7},
    )
    matrix.save(folder)
    config = {
        "name": "lr_plateau",
        "seed": 0,
        "data": {"domain": "digits"},
        "model": {"name": "CNN"},
        "trainer": {"epochs": 1},
        "estimator": {"name": "finetune", "optimizer": optimizer, "lr": lr},
        "readout": {"name": "log_prob"},
        "engine": {"threads": 1},
    }
    OmegaConf.save(OmegaConf.merge(config, changes), folder / "config.yaml")
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two optimisers, three learning rates; Adam's matrices are noise."""
    for optimizer, noise in (("sgd", 0.0), ("adam", 100.0)):
        for lr in RATES:
            run_folder(tmp_path / "sweep" / f"{optimizer}{lr}", lr=lr, optimizer=optimizer, noise=noise)
    return tmp_path / "sweep"


def test_each_optimiser_has_a_plateau_of_its_own(sweep):
    table = plateau_table([sweep])
    assert table.groupby(["model", "optimizer"])["lr"].apply(list).to_dict() == {
        ("CNN", "adam"): RATES,
        ("CNN", "sgd"): RATES,
    }
    sgd, adam = (table[table["optimizer"] == name].reset_index(drop=True) for name in ("sgd", "adam"))
    assert sgd["chosen"].tolist() == [False, True, False]  # all three are alike: the middle one
    assert not adam["chosen"].any()
    assert sgd["median_self_gain"].to_numpy() == pytest.approx(3 * np.array(RATES))  # the lower of 3 and 4
    alone = plateau([InfluenceMatrix.load(sweep / f"sgd{lr}") for lr in reversed(RATES)])
    pd.testing.assert_frame_equal(sgd.drop(columns=["model", "optimizer"]), alone)


def test_the_command_prints_and_draws_what_it_found(sweep, capsys):
    main([str(sweep)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:3] == ["model", "optimizer", "lr"]
    assert len([line for line in printed if " CNN " in f" {line} "]) == 6
    written = [Path(line) for line in printed[7:]]
    assert written
    assert {path.parent for path in written} == {sweep / "figures"}
    assert {path.stem for path in written} == {"lr_plateau"}
    assert all(path.stat().st_size > 0 for path in written)


def test_the_end_of_a_sweep_draws_it(sweep, capsys):
    DrawPlateau().on_multirun_end(OmegaConf.create({"outputs": str(sweep.parent), "name": sweep.name}))
    assert str(sweep / "figures") in capsys.readouterr().out


def failure(folder: Path) -> str:
    with pytest.raises(SystemExit) as caught:
        main([str(folder)])
    return str(caught.value.code)


def test_no_runs_are_named(tmp_path):
    assert failure(tmp_path) == (
        f"plateau: expected run folders in {tmp_path}, got none; give outputs/<name> or a folder in it"
    )


def test_a_single_learning_rate_is_no_sweep(tmp_path):
    run_folder(tmp_path / "run", lr=0.1)
    assert failure(tmp_path) == (
        "plateau: expected matrices at two or more different learning rates, got [0.1]; widen the sweep"
    )


def test_an_unfinished_run_is_named(sweep):
    unfinished = sweep / "sgd0.001"
    header = json.loads((unfinished / "matrix.json").read_text())
    next((unfinished / "blocks").iterdir()).unlink()
    assert failure(sweep) == (
        f"plateau: expected {len(header['blocks'])} blocks in {unfinished}, got 0; "
        "run the same command again to measure the rest, or load with partial=True"
    )


def test_runs_that_differ_in_more_are_not_mixed(sweep):
    for lr in RATES:
        run_folder(sweep / f"seed1-{lr}", lr=lr, seed=1)
    assert failure(sweep) == (
        "plateau: expected runs of CNN, sgd that differ in their learning rate alone, got some that differ in more, "
        "e.g. their seed; keep such runs in folders of their own"
    )


def test_what_does_not_decide_the_numbers_may_differ(sweep):
    run_folder(sweep / "sgd0.1", lr=0.1, engine={"threads": 2}, name="other")
    assert plateau_table([sweep])["lr"].tolist().count(0.1) == 1
    assert len(plateau_table([sweep])) == 7
