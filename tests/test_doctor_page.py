"""The doctor on the operator's page: of this server, and of others on the public internet alone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx2
import pytest
from httpcore2 import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError

from app.authorization_server.document_fetcher import Egress
from app.authorization_server.guarded_backend import GuardedBackend
from app.visitor import NotAdmitted
from tests.front_channel import assert_html
from tests.support.troubled_server import ADDRESS, URL, TroubledServer, reach_of
from tests.support.world import World
from tests.working_pages import form_to, person

PATH = "/admin/doctor"
# What names lead to that is not outside.
INSIDE = {
    "inside.example": "10.0.0.7",
    "metadata.example": "169.254.169.254",
    "mapped.example": "::ffff:10.0.0.7",
    "localhost": "127.0.0.1",
    "127.0.0.1": "127.0.0.1",
}
MakeWorld = Callable[..., Any]


class Internet(AsyncNetworkBackend):
    """Names, and connections that are counted and all lead to one port of this computer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connected: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:  # noqa: ARG002 - the interface
        if host == "nowhere.example":
            raise OSError("no such name")
        return [ADDRESS, "10.0.0.7"] if host == "both.example" else [INSIDE.get(host, ADDRESS)]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        self.connected.append(host)
        if port == 9:
            raise ConnectError(host)
        return await AnyIOBackend().connect_tcp(
            "127.0.0.1", self.port, timeout, local_address, socket_options
        )

    @property
    def egress(self) -> Egress:
        """What `create_app` takes."""
        return Egress(self, self, reach_of(self.port).tls)


async def send(browser: httpx2.AsyncClient, **typed: str) -> httpx2.Response:
    """Fill in the page's form."""
    form = form_to((await browser.get(PATH)).text, PATH)
    # The box is not ticked at first.
    fields = {name: value for name, value in form.fields.items() if name != "register"}
    return await browser.post(PATH, data={**fields, **typed})


async def test_another_server_is_examined_and_every_word_of_it_is_shown(
    make_world: MakeWorld, troubled: TroubledServer
) -> None:
    troubled.metadata = {"issuer": "https://mcp.example/<b>"}
    world: World = await make_world(egress=Internet(troubled.port).egress)
    admin = await person(world, "carol", is_admin=True)

    answer = await send(admin, url=URL)

    assert_html(answer, 200)
    assert "stops at step 4 (authorization server)" in answer.text
    assert "https://mcp.example/&lt;b&gt;" in answer.text
    assert "example/<b>" not in answer.text
    assert "Spell both the same" in answer.text
    assert troubled.clients == {}
    assert "POST /register" not in troubled.seen
    [event] = await world.rows("SELECT actor_id, outcome FROM audit_events WHERE event = 'doctor.run'")
    assert event["outcome"] == "ok"
    assert event["actor_id"]


async def test_registering_is_for_who_ticks_it(make_world: MakeWorld, troubled: TroubledServer) -> None:
    world: World = await make_world(egress=Internet(troubled.port).egress)
    admin = await person(world, "carol", is_admin=True)

    answer = await send(admin, url=URL, register="yes")

    assert answer.text.count("It made a client and removed it again.") == 5
    assert "POST /register" in troubled.seen


async def test_the_form_holds_this_servers_own_address(world: World) -> None:
    admin = await person(world, "carol", is_admin=True)
    assert 'value="http://localhost:8000/mcp"' in (await admin.get(PATH)).text


@pytest.mark.parametrize(
    "url", ["ftp://mcp.example/mcp", "https://mcp.example/mcp?x=1", "", "mcp", "https://a@b/mcp"]
)
async def test_what_is_no_address_is_told_and_not_asked(make_world: MakeWorld, url: str) -> None:
    internet = Internet(9)
    world: World = await make_world(egress=internet.egress)
    admin = await person(world, "carol", is_admin=True)

    answer = await send(admin, url=url)

    assert_html(answer, 422)
    assert "no address of an endpoint" in answer.text
    assert internet.connected == []


@pytest.mark.parametrize(
    "url",
    [
        "https://inside.example/mcp",
        "http://metadata.example/latest/meta-data",
        "https://mapped.example/mcp",
        "https://both.example/mcp",
        "http://127.0.0.1:5432/",
        "http://localhost:8001/mcp",
    ],
)
async def test_nothing_inside_is_asked_but_this_server(make_world: MakeWorld, url: str) -> None:
    internet = Internet(9)
    world: World = await make_world(egress=internet.egress)
    admin = await person(world, "carol", is_admin=True)

    answer = await send(admin, url=url)

    assert "not on the public internet" in answer.text
    assert internet.connected == []


async def test_what_another_servers_metadata_names_inside_is_not_asked_either(
    make_world: MakeWorld, troubled: TroubledServer
) -> None:
    troubled.metadata = {"token_endpoint": "https://inside.example/token"}
    internet = Internet(troubled.port)
    world: World = await make_world(egress=internet.egress)
    admin = await person(world, "carol", is_admin=True)

    answer = await send(admin, url=URL)

    assert "not on the public internet" in answer.text
    assert set(internet.connected) == {ADDRESS}


async def test_this_server_is_asked_although_it_is_inside(
    make_world: MakeWorld, troubled: TroubledServer
) -> None:
    internet = Internet(troubled.port)
    troubled.origin = "https://inside.example"
    world: World = await make_world(egress=internet.egress, public_url="https://inside.example")
    backend = GuardedBackend(world.app.state.services.egress, ("inside.example", 443))
    stream = await backend.connect_tcp("inside.example", 443)
    await stream.aclose()

    assert internet.connected == ["10.0.0.7"]
    with pytest.raises(NotAdmitted):
        await backend.connect_tcp("inside.example", 5432)


async def test_a_name_or_address_that_leads_nowhere_is_an_error_of_the_connection() -> None:
    backend = GuardedBackend(Internet(9).egress, ("mcp.example", 443))
    with pytest.raises(ConnectError):
        await backend.connect_tcp("nowhere.example", 443)
    with pytest.raises(ConnectError):
        await backend.connect_tcp("mcp.example", 9)


async def test_an_auditor_may_look_and_lets_nothing_ask(world: World) -> None:
    auditor = await person(world, "dave", is_auditor=True)
    page = await auditor.get(PATH)
    assert_html(page, 200)
    assert "Examine it" not in page.text
    assert_html(await auditor.post(PATH, data={"url": URL, "csrf_token": "x"}), 403)
