"""What the report warns of.

Each check looks at one run and gives its evidence or nothing. A check whose data is missing gives nothing: that the
data is missing is said elsewhere on the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from trl_rlsp.evaluation import known_mean
from trl_rlsp.runs import (
    Completion,
    Run,
    StepMetrics,
    accuracy_key,
    change,
    difference,
    last_mean,
    reward_parts,
    values_of,
)


@dataclass(frozen=True)
class RunWarning:
    """Something in a run that a person should look at: what is seen, the numbers it rests on, and what to do.

    `kind` is its short name, stable between versions.
    """

    kind: str
    run: str
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Thresholds:
    """The smallest shares and changes, absolute, that are worth a warning; `docs/report.md` says what each is of.

    Changes over training are those of the last quarter of the logged steps against the first, and count only if they
    are also larger than two standard errors.
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
TEXTS = {
    "reward_without_accuracy": (
        "The reward rises while the accuracy falls.",
        "The model earns reward without solving more. Read completions of late steps, give the outcome more weight "
        "(alpha), gate exploration by correctness, and go back to a checkpoint from before the fall.",
    ),
    "cut_off": (
        "Completions hit the ceiling of their length.",
        "What is cut off has no answer and teaches only to be shorter. Raise max_completion_length, or lower the "
        "weight of length, or set mask_truncated_completions.",
    ),
    "repetition": (
        "Completions repeat themselves more and more.",
        "Length is being filled, not used. Count only what is new (LengthExploration's ngram), or lower the weight "
        "of length; read completions of late steps.",
    ),
    "zero_variance": (
        "Most groups have no variance of reward and teach nothing.",
        "Take problems of another difficulty (harder where most are solved, easier where few are), more generations "
        "a problem, or a higher temperature.",
    ),
    "judge": (
        "The judge puts wrong completions before right ones.",
        "It pays for something that goes with being wrong, length perhaps. Read the pairs it puts in the wrong "
        "order, change its rubric, or gate it by correctness.",
    ),
    "not_scorable": (
        "Completions could not be scored ({}).",
        "They are left out of the accuracy. Prove the gold answers with `rlsp check`; for `scorer_error` and time "
        "limits, see docs/verifier.md.",
    ),
}
"""Kind of a warning -> what is seen, and what to do."""


def find(run: Run, steps: Sequence[StepMetrics], thresholds: Thresholds = DEFAULTS) -> list[RunWarning]:
    """Every warning about one run, whose logged completions have these metrics."""
    found = [
        ("reward_without_accuracy", "", _reward_without_accuracy(run, thresholds)),
        ("cut_off", "", _cut_off(run, thresholds)),
        ("repetition", "", _repetition(steps, thresholds)),
        ("zero_variance", "", _zero_variance(run, thresholds)),
        ("judge", "", next(_judges(run, thresholds), None)),
        *(("not_scorable", source, evidence) for source, evidence in _not_scorable(run, thresholds)),
    ]
    return [
        RunWarning(kind, run.name, TEXTS[kind][0].format(source), evidence, TEXTS[kind][1])
        for kind, source, evidence in found
        if evidence
    ]


def _reward_without_accuracy(run: Run, thresholds: Thresholds) -> str | None:
    """The accuracy is that on held-out problems if it was measured there and falls, else that in training."""
    reward = change(values_of(run.history, "reward")[1])
    if reward is None or not reward.rises(thresholds.reward_rise):
        return None
    held_out = _logged_fall(run, "held-out accuracy {} over training", thresholds, held_out=True)
    fall = (
        held_out
        or _evaluated_fall(run, thresholds)
        or _logged_fall(run, "accuracy on training problems {}", thresholds)
    )
    if fall is None:
        return None
    rising = [
        f"{part} {grown.before:.3g} to {grown.after:.3g}"
        for part in reward_parts(run.history)
        if (grown := change(values_of(run.history, f"rewards/{part}/mean")[1])) and grown.rises(0.0)
    ]
    parts = f"; parts that rise: {', '.join(rising)}" if rising else ""
    return f"reward {reward.before:.3g} to {reward.after:.3g}; {fall}{parts}"


def _logged_fall(run: Run, text: str, thresholds: Thresholds, *, held_out: bool = False) -> str | None:
    key = accuracy_key(run.history, held_out=held_out)
    logged = change(values_of(run.history, key)[1]) if key else None
    if logged is None or not logged.falls(thresholds.accuracy_fall):
        return None
    return text.format(f"{_percent(logged.before)} to {_percent(logged.after)}")


def _evaluated_fall(run: Run, thresholds: Thresholds) -> str | None:
    if len(run.evaluations) < 2:
        return None
    before, after = run.evaluations[-2:]
    paired = difference(before, after, lambda completion: completion.score)
    if paired is None or paired.difference.high >= 0 or -paired.difference.mean <= thresholds.accuracy_fall:
        return None
    first, last = _percent(paired.first.mean), _percent(paired.second.mean)
    return f"held-out accuracy {first} ({before.name}) to {last} ({after.name})"


def _cut_off(run: Run, thresholds: Thresholds) -> str | None:
    share = last_mean(values_of(run.history, "completions/clipped_ratio")[1])
    if share is None or share < thresholds.cut_off:
        return None
    longest = values_of(run.history, "completions/max_length")[1]
    ceiling = f"; the longest has {max(longest):.0f} tokens" if longest else ""
    return f"{_percent(share)} cut off in the last quarter of training{ceiling}"


def _repetition(steps: Sequence[StepMetrics], thresholds: Thresholds) -> str | None:
    grown = change([step.repetition for step in steps if step.repetition is not None])
    if grown is None or not grown.rises(thresholds.repetition_rise):
        return None
    shares = f"{_percent(grown.before)} to {_percent(grown.after)}"
    return f"share of text that repeats earlier text of the same completion: {shares}"


def _zero_variance(run: Run, thresholds: Thresholds) -> str | None:
    share = last_mean(values_of(run.history, "frac_reward_zero_std")[1])
    if share is None or share < thresholds.zero_variance:
        return None
    key = accuracy_key(run.history)
    solved = last_mean(values_of(run.history, key)[1]) if key else None
    cause = "" if solved is None else f"; accuracy there {_percent(solved)}"
    return f"{_percent(share)} of the groups in the last quarter of training{cause}"


def _judges(run: Run, thresholds: Thresholds) -> Iterator[str]:
    for name in dict.fromkeys(name for c in run.completions for name in c.rewards if "judge" in name):
        pairs = _judged_pairs(run.completions, name)
        wrong_first = known_mean(0.5 if right == wrong else float(wrong > right) for right, wrong in pairs)
        if len(pairs) >= thresholds.judge_pairs and (wrong_first or 0.0) >= thresholds.judge_prefers_wrong:
            yield (
                f"{name}: the wrong one is first in {_percent(wrong_first or 0.0)} of {len(pairs)} pairs of a right "
                "and a wrong completion for the same problem; a judge that does not look at correctness gives 50 %"
            )


def _judged_pairs(completions: Sequence[Completion], name: str) -> list[tuple[float, float]]:
    """(grade of a right completion, grade of a wrong one) of each pair that shares step and problem."""
    groups: dict[tuple[int | None, str], tuple[list[float], list[float]]] = {}
    for completion in completions:
        grade = completion.rewards.get(name)
        if grade is not None and completion.score is not None:
            right, wrong = groups.setdefault((completion.step, completion.problem), ([], []))
            (right if completion.score >= 0.5 else wrong).append(grade)
    return [pair for right, wrong in groups.values() for pair in product(right, wrong)]


def _not_scorable(run: Run, thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    sources = {f"evaluation {evaluated.name}": evaluated.completions for evaluated in run.evaluations}
    scored = {name for completion in run.completions for name in completion.rewards}
    if accuracy_key(run.history) or any("verifier" in name or "accuracy" in name for name in scored):
        sources["training"] = run.completions
    for source, completions in sources.items():
        missing = [completion for completion in completions if completion.score is None]
        if len(completions) >= thresholds.fewest and len(missing) >= thresholds.not_scorable * len(completions):
            reasons = Counter(completion.reason or "no reason recorded" for completion in missing).most_common()
            counted = ", ".join(f"{reason} {count}" for reason, count in reasons)
            share = _percent(len(missing) / len(completions))
            yield source, f"{len(missing)} of {len(completions)} ({share}): {counted}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
