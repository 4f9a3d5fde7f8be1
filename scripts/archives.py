"""What a wheel or an sdist of this project must hold, and what it must not.

Used by `scripts/check_release.py` and by the tests; needs nothing but Python's own library.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

IN_PACKAGE = {"__init__.py", "cli.py", "py.typed", "report/assets/page.html"}
STRAY = re.compile(
    r"(^|/)(tests?|site|notebooks|experiments|benchmarks|dist|build)/|(^|(?<!trl_rlsp)/)runs/|__pycache__|\.py[co]$|\.(swp|orig|log|lock)$"
    r"|(^|/)\.(?!gitignore$)|\.ipynb$|\.env$|(^|/)checkpoint-"
)
"""Names that no archive holds; hatchling puts the .gitignore that it went by into the sdist."""

LARGEST = 3 * 1024 * 1024
"""Bytes of an archive at most: the quickstart's starting model is 1.3 MB of it."""


def recipe_files(root: Path) -> set[str]:
    """Names of the files in `recipes/` of a checkout, relative to it.

    Args:
        root: the checkout.
    """
    found = (path.relative_to(root / "recipes") for path in (root / "recipes").rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def names_in(archive: Path) -> set[str]:
    """Names of the files in an archive; those of an sdist without its top folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as sdist:
        files = [PurePosixPath(member.name) for member in sdist.getmembers() if member.isfile()]
    return {PurePosixPath(*name.parts[1:]).as_posix() for name in files}


def required(kind: str, version: str, recipes: set[str]) -> set[str]:
    """Names that an archive must hold.

    Args:
        kind: "wheel" or "sdist".
        version: of the project.
        recipes: what `recipe_files` returns.

    Example:
        >>> sorted(required("wheel", "0.1.0", {"quickstart/sft.yaml"}))[-2:]
        ['trl_rlsp/recipes/quickstart/sft.yaml', 'trl_rlsp/report/assets/page.html']
    """
    package, folder = ("trl_rlsp", "trl_rlsp/recipes") if kind == "wheel" else ("src/trl_rlsp", "recipes")
    info = f"trl_rlsp-{version}.dist-info"
    beside = (
        {f"{info}/METADATA", f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"}
        if kind == "wheel"
        else {
            "PKG-INFO",
            "LICENSE",
            "README.md",
            "CHANGELOG.md",
            "CITATION.cff",
            "SECURITY.md",
            "pyproject.toml",
            "hatch_build.py",
        }
    )
    return beside | {f"{package}/{name}" for name in IN_PACKAGE} | {f"{folder}/{name}" for name in recipes}


def faults(archive: Path, root: Path, version: str) -> list[str]:
    """What is wrong with an archive, one sentence each; empty if nothing is.

    Args:
        archive: a `.whl` or a `.tar.gz`.
        root: the checkout that it was built from.
        version: of the project.
    """
    kind = "wheel" if archive.suffix == ".whl" else "sdist"
    names = names_in(archive)
    found = [f"lacks {name}" for name in sorted(required(kind, version, recipe_files(root)) - names)]
    found += [f"holds the stray file {name}" for name in sorted(names) if STRAY.search(name)]
    if kind == "wheel":
        inside = ("trl_rlsp/", f"trl_rlsp-{version}.dist-info/")
        found += [f"would install {name} beside the package" for name in sorted(names) if not name.startswith(inside)]
    if archive.stat().st_size > LARGEST:
        found.append(f"has {archive.stat().st_size} bytes, more than {LARGEST}")
    return found
