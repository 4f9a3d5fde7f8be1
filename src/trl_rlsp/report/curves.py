"""Charts over the steps of RL: accuracy, reward and its parts, length, share finished, entropy, behaviours."""

from __future__ import annotations

from collections.abc import Sequence

from trl_rlsp.behaviours import KINDS
from trl_rlsp.report.charts import Chart, Line
from trl_rlsp.report.step_metrics import StepMetrics
from trl_rlsp.runs.history import accuracy_key, reward_parts, values_of
from trl_rlsp.runs.run import Run

STEP = "training step"
StepsOfRuns = Sequence[Sequence[StepMetrics]]


def training_curves(runs: Sequence[Run], metrics: StepsOfRuns) -> list[Chart]:
    """The curves of one or several runs; a chart without a line is left out.

    Args:
        runs: R runs.
        metrics: for each run, those of its logged completions, a step each.
    """
    charts = [
        _accuracy(runs),
        _chart(runs, "reward", "Reward", {"": "reward"}),
        _parts(runs),
        _chart(runs, "length", "Completion length, tokens", {"": "completions/mean_length"}),
        _chart(runs, "cut_off", "Share cut off at the limit", {"": "completions/clipped_ratio"}, percent=True),
        _from_text(runs, metrics, "finished", "Share with a final answer", "finished"),
        _chart(runs, "entropy", "Entropy of the next token, nats", {"": "entropy"}),
        _chart(runs, "kl", "KL divergence from the reference, nats", {"": "kl"}),
        _chart(
            runs, "zero_variance", "Groups in which all rewards are equal", {"": "frac_reward_zero_std"}, percent=True
        ),
        _from_text(runs, metrics, "repetition", "Share of text that repeats earlier text", "repetition"),
        _behaviours(runs, metrics),
    ]
    return [chart for chart in charts if chart.lines]


def _accuracy(runs: Sequence[Run]) -> Chart:
    lines = []
    for run in runs:
        for held_out, suffix in ((False, "training problems"), (True, "held-out problems")):
            key = accuracy_key(run.history, held_out=held_out)
            if key:
                lines.append(Line(_name(runs, run, suffix), *values_of(run.history, key)))
    return Chart("accuracy", "Accuracy", STEP, lines, percent=True)


def _parts(runs: Sequence[Run]) -> Chart:
    lines = [
        Line(_name(runs, run, part), *values_of(run.history, f"rewards/{part}/mean"))
        for run in runs
        for part in reward_parts(run.history)
    ]
    note = "Mean of each reward function, as logged: before TRL's reward_weights."
    return Chart("reward_parts", "Reward parts", STEP, [line for line in lines if line.x], note)


def _chart(
    runs: Sequence[Run], key: str, title: str, metrics: dict[str, str], *, percent: bool = False, note: str = ""
) -> Chart:
    lines = [
        Line(_name(runs, run, label), *values_of(run.history, metric))
        for run in runs
        for label, metric in metrics.items()
    ]
    return Chart(key, title, STEP, [line for line in lines if line.x], note, percent)


def _from_text(runs: Sequence[Run], metrics: StepsOfRuns, key: str, title: str, attribute: str) -> Chart:
    lines = []
    for run, steps in zip(runs, metrics, strict=True):
        values = [getattr(step, attribute) for step in steps]
        if any(value is not None for value in values):
            lines.append(Line(_name(runs, run, ""), [step.step for step in steps], values))
    return Chart(key, title, STEP, lines, "From the completions that were logged.", percent=True)


def _behaviours(runs: Sequence[Run], metrics: StepsOfRuns) -> Chart:
    lines = []
    for run, steps in zip(runs, metrics, strict=True):
        for kind in KINDS:
            values = [step.behaviours[kind] for step in steps]
            if any(values):
                name = _name(runs, run, kind.replace("_", " "))
                lines.append(Line(name, [step.step for step in steps], values))
    note = "Found by patterns in the completions that were logged."
    return Chart("behaviours", "Search behaviours per 1,000 words", STEP, lines, note)


def _name(runs: Sequence[Run], run: Run, label: str) -> str:
    if len(runs) == 1:
        return label or run.name
    return f"{run.name}: {label}" if label else run.name
