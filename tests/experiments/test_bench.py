from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.bench import draw, speed
from influence.files import write_json


def timed(seconds: float, **more: Any) -> dict[str, Any]:
    return {"seconds_a_probe": seconds, "gemm_mflop_an_entry": 1.0, "error": 1e-5, "targets": 64, **more}


CASES = {
    "gemma_shared": {
        "what": "texts",
        "probes": 16,
        "targets": 64,
        "ratios": {"ratio": 5.0, "trainer_ratio": 6.0},
        "wanted": {"ratio": [3.5, None]},
        "variants": {
            "naive": timed(5.0, error=2e-5, loaded_gb=2.0, peak_gb=5.25),
            "trainer": timed(6.0),
            "engine": timed(1.0, loaded_gb=2.0, peak_gb=4.5),
        },
        "gemm": {"naive_gflop_a_probe": 200.0, "seconds_a_probe": 2.0},
    },
    "sizes": {
        "what": "by size",
        "probes": 3000,
        "targets": 3000,
        "ratios": {"ratio": 1.2},
        "wanted": {"ratio": [1.0, 1.4]},
        "variants": {
            "300 x 300": timed(1.0, targets=300),
            "3000 x 3000": timed(10.0, targets=3000, gemm_mflop_an_entry=1.2),
        },
    },
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_json(tmp_path / "bench" / "bench.json", {"gemma_shared_ratio": 5.0, "cases": CASES})
    return tmp_path


def test_the_table_says_how_much_longer_others_take_and_what_was_wanted(published):
    lines = speed(published).splitlines()
    assert lines[2:] == [
        "| texts (`gemma_shared`) | 16 x 64 | 1 | 5.00 (at least 3.5) | trainer 6.00 | 1e-05 (2e-05) | 2.5 (3.25) |",
        "| by size (`sizes`) | 300 x 300, 3000 x 3000 |  |  | dearest entry over cheapest 1.20 (at most 1.4) |  |  |",
    ]


def test_the_figure_shows_ways_and_sizes(published):
    _, _, table = draw(published)
    drawn = pd.read_csv(table)
    ways = drawn.dropna(subset="case")
    assert ways[["way", "times"]].to_numpy().tolist() == [["naive", 5.0], ["trainer", 6.0], ["bare GEMM", 2.0]]
    assert ways["wanted"].dropna().tolist() == [3.5]
    assert drawn[["size", "cost"]].dropna().to_numpy().tolist() == [[300.0, 1.0], [3000.0, 1.2]]


def test_without_times_the_command_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"expected the times of `make bench` in .*bench\.json, got no such file"
    ):
        speed(tmp_path)
