"""Panels show what runs log, by its own name."""

from pathlib import Path

import pandas as pd

from experiments import panels
from experiments.published import PUBLISHED
from experiments.run_folder import find_runs
from experiments.tracked_result import numbers
from experiments.tracking import Mode, TrackingConfig, track
from influence.desiderata.registry import SCORES
from influence.desiderata.spec import unconditional
from influence.matrix import InfluenceMatrix
from tests.experiments.fabricated import finished
from tests.experiments.wandb_reader import read_records, read_summary


def test_panels_of_results_show_numbers_that_published_runs_have():
    shown = {panels.SELF_GAIN, panels.LR, panels.FAILURES}
    for group in (panels.DESIDERATA, panels.SYMMETRY, panels.OF_STEP_SIZE):
        shown |= set(group.values())
    # Frozen runs that are scored over seeds have no scores of their own.
    told = {f"desiderata/{name}" for name, score in SCORES.items() if score.conditions is unconditional}
    for folder in find_runs([PUBLISHED]):
        if (folder / "scores.parquet").exists() and not shown <= told:
            told |= numbers(InfluenceMatrix.load(folder), pd.read_parquet(folder / "scores.parquet")).keys()
    assert shown - told == set()


def test_every_score_that_is_judged_has_a_panel():
    shown = {key.split("/")[1] for key in panels.DESIDERATA.values()}
    assert {name for name, score in SCORES.items() if score.criterion} <= shown


def test_panels_of_progress_and_media_show_what_a_live_run_logs(home, tmp_path: Path):
    folder = finished(tmp_path / "outputs" / "digits" / "ab12", 0)
    with track(TrackingConfig(mode=Mode.offline), folder) as tracker:
        tracker.progress(6, 12, 3.0)
        tracker.result()
    history = {key for record in read_records(folder)["history"] for key in record["item"]}
    run = read_summary(folder)
    assert set(panels.LIVE.values()) <= history
    assert {panels.HEAT_MAP, panels.TABLE} <= run["summary"].keys()
    assert run["config"][panels.LEARNER] == "CNN, SGD"
    assert {panels.SELF_GAIN, panels.LR, panels.FAILURES} <= run["summary"].keys()
