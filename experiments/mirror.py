"""Copy finished runs to Weights & Biases: `python -m experiments.mirror outputs/fig1_cnn`.

A run whose result is there already is passed over, so that the same command can be given again at any time: after a
server was down, after runs were tracked offline, after more seeds were measured. `--download FOLDER` is the way back:
it fetches the runs of a project that the folder lacks, as folders that every other command reads.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.artifacts import MATRIX, SCORES
from experiments.run_folder import RunFolder, find_runs
from experiments.tracked_result import DIGEST, log_result, result_digest
from experiments.tracking import (
    JOB_TYPE,
    TrackingConfig,
    answering,
    connect,
    open_run,
    outputs_of,
    project_path,
    reason,
)

if TYPE_CHECKING:
    from wandb.apis.public import Run


def main(arguments: Sequence[str] | None = None) -> None:
    """Mirror the runs named on the command line, or download those of a project."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--download", type=Path, metavar="FOLDER", help="fetch runs into <FOLDER>/<name>/<hash>")
    parser.add_argument("--project", default=TrackingConfig().project, help="of W&B (default %(default)s)")
    parser.add_argument("--entity", help="user or team of W&B (default the key's own)")
    options = parser.parse_args(arguments)
    if bool(options.folders) == bool(options.download):
        parser.error("expected either folders of runs to copy to W&B, or --download FOLDER")
    settings = TrackingConfig(project=options.project, entity=options.entity)
    try:
        if options.download:
            download(options.download, settings)
        else:
            mirror(find_runs(options.folders), settings)
    except (ConnectionError, FileNotFoundError, ValueError) as error:
        sys.exit(f"mirror: {error}")


def mirror(folders: Sequence[Path], settings: TrackingConfig) -> None:
    """Bring every finished run into W&B, unless its result is there.

    Args:
        folders: of runs; of several copies of one run the first counts.
        settings: project and entity.

    Raises:
        ConnectionError: there is no key, or the server does not answer; what is not there yet waits in its folder.
    """
    finished = {folder.resolve().name: folder.resolve() for folder in reversed(folders) if _is_finished(folder)}
    finished = dict(sorted(finished.items(), key=lambda run: str(run[1])))
    if unfinished := len({folder.resolve().name for folder in folders} - finished.keys()):
        print(f"{unfinished} runs have not finished and wait")
    if not finished:
        return
    runs = _runs(outputs_of(next(iter(finished.values()))), settings, list(finished))
    there = {run.id: run.summary_metrics.get(DIGEST) for run in runs}
    missing = {name: folder for name, folder in finished.items() if there.get(name) != result_digest(folder)}
    for done, folder in enumerate(missing.values()):
        try:
            url = _copy(folder, settings)
        except Exception as error:  # whatever the SDK raises
            _give_up()
            raise ConnectionError(
                f"expected W&B to take {folder}, got: {reason(error)}; nothing is lost, "
                f"{len(missing) - done} runs wait in their folders: give the same command again"
            ) from error
        print(url)
    print(f"{len(missing)} runs copied, {len(finished) - len(missing)} were there already")


def download(target: Path, settings: TrackingConfig) -> None:
    """Fetch the finished runs of a project that a folder lacks, each to `<target>/<name>/<hash>`.

    Raises:
        ConnectionError: there is no key, or the server does not answer.
    """
    runs = [run for run in _runs(target, settings) if run.summary_metrics.get(DIGEST)]
    fetched = 0
    for run in runs:
        folder = target / str(run.config["name"]) / run.id
        if folder.exists():
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A folder is whole or absent, as what is in it.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
            part = Path(temporary) / run.id
            for artifact in run.logged_artifacts():
                if artifact.type in (MATRIX, SCORES) and "latest" in artifact.aliases:
                    artifact.download(root=str(part))
            part.rename(folder)
        print(folder)
        fetched += 1
    print(f"{fetched} runs fetched, {len(runs) - fetched} were here already")


def _is_finished(folder: Path) -> bool:
    return RunFolder(folder).is_done and (folder / "scores.parquet").exists()


def _runs(outputs: Path, settings: TrackingConfig, ids: Sequence[str] | None = None) -> list["Run"]:
    """The runs of this suite that a project has, of these ids where some are given.

    Raises:
        ConnectionError: there is no key, or the server does not answer.
    """
    filters: dict[str, Any] = {"jobType": JOB_TYPE} | ({} if ids is None else {"name": {"$in": list(ids)}})
    api = connect(outputs)
    with answering():
        try:
            return list(api.runs(project_path(api, settings), filters=filters, lazy=False))
        except ValueError:  # there is no such project yet
            return []


def _copy(folder: Path, settings: TrackingConfig) -> str:
    """One run, with its pictures; a frozen one, which has none, is drawn for it."""
    run = open_run(settings, folder, mode="online")
    try:
        figures = sorted((folder / "figures").glob("*.png"))
        if figures:
            log_result(run, folder, figures)
        else:
            from experiments.run_figure import draw_run

            with tempfile.TemporaryDirectory() as temporary:
                drawn = draw_run(folder, Path(temporary))
                log_result(run, folder, [path for path in drawn if path.suffix == ".png"])
    except BaseException:
        with suppress(Exception):  # the reason is known, and the run is there as failed if it can be told
            run.finish(exit_code=1)
        raise
    run.finish()
    return str(run.url)


def _give_up() -> None:
    """Do not wait for a lost server at exit."""
    import wandb

    wandb.teardown()


if __name__ == "__main__":
    main()
