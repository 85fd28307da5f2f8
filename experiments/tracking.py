"""One run in Weights & Biases: its configuration, its progress and its finished result.

The run folder is the record and W&B a copy of it, so trouble with W&B costs one sentence in the log and nothing else.
"""

import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:  # not at run time: `off` needs no wandb, and a look at the schema no torch
    from wandb import Run

    from influence.matrix import InfluenceMatrix

MAX_TABLE_ROWS = 10_000
"""W&B cuts the view of a longer table without a word."""

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


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """Writes to one run of W&B, or nowhere where `run` is None."""

    run: "Run | None"

    def progress(self, done: int, total: int, seconds_left: float) -> None:
        """Log how many probes are measured; `seconds_left` is NaN while it is unknown."""
        if self.run is None:
            return
        numbers = {"progress/done": done, "progress/total": total, "progress/seconds_left": seconds_left}
        with _forgiving("log the progress"):
            self.run.log({key: number for key, number in numbers.items() if math.isfinite(number)})

    def result(self, matrix: "InfluenceMatrix", scores: pd.DataFrame, figures: Sequence[Path]) -> None:
        """Log a finished result, see `log_result`."""
        if self.run is None:
            return
        with _forgiving("log the result"):
            log_result(self.run, matrix, scores, figures)


@contextmanager
def track(
    settings: TrackingConfig,
    *,
    folder: Path,
    run_id: str,
    name: str,
    config: Mapping[str, Any],
    group: str | None = None,
    job_type: str,
    tags: Sequence[str] = (),
) -> Iterator[Tracker]:
    """Track what happens in the `with` block as one run of W&B; an exception in it marks the run failed.

    Without a key, or where the server does not answer, the run is kept offline. The SDK's own files go to
    `<outputs>/wandb`. Its environment variables are set for the process, except those the user has set.

    Args:
        settings: where to track, see `TrackingConfig`.
        folder: the run's folder, `<outputs>/<name>/<hash>`.
        run_id: the run's hash; tracking the same id again resumes its run.
        name: what the run is called in W&B.
        config: the composed configuration, plain containers only.
        group: what belongs together, such as a sweep.
        job_type: kind of work, such as "influence".
        tags: marks to filter runs by.
    """
    if settings.mode is Mode.off:
        yield Tracker(run=None)
        return
    outputs = folder.resolve().parents[1]
    _set_environment(outputs / "wandb")
    what = {"name": name, "config": dict(config), "group": group, "job_type": job_type, "tags": list(tags)}
    run = _start(settings, dir=outputs, id=run_id, **what)
    exit_code = 1
    try:
        yield Tracker(run=run)
        exit_code = 0
    finally:  # what `with wandb.init()` does, but trouble in finishing must not hide the block's own exception
        if run is not None:
            with _forgiving("finish the run"):
                run.finish(exit_code=exit_code)


def log_result(run: "Run", matrix: "InfluenceMatrix", scores: pd.DataFrame, figures: Sequence[Path]) -> None:
    """Log a finished result to an open run of W&B, alike for a live run and for a finished folder.

    ======================================  ====================================================================
    `desiderata/<score>`, or with           summary: the value; below it `/low`, `/high` and `/p`; only what is
    `/<condition>` where it has one         finite
    `figures/<stem>`                        each figure as an image
    `tables/scores`                         the scores as a table
    artifact `influence-matrix-<run id>`    the matrix as `InfluenceMatrix.load` reads it
    ======================================  ====================================================================

    Args:
        run: the open run.
        matrix: the influence matrix.
        scores: one row a score and condition, as `influence.score` returns it.
        figures: paths of PNG files.
    """
    import wandb

    keys = "desiderata/" + scores["score"] + scores["condition"].map(lambda condition: condition and f"/{condition}")
    for column, suffix in {"value": "", "low": "/low", "high": "/high", "p": "/p"}.items():
        for key, number in zip(keys, scores[column], strict=True):
            if math.isfinite(number):
                run.summary[f"{key}{suffix}"] = number

    media: dict[str, Any] = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    if len(scores) <= MAX_TABLE_ROWS:
        finite = scores.replace([math.inf, -math.inf], math.nan)
        media["tables/scores"] = wandb.Table(dataframe=finite.astype(object).where(finite.notna(), None))
    else:
        _log.warning("W&B gets no table of %d scores, more than %d; see the run folder", len(scores), MAX_TABLE_ROWS)
    run.log(media)

    artifact = wandb.Artifact(
        f"influence-matrix-{run.id}",
        type="influence-matrix",
        metadata={
            "shape": [len(matrix.probes), len(matrix.targets)],
            "orientation": "rows are probes, columns are targets",
            "sign": "positive = more likely",
            "readout": dict(matrix.readout),
            "estimator": dict(matrix.estimator),
        },
    )
    with tempfile.TemporaryDirectory() as copy:
        artifact.add_dir(str(matrix.save(copy)))
    run.log_artifact(artifact)


def _set_environment(wandb_folder: Path) -> None:
    # WANDB_CONFIG_DIR stays: the user's login and the address of their server are read from there, nothing is written.
    defaults = {
        "WANDB_DATA_DIR": str(wandb_folder / "data"),
        "WANDB_CACHE_DIR": str(wandb_folder / "cache"),
        "WANDB_ERROR_REPORTING": "false",  # an offline run sends nothing
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_INIT_TIMEOUT": "30",
        "WANDB_FINISH_TIMEOUT": "300",  # by default the SDK waits for a lost server for ever
        "WANDB_FINISH_TIMEOUT_RAISES": "true",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _start(settings: TrackingConfig, **run_arguments: Any) -> "Run | None":
    import wandb

    has_key = False
    if settings.mode is not Mode.offline:
        with _forgiving("log in"):
            has_key = wandb.login(verify=False, prompt=False)
        if settings.mode is Mode.online and not has_key:
            _log.warning("W&B: expected a key, got none; going on offline, run `wandb login` or set WANDB_API_KEY")
    modes: Sequence[Any] = ("online", "offline") if has_key else ("offline",)
    for mode in modes:
        with _forgiving(f"start a run {mode}"):
            run = wandb.init(
                project=settings.project, entity=settings.entity, mode=mode, resume="allow", **run_arguments
            )
            _log.info("W&B: %s", run.url or f"offline in {Path(run.dir).parent}")
            return run
        wandb.teardown()  # the service would refuse the id of a start that failed
    return None


@contextmanager
def _forgiving(step: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises, the measurement goes on
        reason = " ".join(str(error).split()) or type(error).__name__
        _log.warning("W&B could not %s (%s); going on, nothing is lost: the run folder keeps the result", step, reason)
