"""One record for logged completions, and one reader: TRL's Parquet log, and the samples of `rlsp eval`.

`GRPOTrainer(log_completions=True)` writes one Parquet file per logged step, with a column for each reward function and
for each value that reward functions log themselves (here `verdict`). A batch that is trained on more than once is
logged each time and read once. The text of a completion is only data: it is never evaluated, rendered or followed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation import read_problems
from trl_rlsp.text import GOLD_COLUMNS, completion_text, kinds_of, read

SAMPLES = "samples.jsonl"
LOGGED = "completions/*.parquet"
_NOT_REWARDS = ("step", "prompt", "completion", "advantage", *GOLD_COLUMNS)
_RIGHT = {"match": 1.0, "mismatch": 0.0, "no_answer": 0.0, "several_answers": 0.0, "timeout": 0.0, "worker_crash": 0.0}
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion with its verdict; fields that were not recorded are `None` or empty.

    Attributes:
        text: everything the model wrote, after the prefix that its group started from; untrusted.
        problem: key of the problem: its index in an evaluation, or the question of the prompt.
        score: 1.0, 0.0, a fraction between them, or `None` if it is not scorable; `reason` gives the reason.
        finished: whether it ends with a final answer within the token limit.
        step: training step, `None` in an evaluation.
        sample: number among the completions of its problem or batch.
        rewards: reward function -> value, `None` if it returned none.
        extra: other metrics of the task, such as the search steps of countdown.
        columns: `solution`, `task` and `tests`, if the file has them.
        messages: number of messages in the completion.
        gold: the gold answer that the verifier compared with `answer`.
    """

    text: str
    problem: str = ""
    prompt: Any = None
    score: float | None = None
    reason: str = ""
    tokens: int | None = None
    finished: bool | None = None
    step: int | None = None
    sample: int = 0
    level: str | None = None
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    extra: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    messages: int = 1
    gold: str | None = None
    answer: str | None = None
    file: str = ""
    sha256: str = ""

    @property
    def question(self) -> str:
        """The question of its prompt."""
        return question(self.prompt)


def question(prompt: Any) -> str:
    """The question of a prompt: its last user message, or the whole prompt if it has none."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    turns = [message for message in prompt if message.get("role") == "user"][-1:] or list(prompt)
    return "\n".join(completion_text([{**turn, "role": "assistant"}]) for turn in turns)


def accuracy_part(names: Sequence[str]) -> str | None:
    """The name of the reward function that scores the outcome, if there is one."""
    return next((name for wanted in ("outcome_verifier", "accuracy") for name in names if wanted in name), None)


def read_completions(sources: Iterable[str | Path]) -> list[Completion]:
    """Completions of Parquet or JSONL files and of folders of runs (see `completion_files`), in order of step.

    A SourceError for a missing file or a folder without completions, a DataError for a file without completions.
    """
    files = [file for source in sources for file in completion_files(Path(source))]
    return sorted(read_files(files), key=lambda c: -1 if c.step is None else c.step)


def completion_files(source: Path) -> list[Path]:
    """The file itself, or the files in a folder of `rlsp run`, one of its rounds, a `GRPOTrainer` or `rlsp eval`: those
    of the RL stage, or else those of the evaluations. A SourceError if there are none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise SourceError(f"there is no file or folder {str(source)!r}")
    stage = rl_stage(source)
    logged = sorted(stage.glob(LOGGED)) if stage else sorted(source.glob("completions_*.parquet"))
    files = logged or [*source.glob(SAMPLES), *sorted(source.glob(f"*/{SAMPLES}"))]
    if not files:
        wanted = f"neither {LOGGED} (train with log_completions: true) nor samples.jsonl of `rlsp eval`"
        raise SourceError(f"{str(source)!r} holds no completions: {wanted}")
    return files


def rl_stage(folder: Path) -> Path | None:
    """The folder of the RL stage: `folder`, its `rlsp/`, the `rlsp/` of the newest round, or one with completions."""
    rounds = [path for path in folder.glob("round-*") if path.name[6:].isdigit()]
    newest_first = sorted(rounds, key=lambda path: int(path.name[6:]), reverse=True)
    named = [folder, folder / "rlsp", *(path / "rlsp" for path in newest_first)]
    others = sorted(path for path in folder.iterdir() if path.is_dir())
    logged = [path for path in (*named, *others) if any(path.glob(LOGGED))]
    traced = [path for path in named if (path / "trainer_state.json").is_file() or any(path.glob("checkpoint-*"))]
    return next(iter([*logged, *traced]), None)


def read_files(files: Sequence[Path]) -> list[Completion]:
    """Every completion of some files, in order of step; a batch that was logged repeatedly counts once."""
    tables = [(path, rows) for path in files if (rows := _rows(path))]
    completions: list[Completion] = []
    before = ""
    for path, rows in sorted(tables, key=lambda table: table[1][0].get("step") or 0):
        content = repr([{**row, "step": None} for row in rows])  # as text, because nan != nan
        if content != before or path.name == SAMPLES:
            completions += _completions(path, rows)
        before = content
    return completions


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path).to_pylist()
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors too
        raise DataError(f"{path} holds no completions that can be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            if number == len(lines) and path.name == SAMPLES:
                break  # written by a killed process
            raise DataError(f"line {number} of {path} is not JSON: {error}") from error
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip():
            raise DataError(f"line {number} of {path} must be a JSON object, got {line.strip()[:80]!r}")
    return rows


def _completions(path: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[Completion]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    problems = read_problems(path.parent) if path.name == SAMPLES else None
    of_problem: Counter[str] = Counter()
    for number, row in enumerate(rows):
        if "completion" not in row and "text" not in row:
            raise DataError(f"row {number + 1} of {path} needs a column `completion` or `text`, has {sorted(row)}")
        if row.get("prefix") and isinstance(row.get("prompt"), str):  # TRL 1.14 logs it as part of the prompt too
            row = {**row, "prompt": row["prompt"].removesuffix(row["prefix"].strip()).rstrip()}
        place = row.get("problem")
        if problems is not None and isinstance(place, int) and 0 <= place < len(problems):
            row = {**problems[place], **row}
        problem = question(row.get("prompt")) if place is None else str(place)
        yield _completion(row, problem, number if place is None else of_problem[problem], path.name, digest)
        of_problem[problem] += 1


def _completion(row: Mapping[str, Any], problem: str, number: int, file: str, digest: str) -> Completion:
    written = row.get("completion", row.get("text"))
    sampled = "completion" not in row
    rewards = {n: _finite(v) for n, v in row.items() if n not in _NOT_REWARDS and type(v) in (int, float, type(None))}
    reason = str(row.get("reason") or row.get("verdict") or "")
    part = accuracy_part(list(rewards))
    logged = _finite(row.get("score")) if sampled else rewards[part] if part else _RIGHT.get(reason)
    columns = _filled({name: row.get(name) for name in GOLD_COLUMNS})
    finished, level, prompt = row.get("finished"), row.get("level"), row.get("prompt")
    if not sampled and reason in _RIGHT:
        finished = reason not in ("no_answer", "several_answers")
    elif not sampled and reason not in ("gold_unparseable", "scorer_error"):  # as read now
        finished = read(written, kinds_of({name: [value] for name, value in columns.items()}, 1)[0]).finished
    return Completion(
        text=str(row.get("prefix") or "") + _all_text(written),
        problem=problem,
        prompt=[_filled(message) for message in prompt] if isinstance(prompt, list) else prompt,
        score=logged,
        reason=reason,
        tokens=None if row.get("tokens") is None else int(row["tokens"]),
        finished=None if finished is None else bool(finished),
        step=row.get("step"),
        sample=number,
        level=None if level is None else str(level),
        rewards={"outcome_verifier": logged} if sampled else rewards,
        extra=_filled(row.get("task_metrics") or {}),
        columns=columns,
        messages=1 if isinstance(written, str) else len(written or ()),
        gold=row.get("compared_gold") or row.get("parsed_gold") or None,
        answer=row.get("compared_answer") or row.get("parsed_answer") or None,
        file=file,
        sha256=digest,
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _all_text(completion: Any) -> str:
    """Everything the model wrote: each turn, with the reasoning that a chat template stores separately."""
    if completion is None or isinstance(completion, str):
        return completion or ""
    turns = [message for message in completion if message.get("role", "assistant") == "assistant"]
    parts = [completion_text({"content": turn.get(key)}) for turn in turns for key in (*_REASONING_KEYS, "content")]
    return "\n".join(part for part in parts if part)


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without the empty ones that Parquet adds to every row."""
    return {name: value for name, value in fields.items() if value is not None}
