"""What stands around a long table: its sortable columns, its filters and the way to its other pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

# Where in the list one is: any other order or filter begins anew.
_PLACE = ("after", "before")


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; `url` sorts by it, `direction` says how the table is sorted by it now."""

    label: str
    url: str | None = None
    direction: Literal["ascending", "descending"] | None = None
    number: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A link of a filter or a menu; `count` is how much it leads to, where that is known."""

    label: str
    url: str
    current: bool = False
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Pages:
    """How much of a list is shown, and where its neighbours are; `total` is None where counting is too dear."""

    shown: int
    total: int | None = None
    newer: str | None = None
    older: str | None = None


def link(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """A page with its query changed; what is empty or None is left out."""
    merged = {**query, **changes}
    kept = {name: value for name, value in merged.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


def fresh_link(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """The same, from the beginning of the list."""
    return link(path, query, **{**dict.fromkeys(_PLACE), **changes})


def sortable(label: str, key: str, path: str, query: Mapping[str, str], *, number: bool = False) -> Column:
    """A column that one can sort by: `?sort=key`, and the other way round `?sort=-key`."""
    sort = query.get("sort", "")
    direction: Literal["ascending", "descending"] | None = None
    if sort.removeprefix("-") == key:
        direction = "descending" if sort.startswith("-") else "ascending"
    onward = f"-{key}" if direction == "ascending" else key
    return Column(label, fresh_link(path, query, sort=onward), direction, number)
