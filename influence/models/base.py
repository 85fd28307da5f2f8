"""The base model: trained once by Lightning, kept as safetensors."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn
from tqdm import tqdm

from influence.files import locked, read_json, write_atomically, write_json
from influence.isolation import random_states_kept
from influence.seeds import derive


def initialise(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model whose random weights depend on `seed` alone; global random states stay as they were."""
    with random_states_kept():
        torch.manual_seed(derive(seed, "initial weights"))
        return make()


def load_weights(model: nn.Module, path: Path) -> None:
    """Load safetensors into `model`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is torn, or its tensors are not the model's.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected weights in {path}, got no such file; give the path of a safetensors file")
    try:
        load_model(model, path)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"expected {path} to hold the weights of {type(model).__name__}, got: {reason}; "
            "delete it or configure the model that wrote it"
        ) from None


def train_once(
    model: pl.LightningModule, data: pl.LightningDataModule, folder: Path, *, epochs: int, seed: int, device: str
) -> dict[str, Any]:
    """Give `model` the weights in `folder`, training them first where there are none.

    Two processes that ask for the same folder train once: the second waits for the first.

    Args:
        model: freshly initialised; it is changed in place.
        data: what it is trained and validated on.
        folder: receives `weights.safetensors` and, last, `training.json`.
        epochs: passes over the training set.
        seed: of what is random in training besides the order of the data.
        device: "cpu" or "cuda".

    Returns:
        The record of the training: epochs, seconds and the metrics that the module logged.
    """
    weights, record_path = folder / "weights.safetensors", folder / "training.json"
    with locked(folder / ".lock", "trains the base model"):
        if not (weights.exists() and record_path.exists()):
            start = time.perf_counter()
            metrics = _fit(model, data, epochs=epochs, seed=seed, device=device)
            write_atomically(weights, lambda path: save_model(model, str(path)))
            write_json(record_path, {"epochs": epochs, "seconds": time.perf_counter() - start, **metrics})
    load_weights(model, weights)
    record: dict[str, Any] = read_json(record_path)
    return record


class TrainingBar(pl.Callback):
    """One progress bar for the whole training, with the time left and the latest loss."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self.bar = tqdm(total=int(trainer.estimated_stepping_batches), desc="Training", unit="step", mininterval=1)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Move it by a step."""
        if "loss" in trainer.callback_metrics:
            self.bar.set_postfix(loss=f"{float(trainer.callback_metrics['loss']):.3f}", refresh=False)
        self.bar.update()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close it."""
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close it."""
        self.bar.close()


def _fit(
    model: pl.LightningModule, data: pl.LightningDataModule, *, epochs: int, seed: int, device: str
) -> dict[str, float]:
    with random_states_kept(), warnings.catch_warnings():
        # The data sits in memory: worker processes would only cost time.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")  # Lightning's own affair
        torch.manual_seed(derive(seed, "base training"))
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            check_val_every_n_epoch=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[TrainingBar()],
            plugins=[LightningEnvironment()],  # one device, also inside a Slurm job
        )
        trainer.fit(model, datamodule=data)
        model.to("cpu")
        return {name: float(value) for name, value in trainer.callback_metrics.items()}
