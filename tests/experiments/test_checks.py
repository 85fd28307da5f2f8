import inspect

import pytest

import influence
from experiments.checks import checked
from experiments.schema import Config, EngineConfig
from tests.experiments.commands import composed


def test_the_checked_configuration_is_typed():
    assert isinstance(checked(composed()), Config)


def test_what_an_optimizer_takes_may_be_added():
    assert checked(composed("+estimator.optimizer_options.momentum=0.9")).estimator.optimizer_options == {
        "momentum": 0.9
    }


def test_commands_compute_as_the_library_does():
    ours, its = EngineConfig(), inspect.signature(influence.measure).parameters
    assert (ours.batch_size, ours.block_size) == (its["batch_size"].default, its["block_size"].default)
    assert (ours.fast, ours.memory_gb) == (its["engine"].default.fast, its["engine"].default.memory_gb)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["data=own", "model=own"],
            "expected a value for data._target_, model._target_, got none; set it",
        ),
        (["name=???"], "expected a value for name, got none; set it"),
        (
            ["estimator.lr=0.01", "estimator.self_gain=0.3"],
            "expected either estimator.lr or estimator.self_gain, got 0.01 and 0.3; set one and the other to null",
        ),
        (
            ["estimator.self_gain=null"],
            "expected either estimator.lr or estimator.self_gain, got None and None; set one and the other to null",
        ),
        (
            ["data=own", "data._target_=a.b", "model.image_size=8"],
            "expected model=own for data=own, got the CNN; name your model's class with model._target_",
        ),
        (
            ["data=domain", "data.domain=transitivity"],
            "expected a language model for texts, got the CNN; set model=gemma3_270m or model=hf",
        ),
        (["data=nouns"], "expected a language model for texts, got the CNN; set model=gemma3_270m or model=hf"),
        (
            ["model=gemma3_270m"],
            "expected texts for the language model Gemma 3 270M, got images; set data=domain or data=nouns",
        ),
        (
            ["experiment=fig2_transitivity", "model=tiny_random"],
            "expected a language model that has learned, got random weights, which are for smoke runs alone; "
            "set model=gemma3_270m or model=hf",
        ),
        (["trainer.batch_size=0"], "expected trainer.batch_size of at least 1, got 0; raise it"),
        (["engine.batch_size=0"], "expected engine.batch_size of at least 1, got 0; raise it"),
        (["engine.block_size=-1"], "expected engine.block_size of at least 1, got -1; raise it"),
        (["engine.threads=0"], "expected engine.threads of at least 1, got 0; raise it"),
        (["estimator.num_steps=0"], "expected estimator.num_steps of at least 1, got 0; nothing is learned in none"),
        (["model.channels=[4]"], "expected two numbers of model.channels, of two convolutions, got [4]; give two"),
        (
            ["+estimator.momentum=0.9"],
            "expected a setting of estimator among name, optimizer, optimizer_options, lr, self_gain, num_steps, "
            "statements, parameters, train_mode, got 'momentum'; correct it; options of an optimizer go to "
            "+estimator.optimizer_options",
        ),
        (
            ["+data.probes.count=3"],
            "expected a setting of data.probes among classes, per_class, indices, seed, sigmas, draws, clip, "
            "pure_noise, got 'count'; correct it",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_sentence(overrides, sentence):
    with pytest.raises(ValueError, match="expected") as caught:
        checked(composed(*overrides))
    assert str(caught.value) == sentence
