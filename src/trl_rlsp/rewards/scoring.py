r"""One verdict, one reading and one value of each exploration reward for each completion of a step.

TRL calls the columns of a suite one after the other and adds them up, with `None` as 0. So all columns of a step come
from one call here: what has no verdict is `None` in every column, and an exploration reward that fails for a
completion gets the mean of its group's known values there (else the batch's), which neither pays nor costs anything.
Failures are counted as `exploration/failed`.

The gates, for a completion with verdict `V` and exploration `E`, in a group with failure rate `f`, each times the
part's scale:

| gate | value |
|---|---|
| `none` | `E` (the paper, 2502.06773, eq. 1) |
| `correct` | `E` if `V > 0`, else 0 |
| `incorrect` | `E` if `V <= 0`, else 0 |
| `adaptive` | `f * E`; a measure of length: `f * E + length_penalty * (1 - f) * (1 - L)` |

`adaptive` pays for effort where the group still fails and, for length, prefers short completions where it already
succeeds: the sign by failure rate of 2509.00125, the cost by solve rate of 2506.05256, the gate on it of 2505.18086.
`L` is the same bounded measure as `E` over everything that was written: text that effort does not count (repetition,
all after the answer) would otherwise be a place to hide from the cost. Up to a constant of the group, which leaves
advantages as they are, the value is about `(f - length_penalty * (1 - f)) * E`, which changes its sign at
`f = length_penalty / (1 + length_penalty)`, 0.2 by default.

The value of `adaptive` lies in [0, 1), so a right completion is paid at least 1 (trainers that take rewards as a
threshold of success rely on that), and with alpha > 0.5, where the scale is below 1, no wrong completion outranks a
right one of its group.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.alpha_schedule import AlphaSchedule
from trl_rlsp.rewards.balance import ASYNC_ADVICE, check_balance
from trl_rlsp.rewards.groups import gather_ranks, group_keys
from trl_rlsp.rewards.readings import Reader, as_explored
from trl_rlsp.verification import Verdict

logger = logging.getLogger(__name__)

Reward = Callable[..., Sequence[Any]]
Gate = Literal["none", "correct", "incorrect", "adaptive"]
Column = list[float | None]

_LOGGERS = ("log_metric", "log_extra")
_MOST_OPEN = 4
_ASYNC_WORKER = "trl.experimental.async_grpo.async_rollout_worker"


class _Step(NamedTuple):
    """A batch, what each column is worth in it, and the columns that have not been asked for."""

    batch: Mapping[str, Any]
    columns: list[Column]
    waiting: set[int]


class Scorer:
    """What the columns of a suite share.

    Args:
        verifier: scores outcomes: numbers, booleans, `Verdict`s, `None` = not scorable.
        exploration: reward functions with values that are independent of correctness. Attributes they may have:
            `bounded` (values lie in [0, 1]); `can_fail` (false: never `None`, so that nothing need be gathered);
            `takes_readings` (wants `readings`, B `Reading`s); `measures_length` (its method
            `costs(completions, **kwargs)` gives `L`, B values in [0, 1)).
        schedule: alpha over training.
        gate: which completions exploration pays.
        length_penalty: weight of the cost of length under `adaptive`, in [0, 1].
        reader: how completions are read.

    Raises:
        ConfigError: an unknown gate; a penalty out of range; `adaptive` with an unbounded exploration reward.
    """

    def __init__(
        self,
        verifier: Reward,
        exploration: Sequence[Reward],
        *,
        schedule: AlphaSchedule,
        gate: Gate,
        length_penalty: float,
        reader: Reader,
    ) -> None:
        _check_gate(gate, length_penalty, exploration)
        self.verifier, self.exploration, self.schedule = verifier, tuple(exploration), schedule
        self.gate, self.length_penalty, self.reader = gate, length_penalty, reader
        self.checked = False
        """Whether the trainer's settings have been compared with the suite's."""
        self._warned: set[str] = set()
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_open")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock, self._open = threading.Lock(), list[_Step]()

    @property
    def scale(self) -> float:
        """Factor of an exploration value at the first step, beside a verdict of 1."""
        return self._scale(self.schedule.start)

    def _scale(self, alpha: float) -> float:
        return (1 - alpha) / alpha / max(len(self.exploration), 1)

    def column(self, place: int, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Column:
        """Column `place` of a step, 0 being the outcome.

        The first column that is asked for a batch scores it for all, and logs; each then takes its share once.
        """
        batch = {"completions": completions, **{name: kwargs[name] for name in kwargs if name not in _LOGGERS}}
        with self._lock:  # TRL's asynchronous trainer asks for all columns at once, in threads
            step = next((step for step in self._open if place in step.waiting and _same(step.batch, batch)), None)
            if step is None:
                columns = self.columns(completions, kwargs)
                step = _Step(batch, columns, set(range(len(columns))))
                self._open.append(step)
            step.waiting.discard(place)
            self._open = [open_ for open_ in self._open if open_.waiting][-_MOST_OPEN:]
        return step.columns[place]

    def columns(self, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Column]:
        """Verdicts and what each exploration reward pays, for B completions.

        Collective where ranks share the batch, if the gate is adaptive or a reward may fail.
        """
        self._look_at_trainer(kwargs)
        read = self.reader.read(completions, kwargs)
        judged = self._called(_judge(self.verifier), completions, {**kwargs, "readings": read}, of=self.verifier)
        verdicts = list(map(_number, judged))
        given = {**kwargs, "readings": list(map(as_explored, read, judged))}
        values = [list(map(_number, self._called(part, completions, given))) for part in self.exploration]
        for part, column in zip(self.exploration, values, strict=True):
            self._check_bounds(part, column)
        rates, values = self._over_groups(verdicts, values, kwargs)
        scale = self._scale(self._current_alpha(kwargs))
        paid = [verdicts]
        for part, column in zip(self.exploration, values, strict=True):
            rows = zip(verdicts, rates, column, self._lengths(part, completions, given), strict=True)
            paid.append([None if v is None or e is None else scale * self._gated(v, f, e, x) for v, f, e, x in rows])
        return paid

    def _called(
        self, function: Reward, completions: Sequence[Any], given: Mapping[str, Any], *, of: Reward | None = None
    ) -> list[Any]:
        """One value a completion, as `function`, a method of the part `of`, gives them."""
        part = of or function
        takes_readings = getattr(part, "takes_readings", False)
        wanted = {name: value for name, value in given.items() if takes_readings or name != "readings"}
        found = list(function(completions=completions, **wanted))
        if len(found) != len(completions):
            raise ConfigError(
                f"{name_of(part)} must give {len(completions)} values, one a completion, got {len(found)}"
            )
        return found

    def _over_groups(
        self, verdicts: Column, values: list[Column], kwargs: Mapping[str, Any]
    ) -> tuple[Column, list[Column]]:
        """(each completion's failure rate, values in which failures are filled in), over all ranks."""
        can_fail = any(getattr(part, "can_fail", True) for part in self.exploration)
        rates: Column = [None] * len(verdicts)
        if self.gate != "adaptive" and not can_fail:
            return rates, values
        prompts = kwargs.get("prompts")
        keys = group_keys(prompts, kwargs) if prompts or self.gate == "adaptive" else [""] * len(verdicts)
        local = list(zip(verdicts, *values, strict=True))
        _, ranks = gather_ranks(list(zip(keys, local, strict=True)))
        everybody = [row for rank in ranks for _, row in rank]
        groups: dict[str, list[tuple[float | None, ...]]] = {}
        for key, row in (pair for rank in ranks for pair in rank):
            groups.setdefault(key, []).append(row)
        if self.gate == "adaptive":
            by_group = {key: failure_rate([row[0] for row in rows]) for key, rows in groups.items()}
            rates = [by_group[key] for key in keys]
            _log_mean(kwargs, "exploration/failure_rate", rates)
        if can_fail:
            scored = [row for row in local if row[0] is not None]
            _log_mean(kwargs, "exploration/failed", [float(None in row) for row in scored])
            values = [
                [_filled(row[place], groups[key], everybody, place) for key, row in zip(keys, local, strict=True)]
                for place in range(1, len(values) + 1)
            ]
        return rates, values

    def _gated(self, verdict: float, rate: float | None, value: float, length: float | None) -> float:
        if self.gate == "adaptive":
            failing = rate or 0.0
            saved = 0.0 if length is None else 1 - length
            return failing * value + self.length_penalty * (1 - failing) * saved
        paid = {"none": True, "correct": verdict > 0, "incorrect": verdict <= 0}[self.gate]
        return value if paid else 0.0

    def _lengths(self, part: Any, completions: Sequence[Any], given: Mapping[str, Any]) -> Sequence[float | None]:
        """`L` of each completion; `None` where it costs nothing."""
        if self.gate != "adaptive" or not getattr(part, "measures_length", False):
            return [None] * len(completions)
        return part.costs(completions, **given)

    def _current_alpha(self, kwargs: Mapping[str, Any]) -> float:
        metric = f"rewards/{name_of(self.verifier)}/mean"
        alpha = self.schedule.value(kwargs.get("trainer_state"), metric=metric)
        if self.schedule.moves:
            _log_mean(kwargs, "exploration/alpha", [alpha])
        return alpha

    def _check_bounds(self, part: Reward, values: Column) -> None:
        name = name_of(part)
        outside = [value for value in values if value is not None and not 0 <= value <= 1]
        if hasattr(part, "bounded") or not outside or name in self._warned:
            return
        self._warned.add(name)
        logger.warning(
            "%s must lie in [0, 1], got %g: a wrong completion can outrank a right one. Bound it, for instance with "
            "x / (1 + x), or give it an attribute `bounded = False` if that is meant",
            name,
            max(outside, key=abs),
        )

    def _look_at_trainer(self, kwargs: Mapping[str, Any]) -> None:
        """Once: warn about settings of a trainer that does not check them itself."""
        if self.checked:
            return
        args = getattr(getattr(kwargs.get("log_metric"), "__self__", None), "args", None)
        if args is not None:
            self.checked = True
            for finding in check_balance(parts_of(self), args):
                logger.warning(finding.message)
        elif _ASYNC_WORKER in sys.modules and kwargs.get("log_metric") is None:
            self.checked = True
            if self.gate != "correct" and self.exploration:
                logger.warning(ASYNC_ADVICE)


class Part:
    """One column of a suite, as TRL calls it.

    Args:
        scorer: the suite's.
        place: 0 is the outcome, then come the exploration rewards.
    """

    def __init__(self, scorer: Scorer, place: int) -> None:
        self.scorer, self.place = scorer, place
        self.__name__ = name_of(self.reward)

    def __repr__(self) -> str:
        return f"{self.scorer.scale:g} * {self.reward!r}" if self.place else repr(self.reward)

    @property
    def reward(self) -> Reward:
        """The verifier or exploration reward behind the column."""
        return (self.scorer.verifier, *self.scorer.exploration)[self.place]

    def __call__(self, *, completions: Sequence[Any], **kwargs: Any) -> Column:
        """Score a batch of B completions: B floats, or `None` where there is no verdict."""
        return self.scorer.column(self.place, completions, kwargs)


def parts_of(scorer: Scorer) -> list[Part]:
    """All columns of a suite."""
    return [Part(scorer, place) for place in range(1 + len(scorer.exploration))]


def name_of(part: Any) -> str:
    """The name under which TRL logs a reward."""
    return str(getattr(part, "__name__", type(part).__name__))


def _judge(verifier: Reward) -> Callable[..., Sequence[Any]]:
    """What to ask for verdicts with their reasons: `judged`, unless a subclass has a `__call__` of its own."""
    for kind in type(verifier).__mro__:
        if "judged" in vars(kind):
            return verifier.judged  # type: ignore[attr-defined, no-any-return]
        if "__call__" in vars(kind):
            break
    return verifier


def failure_rate(verdicts: Iterable[float | None]) -> float | None:
    """1 - the mean verdict over the scorable completions, in [0, 1]; `None` without any.

    The sum is exact, so that the order of the ranks does not show.

    Example:
        >>> failure_rate([1.0, 0.0, None, 0.0, 0.0])
        0.75
    """
    mean = _mean(verdicts)
    return None if mean is None else min(max(1 - mean, 0.0), 1.0)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _log_mean(kwargs: Mapping[str, Any], name: str, values: Iterable[float | None]) -> None:
    mean, log_metric = _mean(values), kwargs.get("log_metric")
    if log_metric is not None and mean is not None:
        log_metric(name, mean)


def _filled(value: float | None, group: Sequence[Sequence[Any]], everybody: Sequence[Sequence[Any]], place: int) -> Any:
    """`value`, or where it is missing the mean of the known ones of the scorable completions."""
    if value is not None:
        return value
    for rows in (group, everybody):
        mean = _mean(row[place] for row in rows if row[0] is not None)
        if mean is not None:
            return mean
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, Verdict):
        value = value.score
    return float(value) if value is not None and math.isfinite(value) else None


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] or one[name] == other[name] for name in one)


def _check_gate(gate: str, length_penalty: float, exploration: Sequence[Reward]) -> None:
    if gate not in get_args(Gate):
        raise ConfigError(f"gate is 'none', 'correct', 'incorrect' or 'adaptive', got {gate!r}")
    if not 0 <= length_penalty <= 1:
        raise ConfigError(f"length_penalty is the weight of the cost of length, from 0 to 1, got {length_penalty!r}")
    unbounded = [part for part in exploration if getattr(part, "bounded", True) is False]
    if gate == "adaptive" and unbounded:
        raise ConfigError(
            f"gate='adaptive' needs exploration in [0, 1), got {unbounded}: unbounded, it lets wrong completions "
            "outrank correct ones whatever alpha is; use form='bounded', or gate='none' for the paper's reward"
        )
