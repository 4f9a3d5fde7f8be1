r"""Load problems from any source as rows for the trainers, the verifier and the evaluation.

A row has `prompt` (messages) and `solution` (text), and if the source has them, `task` (JSON of a reasoning-gym entry),
`tests` (JSON list of code tests), `level`, `subject` and `id` (text).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.problems import gym
from trl_rlsp.problems._tables import (
    FILE_EXTENSIONS,
    WITHOUT_ROLE,
    Table,
    problem_rows,
    read_file,
    read_hub,
    resolve_columns,
    sample,
)
from trl_rlsp.text import GOLD_COLUMNS, completion_text

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

DEFAULT_SYSTEM_PROMPT = (
    "Solve the problem. Think it through step by step before you answer: try different approaches, check your results, "
    "and go back when something does not work out. At the end give the final answer once, in \\boxed{}."
)
CODE_SYSTEM_PROMPT = (
    "Solve the programming problem in Python. Think it through step by step before you answer: try different "
    "approaches, check them against the examples, and go back when something does not work out. At the end "
    "give the complete program once, in a ```python block."
)


@dataclass(frozen=True)
class Preset:
    """How to read one dataset of the Hub, with its default split and configuration."""

    hub_id: str
    split: str = "train"
    name: str | None = None
    revision: str | None = None  # branch to read if the default branch cannot be read
    columns: Mapping[str, str] = field(default_factory=dict)  # role -> column, for those not found by name
    keep: Callable[[Mapping[str, Any]], bool] | None = None  # drops a raw row if it returns `False`


PRESETS: dict[str, Preset] = {
    "math": Preset("DigitalLearningGmbH/MATH-lighteval"),
    "math-500": Preset("HuggingFaceH4/MATH-500", split="test"),
    "aime": Preset(
        "di-zhang-fdu/AIME_1983_2024",
        columns={"subject": "Year", "level": "Problem Number"},
        keep=lambda row: int(row["Year"]) < 2024,  # AIME 2024 is held out for the evaluation
    ),
    "aime-2024": Preset("HuggingFaceH4/aime_2024"),
    "gsm8k": Preset("openai/gsm8k", name="main"),
    "code_contests": Preset("deepmind/code_contests"),
    # the default branch of APPS is a loading script, which `datasets` no longer supports
    "apps": Preset("codeparrot/apps", revision="refs/convert/parquet"),
    "mbpp": Preset("google-research-datasets/mbpp", name="full"),
    "humaneval": Preset("openai/openai_humaneval", split="test"),
}

_OPTIONAL = (*(name for name in GOLD_COLUMNS if name != "solution"), "level", "subject", "id")  # columns of the rows

# sampling parameters of the paper's evaluation (2502.06773, section 3)
PAPER_SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 8192}

EVALUATION_PRESETS: dict[str, dict[str, Any]] = {  # 30 problems need more samples than 500; the paper gives no number
    "math-500": {"dataset": "math-500", "num_samples": 4, **PAPER_SAMPLING},
    "aime-2024": {"dataset": "aime-2024", "num_samples": 16, **PAPER_SAMPLING},
}
"""Benchmark -> fields of an evaluation, for `rlsp eval --preset`."""


def find_preset(source: str) -> Preset | None:
    """The preset for a short name (`math-500`) or hub id, ignoring case; `None` if there is none."""
    return ({preset.hub_id.lower(): preset for preset in PRESETS.values()} | PRESETS).get(source.lower())


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
        source: one of `PRESETS` (`math`, `math-500`, `aime`, `aime-2024`, `gsm8k`, `code_contests`, `apps`, `mbpp`,
            `humaneval`) or any hub id `owner/name`; a `.jsonl`, `.json`, `.csv` or `.parquet` file, or a folder
            `datasets` can load; or `reasoning_gym:TASK?param=value&seed=1&size=500`.
        split: split of a hub dataset or folder.
        name: configuration of a hub dataset.
        columns: role (`problem`, `answer`, `tests`, `level`, `subject`, `id`) -> column, for those not found by name.
        system_prompt: the default asks for reasoning and a boxed answer, or a Python program in rows with tests.
        limit: maximum number of rows: the first of a generator, else a sample drawn with `seed`, in original order.
        seed: seed of that sample, and of a generator whose source has none.
        prompt_style: for generators; `"compact"` is the bare problem (`8 1 9 : 72`) without a system message.
        exclude: rows, or keys from `problem_key`, whose problems are dropped, such as held-out problems.
        unique: keep only the first of several rows with the same problem.
        drop_invalid: drop rows without a problem or an answer instead of raising.

    Raises:
        SourceError: the source does not exist or cannot be reached.
        ConfigError: an argument or a parameter of a generator is invalid.
        DataError: a file, row or column is broken, empty or incomplete; or no rows are left after `exclude`.
    """
    from datasets import Dataset

    if isinstance(exclude, str):
        raise ConfigError(f"exclude takes rows or keys, got the text {exclude!r}: load its rows first")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, got {limit}; leave it out to keep every row")
    source, filtered = str(source), unique or exclude is not None
    generated = source.startswith(gym.PREFIX)
    _check_options(source, generated, prompt_style, {"split": split, "name": name, "columns": columns})
    if generated:
        rows = gym.gym_rows(source, seed=seed, prompt_style=prompt_style, at_most=None if filtered else limit)
    else:
        table, roles = _problem_table(source, split, name, columns)
        rows = problem_rows(table if filtered or drop_invalid else table.sample(limit, seed), roles, drop_invalid)
    for row in rows:
        own = CODE_SYSTEM_PROMPT if "tests" in row and system_prompt == DEFAULT_SYSTEM_PROMPT else system_prompt
        row["prompt"] = prompt_messages(row["problem"], None if prompt_style == "compact" else own)
    if filtered:
        rows = _without(rows, exclude, unique, source)
    rows = rows[:limit] if generated else [rows[index] for index in sample(len(rows), limit, seed)]
    optional = [c for c in _OPTIONAL if any(row.get(c) is not None for row in rows)]
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in ("prompt", "solution", *optional)})


def _check_options(source: str, generated: bool, prompt_style: str, of_tables: Mapping[str, Any]) -> None:
    """Raise a ConfigError for options that do not belong to the kind of source."""
    if prompt_style not in ("task", "compact"):
        raise ConfigError(f"prompt_style must be 'task' or 'compact', got {prompt_style!r}")
    if prompt_style == "compact" and not generated:
        raise ConfigError(f"prompt_style={prompt_style!r} needs a reasoning_gym: source, got {source!r}")
    if generated and (unused := [name for name, value in of_tables.items() if value is not None]):
        raise ConfigError(f"{unused[0]}= has no meaning for a generated source; its parameters go after the '?'")


def _problem_table(
    source: str, split: str | None, name: str | None, columns: Mapping[str, str] | None
) -> tuple[Table, dict[str, str]]:
    """The rows of a source that its preset keeps, in the columns that are read, and role -> column."""
    preset, table = find_preset(source), read_table(source, split=split, name=name)
    roles = resolve_columns(table, {**(preset.columns if preset else {}), **(columns or {})})
    table = table.only([*roles.values(), *WITHOUT_ROLE])
    if preset and preset.keep:
        table = table.select([index for index, row in enumerate(table.rows) if preset.keep(row)])
    return table, roles


def read_table(source: str | Path, *, split: str | None = None, name: str | None = None) -> Table:
    """The raw rows of a source of `load_problems` other than a generator; raises the same errors."""
    path, source = Path(source), str(source)
    preset = find_preset(source)
    if path.is_file() or path.suffix.lower() in FILE_EXTENSIONS:
        if split is not None or name is not None:
            raise ConfigError(f"a file has neither splits nor configurations, got split={split!r}, name={name!r}")
        return read_file(path)
    if preset is not None:
        return read_hub(preset.hub_id, name=name or preset.name, split=split or preset.split, revision=preset.revision)
    if path.is_dir() or (source.count("/") == 1 and source[0] not in "./~" and not source.endswith("/")):
        return read_hub(source, name=name, split=split)
    raise SourceError(
        f"unknown source {source!r}: give a preset ({', '.join(PRESETS)}), a hub id owner/name, a file that "
        f"exists ({', '.join(FILE_EXTENSIONS)}) or reasoning_gym:TASK?param=value"
    )


def prompt_messages(problem: str | list[dict[str, Any]], system_prompt: str | None) -> list[dict[str, Any]]:
    """The prompt messages of a problem (text or messages), with a system message first unless it already has one."""
    messages = problem if isinstance(problem, list) else [{"role": "user", "content": problem}]
    if system_prompt is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


def problem_key(row: Mapping[str, Any]) -> str:
    """A key that is equal for two rows of `load_problems` exactly if they pose the same problem.

    For tasks in `gym.PROBLEM_KEYS`, it is their defining data (countdown: sorted numbers and target); otherwise the
    last user message (else the last message), normalized for whitespace and case. DataError: the prompt has no text.
    """
    name = task_name(row)
    if name in gym.PROBLEM_KEYS:
        return f"{name}: {gym.PROBLEM_KEYS[name](json.loads(row['task'])['entry']['metadata'])}"
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        asked = [message for message in prompt if message.get("role") == "user"] or prompt
        prompt = asked[-1].get("content") if asked else None
    key = completion_text({"content": prompt}) if prompt else ""
    if not key.strip():
        raise DataError(f"a prompt must contain text, got {row['prompt']!r}; drop such rows")
    return " ".join(key.split()).casefold()


def task_name(row: Mapping[str, Any]) -> str | None:
    """Name of the generated task that a row of `load_problems` belongs to; `None` for other rows."""
    return str(json.loads(row["task"])["name"]) if row.get("task") else None


def _without(rows: list[dict[str, Any]], exclude: Any, unique: bool, source: str) -> list[dict[str, Any]]:
    """The rows whose problem is not excluded and, with `unique`, not repeated."""
    seen = {item if isinstance(item, str) else problem_key(item) for item in exclude or ()}
    kept = []
    for row, key in zip(rows, map(problem_key, rows), strict=True):
        kept += [row] if key not in seen else []
        seen |= {key} if unique else set()
    if not kept:
        raise DataError(f"every problem of {source} is excluded: choose another split, seed or size")
    if len(kept) < len(rows):
        logger.info("%s: dropped %d of %d rows as excluded or repeated", source, len(rows) - len(kept), len(rows))
    return kept
