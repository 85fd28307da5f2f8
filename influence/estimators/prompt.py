"""Prompted influence: the probe as context before the target (Matelsky et al. 2024, section 1.3)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Float64
from torch import nn

from influence.arrays import Array
from influence.data.words import draw_names
from influence.estimators.protocol import Row
from influence.readout import Reader, read
from influence.seeds import derive, generator

ORDERS = ("given", "reversed")
BASELINES = ("empty", "nonce", "shuffled")

MAX_DRAWS = 20
"""Draws of whole nonce words before the last of them is cut."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Gain of target j after probe i as a prompt, against a baseline prompt; no weights change.

    M_ij = readout_j(after prompt i) - readout_j(after baseline i). Prompt and separator are tokenised as one text; the
    target keeps the ids that it has alone, with a space before its first word. A space at the end of the separator is
    that space, not a second one.

    Args:
        separator: between the statements of the probe, and between the prompt and the target.
        order: of the statements of the probe: "given" or "reversed".
        template: a text with the probe in place of {probe}; or "chat", the tokenizer's chat template with the probe
            as the user's turn and the target as the answer, which no separator parts.
        baseline: what stands in place of the probe: "empty", no prompt at all (the paper's); "nonce", nonce words
            that no target holds, in a prompt of as many tokens; or "shuffled", the probe's own words in another order
            (a word alone has no other, so that its gains are 0).

    Raises:
        ValueError: an unknown order or baseline, no separator, or a template without {probe}.
    """

    separator: str = "\n"
    order: str = "given"
    template: str = "{probe}"
    baseline: str = "empty"
    name = "prompt"
    lr = None
    self_gain = None

    def __post_init__(self) -> None:
        if not self.separator:
            raise ValueError("expected a separator of at least one character, got ''; take a space or a newline")
        if self.order not in ORDERS:
            raise ValueError(f"expected an order among {', '.join(ORDERS)}, got {self.order!r}")
        if self.template != "chat" and "{probe}" not in self.template:
            raise ValueError(f"expected a template with {{probe}} in it, or chat, got {self.template!r}")
        if self.baseline not in BASELINES:
            raise ValueError(f"expected a baseline among {', '.join(BASELINES)}, got {self.baseline!r}")

    def describe(self) -> dict[str, Any]:
        """Name and settings, as saved beside a matrix."""
        return {"name": self.name, **asdict(self)}

    def with_lr(self, lr: float) -> Self:
        """The same estimator: it takes no step."""
        return self

    def context(self, model: Any, statements: Sequence[str]) -> list[int]:
        """Ids of a prompt with these statements and of what parts it from a target, without the start token."""
        probe = self.separator.join(statements)
        if self.template != "chat":
            prompt = self.template.replace("{probe}", probe) + self.separator
            ids: list[int] = model.text_ids(prompt.removesuffix(" "))
            return ids
        turns = [{"role": "user", "content": probe}]
        ids = model.token_ids(model.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        return ids[1:] if ids[0] == model.start else ids  # the template may write BOS itself

    def rows(self, model: nn.Module, probes: pd.DataFrame, targets: Reader, *, seed: int = 0) -> Iterator[Row]:
        """Read every target after each probe; `seed` decides the words of the baseline.

        A readout that is not finite gives a failed row; the others go on.

        Raises:
            TypeError: the model cannot read after a prompt.
            ValueError: a tokenizer without a chat template, a prompt and a target longer than the model's context,
                or no nonce words of as many tokens as a probe; the last two name the probe.
        """
        if not callable(getattr(model, "after", None)):
            raise TypeError(
                "expected a model with after(batch, context) to put a prompt before targets, got "
                f"{type(model).__name__}; take a language model, or the estimator finetune"
            )
        if self.template == "chat" and not getattr(model.tokenizer, "chat_template", None):
            raise ValueError(
                "expected a tokenizer with a chat template for template=chat, got none; take a model that was tuned "
                "to chat, or a template with {probe} in it"
            )
        for position, probe_id in enumerate(probes["id"]):
            probe = probes.iloc[[position]]
            try:
                prompt, baseline = self._contexts(model, probe, targets, derive(seed, "prompt", probe_id))
                gain_T = _gain(targets, prompt, baseline)
                if probe_id in targets.position:
                    self_gain = gain_T[targets.position[probe_id]]
                else:
                    (self_gain,) = _gain(Reader(model, probe, targets.readout, batch_size=1), prompt, baseline)
            except ValueError as error:
                raise ValueError(f"probe {probe_id!r}: {error}") from error
            if np.isfinite(gain_T).all() and np.isfinite(self_gain):
                yield Row(gain_T=gain_T, self_gain=float(self_gain))
            else:
                yield Row.failed(len(gain_T), "a readout is not finite; check the weights, or load them in float32")

    def _contexts(self, model: Any, probe: pd.DataFrame, targets: Reader, seed: int) -> tuple[list[int], list[int]]:
        """Ids of what is read after: the prompt and its baseline."""
        text: str = probe["text"].iloc[0]
        statements = text.split("\n") if self.order == "given" else text.split("\n")[::-1]
        prompt = self.context(model, statements)
        if self.baseline == "empty":
            return prompt, []
        if self.baseline == "shuffled":
            return prompt, self.context(model, shuffled(statements, seed=seed))
        known = "\n".join([text, *targets.samples["text"]])
        return prompt, nonce(lambda words: self.context(model, [words]), len(prompt), known=known, seed=seed)


def shuffled(statements: Sequence[str], *, seed: int) -> list[str]:
    """The words of all statements in another order, each statement with as many as it had.

    >>> shuffled(["a klarbu is a tem", "klarbu"], seed=1)
    ['klarbu a is a klarbu', 'tem']
    """
    lengths = [len(statement.split()) for statement in statements]
    words = " ".join(statements).split()
    random, other = generator(seed, "shuffled"), words
    while other == words and len(set(words)) > 1:
        other = [words[place] for place in random.permutation(len(words))]
    rest = iter(other)
    return [" ".join(islice(rest, length)) for length in lengths]


def nonce(context: Callable[[str], list[int]], num_tokens: int, *, known: str, seed: int) -> list[int]:
    """A context of nonce words with as many ids as asked for; the last word is cut where whole ones do not fit.

    Args:
        context: the ids of a text in its context.
        num_tokens: how many there are to be.
        known: text in which none of the words stands.
        seed: decides the words.

    Raises:
        ValueError: none was found, as where one letter has more tokens.
    """
    drawn = []
    for draw in range(MAX_DRAWS):
        text = ""
        (names,) = draw_names(worlds=1, size=num_tokens, seed=derive(seed, "nonce", draw))
        for text in accumulate((name for name in names if name not in known), "{} {}".format):
            ids = context(text)
            if len(ids) == num_tokens:
                return ids
            if len(ids) > num_tokens:
                break
        drawn.append(text)
    for text in drawn:
        for stop in range(len(text), 0, -1):
            ids = context(text[:stop].rstrip())
            if len(ids) == num_tokens:
                return ids
    raise ValueError(f"expected nonce words in a prompt of {num_tokens} tokens, got none; choose another baseline")


def _gain(reader: Reader, prompt: Sequence[int], baseline: Sequence[int]) -> Float64[Array, " T"]:
    return _read_after(reader, prompt) - (_read_after(reader, baseline) if baseline else reader.before)


def _read_after(reader: Reader, context: Sequence[int]) -> Float64[Array, " T"]:
    model: Any = reader.model
    return read(model, [model.after(batch, context) for batch in reader.batches], reader.readout.read)
