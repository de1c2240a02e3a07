"""What addresses of the operator's lists may hold; anything else is refused before it meets the database (ADM-9)."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from fastapi import Request

from app.routers.pages.admin.answers import bad_address

PAGE = 50
_LONGEST = 600
# The end of the year 9999 in microseconds: beyond it there are no instants.
_LATEST = 253_402_300_799_999_999
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Place = tuple[int | str, str]


def read_query(request: Request, known: Mapping[str, Collection[str] | None]) -> dict[str, str]:
    """The parameters that this page knows, each once and with one of its values; None stands for any text.

    Raises:
        PageError: 400.
    """
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            continue
        values = known[name]
        if name in query:
            raise bad_address(f"The address says {name} twice.")
        if values is not None and value and value not in values:
            raise bad_address(f"The address asks for a {name} that there is not.")
        if values is None and not is_storable(value):
            raise bad_address(f"The address holds a {name} that can’t be.")
        query[name] = value
    return {name: value for name, value in query.items() if value}


def is_storable(text: str) -> bool:
    """Whether a text can stand in the database, and so be looked for."""
    return (
        len(text) <= _LONGEST and "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)
    )


def write_place(place: Place) -> str:
    """A place in a list, as an address carries it."""
    return urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def to_micros(instant: datetime) -> int:
    """An instant as a place holds it."""
    return (instant - _BEGINNING) // _MICROSECOND


def from_micros(micros: int | str) -> datetime:
    """The instant of a place."""
    return _BEGINNING + int(micros) * _MICROSECOND


def read_place(query: Mapping[str, str], name: str, kind: type[int] | type[str]) -> Place | None:
    """The place under this name, whose first part is of this kind.

    Raises:
        PageError: 400: it is none of ours.
    """
    if name not in query:
        return None
    encoded = query[name]
    try:
        value, key = json.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, TypeError, RecursionError):
        raise bad_address("The address does not say where in the list it begins.") from None
    fits = is_storable(value) if isinstance(value, str) else type(value) is int and 0 <= value <= _LATEST
    if not isinstance(value, kind) or not fits or not isinstance(key, str) or not is_storable(key):
        raise bad_address("The address does not say where in the list it begins.")
    return value, key
