"""Slopes of language models: products of factors against gradients written out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from influence import Engine, FirstOrder, measure
from influence.estimators import slopes
from influence.provenance import weights_digest
from influence.readout import Readout
from tests.small import max_relative_error
from tests.tiny_lm import NETWORKS, tiny

PROBES = pd.DataFrame(
    {
        "id": ["one", "two", "three"],
        "text": ["a klarbu is a pimjon", "all pimjons have a greev\na mol is bigger\na klarbu is a pimjon", "frogs"],
    }
)
TARGETS = pd.DataFrame(
    {
        "id": ["one", "same", "other", "short"],
        "text": ["a klarbu is a pimjon", "a klarbu is a pimjon", "a klarbu has a greev", "frogs hibernate"],
        "spans": ['[["pimjon", 14, 20]]', '[["klarbu", 2, 8]]', '[["greev", 15, 20]]', '[["frogs", 0, 5]]'],
        "foil": ["a pimjon is a klarbu", "a greev is a klarbu", "a klarbu", "toads"],
    }
)
SQUARE = Readout(name="square", unit="nats squared", read=lambda model, batch: -(model.log_prob(batch) ** 2))


def gradients(model: Any, samples: pd.DataFrame, read: Any) -> np.ndarray:
    """Of each sample, by autograd."""
    rows = []
    for i in range(len(samples)):
        value = read(model, model.collate(samples.iloc[[i]])).sum()
        parts = torch.autograd.grad(value, list(model.parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]).numpy())
    return np.stack(rows)


def statements(text: str, how: str) -> pd.DataFrame:
    lines = {
        "together": text.split("\n"),
        "sequence": text.split("\n"),
        "joined": [text],
        "last_only": [text.split("\n")[-1]],
    }
    return pd.DataFrame({"id": "x", "text": lines[how]})


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "readout", ["log_prob", "span_log_prob", "margin", SQUARE], ids=lambda readout: getattr(readout, "name", readout)
)
def test_agrees_with_gradients_written_out(name: str, readout: Any) -> None:
    model = tiny(name)
    digest = weights_digest(model)
    matrix = (
        measure(model, PROBES, TARGETS, estimator=FirstOrder(lr=0.1), readout=readout)
        if readout in ("log_prob", SQUARE)
        else measure(
            model,
            PROBES.assign(spans='[["x", 0, 1]]', foil="a"),
            TARGETS,
            estimator=FirstOrder(lr=0.1),
            readout=readout,
        )
    )
    read = readout.read if isinstance(readout, Readout) else lambda model, batch: getattr(model, readout)(batch)
    g_P = np.stack(
        [
            sum(gradients(model, statements(text, "together"), lambda model, batch: -model.loss(batch)))
            for text in PROBES["text"]
        ]
    )
    r_T = gradients(model, TARGETS, read)
    assert max_relative_error(matrix.gain, 0.1 * g_P @ r_T.T) < 1e-6  # norms of transformers round
    assert weights_digest(model) == digest
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("how", ["together", "sequence", "joined", "last_only"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_engine_changes_nothing(how: str, optimizer: str) -> None:
    estimator = FirstOrder(optimizer=optimizer, lr=0.1, statements=how)
    fast = measure(tiny("gemma3"), PROBES, TARGETS, estimator=estimator)
    plain = measure(tiny("gemma3", engine=False), PROBES, TARGETS, estimator=estimator, engine=Engine(fast=False))
    assert max_relative_error(fast.gain, plain.gain) < 1e-6
    assert max_relative_error(fast.self_gain, plain.self_gain) < 1e-6


@pytest.mark.parametrize("memory_gb", [1e-6, 2e-3])
def test_less_memory_gives_the_same_numbers(memory_gb: float) -> None:
    model = tiny("llama")
    whole = measure(model, PROBES, TARGETS, estimator=FirstOrder(lr=0.1))
    parts = measure(model, PROBES, TARGETS, estimator=FirstOrder(lr=0.1), engine=Engine(memory_gb=memory_gb))
    assert max_relative_error(parts.gain, whole.gain) < 1e-12
    assert max_relative_error(parts.self_gain, whole.self_gain) < 1e-12


def test_factors_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slopes, "SampleSlopes", None)
    matrix = measure(tiny("gpt2"), PROBES, TARGETS, estimator=FirstOrder(lr=0.1))
    assert np.isfinite(matrix.gain).all()
    assert matrix.gain[0, 0] == matrix.self_gain[0]
