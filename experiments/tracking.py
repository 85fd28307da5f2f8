"""Runs in Weights & Biases: configuration, progress and finished result, alike for a live run and a finished folder.

The run folder is the record and W&B a copy of it, so trouble with W&B costs one sentence in the log and nothing else:
`python -m experiments.mirror` copies again what is not there.
"""

import hashlib
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import OmegaConf

from experiments.run_folder import RunFolder
from experiments.tables import slug
from influence.files import sha256
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import read_header

if TYPE_CHECKING:  # not at run time: `off` needs no wandb
    from wandb import Artifact, Run

DIGEST = "result/sha256"
"""Key of the summary that says which result a run of W&B holds; written last, when all of it has arrived."""

MATRIX, SCORES = "influence-matrix", "scores"
"""Types of the artifacts that a run makes; it uses artifacts of the types `data` and `model`."""

JOB_TYPE = "influence"

RUNNING = ("self_gain_median", "self_gain_is_largest", "asymmetry_index", "reciprocity")
"""Scores that are quick and mean something of a part of a matrix: those of a live run."""

RUNNING_SHARE = 0.02
"""Of the time of a run, that running scores may take."""

MAX_TABLE_ROWS = 10_000
"""W&B cuts the view of a longer table without a word."""

MAX_WEIGHTS = 50_000_000
"""Bytes of weights that are kept with a run; larger ones are named by their digest."""

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

    Args:
        settings: project and entity.
        folder: of the run.
        mode: "online" or "offline".
    """
    import wandb

    set_environment(folder)
    config = _settings(folder)
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
        config=config,
    )


def log_result(run: "Run", folder: Path, figures: Sequence[Path]) -> None:
    """Log a finished run folder to an open run of W&B, alike for a live run and for one that ended long ago.

    ======================================  ====================================================================
    `desiderata/<score>`, or with           summary: the value; below it `/low`, `/high` and `/p`; only what is
    `/<condition>` where it has one         finite
    `matrix/<quantity>`                     summary: see `quantities`
    `figures/<stem>`                        each figure as an image
    `tables/scores`                         the scores as a table, tidy over runs
    artifacts used                          `data-<domain>` and `model-<name>`: what the run began with
    artifact `influence-matrix-<run id>`    the run folder without its scores, as `InfluenceMatrix.load` reads it
    artifact `scores-<run id>`              `scores.parquet`; the run uses the matrix to make it
    `result/sha256`                         summary: `result_digest`, last, so that it stands for all of the others
    ======================================  ====================================================================

    Args:
        run: the open run.
        folder: the run's folder.
        figures: paths of PNG files.
    """
    import wandb

    matrix, scores = InfluenceMatrix.load(folder), pd.read_parquet(folder / "scores.parquet")
    for key, number in {**quantities(matrix), **_summary(scores)}.items():
        if math.isfinite(number):
            run.summary[key] = number

    media: dict[str, Any] = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
    if len(scores) <= MAX_TABLE_ROWS:
        tidy = _tidy(scores, folder).replace([math.inf, -math.inf], math.nan)
        media["tables/scores"] = wandb.Table(dataframe=tidy.astype(object).where(tidy.notna(), None))
    else:
        _log.warning("W&B gets no table of %d scores, more than %d; see the run folder", len(scores), MAX_TABLE_ROWS)
    run.log(media)

    made_from, made = (_data(folder), _base_model(folder)), _matrix(run.id, folder, matrix)
    if run.offline:  # there the SDK knows no artifacts to use
        run.log_artifact(made)
        run.log_artifact(_scores(run.id, folder))
    else:
        for artifact in made_from:
            run.use_artifact(artifact)
        run.log_artifact(made).wait()
        run.use_artifact(made)  # the scores come from it
        run.log_artifact(_scores(run.id, folder)).wait()
    run.summary[DIGEST] = result_digest(folder)


def result_digest(folder: Path) -> str:
    """SHA-256 of what a run came to: the header of its matrix, which names weights and samples, and its scores.

    A frozen copy, whose gains have fewer digits, is the same result.
    """
    parts = [sha256(folder / name) for name in ("matrix.json", "scores.parquet")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def quantities(matrix: InfluenceMatrix) -> dict[str, float]:
    """Numbers that a matrix has beside its scores, by key of the summary."""
    return {
        "matrix/probes": len(matrix.probes),
        "matrix/targets": len(matrix.targets),
        "matrix/failures": len(matrix.failures),
        "matrix/lr": matrix.estimator.get("lr") or math.nan,
        "matrix/median_self_gain": matrix.median_self_gain,
        "matrix/noise_floor": matrix.provenance.get("noise_floor", math.nan),
    }


def running_scores(matrix: InfluenceMatrix) -> dict[str, float]:
    """The quick scores of what is measured so far, `running/<score>`, as ratios of means over the whole worlds."""
    from influence.desiderata.evaluation import questions
    from influence.desiderata.spec import Ratio
    from influence.desiderata.units import failed, without

    parts = [without(world, failed(world)) for world in matrix.worlds()]
    units = [part for part in parts if len(part.probes) > 1]
    scores = {}
    for question in questions(RUNNING, units, 0) if units else []:
        ratios = [ratio for unit in units if isinstance(ratio := question.measure(unit), Ratio)]
        if denominator := sum(ratio.denominator for ratio in ratios):
            scores[f"running/{question.score.name}"] = sum(ratio.numerator for ratio in ratios) / denominator
    return scores


def outputs_of(folder: Path) -> Path:
    """`<outputs>` of a run folder, also of a frozen one."""
    outputs = folder.resolve().parents[1]
    return outputs.parent if outputs.name == "published" else outputs


def set_environment(folder: Path) -> None:
    """Keep the SDK quiet, its files in `<outputs>/wandb`, and its patience short, unless the user says otherwise."""
    wandb_folder = outputs_of(folder) / "wandb"
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

    set_environment(folder)
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


def _settings(folder: Path) -> dict[str, Any]:
    """The configuration of a run, plain containers only."""
    settings: Any = OmegaConf.to_container(RunFolder(folder).config)
    return dict(settings)


def _tags(config: Mapping[str, Any]) -> list[str]:
    """Estimator, optimizer and model: a closed set, to filter runs by."""
    estimator = config["estimator"]
    model = slug(str(config["model"].get("name", "")))
    return [tag for tag in (estimator["name"], estimator.get("optimizer"), model) if tag]


def _summary(scores: pd.DataFrame) -> dict[str, float]:
    keys = "desiderata/" + scores["score"] + scores["condition"].map(lambda condition: condition and f"/{condition}")
    return {
        f"{key}{suffix}": number
        for column, suffix in {"value": "", "low": "/low", "high": "/high", "p": "/p"}.items()
        for key, number in zip(keys, scores[column], strict=True)
    }


def _tidy(scores: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The scores with what tells their run from others, so that the tables of many runs make one."""
    config = _settings(folder)
    estimator = config["estimator"]
    columns = {
        "run": folder.name,
        "experiment": config["name"],
        "model": config["model"].get("name"),
        "domain": _domain(config),
        "estimator": estimator["name"],
        "optimizer": estimator.get("optimizer"),
        "seed": config["seed"],
    }
    return scores.assign(**columns)[[*columns, *scores.columns]]


def _domain(config: Mapping[str, Any]) -> str:
    data = config["data"]
    return str(data.get("domain") or data.get("_target_") or "nouns")


def _blocks(folder: Path) -> dict[str, float]:
    if not (folder / "matrix.json").exists():
        return {}
    names = read_header(folder)["blocks"]
    done = sum((folder / "blocks" / f"{name}.npz").exists() for name in names)
    return {"progress/blocks": done, "progress/blocks_total": len(names)}


def _data(folder: Path) -> "Artifact":
    """What the samples are: their settings, and the checksums of their source and of themselves."""
    config, provenance = _settings(folder), read_header(folder)["provenance"]
    identity = provenance.get("identity", {})
    content = {
        "data": {key: value for key, value in config["data"].items() if key != "folder"},
        "checksums": provenance.get("data", {}),
        **{name: identity.get(name) for name in ("probes", "targets")},
    }
    return _described(f"data-{slug(_domain(config))}", "data", content)


def _base_model(folder: Path) -> "Artifact":
    """What the base model is, with its weights where they were trained here."""
    config, provenance = _settings(folder), read_header(folder)["provenance"]
    base = provenance.get("base_model", {})
    content = {
        "model": {key: value for key, value in config["model"].items() if key != "weights"},
        "weights": provenance.get("identity", {}).get("weights"),
        **base,
    }
    artifact = _described(f"model-{slug(str(config['model'].get('name', 'own')))}", "model", content)
    weights = folder.resolve().parents[1] / "models" / base.get("folder", "") / "weights.safetensors"
    if weights.is_file() and weights.stat().st_size <= MAX_WEIGHTS:
        artifact.add_file(str(weights))
    return artifact


def _described(name: str, kind: str, content: Mapping[str, Any]) -> "Artifact":
    """An artifact of one JSON file, which is its metadata too."""
    import wandb

    artifact = wandb.Artifact(name, type=kind, metadata=dict(content))
    with tempfile.TemporaryDirectory() as temporary:  # `artifact.new_file` would leave its own to the collector
        path = Path(temporary) / f"{kind}.json"
        path.write_text(json.dumps(content, indent=1, sort_keys=True))
        artifact.add_file(str(path))  # which copies it
    return artifact


def _matrix(run_id: str, folder: Path, matrix: InfluenceMatrix) -> "Artifact":
    import wandb

    artifact = wandb.Artifact(
        f"{MATRIX}-{run_id}",
        type=MATRIX,
        metadata={
            "shape": [len(matrix.probes), len(matrix.targets)],
            "orientation": "rows are probes, columns are targets",
            "sign": "positive = more likely",
            "readout": dict(matrix.readout),
            "estimator": dict(matrix.estimator),
        },
    )
    for name in ("config.yaml", "run.json", "matrix.json", "probes.parquet", "targets.parquet", "samples.npz"):
        if (folder / name).exists():
            artifact.add_file(str(folder / name))
    if (folder / "blocks").is_dir():
        artifact.add_dir(str(folder / "blocks"), name="blocks")
    else:
        artifact.add_file(str(folder / "blocks.npz"))
    return artifact


def _scores(run_id: str, folder: Path) -> "Artifact":
    import wandb

    artifact = wandb.Artifact(f"{SCORES}-{run_id}", type=SCORES, metadata={"matrix": f"{MATRIX}-{run_id}"})
    artifact.add_file(str(folder / "scores.parquet"))
    return artifact


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
