"""Workspace and report of a project, saved by the real SDK to a server on the loopback interface."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from experiments import dashboard, mirror
from experiments.panels import FIGURES, PLATEAUS, primary_keys
from experiments.score import save_scores
from experiments.tracked_result import RUNNING, quantities
from influence.desiderata.registry import SCORES
from influence.desiderata.scoring import score
from influence.files import read_json, write_json
from influence.matrix import InfluenceMatrix
from tests.experiments.fabricated import image_run
from tests.experiments.wandb_server import WandbServer

CONF = Path(__file__).parents[2] / "conf"
PICTURE = Path(__file__).parents[2] / "outputs" / "published" / "figures" / "fig5b.png"
PROJECT = ("--project", "eif")
SELECTIVITY = ["selectivity", "selectivity_per_headroom"]


@pytest.fixture
def server(home: Path) -> Iterator[WandbServer]:
    """One that is logged in to, with little patience for it."""
    with WandbServer() as server:
        os.environ |= server.environment | {"WANDB__GRAPHQL_RETRY_MAX": "1", "WANDB_FINISH_TIMEOUT": "1"}
        yield server
        wandb.teardown()


def copied(outputs: Path, seed: int, scores: list[str]) -> Path:
    """A finished run in the project."""
    folder = image_run(outputs / "digits" / f"run{seed}", seed=seed)
    save_scores(folder, score([InfluenceMatrix.load(folder)], scores, seed=0))
    (folder / "figures").mkdir()
    (folder / "figures" / "matrix.png").write_bytes(PICTURE.read_bytes())
    write_json(folder / "run.json", {"status": "done"})
    mirror.main([str(folder), *PROJECT])
    return folder


def build(outputs: Path) -> None:
    dashboard.main([*PROJECT, "--outputs", str(outputs)])


def specs(server: WandbServer) -> dict[str, str]:
    """What was saved last, by kind of view."""
    return {view["type"]: view["spec"] for view in server.views.values()}


def keys(spec: str) -> set[str]:
    """Keys of summary, history and media that panels show."""
    found = set(re.findall(r'"summary(?::|_metrics\.)([^"]+)"', spec))
    for names in re.findall(r'"(?:mediaKeys|metrics)":(\[[^]]*\])', spec):
        found |= {name for name in json.loads(names) if not name.startswith("summary_metrics.")}
    return found


def test_a_second_call_brings_the_same_views_up_to_date(server, tmp_path, capsys):
    outputs = tmp_path / "outputs"
    copied(outputs, 0, ["noise_discount"])
    build(outputs)
    first = specs(server)
    assert "desiderata/noise_discount/sigma=1" in keys(first["project-view"])
    copied(outputs, 1, ["noise_discount", *SELECTIVITY])
    build(outputs)
    assert sorted(view["type"] for view in server.views.values()) == ["project-view", "runs"]
    for kind, spec in specs(server).items():
        assert keys(spec) - keys(first[kind]) == {f"desiderata/{name}/sigma=1" for name in SELECTIVITY}
    told = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("workspace", "report"))]
    assert told[:2] == told[2:]
    (kept,) = read_json(outputs / "wandb" / "dashboards.json").values()
    assert [[kind, url] for kind, url in kept.items()] == told[:2]


def test_a_view_that_was_deleted_is_made_anew(server, tmp_path, capsys):
    outputs = tmp_path / "outputs"
    copied(outputs, 0, ["noise_discount"])
    build(outputs)
    server.views.clear()
    build(outputs)
    assert sorted(view["type"] for view in server.views.values()) == ["project-view", "runs"]
    assert capsys.readouterr().out.count("is gone") == 2


def test_panels_show_what_runs_log(server, tmp_path):
    """Every key of a panel is one that `experiments.tracked_result` writes."""
    outputs = tmp_path / "outputs"
    folder = copied(outputs, 0, ["noise_discount", "asymmetry_index"])
    build(outputs)
    logged = {*quantities(InfluenceMatrix.load(folder)), *server.runs["run0"].summary}
    logged |= {f"desiderata/{name}" for name in SCORES} | {f"running/{name}" for name in RUNNING}
    logged |= {"progress/done", "progress/seconds_left"}
    assert "figures/matrix" in logged
    for spec in specs(server).values():
        assert keys(spec) <= logged
        assert {"matrix/median_self_gain", "matrix/lr", "matrix/failures", "figures/matrix"} <= keys(spec)
    groups = {path.stem for kind in ("experiment", "sweep") for path in (CONF / kind).glob("*.yaml")}
    assert {*FIGURES.values(), *PLATEAUS} <= groups


def test_primary_scores_stand_in_the_order_of_a_card():
    found = ["desiderata/negation_leak/learned=negation", "desiderata/semantic_slope", "desiderata/semantic_slope/low"]
    assert primary_keys([*found, "desiderata/gini", "matrix/lr", "_step", "desiderata/x/p"]) == [found[1], found[0]]


def test_a_project_without_results_is_named(server, tmp_path):
    sentence = (
        r"dashboard: expected finished runs in the project 'eif', got none with scores; copy some there: .*mirror"
    )
    with pytest.raises(SystemExit, match=sentence):
        build(tmp_path / "outputs")
    assert server.views == {}


def test_without_a_key_nothing_is_built(home, tmp_path):
    with pytest.raises(SystemExit, match="dashboard: expected a key of W&B, got none"):
        build(tmp_path / "outputs")


def test_a_server_that_refuses_a_view_is_told(server, tmp_path, monkeypatch):
    outputs = tmp_path / "outputs"
    copied(outputs, 0, ["noise_discount"])
    monkeypatch.setattr(server, "_of_views", lambda operation, sent: None)
    with pytest.raises(SystemExit, match=r"dashboard: expected W&B to take the dashboards of team/eif, got: .*again"):
        build(outputs)
    assert not (outputs / "wandb" / "dashboards.json").exists()
