"""Timing by turns: each variant once a round, a bare GEMM before and after it, medians over rounds.

A machine drifts, and variants that are timed one after the other drift apart with it; taken by turns they drift
together. What is timed is also right: gains that are not those of a float64 oracle are refused.
"""

import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

ENGINE, NAIVE = "engine", "naive"

GEMM_SIZE = 1024
GEMM_COUNT = 8
"""Square products of one timing: 17 GFLOP, about 0.1 s on two cores."""

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to the numbers of a job.

    Attributes:
        gains: the gains of the job's first so many probes on all of its targets; this is timed.
        probes: how many of them it takes a round: the slow ways, whose time is a number of times one probe's, take few.
        targets: how many targets these are.
        peak_probes: how many probes it takes when its peak memory is measured; 0 if that is not.
    """

    gains: Callable[[int], np.ndarray]
    probes: int
    targets: int
    peak_probes: int = 0


Timed = Mapping[str, Mapping[str, Any]]


def against_engine(timed: Timed) -> dict[str, float]:
    """How many times as long as the engine each other variant takes a probe.

    The ratio without a name is that of the naive loop, or of the fastest where there is none.
    """
    seconds = {name: variant["seconds_a_probe"] for name, variant in timed.items()}
    engine = seconds.pop(ENGINE)
    named = {f"{name}_ratio": value / engine for name, value in seconds.items() if name != NAIVE}
    return {"ratio": seconds.get(NAIVE, min(seconds.values())) / engine, **named}


def spread(timed: Timed) -> dict[str, float]:
    """The most that an entry costs of any size over the least, in units of what a GEMM does in that time."""
    costs = [variant["gemm_mflop_an_entry"] for variant in timed.values()]
    return {"ratio": max(costs) / min(costs)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A job and the ways to do it.

    Attributes:
        what: the job, in a sentence.
        probes, targets: size of the job.
        variants: in the order of a round.
        truth: gains in float64 of the first few probes on the first few targets; asked for before anything is timed.
        tolerance: most that the gains of a variant may deviate from these, root mean square relative to theirs.
        ratios: of what has been timed, by name.
        wanted: bounds of these ratios, lowest and highest.
    """

    what: str
    probes: int
    targets: int
    variants: Mapping[str, Variant]
    truth: Callable[[], np.ndarray]
    tolerance: float
    wanted: Mapping[str, tuple[float, float | None]]
    ratios: Callable[[Timed], dict[str, float]] = against_engine


def run(
    case: Case, *, rounds: int, clock: Clock = time.perf_counter, report: Callable[[str], object] = print
) -> dict[str, Any]:
    """Time all variants of a case by turns.

    Returns:
        Job, ratios, and of each variant the seconds and GEMM rates of every round with their medians.

    Raises:
        ValueError: the gains of a variant are not those of the oracle.
    """
    truth_PT = case.truth()
    gflop = _gflop(case.variants[NAIVE]) if NAIVE in case.variants else None
    seconds: dict[str, list[float]] = {name: [] for name in case.variants}
    rates: dict[str, list[float]] = {name: [] for name in case.variants}
    errors = {}
    for number in range(1, rounds + 1):
        gemms = [gemm_seconds(clock)]
        for name, variant in case.variants.items():
            with quiet():
                start = clock()
                gain_PT = variant.gains(variant.probes)
                seconds[name].append(clock() - start)
            gemms.append(gemm_seconds(clock))
            errors[name] = relative_error(gain_PT, truth_PT)
            if not errors[name] <= case.tolerance:
                raise ValueError(
                    f"expected the gains of the float64 oracle within {case.tolerance:g} from {name}, "
                    f"got a deviation of {errors[name]:.2g}; times of wrong numbers are none"
                )
            report(f"  round {number} of {rounds}, {name}: {seconds[name][-1] / variant.probes:.3g} s a probe")
        for name, beside in zip(case.variants, pairwise(gemms), strict=True):
            rates[name].append(gemm_gflop() / statistics.mean(beside))
    timed = {
        name: {
            "probes": variant.probes,
            "targets": variant.targets,
            "seconds": seconds[name],
            "gemm_gflops": rates[name],
            "seconds_a_probe": statistics.median(seconds[name]) / variant.probes,
            "gemm_mflop_an_entry": statistics.median(
                1e3 * spent * rate / (variant.probes * variant.targets)
                for spent, rate in zip(seconds[name], rates[name], strict=True)
            ),
            "error": errors[name],
        }
        for name, variant in case.variants.items()
    }
    record: dict[str, Any] = {
        "what": case.what,
        "probes": case.probes,
        "targets": case.targets,
        "rounds": rounds,
        "ratios": case.ratios(timed),
        "wanted": {name: list(bounds) for name, bounds in case.wanted.items()},
        "tolerance": case.tolerance,
        "variants": timed,
    }
    if gflop is not None:
        rate = statistics.median(rates[NAIVE])
        record["gemm"] = {"naive_gflop_a_probe": gflop, "seconds_a_probe": gflop / rate}
    return record


def gemm_gflop() -> float:
    """Arithmetic of one timing of the bare products."""
    return 2 * GEMM_SIZE**3 * GEMM_COUNT / 1e9


def gemm_seconds(clock: Clock) -> float:
    """Time of the bare products."""
    left, right = torch.rand(2, GEMM_SIZE, GEMM_SIZE)
    product = left @ right
    start = clock()
    for _ in range(GEMM_COUNT):
        torch.mm(left, right, out=product)
    return clock() - start


@contextmanager
def quiet() -> Iterator[None]:
    """A scope in which libraries warn of nothing: the Trainer would of what one step needs not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        yield


def relative_error(gain_PT: np.ndarray, truth_PT: np.ndarray) -> float:
    """Root mean square deviation from the truth where that is known, relative to its root mean square."""
    rows, columns = truth_PT.shape
    deviation = gain_PT[:rows, :columns] - truth_PT[: len(gain_PT)]
    return float(np.sqrt(np.mean(deviation**2) / np.mean(truth_PT[: len(gain_PT)] ** 2)))


def _gflop(naive: Variant) -> float:
    """Arithmetic of one probe; counting it also warms up."""
    with quiet(), FlopCounterMode(display=False) as counter:
        naive.gains(1)
    return counter.get_total_flops() / 1e9
