"""A chart as data: what the page draws as SVG, `plots.py` as PNG, and `report.json` keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: what the legend says.
        x: places: training steps, or indices of the chart's categories.
        y: a value at each place, `None` where there is none.
        low, high: 95 % interval of each value, empty if it has none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        key: file name of its PNG and name in `report.json`.
        title: what is drawn, with its unit.
        x_label: what x is.
        lines: in the order of their colours.
        note: what a reader must know to read it.
        percent: values are shares, shown in per cent.
        categories: names of the places 0, 1, ...; empty for a numeric x.
    """

    key: str
    title: str
    x_label: str
    lines: Sequence[Line]
    note: str = ""
    percent: bool = False
    categories: Sequence[str] = field(default_factory=tuple)

    def extent(self) -> tuple[float, float]:
        """Smallest and largest y to be shown, intervals included; shares start at 0 and a line never lies on the edge.

        Example:
            >>> Chart("k", "t", "x", [Line("a", [0, 1], [0.2, 0.4])], percent=True).extent()
            (0.0, 0.4)
        """
        values = [v for line in self.lines for row in (line.y, line.low, line.high) for v in row if v is not None]
        low, high = min(values, default=0.0), max(values, default=1.0)
        if self.percent or 0 <= low < (high - low):
            low = min(low, 0.0)
        if high == low:
            high = low + (abs(low) or 1.0)
        return low, high


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover [low, high], about `count` of them.

    Example:
        >>> ticks(0, 0.43)
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def smoothed(values: Sequence[float | None], width: int) -> list[float | None]:
    """Centred moving average over `width` places, of the values that are there; `None` where no value is.

    Example:
        >>> smoothed([0.0, 3.0, None, 9.0], 3)
        [1.5, 1.5, None, 9.0]
    """
    half = width // 2
    result: list[float | None] = []
    for i, value in enumerate(values):
        near = [v for v in values[max(0, i - half) : i + half + 1] if v is not None]
        result.append(None if value is None else sum(near) / len(near))
    return result
