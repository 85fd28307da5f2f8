"""Speed as the README shows it, from `bench/bench.json` of `make bench`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.tables import markdown, number
from influence.files import read_json
from influence.plots.bench import bench_figure
from influence.plots.style import save_figure

FILE = "bench/bench.json"

SIZES = "sizes"
"""The case whose variants are sizes of a matrix; those of others are ways to one job."""


def records(published: Path) -> dict[str, Any]:
    """The record of every case.

    Raises:
        FileNotFoundError: none was measured.
    """
    path = published / FILE
    if not path.exists():
        raise FileNotFoundError(f"expected the times of `make bench` in {path}, got no such file; run it")
    cases: dict[str, Any] = read_json(path)["cases"]
    return cases


def speed(published: Path) -> str:
    """A line a job: how much longer every other way takes, what was wanted, errors and memory."""
    rows = []
    for name, record in records(published).items():
        ways, wanted = record["variants"], record["wanted"]
        ratios = {ratio: f"{value:.2f}{_bounds(wanted.get(ratio))}" for ratio, value in record["ratios"].items()}
        main = ratios.pop("ratio")
        others = [f"{ratio.removesuffix('_ratio')} {value}" for ratio, value in ratios.items()]
        engine, naive = ways.get("engine", {}), ways.get("naive", {})
        rows.append(
            [
                f"{record['what']} (`{name}`)",
                ", ".join(ways) if name == SIZES else f"{record['probes']} x {record['targets']}",
                number(engine["seconds_a_probe"]) if engine else "",
                main if naive else "",
                f"dearest entry over cheapest {main}" if name == SIZES else ", ".join(others),
                _both(engine.get("error"), naive.get("error")),
                _both(_held(engine), _held(naive)),
            ]
        )
    header = [
        "job",
        "probes x targets",
        "engine (s a probe)",
        "naive loop over engine",
        "others over engine",
        "error of engine (naive)",
        "GB beside model and samples",
    ]
    return markdown(header, rows)


def draw(published: Path) -> list[Path]:
    """The times of all cases, and the cost of an entry by size."""
    cases = records(published)
    rows = []
    for name, record in cases.items():
        ways = record["variants"]
        if name == SIZES:
            continue
        engine = ways["engine"]["seconds_a_probe"]
        seconds = {way: timed["seconds_a_probe"] for way, timed in ways.items() if way != "engine"}
        if "gemm" in record:
            seconds["bare GEMM"] = record["gemm"]["seconds_a_probe"]
        for way, value in seconds.items():
            bounds = record["wanted"].get("ratio" if way == "naive" else f"{way}_ratio", [None])
            rows.append({"case": name, "way": way, "times": value / engine, "wanted": bounds[0]})
    sized = cases.get(SIZES, {"variants": {}})["variants"].values()
    sizes = pd.DataFrame(
        [{"size": timed["targets"], "cost": timed["gemm_mflop_an_entry"]} for timed in sized],
        columns=["size", "cost"],
    ).astype({"size": float, "cost": float})
    ways_table = pd.DataFrame(rows, columns=["case", "way", "times", "wanted"]).astype({"wanted": float})
    figure = bench_figure(ways_table, sizes, most=1.4)
    return save_figure(figure, published / "figures" / "bench", pd.concat([ways_table, sizes], ignore_index=True))


def _bounds(bounds: Any) -> str:
    """`(at least 3.5)`, `(at most 1.4)`, or nothing."""
    if bounds is None:
        return ""
    low, high = bounds
    return f" (at most {high:g})" if high is not None else f" (at least {low:g})"


def _held(way: Mapping[str, Any]) -> float | None:
    """Peak memory beside what was there before, GB."""
    return way["peak_gb"] - way["loaded_gb"] if "peak_gb" in way else None


def _both(engine: float | None, naive: float | None) -> str:
    if engine is None:
        return ""
    return number(engine) if naive is None else f"{number(engine)} ({number(naive)})"
