"""Texts as token ids, and which of them are scored.

Suffixes: R rows (texts), L positions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import torch
from jaxtyping import Bool, Int
from torch import Tensor

Network: TypeAlias = Any
"""A `transformers.PreTrainedModel`; the package is an extra, so that its types are not at hand."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Token ids of several texts and what is scored of them.

    Padding stands on the right, where a causal model does not see it: no attention mask is needed.
    """

    ids_RL: Int[Tensor, "R L"]
    scored_RL: Bool[Tensor, "R L"]

    @classmethod
    def padded(cls, rows: Sequence[Sequence[int]], scored: Sequence[Iterable[int]] | None = None) -> Self:
        """Rows of ids, each with its start token, and the positions to score: by default all after the start."""
        ids_RL = torch.full((len(rows), max(map(len, rows))), rows[0][0])
        scored_RL = torch.zeros(ids_RL.shape, dtype=torch.bool)
        for row, ids in enumerate(rows):
            ids_RL[row, : len(ids)] = torch.tensor(ids)
            scored_RL[row, list(range(1, len(ids)) if scored is None else scored[row])] = True
        return cls(ids_RL, scored_RL)

    def to(self, device: torch.device, **options: Any) -> Self:
        """The same texts on a device."""
        return type(self)(self.ids_RL.to(device, **options), self.scored_RL.to(device, **options))

    def after(self, context: Sequence[int]) -> Self:
        """The same ids with a context between them and the start token; it is not scored."""
        context_RC = torch.tensor(context, dtype=torch.long, device=self.ids_RL.device).expand(len(self.ids_RL), -1)

        def insert(tensor_RL: Tensor, middle_RC: Tensor) -> Tensor:
            return torch.cat([tensor_RL[:, :1], middle_RC, tensor_RL[:, 1:]], dim=1)

        return type(self)(
            insert(self.ids_RL, context_RC), insert(self.scored_RL, torch.zeros_like(context_RC, dtype=torch.bool))
        )
