"""Networks of every family, texts as ids, and an oracle: one text, one probe and one step at a time."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from influence.engine.texts import Texts
from influence.models.base import initialise
from tests.tiny_lm import GATED, NETWORKS, SHAPE

from transformers import (  # isort: skip - after the module that skips without it
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

PADDING = 2  # an id of `SHAPE`, whose row an embedding does not learn

GEMMA3 = {**GATED, "head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}


def llama_with_head_bias() -> nn.Module:
    network = LlamaForCausalLM(LlamaConfig(**GATED))
    network.lm_head = nn.Linear(32, SHAPE["vocab_size"])
    return network


MADE = {
    **NETWORKS,
    "gemma3 untied": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**GEMMA3, final_logit_softcapping=5.0, tie_word_embeddings=False)
    ),
    "gemma3 of two kinds of layers": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA3)),
    "gpt2 untied": lambda: GPT2LMHeadModel(GPT2Config(**SHAPE, tie_word_embeddings=False)),
    "llama tied, with biases": lambda: LlamaForCausalLM(
        LlamaConfig(**GATED, tie_word_embeddings=True, attention_bias=True, mlp_bias=True)
    ),
    "llama with a bias in the head": llama_with_head_bias,
    "phi3 with a window": lambda: Phi3ForCausalLM(Phi3Config(**GATED, sliding_window=4)),
    "phi3 eager": lambda: Phi3ForCausalLM(Phi3Config(**GATED, attn_implementation="eager")),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**GATED, sliding_window=4)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**GATED)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**GATED, head_dim=8)),
}

FAMILIES = ["phi3", "gemma3", "gemma3 untied", "llama", "llama tied, with biases", "gpt2", "gpt2 untied"]

ROWS = [
    [0, 41, 52, 63, 74, 85, 96],
    [0, 41, 52, 63, 74, 85, 97, 98, 99],
    [0, 41, 52, 63],
    [0, 52, 41, 41, 41],
    [0, 7, PADDING, 9, 11, 13, 15, 17, 19, 21],
    [0, 41, 52, 63, 74, 85, 96],
]
"""Texts that share beginnings, that end inside another, or that stand twice."""

PROBES = [[[0, 41, 52, 63, 74]], [[0, 7, PADDING, 9, 11, 13, 9, 15]], [[0, 41, 52], [0, 7], [0, 41, 52, 9], [0, 41]]]
"""Statements of probes of unequal length."""


def make(name: str) -> nn.Module:
    return initialise(MADE[name], seed=0).double().eval()


def log_probs(network: nn.Module, row: Sequence[int]) -> Tensor:
    """Log-probability in float64 of every token but the first, of one text, unbatched."""
    logits = network(input_ids=torch.tensor([row])).logits[0, :-1]
    return F.log_softmax(logits.double(), dim=-1).gather(1, torch.tensor(row[1:])[:, None]).squeeze(1)


def totals(network: nn.Module, rows: Sequence[Sequence[int]]) -> Tensor:
    """Sum of log-probabilities of each text."""
    with torch.no_grad():
        return torch.stack([log_probs(network, row).sum() for row in rows])


def learned_alone(
    network: nn.Module,
    steps: Sequence[Sequence[Sequence[int]]],
    kind: type[torch.optim.Optimizer] = torch.optim.SGD,
    **options: float,
) -> tuple[nn.Module, list[float]]:
    """A copy after one optimiser step on each list of statements, and the losses."""
    copied, losses = copy.deepcopy(network), []
    optimizer = kind(copied.parameters(), **options)
    for statements in steps:
        optimizer.zero_grad()
        loss = sum(-log_probs(copied, row).mean() for row in statements)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return copied, losses


def lessons(probes: Sequence[Sequence[Sequence[int]]], num_steps: int = 1) -> list[list[Texts]]:
    """The same texts in every step."""
    return [[Texts.padded(statements)] * num_steps for statements in probes]
