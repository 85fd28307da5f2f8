"""What a model must offer to be measured."""

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

Batch: TypeAlias = Any
"""What `collate` makes of a sample table and a model takes; by default a dict of tensors."""


@runtime_checkable
class Model(Protocol):
    """An `nn.Module` with two methods, each giving one number a sample.

    A model may also have

    - `logits(batch) -> [B, C]`: then the readouts `logit` and `margin` exist, and the base model's class
      probabilities are kept beside the matrix;
    - `collate(samples: DataFrame) -> batch`, else `stack_columns` makes one;
    - `units`: the unit of a readout by its name, where it is not the usual one;
    - `describe() -> dict`: what decides its numbers beside its weights, kept with the matrix.
    """

    def loss(self, batch: Batch) -> Float[Tensor, " B"]:
        """Training loss of each sample, in nats; what a probe is learned by."""
        ...

    def log_prob(self, batch: Batch) -> Float[Tensor, " B"]:
        """Log-probability of each sample, in nats, in float64; what is read on a target."""
        ...


def check(model: Any) -> None:
    """Refuse a model without the protocol.

    Raises:
        TypeError: it is no `nn.Module` or lacks `loss` or `log_prob`.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a torch nn.Module, got {type(model).__name__}; wrap the model in one")
    missing = [name for name in ("loss", "log_prob") if not callable(getattr(model, name, None))]
    if missing:
        raise TypeError(
            f"expected a model with loss(batch) and log_prob(batch), got {type(model).__name__} "
            f"without {' and '.join(missing)}; add the method"
        )


def collate(model: nn.Module, samples: pd.DataFrame) -> Batch:
    """The batch of a sample table, on the model's device."""
    own = getattr(model, "collate", None)
    batch = own(samples) if callable(own) else stack_columns(samples)
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    return {name: value.to(device) for name, value in batch.items()} if isinstance(batch, dict) else batch


def collate_each(model: nn.Module, samples: pd.DataFrame) -> Iterator[Batch]:
    """The batch of each sample alone; unless the model collates by its own method, all are stacked at once."""
    if callable(getattr(model, "collate", None)):
        yield from (collate(model, samples.iloc[row : row + 1]) for row in range(len(samples)))
        return
    whole = collate(model, samples)
    for row in range(len(samples)):
        # Memory of its own, since bits may depend on where it begins.
        yield {name: column[row : row + 1].clone() for name, column in whole.items()}


def stack_columns(samples: pd.DataFrame) -> dict[str, Tensor]:
    """Stack every array or number column into a tensor of B rows; text columns are left out.

    Floating arrays keep their precision, so a float64 model gets float64 inputs.
    """
    batch = {}
    for name, column in samples.items():
        if column.dtype.kind in "biuf":
            batch[str(name)] = torch.from_numpy(column.to_numpy().copy())
        elif isinstance(column.iloc[0], np.ndarray):
            batch[str(name)] = torch.from_numpy(np.stack(list(column)))
    return batch
