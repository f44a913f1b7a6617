"""Charts as SVG, drawn with a few lines of our own: ratios beside their goals, and curves."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import Spread, shown
from bench.goals import Goal

_COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#b8860b", "#444444")
_FONT = 'font-family="sans-serif" font-size="11"'
_GREY = "#999999"
_TEXT = "#222222"
_LINE = 22
_PLOT = (300, 190)
"""Width and height of a panel's plot."""
_MARGIN = (58, 30, 26, 44)
"""Left, top, right and bottom of a panel, around its plot."""
_PER_ROW = 3


@dataclass(frozen=True)
class Panel:
    """One plot, both axes logarithmic: lines of points (x, y), each above nought."""

    title: str
    axis: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def ratio_chart(ratios: Mapping[str, Spread], goals: Mapping[str, Goal]) -> str:
    """Return each ratio that has a goal as a bar: how many times the goal it is, logarithmically.

    The line is the goal: what doesn't go beyond it is reached.
    """
    found = {name: (ratios[name], goal) for name, goal in goals.items() if name in ratios}
    times = [goal.times(spread.median) for spread, goal in found.values()]
    low, high = _decades([*times, 1.0])
    left, width = 230, 420

    def x(value: float) -> float:
        return left + width * (math.log10(value) - low) / (high - low)

    parts = []
    for row, ((name, (spread, goal)), value) in enumerate(zip(found.items(), times, strict=True)):
        y = 34 + row * _LINE
        start, end = sorted((x(1), x(max(value, 10**low))))
        colour = _COLOURS[2] if value <= 1 else _COLOURS[1]
        parts.append(_text(left - 8, y + 11, name, "end"))
        place = f'x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="14"'
        parts.append(f'<rect {place} fill="{colour}"/>')
        parts.append(
            _text(left + width + 8, y + 11, f"{shown(spread.median)}, reach {goal.reach:.3g}")
        )
    bottom = 34 + len(found) * _LINE
    for decade in range(low, high + 1):
        where = x(10**decade)
        parts.append(_rule(where, 26, where, bottom, _TEXT if decade == 0 else _GREY))
        parts.append(_text(where, bottom + 15, _power(decade), "middle"))
    parts.append(_text(left, 16, "How many times the goal (1) each figure is; less is better."))
    return _svg(left + width + 170, bottom + 26, parts)


def curve_chart(panels: Sequence[Panel]) -> str:
    """Return the panels, three in a row; y is microseconds of CPU for each request."""
    width = _MARGIN[0] + _PLOT[0] + _MARGIN[2]
    legend = 14 * max(len(panel.lines) for panel in panels)
    height = _MARGIN[1] + _PLOT[1] + _MARGIN[3] + legend
    parts = []
    for number, panel in enumerate(panels):
        row, column = divmod(number, _PER_ROW)
        inside = "".join(_panel(panel))
        parts.append(f'<g transform="translate({column * width},{row * height})">{inside}</g>')
    rows = math.ceil(len(panels) / _PER_ROW)
    return _svg(width * min(len(panels), _PER_ROW), height * rows, parts)


def _panel(panel: Panel) -> Iterable[str]:
    points = [point for line in panel.lines.values() for point in line]
    (x_low, x_high), (y_low, y_high) = (_decades([one[axis] for one in points]) for axis in (0, 1))
    left, top = _MARGIN[0], _MARGIN[1]

    def x(value: float) -> float:
        return left + _PLOT[0] * (math.log10(value) - x_low) / (x_high - x_low)

    def y(value: float) -> float:
        return top + _PLOT[1] * (1 - (math.log10(value) - y_low) / (y_high - y_low))

    yield _text(left, top - 12, f"{panel.title}: µs of CPU for each request")
    for decade in range(y_low, y_high + 1):
        yield _rule(left, y(10**decade), left + _PLOT[0], y(10**decade), _GREY)
        yield _text(left - 5, y(10**decade) + 4, _power(decade), "end")
    step = max(1, (x_high - x_low) // 4)
    for decade in range(x_low, x_high + 1, step):
        yield _rule(x(10**decade), top, x(10**decade), top + _PLOT[1], _GREY)
        yield _text(x(10**decade), top + _PLOT[1] + 14, _power(decade), "middle")
    yield _text(left + _PLOT[0] / 2, top + _PLOT[1] + 29, panel.axis, "middle")
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x(one):.1f},{y(other):.1f}" for one, other in line)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        for one, other in line:
            yield f'<circle cx="{x(one):.1f}" cy="{y(other):.1f}" r="2.4" fill="{colour}"/>'
        below = top + _PLOT[1] + _MARGIN[3] + 14 * number
        yield _rule(left, below - 4, left + 16, below - 4, colour)
        yield _text(left + 22, below, name)


def _power(decade: int) -> str:
    """Return a power of ten in few characters: 100k."""
    for least, unit in ((6, "M"), (3, "k")):
        if decade >= least:
            return f"{10 ** (decade - least)}{unit}"
    return f"{10**decade:g}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that enclose ``values``; never the same one twice."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{_TEXT}">{escape(text)}</text>'


def _rule(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    place = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {place} stroke="{colour}" stroke-width="{2 if colour != _GREY else 0.5}"/>'


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT}>'
    return "\n".join([head, f'<rect {size} fill="white"/>', *parts, "</svg>", ""])
