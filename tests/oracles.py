"""Slow, obvious ways to the numbers that the library computes; each stands alone."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

MakeOptimizer = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]
Collate = Callable[[pd.DataFrame], Any]


def image_batch(samples: pd.DataFrame) -> dict[str, Tensor]:
    return {
        "image": torch.stack([torch.as_tensor(image) for image in samples["image"]]),
        "label": torch.tensor(samples["label"].tolist()),
    }


def text_batch(tokenizer: Any, samples: pd.DataFrame, *, prompt: str = "") -> dict[str, Tensor]:
    """Texts after a start token and a prompt, one row a line, padded; scored are the tokens of the text."""
    context = [tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    lines = [line for text in samples["text"] for line in text.split("\n")]
    texts = [tokenizer(f" {line}", add_special_tokens=False)["input_ids"] for line in lines]
    ids_BL = torch.zeros(len(texts), len(context) + max(map(len, texts)), dtype=torch.long)
    read_BL, scored_BL = torch.zeros(2, *ids_BL.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        length = len(context) + len(text)
        ids_BL[row, :length] = torch.tensor([*context, *text])
        read_BL[row, :length] = True
        scored_BL[row, len(context) : length] = True
    return {"ids": ids_BL, "read": read_BL.long(), "scored": scored_BL}


class PlainLM(nn.Module):
    """A network of Hugging Face on padded batches, as anyone would write it; of `text_batch`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def log_prob(self, batch: dict[str, Tensor]) -> Tensor:
        logits_BLV = self.network(input_ids=batch["ids"], attention_mask=batch["read"], use_cache=False).logits
        word_BL, scored_BL = batch["ids"].roll(-1, 1), batch["scored"].roll(-1, 1)  # the start is never scored
        loss_BL = F.cross_entropy(logits_BLV.flatten(0, 1), word_BL.flatten(), reduction="none").view(word_BL.shape)
        return -(loss_BL * scored_BL).sum(1) / scored_BL.sum(1)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        return -self.log_prob(batch)


def loop_readouts(
    model: nn.Module,
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    make_optimizer: MakeOptimizer,
    num_steps: int,
    *,
    collate: Collate = image_batch,
    learned: nn.Module | None = None,
) -> np.ndarray:
    """A probe at a time: the copy `learned` gets the model's weights, takes the steps and reads all targets at once."""
    learned = (copy.deepcopy(model) if learned is None else learned).eval()
    batch, readout_PT = collate(targets), np.empty((len(probes), len(targets)))
    for i in range(len(probes)):
        with torch.no_grad():
            for parameter, base in zip(learned.parameters(), model.parameters(), strict=True):
                parameter.copy_(base)
        probe = collate(probes.iloc[[i]])
        optimizer = make_optimizer(list(learned.parameters()))
        for _ in range(num_steps):
            optimizer.zero_grad()
            learned.loss(probe).sum().backward()
            optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            readout_PT[i] = learned.log_prob(batch).numpy()
    return readout_PT


def loop_gains(
    model: nn.Module,
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    make_optimizer: MakeOptimizer,
    num_steps: int,
    **options: Any,
) -> np.ndarray:
    """`loop_readouts` after the steps, minus before."""
    before_1T = loop_readouts(model, probes.iloc[:1], targets, make_optimizer, 0, **options)
    return loop_readouts(model, probes, targets, make_optimizer, num_steps, **options) - before_1T


class _Steps(pl.LightningModule):
    """Wraps a model so that `Trainer.fit` takes the steps."""

    def __init__(self, model: nn.Module, make_optimizer: MakeOptimizer) -> None:
        super().__init__()
        self.model, self.make_optimizer = model, make_optimizer

    def training_step(self, batch: Any, _: int) -> Tensor:
        return self.model.loss(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(list(self.model.parameters()))


def trainer_readouts(
    model: nn.Module,
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    make_optimizer: MakeOptimizer,
    num_steps: int,
    *,
    collate: Collate = image_batch,
) -> np.ndarray:
    """`Trainer.fit` on a deep copy a probe, a step an epoch."""
    batch, readout_PT = collate(targets), np.empty((len(probes), len(targets)))
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
        trainer.fit(_Steps(learned, make_optimizer), DataLoader([collate(probes.iloc[[i]])], batch_size=None))
        with torch.no_grad():
            readout_PT[i] = learned.eval().log_prob(batch).numpy()
    return readout_PT


def trainer_gains(
    model: nn.Module, probes: pd.DataFrame, targets: pd.DataFrame, make_optimizer: MakeOptimizer, num_steps: int
) -> np.ndarray:
    """`trainer_readouts` after the steps, minus before."""
    before_1T = loop_readouts(model, probes.iloc[:1], targets, make_optimizer, 0)
    return trainer_readouts(model, probes, targets, make_optimizer, num_steps) - before_1T


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
