"""What lives as long as the process: connections, keys, background tasks, and the parts that requests ask for."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from app.accounts.passwords import HashCost, Passwords
from app.accounts.second_factor import SecondFactor
from app.application import Application
from app.authorization_server import keys as signing_keys
from app.authorization_server.client_documents import ClientDocuments
from app.authorization_server.client_keys import ClientKeys
from app.authorization_server.document_fetcher import DocumentFetcher, Egress
from app.authorization_server.grant_store import REVOCATIONS_CHANNEL
from app.authorization_server.key_sets import KeySets
from app.clock import Clock
from app.configuration import mailer_of, policy_of
from app.database import Database
from app.dispatch import Dispatch
from app.grant_uses import GrantUses
from app.hooks import load_hooks
from app.local_verifier import DatabaseRevocations
from app.notifications import listen
from app.oauth.credentials import Keys
from app.protection import Protection, servers_of
from app.purge import Purging
from app.resource_server.revocations import Revocations
from app.routers import metrics
from app.routers.counting import Counting
from app.routers.failures import Reporter
from app.routers.gauges import Gauges
from app.routers.limits import Limits
from app.routers.readiness import Readiness
from app.routers.services import PublicAddress, Services
from app.settings import Settings
from app.tallies import Tallies
from app.tracing import Tracing, trace_statements
from app.upstream.registry import make_providers
from app.written_later import WrittenLater


class Runtime:
    """What lives as long as the process: connections, keys, background tasks."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        egress: Egress,
        hash_cost: HashCost,
        whole_process: bool,
        tracing: Tracing | None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.egress = egress
        self.hash_cost = hash_cost
        self.whole_process = whole_process
        self.tracing = tracing
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
            database = Database(
                settings.database_url, settings.database_pool_size, metrics.connections_missed.inc
            )
            if self.tracing is not None:
                # The last to end; it may wait for its collector.
                stack.push_async_callback(asyncio.to_thread, self.tracing.close)
                trace_statements(database.engine.sync_engine, self.tracing.tracer)
            stack.push_async_callback(database.close)
            keys = Keys(settings.secret_key, settings.secret_key_previous)
            passwords = Passwords(self.hash_cost, metrics.password_seconds.observe)
            stack.callback(passwords.close)
            hooks = load_hooks(settings.hooks)
            tallies = Tallies(database, self.clock, metrics.count)
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
                egress=self.egress,
                client_keys=ClientKeys(database, key_sets, client_documents),
                second_factor=SecondFactor(settings.second_factor),
                providers=make_providers(settings.sign_in_providers, self.fetcher, key_sets),
                dispatch=await self._open_dispatch(stack, database),
                servers=servers_of(settings),
            )
            app.state.services = services
            revocations = app.state.revocations = await self._follow_news(stack, services)
            uses = app.state.grant_uses = GrantUses(database, self.clock)
            _keep_books(stack, uses, tallies)
            app.state.readiness = Readiness(services, revocations, app)
            stack.push_async_callback(app.state.readiness.close)
            gauges = app.state.gauges = Gauges(services, revocations, (uses, tallies), app)
            stack.push_async_callback(_cancel, [asyncio.create_task(gauges.run())])
            self._keep_house(stack, database)
            protection = Protection(settings, services, revocations, uses)
            app.mcp_endpoints = await protection.open(stack)
            if self.whole_process:
                # What was loaded until now stays; the collector need not look at it again (p99 of calls).
                gc.freeze()
            yield
            app.stopping = True
            app.mcp_endpoints = {}

    def _keep_house(self, stack: AsyncExitStack, database: Database) -> None:
        """Remove what is over; nobody waits for it."""
        if every := self.settings.purge_seconds:
            purging = Purging(database, self.policy, self.clock, every, metrics.note_purge)
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
        follow = signing_keys.follow(
            services.signing_keys,
            database,
            services.keys,
            self.clock,
            new_keys,
            self.policy.signing_key_lifetime,
        )
        tasks = [asyncio.create_task(revocations.run()), asyncio.create_task(follow)]
        if not database.is_sqlite:
            wakers = {REVOCATIONS_CHANNEL: revocations.wake, signing_keys.KEYS_CHANNEL: new_keys.set}
            tasks.append(asyncio.create_task(listen(database.url, wakers)))
        stack.push_async_callback(_cancel, tasks)
        return revocations


def _address_of(settings: Settings) -> PublicAddress:
    return PublicAddress(
        origin=settings.public_url.removesuffix(settings.path_prefix),
        prefix=settings.path_prefix,
        secure=settings.public_url.startswith("https://"),
        loopback=settings.on_loopback,
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
