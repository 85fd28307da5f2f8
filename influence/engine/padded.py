"""Log-probabilities of texts as a padded batch: the way that any network takes, and that gradients can pass.

Suffixes: R rows (texts), L positions, V words.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from influence.engine.texts import Network, Texts

HELD_LOGITS = 2**27
"""Logits of one forward, half a GiB in float32; a larger batch is read in several."""

HELD_LOG_PROBS = 2**20
"""Log-probabilities in float64 at once, 8 MiB: more leave the processor's cache and take three times as long."""


def read(network: Network, texts: Texts) -> Float64[Tensor, " R"]:
    """Sum of log p(token | all tokens before it) over the scored tokens of each text, nats.

    The softmax is taken in float64, of the scored positions alone and a part of them at a time; the network reads
    as many texts at once as `HELD_LOGITS` allow.
    """
    first = int(texts.scored_RL.any(0).nonzero()[0])  # the position before it predicts it
    num_logits = texts.ids_RL.shape[1] - first + 1
    num_words: int = network.config.get_text_config().vocab_size
    rows_a_forward = max(1, HELD_LOGITS // (num_logits * num_words))
    places_a_softmax = max(1, HELD_LOG_PROBS // num_words)
    totals = []
    for start in range(0, len(texts.ids_RL), rows_a_forward):
        ids_RL = texts.ids_RL[start : start + rows_a_forward]
        scored_RL = texts.scored_RL[start : start + rows_a_forward, first:]
        logits_RLV = network(input_ids=ids_RL, use_cache=False, logits_to_keep=num_logits).logits
        total_R = torch.zeros(len(ids_RL), dtype=torch.float64, device=ids_RL.device)
        for places in torch.split(scored_RL.nonzero(), places_a_softmax):
            row, position = places.unbind(1)
            log_probs = F.log_softmax(logits_RLV[row, position].double(), dim=-1)
            log_prob = log_probs.gather(1, ids_RL[row, first + position][:, None]).squeeze(1)
            total_R = total_R.index_add(0, row, log_prob)
        totals.append(total_R)
    return torch.cat(totals)
