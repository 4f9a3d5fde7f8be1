"""JSON values stored on disk between runs: problems that are slow to generate, and the grades of judges."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder of caches: `$TRL_RLSP_CACHE`, else `trl_rlsp` in the user's cache folder; it may not exist."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TRL_RLSP_CACHE") or users / "trl_rlsp")


class DiskCache:
    """JSON values in one file that several processes may share. Each line is a key without spaces and a value; the last
    line of a key counts. A failed read or write causes a warning, not an error."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """The stored values of these keys, without missing keys and entries that are not JSON."""
        wanted, found = set(keys), dict[str, Any]()
        try:
            with self.path.open(encoding="utf-8", errors="replace") as lines:
                for key, _, value in (line.partition(" ") for line in lines):
                    if key in wanted:
                        with suppress(ValueError):
                            found[key] = json.loads(value)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("the cache %s cannot be read: %s", self.path, error)
        return found

    def put(self, entries: Mapping[str, Any]) -> None:
        """Store JSON values in one write, so that lines of other processes are not interleaved."""
        lines = "".join(f"{key} {json.dumps(value)}\n" for key, value in entries.items())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.write(f"\n{lines}".encode())  # ends a partial line left by a killed process
        except OSError as error:
            logger.warning("the cache %s cannot be written: %s", self.path, error)
