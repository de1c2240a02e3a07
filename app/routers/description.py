"""The OpenAPI description: what FastAPI can't see, because the endpoints read their forms themselves.

Every route of the application is described here, or left out on purpose; a test holds the two lists equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "properties": {
        "error": _TEXT,
        "error_description": _TEXT,
        "error_uri": {"type": "string", "format": "uri"},
        "error_reference": _TEXT,
    },
    "required": ["error", "error_description"],
}
_STATUSES = {
    200: "It is done.",
    201: "It was created.",
    204: "It is gone.",
    303: "The browser goes on elsewhere.",
    400: "The request is refused.",
    401: "Authentication is missing or failed.",
    403: "It is not allowed.",
    404: "There is nothing here.",
    413: "The body is too large.",
    422: "What was typed can’t be taken; nothing was done.",
    429: "Too many refused requests; `Retry-After` tells the seconds to wait.",
    503: "The database is away; `Retry-After` tells the seconds to wait.",
}
_MACHINES = (400, 401, 413, 429, 503)
_FORM = "application/x-www-form-urlencoded"
_CLIENT = ("client_id", "client_secret", "client_assertion_type", "client_assertion")
_AUTHORIZATION = (
    *("response_type", "client_id", "redirect_uri", "scope", "state", "resource", "code_challenge"),
    *("code_challenge_method", "response_mode", "nonce", "prompt", "max_age", "login_hint", "id_token_hint"),
    *("dpop_jkt", "request_uri"),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: what it takes and what it answers."""

    summary: str
    answers: Sequence[int]
    form: Sequence[str] = ()
    query: Sequence[str] = ()
    required: Sequence[str] = ()
    body: Mapping[str, Any] | None = None
    page: bool = False
    security: Sequence[str] = field(default_factory=tuple)

    def described(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        operation: dict[str, Any] = {"summary": self.summary, "responses": self._responses()}
        if self.query:
            operation["parameters"] = [
                {"name": name, "in": "query", "required": name in self.required, "schema": _TEXT}
                for name in self.query
            ]
        if self.form:
            schema = {"type": "object", "properties": dict.fromkeys(self.form, _TEXT)}
            if self.required:
                schema["required"] = list(self.required)
            operation["requestBody"] = {"required": True, "content": {_FORM: {"schema": schema}}}
        if self.body is not None:
            content = {"application/json": {"schema": dict(self.body)}}
            operation["requestBody"] = {"required": True, "content": content}
        if self.security:
            operation["security"] = [{}, *({name: []} for name in self.security)]
        return operation

    def _responses(self) -> dict[str, Any]:
        responses: dict[str, Any] = {}
        for status in self.answers:
            response: dict[str, Any] = {"description": _STATUSES[status]}
            if self.page and status not in {303, 204}:
                response["content"] = {"text/html": {"schema": _TEXT}}
            if status >= 400:
                error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
                response["content"] = response.get("content", {}) | error
            responses[str(status)] = response
        return responses


_REDIRECT_URIS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 20}
_CLIENT_METADATA = {
    "type": "object",
    "properties": {
        "redirect_uris": _REDIRECT_URIS,
        "client_name": _TEXT,
        "token_endpoint_auth_method": _TEXT,
        "grant_types": {"type": "array", "items": _TEXT},
        "response_types": {"type": "array", "items": _TEXT},
        "scope": _TEXT,
        "client_uri": _TEXT,
        "logo_uri": _TEXT,
        "contacts": {"type": "array", "items": _TEXT},
        "jwks": {"type": "object"},
        "jwks_uri": _TEXT,
    },
}
_TOKEN = (
    *("grant_type", *_CLIENT, "code", "code_verifier", "redirect_uri", "refresh_token", "scope", "resource"),
    *("device_code", "assertion", "subject_token", "subject_token_type", "actor_token", "actor_token_type"),
    *("requested_token_type", "audience"),
)
_DOCUMENT = Operation("Metadata.", (200, 404))
_PICTURES = (200, 400, 404, 429, 503)
_PAGES = (200, 303, 400, 401, 403, 404, 413, 429, 503)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("get", "/.well-known/oauth-authorization-server"): _DOCUMENT,
    ("get", "/.well-known/openid-configuration"): _DOCUMENT,
    ("get", "/.well-known/oauth-authorization-server/{path}"): _DOCUMENT,
    ("get", "/.well-known/openid-configuration/{path}"): _DOCUMENT,
    ("get", "/mcp/.well-known/oauth-authorization-server"): _DOCUMENT,
    ("get", "/mcp/.well-known/openid-configuration"): _DOCUMENT,
    ("get", "/.well-known/oauth-protected-resource"): _DOCUMENT,
    ("get", "/.well-known/oauth-protected-resource/{path}"): _DOCUMENT,
    ("get", "/.well-known/jwks.json"): Operation("The public signing keys.", (200,)),
    ("post", "/oauth/register"): Operation(
        "Register a client (RFC 7591).",
        (201, 403, *_MACHINES),
        body=_CLIENT_METADATA,
        security=("token",),
    ),
    ("get", "/oauth/register/{client_id}"): Operation(
        "What the client registered (RFC 7592 §2.1).", (200, 403, 404, *_MACHINES), security=("token",)
    ),
    ("put", "/oauth/register/{client_id}"): Operation(
        "Replace what the client registered (RFC 7592 §2.2).",
        (200, 403, 404, *_MACHINES),
        body=_CLIENT_METADATA,
        security=("token",),
    ),
    ("delete", "/oauth/register/{client_id}"): Operation(
        "Remove the client (RFC 7592 §2.3).", (204, 403, 404, *_MACHINES), security=("token",)
    ),
    ("post", "/oauth/token"): Operation(
        "The token endpoint (OAuth 2.1 §3.2).",
        (200, *_MACHINES),
        form=_TOKEN,
        required=("grant_type",),
        security=("client",),
    ),
    ("post", "/oauth/par"): Operation(
        "Hand over an authorization request (RFC 9126).",
        (201, 404, *_MACHINES),
        form=(*(name for name in _AUTHORIZATION if name != "request_uri"), *_CLIENT[1:]),
        security=("client",),
    ),
    ("post", "/oauth/device_authorization"): Operation(
        "Let a device in (RFC 8628 §3.1).",
        (200, 404, *_MACHINES),
        form=("scope", "resource", *_CLIENT),
        security=("client",),
    ),
    ("post", "/oauth/revoke"): Operation(
        "Revoke a token (RFC 7009).",
        (200, *_MACHINES),
        form=("token", "token_type_hint", *_CLIENT),
        required=("token",),
        security=("client",),
    ),
    ("post", "/oauth/introspect"): Operation(
        "What a token is good for (RFC 7662).",
        (200, 404, *_MACHINES),
        form=("token", "token_type_hint", *_CLIENT),
        required=("token",),
        security=("client",),
    ),
    ("get", "/oauth/userinfo"): Operation(
        "Who signed in (OpenID Connect Core §5.3).", (200, 403, 404, *_MACHINES), security=("token",)
    ),
    ("post", "/oauth/userinfo"): Operation(
        "Who signed in (OpenID Connect Core §5.3).", (200, 403, 404, *_MACHINES), security=("token",)
    ),
    ("get", "/authorize"): Operation(
        "Ask a person (OAuth 2.1 §4.1.1).", _PAGES, query=_AUTHORIZATION, required=("client_id",), page=True
    ),
    ("post", "/authorize"): Operation(
        "Ask a person (OAuth 2.1 §4.1.1).", _PAGES, form=_AUTHORIZATION, required=("client_id",), page=True
    ),
    ("get", "/login"): Operation("The sign-in page.", _PAGES, query=("request", "switch"), page=True),
    ("post", "/login"): Operation(
        "Sign in.", _PAGES, form=("username", "password", "request", "csrf_token"), page=True
    ),
    ("post", "/login/passkey"): Operation(
        "Sign in with a passkey.", _PAGES, form=("credential", "request", "csrf_token"), page=True
    ),
    ("get", "/login/second"): Operation(
        "The second step of a sign-in.", _PAGES, query=("sign_in",), page=True
    ),
    ("post", "/login/second"): Operation(
        "Take the second step.", _PAGES, form=("sign_in", "code", "csrf_token"), page=True
    ),
    ("post", "/login/upstream/{provider}"): Operation(
        "Go to another provider to sign in.", _PAGES, form=("request", "csrf_token"), page=True
    ),
    ("get", "/login/upstream/{provider}/callback"): Operation(
        "The answer of another provider.", _PAGES, query=("state", "code", "iss", "error"), page=True
    ),
    ("get", "/link/{token}"): Operation("The page behind a link for a person.", _PAGES, page=True),
    ("post", "/link/{token}"): Operation(
        "Use the link up.", (*_PAGES, 422), form=("new", "again", "csrf_token"), page=True
    ),
    ("get", "/forgot"): Operation("Asks who forgot the password, where letters are sent.", _PAGES, page=True),
    ("post", "/forgot"): Operation(
        "Send a letter, if there is somebody to send it to.",
        (*_PAGES, 422),
        form=("who", "csrf_token"),
        page=True,
    ),
    ("get", "/logout"): Operation("Asks before it signs out.", _PAGES, page=True),
    ("post", "/logout"): Operation("Sign out.", _PAGES, form=("csrf_token",), page=True),
    ("get", "/consent/{request_id}"): Operation("The question of an app.", _PAGES, page=True),
    ("post", "/consent/{request_id}"): Operation(
        "Answer it.", _PAGES, form=("decision", "csrf_token"), page=True
    ),
    ("get", "/device"): Operation("Asks for the code of a device.", _PAGES, query=("user_code",), page=True),
    ("post", "/device"): Operation("Enter it.", _PAGES, form=("user_code", "csrf_token"), page=True),
    ("get", "/device/decision"): Operation(
        "The question of a device.", _PAGES, query=("user_code", "proof"), page=True
    ),
    ("post", "/device/decision"): Operation(
        "Answer it.", _PAGES, form=("user_code", "proof", "decision", "csrf_token"), page=True
    ),
    ("get", "/device/qr"): Operation(
        "The link of a device to scan.", _PAGES, query=("user_code",), page=True
    ),
    ("get", "/device/qr.svg"): Operation("The same as a picture.", _PICTURES, query=("user_code",)),
    ("get", "/device/qr.txt"): Operation("The same as text.", _PICTURES, query=("user_code",)),
    ("get", "/"): Operation("What this server is.", (200, 503), page=True),
    ("get", "/healthz"): Operation("Alive.", (200,)),
    ("get", "/readyz"): Operation("Able to serve.", (200, 503)),
    ("get", "/metrics"): Operation("Prometheus text.", (200,)),
}


_FOR_PEOPLE = ("/account", "/admin")


def described(openapi: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's description with ours in it, without the pages where someone works: their forms are for people."""
    openapi["paths"] = {
        path: methods for path, methods in openapi["paths"].items() if not path.startswith(_FOR_PEOPLE)
    }
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            ours = OPERATIONS[method, path].described()
            parameters = [one for one in operation.get("parameters", ()) if one["in"] == "path"]
            operation.update(ours)
            operation["parameters"] = parameters + ours.get("parameters", [])
    openapi["components"] = {
        "schemas": {"Error": _ERROR},
        "securitySchemes": {
            "client": {"type": "http", "scheme": "basic"},
            "token": {"type": "http", "scheme": "bearer"},
        },
    }
    return openapi
