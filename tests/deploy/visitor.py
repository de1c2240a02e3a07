"""A client that knows one address, `https://…/mcp`, and follows what it is told from there on, as real ones do."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from tests.support.process import USERNAME
from tests.support.world import (
    CHALLENGE,
    PASSWORD,
    REDIRECT_URI,
    VERIFIER,
    Form,
    answer_of,
    forms_of,
    mcp_call,
    mcp_headers,
)


@dataclass
class Connection:
    """What a client holds after its person approved."""

    metadata: dict[str, Any]
    client: dict[str, Any]
    tokens: dict[str, Any]


@dataclass
class Visitor:
    """A person with a browser and a client, on one machine. `http` keeps cookies and follows no redirects."""

    http: httpx2.AsyncClient
    resource: str

    async def call(self, access_token: str | None, tool: str = "whoami") -> httpx2.Response:
        """Call a tool."""
        return await self.http.post(
            self.resource, headers=mcp_headers(access_token, tool), json=mcp_call(tool, {})
        )

    async def discover(self) -> dict[str, Any]:
        """From the challenge to the authorization server's metadata (RFC 9728 §5.1, RFC 8414 §3.1)."""
        challenged = await self.call(None)
        assert challenged.status_code == 401, challenged.text
        told = re.search(r'resource_metadata="([^"]+)"', challenged.headers["www-authenticate"])
        assert told is not None
        resource = (await self._get(told[1])).json()
        assert resource["resource"] == self.resource
        issuer = resource["authorization_servers"][0]
        root, path = urljoin(issuer, "/"), urlsplit(issuer).path.rstrip("/")
        metadata: dict[str, Any] = (
            await self._get(f"{root}.well-known/oauth-authorization-server{path}")
        ).json()
        assert metadata["issuer"] == issuer
        openid = (await self._get(f"{root}.well-known/openid-configuration{path}")).json()
        assert openid["issuer"] == issuer
        assert (await self._get(metadata["jwks_uri"])).json()["keys"]
        return metadata

    async def connect(self, **registration: Any) -> Connection:
        """Register, sign in, approve, and get tokens."""
        metadata = await self.discover()
        body = {
            "client_name": "Test App",
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            **registration,
        }
        registered = await self.http.post(metadata["registration_endpoint"], json=body)
        assert registered.status_code == 201, registered.text
        client = registered.json()
        code = await self._approve(metadata, client)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": REDIRECT_URI,
            "client_id": client["client_id"],
        }
        answer = await self.http.post(metadata["token_endpoint"], data=form)
        assert answer.status_code == 200, answer.text
        return Connection(metadata, client, answer.json())

    async def refresh(self, connection: Connection) -> httpx2.Response:
        """Use the refresh token."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": connection.tokens["refresh_token"],
            "client_id": connection.client["client_id"],
        }
        return await self.http.post(connection.metadata["token_endpoint"], data=form)

    async def revoke(self, connection: Connection, token: str) -> httpx2.Response:
        """Revoke a token."""
        form = {"token": token, "client_id": connection.client["client_id"]}
        return await self.http.post(connection.metadata["revocation_endpoint"], data=form)

    async def _approve(self, metadata: dict[str, Any], client: dict[str, Any]) -> str:
        query = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": REDIRECT_URI,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            # As long as some clients make it.
            "state": "s" * 4000,
            "scope": "mcp profile offline_access",
            "resource": self.resource,
        }
        answer = await self.http.get(metadata["authorization_endpoint"], params=query)
        for _ in range(6):
            if answer.status_code in {302, 303} and answer.headers["location"].startswith(REDIRECT_URI):
                return answer_of(answer.headers["location"])["code"]
            answer = await self._next(answer)
        raise AssertionError(f"no code after six pages: {answer.status_code} {answer.text[:500]}")

    async def _next(self, answer: httpx2.Response) -> httpx2.Response:
        """Follow a redirect, sign in, or approve, as the page asks."""
        here = str(answer.url)
        if answer.status_code == 303:
            there = urljoin(here, answer.headers["location"])
            assert there.startswith(self.resource.removesuffix("/mcp")), f"led to {there}"
            return await self.http.get(there)
        assert answer.status_code == 200, answer.text
        forms = forms_of(answer.text)
        for form in forms:
            if "password" in form.fields:
                return await self._post(here, form, {"username": USERNAME, "password": PASSWORD})
            if ("decision", "approve") in form.buttons:
                return await self._post(here, form, {"decision": "approve"})
        raise AssertionError(f"nothing to do on {here}")

    async def _post(self, here: str, form: Form, fields: dict[str, str]) -> httpx2.Response:
        return await self.http.post(urljoin(here, form.action), data={**form.fields, **fields})

    async def _get(self, url: str) -> httpx2.Response:
        answer = await self.http.get(url)
        assert answer.status_code == 200, (url, answer.status_code, answer.text[:300])
        return answer
