"""The folder of the report: a page, the plotting library beside it, and a script of data for each matrix."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.cards import cards, primary_scores
from experiments.published import LEDGER, PUBLISHED
from experiments.report.embed import arguments, matrix_data, samples_data, script, table_data
from experiments.report.runs import content_key, describe, find_folders, outcome, planned, scores
from experiments.run_folder import RunFolder, images_of
from experiments.run_sets import RunSet, run_sets
from experiments.schema import REPOSITORY
from influence.desiderata.card import Card
from influence.desiderata.scoring import score
from influence.files import write_atomically
from influence.matrix import InfluenceMatrix

OUTPUTS = REPOSITORY / "outputs"

ASSETS = Path(__file__).parent / "assets"

VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
"""Of the code that writes data: what another version wrote is written anew."""


def write_site(folders: Sequence[Path], to: Path) -> Path:
    """Write the report of all runs at or below the given folders; the same runs give the same bytes.

    Data of a run are named by the content of its folder, so that only those of new or changed runs are made.

    Returns:
        The page to open, `<to>/index.html`.

    Raises:
        FileNotFoundError: a folder is missing, or there is no run.
    """
    found = find_folders(folders)
    data = to / "data"
    earlier = _earlier(data / "index.js")
    entries = []
    for folder in found:
        key = content_key(folder, salt=VERSION)
        entry = earlier.get(key)
        # Whether a run still runs is not written in its folder.
        if entry is None or entry["status"] == "running" or not all((data / name).exists() for name in entry["files"]):
            entry = {"key": key, **_entry(folder, key, data)}
        entries.append(entry)
    index = {
        "runs": entries,
        "planned": planned(found),
        "cards": _cards(found, data),
        "ledger": _ledger(found),
    }
    _write(data / "index.js", script("addIndex", index))
    for asset in [*sorted(ASSETS.iterdir()), _plotly()]:
        _write(to / asset.name, asset.read_bytes())
    kept = {"index.js", *(name for entry in entries for name in entry["files"])}
    for path in data.glob("*.js"):
        if path.name not in kept:
            path.unlink()
    return to / "index.html"


def _earlier(index: Path) -> dict[str, dict[str, Any]]:
    """What the last report says of each run, by the content of its folder."""
    return {entry["key"]: entry for entry in arguments(index.read_bytes())[0]["runs"]} if index.exists() else {}


def _entry(folder: Path, key: str, data: Path) -> dict[str, Any]:
    """A run as the index has it; its matrix, samples and scores are written beside."""
    entry = {**describe(folder), "files": []}
    if not (folder / "matrix.json").exists():
        return entry
    try:
        matrix = InfluenceMatrix.load(folder, partial=True)
        probes = script_of_samples(matrix.probes, folder)
        targets = probes if matrix.targets.equals(matrix.probes) else script_of_samples(matrix.targets, folder)
        named = {"probes": probes[0], "targets": targets[0]}
        shown = {**matrix_data(matrix), **named, "scores": scores(folder)}
    except (ValueError, LookupError, TypeError, OSError) as error:
        # A torn run, or one of another version, must not hide the others.
        said = str(error) if isinstance(error, ValueError) else f"expected a matrix of this version, got {error!r}"
        return {**entry, "status": "unreadable", "error": said.replace(f"{folder}", entry["place"])}
    for name, content in (probes, targets):
        _write(data / f"{name}.js", content)
    _write(data / f"{key}.js", script("addMatrix", key, shown))
    files = sorted({f"{key}.js", *(f"{name}.js" for name in named.values())})
    return {**entry, **outcome(matrix), **named, "files": files}


def script_of_samples(table: pd.DataFrame, folder: Path) -> tuple[str, bytes]:
    """Name and content of the script of a sample table; runs of the same samples share it."""
    content = samples_data(table, images_of(folder))
    name = f"samples-{hashlib.sha256(script('addSamples', content)).hexdigest()[:16]}"
    return name, script("addSamples", name, content)


def _cards(folders: Sequence[Path], data: Path) -> list[dict[str, Any]]:
    """Desiderata cards: of published runs as the figures drew them, of others from their scores."""
    is_published = [folder.resolve().is_relative_to(PUBLISHED) for folder in folders]
    own = [folder for folder, published in zip(folders, is_published, strict=True) if not published]
    found = []
    scored = [(runs, frame) for runs in run_sets(_done(own)) if (frame := _scores(runs, data)) is not None]
    for title, card in cards(scored).items():
        found.append({"title": title, "origin": "these runs", **_card_data(card)})
    if any(is_published):
        for path in sorted((PUBLISHED / "figures").glob("card_*.csv")):
            table = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in NUMBERS})
            made = Card(scores=table, estimators=tuple(table["estimator"].unique()), notes=())
            title = RunSet((PUBLISHED / table["run"].iloc[0],)).model
            found.append({"title": title, "origin": "published", **_card_data(made)})
    return found


NUMBERS = ("value", "low", "high", "threshold")
"""Columns of a card's table that may be missing."""


def _done(folders: Sequence[Path]) -> list[Path]:
    return [
        folder
        for folder in folders
        if (folder / "matrix.json").exists() and (folder / "config.yaml").exists() and RunFolder(folder).is_done
    ]


def _scores(runs: RunSet, data: Path) -> pd.DataFrame | None:
    """The saved scores of one run; of several seeds those over them, computed once; None where it has none."""
    if len(runs.folders) == 1:
        path = runs.folders[0] / "scores.parquet"
        frame = pd.read_parquet(path) if path.exists() else pd.DataFrame()
        return frame if "threshold" in frame else None
    key = hashlib.sha256("".join(content_key(folder, salt=VERSION) for folder in runs.folders).encode()).hexdigest()
    path = data / f"scores-{key[:16]}.parquet"
    if not path.exists():
        matrices = runs.matrices()
        primary = primary_scores(matrices)
        if not primary:
            return None
        frame = score(matrices, primary)
        write_atomically(path, lambda temporary: frame.to_parquet(temporary, index=False))
    return pd.read_parquet(path)


def _card_data(card: Card) -> dict[str, Any]:
    shown = ["row", "overall", "score", "condition", "estimator", "experiment", "run", "value", "low", "high"]
    columns = [*shown, "threshold", "better", "verdict", "n", "unit_of_n", "note"]
    return {
        "estimators": list(card.estimators),
        "notes": list(card.notes),
        "scores": table_data(card.scores[columns]),
    }


def _ledger(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The paper's claims, where the published runs are part of the report."""
    path = PUBLISHED / LEDGER
    if not path.exists() or not any(folder.resolve().is_relative_to(PUBLISHED) for folder in folders):
        return []
    return table_data(pd.read_csv(path, keep_default_na=False, dtype=str))


def _plotly() -> Path:
    """The plotting library, as its package carries it."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


def _write(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
