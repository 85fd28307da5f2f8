"""From a configuration to the library's objects."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import nn

from experiments.schema import (
    CNNConfig,
    Config,
    Device,
    FineTuneConfig,
    FirstOrderConfig,
    ImagesConfig,
    OwnConfig,
    OwnModelConfig,
    SelectionConfig,
)
from influence.data.selection import Selection, select
from influence.data.training import ImageData
from influence.data.vision import ImageSet, load
from influence.estimators.finetune import FineTune
from influence.estimators.first_order import FirstOrder
from influence.estimators.protocol import Estimator
from influence.models.base import initialise, load_weights, train_once
from influence.models.cnn import CNN

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
    """Where tensors live: `cpu` or `cuda`."""
    if config.engine.device is Device.auto:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(config.engine.device.value)


def domain(config: ImagesConfig) -> ImageSet:
    """The image set that probes and targets come from."""
    return load(config.domain.value, config.split.value, Path(config.folder))


def samples(config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probes and targets.

    Raises:
        ValueError: an own function returns neither a DataFrame nor two.
    """
    if isinstance(config.data, ImagesConfig):
        images = domain(config.data)
        probes = select(images, selection(config.data.probes))
        return probes, probes if config.data.targets is None else select(images, selection(config.data.targets))
    assert isinstance(config.data, OwnConfig)
    made = locate(config.data._target_, config.trust)(**config.data.options)
    tables = (made, made) if isinstance(made, pd.DataFrame) else made
    if not (isinstance(tables, tuple) and [type(table) for table in tables] == [pd.DataFrame] * 2):
        raise ValueError(
            f"expected {config.data._target_} to return a DataFrame of samples, or probes and targets, "
            f"got {type(made).__name__}"
        )
    return tables


def selection(config: SelectionConfig) -> Selection:
    """The library's selection."""
    return Selection(**asdict(config))


def estimator(config: FineTuneConfig | FirstOrderConfig) -> Estimator:
    """The library's estimator."""
    settings = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "name"}
    return FineTune(**settings) if isinstance(config, FineTuneConfig) else FirstOrder(**settings)


def base_model(config: Config, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The base model with its weights, trained in `folder` where that has not been done, and the record of it."""
    model = initialise(architecture(config), config.trainer.seed)
    if config.model.weights is not None:
        load_weights(model, Path(config.model.weights))
        record: dict[str, Any] = {"weights": config.model.weights}
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
    """What makes the model, still without weights."""
    if isinstance(config.model, OwnModelConfig):
        return partial(locate(config.model._target_, config.trust), **config.model.options)
    assert isinstance(config.model, CNNConfig)
    return partial(CNN, **{key: value for key, value in asdict(config.model).items() if key not in ("name", "weights")})


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
            "expected an image set to train the base model on, got data=own; set trainer.epochs=0 or model.weights"
        )
    train, test = (load(config.data.base.value, split, Path(config.data.folder)) for split in ("train", "test"))
    return ImageData(train, test, batch_size=config.trainer.batch_size, seed=config.trainer.seed)
