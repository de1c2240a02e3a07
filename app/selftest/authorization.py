"""The authorization endpoint and the pages, as a browser meets them that nobody is signed in with."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urljoin

from app.doctor.finding import shown
from app.selftest.case import EVIL, REDIRECT_URI, Case, NotThere, Refuted, Scene, answered, page
from app.visitor import Answer, origin_of

_SAFE_PATHS = ("/account", "/admin")


def _page_for(**changes: str | None) -> Callable[[Scene], Any]:
    async def run(scene: Scene) -> str:
        return page(await scene.authorize(**changes), EVIL)

    return run


def _no_way(**changes: str | None) -> Callable[[Scene], Any]:
    """An error that a client may be told, to which no sign-in may lead."""

    async def run(scene: Scene) -> str:
        answer = await scene.authorize(**changes)
        target = answer.header("location")
        if target is None:
            return page(answer)
        if target.startswith(REDIRECT_URI):
            if "error=" not in target or "code=" in target.replace("error_code=", ""):
                raise Refuted(f"{answer.words}, to {target}")
            return f"{answer.words}, with an error to the client."
        raise NotThere("People sign in first, so it can’t be seen from outside.")

    return run


async def not_bounced(scene: Scene) -> str:
    """AUZ-20."""
    answer = await scene.authorize(response_type="token")
    if (answer.header("location") or "").startswith(REDIRECT_URI):
        raise Refuted("Whoever has no session is sent straight to an address that anyone may register.")
    return f"{answer.words}, and no way to the client’s address."


async def not_open_to_pages(scene: Scene) -> str:
    """HDR-2."""
    address = scene.endpoint("authorization")
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": EVIL, "Access-Control-Request-Method": "GET"}
        answer = answered(await scene.visitor.ask(method, address, headers))
        opened = [name for name, _ in answer.headers if name.startswith("access-control-allow-")]
        if opened:
            raise Refuted(f"{method} is answered with {', '.join(opened)}.")
    return "No Access-Control-Allow-… at all."


async def not_framed(scene: Scene) -> str:
    """CNS-9, HDR-1."""
    answer = await scene.authorize(client_id="nobody-selftest")
    policy = answer.header("content-security-policy") or ""
    missing = [
        words
        for words, there in (
            ("frame-ancestors 'none'", "frame-ancestors 'none'" in policy),
            ("X-Frame-Options: DENY", (answer.header("x-frame-options") or "").upper() == "DENY"),
            ("X-Content-Type-Options: nosniff", answer.header("x-content-type-options") == "nosniff"),
            ("base-uri", "base-uri" in policy),
            ("default-src or script-src", "default-src" in policy or "script-src" in policy),
            ("Referrer-Policy", answer.header("referrer-policy") is not None),
        )
        if not there
    ]
    if missing:
        raise Refuted(f"The page has no {', no '.join(missing)}.")
    return "The page can’t be framed, and runs no foreign script."


async def post_crosses(scene: Scene) -> str:
    """AUZ-22."""
    form = f"response_type=code&client_id=nobody-selftest&redirect_uri={quote(EVIL, safe='')}"
    reply = await scene.visitor.post_form(
        scene.endpoint("authorization"), form, {"Origin": EVIL, "Accept": "text/html"}
    )
    answer, endpoint = answered(reply), scene.endpoint("authorization")
    again = urljoin(endpoint, answer.header("location") or "")
    if answer.status in {302, 303} and again.startswith(f"{endpoint}?"):
        # By GET the browser brings the cookies that it keeps back from a form of another site.
        answer = answered(await scene.visitor.get(again, {"Accept": "text/html"}))
    return page(answer, EVIL)


async def _sign_in_page(scene: Scene, query: str = "") -> Answer:
    reply = await scene.visitor.get(f"{scene.issuer.rstrip('/')}/login{query}", {"Accept": "text/html"})
    if not isinstance(reply, Answer) or reply.status in {404, 405}:
        raise NotThere("There is no page at /login.")
    return reply


async def cookies(scene: Scene) -> str:
    """LGN-9."""
    answer = await _sign_in_page(scene)
    secure = scene.issuer.startswith("https://")
    given = answer.all("set-cookie")
    for cookie in given:
        name = cookie.partition("=")[0]
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        wanted = {"httponly", *(["secure"] if secure else [])}
        if not wanted <= attributes or not {"samesite=lax", "samesite=strict"} & attributes:
            raise Refuted(f"{name} lacks HttpOnly, SameSite or Secure.")
        if any(attribute.startswith("domain=") for attribute in attributes):
            raise Refuted(f"{name} goes to other hosts too (Domain).")
        if secure and not name.startswith("__Host-"):
            raise Refuted(f"{name} has no __Host- before it.")
    return f"{len(given)} cookies, all of them guarded." if given else "No cookie."


async def sign_in_leads_home(scene: Scene) -> str:
    """RFC 9700 §4.11, MCP authorization (Open Redirection)."""
    for target in (EVIL, "//evil.example", "/\\evil.example", "https:evil.example", "/%09/evil.example"):
        answer = await _sign_in_page(scene, f"?next={quote(target, safe='')}")
        leads_to = answer.header("location") or ""
        text = answer.body.decode("utf-8", "replace")
        if "evil.example" in leads_to.partition("?")[0] or f'"{target}"' in text:
            raise Refuted(f"next={target} is taken over.")
    return "No foreign address is taken over."


async def sign_in_without_a_form(scene: Scene) -> str:
    """LGN-6."""
    await _sign_in_page(scene)
    reply = await scene.visitor.post_form(
        f"{scene.issuer.rstrip('/')}/login", "username=selftest&password=selftest", {"Origin": EVIL}
    )
    answer = answered(reply)
    if answer.status not in {400, 403, 422}:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


async def pages_of_others(scene: Scene) -> str:
    """ADM-1."""
    found = ""
    for path in _SAFE_PATHS:
        answer = answered(
            await scene.visitor.get(f"{scene.issuer.rstrip('/')}{path}", {"Accept": "text/html"})
        )
        if answer.status == 404:
            raise NotThere(f"There is no page at {path}.")
        leads_to = answer.header("location") or ""
        home = leads_to.startswith(("/", origin_of(scene.issuer)))
        if answer.status not in {401, 403} and not (answer.status in {302, 303} and home):
            raise Refuted(f"{path}: {answer.words}.")
        found = f"{answer.words}{f' to {shown(leads_to)}' if leads_to else ''}."
    return found


CASES = (
    Case("AUZ-1", "an unknown client", "a page, no redirect", _page_for(client_id="nobody-selftest")),
    Case("AUZ-1", "no client", "a page, no redirect", _page_for(client_id=None)),
    Case("AUZ-2", "another redirect URI", "a page, no redirect", _page_for(redirect_uri=f"{EVIL}/callback")),
    Case("AUZ-2", "another path", "a page, no redirect", _page_for(redirect_uri=f"{REDIRECT_URI}/more")),
    Case("AUZ-2", "one more parameter", "a page, no redirect", _page_for(redirect_uri=f"{REDIRECT_URI}?x=1")),
    Case("AUZ-2", "an encoded dot", "a page, no redirect", _page_for(redirect_uri=f"{REDIRECT_URI}/%2e")),
    Case(
        "AUZ-4",
        "another path on loopback",
        "a page, no redirect",
        _page_for(redirect_uri="http://localhost:53682/other"),
    ),
    Case("AUZ-7", "response type token", "an error", _no_way(response_type="token")),
    Case("AUZ-8", "no PKCE", "an error", _no_way(code_challenge=None, code_challenge_method=None)),
    Case("AUZ-8", "PKCE with plain", "an error", _no_way(code_challenge_method="plain")),
    Case("AUZ-12", "a scope with a quotation mark", "an error", _no_way(scope='mcp "')),
    Case("AUZ-14", "another resource", "an error", _no_way(resource=f"{EVIL}/mcp")),
    Case("AUZ-20", "a wrong request of somebody unknown", "no redirect to the client", not_bounced),
    Case("AUZ-22", "a form of another site", "a page, no redirect", post_crosses),
    Case("HDR-1", "the headers of a page", "no frames, a strict CSP", not_framed),
    Case("HDR-2", "the authorization endpoint from a page of others", "no CORS", not_open_to_pages),
    Case("LGN-6", "a sign-in without our form", "403", sign_in_without_a_form),
    Case("LGN-9", "the cookies of the sign-in page", "HttpOnly, SameSite, Secure, __Host-", cookies),
    Case(
        "RFC 9700 §4.11", "/login?next= with foreign addresses", "they are not taken over", sign_in_leads_home
    ),
    Case("ADM-1", "/account and /admin of somebody unknown", "to the sign-in, or 401, 403", pages_of_others),
)
