"""Templates to responses, with the headers that every page carries."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from app.oauth.credentials import mint
from app.routers.pages import words

_ROOT = Path(__file__).parents[3]
STATIC = _ROOT / "app" / "static"

# `form-action` is left out on the pages whose forms end in a redirect to the client: Chromium applies it to the
# whole chain of redirects and would stop the answer on its way (CNS-12).
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
)


@cache
def make_templates(prefix: str) -> Environment:
    """The templates, told under which path the world sees this server; compiled once a process."""
    templates = Environment(
        loader=FileSystemLoader(_ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in STATIC.iterdir()}
    templates.globals.update(
        url=lambda path: prefix + path,
        asset=lambda name: f"{prefix}/static/{name}?v={versions[name]}",
        app_name="Ostiary",
        number=words.number,
        counted=words.counted,
    )
    return templates


def render_page(
    request: Request,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    forms_lead_away: bool = False,
    script: bool = False,
    connect: bool = False,
) -> HTMLResponse:
    """A page.

    `forms_lead_away` when its form's answer redirects to a client; `script` when `ostiary.js` has something to add
    to it, and `connect` when that asks this server for more.
    """
    templates: Environment = request.app.state.templates
    nonce = mint("") if script else ""
    html = templates.get_template(template).render({**context, "nonce": nonce})
    policy = [
        _POLICY,
        *([] if forms_lead_away else ["form-action 'self'"]),
        *([f"script-src 'nonce-{nonce}'"] if script else []),
        *(["connect-src 'self'"] if connect else []),
    ]
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Frame-Options": "DENY",
        # Same origin, not none: a browser then names our own origin when it posts a form, and only then.
        "Referrer-Policy": "same-origin",
        # A client that opens these pages in a popup loses its hold on the window, and no page of somebody else's can
        # steer one where a person decides; clients that wait for a popup (use-mcp) fall back to a redirect.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(html, status, headers)
