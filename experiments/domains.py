"""The language domains: `python -m experiments.domains list`, or `show transitivity --seed 3` for a world to read.

`show causal --chains 2` shows the world's crossed chains of two links instead, see `influence/data/chains.py`.

A domain is a file of `conf/domain/`, or of the folder that `--folder` names; its form stands in
`influence/data/domains.py`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.schema import REPOSITORY
from influence.data.chains import chains
from influence.data.domains import Domain, load
from influence.data.worlds import worlds

FOLDER = REPOSITORY / "conf" / "domain"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the domains, a line each")
    showing = commands.add_parser("show", help="a world of a domain")
    showing.add_argument("name", help="the domain")
    showing.add_argument("--seed", type=int, default=0, help="of the names, in the paper's style (default 0)")
    showing.add_argument("--world", type=int, default=0, help="which of the seed's worlds (default 0)")
    showing.add_argument("--chains", type=int, metavar="LINKS", help="show its crossed chains of so many links")
    for command in listing, showing:
        command.add_argument("--folder", type=Path, default=FOLDER, help="of the domains (default conf/domain)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            for name in names(options.folder):
                print(f"{name:15} {find(name, options.folder).about}")
        else:
            domain = find(options.name, options.folder)
            print(world_text(domain, seed=options.seed, world=options.world, chain_length=options.chains))
    except ValueError as error:
        sys.exit(f"domains: {error}")


def names(folder: Path = FOLDER) -> list[str]:
    """Names of the domains in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(name: str, folder: Path = FOLDER) -> Domain:
    """The domain of that name.

    Raises:
        ValueError: there is none, or its file is no domain.
    """
    if name not in names(folder):
        known = ", ".join(names(folder)) or f"none in {folder}"
        raise ValueError(f"expected a domain ({known}), got {name!r}; correct it, or write {folder / name}.yaml")
    return load(folder / f"{name}.yaml")


def world_text(domain: Domain, *, seed: int, world: int, chain_length: int | None = None) -> str:
    """A world as a person reads it: item, text, desideratum and what is expected after learning the premises.

    Args:
        domain: the templates.
        seed: of the names, in the paper's style.
        world: its number.
        chain_length: links of the crossed chains that are shown in place of the domain's own items, if any.
    """
    if chain_length is None:
        table = worlds(domain, count=world + 1, seed=seed)
    else:
        made = chains(domain, length=chain_length, count=world + 1, seed=seed, style="paper", broken=True)
        table = pd.concat(made).drop_duplicates("id")
    table = table[table["world"] == world]
    lines = [("item", "text", "desideratum", f"expected after {table['premises'].iloc[0]}")]
    for row in table.to_dict("records"):
        first, *others = row["text"].split("\n")
        lines.append((row["item"], first, row["desideratum"], row["expected"]))
        lines += [("", other, "", "") for other in others]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    drawn = json.loads(table["names"].iloc[0])
    title = [f"seed {seed}", f"world {world}", *(f"{slot} = {name}" for slot, name in drawn.items())]
    return "\n".join([f"{domain.name}: {domain.about}", ", ".join(title), "", *rows])


if __name__ == "__main__":
    main()
