"""`rlsp recipes` and `rlsp recipes copy NAME`: the recipes that come with the package."""

from __future__ import annotations

import argparse
from pathlib import Path


def run_recipes(arguments: list[str]) -> None:
    """List the shipped recipes, or copy one.

    Args:
        arguments: nothing, or `copy NAME` and options.

    Raises:
        RLSPError: a recipe that is not shipped, or a folder that cannot be written.
    """
    given = parse_recipes(arguments)
    if given.action == "copy":
        print_copied(given.name, given.to)
    else:
        print_recipes()


def print_recipes() -> None:
    """Print name, purpose and hardware of each shipped recipe."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from trl_rlsp.pipeline.shipped import companion_names, recipe_names, recipe_titles

    titles = recipe_titles()
    table = Table("recipe", "what it is for", "hardware", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for name in recipe_names():
        table.add_row(*map(escape, (name, *titles.get(name, ("", "")))))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"\nrlsp run NAME runs one; rlsp recipes copy NAME makes a copy to change, also of "
        f"{escape(' and '.join(companion_names()))}.",
        soft_wrap=True,
    )


def print_copied(name: str, to: Path | None) -> None:
    """Copy a recipe and print where it is and what comes next."""
    from trl_rlsp.pipeline.shipped import copy_recipe, recipe_names

    target = copy_recipe(name, to)
    print(f"{name} copied to {target}")
    if name in recipe_names():
        print(f"next: change it, then rlsp run {target}")


def parse_recipes(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="rlsp recipes", description="List the recipes that come with the package, or copy one."
    )
    actions = parser.add_subparsers(dest="action", metavar="copy NAME", help="copy a recipe; copy --help says more")
    copy = actions.add_parser("copy", description="Copy a shipped recipe to where it can be changed.")
    copy.add_argument("name", metavar="NAME", help="a name that `rlsp recipes` lists")
    copy.add_argument("--to", type=Path, metavar="DIR", help="the folder to make; default recipes/NAME")
    return parser.parse_args(arguments)
