"""Where a run will end, from its beginning: a sigmoid in the sampled tokens, where the points determine one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation import Estimate
from trl_rlsp.runs._run import Run, accuracy_key, change, values_of

FEWEST_POINTS = 6  # the curve has four parameters
TOKENS = ("sampled_tokens", "num_tokens")  # TRL logs the second, which counts prompts too
_LAST = 3  # points whose mean is the naive forecast, and fewest for the end
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Sigmoid:
    """A solve rate after C tokens, R0 + (A - R0) / (1 + (C_mid / C)^B) (2510.13786).

    Attributes:
        start: R0, the rate at C = 0; `asymptote` is A, the rate at the end of all training; both from 0 to 1.
        midpoint: C_mid, the tokens at which half of the gain is reached; `exponent` is B.
    """

    start: float
    asymptote: float
    midpoint: float
    exponent: float


@dataclass(frozen=True)
class Forecast:
    """The forecast of the solve rate at the end of a run.

    Attributes:
        points: logged points that the fit has seen, those up to `share` of `tokens`.
        tokens: the end that is forecast.
        forecast: the mean of the best curve at the end, and the interval of all curves that the points do not reject at
            5 % (an F test of the four parameters together); `None` if the points do not determine the end.
        reason: why there is no forecast; `""` if there is one.
        curve: the best curve; `None` without a forecast.
        naive: the forecast that the rate stays where it is: the mean of the last 3 points.
        actual: the mean of the points of the last tenth of `tokens`, at least 3; `None` if the run has not got there,
            or if the fit has seen them.
    """

    points: int
    tokens: float
    forecast: Estimate | None
    reason: str
    curve: Sigmoid | None
    naive: float | None
    actual: float | None

    @property
    def missed(self) -> float | None:
        """The forecast minus the actual rate; `None` if one of them is not known."""
        return None if self.forecast is None or self.actual is None else self.forecast.mean - self.actual

    @property
    def naive_missed(self) -> float | None:
        """The naive forecast minus the actual rate; `None` if one of them is not known."""
        return None if self.naive is None or self.actual is None else self.naive - self.actual


def solve_rate_curve(run: Run) -> tuple[list[float], list[float]]:
    """Tokens so far and solve rate of each logged step of the RL stage.

    A DataError if its log has no reward `outcome_verifier` or `accuracy...`, or no count of tokens.
    """
    rate = accuracy_key(run.history)
    count = next((key for key in TOKENS if values_of(run.history, key)[0]), None)
    if rate is None or count is None:
        lacks = "no solve rate (the reward `outcome_verifier`)" if rate is None else f"none of {', '.join(TOKENS)}"
        raise DataError(f"a forecast needs solve rates and tokens in the log of the RL stage; {run.folder} has {lacks}")
    rates, counts = (dict(zip(*values_of(run.history, key), strict=True)) for key in (rate, count))
    steps = [step for step in rates if step in counts]
    return [counts[step] for step in steps], [rates[step] for step in steps]


def forecast(
    tokens: Sequence[float],
    rates: Sequence[float],
    *,
    share: float = 0.25,
    end: float | None = None,
    widest: float = 0.5,
) -> Forecast:
    """Fit a `Sigmoid` by least squares to the points up to `share` of the tokens at the `end`, and forecast the end.

    Args:
        tokens: N numbers of tokens sampled so far, ascending, the first above 0.
        rates: N solve rates, 0 to 1.
        share: above 0, at most 1.
        end: tokens at the end, such as the budget of a run that goes on; default: those of the last point.
        widest: there is no forecast if its interval is wider, in solve rate.

    Raises:
        ConfigError: another `share` or `end`.
        DataError: no points.

    >>> forecast([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4]).reason
    '1 point up to 1 tokens, and a fit needs 6'
    """
    if not 0 < share <= 1 or (end is not None and not end > 0):
        raise ConfigError(f"a forecast needs 0 < share <= 1 and tokens above 0, got share={share}, tokens={end}")
    if not len(tokens):
        raise DataError("a forecast needs at least one logged point of tokens and solve rate, got none")
    last = float(end or tokens[-1])
    seen = (np.asarray(tokens) > 0) & (np.asarray(tokens) <= last)
    x, y = (np.asarray(values, dtype=float)[seen] for values in (tokens, rates))
    points, where = int((x <= share * last).sum()), f"up to {share * last:,.0f} tokens"
    count = max(_LAST, int((x > 0.9 * last).sum()))
    known = bool(x.size and x[-1] > 0.9 * last) and len(x) - count >= points
    value, curve, reason = None, None, _too_little(y[:points], where)
    if not reason:
        value, curve = _fit(x[:points], y[:points], x[-count:] if known else np.array([last]), last)
        if value.high - value.low > widest:
            bounds = f"{100 * value.low:.0f} % and {100 * value.high:.0f} %"
            value, curve, reason = None, None, f"not determined: the points {where} allow any end between {bounds}"
    naive = float(y[:points][-_LAST:].mean()) if points else None
    return Forecast(points, last, value, reason, curve, naive, float(y[-count:].mean()) if known else None)


def _too_little(rates: Array, where: str) -> str:
    """Why no curve can be fitted to these rates; `""` if one can."""
    if len(rates) < FEWEST_POINTS:
        return f"{len(rates)} point{'s'[: len(rates) != 1]} {where}, and a fit needs {FEWEST_POINTS}"
    risen = change(list(rates))
    if risen is None or not risen.rises(0):
        return f"no rise {where}: the last quarter of the points is not above the first by 2 standard errors"
    return ""


def _fit(x: Array, y: Array, at: Array, last: float) -> tuple[Estimate, Sigmoid]:
    """The mean rate at the tokens `at`, and the best curve, by least squares over a grid that is refined twice."""
    grid = _pairs(np.geomspace(x[0], 10 * last, 60), np.geomspace(0.5, 10, 19))
    errors, starts, asymptotes = _least_squares(grid, x, y)
    for width in (0.16, 0.04):  # a step of the grid before, as a logarithm
        near = np.exp(_pairs(*[np.linspace(-width, width, 9)] * 2))
        grid = np.hstack([grid, grid[:, [errors.argmin()]] * near])
        errors, starts, asymptotes = _least_squares(grid, x, y)
    best = int(errors.argmin())
    ends = starts + (asymptotes - starts) * _shares(grid, at).mean(axis=1)
    errors = np.maximum(errors, 1e-12)  # those of points without noise
    kept = ends[_p_values(errors / errors[best], len(x)) >= 0.05]
    value = Estimate(float(ends[best]), float(kept.min()), float(kept.max()))
    return value, Sigmoid(*map(float, (starts[best], asymptotes[best], *grid[:, best])))


def _pairs(first: Array, second: Array) -> Array:
    return np.stack([axis.ravel() for axis in np.meshgrid(first, second)])


def _shares(grid: Array, x: Array) -> Array:
    """The share of the gain that each of G pairs (midpoint, exponent) has reached at N numbers of tokens, (G, N)."""
    midpoints, exponents = grid[:, :, None]
    return 1 / (1 + (midpoints / x) ** exponents)


def _least_squares(grid: Array, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """(squared error, R0, A) of the best 0 <= R0 <= A <= 1 for each of G pairs (midpoint, exponent).

    The rate is linear in R0 and A. The best of the triangle that they may be in is inside, or on one of its edges.
    """
    s = _shares(grid, x)
    u = 1 - s  # the rate is R0 u + A s
    uu, ss, us, uy, sy = ((one * other).sum(axis=1) for one, other in ((u, u), (s, s), (u, s), (u, y), (s, y)))
    nil, one = np.zeros(len(s)), np.ones(len(s))
    with np.errstate(divide="ignore", invalid="ignore"):
        det = uu * ss - us**2
        pairs = [((ss * uy - us * sy) / det, (uu * sy - us * uy) / det)]
        pairs += [(nil, np.clip(sy / ss, 0, 1)), (np.clip((uy - us) / uu, 0, 1), one), (y.mean() * one, y.mean() * one)]
    starts, asymptotes = (np.stack(values) for values in zip(*pairs, strict=True))
    crossed = 2 * starts * asymptotes * us - 2 * (starts * uy + asymptotes * sy)
    errors = np.maximum((y**2).sum() + starts**2 * uu + asymptotes**2 * ss + crossed, 0)
    inside = (starts >= 0) & (starts <= asymptotes) & (asymptotes <= 1) & np.isfinite(errors)
    errors = np.where(inside, errors, np.inf)
    chosen = errors.argmin(axis=0), np.arange(len(s))
    return errors[chosen], starts[chosen], asymptotes[chosen]


def _p_values(ratios: Array, points: int) -> Array:
    """P(F(4, N - 4) > f) where the squared error is `ratios` times the least, and so 1 + 4 f / (N - 4) times.

    With 1 / ratio = x and b = (N - 4) / 2, the regularized beta function is 1 - I(1 - x; 2, b) = x^b (1 + b (1 - x)).
    """
    b = (points - 4) / 2
    return ratios**-b * (1 + b * (1 - 1 / ratios))
