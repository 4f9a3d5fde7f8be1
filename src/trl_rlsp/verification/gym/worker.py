"""Runs reasoning-gym's scorers. Imported in worker processes only."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import reasoning_gym
import sympy  # noqa: F401  loaded once in the nursery; several scorers import it when first called
from reasoning_gym.factory import DATASETS

NONSENSE = "~?~"  # game_of_life_halting's scorer in reasoning-gym 0.1.25 gives any text its full score


def prepare(name: str) -> None:
    """Make a task's scorer ready, before workers are forked: word lists and grammars take seconds to load."""
    if name in DATASETS:
        entry = _dataset(name)[0]
        _full_score(_dataset(name), entry, entry["answer"])  # what it loads and caches on first use is shared


def score(item: dict[str, Any]) -> str:
    """The pool's handler: `full`, `less`, or `broken` where the task itself cannot be scored.

    Args:
        item: `task`, a JSON string `{"name", "entry"}`, and `answers`, spellings of one answer.
    """
    dataset, entry = _task(item["task"])
    if dataset is None:
        return "broken"
    return "full" if any(_full_score(dataset, entry, answer) for answer in item["answers"]) else "less"


def _full_score(dataset: Any, entry: dict[str, Any], answer: str) -> bool:
    try:
        value = dataset.score_answer(answer=answer, entry=entry)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the process boundary: a scorer that chokes on the answer has not given its full score
        return False
    return isinstance(value, int | float) and value >= 1.0


@lru_cache(maxsize=256)
def _task(text: str) -> tuple[Any, dict[str, Any]]:
    """(scorer, entry), the scorer `None` if it fails the entry's own answer or pays for nonsense.

    JSON has turned the entry's tuples into lists; some scorers want them back.
    """
    try:
        task = json.loads(text)
        dataset, entry = _dataset(task["name"]), task["entry"]
        answer, metadata = entry["answer"], entry["metadata"]
    except (KeyError, TypeError, ValueError):
        return None, {}
    for candidate in (entry, entry | {"metadata": _tuples(metadata)}):
        if answer is None or _full_score(dataset, candidate, answer):
            return (None, {}) if _full_score(dataset, candidate, NONSENSE) else (dataset, candidate)
    return None, {}


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


@lru_cache(maxsize=256)
def _dataset(name: str) -> Any:
    return reasoning_gym.create_dataset(name, size=1, seed=0)
