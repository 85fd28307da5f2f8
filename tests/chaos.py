"""Sweeps that are disturbed and run again until they are done: `python -m tests.chaos`, half an hour, keeps the table.

Every round is the same command. In the first the disk fills up, in the second workers are killed and Ctrl-C is pressed,
in the third it is pressed again, and the fourth is left alone. All the time the blocks are watched: one that is written
a second time has been measured a second time.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd
import psutil

from experiments.calibration import write_table
from experiments.published import CHAOS, PUBLISHED
from experiments.run import INTERRUPTED
from experiments.run_folder import RunFolder, find_runs
from influence.matrix import InfluenceMatrix
from influence.seeds import generator

ROOT = Path(__file__).parents[1]

SMALL = (
    "name=chaos",
    "data=digits",
    "trainer.epochs=1",
    "data.probes.per_class=4",
    "data.probes.sigmas=[0.0]",
    "estimator.lr=0.01",
    "estimator.num_steps=40",
    "engine.block_size=2",
    "engine.threads=1",
    "tracking=off",
)
"""40 probes in 20 blocks, each of which takes a moment."""

JOBS = {
    "submitit_local": ("seed=0,1", "estimator.optimizer=sgd,adam", "shard.count=3", "shard.index=range(3)"),
    "ray": (
        "seed=0,1",
        "shard.count=2",
        "shard.index=range(2)",
        "hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init._node_ip_address=127.0.0.1",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ),
}
"""Twelve jobs that make four matrices under submitit, and four that make two under Ray."""

VICTIMS = {"submitit_local": 4, "ray": 2}
"""How many workers are killed."""

WORKERS = {"submitit_local": "submitit.core._submit", "ray": "ray::_run_job"}
"""What the command line of a worker holds."""

ROOM = "64m"
"""Size of the disk, more than a sweep takes."""

Disturbance = Iterator[None]
"""Goes on at every look; it yields while it waits."""


class Outcome(NamedTuple):
    """What a sweep went through, and what became of it."""

    launcher: str
    jobs: int
    matrices: int
    blocks: int
    disks_filled: int
    interrupts: int
    workers_killed: int
    blocks_measured_twice: int
    blocks_that_differ: int


class Disk:
    """A small file system in memory, which can be made full."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def mounted(self) -> Iterator["Disk"]:
        """Mount it; PermissionError where this is not allowed."""
        self.path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", self.path]
        if subprocess.run(mount, capture_output=True).returncode:
            raise PermissionError(f"expected to be allowed to mount a tmpfs at {self.path}, got refused; be root")
        try:
            yield self
        finally:
            subprocess.run(["umount", "--lazy", self.path], check=True)

    def fill(self) -> None:
        """Leave no room; a disk does not shrink below what was written since one looked, so look again."""
        is_full = False
        while not is_full:
            room = os.statvfs(self.path)
            is_full = self._resize(f"{room.f_frsize * (room.f_blocks - room.f_bfree) // 1024}k")

    def empty(self) -> None:
        """Make room again."""
        if not self._resize(ROOM):
            raise OSError(f"expected to give {self.path} {ROOM} of room, got refused")

    def _resize(self, size: str) -> bool:
        mount = ["mount", "-o", f"remount,size={size}", self.path]
        return subprocess.run(mount, capture_output=True).returncode == 0


class Sweep:
    """One command that is run again and again, and what was seen of its blocks."""

    def __init__(self, launcher: str, outputs: Path, jobs: Sequence[str], logs: Path) -> None:
        self.launcher, self.outputs, self.logs = launcher, outputs, logs
        self.arguments = [*SMALL, f"launcher={launcher}", *jobs, f"outputs={outputs}"]
        if launcher == "submitit_local":
            self.arguments.append(f"hydra.launcher.submitit_folder={logs}/%j")
        self.seen: dict[Path, tuple[int, int]] = {}
        self.written_again: set[Path] = set()
        self.main: psutil.Process

    def run(self, disturb: Callable[["Sweep"], Disturbance] | None = None) -> int:
        """Run the command, and what it leaves behind, to the end; its exit code.

        Raises:
            RuntimeError: it ended before it was disturbed.
        """
        steps = iter(()) if disturb is None else disturb(self)
        is_disturbed = disturb is None
        with open(self.logs / "command.log", "a") as log:
            command = [sys.executable, "-m", "experiments.run", *self.arguments]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # What a shell started in the background ignores interrupts, and so would what it starts.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        self.main = psutil.Process(process.pid)
        try:
            while process.poll() is None or self.processes():
                self.look()
                if not is_disturbed:
                    is_disturbed = next(steps, "ended") == "ended"
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
                psutil.wait_procs(self.processes() if process.poll() is not None else [], timeout=0.02)
        finally:
            for left in self.processes():
                left.kill()
        self.look()
        if not is_disturbed:
            raise RuntimeError(f"expected a sweep that can be disturbed, got one that ended before:\n{self.printed()}")
        return process.returncode

    def look(self) -> None:
        """Note new blocks and base models, and those that are no longer the files that they were."""
        for path in [*self.outputs.glob("chaos/*/blocks/[!.]*.npz"), *self.outputs.glob("models/*/[!.]*.safetensors")]:
            status = path.stat()
            file = status.st_ino, status.st_mtime_ns
            if self.seen.setdefault(path, file) != file:
                self.written_again.add(path)
                self.seen[path] = file

    def processes(self) -> list[psutil.Process]:
        """Everything that the command has started and that lives, also where the command itself has ended."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(process.pid) == self.main.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """The processes that do the jobs, in the order in which they started."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if WORKERS[self.launcher] in " ".join(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def printed(self) -> str:
        """What the command and its jobs have said."""
        logs = [path for path in sorted(self.logs.rglob("*")) if path.suffix in (".log", ".out", ".err")]
        return "\n".join(f"== {path}\n{path.read_text()}" for path in logs)


def more_blocks(sweep: Sweep, count: int) -> Disturbance:
    """Wait until so many blocks have been added."""
    before = len(sweep.seen)
    while len(sweep.seen) < before + count:
        yield


def interrupts(sweep: Sweep) -> Disturbance:
    """Ctrl-C, as a terminal sends it: to the command and all that it has started."""
    yield from more_blocks(sweep, 1)
    os.killpg(sweep.main.pid, signal.SIGINT)


def preempts(sweep: Sweep) -> Disturbance:
    """The signal by which a job learns that its time on the cluster is over; submitit queues it again."""
    yield from more_blocks(sweep, 2)
    sweep.workers()[0].send_signal(signal.SIGUSR2)


def kills(sweep: Sweep, count: int) -> Disturbance:
    """SIGKILL to workers drawn at random, one after another, after as many blocks as are drawn at random."""
    rng = generator(0, "victims", sweep.launcher)
    for _ in range(count):
        yield from more_blocks(sweep, int(rng.integers(1, 4)))
        workers = sweep.workers()
        workers[rng.integers(len(workers))].kill()


def kills_and_interrupts(sweep: Sweep) -> Disturbance:
    """Both in one round."""
    yield from kills(sweep, VICTIMS[sweep.launcher])
    yield from interrupts(sweep)


def fills(sweep: Sweep, disk: Disk) -> Disturbance:
    """A disk that is full after some blocks."""
    yield from more_blocks(sweep, 5)
    disk.fill()


def differing(disturbed: Path, undisturbed: Path) -> int:
    """Number of blocks whose bits differ, of two folders of the same runs.

    Raises:
        ValueError: the folders hold other runs, or one that is not done.
    """
    runs = [find_runs([folder / "chaos"]) for folder in (disturbed, undisturbed)]
    names = [[run.name for run in found if RunFolder(run).is_done] for found in runs]
    if names[0] != names[1]:
        raise ValueError(f"expected the runs {names[1]} to be done, got {names[0]}")
    count = 0
    for pair in zip(*runs, strict=True):
        one, other = (InfluenceMatrix.load(run) for run in pair)
        for block, expected in zip(one.blocks, other.blocks, strict=True):
            arrays = ("gain_PT", "self_gain_P", "before_T", "failure_P")
            count += any(getattr(block, name).tobytes() != getattr(expected, name).tobytes() for name in arrays)
    return count


def undisturbed(outputs: Path, launcher: str) -> Path:
    """The same runs in turn, whole, in one process; the folder of outputs."""
    jobs = [setting for setting in JOBS[launcher] if not setting.startswith(("shard.", "hydra.", "+hydra."))]
    command = [sys.executable, "-m", "experiments.run", "-m", *SMALL, *jobs, f"outputs={outputs}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return outputs


def chaos(launcher: str, folder: Path) -> Outcome:
    """All disturbances, one after another, and what became of the sweep.

    Raises:
        PermissionError: no disk can be mounted.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    with Disk(folder / "disk").mounted() as disk:
        sweep = Sweep(launcher, disk.path, JOBS[launcher], logs)
        sweep.run(partial(fills, disk=disk))
        disk.empty()
        sweep.run(kills_and_interrupts)
        sweep.run(interrupts)
        if sweep.run() != 0:
            raise RuntimeError(f"expected the undisturbed round to end well, got:\n{sweep.printed()}")
        plain = undisturbed(folder / "undisturbed", launcher)
        runs = find_runs([disk.path / "chaos"])
        return Outcome(
            launcher=launcher,
            jobs=len([*disk.path.glob("chaos/*/shards/*/run.json")]),
            matrices=len(runs),
            blocks=sum(path.parent.name == "blocks" for path in sweep.seen),
            disks_filled=int("got a full disk; make some and run again" in sweep.printed()),
            interrupts=(logs / "command.log").read_text().splitlines().count(INTERRUPTED),
            workers_killed=VICTIMS[launcher],
            blocks_measured_twice=len(sweep.written_again),
            blocks_that_differ=differing(disk.path, plain),
        )


def main() -> None:
    """Disturb both sweeps, print what became of them, and keep it."""
    with TemporaryDirectory() as folder:
        table = pd.DataFrame([chaos(launcher, Path(folder) / launcher) for launcher in JOBS])
    print(table.to_string(index=False))
    write_table(table, PUBLISHED / CHAOS)
    print(PUBLISHED / CHAOS)


if __name__ == "__main__":
    main()
