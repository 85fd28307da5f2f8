"""The team's dashboard in Weights & Biases: `python -m experiments.dashboard --entity TEAM --project influence`.

A workspace of panels over the mirrored runs (`experiments.panels`) and a report with the paper's figures. Their
addresses are kept in `<outputs>/wandb/dashboards.json`, by which the same command updates both rather than make new
ones; sections that the team has added to the workspace stay.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.panels import FIGURES_RUN, save_report, save_workspace
from experiments.published import PUBLISHED
from experiments.schema import REPOSITORY
from experiments.tracked_result import DIGEST
from experiments.tracking import TrackingConfig, answering, connect, project_path
from influence.files import read_json, sha256, write_json

if TYPE_CHECKING:
    from wandb import Api

KEPT = "wandb/dashboards.json"
"""Addresses of workspace and report by project, in the folder of outputs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build or update the dashboard of a project."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", default=TrackingConfig().project, help="of W&B (default %(default)s)")
    parser.add_argument("--entity", help="user or team of W&B (default the key's own)")
    parser.add_argument("--outputs", type=Path, default=REPOSITORY / "outputs", help="where the addresses are kept")
    parser.add_argument(
        "--figures", type=Path, default=PUBLISHED / "figures", help="folder of the report's figures, PNG files"
    )
    options = parser.parse_args(arguments)
    settings = TrackingConfig(project=options.project, entity=options.entity)
    try:
        for url in build(settings, options.outputs, sorted(options.figures.glob("*.png"))):
            print(url)
    except (ConnectionError, FileNotFoundError) as error:
        sys.exit(f"dashboard: {error}")


def build(settings: TrackingConfig, outputs: Path, figures: Sequence[Path]) -> list[str]:
    """Build the workspace and the report of a project, or update those built before.

    Args:
        settings: project and entity.
        outputs: folder that keeps the addresses.
        figures: PNG files for the report.

    Returns:
        The addresses of workspace and report.

    Raises:
        ConnectionError: there is no key, or the server does not answer.
        FileNotFoundError: the server has no such project.
    """
    api = connect(outputs)
    with answering():
        entity, project = project_path(api, settings).split("/")
        known = {found.name for found in api.projects(entity)}
    if project not in known:
        raise FileNotFoundError(
            f"expected the project {entity}/{project} at W&B, got {', '.join(sorted(known)) or 'none'}; "
            f"mirror runs into it first: `python -m experiments.mirror outputs/<name> --project {project}`"
        )
    path, name = outputs / KEPT, f"{api.settings['base_url']}/{entity}/{project}"
    kept: dict[str, Any] = read_json(path) if path.exists() else {}
    with answering():
        _upload(api, entity, project, outputs, figures)
        report = partial(save_report, figures=[figure.stem for figure in figures])
        for kind, save in (("workspace", save_workspace), ("report", report)):
            url = save(entity, project, kept.get(name, {}).get(kind))
            # Written at once, so that what fails after it is not made twice.
            kept[name] = {**kept.get(name, {}), kind: url}
            write_json(path, kept)
    return [kept[name]["workspace"], kept[name]["report"]]


def _upload(api: "Api", entity: str, project: str, outputs: Path, figures: Sequence[Path]) -> None:
    """Put the figures into a run of their own, unless it holds them."""
    import wandb

    digest = hashlib.sha256("\n".join(f"{path.stem} {sha256(path)}" for path in figures).encode()).hexdigest()
    filters = {"jobType": FIGURES_RUN, "name": FIGURES_RUN}
    there = [run.summary_metrics.get(DIGEST) for run in api.runs(f"{entity}/{project}", filters=filters, lazy=False)]
    if there == [digest] or not figures:
        return
    run = wandb.init(
        entity=entity,
        project=project,
        mode="online",
        resume="allow",
        dir=outputs,
        id=FIGURES_RUN,
        name="figures of the paper",
        job_type=FIGURES_RUN,
    )
    run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in figures})
    run.summary[DIGEST] = digest
    run.finish()


if __name__ == "__main__":
    main()
