"""A bounded, thread-safe memory of verdicts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from trl_rlsp.verification.verdict import Verdict


class VerdictCache:
    """The last `size` verdicts, least recently stored first out.

    Args:
        size: entries kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[Hashable, Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Verdict | None:
        """The verdict stored for a key."""
        return self._entries.get(key)

    def put(self, key: Hashable, verdict: Verdict) -> None:
        """Store a verdict, dropping the oldest one over the size."""
        with self._lock:
            self._entries[key] = verdict
            while len(self._entries) > self.size:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)

    def __getstate__(self) -> dict[str, Any]:
        return {"size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["size"])  # type: ignore[misc]
