"""What theory says of crossed chains: a first step of SGD adds up, so that no conclusion is drawn; Adam's does not.

A step on the summed loss of several statements is to first order the sum of the steps on each, and in T and in the
synergy every statement's own gain cancels.
"""

from pathlib import Path

import numpy as np
import pytest

from influence import FineTune, FirstOrder, InfluenceMatrix, measure
from influence.data.chains import chains
from influence.data.domains import load
from influence.data.worlds import worlds
from influence.desiderata.conjunction import synergy
from influence.desiderata.transitivity import link_strength, transitivity, transitivity_of_broken
from tests.tiny_lm import tiny

DOMAINS = Path(__file__).parents[1] / "conf" / "domain"

ROUNDING = 1e-8
"""Of Llama's norms, which are float32 in a float64 model too: probes learned side by side round each in its own way."""


@pytest.fixture(scope="module")
def model():
    made = tiny("llama")
    made.context = None  # its positions are rotations, which do not end
    return made


def crossed(model, estimator, *, length: int = 2, count: int = 2) -> list[InfluenceMatrix]:
    """The worlds of crossed chains, read on the last name."""
    probes, targets = chains(
        load(DOMAINS / "bigger_than.yaml"), length=length, count=count, seed=0, style="paper", broken=True
    )
    matrix = measure(model, probes, targets, estimator=estimator, readout="span_log_prob")
    return list(matrix.worlds())


@pytest.mark.parametrize("length", [2, 3])
def test_to_first_order_nothing_is_composed(model, length):
    for world in crossed(model, FirstOrder(lr=1e-3), length=length):
        size = np.abs(world.gain).max()
        assert abs(transitivity(world).value) < ROUNDING * size
        assert abs(transitivity_of_broken(world).value) < ROUNDING * size
        assert abs(link_strength(world, link=length).value) > 0.01 * size


def test_statements_in_sequence_add_up_to_first_order_too(model):
    for world in crossed(model, FirstOrder(lr=1e-3, statements="sequence"), count=1):
        assert abs(transitivity(world).value) < ROUNDING * np.abs(world.gain).max()


def test_adam_composes_a_trace_at_first_order_already(model):
    """Its step on two statements is not the sum of two steps: hence the margin of a quarter of a link."""
    for world in crossed(model, FirstOrder(lr=1e-5, optimizer="adam")):
        assert abs(transitivity(world).value) > 1e-6 * np.abs(world.gain).max()


def test_what_a_step_composes_is_of_second_order(model):
    """T is of second order in lr and D of first: their ratio halves with the step.

    At much smaller steps T drowns, since Llama normalises in float32.
    """
    ratios = []
    for lr in (8e-4, 4e-4):
        (world,) = crossed(model, FineTune(lr=lr), count=1)
        ratios.append(transitivity(world).value / link_strength(world, link=1).value)
    assert 0 < abs(ratios[0]) < 0.1
    assert ratios[1] / ratios[0] == pytest.approx(0.5, rel=0.05)


def test_to_first_order_premises_have_no_synergy(model):
    probes = worlds(load(DOMAINS / "ordering.yaml"), count=1, seed=0)
    matrix = measure(model, probes, estimator=FirstOrder(lr=1e-3))
    assert abs(synergy(matrix).value) < ROUNDING
    stepped = measure(model, probes, estimator=FineTune(lr=1e-3))
    assert abs(synergy(stepped).value) > 1e-6
