"""`rlsp recipes` and `rlsp recipes copy NAME`: the recipes that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages.parsing import parse_stage


@dataclass
class RecipesArguments:
    """Nothing, or `copy NAME`."""

    words: list[str] = field(
        default_factory=list,
        metadata={"positional": "*", "metavar": "copy NAME", "help": "copy a recipe to where it can be changed"},
    )
    to: Path | None = field(default=None, metadata={"help": "the folder to make; default recipes/NAME"})


def run_recipes(arguments: Sequence[str]) -> None:
    """List the shipped recipes, or copy one.

    Args:
        arguments: nothing, or `copy NAME` and options.

    Raises:
        RLSPError: a recipe that is not shipped, or a folder that cannot be written.
    """
    described = "List the recipes that come with the package, or copy one."
    (given,) = parse_stage((RecipesArguments,), arguments, "rlsp recipes", description=described)
    if not given.words:
        print_recipes()
    elif len(given.words) == 2 and given.words[0] == "copy":
        print_copied(given.words[1], given.to)
    else:
        raise ConfigError(f"rlsp recipes takes nothing, or copy NAME, got {' '.join(given.words)!r}")


def print_recipes() -> None:
    """Print name, purpose and hardware of each shipped recipe."""
    from rich.table import Table

    from trl_rlsp.pipeline.shipped import companion_names, recipe_names, said_of
    from trl_rlsp.text.terminal import Terminal

    table = Table("recipe", "what it is for", "hardware", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for name in recipe_names():
        said = said_of(name)
        table.add_row(name, said.title, said.hardware)
    console = Terminal()
    console.print(table)
    console.print(
        f"\nrlsp run NAME runs one; rlsp recipes copy NAME makes a copy to change, also of "
        f"{' and '.join(companion_names())}.",
        soft_wrap=True,
    )


def print_copied(name: str, to: Path | None) -> None:
    """Copy a recipe and print where it is and what comes next."""
    from trl_rlsp.pipeline.shipped import copy_recipe, recipe_names

    target = copy_recipe(name, to)
    print(f"{name} copied to {target}")
    if name in recipe_names():
        print(f"next: change it, then rlsp run {target}")
