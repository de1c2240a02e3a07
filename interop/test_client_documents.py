"""Apps that identify themselves by a metadata document: nothing is registered, and the host is the identity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from interop.documents import DocumentHost, running_host
from interop.server import Server, running_server
from interop.test_inspector_cli import Inspector
from interop.test_python_sdk import REDIRECT, Application
from interop.toolbox import Toolbox
from tests.support.postgres import running_postgres


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentHost]:
    with running_host(tmp_path_factory.mktemp("documents")) as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def reader(
    host: DocumentHost, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that trusts the authority of the host, as an operator makes it trust one of their own."""
    folder, trust = tmp_path_factory.mktemp("reader"), {"SSL_CERT_FILE": str(host.authority)}
    if request.param == "sqlite":
        with running_server(
            folder, "sqlite", f"sqlite+aiosqlite:///{folder / 'ostiary.db'}", **trust
        ) as server:
            yield server
        return
    with running_postgres() as postgres:
        postgres.create_database("documents")
        with running_server(folder, "postgresql", postgres.url("documents"), **trust) as server:
            yield server


def came_by_document(server: Server, client_id: str) -> None:
    """It is the only client, and nobody registered it."""
    shown = server.command("clients", "show", client_id, "--json")
    assert '"document"' in shown
    assert server.grants_of(client_id)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_the_sdk_comes_by_its_document(reader: Server, host: DocumentHost, mode: str) -> None:
    url = host.publish(f"/sdk-{mode}-{reader.database}.json", "Python SDK", REDIRECT)

    async def walk() -> None:
        application = Application(reader, client_metadata_url=url)
        async with application.connected(mode) as client:
            result = await client.call_tool("whoami", {})
            assert not result.is_error
            reader.speaks_for_the_person(result.model_dump(mode="json"))
            application.expire_access_token()
            assert not (await client.call_tool("whoami", {})).is_error
        assert application.client is not None
        assert application.client.client_id == url

    anyio.run(walk)
    came_by_document(reader, url)
    assert host.asked.count(url.partition(f":{host.port}")[2]) == 1, "the document was read more than once"


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_comes_by_its_document(
    reader: Server, host: DocumentHost, toolbox: Toolbox, home: Path, era: str
) -> None:
    inspector = Inspector(reader, toolbox, home, era)
    redirect_uri = f"http://127.0.0.1:{inspector.port}/oauth/callback"
    url = host.publish(f"/inspector-{era}-{reader.database}.json", "Inspector", redirect_uri)
    inspector.succeeds("--client-metadata-url", url)
    assert inspector.client_id == url
    inspector.spoil_access_token()
    inspector.succeeds("--client-metadata-url", url, "--stored-auth-only")
    came_by_document(reader, url)
