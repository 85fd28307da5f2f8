"""Jobs on Gemma 3 270M: statements about nonce names, at the step size of a self-gain of 0.3 nats per token."""

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from experiments.schema import REPOSITORY
from influence import FineTune, Prompt
from influence.data.words import draw_names
from influence.estimators.protocol import Estimator
from influence.models.causal_lm import CausalLM
from influence.models.sources import EMBEDDED, load
from influence.readout import Reader, find
from tests import oracles
from tests.bench.timing import ENGINE, NAIVE, Case, Variant

LR = {"sgd": 1e-5, "adamw": 5.7e-7}

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
}
"""With the options that make them fast."""

NUM_PROBES, NUM_TARGETS = 16, 64

EXACT = (3, 8)
"""Probes and targets of which the gains are known in float64."""

Gains = Callable[[int], np.ndarray]


@cache
def gemma() -> tuple[nn.Module, Any]:
    """Network and tokenizer."""
    return load(EMBEDDED, folder=REPOSITORY / "outputs" / "models")


def table(texts: list[str]) -> pd.DataFrame:
    """A sample a text."""
    return pd.DataFrame({"id": [f"text-{number}" for number in range(len(texts))], "text": texts})


def one_world() -> pd.DataFrame:
    """64 statements about eight names of one world, which share beginnings."""
    (names,) = draw_names(worlds=1, size=8, seed=0)
    verbs = ("is", "has", "likes", "needs")
    return table([f"a {first} {verb} a {second}" for first in names[:4] for verb in verbs for second in names[4:]])


def many_worlds() -> pd.DataFrame:
    """64 statements that begin with names of their own."""
    (names,) = draw_names(worlds=1, size=2 * NUM_TARGETS, seed=0)
    return table([f"{a} is the parent of {b}" for a, b in zip(names[::2], names[1::2], strict=True)])


def shared() -> Case:
    """Targets that share beginnings, also by the Trainer."""
    targets = one_world()
    return learned_case(
        *gemma(), targets[::4], targets, what="targets share beginnings", wanted=3.5, trainer=True, peaks=True
    )


def unshared() -> Case:
    """Targets that share none."""
    targets = many_worlds()
    return learned_case(*gemma(), targets[::4], targets, what="targets share no beginnings", wanted=1.8)


def statements() -> Case:
    """Probes of four statements that are learned together.

    In places that pass the network, a backward as two, the loop takes 1,280 a probe and the engine 505: 309 of the tree
    of targets, 147 to learn 49 of its own, and 49 to read them again. So less can be won than where a probe is short.
    """
    targets = one_world()
    probes = table(["\n".join(targets["text"][first::NUM_PROBES]) for first in range(NUM_PROBES)])
    probes["id"] = "probe-" + probes["id"]
    return learned_case(*gemma(), probes, targets, what="probes of four statements", wanted=1.8)


def adamw() -> Case:
    """Steps of full rank."""
    targets = one_world()
    return learned_case(
        *gemma(), targets[::4], targets, what="targets share beginnings", optimizer="adamw", wanted=1.8, peaks=True
    )


def prompt() -> Case:
    """Probes before targets."""
    targets = one_world()
    return prompted_case(*gemma(), targets[::4], targets)


def learned_case(
    network: nn.Module,
    tokenizer: Any,
    probes: pd.DataFrame,
    targets: pd.DataFrame,
    *,
    what: str,
    wanted: float,
    optimizer: str = "sgd",
    lr: float | None = None,
    trainer: bool = False,
    peaks: bool = False,
) -> Case:
    """One step on each probe; of AdamW fused, and in the loop also as it comes."""
    lr = LR[optimizer] if lr is None else lr
    kind, options = OPTIMIZERS[optimizer]
    plain, job = oracles.PlainLM(network), {"collate": partial(oracles.text_batch, tokenizer)}
    working = cache(lambda: copy.deepcopy(plain))  # made when it is first learned on
    estimator = FineTune(optimizer=optimizer, optimizer_options=options, lr=lr)
    engine = read_by(CausalLM(network, tokenizer), estimator, probes, targets)

    @cache
    def before() -> np.ndarray:
        return oracles.loop_readouts(plain, probes[:1], targets, partial(kind, lr=lr), 0, **job, learned=working())

    def by_loop(count: int, **options: Any) -> np.ndarray:
        step = partial(kind, lr=lr, weight_decay=0.0, **options)
        return oracles.loop_readouts(plain, probes[:count], targets, step, 1, **job, learned=working()) - before()

    def by_trainer(count: int) -> np.ndarray:
        return oracles.trainer_readouts(plain, probes[:count], targets, partial(kind, lr=lr), 1, **job) - before()

    def truth() -> np.ndarray:
        before()  # in nobody's time
        step, exact = partial(kind, lr=lr, weight_decay=0.0), copy.deepcopy(plain).double()
        return oracles.loop_gains(plain, probes[: EXACT[0]], targets[: EXACT[1]], step, 1, **job, learned=exact)

    # By SGD many probes are learned at once, by AdamW one after the other.
    one_by_one = optimizer != "sgd"

    def variant(gains: Gains, part: int, peak_probes: int = 0) -> Variant:
        return Variant(gains=gains, probes=min(part, len(probes)), targets=len(targets), peak_probes=peak_probes)

    variants = {NAIVE: variant(partial(by_loop, **options), 1 if one_by_one else 3, peak_probes=int(peaks))}
    if trainer:
        variants["trainer"] = variant(by_trainer, 1)
    if options:
        variants["unfused"] = variant(by_loop, 1)
    together = 3 if one_by_one else len(probes)
    variants[ENGINE] = variant(engine, together, peak_probes=together * peaks)
    return Case(
        what=f"language model, {optimizer}, {what}",
        probes=len(probes),
        targets=len(targets),
        variants=variants,
        truth=truth,
        tolerance=2e-2,
        wanted={"ratio": (wanted, None)},
    )


def prompted_case(network: nn.Module, tokenizer: Any, probes: pd.DataFrame, targets: pd.DataFrame) -> Case:
    """Each probe and a line break before each target, against one batch of the whole texts a probe."""
    plain = oracles.PlainLM(network)

    def readouts(model: nn.Module, samples: pd.DataFrame, prompts: list[str]) -> np.ndarray:
        with torch.no_grad():
            read = [model.log_prob(oracles.text_batch(tokenizer, samples, prompt=prompt)) for prompt in prompts]
        return torch.stack(read).double().numpy()

    def prompts(count: int) -> list[str]:
        return [f" {text}\n" for text in probes["text"][:count]]

    @cache
    def before() -> np.ndarray:
        return readouts(plain, targets, [""])

    def whole_texts(count: int) -> np.ndarray:
        return readouts(plain, targets, prompts(count)) - before()

    def truth() -> np.ndarray:
        before()  # in nobody's time
        exact, samples = copy.deepcopy(plain).double(), targets[: EXACT[1]]
        return readouts(exact, samples, prompts(EXACT[0])) - readouts(exact, samples, [""])

    size = {"targets": len(targets)}
    return Case(
        what="language model, prompted",
        probes=len(probes),
        targets=len(targets),
        variants={
            NAIVE: Variant(gains=whole_texts, probes=2, **size),
            ENGINE: Variant(
                gains=read_by(CausalLM(network, tokenizer), Prompt(), probes, targets), probes=len(probes), **size
            ),
        },
        truth=truth,
        tolerance=1e-4,
        wanted={"ratio": (3.0, None)},
    )


def read_by(model: CausalLM, estimator: Estimator, probes: pd.DataFrame, targets: pd.DataFrame) -> Gains:
    """What `measure` does for each block: read the targets before, then a row a probe."""

    def gains(count: int) -> np.ndarray:
        reader = Reader(model, targets, find("log_prob", model), batch_size=512)
        return np.stack([row.gain_T for row in estimator.rows(model, probes[:count], reader)])

    return gains
