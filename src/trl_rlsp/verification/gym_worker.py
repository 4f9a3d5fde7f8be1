"""Runs reasoning-gym's scorers. Imported in worker processes only."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import reasoning_gym
import sympy  # noqa: F401  loaded once in the nursery; several scorers import it when first called


def score(item: dict[str, str]) -> str:
    """The pool's handler: `full`, `less`, or `broken` where the task itself cannot be scored.

    Args:
        item: `task`, a JSON string `{"name", "entry"}`, and `answer`.
    """
    try:
        task = json.loads(item["task"])
        dataset, entry = _dataset(task["name"]), task["entry"]
        _ = entry["question"], entry["answer"], entry["metadata"]
    except (KeyError, TypeError, ValueError):
        return "broken"
    try:
        value = dataset.score_answer(answer=item["answer"], entry=entry)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the process boundary: a scorer that chokes on the answer has not given its full score
        return "less" if _scores_itself(dataset, entry) else "broken"
    return "full" if isinstance(value, int | float) and value >= 1.0 else "less"


def _scores_itself(dataset: Any, entry: dict[str, Any]) -> bool:
    """Whether the scorer gives the entry's own answer its full score: then the entry is sound."""
    try:
        return entry["answer"] is None or dataset.score_answer(answer=entry["answer"], entry=entry) >= 1.0
    except Exception:  # the process boundary, as above
        return False


@lru_cache(maxsize=64)
def _dataset(name: str) -> Any:
    return reasoning_gym.create_dataset(name, size=1, seed=0)
