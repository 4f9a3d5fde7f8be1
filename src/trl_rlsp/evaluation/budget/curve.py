"""Accuracy against tokens: one evaluation a thinking budget, on the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.evaluation.budget.budgeted import BudgetedModel, end_tokens
from trl_rlsp.evaluation.budget.processor import ThinkingBudget, Usage
from trl_rlsp.evaluation.budget.token_strings import TokenString
from trl_rlsp.evaluation.compare import compare
from trl_rlsp.evaluation.evaluate import draw, evaluate_samples
from trl_rlsp.evaluation.metrics import Evaluation, ScoredSample
from trl_rlsp.generation import Sampling, TransformersEngine

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trl_rlsp.rewards.outcome import OutcomeVerifier

Mode = str
"""`at most`: the budget is a ceiling. `forced`: it is floor and ceiling. `free`: no budget."""


@dataclass(frozen=True)
class Wording:
    """What a budget makes a model write; see `ThinkingBudget`."""

    continuation: TokenString = "Wait"
    answer: TokenString = "\\boxed{"
    ends: Sequence[TokenString] | None = None
    settled: Sequence[TokenString] = ()
    answer_tokens: int = 32


@dataclass(frozen=True)
class Point:
    """One model at one budget.

    Attributes:
        model: its name.
        mode: `at most`, `forced` or `free`.
        budget: reasoning tokens; `None` in mode `free`.
        figures: accuracy, tokens and more, each with its 95 % interval over problems.
        cut: share of the completions whose answer was forced.
    """

    model: str
    mode: Mode
    budget: int | None
    figures: Evaluation
    cut: float


@dataclass
class Curve:
    """The points of one model, with the samples behind each."""

    points: list[Point] = field(default_factory=list)
    samples: list[list[ScoredSample]] = field(default_factory=list)

    def add(self, point: Point, samples: list[ScoredSample]) -> None:
        """One more point."""
        self.points.append(point)
        self.samples.append(samples)

    def gain(self, mode: Mode) -> Estimate | None:
        """Accuracy at the largest budget minus that at the smallest, paired by problem.

        Returns:
            `None` with fewer than two budgets in this mode.
        """
        found = sorted((point.budget, i) for i, point in enumerate(self.points) if point.mode == mode and point.budget)
        if len(found) < 2:
            return None
        return compare(self.samples[found[0][1]], self.samples[found[-1][1]])["pass@1"].difference


def measure(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    sampling: Sampling,
    wording: Wording,
    mode: Mode,
    budget: int | None,
    verifier: OutcomeVerifier,
) -> tuple[Point, list[ScoredSample]]:
    """Sample and score at one budget.

    Args:
        name: the model's name in tables.
        model, tokenizer: a causal language model and its tokenizer, padding on the left.
        dataset: P rows as `load_problems` gives them.
        sampling: how to draw; with a budget, `max_new_tokens` gives way to the budget's own end.
        wording: what a budget makes the model write.
        mode: `at most`, `forced` or `free`.
        budget: reasoning tokens; `None` in mode `free`.
        verifier: decides what is right.

    Returns:
        The point, and the P * n samples in the order of the problems.

    Raises:
        ConfigError: a budget that cannot work.
    """
    limited = limits(tokenizer, model, wording, mode, budget)
    budgeted: Any = model
    if limited is not None:
        budgeted = BudgetedModel(model, limited)
        sampling = replace(sampling, max_new_tokens=limited.longest or sampling.max_new_tokens)
    drawn = draw(TransformersEngine(budgeted, tokenizer), dataset, sampling)
    figures, scored = evaluate_samples(drawn, dataset, verifier=verifier)
    usage = Usage() if limited is None else limited.usage()
    return Point(name, mode, budget, figures, usage.cut / len(scored)), scored


def limits(
    tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, wording: Wording, mode: Mode, budget: int | None
) -> ThinkingBudget | None:
    """The budget of a point; `None` in mode `free`.

    Raises:
        ConfigError: an unknown mode, a budget where there must be none or none where there must be one.
    """
    if mode not in ("at most", "forced", "free") or (budget is None) != (mode == "free"):
        raise ConfigError(
            f"mode is 'at most' or 'forced' with a budget, or 'free' without, got {mode!r} and {budget!r}"
        )
    if budget is None:
        return None
    at_least = budget if mode == "forced" else 0
    return ThinkingBudget(tokenizer, at_least=at_least, at_most=budget, eos=end_tokens(model), **_fields(wording))


def _fields(wording: Wording) -> dict[str, Any]:
    return {name: getattr(wording, name) for name in asdict(wording)}
