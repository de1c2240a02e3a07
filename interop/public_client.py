"""The smallest public client: for suites that want a client id or a token and bring no OAuth of their own."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from interop.server import Server


@dataclass(frozen=True)
class PublicClient:
    """A registered client without a secret."""

    server: Server
    client_id: str
    redirect_uri: str

    def access_token(self) -> str:
        """Sign the person in, and redeem the code."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        request = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            "resource": self.server.mcp,
        }
        callback = self.server.person.authorize(f"{self.server.url}/authorize?{urlencode(request)}")
        form = {
            "grant_type": "authorization_code",
            "code": parse_qs(urlsplit(callback).query)["code"][0],
            "redirect_uri": self.redirect_uri,
            "client_id": self.client_id,
            "code_verifier": verifier,
        }
        answer = httpx2.post(f"{self.server.url}/oauth/token", data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def register(server: Server, name: str, redirect_uri: str) -> PublicClient:
    """Dynamic client registration (RFC 7591)."""
    metadata = {
        "client_name": name,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    }
    answer = httpx2.post(f"{server.url}/oauth/register", json=metadata)
    assert answer.status_code == 201, answer.text
    return PublicClient(server, str(answer.json()["client_id"]), redirect_uri)
