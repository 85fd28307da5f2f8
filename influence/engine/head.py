"""Log-probabilities without the logits: the head's words are streamed, and only scored places pass it.

    log p(word | place) = logit - log sum_v exp(logit_v),    logit_v = cap(h . W_v + b_v)

is all that is read of a row of V logits. A chunk of words at a time is multiplied (in the network's precision, where
the arithmetic is) and reduced to its log-sum-exp (summed in float64); the chunk is small enough to stay in the cache.

Suffixes: B trees, S scored places of each, H hidden units, V words, C words of a chunk, E scored tokens.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

HELD_LOGITS = 2**21
"""Logits of one chunk, 8 MiB in float32: faster than half of it, and all of them would leave the cache."""

CHUNK = 2**10
"""Words of one chunk at most: a longer float32 sum over words, as of gradients in hidden states, loses digits."""

STEP = 2**6
"""Chunks are multiples of so many words: vectors of a product, and of its sums, are then whole."""

FEW = 2**5
"""Words whose sum loses no more than half a digit of float32."""

Logits: TypeAlias = Callable[[slice], Tensor]
"""Words to their logits [B S C], in new memory."""


class Head:
    """The last layer of a language model, with the softcapping of Gemma where there is one.

    Args:
        linear: hidden units to words.
        cap: `final_logit_softcapping`: logits x become cap tanh(x / cap).
    """

    def __init__(self, linear: nn.Linear, cap: float | None = None) -> None:
        self.weight_VH = linear.weight.detach()
        self.bias_V = None if linear.bias is None else linear.bias.detach()
        self.cap = cap

    def logits(self, hidden_BSH: Float[Tensor, "B S H"]) -> Logits:
        """Logits of these places before the cap."""
        hidden_NH = hidden_BSH.flatten(0, 1)

        def of(words: slice) -> Tensor:
            if self.bias_V is None:
                logits_NC = hidden_NH @ self.weight_VH[words].T
            else:
                logits_NC = torch.addmm(self.bias_V[words], hidden_NH, self.weight_VH[words].T)
            return logits_NC.view(*hidden_BSH.shape[:2], -1)

        return of

    def chunks(self, hidden_BSH: Float[Tensor, "B S H"]) -> Iterator[tuple[slice, Float[Tensor, "B S C"]]]:
        """Logits of all words, some at a time; they may be overwritten."""
        logits, num_words = self.logits(hidden_BSH), len(self.weight_VH)
        size = min(CHUNK, max(STEP, HELD_LOGITS // hidden_BSH.shape[:2].numel() // STEP * STEP))
        for start in range(0, num_words, size):
            words = slice(start, min(start + size, num_words))
            logits_BSC = logits(words)
            if self.cap is not None:
                logits_BSC.div_(self.cap).tanh_().mul_(self.cap)
            yield words, logits_BSC

    def log_probs(
        self, hidden_BSH: Float[Tensor, "B S H"], source_E: Int[Tensor, " E"], word_E: Int[Tensor, " E"]
    ) -> Float64[Tensor, " E"]:
        """Log-probability of each word after its place, nats.

        Args:
            hidden_BSH: last hidden states.
            source_E: index of the place of each word into the flattened places.
            word_E: ids, in ascending order.
        """
        logit_E, normaliser = hidden_BSH.new_zeros(len(word_E), dtype=torch.float64), Normaliser()
        for words, logits_BSC in self.chunks(hidden_BSH):
            here = within(word_E, words)
            logits_NC = logits_BSC.flatten(0, 1)
            logit_E[here] = logits_NC[source_E[here], word_E[here] - words.start].double()
            normaliser.add_(logits_NC)
        return logit_E - normaliser.total()[source_E]


class Normaliser:
    """log sum_v exp(x_v) over chunks of v, each reduced by its own maximum."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    def add_(self, logits_NC: Float[Tensor, "N C"]) -> None:
        """Take in a chunk, which is overwritten."""
        if logits_NC.dtype.itemsize < 4:
            logits_NC = logits_NC.float()
        largest_N1 = logits_NC.amax(-1, keepdim=True)
        total_N = _sums(logits_NC.sub_(largest_N1).exp_())
        self.parts.append(largest_N1.squeeze(-1).double() + total_N.log())

    def total(self) -> Float64[Tensor, " N"]:
        """Log of the sum over all chunks taken in."""
        return torch.stack(self.parts).logsumexp(0)


def _sums(values_NC: Float[Tensor, "N C"]) -> Float64[Tensor, " N"]:
    """Sums over words: of every few in their own precision, of these in float64, alone four times as slow."""
    num_few = values_NC.shape[1] // FEW
    few_NF = values_NC[:, : num_few * FEW].view(len(values_NC), num_few, FEW).sum(-1)
    total_N = few_NF.sum(-1, dtype=torch.float64)
    if rest := values_NC.shape[1] % FEW:
        total_N += values_NC[:, -rest:].sum(-1, dtype=torch.float64)
    return total_N


def within(word_E: Int[Tensor, " E"], words: slice) -> slice:
    """Where ascending ids lie in a range of words."""
    low, high = torch.searchsorted(word_E, torch.tensor([words.start, words.stop], device=word_E.device)).tolist()
    return slice(low, high)
