"""The authorization server, as a resource server in another process sees it: over HTTP.

It is asked three things: where everything lies (RFC 8414), with which keys it signs (RFC 7517), and whether a token
still holds (RFC 7662). What it says is used for a while, and for a while longer when it can't be asked:

- metadata and keys are read when the first token comes, and again after five minutes or when a token is signed with an
  unknown key, but never twice within five seconds; while the server is away they serve for a day;
- that a token holds is believed for five seconds. After that nobody can tell, and the answer is 503, never 200.
"""

import asyncio
import hashlib
import logging
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from app.clock import Clock
from app.oauth import jwt
from app.oauth.uris import is_loopback
from app.resource_server.revocations import RevocationsUnknown

FRESH_FOR = timedelta(seconds=5)
_KEYS_FRESH_FOR = timedelta(minutes=5)
_KEYS_SERVE_FOR = timedelta(days=1)
_PAUSE = timedelta(seconds=5)
_MOST_REMEMBERED = 10_000
_NEVER = datetime.min.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


class IssuerUnavailable(RevocationsUnknown):
    """The authorization server could not be asked, or did not answer as one; the text says why, for the operator."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a resource server authenticates to the authorization server: as a confidential client of it."""

    client_id: str
    client_secret: str = field(repr=False)

    @property
    def header(self) -> str:
        """`client_secret_basic` (RFC 6749 §2.3.1)."""
        pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
        return f"Basic {b64encode(pair.encode()).decode()}"


@dataclass(frozen=True, slots=True)
class _Published:
    """What the authorization server says of itself."""

    keys: Mapping[str, jwt.VerificationKey]
    introspection_endpoint: str
    read_at: datetime


class Issuer:
    """One authorization server.

    Args:
        issuer: its issuer identifier, exactly as its metadata spells it.
        credentials: of a client whose operator lets it introspect tokens for this resource.
    """

    def __init__(self, issuer: str, credentials: Credentials, http: httpx2.AsyncClient, clock: Clock) -> None:
        self.issuer = issuer
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._published: _Published | None = None
        self._tried_at: datetime | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: OrderedDict[bytes, tuple[bool, datetime]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[bool]] = {}
        self._away = False
        self._asked_before = False

    @property
    def keys(self) -> Mapping[str, jwt.VerificationKey]:
        """Its public keys by id, as they were last read."""
        return self._published.keys if self._published else {}

    async def find_key(self, kid: str | None) -> None:
        """Read what it publishes, where that is missing or old, or does not hold this key.

        Nobody waits for it who can do with what was read last.

        Raises:
            IssuerUnavailable: nothing is known, nothing that is younger than a day, or not whether it has this key.
        """
        now, known = self._clock.now(), self._published
        if known is None or now >= known.read_at + _KEYS_FRESH_FOR or kid not in known.keys:
            self._read_soon(now)
        if self._reading is not None and (kid not in self.keys or now >= self._serves_until()):
            await asyncio.shield(self._reading)
        if now >= self._serves_until() or (self._away and kid not in self.keys):
            raise IssuerUnavailable("nothing is known of the authorization server, or not of this key")

    async def is_active(self, token: str) -> bool:
        """Whether it says that a token holds, now or a few seconds ago.

        Raises:
            IssuerUnavailable: it could not be asked.
        """
        now, digest = self._clock.now(), hashlib.sha256(token.encode()).digest()
        active, asked_at = self._answers.get(digest, (False, None))
        if asked_at is not None and now < asked_at + FRESH_FOR:
            return active
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._ask(token, digest, now))
            task.add_done_callback(lambda task: self._landed(task, digest))
        # Someone who hangs up must not take the answer from the others who wait for it.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = [*self._asking.values(), *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, task: asyncio.Task[bool], digest: bytes) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # looked at, also where nobody waits for it any more

    def _serves_until(self) -> datetime:
        return self._published.read_at + _KEYS_SERVE_FOR if self._published else _NEVER

    def _read_soon(self, now: datetime) -> None:
        if self._reading is None and (self._tried_at is None or now >= self._tried_at + _PAUSE):
            self._tried_at = now
            self._reading = asyncio.create_task(self._read(now))

    async def _read(self, now: datetime) -> None:
        try:
            metadata = await self._fetch(_metadata_url(self.issuer))
            if metadata.get("issuer") != self.issuer:
                raise IssuerUnavailable("its metadata names another issuer")  # RFC 8414 §3.3
            endpoint = self._address(metadata, "introspection_endpoint")
            keys = jwt.read_verification_keys(await self._fetch(self._address(metadata, "jwks_uri")))
            if not keys:
                raise IssuerUnavailable("it publishes no key")
            self._published = _Published(keys, endpoint, now)
            self._answered()
        except IssuerUnavailable as error:
            self._failed(error)
        finally:
            self._reading = None

    async def _fetch(self, url: str) -> Mapping[str, Any]:
        return await self._send("GET", url, {})

    async def _ask(self, token: str, digest: bytes, now: datetime) -> bool:
        try:
            if self._published is None:
                raise IssuerUnavailable("its metadata was not read yet")
            endpoint, header = self._published.introspection_endpoint, self._credentials.header
            answer = await self._send("POST", endpoint, {"authorization": header}, {"token": token})
            active = answer.get("active")
            if not isinstance(active, bool):
                raise IssuerUnavailable("its introspection endpoint does not say whether a token is active")
        except IssuerUnavailable as error:
            self._failed(error)
            raise
        self._answered()
        self._note_first(active)
        self._answers.pop(digest, None)
        self._answers[digest] = (active, now)
        if len(self._answers) > _MOST_REMEMBERED:
            self._answers.popitem(last=False)
        return active

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        try:
            asked = {"accept": "application/json", **headers}
            answer = await self._http.request(method, url, headers=asked, data=form, follow_redirects=False)
            body = answer.json() if answer.status_code == 200 else None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise IssuerUnavailable(f"it could not be reached ({type(error).__name__})") from None
        except (ValueError, RecursionError):
            raise IssuerUnavailable("it answered with something that is not JSON") from None
        if answer.status_code == 401:
            raise IssuerUnavailable("it does not accept the credentials of this resource server")
        if not isinstance(body, Mapping):
            raise IssuerUnavailable(f"it answered with status {answer.status_code} or without a JSON object")
        return body

    def _address(self, metadata: Mapping[str, Any], member: str) -> str:
        """An address to which a token may be sent: https, except where the issuer itself is on this computer."""
        url = metadata.get(member)
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise IssuerUnavailable(f"its metadata names no {member}")
        if not url.startswith("https://") and not is_loopback(self.issuer):
            raise IssuerUnavailable(f"its {member} is not https")
        return url

    def _failed(self, error: IssuerUnavailable) -> None:
        if not self._away:
            log.warning("The authorization server %s can't be asked: %s", self.issuer, error)
        self._away = True

    def _note_first(self, active: bool) -> None:
        """What an operator forgets most: a token that was never good for anyone is perhaps only not to be told of."""
        if not active and not self._asked_before:
            log.warning(
                "%s says that a token which it signed is not active: it was revoked, or the client %s may not "
                "introspect tokens for this resource",
                self.issuer,
                self._credentials.client_id,
            )
        self._asked_before = True

    def _answered(self) -> None:
        if self._away:
            log.warning("The authorization server %s answers again", self.issuer)
        self._away = False


def _metadata_url(issuer: str) -> str:
    """RFC 8414 §3.1: the well-known path goes between host and path."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
