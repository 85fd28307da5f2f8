"""A small convolutional classifier as a Lightning module."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from influence.models.protocol import Batch

Images: TypeAlias = Float[Tensor, "B channels height width"]
Halved: TypeAlias = Float[Tensor, "B channels half_height half_width"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh}


def halve_by_maximum(images: Images) -> Halved:
    """Maximum over 2 x 2 windows, an odd last row or column dropped.

    The same numbers as `nn.MaxPool2d(2)`, written as the maximum of four strided slices: on a CPU the slices
    vectorise over channels and take a fraction of its time. They are taken with the channels last, because a slice's
    gradient has its values in the order of the axes.
    """
    height, width = images.shape[-2] // 2 * 2, images.shape[-1] // 2 * 2
    pixels = images.movedim(-3, -1)
    rows = torch.maximum(pixels[..., 0:height:2, :width, :], pixels[..., 1:height:2, :width, :])
    return torch.maximum(rows[..., 0::2, :], rows[..., 1::2, :]).movedim(-1, -3)


def halve_by_mean(images: Images) -> Halved:
    """Mean over 2 x 2 windows, an odd last row or column dropped: smooth, unlike the maximum."""
    return F.avg_pool2d(images, 2)


POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {"max": halve_by_maximum, "mean": halve_by_mean}


class CNN(pl.LightningModule):
    """Convolution, pooling, convolution, pooling, hidden layer, class scores.

    Args:
        image_size: height and width of the square grey images.
        channels: output channels of the two 3 x 3 convolutions.
        hidden: width of the hidden layer.
        num_classes: C.
        activation: a key of `ACTIVATIONS`; "tanh" with `pooling="mean"` makes a smooth network.
        pooling: a key of `POOLINGS`.
        lr: highest learning rate of base training (Adam); fine-tuning brings its own optimiser.
    """

    def __init__(
        self,
        *,
        image_size: int = 28,
        channels: Sequence[int] = (16, 32),
        hidden: int = 64,
        num_classes: int = 10,
        activation: str = "relu",
        pooling: str = "max",
        lr: float = 5e-3,
    ) -> None:
        super().__init__()
        first, second = channels
        self.convolution1 = nn.Conv2d(1, first, 3, padding=1)
        self.convolution2 = nn.Conv2d(first, second, 3, padding=1)
        self.hidden = nn.Linear(second * (image_size // 4) ** 2, hidden)
        self.output = nn.Linear(hidden, num_classes)
        self.activation, self.pool = ACTIVATIONS[activation], POOLINGS[pooling]
        self.num_classes, self.lr = num_classes, lr
        # Channels-last convolutions are faster on CPU; the weights' layout carries over to the activations.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Images) -> Float[Tensor, "B C"]:
        """Class scores before the softmax."""
        features = self._halved(self.convolution1(images))
        features = self._halved(self.convolution2(features))
        logits: Tensor = self.output(self.activation(self.hidden(features.flatten(1))))
        return logits

    def _halved(self, features: Images) -> Halved:
        """Pooled activations; ReLU gives the same bits after the maximum, where it has a quarter to do."""
        if self.activation is F.relu and self.pool is halve_by_maximum:
            return self.activation(self.pool(features))
        return self.pool(self.activation(features))

    def logits(self, batch: Batch) -> Float[Tensor, "B C"]:
        """Class scores before the softmax."""
        return self.forward(batch["image"])

    def loss(self, batch: Batch) -> Float[Tensor, " B"]:
        """Cross-entropy of each image's label, nats."""
        return F.cross_entropy(self.logits(batch), batch["label"], reduction="none")

    def log_prob(self, batch: Batch) -> Float[Tensor, " B"]:
        """Log-probability of each image's label, nats; the softmax is taken in float64."""
        log_probs = F.log_softmax(self.logits(batch).double(), dim=-1)
        return log_probs.gather(1, batch["label"][:, None]).squeeze(1)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Mean loss of a batch, for base training."""
        loss = self.loss(batch).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the accuracy, for base training."""
        correct = (self.logits(batch).argmax(-1) == batch["label"]).float()
        self.log("accuracy", correct.mean(), prog_bar=True, batch_size=len(correct))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam for base training, its rate rising and falling once over the training."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
