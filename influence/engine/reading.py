"""Log-probabilities of texts under a network's present weights, by prefix tree and streamed head."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from influence.engine.head import Head
from influence.engine.texts import Network
from influence.engine.tree import Trees

FAMILIES = ("gemma3_text", "gpt2", "llama", "mistral", "phi3", "qwen2", "qwen3")
"""Model types of transformers whose attention takes a mask and positions of one's own."""


def why_not(network: Network) -> str:
    """Why a network cannot read trees, in one clause, or ""."""
    network = base(network)
    config = network.config.get_text_config()
    head = network.get_output_embeddings()
    if config.model_type not in FAMILIES:
        return f"the network is of type {config.model_type} and not of {', '.join(FAMILIES)}"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"the attention is {config._attn_implementation} and takes no mask of one's own"
    if getattr(config, "use_bidirectional_attention", False):
        return "the attention is bidirectional"
    if type(head) is not nn.Linear:
        return f"the head is a {type(head).__name__} and no Linear"
    return ""


@torch.no_grad()
def read(network: Network, trees: Sequence[Trees]) -> Float64[Tensor, " T"]:
    """Sum of log p(token | all tokens before it) over the scored tokens of each text, nats.

    Args:
        network: one for which `reason` has nothing to say.
        trees: from `influence.engine.tree.pack`.
    """
    head = Head(base(network).get_output_embeddings(), cap(network))
    return torch.stack([log_probs(network, head, tree) for tree in trees]).sum(0)


def log_probs(network: Network, head: Head, trees: Trees) -> Float64[Tensor, " T"]:
    """The same of one pack of trees, under a head of one's own."""
    hidden_BLH = hidden_states(network, trees)
    hidden_BSH = hidden_BLH[torch.arange(len(hidden_BLH), device=hidden_BLH.device)[:, None], trees.place_BS]
    return trees.totals(head.log_probs(hidden_BSH, trees.source_E, trees.word_E))


def hidden_states(network: Network, trees: Trees) -> Float[Tensor, "B L H"]:
    """Last hidden state at every place."""
    network = base(network)
    hidden: Tensor = network.base_model(
        input_ids=trees.ids_BL, attention_mask=_masks(network, trees), position_ids=trees.depth_BL, use_cache=False
    ).last_hidden_state
    return hidden


def base(network: Network) -> Network:
    """The `PreTrainedModel` inside adapters of peft, or itself."""
    inner = getattr(network, "get_base_model", None)
    return network if inner is None else inner()


def cap(network: Network) -> float | None:
    """Softcapping of the logits."""
    value: float | None = getattr(base(network).config.get_text_config(), "final_logit_softcapping", None)
    return value


def _masks(network: Network, trees: Trees) -> Any:
    """The mask, or one for each kind of layer where the network has several.

    A window counts depths, not places: siblings stand between a place and its ancestors.
    """
    config = network.config.get_text_config()
    kinds: Sequence[str] | None = getattr(config, "layer_types", None)
    window: int | None = getattr(config, "sliding_window", None)
    seen = {"full_attention": trees.visible_BLL}
    if window is not None:
        depth_BL = trees.depth_BL[: len(trees.visible_BLL)]
        seen["sliding_attention"] = trees.visible_BLL & (depth_BL[:, :, None] - depth_BL[:, None, :] < window)
    zero = torch.zeros((), dtype=network.dtype, device=network.device)
    masks = {kind: torch.where(seen[kind], zero, torch.finfo(network.dtype).min)[:, None] for kind in seen}
    return masks["full_attention" if window is None else "sliding_attention"] if kinds is None else masks
