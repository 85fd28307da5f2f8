"""The commands as a test calls them: composed, executed in this process, or started as one of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from experiments import run
from experiments.checks import checked
from experiments.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"

QUIET = ("engine.threads=1", "tracking=off")

UNTRAINED = ("data=digits", "trainer.epochs=0", "estimator.lr=0.01", *QUIET)
"""The quickest run: the CNN as it is initialised, no search of the step size."""


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The configuration, with Hydra's own part where asked for."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=hydra)


def execute(outputs: Path, *overrides: str) -> RunFolder:
    """What `main` does with a run that has not finished."""
    from experiments.pipeline import execute

    cfg = composed(f"outputs={outputs}", *overrides)
    config = checked(cfg)
    folder = run.run_folder(cfg)
    with folder.recorded(cfg):
        execute(config, folder)
    return folder


def main(monkeypatch: pytest.MonkeyPatch, outputs: Path, *arguments: str) -> None:
    """The command in this process, whose logging it leaves alone."""
    logging = ("hydra/job_logging=none", "hydra/hydra_logging=none", "~hydra.job_logging.loggers")
    monkeypatch.setattr(sys, "argv", ["experiments.run", *arguments, f"outputs={outputs}", *logging])
    run.main()


def start(*arguments: str, python_path: Path = ROOT) -> "subprocess.Popen[str]":
    """The command as a process of its own, both of its streams in one."""
    environment = os.environ | {"PYTHONPATH": str(python_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "experiments.run", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Tests that a shell started in the background ignore interrupts, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def start_until(condition: Callable[[], bool], *arguments: str) -> "subprocess.Popen[str]":
    """The command, once the condition holds; an early end is a failure."""
    process = start(*arguments)
    while not condition():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the run ended before it could be stopped:\n{process.communicate()[0]}")
    return process


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def written(folder: Path) -> dict[str, int]:
    """When every file below a folder was written, but for Hydra's log of each start."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "run.log")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}
