"""Faces of rooms whose modules are loaded when one of their names is first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str, homes: dict[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """`__getattr__` and `__all__` of a package whose public names live in modules that are not loaded yet.

    Args:
        package: `__name__` of the package.
        homes: each module, relative to the package, with the names it gives, separated by spaces.
    """
    where = {name: f"{package}.{module}" for module, names in homes.items() for name in names.split()}

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(where[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, sorted(where)
