import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import freeze
from experiments.identity import run_hash
from experiments.run_folder import IMAGES, RunFolder, images_of
from influence.data.stored import load_images
from influence.files import read_json, sha256, write_json
from influence.matrix import InfluenceMatrix
from tests.experiments.commands import QUIET, contents, execute

ABSOLUTE = re.compile(r"(?<![\w.~<-])/\w+")


def committed(run: RunFolder, dirty: bool | None = False) -> RunFolder:
    """The run as if it was measured by committed code, or by other."""
    header = read_json(run.path / "matrix.json")
    header["provenance"]["dirty"] = dirty
    write_json(run.path / "matrix.json", header)
    return run


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


def test_the_copy_is_the_matrix_to_fifteen_bits(smoke_copy, published):
    run = committed(smoke_copy)
    target = freeze.freeze(run.path, published)
    assert target == published / "smoke" / run.path.name
    one, other = InfluenceMatrix.load(run.path), InfluenceMatrix.load(target)
    assert np.array_equal(one.before.astype(np.float32), other.before)
    for name in ("gain", "self_gain"):
        mine, its = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(its, mine, rtol=2**-16)
        assert not (its.astype(np.float32).view(np.uint32) & 0xFF).any()  # nothing left that does not compress
    assert (one.estimator, one.readout, one.provenance) == (other.estimator, other.readout, other.provenance)
    assert [block.id for block in one.blocks] == [block.id for block in other.blocks]
    few = list(one.probes["id"][[3, 7]])
    assert np.array_equal(InfluenceMatrix.load(target, probes=few).gain, other.gain[[3, 7]])
    images = (load_images(folder / IMAGES, one.probes)["image"] for folder in (run.path, target))
    assert all(np.array_equal(*pair) for pair in zip(*images, strict=True))
    kept, copied = contents(run.path), contents(target)
    left = {name for name in kept if name.startswith((".", "figures/", "blocks/"))}
    assert kept.keys() - copied.keys() == {"scores.json", *left}  # locks, and what the rest gives again
    assert copied.keys() - kept.keys() == {"blocks.npz"}
    changed = {name for name in copied.keys() & kept.keys() if copied[name] != kept[name]}
    assert changed == {"config.yaml", "probes.parquet"}
    for mine, its in ((one.probes, other.probes), (one.targets, other.targets)):
        pd.testing.assert_frame_equal(mine, its, check_dtype=False, rtol=1e-6)


def test_a_torn_copy_is_named(smoke_copy, published):
    target = freeze.freeze(committed(smoke_copy).path, published)
    (target / "blocks.npz").write_bytes((target / "blocks.npz").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"expected a whole block of gains in .*blocks.npz, got a torn file"):
        InfluenceMatrix.load(target)


def test_base_weights_lie_beside_it(smoke_copy, published):
    run = committed(smoke_copy)
    freeze.freeze(run.path, published)
    base = InfluenceMatrix.load(run.path).provenance["base_model"]["folder"]
    for name in ("weights.safetensors", "training.json"):
        copy = published / "models" / base / name
        assert copy.read_bytes() == (run.path.parents[1] / "models" / base / name).read_bytes()


def test_of_many_seeds_the_weights_of_the_first_are_kept(smoke_copy, published):
    run = committed(smoke_copy)
    settings = (run.path / "config.yaml").read_text()
    other = re.sub(r"^(trainer:\n(?:  .*\n)*?  seed:) .*$", r"\1 1", settings, flags=re.MULTILINE)
    (run.path / "config.yaml").write_text(other)
    assert run.config.trainer.seed == 1
    target = freeze.freeze(run.path, published)
    assert not (published / "models").exists()
    assert (target / IMAGES).exists()
    assert InfluenceMatrix.load(target).provenance["identity"]["weights"]


def test_of_runs_on_the_same_data_the_first_keeps_the_images(smoke_copy, published):
    run = committed(smoke_copy)
    others = [shutil.copytree(run.path, run.path.with_name(name)) for name in ("same", "different")]
    settings = (others[1] / "config.yaml").read_text()
    (others[1] / "config.yaml").write_text(re.sub(r"^  size: .*$", "  size: 9", settings, flags=re.MULTILINE))
    targets = [freeze.freeze(folder, published) for folder in (run.path, *others)]
    assert [images_of(target) for target in targets] == [targets[0] / IMAGES, targets[0] / IMAGES, targets[2] / IMAGES]
    assert [(target / IMAGES).exists() for target in targets] == [True, False, True]
    assert freeze.freeze(run.path, published) == targets[0]  # again, and the images stay
    assert images_of(targets[0]).parent == targets[0]


def text_files(folder: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in folder.rglob("*") if path.suffix in (".json", ".yaml", ".csv", ".md")}


def test_the_copy_names_no_folder_of_the_machine(smoke_copy, published):
    freeze.freeze(committed(smoke_copy).path, published)
    texts = text_files(published)
    assert {path.name for path in texts} == {
        "config.yaml",
        "matrix.json",
        "run.json",
        "training.json",
    }
    assert {path.name: ABSOLUTE.findall(text) for path, text in texts.items() if ABSOLUTE.search(text)} == {}
    assert ABSOLUTE.search(f"folder: {published}")  # what it looks for, it finds


def test_the_kept_settings_still_name_the_run(smoke_copy, published):
    target = freeze.freeze(committed(smoke_copy).path, published)
    config = RunFolder(target).config
    assert config.keys() == {"name", "data", "model", "trainer", "estimator", "readout", "seed"}
    assert run_hash(config) == target.name


def test_given_weights_are_kept_without_their_path(smoke, tmp_path, published):
    trained = next((smoke.path.parents[1] / "models").glob("*/weights.safetensors"))
    weights = shutil.copy(trained, tmp_path / "given.safetensors")
    given = execute(tmp_path / "outputs", "experiment=smoke", f"model.weights={weights}", "estimator.lr=0.01", *QUIET)
    target = freeze.freeze(committed(given).path, published)
    assert not ABSOLUTE.search("\n".join(text_files(published).values()))
    assert RunFolder(target).config.model.weights == sha256(trained)
    assert run_hash(RunFolder(target).config) == target.name
    copies = list((published / "models").glob("*/weights.safetensors"))
    assert [copy.read_bytes() for copy in copies] == [trained.read_bytes()]


def test_freezing_twice_is_the_same(smoke_copy, published):
    run = committed(smoke_copy)
    freeze.freeze(run.path, published)
    first = contents(published)
    freeze.freeze(run.path, published)
    assert contents(published) == first


def test_a_run_is_frozen_from_inside_its_folder(smoke_copy, published, monkeypatch):
    run = committed(smoke_copy)
    monkeypatch.chdir(run.path)
    assert freeze.freeze(Path(), published) == published / "smoke" / run.path.name
    assert list((published / "models").glob("*/weights.safetensors"))


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", None])
def test_an_unfinished_run_is_refused(smoke_copy, published, status):
    run = committed(smoke_copy)
    if status is None:
        (run.path / "run.json").unlink()
    else:
        write_json(run.path / "run.json", {"status": status})
    with pytest.raises(ValueError, match="expected") as caught:
        freeze.freeze(run.path, published)
    assert str(caught.value) == f"expected a finished run in {run.path}, got {status or 'none'}; run it again"
    assert not published.exists()


@pytest.mark.parametrize("dirty", [True, None])  # None where the commit is unknown
def test_what_no_commit_measured_is_refused(smoke_copy, published, dirty):
    run = committed(smoke_copy, dirty)
    with pytest.raises(ValueError, match="expected") as caught:
        freeze.freeze(run.path, published)
    assert str(caught.value) == (
        f"expected {run.path} to be measured by committed code, got dirty={dirty}; "
        "commit, delete the run and measure it again"
    )
    assert not published.exists()


def test_the_command_takes_folders_of_runs_and_ends_in_a_sentence(smoke_copy, published, monkeypatch, capsys):
    monkeypatch.setattr(freeze, "PUBLISHED", published)
    committed(smoke_copy)
    freeze.main([str(smoke_copy.path.parent)])
    assert capsys.readouterr().out == f"{published / 'smoke' / smoke_copy.path.name}\n"
    committed(smoke_copy, dirty=True)
    with pytest.raises(SystemExit, match=r"^freeze: expected .* to be measured by committed code, got dirty=True"):
        freeze.main([str(smoke_copy.path)])
