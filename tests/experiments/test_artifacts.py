"""What the artifacts of a run hold."""

import json
from pathlib import Path

import pytest

from experiments import artifacts
from experiments.artifacts import data_artifact, domain, matrix_artifact, model_artifact
from influence.files import read_json, write_json
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import pack
from tests.experiments.fabricated import image_run

BASE = {"folder": "f00d", "accuracy": 0.9}


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Path:
    """A run whose base model was trained."""
    folder = image_run(tmp_path / "outputs" / "digits" / "ab12")
    header = read_json(folder / "matrix.json")
    header["provenance"] |= {
        "base_model": BASE,
        "data": {"digits test": {"images": "0a"}},
        "identity": {"weights": "0b", "probes": "0c", "targets": "0d"},
    }
    write_json(folder / "matrix.json", header)
    weights = tmp_path / "outputs" / "models" / "f00d" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(100))
    return folder


def files(artifact):
    return set(artifact.manifest.entries)


def test_small_weights_go_with_the_model_and_large_ones_by_name(run, monkeypatch):
    assert files(model_artifact(run)) == {"model.json", "weights.safetensors"}
    monkeypatch.setattr(artifacts, "MAX_WEIGHTS", 99)
    artifact = model_artifact(run)
    assert files(artifact) == {"model.json"}
    assert artifact.metadata == {"model": {"name": "CNN", "channels": [4, 8]}, "weights": "0b", **BASE}


def test_data_are_named_by_their_checksums(run):
    artifact = data_artifact(run)
    entry = artifact.manifest.entries["data.json"]
    assert json.loads(Path(entry.local_path).read_text()) == artifact.metadata
    assert artifact.metadata["checksums"] == {"digits test": {"images": "0a"}}
    assert (artifact.metadata["probes"], artifact.metadata["targets"]) == ("0c", "0d")


def test_a_matrix_is_whole_as_blocks_and_packed(run, tmp_path):
    matrix = InfluenceMatrix.load(run)
    assert files(matrix_artifact("ab12", run, matrix)) == {
        "config.yaml",
        "matrix.json",
        "probes.parquet",
        "blocks/world-0.npz",
    }
    packed = tmp_path / "packed"
    packed.mkdir()
    pack(run, packed)
    assert "blocks.npz" in files(matrix_artifact("ab12", packed, matrix))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"domain": "kinship", "worlds": 3}, "kinship"),
        ({"_target_": "mine.samples"}, "mine.samples"),
        ({"per_category": 4}, "nouns"),
    ],
)
def test_the_domain_of_a_run(data, named):
    assert domain({"data": data}) == named
