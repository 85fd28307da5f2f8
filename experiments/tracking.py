"""Runs in Weights & Biases: where they are tracked, how they start and end, and their progress.

The run folder is the record and W&B a copy of it, so trouble with W&B costs one sentence in the log and nothing else:
`python -m experiments.mirror` copies again what is not there.
"""

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.run_folder import RunFolder
from experiments.tables import slug
from experiments.tracked_result import log_result, running_scores
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import read_header

if TYPE_CHECKING:  # not at run time: `off` needs no wandb
    from wandb import Api, Run

JOB_TYPE = "influence"

LEARNER = "learner"
"""Key of the config: model and estimator, such as "CNN, SGD"."""

PATIENCE = 30
"""Seconds within which a server should answer."""

RUNNING_SHARE = 0.02
"""Of the time of a run, that running scores may take."""

_log = logging.getLogger(__name__)


class Mode(Enum):
    """Where a run is tracked; lower case, since Hydra finds a member by its name."""

    auto = "auto"  # online where a key is present, else offline
    online = "online"
    offline = "offline"
    off = "off"


@dataclass(kw_only=True)
class TrackingConfig:
    """Where runs are tracked, and under which project and entity (user or team; None for the key's own)."""

    mode: Mode = Mode.auto
    project: str = "influence"
    entity: str | None = None


class Tracker:
    """Writes a run folder to its run of W&B, or nowhere where `run` is None."""

    def __init__(self, run: "Run | None", folder: Path) -> None:
        self._run, self._folder = run, folder
        self._scores_from = time.monotonic()

    def progress(self, done: int, total: int, seconds_left: float) -> None:
        """Log what is measured: probes, blocks, and scores of the part that is there.

        Args:
            done: probes.
            total: of them.
            seconds_left: NaN while it is unknown.
        """
        if self._run is None:
            return
        with _forgiving("log the progress"):
            numbers = {"progress/done": done, "progress/total": total, "progress/seconds_left": seconds_left}
            numbers |= _blocks(self._folder)
            start = time.monotonic()
            if start >= self._scores_from and numbers.get("progress/blocks", 0):
                numbers |= running_scores(InfluenceMatrix.load(self._folder, partial=True))
                end = time.monotonic()
                self._scores_from = end + (end - start) / RUNNING_SHARE
            self._run.log({key: number for key, number in numbers.items() if math.isfinite(number)})

    def result(self) -> None:
        """Log a finished result with the pictures in the folder, see `log_result`."""
        if self._run is None:
            return
        with _forgiving("log the result"):
            log_result(self._run, self._folder, sorted((self._folder / "figures").glob("*.png")))


@contextmanager
def track(settings: TrackingConfig, folder: Path) -> Iterator[Tracker]:
    """Track what happens in the `with` block as one run of W&B; an exception in it marks the run failed.

    Without a key, or where the server does not answer, the run is kept offline. The SDK's own files go to
    `<outputs>/wandb`. Its environment variables are set for the process, except those the user has set.

    Args:
        settings: where to track, see `TrackingConfig`.
        folder: the run's folder, `<outputs>/<name>/<hash>`, with its `config.yaml`; tracking the same hash again
            resumes its run.
    """
    if settings.mode is Mode.off:
        yield Tracker(None, folder)
        return
    run = _start(settings, folder)
    exit_code = 1
    try:
        yield Tracker(run, folder)
        exit_code = 0
    finally:  # what `with wandb.init()` does, but trouble in finishing must not hide the block's own exception
        if run is not None:
            with _forgiving("finish the run"):
                run.finish(exit_code=exit_code)


def open_run(settings: TrackingConfig, folder: Path, *, mode: Any) -> "Run":
    """A run of W&B for a run folder: its hash as id, its experiment as group, its settings as config.

    Beside the settings stands `learner`, model and estimator in one word, since panels group by one setting.

    Args:
        settings: project and entity.
        folder: of the run.
        mode: "online" or "offline".
    """
    import wandb

    from experiments.run_sets import RunSet  # which knows the schema, and that this module

    set_environment(outputs_of(folder))
    config, runs = RunFolder(folder).settings, RunSet((folder,))
    return wandb.init(
        project=settings.project,
        entity=settings.entity,
        mode=mode,
        resume="allow",
        dir=outputs_of(folder),
        id=folder.name,
        name=f"{config['name']}/{folder.name}",
        group=config["name"],
        job_type=JOB_TYPE,
        tags=_tags(config),
        config={**config, LEARNER: f"{runs.model}, {runs.kind}"},
    )


def outputs_of(folder: Path) -> Path:
    """`<outputs>` of a run folder, also of a frozen one."""
    outputs = folder.resolve().parents[1]
    return outputs.parent if outputs.name == "published" else outputs


def connect(outputs: Path) -> "Api":
    """The server's API for who is logged in.

    Args:
        outputs: in which the SDK keeps its files.

    Raises:
        ConnectionError: there is no key, or the server does not answer.
    """
    import wandb

    set_environment(outputs)
    if not has_key():
        raise ConnectionError(
            "expected a key of W&B, got none; nothing is lost: run `wandb login` or set WANDB_API_KEY, "
            "then give the same command again"
        )
    with answering():
        return wandb.Api(timeout=PATIENCE)


def project_path(api: "Api", settings: TrackingConfig) -> str:
    """`<entity>/<project>`, the key's own entity where none is set."""
    return f"{settings.entity or api.default_entity}/{settings.project}"


@contextmanager
def answering() -> Iterator[None]:
    """Turn whatever the SDK raises into a ConnectionError of one sentence."""
    try:
        yield
    except Exception as error:
        raise ConnectionError(
            f"expected W&B to answer, got: {reason(error)}; nothing is lost: give the same command again"
        ) from error


def set_environment(outputs: Path) -> None:
    """Keep the SDK quiet, its files in `<outputs>/wandb`, and its patience short, unless the user says otherwise."""
    wandb_folder = outputs / "wandb"
    # WANDB_CONFIG_DIR stays: the user's login and the address of their server are read from there, nothing is written.
    defaults = {
        "WANDB_DATA_DIR": str(wandb_folder / "data"),
        "WANDB_CACHE_DIR": str(wandb_folder / "cache"),
        "WANDB_ERROR_REPORTING": "false",  # an offline run sends nothing
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_INIT_TIMEOUT": "30",
        # By default the SDK waits for a lost server for ever, or asks it twenty times, for a quarter of an hour.
        "WANDB_FINISH_TIMEOUT": "60",
        "WANDB_FINISH_TIMEOUT_RAISES": "true",
        "WANDB__GRAPHQL_RETRY_MAX": "5",
        "WANDB__FILE_TRANSFER_RETRY_MAX": "5",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def has_key() -> bool:
    """Whether W&B is told who the user is."""
    import wandb

    return bool(wandb.login(verify=False, prompt=False))


def reason(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _start(settings: TrackingConfig, folder: Path) -> "Run | None":
    import wandb

    set_environment(outputs_of(folder))
    known = False
    if settings.mode is not Mode.offline:
        with _forgiving("log in"):
            known = has_key()
        if settings.mode is Mode.online and not known:
            _log.warning("W&B: expected a key, got none; going on offline, run `wandb login` or set WANDB_API_KEY")
    for mode in ("online", "offline") if known else ("offline",):
        with _forgiving(f"start a run {mode}"):
            run = open_run(settings, folder, mode=mode)
            _log.info("W&B: %s", run.url or f"offline in {Path(run.dir).parent}")
            return run
        wandb.teardown()  # the service would refuse the id of a start that failed
    return None


def _tags(config: Mapping[str, Any]) -> list[str]:
    """Estimator, optimizer and model: a closed set, to filter runs by."""
    estimator = config["estimator"]
    model = slug(str(config["model"].get("name", "")))
    return [tag for tag in (estimator["name"], estimator.get("optimizer"), model) if tag]


def _blocks(folder: Path) -> dict[str, float]:
    if not (folder / "matrix.json").exists():
        return {}
    names = read_header(folder)["blocks"]
    done = sum((folder / "blocks" / f"{name}.npz").exists() for name in names)
    return {"progress/blocks": done, "progress/blocks_total": len(names)}


@contextmanager
def _forgiving(step: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises, the measurement goes on
        _log.warning(
            "W&B could not %s (%s); going on, nothing is lost: the run folder keeps the result, "
            "and `python -m experiments.mirror` brings it there",
            step,
            reason(error),
        )
