"""Times, numbers and lengths of time, in words for people."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_UNITS = (
    ("year", timedelta(days=365)),
    ("month", timedelta(days=30)),
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
)
_NOW = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as a page shows it: for machines, to the second in UTC, and how long ago."""

    iso: str
    exact: str
    ago: str


def moment(now: datetime, then: datetime | None) -> Moment | None:
    """A time for the macro `when`; None, which it shows as “never”, for none."""
    if then is None:
        return None
    then = then.astimezone(UTC).replace(microsecond=0)
    iso = then.isoformat().replace("+00:00", "Z")
    return Moment(iso, f"{then.day} {then:%b %Y, %H:%M:%S} UTC", ago(now, then))


def ago(now: datetime, then: datetime) -> str:
    """How long ago, or in how long, in the largest unit that fits: `3 minutes ago`, `in 2 days`, `just now`."""
    length = now - then
    if abs(length) < _NOW:
        return "just now"
    words = _largest(abs(length))
    return f"{words} ago" if length > timedelta() else f"in {words}"


def duration(length: timedelta) -> str:
    """A length of time in at most two units, cut off below: `90 days`, `1 hour 5 minutes`, `0 seconds`."""
    days, seconds = length.days, length.seconds
    amounts = (
        (days, "day"),
        (seconds // 3600, "hour"),
        (seconds // 60 % 60, "minute"),
        (seconds % 60, "second"),
    )
    parts = [counted(amount, unit) for amount, unit in amounts if amount]
    return " ".join(parts[:2]) or "0 seconds"


def number(value: int) -> str:
    """With commas between the thousands: `100,000`."""
    return f"{value:,}"


def counted(value: int, one: str, many: str | None = None) -> str:
    """A number of things: `1 grant`, `2,345 grants`, `0 people`."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def _largest(length: timedelta) -> str:
    name, unit = next(((name, unit) for name, unit in _UNITS if length >= unit), _UNITS[-1])
    return counted(length // unit, name)
