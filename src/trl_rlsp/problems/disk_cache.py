"""Rows kept on disk, for generators that take minutes.

Promises that a hit equals what was stored, that an unreadable entry is made anew, and that several processes
may ask for one entry at once. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

WORTH_STORING_S = 1.0


def cache_folder() -> Path:
    """Where rows are kept: `$TRL_RLSP_CACHE`, else `trl_rlsp` in the user's cache folder.

    Returns:
        The folder, which need not exist.
    """
    own = os.environ.get("TRL_RLSP_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trl_rlsp"


def cached_rows(key: dict[str, Any], make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows from the cache, or made and kept if making them took long.

    Args:
        key: everything the rows depend on, versions included.
        make: makes the rows; each must survive JSON unchanged.

    Returns:
        The rows.
    """
    text = json.dumps(key, sort_keys=True, default=str)
    path = cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == json.loads(text):
            return list(stored["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    start = time.perf_counter()
    rows = make()
    if time.perf_counter() - start > WORTH_STORING_S:
        _store(path, {"key": json.loads(text), "rows": rows})
    return rows


def _store(path: Path, content: dict[str, Any]) -> None:
    """Write a whole file or none: under another name first, then renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as handle:
            json.dump(content, handle, ensure_ascii=False)
        os.replace(handle.name, path)
    except OSError as error:
        logger.info("generated rows could not be kept in %s: %s", path.parent, error)
