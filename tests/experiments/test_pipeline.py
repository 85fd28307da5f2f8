import logging
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_model

import influence
from experiments import build, pipeline
from experiments.identity import base_hash, run_hash
from experiments.run_folder import RunFolder
from influence import FineTune
from influence.data.stored import load_images
from influence.data.vision import load
from influence.files import read_json
from influence.matrix import InfluenceMatrix
from influence.models.base import initialise, load_weights
from influence.models.cnn import CNN
from tests.experiments import own_model
from tests.experiments.commands import QUIET, UNTRAINED, composed, execute, written


def trained(run: RunFolder) -> CNN:
    """The base model of a run."""
    model = CNN(image_size=8)
    load_weights(model, run.path.parents[1] / "models" / base_hash(run.config) / "weights.safetensors")
    return model


FEW = ("data.probes.per_class=1", "data.probes.sigmas=[0.0]")


def test_every_part_of_a_run_is_in_its_folder(smoke):
    files = {str(path.relative_to(smoke.path)) for path in smoke.path.rglob("*") if path.is_file()}
    assert files >= {
        "config.yaml",
        "run.json",
        "matrix.json",
        "probes.parquet",
        "blocks/000000.npz",
        "samples.npz",
        "scores.parquet",
        "scores.json",
        "figures/matrix.png",
        "figures/matrix.pdf",
    }
    assert smoke.is_done
    assert smoke.path.name == run_hash(smoke.config)


def test_the_record_tells_the_base_model_and_the_data(smoke):
    provenance = InfluenceMatrix.load(smoke.path).provenance
    base = provenance["base_model"]
    assert base["folder"] == base_hash(smoke.config)
    training = read_json(smoke.path.parents[1] / "models" / base["folder"] / "training.json")
    assert base == {"folder": base["folder"], **training}
    assert training["epochs"] == 1
    learned = load("digits_rotated", "test", Path())
    images_N1HW = torch.from_numpy(learned.images_NHW / np.float32(255))[:, None]
    predicted_N = trained(smoke)(images_N1HW).argmax(-1).numpy()
    assert training["accuracy"] == pytest.approx((predicted_N == learned.labels_N).mean())
    assert provenance["data"].keys() == {"digits test"}
    assert provenance["threads"] == 1


def test_the_saved_images_are_those_that_were_measured(smoke):
    """Measured again from what the folder holds, the numbers are the same, bit for bit."""
    matrix = InfluenceMatrix.load(smoke.path)
    probes = load_images(smoke.path / "samples.npz", matrix.probes)
    at_lr = influence.FineTune(lr=matrix.estimator["lr"])
    again = influence.measure(trained(smoke), probes, estimator=at_lr)
    assert again.gain.tobytes() == matrix.gain.tobytes()


def test_the_scores_are_those_of_the_matrix(smoke):
    scores = pd.read_parquet(smoke.path / "scores.parquet")
    pd.testing.assert_frame_equal(scores, influence.score(InfluenceMatrix.load(smoke.path), seed=0))


def test_the_step_size_is_that_of_the_wanted_self_gain(smoke):
    matrix = InfluenceMatrix.load(smoke.path)
    clean = (matrix.probes["sigma"] == 0).to_numpy()
    assert np.median(matrix.self_gain[clean]) == pytest.approx(0.3, rel=0.06)


def test_the_seed_of_the_run_is_that_of_measuring_and_scoring(tmp_path, monkeypatch):
    seeds = []

    def score(matrix: InfluenceMatrix, *, seed: int) -> pd.DataFrame:
        seeds.append(seed)
        return influence.score(matrix, seed=seed)

    monkeypatch.setattr("experiments.pipeline.score", score)
    run = execute(tmp_path, *UNTRAINED, *FEW, "seed=3", "trainer.seed=0")
    assert InfluenceMatrix.load(run.path).provenance["identity"]["seed"] == 3
    assert seeds == [3]


def test_a_base_model_is_trained_once(smoke_copy):
    outputs = smoke_copy.path.parents[1]
    before = written(outputs / "models")
    execute(outputs, "experiment=smoke", "estimator.lr=0.01", *FEW, *QUIET)
    after = written(outputs / "models")
    assert after == before


def test_interrupted_base_training_leaves_no_model(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CNN, "training_step", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            execute(tmp_path, "experiment=smoke", *QUIET)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further interrupts
    (run,) = (tmp_path / "smoke").iterdir()
    assert RunFolder(run).status["status"] == "interrupted"
    assert not list(tmp_path.glob("models/*/weights*"))
    assert not (run / "matrix.json").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.probes.classes=[11]"], "expected labels of digits test, 0 to 9, got 11; correct classes"),
        (["data.domain=mnist", "data.folder=nowhere"], "expected nowhere/MNIST/raw/.*, got no such file; run"),
        (["data.size=28"], "expected images of 28 x 28, got digits with 8 x 8"),
        (["estimator.optimizer=sdg"], "expected an optimizer among .*, got 'sdg'"),
        (["+estimator.optimizer_options.momentun=1"], "expected optimizer_options of sgd among .*, got 'momentun'"),
        (["estimator.parameters=[head.*]"], "expected a pattern that matches a parameter, got 'head.*'"),
        (["readout.name=loss"], "expected .*log_prob.*, got 'loss'"),
        (["data.probes.sigmas=[1.0]"], r"expected clean probes \(sigma 0\) of one statement to search .*, got none"),
        (["model.weights=nowhere.safetensors"], "expected weights in nowhere.safetensors, got no such file"),
    ],
)
def test_bad_input_ends_before_the_base_training(overrides, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(CNN, "training_step", lambda *_: pytest.fail("the base training has begun"))
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{sentence}"):
        execute(tmp_path, "experiment=smoke", *overrides, *QUIET)
    (run,) = (tmp_path / "smoke").iterdir()
    assert RunFolder(run).status["status"] == "failed"
    assert not list(tmp_path.glob("models/*/weights*"))


def test_probes_that_diverge_are_told_and_counted(tmp_path, caplog, monkeypatch):
    learn, learned = FineTune.learn, []

    def fail_four(self, model, *lesson):
        learned.append(lesson)
        return "diverged at step 1: the loss is nan" if 1 < len(learned) <= 5 else learn(self, model, *lesson)

    monkeypatch.setattr(pipeline, "_announce", lambda *_: None)  # learns a probe too
    monkeypatch.setattr(FineTune, "learn", fail_four)
    with caplog.at_level(logging.WARNING):
        run = execute(tmp_path, *UNTRAINED, *FEW)
    assert run.is_done
    matrix = InfluenceMatrix.load(run.path)
    assert np.isnan(matrix.gain).all(1).sum() == len(matrix.failures) == 4
    messages = [record.getMessage() for record in caplog.records if record.name == "experiments.pipeline"]
    assert len([message for message in messages if "failed: diverged" in message]) == 3  # the first three by name
    assert "4 of 10 probes failed; their rows are empty." in messages


def test_a_run_in_which_every_probe_diverges_is_a_result(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run = execute(tmp_path, *UNTRAINED, *FEW, "estimator.lr=1e38")
    assert run.is_done
    assert np.isnan(InfluenceMatrix.load(run.path).gain).all()
    assert "10 of 10 probes failed; their rows are empty." in caplog.messages


@pytest.fixture
def thirdparty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Someone else's module, and the settings that use it."""
    shutil.copy(own_model.__file__, tmp_path / "thirdparty.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    return (
        "model=own",
        "model._target_=thirdparty.Net",
        "data=own",
        "data._target_=thirdparty.probes_and_targets",
        "trust=[thirdparty]",
        "trainer.epochs=0",
        *QUIET,
    )


def assert_same(run: RunFolder, matrix: InfluenceMatrix) -> None:
    measured = InfluenceMatrix.load(run.path)
    assert measured.gain.shape == (3, 5)
    assert measured.gain.dtype == np.float64
    assert np.abs(measured.gain).min() > 0
    for name in ("gain", "self_gain", "before"):
        assert getattr(measured, name).tobytes() == getattr(matrix, name).tobytes()
    assert measured.estimator == matrix.estimator


@pytest.mark.parametrize("step_size", [{"lr": 0.01}, {"self_gain": 0.1}])
def test_a_model_and_samples_of_ones_own(thirdparty, tmp_path, step_size):
    ((name, value),) = step_size.items()
    run = execute(tmp_path, *thirdparty, f"estimator.{name}={value}")
    model = initialise(own_model.Net, seed=0)
    probes, targets = own_model.probes_and_targets()
    assert_same(run, influence.measure(model, probes, targets, estimator=influence.FineTune(**step_size)))
    assert (run.path / "figures" / "matrix.png").exists()
    assert not (run.path / "samples.npz").exists()


def test_weights_of_ones_own(thirdparty, tmp_path):
    model = initialise(own_model.Net, seed=5)
    save_model(model, str(tmp_path / "net.safetensors"))
    weights = f"model.weights={tmp_path / 'net.safetensors'}"
    trained = [setting for setting in thirdparty if setting != "trainer.epochs=0"]
    run = execute(tmp_path, *trained, weights, "estimator.lr=0.01")
    probes, targets = own_model.probes_and_targets()
    assert_same(run, influence.measure(model, probes, targets, estimator=influence.FineTune(lr=0.01)))
    assert run.path.name != run_hash(composed(*trained, "estimator.lr=0.01"))


def test_weights_of_another_model_are_refused(thirdparty, tmp_path):
    save_model(own_model.Net(hidden=4), str(tmp_path / "net.safetensors"))
    with pytest.raises(ValueError, match=r"^expected .*net\.safetensors to hold the weights of Net, got: "):
        execute(tmp_path, *thirdparty, f"model.weights={tmp_path / 'net.safetensors'}")


def test_a_model_without_the_protocol_is_refused(thirdparty, tmp_path):
    linear = ("model._target_=torch.nn.Linear", "+model.options={in_features: 64, out_features: 7}", "trust=[torch.nn]")
    with pytest.raises(ValueError, match=r"^expected a _target_ below one of .*, got 'thirdparty.probes_and_targets'"):
        execute(tmp_path, *thirdparty, *linear)
    with pytest.raises(TypeError, match=r"^expected a model with loss\(batch\) and log_prob\(batch\), got Linear "):
        execute(tmp_path, *thirdparty, *linear[:2], "trust=[torch.nn,thirdparty]")


def test_a_readout_that_the_model_cannot_give_is_refused(thirdparty, tmp_path):
    with pytest.raises(ValueError, match="logits"):
        execute(tmp_path, *thirdparty, "readout=margin")


def test_a_misspelt_domain_is_refused_before_a_large_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "initial_model", lambda config: pytest.fail("the model was loaded"))
    with pytest.raises(ValueError, match=r"expected a domain \(.*\), got 'transitvity'"):
        execute(tmp_path, "data=domain", "model=gemma3_270m", "data.domain=transitvity", *QUIET)
