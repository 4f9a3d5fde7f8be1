"""Runs reasoning-gym's scorers. Imported in worker processes only."""

from __future__ import annotations

import ast
import json
import sys
from functools import cache
from typing import Any

import reasoning_gym
import sympy  # noqa: F401  loaded once in the fork server; several scorers import it when first called
from reasoning_gym.factory import DATASETS

from trl_rlsp.verification.gym.verifier import content, spellings

NONSENSE = ("~?~", "nan")  # game_of_life_halting's scorer in reasoning-gym 0.1.25 gives any text its full score
CONSTANTS = (*NONSENSE, "0", "1", "-1", "[]", "[0]", "{}", "True", "None", "6*4*1*1", "[NaN]", "impossible")
PROBE_ROWS = 6


def warm_up() -> None:
    """Restrict scorers to evaluating literals; only the arithmetic tasks may evaluate their own problems."""
    for name in [name for name in sys.modules if name.startswith("reasoning_gym.")]:
        if not name.startswith("reasoning_gym.arithmetic"):
            vars(sys.modules[name])["eval"] = ast.literal_eval


def prepare(name: str) -> None:
    """Probe a task before workers are forked, so that they share what its scorer loads (word lists take seconds).

    It uses only six generated rows and constants, no model output.
    """
    _fault_of_task(name)


def score(item: dict[str, Any]) -> Any:
    """The pool's handler: probes a row (`{"row"}`), or scores spellings of one answer (`{"row", "tuples", "answers"}`).

    A row is a JSON string `{"name", "entry"}`. A probe returns what is wrong with the row or its task, or whether the
    scorer needs tuples; scoring returns whether one of the spellings gets the full score.
    """
    if "answers" not in item:
        return _probed(item["row"])
    name, entry = content(item["row"])
    entry = _with_tuples(entry) if item["tuples"] else entry
    return any(_full_score(_dataset(name), entry, answer) for answer in item["answers"])


@cache
def _fault_of_task(name: str) -> str:
    if name not in DATASETS:
        return "reasoning-gym has no such task"
    entries = [json.loads(json.dumps(_dataset(name)[i], default=str)) for i in range(PROBE_ROWS)]
    answers = [entry["answer"] for entry in entries if isinstance(entry["answer"], str)]
    for text in dict.fromkeys([*CONSTANTS, *answers]):
        others = [entry for entry in entries if not _same(text, entry["answer"])]
        paid = [entry for entry in others if _pays(name, entry, text)]
        if len(paid) > max(1, len(others) // 2):
            return f"its scorer accepts {text[:60]!r} on {len(paid)} of {len(others)} rows with a different answer"
    return ""


def _probed(row: str) -> str | bool:
    name, entry = content(row)
    if fault := _fault_of_task(name):
        return fault
    if "answer" not in entry:
        return "a row has no entry with an answer"
    answer, as_tuples = entry["answer"], _with_tuples(entry)
    for candidate in (entry, as_tuples):  # JSON has turned the entry's tuples into lists; some scorers need tuples
        if answer is None or _full_score(_dataset(name), candidate, answer):
            paid = [text for text in NONSENSE if not _same(text, answer) and _pays(name, entry, text)]
            return f"its scorer accepts {paid[0]!r}" if paid else candidate is as_tuples
    return "its scorer does not accept a row's own answer"


def _pays(name: str, entry: dict[str, Any], answer: str) -> bool:
    texts = spellings(name, entry, answer)
    return any(_full_score(_dataset(name), form, text) for form in (entry, _with_tuples(entry)) for text in texts)


def _same(text: str, answer: Any) -> bool:
    return text.casefold().split() == str(answer).casefold().split()


def _full_score(dataset: Any, entry: dict[str, Any], answer: str) -> bool:
    try:
        value = dataset.score_answer(answer=answer, entry=entry)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the process boundary: a scorer that fails on the answer has not given its full score
        return False
    return isinstance(value, int | float) and value >= 1.0


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(part) for key, part in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


@cache
def _dataset(name: str) -> Any:
    return reasoning_gym.create_dataset(name, size=PROBE_ROWS, seed=1)
