"""Parts of one's own by name: `exploration: length,mymodule.MyReward` and `verifier: mymodule.my_verifier`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.outcome import OutcomeVerifier, as_verdict
from trl_rlsp.verification import Verdict


def load_object(name: str) -> Callable[..., Any]:
    """What `module.name` stands for: a callable; a class is constructed without arguments.

    Modules are looked for in the current folder, too.

    Raises:
        ConfigError: there is no such module or name, or it cannot be called.
    """
    module, _, attribute = name.rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"a reward of your own is module.name, importable from the current folder, got {name!r}: {error}"
        ) from error
    made = found() if isinstance(found, type) else found
    if not callable(made):
        raise ConfigError(f"a reward is a callable, got {name} = {made!r}")
    return made


class OwnVerifier(OutcomeVerifier):
    """A reward function that gives the outcome, in place of the built-in verifiers of all kinds.

    It is called as TRL calls a reward, with `prompts`, `completions` and the data set's columns, and returns for each
    completion a score from 0 to 1, a boolean, a `Verdict`, or `None` for not scorable. No verdict is kept.

    Args:
        function: the reward function.
        options: as for `OutcomeVerifier`.

    Example:
        >>> verifier = OwnVerifier(lambda completions, **_: [len(c) > 3 for c in completions])
        >>> verifier(completions=["no", "maybe"])
        [0.0, 1.0]
    """

    compares_answers = False

    def __init__(self, function: Callable[..., Sequence[Any]], **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def __call__(self, completions: Sequence[Any] = (), **columns: Any) -> list[float | None]:  # type: ignore[override]
        """Scores of a batch, one per completion; logs like `OutcomeVerifier`."""
        return [verdict.score for verdict in self.judged(completions, **columns)]

    judged = OutcomeVerifier.judged  # `__call__` above is in terms of it

    def verdicts(self, completions: Sequence[Any], **columns: Any) -> list[Verdict]:  # type: ignore[override]
        """Score and reason for each completion."""
        columns.pop("readings", None)
        found = [as_verdict(value) for value in self.function(completions=completions, **columns)]
        if len(found) != len(completions):
            raise ConfigError(f"a verifier gives one value a completion, got {len(found)} for {len(completions)}")
        return found
