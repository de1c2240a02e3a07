"""STO-1 for the log: nothing in it opens anything, however much an operator lets be written."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.logged import Configure, read_lines
from tests.people_links import NEW, link_for, use
from tests.support.world import PASSWORD, World
from tests.test_storage import Flow, found

pytest_plugins = ["tests.logged_fixtures"]
STATE = "a-state-that-only-its-client-knows"


async def follow_link(world: World, flow: Flow) -> None:
    """A link with which somebody chooses a password, looked at and used up; one that was guessed as well."""
    await world.create_user("bob")
    path = await link_for(world, "bob")
    flow.saw("link", path.rpartition("/")[2])
    flow.saw("password", NEW)
    assert (await use(world.browser(), path)).status_code == 303
    assert (await world.browser().get("/link/ost_link_" + "x" * 43)).status_code == 404


async def ask_for_a_state(world: World, flow: Flow) -> None:
    """Requests that are refused: what they carry stands in the address."""
    flow.saw("state", STATE)
    client = await world.register()
    browser = await world.signed_in_browser()
    await world.authorize(browser, client, state=STATE)
    await world.authorize(browser, client, state=STATE, scope="unknown")
    await browser.get(f"/login?request={STATE}")
    await browser.get(f"/nowhere/{STATE}?code={STATE}")


async def break_something(world: World, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours in the middle of a sign-in, with the password in a variable."""

    async def broken(password: str, *_: Any) -> bool:
        raise RuntimeError("it broke", password[:0])

    monkeypatch.setattr(type(world.services.passwords), "verify", lambda _self, *given: broken(*given))
    assert (await world.sign_in(world.browser())).status_code == 500
    monkeypatch.undo()
    flow.saw("password", PASSWORD)


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_sto_1_no_secret_of_a_whole_flow_is_in_the_log(
    make_world: Callable[..., Any],
    configured: Configure,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
) -> None:
    configured(level, "json")
    world: World = await make_world(access_log="all")
    await world.create_user("alice")
    flow = Flow()

    await flow.run(world)
    await follow_link(world, flow)
    await ask_for_a_state(world, flow)
    await break_something(world, flow, monkeypatch)

    written = capsys.readouterr().err
    lines = read_lines(written)
    endpoints = {line["endpoint"] for line in lines if line["logger"] == "app.access"}
    assert endpoints >= {"/mcp", "/oauth/token", "/authorize", "/login", "/link/{token}"}
    assert any("Traceback" in line.get("exception", "") for line in lines)
    assert level != "debug" or any(line["logger"].startswith("sqlalchemy") for line in lines)
    assert set(flow.secrets.values()) >= {"access token", "refresh token", "code", "cookie", "link", "state"}
    assert found(flow.secrets, written) == []
    # The search finds what is there.
    assert found({lines[-1]["request_id"]: "request id"}, written) == ["request id"]
