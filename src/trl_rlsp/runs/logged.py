"""Completions that a `GRPOTrainer(log_completions=True)` logged, one Parquet file for each logged step.

TRL writes the columns step, prompt, completion, one for each reward function, those that reward functions logged
themselves (here `verdict`, the verifier's reason), and advantage. A batch that is trained on more than once is logged
again each time; it is kept once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.runs.run import Completion, accuracy_part
from trl_rlsp.text.completion import completion_text, parse_completion

FIXED = ("step", "prompt", "completion", "advantage")


def read_completions(folder: Path) -> list[Completion]:
    """Completions of every `*.parquet` in `folder`, in order of their step.

    Raises:
        DataError: a file without the columns prompt and completion.
    """
    import pyarrow.parquet as parquet

    tables = []
    for path in sorted(folder.glob("*.parquet")):
        rows = parquet.read_table(path).to_pylist()
        if rows and not {"prompt", "completion"} <= rows[0].keys():
            columns = ", ".join(sorted(rows[0]))
            raise DataError(f"{path} is no log of completions: it needs prompt and completion, and has {columns}")
        tables.append(rows)
    tables.sort(key=lambda rows: rows[0].get("step") or 0 if rows else 0)
    completions: list[Completion] = []
    before: list[Any] = []
    for rows in tables:
        content = [{**row, "step": None} for row in rows]
        if repr(content) != repr(before):  # nan differs from itself, its text does not
            completions += [_completion(row, number) for number, row in enumerate(rows)]
        before = content
    return completions


def _completion(row: Mapping[str, Any], number: int) -> Completion:
    rewards = {name: _number(value) for name, value in row.items() if name not in FIXED and _is_score(value)}
    part = accuracy_part(list(rewards))
    prompt = user_text(row["prompt"])
    return Completion(
        problem=prompt,
        text=all_text(row["completion"]),
        score=rewards[part] if part else None,
        reason=str(row.get("verdict") or ""),
        prompt=prompt,
        finished=parse_completion(row["completion"]).finished,
        step=row.get("step"),
        sample=number,
        rewards=rewards,
    )


def user_text(prompt: Any) -> str:
    """What the user of a prompt wrote last; the system message is the same for every problem."""
    if isinstance(prompt, str):
        return prompt
    turns = [message for message in prompt or () if message.get("role") == "user"]
    return completion_text([{**turns[-1], "role": "assistant"}]) if turns else ""


def all_text(completion: Any) -> str:
    """All that the model wrote: every turn, and the reasoning that a chat template keeps beside the answer."""
    if isinstance(completion, str):
        return completion
    turns = [message for message in completion or () if message.get("role", "assistant") == "assistant"]
    parts = [completion_text({"content": turn.get(key)}) for turn in turns for key in ("reasoning_content", "content")]
    return "\n".join(part for part in parts if part)


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
