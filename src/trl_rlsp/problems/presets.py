"""Known datasets on the Hub: where their problems and answers are.

One `Preset` per dataset, found by its short name or its hub id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """How to read one dataset of the Hub.

    Attributes:
        hub_id: `owner/name`.
        columns: role (`problem`, `answer`, `tests`, `level`, `subject`, `id`) -> column name.
        split: the split read when none is asked for.
        name: the configuration read when none is asked for.
        revision: branch to read where the default branch cannot be.
        keep: leaves a raw row out when it returns `False`.
    """

    hub_id: str
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str = "train"
    name: str | None = None
    revision: str | None = None
    keep: Callable[[Mapping[str, Any]], bool] | None = None


def before_2024(row: Mapping[str, Any]) -> bool:
    """Whether an AIME row is of 1983 to 2023, so that AIME 2024 stays unseen for the evaluation.

    Args:
        row: a raw row with a `Year` column.

    Returns:
        `True` for the rows to train on.
    """
    return int(row["Year"]) < 2024


_AIME = {"problem": "Question", "answer": "Answer", "id": "ID", "subject": "Year", "level": "Problem Number"}
_MATH = {"problem": "problem", "answer": "solution", "level": "level", "subject": "type"}
_MATH_500 = {
    "problem": "problem",
    "answer": "answer",
    "level": "level",
    "subject": "subject",
    "id": "unique_id",
}
_CODE_CONTESTS = {"problem": "description", "id": "name", "level": "difficulty"}
_APPS = {"problem": "question", "tests": "input_output", "id": "problem_id", "level": "difficulty"}
_MBPP = {"problem": "text", "tests": "test_list", "id": "task_id"}
_HUMANEVAL = {"problem": "prompt", "tests": "test", "id": "task_id"}

PRESETS: dict[str, Preset] = {
    "math": Preset("DigitalLearningGmbH/MATH-lighteval", _MATH),
    "math-500": Preset("HuggingFaceH4/MATH-500", _MATH_500, split="test"),
    "aime": Preset("di-zhang-fdu/AIME_1983_2024", _AIME, keep=before_2024),
    "aime-2024": Preset("HuggingFaceH4/aime_2024", {"problem": "problem", "answer": "answer", "id": "id"}),
    "gsm8k": Preset("openai/gsm8k", {"problem": "question", "answer": "answer"}, name="main"),
    "code_contests": Preset("deepmind/code_contests", _CODE_CONTESTS),
    # The default branch of APPS is a loading script, which `datasets` no longer runs.
    "apps": Preset("codeparrot/apps", _APPS, revision="refs/convert/parquet"),
    "mbpp": Preset("google-research-datasets/mbpp", _MBPP, name="full"),
    "humaneval": Preset("openai/openai_humaneval", _HUMANEVAL, split="test"),
}


def find_preset(source: str) -> Preset | None:
    """The preset of a source, if there is one.

    Args:
        source: a short name (`math-500`) or a hub id, in any case.

    Returns:
        The preset, or `None`.
    """
    wanted = source.lower()
    for short_name, preset in PRESETS.items():
        if wanted in (short_name, preset.hub_id.lower()):
            return preset
    return None


PAPER_SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 8192}
"""How the paper samples for evaluation (2502.06773, section 3)."""

EVALUATION_PRESETS: dict[str, dict[str, Any]] = {
    # The paper does not say how many samples it averages over; 30 problems need more of them than 500.
    "math-500": {"dataset": "math-500", "num_samples": 4, **PAPER_SAMPLING},
    "aime-2024": {"dataset": "aime-2024", "num_samples": 16, **PAPER_SAMPLING},
}
"""Benchmark -> fields of an evaluation, for `rlsp eval --preset`."""
