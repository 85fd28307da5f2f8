"""The check of a configuration: one sentence for each thing that cannot be meant."""

from dataclasses import fields, is_dataclass

from omegaconf import DictConfig, OmegaConf

from experiments.schema import (
    TINY_RANDOM,
    CausalLMConfig,
    CNNConfig,
    Config,
    DomainConfig,
    FineTuneConfig,
    ImagesConfig,
    NounsConfig,
    OwnConfig,
    PromptConfig,
)


def checked(cfg: DictConfig) -> Config:
    """The typed configuration, if its parts fit together.

    Raises:
        ValueError: an unknown setting, a missing value, or an impossible combination.
    """
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        raise ValueError(f"expected a value for {', '.join(sorted(missing))}, got none; set it")
    _check_known(cfg)
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    if not isinstance(config.estimator, PromptConfig):
        step_size = (config.estimator.lr, config.estimator.self_gain)
        if (step_size[0] is None) == (step_size[1] is None):
            raise ValueError(
                f"expected either estimator.lr or estimator.self_gain, got {step_size[0]} and {step_size[1]}; "
                "set one and the other to null"
            )
    if isinstance(config.estimator, FineTuneConfig) and config.estimator.num_steps == 0:
        raise ValueError("expected estimator.num_steps of at least 1, got 0; nothing is learned in none")
    if config.trainer.epochs < 0:
        raise ValueError(f"expected trainer.epochs of at least 0, got {config.trainer.epochs}; raise it")
    sizes = {
        "trainer.batch_size": config.trainer.batch_size,
        "engine.batch_size": config.engine.batch_size,
        "engine.block_size": config.engine.block_size,
        "engine.threads": config.engine.threads,
    }
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"expected {name} of at least 1, got {size}; raise it")
    if not config.engine.memory_gb > 0:
        raise ValueError(f"expected engine.memory_gb above 0, got {config.engine.memory_gb}; give it some memory")
    if not 0 <= config.shard.index < config.shard.count:
        raise ValueError(
            f"expected shard.index from 0 to shard.count - 1, got {config.shard.index} of {config.shard.count}; "
            "give every shard its number: shard.count=5 'shard.index=range(5)'"
        )
    _check_fit(config)
    return config


def _check_known(node: DictConfig, place: str = "") -> None:
    """Refuse what `+name=value` adds to a schema: nobody would read it."""
    schema = OmegaConf.get_type(node)
    known = [one.name for one in fields(schema)] if is_dataclass(schema) else list(node)
    for key in map(str, node):
        if key not in known:
            hint = "; options of an optimizer go to +estimator.optimizer_options" if schema is FineTuneConfig else ""
            raise ValueError(
                f"expected a setting of {place or 'a run'} among {', '.join(known)}, got {key!r}; correct it{hint}"
            )
        if not OmegaConf.is_interpolation(node, key) and isinstance(child := node[key], DictConfig):
            _check_known(child, f"{place}.{key}".lstrip("."))


def _check_fit(config: Config) -> None:
    """Refuse a model that cannot read the data, or one that knows no language."""
    data, model = config.data, config.model
    if isinstance(model, CNNConfig) and len(model.channels) != 2:
        raise ValueError(f"expected two numbers of model.channels, of two convolutions, got {model.channels}; give two")
    if isinstance(model, CNNConfig) and isinstance(data, OwnConfig):
        raise ValueError("expected model=own for data=own, got the CNN; name your model's class with model._target_")
    if isinstance(model, CNNConfig) and isinstance(data, DomainConfig | NounsConfig):
        raise ValueError("expected a language model for texts, got the CNN; set model=gemma3_270m or model=hf")
    if isinstance(model, CausalLMConfig) and isinstance(data, ImagesConfig):
        raise ValueError(
            f"expected texts for the language model {model.name}, got images; set data=domain or data=nouns"
        )
    if isinstance(model, CausalLMConfig) and model.source == TINY_RANDOM and not config.name.startswith("smoke"):
        raise ValueError(
            "expected a language model that has learned, got random weights, which are for smoke runs alone; "
            "set model=gemma3_270m or model=hf"
        )
