"""A `Chart` as inline SVG whose colours come from the page's style sheet, so that it follows light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from trl_rlsp.report.chart import Chart, Line, smoothed, ticks
from trl_rlsp.text.visible import visible_text

WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 42
COLOURS = 8
MANY = 30
"""From this many points on, a line is drawn faint with its moving average over it."""


class Frame:
    """Where values lie on the paper.

    Args:
        chart: what will be drawn.
    """

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.y_ticks = ticks(*chart.extent())
        self.low, self.high = self.y_ticks[0], self.y_ticks[-1]
        if chart.categories:
            self.x_ticks = [float(i) for i in range(len(chart.categories))]
            self.first, self.last = -0.5, len(chart.categories) - 0.5
        else:
            places = [x for line in chart.lines for x in line.x]
            first, last = min(places, default=0), max(places, default=1)
            self.first, self.last = (first, last) if last > first else (first - 0.5, last + 0.5)
            self.x_ticks = [t for t in ticks(self.first, self.last, 6) if self.first <= t <= self.last]

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)

    def value_text(self, value: float) -> str:
        """A value as its axis writes it."""
        return f"{100 * value:.4g}%" if self.chart.percent else f"{value:.4g}"


def draw(chart: Chart) -> str:
    """The chart as one `<svg>` element; every text in it is escaped."""
    frame = Frame(chart)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(chart.title)}">']
    parts += _axes(frame)
    for number, line in enumerate(chart.lines):
        parts += _line(frame, line, number)
    return "".join([*parts, "</svg>"])


def _axes(frame: Frame) -> Iterable[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in frame.y_ticks:
        y = frame.y(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{frame.value_text(tick)}</text>'
    for tick in frame.x_ticks:
        name = frame.chart.categories[int(tick)] if frame.chart.categories else f"{tick:.6g}"
        x = frame.x(tick)
        yield f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{bottom + 17}">{_text(name)}</text>'
    label = _text(frame.chart.x_label)
    yield f'<text class="axis" text-anchor="middle" x="{(LEFT + right) / 2:.1f}" y="{HEIGHT - 6}">{label}</text>'


def _line(frame: Frame, line: Line, number: int) -> Iterable[str]:
    count = len(frame.chart.lines)
    shift = (number - (count - 1) / 2) * min(10.0, 44.0 / count) if frame.chart.categories else 0.0
    xs = [frame.x(x) + shift for x in line.x]
    yield f'<g class="s{number % COLOURS}{" second" if number // COLOURS % 2 else ""}">'
    if len(line.y) >= MANY:
        yield _path(frame, xs, line.y, "raw")
        yield _path(frame, xs, smoothed(line.y, max(3, len(line.y) // 12 | 1)), "mean")
    else:
        yield _path(frame, xs, line.y, "mean")
        yield from _dots(frame, line, xs)
    yield "</g>"


def _dots(frame: Frame, line: Line, xs: Sequence[float]) -> Iterable[str]:
    lows, highs = line.low or [None] * len(xs), line.high or [None] * len(xs)
    for x, place, value, low, high in zip(xs, line.x, line.y, lows, highs, strict=True):
        if value is None:
            continue
        at = frame.chart.categories[int(place)] if frame.chart.categories else f"{place:g}"
        label = f"{line.name}, {at}: {frame.value_text(value)}"
        if low is not None and high is not None:
            label += f" [{frame.value_text(low)}, {frame.value_text(high)}]"
            yield f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(low):.1f}" y2="{frame.y(high):.1f}"/>'
        yield f'<circle cx="{x:.1f}" cy="{frame.y(value):.1f}" r="3"><title>{_text(label)}</title></circle>'


def _path(frame: Frame, xs: Sequence[float], ys: Sequence[float | None], kind: str) -> str:
    commands, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if y is not None:
            commands.append(f"{'L' if pen_down else 'M'}{x:.1f} {frame.y(y):.1f}")
        pen_down = y is not None
    return f'<path class="{kind}" d="{" ".join(commands)}"/>'


def _text(text: str) -> str:
    return escape(visible_text(text))
