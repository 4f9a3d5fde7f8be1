"""Warnings of the report: each check examines one run and yields its evidence, or nothing if its data is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.evaluation import known_mean
from trl_rlsp.runs import Run, StepMetrics, accuracy_key, change, difference, last_mean, reward_parts, values_of


@dataclass(frozen=True)
class RunWarning:
    """A warning about a run: a stable `kind`, the observation, the numbers behind it, and advice."""

    kind: str
    run: str
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Thresholds:
    """The smallest shares and changes that cause a warning; `docs/report.md` explains each."""

    accuracy_fall: float = 0.02
    reward_rise: float = 0.01
    cut_off: float = 0.10
    repetition_rise: float = 0.10
    zero_variance: float = 0.5
    judge_prefers_wrong: float = 0.6
    judge_pairs: int = 30
    not_scorable: float = 0.02
    fewest: int = 20


DEFAULTS = Thresholds()
Steps = Sequence[StepMetrics]


def find(run: Run, steps: Steps, thresholds: Thresholds = DEFAULTS) -> list[RunWarning]:
    """All warnings about one run, given the step metrics of its logged completions."""
    texts = yaml.safe_load(Path(__file__).with_name("warnings.yaml").read_text(encoding="utf-8"))
    return [
        RunWarning(kind, run.name, evidence=evidence, **texts[kind])
        for kind, check in CHECKS.items()
        for evidence in check(run, steps, thresholds)
    ]


def _reward_without_accuracy(run: Run, _: Steps, thresholds: Thresholds) -> Iterator[str]:
    """Uses the accuracy on held-out problems if it was measured and falls, else the accuracy in training."""
    reward = change(values_of(run.history, "reward")[1])
    if reward is None or not reward.rises(thresholds.reward_rise):
        return
    changes = {part: change(values_of(run.history, f"rewards/{part}/mean")[1]) for part in reward_parts(run.history)}
    rising = [f"{part} {c.before:.3g} to {c.after:.3g}" for part, c in changes.items() if c and c.rises(0.0)]
    parts = f"; parts that rise: {', '.join(rising)}" if rising else ""
    for fall in _falls(run, thresholds):
        yield f"reward {reward.before:.3g} to {reward.after:.3g}; {fall}{parts}"
        break


def _falls(run: Run, thresholds: Thresholds) -> Iterator[str]:
    """Falls of the accuracy: on `eval_dataset`, between the last two evaluations, and in training."""
    for held_out, text in ((True, "held-out accuracy {} over training"), (False, "accuracy on training problems {}")):
        key = accuracy_key(run.history, held_out=held_out)
        logged = change(values_of(run.history, key)[1]) if key else None
        if logged and logged.falls(thresholds.accuracy_fall):
            yield text.format(f"{_percent(logged.before)} to {_percent(logged.after)}")
        if held_out and len(run.evaluations) > 1:
            before, after = run.evaluations[-2:]
            paired = difference(before, after, lambda completion: completion.score)
            if paired and paired.difference.high < 0 and -paired.difference.mean > thresholds.accuracy_fall:
                first, last = _percent(paired.first.mean), _percent(paired.second.mean)
                yield f"held-out accuracy {first} ({before.name}) to {last} ({after.name})"


def _cut_off(run: Run, _: Steps, thresholds: Thresholds) -> Iterator[str]:
    share = last_mean(values_of(run.history, "completions/clipped_ratio")[1])
    if share is not None and share >= thresholds.cut_off:
        longest = values_of(run.history, "completions/max_length")[1]
        ceiling = f"; the longest has {max(longest):.0f} tokens" if longest else ""
        yield f"{_percent(share)} cut off in the last quarter of training{ceiling}"


def _repetition(_: Run, steps: Steps, thresholds: Thresholds) -> Iterator[str]:
    grown = change([step.repetition for step in steps if step.repetition is not None])
    if grown and grown.rises(thresholds.repetition_rise):
        shares = f"{_percent(grown.before)} to {_percent(grown.after)}"
        yield f"share of text that repeats earlier text of the same completion: {shares}"


def _zero_variance(run: Run, _: Steps, thresholds: Thresholds) -> Iterator[str]:
    share = last_mean(values_of(run.history, "frac_reward_zero_std")[1])
    if share is not None and share >= thresholds.zero_variance:
        key = accuracy_key(run.history)
        solved = last_mean(values_of(run.history, key)[1]) if key else None
        cause = "" if solved is None else f"; accuracy there {_percent(solved)}"
        yield f"{_percent(share)} of the groups in the last quarter of training{cause}"


def _judges(run: Run, _: Steps, thresholds: Thresholds) -> Iterator[str]:
    """Compares the grades of right and wrong completions that share step and problem."""
    for name in dict.fromkeys(name for c in run.completions for name in c.rewards if "judge" in name):
        grades: dict[tuple[Any, str], tuple[list[float], list[float]]] = {}
        for c in run.completions:
            grade = c.rewards.get(name)
            if grade is not None and c.score is not None:
                grades.setdefault((c.step, c.problem), ([], []))[c.score < 0.5].append(grade)
        pairs = [pair for right_and_wrong in grades.values() for pair in product(*right_and_wrong)]
        wrong_first = known_mean(0.5 if right == wrong else float(wrong > right) for right, wrong in pairs) or 0.0
        if len(pairs) >= thresholds.judge_pairs and wrong_first >= thresholds.judge_prefers_wrong:
            yield (
                f"{name}: the wrong one ranks first in {_percent(wrong_first)} of {len(pairs)} pairs of a right and a "
                "wrong completion for the same problem; a judge that ignores correctness gives 50 %"
            )


def _not_scorable(run: Run, _: Steps, thresholds: Thresholds) -> Iterator[str]:
    sources = {f"evaluation {evaluated.name}": evaluated.completions for evaluated in run.evaluations}
    scored = {name for completion in run.completions for name in completion.rewards}
    if accuracy_key(run.history) or any("verifier" in name or "accuracy" in name for name in scored):
        sources["training"] = run.completions
    for source, completions in sources.items():
        reasons = Counter(c.reason or "no reason recorded" for c in completions if c.score is None)
        missing, of = reasons.total(), len(completions)
        if of >= thresholds.fewest and missing >= thresholds.not_scorable * of:
            counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
            yield f"{source}: {missing} of {of} ({_percent(missing / of)}): {counted}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


CHECKS: dict[str, Callable[[Run, Steps, Thresholds], Iterator[str]]] = {
    "reward_without_accuracy": _reward_without_accuracy,
    "cut_off": _cut_off,
    "repetition": _repetition,
    "zero_variance": _zero_variance,
    "judge": _judges,
    "not_scorable": _not_scorable,
}
