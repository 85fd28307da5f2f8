"""Build the team's workspace and report in W&B: `python -m experiments.dashboard --entity E --project P`.

Their addresses are kept in `<outputs>/wandb/dashboards.json`, so that the next call brings the same views up to date.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.mirror import project_runs
from experiments.schema import REPOSITORY
from experiments.tracking import TrackingConfig, reason
from influence.files import read_json, write_json

NAME = "Influence: desiderata"
"""Of the workspace."""

TITLE = "Influence report"
"""Of the report."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the dashboards of a project, or bring them up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", default=TrackingConfig().project, help="of W&B (default %(default)s)")
    parser.add_argument("--entity", help="user or team of W&B (default the key's own)")
    parser.add_argument("--outputs", type=Path, default=REPOSITORY / "outputs", help="where addresses are kept")
    options = parser.parse_args(arguments)
    try:
        urls = build(TrackingConfig(project=options.project, entity=options.entity), options.outputs)
    except (ConnectionError, ValueError) as error:
        sys.exit(f"dashboard: {error}")
    for kind, url in urls.items():
        print(f"{kind:<10}{url}")


def build(settings: TrackingConfig, outputs: Path) -> dict[str, str]:
    """Save workspace and report of a project, over those that were saved before; return their addresses.

    Args:
        settings: project and entity.
        outputs: holds `wandb/dashboards.json`.

    Raises:
        ConnectionError: there is no key, or the server does not answer.
        ValueError: the project has no finished run to show.
    """
    runs = project_runs(outputs / "_" / "_", settings)
    import wandb

    from experiments.panels import primary_keys

    scores = primary_keys(key for run in runs for key in run.summary_metrics)
    if not scores:
        raise ValueError(
            f"expected finished runs in the project {settings.project!r}, got none with scores; copy some there: "
            "`python -m experiments.mirror outputs/published`"
        )
    entity = settings.entity or str(wandb.Api().default_entity)
    kept = outputs / "wandb" / "dashboards.json"
    addresses: dict[str, dict[str, str]] = read_json(kept) if kept.exists() else {}
    place = f"{wandb.Api().settings['base_url']}/{entity}/{settings.project}"
    try:
        urls = {
            "workspace": _save_workspace(entity, settings.project, scores, addresses.get(place, {})),
            "report": _save_report(entity, settings.project, scores, addresses.get(place, {})),
        }
    except Exception as error:  # whatever the SDK raises
        raise ConnectionError(
            f"expected W&B to take the dashboards of {entity}/{settings.project}, got: {reason(error)}; "
            "give the same command again"
        ) from error
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {**addresses, place: urls})
    return urls


def _save_workspace(entity: str, project: str, scores: Sequence[str], earlier: Mapping[str, str]) -> str:
    import wandb_workspaces.workspaces as workspaces

    from experiments.panels import WHAT, sections

    view = _there(workspaces.Workspace, earlier.get("workspace"))
    if view is None:
        view = workspaces.Workspace(entity=entity, project=project, name=NAME)
    view.sections = sections(scores)
    view.runset_settings.groupby = [workspaces.Config(key.removeprefix("config.")) for key in WHAT]
    return str(view.save().url)


def _save_report(entity: str, project: str, scores: Sequence[str], earlier: Mapping[str, str]) -> str:
    import wandb_workspaces.reports.v2 as reports

    from experiments.panels import blocks

    def runset(name: str, filters: str, groupby: Sequence[str]) -> reports.Runset:
        return reports.Runset(entity=entity, project=project, name=name, filters=filters, groupby=list(groupby))

    view = _there(reports.Report, earlier.get("report"))
    if view is None:
        view = reports.Report(entity=entity, project=project, title=TITLE, width="fluid")
    view.blocks = blocks(scores, runset)
    return str(view.save().url)


def _there(kind: Any, url: str | None) -> Any:
    """The view of an address; None where there is none, or it was deleted."""
    if url is None:
        return None
    try:
        return kind.from_url(url)
    except (LookupError, TypeError, ValueError) as error:
        print(f"{url} is gone ({reason(error)}); a new one takes its place")
        return None


if __name__ == "__main__":
    main()
