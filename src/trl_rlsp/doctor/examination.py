"""All checks of a stage in their order, and what a run does with their findings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trl_rlsp.doctor.batches import check_groups, check_prompts
from trl_rlsp.doctor.context import check_context
from trl_rlsp.doctor.finding import SEVERITIES, Finding
from trl_rlsp.doctor.precision import check_bf16, check_four_bit, check_ranks
from trl_rlsp.doctor.reward import check_exploration, check_judge
from trl_rlsp.doctor.rollouts import check_dropout, check_vllm
from trl_rlsp.doctor.source import check_data, check_settings
from trl_rlsp.doctor.storage import check_disk
from trl_rlsp.doctor.template import check_chat_template, check_pad_token
from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.stages.stage import Kind, Stage, UnknownError

if TYPE_CHECKING:
    from trl import ModelConfig

logger = logging.getLogger(__name__)

Check = Callable[[Stage], Iterator[Finding]]
BOTH: tuple[Check, ...] = (
    check_data,
    check_four_bit,
    check_bf16,
    check_pad_token,
    check_chat_template,
    check_context,
    check_disk,
    check_ranks,
)
ONLY_RL: tuple[Check, ...] = (
    check_groups,
    check_prompts,
    check_vllm,
    check_dropout,
    check_exploration,
    check_judge,
)
AT_START: tuple[Check, ...] = (
    check_four_bit,
    check_prompts,
    check_vllm,
    check_pad_token,
    check_chat_template,
    check_context,
    check_disk,
    check_ranks,
    check_dropout,
    check_judge,
)
"""The checks at the start of a run: parsing, loading and the trainer itself have made the others by then."""

SFT_AT_START: tuple[Check, ...] = (check_four_bit, check_disk, check_ranks)

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
        checks = (check_settings, *BOTH, *(ONLY_RL if stage.kind == "grpo" else ()))
    found = [finding for check in checks for finding in made(check, stage)]
    explained = any(finding.severity == "error" and finding.check in ALSO_REFUSED for finding in found)
    if explained:  # TRL's own refusal of the same thing says less
        found = [finding for finding in found if finding.check != "settings"]
    return sorted(dict.fromkeys(found), key=lambda finding: SEVERITIES.index(finding.severity))


def made(check: Check, stage: Stage) -> Iterable[Finding]:
    """The findings of one check, or that it could not be made."""
    name = check.__name__.removeprefix("check_")
    try:
        return list(check(stage))
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
    loaded = {"rows": rows, "tokenizer": tokenizer, "rewards": rewards}
    stage = Stage(kind, data, training, model, processes=training.world_size, loaded=loaded)
    first = training.process_index == 0
    checks = AT_START if kind == "grpo" else SFT_AT_START
    found = examine(stage, checks if first else [check for check in checks if check is not check_judge])
    for finding in found if first else ():
        if finding.severity == "warning":
            logger.warning("%s: %s (%s)", finding.what, finding.why, finding.change)
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        said = "; ".join(f"{finding.what}: {finding.why} -> {finding.change}" for finding in errors)
        raise ConfigError(f"{said} (see `rlsp doctor`)")
