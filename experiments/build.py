"""From a configuration to the library's objects."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import nn

from experiments import domains
from experiments.schema import (
    TINY_RANDOM,
    CausalLMConfig,
    ChainsConfig,
    CNNConfig,
    Config,
    Device,
    DomainConfig,
    FineTuneConfig,
    FirstOrderConfig,
    ImagesConfig,
    ImageSetName,
    NounsConfig,
    OwnConfig,
    OwnModelConfig,
    PromptConfig,
    SelectionConfig,
    Split,
)
from influence.data.chains import chains, crossed
from influence.data.domains import Domain
from influence.data.nouns import noun_worlds
from influence.data.selection import Selection, select
from influence.data.text_noise import with_noise
from influence.data.training import ImageData
from influence.data.vision import ImageSet, load
from influence.data.words import TokenIds
from influence.data.worlds import worlds
from influence.engine.chunks import Engine
from influence.estimators.finetune import FineTune
from influence.estimators.first_order import FirstOrder
from influence.estimators.prompt import Prompt
from influence.estimators.protocol import Estimator
from influence.files import sha256
from influence.models import sources
from influence.models.base import initialise, load_weights, train_once
from influence.models.causal_lm import CausalLM
from influence.models.cnn import CNN
from influence.models.tiny_random import tiny_random

log = logging.getLogger(__name__)

ALLOWED = ("influence.", "torch.optim.", "torchvision.", "pytorch_lightning.")
"""Prefixes of import paths that a configuration may call without being told to trust them."""


def locate(target: str, trust: Sequence[str]) -> Callable[..., Any]:
    """The class or function at an import path on the allow-list.

    A `_target_` in YAML is code that runs, so it must be of the suite's own libraries or of a prefix that the
    user trusts by name.

    Raises:
        ValueError: the path is not on the allow-list, or leads nowhere.
    """
    prefixes = (*ALLOWED, *trust)
    if not target.startswith(tuple(prefix if prefix.endswith(".") else f"{prefix}." for prefix in prefixes)):
        raise ValueError(
            f"expected a _target_ below one of {', '.join(prefixes)}, got {target!r}; "
            "if you trust it, add its package: trust=[<package>]"
        )
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"expected {target!r} to be importable, got: {error}; correct _target_ or PYTHONPATH"
        ) from None
    if not callable(found):
        raise ValueError(f"expected {target!r} to be a class or function, got {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def device(config: Config) -> str:
    """Where tensors live: `cpu` or `cuda`.

    Raises:
        ValueError: CUDA is wanted, and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if config.engine.device is Device.cuda and not has_cuda:
        raise ValueError("expected a CUDA device for engine.device=cuda, got none; set engine.device=cpu")
    return "cuda" if has_cuda and config.engine.device is not Device.cpu else "cpu"


def domain(config: ImagesConfig) -> ImageSet:
    """The image set that probes and targets come from."""
    return images(config, config.domain, config.split.value)


def images(config: ImagesConfig, name: ImageSetName, split: str) -> ImageSet:
    """One split of an image set.

    Raises:
        ValueError: its images are not of the size that the model is made for.
    """
    loaded = load(name.value, split, Path(config.folder))
    size = loaded.images_NHW.shape[1]
    if size != config.size:
        raise ValueError(
            f"expected images of {config.size} x {config.size}, got {name.value} with {size} x {size}; "
            "correct data.size, or choose a base and a domain of one size"
        )
    return loaded


def samples(config: Config, token_ids: TokenIds | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probes and targets; `token_ids` is the tokenizer that matched names are drawn for.

    Raises:
        ValueError: an own function returns neither a DataFrame nor two, or there is no such domain.
    """
    if isinstance(config.data, ImagesConfig):
        return _image_samples(config.data)
    if isinstance(config.data, DomainConfig):
        return _domain_samples(config.data, token_ids)
    if isinstance(config.data, NounsConfig):
        return _noun_samples(config.data)
    assert isinstance(config.data, OwnConfig)
    made = locate(config.data._target_, config.trust)(**config.data.options)
    tables = (made, made) if isinstance(made, pd.DataFrame) else made
    if not (isinstance(tables, tuple) and [type(table) for table in tables] == [pd.DataFrame] * 2):
        raise ValueError(
            f"expected {config.data._target_} to return a DataFrame of samples, or probes and targets, "
            f"got {type(made).__name__}"
        )
    return tables


def _image_samples(config: ImagesConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    image_set = domain(config)
    probes = select(image_set, selection(config.probes))
    targets = probes if config.targets is None else select(image_set, selection(config.targets))
    if not config.embedding:
        return probes, targets
    from influence.data.embedding import embed, principal_components  # scikit-learn takes a second to import

    components = principal_components(images(config, config.domain, Split.train.value), config.embedding)
    return embed(probes, components), embed(targets, components)


def _domain_samples(config: DomainConfig, token_ids: TokenIds | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    names: Any = {
        "count": config.worlds,
        "seed": config.seed,
        "style": config.style.value,
        "token_ids": token_ids,
    }
    if isinstance(config, ChainsConfig):
        return chains(templates(config), length=config.length, broken=config.broken, **names)
    targets = worlds(templates(config), **names)
    probes = targets if config.probes is None else targets[targets["item"].isin(config.probes)].reset_index(drop=True)
    return probes, targets


def _noun_samples(config: NounsConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    clean = noun_worlds(
        count=config.worlds,
        seed=config.seed,
        categories=config.categories,
        per_category=config.per_category,
        frames=config.frames,
    )
    noises = [noise.value for noise in config.noises]
    probes = with_noise(clean, noises=noises, draws=config.draws, seed=config.seed)
    return probes, probes[probes["draw"] == 0].reset_index(drop=True)  # further draws serve invariance alone


def templates(config: DomainConfig) -> Domain:
    """The language domain.

    Raises:
        ValueError: there is none of that name, its file is no domain, it lacks an item that is to be learned, or it
            makes no chains where these are wanted.
    """
    domain = domains.find(config.domain, Path(config.folder))
    if isinstance(config, ChainsConfig):
        if config.probes is not None:
            raise ValueError(
                f"expected data.probes=null for chains, whose pairings are learned, got {', '.join(config.probes)}; "
                "remove it"
            )
        crossed(domain, length=config.length)
    items = [item.id for item in domain.items]
    for probe in config.probes or ():
        if probe not in items:
            raise ValueError(f"expected data.probes among {', '.join(items)}, got {probe!r}; correct it")
    return domain


def selection(config: SelectionConfig) -> Selection:
    """The library's selection."""
    return Selection(**asdict(config))


ESTIMATORS: dict[type, Callable[..., Estimator]] = {
    FineTuneConfig: FineTune,
    FirstOrderConfig: FirstOrder,
    PromptConfig: Prompt,
}


def estimator(config: FineTuneConfig | FirstOrderConfig | PromptConfig) -> Estimator:
    """The library's estimator."""
    settings = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "name"}
    return ESTIMATORS[type(config)](**settings)


def engine(config: Config) -> Engine:
    """How the library is to compute."""
    return Engine(fast=config.engine.fast, memory_gb=config.engine.memory_gb)


def initial_model(config: Config) -> nn.Module:
    """The model as initialised, on the CPU."""
    return initialise(architecture(config), config.trainer.seed)


def base_model(model: nn.Module, config: Config, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model with its base weights, trained in `folder` where that has not been done, and the record of it."""
    if isinstance(config.model, CausalLMConfig):  # it came with them
        record: dict[str, Any] = {"source": config.model.source, "revision": config.model.revision}
    elif config.model.weights is not None:
        weights = Path(config.model.weights)
        load_weights(model, weights)
        record = {"weights": weights.name, "sha256": sha256(weights)}
    elif config.trainer.epochs > 0:
        record = train_once(
            _trainable(model),
            _training_data(config),
            folder,
            epochs=config.trainer.epochs,
            seed=config.trainer.seed,
            device=device(config),
        )
    else:
        record = {"weights": "as initialised"}
    return model.to(device(config)), record


def architecture(config: Config) -> Callable[[], nn.Module]:
    """What makes the model: a language model with its weights, any other still without."""
    if isinstance(config.model, CausalLMConfig):
        folder = Path(config.outputs) / "models"
        return partial(_causal_lm, config.model, folder, config.seed, fast=config.engine.fast)
    if isinstance(config.model, OwnModelConfig):
        return partial(locate(config.model._target_, config.trust), **config.model.options)
    assert isinstance(config.model, CNNConfig)
    settings = {key: value for key, value in asdict(config.model).items() if key not in ("name", "weights")}
    chosen = {key: value.value if isinstance(value, Enum) else value for key, value in settings.items()}
    return partial(CNN, **chosen)


def _causal_lm(config: CausalLMConfig, folder: Path, seed: int, *, fast: bool) -> CausalLM:
    if config.source == TINY_RANDOM:
        network, tokenizer = tiny_random()
    else:
        network, tokenizer = sources.load(
            config.source, folder=folder, dtype=config.dtype.value, revision=config.revision, report=log.info
        )
    return CausalLM(network, tokenizer, lora=config.lora or None, seed=seed, engine=fast)


def _trainable(model: nn.Module) -> pl.LightningModule:
    if not isinstance(model, pl.LightningModule):
        raise ValueError(
            f"expected a LightningModule to train, got {type(model).__name__}; "
            "set trainer.epochs=0, or give trained weights in model.weights"
        )
    return model


def _training_data(config: Config) -> ImageData:
    if not isinstance(config.data, ImagesConfig):
        raise ValueError(
            "expected an image set to train the base model on, got other samples; set trainer.epochs=0 or model.weights"
        )
    train, test = (images(config.data, config.data.base, split) for split in ("train", "test"))
    return ImageData(train, test, batch_size=config.trainer.batch_size, seed=config.trainer.seed)
