"""What is made again: what reads a run that has changed, and nothing else."""

import logging
from pathlib import Path

import pytest

from experiments.manifest import MANIFEST, Product, rebuild
from experiments.run_folder import RunFolder
from influence.files import read_json
from influence.matrix import InfluenceMatrix
from tests.experiments.fabricated import image_run


def largest(folder: Path, experiment: str) -> list[Path]:
    """A product: the largest gain of the runs of an experiment."""
    runs = sorted((folder / experiment).glob("*/matrix.json"))
    if not runs:
        raise FileNotFoundError(f"expected runs of {experiment}, got none")
    path = folder / "figures" / f"{experiment}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(" ".join(str(InfluenceMatrix.load(run.parent).gain.max()) for run in runs))
    return [path]


def product(experiment: str) -> Product:
    return Product(experiment, (experiment,), lambda folder: largest(folder, experiment))


PRODUCTS = [product("one"), product("two")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("one", "two")):
        image_run(tmp_path / name / "ab12", seed=seed)
    return tmp_path


def made(folder: Path, **options: bool) -> list[str]:
    return [path.stem for path in rebuild(PRODUCTS, folder, **options)]


def test_only_what_has_changed_is_made_again(folder):
    assert made(folder) == ["one", "two"]
    before = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert made(folder) == []
    image_run(folder / "one" / "cd34", seed=2)
    assert made(folder) == ["one"]
    (folder / "figures" / "two.txt").unlink()
    assert made(folder) == ["two"]
    assert (folder / "figures" / "two.txt").read_bytes() == before["two.txt"]
    assert made(folder, force=True) == ["one", "two"]


def test_the_manifest_names_runs_files_and_what_reads_them(folder):
    made(folder)
    manifest = read_json(folder / MANIFEST)
    assert manifest["results"].keys() == {"one/ab12", "two/ab12"}
    assert manifest["products"]["one"]["reads"] == ["one"]
    assert manifest["products"]["one"]["files"].keys() == {"figures/one.txt"}


def test_a_run_that_is_scored_or_logged_again_is_another_only_by_its_scores(folder):
    made(folder)
    (folder / "one" / "ab12" / "run.log").write_text("again")
    assert made(folder) == []
    assert RunFolder(folder / "one" / "ab12").settings["seed"] == 0
    (folder / "one" / "ab12" / "scores.parquet").write_bytes(b"others")
    assert made(folder) == ["one"]


def test_what_has_no_runs_is_left_out_or_refused(folder, caplog):
    products = [*PRODUCTS, product("three")]
    with pytest.raises(FileNotFoundError, match="expected runs of three, got none"):
        rebuild(products, folder)
    with caplog.at_level(logging.WARNING):
        assert [path.stem for path in rebuild(products, folder, partial=True)] == ["one", "two"]
    assert caplog.messages == ["three is left out: expected runs of three, got none"]
