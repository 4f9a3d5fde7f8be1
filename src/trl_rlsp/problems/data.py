r"""Any source of problems -> rows that the trainers, the verifier and the evaluation read.

A row has `prompt` (messages) and `solution` (text), and where the source gives them `task` (JSON of a
reasoning-gym entry), `tests` (JSON list of code tests), `level`, `subject` and `id` (text). Everything that
can be wrong with a source is an error here, before any model is loaded.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.problems import gym
from trl_rlsp.problems.columns import WITHOUT_ROLE, problem_rows, resolve_columns
from trl_rlsp.problems.presets import PRESETS, find_preset
from trl_rlsp.problems.readers import FILE_EXTENSIONS, Table, read_file, read_hub
from trl_rlsp.text import completion_text

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

DEFAULT_SYSTEM_PROMPT = (
    "Solve the problem. Think it through step by step before you answer: try different approaches, check "
    "your results, and go back when something does not work out. At the end give the final answer once, in "
    "\\boxed{}."
)
CODE_SYSTEM_PROMPT = (
    "Solve the programming problem in Python. Think it through step by step before you answer: try different "
    "approaches, check them against the examples, and go back when something does not work out. At the end "
    "give the complete program once, in a ```python block."
)

_OPTIONAL_COLUMNS = ("task", "tests", "level", "subject", "id")


def load_problems(
    source: str | Path,
    *,
    split: str | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    system_prompt: str | None = DEFAULT_SYSTEM_PROMPT,
    limit: int | None = None,
    seed: int = 0,
    prompt_style: gym.PromptStyle = "task",
    exclude: Dataset | Iterable[str | Mapping[str, Any]] | None = None,
    unique: bool = False,
    drop_invalid: bool = False,
) -> Dataset:
    r"""Load problems from the Hub, a local file or a generator.

    Args:
        source: a preset (`math`, `math-500`, `aime`, `aime-2024`, `gsm8k`, `code_contests`, `apps`, `mbpp`,
            `humaneval`) or any hub id `owner/name`; a `.jsonl`, `.json`, `.csv` or `.parquet` file, or a folder
            `datasets` can load; or `reasoning_gym:TASK?param=value&seed=1&size=500`.
        split: the split of a hub dataset or folder.
        name: the configuration of a hub dataset.
        columns: role (`problem`, `answer`, `tests`, `level`, `subject`, `id`) -> column, where they are not
            found by themselves.
        system_prompt: the system message; `None` for none. The default asks for reasoning and a boxed answer,
            in rows with tests for a Python program (`CODE_SYSTEM_PROMPT`).
        limit: keep at most this many: the first of a generator, else a sample drawn with `seed`, in order.
        seed: of that sample, and of a generator whose source gives none.
        prompt_style: for generators. `"compact"` renders the bare problem (countdown: `8 1 9 : 72`) and adds
            no system message.
        exclude: rows, or keys of `problem_key`, that must not occur, such as the held-out problems.
        unique: keep only the first of rows with the same problem.
        drop_invalid: leave out rows without a problem or an answer instead of raising.

    Returns:
        The rows, at least one.

    Raises:
        SourceError: the source does not exist or cannot be reached.
        ConfigError: an argument or a generator's parameter that cannot work.
        DataError: a broken, empty or incomplete file, row or column; or nothing is left after `exclude`.
        MissingDependencyError: reasoning-gym is needed and not installed.
    """
    _check_arguments(limit, exclude, prompt_style)
    source, filtered = str(source), unique or exclude is not None
    if source.startswith(gym.PREFIX):
        _refuse_for_generators(split=split, name=name, columns=columns)
        rows = gym.gym_rows(source, seed=seed, prompt_style=prompt_style, at_most=None if filtered else limit)
    elif prompt_style == "task":
        sampled = None if filtered or drop_invalid else limit
        rows = _stored_rows(source, split, name, columns, drop_invalid, sampled, seed)
    else:
        raise ConfigError(f"prompt_style={prompt_style!r} needs a reasoning_gym: source, got {source!r}")
    rows = [_with_prompt(row, None if prompt_style == "compact" else system_prompt) for row in rows]
    if filtered:
        rows = _without(rows, exclude, unique, source)
    if limit is not None and limit < len(rows):
        indices = sorted(random.Random(seed).sample(range(len(rows)), limit))
        rows = rows[:limit] if source.startswith(gym.PREFIX) else [rows[index] for index in indices]
    return _to_dataset(rows)


def _check_arguments(limit: int | None, exclude: Any, prompt_style: str) -> None:
    if prompt_style not in ("task", "compact"):
        raise ConfigError(f"prompt_style must be 'task' or 'compact', got {prompt_style!r}")
    if isinstance(exclude, str):
        raise ConfigError(f"exclude takes rows or keys, got the text {exclude!r}: load its rows first")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, got {limit}; leave it out to keep every row")


def _refuse_for_generators(**arguments: Any) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]}= has no meaning for a generated source; its parameters go after the '?'")


def _stored_rows(
    source: str,
    split: str | None,
    name: str | None,
    columns: Mapping[str, str] | None,
    drop_invalid: bool,
    limit: int | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of a file or of the Hub; of at most `limit` of them only the columns that are needed are decoded."""
    preset = find_preset(source)
    table = read_table(source, split=split, name=name)
    roles = resolve_columns(table, columns, preset.columns if preset else None)
    table = table.only([*roles.values(), *WITHOUT_ROLE, *(preset.columns.values() if preset else ())])
    if preset and preset.keep:
        table = table.select([index for index, row in enumerate(table.rows) if preset.keep(row)])
    return problem_rows(table.sample(limit, seed), roles, drop_invalid=drop_invalid)


def read_table(source: str | Path, *, split: str | None = None, name: str | None = None) -> Table:
    """Read the raw rows of a file, folder, preset or hub id.

    Args:
        source: as in `load_problems`, without generators.
        split: the split of a hub dataset or folder.
        name: the configuration of a hub dataset.

    Returns:
        The raw rows.

    Raises:
        SourceError: the source is of no known kind, does not exist or cannot be reached.
        ConfigError: a split or configuration was asked of a file, or the file has an unknown extension.
        DataError: the file is broken or empty.
    """
    path = Path(source)
    source = str(source)
    preset = find_preset(source)
    if path.is_file() or path.suffix.lower() in FILE_EXTENSIONS:
        if split is not None or name is not None:
            raise ConfigError(f"a file has neither splits nor configurations, got split={split!r}, name={name!r}")
        return read_file(path)
    if path.is_dir() and preset is None:
        return read_hub(source, name=name, split=split)
    if preset is not None:
        return read_hub(preset.hub_id, name=name or preset.name, split=split or preset.split, revision=preset.revision)
    if source.count("/") == 1 and not source.startswith((".", "/", "~")) and not source.endswith("/"):
        return read_hub(source, name=name, split=split)
    raise SourceError(
        f"unknown source {source!r}: give a preset ({', '.join(PRESETS)}), a hub id owner/name, a file that "
        f"exists ({', '.join(FILE_EXTENSIONS)}) or reasoning_gym:TASK?param=value"
    )


def prompt_messages(problem: str | list[dict[str, Any]], system_prompt: str | None) -> list[dict[str, Any]]:
    """The messages a model is asked with.

    Args:
        problem: the text of the user's message, or messages, which get the system message only if they have
            none.
        system_prompt: the system message; `None` for none.

    Returns:
        The messages.
    """
    messages = problem if isinstance(problem, list) else [{"role": "user", "content": problem}]
    if system_prompt is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def _with_prompt(row: dict[str, Any], system_prompt: str | None) -> dict[str, Any]:
    if row.get("tests") is not None and system_prompt == DEFAULT_SYSTEM_PROMPT:
        system_prompt = CODE_SYSTEM_PROMPT
    row["prompt"] = prompt_messages(row.pop("problem"), system_prompt)
    return row


def problem_key(row: Mapping[str, Any]) -> str:
    """A text that two rows share exactly when they pose the same problem.

    Args:
        row: a row of `load_problems`.

    Returns:
        For tasks in `gym.PROBLEM_KEYS` what defines the problem (countdown: sorted numbers and target), else
        the last user message (without one the last message) without differences in blanks and case.

    Raises:
        DataError: a prompt without any text.
    """
    if row.get("task"):
        task = json.loads(row["task"])
        if task["name"] in gym.PROBLEM_KEYS:
            return f"{task['name']}: {gym.PROBLEM_KEYS[task['name']](task['entry']['metadata'])}"
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        asked = [message for message in prompt if message.get("role") == "user"] or prompt
        prompt = asked[-1].get("content") if asked else None
    key = completion_text({"content": prompt}) if prompt else ""
    if not key.strip():
        raise DataError(
            f"a prompt without any text poses no problem: got {row['prompt']!r}; drop such rows, or give their "
            "text in a message of the role user"
        )
    return " ".join(key.split()).casefold()


def task_name(row: Mapping[str, Any]) -> str | None:
    """Name of the generated task that a row of `load_problems` is of; `None` for other rows."""
    return str(json.loads(row["task"])["name"]) if row.get("task") else None


def _without(
    rows: list[dict[str, Any]],
    exclude: Dataset | Iterable[str | Mapping[str, Any]] | None,
    unique: bool,
    source: str,
) -> list[dict[str, Any]]:
    excluded = {item if isinstance(item, str) else problem_key(item) for item in exclude or ()}
    seen: set[str] = set()
    kept = []
    for row in rows:
        key = problem_key(row)
        if key in excluded or (unique and key in seen):
            continue
        seen.add(key)
        kept.append(row)
    if not kept:
        raise DataError(f"every problem of {source} is excluded: take another split, seed or size")
    if len(kept) < len(rows):
        logger.info("%s: %d of %d rows left out as excluded or repeated", source, len(rows) - len(kept), len(rows))
    return kept


def _to_dataset(rows: list[dict[str, Any]]) -> Dataset:
    from datasets import Dataset

    optional = [name for name in _OPTIONAL_COLUMNS if any(row.get(name) is not None for row in rows)]
    names = ["prompt", "solution", *optional]
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in names})
