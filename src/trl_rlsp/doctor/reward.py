"""The reward: settings that invert the order of completions, and a judge that does not answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.errors import ConfigError, ServerError
from trl_rlsp.stages.stage import Stage

LINES = {
    "scale_rewards=": "scale_rewards: none",
    "multi_objective_aggregation=": "multi_objective_aggregation: sum_then_normalize",
    "reward_weights=": "leave out reward_weights, and set alpha",
    "alpha=": "alpha: 0.8",
    "is unbounded": "length_form: bounded",
    "pays for more length": "gate: adaptive",
    "logging_strategy=": "logging_strategy: steps",
}
"""How a message of `trl_rlsp.trainers.balance` begins or what it holds -> the line that mends it."""


def check_exploration(stage: Stage) -> Iterator[Finding]:
    """Exploration under which a wrong completion outranks a right one; see `trl_rlsp.trainers.balance`."""
    from trl_rlsp.trainers import balance

    rewards, messages = stage.rewards, _Messages()
    balance.logger.addFilter(messages.keep)
    try:
        balance.check_balance(rewards, stage.training)
    except ConfigError as error:
        yield _finding("error", str(error))
    finally:
        balance.logger.removeFilter(messages.keep)
    for message in messages:
        yield _finding("warning", message)


class _Messages(list[str]):
    """What a logger would have said."""

    def keep(self, record: logging.LogRecord) -> bool:
        """Keep a record from the log, and its message here."""
        self.append(record.getMessage())
        return False


def _finding(severity: str, message: str) -> Finding:
    what, _, why = message.partition(":")
    line = next((line for part, line in LINES.items() if message.startswith(part)), None)
    line = line or next((line for part, line in LINES.items() if part in message), "see docs/rewards.md")
    return Finding("exploration", "error" if severity == "error" else "warning", what.strip(), why.strip(), line)


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
