"""The plan of a sweep, how it stands, and the one table of it."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments import collect, status
from experiments.plan import read_plan
from experiments.run_folder import RunFolder
from influence.files import write_json
from influence.matrix_folder import write_header
from tests.experiments.commands import UNTRAINED, composed, main

FEW = (*UNTRAINED, "data.probes.per_class=1", "data.probes.sigmas=[0.0]")

BEGUN = 1_800_000_000
"""When the made-up runs began, seconds of the clock."""


def run_at(folder: Path, *, blocks: int = 0, of: int = 0, every: float = 10.0, **record: Any) -> RunFolder:
    """A run with this record and so many blocks, written one after the other."""
    folder.mkdir(parents=True)
    if record:
        write_json(folder / "run.json", {"started": "2027-01-15T08:00:00+00:00", **record})  # that is BEGUN
    if of:
        write_header(folder, blocks={f"{number:06d}": (number, number + 1) for number in range(of)})
    for number in range(blocks):
        path = folder / "blocks" / f"{number:06d}.npz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (BEGUN, BEGUN + 60 + every * number))
    return RunFolder(folder)


def states(folder: Path) -> dict[str, str]:
    return {run.run: run.state for run in status.sweep_status(folder)}


def test_a_sweep_writes_its_plan_and_later_ones_add_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.pipeline.execute", lambda *_: None)
    monkeypatch.setattr("experiments.pipeline.measure_shard", lambda *_: None)
    monkeypatch.setattr("experiments.summary.show", lambda *_: None)
    name = "name=planned"
    main(monkeypatch, tmp_path, "-m", *FEW, name, "estimator.lr=0.01,0.02")
    with pytest.raises(SystemExit):  # nothing was measured
        main(monkeypatch, tmp_path, "-m", *FEW, name, "estimator.lr=0.02,0.04", "shard.count=2", "shard.index=range(2)")
    plan = read_plan(tmp_path / "planned")
    hashes = [
        Path(composed(*FEW, name, f"estimator.lr={lr}", f"outputs={tmp_path}", hydra=True).hydra.run.dir).name
        for lr in ("0.01", "0.02", "0.04")
    ]
    assert list(plan) == hashes
    for planned, lr in zip(plan.values(), ("0.01", "0.02", "0.04"), strict=True):
        assert f"estimator.lr={lr}" in planned["overrides"]
        assert not [override for override in planned["overrides"] if override.startswith("shard.")]


def test_a_sweep_that_cannot_be_composed_is_refused_by_one_sentence(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, "-m", *FEW, "estimator.typo=1,2")  # a warning would fail the test
    assert capsys.readouterr().err.startswith("Could not override 'estimator.typo'.")
    assert not list(tmp_path.rglob("plan.json"))


def test_a_single_run_has_no_plan(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.pipeline.execute", lambda *_: None)
    monkeypatch.setattr("experiments.summary.show", lambda *_: None)
    main(monkeypatch, tmp_path, *FEW)
    assert not list(tmp_path.rglob("plan.json"))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """One run in each state."""
    plan = {
        name: {"overrides": ["data=digits", f"seed={seed}"]}
        for seed, name in enumerate(["finished", "failing", "killed", "stopped", "waiting"])
    }
    write_json(tmp_path / "plan.json", plan)
    run_at(tmp_path / "finished", blocks=4, of=4, status="done", seconds=100.0)
    run_at(tmp_path / "failing", status="failed", error="ValueError: expected more,\ngot less", seconds=1.0)
    run_at(tmp_path / "killed", blocks=1, of=4, status="running")
    run_at(tmp_path / "stopped", blocks=2, of=4, status="interrupted", error="KeyboardInterrupt: ", seconds=50.0)
    return tmp_path


def test_every_state_is_told_apart(sweep):
    assert states(sweep) == {
        "finished": "done",
        "failing": "failed",
        "killed": "stale",
        "stopped": "interrupted",
        "waiting": "planned",
    }
    run = RunFolder(sweep / "killed")
    with run.alone():
        assert states(sweep)["killed"] == "running"
    assert states(sweep)["killed"] == "stale"


def test_the_table_says_what_differs_and_why(sweep, capsys):
    status.main([str(sweep)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:6]] == [
        ["finished", "done", "4", "of", "4", "seed=0"],
        ["failing", "failed", "seed=1:", "ValueError:", "expected", "more,"],
        ["killed", "stale", "1", "of", "4", "seed=2"],
        ["stopped", "interrupted", "2", "of", "4", "seed=3"],
        ["waiting", "planned", "seed=4"],
    ]
    assert lines[-1] == "1 done, 1 planned, 1 interrupted, 1 stale, 1 failed; about 0:06:40 left."  # four of 100 s


def test_a_program_reads_the_same(sweep, capsys):
    status.main([str(sweep), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["count"] == {"done": 1, "failed": 1, "stale": 1, "interrupted": 1, "planned": 1}
    assert told["seconds_left"] == 400
    assert told["runs"][1] == {
        "run": "failing",
        "state": "failed",
        "overrides": ["data=digits", "seed=1"],
        "blocks_done": 0,
        "blocks": None,
        "seconds": 1.0,
        "seconds_left": None,
        "why": "ValueError: expected more,",
        "shards": {},
    }


def test_a_running_one_goes_on_at_the_pace_of_its_blocks(tmp_path, monkeypatch):
    """Four of ten, one in 10 s; 4 s after the last, 6 x 10 - 4 are left."""
    run = run_at(tmp_path / "busy", blocks=4, of=10, status="running")
    monkeypatch.setattr(status.time, "time", lambda: BEGUN + 60 + 30 + 4)
    with run.alone():
        (found,) = status.sweep_status(tmp_path)
    assert (found.state, found.blocks_done, found.blocks, found.seconds_left) == ("running", 4, 10, 56)


@pytest.mark.parametrize(
    ("shards", "merge", "state"),
    [
        (["done", "done"], None, "stale"),
        (["done", "done"], "done", "done"),
        (["done", "done"], "failed", "failed"),
        (["done", "failed"], None, "failed"),
        (["done", "interrupted"], None, "interrupted"),
        (["failed", "running"], None, "failed"),  # as nobody is at the second
        (["done", None], None, "planned"),
        (["done", "failed"], "done", "done"),
    ],
)
def test_a_run_in_shards_is_what_they_are(tmp_path, shards, merge, state):
    error = {"error": "OSError: no space"}
    run_at(tmp_path / "abc", blocks=2, of=2, **({"status": merge, **error} if merge else {}))
    for index, of_shard in enumerate(shards):
        if of_shard is not None:
            run_at(tmp_path / "abc" / "shards" / f"{index}-of-2", status=of_shard, **error)
    (found,) = status.sweep_status(tmp_path)
    assert found.state == state
    assert found.why == ("OSError: no space" if state == "failed" else "")
    assert list(found.shards) == ["0-of-2", "1-of-2"]


def test_a_run_whose_blocks_are_all_there_is_scoring(tmp_path, capsys):
    run = run_at(tmp_path / "busy", blocks=10, of=10, status="running")
    with run.alone():
        status.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["busy", "running", "10", "of", "10", "scoring"]
    assert lines[-1] == "1 running; time left unknown."


def test_a_long_reason_is_cut_in_the_table_and_whole_for_a_program(tmp_path, capsys):
    error = f"ValueError: expected one of {' '.join(['score'] * 100)}"
    run_at(tmp_path / "abc", status="failed", error=error, seconds=1.0)
    status.main([str(tmp_path)])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.endswith("score ...")
    assert len(line) < 200
    status.main([str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["runs"][0]["why"] == error


@pytest.mark.parametrize("below", [".", "sweep/abc"])  # the folder of all sweeps, and a run
def test_a_folder_that_is_no_sweep_is_named(tmp_path, below):
    run_at(tmp_path / "sweep" / "abc", status="done", blocks=1, of=1)
    run_at(tmp_path / "sweep" / "abc" / "shards" / "0-of-2", status="done")
    folder = tmp_path / below
    with pytest.raises(SystemExit) as caught:
        status.main([str(folder)])
    assert caught.value.code == (
        f"status: expected plan.json or run folders in {folder}, got none; give outputs/<name> of a sweep"
    )


def finished(folder: Path, value: float, *, state: str = "done", **config: Any) -> None:
    run_at(folder, of=1, status=state, seconds=1.0, **({"error": "E: e"} if state == "failed" else {}))
    write_json(folder / "config.yaml", {"seed": 0, "engine": {"threads": len(folder.name)}, **config})  # JSON is YAML
    scores = pd.DataFrame({"score": ["symmetry", "noise"], "condition": ["", "sigma=1"], "value": [value, -value]})
    scores.to_parquet(folder / "scores.parquet")


def test_a_sweep_is_one_table_of_what_differs_and_its_scores(tmp_path, capsys):
    data = {"data": {"sigmas": [0.0], "domain": "digits"}}
    finished(tmp_path / "a", 1.0, estimator={"lr": 0.1, "statements": "joined", "lora": 4}, **data)
    finished(tmp_path / "bb", 2.0, estimator={"lr": None, "statements": "joined", "lora": "all"}, **data)
    finished(tmp_path / "c", 9.0, state="failed", estimator={"lr": 0.3}, **data)
    collect.main([str(tmp_path)])
    path = tmp_path / "results.parquet"
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: 4 rows x 6 columns, of 2 of 3 runs",
        f"The others have not finished: python -m experiments.status {tmp_path}",
    ]
    table = pd.read_parquet(path)
    assert list(table) == ["run", "estimator.lr", "estimator.lora", "score", "condition", "value"]
    assert table["run"].tolist() == ["a", "a", "bb", "bb"]
    assert table["estimator.lora"].tolist() == ["4", "4", "all", "all"]
    assert table["estimator.lr"].iloc[0] == 0.1
    assert table["estimator.lr"].isna().tolist() == [False, False, True, True]
    assert table["value"].tolist() == [1, -1, 2, -2]


def test_sweeps_collected_together_are_told_apart_by_their_name(tmp_path):
    """The same settings under two names have one hash."""
    for number, name in enumerate(("one", "other")):
        finished(tmp_path / name / "abc", float(number), name=name)
    collect.main([str(tmp_path)])
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert table[["run", "name", "value"]].to_numpy().tolist() == [
        ["abc", "one", 0.0],
        ["abc", "one", 0.0],
        ["abc", "other", 1.0],
        ["abc", "other", -1.0],
    ]


def test_a_run_without_scores_is_named(tmp_path):
    finished(tmp_path / "a", 1.0)
    (tmp_path / "a" / "scores.parquet").unlink()
    with pytest.raises(SystemExit, match=f"collect: expected scores in {tmp_path / 'a'}, got none; give it to python"):
        collect.main([str(tmp_path)])


def test_a_sweep_without_a_finished_run_is_refused(tmp_path):
    finished(tmp_path / "a", 1.0, state="failed")
    with pytest.raises(SystemExit) as caught:
        collect.main([str(tmp_path)])
    assert caught.value.code == "collect: expected finished runs, got none of 1; run the sweep to its end"
