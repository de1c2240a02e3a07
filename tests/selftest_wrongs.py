"""What a server may do wrong, by the row of the table that forbids it: each breaks a `BreakingProxy` in one place."""

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tests.support.breaking_proxy import BreakingProxy
from tests.support.troubled_server import URL

Break = Callable[[BreakingProxy], object]


def instead(
    method: str, path: str, response: Callable[[], Response], *words: str, without: str = "\x00"
) -> Break:
    """Another answer, where these words stand in the request (its query, body, or headers) and that one does not."""

    def answer(request: Request, body: bytes) -> Response | None:
        heads = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        text = f"{request.url.query}\n{body[:5000].decode()}\n{heads}"
        fits = request.method == method and request.url.path == path
        return response() if fits and all(word in text for word in words) and without not in text else None

    return lambda proxy: setattr(proxy, "instead", answer)


def after(path: str, change: Callable[[Response], None], *, when: str = "") -> Break:
    def changed(request: Request, response: Response) -> None:
        if request.url.path == path and (not when or when in request.headers):
            change(response)

    return lambda proxy: setattr(proxy, "after", changed)


def header(name: str, value: str | None) -> Callable[[Response], None]:
    def change(response: Response) -> None:
        del response.headers[name]
        if value is not None:
            response.headers[name] = value

    return change


def document(**changes: object) -> Callable[[Response], None]:
    def change(response: Response) -> None:
        response.body = json.dumps({**json.loads(bytes(response.body)), **changes}).encode()
        response.headers["content-length"] = str(len(response.body))

    return change


def answer_json(status: int, **body: object) -> Callable[[], Response]:
    return lambda: JSONResponse(body, status)


def kept_error(status: int, error: str) -> Callable[[], Response]:
    return lambda: JSONResponse({"error": error}, status, {"Cache-Control": "no-store"})


def html(status: int, text: str = "<h1>Hello</h1>") -> Callable[[], Response]:
    return lambda: HTMLResponse(text, status)


def to(target: str) -> Callable[[], Response]:
    return lambda: RedirectResponse(target, 303)


REGISTER, TOKEN, AUTHORIZE = "/oauth/register", "/oauth/token", "/authorize"
CALLBACK = "https://client.example/callback"
ASM, PRM = "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp"
MADE = answer_json(
    201,
    client_id="client_wrong",
    registration_access_token="x",
    registration_client_uri="https://mcp.example/ok",
)


def takes(*words: str) -> Break:
    """Registers what has these words in it; what it made is removed again."""

    def answer(request: Request, body: bytes) -> Response | None:
        if request.url.path == "/ok":
            return Response(status_code=204)
        named = "\n".join((body[:5000].decode(), request.headers.get("content-type", "")))
        if request.method == "POST" and request.url.path == REGISTER and all(word in named for word in words):
            return MADE()
        return None

    return lambda proxy: setattr(proxy, "instead", answer)


# Row, what is wrong, and what the outcome says.
WRONG: list[tuple[str, Break, str]] = [
    (
        "DSC-1",
        after(ASM, document(issuer="https://evil"), when="x-forwarded-host"),
        "X-Forwarded-Host",
    ),
    ("DSC-3", after(ASM, document(issuer="https://mcp.example/")), "issuer is"),
    (
        "DSC-3",
        instead("GET", f"{ASM}/selftest-nothing", answer_json(200, issuer="https://other.example")),
        "another issuer",
    ),
    (
        "DSC-4",
        instead(
            "GET", "/.well-known/oauth-protected-resource/selftest-nothing", answer_json(200, resource=URL)
        ),
        "where no resource is",
    ),
    ("DSC-5", after(PRM, document(scopes_supported=["offline_access"])), "offline_access"),
    ("DSC-7", after(ASM, document(code_challenge_methods_supported=["S256", "plain"])), "plain"),
    ("HDR-3", after(TOKEN, header("access-control-allow-credentials", "true")), "credentials"),
    ("HDR-6", after(ASM, header("strict-transport-security", "max-age=60")), "max-age=60"),
    ("HDR-6", after(ASM, header("strict-transport-security", None)), "missing"),
    ("HDR-9", instead("GET", "/.well-known/selftest-nothing", html(404)), "status 404"),
    ("RFC 9110 §9.3.8", instead("TRACE", TOKEN, html(200, "x-selftest: secret")), "status 200"),
    # --------------------------------------------------------------------------------------- registration
    ("REG-1", takes("null"), "status 201"),
    ("REG-2", takes("x-www-form-urlencoded"), "status 201"),
    ("REG-3", takes('"redirect_uris": []'), "status 201"),
    ("REG-4", takes("http://evil.example"), "status 201"),
    ("REG-5", takes("data:text"), "data:text/html,x: status 201"),
    ("REG-6", takes("callback#x"), "status 201"),
    ("REG-9", takes("selftest:/"), "status 201"),
    ("REG-10", takes('["password"]'), "status 201"),
    ("REG-10", takes('["client_credentials"]'), "status 201"),
    ("REG-11", takes('["token"]'), "status 201"),
    ("REG-12", takes("private_key_jwt"), "status 201"),
    ("REG-16", takes("javascript:alert(1)", "logo_uri"), "status 201"),
    ("REG-18", takes("xxxxxxxx"), "status 201"),
    ("REG-14", after(REGISTER, document(client_id="chosen-by-the-client")), "choose its own"),
    ("REG-14", after(REGISTER, document(client_id="https://a.example/b")), "metadata document"),
    (
        "REG-3",
        instead("POST", REGISTER, answer_json(400, error="invalid_redirect_uri"), '"redirect_uris": []'),
        "may be kept",
    ),
    ("REG-3", instead("POST", REGISTER, html(400), '"redirect_uris": []'), "no error in JSON"),
    ("REG-3", instead("POST", REGISTER, kept_error(400, "teapot"), '"redirect_uris": []'), "teapot"),
    # -------------------------------------------------------------------------------------- authorization
    ("AUZ-1", instead("GET", AUTHORIZE, to("https://evil.example"), "nobody-selftest"), "to https"),
    ("AUZ-1", instead("GET", AUTHORIZE, html(500), "nobody-selftest"), "status 500"),
    ("AUZ-2", instead("GET", AUTHORIZE, to("/login"), "client.example%2Fcallback%2Fmore"), "/login"),
    (
        "AUZ-2",
        instead("GET", AUTHORIZE, html(400, "https://evil.example/callback"), "evil.example"),
        "repeats",
    ),
    ("AUZ-4", instead("GET", AUTHORIZE, to("/login"), "localhost%3A53682%2Fother"), "/login"),
    ("AUZ-7", instead("GET", AUTHORIZE, to(f"{CALLBACK}?code=1"), "response_type=token"), "code=1"),
    ("AUZ-8", instead("GET", AUTHORIZE, html(200), "=plain"), "status 200"),
    (
        "AUZ-8",
        instead("GET", AUTHORIZE, html(200), "client.example", without="code_challenge"),
        "status 200",
    ),
    ("AUZ-12", instead("GET", AUTHORIZE, html(200), "scope="), "status 200"),
    ("AUZ-14", instead("GET", AUTHORIZE, html(200), "evil.example"), "status 200"),
    (
        "AUZ-20",
        instead("GET", AUTHORIZE, to(f"{CALLBACK}?error=x"), "response_type=token"),
        "straight to an address",
    ),
    ("AUZ-22", instead("POST", AUTHORIZE, to("https://evil.example")), "to https"),
    ("HDR-1", after(AUTHORIZE, header("x-frame-options", None)), "X-Frame-Options"),
    ("HDR-1", after(AUTHORIZE, header("content-security-policy", None)), "frame-ancestors"),
    ("HDR-2", after(AUTHORIZE, header("access-control-allow-origin", "*")), "allow-origin"),
    # ---------------------------------------------------------------------------------------------- pages
    ("LGN-6", instead("POST", "/login", html(200)), "status 200"),
    ("LGN-9", after("/login", header("set-cookie", "s=1; Secure; SameSite=Lax")), "lacks"),
    ("LGN-9", after("/login", header("set-cookie", "s=1; Secure; HttpOnly")), "lacks"),
    (
        "LGN-9",
        after("/login", header("set-cookie", "__Host-s=1; Secure; HttpOnly; SameSite=Lax; Domain=example")),
        "Domain",
    ),
    ("LGN-9", after("/login", header("set-cookie", "s=1; Secure; HttpOnly; SameSite=Lax")), "__Host-"),
    (
        "RFC 9700 §4.11",
        instead("GET", "/login", to("//evil.example"), "%2F%2Fevil.example"),
        "taken over",
    ),
    (
        "RFC 9700 §4.11",
        instead("GET", "/login", html(200, '<input name="next" value="https://evil.example" />')),
        "taken over",
    ),
    ("ADM-1", instead("GET", "/admin", html(200)), "/admin: status 200"),
    ("ADM-1", instead("GET", "/admin", to("https://evil.example/login")), "/admin: status 303"),
    # --------------------------------------------------------------------------------------------- tokens
    ("TOK-1", instead("GET", TOKEN, html(200)), "status 200"),
    ("TOK-2", instead("POST", TOKEN, kept_error(500, "server_error"), "application/json"), "500"),
    ("TOK-4", instead("POST", TOKEN, answer_json(200, access_token="x"), "password"), "status 200"),
    ("TOK-6", instead("POST", TOKEN, kept_error(400, "invalid_grant"), "nobody-"), "invalid_grant"),
    ("TOK-7", instead("POST", TOKEN, kept_error(400, "invalid_grant"), "Basic"), "invalid_grant"),
    ("TOK-7", instead("POST", TOKEN, kept_error(401, "invalid_client"), "Basic"), "WWW-Authenticate"),
    ("TOK-12", instead("POST", TOKEN, answer_json(200, access_token="x"), "verifier"), "status 200"),
    (
        "TOK-15",
        instead("POST", TOKEN, answer_json(200, access_token="x"), "code=selftest", without="verifier"),
        "status 200",
    ),
    ("TOK-22", instead("POST", TOKEN, answer_json(200, access_token="x"), "credentials"), "status 200"),
    ("REF-1", instead("POST", TOKEN, html(500), "refresh_token"), "status 500"),
    ("HDR-8", instead("POST", TOKEN, html(500), "xxxxxxx"), "status 500"),
    ("HDR-8", instead("POST", "/mcp", html(500), "xxxxxxx"), "status 500"),
    ("REV-1", instead("POST", "/oauth/revoke", kept_error(400, "invalid_token")), "status 400"),
    ("INT-1", instead("POST", "/oauth/introspect", answer_json(200, active=False)), "status 200"),
    ("INT-2", instead("POST", "/oauth/introspect", answer_json(200, active=False)), "status 200"),
    # -------------------------------------------------------------------------------------- the endpoint
    ("RSV-1", after("/mcp", header("www-authenticate", "Bearer")), "no Bearer challenge"),
    (
        "RSV-1",
        after(
            "/mcp",
            header(
                "www-authenticate",
                f'Bearer resource_metadata="https://mcp.example{PRM}", error="invalid_token"',
            ),
        ),
        "although no token came",
    ),
    ("RSV-2", instead("POST", "/mcp", answer_json(403), "Basic "), "Basic c2VsZnRlc3Q6eA==: status 403"),
    ("RSV-3", instead("POST", "/mcp", answer_json(200), "eyJhbGciOiAibm9uZSI"), "status 200"),
    (
        "RSV-3",
        after("/mcp", header("www-authenticate", f'Bearer resource_metadata="https://mcp.example{PRM}"')),
        "invalid_token",
    ),
    ("RFC 6750 §2.3", instead("POST", "/mcp", answer_json(200), "access_token="), "status 200"),
    ("RSV-12", instead("POST", "/mcp/", to("/mcp")), "to /mcp"),
]
