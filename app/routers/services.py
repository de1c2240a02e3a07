"""What every request needs, made once at start and handed out by dependency."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.accounts.passwords import Passwords
from app.accounts.second_factor import SecondFactor
from app.authorization_server.client_documents import ClientDocuments
from app.authorization_server.client_keys import ClientKeys
from app.authorization_server.document_fetcher import Egress
from app.authorization_server.key_sets import KeySets
from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.clock import Clock
from app.database import Database
from app.dispatch import Dispatch
from app.hooks import Hooks
from app.mcp_server.endpoint import AnyServer
from app.oauth.credentials import Keys
from app.routers.failures import Reporter
from app.routers.limits import Limits
from app.tallies import Tallies
from app.upstream.provider import Provider


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """How the world reaches this server; never taken from a request.

    `origin` is scheme and host, `prefix` the path before ours (empty without one).
    """

    origin: str
    prefix: str
    secure: bool
    loopback: bool

    def path(self, path: str) -> str:
        """One of our paths as links on pages spell it."""
        return self.prefix + path


@dataclass(frozen=True, slots=True)
class Services:
    """The running server's parts."""

    address: PublicAddress
    policy: Policy
    database: Database
    clock: Clock
    keys: Keys
    signing_keys: SigningKeys
    passwords: Passwords
    limits: Limits
    client_documents: ClientDocuments
    hooks: Hooks
    reporter: Reporter
    tallies: Tallies
    key_sets: KeySets
    egress: Egress
    client_keys: ClientKeys
    second_factor: SecondFactor
    # With whom people sign in besides, by id.
    providers: Mapping[str, Provider]
    # None where no mail server is set.
    dispatch: Dispatch | None
    # The MCP servers of this process by the URL of their resource.
    servers: Mapping[str, AnyServer]

    @property
    def mcp(self) -> AnyServer:
        """The server at `/mcp`."""
        return self.servers[self.policy.default_resource.url]
