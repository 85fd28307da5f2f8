"""A run measured by several processes: the same files, one header, one merge, and nothing torn."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from experiments.run_folder import RunFolder, find_runs
from influence.files import read_json
from influence.matrix import InfluenceMatrix
from tests.experiments.commands import UNTRAINED, composed, execute, main, start, start_until, written

SHARDED = (*UNTRAINED, "data.probes.per_class=1", "data.probes.sigmas=[0.0]", "engine.block_size=2")
"""Ten probes in five blocks."""

BLOCKS = [f"{first:06d}" for first in range(0, 10, 2)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """What one process gives."""
    return execute(tmp_path_factory.mktemp("whole"), *SHARDED)


def sharded(outputs: Path, whole: RunFolder) -> RunFolder:
    return RunFolder(outputs / whole.path.parent.name / whole.path.name)


def assert_same_files(one: RunFolder, other: RunFolder) -> None:
    for name in [*(f"blocks/{block}.npz" for block in BLOCKS), "probes.parquet", "scores.parquet", "samples.npz"]:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name


@pytest.mark.parametrize("count", [2, 5])
def test_give_the_same_bits_and_keep_their_own_logs(tmp_path, monkeypatch, caplog, whole, count):
    with caplog.at_level("INFO"):
        main(monkeypatch, tmp_path, "-m", *SHARDED, f"shard.count={count}", f"shard.index=range({count})")
    run = sharded(tmp_path, whole)
    assert run.is_done
    assert_same_files(run, whole)
    assert sum("blocks of other shards are missing" in message for message in caplog.messages) == count - 1
    assert {path.name for path in run.path.glob("shards/*")} == {f"{index}-of-{count}" for index in range(count)}
    for index in range(count):
        assert run.shard(index, count).is_done
        assert run.shard(index, count).config.shard.index == index
    before = written(run.path)
    main(monkeypatch, tmp_path, "-m", *SHARDED, f"shard.count={count}", f"shard.index=range({count})")
    main(monkeypatch, tmp_path, *SHARDED)
    assert written(run.path) == before


def test_logs_of_hydra_do_not_collide(tmp_path):
    folders = {
        composed(*SHARDED, f"outputs={tmp_path}", f"shard.index={index}", "shard.count=3", hydra=True).hydra.run.dir
        for index in range(3)
    }
    run = composed(*SHARDED, f"outputs={tmp_path}", hydra=True).hydra.run.dir
    assert folders == {f"{run}/shards/{index}-of-3" for index in range(3)}


@pytest.mark.parametrize("index", [-1, 2])
def test_a_shard_that_is_none_is_refused(tmp_path, monkeypatch, index):
    with pytest.raises(SystemExit) as caught:
        main(monkeypatch, tmp_path, *SHARDED, f"shard.index={index}", "shard.count=2")
    assert str(caught.value.code).startswith(
        f"Error: expected shard.index from 0 to shard.count - 1, got {index} of 2; give every shard its number"
    )


def test_a_merge_of_other_blocks_is_refused_and_told(tmp_path, monkeypatch, whole):
    """A block of other settings, as when folders of two machines are copied together."""
    main(monkeypatch, tmp_path, *SHARDED, "shard.index=0", "shard.count=2")
    run = sharded(tmp_path, whole)
    other = execute(tmp_path / "other", *SHARDED, "estimator.lr=0.02")
    for block in ("000002", "000006"):
        shutil.copy(other.path / "blocks" / f"{block}.npz", run.path / "blocks")
    sentence = (
        f"expected {run.path / 'blocks' / '000002.npz'} to be a block of this matrix, got one measured with other "
        "settings; delete it and run the same command again"
    )
    with pytest.raises(SystemExit) as caught:
        main(monkeypatch, tmp_path, *SHARDED, "shard.index=0", "shard.count=2")
    assert str(caught.value.code) == f"Error: {sentence}"
    assert run.status["status"] == "failed"
    assert sentence in run.status["error"]
    assert "check_blocks" in run.status["traceback"]
    assert not (run.path / "scores.parquet").exists()
    for block in ("000002", "000006"):
        (run.path / "blocks" / f"{block}.npz").unlink()
    main(monkeypatch, tmp_path, *SHARDED, "shard.index=1", "shard.count=2")
    assert_same_files(run, whole)


def test_a_failing_shard_keeps_its_traceback_and_costs_the_others_nothing(tmp_path, monkeypatch, whole):
    from experiments import pipeline

    measure = pipeline.measure

    def fail_in_the_second(*arguments: object, **settings: object) -> InfluenceMatrix:
        if settings["shard"] == (1, 3):
            raise OSError("No space left on device")
        return measure(*arguments, **settings)

    monkeypatch.setattr(pipeline, "measure", fail_in_the_second)
    shards = ("-m", *SHARDED, "shard.count=3", "shard.index=range(3)")
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, *shards)
    run = sharded(tmp_path, whole)
    assert [run.shard(index, 3).status["status"] for index in range(3)] == ["done", "failed", "done"]
    assert run.shard(1, 3).status["error"] == "OSError: No space left on device"
    assert "fail_in_the_second" in run.shard(1, 3).status["traceback"]
    assert not run.is_done
    monkeypatch.setattr(pipeline, "measure", measure)
    before = written(run.path / "blocks")
    main(monkeypatch, tmp_path, *shards)
    assert_same_files(run, whole)
    assert before.items() <= written(run.path / "blocks").items()


def test_the_objective_is_returned_by_a_run_and_by_its_look_up(tmp_path, monkeypatch, whole):

    scores = pd.read_parquet(whole.path / "scores.parquet").set_index(["score", "condition"])["value"]
    returned: list[object] = []
    from experiments import summary

    objective = summary.objective
    monkeypatch.setattr(summary, "objective", lambda *given: returned.append(objective(*given)))
    for _ in range(2):
        main(monkeypatch, tmp_path, *SHARDED, "objective.score=asymmetry_index")
    main(monkeypatch, tmp_path, *SHARDED)
    main(monkeypatch, tmp_path, *SHARDED, "objective.score=class_pair_rank", "objective.condition='learned=2, read=9'")
    asymmetry, pair = scores["asymmetry_index", ""], scores["class_pair_rank", "learned=2, read=9"]
    assert returned == [asymmetry, asymmetry, None, pair]


def test_an_objective_that_is_no_score_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as caught:
        main(monkeypatch, tmp_path, *SHARDED, "objective.score=symetry")
    assert str(caught.value.code).startswith("Error: expected objective.score among ")
    assert not list(tmp_path.glob("**/matrix.json"))


SLOW = (
    *UNTRAINED,
    "data.probes.per_class=8",
    "data.probes.sigmas=[0.0]",
    "estimator.num_steps=40",
    "engine.block_size=2",
)


@pytest.mark.slow
def test_of_two_processes_on_one_run_one_works_and_the_other_waits(tmp_path):
    settings = (*SLOW, f"outputs={tmp_path}")
    first = start_until(lambda: any(tmp_path.glob("*/*/blocks/0*.npz")), *settings)
    second = start(*settings)
    printed = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], printed
    (run,) = find_runs([tmp_path])
    assert "Measuring:" in printed[0]
    assert "Measuring:" not in printed[1]
    assert [line for line in printed[1].splitlines() if line][:2] == [
        f"Another process is at {run}; waiting for it to end.",
        f"Already measured: {run}",
    ]
    InfluenceMatrix.load(run).to_frame()  # every block is whole


@pytest.mark.slow
def test_two_shards_at_once_search_the_step_size_once(tmp_path):
    settings = [setting for setting in SLOW if not setting.startswith("estimator.lr")]
    processes = [start(*settings, f"outputs={tmp_path}", "shard.count=2", f"shard.index={index}") for index in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert sum("Step size: lr" in text for text in printed) == 1
    (run,) = find_runs([tmp_path])
    assert RunFolder(run).is_done
    assert read_json(run / "matrix.json")["estimator"]["step_size"]["num_probes"] == 80


def test_a_shard_says_what_is_left_to_it_and_one_without_blocks_how_to_get_some(tmp_path, monkeypatch, caplog):
    def told(*settings: str) -> list[str]:
        caplog.clear()
        with caplog.at_level("INFO"):
            main(monkeypatch, tmp_path, *SHARDED, *settings)
        return [message for message in caplog.messages if "probes" in message]

    assert told("shard.index=1", "shard.count=3")[0].startswith(
        "10 probes x 10 targets, 4 of these probes left to this process: about 00:0"
    )
    assert told("shard.index=5", "shard.count=6") == [
        "Shard 5 of 6 has nothing to do: the 10 probes are 5 blocks; engine.block_size makes smaller ones."
    ]
    assert told()[0].startswith("10 probes x 10 targets, 6 of these probes left to this process: about 00:0")


def test_shards_that_are_looked_up_show_the_scores_once(tmp_path, monkeypatch, capsys, whole):
    shutil.copytree(whole.path.parents[1], tmp_path, dirs_exist_ok=True)
    main(monkeypatch, tmp_path, "-m", *SHARDED, "shard.count=5", "shard.index=range(5)")
    assert capsys.readouterr().out.count("asymmetry_index") == 1
