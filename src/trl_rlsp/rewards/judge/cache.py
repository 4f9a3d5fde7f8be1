"""Grades kept on disk, so that nothing is asked of a judge twice.

Promises: several processes may use one file at once; a file that cannot be read or written costs a warning, not the
run. Knows nothing of what was graded: keys are hashes.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_BUSY_S = 30.0
_AT_ONCE = 500


class GradeCache:
    """Grades by key in one SQLite file.

    Args:
        path: the file, made on first use with its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"GradeCache({str(self.path)!r})"

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """What is stored for these keys; keys without an entry, and entries that are not JSON, are left out."""
        wanted = list(keys)
        found: dict[str, Any] = {}
        try:
            with self._opened() as connection:
                for start in range(0, len(wanted), _AT_ONCE):
                    part = wanted[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(part))
                    found |= dict(connection.execute(f"SELECT key, grades FROM grades WHERE key IN ({marks})", part))
        except (sqlite3.Error, OSError) as error:
            logger.warning("the judge's cache %s cannot be read: %s", self.path, error)
        return {key: value for key, text in found.items() if (value := _parsed(text)) is not None}

    def put(self, entries: Mapping[str, Any]) -> None:
        """Store JSON values, all or none."""
        if not entries:
            return
        rows = [(key, json.dumps(value)) for key, value in entries.items()]
        try:
            with self._opened() as connection:
                connection.executemany("INSERT OR REPLACE INTO grades VALUES (?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the judge's cache %s cannot be written: %s", self.path, error)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time: none is carried over a fork or into another thread."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS grades (key TEXT PRIMARY KEY, grades TEXT NOT NULL)")
            yield connection


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return None
