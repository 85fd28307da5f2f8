import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from influence.models.protocol import Model, check, collate, collate_each, stack_columns


class Own(nn.Module):
    def loss(self, batch):
        return batch

    def log_prob(self, batch):
        return batch


class NoLoss(nn.Module):
    def log_prob(self, batch):
        return batch


class NotCallable(Own):
    loss = 0.1


def test_a_model_with_both_methods_passes():
    check(Own())
    assert isinstance(Own(), Model)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda batch: batch, "expected a torch nn.Module, got function; wrap the model in one"),
        (Own, "expected a torch nn.Module, got type"),
        (nn.Linear(1, 1), r"with loss\(batch\) and log_prob\(batch\), got Linear without loss and log_prob; add the"),
        (NoLoss(), "got NoLoss without loss; add the method"),
        (NotCallable(), "got NotCallable without loss; add the method"),
    ],
)
def test_what_is_no_model_is_refused(model, sentence):
    with pytest.raises(TypeError, match=sentence):
        check(model)


@pytest.fixture
def samples() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b"],
            "label": [3, 1],
            "sigma": [0.5, 0.0],
            "clean": [False, True],
            "group": ["noise", "clean"],
            "image": list(np.arange(8.0).reshape(2, 1, 2, 2)),
            "tokens": list(np.array([[5, 6], [7, 8]], dtype=np.int32)),
            "small": list(np.ones((2, 3), dtype=np.float32)),
        },
        index=[9, 4],
    )


def test_columns_become_tensors_with_their_precision(samples):
    batch = stack_columns(samples)
    assert set(batch) == {"label", "sigma", "clean", "image", "tokens", "small"}
    assert batch["label"].tolist() == [3, 1]
    assert batch["sigma"].tolist() == [0.5, 0.0]
    assert batch["clean"].tolist() == [False, True]
    assert batch["image"].tolist() == [[[[0, 1], [2, 3]]], [[[4, 5], [6, 7]]]]
    types = {name: tensor.dtype for name, tensor in batch.items()}
    assert (types["label"], types["sigma"], types["clean"]) == (torch.int64, torch.float64, torch.bool)
    assert (types["image"], types["tokens"], types["small"]) == (torch.float64, torch.int32, torch.float32)


def test_a_batch_is_a_copy(samples):
    for tensor in stack_columns(samples).values():
        tensor.zero_()
    assert samples["label"].tolist() == [3, 1]
    assert samples["image"].iloc[1].sum() == 22


class Collates(Own):
    """Makes a batch of its own from texts, beside tensors for its device."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))

    def collate(self, samples):
        return {"lengths": torch.tensor([len(text) for text in samples["group"]])}


def test_a_model_may_collate_by_itself(samples):
    batch = collate(Collates(), samples)
    assert list(batch) == ["lengths"]
    assert batch["lengths"].device.type == "meta"  # where the model is
    listed = Collates()
    listed.collate = lambda samples: samples["id"].tolist()
    assert collate(listed, samples) == ["a", "b"]


def test_without_parameters_a_batch_stays_on_the_cpu(samples):
    assert collate(Own(), samples)["label"].device.type == "cpu"


class CollatesIds(Own):
    def collate(self, samples):
        return [f"{id} of {len(samples)}" for id in samples["id"]]


def test_each_sample_is_collated_as_if_alone():
    """In memory of its own: what a model does to one batch does not reach the next."""
    samples = pd.DataFrame({"id": ["a", "b", "c"], "label": [3, 1, 2], "image": [*np.arange(6.0).reshape(3, 2)]})
    for row, batch in enumerate(collate_each(nn.Linear(1, 1), samples)):
        alone = collate(nn.Linear(1, 1), samples.iloc[[row]])
        assert batch.keys() == alone.keys()
        assert all(torch.equal(batch[name], alone[name]) for name in batch)
        assert batch["image"].storage_offset() == 0
    assert list(collate_each(CollatesIds(), samples)) == [["a of 1"], ["b of 1"], ["c of 1"]]
