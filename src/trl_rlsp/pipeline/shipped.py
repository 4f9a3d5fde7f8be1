"""The recipes that come with the package: where they are, what they are called, and copies of them.

They lie in `recipes/` of the repository and in `trl_rlsp/recipes/` of an installed wheel. A run only reads them; what
it writes goes to `runs/` under the working directory.
"""

from __future__ import annotations

import difflib
import re
import shutil
from pathlib import Path

from trl_rlsp.errors import ConfigError, SourceError

LOCAL = Path("recipes")
"""Where `rlsp recipes copy` puts a recipe: the commands at the head of its files name it there."""

NEEDED = ("grpo.yaml", "eval.yaml")
"""Files that make a folder a recipe."""

ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<title>.+?) \| (?P<hardware>.*?) ?\|$", re.MULTILINE)
"""A row of the table in the recipes' README.md."""

LINK = re.compile(r"\s*\(\[[^\]]*\]\([^)]*\)\)")


def recipes_folder() -> Path:
    """The folder of the shipped recipes.

    Raises:
        SourceError: the package was taken out of its repository or wheel.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if (folder / "README.md").is_file():
            return folder
    raise SourceError(f"the recipes are not where they belong, in {package / 'recipes'}: install trl-rlsp again")


def recipe_names() -> list[str]:
    """Names of the shipped recipes, in the order of the README's table.

    Example:
        >>> recipe_names()[0]
        'quickstart'
    """
    found = [path.parent.name for path in sorted(recipes_folder().glob(f"*/{NEEDED[0]}"))]
    order = list(recipe_titles())
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def companion_names() -> list[str]:
    """Names of the shipped folders that are no recipe but are used with one.

    Example:
        >>> "accelerate" in companion_names()
        True
    """
    recipes = recipe_names()
    folders = (path for path in recipes_folder().iterdir() if path.is_dir() and not path.name.startswith("_"))
    return sorted(folder.name for folder in folders if folder.name not in recipes)


def recipe_titles() -> dict[str, tuple[str, str]]:
    """What each shipped folder is for and the hardware that it needs, by name, from the recipes' README.md.

    Example:
        >>> recipe_titles()["quickstart"]
        ("the whole pipeline on a laptop's CPU, measured", '2 CPU cores')
    """
    text = (recipes_folder() / "README.md").read_text(encoding="utf-8")
    return {row["name"]: (LINK.sub("", row["title"]), row["hardware"]) for row in ROW.finditer(text)}


def find_recipe(wanted: Path) -> Path:
    """The folder that the argument of `rlsp run` means.

    A folder is itself. A bare name that is no folder is looked up in `recipes/` of the working directory, where
    copies lie, and then among the shipped recipes.

    Args:
        wanted: a folder, or the name of a recipe.

    Raises:
        SourceError: a bare name that is found nowhere; the message lists the shipped recipes.
    """
    if wanted.is_dir() or len(wanted.parts) != 1:
        return wanted
    for place in (LOCAL, recipes_folder()):
        if (place / wanted).is_dir():
            return place / wanted
    raise SourceError(
        f"{str(wanted)!r} is no recipe folder and no recipe of that name is shipped"
        f"{_suggestion(wanted.name, recipe_names())}; the shipped ones are {', '.join(recipe_names())}"
    )


def portable(path: str) -> str:
    """A path inside the shipped recipes as seen from above them (`recipes/NAME/...`); any other text as it is.

    Hashes of settings use it, so that a run goes on after the package has been moved or installed again.

    Example:
        >>> portable(str(recipes_folder() / "quickstart" / "base"))
        'recipes/quickstart/base'
        >>> portable("Qwen/Qwen2.5-0.5B-Instruct")
        'Qwen/Qwen2.5-0.5B-Instruct'
    """
    place = Path(path)
    if not place.is_absolute() or not place.is_relative_to(recipes_folder()):
        return path
    return (LOCAL / place.relative_to(recipes_folder())).as_posix()


def copy_recipe(name: str, target: Path | None = None) -> Path:
    """Copy a shipped recipe, or a folder that is used with one, to where it can be changed.

    Args:
        name: one of `recipe_names()` or `companion_names()`.
        target: the folder to make; default `recipes/NAME` under the working directory.

    Returns:
        The folder that was made.

    Raises:
        SourceError: no such recipe is shipped; the message lists them.
        ConfigError: the target exists, or cannot be written.
    """
    known = [*recipe_names(), *companion_names()]
    if name not in known:
        raise SourceError(f"no recipe {name!r} is shipped{_suggestion(name, known)}; there are {', '.join(known)}")
    target = LOCAL / name if target is None else target
    if target.exists():
        raise ConfigError(f"{str(target)!r} exists and is not overwritten; name another folder with --to DIR")
    try:
        shutil.copytree(recipes_folder() / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise ConfigError(f"cannot write the copy {str(target)!r}: {error}; name another folder with --to") from error
    return target


def _suggestion(name: str, known: list[str]) -> str:
    """The nearest known name, as a question."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
