"""The protected endpoints of this process: each MCP server behind its guard, taken out in front of the application."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from starlette.types import ASGIApp

from app.authorization_server.policy import Resource
from app.authorization_server.proof_of_possession import nonces_of
from app.grant_uses import GrantUses
from app.local_verifier import DatabaseReplays, find_foreign, find_props
from app.mcp_server.endpoint import AnyServer, load_server, session_manager
from app.oauth.features import Feature
from app.resource_refusals import ResourceRefusals
from app.resource_server.challenge import Challenges
from app.resource_server.cross_origin import open_to_browsers
from app.resource_server.enforcement import enforce
from app.resource_server.foreign import ForeignTokens
from app.resource_server.handles import HandleSealer
from app.resource_server.metadata import resource_metadata_url
from app.resource_server.middleware import BearerGuard, OriginCheck
from app.resource_server.possession import PossessionCheck
from app.resource_server.revocations import Revocations
from app.resource_server.verifier import AccessTokenVerifier, Verifier
from app.routers.middleware import BodyLimit
from app.routers.services import Services
from app.settings import Settings

_LARGEST_MESSAGE = 4 * 1024 * 1024 - 1  # one byte below the MCP SDK's own limit, which answers in plain text


def servers_of(settings: Settings) -> dict[str, AnyServer]:
    """The MCP servers of this process, by the URL of their resource."""
    paths = {"/mcp": settings.mcp_server}
    paths |= {entry.path: entry.server for entry in settings.resources if entry.path and entry.server}
    return {f"{settings.public_url}{path}": load_server(name) for path, name in paths.items()}


@dataclass(frozen=True, slots=True)
class Protection:
    """What stands in front of the MCP servers."""

    settings: Settings
    services: Services
    revocations: Revocations
    uses: GrantUses

    async def open(self, stack: AsyncExitStack) -> Mapping[str, ASGIApp]:
        """Start the MCP servers, which end with the stack; the guarded endpoints by their path, in every spelling."""
        settings, endpoints = self.settings, dict[str, ASGIApp]()
        for resource in self.services.policy.resources:
            if (server := self.services.servers.get(resource.url)) is None:
                continue
            manager = session_manager(server, settings.serves_sessions)
            await stack.enter_async_context(manager.run())
            guard = self._guard(resource, manager.asgi_app)
            endpoint = open_to_browsers(BodyLimit(guard, _LARGEST_MESSAGE))
            path = resource.url.removeprefix(settings.public_url)
            for spelling in (path, settings.path_prefix + path):
                endpoints |= {spelling: endpoint, f"{spelling}/": endpoint}
        return endpoints

    def _guard(self, resource: Resource, endpoint: ASGIApp) -> ASGIApp:
        services, settings, policy = self.services, self.settings, self.services.policy
        path = resource.url.removeprefix(settings.public_url)
        reporter, issuer = services.reporter, policy.issuer
        verifier: Verifier = AccessTokenVerifier(
            issuer,
            resource.url,
            lambda: services.signing_keys.verification,
            self.revocations,
            services.clock,
            policy.catalogue,
            find_props(services.database, services.keys),
        )
        if services.hooks.on_bearer is not None:
            find = find_foreign(services.hooks, resource.url, issuer, policy.catalogue)
            verifier = ForeignTokens(verifier, issuer, resource.url, find, services.clock)

        def used(grant_id: str, source: str) -> None:
            services.tallies.count("call", path)
            self.uses.note(grant_id, source)

        return BearerGuard(
            endpoint,
            verifier,
            Challenges(
                resource_metadata_url(resource.url),
                policy.first_scopes(resource),
                policy.proof_algorithms,
            ),
            resource.required_scopes,
            OriginCheck(settings.allowed_origins, settings.on_loopback),
            lambda status, error: reporter.refused(path, status, error),
            enforce(services.servers[resource.url], settings.tools_list),
            self._possession_check(resource),
            HandleSealer(services.keys.encryption_keys("handles"), services.clock),
            used,
            ResourceRefusals(services.database, services.clock, path).note,
        )

    def _possession_check(self, resource: Resource) -> PossessionCheck | None:
        services = self.services
        if not services.policy.has(Feature.DPOP):
            return None
        return PossessionCheck(
            (resource.url, f"{resource.url}/"),
            DatabaseReplays(services.database),
            nonces_of(services.keys, services.policy),
            services.clock,
        )
