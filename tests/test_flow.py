"""The main job from end to end: register, sign in, approve, call, refresh, revoke."""

from tests.support.world import World


async def test_a_client_signs_a_person_in_and_the_tool_knows_who_calls(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)

    answer = await world.call(tokens["access_token"])

    result = answer.json()["result"]["structuredContent"]
    assert (result["username"], result["name"], result["email"]) == ("alice", "Alice", "alice@example.com")
    assert (result["client_id"], result["client_name"]) == (client["client_id"], "Test App")
    assert result["scopes"] == ["email", "mcp", "offline_access", "profile"]


async def test_after_revocation_nothing_works_any_more(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    assert (await world.call(refreshed["access_token"])).status_code == 200

    assert (await world.revoke(client, refreshed["refresh_token"])).status_code == 200

    assert (await world.call(tokens["access_token"])).status_code == 401
    assert (await world.call(refreshed["access_token"])).status_code == 401
    assert (await world.refresh(client, refreshed["refresh_token"])).status_code == 400
