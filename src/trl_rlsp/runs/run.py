"""What a report is made of: a run, its evaluations, the history of its RL stage, and completions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl_rlsp.evaluation.bootstrap import Estimate

ACCURACY_PARTS = ("outcome_verifier", "accuracy")
"""Names, or parts of names, of reward functions that say whether the outcome is right, in order of preference."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion with its verdict.

    Attributes:
        problem: what completions of the same problem share: the index in the data set, or the prompt.
        text: the completion; nobody vouches for what it holds.
        score: 1.0, 0.0, a share, or `None` where it is not scorable.
        reason: the verdict's reason, `""` if none was recorded.
        prompt: the problem, `""` if not recorded.
        tokens: length in tokens, `None` if not recorded.
        finished: it ends with a final answer within the limit; `None` if not recorded.
        step: training step, `None` in an evaluation.
        sample: number among the completions of its problem.
        level: difficulty as the data set gives it.
        search_steps: attempts of a written-out search; `None` if not recorded.
        rewards: reward function -> value, `None` where it gave none.
    """

    problem: str
    text: str
    score: float | None
    reason: str = ""
    prompt: str = ""
    tokens: int | None = None
    finished: bool | None = None
    step: int | None = None
    sample: int = 0
    level: str | None = None
    search_steps: int | None = None
    rewards: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """One model on one data set.

    Attributes:
        name: the model's name in the run: `start`, `SFT`, `RLSP`.
        figures: name -> estimate with its 95 % interval, as `metrics.json` gives them.
        settings: data set and sampling.
        completions: every sample.
        problems_hash: hash of the problems, empty in evaluations of the first version.
    """

    name: str
    figures: Mapping[str, Estimate]
    settings: Mapping[str, Any]
    completions: Sequence[Completion]
    problems_hash: str = ""

    @property
    def problem_set(self) -> tuple[str, ...]:
        """What must be equal for problem 7 of two evaluations to be the same problem."""
        if self.problems_hash:
            return (self.problems_hash,)
        names = ("dataset", "dataset_split", "dataset_config", "dataset_limit", "dataset_seed", "unique_problems")
        return tuple(str(self.settings.get(name)) for name in names)


@dataclass(frozen=True)
class Run:
    """A run folder, or the output folder of a GRPO trainer.

    Attributes:
        name: its name in the report.
        folder: where it was read.
        evaluations: in order of training.
        history: entries of `log_history` of the RL stage, in order.
        completions: completions that the RL stage logged, in order of their step.
        missing: what was looked for and is not there, in words.
    """

    name: str
    folder: Path
    evaluations: Sequence[Evaluated] = ()
    history: Sequence[Mapping[str, Any]] = ()
    completions: Sequence[Completion] = ()
    missing: Sequence[str] = ()


def accuracy_part(names: Sequence[str]) -> str | None:
    """The reward function among `names` that is the accuracy, if one is.

    Example:
        >>> accuracy_part(["format_reward", "accuracy_reward"])
        'accuracy_reward'
    """
    for wanted in ACCURACY_PARTS:
        for name in names:
            if wanted in name:
                return name
    return None


def natural(name: str) -> list[str]:
    """Key that sorts numbers in names by their value.

    Example:
        >>> sorted(["pass@16", "pass@4"], key=natural)
        ['pass@4', 'pass@16']
    """
    return [f"{int(part):09d}" if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def mean(values: Sequence[float]) -> float | None:
    """Mean, `None` of nothing."""
    return sum(values) / len(values) if values else None


def by_problem(completions: Sequence[Completion]) -> dict[str, list[Completion]]:
    """Completions of each problem, in the order in which the problems first occur."""
    groups: dict[str, list[Completion]] = {}
    for completion in completions:
        groups.setdefault(completion.problem, []).append(completion)
    return groups


def accuracy(completions: Sequence[Completion]) -> float | None:
    """Mean score of those that are scorable, `None` if none is."""
    return mean([c.score for c in completions if c.score is not None])
