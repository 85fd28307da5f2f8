"""A causal language model as a Lightning module: what a text is, what of it is scored, how a probe is learned.

A text is a start token and the ids of the text alone with the space that a word has inside a sentence; after a
prompt it keeps these ids. A text of several statements has one a line. Scored are the ids after the start token:
never the prompt, never padding.

Suffixes beside those of `influence.arrays`: R rows (texts of a batch), L positions, V words.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from influence.engine import padded, reading
from influence.engine.texts import Network, Texts
from influence.engine.tree import pack
from influence.models.base import initialise
from influence.models.protocol import Batch
from influence.models.sources import Tokenizer

log = logging.getLogger(__name__)


class CausalLM(pl.LightningModule):
    """Any causal language model of Hugging Face, measured on texts.

    Samples have a column `text`, with one statement a line, and may have

    - `spans`: JSON [[name, start, stop], ...], places of names in the text, for `span_log_prob`;
    - `foil`: the other text of a minimal pair, for `margin`.

    The model is in eval mode. Losses and readouts are taken of the same float64 log-probabilities; inside `totals_by`
    readouts may be of many probes at once.

    Args:
        network: as `influence.models.sources.load` gives it.
        tokenizer: the network's.
        lora: settings of `peft.LoraConfig`, e.g. {"r": 8}, to learn low-rank adapters in place of the weights; by
            default on every linear layer. The network is changed in place.
        seed: of the adapters' initial weights.
        engine: read texts as prefix trees, and let probes be learned without new weights, where the network allows it;
            otherwise as padded batches. It changes numbers by rounding only.
        lr: learning rate of base training (AdamW without weight decay); fine-tuning brings its own optimiser.

    Raises:
        ValueError: a tokenizer with neither BOS nor EOS.
        ModuleNotFoundError: `lora` without peft.
    """

    units = {"log_prob": "nats per token"}  # noqa: RUF012 - a constant

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        *,
        lora: Mapping[str, Any] | None = None,
        seed: int = 0,
        engine: bool = True,
        lr: float = 1e-5,
    ) -> None:
        super().__init__()
        starts = {"BOS": tokenizer.bos_token_id, "EOS": tokenizer.eos_token_id}
        if set(starts.values()) == {None}:
            raise ValueError(
                "expected a tokenizer with BOS, or with EOS to stand in its place, got neither; set its bos_token"
            )
        self.starts_with = "BOS" if starts["BOS"] is not None else "EOS"
        self.start: int = starts[self.starts_with]
        self.network = network if lora is None else _with_adapters(network, lora, seed)
        self.tokenizer, self.lora, self.lr = tokenizer, lora, lr
        self.reads_padded = reading.why_not(network) if engine else "the engine is off"
        if self.reads_padded:
            log.info("Texts are read as padded batches: %s.", self.reads_padded)
        self.context: int | None = getattr(network.config.get_text_config(), "max_position_embeddings", None)
        # Some tokenizers put a space before every text (Llama 2, Phi 3): a second would be a token of its own.
        spaced = "".join(tokenizer.convert_ids_to_tokens(self.token_ids("a"))).startswith(("▁", "Ġ"))
        self.space = "" if spaced else " "
        self.eval()

    def describe(self) -> dict[str, Any]:
        """What decides the numbers beside the weights: the start token, adapters, and the precision."""
        return {
            "starts_with": self.starts_with,
            "lora": None if self.lora is None else dict(self.lora),
            "dtype": str(next(self.network.parameters()).dtype).removeprefix("torch."),
        }

    def token_ids(self, text: str) -> list[int]:
        """Ids of a text as it is written, without special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text with the space before its first word, without special tokens."""
        return self.token_ids(self.space + text)

    def collate(self, samples: pd.DataFrame) -> Batch:
        """A batch of texts, and of their marked spans and foils where there are any.

        Raises:
            ValueError: no column `text`, an empty text, one longer than the context, or a span outside its text.
        """
        if "text" not in samples:
            raise ValueError(f"expected a column `text` in the samples, got {list(samples.columns)}; add one")
        texts = list(zip(samples["id"], samples["text"], strict=True))
        rows = [self._row(text, sample) for sample, text in texts]
        batch = {"text": Texts.padded(rows)}
        if "spans" in samples:
            spans = [json.loads(spans) for spans in samples["spans"]]
            if all(spans):
                places = [self._places(text, *of_text[-1]) for (_, text), of_text in zip(texts, spans, strict=True)]
                batch["span"] = Texts.padded(rows, places)
        if "foil" in samples:
            foils = zip(samples["id"], samples["foil"], strict=True)
            batch["foil"] = Texts.padded([self._row(foil, sample) for sample, foil in foils])
        return batch

    def after(self, batch: Batch, context: Sequence[int]) -> Batch:
        """The same texts to be read after a prompt: start token, context, and the ids that each text has alone.

        Args:
            batch: from `collate`.
            context: ids of the prompt and of what separates it: `text_ids` of both together.

        Raises:
            ValueError: context and text are longer than the model's context.
        """
        joined = {name: batch[name].after(context) for name in ("text", "span", "foil") if name in batch}
        longest = max(texts.ids_RL.shape[1] for texts in joined.values())
        if self.context is not None and longest > self.context:
            raise ValueError(
                f"expected a prompt and a text of at most {self.context} tokens together, got {longest}; "
                "shorten the prompt or choose a model with a longer context"
            )
        return joined

    def loss(self, batch: Batch) -> Float[Tensor, "*probes B"]:
        """Mean over the tokens of each text of -log p, nats."""
        return -self.log_prob(batch)

    def totals(self, texts: Texts) -> Float64[Tensor, "*probes R"]:
        """Sum of log p(token | all tokens before it) over the scored tokens of each text, nats."""
        if torch.is_grad_enabled() or self.reads_padded:
            return padded.read(self.network, texts)
        return reading.read(self.network, pack(texts))

    @contextmanager
    def totals_by(self, read: Callable[[Texts], Tensor]) -> Iterator[None]:
        """A scope in which texts are read by another function, as of probes that were learned without new weights."""
        self.totals = read  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            del self.totals

    def log_prob(self, batch: Batch) -> Float[Tensor, "*probes B"]:
        """Mean log-probability of the tokens of each text, nats per token (Matelsky et al. 2024, Eq. 7)."""
        texts: Texts = batch["text"]
        return self.totals(texts) / texts.scored_RL.sum(1)

    def span_log_prob(self, batch: Batch) -> Float[Tensor, "*probes B"]:
        """Log-probability of the last marked span of each text given all before it, nats.

        Scored are the tokens with a character of the span or the space before it: that of klarbu in "all klarbus"
        may end in the s.

        Raises:
            ValueError: a text has no marked span.
        """
        if "span" not in batch:
            raise ValueError("expected a marked span in every text, got none in some; leave these out, or add `spans`")
        return self.totals(batch["span"])

    def margin(self, batch: Batch) -> Float[Tensor, "*probes B"]:
        """Log-probability of each text minus that of its foil, nats; both are sums over all tokens.

        Raises:
            ValueError: the samples have no foils.
        """
        if "foil" not in batch:
            raise ValueError("expected a column `foil` with the other text of each minimal pair, got none; add one")
        return self.totals(batch["text"]) - self.totals(batch["foil"])

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Mean loss of a batch, for base training."""
        return self.loss(batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW without weight decay, for base training."""
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.0)

    def _row(self, text: object, sample: object) -> list[int]:
        """The start token and the ids of a text."""
        if not isinstance(text, str) or not all(line.strip() for line in text.split("\n")):
            raise ValueError(
                f"expected text in every line of sample {sample!r}, got {text!r}; write some or remove the line"
            )
        row = [self.start, *self.text_ids(text)]
        if self.context is not None and len(row) > self.context:
            raise ValueError(
                f"expected texts of at most {self.context} tokens with the start token, got {len(row)} in sample "
                f"{sample!r}; shorten it or choose a model with a longer context"
            )
        return row

    def _places(self, text: str, name: str, start: int, stop: int) -> list[int]:
        """Positions, in a row, of the tokens that hold a character of the span or the space before it."""
        spaced, shift = self.space + text, len(self.space)
        low = start + shift - spaced[: start + shift].endswith(" ")
        encoding = self.tokenizer(spaced, add_special_tokens=False, return_offsets_mapping=True)
        offsets = enumerate(encoding["offset_mapping"], start=1)
        places = [position for position, (first, last) in offsets if first < stop + shift and last > low]
        if not 0 <= start < stop <= len(text) or not places:
            raise ValueError(f"expected the span of {name} inside {text!r}, got {start} to {stop}; correct it")
        return places


def _with_adapters(network: Network, lora: Mapping[str, Any], seed: int) -> Network:
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "expected the package peft for LoRA, got none; install it with `pip install -e .[text]`, or set lora=null"
        ) from None
    config = LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": "all-linear", **lora})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # peft's own affair
        return initialise(lambda: get_peft_model(network, config), seed)
