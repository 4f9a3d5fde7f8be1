"""What a check has to say, all checks of a stage in their order, and what a run does with their findings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.stages import Kind, Stage

if TYPE_CHECKING:
    from trl import ModelConfig

logger = logging.getLogger(__name__)

Severity = Literal["error", "warning", "not checked"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
# checks whose errors are among those that the stage's own command refuses, with less of an explanation
ALSO_REFUSED = ("groups", "bf16", "exploration")


@dataclass(frozen=True)
class Finding:
    """Something in a stage's settings that a person should look at before paying for a GPU.

    An "error" cannot work or trains nothing, a "warning" works but costs, and "not checked" could not be told.
    """

    check: str
    severity: Severity
    what: str  # in one sentence
    why: str  # its consequence; for "not checked" what was in the way
    change: str = ""  # the YAML line, or what to do where no line mends it


# findings (what, why, change) of a check that `examine` fills in
error, warning, unchecked = (partial(Finding, "", severity) for severity in SEVERITIES)

Check = Callable[[Stage], Iterator[Finding]]
# name -> check, the kinds of stage that it is for, and those at whose start it is made once more; in their order
CHECKS: dict[str, tuple[Check, Collection[Kind], Collection[Kind]]] = {}
RL: tuple[Kind, ...] = ("grpo",)
BOTH: tuple[Kind, ...] = ("sft", "grpo")


def check(kinds: Collection[Kind] = BOTH, at_start: Collection[Kind] = ()) -> Callable[[Check], Check]:
    """Register a function `_NAME` as the check NAME of some kinds of stage, and of the start of those of `at_start`."""

    def register(function: Check) -> Check:
        CHECKS[function.__name__.removeprefix("_")] = (function, kinds, at_start)
        return function

    return register


def examine(stage: Stage, checks: Collection[str] | None = None) -> list[Finding]:
    """Make the checks of a stage with these names, by default all of its kind; the gravest findings come first.

    A check that cannot be made is among the findings.
    """
    if checks is None:
        checks = [name for name, (_, kinds, _) in CHECKS.items() if stage.kind in kinds]
    found = []
    for name in checks:
        try:
            found += [replace(finding, check=name) for finding in CHECKS[name][0](stage)]
        except RLSPError as failure:  # out of reach, or wrong settings or data, which have a check of their own
            found.append(Finding(name, "not checked", name.replace("_", " "), str(failure)))
    if any(finding.severity == "error" and finding.check in ALSO_REFUSED for finding in found):
        found = [finding for finding in found if finding.check != "settings"]
    return sorted(dict.fromkeys(found), key=lambda finding: SEVERITIES.index(finding.severity))


def stop_on_errors(
    kind: Kind, data: Any, training: Any, model: ModelConfig, *, rows: Any, tokenizer: Any, rewards: Any = None
) -> None:
    """The checks at the start of `rlsp sft` and `rlsp grpo`: a warning is logged once, an error is a ConfigError."""
    stage = Stage(kind, data, training, model, processes=training.world_size)
    stage.rows, stage.tokenizer, stage.rewards = rows, tokenizer, rewards
    first = training.process_index == 0
    starts = [name for name, (_, _, kinds) in CHECKS.items() if kind in kinds and (first or name != "judge")]
    found = examine(stage, starts)
    for finding in found if first else ():
        if finding.severity == "warning":
            logger.warning("%s: %s (%s)", finding.what, finding.why, finding.change)
    errors = [f"{one.what}: {one.why} -> {one.change}" for one in found if one.severity == "error"]
    if errors:
        raise ConfigError(f"{'; '.join(errors)} (see `rlsp doctor`)")
