r"""(problem, reasoning, answer) -> rows for supervised fine-tuning.

Every completion returned gives exactly one final answer as defined by `trl_rlsp.text.read`: a model trained on anything
else would learn to give completions that earn no reward.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.problems._tables import CANDIDATES, WORKED_COLUMNS, cell_text, final_answer, last_boxed, match_columns
from trl_rlsp.problems.data import DEFAULT_SYSTEM_PROMPT, prompt_messages, read_table
from trl_rlsp.text import find_boxes, read

if TYPE_CHECKING:
    from datasets import Dataset

Style = Literal["messages", "prompt_completion", "plain"]

DEFAULT_TEMPLATE = "{reasoning}\n\n\\boxed{{answer}}"
REASONING = ("reasoning", "reasoning_trace", "thinking", "trace", "cot", "rationale", "generation", *WORKED_COLUMNS)
ROLES = {"problem": CANDIDATES["problem"], "reasoning": REASONING, "answer": CANDIDATES["answer"]}

_FIELD = re.compile(r"\{(reasoning|answer)\}")
_HASH_LINE = re.compile(r"\n?####[^\n]*\s*\Z")
_AFTER_BOX = re.compile(r"[\s$.!]*(?:\\[\])])?[\s$.!]*")


def demonstration_rows(
    rows: Iterable[Mapping[str, Any]],
    *,
    style: Style = "messages",
    system_prompt: str | None = DEFAULT_SYSTEM_PROMPT,
    reasoning_template: str = DEFAULT_TEMPLATE,
    drop_invalid: bool = False,
) -> list[dict[str, Any]]:
    r"""Turn (problem, reasoning, answer) rows into training rows.

    Args:
        rows: mappings with `problem` (text) or `prompt` (text or messages, used unchanged), `reasoning`,
            and `answer`; without an answer, the reasoning must end with a box.
        style: `"messages"` for instruct models; `"prompt_completion"` for the same with the loss on the
            completion only, for any chat template; `"plain"` (text) for models without a chat template.
        system_prompt: the system message for rows with a `problem`.
        reasoning_template: template of the completion; `{reasoning}` and `{answer}` are replaced, other braces are
            kept. For a model that thinks in tags: `"<think>\n{reasoning}\n</think>\n\n\\boxed{{answer}}"`.
        drop_invalid: drop rows whose completion would not give exactly one answer instead of raising.

    Raises:
        ConfigError: unknown style, or a template without both fields.
        DataError: a row has no problem or reasoning, or its completion gives no answer or several.
    """
    if style not in get_args(Style):
        raise ConfigError(f"style must be 'messages', 'prompt_completion' or 'plain', got {style!r}")
    if set(_FIELD.findall(reasoning_template)) != {"reasoning", "answer"}:
        raise ConfigError(f"a template needs {{reasoning}} and {{answer}}, got {reasoning_template!r}")
    finished = []
    for number, row in enumerate(rows, start=1):
        try:
            completion = completion_text(row.get("reasoning"), row.get("answer"), reasoning_template)
            finished.append(_styled(row, system_prompt, completion, style))
        except DataError as error:
            if not drop_invalid:
                raise DataError(f"demonstration {row.get('place', number)}: {error}") from error
    return finished


def completion_text(reasoning: Any, answer: Any = None, template: str = DEFAULT_TEMPLATE) -> str:
    r"""Reasoning followed by its boxed answer, once.

    A final line `#### answer` of the reasoning is dropped; a final box with the same answer is not repeated. `answer`
    is bare, boxed or at the end of a worked solution; `None` uses the reasoning's own box. DataError: no reasoning, no
    answer, or a completion with several different answers.

    >>> completion_text("3 + 4 = 7.", "7")
    '3 + 4 = 7.\n\n\\boxed{7}'
    >>> completion_text(r"So it is \boxed{7}.", 7)
    'So it is \\boxed{7}.'
    """
    text = cell_text(reasoning)
    if not text:
        raise DataError("the reasoning is empty")
    own = last_boxed(text)
    bare = final_answer(answer) if cell_text(answer) else own
    if bare is None:
        raise DataError("there is neither an answer nor a box at the end of the reasoning")
    text = _HASH_LINE.sub("", text)
    between = template.split("{reasoning}")[1].partition("\\boxed")[0]
    boxes, _ = find_boxes(text)
    ends_in_box = bool(boxes) and _AFTER_BOX.fullmatch(text, boxes[-1].end)
    if own is not None and "".join(own.split()) == "".join(bare.split()) and ends_in_box and not between.strip():
        template = template.partition("{reasoning}")[0] + "{reasoning}"
    fields = {"reasoning": text, "answer": bare}
    completion = _FIELD.sub(lambda match: fields[match.group(1)], template)
    parsed = read(completion)
    if not parsed.finished:
        raise DataError(f"the completion gives no single answer ({parsed.reason}): ...{completion[-80:]!r}")
    return completion


def _styled(row: Mapping[str, Any], system_prompt: str | None, completion: str, style: Style) -> dict[str, Any]:
    prompt, problem = row.get("prompt"), cell_text(row.get("problem"))
    if not prompt and not problem:
        raise DataError("the problem is empty")
    prompt = prompt or prompt_messages(problem, system_prompt)
    if style == "plain":
        text = prompt if isinstance(prompt, str) else "".join(f"{turn['content']}\n\n" for turn in prompt)
        return {"prompt": text, "completion": completion}
    messages, answer = prompt_messages(prompt, None), [{"role": "assistant", "content": completion}]
    return {"messages": messages + answer} if style == "messages" else {"prompt": messages, "completion": answer}


def load_demonstrations(
    source: str | Path,
    *,
    split: str | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    style: Style = "messages",
    system_prompt: str | None = DEFAULT_SYSTEM_PROMPT,
    reasoning_template: str = DEFAULT_TEMPLATE,
    limit: int | None = None,
    seed: int = 0,
    drop_invalid: bool = False,
) -> Dataset:
    """Load demonstrations from a file, a folder or the Hub, like `load_problems` and with the same errors.

    `source` cannot be a generator; `columns` maps roles (`problem`, `reasoning`, `answer`) not found by name. `style`,
    `system_prompt`, `reasoning_template` and `drop_invalid` are those of `demonstration_rows`.
    """
    from datasets import Dataset

    table = read_table(source, split=split, name=name)
    roles = match_columns(table, ROLES, columns, "problem", "reasoning")
    table = table.only(roles.values()).sample(limit, seed)
    picked = []
    for index, raw in enumerate(table.rows):
        row = {role: raw.get(column) for role, column in roles.items()} | {"place": f"on {table.place(index)}"}
        picked.append(row | {"prompt": row["problem"]} if isinstance(row["problem"], list) else row)
    options: Any = {"style": style, "system_prompt": system_prompt, "reasoning_template": reasoning_template}
    rows = demonstration_rows(picked, drop_invalid=drop_invalid, **options)
    if not rows:
        raise DataError(f"no row of {table.name} is a demonstration with exactly one answer")
    return Dataset.from_list(rows)
