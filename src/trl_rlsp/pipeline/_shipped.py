"""The recipes that come with the package, in `recipes/` of the repository and in `trl_rlsp/recipes/` of a wheel."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from trl_rlsp.errors import ConfigError, SourceError, did_you_mean
from trl_rlsp.stages import read_yaml

_LOCAL = Path("recipes")  # default folder for copies, used by the commands at the top of recipe files
NEEDED = ("grpo.yaml", "eval.yaml")  # files that make a folder a recipe


def recipes_folder() -> Path:
    """The folder of the shipped recipes; a SourceError if it is missing."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if (folder / "README.md").is_file():
            return folder
    raise SourceError(f"the recipes are missing from {package / 'recipes'}: install trl-rlsp again")


def recipe_names() -> list[str]:
    """Names of the shipped recipes, in order of their `place`."""
    names = (path.parent.name for path in recipes_folder().glob(f"*/{NEEDED[0]}"))
    return sorted(names, key=lambda name: (description_of(name).place, name))


def companion_names() -> list[str]:
    """Names of the shipped folders that are not recipes but are used with one."""
    folders = {path.name for path in recipes_folder().iterdir() if path.is_dir() and not path.name.startswith("_")}
    return sorted(folders - set(recipe_names()))


@dataclass(frozen=True)
class Description:
    """The description of a recipe; its batch sizes are for `processes` processes."""

    title: str = ""
    hardware: str = ""
    processes: int = 1
    place: int = 100


def description_of(recipe: str | Path) -> Description:
    """The description of a shipped recipe, given by name, or of the recipe in a folder."""
    file = (recipe if isinstance(recipe, Path) else recipes_folder() / recipe) / "recipe.yaml"
    written = read_yaml(file) if file.is_file() else {}
    if wrong := sorted(set(written) - set(Description.__dataclass_fields__)):
        raise ConfigError(f"{file} may have {', '.join(Description.__dataclass_fields__)}, got {wrong[0]!r}")
    return Description(**written)


def find_recipe(wanted: Path) -> Path:
    """The folder itself, a copy of that name in `recipes/`, or a shipped recipe; a SourceError if there is none."""
    if wanted.is_dir() or len(wanted.parts) != 1:
        return wanted
    for place in (_LOCAL, recipes_folder()):
        if (place / wanted).is_dir():
            return place / wanted
    raise _unknown(wanted.name, recipe_names())


def copy_recipe(name: str, target: Path | None = None) -> Path:
    """Copy a shipped recipe, or a folder that is used with one, to `target`, by default `recipes/NAME`.

    A SourceError for an unknown name, a ConfigError if the target exists or cannot be written.
    """
    if name not in (known := [*recipe_names(), *companion_names()]):
        raise _unknown(name, known)
    target = _LOCAL / name if target is None else target
    if target.exists():
        raise ConfigError(f"{str(target)!r} exists and is not overwritten; name another folder with --to DIR")
    try:
        shutil.copytree(recipes_folder() / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise ConfigError(f"cannot write the copy {str(target)!r}: {error}; name another folder with --to") from error
    return target


def _unknown(name: str, known: list[str]) -> SourceError:
    wrong = f"{name!r} is neither a folder nor a shipped recipe{did_you_mean(name, known)}"
    return SourceError(f"{wrong}; shipped are {', '.join(known)}")
