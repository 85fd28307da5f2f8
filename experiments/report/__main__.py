"""One static site of all saved runs, or of those named: `python -m experiments.report outputs/fig1_cnn`.

It opens from disk without a server, and asks nothing of the network. What has not changed since the last time is kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.report.site import OUTPUTS, write_site


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report of the runs named on the command line, or of all."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="*", type=Path, help="run folders, or folders of runs (default: outputs)")
    parser.add_argument(
        "--to", type=Path, default=OUTPUTS / "report", help="where it is written (default: outputs/report)"
    )
    options = parser.parse_args(arguments)
    try:
        print(f"report  {write_site(options.folders or [OUTPUTS], options.to)}")
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"report: {error}")


if __name__ == "__main__":
    main()
