"""Every family in float64, and norms that do not round."""

import pytest
import torch
from torch import Tensor, nn

from tests.influence.engine.networks import FAMILIES, MADE, make


@pytest.fixture(params=FAMILIES)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return make(request.param)


@pytest.fixture(autouse=True)
def _exact_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    """RMSNorms of transformers compute in float32, also on float64: rounding that hides what is to be compared."""
    forwards = {
        type(module): type(module).forward
        for name in MADE
        for module in MADE[name]().modules()
        if type(module).__name__.endswith("RMSNorm")
    }

    def exact(self: nn.Module, x: Tensor) -> Tensor:
        if x.dtype != torch.float64:
            return forwards[type(self)](self, x)
        eps = self.eps if hasattr(self, "eps") else self.variance_epsilon
        weight = 1 + self.weight if type(self).__name__ == "Gemma3RMSNorm" else self.weight
        return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)

    for kind in forwards:
        monkeypatch.setattr(kind, "forward", exact)
