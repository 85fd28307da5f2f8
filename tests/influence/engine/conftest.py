"""Every family in float64, and norms that do not round."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.influence.engine.networks import FAMILIES, MADE, make


@pytest.fixture(params=FAMILIES)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return make(request.param)


@cache
def norms() -> dict[type[nn.Module], Callable[[nn.Module, Tensor], Tensor]]:
    """Forwards of all RMSNorms of transformers."""
    kinds = {type(module) for name in MADE for module in MADE[name]().modules()}
    return {kind: kind.forward for kind in kinds if kind.__name__.endswith("RMSNorm")}


@pytest.fixture(autouse=True)
def _exact_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    """They compute in float32, also on float64: rounding that hides what is to be compared."""

    def exact(self: nn.Module, x: Tensor) -> Tensor:
        if x.dtype != torch.float64:
            return norms()[type(self)](self, x)
        eps = self.eps if hasattr(self, "eps") else self.variance_epsilon
        weight = 1 + self.weight if type(self).__name__ == "Gemma3RMSNorm" else self.weight
        return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)

    for kind in norms():
        monkeypatch.setattr(kind, "forward", exact)
