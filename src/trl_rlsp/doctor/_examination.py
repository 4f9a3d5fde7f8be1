"""All checks of a stage in their order, and what a run does with their findings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trl_rlsp.doctor import _data_checks as of_data
from trl_rlsp.doctor import _settings_checks as settings
from trl_rlsp.doctor._finding import SEVERITIES, Finding
from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.stages import Kind, Stage, UnknownError

if TYPE_CHECKING:
    from trl import ModelConfig

logger = logging.getLogger(__name__)

Check = Callable[[Stage], Iterator[Finding]]
SFT, RL = frozenset({"sft"}), frozenset({"grpo"})
BOTH, NONE = SFT | RL, frozenset[str]()

CHECKS: tuple[tuple[Check, frozenset[str], frozenset[str]], ...] = (
    (settings.check_settings, BOTH, NONE),
    (of_data.check_data, BOTH, NONE),
    (settings.check_four_bit, BOTH, BOTH),
    (settings.check_bf16, BOTH, NONE),
    (of_data.check_pad_token, BOTH, RL),
    (of_data.check_chat_template, BOTH, RL),
    (of_data.check_context, BOTH, RL),
    (settings.check_disk, BOTH, BOTH),
    (settings.check_ranks, BOTH, BOTH),
    (settings.check_groups, RL, NONE),
    (of_data.check_prompts, RL, RL),
    (settings.check_vllm, RL, RL),
    (settings.check_importance_sampling, RL, RL),
    (settings.check_dropout, RL, RL),
    (settings.check_exploration, RL, NONE),
    (settings.check_judge, RL, RL),
)
"""Each check, the kinds of stage that it is for, and those at whose start it is made once more.

Parsing, loading and the trainer itself have made the others by then.
"""

ALSO_REFUSED = ("groups", "bf16", "exploration")
"""Checks whose errors are among those that the stage's own command refuses."""


def examine(stage: Stage, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Make the checks of a stage, the gravest findings first.

    Args:
        stage: the stage.
        checks: default all that its kind has.

    Returns:
        Findings; a check that cannot be made is one of them.
    """
    if checks is None:
        checks = [check for check, kinds, _ in CHECKS if stage.kind in kinds]
    found = [finding for check in checks for finding in findings_of(check, stage)]
    explained = any(finding.severity == "error" and finding.check in ALSO_REFUSED for finding in found)
    if explained:  # TRL's own refusal of the same thing says less
        found = [finding for finding in found if finding.check != "settings"]
    return sorted(dict.fromkeys(found), key=lambda finding: SEVERITIES.index(finding.severity))


def findings_of(check: Check, stage: Stage) -> Iterable[Finding]:
    """The findings of one check, or that it could not be made."""
    name = check.__name__.removeprefix("check_")
    try:
        return [replace(finding, check=name) for finding in check(stage)]
    except UnknownError as error:
        return [Finding(name, "not checked", name.replace("_", " "), str(error))]
    except RLSPError as error:  # wrong settings or data, which have a check of their own
        return [Finding(name, "not checked", name.replace("_", " "), f"it needs what is not there: {error}")]


def stop_on_errors(
    kind: Kind, data: Any, training: Any, model: ModelConfig, *, rows: Any, tokenizer: Any, rewards: Any = None
) -> None:
    """The checks at the start of `rlsp sft` and `rlsp grpo`: an error ends the run, a warning is logged once.

    Args:
        kind: "sft" or "grpo".
        data: where the rows come from.
        training: the trainer's settings.
        model: the model's settings.
        rows: the problems, or the demonstrations.
        tokenizer: the model's tokenizer.
        rewards: the reward suite.

    Raises:
        ConfigError: a finding that ends the run.
    """
    stage = Stage(kind, data, training, model, processes=training.world_size)
    stage.rows, stage.tokenizer, stage.rewards = rows, tokenizer, rewards
    first = training.process_index == 0
    checks = [check for check, _, starts in CHECKS if kind in starts and (first or check is not settings.check_judge)]
    found = examine(stage, checks)
    for finding in found if first else ():
        if finding.severity == "warning":
            logger.warning("%s: %s (%s)", finding.what, finding.why, finding.change)
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        told = "; ".join(f"{finding.what}: {finding.why} -> {finding.change}" for finding in errors)
        raise ConfigError(f"{told} (see `rlsp doctor`)")
