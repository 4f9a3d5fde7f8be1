"""What the report warns of.

Each check looks at one run and gives a warning or nothing. A check whose data is missing gives nothing: that the
data is missing is said elsewhere on the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from trl_rlsp.evaluation import Estimate, bootstrap_mean, by_problem
from trl_rlsp.runs import (
    Completion,
    Evaluated,
    Run,
    StepMetrics,
    accuracy_key,
    change,
    last_mean,
    mean,
    reward_parts,
    values_of,
)


@dataclass(frozen=True)
class RunWarning:
    """Something in a run that a person should look at.

    Attributes:
        kind: its short name, stable between versions.
        run: name of the run.
        what: what is seen, in one sentence.
        evidence: the numbers it rests on.
        advice: what to do.
    """

    kind: str
    run: str
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Thresholds:
    """From where on something is worth a warning; `docs/report.md` says why.

    Changes over training are those of the last quarter of the logged steps against the first, and count only if they
    are also larger than two standard errors.

    Attributes:
        accuracy_fall: smallest fall of the accuracy, absolute.
        reward_rise: smallest rise of the reward, absolute.
        cut_off: smallest share of completions cut off at the limit, in the last quarter.
        repetition_rise: smallest rise of the share of repeated text, absolute.
        zero_variance: smallest share of groups in which all rewards are equal, in the last quarter.
        judge_prefers_wrong: smallest share of (right, wrong) pairs of one group in which the judge puts the wrong
            completion first; equal grades count half. A judge that ignores correctness gives 0.5.
        judge_pairs: fewest pairs to judge the judge by.
        not_scorable: smallest share of completions without a verdict.
        fewest: fewest completions for a share.
    """

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


def find(run: Run, steps: Sequence[StepMetrics], thresholds: Thresholds = DEFAULTS) -> list[RunWarning]:
    """Every warning about one run.

    Args:
        run: the run.
        steps: metrics of its logged completions.
        thresholds: when something is worth a warning.
    """
    found = [
        reward_without_accuracy(run, thresholds),
        cut_off(run, thresholds),
        repetition(run, steps, thresholds),
        zero_variance(run, thresholds),
        judge(run, thresholds),
        *not_scorable(run, thresholds),
    ]
    return [warning for warning in found if warning]


def reward_without_accuracy(run: Run, thresholds: Thresholds = DEFAULTS) -> RunWarning | None:
    """The reward rises while the accuracy falls: on held-out problems if it was measured there, else in training."""
    reward = change(values_of(run.history, "reward")[1])
    if reward is None or not reward.rises(thresholds.reward_rise):
        return None
    fall = _held_out_fall(run, thresholds) or _training_fall(run, thresholds)
    if fall is None:
        return None
    rising = [
        f"{part} {grown.before:.3g} to {grown.after:.3g}"
        for part in reward_parts(run.history)
        if (grown := change(values_of(run.history, f"rewards/{part}/mean")[1])) and grown.rises(0.0)
    ]
    parts = f"; parts that rise: {', '.join(rising)}" if rising else ""
    return RunWarning(
        "reward_without_accuracy",
        run.name,
        "The reward rises while the accuracy falls.",
        f"reward {reward.before:.3g} to {reward.after:.3g}; {fall}{parts}",
        "The model earns reward without solving more. Read completions of late steps, give the outcome more weight "
        "(alpha), gate exploration by correctness, and go back to a checkpoint from before the fall.",
    )


def _held_out_fall(run: Run, thresholds: Thresholds) -> str | None:
    key = accuracy_key(run.history, held_out=True)
    logged = change(values_of(run.history, key)[1]) if key else None
    if logged and logged.falls(thresholds.accuracy_fall):
        return f"held-out accuracy {_percent(logged.before)} to {_percent(logged.after)} over training"
    if len(run.evaluations) < 2:
        return None
    before, after = run.evaluations[-2:]
    paired: Difference | None = difference(before, after, score_value)
    if paired is None or paired.change.high >= 0 or -paired.change.mean <= thresholds.accuracy_fall:
        return None
    return f"held-out accuracy {_percent(paired.before)} ({before.name}) to {_percent(paired.after)} ({after.name})"


def _training_fall(run: Run, thresholds: Thresholds) -> str | None:
    key = accuracy_key(run.history)
    logged = change(values_of(run.history, key)[1]) if key else None
    if logged and logged.falls(thresholds.accuracy_fall):
        return f"accuracy on training problems {_percent(logged.before)} to {_percent(logged.after)}"
    return None


def cut_off(run: Run, thresholds: Thresholds = DEFAULTS) -> RunWarning | None:
    """Completions hit the ceiling of their length."""
    share = last_mean(values_of(run.history, "completions/clipped_ratio")[1])
    if share is None or share < thresholds.cut_off:
        return None
    longest = values_of(run.history, "completions/max_length")[1]
    ceiling = f"; the longest has {max(longest):.0f} tokens" if longest else ""
    return RunWarning(
        "cut_off",
        run.name,
        "Completions hit the ceiling of their length.",
        f"{_percent(share)} cut off in the last quarter of training{ceiling}",
        "What is cut off has no answer and teaches only to be shorter. Raise max_completion_length, or lower the "
        "weight of length, or set mask_truncated_completions.",
    )


def repetition(run: Run, steps: Sequence[StepMetrics], thresholds: Thresholds = DEFAULTS) -> RunWarning | None:
    """Completions repeat themselves more and more."""
    grown = change([step.repetition for step in steps if step.repetition is not None])
    if grown is None or not grown.rises(thresholds.repetition_rise):
        return None
    return RunWarning(
        "repetition",
        run.name,
        "Completions repeat themselves more and more.",
        f"share of text that repeats earlier text of the same completion: {_percent(grown.before)} to "
        f"{_percent(grown.after)}",
        "Length is being filled, not used. Count only what is new (LengthExploration's ngram), or lower the weight "
        "of length; read completions of late steps.",
    )


def zero_variance(run: Run, thresholds: Thresholds = DEFAULTS) -> RunWarning | None:
    """Groups in which all rewards are equal teach nothing."""
    share = last_mean(values_of(run.history, "frac_reward_zero_std")[1])
    if share is None or share < thresholds.zero_variance:
        return None
    key = accuracy_key(run.history)
    solved = last_mean(values_of(run.history, key)[1]) if key else None
    cause = "" if solved is None else f"; accuracy there {_percent(solved)}"
    return RunWarning(
        "zero_variance",
        run.name,
        "Most groups have no variance of reward and teach nothing.",
        f"{_percent(share)} of the groups in the last quarter of training{cause}",
        "Take problems of another difficulty (harder where most are solved, easier where few are), more generations "
        "a problem, or a higher temperature.",
    )


def judge(run: Run, thresholds: Thresholds = DEFAULTS) -> RunWarning | None:
    """A judge that puts wrong completions before right ones of the same group."""
    names = {name: None for completion in run.completions for name in completion.rewards if "judge" in name}
    for name in names:
        pairs = _judged_pairs(run.completions, name)
        wrong_first = mean([0.5 if right == wrong else float(wrong > right) for right, wrong in pairs])
        if len(pairs) < thresholds.judge_pairs or wrong_first is None or wrong_first < thresholds.judge_prefers_wrong:
            continue
        return RunWarning(
            "judge",
            run.name,
            "The judge puts wrong completions before right ones.",
            f"{name}: the wrong one is first in {_percent(wrong_first)} of {len(pairs)} pairs of a right and a wrong "
            "completion for the same problem; a judge that does not look at correctness gives 50 %",
            "It pays for something that goes with being wrong, length perhaps. Read the pairs it puts in the wrong "
            "order, change its rubric, or gate it by correctness.",
        )
    return None


def _judged_pairs(completions: Sequence[Completion], name: str) -> list[tuple[float, float]]:
    """(grade of a right completion, grade of a wrong one) of each pair that shares step and problem."""
    groups: dict[tuple[int | None, str], tuple[list[float], list[float]]] = {}
    for completion in completions:
        grade = completion.rewards.get(name)
        if grade is not None and completion.score is not None:
            right, wrong = groups.setdefault((completion.step, completion.problem), ([], []))
            (right if completion.score >= 0.5 else wrong).append(grade)
    return [pair for right, wrong in groups.values() for pair in product(right, wrong)]


def not_scorable(run: Run, thresholds: Thresholds = DEFAULTS) -> list[RunWarning]:
    """Completions without a verdict, in each evaluation and in training."""
    sources = {f"evaluation {evaluated.name}": evaluated.completions for evaluated in run.evaluations}
    scored = {name for completion in run.completions for name in completion.rewards}
    if accuracy_key(run.history) or any("verifier" in name or "accuracy" in name for name in scored):
        sources["training"] = run.completions
    return [
        warning for name, completions in sources.items() if (warning := _unscored(run, name, completions, thresholds))
    ]


def _unscored(run: Run, name: str, completions: Sequence[Completion], thresholds: Thresholds) -> RunWarning | None:
    missing = [completion for completion in completions if completion.score is None]
    if len(completions) < thresholds.fewest or len(missing) < thresholds.not_scorable * len(completions):
        return None
    reasons = Counter(completion.reason or "no reason recorded" for completion in missing)
    counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return RunWarning(
        "not_scorable",
        run.name,
        f"Completions could not be scored ({name}).",
        f"{len(missing)} of {len(completions)} ({_percent(len(missing) / len(completions))}): {counted}",
        "They are left out of the accuracy. Prove the gold answers with `rlsp check`; for `scorer_error` and time "
        "limits, see docs/verifier.md.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


Value = Callable[[Completion], float | None]


@dataclass(frozen=True)
class Difference:
    """A metric of two models on the problems that both have.

    Attributes:
        before, after: its mean over these problems.
        change: `after - before`, with a 95 % bootstrap interval over problems.
        problems: how many they are.
    """

    before: float
    after: float
    change: Estimate
    problems: int


def difference(before: Evaluated, after: Evaluated, value: Value) -> Difference | None:
    """Paired difference of a metric; `None` on different problem sets, or where no problem has the metric in both."""
    if not before.problems_hash or before.problems_hash != after.problems_hash:
        return None
    first, last = _problem_means(before, value), _problem_means(after, value)
    shared = [problem for problem in first if problem in last]
    if not shared:
        return None
    return Difference(
        before=sum(first[p] for p in shared) / len(shared),
        after=sum(last[p] for p in shared) / len(shared),
        change=bootstrap_mean([last[p] - first[p] for p in shared]),
        problems=len(shared),
    )


def score_value(completion: Completion) -> float | None:
    """The score."""
    return completion.score


def token_value(completion: Completion) -> float | None:
    """The length in tokens."""
    return None if completion.tokens is None else float(completion.tokens)


def extra_value(name: str) -> Value:
    """A metric of the task, such as the search steps of countdown."""
    return lambda completion: completion.extra.get(name)


def finished_value(completion: Completion) -> float | None:
    """1.0 with a final answer, 0.0 without."""
    return None if completion.finished is None else float(completion.finished)


def _problem_means(evaluated: Evaluated, value: Value) -> dict[str, float]:
    means = {}
    for problem, completions in by_problem(evaluated.completions).items():
        known = mean([v for v in map(value, completions) if v is not None])
        if known is not None:
            means[problem] = known
    return means
