"""An OpenID provider and a GitHub of the tests' own, on a real loopback port: strict about us, and wrong on demand."""

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.clock import Clock

CLIENT_ID, CLIENT_SECRET = "ostiary at the tests", "s3cret:with/signs+"


@dataclass
class Approved:
    """What the authorization endpoint remembers of a code."""

    query: dict[str, str]
    person: dict[str, Any]


@dataclass
class OpenIDServer:
    """One provider. What it is to do wrong is set before it is asked.

    `claims`, `metadata` and `answer` change what it says; a change to None leaves a member out. `raw` is a whole answer
    instead, by path.
    """

    clock: Clock
    port: int = 0
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Response] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    person: dict[str, Any] = field(default_factory=dict)
    signs_with: Any = None
    seen: list[str] = field(default_factory=list)
    _codes: dict[str, Approved] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one"})
        self.rsa = RSAKey.generate_key(2048, {"kid": "two"})
        self.stranger = ECKey.generate_key("P-256", {"kid": "one"})

    @property
    def issuer(self) -> str:
        """Its issuer identifier."""
        return f"http://127.0.0.1:{self.port}"

    def setting(self, **changes: Any) -> dict[str, Any]:
        """Its entry of `SIGN_IN_PROVIDERS`."""
        return {
            "id": "example",
            "name": "Example",
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            **changes,
        }

    def github_setting(self, **changes: Any) -> dict[str, Any]:
        """Its entry as a GitHub."""
        return {
            "id": "hub",
            "name": "Hub",
            "kind": "github",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "api": f"{self.issuer}/api",
            **changes,
        }

    def approve(self, location: str, **person: Any) -> str:
        """Sign somebody in at the address that a browser was sent to; where it is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert location.startswith(f"{self.issuer}/authorize?"), location
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}-{query['state'][:4]}"
        self._codes[code] = Approved(query, {"sub": "1", **self.person, **person})
        answer = {"code": code, "state": query["state"], "iss": self.issuer, **self.answer}
        given = {name: value for name, value in answer.items() if value is not None}
        return f"{query['redirect_uri']}?{urlencode(given)}"

    def document(self) -> dict[str, Any]:
        """Its metadata."""
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            **self.metadata,
        }
        return {name: value for name, value in said.items() if value is not None}

    def id_token(self, approved: Approved) -> str:
        """What it says about who signed in."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "nonce": approved.query.get("nonce"),
            "iat": now,
            "exp": now + 300,
            **approved.person,
            **self.claims,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        key = self.signs_with or self.key
        header = {"alg": "ES256", "kid": "one", **self.header}
        if header["alg"] in {"none", "HS256"}:
            unsigned = ".".join(_encoded(json.dumps(part).encode()) for part in (header, said))
            # Its public key as a shared secret, as who confuses the algorithms uses it.
            shared = self.key.as_pem(private=False)
            signature = hmac.digest(shared, unsigned.encode(), "sha256") if header["alg"] == "HS256" else b""
            return f"{unsigned}.{_encoded(signature)}"
        return jwt.encode(header, said, key, algorithms=[header["alg"]])


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _client_of(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    name, _, secret = base64.b64decode(encoded).decode().partition(":")
    return unquote_plus(name), unquote_plus(secret)


def _application(server: OpenIDServer) -> Starlette:
    async def discovery(_request: Request) -> Response:
        return JSONResponse(server.document())

    async def keys(_request: Request) -> Response:
        return JSONResponse(
            {"keys": [{**key.as_dict(private=False), "use": "sig"} for key in (server.key, server.rsa)]}
        )

    async def authorize(request: Request) -> Response:
        return RedirectResponse(server.approve(str(request.url)), 303)

    async def token(request: Request) -> Response:
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        approved = server._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            approved is None
            or _client_of(request, form) != (CLIENT_ID, CLIENT_SECRET)
            or form.get("redirect_uri") != approved.query["redirect_uri"]
            or challenge.rstrip(b"=").decode() != approved.query["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = f"token-{approved.person['sub']}"
        return JSONResponse(
            {"access_token": token, "token_type": "bearer", "id_token": server.id_token(approved)}
        )

    async def userinfo(request: Request) -> Response:
        subject = request.headers.get("authorization", "").removeprefix("Bearer token-")
        return JSONResponse({"sub": subject, **server.userinfo})

    async def user(request: Request) -> Response:
        subject = request.headers.get("authorization", "").removeprefix("Bearer token-")
        return JSONResponse({"id": int(subject), **server.userinfo})

    async def emails(_request: Request) -> Response:
        return JSONResponse(server.userinfo.get("addresses", []))

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", discovery),
            Route("/keys", keys),
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
            Route("/userinfo", userinfo),
            Route("/api/user", user),
            Route("/api/user/emails", emails),
        ]
    )


@contextmanager
def running_provider(clock: Clock) -> Iterator[OpenIDServer]:
    """One that listens for the time of the `with` block."""
    server = OpenIDServer(clock)
    application = _application(server)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        server.seen.append(scope["path"])
        await server.raw.get(scope["path"], application)(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    runner = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        runner.should_exit = True
        thread.join(20)
        listener.close()
