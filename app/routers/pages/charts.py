"""Charts, drawn here: numbers to the paths of an SVG, which the macros of `_work.html` put on a page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

# The picture is stretched to the width of the page, so only the proportions count.
HEIGHT = 100
SLOT = 10
_GAP = 1.5


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A small line without axes; `width` by `HEIGHT`."""

    width: int
    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of several; `share` is its length in hundredths of the longest."""

    label: str
    value: int
    share: float


@dataclass(frozen=True, slots=True)
class Series:
    """What one colour of a chart shows."""

    label: str
    values: tuple[int, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One step of time: from where on the picture, which, and what there was."""

    x: int
    label: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimeChart:
    """Several series over time; `top` is what the upper edge stands for."""

    width: int
    top: int
    stacked: bool
    series: tuple[Series, ...]
    slots: tuple[Slot, ...]


def sparkline(values: Sequence[int]) -> Sparkline:
    """A line for numbers, the oldest first; its lower edge is zero."""
    width = max(len(values) - 1, 1) * SLOT
    line = _line(values, max(*values, 1) if values else 1, 0)
    area = f"{line}V{HEIGHT}H0z" if line else ""
    return Sparkline(width, line, area)


def bars(values: Iterable[tuple[str, int]]) -> tuple[Bar, ...]:
    """Horizontal bars, in the order given."""
    values = tuple(values)
    longest = max((value for _, value in values), default=0) or 1
    return tuple(Bar(label, value, round(100 * value / longest, 1)) for label, value in values)


def over_time(
    labels: Sequence[str], series: Mapping[str, Sequence[int]], *, stacked: bool = True
) -> TimeChart:
    """Columns on top of each other, or lines; each series has a number for each label, the oldest first."""
    rows = [tuple(values) for values in series.values()]
    steps = list(zip(*rows, strict=True)) if rows else [()] * len(labels)
    top = _round_up(max((sum(step) if stacked else max(step, default=0) for step in steps), default=0))
    if stacked:
        floors = zip(*(accumulate(step, initial=0) for step in steps), strict=True)
        paths = [_columns(row, floor, top) for row, floor in zip(rows, floors, strict=False)]
    else:
        paths = [_line(row, top, SLOT / 2) for row in rows]
    return TimeChart(
        max(len(labels), 1) * SLOT,
        top,
        stacked,
        tuple(Series(name, row, path) for name, row, path in zip(series, rows, paths, strict=True)),
        tuple(
            Slot(at * SLOT, label, step) for at, (label, step) in enumerate(zip(labels, steps, strict=True))
        ),
    )


def _line(values: Sequence[int], top: int, indent: float) -> str:
    points = [
        f"{_short(indent + at * SLOT)} {_short(_height(value, top))}" for at, value in enumerate(values)
    ]
    if len(points) == 1:
        return f"M{points[0]}h{SLOT}"
    return f"M{'L'.join(points)}" if points else ""


def _columns(values: Sequence[int], floors: Sequence[int], top: int) -> str:
    return "".join(
        f"M{_short(at * SLOT + _GAP / 2)} {_short(_height(floor, top))}"
        f"v{_short(-HEIGHT * value / top)}h{_short(SLOT - _GAP)}v{_short(HEIGHT * value / top)}z"
        for at, (value, floor) in enumerate(zip(values, floors, strict=True))
        if value
    )


def _height(value: float, top: int) -> float:
    return HEIGHT - HEIGHT * value / top


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _round_up(value: int) -> int:
    """What one can read off an axis: at most two digits before the zeros, the second of them 0 or 5."""
    digits = len(str(value))
    unit = 5 * 10 ** max(digits - 2, 0) if digits > 1 else 1
    return max(-(-value // unit) * unit, 1)
