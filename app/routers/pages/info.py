"""The first page: what this server is, and how to connect to it."""

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.responses import Response

from app.authorization_server.policy import Policy
from app.oauth.features import Feature
from app.resource_server.requirements import Requirements
from app.routers.browser import BrowserDep, me_of, signed_in
from app.routers.dependencies import OriginDep, ServicesDep
from app.routers.pages.render import render_page
from app.routers.services import Services

router = APIRouter(tags=["pages"])

_ENDPOINTS = (
    ("POST", "/mcp", "The MCP endpoint", "MCP streamable HTTP"),
    ("GET", "/.well-known/oauth-protected-resource/mcp", "What the MCP endpoint asks for", "RFC 9728"),
    ("GET", "/.well-known/oauth-authorization-server", "What the authorization server offers", "RFC 8414"),
    ("GET", "/.well-known/jwks.json", "Public signing keys", "RFC 7517"),
    ("GET", "/authorize", "Sign-in and approval", "OAuth 2.1"),
    ("POST", "/oauth/token", "Tokens", "OAuth 2.1"),
    ("POST", "/oauth/revoke", "Revocation", "RFC 7009"),
)
# Those that are there only while they are switched on.
_OPTIONAL_ENDPOINTS = (
    (Feature.PUSHED_REQUESTS, ("POST", "/oauth/par", "Requests of apps, pushed ahead", "RFC 9126")),
    (Feature.DEVICE, ("POST", "/oauth/device_authorization", "Devices without pages", "RFC 8628")),
    (Feature.INTROSPECTION, ("POST", "/oauth/introspect", "What a token is good for", "RFC 7662")),
    (Feature.OPENID, ("GET", "/oauth/userinfo", "Who signed in", "OpenID Connect")),
)


@router.get("/")
async def info(http: Request, services: ServicesDep, browser: BrowserDep, origin: OriginDep) -> Response:
    """The server info page."""
    async with services.database.transaction() as tx:
        current = await signed_in(tx, services, browser, origin, anyhow=True)
    server = services.mcp
    needs = Requirements(server)
    context = {
        "server": {
            "name": server.name,
            "title": server.title or server.name,
            "description": server.description or "",
            "version": server.version,
        },
        "mcp_url": services.policy.default_resource.url,
        "tools": [
            {
                "name": tool.name,
                "title": tool.title or tool.name,
                "description": tool.description or "",
                "scopes": _needed(services, needs.of_tool(tool.name)),
            }
            for tool in await server.list_tools()
        ],
        "endpoints": [
            {
                "method": method,
                "path": services.address.path(path),
                "url": services.policy.issuer + path,
                "what": what,
                "source": source,
            }
            for method, path, what, source in _endpoints(services.policy)
        ],
        "revisions": [*reversed(MODERN_PROTOCOL_VERSIONS), *reversed(HANDSHAKE_PROTOCOL_VERSIONS)],
        "clients": _clients(server.name, services.policy.default_resource.url, services.address.loopback),
        "me": me_of(current),
        "here": "",
        "logout_csrf": services.keys.form_token("logout", current.session_hash) if current else None,
        "status": [
            {"label": "Server", "value": "running"},
            {"label": "Version", "value": server.version},
            {"label": "Sign-in", "value": "needed for every tool"},
        ],
    }
    return render_page(http, "info.html", context, script=True)


def _needed(services: Services, declared: frozenset[str]) -> list[dict[str, str]]:
    """What a tool needs: the scopes that the endpoint asks for, and its own."""
    policy = services.policy
    needed = declared | policy.default_resource.required_scopes
    return [
        {"name": scope.name, "sentence": scope.sentence} for scope in policy.catalogue if scope.name in needed
    ]


def _endpoints(policy: Policy) -> list[tuple[str, str, str, str]]:
    """What is there now."""
    endpoints = [*_ENDPOINTS]
    if policy.registration != "closed":
        endpoints.append(("POST", "/oauth/register", "Registration of apps", "RFC 7591"))
    return endpoints + [endpoint for feature, endpoint in _OPTIONAL_ENDPOINTS if policy.has(feature)]


def _clients(name: str, url: str, loopback: bool) -> list[dict[str, Any]]:
    cursor_config = base64.b64encode(json.dumps({"url": url}).encode()).decode()
    cursor = "cursor://anysphere.cursor-deeplink/mcp/install?" + urlencode(
        {"name": name, "config": cursor_config}
    )
    vscode_config = json.dumps({"name": name, "type": "http", "url": url})
    clients = [
        _client(
            "claude-code",
            "Claude Code",
            ("Run this, then type /mcp and sign in.", f"claude mcp add --transport http {name} {url}"),
        ),
        _client("cursor", "Cursor", ("Open this link, then press Connect.", None, cursor, "Add to Cursor")),
        _client(
            "vscode",
            "VS Code",
            (
                "Open this link and choose Install.",
                None,
                "vscode:mcp/install?" + quote(vscode_config),
                "Add to VS Code",
            ),
            ("Or run this.", f"code --add-mcp '{vscode_config}'"),
        ),
        _client(
            "inspector",
            "Inspector",
            (
                "Run this, open the address that it prints, and press Connect.",
                f"npx @modelcontextprotocol/inspector --web --server-url {url} --transport http",
            ),
        ),
    ]
    # Claude and ChatGPT connect from the network; they can't reach a server on this computer.
    reach = (
        (
            "They connect from the internet, so this address must be reachable there; http://localhost is not.",
            None,
        )
        if loopback
        else ("Paste this address.", url)
    )
    clients.insert(
        1, _client("claude", "Claude", ("Settings, Connectors, Add custom connector.", None), reach)
    )
    clients.insert(
        2, _client("chatgpt", "ChatGPT", ("Settings, Apps, Create, with OAuth as sign-in.", None), reach)
    )
    return clients


def _client(client_id: str, name: str, *steps: tuple[str | None, ...]) -> dict[str, Any]:
    fields = ("text", "code", "link", "link_text")
    return {
        "id": client_id,
        "name": name,
        "steps": [dict(zip(fields, (*step, None, None, None)[:4], strict=True)) for step in steps],
    }
