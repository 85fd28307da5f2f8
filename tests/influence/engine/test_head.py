import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from influence.engine import head as module
from influence.engine.head import Head

NUM_WORDS, NUM_HIDDEN = 101, 16
SOURCE = torch.tensor([0, 5, 5, 2, 0])
WORD = torch.tensor([0, 17, 40, 40, 100])


def linear(*, bias: bool, dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(NUM_HIDDEN, NUM_WORDS, bias=bias, dtype=torch.float32).to(dtype)


def hidden(scale: float = 5.0) -> Tensor:
    return scale * torch.randn(2, 3, NUM_HIDDEN, generator=torch.Generator().manual_seed(1)).double()


def dense(layer: nn.Linear, hidden_BSH: Tensor, cap: float | None) -> Tensor:
    logits = layer(hidden_BSH).flatten(0, 1)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    return F.log_softmax(logits.double(), dim=-1)[SOURCE, WORD]


class TestLogProbs:
    @pytest.mark.parametrize("held", [1, 6 * 7, 6 * 50, 10**6])
    @pytest.mark.parametrize("cap", [None, 3.0])
    @pytest.mark.parametrize("bias", [False, True])
    def test_are_those_of_the_dense_softmax(
        self, monkeypatch: pytest.MonkeyPatch, held: int, cap: float | None, bias: bool
    ) -> None:
        monkeypatch.setattr(module, "HELD_LOGITS", held)
        layer = linear(bias=bias)
        measured = Head(layer, cap).log_probs(hidden(), SOURCE, WORD)
        torch.testing.assert_close(measured, dense(layer, hidden(), cap).detach(), rtol=0, atol=1e-13)

    def test_are_never_of_all_logits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HELD_LOGITS", 6 * 70)
        chunks = [logits.numel() for _, logits in Head(linear(bias=True)).chunks(hidden())]
        assert max(chunks) == 6 * 64  # whole vectors
        assert sum(chunks) == 6 * NUM_WORDS

    @pytest.mark.parametrize("scale", [0.1, 5.0, 1000.0])
    def test_in_float32_are_as_near_as_the_dense_softmax_of_float32_logits(self, scale: float) -> None:
        true = dense(linear(bias=True), hidden(scale), None)
        single = linear(bias=True, dtype=torch.float32)
        naive = dense(single, hidden(scale).float(), None)
        measured = Head(single).log_probs(hidden(scale).float(), SOURCE, WORD)
        assert measured.dtype == torch.float64
        # 6e-8 of the largest exponential is what float32 itself leaves open.
        assert (measured - true).abs().max() <= 2 * (naive - true).abs().max() + 6e-8

    def test_in_bfloat16_are_summed_in_float32(self) -> None:
        layer = linear(bias=False, dtype=torch.bfloat16)
        half = hidden().bfloat16()
        measured = Head(layer).log_probs(half, SOURCE, WORD)
        torch.testing.assert_close(measured, dense(layer, half, None), rtol=0, atol=1e-5)

    def test_of_large_logits_are_finite(self) -> None:
        assert torch.isfinite(Head(linear(bias=True)).log_probs(hidden(1e5), SOURCE, WORD)).all()
