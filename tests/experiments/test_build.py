import collections
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_model

from experiments import build, domains, schema
from experiments.checks import checked
from experiments.schema import Config
from influence.data.chains import chains
from influence.data.nouns import noun_worlds
from influence.data.text_noise import NOISES, with_noise
from influence.data.vision import load
from influence.data.worlds import worlds
from influence.estimators.finetune import FineTune
from influence.estimators.first_order import FirstOrder
from influence.estimators.prompt import Prompt
from influence.models.cnn import CNN
from influence.provenance import weights_digest
from tests.experiments.commands import QUIET, composed


def configured(*overrides: str) -> Config:
    return checked(composed("data=digits", *overrides))


@pytest.fixture(autouse=True)
def thirdparty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone else's package, and one whose name starts like ours."""
    for name in ("thirdparty.py", "influencer.py"):
        shutil.copy(Path(__file__).with_name("own_model.py"), tmp_path / name)
    (tmp_path / "broken.py").write_text("import a_package_that_nobody_has")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("target", "trust", "name"),
    [
        ("collections.OrderedDict", ["collections"], "OrderedDict"),
        ("collections.OrderedDict", ["collections."], "OrderedDict"),
        ("thirdparty.Net", ["other", "thirdparty"], "Net"),
        ("influence.models.cnn.CNN", [], "CNN"),
        ("torchvision.models.resnet18", [], "resnet18"),
        ("torch.optim.SGD", [], "SGD"),
    ],
)
def test_what_is_trusted_is_found(target, trust, name):
    assert build.locate(target, trust).__name__ == name


def test_the_thing_itself_is_returned():
    assert build.locate("collections.OrderedDict", ["collections"]) is collections.OrderedDict


@pytest.mark.parametrize(
    ("target", "trust"),
    [
        ("os.system", []),
        ("subprocess.run", []),
        ("builtins.eval", []),
        ("eval", []),
        ("", []),
        ("torch.load", []),
        ("torch.optimizer.SGD", []),
        ("thirdparty.Net", []),
        ("influencer.Net", []),  # `influence.` ends at its dot
        ("influence", []),
        ("thirdparty.Net", ["third"]),
        ("thirdparty.Net", [""]),
        ("thirdparty.Net", ["Thirdparty"]),
        ("os.system", ["thirdparty"]),
        ("os.influence.system", ["thirdparty"]),
    ],
)
def test_what_is_not_trusted_is_refused(target, trust):
    with pytest.raises(ValueError, match="expected") as caught:
        build.locate(target, trust)
    listed = ", ".join([*build.ALLOWED, *trust])
    assert str(caught.value) == (
        f"expected a _target_ below one of {listed}, got {target!r}; "
        "if you trust it, add its package: trust=[<package>]"
    )


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("thirdparty.Missing", "module 'thirdparty' has no attribute 'Missing'"),
        ("thirdparty.models.Net", "No module named 'thirdparty.models'; 'thirdparty' is not a package"),
        ("broken.Net", "No module named 'a_package_that_nobody_has'"),
        ("absent.Net", "No module named 'absent'"),
    ],
)
def test_what_leads_nowhere_is_named(target, reason):
    with pytest.raises(ValueError, match="expected") as caught:
        build.locate(target, ["thirdparty", "broken", "absent"])
    assert str(caught.value) == f"expected {target!r} to be importable, got: {reason}; correct _target_ or PYTHONPATH"


def test_what_cannot_be_called_is_named():
    with pytest.raises(ValueError, match=r"^expected 'thirdparty.seven' to be a class or function, got int$"):
        build.locate("thirdparty.seven", ["thirdparty"])
    with pytest.raises(ValueError, match=r"to be a class or function, got module$"):  # no way round through an import
        build.locate("influence.provenance.subprocess", [])


OWN_DATA = ("data=own", "model=own", "model._target_=thirdparty.Net", "trust=[thirdparty]", "trainer.epochs=0")


def own(*overrides: str) -> Config:
    return checked(composed(*OWN_DATA, *overrides))


def test_one_table_is_probes_and_targets():
    probes, targets = build.samples(own("data._target_=thirdparty.samples", "+data.options.count=3"))
    assert probes is targets
    assert probes["id"].tolist() == ["own0", "own1", "own2"]


def test_two_tables_are_probes_and_targets():
    probes, targets = build.samples(own("data._target_=thirdparty.probes_and_targets"))
    assert probes["id"].tolist() == ["own0", "own1", "own2"]
    assert targets["id"].tolist() == ["own1", "own2", "own3", "own4", "own5"]


def test_no_table_is_refused():
    with pytest.raises(ValueError, match=r"^expected thirdparty\.nothing to return a DataFrame .*, got NoneType$"):
        build.samples(own("data._target_=thirdparty.nothing"))


def test_images_are_those_of_the_selection():
    probes, targets = build.samples(configured("data.probes.per_class=2", "data.probes.sigmas=[0.0,0.5]"))
    assert probes is targets
    assert len(probes) == 10 * 2 * 2
    assert set(probes["sigma"]) == {0.0, 0.5}
    assert all(image.shape == (1, 8, 8) for image in probes["image"])


def test_targets_may_be_others_than_the_probes():
    """Those of `experiment=fig1_claims`, of the digits."""
    config = checked(composed("data=digits", "experiment=fig1_claims", "data.domain=digits"))
    probes, targets = build.samples(config)
    assert set(targets["id"]) < set(probes["id"])
    assert len(targets) == 10 * 3 * 3
    assert len(probes) == 10 * 3 * (1 + 2 * 2)


def test_images_are_embedded_by_the_training_images_of_their_domain():
    """Those of `experiment=semantics_images`, of the digits; the base model learns the rotated ones."""
    probes, targets = build.samples(checked(composed("experiment=semantics_images", "data=digits")))
    pd.testing.assert_frame_equal(probes, targets)
    learned = load("digits", "train", Path()).images_NHW.reshape(1297, 64) / 255
    directions_DK = np.linalg.eigh(np.cov(learned.T))[1][:, ::-1][:, :16]
    pixels_ND = np.stack([image.ravel() for image in probes["image"]])
    coordinates_NK = probes[[f"embed_{number}" for number in range(16)]].to_numpy()
    np.testing.assert_allclose(np.abs(coordinates_NK), np.abs((pixels_ND - learned.mean(0)) @ directions_DK), atol=1e-3)
    assert "embed_16" not in probes


def test_probes_of_pure_noise_have_their_place():
    """Those of `experiment=noise_images`, of the digits."""
    probes, targets = build.samples(checked(composed("experiment=noise_images", "data=digits")))
    assert len(probes) == 10 * 3 * (1 + 3 * 2) + 10
    assert len(targets) == 10 * 3 * 4
    assert set(targets["id"]) < set(probes["id"])
    assert set(probes["group"]) - set(targets["group"]) == {"pure noise"}
    assert "embed_0" not in probes


TEXT = ("name=smoke", "data=domain", "model=tiny_random", *QUIET)


def test_texts_are_the_worlds_of_the_domain():
    config = checked(composed(*TEXT, "data.domain=transitivity", "data.worlds=2", "seed=3"))
    probes, targets = build.samples(config)
    assert probes is targets
    expected = worlds(domains.find("transitivity"), count=2, seed=3)
    pd.testing.assert_frame_equal(probes, expected)


def test_the_items_named_are_learned_and_all_are_read():
    config = checked(composed(*TEXT, "data.domain=taxonomy", "data.worlds=2", "data.probes=[neutral,both]"))
    probes, targets = build.samples(config)
    pd.testing.assert_frame_equal(targets, worlds(domains.find("taxonomy"), count=2, seed=0))
    assert probes["id"].tolist() == [f"taxonomy-w{world}-{item}" for world in (0, 1) for item in ("both", "neutral")]


def test_an_item_that_is_not_there_cannot_be_learned():
    config = checked(composed(*TEXT, "data.domain=squares", "data.probes=[p1,p3]"))
    sentence = "expected data.probes among p1, p2, one_sentence, two_sentences, broken, converse, got 'p3'; correct it"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        build.templates(config.data)
    config = checked(composed(*CHAINS, "data.probes=[p1]"))
    with pytest.raises(ValueError, match=r"^expected data.probes=null for chains, .*, got p1; remove it$"):
        build.templates(config.data)


def test_matched_names_are_drawn_for_the_models_tokenizer():
    config = checked(composed(*TEXT, "data.domain=squares", "data.worlds=2", "data.style=matched"))
    with pytest.raises(ValueError, match="expected token_ids for matched names, got None"):
        build.samples(config)
    asked = []
    with pytest.raises(ValueError, match=r"expected 2 names of 3 tokens, .* give other counts"):
        build.samples(config, lambda text: asked.append(text) or [0])
    assert asked


NOUNS = ("name=smoke", "data=nouns", "model=tiny_random", *QUIET)


def test_sentences_about_nouns_are_those_of_the_lexicon():
    shape = {"categories": 3, "per_category": 4, "frames": 2}
    overrides = [f"data.{name}={value}" for name, value in shape.items()]
    probes, targets = build.samples(checked(composed(*NOUNS, "data.worlds=2", "seed=3", *overrides)))
    pd.testing.assert_frame_equal(probes, targets)
    pd.testing.assert_frame_equal(probes, with_noise(noun_worlds(count=2, seed=3, **shape), noises=[], seed=3))


def test_further_draws_of_noise_on_texts_are_probes_alone():
    """Those of `experiment=noise_text`."""
    probes, targets = build.samples(checked(composed("experiment=noise_text", "data.worlds=2", "seed=3")))
    clean = noun_worlds(count=2, seed=3, categories=1, per_category=2, frames=1)
    kinds = ["typos", "filler", "case", "hedge"]
    pd.testing.assert_frame_equal(probes, with_noise(clean, noises=kinds, draws=[0, 1], seed=3))
    pd.testing.assert_frame_equal(targets, with_noise(clean, noises=kinds, draws=[0], seed=3))


def test_every_noise_on_texts_may_be_configured():
    assert [noise.value for noise in schema.TextNoise] == list(NOISES)


CHAINS = ("name=smoke", "data=chains", "data.domain=causal", "data.style=paper", "model=tiny_random", *QUIET)


def test_chains_are_those_of_the_domain():
    config = checked(composed(*CHAINS, "data.worlds=2", "data.length=3", "data.broken=true", "seed=3"))
    expected = chains(domains.find("causal"), length=3, count=2, seed=3, style="paper", broken=True)
    for table, wanted in zip(build.samples(config), expected, strict=True):
        pd.testing.assert_frame_equal(table, wanted)
    probes, _ = build.samples(checked(composed(*CHAINS)))
    assert probes["world"].nunique() == 40
    assert set(probes["role"]) == {"both", "p1", "p2"}


def test_a_domain_that_makes_no_chains_is_refused():
    config = checked(composed(*CHAINS, "data.domain=symmetric"))
    with pytest.raises(ValueError, match=r"expected one item of role p2 in symmetric .* choose another domain"):
        build.templates(config.data)


def test_an_unknown_domain_is_refused_with_the_known_ones():
    config = checked(composed(*TEXT, "data.domain=logic"))
    with pytest.raises(ValueError, match=r"expected a domain \(belongs_to, .*\), got 'logic'; correct it, or write"):
        build.samples(config)


def test_a_language_model_comes_with_its_weights(tmp_path):
    pytest.importorskip("transformers", reason="expected transformers, of the extra `text`, got none")
    config = checked(composed(*TEXT, "data.domain=squares", f"outputs={tmp_path}"))
    model, record = build.base_model(build.initial_model(config), config, tmp_path / "models")
    assert record == {"source": "tiny_random", "revision": None}
    assert weights_digest(model) == weights_digest(build.initial_model(config))
    adapted = build.initial_model(checked(composed(*TEXT, "data.domain=squares", "+model.lora.r=2")))
    assert [name for name, weight in adapted.named_parameters() if weight.requires_grad and "lora_" not in name] == []
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.probes.classes=[11]"], "expected labels of digits test, 0 to 9, got 11; correct classes"),
        (["data.probes.per_class=1000"], "expected at most the .* images of label 0 .*, got per_class=1000; lower it"),
        (["data.probes.indices=[3]"], "expected either per_class or indices, got both; give one of them"),
        (["data.probes.sigmas=[-1]"], "expected noise levels that are standard deviations, 0 or more, got -1.0"),
        (["data.probes.sigmas=[]"], "expected a selection of at least one image, got no sigmas; name some"),
        (
            ["data.size=28"],
            "expected images of 28 x 28, got digits with 8 x 8; correct data.size, or choose a base and a domain",
        ),
    ],
)
def test_a_selection_that_cannot_be_is_refused(overrides, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        build.samples(configured(*overrides))


def test_a_base_of_another_size_is_refused(tmp_path, monkeypatch):
    config = configured("data.base=digits")
    digits = build.load("digits", "train", tmp_path)
    cropped = replace(digits, images_NHW=digits.images_NHW[:, :6, :6])
    monkeypatch.setattr(build, "load", lambda name, split, folder: cropped)
    with pytest.raises(ValueError, match="expected images of 8 x 8, got digits with 6 x 6"):
        build.base_model(build.initial_model(config), config, tmp_path)


def test_every_setting_reaches_the_estimator():
    finetune = configured(
        "estimator.optimizer=adam",
        "estimator.lr=0.01",
        "estimator.num_steps=3",
        "estimator.parameters=[output.*]",
        "estimator.train_mode=true",
        "+estimator.optimizer_options.eps=1e-3",
    )
    assert build.estimator(finetune.estimator) == FineTune(
        optimizer="adam",
        optimizer_options={"eps": 1e-3},
        lr=0.01,
        num_steps=3,
        parameters=["output.*"],
        train_mode=True,
    )
    first_order = configured("estimator=first_order", "estimator.optimizer=adam", "estimator.self_gain=0.1")
    assert build.estimator(first_order.estimator) == FirstOrder(optimizer="adam", self_gain=0.1)
    prompt = configured("estimator=prompt", "estimator.order=reversed", "estimator.baseline=shuffled")
    assert build.estimator(prompt.estimator) == Prompt(order="reversed", baseline="shuffled")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["estimator.optimizer=sdg"], "expected an optimizer among .*sgd.*, got 'sdg'"),
        (
            ["+estimator.optimizer_options.momentun=0.9"],
            "expected optimizer_options of sgd among .*momentum.*, got 'momentun'",
        ),
        (["estimator.num_steps=-1"], "expected num_steps of at least 0, got -1"),
        (["estimator.lr=-1"], "expected lr to be a finite number of at least 0, got -1.0"),
        (["estimator.self_gain=0"], "expected self_gain to be a positive number of nats, got 0.0"),
        (["estimator=first_order", "estimator.optimizer=rmsprop"], "expected a first-order optimizer among sgd, adam"),
    ],
)
def test_an_estimator_that_cannot_be_is_refused(overrides, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        build.estimator(configured(*overrides).estimator)


def test_every_setting_reaches_the_network():
    config = configured("model.channels=[3,4]", "model.hidden=6", "model.activation=tanh", "model.pooling=mean")
    built = build.architecture(config)()
    given = CNN(image_size=8, channels=(3, 4), hidden=6, activation="tanh", pooling="mean")
    built.load_state_dict(given.state_dict())
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(built(images), given(images))
    assert built.lr == config.model.lr


def test_initial_weights_follow_the_seed_of_the_base_training():
    one, same, other = (build.initial_model(configured(f"trainer.seed={seed}")) for seed in (1, 1, 2))
    assert torch.equal(one.output.weight, same.output.weight)
    assert not torch.equal(one.output.weight, other.output.weight)


def test_given_weights_are_loaded_and_recorded_without_their_folder(tmp_path):
    given = build.initial_model(configured("seed=7"))
    save_model(given, str(tmp_path / "given.safetensors"))
    config = configured(f"model.weights={tmp_path / 'given.safetensors'}")
    model, record = build.base_model(build.initial_model(config), config, tmp_path / "models")
    assert torch.equal(model.output.weight, given.output.weight)
    assert record["weights"] == "given.safetensors"
    assert re.fullmatch("[0-9a-f]{64}", record["sha256"])
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            [*OWN_DATA[:-1], "data._target_=thirdparty.samples"],
            "expected a LightningModule to train, got Net; set trainer.epochs=0, or give trained weights in "
            "model.weights",
        ),
        (
            [*OWN_DATA[:-1], "data._target_=thirdparty.samples", "model._target_=influence.models.cnn.CNN"],
            "expected an image set to train the base model on, got other samples; set trainer.epochs=0 or "
            "model.weights",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(overrides, sentence, tmp_path):
    config = checked(composed(*overrides))
    with pytest.raises(ValueError, match="expected") as caught:
        build.base_model(build.initial_model(config), config, tmp_path)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("has_cuda", "auto"), [(True, "cuda"), (False, "cpu")])
def test_the_device_is_what_there_is(monkeypatch, has_cuda, auto):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert build.device(configured()) == auto
    assert build.device(configured("engine.device=cpu")) == "cpu"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^expected a CUDA device for engine.device=cuda, got none; set "):
        build.device(configured("engine.device=cuda"))


def test_a_model_of_ones_own_gets_its_options():
    model = build.initial_model(own("data._target_=thirdparty.samples", "+model.options.hidden=3"))
    assert tuple(model.first.weight.shape) == (3, 64)
    assert model.first.weight.dtype == torch.float64
    assert np.isfinite(model.first.weight.detach().numpy()).all()
