"""JSON values kept on disk between runs: generated problems that took long to make, and the grades of judges.

Several processes may use one file at once. A file that cannot be read or written costs a warning, not the run.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where caches are: `$TRL_RLSP_CACHE`, else `trl_rlsp` in the user's cache folder, which need not exist."""
    own = os.environ.get("TRL_RLSP_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trl_rlsp"


class DiskCache:
    """JSON values by key in one SQLite file, which is made with its folder on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """What is stored for these keys, without keys that have no entry and entries that are not JSON."""
        found: dict[str, Any] = {}
        try:
            with self._opened() as connection:
                for key in keys:
                    for (text,) in connection.execute("SELECT value FROM entries WHERE key = ?", [key]):
                        with suppress(ValueError, TypeError):
                            found[key] = json.loads(text)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the cache %s cannot be read: %s", self.path, error)
        return found

    def put(self, entries: Mapping[str, Any]) -> None:
        """Store JSON values, all or none."""
        if not entries:
            return
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in entries.items()]
        try:
            with self._opened() as connection:
                connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the cache %s cannot be written: %s", self.path, error)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time, so that none is carried over a fork or into another thread."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            yield connection
