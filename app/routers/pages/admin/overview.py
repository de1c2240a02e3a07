"""What is going on: figures and charts of the last day, week or month, what was refused and why, who is new, and how
the server is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from starlette.responses import Response

from app.authorization_server.client_search import Search, search_clients
from app.routers.dependencies import ServicesDep, TransactionDep
from app.routers.pages.admin.answers import page_context
from app.routers.pages.admin.clients import client_page
from app.routers.pages.admin.health import read_health
from app.routers.pages.admin.queries import read_query
from app.routers.pages.charts import bars, over_time, sparkline
from app.routers.pages.guards import ViewerDep
from app.routers.pages.lists import Choice, Column, fresh_link
from app.routers.pages.render import render_page
from app.tallies import Kind, count_over_time

PATH = "/admin"
_MOST_REASONS = 10
# Of the chart: what is left is drawn together.
_REASONS_DRAWN = 3
_NEWEST = 5
# What is counted, as people call it.
_COUNTED: dict[Kind, str] = {
    "call": "calls",
    "token": "tokens",
    "registration": "registrations",
    "refusal": "refusals",
}


@dataclass(frozen=True, slots=True)
class Range:
    """A length of time up to now, cut into equal steps."""

    label: str
    step: timedelta
    steps: int
    moment: str
    name: str


_RANGES = {
    "day": Range("24 hours", timedelta(hours=1), 24, "%H:00", "Hour (UTC)"),
    "week": Range("7 days", timedelta(hours=6), 28, "%d %b, %H:00", "Six hours from (UTC)"),
    "month": Range("30 days", timedelta(days=1), 30, "%d %b", "Day (UTC)"),
}


async def show_overview(
    http: Request, tx: TransactionDep, services: ServicesDep, person: ViewerDep
) -> Response:
    """The first page of the operator."""
    query = read_query(http, {"range": tuple(_RANGES)})
    chosen = query.get("range", "day")
    span = _RANGES[chosen]
    since = _begin(person.origin.now, span)
    path = services.address.path(PATH)
    # The same length of time before it, to compare with.
    counts = await count_over_time(tx, since - span.step * span.steps, span.step, 2 * span.steps)
    newest = await search_clients(tx, Search(), person.origin.now, _NEWEST)
    labels = [f"{since + span.step * number:{span.moment}}" for number in range(span.steps)]
    totals = {
        kind: _together(span, (row for (each, _), row in counts.items() if each == kind)) for kind in _COUNTED
    }
    reasons = _reasons(counts, span)
    context = {
        **page_context(person, "admin"),
        "ranges": [
            Choice(one.label, fresh_link(path, {}, range=name), name == chosen)
            for name, one in _RANGES.items()
        ],
        "span": span,
        "figures_": [_figure(label, totals[kind], span) for kind, label in _COUNTED.items()],
        "calls": over_time(labels, {"calls": totals["call"][span.steps :]}),
        "lively": over_time(
            labels, {_COUNTED[kind]: totals[kind][span.steps :] for kind in ("token", "registration")}
        ),
        "refusals": over_time(labels, _drawn(reasons, span)),
        "reasons": bars((label, sum(row)) for label, row in reasons[:_MOST_REASONS]),
        "newest": [
            {"client": found.client, "url": client_page(person, found.client.client_id)}
            for found in newest.rows
        ],
        "newest_columns": [Column("Client"), Column("Registered")],
        "health": await read_health(http, tx, services, person.origin.now),
    }
    return render_page(http, "admin_overview.html", context)


def _begin(now: datetime, span: Range) -> datetime:
    """When the first step begins: the last one is the one that is not over yet."""
    current = int(now.timestamp() // span.step.total_seconds() + 1) * span.step.total_seconds()
    return datetime.fromtimestamp(current, now.tzinfo) - span.step * span.steps


def _figure(label: str, counts: Sequence[int], span: Range) -> Mapping[str, Any]:
    """How often something happened, and before that."""
    before, now = counts[: span.steps], counts[span.steps :]
    return {"label": label, "value": sum(now), "before": sum(before), "spark": sparkline(now)}


def _together(span: Range, rows: Iterable[Sequence[int]]) -> Sequence[int]:
    """The sum of several, step by step."""
    return [sum(step) for step in zip([0] * (2 * span.steps), *rows, strict=True)]


def _reasons(
    counts: Mapping[tuple[str, str], Sequence[int]], span: Range
) -> Sequence[tuple[str, Sequence[int]]]:
    """What refused and why, with the counts of the range itself, the most frequent first."""
    rows = ((label, row[span.steps :]) for (kind, label), row in counts.items() if kind == "refusal")
    return sorted((each for each in rows if any(each[1])), key=lambda each: (-sum(each[1]), each[0]))


def _drawn(reasons: Sequence[tuple[str, Sequence[int]]], span: Range) -> Mapping[str, Sequence[int]]:
    """As many as one can tell apart, and the rest together."""
    drawn: dict[str, Sequence[int]] = dict(reasons[:_REASONS_DRAWN])
    rest = reasons[_REASONS_DRAWN:]
    if rest or not drawn:
        label = "everything else" if drawn else "refusals"
        drawn[label] = [sum(step) for step in zip([0] * span.steps, *(row for _, row in rest), strict=True)]
    return drawn
