"""How a sweep stands: `python -m experiments.status outputs/<name>`, with `--json` for a program.

planned      in the plan of the sweep, and not begun
running      a process is at it
done         finished
failed       ended by an error, whose first line is shown; the traceback is in its run.json
interrupted  ended by a person, or by a cluster that wanted the machine
stale        said to be running, but no process is at it: it was killed

Of a running one that has measured every block, the column "left" says that it is scoring. Whatever is not done is taken
up by the same command again. A run that is measured in shards has the first state of running, failed, stale,
interrupted and planned that any of its shards has; where all are done and nobody put them together it is stale.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean
from textwrap import shorten
from typing import Any

from experiments.plan import PLAN, read_plan
from experiments.run_folder import RunFolder
from experiments.tables import aligned
from influence.matrix_folder import missing_blocks, read_header

STATES = ("running", "failed", "stale", "interrupted", "planned", "done")
"""In the order in which that of a shard is that of the run."""

MOST_SHOWN = 160
"""Letters of a reason in the table; `--json` has them all."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How a run stands.

    Attributes:
        run: its hash, the name of its folder.
        state: one of `STATES`.
        overrides: that the sweep made it by; None where no plan names it.
        blocks_done, blocks: that are measured, and that are planned; None before the plan of blocks is made.
        seconds: that its processes have taken together.
        seconds_left: of a running one, at the pace of its blocks so far; None where it is not known.
        why: the first line of why it failed, or "".
        shards: state of each by the name of its folder.
    """

    run: str
    state: str
    overrides: list[str] | None
    blocks_done: int
    blocks: int | None
    seconds: float
    seconds_left: float | None
    why: str
    shards: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> None:
    """Tell how the sweeps named on the command line stand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of a sweep, outputs/<name>")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        runs = sweep_status(options.folder)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"status: {error}")
    counts = Counter(run.state for run in runs)
    left = seconds_left(runs)
    if options.json:
        print(json.dumps({"runs": [asdict(run) for run in runs], "count": counts, "seconds_left": left}, indent=1))
        return
    print(aligned(("run", "state", "blocks", "left", "what"), [_row(run, _in_common(runs)) for run in runs]))
    print()
    total = ", ".join(f"{counts[state]} {state}" for state in reversed(STATES) if counts[state])
    remaining = "time left unknown" if left is None else f"about {_duration(left)} left"
    print(f"{total}." if counts["done"] == len(runs) else f"{total}; {remaining}.")


def sweep_status(folder: Path) -> list[RunStatus]:
    """Every run that is planned or begun in the folder of a sweep, in the order of the plan.

    Raises:
        FileNotFoundError: there is neither a plan nor a run.
        ValueError: a file is torn.
    """
    plan = read_plan(folder)
    found = [*folder.glob("*/run.json"), *folder.glob("*/shards/*/run.json")]
    begun = sorted({folder / path.relative_to(folder).parts[0] for path in found})
    if not plan and not begun:
        raise FileNotFoundError(f"expected {PLAN} or run folders in {folder}, got none; give outputs/<name> of a sweep")
    names = dict.fromkeys([*plan, *(path.name for path in begun)])
    return [run_status(RunFolder(folder / name), plan.get(name, {}).get("overrides")) for name in names]


def run_status(run: RunFolder, overrides: list[str] | None = None) -> RunStatus:
    """How one run stands, from its files and locks."""
    parts = {path.name: RunFolder(path) for path in sorted(run.path.glob("shards/*-of-*"))}
    shards = {name: _state(part) for name, part in parts.items()}
    if shards:
        count = max(int(name.split("-of-")[1]) for name in shards)
        shards = {f"{index}-of-{count}": "planned" for index in range(count)} | shards
    own = _state(run)
    state = own
    if shards and own != "done":
        state = min([*shards.values(), *([own] if own != "planned" else [])], key=STATES.index)
        state = "stale" if state == "done" else state
    is_begun = (run.path / "matrix.json").exists()
    blocks = len(read_header(run.path)["blocks"]) if is_begun else None
    missing = len(missing_blocks(run.path)) if is_begun else 0
    records = [one.status for one in (run, *parts.values())]
    errors = [record["error"].splitlines()[0] for record in records if record.get("status") == "failed"]
    return RunStatus(
        run=run.path.name,
        state=state,
        overrides=overrides,
        blocks_done=(blocks or 0) - missing,
        blocks=blocks,
        seconds=sum(record.get("seconds", 0.0) for record in records),
        seconds_left=_seconds_left(run, records, missing) if state == "running" and missing else None,
        why=errors[0] if state == "failed" else "",
        shards=shards,
    )


def seconds_left(runs: Sequence[RunStatus]) -> float | None:
    """Time until every run is done, at the present number of runs at once; None where nothing tells how long one takes.

    A run that has not begun, or waits to be taken up, is taken to last as long as the mean of those that are done.
    """
    open_runs = [run for run in runs if run.state != "done"]
    if not open_runs:
        return 0.0
    taken = [run.seconds for run in runs if run.state == "done"]
    usual = mean(taken) if taken else None
    each = [usual if run.seconds_left is None else run.seconds_left for run in open_runs]
    known = [seconds for seconds in each if seconds is not None]
    if len(known) < len(each):
        return None
    at_once = max(1, sum(run.state == "running" for run in runs))
    return max(sum(known) / at_once, max(known))


def _state(folder: RunFolder) -> str:
    state: str = folder.status.get("status", "planned")
    return "stale" if state == "running" and not folder.is_held else state


def _seconds_left(run: RunFolder, records: Sequence[Mapping[str, Any]], missing: int) -> float | None:
    """At the pace at which the present processes have written blocks; None before they have written two."""
    since = min(datetime.fromisoformat(one["started"]).timestamp() for one in records if one.get("status") == "running")
    moments = sorted(path.stat().st_mtime for path in run.path.glob("blocks/*.npz"))
    written = [moment for moment in moments if moment >= since]
    if len(written) < 2:
        return None
    pace = (written[-1] - written[0]) / (len(written) - 1)
    return max(0.0, missing * pace - (time.time() - written[-1]))


def _in_common(runs: Sequence[RunStatus]) -> set[str]:
    """Overrides that every run of the plan has: they tell none from another."""
    named = [set(run.overrides) for run in runs if run.overrides is not None]
    return set.intersection(*named) if len(named) > 1 else set()


def _row(run: RunStatus, common: set[str]) -> tuple[str, ...]:
    what = " ".join(override for override in run.overrides or () if override not in common)
    why = shorten(run.why, MOST_SHOWN, placeholder=" ...")
    left = "" if run.seconds_left is None else _duration(run.seconds_left)
    if run.state == "running" and run.blocks and run.blocks_done == run.blocks:
        left = "scoring"
    if run.shards and run.state != "done":
        done = sum(state == "done" for state in run.shards.values())
        what = f"{what} ({done} of {len(run.shards)} shards)".strip()
    return (
        run.run,
        run.state,
        "" if run.blocks is None else f"{run.blocks_done} of {run.blocks}",
        left,
        ": ".join(filter(None, [what, why])),
    )


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


if __name__ == "__main__":
    main()
