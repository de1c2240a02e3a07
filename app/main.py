"""`create_app(settings)`: the one place where everything meets."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from typing import Any, cast

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import __version__
from app.accounts.passwords import HashCost, Passwords
from app.accounts.second_factor import SecondFactor
from app.authorization_server import keys as signing_keys
from app.authorization_server.client_documents import ClientDocuments
from app.authorization_server.client_keys import ClientKeys
from app.authorization_server.document_fetcher import DocumentFetcher, Egress
from app.authorization_server.grant_store import REVOCATIONS_CHANNEL
from app.authorization_server.key_sets import KeySets
from app.authorization_server.policy import Resource
from app.authorization_server.proof_of_possession import nonces_of
from app.clock import Clock, SystemClock
from app.configuration import mailer_of, policy_of
from app.database import Database
from app.dispatch import Dispatch
from app.grant_uses import GrantUses
from app.hooks import load_hooks
from app.local_verifier import DatabaseReplays, DatabaseRevocations, find_foreign, find_props
from app.mcp_server.endpoint import AnyServer, load_server, session_manager
from app.notifications import listen
from app.oauth.credentials import Keys
from app.oauth.features import Feature
from app.purge import Purging
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
from app.routers import (
    authorize,
    client_configuration,
    device_authorization,
    discovery,
    health,
    introspection,
    pushed_requests,
    registration,
    revocation,
    token,
    userinfo,
)
from app.routers.counting import Counting
from app.routers.description import described
from app.routers.errors import install_error_handlers
from app.routers.failures import Reporter
from app.routers.limits import Limits
from app.routers.middleware import (
    BodyLimit,
    HeadAsGet,
    NoPlainPages,
    OpenPaths,
    PublicPath,
    answer_headers,
)
from app.routers.pages import (
    account,
    admin,
    consent,
    device,
    device_qr,
    forgot,
    info,
    link,
    passkey_sign_in,
    second_factor,
    sign_in,
    upstream_sign_in,
)
from app.routers.pages.guards import install_sign_in_first
from app.routers.pages.render import STATIC, make_templates
from app.routers.services import PublicAddress, Services
from app.settings import Settings, load_settings
from app.tallies import Tallies
from app.upstream.registry import make_providers
from app.written_later import WrittenLater

_ROUTERS = (
    discovery,
    registration,
    client_configuration,
    token,
    revocation,
    introspection,
    device_authorization,
    userinfo,
    pushed_requests,
    authorize,
    sign_in,
    passkey_sign_in,
    second_factor,
    upstream_sign_in,
    link,
    forgot,
    consent,
    device,
    device_qr,
    info,
    account,
    admin,
    health,
)
_LARGEST_BODY = 64 * 1024
_LARGEST_MESSAGE = 4 * 1024 * 1024 - 1  # one byte below the MCP SDK's own limit, which answers in plain text


def _servers(settings: Settings) -> dict[str, AnyServer]:
    """The MCP servers of this process, by the URL of their resource."""
    paths = {"/mcp": settings.mcp_server}
    paths |= {entry.path: entry.server for entry in settings.resources if entry.path and entry.server}
    return {f"{settings.public_url}{path}": load_server(name) for path, name in paths.items()}


class Application(FastAPI):
    """FastAPI with `/mcp` and `/mcp/` taken out in front of it.

    A mount would answer one of the two with 307, and each layer before the endpoint costs every call.
    """

    # The protected endpoints of this process by their path, with and without a slash at its end.
    mcp_endpoints: Mapping[str, ASGIApp] = MappingProxyType({})
    answer_headers: Sequence[tuple[bytes, bytes]] = ()

    def openapi(self) -> dict[str, Any]:
        """FastAPI's description, completed once."""
        if self.openapi_schema is None:
            self.openapi_schema = described(super().openapi())
        return self.openapi_schema

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.answer_headers]
            await send(message)

        endpoint = self.mcp_endpoints.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or super().__call__)(scope, receive, send_with_headers)


def create_app(
    settings: Settings | None = None,
    clock: Clock | None = None,
    egress: Egress | None = None,
    hash_cost: HashCost | None = None,
) -> FastAPI:
    """The whole application; the schema must be there already (`ostiary migrate`).

    Args:
        settings: read from the environment when missing, as uvicorn's workers do.
        clock: the machine's own when missing.
        egress: how documents and keys of others are reached; the machine's own resolver and network when missing.
        hash_cost: what hashing a password costs; what production takes when missing.
    """
    # Without settings this is the only application of its process, as uvicorn's workers start it.
    whole_process = settings is None
    settings = settings or load_settings()
    runtime = _Runtime(
        settings, clock or SystemClock(), egress or Egress(), hash_cost or HashCost(), whole_process
    )
    prefix = settings.path_prefix
    secure = settings.public_url.startswith("https://")
    middleware = [
        *([Middleware(PublicPath, prefix=prefix)] if prefix else []),
        Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies)),
        *([Middleware(NoPlainPages, public_url=settings.public_url)] if secure else []),
        Middleware(OpenPaths),
        Middleware(HeadAsGet),
        Middleware(BodyLimit, largest=_LARGEST_BODY),
    ]
    app = Application(
        title="Ostiary",
        version=__version__,
        lifespan=runtime.lifespan,
        middleware=middleware,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.answer_headers = answer_headers(secure)
    app.state.templates = make_templates(prefix)
    app.mount("/static", StaticFiles(directory=STATIC))
    for module in _ROUTERS:
        app.include_router(module.router)
    install_error_handlers(app)
    install_sign_in_first(app)
    return app


def _address_of(settings: Settings) -> PublicAddress:
    return PublicAddress(
        origin=settings.public_url.removesuffix(settings.path_prefix),
        prefix=settings.path_prefix,
        secure=settings.public_url.startswith("https://"),
        loopback=settings.on_loopback,
    )


class _Runtime:
    """What lives as long as the process: connections, keys, background tasks."""

    def __init__(
        self, settings: Settings, clock: Clock, egress: Egress, hash_cost: HashCost, whole_process: bool
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.hash_cost = hash_cost
        self.whole_process = whole_process
        self.policy = policy_of(settings)
        self.fetcher = DocumentFetcher(
            egress,
            loopback=settings.reads_loopback,
            trusted=[issuer.jwks_uri for issuer in self.policy.trusted_issuers],
        )

    @asynccontextmanager
    async def lifespan(self, app: Application) -> AsyncIterator[None]:
        """Start everything, and stop it in the opposite order."""
        settings = self.settings
        async with AsyncExitStack() as stack:
            database = Database(settings.database_url, settings.database_pool_size)
            stack.push_async_callback(database.close)
            keys = Keys(settings.secret_key, settings.secret_key_previous)
            passwords = Passwords(self.hash_cost)
            stack.callback(passwords.close)
            hooks = load_hooks(settings.hooks)
            tallies = Tallies(database, self.clock)
            client_documents = ClientDocuments(database, self.policy, self.fetcher, hooks, tallies)
            stack.push_async_callback(client_documents.close)
            key_sets = KeySets(self.fetcher)
            stack.push_async_callback(key_sets.close)
            counting = Counting(settings.limits_url)
            stack.push_async_callback(counting.close)
            services = Services(
                address=_address_of(settings),
                policy=self.policy,
                database=database,
                clock=self.clock,
                keys=keys,
                signing_keys=await signing_keys.load(database, keys, self.clock.now()),
                passwords=passwords,
                limits=Limits(settings.registrations_per_minute, settings.shared_egress, counting),
                client_documents=client_documents,
                hooks=hooks,
                reporter=Reporter(hooks, tallies),
                tallies=tallies,
                key_sets=key_sets,
                client_keys=ClientKeys(database, key_sets, client_documents),
                second_factor=SecondFactor(settings.second_factor),
                providers=make_providers(settings.sign_in_providers, self.fetcher, key_sets),
                dispatch=await self._open_dispatch(stack, database),
                servers=_servers(settings),
            )
            app.state.services = services
            revocations = app.state.revocations = await self._follow_news(stack, services)
            uses = app.state.grant_uses = GrantUses(database, self.clock)
            _keep_books(stack, uses, tallies)
            self._keep_house(stack, database)
            endpoints: dict[str, ASGIApp] = {}
            for resource in self.policy.resources:
                if (server := services.servers.get(resource.url)) is None:
                    continue
                manager = session_manager(server, settings.serves_sessions)
                await stack.enter_async_context(manager.run())
                guard = self._make_guard(services, resource, revocations, uses, manager.asgi_app)
                endpoint = open_to_browsers(BodyLimit(guard, _LARGEST_MESSAGE))
                path = resource.url.removeprefix(settings.public_url)
                for spelling in (path, settings.path_prefix + path):
                    endpoints |= {spelling: endpoint, f"{spelling}/": endpoint}
            app.mcp_endpoints = endpoints
            if self.whole_process:
                # What was loaded until now stays; the collector need not look at it again (p99 of calls).
                gc.freeze()
            yield
            app.mcp_endpoints = {}

    def _keep_house(self, stack: AsyncExitStack, database: Database) -> None:
        """Remove what is over; nobody waits for it."""
        if every := self.settings.purge_seconds:
            purging = Purging(database, self.policy, self.clock, every)
            stack.push_async_callback(_cancel, [asyncio.create_task(purging.run())])

    async def _open_dispatch(self, stack: AsyncExitStack, database: Database) -> Dispatch | None:
        """Letters, where a mail server is set; what is on its way at the end goes out before the database closes."""
        mailer = mailer_of(self.settings)
        if mailer is None:
            return None
        dispatch = Dispatch(database, mailer)
        stack.push_async_callback(dispatch.close)
        return dispatch

    async def _follow_news(self, stack: AsyncExitStack, services: Services) -> Revocations:
        """Keep up with what this process and the others revoke, and with the signing keys."""
        database, new_keys = services.database, asyncio.Event()
        revocations = Revocations(DatabaseRevocations(database, self.clock), self.clock)
        await revocations.poll()
        database.listeners.setdefault(REVOCATIONS_CHANNEL, []).append(revocations.add)
        database.listeners.setdefault(signing_keys.KEYS_CHANNEL, []).append(lambda _: new_keys.set())
        follow = signing_keys.follow(services.signing_keys, database, services.keys, self.clock, new_keys)
        tasks = [asyncio.create_task(revocations.run()), asyncio.create_task(follow)]
        if not database.is_sqlite:
            wakers = {REVOCATIONS_CHANNEL: revocations.wake, signing_keys.KEYS_CHANNEL: new_keys.set}
            tasks.append(asyncio.create_task(listen(database.url, wakers)))
        stack.push_async_callback(_cancel, tasks)
        return revocations

    def _make_guard(
        self,
        services: Services,
        resource: Resource,
        revocations: Revocations,
        uses: GrantUses,
        endpoint: ASGIApp,
    ) -> ASGIApp:
        settings, path = self.settings, resource.url.removeprefix(self.settings.public_url)
        reporter = services.reporter
        issuer = self.policy.issuer
        verifier: Verifier = AccessTokenVerifier(
            issuer,
            resource.url,
            lambda: services.signing_keys.verification,
            revocations,
            self.clock,
            self.policy.catalogue,
            find_props(services.database, services.keys),
        )
        if services.hooks.on_bearer is not None:
            find = find_foreign(services.hooks, resource.url, issuer, self.policy.catalogue)
            verifier = ForeignTokens(verifier, issuer, resource.url, find, self.clock)

        def used(grant_id: str, source: str) -> None:
            services.tallies.count("call", path)
            uses.note(grant_id, source)

        guard = BearerGuard(
            endpoint,
            verifier,
            Challenges(
                resource_metadata_url(resource.url),
                self.policy.first_scopes(resource),
                self.policy.proof_algorithms,
            ),
            resource.required_scopes,
            OriginCheck(settings.allowed_origins, settings.on_loopback),
            lambda status, error: reporter.refused(path, status, error),
            enforce(services.servers[resource.url], settings.tools_list),
            self._possession_check(services, resource),
            HandleSealer(services.keys.encryption_keys("handles"), self.clock),
            used,
            ResourceRefusals(services.database, self.clock, path).note,
        )
        # These endpoints stand in front of the application's middleware, and want to know who calls as well.
        proxied: Any = ProxyHeadersMiddleware(
            cast("Any", guard), trusted_hosts=list(settings.trusted_proxies)
        )
        return cast("ASGIApp", proxied)

    def _possession_check(self, services: Services, resource: Resource) -> PossessionCheck | None:
        if not self.policy.has(Feature.DPOP):
            return None
        return PossessionCheck(
            (resource.url, f"{resource.url}/"),
            DatabaseReplays(services.database),
            nonces_of(services.keys, self.policy),
            self.clock,
        )


def _keep_books(stack: AsyncExitStack, *books: WrittenLater) -> None:
    """Write in the background what is remembered, and at the end what is left."""
    for book in books:
        stack.push_async_callback(book.close)
        stack.push_async_callback(_cancel, [asyncio.create_task(book.run())])


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
