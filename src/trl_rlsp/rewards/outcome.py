"""The outcome verifier: 1.0 for a right answer, 0.0 for a wrong one, a fraction for programs, `None` if not scorable.

R_outcome(q, o) = 1[Ver(q, o)] (RLSP, arXiv 2502.06773, eq. 1). The columns of a row determine how it is verified:
`tests` by running the program, `task` by a reasoning-gym scorer, `solution` by mathematical equality.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from trl_rlsp import verification
from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.rewards.batch import Reader
from trl_rlsp.text import GOLD_COLUMNS, KINDS, completion_text, is_task, kinds_of
from trl_rlsp.verification import MathItem, MathRules, Reason, Verdict, WorkerPool

COLUMNS = {name: kind.column for name, kind in KINDS.items()}  # kind of a row -> the column with the gold answer

CustomVerifier = Callable[[Sequence["Row"]], Sequence[Verdict | float | bool | None]]


class Row(NamedTuple):
    """One completion with the gold answer of its row."""

    kind: str  # code, gym or math
    completion: Any
    truth: Any  # the row's tests, task or solution, by its kind
    prompt: str  # the user's text, "" if unknown
    reading: Any = None  # the reasoning and answer (`trl_rlsp.text.Reading`)


class OutcomeVerifier:
    """Reward function that checks whether the final answer is right.

    Args:
        workers: checker processes, or programs run, at once on each rank; at most the rank's share of the cores.
        time_limit: seconds for one answer, or for one test of a program; beyond it the answer is wrong (`timeout`).
        batch_seconds: seconds for one call; answers not checked by then score `None`.
        memory_mb: address space that a worker may add after its imports, in MiB.
        cache_size: number of cached verdicts, so that the next reward of the same batch costs nothing.
        end_of_thinking: as in `trl_rlsp.rewards.Reader`, like `thinking_required`.
        rules: how strict mathematical equality is.
        custom: verifiers that replace the built-in one of a kind, `{"code": callable}`; each takes the `Row`s and
            returns, for each, a `Verdict`, a score from 0 to 1, a boolean, or `None` for not scorable.
        code_options: options of `trl_rlsp.verification.verify_code`; they override the options above.
        watch: callables called once per batch with `completions`, `completion_ids` and `log_metric`, if there is a
            logger; for metrics that do not affect the reward, such as `trl_rlsp.behaviours.BehaviourMetrics()`.

    Raises ConfigError for an invalid argument and, when called, if all three columns are missing; when called,
    MissingDependencyError if rows need reasoning-gym and it is missing, WorkerError if workers cannot be started.

    Example:
        >>> with OutcomeVerifier() as verifier:
        ...     verifier(completions=[r"So it is \\boxed{0.5}.", "No idea."], solution=["\\\\frac{1}{2}", "3"])
        [1.0, 0.0]
    """

    __name__ = "outcome_verifier"
    takes_readings = True
    compares_answers = True  # it can decide whether any two mathematical answers are equal

    def __init__(
        self,
        *,
        workers: int = 2,
        time_limit: float = 2.0,
        batch_seconds: float = 60.0,
        memory_mb: int = 1024,
        cache_size: int = 20_000,
        end_of_thinking: str | None = "</think>",
        thinking_required: bool | None = None,
        rules: MathRules | None = None,
        custom: Mapping[str, CustomVerifier] | None = None,
        code_options: Mapping[str, Any] | None = None,
        watch: Sequence[Callable[..., None]] = (),
    ) -> None:
        if not 1 <= workers <= 256:
            raise ConfigError(f"workers must be between 1 and 256, got {workers}")
        if not 0 < time_limit <= batch_seconds:
            raise ConfigError(f"0 < time_limit <= batch_seconds must hold, got {time_limit} and {batch_seconds}")
        if cache_size < 1:
            raise ConfigError(f"cache_size must be at least 1, got {cache_size}")
        if unknown := sorted(set(custom or {}) - set(COLUMNS)):
            raise ConfigError(f"custom verifiers are registered for {', '.join(COLUMNS)}; got {', '.join(unknown)}")
        self.time_limit, self.batch_seconds = time_limit, batch_seconds
        self.reader = Reader(end_of_thinking, thinking_required)
        self.rules, self.custom, self.watch = rules or MathRules(), dict(custom or {}), tuple(watch)
        self.code_options = dict(code_options or {})
        self.cache: dict[Hashable, Verdict] = {}
        self.cache_size = cache_size
        handlers = {"math": verification.MATH_HANDLER, "gym": verification.GYM_HANDLER}
        self.pools = {kind: WorkerPool(h, workers=workers, memory_mb=memory_mb) for kind, h in handlers.items()}
        self.workers = self.pools["math"].workers

    def __call__(
        self, prompts: Sequence[Any] | None = None, completions: Sequence[Any] = (), **columns: Any
    ) -> list[float | None]:
        """Scores of a batch, one per completion; `None` for completions that are not scorable.

        The first of the columns `tests`, `task`, `solution` that a row has is used. `log_metric` receives the fraction
        of each reason; `log_extra` the columns `verdict` (the reason), `parsed_gold` and `parsed_answer` (as compared).
        """
        return [verdict.score for verdict in self.judged(completions, prompts=prompts, **columns)]

    def judged(
        self, completions: Sequence[Any], *, log_metric: Any = None, log_extra: Any = None, **columns: Any
    ) -> list[Verdict]:
        """The verdicts of a batch, with logging; takes the same arguments as a call."""
        self.reader.look_at(log_metric)
        verdicts = self.verdicts(completions, **columns)
        if log_metric is not None and verdicts:
            reasons = [verdict.reason for verdict in verdicts]
            for reason in get_args(Reason):  # including zeros: TRL averages over the ranks and steps that log a metric
                log_metric(f"verifier/{reason}", reasons.count(reason) / len(verdicts))
            for metrics in self.watch:
                metrics(completions=completions, completion_ids=columns.get("completion_ids"), log_metric=log_metric)
        if log_extra is not None:
            log_extra("verdict", [verdict.reason for verdict in verdicts])
            log_extra("parsed_gold", [verdict.gold for verdict in verdicts])
            log_extra("parsed_answer", [verdict.answer for verdict in verdicts])
        return verdicts

    def verdicts(
        self,
        completions: Sequence[Any],
        *,
        prompts: Sequence[Any] | None = None,
        readings: Sequence[Any] | None = None,
        **columns: Any,
    ) -> list[Verdict]:
        """Score and reason for each completion; verdicts of completions seen before come from the cache."""
        rows = _rows(completions, prompts, columns)
        keys = [_key(row) for row in rows]
        verdicts = [self.cache.get(key) for key in keys]
        if readings is None:
            readings = self.reader.read(completions, {**columns, "prompts": prompts}) if None in verdicts else ()
        for i, reading in enumerate(readings):
            if reading.reason == "unfinished":
                verdicts[i] = Verdict(0.0, "no_answer")
        for kind in COLUMNS:
            indices = [i for i, row in enumerate(rows) if verdicts[i] is None and row.kind == kind]
            items = [rows[i]._replace(reading=readings[i]) for i in indices]
            for i, value in zip(indices, self._verify(kind, items) if items else (), strict=True):
                verdicts[i] = verdict = _as_verdict(value)
                if verdict.reason not in ("scorer_error", "worker_crash"):  # worth another try
                    self.cache[keys[i]] = verdict
        for oldest in list(self.cache)[: -self.cache_size]:
            self.cache.pop(oldest, None)
        return [verdict for verdict in verdicts if verdict is not None]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "cache": {}}  # its hashes are valid only in this process

    def _verify(self, kind: str, rows: Sequence[Row]) -> Sequence[Verdict | float | None]:
        if kind in self.custom:
            return self.custom[kind](rows)
        limits: dict[str, Any] = {"limit": self.time_limit, "deadline": self.batch_seconds}
        if kind == "math":
            items = [MathItem(row.truth, row.reading, row.prompt) for row in rows]
            return verification.verify_math(items, self.pools["math"], rules=self.rules, **limits)
        if kind == "gym":
            if importlib.util.find_spec("reasoning_gym") is None:
                raise MissingDependencyError("rows with `task` need reasoning-gym: pip install 'trl-rlsp[gym]'")
            return verification.verify_gym([(row.truth, row.reading) for row in rows], self.pools["gym"], **limits)
        if kind != "code":
            raise ConfigError(f"no verifier of answers of the kind {kind!r}; give one: OutcomeVerifier(custom=...)")
        programs = [(row.reading, row.truth) for row in rows]
        limits = {"time_limit": self.time_limit, "batch_seconds": self.batch_seconds, "workers": self.workers}
        return verification.verify_code(programs, prompts=[row.prompt for row in rows], **limits | self.code_options)

    def start(self, kinds: Sequence[str] = ("math",)) -> None:
        """Warm the workers of the given kinds (`math`, `gym`) in the background; returns at once."""
        for kind in self.pools.keys() & kinds:
            self.pools[kind].start()

    def close(self) -> None:
        """Stop all worker processes and the sandbox's helpers. The verifier can be used again."""
        for pool in self.pools.values():
            pool.close()
        sandbox = sys.modules.get("trl_rlsp.verification.code.sandbox")  # if not imported, no program was run
        if sandbox is not None and sandbox.find_sandbox.cache_info().currsize:
            sandbox.find_sandbox(self.code_options.get("allow_unsandboxed", False)).close()

    def __enter__(self) -> OutcomeVerifier:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_verdict(value: Verdict | float | bool | None) -> Verdict:
    if isinstance(value, Verdict):
        return value
    if value is None or not math.isfinite(value):
        return Verdict(None, "scorer_error")
    return Verdict(float(value), "match" if value >= 1 else "mismatch")


def _rows(completions: Sequence[Any], prompts: Sequence[Any] | None, columns: Mapping[str, Any]) -> list[Row]:
    count, given = len(completions), {name: columns.get(name) for name in COLUMNS.values()}
    if all(column is None for column in given.values()):
        raise ConfigError(
            f"the outcome verifier needs one of the columns {', '.join(GOLD_COLUMNS)}; other columns received: "
            f"{', '.join(sorted(set(columns) - set(given))) or 'none'}. Rename the data set's answer column, e.g. "
            "dataset.rename_column('answer', 'solution')"
        )
    labels = [value for value in given["task"] or () if value is not None]
    if given["solution"] is given["tests"] is None and labels and not any(map(is_task, labels)):
        raise ConfigError(
            f"the column task holds generated tasks as JSON, got {labels[0]!r} and no other column to verify by; add a "
            "column solution, or rename task if it is something else"
        )
    for name, column in {"prompts": prompts, **given}.items():
        if column is not None and len(column) != count:
            raise ConfigError(f"{count} completions need {count} {name}, got {len(column)}")
    kinds = kinds_of(columns, count)
    truths = [(given[COLUMNS[kind]] or [None] * count)[i] for i, kind in enumerate(kinds)]
    texts = list(map(_user_text, prompts or [None] * count))
    return [Row(*values) for values in zip(kinds, completions, truths, texts, strict=True)]


def _user_text(prompt: Any) -> str:
    """The user's text; the system prompt's examples are not part of the problem."""
    if isinstance(prompt, str):
        return prompt
    turns = [message for message in prompt or () if message.get("role") == "user"]
    return "\n".join(completion_text({"content": turn.get("content")}) for turn in turns)


def _key(row: Row) -> Hashable:
    """Everything that a verdict depends on, as 64-bit hashes, so that the cache does not keep texts in memory."""
    truth = row.truth if isinstance(row.truth, str) else repr(row.truth)
    return row.kind, type(row.truth), hash(truth), hash(_hashable(row.completion)), hash(row.prompt)


def _hashable(value: Any) -> Hashable:
    """A hashable form of a completion without copies of its texts: string objects cache their hash."""
    if isinstance(value, dict):
        return tuple((key, _hashable(part)) for key, part in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return value if isinstance(value, Hashable) else repr(value)


class OwnVerifier(OutcomeVerifier):
    """Wraps a reward function that computes the outcome, in place of the built-in verifiers of all kinds.

    The function returns for each completion a score from 0 to 1, a boolean, a `Verdict`, or `None` for not scorable.
    Verdicts are not cached. The other options are those of `OutcomeVerifier`.

    Example:
        >>> verifier = OwnVerifier(lambda completions, **_: [len(c) > 3 for c in completions])
        >>> verifier(completions=["no", "maybe"])
        [0.0, 1.0]
    """

    compares_answers = False

    def __init__(self, function: Callable[..., Sequence[Any]], **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def verdicts(self, completions: Sequence[Any], **columns: Any) -> list[Verdict]:  # type: ignore[override]
        """Score and reason for each completion."""
        columns.pop("readings", None)
        verdicts = [_as_verdict(value) for value in self.function(completions=completions, **columns)]
        if len(verdicts) != (count := len(completions)):
            raise ConfigError(f"a verifier returns one value per completion, got {len(verdicts)} for {count}")
        return verdicts


def load_object(name: str) -> Callable[..., Any]:
    """Import the callable `module.name`, also from the current folder; a class is instantiated without arguments."""
    module, _, attribute = name.rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        target = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        rule = "a reward of your own is module.name, importable from the current folder"
        raise ConfigError(f"{rule}, got {name!r}: {error}") from error
    reward = target() if isinstance(target, type) else target
    if not callable(reward):
        raise ConfigError(f"a reward must be callable, got {name} = {reward!r}")
    return reward
