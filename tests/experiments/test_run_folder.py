import subprocess
import sys
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
    with folder.running(CFG):
        assert folder.status["status"] == "running"
        assert not folder.is_done
        assert folder.config == {"name": "small", "seed": 3, "copy": 3}  # as it was resolved
    assert folder.is_done
    status = folder.status
    assert status.keys() == {"status", "started", "finished", "seconds"}
    assert status["started"] <= status["finished"]


def test_a_run_that_fails_tells_why(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="expected more"), folder.running(CFG):
        raise ValueError("expected more, got less")
    status = folder.status
    assert (status["status"], status["error"]) == ("failed", "ValueError: expected more, got less")
    assert 'raise ValueError("expected more, got less")' in status["traceback"]
    assert not folder.is_done


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])  # Lightning makes the one into the other
def test_an_interrupt_is_told_from_a_failure(tmp_path, interrupt):
    folder = RunFolder(tmp_path)
    with pytest.raises(interrupt), folder.running(CFG):
        raise interrupt
    assert folder.status["status"] == "interrupted"
    assert not folder.is_done


def test_a_later_success_forgets_the_failure_and_adds_up_the_time(tmp_path, monkeypatch):
    ticks = iter([10.0, 13.0, 100.0, 104.0])
    monkeypatch.setattr(run_folder, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="no"), folder.running(CFG):
        raise ValueError("no")
    assert folder.status["seconds"] == 3
    with folder.running(CFG):
        pass
    assert folder.status["seconds"] == 3 + 4
    assert "error" not in folder.status
    assert "traceback" not in folder.status


def test_a_second_process_refuses(tmp_path):
    script = (
        "import pathlib, sys; from experiments.run_folder import RunFolder; from omegaconf import OmegaConf\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).running(OmegaConf.create({'seed': 1})):\n"
        "    print('inside', flush=True); sys.stdin.read()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout.readline() == "inside\n"
        with pytest.raises(RuntimeError) as caught, RunFolder(tmp_path).running(CFG):
            pytest.fail("both were let in")
        assert str(caught.value) == (
            f"expected to be alone at {tmp_path}, got another process measuring it; wait for it to finish"
        )
        assert RunFolder(tmp_path).status["status"] == "running"  # the first one's, left alone
        assert RunFolder(tmp_path).config == {"seed": 1}
        first.communicate("go on")
    assert first.returncode == 0
    assert RunFolder(tmp_path).is_done
    with RunFolder(tmp_path).running(CFG):  # and the way is free
        pass


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
