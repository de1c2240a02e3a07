"""Events as files: CSV for spreadsheets, JSON lines for programs; never all of them in memory."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from app.audit import AuditEvent, Wanted, search_events
from app.database import Database

FORMATS = ("csv", "jsonl")
# More than this is a matter for the database itself.
MOST = 1_000_000
_AT_ONCE = 1000
_COLUMNS = [field.name for field in fields(AuditEvent)]
# A spreadsheet would run what begins with one of these.
_BEGINS = re.compile(r"([;\t\r\n]\s*)([=+@-])")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class EventFile:
    """One kind of file: how its name ends, its media type, its first line, and how events become lines."""

    name: str
    media_type: str
    head: str
    write: Callable[[Sequence[AuditEvent]], str]

    async def lines(self, database: Database, wanted: Wanted) -> AsyncIterator[str]:
        """The file, piece by piece; each in a transaction of its own, so that a slow reader holds nothing."""
        if self.head:
            yield self.head
        place = None
        for _ in range(MOST // _AT_ONCE):
            async with database.reading() as tx:
                events = await search_events(tx, wanted, _AT_ONCE, place)
            if events:
                yield self.write(events)
                place = (events[-1].at, events[-1].id)
            if len(events) < _AT_ONCE:
                return


def event_file(name: str) -> EventFile:
    """The kind with this name, one of `FORMATS`."""
    if name == "csv":
        return EventFile("csv", "text/csv; charset=utf-8", _csv([_COLUMNS]), _csv_of)
    return EventFile("jsonl", "application/jsonl", "", _json_of)


def _csv_of(events: Sequence[AuditEvent]) -> str:
    return _csv([[_cell(value) for value in asdict(event).values()] for event in events])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    text = _text(value)
    # Where semicolons or tabs part cells, what stands behind one begins a cell as well.
    text = _BEGINS.sub(r"\1'\2", text)
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _json_of(events: Sequence[AuditEvent]) -> str:
    return "".join(json.dumps(asdict(event), default=_text) + "\n" for event in events)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return "" if value is None else str(value)
