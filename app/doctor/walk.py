"""Asks what clients ask, in their order, and no further than it makes sense."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlencode

from app import __version__
from app.doctor import resource_metadata, server_metadata
from app.doctor.browsers import ORIGIN
from app.doctor.challenge import BROWSER_HEADERS
from app.doctor.clients import USER_AGENTS, metadata_of
from app.doctor.evidence import Evidence, Registration, document_of, text_of, texts_of
from app.doctor.finding import EVERYONE, INSPECTOR
from app.doctor.www_authenticate import find_challenge
from app.visitor import Answer, Reply, Visitor, is_web_url

_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "ostiary-doctor", "version": __version__},
    },
}
_ACCEPT = {"Accept": "application/json, text/event-stream"}
_FROM_PAGE = {"Origin": ORIGIN}
# RFC 7636, appendix B; nobody ever gets as far as to prove it.
_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
_OTHER_PORT = "http://localhost:53682/oauth/callback"


async def walk(visitor: Visitor, url: str, now: datetime, *, register: bool = False) -> Evidence:
    """Collect the evidence about an MCP endpoint.

    Args:
        url: an absolute http(s) URL (`app.visitor.is_web_url`).
        register: also register as each client does, and remove what was registered where that is offered.
    """
    evidence = Evidence(url, now, replies=visitor.replies)
    evidence.addresses = await visitor.addresses(url)
    if evidence.addresses:
        evidence.challenged = await initialize(visitor, url)
    if isinstance(evidence.challenged, Answer):
        await _ask_endpoint(visitor, evidence)
        await _ask_resource(visitor, evidence)
        await _ask_server(visitor, evidence)
        await _ask_endpoints(visitor, evidence)
        if register:
            await _register(visitor, evidence)
    return evidence


async def discover(visitor: Visitor, url: str, now: datetime) -> Evidence:
    """The part of the walk that finds the two documents of an endpoint, and no more."""
    evidence = Evidence(url, now, replies=visitor.replies)
    evidence.challenged = await initialize(visitor, url)
    await _ask_resource(visitor, evidence)
    await _ask_server(visitor, evidence)
    return evidence


async def initialize(visitor: Visitor, url: str, headers: Mapping[str, str] | None = None) -> Reply:
    """What a client calls first, without a token unless the headers have one."""
    return await visitor.post_json(url, _INITIALIZE, {**_ACCEPT, **(headers or {})})


async def _ask_endpoint(visitor: Visitor, evidence: Evidence) -> None:
    url = evidence.url
    other = url.rstrip("/") if url.endswith("/") else f"{url}/"
    evidence.got = await visitor.get(url, {"Accept": "text/event-stream"})
    evidence.empty_bearer = await initialize(visitor, url, {"Authorization": "Bearer"})
    evidence.wrong_token = await initialize(visitor, url, {"Authorization": "Bearer ostiary-doctor"})
    evidence.other_spelling = await initialize(visitor, other)
    agents = list(dict.fromkeys(USER_AGENTS.values()))
    replies = await asyncio.gather(*(initialize(visitor, url, {"User-Agent": agent}) for agent in agents))
    by_agent = dict(zip(agents, replies, strict=True))
    evidence.as_clients = {client: by_agent[agent] for client, agent in USER_AGENTS.items()}
    evidence.browser["preflight"] = await _preflight(visitor, url, BROWSER_HEADERS)
    evidence.browser["endpoint"] = await initialize(visitor, url, _FROM_PAGE)


async def _ask_resource(visitor: Visitor, evidence: Evidence) -> None:
    told = find_challenge(evidence.answered.all("www-authenticate")) if evidence.answered else None
    pointer = (told or {}).get("resource_metadata")
    if pointer is not None:
        evidence.pointed = await visitor.get(pointer)
    evidence.inserted = await visitor.get(resource_metadata.inserted_address(evidence.url))
    evidence.root = await visitor.get(resource_metadata.root_address(evidence.url))
    # A pointer that leads nowhere ends the way of most clients: nothing else is taken then.
    looked_at = [evidence.pointed] if evidence.pointed else [evidence.inserted, evidence.root]
    for reply in looked_at:
        evidence.resource = evidence.resource or document_of(reply)
        if evidence.resource is not None and "resource metadata" not in evidence.browser:
            evidence.browser["resource metadata"] = await visitor.get(reply.url, _FROM_PAGE)


async def _ask_server(visitor: Visitor, evidence: Evidence) -> None:
    servers = texts_of(evidence.resource, "authorization_servers")
    if not servers or not is_web_url(servers[0]):
        return
    evidence.issuer, probes = servers[0], list[Reply]()
    for address in server_metadata.addresses_of(servers[0]):
        reply = await visitor.get(address)
        probes.append(reply)
        evidence.server = document_of(reply)
        if evidence.server is not None:
            evidence.browser["server metadata"] = await visitor.get(address, _FROM_PAGE)
            break
    evidence.probes = probes


async def _ask_endpoints(visitor: Visitor, evidence: Evidence) -> None:
    authorization, token, registration = (
        text_of(evidence.server, f"{name}_endpoint") for name in ("authorization", "token", "registration")
    )
    if authorization is not None:
        evidence.authorize = await visitor.get(authorization, {"Accept": "text/html"})
    if token is not None:
        form = urlencode(
            {
                "grant_type": "authorization_code",
                "code": "ostiary-doctor",
                "client_id": "ostiary-doctor",
                "redirect_uri": _OTHER_PORT,
                "code_verifier": "ostiary-doctor-" * 3,
                "resource": evidence.url,
            }
        )
        evidence.token = await visitor.post_form(token, form)
        evidence.browser["token"] = await visitor.post_form(token, form, _FROM_PAGE)
    if registration is not None:
        evidence.browser["registration"] = await _preflight(visitor, registration, ["content-type"])


async def _register(visitor: Visitor, evidence: Evidence) -> None:
    endpoint = text_of(evidence.server, "registration_endpoint")
    if endpoint is None:
        return
    for client in EVERYONE:
        reply = await visitor.post_json(endpoint, metadata_of(client))
        if client == INSPECTOR:
            evidence.other_port = await _ask_other_port(visitor, evidence, reply)
        evidence.registrations[client] = Registration(reply, await remove_client(visitor, reply))


async def _ask_other_port(visitor: Visitor, evidence: Evidence, registered: Reply) -> Reply | None:
    client_id = text_of(_made(registered), "client_id")
    endpoint = text_of(evidence.server, "authorization_endpoint")
    answers = isinstance(evidence.authorize, Answer) and evidence.authorize.status not in {404, 405}
    if client_id is None or endpoint is None or not answers:
        return None
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": _OTHER_PORT,
        "code_challenge": _CHALLENGE,
        "code_challenge_method": "S256",
        "state": "ostiary-doctor",
        "resource": text_of(evidence.resource, "resource") or evidence.url,
    }
    joint = "&" if "?" in endpoint else "?"
    return await visitor.get(f"{endpoint}{joint}{urlencode(query, quote_via=quote)}", {"Accept": "text/html"})


async def remove_client(visitor: Visitor, registered: Reply) -> bool | None:
    """Delete what was registered, where the answer says how (RFC 7592 §2.3); None if it does not."""
    document = _made(registered)
    address, token = (text_of(document, f"registration_{what}") for what in ("client_uri", "access_token"))
    if address is None or token is None:
        return None
    reply = await visitor.ask("DELETE", address, {"Authorization": f"Bearer {token}"})
    return isinstance(reply, Answer) and reply.status in {200, 204}


def _made(reply: Reply) -> dict[str, object] | None:
    return reply.document if isinstance(reply, Answer) and reply.status in {200, 201} else None


async def _preflight(visitor: Visitor, url: str, headers: tuple[str, ...] | list[str]) -> Reply:
    asked = {
        **_FROM_PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(headers),
    }
    return await visitor.ask("OPTIONS", url, asked)
