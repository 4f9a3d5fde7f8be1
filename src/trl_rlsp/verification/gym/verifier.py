"""Verdicts on reasoning-gym tasks, by each task's own scorer, in confined worker processes.

Some scorers evaluate the model's text. So they never run in this process, see only text that states a value (see
`_answers.py`), each answer has a process of its own that nothing outlives, and a task or row whose scorer pays for
nonsense gives no verdict.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trl_rlsp.text import Completion, Reading, read
from trl_rlsp.verification.gym._answers import spellings
from trl_rlsp.verification.verdict import Reason, Verdict
from trl_rlsp.verification.workers.pool import Reply, WorkerPool

GYM_HANDLER = "trl_rlsp.verification.gym._worker:score"
_PROBE_SECONDS = 30.0  # the least a task's first probe may take: some load word lists
_MAX_PROBED = 20_000

_logger = logging.getLogger(__name__)
_probes: dict[str, str | bool] = {}  # by name or row: what is wrong, or whether the scorer wants tuples
_told: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class GymItem:
    """A row's `task` column, a JSON string `{"name": ..., "entry": {...}}`, and what the model wrote."""

    task: str
    completion: Completion | Reading | None


def verify_gym(
    items: Sequence[GymItem],
    pool: WorkerPool,
    *,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
    limit: float = 2.0,
    deadline: float | None = None,
) -> list[Verdict]:
    """Score answers with the tasks' own scorers: 1.0 for a full score, else 0.0.

    Args:
        items: what to score.
        pool: runs `GYM_HANDLER`.
        end_of_thinking: where the reasoning ends, see `trl_rlsp.text.read`.
        thinking_required: likewise.
        limit: wall-clock seconds for one answer.
        deadline: wall-clock seconds for all of them together.

    Returns:
        One verdict per item; `scorer_error` (score `None`) where the scorer cannot do its work for reasons other
        than the completion: unknown task, broken entry, a scorer that pays for nonsense, deadline passed before
        the item's turn. The reason is logged once.
    """
    ends = float("inf") if deadline is None else time.monotonic() + deadline
    verdicts: list[Verdict] = [Verdict(None, "scorer_error")] * len(items)
    pairs: dict[tuple[str, str], list[int]] = {}
    for i, item in enumerate(items):
        reading = item.completion
        if not isinstance(reading, Reading):
            reading = read(reading, "gym", end_of_thinking=end_of_thinking, thinking_required=thinking_required)
        if reading.answer is None:
            verdicts[i] = Verdict(0.0, "several_answers" if reading.reason == "several_answers" else "no_answer")
        else:
            pairs.setdefault((item.task, reading.answer), []).append(i)
    trusted = _trusted_rows(list(dict.fromkeys(task for task, _ in pairs)), pool, limit, ends)
    found, asked = {}, {}
    for task, answer in pairs:
        if task in trusted:
            texts = spellings(*_content(task), answer)
            found[task, answer] = Verdict(0.0, "mismatch")
            if texts:
                asked[task, answer] = {"row": task, "tuples": trusted[task], "answers": texts}
    replies = _run(pool, list(asked.values()), limit, ends)
    found |= {pair: _from_reply(reply) for pair, reply in zip(asked, replies, strict=True)}
    for pair, verdict in found.items():
        for i in pairs[pair]:
            verdicts[i] = verdict
    return verdicts


@lru_cache(maxsize=1024)
def _content(task: str) -> tuple[str, dict[str, Any]]:
    """Name and entry of a `task` string, `""` and `{}` for what it does not have."""
    try:
        content: Any = json.loads(task)
    except (ValueError, RecursionError, TypeError):
        return "", {}
    content = content if isinstance(content, dict) else {}
    name, entry = content.get("name"), content.get("entry")
    return name if isinstance(name, str) else "", entry if isinstance(entry, dict) else {}


def _trusted_rows(rows: list[str], pool: WorkerPool, limit: float, ends: float) -> dict[str, bool]:
    """The rows whose own answer is paid and nonsense is not, of tasks of which the same is known."""
    names = dict.fromkeys(_content(row)[0] for row in rows)
    for name in names:
        pool.prepare(name)
    _probe({name: {"name": name} for name in names}, pool, max(limit, _PROBE_SECONDS), ends)
    rows = [row for row in rows if _probes.get(_content(row)[0]) == ""]
    _probe({row: {"row": row} for row in rows}, pool, limit, ends)
    return {row: tuples for row in rows if isinstance(tuples := _probes.get(row), bool)}


def _probe(requests: dict[str, dict[str, Any]], pool: WorkerPool, limit: float, ends: float) -> None:
    """Find out about names or rows not known yet; what could not be asked is asked again the next time."""
    unknown = [key for key in requests if key not in _probes]
    if len(_probes) + len(unknown) > _MAX_PROBED:
        _probes.clear()
        unknown = list(requests)
    for key, reply in zip(unknown, _run(pool, [requests[key] for key in unknown], limit, ends), strict=True):
        if reply.outcome == "value" and isinstance(reply.value, str | bool):
            _probes[key] = reply.value
        if reply.value != "" and not isinstance(reply.value, bool):
            name = requests[key].get("name") or _content(key)[0]
            why = name, reply.value or f"a probe ended in {reply.outcome!r}"
            if why not in _told:
                _told.add(why)
                _logger.warning("rows of reasoning-gym's task %r have no score: %s", *why)


def _run(pool: WorkerPool, requests: list[dict[str, Any]], limit: float, ends: float) -> list[Reply]:
    deadline = None if ends == float("inf") else max(0.0, ends - time.monotonic())
    return pool.run(requests, limit=limit, deadline=deadline, fresh=True)


def _from_reply(reply: Reply) -> Verdict:
    if reply.value is True:
        return Verdict(1.0, "match")
    wrong: dict[str, Reason] = {"value": "mismatch", "timeout": "timeout", "crash": "worker_crash"}
    return Verdict(0.0, wrong[reply.outcome]) if reply.outcome in wrong else Verdict(None, "scorer_error")
