"""GitHub, which speaks OAuth 2.0 without OpenID Connect; also GitHub Enterprise at addresses of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.accounts.upstream import Ticket, Vouched, Welcome
from app.upstream.openid import text_of
from app.upstream.provider import (
    Answer,
    Credentials,
    ProviderFailed,
    authorization_address,
    oauth_client,
    read_json,
    redeem_code,
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where GitHub is; `issuer` is the name under which identities are kept."""

    issuer: str
    authorization: str
    token: str
    api: str


class GitHubProvider:
    """People are known by the number of their account, which stays when they change its name."""

    def __init__(
        self, name: str, label: str, endpoints: Endpoints, credentials: Credentials, welcome: Welcome
    ) -> None:
        self.id, self.label, self.welcome = name, label, welcome
        self._endpoints = endpoints
        self._credentials = credentials

    @property
    def issuer(self) -> str:
        """See `Provider.issuer`."""
        return self._endpoints.issuer

    async def prepare(self, now: datetime) -> None:
        """Nothing has to be learned."""

    def address(self, ticket: Ticket, redirect_uri: str, *, fresh: bool) -> str:
        """See `Provider.address`. GitHub knows no way to ask for the password again; `select_account` comes closest."""
        more = {"prompt": "select_account"} if fresh else {}
        return authorization_address(
            self._endpoints.authorization, self._credentials, ticket, redirect_uri, **more
        )

    async def redeem(self, answer: Answer, ticket: Ticket, now: datetime) -> Vouched:  # noqa: ARG002 - the protocol's
        """See `Provider.redeem`."""
        if answer.issuer not in {None, self.issuer}:
            raise ProviderFailed("wrong_issuer")
        async with oauth_client(self._credentials, answer.redirect_uri) as client:
            await redeem_code(client, self._endpoints.token, answer.code, ticket.verifier)
            account = await read_json(client, f"{self._endpoints.api}/user")
            addresses = await read_json(client, f"{self._endpoints.api}/user/emails")
        number = account.get("id") if isinstance(account, Mapping) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise ProviderFailed("person_unreadable")
        email = _primary(addresses)
        return Vouched(
            issuer=self.issuer,
            subject=str(number),
            email=email,
            email_verified=email is not None,
            username=text_of(account, "login"),
            name=text_of(account, "name"),
        )


def _primary(addresses: object) -> str | None:
    """The one address that is the person's first and that GitHub verified."""
    listed = addresses if isinstance(addresses, list) else []
    for entry in listed:
        if isinstance(entry, Mapping) and entry.get("primary") is True and entry.get("verified") is True:
            return text_of(entry, "email")
    return None
