"""A search by Optuna: its objective is a stored score, and made again it looks its trials up."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.run_folder import RunFolder, find_runs
from influence.files import read_json
from tests.experiments.commands import QUIET, start, written

SEARCH = ("experiment=smoke", "sweep=most_selective", "data.probes.per_class=2", *QUIET)
FEW = ("trainer.epochs=0", "hydra.sweeper.n_trials=3", "objective.condition='sigma=0.5'")


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("hydra_plugins.hydra_optuna_sweeper") is None,
    reason="expected Optuna's sweeper, got none; install it with `make engines`",
)
def test_a_search_finds_the_best_of_its_trials_and_is_resumed_by_being_made_again(tmp_path: Path) -> None:
    process = start(*SEARCH, *FEW, f"outputs={tmp_path}")
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    runs = find_runs([tmp_path / "most_selective"])
    assert len(runs) == 3
    found = {}
    for run in runs:
        (value,) = (
            row["value"]
            for row in read_json(run / "scores.json")
            if (row["score"], row["condition"]) == ("selectivity", "sigma=0.5")
        )
        found[RunFolder(run).config.estimator.self_gain] = value
    best = OmegaConf.load(tmp_path / "most_selective" / "optimization_results.yaml")
    assert best.best_value == max(found.values())
    assert found[best.best_params["estimator.self_gain"]] == best.best_value

    before = written(tmp_path / "most_selective" / runs[0].name)
    again = start(*SEARCH, *FEW, f"outputs={tmp_path}")
    printed = again.communicate()[0]
    assert again.returncode == 0, printed
    assert printed.count("Already measured: ") == 3
    assert written(tmp_path / "most_selective" / runs[0].name) == before
