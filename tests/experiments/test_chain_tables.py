"""The README's table of crossed chains holds the scores of the runs, each in its row."""

from pathlib import Path
from typing import Any

import pytest

from experiments.chain_tables import chains
from experiments.tables import interval
from influence.desiderata import score
from influence.matrix import InfluenceMatrix
from tests.experiments.fabricated import GEMMA, save_run
from tests.experiments.test_chain_figures import measured

SGD = {"name": "finetune", "optimizer": "sgd", "num_steps": 8}


def save(folder: Path, matrix: InfluenceMatrix, estimator: dict[str, Any], *, worlds: int) -> None:
    data = {"domain": "causal", "worlds": worlds, "length": 2}
    save_run(folder, matrix, data=data, model=GEMMA, estimator=estimator, readout={"name": "span_log_prob"})


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_run_is_a_row_with_its_own_scores(tmp_path: Path) -> None:
    few, many = measured(0, count=2, broken=False), measured(1, count=4)
    save(tmp_path / "transitive_causality" / "few", few, {**SGD, "statements": "joined", "num_steps": 1}, worlds=2)
    save(tmp_path / "transitive_causality" / "many", many, {**SGD, "statements": "together"}, worlds=4)
    _, _, first, second = chains(tmp_path).splitlines()
    assert cells(first)[:4] == ["causal", "SGD, 8 steps", "2", "4"]
    assert cells(second)[:4] == ["causal", "SGD, statements joined, 1 step", "2", "2"]
    table = score(many, ["transitivity", "transitivity_margin", "link_strength", "transitivity_broken"])
    rows = {name: part.sort_values("value").iloc[0] for name, part in table.groupby("score")}
    shown = ("transitivity", "transitivity_margin", "link_strength", "transitivity_broken")
    assert cells(first)[4:] == [interval(rows[name]) for name in shown]
    assert rows["link_strength"]["value"] == pytest.approx(table[table["score"] == "link_strength"]["value"].min())
    assert cells(second)[-1] == ""  # no broken chains were measured
