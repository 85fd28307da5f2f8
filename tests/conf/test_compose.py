"""Every YAML of `conf/` composes, resolves and passes the checks; what is wrong is refused while composing."""

import re
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from experiments import schema
from experiments.checks import checked
from experiments.identity import run_hash
from experiments.run import job_path
from influence.desiderata import SCORES
from tests.experiments.commands import CONF, composed


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


EXPERIMENTS, LAUNCHERS = names("experiment"), names("launcher")
SEARCHES = ["most_selective"]
"""Sweeps whose jobs follow from the results of earlier ones; they need the extra `optuna`."""
SWEEPS = sorted({*names("sweep")} - {*SEARCHES})
TEXT_SWEEPS = ["learned_and_prompted", "lr_plateau_text", "models_text", "self_gain_text"]
OWN = ("model=own", "model._target_=thirdparty.Net", "data._target_=thirdparty.samples")
"""What `data=own` needs; it is named, and not built here."""


def config_of(*overrides: str) -> schema.Config:
    cfg = composed(*overrides)
    OmegaConf.resolve(cfg)
    return checked(cfg)


def needs(data: str) -> tuple[str, ...]:
    texts = ("model=gemma3_270m", "data.domain=transitivity")
    return {"own": OWN, "domain": texts, "chains": texts, "nouns": texts[:1]}.get(data, ())


def jobs(sweep: str, *overrides: str) -> list[DictConfig]:
    """The configuration of every job of a sweep, from the product of its lists."""
    cfg = composed(*overrides, f"sweep={sweep}", hydra=True)
    axes = OverridesParser.create().parse_overrides([f"{key}={row}" for key, row in cfg.hydra.sweeper.params.items()])
    lists = [
        [f"{axis.key_or_group}={value}" for value in axis.sweep_string_iterator()]
        if axis.is_sweep_override()
        else [axis.input_line]
        for axis in axes
    ]
    return [composed(*overrides, f"sweep={sweep}", *job) for job in product(*lists)]


def test_every_group_is_composed_here():
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"domain"}  # stimuli, which Hydra does not read
    assert groups == {"data", "model", "estimator", "readout", "trainer", "tracking", "experiment", "sweep", "launcher"}


@pytest.mark.parametrize("estimator", names("estimator"))
@pytest.mark.parametrize("data", names("data"))
def test_every_estimator_on_every_data(data, estimator):
    config = config_of(f"data={data}", f"estimator={estimator}", *needs(data))
    assert config.estimator.name == estimator.removesuffix("_adamw")
    kinds = {"own": schema.OwnConfig, "domain": schema.DomainConfig, "chains": schema.ChainsConfig}
    kinds |= {"nouns": schema.NounsConfig}
    assert isinstance(config.data, kinds.get(data, schema.ImagesConfig))


@pytest.mark.parametrize("data", sorted(set(names("data")) - {"own", "domain", "chains", "nouns"}))
@pytest.mark.parametrize("model", ["cnn", "own"])
def test_every_model_on_every_image_set(model, data):
    config = config_of(f"data={data}", f"model={model}", *(OWN[1:2] if model == "own" else ()))
    if model == "cnn":
        assert config.model.image_size == config.data.size


@pytest.mark.parametrize("model", sorted(set(names("model")) - {"cnn", "own"}))
def test_every_language_model_on_a_domain(model):
    source = ("model.source=some/model",) if model == "hf" else ()
    config = config_of("name=smoke", "data=domain", "data.domain=transitivity", f"model={model}", *source)
    assert isinstance(config.model, schema.CausalLMConfig)
    assert config.model.lora == {}
    assert config.model.name == (source[0].split("=")[1] if source else config.model.name)


@pytest.mark.parametrize("experiment", ["fig2_transitivity", "demo_text"])
def test_the_stored_learning_rate_gives_way_to_a_self_gain(experiment):
    stored = composed(f"experiment={experiment}").step_sizes
    for estimator, optimizer in (("finetune", "sgd"), ("finetune_adamw", "adamw")):
        config = config_of(f"experiment={experiment}", f"estimator={estimator}")
        assert (config.estimator.lr, config.estimator.self_gain) == (stored[optimizer], None)
    config = config_of(f"experiment={experiment}", "estimator.self_gain=0.03")
    assert (config.estimator.lr, config.estimator.self_gain) == (None, 0.03)
    config = config_of(f"experiment={experiment}", "estimator.lr=0.5")
    assert (config.estimator.lr, config.estimator.self_gain) == (0.5, None)
    config = config_of(f"experiment={experiment}", "estimator.optimizer=rmsprop")  # none is stored
    assert (config.estimator.lr, config.estimator.self_gain) == (None, 0.3)


def test_a_learning_rate_is_stored_for_a_number_of_steps():
    chains = "experiment=transitive_causality"
    for estimator, optimizer in (("finetune", "sgd"), ("finetune_adamw", "adamw")):
        config = config_of(chains, f"estimator={estimator}")
        assert config.estimator.num_steps == 8
        assert (config.estimator.lr, config.estimator.self_gain) == (config.step_sizes[optimizer], None)
    config = config_of(chains, "estimator.num_steps=1")
    assert (config.estimator.lr, config.estimator.self_gain) == (None, 1.0)  # to be searched
    config = config_of(chains, "estimator=prompt")
    assert config.estimator.name == "prompt"
    config = config_of("experiment=fig2_transitivity", "estimator.num_steps=2")
    assert (config.estimator.lr, config.estimator.self_gain) == (None, 0.3)


@pytest.mark.parametrize("readout", names("readout"))
def test_every_readout(readout):
    assert config_of(f"readout={readout}").readout.name == readout


@pytest.mark.parametrize("tracking", names("tracking"))
def test_every_tracking(tracking):
    assert config_of(f"tracking={tracking}").tracking.mode.value == tracking


@pytest.mark.parametrize("trainer", names("trainer"))
def test_every_trainer(trainer):
    assert config_of(f"trainer={trainer}", "seed=3").trainer.seed == 3


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_under_its_own_name(experiment):
    assert config_of(f"experiment={experiment}").name == experiment


@pytest.mark.parametrize("kind", ["experiment", "sweep", "launcher"])
def test_every_lab_note_names_its_command(kind):
    for name in names(kind):
        note = (CONF / kind / f"{name}.yaml").read_text()
        command = re.findall(r"^#   command: (.*)$", note, re.MULTILINE)
        assert len(command) == 1, name
        words = command[0].split()
        assert words[:3] == ["python", "-m", "experiments.run"]
        assert f"{kind}={name}" in words


@pytest.mark.slow
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_job_of_a_sweep_has_a_folder_of_its_own(sweep):
    made = jobs(sweep, "experiment=unrelated" if sweep in TEXT_SWEEPS else "experiment=digits")
    for cfg in made:
        checked(cfg)
    assert len({job_path(_root_=cfg) for cfg in made}) == len(made) > 1
    runs = {run_hash(cfg) for cfg in made}
    assert len(runs) == (1 if sweep == "probe_samples" else len(made))  # shards of one matrix, or matrices


@cache
def is_of_texts(experiment: str) -> bool:
    return composed(f"experiment={experiment}").data.get("worlds") is not None


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_of_every_experiment(experiment, sweep):
    if is_of_texts(experiment) != (sweep in TEXT_SWEEPS):
        return  # a sweep is of images or of texts
    cfg = composed(f"experiment={experiment}", f"sweep={sweep}", hydra=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    assert cfg.name in (sweep, experiment)
    assert cfg.hydra.sweeper.params


def needs_extra(extra: str, plugin: str) -> None:
    """Skip what an extra of the installation brings, where it is not installed."""
    if find_spec(plugin) is None:
        pytest.skip(f"expected {plugin}, got none; install it with `make engines`, which adds the extra `{extra}`")


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_says_what_it_searches_for(search):
    needs_extra("optuna", "hydra_plugins.hydra_optuna_sweeper")
    cfg = composed("experiment=digits", f"sweep={search}", hydra=True)
    assert (cfg.hydra.mode.name, cfg.name) == ("MULTIRUN", search)
    assert cfg.objective.score in SCORES
    assert cfg.hydra.sweeper.sampler.seed is not None  # else a search that is run again is another


@pytest.mark.parametrize("sweep", ["noise", "probe_samples"])
@pytest.mark.parametrize(
    ("launcher", "plugin"), [("submitit_local", "LocalLauncher"), ("slurm", "SlurmLauncher"), ("ray", "RayLauncher")]
)
def test_every_launcher_takes_every_sweep(launcher, plugin, sweep):
    if launcher == "ray":
        needs_extra("ray", "hydra_plugins.hydra_ray_launcher")
    cfg = composed("experiment=digits", f"sweep={sweep}", f"launcher={launcher}", hydra=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    path = cfg.hydra.launcher._target_
    assert path.endswith(f".{plugin}")
    assert path in Plugins.instance().class_name_to_class  # discovered, so that Hydra makes it
    plain = composed("experiment=digits", f"sweep={sweep}")
    assert run_hash(cfg) == run_hash(plain)  # where a job runs does not decide its numbers


def test_every_launcher_is_tested_here():
    assert LAUNCHERS == ["ray", "slurm", "submitit_local"]


def test_a_task_of_slurm_has_one_gpu_and_is_queued_again():
    launcher = composed("sweep=probe_samples", "launcher=slurm", hydra=True).hydra.launcher
    assert (launcher.gpus_per_task, launcher.tasks_per_node, launcher.nodes) == (1, 1, 1)
    assert launcher.max_num_timeout > 0
    assert launcher.array_parallelism > 1
    assert 60 * launcher.timeout_min > launcher.signal_delay_s


def test_a_single_run_and_a_job_of_a_sweep_share_their_folder(tmp_path):
    hydra = composed("experiment=digits", f"outputs={tmp_path}", hydra=True)
    assert hydra.hydra.run.dir == f"{hydra.hydra.sweep.dir}/{hydra.hydra.sweep.subdir}"
    assert Path(hydra.hydra.run.dir) == tmp_path / "digits" / run_hash(composed("experiment=digits"))


def test_the_seed_goes_to_images_and_base_training():
    config = config_of("experiment=fig1_claims", "seed=3")
    assert (config.data.probes.seed, config.data.targets.seed, config.trainer.seed) == (3, 3, 3)


@pytest.mark.parametrize("estimator", sorted(set(names("estimator")) - {"prompt"}))
def test_a_learning_rate_replaces_the_default_self_gain(estimator):
    config = config_of(f"estimator={estimator}")
    assert (config.estimator.lr, config.estimator.self_gain) == (None, 0.3)
    config = config_of(f"estimator={estimator}", "estimator.lr=0.01")
    assert (config.estimator.lr, config.estimator.self_gain) == (0.01, None)
    config = config_of(f"estimator={estimator}", "estimator.lr=0")  # a rate, though it is falsy
    assert (config.estimator.lr, config.estimator.self_gain) == (0.0, None)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("sed=1", "Could not override 'sed'"),
        ("estimator.learning_rate=1", "Key 'learning_rate' not in 'FineTuneConfig'"),
        ("data.probes.per_clas=1", "Key 'per_clas' not in 'SelectionConfig'"),
        ("estimator.lr=fast", "'fast' of type 'str' could not be converted to Float"),
        ("seed=1.5", "'1.5' of type 'float' could not be converted to Integer"),
        ("data.probes.sigmas=[none]", "'none' of type 'str' could not be converted to Float"),
        (
            "data.domain=cifar10",
            "Invalid value 'cifar10', expected one of [mnist, fashion_mnist, digits, digits_rotated]",
        ),
        ("model.activation=gelu", "Invalid value 'gelu', expected one of [relu, tanh]"),
        ("model.pooling=median", "Invalid value 'median', expected one of [max, mean]"),
        ("engine.device=tpu", "Invalid value 'tpu', expected one of [auto, cpu, cuda]"),
        ("tracking.mode=maybe", "Invalid value 'maybe', expected one of [auto, online, offline, off]"),
        ("trainer.seed=null", "field 'trainer.seed' is not Optional"),
    ],
)
def test_a_wrong_setting_is_refused_while_composing(override, sentence):
    with pytest.raises(ConfigCompositionException) as caught:
        composed(override)
    assert sentence in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("override", ["data=cifar10", "experiment=fig9", "sweep=everything", "estimator=guess"])
def test_an_unknown_choice_is_refused_with_the_choices(override):
    group, name = override.split("=")
    with pytest.raises(MissingConfigException, match=f"(?s)Could not find '{group}/{name}'.*{names(group)[0]}"):
        composed(override)
