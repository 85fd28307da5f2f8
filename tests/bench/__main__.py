"""How fast: `python -m tests.bench [cases]`, into `outputs/published/bench/bench.json`.

A case may be named by its beginning: `python -m tests.bench cnn gemma_shared`. Times on a machine that does something
else are worth little, though each is taken beside a GEMM.
"""

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as experiments.run, before torch is imported

from experiments.published import PUBLISHED
from tests.bench.cases import CASES, chosen
from tests.bench.peak import peaks
from tests.bench.record import keep, where
from tests.bench.timing import run


def main() -> None:
    """Measure the cases named on the command line, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3, help="of every variant (%(default)s)")
    parser.add_argument("--out", type=Path, default=PUBLISHED / "bench" / "bench.json", help="%(default)s")
    options = parser.parse_args()
    try:
        cases = chosen(options.cases)
        left = sum(entry.minutes for entry in cases.values())
        for name, entry in cases.items():
            print(f"{name}: about {entry.minutes:g} min, {left:.0f} min with all that follow", flush=True)
            start = time.perf_counter()
            record = run(case := entry.make(), rounds=options.rounds, report=partial(print, flush=True))
            peaking = [variant for variant, way in case.variants.items() if way.peak_probes]
            del case  # its memory is wanted
            for variant, peak in peaks(entry.make, peaking).items():
                record["variants"][variant] |= peak
            record |= {"minutes": (time.perf_counter() - start) / 60, "provenance": where()}
            keep(options.out, name, record)
            print(f"  {', '.join(f'{ratio} {value:.2f}' for ratio, value in record['ratios'].items())}", flush=True)
            left -= entry.minutes
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"bench: {error}")
    print(options.out)


if __name__ == "__main__":
    main()
