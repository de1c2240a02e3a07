"""What the front channel answers: a page that refuses, an error that is sent to the client, no effect."""

import html
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import sqlalchemy as sa

from app.authorization_server import store
from app.authorization_server.client_snapshot import snapshot_of
from tests.support.world import REDIRECT_URI, World, answer_of

# What RFC 6749 §4.1.2.1 lets an error_description be made of.
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]*")


@dataclass
class Standing:
    """A server, a browser in which alice is signed in, and the clients that were asked for."""

    world: World
    signed_in: httpx2.AsyncClient
    _clients: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def client(self, *redirect_uris: str, **metadata: Any) -> dict[str, Any]:
        """A client with these redirect URIs; the same one for everybody who asks for the same."""
        wanted = {"redirect_uris": list(redirect_uris or [REDIRECT_URI]), **metadata}
        if repr(wanted) not in self._clients:
            self._clients[repr(wanted)] = await self.world.register(**wanted)
        return self._clients[repr(wanted)]

    def browsers(self) -> Sequence[httpx2.AsyncClient]:
        """Nobody, and somebody who is signed in."""
        return self.world.browser(), self.signed_in


def assert_html(answer: httpx2.Response, status: int) -> None:
    """An HTML page for a person: it leads nowhere by itself, nobody keeps it and nobody frames it."""
    assert answer.status_code == status, f"{answer.status_code} {answer.headers.get('location')}"
    assert answer.headers["content-type"].startswith("text/html")
    assert "location" not in answer.headers
    assert "refresh" not in answer.headers
    assert "http-equiv" not in answer.text.lower()
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in {"no-referrer", "same-origin"}


def assert_page(answer: httpx2.Response, sent: Iterable[str] = (), status: int = 400) -> None:
    """The "page" of the table of cases: nothing of what was sent stands in it unescaped."""
    assert_html(answer, status)
    for value in sent:
        if html.escape(value) != value:
            assert value not in answer.text


def assert_redirect_error(
    world: World, answer: httpx2.Response, redirect_uri: str, error: str, state: str | None
) -> None:
    """The "redirect-error" of the table of cases."""
    assert answer.status_code == 303, f"{answer.status_code} {answer.text[:300]}"
    values = answer_to(answer.headers["location"], redirect_uri)
    assert values["error"] == error
    assert values.get("state") == state
    assert values["iss"] == world.settings.public_url
    assert values.keys() <= {"error", "error_description", "error_uri", "state", "iss"}
    assert DESCRIPTION.fullmatch(values.get("error_description", ""))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def answer_to(location: str, redirect_uri: str) -> dict[str, str]:
    """What an authorization response adds to this redirect URI, which it must leave as it is."""
    separator = "&" if urlsplit(redirect_uri).query else "?"
    assert location.startswith(redirect_uri + separator), location
    assert "#" not in location
    return answer_of("?" + location.removeprefix(redirect_uri + separator))


def is_consent(answer: httpx2.Response) -> bool:
    """Whether the browser is sent on to the question, not to the client."""
    return answer.status_code == 303 and answer.headers["location"].startswith("/consent/")


async def change(world: World, statement: str, **parameters: object) -> None:
    """Change the database behind the server's back."""
    async with world.database.transaction() as tx:
        await tx.execute(sa.text(statement), parameters)


@asynccontextmanager
async def no_effect(world: World) -> AsyncIterator[None]:
    """No row of clients, grants, codes, tokens or sessions comes or goes."""
    before = await world.counts()
    yield
    assert await world.counts() == before


@asynccontextmanager
async def one_refusal_on_record(world: World, secrets: Mapping[str, str]) -> AsyncIterator[None]:
    """One audit event, without what was sent in secret."""
    statement = "SELECT * FROM audit_events ORDER BY id"
    before = len(await world.rows(statement))
    yield
    added = (await world.rows(statement))[before:]
    assert len(added) == 1, added
    assert added[0]["outcome"] != "ok"
    assert added[0]["reason"]
    for value in secrets.values():
        assert value not in str(added[0])


async def good_consent_token(world: World, session: str, request_id: str, client_id: str, scope: str) -> str:
    """The token of the consent page's form, which no page handed out."""
    async with world.database.reading() as tx:
        client = await store.find_client(tx, client_id)
    assert client is not None
    return world.services.keys.form_token("consent", session, request_id, snapshot_of(client), scope)
