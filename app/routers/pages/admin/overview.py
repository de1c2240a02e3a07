"""What is going on: figures and charts of the last day, week or month, what was refused and why, who is new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from starlette.responses import Response

from app import __version__
from app.audit import count_over_time, count_refusals
from app.authorization_server.client_search import Search, search_clients
from app.routers.dependencies import ServicesDep, TransactionDep
from app.routers.pages.admin.answers import page_context
from app.routers.pages.admin.clients import client_page
from app.routers.pages.admin.queries import read_query
from app.routers.pages.charts import bars, over_time, sparkline
from app.routers.pages.guards import ViewerDep
from app.routers.pages.lists import Choice, Column, fresh_link
from app.routers.pages.render import render_page

PATH = "/admin"
_MOST_REASONS = 10
_NEWEST = 5
# What is counted, as people call it.
_COUNTED = {
    "grant.approved": "apps let in",
    "token.issued": "first tokens",
    "client.registered": "registrations",
    "refused": "refusals",
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
    counted = await count_over_time(
        tx, list(_COUNTED), since - span.step * span.steps, span.step, 2 * span.steps
    )
    newest = await search_clients(tx, Search(), person.origin.now, _NEWEST)
    labels = [f"{since + span.step * number:{span.moment}}" for number in range(span.steps)]
    context = {
        **page_context(person, "admin"),
        "ranges": [
            Choice(one.label, fresh_link(path, {}, range=name), name == chosen)
            for name, one in _RANGES.items()
        ],
        "span": span,
        "figures_": [_figure(label, counted[name], span) for name, label in _COUNTED.items()],
        "chart_": over_time(
            labels,
            {label: counted[name][span.steps :] for name, label in _COUNTED.items() if name != "refused"},
        ),
        "refusals": over_time(labels, {"refusals": counted["refused"][span.steps :]}),
        "reasons": bars(
            (f"{event}: {reason}", times)
            for event, reason, times in await count_refusals(tx, since, _MOST_REASONS)
        ),
        "newest": [
            {"client": found.client, "url": client_page(person, found.client.client_id)}
            for found in newest.rows
        ],
        "newest_columns": [Column("Client"), Column("Registered")],
        "version": __version__,
        "database": "SQLite" if services.database.is_sqlite else "PostgreSQL",
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
