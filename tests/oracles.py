"""Slow, obvious ways to the numbers that the library computes; each stands alone."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

MakeOptimizer = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


def image_batch(samples: pd.DataFrame) -> dict[str, Tensor]:
    return {
        "image": torch.stack([torch.as_tensor(image) for image in samples["image"]]),
        "label": torch.tensor(samples["label"].tolist()),
    }


def loop_gains(
    model: nn.Module, probes: pd.DataFrame, targets: pd.DataFrame, make_optimizer: MakeOptimizer, num_steps: int
) -> np.ndarray:
    """A deep copy a probe, its steps, and one unbatched forward a target."""
    gain_PT = np.empty((len(probes), len(targets)))
    for i in range(len(probes)):
        learned = copy.deepcopy(model).eval()
        optimizer = make_optimizer(list(learned.parameters()))
        for _ in range(num_steps):
            optimizer.zero_grad()
            learned.loss(image_batch(probes.iloc[[i]])).sum().backward()
            optimizer.step()
        for j in range(len(targets)):
            target = image_batch(targets.iloc[[j]])
            with torch.no_grad():
                gain_PT[i, j] = (learned.log_prob(target) - model.log_prob(target)).item()
    return gain_PT


class _Steps(pl.LightningModule):
    """Wraps a model so that `Trainer.fit` takes the steps."""

    def __init__(self, model: nn.Module, make_optimizer: MakeOptimizer) -> None:
        super().__init__()
        self.model, self.make_optimizer = model, make_optimizer

    def training_step(self, batch: Any, _: int) -> Tensor:
        return self.model.loss(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(list(self.model.parameters()))


def trainer_gains(
    model: nn.Module, probes: pd.DataFrame, targets: pd.DataFrame, make_optimizer: MakeOptimizer, num_steps: int
) -> np.ndarray:
    """`Trainer.fit` on a deep copy a probe, a step an epoch."""
    gain_PT = np.empty((len(probes), len(targets)))
    for i in range(len(probes)):
        learned = copy.deepcopy(model)
        trainer = pl.Trainer(
            max_epochs=num_steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        batches = DataLoader([image_batch(probes.iloc[[i]])], batch_size=None)
        trainer.fit(_Steps(learned, make_optimizer), batches)
        with torch.no_grad():
            batch = image_batch(targets)
            gain_PT[i] = (learned.eval().log_prob(batch) - model.log_prob(batch)).numpy()
    return gain_PT


def softmax_regression_gains(
    weight: np.ndarray, bias: np.ndarray, probes: pd.DataFrame, targets: pd.DataFrame, lr: float
) -> np.ndarray:
    """One SGD step of softmax regression in closed form.

    With p = softmax(W x + b), the step on (x_i, y_i) moves the logits of x_j by lr (e_yi - p_i)(x_i . x_j + 1).
    """
    x_P, x_T = (np.stack([image.ravel() for image in table["image"]]) for table in (probes, targets))
    gain_PT = np.empty((len(probes), len(targets)))
    for i, label_i in enumerate(probes["label"]):
        logits_i = weight @ x_P[i] + bias
        residual = np.eye(len(bias))[label_i] - np.exp(logits_i) / np.exp(logits_i).sum()
        for j, label_j in enumerate(targets["label"]):
            before = weight @ x_T[j] + bias
            after = before + lr * residual * (x_P[i] @ x_T[j] + 1)
            log_probs = [logits[label_j] - np.log(np.exp(logits).sum()) for logits in (before, after)]
            gain_PT[i, j] = log_probs[1] - log_probs[0]
    return gain_PT
