"""The dashboard saved to a server on the loopback interface by wandb-workspaces, and what it says there."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import wandb
import wandb_workspaces.workspaces as ws

from experiments import dashboard, mirror, panels, tracking
from influence.files import read_json
from tests.experiments.fabricated import PICTURE, finished
from tests.experiments.wandb_server import WandbServer


@pytest.fixture
def outputs(server: WandbServer, tmp_path: Path) -> Path:
    """Outputs of which a run has been mirrored, with a figure."""
    outputs = tmp_path / "outputs"
    mirror.main([str(finished(outputs / "digits" / "run0", 0)), "--project", "eif"])
    (outputs / "pictures").mkdir()
    (outputs / "pictures" / "fig1d.png").write_bytes(PICTURE.read_bytes())
    return outputs


def build(outputs: Path, project: str = "eif") -> None:
    options = {"entity": "team", "project": project, "outputs": outputs, "figures": outputs / "pictures"}
    dashboard.main([text for name, value in options.items() for text in (f"--{name}", str(value))])


def views(server: WandbServer) -> dict[str, dict[str, Any]]:
    return {view["type"]: json.loads(view["spec"]) for view in server.views.values()}


def test_the_same_command_updates_one_workspace_and_one_report(server, outputs, capsys):
    build(outputs)
    urls = capsys.readouterr().out.split()
    assert [len(server.views), server.saved] == [2, 2]
    wandb.teardown()
    build(outputs)
    assert capsys.readouterr().out.split() == urls
    assert [len(server.views), server.saved] == [2, 4]
    assert read_json(outputs / "wandb" / "dashboards.json") == {
        f"{server.url}/team/eif": {"workspace": urls[0], "report": urls[1]}
    }
    assert len(server.runs["paper-figures"].history) == 1
    assert PICTURE.read_bytes() in server.uploads.values()
    assert server.unknown == []


def test_the_workspace_has_its_sections_and_keeps_those_of_the_team(server, outputs, capsys):
    build(outputs)
    workspace = ws.Workspace.from_url(capsys.readouterr().out.split()[0])
    ours = [section.name for section in workspace.sections]
    assert ours == [
        "Desiderata",
        "Score against self-gain",
        "Step size",
        "Symmetry",
        "Matrices",
        "Running and failed",
    ]
    workspace.sections = [*workspace.sections[1:], ws.Section(name="Ada's")]
    workspace.save()
    build(outputs)
    workspace = ws.Workspace.from_url(capsys.readouterr().out.split()[-2])
    assert [section.name for section in workspace.sections] == [*ours, "Ada's"]
    assert len(server.views) == 2


def test_one_that_somebody_has_deleted_is_built_anew(server, outputs):
    build(outputs)
    server.views.clear()
    build(outputs)
    assert sorted(view["type"] for view in server.views.values()) == ["project-view", "runs"]


def test_the_report_shows_the_figures_of_their_run_and_the_desiderata_of_the_others(server, outputs):
    build(outputs)
    grids = [block["metadata"] for block in views(server)["runs"]["blocks"] if block["type"] == "panel-grid"]
    shown = [
        (
            json.dumps(grid["runSets"][0]["filters"]).count(job_type),
            [panel["viewType"] for panel in grid["panelBankSectionConfig"]["panels"]],
        )
        for grid, job_type in zip(grids, ["paper-figures", "influence"], strict=True)
    ]
    assert shown == [(1, ["Media Browser"]), (1, ["Bar Chart"] * len(panels.DESIDERATA))]
    (keys,) = [panel["config"]["mediaKeys"] for panel in grids[0]["panelBankSectionConfig"]["panels"]]
    assert set(keys) <= server.runs["paper-figures"].history[0].keys()


def test_a_project_that_is_not_there_is_one_sentence(server, outputs):
    with pytest.raises(SystemExit) as ended:
        build(outputs, "other")
    assert ended.value.code == (
        "dashboard: expected the project team/other at W&B, got eif; "
        "mirror runs into it first: `python -m experiments.mirror outputs/<name> --project other`"
    )
    assert server.views == {}


def test_no_key_is_one_sentence(home, tmp_path):
    with pytest.raises(SystemExit, match=r"^dashboard: expected a key of W&B, got none; "):
        build(tmp_path)


def test_a_server_that_is_down_is_one_sentence(home, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    with WandbServer() as server:
        pass  # its port is free again, and refuses connections
    os.environ |= server.environment
    with pytest.raises(
        SystemExit, match=r"^dashboard: expected W&B to answer, got: [^\n]*; nothing is lost: give [^\n]*$"
    ):
        build(tmp_path)
    assert capfd.readouterr() == ("", "")
