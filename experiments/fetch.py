"""Fetch the real images: `python -m experiments.fetch`, which `make data` runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from influence.data.sources import CHECKSUMS, fetch

FOLDER = Path(__file__).resolve().parents[1] / "outputs" / "data"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the named sets, or both; says in a line each what came from where."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fetch", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="set", help=f"any of: {', '.join(CHECKSUMS)} (default: all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they are wanted (default: %(default)s)")
    parser.add_argument("--from", type=Path, dest="given", metavar="DIR", help="a folder that holds the files")
    options = parser.parse_args(arguments)
    if options.given is not None and not options.given.is_dir():
        sys.exit(f"expected --from a folder that holds the files, got {options.given}; correct it")
    try:
        for name in options.sets or CHECKSUMS:
            fetch(name, options.folder, given=options.given, report=print)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
