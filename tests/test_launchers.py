"""What a launcher asks of a cluster, read where the cluster would read it."""

import os
import re
from pathlib import Path

import pytest

from tests.experiments.commands import QUIET, start_until

SBATCH = """#!/bin/sh
for script; do :; done
cp "$script" "$0.tmp" && mv "$0.tmp" "$0.script"
echo "Submitted batch job 7"
"""
"""Keeps the script that it is given, its last argument, and answers as Slurm does."""


@pytest.mark.slow
def test_slurm_is_asked_for_an_array_of_tasks_with_a_gpu_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"sbatch": SBATCH, "srun": "#!/bin/sh\n", "sacct": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = tmp_path / "sbatch.script"
    settings = ("data=digits", "sweep=probe_samples", "launcher=slurm", "hydra.launcher.partition=gpu", *QUIET)
    process = start_until(script.exists, *settings, f"outputs={tmp_path}")
    process.kill()
    process.communicate()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)", script.read_text(), re.MULTILINE))
    expected = {
        "array": "0-9%10",  # ten shards, fewer than may run at once
        "gpus-per-task": "1",
        "ntasks-per-node": "1",
        "nodes": "1",
        "cpus-per-task": "4",
        "mem": "16GB",
        "time": "240",
        "signal": "USR2@120",
        "partition": "gpu",
    }
    assert {name: asked.get(name) for name in expected} == expected
