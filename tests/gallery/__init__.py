"""Every piece of the pages where someone works, on pages that no server has: for tests and for the eye."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import Request
from jinja2 import ChoiceLoader, FileSystemLoader
from starlette.responses import HTMLResponse

from app.routers.pages.charts import bars, over_time, sparkline
from app.routers.pages.lists import Choice, Pages, fresh_link, sortable
from app.routers.pages.render import make_templates, render_page
from app.routers.pages.words import moment

NOW = datetime(2026, 11, 23, 6, 22, 48, tzinfo=UTC)
HOSTILE = (
    "\u202eClaude\u2066 “verified”</td><script>alert(1)</script> <img src=x onerror=alert(1)> "
    "' onfocus=alert(1) \" {{ 7 * 7 }} "
)
LONG = HOSTILE + "Pneumonoultramicroscopic" * 400
PAGES = ("overview", "list", "detail", "settings", "tester")


def gallery(name: str, hostile: str = HOSTILE, *, is_admin: bool = True) -> HTMLResponse:
    """One page of it, with words that a stranger chose wherever a stranger may choose them."""
    templates = make_templates("")
    loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent), FileSystemLoader("templates")])
    state = SimpleNamespace(templates=templates.overlay(loader=loader))
    request = Request({"type": "http", "app": SimpleNamespace(state=state)})
    me = {"name": hostile, "username": "alice", "is_admin": is_admin, "is_auditor": True}
    here = {
        "overview": "admin",
        "list": "clients",
        "detail": "clients",
        "settings": "security",
        "tester": "try",
    }
    context = {"me": me, "here": here[name], "hostile": hostile, **_CONTENTS[name](hostile)}
    return render_page(request, f"{name}.html", context, script=True)


def _overview(hostile: str) -> dict[str, Any]:
    hours = [f"{NOW - timedelta(hours=72 - at):%d %b %H:00}" for at in range(72)]
    calls = [400 + 37 * at % 311 + (at % 24) * 20 for at in range(72)]
    days = [f"{NOW - timedelta(days=30 - at):%d %b}" for at in range(30)]
    return {
        "sparks": {
            "rising": sparkline([at * at % 97 + at * 4 for at in range(30)]),
            "bumpy": sparkline([13 * at % 17 for at in range(30)]),
            "flat": sparkline([7] * 30),
            "none": None,
        },
        "charts": {
            "stacked": over_time(
                hours, {"calls": calls, hostile: [at % 7 * 30 for at in range(72)], "limited": [20] * 72}
            ),
            "lines": over_time(
                days,
                {
                    "code": [200 + 31 * at % 97 for at in range(30)],
                    "refresh": [120 + at * 6 for at in range(30)],
                    "device": [at % 5 * 9 for at in range(30)],
                    "exchange": [40] * 30,
                },
                stacked=False,
            ),
        },
        "reasons": bars(
            [("invalid_grant", 200), ("invalid_client", 77), (hostile, 33), ("access_denied", 1)]
        ),
    }


def _list(hostile: str) -> dict[str, Any]:
    query = {"sort": "-used", "state": "disabled", "after": "x"}
    states = (("ok", "on"), ("waiting", "waiting"), ("off", "off"), ("bad", "refused"))
    names = ("MCP Inspector", hostile, "Claude", "Ünïcödé 名前", "Cursor", "VS Code", hostile, "Notes")
    return {
        "columns": [
            sortable("Name", "name", "/admin/clients", query),
            sortable("Host", "host", "/admin/clients", query),
            sortable("Grants", "grants", "/admin/clients", query, number=True),
            sortable("Last used", "used", "/admin/clients", query),
            SimpleNamespace(label="State", url=None, direction=None, number=False),
        ],
        "clients": [
            {
                "name": name,
                "client_id": f"client_{at:032x}",
                "host": hostile if at == 1 else "claude.ai" if at % 3 == 2 else None,
                "grants": at * 397,
                "used": moment(NOW, NOW - timedelta(minutes=3 * at**4)) if at != 4 else None,
                "state": states[at % 4][0],
                "words": states[at % 4][1],
            }
            for at, name in enumerate(names)
        ],
        "choices": [
            Choice("All", fresh_link("/admin/clients", query, state=None), count=100_000),
            Choice("Registered themselves", "/admin/clients?how=dynamic", current=True, count=99_201),
            Choice("Described by a document", "/admin/clients?how=document", count=791),
            Choice("Added by hand", "/admin/clients?how=manual"),
            Choice(hostile[:60], "/admin/clients?how=x", count=0),
        ],
        "pages": Pages(50, 100_000, newer="/admin/clients?before=x", older="/admin/clients?after=y"),
    }


def _detail(hostile: str) -> dict[str, Any]:
    return {
        "moments": {
            "new": moment(NOW, NOW - timedelta(seconds=2)),
            "recent": moment(NOW, NOW - timedelta(hours=5)),
            "old": moment(NOW, NOW - timedelta(days=400)),
            "none": None,
        },
        "uris": ["http://127.0.0.1/callback", "cursor://anysphere.cursor-retrieval/oauth", hostile],
    }


def _settings(hostile: str) -> dict[str, Any]:
    return {
        "columns": [
            SimpleNamespace(label=label, url=None, direction=None, number=False)
            for label in ("Name", "Added", "Last used", "Change")
        ],
        "passkeys": [
            {
                "name": name,
                "added": moment(NOW, NOW - timedelta(days=90)),
                "used": moment(NOW, NOW - timedelta(hours=1)),
            }
            for name in ("Telephone", hostile)
        ],
    }


def _tester(hostile: str) -> dict[str, Any]:
    return {
        "tools": [
            Choice("whoami", "/account/try/whoami", current=True),
            Choice("list_notes", "/account/try/list_notes"),
            Choice(hostile[:80], "/account/try/x"),
        ],
        "json": json.dumps({"content": [{"type": "text", "text": hostile}], "isError": False}, indent=2),
    }


_CONTENTS = {
    "overview": _overview,
    "list": _list,
    "detail": _detail,
    "settings": _settings,
    "tester": _tester,
}
