"""One verdict, one reading and one value of each exploration reward for each completion of a step.

TRL calls the columns of a suite one after another and sums them, with `None` as 0. Therefore one call here computes all
columns of a step: a completion without a verdict is `None` in every column, and if an exploration reward fails for a
completion, the mean of the known values of its group (else of the batch) is used, which neither helps nor hurts it.
The bonus of `adaptive` (after 2509.00125, 2506.05256, 2505.18086) is in [0, 1): a right completion gets at least 1, and
with alpha > 0.5 the scale is below 1, so no wrong completion outranks a right one of its group.
"""

from __future__ import annotations

import logging
import math
import statistics
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple, get_args

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.balance import ASYNC_ADVICE, GROUP_ADVICE, AlphaSchedule, check_balance, divides, unbounded
from trl_rlsp.rewards.batch import Reader, as_explored, gather_groups, group_keys, log_mean, mean
from trl_rlsp.rewards.outcome import OutcomeVerifier
from trl_rlsp.text import Reading, approach, prompt_text, visible
from trl_rlsp.verification import Verdict

logger = logging.getLogger(__name__)

Reward = Callable[..., Sequence[Any]]
Gate = Literal["none", "correct", "incorrect", "adaptive"]
Objective = Literal["verdict", "max_rl", "pass@k", "rare"]
Column = list[float | None]

_LOGGERS = ("log_metric", "log_extra")
_MOST_OPEN = 4
_TRL_ADDS = 1e-4  # to a standard deviation that it divides by
_LOCK = threading.RLock()
_ASYNC_WORKER = "trl.experimental.async_grpo.async_rollout_worker"


class _Step(NamedTuple):
    batch: Mapping[str, Any]
    columns: list[Column]
    waiting: set[int]  # columns that have not been requested yet


@dataclass(eq=False)
class Scorer:
    """Shared state of the columns of a suite.

    It reads these attributes of an exploration reward: `bounded` (values are in [0, 1]); `can_fail` (false: never
    `None`, so that no gathering is needed); `takes_readings` (takes `readings`, B `Reading`s); `measures_length`
    (its method `costs(completions, **kwargs)` returns `L`, B values in [0, 1)).
    """

    verifier: Reward
    exploration: tuple[Reward, ...]
    schedule: AlphaSchedule
    gate: Gate
    length_penalty: float
    reader: Reader
    objective: Objective = "verdict"
    k: int = 4
    checked: bool = False  # whether the trainer's settings have been checked
    _open: list[_Step] = field(default_factory=list)
    _warned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.gate not in get_args(Gate):
            raise ConfigError(f"gate must be 'none', 'correct', 'incorrect' or 'adaptive', got {self.gate!r}")
        if not 0 <= self.length_penalty <= 1:
            raise ConfigError(f"length_penalty must be a weight from 0 to 1, got {self.length_penalty!r}")
        if self.objective not in get_args(Objective) or self.k < 1:
            rule = "objective must be 'verdict', 'max_rl', 'pass@k' or 'rare', and k at least 1"
            raise ConfigError(f"{rule}, got {self.objective!r} and {self.k!r}")
        if self.gate == "adaptive" and unbounded(self):
            raise ConfigError(
                f"gate='adaptive' needs exploration in [0, 1), got {unbounded(self)}: unbounded, it lets wrong "
                "completions outrank correct ones; use form='bounded', or gate='none' for the paper's reward"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": []}

    def scale(self, alpha: float) -> float:
        """The weight of exploration relative to a verdict weight of 1."""
        return (1 - alpha) / alpha / max(len(self.exploration), 1)

    @property
    def names(self) -> list[str]:
        """Names of the columns: the outcome, the exploration rewards, and an objective other than the verdict."""
        own = [] if self.objective == "verdict" else [self.objective.replace("@", "_at_")]
        return [*map(name_of, (self.verifier, *self.exploration)), *own]

    def column(self, place: int, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Column:
        """Column `place` of a step, in the order of `names`; the first column requested scores the batch for all."""
        batch = {"completions": completions, **{name: kwargs[name] for name in kwargs if name not in _LOGGERS}}
        with _LOCK:  # TRL's asynchronous trainer requests all columns at once, in threads
            step = next((step for step in self._open if place in step.waiting and step.batch == batch), None)
            if step is None:
                columns = self.columns(completions, kwargs)
                step = _Step(batch, columns, set(range(len(columns))))
                self._open.append(step)
            step.waiting.discard(place)
            self._open = [open_ for open_ in self._open if open_.waiting][-_MOST_OPEN:]
        return step.columns[place]

    def columns(self, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Column]:
        """The values of all columns. This is a collective operation if they depend on groups: with an adaptive gate, an
        objective other than the verdict, an exploration reward that may fail, or a trainer that scales by group."""
        args = getattr(getattr(kwargs.get("log_metric"), "__self__", None), "args", None)  # of the trainer
        self._look_at_trainer(args, asynchronous=kwargs.get("log_metric") is None and _ASYNC_WORKER in sys.modules)
        read = self.reader.read(completions, kwargs)
        gives_reasons = type(self.verifier).__call__ is OutcomeVerifier.__call__
        judge = self.verifier.judged if gives_reasons else self.verifier  # type: ignore[attr-defined]
        judged = _called(self.verifier, judge, completions, {**kwargs, "readings": read})
        verdicts = list(map(_number, judged))
        explored = {**kwargs, "readings": list(map(as_explored, read, judged))}
        values = [list(map(_number, _called(part, part, completions, explored))) for part in self.exploration]
        for part, column in zip(self.exploration, values, strict=True):
            self._check_bounds(part, column)
        groups, values = self._over_groups(verdicts, values, kwargs)
        alpha = self.schedule.value(kwargs.get("trainer_state"), metric=f"rewards/{name_of(self.verifier)}/mean")
        if self.schedule.moves:
            log_mean(kwargs.get("log_metric"), "exploration/alpha", [alpha])
        rates, rooms = list(map(failure_rate, groups)), list(map(self._room, groups))
        paid = [verdicts]
        for part, column in zip(self.exploration, values, strict=True):
            measures = self.gate == "adaptive" and getattr(part, "measures_length", False)
            lengths = part.costs(completions, **explored) if measures else [1.0] * len(completions)  # type: ignore[attr-defined]
            rows = zip(verdicts, rates, column, lengths, rooms, strict=True)
            scale = self.scale(alpha)
            paid.append(
                [None if v is None or e is None else scale * r * self._gated(v, f, e, x) for v, f, e, x, r in rows]
            )
        if self.objective == "rare":
            paid.append(_rare_pay(verdicts, read, kwargs))
        elif self.objective != "verdict":
            pairs = zip(verdicts, groups, rooms, strict=True)
            paid.append([None if v is None else self._objective_pay(v, group, room) for v, group, room in pairs])
        if self._undoes_division(args):
            keys = group_keys(kwargs.get("prompts"), kwargs)
            rows_of = gather_groups(keys, list(zip(*paid, strict=True)))
            factors = {key: _division_undone(rows) for key, rows in rows_of.items()}
            paid[1:] = [[v and v * factors[key] for v, key in zip(c, keys, strict=True)] for c in paid[1:]]
        return paid

    def _undoes_division(self, args: Any) -> bool:
        """Whether a trainer with these `args` divides the suite's bonuses in a way that `_division_undone` can undo."""
        summed = getattr(args, "multi_objective_aggregation", "") != "normalize_then_sum"
        return divides(args) and summed and len(self.names) > 1 and self.gate != "correct" and not unbounded(self)

    def _over_groups(
        self, verdicts: Column, values: list[Column], kwargs: Mapping[str, Any]
    ) -> tuple[list[Column], list[Column]]:
        """(the verdicts of each completion's group, the values with failures filled in), over all ranks."""
        can_fail = any(getattr(part, "can_fail", True) for part in self.exploration)
        compares = self.gate == "adaptive" or self.objective != "verdict"
        if not compares and not can_fail:
            return [[]] * len(verdicts), values
        prompts, log_metric = kwargs.get("prompts"), kwargs.get("log_metric")
        keys = group_keys(prompts, kwargs) if prompts or compares else [""] * len(verdicts)
        local = list(zip(verdicts, *values, strict=True))
        groups = gather_groups(keys, local)
        judged = {key: [row[0] for row in rows] for key, rows in groups.items()}
        if self.gate == "adaptive":
            log_mean(log_metric, "exploration/failure_rate", [failure_rate(judged[key]) for key in keys])
        if can_fail:
            log_mean(log_metric, "exploration/failed", [None in row for row in local if row[0] is not None])
            batch = list(chain.from_iterable(groups.values()))
            values = [
                [_filled(row[place], (groups[key], batch), place) for key, row in zip(keys, local, strict=True)]
                for place in range(1, len(values) + 1)
            ]
        return [judged[key] for key in keys], values

    def _room(self, group: Column) -> float:
        """The margin between a wrong and a right completion, which exploration must not exceed: 1, or under pass@k the
        probability that k - 1 others of the group are also wrong."""
        others, right = sum(v is not None for v in group) - 1, sum(v is not None and v >= 1 for v in group)
        if self.objective != "pass@k" or others < 1:
            return 1.0
        drawn = min(self.k - 1, others)
        return math.comb(max(others - right, 0), drawn) / math.comb(others, drawn)

    def _objective_pay(self, verdict: float, group: Column, room: float) -> float:
        if self.objective == "pass@k":
            return (1 - verdict) * (1 - room)
        return verdict / solved - verdict if (solved := mean(group)) else 0.0

    def _gated(self, verdict: float, rate: float | None, value: float, length: float) -> float:
        if self.gate == "adaptive":
            failing = rate or 0.0
            return failing * value + self.length_penalty * (1 - failing) * (1 - length)
        return value if {"none": True, "correct": verdict > 0, "incorrect": verdict <= 0}[self.gate] else 0.0

    def _check_bounds(self, part: Reward, values: Column) -> None:
        name = name_of(part)
        outside = [value for value in values if value is not None and not 0 <= value <= 1]
        if hasattr(part, "bounded") or not outside or name in self._warned:
            return
        self._warned.add(name)
        advice = "Bound it, as with x / (1 + x), or give it an attribute `bounded = False` if this is intended"
        risk = "a wrong completion can outrank a right one"
        logger.warning("%s must lie in [0, 1], got %g: %s. %s", name, max(outside, key=abs), risk, advice)

    def _look_at_trainer(self, args: Any, *, asynchronous: bool) -> None:
        """Warn once about the settings of a trainer that does not check them itself."""
        if self.checked or not (args is not None or asynchronous):
            return
        self.checked = True
        undone = self._undoes_division(args)
        parts = [Part(self, place) for place in range(len(self.names))]
        for finding in check_balance(parts, args) if args is not None else ():
            logger.warning(GROUP_ADVICE if undone and finding.code == "group_scaling" else finding.message)
        if asynchronous and self.gate != "correct" and self.exploration:
            logger.warning(ASYNC_ADVICE)


class Part:
    """One column of a suite, callable by TRL; `place` 0 is the outcome, followed by exploration and objective."""

    def __init__(self, scorer: Scorer, place: int) -> None:
        self.scorer, self.place = scorer, place
        self.reward: Reward | None = [scorer.verifier, *scorer.exploration, None][place]
        self.__name__ = scorer.names[place]

    def __repr__(self) -> str:
        if self.reward is None:
            return self.__name__
        scale = self.scorer.scale(self.scorer.schedule.start)
        return f"{scale:g} * {self.reward!r}" if self.place else repr(self.reward)

    def __call__(self, *, completions: Sequence[Any], **kwargs: Any) -> Column:
        """Score a batch of B completions: B floats, `None` for those without a verdict."""
        return self.scorer.column(self.place, completions, kwargs)


def _division_undone(rows: Sequence[tuple[float | None, ...]]) -> float:
    """Factor of a group's bonuses (all columns but the first) that keeps their size where all verdicts are equal, when
    the trainer divides rewards by their standard deviation plus `_TRL_ADDS`."""
    verdicts = {row[0] for row in rows if row[0] is not None}
    bonuses = [sum(value or 0.0 for value in row[1:]) for row in rows if row[0] is not None]
    deviation = statistics.stdev(bonuses) if len(verdicts) == 1 and len(bonuses) > 1 else 1.0
    return _TRL_ADDS / (1 - deviation) if deviation < 1 else 1.0


def _rare_pay(verdicts: Column, readings: Sequence[Reading], kwargs: Mapping[str, Any]) -> Column:
    """Each verdict times the rarity of its approach: the mean, over the calculations that lead to the answer, of the
    share of the group's other completions that were not solved with it; 0 without such calculations."""
    keys = group_keys(kwargs.get("prompts"), kwargs)
    ways = [
        approach(visible(reading.exploration), reading.answer or "", given=prompt_text(prompt)) if v else frozenset()
        for v, reading, prompt in zip(verdicts, readings, kwargs["prompts"], strict=True)
    ]
    groups = gather_groups(keys, list(zip(verdicts, ways, strict=True)))
    paid: Column = []
    for verdict, way, key in zip(verdicts, ways, keys, strict=True):
        known = [other for score, other in groups[key] if score is not None]
        others = max(len(known) - 1, 1)
        rarities = [1 - (sum(step in other for other in known) - 1) / others for step in way]
        paid.append(None if verdict is None else verdict * (mean(rarities) or 0.0) * (len(known) > 1))
    return paid


def name_of(part: Any) -> str:
    """The name under which TRL logs a reward."""
    return str(getattr(part, "__name__", type(part).__name__))


def _called(part: Reward, function: Reward, completions: Sequence[Any], columns: Mapping[str, Any]) -> list[Any]:
    """One value per completion, from `function`, which is the part or one of its methods."""
    takes_readings = getattr(part, "takes_readings", False)
    wanted = {name: value for name, value in columns.items() if takes_readings or name != "readings"}
    values, count = list(function(completions=completions, **wanted)), len(completions)
    if len(values) != count:
        raise ConfigError(f"{name_of(part)} must return one value per completion: {count}, got {len(values)}")
    return values


def failure_rate(verdicts: Iterable[float | None]) -> float | None:
    """1 - the mean verdict over the scorable completions, in [0, 1]; `None` if there are none."""
    solved = mean(verdicts)
    return None if solved is None else min(max(1 - solved, 0.0), 1.0)


def _filled(value: float | None, circles: Iterable[Sequence[Sequence[Any]]], place: int) -> float | None:
    """`value`; if missing, the mean over scorable completions with known values in the first circle that has any."""
    means = (mean(row[place] for row in rows if row[0] is not None) for rows in circles)
    return value if value is not None else next((known for known in means if known is not None), None)


def _number(value: Any) -> float | None:
    if isinstance(value, Verdict):
        value = value.score
    return float(value) if value is not None and math.isfinite(value) else None
