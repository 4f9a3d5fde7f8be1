"""The reward: settings that invert the order of completions, and a judge that does not answer."""

from __future__ import annotations

from collections.abc import Iterator

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.errors import ServerError
from trl_rlsp.stages.stage import Stage


def check_exploration(stage: Stage) -> Iterator[Finding]:
    """Exploration under which a wrong completion outranks a right one; see `trl_rlsp.rewards.balance`."""
    from trl_rlsp.rewards.balance import check_balance

    for found in check_balance(stage.rewards, stage.training):
        what, _, why = found.message.partition(":")
        yield Finding("exploration", found.severity, what.strip(), why.strip(), found.advice)


def check_judge(stage: Stage) -> Iterator[Finding]:
    """A judge that cannot be reached, or gives no valid grades: one short request."""
    from trl_rlsp.rewards.judge.reward import JudgeExploration

    for judge in stage.rewards.exploration:
        if not isinstance(judge, JudgeExploration):
            continue
        if stage.elsewhere:
            reason = "the stage runs on another machine"
            yield Finding("judge", "not checked", f"whether the judge {judge.client.model!r} answers", reason)
            continue
        try:
            judge.check()
        except ServerError as error:
            yield Finding(
                "judge",
                "error",
                f"the judge {judge.client.model!r} gives no grades",
                f"every grade would be None, and the run would train on the outcome alone: {error}",
                "judge_base_url: http://HOST:PORT/v1",
            )
