"""Peak memory of every variant, each in a process of its own."""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.timing import Case


def peaks(make: Callable[[], Case], names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Of each of these variants: memory when the job is loaded, and the most while its gains are measured, GB.

    Args:
        make: makes the case; another process must be able to import it.
        names: of variants that have `peak_probes`.
    """
    spawn, measured = multiprocessing.get_context("spawn"), {}
    for name in names:
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            measured[name] = process.submit(_peak, make, name).result()
    return measured


def _peak(make: Callable[[], Case], name: str) -> dict[str, float]:
    variant = make().variants[name]
    loaded = resident_gb()
    variant.gains(variant.peak_probes)
    return {"peak_probes": variant.peak_probes, "loaded_gb": loaded, "peak_gb": resident_gb()}


def resident_gb() -> float:
    """Most memory that this process has held, GB; not `getrusage`, which counts that of its parent at the start."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**20
