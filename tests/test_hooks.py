"""The operator's own module: what it may decide, what it may not, and what happens when it breaks."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from app import hooks
from app.hooks import (
    ErrorChanges,
    Failure,
    InvalidHooks,
    Refused,
    Registration,
    TokenChanges,
    TokenIssue,
    load_hooks,
)
from tests.back_channel import refused
from tests.support.internet import URL, Internet
from tests.support.world import World, running_world
from tests.test_token_exchange import claims_of

pytest_plugins = ["tests.hooked"]

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
SECRET = "the key of the customer"


# ------------------------------------------------------------------------------------------ registration
async def test_a_hook_turns_a_client_away(make_hooked: MakeWorld, module: ModuleType) -> None:
    asked: list[Registration] = []

    async def on_registration(registration: Registration) -> None:
        asked.append(registration)
        if registration.metadata["client_name"] != "Ours":
            raise Refused("Only our own apps.")

    module.on_registration = on_registration  # type: ignore[attr-defined]
    world = await make_hooked()
    body = {"redirect_uris": ["http://127.0.0.1/cb"], "client_name": "Theirs"}
    answer = await refused(world, world.http.post("/oauth/register", json=body), 403, "access_denied")
    assert answer.json()["error_description"] == "Only our own apps."
    await world.register(client_name="Ours")
    assert [(one.how, one.metadata["client_name"]) for one in asked] == [
        ("dynamic", "Theirs"),
        ("dynamic", "Ours"),
    ]


async def test_a_hook_turns_a_document_away(
    module: ModuleType, database_url: str, internet: Internet
) -> None:
    async def on_registration(registration: Registration) -> None:
        assert registration.how == "document"
        raise Refused("Not this one.")

    module.on_registration = on_registration  # type: ignore[attr-defined]
    async with running_world(database_url, internet.egress(), hooks="operators_hooks") as world:
        answer = await world.browser().get("/authorize", params={"client_id": URL})
        assert answer.status_code == 400
        assert "Not this one." in answer.text
        assert await world.rows("SELECT * FROM clients") == []


# ------------------------------------------------------------------------------------------ token issue
async def test_a_hook_adds_claims_narrows_and_shortens(make_hooked: MakeWorld, module: ModuleType) -> None:
    asked: list[TokenIssue] = []

    async def on_token_issue(issue: TokenIssue) -> TokenChanges:
        asked.append(issue)
        return TokenChanges(claims={"tenant": "blue"}, scopes=("mcp",), lifetime=timedelta(minutes=1))

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    client = await world.register()
    tokens = await world.tokens(client)
    assert (tokens["scope"], tokens["expires_in"]) == ("mcp", 60)
    assert claims_of(tokens["access_token"])["tenant"] == "blue"
    assert "props" not in claims_of(tokens["access_token"])
    issue = asked[0]
    assert issue.person is not None
    assert (issue.grant_type, issue.client_id, issue.person.username) == (
        "authorization_code",
        client["client_id"],
        "alice",
    )
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    assert asked[1].grant_type == "refresh_token"
    assert set(asked[1].scopes) == {"mcp", "profile", "email", "offline_access"}, (
        "the grant itself was narrowed"
    )
    assert refreshed["scope"] == "mcp"


async def test_props_reach_the_tool_and_nobody_else(make_hooked: MakeWorld, module: ModuleType) -> None:
    seen: list[dict[str, Any]] = []

    async def on_token_issue(issue: TokenIssue) -> TokenChanges:
        seen.append(dict(issue.props))
        return TokenChanges(props={"key": SECRET, "turn": len(seen)})

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    client = await world.register()
    tokens = await world.tokens(client)
    answer = await world.call(tokens["access_token"], "props")
    assert answer.json()["result"]["structuredContent"] == {"key": SECRET, "turn": 1}
    assert SECRET not in str(claims_of(tokens["access_token"]))
    rows = await world.rows("SELECT props_sealed FROM grants")
    assert rows[0]["props_sealed"]
    assert SECRET not in str(rows)
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    assert seen == [{}, {"key": SECRET, "turn": 1}]
    answer = await world.call(refreshed["access_token"], "props")
    assert answer.json()["result"]["structuredContent"] == {"key": SECRET, "turn": 2}


async def test_props_survive_a_change_of_the_secret_key(make_hooked: MakeWorld, module: ModuleType) -> None:
    async def on_token_issue(issue: TokenIssue) -> TokenChanges | None:
        return None if issue.props else TokenChanges(props={"key": SECRET})

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    client = await world.register()
    tokens = await world.tokens(client)
    changed = {
        "secret_key": "another key of the tests, long enough",
        "secret_key_previous": world.settings.secret_key,
    }
    later = await make_hooked(**changed)
    refreshed = (await later.refresh(client, tokens["refresh_token"])).json()
    answer = await later.call(refreshed["access_token"], "props")
    assert answer.json()["result"]["structuredContent"] == {"key": SECRET}


async def test_a_hook_refuses_a_token(make_hooked: MakeWorld, module: ModuleType) -> None:
    async def on_token_issue(issue: TokenIssue) -> None:
        raise Refused("Not on a Sunday.")

    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    client = await world.register()
    code = await world.code(client)
    answer = await refused(world, world.redeem(client, code), 400, "invalid_grant", without_effect=False)
    assert answer.json()["error_description"] == "Not on a Sunday."
    assert (await world.last_refusal())["reason"] == "hook"


async def wrong_kind(issue: TokenIssue) -> Any:
    return {"scopes": ["mcp"]}


async def reserved_claim(issue: TokenIssue) -> TokenChanges:
    return TokenChanges(claims={"sub": "somebody else"})


async def wider(issue: TokenIssue) -> TokenChanges:
    return TokenChanges(scopes=("mcp", "admin"))


async def no_lifetime(issue: TokenIssue) -> TokenChanges:
    return TokenChanges(lifetime=timedelta(0))


async def broken(issue: TokenIssue) -> TokenChanges:
    raise RuntimeError("a secret of the operator")


@pytest.mark.parametrize("hook", [wrong_kind, reserved_claim, wider, no_lifetime, broken])
async def test_a_broken_hook_gives_no_token_and_tells_nothing(
    make_hooked: MakeWorld, module: ModuleType, hook: Callable[..., Any]
) -> None:
    module.on_token_issue = hook  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    client = await world.register()
    code = await world.code(client)
    answer = await world.redeem(client, code)
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    assert "secret" not in answer.text

    async def mended(issue: TokenIssue) -> None:
        return None

    object.__setattr__(world.services.hooks, "on_token_issue", mended)
    assert (await world.redeem(client, code)).status_code == 200, "the code was lost"


async def test_a_slow_hook_is_not_waited_for(
    make_hooked: MakeWorld, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def on_token_issue(issue: TokenIssue) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(hooks, "SECONDS", 0.05)
    module.on_token_issue = on_token_issue  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    client = await world.register()
    answer = await world.redeem(client, await world.code(client))
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"]


# ------------------------------------------------------------------------------------------ errors
async def test_the_hook_hears_of_every_refusal_and_may_find_other_words(
    make_hooked: MakeWorld, module: ModuleType
) -> None:
    heard: list[Failure] = []

    async def on_error(failure: Failure) -> ErrorChanges | None:
        heard.append(failure)
        return (
            ErrorChanges("Call us.", "https://help.example/") if failure.error == "invalid_client" else None
        )

    module.on_error = on_error  # type: ignore[attr-defined]
    world = await make_hooked()
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "unknown"}
    answer = await world.http.post("/oauth/token", data=form)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "invalid_client",
        "error_description": "Call us.",
        "error_uri": "https://help.example/",
        "error_reference": heard[0].reference,
    }
    assert heard[0].endpoint == "/oauth/token"
    assert (heard[0].status, heard[0].reason) == (401, "unknown_client")
    assert heard[0].reference
    page = await world.browser().get("/authorize", params={"client_id": "unknown"})
    assert page.status_code == 400
    assert (heard[1].endpoint, heard[1].error) == ("/authorize", "invalid_client")
    assert (await world.call(None)).status_code == 401
    await asyncio.sleep(0)
    assert (heard[2].endpoint, heard[2].status, heard[2].error) == ("/mcp", 401, "unauthenticated")


async def test_a_broken_error_hook_changes_no_answer(make_hooked: MakeWorld, module: ModuleType) -> None:
    async def on_error(failure: Failure) -> None:
        raise RuntimeError("broken")

    module.on_error = on_error  # type: ignore[attr-defined]
    world = await make_hooked()
    answer = await world.http.post("/oauth/token", data={"grant_type": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


# ------------------------------------------------------------------------------------------ at start
def test_a_module_that_is_not_usable_is_refused_at_start(module: ModuleType) -> None:
    with pytest.raises(InvalidHooks, match="can't be loaded"):
        load_hooks("no.such.module")
    with pytest.raises(InvalidHooks, match="none of"):
        load_hooks("operators_hooks")
    module.on_error = print  # type: ignore[attr-defined]
    with pytest.raises(InvalidHooks, match="async def"):
        load_hooks("operators_hooks")
