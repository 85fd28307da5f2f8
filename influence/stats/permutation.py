"""Permutation tests within one matrix: rows and columns together, sources as blocks."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from influence.arrays import Array

DRAWS = 9_999
"""Size of a Monte Carlo null distribution; a smaller set of rearrangements is enumerated."""

TIE = 1e-12
"""Statistics closer than this are equal, so rounding never decides; statistics are to be of order one."""


def permutation_p(observed: float, drawn_K: Float64[Array, " K"], *, exact: bool) -> float:
    """Two-sided p-value of a statistic among its K values under the null.

    Of each side p = (1 + #{T* >= T - 1e-12}) / (1 + K) for random draws, and #{T* >= T - 1e-12} / K when the
    draws are all rearrangements, the observed one among them; twice the smaller side, at most 1
    (Phipson and Smyth 2010).

    Args:
        observed: statistic of the data.
        drawn_K: statistics of the rearranged data.
        exact: whether `drawn_K` enumerates every rearrangement.

    >>> permutation_p(3.0, np.array([1.0, 2.0, 3.0, 4.0]), exact=True)
    1.0
    """
    extreme = min(int((drawn_K >= observed - TIE).sum()), int((drawn_K <= observed + TIE).sum()))
    side = extreme / len(drawn_K) if exact else (1 + extreme) / (1 + len(drawn_K))
    return min(1.0, 2 * side)


@dataclass(frozen=True, eq=False)
class Permutations:
    """Orders of N samples: `order_KN[k, i]` is the sample that takes the place of sample i."""

    order_KN: Int64[Array, "K N"]
    exact: bool


def joint_permutations(
    source_N: Array, generator: np.random.Generator, *, kind_N: Array | None = None, draws: int = DRAWS
) -> Permutations:
    """Orders that exchange whole sources, all of them if there are at most `draws`, else random ones.

    The samples of a source move together and keep their order, so a source is exchanged only with sources
    of as many samples.

    Args:
        source_N: source of each sample.
        generator: of the random orders.
        kind_N: what must not change, such as the label or the noise; a source is exchanged only with sources
            of the same kinds in the same order.
        draws: number of random orders.
    """
    kinds = np.zeros(len(source_N), int) if kind_N is None else kind_N
    strata: dict[tuple[object, ...], list[Array]] = {}
    for source in dict.fromkeys(source_N.tolist()):
        block = np.flatnonzero(source_N == source)
        strata.setdefault(tuple(kinds[block].tolist()), []).append(block)
    members = [np.stack(blocks) for blocks in strata.values()]
    total = math.prod(math.factorial(len(blocks)) for blocks in members)
    if exact := total <= draws:
        choices: Iterable[tuple[Any, ...]] = itertools.product(
            *(map(list, itertools.permutations(range(len(blocks)))) for blocks in members)
        )
    else:
        choices = (tuple(generator.permutation(len(blocks)) for blocks in members) for _ in range(draws))
    order_KN = np.empty((total if exact else draws, len(source_N)), np.int64)
    for order_N, choice in zip(order_KN, choices, strict=True):
        for blocks, order in zip(members, choice, strict=True):
            order_N[blocks] = blocks[order]
    return Permutations(order_KN, exact)


def joint_permutation_p(
    left_NN: Float64[Array, "N N"], right_NN: Float64[Array, "N N"], permutations: Permutations
) -> float:
    """Two-sided p-value of sum_ij left_ij right_ij when rows and columns of `right` are permuted together.

    The test of Mantel (1967); with `left` and `right` residualised on controls beforehand it is the double
    semi-partialling of Dekker, Krackhardt and Snijders (2007).

    Args:
        left_NN: what stays; 0 in the cells that do not count.
        right_NN: what is permuted, so scaled that the sum is of order one.
        permutations: from `joint_permutations`.
    """
    observed = float(np.vdot(left_NN, right_NN))
    drawn_K = np.array(
        [np.vdot(left_NN, right_NN.take(order_N, 0).take(order_N, 1)) for order_N in permutations.order_KN]
    )
    return permutation_p(observed, drawn_K, exact=permutations.exact)
