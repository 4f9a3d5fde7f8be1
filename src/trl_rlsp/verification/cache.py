"""A bounded memory of verdicts, without locks: safe in threads, and in a child forked while a thread writes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from trl_rlsp.verification.verdict import Verdict


class VerdictCache:
    """Keeps at least the last `size` / 2 verdicts and at most `size`, in two generations.

    Args:
        size: the most entries kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.clear()

    def clear(self) -> None:
        """Forget all verdicts."""
        self._young: dict[Hashable, Verdict] = {}
        self._old: dict[Hashable, Verdict] = {}

    def get(self, key: Hashable) -> Verdict | None:
        """The verdict stored for a key, `None` if there is none."""
        return self._young.get(key) or self._old.get(key)

    def put(self, key: Hashable, verdict: Verdict) -> None:
        """Store a verdict; once half the size is reached, the older half is dropped."""
        if len(self._young) >= max(1, self.size // 2):
            self._old, self._young = self._young, {}
        self._young[key] = verdict

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def __getstate__(self) -> dict[str, Any]:
        return {"size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.size = state["size"]
        self.clear()
