import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from experiments import run_folder
from experiments.run_folder import RunFolder, find_runs
from tests.experiments.commands import ROOT

CFG = OmegaConf.create({"name": "small", "seed": 3, "copy": "${seed}"})


def test_a_folder_without_a_run_has_no_status(tmp_path):
    folder = RunFolder(tmp_path / "small" / "abc")
    assert folder.status == {}
    assert not folder.is_done


def test_a_run_that_ends_is_done(tmp_path):
    folder = RunFolder(tmp_path / "small" / "abc")
    with folder.recorded(CFG):
        assert folder.status["status"] == "running"
        assert not folder.is_done
        assert folder.config == {"name": "small", "seed": 3, "copy": 3}  # as it was resolved
    assert folder.is_done
    status = folder.status
    assert status.keys() == {"status", "started", "finished", "seconds"}
    assert status["started"] <= status["finished"]


def test_a_run_that_fails_tells_why(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="expected more"), folder.recorded(CFG):
        raise ValueError("expected more, got less")
    status = folder.status
    assert (status["status"], status["error"]) == ("failed", "ValueError: expected more, got less")
    assert 'raise ValueError("expected more, got less")' in status["traceback"]
    assert not folder.is_done


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])  # Lightning makes the one into the other
def test_an_interrupt_is_told_from_a_failure(tmp_path, interrupt):
    folder = RunFolder(tmp_path)
    with pytest.raises(interrupt), folder.recorded(CFG):
        raise interrupt
    assert folder.status["status"] == "interrupted"
    assert not folder.is_done


def test_a_later_success_forgets_the_failure_and_adds_up_the_time(tmp_path, monkeypatch):
    ticks = iter([10.0, 13.0, 100.0, 104.0])
    monkeypatch.setattr(run_folder, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="no"), folder.recorded(CFG):
        raise ValueError("no")
    assert folder.status["seconds"] == 3
    with folder.recorded(CFG):
        assert folder.status["seconds"] == 3  # also of a process that is killed now
    assert folder.status["seconds"] == 3 + 4
    assert "error" not in folder.status
    assert "traceback" not in folder.status


HOLD = (
    "import pathlib, sys; from experiments.run_folder import RunFolder\n"
    "with RunFolder(pathlib.Path(sys.argv[1])).alone():\n"
    "    print('inside', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that is at the run until it is told to go on, or dies."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        yield process
        process.kill()


@pytest.mark.parametrize("end", ["go on", "die"])
def test_a_second_process_says_so_and_waits(tmp_path, holder, caplog, end):
    folder, order = RunFolder(tmp_path), []

    def second() -> None:
        with folder.alone():
            order.append("second")

    assert folder.is_held
    with caplog.at_level("INFO"):
        thread = threading.Thread(target=second)
        thread.start()
        while not caplog.messages:
            thread.join(0.02)
        order.append("first")
        holder.kill() if end == "die" else holder.communicate("go on")
        thread.join(10)
    assert caplog.messages == [f"Another process is at {tmp_path}; waiting for it to end."]
    assert order == ["first", "second"]
    assert not folder.is_held


def test_a_look_at_the_status_does_not_stop_who_comes(tmp_path):
    with RunFolder(tmp_path).alone():
        pass
    assert not RunFolder(tmp_path / "never" / "started").is_held
    assert not RunFolder(tmp_path).is_held
    with RunFolder(tmp_path).alone():
        pass


def test_the_only_shard_is_the_run_itself(tmp_path):
    run = RunFolder(tmp_path / "small" / "abc")
    assert run.shard(0, 1).path == run.path
    assert run.shard(2, 5).path == run.path / "shards" / "2-of-5"


def test_a_torn_status_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"status": "do')
    with pytest.raises(ValueError, match=r"^expected JSON in .*run\.json, got something .*; delete it and run again$"):
        _ = RunFolder(tmp_path).is_done


def run_at(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "matrix.json").touch()
    return path


def test_runs_are_found_at_and_below_folders_in_order_and_once(tmp_path):
    b, a, other = (run_at(tmp_path / name) for name in ("small/b", "small/a", "other/c"))
    (tmp_path / "small" / "failed").mkdir()
    assert find_runs([tmp_path / "small"]) == [a, b]
    assert find_runs([other, tmp_path]) == [other, a, b]
    assert find_runs([b, a, b]) == [b, a]


@pytest.mark.parametrize("name", ["missing", "small"])
def test_a_folder_without_runs_is_named(tmp_path, name):
    run_at(tmp_path / "other" / "c")
    (tmp_path / "small" / "failed").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        find_runs([tmp_path / "other", tmp_path / name])
    assert str(caught.value) == (
        f"expected run folders in {tmp_path / name}, got none; give outputs/<name> or a folder in it"
    )
