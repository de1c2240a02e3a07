"""The fourth step: the authorization server's metadata (RFC 8414, OpenID Connect Discovery)."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from app.doctor.browsers import answer_result
from app.doctor.evidence import Check, Evidence, text_of, texts_of
from app.doctor.finding import CURSOR, INSPECTOR, VS_CODE, Result, Step, fail, ok, shown, skip, warn
from app.visitor import Answer, Reply, is_web_url, origin_of, path_of

_NONE = "There is no authorization server’s metadata."
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "registration_endpoint")


def addresses_of(issuer: str) -> Sequence[str]:
    """Where clients look, in their order (MCP authorization, Authorization Server Metadata Discovery)."""
    origin, path = origin_of(issuer), path_of(issuer)
    if not path:
        return [
            f"{origin}/.well-known/oauth-authorization-server",
            f"{origin}/.well-known/openid-configuration",
        ]
    return [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    ]


def server_metadata(evidence: Evidence) -> Result:
    """There is a document at one of the addresses."""
    if evidence.issuer is None:
        return skip("No authorization server is known.")
    if evidence.server is not None:
        return ok(f"{shown(evidence.probes[-1].url)}.")
    tried = "; ".join(f"{reply.url}: {_what_came(reply)}" for reply in evidence.probes)
    return fail(
        f"There is none ({tried}).",
        f"Serve it as application/json at {addresses_of(evidence.issuer)[0]}: the issuer’s path comes last.",
    )


def issuer(evidence: Evidence) -> Result:
    """`issuer` is what the resource calls it, byte for byte (RFC 8414 §3.3)."""
    if evidence.server is None:
        return skip(_NONE)
    told, expected = text_of(evidence.server, "issuer"), evidence.issuer or ""
    if told == expected:
        return ok(f"issuer is {shown(expected)}.")
    found = f"issuer is {shown(evidence.server.get('issuer'))}, but the resource calls it {shown(expected)}."
    if told is not None and told.rstrip("/") == expected.rstrip("/"):
        return fail(f"{found} They differ by a slash.", "Spell both the same; URL types like to add a slash.")
    return fail(
        found, "Spell both the same: one configured public address, never the Host that was asked for."
    )


def endpoints(evidence: Evidence) -> Result:
    """They are there, on https, and outside."""
    if evidence.server is None:
        return skip(_NONE)
    for name in _ENDPOINTS:
        told = evidence.server.get(name)
        if told is None and name == "registration_endpoint":
            continue
        if not isinstance(told, str) or not is_web_url(told):
            return fail(f"{name} is {shown(told)}.", "Make it an absolute https URL.")
        problem = _inside(told, evidence.url)
        if problem:
            return fail(
                f"{name} is {shown(told)}: {problem}.",
                "The server does not know its public address: set that in it, or let it believe its proxy’s headers.",
            )
    return ok("The endpoints are where clients can reach them.")


def pkce(evidence: Evidence) -> Result:
    """Codes are bound to who asked (RFC 7636)."""
    if evidence.server is None:
        return skip(_NONE)
    methods = texts_of(evidence.server, "code_challenge_methods_supported")
    if methods and "S256" in methods:
        if "plain" in methods:
            return warn("S256, and plain as well.", "Take plain out: it protects nobody.")
        return ok("S256.")
    found = "is missing" if methods is None else f"is {shown(methods)}"
    return fail(
        f"code_challenge_methods_supported {found}.",
        'Support PKCE with S256, and say "code_challenge_methods_supported": ["S256"].',
    )


def public_clients(evidence: Evidence) -> Result:
    """Clients without a secret are served."""
    if evidence.server is None:
        return skip(_NONE)
    methods = texts_of(evidence.server, "token_endpoint_auth_methods_supported")
    mend = 'Serve clients without a secret, and name "none" in token_endpoint_auth_methods_supported.'
    if methods is None:
        return warn("It is not said how clients authenticate, which means with a secret (RFC 8414 §2).", mend)
    if "none" in methods:
        return ok("Clients without a secret are served.")
    return fail(
        f"They are not: there is {shown(', '.join(methods))} alone.", mend, (CURSOR, VS_CODE, INSPECTOR)
    )


def grants(evidence: Evidence) -> Result:
    """The code flow is offered, and people stay connected."""
    if evidence.server is None:
        return skip(_NONE)
    if "code" not in (texts_of(evidence.server, "response_types_supported") or ["code"]):
        return fail("The response type code is not offered.", "Offer the authorization code flow.")
    # Left out, the member means the code flow and the implicit one (RFC 8414 §2).
    types = texts_of(evidence.server, "grant_types_supported") or ["authorization_code"]
    if "authorization_code" not in types:
        return fail("The grant type authorization_code is not offered.", "Offer the authorization code flow.")
    if "refresh_token" not in types:
        return warn(
            "The grant type refresh_token is not offered: people sign in again whenever a token ends.",
            "Issue refresh tokens, and name the grant type.",
        )
    return ok("The code flow, and refreshing.")


def answer_names_issuer(evidence: Evidence) -> Result:
    """The answer says who gave it (RFC 9207)."""
    if evidence.server is None:
        return skip(_NONE)
    if evidence.server.get("authorization_response_iss_parameter_supported") is True:
        return ok("Authorization responses carry iss.")
    return warn(
        "Authorization responses carry no iss, as far as the metadata says.",
        "Send iss with every authorization response, and say authorization_response_iss_parameter_supported: true.",
    )


def browser_server_metadata(evidence: Evidence) -> Result:
    """A page may read it."""
    return answer_result(evidence.browser.get("server metadata"))


_STEP: Step = "authorization server"
CHECKS = (
    Check(
        "server_metadata",
        _STEP,
        "From it a client learns where to register and to send people.",
        server_metadata,
    ),
    Check("issuer", _STEP, "Clients refuse metadata of another issuer.", issuer),
    Check("endpoints", _STEP, "A proxy in front makes servers give out inner addresses.", endpoints),
    Check("pkce", _STEP, "Clients refuse servers that do not say S256.", pkce),
    Check("public_clients", _STEP, "Programs on people’s computers can keep no secret.", public_clients),
    Check("grants", _STEP, "Clients use the code flow, and refresh tokens where there are any.", grants),
    Check(
        "answer_names_issuer",
        _STEP,
        "It protects against one server passing for another.",
        answer_names_issuer,
    ),
    Check("browser_server_metadata", _STEP, "Clients in a browser need CORS.", browser_server_metadata),
)


def _inside(told: str, url: str) -> str | None:
    """What is wrong with an endpoint of a server that is reached at this URL."""
    if url.startswith("https://") and told.startswith("http://"):
        return "that is without TLS"
    host, reached = urlsplit(told).hostname or "", urlsplit(url).hostname or ""
    if host == reached:
        return None
    try:
        inner = not ipaddress.ip_address(host).is_global
    except ValueError:
        inner = (
            host == "localhost" or host.endswith((".local", ".internal", ".localdomain")) or "." not in host
        )
    return "that is an address inside" if inner and "." in reached and not _is_loopback(reached) else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _what_came(reply: Reply) -> str:
    if isinstance(reply, Answer) and reply.status == 200:
        return "a page (HTML) instead of JSON" if reply.is_html else "something that is no JSON object"
    return reply.words
