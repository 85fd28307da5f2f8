import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from influence.data.training import ImageData
from influence.data.vision import ImageSet
from influence.files import read_json
from influence.models import base
from influence.models.base import initialise, load_weights, train_once
from influence.models.cnn import CNN

EPOCHS = 3


def small() -> CNN:
    return CNN(image_size=8, channels=(4, 8), hidden=16, num_classes=4, lr=0.02)


def bright_quadrants(count: int, split: str) -> ImageSet:
    """Dim noise, and one bright quarter of the image that is the label."""
    rng = np.random.default_rng([count, len(split)])
    images_NHW, labels_N = rng.integers(0, 60, (count, 8, 8), dtype=np.uint8), rng.integers(0, 4, count)
    for image, label in zip(images_NHW, labels_N, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 150
    return ImageSet(name="quadrants", split=split, images_NHW=images_NHW, labels_N=labels_N, checksums={})


def train(folder, *, seed: int = 0, model: CNN | None = None) -> tuple[CNN, dict]:
    model = initialise(small, seed=0) if model is None else model
    data = ImageData(bright_quadrants(240, "train"), bright_quadrants(100, "test"), batch_size=20, seed=seed)
    return model, train_once(model, data, folder, epochs=EPOCHS, seed=seed, device="cpu")


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a trained model, the model and the record."""
    folder = tmp_path_factory.mktemp("models") / "abc"
    return folder, *train(folder)


def forbid(*arguments, **settings):
    raise AssertionError("it trains")


def interrupt(*arguments, **settings):
    raise KeyboardInterrupt


def test_a_model_learns_what_can_be_learned(trained):
    _, model, record = trained
    test = bright_quadrants(500, "unseen")
    images = torch.from_numpy(test.images_NHW)[:, None] / 255
    with torch.no_grad():
        accuracy = (model(images).argmax(1).numpy() == test.labels_N).mean()
    assert accuracy > 0.95
    assert record["accuracy"] > 0.95
    assert record["epochs"] == EPOCHS
    assert not same_bits(model, initialise(small, seed=0))


def test_the_second_time_it_loads(trained, monkeypatch):
    folder, model, record = trained
    monkeypatch.setattr(base, "_fit", forbid)
    loaded, again = train(folder, model=initialise(small, seed=1))
    assert same_bits(loaded, model)
    assert again == record


def test_the_same_seed_gives_the_same_bits(trained, tmp_path):
    folder, model, _ = trained
    again, _ = train(tmp_path / "again")
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert same_bits(again, model)
    other, _ = train(tmp_path / "other", seed=1)
    assert not same_bits(other, model)


def test_training_leaves_random_states_alone(tmp_path):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is the point
    train(tmp_path)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_who_asks_while_it_trains_waits_and_loads(tmp_path, monkeypatch):
    trainings = []

    def fit(model, data, **settings):
        trainings.append(settings["seed"])
        time.sleep(0.3)
        with torch.no_grad():
            model.output.bias.fill_(len(trainings))
        return {}

    monkeypatch.setattr(base, "_fit", fit)
    models = [initialise(small, seed=0) for _ in range(3)]
    threads = [threading.Thread(target=train, args=(tmp_path,), kwargs={"model": model}) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trainings == [0]
    assert [model.output.bias.tolist() for model in models] == [[1.0] * 4] * 3


def test_an_interrupted_training_starts_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(base, "_fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    with monkeypatch.context() as patch:  # killed after the weights and before the record
        patch.setattr(base, "write_json", interrupt)
        patch.setattr(base, "_fit", lambda *_, **__: {})
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    monkeypatch.setattr(base, "_fit", lambda *_, **__: {"accuracy": 1.0})
    assert train(tmp_path)[1]["accuracy"] == 1.0
    assert read_json(tmp_path / "training.json")["accuracy"] == 1.0


def test_torn_weights_are_refused_and_trained_again_once_deleted(trained, tmp_path, monkeypatch):
    folder, _, _ = trained
    weights = tmp_path / "weights.safetensors"
    (tmp_path / "training.json").write_bytes((folder / "training.json").read_bytes())
    whole = (folder / "weights.safetensors").read_bytes()
    for torn in (whole[: len(whole) // 2], whole[:5], b""):
        weights.write_bytes(torn)
        sentence = (
            rf"expected {weights} to hold the weights of CNN, got: .*; delete it or configure the model that wrote"
        )
        with pytest.raises(ValueError, match=sentence):
            train(tmp_path)
    weights.unlink()
    monkeypatch.setattr(base, "_fit", lambda *_, **__: {"accuracy": 1.0})
    assert train(tmp_path)[1]["accuracy"] == 1.0


def test_weights_of_another_model_are_refused(trained):
    folder, _, _ = trained
    weights = folder / "weights.safetensors"
    wider = CNN(image_size=8, channels=(4, 9), hidden=16, num_classes=4)
    with pytest.raises(
        ValueError, match=rf"expected {weights} to hold the weights of CNN, got: .*size mismatch.*; delete"
    ):
        load_weights(wider, weights)
    with pytest.raises(ValueError, match=r"to hold the weights of Linear, got: .*; delete it or configure"):
        load_weights(nn.Linear(2, 2), weights)


def test_missing_weights_are_named(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError, match=f"expected weights in {path}, got no such file; give the path"):
        load_weights(small(), path)


def test_initial_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    model = initialise(small, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert same_bits(initialise(small, seed=0), model)
    assert not same_bits(initialise(small, seed=1), model)
