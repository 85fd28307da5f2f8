"""The command: what it prints, what it looks up, and how it ends when it is stopped."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import influence
from experiments.run_folder import RunFolder, find_runs
from influence.matrix import InfluenceMatrix
from influence.models.base import initialise
from tests.experiments import own_model
from tests.experiments.commands import (
    QUIET,
    ROOT,
    UNTRAINED,
    composed,
    execute,
    main,
    start,
    start_until,
    written,
)

FEW = ("data.probes.per_class=1", "data.probes.sigmas=[0.0]")


def run_of(outputs: Path, *settings: str) -> RunFolder:
    """Where the command puts its run, whether or not it is there."""
    return RunFolder(Path(composed(*settings, f"outputs={outputs}", hydra=True).hydra.run.dir))


def refused(monkeypatch: pytest.MonkeyPatch, outputs: Path, *arguments: str) -> str:
    """What the command ends with where it refuses."""
    with pytest.raises(SystemExit) as caught:
        main(monkeypatch, outputs, *arguments)
    return str(caught.value.code)  # Python prints it to stderr and exits with 1


@pytest.mark.slow
def test_a_run_from_end_to_end(tmp_path):
    process = start("experiment=smoke", f"outputs={tmp_path}", *QUIET)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    (run,) = find_runs([tmp_path])
    assert run == run_of(tmp_path, "experiment=smoke").path
    order = [
        printed.index(part) for part in ("Base model: ", "20 probes x 20 targets: about ", "Measuring:", "verdict")
    ]
    assert order == sorted(order)
    assert "Traceback" not in printed
    assert "Warning" not in printed
    paths = [Path(line.split(maxsplit=1)[1]) for line in printed.splitlines()[-3:]]
    assert paths == [run, run / "scores.parquet", run / "figures" / "matrix.png"]
    assert all(path.exists() for path in paths)


LOOK_UP = """
import sys
from experiments.run import main
main()
print("imported:", *sorted({"torch", "pytorch_lightning", "matplotlib", "wandb", "sklearn"} & sys.modules.keys()))
"""


def test_a_finished_run_is_looked_up_without_torch(smoke_copy):
    outputs = smoke_copy.path.parents[1]
    before = written(outputs)
    command = [sys.executable, "-c", LOOK_UP, "experiment=smoke", f"outputs={outputs}", *QUIET]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=15)
    assert (again.returncode, again.stderr) == (0, "")
    lines = again.stdout.splitlines()
    assert lines[0] == f"Already measured: {smoke_copy.path}"
    assert lines[1].startswith("score ")
    assert lines[-1] == "imported:"
    assert lines[-2].endswith("figures/matrix.png")
    assert written(outputs) == before


def test_other_batches_devices_and_threads_are_the_same_run(smoke_copy, monkeypatch, capsys):
    before = written(smoke_copy.path.parents[1])
    outputs = smoke_copy.path.parents[1]
    main(monkeypatch, outputs, "experiment=smoke", "engine.batch_size=3", "engine.device=cpu", "trust=[thirdparty]")
    assert str(smoke_copy.path) in capsys.readouterr().out
    assert written(outputs) == before


def test_a_torn_status_ends_in_a_sentence(smoke_copy, monkeypatch):
    (smoke_copy.path / "run.json").write_text('{"status": "do')
    sentence = refused(monkeypatch, smoke_copy.path.parents[1], "experiment=smoke", *QUIET)
    assert sentence.startswith(f"Error: expected JSON in {smoke_copy.path / 'run.json'}, got something that does not")


def test_a_setting_that_does_not_fit_ends_in_a_sentence_and_starts_nothing(tmp_path, monkeypatch):
    sentence = refused(monkeypatch, tmp_path, *UNTRAINED, "estimator.self_gain=0.3")
    assert sentence.startswith("Error: expected either estimator.lr or estimator.self_gain, got 0.01 and 0.3; set one")
    assert not list(tmp_path.rglob("run.json"))


def test_a_failure_ends_in_a_sentence_and_keeps_its_traceback(tmp_path, monkeypatch):
    sentence = refused(monkeypatch, tmp_path, *UNTRAINED, "data.probes.classes=[11]")
    assert sentence == "Error: expected labels of digits test, 0 to 9, got 11; correct classes"
    (status,) = (RunFolder(path.parent).status for path in tmp_path.rglob("run.json"))
    assert status["error"] == "ValueError: expected labels of digits test, 0 to 9, got 11; correct classes"
    assert "Traceback" in status["traceback"]


def test_an_exit_of_lightning_is_an_interrupt(tmp_path, monkeypatch):
    def leave(*_: object) -> None:
        sys.exit(1)

    monkeypatch.setattr("experiments.pipeline.execute", leave)
    sentence = refused(monkeypatch, tmp_path, *UNTRAINED)
    assert sentence == "Interrupted; what is finished stays, and the same command goes on from there."


def test_a_mistake_in_the_code_keeps_its_traceback(tmp_path, monkeypatch, capsys):
    def mistake(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr("experiments.pipeline.execute", mistake)
    assert refused(monkeypatch, tmp_path, *UNTRAINED) == "1"
    assert "in mistake" in capsys.readouterr().err


MANY = (
    *UNTRAINED,
    "data.probes.per_class=8",
    "data.probes.sigmas=[0.0]",
    "estimator.num_steps=40",
    "engine.block_size=2",
)
"""80 probes in 40 blocks, each of which takes a moment."""
BLOCKS = 40


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> InfluenceMatrix:
    """What a run gives that nobody stops."""
    return InfluenceMatrix.load(execute(tmp_path_factory.mktemp("whole"), *MANY).path)


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, undisturbed, signal_number):
    run = run_of(tmp_path, *MANY)
    process = start_until(lambda: any(run.path.glob("blocks/0*.npz")), *MANY, f"outputs={tmp_path}")
    process.send_signal(signal_number)
    printed = process.communicate(timeout=60)[0]
    finished = {block: block.stat().st_mtime_ns for block in run.path.glob("blocks/0*.npz")}
    assert 0 < len(finished) < BLOCKS
    if signal_number == signal.SIGINT:
        assert process.returncode == 1
        assert run.status["status"] == "interrupted"
        assert printed.splitlines()[-1] == (
            "Interrupted; what is finished stays, and the same command goes on from there."
        )
        assert "Traceback" not in printed
    else:
        assert process.returncode == -signal.SIGKILL
        assert run.status["status"] == "running"

    execute(tmp_path, *MANY)
    assert run.is_done
    assert {block: block.stat().st_mtime_ns for block in finished} == finished  # nothing was measured twice
    stopped = InfluenceMatrix.load(run.path)
    assert len(stopped.blocks) == len(undisturbed.blocks) == BLOCKS
    for one, other in zip(stopped.blocks, undisturbed.blocks, strict=True):
        for name in ("gain_PT", "self_gain_P", "before_T"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_a_sweep_goes_on_past_a_failing_job_and_skips_what_is_finished(tmp_path, monkeypatch, caplog, capsys):
    jobs = ("-m", *UNTRAINED, *FEW)
    with caplog.at_level("INFO"):
        main(monkeypatch, tmp_path, *jobs, "estimator.lr=0.01,1e38")
    folders = [run_of(tmp_path, *UNTRAINED, *FEW, f"estimator.lr={lr}") for lr in ("0.01", "1e38", "0.02")]
    assert [run.is_done for run in folders] == [True, True, False]  # also the one whose probes all diverge
    assert folders[0].config.estimator.lr == 0.01
    assert InfluenceMatrix.load(folders[1].path).failures
    assert "10 of 10 probes failed; their rows are empty." in caplog.messages

    before = written(folders[0].path)
    caplog.clear()
    capsys.readouterr()
    with caplog.at_level("INFO"), pytest.raises(SystemExit) as caught:
        main(monkeypatch, tmp_path, *jobs, "estimator.lr=-1,0.01,0.02")
    assert caught.value.code == 1
    assert "Error: expected lr to be a finite number of at least 0, got -1.0" in caplog.messages
    told = capsys.readouterr().err
    assert "A job of the sweep failed: expected lr to be a finite number of at least 0, got -1.0\n" in told
    assert f"python -m experiments.status {folders[0].path.parent} tells of all." in told
    assert "Traceback" not in told
    assert caplog.messages.count(f"Already measured: {folders[0].path}") == 1
    assert [run.is_done for run in folders] == [True, True, True]
    assert written(folders[0].path) == before


def test_a_sweep_of_learning_rates_ends_with_its_plateau(tmp_path, monkeypatch, capsys):
    few = ("data.probes.per_class=1", "estimator.lr=0.01,0.02", "estimator.optimizer=sgd")
    quick = [setting for setting in UNTRAINED if not setting.startswith("estimator.")]
    main(monkeypatch, tmp_path, "sweep=lr_plateau", *quick, *few)
    folder = tmp_path / "lr_plateau"
    assert len(find_runs([folder])) == 2
    assert str(folder / "figures" / "lr_plateau.png") in capsys.readouterr().out
    assert (folder / "figures" / "lr_plateau.png").exists()


@pytest.mark.slow
def test_a_model_of_ones_own_from_the_command_line(tmp_path):
    package = tmp_path / "site" / "thirdparty"
    package.mkdir(parents=True)
    shutil.copy(own_model.__file__, package / "__init__.py")
    process = start(
        "name=mine",
        "model=own",
        "model._target_=thirdparty.Net",
        "data=own",
        "data._target_=thirdparty.samples",
        "trust=[thirdparty]",
        "trainer.epochs=0",
        f"outputs={tmp_path}",
        *QUIET,
        python_path=package.parent,
    )
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    (run,) = find_runs([tmp_path / "mine"])
    measured = InfluenceMatrix.load(run)
    expected = influence.measure(
        initialise(own_model.Net, seed=0), own_model.samples(), estimator=influence.FineTune(self_gain=0.3)
    )
    assert measured.gain.shape == (5, 5)
    for name in ("gain", "self_gain", "before"):
        assert getattr(measured, name).tobytes() == getattr(expected, name).tobytes()
