"""A language model that has learned nothing, to see that everything runs where no real one is at hand."""

import string

from influence.engine.texts import Network
from influence.models.base import initialise
from influence.models.sources import Tokenizer, import_text

NUM_POSITIONS = 256


def tiny_random() -> tuple[Network, Tokenizer]:
    """A Llama of two layers with random weights from a fixed seed, and a tokenizer of single characters.

    Raises:
        ModuleNotFoundError: the extra `text` is not installed.
    """
    tokenizers, transformers = import_text("tokenizers"), import_text("transformers")
    words = ["<s>", "▁", *string.ascii_letters, *string.digits, *string.punctuation, "\n"]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={word: id for id, word in enumerate(words)}, merges=[]))
    backend.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")
    config = transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=NUM_POSITIONS,
        initializer_range=0.2,  # predictions far from uniform
    )
    return initialise(lambda: transformers.LlamaForCausalLM(config), seed=0), tokenizer
