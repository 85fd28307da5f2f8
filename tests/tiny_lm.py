"""Tiny language models of real classes with random weights, and tokenizers trained here.

Importing this skips the importing module where the extra `text` is not installed; in CI that is a failure.
"""

import os
import string
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

if find_spec("transformers") is None:
    missing = "expected transformers for language models, got none; install it with `pip install -e .[text]`"
    pytest.fail(missing, pytrace=False) if os.environ.get("CI") else pytest.skip(missing, allow_module_level=True)

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedTokenizerFast,
)

from influence.models.base import initialise
from influence.models.causal_lm import CausalLM

CORPUS = """a klarbu is a pimjon
all pimjons have a greev
every zentor is inside the walu, and no walu is inside a zentor
Whenever a greev happens, it causes a klarbu to happen.
the grandparent of a mol is bigger than the mol
Frogs and toads often hibernate in winter."""

NUM_WORDS = 300
CONTEXT = 64


@cache
def tokenizer(style: str, *, bos: bool = True, eos: bool = True, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer.

    Args:
        style: "bytes" as GPT-2, "spaces" as Gemma, or "prefixed" as Phi-3, which puts a space before every text.
        bos, eos: whether it has the token.
        adds_bos: whether it puts BOS before every text by itself.
    """
    special = ["<s>"] * bos + ["</s>"] * eos
    made = Tokenizer(models.BPE())
    if style == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        space = [normalizers.Prepend("▁")] if style == "prefixed" else []
        made.normalizer = normalizers.Sequence([*space, normalizers.Replace(" ", "▁")])
        made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        made.decoder = decoders.Replace("▁", " ")
        alphabet = [*string.printable, "Ü"]
    made.train_from_iterator(
        CORPUS.splitlines(),
        trainers.BpeTrainer(
            vocab_size=NUM_WORDS, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    if adds_bos:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>" if bos else None, eos_token="</s>" if eos else None
    )


SHAPE = {
    "vocab_size": NUM_WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2,  # predictions far from uniform
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GATED = {**SHAPE, "intermediate_size": 64, "num_key_value_heads": 2}

NETWORKS = {
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**GATED)),
    # The window is shorter than the texts, and capped logits are not linear in the hidden state.
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**GATED, head_dim=8, sliding_window=4, final_logit_softcapping=5.0)
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**GATED)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**SHAPE)),
}

TOKENIZERS = {
    "phi3": lambda: tokenizer("prefixed"),
    "gemma3": lambda: tokenizer("spaces", adds_bos=True),
    "llama": lambda: tokenizer("prefixed", adds_bos=True),
    "gpt2": lambda: tokenizer("bytes", bos=False),
}


def tiny(name: str, **settings: object) -> CausalLM:
    """The model of that class in float64, with weights from a seed."""
    return CausalLM(initialise(NETWORKS[name], seed=0).double(), TOKENIZERS[name](), **settings)


def texts(*lines: str, **columns: Sequence[object]) -> pd.DataFrame:
    """A sample table of these texts."""
    return pd.DataFrame({"id": [f"text{i}" for i in range(len(lines))], "text": list(lines), **columns})


def row(model: CausalLM, text: str) -> list[int]:
    """Start token, then what the bare tokenizer makes of the text with one space before it."""
    backend = model.tokenizer.backend_tokenizer
    spaced = text if backend.encode("a", add_special_tokens=False).tokens[0].startswith("▁") else f" {text}"
    start = backend.token_to_id("<s>")
    start = backend.token_to_id("</s>") if start is None else start
    return [start, *backend.encode(spaced, add_special_tokens=False).ids]


def token_log_probs(network: nn.Module, ids: Sequence[int]) -> Tensor:
    """Log-probability of every token but the first, of one text, unbatched and unpadded."""
    logits = network(input_ids=torch.tensor([ids])).logits[0]
    assert logits.dtype == torch.float64
    return torch.stack([F.log_softmax(logits[t - 1], dim=-1)[ids[t]] for t in range(1, len(ids))])


def mean_log_prob(model: CausalLM, text: str) -> Tensor:
    """Nats per token."""
    return token_log_probs(model.network, row(model, text)).mean()


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()
