"""Accuracy and effort of a model on a set of problems, with intervals.

The same verifier that trains also scores here. Samples are written as JSONL beside the figures, so that they can be
read, and scored again without generating again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.answers import parse_completion
from trl_rlsp.errors import DataError
from trl_rlsp.generation import Sample, Sampling, generate
from trl_rlsp.rewards.outcome import OutcomeVerifier
from trl_rlsp.search import count_attempts
from trl_rlsp.statistics import Estimate, bootstrap_mean

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class ScoredSample:
    """A completion with its verdict.

    Attributes:
        problem: index of the problem in the data set.
        text: the completion.
        tokens: its length in tokens.
        finished: it gives a final answer within the limit.
        search_steps: attempts of a written-out countdown search; 0 in other text.
        score: 1.0, 0.0, a share, or `None` where the problem is not scorable.
        reason: why.
    """

    problem: int
    text: str
    tokens: int
    finished: bool
    search_steps: int
    score: float | None
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one data set; every `Estimate` has a 95 % bootstrap interval over problems.

    Attributes:
        pass_at_1: accuracy, averaged over the samples of each problem.
        tokens: completion tokens.
        finished: share of completions with a final answer.
        search_steps: attempts a completion.
        problems: problems evaluated.
        samples: completions a problem.
        not_scorable: completions left out of `pass_at_1` because their verdict is `None`.
    """

    pass_at_1: Estimate
    tokens: Estimate
    finished: Estimate
    search_steps: Estimate
    problems: int
    samples: int
    not_scorable: int


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    sampling: Sampling,
    *,
    verifier: OutcomeVerifier | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[Evaluation, list[ScoredSample]]:
    """Sample completions for every problem and score them.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, padding on the left.
        dataset: P rows as `load_problems` gives them.
        sampling: how to draw.
        verifier: default `OutcomeVerifier()`, closed at the end.
        on_batch: called with the number of completions done so far.

    Returns:
        The figures and the P * n samples, in the order of the problems.

    Raises:
        DataError: no problems.
    """
    if len(dataset) == 0:
        raise DataError("there are no problems to evaluate on")
    batches = generate(model, tokenizer, list(dataset["prompt"]), sampling, on_batch=on_batch)
    samples = sorted((s for batch in batches for s in batch), key=lambda s: s.prompt_index)
    if verifier is not None:
        scored = score_samples(samples, dataset, verifier)
    else:
        with OutcomeVerifier() as own:
            scored = score_samples(samples, dataset, own)
    return summarise(scored), scored


def score_samples(samples: Sequence[Sample], dataset: Dataset, verifier: OutcomeVerifier) -> list[ScoredSample]:
    """Verdicts of samples, in one batch; a truncated completion counts as it stands."""
    rows = [dataset[sample.prompt_index] for sample in samples]
    columns = {
        name: [row[name] for row in rows] for name in ("solution", "task", "tests") if name in dataset.column_names
    }
    texts = [sample.text for sample in samples]
    verdicts = verifier.verdicts(texts, prompts=[row["prompt"] for row in rows], **columns)
    return [
        ScoredSample(
            problem=sample.prompt_index,
            text=sample.text,
            tokens=sample.tokens,
            finished=not sample.truncated and parse_completion(sample.text).finished,
            search_steps=count_attempts(sample.text),
            score=verdict.score,
            reason=verdict.reason,
        )
        for sample, verdict in zip(samples, verdicts, strict=True)
    ]


def summarise(samples: Sequence[ScoredSample]) -> Evaluation:
    """Figures of scored samples.

    Raises:
        DataError: no sample is scorable.
    """
    by_problem: dict[int, list[ScoredSample]] = {}
    for sample in samples:
        by_problem.setdefault(sample.problem, []).append(sample)
    groups = list(by_problem.values())

    def estimate(value: Callable[[ScoredSample], float | None]) -> Estimate:
        means = []
        for group in groups:
            known = [v for v in map(value, group) if v is not None]
            if known:
                means.append(sum(known) / len(known))
        if not means:
            raise DataError("no completion is scorable: check the gold answers with `rlsp check`")
        return bootstrap_mean(means)

    return Evaluation(
        pass_at_1=estimate(lambda s: s.score),
        tokens=estimate(lambda s: float(s.tokens)),
        finished=estimate(lambda s: float(s.finished)),
        search_steps=estimate(lambda s: float(s.search_steps)),
        problems=len(groups),
        samples=max(len(group) for group in groups),
        not_scorable=sum(s.score is None for s in samples),
    )


def save_evaluation(
    evaluation: Evaluation, samples: Sequence[ScoredSample], folder: Path, settings: dict[str, Any]
) -> None:
    """Write `samples.jsonl` and, last, `metrics.json` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "samples.jsonl", "w", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")
    figures = {**asdict(evaluation), "settings": settings}
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `save_evaluation` wrote.

    Raises:
        DataError: the folder holds no complete evaluation.
    """
    try:
        figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        figures.pop("settings")
        estimates: dict[str, Any] = {k: Estimate(**v) if isinstance(v, dict) else v for k, v in figures.items()}
        return Evaluation(**estimates)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder} holds no complete evaluation: run `rlsp eval` again ({error})") from error
