import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch import nn

from influence.provenance import collect, versions, weights_digest


class TestWeightsDigest:
    def weights(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))

    def test_is_of_the_numbers_not_of_their_layout(self):
        model = self.weights()
        assert weights_digest(self.weights()) == weights_digest(model)
        assert weights_digest(self.weights().to(memory_format=torch.channels_last)) == weights_digest(model)

    def flip_a_bit(self, model):
        weight = model[0].weight.data.view(torch.int32)
        weight[2, 1, 2, 2] ^= 1

    def count_a_batch(self, model):
        model[1].num_batches_tracked += 1

    def exchange(self, model):
        weight, bias = model[1].weight, model[1].bias
        model[1].weight, model[1].bias = bias, weight

    def reshape(self, model):
        model[0].weight = nn.Parameter(model[0].weight.data.reshape(3, 2, 9, 1))

    def reinterpret(self, model):
        model[1].running_mean = model[1].running_mean.view(torch.int32)

    def rename(self, model):
        model[1].scale = model[1].weight
        model[1].weight = None

    @pytest.mark.parametrize(
        "change",
        [flip_a_bit, count_a_batch, exchange, reshape, reinterpret, rename],
        ids=lambda change: change.__name__,
    )
    def test_sees_every_change(self, change):
        model = self.weights()
        change(self, model)
        assert weights_digest(model) != weights_digest(self.weights())

    def test_takes_every_type(self):
        digests = {weights_digest(self.weights().to(dtype)) for dtype in (torch.float64, torch.bfloat16, torch.float16)}
        assert len(digests) == 3


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "Begin")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_repository_is_told_from_a_changed_one(repository):
    clean = collect(repository)
    assert clean["commit"] == git(repository, "rev-parse", "HEAD")
    assert clean["dirty"] is False
    (repository / "code.py").write_text("x = 2\n")
    assert collect(repository)["dirty"] is True
    git(repository, "checkout", "-q", "code.py")
    assert collect(repository)["dirty"] is False
    (repository / "new.py").touch()
    assert collect(repository)["dirty"] is True


def test_without_a_repository_or_git_nothing_is_claimed(tmp_path, repository, monkeypatch):
    outside = tmp_path / ".." / "outside"
    outside.mkdir()
    assert (collect(outside)["commit"], collect(outside)["dirty"]) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert (collect(repository)["commit"], collect(repository)["dirty"]) == (None, None)


def test_what_is_collected_can_be_saved(repository):
    collected = collect(repository)
    assert json.loads(json.dumps(collected)) == collected
    assert collected["libraries"]["torch"] == version("torch")
    assert collected["libraries"]["scikit-learn"] == version("scikit-learn")
    assert versions(["torch", "no-such-package"]) == {"torch": version("torch")}
    assert collected["threads"] == torch.get_num_threads()
